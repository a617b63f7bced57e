package isolates

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestModulesImportEachOther(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{},
		"main.js", `import { b } from "./lib/b.js"; import * as c from "./c.mjs"; export default { fetch() { return new Response(b() + c.name + import.meta.url) } }`,
		"lib/b.js", `import { name } from "../c.mjs"; export const b = () => "b" + name;`,
		"c.mjs", `import { b } from "./lib/b.js"; export const name = "c"; export const back = () => b;`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(app.image.Load().bundle.Files(), " "); got != "main.js lib/b.js c.mjs" {
		t.Errorf("files %s", got)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	if got := fetch(t, isolate, get); string(got.Body) != "bccfile:///main.js" {
		t.Errorf("got %q", got.Body)
	}
}

func TestResolveNamesEveryProblemWithItsPlace(t *testing.T) {
	lockThread(t)
	_, err := resolve(t, AppOptions{},
		"main.js", "import './missing.js';\nimport x from 'lodash';\nimport './broken.js';\nimport './c';\n",
		"broken.js", "export default {\n  fetch( { }\n}\n",
		"c.js", "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`main.js:1:8: cannot import "./missing.js": no such file or directory`,
		`main.js:2:15: cannot import "lodash": it is no path of a module`,
		`broken.js:3:1: SyntaxError: `,
		`main.js:4:8: cannot import "./c": no such file; did you mean "./c.js"?`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestResolveWithoutTheMainFile(t *testing.T) {
	lockThread(t)
	folder := writeFiles(t)
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	if _, err := resolver.Resolve(folder+"/none.js", folder); err == nil || err.Error() != "none.js: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// TestModulesAreBounded: what is too long, or would let a reader wait, is not read.
func TestModulesAreBounded(t *testing.T) {
	folder := writeFiles(t, "app.js", "import './long.js';", "long.js", "// "+strings.Repeat("x", 100))
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	resolveUpTo := func(bytesMax int64) (*Bundle, error) {
		resolver.BytesMax = bytesMax
		return resolver.Resolve(filepath.Join(folder, "app.js"), folder)
	}
	if _, err := resolveUpTo(122); err != nil {
		t.Error(err)
	}
	want := "app.js:1:8: cannot import \"./long.js\": the app's modules have more than 121 bytes, which are allowed"
	if _, err := resolveUpTo(121); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// A file of 1 TiB, of which nothing lies on the disk, as it does not in memory.
	if err := os.Truncate(filepath.Join(folder, "long.js"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := resolveUpTo(1 << 30); err == nil || !strings.Contains(err.Error(), "more than 1073741824 bytes") {
		t.Errorf("got %v", err)
	}
	pipe := filepath.Join(folder, "long.js")
	if err := errors.Join(os.Remove(pipe), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := resolveUpTo(1 << 30); err == nil || !strings.HasSuffix(err.Error(), "is not a file") {
		t.Errorf("got %v", err)
	}
}

func TestStartErrorsNameThePlace(t *testing.T) {
	watchThread(t)
	for source, want := range map[string]string{
		"\nthrow new TypeError('at the top')":     "app.js:2:7: TypeError: at the top",
		"import { a } from './app.js'":            "app.js:1:10: SyntaxError: ",
		"export default {}":                       "fetch",
		"export const x = 1":                      "default",
		"await new Promise(() => {})":             "app.js:1:1: top-level await",
		"await Promise.reject(new Error('late'))": "Error: late",
		"setTimeout(() => {}, 1)":                 "setTimeout",
		"crypto.randomUUID()":                     "top level",
		"for (;;);":                               "terminated",
	} {
		app, err := resolve(t, AppOptions{}, "app.js", source)
		if err != nil {
			t.Fatal(err)
		}
		isolate, err := startOn(app, -1)
		if err == nil {
			isolate.Dispose()
			t.Errorf("%q started", source)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, want %q in it", source, err, want)
		}
	}
}
