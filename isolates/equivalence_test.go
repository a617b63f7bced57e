package isolates

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nano/snapshot"
)

// An app answers alike whether it starts from source, from code caches or from its snapshot.
// Each app answers with what it finds; "!" in it says that the app itself found something wrong.
var equivalent = map[string][]string{
	"collections": {"app.js", `
		const key = { k: 1 }, symbol = Symbol("s"), shared = Symbol.for("shared"), f = () => 1;
		const map = new Map([[key, "object"], [symbol, "symbol"], [shared, "shared"], ["s", "string"], [1, "number"], [-0, "zero"], [NaN, "nan"],
			[2n ** 80n, "bigint"], [1.5, "double"], [null, "null"], [undefined, "undefined"], [true, "true"], [f, "function"], [2 ** 40, "large"]]);
		const set = new Set(map.keys()), weak = new WeakMap([[key, 1], [f, 2], [symbol, 3]]), weakSet = new WeakSet([key, symbol]);
		for (let i = 0; i < 1000; i++) map.set({ i }, i);
		for (let i = 0; i < 500; i++) map.set("del" + i, i);
		for (let i = 0; i < 500; i += 2) map.delete("del" + i);
		const iterator = map.values(); iterator.next(); iterator.next();
		export default { fetch() { return Response.json([map.get(key), map.get(symbol), map.get(Symbol.for("shared")), map.get("s"), map.get(1), map.get(0),
			map.get(NaN), map.get(2n ** 80n), map.get(1.5), map.get(null), map.get(undefined), map.get(true), map.get(f), map.get(2 ** 40), map.size,
			set.has(key), set.has(symbol), set.has(2n ** 80n), set.size, weak.get(key), weak.get(f), weak.get(symbol), weakSet.has(key), weakSet.has({}),
			map.get("del1"), map.has("del2"), iterator.next().value, [...map.values()].length, [...set.union(new Set(["new"]))].length]) } }`},
	"objects": {"app.js", `
		const dictionary = {}; for (let i = 0; i < 3000; i++) dictionary["k" + i] = i; for (let i = 0; i < 3000; i += 3) delete dictionary["k" + i];
		const sparse = []; sparse[5_000_000] = 1; const holey = [1, , 3]; const bare = Object.create(null, { x: { value: 1, enumerable: true } });
		const frozen = Object.freeze({ a: [1], get b() { return 2; } }), sealed = Object.seal({ s: 1 }), closed = Object.preventExtensions({ p: 1 });
		let gets = 0; const accessor = { get x() { return ++gets; }, set x(v) { gets = v; } };
		const deep = {}; let at = deep; for (let i = 0; i < 2000; i++) at = at.next = {}; const cycle = {}; cycle.self = cycle;
		const frozenList = Object.freeze([1, 2, 3]); const args = (function () { return arguments; })(1, 2);
		const refused = (o, k) => { try { o[k] = 1; return "!"; } catch (e) { return e.message; } };
		export default { fetch() { let n = 0; for (let x = deep; x.next; x = x.next) n++;
			return Response.json([Object.keys(dictionary).length, dictionary.k1, dictionary.k3 === undefined, Object.keys(dictionary).slice(0, 3), sparse.length,
			Object.keys(sparse), 1 in holey, bare, Object.getPrototypeOf(bare), refused(frozen, "a"), refused(frozen, "z"), frozen.b, sealed, refused(sealed, "z"),
			refused(closed, "z"), accessor.x, (accessor.x = 10, accessor.x), n, cycle.self === cycle, refused(frozenList, 0), args.length, [...args],
			Object.isFrozen(frozenList)]) } }`},
	"classes": {"app.js", `
		class Base { #p = 1; static #count = 0; static { Base.block = "ran"; } constructor() { Base.#count++; } get p() { return this.#p; } set p(v) { this.#p = v; }
			#hidden() { return "hidden" + this.#p; } call() { return this.#hidden(); } static get count() { return Base.#count; } static is(o) { return #p in o; } field = [1]; ["comp" + "uted"] = 2; }
		class Derived extends Base { constructor() { super(); } call() { return "d" + super.call(); } get [Symbol.toStringTag]() { return "Tagged"; } }
		class List extends Array { last() { return this.at(-1); } } class Failure extends Error { name = "Failure"; constructor(m) { super(m); this.code = 7; } }
		class Keyed extends Map { get(k) { return super.get(k) ?? "none"; } } const anonymous = class {}; function Old(x) { if (!new.target) return "!"; this.x = x; } Old.prototype.y = 2;
		const one = new Base(), two = new Derived(), list = List.from([1, 2, 3]), failure = new Failure("m"), keyed = new Keyed([[1, 2]]), old = new Old(3); two.p = 5;
		const bound = two.call.bind(two), Mixed = ((B) => class extends B { mixed = 1; })(Derived);
		export default { fetch() { const three = new Derived(); return Response.json([one.call(), two.call(), three.call(), Base.count, Base.block, Base.is(one), Base.is({}), String(two), two.field, one.computed,
			list.last(), list.map((x) => x * 2).last(), list instanceof List, failure instanceof Failure, failure.name, failure.code, String(failure), keyed.get(1), keyed.get(2), anonymous.name,
			old.x + old.y, bound(), new Mixed().mixed, Mixed.name, Object.getOwnPropertyNames(Derived.prototype), Base.toString().length, structuredClone(new Date(5)).getTime()]) } }`},
	"generators": {"app.js", `
		function* count(n) { try { while (true) { const got = yield n++; if (got) n = got; } } finally { n = -1; } }
		async function* later(n) { while (n < 5) { await null; yield n++; } } const a = count(1); a.next(); a.next(); const delegate = (function* () { yield* [1, 2, 3]; return 4; })(); delegate.next();
		const async = later(0); const first = await async.next(); const iterable = { async *[Symbol.asyncIterator]() { yield 1; yield 2; } };
		const taken = Iterator.from([1, 2, 3, 4]).filter((x) => x % 2).map((x) => x * 10); taken.next(); const chars = "a😀b"[Symbol.iterator](); chars.next();
		const entries = [7, 8, 9].entries(); entries.next(); const matches = "a1b2".matchAll(/\d/g); matches.next(); let release; const gate = new Promise((r) => release = r); const held = (async () => { const x = await gate; return x + 1; })();
		const all = Promise.all([gate, 1]), race = Promise.race([gate, new Promise(() => {})]), thenable = { then(r) { r("then"); } }; const { promise, resolve } = Promise.withResolvers();
		export default { async fetch() { const rest = []; for await (const x of async) rest.push(x); const two = []; for await (const x of iterable) two.push(x); release(41); resolve("r");
			return Response.json([a.next().value, a.next(10).value, a.next().value, a.return(5), [...delegate], first.value, rest, two, taken.next().value, [...chars], entries.next().value, matches.next().value[0],
				await held, await all, await race, await thenable, await promise]) } }`},
	"regexps": {"app.js", `
		const sticky = /a(?<n>\d)/y, global = /\w/gu, sets = /[\p{L}--[a-z]]/v, behind = /(?<=\$)\d+/, named = /(?<y>\d{4})-(?<m>\d\d)/d, back = /(.)\1/s, warm = /x+y/i;
		for (let i = 0; i < 2000; i++) warm.test("XXXXY" + i); sticky.exec("a1a2"); global.exec("ab"); const split = /(,)/; RegExp.prototype.mine = 1;
		export default { fetch() { return Response.json([sticky.lastIndex, sticky.exec("a1a2").groups.n, global.lastIndex, sets.test("É"), sets.test("a"), behind.exec("$42")[0], named.exec("2024-05").indices.groups.m,
			back.test("aab"), warm.test("xxy"), "a,b".split(split), String(named), named.flags, "aBc".replace(/b/i, (m) => m + m), warm.mine, "x".replaceAll(/x/g, "$&$&"), RegExp.escape?.("a.b") ?? 0]) } }`},
	"binary": {"app.js", `
		const buffer = new ArrayBuffer(64), bytes = new Uint8Array(buffer, 8, 16), view = new DataView(buffer, 4), floats = new Float32Array([1.5, -0, NaN]), big = new BigUint64Array([2n ** 63n]);
		view.setInt32(4, 0x01020304); bytes[15] = 255; const large = new Uint8Array(1 << 20).fill(9), empty = new Uint8Array(0), growing = new ArrayBuffer(4, { maxByteLength: 32 }), tracking = new Uint8Array(growing); growing.resize(8); tracking[7] = 3;
		const moved = new ArrayBuffer(8); const target = moved.transfer(); class Bytes extends Uint8Array { total() { return this.reduce((a, b) => a + b, 0); } } const mine = new Bytes([1, 2, 3]); const text = new TextEncoder().encode("é😀"), decoder = new TextDecoder("utf-16le"), part = new TextDecoder(); part.decode(new Uint8Array([0xc3]), { stream: true });
		export default { fetch() { return Response.json([bytes[0], view.getInt32(4), [...bytes].length, bytes.buffer === buffer, [...floats].map(String), String(big[0]), large.length, large[1000000], empty.length, tracking.length, tracking[7], growing.resizable,
			moved.detached, target.byteLength, mine.total(), mine.subarray(1) instanceof Bytes, [...text], decoder.decode(new Uint8Array([65, 0])), part.decode(new Uint8Array([0xa9])), (growing.resize(16), tracking.length), structuredClone(bytes).buffer.byteLength]) } }`},
	"templates": {"app.js", `
		const seen = new Map(); function tag(strings, ...values) { const known = seen.has(strings); seen.set(strings, 1); return [known, strings.raw[0], ...values]; } const use = (x) => tag` + "`a\\n${x}b`" + `; use(1);
		const rope = Array.from({ length: 3000 }, (_, i) => "s" + i).join("") + "tail", cons = "x".repeat(5000) + rope, slice = cons.slice(10, 5020), wide = "日本" + cons; const table = {}; for (let i = 0; i < 5000; i++) table["ключ" + i] = "v" + i; const lone = "\ud800x", internal = Symbol("d"), well = Symbol.iterator;
		export default { fetch() { return Response.json([use(2), use(3), rope.length, cons.slice(-4), slice.length, wide.length, table["ключ4999"], Object.keys(table).length, lone.charCodeAt(0), lone.isWellFormed(), internal.description, well === Symbol.iterator, Symbol.keyFor(Symbol.for("r")), "ß".toUpperCase(), "ä".normalize("NFD").length]) } }`},
	"proxies": {"app.js", `
		const log = []; const proxy = new Proxy(class { static x = 1; }, { get(t, k, r) { log.push(String(k)); return Reflect.get(t, k, r); }, has: (t, k) => k === "magic" || k in t, construct: (t, a) => ({ made: a.length }), ownKeys: (t) => Reflect.ownKeys(t), apply: () => "!" });
		const { proxy: revoked, revoke } = Proxy.revocable({}, {}); revoke(); const over = new Proxy([], { set(t, k, v) { t[k] = v * 2 || v; return true; } }); over.push(2);
		export default { fetch() { let error; try { revoked.x; } catch (e) { error = e.message; } return Response.json([proxy.x, "magic" in proxy, "none" in proxy, new proxy(1, 2).made, error, over[0], Array.isArray(over), log, Reflect.ownKeys(proxy)]) } }`},
	"modules": {"app.js", `
		import * as many from "./many.js"; import { a, getA } from "./a.js"; import { b } from "./lib/b.js"; import one, { live, bump } from "./live.js"; import lazy, { meta } from "./lib/lazy.js"; export { a as again } from "./a.js"; bump(); const later = await Promise.resolve(1);
		export default { async fetch() { bump(); let wrong; try { many.e1 = 2; } catch (e) { wrong = e.message; }
			return Response.json([Object.keys(many).length, many.e1999(), many[Symbol.toStringTag], a, getA(), b(), one, live, later, lazy, meta.replace(/.*\//, ""), import.meta.url.replace(/.*\//, ""), wrong, typeof this, typeof require]) } }`,
		"many.js", func() string {
			text := ""
			for i := range 2000 {
				text += fmt.Sprintf("export function e%d() { return %d; }\n", i, i)
			}
			return text
		}(),
		"a.js", `import { b } from "./lib/b.js"; export let a = "a"; export function getA() { return a + b(); }`,
		"lib/b.js", `import { a } from "../a.js"; export function b() { try { return "b" + a; } catch (e) { return e.name; } } export const early = b();`,
		"live.js", `export let live = 0; export function bump() { live++; } export default "one";`,
		"lib/lazy.js", `export const meta = import.meta.url; export default "lazy";`},
	"web": {"app.js", `
		const url = new URL("https://u:p@host:8443/a/../b?x=1&y=2#h"), params = url.searchParams, headers = new Headers([["A", "1"], ["a", "2"], ["set-cookie", "x"]]), request = new Request("http://r/x", { method: "POST", headers, body: "body" });
		const controller = new AbortController(), target = new EventTarget(), heard = []; target.addEventListener("e", (e) => heard.push(e.type + e.detail), { once: true }); controller.signal.addEventListener("abort", () => heard.push("abort")); const any = AbortSignal.any([controller.signal]), done = AbortSignal.abort("why");
		const stream = new ReadableStream({ start(c) { c.enqueue("a"); c.enqueue("b"); c.close(); } }), [left, right] = new ReadableStream({ n: 0, pull(c) { if (this.n++ < 3) c.enqueue(this.n); else c.close(); } }).tee();
		const blob = new Blob(["bl", new Uint8Array([111, 98])], { type: "text/plain" }), form = new FormData(); form.append("f", blob, "n.txt"); form.append("k", "v"); const clone = structuredClone(new Map([[{ a: 1 }, new Set([1n])]])); const exception = new DOMException("m", "AbortError"), response = new Response("kept", { status: 201, headers: { q: "1" } });
		const upper = new TransformStream({ transform(x, c) { c.enqueue(x.toUpperCase()); } }); const ready = stream.pipeThrough(upper); const resolved = queueMicrotask(() => heard.push("micro"));
		export default { async fetch() { target.dispatchEvent(new CustomEvent("e", { detail: 1 })); target.dispatchEvent(new Event("e")); controller.abort(); params.append("z", "3"); const got = []; for await (const x of ready) got.push(x); const l = []; for await (const x of left) l.push(x); const r = []; for await (const x of right) r.push(x);
			return Response.json([url.href, url.origin, [...params], [...headers], headers.getSetCookie(), request.method, await request.text(), heard, any.aborted, done.reason, got, l, r, await blob.text(), blob.type, [...form.keys()], form.get("f").name, [...clone.keys()], String([...[...clone.values()][0]][0]), exception.name, exception instanceof Error, response.status, await response.text(), new URL("/q", url).href, btoa("x"), atob("eA=="), new URLSearchParams({ a: "b" }).toString()]) } }`},
	"errors": {"app.js", `
		const early = new Error("early");
		function thrower() {
			null.x;
		}
		const kept = (() => { try { thrower(); } catch (e) { return e; } })();
		const aggregate = new AggregateError([1, early], "agg"), caused = new TypeError("t", { cause: early });
		const lines = (e) => [...e.stack.matchAll(/at (\S*).*?app\.js:(\d+):(\d+)/g)].map((m) => m.slice(1).join(":"));
		export default { async fetch() {
			const now = []; try { thrower(); } catch (e) { now.push(...lines(e)); }
			const made = await (async () => { await null; return new Error("made"); })();
			let hook; { const was = Error.prepareStackTrace; Error.prepareStackTrace = (e, sites) => sites[0].getLineNumber() + ":" + sites[0].getColumnNumber(); hook = new Error().stack; Error.prepareStackTrace = was; }
			let overflow; try { (function f() { f(); })(); } catch (e) { overflow = e.name; }
			let syntax; try { new Function("}"); } catch (e) { syntax = e.name; }
			const evaluated = (0, eval)("() => new Error('e').stack.split('\\n').length > 1")();
			return Response.json([lines(early), lines(kept), kept.message, now, lines(made), hook, aggregate.errors.length, aggregate.errors[1] === early, caused.cause === early, overflow, syntax, evaluated, thrower.toString(), thrower.name]); } }`},
	"globals": {"app.js", `
		globalThis.own = { n: 1 }; Array.prototype.ours = function () { return "ours" + this.length; }; Object.defineProperty(globalThis, "getter", { get: () => own.n, configurable: true }); (0, eval)("var sloppy = 5; function named() { return sloppy; }"); delete globalThis.escape; const { map } = Array.prototype; Object.defineProperty(Number.prototype, "twice", { get() { return this * 2; } }); String.prototype.shout = function () { return this.toUpperCase() + "!".length; };
		const stringify = JSON.stringify; JSON.stringify = (...a) => stringify(...a); const proto = { __proto__: { up: 1 }, down: 2 }; const frozenMath = Object.freeze(JSON); console.log("at the top"); const now = typeof Date.now(), date = new Date(0); let inFetch = false; const f = new Function("a", "return a + own.n"); with_();
		function with_() { globalThis.undefined_ = void 0; }
		export default { fetch() { own.n++; inFetch = true; return Response.json([own.n, [1, 2].ours(), getter, sloppy, named(), typeof escape, map.call([1], (x) => x + 1), (4).twice, "a".shout(), proto.up + proto.down, Object.isFrozen(frozenMath), now, date.toISOString(), f(1), "undefined_" in globalThis, Object.keys(globalThis).filter((k) => /own|getter|sloppy|named/.test(k)), Math.random() < 1, typeof crypto.randomUUID(), new Date() > 1e12, typeof performance.now(), navigator?.userAgent?.length > 0]) } }`},
	"stack limit": {"app.js", `
		const was = Error.stackTraceLimit; Error.stackTraceLimit = 3; const f = (n) => n ? f(n - 1) : new Error("n"), early = f(20); const o = {}; Error.captureStackTrace(o);
		const lines = (e) => e.stack.split("\n").length;
		export default { fetch() { const before = Error.stackTraceLimit, now = lines(f(20)); Error.stackTraceLimit = 5; return Response.json([was, before, lines(early), now, lines(f(20)), typeof o.stack, Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")]); } }`},
	"no stack limit": {"app.js", `delete Error.stackTraceLimit; const early = new Error("x").stack;
		export default { fetch() { return Response.json([String(early), String(new Error("x").stack), String(Error.stackTraceLimit)]); } }`},
	"many functions": {"app.js", func() string {
		text := "const all = [];\n"
		for i := range 3000 {
			text += fmt.Sprintf("all.push(function f%d(x) { const o = { a%d: x, b: [x, %d] }; return o.a%d + o.b[1]; });\n", i, i, i, i)
		}
		return text + `for (let k = 0; k < 200; k++) all[0](k), all[1](k);
			export default { fetch() { let sum = 0; for (const f of all) sum += f(1); return Response.json([sum, all[2999].name, all[77].toString().length]); } }`
	}()},
}

func TestAppsAnswerAlikeFromSourceCacheAndSnapshot(t *testing.T) {
	for name, files := range equivalent {
		t.Run(name, func(t *testing.T) {
			resolved, err := bundle(t, files...)
			if err != nil {
				t.Fatal(err)
			}
			options := AppOptions{Name: "test", EnvJSON: "{}"}
			want := answers(t, testRuntime.NewApp(options, resolved), "source")
			if strings.Contains(want, "uncaught") || strings.Contains(want, `"!"`) {
				t.Fatal(want)
			}
			cached := testRuntime.NewApp(options, resolved)
			built, err := testRuntime.BuildWithoutSnapshot(resolved, BuildOptions{Name: "test"}, "a test")
			if err != nil {
				t.Fatal(err)
			}
			cached.SetImage(stored(t, resolved, built))
			compare(t, "cache", want, answers(t, cached, "cache"))
			restored := testRuntime.NewApp(options, resolved)
			built, image := build(t, resolved, BuildOptions{})
			if built.Reason != "" {
				t.Fatal(built.Reason)
			}
			restored.SetImage(image)
			compare(t, "snapshot", want, answers(t, restored, "snapshot"))
			compare(t, "a second isolate of the snapshot", want, answers(t, restored, "snapshot"))
		})
	}
}

// stored puts an image without warmup into a file.
func stored(t testing.TB, bundle *Bundle, built Built) *Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.snapshot")
	if err := os.WriteFile(path, snapshot.Encode(testRuntime.ImageKey(bundle, ""), built.Sections), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := testRuntime.Image(func() (*snapshot.File, error) { return snapshot.Open(path) })
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// answers are what an app's new isolate answers after a collection, which moves what it can.
func answers(t *testing.T, app *App, how string) string {
	t.Helper()
	isolate := startImage(t, app, how)
	isolate.Collect()
	record := fetch(t, isolate, get)
	return string(record.Head) + string(record.Body) + string(record.Reason)
}

func compare(t *testing.T, how, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("from %s\ngot  %s\nfrom source\nwant %s", how, got, want)
	}
}
