// A WebSocket that sends back what it hears, by WebSocketPair.
export default {
  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("no WebSocket", { status: 426 });
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send(data));
    return new Response(null, { status: 101, webSocket: client });
  },
};
