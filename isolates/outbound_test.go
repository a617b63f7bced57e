package isolates

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nano/http1"
)

// outside plays the loop for an isolate: origins, sockets and WebSockets that answer as the paths and hosts
// below say. Apps of webapi/testdata/*_io.js talk to it.
//
//	http://origin/echo         JSON of the request as it came
//	http://origin/status/N     an empty response with that status
//	http://origin/null         a response with a null body
//	http://origin/stream/N     N chunks of 10,000 bytes, as the window allows
//	http://origin/break        one chunk, then a fault
//	http://origin/hang         a response whose body never goes on
//	http://origin/never        no answer
//	http://origin/fault/N      fault N, with the text "fault N"
//	http://origin/redirected   a response that says it is another URL's
//	http://origin/encoded      a body with a content coding that streams
//	http://origin/seen         JSON of what came for handles so far: {canceled, aborted, open}
//	http://origin/events/...   server-sent events, see events
type outside struct {
	t       *testing.T
	isolate *Isolate
	objects map[int32]*object
	log     strings.Builder

	canceled, aborted int
	connections       int // to /events
	lastEventID       string
}

// object is what a handle names.
type object struct {
	record  Record
	target  []string // method and URL, or more
	body    []byte   // what came of the body
	writes  int
	unread  []string // chunks of the response that wait for the window
	window  int64
	fault   Fault // how the response ends
	stays   bool  // it does not end
	isOpen  bool  // of a socket
	failed  bool  // FinishFailed
	whole   bool  // the request's body is
	decoded bool
}

// run makes a request and turns, playing everything, until it is answered and nothing is left to do.
func (o *outside) run(id uint32, text string) Record {
	o.t.Helper()
	request(o.t, o.isolate, id, text)
	var answered *Record
	for range 10_000 {
		busy := false
		for _, record := range turn(o.t, o.isolate) {
			switch record.Kind {
			case KindRespond:
				if record.ID == id {
					answered = &record
				}
			case KindTimerSet:
				o.isolate.AddTimer(record.ID)
				busy = true
			case KindLog:
				fmt.Fprintf(&o.log, "%s\n", record.Body)
			case KindOpen, KindRead, KindCancel, KindWrite, KindFinish:
				o.take(record)
				busy = true
			}
		}
		if !busy {
			break
		}
	}
	if answered == nil {
		o.t.Fatalf("no answer to %.60q; log: %s", text, o.log.String())
	}
	return *answered
}

// take does what a record of a handle asks for.
func (o *outside) take(record Record) {
	if record.Kind == KindOpen {
		o.open(record)
		return
	}
	of := o.objects[record.Handle]
	if of == nil {
		return // it has ended meanwhile
	}
	switch record.Kind {
	case KindRead:
		of.window += record.Number
		of.decoded = record.Flags&ReadDecoded != 0
		o.feed(of)
	case KindCancel:
		o.canceled++
		if record.Flags&CancelAll != 0 {
			o.aborted++
		} else if of.record.What == WhatTCP {
			return // the other side goes on
		}
		delete(o.objects, record.Handle)
	case KindWrite:
		o.write(of, record)
	case KindFinish:
		of.failed = record.Flags&FinishFailed != 0
		of.whole = true
		o.finish(of, record)
	}
}

func (o *outside) open(record Record) {
	of := &object{record: record, target: strings.Fields(string(record.Target)), body: record.Body}
	o.objects[record.Handle] = of
	switch record.What {
	case WhatFetch, WhatService, WhatAssets:
		if record.Flags&OpenBodyFollows == 0 {
			o.respond(of)
		}
	case WhatTCP:
		of.stays = true
		o.connect(of)
	case WhatWebSocket, WhatUpgrade:
		of.stays = true
		o.openWebSocket(of)
	}
}

func (o *outside) write(of *object, record Record) {
	of.writes++
	switch of.record.What {
	case WhatTCP:
		o.receive(of, record.Body)
		o.isolate.AddWritten(of.record.Handle)
	case WhatWebSocket, WhatUpgrade:
		o.message(of, record)
	default:
		of.body = append(of.body, record.Body...)
		o.isolate.AddWritten(of.record.Handle)
	}
}

func (o *outside) finish(of *object, record Record) {
	switch of.record.What {
	case WhatTCP:
		o.isolate.AddEnd(of.record.Handle, FaultNone, nil)
		delete(o.objects, of.record.Handle)
	case WhatWebSocket, WhatUpgrade:
		o.isolate.AddClosed(of.record.Handle, cmpOr(record.Status, 1005), record.Target, true)
		delete(o.objects, of.record.Handle)
	default:
		if !of.failed {
			o.respond(of)
		}
	}
}

func cmpOr(code, otherwise uint16) uint16 {
	if code == 0 {
		return otherwise
	}
	return code
}

// respond answers a fetch as its path says.
func (o *outside) respond(of *object) {
	url := of.target[len(of.target)-1]
	_, rest, _ := strings.Cut(url, "://")
	_, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "?")
	name, argument, _ := strings.Cut(path, "/")
	number, _ := strconv.Atoi(argument)
	response := Response{Handle: of.record.Handle, Status: 200}
	head := "content-type: text/plain\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"
	switch name {
	case "echo":
		response.Body = o.echo(of)
	case "status":
		response.Status, response.Reason = number, []byte("Reason")
	case "null":
		response.Status, response.NullBody = 204, true
	case "stream", "break", "hang", "encoded":
		response.Streams = true
		of.unread = make([]string, max(number, 1))
		for i := range of.unread {
			of.unread[i] = strings.Repeat(string(rune('a'+i%26)), 10_000)
		}
		of.stays = name == "hang"
		if name == "break" {
			of.fault = FaultNetwork
		}
		if name == "encoded" {
			response.Encoded = true
			head += "content-encoding: gzip\r\ncontent-length: 20\r\n"
		}
	case "never":
		return
	case "fault":
		o.isolate.AddEnd(of.record.Handle, Fault(number), []byte("fault "+argument))
		delete(o.objects, of.record.Handle)
		return
	case "redirected":
		response.URL, response.Redirected = []byte("http://other/place"), true
		response.Body = []byte("there")
	case "seen":
		response.Body, _ = json.Marshal(map[string]int{"canceled": o.canceled, "aborted": o.aborted, "open": len(o.objects) - 1})
	case "events":
		o.events(of, &response, argument)
		head = "content-type: text/event-stream; charset=utf-8\r\n"
	}
	o.send(of, &response, head)
}

func (o *outside) send(of *object, response *Response, head string) {
	text := []byte(fmt.Sprintf("HTTP/1.1 %d x\r\n%s\r\n", response.Status, head))
	var parsed http1.Head
	if err := parsed.ParseResponse(text, len(text)); err != nil {
		o.t.Fatalf("%q: %v", text, err)
	}
	response.Head, response.Fields = text, parsed.Fields
	o.isolate.AddResponse(response)
	if response.Streams {
		o.feed(of)
	} else if response.Status != 101 {
		delete(o.objects, of.record.Handle)
	}
}

// feed gives what the window allows of a body that streams, a chunk at a time.
func (o *outside) feed(of *object) {
	handle := of.record.Handle
	for len(of.unread) > 0 && of.window > 0 {
		chunk := of.unread[0]
		if int64(len(chunk)) > of.window {
			chunk = chunk[:of.window]
		}
		of.unread[0] = of.unread[0][len(chunk):]
		if of.unread[0] == "" {
			of.unread = of.unread[1:]
		}
		of.window -= int64(len(chunk))
		o.isolate.AddData(handle, []byte(chunk), DataBytes)
	}
	if len(of.unread) == 0 && !of.stays {
		o.isolate.AddEnd(handle, of.fault, []byte("the origin broke off"))
		delete(o.objects, handle)
	}
}

func (o *outside) echo(of *object) []byte {
	record := &of.record
	described, err := json.Marshal(map[string]any{
		"what": record.What, "target": string(record.Target), "head": string(record.Head), "body": string(of.body),
		"hasBody": record.Flags&OpenHasBody != 0, "follows": record.Flags&OpenBodyFollows != 0,
		"manual": record.Flags&OpenManualRedirect != 0, "error": record.Flags&OpenErrorRedirect != 0,
		"length": lengthOf(record), "writes": of.writes, "source": record.Source,
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return described
}

func lengthOf(record *Record) int64 {
	if record.Flags&OpenFixedLength == 0 {
		return -1
	}
	return record.Number
}

// events answers as a server of events: a first stream that ends, a second that goes on from the last event,
// then none any more.
func (o *outside) events(of *object, response *Response, argument string) {
	o.connections++
	o.lastEventID = ""
	for line := range strings.SplitSeq(string(of.record.Head), "\r\n") {
		if id, ok := strings.CutPrefix(line, "last-event-id: "); ok {
			o.lastEventID = id
		}
	}
	response.Streams = true
	switch {
	case argument == "none":
		response.Status, response.Streams, response.NullBody = 204, false, true
	case o.lastEventID == "":
		of.unread = []string{"\ufeffdata: fir", "st\r\ndata:second\r", "\nid: 1\n\n: comment\nretry: 10\n",
			"event: named\ndata\rdata:  two\r\rid: 2\ndata: \u20ac\n\ndata: cut off"}
	default:
		of.unread = []string{"data: after " + o.lastEventID + "\n\n"}
		of.stays = true
	}
}

// connect opens a TCP socket, by its host: "refused:1" is refused, "silent:1" is never open, all others echo.
func (o *outside) connect(of *object) {
	handle := of.record.Handle
	host, _, _ := strings.Cut(of.target[0], ":")
	switch host {
	case "refused":
		o.isolate.AddEnd(handle, FaultNetwork, []byte("connect to refused:1: connection refused"))
		delete(o.objects, handle)
	case "silent":
	default:
		delete(o.objects, of.record.Source)
		of.isOpen = true
		o.isolate.AddOpened(handle, fmt.Appendf(nil, "192.0.2.9:%d\n127.0.0.1:5\nh%d", of.record.Flags, of.record.Source))
	}
}

// receive echoes what was written to a socket, when the window allows it; "bye" ends the other side.
func (o *outside) receive(of *object, data []byte) {
	if string(data) == "bye" {
		of.unread, of.stays = nil, false
	} else {
		of.unread, of.stays = append(of.unread, string(data)), true
	}
	o.feed(of)
}

// openWebSocket opens one, unless its URL says "refused".
func (o *outside) openWebSocket(of *object) {
	handle := of.record.Handle
	if of.record.What == WhatUpgrade {
		o.isolate.AddOpened(handle, []byte("\npermessage-deflate"))
		return
	}
	if strings.Contains(of.target[1], "refused") {
		o.isolate.AddEnd(handle, FaultRefused, []byte("the server answered with status 403"))
		delete(o.objects, handle)
		return
	}
	protocol := ""
	for line := range strings.SplitSeq(string(of.record.Head), "\r\n") {
		if list, ok := strings.CutPrefix(line, "sec-websocket-protocol: "); ok {
			protocol, _, _ = strings.Cut(list, ",")
		}
	}
	if strings.Contains(of.target[1], "other-protocol") {
		protocol = "other"
	}
	if of.record.Flags&OpenUpgrade != 0 {
		o.send(of, &Response{Handle: handle, Status: 101, NullBody: true}, "upgrade: websocket\r\n")
	}
	o.isolate.AddOpened(handle, []byte(protocol+"\n"))
}

// message echoes a message of a WebSocket; "close" closes it, "lose" loses it.
func (o *outside) message(of *object, record Record) {
	handle := of.record.Handle
	if record.Flags&WriteAck != 0 {
		o.isolate.AddWritten(handle)
	}
	switch string(record.Body) {
	case "close":
		o.isolate.AddClosed(handle, 4001, []byte("as asked"), true)
		delete(o.objects, handle)
	case "lose":
		o.isolate.AddClosed(handle, 1006, nil, false)
		delete(o.objects, handle)
	default:
		o.isolate.AddData(handle, record.Body, DataKind(record.Flags&3))
	}
}

// TestOutbound runs the self-checking apps that talk to the outside.
func TestOutbound(t *testing.T) {
	files, err := filepath.Glob("../webapi/testdata/*_io.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, "_io.js"), func(t *testing.T) {
			lockThread(t)
			isolate := startFile(t, name)
			o := &outside{t: t, isolate: isolate, objects: map[int32]*object{}}
			var tests []string
			listed := o.run(1, get)
			if err := json.Unmarshal(listed.Body, &tests); err != nil || len(tests) == 0 {
				t.Fatalf("no list of tests: %v: %s %s", err, listed.Body, o.log.String())
			}
			for i, test := range tests {
				o.log.Reset()
				got := o.run(uint32(i+2), platformRequest(test))
				if got.Status != 200 || string(got.Body) != "ok" {
					t.Errorf("%s: %d %s\n%s", test, got.Status, got.Body, o.log.String())
				}
			}
		})
	}
}
