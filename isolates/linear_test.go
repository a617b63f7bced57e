package isolates

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"nano/isolates/shim"
)

// Buffers that weigh so much that V8 collects garbage while it restores them (more than half of the heap's limit), of
// all sorts: with views as properties of their own, that can be resized, without memory, and subclasses with fields.
const buffersApp = `
	class Holder extends ArrayBuffer { own = { deep: [new Uint8Array(1 << 20).fill(3)] }; view = new DataView(this, 8); }
	const make = (n, i) => { const b = new ArrayBuffer(n); new Uint8Array(b).fill(i); return b; };
	const list = Array.from({ length: 20 }, (_, i) => make(1 << 20, i + 1)), holder = new Holder(1 << 20), empty = new ArrayBuffer(0);
	list.forEach((b, i) => { b.view = new DataView(b, i); b[0] = { words: new Uint32Array(b, 8), list }; });
	holder.view.setInt16(0, -5);
	const growing = new ArrayBuffer(1 << 20, { maxByteLength: 1 << 24 }), tracking = new Float64Array(growing), part = new Uint8Array(growing, 8, 8);
	growing.view = new DataView(growing, 16); tracking[3] = 0.5; part[1] = 9;
	const small = Array.from({ length: 500 }, (_, i) => new Uint8Array(i % 70).fill(i));
	const right = () => list.every((b, i) => b.view.byteLength === (1 << 20) - i && b.view.getUint8(77) === i + 1 && b[0].list === list &&
			b[0].words[99] === (i + 1) * 0x01010101 && b[0].words.buffer === b) &&
		holder.view.getInt16(0) === -5 && new Int8Array(holder)[8] === -1 && holder.own.deep[0].every((x) => x === 3) && holder instanceof Holder &&
		empty.byteLength === 0 && tracking[3] === 0.5 && tracking.length === growing.byteLength / 8 && part[1] === 9 && part.length === 8 &&
		growing.view.getFloat64(8, true) === 0.5 && small.every((a, i) => a.length === i % 70 && a.every((x) => x === i % 256));
	export default { fetch() {
		let shared = right();
		list[0].view.setUint8(77, 44); shared &&= new Uint8Array(list[0])[77] === 44; list[0].view.setUint8(77, 1);
		const before = growing.byteLength;
		growing.resize(2 << 20); shared &&= right(); growing.resize(before);
		return new Response(String(shared && right()));
	} }`

func TestSnapshotsWithMuchInBuffers(t *testing.T) {
	for name, options := range map[string]AppOptions{
		"in an isolate of its own": {Limits: Limits{Heap: 40 << 20}},
		"for each request":         {Limits: Limits{Heap: 256 << 20}, PerRequest: true},
	} {
		t.Run(name, func(t *testing.T) {
			app, built := imageApp(t, options, buffersApp)
			if built.Reason != "" {
				t.Fatal(built.Reason)
			}
			isolate := startImage(t, app, "snapshot")
			for n := range 6 {
				if options.PerRequest {
					prepare(isolate)
				}
				if got := fetch(t, isolate, get); string(got.Body) != "true" {
					t.Fatalf("request %d: the buffers of the snapshot are not as they were made: %s", n, got.Body)
				}
				isolate.Collect()
			}
		})
	}
}

// An app whose limit has no room for what is in its snapshot has an isolate that ends, and harms nobody else.
func TestSnapshotsBeyondTheHeapLimit(t *testing.T) {
	lockThread(t)
	for name, source := range map[string]string{
		"buffers":    buffersApp,
		"one buffer": `const all = new ArrayBuffer(30 << 20); export default { fetch() { return new Response(String(all.byteLength)) } }`,
		"resizable":  `const all = new ArrayBuffer(30 << 20, { maxByteLength: 1 << 28 }); export default { fetch() { return new Response(String(all.byteLength)) } }`,
		"objects":    `const all = Array.from({ length: 1_000_000 }, (_, n) => ({ n })); export default { fetch() { return new Response(String(all.length)) } }`,
	} {
		t.Run(name, func(t *testing.T) {
			app, built := imageApp(t, AppOptions{Limits: Limits{Heap: 16 << 20}}, source)
			if built.Reason != "" {
				t.Fatal(built.Reason)
			}
			for n := range 4 {
				if n == 1 { // V8 has to find out
					app.image.Load().manifest.Memory = 0
				}
				isolate, err := startOn(app, -1)
				if err == nil {
					isolate.Dispose()
					t.Fatal("the app started with more memory than it may have")
				}
				if !strings.Contains(err.Error(), "memory") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	// Nor where contexts are restored beside each other in an isolate that runs.
	app, _ := imageApp(t, AppOptions{Limits: Limits{Heap: 64 << 20}, PerRequest: true}, buffersApp)
	isolate := startImage(t, app, "snapshot")
	for isolate.Prepare() {
	}
	if isolate.failed == nil {
		t.Error("there are several contexts, which take more memory than the isolate may have")
	}
	other := startApp(t, unlimited, helloApp)
	if got := fetch(t, other, get); string(got.Body) != "Hello World" {
		t.Errorf("got %s", got.Body)
	}
}

// graphApp makes a graph of random objects, see testdata/graph.js.
func graphApp(t testing.TB, seed uint32) string {
	t.Helper()
	source, err := os.ReadFile("testdata/graph.js")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("const SEED = %d;\n%s", seed, source)
}

// compareGraphs runs a module from its source and from its snapshot, where it must have made the same graph.
func compareGraphs(t testing.TB, seed uint32) {
	t.Helper()
	ask := func(isolate *Isolate, path string) string {
		return string(fetch(t, isolate, strings.Replace(get, "/", path, 1)).Body)
	}
	source := graphApp(t, seed)
	original := startApp(t, unlimited, source)
	digest := ask(original, "/")
	end := ask(original, "/end")
	if !strings.Contains(digest, " parts, ") || strings.Contains(end, "uncaught") {
		t.Fatalf("%s; %s", digest, end)
	}
	app, built := imageApp(t, AppOptions{}, source)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	isolate := startImage(t, app, "snapshot")
	for n, path := range []string{"/churn", "/churn", "/"} {
		if n%2 == 1 {
			isolate.Collect()
		}
		if got := ask(isolate, path); got != digest {
			t.Fatalf("seed %d, step %d: %s, not %s", seed, n, got, digest)
		}
	}
	if got := ask(isolate, "/end"); got != end {
		t.Errorf("seed %d: in the end %s\nwant %s", seed, got, end)
	}
	if form := snapshotOf(t, built); shim.SnapshotForm != "" && len(shim.Linearize(form)) != 0 {
		t.Errorf("seed %d: the snapshot has V8's form", seed)
	}

	perRequest := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}", PerRequest: true}, app.image.Load().bundle)
	perRequest.SetImage(app.image.Load())
	many := startImage(t, perRequest, "snapshot")
	for range 3 {
		prepare(many) // V8 may be in the middle of marking what is in use
		if got := ask(many, "/churn"); got != digest {
			t.Fatalf("seed %d, in a context of its own: %s, not %s", seed, got, digest)
		}
	}
}

func TestSnapshotsOfRandomGraphs(t *testing.T) {
	for seed := range uint32(3) {
		compareGraphs(t, seed)
	}
}

func FuzzSnapshotsOfGraphs(f *testing.F) {
	f.Add(uint32(1000))
	f.Fuzz(func(t *testing.T, seed uint32) { compareGraphs(t, seed) })
}
