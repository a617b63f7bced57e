import { getRequestEvent } from "$app/server";
import { env } from "$env/dynamic/private";

// getRequestEvent() finds the request after an await by node:async_hooks.
async function name() {
  await null;
  return getRequestEvent().url.searchParams.get("name");
}

export const load = async () => ({ name: (await name()) ?? "world", title: env.TITLE });
