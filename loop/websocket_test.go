package loop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"nano/isolates"
	"nano/uring/fakering"
)

const (
	upgradeHead = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	switchedHead = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
		"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)

// A socketWorld has an app that answers each request by a WebSocket, of which the test is the client. What
// the app was told is written down in told; messages are sent back if isEcho.
type socketWorld struct {
	*world
	isEcho   bool
	noWindow bool   // the app does not begin to read
	head     string // of its answers

	smallWindow bool             // the app reads as much as 100 bytes ahead
	ending      *isolates.Record // what it says of its sockets in its next turn; nil: nothing
	told        []string
	requests    map[int32]uint32 // ids of exchanges by handle
	handles     []int32
}

func newSocketWorld(t testing.TB, config fakering.Config, change func(o *Options)) *socketWorld {
	t.Helper()
	s := &socketWorld{isEcho: true, requests: map[int32]uint32{}}
	s.world = newWorld(t, config, func(o *Options) {
		o.Idle = time.Hour
		o.NewShard = shardOf(func(app int) (Worker, error) {
			worker := newFakeWorker("demo", s.answer)
			worker.onNews = s.hear
			worker.turn = func() { s.act(worker) }
			s.workers = append(s.workers, worker)
			return worker, nil
		})
		if change != nil {
			change(o)
		}
	})
	return s
}

func (s *socketWorld) answer(w *fakeWorker, r *fakeRequest) {
	if r.target == "/plain" {
		w.text(r.id, []byte("plain"))
		return
	}
	w.handles++
	s.requests[w.handles] = r.id
	s.handles = append(s.handles, w.handles)
	w.record(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatUpgrade, Handle: w.handles, Pending: true, Exchange: r.id})
	w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 101, Source: w.handles, Pending: true, NoBody: true, Head: []byte(s.head)})
}

func (s *socketWorld) hear(w *fakeWorker, news *fakeNews) {
	line := fmt.Sprintf("%s %d %s", news.what, news.number, news.text)
	if news.what == "closed" {
		line += fmt.Sprintf(" %v", news.clean)
	}
	s.told = append(s.told, line)
	switch news.what {
	case "opened":
		window := int64(256 << 10)
		if s.smallWindow {
			window = 100
		}
		if !s.noWindow {
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: window})
		}
	case "data":
		if s.isEcho {
			w.record(isolates.Record{Kind: isolates.KindWrite, Handle: news.handle, Flags: uint16(news.number), Body: []byte(news.text)})
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
		}
	case "closed", "end":
		s.forget(news.handle)
		w.record(isolates.Record{Kind: isolates.KindSettled, ID: s.requests[news.handle]})
	}
}

// forget takes a handle off those that are open.
func (s *socketWorld) forget(handle int32) {
	s.handles = slices.DeleteFunc(s.handles, func(h int32) bool { return h == handle })
}

// act ends the sockets that are open, if the test wishes so.
func (s *socketWorld) act(w *fakeWorker) {
	ending := s.ending
	if ending == nil {
		return
	}
	s.ending = nil
	for _, handle := range slices.Clone(s.handles) {
		ending.Handle = handle
		w.record(*ending)
		if ending.Kind == isolates.KindCancel {
			s.forget(handle)
			w.record(isolates.Record{Kind: isolates.KindSettled, ID: s.requests[handle]})
		}
	}
}

// do has the app bring out a record.
func (s *socketWorld) do(record isolates.Record) {
	worker := s.workers[0]
	if !worker.keepOut {
		worker.out, worker.keepOut, worker.next = worker.out[:0], true, 0
	}
	worker.record(record)
	s.loop.wantTurn(s.loop.apps[0])
	s.settle()
}

// ask is talk, without the dates.
func (s *socketWorld) ask(input string) (*fakering.Peer, string) {
	s.t.Helper()
	peer, got := s.talk(input)
	return peer, undated([]byte(got))
}

// undated leaves the date headers out of an answer.
func undated(answer []byte) string { return dateField.ReplaceAllString(string(answer), "") }

var dateField = regexp.MustCompile("(?m)^date: .*\r\n")

// connect opens a WebSocket with further lines in the head of its request.
func (s *socketWorld) connect(lines string) *fakering.Peer {
	s.t.Helper()
	peer, got := s.ask(upgradeHead + lines + "\r\n")
	if want := switchedHead + "\r\n"; got != want {
		s.t.Fatalf("got %q, want %q", got, want)
	}
	return peer
}

// said checks what the app was told since the last time.
func (s *socketWorld) said(want ...string) {
	s.t.Helper()
	if got := strings.Join(s.told, "\n"); got != strings.Join(want, "\n") {
		s.t.Errorf("the app was told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	s.told = s.told[:0]
}

// frame is a frame of a client, masked unless first has been tampered with by the caller.
func frame(first byte, payload string) string {
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b := append(frameHead(first, len(payload), 0x80), key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// serverFrame is a frame of a server.
func serverFrame(first byte, payload string) string {
	return string(frameHead(first, len(payload), 0)) + payload
}

func frameHead(first byte, n int, mask byte) []byte {
	switch {
	case n < 126:
		return []byte{first, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(n))
}

const (
	textFrame   = 0x81
	binaryFrame = 0x82
	closeFrame  = 0x88
	pingFrame   = 0x89
	pongFrame   = 0x8a
)

func closing(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

func TestWebSocketEcho(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer := s.connect("")
	s.said("opened 0 \n")
	peer.WriteString(frame(textFrame, "h\u20ac") + frame(pingFrame, "p") + frame(0x02, "one ") + frame(pongFrame, "") + frame(0x80, "two"))
	s.settle()
	if got, want := string(peer.Take()), serverFrame(pongFrame, "p")+serverFrame(textFrame, "h\u20ac")+serverFrame(binaryFrame, "one two"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.said("data 1 h\u20ac", "data 2 one two")
	peer.WriteString(frame(closeFrame, closing(4001, "bye")))
	s.settle()
	if got, want := string(peer.Take()), serverFrame(closeFrame, closing(4001, "bye")); got != want || !peer.Ended() {
		t.Errorf("got %q, want %q", got, want)
	}
	s.said("closed 4001 bye true")
	peer.Close()
	s.settle()
	if !peer.Closed() || s.loop.options.open.Load() != 0 {
		t.Error("the connection is open")
	}
}

// The frames lie in the same packets as the head, or come a byte at a time.
func TestWebSocketSplit(t *testing.T) {
	input := upgradeHead + "\r\n" + frame(textFrame, "early") + frame(binaryFrame, strings.Repeat("x", 300)) + frame(closeFrame, "")
	want := switchedHead + "\r\n" + serverFrame(textFrame, "early") + serverFrame(binaryFrame, strings.Repeat("x", 300)) + serverFrame(closeFrame, "")
	for step := 1; step <= len(input); step = step*3 + 1 {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.ring.Dial(s.listener)
		for i := 0; i < len(input); i += step {
			peer.WriteString(input[i:min(i+step, len(input))])
			s.settle()
		}
		if got := undated(peer.Take()); got != want {
			t.Fatalf("in steps of %d: got %q, want %q", step, got, want)
		}
		s.said("opened 0 \n", "data 1 early", "data 2 "+strings.Repeat("x", 300), "closed 1005  true")
		s.end()
	}
}

// Requests before that on the same connection are answered first.
func TestWebSocketAfterRequests(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	plain := "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
	peer, got := s.ask(plain + plain + upgradeHead + "\r\n" + frame(textFrame, "a"))
	answer := undated([]byte(okText("plain")))
	if want := answer + answer + switchedHead + "\r\n" + serverFrame(textFrame, "a"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	peer.Close()
	s.settle()
	s.said("opened 0 \n", "data 1 a", "closed 1006  false")
}

func TestWebSocketHandshakes(t *testing.T) {
	const refusal = "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\nsec-websocket-version: 13\r\n"
	refused := func(status, why string) string {
		upgrade := ""
		if status[:3] == "426" {
			upgrade = "upgrade: websocket\r\n"
		}
		return fmt.Sprintf("HTTP/1.1 %s\r\n%scontent-length: %d\r\n%s\r\n%s", status, refusal, len(why), upgrade, why)
	}
	for name, c := range map[string]struct{ old, new, want, body string }{
		"version":       {"-Version: 13", "-Version: 8", refused("426 Upgrade Required", "nano: demo: the only version of WebSockets here is 13"), ""},
		"two versions":  {"-Version: 13", "-Version: 13\r\nSec-WebSocket-Version: 13", refused("426 Upgrade Required", "nano: demo: the only version of WebSockets here is 13"), ""},
		"key":           {"jZQ==", "jZQ=", refused("400 Bad Request", "nano: demo: malformed Sec-WebSocket-Key"), ""},
		"no key":        {"Sec-WebSocket-Key", "X", refused("400 Bad Request", "nano: demo: malformed Sec-WebSocket-Key"), ""},
		"method":        {"GET", "PUT", refused("400 Bad Request", "nano: demo: a WebSocket needs a GET request of HTTP/1.1"), ""},
		"body":          {"\r\nUpgrade", "\r\nContent-Length: 3\r\nUpgrade", refused("400 Bad Request", "nano: demo: a request for a WebSocket has no body"), "abc"},
		"no upgrade":    {"Upgrade: WebSocket", "Upgrade: h2c", refused("426 Upgrade Required", "nano: demo: this is for WebSockets only"), ""},
		"no connection": {"keep-alive, Upgrade", "keep-alive", refused("426 Upgrade Required", "nano: demo: this is for WebSockets only"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSocketWorld(t, fakering.Config{}, nil)
			peer, got := s.ask(strings.Replace(upgradeHead, c.old, c.new, 1) + "\r\n" + c.body)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if len(s.told) != 1 || !strings.HasPrefix(s.told[0], "end 6 ") {
				t.Errorf("the app was told %q", s.told)
			}
			peer.WriteString("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
			s.settle()
			if got := undated(peer.Take()); got != undated([]byte(okText("plain"))) {
				t.Errorf("after that: got %q", got)
			}
			peer.Close()
		})
	}
}

// What is ours to say is not taken from the app; the rest is.
func TestWebSocketHeaders(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	s.head = "x-a: 1\r\nSec-WebSocket-Accept: x\r\nsec-websocket-protocol: chat\r\nconnection: close\r\nupgrade: x\r\nsec-websocket-extensions: y\r\n"
	_, got := s.ask(upgradeHead + "Sec-WebSocket-Protocol: chat, super\r\nSec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits\r\n\r\n")
	want := strings.Replace(switchedHead, "upgrade:", "x-a: 1\r\nsec-websocket-protocol: chat\r\nupgrade:", 1) +
		"sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.said("opened 0 chat\npermessage-deflate; server_no_context_takeover; client_no_context_takeover")
}

func TestWebSocketProtocolErrors(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		input string
		code  uint16
		why   string
	}{
		"unmasked":     {serverFrame(textFrame, "a"), 1002, "frame of a client without a mask"},
		"reserved":     {frame(0xc1, "a"), 1002, "a reserved bit is set"},
		"UTF-8":        {frame(textFrame, "a\xff"), 1007, "text is not UTF-8"},
		"too big":      {frame(binaryFrame, big+"x"), 1009, "message too big"},
		"continuation": {frame(0x80, "a"), 1002, "continuation of no message"},
		"close code":   {frame(closeFrame, closing(1006, "")), 1002, "invalid close code"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSocketWorld(t, fakering.Config{}, nil)
			peer := s.connect("")
			peer.WriteString(c.input + frame(textFrame, "not heard"))
			s.settle()
			if got, want := string(peer.Take()), serverFrame(closeFrame, closing(c.code, c.why)); got != want || !peer.Ended() {
				t.Errorf("got %q, want %q", got, want)
			}
			s.said("opened 0 \n", fmt.Sprintf("closed %d %s false", c.code, c.why))
			// A client that does not close is left after a while.
			s.run(3 * time.Second)
			if !peer.Closed() {
				t.Error("the connection is open")
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, func(o *Options) { o.Apps[0].WebSocketMessage = 10 })
		s.connect("").WriteString(frame(binaryFrame, "0123456789") + frame(0x02, "012345678") + frame(0x80, "9a"))
		s.settle()
		s.said("opened 0 \n", "data 2 0123456789", "closed 1009 message too big false")
	})
	t.Run("largest", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.connect("")
		peer.WriteString(frame(binaryFrame, big))
		s.run(time.Second)
		if got := undated(peer.Take()); got != serverFrame(binaryFrame, big) {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

func TestWebSocketClose(t *testing.T) {
	finish := func(s *socketWorld) isolates.Record {
		return isolates.Record{Kind: isolates.KindFinish, Handle: s.handles[0], Status: 3000, Target: []byte("enough")}
	}
	t.Run("answered", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.connect("")
		s.do(finish(s))
		if got, want := string(peer.Take()), serverFrame(closeFrame, closing(3000, "enough")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.said("opened 0 \n")
		peer.WriteString(frame(textFrame, "late") + frame(closeFrame, closing(3000, "yes")))
		s.settle()
		s.said("data 1 late", "closed 3000 yes true")
		if got := peer.Take(); len(got) != 0 || !peer.Ended() {
			t.Errorf("then got %q", got)
		}
	})
	t.Run("not answered", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.connect("")
		s.do(finish(s))
		s.run(socketCloseTime)
		s.said("opened 0 \n", "closed 1006  false")
		if !peer.Closed() {
			t.Error("the connection is open")
		}
	})
	// The close frame is seen though the app reads nothing.
	t.Run("without a window", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, nil)
		s.noWindow = true
		peer := s.connect("")
		peer.WriteString(frame(textFrame, "never read") + frame(closeFrame, ""))
		s.settle()
		s.said("opened 0 \n")
		s.do(finish(s))
		s.said("closed 1005  true")
	})
	t.Run("aborted", func(t *testing.T) {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.connect("")
		s.do(isolates.Record{Kind: isolates.KindCancel, Handle: s.handles[0], Flags: isolates.CancelAll})
		s.do(isolates.Record{Kind: isolates.KindSettled, ID: s.requests[s.handles[0]]})
		if !peer.Closed() || len(s.sockets.reset) != 1 {
			t.Error("the connection is open, or was not reset")
		}
		s.said("opened 0 \n")
	})
}

func TestWebSocketClientGone(t *testing.T) {
	for name, leave := range map[string]func(p *fakering.Peer){
		"closed": (*fakering.Peer).Close, "half closed": (*fakering.Peer).CloseWrite, "reset": (*fakering.Peer).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSocketWorld(t, fakering.Config{}, nil)
			peer := s.connect("")
			leave(peer)
			s.settle()
			s.said("opened 0 \n", "closed 1006  false")
			if !peer.Closed() {
				t.Error("the connection is open")
			}
		})
		t.Run(name+" during the handshake", func(t *testing.T) {
			s := newSocketWorld(t, fakering.Config{}, nil)
			peer := s.ring.Dial(s.listener)
			peer.WriteString(upgradeHead + "\r\n")
			leave(peer)
			s.settle()
			if n := len(s.told); n > 0 && !strings.HasPrefix(s.told[n-1], "closed 1006") && !strings.HasPrefix(s.told[n-1], "end") {
				t.Errorf("the app was told %q", s.told)
			}
		})
	}
}

// A client that sends more than the app takes has to wait.
func TestWebSocketBackPressureIn(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{Buffers: 8}, nil)
	s.isEcho = false
	peer := s.connect("")
	message := frame(binaryFrame, strings.Repeat("x", 60_000))
	for range 20 {
		peer.WriteString(message)
	}
	s.run(time.Second)
	if n := len(s.told) - 1; n != 5 { // 256 KiB, and the message that goes beyond
		t.Errorf("%d messages were delivered", n)
	}
	if socket := s.loop.sockets.first; cap(socket.in) > 64<<10 {
		t.Errorf("%d bytes are held", cap(socket.in))
	}
	for range 15 {
		s.do(isolates.Record{Kind: isolates.KindRead, Handle: s.handles[0], Number: 60_000})
	}
	if n := len(s.told) - 1; n != 20 {
		t.Errorf("in the end %d messages were delivered", n)
	}
}

// A client that reads slowly makes the app wait; what it pings is not answered over and over.
func TestWebSocketBackPressureOut(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer := s.connect("")
	peer.SetWindow(1000)
	s.said("opened 0 \n")
	write := func() {
		s.do(isolates.Record{Kind: isolates.KindWrite, Handle: s.handles[0], Flags: isolates.WriteBinary | isolates.WriteAck,
			Body: bytes.Repeat([]byte("y"), 40_000)})
	}
	write()
	s.said("written 0 ")
	write()
	s.said()
	for range 100 {
		peer.WriteString(frame(pingFrame, strings.Repeat("p", 125)))
	}
	s.settle()
	if n := s.loop.sockets.first.transport.queued(); n > 81_000 {
		t.Errorf("%d bytes wait", n)
	}
	peer.SetWindow(1 << 20)
	s.settle()
	s.said("written 0 ")
	if n := len(peer.Take()); n != 80_008 {
		t.Errorf("got %d bytes", n)
	}
	// One that does not read at all is left in the end.
	peer.SetWindow(0)
	write()
	s.run(s.loop.options.SendTimeout + time.Second)
	s.said("written 0 ", "closed 1006  false")
}

func TestWebSocketBlocks(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer := s.connect("")
	text := strings.Repeat("0123456789abcdef", 10_000)
	block, body := s.blocks.make([]byte(text))
	s.do(isolates.Record{Kind: isolates.KindWrite, Handle: s.handles[0], Flags: isolates.WriteText, Body: body, Block: block})
	if got := undated(peer.Take()); got != serverFrame(textFrame, text) {
		t.Errorf("got %d bytes", len(got))
	}
	s.do(isolates.Record{Kind: isolates.KindFinish, Handle: s.handles[0]})
	block, body = s.blocks.make([]byte(text))
	s.do(isolates.Record{Kind: isolates.KindWrite, Handle: s.handles[0], Flags: isolates.WriteText | isolates.WriteAck, Body: body, Block: block})
	s.said("opened 0 \n", "written 0 ")
}

func TestWebSocketDrain(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer, other := s.connect(""), s.connect("")
	s.loop.Drain()
	s.settle()
	if got, want := string(peer.Take()), serverFrame(closeFrame, closing(1001, "")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	peer.WriteString(frame(closeFrame, closing(1001, "")))
	s.settle()
	s.said("opened 0 \n", "opened 0 \n", "closed 1001  true")
	s.run(socketCloseTime) // the other one does not answer
	s.said("closed 1006  false")
	if !other.Closed() {
		t.Error("the connection is open")
	}
}

// The isolate dies: its clients hear that it has gone.
func TestWebSocketIsolateDies(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer := s.connect("")
	s.workers[0].fail = fmt.Errorf("out of memory")
	peer.WriteString(frame(textFrame, "a"))
	s.settle()
	if got := string(peer.Take()); !strings.HasSuffix(got, serverFrame(closeFrame, closing(1001, ""))) {
		t.Errorf("got %q", got)
	}
	s.run(socketCloseTime + time.Second)
	if !peer.Closed() {
		t.Error("the connection is open")
	}
}

// Sockets that are open are connections, but not requests that an app has in hand.
func TestWebSocketsAreNotRequests(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, func(o *Options) { o.Apps[0].ConcurrentRequests = 1 })
	first, second := s.connect(""), s.connect("")
	plain, got := s.ask("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\nplain") {
		t.Errorf("got %q", got)
	}
	if n := s.loop.stats.Connections; n != 3 {
		t.Errorf("%d connections are counted", n)
	}
	for _, peer := range []*fakering.Peer{first, second, plain} {
		peer.Close()
	}
	s.run(time.Second)
	if n := s.loop.stats.Connections; n != 0 || s.loop.apps[0].concurrency.inHand.Load() != 0 {
		t.Errorf("%d connections are counted in the end", n)
	}
}

// A socket that waits holds no buffers, and its structures are small: there may be very many.
func TestIdleWebSocketsAreSmall(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	peer := s.connect("")
	long := strings.Repeat("x", 200_000)
	for _, message := range []string{"short", long} {
		peer.WriteString(frame(pingFrame, "p") + frame(0x02, message[:3]) + frame(0x80, message[3:]))
		s.run(time.Second)
		peer.Take()
	}
	socket := s.loop.sockets.first
	for _, name := range []string{"kept", "control", "given", "window"} {
		if field := reflect.ValueOf(socket.parser).FieldByName(name); field.Cap() != 0 {
			t.Errorf("the parser holds %d bytes as %s", field.Cap(), name)
		}
	}
	if socket.in != nil {
		t.Errorf("%d bytes are held", cap(socket.in))
	}
	if e := socket.transport.(*endpoint); cap(e.sending.data) != 0 || cap(e.out) > 4 {
		t.Errorf("the endpoint holds %d bytes, and room for %d pieces", cap(e.sending.data), cap(e.out))
	}
	each := unsafe.Sizeof(webSocket{}) + unsafe.Sizeof(endpoint{}) + unsafe.Sizeof(handle{}) + unsafe.Sizeof(exchange{})
	if each > 2048 {
		t.Errorf("%d bytes for a socket", each)
	}
	t.Logf("%d bytes for a socket", each)
}

// An app with sockets that are open stays, however long nothing happens, and so do they.
func TestWebSocketIdle(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, func(o *Options) { o.Idle = time.Minute })
	peer := s.connect("")
	s.run(10 * time.Minute)
	peer.WriteString(frame(textFrame, "a"))
	s.settle()
	if got := undated(peer.Take()); got != serverFrame(textFrame, "a") || len(s.workers) != 1 {
		t.Errorf("got %q from one of %d isolates", got, len(s.workers))
	}
	peer.WriteString(frame(closeFrame, ""))
	s.settle()
	peer.Close()
	s.run(2 * time.Minute)
	if !s.workers[0].disposed {
		t.Error("the app does not sleep after its socket was closed")
	}
}

// A service binding carries requests and answers only: both apps hear of it.
func TestWebSocketThroughAService(t *testing.T) {
	var s *socketWorld
	s = newSocketWorld(t, fakering.Config{}, func(o *Options) {
		o.Apps = append(o.Apps, App{Name: "b", Hosts: []string{"b"}})
		blocks := o.Blocks.(*fakeBlocks)
		o.NewShard = shardOf(func(app int) (Worker, error) {
			worker := newFakeWorker(o.Apps[app].Name, demo(blocks))
			if app == 1 {
				worker.handle, worker.onNews = s.answer, s.hear
			}
			s.workers = append(s.workers, worker)
			return worker, nil
		})
	})
	_, got := s.ask("GET /call/b/chat HTTP/1.1\r\nHost: a\r\n\r\n")
	if head, body := plain(t, got); !strings.HasPrefix(head, "HTTP/1.1 501 ") || body != "nano: b: "+faultServiceUpgrade.text {
		t.Errorf("got %q", got)
	}
	s.said("end 6 " + faultServiceUpgrade.text)
}
