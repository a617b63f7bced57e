// apps/websocket.js for Deno, which has no WebSocketPair.
export default {
  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("no WebSocket", { status: 426 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  },
};
