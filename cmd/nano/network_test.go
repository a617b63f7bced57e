package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// startNetwork starts the node of examples/network, whose apps talk to origin.
func startNetwork(t *testing.T, origin string) *process {
	t.Helper()
	file := copyNode(t, "examples/network/nano.toml", "examples/network")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(origin, "http://")
	changed := strings.NewReplacer("http://127.0.0.1:8080/backend", origin, `"127.0.0.1:8080"`, `"`+host+`"`).Replace(string(text))
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return startNano(t, 1, "serve", "-c", file)
}

// listen serves TCP connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(connection)
		}
	}()
	return listener.Addr().String()
}

// say answers with what was asked, as examples/network/backend.js.
func say(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("content-type", "application/json")
	w.Header().Set("x-origin", r.Host)
	json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "path": r.URL.RequestURI(), "body": string(body),
		"forwardedHost": r.Header.Get("x-forwarded-host"), "length": r.ContentLength})
}

func TestExampleNetwork(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(say))
	defer origin.Close()
	p := startNetwork(t, origin.URL)
	host := strings.TrimPrefix(p.url, "http://")

	got := p.ask("POST", "/proxy/a%20b?c", "", "hello")
	want := fmt.Sprintf(`{"body":"hello","forwardedHost":"%s","length":5,"method":"POST","path":"/a%%20b?c"}`+"\n", host)
	if got.status != 200 || got.body != want || got.header.Get("x-origin") != strings.TrimPrefix(origin.URL, "http://") {
		t.Errorf("proxy: %+v, want %s", got, want)
	}
	got = p.ask("GET", "/fanout", "", "")
	var joined map[string]map[string]any
	if err := json.Unmarshal([]byte(got.body), &joined); err != nil || joined["user"]["path"] != "/user/1" ||
		joined["orders"]["body"] != "user=1" || joined["news"]["path"] != "/news" {
		t.Errorf("fan-out: %+v %v", got, err)
	}
	p.expect("GET", "/whois", "", "", 400, "try ?name=example.com\n")
	p.expect("GET", "/echo", "", "", 426, "This is for WebSockets.\n")
	got = p.ask("GET", "/events?count=2", "", "", "last-event-id", "5")
	if want := "retry: 1000\n\nid: 6\ndata: event 6\n\nid: 7\ndata: event 7\n\n"; got.body != want {
		t.Errorf("events: %q", got.body)
	}
	origin.Close()
	p.expect("GET", "/proxy/", "", "", 502, "The origin does not answer.\n")
}

// outboundNode starts a node with one app that may reach everything of this machine.
func outboundNode(t *testing.T, source string, vars ...string) *process {
	t.Helper()
	folder := writeFiles(t, map[string]string{"app.js": source, "nano.toml": `
[server]
listen = ["127.0.0.1:0"]
[isolates]
wall = "60s"
[[app]]
name = "app"
main = "app.js"
[app.vars]
` + strings.Join(vars, "\n") + `
[app.egress]
allow = ["127.0.0.0/8"]
`})
	return startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
}

// Whatever an origin does wrong, the app gets a clear error, and the next request works.
func TestOriginsThatMisbehave(t *testing.T) {
	replies := map[string]string{
		"closes":       "",
		"cut head":     "HTTP/1.1 200 OK\r\nContent-Le",
		"bad head":     "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
		"cut body":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"bad chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
		"cut chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bad gzip":     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
		"both lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	}
	address := listen(t, func(connection net.Conn) {
		defer connection.Close()
		request, err := http.ReadRequest(bufio.NewReader(connection))
		if err != nil {
			return
		}
		io.WriteString(connection, replies[request.Header.Get("x-case")])
	})
	p := outboundNode(t, `export default { async fetch(request, env) {
		try {
			const response = await fetch(env.ORIGIN, { headers: { "x-case": request.headers.get("x-case") } });
			return new Response("got " + await response.text());
		} catch (error) {
			return new Response(error.constructor.name + ": " + error.message);
		}
	} }`, `ORIGIN = "http://`+address+`/"`)
	for name := range replies {
		if got := p.ask("GET", "/", "", "", "x-case", name); got.status != 200 || !strings.HasPrefix(got.body, "TypeError: ") ||
			len(got.body) < 20 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A signal ends a fetch at any stage, with its reason, and the origin notices.
func TestAbortedFetches(t *testing.T) {
	left := make(chan string, 10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("beginning"))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		left <- r.URL.Path
	}))
	defer origin.Close()
	p := outboundNode(t, `export default { async fetch(request, env) {
		const { pathname } = new URL(request.url);
		const controller = new AbortController();
		const reason = { why: "enough" };
		try {
			if (pathname === "/timeout") await fetch(env.ORIGIN + "/head", { signal: AbortSignal.timeout(50) });
			setTimeout(() => controller.abort(reason), 50);
			const response = await fetch(env.ORIGIN + pathname, { signal: controller.signal });
			const reader = response.body.getReader();
			for (;;) if ((await reader.read()).done) return new Response("whole");
		} catch (error) {
			return new Response(error === reason ? "reason" : error.name);
		}
	} }`, `ORIGIN = "`+origin.URL+`"`)
	for path, want := range map[string]string{"/head": "reason", "/body": "reason", "/timeout": "TimeoutError"} {
		p.expect("GET", path, "", "", 200, want)
		select {
		case <-left:
		case <-time.After(patience):
			t.Errorf("%s: the origin does not notice", path)
		}
	}
}

// Bodies stream through JavaScript in both directions at once.
func TestStreamsBothWays(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).EnableFullDuplex()
		buffer := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(buffer)
			w.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}))
	defer origin.Close()
	p := outboundNode(t, `
		const upper = () => new TransformStream({
			transform(chunk, controller) { controller.enqueue(chunk.map((c) => c ^ 32)); },
		});
		export default { async fetch(request, env) {
			const response = await fetch(env.ORIGIN, { method: "POST", body: request.body.pipeThrough(upper()), duplex: "half" });
			return new Response(response.body.pipeThrough(upper()));
		} }`, `ORIGIN = "`+origin.URL+`"`)
	body := strings.Repeat("abcdefgh", 1<<19)
	if got := p.ask("POST", "/", "", body); got.status != 200 || got.body != body {
		t.Errorf("status %d, %d bytes", got.status, len(got.body))
	}
}

// As many fetches at once as a request may make are all answered, and one more is refused.
func TestManyFetchesAtOnce(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Query().Get("n"))
	}))
	defer origin.Close()
	p := outboundNode(t, `export default { async fetch(request, env) {
		const all = Array.from({ length: 1000 }, async (_, n) => Number(await (await fetch(env.ORIGIN + "/?n=" + n)).text()));
		const sum = (await Promise.all(all)).reduce((a, b) => a + b);
		return new Response(sum + " " + await fetch(env.ORIGIN).catch((error) => error.message));
	} }`, `ORIGIN = "`+origin.URL+`"`)
	for range 3 {
		p.expect("GET", "/", "", "", 200, "499500 Too many subrequests: a request may make 1000.")
	}
}

// EventSource asks again when a stream ends, from the last event on.
func TestEventSource(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		if last := r.Header.Get("last-event-id"); last != "" {
			fmt.Fprintf(w, "event: end\ndata: after %s, %s\n\n", last, r.Header.Get("accept"))
			return
		}
		for _, part := range []string{"retry: 20\n\nda", "ta: one\nid: 1\r", "\n\r\ndata: t\u00e9\ndata:two\nid: 2\n\n"} {
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	}))
	defer origin.Close()
	p := outboundNode(t, `export default { async fetch(request, env) {
		const source = new EventSource(env.ORIGIN);
		const got = [];
		source.onmessage = ({ data, lastEventId }) => got.push(lastEventId + data);
		source.onerror = () => got.push("error");
		const last = await new Promise((resolve) => source.addEventListener("end", resolve));
		source.close();
		return Response.json([...got, last.data, last.origin === env.ORIGIN]);
	} }`, `ORIGIN = "`+origin.URL+`"`)
	p.expect("GET", "/", "", "", 200, `["1one","2t`+"\u00e9"+`\ntwo","error","after 2, text/event-stream",true]`)
}

// The client goes away while its request waits for the origin: the origin notices, and waitUntil goes on.
func TestClientsThatLeaveEndTheirFetches(t *testing.T) {
	reached, left := make(chan bool, 1), make(chan bool, 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- true
		<-r.Context().Done()
		left <- true
	}))
	defer origin.Close()
	p := outboundNode(t, `export default { async fetch(request, env, ctx) {
		request.signal.addEventListener("abort", () => console.log("the signal: " + request.signal.reason.name));
		try {
			return await fetch(new Request(env.ORIGIN, request));
		} catch (error) {
			console.log("the fetch: " + error.name);
			throw error;
		}
	} }`, `ORIGIN = "`+origin.URL+`"`)
	connection, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(connection, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	<-reached
	connection.(*net.TCPConn).SetLinger(0) // resets: one that only shuts its own side still gets its answer
	connection.Close()
	p.waitForLog("the signal: AbortError")
	p.waitForLog("the fetch: AbortError")
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("the origin does not notice")
	}
}

// dialWebSocket connects to a path of the node.
func (p *process) dialWebSocket(path string) *websocket.Conn {
	p.t.Helper()
	socket, err := websocket.Dial("ws"+strings.TrimPrefix(p.url, "http")+path, "", p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { socket.Close() })
	socket.SetDeadline(time.Now().Add(patience))
	return socket
}

func receive(t *testing.T, socket *websocket.Conn, want string) {
	t.Helper()
	var got string
	if err := websocket.Message.Receive(socket, &got); err != nil || got != want {
		t.Fatalf("received %.100q, %v; want %.100q", got, err, want)
	}
}

func TestExampleWebSockets(t *testing.T) {
	p := startNetwork(t, "http://127.0.0.1:9")
	echo := p.dialWebSocket("/echo")
	for _, text := range []string{"hello", "", "h\u00e9", strings.Repeat("long ", 100_000)} {
		if err := websocket.Message.Send(echo, text); err != nil {
			t.Fatal(err)
		}
		receive(t, echo, text)
	}
	if err := websocket.Message.Send(echo, []byte{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	var binary []byte
	if err := websocket.Message.Receive(echo, &binary); err != nil || string(binary) != "\x00\x01\x02" {
		t.Errorf("received %q, %v", binary, err)
	}

	first := p.dialWebSocket("/chat")
	receive(t, first, "Somebody has come; 1 are here.")
	second := p.dialWebSocket("/chat")
	receive(t, first, "Somebody has come; 2 are here.")
	receive(t, second, "Somebody has come; 2 are here.")
	if err := websocket.Message.Send(first, "hi"); err != nil {
		t.Fatal(err)
	}
	receive(t, second, "hi")
	receive(t, first, "hi")
	second.Close()
	receive(t, first, "Somebody has left; 1 are here.")
	if got := p.ask("GET", "/chat", "", ""); got.status != 200 || !strings.Contains(got.body, "<title>Chat</title>") {
		t.Errorf("the page: %+v", got)
	}
}

// An app that fetches itself comes to an end: while its client waits, when that has left, and from timers of
// requests that are over.
func TestFetchesInACircleEnd(t *testing.T) {
	p := outboundNode(t, `export default { async fetch(request, env, ctx) {
		console.log("round of " + request.method);
		if (request.method === "PUT") {
			setTimeout(() => fetch(request.url, { method: "PUT" }).then(async (r) => console.log("timers: " + r.status + await r.text())), 1);
			return new Response("later");
		}
		const circle = fetch(request.url, { method: request.method, headers: request.headers });
		if (request.method === "DELETE") {
			ctx.waitUntil(circle.then((r) => r.status === 508 && console.log("at last")));
			return new Response("meanwhile");
		}
		return circle;
	} }`, "")
	p.expect("GET", "/", "", "", 508, "nano: app: the request has gone in a circle")
	p.expect("DELETE", "/", "", "", 200, "meanwhile")
	p.waitForLog("at last")
	p.expect("PUT", "/", "", "", 200, "later")
	p.waitForLog("timers: 508nano: app: the request has gone in a circle")
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		if n := strings.Count(p.logText(), "round of "+method); n != 16 {
			t.Errorf("%s: %d rounds", method, n)
		}
	}
}
