package loop

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring/fakering"
)

// A world is a loop over a fake ring, with virtual time and clients that the test works.
type world struct {
	t        testing.TB
	ring     *fakering.Ring
	listener int
	loop     *Loop
	blocks   *fakeBlocks
	workers  []*fakeWorker // all that were made
	log      *recorder
	sockets  *fakeSockets
	names    fakeNames // of newDialWorld
	ended    bool
}

// fakeSockets stand in for the calls that do not go through the ring.
type fakeSockets struct {
	ring  *fakering.Ring
	reset []int

	openFails int  // how many sockets cannot be made
	pipesFail bool // no pipe can be made

	spliceFails        unix.Errno // of all sockets that something is received from
	spliced, unspliced int        // bytes that were received into pipes, and sent from them
}

func (*fakeSockets) peer(fd int, into []byte) []byte  { return append(into, "192.0.2.1:1234"...) }
func (*fakeSockets) acceptPending(fd int) (int, bool) { return -1, false }
func (*fakeSockets) isPending(fd int) bool            { return false }
func (*fakeSockets) closeListener(fd int) bool        { return false }
func (*fakeSockets) local(fd int, into []byte) []byte { return append(into, "192.0.2.9:4321"...) }

// open makes a virtual socket, unless the next ones are to fail.
func (s *fakeSockets) open(_ netip.Addr, isDatagram bool) (int, unix.Errno) {
	if s.openFails > 0 {
		s.openFails--
		return -1, unix.EMFILE
	}
	return s.ring.Socket(isDatagram), 0
}

func (s *fakeSockets) openPipe() (from, to int, errno unix.Errno) {
	if s.pipesFail {
		return -1, -1, unix.EMFILE
	}
	from, to = s.ring.Pipe()
	return from, to, 0
}

func (s *fakeSockets) closePipe(from, to int) { s.ring.ClosePipe(from, to) }
func (s *fakeSockets) neverWait(fd int)       {}

func (s *fakeSockets) spliceIn(fd, pipe, n int) (moved int, more bool, errno unix.Errno) {
	if s.spliceFails != 0 {
		return 0, false, s.spliceFails
	}
	moved, errno = s.ring.SpliceIn(fd, pipe, n)
	s.spliced += moved
	return moved, moved == n, errno
}

func (s *fakeSockets) spliceOut(pipe, fd, n int, _ bool) (int, unix.Errno) {
	moved, errno := s.ring.SpliceOut(pipe, fd, n)
	s.unspliced += moved
	return moved, errno
}

func (*fakeSockets) shutdownWrite(fd int) bool { return false }
func (s *fakeSockets) resetOnClose(fd int)     { s.reset = append(s.reset, fd) }

// A recorder is a Logger that keeps what it is told.
type recorder struct {
	mutex   sync.Mutex
	lines   []string
	entries []LogEntry // those of apps
}

func (r *recorder) App(entry *LogEntry) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%s %d %s", entry.App, entry.Level, entry.Text))
	kept := *entry
	kept.Text, kept.Source = bytes.Clone(entry.Text), bytes.Clone(entry.Source)
	r.entries = append(r.entries, kept)
}

func (r *recorder) Server(level isolates.Level, text string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("server %d %s", level, text))
}

func (r *recorder) count(part string) (n int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, line := range r.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func newWorld(t testing.TB, config fakering.Config, change func(o *Options)) *world {
	t.Helper()
	config.Fail = func(violation string) { t.Errorf("%s", violation) }
	w := &world{t: t, ring: fakering.New(config), blocks: &fakeBlocks{}, log: &recorder{}}
	w.listener = w.ring.Listen()
	w.sockets = &fakeSockets{ring: w.ring}
	options := &Options{
		Apps:    []App{{Name: "demo", Hosts: []string{"a"}}},
		Blocks:  w.blocks,
		Logger:  w.log,
		Clock:   w.ring.Now,
		sockets: w.sockets,
		NewShard: shardOf(func(app int) (Worker, error) {
			worker := newFakeWorker("demo", demo(w.blocks))
			w.workers = append(w.workers, worker)
			return worker, nil
		}),
	}
	if change != nil {
		change(options)
	}
	l, err := New(0, options, w.ring, []Socket{{FD: w.listener}})
	if err != nil {
		t.Fatal(err)
	}
	w.loop = l
	l.readTime()
	l.armWake()
	l.accept(&l.listeners[0])
	t.Cleanup(w.end)
	return w
}

// run runs the loop for a length of virtual time.
func (w *world) run(length time.Duration) {
	w.t.Helper()
	over := false
	w.ring.At(length, func() {
		over = true
		w.loop.waker.Signal()
	})
	for !over && !w.t.Failed() {
		if err := w.loop.tick(); err != nil {
			w.t.Fatal(err)
		}
	}
	// What the last moment set in motion, without waiting.
	for range 3 {
		w.loop.waker.Signal()
		if err := w.loop.tick(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// settle runs the loop for long enough to answer what was asked, too short for any time-out.
func (w *world) settle() { w.t.Helper(); w.run(5 * time.Millisecond) }

// end drains the loop and checks that nothing is left of anything.
func (w *world) end() {
	if w.ended || w.t.Failed() {
		return
	}
	w.ended = true
	l := w.loop
	l.Drain()
	for !l.isDrained() {
		if err := l.tick(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.checkEmpty()
	if err := errors.Join(l.end(), l.Close()); err != nil {
		w.t.Error(err)
	}
	for _, worker := range w.workers {
		if !worker.disposed {
			w.t.Error("an isolate was not disposed of")
		}
	}
}

// checkEmpty checks that no connection, exchange, handle, buffer or block is left over.
func (w *world) checkEmpty() {
	if n := len(w.blocks.memory); n != 0 {
		w.t.Errorf("%d blocks were not freed", n)
	}
	checkNothingLeft(w.t, w.loop)
}

// checkNothingLeft checks that a loop that has drained has nothing of any client, request or object. The
// ring checks for itself that it has all its buffers.
func checkNothingLeft(t testing.TB, l *Loop) {
	t.Helper()
	for i := range l.connections.chunks {
		if l.connections.chunks[i] == nil {
			continue
		}
		for j := range l.connections.chunks[i] {
			if c := &l.connections.chunks[i][j]; c.phase != phaseFree || c.inFlight != 0 {
				t.Errorf("connection %d left in phase %d with %d operations", c.index, c.phase, c.inFlight)
			}
		}
	}
	for _, list := range append([]*timeoutList{&l.timeouts.header, &l.timeouts.idle, &l.timeouts.body,
		&l.timeouts.send, &l.timeouts.linger, &l.timeouts.grace, &l.timeouts.leaving}, l.timeouts.walls...) {
		if list.first != nil || list.last != nil {
			t.Errorf("a time-out of %v is left over", time.Duration(list.duration))
		}
	}
	held := 0
	for _, worker := range l.apps {
		if worker == nil {
			continue
		}
		for e := worker.exchanges; e != nil; e = e.nextOfWorker {
			held++
			if e.connection != nil || e.parked != nil {
				t.Error("an exchange kept its connection or output")
			}
		}
	}
	free := 0
	for e := l.exchanges.free; e != nil; e = e.next {
		free++
	}
	if all := len(l.exchanges.chunks) * exchangeChunk; free+held != all {
		t.Errorf("%d exchanges free, %d in isolates, of %d", free, held, all)
	}
	if n := len(l.handles.byKey); n != 0 {
		t.Errorf("%d handles are left", n)
	}
	if l.called != 0 || l.tunnels != 0 {
		t.Errorf("%d callers and %d tunnels are left", l.called, l.tunnels)
	}
	for _, worker := range l.apps {
		if worker != nil && (worker.handles != nil || worker.handlesOpen != 0) {
			t.Errorf("%s: %d handles are open", worker.name, worker.handlesOpen)
		}
	}
	if l.endpoints.open != 0 {
		t.Errorf("%d endpoints are left", l.endpoints.open)
	}
	if l.options.open.Load() != 0 {
		t.Errorf("%d connections counted as open", l.options.open.Load())
	}
}

// talk writes input on a new connection, lets the loop answer and returns what came back.
func (w *world) talk(input string) (*fakering.Peer, string) {
	w.t.Helper()
	peer := w.ring.Dial(w.listener)
	peer.WriteString(input)
	w.settle()
	return peer, string(peer.Take())
}

// response formats what the loop answers, with the date of the fake ring's first second.
func response(status, head, body string) string {
	return "HTTP/1.1 " + status + "\r\ndate: Wed, 01 Jan 2025 00:00:00 GMT\r\n" + head + "\r\n" + body
}

func okText(body string, more ...string) string {
	return response("200 OK", fmt.Sprintf("content-type: text/plain;charset=UTF-8\r\ncontent-length: %d\r\n%s",
		len(body), strings.Join(more, "")), body)
}

// failure is an answer of ours that ends the connection.
func failure(status, body string, more ...string) string {
	return "HTTP/1.1 " + status + "\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n" +
		"date: Wed, 01 Jan 2025 00:00:00 GMT\r\n" + strings.Join(more, "") +
		fmt.Sprintf("content-length: %d\r\nconnection: close\r\n\r\n%s", len(body), body)
}

// row is a conversation: what a client says, and all that it must get back.
type row struct {
	name, input, want string
	closes            bool // the server ends the connection
}

var rows = []row{
	{"get", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", okText("GET / a "), false},
	{"get with port and query", "GET /x?y=/z HTTP/1.1\r\nHost: A:80\r\n\r\n", okText("GET /x?y=/z A:80 "), false},
	{"absolute form", "GET http://a/p HTTP/1.1\r\nHost: b\r\n\r\n", okText("GET /p a "), false},
	{"keep-alive", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", okText("GET /1 a ") + okText("GET /2 a "), false},
	{"close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", okText("GET / a ", "connection: close\r\n"), true},
	{"http/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", okText("GET / a ", "connection: close\r\n"), true},
	{"http/1.0 keep-alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", okText("GET / a ", "connection: keep-alive\r\n"), false},
	{"head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", strings.TrimSuffix(okText("HEAD / a "), "HEAD / a "), false},
	{"204", "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", response("204 No Content", "", ""), false},
	{"null body", "GET /null HTTP/1.1\r\nHost: a\r\n\r\n", response("200 OK", "content-length: 0\r\n", ""), false},
	{"content-length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", okText("POST /p a hello"), false},
	{"content-length 0", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", okText("POST /p a "), false},
	{"chunked", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: v\r\n\r\n", okText("POST /p a hello"), false},
	{"chunked, empty", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", okText("POST /p a "), false},
	{"body, then another", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", okText("POST /p a hi") + okText("GET /2 a "), false},
	{"three at once", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
		okText("GET /1 a ") + okText("PUT /2 a x") + okText("GET /3 a "), false},
	{"streaming", "GET /stream/2 HTTP/1.1\r\nHost: a\r\n\r\n", response("200 OK", "content-type: text/plain;charset=UTF-8\r\ntransfer-encoding: chunked\r\n",
		"8\r\nchunk 1;\r\n8\r\nchunk 0;\r\n0\r\n\r\n"), false},
	{"streaming, http/1.0", "GET /stream/2 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", response("200 OK",
		"content-type: text/plain;charset=UTF-8\r\nconnection: close\r\n", "chunk 1;chunk 0;"), true},
	{"streaming, head", "HEAD /stream/2 HTTP/1.1\r\nHost: a\r\n\r\n", response("200 OK", "content-type: text/plain;charset=UTF-8\r\ntransfer-encoding: chunked\r\n", ""), false},
	{"streaming, head, http/1.0", "HEAD /stream/2 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", response("200 OK", "content-type: text/plain;charset=UTF-8\r\nconnection: close\r\n", ""), true},
	{"streaming, empty", "GET /stream/0 HTTP/1.1\r\nHost: a\r\n\r\n", response("200 OK", "content-type: text/plain;charset=UTF-8\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), false},
	{"streaming, breaks", "GET /broken/1 HTTP/1.1\r\nHost: a\r\n\r\n", response("200 OK", "content-type: text/plain;charset=UTF-8\r\ntransfer-encoding: chunked\r\n", "8\r\nchunk 0;\r\n"), true},
	{"large", "GET /large/40 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", okText("0123456789abcdef0123456789abcdef01234567") + okText("GET / a "), false},
	{"404", "GET /x?y HTTP/1.1\r\nHost: nobody:81\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		strings.Replace(failure("404 Not Found", "nano: no app for nobody/x"), "connection: close\r\n", "", 1) + okText("GET / a "), false},
	{"404 with a body", "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello", failure("404 Not Found", "nano: no app for b/"), true},
	{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", failure("400 Bad Request", "nano: differing Content-Lengths"), true},
	{"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", failure("400 Bad Request", "nano: both Content-Length and Transfer-Encoding"), true},
	{"bad chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz", failure("400 Bad Request", "nano: malformed chunk size"), true},
	{"bad after good", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nx : y\r\n\r\n", okText("GET / a ") + failure("400 Bad Request", "nano: malformed header field name"), true},
	{"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", failure("501 Not Implemented", "nano: transfer coding not supported"), true},
	{"expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", failure("417 Expectation Failed", "nano: expectation not supported"), true},
	{"http/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", failure("505 HTTP Version Not Supported", "nano: HTTP version not supported"), true},
	{"too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", failure("413 Content Too Large", "nano: request body too large"), true},
	{"too large, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("x", 1000) + "\r\n1\r\nx\r\n0\r\n\r\n", failure("413 Content Too Large", "nano: request body too large"), true},
	{"head too long", "GET /" + strings.Repeat("x", 300) + " HTTP/1.1\r\nHost: a\r\n\r\n", failure("431 Request Header Fields Too Large", "nano: request head too long"), true},
	{"app fails", "GET /die HTTP/1.1\r\nHost: a\r\n\r\n", strings.Replace(failure("503 Service Unavailable", "nano: demo: memory-limit", "nano-error: memory-limit\r\n"), "connection: close\r\n", "", 1), false},
}

func rowOptions(o *Options) {
	o.MaxBody = 1000
	o.MaxHeader = 256
}

// check compares what came back, whole or split, with the row.
func (r *row) check(t *testing.T, how string, got string, ended bool) {
	t.Helper()
	if got != r.want {
		t.Errorf("%s: got\n%q\nwant\n%q", how, got, r.want)
	}
	if ended != r.closes {
		t.Errorf("%s: connection ended: %v, want %v", how, ended, r.closes)
	}
}

// TestRowsSplit sends each conversation in two pieces, cut at every offset, and byte by byte.
func TestRowsSplit(t *testing.T) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			w := newWorld(t, fakering.Config{}, rowOptions)
			// The date stays in its first second.
			for cut := 0; cut <= len(r.input) && !t.Failed(); cut++ {
				if cut > 100 && cut < len(r.input)-50 && cut%50 != 0 {
					continue // the middle of something long
				}
				w.loop.dateText = w.loop.dateText[:0]
				w.freezeDate()
				peer := w.ring.Dial(w.listener)
				peer.WriteString(r.input[:cut])
				w.run(10 * time.Microsecond)
				peer.WriteString(r.input[cut:])
				w.run(100 * time.Microsecond)
				r.check(t, fmt.Sprintf("cut at %d", cut), string(peer.Take()), peer.Ended())
				peer.Close()
			}
			peer := w.ring.Dial(w.listener)
			for i := range r.input {
				peer.WriteString(r.input[i : i+1])
				w.run(2 * time.Microsecond)
			}
			w.run(100 * time.Microsecond)
			r.check(t, "byte by byte", string(peer.Take()), peer.Ended())
			peer.Close()
		})
	}
}

// freezeDate makes the loop's dates those that response expects, however long a test runs.
func (w *world) freezeDate() {
	w.loop.dateText = append(w.loop.dateText[:0], "Wed, 01 Jan 2025 00:00:00 GMT"...)
	w.loop.dateSecond = w.loop.wallClock / 1e9
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t, fakering.Config{}, rowOptions)
	peer, got := w.talk("POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if want := "HTTP/1.1 100 Continue\r\n\r\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	peer.WriteString("hello")
	w.settle()
	if got := string(peer.Take()); got != okText("POST /p a hello") {
		t.Errorf("got %q", got)
	}
	// Not asked for when it is not wanted: too large, or nobody there.
	for _, refused := range []string{"Host: a\r\nContent-Length: 1001", "Host: nobody\r\nContent-Length: 1"} {
		if _, got := w.talk("POST /p HTTP/1.1\r\nExpect: 100-continue\r\n" + refused + "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 4") {
			t.Errorf("%s: got %q", refused, got)
		}
	}
	// The body is there already.
	if _, got := w.talk("POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"); got != okText("POST /p a hi") {
		t.Errorf("got %q", got)
	}
}

// TestPipelining: safe requests run beside each other and are answered in order; unsafe ones alone.
func TestPipelining(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	peer, got := w.talk(get("/late") + get("/2") + "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" + get("/late") + get("/large/20") + get("/stream/1"))
	if got != "" {
		t.Errorf("answered %q before the first request was", got)
	}
	if n := w.loop.stats.Requests; n != 2 {
		t.Errorf("%d requests dispatched, want the two safe ones", n)
	}
	w.run(990 * time.Millisecond)
	if got := peer.Take(); len(got) != 0 {
		t.Errorf("answered %q too early", got)
	}
	w.run(10 * time.Millisecond)
	w.freezeDate()
	first := string(peer.Take())
	bodies := func(s string) (list []string) {
		for _, part := range strings.SplitAfter(s, "\r\n\r\n")[1:] {
			body, _, _ := strings.Cut(part, "HTTP/1.1")
			list = append(list, body)
		}
		return list
	}
	if got := strings.Join(bodies(first), "|"); got != "late|GET /2 a |POST /3 a x" {
		t.Errorf("got bodies %q", got)
	}
	w.run(time.Second)
	if got := string(peer.Take()); !strings.HasSuffix(got, "\r\n\r\n8\r\nchunk 0;\r\n0\r\n\r\n") || !strings.Contains(got, "\r\n\r\n0123456789abcdef0123HTTP/1.1 200") {
		t.Errorf("got %q", got)
	}
}

// TestBackPressure: a client that sends without reading, or without waiting, is not read from.
func TestBackPressure(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 16, BufferSize: 4096}, func(o *Options) { o.PipelineDepth = 4 })
	peer := w.ring.Dial(w.listener)
	request := "GET /late HTTP/1.1\r\nHost: a\r\n\r\n"
	peer.WriteString(strings.Repeat(request, 10000))
	w.run(50 * time.Millisecond)
	c := w.loop.connections.at(0)
	if c.outstanding != 4 {
		t.Errorf("%d requests in hand, want 4", c.outstanding)
	}
	if n := len(c.in); n < inputMax || n > inputMax+16*4096 {
		t.Errorf("%d bytes buffered", n)
	}
	if c.receiving {
		t.Error("still receiving")
	}
	w.run(100 * time.Second)
	if got := bytes.Count(peer.Take(), []byte("late")); got < 300 {
		t.Errorf("%d answers in 100 s, at 4 a second", got)
	}
	peer.Reset()
	w.settle()
}

func TestClientGone(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	other, _ := w.talk("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	peer.Reset()
	w.settle()
	worker := w.workers[0]
	if len(worker.allGone) != 1 {
		t.Fatalf("told of %d clients gone, want 1", len(worker.allGone))
	}
	if w.ring.Connections() != 1 {
		t.Error("the connection was not closed")
	}
	// The isolate answers all the same, and a new client has the slot: it must not see that.
	third, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	worker.record(isolates.Record{})
	worker.out, worker.next = worker.out[:0], 0
	worker.timers = append(worker.timers, worker.allGone[0])
	worker.onTimer = func(w *fakeWorker, id uint32) { w.text(id, []byte("late")) }
	w.loop.wantTurn(w.loop.apps[0])
	w.settle()
	if got := third.Take(); len(got) != 0 {
		t.Errorf("another client got %q", got)
	}
	w.run(time.Second)
	if got := string(other.Take()); !strings.HasSuffix(got, "late") {
		t.Errorf("other client got %q", got)
	}
	third.Reset()
}

// TestHalfClose: a client that has shut its side still gets its answers.
func TestHalfClose(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer := w.ring.Dial(w.listener)
	peer.WriteString("GET /late HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /incompl")
	peer.CloseWrite()
	w.run(2 * time.Second)
	got := string(peer.Take())
	if !strings.Contains(got, "late") || !strings.HasSuffix(got, "POST /2 a x") {
		t.Errorf("got %q", got)
	}
	if !peer.Closed() {
		t.Error("not closed after the last answer")
	}
}

// TestTimeouts lets clients be slow in each way there is.
func TestTimeouts(t *testing.T) {
	for _, test := range []struct {
		name, input string
		drip        string // then one byte of it every 2 s
		limit       time.Duration
		want        string
	}{
		{"says nothing", "", "", 10 * time.Second, ""},
		{"head incomplete", "GET / HT", "", 10 * time.Second, "HTTP/1.1 408"},
		{"head byte by byte", "GET / HTTP/1.1\r\nHost: a\r\nx: ", strings.Repeat("y", 100), 10 * time.Second, "HTTP/1.1 408"},
		{"idle", "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", "", 60 * time.Second, "HTTP/1.1 204"},
		{"second head byte by byte", "GET /empty HTTP/1.1\r\nHost: a\r\n\r\nG", strings.Repeat("E", 100), 10 * time.Second, "HTTP/1.1 204"},
		{"body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello", "", 30 * time.Second, "HTTP/1.1 408"},
		{"wall", "GET /never HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", 5 * time.Second, "HTTP/1.1 504"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, fakering.Config{}, func(o *Options) { o.Wall = 5 * time.Second })
			peer := w.ring.Dial(w.listener)
			peer.WriteString(test.input)
			for i := range test.drip {
				w.ring.At(time.Duration(i+1)*2*time.Second, func() { peer.WriteString(test.drip[i : i+1]) })
			}
			w.run(test.limit - 10*time.Millisecond)
			if peer.Ended() {
				t.Fatal("ended too early")
			}
			w.run(20 * time.Millisecond)
			if got := string(peer.Take()); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
				t.Errorf("got %q, want %s", got, test.want)
			}
			if !peer.Ended() {
				t.Error("not ended")
			}
			w.run(3 * time.Second)
			if !peer.Closed() {
				t.Error("not closed after lingering")
			}
		})
	}
}

// TestWallLimit: the client gets 504 and keeps its connection; the app's late answer is dropped.
func TestWallLimit(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.Wall = 500 * time.Millisecond })
	peer, _ := w.talk("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(600 * time.Millisecond)
	if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") || !strings.Contains(got, "nano-error: wall-limit\r\n") {
		t.Errorf("got %q", got)
	}
	w.run(time.Second)
	if got := peer.Take(); len(got) != 0 {
		t.Errorf("the late answer came: %q", got)
	}
	peer.WriteString("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
	w.settle()
	if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 204") {
		t.Errorf("got %q", got)
	}
	if len(w.workers[0].allGone) != 1 || w.loop.apps[0].exchanges != nil {
		t.Errorf("gone: %v; the late answer should have ended the exchange", w.workers[0].allGone)
	}
}

// TestSlowReader: a client that does not read is cut off, and one that reads next to nothing. One that reads slowly
// is not.
func TestSlowReader(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	request := "GET /large/2000000 HTTP/1.1\r\nHost: a\r\n\r\n"
	slow, stuck, idling := w.ring.Dial(w.listener), w.ring.Dial(w.listener), w.ring.Dial(w.listener)
	for _, peer := range []*fakering.Peer{slow, stuck, idling} {
		peer.SetWindow(1000)
		peer.WriteString(request)
	}
	for i := range 10 {
		w.ring.At(time.Duration(i)*50*time.Second, func() { slow.SetWindow(sendPieceMax) })
	}
	for i := range 60 {
		w.ring.At(time.Duration(i)*time.Second, func() { idling.SetWindow(1000) })
	}
	w.run(59 * time.Second)
	if stuck.Closed() || idling.Closed() {
		t.Error("cut off too early")
	}
	w.run(2 * time.Second)
	if !stuck.Closed() || !idling.Closed() {
		t.Errorf("cut off: a client that does not read %v, one that reads 1 KB/s %v", stuck.Closed(), idling.Closed())
	}
	w.run(400 * time.Second)
	if n := len(slow.Take()); n < 2000000 {
		t.Errorf("a slow client got %d bytes", n)
	}
	slow.Close()
}

func TestStreamBackPressure(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer := w.ring.Dial(w.listener)
	peer.SetWindow(150)
	peer.WriteString("GET /stream/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(50 * time.Millisecond)
	for _, state := range w.workers[0].live {
		if made := 1000 - state.wantsMoreTurns; made > 5 {
			t.Errorf("%d chunks were made for a client that does not take them", made)
		}
	}
	peer.SetWindow(-1)
	w.run(50 * time.Millisecond)
	if got := string(peer.Take()); !strings.HasSuffix(got, "chunk 0;\r\n0\r\n\r\n") {
		t.Errorf("stream not completed: %q", got[max(0, len(got)-100):])
	}
	peer.Close()
}

func TestFactoryFails(t *testing.T) {
	attempts := 0
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.NewShard = shardOf(func(app int) (Worker, error) {
			attempts++
			return nil, fmt.Errorf("demo.js:1:2: SyntaxError")
		})
	})
	get := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	peer, got := w.talk(get + get)
	if strings.Count(got, "HTTP/1.1 500") != 2 || !strings.Contains(got, "nano: demo: ") || strings.Contains(got, "demo.js") {
		t.Errorf("got %q", got)
	}
	if attempts != 1 || w.log.count("SyntaxError") != 1 {
		t.Errorf("%d attempts, logged %q", attempts, w.log.lines)
	}
	w.run(time.Second)
	peer.WriteString(get)
	w.settle()
	if attempts != 2 {
		t.Errorf("%d attempts after a second, want 2", attempts)
	}
}

// TestFactoryFailsSlowly: an app that takes long to fail is tried rarely.
func TestFactoryFailsSlowly(t *testing.T) {
	attempts := 0
	var took time.Duration
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		clock := o.Clock
		o.Clock = func() time.Time { return clock().Add(took) }
		o.NewShard = shardOf(func(app int) (Worker, error) {
			attempts++
			took += time.Second
			return nil, errors.New("demo: too slow to start")
		})
	})
	get := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, step := range []struct {
		after    time.Duration
		attempts int
	}{{0, 1}, {2 * time.Second, 1}, {60 * time.Second, 1}, {2 * time.Second, 2}, {60 * time.Second, 2}} {
		w.run(step.after)
		peer, got := w.talk(get)
		peer.Close()
		if !strings.HasPrefix(got, "HTTP/1.1 500") || attempts != step.attempts {
			t.Errorf("%v later: %d attempts, want %d; got %q", step.after, attempts, step.attempts, got)
		}
	}
}

// TestLargeFirstChunk: a large chunk that comes in one turn with the head of its answer is sent from
// where it lies. A copy in Go's memory would double what a slow client costs.
func TestLargeFirstChunk(t *testing.T) {
	const size = 300000
	for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
		w := newWorld(t, fakering.Config{}, nil)
		peer := w.ring.Dial(w.listener)
		peer.SetWindow(100)
		peer.WriteString(fmt.Sprintf("GET /chunk/%d %s\r\nHost: a\r\n\r\n", size, protocol))
		w.settle()
		if w.blocks.freed != 0 || len(w.blocks.memory) != 1 {
			t.Errorf("%s: %d blocks freed before the client took them", protocol, w.blocks.freed)
		}
		peer.SetWindow(-1)
		w.settle()
		want := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		if protocol == "HTTP/1.1" {
			want = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, want)
		}
		if head, body, _ := strings.Cut(string(peer.Take()), "\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || body != want {
			t.Errorf("%s: got %q and %d bytes, want %d", protocol, head, len(body), len(want))
		}
		if w.blocks.freed != 1 {
			t.Errorf("%s: %d blocks freed", protocol, w.blocks.freed)
		}
		peer.Close()
	}
}

// TestReplace: an isolate that dies takes only its own requests with it.
func TestReplace(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	hung, _ := w.talk(get("/never"))
	streaming := w.ring.Dial(w.listener)
	streaming.SetWindow(200)
	streaming.WriteString(get("/stream/100"))
	w.settle()
	peer, got := w.talk(get("/die") + get("/1"))
	if strings.Count(got, "HTTP/1.1 503") != 1 || !strings.HasSuffix(got, "GET /1 a ") { // made before it died
		t.Errorf("got %q", got)
	}
	if got := string(hung.Take()); !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, "nano-error: memory-limit") {
		t.Errorf("the hung request got %q", got)
	}
	streaming.SetWindow(-1)
	w.settle()
	if got := string(streaming.Take()); strings.HasSuffix(got, "0\r\n\r\n") || !streaming.Ended() {
		t.Errorf("a stream of a dead isolate looks complete: %q", got)
	}
	peer.WriteString(get("/2"))
	w.settle()
	if got := string(peer.Take()); !strings.HasSuffix(got, "GET /2 a ") {
		t.Errorf("got %q after the isolate was replaced", got)
	}
	if len(w.workers) != 2 || !w.workers[0].disposed {
		t.Errorf("%d isolates", len(w.workers))
	}
}

// TestPending: drain waits for waitUntil work.
func TestPending(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, got := w.talk("GET /pending HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.HasSuffix(got, "pending") {
		t.Errorf("got %q", got)
	}
	peer.Close()
	start := w.ring.Now()
	w.end()
	if waited := w.ring.Now().Sub(start); waited < 900*time.Millisecond {
		t.Errorf("drained after %v, before the work was done", waited)
	}
	if w.loop.apps[0].exchanges != nil {
		t.Error("the exchange was not ended")
	}
}

// TestDrain: what was received is answered, with connection: close; idle ones get a grace.
func TestDrain(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	idle, _ := w.talk(get("/empty"))
	busy, _ := w.talk(get("/2") + get("/late"))
	idleThenBusy, _ := w.talk(get("/empty"))
	idleThenBusy.Take()
	w.loop.Drain()
	w.ring.At(100*time.Millisecond, func() { idleThenBusy.WriteString(get("/3")) })
	w.run(200 * time.Millisecond)
	if got := string(idleThenBusy.Take()); !strings.Contains(got, "connection: close") || !strings.HasSuffix(got, "GET /3 a ") {
		t.Errorf("a request during the grace got %q", got)
	}
	if !w.ring.Dial(w.listener).Closed() {
		t.Error("still listening")
	}
	if idle.Ended() {
		t.Error("idle connection closed before the grace was over")
	}
	w.run(400 * time.Millisecond)
	if !idle.Ended() {
		t.Error("idle connection not closed after the grace")
	}
	w.run(time.Second)
	if got := string(busy.Take()); strings.Count(got, "connection: close") != 1 || !strings.HasSuffix(got, "late") {
		t.Errorf("a busy connection got %q", got)
	}
}

func TestDrainForced(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	start := w.ring.Now()
	w.end()
	if waited := w.ring.Now().Sub(start); waited < 10*time.Second || waited > 11*time.Second {
		t.Errorf("drained after %v, want the drain time-out", waited)
	}
	if !peer.Closed() || w.log.count("drain timed out") != 1 {
		t.Errorf("closed: %v; log: %q", peer.Closed(), w.log.lines)
	}
}

// TestBlockedSleeps: requests that wait for earlier answers do not keep the loop busy.
func TestBlockedSleeps(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.PipelineDepth = 2 })
	get := "GET /never HTTP/1.1\r\nHost: a\r\n\r\n"
	depth, _ := w.talk(get + get + get + "GET")
	unsafe, _ := w.talk(get + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
	full, _ := w.talk(strings.Repeat(get, 2000))
	before := w.loop.stats.Ticks
	w.run(20 * time.Second)
	if n := w.loop.stats.Ticks - before; n > 6 {
		t.Errorf("%d ticks while waiting", n)
	}
	for _, peer := range []*fakering.Peer{depth, unsafe, full} {
		peer.Reset()
	}
	w.settle()
	if w.ring.Connections() != 1 { // full is not read from; the first send will tell
		t.Errorf("%d connections", w.ring.Connections())
	}
}

// TestTwoApps: requests of one connection to two apps are answered in order, and when one app's
// isolate dies, the other's requests, timers and streams go on.
func TestTwoApps(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.Apps = []App{{Name: "demo", Hosts: []string{"a"}}, {Name: "other", Hosts: []string{"b"}}}
	})
	get := func(host, target string) string { return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	mixed, _ := w.talk(get("b", "/late") + get("a", "/1") + get("b", "/2"))
	stream := w.ring.Dial(w.listener)
	stream.SetWindow(200)
	stream.WriteString(get("b", "/stream/50"))
	w.settle()
	_, got := w.talk(get("a", "/die"))
	if !strings.HasPrefix(got, "HTTP/1.1 503") {
		t.Errorf("got %q", got)
	}
	stream.SetWindow(-1)
	w.run(time.Second)
	got = string(mixed.Take())
	if late, one, two := strings.Index(got, "late"), strings.Index(got, "GET /1 a "), strings.Index(got, "GET /2 b "); late < 0 || one < late || two < one {
		t.Errorf("got %q", got)
	}
	if got := string(stream.Take()); !strings.HasSuffix(got, "chunk 0;\r\n0\r\n\r\n") {
		t.Errorf("the other app's stream got %q", got)
	}
	if w.workers[0].disposed == w.workers[1].disposed {
		t.Error("not exactly one isolate was replaced")
	}
}

// TestTasks: an isolate for which V8 has posted a task, or has a delayed one, gets a turn.
func TestTasks(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, _ := w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	worker := w.workers[0]
	turns := worker.turns
	w.loop.waker.Signal()
	w.settle()
	if worker.turns != turns {
		t.Error("a turn without a task")
	}
	worker.tasks.Store(true)
	w.loop.waker.Signal()
	w.settle()
	if worker.turns != turns+1 {
		t.Errorf("%d turns for a task", worker.turns-turns)
	}
	worker.taskDelay = time.Second
	peer.WriteString("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.settle()
	worker.taskDelay, turns = 0, worker.turns
	w.run(900 * time.Millisecond)
	if worker.turns != turns {
		t.Error("a delayed task came early")
	}
	w.run(100 * time.Millisecond)
	if worker.turns != turns+1 {
		t.Errorf("%d turns for a delayed task", worker.turns-turns)
	}
	if len(w.loop.timers.heap) != 0 {
		t.Error("a timer is left over")
	}
	peer.Close()
}

// TestIdleSleeps: a loop with an idle connection does not wake up.
func TestIdleSleeps(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, _ := w.talk("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
	before := w.loop.stats.Ticks
	w.run(50 * time.Second)
	if n := w.loop.stats.Ticks - before; n > 6 {
		t.Errorf("%d ticks while idle", n)
	}
	peer.Close()
}

// TestBackgroundLimit: waitUntil work that does not end keeps nothing of the loop for ever.
func TestBackgroundLimit(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.Background = 10 * time.Second })
	w.talk(strings.Repeat("GET /forever HTTP/1.1\r\nhost: a\r\n\r\n", 3))
	if w.loop.pendingWork != 3 || w.loop.exchanges.inUse != 3 {
		t.Fatalf("%d pending, %d in use", w.loop.pendingWork, w.loop.exchanges.inUse)
	}
	w.run(11 * time.Second)
	if w.loop.pendingWork != 0 || w.loop.exchanges.inUse != 0 || w.loop.apps[0].inHand != 0 {
		t.Fatalf("%d pending, %d in use, %d in hand", w.loop.pendingWork, w.loop.exchanges.inUse, w.loop.apps[0].inHand)
	}
}

// TestAppShare: an app that never ends its requests leaves slots to the others.
func TestAppShare(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.Apps = append(o.Apps, App{Name: "other", Hosts: []string{"b"}})
	})
	const taken = exchangesMax - 2*appShare // as if other apps held them
	w.loop.exchanges.inUse += taken
	defer func() { w.loop.exchanges.inUse -= taken }()
	_, answers := w.talk(strings.Repeat("GET /forever HTTP/1.1\r\nhost: a\r\n\r\n", 3))
	if strings.Count(answers, "200 OK") != 1 || strings.Count(answers, "nano: demo: too many requests in hand") != 2 {
		t.Errorf("got %q", answers)
	}
	if _, answer := w.talk("GET /x HTTP/1.1\r\nhost: b\r\n\r\n"); !strings.Contains(answer, "200 OK") {
		t.Errorf("the other app: %q", answer)
	}
	w.run(time.Minute)
}

// TestRealIPIsOfProxiesOnly: an app believes x-real-ip, so a client must not be able to set it.
func TestRealIPIsOfProxiesOnly(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	const input = "GET /fields HTTP/1.1\r\nX-Real-IP: 1.2.3.4\r\nhost: a\r\nx-real-ip: 5.6.7.8\r\nx-real-ipx: 1\r\n\r\n"
	if _, answer := w.talk(input); !strings.HasSuffix(answer, "\r\n\r\nhost x-real-ipx") {
		t.Errorf("got %q", answer)
	}
	for remote, local := range map[string]bool{
		"": true, "127.0.0.1:1": true, "127.8.9.1:1": true, "[::1]:80": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "10.0.0.1:1": false, "[::1234]:1": false, "12.7.0.1:1": false,
	} {
		if isLocal([]byte(remote)) != local {
			t.Errorf("%q: local is %v", remote, !local)
		}
	}
}
