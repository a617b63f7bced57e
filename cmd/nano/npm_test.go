package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// npmFolder copies examples/npm and installs its packages, once for each package-lock.json, in the user's
// cache. Without npm, or without the network when it is needed first, the test is skipped.
func npmFolder(t *testing.T) string {
	t.Helper()
	const source = "../../examples/npm"
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("there is no place for npm's packages:", err)
	}
	installed := filepath.Join(cache, "nano-test", fmt.Sprintf("npm-%x", sha256.Sum256(lock)))
	if _, err := os.Stat(filepath.Join(installed, "node_modules")); err != nil {
		installPackages(t, source, installed)
	}
	folder := t.TempDir()
	for _, pattern := range []string{"*.*", "react/*", "preact/*"} {
		files, err := filepath.Glob(filepath.Join(source, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			copyFile(t, file, filepath.Join(folder, strings.TrimPrefix(file, source)))
		}
	}
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return folder
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o777)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// installPackages has npm install what the lock file of a folder names.
func installPackages(t *testing.T, source, installed string) {
	t.Helper()
	scratch := npmScratch(t, installed)
	for _, name := range []string{"package.json", "package-lock.json"} {
		copyFile(t, filepath.Join(source, name), filepath.Join(scratch, name))
	}
	runNPM(t, scratch, "ci")
	_ = os.Rename(scratch, installed) // or another test was faster
}

// npmScratch gives a folder in which npm makes what is to become the folder installed beside it. It is deleted unless it
// is renamed. Without npm, or a place for it, the test is skipped.
func npmScratch(t *testing.T, installed string) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is missing, the packages cannot be installed")
	}
	if err := os.MkdirAll(filepath.Dir(installed), 0o777); err != nil {
		t.Skip("there is no place for npm's packages:", err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(installed), "npm-")
	if err != nil {
		t.Skip("there is no place for npm's packages:", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(scratch) })
	return scratch
}

// runNPM installs what the lock file in a folder names, by "ci" or "install", or skips the test.
func runNPM(t *testing.T, folder, command string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "npm", command, "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
	run.Dir = folder
	timer := time.AfterFunc(3*time.Minute, func() { _ = run.Process.Kill() })
	defer timer.Stop()
	if output, err := run.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install the packages: %v\n%s", err, output)
	}
}

// question is a request and the answer that is wanted.
type question struct {
	method, target, body string
	status               int
	want                 string
}

// npmApps are apps of examples/npm, and what they answer on Workers.
var npmApps = map[string][]question{
	"hono.tsx": {
		{"GET", "/?name=%3Cb%3E", "", 200, `<html><body><h1 class="title">Hello, &lt;b&gt;!</h1></body></html>`},
		{"GET", "/books/12", "", 200, `{"id":12}`},
		{"GET", "/books/x", "", 404, "404 Not Found"},
		{"POST", "/echo", "abc", 201, "ABC"},
		{"GET", "/events", "", 200, "data: event 1\nid: 1\n\ndata: event 2\nid: 2\n\n"},
		{"GET", "/teapot", "", 418, "short and stout"},
	},
	"itty.ts": {
		{"GET", "/hello/you", "", 200, `{"hello":"you"}`},
		{"POST", "/sum", "[1,2,3]", 200, `{"sum":6}`},
		{"GET", "/fail", "", 402, `{"status":402,"error":"pay first"}`},
		{"GET", "/nowhere", "", 404, `{"status":404,"error":"Not Found"}`},
	},
	"react/app.tsx": {
		{"GET", "/?name=%3Cb%3E", "", 200, `<!DOCTYPE html><html lang="en"><head><title>React</title></head><body><h1>Hello, <!-- -->&lt;b&gt;<!-- -->!</h1>` +
			`<button>1</button><!--$--><p>at last</p><!--/$--></body></html>`},
	},
	"preact/app.tsx": {
		{"GET", "/?item=b&item=a%26", "", 200, `<!doctype html><ul class="list"><li>a&amp;</li><li>b</li></ul>`},
	},
	"yoga.ts": {
		{"GET", "/graphql?query=%7Bbooks%7Btitle%7D%7D", "", 200, `{"data":{"books":[{"title":"The Go Programming Language"},{"title":"The C Programming Language"}]}}`},
		{"GET", "/graphql?query=%7Bbook(id:2)%7Bid%7D%7D", "", 200, `{"data":{"book":{"id":"2"}}}`},
	},
	"zod.ts": {
		{"POST", "/", `{"isbn":"9780134190440","email":"a@b.co"}`, 200, `{"isbn":"9780134190440","copies":1,"email":"a@b.co"}`},
		{"POST", "/", `{"isbn":"1","copies":0}`, 422, `[{"path":["isbn"],"code":"invalid_format"},{"path":["copies"],"code":"too_small"},{"path":["email"],"code":"invalid_type"}]`},
	},
	"jose.ts": {
		{"GET", "/sign", "", 200, "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiYWRhIiwiaWF0IjoxNzAwMDAwMDAwfQ.nrdhZuZVTdaeIJhI23dED0ZvL0CkWbxMtwN9J3R0l-8"},
		{"GET", "/round-trip", "", 200, `["ES256","RS256","EdDSA","PS384"]`},
		{"GET", "/", "", 401, "ERR_JWS_INVALID"},
	},
}

// TestPackagesOfNPM runs real apps of real packages.
func TestPackagesOfNPM(t *testing.T) {
	folder := npmFolder(t)
	for main, questions := range npmApps {
		t.Run(main, func(t *testing.T) {
			p := startNano(t, 1, "run", filepath.Join(folder, main), "--listen", "127.0.0.1:0")
			for _, q := range questions {
				p.expect(q.method, q.target, "", q.body, q.status, q.want)
			}
		})
	}
	// The name of a package that nobody has installed.
	missing := filepath.Join(folder, "missing.ts")
	if err := os.WriteFile(missing, []byte("import { a } from 'no-such-package'; export default { fetch: a };"), 0o666); err != nil {
		t.Fatal(err)
	}
	exit, _, stderr := runNano(t, "run", missing)
	if !strings.Contains(stderr, `cannot find the package "no-such-package": run "npm install no-such-package"`) || exit != 1 {
		t.Errorf("exit %d: %s", exit, stderr)
	}
}
