// A reverse proxy. The request's body streams to the origin and the response's body to the client: since no
// code here touches them, not a byte of either goes through JavaScript.
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const path = url.pathname.slice(env.PREFIX.length) + url.search;
    const outgoing = new Request(env.ORIGIN + path, request);
    outgoing.headers.set("x-forwarded-host", url.host);
    try {
      return await fetch(outgoing);
    } catch (error) {
      console.error(error);
      return new Response("The origin does not answer.\n", { status: 502 });
    }
  },
};
