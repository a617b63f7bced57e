package uring

import (
	"testing"

	"golang.org/x/sys/unix"
)

// noAllocations fails if f allocates, on average over many runs.
func noAllocations(t *testing.T, name string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(500, f); n != 0 {
		t.Errorf("%s: %v allocations", name, n)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	kernel := testRing(t, Config{Entries: 64, Buffers: 16})
	var r Ring = kernel // as a loop has it
	ours, theirs := socketPair(t)
	into := make([]Completion, 16)
	message := []byte("ping")
	back := make([]byte, 16)
	// enter counts what has completed.
	enter := func() int {
		if err := r.Enter(true, patience); err != nil {
			t.Fatal(err)
		}
		return r.Reap(into)
	}
	noAllocations(t, "no-operation", func() {
		kernel.Nop(1)
		enter()
	})
	r.RecvMultishot(1, ours)
	noAllocations(t, "echo", func() {
		if _, err := unix.Write(theirs, message); err != nil {
			t.Fatal(err)
		}
		for enter() == 0 {
		}
		id, _ := into[0].Buffer()
		r.Send(2, ours, r.Buffer(id, int(into[0].Result)))
		for enter() == 0 {
		}
		r.ReturnBuffer(id)
		if _, err := unix.Read(theirs, back); err != nil {
			t.Fatal(err)
		}
	})
	noAllocations(t, "cancel", func() {
		r.Cancel(3, 99)
		enter()
	})
	noAllocations(t, "message", func() {
		r.Message(4, r.FD(), 5, 6)
		for enter() == 0 {
		}
	})
	noAllocations(t, "full submission queue", func() {
		for range 100 {
			kernel.Nop(1)
		}
		for n := 0; n < 100; n += enter() {
		}
	})
	endMultishot(t, r, 1)
}

func TestWakingDoesNotAllocate(t *testing.T) {
	w := testWaker(t)
	m := NewMailbox[[4]uint64](w)
	counter := make([]byte, 8)
	noAllocations(t, "mailbox", func() {
		for i := range uint64(10) {
			m.Post([4]uint64{i})
		}
		m.Take()
	})
	noAllocations(t, "wake", func() {
		w.Sleep()
		w.Wake()
		if _, err := unix.Read(w.FD(), counter); err != nil {
			t.Fatal(err)
		}
		w.Awake()
	})
}
