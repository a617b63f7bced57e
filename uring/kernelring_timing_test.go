package uring

import (
	"testing"

	"golang.org/x/sys/unix"
)

// next enters until a completion is there.
func next(b *testing.B, r *KernelRing, into []Completion) Completion {
	for {
		if err := r.Enter(true, -1); err != nil {
			b.Fatal(err)
		}
		if r.Reap(into) > 0 {
			return into[0]
		}
	}
}

func BenchmarkNopRoundTrip(b *testing.B) {
	r := testRing(b, Config{})
	into := make([]Completion, 1)
	for b.Loop() {
		r.Nop(1)
		next(b, r, into)
	}
}

// BenchmarkNopInBatch is the cost of one operation among 64.
func BenchmarkNopInBatch(b *testing.B) {
	const batch = 64
	r := testRing(b, Config{})
	into := make([]Completion, batch)
	for i := 0; i < b.N; i += batch {
		for range batch {
			r.Nop(1)
		}
		if err := r.Enter(true, -1); err != nil {
			b.Fatal(err)
		}
		r.Reap(into)
	}
}

// BenchmarkEcho is a receive and a send over loopback TCP, the peer's write and read included.
func BenchmarkEcho(b *testing.B) {
	r := testRing(b, Config{})
	into := make([]Completion, 1)
	listener, address := tcpListener(b)
	r.AcceptMultishot(1, listener)
	peer := tcpDial(b, address)
	fd := int(next(b, r, into).Result)
	defer unix.Close(fd)
	r.RecvMultishot(2, fd)
	message, back := []byte("ping"), make([]byte, 16)
	for b.Loop() {
		if _, err := unix.Write(peer, message); err != nil {
			b.Fatal(err)
		}
		c := next(b, r, into)
		id, _ := c.Buffer()
		r.Send(3, fd, r.Buffer(id, int(c.Result)))
		next(b, r, into)
		r.ReturnBuffer(id)
		if _, err := unix.Read(peer, back); err != nil {
			b.Fatal(err)
		}
	}
	endMultishot(b, r, 2)
	endMultishot(b, r, 1)
}

// BenchmarkSocketEcho is BenchmarkEcho by system calls alone.
func BenchmarkSocketEcho(b *testing.B) {
	listener, address := tcpListener(b)
	peer := tcpDial(b, address)
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	message, back := []byte("ping"), make([]byte, 16)
	for b.Loop() {
		for _, pair := range [2][2]int{{peer, fd}, {fd, peer}} {
			if _, err := unix.Write(pair[0], message); err != nil {
				b.Fatal(err)
			}
			if _, err := unix.Read(pair[1], back); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkWakeOfAwakeLoop(b *testing.B) {
	w := testWaker(b)
	for b.Loop() {
		w.Wake()
	}
}

func BenchmarkMailboxPostAndTake(b *testing.B) {
	m := NewMailbox[int](testWaker(b))
	for b.Loop() {
		m.Post(1)
		m.Take()
	}
}
