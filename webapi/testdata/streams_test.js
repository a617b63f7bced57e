import { equal, fromUtf8, rejects, shape, suite, throws, utf8 } from "./check.js";

const streamOf = (...chunks) => new ReadableStream({
  start(controller) {
    for (const chunk of chunks) controller.enqueue(chunk);
    controller.close();
  },
});

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const microtasks = async (count) => {
  for (let i = 0; i < count; i++) await undefined;
};

export default suite({
  "shapes"() {
    shape(WritableStream, 0, { abort: 0, close: 0, getWriter: 0 }, ["locked"]);
    shape(TransformStream, 0, {}, ["readable", "writable"]);
    shape(CountQueuingStrategy, 1, {}, ["highWaterMark", "size"]);
    shape(WritableStreamDefaultController, 0, { error: 0 }, ["signal"]);
    equal([ReadableStream.length, ReadableStream.from.length, ReadableStream.prototype.pipeTo.length], [0, 1, 1]);
    equal(ReadableStream.prototype[Symbol.asyncIterator], ReadableStream.prototype.values);
    throws(TypeError, () => new ReadableStreamDefaultController(), "Illegal constructor");
    throws(TypeError, () => ReadableStream.prototype.tee.call({}), "Illegal invocation");
    throws(TypeError, () => new ReadableStream(5));
    throws(TypeError, () => new ReadableStream({ type: "x" }));
    throws(RangeError, () => new ReadableStream({}, { highWaterMark: -1 }));
    throws(RangeError, () => new WritableStream({ type: "bytes" }));
  },

  async "reading"() {
    equal(await collect(streamOf(1, 2, 3)), [1, 2, 3]);
    const reader = streamOf("a").getReader();
    const result = await reader.read();
    equal([Object.keys(result), result.value, result.done], [["value", "done"], "a", false]);
    const end = await reader.read();
    equal([Object.hasOwn(end, "value"), end.value, end.done], [true, undefined, true]);
  },

  async "pull is called as chunks are wanted"() {
    let pulls = 0;
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(++pulls);
        if (pulls === 3) controller.close();
      },
    }, { highWaterMark: 0 });
    await microtasks(5);
    equal(pulls, 0);
    const reader = stream.getReader();
    equal((await reader.read()).value, 1);
    equal(pulls, 1);
    equal((await reader.read()).value, 2);
    equal((await reader.read()).value, 3);
    equal((await reader.read()).done, true);
    await reader.closed;
  },

  async "locks and cancelling"() {
    let reason;
    const stream = new ReadableStream({ cancel(given) { reason = given; } });
    const reader = stream.getReader();
    equal(stream.locked, true);
    throws(TypeError, () => stream.getReader(), "locked");
    await rejects(TypeError, () => stream.cancel());
    const pending = reader.read();
    reader.releaseLock();
    await rejects(TypeError, () => pending, "released");
    await rejects(TypeError, () => reader.closed);
    equal(stream.locked, false);
    await stream.cancel("why");
    equal(reason, "why");
    equal(await collect(stream), []);
    await rejects(TypeError, () => ReadableStream.prototype.cancel.call({}), "Illegal invocation");
  },

  async "errors reach the reader"() {
    const error = new RangeError("broken");
    let controller;
    const stream = new ReadableStream({ start(given) { controller = given; } });
    const reader = stream.getReader();
    const pending = reader.read();
    controller.error(error);
    await rejects(RangeError, () => pending, "broken");
    await rejects(RangeError, () => reader.read());
    await rejects(RangeError, () => reader.closed);
    throws(TypeError, () => controller.enqueue(1));
    const failing = new ReadableStream({ pull() { throw error; } });
    await rejects(RangeError, () => failing.getReader().read());
    throws(RangeError, () => new ReadableStream({ start() { throw error; } }));
  },

  async "asynchronous iteration"() {
    let canceled = false;
    const make = () => new ReadableStream({
      start(controller) { controller.enqueue(1); controller.enqueue(2); },
      cancel() { canceled = true; },
    });
    const stream = make();
    for await (const chunk of stream) {
      equal(chunk, 1);
      break;
    }
    equal([canceled, stream.locked], [true, false]);
    canceled = false;
    const kept = make();
    for await (const chunk of kept.values({ preventCancel: true })) break;
    equal([canceled, kept.locked], [false, false]);
    equal((await kept.getReader().read()).value, 2);
    const iterator = make().values();
    const results = await Promise.all([iterator.next(), iterator.next(), iterator.return("r")]);
    equal(results.map(({ value, done }) => [value, done]), [[1, false], [2, false], ["r", true]]);
    equal(Object.getPrototypeOf(Object.getPrototypeOf(iterator)),
      Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}.prototype)));
  },

  async "ReadableStream.from"() {
    equal(await collect(ReadableStream.from([1, Promise.resolve(2)])), [1, 2]);
    equal(await collect(ReadableStream.from((async function* () { yield "a"; yield "b"; })())), ["a", "b"]);
    equal(await collect(ReadableStream.from("h\u{1F600}")), ["h", "\u{1F600}"]);
    let returned;
    const stream = ReadableStream.from({
      [Symbol.asyncIterator]: () => ({ next: async () => ({ value: 1, done: false }), return: async (v) => { returned = v; return {}; } }),
    });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel("bye");
    equal(returned, "bye");
    throws(TypeError, () => ReadableStream.from({}), "not iterable");
    throws(TypeError, () => ReadableStream.from(null));
  },

  async "tee"() {
    const [one, two] = streamOf(1, 2).tee();
    equal(await collect(one), [1, 2]);
    equal(await collect(two), [1, 2]);
    const reasons = [];
    const [a, b] = new ReadableStream({ cancel(reason) { reasons.push(reason); } }).tee();
    const first = a.cancel("a");
    await microtasks(3);
    equal(reasons, []);
    await Promise.all([first, b.cancel("b")]);
    equal(reasons, [["a", "b"]]);
  },

  async "byte streams"() {
    const stream = new ReadableStream({
      type: "bytes",
      start(controller) {
        controller.enqueue(new Uint8Array([1, 2, 3]));
        controller.enqueue(new Uint16Array([0x0504]));
        controller.close();
      },
    });
    const reader = stream.getReader({ mode: "byob" });
    let { value } = await reader.read(new Uint8Array(2));
    equal([...value], [1, 2]);
    ({ value } = await reader.read(new Uint8Array(value.buffer)));
    equal([...value], [3, 4]);
    ({ value } = await reader.read(new DataView(new ArrayBuffer(8), 2)));
    equal([value instanceof DataView, value.byteOffset, value.byteLength, value.getUint8(0)], [true, 2, 1, 5]);
    const last = await reader.read(new Uint8Array(4));
    equal([last.done, last.value.length], [true, 0]);
    await rejects(TypeError, () => reader.read(new Uint8Array(0)));
    await rejects(TypeError, () => reader.read());
    throws(TypeError, () => streamOf().getReader({ mode: "byob" }));
  },

  async "byte streams: requests, minimum and detached buffers"() {
    const sizes = [];
    const stream = new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: 16,
      pull(controller) {
        const { view } = controller.byobRequest;
        sizes.push(view.byteLength);
        new Uint8Array(view.buffer, view.byteOffset, view.byteLength).fill(7);
        controller.byobRequest.respond(Math.min(2, view.byteLength));
        throws(TypeError, () => controller.enqueue(new Uint8Array(0)));
      },
    });
    const reader = stream.getReader({ mode: "byob" });
    const buffer = new ArrayBuffer(6);
    const { value } = await reader.read(new Uint8Array(buffer), { min: 5 });
    equal([value.length, buffer.byteLength, value.every((byte) => byte === 7)], [6, 0, true]);
    equal(sizes, [6, 4, 2]);
    reader.releaseLock();
    equal((await stream.getReader().read()).value.length, 2);
    const detached = new Uint8Array(4);
    detached.buffer.transfer();
    await rejects(TypeError, () => new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" }).read(detached));
  },

  async "byte streams: tee copies"() {
    const [one, two] = new Blob(["hello"]).stream().tee();
    const first = (await one.getReader().read()).value;
    first.fill(0);
    equal(fromUtf8((await two.getReader({ mode: "byob" }).read(new Uint8Array(9))).value), "hello");
  },

  async "writing"() {
    const log = [];
    const stream = new WritableStream({
      start() { log.push("start"); },
      write(chunk, controller) { log.push(chunk, controller.signal.aborted); },
      close() { log.push("close"); },
    }, { highWaterMark: 2, size: (chunk) => chunk.length });
    const writer = stream.getWriter();
    equal([writer.desiredSize, stream.locked], [2, true]);
    const written = writer.write("abc");
    equal(writer.desiredSize, -1);
    await written;
    await writer.ready;
    equal(writer.desiredSize, 2);
    await writer.close();
    await writer.closed;
    equal(log, ["start", "abc", false, "close"]);
    await rejects(TypeError, () => writer.write("x"));
    await rejects(TypeError, () => writer.close());
  },

  async "aborting a writer"() {
    let reason;
    let signal;
    const stream = new WritableStream({
      start(controller) { signal = controller.signal; },
      write: () => new Promise(() => {}),
      abort(given) { reason = given; },
    });
    const writer = stream.getWriter();
    await writer.ready;
    const aborting = new WritableStream({ abort(given) { reason = given; } });
    await aborting.abort("r1");
    equal(reason, "r1");
    const closed = writer.closed;
    writer.write(1).catch(() => {});
    writer.abort("r2");
    equal([signal.aborted, signal.reason], [true, "r2"]);
    let failed;
    try { await writer.ready; } catch (error) { failed = error; }
    equal(failed, "r2");
    closed.catch(() => {});
    const erring = new WritableStream({ write() { throw new RangeError("sink"); } }).getWriter();
    await rejects(RangeError, () => erring.write(1), "sink");
    await rejects(RangeError, () => erring.closed);
  },

  async "piping"() {
    const written = [];
    const dest = new WritableStream({ write(chunk) { written.push(chunk); }, close() { written.push("closed"); } });
    equal(await streamOf(1, 2, 3).pipeTo(dest), undefined);
    equal(written, [1, 2, 3, "closed"]);
    const kept = new WritableStream({ write(chunk) { written.push(chunk); } });
    await streamOf(4).pipeTo(kept, { preventClose: true });
    await kept.getWriter().write(5);
    equal(written.slice(4), [4, 5]);
    await rejects(RangeError, () => new ReadableStream({ start() {}, pull() { throw new RangeError("src"); } })
      .pipeTo(new WritableStream()), "src");
    let canceled;
    const source = new ReadableStream({ pull(controller) { controller.enqueue(1); }, cancel(reason) { canceled = reason; } });
    await rejects(RangeError, () => source.pipeTo(new WritableStream({ write() { throw new RangeError("dst"); } })), "dst");
    equal(canceled.message, "dst");
    const controller = new AbortController();
    const piping = new ReadableStream().pipeTo(new WritableStream(), { signal: controller.signal });
    controller.abort();
    await rejects("AbortError", () => piping);
    await rejects(TypeError, () => streamOf().pipeTo({}));
  },

  async "transforming"() {
    const upper = () => new TransformStream({
      start(controller) { controller.enqueue("<"); },
      transform(chunk, controller) { controller.enqueue(chunk.toUpperCase()); },
      flush(controller) { controller.enqueue(">"); },
    });
    equal(await collect(streamOf("a", "b").pipeThrough(upper())), ["<", "A", "B", ">"]);
    equal(await collect(streamOf(1, 2).pipeThrough(new TransformStream())), [1, 2]);
    const failing = streamOf(1).pipeThrough(new TransformStream({ transform() { throw new RangeError("mid"); } }));
    await rejects(RangeError, () => collect(failing), "mid");
    const ended = streamOf(1, 2, 3).pipeThrough(new TransformStream({
      transform(chunk, controller) { controller.enqueue(chunk); controller.terminate(); },
    }));
    equal(await collect(ended), [1]);
    let canceled;
    const { readable } = new TransformStream({ cancel(reason) { canceled = reason; } });
    await readable.cancel("stop");
    equal(canceled, "stop");
  },

  async "10,000 chunks"() {
    let next = 0;
    const source = new ReadableStream({
      pull(controller) {
        if (next === 10000) controller.close();
        else controller.enqueue(next++);
      },
    });
    let sum = 0;
    await source.pipeThrough(new TransformStream()).pipeTo(new WritableStream({ write(chunk) { sum += chunk; } }));
    equal(sum, 49995000);
    const many = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 10000; i++) controller.enqueue(utf8("x"));
        controller.close();
      },
    });
    equal((await new Response(many).text()).length, 10000);
  },

  async "patched built-ins do not matter"() {
    const { then } = Promise.prototype;
    const { push, shift } = Array.prototype;
    const stream = streamOf(1, 2);
    const reader = stream.getReader();
    let calls = 0;
    Promise.prototype.then = function (...args) {
      calls++;
      return then.apply(this, args);
    };
    Array.prototype.push = Array.prototype.shift = () => { throw new Error("called a patched method"); };
    Object.defineProperty(Object.prototype, "done", { configurable: true, get() { return "patched"; }, set() { calls += 100; } });
    try {
      const first = reader.read();
      const second = new Promise((resolve, reject) => { then.call(first, resolve, reject); });
      equal([(await second).value, calls], [1, 0]);
    } finally {
      Promise.prototype.then = then;
      Object.assign(Array.prototype, { push, shift });
      delete Object.prototype.done;
    }
  },
});
