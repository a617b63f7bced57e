package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nano/isolates"
	"nano/snapshot"
)

// addWasm exports add(a, b).
const addWasm = "\x00asm\x01\x00\x00\x00" + "\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x07\x01\x03add\x00\x00" +
	"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b"

const wasmApp = `import module from "./add.wasm";
	export default { async fetch() {
		const { exports } = await WebAssembly.instantiate(module);
		return new Response(String((exports.add as Function)(40, 2)));
	} };`

// TestServeBundles runs a node whose apps are bundled by a process of its own: one that is broken does not
// keep the others from serving.
func TestServeBundles(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"nano.toml": `[server]
listen = ["127.0.0.1:0"]
[[app]]
name = "typed"
main = "typed.ts"
[[app]]
name = "wasm"
main = "wasm.ts"
path = "/wasm"
[[app]]
name = "broken"
main = "broken.ts"
path = "/broken"
[[app]]
name = "mixed"
main = "mixed.js"
path = "/mixed"
`,
		"typed.ts": "export default { fetch(r: Request): Response { return new Response(r.url satisfies string) } }", "wasm.ts": wasmApp, "add.wasm": addWasm,
		"broken.ts": "let a = ;\n", "mixed.js": `import data from "./data.json"; const page = <p>{data.text}</p>; export default { fetch: () => new Response(String(page)) };`,
		"data.json": `{"text": "<data>"}`,
	})
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	p.expect("GET", "/path", "host", "", 200, "http://host/path")
	p.expect("GET", "/wasm", "", "", 200, "42")
	p.expect("GET", "/mixed", "", "", 200, "<p>&lt;data&gt;</p>")
	p.expect("GET", "/broken", "", "", 500, "nano: broken: failed to start")
	p.waitForLog(`broken.ts:1:9: Unexpected ";"`)
	bundles, err := filepath.Glob(filepath.Join(folder, ".nano/bundles/*.bundle"))
	if err != nil || len(bundles) != 3 {
		t.Errorf("bundles %q, %v", bundles, err)
	}
	exit, _, stderr := runNano(t, "check", "-c", filepath.Join(folder, "nano.toml"))
	if exit != 1 || !strings.Contains(stderr, `broken.ts:1:9: Unexpected ";"`) || strings.Contains(stderr, "wasm") {
		t.Errorf("check: %d, %s", exit, stderr)
	}
}

func TestBuildBundles(t *testing.T) {
	folder := writeFiles(t, map[string]string{"wasm.ts": wasmApp, "add.wasm": addWasm})
	built := filepath.Join(folder, "wasm.nano")
	exit, out, stderr := runNano(t, "build", filepath.Join(folder, "wasm.ts"), "-o", built)
	if exit != 0 || !strings.Contains(out, "2 modules and snapshot") {
		t.Fatalf("%d, %s, %s", exit, out, stderr)
	}
	for _, name := range []string{"wasm.ts", "add.wasm"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	startNano(t, 1, "run", built, "--listen", "127.0.0.1:0").expect("GET", "/", "", "", 200, "42")
}

func TestRunProject(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"wrangler.jsonc": `{ "name": "shop", "main": "src/index.ts", // the way of wrangler
			"vars": { "NAME": "value" }, "kv_namespaces": [{ "binding": "CACHE", "id": "1" }], "assets": { "directory": "public" },
			"define": { "VERSION": "'4711'" }, "env": { "staging": { "vars": { "NAME": "staged" } } } }`,
		"src/index.ts":    "declare const VERSION: string; export default { fetch(_: Request, env: any) { return new Response([env.NAME, typeof VERSION, typeof env.CACHE].join()) } }",
		"public/file.txt": "a file",
	})
	p := startNano(t, 1, "run", folder, "--listen", "127.0.0.1:0")
	p.waitForLog("wrangler.jsonc: kv_namespaces: env.CACHE is missing: NANO has no Workers KV")
	p.expect("GET", "/", "any.host", "", 200, "value,string,undefined")
	p.expect("GET", "/file.txt", "", "", 200, "a file")
	p = startNano(t, 1, "run", folder, "--env", "staging", "--listen", "127.0.0.1:0")
	p.expect("GET", "/", "", "", 200, "staged,undefined,undefined")
	exit, _, stderr := runNano(t, "run", folder, "--env", "none")
	if exit != 1 || !strings.Contains(stderr, `there is no environment "none": it has staging`) {
		t.Errorf("%d, %s", exit, stderr)
	}
}

// TestMinify builds the same app with and without --minify, and as a project that has minify = true.
func TestMinify(t *testing.T) {
	source := strings.Repeat("// It greets.\n", 20) + "const unlikely = (name) => `hello ${name}`;\nexport default { fetch() { return new Response(unlikely('you')); } };\n"
	folder := writeFiles(t, map[string]string{
		"app.js": source, "short/src/index.js": source, "short/wrangler.toml": "main = 'src/index.js'\nminify = true\n",
		"wrong/wrangler.toml": "main = '../app.js'\nminify = 'yes'\n",
	})
	sizes := map[string]int{}
	for name, args := range map[string][]string{"plain": {"app.js"}, "flag": {"--minify", "app.js"}, "project": {"short"}} {
		built := filepath.Join(folder, name+".nano")
		args[len(args)-1] = filepath.Join(folder, args[len(args)-1])
		if exit, _, stderr := runNano(t, append([]string{"build", "-o", built}, args...)...); exit != 0 {
			t.Fatalf("%s: %d, %s", name, exit, stderr)
		}
		file, err := snapshot.Open(built)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		made, err := isolates.ImageBundle(file)
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = made.Size()
	}
	if sizes["plain"] != len(source) || sizes["flag"] >= len(source) || sizes["project"] >= len(source) {
		t.Errorf("a source of %d bytes became %v", len(source), sizes)
	}
	for args, want := range map[string]string{"plain.nano": "is built: build it from its sources", "wrong": "wrangler.toml: minify: expected true or false"} {
		exit, _, stderr := runNano(t, "build", "--minify", filepath.Join(folder, args), "-o", filepath.Join(folder, "x.nano"))
		if exit == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d, %s", args, exit, stderr)
		}
	}
}

// TestMaxBundle: a bundle that is longer than max_bundle is refused, by a node and by a check.
func TestMaxBundle(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"nano.toml": `[server]
listen = ["127.0.0.1:0"]
max_bundle = "2KiB"
[[app]]
name = "small"
main = "small.ts"
[[app]]
name = "large"
main = "large.ts"
path = "/large"
`,
		"small.ts": "export default { fetch(): Response { return new Response('small') } }",
		"large.ts": "export default { fetch(): Response { return new Response('" + strings.Repeat("large", 1000) + "') } }",
	})
	const want = "large.ts: the bundle has "
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	p.expect("GET", "/", "", "", 200, "small")
	p.expect("GET", "/large", "", "", 500, "nano: large: failed to start")
	if line := p.waitForLog(want); !strings.Contains(line, "and 2048 are allowed") {
		t.Error(line)
	}
	exit, _, stderr := runNano(t, "check", "-c", filepath.Join(folder, "nano.toml"))
	if exit != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "small") {
		t.Errorf("check: %d, %s", exit, stderr)
	}
}

// TestJSXWrites holds nano:jsx against what it writes and refuses, case by case.
func TestJSXWrites(t *testing.T) {
	p := startNano(t, 1, "run", "cmd/nano/testdata/jsx.tsx", "--listen", "127.0.0.1:0")
	p.expect("GET", "/", "", "", 200, strings.Join([]string{
		`nested arrays: <p>12&lt;3</p>`,
		`void: <img src="a&amp;b" alt="&quot;">`,
		`bad void: <br> can have no children`,
		`bad attr: "a b" is no name of an attribute`,
		`bad tag: a JSX element's type is a b`,
		`object child: an object is no JSX child: {a}`,
		`async sync: a component is async: use await renderToString() or renderToStream()`,
		`async: <p>a<i>1</i>b<i>&lt;</i></p>`,
		`inner html: <div><b></div>`,
		`fragment: a<hr>b`,
		`h: <p class="c" for="f">ab</p>`,
		`style: <p style="line-height:2;-webkit-line-clamp:3;--x:4;margin-top:0;opacity:0.5" aria-hidden="false"></p>`,
		`proto: <p __proto__="x" constructor="y"></p>`,
		`polluted: <p id="p">a</p>`,
		`rejects: no`,
		`stream: <p>a<i>1</i></p>`,
		`stream rejects: error no`,
		`stream throws: error a symbol is no JSX child: Symbol(x)`,
	}, "\n"))
}
