package loop

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nano/egress"
	"nano/isolates"
	"nano/uring/fakering"
)

// A fetcher is a world with an isolate that fetches, and origins that the test works.
type fetcher struct {
	*world
	worker  *fakeWorker
	number  int32 // of the handle that was opened last
	results map[int32]*result
	peers   []*fakering.Peer // connections to originAddress, in the order in which they were made
	window  int              // with which bodies are read at once; 0: the test reads them
}

// result is what an isolate was told of a fetch.
type result struct {
	news      fakeNews // of its response
	answers   int
	body      string
	ended     bool
	fault     isolates.Fault
	faultText string
	written   int
}

var originAddress = netip.MustParseAddrPort("192.0.2.80:80")

const originURL = "http://192.0.2.80"

// newFetcher makes a world whose isolate is awake.
func newFetcher(t testing.TB, config fakering.Config, change func(o *Options)) *fetcher {
	t.Helper()
	rules, err := egress.Parse([]string{"192.0.2.0/24"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fetcher{results: map[int32]*result{}, window: 64 << 10}
	f.world = newWorld(t, config, func(o *Options) {
		o.Apps[0].Egress = rules
		o.Idle = time.Hour
		o.Background = time.Hour // for what is opened under no request, as here
		if change != nil {
			change(o)
		}
	})
	f.ring.Remote(originAddress, func(p *fakering.Peer) { f.peers = append(f.peers, p) })
	for len(f.workers) == 0 && !t.Failed() { // the kernel may break the connection
		peer, _ := f.talk("GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		f.run(time.Second)
		peer.Close()
		f.settle()
	}
	f.worker = f.workers[0]
	f.worker.onNews = f.hear
	return f
}

// hear takes what the isolate is told, and reads bodies if the test does not.
func (f *fetcher) hear(w *fakeWorker, news *fakeNews) {
	r := f.results[news.handle]
	if r == nil {
		f.t.Errorf("%s of handle %d, which is not open", news.what, news.handle)
		return
	}
	if r.ended {
		f.t.Errorf("%s of handle %d after its end", news.what, news.handle)
	}
	switch news.what {
	case "response":
		r.answers++
		r.news, r.body = *news, news.text
		r.ended = !news.streams
		if news.streams && f.window != 0 {
			w.record(f.reading(news.handle, f.window))
		}
	case "data":
		r.body += news.text
		if f.window != 0 {
			w.record(f.reading(news.handle, len(news.text)))
		}
	case "end":
		r.ended, r.fault, r.faultText = true, isolates.Fault(news.number), news.text
	case "written":
		r.written++
	}
}

// do has the isolate bring out a record in its next turn. Not to be called within one.
func (f *fetcher) do(record isolates.Record) {
	if !f.worker.keepOut {
		f.worker.out, f.worker.keepOut, f.worker.next = f.worker.out[:0], true, 0
	}
	f.worker.record(record)
	f.loop.wantTurn(f.loop.apps[0])
}

func (f *fetcher) read(handle int32, n int) { f.do(f.reading(handle, n)) }

func (f *fetcher) reading(handle int32, n int) isolates.Record {
	return isolates.Record{Kind: isolates.KindRead, Handle: handle, Number: int64(n), Flags: isolates.ReadDecoded}
}

// open opens a fetch, "METHOD URL"; change may be nil.
func (f *fetcher) open(target string, change func(r *isolates.Record)) *result {
	f.number++
	record := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatFetch, Handle: f.number, Target: []byte(target)}
	if change != nil {
		change(&record)
	}
	r := &result{}
	f.results[f.number] = r
	f.do(record)
	return r
}

// fetch is open, and lets the request come to the origin.
func (f *fetcher) fetch(target string, change func(r *isolates.Record)) *result {
	f.t.Helper()
	r := f.open(target, change)
	f.settle()
	return r
}

// origin is the connection that was made last.
func (f *fetcher) origin() *fakering.Peer {
	f.t.Helper()
	if len(f.peers) == 0 {
		f.t.Fatal("no connection to the origin")
	}
	return f.peers[len(f.peers)-1]
}

// answer has the origin answer on its last connection.
func (f *fetcher) answer(text string) {
	f.t.Helper()
	f.origin().WriteString(text)
	f.settle()
}

// checkAtRest checks that nothing of any sub-request is left but idle connections.
func (f *fetcher) checkAtRest() {
	f.t.Helper()
	l := f.loop
	if n := len(l.handles.byKey); n != 0 {
		f.t.Errorf("%d handles are open", n)
	}
	open, idle := 0, 0
	for _, o := range l.origins.byKey {
		open += o.open
		if o.dialing+o.waiting != 0 {
			f.t.Errorf("%d dials, %d requests wait", o.dialing, o.waiting)
		}
		for c := o.idle; c != nil; c = c.nextIdle {
			idle++
			if c.in != nil || c.kept != 0 || c.partial != nil || c.fetch != nil {
				f.t.Error("an idle connection holds something")
			}
		}
	}
	if open != idle || idle != l.origins.idle {
		f.t.Errorf("%d connections, %d idle, %d counted", open, idle, l.origins.idle)
	}
	if p := &l.pipes; p.open != len(p.free) {
		f.t.Errorf("%d pipes are open, %d free", p.open, len(p.free))
	}
	if l.endpoints.bulks != 0 || l.buffers.offered != nil {
		f.t.Errorf("%d endpoints receive much, %d bytes are offered", l.endpoints.bulks, len(l.buffers.offered))
	}
	for _, list := range l.timeouts.others {
		for node := list.first; node != nil; node = node.next {
			if _, isFetch := node.owner.(*fetch); isFetch {
				f.t.Errorf("a fetch still waits for %v", time.Duration(list.duration))
			}
		}
	}
}

const plainFetch = "GET / HTTP/1.1\r\nhost: 192.0.2.80\r\naccept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\naccept-encoding: gzip, br, zstd\r\ncdn-loop: nano; hops=1\r\n\r\n"

// fetchRow is one response, and what the isolate must be told of it.
type fetchRow struct {
	name, method, answer string
	closes               bool // the origin closes after it
	status               int
	body, fault          string
	kept                 bool // the connection can be used again
}

var fetchRows = []fetchRow{
	{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", "", true},
	{"length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, "", "", true},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, 200, "hello", "", true},
	{"several chunks, trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n1;x=y\r\nl\r\n2\r\nlo\r\n0\r\nT: v\r\n\r\n", false, 200, "hello", "", true},
	{"chunked, empty", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 200, "", "", true},
	{"to the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", true, 200, "hello", "", false},
	{"to the end, empty", "GET", "HTTP/1.1 200 OK\r\n\r\n", true, 200, "", "", false},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", "", false},
	{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", "", true},
	{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", "", false},
	{"kept for a second", "GET", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", "", false},
	{"interim", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", "", true},
	{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, "", "", true},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", "", true},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304, "", "", true},
	{"404", "GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false, 404, "no", "", true},
	{"999", "GET", "HTTP/1.1 999 \r\nContent-Length: 2\r\n\r\nno", false, 999, "no", "", true},
	{"more than the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", false, 200, "hello", "", false},

	{"closes without an answer", "GET", "", true, 0, "", "the origin closed the connection without an answer", false},
	{"closes in the head", "GET", "HTTP/1.1 200 OK\r\nConte", true, 0, "", "the origin closed the connection before the whole response head had come", false},
	{"closes in the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true, 200, "hello", "the origin closed the connection before the whole body had come", false},
	{"closes in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", true, 200, "hello", "the origin closed the connection before the whole body had come", false},
	{"closes before the last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, 200, "hello", "the origin closed the connection before the whole body had come", false},
	{"bad chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n", false, 200, "hi", "the origin sent a malformed chunk: malformed chunk size", false},
	{"not HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n", false, 0, "", "the origin's response is not HTTP: malformed status line", false},
	{"both lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, "", "the origin's response is not HTTP: both Content-Length and Transfer-Encoding", false},
	{"unasked upgrade", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, 0, "", "the origin went over to another protocol, which was not asked for", false},
	{"endless interim responses", "GET", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40), false, 0, "", "the origin sent too many interim responses", false},
}

// check compares what the isolate was told with the row.
func (row *fetchRow) check(t *testing.T, how string, r *result) {
	t.Helper()
	fault := ""
	if row.fault != "" {
		fault = "fetch failed: " + row.fault + " (" + originURL + "/)"
	}
	if r.news.number != row.status || r.body != row.body || r.faultText != fault || !r.ended {
		t.Errorf("%s: status %d, body %q, ended %v: %q", how, r.news.number, r.body, r.ended, r.faultText)
	}
}

// TestFetchRowsSplit has each response come in one piece, cut at every offset, and byte by byte.
func TestFetchRowsSplit(t *testing.T) {
	for _, row := range fetchRows {
		t.Run(row.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			one := func(how string, pieces ...string) {
				t.Helper()
				r := f.fetch(row.method+" "+originURL+"/", nil)
				peer := f.origin()
				if got := string(peer.Take()); got != strings.Replace(plainFetch, "GET", row.method, 1) {
					t.Fatalf("%s: the origin got %q", how, got)
				}
				for _, piece := range pieces {
					peer.WriteString(piece)
					f.run(10 * time.Microsecond)
				}
				if row.closes {
					peer.CloseWrite()
				}
				f.run(100 * time.Microsecond)
				row.check(t, how, r)
				if peer.Closed() == row.kept {
					t.Errorf("%s: connection closed: %v", how, peer.Closed())
				}
				f.checkAtRest()
			}
			one("whole", row.answer)
			for cut := 1; cut < len(row.answer) && !t.Failed(); cut++ {
				if len(row.answer) < 200 || cut < 50 {
					one(fmt.Sprintf("cut at %d", cut), row.answer[:cut], row.answer[cut:])
				}
			}
			one("byte by byte", strings.Split(row.answer, "")...)
		})
	}
}

// TestFetchInline: a response that is whole in what was received is one record, without a stream.
func TestFetchInline(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	for _, row := range fetchRows {
		if row.fault != "" || row.closes {
			continue
		}
		r := f.fetch(row.method+" "+originURL+"/", nil)
		f.answer(row.answer)
		row.check(t, row.name, r)
		if r.news.streams || r.answers != 1 {
			t.Errorf("%s: not one record", row.name)
		}
		if isNull := row.method == "HEAD" || row.status == 204 || row.status == 304; r.news.nullBody != isNull {
			t.Errorf("%s: null body %v", row.name, r.news.nullBody)
		}
	}
}

func TestFetchRequests(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	const common = "accept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\naccept-encoding: gzip, br, zstd\r\ncdn-loop: nano; hops=1\r\n"
	large := strings.Repeat("0123456789abcdef", 20<<10)
	for _, test := range []struct {
		name, target string
		change       func(f *fetcher, r *isolates.Record)
		want         string
	}{
		{"query", "GET " + originURL + "/a%20b?c=d#e", nil, "GET /a%20b?c=d HTTP/1.1\r\nhost: 192.0.2.80\r\n" + common + "\r\n"},
		{"headers", "GET " + originURL + "/", func(f *fetcher, r *isolates.Record) {
			r.Head = []byte("x-a: b\r\ncontent-length: 3\r\naccept-encoding: identity\r\n")
		}, "GET / HTTP/1.1\r\nhost: 192.0.2.80\r\nx-a: b\r\naccept-encoding: identity\r\naccept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\ncdn-loop: nano; hops=1\r\n\r\n"},
		{"POST without a body", "POST " + originURL + "/", nil, "POST / HTTP/1.1\r\nhost: 192.0.2.80\r\n" + common + "content-length: 0\r\n\r\n"},
		{"DELETE without a body", "DELETE " + originURL + "/", nil, "DELETE / HTTP/1.1\r\nhost: 192.0.2.80\r\n" + common + "\r\n"},
		{"body", "POST " + originURL + "/", func(f *fetcher, r *isolates.Record) {
			r.Flags, r.Body = isolates.OpenHasBody, []byte("hello")
		}, "POST / HTTP/1.1\r\nhost: 192.0.2.80\r\n" + common + "content-length: 5\r\n\r\nhello"},
		{"empty body", "PATCH " + originURL + "/", func(f *fetcher, r *isolates.Record) {
			r.Flags, r.Body = isolates.OpenHasBody, nil
		}, "PATCH / HTTP/1.1\r\nhost: 192.0.2.80\r\n" + common + "content-length: 0\r\n\r\n"},
		{"large body", "POST " + originURL + "/", func(f *fetcher, r *isolates.Record) {
			r.Flags, r.Body = isolates.OpenHasBody, []byte(large)
		}, fmt.Sprintf("POST / HTTP/1.1\r\nhost: 192.0.2.80\r\n%scontent-length: %d\r\n\r\n%s", common, len(large), large)},
		{"body in a block", "POST " + originURL + "/", func(f *fetcher, r *isolates.Record) {
			r.Flags = isolates.OpenHasBody
			r.Block, r.Body = f.blocks.make([]byte(large))
		}, fmt.Sprintf("POST / HTTP/1.1\r\nhost: 192.0.2.80\r\n%scontent-length: %d\r\n\r\n%s", common, len(large), large)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			r := f.fetch(test.target, func(r *isolates.Record) {
				if test.change != nil {
					test.change(f, r)
				}
			})
			if got := string(f.origin().Take()); got != test.want {
				t.Errorf("got %.300q, want %.300q", got, test.want)
			}
			f.answer(ok)
			if !r.ended || r.news.number != 200 {
				t.Errorf("status %d: %s", r.news.number, r.faultText)
			}
			f.checkAtRest()
		})
	}
}

// TestFetchRefuses: what cannot be sent fails at once, and clearly.
func TestFetchRefuses(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	for _, test := range []struct {
		target string
		kind   isolates.Fault
		text   string
	}{
		{"GET ftp://192.0.2.80/", isolates.FaultNetwork, "only http: and https: URLs can be fetched"},
		{"GET http://192.0.2.80", isolates.FaultNetwork, "the URL has no path"},
		{"GET http://u:p@192.0.2.80/", isolates.FaultNetwork, "the URL has credentials"},
		{"GET http://192.0.2.80:99999/", isolates.FaultNetwork, "the URL has a malformed port"},
		{"GET http://127.0.0.1/", isolates.FaultEgress, "127.0.0.1:80 is not allowed for app demo"},
		{"GET http://[::ffff:127.0.0.1]/", isolates.FaultEgress, "127.0.0.1:80 is not allowed for app demo"},
		{"GET http://192.0.2.81/", isolates.FaultNetwork, "connection refused"},
	} {
		r := f.fetch(test.target, nil)
		f.run(time.Second)
		if !r.ended || r.fault != test.kind || !strings.Contains(r.faultText, test.text) || !strings.HasPrefix(r.faultText, "fetch failed: ") {
			t.Errorf("%s: ended %v, %d: %s", test.target, r.ended, r.fault, r.faultText)
		}
	}
	r := f.fetch("GET "+originURL+"/", func(r *isolates.Record) { r.Head = []byte("a: b\r\n\r\nGET /x HTTP/1.1\r\n") })
	if !r.ended || !strings.Contains(r.faultText, "malformed header line") || len(f.origin().Take()) != 0 {
		t.Errorf("a head that was split: %q", r.faultText)
	}
	f.checkAtRest()
}

// TestFetchReuses: connections are used again, one request at a time, and dropped when they are stale.
func TestFetchReuses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	f := newFetcher(t, fakering.Config{}, nil)
	get := func(path string) *result { t.Helper(); return f.fetch("GET "+originURL+path, nil) }
	get("/1")
	f.answer(ok)
	get("/2")
	get("/3")
	if len(f.peers) != 2 {
		t.Fatalf("%d connections for two requests at a time", len(f.peers))
	}
	for _, peer := range f.peers {
		peer.WriteString(ok)
	}
	f.settle()
	// Idle for too long.
	f.run(5 * time.Second)
	for i, peer := range f.peers {
		if !peer.Closed() {
			t.Errorf("connection %d is open after 5 s", i)
		}
	}
	// Bytes or the end while idle.
	for i, disturb := range []func(p *fakering.Peer){(*fakering.Peer).Close, (*fakering.Peer).Reset, func(p *fakering.Peer) { p.WriteString(ok) }} {
		r := get("/4")
		peer := f.origin()
		f.answer(ok)
		disturb(peer)
		f.settle()
		if !peer.Broken() && !peer.Closed() || r.body != "ok" {
			t.Errorf("%d: still open", i)
		}
	}
	// It keeps as long as the origin says, less a second.
	get("/5")
	f.answer(strings.Replace(ok, "\r\n", "\r\nKeep-Alive: timeout=30\r\n", 1))
	f.run(28 * time.Second)
	if f.origin().Closed() {
		t.Error("closed before the origin's time")
	}
	f.run(2 * time.Second)
	if !f.origin().Closed() {
		t.Error("kept for longer than the origin keeps it")
	}
	f.checkAtRest()
}

// TestFetchRetries: a request that meets a connection that its origin has just closed is sent again, once,
// if it may be.
func TestFetchRetries(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, test := range []struct {
		name, method string
		change       func(r *isolates.Record)
		partial      string // of the response
		retried      bool
	}{
		{"GET", "GET", nil, "", true},
		{"PUT with a body", "PUT", func(r *isolates.Record) { r.Flags, r.Body = isolates.OpenHasBody, []byte("hello") }, "", true},
		{"POST", "POST", nil, "", false},
		{"PUT of a stream", "PUT", func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows }, "", false},
		{"a byte of the response came", "GET", nil, "H", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			f.fetch("GET "+originURL+"/", nil)
			f.answer(ok)
			peer := f.origin()
			peer.Take()
			r := f.fetch(test.method+" "+originURL+"/2", test.change)
			request := string(peer.Take())
			peer.WriteString(test.partial)
			f.settle()
			peer.Close()
			f.settle()
			if test.retried != (len(f.peers) == 2) {
				t.Fatalf("%d connections: %s", len(f.peers), r.faultText)
			}
			if !test.retried {
				if !r.ended || r.fault != isolates.FaultNetwork {
					t.Errorf("ended %v, fault %d", r.ended, r.fault)
				}
				return
			}
			if again := string(f.origin().Take()); again != request {
				t.Errorf("sent again %q, before %q", again, request)
			}
			// Once only.
			f.origin().Close()
			f.settle()
			if len(f.peers) != 2 || !r.ended || !strings.Contains(r.faultText, "without an answer") {
				t.Errorf("%d connections, %q", len(f.peers), r.faultText)
			}
			f.checkAtRest()
		})
	}
}

// TestFetchTimeouts lets origins be slow in each way there is.
func TestFetchTimeouts(t *testing.T) {
	for _, test := range []struct {
		name, answer, drip, text string
		limit                    time.Duration
	}{
		{"never answers", "", "", "the origin did not answer within 1m0s", time.Minute},
		{"head byte by byte", "HTTP/1.1 200 OK\r\nx: ", strings.Repeat("y", 200), "the origin did not answer within 1m0s", time.Minute},
		{"stops in the body", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx", "", "the origin stopped in the middle of the body for 1m0s", time.Minute},
		{"body byte by byte", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx", strings.Repeat("y", 100), "the origin stopped in the middle of the body for 1m0s", 160 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			r := f.fetch("GET "+originURL+"/", nil)
			peer := f.origin()
			f.answer(test.answer)
			for i := range test.drip {
				f.ring.At(time.Duration(i+1)*time.Second, func() {
					if !peer.Closed() {
						peer.WriteString(test.drip[i : i+1])
					}
				})
			}
			f.run(test.limit - time.Second)
			if r.ended {
				t.Fatal("ended too early: " + r.faultText)
			}
			f.run(2 * time.Second)
			if !r.ended || r.fault != isolates.FaultTimeout || !strings.Contains(r.faultText, test.text) {
				t.Errorf("ended %v, %d: %s", r.ended, r.fault, r.faultText)
			}
			if !peer.Closed() {
				t.Error("the connection is open")
			}
			f.checkAtRest()
		})
	}
}

// TestFetchBackPressure: what an isolate does not read stays at the origin.
func TestFetchBackPressure(t *testing.T) {
	f := newFetcher(t, fakering.Config{Buffers: 16, BufferSize: 4096}, nil)
	f.window = 0
	const size = 4 << 20
	body := strings.Repeat("0123456789abcdef", size/16)
	r := f.fetch("GET "+originURL+"/", nil)
	f.answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body))
	f.run(time.Minute + time.Second) // it is not the origin's turn
	if r.ended || r.body != "" {
		t.Fatalf("ended %v with %d bytes: %s", r.ended, len(r.body), r.faultText)
	}
	for _, o := range f.loop.origins.byKey {
		if o.open != 1 {
			t.Fatalf("%d connections", o.open)
		}
	}
	held := 0
	for _, h := range f.loop.handles.byKey {
		object := h.object.(*fetch)
		held = len(object.held) + object.carrier.(*originConnection).kept
	}
	if held == 0 || held > 2*(fetchHeldMax+originInputMax) {
		t.Errorf("%d bytes are held", held)
	}
	for !r.ended && !t.Failed() {
		before := len(r.body)
		f.read(f.number, 100_000)
		f.settle()
		if n := len(r.body) - before; n > 100_000+fetchHeldMax+originInputMax+4096 {
			t.Fatalf("%d bytes for a window of 100,000", n)
		}
	}
	if r.body != body || r.fault != 0 {
		t.Errorf("%d bytes: %s", len(r.body), r.faultText)
	}
	f.checkAtRest()
}

// TestFetchSmallBodyFreesItsConnection: a small body that nobody has read yet holds no connection.
func TestFetchSmallBodyFreesItsConnection(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	f.window = 0
	first := f.fetch("GET "+originURL+"/1", nil)
	f.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
	f.answer("world")
	number := f.number
	f.fetch("GET "+originURL+"/2", nil)
	if len(f.peers) != 1 {
		t.Fatalf("%d connections", len(f.peers))
	}
	f.read(number, 100)
	f.settle()
	if !first.ended || first.body != "helloworld" {
		t.Errorf("got %q", first.body)
	}
	f.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	f.checkAtRest()
}

// TestFetchCancel cancels at every stage, in both ways.
func TestFetchCancel(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		reads        bool
		abort        bool
		kept         bool // the connection
	}{
		{"before the answer", "", false, true, false},
		{"in the head", "HTTP/1.1 200", false, true, false},
		{"unread", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello", false, true, false},
		{"half read", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello", true, true, false},
		{"half read, body only", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello", true, false, false},
		{"little is left", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello", true, false, true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			if !test.reads {
				f.window = 0
			}
			f.fetch("GET "+originURL+"/", nil)
			if test.answer != "" {
				f.answer(test.answer)
			}
			flags := uint16(0)
			if test.abort {
				flags = isolates.CancelAll
			}
			f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: flags})
			f.settle()
			if n := len(f.loop.handles.byKey); n != 0 {
				t.Errorf("%d handles", n)
			}
			if test.kept {
				f.answer(strings.Repeat("x", 995))
			}
			if f.origin().Closed() == test.kept {
				t.Errorf("connection closed: %v", f.origin().Closed())
			}
			f.checkAtRest()
			// The next one is served.
			r := f.fetch("GET "+originURL+"/2", nil)
			f.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if r.body != "ok" {
				t.Errorf("the next one got %q: %s", r.body, r.faultText)
			}
		})
	}
	// While it waits for a connection, and with a dial that never ends.
	f := newFetcher(t, fakering.Config{}, nil)
	f.ring.Remote(netip.MustParseAddrPort("192.0.2.90:80"), nil).Silence(true)
	f.fetch("GET http://192.0.2.90/", nil)
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
	f.run(30 * time.Second)
	f.checkAtRest()
	if len(f.loop.origins.byKey) != 0 {
		t.Error("the origin was not forgotten")
	}
}

// TestFetchIsolateDies: what an isolate leaves behind is ended.
func TestFetchIsolateDies(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	f.window = 0
	f.fetch("GET "+originURL+"/1", nil)
	f.answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello")
	f.fetch("POST "+originURL+"/2", func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows })
	f.origin().SetWindow(0)
	number := f.number
	for range 3 {
		block, body := f.blocks.make(bytes.Repeat([]byte("x"), 100_000))
		f.do(isolates.Record{Kind: isolates.KindWrite, Handle: number, Body: body, Block: block})
		f.settle()
	}
	f.fetch("GET http://192.0.2.81/", nil)
	f.worker.fail = isolates.ErrMemoryLimit
	f.loop.wantTurn(f.loop.apps[0])
	f.settle()
	for i, peer := range f.peers {
		if !peer.Closed() {
			t.Errorf("connection %d is open", i)
		}
	}
	f.checkAtRest()
}

// A scriptTransport takes whatever is written.
type scriptTransport struct {
	loop  *Loop
	bytes int
}

func (s *scriptTransport) write(data []byte) { s.bytes += len(data) }
func (s *scriptTransport) writeBuffer(buffer []byte) {
	s.bytes += len(buffer)
	s.loop.buffers.give(buffer)
}
func (s *scriptTransport) writeBlock(block Block, n int) { s.loop.freeBlock(block) }
func (s *scriptTransport) queued() int                   { return 0 }
func (s *scriptTransport) pause()                        {}
func (s *scriptTransport) resume()                       {}
func (s *scriptTransport) finish()                       {}
func (s *scriptTransport) close()                        { panic("closed") }
func (s *scriptTransport) reset()                        {}

// newFetchRounds makes a loop with a connection to an origin that answers at once. A round is two
// sub-requests: with a body and a response in one piece, and without and with one in several pieces.
func newFetchRounds(t testing.TB) (round func(), check func(rounds int)) {
	l, _ := newScripted(t, plainRequest, 1, nil)
	transport := &scriptTransport{loop: l}
	o := l.originOf(l.apps[0], &location{port: 80, host: []byte("o")}, false)
	o.dialing++
	connection := o.connected(transport)
	pieces := [][]byte{
		[]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"),
		[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), []byte("lo\r\n0\r"), []byte("\n\r\n"),
	}
	get := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatFetch, Target: []byte("GET http://o/path?query")}
	post := get
	post.Target, post.Flags, post.Body = []byte("POST http://o/"), isolates.OpenHasBody, []byte("hello")
	number := int32(0)
	open := func(record *isolates.Record) *handle {
		number++
		record.Handle = number
		h := l.openHandle(l.apps[0], number, nil)
		h.object = l.openFetch(h, record)
		return h
	}
	round = func() {
		open(&post)
		connection.received(pieces[0])
		h := open(&get)
		connection.received(pieces[1])
		h.object.read(1000, true)
		connection.received(pieces[2])
		connection.received(pieces[3])
	}
	for range 100 { // until all pools have their size
		round()
	}
	before := transport.bytes
	return round, func(rounds int) {
		if transport.bytes-before < 150*rounds || len(l.handles.byKey) != 0 || o.open != 1 {
			t.Errorf("%d bytes written, %d handles: not what was to be measured", transport.bytes-before, len(l.handles.byKey))
		}
	}
}

// TestFetchAllocatesNothing: a sub-request on a connection that is open makes no garbage, whether its
// response comes at once or in pieces, with a body of its own or without.
func TestFetchAllocatesNothing(t *testing.T) {
	round, check := newFetchRounds(t)
	if allocations := testing.AllocsPerRun(1000, round); allocations != 0 {
		t.Errorf("%v allocations for two sub-requests", allocations)
	}
	check(1000)
}

// BenchmarkFetch is what the loop adds to two sub-requests, without the ring and without JavaScript.
func BenchmarkFetch(b *testing.B) {
	round, check := newFetchRounds(b)
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		round()
		rounds++
	}
	check(rounds)
}
