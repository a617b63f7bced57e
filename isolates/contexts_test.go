package isolates

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// perRequest starts an app with a context for each request, from its snapshot and from source.
func perRequest(t *testing.T, source string, test func(t *testing.T, isolate *Isolate)) {
	for _, how := range []string{"snapshot", "source"} {
		t.Run(how, func(t *testing.T) {
			lockThread(t)
			options := AppOptions{PerRequest: true, EnvJSON: `{"NAME":"value"}`}
			var app *App
			if how == "snapshot" {
				var built Built
				if app, built = imageApp(t, options, source); built.Reason != "" {
					t.Fatal(built.Reason)
				}
			} else {
				var err error
				if app, err = resolve(t, options, "app.js", source); err != nil {
					t.Fatal(err)
				}
			}
			isolate := startImage(t, app, how)
			prepare(isolate)
			test(t, isolate)
		})
	}
}

func prepare(isolate *Isolate) {
	for isolate.Prepare() {
	}
	if isolate.WantsPrepare() {
		panic("there is something to prepare that Prepare does not do")
	}
}

func TestNothingLeaksFromOneRequestToTheNext(t *testing.T) {
	// Each is asked twice, and must find the second time what it found the first.
	for name, body := range map[string]string{
		"global":         `const was = typeof globalThis.left; globalThis.left = 1; return was`,
		"variable":       `try { return typeof implied } finally { (0, eval)("var implied = 1") }`,
		"prototype":      `const was = "left" in []; Array.prototype.left = 1; Object.prototype.too = 1; return was`,
		"built-in":       `const was = JSON.stringify([1]); JSON.stringify = () => "patched"; Promise.prototype.then = null; return was`,
		"module state":   `return [count++, state.size, state.add(count).size, kept.push(1)]`,
		"class":          `const was = Thing.made; Thing.made++; Thing.prototype.x = 1; return [was, "x" in new Thing()]`,
		"frozen":         `const was = Object.isFrozen(state); Object.freeze(state); Object.freeze(Array.prototype); return was`,
		"regexp":         `return [/a/g.lastIndex, pattern.test("aa"), pattern.lastIndex, RegExp.$1 + "", /(b)/.test("b")]`,
		"symbol":         `const s = Symbol.for("shared"); const was = globalThis[s] ?? kept[s]; globalThis[s] = kept[s] = 1; return typeof was`,
		"symbol held":    `const s = Symbol.for("held"); const was = Object(s).constructor.prototype.note; Symbol.prototype.note = 1; return typeof was`,
		"weak reference": `const was = ref.deref() === kept; ref = new WeakRef({}); weak.set(kept, 1); return [was, weak.has(state)]`,
		"template":       "const tag = (t) => t; const t = tag`x`; const was = Object.isFrozen(t) && seen.has(t); seen.add(t); return was",
		"env":            `const was = JSON.stringify(env); env.NAME = "changed"; env.more = 1; return was`,
		"URL":            `const was = URL.left; URL.left = 1; return typeof was + new URL("http://a/b").host`,
		"console":        `const was = typeof console.left; console.left = 1; return was`,
		"error hook":     `const was = typeof Error.prepareStackTrace; Error.prepareStackTrace = () => "x"; const t = String(new Error("e").stack).length; return [was, t > 0]`,
		"stack limit":    `const was = Error.stackTraceLimit; Error.stackTraceLimit = 1; return was`,
		"event target":   `let n = 0; target.addEventListener("x", () => n++); target.dispatchEvent(new Event("x")); return n + heard.length`,
		"getter":         `const was = Object.getOwnPropertyDescriptor(globalThis, "Response").value === Response; globalThis.Response = Response; Object.defineProperty(globalThis, "fetched", { get: () => 1, configurable: false }); return was`,
		"random":         `const was = Math.random.left; Math.random.left = 1; return typeof was`,
		"date":           `const was = Date.now() > 0; Date.now = () => 0; return was`,
		"intl":           `const was = Intl.NumberFormat.left; Intl.NumberFormat.left = 1; return typeof was + new Intl.NumberFormat("de").format(1.5)`,
		"buffer":         `const was = bytes[0]; bytes[0] = 7; return was`,
		"generator":      `return steps.next().value`,
		"promise":        `settle("first"); return await pending`,
	} {
		t.Run(name, func(t *testing.T) {
			perRequest(t, `let count = 0, ref; const state = new Set(), kept = [], weak = new WeakMap(), pattern = /(a)/g, seen = new Set(), heard = [];
				class Thing { static made = 0; } const target = new EventTarget(), bytes = new Uint8Array(4), steps = [1, 2, 3].values();
				ref = new WeakRef(kept); let settle; const pending = new Promise((done) => { settle = done; });
				let asked = 0;
				export default { async fetch(r, env) { const answer = async () => { `+body+` }; const value = await answer();
					return new Response(JSON.stringify(value) + (asked++) + (env.NAME ?? "")); } }`, func(t *testing.T, isolate *Isolate) {
				first := fetch(t, isolate, get)
				if strings.HasPrefix(string(first.Body), "nano:") {
					t.Fatalf("%s", first.Body)
				}
				for range 5 {
					if got := fetch(t, isolate, get); string(got.Body) != string(first.Body) {
						t.Fatalf("first %s, then %s", first.Body, got.Body)
					}
					prepare(isolate)
				}
			})
		})
	}
}

func TestRequestsAtOnceHaveContextsOfTheirOwn(t *testing.T) {
	perRequest(t, `let own; export default { async fetch(r) { own ??= new URL(r.url).pathname; const a = own;
		await null; await new Promise((done) => setTimeout(done, 5)); await null;
		return new Response(a + own + new URL(r.url).pathname + await r.text()) } }`, func(t *testing.T, isolate *Isolate) {
		const count = 20
		for id := range uint32(count) {
			request(t, isolate, id, fmt.Sprintf("POST /%d HTTP/1.1\nHost: h\n\nbody%d", id, id))
		}
		answered := map[uint32]string{}
		timers := map[uint32]bool{}
		for rounds := 0; len(answered) < count && rounds < 200; rounds++ {
			for _, record := range turn(t, isolate) {
				switch record.Kind {
				case KindTimerSet:
					if timers[record.ID] {
						t.Fatalf("two timers have the id %d", record.ID)
					}
					timers[record.ID] = true
				case KindRespond:
					answered[record.ID] = string(record.Body)
				}
			}
			if len(timers) == count {
				for id := range timers {
					isolate.AddTimer(id)
				}
				timers = map[uint32]bool{}
			}
		}
		for id := range uint32(count) {
			if want := fmt.Sprintf("/%d/%d/%dbody%d", id, id, id, id); answered[id] != want {
				t.Errorf("request %d: got %q, want %q", id, answered[id], want)
			}
		}
	})
}

// The timers of a request end with it, those that it has cleared itself before.
func TestTimersEndWithTheirRequest(t *testing.T) {
	perRequest(t, `export default { fetch() { setTimeout(() => console.log("late"), 10); setInterval(() => console.log("again"), 10);
		clearTimeout(setTimeout(() => {}, 1)); return new Response("ok") } }`, func(t *testing.T, isolate *Isolate) {
		alive := map[uint32]bool{}
		for id := range uint32(3) {
			request(t, isolate, id, get)
		}
		sets := 0
		for _, record := range turn(t, isolate) {
			switch record.Kind {
			case KindTimerSet:
				alive[record.ID] = true
				sets++
			case KindTimerClear:
				if !alive[record.ID] {
					t.Errorf("timer %d was cleared and not set", record.ID)
				}
				delete(alive, record.ID)
			}
		}
		if sets != 9 || len(alive) != 0 {
			t.Errorf("%d timers set, left %v", sets, alive)
		}
		isolate.AddTimer(1) // it was on its way
		if records := turn(t, isolate); len(records) != 0 {
			t.Errorf("got %+v", records)
		}
	})
}

func TestLifeOfAContextEndsWithItsRequest(t *testing.T) {
	perRequest(t, `export default { async fetch(r, env, ctx) {
		const path = new URL(r.url).pathname;
		if (path === "/wait") ctx.waitUntil(new Promise((done) => setTimeout(done, 5)).then(() => console.log("waited")));
		if (path === "/stream") return new Response(new ReadableStream({ n: 0, pull(c) { if (this.n++ < 3) c.enqueue(new TextEncoder().encode("x")); else c.close(); } }));
		if (path === "/gone") await new Promise((done) => r.signal.addEventListener("abort", done));
		return new Response(path) } }`, func(t *testing.T, isolate *Isolate) {
		contexts := isolate.contexts
		check := func(what string, atWork int) {
			t.Helper()
			if len(contexts.byID) != atWork {
				t.Errorf("%s: %d at work", what, len(contexts.byID))
			}
		}
		request(t, isolate, 1, "GET /wait HTTP/1.1\nHost: h\n\n")
		request(t, isolate, 2, "GET /stream HTTP/1.1\nHost: h\n\n")
		request(t, isolate, 3, "GET /gone HTTP/1.1\nHost: h\n\n")
		request(t, isolate, 4, "GET /now HTTP/1.1\nHost: h\n\n")
		var timer uint32
		for _, record := range turn(t, isolate) {
			if record.Kind == KindTimerSet {
				timer = record.ID
			}
		}
		check("after the first turn", 3)
		isolate.AddGone(3)
		turn(t, isolate)
		check("after one went away", 2)
		isolate.AddTimer(timer)
		log := ""
		for _, record := range turn(t, isolate) {
			if record.Kind == KindLog {
				log += string(record.Body)
			}
		}
		check("after waitUntil", 1)
		if log != "waited" {
			t.Errorf("log %q", log)
		}
		for range 10 {
			if len(contexts.byID) == 0 {
				break
			}
			isolate.AddSent(2)
			turn(t, isolate)
		}
		check("after the stream", 0)
		isolate.AddSent(2) // news of one that has ended
		isolate.AddGone(4)
		if records := turn(t, isolate); len(records) != 0 {
			t.Errorf("got %+v", records)
		}
		prepare(isolate)
		if len(contexts.ready) != contextsReady || len(contexts.byRealm) != contextsReady || len(contexts.ended) != 0 {
			t.Errorf("%d ready, %d known", len(contexts.ready), len(contexts.byRealm))
		}
	})
}

// V8 may end a task for a context after its request: what code of it writes then goes nowhere.
func TestCodeOfAnEndedContext(t *testing.T) {
	perRequest(t, `export default { fetch(r) {
		console.debug(new URL("http://a/b").host); // what is not loaded now will not be
		Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300).value.then(() => {
			console.log("woke"); setTimeout(() => {}, 1); new URL("http://a/c").host; r.headers.get("host");
			queueMicrotask(() => { throw new Error("thrown"); }); Promise.reject(new Error("lost")); crypto.randomUUID(); });
		return new Response("ok") } }`, func(t *testing.T, isolate *Isolate) {
		request(t, isolate, 1, get)
		turn(t, isolate)
		isolate.contexts.drop()
		delay, ok := isolate.TaskDeadline()
		if !ok {
			t.Fatal("V8 has no task")
		}
		<-time.After(delay)
		log := ""
		for _, record := range turn(t, isolate) {
			if record.Kind != KindLog || record.Pending {
				t.Errorf("got %+v", record)
			}
			log += string(record.Body)
		}
		if log != "woke" {
			t.Errorf("log %q", log)
		}
		if got := fetch(t, isolate, get); string(got.Body) != "ok" {
			t.Errorf("got %s", got.Body)
		}
	})
}

func TestIsolatesOfContextsAreRenewed(t *testing.T) {
	perRequest(t, `export default { fetch(r) { Symbol.for(r.url); return new Response("ok") } }`, func(t *testing.T, isolate *Isolate) {
		before := isolate.isolate
		isolate.contexts.starts = contextsPerIsolate
		fetch(t, isolate, get)
		if isolate.isolate == before {
			t.Error("the isolate is the same")
		}
		prepare(isolate)
		for range 2 * contextsCollect {
			fetch(t, isolate, get)
			prepare(isolate)
		}
		if isolate.contexts.dropped > contextsCollect {
			t.Errorf("%d dropped", isolate.contexts.dropped)
		}
	})
}

func BenchmarkPerRequest(b *testing.B) {
	lockThread(b)
	app, _ := imageApp(b, AppOptions{PerRequest: true}, helloApp)
	isolate, err := startOn(app, -1)
	if err != nil {
		b.Fatal(err)
	}
	defer isolate.Dispose()
	plain := newPlainRequest(b)
	var times, idle []time.Duration
	for b.Loop() {
		begin := time.Now()
		prepare(isolate)
		idle = append(idle, time.Since(begin))
		begin = time.Now()
		isolate.AddRequest(plain)
		if err := isolate.Turn(); err != nil {
			b.Fatal(err)
		}
		for {
			if _, ok := isolate.Next(); !ok {
				break
			}
		}
		times = append(times, time.Since(begin))
	}
	reportPercentiles(b, times)
	total := time.Duration(0)
	for _, d := range idle {
		total += d
	}
	b.ReportMetric(float64(total.Microseconds())/float64(len(idle)), "idle-us")
}
