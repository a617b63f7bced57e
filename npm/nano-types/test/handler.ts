// An app with what nano.toml gives it. Each `@ts-expect-error` is a mistake that has to be one.
import { connect } from "nano:sockets";
import { connect as same } from "cloudflare:sockets";
import page from "./page.html";
import module from "./add.wasm";

interface Env {
  GREETING: string;
  API: NanoService;
  ASSETS: NanoAssets;
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const client: string = ctx.remoteAddress;
    // @ts-expect-error: it is not to be changed
    ctx.remoteAddress = client;
    // @ts-expect-error: there is no such variable
    env.GRETING;
    ctx.waitUntil(env.API.fetch("https://api/log", { method: "POST", body: client }));
    if (pathname === "/file") return env.ASSETS.fetch(request);
    if (pathname === "/tcp") {
      const socket = connect({ hostname: "db.internal", port: 5432 }, { secureTransport: "starttls", allowHalfOpen: false });
      await socket.opened;
      const secure: Socket = socket.startTls();
      await secure.close();
      await same("db.internal:5432").close();
      // @ts-expect-error: a port is a number
      connect({ hostname: "db.internal", port: "5432" });
    }
    const instance = await WebAssembly.instantiate(module, {});
    const events = new EventSource("https://example.com");
    events.close();
    return new Response(page.toUpperCase() + env.GREETING, { headers: { "x-exports": Object.keys(instance.exports).join() } });
  },
  async scheduled(controller, env, ctx) {
    const due: Date = new Date(controller.scheduledTime);
    ctx.waitUntil(env.API.fetch(`https://api/${controller.cron}/${due.toISOString()}`));
  },
} satisfies NanoHandler<Env>;

export const wrong = {
  // @ts-expect-error: NANO calls no such handler
  queue() {},
} satisfies NanoHandler<Env>;

export const wrongAnswer: NanoHandler<Env> = {
  // @ts-expect-error: an answer is a Response
  fetch: () => "text",
};
