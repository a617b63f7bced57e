package loop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"nano/isolates"
	"nano/uring/fakering"
)

// A testProxy is an HTTP proxy.
type testProxy struct {
	url       string
	tunnels   atomic.Int64
	forwarded atomic.Int64
	answer    atomic.Pointer[string] // to CONNECT, instead of a tunnel; nil: none
}

// useProxy gives the app a proxy that wants a password.
func (f *secureFetcher) useProxy() *testProxy {
	f.t.Helper()
	p := &testProxy{}
	handle := func(c net.Conn) {
		input := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(input)
			if err != nil {
				return
			}
			switch {
			case r.Header.Get("Proxy-Authorization") != "Basic dTpw":
				_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			case r.Method == "CONNECT":
				if answer := p.answer.Load(); answer != nil {
					_, _ = io.WriteString(c, *answer)
					// A socket that is closed with bytes unread resets its connection.
					if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
						_, _ = io.Copy(io.Discard, input)
					}
					return
				}
				p.tunnels.Add(1)
				p.tunnel(c, r.Host)
				return
			default:
				p.forwarded.Add(1)
				r.RequestURI, r.Host, r.URL.Host = "", r.URL.Host, strings.Replace(r.URL.Host, "origin.example", "127.0.0.1", 1)
				response, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					return
				}
				_ = response.Write(c)
			}
		}
	}
	p.url = f.listen(handle)
	app := f.loop.apps[0].shared
	var port uint16
	if _, err := fmt.Sscanf(p.url, "https://origin.example:%d", &port); err != nil {
		f.t.Fatal(err)
	}
	app.Proxy = &Proxy{Host: "127.0.0.1", Port: port, Authorization: "Basic dTpw"}
	app.Egress = rulesOf(f.t, "origin.example", "192.0.2.0/24")
	return p
}

// tunnel passes bytes on both ways.
func (p *testProxy) tunnel(c net.Conn, to string) {
	_, port, _ := net.SplitHostPort(to)
	origin, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Proxy: test\r\n\r\n")
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(origin, c)
		_ = origin.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(c, origin)
	_ = c.(*net.TCPConn).CloseWrite()
	<-done
	origin.Close()
}

// TestProxyTunnel: https: goes through a tunnel, and TLS is spoken with the origin.
func TestProxyTunnel(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serve(echoBody, nil)
	p := f.useProxy()
	body := strings.Repeat("0123456789abcdef", 16<<10)
	for range 3 {
		r := f.ask("POST "+url+"/", func(r *isolates.Record) { r.Flags, r.Body = isolates.OpenHasBody, []byte(body) })
		if r.body != body {
			t.Fatalf("%d bytes, %q", len(r.body), r.faultText)
		}
	}
	if n := p.tunnels.Load(); n != 1 {
		t.Errorf("%d tunnels", n)
	}
	f.checkGone()
}

// TestProxyForward: http: is asked of the proxy in absolute form.
func TestProxyForward(t *testing.T) {
	f := newSecureFetcher(t, nil)
	s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.RequestURI, r.Host, r.Header.Get("Proxy-Authorization"))
	})}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(listener)
	defer s.Close()
	p := f.useProxy()
	port := listener.Addr().(*net.TCPAddr).Port
	r := f.ask(fmt.Sprintf("GET http://origin.example:%d/a?b=c", port), func(r *isolates.Record) {
		r.Head = []byte("proxy-authorization: Basic bXk6b3du\r\n")
	})
	if want := fmt.Sprintf(`/a?b=c origin.example:%d "Basic dTpw"`, port); r.body != want || p.forwarded.Load() != 1 {
		t.Errorf("got %q, want %q; %q", r.body, want, r.faultText)
	}
	f.checkGone()
}

// TestProxyFaults: proxies that refuse, and such that misbehave.
func TestProxyFaults(t *testing.T) {
	f := newSecureFetcher(t, nil)
	url := f.serve(echoBody, nil)
	p := f.useProxy()
	for answer, want := range map[string]string{
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n": "the proxy refused the connection: 403 Forbidden",
		"HTTP/1.1 100 Continue\r\n\r\n":                       "the proxy answered CONNECT with status 100",
		"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH\r\n":          "the proxy sent more than its answer",
		"HTTP/1.1 200 OK\r\n":                                 "the proxy closed the connection",
		"SSH-2.0-OpenSSH\r\n":                                 "the proxy's response is not HTTP: malformed status line",
		"HTTP/1.1 200 OK\r\n\r\n":                             "TLS: the server closed the connection during the handshake",
	} {
		p.answer.Store(&answer)
		r := f.ask("GET "+url+"/", nil)
		if want = "fetch failed: " + want + " (" + url + "/)"; r.faultText != want {
			t.Errorf("%q: got %q, want %q", answer, r.faultText, want)
		}
		f.checkGone()
	}
	f.loop.apps[0].shared.Proxy.Authorization = ""
	if r := f.ask("GET "+url+"/", nil); !strings.Contains(r.faultText, "the proxy refused the connection: 407 Proxy Authentication Required") {
		t.Errorf("without a password: %q", r.faultText)
	}
	f.checkGone()
}

// TestProxyHangs: a proxy that does not answer.
func TestProxyHangs(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, func(o *Options) {
		o.Apps[0].Proxy = &Proxy{Host: "192.0.2.80", Port: 80}
	})
	r := f.fetch("GET https://192.0.2.99:444/", nil)
	if got, want := string(f.origin().Take()), "CONNECT 192.0.2.99:444 HTTP/1.1\r\nhost: 192.0.2.99:444\r\n\r\n"; got != want {
		t.Errorf("the proxy got %q", got)
	}
	f.run(dialLimit)
	if want := "fetch failed: the proxy did not answer within 20s (https://192.0.2.99:444/)"; r.fault != isolates.FaultTimeout || r.faultText != want {
		t.Errorf("got %d %q", r.fault, r.faultText)
	}
	r = f.fetch("GET https://192.0.2.99:444/", nil)
	f.origin().Reset()
	f.settle()
	if want := "fetch failed: the proxy: connection reset by peer (https://192.0.2.99:444/)"; r.faultText != want {
		t.Errorf("got %q", r.faultText)
	}
	f.checkAtRest()
}

// TestProxyEgress: what may not be reached directly may not be through a proxy either.
func TestProxyEgress(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, func(o *Options) {
		o.Apps[0].Proxy = &Proxy{Host: "192.0.2.80", Port: 80}
		o.Apps[0].Egress = rulesOf(t, "*", "10.0.0.1:8080", "db.internal")
	})
	for _, test := range []struct {
		url     string
		allowed bool
	}{
		{"http://example.com/", true},
		{"https://example.com/", true},
		{"http://db.internal/", true},
		{"http://10.0.0.1:8080/", true},
		{"http://10.0.0.1/", false},
		{"https://127.0.0.1/", false},
		{"http://[::ffff:7f00:1]/", false},
		{"http://localhost/", false},
		{"http://a.localhost/", false},
		{"http://169.254.169.254/", false},
	} {
		before := len(f.peers)
		r := f.fetch("GET "+test.url, nil)
		if asked := len(f.peers) != before; asked != test.allowed || r.ended == test.allowed || r.ended && r.fault != isolates.FaultEgress {
			t.Errorf("%s: the proxy was asked: %v; %q", test.url, asked, r.faultText)
		}
		if !r.ended {
			f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
			f.settle()
		}
	}
}
