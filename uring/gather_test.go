package uring

import (
	"syscall"
	"testing"
	"time"
)

// finish queues n operations that complete at once, and enters and reaps until they have.
func finish(t *testing.T, r *KernelRing, n int) {
	t.Helper()
	for range n {
		r.Nop(Pack(1, 0, 0))
	}
	into := make([]Completion, n)
	for done := 0; done < n; {
		if err := r.Enter(true, -1); err != nil {
			t.Fatal(err)
		}
		done += r.Reap(into)
	}
}

// What a waiting enter asks of the kernel: one completion, or several if the last tick had much news.
func TestGathersOnlyWhenBusy(t *testing.T) {
	r := testRing(t, Config{})
	var minimum, wait uint32
	kernel := r.enter
	r.enter = func(fd int, submit, least, flags uint32, argument *getEventsArgument) syscall.Errno {
		minimum, wait = least, 0
		if argument != nil {
			wait = argument.minimumWait
		}
		return kernel(fd, submit, least, flags, argument)
	}
	for _, test := range []struct {
		gathers                      bool
		reaped, atOnce, sends, hoped uint32
		minimum, wait                uint32
	}{
		{true, 0, 0, 0, 9, 1, 0},
		{true, gatherFrom - 1, 0, 0, 9, 1, 0},
		{true, gatherFrom, 0, 0, 3, 4, 50},
		{true, 20, 20, 0, 9, 1, 0}, // all of it was sent
		{true, 20, 21, 0, 9, 1, 0},
		{true, 20, 8, 0, 9, 10, 50},
		{true, 20, 8, 7, 9, 17, 50}, // what is sent now does not count either
		{true, 200, 0, 0, gatherCompletions, gatherCompletions, 50},
		{true, 8, 0, 0, 12, 6, 50}, // fewer came than were hoped for
		{false, 200, 0, 0, 9, 1, 0},
	} {
		r.gathers, r.reaped, r.atOnce, r.sends, r.hoped = test.gathers, test.reaped, test.atOnce, test.sends, test.hoped
		if err := r.Enter(true, time.Microsecond); err != nil {
			t.Fatal(err)
		}
		if minimum != test.minimum || wait != test.wait {
			t.Errorf("%+v: waits for %d completions, %d µs", test, minimum, wait)
		}
		if r.reaped != 0 || r.sends != 0 || r.atOnce != test.sends {
			t.Errorf("%+v: the counts go on: %d %d %d", test, r.reaped, r.sends, r.atOnce)
		}
	}
}

// Gathering ends with the first completion once its time is over, and does not outlast a deadline.
func TestGatheringEnds(t *testing.T) {
	r := testRing(t, Config{})
	if !r.gathers {
		t.Skip("this kernel cannot wait for several completions with a time-out (Linux 6.12)")
	}
	finish(t, r, gatherCompletions)
	r.hoped = gatherCompletions
	if r.gathering() != gatherCompletions {
		t.Fatal("the ring does not gather")
	}
	r.Nop(Pack(2, 0, 0))
	if err := r.Enter(true, -1); err != nil {
		t.Fatal(err)
	}
	var one [1]Completion
	if r.Reap(one[:]) != 1 {
		t.Fatal("no completion after the wait")
	}
	finish(t, r, gatherCompletions)
	if err := r.Enter(true, 100*time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if n := r.Reap(one[:]); n != 0 {
		t.Fatalf("%d completions of nothing", n)
	}
}

// What counts as sent at once is what a socket most likely has room for.
func TestOnlySmallSendsCountAsSentAtOnce(t *testing.T) {
	r := testRing(t, Config{})
	for _, size := range []int{1, sentAtOnce, sentAtOnce + 1, 1 << 20} {
		r.sends = 0
		r.Send(Pack(1, 0, 0), -1, make([]byte, size))
		if counted := r.sends == 1; counted != (size <= sentAtOnce) {
			t.Errorf("%d bytes: %v", size, counted)
		}
	}
	into := make([]Completion, 4)
	for done := 0; done < len(into); { // EBADF
		if err := r.Enter(true, -1); err != nil {
			t.Fatal(err)
		}
		done += r.Reap(into)
	}
}
