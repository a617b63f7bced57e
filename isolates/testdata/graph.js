// A module whose top level makes a graph of random objects, of all kinds that a snapshot may hold, from SEED, a
// constant that is put before it. fetch() answers with a digest of the graph: the same whether the
// module has run or was restored from a snapshot, and whatever has been collected since.

let state = SEED >>> 0;
const random = (n) => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
};
const pick = (list) => list[random(list.length)];
const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));

const nodes = [{}, []];
const node = () => pick(nodes);
// What cannot be listed, or whose reading changes it, is kept with a function that tells what it is.
const told = [];

const words = ["a", "key", "length", "constructor", "0", "17", "4294967295", "-1", "naïve", "中文", "__proto__x", "\0", "x".repeat(300)];
const text = () => {
  switch (random(9)) {
    case 0: return pick(words);
    case 1: return words[random(words.length)] + random(1000); // a cons string, or a flat one
    case 2: return ("left part of it " + random(99) + " and " + pick(words)).repeat(1 + random(9));
    case 3: return "a long text of which a slice is kept, number ".repeat(4).slice(3 + random(20), 60 + random(60));
    case 4: return "\u4e2d\u6587 ".repeat(20 + random(9)).slice(random(9));
    case 5: { const s = "thin" + random(50) + "string"; ({})[s]; return s; }
    case 6: return String.fromCharCode(random(65536), 0xd800 + random(0x800));
    case 7: return random(40) === 0 ? "large".repeat(40_000 + random(9)) : "";
    default: return String(random(2 ** 31));
  }
};
const number = () => pick([0, -0, 1, -1, NaN, Infinity, -Infinity, 2 ** 30, -(2 ** 30) - 1, 2 ** 31, 2 ** 53, 0.1, 5e-324, random(2 ** 31) / 7, random(1000)]);
const bigint = () => pick([0n, -1n, 2n ** 64n, -(2n ** 63n), BigInt(random(2 ** 31)) ** BigInt(random(40))]);
const symbols = times(20, (i) => (i % 2 ? Symbol("own" + i) : Symbol.for("shared" + i)));
const key = () => pick([text, text, () => "k" + random(30), () => pick(symbols), () => pick([Symbol.iterator, Symbol.toStringTag])])();
const value = () => pick([node, node, node, text, number, number, bigint, () => pick(symbols), () => pick([true, false, null, undefined])])();

class Point {
  #x; #own = () => this.#x;
  static made = 0; static #secret = "static";
  y = 2;
  constructor(x) { this.#x = x; Point.made++; }
  get x() { return this.#own(); }
  #hidden() { return Point.#secret + typeof this.#x; }
  tell() { return this.#hidden() + (#x in this); }
}
class Sub extends Point { z; constructor(x) { super(x); this.z = [x]; } get [Symbol.toStringTag]() { return "Sub"; } }
class List extends Array { extra = 1; }
class Memory extends ArrayBuffer { view = new DataView(this, 4); meta = { of: this }; }
class Dictionary extends Map { own = "field"; }

const types = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array];
const fill = (array) => { for (let i = 0; i < array.length; i++) array[i] = typeof array[0] === "bigint" ? BigInt(random(99999)) : random(99999) / 3; return array; };
const view = (buffer) => {
  const type = pick(types), offset = Math.min(8 * random(3), buffer.byteLength);
  return random(4) === 0 ? new DataView(buffer, offset) : new type(buffer, offset, Math.floor((buffer.byteLength - offset) / type.BYTES_PER_ELEMENT));
};

let settleAll = [];
const registry = new FinalizationRegistry(() => {}), weak = new WeakMap(), weakSet = new WeakSet();

const kinds = [
  () => { const o = {}; for (let i = random(12); i > 0; i--) o[key()] = value(); return o; },
  () => { const o = {}; for (let i = 0; i < 40; i++) o["p" + random(60)] = value(); for (let i = 0; i < 20; i++) delete o["p" + random(60)]; return o; },
  () => { const o = Object.create(pick([null, node(), Point.prototype])); for (let i = random(5); i > 0; i--) Reflect.set(o, "k" + i, value(), o); return o; },
  () => ({ a: number(), b: number(), c: { d: random(9) + 0.5 } }), // fields with doubles
  () => { const o = { get late() { return 1 + this.base; }, set late(v) {}, base: random(99) }; Object.defineProperty(o, "fixed", { value: value() }); return o; },
  () => pick([Object.freeze, Object.seal, Object.preventExtensions])({ [text() + "x"]: value(), list: Object.freeze([random(9), value()]) }),
  () => times(random(50), () => random(99)),
  () => times(random(50), () => random(99) + 0.25),
  () => times(random(50), value),
  () => { const a = [1.5, , 2.5]; a[random(30)] = random(9); return a; },
  () => { const a = new Array(random(200)); for (let i = random(9); i > 0; i--) a[random(200)] = value(); return a; },
  () => { const a = [value()]; a[1_000_000 + random(1000)] = value(); a.name = text(); return a; },
  () => { const a = List.from(times(random(9), value)); a[pick(["own", "length2"])] = value(); return a; },
  () => (random(6) === 0 ? times(40_000, (i) => (i % 5000 ? i : node())) : []), // beyond what a page holds
  () => (random(6) === 0 ? times(20_000, (i) => i / 3) : []),
  () => pick([Map, Dictionary, Map])[Symbol.species] && new (pick([Map, Dictionary]))(times(random(30), () => [value(), value()])),
  () => { const m = new Map(times(60, (i) => [i, value()])); for (let i = 0; i < 40; i++) m.delete(random(60)); const it = m.entries(); it.next(); m.delete(3); m.set("new", 1);
    told.push(() => { const seen = [...it].length; return [seen, it.next().done]; }); return m; },
  () => new Set(times(random(30), value)),
  () => { const k = node(); if (typeof k === "object") { weak.set(k, value()); weakSet.add(k); registry.register(k, 1, k); } return { ref: typeof k === "object" ? new WeakRef(k) : 0, k }; },
  () => new WeakMap(times(random(20), () => [{}, value()])), // most entries are garbage
  () => { const inner = new WeakMap(), a = {}, b = {}; inner.set(a, b); inner.set(b, { end: random(99) }); return { inner, a, [Symbol.for("tell")]: () => inner.get(inner.get(a)).end }; },
  () => fill(new (pick(types))(random(16))),
  () => fill(new (pick(types))(random(3000))),
  () => { const b = new ArrayBuffer(8 * random(600)); const v = view(b); b.views = [v, view(b)]; return pick([v, b, b.views]); },
  () => { const b = new ArrayBuffer(8 * random(64), { maxByteLength: 4096 }); b.v = new Uint8Array(b); b.d = new DataView(b); b.resize(8 * random(500)); b.v.fill(random(255)); return b; },
  () => { const m = new Memory(8 + random(99)); m.view.setUint8(1, random(255)); return m; },
  () => { const a = fill(new Uint16Array(random(90))); a.buffer.transfer(); return a; }, // detached
  () => new Date(random(2 ** 31) * 1000 - 1e12), () => new Date(NaN),
  () => { const r = new RegExp(pick(["a(b)?c", "(?<n>\\d+)-\\k<n>", "[^\\u4e2d]+$", "(?<=x)y|z*"]), pick(["", "g", "gi", "y", "u", "d", "v"])); r.exec("abc 12-12 xyz"); r.test("xyyz"); r.own = value(); return r; },
  () => { const e = new (pick([Error, TypeError, RangeError]))(text(), { cause: value() }); e.code = random(9); return e; },
  () => new AggregateError([new Error("inner"), value()], "many"),
  () => Object(pick([() => random(9), text, bigint, () => pick(symbols), () => true])()),
  () => new Proxy(pick([{}, [], () => 1]), { get: (target, k) => (k === Symbol.for("tell") ? () => "proxied" : Reflect.get(target, k)), ownKeys: () => [] }),
  () => { const { proxy, revoke } = Proxy.revocable({}, {}); if (random(2)) revoke(); return { proxy }; },
  () => { const n = value(); return () => n; },
  () => { let n = random(9); const f = function named(a, b = n) { return [++n, a, b, new.target]; }; f.own = value(); return f; },
  () => { const self = { id: random(99) }; const f = function (a, b) { return [this.id, a, b]; }.bind(self, text()); return f; },
  () => new Point(value()), () => new Sub(value()), () => { const C = class extends Sub { static s = random(9); m() { return super.tell(); } }; return new C(1); },
  () => (function (a, b) { arguments[1] = value(); return arguments; })(value(), 2, text()), // mapped
  () => (function () { "use strict"; return arguments; })(value(), text()),
  () => { const list = times(5, value); const g = (function* () { try { for (const x of list) yield x; } finally { told.push(() => "closed"); } })(); g.next(); told.push(() => g.next().done); return g; },
  () => { const it = pick([() => [1, 2, 3][Symbol.iterator](), () => "abc"[Symbol.iterator](), () => new Set([1, 2]).values(), () => [1, 2].values().map((x) => x * 2), () => "a1b2".matchAll(/\d/g)])(); it.next(); told.push(() => typeof it.next().value); return it; },
  () => Promise.resolve(value()), () => new Promise(() => {}),
  () => { const p = Promise.reject(new Error("caught")); p.catch(() => {}); return p; },
  () => { let settle; const p = new Promise((done) => (settle = done)); const r = { n: 0 }; (async () => { r.n += await p; for await (const x of [p, 1]) r.n += x; })(); settleAll.push(settle); told.push(() => r.n); return r; },
  () => { const g = (async function* () { yield 1; yield 2; })(); const r = { seen: [] }; g.next().then((x) => r.seen.push(x.value)); told.push(() => r.seen.length); return r; },
  () => JSON.parse(`{"a":[1,2.5,"x",{"b":null}],"long":"${"y".repeat(random(400))}","${random(99)}":{"k${random(5)}":1}}`),
  () => structuredClone(new Map([[text(), new Set([number()])], ["date", new Date(0)], ["buffer", fill(new Float32Array(4))]])),
  () => new URL("http://host:8080/path?q=" + random(99) + "#f"), () => new Headers({ a: text().replace(/[^a-z]/g, ""), b: "c" }),
  () => ((strings, ...rest) => [strings, strings.raw, rest])`one${random(9)}two\n`,
  () => new Function("a", "return a + " + random(99)), () => (0, eval)("(x) => x * " + random(9)),
  () => { const o = {}; for (let i = 0; i < 1200; i++) o["many" + i] = i; return o; },
  () => { let o = null; for (let i = 0; i < 3000; i++) o = { next: o, i }; return o; }, // deeper than a stack
  () => { const o = {}; o.self = o; o.list = [o, o]; return o; },
  () => { const f = function F() { this.a = 1; this.b = value(); }; f.prototype.m = () => 5; const made = [new f(), new f()]; f.prototype.late = random(9); return made; },
  () => { const target = node(); if (typeof target === "object" && target !== null && Object.isExtensible(target) && !ArrayBuffer.isView(target)) try { target["k" + random(30)] = node(); } catch {} return { target }; },
];

for (let i = 0; i < 300; i++) {
  const made = pick(kinds)();
  if (made !== null && made !== undefined && typeof made !== "boolean") nodes.push(made);
}
globalThis["own " + SEED] = nodes;
Array.prototype["ours" + SEED] = node();
Object.defineProperty(Array.prototype, "ours" + SEED, { enumerable: false });

// hash is FNV-1a of UTF-16 units.
let hash, parts;
const note = (part) => {
  const s = typeof part === "string" ? part : Object.is(part, -0) ? "-0" : String(part);
  parts++;
  for (let i = 0; i < s.length; i += s.length > 100 ? 17 : 1) hash = Math.imul(hash ^ s.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ s.length, 0x01000193);
};
const mix = (bytes) => { let h = 1; for (let i = 0; i < bytes.length; i++) h = (Math.imul(h, 31) + bytes[i]) | 0; return h; };
const digest = () => {
  const ids = new Map(), queue = [];
  hash = 0x811c9dc5; parts = 0;
  const enter = (v) => {
    if ((typeof v === "object" && v !== null) || typeof v === "function") {
      if (!ids.has(v)) { ids.set(v, ids.size); queue.push(v); }
      note("#" + ids.get(v));
    } else note(typeof v + (typeof v === "symbol" ? v.toString() : Object.is(v, -0) ? "-0" : v));
  };
  nodes.forEach(enter);
  for (let at = 0; at < queue.length && at < 20_000; at++) {
    const o = queue[at];
    let tell;
    try {
      tell = o[Symbol.for("tell")];
      note(typeof o + Array.isArray(o) + Object.isExtensible(o) + Object.isFrozen(o));
    } catch { note("revoked"); continue; }
    if (tell) { note(tell()); if (tell() === "proxied") continue; }
    // Of V8's own objects and classes not the names, but that they are the same ones.
    if (typeof o === "function") { note(o.name + o.length); if (!("own" in o)) continue; }
    try { // some only inherit from what has these
      if (ArrayBuffer.isView(o)) { note(o.byteLength + "@" + o.byteOffset); enter(o.buffer); if (o.buffer.byteLength > 0) note(mix(new Uint8Array(o.buffer, o.byteOffset, o.byteLength))); if (!(o instanceof DataView)) continue; }
      if (o instanceof ArrayBuffer) { note(o.byteLength + "/" + o.maxByteLength + o.resizable + o.detached); }
      if (o instanceof Map) for (const [k, v] of o) { enter(k); enter(v); }
      if (o instanceof Set) for (const v of o) enter(v);
      if (o instanceof WeakRef) enter(o.deref());
      if (o instanceof Date) note(Date.prototype.getTime.call(o));
      if (o instanceof RegExp) { note(o.source + o.flags + o.lastIndex); note(JSON.stringify("abc 12-12 xyz".match(new RegExp(o)))); }
      if (o instanceof Error) note(Object.prototype.toString.call(o) + o.message);
      if (o instanceof Point && Object.hasOwn(o, "y")) { note(o.tell()); enter(o.x); }
      if (o instanceof URL) note(o.href);
      if (o instanceof Headers) note([...o].join());
      if (o instanceof Number || o instanceof String || o instanceof BigInt || o instanceof Boolean) note(o.valueOf());
    } catch (e) { note(e.name); }
    if (weak.has(o)) enter(weak.get(o));
    note(weakSet.has(o));
    const prototype = Object.getPrototypeOf(o);
    if (prototype === null || prototype === Object.prototype || prototype === Array.prototype) note(String(prototype === null) + (prototype === Array.prototype));
    else note(prototype.constructor?.name ?? "none");
    for (const k of Reflect.ownKeys(o)) {
      if (k === "stack") continue; // its lines differ by what runs
      const d = Reflect.getOwnPropertyDescriptor(o, k);
      note(typeof k === "symbol" ? k.toString() : k);
      note(d.writable + "" + d.enumerable + d.configurable + typeof d.get);
      try {
        enter("value" in d ? d.value : d.get?.call(o));
      } catch (e) { note(e.name); }
    }
  }
  symbols.forEach((s, i) => note(i % 2 || Symbol.for("shared" + i) === s));
  note(Point.made); note(nodes.length);
  return `${(hash >>> 0).toString(16)} of ${parts} parts, ${ids.size} objects`;
};

// churn has young objects collected, and some of them become old.
const kept = [];
const churn = () => { for (let i = 0; i < 100_000; i++) { const o = { i, list: [i] }; if (i % 997 === 0) kept.push(o); } };

export default {
  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === "/churn") { churn(); return new Response(digest()); }
    if (path === "/end") {
      for (const settle of settleAll) settle(5);
      settleAll = [];
      for (let i = 0; i < 50; i++) await null; // what waits for them goes on
      const tales = told.splice(0).map((tell) => String(tell()));
      return new Response(tales.join(" "));
    }
    return new Response(digest());
  },
};
