package isolates

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nano/isolates/shim"
	"nano/snapshot"
)

// build makes an app's image and stores it in a file.
func build(t testing.TB, bundle *Bundle, options BuildOptions) (Built, *Image) {
	t.Helper()
	if options.Name == "" {
		options.Name = "test"
	}
	built, err := testRuntime.Build(bundle, options)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.snapshot")
	key := testRuntime.ImageKey(bundle, options.Warmup)
	if err := os.WriteFile(path, snapshot.Encode(key, built.Sections), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := testRuntime.Image(func() (*snapshot.File, error) { return snapshot.Open(path) })
	if err != nil {
		t.Fatal(err)
	}
	return built, image
}

// imageApp makes an app of one module that has an image.
func imageApp(t testing.TB, options AppOptions, source string) (*App, Built) {
	t.Helper()
	resolved, err := bundle(t, "app.js", source)
	if err != nil {
		t.Fatal(err)
	}
	if options.Name == "" {
		options.Name = "test"
	}
	if options.EnvJSON == "" {
		options.EnvJSON = "{}"
	}
	built, image := build(t, resolved, BuildOptions{Warmup: options.Warmup})
	app := testRuntime.NewApp(options, resolved)
	app.SetImage(image)
	return app, built
}

// startImage starts an app and checks what from.
func startImage(t testing.TB, app *App, how string) *Isolate {
	t.Helper()
	lockThread(t)
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(isolate.Dispose)
	if got := isolate.Started().How; got != how {
		t.Fatalf("started from %s, not %s", got, how)
	}
	return isolate
}

// Everything that the top level of a module may leave behind.
const stateApp = `
	const secret = Symbol("own");
	class Counter { #n = 40; static made = 0; constructor() { Counter.made++; } next() { return ++this.#n; } }
	const counter = new Counter(), map = new Map([[counter, "key"], ["a", { b: [1, 2n, "x"] }]]), set = new Set([1, "1", null]);
	const weak = new WeakMap([[counter, "weakly"]]), ref = new WeakRef(counter), typed = new Float64Array([1.5, 2.5]);
	const buffer = new ArrayBuffer(100_000); new Uint8Array(buffer)[99_999] = 7;
	const pattern = /(?<word>\w+)@/gu; pattern.test("warm@");
	let settle; const pending = new Promise((done) => { settle = done; });
	const suspended = (async () => "resumed " + await pending)();
	function* generate() { let n = 0; for (;;) yield n += 2; }
	const generator = generate(); generator.next();
	const url = new URL("http://host:81/path?q#f"), headers = new Headers({ a: "b" }), text = new TextEncoder().encode("hé");
	const proxy = new Proxy({}, { get: (_, key) => "proxied " + String(key) });
	const date = new Date(86400000), big = 2n ** 70n, error = new RangeError("kept", { cause: 1 });
	globalThis.onGlobal = { [secret]: "symbol" };
	Array.prototype.ours = function () { return this.length; };
	const waited = await Promise.resolve("awaited");
	export default { async fetch(r, env) {
		settle("now");
		return Response.json([counter.next(), Counter.made, map.get(counter), map.get("a").b.map(String), [...set], weak.get(counter),
			ref.deref() === counter, [...typed], new Uint8Array(buffer)[99_999], pattern.lastIndex, "x@".match(/(?<word>\w+)@/).groups.word,
			await suspended, generator.next().value, url.port, new URL("/b", url).href, headers.get("a"), [...text], proxy.some,
			date.toISOString(), String(big), error.message + error.cause, onGlobal[secret], [1, 2].ours(), waited, import.meta.url, env.N]);
	} }`

const stateAnswer = `[41,1,"key",["1","2","x"],[1,"1",null],"weakly",true,[1.5,2.5],7,5,"x","resumed now",4,"81","http://host:81/b","b",` +
	`[104,195,169],"proxied some","1970-01-02T00:00:00.000Z","1180591620717411303424","kept1","symbol",2,"awaited","file:///app.js",5]`

func TestSnapshotKeepsStateOfTopLevel(t *testing.T) {
	app, built := imageApp(t, AppOptions{EnvJSON: `{"N":5}`}, stateApp)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	for range 3 { // each from the same state
		isolate := startImage(t, app, "snapshot")
		if got := fetch(t, isolate, get); string(got.Body) != stateAnswer {
			t.Errorf("got  %s\nwant %s", got.Body, stateAnswer)
		}
		isolate.Collect()
		if got := fetch(t, isolate, get); !strings.HasPrefix(string(got.Body), "[42,1,") {
			t.Errorf("the second request got %s", got.Body)
		}
	}
}

// Objects of every length, that refer to others in all ways there are: the reader of objects (shim/deserialize.cc)
// has a case for each.
const shapesApp = `
	const make = () => Array.from({ length: 300 }, (_, n) => ({
		text: "x".repeat(n) + n, wide: "\u4e2d".repeat(n), joined: "left of " + n + " and right of " + n,
		holes: new Array(n), same: new Array(n).fill(null), doubles: new Float64Array(n).fill(n + 0.5), boxed: n + 0.25,
		mixed: Array.from({ length: n % 40 }, (_, i) => i % 3 ? i : [undefined, true, "const", Symbol.iterator.description, {}][i % 5]),
		["own" + n]: n, method() { return this.boxed + n; }, get late() { return n; }, pattern: new RegExp("a{" + n + "}", "y"),
	}));
	const list = make(), keys = list.map((_, n) => ({ n }));
	const weak = new WeakMap(keys.map((key) => [key, list[key.n]])), refs = keys.map((key) => new WeakRef(key));
	const large = Array.from({ length: 100_000 }, (_, n) => n % 1000 ? n : { n });
	const shown = (list) => JSON.stringify(list.map((o, n) => [o, Object.keys(o), o.method(), o.late, String(o.pattern), o.doubles.length,
		o.holes.length, 0 in o.holes, o["own" + n]]));
	const same = () => shown(list) === shown(make()) && keys.every((key, n) => weak.get(key) === list[n] && refs[n].deref() === key) &&
		large.every((item, n) => n % 1000 ? item === n : item.n === n);
	export default { fetch() { return new Response(String(same())); } }`

func TestSnapshotKeepsObjectsOfAllShapes(t *testing.T) {
	app, built := imageApp(t, AppOptions{}, shapesApp)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	isolate := startImage(t, app, "snapshot")
	for range 2 {
		if got := fetch(t, isolate, get); string(got.Body) != "true" {
			t.Errorf("the objects of the snapshot are not as they were made: %s", got.Body)
		}
		isolate.Collect()
	}
}

// Snapshots have the linear form (shim/linear.h), which is made from V8's and from nothing else.
func TestSnapshotsAreLinear(t *testing.T) {
	if shim.SnapshotForm == "" {
		t.Skip("snapshots have V8's form on " + runtime.GOARCH)
	}
	_, built := imageApp(t, AppOptions{}, shapesApp)
	for name, blob := range map[string][]byte{"runtime": testRuntime.blob.Bytes(), "app": snapshotOf(t, built)} {
		if len(shim.Linearize(blob)) != 0 {
			t.Errorf("the snapshot of the %s has V8's form", name)
		}
	}
}

func snapshotOf(t testing.TB, built Built) []byte {
	t.Helper()
	for _, section := range built.Sections {
		if section.Name == sectionSnapshot {
			return section.Data
		}
	}
	t.Fatal("the image has no snapshot")
	return nil
}

// Objects of a snapshot are whole while V8 collects garbage: when they are read in an isolate that is in the middle of
// marking what is in use, and when those around them go.
func TestSnapshotsRestoredDuringCollections(t *testing.T) {
	source := strings.Replace(shapesApp, "fetch()", "fetch(r, env, ctx)", 1)
	source = strings.Replace(source, "return new", `
		// In the old generation, and in use for as long as the context is: what makes V8 mark it, bit by bit.
		globalThis.used = Array.from({ length: 30 }, () => new Array(20_000).fill().map((_, n) => ({ n })));
		return new`, 1)
	askSnapshot(t, AppOptions{PerRequest: true}, source, 12, 4, "true")
}

// askSnapshot asks an app that is started from its snapshot, and wants the same answer each time. After so many requests,
// again and again, all garbage is collected.
func askSnapshot(t *testing.T, options AppOptions, source string, requests, collectAfter int, want string) {
	t.Helper()
	app, built := imageApp(t, options, source)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	isolate := startImage(t, app, "snapshot")
	for n := 1; n <= requests; n++ {
		prepare(isolate)
		if got := string(fetch(t, isolate, get).Body); got != want {
			t.Fatalf("request %d: what the snapshot holds is not as it was made: %.200s, want %s", n, got, want)
		}
		if n%collectAfter == 0 {
			isolate.Collect()
		}
	}
}

// manyFunctions is a list of functions in JavaScript, no two with the same code. Called with numbers, the function at n
// gives n and how many parameters it has, in one way or another.
func manyFunctions(count int) string {
	var text strings.Builder
	for n := range count {
		parameters := make([]string, n%13)
		for k := range parameters {
			parameters[k] = fmt.Sprint("p", k)
		}
		list := strings.Join(parameters, ",")
		kind := []string{"(%s) => %d + [%s].length", "function (%s) { return %d + [%s].length; }", "async (%s) => %d + [%s].length",
			"function* (%s) { yield %d + [%s].length; }", "class { constructor(%s) { this.sum = %d + [%s].length; } }"}[n%5]
		fmt.Fprintf(&text, kind+",\n", list, n, list)
	}
	return "[" + text.String() + "]"
}

// Functions of a snapshot have entries of their own in V8's table, more of them than fit its first segment, which are
// given back when they die. Names are the same strings as those of the runtime and of code that is compiled later.
func TestSnapshotKeepsFunctions(t *testing.T) {
	const count = 6000
	for _, perRequest := range []bool{false, true} {
		askSnapshot(t, AppOptions{PerRequest: perRequest}, `
			const list = `+manyFunctions(count)+`;
			const call = [(f) => f(), (f) => f(), (f) => f(), (f) => f().next().value, (f) => new f().sum];
			const names = Object.fromEntries(list.map((_, n) => ["name" + n, n]));
			export default { async fetch(request) {
				const wrong = [];
				for (let round = 0; round < 3; round++)
					for (const [n, f] of list.entries())
						if (f !== null && (f.length !== n % 13 || await call[n % 5](f) !== n + n % 13)) wrong.push(n);
				for (let n = 0; n < `+fmt.Sprint(count)+`; n++)
					if (names["name" + n] !== n || names[JSON.parse('"name' + n + '"')] !== n) wrong.push("name" + n);
				for (let n = 0; n < list.length; n += 2) list[n] = null;
				return Response.json(wrong);
			} }`, 3, 1, "[]")
	}
}

// The code of a top level, which runs once, is not in a snapshot, nor is what only it refers to: names
// of the properties it reads, literals. What is left works, and can be compiled.
func TestSnapshotDropsCodeOfTopLevels(t *testing.T) {
	used := "const list = [" + strings.Repeat("{ onlyReadAtStart: { kept: 1 } },", 500) + "];\n"
	app, built := imageApp(t, AppOptions{}, used+`
		let sum = 0;
		for (const item of list.splice(0)) sum += item.onlyReadAtStart.kept;
		const failed = new Error("at the top");
		const waited = await Promise.resolve("awaited");
		const once = (() => { function later() { return "later " + waited; } return later; })();
		class Late { #own = sum; static label = "late"; read() { return Late.label + this.#own; } }
		export default { async fetch() {
			const line = (e) => e.stack.split("\n")[1].trim().replace(/:\d+\)?$/, "");
			return Response.json([sum, once(), new Late().read(), line(failed), import.meta.url]);
		} }`)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	for _, section := range built.Sections {
		if section.Name == blobSection && bytes.Contains(section.Data, []byte("onlyReadAtStart")) {
			t.Error("the snapshot holds what only the code of the top level refers to")
		}
	}
	isolate := startImage(t, app, "snapshot")
	const want = `[500,"later awaited","late500","at app.js:5","file:///app.js"]`
	for range 3 {
		if got := fetch(t, isolate, get); string(got.Body) != want {
			t.Errorf("got  %s\nwant %s", got.Body, want)
		}
		isolate.Collect()
	}
}

// With a warm-up, the code of all functions that only the top level calls is dropped, of those too
// that it calls so often that V8 would compile them to machine code.
func TestWarmUpDropsCodeOfBusyTopLevels(t *testing.T) {
	app, built := imageApp(t, AppOptions{Warmup: "/"}, "// "+strings.Repeat("long ", 1000)+`
		function busy(n) { return n === -1 ? "onlyInBusy" : n % 7; }
		function called() { return "onlyInCalled"; }
		let sum = 0;
		for (let i = 0; i < 3000; i++) { sum += busy(i); Math.max(sum, i); }
		export default { async fetch(r) { return Response.json([sum, called(), r.url.includes("again") && busy(-1)]); } }`)
	if built.Reason != "" || built.WarmUpNote != "" {
		t.Fatal(built.Reason, built.WarmUpNote)
	}
	for _, section := range built.Sections {
		if section.Name == blobSection && bytes.Contains(section.Data, []byte("onlyInBusy")) {
			t.Error("the snapshot holds code that only the top level needed")
		}
		if section.Name == blobSection && !bytes.Contains(section.Data, []byte("onlyInCalled")) {
			t.Error("the snapshot does not hold code that the warm-up request needed")
		}
	}
	isolate := startImage(t, app, "snapshot")
	const want = `[8994,"onlyInCalled","onlyInBusy"]`
	if got := fetch(t, isolate, strings.Replace(get, "/", "/again", 1)); string(got.Body) != want {
		t.Errorf("got %s, want %s", got.Body, want)
	}
}

func TestImagesAreDeterministic(t *testing.T) {
	resolved, err := bundle(t, "app.js", stateApp)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := build(t, resolved, BuildOptions{Warmup: "/"})
	second, _ := build(t, resolved, BuildOptions{Warmup: "/"})
	if len(first.Sections) != 5 || first.WarmUpNote != "" {
		t.Fatalf("%d sections, %q", len(first.Sections), first.WarmUpNote)
	}
	for i, section := range first.Sections {
		if section.Name != sectionManifest && !bytes.Equal(section.Data, second.Sections[i].Data) {
			t.Errorf("two builds differ in section %s", section.Name)
		}
	}
}

// Many apps in one process, their isolates made and used in turns.
func TestManySnapshotsLiveTogether(t *testing.T) {
	lockThread(t)
	const apps, rounds = 20, 5
	list := make([]*App, apps)
	for i := range list {
		source := fmt.Sprintf(`const own = %d; class A%d { #x = own; get x() { return this.#x; } }
			const all = Array.from({ length: %d }, (_, n) => ({ n, f: () => n + own }));
			let served = 0; globalThis.shared = own;
			export default { fetch(r, env) { return new Response([own, new A%d().x, all.at(-1).f(), ++served, shared, env.ID].join()) } }`,
			i, i, 10+i*100, i)
		var built Built
		list[i], built = imageApp(t, AppOptions{Name: fmt.Sprint("app", i), EnvJSON: fmt.Sprintf(`{"ID":%d}`, i)}, source)
		if built.Reason != "" {
			t.Fatal(built.Reason)
		}
	}
	var alive []*Isolate
	var of []int
	for round := range rounds {
		for i, app := range list {
			isolate, err := startOn(app, -1)
			if err != nil {
				t.Fatal(err)
			}
			alive, of = append(alive, isolate), append(of, i)
		}
		for k, isolate := range alive {
			i := of[k]
			want := fmt.Sprintf("%d,%d,%d,%d,%d,%d", i, i, 9+i*100+i, round-k/apps+1, i, i)
			if got := fetch(t, isolate, get); string(got.Body) != want {
				t.Fatalf("round %d, isolate %d: got %s, want %s", round, k, got.Body, want)
			}
		}
	}
	for _, isolate := range alive {
		isolate.Dispose()
	}
}

func TestSnapshotHoldsNoSecrets(t *testing.T) {
	const mark = "hunter2-is-not-in-the-image"
	app, built := imageApp(t, AppOptions{Warmup: "/", EnvJSON: `{"KEY":"` + mark + `"}`},
		`let seen; export default { fetch(r, env) { seen ??= Object.keys(env).join() + typeof env.KEY; return new Response(seen + env.KEY) } }`)
	for _, section := range built.Sections {
		if bytes.Contains(section.Data, []byte(mark)) {
			t.Errorf("section %s holds the secret", section.Name)
		}
	}
	// The request that warmed the app up saw an empty env, and what the app made of it is kept.
	if got := fetch(t, startImage(t, app, "snapshot"), get); string(got.Body) != "undefined"+mark {
		t.Errorf("got %s", got.Body)
	}
}

func TestAppsThatCannotBeSnapshotted(t *testing.T) {
	for name, c := range map[string]struct{ source, reason, answer string }{
		"WebAssembly": {
			"const bytes = new Uint8Array([0,97,115,109,1,0,0,0]);\nconst module = new WebAssembly.Module(bytes);\n" +
				`export default { fetch() { return new Response(String(module)) } }`,
			"app.js:2:16: WebAssembly", "[object WebAssembly.Module]"},
		"guarded WebAssembly": {
			"\nconst has = typeof WebAssembly !== 'undefined';\nexport default { fetch() { return new Response(String(has)) } }",
			"app.js:2:13: WebAssembly", "true"},
		"SharedArrayBuffer": {
			"const shared = new SharedArrayBuffer(8);\nexport default { fetch() { return new Response(String(shared.byteLength)) } }",
			"app.js:1:16: SharedArrayBuffer", "8"},
		"Intl": {
			"new Intl.Collator();\nfunction make() {\n  return new Intl.NumberFormat('de');\n}\nconst format = make();\nexport default { fetch() { return new Response(format.format(1.5)) } }",
			"app.js:3:10: an Intl.NumberFormat", "1,5"},
		"subclass of Intl": {
			"class F extends Intl.DateTimeFormat {}\nconst format = new F('en', {year: 'numeric', timeZone: 'UTC'});\nexport default { fetch() { return new Response(format.format(0)) } }",
			"app.js:1:1: an Intl.DateTimeFormat", "1970"},
		"frozen global": {
			"Object.freeze(globalThis);\nexport default { fetch() { return new Response(typeof WebAssembly + Object.isFrozen(globalThis)) } }",
			"the app has frozen the global object", "objecttrue"},
		"frozen Math": {
			"Object.freeze(Math);\nexport default { fetch() { return new Response(typeof Math.f16round) } }", "the app has frozen Math", "function"},
		"frozen DataView": {
			"Object.freeze(DataView.prototype);\nexport default { fetch() { return new Response(typeof Float16Array) } }", "the app has frozen DataView.prototype", "function"},
		"another Float16Array": {
			"globalThis.Float16Array ??= class Mine {};\nexport default { fetch() { return new Response(Float16Array.name) } }", "the app has defined Float16Array", "Float16Array"},
		"another Math": {
			"globalThis.Math = 1;\nexport default { fetch() { return new Response(String(Math)) } }", "the app has replaced Math", "1"},
		"closed global": {
			"Object.preventExtensions(globalThis);\nexport default { fetch() { return new Response(typeof SharedArrayBuffer + new URL('http://a/b').href) } }",
			"the app has frozen the global object", "functionhttp://a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			app, built := imageApp(t, AppOptions{}, c.source)
			if !strings.HasPrefix(built.Reason, c.reason) {
				t.Errorf("reason %q, want %q", built.Reason, c.reason)
			}
			isolate := startImage(t, app, "cache")
			if got := fetch(t, isolate, get); string(got.Body) != c.answer {
				t.Errorf("got %s", got.Body)
			}
		})
	}
}

// What looks like trouble and is none.
func TestAppsThatCanBeSnapshotted(t *testing.T) {
	for name, c := range map[string]struct{ source, answer string }{
		"dropped Intl":  {`const text = new Intl.NumberFormat("de").format(1.5); export default { fetch() { return new Response(text) } }`, "1,5"},
		"locale string": {`const text = (1234.5).toLocaleString("de") + "b".localeCompare("a"); export default { fetch() { return new Response(text) } }`, "1.234,51"},
		"asm.js":        {`function m(std) { "use asm"; function f() { return 42; } return { f: f }; } const f = m(globalThis).f; export default { fetch() { return new Response(String(f())) } }`, "42"},
		"finalizer":     {`const held = {}; const registry = new FinalizationRegistry(() => {}); registry.register(held, 1); registry.register({}, 2); export default { fetch() { registry.register({}, 3); return new Response("ok") } }`, "ok"},
		"unhandled":     {`Promise.reject(new Error("x")); export default { fetch() { return new Response("ok") } }`, "ok"},
		"URL pattern":   {`const p = new URLPattern({ pathname: "/(a|b)/:c(\\w+)" }); export default { fetch() { return new Response(p.exec({ pathname: "/b/d" }).pathname.groups.c) } }`, "d"},
		"late wasm":     {`export default { fetch() { return new Response(typeof WebAssembly + typeof SharedArrayBuffer) } }`, "objectfunction"},
		"eval":          {`const f = new Function("return 7"), g = eval("() => 1"); export default { fetch() { return new Response(String(f() + g())) } }`, "8"},
		"microtask":     {`let n = 0; queueMicrotask(() => n++); export default { fetch() { return new Response(String(n)) } }`, "1"},
		"streams":       {`const { readable, writable } = new TransformStream(); const w = writable.getWriter(); export default { fetch() { w.write(new Uint8Array([65])); w.close(); return new Response(readable).text().then((x) => new Response(x)) } }`, "A"},
		"abort":         {`const c = new AbortController(); c.signal.onabort = () => {}; const e = new EventTarget(); export default { fetch() { c.abort(); return new Response(String(c.signal.aborted)) } }`, "true"},
		"decoder":       {`const d = new TextDecoder("sjis"); const s = d.decode(new Uint8Array([0xb1, 0x82]), { stream: true }); export default { fetch() { return new Response(s + d.decode(new Uint8Array([0xa0]))) } }`, "\uff71\u3042"},
		"long decoded":  {`const s = new TextDecoder().decode(new Uint8Array(300000).fill(97)); export default { fetch() { return new Response(String(s.length)) } }`, "300000"},
		"latin":         {`const text = "häß ` + strings.Repeat("é", 3000) + `"; export default { fetch() { return new Response(text.slice(0, 3)) } }`, "häß"},
		// The limit of starts is met twice over by what V8 computes in one piece, after all of the app's own JavaScript.
		"late limit": {`globalThis.kept = new Error("x"); globalThis.ended = 0; globalThis.registry = new FinalizationRegistry(() => { for (let i = 0; i < 1e5; i++); ended++; });
			for (let i = 0; i < 9; i++) registry.register({}); Error.prepareStackTrace = () => { const s = "a".repeat(1 << 26); return "" + ` +
			strings.Repeat(`s.lastIndexOf("ab") + `, 80) + `"."; }; export default { fetch() { return new Response(ended + kept.stack.slice(-3)) } }`, "9-1."},
		"wide": {`const text = "日本 ` + strings.Repeat("語", 3000) + `"; export default { fetch() { return new Response(text.slice(0, 2)) } }`, "日本"},
	} {
		t.Run(name, func(t *testing.T) {
			app, built := imageApp(t, AppOptions{}, c.source)
			if built.Reason != "" {
				t.Fatal(built.Reason)
			}
			isolate := startImage(t, app, "snapshot")
			if got := fetch(t, isolate, get); string(got.Body) != c.answer {
				t.Errorf("got %s", got.Body)
			}
		})
	}
}

func TestBuildTellsWhyAnAppDoesNotStart(t *testing.T) {
	for source, want := range map[string]string{
		"\nthrow new TypeError('at the top')":                         "app.js:2:7: TypeError: at the top",
		"export default {}":                                           "fetch",
		"\nawait new Promise(() => {})":                               "app.js:2:1: top-level await",
		"setTimeout(() => {}, 1)":                                     "app.js:1:1: Error: setTimeout() is not allowed while a module's top level runs; call it inside fetch()",
		"crypto.randomUUID()":                                         "app.js:1:8: Error: crypto.randomUUID() is not allowed",
		"crypto.getRandomValues(new Uint8Array(8))":                   "app.js:1:8: Error: crypto.getRandomValues() is not allowed",
		"const x = 1;\nMath.random()":                                 "app.js:2:6: Error: Math.random() is not allowed",
		"for (;;);":                                                   "terminated",
		"const all = []; for (;;) all.push(new Array(1e5).fill(0.5))": "terminated",
	} {
		resolved, err := bundle(t, "app.js", source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := testRuntime.Build(resolved, BuildOptions{Name: "test"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", source, err, want)
		}
	}
}

// What is thrown and is no Error has no place: none is made up.
func TestBuildTellsOfWhatIsNoError(t *testing.T) {
	resolved, err := bundle(t, "app.js", "throw null")
	if err != nil {
		t.Fatal(err)
	}
	_, err = testRuntime.Build(resolved, BuildOptions{Name: "test"})
	if err == nil || !strings.Contains(err.Error(), "null") || strings.Contains(err.Error(), ":0") {
		t.Errorf("got %v", err)
	}
}

func TestMathRandom(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch() {
		const { random } = Math, d = Object.getOwnPropertyDescriptor(Math, "random");
		let constructs = true; try { new random(); } catch { constructs = false; }
		return Response.json([random.name, random.length, d.writable, d.enumerable, d.configurable, constructs, "prototype" in random, random() < 1, random() !== random()]) } }`)
	if got := fetch(t, isolate, get); string(got.Body) != `["random",0,true,false,true,false,false,true,true]` {
		t.Errorf("got %s", got.Body)
	}
}

func TestWarmUp(t *testing.T) {
	lockThread(t)
	const source = `let calls = 0; const kept = [];
		export default { async fetch(r, env, ctx) {
			calls++; kept.push(r.url);
			const path = new URL(r.url).pathname;
			if (path === "/fail") throw new Error("cold");
			if (path === "/chance") return new Response(String(Math.random()));
			if (path === "/never") return new Promise(() => {});
			if (path === "/missing") return new Response("no", { status: 404 });
			if (path === "/endless") return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(20000)); } }));
			if (path === "/wasm") WebAssembly.compile;
			if (path === "/stream") return new Response(new ReadableStream({ n: 0, pull(c) { if (this.n++ < 5) c.enqueue(new Uint8Array(20000)); else c.close(); } }));
			ctx.waitUntil(Promise.resolve());
			return new Response(calls + kept[0]);
		} }`
	for path, c := range map[string]struct{ note, answer string }{
		"/":        {"", "2http://localhost/"},
		"/stream":  {"", "2http://localhost/stream"},
		"/missing": {"", "2http://localhost/missing"},
		"/fail":    {"answered with status 500: nano: test: uncaught Error: cold", "1http://app.test/"},
		"/chance":  {"Math.random() is not allowed during the warm-up request", "1http://app.test/"},
		"/never":   {"not answered", "1http://app.test/"},
		"/endless": {"does not end", "1http://app.test/"},
		"/wasm":    {"WebAssembly", "1http://app.test/"},
	} {
		app, built := imageApp(t, AppOptions{Warmup: path}, source)
		if built.Reason != "" || !strings.Contains(built.WarmUpNote, c.note) || (c.note == "") != (built.WarmUpNote == "") {
			t.Errorf("%s: reason %q, note %q", path, built.Reason, built.WarmUpNote)
		}
		if got := fetch(t, startImage(t, app, "snapshot"), get); string(got.Body) != c.answer {
			t.Errorf("%s: got %s", path, got.Body)
		}
	}
}

func TestImageRefusesWhatItIsNot(t *testing.T) {
	resolved, err := bundle(t, "app.js", helloApp)
	if err != nil {
		t.Fatal(err)
	}
	built, _ := build(t, resolved, BuildOptions{})
	open := func(key snapshot.Key, sections []snapshot.Section) error {
		file, err := snapshot.Decode(snapshot.Encode(key, sections))
		if err != nil {
			t.Fatal(err)
		}
		_, err = testRuntime.Image(func() (*snapshot.File, error) { return file, nil })
		return err
	}
	key := testRuntime.ImageKey(resolved, "")
	if err := open(key, built.Sections); err != nil {
		t.Fatal(err)
	}
	stale := key
	stale.Sources = "older scripts"
	var mismatch *snapshot.MismatchError
	if err := open(stale, built.Sections); !errors.As(err, &mismatch) {
		t.Errorf("scripts: got %v", err)
	}
	noApp := key
	noApp.App = ""
	if err := open(noApp, built.Sections); err == nil {
		t.Error("accepted a runtime snapshot")
	}
	for i := range built.Sections[:2] {
		sections := append([]snapshot.Section(nil), built.Sections...)
		sections[i].Data = sections[i].Data[:len(sections[i].Data)-1]
		if err := open(key, sections); err == nil {
			t.Errorf("accepted a cut-off section %s", sections[i].Name)
		}
	}
	if testRuntime.ImageKey(resolved, "/") == key {
		t.Error("the warm-up path is not in the key")
	}
}

// Apps of the same sources share an image, and still have each its own name.
func TestAppsOfOneImageHaveTheirNames(t *testing.T) {
	first, _ := imageApp(t, AppOptions{Name: "first"}, `export default { fetch() { throw new Error("oh") } }`)
	second, _ := imageApp(t, AppOptions{Name: "second"}, `export default { fetch() { throw new Error("oh") } }`)
	second.SetImage(first.image.Load())
	for name, app := range map[string]*App{"first": first, "second": second} {
		got := fetch(t, startImage(t, app, "snapshot"), get)
		if want := "nano: " + name + ": uncaught Error: oh"; string(got.Body) != want {
			t.Errorf("got %q, want %q", got.Body, want)
		}
	}
}

// An image is mapped while isolates of it live, and not longer.
func TestImageIsMappedWhileInUse(t *testing.T) {
	app, _ := imageApp(t, AppOptions{}, helloApp)
	image := app.image.Load()
	lockThread(t)
	for range 2 {
		a, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		if image.users != 2 || image.loaded == nil || a.loaded != b.loaded {
			t.Errorf("%d users", image.users)
		}
		a.Dispose()
		fetch(t, b, get)
		b.Dispose()
		if image.users != 0 || image.loaded != nil {
			t.Errorf("%d users after the last", image.users)
		}
	}
}

// A code cache that V8 does not want is no error: the module is compiled.
func TestRejectedCodeCache(t *testing.T) {
	resolved, err := bundle(t, "app.js", helloApp)
	if err != nil {
		t.Fatal(err)
	}
	for _, cache := range [][]byte{nil, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 4096)} {
		loaded := loadBundle(resolved, encodeBlocks([][]byte{cache}))
		app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, resolved)
		image := app.image.Load()
		image.loaded, image.users = loaded, 1
		if got := fetch(t, startImage(t, app, "source"), get); string(got.Body) != "Hello World" {
			t.Errorf("got %q", got.Body)
		}
	}
}

func TestPoolUsesReadyIsolates(t *testing.T) {
	lockThread(t)
	pool := testRuntime.NewPool(PoolOptions{Wake: -1, Heap: 64 << 20, Ready: 2})
	defer pool.Close()
	for pool.Prepare() {
	}
	if pool.Ready() != 2 {
		t.Fatalf("%d ready", pool.Ready())
	}
	start := func(app *App, how string, ready int) {
		t.Helper()
		isolate, err := pool.Start(app)
		if err != nil {
			t.Fatal(err)
		}
		defer isolate.Dispose()
		if isolate.Started().How != how || pool.Ready() != ready {
			t.Errorf("from %s, %d ready", isolate.Started().How, pool.Ready())
		}
		if got := fetch(t, isolate, get); string(got.Body) != "Hello World" {
			t.Errorf("got %s", got.Body)
		}
	}
	quick, _ := imageApp(t, AppOptions{Limits: Limits{Heap: 64 << 20}}, helloApp)
	other, _ := imageApp(t, AppOptions{Limits: Limits{Heap: 32 << 20}}, helloApp)
	slow, _ := imageApp(t, AppOptions{Limits: Limits{Heap: 64 << 20}}, helloApp)
	quick.image.Load().manifest.LoadNS = 1 // not what a busy machine has measured
	slow.image.Load().manifest.LoadNS = 1e9
	start(other, "snapshot", 2)
	start(slow, "snapshot", 2)
	start(quick, "cache", 1)
	start(quick, "cache", 0)
	start(quick, "snapshot", 0)
}

// Typed arrays at every depth of the graph, reached by objects of V8's own first: its serializer puts
// off what is deep.
func TestSnapshotKeepsBuffersWhereverTheyAre(t *testing.T) {
	app, built := imageApp(t, AppOptions{}, `
		let list = null;
		const types = [Uint8Array, Int16Array, Float64Array, BigInt64Array, Uint8ClampedArray];
		for (let i = 0; i < 200; i++) {
			const type = types[i % types.length], array = new type(i * 3 + 1);
			array[i] = type === BigInt64Array ? BigInt(i) : i;
			list = { array, view: new DataView(array.buffer), next: list, part: array.subarray(i), empty: new type(0), f() { return list.array[0]; } };
		}
		Array.prototype.ours = () => list;
		Object.defineProperty(Object.prototype, "theirs", { get: () => list, configurable: true });
		Function.prototype.more = () => list;
		globalThis[0] = list;
		const resizable = new ArrayBuffer(8, { maxByteLength: 64 }), over = new Uint8Array(resizable);
		export default { fetch() {
			let sum = 0, n = 0;
			for (let at = [].ours(); at !== null; at = at.next, n++) {
				const i = 199 - n;
				sum += Number(at.array[i]) + Number(at.part[0]) + (at.view.byteLength === at.array.byteLength) + (at.part.buffer === at.array.buffer) + at.empty.length;
			}
			resizable.resize(16);
			return new Response([n, sum, ({}).theirs === list, over.length].join());
		} }`)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	isolate := startImage(t, app, "snapshot")
	isolate.Collect()
	if got := fetch(t, isolate, get); string(got.Body) != "200,40200,true,16" {
		t.Errorf("got %s", got.Body)
	}
}
