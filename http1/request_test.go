package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestAppendRequestHead(t *testing.T) {
	get := func(change func(r *RequestHead)) RequestHead {
		r := RequestHead{Method: []byte("GET"), Target: []byte("/a?b"), Host: []byte("h:1"), ContentLength: -1}
		change(&r)
		return r
	}
	const accept = "accept: */*\r\n"
	for _, test := range []struct {
		name, want string
		head       RequestHead
	}{
		{"plain", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept, get(func(r *RequestHead) {})},
		{"IPv6", "GET /a?b HTTP/1.1\r\nhost: [::1]:8080\r\n" + accept, get(func(r *RequestHead) { r.Host = []byte("[::1]:8080") })},
		{"for a proxy", "GET http://h:1/a HTTP/1.1\r\nhost: h:1\r\n" + accept, get(func(r *RequestHead) { r.Target = []byte("http://h:1/a") })},
		{"length", "PUT /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "content-length: 5\r\n", get(func(r *RequestHead) { r.Method, r.ContentLength = []byte("PUT"), 5 })},
		{"no length beside chunked", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "transfer-encoding: chunked\r\n", get(func(r *RequestHead) { r.Chunked = true })},
		{"close", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "connection: close\r\n", get(func(r *RequestHead) { r.Close = true })},
		{"upgrade", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "connection: upgrade\r\nupgrade: websocket\r\n", get(func(r *RequestHead) { r.Upgrade, r.Close = "websocket", true })},
		{"encodings", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "accept-encoding: gzip\r\n", get(func(r *RequestHead) { r.AcceptEncoding = "gzip" })},
		{"a range", "GET /a?b HTTP/1.1\r\nhost: h:1\r\nRange: bytes=1-\r\n" + accept + "accept-encoding: identity\r\n", get(func(r *RequestHead) {
			r.Head, r.AcceptEncoding = []byte("Range: bytes=1-\r\n"), "gzip"
		})},
		{"the app's", "GET /a?b HTTP/1.1\r\nhost: h:1\r\nAccept: a/b\r\nAccept-Encoding: br\r\nx:y\r\n", get(func(r *RequestHead) {
			r.Head, r.AcceptEncoding = []byte("Accept: a/b\r\nAccept-Encoding: br\r\nx:y\r\n"), "gzip"
		})},
		{"a user agent", "GET /a?b HTTP/1.1\r\nhost: h:1\r\n" + accept + "accept-language: *\r\nuser-agent: me\r\naccept-encoding: gzip\r\n",
			get(func(r *RequestHead) { r.UserAgent, r.AcceptEncoding = "me", "gzip" })},
		{"the app's user agent", "GET /a?b HTTP/1.1\r\nhost: h:1\r\nUser-Agent: you\r\nAccept-Language: de\r\n" + accept, get(func(r *RequestHead) {
			r.Head, r.UserAgent = []byte("User-Agent: you\r\nAccept-Language: de\r\n"), "me"
		})},
		{"what is ours to say", "GET /a?b HTTP/1.1\r\nhost: h:1\r\na: 1\r\nb: 2\r\nhostname: c\r\n" + accept, get(func(r *RequestHead) {
			r.Head = []byte("Host: x\r\na: 1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nconnection: close\r\nKeep-Alive: 1\r\n" +
				"b: 2\r\nProxy-Connection: a\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nhostname: c\r\n")
		})},
	} {
		got, err := AppendRequestHead([]byte("before"), &test.head)
		if want := "before" + test.want + "\r\n"; string(got) != want || err != nil {
			t.Errorf("%s: %v, got\n%q, want\n%q", test.name, err, got, want)
		}
	}
}

// TestRequestHeadCannotBeSplit: whatever an app's texts hold, they cannot end the head early.
func TestRequestHeadCannotBeSplit(t *testing.T) {
	for _, test := range []struct{ method, target, host, lines, reason string }{
		{"", "/", "a", "", "malformed method"},
		{"GET / HTTP/1.1\r\n", "/", "a", "", "malformed method"},
		{"G T", "/", "a", "", "malformed method"},
		{"GET", "", "a", "", "malformed request target"},
		{"GET", "/ HTTP/1.1\r\nx: y", "a", "", "malformed request target"},
		{"GET", "/a#b", "a", "", "malformed request target"},
		{"GET", "/\x80", "a", "", "malformed request target"},
		{"GET", "/", "", "", "malformed host"},
		{"GET", "/", "a\r\nb: c", "", "malformed host"},
		{"GET", "/", "u@a", "", "malformed host"},
		{"GET", "/", "a", "x: y\n", "malformed header line"},
		{"GET", "/", "a", "x: y", "malformed header line"},
		{"GET", "/", "a", "x: y\r\n\r\nGET / HTTP/1.1\r\n", "malformed header line"},
		{"GET", "/", "a", "x : y\r\n", "malformed header line"},
		{"GET", "/", "a", "x\r\n", "malformed header line"},
		{"GET", "/", "a", " x: y\r\n", "malformed header line"},
		{"GET", "/", "a", "x: a\r\n folded\r\n", "malformed header line"},
		{"GET", "/", "a", "x: y\rz: 1\r\n", "malformed header line"},
		{"GET", "/", "a", "x: \x00\r\n", "malformed header line"},
		{"GET", "/", "a", ": y\r\n", "malformed header line"},
	} {
		got, err := AppendRequestHead([]byte("before"), &RequestHead{Method: []byte(test.method), Target: []byte(test.target),
			Host: []byte(test.host), Head: []byte(test.lines), ContentLength: -1})
		if err == nil || err.Error() != test.reason || string(got) != "before" {
			t.Errorf("%+v: %v, got %q", test, err, got)
		}
	}
}

// FuzzRequestHead checks that whatever AppendRequestHead accepts is one head, to our parser as well as to
// net/http, with the framing that was asked for and no other.
func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "/", "a", "x: y\r\n", int64(-1))
	f.Add("POST", "/a?b", "[::1]:80", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", int64(5))
	f.Add("POST", "/a", "h", "a: b\r\n\r\n", int64(5))
	f.Fuzz(func(t *testing.T, method, target, host, lines string, length int64) {
		out, err := AppendRequestHead(nil, &RequestHead{Method: []byte(method), Target: []byte(target), Host: []byte(host),
			Head: []byte(lines), ContentLength: length, Chunked: length < 0})
		if err != nil || target[0] != '/' || method == "CONNECT" {
			return
		}
		var h Head
		switch err := h.Parse(out, MaxHeadLength); {
		case len(out) > MaxHeadLength || strings.Count(lines, "\n") > MaxFields-4:
			return
		case err != nil:
			t.Fatalf("%q: %v", out, err)
		case h.Length != len(out) || h.Chunked != (length < 0) || h.ContentLength != max(length, -1) || !h.KeepAlive || h.Continue:
			t.Fatalf("%q: %+v", out, h)
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
		if err != nil {
			return // it looks into the path
		}
		if request.ContentLength != max(length, -1) || request.Host != host {
			t.Fatalf("%q: length %d, host %q", out, request.ContentLength, request.Host)
		}
	})
}

func TestAppendRequestHeadAllocatesNothing(t *testing.T) {
	r := RequestHead{Method: []byte("GET"), Target: []byte("/"), Host: []byte("a"), Head: []byte("x: y\r\nhost: b\r\naccept: c\r\n"),
		ContentLength: 5, AcceptEncoding: "gzip, br, zstd"}
	dst := make([]byte, 0, 512)
	if allocations := testing.AllocsPerRun(100, func() { dst, _ = AppendRequestHead(dst[:0], &r) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// What is said of hops is read back, whatever others say beside it, and however it was folded into fields.
func TestHops(t *testing.T) {
	lines := []byte("cdn-loop: nano; hops=2, other; hops=9\r\n")
	head, err := AppendRequestHead(nil, &RequestHead{Method: []byte("GET"), Target: []byte("/"), Host: []byte("h"), Head: lines, ContentLength: -1, Hops: 3})
	if err != nil || !bytes.Contains(head, append(lines, "accept: */*\r\ncdn-loop: nano; hops=3\r\n"...)) {
		t.Errorf("%q, %v", head, err)
	}
	for text, want := range map[string]uint8{
		"": 0, "x: nano\r\n": 0, "cdn-loop: other\r\n": 0, "cdn-loop: nanobot; hops=3\r\n": 0, "cdn-loop: nan\r\n": 0,
		"cdn-loop: nano\r\n": 1, "CDN-Loop: other, NANO ;hops=7 , third\r\n": 7, "cdn-loop: nano;hops=999\r\n": 255,
		"cdn-loop: nano; hops=\r\n": 1, "cdn-loop: nano; hop\r\n": 1, "cdn-loop: nano; hops=x\r\n": 1, "cdn-loop: nano;\r\n": 1, "cdn-loop: ,,\r\n": 0,
		"cdn-loop: nano; hops=4\r\ncdn-loop: nano; hops=2\r\n": 4,
	} {
		h := Head{Hops: 9}
		if err := h.Parse([]byte("GET / HTTP/1.1\r\nhost: h\r\n"+text+"\r\n"), MaxHeadLength); err != nil || h.Hops != want {
			t.Errorf("%q: %d, %v; want %d", text, h.Hops, err, want)
		}
	}
}
