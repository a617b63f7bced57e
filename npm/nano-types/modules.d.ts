/** TCP, as the Sockets API has it (https://sockets-api.proposal.wintercg.org); "cloudflare:sockets" is the same. */
declare module "nano:sockets" {
  /**
   * Opens a connection to what `[app.egress]` allows: `"host:port"`, an IPv6 address in brackets, or both apart. Errors
   * are TypeErrors whose message begins with `SocketError:`.
   */
  export function connect(address: string | SocketAddress, options?: SocketOptions): Socket;
}

// What `main` and its modules may import beside code, as with wrangler.
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "*.txt" {
  const text: string;
  export default text;
}
declare module "*.html" {
  const text: string;
  export default text;
}
declare module "*.sql" {
  const text: string;
  export default text;
}
declare module "*.bin" {
  const data: ArrayBuffer;
  export default data;
}
