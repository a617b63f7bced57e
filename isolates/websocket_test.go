package isolates

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const upgrade = "GET / HTTP/1.1\nHost: app.test\nConnection: Upgrade\nUpgrade: websocket\n\n"

// serving is a handler that answers with the first end of a pair; `body` has the other, `server`.
func serving(body string) string {
	return `export default { async fetch(request, env, ctx) {
		const [client, server] = Object.values(new WebSocketPair());
		const say = (event) => console.log([event.type, event.data ?? event.code ?? event.message, event.reason, event.wasClean].join());
		for (const type of ["message", "close", "error"]) server.addEventListener(type, say);
		` + body + `
		return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": "chat" } });
	} }`
}

// upgraded makes a request and returns the handle of the WebSocket that answers it, which is not open yet.
func upgraded(t *testing.T, isolate *Isolate, id uint32) (handle int32, rest []Record) {
	t.Helper()
	request(t, isolate, id, upgrade)
	records := turn(t, isolate)
	opened, answer := theOne(t, records, KindOpen), theOne(t, records, KindRespond)
	if opened.What != WhatUpgrade || answer.Status != 101 || answer.Source != opened.Handle || !answer.Pending ||
		answer.Streaming || !answer.NoBody {
		t.Fatalf("got %+v and %+v", opened, answer)
	}
	for _, record := range records {
		if record.Kind != KindOpen && record.Kind != KindRespond {
			rest = append(rest, record)
		}
	}
	return opened.Handle, rest
}

// described lists what matters of records of handles.
func described(records []Record) string {
	var list []string
	for _, record := range records {
		switch record.Kind {
		case KindRead:
			list = append(list, fmt.Sprintf("read %d", record.Number))
		case KindWrite:
			list = append(list, fmt.Sprintf("write %d %.20s", record.Flags, record.Body))
		case KindFinish:
			list = append(list, fmt.Sprintf("finish %d %s", record.Status, record.Target))
		case KindCancel:
			list = append(list, fmt.Sprintf("cancel %d", record.Flags))
		case KindSettled:
			list = append(list, "settled")
		case KindLog:
			list = append(list, fmt.Sprintf("log %s", record.Body))
		default:
			list = append(list, fmt.Sprintf("kind %d", record.Kind))
		}
	}
	return strings.Join(list, "; ")
}

func expect(t *testing.T, isolate *Isolate, want string) []Record {
	t.Helper()
	records := turn(t, isolate)
	if got := described(records); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	return records
}

func TestWebSocketServer(t *testing.T) {
	perRequest(t, serving(`
		server.accept();
		server.addEventListener("message", ({ data }) => server.send(data));
	`), func(t *testing.T, isolate *Isolate) {
		handle, rest := upgraded(t, isolate, 5)
		if len(rest) != 0 {
			t.Errorf("before it is open: %s", described(rest))
		}
		isolate.AddOpened(handle, []byte("chat\npermessage-deflate"))
		expect(t, isolate, "read 262144")
		isolate.AddData(handle, []byte("h\u20ac"), DataText)
		isolate.AddData(handle, []byte{1, 2}, DataBinary)
		expect(t, isolate, "log message,h\u20ac,,; write 1 h\u20ac; log message,[object ArrayBuffer],,; write 2 \x01\x02")
		isolate.AddClosed(handle, 4000, []byte("w\u00e9"), true)
		expect(t, isolate, "log close,4000,w\u00e9,true; settled")
	})
}

// What a message leaves behind runs before the next one.
func TestWebSocketMessagesAreTasks(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`
		server.accept();
		server.addEventListener("message", async ({ data }) => { await null; await null; console.log("later " + data); });
	`))
	handle, _ := upgraded(t, isolate, 1)
	isolate.AddOpened(handle, []byte("\n"))
	turn(t, isolate)
	isolate.AddData(handle, []byte("1"), DataText)
	isolate.AddData(handle, []byte("2"), DataText)
	expect(t, isolate, "log message,1,,; log later 1; log message,2,,; log later 2")
}

// Nothing goes out before the connection has been taken over; then all does, in order.
func TestWebSocketServerSpeaksFirst(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`
		server.accept();
		server.send("one");
		const bytes = new Uint8Array([1]);
		server.send(bytes);
		bytes[0] = 2;
		console.log(server.bufferedAmount);
		if (request.url.endsWith("close")) server.close(1001, "bye");
	`))
	handle, rest := upgraded(t, isolate, 1)
	if described(rest) != "log 4" {
		t.Errorf("before: %s", described(rest))
	}
	isolate.AddOpened(handle, []byte("\n"))
	expect(t, isolate, "write 1 one; write 2 \x01; read 262144")
	isolate.AddClosed(handle, 1006, nil, false)
	expect(t, isolate, "log close,1006,,false; settled")

	request(t, isolate, 2, strings.Replace(upgrade, "/ ", "/close ", 1))
	opened := theOne(t, turn(t, isolate), KindOpen)
	isolate.AddOpened(opened.Handle, []byte("\n"))
	expect(t, isolate, "write 1 one; write 2 \x01; finish 1001 bye; read 262144")
	isolate.AddClosed(opened.Handle, 1001, []byte("bye"), true)
	expect(t, isolate, "log close,1001,bye,true; settled")
}

func TestWebSocketServerAcceptsLate(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`setTimeout(() => server.accept(), 1);`))
	handle, rest := upgraded(t, isolate, 1)
	timer := theOne(t, rest, KindTimerSet)
	isolate.AddOpened(handle, []byte("\n"))
	expect(t, isolate, "")
	isolate.AddTimer(timer.ID)
	expect(t, isolate, "read 262144")
}

// Responses that go on for long keep their requests, but not the records of others that lie beside them.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const sockets = 200
	for name, source := range map[string]string{
		"WebSocket": serving(`
			if (request.url.endsWith("idle")) return new Response();
			server.accept();
			server.addEventListener("message", () => console.log(ctx.remoteAddress));`),
		"stream": `let ask; export default { fetch(request, env, ctx) {
			if (request.url.endsWith("idle")) return new Response();
			if (request.url.endsWith("ask")) ask();
			ask = () => console.log(ctx.remoteAddress, request.url, request.headers.get("upgrade"), request.signal.aborted);
			return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(5)); } }));
		} }`,
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, source)
			id := uint32(0)
			open := func() (handle int32) {
				id++
				request(t, isolate, id, upgrade)
				for range 100 { // between them come requests that have nothing to do with it
					request(t, isolate, 1000, "GET /idle HTTP/1.1\nHost: app.test\nX-Long: "+strings.Repeat("x", 1000)+"\n\n")
				}
				for _, record := range turn(t, isolate) {
					switch record.Kind {
					case KindOpen:
						handle = record.Handle
						isolate.AddOpened(handle, []byte("\n"))
					case KindChunk:
						isolate.AddSent(record.ID)
					}
				}
				turn(t, isolate)
				return handle
			}
			for range 20 {
				open()
			}
			before := used(isolate)
			var handle int32
			for range sockets {
				handle = open()
			}
			if each := (used(isolate) - before) / sockets; each > 8<<10 {
				t.Errorf("%d bytes each", each)
			}
			if name == "WebSocket" {
				isolate.AddData(handle, []byte("x"), DataText)
			} else {
				request(t, isolate, 2000, "GET /ask HTTP/1.1\nHost: app.test\n\n")
			}
			want := "192.0.2.1:1234"
			if name == "stream" {
				want += " http://app.test/ websocket false"
			}
			if records := turn(t, isolate); !strings.Contains(logsOf(records), want) {
				t.Errorf("got %s", logsOf(records))
			}
		})
	}
}

// used is what an isolate's objects take, after a collection.
func used(isolate *Isolate) (bytes int64) {
	isolate.Collect()
	heap := isolate.Heap()
	for _, space := range heap.Spaces {
		bytes += space.Used
	}
	return bytes + heap.External
}

// The loop could not take the connection over, or it is gone.
func TestWebSocketServerThatFails(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`server.accept(); server.send("x");`))
	handle, _ := upgraded(t, isolate, 1)
	isolate.AddEnd(handle, FaultRefused, []byte("the client did not ask for a WebSocket"))
	expect(t, isolate, "log error,the client did not ask for a WebSocket,,; log close,1006,,false; settled")
}

// What is ahead of the loop is bounded; what waits leaves when it has caught up.
func TestWebSocketBackPressure(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`
		server.accept();
		server.addEventListener("message", () => {
			const chunk = new Uint8Array(20_000);
			for (let i = 0; i < 30; i++) server.send(chunk);
			console.log(server.bufferedAmount);
		});
	`))
	handle, _ := upgraded(t, isolate, 1)
	isolate.AddOpened(handle, []byte("\n"))
	turn(t, isolate)
	isolate.AddData(handle, []byte("go"), DataText)
	records := turn(t, isolate)
	count := func(records []Record) (writes, acks int) {
		for _, record := range records {
			if record.Kind == KindWrite {
				writes++
				acks += int(record.Flags >> 2 & 1)
			}
		}
		return writes, acks
	}
	if writes, acks := count(records); writes != 14 || acks != 1 || !strings.Contains(logsOf(records), "600000") {
		t.Errorf("%d writes, %d acknowledgements wished; %s", writes, acks, logsOf(records))
	}
	isolate.AddWritten(handle)
	if writes, acks := count(turn(t, isolate)); writes != 14 || acks != 1 {
		t.Errorf("then %d writes, %d", writes, acks)
	}
	isolate.AddWritten(handle)
	if writes, acks := count(turn(t, isolate)); writes != 2 || acks != 1 {
		t.Errorf("at last %d writes, %d", writes, acks)
	}
	isolate.AddWritten(handle)
	expect(t, isolate, "")
}

// The window opens again as messages are taken.
func TestWebSocketWindow(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`server.accept();`))
	handle, _ := upgraded(t, isolate, 1)
	isolate.AddOpened(handle, []byte("\n"))
	turn(t, isolate)
	granted, used := int64(262144), int64(0)
	message := make([]byte, 50_000)
	for range 40 {
		isolate.AddData(handle, message, DataBinary)
		used += int64(len(message))
		for _, record := range turn(t, isolate) {
			if record.Kind == KindRead {
				granted += record.Number
			}
		}
		if ahead := granted - used; ahead < 100_000 || ahead > 262144 {
			t.Fatalf("%d bytes are welcome after %d", ahead, used)
		}
	}
}

func TestUnsendableWebSockets(t *testing.T) {
	for name, c := range map[string]struct{ handler, want string }{
		"accepted": {`const pair = new WebSocketPair(); pair[0].accept(); return new Response(null, { status: 101, webSocket: pair[0] })`,
			"a WebSocket on which accept() was called; pass the other one of the pair"},
		"twice": {`const pair = globalThis.kept ??= new WebSocketPair(); return new Response(null, { status: 101, webSocket: pair[0] })`,
			"a WebSocket that was already used in a response"},
		"client": {`const socket = new WebSocket("ws://host/"); return new Response(null, { status: 101, webSocket: socket })`,
			"a WebSocket that new WebSocket() has made"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startApp(t, unlimited, `export default { fetch() { `+c.handler+` } }`)
			request(t, isolate, 1, upgrade)
			answer := theOne(t, turn(t, isolate), KindRespond)
			if answer.Status == 101 {
				request(t, isolate, 2, upgrade)
				answer = theOne(t, turn(t, isolate), KindRespond)
			}
			if want := "nano: test: fetch() returned " + c.want; answer.Status != 500 || string(answer.Body) != want {
				t.Errorf("got %d %s, want %s", answer.Status, answer.Body, want)
			}
		})
	}
}

// The client went away while the handler was at work: the other end hears of it.
func TestWebSocketOfAResponseThatNobodyGets(t *testing.T) {
	isolate := startApp(t, unlimited, serving(`server.accept(); await new Promise((resolve) => setTimeout(resolve, 1));`))
	request(t, isolate, 1, upgrade)
	timer := theOne(t, turn(t, isolate), KindTimerSet)
	isolate.AddGone(1)
	theOne(t, turn(t, isolate), KindRespond)
	isolate.AddTimer(timer.ID)
	if records := turn(t, isolate); !strings.Contains(logsOf(records), "close,1006,,false") || len(records) != 1 {
		t.Errorf("got %s", described(records))
	}
}

// relayed makes a request to an app that passes a WebSocket of fetch() on to its client, and opens both ends.
func relayed(t *testing.T) (isolate *Isolate, upstream, client int32) {
	t.Helper()
	isolate = startApp(t, unlimited, `export default { fetch(request) { return fetch("http://origin/ws", request) } }`)
	request(t, isolate, 1, upgrade)
	opened := theOne(t, turn(t, isolate), KindOpen)
	if opened.What != WhatWebSocket || opened.Flags != OpenUpgrade|OpenManualRedirect || string(opened.Target) != "GET http://origin/ws" {
		t.Fatalf("got %+v %s", opened, opened.Target)
	}
	o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
	o.send(&object{record: opened}, &Response{Handle: opened.Handle, Status: 101, NullBody: true},
		"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n")
	isolate.AddOpened(opened.Handle, []byte("chat\n"))
	records := turn(t, isolate)
	answer := theOne(t, records, KindRespond)
	if answer.Status != 101 || answer.Source == opened.Handle || answer.Source == 0 {
		t.Fatalf("got %+v", answer)
	}
	isolate.AddOpened(answer.Source, []byte("chat\n"))
	turn(t, isolate)
	return isolate, opened.Handle, answer.Source
}

func TestWebSocketsArePassedOn(t *testing.T) {
	isolate, upstream, client := relayed(t)
	isolate.AddData(client, []byte("up"), DataText)
	isolate.AddData(upstream, []byte("down"), DataBinary)
	records := expect(t, isolate, "write 1 up; write 2 down")
	if records[0].Handle != upstream || records[1].Handle != client {
		t.Errorf("got %+v", records)
	}
	isolate.AddClosed(client, 4005, []byte("enough"), true)
	if records := expect(t, isolate, "finish 4005 enough; settled"); records[0].Handle != upstream {
		t.Errorf("got %+v", records)
	}
	isolate.AddClosed(upstream, 4005, []byte("enough"), true)
	expect(t, isolate, "")
}

func TestWebSocketsThatArePassedOnAreLost(t *testing.T) {
	isolate, upstream, client := relayed(t)
	isolate.AddClosed(upstream, 1006, nil, false)
	if records := expect(t, isolate, "finish 1011 "); records[0].Handle != client {
		t.Errorf("got %+v", records)
	}
	isolate.AddClosed(client, 1011, nil, true)
	expect(t, isolate, "settled")
}

// One side reads slowly: the other's window stays closed.
func TestRelaysHaveBackPressure(t *testing.T) {
	isolate, upstream, client := relayed(t)
	message := make([]byte, 60_000)
	granted, written := 0, 0
	for range 8 {
		isolate.AddData(upstream, message, DataBinary)
		for _, record := range turn(t, isolate) {
			switch {
			case record.Kind == KindRead && record.Handle == upstream:
				granted++
			case record.Kind == KindWrite && record.Handle == client:
				written++
			}
		}
	}
	if written != 5 || granted != 1 { // 256 KiB are ahead at most
		t.Errorf("%d written, window opened %d times", written, granted)
	}
	isolate.AddWritten(client)
	if records := turn(t, isolate); kinds(records) != "11 11 11 9" {
		t.Errorf("got %s", described(records))
	}
}

// There is no end to the messages of a WebSocket: each, and each timer, has the limits of a request for itself.
func TestWebSocketEventsHaveLimitsOfTheirOwn(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, Options{Wake: -1, CPULimit: 60 * time.Millisecond}, spin+serving(`
		server.accept();
		server.addEventListener("message", ({ data }) => {
			spin(data === "long" ? 1000 : 15);
			fetch("http://origin/");
			if (data === "timer") setTimeout(() => spin(15));
		});
	`))
	handle, _ := upgraded(t, isolate, 1)
	isolate.AddOpened(handle, []byte("\n"))
	turn(t, isolate)
	calls := 0
	for i := range 12 {
		isolate.AddData(handle, []byte("timer"), DataText)
		for _, record := range turn(t, isolate) {
			switch record.Kind {
			case KindTimerSet:
				isolate.AddTimer(record.ID)
			case KindOpen:
				calls++
			}
		}
		turn(t, isolate)
		if calls != i+1 {
			t.Fatalf("%d calls of fetch() after %d messages", calls, i+1)
		}
	}
	isolate.AddData(handle, []byte("long"), DataText)
	if err := isolate.Turn(); !errors.Is(err, ErrCPULimit) {
		t.Errorf("one message without end: %v", err)
	}
}
