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

// What a waiting enter asks of the kernel: one completion, or several if the last tick had many.
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
		gathers       bool
		reaped        uint32
		minimum, wait uint32
	}{
		{true, 0, 1, 0},
		{true, gatherFrom - 1, 1, 0},
		{true, gatherFrom, gatherCompletions, 50},
		{false, gatherFrom, 1, 0},
	} {
		r.gathers, r.reaped = test.gathers, test.reaped
		if err := r.Enter(true, time.Microsecond); err != nil {
			t.Fatal(err)
		}
		if minimum != test.minimum || wait != test.wait {
			t.Errorf("%+v: waits for %d completions, %d µs", test, minimum, wait)
		}
		if r.reaped != 0 {
			t.Errorf("%+v: the count goes on", test)
		}
	}
}

// Gathering ends with the first completion once its time is over, and does not outlast a deadline.
func TestGatheringEnds(t *testing.T) {
	r := testRing(t, Config{})
	if !r.gathers {
		t.Skip("this kernel cannot wait for several completions with a time-out (Linux 6.12)")
	}
	finish(t, r, gatherFrom)
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
	finish(t, r, gatherFrom)
	if err := r.Enter(true, 100*time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if n := r.Reap(one[:]); n != 0 {
		t.Fatalf("%d completions of nothing", n)
	}
}
