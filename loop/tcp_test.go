package loop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/dns"
	"nano/isolates"
	"nano/uring/fakering"
)

// A tcpWorld has an isolate that opens sockets to peers that the test works. told is what the isolate heard.
type tcpWorld struct {
	*fetcher
	told  []string
	peers []*fakering.Peer
}

var tcpAddress = netip.MustParseAddrPort("192.0.2.81:7")

func newTCPWorld(t testing.TB, config fakering.Config, change func(o *Options)) *tcpWorld {
	w := &tcpWorld{}
	w.fetcher = newFetcher(t, config, change)
	w.ring.Remote(tcpAddress, func(p *fakering.Peer) { w.peers = append(w.peers, p) })
	w.worker.onNews = func(_ *fakeWorker, news *fakeNews) {
		w.told = append(w.told, fmt.Sprintf("%d %s %d %s", news.handle, news.what, news.number, news.text))
	}
	return w
}

func (w *tcpWorld) connect(address string, flags uint16, from int32) int32 {
	w.number++
	w.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatTCP, Handle: w.number, Target: []byte(address), Flags: flags, Source: from})
	w.settle()
	return w.number
}

// open opens a socket to tcpAddress, which the isolate reads with a large window.
func (w *tcpWorld) open() (handle int32, peer *fakering.Peer) {
	w.t.Helper()
	handle = w.connect(tcpAddress.String(), 0, 0)
	w.read(handle, 64<<10)
	w.settle()
	w.said(fmt.Sprintf("%d opened 0 192.0.2.81:7\n192.0.2.9:4321\n", handle))
	return handle, w.peers[len(w.peers)-1]
}

func (w *tcpWorld) write(handle int32, text string) {
	w.do(isolates.Record{Kind: isolates.KindWrite, Handle: handle, Body: []byte(text)})
	w.settle()
}

func (w *tcpWorld) finish(handle int32, flags uint16) {
	w.do(isolates.Record{Kind: isolates.KindFinish, Handle: handle, Flags: flags})
	w.settle()
}

func (w *tcpWorld) cancel(handle int32, flags uint16) {
	w.do(isolates.Record{Kind: isolates.KindCancel, Handle: handle, Flags: flags})
	w.settle()
}

func (w *tcpWorld) said(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.told, "; "); got != strings.Join(want, "; ") {
		w.t.Errorf("the app was told %q, want %q", w.told, want)
	}
	w.told = w.told[:0]
}

func (w *tcpWorld) checkNone() {
	w.t.Helper()
	if n := len(w.loop.handles.byKey); n != 0 {
		w.t.Errorf("%d handles are left", n)
	}
	if n := w.loop.endpoints.open; n != 0 {
		w.t.Errorf("%d endpoints are left", n)
	}
}

func TestTCP(t *testing.T) {
	w := newTCPWorld(t, fakering.Config{}, nil)
	h, peer := w.open()
	w.write(h, "ping")
	if got := string(peer.Take()); got != "ping" {
		t.Errorf("got %q", got)
	}
	peer.WriteString("pong")
	w.settle()
	w.said("1 written 0 ", "1 data 0 pong")
	// Half-closed by the peer: the app may go on.
	peer.CloseWrite()
	w.settle()
	w.said("1 end 0 ")
	w.write(h, "more")
	w.finish(h, 0)
	if got := string(peer.Take()); got != "more" || !peer.Ended() {
		t.Errorf("got %q", got)
	}
	w.said("1 written 0 ")
	w.checkNone()
}

// Half-closed by the app: the peer may go on.
func TestTCPFinish(t *testing.T) {
	w := newTCPWorld(t, fakering.Config{}, nil)
	h, peer := w.open()
	w.finish(h, 0)
	if !peer.Ended() {
		t.Error("the peer does not see the end")
	}
	peer.WriteString("late")
	peer.Close()
	w.settle()
	w.said("1 data 0 late", "1 end 0 ")
	w.checkNone()
}

// What the app writes, and that it finishes, before the connection is there.
func TestTCPFinishBeforeItIsOpen(t *testing.T) {
	w := newTCPWorld(t, fakering.Config{}, nil)
	w.number++
	for _, record := range []isolates.Record{
		{Kind: isolates.KindOpen, What: isolates.WhatTCP, Handle: 1, Target: []byte("192.0.2.81:7")},
		{Kind: isolates.KindWrite, Handle: 1, Body: []byte("early")},
		{Kind: isolates.KindFinish, Handle: 1},
		{Kind: isolates.KindRead, Handle: 1, Number: 100},
	} {
		w.do(record)
	}
	w.settle()
	if got := string(w.peers[0].Take()); got != "early" || !w.peers[0].Ended() {
		t.Errorf("got %q", got)
	}
	w.peers[0].WriteString("answer")
	w.peers[0].Close()
	w.settle()
	w.said("1 opened 0 192.0.2.81:7\n192.0.2.9:4321\n", "1 written 0 ", "1 data 0 answer", "1 end 0 ")
	w.checkNone()
}

func TestTCPFails(t *testing.T) {
	for name, c := range map[string]struct{ address, want string }{
		"refused":      {"192.0.2.82:7", "1 end 1 connect: connection refused (192.0.2.82:7)"},
		"not allowed":  {"127.0.0.1:7", "1 end 5 egress: 127.0.0.1:7 is not allowed for app demo"},
		"mapped":       {"[::ffff:127.0.0.1]:7", "1 end 5 egress: 127.0.0.1:7 is not allowed for app demo"},
		"malformed":    {"192.0.2.81", "1 end 6 malformed address"},
		"port 0":       {"192.0.2.81:0", "1 end 6 malformed address"},
		"port 65536":   {"192.0.2.81:65536", "1 end 6 malformed address"},
		"without host": {":7", "1 end 6 malformed address"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTCPWorld(t, fakering.Config{}, nil)
			w.connect(c.address, 0, 0)
			if len(w.told) != 1 || !strings.HasPrefix(w.told[0], c.want) {
				t.Errorf("the app was told %q, want %q", w.told, c.want)
			}
			w.checkNone()
		})
	}
	t.Run("no descriptors", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		w.sockets.openFails = 1
		w.connect(tcpAddress.String(), 0, 0)
		w.said("1 end 1 connect: " + unix.EMFILE.Error() + " (192.0.2.81:7)")
		w.checkNone()
	})
	t.Run("reset", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		_, peer := w.open()
		peer.Reset()
		w.settle()
		w.said("1 end 1 the origin reset the connection")
		w.checkNone()
	})
}

func TestTCPAbort(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		h, peer := w.open()
		w.cancel(h, isolates.CancelAll)
		if !peer.Closed() || len(w.sockets.reset) != 1 {
			t.Error("the connection was not reset")
		}
		w.said()
		w.checkNone()
	})
	t.Run("the writable side", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		h, peer := w.open()
		w.finish(h, isolates.FinishFailed)
		if !peer.Closed() || len(w.sockets.reset) != 1 {
			t.Error("the connection was not reset")
		}
		w.said()
		w.checkNone()
	})
	t.Run("opening", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		w.ring.Remote(netip.MustParseAddrPort("192.0.2.83:7"), nil).Silence(true)
		w.cancel(w.connect("192.0.2.83:7", 0, 0), isolates.CancelAll)
		w.said()
		w.checkNone()
	})
	t.Run("the isolate dies", func(t *testing.T) {
		w := newTCPWorld(t, fakering.Config{}, nil)
		_, peer := w.open()
		w.worker.fail = fmt.Errorf("out of memory")
		w.loop.wantTurn(w.loop.apps[0])
		w.settle()
		if !peer.Closed() {
			t.Error("the connection is open")
		}
		w.checkNone()
	})
}

// The app wants no more of what comes: the peer has to wait, and what the app writes leaves.
func TestTCPCancelRead(t *testing.T) {
	w := newTCPWorld(t, fakering.Config{}, nil)
	h, peer := w.open()
	w.cancel(h, 0)
	peer.WriteString("unwanted")
	w.write(h, "wanted")
	w.finish(h, 0)
	if got := string(peer.Take()); got != "wanted" || !peer.Ended() {
		t.Errorf("got %q", got)
	}
	w.said("1 written 0 ")
	// The peer does not close: it is left after a while.
	w.run(w.loop.options.LingerTimeout + time.Second)
	if !peer.Closed() {
		t.Error("the connection is open")
	}
	w.checkNone()
}

func TestTCPBackPressure(t *testing.T) {
	w := newTCPWorld(t, fakering.Config{Buffers: 8}, nil)
	h := w.connect(tcpAddress.String(), 0, 0)
	peer := w.peers[0]
	w.read(h, 10_000)
	text := strings.Repeat("0123456789", 10_000)
	peer.WriteString(text)
	w.settle()
	got := func() (n int) {
		for _, line := range w.told {
			if rest, ok := strings.CutPrefix(line, "1 data 0 "); ok {
				n += len(rest)
			}
		}
		return n
	}
	if n := got(); n < 10_000 || n > 20_000 {
		t.Errorf("%d bytes were delivered", n)
	}
	for range 10 {
		w.read(h, 10_000)
		w.settle()
	}
	if n := got(); n != len(text) {
		t.Errorf("in the end %d bytes were delivered", n)
	}
	w.told = w.told[:0]
	peer.SetWindow(1000)
	w.write(h, text)
	w.said()
	peer.SetWindow(1 << 20)
	w.settle()
	w.said("1 written 0 ")
	block, body := w.blocks.make(bytes.Repeat([]byte("x"), 50_000))
	w.finish(h, 0)
	if sent := string(peer.Take()); sent != text || !peer.Ended() {
		t.Errorf("%d bytes were sent", len(sent))
	}
	w.do(isolates.Record{Kind: isolates.KindWrite, Handle: h, Body: body, Block: block}) // after the end
	w.settle()
	peer.Close()
	w.settle()
	w.said("1 written 0 ", "1 end 0 ")
	w.checkNone()
}

// startTls on a real connection: plain lines first, then TLS on the same connection.
func TestTCPStartTLS(t *testing.T) {
	f := newSecureFetcher(t, nil)
	address := f.listenTLS(func(c net.Conn, secure func() net.Conn) {
		line := make([]byte, 5)
		if _, err := io.ReadFull(c, line); err != nil || string(line) != "hello" {
			t.Errorf("got %q %v", line, err)
		}
		if _, err := c.Write([]byte("go on")); err != nil {
			t.Error(err)
		}
		s := secure()
		echo(s)
	})
	s := f.speak()
	s.connect(address, isolates.OpenStartTLS, 0)
	s.await("opened")
	s.write("hello")
	s.awaitText("go on")
	s.connect(address, isolates.OpenTLS, s.number)
	s.await("opened")
	s.write("secret")
	s.awaitText("secret")
	s.finish()
	s.await("end 0 ")
}

func TestTCPOverTLS(t *testing.T) {
	f := newSecureFetcher(t, func(o *Options) {
		o.names = fixedNames(&dns.Config{Hosts: dns.ParseHosts("127.0.0.1 origin.example other.name\n")})
		o.Apps[0].Egress = rulesOf(t, "origin.example", "other.name")
	})
	address := f.listenTLS(func(_ net.Conn, secure func() net.Conn) { echo(secure()) })
	s := f.speak()
	s.connect(address, isolates.OpenTLS, 0)
	s.await("opened")
	text := strings.Repeat("0123456789", 20_000)
	s.write(text)
	s.awaitText(text)
	s.finish()
	s.await("end 0 ")
	// To a name that the certificate is not for.
	s.connect(strings.Replace(address, "origin.example", "other.name", 1), isolates.OpenTLS, 0)
	s.await("end 1 TLS")
}

// listenTLS starts a server for one connection at a time. secure begins TLS on it, as the server.
func (f *secureFetcher) listenTLS(serve func(c net.Conn, secure func() net.Conn)) (address string) {
	url := f.listen(func(c net.Conn) {
		serve(c, func() net.Conn {
			return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{f.authority.Sign(nil)}})
		})
	})
	return strings.TrimPrefix(url, "https://")
}

// echo sends back what comes, and then the end.
func echo(c net.Conn) {
	_, _ = io.Copy(c, c)
	c.Close()
}

// A speaker is an isolate that speaks over a socket to a real server.
type speaker struct {
	*secureFetcher
	told []string // but for data
	text string
}

func (f *secureFetcher) speak() *speaker {
	s := &speaker{secureFetcher: f}
	f.worker.onNews = func(w *fakeWorker, news *fakeNews) {
		if news.what == "data" {
			s.text += news.text
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
			return
		}
		s.told = append(s.told, fmt.Sprintf("%s %d %s", news.what, news.number, news.text))
	}
	return s
}

func (s *speaker) connect(address string, flags uint16, from int32) {
	s.number++
	s.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatTCP, Handle: s.number, Target: []byte(address), Flags: flags, Source: from})
	s.read(s.number, 16<<10)
}

func (s *speaker) write(text string) {
	s.do(isolates.Record{Kind: isolates.KindWrite, Handle: s.number, Body: []byte(text)})
}

func (s *speaker) finish() { s.do(isolates.Record{Kind: isolates.KindFinish, Handle: s.number}) }

// await waits for news that begin with a text.
func (s *speaker) await(news string) {
	s.t.Helper()
	s.real.until(news, func() bool {
		for i, line := range s.told {
			if strings.HasPrefix(line, news) {
				s.told = s.told[i+1:]
				return true
			}
		}
		return false
	})
}

// awaitText waits for bytes.
func (s *speaker) awaitText(text string) {
	s.t.Helper()
	s.real.until("data", func() bool { return len(s.text) >= len(text) })
	if s.text != text {
		s.t.Errorf("got %d bytes, want %d", len(s.text), len(text))
	}
	s.text = ""
}

// TestTCPSimulation runs sockets of an app against peers that echo, over a kernel at its worst. What comes back is
// what was sent, or its beginning if something broke, and nothing may be left.
func TestTCPSimulation(t *testing.T) {
	whole := 0
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { whole += simulateTCP(t, seed) })
	}
	if whole == 0 {
		t.Error("no socket got all back")
	}
	t.Logf("%d sockets got all back", whole)
}

// A simulatedSocket is a socket of simulateTCP, as its app sees it.
type simulatedSocket struct {
	unsent, sent, got string
	hasEnded          bool // in
	isFailed          bool
	aborts            bool
}

// next is what the app says after the last piece was taken.
func (s *simulatedSocket) next(handle int32, random *rand.Rand) isolates.Record {
	n := min(1+random.IntN(3000), len(s.unsent))
	switch {
	case s.aborts && random.IntN(4) == 0:
		s.isFailed = true
		return isolates.Record{Kind: isolates.KindCancel, Handle: handle, Flags: isolates.CancelAll}
	case n == 0:
		return isolates.Record{Kind: isolates.KindFinish, Handle: handle}
	}
	piece := s.unsent[:n]
	s.unsent, s.sent = s.unsent[n:], s.sent+piece
	return isolates.Record{Kind: isolates.KindWrite, Handle: handle, Body: []byte(piece)}
}

func simulateTCP(t *testing.T, seed uint64) (whole int) {
	random := rand.New(rand.NewPCG(seed, 4))
	faults := fakering.Harsh()
	faults.Reset, faults.ConnectError = 0.002, 0.05
	if seed%3 == 0 {
		faults.Reset, faults.ConnectError = 0, 0
	}
	w := newTCPWorld(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
		o.DrainTimeout, o.SendTimeout = time.Minute, time.Hour
	})
	sockets := map[int32]*simulatedSocket{}
	w.worker.onNews = func(worker *fakeWorker, news *fakeNews) {
		s := sockets[news.handle]
		if s.isFailed {
			return // it was on its way
		}
		switch news.what {
		case "opened":
			worker.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(1 + random.IntN(2000))})
			worker.record(s.next(news.handle, random))
		case "written":
			worker.record(s.next(news.handle, random))
		case "data":
			s.got += news.text
			worker.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
		case "end":
			s.hasEnded, s.isFailed = true, news.number != 0
		}
	}
	for range 1 + random.IntN(6) {
		w.number++
		sockets[w.number] = &simulatedSocket{unsent: strings.Repeat(string(rune('a'+w.number%26)), random.IntN(20_000)),
			aborts: seed%3 != 0 && random.IntN(4) == 0}
		w.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatTCP, Handle: w.number, Target: []byte(tcpAddress.String())})
	}
	for range 400 {
		w.run(5 * time.Millisecond)
		for i, peer := range w.peers {
			if peer == nil {
				continue
			}
			isOver := peer.Ended() // what comes before that is there
			peer.Write(peer.Take())
			if isOver {
				peer.CloseWrite()
				w.peers[i] = nil
			}
		}
	}
	w.run(time.Minute)
	for handle, s := range sockets {
		switch {
		case !strings.HasPrefix(s.sent, s.got):
			t.Errorf("socket %d: %d bytes came that were not sent", handle, len(s.got))
		case s.hasEnded && !s.isFailed && s.got == s.sent && s.unsent == "":
			whole++
		case seed%3 == 0:
			t.Errorf("socket %d: %d bytes of %d came back, ended %v, failed %v", handle, len(s.got), len(s.sent)+len(s.unsent), s.hasEnded, s.isFailed)
		}
	}
	w.end()
	return whole
}
