package isolates

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestFootprint: what turns touch is found out for apps that use all kinds of functions and objects, again and again
// while these change and are collected, and more of it for an app that does more.
func TestFootprint(t *testing.T) {
	const turns = 1200
	lines := map[string]int{}
	for name, handler := range map[string]string{
		"hello": `() => new Response("x")`,
		"much": `async (request, env, ctx) => {
			const url = new URL(request.url), make = [Point, Pair, function () { this.a = 1; }][n % 3];
			const made = Array.from({ length: 5 }, (_, i) => new make(i, { ["k" + n % 7]: i }));
			for (const key in made[0]) url.searchParams.set(key, String(made[1][key]));
			const bound = add.bind(null, n++), map = new Map(made.map((one, i) => [i, one]));
			shapes[n % 50] = { ["p" + n % 90]: map, get x() { return bound(1); }, ...made[2] };
			ctx.waitUntil(Promise.resolve([...count(3)].join("")));
			const text = await Promise.all([1, 2].map(async (i) => i + shapes.length));
			if (n % 100 === 0) Object.setPrototypeOf(Pair.prototype, { z: n });
			try { null.x; } catch (error) { text.push(error.message.replace(/n(.)/g, "$1")); }
			return new Response(JSON.stringify([text, bound(1), shapes[n % 50].x, url.search]), { headers: { "x-n": String(n) } });
		}`,
	} {
		isolate := startApp(t, unlimited, `
			let n = 0;
			const shapes = [], add = (a, b) => a + b;
			class Point { #x = 1; y; constructor(y) { this.y = y; } get x() { return this.#x; } }
			class Pair extends Point { constructor(a, b) { super(a); this.b = b; } static made = 0; }
			function* count(to) { for (let i = 0; i < to; i++) yield i; }
			export default { fetch: `+handler+` }`)
		for i := range turns {
			isolate.Expect()
			if answer := fetch(t, isolate, fmt.Sprintf("GET /?n=%d HTTP/1.1\nHost: h\n\n", i)); answer.Status != 200 {
				t.Fatalf("%s: status %d: %s", name, answer.Status, answer.Body)
			}
			if i%190 == 0 {
				isolate.isolate.Collect()
			}
		}
		lines[name] = isolate.isolate.Footprint()
	}
	t.Logf("lines: %v", lines)
	if runtime.GOARCH == "amd64" && (lines["hello"] < 130 || lines["much"] <= lines["hello"]) {
		t.Errorf("lines: %v", lines)
	}
}

// TestFootprintOfOptimizedCode: once V8 has optimized what requests call, less is asked for than before.
func TestFootprintOfOptimizedCode(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("footprints are known on x86-64 only")
	}
	isolate := startApp(t, unlimited, activeApp)
	turn := func() {
		isolate.Expect()
		if answer := fetch(t, isolate, "GET / HTTP/1.1\nHost: h\n\n"); answer.Status != 200 {
			t.Fatalf("status %d: %s", answer.Status, answer.Body)
		}
	}
	for range 64 {
		turn()
	}
	before, least := isolate.isolate.Footprint(), 0
	// V8 compiles on a thread of its own, and is waited for.
	for begin := time.Now(); time.Since(begin) < time.Minute; turn() {
		if least = isolate.isolate.Footprint(); least < before {
			break
		}
	}
	t.Logf("lines: %d, and %d of optimized code", before, least)
	if least >= before {
		t.Errorf("%d lines are asked for, and were before: %d", least, before)
	}
}
