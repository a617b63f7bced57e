package fakering

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// Remote is what the loop reaches when it connects to an address. Where there is none, connects of
// streams are refused, and so is what is sent in datagrams. Methods may be called from any goroutine.
type Remote struct {
	ring      *Ring
	connected func(*Peer)
	failure   unix.Errno // of connects; 0: they succeed
	isSilent  bool
	peers     int
}

// remoteName tells the remotes of a ring apart.
type remoteName struct {
	address    netip.AddrPort
	isDatagram bool
}

// Remote lets streams be connected to an address. connected is called on the entering thread with the
// peer of each connection, and may work it; nil: nothing happens to them.
func (r *Ring) Remote(address netip.AddrPort, connected func(*Peer)) *Remote {
	return r.remote(remoteName{address, false}, connected)
}

// RemoteDatagrams is Remote for datagram sockets, of which each one that is connected has a peer.
func (r *Ring) RemoteDatagrams(address netip.AddrPort, connected func(*Peer)) *Remote {
	return r.remote(remoteName{address, true}, connected)
}

func (r *Ring) remote(name remoteName, connected func(*Peer)) *Remote {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	remote := &Remote{ring: r, connected: connected}
	r.remotes[name] = remote
	return remote
}

// Fail makes later connects fail; 0 ends that.
func (m *Remote) Fail(errno unix.Errno) {
	m.ring.mutex.Lock()
	defer m.ring.mutex.Unlock()
	m.failure = errno
	m.ring.touch()
}

// Silence leaves connects without an answer, until it is ended.
func (m *Remote) Silence(silent bool) {
	m.ring.mutex.Lock()
	defer m.ring.mutex.Unlock()
	m.isSilent = silent
	m.ring.touch()
}

// Connections is how many connections there have been.
func (m *Remote) Connections() int {
	m.ring.mutex.Lock()
	defer m.ring.mutex.Unlock()
	return m.peers
}

// Socket makes a socket for Connect, as socket(2) does.
func (r *Ring) Socket(isDatagram bool) (fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.newDescriptor(&descriptor{isDatagram: isDatagram})
}

// remoteOf finds what a connect leads to; nil: nothing.
func (r *Ring) remoteOf(op *operation) *Remote {
	address, ok := uring.ParseAddress(op.memory)
	if !ok {
		r.fail("%v: malformed address", op)
	}
	return r.remotes[remoteName{address, op.descriptor.isDatagram}]
}

// isSilent tells whether a connect will not complete by itself.
func (r *Ring) isSilent(op *operation) bool {
	remote := r.remoteOf(op)
	return remote != nil && remote.isSilent
}

// connectErrors are what a connect may fail with at any time.
var connectErrors = [...]unix.Errno{unix.ECONNREFUSED, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EADDRNOTAVAIL}

// progressConnect completes a connect.
func (r *Ring) progressConnect(d *descriptor) {
	op := d.connect
	if op.ended || r.chance(r.config.Faults.Delay) {
		return
	}
	remote := r.remoteOf(op)
	switch {
	case remote != nil && remote.isSilent:
		return
	case r.chance(r.config.Faults.ConnectError):
		r.complete(op, failure(connectErrors[r.random.IntN(len(connectErrors))]), 0)
		return
	case remote != nil && remote.failure != 0:
		r.complete(op, failure(remote.failure), 0)
		return
	case remote == nil && !d.isDatagram:
		r.complete(op, failure(unix.ECONNREFUSED), 0)
		return
	}
	p := &Peer{window: -1, accepted: true, isDatagram: d.isDatagram, unreachable: remote == nil}
	p.byteWise = !d.isDatagram && r.chance(r.config.Faults.ByteAtATime)
	p.ring.Store(r)
	d.peer = p
	r.complete(op, 0, 0)
	if remote == nil {
		return
	}
	remote.peers++
	if remote.connected != nil {
		r.unlocked(func() { remote.connected(p) })
	}
}
