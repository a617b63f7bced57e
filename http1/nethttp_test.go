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

// compareNetHTTP parses raw with net/http as well, and returns which of the two accept it, and how
// they differ where both do, "" if not at all.
func compareNetHTTP(raw []byte) (ours, theirs bool, difference string) {
	var h Head
	ours = h.Parse(raw, MaxHeadLength) == nil
	source := bytes.NewReader(raw)
	reader := bufio.NewReader(source)
	request, err := http.ReadRequest(reader)
	theirs = err == nil
	if !ours || !theirs {
		return ours, theirs, ""
	}
	text := func(offset, length uint16) string { return string(raw[offset : offset+length]) }
	var differences []string
	check := func(what string, ours, theirs any) {
		if fmt.Sprint(ours) != fmt.Sprint(theirs) {
			differences = append(differences, fmt.Sprintf("%s: %q, net/http: %q", what, fmt.Sprint(ours), fmt.Sprint(theirs)))
		}
	}
	check("length", h.Length, len(raw)-source.Len()-reader.Buffered())
	check("method", text(h.MethodOffset, h.MethodLength), request.Method)
	target := request.RequestURI
	if request.URL.Host != "" {
		// The absolute form: what follows the authority.
		_, target, _ = strings.Cut(target, "://")
		target = target[min(len(target), len(request.Host)):]
	} else if target == "*" {
		target = ""
	}
	check("target", text(h.TargetOffset, h.TargetLength), target)
	check("host", text(h.HostOffset, h.HostLength), request.Host)
	length := h.ContentLength
	if length < 0 && !h.Chunked {
		length = 0 // no body; net/http has -1 for a body of unknown length only
	}
	check("content-length", length, request.ContentLength)
	check("chunked", h.Chunked, slices.Equal(request.TransferEncoding, []string{"chunked"}))
	check("keep-alive", h.KeepAlive, !request.Close)

	fields := http.Header{}
	for _, f := range h.Fields {
		fields.Add(text(f.NameOffset, f.NameLength), text(f.ValueOffset, f.ValueLength))
	}
	for name, values := range fields {
		switch name {
		case "Host", "Transfer-Encoding", "Trailer", "Cache-Control", "Content-Length":
			// net/http moves these, or changes them.
		default:
			check(name, values, request.Header[textproto.CanonicalMIMEHeaderKey(name)])
		}
	}
	return ours, theirs, strings.Join(differences, "\n")
}

// TestAgainstNetHTTP compares with net/http: where both accept a head they must agree on what it
// says; where only one accepts it, the reason is given here.
func TestAgainstNetHTTP(t *testing.T) {
	const host = "Host: a.example\r\n"
	const both = ""
	for _, test := range []struct {
		raw      string
		stricter string // why we refuse what net/http accepts
		laxer    string // why we accept what net/http refuses
	}{
		{plainHead, both, both},
		{browserHead, both, both},
		{"GET / HTTP/1.0\r\n\r\n", both, both},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", both, both},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "Connection: a, close , b\r\n\r\n", both, both},
		{"POST /x?y HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", both, both},
		{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", both, both},
		{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", both, both},
		{"GET http://b.example:80/x HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"GET http://b.example HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"GET //a//b HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "X:\t a \r\nX: b\r\nY:\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + host + "\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "X: a\x01\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "X: a\x00\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", both, both},
		{"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", both, both},
		{"GE(T / HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"GET / HTTP/1.10\r\n" + host + "\r\n", both, both},
		{"GET  / HTTP/1.1\r\n" + host + "\r\n", both, both},
		{"\r\n\r\n" + plainHead, both, both},

		{"GET / HTTP/1.1\n" + host + "\r\n", "RFC 9112 §2.2: a recipient may accept a bare LF; we do not", both},
		{"GET / HTTP/1.1\r\n" + host + "\n", "RFC 9112 §2.2: a bare LF", both},
		{"GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n", "RFC 9112 §5.2: a server refuses or unfolds a folded line; we refuse", both},
		{"GET / HTTP/1.1\r\n\r\n", "RFC 9112 §3.2: Host is missing (net/http refuses that in its server)", both},
		{"GET / HTTP/1.1\r\n" + host + "X : a\r\n\r\n", "RFC 9112 §5.1: no space before the colon (net/http refuses that in its server)", both},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", "RFC 9110 §7.2: an empty Host is for targets without authority, which we do not serve", both},
		{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "RFC 9110 §7.2: Host is malformed", both},
		{"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "RFC 3986 §3.2.3: no such port", both},
		{"GET http://u@b.example/ HTTP/1.1\r\n" + host + "\r\n", "RFC 9110 §4.2.4: userinfo is to be treated as an error", both},
		{"GET /caf\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", "RFC 3986 §2: not a URI", both},
		{"GET /a#b HTTP/1.1\r\n" + host + "\r\n", "RFC 9112 §3.2: no form has a fragment", both},
		{"GET * HTTP/1.1\r\n" + host + "\r\n", "RFC 9112 §3.2.4: for OPTIONS only", both},
		{"GET ftp://b.example/ HTTP/1.1\r\n" + host + "\r\n", "RFC 9110 §7.4: not an http URI", both},
		{"CONNECT a.example:443 HTTP/1.1\r\n" + host + "\r\n", "RFC 9110 §9.3.6: not supported", both},
		{"PRI * HTTP/2.0\r\n\r\n", "RFC 9113 §3.4: the preface of HTTP/2", both},
		{"GET / HTTP/2.0\r\n" + host + "\r\n", "RFC 9110 §15.6.6: not supported", both},
		{"GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "RFC 9112 §6.3: a sign of smuggling", both},
		{"GET / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", "RFC 9112 §6.1: faulty framing", both},
		{"GET / HTTP/1.1\r\n" + host + "Connection: a b\r\n\r\n", "RFC 9110 §7.6.1: not a list of tokens", both},
		{"GET / HTTP/1.1\r\n" + host + "Expect: x\r\n\r\n", "RFC 9110 §10.1.1: status 417 (net/http answers so in its server)", both},
		{"GET / HTTP/1.1\r\n" + host + strings.Repeat("X: y\r\n", 300) + "\r\n", "RFC 9110 §5.4: our limit", both},

		{"\r\n" + plainHead, both, "RFC 9112 §2.2: at least one empty line should be ignored"},
		{"GET / HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\n", both, "RFC 9112 §6.3: a list of equal lengths may be accepted"},
		{"GET /%zz HTTP/1.1\r\n" + host + "\r\n", both, "RFC 9112 §3.2: what a path means is the app's URL parser's to say"},
	} {
		ours, theirs, difference := compareNetHTTP([]byte(test.raw))
		if difference != "" {
			t.Errorf("%.200q: %s", test.raw, difference)
		}
		if stricter := theirs && !ours; stricter != (test.stricter != both) {
			t.Errorf("%.200q: ours %t, net/http %t; documented as stricter: %q", test.raw, ours, theirs, test.stricter)
		}
		if laxer := ours && !theirs; laxer != (test.laxer != both) {
			t.Errorf("%.200q: ours %t, net/http %t; documented as laxer: %q", test.raw, ours, theirs, test.laxer)
		}
	}
}
