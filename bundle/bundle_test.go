package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wasm is the shortest module.
const wasm = "\x00asm\x01\x00\x00\x00"

// project writes files, by their paths, and gives the options to bundle the first one that is called main.
func project(t testing.TB, files map[string]string) Options {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Base: folder}
	for name, text := range files {
		write(t, filepath.Join(folder, name), text)
		if strings.HasPrefix(filepath.Base(name), "main.") {
			o.Main = filepath.Join(folder, name)
		}
	}
	return o
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func build(t testing.TB, o Options) *Result {
	t.Helper()
	result, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// text is the whole bundle as it is encoded: names and sources are readable in it.
func text(result *Result) string { return string(result.Bundle.Encode()) }

func TestBuild(t *testing.T) {
	for what, c := range map[string]struct {
		files    map[string]string
		has, not []string
	}{
		"types go": {
			files: map[string]string{"main.ts": "import { b, type T } from './b';\nexport default { fetch(): T { return b as T } } satisfies object;", "b.ts": "export type T = number; export const b = 4711"},
			has:   []string{"4711", `"main.ts"`, `"b.ts"`}, not: []string{"satisfies", "as T"},
		},
		"conditions and main fields as on Workers": {
			files: map[string]string{"main.js": "import a from 'a'; import b from 'b'; export default a + b",
				"node_modules/a/package.json": `{"exports": {"node": "./n.js", "workerd": "./w.js", "default": "./d.js"}}`,
				"node_modules/a/w.js":         "export default 'for workerd'", "node_modules/a/n.js": "wrong", "node_modules/a/d.js": "wrong",
				"node_modules/b/package.json": `{"main": "n.js", "module": "n.js", "browser": "b.js"}`,
				"node_modules/b/b.js":         "module.exports = 'for browsers'", "node_modules/b/n.js": "wrong"},
			has: []string{"for workerd", "for browsers"},
		},
		"files that are no code": {
			files: map[string]string{"main.ts": "import a from './a.txt'; import h from './a.html'; import q from './a.sql'; import j from './a.json'; import b from './a.bin'; export default [a, h, q, j, b]",
				"a.txt": "a text", "a.html": "<p>html", "a.sql": "SELECT 4711", "a.json": `{"number": 815}`, "a.bin": "bytes"},
			has: []string{"a text", "<p>html", "SELECT 4711", "815", "Ynl0ZXM", ".buffer"},
		},
		"WebAssembly stays a module": {
			files: map[string]string{"main.ts": "import a from './lib/a.wasm'; import b from './lib/a.wasm?module'; const c = () => import('./lib/c.wasm'); export default [a, b, c]",
				"lib/a.wasm": wasm, "lib/c.wasm": wasm},
			has: []string{"lib/a.wasm", "lib/c.wasm", `from "./lib/a.wasm"`, `from "./lib/c.wasm"`, wasm}, not: []string{"?module"},
		},
		"modules of the runtime stay imports": {
			files: map[string]string{"main.ts": "import { connect } from 'cloudflare:sockets'; export default connect"},
			has:   []string{`from "cloudflare:sockets"`, "nano:sockets"},
		},
		"modules of the runtime for import() and require()": {
			files: map[string]string{"main.ts": "export default async () => [await import('node:async_hooks'), require('async_hooks'), await import('cloudflare:workers')]"},
			has:   []string{`from "node:async_hooks"`, `from "async_hooks"`, `from "cloudflare:workers"`, "nano:async_hooks", "nano:workers"},
			not:   []string{`import("`, `require("`, "\nmodule.exports"},
		},
		"modules of Node.js from unenv": {
			files: map[string]string{"main.ts": "import { a } from 'node:path/posix'; import util from 'util'; import events from 'events'; export default async () => [a, util, events, require('node:buffer'), await import('node:fs')]",
				"node_modules/unenv/package.json":             `{"version": "2.0.0", "sideEffects": false, "exports": {"./*": "./dist/*.mjs"}}`,
				"node_modules/unenv/dist/node/path/posix.mjs": "export const a = 'posix of unenv'", "node_modules/unenv/dist/node/util.mjs": "export default 'util of unenv'",
				"node_modules/unenv/dist/node/buffer.mjs": "export default 'buffer of unenv'", "node_modules/unenv/dist/node/fs.mjs": "export default 'fs of unenv'",
				"node_modules/unenv/dist/node/events.mjs": "export default 'wrong'", "node_modules/events/index.js": "module.exports = 'the package events'"},
			has: []string{"posix of unenv", "util of unenv", "buffer of unenv", "fs of unenv", "the package events", `buffer.mjs?require"(exports, module)`}, not: []string{"wrong"},
		},
		"modules of Node.js from the unenv of another package": {
			files: map[string]string{"src/main.ts": "import a from 'node:path'; export default a", "node_modules/wrangler/package.json": "{}",
				"node_modules/wrangler/node_modules/unenv/package.json":       `{"exports": {"./*": "./dist/*.mjs"}}`,
				"node_modules/wrangler/node_modules/unenv/dist/node/path.mjs": "export default 'path of unenv'"},
			has: []string{"path of unenv"},
		},
		"JSX without a framework is the runtime's": {
			files: map[string]string{"main.tsx": "export default () => <p>{1}</p>"},
			has:   []string{"a component is async"},
		},
		"JSX of the project's framework": {
			files: map[string]string{"src/main.tsx": "export default () => <p>{1}</p>", "package.json": `{"dependencies": {"preact": "10"}}`,
				"node_modules/preact/jsx-runtime.js": "export const jsx = 'by preact'"},
			has: []string{"by preact"}, not: []string{"a component is async"},
		},
		"JSX as tsconfig.json says": {
			files: map[string]string{"main.tsx": "import { make } from './make'; export default () => <p>{1}</p>", "make.ts": "export const make = 1",
				"tsconfig.json": "{ /* a comment */ \"extends\": \"./base\", }", "base.json": `{"compilerOptions": {"jsx": "react", "jsxFactory": "make"}}`},
			has: []string{`make("p"`}, not: []string{"a component is async"},
		},
		"JSX as a pragma says": {
			files: map[string]string{"main.jsx": "/** @jsxImportSource ./mine */ export default () => <p>{1}</p>", "mine/jsx-runtime.js": "export const jsx = 'by mine'"},
			has:   []string{"by mine"},
		},
		"paths of tsconfig.json": {
			files: map[string]string{"src/main.ts": "import a from '@/a'; export default a", "src/lib/a.ts": "export default 'by path'",
				"tsconfig.json": `{"compilerOptions": {"paths": {"@/*": ["./src/lib/*"]}}}`},
			has: []string{"by path"},
		},
		"cycles": {
			files: map[string]string{"main.ts": "import { b } from './b'; export const a = () => b; export default a", "b.ts": "import { a } from './main'; export const b = () => a"},
			has:   []string{"var b = "},
		},
		"NODE_ENV": {
			files: map[string]string{"main.ts": "export default process.env.NODE_ENV === 'production' ? 'fast' : 'slow'"},
			has:   []string{`true ? "fast"`},
		},
		"modules of Node.js that may not be asked for": {
			files: map[string]string{"main.ts": "export default async () => { try { return await import('node:fs') } catch { return require('node:path') } }"},
			has:   []string{`import("node:fs")`, `require("node:path")`},
		},
	} {
		t.Run(what, func(t *testing.T) {
			got := text(build(t, project(t, c.files)))
			for _, part := range c.has {
				if !strings.Contains(got, part) {
					t.Errorf("%q is missing in\n%s", part, got)
				}
			}
			for _, part := range c.not {
				if strings.Contains(got, part) {
					t.Errorf("%q is in\n%s", part, got)
				}
			}
		})
	}
}

func TestSettings(t *testing.T) {
	o := project(t, map[string]string{"main.js": "import a from 'a'; import b from './b.tpl'; export default [a, b, VERSION]", "alias.js": "export default 'by alias'", "b.tpl": "a template"})
	o.Define = map[string]string{"VERSION": `"4711"`}
	o.Alias = map[string]string{"a": filepath.Join(o.Base, "alias.js")}
	o.Rules = []Rule{{"Text", []string{"**/*.tpl"}}}
	o.Minify = true
	got := text(build(t, o))
	for _, part := range []string{"by alias", "a template", `"4711"`} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in\n%s", part, got)
		}
	}
	if strings.Contains(got, "import_") || strings.Contains(got, "// alias.js") {
		t.Errorf("not minified:\n%s", got)
	}
}

func TestDiagnostics(t *testing.T) {
	for what, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"syntax, all at once": {
			files: map[string]string{"src/main.ts": "import './b';\nimport './c'", "src/b.ts": "let x = ;", "src/c.ts": "\nconst é: string == 1;"},
			want:  []string{`src/b.ts:1:9: Unexpected ";"`, `src/c.ts:2:17: Expected ";" but found "=="`},
		},
		"a package": {
			files: map[string]string{"main.ts": "import { z } from 'zod/v4'; z;\nimport '@a/b/c'"},
			want: []string{`main.ts:1:19: cannot find the package "zod": run "npm install zod" in the project's folder`,
				`main.ts:2:8: cannot find the package "@a/b": run "npm install @a/b" in the project's folder`},
		},
		"a file": {
			files: map[string]string{"main.ts": "import './nothing'; import './nothing.wasm'"},
			want:  []string{`main.ts:1:28: cannot import "./nothing.wasm": no such file`, `main.ts:1:8: cannot import "./nothing": no such file`},
		},
		"modules of Node.js": {
			files: map[string]string{"main.ts": "import 'node:fs'", "a.ts": ""},
			want:  []string{`main.ts:1:8: cannot import "node:fs": of Node.js, NANO has node:async_hooks only: use the Web platform's own, or a package that has a build for workers or browsers, or run "npm install unenv@2.0.0-rc.24" in the project's folder for the polyfills in it`},
		},
		"modules of Node.js by their short names": {
			files: map[string]string{"main.ts": "import a from 'a'; a()", "node_modules/a/index.js": "module.exports = require('fs/promises')"},
			want:  []string{`node_modules/a/index.js:1:26: cannot import "fs/promises": of Node.js, NANO has node:async_hooks only: use the Web platform's own, or a package that has a build for workers or browsers, or run "npm install unenv@2.0.0-rc.24" in the project's folder for the polyfills in it`},
		},
		"modules of other runtimes": {
			files: map[string]string{"main.ts": "import 'cloudflare:email'"},
			want:  []string{`main.ts:1:8: cannot import "cloudflare:email": there is no such module in this version`},
		},
		"modules that Node.js does not have": {
			files: map[string]string{"main.ts": "import 'node:ffs'"},
			want:  []string{`main.ts:1:8: cannot import "node:ffs": Node.js has no such module`},
		},
		"what is no WebAssembly": {
			files: map[string]string{"main.ts": "import a from './a.wasm'; export default a", "a.wasm": "text"},
			want:  []string{`a.wasm: is not a WebAssembly module: it does not begin with "\0asm" and version 1`},
		},
		"a name that is not exported": {
			files: map[string]string{"main.ts": "import { a } from './b'; export default a", "b.js": "export const b = 1"},
			want:  []string{`main.ts:1:10: No matching export in "b.js" for import "a"`},
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := project(t, c.files)
			_, err := Build(context.Background(), o)
			var found *Diagnostics
			if !errors.As(err, &found) {
				t.Fatalf("got %v", err)
			}
			lines := strings.Split(err.Error(), "\n")
			slices.Sort(lines)
			if !slices.Equal(lines, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(c.want, "\n"))
			}
			if !slices.Contains(found.Inputs, o.Main) {
				t.Errorf("the inputs %q lack the main module", found.Inputs)
			}
		})
	}
}

func TestSizeIsBounded(t *testing.T) {
	o := project(t, map[string]string{"main.ts": "import a from './a.txt'; export default a", "a.txt": strings.Repeat("x", 5000)})
	o.BytesMax = 4000
	_, err := Build(context.Background(), o)
	var found *Diagnostics
	if !errors.As(err, &found) || !strings.Contains(err.Error(), "main.ts: the bundle has 5") || !strings.Contains(err.Error(), "4000 are allowed: the largest parts are a.txt 5 KiB") {
		t.Errorf("got %v", err)
	}
	o.BytesMax = 6000
	build(t, o)
	// Files that no bundle could hold are not even read: this one has 1 TiB.
	for _, name := range []string{"a.txt", "a.wasm", "main.ts"} {
		o := project(t, map[string]string{"main.ts": "import a from './a.txt'; import b from './a.wasm'; export default [a, b]", "a.txt": "", "a.wasm": wasmMagic})
		if err := os.Truncate(filepath.Join(o.Base, name), 1<<40); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(context.Background(), o); !errors.As(err, &found) || !strings.Contains(err.Error(), name+" has 1099511627776 bytes, and a bundle of") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	o = project(t, map[string]string{"main.ts": "import './pipe.ts'"})
	if err := unix.Mkfifo(filepath.Join(o.Base, "pipe.ts"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), o); !errors.As(err, &found) {
		t.Errorf("got %v", err)
	}
}

// TestSourceMap makes sure that the sources are named as messages name them, and are not in the map.
// sourceMap is what matters of one.
type sourceMap struct {
	Version        int
	Sources        []string
	SourcesContent []string
	Mappings       string
}

// readSourceMap reads the source map in an encoded bundle, which more follows.
func readSourceMap(t *testing.T, encoded string) (found sourceMap) {
	t.Helper()
	start := max(strings.LastIndex(encoded, "{\n  \"version\""), strings.LastIndex(encoded, `{"mappings"`))
	if start < 0 {
		t.Fatalf("there is no source map in\n%s", encoded)
	}
	if err := json.NewDecoder(strings.NewReader(encoded[start:])).Decode(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSourceMap(t *testing.T) {
	o := project(t, map[string]string{"src/main.ts": "import { b } from './b';\nexport default b", "src/b.ts": "export const b: number = 1"})
	encoded := text(build(t, o))
	found := readSourceMap(t, encoded)
	if found.Version != 3 || !slices.Equal(found.Sources, []string{"src/b.ts", "src/main.ts"}) || found.SourcesContent != nil || found.Mappings == "" {
		t.Errorf("got %+v", found)
	}
	if strings.Contains(encoded, "sourceMappingURL") {
		t.Error("the bundle names a file for its map")
	}
}

// Sources outside of Base are called as in diagnostics.
func TestSourceMapOfSourcesElsewhere(t *testing.T) {
	o := project(t, map[string]string{"main.ts": "import { a } from './a'; export default { fetch: () => a }", "a.ts": "export const a: number = Date.now();"})
	inside := readSourceMap(t, text(build(t, o)))
	folder := o.Base
	o.Base = filepath.Join(folder, "elsewhere")
	if err := os.Mkdir(o.Base, 0o777); err != nil {
		t.Fatal(err)
	}
	found := readSourceMap(t, text(build(t, o)))
	if want := []string{filepath.Join(folder, "a.ts"), filepath.Join(folder, "main.ts")}; !slices.Equal(found.Sources, want) {
		t.Errorf("got %q, want %q", found.Sources, want)
	}
	if found.Version != 3 || found.Mappings != inside.Mappings {
		t.Errorf("got %+v instead of %+v", found, inside)
	}
}

func TestRebuild(t *testing.T) {
	o := project(t, map[string]string{"main.tsx": "export default () => <p>one</p>"})
	c, err := NewContext(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rebuild := func(want string) {
		t.Helper()
		result, err := c.Rebuild(context.Background())
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = text(result)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	rebuild("one")
	write(t, o.Main, "export default () => <p>two</p>")
	rebuild("two")
	write(t, o.Main, "export default () => <p>two")
	rebuild("main.tsx:1:28: ")
	write(t, o.Main, "export default () => <p>three</p>")
	rebuild("three")
	write(t, filepath.Join(o.Base, "package.json"), `{"dependencies": {"preact": "*"}}`)
	rebuild(`cannot find the package "preact"`)
	write(t, filepath.Join(o.Base, "node_modules/preact/jsx-runtime.js"), "export const jsx = 'by preact'")
	rebuild("by preact")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Rebuild(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// old makes everything in a folder look as if it had been there for long.
func old(t testing.TB, folder string) {
	t.Helper()
	time.Sleep(2 * settled) // the time of an inode's change cannot be set
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		past := time.Now().Add(-time.Hour)
		return os.Chtimes(path, past, past)
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * settled)
}

func TestCache(t *testing.T) {
	base := map[string]string{"src/main.ts": "import { b } from './b'; import c from 'c'; export default b + c", "src/b/index.ts": "export const b = 1", "tsconfig.json": "{}",
		"node_modules/c/index.js": "module.exports = 1", "node_modules/c/package.json": "{}"}
	for what, change := range map[string]struct {
		do   func(t *testing.T, o Options)
		hits bool
	}{
		"nothing":                      {func(*testing.T, Options) {}, true},
		"the same, written again":      {func(t *testing.T, o Options) { write(t, o.Main, base["src/main.ts"]) }, true},
		"the main module":              {func(t *testing.T, o Options) { write(t, o.Main, "export default 'changed'") }, false},
		"a module, of the same length": {func(t *testing.T, o Options) { write(t, filepath.Join(o.Base, "src/b/index.ts"), "export const b = 2") }, false},
		"a package": {func(t *testing.T, o Options) {
			write(t, filepath.Join(o.Base, "node_modules/c/index.js"), "module.exports = 2")
		}, false},
		"a file that is found before": {func(t *testing.T, o Options) { write(t, filepath.Join(o.Base, "src/b.ts"), "export const b = 2") }, false},
		"a file that nobody can mean": {func(t *testing.T, o Options) { write(t, filepath.Join(o.Base, "src/notes.md"), "text") }, true},
		"a setting": {func(t *testing.T, o Options) {
			write(t, filepath.Join(o.Base, "tsconfig.json"), `{"compilerOptions": {}}`)
		}, false},
		"a package.json where there none": {func(t *testing.T, o Options) { write(t, filepath.Join(o.Base, "src/package.json"), "{}") }, false},
		"a lock file":                     {func(t *testing.T, o Options) { write(t, filepath.Join(o.Base, "package-lock.json"), "{}") }, false},
		"a module is gone":                {func(t *testing.T, o Options) { os.Remove(filepath.Join(o.Base, "src/b/index.ts")) }, false},
		"the cache is gone":               {func(t *testing.T, o Options) { os.RemoveAll(filepath.Join(filepath.Dir(o.Base), "cache")) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			o := project(t, base)
			cache := Cache{filepath.Join(t.TempDir(), "cache")}
			if got := cache.Load(o); got != nil {
				t.Fatal("there is something in a cache that is empty")
			}
			old(t, o.Base)
			began := time.Now()
			made := build(t, o)
			if err := cache.Save(o, made, began); err != nil {
				t.Fatal(err)
			}
			change.do(t, o)
			got := cache.Load(o)
			if (got != nil) != change.hits {
				t.Fatalf("got %v, want it there: %v", got, change.hits)
			}
			if got != nil && (text(got) != text(made) || !slices.Equal(got.Inputs, made.Inputs)) {
				t.Errorf("another one came back: %+v", got)
			}
			o.Minify = true
			if cache.Load(o) != nil {
				t.Error("other options find it")
			}
		})
	}
}

func TestCacheKeepsNothingThatMayHaveChangedMeanwhile(t *testing.T) {
	o := project(t, map[string]string{"main.ts": "export default 1"})
	cache := Cache{t.TempDir()}
	began := time.Now()
	result := build(t, o)
	if err := cache.Save(o, result, began); err != nil || cache.Load(o) != nil {
		t.Errorf("kept, %v", err)
	}
}

func TestCacheIsSwept(t *testing.T) {
	o := project(t, map[string]string{"main.ts": "export default 1"})
	cache := Cache{t.TempDir()}
	old(t, o.Base)
	began := time.Now()
	if err := cache.Save(o, build(t, o), began); err != nil {
		t.Fatal(err)
	}
	if removed, err := cache.Sweep(time.Hour); removed != 0 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(cache.path(o), past, past); err != nil {
		t.Fatal(err)
	}
	if cache.Load(o) == nil {
		t.Fatal("not there")
	}
	if removed, err := cache.Sweep(time.Hour); removed != 0 || err != nil {
		t.Errorf("removed %d that were used just now, %v", removed, err)
	}
	if err := os.Chtimes(cache.path(o), past, past); err != nil {
		t.Fatal(err)
	}
	if removed, err := cache.Sweep(time.Hour); removed != 1 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
}

func TestDamagedCachesAreNotUsed(t *testing.T) {
	o := project(t, map[string]string{"main.ts": "export default 1"})
	encoded, err := build(t, o).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeResult(encoded); err != nil {
		t.Fatal(err)
	}
	for length := range encoded {
		if _, err := DecodeResult(encoded[:length]); err == nil {
			t.Fatalf("%d of %d bytes are taken", length, len(encoded))
		}
	}
	for _, at := range []int{0, 9, 20, len(encoded) - 1} {
		damaged := slices.Clone(encoded)
		damaged[at] ^= 1
		if _, err := DecodeResult(damaged); err == nil {
			t.Errorf("byte %d is wrong, and it is taken", at)
		}
	}
}

func TestInputs(t *testing.T) {
	o := project(t, map[string]string{"src/main.ts": "import './b.txt'", "src/b.txt": "b", "tsconfig.json": `{"extends": ["./base.json"]}`, "base.json": `{"extends": "./more"}`})
	got := map[string]bool{}
	for _, path := range build(t, o).Inputs {
		relative, _ := filepath.Rel(o.Base, path)
		got[relative] = true
	}
	for _, want := range []string{"src", "src/main.ts", "src/b.txt", "src/package.json", "src/tsconfig.json", "tsconfig.json", "base.json", "more.json", "package-lock.json"} {
		if !got[want] {
			t.Errorf("%s is missing in %v", want, slices.Sorted(maps.Keys(got)))
		}
	}
}

// TestRoot: nothing that lies outside of a project from outside gets into its bundle, or into what it is told.
func TestRoot(t *testing.T) {
	const secret = "hunter2"
	outside := project(t, map[string]string{"secret": secret, "s.txt": secret, "s.js": "export default '" + secret + "'", "s.wasm": wasm + secret,
		"s.bin": secret, "broken.js": secret + " " + secret, "broken.json": secret + " " + secret, "s.js.map": secret + " " + secret})
	for what, files := range map[string]map[string]string{
		"a relative path":      {"main.ts": "import a from 'UP/s.js'; export default a"},
		"an absolute path":     {"main.ts": "import a from 'OUT/s.js'; export default a"},
		"a text":               {"main.ts": "import a from 'OUT/s.txt'; export default a"},
		"a text by attribute":  {"main.ts": "import a from 'OUT/secret' with { type: 'text' }; export default a"},
		"data":                 {"main.ts": "import a from 'OUT/s.bin'; export default a"},
		"WebAssembly":          {"main.ts": "import a from 'OUT/s.wasm'; export default a"},
		"WebAssembly later":    {"main.ts": "export default await import('OUT/s.wasm')"},
		"a glob":               {"main.ts": "export default (n) => import(`UP/${n}.txt`)"},
		"code that is no code": {"main.ts": "import a from 'OUT/broken.js'; export default a"},
		"JSON":                 {"main.ts": "import a from 'OUT/broken.json'; export default a"},
		"a main module":        {"main.ts": "import a from 'p'; export default a", "node_modules/p/package.json": `{"main": "UP/s.js"}`},
		"paths of TypeScript":  {"main.ts": "import a from 'a'; export default a", "tsconfig.json": `{"compilerOptions": {"paths": {"a": ["OUT/s.js"]}}}`},
		"settings":             {"main.ts": "export default 1", "tsconfig.json": `{"extends": "OUT/broken.json"}`},
		"a style sheet":        {"main.ts": "import './a.css'; export default 1", "a.css": "@import 'OUT/s.txt';"},
		"a source map":         {"main.ts": "export default 1\n//# sourceMappingURL=file://OUT/s.js.map"},
		"sources of a map":     {"main.ts": "export default 1\n//# sourceMappingURL=m.map", "m.map": `{"version": 3, "sources": ["file://OUT/s.txt"], "mappings": "AAAA"}`},
	} {
		t.Run(what, func(t *testing.T) {
			o := project(t, nil)
			up, err := filepath.Rel(o.Base, outside.Base)
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				write(t, filepath.Join(o.Base, name), strings.NewReplacer("UP", up, "OUT", outside.Base).Replace(text))
			}
			o.Main, o.Root = filepath.Join(o.Base, "main.ts"), o.Base
			result, err := Build(context.Background(), o)
			shown := ""
			if err != nil {
				found := err.(*Diagnostics)
				encoded, _ := json.Marshal(found)
				shown = string(encoded)
			} else {
				encoded, _ := json.Marshal(result.Warnings)
				shown = text(result) + string(encoded)
			}
			if strings.Contains(shown, secret) || strings.Contains(shown, "aHVudGVyM") {
				t.Errorf("it is told: %s", shown)
			}
			if err == nil && !slices.Contains([]string{"a source map", "sources of a map", "settings"}, what) {
				t.Errorf("it was bundled: %s", shown)
			}
		})
	}
}

// TestRootOfPolyfills: polyfills outside of a project from outside are as if they were not there.
func TestRootOfPolyfills(t *testing.T) {
	around := project(t, map[string]string{
		"node_modules/unenv/package.json":          `{"exports": {"./*": "./dist/*.mjs"}}`,
		"node_modules/unenv/dist/node/path.mjs":    "export default 'hunter2'",
		"node_modules/unenv/dist/node/process.mjs": "export default 'hunter2'"})
	o := Options{Base: filepath.Join(around.Base, "app"), Settings: Settings{NodeCompat: true}, BytesMax: around.BytesMax}
	o.Root, o.Main = o.Base, filepath.Join(o.Base, "main.ts")
	write(t, o.Main, "export default await import('node:path').catch(() => null)")
	if result := build(t, o); strings.Contains(text(result), "hunter2") {
		t.Errorf("it was bundled: %s", text(result))
	}
	write(t, o.Main, "import path from 'node:path'; export default path")
	if _, err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "NANO has node:async_hooks only") {
		t.Errorf("got %v", err)
	}
}

// TestRootIsFollowed: a project may lie behind a link, but no link leads out of it.
func TestRootIsFollowed(t *testing.T) {
	o := project(t, map[string]string{"real/main.ts": "import a from './a'; export default a", "real/a.ts": "export default 4711", "b.ts": "export default 815"})
	link := filepath.Join(o.Base, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	o.Base, o.Root, o.Main = link, link, filepath.Join(link, "main.ts")
	if shown := text(build(t, o)); !strings.Contains(shown, "4711") {
		t.Error(shown)
	}
	if err := os.Remove(filepath.Join(link, "a.ts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../b.ts", filepath.Join(link, "a.ts")); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "outside the project") {
		t.Errorf("got %v", err)
	}
}
