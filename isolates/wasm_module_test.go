package isolates

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// addWasm exports add(a, b).
const addWasm = "\x00asm\x01\x00\x00\x00" + "\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x07\x01\x03add\x00\x00" +
	"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b"

// wasmModules are an app that imports WebAssembly as ./add.wasm, and once more as ./again.wasm.
func wasmModules(t testing.TB, source string, binary []byte) *Bundle {
	t.Helper()
	bundle, err := NewBundle([]Module{
		{Name: "app.js", Source: []byte(source), Imports: []Import{{"./add.wasm", 1}, {"./again.wasm", 2}}},
		{Name: "lib/add.wasm", Kind: ModuleWasm, Source: binary},
		{Name: "lib/again.wasm", Kind: ModuleWasm, Source: binary},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

const wasmInHandler = `import add from "./add.wasm"; import again from "./again.wasm"; import * as all from "./add.wasm";
	const call = async (module) => (await WebAssembly.instantiate(module)).exports.add(40, 2);
	export default { async fetch() {
		return Response.json([add instanceof WebAssembly.Module, add !== again, all.default === add, await call(add), await call(again), WebAssembly.Module.exports(add)[0].name]);
	} }`

const wasmAnswer = `[true,true,true,42,42,"add"]`

func TestWasmModules(t *testing.T) {
	bundle := wasmModules(t, wasmInHandler, []byte(addWasm))
	app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, bundle)
	check := func(isolate *Isolate) {
		t.Helper()
		if got := respondOf(t, untilAnswered(t, isolate)); string(got.Body) != wasmAnswer {
			t.Errorf("answered %d %s", got.Status, got.Body)
		}
	}
	check(startImage(t, app, "source"))
	built, image := build(t, bundle, BuildOptions{})
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	app.SetImage(image)
	for range 3 {
		check(startImage(t, app, "snapshot"))
	}
	fresh := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}", PerRequest: true}, bundle)
	check(startImage(t, fresh, "source"))
	fresh.SetImage(image)
	isolate := startImage(t, fresh, "snapshot")
	for range 3 {
		check(isolate)
		prepare(isolate)
	}
}

// untilAnswered gives an isolate a request, and turns until V8's threads have compiled what it wants.
func untilAnswered(t testing.TB, isolate *Isolate) []Record {
	t.Helper()
	request(t, isolate, 1, get)
	for {
		for _, record := range turn(t, isolate) {
			if record.Kind == KindRespond {
				return []Record{record}
			}
		}
	}
}

func TestWasmModulesAtTheTopLevel(t *testing.T) {
	for what, c := range map[string]struct{ source, reason, want string }{
		"an instance": {`import add from "./add.wasm";
			const { exports } = new WebAssembly.Instance(add); export default { fetch: () => new Response(String(exports.add(1, 2))) }`,
			"app.js:2:24: WebAssembly", "3"},
		"kept": {`import add from "./add.wasm"; const kept = { add };
			export default { fetch: () => new Response(String(kept.add instanceof WebAssembly.Module)) }`,
			"lib/add.wasm: the WebAssembly.Module is kept by the top level", "true"},
		"kept, the other": {`import add from "./again.wasm"; export const kept = add;
			export default { fetch: () => new Response(String(kept instanceof WebAssembly.Module)) }`,
			"lib/again.wasm: the WebAssembly.Module is kept by the top level", "true"},
		"kept for a while": {`import add from "./add.wasm"; let kept = { add }; const type = typeof kept.add; kept = null;
			export default { fetch: () => new Response(type) }`,
			"", "object"},
		"kept in a closure": {`import add from "./add.wasm"; const get = () => add; get();
			export default { fetch: () => new Response(String(get() instanceof WebAssembly.Module)) }`,
			"", "true"},
	} {
		t.Run(what, func(t *testing.T) {
			bundle := wasmModules(t, c.source, []byte(addWasm))
			built, image := build(t, bundle, BuildOptions{})
			if (built.Reason == "") != (c.reason == "") || !strings.HasPrefix(built.Reason, c.reason) {
				t.Errorf("reason %q, want %q", built.Reason, c.reason)
			}
			how := "cache"
			if c.reason == "" {
				how = "snapshot"
			}
			app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, bundle)
			app.SetImage(image)
			if got := fetch(t, startImage(t, app, how), get); string(got.Body) != c.want {
				t.Errorf("answered %d %s", got.Status, got.Body)
			}
		})
	}
}

func TestBrokenWasmModule(t *testing.T) {
	for _, text := range []string{"", "no wasm", addWasm[:len(addWasm)-1], strings.Replace(addWasm, "\x6a", "\x7c", 1)} {
		_, err := testRuntime.Build(wasmModules(t, wasmInHandler, []byte(text)), BuildOptions{Name: "test"})
		if err == nil || !strings.HasPrefix(err.Error(), "lib/add.wasm: CompileError: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// largeWasm is add(a, b) and functions of some 1 KB that do nothing, together about `size` bytes.
func largeWasm(size int) []byte {
	count := size / 1032
	section := func(id byte, content []byte) []byte {
		return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
	}
	functions := binary.AppendUvarint(nil, uint64(count+1))
	bodies := binary.AppendUvarint(nil, uint64(count+1))
	functions, bodies = append(functions, 0), append(bodies, 7, 0, 0x20, 0, 0x20, 1, 0x6a, 0x0b)
	filler := append(append([]byte{0, 0x20, 0}, bytes.Repeat([]byte{0x20, 1, 0x6a, 0x20, 0, 0x6c}, 170)...), 0x0b)
	for range count {
		functions = append(functions, 0)
		bodies = append(binary.AppendUvarint(bodies, uint64(len(filler))), filler...)
	}
	module := []byte(addWasm[:17])
	module = append(module, section(3, functions)...)
	module = append(module, "\x07\x07\x01\x03add\x00\x00"...)
	return append(module, section(10, bodies)...)
}

// BenchmarkWasmStart measures the start of an app with 1 MB of WebAssembly: the first isolate of a process
// compiles it, the others share that.
func BenchmarkWasmStart(b *testing.B) {
	bundle := wasmModules(b, wasmInHandler, largeWasm(1<<20))
	_, image := build(b, bundle, BuildOptions{})
	for what, keep := range map[string]bool{"first": false, "others": true} {
		b.Run(what, func(b *testing.B) {
			lockThread(b)
			app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, bundle)
			app.SetImage(image)
			start := func() *Isolate {
				isolate, err := startOn(app, -1)
				if err != nil {
					b.Fatal(err)
				}
				return isolate
			}
			if keep {
				defer start().Dispose()
			}
			for b.Loop() {
				start().Dispose()
			}
		})
	}
}

// TestWasmIsCompiledElsewhere: a pool with a CompileMax leaves compiling to others, broken WebAssembly included.
func TestWasmIsCompiledElsewhere(t *testing.T) {
	lockThread(t)
	pool := testRuntime.NewPool(PoolOptions{Wake: -1, CompileMax: 1})
	defer pool.Close()
	broken := strings.Replace(addWasm, "\x6a", "\x7c", 1)
	for binary, problem := range map[string]string{addWasm: "", broken: "lib/add.wasm: CompileError: "} {
		app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, wasmModules(t, wasmInHandler, []byte(binary)))
		for range 2 {
			if _, err := pool.Start(app); err != ErrUncompiled {
				t.Fatal(err)
			}
		}
		resolvers := 0
		compiled := make(chan error)
		go func() {
			var resolver *Resolver
			for range 2 {
				if err := app.Compile(func() (made *Resolver, err error) {
					resolvers++
					resolver, err = testRuntime.NewResolver()
					return resolver, err
				}); err != nil {
					compiled <- err
					return
				}
			}
			resolver.Close() // what was compiled outlives it
			compiled <- nil
		}()
		if err := <-compiled; err != nil || resolvers != 1 {
			t.Fatal(resolvers, err)
		}
		isolate, err := pool.Start(app)
		if problem != "" {
			if err == nil || !strings.HasPrefix(err.Error(), problem) {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := respondOf(t, untilAnswered(t, isolate)); string(got.Body) != wasmAnswer {
			t.Errorf("answered %d %s", got.Status, got.Body)
		}
		isolate.Dispose()
	}
}
