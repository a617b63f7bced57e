package loop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/isolates"
	"nano/tlsclient"
	"nano/tlsclient/tlstest"
	"nano/uring/fakering"
)

// A peerListener gives the connections that a loop makes over the fake ring to a server of net/http.
type peerListener struct {
	mutex   sync.Mutex
	changed sync.Cond // a step of the ring is done
	waiting []*fakering.Peer
	closed  bool
}

// step lets the server look at what the ring has done.
func (l *peerListener) step() { l.changed.Broadcast() }

// Accept implements net.Listener.
func (l *peerListener) Accept() (net.Conn, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for len(l.waiting) == 0 {
		if l.closed {
			return nil, net.ErrClosed
		}
		l.changed.Wait()
	}
	p := l.waiting[0]
	l.waiting = l.waiting[1:]
	return &peerConn{listener: l, peer: p}, nil
}

// Close implements net.Listener.
func (l *peerListener) Close() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.closed = true
	l.changed.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *peerListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(secureAddress) }

// A peerConn is the server's end of a connection over the fake ring.
type peerConn struct {
	listener *peerListener
	peer     *fakering.Peer
	input    []byte
	isClosed bool
	isPast   bool // its reads have to end at once
}

// Read implements net.Conn.
func (c *peerConn) Read(into []byte) (n int, err error) {
	c.listener.mutex.Lock()
	defer c.listener.mutex.Unlock()
	for {
		c.input = append(c.input, c.peer.Take()...)
		switch {
		case len(c.input) != 0:
			n = copy(into, c.input)
			c.input = c.input[n:]
			return n, nil
		case c.isClosed || c.listener.closed:
			return 0, net.ErrClosed
		case c.isPast:
			return 0, pastError{}
		case c.peer.Ended():
			return 0, io.EOF
		}
		c.listener.changed.Wait()
	}
}

// Write implements net.Conn.
func (c *peerConn) Write(data []byte) (int, error) {
	c.listener.mutex.Lock() // net/http may close it from another goroutine
	defer c.listener.mutex.Unlock()
	if c.isClosed || c.peer.Closed() {
		return 0, net.ErrClosed
	}
	c.peer.Write(bytes.Clone(data))
	return len(data), nil
}

// Close implements net.Conn.
func (c *peerConn) Close() error {
	c.listener.mutex.Lock()
	defer c.listener.mutex.Unlock()
	if !c.isClosed {
		c.isClosed = true
		c.peer.Close()
	}
	c.listener.changed.Broadcast()
	return nil
}

// SetReadDeadline implements net.Conn: net/http ends reads by a time that is past.
func (c *peerConn) SetReadDeadline(deadline time.Time) error {
	c.listener.mutex.Lock()
	defer c.listener.mutex.Unlock()
	c.isPast = !deadline.IsZero() && deadline.Before(time.Now())
	c.listener.changed.Broadcast()
	return nil
}

// SetDeadline implements net.Conn.
func (c *peerConn) SetDeadline(deadline time.Time) error { return c.SetReadDeadline(deadline) }

func (c *peerConn) SetWriteDeadline(time.Time) error { return nil }
func (c *peerConn) LocalAddr() net.Addr              { return c.listener.Addr() }
func (c *peerConn) RemoteAddr() net.Addr             { return c.listener.Addr() }

type pastError struct{}

func (pastError) Error() string   { return "the deadline is past" }
func (pastError) Timeout() bool   { return true }
func (pastError) Temporary() bool { return true }

var secureAddress = netip.MustParseAddrPort("192.0.2.80:443")

// TestSecureSimulation: requests over TLS by a ring that does everything it may, with HTTP/1.1 and HTTP/2.
func TestSecureSimulation(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	roots, err := tlsclient.Roots(a.PEM())
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulateSecure(t, seed, a, tlsclient.NewClient(roots)) })
	}
}

func simulateSecure(t *testing.T, seed uint64, a *tlstest.Authority, client *tlsclient.Client) {
	random := rand.New(rand.NewPCG(seed, 5))
	faults := fakering.Harsh()
	faults.Reset, faults.ConnectError, faults.AcceptError = 0, 0, 0
	isClean := seed%3 != 2
	if !isClean {
		faults.Reset, faults.ConnectError = 0.002, 0.1
	}
	f := newFetcher(t, fakering.Config{Buffers: 8, BufferSize: 512, Seed: seed, Faults: faults}, func(o *Options) {
		o.Apps[0].TLS = client
		o.SendTimeout, o.FetchHead, o.FetchIdle = time.Hour, time.Hour, time.Hour
	})
	listener := &peerListener{}
	listener.changed.L = &listener.mutex
	f.ring.Remote(secureAddress, func(p *fakering.Peer) {
		listener.mutex.Lock()
		listener.waiting = append(listener.waiting, p)
		listener.mutex.Unlock()
	})
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isHTTP2 := r.ProtoMajor == 2; isHTTP2 != (seed%2 == 1) {
				t.Errorf("asked by %s", r.Proto)
			}
			echoBody(w, r)
		}),
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}},
	}
	if seed%2 == 0 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	var all []*result
	var bodies []string
	for range 1 + random.IntN(6) {
		body := randomText(random.IntN(3) * random.IntN(40_000))
		bodies = append(bodies, body)
		all = append(all, f.open("PUT https://192.0.2.80/", func(r *isolates.Record) {
			r.Flags, r.Body = isolates.OpenHasBody, []byte(body)
		}))
		f.run(time.Duration(random.IntN(2000)) * time.Microsecond)
		listener.step()
	}
	isOver := func() bool {
		for _, r := range all {
			if !r.ended {
				return false
			}
		}
		return true
	}
	// The server runs in another time than the ring: what counts is that both get on.
	for deadline := time.Now().Add(patience(t)); !isOver() && !t.Failed(); {
		if time.Now().After(deadline) {
			t.Fatal("a request hangs")
		}
		f.run(2 * time.Microsecond)
		listener.step()
	}
	for i, r := range all {
		switch {
		case r.fault == 0 && r.body != bodies[i]:
			t.Errorf("request %d: %d bytes taken for %d", i, len(r.body), len(bodies[i]))
		case isClean && r.fault != 0:
			t.Errorf("request %d: %q", i, r.faultText)
		case r.fault != 0 && !strings.HasPrefix(r.faultText, "fetch failed: "):
			t.Errorf("request %d: %q", i, r.faultText)
		}
	}
	f.run(2 * time.Minute) // all is idle for longer than it is kept
	listener.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	f.run(time.Second)
	if n := f.loop.endpoints.open; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
