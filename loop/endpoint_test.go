package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring/fakering"
)

// A plug is an endpointHandler that writes down what it is told.
type plug struct {
	endpoint    *endpoint
	isConnected bool
	ended       bool
	errno       unix.Errno
	got         []byte
	packets     [][]byte
	isClosed    bool
	onConnected func()
	onReceived  func(data []byte)
	onSent      func()
	onFailed    func()
}

func (p *plug) connected() {
	p.isConnected = true
	if p.onConnected != nil {
		p.onConnected()
	}
}

func (p *plug) received(data []byte) {
	if p.endpoint == nil || p.isClosed {
		panic("received on an endpoint that is closed")
	}
	if data == nil {
		p.ended = true
	}
	p.got = append(p.got, data...)
	if data != nil {
		p.packets = append(p.packets, bytes.Clone(data))
	}
	if p.onReceived != nil {
		p.onReceived(data)
	}
}

func (p *plug) sent() {
	if p.onSent != nil {
		p.onSent()
	}
}

func (p *plug) failed(errno unix.Errno) {
	if p.endpoint == nil || p.errno != 0 {
		panic("failed twice, or after close")
	}
	p.errno, p.endpoint = errno, nil
	if p.onFailed != nil {
		p.onFailed()
	}
}

func (p *plug) closed() {
	if p.isClosed {
		panic("closed twice")
	}
	p.isClosed = true
}

func (p *plug) close() {
	p.endpoint.close()
	p.endpoint = nil
}

// plugIn connects a plug to an address.
func (w *world) plugIn(to netip.AddrPort, isDatagram bool) *plug {
	w.t.Helper()
	p := &plug{}
	e, errno := w.loop.connect(to, isDatagram, p)
	if errno != 0 {
		w.t.Fatal(errno)
	}
	p.endpoint = e
	return p
}

var somewhere = netip.MustParseAddrPort("192.0.2.80:80")

func TestEndpointTalks(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	p.endpoint.write([]byte("early, "))
	p.endpoint.resume()
	w.settle()
	if !p.isConnected || p.endpoint.remote != somewhere {
		t.Fatalf("connected: %v to %v", p.isConnected, p.endpoint.remote)
	}
	p.endpoint.write([]byte("then "))
	p.endpoint.write([]byte("this"))
	block, _ := w.blocks.make([]byte(" and a block"))
	p.endpoint.writeBlock(block, 12)
	p.endpoint.writeBuffer(w.loop.buffers.append(nil, []byte(" and a buffer")))
	p.endpoint.finish()
	p.endpoint.write([]byte("too late"))
	w.settle()
	if got := string(peer.Take()); got != "early, then this and a block and a buffer" || !peer.Ended() {
		t.Errorf("peer got %q, ended: %v", got, peer.Ended())
	}
	if n := p.endpoint.queued(); n != 0 {
		t.Errorf("%d bytes queued", n)
	}
	peer.WriteString("answer")
	peer.CloseWrite()
	w.settle()
	if string(p.got) != "answer" || !p.ended || p.errno != 0 {
		t.Errorf("got %q, ended %v, errno %v", p.got, p.ended, p.errno)
	}
	p.close()
	w.settle()
	if !p.isClosed || !peer.Closed() || w.loop.endpoints.open != 0 {
		t.Error("not closed")
	}
}

func TestEndpointPauses(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 4, BufferSize: 16}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	w.settle()
	peer.WriteString("0123456789")
	w.settle()
	if len(p.got) != 0 {
		t.Fatalf("received %q without resume", p.got)
	}
	p.onReceived = func([]byte) { p.endpoint.pause() }
	p.endpoint.resume()
	w.settle()
	if string(p.got) != "0123456789" {
		t.Fatalf("got %q", p.got)
	}
	for i := range 10 {
		peer.WriteString("0123456789abcdef")
		w.settle()
		if len(p.got) != 10+16*i {
			t.Fatalf("got %d bytes while paused", len(p.got))
		}
		p.endpoint.resume()
		w.settle()
	}
	p.endpoint.resume()
	peer.CloseWrite()
	w.settle()
	if len(p.got) != 170 || !p.ended {
		t.Errorf("got %d bytes, ended: %v", len(p.got), p.ended)
	}
	p.close()
}

// TestEndpointBulk: where much is expected it comes in large buffers, which the handler may keep, but only so many
// endpoints have one.
func TestEndpointBulk(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 4, BufferSize: 16}, nil)
	var peers []*fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peers = append(peers, p) })
	text := bytes.Repeat([]byte("0123456789abcdef"), bulkSize/16)
	var plugs []*plug
	var kept [][]byte
	for range bulksMax + 1 {
		p := w.plugIn(somewhere, false)
		p.onReceived = func(data []byte) {
			if buffer := w.loop.buffers.keep(data); buffer != nil {
				kept = append(kept, buffer)
			}
		}
		p.endpoint.resume()
		w.settle()
		p.endpoint.expectBulk(true)
		w.settle()
		plugs = append(plugs, p)
	}
	if n := w.loop.endpoints.bulks; n != bulksMax {
		t.Fatalf("%d endpoints have a buffer, want %d", n, bulksMax)
	}
	for i, p := range plugs {
		peers[i].Write(text)
		w.settle()
		if !bytes.Equal(p.got, text) || (len(p.packets) == 1) != (i < bulksMax) {
			t.Errorf("%d: got %d bytes in %d pieces", i, len(p.got), len(p.packets))
		}
	}
	if len(kept) != bulksMax {
		t.Errorf("%d buffers kept, want %d", len(kept), bulksMax)
	}
	for i, buffer := range kept {
		if !bytes.Equal(buffer, text) {
			t.Errorf("buffer %d was written to after it was kept", i)
		}
		w.loop.buffers.give(buffer)
	}
	// One gives its place up by closing, one by expecting little; then the last one has it.
	plugs[0].close()
	plugs[1].endpoint.expectBulk(false)
	w.settle()
	peers[1].WriteString("0123456789abcdef!")
	peers[bulksMax].Write(text[:100])
	w.settle()
	if n := len(plugs[1].packets); n != 3 {
		t.Errorf("what is little came in %d pieces, want 2", n-1)
	}
	plugs[bulksMax].endpoint.pause()
	w.settle()
	plugs[bulksMax].endpoint.resume()
	w.settle()
	before := len(plugs[bulksMax].packets)
	peers[bulksMax].Write(text)
	w.settle()
	if n := len(plugs[bulksMax].packets) - before; n != 1 {
		t.Errorf("got %d pieces", n)
	}
	for _, p := range plugs[1:] {
		p.close()
	}
	w.settle()
	if w.loop.endpoints.bulks != 0 || w.loop.endpoints.open != 0 {
		t.Errorf("%d buffers, %d endpoints left", w.loop.endpoints.bulks, w.loop.endpoints.open)
	}
}

// TestEndpointRoom: what is sent on as it is, at a good pace, comes in ever larger pieces, all else by the usual size.
func TestEndpointRoom(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 4, BufferSize: 16}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	isOutput := true
	p.onReceived = func(data []byte) {
		if isOutput {
			w.loop.buffers.give(w.loop.buffers.keep(data))
			w.loop.buffers.isOutput = true
		}
		p.endpoint.pause()
	}
	p.endpoint.resume()
	w.settle()
	p.endpoint.expectBulk(true)
	w.settle()
	plenty := make([]byte, 2*roomMax)
	// receive is how large the next piece is that comes after a time.
	receive := func(wait time.Duration) int {
		w.run(wait)
		peer.Write(plenty)
		p.endpoint.resume()
		w.settle()
		return len(p.packets[len(p.packets)-1])
	}
	peer.Write(plenty)
	w.settle()
	sizes := []int{len(p.packets[0])}
	for range 3 {
		sizes = append(sizes, receive(time.Millisecond))
	}
	sizes = append(sizes, receive(time.Duration(roomShrinks)), receive(0))
	isOutput = false
	sizes = append(sizes, receive(0), receive(0), receive(0))
	if want := []int{bulkSize, 4 * bulkSize, roomMax, roomMax, roomMax, roomMax / 2, roomMax, bulkSize, bulkSize}; !slices.Equal(sizes, want) {
		t.Errorf("pieces of %d, want %d", sizes, want)
	}
	if n := w.loop.endpoints.posted; n != 0 {
		t.Errorf("%d bytes wait though nothing is received", n)
	}
	p.close()
	w.settle()
}

// TestEndpointReceivesHeadsAlone: where much is likely to follow, no more comes by provided buffers than the first.
func TestEndpointReceivesHeadsAlone(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 64, BufferSize: 16}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	p.onReceived = func([]byte) { p.endpoint.expectBulk(true) }
	p.endpoint.expectHead(true)
	p.endpoint.resume()
	w.settle()
	peer.Write(make([]byte, 1000))
	w.settle()
	if len(p.packets) != 2 || len(p.packets[0]) != 16 || len(p.packets[1]) != 984 {
		t.Errorf("%d pieces", len(p.packets))
	}
	p.onReceived = nil
	p.endpoint.expectBulk(false)
	p.endpoint.expectHead(false)
	w.settle()
	peer.Write(make([]byte, 100))
	w.settle()
	if len(p.got) != 1100 {
		t.Errorf("%d bytes", len(p.got))
	}
	p.close()
	w.settle()
}

func TestEndpointSurvivesWithoutBuffers(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 2, BufferSize: 8}, nil)
	var peers []*fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peers = append(peers, p) })
	var plugs []*plug
	for range 5 {
		p := w.plugIn(somewhere, false)
		p.endpoint.resume()
		plugs = append(plugs, p)
	}
	w.settle()
	want := bytes.Repeat([]byte("0123456789"), 50)
	for _, peer := range peers {
		peer.Write(want)
	}
	w.settle()
	for i, p := range plugs {
		if !bytes.Equal(p.got, want) {
			t.Errorf("endpoint %d got %d bytes", i, len(p.got))
		}
		p.close()
	}
}

func TestEndpointFails(t *testing.T) {
	gone := netip.MustParseAddrPort("192.0.2.81:80")
	for _, row := range []struct {
		name  string
		to    netip.AddrPort
		act   func(w *world, p *plug, peer *fakering.Peer)
		errno unix.Errno
	}{
		{"refused", gone, nil, unix.ECONNREFUSED},
		{"reset while receiving", somewhere, func(w *world, p *plug, peer *fakering.Peer) { peer.Reset() }, unix.ECONNRESET},
		{"closed by the drain", somewhere, func(w *world, p *plug, peer *fakering.Peer) { w.end() }, unix.ECANCELED},
		{"send stuck", somewhere, func(w *world, p *plug, peer *fakering.Peer) {
			peer.SetWindow(1)
			p.endpoint.write([]byte("more than fits"))
			w.run(w.loop.options.SendTimeout + time.Second)
		}, unix.ETIMEDOUT},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, fakering.Config{}, nil)
			var peer *fakering.Peer
			w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
			p := w.plugIn(row.to, false)
			p.endpoint.resume()
			w.settle()
			if row.act != nil {
				row.act(w, p, peer)
			}
			if !w.ended {
				w.settle()
			}
			if p.errno != row.errno || !p.isClosed {
				t.Errorf("errno %v, closed: %v", p.errno, p.isClosed)
			}
		})
	}
}

// TestEndpointHearsWhyItIsCutOff: who refuses what we send says so before closing.
func TestEndpointHearsWhyItIsCutOff(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	w.settle()
	p.endpoint.resume()
	w.settle()
	p.endpoint.write([]byte("a"))
	p.endpoint.write(bytes.Repeat([]byte("b"), 1000))
	peer.WriteString("no, thanks")
	peer.Close()
	w.settle()
	if string(p.got) != "no, thanks" || p.errno != 0 && p.errno != unix.EPIPE {
		t.Errorf("got %q, errno %v", p.got, p.errno)
	}
	if p.endpoint != nil {
		p.close()
	}
}

// TestEndpointReadsSlowlyAfterItIsCutOff: what came before is there for a reader that takes its time.
func TestEndpointReadsSlowlyAfterItIsCutOff(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 4, BufferSize: 8}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	p.onReceived = func(data []byte) {
		if p.endpoint != nil {
			p.endpoint.pause()
		}
	}
	p.endpoint.resume()
	w.settle()
	peer.WriteString("0123456789012345678901234567890123456789")
	w.settle()
	if len(p.got) == 40 {
		t.Fatal("it did not pause")
	}
	peer.Close()
	p.endpoint.write([]byte("request"))
	w.settle()
	for range 10 {
		if p.endpoint != nil {
			w.run(brokenPatience / 2)
			p.endpoint.resume()
			w.settle()
		}
	}
	if len(p.got) != 40 || p.endpoint != nil || p.errno != unix.EPIPE {
		t.Errorf("got %q, errno %v", p.got, p.errno)
	}
}

// TestEndpointNeverReads: it hears that it is cut off all the same.
func TestEndpointNeverReads(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	var peer *fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, false)
	w.settle()
	peer.WriteString("unread")
	peer.Close()
	p.endpoint.write([]byte("request"))
	w.run(brokenPatience + time.Second)
	if p.errno != unix.EPIPE || !p.isClosed {
		t.Errorf("errno %v, closed: %v", p.errno, p.isClosed)
	}
}

func TestDatagramEndpoint(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	var peer *fakering.Peer
	w.ring.RemoteDatagrams(somewhere, func(p *fakering.Peer) { peer = p })
	p := w.plugIn(somewhere, true)
	p.endpoint.resume()
	w.settle()
	p.endpoint.write([]byte("one"))
	p.endpoint.write([]byte("two"))
	w.settle()
	if got := fmt.Sprintf("%s", peer.TakePackets()); got != "[one two]" {
		t.Errorf("peer got %s", got)
	}
	peer.WriteString("three")
	peer.WriteString("")
	peer.WriteString("four")
	w.settle()
	if got := fmt.Sprintf("%s", p.packets); got != "[three four]" || p.ended {
		t.Errorf("got %s", got)
	}
	p.close()
	nobody := w.plugIn(netip.MustParseAddrPort("[2001:db8::1]:53"), true)
	nobody.endpoint.resume()
	w.settle()
	nobody.endpoint.write([]byte("?"))
	w.settle()
	if nobody.errno != unix.ECONNREFUSED {
		t.Errorf("errno %v", nobody.errno)
	}
}

func TestEndpointIsClosedAtAnyTime(t *testing.T) {
	for stage := range 5 {
		w := newWorld(t, fakering.Config{}, nil)
		var peer *fakering.Peer
		remote := w.ring.Remote(somewhere, func(p *fakering.Peer) { peer = p })
		remote.Silence(stage == 1)
		p := w.plugIn(somewhere, false)
		p.endpoint.write([]byte("hello"))
		p.endpoint.resume()
		switch stage {
		case 0: // before anything was submitted
			p.close()
		case 1: // while connecting
			w.settle()
			p.close()
		case 2: // as soon as it is connected
			p.onConnected = p.close
		case 3: // while sending, with more waiting
			w.settle()
			peer.SetWindow(0)
			p.endpoint.write([]byte("first"))
			w.settle()
			block, _ := w.blocks.make(bytes.Repeat([]byte("x"), 100))
			p.endpoint.writeBlock(block, 100)
			p.endpoint.reset()
			p.endpoint = nil
		case 4: // from within received
			w.settle()
			p.onReceived = func([]byte) { p.close() }
			peer.WriteString("bytes")
			peer.WriteString("and more")
		}
		w.settle()
		if !p.isClosed || w.loop.endpoints.open != 0 {
			t.Errorf("stage %d: closed %v, %d open", stage, p.isClosed, w.loop.endpoints.open)
		}
		w.end()
	}
}

// TestEndpointSimulation has endpoints talk to echo servers over a ring with every fault: each gets back
// what it sent, or is told that the connection broke.
func TestEndpointSimulation(t *testing.T) {
	whole := 0
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { whole += simulateEndpoints(t, seed) })
	}
	if whole < 400 {
		t.Errorf("only %d connections lasted", whole)
	}
}

func simulateEndpoints(t *testing.T, seed uint64) (whole int) {
	random := rand.New(rand.NewPCG(seed, 2))
	faults := fakering.Harsh()
	faults.Reset = 0.002
	w := newWorld(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 4, BufferSize: 64}, func(o *Options) { o.DrainTimeout = time.Minute })
	var peers []*fakering.Peer
	w.ring.Remote(somewhere, func(p *fakering.Peer) { peers = append(peers, p) })
	for i := range 3000 { // the peers echo, for 30 s
		w.ring.At(time.Duration(i)*10*time.Millisecond, func() {
			for _, peer := range peers {
				if data := peer.Take(); len(data) != 0 && !peer.Broken() {
					peer.Write(data)
				}
			}
		})
	}
	var plugs []*plug
	var wants [][]byte
	for i := range 1 + random.IntN(6) {
		want := bytes.Repeat(fmt.Appendf(nil, "%d:%d ", i, random.IntN(1000)), 1+random.IntN(200))
		p := w.plugIn(somewhere, false)
		rest := want
		p.onConnected = func() { p.endpoint.resume() }
		feed := func() {
			for p.endpoint != nil && len(rest) != 0 && p.endpoint.queued() < 100 {
				n := min(len(rest), 1+random.IntN(90))
				if random.IntN(3) == 0 {
					block, _ := w.blocks.make(rest[:n])
					p.endpoint.writeBlock(block, n)
				} else {
					p.endpoint.write(rest[:n])
				}
				rest = rest[n:]
			}
		}
		p.onSent = feed
		p.onReceived = func([]byte) {
			if random.IntN(4) == 0 {
				p.endpoint.pause()
				w.ring.At(time.Duration(random.IntN(5000))*time.Microsecond, func() {
					if p.endpoint != nil {
						p.endpoint.resume()
						w.loop.waker.Signal()
					}
				})
			}
		}
		feed()
		plugs, wants = append(plugs, p), append(wants, want)
	}
	w.run(30 * time.Second)
	for i, p := range plugs {
		if p.errno == 0 && bytes.Equal(p.got, wants[i]) {
			whole++
		} else if p.errno == 0 || !bytes.HasPrefix(wants[i], p.got) {
			t.Errorf("endpoint %d: got %d bytes of %d, errno %v", i, len(p.got), len(wants[i]), p.errno)
		}
	}
	w.end()
	for i, p := range plugs {
		if !p.isClosed {
			t.Errorf("endpoint %d was not closed", i)
		}
	}
	return whole
}
