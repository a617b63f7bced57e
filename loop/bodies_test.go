package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// An upload is a client that sends a body to the demo app, a piece at a time.
type upload struct {
	w    *world
	peer *fakering.Peer
}

// upload begins a request with a body: one of a given length, or a chunked one for -1.
func (w *world) upload(path string, length int, lines ...string) *upload {
	framing := fmt.Sprintf("Content-Length: %d", length)
	if length < 0 {
		framing = "Transfer-Encoding: chunked"
	}
	u := &upload{w, w.ring.Dial(w.listener)}
	u.peer.WriteString("POST " + path + " HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n" + strings.Join(lines, "") + "\r\n")
	w.settle()
	return u
}

// send sends a piece and lets the loop do what follows.
func (u *upload) send(piece []byte) {
	u.peer.Write(piece)
	u.w.settle()
}

// answer takes what has come back, apart by head and body.
func (u *upload) answer() (head, body string) {
	head, body, _ = strings.Cut(string(u.peer.Take()), "\r\n\r\n")
	return head, body
}

// ask asks again on the connection, which must still serve.
func (u *upload) ask() {
	u.w.t.Helper()
	u.peer.WriteString("GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
	u.w.settle()
	if _, body := u.answer(); body != "GET /again a " {
		u.w.t.Errorf("the connection serves no more: %q", body)
	}
}

func chunk(b []byte) []byte { return append(fmt.Appendf(nil, "%x\r\n%s", len(b), b), "\r\n"...) }

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(random.Uint32()%26)
	}
	return b
}

// checkNoStray checks that no isolate was told of a body that had ended for it.
func (w *world) checkNoStray() {
	w.t.Helper()
	for _, worker := range w.workers {
		if worker.stray != 0 {
			w.t.Errorf("%d news of bodies that had ended", worker.stray)
		}
	}
}

// TestBodiesFlow sends bodies with and without a length in pieces of every size, through apps that read
// them, give them back in capitals, or have the loop give them back.
func TestBodiesFlow(t *testing.T) {
	body := noise(300_000)
	random := rand.New(rand.NewPCG(1, 1))
	for _, path := range []string{"/size", "/upper", "/pipe", "/some/1000000"} {
		for _, pieceMax := range []int{3000, 9000, 70000, len(body)} {
			for _, chunked := range []bool{false, true} {
				w := newWorld(t, fakering.Config{}, nil)
				length := len(body)
				if chunked {
					length = -1
				}
				u := w.upload(path, length)
				got := ""
				for rest := body; len(rest) != 0; {
					n := min(1+random.IntN(pieceMax), len(rest))
					if chunked {
						u.send(chunk(rest[:n]))
					} else {
						u.send(rest[:n])
					}
					got += string(u.peer.Take())
					rest = rest[n:]
				}
				if chunked {
					u.send([]byte("0\r\nTrailer: x\r\n\r\n"))
				}
				head, gotBody, _ := strings.Cut(got+string(u.peer.Take()), "\r\n\r\n")
				if strings.Contains(head, "transfer-encoding: chunked") {
					gotBody = unchunk(t, gotBody)
				}
				want := map[string]string{"/size": fmt.Sprint(len(body)), "/upper": strings.ToUpper(string(body)),
					"/pipe": string(body), "/some/1000000": "some"}[path]
				if gotBody != want || !strings.HasPrefix(head, "HTTP/1.1 200") {
					t.Fatalf("%s, chunked %v, pieces of %d: got %q and %d bytes, want %d", path, chunked, pieceMax, head, len(gotBody), len(want))
				}
				u.ask()
				w.checkNoStray()
				u.peer.Close()
				w.end()
			}
		}
	}
}

// unchunk removes the chunked coding, which must be whole.
func unchunk(t *testing.T, coded string) string {
	t.Helper()
	var body []byte
	for {
		line, rest, ok := strings.Cut(coded, "\r\n")
		n := -1
		fmt.Sscanf(line, "%x", &n)
		if !ok || n < 0 || n == 0 && rest != "\r\n" || len(rest) < n+2 {
			t.Fatalf("broken after %d bytes: %q", len(body), coded[:min(len(coded), 100)])
		}
		if n == 0 {
			return string(body)
		}
		body = append(body, rest[:n]...)
		coded = rest[n+2:]
	}
}

// TestBodyIsHeldBack: of a body that the app does not read, little is received.
func TestBodyIsHeldBack(t *testing.T) {
	const provided = 16 * 4096
	w := newWorld(t, fakering.Config{Buffers: 16, BufferSize: 4096}, func(o *Options) { o.Wall = time.Second })
	u := w.upload("/some/5000", 10<<20)
	u.send(make([]byte, 4<<20))
	if _, body := u.answer(); body != "some" {
		t.Errorf("got %q", body)
	}
	u.peer.Close()
	w.run(3 * time.Second) // lingering

	never := w.upload("/some/100000000", 10<<20) // reads, and waits for more
	never.send(make([]byte, 10<<20-1))
	if received := w.loop.stats.BytesIn; received < 10<<20 {
		t.Errorf("%d bytes received of a body that is read", received)
	}
	never.peer.Reset()
	w.settle()

	before := w.loop.stats.BytesIn
	unread := w.upload("/hold", 10<<20)
	unread.send(make([]byte, 10<<20))
	if received := w.loop.stats.BytesIn - before; received > inputMax+provided {
		t.Errorf("%d bytes received of a body that is not read", received)
	}
	w.run(5 * time.Second)
	if head, _ := unread.answer(); !strings.HasPrefix(head, "HTTP/1.1 504") || !unread.peer.Closed() {
		t.Errorf("got %q", head)
	}
}

// TestUnreadBodies: an answer may come before its request was read. The rest is thrown away if it is
// little; else the connection ends, and the client sees the answer.
func TestUnreadBodies(t *testing.T) {
	for _, path := range []string{"/unread", "/cancel"} {
		for _, test := range []struct {
			length, sent int // sent before the answer
			closes       bool
		}{
			{100_000, 0, false}, {100_000, 50_000, false}, {100_000, 100_000, false}, {-1, 50_000, false}, {-1, 0, false},
			{discardMax + 100_000, 50_000, true}, {10 << 20, 200_000, true},
		} {
			w := newWorld(t, fakering.Config{}, nil)
			u := w.upload(path, test.length)
			body := noise(max(test.length, 100_000))
			send := func(b []byte) {
				if test.length < 0 && len(b) != 0 {
					b = chunk(b)
				}
				u.send(b)
			}
			send(body[:test.sent])
			head, got := u.answer()
			if got != path[1:] || strings.Contains(head, "connection: close") != test.closes {
				t.Fatalf("%s %+v: got %q %q", path, test, head, got)
			}
			if test.closes {
				if !u.peer.Ended() {
					t.Error("not ended")
				}
				w.run(3 * time.Second)
				if !u.peer.Closed() {
					t.Error("not closed")
				}
				continue
			}
			send(body[test.sent:])
			if test.length < 0 {
				u.send([]byte("0\r\n\r\n"))
			}
			u.ask()
			u.peer.Close()
			w.end()
		}
	}
}

// TestUnreadChunkedBodyEndsTheConnection: if there is no end of it.
func TestUnreadChunkedBodyEndsTheConnection(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	u := w.upload("/unread", -1)
	for range 5 {
		if !u.peer.Ended() {
			u.send(chunk(make([]byte, discardMax/4)))
		}
	}
	if _, got := u.answer(); got != "unread" || !u.peer.Ended() {
		t.Errorf("got %q, ended %v", got, u.peer.Ended())
	}
	// One that stops in the middle does not keep its connection either.
	u = w.upload("/unread", 1000_000/5)
	u.send(make([]byte, 10))
	w.run(29 * time.Second)
	if u.peer.Ended() {
		t.Error("ended too early")
	}
	w.run(2 * time.Second)
	if !u.peer.Ended() {
		t.Error("a client that does not go on keeps its connection")
	}
}

// TestContinue: a client that waits to be asked for its body is asked when the app reads it.
func TestContinueWhenRead(t *testing.T) {
	const expect, asked = "Expect: 100-continue\r\n", "HTTP/1.1 100 Continue"
	for _, path := range []string{"/size", "/pipe", "/upper", "/some/100"} {
		w := newWorld(t, fakering.Config{}, nil)
		u := w.upload(path, 100_000, expect)
		head, _ := u.answer()
		if want := asked; path == "/pipe" || path == "/upper" {
			want = "HTTP/1.1 200 OK" // then that says it
			if !strings.HasPrefix(head, want) {
				t.Errorf("%s: got %q", path, head)
			}
		} else if head != want {
			t.Errorf("%s: got %q", path, head)
		}
		u.send(make([]byte, 100_000))
		if got := u.peer.Take(); len(got) == 0 {
			t.Errorf("%s: no answer", path)
		}
		u.ask()
		u.peer.Close()
		w.end()
	}
	// What nobody reads is not asked for. Whether it comes is unknown then.
	for _, path := range []string{"/unread", "/cancel"} {
		w := newWorld(t, fakering.Config{}, nil)
		u := w.upload(path, 100_000, expect)
		if head, body := u.answer(); body != path[1:] || !strings.Contains(head, "connection: close") || !u.peer.Ended() {
			t.Errorf("%s: got %q %q", path, head, body)
		}
	}
}

// TestBodyFaults: whatever breaks a body off, the app and the client hear of it.
func TestBodyFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		length int
		sent   string
		then   func(u *upload)
		status string // of the answer, if there is none yet; "" none: the client has gone
		fault  string
	}{
		{"too large", -1, string(chunk(make([]byte, 150_000))) + string(chunk(make([]byte, 100_000))), nil, "413", "the request body is too large"},
		{"malformed", -1, string(chunk(make([]byte, 5000))) + "xyz", nil, "400", "malformed chunk size"},
		{"stops", 150_000, "begun", func(u *upload) { u.w.run(31 * time.Second) }, "408", "timed out"},
		{"reset", 150_000, "begun", func(u *upload) { u.peer.Reset() }, "", "the client is gone"},
		{"half-closed", 150_000, "begun", func(u *upload) { u.peer.CloseWrite() }, "", "the client is gone"},
		{"closed", -1, string(chunk(make([]byte, 5000))), func(u *upload) { u.peer.Close() }, "", "the client is gone"},
	} {
		for _, path := range []string{"/some/1000000", "/upper", "/pipe"} {
			t.Run(test.name+path, func(t *testing.T) {
				w := newWorld(t, fakering.Config{}, func(o *Options) { o.MaxBody = 200_000; o.Wall = time.Minute })
				u := w.upload(path, test.length)
				u.send([]byte(test.sent))
				if test.then != nil {
					test.then(u)
				}
				w.run(3 * time.Second)
				worker := w.workers[0]
				if path != "/pipe" && (len(worker.faults) != 1 || !strings.Contains(worker.faults[0], test.fault)) {
					t.Errorf("the app was told %q", worker.faults)
				}
				head, body := u.answer()
				switch {
				case test.status == "":
					if want := path != "/pipe"; (len(worker.allGone) == 1) != want {
						t.Errorf("%d clients gone", len(worker.allGone))
					}
				case path == "/some/1000000":
					if !strings.HasPrefix(head, "HTTP/1.1 "+test.status) || !strings.Contains(head, "connection: close") {
						t.Errorf("got %q", head)
					}
				case strings.HasSuffix(body, "0\r\n\r\n") || !strings.HasPrefix(head, "HTTP/1.1 200"):
					t.Errorf("looks whole: %q", head)
				}
				if !u.peer.Ended() || !u.peer.Closed() {
					t.Errorf("ended %v, closed %v", u.peer.Ended(), u.peer.Closed())
				}
				w.checkNoStray()
			})
		}
	}
}

// TestPausedBodyDoesNotTimeOut: it is the app that takes its time.
func TestPausedBodyDoesNotTimeOut(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 16, BufferSize: 4096}, func(o *Options) { o.Wall = time.Hour; o.BodyTimeout = time.Second })
	u := w.upload("/pipe", 1<<20)
	u.peer.SetWindow(1000) // nothing of the answer leaves, so nothing of the body is taken
	u.send(make([]byte, 1<<20))
	w.run(30 * time.Second)
	if u.peer.Ended() {
		t.Error("timed out")
	}
	u.peer.SetWindow(-1)
	w.settle()
	if _, body := u.answer(); len(body) != 1<<20 {
		t.Errorf("got %d bytes", len(body))
	}
	u.ask()
	u.peer.Close()
}

// TestIsolateDiesDuringBody: its client gets an answer, others are not touched.
func TestIsolateDiesDuringBody(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	reading, piping, late := w.upload("/some/1000000", 1<<20), w.upload("/pipe", 1<<20), w.upload("/upper", -1)
	for _, u := range []*upload{reading, piping} {
		u.send(make([]byte, 10_000))
	}
	late.send(chunk([]byte("begun")))
	w.talk("GET /die HTTP/1.1\r\nHost: a\r\n\r\n")
	if head, _ := reading.answer(); !strings.HasPrefix(head, "HTTP/1.1 503") || !reading.peer.Ended() {
		t.Errorf("got %q", head)
	}
	if _, body := late.answer(); strings.HasSuffix(body, "0\r\n\r\n") || !late.peer.Ended() {
		t.Errorf("looks whole: %q", body)
	}
	piping.send(make([]byte, 1<<20-10_000)) // of which no isolate knows any more
	if _, body := piping.answer(); len(body) != 1<<20 {
		t.Errorf("the piped one got %d bytes", len(body))
	}
	piping.ask()
	piping.peer.Close()
	late.peer.Close()
	reading.peer.Close()
}

// TestPipedLength: an answer that gives another length than was announced breaks visibly.
func TestPipedLength(t *testing.T) {
	for _, test := range []struct {
		announced int
		whole     bool
	}{{200_000, true}, {200_001, false}, {199_999, false}, {0, false}, {1000_000, false}} {
		w := newWorld(t, fakering.Config{}, nil)
		u := w.upload(fmt.Sprintf("/pipe/%d", test.announced), 200_000)
		body := noise(200_000)
		u.send(body)
		head, got := u.answer()
		if !strings.Contains(head, fmt.Sprintf("content-length: %d", test.announced)) || !strings.HasPrefix(string(body), got) {
			t.Errorf("%+v: got %q and %d bytes", test, head, len(got))
		}
		if test.whole {
			u.ask()
		} else if w.run(3 * time.Second); len(got) > test.announced || !u.peer.Closed() {
			t.Errorf("%+v: got %d bytes, closed %v", test, len(got), u.peer.Closed())
		}
		u.peer.Close()
		w.end()
	}
}

// TestPipeBackPressure: what a slow client has not taken of a body that it sends at the same time waits
// with the client, and not here.
func TestPipeBackPressure(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 16, BufferSize: 4096}, nil)
	u := w.upload("/pipe", 20<<20)
	u.peer.SetWindow(0)
	body := bytes.Repeat(noise(64<<10), 320)
	u.peer.Write(body)
	w.settle()
	c := w.loop.connections.at(0)
	if received := w.loop.stats.BytesIn; received > 2*answerHigh+inputMax+3*16*4096 || c.receiving {
		t.Errorf("%d bytes received for a client that takes nothing", received)
	}
	got := ""
	for range 20 << 20 / 100_000 {
		u.peer.SetWindow(100_000)
		w.settle()
		if cap(c.out) > 160<<10 || cap(c.sending) > 160<<10 || len(c.in) > max(inputMax+16*4096, bulkSize) {
			t.Fatalf("%d, %d and %d bytes in hand", cap(c.out), cap(c.sending), len(c.in))
		}
		got += string(u.peer.Take())
	}
	u.peer.SetWindow(-1)
	w.settle()
	got += string(u.peer.Take())
	if _, gotBody, _ := strings.Cut(got, "\r\n\r\n"); gotBody != string(body) {
		t.Errorf("got %d bytes", len(gotBody))
	}
	u.ask()
	u.peer.Close()
}

// TestPipedHead: an answer to HEAD leaves the body alone, and says its length.
func TestPipedHead(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	u := &upload{w, w.ring.Dial(w.listener)}
	u.peer.WriteString("HEAD /pipe HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	w.settle()
	if head, body := u.answer(); !strings.Contains(head, "content-length: 100000") || body != "" {
		t.Errorf("got %q %q", head, body)
	}
	u.send(make([]byte, 100_000))
	u.ask()
	u.peer.Close()
}

// TestBodiesShareTicks: however many clients send at once, a tick hands on no more than so much, and all
// of them get on. On a slow loop it is less.
func TestBodiesShareTicks(t *testing.T) {
	for _, pace := range []pace{normalPace, slowPace} {
		w := newWorld(t, fakering.Config{Buffers: 1024, BufferSize: 4096}, nil)
		w.loop.pace = pace
		shareTicks(t, w)
	}
}

func shareTicks(t *testing.T, w *world) {
	w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	worker := w.workers[0]
	largest, bulks := 0, 0
	worker.turn = func() {
		got := 0
		for _, r := range worker.uploads {
			got += len(r.body)
		}
		largest = max(largest, got-worker.seen)
		bulks = max(bulks, w.loop.endpoints.bulks)
		worker.seen = got
	}
	worker.window = 1 << 20
	var all []*upload
	for range 30 {
		u := &upload{w, w.ring.Dial(w.listener)}
		u.peer.WriteString("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n")
		u.peer.Write(make([]byte, 1_000_000))
		all = append(all, u)
	}
	w.settle()
	if largest == 0 || largest > w.loop.pace.flow+pushMax {
		t.Errorf("%d bytes in one tick", largest)
	}
	if bulks == 0 || bulks > w.loop.pace.bulks {
		t.Errorf("%d large receives at once", bulks)
	}
	for _, r := range worker.uploads {
		if len(r.body) != 1_000_000 {
			t.Errorf("one got on by %d bytes only", len(r.body))
		}
	}
	for _, u := range all {
		u.peer.Reset()
	}
	w.settle()
}

// TestPipeToStuckClient: a client that takes nothing of what the loop moves for it is cut off in the end.
func TestPipeToStuckClient(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.SendTimeout = 10 * time.Second })
	u := w.upload("/pipe", 10<<20)
	u.peer.SetWindow(1000)
	u.send(make([]byte, 10<<20))
	w.run(9 * time.Second)
	if u.peer.Closed() {
		t.Error("cut off too early")
	}
	w.run(2 * time.Second)
	if !u.peer.Closed() {
		t.Error("not cut off")
	}
}
