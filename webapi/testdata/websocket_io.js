// WebSocket and WebSocketPair, against the servers of isolates/outbound_test.go.
import { equal, fromUtf8, suite, throws, utf8 } from "./check.js";

const seen = async () => (await fetch("http://origin/seen")).json();
const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

async function open(url, protocols) {
  const socket = new WebSocket(url, protocols);
  await once(socket, "open");
  return socket;
}

// Two accepted ends that are connected within the isolate.
function connected() {
  const pair = new WebSocketPair();
  pair[0].accept();
  pair[1].accept();
  return [pair[0], pair[1]];
}

export default suite({
  async "new WebSocket"() {
    const socket = new WebSocket("http://host/chat?q", ["a", "b"]);
    equal([socket.readyState, socket.url, socket.protocol, socket.extensions, socket.binaryType, socket.bufferedAmount],
      [0, "ws://host/chat?q", "", "", "blob", 0]);
    throws("InvalidStateError", () => socket.send("x"), "CONNECTING");
    const event = await once(socket, "open");
    equal([event.isTrusted, event.target, socket.readyState, socket.protocol], [true, socket, 1, "a"]);
    throws(TypeError, () => socket.accept(), "accept");
    const text = once(socket, "message");
    socket.send("h\u00e9llo");
    const message = await text;
    equal([message instanceof MessageEvent, message.data, message.origin, message.lastEventId, message.isTrusted],
      [true, "h\u00e9llo", "ws://host", "", true]);
    socket.close();
    equal(socket.readyState, 2);
    const closed = await once(socket, "close");
    equal([closed instanceof CloseEvent, closed.code, closed.reason, closed.wasClean, socket.readyState],
      [true, 1005, "", true, 3]);
    equal((await seen()).open, 0);
  },

  async "kinds of messages"() {
    const socket = await open("ws://host/");
    const echo = async (data) => {
      const message = once(socket, "message");
      socket.send(data);
      return (await message).data;
    };
    const bytes = utf8("0123");
    equal(await (await echo(bytes)).text(), "0123");
    socket.binaryType = "arraybuffer";
    equal(fromUtf8(await echo(bytes)), "0123");
    equal(await echo(bytes.buffer) instanceof ArrayBuffer, true);
    equal(fromUtf8(await echo(new DataView(bytes.buffer, 1, 2))), "12");
    equal(fromUtf8(await echo(new Blob(["blob"]))), "blob");
    equal((await echo(new Uint8Array(100_000))).byteLength, 100_000);
    equal((await echo("x".repeat(70_000))).length, 70_000);
    equal(await echo(""), "");
    equal(await echo(5), "5");
    equal(await echo("\ud800"), "\ufffd");
    socket.binaryType = "blob";
    equal(await (await echo(bytes)).text(), "0123");
    socket.binaryType = "nonsense";
    equal(socket.binaryType, "blob");
    socket.close(3000, "done");
    const { code, reason } = await once(socket, "close");
    equal([code, reason], [3000, "done"]);
  },

  async "back-pressure and bufferedAmount"() {
    const socket = await open("ws://host/");
    let received = 0;
    const all = new Promise((resolve) => {
      socket.onmessage = (event) => {
        received += event.data.size;
        if (received === 2_000_000) resolve();
      };
    });
    const chunk = new Uint8Array(10_000);
    for (let i = 0; i < 200; i++) {
      chunk[0] = i;
      socket.send(chunk);
    }
    equal(socket.bufferedAmount, 2_000_000);
    await all;
    equal(socket.bufferedAmount, 0);
    socket.close();
    await once(socket, "close");
    socket.send("late");
    equal(socket.bufferedAmount, 4);
  },

  async "bufferedAmount has what was sent in this turn"() {
    const socket = await open("ws://host/");
    socket.send("\u20ac\u20ac");
    equal(socket.bufferedAmount, 6);
    socket.send(new Uint8Array(10));
    equal(socket.bufferedAmount, 16);
    await scheduler.wait(1);
    equal(socket.bufferedAmount, 0);
    let received = 0;
    const all = new Promise((resolve) => { socket.onmessage = ({ data }) => ++received === 3 && resolve(); });
    socket.send("\u20ac".repeat(30_000));
    socket.send("x".repeat(1_000_000));
    socket.send("last");
    await all;
    socket.close();
    await once(socket, "close");
  },

  async "refused and lost"() {
    const events = [];
    const socket = new WebSocket("wss://refused/");
    socket.onerror = (event) => events.push(event instanceof ErrorEvent, event.message);
    const { code, wasClean } = await once(socket, "close");
    equal([...events, code, wasClean, socket.readyState], [true, "the server answered with status 403", 1006, false, 3]);
    const lost = await open("ws://host/");
    lost.send("lose");
    equal((await once(lost, "close")).code, 1006);
    const other = new WebSocket("ws://other-protocol/", "mine");
    equal((await once(other, "error")).message.includes("not offered"), true);
    const server = await open("ws://host/");
    server.send("close");
    const closed = await once(server, "close");
    equal([closed.code, closed.reason, closed.wasClean], [4001, "as asked", true]);
    equal((await seen()).open, 0);
  },

  async "close while it connects"() {
    const socket = new WebSocket("ws://host/");
    const order = [];
    socket.onopen = () => order.push("open");
    socket.onerror = () => order.push("error");
    socket.close();
    equal(socket.readyState, 2);
    equal((await once(socket, "close")).code, 1006);
    equal(order, ["error"]);
  },

  async "arguments"() {
    const bad = (url, protocols) => throws("SyntaxError", () => new WebSocket(url, protocols));
    bad("relative");
    bad("ftp://host/");
    bad("ws://host/#fragment");
    bad("ws://host/", ["a", "a"]);
    bad("ws://host/", "a b");
    bad("ws://host/", [""]);
    throws(TypeError, () => new WebSocket(), "1 argument");
    throws(TypeError, () => WebSocket("ws://host/"), "new");
    const socket = await open("ws://host/", []);
    for (const code of [0, 999, 1001, 1005, 2999, 5000]) throws("InvalidAccessError", () => socket.close(code));
    throws("SyntaxError", () => socket.close(1000, "x".repeat(124)), "123");
    throws("SyntaxError", () => socket.close(1000, "\u20ac".repeat(42)), "123");
    throws(TypeError, () => socket.send(), "1 argument");
    equal(socket.readyState, 1);
    socket.close(undefined, "reason");
    equal((await once(socket, "close")).code, 1000);
  },

  "shape"() {
    equal([WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED, WebSocket.READY_STATE_OPEN],
      [0, 1, 2, 3, 1]);
    equal(WebSocket.prototype.CLOSED, 3);
    equal([WebSocket.length, WebSocket.name, WebSocket.prototype[Symbol.toStringTag]], [1, "WebSocket", "WebSocket"]);
    equal(Object.getPrototypeOf(WebSocket), EventTarget);
    for (const name of ["onopen", "onmessage", "onerror", "onclose", "url", "readyState", "bufferedAmount", "extensions",
      "protocol", "binaryType"]) {
      const { get, enumerable } = Object.getOwnPropertyDescriptor(WebSocket.prototype, name);
      equal(enumerable, true, name);
      throws(TypeError, () => get.call({}), "Illegal invocation");
    }
    equal(Object.getOwnPropertyDescriptor(globalThis, "WebSocket").enumerable, false);
  },

  async "a pair"() {
    const pair = new WebSocketPair();
    equal([Object.keys(pair), Object.values(pair).length].flat(), ["0", "1", 2]);
    const [client, server] = Object.values(pair);
    equal([client instanceof WebSocket, client.readyState, server.url], [true, 1, ""]);
    throws(TypeError, () => client.send("x"), "accept()");
    throws(TypeError, () => client.close(), "accept()");
    client.accept();
    throws(TypeError, () => client.accept(), "accepted already");
    const order = [];
    client.send("one");
    client.send(utf8("two"));
    server.onmessage = (event) => {
      order.push(typeof event.data === "string" ? event.data : fromUtf8(event.data));
      queueMicrotask(() => order.push("microtask"));
    };
    server.accept();
    order.push("accepted");
    equal([client.bufferedAmount, order.length], [6, 1]);
    await scheduler.wait(1);
    equal(order, ["accepted", "one", "microtask", "two", "microtask"]);
    equal(client.bufferedAmount, 0);
    const heard = once(server, "close");
    const answered = once(client, "close");
    client.close(4000, "why");
    equal(client.readyState, 2);
    const [atServer, atClient] = [await heard, await answered];
    equal([atServer.code, atServer.reason, atServer.wasClean], [4000, "why", true]);
    equal([atClient.code, atClient.reason, server.readyState, client.readyState], [4000, "why", 3, 3]);
  },

  async "what is sent is what it was then"() {
    const [client, server] = connected();
    const bytes = utf8("before");
    client.send(bytes);
    bytes.fill(0);
    equal(fromUtf8((await once(server, "message")).data), "before");
  },

  async "ping-pong is not a microtask loop"() {
    const [client, server] = connected();
    server.onmessage = (event) => server.send(event.data);
    let count = 0;
    const all = new Promise((resolve) => {
      client.onmessage = () => (++count === 200 ? resolve() : client.send("x"));
    });
    client.send("x");
    let turns = 0;
    setTimeout(() => { turns = count; }, 0);
    await all;
    equal(turns < 200, true);
  },

  async "codes that a server may close with"() {
    for (const code of [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999]) {
      const [client, server] = connected();
      server.close(code);
      equal((await once(client, "close")).code, code);
    }
    const [client] = connected();
    for (const code of [999, 1004, 1005, 1006, 1015, 2000, 5000]) throws("InvalidAccessError", () => client.close(code));
    client.close();
    throws(TypeError, () => client.send("x"), "after close()");
  },

  "responses"() {
    const [client, server] = Object.values(new WebSocketPair());
    const response = new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": "a" } });
    equal([response.status, response.webSocket], [101, client]);
    throws(TypeError, () => response.clone(), "cannot be cloned");
    throws(RangeError, () => new Response(null, { webSocket: client }), "101");
    throws(RangeError, () => new Response(null, { status: 101 }), "200, 599");
    throws(TypeError, () => new Response("x", { status: 101, webSocket: server }), "null body");
    throws(TypeError, () => new Response(null, { status: 101, webSocket: {} }), "WebSocket");
    equal(new Response().webSocket, null);
  },

  async "an error in a listener harms nothing"() {
    const [client, server] = connected();
    server.onmessage = () => { throw new Error("expected in the log"); };
    client.send("a");
    await scheduler.wait(1);
    server.onmessage = null;
    const message = once(server, "message");
    client.send("b");
    equal((await message).data, "b");
  },
});
