package loop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/dns"
	"nano/isolates"
	"nano/tlsclient"
	"nano/tlsclient/tlstest"
)

// A secureFetcher is a fetcher over the kernel's ring, and servers of net/http and crypto/tls for it.
type secureFetcher struct {
	*fetcher
	real      *realLoop
	authority *tlstest.Authority
}

// newSecureFetcher makes a loop whose isolate is awake. origin.example is this machine.
func newSecureFetcher(t *testing.T, change func(o *Options)) *secureFetcher {
	t.Helper()
	a := tlstest.NewAuthority(t, "test authority")
	roots, err := tlsclient.Roots(a.PEM())
	if err != nil {
		t.Fatal(err)
	}
	worker := newFakeWorker("demo", nil)
	blocks := &fakeBlocks{}
	options := &Options{
		Apps:     []App{{Name: "demo", Egress: rulesOf(t, "127.0.0.0/8", "origin.example"), TLS: tlsclient.NewClient(roots)}},
		Blocks:   blocks,
		Idle:     time.Hour,
		names:    fixedNames(&dns.Config{Hosts: dns.ParseHosts("127.0.0.1 origin.example\n")}),
		NewShard: shardOf(func(int) (Worker, error) { return worker, nil }),
	}
	if change != nil {
		change(options)
	}
	r := newRealLoopOf(t, options)
	if started, _ := r.loop.startIsolate(r.loop.apps[0]); !started {
		t.Fatal("no isolate")
	}
	f := &fetcher{
		world: &world{t: t, loop: r.loop, blocks: blocks}, worker: worker, results: map[int32]*result{}, window: 64 << 10,
	}
	worker.onNews = f.hear
	return &secureFetcher{f, r, a}
}

// serve starts a server for http.Handlers; change may be nil.
func (f *secureFetcher) serve(handler http.HandlerFunc, change func(s *httptest.Server)) (url string) {
	f.t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{f.authority.Sign(nil)}}
	if change != nil {
		change(s)
	}
	s.StartTLS()
	f.t.Cleanup(s.Close)
	return fmt.Sprintf("https://origin.example:%d", netip.MustParseAddrPort(s.Listener.Addr().String()).Port())
}

// listen starts a server for connections, which it need not close.
func (f *secureFetcher) listen(serve func(c net.Conn)) (url string) {
	f.t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(c)
				c.Close()
			}()
		}
	}()
	return fmt.Sprintf("https://origin.example:%d", listener.Addr().(*net.TCPAddr).Port)
}

// ask fetches, and waits for the end of it.
func (f *secureFetcher) ask(target string, change func(r *isolates.Record)) *result {
	f.t.Helper()
	r := f.open(target, change)
	f.wait(target, r)
	return r
}

func (f *secureFetcher) wait(what string, all ...*result) {
	f.t.Helper()
	f.real.until(what, func() bool {
		for _, r := range all {
			if !r.ended {
				return false
			}
		}
		return true
	})
}

// checkGone checks that nothing is left: no connection that is not idle, no goroutine of a handshake.
func (f *secureFetcher) checkGone() {
	f.t.Helper()
	f.real.until("dials that nobody needs any more", func() bool {
		for _, o := range f.loop.origins.byKey {
			if o.dialing != 0 {
				return false
			}
		}
		return true
	})
	f.checkAtRest()
	f.real.until("connections to close", func() bool { return f.loop.endpoints.open == f.loop.origins.idle })
	if n := len(f.blocks.memory); n != 0 {
		f.t.Errorf("%d blocks were not freed", n)
	}
	f.real.until("goroutines to end", func() bool {
		f.loop.waker.Signal()
		return !isHandshaking()
	})
}

// isHandshaking reports whether there is a goroutine of a handshake.
func isHandshaking() bool {
	buffer := make([]byte, 1<<20)
	return bytes.Contains(buffer[:runtime.Stack(buffer, true)], []byte("tlsclient.(*Conn).handshake"))
}

// addresses are those of clients that a server has met.
type addresses struct {
	mutex sync.Mutex
	known map[string]bool
}

func (a *addresses) add(address string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.known == nil {
		a.known = map[string]bool{}
	}
	a.known[address] = true
}

func (a *addresses) count() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.known)
}

// echoBody answers with the body of the request.
func echoBody(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing shows
	_, _ = w.Write(body)
}

// TestSecureFetch: requests over TLS, and one connection for all of them.
func TestSecureFetch(t *testing.T) {
	f := newSecureFetcher(t, nil)
	long := strings.Repeat("0123456789abcdef", 64<<10)
	var remotes addresses
	url := f.serve(func(w http.ResponseWriter, r *http.Request) {
		remotes.add(r.RemoteAddr)
		switch r.URL.Path {
		case "/long":
			_, _ = io.WriteString(w, long)
		case "/echo":
			echoBody(w, r)
		default:
			fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.TLS.ServerName)
		}
	}, nil)
	for _, test := range []struct {
		target, want string
		body         string
	}{
		{"GET " + url + "/", "GET " + strings.TrimPrefix(url, "https://") + " origin.example", ""},
		{"GET " + url + "/long", long, ""},
		{"POST " + url + "/echo", "hello", "hello"},
		{"POST " + url + "/echo", long, long},
	} {
		r := f.ask(test.target, func(r *isolates.Record) {
			if test.body != "" {
				r.Flags, r.Body = isolates.OpenHasBody, []byte(test.body)
			}
		})
		if r.news.number != 200 || r.body != test.want || r.fault != 0 {
			t.Errorf("%s: %d, %d bytes, %q", test.target, r.news.number, len(r.body), r.faultText)
		}
	}
	block, body := f.blocks.make([]byte(long))
	r := f.ask("POST "+url+"/echo", func(r *isolates.Record) { r.Flags, r.Block, r.Body = isolates.OpenHasBody, block, body })
	if r.body != long {
		t.Errorf("a block: %d bytes, %q", len(r.body), r.faultText)
	}
	if n := remotes.count(); n != 1 {
		t.Errorf("%d connections", n)
	}
	f.checkGone()
}

// TestSecureMany: many at once, each with a body both ways.
func TestSecureMany(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serve(echoBody, nil)
	body := strings.Repeat("0123456789abcdef", 4<<10)
	var all []*result
	for range 100 {
		all = append(all, f.open("POST "+url+"/", func(r *isolates.Record) { r.Flags, r.Body = isolates.OpenHasBody, []byte(body) }))
	}
	f.wait("all answers", all...)
	for i, r := range all {
		if r.body != body {
			t.Fatalf("answer %d: %d bytes, %q", i, len(r.body), r.faultText)
		}
	}
	f.checkGone()
}

// TestSecureFaults: what is wrong with a server's TLS is told, and leaves nothing behind.
func TestSecureFaults(t *testing.T) {
	f := newSecureFetcher(t, nil)
	ok := func(w http.ResponseWriter, r *http.Request) {}
	certificate := func(a *tlstest.Authority, change func(c *x509.Certificate)) func(s *httptest.Server) {
		return func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{a.Sign(change)} }
	}
	expiry := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	hello := func(c net.Conn) { _, _ = c.Read(make([]byte, 8<<10)) }
	for _, test := range []struct{ name, url, want string }{
		{"wrong name", f.serve(ok, certificate(f.authority, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.example"}, nil })),
			"TLS: the certificate is for other.example, not for origin.example"},
		{"expired", f.serve(ok, certificate(f.authority, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = expiry.Add(-time.Hour), expiry })),
			"TLS: the certificate expired on 2024-02-03T04:05:06Z"},
		{"unknown authority", f.serve(ok, certificate(tlstest.NewAuthority(t, "nobody"), nil)),
			"TLS: the certificate is signed by an unknown authority (nobody)"},
		{"client certificate", f.serve(ok, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAnyClientCert }),
			"TLS: the server refused the connection: certificate required"},
		{"closes early", f.listen(hello), "TLS: the server closed the connection during the handshake"},
		{"resets", f.listen(func(c net.Conn) { hello(c); _ = c.(*net.TCPConn).SetLinger(0) }),
			"TLS: the origin reset the connection during the handshake"},
		{"speaks HTTP", f.listen(func(c net.Conn) { hello(c); _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }),
			"TLS: the server does not speak TLS"},
		{"sends without end", f.listen(func(c net.Conn) {
			record := append([]byte{22, 3, 3, 64, 0}, make([]byte, 16<<10)...)
			for _, err := c.Write(record); err == nil; _, err = c.Write(record) {
			}
		}), ""},
	} {
		r := f.ask("GET "+test.url+"/", nil)
		want := "fetch failed: " + test.want + " (" + test.url + "/)"
		if test.want == "" {
			want = r.faultText // whichever limit is met first
		}
		if r.fault != isolates.FaultNetwork || r.faultText != want {
			t.Errorf("%s: got %d %q, want %q", test.name, r.fault, r.faultText, want)
		}
		f.checkGone()
	}
}

// TestSecureTruncated: a body that ends with the connection is whole only if the server said that it
// meant to end it.
func TestSecureTruncated(t *testing.T) {
	f := newSecureFetcher(t, nil)
	for _, isClean := range []bool{true, false} {
		config := &tls.Config{Certificates: []tls.Certificate{f.authority.Sign(nil)}}
		url := f.listen(func(c net.Conn) {
			s := tls.Server(c, config)
			_, _ = s.Read(make([]byte, 8<<10))
			_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\n\r\nhello")
			if isClean {
				_ = s.CloseWrite()
			}
		})
		r := f.ask("GET "+url+"/", nil)
		want := ""
		if !isClean {
			want = "fetch failed: the origin ended the connection without the close_notify of TLS, so the body may not be whole (" + url + "/)"
		}
		if r.body != "hello" || r.faultText != want {
			t.Errorf("close_notify %v: %q, %q", isClean, r.body, r.faultText)
		}
		f.checkGone()
	}
}

// TestSecureEnd: a server hears of it when we end an idle connection.
func TestSecureEnd(t *testing.T) {
	f := newSecureFetcher(t, nil)
	ended := make(chan error, 1)
	config := &tls.Config{Certificates: []tls.Certificate{f.authority.Sign(nil)}}
	url := f.listen(func(c net.Conn) {
		s := tls.Server(c, config)
		_, _ = s.Read(make([]byte, 8<<10))
		_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, err := s.Read(make([]byte, 1))
		ended <- err
	})
	f.ask("GET "+url+"/", nil)
	f.loop.origins.oldestIdle.close()
	f.checkGone()
	if err := <-ended; err != io.EOF {
		t.Errorf("the server's end: %v", err)
	}
}

// TestSecureHangs: a server that does not go on with the handshake, and a fetch that is given up meanwhile.
func TestSecureHangs(t *testing.T) {
	f := newSecureFetcher(t, nil)
	release := make(chan struct{})
	url := f.listen(func(net.Conn) { <-release })
	defer close(release)
	var connection *tlsConnection
	handshaking := func() bool {
		for _, chunk := range f.loop.endpoints.chunks {
			for i := range chunk {
				if t, ok := chunk[i].handler.(*tlsConnection); ok && chunk[i].phase == endpointOpen {
					connection = t
				}
			}
		}
		return connection != nil
	}
	r := f.open("GET "+url+"/", nil)
	f.real.until("the handshake to begin", handshaking)
	connection.timedOut(&connection.limit)
	f.wait("the fault", r)
	if want := "fetch failed: TLS: the server did not complete the handshake within 10s (" + url + "/)"; r.fault != isolates.FaultTimeout || r.faultText != want {
		t.Errorf("got %d %q", r.fault, r.faultText)
	}
	f.checkGone()

	connection = nil
	f.open("GET "+url+"/", nil)
	f.real.until("the handshake to begin", handshaking)
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
	f.real.until("the cancellation", func() bool { return len(f.loop.handles.byKey) == 0 })
	connection.timedOut(&connection.limit)
	f.checkGone()
}

// TestSecureDrain: a loop that ends leaves no handshake behind.
func TestSecureDrain(t *testing.T) {
	t.Cleanup(func() { // after the end of the loop
		eventually(t, "goroutines to end", func() bool { return !isHandshaking() })
	})
	f := newSecureFetcher(t, func(o *Options) { o.DrainTimeout = time.Millisecond })
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	url := f.listen(func(net.Conn) { <-release })
	f.open("GET "+url+"/", nil)
	f.real.until("the handshake to begin", isHandshaking)
}
