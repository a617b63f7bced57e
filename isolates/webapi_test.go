package isolates

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// startFile runs an app of webapi/testdata in a new isolate.
func startFile(t *testing.T, name string) *Isolate {
	t.Helper()
	folder, err := filepath.Abs("../webapi/testdata")
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	bundle, err := resolver.Resolve(filepath.Join(folder, name), folder)
	if err != nil {
		t.Fatal(err)
	}
	app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: `{"NAME":"value"}`}, bundle)
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(isolate.Dispose)
	return isolate
}

// answer makes a request and turns, firing timers at once, until it is answered. It also returns the log.
func answer(t *testing.T, isolate *Isolate, id uint32, text string) (Record, string) {
	t.Helper()
	request(t, isolate, id, text)
	var log strings.Builder
	for range 1000 {
		var answered *Record
		coming := 0 // timers and calls of Go
		for _, record := range turn(t, isolate) {
			switch record.Kind {
			case KindRespond:
				if record.ID == id {
					answered = &record
				}
			case KindTimerSet:
				isolate.AddTimer(record.ID)
				coming++
			case KindOpen:
				if record.What == WhatHost {
					runWork(t, isolate, &record)
					coming++
				}
			case KindLog:
				fmt.Fprintf(&log, "%s\n", record.Body)
			}
		}
		if answered != nil {
			return *answered, log.String()
		}
		if coming == 0 {
			break
		}
	}
	t.Fatalf("no answer; log: %s", log.String())
	panic("unreachable")
}

// runWork does what a record asks of a goroutine.
func runWork(t *testing.T, isolate *Isolate, record *Record) {
	t.Helper()
	work, err := isolate.NewWork(record)
	if err != nil {
		t.Fatal(err)
	}
	work.Run()
	isolate.AddWork(record.Handle, work)
}

// TestWebPlatform runs the self-checking apps of webapi/testdata; check.js there says how they work.
func TestWebPlatform(t *testing.T) {
	files, err := filepath.Glob("../webapi/testdata/*_test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, "_test.js"), func(t *testing.T) {
			lockThread(t)
			isolate := startFile(t, name)
			listed, log := answer(t, isolate, 1, get)
			var tests []string
			if err := json.Unmarshal(listed.Body, &tests); err != nil || len(tests) == 0 {
				t.Fatalf("no list of tests: %v: %s %s", err, listed.Body, log)
			}
			for i, test := range tests { // no subtests: those have a goroutine, and thread, of their own
				got, log := answer(t, isolate, uint32(i+2), platformRequest(test))
				if got.Status != 200 || string(got.Body) != "ok" {
					t.Errorf("%s: %d %s\n%s", test, got.Status, got.Body, log)
				}
			}
		})
	}
}

// platformRequest is the request that check.js describes.
func platformRequest(test string) string {
	target := "/" + url.PathEscape(test)
	if strings.HasPrefix(test, "GET ") {
		return "GET " + target + " HTTP/1.1\nHost: example.com\n\n"
	}
	const body = "body \u00e9\U0001f600"
	return fmt.Sprintf("POST %s HTTP/1.1\nHost: example.com\nContent-Type: text/plain\nX-Multi: a\nx-multi: b\n"+
		"Cookie: c=1\nCookie: d=2\nX-Empty: \nContent-Length: %d\n\n%s", target, len(body), body)
}

// logsOf joins the log records of a turn.
func logsOf(records []Record) string {
	var text strings.Builder
	for _, record := range records {
		if record.Kind == KindLog {
			fmt.Fprintf(&text, "[%d %d] %s\n", record.Level, record.ID, record.Body)
		}
	}
	return text.String()
}

func TestWhatAHandlerMayComeTo(t *testing.T) {
	for name, c := range map[string]struct {
		handler string // body of async fetch(request, env, ctx)
		status  uint16
		body    string
		logged  []string
	}{
		"nothing":      {``, 500, "nano: test: fetch() returned undefined instead of a Response", nil},
		"null":         {`return null`, 500, "nano: test: fetch() returned null instead of a Response", nil},
		"string":       {`return "x"`, 500, "nano: test: fetch() returned a string instead of a Response", nil},
		"number":       {`return 1`, 500, "nano: test: fetch() returned a number instead of a Response", nil},
		"function":     {`return () => {}`, 500, "nano: test: fetch() returned a function instead of a Response", nil},
		"plain object": {`return {}`, 500, "nano: test: fetch() returned a plain object instead of a Response", nil},
		"instance": {`class Foo {}; return new Foo()`, 500,
			"nano: test: fetch() returned an instance of class Foo instead of a Response", nil},
		"other Response": {`class Response {}; return new Response()`, 500,
			"nano: test: fetch() returned an instance of another class named Response instead of a Response", nil},
		"prototype": {`return Object.create(Response.prototype)`, 500, "nano: test: fetch() returned", nil},
		"proxy":     {`return new Proxy(new Response(), {})`, 500, "nano: test: fetch() returned", nil},
		"error":     {`return Response.error()`, 500, "nano: test: fetch() returned Response.error()", nil},
		"used": {`const r = new Response("x"); await r.text(); return r`, 500,
			"nano: test: fetch() returned a Response whose body was already used or is locked", nil},
		"locked": {`const r = new Response(new ReadableStream()); r.body.getReader(); return r`, 500,
			"nano: test: fetch() returned a Response whose body was already used or is locked", nil},
		"thenable": {`return { then(done) { done(new Response("then")) } }`, 200, "then", nil},
		"pending":  {`await null; await null; return new Response("late")`, 200, "late", nil},
		"throws": {`throw new TypeError("first\nsecond")`, 500, "nano: test: uncaught TypeError: first",
			[]string{"first\nsecond", "app.js:1:"}},
		"rejects later": {`await null; throw new Error("x")`, 500, "nano: test: uncaught Error: x", nil},
		"cause": {`throw new Error("outer", { cause: new RangeError("inner", { cause: "root" }) })`, 500,
			"nano: test: uncaught Error: outer", []string{"caused by: RangeError: inner", "caused by: root"}},
		"own error class": {`class MyError extends Error { name = "MyError" }; throw new MyError("mine")`, 500,
			"nano: test: uncaught MyError: mine", nil},
		"throws string":    {`throw "text"`, 500, "nano: test: uncaught text", []string{"text"}},
		"throws undefined": {`throw undefined`, 500, "nano: test: uncaught undefined", []string{"undefined"}},
		"throws symbol":    {`throw Symbol("s")`, 500, "nano: test: uncaught Symbol(s)", nil},
		"throws null":      {`throw null`, 500, "nano: test: uncaught null", nil},
		"throws bigint":    {`throw 10n`, 500, "nano: test: uncaught 10", nil},
		"evil error": {`throw { get name() { throw 1 }, get stack() { throw 2 }, get cause() { throw 3 } }`, 500,
			"nano: test: uncaught an error that cannot be read", nil},
		"evil proxy": {`throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })`, 500,
			"nano: test: uncaught an error that cannot be read", nil},
		"cause of itself": {`const e = new Error("x"); e.cause = e; throw e`, 500, "nano: test: uncaught Error: x", nil},
		"stack overflow": {`const f = () => f(); f()`, 500,
			"nano: test: uncaught RangeError: Maximum call stack size exceeded", nil},
		"DOMException": {`throw new DOMException("gone", "AbortError")`, 500, "nano: test: uncaught AbortError: gone", nil},
		"long message": {`throw new Error("x".repeat(100000))`, 500,
			"nano: test: uncaught Error: " + strings.Repeat("x", 493) + "...", nil},
	} {
		for _, kind := range []string{"async fetch", "fetch"} {
			if kind == "fetch" && strings.Contains(c.handler, "await") {
				continue
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				isolate := startApp(t, unlimited, `export default { `+kind+`(request, env, ctx) { `+c.handler+` } }`)
				request(t, isolate, 7, get)
				records := turn(t, isolate)
				got := respondOf(t, records)
				if got.Status != c.status || !strings.HasPrefix(string(got.Body), c.body) {
					t.Errorf("got %d %q, want %d %q", got.Status, got.Body, c.status, c.body)
				}
				log := logsOf(records)
				if lines := strings.Count(log, "[4 "); c.status == 500 && (lines != 1 || !strings.HasPrefix(log, "[4 7] ")) ||
					c.status == 200 && log != "" {
					t.Errorf("log %q", log)
				}
				for _, want := range c.logged {
					if !strings.Contains(log, want) {
						t.Errorf("log %q lacks %q", log, want)
					}
				}
				if strings.Contains(log, "nano:") {
					t.Errorf("log shows the runtime's own frames: %q", log)
				}
			})
		}
	}
}

func TestOneRequestsErrorLeavesTheOthersAlone(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(request) {
		const n = +new URL(request.url).pathname.slice(1);
		if (n % 4 === 0) throw new Error("sync");
		if (n % 4 === 1) return Promise.reject(new Error("async"));
		if (n % 4 === 2) return null.x;
		return new Response("fine") } }`)
	for id := range uint32(40) {
		request(t, isolate, id, fmt.Sprintf("GET /%d HTTP/1.1\nHost: h\n\n", id))
	}
	statuses := map[uint32]uint16{}
	for _, record := range turn(t, isolate) {
		if record.Kind == KindRespond {
			if _, twice := statuses[record.ID]; twice {
				t.Errorf("request %d was answered twice", record.ID)
			}
			statuses[record.ID] = record.Status
		}
	}
	for id := range uint32(40) {
		want := uint16(500)
		if id%4 == 3 {
			want = 200
		}
		if statuses[id] != want {
			t.Errorf("request %d: status %d, want %d", id, statuses[id], want)
		}
	}
}

// An app that spoils what promises look up harms its own answers, not the dispatcher: every request is
// answered once, and after the harm is undone all is well.
func TestSpoiltPromises(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const { then } = Promise.prototype, { constructor } = Promise.prototype;
		const harms = {
			"/then": () => { Promise.prototype.then = () => { throw new Error("then") } },
			"/constructor": () => { Object.defineProperty(Promise.prototype, "constructor", { get() { throw new Error("constructor") }, configurable: true }) },
			"/species": () => { Object.defineProperty(Promise, Symbol.species, { get() { throw new Error("species") }, configurable: true }) },
			"/object": () => { Object.prototype.then = function (done, fail) { fail("object then") } },
			"/call": () => { Function.prototype.call = Function.prototype.apply = () => { throw new Error("call") } },
			"/undo": () => {
				Promise.prototype.then = then; delete Object.prototype.then;
				Object.defineProperty(Promise.prototype, "constructor", { value: constructor, writable: true, configurable: true });
			},
		};
		export default { async fetch(request) {
			await null;
			const { pathname } = new URL(request.url);
			harms[pathname]?.();
			return new Response("fine");
		} }`)
	for i, path := range []string{"/ok", "/then", "/ok", "/undo", "/constructor", "/ok", "/undo", "/species", "/ok",
		"/object", "/ok", "/undo", "/call", "/ok"} {
		request(t, isolate, uint32(i), "GET "+path+" HTTP/1.1\nHost: h\n\n")
		if answers := countOf(turn(t, isolate), uint32(i), KindRespond); answers != 1 {
			t.Errorf("%d: %s: %d answers", i, path, answers)
		}
	}
	if got := fetch(t, isolate, get); got.Status != 200 || string(got.Body) != "fine" {
		t.Errorf("in the end: %d %s", got.Status, got.Body)
	}
}

func TestDefaultExport(t *testing.T) {
	for name, source := range map[string]string{
		"object":    `export default { fetch() { return new Response("ok") } }`,
		"instance":  `class App { #text = "ok"; fetch() { return new Response(this.#text) } }; export default new App()`,
		"inherited": `class Base { fetch() { return new Response(this.text) } }; export default new (class extends Base { text = "ok" })()`,
		"function":  `const app = () => {}; app.fetch = () => new Response("ok"); export default app`,
		"bound":     `export default { fetch: function () { return new Response(this.text) }.bind({ text: "ok" }) }`,
		"proxy":     `export default { fetch: new Proxy(() => new Response("ok"), {}) }`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := fetch(t, startApp(t, unlimited, source), get); string(got.Body) != "ok" {
				t.Errorf("got %d %q", got.Status, got.Body)
			}
		})
	}
	for source, want := range map[string]string{
		`export const x = 1`:                      "no default export",
		`export default 1`:                        "the default export is a number",
		`export default {}`:                       "no function fetch",
		`export default { fetch: 1 }`:             "its fetch is a number",
		`export default class App { fetch() {} }`: "export default new App()",
	} {
		t.Run(source, func(t *testing.T) {
			lockThread(t)
			app, err := resolve(t, AppOptions{}, "app.js", source)
			if err == nil {
				var isolate *Isolate
				if isolate, err = startOn(app, -1); err == nil {
					isolate.Dispose()
				}
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestResponseRecords(t *testing.T) {
	for name, c := range map[string]struct {
		response         string
		status           uint16
		head, body       string
		noBody, withHead bool
	}{
		"text":        {`new Response("x")`, 200, "content-type: text/plain;charset=UTF-8\r\n", "x", false, true},
		"empty":       {`new Response("")`, 200, "content-type: text/plain;charset=UTF-8\r\n", "", false, true},
		"null":        {`new Response(null, { status: 204 })`, 204, "", "", true, true},
		"bytes":       {`new Response(new Uint8Array([65, 66]).subarray(1))`, 200, "", "B", false, true},
		"blob":        {`new Response(new Blob(["ab"], { type: "a/b" }))`, 200, "content-type: a/b\r\n", "ab", false, true},
		"json":        {`Response.json([1])`, 200, "content-type: application/json\r\n", "[1]", false, true},
		"form":        {`new Response(new URLSearchParams({ a: "\u00e9" }))`, 200, "content-type: application/x-www-form-urlencoded;charset=UTF-8\r\n", "a=%C3%A9", false, true},
		"redirect":    {`Response.redirect("http://a/b")`, 302, "location: http://a/b\r\n", "", true, true},
		"latin1":      {`new Response(null, { headers: { a: "\u00e9" } })`, 200, "a: \xe9\r\n", "", true, true},
		"piped":       {`new Response(request.body)`, 200, "", "given", false, true},
		"cookies":     {`new Response(null, { headers: [["set-cookie", "a"], ["Set-Cookie", "b"]] })`, 200, "set-cookie: a\r\nset-cookie: b\r\n", "", true, true},
		"own framing": {`new Response("x", { headers: { "Content-Length": 9, Connection: "x", "transfer-encoding": "chunked", date: "now", a: "b", "Keep-Alive": "1" } })`, 200, "a: b\r\ncontent-type: text/plain;charset=UTF-8\r\n", "x", false, true},
		"touched": {`(() => { const r = new Response("x"); r.headers.set("A", "b"); r.headers.append("a", "c"); return r })()`, 200,
			"content-type: text/plain;charset=UTF-8\r\na: b\r\na: c\r\n", "x", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { async fetch(request) { return `+c.response+` } }`)
			got := fetch(t, isolate, "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\ngiven")
			if got.Status != c.status || string(got.Head) != c.head || string(got.Body) != c.body ||
				got.NoBody != c.noBody || got.Streaming || got.Pending {
				t.Errorf("got %+v: %q %q", got, got.Head, got.Body)
			}
		})
	}
}

// stream drives a streaming answer to its end and returns the body, whether it failed, and the log.
func stream(t *testing.T, isolate *Isolate, id uint32, text string) (body string, failed bool, log string) {
	t.Helper()
	request(t, isolate, id, text)
	ended := false
	for range 10_000 {
		records := turn(t, isolate)
		log += logsOf(records)
		chunks := 0
		for _, record := range records {
			if record.ID != id {
				continue
			}
			switch record.Kind {
			case KindChunk:
				if len(record.Body) == 0 {
					t.Error("an empty chunk")
				}
				body += string(record.Body)
				chunks++
			case KindEnd:
				if ended {
					t.Error("ended twice")
				}
				ended, failed = true, record.Failed
			case KindSettled:
				if !ended {
					t.Error("settled before its end")
				}
				return body, failed, log
			}
		}
		if chunks > 1 {
			t.Errorf("%d chunks before one was sent", chunks)
		}
		if chunks == 1 {
			isolate.AddSent(id)
		}
	}
	t.Fatalf("no end; body so far %q, log %s", body, log)
	panic("unreachable")
}

const encode = `const encode = (text) => new TextEncoder().encode(text); `

func TestStreams(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		body   string
		failed bool
		logged string
	}{
		"queued": {`new ReadableStream({ start(c) { for (const x of ["a", "", "b", "c"]) c.enqueue(encode(x)); c.close() } })`, "abc", false, ""},
		"many empty chunks": {`new ReadableStream({ start(c) { for (let i = 0; i < 50000; i++) c.enqueue(encode("")); c.enqueue(encode("x")); c.close() } })`,
			"x", false, ""},
		"empty":                    {`new ReadableStream({ start(c) { c.close() } })`, "", false, ""},
		"chunk without its memory": {`new ReadableStream({ start(c) { const x = encode("gone"); c.enqueue(x); x.buffer.transfer(0); c.enqueue(encode("left")); c.close() } })`, "left", false, ""},
		"one buffer for all chunks": {`(() => { const b = new Uint8Array(1); let n = 0; return new ReadableStream({ pull(c) {
			if (n === 5) return c.close(); b[0] = 97 + n++; c.enqueue(b) } }, { highWaterMark: 0 }) })()`, "abcde", false, ""},
		"large chunks": {`new ReadableStream({ start(c) { for (const [i, n] of [20000, 1, 70000, 5, 16384, 300000].entries())
			c.enqueue(encode(String(i).repeat(n))); c.close() } })`, strings.Repeat("0", 20000) + "1" + strings.Repeat("2", 70000) +
			"33333" + strings.Repeat("4", 16384) + strings.Repeat("5", 300000), false, ""},
		"error at once": {`new ReadableStream({ async start(c) { await null; c.error("reason") } })`, "", true, "reason"},
		"pulled":        {`(() => { let n = 0; return new ReadableStream({ async pull(c) { await null; if (n++ < 5) c.enqueue(encode("p" + n)); else c.close() } }) })()`, "p1p2p3p4p5", false, ""},
		"bytes":         {`new ReadableStream({ type: "bytes", start(c) { c.enqueue(encode("ab")); c.close() } })`, "ab", false, ""},
		"string":        {`new ReadableStream({ start(c) { c.enqueue(encode("a")); c.enqueue("b") }, cancel(e) { console.log("cancelled", e.name) } })`, "a", true, "chunks must be Uint8Arrays"},
		"number":        {`new ReadableStream({ start(c) { c.enqueue(1) } })`, "", true, "gave a number"},
		"error":         {`new ReadableStream({ start(c) { c.enqueue(encode("a")) }, pull(c) { c.error(new RangeError("broke")) } })`, "a", true, "broke"},
		"late error":    {`(() => { let n = 0; return new ReadableStream({ pull(c) { if (n++ < 2) c.enqueue(encode("a")); else throw new RangeError("broke") } }, { highWaterMark: 0 }) })()`, "aa", true, "broke"},
		"transform": {`(() => { const { readable, writable } = new TransformStream(); const w = writable.getWriter();
			(async () => { for (const x of ["t", "r"]) await w.write(encode(x)); await w.close() })(); return readable })()`, "tr", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, encode+`export default { fetch(request) { return new Response(`+c.stream+`) } }`)
			body, failed, log := stream(t, isolate, 3, get)
			if body != c.body || failed != c.failed || !strings.Contains(log, c.logged) {
				t.Errorf("got %.100q, failed %v, log %q", body, failed, log)
			}
			if c.logged == "" && log != "" {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestHeadCancelsTheStream(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch() {
		return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(9)) }, cancel() { console.log("cancelled") } }),
			{ headers: { a: "b" } }) } }`)
	body, failed, log := stream(t, isolate, 3, "HEAD / HTTP/1.1\nHost: h\n\n")
	if body != "" || failed || !strings.Contains(log, "cancelled") {
		t.Errorf("got %q, failed %v, log %q", body, failed, log)
	}
}

func TestGoneClientCancelsTheStream(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(request) {
		request.signal.addEventListener("abort", () => console.log("aborted", request.signal.reason.name));
		return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(9)) }, cancel(e) { console.log("cancelled", e.name) } })) } }`)
	request(t, isolate, 3, get)
	turn(t, isolate)
	isolate.AddGone(3)
	records := turn(t, isolate)
	log := logsOf(records)
	if !strings.Contains(log, "cancelled AbortError") || !strings.Contains(log, "aborted AbortError") {
		t.Errorf("log %q", log)
	}
	if ends, settled := countOf(records, 3, KindEnd), countOf(records, 3, KindSettled); ends != 1 || settled != 1 {
		t.Errorf("%d ends, %d settled", ends, settled)
	}
	isolate.AddSent(3)
	isolate.AddGone(3)
	if records := turn(t, isolate); len(records) != 0 {
		t.Errorf("more came after the end: %+v", records)
	}
}

// A handler that is still at work when its client leaves, and may never end, is answered for at once: the
// loop waits for the record that ends each request. A signal that is first asked for later is aborted from the start.
func TestGoneClientOfAPendingHandler(t *testing.T) {
	isolate := startApp(t, unlimited, `let go; export default { async fetch(request) {
		if (request.url.endsWith("/go")) { go(); return new Response() }
		await new Promise((done) => { go = done });
		console.log(request.signal.aborted, request.clone().signal.aborted);
		return new Response(new ReadableStream({ cancel() { console.log("cancelled") } })) } }`)
	request(t, isolate, 3, get)
	turn(t, isolate)
	isolate.AddGone(3)
	request(t, isolate, 4, "GET /go HTTP/1.1\nHost: h\n\n")
	records := turn(t, isolate)
	if log := logsOf(records); !strings.Contains(log, "true true") || !strings.Contains(log, "cancelled") {
		t.Errorf("log %q", log)
	}
	if answers := countOf(records, 3, KindRespond); answers != 1 {
		t.Errorf("%d answers in %+v", answers, records)
	}
}

func TestWaitUntil(t *testing.T) {
	isolate := startApp(t, unlimited, `let go = []; export default { fetch(request, env, ctx) {
		const path = new URL(request.url).pathname;
		if (path === "/go") { go.shift()(); return new Response() }
		const wait = () => new Promise((done, fail) => { go.push(path === "/fail" ? () => fail(new Error("late")) : done) });
		if (path === "/none") ctx.waitUntil(5);
		else if (path === "/nested") ctx.waitUntil(wait().then(() => { ctx.waitUntil(wait()) }));
		else ctx.waitUntil(wait());
		if (path === "/throw") throw new Error("x");
		return new Response("ok") } }`)
	for _, c := range []struct {
		path  string
		steps int
		log   string
	}{{"/none", 0, ""}, {"/one", 1, ""}, {"/fail", 1, "waitUntil: Error: late"}, {"/nested", 2, ""}, {"/throw", 1, "Error: x"}} {
		request(t, isolate, 3, "GET "+c.path+" HTTP/1.1\nHost: h\n\n")
		records := turn(t, isolate)
		if !respondOf(t, records).Pending {
			t.Errorf("%s: the answer is not pending", c.path)
		}
		log := logsOf(records)
		count := countOf(records, 3, KindSettled)
		for step := range c.steps {
			if count != 0 {
				t.Fatalf("%s: settled before step %d", c.path, step)
			}
			request(t, isolate, 4, "GET /go HTTP/1.1\nHost: h\n\n")
			records := turn(t, isolate)
			log += logsOf(records)
			count = countOf(records, 3, KindSettled)
		}
		if count != 1 || !strings.Contains(log, c.log) || c.log == "" && log != "" {
			t.Errorf("%s: settled %d times, log %q", c.path, count, log)
		}
	}
}

// countOf counts the records of a kind that a request has.
func countOf(records []Record, id uint32, kind Kind) (count int) {
	for _, record := range records {
		if record.ID == id && record.Kind == kind {
			count++
		}
	}
	return count
}

// waitUntil during a streaming answer keeps the request open beyond the end of its stream.
func TestWaitUntilWhileStreaming(t *testing.T) {
	isolate := startApp(t, unlimited, `let go; export default { fetch(request, env, ctx) {
		if (request.url.endsWith("/go")) { go(); return new Response() }
		return new Response(new ReadableStream({ pull(c) { ctx.waitUntil(new Promise((done) => { go = done })); c.close() } }, { highWaterMark: 0 })) } }`)
	request(t, isolate, 3, get)
	if records := turn(t, isolate); countOf(records, 3, KindEnd) != 1 || countOf(records, 3, KindSettled) != 0 {
		t.Fatalf("while the promise is pending: %+v", records)
	}
	request(t, isolate, 4, "GET /go HTTP/1.1\nHost: h\n\n")
	if countOf(turn(t, isolate), 3, KindSettled) != 1 {
		t.Fatal("not settled")
	}
}

// What the ops share with scripts must be there for the first call that an isolate makes.
func TestFirstUseInAnIsolate(t *testing.T) {
	for source, want := range map[string]string{
		`new URL("http://user@h:81/p?q#f").pathname`:                                     "/p",
		`new URL("http://user@h:81/p?q#f").username`:                                     "user",
		`(() => { const u = new URL("http://h/"); u.port = 82; return u.host })()`:       "h:82",
		`new TextEncoder().encodeInto("\u00e9x", new Uint8Array(2)).read`:                "1",
		`(() => { try { new Request("http://u:p@h/") } catch (e) { return e.name } })()`: "TypeError",
		`new URLSearchParams("a=b").get("a")`:                                            "b",
	} {
		isolate := startApp(t, unlimited, `export default { fetch() { return new Response(`+source+`) } }`)
		if got := fetch(t, isolate, get); string(got.Body) != want {
			t.Errorf("%s: got %q, want %q", source, got.Body, want)
		}
	}
}

func TestErrorsInTheLog(t *testing.T) {
	for source, want := range map[string][]string{
		`throw { code: 7 }`: {"code: 7"},
		`throw Object.assign(new Error("disk"), { code: "ENOSPC" })`:                                  {"Error: disk", "app.js:1:", "ENOSPC"},
		`throw new AggregateError([new Error("one"), new Error("two")], "all")`:                       {"all", "Error: one", "Error: two"},
		`throw new Error("a", { cause: { why: 1 } })`:                                                 {"Error: a", "caused by: {", "why: 1"},
		`const e = new Error("a"); Object.defineProperty(e, "cause", { get() { throw 1 } }); throw e`: {"Error: a"},
		`Error.prepareStackTrace = () => 5; throw new Error("a")`:                                     {"Error: a"},
		`throw new Proxy(new Error("a"), {})`:                                                         {"Error"},
	} {
		isolate := startApp(t, unlimited, `export default { fetch() { `+source+` } }`)
		request(t, isolate, 7, get)
		log := logsOf(turn(t, isolate))
		for _, part := range want {
			if !strings.Contains(log, part) {
				t.Errorf("%s: log %q lacks %q", source, log, part)
			}
		}
		if !strings.HasPrefix(log, "[4 7] ") || strings.Contains(log, "nano:") {
			t.Errorf("%s: log %q", source, log)
		}
	}
}

// Chunks that are ready together leave as one piece, but no endless stream is read without end.
func TestStreamIsReadAheadWithinBounds(t *testing.T) {
	isolate := startApp(t, unlimited, `let pulls = 0; export default { fetch(request) {
		if (request.url.endsWith("/pulls")) return new Response(String(pulls));
		return new Response(new ReadableStream({ pull(c) { pulls++; c.enqueue(new Uint8Array(1000)) } })) } }`)
	request(t, isolate, 3, get)
	sizes := []int{}
	for range 3 {
		for _, record := range turn(t, isolate) {
			if record.Kind == KindChunk {
				sizes = append(sizes, len(record.Body))
			}
		}
		isolate.AddSent(3)
	}
	if len(sizes) != 3 || sizes[1] < 10_000 || sizes[2] < 10_000 {
		t.Errorf("pieces of %v bytes", sizes)
	}
	got := fetch(t, isolate, "GET /pulls HTTP/1.1\nHost: h\n\n")
	var pulls int
	if _, err := fmt.Sscan(string(got.Body), &pulls); err != nil || pulls > 500 {
		t.Errorf("%s pulls", got.Body)
	}
}
