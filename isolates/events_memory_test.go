package isolates

import (
	"math"
	"testing"
)

// Signals and the global object live as long as the app. What requests attach to them must not.
func TestLongLivedTargetsKeepNothing(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const { signal } = new AbortController();
		addEventListener("error", (event) => event.preventDefault());
		addEventListener("unhandledrejection", (event) => event.preventDefault());
		const paths = {
			"/any": () => { AbortSignal.any([signal, new AbortController().signal]); },
			"/any heard": () => {
				const other = new AbortController();
				AbortSignal.any([signal, other.signal]).addEventListener("abort", () => {});
				other.abort();
			},
			"/any unheard": () => {
				const dependent = AbortSignal.any([signal]);
				const listener = () => {};
				dependent.addEventListener("abort", listener);
				dependent.removeEventListener("abort", listener);
			},
			"/timeout": () => {
				const dependent = AbortSignal.any([AbortSignal.timeout(1e9), signal]), listener = () => {};
				dependent.addEventListener("abort", listener);
				dependent.removeEventListener("abort", listener);
			},
			"/signal": () => {
				const target = new EventTarget();
				const listener = () => {};
				target.addEventListener("x", listener, { signal });
				target.removeEventListener("x", listener);
				target.addEventListener("y", listener, { signal, once: true });
				target.dispatchEvent(new Event("y"));
			},
			"/listener": () => {
				const listener = () => {};
				addEventListener("x", listener, { once: true });
				addEventListener("z", listener);
				dispatchEvent(new Event("x"));
				removeEventListener("z", listener);
			},
			"/errors": () => { reportError(new Error("x")); Promise.reject(new Error("y")); },
			"/entries": () => { performance.mark("m"); performance.measure("n"); performance.clearMarks(); performance.clearMeasures(); },
			"/observer": () => { const o = new PerformanceObserver(() => {}); o.observe({ type: "mark" }); performance.mark("m"); o.disconnect(); performance.clearMarks(); },
		};
		export default { fetch(request) {
			paths[decodeURI(new URL(request.url).pathname)](request);
			return new Response("ok");
		} }`)
	for _, path := range []string{"/any", "/any%20heard", "/any%20unheard", "/timeout", "/signal", "/listener", "/errors", "/entries", "/observer"} {
		rounds := func(count int) uint64 {
			for range count {
				request(t, isolate, 1, "GET "+path+" HTTP/1.1\nHost: h\n\n")
				records := turn(t, isolate)
				if got := respondOf(t, records); got.Status != 200 {
					t.Fatalf("%s: %s", path, got.Body)
				}
				for _, timer := range only(records, KindTimerSet) {
					isolate.AddTimer(timer.ID)
				}
			}
			isolate.Collect()
			isolate.Collect()
			return isolate.Memory().HeapUsed
		}
		rounds(500) // most of the code is compiled by then
		const count = 2000
		// Some weak references are left that are dropped with the next ones.
		if grown := leastGrowth(func() uint64 { return rounds(count) }, count*100); grown > count*100 {
			t.Errorf("%s: %d bytes of heap stay behind of each request", path, grown/count)
		}
	}
}

// leastGrowth does something twice or more and returns by how many bytes the heap has grown from one time to the next: the
// first growth of at most so many, or else the least. What a leak leaves behind it leaves each time; code that V8 compiles
// meanwhile, on threads of its own, which on a busy machine may be late, comes but once.
func leastGrowth(heapAfter func() uint64, most uint64) uint64 {
	least := uint64(math.MaxUint64)
	before := heapAfter()
	for attempt := 0; attempt < 4 && least > most; attempt++ {
		after := heapAfter()
		least = min(least, after-min(before, after))
		before = after
	}
	return least
}

// A listener for rejections whose own promise is rejected does not keep a turn from ending.
func TestRejectionsOfTheirOwnListener(t *testing.T) {
	isolate := startApp(t, unlimited, `let calls = 0;
		addEventListener("unhandledrejection", async () => { calls++; throw new Error("again") });
		export default { fetch(request) {
			const before = calls;
			if (before === 0) Promise.reject(new Error("first"));
			return new Response(String(before)) } }`)
	for id := range uint32(2) {
		request(t, isolate, id, get)
		records := turn(t, isolate)
		calls := string(respondOf(t, records).Body)
		if lines := len(only(records, KindLog)); (calls == "0") != (id == 0) || lines == 0 || lines > 100 {
			t.Errorf("request %d: %s calls before, %d lines", id, calls, lines)
		}
	}
}
