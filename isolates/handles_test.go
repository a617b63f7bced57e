package isolates

import (
	"bytes"
	"strings"
	"testing"

	"nano/http1"
)

// respondTo stages the head of an answer to a handle; head is header lines with "\n" ends.
func respondTo(t *testing.T, isolate *Isolate, response Response, head string) {
	t.Helper()
	text := []byte("HTTP/1.1 200 OK\r\n" + strings.ReplaceAll(head, "\n", "\r\n") + "\r\n")
	var parsed http1.Head
	if err := parsed.ParseResponse(text, 1<<15); err != nil {
		t.Fatal(err)
	}
	response.Head, response.Fields = text, parsed.Fields
	isolate.AddResponse(&response)
}

// only gives the records of a kind.
func only(records []Record, kind Kind) (found []Record) {
	for _, record := range records {
		if record.Kind == kind {
			found = append(found, record)
		}
	}
	return found
}

func TestFetchesNameTheirRequests(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) {
		await new Promise((done) => setTimeout(done, 1)); await fetch(r.url, { method: "PUT", body: "b", headers: { "x-a": "é" } }); return new Response("x") } }`)
	request(t, isolate, 3, strings.Replace(get, "/", "/three", 1))
	request(t, isolate, 4, strings.Replace(get, "/", "/four", 1))
	for _, timer := range only(turn(t, isolate), KindTimerSet) {
		isolate.AddTimer(timer.ID)
	}
	opened := only(turn(t, isolate), KindOpen)
	if len(opened) != 2 || opened[0].Handle <= 0 || opened[0].Handle == opened[1].Handle {
		t.Fatalf("%+v", opened)
	}
	for _, open := range opened {
		want := map[uint32]string{3: "PUT http://app.test/three", 4: "PUT http://app.test/four"}[open.Exchange]
		if string(open.Target) != want || !open.Pending || open.What != WhatFetch || open.Flags&OpenHasBody == 0 ||
			string(open.Body) != "b" || !strings.Contains(string(open.Head), "x-a: \xe9\r\n") {
			t.Errorf("%+v: target %s, head %q", open, open.Target, open.Head)
		}
	}
}

const proxy = `export default { async fetch(r) { const f = await fetch("http://origin/"); CODE } }`

// openOne starts a request to an app that fetches something, and gives the handle.
func openOne(t *testing.T, isolate *Isolate, id uint32, text string) int32 {
	t.Helper()
	request(t, isolate, id, text)
	opened := only(turn(t, isolate), KindOpen)
	if len(opened) != 1 {
		t.Fatalf("%+v", opened)
	}
	return opened[0].Handle
}

func TestResponsesOfFetch(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"text", `return new Response([f.status, f.statusText, f.ok, f.redirected, f.url, f.type, await f.text()].join())`, `201,Made,true,true,http://else/where,cors,{"a":"ä"}`},
		{"json", `return new Response((await f.json()).a)`, "ä"},
		{"bytes", `const b = await f.bytes(); return new Response(b)`, `{"a":"ä"}`},
		{"stream", `let n = 0; for await (const part of f.body) n += part.length; return new Response(n)`, "10"},
		{"clone", `const c = f.clone(); return new Response(await c.text() + await f.text() + c.url)`, `{"a":"ä"}{"a":"ä"}http://else/where`},
		{"clone of the stream", `f.body; const c = f.clone(); return new Response(await c.text() + await f.text())`, `{"a":"ä"}{"a":"ä"}`},
		{"headers", `const n = [...f.headers.keys()].join(); try { f.headers.set("a", "b") } catch (e) { return new Response(n + e.name) }`, "content-type,x-aTypeError"},
		{"copied", `const g = new Response(f.body, f); g.headers.set("x-a", "2"); return new Response(g.status + g.headers.get("x-a") + await g.text())`, `2012{"a":"ä"}`},
		{"used", `await f.text(); try { await f.text() } catch (e) { return new Response(e.name) }`, "TypeError"},
		{"passed on", `return f`, `{"a":"ä"}`},
		{"passed on as a copy", `return new Response(f.body, f)`, `{"a":"ä"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate := startApp(t, unlimited, strings.Replace(proxy, "CODE", c.code, 1))
			for _, streams := range []bool{false, true} {
				handle := openOne(t, isolate, 1, get)
				response := Response{Handle: handle, Status: 201, Reason: []byte("Made"), URL: []byte("http://else/where"), Redirected: true, Streams: streams}
				if !streams {
					response.Body = []byte(`{"a":"ä"}`)
				}
				respondTo(t, isolate, response, "Content-Type: text/x\nX-A: 1\n")
				var answer Record
				for answer.Kind == 0 {
					for _, record := range turn(t, isolate) {
						if record.Kind == KindRespond {
							answer = record
						} else if record.Kind == KindRead && record.Handle == handle {
							isolate.AddData(handle, []byte(`{"a":`), DataBytes)
							isolate.AddData(handle, []byte(`"ä"}`), DataBytes)
							isolate.AddEnd(handle, FaultNone, nil)
						}
					}
				}
				if streams && strings.HasPrefix(c.name, "passed") {
					if answer.Source != handle || !answer.Streaming || answer.Pending || answer.Status != 201 ||
						string(answer.Head) != "content-type: text/x\r\nx-a: 1\r\n" || answer.Flags&RespondRaw != 0 {
						t.Errorf("%+v: head %q", answer, answer.Head)
					}
				} else if string(answer.Body) != c.want {
					t.Errorf("streams %v: %q", streams, answer.Body)
				}
			}
		})
	}
}

// What comes with a content coding goes out with it, if the client takes it and nobody looks at it.
func TestContentCodingsArePassedOn(t *testing.T) {
	for _, c := range []struct{ name, accept, code, head string }{
		{"raw", "gzip", `return f`, "x-a: 1\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\n"},
		{"raw, copied", "br, GZIP;q=0.5", `const g = new Response(f.body, f); g.headers.set("x-a", "2"); return g`, "x-a: 2\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\n"},
		{"raw, any", "*", `return f`, "x-a: 1\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\n"},
		{"raw, named", "", `return new Response(f.body, { headers: { "content-encoding": "gzip" } })`, "content-encoding: gzip\r\n"},
		{"decoded", "", `return f`, "x-a: 1\r\nvary: accept-encoding\r\n"},
		{"decoded, refused", "gzip;q=0, *", `return f`, "x-a: 1\r\nvary: accept-encoding\r\n"},
		{"decoded, another", "br", `return f`, "x-a: 1\r\nvary: accept-encoding\r\n"},
		{"raw, varies", "gzip", `const g = new Response(f.body, f); g.headers.set("vary", "Cookie, Accept-Encoding"); return g`, "x-a: 1\r\nvary: Cookie, Accept-Encoding\r\ncontent-encoding: gzip\r\n"},
		{"decoded, varies", "", `const g = new Response(f.body, f); g.headers.set("vary", "*"); return g`, "x-a: 1\r\nvary: *\r\n"},
		{"hidden", "gzip", `return new Response([f.headers.get("content-encoding"), f.headers.get("content-length")].join())`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate := startApp(t, unlimited, strings.Replace(proxy, "CODE", c.code, 1))
			head := "GET / HTTP/1.1\nHost: h\n"
			if c.accept != "" {
				head += "Accept-Encoding: " + c.accept + "\n"
			}
			handle := openOne(t, isolate, 1, head+"\n")
			respondTo(t, isolate, Response{Handle: handle, Status: 200, Streams: true, Encoded: true}, "Content-Encoding: GZip\nX-A: 1\nContent-Length: 10\n")
			answer := respondOf(t, turn(t, isolate))
			if c.name == "hidden" {
				if string(answer.Body) != "," {
					t.Errorf("%s", answer.Body)
				}
				return
			}
			if answer.Source != handle || string(answer.Head) != c.head || (answer.Flags&RespondRaw != 0) != strings.HasPrefix(c.name, "raw") {
				t.Errorf("%+v: head %q", answer, answer.Head)
			}
		})
	}
}

// What is read by JavaScript is asked for decoded.
func TestEncodedBodiesAreReadDecoded(t *testing.T) {
	isolate := startApp(t, unlimited, strings.Replace(proxy, "CODE", "return new Response(await f.text())", 1))
	handle := openOne(t, isolate, 1, get)
	respondTo(t, isolate, Response{Handle: handle, Status: 200, Streams: true, Encoded: true}, "Content-Encoding: br\nContent-Length: 1\n")
	reads := only(turn(t, isolate), KindRead)
	if len(reads) != 1 || reads[0].Flags != ReadDecoded {
		t.Fatalf("%+v", reads)
	}
	// More than was asked for, and than the length says.
	for range 3 {
		isolate.AddData(handle, bytes.Repeat([]byte("x"), 100_000), DataBytes)
	}
	isolate.AddEnd(handle, FaultNone, nil)
	if answer := respondOf(t, turn(t, isolate)); len(answer.Body) != 300_000 {
		t.Errorf("%d bytes", len(answer.Body))
	}
}

func TestNullBodies(t *testing.T) {
	isolate := startApp(t, unlimited, strings.Replace(proxy, "CODE", "return new Response([f.status, f.body, await f.text()].join())", 1))
	handle := openOne(t, isolate, 1, get)
	respondTo(t, isolate, Response{Handle: handle, Status: 304, NullBody: true}, "")
	if answer := respondOf(t, turn(t, isolate)); string(answer.Body) != "304,," {
		t.Errorf("%s", answer.Body)
	}
}

// With a context for each request, what comes for a handle reaches the context that has opened it, and what a
// context leaves open ends with it.
func TestHandlesBelongToContexts(t *testing.T) {
	perRequest(t, `let own; export default { async fetch(r, env, ctx) { own = new URL(r.url).pathname;
		const f = await fetch("http://origin" + own);
		if (own === "/pass") { ctx.waitUntil(new Promise((done) => setTimeout(done, 1))); return f; }
		if (own === "/left") return new Response("left");
		return new Response(own + await f.text()) } }`, func(t *testing.T, isolate *Isolate) {
		a := openOne(t, isolate, 1, strings.Replace(get, "/", "/a", 1))
		b := openOne(t, isolate, 2, strings.Replace(get, "/", "/b", 1))
		left := openOne(t, isolate, 3, strings.Replace(get, "/", "/left", 1))
		pass := openOne(t, isolate, 4, strings.Replace(get, "/", "/pass", 1))
		for _, handle := range []int32{b, a, left, pass} {
			respondTo(t, isolate, Response{Handle: handle, Status: 200, Streams: true}, "")
		}
		records := turn(t, isolate)
		if canceled := only(records, KindCancel); len(canceled) != 1 || canceled[0].Handle != left || canceled[0].Flags != CancelAll {
			t.Errorf("%+v", canceled)
		}
		answers := only(records, KindRespond)
		if len(answers) != 2 || string(answers[0].Body) != "left" || answers[1].Source != pass || !answers[1].Pending {
			t.Fatalf("%+v", answers)
		}
		isolate.AddData(left, bytes.Repeat([]byte("z"), 10_000), DataBytes) // to nobody
		isolate.AddData(b, bytes.Repeat([]byte("b"), 10_000), DataBytes)
		isolate.AddData(a, []byte("a"), DataBytes)
		isolate.AddEnd(a, FaultNone, nil)
		for _, timer := range only(records, KindTimerSet) {
			isolate.AddTimer(timer.ID)
		}
		records = turn(t, isolate)
		if answer := respondOf(t, records); string(answer.Body) != "/aa" {
			t.Errorf("%.20q", answer.Body)
		}
		if canceled := only(records, KindCancel); len(canceled) != 0 || len(only(records, KindSettled)) != 1 {
			t.Errorf("%+v", records) // what was passed on is not aborted when its context ends
		}
		isolate.AddEnd(b, FaultNone, nil)
		if answer := respondOf(t, turn(t, isolate)); len(answer.Body) != 10_002 {
			t.Errorf("%.20q", answer.Body)
		}
	})
}

func TestBodiesOfRequestsBelongToContexts(t *testing.T) {
	perRequest(t, `export default { async fetch(r) { return new Response(await r.text()) } }`, func(t *testing.T, isolate *Isolate) {
		first := begin(t, isolate, 1, post, -1, pieces(bytes.Repeat([]byte("1"), 50_000), 9000)...)
		second := begin(t, isolate, 2, post, -1, pieces(bytes.Repeat([]byte("2"), 50_000), 9000)...)
		for !first.ended || !second.ended {
			for _, record := range turn(t, isolate) {
				if record.ID == 1 || record.Handle == BodyHandle(1) {
					first.take(record)
				} else {
					second.take(record)
				}
			}
			first.give()
			second.give()
		}
		if string(first.body) != strings.Repeat("1", 50_000) || string(second.body) != strings.Repeat("2", 50_000) {
			t.Errorf("%.20q, %.20q", first.body, second.body)
		}
	})
}

// A turn that is cut short leaves records of a context that has ended.
func TestAContextEndsBeforeItsRecords(t *testing.T) {
	perRequest(t, `export default { async fetch(r, env, ctx) { fetch("http://origin/").catch(() => {}); return new Response("x") } }`, func(t *testing.T, isolate *Isolate) {
		request(t, isolate, 1, get)
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		context := isolate.contexts.byID[1]
		context.arena.count = 1 // as if one was left
		isolate.contexts.staged = append(isolate.contexts.staged, context)
		drain(isolate)
		if got := fetch(t, isolate, strings.Replace(get, "GET", "PUT", 1)); string(got.Body) != "x" {
			t.Errorf("%s", got.Body)
		}
	})
}

func TestSchedules(t *testing.T) {
	source := `let seen; export default {
		fetch() { return new Response(seen) },
		async scheduled(controller, env, ctx) {
			seen = [controller.cron, controller.scheduledTime, env.NAME, ctx.remoteAddress, controller.noRetry()].join("|");
			if (controller.cron === "fail") throw new Error("no");
			if (controller.cron === "wait") ctx.waitUntil(new Promise((done) => setTimeout(done, 5)));
			await new Promise((done) => setTimeout(done, 5));
		} }`
	lockThread(t)
	app, err := resolve(t, AppOptions{EnvJSON: `{"NAME":"value"}`}, "app.js", source)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	run := func(cron string) (records []Record) {
		isolate.AddScheduled(9, 0, []byte(cron), 1_700_000_000_123)
		for len(records) == 0 || records[len(records)-1].Kind == KindTimerSet {
			for _, timer := range only(records, KindTimerSet) {
				isolate.AddTimer(timer.ID)
			}
			records = turn(t, isolate)
		}
		return records
	}
	if got := run("*/5 * * * *"); len(got) != 1 || got[0].Kind != KindRespond || got[0].ID != 9 || got[0].Status != 200 || !got[0].NoBody || got[0].Pending {
		t.Errorf("%+v", got)
	}
	if got := fetch(t, isolate, get); string(got.Body) != "*/5 * * * *|1700000000123|value||" {
		t.Errorf("%s", got.Body)
	}
	if got := run("fail"); len(got) != 2 || got[0].Kind != KindLog || !strings.Contains(string(got[0].Body), "scheduled: Error: no") || got[1].Status != 500 {
		t.Errorf("%+v", got)
	}
	got := run("wait")
	if answers := only(got, KindRespond); len(answers)+len(only(got, KindSettled)) == 0 {
		t.Errorf("%+v", got)
	}
}

func TestAppsMayHaveOnlySchedules(t *testing.T) {
	perRequest(t, `export default { scheduled(controller) { console.log(controller.cron) } }`, func(t *testing.T, isolate *Isolate) {
		isolate.AddScheduled(1, 0, []byte("@daily"), 0)
		got := turn(t, isolate)
		if logged := only(got, KindLog); len(logged) != 1 || string(logged[0].Body) != "@daily" || respondOf(t, got).Status != 200 {
			t.Errorf("%+v", got)
		}
		if got := fetch(t, isolate, get); got.Status != 500 || !strings.Contains(string(got.Body), "has no function fetch") {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	isolate := startApp(t, unlimited, `export default { fetch() {} }`)
	isolate.AddScheduled(1, 0, []byte("@daily"), 0)
	if got := respondOf(t, turn(t, isolate)); got.Status != 500 {
		t.Errorf("%+v", got)
	}
}

func TestBindings(t *testing.T) {
	lockThread(t)
	options := AppOptions{EnvJSON: `{"NAME":"value"}`, BindingsJSON: `{"services":{"OTHER":"other-app"},"assets":"ASSETS","subrequests":2}`}
	app, err := resolve(t, options, "app.js", `export default { async fetch(r, env) {
		if (r.method === "POST") await env.OTHER.fetch("http://any/x"); else await env.ASSETS.fetch("http://any/y");
		return new Response(Object.keys(env).join()) } }`)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	request(t, isolate, 1, "POST / HTTP/1.1\nHost: h\n\nx")
	if opened := only(turn(t, isolate), KindOpen); len(opened) != 1 || opened[0].What != WhatService || string(opened[0].Target) != "other-app GET http://any/x" {
		t.Errorf("%+v", opened)
	}
	handle := openOne(t, isolate, 2, get)
	respondTo(t, isolate, Response{Handle: handle, Status: 404}, "")
	if got := respondOf(t, turn(t, isolate)); string(got.Body) != "NAME,OTHER,ASSETS" {
		t.Errorf("%s", got.Body)
	}
}

// A handle that the loop still moves bytes of is not given out again when the V8 isolate is replaced.
func TestHandlesOutliveTheirIsolate(t *testing.T) {
	perRequest(t, strings.Replace(proxy, "CODE", "return f", 1), func(t *testing.T, isolate *Isolate) {
		first := openOne(t, isolate, 1, get)
		respondTo(t, isolate, Response{Handle: first, Status: 200, Streams: true}, "")
		if answer := respondOf(t, turn(t, isolate)); answer.Source != first {
			t.Fatalf("%+v", answer)
		}
		before := isolate.isolate
		isolate.contexts.starts = contextsPerIsolate
		if second := openOne(t, isolate, 2, get); second == first || isolate.isolate == before {
			t.Errorf("%d, then %d", first, second)
		}
	})
}

// A WebSocket is its context's, though the answer names it: it ends with that.
func TestWebSocketsEndWithTheirContexts(t *testing.T) {
	perRequest(t, `export default { fetch(r) { const pair = new WebSocketPair(); pair[1].accept();
		pair[1].addEventListener("message", (event) => { pair[1].send(event.data); });
		return new Response(null, { status: 101, webSocket: pair[0] }) } }`, func(t *testing.T, isolate *Isolate) {
		request(t, isolate, 1, "GET / HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: upgrade\n\n")
		records := turn(t, isolate)
		answer, opened := respondOf(t, records), only(records, KindOpen)
		if answer.Status != 101 || !answer.Pending || len(opened) != 1 || answer.Source != opened[0].Handle {
			t.Fatalf("%+v", records)
		}
		isolate.AddOpened(answer.Source, []byte("\n"))
		turn(t, isolate)
		isolate.AddData(answer.Source, []byte("hello"), DataText)
		if sent := only(turn(t, isolate), KindWrite); len(sent) != 1 || string(sent[0].Body) != "hello" || sent[0].Flags&WriteText == 0 {
			t.Fatalf("%+v", sent)
		}
		isolate.AddClosed(answer.Source, 1000, nil, true)
		records = turn(t, isolate)
		if len(only(records, KindSettled)) != 1 || len(only(records, KindCancel)) != 0 {
			t.Errorf("%+v", records)
		}
	})
}

// HEAD is answered with the content-length that GET would have.
func TestLengthsOfHead(t *testing.T) {
	for code, want := range map[string]int64{
		`return fetch("http://origin/", r)`:                                    123,
		`return new Response(null, { headers: { "content-length": "45" } })`:   45,
		`return new Response(null, { headers: { "content-length": "4, 5" } })`: -1,
		`return new Response(null, { headers: { "x-a": "1" } })`:               -1,
	} {
		isolate := startApp(t, unlimited, `export default { async fetch(r) { `+code+` } }`)
		request(t, isolate, 1, "HEAD / HTTP/1.1\nHost: h\n\n")
		records := turn(t, isolate)
		if opened := only(records, KindOpen); len(opened) == 1 {
			respondTo(t, isolate, Response{Handle: opened[0].Handle, Status: 200, NullBody: true}, "Content-Length: 123\n")
			records = turn(t, isolate)
		}
		answer := respondOf(t, records)
		if length := answer.Number; !answer.NoBody || (answer.Flags&RespondFixedLength != 0) != (want >= 0) || want >= 0 && length != want {
			t.Errorf("%s: %+v", code, answer)
		}
	}
}
