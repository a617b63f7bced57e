package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// describeResponse describes all that a caller can see after ParseResponse.
func describeResponse(b []byte, h *Head, err error) summary {
	if err == ErrIncomplete {
		return summary{status: -1}
	}
	if refusal, ok := err.(*Error); ok {
		return summary{status: refusal.Status}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%d bytes, 1.%d %d %q, length %d, chunked %t, keep-alive %t %d", h.Length, h.Minor, h.Status,
		b[h.ReasonOffset:][:h.ReasonLength], h.ContentLength, h.Chunked, h.KeepAlive, h.KeepAliveSeconds)
	for _, f := range h.Fields {
		fmt.Fprintf(&s, "\n%q: %q", f.Name(b), f.Value(b))
	}
	return summary{text: s.String()}
}

// responsePieces parses raw as it becomes known piece by piece: lengths ascend, and raw itself comes last.
func responsePieces(raw []byte, limit int, lengths ...int) summary {
	var h Head
	for _, n := range lengths {
		if err := h.ParseResponse(bytes.Clone(raw[:n]), limit); err != ErrIncomplete {
			return describeResponse(raw, &h, err)
		}
	}
	return describeResponse(raw, &h, h.ParseResponse(raw, limit))
}

// checkResponseSplits checks that raw, cut anywhere or into single bytes, gives the same as in one piece.
func checkResponseSplits(t *testing.T, raw []byte, limit int) {
	want := responsePieces(raw, limit)
	every := make([]int, len(raw))
	for cut := range raw {
		every[cut] = cut
		if got := responsePieces(raw, limit, cut); !same(raw, limit, got, want) {
			t.Fatalf("cut at %d: got %v, want %v\n%q", cut, got, want, raw)
		}
	}
	if got := responsePieces(raw, limit, every...); !same(raw, limit, got, want) {
		t.Fatalf("byte by byte: got %v, want %v\n%q", got, want, raw)
	}
}

func TestParseResponse(t *testing.T) {
	type result struct {
		status    int
		reason    string
		framing   Framing
		length    int64
		keepAlive bool
		seconds   int32
	}
	for _, test := range []struct {
		name, lines string
		want        result
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 5", result{200, "OK", FramingLength, 5, true, -1}},
		{"no reason", "HTTP/1.1 200 \r\nContent-Length: 5", result{200, "", FramingLength, 5, true, -1}},
		{"no blank before no reason", "HTTP/1.1 200\r\nContent-Length: 5", result{200, "", FramingLength, 5, true, -1}},
		{"odd reason", "HTTP/1.1 999 caf\xe9\t :", result{999, "caf\xe9\t :", FramingClose, -1, true, -1}},
		{"chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked", result{200, "OK", FramingChunked, -1, true, -1}},
		{"to the end", "HTTP/1.1 200 OK", result{200, "OK", FramingClose, -1, true, -1}},
		{"HTTP/1.0", "HTTP/1.0 200 OK", result{200, "OK", FramingClose, -1, false, -1}},
		{"HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0", result{200, "OK", FramingLength, 0, true, -1}},
		{"HTTP/1.2 is 1.1", "HTTP/1.2 200 OK\r\nContent-Length: 0", result{200, "OK", FramingLength, 0, true, -1}},
		{"close", "HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 1", result{200, "OK", FramingLength, 1, false, -1}},
		{"connection that is no list", "HTTP/1.1 200 OK\r\nConnection: keep-alive; x\r\nContent-Length: 1", result{200, "OK", FramingLength, 1, false, -1}},
		{"equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5", result{200, "OK", FramingLength, 5, true, -1}},
		{"1xx", "HTTP/1.1 103 Early Hints\r\nlink: </a>", result{103, "Early Hints", FramingNone, -1, true, -1}},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5", result{204, "No Content", FramingNone, 5, true, -1}},
		{"204 chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked", result{204, "No Content", FramingNone, -1, true, -1}},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5", result{304, "Not Modified", FramingNone, 5, true, -1}},
		{"205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0", result{205, "Reset Content", FramingLength, 0, true, -1}},
		{"keep-alive", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=3, Timeout=5", result{200, "OK", FramingLength, 0, true, 5}},
		{"keep-alive without sense", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=-1, timeout, ,=", result{200, "OK", FramingLength, 0, true, -1}},
		{"keep-alive for long", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=99999999999", result{200, "OK", FramingLength, 0, true, 1<<31 - 1}},
		{"fields of requests", "HTTP/1.1 200 OK\r\nHost: a/b\r\nHost:\r\nExpect: x\r\nContent-Length: 0", result{200, "OK", FramingLength, 0, true, -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := []byte(test.lines + "\r\n\r\n")
			var h Head
			if err := h.ParseResponse(append(raw, "rest"...), MaxHeadLength); err != nil {
				t.Fatal(err)
			}
			got := result{int(h.Status), string(raw[h.ReasonOffset:][:h.ReasonLength]), h.Framing(false), h.ContentLength, h.KeepAlive, h.KeepAliveSeconds}
			if got != test.want || h.Length != len(raw) {
				t.Errorf("%d bytes of %d, got %+v, want %+v", h.Length, len(raw), got, test.want)
			}
			if h.Framing(true) != FramingNone {
				t.Error("a response to HEAD has a body")
			}
			checkResponseSplits(t, raw, MaxHeadLength)
		})
	}
}

func TestParseResponseRefuses(t *testing.T) {
	for _, test := range []struct{ raw, reason string }{
		{"HTTP/2.0 200 OK\r\n\r\n", "HTTP version not supported"},
		{"HTTP/0.9 200 OK\r\n\r\n", "HTTP version not supported"},
		{"ICY 200 OK\r\n\r\n", "malformed status line"},
		{"HTTP/1.1  200 OK\r\n\r\n", "malformed status line"},
		{"HTTP/1.1 099 OK\r\n\r\n", "malformed status line"},
		{"HTTP/1.1 20 OK\r\n\r\n", "malformed status line"},
		{"HTTP/1.1 2000 OK\r\n\r\n", "malformed status line"},
		{"HTTP/1.1 200-OK\r\n\r\n", "malformed status line"},
		{"\r\nHTTP/1.1 200 OK\r\n\r\n", "malformed status line"},
		{"<html>\r\n", "malformed status line"},
		{"HTTP/1.1 200 OK\nA: b\n\n", "control byte or bare CR or LF in the response head"},
		{"HTTP/1.1 200 OK\r\nA: b\n\r\n", "control byte or bare CR or LF in the response head"},
		{"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "control byte or bare CR or LF in the response head"},
		{"HTTP/1.1 200 O\x00K\r\n\r\n", "control byte or bare CR or LF in the response head"},
		{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "malformed header field name"},
		{"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "malformed header field name"},
		{"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "malformed header field name"},
		{"HTTP/1.1 200 OK\r\n: c\r\n\r\n", "malformed header field name"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "differing Content-Lengths"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1,2\r\n\r\n", "differing Content-Lengths"},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed Content-Length"},
		{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "malformed Content-Length"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "malformed Content-Length"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both Content-Length and Transfer-Encoding"},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding not supported"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "transfer coding not supported"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer coding not supported"},
		{"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", MaxFields+1) + "\r\n", "too many header fields"},
		{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", MaxHeadLength) + "\r\n\r\n", "response head too long"},
	} {
		var h Head
		err := h.ParseResponse([]byte(test.raw), MaxHeadLength)
		if err == nil || err.Error() != test.reason {
			t.Errorf("%.80q: got %v, want %s", test.raw, err, test.reason)
		}
		if len(test.raw) < 1000 {
			checkResponseSplits(t, []byte(test.raw), MaxHeadLength)
		}
		// What comes next on another connection is not affected.
		if err := h.ParseResponse([]byte("HTTP/1.1 200 OK\r\n\r\n"), MaxHeadLength); err != nil {
			t.Errorf("after %.80q: %v", test.raw, err)
		}
	}
}

func TestFind(t *testing.T) {
	raw := []byte("HTTP/1.1 200 OK\r\nA: 1\r\nb: 2\r\na: 3\r\n\r\n")
	var h Head
	if err := h.ParseResponse(raw, MaxHeadLength); err != nil {
		t.Fatal(err)
	}
	first := h.Find(raw, "a", 0)
	second := h.Find(raw, "a", first+1)
	if first != 0 || second != 2 || h.Find(raw, "a", second+1) != -1 || string(h.Fields[second].Value(raw)) != "3" {
		t.Errorf("found at %d and %d", first, second)
	}
}

// compareResponse parses raw with net/http as well, and returns how they differ where both accept it.
func compareResponse(raw []byte, method string) (ours, theirs bool, difference string) {
	var h Head
	ours = h.ParseResponse(raw, MaxHeadLength) == nil
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: method})
	theirs = err == nil
	if !ours || !theirs {
		return ours, theirs, ""
	}
	var differences []string
	check := func(what string, ours, theirs any) {
		if fmt.Sprint(ours) != fmt.Sprint(theirs) {
			differences = append(differences, fmt.Sprintf("%s: %q, net/http: %q", what, fmt.Sprint(ours), fmt.Sprint(theirs)))
		}
	}
	check("status", h.Status, response.StatusCode)
	framing := h.Framing(method == "HEAD")
	check("chunked", framing == FramingChunked, slices.Equal(response.TransferEncoding, []string{"chunked"}) && framing != FramingNone)
	if framing == FramingLength {
		check("length", h.ContentLength, response.ContentLength)
	}
	if framing == FramingClose {
		check("length", -1, response.ContentLength)
	}
	fields := http.Header{}
	for _, f := range h.Fields {
		fields.Add(string(f.Name(raw)), string(f.Value(raw)))
	}
	for name, values := range fields {
		switch name {
		case "Transfer-Encoding", "Trailer", "Cache-Control", "Content-Length", "Connection", "Pragma":
			// net/http moves these, or changes them.
		default:
			check(name, values, response.Header[textproto.CanonicalMIMEHeaderKey(name)])
		}
	}
	return ours, theirs, strings.Join(differences, "\n")
}

// TestResponsesAgainstNetHTTP says why we refuse what net/http accepts; there is nothing the other way round.
func TestResponsesAgainstNetHTTP(t *testing.T) {
	for _, test := range []struct{ raw, stricter string }{
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"HTTP/1.0 200 OK\r\n\r\nabc", ""},
		{"HTTP/1.1 999 \r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "RFC 9110 §5.1: not a token"},
		{"HTTP/1.1 200 OK\nA: b\n\n", "RFC 9112 §2.2: a bare LF"},
		{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "RFC 9112 §5.2: a folded line"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "RFC 9112 §6.3: ought to be an error"},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "RFC 9112 §6.1: faulty framing"},
		{"HTTP/2.0 200 OK\r\n\r\n", "RFC 9112 §2.3: not a version of ours"},
		{"HTTP/1.1 099 OK\r\n\r\n", "RFC 9110 §15: no such class"},
	} {
		ours, theirs, difference := compareResponse([]byte(test.raw), "GET")
		if difference != "" {
			t.Errorf("%q: %s", test.raw, difference)
		}
		if theirs && !ours != (test.stricter != "") || ours && !theirs {
			t.Errorf("%q: ours %t, net/http %t; documented: %q", test.raw, ours, theirs, test.stricter)
		}
	}
}

// FuzzResponse checks of any bytes: no panic; the same result however they are cut; agreement with
// net/http where both accept.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 12\r\nKeep-Alive: timeout=5\r\n\r\nHello World!"), uint16(0), uint16(20))
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200\r\n\r\n"), uint16(0), uint16(30))
	f.Add([]byte("HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"), uint16(0), uint16(30))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), uint16(40), uint16(30))
	f.Fuzz(func(t *testing.T, raw []byte, limit, cut uint16) {
		if limit == 0 {
			limit = MaxHeadLength
		}
		whole := responsePieces(raw, int(limit))
		every := make([]int, min(len(raw), 2000))
		for i := range every {
			every[i] = i
		}
		for how, got := range []summary{
			responsePieces(raw, int(limit), min(int(cut), len(raw))),
			responsePieces(raw, int(limit), every...),
		} {
			if !same(raw, int(limit), got, whole) {
				t.Fatalf("pieces %d: got %v, want %v", how, got, whole)
			}
		}
		for _, method := range []string{"GET", "HEAD"} {
			if _, _, difference := compareResponse(raw, method); difference != "" {
				t.Fatal(difference)
			}
		}
	})
}

func TestParseResponseAllocatesNothing(t *testing.T) {
	var h Head
	raw := []byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20) + "Content-Length: 12\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\n")
	bad := []byte("HTTP/1.1 200 OK\r\nA\r\n\r\n")
	if allocations := testing.AllocsPerRun(100, func() {
		h.ParseResponse(raw[:50], MaxHeadLength)
		h.ParseResponse(raw, MaxHeadLength)
		h.ParseResponse(bad, MaxHeadLength)
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
