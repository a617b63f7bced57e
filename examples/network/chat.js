// A chat. Who is connected is kept in the isolate, of which a busy app has one for each loop: with several loops,
// or several nodes, rooms need a place that all of them share.
const members = new Set();

const page = `<!doctype html><title>Chat</title><ul id=lines></ul><input id=line autofocus>
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws"));
  socket.onmessage = ({ data }) => { lines.append(Object.assign(document.createElement("li"), { textContent: data })); };
  line.onchange = () => { socket.send(line.value); line.value = ""; };
</script>`;

function say(text) {
  for (const member of members) member.send(text);
}

export default {
  fetch(request) {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
    }
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    members.add(server);
    server.addEventListener("message", ({ data }) => say(String(data)));
    server.addEventListener("close", () => {
      members.delete(server);
      say(`Somebody has left; ${members.size} are here.`);
    });
    say(`Somebody has come; ${members.size} are here.`);
    return new Response(null, { status: 101, webSocket: client });
  },
};
