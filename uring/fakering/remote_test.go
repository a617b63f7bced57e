package fakering

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

var there = netip.MustParseAddrPort("192.0.2.1:80")

// reap enters and gives the next completion.
func reap(t *testing.T, ring *Ring) uring.Completion {
	t.Helper()
	into := make([]uring.Completion, 1)
	for range 100 {
		if ring.Reap(into) == 1 {
			return into[0]
		}
		if err := ring.Enter(true, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no completion")
	panic("unreachable")
}

func TestConnectReachesARemote(t *testing.T) {
	ring := New(Config{})
	var peer *Peer
	remote := ring.Remote(there, func(p *Peer) { peer = p; p.WriteString("welcome") })
	fd := ring.Socket(false)
	ring.Connect(1, fd, address)
	if c := reap(t, ring); c.Result != 0 || peer == nil || remote.Connections() != 1 {
		t.Fatalf("connect: %+v", c)
	}
	ring.RecvMultishot(2, fd)
	c := reap(t, ring)
	id, _ := c.Buffer()
	if got := string(ring.Buffer(id, int(c.Result))); got != "welcome" {
		t.Errorf("got %q", got)
	}
	ring.ReturnBuffer(id)
	ring.Send(3, fd, []byte("thanks"))
	if c := reap(t, ring); c.Result != 6 || string(peer.Take()) != "thanks" {
		t.Errorf("send: %+v", c)
	}
}

func TestConnectFails(t *testing.T) {
	ring := New(Config{})
	connect := func() int {
		fd := ring.Socket(false)
		ring.Connect(1, fd, address)
		return fd
	}
	connect()
	if c := reap(t, ring); c.Result != failure(unix.ECONNREFUSED) {
		t.Errorf("to nobody: %+v", c)
	}
	remote := ring.Remote(there, nil)
	remote.Fail(unix.EHOSTUNREACH)
	connect()
	if c := reap(t, ring); c.Result != failure(unix.EHOSTUNREACH) {
		t.Errorf("told to fail: %+v", c)
	}
	remote.Fail(0)
	remote.Silence(true)
	connect()
	ring.Enter(true, time.Hour)
	if n := ring.Reap(make([]uring.Completion, 1)); n != 0 || remote.Connections() != 0 {
		t.Error("a silent remote answered")
	}
	ring.Cancel(2, 1)
	results := map[uring.UserData]int32{}
	for range 2 {
		c := reap(t, ring)
		results[c.UserData] = c.Result
	}
	if results[1] != failure(unix.ECANCELED) || results[2] != 0 {
		t.Errorf("cancelled: %v", results)
	}
}

func TestDatagramsKeepTheirBounds(t *testing.T) {
	ring := New(Config{BufferSize: 8})
	var peer *Peer
	ring.RemoteDatagrams(there, func(p *Peer) { peer = p })
	fd := ring.Socket(true)
	ring.Connect(1, fd, address)
	reap(t, ring)
	ring.Send(2, fd, []byte("one"))
	reap(t, ring)
	ring.Send(2, fd, []byte("two"))
	reap(t, ring)
	if got := fmt.Sprintf("%s", peer.TakePackets()); got != "[one two]" {
		t.Errorf("sent %s", got)
	}
	peer.WriteString("")
	peer.WriteString("abc")
	peer.WriteString("longer than a buffer")
	ring.RecvMultishot(3, fd)
	if c := reap(t, ring); c.Result != 0 || c.More() {
		t.Errorf("an empty datagram: %+v", c)
	}
	ring.RecvMultishot(3, fd)
	for _, want := range []string{"abc", "longer t"} {
		c := reap(t, ring)
		id, ok := c.Buffer()
		if got := string(ring.Buffer(id, int(c.Result))); !ok || got != want {
			t.Errorf("received %q, want %q", got, want)
		}
		ring.ReturnBuffer(id)
	}
	// Of nobody's port the kernel tells with the next receive.
	nobody := ring.Socket(true)
	ring.Connect(4, nobody, uring.AppendAddress(nil, netip.MustParseAddrPort("192.0.2.9:9")))
	reap(t, ring)
	ring.Send(5, nobody, []byte("?"))
	reap(t, ring)
	ring.RecvMultishot(6, nobody)
	if c := reap(t, ring); c.Result != failure(unix.ECONNREFUSED) {
		t.Errorf("nobody: %+v", c)
	}
}
