// What goes out, in an app that patches every built-in it can reach.
import { connect } from "nano:sockets";
import { suite } from "./check.js";
import { same, startWatching, stopWatching } from "./hostile.js";

const nothing = () => {};
const bytes = new Uint8Array([0xe2, 0x82, 0xac]);
const noHeaders = { get [Symbol.iterator]() { return () => ({ next: () => ({ done: true }) }); } };

// Watches a call that gives a promise, until that is settled. `await` alone calls nothing that is patched.
async function watchUntil(call) {
  startWatching();
  let leaks;
  try {
    await call();
  } finally {
    leaks = stopWatching();
  }
  if (leaks !== "") throw new Error(`the runtime called ${leaks}`);
}

// A promise of an event, made of nothing that is patched.
function once(target, type) {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
}

export default suite({
  async "fetch"() {
    await watchUntil(async () => {
      const response = await fetch("http://origin/echo", { method: "POST", body: "x", headers: { a: "b", connection: "c" } });
      same(response.status, 200);
      same((await response.json()).body, "x");
      same((await fetch(new Request("http://origin/echo", { headers: noHeaders }))).ok, true);
      same((await (await fetch("http://origin/stream/12")).text()).length, 120_000);
      same((await (await fetch("http://origin/stream/12")).bytes())[119_999], 108);
      same(await (await fetch("data:;base64,eHk=")).text(), "xy");
    });
  },
  async "bodies that stream"() {
    let count = 0;
    const pull = (controller) => ++count > 3 ? controller.close() : controller.enqueue(bytes);
    await watchUntil(async () => {
      const response = await fetch("http://origin/echo", { method: "POST", body: new ReadableStream({ pull }) });
      same((await response.json()).body.length, 3);
      const reader = (await fetch("http://origin/stream/2")).body.getReader();
      same((await reader.read()).value[9_999], 97);
      await reader.cancel();
    });
  },
  async "errors and signals"() {
    await watchUntil(async () => {
      try { await fetch("http://origin/fault/1"); } catch (error) { same(error.message, "fault 1"); }
      try { await fetch("relative"); } catch (error) { same(error instanceof TypeError, true); }
      const controller = new AbortController();
      const promise = fetch("http://origin/never", { signal: controller.signal });
      controller.abort(5);
      try { await promise; } catch (error) { same(error, 5); }
      try { await fetch("http://origin/never", { signal: AbortSignal.timeout(1) }); } catch (error) { same(error.name, "TimeoutError"); }
      try { await scheduler.wait(1000, { signal: AbortSignal.abort(7) }); } catch (error) { same(error, 7); }
      await scheduler.wait(1, { signal: new AbortController().signal });
    });
  },
  async "sockets"() {
    await watchUntil(async () => {
      const socket = connect("echo:1", { secureTransport: "starttls" });
      same((await socket.opened).localAddress, "127.0.0.1:5");
      const secure = socket.startTls();
      const writer = secure.writable.getWriter();
      await writer.write(bytes);
      same((await secure.readable.getReader().read()).value[2], 0xac);
      await secure.close();
      try { await connect({ hostname: "refused", port: 1 }).opened; } catch (error) { same(error instanceof TypeError, true); }
    });
  },
  async "WebSockets"() {
    await watchUntil(async () => {
      const socket = new WebSocket("ws://host/", noHeaders);
      socket.onmessage = nothing;
      await once(socket, "open");
      const message = once(socket, "message");
      socket.send("x");
      same((await message).data, "x");
      const closed = once(socket, "close");
      socket.close(1000, "y");
      same((await closed).reason, "y");
      const pair = new WebSocketPair();
      pair[0].accept();
      pair[1].accept();
      const heard = once(pair[1], "message");
      pair[0].send(bytes);
      same(new Uint8Array((await heard).data)[2], 0xac);
      const upgraded = await fetch("http://origin/ws", { headers: { upgrade: "websocket" } });
      upgraded.webSocket.accept();
      upgraded.webSocket.close();
      same(new MessageEvent("a", { data: 1, ports: noHeaders }).data + new CloseEvent("a").code, 1);
    });
  },
  async "events"() {
    await watchUntil(async () => {
      const source = new EventSource("http://origin/events/1");
      await once(source, "open");
      same((await once(source, "message")).data, "first\nsecond");
      source.close();
    });
  },
});
