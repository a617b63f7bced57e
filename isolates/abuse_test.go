package isolates

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An abuse is code of an app that tries to take more than it may. It is the body of the handler, with
// a request r and a context ctx.
type abuse struct {
	name, body string
	// What must come of it: cpu, memory, a status, or several of them, separated by "|", where V8's
	// own heuristics decide which comes first.
	want string
}

var abuses = []abuse{
	// Allocations that V8 has no way to refuse.
	{"array fill", `new Array(2**27).fill(1)`, "memory"},
	{"sparse array fill", `const a = []; a.length = 2**32 - 1; a.fill(1)`, "memory|cpu"},
	{"Array.from", `Array.from({length: 1e9})`, "memory|cpu"},
	{"split", `"a".repeat(2**28).split("")`, "memory"},
	{"repeat", `"x".repeat(2**29)`, "500"},
	{"repeat of repeats", `const f = (x) => x.repeat(2**29 - 24); f("x") + f("y")`, "memory|500"},
	{"flattened rope", `let s = "x"; for (let i = 0; i < 28; i++) s += s; s.charCodeAt(5); return new Response(s)`, "memory|500"},
	{"array growth", `const a = []; for (;;) a.push(a)`, "memory"},
	{"array literals", `let a = []; for (;;) a = [a, a, a]`, "memory"},
	{"spread", `let a = [1]; for (;;) a = [...a, ...a]`, "memory"},
	{"concat", `let a = [1, 2, 3]; for (;;) a = a.concat(a)`, "memory"},
	{"objects", `let o = {}; for (let i = 0; ; i++) o["k" + i] = {i}`, "memory"},
	{"map", `const m = new Map; for (let i = 0; ; i++) m.set(i, i)`, "memory|500"},
	{"set", `const m = new Set; for (let i = 0; ; i++) m.add(i)`, "memory|500"},
	{"weak map", `const m = new WeakMap, k = []; for (;;) { const o = {}; k.push(o); m.set(o, o) }`, "memory"},
	{"bigint", `let b = 3n; for (;;) b *= b`, "memory|cpu|500"},
	{"bigint power", `return new Response(String(7n ** (2n ** 27n)))`, "memory|cpu|500"},
	{"symbols", `const a = []; for (let i = 0; ; i++) a.push(Symbol.for("s" + i))`, "memory"},
	{"closures", `let f = () => 0; for (;;) { const g = f; f = () => g }`, "memory"},
	{"error stacks", `const a = []; for (;;) a.push(new Error("e").stack)`, "memory|cpu"},
	{"json bomb", `JSON.parse("[".repeat(4e7))`, "cpu|500"},
	{"json wide", `JSON.parse("[" + "{},".repeat(2e7) + "1]")`, "memory|cpu"},
	{"stringify", `const a = Array(1e6).fill("x".repeat(1000)); return new Response(JSON.stringify(a))`, "memory|cpu|500"},
	{"typed arrays", `const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))`, "memory"},
	{"typed arrays caught", `const a = []; for (;;) try { a.push(new Uint8Array(1 << 20)) } catch {}`, "memory"},
	{"one typed array", `new Uint8Array(2**32)`, "500"},
	{"shared buffers", `if (typeof SharedArrayBuffer === "undefined") for (;;); const a = []; for (;;) a.push(new SharedArrayBuffer(1 << 20))`, "memory|cpu"},
	{"resizable buffers", `const a = []; for (;;) { const b = new ArrayBuffer(0, {maxByteLength: 1 << 24}); b.resize(1 << 24); a.push(b) }`, "memory|500"},
	{"wasm memories", `const a = []; for (;;) { const m = new WebAssembly.Memory({initial: 160}); a.push(m) }`, "memory|500"},
	{"wasm grow", `const m = new WebAssembly.Memory({initial: 1}); for (;;) m.grow(100)`, "memory|500"},
	{"shared wasm memories", `const a = []; for (;;) a.push(new WebAssembly.Memory({initial: 160, maximum: 160, shared: true}))`, "memory|500"},
	{"wasm tables", `const a = []; for (;;) a.push(new WebAssembly.Table({initial: 1e6, element: "anyfunc"}))`, "memory|cpu|500"},
	{"blobs", `const a = []; for (;;) a.push(new Blob(["x".repeat(1e6), ...a.slice(-1)]))`, "memory|cpu|500"},
	{"large URLs", `const u = "http://a/" + "\u00e9".repeat(4e6), a = []; for (;;) a.push(new URL(u))`, "memory|cpu|500"},
	{"large insertions", `const page = new Response("<a>".repeat(100)), text = "y".repeat(1e6);
		return new HTMLRewriter().on("a", { element(e) { e.before(text) } }).transform(page)`, "memory|cpu|500|200"},
	{"text encoder", `const a = []; for (;;) a.push(new TextEncoder().encode("x".repeat(1e6)))`, "memory"},
	{"large response", `return new Response("\u00e9".repeat(5e8))`, "memory|500"},
	{"structured clone", `let o = {}; for (let i = 0; i < 1e5; i++) o = {o}; structuredClone(o)`, "500|cpu"},
	{"clone of one string", `const s = "x".repeat(1e7); structuredClone(Array(1e6).fill(s))`, "memory|500|cpu"},
	{"console flood", `for (;;) console.log("x".repeat(1000))`, "cpu|memory"},
	{"console of 50 MB", `console.log("x".repeat(5e7)); return new Response("ok")`, "200|memory|cpu"},
	{"headers flood", `const h = new Headers; for (let i = 0; ; i++) h.append("x-" + i, "y".repeat(1000))`, "memory|cpu"},
	{"prototype chain", `let o = {}; for (;;) o = Object.create(o)`, "memory"},
	{"finalizers", `const f = new FinalizationRegistry(() => { for (;;); }), a = []; for (;;) { const o = {}; f.register(o, a); a.push(new WeakRef(o)) }`, "memory|cpu"},
	{"generators", `const g = function* () { yield* g() }; for (const x of g());`, "500|memory|cpu"},
	{"proxies", `let p = {}; for (;;) p = new Proxy(p, {})`, "memory"},
	{"dates", `const a = []; for (;;) a.push(new Date().toLocaleString())`, "memory|cpu"},
	{"intl", `const a = []; for (;;) a.push(new Intl.DateTimeFormat("en", {timeZone: "UTC"}))`, "memory|cpu"},
	{"function constructor", `const a = []; for (let i = 0; ; i++) a.push(new Function("return " + i + ";" + "x".repeat(1000)))`, "memory|cpu|500"},
	{"huge source", `new Function("x;".repeat(5e6))`, "500"},
	{"large sources", `for (let i = 0; ; i++) new Function("x;".repeat(1e5) + i)`, "cpu|memory"},
	{"match all", `return new Response([..."ab".repeat(3e7).matchAll(/a/g)].length + "")`, "memory|cpu"},
	{"replace", `return new Response("a".repeat(1e8).replaceAll("a", "b".repeat(1000)))`, "memory|cpu|500"},

	// Computing in V8's built-ins, where nothing looks for interrupts.
	{"indexOf", `Array.prototype.indexOf.call({length: 2**53 - 1}, 1)`, "cpu"},
	{"lastIndexOf", `Array.prototype.lastIndexOf.call({length: 2**53 - 1}, 1)`, "cpu"},
	{"includes", `Array.prototype.includes.call({length: 2**53 - 1}, 1)`, "cpu"},
	{"join", `Array.prototype.join.call({length: 2**32 - 1}, "")`, "cpu|memory|500"},
	{"reverse", `Array.prototype.reverse.call({length: 2**53 - 1})`, "cpu|memory"},
	{"fill", `Array.prototype.fill.call({length: 2**53 - 1}, 1)`, "cpu|memory"},
	{"copyWithin", `Array.prototype.copyWithin.call({length: 2**53 - 1}, 1, 0)`, "cpu|memory"},
	{"splice", `Array.prototype.splice.call({length: 2**53 - 1}, 0, 1)`, "cpu|memory"},
	{"forEach", `Array.prototype.forEach.call({length: 2**53 - 1}, () => {})`, "cpu"},
	{"sort of a sparse array", `const a = []; a[2**30] = 1; a.sort()`, "cpu|memory|500"},
	{"sort of an array-like", `Array.prototype.sort.call({length: 2**53 - 1})`, "cpu|memory|500"},
	{"sort with a comparator", `new Array(1e6).fill(0).sort(() => { for (;;); })`, "cpu"},
	{"typed array sort", `const a = new Float64Array(1e6); for (;;) a.fill(0).map((x, i) => -i).sort()`, "cpu"},
	{"flat", `let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity)`, "500|cpu"},
	{"string indexOf", `const a = "a".repeat(5e6); "a".repeat(2e7).indexOf(a + "b" + a)`, "cpu"},
	{"string lastIndexOf", `const a = "a".repeat(5e6); "a".repeat(2e7).lastIndexOf(a + "b")`, "cpu"},
	{"split by adverse string", `const a = "a".repeat(5e6); "a".repeat(2e7).split(a + "b" + a)`, "cpu"},
	{"normalize", `const s = "\u1e9b\u0323".repeat(1e7); for (;;) s.normalize("NFKD")`, "cpu|memory|500"},
	{"localeCompare", `const s = "\u00e4".repeat(2e7); for (;;) s.localeCompare(s + "a")`, "cpu|memory"},
	{"regexp", `/^(a+)+$/.test("a".repeat(64) + "b")`, "cpu"},
	{"regexp of a callback", `"a".repeat(1e6).replace(/a/g, () => { for (;;); })`, "cpu"},
	{"regexp compile", `new RegExp("(?:".repeat(1e4) + "a" + ")*".repeat(1e4)).test("b")`, "500|cpu|200|memory"},
	{"regexp large", `new RegExp("a{1000}{1000}{1000}").test("a".repeat(1e6))`, "500|cpu|memory|200"},
	{"atomics wait", `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`, "500"},
	{"wasm loop", `new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,7,5,1,1,102,0,0,10,9,1,7,0,3,64,12,0,11,11]))).exports.f()`, "cpu"},
	{"getter", `const o = {get a() { for (;;); }}; o.a`, "cpu"},
	{"proxy trap", `const p = new Proxy({}, {get() { for (;;); }}); p.a`, "cpu"},
	{"toString", `"" + {toString() { for (;;); }}`, "cpu"},
	{"toJSON", `JSON.stringify({toJSON() { for (;;); }})`, "cpu"},
	{"reviver", `JSON.parse("[1]", () => { for (;;); })`, "cpu"},
	{"built-in below toJSON", `JSON.stringify({toJSON() { Array.prototype.indexOf.call({length: 2**53 - 1}, 1) }})`, "cpu"},
	{"built-in below a clone", `structuredClone({get a() { Array.prototype.indexOf.call({length: 2**53 - 1}, 1) }})`, "cpu"},
	{"prepareStackTrace", `Error.prepareStackTrace = () => { for (;;); }; new Error("x").stack`, "cpu|500"},
	{"label loop", `a: for (;;) { b: for (;;) { continue a } }`, "cpu"},
	{"caught", `for (;;) try { for (;;); } catch {} finally { continue }`, "cpu"},
	{"static block", `class A { static { for (;;); } }`, "cpu"},
	{"iterator", `for (const x of {[Symbol.iterator]: () => ({next: () => ({done: false})})});`, "cpu"},
	{"async iterator", `return (async () => { for await (const x of {[Symbol.asyncIterator]: () => ({next: () => ({done: false})})}); })()`, "cpu"},
	{"deep recursion", `const f = () => f() + 1; f()`, "500"},
	{"recursion caught", `const f = () => { try { f() } finally { f() } }; f()`, "cpu|500"},
	{"getter recursion", `const o = {get a() { return this.a }}; o.a`, "500"},
	{"proxy recursion", `const p = new Proxy({}, {get(t, k, r) { return r[k] }}); p.a`, "500"},
	{"sleep", `const t = Date.now(); while (Date.now() < t + 1e9);`, "cpu"},
	{"crypto", `const b = new Uint8Array(65536); for (;;) crypto.getRandomValues(b)`, "cpu"},
	{"url", `for (;;) new URL("http://a/" + "../".repeat(1000))`, "cpu"},
	{"decode", `const b = new Uint8Array(1e7); for (;;) new TextDecoder().decode(b)`, "cpu|memory"},
	{"base64", `const s = "x".repeat(1e7); for (;;) atob(btoa(s))`, "cpu|memory"},

	// Not in the handler itself.
	{"microtasks", `const again = () => queueMicrotask(again); again()`, "cpu"},
	{"promises", `return (async () => { for (;;) await null })()`, "cpu"},
	{"promise flood", `for (;;) Promise.resolve().then(() => {})`, "cpu|memory"},
	{"promise tree", `const f = () => { Promise.resolve().then(f); Promise.resolve().then(f) }; f()`, "cpu|memory"},
	{"thenable", `const t = {then(done) { done(t) }}; return t`, "cpu|memory|500"},
	{"rejections", `for (;;) Promise.reject(new Error("x"))`, "cpu|memory"},
	{"built-in in a microtask", `return Promise.resolve().then(() => Array.prototype.indexOf.call({length: 2**53 - 1}, 1))`, "cpu"},
	{"fill in a microtask", `return Promise.resolve().then(() => new Array(2**27).fill(1))`, "memory"},
	{"in a timer", `setTimeout(() => { for (;;); }); return new Promise(() => {})`, "cpu"},
	{"built-in in a timer", `setTimeout(() => Array.prototype.indexOf.call({length: 2**53 - 1}, 1)); return new Promise(() => {})`, "cpu"},
	{"fill in a timer", `setTimeout(() => new Array(2**27).fill(1)); return new Promise(() => {})`, "memory"},
	{"timer flood", `for (;;) setTimeout(() => {}, 1e6)`, "500"},
	{"timer chain", `const f = () => { for (let i = 0; i < 2e6; i++); setTimeout(f) }; f(); return new Promise(() => {})`, "cpu"},
	{"interval", `setInterval(() => { for (let i = 0; i < 2e6; i++); }); return new Promise(() => {})`, "cpu"},
	{"after the answer", `ctx.waitUntil((async () => { await null; for (;;); })()); return new Response("ok")`, "cpu"},
	{"built-in after the answer", `ctx.waitUntil(Promise.resolve().then(() => Array.prototype.indexOf.call({length: 2**53 - 1}, 1))); return new Response("ok")`, "cpu"},
	{"in a stream", `return new Response(new ReadableStream({pull() { for (;;); }}))`, "cpu"},
	{"fill in a stream", `return new Response(new ReadableStream({pull() { new Array(2**27).fill(1) }}))`, "memory"},
	{"built-in in a stream", `return new Response(new ReadableStream({pull() { Array.prototype.indexOf.call({length: 2**53 - 1}, 1) }}))`, "cpu"},
	{"stream flood", `return new Response(new ReadableStream({start(c) { for (;;) c.enqueue(new Uint8Array(1000)) }}))`, "memory|cpu"},
	{"stream of large chunks", `return new Response(new ReadableStream({start(c) { for (;;) c.enqueue(new Uint8Array(1e6)) }}))`, "memory"},
	{"in a getter of the response", `const x = new Response("x"); Object.defineProperty(x, "status", {get() { for (;;); }}); return x`, "cpu|200"},
	{"in an error", `throw {get message() { for (;;); }}`, "cpu"},
	{"built-in in an error", `throw {get message() { Array.prototype.indexOf.call({length: 2**53 - 1}, 1) }}`, "cpu"},
}

var abuseLimits = Options{Wake: -1, HeapLimit: 32 << 20, CPULimit: 50 * time.Millisecond}

// suffer makes one request of an app and gives it turns, as a loop does, until it is answered and
// settled or the isolate is dead: "cpu", "memory" or the status.
func suffer(t testing.TB, isolate *Isolate) string {
	t.Helper()
	request(t, isolate, 1, get)
	status, settled := "", false
	for range 10_000 {
		err := isolate.Turn()
		for _, record := range drain(isolate) {
			switch record.Kind {
			case KindRespond:
				status = strconv.Itoa(int(record.Status))
				settled = !record.Pending
			case KindTimerSet:
				if record.Delay < 100*time.Millisecond {
					isolate.AddTimer(record.ID)
				}
			case KindChunk:
				isolate.AddSent(record.ID)
			case KindEnd, KindSettled:
				settled = true
			}
		}
		switch {
		case errors.Is(err, ErrCPULimit):
			return "cpu"
		case errors.Is(err, ErrMemoryLimit):
			return "memory"
		case err != nil:
			t.Fatal(err)
		}
		if settled {
			return status
		}
	}
	return "nothing"
}

func contains(list, one string) bool {
	for want := range strings.SplitSeq(list, "|") {
		if want == one {
			return true
		}
	}
	return false
}

// abuseRounds is how often each abuse is repeated: NANO_ABUSE=10000 go test -run Abuse.
func abuseRounds() int {
	if rounds, err := strconv.Atoi(os.Getenv("NANO_ABUSE")); err == nil {
		return rounds
	}
	return 1
}

// Whatever an app does ends with an answer or with its isolate, and its neighbour does not notice.
func TestNoAbuseEndsTheProcess(t *testing.T) {
	for _, abuse := range abuses {
		t.Run(abuse.name, func(t *testing.T) {
			watchThread(t)
			good := startApp(t, abuseLimits, `export default { fetch(r) { return new Response("fine") } }`)
			limits := Limits{Heap: abuseLimits.HeapLimit, CPU: abuseLimits.CPULimit}
			if !contains(abuse.want, "cpu") {
				limits.CPU = 10 * time.Second // memory is what runs out first
			}
			app, err := resolve(t, AppOptions{Limits: limits}, "app.js", "export default { fetch(r, env, ctx) { "+abuse.body+" } }")
			if err != nil {
				t.Fatal(err)
			}
			for range abuseRounds() {
				bad, err := startOn(app, -1)
				if err != nil {
					t.Fatal(err)
				}
				begin := threadTime(t)
				got := suffer(t, bad)
				took := threadTime(t) - begin
				bad.Dispose()
				if !contains(abuse.want, got) {
					t.Errorf("came to %s, want %s", got, abuse.want)
				}
				if answer := fetch(t, good, get); string(answer.Body) != "fine" {
					t.Fatalf("the neighbour said %q", answer.Body)
				}
				if testing.Verbose() {
					t.Logf("%s after %v", got, took.Round(time.Millisecond))
				}
			}
		})
	}
}

// Isolates that were abandoned in the middle of something give everything back: resident memory and
// mappings do not grow.
func TestAbuseLeavesNothingBehind(t *testing.T) {
	watchThread(t)
	for _, name := range []string{
		"split", "Array.from", "json wide", "lastIndexOf", "indexOf", "string indexOf", "built-in below a clone", "map",
		"typed arrays", "wasm memories", "large sources", "fill in a microtask", "rejections", "console flood",
		"large URLs", "large insertions",
	} {
		k := slices.IndexFunc(abuses, func(a abuse) bool { return a.name == name })
		app, err := resolve(t, AppOptions{Limits: Limits{Heap: 32 << 20, CPU: 20 * time.Millisecond}}, "app.js",
			"export default { fetch(r, env, ctx) { "+abuses[k].body+" } }")
		if err != nil {
			t.Fatal(err)
		}
		suffering := func(rounds int) {
			for range rounds {
				bad, err := startOn(app, -1)
				if err != nil {
					t.Fatal(err)
				}
				suffer(t, bad)
				bad.Dispose()
			}
		}
		rounds := 4 * abuseRounds()
		suffering(rounds)
		// The allocator of C may keep what it had once, at the second time only, too. What leaks goes on growing.
		const slackKB, slackMappings, tries = 32 << 10, 40, 3
		for try := 1; ; try++ {
			before, mappings := residentKB(t), countMappings(t)
			suffering(rounds)
			after, mappingsAfter := residentKB(t), countMappings(t)
			t.Logf("%s: %d KB, then %d KB; %d mappings, then %d", name, before, after, mappings, mappingsAfter)
			if after <= before+slackKB && mappingsAfter <= mappings+slackMappings {
				break
			}
			if try == tries {
				t.Errorf("%s: grew from %d to %d KB, from %d to %d mappings", name, before, after, mappings, mappingsAfter)
				break
			}
		}
	}
}

func countMappings(t testing.TB) int {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(maps, []byte{'\n'})
}

func threadTime(t testing.TB) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
