package loop

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// FuzzConnection feeds a connection any bytes, in pieces that splits decides on: its bytes are the
// lengths of the pieces. Whatever comes, nothing may crash, answers must be answers, and in the end
// nothing may be left over. The same bytes in one piece must get the same answers.
func FuzzConnection(f *testing.F) {
	for _, r := range rows {
		f.Add([]byte(r.input), []byte{1, 7, 50})
	}
	f.Add([]byte("GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /stream/3 HTTP/1.1\r\nHost: a\r\n\r\nGET /large/9 HTTP/1.1\r\nHost: a\r\n\r\nX"), []byte{40})
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, input, splits []byte) {
		if len(input) > 4096 {
			return
		}
		whole := converse(t, [][]byte{input})
		var pieces [][]byte
		rest := input
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(splits) > 0 {
				n = min(n, 1+int(splits[i%len(splits)]))
			}
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		split := converse(t, pieces)
		// A client is asked to go on only if its body is not there yet. A head that is both
		// malformed and over the limit may be refused for either, and one that is malformed
		// and never completed need not be refused at all: the client has ended it.
		split = bytes.ReplaceAll(split, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil)
		whole = bytes.ReplaceAll(whole, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil)
		// Which of several faults of a head is named depends on what came first.
		split, whole = refusal.ReplaceAll(split, []byte("HTTP/1.1 400")), refusal.ReplaceAll(whole, []byte("HTTP/1.1 400"))
		either := append(append([]byte(nil), whole...), split...)
		unfinished := bytes.HasPrefix(whole, split) && bytes.HasPrefix(whole[len(split):], []byte("HTTP/1.1 400"))
		if !bytes.Equal(whole, split) && !unfinished && !bytes.Contains(either, []byte("HTTP/1.1 431")) {
			t.Errorf("in one piece:\n%q\nin %d pieces:\n%q", whole, len(pieces), split)
		}
	})
}

var refusal = regexp.MustCompile(`(?s)HTTP/1\.1 400 .*$`)

// converse sends pieces one after the other and returns the answers.
func converse(t *testing.T, pieces [][]byte) []byte {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		rowOptions(o)
		o.Wall = 2 * time.Second
		o.DrainTimeout = 3 * time.Second
	})
	w.loop.apps[0].name = "demo"
	peer := w.ring.Dial(w.listener)
	for _, piece := range pieces {
		w.freezeDate()
		peer.Write(piece)
		w.run(10 * time.Microsecond)
	}
	peer.CloseWrite()
	w.run(100 * time.Millisecond)
	w.run(20 * time.Second)
	got := dateLine.ReplaceAll(peer.Take(), []byte(frozenDate))
	if len(got) != 0 && !strings.HasPrefix(string(got), "HTTP/1.1 ") {
		t.Errorf("not an answer: %q", got)
	}
	if !peer.Closed() {
		t.Error("the connection is still open")
	}
	w.end()
	return got
}
