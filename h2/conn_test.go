package h2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// A world is a connection, its owner, and the server, which the test plays.
type world struct {
	t       testing.TB
	conn    *Conn
	sent    []byte
	streams []*exchange
	encoder *hpack.Encoder
	block   bytes.Buffer
}

// An exchange is the owner of a stream.
type exchange struct {
	t       testing.TB
	stream  Stream
	status  int
	lines   string
	body    []byte
	isOver  bool
	failure string
	unused  bool // the server did nothing with it
	rooms   int
	stops   bool // it takes no more after each piece
}

func (w *world) Send(frames []byte) { w.sent = append(w.sent, frames...) }

func (e *exchange) check(what string) {
	if e.isOver {
		e.t.Errorf("%s after the end", what)
	}
}

func (e *exchange) Responded(status int, lines []byte, isWhole bool) {
	e.check("a head")
	if e.status != 0 {
		e.t.Error("two heads")
	}
	e.status, e.lines, e.isOver = status, string(lines), isWhole
}

func (e *exchange) Received(data []byte, isLast bool) bool {
	e.check("a body")
	e.body = append(e.body, data...)
	e.isOver = isLast
	return !e.stops
}

func (e *exchange) Room() { e.check("room"); e.rooms++ }

func (e *exchange) Failed(why string, isUnprocessed bool) {
	e.check("a failure")
	e.failure, e.unused, e.isOver = why, isUnprocessed, true
}

// newWorld makes a connection that has heard the server's settings.
func newWorld(t testing.TB, settings ...uint32) *world {
	w := &world{t: t}
	w.encoder = hpack.NewEncoder(&w.block)
	w.conn = NewConn(w)
	if !bytes.HasPrefix(w.sent, []byte(preface)) {
		t.Fatal("no preface")
	}
	w.sent = w.sent[len(preface):]
	var payload []byte
	for i := 0; i < len(settings); i += 2 {
		payload = appendSetting(payload, uint16(settings[i]), settings[i+1])
	}
	if err := w.receive(frameSettings, 0, 0, payload); err != nil {
		t.Fatal(err)
	}
	w.take()
	return w
}

// frameOf makes a frame.
func frameOf(kind frameKind, flags uint8, stream uint32, payload []byte) []byte {
	return append(appendFrameHead(nil, len(payload), kind, flags, stream), payload...)
}

func (w *world) receive(kind frameKind, flags uint8, stream uint32, payload []byte) error {
	w.t.Helper()
	if err := w.conn.Receive(frameOf(kind, flags, stream, payload)); err != nil {
		return err
	}
	return nil
}

// must is receive of what is right.
func (w *world) must(kind frameKind, flags uint8, stream uint32, payload []byte) {
	w.t.Helper()
	if err := w.receive(kind, flags, stream, payload); err != nil {
		w.t.Fatal(err)
	}
}

// take parses what was sent since the last call.
func (w *world) take() []frame {
	w.t.Helper()
	var list []frame
	for len(w.sent) != 0 {
		var f frame
		n, tooLarge := readFrame(w.sent, &f)
		if n == 0 || tooLarge {
			w.t.Fatalf("malformed output %q", w.sent)
		}
		f.payload = bytes.Clone(f.payload)
		list = append(list, f)
		w.sent = w.sent[n:]
	}
	w.sent = nil
	return list
}

// fields encodes a field block: names and values in turn.
func (w *world) fields(texts ...string) []byte {
	w.block.Reset()
	for i := 0; i < len(texts); i += 2 {
		if err := w.encoder.WriteField(hpack.HeaderField{Name: texts[i], Value: texts[i+1]}); err != nil {
			w.t.Fatal(err)
		}
	}
	return bytes.Clone(w.block.Bytes())
}

// open sends a request.
func (w *world) open(isWhole bool) *exchange {
	w.t.Helper()
	if !w.conn.CanOpen() {
		w.t.Fatal("no more streams")
	}
	e := &exchange{t: w.t}
	w.conn.Open(&e.stream, e, &Request{
		Method: []byte("GET"), Scheme: []byte("https"), Authority: []byte("a"), Path: []byte("/"),
	}, isWhole)
	w.streams = append(w.streams, e)
	return e
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// TestRequest: what a server decodes of a request.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("v\x7e", 20<<10)
	var e exchange
	w.conn.Open(&e.stream, &e, &Request{
		Method: []byte("PATCH"), Scheme: []byte("https"), Authority: []byte("a.example:8443"), Path: []byte("/a?b"),
		Lines: []byte("Accept: */*\r\nX-A:b \r\ncookie: c=d\r\nauthorization: e\r\nx-long: " + long + "\r\nempty:\r\n"),
	}, true)
	var block []byte
	frames := w.take()
	for i, f := range frames {
		kind, flags := frameContinuation, uint8(0)
		if i == 0 {
			kind, flags = frameHeaders, flagEndStream
		}
		if i == len(frames)-1 {
			flags |= flagEndHeaders
		}
		if f.kind != kind || f.flags != flags || f.stream != 1 {
			t.Errorf("frame %d: kind %d, flags %d, stream %d", i, f.kind, f.flags, f.stream)
		}
		block = append(block, f.payload...)
	}
	if len(frames) != 3 {
		t.Errorf("%d frames", len(frames))
	}
	got := ""
	decoder := hpack.NewDecoder(0, func(f hpack.HeaderField) { // a table of no size
		got += fmt.Sprintf("%s=%s %v\n", f.Name, strings.ReplaceAll(f.Value, long, "long"), f.Sensitive)
	})
	if _, err := decoder.Write(block); err != nil || decoder.Close() != nil {
		t.Fatal(err)
	}
	want := ":method=PATCH false\n:scheme=https false\n:authority=a.example:8443 false\n:path=/a?b false\n" +
		"accept=*/* false\nx-a=b false\ncookie=c=d true\nauthorization=e true\nx-long=long false\nempty= false\n"
	if got != want {
		t.Errorf("got %s", got)
	}
}

// TestStaticNames compares the table of names with that of the decoder.
func TestStaticNames(t *testing.T) {
	for name, index := range staticNames {
		decoder := hpack.NewDecoder(0, func(f hpack.HeaderField) {
			if f.Name != name || f.Value != "x" {
				t.Errorf("index %d is %s, not %s", index, f.Name, name)
			}
		})
		if _, err := decoder.Write(appendField(nil, int(index), []byte("x"), false)); err != nil {
			t.Error(err)
		}
	}
}

// conversation is a response in frames of all kinds: padded, with a priority, interim heads, trailers.
func (w *world) conversation(stream uint32) []byte {
	data := frameOf(framePing, 0, 0, make([]byte, 8))
	data = append(data, frameOf(frameHeaders, flagEndHeaders, stream, w.fields(":status", "103", "link", "x"))...)
	data = append(data, frameOf(0xbe, 0xff, stream, []byte("unknown"))...)
	block := w.fields(":status", "200", "x-a", "b", "x-long", strings.Repeat("c", 300))
	padded := append([]byte{3}, make([]byte, 5)...)
	padded = append(append(padded, block[:10]...), 0, 0, 0)
	data = append(data, frameOf(frameHeaders, flagPadded|flagPriority, stream, padded)...)
	data = append(data, frameOf(frameContinuation, 0, stream, nil)...)
	data = append(data, frameOf(frameContinuation, flagEndHeaders, stream, block[10:])...)
	data = append(data, frameOf(frameData, 0, stream, []byte("he"))...)
	data = append(data, frameOf(frameWindowUpdate, 0, stream, number(10))...)
	data = append(data, frameOf(frameData, flagPadded, stream, []byte("\x02llo  "))...)
	data = append(data, frameOf(framePriority, 0, stream, make([]byte, 5))...)
	return append(data, frameOf(frameHeaders, flagEndHeaders|flagEndStream, stream, w.fields("x-t", "v"))...)
}

// TestSplits has a response come cut at every offset, and byte by byte.
func TestSplits(t *testing.T) {
	run := func(how string, cut func(data []byte) [][]byte) {
		w := newWorld(t)
		e := w.open(true)
		w.take()
		pieces := cut(w.conversation(1))
		for _, piece := range pieces {
			if err := w.conn.Receive(bytes.Clone(piece)); err != nil {
				t.Fatalf("%s: %v", how, err)
			}
		}
		if e.status != 200 || string(e.body) != "hello" || !e.isOver || e.failure != "" || !strings.HasPrefix(e.lines, "x-a: b\r\nx-long: ccc") {
			t.Fatalf("%s: %d %q %q %q", how, e.status, e.lines, e.body, e.failure)
		}
		if w.conn.Streams() != 0 || len(w.conn.in) != 0 {
			t.Fatalf("%s: %d streams, %d bytes left", how, w.conn.Streams(), len(w.conn.in))
		}
		if frames := w.take(); len(frames) != 1 || frames[0].kind != framePing || !frames[0].has(flagAck) {
			t.Fatalf("%s: answered %v", how, frames)
		}
	}
	size := 0
	run("whole", func(data []byte) [][]byte { size = len(data); return [][]byte{data} })
	for i := 1; i < size; i++ {
		run(fmt.Sprintf("cut at %d", i), func(data []byte) [][]byte { return [][]byte{data[:i], data[i:]} })
	}
	run("byte by byte", func(data []byte) (pieces [][]byte) {
		for i := range data {
			pieces = append(pieces, data[i:i+1])
		}
		return pieces
	})
}

// TestErrors: what breaks a connection, and how the server is told.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   frameKind
		flags  uint8
		stream uint32
		data   []byte
		code   Code
		text   string
	}{
		{"data for no stream", frameData, 0, 0, nil, ProtocolError, "a frame is for a stream that nobody has opened"},
		{"data for a stream of the future", frameData, 0, 9, nil, ProtocolError, "a frame is for a stream that nobody has opened"},
		{"head for a server's stream", frameHeaders, flagEndHeaders, 2, nil, ProtocolError, "a frame is for a stream that nobody has opened"},
		{"too much padding", frameData, flagPadded, 1, []byte{1}, ProtocolError, "a frame has more padding than bytes"},
		{"padding of nothing", frameHeaders, flagPadded | flagEndHeaders, 1, nil, ProtocolError, "a frame is shorter than what it should hold"},
		{"half a priority", frameHeaders, flagPriority | flagEndHeaders, 1, []byte{0, 0, 0, 0}, ProtocolError, "a frame is shorter than what it should hold"},
		{"index of nothing", frameHeaders, flagEndHeaders, 1, []byte{0xff, 0xff, 0x7f}, CompressionError, "a field block is malformed"},
		{"half a field", frameHeaders, flagEndHeaders, 1, []byte{0x40}, CompressionError, "a field block is malformed"},
		{"continuation of nothing", frameContinuation, flagEndHeaders, 1, nil, ProtocolError, "a field block is continued that was not begun"},
		{"push", framePushPromise, 0, 1, make([]byte, 8), ProtocolError, "it pushes, which was not allowed"},
		{"settings of a stream", frameSettings, 0, 1, nil, ProtocolError, "settings are for a stream"},
		{"half a setting", frameSettings, 0, 0, make([]byte, 5), FrameSizeError, "settings have the wrong size"},
		{"settings in an acknowledgement", frameSettings, flagAck, 0, make([]byte, 6), FrameSizeError, "an acknowledgement has settings"},
		{"server that is pushed", frameSettings, 0, 0, appendSetting(nil, settingEnablePush, 1), ProtocolError, "a server has nobody push"},
		{"large window", frameSettings, 0, 0, appendSetting(nil, settingInitialWindowSize, 1<<31), FlowControlError, "a window is too large"},
		{"small frames", frameSettings, 0, 0, appendSetting(nil, settingMaxFrameSize, 1), ProtocolError, "the size of frames is out of its range"},
		{"ping of a stream", framePing, 0, 1, make([]byte, 8), ProtocolError, "a ping is for a stream"},
		{"short ping", framePing, 0, 0, make([]byte, 7), FrameSizeError, "a ping has the wrong size"},
		{"short reset", frameReset, 0, 1, make([]byte, 3), FrameSizeError, "a reset has the wrong size"},
		{"reset of nothing", frameReset, 0, 0, make([]byte, 4), ProtocolError, "a frame is for a stream that nobody has opened"},
		{"short end", frameGoAway, 0, 0, make([]byte, 7), ProtocolError, "an end of the connection is malformed"},
		{"short update", frameWindowUpdate, 0, 0, make([]byte, 3), FrameSizeError, "a window update has the wrong size"},
		{"update by nothing", frameWindowUpdate, 0, 0, number(0), FlowControlError, "a window is opened by nothing, or too far"},
		{"update too far", frameWindowUpdate, 0, 0, number(1<<31 - 1), FlowControlError, "a window is opened by nothing, or too far"},
		{"priority of nothing", framePriority, 0, 0, make([]byte, 5), ProtocolError, "a priority is for no stream"},
	} {
		w := newWorld(t)
		e := w.open(true)
		w.take()
		err := w.receive(test.kind, test.flags, test.stream, test.data)
		want := "the origin does not keep to HTTP/2: " + test.text
		if err == nil || err.Error() != want || err.(*Error).Code != test.code || e.failure != want {
			t.Errorf("%s: got %v; the stream %q", test.name, err, e.failure)
		}
		frames := w.take()
		if len(frames) != 1 || frames[0].kind != frameGoAway || Code(binary.BigEndian.Uint32(frames[0].payload[4:])) != test.code {
			t.Errorf("%s: answered %v", test.name, frames)
		}
		if w.conn.IsUsable() || w.conn.Streams() != 0 || w.receive(framePing, 0, 0, make([]byte, 8)) == nil {
			t.Errorf("%s: the connection goes on", test.name)
		}
	}
}

// TestBeginning: a server begins with its settings.
func TestBeginning(t *testing.T) {
	for _, first := range [][]byte{
		frameOf(framePing, 0, 0, make([]byte, 8)), frameOf(frameSettings, flagAck, 0, nil), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		w := &world{t: t}
		w.conn = NewConn(w)
		if err := w.conn.Receive(first); err == nil {
			t.Errorf("%q is taken", first)
		}
	}
}

// TestStreamErrors: what ends one stream, and leaves the connection in use.
func TestStreamErrors(t *testing.T) {
	const malformed = "the origin's response is malformed: "
	head := []string{":status", "200"}
	for _, test := range []struct {
		name  string
		steps func(w *world)
		text  string
		code  Code
	}{
		{"body without a head", func(w *world) { w.must(frameData, 0, 1, []byte("x")) }, "the origin sent a body before a head", ProtocolError},
		{"no status", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields("a", "b")) }, malformed + "it has no status", ProtocolError},
		{"two", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", ":status", "200")) },
			malformed + "pseudo-header fields are wrong", ProtocolError},
		{"late status", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields("a", "b", ":status", "200")) },
			malformed + "pseudo-header fields are wrong", ProtocolError},
		{"path", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", ":path", "/")) },
			malformed + "pseudo-header fields are wrong", ProtocolError},
		{"long status", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "2000")) },
			malformed + "pseudo-header fields are wrong", ProtocolError},
		{"odd status", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "2x0")) },
			malformed + "its status is no number", ProtocolError},
		{"low status", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "099")) },
			malformed + "its status is too low", ProtocolError},
		{"status 101", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "101")) },
			malformed + "status 101 is none for it", ProtocolError},
		{"interim and nothing else", func(w *world) { w.must(frameHeaders, flagEndHeaders|flagEndStream, 1, w.fields(":status", "103")) },
			malformed + "status 103 is none for it", ProtocolError},
		{"interim without end", func(w *world) {
			for range interimMax + 1 {
				w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "103"))
			}
		}, "the origin sent too many interim responses", EnhanceYourCalm},
		{"line feed", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", "a", "b\nc: d")) },
			malformed + "a field has control characters", ProtocolError},
		{"colon", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", "a: b", "c")) },
			malformed + "a field has a malformed name", ProtocolError},
		{"capital", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", "A", "b")) },
			malformed + "a field has a malformed name", ProtocolError},
		{"no name", func(w *world) { w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", "", "b")) },
			malformed + "a field has a malformed name", ProtocolError},
		{"chunked", func(w *world) {
			w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200", "transfer-encoding", "chunked"))
		},
			malformed + "the field transfer-encoding belongs to HTTP/1.1", ProtocolError},
		{"large head", func(w *world) {
			texts := []string{":status", "200"}
			for range 40 {
				texts = append(texts, "a", strings.Repeat("b", 1000))
			}
			w.must(frameHeaders, flagEndHeaders, 1, w.fields(texts...))
		}, malformed + "its head is too long", ProtocolError},
		{"second head", func(w *world) {
			w.must(frameHeaders, flagEndHeaders, 1, w.fields(head...))
			w.must(frameHeaders, flagEndHeaders|flagEndStream, 1, w.fields(head...))
		}, malformed + "a second head", ProtocolError},
		{"trailers and more", func(w *world) {
			w.must(frameHeaders, flagEndHeaders, 1, w.fields(head...))
			w.must(frameHeaders, flagEndHeaders, 1, w.fields("a", "b"))
		}, malformed + "a second head", ProtocolError},
		{"more than the window", func(w *world) {
			w.must(frameHeaders, flagEndHeaders, 1, w.fields(head...))
			w.streams[0].stops = true
			for range streamWindow/frameSizeMax + 1 {
				w.must(frameData, 0, 1, make([]byte, frameSizeMax))
			}
		}, "the origin sent more than it was allowed to", FlowControlError},
		{"update by nothing", func(w *world) { w.must(frameWindowUpdate, 0, 1, number(0)) },
			"the origin opened a window by nothing, or too far", FlowControlError},
		{"reset", func(w *world) { w.must(frameReset, 0, 1, number(2)) }, "the origin reset the stream (INTERNAL_ERROR)", NoError},
		{"odd reset", func(w *world) { w.must(frameReset, 0, 1, number(99)) }, "the origin reset the stream (an unknown error)", NoError},
	} {
		w := newWorld(t)
		e := w.open(true)
		w.take()
		test.steps(w)
		if e.failure != test.text || e.unused || w.conn.Streams() != 0 {
			t.Errorf("%s: got %q", test.name, e.failure)
		}
		frames := w.take()
		last := frame{}
		if len(frames) != 0 {
			last = frames[len(frames)-1]
		}
		if test.code != NoError && (last.kind != frameReset || Code(binary.BigEndian.Uint32(last.payload)) != test.code) {
			t.Errorf("%s: answered %v", test.name, frames)
		}
		// What was under way is no error, and the connection goes on.
		w.must(frameData, flagEndStream, 1, []byte("x"))
		next := w.open(true)
		w.must(frameHeaders, flagEndHeaders|flagEndStream, 3, w.fields(":status", "204", "a", "b"))
		if next.status != 204 || !next.isOver {
			t.Errorf("%s: the next one: %d", test.name, next.status)
		}
	}
}

// TestFloods: what is cheap to send and of no use breaks the connection, sooner or later.
func TestFloods(t *testing.T) {
	for name, send := range map[string]func(w *world) error{
		"pings":    func(w *world) error { return w.receive(framePing, 0, 0, make([]byte, 8)) },
		"settings": func(w *world) error { return w.receive(frameSettings, 0, 0, nil) },
		"acks":     func(w *world) error { return w.receive(frameSettings, flagAck, 0, nil) },
		"unknown":  func(w *world) error { return w.receive(99, 0, 0, nil) },
		"priority": func(w *world) error { return w.receive(framePriority, 0, 1, make([]byte, 5)) },
		"empty":    func(w *world) error { return w.receive(frameData, 0, 1, nil) },
		"padding":  func(w *world) error { return w.receive(frameData, flagPadded, 3, []byte{0}) },
		"ends":     func(w *world) error { return w.receive(frameGoAway, 0, 0, append(number(100), number(0)...)) },
		"resets":   func(w *world) error { return w.receive(frameReset, 0, 3, number(0)) },
		"blocks":   func(w *world) error { return w.receive(frameHeaders, flagEndHeaders, 3, []byte{0x88}) },
	} {
		w := newWorld(t)
		w.open(true)
		other := w.open(true)
		other.stream.Reset()
		w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200"))
		var err error
		n := 0
		for ; err == nil && n < 10*nuisanceMax; n++ {
			err = send(w)
		}
		if err == nil || err.(*Error).Code != EnhanceYourCalm {
			t.Errorf("%s: after %d: %v", name, n, err)
		}
	}
}

// TestContinuationFlood: a field block may not go on without end.
func TestContinuationFlood(t *testing.T) {
	for _, size := range []int{0, frameSizeMax} {
		w := newWorld(t)
		w.open(true)
		w.must(frameHeaders, 0, 1, nil)
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = w.receive(frameContinuation, 0, 1, make([]byte, size))
		}
		if err == nil || err.(*Error).Code != EnhanceYourCalm || len(w.conn.block) > blockMax {
			t.Errorf("pieces of %d: after %d: %v", size, n, err)
		}
	}
}

// TestSendWindow: a body goes out as far as the windows are open, in turn, and its owner hears when there is room.
func TestSendWindow(t *testing.T) {
	w := newWorld(t, settingInitialWindowSize, 10)
	a, b := w.open(false), w.open(false)
	w.take()
	if a.stream.Write([]byte("0123456789abcdef")) {
		t.Error("it was all sent")
	}
	data := func() (text string) {
		for _, f := range w.take() {
			text += fmt.Sprintf("%d:%s:%d ", f.stream, f.payload, f.flags)
		}
		return text
	}
	expect := func(what, want string) {
		t.Helper()
		if got := data(); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	expect("the first window", "1:0123456789:0 ")
	w.must(frameWindowUpdate, 0, 1, number(3))
	expect("an update", "1:abc:0 ")
	if a.rooms != 0 || !a.stream.IsWaiting() {
		t.Error("room too early")
	}
	w.must(frameSettings, 0, 0, appendSetting(nil, settingInitialWindowSize, 14))
	if got := data(); got != "0::1 1:def:0 " && got != "1:def:0 0::1 " {
		t.Errorf("settings: %q", got)
	}
	if a.rooms != 1 || a.stream.IsWaiting() {
		t.Errorf("%d times room", a.rooms)
	}
	a.stream.Write([]byte("!?"))
	a.stream.End()
	expect("one byte", "1:!:0 ")
	w.must(frameSettings, 0, 0, appendSetting(nil, settingInitialWindowSize, 0)) // below what was sent
	w.take()
	w.must(frameWindowUpdate, 0, 1, number(14))
	expect("below nothing", "")
	w.must(frameWindowUpdate, 0, 1, number(1))
	expect("the end", "1:?:1 ")
	b.stream.End()
	expect("an end without a window", "3::1 ")

	// The window of the connection, for which two streams wait.
	w = newWorld(t, settingInitialWindowSize, 1<<20)
	a, b = w.open(false), w.open(false)
	a.stream.Write(make([]byte, windowSizeDefault+4))
	b.stream.Write([]byte("wxyz"))
	w.take()
	w.must(frameWindowUpdate, 0, 0, number(6))
	expect("a window for both", "1:\x00\x00\x00\x00:0 3:wx:0 ")
	b.stream.Reset()
	w.take()
	w.must(frameWindowUpdate, 0, 0, number(6))
	expect("a stream that is gone", "")
	if len(w.conn.blocked) != 0 {
		t.Error("somebody waits")
	}
}

// TestReceiveWindow: windows are opened as what was sent is taken, not before.
func TestReceiveWindow(t *testing.T) {
	w := newWorld(t)
	e := w.open(true)
	w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200"))
	w.take()
	updates := func() (stream, connection int) {
		for _, f := range w.take() {
			if f.kind != frameWindowUpdate {
				t.Errorf("sent %v", f)
			} else if n := int(binary.BigEndian.Uint32(f.payload)); f.stream == 0 {
				connection += n
			} else {
				stream += n
			}
		}
		return stream, connection
	}
	piece := make([]byte, frameSizeMax)
	for range 3 * connectionWindow / frameSizeMax {
		w.must(frameData, 0, 1, piece)
	}
	if stream, connection := updates(); stream != 3*connectionWindow || connection != 3*connectionWindow {
		t.Errorf("taken: windows opened by %d and %d", stream, connection)
	}
	e.stops = true
	for range streamWindow / frameSizeMax {
		w.must(frameData, 0, 1, piece)
	}
	if stream, _ := updates(); stream != 0 {
		t.Errorf("not taken: window opened by %d", stream)
	}
	e.stream.Resume()
	if stream, _ := updates(); stream != streamWindow {
		t.Errorf("resumed: window opened by %d", stream)
	}
	// Padding takes room, too, and what is sent on a stream that is gone.
	w.must(frameData, flagPadded, 1, append([]byte{255}, make([]byte, 255)...))
	if got := e.stream.receiveWindow; got != streamWindow-256 {
		t.Errorf("padding: window of %d", got)
	}
	e.stream.Reset()
	for range 2 * connectionWindow / frameSizeMax {
		w.must(frameData, 0, 1, piece)
	}
	w.must(frameData, flagEndStream, 1, nil)
}

// TestLimits: no more streams than the server wants, and none after its end.
func TestLimits(t *testing.T) {
	w := &world{t: t}
	w.encoder = hpack.NewEncoder(&w.block)
	w.conn = NewConn(w)
	w.sent = nil
	for range concurrentAtFirst {
		w.open(true)
	}
	if w.conn.CanOpen() {
		t.Error("any number of streams before the settings")
	}
	w.must(frameSettings, 0, 0, nil)
	for range concurrentDefault - concurrentAtFirst {
		w.open(true)
	}
	if w.conn.CanOpen() {
		t.Error("any number of streams")
	}
	w.must(frameSettings, 0, 0, appendSetting(nil, settingMaxConcurrentStreams, 1<<31))
	w.open(true)
	// The server has not looked at the last three.
	last := uint32(2*len(w.streams) - 1 - 6)
	w.must(frameGoAway, 0, 0, append(number(last), number(0)...))
	for i, e := range w.streams {
		if isLate := i >= len(w.streams)-3; e.isOver != isLate || e.unused != isLate {
			t.Fatalf("stream %d: over %v, unused %v", i, e.isOver, e.unused)
		}
	}
	if w.conn.CanOpen() || w.conn.IsUsable() {
		t.Error("new streams after the end")
	}
	w.must(frameHeaders, flagEndHeaders|flagEndStream, 1, w.fields(":status", "200"))
	if w.streams[0].status != 200 {
		t.Error("what the server still answers is lost")
	}
	w.conn.Fail("gone")
	if e := w.streams[1]; e.failure != "gone" || e.unused || w.conn.Streams() != 0 {
		t.Errorf("%q, %d streams", e.failure, w.conn.Streams())
	}
}

// TestRefused: a refusal is known as one, and fewer streams are opened then.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(true), w.open(true)
	w.must(frameReset, 0, 3, number(uint32(RefusedStream)))
	if !b.unused || a.isOver || w.conn.CanOpen() {
		t.Errorf("unused %v, more %v", b.unused, w.conn.CanOpen())
	}
	w.must(frameHeaders, flagEndHeaders, 1, w.fields(":status", "200"))
	w.must(frameReset, 0, 1, number(uint32(RefusedStream)))
	if a.unused || !a.isOver || !w.conn.CanOpen() {
		t.Error("refused after it was answered")
	}
}

// TestEarly: a server that answers before it has the whole request is told to do without.
func TestEarly(t *testing.T) {
	w := newWorld(t)
	e := w.open(false)
	e.stream.Write([]byte("x"))
	w.take()
	w.must(frameHeaders, flagEndHeaders|flagEndStream, 1, w.fields(":status", "413"))
	frames := w.take()
	if e.status != 413 || !e.isOver || len(frames) != 1 || frames[0].kind != frameReset {
		t.Errorf("%d, answered %v", e.status, frames)
	}
	if e.stream.Write([]byte("y")) || e.stream.ID() != 0 {
		t.Error("the stream goes on")
	}
	e.stream.End()
	e.stream.Reset()
	if frames := w.take(); len(frames) != 0 {
		t.Errorf("sent %v", frames)
	}
}

// TestHold: what belongs together leaves together.
func TestHold(t *testing.T) {
	w := newWorld(t)
	w.conn.Hold()
	e := w.open(false)
	e.stream.Write([]byte("body"))
	e.stream.End()
	if len(w.sent) != 0 {
		t.Error("sent early")
	}
	w.conn.Release()
	if frames := w.take(); len(frames) != 3 || frames[2].flags != flagEndStream {
		t.Errorf("%v", frames)
	}
}

// TestAllocations: requests make no garbage.
func TestAllocations(t *testing.T) {
	w := newWorld(t)
	e := &exchange{t: t}
	request := &Request{
		Method: []byte("POST"), Scheme: []byte("https"), Authority: []byte("origin.example"), Path: []byte("/path?query"),
		Lines: []byte("accept: */*\r\naccept-encoding: gzip, br, zstd\r\nX-Header: some value\r\ncontent-length: 5\r\n"),
	}
	body := []byte("hello")
	if n := testing.AllocsPerRun(1000, func() {
		w.sent = w.sent[:0]
		w.conn.Hold()
		w.conn.Open(&e.stream, e, request, false)
		e.stream.Write(body)
		e.stream.End()
		w.conn.Release()
		e.stream.Reset()
	}); n > 0 {
		t.Errorf("%v allocations for a request", n)
	}
}
