package isolates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// playing starts an app in an isolate of which the test plays the outside.
func playing(t *testing.T, options AppOptions, source string) *outside {
	t.Helper()
	lockThread(t)
	app, err := resolve(t, options, "app.js", source)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(isolate.Dispose)
	return &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
}

// theOne is the one record of a kind.
func theOne(t *testing.T, records []Record, kind Kind) Record {
	t.Helper()
	var found []Record
	for _, record := range records {
		if record.Kind == kind {
			found = append(found, record)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d records of kind %d in %+v", len(found), kind, records)
	}
	return found[0]
}

func kinds(records []Record) string {
	var text strings.Builder
	for _, record := range records {
		fmt.Fprintf(&text, "%d ", record.Kind)
	}
	return strings.TrimSpace(text.String())
}

func TestNoIOAtTopLevel(t *testing.T) {
	for name, source := range map[string]string{
		"fetch()":                `fetch("http://origin/")`,
		"new WebSocket()":        `new WebSocket("ws://host/")`,
		"new EventSource()":      `new EventSource("http://origin/")`,
		"EventSource.from()":     `EventSource.from(new ReadableStream())`,
		"scheduler.wait()":       `scheduler.wait(1)`,
		"AbortSignal.timeout()":  `AbortSignal.timeout(1)`,
		"connect()":              `connect("host:1")`,
		"WebSocket":              `const [a, b] = Object.values(new WebSocketPair()); a.accept(); b.accept(); a.send("x")`,
		"fetch() with a Request": `fetch(new Request("http://origin/"))`,
	} {
		t.Run(name, func(t *testing.T) {
			lockThread(t)
			app, err := resolve(t, AppOptions{}, "app.js",
				`import { connect } from "nano:sockets"; `+source+`; export default { fetch() { return new Response() } }`)
			if err != nil {
				t.Fatal(err)
			}
			_, err = startOn(app, -1)
			what, _, _ := strings.Cut(name, " with")
			if err == nil || !strings.Contains(err.Error(), what+" is not allowed while a module's top level runs") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFetchersOfBindings(t *testing.T) {
	o := playing(t, AppOptions{EnvJSON: `{"OTHER":"overridden","NAME":"value"}`,
		BindingsJSON: `{"services":{"OTHER":"other-app","BACK":"back"},"assets":"ASSETS"}`}, `export default { async fetch(request, env) {
			const got = [];
			for (const [binding, ...args] of [
				[env.OTHER, "http://any/echo", { method: "PUT", body: "b", headers: { a: "1" } }],
				[env.ASSETS, new URL("https://any/echo")], [env.BACK, new Request("http://any/echo")],
			]) {
				const { what, target, head, body } = await (await binding.fetch(...args)).json();
				got.push([what, target, head, body]);
			}
			const Fetcher = env.OTHER.constructor;
			const errors = [];
			for (const call of [() => new Fetcher(), () => Fetcher.prototype.fetch.call({}, "http://x/"), () => env.OTHER.fetch(),
					() => env.OTHER.fetch("ftp://x/")]) {
				try { await call(); } catch (error) { errors.push(error.message); }
			}
			const same = env.OTHER === env.OTHER && env.OTHER instanceof globalThis.Fetcher && Fetcher.length === 0 &&
				Fetcher.prototype.fetch.length === 1;
			env.BACK = 5;
			return Response.json({ got, errors, same, keys: Object.keys(env), name: env.NAME, back: env.BACK,
				tag: String(env.ASSETS) });
		} }`)
	got := string(o.run(1, get).Body)
	want := `{"got":[[2,"other-app PUT http://any/echo","a: 1\r\ncontent-type: text/plain;charset=UTF-8\r\n","b"],` +
		`[3,"GET https://any/echo","",""],[2,"back GET http://any/echo","",""]],` +
		`"errors":["Illegal constructor","Illegal invocation","Failed to execute 'fetch' on 'Fetcher': 1 argument required, but only 0 present.",` +
		`"Failed to execute 'fetch' on 'Fetcher': URL scheme 'ftp' is not supported."],` +
		`"same":true,"keys":["OTHER","NAME","BACK","ASSETS"],"name":"value","back":5,"tag":"[object Fetcher]"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSubrequestsAreLimited(t *testing.T) {
	o := playing(t, AppOptions{BindingsJSON: `{"subrequests":3}`}, `
		import { connect } from "nano:sockets";
		export default { async fetch(request) {
			const errors = [];
			const all = [() => fetch("http://origin/echo"), () => connect("echo:1").opened, () => new WebSocket("ws://host/"),
				() => fetch("http://origin/echo"), () => connect("echo:1"), () => new WebSocket("ws://host/"), () => fetch("data:,x")];
			for (const call of all) {
				try { await call(); errors.push("ok"); } catch (error) { errors.push(error.constructor.name + error.message.slice(0, 20)); }
			}
			return Response.json(errors);
		} }`)
	for id := uint32(1); id <= 2; id++ { // each request has its own
		var got []string
		if err := json.Unmarshal(o.run(id, get).Body, &got); err != nil {
			t.Fatal(err)
		}
		const refused = "TypeErrorToo many subrequests"
		if text := strings.Join(got, "|"); text != "ok|ok|ok|"+refused+"|"+refused+"|"+refused+"|ok" {
			t.Errorf("request %d: %s", id, text)
		}
	}
}

// What is fetched and returned untouched, the loop moves.
func TestResponsesOfFetchPassThrough(t *testing.T) {
	for name, handler := range map[string]string{
		"as it is":    `return fetch("http://origin/x")`,
		"with signal": `return fetch("http://origin/x", { signal: new AbortController().signal })`,
		"new headers": `const r = await fetch("http://origin/x"); return new Response(r.body, { headers: r.headers })`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { async fetch() { `+handler+` } }`)
			request(t, isolate, 1, get)
			opened := theOne(t, turn(t, isolate), KindOpen)
			o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
			o.send(&object{record: opened, stays: true}, &Response{Handle: opened.Handle, Status: 200, Streams: true},
				"content-length: 5\r\nx-y: z\r\nconnection: x-drop\r\nx-drop: 1\r\n")
			records := turn(t, isolate)
			answer := theOne(t, records, KindRespond)
			if len(records) != 1 || !answer.Streaming || answer.Source != opened.Handle || answer.Pending ||
				string(answer.Head) != "x-y: z\r\n" {
				t.Errorf("got %s: %+v %q", kinds(records), answer, answer.Head)
			}
			isolate.AddEnd(opened.Handle, FaultNetwork, []byte("late")) // crossed: nobody may stumble over it
			if records := turn(t, isolate); len(records) != 0 {
				t.Errorf("after the end: %s", kinds(records))
			}
		})
	}
}

// The body of a request that is passed on goes by JavaScript, too.
func TestRequestBodiesPassThroughToFetch(t *testing.T) {
	for name, handler := range map[string]string{
		"request": `return fetch(new Request("http://origin/x", request))`,
		"body":    `return fetch("http://origin/x", { method: "POST", body: request.body, headers: request.headers })`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { async fetch(request) { `+handler+` } }`)
			u := begin(t, isolate, 7, post+"\nX-A: b\nConnection: close", 5, []byte("hello"))
			records := turn(t, isolate)
			opened := theOne(t, records, KindOpen)
			if len(records) != 1 || opened.Source != BodyHandle(7) || opened.Flags&(OpenBodyFollows|OpenHasBody) != 0 ||
				opened.Flags&OpenFixedLength == 0 || opened.Number != 5 || string(opened.Target) != "POST http://origin/x" ||
				string(opened.Head) != "content-type: text/plain\r\nx-a: b\r\n" || !opened.Pending || opened.Exchange != 7 {
				t.Errorf("got %s: %+v %q", kinds(records), opened, opened.Head)
			}
			isolate.AddEnd(opened.Handle, FaultEgress, []byte("not allowed"))
			u.run()
			if u.answer.Status != 500 || !strings.Contains(string(u.body), "TypeError: not allowed") {
				t.Errorf("got %d %s", u.answer.Status, u.body)
			}
		})
	}
}

// A GET with a body is unusual, but may be passed on as it came.
func TestBodiesOfGetsPassThroughToFetch(t *testing.T) {
	for _, input := range []string{`request`, `new Request("http://origin/x", request)`, `new Request(request, { headers: { a: "b" } })`} {
		isolate := startApp(t, unlimited, `export default { async fetch(request) { return fetch(`+input+`) } }`)
		request(t, isolate, 1, "GET /x HTTP/1.1\nHost: origin\nContent-Length: 2\n\nhi")
		if opened := theOne(t, turn(t, isolate), KindOpen); string(opened.Target) != "GET http://origin/x" || string(opened.Body) != "hi" {
			t.Errorf("%s: got %s %q", input, opened.Target, opened.Body)
		}
	}
	isolate := startApp(t, unlimited, `export default { fetch(request) { return new Request("http://a/", { body: "x" }) } }`)
	if got := fetch(t, isolate, get); !strings.Contains(string(got.Body), "Request with GET/HEAD method cannot have body") {
		t.Errorf("got %s", got.Body)
	}
}

// A response that is passed on as it came, by way of its record, is what it is by JavaScript.
func TestResponsesPassThrough(t *testing.T) {
	const head = "X-A: 1\r\nconnection: x-b, close\r\nx-b: 2\r\ncontent-type: text/x\r\nX-A: 3\r\nkeep-alive: 5\r\n"
	large := strings.Repeat("0123456789abcdef", 4<<10) // goes into a block
	for handler, want := range map[string]string{
		`return r`: "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`ctx.waitUntil(Promise.resolve()); return r`: "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`r.headers.get("x-a"); return r`:             "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`return r.clone()`:                           "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`r.body; return r`:                           "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`return new Response(r.body, r)`:             "x-a: 1\r\ncontent-type: text/x\r\nx-a: 3\r\n",
		`for (const entry of r.headers); return r`:   "",
	} {
		for _, body := range []string{"", "hello", large} {
			o := playing(t, AppOptions{}, `export default { async fetch(request, env, ctx) { const r = await fetch("http://origin/"); `+handler+` } }`)
			request(t, o.isolate, 1, get)
			opened := theOne(t, turn(t, o.isolate), KindOpen)
			o.send(&object{record: opened}, &Response{Handle: opened.Handle, Status: 203, Reason: []byte("So So"), Body: []byte(body)}, head)
			answer := theOne(t, turn(t, o.isolate), KindRespond)
			if answer.Status != 203 || string(answer.Body) != body || want != "" && string(answer.Head) != want {
				t.Errorf("%s: got %d %q %q and %d bytes", handler, answer.Status, answer.Reason, answer.Head, len(answer.Body))
			}
		}
	}
}

// A Request is passed on without a look at its members only as long as nothing was added to it.
func TestRequestsWithMembersOfTheirOwnAreRead(t *testing.T) {
	for change, want := range map[string]string{
		``:                            "GET http://origin/x",
		`request.method = "POST"`:     "GET http://origin/x", // a getter of the prototype
		`request.other = "POST"`:      "GET http://origin/x",
		`request[Symbol.species] = 1`: "GET http://origin/x",
		`Object.defineProperty(request, "method", { value: "PUT" })`:                                                      "PUT http://origin/x",
		`Object.defineProperty(request, "method", { value: "PUT", enumerable: true })`:                                    "PUT http://origin/x",
		`Object.defineProperty(request, "method", { get: () => "PUT", configurable: true })`:                              "PUT http://origin/x",
		`request.other = 1; delete request.other; Object.defineProperty(request, "method", { value: "PUT" })`:             "PUT http://origin/x",
		`for (let i = 0; i < 2000; i++) request["m" + i] = i; Object.defineProperty(request, "method", { value: "PUT" })`: "PUT http://origin/x",
		`Object.setPrototypeOf(request, { __proto__: Request.prototype, get method() { return "PUT" } })`:                 "PUT http://origin/x",
	} {
		isolate := startApp(t, unlimited, `export default { async fetch(request) { try { `+change+` } catch {}
			return fetch(new Request("http://origin/x", request)) } }`)
		for id := range uint32(2) {
			request(t, isolate, id+1, get)
			if opened := theOne(t, turn(t, isolate), KindOpen); string(opened.Target) != want {
				t.Errorf("%s: got %s", change, opened.Target)
			}
		}
	}
}

// However many requests and fetches are in hand, whatever their numbers and the order in which they are answered,
// each gets what is its own.
func TestFetchesInHandAreToldApart(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(request) {
		return new Response(request.url + " " + await (await fetch(request)).text()) } }`)
	random := rand.New(rand.NewPCG(1, 2))
	for round, count := range []int{1, 40, 700, 3, 300} {
		opened := make([]Record, 0, count)
		for i := range count {
			id := uint32(1 + i)
			if i%3 == 0 {
				id = uint32(i) << 8 // many that end alike
			}
			request(t, isolate, id|1<<20, fmt.Sprintf("GET /%d HTTP/1.1\nHost: origin", i))
			record := theOne(t, turn(t, isolate), KindOpen)
			record.Target = bytes.Clone(record.Target)
			opened = append(opened, record)
		}
		random.Shuffle(count, func(i, j int) { opened[i], opened[j] = opened[j], opened[i] })
		for _, record := range opened {
			_, url, _ := strings.Cut(string(record.Target), " ")
			isolate.AddResponse(&Response{Handle: record.Handle, Status: 200, Body: []byte(url)})
			answer := theOne(t, turn(t, isolate), KindRespond)
			if want := url + " " + url; string(answer.Body) != want || answer.ID != uint32(record.Exchange) {
				t.Fatalf("round %d: got %s of %d, want %s of %d", round, answer.Body, answer.ID, want, record.Exchange)
			}
		}
	}
}

// A fetch made with the client's request ends when the client leaves; one of its own does not.
func TestFetchFollowsTheClientOfItsRequest(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(request, env, ctx) {
		const mine = fetch("http://origin/mine").then(() => console.log("mine"));
		ctx.waitUntil(mine);
		try { await fetch(request); } catch (error) { console.log(error.name + " " + request.signal.aborted); }
		return new Response();
	} }`)
	request(t, isolate, 1, get)
	opened := turn(t, isolate)
	if kinds(opened) != "8 8" {
		t.Fatalf("got %s", kinds(opened))
	}
	isolate.AddGone(1)
	records := turn(t, isolate)
	canceled := theOne(t, records, KindCancel)
	if canceled.Handle != opened[1].Handle || canceled.Flags != CancelAll || !strings.Contains(logsOf(records), "AbortError true") {
		t.Errorf("got %+v %s", canceled, logsOf(records))
	}
	o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
	o.send(&object{record: opened[0]}, &Response{Handle: opened[0].Handle, Status: 200}, "")
	records = turn(t, isolate)
	if !strings.Contains(logsOf(records), "mine") || theOne(t, records, KindSettled).ID != 1 {
		t.Errorf("got %s %s", kinds(records), logsOf(records))
	}
}

// A body of which nobody has read anything when its request ends is let go, in time to take no room.
func TestUnreadBodiesEndWithTheirRequest(t *testing.T) {
	isolate := startApp(t, unlimited, `let kept; export default { async fetch(request, env, ctx) {
		if (kept) return new Response(await kept.text().catch((error) => error.name + ": " + error.message));
		kept = await fetch("http://origin/ignored");
		const begun = await fetch("http://origin/begun");
		begun.body.getReader().read();
		return new Response(kept.status);
	} }`)
	request(t, isolate, 1, get)
	o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
	var handles []int32
	for range 2 {
		opened := theOne(t, turn(t, isolate), KindOpen)
		handles = append(handles, opened.Handle)
		o.send(&object{record: opened, stays: true}, &Response{Handle: opened.Handle, Status: 200, Streams: true}, "")
	}
	records := turn(t, isolate)
	if canceled := theOne(t, records, KindCancel); canceled.Handle != handles[0] || canceled.Flags != 0 {
		t.Errorf("got %+v", canceled)
	}
	if read := theOne(t, records, KindRead); read.Handle != handles[1] {
		t.Errorf("got %+v", read)
	}
	if got := fetch(t, isolate, get); string(got.Body) != "AbortError: The request that fetched this has ended." {
		t.Errorf("got %s", got.Body)
	}
}

// A context of its own lives for as long as it sends the body of a fetch, also when the answer left already.
func TestUploadsOutliveTheAnswer(t *testing.T) {
	perRequest(t, `export default { async fetch(request) {
		let count = 0;
		const body = new ReadableStream({ async pull(c) { await null; if (++count > 3) c.close(); else c.enqueue(new Uint8Array(count)); } });
		return fetch("http://origin/x", { method: "POST", body });
	} }`, func(t *testing.T, isolate *Isolate) {
		request(t, isolate, 1, get)
		records := turn(t, isolate)
		opened, written := theOne(t, records, KindOpen), theOne(t, records, KindWrite)
		o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
		o.send(&object{record: opened, stays: true}, &Response{Handle: opened.Handle, Status: 200, Streams: true}, "")
		records = turn(t, isolate)
		if answer := theOne(t, records, KindRespond); answer.Source != opened.Handle || !answer.Pending || len(written.Body) != 1 {
			t.Fatalf("got %+v", answer)
		}
		isolate.AddWritten(opened.Handle)
		records = turn(t, isolate)
		if got := theOne(t, records, KindWrite); len(got.Body) != 5 {
			t.Errorf("got %d bytes", len(got.Body))
		}
		isolate.AddWritten(opened.Handle)
		if records = turn(t, isolate); kinds(records) != "12 4" { // KindFinish, KindSettled
			t.Errorf("got %s", kinds(records))
		}
	})
}

// An app that imports a module of the runtime can be snapshotted, and connects from there.
func TestModulesOfTheRuntimeInSnapshots(t *testing.T) {
	const source = `import { connect } from "cloudflare:sockets"; import * as own from "nano:sockets";
		const kept = { connect };
		export default { async fetch() {
			const socket = kept.connect("h:1");
			const info = await socket.opened;
			return new Response([info.remoteAddress, own.connect === connect, Object.keys(own), socket.secureTransport].join());
		} }`
	app, built := imageApp(t, AppOptions{}, source)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	for _, how := range []string{"snapshot", "source"} {
		var o *outside
		if how == "snapshot" {
			o = &outside{t: t, isolate: startImage(t, app, how), objects: map[int32]*object{}}
		} else {
			o = playing(t, AppOptions{}, source)
		}
		if got := string(o.run(1, get).Body); got != "192.0.2.9:0,true,connect,off" {
			t.Errorf("%s: %s", how, got)
		}
	}
}

func TestModulesOfTheRuntimeThatDoNotExist(t *testing.T) {
	lockThread(t)
	for _, name := range []string{"nano:none", "cloudflare:none"} {
		_, err := resolve(t, AppOptions{}, "app.js", `import "`+name+`"`)
		if err == nil || !strings.Contains(err.Error(), `cannot import "`+name+`": there is no such module`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := bundle(t, "app.js", `import "nano:sockets"; import "cloudflare:sockets"`)
	if err != nil {
		t.Fatal(err)
	}
	if files := strings.Join(b.Files(), " "); files != "app.js" || len(b.modules) != 2 {
		t.Errorf("files %s of %d modules", files, len(b.modules))
	}
}

// Whatever becomes of what a request has opened, in the end nothing of it is left in the isolate.
func TestNothingOutboundIsLeftBehind(t *testing.T) {
	for name, handler := range map[string]string{
		"read":            `await (await fetch("http://origin/stream/3")).text()`,
		"read by reader":  `for await (const chunk of (await fetch("http://origin/stream/3")).body) chunk.fill(0)`,
		"whole":           `await (await fetch("http://origin/echo")).json()`,
		"ignored whole":   `await fetch("http://origin/echo")`,
		"ignored stream":  `await fetch("http://origin/hang")`,
		"unread reader":   `(await fetch("http://origin/hang")).body.getReader().closed.catch(() => {})`,
		"canceled":        `await (await fetch("http://origin/hang")).body.cancel()`,
		"broken":          `await (await fetch("http://origin/break")).text().catch(() => {})`,
		"fault":           `await fetch("http://origin/fault/1").catch(() => {})`,
		"passed on":       `return fetch("http://origin/hang")`,
		"aborted":         `const c = new AbortController(); const p = fetch("http://origin/never", { signal: c.signal }); c.abort(); await p.catch(() => {})`,
		"aborted body":    `const c = new AbortController(); const r = await fetch("http://origin/hang", { signal: c.signal }); c.abort(); await r.text().catch(() => {})`,
		"kept signal":     `await (await fetch("http://origin/stream/3", { signal: kept.signal })).text()`,
		"kept, passed on": `return fetch("http://origin/hang", { signal: kept.signal })`,
		"upload":          `await (await fetch("http://origin/echo", { method: "POST", body: new Blob(["x"]).stream() })).text()`,
		"pumped upload": `await (await fetch("http://origin/echo", { method: "POST", body: new ReadableStream({
			start(c) { c.enqueue(new Uint8Array(5)); c.close(); } }) })).text()`,
		"with its request": `await fetch(new Request("http://origin/fault/1", request)).catch(() => {})`,
		"socket":           `const s = connect("echo:1"); await s.opened; await s.close()`,
		"refused socket":   `const s = connect("refused:1"); await s.opened.catch(() => {})`,
		"WebSocket": `const s = new WebSocket("ws://host/"); await new Promise((r) => s.onopen = r); s.send("close");
			await new Promise((r) => s.onclose = r)`,
		"refused WebSocket": `const s = new WebSocket("ws://refused/"); await new Promise((r) => s.onclose = r)`,
		"pair": `const p = new WebSocketPair(); p[0].accept(); p[1].accept(); p[0].send("x"); p[0].close();
			await new Promise((r) => p[1].addEventListener("close", r))`,
		"events": `const s = new EventSource("http://origin/events/1"); await new Promise((r) => s.onmessage = r); s.close()`,
		"timers": `await scheduler.wait(1, { signal: kept.signal }); await scheduler.wait(1)`,
	} {
		t.Run(name, func(t *testing.T) {
			o := playing(t, AppOptions{}, `import { connect } from "nano:sockets"; let kept = null;
				export default { async fetch(request) { kept ??= new AbortController(); `+handler+`; return new Response("x") } }`)
			run := func(count int) {
				for range count {
					if got := o.run(1, get); got.Status != 200 {
						t.Fatalf("status %d %s", got.Status, got.Body)
					}
					for handle := range o.objects { // the loop ends what a request has left open
						o.isolate.AddEnd(handle, FaultAborted, []byte("its request has ended"))
					}
					clear(o.objects)
					turn(t, o.isolate)
				}
			}
			staysSmall(t, o.isolate, 3000, run)
		})
	}
}

// Nor is anything left of what a request does over and over that lives for long.
func TestNothingIsLeftBehindInLongRequests(t *testing.T) {
	const round = `await Promise.all([fetch("http://origin/stream/2"), fetch("http://origin/stream/3"), fetch(new Request("http://origin/echo", request)),
		fetch(request)].map(async (response) => (await response).text()))`
	o := playing(t, AppOptions{BindingsJSON: `{"subrequests":1000000}`}, `let wake, done; export default { async fetch(request) {
		if (wake) {
			wake();
			await new Promise((resolve) => { done = resolve; });
			return new Response();
		}
		for (;;) {
			await new Promise((resolve) => { wake = resolve; });
			for (let i = 0; i < 100; i++) { `+round+`; }
			done();
		}
	} }`)
	request(t, o.isolate, 1, get)
	turn(t, o.isolate)
	run := func(count int) {
		for range count {
			o.run(2, get)
		}
	}
	staysSmall(t, o.isolate, 30, run)
}

// staysSmall checks that a number of runs leaves next to nothing behind: 240 KB would be an object for each of
// 3000. V8 compiles, and frees buffers, when it likes, so that growth counts only if it goes on.
func staysSmall(t *testing.T, isolate *Isolate, runs int, run func(count int)) {
	t.Helper()
	var grown int64
	for range 4 {
		before := used(isolate)
		run(runs)
		if grown = used(isolate) - before; grown < 240<<10 {
			return
		}
	}
	t.Errorf("%d runs leave %d bytes", runs, grown)
}

// What an app makes at its top level of all this works when its snapshot was restored.
func TestOutboundObjectsInSnapshots(t *testing.T) {
	const source = `
		const pair = new WebSocketPair();
		const controller = new AbortController();
		const get = fetch;
		class Chat extends WebSocket {}
		const event = new MessageEvent("x", { data: [1] });
		const request = new Request("http://origin/echo", { method: "POST", body: "kept", signal: controller.signal });
		const { EventSource: Source, scheduler: { wait } } = globalThis;
		const form = new FormData();
		form.append("a", "1");
		export default { async fetch(incoming, env) {
			const got = [event.data[0], (await (await get(request)).json()).body];
			pair[0].accept();
			pair[1].accept();
			pair[0].send("paired");
			got.push((await new Promise((resolve) => pair[1].addEventListener("message", resolve))).data);
			const chat = new Chat("ws://host/");
			await new Promise((resolve) => { chat.onopen = resolve; });
			chat.close();
			got.push(chat instanceof WebSocket, (await (await env.OTHER.fetch("http://x/echo", { method: "PUT", body: form })).json()).what);
			const source = new Source("http://origin/events/1");
			got.push((await new Promise((resolve) => { source.onmessage = resolve; })).data);
			source.close();
			controller.abort("why");
			got.push(await get("http://origin/never", { signal: controller.signal }).catch((e) => e), await wait.call(scheduler, 1));
			return Response.json(got);
		} }`
	app, built := imageApp(t, AppOptions{BindingsJSON: `{"services":{"OTHER":"other"}}`}, source)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	o := &outside{t: t, isolate: startImage(t, app, "snapshot"), objects: map[int32]*object{}}
	if got := string(o.run(1, get).Body); got != `[1,"kept","paired",true,2,"first\nsecond","why",null]` {
		t.Errorf("got %s; log: %s", got, o.log.String())
	}
}
