// What an app finds on NANO: the Web platform and the handlers of Workers, by @cloudflare/workers-types, and what
// NANO has beside them. NANO has none of Cloudflare's storage; what is declared of it there is not here at run time.

/// <reference types="@cloudflare/workers-types/latest" />
/// <reference path="./modules.d.ts" />
/// <reference path="./jsx.d.ts" />

interface ExecutionContext<Props = unknown> {
  /** The client's address and port: `"192.0.2.7:41000"`, `"[2001:db8::1]:41000"`; `""` over a unix socket. */
  readonly remoteAddress: string;
}

/**
 * The default export of an app: `export default { … } satisfies NanoHandler<Env>`. Workers' other handlers are never
 * called here.
 */
type NanoHandler<Env = unknown> = Pick<ExportedHandler<Env>, "fetch" | "scheduled">;

/** An app of `[app.services]` in nano.toml: `env.NAME.fetch(request)` calls it without a socket. */
interface NanoService {
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
}

/** `env.ASSETS`, the files of the app's own folder `static`: 404 where there is none. */
interface NanoAssets extends NanoService {}
