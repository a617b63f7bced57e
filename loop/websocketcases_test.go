package loop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
	"nano/ws"
)

// The cases of the Autobahn test suite (https://github.com/crossbario/autobahn-testsuite), after its published
// list, by their numbers: an app that echoes is asked as a server and as a client. What its suite only tells
// apart as "strict" and "non-strict" is strict here.

// A socketFrame is the first byte of a frame and its payload.
type socketFrame struct {
	first   byte
	payload string
}

// A socketCase is what the other side sends, and what it must get.
type socketCase struct {
	name string
	send []socketFrame
	chop int // sent in pieces of so many bytes; 0: at once
	want []socketFrame
	code uint16 // of the close frame that must follow, if not 0: the connection is failed
}

func text(s string) socketFrame    { return socketFrame{textFrame, s} }
func binary8(s string) socketFrame { return socketFrame{binaryFrame, s} }
func ping(s string) socketFrame    { return socketFrame{pingFrame, s} }
func pong(s string) socketFrame    { return socketFrame{pongFrame, s} }
func bye(s string) socketFrame     { return socketFrame{closeFrame, s} }

// part is a fragment of a text that goes on, rest one of a message that goes on, and last its last.
func part(s string) socketFrame { return socketFrame{0x01, s} }
func rest(s string) socketFrame { return socketFrame{0x00, s} }
func last(s string) socketFrame { return socketFrame{0x80, s} }

func list(frames ...socketFrame) []socketFrame { return frames }

func socketCases() (cases []socketCase) {
	add := func(name string, send []socketFrame, want []socketFrame, code uint16) {
		for _, chop := range []int{0, 1, 997} {
			if size := sizeOfFrames(send); chop == 1 && size > 5000 || chop > size {
				continue
			}
			cases = append(cases, socketCase{fmt.Sprintf("%s/chop %d", name, chop), send, chop, want, code})
		}
	}
	echoes := func(name string, send ...socketFrame) { add(name, send, send, 0) }
	fails := func(name string, code uint16, send ...socketFrame) { add(name, send, nil, code) }

	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		echoes(fmt.Sprintf("1.1.%d", i+1), text(strings.Repeat("*", n)))
		echoes(fmt.Sprintf("1.2.%d", i+1), binary8(strings.Repeat("\xfe", n)))
	}

	long := strings.Repeat("\xfe", 125)
	add("2.1", list(ping("")), list(pong("")), 0)
	add("2.2", list(ping("Hello, world!")), list(pong("Hello, world!")), 0)
	add("2.3", list(ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), list(pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), 0)
	add("2.4", list(ping(long)), list(pong(long)), 0)
	fails("2.5", 1002, ping(long+"\xfe"))
	add("2.7", list(pong("")), nil, 0)
	add("2.8", list(pong("unsolicited pong payload")), nil, 0)
	add("2.9", list(pong("unsolicited"), ping("ping payload")), list(pong("ping payload")), 0)
	var pings, pongs []socketFrame
	for i := range 10 {
		pings, pongs = append(pings, ping(fmt.Sprint("payload-", i))), append(pongs, pong(fmt.Sprint("payload-", i)))
	}
	add("2.10", pings, pongs, 0)

	for i, reserved := range []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70} {
		bad := socketFrame{textFrame | reserved, "Hello, world!"}
		fails(fmt.Sprintf("3.%d", i+1), 1002, bad)
		add(fmt.Sprintf("3.%d after a message", i+1), list(text("Hello, world!"), bad, ping("")), list(text("Hello, world!")), 1002)
		fails(fmt.Sprintf("3.%d close", i+1), 1002, socketFrame{closeFrame | reserved, ""})
	}
	for i := range byte(5) {
		for group, first := range []byte{0x83, 0x8b} {
			bad := socketFrame{first + i, ""}
			fails(fmt.Sprintf("4.%d.%d", group+1, i+1), 1002, bad)
			bad.payload = "reserved opcode payload"
			add(fmt.Sprintf("4.%d.%d after a message", group+1, i+1), list(text("Hello, world!"), bad, ping("")), list(text("Hello, world!")), 1002)
		}
	}

	fails("5.1", 1002, socketFrame{0x09, "fragment1"}, last("fragment2"))
	fails("5.2", 1002, socketFrame{0x0a, "fragment1"}, last("fragment2"))
	whole := text("fragment1fragment2")
	add("5.3", list(part("fragment1"), last("fragment2")), list(whole), 0)
	add("5.6", list(part("fragment1"), ping("ping payload"), last("fragment2")), list(pong("ping payload"), whole), 0)
	fails("5.9", 1002, last("non-continuation payload"), text("Hello, world!"))
	fails("5.12", 1002, rest("non-continuation payload"), text("Hello, world!"))
	add("5.15", list(part("fragment1"), last("fragment2"), rest("fragment3"), socketFrame{textFrame, "fragment4"}), list(whole), 1002)
	fails("5.16", 1002, rest("fragment1"), part("fragment2"), last("fragment3"))
	fails("5.17", 1002, last("fragment1"), part("fragment2"), last("fragment3"))
	fails("5.18", 1002, part("fragment1"), text("fragment2"))
	add("5.19", list(part("fragment1"), rest("fragment2"), ping("pongme 1!"), rest("fragment3"), rest("fragment4"), ping("pongme 2!"), last("fragment5")),
		list(pong("pongme 1!"), pong("pongme 2!"), text("fragment1fragment2fragment3fragment4fragment5")), 0)
	return append(append(append(cases, textCases(add, fails)...), closeCases(add)...), sizeCases()...)
}

func sizeOfFrames(frames []socketFrame) (n int) {
	for _, f := range frames {
		n += len(f.payload)
	}
	return n
}

// textCases are those about UTF-8.
func textCases(add func(string, []socketFrame, []socketFrame, uint16), fails func(string, uint16, ...socketFrame)) []socketCase {
	add("6.1.1", list(text("")), list(text("")), 0)
	add("6.1.2", list(part(""), rest(""), last("")), list(text("")), 0)
	add("6.1.3", list(part(""), rest("middle frame payload"), last("")), list(text("middle frame payload")), 0)
	const hello = "Hello-µ@ßöäüàá-UTF-8!!"
	add("6.2.1", list(text(hello)), list(text(hello)), 0)
	add("6.2.2", list(part(hello[:12]), last(hello[12:])), list(text(hello)), 0)
	pieces := list(part(hello[:1]))
	for i := 1; i < len(hello); i++ {
		pieces = append(pieces, rest(hello[i:i+1]))
	}
	add("6.2.3", append(pieces, last("")), list(text(hello)), 0)
	const before, bad, after = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", "\xed\xa0\x80", "\x65\x64\x69\x74\x65\x64"
	fails("6.3.1", 1007, text(before+bad+after))
	fails("6.4.1", 1007, part(before), rest("\xf4\x90\x80\x80")) // at once, without the last fragment
	fails("6.4.2", 1007, part(before+"\xf4"), rest("\x90"))
	for i, c := range []struct {
		text    string
		isValid bool
	}{
		{"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", true}, {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce", false},
		{"\x00", true}, {"\xc2\x80", true}, {"\xe0\xa0\x80", true}, {"\xf0\x90\x80\x80", true}, {"\xf8\x88\x80\x80\x80", false},
		{"\xfc\x84\x80\x80\x80\x80", false}, {"\x7f", true}, {"\xdf\xbf", true}, {"\xef\xbf\xbf", true}, {"\xf4\x8f\xbf\xbf", true},
		{"\xf7\xbf\xbf\xbf", false}, {"\xfb\xbf\xbf\xbf\xbf", false}, {"\xfd\xbf\xbf\xbf\xbf\xbf", false}, {"\xed\x9f\xbf", true},
		{"\xee\x80\x80", true}, {"\xef\xbf\xbd", true}, {"\xf4\x90\x80\x80", false}, {"\x80", false}, {"\xbf", false}, {"\x80\xbf", false},
		{"\x80\xbf\x80\xbf\x80\xbf", false}, {"\xc0 \xc1 \xdf ", false}, {"\xe0 \xe1 \xef ", false}, {"\xf0 \xf4 \xf7 ", false},
		{"\xf8 \xfb ", false}, {"\xfc \xfd ", false}, {"\xc0", false}, {"\xe0\x80", false}, {"\xf0\x80\x80", false}, {"\xf8\x80\x80\x80", false},
		{"\xfc\x80\x80\x80\x80", false}, {"\xdf", false}, {"\xef\xbf", false}, {"\xf7\xbf\xbf", false}, {"\xfe", false}, {"\xff", false},
		{"\xc0\xaf", false}, {"\xe0\x80\xaf", false}, {"\xf0\x80\x80\xaf", false}, {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false},
		{"\xf0\x8f\xbf\xbf", false}, {"\xc0\x80", false}, {"\xe0\x80\x80", false}, {"\xf0\x80\x80\x80", false}, {"\xed\xa0\x80", false},
		{"\xed\xad\xbf", false}, {"\xed\xae\x80", false}, {"\xed\xaf\xbf", false}, {"\xed\xb0\x80", false}, {"\xed\xbe\x80", false},
		{"\xed\xbf\xbf", false}, {"\xed\xa0\x80\xed\xb0\x80", false}, {"\xed\xaf\xbf\xed\xbf\xbf", false}, {"\xef\xbf\xbe", true},
		{"\xf0\x9f\xbf\xbe", true}, {"\xf4\x8f\xbf\xbe", true},
	} {
		name := fmt.Sprintf("6.5-6.23 %d", i)
		if c.isValid {
			add(name, list(text(c.text)), list(text(c.text)), 0)
			add(name+" in parts", list(part(c.text[:1]), last(c.text[1:])), list(text(c.text)), 0)
		} else {
			fails(name, 1007, text(c.text))
			fails(name+" in parts", 1007, part(c.text[:1]), last(c.text[1:]))
		}
	}
	return nil
}

// closeCases are those about the end.
func closeCases(add func(string, []socketFrame, []socketFrame, uint16)) []socketCase {
	hello := text("Hello World!")
	add("7.1.1", list(hello, bye("\x03\xe8")), list(hello, bye("\x03\xe8")), 0)
	add("7.1.2", list(bye("\x03\xe8"), bye("\x03\xe8")), list(bye("\x03\xe8")), 0)
	add("7.1.3", list(bye("\x03\xe8"), ping("")), list(bye("\x03\xe8")), 0)
	add("7.1.4", list(bye("\x03\xe8"), hello), list(bye("\x03\xe8")), 0)
	add("7.1.5", list(part("fragment1"), bye("\x03\xe8"), last("fragment2")), list(bye("\x03\xe8")), 0)
	add("7.1.6", list(text(strings.Repeat("BAsd7&jh23", 26214)), bye("\x03\xe8"), ping("")), list(text(strings.Repeat("BAsd7&jh23", 26214)), bye("\x03\xe8")), 0)
	add("7.3.1", list(bye("")), list(bye("")), 0)
	add("7.3.2", list(bye("a")), nil, 1002)
	add("7.3.3", list(bye("\x03\xe8")), list(bye("\x03\xe8")), 0)
	add("7.3.4", list(bye("\x03\xe8Hello World!")), list(bye("\x03\xe8Hello World!")), 0)
	add("7.3.5", list(bye("\x03\xe8"+strings.Repeat("*", 123))), list(bye("\x03\xe8"+strings.Repeat("*", 123))), 0)
	add("7.3.6", list(bye("\x03\xe8"+strings.Repeat("*", 124))), nil, 1002)
	add("7.5.1", list(bye("\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")), nil, 1007)
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		add(fmt.Sprint("7.7 ", code), list(bye(closing(code, ""))), list(bye(closing(code, ""))), 0)
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(fmt.Sprint("7.9 ", code), list(bye(closing(code, ""))), nil, 1002)
		add(fmt.Sprint("7.9 with reason ", code), list(bye(closing(code, "reason"))), nil, 1002)
	}
	return nil
}

// sizeCases are those about large messages and many; those of the suite that are larger than our limit are in
// TestWebSocketProtocolErrors.
func sizeCases() (cases []socketCase) {
	for i, n := range []int{64 << 10, 256 << 10, 1 << 20} {
		for group, message := range []socketFrame{text(strings.Repeat("*", n)), binary8(strings.Repeat("\xfe", n))} {
			cases = append(cases, socketCase{fmt.Sprintf("9.%d.%d", group+1, i+1), list(message), 0, list(message), 0})
			for _, piece := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10} {
				if n/piece > 8<<10 {
					continue
				}
				first := socketFrame{message.first &^ 0x80, message.payload[:piece]}
				send := list(first)
				for at := piece; at < n; at += piece {
					send = append(send, rest(message.payload[at:at+piece]))
				}
				cases = append(cases, socketCase{fmt.Sprintf("9.%d.%d in fragments of %d", group+3, i+1, piece), append(send, last("")), 0, list(message), 0})
			}
		}
	}
	for _, chop := range []int{64, 128, 2048} {
		message := text(strings.Repeat("*", 256<<10))
		cases = append(cases, socketCase{fmt.Sprintf("9.5 %d", chop), list(message), chop, list(message), 0})
	}
	for _, n := range []int{0, 16, 64, 256, 1024} {
		var many []socketFrame
		for range 1000 {
			many = append(many, text(strings.Repeat("*", n)))
		}
		cases = append(cases, socketCase{fmt.Sprintf("9.7 %d", n), many, 4096, many, 0})
	}
	return cases
}

// run plays a case as the other side. step lets the loop work; plain takes the masks off what has come, each of so
// many bytes.
func (c *socketCase) run(t *testing.T, peer *fakering.Peer, bytesOf func(socketFrame) string, maskSize int, plain func([]byte) string,
	step func(), ended func() bool) {
	var input, want strings.Builder
	for _, f := range c.send {
		input.WriteString(bytesOf(f))
	}
	for _, f := range c.want {
		want.WriteString(serverFrame(f.first, f.payload))
	}
	rest := input.String()
	var raw []byte
	for len(rest) != 0 {
		n := len(rest)
		if c.chop != 0 {
			n = min(n, c.chop)
		}
		peer.WriteString(rest[:n])
		rest = rest[n:]
		step()
		raw = append(raw, peer.Take()...)
	}
	for range 20 { // a large message takes several ticks
		if len(raw) >= want.Len()+maskSize*len(c.want) {
			break
		}
		step()
		raw = append(raw, peer.Take()...)
	}
	got := plain(raw)
	if c.code != 0 {
		at := strings.LastIndex(got, string([]byte{closeFrame}))
		if at < 0 || len(got) < at+4 || got[at+2:at+4] != closing(c.code, "") {
			t.Fatalf("got %.200q, want a close frame with code %d", got, c.code)
		}
		got = got[:at]
	}
	if got != want.String() {
		t.Errorf("got %.200q, want %.200q", got, want.String())
	}
	closes := c.code != 0
	for _, f := range c.want {
		closes = closes || f.first == closeFrame
	}
	if ended() != closes {
		t.Errorf("the connection has ended: %v", ended())
	}
}

func TestWebSocketCasesAsServer(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	for _, c := range socketCases() {
		t.Run(c.name, func(t *testing.T) {
			peer := s.connect("")
			peer.SetWindow(4 << 20)
			c.run(t, peer, func(f socketFrame) string { return frame(f.first, f.payload) }, 0,
				func(b []byte) string { return string(b) }, s.step, peer.Ended)
			peer.Close()
			s.step()
		})
	}
	s.run(time.Second)
	if n := len(s.loop.handles.byKey); n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

// step lets the loop answer what has come.
func (w *world) step() { w.t.Helper(); w.run(time.Microsecond) }

func TestWebSocketCasesAsClient(t *testing.T) {
	c := newCallWorld(t)
	tell := c.worker.onNews
	c.worker.onNews = func(w *fakeWorker, news *fakeNews) {
		tell(w, news)
		if news.what == "data" {
			w.record(isolates.Record{Kind: isolates.KindWrite, Handle: news.handle, Flags: uint16(news.number), Body: []byte(news.text)})
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
		}
	}
	for _, row := range socketCases() {
		t.Run(row.name, func(t *testing.T) {
			peer, _, key := c.call("GET ws://192.0.2.80/", "", 0)
			peer.SetWindow(4 << 20)
			peer.WriteString(acceptance(key, ""))
			c.step()
			handle := handleKey{c.loop.apps[0].life, c.number}
			row.run(t, peer, func(f socketFrame) string { return serverFrame(f.first, f.payload) }, 4,
				func(b []byte) string { return unmasked(t, b) }, c.step,
				func() bool { return c.loop.handles.byKey[handle] == nil })
			peer.Close()
			c.step()
		})
	}
	if n := len(c.loop.handles.byKey); n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

// Cases 12 and 13: compressed messages of many sizes, whatever the two sides agree on.
func TestWebSocketCasesCompressed(t *testing.T) {
	s := newSocketWorld(t, fakering.Config{}, nil)
	var deflater ws.Deflater
	inflater := ws.Parser{Memory: (*messageMemory)(&s.loop.buffers), Inflater: &ws.Inflater{}, Limit: 1 << 20, IsClient: true}
	words := strings.Repeat("The quick brown fox jumps over the lazy dog 0123456789. ", 3000)
	for _, offer := range []string{
		"", "; client_max_window_bits", "; client_no_context_takeover; client_max_window_bits=9", "; server_max_window_bits=9",
		"; server_no_context_takeover; server_max_window_bits=15", "; server_max_window_bits=8; client_max_window_bits",
	} {
		peer, got := s.ask(upgradeHead + "Sec-WebSocket-Extensions: permessage-deflate" + offer + "\r\n\r\n")
		if !strings.Contains(got, "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover") {
			t.Fatalf("%s: got %q", offer, got)
		}
		for _, size := range []int{0, 16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10} {
			for _, parts := range []int{1, 3} {
				message := words[:size]
				short := string(deflater.Deflate([]byte(message), 15))
				first, rest := byte(0xc1), short
				input := ""
				for range parts - 1 {
					input += frame(first&^0x80, rest[:len(rest)/2])
					first, rest = 0x80, rest[len(rest)/2:]
				}
				peer.WriteString(input + frame(first|0x80, rest))
				s.settle()
				answer := peer.Take()
				used, what, payload, err := inflater.Next(answer)
				if used != len(answer) || what != ws.Text || string(payload) != message || err != nil {
					t.Errorf("%s: %d bytes in %d parts: got kind %d, %d bytes, %v", offer, size, parts, what, len(payload), err)
				}
				if isShort := len(answer) < max(size/2, 126); !isShort && size >= socketDeflateMin {
					t.Errorf("%s: %d bytes came as %d", offer, size, len(answer))
				}
			}
		}
		peer.Close()
		s.settle()
	}
}
