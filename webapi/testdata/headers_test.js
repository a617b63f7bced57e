import { equal, shape, suite, throws } from "./check.js";

const flat = (headers) => [...headers].map(([name, value]) => `${name}=${value}`).join("|");

export default suite({
  "interface"() {
    shape(Headers, 0, {
      append: 2, delete: 1, get: 1, getSetCookie: 0, has: 1, set: 2, forEach: 1, entries: 0, keys: 0, values: 0,
    }, []);
    equal(Headers.prototype[Symbol.iterator], Headers.prototype.entries, "iterator");
    equal(Object.getOwnPropertyDescriptor(Headers.prototype, Symbol.iterator).enumerable, false);
    equal(Object.prototype.toString.call(new Headers()), "[object Headers]");
    throws(TypeError, () => Headers());
    throws(TypeError, () => Headers.prototype.get.call({}, "a"), "Illegal invocation");
  },

  "constructor takes records, sequences, Headers and nothing"() {
    equal(flat(new Headers()), "");
    equal(flat(new Headers(undefined)), "");
    equal(flat(new Headers({ B: "2", a: 1, c: null })), "a=1|b=2|c=null");
    equal(flat(new Headers([["b", "2"], ["a", "1"], ["B", "3"]])), "a=1|b=2, 3");
    equal(flat(new Headers(new Map([["x", "y"]]))), "x=y");
    equal(flat(new Headers(new Headers([["a", "1"], ["a", "2"]]))), "a=1, 2");
    equal(flat(new Headers({ a: "1", A: "2" })), "a=1, 2");
    equal(flat(new Headers(function () {})), "");
    equal(flat(new Headers(Object.create({ inherited: "1" }))), "");
  },

  "constructor refuses what is no init"() {
    for (const bad of [null, 1, "a", true, Symbol("s")]) throws(TypeError, () => new Headers(bad));
    for (const bad of [["a"], [["a"]], [["a", "b", "c"]], [1], [null], { "": "1" }, { "a b": "1" }]) {
      throws(TypeError, () => new Headers(bad));
    }
    throws(TypeError, () => new Headers({ [Symbol("s")]: "1" }));
    throws(TypeError, () => new Headers({ a: Symbol("s") }));
    throws(TypeError, () => new Headers({ [Symbol.iterator]: 1 }));
  },

  "records are read in the order of the standard"() {
    const log = [];
    const proxy = new Proxy({ a: "1", b: "2", C: "3" }, {
      ownKeys(target) { log.push("ownKeys"); return Reflect.ownKeys(target); },
      getOwnPropertyDescriptor(target, key) {
        log.push(`gopd ${key}`);
        const descriptor = Reflect.getOwnPropertyDescriptor(target, key);
        if (key === "b") descriptor.enumerable = false;
        Object.defineProperty(target, key, descriptor);
        return descriptor;
      },
      get(target, key) { log.push(`get ${String(key)}`); return target[key]; },
    });
    const want = ["get Symbol(Symbol.iterator)", "ownKeys", "gopd a", "get a", "gopd b", "gopd C", "get C"];
    equal(flat(new Headers(proxy)), "a=1|c=3");
    equal(log, want);
  },

  "names and values are checked and normalized"() {
    const headers = new Headers();
    for (const name of ["", " ", "a b", "a:", "\u00e4", "\u0100", "a\n", "a(", "a\u0000", "a\u007f"]) {
      throws(TypeError, () => headers.append(name, "x"), "");
      throws(TypeError, () => headers.get(name));
      throws(TypeError, () => headers.has(name));
      throws(TypeError, () => headers.delete(name));
    }
    for (const value of ["a\u0000", "a\nb", "a\rb", "\u0100", "a\r\nx: y"]) {
      throws(TypeError, () => headers.set("a", value));
    }
    headers.set("A-z0!#$%&'*+.^_`|~", " \t\r\n v\t\u00ff v \n");
    equal(flat(headers), "a-z0!#$%&'*+.^_`|~=v\t\u00ff v");
    headers.set("e", "   ");
    equal(headers.get("E"), "");
    headers.set(1, 2);
    equal(headers.get("1"), "2");
    headers.append("e", undefined);
    equal(headers.get("e"), ", undefined");
    throws(TypeError, () => headers.append("a"), "2 arguments required, but only 1 present");
    throws(TypeError, () => headers.get(), "1 argument required, but only 0 present");
  },

  "append, set, delete, get, has"() {
    const headers = new Headers([["a", "1"], ["b", "2"], ["A", "3"], ["c", "4"], ["a", "5"]]);
    equal(headers.get("a"), "1, 3, 5");
    headers.set("a", "6");
    equal(flat(headers), "a=6|b=2|c=4");
    headers.append("d", "7");
    headers.delete("C");
    equal(headers.has("c"), false);
    equal(headers.get("c"), null);
    headers.delete("c");
    headers.delete("a");
    equal(flat(headers), "b=2|d=7");
    headers.delete("d");
    headers.append("e", "8");
    headers.delete("b");
    headers.delete("e");
    headers.append("f", "9");
    equal(flat(headers), "f=9");
    equal(headers.append("x", "y"), undefined);
  },

  "set-cookie stays apart"() {
    const headers = new Headers([["set-cookie", "b=2"], ["a", "1"], ["Set-Cookie", "a=1"], ["z", "2"]]);
    equal(flat(headers), "a=1|set-cookie=b=2|set-cookie=a=1|z=2");
    equal(headers.get("set-cookie"), "b=2, a=1");
    equal(headers.getSetCookie(), ["b=2", "a=1"]);
    equal(new Headers().getSetCookie(), []);
    headers.set("set-cookie", "c=3");
    equal(headers.getSetCookie(), ["c=3"]);
  },

  "iteration is sorted"() {
    const names = Array.from({ length: 300 }, (_, i) => `x-${(i * 7919) % 300}`);
    equal([...new Headers(names.map((name) => [name, "v"])).keys()], names.sort());
    const headers = new Headers({ b: "1", a: "2" });
    equal([...headers.keys()], ["a", "b"]);
    equal([...headers.values()], ["2", "1"]);
    equal([...headers.entries()], [["a", "2"], ["b", "1"]]);
  },

  "iterators"() {
    const iterator = new Headers({ a: "1" })[Symbol.iterator]();
    const prototype = Object.getPrototypeOf(iterator);
    equal(prototype[Symbol.toStringTag], "Headers Iterator");
    equal(Object.getOwnPropertyNames(prototype), ["next"]);
    equal(Object.getOwnPropertyDescriptor(prototype, "next").enumerable, true);
    equal(Object.getPrototypeOf(prototype), Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())));
    throws(TypeError, () => prototype.next.call({}), "Illegal invocation");
    equal(iterator[Symbol.iterator](), iterator);
    equal(JSON.stringify(iterator.next()), '{"value":["a","1"],"done":false}');
    equal(iterator.next().done, true);
    equal(iterator.next().value, undefined);
  },

  "iteration is live"() {
    const headers = new Headers({ b: "1", d: "2" });
    const seen = [];
    for (const [name] of headers) {
      seen.push(name);
      if (name === "b") headers.append("c", "3");
      if (name === "c") headers.delete("b");
    }
    equal(seen, ["b", "c"]);
  },

  "forEach"() {
    const headers = new Headers({ b: "1", a: "2" });
    const self = {};
    const seen = [];
    headers.forEach(function (value, name, object) {
      equal(this, self);
      equal(object, headers);
      seen.push(name + value);
    }, self);
    equal(seen, ["a2", "b1"]);
    throws(TypeError, () => headers.forEach(1), "not of type 'Function'");
    throws(TypeError, () => headers.forEach(), "1 argument required");
  },

  "of an incoming request"(request) {
    const { headers } = request;
    equal(headers, request.headers);
    equal(headers.get("x-multi"), "a, b");
    equal(headers.get("X-MULTI"), "a, b");
    equal(headers.get("cookie"), "c=1; d=2");
    equal(headers.get("x-empty"), "");
    equal(headers.get("x-absent"), null);
    equal(headers.has("X-Multi"), true);
    equal(headers.has("nothing"), false);
    equal(headers.getSetCookie(), []);
    const names = [...headers.keys()].filter((name) => name !== "content-length");
    equal(names, ["content-type", "cookie", "host", "x-empty", "x-multi"]);
    equal(headers.get("cookie"), "c=1; d=2", "cookie, as list");
    equal(headers.get("x-multi"), "a, b", "x-multi, as list");
    equal(headers.has("x-empty"), true, "x-empty, as list");
    throws(TypeError, () => headers.get("a b"));
  },

  "of an incoming request are immutable"(request) {
    const { headers } = request;
    for (const change of [
      () => headers.set("a", "b"), () => headers.append("a", "b"), () => headers.delete("cookie"),
    ]) throws(TypeError, change, "immutable");
    throws(TypeError, () => request.clone().headers.set("a", "b"), "immutable");
    const copy = new Headers(headers);
    copy.set("x-multi", "c");
    equal(copy.get("x-multi"), "c");
    equal(headers.get("x-multi"), "a, b");
    const mutable = new Request(request).headers;
    mutable.append("x-multi", "c");
    equal(mutable.get("x-multi"), "a, b, c");
    equal(mutable.get("cookie"), "c=1; d=2");
  },
});
