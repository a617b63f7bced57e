package isolates

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"nano/http1"
)

// upload plays the loop for one request whose body streams, and for the answer.
type upload struct {
	t       *testing.T
	isolate *Isolate
	id      uint32
	chunks  [][]byte // of the body, still to come
	fault   Fault    // how it ends
	hangs   bool     // it does not end

	window   int64 // that the app has granted and that is not used
	asked    int64 // in all
	given    int64
	ahead    int64 // the most that was granted at a time
	isOver   bool
	canceled int

	answer   Record // KindRespond
	answered bool
	ended    bool // no more is to come of the exchange
	body     []byte
	failed   bool
	log      strings.Builder
	others   []Record
}

// begin stages the request. length is its content-length, or -1.
func begin(t *testing.T, isolate *Isolate, id uint32, head string, length int64, chunks ...[]byte) *upload {
	t.Helper()
	text := strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n"
	var parsed http1.Head
	if err := parsed.Parse([]byte(text), 1<<15); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	isolate.AddRequest(&Request{ID: id, Head: []byte(text), Parsed: &parsed, RemoteAddress: []byte("192.0.2.1:1"),
		Streams: true, Length: length})
	return &upload{t: t, isolate: isolate, id: id, chunks: chunks}
}

const post = "POST / HTTP/1.1\nHost: app.test\nContent-Type: text/plain"

// step runs a turn and acts on what comes out.
func (u *upload) step() {
	u.t.Helper()
	for _, record := range turn(u.t, u.isolate) {
		u.take(record)
	}
}

func (u *upload) take(record Record) {
	switch {
	case record.Kind == KindLog:
		fmt.Fprintf(&u.log, "%s\n", record.Body)
	case record.Kind == KindTimerSet:
		u.isolate.AddTimer(record.ID)
	case record.ID == u.id && record.Kind == KindRespond:
		u.answer, u.answered = record, true
		u.body = record.Body
		u.ended = !record.Pending && (!record.Streaming || record.Source != 0)
	case record.ID == u.id && record.Kind == KindChunk:
		u.body = append(u.body, record.Body...)
		u.isolate.AddSent(u.id)
	case record.ID == u.id && record.Kind == KindEnd:
		u.failed = record.Failed
		u.ended = !u.answer.Pending
	case record.ID == u.id && record.Kind == KindSettled:
		u.ended = true
	case record.Handle == BodyHandle(u.id) && record.Kind == KindRead:
		u.window += record.Number
		u.asked += record.Number
		u.ahead = max(u.ahead, u.window)
	case record.Handle == BodyHandle(u.id) && record.Kind == KindCancel:
		u.canceled++
		u.isOver = true
	default:
		u.others = append(u.others, record)
	}
}

// give stages what of the body the window allows.
func (u *upload) give() (gave bool) {
	for len(u.chunks) > 0 && u.window > 0 && !u.isOver {
		chunk := u.chunks[0]
		u.isolate.AddData(BodyHandle(u.id), chunk, DataBytes)
		u.window -= int64(len(chunk))
		u.given += int64(len(chunk))
		u.chunks = u.chunks[1:]
		gave = true
	}
	if len(u.chunks) == 0 && u.asked > 0 && !u.isOver && !u.hangs {
		u.isOver = true
		u.isolate.AddEnd(BodyHandle(u.id), u.fault, []byte("the fault's text"))
		gave = true
	}
	return gave
}

// run plays to the end.
func (u *upload) run() *upload {
	u.t.Helper()
	for range 100_000 {
		u.step()
		if u.ended {
			return u
		}
		u.give()
	}
	u.t.Fatalf("the request does not end: answered %v, log: %s", u.answered, u.log.String())
	return nil
}

// pieces cuts data into chunks of so many bytes.
func pieces(data []byte, size int) (chunks [][]byte) {
	for len(data) > size {
		chunks = append(chunks, data[:size])
		data = data[size:]
	}
	return append(chunks, data)
}

// readers are ways of reading a body as text.
var readers = map[string]string{
	"text":        `return await r.text()`,
	"json":        `return (await r.json()).text`,
	"bytes":       `return decode(await r.bytes())`,
	"arrayBuffer": `const b = await r.arrayBuffer(); return decode(new Uint8Array(b))`,
	"blob":        `const b = await r.blob(); if (b.type !== "text/plain") throw b.type; return await b.text()`,
	"reader": `const reader = r.body.getReader(); const parts = [];
		for (;;) { const { done, value } = await reader.read(); if (done) break; parts.push(value) } return decode(...parts)`,
	"iterator": `const parts = []; for await (const part of r.body) parts.push(part); return decode(...parts)`,
	"byob": `const reader = r.body.getReader({ mode: "byob" }); const parts = []; let view = new Uint8Array(1000);
		for (;;) { const { done, value } = await reader.read(view); if (done) break;
			parts.push(value.slice()); view = new Uint8Array(value.buffer) } return decode(...parts)`,
	"byob in the middle": `const reader = r.body.getReader({ mode: "byob" }); const parts = []; let at = 0;
		for (;;) { const { done, value } = await reader.read(new Uint8Array(new ArrayBuffer(5000), 7, 4001), { min: 1 });
			if (value !== undefined) parts.push(value); if (done) break } return decode(...parts)`,
	"after body was touched": `r.body; return await r.text()`,
	"stream of a response":   `return await new Response(r.body).text()`,
	"another request":        `return await new Request(r).text()`,
	"request of the stream":  `return await new Request("http://a/", { method: "POST", body: r.body, duplex: "half" }).text()`,
	"clone":                  `const c = r.clone(); const [a, b] = await Promise.all([r.text(), c.text()]); if (a !== b) throw "differ"; return a`,
	"clone first":            `const c = r.clone(); const a = await c.text(); if (a !== await r.text()) throw "differ"; return a`,
	"tee":                    `const [a, b] = r.body.tee(); b.cancel(); return await new Response(a).text()`,
	"pipe": `const out = new TextDecoderStream(); r.body.pipeTo(out.writable); let text = "";
		for await (const part of out.readable) text += part; return text`,
}

const decodeHelper = `function decode(...parts) { const d = new TextDecoder(); let text = "";
	for (const part of parts) text += d.decode(part, { stream: true }); return text + d.decode() }`

func TestStreamingBodiesAreReadInEveryWay(t *testing.T) {
	long := strings.Repeat("ä€😀 plain ", 12_000) // 240 KB
	for name, code := range readers {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, decodeHelper+`export default { async fetch(r) {
				const text = await (async () => { `+code+` })(); return new Response(text) } }`)
			for _, text := range []string{"", "x", "äöü", strings.Repeat("01234567ü", 180), long} {
				data := []byte(text)
				if name == "json" {
					data = []byte(`{"text": ` + strconv.Quote(text) + `}`)
				}
				for _, size := range []int{1, 1000, 4095, 4096, 65536, 1 << 20} {
					if len(data)/size > 2_000 || size > 2*len(data)+1000 {
						continue
					}
					for _, length := range []int64{-1, int64(len(data))} {
						u := begin(t, isolate, 1, post, length, pieces(data, size)...).run()
						if string(u.body) != text {
							t.Fatalf("%d bytes in pieces of %d, length %d: got %.80q (%d bytes), log %s",
								len(text), size, length, u.body, len(u.body), u.log.String())
						}
						if limit := int64(256<<10 + size); u.ahead > limit {
							t.Errorf("%d bytes were asked for at a time", u.ahead)
						}
					}
				}
			}
		})
	}
}

func TestFormsThatStreamAreParsed(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) { const f = await r.formData();
		return new Response(f.get("a") + (await f.get("b").text())) } }`)
	form := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\n" +
		"Content-Disposition: form-data; name=\"b\"; filename=\"f\"\r\n\r\n2\r\n--x--\r\n"
	head := "POST / HTTP/1.1\nHost: h\nContent-Type: multipart/form-data; boundary=x"
	for _, size := range []int{1, 7, 1000} {
		if u := begin(t, isolate, 1, head, -1, pieces([]byte(form), size)...).run(); string(u.body) != "12" {
			t.Errorf("pieces of %d: %q %s", size, u.body, u.log.String())
		}
	}
}

// What a content-length says is not believed before the bytes have come.
func TestAnnouncedLengthsTakeNoMemory(t *testing.T) {
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 32 << 20}, `export default { async fetch(r) { return new Response(await r.text()) } }`)
	u := begin(t, isolate, 1, post, 4<<30-2, []byte("x"), []byte("y")).run()
	if string(u.body) != "xy" {
		t.Errorf("got %q", u.body)
	}
}

func TestNothingIsAskedForBeforeItIsRead(t *testing.T) {
	isolate := startApp(t, unlimited, `let go; export default { async fetch(r) { r.body; const body = r.body;
		await new Promise((done) => setTimeout(done, 1)); const reader = body.getReader(); await null;
		await new Promise((done) => setTimeout(done, 1)); const first = await reader.read(); await new Promise(() => {}); } }`)
	u := begin(t, isolate, 1, post, -1, pieces(bytes.Repeat([]byte("x"), 2<<20), 10_000)...)
	u.step()
	if u.step(); u.asked != 0 {
		t.Fatalf("%d bytes were asked for", u.asked)
	}
	for range 20 {
		u.step()
		u.give()
	}
	// One was read; the rest of the first window waits.
	if u.asked != 64<<10 || u.given < 64<<10 || u.given > 64<<10+10_000 {
		t.Errorf("%d bytes were asked for, %d came", u.asked, u.given)
	}
}

func TestASlowReaderIsNotOverrun(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) { let n = 0;
		for await (const part of r.body) { n += part.length; await new Promise((done) => setTimeout(done, 1)); }
		return new Response(String(n)) } }`)
	u := begin(t, isolate, 1, post, -1, pieces(bytes.Repeat([]byte("x"), 3<<20), 8<<10)...)
	most := int64(0)
	for !u.ended {
		u.step()
		u.give()
		most = max(most, int64(isolate.Memory().External))
	}
	if string(u.body) != strconv.Itoa(3<<20) || u.ahead > 64<<10 {
		t.Errorf("got %q, at most %d bytes ahead", u.body, u.ahead)
	}
}

func TestStreamsOfBodiesAreCanceled(t *testing.T) {
	for name, code := range map[string]string{
		"unread":          `await r.body.cancel()`,
		"half":            `const reader = r.body.getReader(); await reader.read(); await reader.cancel("enough")`,
		"iterator":        `for await (const part of r.body) break`,
		"waiting":         `const reader = r.body.getReader(); await reader.read(); const p = reader.read(); await reader.cancel(); if (!(await p).done) throw "not done"`,
		"byob, waiting":   `const reader = r.body.getReader({ mode: "byob" }); await reader.read(new Uint8Array(10)); await reader.cancel()`,
		"both branches":   `const [a, b] = r.body.tee(); await Promise.all([a.cancel(1), b.cancel(2)])`,
		"pipe that fails": `await r.body.pipeTo(new WritableStream({ write() { throw new Error("full") } })).catch(() => {})`,
		"twice":           `await r.body.cancel(); await r.body.cancel()`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { async fetch(r) { `+code+`; return new Response("used " + r.bodyUsed) } }`)
			u := begin(t, isolate, 1, post, -1, pieces(bytes.Repeat([]byte("x"), 1<<20), 20_000)...)
			if name == "waiting" {
				u.chunks, u.hangs = u.chunks[:1], true
			}
			u.run()
			if string(u.body) != "used true" || u.canceled != 1 {
				t.Errorf("%q, canceled %d times, log: %s", u.body, u.canceled, u.log.String())
			}
		})
	}
}

func TestFaultsOfBodiesReachTheApp(t *testing.T) {
	faults := map[Fault]string{FaultNetwork: "TypeError", FaultAborted: "AbortError", FaultTimeout: "TimeoutError",
		FaultLimit: "TypeError", FaultEgress: "TypeError", FaultRefused: "TypeError"}
	for name, code := range readers {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, decodeHelper+`export default { async fetch(r) {
				try { await (async () => { `+code+` })(); return new Response("read") }
				catch (error) { return new Response(error.name + ": " + error.message) } } }`)
			for fault, want := range faults {
				u := begin(t, isolate, 1, post, -1, []byte("some"), bytes.Repeat([]byte("x"), 5000))
				u.fault = fault
				if u.run(); string(u.body) != want+": the fault's text" {
					t.Errorf("fault %d: %q, log: %s", fault, u.body, u.log.String())
				}
			}
		})
	}
}

// A body that nobody touches does not go through JavaScript.
func TestUntouchedBodiesArePassedThrough(t *testing.T) {
	for name, code := range map[string]string{
		"body":            `return new Response(r.body, { headers: { "x-a": "1" } })`,
		"body of another": `return new Response(new Request(r).body, { headers: { "x-a": "1" } })`,
		"body of a body":  `return new Response(new Response(r.body).body, { headers: { "x-a": "1" } })`,
		"async":           `await null; return new Response(r.body, { headers: { "x-a": "1" } })`,
		"identity":        `return new Response(r.body.pipeThrough(new IdentityTransformStream()), { headers: { "x-a": "1" } })`,
		"two identities": `const pass = () => new IdentityTransformStream();
			return new Response(r.body.pipeThrough(pass()).pipeThrough(pass()), { headers: { "x-a": "1" } })`,
		"known length":     `return new Response(r.body.pipeThrough(new FixedLengthStream(10)), { headers: { "x-a": "1" } })`,
		"locked, released": `r.body.getReader().releaseLock(); return new Response(r.body, { headers: { "x-a": "1" } })`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `let kept; export default { async fetch(r) {
				if (r.method === "GET") return new Response([kept.bodyUsed, kept.body?.locked].join());
				kept = r; `+code+` } }`)
			u := begin(t, isolate, 7, post, 10, []byte("0123456789"))
			u.step()
			a := u.answer
			if !u.ended || !a.Streaming || a.Pending || a.Source != BodyHandle(7) || string(a.Head) != "x-a: 1\r\n" || u.asked != 0 || u.canceled != 0 {
				t.Fatalf("%+v, asked for %d, log: %s", a, u.asked, u.log.String())
			}
			if got := fetch(t, isolate, get); string(got.Body) != "true,true" && name != "body of another" {
				t.Errorf("used, locked: %s", got.Body)
			}
			// What comes for the handle all the same is dropped.
			isolate.AddData(BodyHandle(7), bytes.Repeat([]byte("x"), 10_000), DataBytes)
			isolate.AddEnd(BodyHandle(7), FaultNetwork, nil)
			if rest := turn(t, isolate); len(rest) != 0 {
				t.Errorf("%+v", rest)
			}
		})
	}
}

func TestTouchedBodiesArePumped(t *testing.T) {
	for name, code := range map[string]string{
		"transform":              `return new Response(r.body.pipeThrough(new TransformStream()))`,
		"identity that is read":  `const s = new IdentityTransformStream(); s.readable.getReader().releaseLock(); const [a, b] = r.body.pipeThrough(s).tee(); b.cancel(); return new Response(a)`,
		"identity with a signal": `return new Response(r.body.pipeThrough(new IdentityTransformStream(), { signal: new AbortController().signal }))`,
		"tee":                    `const [a, b] = r.body.tee(); b.cancel(); return new Response(a)`,
		"clone":                  `const c = r.clone(); c.body.cancel(); return new Response(r.body)`,
		"wrapped":                `const reader = r.body.getReader(); return new Response(new ReadableStream({ async pull(c) { const { done, value } = await reader.read(); done ? c.close() : c.enqueue(value) } }))`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { fetch(r) { `+code+` } }`)
			data := bytes.Repeat([]byte("0123456789"), 100_000)
			u := begin(t, isolate, 1, post, -1, pieces(data, 16<<10)...).run()
			if !bytes.Equal(u.body, data) || u.failed || u.answer.Source != 0 || !u.answer.Streaming || u.ahead > 256<<10+16<<10 {
				t.Errorf("%d bytes, failed %v, source %d, ahead %d, log: %s", len(u.body), u.failed, u.answer.Source, u.ahead, u.log.String())
			}
		})
	}
}

func TestPumpedBodiesBreakWithTheirSource(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) { return new Response(r.body.pipeThrough(new TransformStream())) } }`)
	u := begin(t, isolate, 1, post, -1, []byte("first"))
	u.fault = FaultNetwork
	if u.run(); !u.failed || string(u.body) != "first" || !strings.Contains(u.log.String(), "the fault's text") {
		t.Errorf("failed %v, %q, log: %s", u.failed, u.body, u.log.String())
	}
}

func TestUsedAndLockedBodiesAreNotSent(t *testing.T) {
	for name, code := range map[string]string{
		"used":   `await r.text(); return new Response(r.body)`,
		"locked": `const body = r.body; body.getReader(); return new Response(body)`,
	} {
		isolate := startApp(t, unlimited, `export default { async fetch(r) { `+code+` } }`)
		if u := begin(t, isolate, 1, post, 1, []byte("x")).run(); u.answer.Status != 500 || !strings.Contains(string(u.body), "locked or was already read") {
			t.Errorf("%s: %d %s", name, u.answer.Status, u.body)
		}
	}
}

func TestOfHeadOnlyTheHeadIsSent(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) { return new Response(r.body) } }`)
	u := begin(t, isolate, 1, "HEAD / HTTP/1.1\nHost: h", 1, []byte("x")).run()
	if u.answer.Source != 0 || u.failed || u.asked != 0 || len(u.body) != 0 {
		t.Errorf("%+v, failed %v, asked for %d, %q", u.answer, u.failed, u.asked, u.body)
	}
}

// When a request is over, so is its body.
func TestBodiesEndWithTheirRequests(t *testing.T) {
	isolate := startApp(t, unlimited, `let outcome = "none", late; const note = (e) => { outcome = e.name + ": " + e.message };
		export default { fetch(r) {
			if (r.method === "GET") return late === undefined ? new Response(outcome) : late.text().then(() => new Response("read"), (e) => new Response(e.message));
			if (r.url.endsWith("/late")) { late = r; return new Response("left") }
			r.text().catch(note); return new Response("early") } }`)
	begin(t, isolate, 5, post, -1, []byte("x")).run()
	if got := fetch(t, isolate, get); string(got.Body) != "AbortError: The request has been answered." {
		t.Errorf("%s", got.Body)
	}
	// The id is another request's now, whose body comes.
	u := begin(t, isolate, 5, strings.Replace(post, "/", "/late", 1), -1, []byte("y")).run()
	if string(u.body) != "left" {
		t.Errorf("%s", u.body)
	}
	isolate.AddData(BodyHandle(5), []byte("z"), DataBytes)
	if got := fetch(t, isolate, get); !strings.Contains(string(got.Body), "unusable") {
		t.Errorf("%s", got.Body)
	}
}

func TestWhenTheClientLeavesTheBodyEnds(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r, env, ctx) {
		ctx.waitUntil(r.text().catch((e) => console.log("body", e.name)));
		r.signal.addEventListener("abort", () => console.log("signal", r.signal.reason.name));
		await new Promise(() => {}) } }`)
	u := begin(t, isolate, 1, post, -1, []byte("x"))
	u.hangs = true
	for range 3 {
		u.step()
		u.give()
	}
	isolate.AddGone(1)
	u.run()
	if log := u.log.String(); !strings.Contains(log, "body AbortError") || !strings.Contains(log, "signal AbortError") {
		t.Error(log)
	}
}

func TestFixedLengthStreams(t *testing.T) {
	for _, c := range []struct {
		name, code, body, problem string
		length                    int64
	}{
		{"exact", `write("hello", " ", "world")`, "hello world", "", 11},
		{"bigint", `write("ab")`, "ab", "", 2},
		{"empty", `write()`, "", "", 0},
		{"too few", `write("hello")`, "hello", "only 5 of the 11 bytes", 11},
		{"too many", `write("hello", "world")`, "hello", "more than the 7 bytes", 7},
		{"no bytes", `writer.write("a string").catch(() => {})`, "", "takes bytes only", 3},
		{"abort", `writer.abort(new Error("no more"))`, "", "no more", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			length := strconv.FormatInt(c.length, 10)
			if c.name == "bigint" {
				length += "n"
			}
			isolate := startApp(t, unlimited, `export default { fetch(r, env, ctx) {
				const { readable, writable } = new FixedLengthStream(`+length+`); const writer = writable.getWriter();
				const write = async (...parts) => { try { for (const part of parts) await writer.write(new TextEncoder().encode(part)); await writer.close() } catch {} };
				`+c.code+`; writer.closed.catch(() => {}); return new Response(readable) } }`)
			u := begin(t, isolate, 1, post, 0).run()
			if u.answer.Flags&RespondFixedLength == 0 || u.answer.Number != c.length || string(u.body) != c.body ||
				u.failed != (c.problem != "") || !strings.Contains(u.log.String(), c.problem) {
				t.Errorf("%+v: %q, failed %v, log: %s", u.answer, u.body, u.failed, u.log.String())
			}
		})
	}
}

// What is enqueued leaves in the same turn, unless something before it is still on its way.
func TestEventsLeaveAtOnce(t *testing.T) {
	isolate := startApp(t, unlimited, `let controller; export default { fetch(r) {
		if (r.method === "POST") { controller.enqueue(new TextEncoder().encode("data: 2\n\n")); return new Response("ok") }
		const stream = new ReadableStream({ start(c) { controller = c; c.enqueue(new TextEncoder().encode("data: 1\n\n")) } });
		return new Response(stream, { headers: { "content-type": "text/event-stream" } }) } }`)
	request(t, isolate, 1, get)
	chunk := func(records []Record) string {
		for _, record := range records {
			if record.Kind == KindChunk && record.ID == 1 {
				return string(record.Body)
			}
		}
		return ""
	}
	if got := chunk(turn(t, isolate)); got != "data: 1\n\n" {
		t.Fatalf("%q", got)
	}
	isolate.AddSent(1)
	turn(t, isolate)
	request(t, isolate, 2, "POST / HTTP/1.1\nHost: h\n\nx")
	if got := chunk(turn(t, isolate)); got != "data: 2\n\n" {
		t.Errorf("%q", got)
	}
}

// Bytes that are staged count towards the heap limit, as what JavaScript holds of them does.
func TestBodiesAreHeldToTheHeapLimit(t *testing.T) {
	for name, code := range map[string]string{
		"text":   `await r.text()`,
		"chunks": `const all = []; for await (const part of r.body) all.push(part)`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, Options{Wake: -1, HeapLimit: 16 << 20}, `export default { async fetch(r) { `+code+`; return new Response("all") } }`)
			u := begin(t, isolate, 1, post, -1, pieces(bytes.Repeat([]byte("x"), 64<<20), 64<<10)...)
			for range 10_000 {
				err := isolate.Turn()
				for _, record := range drain(isolate) {
					u.take(record)
				}
				if err != nil {
					if !errors.Is(err, ErrMemoryLimit) {
						t.Error(err)
					}
					return
				}
				if u.ended {
					t.Fatalf("%q", u.body)
				}
				u.give()
			}
		})
	}
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 16 << 20}, `export default { async fetch(r) { return new Response("none") } }`)
	for range 64 {
		isolate.AddData(9, make([]byte, 1<<20), DataBytes)
	}
	if err := isolate.Turn(); !errors.Is(err, ErrMemoryLimit) {
		t.Errorf("staged 64 MiB: %v", err)
	}
}

// A long body that is read and let go of takes little memory.
func TestLongBodiesAreCollectedOnTheWay(t *testing.T) {
	for name, code := range map[string]string{
		"count":     `let n = 0; for await (const part of r.body) n += part.length; return new Response(String(n))`,
		"transform": `return new Response(r.body.pipeThrough(new TransformStream({ transform(part, c) { c.enqueue(part) } })))`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { async fetch(r) { `+code+` } }`)
			chunk := bytes.Repeat([]byte("x"), 64<<10)
			chunks := make([][]byte, 2048) // 128 MiB
			for k := range chunks {
				chunks[k] = chunk
			}
			u := begin(t, isolate, 1, post, -1, chunks...)
			var most uint64
			for !u.ended {
				u.step()
				u.give()
				u.body = u.body[:min(len(u.body), 20)]
				most = max(most, isolate.Memory().External)
			}
			t.Logf("at most %d KiB outside the heap", most>>10)
			if most > 16<<20 {
				t.Errorf("at most %d MiB outside the heap", most>>20)
			}
		})
	}
}

// Reading a body that streams calls nothing that the app may have patched.
func TestBodiesDoWithoutPatchedBuiltIns(t *testing.T) {
	hostile, err := os.ReadFile("../webapi/testdata/hostile.js")
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]string{
		"text":        `await r.text()`,
		"json":        `await r.json()`,
		"bytes":       `await r.bytes()`,
		"blob":        `await r.blob()`,
		"arrayBuffer": `await r.arrayBuffer()`,
		"reader":      `const reader = r.body.getReader(); while (!(await reader.read()).done);`,
		"byob":        `const reader = r.body.getReader({ mode: "byob" }); for (;;) { const { done, value } = await reader.read(new Uint8Array(100)); if (done) break; }`,
		"cancel":      `const reader = r.body.getReader(); await reader.read(); await reader.cancel()`,
		"clone":       `const c = r.clone(); await r.text(); await c.text()`,
		"pass":        `answer = new Response(r.body)`,
		"transform":   `answer = new Response(r.body.pipeThrough(new TransformStream()))`,
		"identity":    `answer = new Response(r.body.pipeThrough(new FixedLengthStream(20_009)))`,
		"fixed":       `answer = new Response(r.body.pipeThrough(new FixedLengthStream(20_009), { preventAbort: true }))`,
	} {
		t.Run(name, func(t *testing.T) {
			lockThread(t)
			app, err := resolve(t, AppOptions{}, "app.js", `import { startWatching, stopWatching } from "./hostile.js";
				export default { async fetch(r) { let answer; startWatching(); try { `+code+` } catch (e) { return new Response("threw " + e.message) }
					return answer ?? new Response(stopWatching() || "clean") } }; export const stop = stopWatching;`, "hostile.js", string(hostile))
			if err != nil {
				t.Fatal(err)
			}
			isolate, err := startOn(app, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer isolate.Dispose()
			data := []byte(`{"a":"` + strings.Repeat("x", 20_000) + `"} `)
			u := begin(t, isolate, 1, post, int64(len(data)), pieces(data, 5000)...).run()
			switch name {
			case "pass", "identity":
				if u.answer.Source == 0 {
					t.Errorf("%+v", u.answer)
				}
			case "transform", "fixed":
				if u.failed || len(u.body) != len(data) {
					t.Errorf("%d bytes, failed %v, log %s", len(u.body), u.failed, u.log.String())
				}
			default:
				if string(u.body) != "clean" {
					t.Errorf("%s, log %s", u.body, u.log.String())
				}
			}
		})
	}
}

// Nothing stays behind of a body, however it has ended.
func TestBodiesLeaveNothingBehind(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r, env, ctx) {
		switch (new URL(r.url).pathname) {
			case "/text": return new Response(await r.text());
			case "/ignored": return new Response("x");
			case "/touched": r.body; return new Response("x");
			case "/half": { const reader = r.body.getReader(); await reader.read(); return new Response("x") }
			case "/cancel": await r.body.cancel(); return new Response("x");
			case "/passed": return new Response(r.body);
			case "/pumped": return new Response(r.body.pipeThrough(new TransformStream()));
			case "/never": r.text().catch(() => {}); await new Promise(() => {});
			case "/clone": { const c = r.clone(); await c.text(); return new Response(await r.text()) }
		} } }`)
	run := func(path string, fault Fault) {
		u := begin(t, isolate, 1, strings.Replace(post, "/", path, 1), -1, bytes.Repeat([]byte("x"), 3000), bytes.Repeat([]byte("x"), 5000))
		u.fault = fault
		if path == "/never" {
			u.hangs = true
			u.step()
			u.give()
			u.step()
			isolate.AddGone(1)
		}
		u.run()
	}
	rounds := func(count int) {
		for range count {
			for _, path := range []string{"/text", "/ignored", "/touched", "/half", "/cancel", "/passed", "/pumped", "/never", "/clone"} {
				run(path, FaultNone)
				run(path, FaultNetwork)
			}
		}
		isolate.Collect()
		isolate.Collect()
	}
	rounds(100) // most of the code is compiled by then
	const most = 100 << 10
	for what, read := range map[string]func() uint64{
		"heap":    func() uint64 { return isolate.Memory().HeapUsed },
		"buffers": func() uint64 { return isolate.Memory().External },
	} {
		if grown := leastGrowth(func() uint64 { rounds(200); return read() }, most); grown > most {
			t.Errorf("%s: %d KiB more after 200 rounds", what, grown>>10)
		}
	}
}

// Whatever comes when, a request with a body ends, and nothing of ours goes wrong.
func TestBodiesSurviveAnyOrderOfEvents(t *testing.T) {
	ways := []string{
		`return new Response(r.body)`, `const c = r.clone(); c.text().catch(() => {}); return new Response(r.body)`,
		`const [a, b] = r.body.tee(); b.getReader().read().catch(() => {}); return new Response(a)`,
		`return new Response(r.body.pipeThrough(new IdentityTransformStream()))`,
		`const reader = r.body.getReader(); reader.read().catch(() => {}); await reader.cancel(); return new Response("x")`,
		`const reader = r.body.getReader(); reader.read().catch(() => {}); reader.releaseLock(); return new Response(await r.text())`,
		`const reader = r.body.getReader({ mode: "byob" }); const p = reader.read(new Uint8Array(3000), { min: 2000 }); reader.releaseLock();
			await p.catch(() => {}); return new Response(r.body)`,
		`const s = new TransformStream(); r.body.pipeTo(s.writable).catch(() => {}); const reader = s.readable.getReader(); await reader.read();
			await reader.cancel("enough"); return new Response("x")`,
		`ctx.waitUntil(r.text()); return new Response("x")`,
		`const c = new AbortController(); setTimeout(() => c.abort(), 1); await r.body.pipeTo(new WritableStream(), { signal: c.signal }); return new Response("x")`,
	}
	for _, code := range readers {
		ways = append(ways, `return new Response(await (async () => { `+code+` })())`)
	}
	source := decodeHelper + "const ways = [\n"
	for _, code := range ways {
		source += "async (r, env, ctx) => { " + code + " },\n"
	}
	source += `]; export default { fetch(r, env, ctx) { return ways[+new URL(r.url).pathname.slice(1)](r, env, ctx) } }`
	isolate := startApp(t, unlimited, source)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		way := round % len(ways)
		var chunks [][]byte
		for range random.IntN(5) {
			chunks = append(chunks, bytes.Repeat([]byte("x"), 1+random.IntN(20_000)))
		}
		u := begin(t, isolate, uint32(round), strings.Replace(post, "/", "/"+strconv.Itoa(way), 1), -1, chunks...)
		u.hangs = random.IntN(4) == 0
		u.fault = Fault(max(0, random.IntN(12)-5))
		goneAt := random.IntN(8)
		for step := 0; !u.ended; step++ {
			if step > 1000 {
				t.Fatalf("round %d does not end: %s", round, ways[way])
			}
			u.step()
			if step == goneAt && !u.ended || u.hangs && step == 8 && !u.ended {
				isolate.AddGone(u.id)
				if u.asked > 0 && !u.isOver { // the loop ends a body that is being read
					u.isOver = true
					isolate.AddEnd(BodyHandle(u.id), FaultAborted, []byte("gone"))
				}
			}
			if random.IntN(2) == 0 {
				u.give()
			}
		}
		if log := u.log.String(); strings.Contains(log, "internal") || strings.Contains(log, "nano:") {
			t.Fatalf("round %d: %s: %s", round, ways[way], log)
		}
	}
}

func TestReadersBringBuffersOfElements(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) {
		const reader = r.body.getReader({ mode: "byob" }); let bytes = 0, sum = 0;
		try {
			for (;;) { const { done, value } = await reader.read(new Uint32Array(100), { min: 10 });
				if (value.length < 10 && bytes + value.byteLength < 4000) throw new Error("too few: " + value.length);
				bytes += value.byteLength; for (const word of value) sum += word; // the rest may come with the end
				if (done) break; }
		} catch (error) { return new Response(error.name) }
		return new Response(bytes + " " + sum) } }`)
	data := bytes.Repeat([]byte{1, 0, 0, 0}, 1000)
	for _, size := range []int{1, 3, 4, 39, 40, 41, 399, 401, 3999, 4000} {
		if u := begin(t, isolate, 1, post, -1, pieces(data, size)...).run(); string(u.body) != "4000 1000" {
			t.Errorf("pieces of %d: %s", size, u.body)
		}
	}
	if u := begin(t, isolate, 1, post, -1, pieces(data[:3998], 100)...).run(); string(u.body) != "TypeError" {
		t.Errorf("half an element: %s", u.body)
	}
}

// What comes for a body makes no garbage in Go.
func TestBodiesAllocateNothing(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) { for await (const part of r.body); return new Response("x") } }`)
	u := begin(t, isolate, 1, post, -1)
	u.hangs = true
	u.step()
	for _, size := range []int{10, 4000, 4096, 60_000} {
		data := make([]byte, size)
		pass := func() {
			isolate.AddData(BodyHandle(1), data, DataBytes)
			if err := isolate.Turn(); err != nil {
				t.Fatal(err)
			}
			for _, ok := isolate.Next(); ok; _, ok = isolate.Next() {
			}
		}
		pass()
		if allocations := testing.AllocsPerRun(200, pass); allocations != 0 {
			t.Errorf("%d bytes: %v allocations", size, allocations)
		}
	}
}
