// structuredClone: what is copied, what is refused, in which order, and what is transferred.
import { equal, rejects, suite, throws } from "./check.js";

const refused = (value, text = "could not be cloned") => throws("DataCloneError", () => structuredClone(value), text);

export default suite({
  "the function"() {
    equal([structuredClone.length, structuredClone.name], [1, "structuredClone"]);
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, "structuredClone");
    equal([descriptor.writable, descriptor.enumerable, descriptor.configurable], [true, true, true]);
    throws(TypeError, () => structuredClone(), "1 argument required");
    throws(TypeError, () => structuredClone(1, 1));
    throws(TypeError, () => structuredClone(1, { transfer: 1 }));
    throws(TypeError, () => structuredClone(1, { transfer: [1] }));
    equal(structuredClone(1, {}), 1);
    equal(structuredClone(1, null), 1);
    equal(structuredClone(1, { transfer: undefined }), 1);
  },

  "primitives"() {
    for (const value of [undefined, null, true, 0, -0, NaN, Infinity, 2 ** 60, "", "\ud800", "a\u0000b", 5n, -(2n ** 99n)]) {
      equal(structuredClone(value), value);
      equal(structuredClone([value])[0], value);
      equal(structuredClone({ value }).value, value);
    }
    refused(Symbol("s"), "A symbol");
    refused(() => {}, "A function");
    refused(class {}, "A function");
    refused({ a: [Symbol.iterator] });
  },

  "plain objects"() {
    const symbol = Symbol();
    const value = { b: 1, 2: "two", 1: "one", a: undefined, [symbol]: 1, __proto__: { inherited: 1 } };
    Object.defineProperty(value, "hidden", { value: 1 });
    Object.defineProperty(value, "fixed", { value: 1, enumerable: true });
    const clone = structuredClone(value);
    equal(Object.keys(clone), ["1", "2", "b", "a", "fixed"]);
    equal([Object.getPrototypeOf(clone) === Object.prototype, symbol in clone, "inherited" in clone], [true, false, false]);
    equal(JSON.stringify(Object.getOwnPropertyDescriptor(clone, "fixed")),
      '{"value":1,"writable":true,"enumerable":true,"configurable":true}');
    equal(Object.isFrozen(structuredClone(Object.freeze({ a: 1 }))), false);
    equal(Object.getPrototypeOf(structuredClone({ __proto__: null, a: 1 })) === Object.prototype, true);
    class Point { #secret = 1; x = 2; get y() { return 3; } }
    const point = structuredClone(new Point());
    equal([Object.getPrototypeOf(point) === Object.prototype, JSON.stringify(point)], [true, '{"x":2}']);
  },

  "an own property named __proto__, and names of Object.prototype"() {
    const value = JSON.parse('{"__proto__": {"evil": 1}, "toString": 1, "constructor": 2, "__defineGetter__": 3}');
    const clone = structuredClone(value);
    equal(Object.keys(clone), ["__proto__", "toString", "constructor", "__defineGetter__"]);
    equal([clone.evil, Object.getPrototypeOf(clone) === Object.prototype, clone.toString], [undefined, true, 1]);
    equal(Object.getOwnPropertyDescriptor(clone, "__proto__").value.evil, 1);
  },

  "setters on prototypes are not called"() {
    let calls = 0;
    for (const [holder, key] of [[Object.prototype, "trap"], [Array.prototype, "1"], [Object.prototype, "7"]]) {
      Object.defineProperty(holder, key, { set() { calls++; }, get() { calls++; return "inherited"; }, configurable: true });
    }
    try {
      const clone = structuredClone({ trap: 1, list: [1, 2, , 3, "four", 5, 6, 7], 7: 8 });
      equal([clone.trap, clone[7], clone.list.length, clone.list[3], clone.list[7], Object.hasOwn(clone.list, 2)],
        [1, 8, 8, 3, 7, false]);
      equal([structuredClone([, ,]).length, Object.keys(structuredClone([1, ,])).length], [2, 1]);
      equal(calls, 0);
    } finally {
      delete Object.prototype.trap;
      delete Array.prototype[1];
      delete Object.prototype[7];
    }
  },

  "arrays"() {
    const sparse = [1, , 3];
    sparse.name = "n";
    sparse[10] = 11;
    const clone = structuredClone(sparse);
    equal([clone.length, 1 in clone, clone[2], clone[10], clone.name], [11, false, 3, 11, "n"]);
    equal(Object.keys(clone), ["0", "2", "10", "name"]);
    equal(structuredClone(new Array(2 ** 32 - 1)).length, 2 ** 32 - 1);
    const holey = [, "b"];
    Object.setPrototypeOf(holey, ["inherited"]);
    equal([0 in structuredClone(holey), Array.isArray(structuredClone(holey))], [false, true]);
    class List extends Array {}
    equal(Object.getPrototypeOf(structuredClone(List.of(1))) === Array.prototype, true);
    equal(structuredClone([1.5, -0, NaN]), [1.5, -0, NaN]);
    const hidden = [1, 2];
    Object.defineProperty(hidden, 0, { enumerable: false, value: 9 });
    equal(structuredClone(hidden).length, 2);
  },

  "identity and cycles"() {
    const shared = { n: 1 };
    const value = { a: shared, b: shared, map: new Map([[shared, shared]]), set: new Set([shared]), list: [shared] };
    value.self = value;
    value.map.set("self", value);
    const clone = structuredClone(value);
    equal([clone.self === clone, clone.a === clone.b, clone.a !== shared, clone.map.get(clone.a) === clone.a,
      clone.set.has(clone.a), clone.list[0] === clone.a, clone.map.get("self") === clone], new Array(7).fill(true));
    const error = new Error("e");
    error.cause = error;
    const cloned = structuredClone(error);
    equal(cloned.cause === cloned, true);
    const twins = structuredClone([error, error]);
    equal(twins[0] === twins[1], true);
    const bytes = new Uint8Array(8);
    const views = structuredClone([bytes, bytes.subarray(2, 4), bytes.buffer]);
    equal([views[0].buffer === views[2], views[1].buffer === views[2], views[1].byteOffset], [true, true, 2]);
  },

  "leaves"() {
    const expression = /a(b)/gimsuy;
    expression.lastIndex = 3;
    const clone = structuredClone({
      date: new Date(8.64e15), invalid: new Date(NaN), expression, sets: /[\p{L}--a]/v, number: new Number(-0),
      string: new String("\ud800"), boolean: new Boolean(false), bigint: Object(5n),
    });
    equal([clone.date.getTime(), clone.invalid.getTime(), clone.expression.source, clone.expression.flags,
      clone.expression.lastIndex, clone.sets.flags], [8.64e15, NaN, "a(b)", "gimsuy", 0, "v"]);
    equal([Object.is(clone.number.valueOf(), -0), clone.string.valueOf(), clone.boolean.valueOf(), clone.bigint.valueOf() === 5n],
      [true, "\ud800", false, true]);
    refused(Object(Symbol()));
    refused([new Proxy({}, {}), 1]);
    refused(new Proxy([], {}));
    const objects = [Promise.resolve(), new WeakMap(), new WeakSet(), new WeakRef({}), (function* () {})(), [][Symbol.iterator](),
      new Map().entries(), new FinalizationRegistry(() => {}), globalThis, new Intl.Collator(), (function () { return arguments; })()];
    for (const object of objects) refused({ object });
  },

  "errors"() {
    for (const type of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const error = new type("text", { cause: { of: new Date(1) } });
      error.extra = 1;
      const clone = structuredClone({ error }).error;
      equal([clone.constructor === type, clone.name, clone.message, clone.stack === error.stack, clone.cause.of.getTime(),
        Object.keys(clone).length], [true, type.name, "text", true, 1, 0]);
      equal(Object.getOwnPropertyDescriptor(clone, "cause").enumerable, false);
      equal(Object.getOwnPropertyDescriptor(clone, "message").enumerable, false);
    }
    equal(Object.hasOwn(structuredClone(new Error()), "message"), false);
    equal(Object.hasOwn(structuredClone(new Error()), "cause"), false);
    const renamed = new Error("wide \u20ac");
    renamed.name = "TypeError";
    renamed.stack = 5;
    const clone = structuredClone(renamed);
    equal([clone instanceof TypeError, clone.message, Object.hasOwn(clone, "name")], [true, "wide \u20ac", false]);
    const aggregate = structuredClone(new AggregateError([1], "a"));
    equal([aggregate.constructor === Error, aggregate.message, "errors" in aggregate], [true, "a", false]);
    const odd = new Error();
    Object.defineProperty(odd, "message", { get() { throw new Error("must not run"); } });
    odd.name = { toString() { return "RangeError"; } };
    equal(structuredClone(odd) instanceof RangeError, true);
    odd.name = Symbol();
    throws(TypeError, () => structuredClone(odd));
  },

  "platform objects, wherever they are"() {
    const exception = new DOMException("m", "AbortError");
    const file = new File(["abc"], "n.txt", { type: "text/plain", lastModified: 7 });
    const clone = structuredClone({
      blob: new Blob(["x"], { type: "a/b" }), map: new Map([[file, exception]]), list: [[exception]], error: new Error("e", { cause: exception }),
    });
    const [[key, value]] = clone.map;
    equal([clone.blob.size, clone.blob.type, clone.blob instanceof File], [1, "a/b", false]);
    equal([key instanceof File, key.name, key.lastModified, key.size], [true, "n.txt", 7, 3]);
    equal([value instanceof DOMException, value.name, value.code, value.message, value.stack === exception.stack],
      [true, "AbortError", 20, "m", true]);
    equal([clone.list[0][0] === value, clone.error.cause === value, value !== exception], [true, true, true]);
    class Sub extends File { extra = 1; }
    const sub = structuredClone(new Sub(["a"], "s"));
    equal([Object.getPrototypeOf(sub) === File.prototype, sub.name, "extra" in sub], [true, "s", false]);
    const objects = [new Headers(), new Request("http://a/"), new Response(), new URL("http://a/"), new URLSearchParams(),
      new FormData(), new AbortController(), AbortSignal.abort(), new Event("e"), new EventTarget(), new TextEncoder(),
      new TextDecoder(), new ReadableStream(), new WritableStream(), new TransformStream(), new MessageChannel(),
      new MessageChannel().port1, crypto, performance, new CountQueuingStrategy({ highWaterMark: 1 }),
      new ReadableStream().getReader(), new FormData().keys()];
    for (const object of objects) {
      refused(object);
      refused({ deep: [new Map([[1, object]])] });
    }
    equal(JSON.stringify(structuredClone({ __proto__: new Proxy({}, { getPrototypeOf() { throw new Error("trap"); } }), a: 1 })),
      '{"a":1}');
  },

  "order of getters, and what they do meanwhile"() {
    const order = [];
    const note = (name, value) => { order.push(name); return value; };
    structuredClone({
      get a() { return note("a", { get b() { return note("b"); } }); },
      list: [{ get c() { return note("c"); } }], map: new Map([[{ get k() { return note("k"); } }, { get v() { return note("v"); } }]]),
      get d() { return note("d"); },
    });
    equal(order, ["a", "b", "c", "k", "v", "d"]);
    const value = { get first() { delete this.second; this.third = "new"; this.later = 1; return 1; }, second: 2, third: 3 };
    equal(JSON.stringify(structuredClone(value)), '{"first":1,"third":"new"}');
    const list = [{ get x() { list.length = 1; return 1; } }, 2, 3];
    const shrunk = structuredClone(list);
    equal([shrunk.length, Object.keys(shrunk).length], [3, 1]);
    const map = new Map();
    map.set({ get x() { map.clear(); return 1; } }, 1).set("kept", 2);
    equal(structuredClone(map).get("kept"), 2);
    const set = new Set();
    set.add({ get x() { set.add("late"); return 1; } });
    equal(structuredClone(set).size, 1);
    const thrown = new Error("of a getter");
    throws(Error, () => structuredClone([{ get a() { throw thrown; } }]), "of a getter");
    const again = { get a() { return structuredClone({ inner: 1 }); } };
    equal(structuredClone(again).a.inner, 1);
  },

  "nesting is bounded by the stack"() {
    let value = 1;
    for (let i = 0; i < 200000; i++) value = [value];
    throws(RangeError, () => structuredClone(value));
    value = 1;
    for (let i = 0; i < 500; i++) value = { value: [value] };
    equal(typeof structuredClone(value), "object");
  },

  "buffers and views"() {
    const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    const types = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
      Float64Array, BigInt64Array, BigUint64Array, DataView];
    if (typeof Float16Array !== "undefined") types.push(Float16Array);
    for (const type of types) {
      const clone = structuredClone(new type(bytes.buffer));
      equal([clone.constructor === type, clone.byteLength, clone.buffer !== bytes.buffer], [true, 8, true], type.name);
      equal([...new Uint8Array(clone.buffer)], [1, 2, 3, 4, 5, 6, 7, 8]);
    }
    const part = structuredClone(bytes.subarray(2, 5));
    equal([part.byteOffset, part.length, part.buffer.byteLength, part[0]], [2, 3, 8, 3]);
    bytes.extra = 1;
    equal("extra" in structuredClone(bytes), false);
    const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
    const clone = structuredClone({
      resizable, tracking: new Uint8Array(resizable, 4), fixed: new Uint8Array(resizable, 0, 4), data: new DataView(resizable, 2),
    });
    equal([clone.resizable.resizable, clone.resizable.maxByteLength, clone.tracking.length, clone.fixed.length, clone.data.byteLength],
      [true, 16, 4, 4, 6]);
    clone.resizable.resize(16);
    equal([clone.tracking.length, clone.fixed.length, clone.data.byteLength, resizable.byteLength], [12, 4, 14, 8]);
    const outside = new Uint8Array(resizable, 4, 4);
    resizable.resize(2);
    refused(outside);
    const detached = new Uint8Array(4);
    detached.buffer.transfer();
    refused(detached, "detached");
    refused(detached.buffer, "detached");
    refused({ get a() { resizable.resize(0); return 1; }, view: new DataView(new ArrayBuffer(1)), data: new Proxy({}, {}) });
    equal(structuredClone(new Uint8Array(0)).length, 0);
    if (typeof SharedArrayBuffer !== "undefined") {
      refused(new SharedArrayBuffer(4));
      refused(new Uint8Array(new SharedArrayBuffer(4)));
      throws("DataCloneError", () => structuredClone(1, { transfer: [new SharedArrayBuffer(4)] }));
    }
  },

  "transferred buffers"() {
    const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
    const view = new Uint8Array(buffer, 1, 2);
    const error = new Error("e", { cause: view });
    const clone = structuredClone({ view, buffer, map: new Map([[buffer, [view]]]), set: new Set([view]), error, last: 1 },
      { transfer: [buffer] });
    equal([buffer.detached, view.length, clone.buffer.byteLength, clone.view.length, clone.view[0], clone.view.buffer === clone.buffer],
      [true, 0, 4, 2, 2, true]);
    equal([clone.map.get(clone.buffer)[0] === clone.view, clone.set.has(clone.view), clone.error.cause === clone.view,
      Object.keys(clone).join()], [true, true, true, "view,buffer,map,set,error,last"]);
    const root = new ArrayBuffer(3);
    equal(structuredClone(root, { transfer: [root] }).byteLength, 3);
    const unused = new ArrayBuffer(3);
    equal([structuredClone(5, { transfer: [unused] }), unused.detached], [5, true]);
    const resizable = new ArrayBuffer(4, { maxByteLength: 8 });
    const tracking = structuredClone(new Uint8Array(resizable), { transfer: [resizable] });
    tracking.buffer.resize(8);
    equal([resizable.detached, tracking.length], [true, 8]);
  },

  "transfers that fail"() {
    const buffer = new ArrayBuffer(4);
    throws("DataCloneError", () => structuredClone(1, { transfer: [buffer, buffer] }), "twice");
    throws("DataCloneError", () => structuredClone(1, { transfer: [{}] }), "not transferable");
    throws("DataCloneError", () => structuredClone(1, { transfer: [new Uint8Array(4)] }), "not transferable");
    throws("DataCloneError", () => structuredClone(1, { transfer: [buffer, () => {}] }), "not transferable");
    throws("DataCloneError", () => structuredClone(() => {}, { transfer: [buffer] }));
    throws("DataCloneError", () => structuredClone(1, { transfer: [buffer, new Blob([])] }), "not transferable");
    equal([buffer.detached, buffer.byteLength], [false, 4]);
    throws("DataCloneError", () => structuredClone({ get a() { buffer.transfer(); return 1; } }, { transfer: [buffer] }), "detached");
    throws("DataCloneError", () => structuredClone(1, { transfer: [buffer] }), "detached");
    const thrown = new Error("of transfer");
    throws(Error, () => structuredClone(1, { get transfer() { throw thrown; } }), "of transfer");
    let steps = 0;
    const iterable = { *[Symbol.iterator]() { steps++; yield new ArrayBuffer(1); steps++; } };
    structuredClone(1, { transfer: iterable });
    equal(steps, 2);
    const memory = new WebAssembly.Memory({ initial: 1 });
    throws(TypeError, () => structuredClone(1, { transfer: [memory.buffer] }));
    equal(memory.buffer.byteLength, 65536);
  },

  async "modules of WebAssembly"() {
    const module = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
    const clone = structuredClone({ module }).module;
    equal([clone instanceof WebAssembly.Module, clone !== module], [true, true]);
    equal(WebAssembly.Module.exports(clone).length, 0);
    refused(new WebAssembly.Instance(module));
    refused(new WebAssembly.Memory({ initial: 1 }));
  },

  async "streams in clones need to be transferred"() {
    const stream = new ReadableStream({ start(controller) { controller.enqueue({ a: [1] }); controller.close(); } });
    refused({ stream });
    const { moved } = structuredClone({ moved: stream }, { transfer: [stream] });
    equal([stream.locked, moved !== stream, moved instanceof ReadableStream], [true, true, true]);
    await rejects(TypeError, () => stream.cancel());
    const reader = moved.getReader();
    throws("DataCloneError", () => structuredClone(1, { transfer: [moved] }), "locked");
    equal(JSON.stringify(await reader.read()), '{"value":{"a":[1]},"done":false}');
    equal((await reader.read()).done, true);
    throws("DataCloneError", () => structuredClone(1, { transfer: [stream] }), "detached");
  },
});
