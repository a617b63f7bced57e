// MessageChannel and MessagePort, and streams that go through them.
import { equal, rejects, suite, throws } from "./check.js";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const next = (port) => new Promise((resolve) => { port.onmessage = resolve; });

export default suite({
  "interfaces"() {
    throws(TypeError, () => new MessagePort(), "Illegal constructor");
    equal([MessageChannel.length, MessagePort.length, MessagePort.prototype.postMessage.length], [0, 0, 1]);
    const { port1, port2 } = new MessageChannel();
    equal([`${port1}`, port1 instanceof EventTarget, port1.onmessage, port1.onmessageerror, port1.onclose],
      ["[object MessagePort]", true, null, null, null]);
    equal(port1 === port2, false);
    throws(TypeError, () => port1.postMessage(), "1 argument required");
    throws(TypeError, () => port1.postMessage(1, 2));
    throws(TypeError, () => port1.postMessage(1, [1]));
    throws(TypeError, () => port1.postMessage(1, { [Symbol.iterator]: 1 }));
    throws(TypeError, () => MessagePort.prototype.postMessage.call({}, 1), "Illegal invocation");
    throws(TypeError, () => MessagePort.prototype.start.call(new EventTarget()), "Illegal invocation");
    throws(TypeError, () => Object.getOwnPropertyDescriptor(MessageChannel.prototype, "port1").get.call({}), "Illegal invocation");
    throws("DataCloneError", () => port1.postMessage(() => {}));
    equal(Object.keys(MessagePort.prototype).sort(),
      ["close", "onclose", "onmessage", "onmessageerror", "postMessage", "start"]);
  },

  async "events"() {
    const { port1, port2 } = new MessageChannel();
    const other = new MessageChannel();
    const value = { date: new Date(1) };
    const coming = next(port2);
    port1.postMessage(value, { transfer: [other.port1] });
    value.date.setTime(2);
    const event = await coming;
    equal([event.type, event.isTrusted, event.bubbles, event.cancelable, event.origin, event.lastEventId, event.source],
      ["message", true, false, false, "", "", null]);
    equal([event.data.date.getTime(), event.target === port2, event.ports.length, event.ports === event.ports, Object.isFrozen(event.ports)],
      [1, true, 1, true, true]);
    equal(event.ports[0] instanceof MessagePort && event.ports[0] !== other.port1, true);
    const made = new MessageEvent("message", { ports: [port1], source: port2 });
    equal([made.ports[0] === port1, made.source === port2, Object.isFrozen(made.ports)], [true, true, true]);
    throws(TypeError, () => new MessageEvent("message", { ports: [{}] }));
    throws(TypeError, () => new MessageEvent("message", { source: {} }));
  },

  async "order, and tasks instead of microtasks"() {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.addEventListener("message", ({ data }) => {
      seen.push(data);
      queueMicrotask(() => seen.push("microtask of " + data));
      Promise.resolve().then(() => seen.push("promise of " + data));
    });
    port1.postMessage(1);
    port2.start();
    port1.postMessage(2);
    for (let i = 0; i < 100; i++) await undefined;
    equal(seen, []);
    await sleep(1);
    equal(seen, [1, "microtask of 1", "promise of 1", 2, "microtask of 2", "promise of 2"]);
  },

  async "ports that were not started keep their messages"() {
    const { port1, port2 } = new MessageChannel();
    let got = 0;
    port2.addEventListener("message", () => got++);
    port1.postMessage(1);
    port1.postMessage(2);
    await sleep(1);
    equal(got, 0);
    port2.start();
    port2.start();
    await sleep(1);
    equal(got, 2);
  },

  async "an exception in a listener is reported, and the next message comes"() {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port2.onmessage = ({ data }) => {
      seen.push(data);
      if (data === 1) throw new Error("of a listener");
    };
    port1.postMessage(1);
    port1.postMessage(2);
    await sleep(1);
    equal(seen, [1, 2]);
  },

  async "many messages, to and fro"() {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => port1.postMessage(data + 1);
    const end = new Promise((resolve) => {
      port2.onmessage = ({ data }) => (data < 5000 ? port2.postMessage(data) : resolve(data));
    });
    port2.postMessage(0);
    equal(await end, 5000);
    let timers = 0;
    const interval = setInterval(() => timers++, 0);
    let running = true;
    port2.onmessage = ({ data }) => { if (running) port2.postMessage(data); };
    port2.postMessage(0);
    await sleep(5);
    running = false;
    clearInterval(interval);
    equal(timers > 0, true, "timers fire between messages");
  },

  async "close"() {
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    port1.onmessage = ({ data }) => seen.push(data);
    port1.onclose = (event) => seen.push(event.type, event.isTrusted);
    port2.onclose = () => seen.push("wrong");
    port2.postMessage("in flight");
    port2.close();
    port2.close();
    port2.postMessage("lost");
    port1.postMessage("lost too");
    equal(seen, []);
    await sleep(1);
    equal(seen, ["in flight", "close", true]);
    throws("DataCloneError", () => structuredClone(port2, { transfer: [port2] }), "detached");
    structuredClone(port1, { transfer: [port1] });
  },

  async "ports through ports"() {
    const inner = new MessageChannel();
    let held = inner.port2;
    inner.port1.postMessage("before");
    for (let i = 0; i < 3; i++) {
      const outer = new MessageChannel();
      const coming = next(outer.port2);
      outer.port1.postMessage({ port: held }, [held]);
      inner.port1.postMessage("step " + i);
      const event = await coming;
      equal(event.data.port === event.ports[0], true);
      throws("DataCloneError", () => outer.port1.postMessage(1, [held]), "detached");
      held = event.ports[0];
    }
    const seen = [];
    held.onmessage = ({ data }) => seen.push(data);
    await sleep(1);
    equal(seen, ["before", "step 0", "step 1", "step 2"]);
    const answer = next(inner.port1);
    held.postMessage("answer");
    equal((await answer).data, "answer");
  },

  async "a port sent through itself, or to itself"() {
    const { port1, port2 } = new MessageChannel();
    throws("DataCloneError", () => port1.postMessage(1, [port1]), "through itself");
    throws("DataCloneError", () => port1.postMessage(1, [port2, port2]), "twice");
    port1.postMessage(1, [port2]); // the channel is lost
    port1.postMessage(2);
    await sleep(1);
  },

  async "a port that is closed while it is elsewhere"() {
    const inner = new MessageChannel();
    const outer = new MessageChannel();
    inner.port2.onmessage = () => {};
    const coming = next(outer.port2);
    outer.port1.postMessage(null, [inner.port2]);
    inner.port1.close();
    const [port] = (await coming).ports;
    equal(await new Promise((resolve) => { port.onclose = () => resolve("told"); setTimeout(resolve, 1, "late"); }), "told");
  },

  async "channels that are forgotten are garbage"() {
    for (let i = 0; i < 20000; i++) {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => {};
      if (i % 100 === 0) port1.postMessage(new Uint8Array(1000));
      if (i % 3 === 0) port1.close();
      if (i % 5 === 0) structuredClone(port2, { transfer: [port2] });
    }
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(1);
    await next(port2); // tasks run in order
  },

  async "BroadcastChannel"() {
    throws(TypeError, () => new BroadcastChannel(), "1 argument required");
    equal([new BroadcastChannel(null).name, `${new BroadcastChannel("x")}`, BroadcastChannel.length], ["null", "[object BroadcastChannel]", 1]);
    const [one, two, three, other] = ["a", "a", "a", "b"].map((name) => new BroadcastChannel(name));
    const seen = [];
    for (const [name, channel] of Object.entries({ one, two, three, other })) {
      channel.onmessage = ({ data, origin, ports, isTrusted }) => seen.push([name, data, origin, ports.length, isTrusted]);
    }
    const value = { list: [1] };
    one.postMessage(value);
    value.list[0] = 2;
    three.close();
    equal(seen, []);
    await sleep(1);
    equal(JSON.stringify(seen), '[["two",{"list":[1]},"",0,true]]');
    throws("InvalidStateError", () => three.postMessage(Symbol()));
    throws("DataCloneError", () => one.postMessage(() => {}));
    throws(TypeError, () => BroadcastChannel.prototype.postMessage.call(new EventTarget(), 1), "Illegal invocation");
    for (const channel of [one, two, other]) channel.close();
    for (let i = 0; i < 2000; i++) new BroadcastChannel("name " + i).addEventListener("other", () => {});
  },

  async "a readable stream"() {
    const pulled = [];
    const source = new ReadableStream({
      pull(controller) {
        pulled.push(1);
        if (pulled.length < 4) controller.enqueue({ n: pulled.length });
        else controller.close();
      },
    }, { highWaterMark: 0 });
    const { port1, port2 } = new MessageChannel();
    const coming = next(port2);
    port1.postMessage(source, [source]);
    const { data, ports } = await coming;
    equal([ports.length, data instanceof ReadableStream, data.locked, source.locked], [0, true, false, true]);
    const got = [];
    for await (const chunk of data) got.push(chunk.n);
    equal(got, [1, 2, 3]);
  },

  async "errors and cancelation of a readable stream"() {
    const failing = new ReadableStream({ pull(controller) { controller.error(new RangeError("of the source")); } });
    await rejects(RangeError, () => structuredClone(failing, { transfer: [failing] }).getReader().read(), "of the source");
    let reason;
    const source = new ReadableStream({ cancel(value) { reason = value; } });
    await structuredClone(source, { transfer: [source] }).cancel({ why: 1 });
    await sleep(1);
    equal(reason.why, 1);
    const functions = new ReadableStream({ pull(controller) { controller.enqueue(() => {}); } });
    await rejects("DataCloneError", () => structuredClone(functions, { transfer: [functions] }).getReader().read());
  },

  async "a writable stream"() {
    const seen = [];
    const sink = new WritableStream({ write(chunk) { seen.push(chunk); }, close() { seen.push("closed"); } });
    const moved = structuredClone(sink, { transfer: [sink] });
    equal([sink.locked, moved.locked], [true, false]);
    const writer = moved.getWriter();
    await writer.write({ a: 1 });
    await writer.write("b");
    await writer.close();
    await sleep(1);
    equal([seen[0].a, seen[1], seen[2]], [1, "b", "closed"]);
    let reason;
    const aborted = new WritableStream({ abort(value) { reason = value; } });
    await structuredClone(aborted, { transfer: [aborted] }).abort("enough");
    await sleep(1);
    equal(reason, "enough");
    const bad = new WritableStream();
    const toBad = structuredClone(bad, { transfer: [bad] }).getWriter();
    await rejects("DataCloneError", () => toBad.write(() => {}));
    await rejects("DataCloneError", () => toBad.closed);
    const failing = new WritableStream({ write() { throw new TypeError("of the sink"); } });
    const toFailing = structuredClone(failing, { transfer: [failing] }).getWriter();
    toFailing.write(1).catch(() => {});
    await rejects(TypeError, () => toFailing.closed, "of the sink");
  },

  async "a transform stream"() {
    const doubling = new TransformStream({ transform(chunk, controller) { controller.enqueue(chunk * 2); } });
    throws("DataCloneError", () => structuredClone(1, { transfer: [doubling, doubling.readable] }), "locked");
    const other = new TransformStream({ transform(chunk, controller) { controller.enqueue(chunk * 2); } });
    const moved = structuredClone(other, { transfer: [other] });
    equal([moved instanceof TransformStream, other.readable.locked, other.writable.locked], [true, true, true]);
    const writer = moved.writable.getWriter();
    const reader = moved.readable.getReader();
    const written = writer.write(21);
    equal((await reader.read()).value, 42);
    await written;
    const closed = writer.close();
    equal((await reader.read()).done, true);
    await closed;
  },

  async "a request's body"(request) {
    if (request.body === null) return;
    const { body } = request;
    const moved = structuredClone(body, { transfer: [body] });
    equal((await new Response(moved).text()).length > 0, true);
  },
});
