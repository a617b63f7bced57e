// apps/websocket.js for Bun, which has no WebSocketPair: Bun.serve takes the handlers of all sockets.
export default {
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response("no WebSocket", { status: 426 });
  },
  websocket: {
    message(socket, data) {
      socket.send(data);
    },
  },
};
