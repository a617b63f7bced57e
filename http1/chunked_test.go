package http1

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// decodePieces decodes body given in the pieces that end at lengths (ascending), and the rest. It
// returns the data, the bytes consumed, whether the body was done, and the refusal's status or 0.
func decodePieces(t testing.TB, body []byte, lengths ...int) (data []byte, consumed int, done bool, status int) {
	var d ChunkDecoder
	for _, end := range append(lengths, len(body)) {
		for consumed < end {
			piece, n, finished, err := d.Decode(body[consumed:end:end])
			data = append(data, piece...)
			if n < 0 || consumed+n > end || len(piece) > n {
				t.Fatalf("Decode consumed %d of %d bytes, with %d of data", n, end-consumed, len(piece))
			}
			consumed += n
			if err != nil {
				return data, consumed, false, err.(*Error).Status
			}
			if finished {
				return data, consumed, true, 0
			}
			if n == 0 {
				t.Fatalf("Decode consumed nothing of %q", body[consumed:end])
			}
		}
	}
	return data, consumed, false, 0
}

// checkChunkSplits checks that body, cut anywhere or into single bytes, decodes as it does in one piece.
func checkChunkSplits(t testing.TB, body []byte) {
	wantData, wantConsumed, wantDone, wantStatus := decodePieces(t, body)
	check := func(how int, lengths ...int) {
		data, consumed, done, status := decodePieces(t, body, lengths...)
		if !bytes.Equal(data, wantData) || consumed != wantConsumed || done != wantDone || status != wantStatus {
			t.Fatalf("cut at %d (-1: everywhere): %q, %d bytes, done %t, status %d; want %q, %d, %t, %d\n%q",
				how, data, consumed, done, status, wantData, wantConsumed, wantDone, wantStatus, body)
		}
	}
	every := make([]int, len(body))
	for cut := range body {
		every[cut] = cut
		check(cut, cut)
	}
	check(-1, every...)
}

// referenceDecode is the plain reading of RFC 9112 §7.1 that the decoder is compared with: it needs
// the whole body at once.
func referenceDecode(body []byte) (data []byte, consumed int, ok bool) {
	rest := string(body)
	extensions := 0
	for {
		line, after, found := strings.Cut(rest, "\r\n")
		if !found {
			return nil, 0, false
		}
		digits := line[:len(line)-len(strings.TrimLeft(line, "0123456789abcdefABCDEF"))]
		extension := line[len(digits):]
		if extension != "" {
			extensions += len(extension) + len("\r")
		}
		size, err := strconv.ParseUint(digits, 16, 63)
		if err != nil || len(digits) > 16 || !referenceExtensions(extension) || extensions > MaxChunkExtensions {
			return nil, 0, false
		}
		rest = after
		if size == 0 {
			break
		}
		if uint64(len(rest)) < size || !strings.HasPrefix(rest[size:], "\r\n") {
			return nil, 0, false
		}
		data = append(data, rest[:size]...)
		rest = rest[size+2:]
	}
	before := len(rest)
	for {
		line, after, found := strings.Cut(rest, "\r\n")
		if !found || before-len(after) > MaxTrailers {
			return nil, 0, false
		}
		rest = after
		if line == "" {
			return data, len(body) - len(rest), true
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken([]byte(name)) || !isText(value) {
			return nil, 0, false
		}
	}
}

// referenceExtensions reports whether s is chunk-ext of RFC 9112 §7.1.1.
func referenceExtensions(s string) bool {
	token := func() bool {
		n := 0
		for n < len(s) && isToken([]byte{s[n]}) {
			n++
		}
		s = s[n:]
		return n > 0
	}
	for s != "" {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, ";") {
			return false
		}
		s = strings.TrimLeft(s[1:], " \t")
		if !token() {
			return false
		}
		value := strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(value, "=") {
			continue
		}
		s = strings.TrimLeft(value[1:], " \t")
		if !strings.HasPrefix(s, `"`) {
			if !token() {
				return false
			}
			continue
		}
		end := 1
		for end < len(s) && s[end] != '"' {
			if s[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(s) || !isText(s[:end]) {
			return false
		}
		s = s[end+1:]
	}
	return true
}

// isText reports whether s has only what a field value may hold.
func isText(s string) bool {
	return strings.IndexFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) < 0
}

func TestChunkDecoder(t *testing.T) {
	const wrong, incomplete = "(refused)", "(incomplete)"
	long := strings.Repeat("x", MaxChunkExtensions)
	for _, test := range []struct{ name, body, want string }{
		{"RFC 9112 §7.1 one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"RFC 9112 §7.1 no data", "0\r\n\r\n", ""},
		{"RFC 9112 §7.1 several chunks", "1\r\na\r\nA\r\n0123456789\r\nb\r\n01234567890\r\n000\r\n\r\n", "a012345678901234567890"},
		{"RFC 9112 §7.1 size of 16 digits", "0000000000000001\r\na\r\n0000000000000000\r\n\r\n", "a"},
		{"RFC 9112 §7.1 data that looks like framing", "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", "0\r\n\r\n0\r"},
		{"RFC 9112 §7.1 size of 17 digits", "00000000000000001\r\na\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 size beyond an int64", "8000000000000000\r\n", wrong},
		{"RFC 9112 §7.1 largest size", "7fffffffffffffff\r\n", incomplete},
		{"RFC 9112 §7.1 size beyond 64 bits", "10000000000000000\r\n", wrong},
		{"RFC 9112 §7.1 no size", "\r\n", wrong},
		{"RFC 9112 §7.1 extension without size", ";a\r\n", wrong},
		{"RFC 9112 §7.1 plus", "+5\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 minus", "-5\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 0x", "0x5\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 letter after f", "g\r\n", wrong},
		{"RFC 9112 §7.1 underscore", "1_0\r\n", wrong},
		{"RFC 9112 §7.1 blank before the size", " 5\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 blank after the size", "5 \r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 blank in the size", "5 5\r\n", wrong},
		{"RFC 9112 §7.1 NUL after the size", "5\x00\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 LF after the size", "5\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 CR after the size", "5\rhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 LF after the data", "5\r\nhello\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 nothing after the data", "5\r\nhello0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 CR after the data", "5\r\nhello\r0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 more data than said", "4\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 less data than said", "6\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1 LF at the end", "0\r\n\n", wrong},
		{"RFC 9112 §7.1 LF LF at the end", "0\n\n", wrong},
		{"RFC 9112 §7.1 CR at the end", "0\r\n\r\r\n", wrong},
		{"RFC 9112 §7.1 a request in place of the end", "0\r\nGET / HTTP/1.1\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 name", "5;a\r\nhello\r\n0;b;c\r\n\r\n", "hello"},
		{"RFC 9112 §7.1.1 token value", "5;a=b;c=d;e\r\nhello\r\n0\r\n\r\n", "hello"},
		{"RFC 9112 §7.1.1 quoted value", "5;a=\"b; \\\"c\\\\ \xe9\t\"\r\nhello\r\n0;a=\"\"\r\n\r\n", "hello"},
		{"RFC 9112 §7.1.1 bad whitespace", "5 ; a =\tb ; c = \"d\"\t;e\r\nhello\r\n0\r\n\r\n", "hello"},
		{"RFC 9112 §7.1.1 no name", "5;\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 blank for a name", "5; \r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 value without name", "5;=a\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 no value", "5;a=\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 two values", "5;a=b=c\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 two values, blank between", "5;a=b =c\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 blank in a value", "5;a=b c\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 blank after a name", "5;a \r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 blank after a value", "5;a=b \r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 text after a quoted value", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 open quotes", "5;a=\"b\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 escaped CR", "5;a=\"b\\\r\n\"\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 quoted name", "5;\"a\"\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 LF after an extension", "5;a\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 LF in quotes", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 NUL", "5;a\x00\r\nhello\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 bound, one chunk", "1;" + long[2:] + "\r\na\r\n0\r\n\r\n", "a"},
		{"RFC 9112 §7.1.1 over the bound, one chunk", "1;" + long[1:] + "\r\na\r\n0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 over the bound, many chunks", strings.Repeat("1;x\r\na\r\n", MaxChunkExtensions/3+1) + "0\r\n\r\n", wrong},
		{"RFC 9112 §7.1.1 bound, many chunks", strings.Repeat("1;xy\r\na\r\n", MaxChunkExtensions/4) + "0\r\n\r\n", strings.Repeat("a", MaxChunkExtensions/4)},
		{"RFC 9112 §7.1.1 over the bound by a semicolon", strings.Repeat("1;xy\r\na\r\n", MaxChunkExtensions/4) + "0;", wrong},
		{"RFC 9112 §7.1.2 trailers", "1\r\na\r\n0\r\nX: y\r\nEmpty:\r\nZ:\tcaf\xe9 \r\n\r\n", "a"},
		{"RFC 9112 §7.1.2 framing fields among trailers", "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		{"RFC 9112 §7.1.2 space before the colon", "0\r\nX : y\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 no name", "0\r\n: y\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 no colon", "0\r\nX\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 folded line", "0\r\nX: y\r\n z\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 LF after a trailer", "0\r\nX: y\n\r\n", wrong},
		{"RFC 9112 §7.1.2 CR in a trailer", "0\r\nX: y\rz\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 NUL in a trailer", "0\r\nX: y\x00z\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 bound", "0\r\nX:" + strings.Repeat("y", MaxTrailers-6) + "\r\n\r\n", ""},
		{"RFC 9112 §7.1.2 over the bound", "0\r\nX:" + strings.Repeat("y", MaxTrailers-5) + "\r\n\r\n", wrong},
		{"RFC 9112 §7.1.2 over the bound, many lines", "0\r\n" + strings.Repeat("X: y\r\n", MaxTrailers/6+1) + "\r\n", wrong},
		{"RFC 9112 §7.1.2 over the bound and no end", "0\r\nX:" + strings.Repeat("y", MaxTrailers), wrong},
		{"cut in the size", "5", incomplete},
		{"cut in the data", "5\r\nhel", incomplete},
		{"cut after the data", "5\r\nhello", incomplete},
		{"cut before the end", "5\r\nhello\r\n0\r\n\r", incomplete},
		{"nothing", "", incomplete},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := ""
			if test.want != wrong && test.want != incomplete {
				after = "5\r\nnext request"
			}
			body := []byte(test.body + after)
			data, consumed, done, status := decodePieces(t, body)
			got := incomplete
			switch {
			case done:
				got = string(data)
			case status == 400:
				got = wrong
			case status != 0:
				t.Fatalf("status %d", status)
			}
			if got != test.want {
				t.Errorf("got %.100q, want %.100q", got, test.want)
			}
			if done && consumed != len(test.body) {
				t.Errorf("consumed %d bytes of %d", consumed, len(test.body))
			}
			reference, _, ok := referenceDecode(body)
			if ok != done || ok && string(reference) != got {
				t.Errorf("reference: %.100q, %t", reference, ok)
			}
			if len(body) < 1000 {
				checkChunkSplits(t, body)
			}
		})
	}
}

// TestChunkDecoderInPlace checks that data is a view of what was given, that cannot be appended into
// the bytes after it, and that a decoder that is done stays so.
func TestChunkDecoderInPlace(t *testing.T) {
	body := []byte("5\r\nhello\r\n0\r\n\r\nnext")
	var d ChunkDecoder
	data, consumed, done, err := d.Decode(body)
	if err != nil || done || &data[0] != &body[3] || len(data) != 5 || cap(data) != 5 || consumed != 8 {
		t.Fatalf("%q (capacity %d), %d, %t, %v", data, cap(data), consumed, done, err)
	}
	data, consumed, done, err = d.Decode(body[8:])
	if len(data) != 0 || consumed != 7 || !done || err != nil {
		t.Fatalf("%q, %d, %t, %v", data, consumed, done, err)
	}
	data, consumed, done, err = d.Decode(body[15:])
	if len(data) != 0 || consumed != 0 || !done || err != nil {
		t.Fatalf("after the end: %q, %d, %t, %v", data, consumed, done, err)
	}
}

func TestChunkDecoderAllocatesNothing(t *testing.T) {
	for _, text := range []string{
		"5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n", "5\r\nhel", "5\n", "5;\r\n", "0\r\n:\r\n",
	} {
		body := []byte(text)
		allocations := testing.AllocsPerRun(100, func() {
			var d ChunkDecoder
			for rest := body; len(rest) > 0; {
				_, n, done, err := d.Decode(rest)
				if done || err != nil {
					break
				}
				rest = rest[n:]
			}
		})
		if allocations != 0 {
			t.Errorf("%q: %v allocations", text, allocations)
		}
	}
}

// TestChunkRoundTrip checks that what we send is what we accept.
func TestChunkRoundTrip(t *testing.T) {
	var body, want []byte
	for _, n := range []int{1, 9, 10, 15, 16, 255, 4096, 65536} {
		data := bytes.Repeat([]byte{byte(n)}, n)
		before := len(body)
		body = AppendChunkHead(body, n)
		if len(body)-before > MaxChunkHead {
			t.Errorf("head of a chunk of %d bytes: %q", n, body[before:])
		}
		body = append(append(body, data...), ChunkEnd...)
		want = append(want, data...)
	}
	body = append(body, LastChunk...)
	data, consumed, done, _ := decodePieces(t, body)
	if !done || consumed != len(body) || !bytes.Equal(data, want) {
		t.Errorf("done %t, %d of %d bytes, %d of data", done, consumed, len(body), len(data))
	}
	if n := len(AppendChunkHead(nil, 1<<63-1)); n > MaxChunkHead {
		t.Errorf("largest chunk head has %d bytes", n)
	}
}
