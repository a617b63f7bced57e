package loop

import (
	"testing"

	"golang.org/x/sys/unix"

	"nano/uring/fakering"
)

// TestLargeSendsShareTicks: however many clients take much at once, the kernel is handed no more than so much in one
// tick, all of them get on, and one that is closed while its send is postponed leaves nothing behind.
func TestLargeSendsShareTicks(t *testing.T) {
	const clients, size = 24, 2_000_000
	w := newWorld(t, fakering.Config{}, nil)
	var peers []*fakering.Peer
	for range clients {
		peer := w.ring.Dial(w.listener)
		peer.WriteString("GET /large/2000000 HTTP/1.1\r\nHost: a\r\n\r\n")
		peers = append(peers, peer)
	}
	l := w.loop
	largest, aborted := 0, 0
	for range 100 {
		l.waker.Signal()
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, l.largeSends)
		if len(l.postponed) != 0 && aborted == 0 {
			aborted++
			l.abort(l.postponed[0])
		}
	}
	if aborted == 0 || largest >= largeSendsMax+sendMax {
		t.Errorf("%d bytes in one tick, %d clients cut off", largest, aborted)
	}
	got := 0
	for _, peer := range peers {
		if len(peer.Take()) > size {
			got++
		}
		peer.Close()
	}
	if got != clients-aborted {
		t.Errorf("%d clients of %d got all", got, clients)
	}
	w.settle()
	w.end()
}

func TestFlight(t *testing.T) {
	var f flight
	send := func(asked int, result int32) (isOver bool) {
		f.begins()
		f.asked = asked
		return f.landed(result)
	}
	if !f.begins() || f.begins() {
		t.Error("the time-out starts once")
	}
	if send(1<<20, 100<<10) || !f.isFull || f.begins() {
		t.Error("a little does not end the time-out")
	}
	if send(1<<20, -int32(unix.EAGAIN)) || f.begins() {
		t.Error("nothing does not end it either")
	}
	if !send(1<<20, 156<<10) || !f.isFull || !f.begins() {
		t.Error("256 KiB in all do")
	}
	if !send(100, 100) || f.isFull || !f.begins() {
		t.Error("all that was asked does")
	}
	if !send(100, -1) {
		t.Error("a failure does")
	}
}
