package fakering

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// descriptor is a listener, the loop's end of a connection, or a socket without one (peer is nil).
type descriptor struct {
	fd        int
	listening bool
	backlog   []*Peer
	peer      *Peer
	closing   bool // Close was called

	// The operations in flight, until their last completion is reaped.
	accept, connect, receive, send *operation

	isDatagram bool // made by Socket
}

// Peer is the other end of a connection to a listener of the ring. Its methods may be called from
// any goroutine.
type Peer struct {
	ring     atomic.Pointer[Ring]
	byteWise bool

	toLoop    []byte
	ended     bool // no more to the loop
	gone      bool // does not read any more either
	reset     bool
	fromLoop  []byte
	loopEnded bool // the loop shut its side down, or closed
	loopGone  bool // the loop closed
	refused   bool // dropped from the backlog
	window    int  // bytes that it takes; -1: any number
	accepted  bool
	loopDeaf  bool // the loop shut its receiving side

	// Of a datagram socket: packets, which are received whole, and sent.
	isDatagram  bool
	unreachable bool // what the loop sends is answered with an error
	packetsIn   [][]byte
	packetsOut  [][]byte
}

// hasInput tells whether there is something to receive.
func (p *Peer) hasInput() bool { return len(p.toLoop) > 0 || len(p.packetsIn) > 0 }

// Listen makes a listener for AcceptMultishot.
func (r *Ring) Listen() (fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.newDescriptor(&descriptor{listening: true})
}

func (r *Ring) newDescriptor(d *descriptor) int {
	if n := len(r.closed); n > 0 && r.chance(r.config.Faults.ReuseDescriptor) {
		d.fd = r.closed[n-1] // the latest, like a kernel that takes the lowest
		r.closed = r.closed[:n-1]
	} else {
		d.fd = r.descriptorNext
		r.descriptorNext++
	}
	r.descriptors[d.fd] = d
	r.order = append(r.order, d)
	return d.fd
}

// Dial connects to a listener. Bytes can be written before the loop accepts.
func (r *Ring) Dial(listener int) *Peer {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	p := &Peer{window: -1, byteWise: r.chance(r.config.Faults.ByteAtATime)}
	p.ring.Store(r)
	d := r.descriptors[listener]
	if d == nil || !d.listening || d.closing {
		p.refused = true
		return p
	}
	d.backlog = append(d.backlog, p)
	r.touch()
	return p
}

// change runs f under the ring's lock and has a waiting Enter look again.
func (p *Peer) change(f func()) {
	ring := p.lock()
	defer ring.mutex.Unlock()
	f()
	ring.touch()
}

// lock locks the ring that the connection is with; it may go over to another one until then.
func (p *Peer) lock() *Ring {
	for {
		ring := p.ring.Load()
		ring.mutex.Lock()
		if p.ring.Load() == ring {
			return ring
		}
		ring.mutex.Unlock()
	}
}

// touch has an Enter that waits, or is about to, look again.
func (r *Ring) touch() {
	r.changed = true
	r.postMutex.Lock()
	defer r.postMutex.Unlock()
	r.nudge.signal()
}

// Write sends b to the loop, on a datagram socket as one. It never blocks, and does nothing on a broken connection.
func (p *Peer) Write(b []byte) {
	p.change(func() {
		if p.reset || p.refused {
			return // what a real peer writes now is lost
		}
		if p.ended {
			p.ring.Load().fail("a peer writes after CloseWrite or Close")
			return
		}
		if p.isDatagram {
			p.packetsIn = append(p.packetsIn, append([]byte(nil), b...))
			return
		}
		p.toLoop = append(p.toLoop, b...)
	})
}

// WriteString is Write for text.
func (p *Peer) WriteString(s string) { p.Write([]byte(s)) }

// CloseWrite ends the stream to the loop after what was written.
func (p *Peer) CloseWrite() { p.change(func() { p.ended = true }) }

// Close ends both directions: the loop reads the end of the stream after what was written, and its
// sends fail.
func (p *Peer) Close() { p.change(func() { p.ended, p.gone = true, true }) }

// Reset breaks the connection: the loop's operations fail with ECONNRESET or EPIPE. What the loop
// has not received is lost.
func (p *Peer) Reset() { p.change(p.breakConnection) }

func (p *Peer) breakConnection() {
	p.ended, p.gone, p.reset, p.toLoop, p.packetsIn = true, true, true, nil, nil
}

// SetWindow lets the loop send n more bytes, below 0 any number, before its sends wait.
func (p *Peer) SetWindow(n int) { p.change(func() { p.window = n }) }

// Take gives what the loop has sent since the last Take.
func (p *Peer) Take() []byte {
	var b []byte
	p.change(func() { b, p.fromLoop = p.fromLoop, nil })
	return b
}

// TakePackets gives the datagrams that the loop has sent since the last call.
func (p *Peer) TakePackets() [][]byte {
	var packets [][]byte
	p.change(func() { packets, p.packetsOut = p.packetsOut, nil })
	return packets
}

// Ended tells whether the loop has ended its stream, by Shutdown or Close. What it sent before can
// still be taken.
func (p *Peer) Ended() bool {
	return p.look(func() bool { return p.loopEnded || p.reset || p.refused })
}

// Closed tells whether the loop has closed the connection, or never got it.
func (p *Peer) Closed() bool { return p.look(func() bool { return p.loopGone || p.refused }) }

// Broken tells whether the connection was reset, by the peer or as a fault.
func (p *Peer) Broken() bool { return p.look(func() bool { return p.reset || p.refused }) }

// Accepted tells whether the loop has got the connection.
func (p *Peer) Accepted() bool { return p.look(func() bool { return p.accepted }) }

func (p *Peer) look(f func() bool) bool {
	defer p.lock().mutex.Unlock()
	return f()
}

// progressAccept makes the completions of an armed accept.
func (r *Ring) progressAccept(d *descriptor) {
	op := d.accept
	for !op.ended && len(d.backlog) > 0 && !r.chance(r.config.Faults.Delay) {
		if r.chance(r.config.Faults.AcceptError) {
			if r.random.IntN(2) == 0 {
				r.complete(op, failure(unix.EMFILE), 0)
				continue
			}
			d.backlog[0].refused = true
			d.backlog = d.backlog[1:]
			r.complete(op, failure(unix.ECONNABORTED), 0)
			continue
		}
		peer := d.backlog[0]
		d.backlog = d.backlog[1:]
		peer.accepted = true
		fd := r.newDescriptor(&descriptor{peer: peer})
		r.complete(op, int32(fd), r.moreUnlessEnding())
	}
}

// moreUnlessEnding draws whether a multishot operation stays armed.
func (r *Ring) moreUnlessEnding() uint32 {
	if r.chance(r.config.Faults.MultishotEnds) {
		return 0
	}
	return completionMore
}

// progressReceive makes the completions of an armed receive.
func (r *Ring) progressReceive(d *descriptor) {
	op, p := d.receive, d.peer
	for !op.ended {
		if p.loopDeaf {
			r.complete(op, 0, 0)
			return
		}
		if !p.hasInput() && !p.ended || r.chance(r.config.Faults.Delay) {
			return
		}
		if !p.isDatagram && r.chance(r.config.Faults.Reset) {
			p.breakConnection()
		}
		switch {
		case op.isPoll:
			r.complete(op, unix.POLLIN, 0)
		case p.unreachable:
			r.complete(op, failure(unix.ECONNREFUSED), 0)
			p.ended = false // once for each send
		case p.reset:
			r.complete(op, failure(unix.ECONNRESET), 0)
		case !p.hasInput():
			r.complete(op, 0, 0)
		case op.memory == nil && (len(r.buffers.free) == 0 || r.chance(r.config.Faults.NoBuffers)):
			r.complete(op, failure(unix.ENOBUFS), 0)
		default:
			r.receiveInto(op, p)
		}
	}
}

func (r *Ring) receiveInto(op *operation, p *Peer) {
	if p.isDatagram && len(p.packetsIn[0]) == 0 { // ends the receive, as the end of a stream does
		p.packetsIn = p.packetsIn[1:]
		r.complete(op, 0, 0)
		return
	}
	if p.isDatagram {
		n := min(len(p.packetsIn[0]), r.buffers.size)
		id := r.buffers.receive(p.packetsIn[0][:n])
		p.packetsIn = p.packetsIn[1:]
		r.complete(op, int32(n), r.moreOf(op)|completionBuffer|uint32(id)<<16)
		return
	}
	n := min(len(p.toLoop), r.buffers.size)
	if op.memory != nil {
		n = min(len(p.toLoop), len(op.memory))
	}
	if p.byteWise {
		n = 1
	} else if r.chance(r.config.Faults.ShortReceive) {
		n = 1 + r.random.IntN(n)
	}
	if op.memory != nil {
		copy(op.memory, p.toLoop[:n])
		p.toLoop = p.toLoop[n:]
		r.complete(op, int32(n), 0)
		return
	}
	id := r.buffers.receive(p.toLoop[:n])
	p.toLoop = p.toLoop[n:]
	r.complete(op, int32(n), r.moreOf(op)|completionBuffer|uint32(id)<<16)
}

// moreOf is moreUnlessEnding for a receive into provided buffers, which may be one that ends anyway.
func (r *Ring) moreOf(op *operation) uint32 {
	if op.isOnce {
		return 0
	}
	return r.moreUnlessEnding()
}

// progressSend moves bytes to the peer, and completes the send once all are there, or some if they suffice.
func (r *Ring) progressSend(d *descriptor) {
	op, p := d.send, d.peer
	if op.ended || r.chance(r.config.Faults.Delay) {
		return
	}
	if op.isPoll {
		if p.window != 0 || p.gone || p.loopEnded {
			r.complete(op, unix.POLLOUT, 0)
		}
		return
	}
	if p.isDatagram {
		p.packetsOut = append(p.packetsOut, append([]byte(nil), op.memory...))
		p.ended = p.ended || p.unreachable
		r.complete(op, int32(len(op.memory)), 0)
		return
	}
	if r.chance(r.config.Faults.Reset) {
		p.breakConnection()
	}
	if p.gone || p.loopEnded {
		switch {
		case op.done > 0: // the kernel tells of the bytes first, and of the error next time
			r.complete(op, int32(op.done), 0)
		case p.reset && r.random.IntN(2) == 0:
			r.complete(op, failure(unix.ECONNRESET), 0)
		default:
			r.complete(op, failure(unix.EPIPE), 0)
		}
		return
	}
	n := len(op.memory) - op.done
	if p.window >= 0 {
		n = min(n, p.window)
	}
	short := n > 1 && r.chance(r.config.Faults.ShortSend)
	if short {
		n = 1 + r.random.IntN(n-1)
	}
	if p.window >= 0 {
		p.window -= n
	}
	p.fromLoop = append(p.fromLoop, op.memory[op.done:op.done+n]...)
	op.done += n
	if short || op.done == len(op.memory) || op.isPart && op.done != 0 {
		r.complete(op, int32(op.done), 0)
	}
}
