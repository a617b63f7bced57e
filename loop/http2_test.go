package loop

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nano/isolates"
)

// serveHTTP2 starts a server that offers HTTP/2.
func (f *secureFetcher) serveHTTP2(handler http.HandlerFunc, change func(s *httptest.Server)) (url string) {
	f.t.Helper()
	return f.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			f.t.Errorf("asked over %s", r.Proto)
		}
		handler(w, r)
	}, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		if change != nil {
			change(s)
		}
	})
}

// checkHTTP2Gone checks that nothing is left but so many idle connections.
func (f *secureFetcher) checkHTTP2Gone(connections int) {
	f.t.Helper()
	l := f.loop
	state := ""
	defer func() {
		if f.t.Failed() {
			f.t.Log(state)
		}
	}()
	f.real.until("connections to be at rest", func() bool {
		state = fmt.Sprint(l.endpoints.open, " endpoints")
		for _, o := range l.origins.byKey {
			state += fmt.Sprintf("; %v: %d dialing, %d waiting, %d open, %d shared", o.key, o.dialing, o.waiting, o.open, len(o.shared))
		}
		n := 0
		for _, o := range l.origins.byKey {
			if o.dialing+o.waiting != 0 {
				return false
			}
			n += len(o.shared)
		}
		return n == connections && l.endpoints.open == connections
	})
	for _, o := range l.origins.byKey {
		if o.open != len(o.shared) {
			f.t.Errorf("%d connections open, %d shared", o.open, len(o.shared))
		}
		for _, c := range o.shared {
			if c.first != nil || c.answered != nil || c.conn.Streams() != 0 || c.timeout.list == nil {
				f.t.Error("a connection is not idle")
			}
		}
	}
	if n := len(l.handles.byKey); n != 0 {
		f.t.Errorf("%d handles are open", n)
	}
	if n := len(f.blocks.memory); n != 0 {
		f.t.Errorf("%d blocks were not freed", n)
	}
}

// TestHTTP2: requests of every kind share a connection.
func TestHTTP2(t *testing.T) {
	f := newSecureFetcher(t, nil)
	long := strings.Repeat("0123456789abcdef", 256<<10) // more than any window
	var remotes addresses
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		remotes.add(r.RemoteAddr)
		switch r.URL.Path {
		case "/long":
			_, _ = io.WriteString(w, long)
		case "/echo":
			echoBody(w, r)
		case "/trailers":
			w.Header().Set("Trailer", "X-T")
			_, _ = io.WriteString(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("X-T", "v")
		case "/204":
			w.WriteHeader(204)
		case "/hints":
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "after hints")
		case "/redirect":
			http.Redirect(w, r, "/end?x=y", http.StatusFound)
		default:
			fmt.Fprintf(w, "%s %s %s %s %q", r.Method, r.Host, r.RequestURI, r.Header.Get("X-A"), r.Header["Accept-Encoding"])
		}
	}, nil)
	authority := strings.TrimPrefix(url, "https://")
	rest := ` ["gzip, br, zstd"]`
	for _, test := range []struct{ target, body, want string }{
		{"GET /", "", "GET " + authority + " / b" + rest},
		{"DELETE /a%20b?c=d", "", "DELETE " + authority + " /a%20b?c=d b" + rest},
		{"POST /", "", "POST " + authority + " / b" + rest},
		{"HEAD /", "", ""},
		{"GET /204", "", ""},
		{"GET /trailers", "", "body"},
		{"GET /hints", "", "after hints"},
		{"GET /redirect", "", "GET " + authority + " /end?x=y b" + rest},
		{"GET /long", "", long},
		{"POST /echo", "hello", "hello"},
		{"POST /echo", long, long},
		{"PUT /echo", long[:100_000], long[:100_000]},
	} {
		method, path, _ := strings.Cut(test.target, " ")
		r := f.ask(method+" "+url+path, func(r *isolates.Record) {
			r.Head = []byte("X-A: b\r\nconnection: close\r\n")
			if test.body != "" {
				r.Flags, r.Body = isolates.OpenHasBody, []byte(test.body)
			}
		})
		if r.body != test.want || r.fault != 0 || r.answers != 1 || r.news.number != 200 && path != "/204" {
			t.Errorf("%s: %d, %d bytes %.100q, %q", test.target, r.news.number, len(r.body), r.body, r.faultText)
		}
	}
	block, body := f.blocks.make([]byte(long))
	if r := f.ask("POST "+url+"/echo", func(r *isolates.Record) { r.Flags, r.Block, r.Body = isolates.OpenHasBody, block, body }); r.body != long {
		t.Errorf("a block: %d bytes, %q", len(r.body), r.faultText)
	}
	if n := remotes.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Inline: a small response is one record, without a stream.
func TestHTTP2Inline(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }, nil)
	for range 3 {
		if r := f.ask("GET "+url+"/", nil); r.news.streams || r.body != "hello" {
			t.Errorf("streams %v, %q", r.news.streams, r.body)
		}
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Many: a hundred requests at once, with bodies both ways, and more than the origin allows at once.
func TestHTTP2Many(t *testing.T) {
	for _, limit := range []int{250, 10} {
		f := newSecureFetcher(t, nil)
		var running, most atomic.Int64
		url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			echoBody(w, r)
			running.Add(-1)
		}, func(s *httptest.Server) { s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: limit} })
		body := strings.Repeat("0123456789abcdef", 8<<10)
		f.ask("GET "+url+"/", nil)
		var all []*result
		for i := range 100 {
			all = append(all, f.open("POST "+url+"/", func(r *isolates.Record) {
				r.Flags, r.Body = isolates.OpenHasBody, []byte(fmt.Sprint(i, body))
			}))
		}
		f.wait("all answers", all...)
		for i, r := range all {
			if r.body != fmt.Sprint(i, body) {
				t.Fatalf("answer %d: %d bytes, %q", i, len(r.body), r.faultText)
			}
		}
		if limit == 250 {
			f.checkHTTP2Gone(1)
		}
	}
}

// TestHTTP2FirstMany: requests before it is known what the origin speaks wait for one connection.
func TestHTTP2FirstMany(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serveHTTP2(echoBody, nil)
	var all []*result
	for range 50 {
		all = append(all, f.open("GET "+url+"/", nil))
	}
	f.wait("all answers", all...)
	f.checkHTTP2Gone(1)
}

// TestHTTP2Stream: bodies that follow, both ways at once, slower than they could.
func TestHTTP2Stream(t *testing.T) {
	f := newSecureFetcher(t, nil)
	f.window = 0
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		buffer := make([]byte, 1000)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}, nil)
	r := f.open("POST "+url+"/", func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows })
	number := f.number
	piece := strings.Repeat("x", 40<<10)
	for i := range 20 {
		f.do(isolates.Record{Kind: isolates.KindWrite, Handle: number, Body: []byte(piece)})
		f.real.until("the piece to leave", func() bool { return r.written == i+1 })
		want := (i + 1) * len(piece)
		f.real.until("the answer", func() bool { return r.answers == 1 })
		if len(r.body) < want {
			f.read(number, want-len(r.body))
		}
		f.real.until("the echo", func() bool { return len(r.body) >= want })
	}
	f.do(isolates.Record{Kind: isolates.KindFinish, Handle: number})
	f.wait("the end", r)
	if r.fault != 0 || len(r.body) != 20*len(piece) {
		t.Errorf("%d bytes, %q", len(r.body), r.faultText)
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Backpressure: a body that nobody reads stops the origin, but not other requests on the
// connection, and goes on when it is read.
func TestHTTP2Backpressure(t *testing.T) {
	f := newSecureFetcher(t, nil)
	f.window = 0
	const size = 3 << 20
	var sent atomic.Int64
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			return
		}
		piece := make([]byte, 16<<10)
		for range size / len(piece) {
			n, _ := w.Write(piece)
			sent.Add(int64(n))
		}
	}, nil)
	r := f.open("GET "+url+"/large", nil)
	number := f.number
	f.real.until("the answer", func() bool { return r.answers == 1 })
	for range 20 {
		f.ask("GET "+url+"/", nil)
	}
	if n := sent.Load(); n > 1<<20 {
		t.Errorf("%d bytes were sent to nobody", n)
	}
	for len(r.body) < size {
		before := len(r.body)
		f.read(number, 1<<20)
		f.real.until("more", func() bool { return len(r.body) > before || r.ended })
		if r.ended {
			break
		}
	}
	f.wait("the end", r)
	if len(r.body) != size || r.fault != 0 {
		t.Errorf("%d bytes, %q", len(r.body), r.faultText)
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Cancel: requests that are given up, at every stage, end at the origin too, and leave the connection in use.
func TestHTTP2Cancel(t *testing.T) {
	f := newSecureFetcher(t, nil)
	f.window = 0
	var begun, ended atomic.Int64
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		switch r.URL.Path {
		case "/never":
		case "/half":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		case "/full":
			for piece := make([]byte, 16<<10); r.Context().Err() == nil; {
				_, _ = w.Write(piece)
			}
		}
		<-r.Context().Done()
		ended.Add(1)
	}, nil)
	for i, path := range []string{"/never", "/half", "/full", "/never"} {
		r := f.open("POST "+url+path, func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows })
		number := f.number
		f.real.until("the request", func() bool { f.loop.waker.Signal(); return begun.Load() == int64(i+1) })
		if path != "/never" {
			f.real.until("the head", func() bool { return r.answers == 1 })
		}
		f.do(isolates.Record{Kind: isolates.KindCancel, Handle: number, Flags: isolates.CancelAll})
		f.real.until("the end of the handle", func() bool { return len(f.loop.handles.byKey) == 0 })
		f.real.until("the origin to hear", func() bool { f.loop.waker.Signal(); return ended.Load() == int64(i+1) })
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Faults: an origin that breaks off.
func TestHTTP2Faults(t *testing.T) {
	f := newSecureFetcher(t, nil)
	var server *httptest.Server
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/half":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
			w.(http.Flusher).Flush()
		case "/close":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			server.CloseClientConnections()
			<-r.Context().Done()
		}
	}, func(s *httptest.Server) { server = s })
	for _, test := range []struct{ path, body, want string }{
		{"/abort", "", "the origin reset the stream (INTERNAL_ERROR)"},
		{"/half", "half", "the origin reset the stream (INTERNAL_ERROR)"},
		{"/short", "short", "the origin sent a body that is not as long as it had said"},
	} {
		r := f.ask("POST "+url+test.path, nil)
		if want := "fetch failed: " + test.want + " (" + url + test.path + ")"; r.faultText != want && !(test.path == "/short" && r.fault != 0) || r.body != test.body {
			t.Errorf("%s: %q, %q", test.path, r.body, r.faultText)
		}
	}
	f.checkHTTP2Gone(1)
	if r := f.ask("GET "+url+"/close", nil); r.body != "half" || r.fault != isolates.FaultNetwork {
		t.Errorf("closed: %q, %q", r.body, r.faultText)
	}
	f.checkHTTP2Gone(0)
	if r := f.ask("GET "+url+"/", nil); r.news.number != 200 {
		t.Errorf("after it: %d, %q", r.news.number, r.faultText)
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2Stale: an idle connection that was closed meanwhile is no reason for a request to fail.
func TestHTTP2Stale(t *testing.T) {
	f := newSecureFetcher(t, nil)
	var server *httptest.Server
	var mutex sync.Mutex
	isArmed := false
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		if isArmed {
			isArmed = false
			server.CloseClientConnections()
			<-r.Context().Done()
		}
	}, func(s *httptest.Server) { server = s })
	f.ask("GET "+url+"/", nil)
	mutex.Lock()
	isArmed = true
	mutex.Unlock()
	if r := f.ask("GET "+url+"/", nil); r.news.number != 200 {
		t.Errorf("%d, %q", r.news.number, r.faultText)
	}
	f.checkHTTP2Gone(1)
}

// TestHTTP2GoAway: a server that is shut down answers what it has got, and the connection ends.
func TestHTTP2GoAway(t *testing.T) {
	f := newSecureFetcher(t, nil)
	release := make(chan struct{})
	var begun atomic.Bool
	var server *httptest.Server
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun.Store(true)
			<-release
		}
	}, func(s *httptest.Server) { server = s })
	f.ask("GET "+url+"/", nil)
	r := f.open("GET "+url+"/slow", nil)
	var c *http2Connection
	for _, o := range f.loop.origins.byKey {
		c = o.shared[0]
	}
	f.real.until("the request", func() bool { f.loop.waker.Signal(); return begun.Load() })
	go server.Config.Shutdown(t.Context())
	f.real.until("the end of the connection", func() bool { return c.isRetired })
	close(release)
	f.wait("the answer", r)
	if r.news.number != 200 {
		t.Errorf("%d, %q", r.news.number, r.faultText)
	}
	f.real.until("no connection", func() bool { return f.loop.endpoints.open == 0 })
}

// TestHTTP2Silence: a connection on which a request got no sign of life takes no other.
func TestHTTP2Silence(t *testing.T) {
	f := newSecureFetcher(t, nil)
	release := make(chan struct{})
	defer close(release)
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}, nil)
	f.ask("GET "+url+"/", nil)
	var c *http2Connection
	for _, o := range f.loop.origins.byKey {
		c = o.shared[0]
	}
	f.open("GET "+url+"/never", nil)
	f.real.until("the request", func() bool { return c.first != nil })
	c.first.begunAt -= int64(2 * http2Silence)
	c.heardAt -= int64(2 * http2Silence)
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
	f.real.until("the end of the connection", func() bool { return c.transport == nil })
	f.checkHTTP2Gone(0)
}

// closeCounter is a transport that is only closed.
type closeCounter struct {
	transport
	closed *int
}

func (c closeCounter) close()       { *c.closed++ }
func (c closeCounter) write([]byte) {}

// TestHTTP2IdleMax: idle connections are bounded; those go that were idle for longest.
func TestHTTP2IdleMax(t *testing.T) {
	f := newSecureFetcher(t, nil)
	l := f.loop
	closed := 0
	var all []*http2Connection
	for i := range http2IdleMax + 3 {
		o := l.originOf(l.apps[0], &location{secure: true, port: uint16(i), host: []byte("o")}, false)
		o.dialing++
		c, _ := o.connectedHTTP2(closeCounter{closed: &closed}).(*http2Connection)
		all = append(all, c)
	}
	if closed != 3 || l.origins.idleHTTP2 != http2IdleMax || all[2].transport != nil || all[3].transport == nil {
		t.Errorf("%d closed, %d idle", closed, l.origins.idleHTTP2)
	}
	all[7].close()
	for _, c := range all {
		c.close()
	}
	if l.origins.idleHTTP2 != 0 || l.origins.oldestHTTP2 != nil || l.origins.newestHTTP2 != nil || len(l.origins.byKey) != 0 {
		t.Errorf("%d idle, %d origins", l.origins.idleHTTP2, len(l.origins.byKey))
	}
}

// TestSecureBurst: more requests at once than handshakes are made, to an origin without HTTP/2.
func TestSecureBurst(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serve(echoBody, nil)
	var all []*result
	for range 3 * handshakesMax {
		all = append(all, f.open("GET "+url+"/", nil))
	}
	f.wait("all answers", all...)
	for i, r := range all {
		if r.news.number != 200 {
			t.Fatalf("answer %d: %q", i, r.faultText)
		}
	}
	f.checkGone()
}
