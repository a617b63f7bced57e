package http1

import (
	"strings"
	"testing"
)

// smuggling holds requests whose framing two servers in a row may read in different ways: what was
// published about request smuggling and desynchronisation since 2005. Each is refused in its head
// with the status that comes first, or, if that is 0, in its chunked body, or, if framing tells how it
// is read, that is the one way of reading it: the head is followed by body.
var smuggling = []struct {
	name   string
	lines  string // after "POST / HTTP/1.1\r\nHost: a.example\r\n"; the empty line is part of it
	after  string // what follows the head
	status int    // 0: the head is good
	body   string // if the head is good: what the body is; refusedBody if it is refused
}{
	// Both lengths.
	{"CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\nG", 400, ""},
	{"TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "8\r\nSMUGGLED\r\n0\r\n\r\n", 400, ""},
	{"CL.TE, length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"CL.TE, unknown coding", "Content-Length: 6\r\nTransfer-Encoding: x\r\n\r\n", "", 400, ""},
	{"CL.TE, identity", "Content-Length: 6\r\nTransfer-Encoding: identity\r\n\r\n", "", 400, ""},
	{"CL.TE, empty coding", "Content-Length: 6\r\nTransfer-Encoding:\r\n\r\n", "", 400, ""},
	{"CL.TE, lower case", "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n", "", 400, ""},
	{"TE.TE, second hidden by case", "Transfer-Encoding: chunked\r\ntRANSFER-eNCODING: x\r\n\r\n", "", 501, ""},
	{"TE.TE, cow", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n", "", 501, ""},
	{"TE.TE, x first", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", "", 501, ""},
	{"TE.TE, identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", "", 501, ""},

	// A transfer-encoding that one server does not see.
	{"space before the colon", "Content-Length: 6\r\nTransfer-Encoding : chunked\r\n\r\n", "", 400, ""},
	{"tab before the colon", "Content-Length: 6\r\nTransfer-Encoding\t: chunked\r\n\r\n", "", 400, ""},
	{"vertical tab before the colon", "Content-Length: 6\r\nTransfer-Encoding\v: chunked\r\n\r\n", "", 400, ""},
	{"NUL before the colon", "Content-Length: 6\r\nTransfer-Encoding\x00: chunked\r\n\r\n", "", 400, ""},
	{"CR before the colon", "Content-Length: 6\r\nTransfer-Encoding\r: chunked\r\n\r\n", "", 400, ""},
	{"space before the name", "Content-Length: 6\r\n Transfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"tab before the name", "Content-Length: 6\r\n\tTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"NUL before the name", "Content-Length: 6\r\n\x00Transfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"no-break space in the name", "Content-Length: 6\r\nTransfer-Encoding\xa0: chunked\r\n\r\n", "", 400, ""},
	{"long s in the name", "Content-Length: 6\r\nTran\xc5\xbffer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"no colon", "Content-Length: 6\r\nTransfer-Encoding chunked\r\n\r\n", "", 400, ""},
	{"equals sign", "Content-Length: 6\r\nTransfer-Encoding=chunked\r\n\r\n", "", 400, ""},
	{"quoted name", "Content-Length: 6\r\n\"Transfer-Encoding\": chunked\r\n\r\n", "", 400, ""},
	{"folded name", "Content-Length: 6\r\nTransfer-\r\n Encoding: chunked\r\n\r\n", "", 400, ""},
	{"folded colon", "Content-Length: 6\r\nTransfer-Encoding\r\n : chunked\r\n\r\n", "", 400, ""},
	{"folded value", "Content-Length: 6\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", "", 400, ""},
	{"folded value, tab", "Content-Length: 6\r\nTransfer-Encoding: x\r\n\tchunked\r\n\r\n", "", 400, ""},
	{"folded behind another field", "Content-Length: 6\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"after a bare LF", "Content-Length: 6\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"after a bare CR", "Content-Length: 6\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"after LF CR", "Content-Length: 6\r\nX: y\n\rTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"after a form feed", "Content-Length: 6\r\nX: y\fTransfer-Encoding: chunked\r\n\r\n", "", 400, ""},
	{"underscore in the name", "Content-Length: 1\r\nTransfer_Encoding: chunked\r\n\r\n", "x", 0, "x"},
	{"prefixed name", "Content-Length: 1\r\nX-Transfer-Encoding: chunked\r\n\r\n", "x", 0, "x"},
	{"TE is another field", "Content-Length: 1\r\nTE: chunked\r\n\r\n", "x", 0, "x"},

	// A coding that one server takes for chunked.
	{"quoted coding", "Transfer-Encoding: \"chunked\"\r\n\r\n", "", 501, ""},
	{"x before", "Transfer-Encoding: xchunked\r\n\r\n", "", 501, ""},
	{"x after", "Transfer-Encoding: chunkedx\r\n\r\n", "", 501, ""},
	{"comma after", "Transfer-Encoding: chunked,\r\n\r\n", "", 501, ""},
	{"comma before", "Transfer-Encoding: , chunked\r\n\r\n", "", 501, ""},
	{"parameter", "Transfer-Encoding: chunked;q=1\r\n\r\n", "", 501, ""},
	{"vertical tab before", "Transfer-Encoding: \vchunked\r\n\r\n", "", 400, ""},
	{"vertical tab after", "Transfer-Encoding: chunked\v\r\n\r\n", "", 400, ""},
	{"NUL after", "Transfer-Encoding: chunked\x00\r\n\r\n", "", 400, ""},
	{"CR after", "Transfer-Encoding: chunked\r\r\n\r\n", "", 400, ""},
	{"LF before", "Transfer-Encoding: \nchunked\r\n\r\n", "", 400, ""},
	{"no-break space after", "Transfer-Encoding: chunked\xa0\r\n\r\n", "", 501, ""},
	{"Kelvin sign for the k", "Transfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n", "", 501, ""},
	{"identity, chunked", "Transfer-Encoding: identity, chunked\r\n\r\n", "", 501, ""},
	{"chunked, identity", "Transfer-Encoding: chunked, identity\r\n\r\n", "", 501, ""},
	{"chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n\r\n", "", 501, ""},
	{"gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n", "", 501, ""},
	{"tabs around", "Transfer-Encoding:\tchunked\t\r\n\r\n", "1\r\na\r\n0\r\n\r\n", 0, "a"},
	{"no blank", "Transfer-Encoding:chunked\r\n\r\n", "1\r\na\r\n0\r\n\r\n", 0, "a"},

	// Lengths read differently.
	{"CL.CL", "Content-Length: 5\r\nContent-Length: 0\r\n\r\n", "", 400, ""},
	{"CL.CL list", "Content-Length: 5, 0\r\n\r\n", "", 400, ""},
	{"CL.CL, list and field", "Content-Length: 5, 5\r\nContent-Length: 6\r\n\r\n", "", 400, ""},
	{"length with plus", "Content-Length: +5\r\n\r\n", "", 400, ""},
	{"length with minus", "Content-Length: -1\r\n\r\n", "", 400, ""},
	{"length minus zero", "Content-Length: -0\r\n\r\n", "", 400, ""},
	{"length in hexadecimal", "Content-Length: 0x10\r\n\r\n", "", 400, ""},
	{"length with exponent", "Content-Length: 1e3\r\n\r\n", "", 400, ""},
	{"length with digit separator", "Content-Length: 1_000\r\n\r\n", "", 400, ""},
	{"length with space inside", "Content-Length: 1 0\r\n\r\n", "", 400, ""},
	{"length with text after", "Content-Length: 5x\r\n\r\n", "", 400, ""},
	{"length in quotes", "Content-Length: \"5\"\r\n\r\n", "", 400, ""},
	{"length with parameter", "Content-Length: 5;x\r\n\r\n", "", 400, ""},
	{"length beyond 32 bits is not cut", "Content-Length: 4294967297\r\n\r\n", "x", 0, "x (incomplete)"},
	{"length beyond 64 bits", "Content-Length: 18446744073709551621\r\n\r\n", "", 400, ""},
	{"length in other digits", "Content-Length: \xd9\xa5\r\n\r\n", "", 400, ""},
	{"length empty", "Content-Length: \r\n\r\n", "", 400, ""},
	{"length only commas", "Content-Length: ,\r\n\r\n", "", 400, ""},
	{"space before the colon of the length", "Content-Length : 5\r\n\r\n", "", 400, ""},
	{"folded length", "Content-Length: 1\r\n 0\r\n\r\n", "", 400, ""},
	{"NUL in the length", "Content-Length: 1\x000\r\n\r\n", "", 400, ""},
	{"length is octal only for some", "Content-Length: 010\r\n\r\n", "0123456789", 0, "0123456789"},
	{"equal lengths", "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "x", 0, "x"},

	// Hosts routed differently.
	{"two Hosts", "Host: b.example\r\n\r\n", "", 400, ""},
	{"two Hosts by case", "hOST: b.example\r\n\r\n", "", 400, ""},
	{"second Host with a space", "Host : b.example\r\n\r\n", "", 400, ""},
	{"second Host folded", "X: y\r\n Host: b.example\r\n\r\n", "", 400, ""},

	// Connection that names framing fields must not remove them.
	{"connection names content-length", "Connection: content-length\r\nContent-Length: 1\r\n\r\n", "x", 0, "x"},
	{"connection names transfer-encoding", "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n0\r\n\r\n", 0, "a"},

	// The end of the head.
	{"LF LF", "X: y\n\nGET /x HTTP/1.1\r\n\r\n", "", 400, ""},
	{"LF CR LF", "X: y\n\r\n", "", 400, ""},
	{"CR LF LF", "X: y\r\n\n", "", 400, ""},
	{"CR CR", "X: y\r\rGET / HTTP/1.1\r\n\r\n", "", 400, ""},
	{"space in the last line", "X: y\r\n \r\n", "", 400, ""},
	{"a request line among the fields", "GET /x HTTP/1.1\r\n\r\n", "", 400, ""},

	// Chunks read differently.
	{"chunk size with LF", "Transfer-Encoding: chunked\r\n\r\n", "1\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size with CR only", "Transfer-Encoding: chunked\r\n\r\n", "1\ra\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size with 0x", "Transfer-Encoding: chunked\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size with plus", "Transfer-Encoding: chunked\r\n\r\n", "+1\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size with minus", "Transfer-Encoding: chunked\r\n\r\n", "-0\r\n\r\n", 0, refusedBody},
	{"chunk size with blank", "Transfer-Encoding: chunked\r\n\r\n", "1 \r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size that wraps 64 bits", "Transfer-Encoding: chunked\r\n\r\n", "10000000000000001\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk size that wraps 32 bits", "Transfer-Encoding: chunked\r\n\r\n", "100000000\r\na\r\n0\r\n\r\n", 0, "a\r\n0\r\n\r\n (incomplete)"},
	{"chunk size negative for some", "Transfer-Encoding: chunked\r\n\r\n", "ffffffffffffffff\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk extension ended by LF", "Transfer-Encoding: chunked\r\n\r\n", "1;\n\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk extension with a hidden chunk", "Transfer-Encoding: chunked\r\n\r\n", "2;\nxx\r\n1\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk extension with CR in quotes", "Transfer-Encoding: chunked\r\n\r\n", "1;x=\"\r\n\"\r\na\r\n0\r\n\r\n", 0, refusedBody},
	{"chunk data without CRLF", "Transfer-Encoding: chunked\r\n\r\n", "1\r\na0\r\n\r\n", 0, refusedBody},
	{"chunk data with two other bytes for CRLF", "Transfer-Encoding: chunked\r\n\r\n", "1\r\naXX0\r\n\r\n", 0, refusedBody},
	{"last chunk with LF", "Transfer-Encoding: chunked\r\n\r\n", "0\n\n", 0, refusedBody},
	{"last chunk, line with LF", "Transfer-Encoding: chunked\r\n\r\n", "0\r\n\n", 0, refusedBody},
	{"last chunk without its empty line", "Transfer-Encoding: chunked\r\n\r\n", "0\r\nGET / HTTP/1.1\r\n\r\n", 0, refusedBody},
	{"trailer with a length", "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n0\r\nContent-Length: 99\r\n\r\n", 0, "a"},
	{"trailer with LF", "Transfer-Encoding: chunked\r\n\r\n", "0\r\nX: y\n\r\n", 0, refusedBody},
}

const refusedBody = "(refused)"

func TestSmuggling(t *testing.T) {
	if len(smuggling) < 100 {
		t.Fatalf("only %d cases", len(smuggling))
	}
	const follower = "GET /next HTTP/1.1\r\n"
	for _, test := range smuggling {
		t.Run(test.name, func(t *testing.T) {
			lines := "POST / HTTP/1.1\r\nHost: a.example\r\n" + test.lines
			raw := []byte(lines + test.after + follower)
			var h Head
			err := h.Parse(raw, MaxHeadLength)
			checkSplits(t, raw, MaxHeadLength)
			if test.status != 0 {
				if refusal, ok := err.(*Error); !ok || refusal.Status != test.status {
					t.Fatalf("got %v, want status %d", err, test.status)
				}
				return
			}
			if err != nil || h.Length != len(lines) {
				t.Fatalf("got %v, %d bytes, want %d", err, h.Length, len(lines))
			}
			rest := raw[h.Length:]
			want, incomplete := strings.CutSuffix(test.body, " (incomplete)")
			if !h.Chunked {
				if n := int64(len(want)); h.ContentLength != n && !(incomplete && h.ContentLength > n) {
					t.Fatalf("length %d, want %d", h.ContentLength, n)
				}
				return
			}
			checkChunkSplits(t, rest)
			data, consumed, done, status := decodePieces(t, rest)
			switch {
			case test.body == refusedBody:
				if status != 400 {
					t.Fatalf("status %d, done %t", status, done)
				}
			case incomplete:
				if done || status != 0 || string(data) != want+follower {
					t.Fatalf("%q, done %t, status %d", data, done, status)
				}
			default:
				if !done || string(data) != want || string(rest[consumed:]) != follower {
					t.Fatalf("%q, done %t, status %d, then %q", data, done, status, rest[consumed:])
				}
			}
		})
	}
}

// TestSmugglingRequestLine holds request lines that two servers may read in different ways.
func TestSmugglingRequestLine(t *testing.T) {
	for line, status := range map[string]int{
		"GET / HTTP/1.1 \r\n":                          400,
		"GET / HTTP/1.1\t\r\n":                         400,
		"GET / HTTP/1.1\r\r\n":                         400,
		"GET / HTTP/1.1 HTTP/1.1\r\n":                  400,
		"GET /\rX HTTP/1.1\r\n":                        400,
		"GET /\nX HTTP/1.1\r\n":                        400,
		"GET /\x00 HTTP/1.1\r\n":                       400,
		"GET\x00 / HTTP/1.1\r\n":                       400,
		"GET /\xa0 HTTP/1.1\r\n":                       400,
		"GET\v/ HTTP/1.1\r\n":                          400,
		"GET\f/\fHTTP/1.1\r\n":                         400,
		"GET  / HTTP/1.1\r\n":                          400,
		"GET / HTTP/1.1\n":                             400,
		"GET / HTTP/1.1x\r\n":                          400,
		"GET / HTTP/1.\xb2\r\n":                        400,
		"GET http://b.example@c.example/ HTTP/1.1\r\n": 400,
		"GET http://b.example\\c HTTP/1.1\r\n":         400,
		"GET http://b.example#c/ HTTP/1.1\r\n":         400,
		"GET http:b.example/ HTTP/1.1\r\n":             400,
		"GET http:\\\\b.example/ HTTP/1.1\r\n":         400,
		"GET javascript://b.example/ HTTP/1.1\r\n":     400,
		"GET @b.example/ HTTP/1.1\r\n":                 400,
		"GET ?x HTTP/1.1\r\n":                          400,
		"GET \\ HTTP/1.1\r\n":                          400,
		"GET / HTTP/2\r\n":                             400,
		"GET / HTTP/2.0\r\n":                           505,
	} {
		raw := []byte(line + "Host: a.example\r\n\r\n")
		if got := parseOnce(raw, MaxHeadLength); got.status != status {
			t.Errorf("%q: got %v, want status %d", line, got, status)
		}
		checkSplits(t, raw, MaxHeadLength)
	}
}
