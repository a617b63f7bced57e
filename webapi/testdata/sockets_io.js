// connect() of nano:sockets, against the hosts of isolates/outbound_test.go.
import { connect } from "nano:sockets";
import { connect as alias } from "cloudflare:sockets";
import { equal, fromUtf8, rejects, suite, throws, utf8 } from "./check.js";

const seen = async () => (await fetch("http://origin/seen")).json();

async function exchange(socket, text) {
  const writer = socket.writable.getWriter();
  await writer.write(utf8(text));
  const reader = socket.readable.getReader();
  let got = "";
  while (got.length < text.length) got += fromUtf8((await reader.read()).value);
  writer.releaseLock();
  reader.releaseLock();
  return got;
}

export default suite({
  async "a socket opens, echoes and closes"() {
    equal(alias, connect);
    equal(connect.length, 1);
    const socket = connect("echo.example:7");
    equal([Object.prototype.toString.call(socket), socket.upgraded, socket.secureTransport],
      ["[object Socket]", false, "off"]);
    const info = await socket.opened;
    equal([info.remoteAddress, info.localAddress, info.alpn], ["192.0.2.9:0", "127.0.0.1:5", "h0"]);
    equal(await exchange(socket, "hello"), "hello");
    equal(await exchange(socket, "x".repeat(200_000)), "x".repeat(200_000));
    const closed = socket.close();
    equal(closed, socket.closed);
    equal(await closed, undefined);
    equal((await seen()).open, 0);
  },

  async "addresses"() {
    const target = async (address, options) => {
      const socket = connect(address, options);
      await socket.opened;
      await socket.close();
      return true;
    };
    equal(await target({ hostname: "EXAMPLE.com", port: 1 }), true);
    equal(await target({ hostname: "::1", port: 1 }), true);
    equal(await target({ hostname: "[::1]", port: "1" }), true);
    equal(await target("[2001:db8::1]:65535"), true);
    for (const bad of ["host", "host:", "host:0", "host:65536", "host:1:2", "a b:1", "a@b:1", "a/b:1", ":1", "host:x", "::1:5"]) {
      throws(TypeError, () => connect(bad), "SocketError");
    }
    throws(TypeError, () => connect(), "1 argument");
    throws(TypeError, () => connect({ hostname: "h", port: 1e9 }), "range");
    throws(TypeError, () => connect({ hostname: "h" }), "finite");
    throws(TypeError, () => connect("h:1", { secureTransport: "maybe" }), "SecureTransportKind");
  },

  async "a refused connection"() {
    const socket = connect("refused:1");
    await rejects(TypeError, () => socket.opened, "SocketError: connect to refused:1");
    await rejects(TypeError, () => socket.closed, "refused");
    await rejects(TypeError, () => socket.readable.getReader().read(), "refused");
    await rejects(TypeError, () => socket.writable.getWriter().write(utf8("x")), "refused");
    await rejects(TypeError, () => socket.close(), "refused");
  },

  async "close before it is open"() {
    const before = await seen();
    const socket = connect("silent:1");
    await socket.close();
    await rejects(TypeError, () => socket.opened, "closed before");
    const after = await seen();
    equal([after.aborted - before.aborted, after.open], [1, 0]);
  },

  async "the peer ends"() {
    const socket = connect("echo:1");
    const writer = socket.writable.getWriter();
    const reader = socket.readable.getReader();
    const read = reader.read();
    writer.write(utf8("bye"));
    equal((await read).done, true);
    equal(await socket.closed, undefined);
    equal((await seen()).open, 0);
  },

  async "half open"() {
    const socket = connect("echo:1", { allowHalfOpen: true });
    const writer = socket.writable.getWriter();
    const read = socket.readable.getReader().read();
    writer.write(utf8("bye"));
    equal((await read).done, true);
    let isClosed = false;
    socket.closed.then(() => { isClosed = true; });
    await scheduler.wait(1);
    equal(isClosed, false);
    await writer.close();
    equal(await socket.closed, undefined);
  },

  async "what is written before close() leaves"() {
    const socket = connect("echo:1");
    await socket.opened;
    const writer = socket.writable.getWriter();
    const first = writer.write(utf8("a"));
    const second = writer.write(utf8("b"));
    await socket.close();
    equal([await first, await second], [undefined, undefined]);
  },

  async "abort and bad chunks"() {
    const socket = connect("echo:1");
    await socket.opened;
    await rejects(TypeError, () => socket.writable.getWriter().write("text"), "ArrayBuffers");
    await rejects(TypeError, () => socket.closed, "ArrayBuffers");
    const other = connect("echo:1");
    await other.opened;
    await other.writable.abort(new Error("mine"));
    await rejects(TypeError, () => other.closed, "aborted");
    equal((await seen()).open, 0);
  },

  async "the reader is canceled"() {
    const socket = connect("echo:1");
    await socket.opened;
    await socket.readable.cancel();
    await socket.writable.close();
    equal(await socket.closed, undefined);
  },

  async "startTls"() {
    const plain = connect("echo:1", { secureTransport: "off" });
    throws(TypeError, () => plain.startTls(), "starttls");
    await plain.close();
    const socket = connect("echo:1", { secureTransport: "starttls" });
    equal((await socket.opened).remoteAddress, "192.0.2.9:2");
    const reader = socket.readable.getReader();
    throws(TypeError, () => socket.startTls(), "released");
    reader.releaseLock();
    const secure = socket.startTls();
    equal([socket.upgraded, secure.upgraded, secure.secureTransport], [true, false, "on"]);
    throws(TypeError, () => socket.startTls(), "already");
    equal(await socket.closed, undefined);
    const info = await secure.opened;
    equal([info.remoteAddress, info.alpn === "h0"], ["192.0.2.9:1", false]);
    equal(await exchange(secure, "secret"), "secret");
    await secure.close();
    equal((await seen()).open, 0);
    const direct = connect("echo:1", { secureTransport: "on" });
    equal((await direct.opened).remoteAddress, "192.0.2.9:1");
    await direct.close();
  },

  async "shape"() {
    const socket = connect("echo:1");
    const prototype = Object.getPrototypeOf(socket);
    equal(Object.keys(prototype), ["readable", "writable", "opened", "closed", "upgraded", "secureTransport", "close", "startTls"]);
    throws(TypeError, () => new prototype.constructor(), "Illegal constructor");
    throws(TypeError, () => prototype.startTls.call({}), "Illegal invocation");
    await rejects(TypeError, () => prototype.close.call({}), "Illegal invocation");
    await socket.close();
  },
});
