package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// summary is what a test compares of a parsed head: status 0 for a good head, -1 for an incomplete one.
type summary struct {
	status int
	text   string
}

// summarise describes all that a caller can see after Parse.
func summarise(b []byte, h *Head, err error) summary {
	if err == ErrIncomplete {
		return summary{status: -1}
	}
	if refusal, ok := err.(*Error); ok {
		if err.Error() != refusal.Reason || refusal.Reason == "" {
			return summary{text: "an Error without a reason"}
		}
		return summary{status: refusal.Status}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%d bytes, method %d %q at %d, target %q, host %q, 1.%d, length %d, chunked %t, keep-alive %t, continue %t",
		h.Length, h.Method, b[h.MethodOffset:h.MethodOffset+h.MethodLength], h.MethodOffset,
		b[h.TargetOffset:h.TargetOffset+h.TargetLength], b[h.HostOffset:h.HostOffset+h.HostLength],
		h.Minor, h.ContentLength, h.Chunked, h.KeepAlive, h.Continue)
	for _, f := range h.Fields {
		fmt.Fprintf(&s, "\n%q: %q", b[f.NameOffset:f.NameOffset+f.NameLength], b[f.ValueOffset:f.ValueOffset+f.ValueLength])
	}
	return summary{text: s.String()}
}

// parseOnce parses raw in one piece.
func parseOnce(raw []byte, limit int) summary {
	var h Head
	err := h.Parse(raw, limit)
	return summarise(raw, &h, err)
}

// parsePieces parses raw as it becomes known piece by piece: lengths ascend, and raw itself comes last.
func parsePieces(raw []byte, limit int, lengths ...int) summary {
	var h Head
	for _, n := range lengths {
		// A copy at another address, of exact capacity: nothing may reach beyond it.
		if err := h.Parse(bytes.Clone(raw[:n]), limit); err != ErrIncomplete {
			return summarise(raw, &h, err)
		}
	}
	err := h.Parse(raw, limit)
	return summarise(raw, &h, err)
}

// same reports whether two ways of cutting raw may give these results: they must be equal, but for what
// the doc comment of Parse allows.
func same(raw []byte, limit int, a, b summary) bool {
	statuses := func(x, y int) bool {
		return a.status == x && b.status == y || a.status == y && b.status == x
	}
	overLimit := len(raw) >= limit && statuses(400, 431)
	unfinished := !bytes.Contains(raw, []byte("\r\n\r\n")) && statuses(400, -1)
	return a == b || overLimit || unfinished
}

// checkSplits checks that raw, cut anywhere or into single bytes, gives the same result as in one piece.
func checkSplits(t *testing.T, raw []byte, limit int) {
	want := parseOnce(raw, limit)
	every := make([]int, len(raw))
	for cut := range raw {
		every[cut] = cut
		if got := parsePieces(raw, limit, cut); !same(raw, limit, got, want) {
			t.Fatalf("cut at %d: got %v, want %v\n%q", cut, got, want, raw)
		}
	}
	if got := parsePieces(raw, limit, every...); !same(raw, limit, got, want) {
		t.Fatalf("byte by byte: got %v, want %v\n%q", got, want, raw)
	}
}

// goodHead is what a good head must parse to. Texts are as found in the head.
type goodHead struct {
	method        Method
	target, host  string
	minor         uint8
	contentLength int64 // as in Head, but 0 for none and -1 for 0, to keep the tables short
	chunked       bool
	close         bool
	expect        bool
	fields        int
}

func TestParseAccepts(t *testing.T) {
	const host = "Host: a.example\r\n"
	for _, test := range []struct {
		name, raw string
		want      goodHead
	}{
		{"RFC 9112 §3 plain", plainHead, goodHead{target: "/", host: "127.0.0.1:8080", minor: 1, fields: 1}},
		{"RFC 9112 §2.2 one empty line before", "\r\n" + plainHead, goodHead{target: "/", host: "127.0.0.1:8080", minor: 1, fields: 1}},
		{"RFC 9110 §2.5 higher minor version", "GET / HTTP/1.9\r\n" + host + "\r\n", goodHead{target: "/", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2 no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", goodHead{target: "/", close: true}},
		{"RFC 9112 §3.2 Host in 1.0", "GET / HTTP/1.0\r\n" + host + "\r\n", goodHead{target: "/", host: "a.example", close: true, fields: 1}},
		{"RFC 9112 §3.2.1 origin form with query", "HEAD /a/b?c=d&e HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodHead, target: "/a/b?c=d&e", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.1 path of two slashes", "GET //x/ HTTP/1.1\r\n" + host + "\r\n", goodHead{target: "//x/", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.2 absolute form overrides Host", "GET http://b.example:81/p?q HTTP/1.1\r\n" + host + "\r\n", goodHead{target: "/p?q", host: "b.example:81", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.2 absolute form, Host empty", "GET https://b.example/ HTTP/1.1\r\nHost:\r\n\r\n", goodHead{target: "/", host: "b.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.2 absolute form without path", "GET HTTP://b.example HTTP/1.1\r\n" + host + "\r\n", goodHead{target: "", host: "b.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.2 absolute form, query only", "GET http://b.example?x=http://y/ HTTP/1.1\r\n" + host + "\r\n", goodHead{target: "?x=http://y/", host: "b.example", minor: 1, fields: 1}},
		{"RFC 9112 §3.2.2 absolute form in 1.0", "GET http://b.example/ HTTP/1.0\r\n\r\n", goodHead{target: "/", host: "b.example", close: true}},
		{"RFC 9112 §3.2.4 asterisk form", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodOptions, host: "a.example", minor: 1, fields: 1}},
		{"RFC 9110 §9.1 methods are case-sensitive", "get / HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodOther, target: "/", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9110 §9.1 any token is a method", "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodOther, target: "/", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9110 §5.1 names ignore case", "POST / HTTP/1.1\r\nhOST: a\r\nCONTENT-length: 5\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a", minor: 1, contentLength: 5, fields: 2}},
		{"RFC 9110 §5.5 blanks around a value", "GET / HTTP/1.1\r\nHost:\t a.example \t\r\nX:\r\nY:  \r\nZ: a \t b\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, fields: 4}},
		{"RFC 9110 §5.5 obs-text", "GET / HTTP/1.1\r\n" + host + "X: caf\xe9 \xff\x80\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, fields: 2}},
		{"RFC 9110 §7.2 IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", goodHead{target: "/", host: "[::1]:8080", minor: 1, fields: 1}},
		{"RFC 9110 §8.6 length 0", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: -1, fields: 2}},
		{"RFC 9110 §8.6 largest length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775807\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: 1<<63 - 1, fields: 2}},
		{"RFC 9110 §8.6 leading zeros", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0000000000000000000000012\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: 12, fields: 2}},
		{"RFC 9112 §6.3 equal lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: 7, fields: 3}},
		{"RFC 9112 §6.3 list of equal lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 7, 7 ,7\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: 7, fields: 2}},
		{"RFC 9112 §6.1 chunked", "PUT / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", goodHead{method: MethodPut, target: "/", host: "a.example", minor: 1, chunked: true, fields: 2}},
		{"RFC 9112 §7 codings ignore case", "PATCH / HTTP/1.1\r\n" + host + "transfer-ENCODING: CHUNKed\r\n\r\n", goodHead{method: MethodPatch, target: "/", host: "a.example", minor: 1, chunked: true, fields: 2}},
		{"RFC 9112 §9.3 close", "GET / HTTP/1.1\r\n" + host + "Connection: Close\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, close: true, fields: 2}},
		{"RFC 9112 §9.3 close among several fields", "GET / HTTP/1.1\r\n" + host + "Connection: keep-alive, x\r\nConnection: , y ,, close\t,\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, close: true, fields: 3}},
		{"RFC 9112 §9.3 keep-alive in 1.0", "GET / HTTP/1.0\r\nConnection: a,Keep-Alive\r\n\r\n", goodHead{target: "/", fields: 1}},
		{"RFC 9112 §9.3 close wins in 1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", goodHead{target: "/", close: true, fields: 2}},
		{"RFC 9110 §7.6.1 an option that only starts like close", "GET / HTTP/1.1\r\n" + host + "Connection: closed\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, fields: 2}},
		{"RFC 9110 §10.1.1 continue", "POST / HTTP/1.1\r\n" + host + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", goodHead{method: MethodPost, target: "/", host: "a.example", minor: 1, contentLength: 1, expect: true, fields: 3}},
		{"RFC 9110 §10.1.1 continue is ignored in 1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", goodHead{method: MethodPost, target: "/", contentLength: 1, close: true, fields: 2}},
		{"RFC 9110 §9.3.5 DELETE", "DELETE /x HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodDelete, target: "/x", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9110 §9.3.8 TRACE", "TRACE /x HTTP/1.1\r\n" + host + "\r\n", goodHead{method: MethodTrace, target: "/x", host: "a.example", minor: 1, fields: 1}},
		{"RFC 9110 §5.1 names as long as known ones", "GET / HTTP/1.1\r\n" + host + "Hosu: b\r\nExpecu: x\r\nConnectiom: {}\r\nContent-Lengtg: x\r\nTransfer-Encodinf: gzip\r\n\r\n", goodHead{target: "/", host: "a.example", minor: 1, fields: 6}},
		{"a browser's head", browserHead, goodHead{target: "/articles/2026/11/spring?page=2&sort=new", host: "www.example.com", minor: 1, fields: 12}},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := []byte(test.raw + "what follows the head")
			var h Head
			if err := h.Parse(raw, MaxHeadLength); err != nil {
				t.Fatalf("%v", err)
			}
			if h.Length != len(test.raw) {
				t.Errorf("Length %d, want %d", h.Length, len(test.raw))
			}
			got := goodHead{
				method: h.Method, minor: h.Minor, chunked: h.Chunked, close: !h.KeepAlive, expect: h.Continue, fields: len(h.Fields),
				target: string(raw[h.TargetOffset : h.TargetOffset+h.TargetLength]),
				host:   string(raw[h.HostOffset : h.HostOffset+h.HostLength]),
			}
			switch h.ContentLength {
			case -1:
			case 0:
				got.contentLength = -1
			default:
				got.contentLength = h.ContentLength
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			method := string(raw[h.MethodOffset : h.MethodOffset+h.MethodLength])
			if name, _, _ := strings.Cut(strings.TrimLeft(test.raw, "\r\n"), " "); method != name {
				t.Errorf("method %q, want %q", method, name)
			}
			if h.Method != MethodOther && MethodNames[h.Method] != method {
				t.Errorf("method %q has the index of %q", method, MethodNames[h.Method])
			}
			checkSplits(t, raw, MaxHeadLength)
			checkSplits(t, raw[:len(raw)-30], MaxHeadLength)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const get = "GET / HTTP/1.1\r\n"
	const host = "Host: a.example\r\n"
	for _, test := range []struct {
		name, raw string
		status    int
	}{
		{"RFC 9112 §2.2 two empty lines before", "\r\n\r\n" + plainHead, 400},
		{"RFC 9112 §2.2 bare LF before", "\n" + plainHead, 400},
		{"RFC 9112 §2.2 bare CR before", "\r" + plainHead, 400},
		{"RFC 9112 §2.2 blank before", " " + plainHead, 400},
		{"RFC 9112 §2.2 bare LF after the request line", "GET / HTTP/1.1\n" + host + "\r\n", 400},
		{"RFC 9112 §2.2 bare LF after a field", get + "Host: a\n\r\n", 400},
		{"RFC 9112 §2.2 bare LF at the end", get + host + "\n", 400},
		{"RFC 9112 §2.2 bare CR in a value", get + host + "X: a\rb\r\n\r\n", 400},
		{"RFC 9112 §2.2 bare CR at the end", get + host + "\rX", 400},
		{"RFC 9112 §2.2 CR CR LF", get + host + "X: a\r\r\n\r\n", 400},
		{"RFC 9112 §2.2 blank line before the first field", get + " X: a\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 no target", "GET HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 no version (HTTP/0.9)", "GET /\r\n\r\n", 400},
		{"RFC 9112 §3 two spaces after the method", "GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 two spaces after the target", "GET /  HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 tab after the method", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 tab after the target", "GET /\tHTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", 400},
		{"RFC 9112 §3 space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9110 §9.1 method with a colon", "GE:T / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9110 §9.1 method with obs-text", "G\xc3\x89T / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9110 §9.1 empty method", " / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 lower case", "GET / http/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 no minor version", "GET / HTTP/1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 two digits", "GET / HTTP/1.10\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 two digits of major", "GET / HTTP/11.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 a sign", "GET / HTTP/+1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 a comma", "GET / HTTP/1,1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 letter", "GET / HTTP/1.x\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 another protocol", "GET / HTTPS/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §2.3 short version", "GET / H\r\n\r\n", 400},
		{"RFC 9110 §15.6.6 HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", 505},
		{"RFC 9110 §15.6.6 HTTP/0.9", "GET / HTTP/0.9\r\n" + host + "\r\n", 505},
		{"RFC 9110 §15.6.6 HTTP/3.1", "GET / HTTP/3.1\r\n" + host + "\r\n", 505},
		{"RFC 9113 §3.4 HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"RFC 9112 §3.2 relative target", "GET a HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 target with obs-text", "GET /caf\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 target with DEL", "GET /\x7f HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 target with NUL", "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 fragment far in a target", "GET /0123456789abcdef#b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 another scheme", "GET ftp://a/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 no authority", "GET http:/// HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 nothing after the scheme", "GET http:// HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 one slash", "GET http:/a HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 port only", "GET http://:80/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.2 absolute form needs Host, too", "GET http://a/ HTTP/1.1\r\n\r\n", 400},
		{"RFC 9112 §3.2.2 absolute form, Host malformed", "GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"RFC 9110 §4.2.4 userinfo", "GET http://u:p@a/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.3 CONNECT", "CONNECT a.example:443 HTTP/1.1\r\n" + host + "\r\n", 501},
		{"RFC 9112 §3.2.3 CONNECT to IPv6", "CONNECT [::1]:443 HTTP/1.1\r\n" + host + "\r\n", 501},
		{"RFC 9112 §3.2.3 CONNECT without port", "CONNECT a.example HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.3 CONNECT to IPv6 without port", "CONNECT [::1] HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.3 CONNECT with an empty port", "CONNECT a.example: HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.3 CONNECT with a path", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.3 authority form for GET", "GET a.example:443 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.4 asterisk form for GET", "GET * HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2.4 two asterisks", "OPTIONS ** HTTP/1.1\r\n" + host + "\r\n", 400},
		{"RFC 9112 §3.2 no Host", get + "\r\n", 400},
		{"RFC 9112 §3.2 two Hosts", get + host + host + "\r\n", 400},
		{"RFC 9112 §3.2 two Hosts in 1.0", "GET / HTTP/1.0\r\n" + host + host + "\r\n", 400},
		{"RFC 9112 §3.2 second Host empty", get + host + "Host:\r\n\r\n", 400},
		{"RFC 9112 §3.2 Host empty", get + "Host: \t\r\n\r\n", 400},
		{"RFC 9112 §3.2 Host malformed", get + "Host: a b\r\n\r\n", 400},
		{"RFC 9112 §5.1 space before the colon", get + "Host : a\r\n\r\n", 400},
		{"RFC 9112 §5.1 tab before the colon", get + host + "X\t: a\r\n\r\n", 400},
		{"RFC 9112 §5.1 no colon", get + host + "X\r\n\r\n", 400},
		{"RFC 9112 §5.1 empty name", get + host + ": a\r\n\r\n", 400},
		{"RFC 9110 §5.1 name with a space", get + host + "X Y: a\r\n\r\n", 400},
		{"RFC 9110 §5.1 name with a bracket", get + host + "X(: a\r\n\r\n", 400},
		{"RFC 9110 §5.1 name with obs-text", get + host + "X\xe9: a\r\n\r\n", 400},
		{"RFC 9110 §5.1 name with NUL", get + host + "X\x00: a\r\n\r\n", 400},
		{"RFC 9112 §5.2 folded line", get + host + "X: a\r\n b\r\n\r\n", 400},
		{"RFC 9112 §5.2 folded line with a tab", get + host + "X: a\r\n\tb\r\n\r\n", 400},
		{"RFC 9112 §5.2 folded empty line", get + host + "X: a\r\n \r\n\r\n", 400},
		{"RFC 9110 §5.5 NUL in a value", get + host + "X: a\x00b\r\n\r\n", 400},
		{"RFC 9110 §5.5 escape in a value", get + host + "X: \x1b[0m\r\n\r\n", 400},
		{"RFC 9110 §5.5 DEL in a value", get + host + "X: a\x7fb\r\n\r\n", 400},
		{"RFC 9110 §8.6 no length", get + host + "Content-Length:\r\n\r\n", 400},
		{"RFC 9110 §8.6 plus", get + host + "Content-Length: +5\r\n\r\n", 400},
		{"RFC 9110 §8.6 minus", get + host + "Content-Length: -5\r\n\r\n", 400},
		{"RFC 9110 §8.6 hexadecimal", get + host + "Content-Length: 0x5\r\n\r\n", 400},
		{"RFC 9110 §8.6 underscore", get + host + "Content-Length: 1_0\r\n\r\n", 400},
		{"RFC 9110 §8.6 fraction", get + host + "Content-Length: 5.0\r\n\r\n", 400},
		{"RFC 9110 §8.6 space inside", get + host + "Content-Length: 5 5\r\n\r\n", 400},
		{"RFC 9110 §8.6 one more than an int64", get + host + "Content-Length: 9223372036854775808\r\n\r\n", 400},
		{"RFC 9110 §8.6 one more than an uint64", get + host + "Content-Length: 18446744073709551616\r\n\r\n", 400},
		{"RFC 9110 §8.6 empty element", get + host + "Content-Length: 5,\r\n\r\n", 400},
		{"RFC 9112 §6.3 differing lengths", get + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
		{"RFC 9112 §6.3 list of differing lengths", get + host + "Content-Length: 5, 6\r\n\r\n", 400},
		{"RFC 9112 §6.3 length and coding", get + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"RFC 9112 §6.3 coding and length", get + host + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
		{"RFC 9112 §6.1 coding in 1.0", "GET / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 400},
		{"RFC 9112 §6.1 unknown coding", get + host + "Transfer-Encoding: gzip\r\n\r\n", 501},
		{"RFC 9112 §6.1 unknown coding under chunked", get + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"RFC 9112 §6.1 chunked is not last", get + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
		{"RFC 9112 §6.1 chunked twice", get + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
		{"RFC 9112 §6.1 chunked in two fields", get + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
		{"RFC 9112 §6.1 two fields, chunked last", get + host + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
		{"RFC 9112 §6.1 identity", get + host + "Transfer-Encoding: identity\r\n\r\n", 501},
		{"RFC 9112 §6.1 no coding", get + host + "Transfer-Encoding:\r\n\r\n", 501},
		{"RFC 9112 §7 parameter", get + host + "Transfer-Encoding: chunked;a=b\r\n\r\n", 501},
		{"RFC 9110 §7.6.1 Connection is not a list of tokens", get + host + "Connection: close keep-alive\r\n\r\n", 400},
		{"RFC 9110 §7.6.1 Connection with a parameter", get + host + "Connection: close;x\r\n\r\n", 400},
		{"RFC 9110 §10.1.1 another expectation", get + host + "Expect: 200-maybe\r\n\r\n", 417},
		{"RFC 9110 §10.1.1 expectation with a parameter", get + host + "Expect: 100-continue;x\r\n\r\n", 417},
		{"RFC 9110 §5.4 too many fields", get + host + strings.Repeat("X: y\r\n", MaxFields) + "\r\n", 431},
		{"a fault after one that has another status: control byte", get + host + "Transfer-Encoding: gzip\r\nX: \x01\r\n\r\n", 400},
		{"a fault after one that has another status: HTTP/2.0", "GET / HTTP/2.0\r\nX: \x01\r\n\r\n", 400},
		{"a fault after one that has another status: CONNECT", "CONNECT a:1 HTTP/1.1\r\nX: \n\r\n", 400},
		{"TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parseOnce([]byte(test.raw), MaxHeadLength); got.status != test.status {
				t.Errorf("got %v, want status %d", got, test.status)
			}
			if len(test.raw) < 1000 {
				checkSplits(t, []byte(test.raw), MaxHeadLength)
			}
		})
	}
}

func TestParseAcceptsMaxFields(t *testing.T) {
	raw := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", MaxFields-1) + "\r\n")
	var h Head
	if err := h.Parse(raw, MaxHeadLength); err != nil || len(h.Fields) != MaxFields {
		t.Fatalf("%v, %d fields", err, len(h.Fields))
	}
}

func TestParseLimit(t *testing.T) {
	raw := []byte(plainHead)
	for limit := range len(raw) {
		for n := range len(raw) + 1 {
			want := -1
			if n >= limit {
				want = 431
			}
			if got := parseOnce(raw[:n], limit); got.status != want {
				t.Fatalf("limit %d, %d bytes: got %v, want status %d", limit, n, got, want)
			}
		}
		checkSplits(t, raw, limit)
	}
	if got := parseOnce(append(raw, "more"...), len(raw)); got.status != 0 {
		t.Errorf("head as long as the limit: %v", got)
	}
	if got := parseOnce(raw, -1); got.status != 431 {
		t.Errorf("negative limit: %v", got)
	}
}

// TestParseMaxHeadLength checks the offsets at the far end of 16 bits.
func TestParseMaxHeadLength(t *testing.T) {
	const before = "GET / HTTP/1.1\r\nHost: a\r\n"
	const after = "Last: value\r\n\r\n"
	for extra := range 2 {
		filler := MaxHeadLength - len(before) - len("X: \r\n") - len(after) + extra
		raw := []byte(before + "X: " + strings.Repeat("y", filler) + "\r\n" + after)
		var h Head
		err := h.Parse(raw, 1<<30)
		if extra > 0 {
			if err != errTooLong {
				t.Errorf("%d bytes: %v", len(raw), err)
			}
			continue
		}
		if err != nil || h.Length != len(raw) {
			t.Fatalf("%d bytes: %v, Length %d", len(raw), err, h.Length)
		}
		last := h.Fields[2]
		if got := string(raw[last.ValueOffset:][:last.ValueLength]); got != "value" {
			t.Errorf("last field is %q", got)
		}
	}
}

// TestParseIncomplete checks that no start of a good head is refused or taken for a whole one.
func TestParseIncomplete(t *testing.T) {
	for _, raw := range []string{plainHead, browserHead, "\r\n" + plainHead, "OPTIONS * HTTP/1.0\r\n\r\n"} {
		for n := range raw {
			if got := parseOnce([]byte(raw[:n]), MaxHeadLength); got.status != -1 {
				t.Errorf("%q: %v", raw[:n], got)
			}
		}
	}
}

// TestParseRefusesEarly checks that a forbidden byte is refused as soon as it comes, not when the head
// is complete; a bare CR as soon as the byte after it comes.
func TestParseRefusesEarly(t *testing.T) {
	for c := range 256 {
		forbidden := c < ' ' && c != '\t' || c == 0x7F
		if !forbidden {
			continue
		}
		raw := []byte("GET / HTTP/1.1\r\nHost: a\r\nX: abc" + string(rune(c)) + "def")
		bad := bytes.IndexByte(raw, 'c') + 1
		if c == '\r' {
			bad++
		}
		var h Head
		for n := 1; n <= bad; n++ {
			if err := h.Parse(raw[:n], MaxHeadLength); err != ErrIncomplete {
				t.Fatalf("%q: %v", raw[:n], err)
			}
		}
		if err, ok := h.Parse(raw[:bad+1], MaxHeadLength).(*Error); !ok || err.Status != 400 {
			t.Errorf("%q: %v", raw[:bad+1], err)
		}
	}
	for _, raw := range []string{"\r\n\r", "GET\r", "GET \r", " ", ":", "GET / HTTP/1.1\r\n:", "GET / HTTP/2.0\r\n "} {
		want := 400
		if strings.Contains(raw, "2.0") {
			want = -1 // other statuses wait for the whole head
		}
		if got := parseOnce([]byte(raw), MaxHeadLength); got.status != want {
			t.Errorf("%q: got %v, want status %d", raw, got, want)
		}
	}
	// Faults of syntax are found by the attempt that follows when twice as much has come.
	var h Head
	raw := []byte("hello, is this the mail server?" + strings.Repeat(" no", 20))
	for n := 1; ; n++ {
		if n == len(raw) {
			t.Fatal("garbage of one line is never refused")
		}
		if err := h.Parse(raw[:n], MaxHeadLength); err != ErrIncomplete {
			break
		}
	}
}

// TestParseSlowSender checks that a head that comes byte by byte costs no more than a few looks at
// each byte: scanned follows what has come, and syntax is looked at again only when that has doubled.
func TestParseSlowSender(t *testing.T) {
	raw := []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 30000))
	var h Head
	attempts, attempted := 0, 0
	for n := 1; n <= len(raw); n++ {
		if err := h.Parse(raw[:n], 1<<15); err != ErrIncomplete {
			t.Fatal(err)
		}
		if h.scanned < n-1 {
			t.Fatalf("after %d bytes only %d are scanned", n, h.scanned)
		}
		if h.attempted != attempted {
			if h.attempted < 2*attempted {
				t.Fatalf("attempt at %d bytes after one at %d", h.attempted, attempted)
			}
			attempts, attempted = attempts+1, h.attempted
		}
	}
	if attempts > 16 {
		t.Errorf("%d attempts", attempts)
	}
}

// TestHeadReuse checks that nothing of one head shows in the next.
func TestHeadReuse(t *testing.T) {
	heads := []string{
		plainHead,
		"POST http://x/y HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
		"PUT /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:\r\nExpect: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: \x00",
		"GET / HTTP/1.0\r\n\r\n",
	}
	var h Head
	for _, first := range heads {
		for _, second := range heads {
			h.Parse([]byte(first), MaxHeadLength)
			got := summarise([]byte(second), &h, h.Parse([]byte(second), MaxHeadLength))
			if want := parseOnce([]byte(second), MaxHeadLength); got != want {
				t.Errorf("%q after %q: got %v, want %v", second, first, got, want)
			}
			// The same, first in pieces, and under a limit that it may not keep to.
			for _, limit := range []int{MaxHeadLength, 40} {
				for n := range len(first) + 1 {
					if h.Parse([]byte(first[:n]), limit) != ErrIncomplete {
						break
					}
				}
				got = summarise([]byte(second), &h, h.Parse([]byte(second), MaxHeadLength))
				if want := parseOnce([]byte(second), MaxHeadLength); got != want {
					t.Errorf("%q after pieces of %q: got %v, want %v", second, first, got, want)
				}
				h.Reset()
			}
			// The start of a head that never ends, and Reset.
			h.Parse([]byte(first[:len(first)-3]), MaxHeadLength)
			h.Reset()
			got = summarise([]byte(second), &h, h.Parse([]byte(second), MaxHeadLength))
			if want := parseOnce([]byte(second), MaxHeadLength); got != want {
				t.Errorf("%q after the start of %q: got %v, want %v", second, first, got, want)
			}
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	many := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", MaxFields-1) + "\r\n")
	var h Head
	if err := h.Parse(many, MaxHeadLength); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{
		plainHead, browserHead, string(many),
		browserHead[:300],
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
		strings.Repeat("x", MaxHeadLength),
	} {
		b := []byte(raw)
		allocations := testing.AllocsPerRun(100, func() {
			h.Reset()
			h.Parse(b[:len(b)/2], MaxHeadLength)
			h.Parse(b, MaxHeadLength)
		})
		if allocations != 0 {
			t.Errorf("%.20q: %v allocations", raw, allocations)
		}
	}
}

func ExampleHead_Parse() {
	received := []byte("GET /books?page=2 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n")
	var head Head
	if err := head.Parse(received, 32<<10); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s\n", MethodNames[head.Method], received[head.TargetOffset:][:head.TargetLength])
	for _, field := range head.Fields {
		fmt.Printf("%s = %s\n", received[field.NameOffset:][:field.NameLength], received[field.ValueOffset:][:field.ValueLength])
	}
	// Output:
	// GET /books?page=2
	// Host = shop.example
	// Accept = */*
}
