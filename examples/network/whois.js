// A client of a plain TCP protocol: asks a whois server (RFC 3912) and passes on what it says.
import { connect } from "nano:sockets";

export default {
  async fetch(request, env) {
    const name = new URL(request.url).searchParams.get("name") ?? "";
    if (!/^[\w.-]{1,253}$/.test(name)) return new Response("try ?name=example.com\n", { status: 400 });
    const socket = connect(env.SERVER);
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode(`${name}\r\n`));
    writer.releaseLock();
    return new Response(socket.readable, { headers: { "content-type": "text/plain; charset=utf-8" } });
  },
};
