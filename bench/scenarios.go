package main

import (
	"fmt"
	"strings"
	"time"
)

// scenario is one kind of load. Every runtime serves the same app module for it.
type scenario struct {
	Name        string
	Title       string
	App         string     // file in bench/apps
	Site        string     // instead of App: what is served beside an origin or a folder of files, see site
	Path        string     // that wrk asks for, unless Script does; "": /
	Connections int        // that wrk keeps busy; 0: as many as usual
	Script      string     // wrk script in bench/load, or ""
	Arguments   []string   // of the script
	Idle        int        // connections that stay open beside the load
	IsVeth      bool       // clients reach the server over a veth pair, and its core is measured, see vethPair
	Exchanges   []exchange // verified before the load
	TotalTarget float64    // CPU per request at most this times the best peer's; 0: no target
	NginxTarget float64    // CPU per request at most this times nginx's; 0: no target
	Note        string     // what a reader of the table should know, or ""
}

// exchange is a request and the answer that every runtime must give to it.
type exchange struct {
	Method  string // "": GET
	Path    string
	Headers []string // request header lines, "name: value"
	Body    string
	Closes  bool // the server must close the connection after its answer
	Want    answer
}

// answer is a response as far as the runtimes must agree. plainValue says how header values are
// compared, since "text/plain;charset=UTF-8" has several spellings.
type answer struct {
	Status  int
	Headers map[string]string // those that must be there, names in lower case
	Body    string
}

const (
	textType = "text/plain;charset=utf-8"
	jsonType = "application/json"
)

func typed(status int, contentType, body string) answer {
	return answer{Status: status, Headers: map[string]string{"content-type": contentType}, Body: body}
}

// scenarios returns all load scenarios in the order of the report.
func scenarios() []scenario {
	plain := []exchange{{Path: "/", Want: typed(200, textType, "Hello, World!")}}
	closing := []exchange{{Path: "/", Headers: []string{"Connection: close"}, Closes: true, Want: typed(200, textType, "Hello, World!")}}
	json := typed(200, jsonType, `{"message":"Hello, World!","id":42,"tags":["alpha","beta","gamma"],"nested":{"ok":true,"ratio":0.5}}`)
	order := orderBody()
	large := strings.Repeat("The quick brown fox jumps over the lazy dog, again and again...\n", 1024)
	return append([]scenario{
		{Name: "plain", Title: "plain text", App: "plain.js", Exchanges: plain, TotalTarget: 1},
		{Name: "json", Title: "JSON response", App: "json.js", TotalTarget: 0.9,
			Exchanges: []exchange{{Path: "/", Want: json}}},
		{Name: "echo", Title: "1 KB JSON POST, parsed and re-serialised", App: "echo.js", Script: "echo.lua",
			Exchanges: []exchange{{Method: "POST", Path: "/", Headers: []string{"Content-Type: application/json"},
				Body: order, Want: typed(200, jsonType, order)}}},
		{Name: "headers", Title: "ten headers read, ten set", App: "headers.js", Script: "headers.lua", TotalTarget: 0.9,
			Exchanges: []exchange{headersExchange()}},
		{Name: "router", Title: "Hono, ten routes in turn", App: "router.js", Script: "router.lua", TotalTarget: 0.9,
			Exchanges: routerExchanges()},
		{Name: "large", Title: "64 KiB response", App: "large.js",
			Exchanges: []exchange{{Path: "/", Want: typed(200, textType, large)}}},
		{Name: "pipelined", Title: "plain text, 16 requests pipelined", App: "plain.js", Script: "pipelined.lua", Exchanges: plain},
		{Name: "close", Title: "plain text, keep-alive off", App: "plain.js", Script: "close.lua", Exchanges: closing,
			Note: "Bun does not say `connection: close` in its answers, although it closes. wrk then counts one failed read for each request; the answers are complete."},
		{Name: "idle", Title: "plain text beside 1,000 idle connections", App: "plain.js", Idle: 1000, Exchanges: plain},
	}, networkScenarios()...)
}

// proxyTarget is the part of the best peer's CPU per request that an app may use which asks an origin.
const proxyTarget = 0.8

// networkScenarios are those that ask an origin, or serve files. nginx takes part where it can.
func networkScenarios() []scenario {
	get := func(path string, size int) exchange {
		return exchange{Path: path, Want: typed(200, binaryType, bodyOf(size))}
	}
	upload := exchange{Method: "POST", Path: "/upload", Headers: []string{"Content-Type: text/plain"}, Body: bodyOf(4096),
		Want: typed(200, textType, "4096")}
	joined := fmt.Sprintf(`{"user":%s,"orders":%s,"news":%s}`, originParts["/user"], originParts["/orders"], originParts["/news"])
	var all []scenario
	for _, size := range []struct {
		name, title        string
		bytes, connections int
	}{{"1k", "1 KB", 1 << 10, 0}, {"64k", "64 KB", 64 << 10, 0}, {"10m", "10 MB", 10 << 20, 8}} {
		path := fmt.Sprintf("/bytes/%d", size.bytes)
		all = append(all, scenario{Name: "proxy" + size.name, Title: "reverse proxy, " + size.title + " responses", Site: "proxy",
			Path: path, Connections: size.connections, TotalTarget: proxyTarget, Exchanges: []exchange{get(path, size.bytes), upload}})
	}
	all = append(all, scenario{Name: "fanout", Title: "fan-out, three sub-requests joined", Site: "fanout", TotalTarget: proxyTarget,
		Exchanges: []exchange{{Path: "/", Want: typed(200, jsonType, joined)}}})
	for _, file := range staticFiles {
		all = append(all, scenario{Name: "static" + strings.TrimSuffix(file.Name, ".bin"), Title: "static file of " + file.Title, Site: "static",
			Path: "/" + file.Name, NginxTarget: 1.2, Exchanges: []exchange{get("/"+file.Name, file.Size)},
			Note: "Without a module: NANO's `static`, workerd's disk service, nginx with sendfile and open_file_cache. Deno and Bun by the adapters in `peers/`."})
	}
	last := staticFiles[len(staticFiles)-1]
	return append(all, scenario{Name: "static1mveth", Title: "static file of 1 MB over a veth pair", Site: "static", IsVeth: true,
		Path: "/" + last.Name, NginxTarget: 1.2, Exchanges: []exchange{get("/"+last.Name, last.Size)},
		Note: "CPU is for how long the server's core was busy, all that the kernel does for the network included."})
}

// orderBody is the body that load/echo.lua posts.
func orderBody() string {
	var items []string
	for index := 1; index <= 14; index++ {
		items = append(items, fmt.Sprintf(`{"id":%d,"name":"item number %02d","price":%d.5,"tags":["one","two"]}`, index, index, index))
	}
	return `{"order":"2f1b9c","items":[` + strings.Join(items, ",") + `]}`
}

// headersExchange is the request of load/headers.lua.
func headersExchange() exchange {
	want := typed(200, textType, "ok")
	var headers []string
	for index := range 10 {
		headers = append(headers, fmt.Sprintf("x-question-%d: value of header number %d", index, index))
		want.Headers[fmt.Sprintf("x-answer-%d", index)] = fmt.Sprintf("value of header number %d", index)
	}
	return exchange{Path: "/", Headers: headers, Want: want}
}

// routerExchanges are the requests of load/router.lua.
func routerExchanges() []exchange {
	moved := answer{Status: 301, Headers: map[string]string{"location": "/new"}}
	made := typed(201, textType, "made")
	made.Headers["x-made-by"] = "router"
	return []exchange{
		{Path: "/", Want: typed(200, textType, "index")},
		{Path: "/health", Want: typed(200, textType, "healthy")},
		{Path: "/users", Want: typed(200, jsonType, `[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"}]`)},
		{Path: "/users/7", Want: typed(200, jsonType, `{"id":"7"}`)},
		{Path: "/users/7/posts", Want: typed(200, jsonType, `{"id":"7","posts":[]}`)},
		{Path: "/users/7/posts/9", Want: typed(200, jsonType, `{"id":"7","post":"9"}`)},
		{Path: "/search?q=ring&page=2", Want: typed(200, jsonType, `{"query":"ring","page":"2"}`)},
		{Path: "/files/a/b.txt", Want: typed(200, textType, "/files/a/b.txt")},
		{Path: "/old", Want: moved},
		{Path: "/made", Want: made},
	}
}

// exchangeTimeout bounds one verified exchange.
const exchangeTimeout = 10 * time.Second
