import { equal, shape, suite, throws } from "./check.js";

let atStart = {};
for (const [name, call] of Object.entries({
  setTimeout: () => setTimeout(() => {}, 1),
  setInterval: () => setInterval(() => {}, 1),
  random: () => crypto.getRandomValues(new Uint8Array(1)),
  uuid: () => crypto.randomUUID(),
  timeout: () => AbortSignal.timeout(1),
})) {
  try {
    call();
    atStart[name] = "allowed";
  } catch (error) {
    atStart[name] = error.message;
  }
}

export default suite({
  "what a module's top level may not do"() {
    for (const [name, message] of Object.entries(atStart)) {
      equal(message.endsWith(" is not allowed while a module's top level runs; call it inside fetch()"), true, `${name}: ${message}`);
    }
    equal(Object.keys(atStart).length, 5);
  },

  "the global object"() {
    equal([self === globalThis, navigator.userAgent, Object.prototype.toString.call(console)],
      [true, "NANO", "[object console]"]);
    for (const name of ["process", "require", "Buffer", "window", "ops", "internals"]) {
      equal(name in globalThis, false, name);
    }
    for (const name of ["URL", "Blob", "ReadableStream", "TextDecoder", "Event", "Performance", "atob", "crypto"]) {
      const descriptor = Object.getOwnPropertyDescriptor(globalThis, name); // before the first use
      const enumerable = name === "atob" || name === "crypto";
      equal(descriptor.value !== undefined && descriptor.value === globalThis[name], true, name);
      equal([descriptor.writable, descriptor.enumerable, descriptor.configurable], [true, enumerable, true], name);
    }
  },

  "navigator, origin and Cloudflare"() {
    shape(Navigator, 0, {}, [
      "appCodeName", "appName", "appVersion", "platform", "product", "userAgent", "language", "languages", "onLine",
      "hardwareConcurrency",
    ]);
    throws(TypeError, () => new Navigator(), "Illegal constructor");
    equal([navigator instanceof Navigator, navigator.appName, navigator.product, navigator.hardwareConcurrency],
      [true, "Netscape", "Gecko", 1]);
    equal([navigator.languages === navigator.languages, Object.isFrozen(navigator.languages), navigator.languages],
      [true, true, ["en"]]);
    equal([origin, Object.isFrozen(Cloudflare.compatibilityFlags), Cloudflare.compatibilityFlags.global_navigator,
      Cloudflare.compatibilityFlags.nodejs_compat], ["null", true, true, false]);
    origin = "mine";
    equal(self.origin, "mine");
  },

  async "setImmediate"() {
    equal([setImmediate.length, clearImmediate.length], [1, 0]);
    throws(TypeError, () => setImmediate(), "1 argument");
    throws(TypeError, () => setImmediate("code"), "not a function");
    const order = [];
    setImmediate(function (...args) { order.push(this === globalThis, ...args); }, 1, 2);
    clearImmediate(setImmediate(() => order.push("cleared")));
    const timer = setTimeout(() => order.push("timer"), 1);
    clearImmediate(timer);
    clearImmediate();
    clearImmediate({});
    await null;
    equal(order, []);
    await new Promise((resolve) => setTimeout(resolve, 2));
    equal(order, [true, 1, 2, "timer"]);
  },

  "an app may replace what is lazy"() {
    globalThis.CustomEvent = 5;
    delete globalThis.AbortSignal;
    equal(globalThis.CustomEvent, 5);
    new Event("x");
    equal([globalThis.CustomEvent, "AbortSignal" in globalThis], [5, false]);
    equal(Object.create(globalThis).EventTarget === EventTarget, true);
  },

  "atob and btoa"() {
    for (const [plain, coded] of [["", ""], ["a", "YQ=="], ["ab", "YWI="], ["abc", "YWJj"], ["\xff\x00", "/wA="]]) {
      equal([btoa(plain), atob(coded)], [coded, plain]);
    }
    equal([atob(" YQ =\t=\n"), atob("YQ"), btoa(12), btoa(null)], ["a", "a", "MTI=", "bnVsbA=="]);
    for (const bad of ["Y", "YQ=", "YQ===", "Y*==", "=", "YWJj="]) throws("InvalidCharacterError", () => atob(bad));
    throws("InvalidCharacterError", () => btoa("\u0100"));
    throws(TypeError, () => atob());
    throws(TypeError, () => btoa(Symbol()));
  },

  "structuredClone"() {
    const source = {
      date: new Date(5), map: new Map([["k", { n: 1n }]]), set: new Set([1]), re: /x/gi, error: new RangeError("r"),
      bytes: new Uint8Array([1, 2]), nested: [undefined, null, -0, NaN], text: "\u{1F600}", boxed: new Number(3),
    };
    source.self = source;
    const clone = structuredClone(source);
    equal([clone.self === clone, clone.date.getTime(), clone.map.get("k").n === 1n, clone.set.has(1), `${clone.re}`],
      [true, 5, true, true, "/x/gi"]);
    equal([clone.error instanceof RangeError, clone.error.message, [...clone.bytes], clone.text, clone.boxed instanceof Number],
      [true, "r", [1, 2], "\u{1F600}", true]);
    equal([Object.is(clone.nested[2], -0), clone.nested[3]], [true, NaN]);
    throws("DataCloneError", () => structuredClone(() => {}));
    throws("DataCloneError", () => structuredClone({ a: Symbol() }));
    throws(TypeError, () => structuredClone());
    throws(TypeError, () => structuredClone(1, { transfer: [1] }));
    const buffer = new ArrayBuffer(8);
    const moved = structuredClone({ buffer }, { transfer: [buffer] });
    equal([buffer.byteLength, moved.buffer.byteLength], [0, 8]);
    throws("DataCloneError", () => structuredClone(1, { transfer: [buffer] }));
    const thrown = new Error("from a getter");
    throws(Error, () => structuredClone({ get a() { throw thrown; } }), "from a getter");
  },

  "performance"() {
    const before = performance.now();
    equal([typeof before, performance.now() >= before], ["number", true]);
    equal(performance.timeOrigin, performance.timeOrigin);
    equal(Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 5000, true);
    equal(Object.keys(performance.toJSON()), ["timeOrigin"]);
    throws(TypeError, () => new Performance());
  },

  "crypto"() {
    const bytes = new Uint8Array(64);
    equal(crypto.getRandomValues(bytes) === bytes, true);
    equal(bytes.some((byte) => byte !== 0), true);
    for (const Type of [Int8Array, Uint8ClampedArray, Int16Array, Uint32Array, BigInt64Array]) {
      crypto.getRandomValues(new Type(4));
    }
    const part = new Uint8Array(64);
    crypto.getRandomValues(part.subarray(16, 32));
    equal([part.subarray(0, 16).some(Boolean), part.subarray(16, 32).some(Boolean), part.subarray(32).some(Boolean)],
      [false, true, false]);
    crypto.getRandomValues(new Uint8Array(65536));
    throws("QuotaExceededError", () => crypto.getRandomValues(new Uint8Array(65537)));
    throws("TypeMismatchError", () => crypto.getRandomValues(new Float32Array(1)));
    throws("TypeMismatchError", () => crypto.getRandomValues(new DataView(new ArrayBuffer(1))));
    throws(TypeError, () => crypto.getRandomValues([]));
    const uuid = crypto.randomUUID();
    equal(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid), true, uuid);
    equal(crypto.randomUUID() !== uuid, true);
    equal([crypto instanceof Crypto, crypto.subtle instanceof SubtleCrypto], [true, true]);
    throws(TypeError, () => new Crypto(), "Illegal constructor");
  },

  "console runs no code of the app and never throws"() {
    const trap = () => { throw new Error("console ran this"); };
    const object = {
      get getter() { return trap(); }, set setter(value) { trap(); }, [Symbol.toPrimitive]: trap, toJSON: trap,
      [Symbol.for("nodejs.util.inspect.custom")]: trap, inspect: trap,
    };
    const proxy = new Proxy(object, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap, getOwnPropertyDescriptor: trap });
    const { proxy: revoked, revoke } = Proxy.revocable({}, {});
    revoke();
    const deep = {};
    let inner = deep;
    for (let i = 0; i < 20000; i++) inner = inner.next = {};
    for (const value of [object, proxy, revoked, deep, [proxy], Object.create(proxy), class { static get name() { return trap(); } }]) {
      console.log(value);
      console.error("%o %O", value, value);
      console.dir(value, { depth: null });
    }
    console.table([{ a: 1 }, [2], 3]);
    console.table(new Map([["k", 1]]));
    console.assert(true, "not logged");
    console.assert(false, "expected");
    console.groupEnd();
    console.count();
    console.countReset("unknown");
    console.time("t");
    console.timeLog("t", 1);
    console.timeEnd("t");
    console.trace("here");
    console.clear();
    equal(console.log.name, "log");
    const { log } = console;
    log("without receiver");
  },
  "JSON.parse is V8's but for text that is nested too deeply"() {
    const { parse } = JSON;
    equal([parse.name, parse.length, "prototype" in parse], ["parse", 2, false]);
    equal(Object.getOwnPropertyDescriptor(JSON, "parse").enumerable, false);
    equal(JSON.stringify(parse('{"a":[1,{"b":null}]}', (key, value) => (key === "b" ? 2 : value))), '{"a":[1,{"b":2}]}');
    equal(parse({ toString: () => "[1]" }), [1]);
    equal(parse(null), null);
    const raised = (text) => {
      try {
        parse(text);
      } catch (error) {
        return error.name;
      }
      return "";
    };
    const nested = (depth, inner = "") => "[".repeat(depth) + inner + "]".repeat(depth);
    equal(raised(nested(10000)), "");
    equal(raised(nested(10001)), "RangeError");
    equal(raised('{"a":'.repeat(10001) + "1" + "}".repeat(10001)), "RangeError");
    equal(raised(nested(10001, '"\u0416"')), "RangeError");
    equal(raised("[".repeat(5e6)), "RangeError");
    equal(raised(JSON.stringify(["[".repeat(20000), "\\\"" + "{".repeat(20000)])), "");
    equal(raised("[" + "[],".repeat(20000) + "{}]"), "");
    equal(raised("[".repeat(5000) + "x".repeat(10000)), "SyntaxError");
    equal(raised(Symbol("s")), "TypeError");
  },
});
