package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExampleNode(t *testing.T) {
	p := startNano(t, 1, "serve", "-c", copyNode(t, "nano.toml", "examples"))
	if want := "nano: serving hello, api (/api) on " + p.url; p.banner[0] != want {
		t.Errorf("banner %q, want %q", p.banner[0], want)
	}
	p.expect("GET", "/", "", "", 200, "Hello, world!\n")
	p.expect("GET", "/?name=Zo%C3%AB", "", "", 200, "Hello, Zoë!\n")
	p.expect("GET", "/apix", "", "", 200, "Hello, world!\n")
	if got := p.ask("GET", "/api/books", "", ""); got.status != 200 || got.header.Get("x-served-by") != "NANO" {
		t.Errorf("books: %+v", got)
	}
	if got, ok := p.curl("-D", "-", p.url+"/?name=curl"); ok {
		if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nHello, curl!\n") {
			t.Errorf("curl got %q", got)
		}
	}
}

func TestExampleHello(t *testing.T) {
	p := startNano(t, 1, "run", "examples/hello.js", "--listen", "127.0.0.1:0")
	if want := "nano: serving hello on http://127.0.0.1:"; !strings.HasPrefix(p.banner[0], want) {
		t.Errorf("banner %q, want %q", p.banner[0], want)
	}
	p.expect("GET", "/any/path?name=you", "any.host", "", 200, "Hello, you!\n")
	got := p.ask("HEAD", "/", "", "")
	if got.status != 200 || got.header.Get("content-length") != "14" {
		t.Errorf("HEAD: %+v", got)
	}
}

func TestExampleAPI(t *testing.T) {
	p := startNano(t, 1, "run", "--listen=127.0.0.1:0", "examples/api/api.js")
	const goBook = `{"isbn":"9780134190440","title":"The Go Programming Language","authors":["Donovan","Kernighan"],"price":40}`
	p.expect("GET", "/api/books?author=Donovan", "", "", 200, "["+goBook+"]")
	got := p.expect("GET", "/api/books/9780134190440", "", "", 200, goBook)
	if kind := got.header.Get("content-type"); kind != "application/json" {
		t.Errorf("content-type %q", kind)
	}
	if got.header.Get("x-served-by") != "nano" {
		t.Errorf("without a variable x-served-by is %q", got.header.Get("x-served-by"))
	}
	p.expect("GET", "/api/books/9780134190441", "", "", 404, `{"error":"not found"}`)
	p.expect("GET", "/api/books/short", "", "", 404, `{"error":"not found"}`)
	p.expect("GET", "/elsewhere", "", "", 404, `{"error":"not found"}`)
	p.expect("POST", "/api/orders", "", "{", 400, `{"error":"the body is not JSON"}`)
	p.expect("POST", "/api/orders", "", `{"items":[{"isbn":"1"}]}`, 422, `{"error":"no book 1"}`)

	const order = `{"items":[{"isbn":"9780134190440","copies":2},{"isbn":"9780131103627"}]}`
	checkOrder := func(body string) {
		t.Helper()
		var placed struct {
			ID    string
			Total int
		}
		if err := json.Unmarshal([]byte(body), &placed); err != nil || len(placed.ID) != 36 || placed.Total != 140 {
			t.Errorf("order %s: %v", body, err)
		}
	}
	created := p.ask("POST", "/api/orders", "", order)
	checkOrder(created.body)
	if created.status != 201 || !strings.HasPrefix(created.header.Get("location"), "/api/orders/") {
		t.Errorf("order: %+v", created)
	}
	if body, ok := p.curl("-d", order, "-H", "content-type: application/json", p.url+"/api/orders"); ok {
		checkOrder(body)
	}
}

func TestExampleTimers(t *testing.T) {
	p := startNano(t, 1, "run", "examples/timers.js", "--listen", "127.0.0.1:0")
	var delayed struct{ Waited float64 }
	got := p.ask("GET", "/delay?ms=30", "", "")
	if err := json.Unmarshal([]byte(got.body), &delayed); err != nil || delayed.Waited < 30 {
		t.Errorf("a delay of 30 ms took %s: %v", got.body, err)
	}
	p.expect("GET", "/race?ms=1", "", "", 200, "done\n")
	p.expect("GET", "/race?ms=1000000", "", "", 503, "too slow\n")
	p.expect("GET", "/countdown?from=3", "", "", 200, "3\n2\n1\nlift-off\n")
	p.expect("GET", "/later", "", "", 202, "accepted\n")
	if line := p.waitForLog("this was written after the response"); !strings.Contains(line, "INFO timers: this") {
		t.Errorf("log line %q", line)
	}
	if body, ok := p.curl("-N", p.url+"/countdown?from=1"); ok && body != "1\nlift-off\n" {
		t.Errorf("curl got %q", body)
	}
}

func TestExampleModules(t *testing.T) {
	p := startNano(t, 1, "run", "examples/modules/main.js", "--listen", "127.0.0.1:0")
	p.expect("GET", "/celsius?f=212", "", "", 200, `{"result":100}`)
	p.expect("GET", "/fahrenheit?c=36.6", "", "", 200, `{"result":97.9}`)
	p.expect("GET", "/celsius?f=warm", "", "", 400, `{"error":"?f= must be a number"}`)
	p.expect("POST", "/celsius?f=1", "", "", 404, `{"error":"not found","routes":["GET /celsius","GET /fahrenheit"]}`)
	if body, ok := p.curl(p.url + "/celsius?f=32"); ok && body != `{"result":0}` {
		t.Errorf("curl got %q", body)
	}
}

func TestExamplePages(t *testing.T) {
	p := startNano(t, 1, "run", "examples/pages/pages.tsx", "--listen", "127.0.0.1:0")
	const frame = `<html lang="en"><head><meta charset="utf-8"><title>%s</title></head><body><h1>%[1]s</h1>%s</body></html>`
	p.expect("GET", "/search?q=programming", "", "", 200, fmt.Sprintf(frame, "Books", `<ul><li><a href="/book?id=1">The C Programming Language</a></li></ul>`))
	p.expect("GET", "/search?q=%3Ci%3E", "", "", 200, fmt.Sprintf(frame, "Books", `<p>Nothing is called “&lt;i&gt;”.</p>`))
	p.expect("GET", "/book?id=1", "", "", 200, fmt.Sprintf(frame, "The C Programming Language", `<p>Number 1 of 2</p>`))
	p.expect("GET", "/none", "", "", 404, fmt.Sprintf(frame, "Not found", ""))
}

// TestReadmeApp runs the first app of README.md, so that a newcomer's first app works.
func TestReadmeApp(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```js\n")
	app, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("README.md has no app")
	}
	folder := writeFiles(t, map[string]string{"greet.js": app})
	p := startNano(t, 1, "run", filepath.Join(folder, "greet.js"), "--listen", "127.0.0.1:0")
	p.expect("GET", "/you", "", "", 200, "Hello from /you\n")
	p.waitForLog("greet: asked for /you")
	p.expect("POST", "/echo", "", `{"a":1}`, 200, `{"a":1}`)
}

func TestExampleTwoTenants(t *testing.T) {
	p := startNano(t, 1, "serve", "-c", copyNode(t, "examples/two-tenants/nano.toml", "examples/two-tenants"))
	const prices = `{"currency":"EUR","prices":{"apple":0.4,"pear":0.55}}`
	p.expect("GET", "/", "shop.localhost", "", 200, prices)
	p.expect("GET", "/", "SHOP.localhost:80", "", 200, prices)
	p.expect("GET", "/", "old.shop.localhost", "", 200, prices)
	p.expect("GET", "/", "blog.localhost", "", 200, "<!doctype html>\n<title>A blog</title>\n<h1>A blog</h1>\n")
	p.expect("GET", "/shop/cart", "shop.localhost", "", 200, prices)
	if got := p.ask("GET", "/", "other.localhost", ""); got.status != 404 ||
		strings.TrimSuffix(got.body, "\n") != "nano: no app for other.localhost/" {
		t.Errorf("a host of no app: %+v", got)
	}
	if got := p.ask("GET", "/shop/cart", "blog.localhost", ""); got.status != http.StatusPermanentRedirect ||
		got.header.Get("location") != "http://shop.localhost:8080/" {
		t.Errorf("the old address: %+v", got)
	}

	p.expect("POST", "/", "shop.localhost", `{"apple":2}`, 401, `{"error":"wrong key"}`)
	const key = "an example key, not a real one"
	got := p.ask("POST", "/", "shop.localhost", `{"apple":2,"pear":1}`, "x-api-key", key)
	if got.status != 201 || got.body != `{"total":"1.35","currency":"EUR"}` {
		t.Errorf("an order: %+v", got)
	}
	if got := p.ask("POST", "/", "shop.localhost", strings.Repeat(" ", 17<<10), "x-api-key", key); got.status != 413 {
		t.Errorf("a body over the shop's limit: %+v", got)
	}
	port := p.url[strings.LastIndexByte(p.url, ':')+1:]
	if body, ok := p.curl("--resolve", "shop.localhost:"+port+":127.0.0.1", "http://shop.localhost:"+port+"/"); ok && body != prices {
		t.Errorf("curl got %q", body)
	}
	if strings.Contains(p.logText(), key) {
		t.Error("the secret is in the log")
	}
}

func TestExampleTypeScript(t *testing.T) {
	p := startNano(t, 1, "run", "examples/typescript/index.ts", "--listen", "127.0.0.1:0")
	p.expect("GET", "/go?copies=2", "", "", 200, `{"title":"The Go Programming Language","price":40,"total":80,"currency":"EUR"}`)
	p.expect("GET", "/schema", "", "", 200, "CREATE TABLE books (id TEXT PRIMARY KEY, title TEXT NOT NULL, price INTEGER NOT NULL);\n")
	p.expect("GET", "/go?copies=x", "", "", 500, "nano: index: uncaught RangeError: no number of copies: NaN")
}

// TestJSX holds nano:jsx, without a tsconfig.json, against what it is to write.
func TestJSX(t *testing.T) {
	p := startNano(t, 1, "run", "cmd/nano/testdata/page.tsx", "--listen", "127.0.0.1:0")
	p.expect("GET", "/?name=%3Cb%3E%22", "", "", 200, `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Quotes</title></head>`+
		`<body style="max-width:40em;margin-top:20px"><h1>Hello, &lt;b&gt;&quot;!</h1>`+
		`<blockquote class="quote">Simplicity is prerequisite for reliability. <cite>Edsger W. Dijkstra</cite></blockquote>`+
		`<blockquote class="quote">1 &lt; 2 &amp;&amp; 2 &gt; 1 <cite>&lt;anonymous&gt;</cite></blockquote>`+
		`<input type="checkbox" checked><p id="late">at last</p></body></html>`)
}
