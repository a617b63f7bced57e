package isolates

import (
	"strings"
	"testing"
	"time"
)

// TestResidentFollowsBodies: what large bodies and buffers cost is known after the turn that brought them,
// and given back when the loop is idle, unless the app keeps it.
func TestResidentFollowsBodies(t *testing.T) {
	const size = 24 << 20
	upload := "POST / HTTP/1.1\nHost: h\n\n" + strings.Repeat("x", size)
	get := "GET / HTTP/1.1\nHost: h\n\n"
	for name, test := range map[string]struct {
		handler, input string
		kept           int64
	}{
		"body read":        {`async fetch(r) { return new Response(String((await r.arrayBuffer()).byteLength)) }`, upload, 0},
		"body not read":    {`fetch(r) { return new Response("") }`, upload, 0},
		"body kept":        {`async fetch(r) { globalThis.kept = await r.arrayBuffer(); return new Response("") }`, upload, size},
		"buffer":           {`fetch(r) { new Uint8Array(24 << 20).fill(1); return new Response("") }`, get, 0},
		"buffer kept":      {`fetch(r) { globalThis.kept = new Uint8Array(24 << 20).fill(1); return new Response("") }`, get, size},
		"nothing of these": {`fetch(r) { return new Response("") }`, get, 0},
	} {
		isolate := startApp(t, unlimited, "export default { "+test.handler+" }")
		before := isolate.Resident()
		fetch(t, isolate, test.input)
		grown := isolate.Resident() - before
		if name == "buffer" && grown == 0 {
			continue // collected by the end of the turn already
		}
		if (grown >= size) != (name != "nothing of these") {
			t.Errorf("%s: grown by %d bytes", name, grown)
		}
		for isolate.Prepare() {
		}
		if left := isolate.Resident() - before; left < test.kept-size/8 || left > test.kept+size/8 {
			t.Errorf("%s: %d bytes are left, want %d", name, left, test.kept)
		}
	}
}

// TestIsolateIsLight: what is resident of an isolate that has answered a request, beyond what all share.
func TestIsolateIsLight(t *testing.T) {
	const count, limit = 100, 1_000_000
	lockThread(t)
	app, err := resolve(t, AppOptions{}, "app.js", helloApp)
	if err != nil {
		t.Fatal(err)
	}
	plain := newPlainRequest(t)
	start := func() {
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(isolate.Dispose)
		isolate.AddRequest(plain)
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
	}
	start() // brings in what all share
	before := residentKB(t)
	for range count {
		start()
	}
	if each := (residentKB(t) - before) * 1024 / count; each > limit {
		t.Errorf("%d bytes each, want at most %d", each, limit)
	}
}

// TestIsolateIsLightAgain: the young generation's pages are written to from one end to the other, which counts as
// resident although they hold garbage, and is given back when an isolate has rested.
func TestIsolateIsLightAgain(t *testing.T) {
	const count, requests, least = 20, 1000, 250 << 10
	lockThread(t)
	app, err := resolve(t, AppOptions{}, "app.js", helloApp)
	if err != nil {
		t.Fatal(err)
	}
	plain := newPlainRequest(t)
	var alive []*Isolate
	for range count {
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(isolate.Dispose)
		for range requests {
			isolate.AddRequest(plain)
			if err := isolate.Turn(); err != nil {
				t.Fatal(err)
			}
		}
		alive = append(alive, isolate)
	}
	before, estimate := residentKB(t), int64(0)
	for _, isolate := range alive {
		if after := isolate.ShrinkAfter(); after != grownRest {
			t.Fatalf("%d bytes: to be shrunk after %v, want %v", isolate.Resident(), after, grownRest)
		}
		estimate -= isolate.Resident()
		isolate.Shrink()
		estimate += isolate.Resident()
		if after := isolate.ShrinkAfter(); after != 0 {
			t.Errorf("shrunk to %d bytes: to be shrunk again after %v", isolate.Resident(), after)
		}
	}
	Trim()
	if each := (before - residentKB(t)) * 1024 / count; each < least || -estimate/count < least {
		t.Errorf("%d bytes each given back, by estimate %d, want at least %d", each, -estimate/count, least)
	}
}

// TestPagesOfDisposedIsolates: V8 keeps the pages of an isolate that ends for the next one. If there is none, they
// are freed some seconds later, so that V8's range of addresses has room for others.
func TestPagesOfDisposedIsolates(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as V8 keeps pages, 8 s")
	}
	const count = 40
	lockThread(t)
	app, err := resolve(t, AppOptions{}, "app.js", `
		const kept = [];
		export default {
			fetch() {
				for (let i = 0; i < 20_000; i++) kept[i % 50] = { i, inside: [i] };
				return new Response("x");
			},
		}`)
	if err != nil {
		t.Fatal(err)
	}
	plain := newPlainRequest(t)
	use := func(count int) {
		all := make([]*Isolate, count)
		for i := range all {
			var err error
			if all[i], err = startOn(app, -1); err != nil {
				t.Fatal(err)
			}
			all[i].AddRequest(plain)
			if err := all[i].Turn(); err != nil {
				t.Fatal(err)
			}
		}
		for _, isolate := range all {
			isolate.Dispose()
		}
	}
	use(count)
	// The kernel may have taken what was written to them already: what V8 keeps is addresses that can be written to.
	kept := statusKB(t, "VmData:")
	freed, deadline := 0, time.Now().Add(time.Minute)
	for freed < count*256 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond) // nothing tells when V8 has done it
		freed = kept - statusKB(t, "VmData:")
	}
	t.Logf("of %d KB %d were freed", kept, freed)
	if freed < count*256 {
		t.Errorf("of the pages of %d isolates only %d KB were freed a minute later", count, freed)
	}
}

// TestIsolateIsLightAfterOthers: V8 hands the pages of isolates that end to those that are made next, which have nothing
// of what has been written to them resident if memory was short.
func TestIsolateIsLightAfterOthers(t *testing.T) {
	const count, limit = 60, 1_000_000
	lockThread(t)
	plain := newPlainRequest(t)
	many := func(source string) (all []*Isolate) {
		app, err := resolve(t, AppOptions{}, "app.js", source)
		if err != nil {
			t.Fatal(err)
		}
		for range count {
			isolate, err := startOn(app, -1)
			if err != nil {
				t.Fatal(err)
			}
			isolate.AddRequest(plain)
			if err := isolate.Turn(); err != nil {
				t.Fatal(err)
			}
			all = append(all, isolate)
		}
		return all
	}
	const busy = `export default { fetch() {
		for (let i = 0, kept = []; i < 40_000; i++) kept[i % 50] = { i, inside: [i] };
		return new Response("x");
	} }`
	ended := many(busy)
	MemoryIsShort()
	for _, isolate := range ended {
		isolate.Dispose()
	}
	Trim()
	before := residentKB(t)
	// Of what is kept for the next isolate, some is counted already: less than a page for each.
	fresh := many(helloApp)
	grown := (residentKB(t) - before) * 1024
	for _, isolate := range fresh {
		isolate.Dispose()
	}
	Trim()
	left := (residentKB(t) - before) * 1024
	t.Logf("%d bytes each, %d before and after", grown/count, left/count)
	if each := (grown - min(left, 0)) / count; each > limit {
		t.Errorf("%d bytes each, want at most %d", each, limit)
	}
}

// TestUnmapProgram: the program goes on without its pages being mapped, and what it does not touch stays out.
func TestUnmapProgram(t *testing.T) {
	isolate := startApp(t, unlimited, helloApp)
	before := statusKB(t, "RssFile:")
	UnmapProgram()
	after := statusKB(t, "RssFile:")
	if got := string(fetch(t, isolate, get).Body); got != "Hello World" {
		t.Errorf("got %q", got)
	}
	t.Logf("%d KB of files were mapped, %d afterwards", before, after)
	if before-after < 5<<10 {
		t.Errorf("of %d KB of files that were mapped %d are", before, after)
	}
}

// TestExternalPointers: V8's tables of pointers grow beyond the part that is made at first, and whole collections
// sweep, compact and shrink them.
func TestExternalPointers(t *testing.T) {
	isolate := startApp(t, unlimited, `
		let kept = [], made = 0;
		const make = (n) => { while (n-- > 0) kept.push(new Uint32Array(64).fill(made++)); };
		const isSound = (a, i) => a.length === 64 && a[0] === a[63] && (i === 0 || a[0] > kept[i - 1][0]);
		const check = () => kept.every(isSound);
		export default {
			fetch(request) {
				const step = new URL(request.url).pathname;
				if (step === "/make") make(3000);
				if (step === "/thin") kept = kept.filter((_, i) => i % 3 === 0);
				if (step === "/drop") kept = [];
				return new Response(kept.length + " " + check());
			},
		}`)
	for _, step := range []struct{ path, want string }{
		{"make", "3000 true"}, {"make", "6000 true"}, {"thin", "2000 true"}, {"make", "5000 true"},
		{"thin", "1667 true"}, {"drop", "0 true"}, {"make", "3000 true"},
	} {
		got := string(fetch(t, isolate, "GET /"+step.path+" HTTP/1.1\nHost: h\n\n").Body)
		if got != step.want {
			t.Fatalf("%s: %q, want %q", step.path, got, step.want)
		}
		isolate.isolate.Collect()
	}
}
