package ws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// heap is Memory that notes what is not given back.
type heap struct{ held int }

func (h *heap) Grow(buffer []byte, n int) []byte {
	if buffer == nil {
		h.held++
		return make([]byte, 0, n)
	}
	if cap(buffer)-len(buffer) < n {
		return append(make([]byte, 0, len(buffer)+n), buffer...)
	}
	return buffer
}

func (h *heap) Give(buffer []byte) {
	if buffer != nil {
		h.held--
	}
}

// An event is what a parser has found.
type event struct {
	what    Opcode
	payload string
}

func (e event) String() string { return fmt.Sprintf("%d %q", e.what, e.payload) }

// parse feeds a parser with pieces and returns what it found, and the error that ended it.
func parse(t testing.TB, p *Parser, pieces ...[]byte) (events []event, err *Error) {
	t.Helper()
	memory := &heap{}
	p.Memory = memory
	for _, piece := range pieces {
		piece = bytes.Clone(piece)
		for len(piece) != 0 && err == nil {
			var used int
			var what Opcode
			var payload []byte
			used, what, payload, err = p.Next(piece)
			if used == 0 && err == nil {
				t.Fatal("nothing was used")
			}
			if what != Continuation {
				events = append(events, event{what, string(payload)})
			}
			piece = piece[used:]
		}
	}
	p.Free()
	if memory.held != 0 {
		t.Errorf("%d buffers were not given back", memory.held)
	}
	return events, err
}

// split cuts input in pieces of n bytes.
func split(input []byte, n int) (pieces [][]byte) {
	for len(input) > n {
		pieces = append(pieces, input[:n])
		input = input[n:]
	}
	return append(pieces, input)
}

// frames makes the frames of either role. Lengths are as short as they can be.
type frames struct {
	isClient bool
	key      uint32
}

func (f *frames) frame(first byte, payload string) string {
	f.key = f.key*0x9e3779b1 + 0x7f4a7c15
	key := f.key
	var keyOf *uint32
	if f.isClient {
		keyOf = &key
	}
	head := AppendHeader(nil, Opcode(first&0x0f), false, len(payload), keyOf)
	head[0] = first
	masked := []byte(payload)
	if f.isClient {
		Mask(masked, key)
	}
	return string(head) + string(masked)
}

func TestHeaders(t *testing.T) {
	key := uint32(0x04030201)
	for _, c := range []struct {
		n    int
		key  *uint32
		want string
	}{
		{0, nil, "\x82\x00"}, {125, nil, "\x82\x7d"}, {126, nil, "\x82\x7e\x00\x7e"}, {65535, nil, "\x82\x7e\xff\xff"},
		{65536, nil, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"}, {1, &key, "\x82\x81\x01\x02\x03\x04"},
		{65536, &key, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00\x01\x02\x03\x04"},
	} {
		if got := string(AppendHeader(nil, Binary, false, c.n, c.key)); got != c.want {
			t.Errorf("%d bytes: got %q, want %q", c.n, got, c.want)
		}
	}
	if got := AppendHeader(nil, Text, true, 0, nil); got[0] != 0xc1 {
		t.Errorf("compressed: got %x", got)
	}
}

func TestMask(t *testing.T) {
	const key = 0x04030201
	for n := range 100 {
		plain := make([]byte, n)
		for i := range plain {
			plain[i] = byte(i * 7)
		}
		want := bytes.Clone(plain)
		for i := range want {
			want[i] ^= byte(i%4 + 1)
		}
		for cut := range n + 1 {
			got := bytes.Clone(plain)
			if next := Mask(got[cut:], Mask(got[:cut], key)); !bytes.Equal(got, want) || byte(next) != byte(n%4+1) {
				t.Fatalf("%d bytes cut at %d: got %x, want %x; next key %x", n, cut, got, want, next)
			}
		}
	}
}

// Every split of a text is judged as the whole, and a prefix that nothing can complete at once.
func TestValidator(t *testing.T) {
	texts := []string{"", "a", "é", "€", "𝄞", "aé€𝄞z", "\xff", "a\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xf0\x9d\x84", "\xe2\x28\xa1",
		"\x80", "é\x80", "\xc3", "\xf8\x88\x80\x80\x80", strings.Repeat("€", 50), "κόσμε\xed\xa0\x80edited"}
	for _, text := range texts {
		for size := 1; size <= len(text)+1; size++ {
			var v validator
			isValid, failedAt := true, -1
			for i := 0; i < len(text) && isValid; i += size {
				piece := text[i:min(i+size, len(text))]
				if isValid = v.add([]byte(piece)); !isValid {
					failedAt = i + len(piece)
				}
			}
			if isValid && !v.end() {
				isValid = false
			}
			if isValid != utf8.ValidString(text) {
				t.Errorf("%q in pieces of %d: %v", text, size, isValid)
			}
			if size == 1 && failedAt > 0 && couldBeValid(text[:failedAt]) || size == 1 && failedAt < 0 && !couldBeValid(text) {
				t.Errorf("%q failed after %d bytes", text, failedAt)
			}
		}
	}
}

// couldBeValid reports whether more bytes can make text valid.
func couldBeValid(text string) bool {
	for _, more := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\x90\x80", "\x90\x80\x80", "\xa0\x80", "\xbf", "\xbf\xbf", "\xbf\xbf\xbf"} {
		if utf8.ValidString(text + more) {
			return true
		}
	}
	return false
}

func TestCloseFrames(t *testing.T) {
	for _, c := range []struct {
		payload string
		code    uint16
		reason  string
		err     *Error
	}{
		{"", CodeNone, "", nil}, {"\x03", 0, "", errCloseSize}, {"\x03\xe8", 1000, "", nil}, {"\x03\xe8bye", 1000, "bye", nil},
		{"\x03\xe8\xff", 0, "", errUTF8}, {"\x00\x00", 0, "", errCloseCode}, {"\x13\x87€", 4999, "€", nil},
	} {
		if code, reason, err := ParseClose([]byte(c.payload)); code != c.code || string(reason) != c.reason || err != c.err {
			t.Errorf("%q: got %d %q %v", c.payload, code, reason, err)
		}
	}
	if got := AppendClosePayload(nil, 0, []byte("x")); len(got) != 0 {
		t.Errorf("without a code: %q", got)
	}
	// 123 bytes at most, and no half characters.
	if got, want := string(AppendClosePayload(nil, 1000, []byte(strings.Repeat("€", 50)))), "\x03\xe8"+strings.Repeat("€", 41); got != want {
		t.Errorf("long reason: %q", got)
	}
	if got, want := string(AppendClosePayload(nil, 1000, []byte("a"+strings.Repeat("€", 50)))), "\x03\xe8a"+strings.Repeat("€", 40); got != want {
		t.Errorf("long reason: %q", got)
	}
}

// Whatever the pieces are in which frames come, the same comes out.
func FuzzParser(f *testing.F) {
	make := frames{isClient: true}
	f.Add([]byte(make.frame(0x81, "hello")+make.frame(0x89, "p")+make.frame(0x02, "ab")+make.frame(0x88, "")), uint16(1), true)
	f.Add([]byte(make.frame(0x01, "h€")+make.frame(0x8a, "")+make.frame(0x80, "llo")), uint16(3), true)
	var d Deflater
	f.Add([]byte(make.frame(0xc1, string(d.Deflate([]byte("hello hello hello hello"), 15)))), uint16(7), true)
	f.Fuzz(func(t *testing.T, input []byte, size uint16, isServer bool) {
		newParser := func() *Parser {
			return &Parser{Limit: 1 << 16, IsClient: !isServer, Inflater: &Inflater{}, KeepsContext: size&1 == 0}
		}
		whole, wholeErr := parse(t, newParser(), input)
		pieces, piecesErr := parse(t, newParser(), split(input, int(size)+1)...)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) || wholeErr != piecesErr {
			t.Errorf("%x: %v %v, in pieces %v %v", input, whole, wholeErr, pieces, piecesErr)
		}
		for _, e := range whole {
			if e.what == Text && !utf8.ValidString(e.payload) {
				t.Errorf("%x: text %q", input, e.payload)
			}
			if len(e.payload) > 1<<16 {
				t.Errorf("%x: message of %d bytes", input, len(e.payload))
			}
		}
	})
}

// What one side compresses the other side restores, whatever the window.
func TestDeflate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var deflater Deflater
	var inflater Inflater
	for _, message := range []string{"", "a", strings.Repeat("abc", 10_000), string(noise), strings.Repeat(string(noise[:1000]), 100)} {
		for bits := uint8(windowBitsMin); bits <= windowBitsMax; bits++ {
			memory := &heap{}
			got, err := inflater.inflate(memory, deflater.Deflate([]byte(message), bits), nil, 1<<20)
			if err != nil || string(got) != message {
				t.Errorf("%d bytes, %d bits: got %d bytes, %v", len(message), bits, len(got), err)
			}
		}
	}
}

// What RFC 7692 §7.2.3 gives for examples.
func TestDeflateExamples(t *testing.T) {
	for name, c := range map[string]struct{ payload, want string }{
		"one block":      {"\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"},
		"no compression": {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"},
		"final block":    {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"},
		"two blocks":     {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"},
		"empty":          {"\x00", ""},
		"two streams":    {"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", "HelloHello"},
	} {
		f := frames{isClient: true}
		input := []byte(f.frame(0xc1, c.payload))
		for _, pieces := range [][][]byte{{input}, split(input, 1)} {
			events, err := parse(t, &Parser{Limit: 100, Inflater: &Inflater{}}, pieces...)
			if len(events) != 1 || err != nil || events[0] != (event{Text, c.want}) {
				t.Errorf("%s: got %v %v", name, events, err)
			}
		}
	}
	// With the context of the message before (§7.2.3.2).
	f := frames{}
	input := []byte(f.frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00") + f.frame(0xc1, "\xf2\x00\x11\x00\x00"))
	events, err := parse(t, &Parser{Limit: 100, Inflater: &Inflater{}, IsClient: true, KeepsContext: true}, input)
	if fmt.Sprint(events) != `[1 "Hello" 1 "Hello"]` || err != nil {
		t.Errorf("got %v %v", events, err)
	}
	if events, err := parse(t, &Parser{Limit: 100, Inflater: &Inflater{}, IsClient: true}, input); len(events) != 1 || err != errDeflate {
		t.Errorf("without the context: %v %v", events, err)
	}
}

// A small message that becomes a large one costs no more memory than the limit.
func TestDeflateBomb(t *testing.T) {
	var d Deflater
	bomb := d.Deflate(make([]byte, 10<<20), windowBitsMax)
	var inflater Inflater
	text, err := inflater.inflate(&heap{}, bomb, nil, 1<<20)
	if err != errTooBig || cap(text) > 3<<20 {
		t.Errorf("%v, with %d bytes held", err, cap(text))
	}
	// Streams without end cost time; there is a limit.
	streams := bytes.Repeat([]byte("\x03\x00"), 10_000)
	if _, err := inflater.inflate(&heap{}, streams, nil, 1<<20); err != errDeflate {
		t.Errorf("many streams: %v", err)
	}
}

func TestContextIsKept(t *testing.T) {
	p := &Parser{Memory: &heap{}}
	var all []byte
	for i := range 200 {
		piece := bytes.Repeat([]byte{byte(i)}, i*7)
		if i == 150 {
			piece = bytes.Repeat([]byte("x"), windowSize+5)
		}
		all = append(all, piece...)
		p.remember(piece)
		if want := all[max(0, len(all)-windowSize):]; !bytes.Equal(p.window, want) {
			t.Fatalf("after %d: %d bytes are kept, want %d", i, len(p.window), len(want))
		}
	}
}

func TestMessagesThatFitCostNoMemory(t *testing.T) {
	make := frames{isClient: true}
	input := []byte(make.frame(0x81, "hello, world") + make.frame(0x82, strings.Repeat("x", 1000)))
	view := bytes.Clone(input)
	p := &Parser{Memory: &heap{}, Limit: 1 << 20}
	if n := testing.AllocsPerRun(100, func() {
		copy(view, input)
		for rest := view; len(rest) != 0; {
			used, what, _, err := p.Next(rest)
			if err != nil || what == Continuation {
				t.Fatal(what, err)
			}
			rest = rest[used:]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
