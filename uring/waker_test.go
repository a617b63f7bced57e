package uring

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func testWaker(t testing.TB) *Waker {
	t.Helper()
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// disarm ends the armed read before the ring stops.
func disarm(t testing.TB, r Ring, w *Waker) {
	t.Helper()
	w.Signal()
	await(t, r, 1)
}

// signalled tells whether anything was written to the eventfd.
func signalled(t testing.TB, w *Waker) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.FD()), Events: unix.POLLIN}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestWakeWritesOnceAndOnlyIfTheLoopSleeps(t *testing.T) {
	w := testWaker(t)
	w.Wake()
	if signalled(t, w) {
		t.Fatal("written although the loop is awake")
	}
	w.Sleep()
	w.Wake()
	w.Wake()
	w.Wake()
	var counter [8]byte
	if _, err := unix.Read(w.FD(), counter[:]); err != nil || counter != [8]byte{1} {
		t.Fatalf("counter %v, %v; want one write", counter, err)
	}
	w.Sleep()
	w.Awake()
	w.Wake()
	if signalled(t, w) {
		t.Fatal("written although the loop is awake again")
	}
}

func TestWakeEndsTheWaitOfALoop(t *testing.T) {
	r, w := smallRing(t), testWaker(t)
	w.Arm(r, 1)
	for range 3 {
		w.Sleep()
		go w.Wake()
		expectResult(t, r, 1, 8)
		w.Awake()
		w.Arm(r, 1)
	}
	// As a thread does that knows nothing of Go.
	go unix.Write(w.FD(), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	expectResult(t, r, 1, 8)
}

func TestSignalBeforeArmIsNotLost(t *testing.T) {
	r, w := smallRing(t), testWaker(t)
	w.Signal()
	w.Arm(r, 1)
	expectResult(t, r, 1, 8)
}

func TestMailboxKeepsOrderAndGivesEachValueOnce(t *testing.T) {
	m := NewMailbox[int](testWaker(t))
	if !m.Empty() || m.Take() != nil {
		t.Fatal("a new mailbox is not empty")
	}
	for round := range 3 {
		for i := range 5 {
			if !m.Post(10*round + i) {
				t.Fatal("refused")
			}
		}
		if m.Empty() {
			t.Fatal("empty after posts")
		}
		for i, got := range m.Take() {
			if got != 10*round+i {
				t.Fatalf("round %d, value %d: %d", round, i, got)
			}
		}
		if !m.Empty() || len(m.Take()) != 0 {
			t.Fatal("not empty after Take")
		}
	}
}

func TestMailboxDoesNotKeepValuesAlive(t *testing.T) {
	m := NewMailbox[*[1024]byte](testWaker(t))
	freed := make(chan struct{})
	value := new([1024]byte)
	runtime.AddCleanup(value, func(struct{}) { close(freed) }, struct{}{})
	m.Post(value)
	value = nil
	m.Take()
	m.Take()
	for deadline := time.Now().Add(patience); ; runtime.GC() {
		select {
		case <-freed:
			runtime.KeepAlive(m)
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("a value taken before the last Take is still alive")
		}
	}
}

func TestClosedMailboxRefusesPostsAndGivesTheRest(t *testing.T) {
	w := testWaker(t)
	m := NewMailbox[string](w)
	m.Post("a")
	if rest := m.Close(); len(rest) != 1 || rest[0] != "a" {
		t.Errorf("rest %v", rest)
	}
	w.Sleep()
	if m.Post("b") || !m.Empty() || signalled(t, w) {
		t.Error("a closed mailbox accepted a post or woke its loop")
	}
}

// TestNoPostIsLostBetweenLookAndSleep hammers the protocol of Waker's doc comment: a lost wake-up
// would leave the loop asleep with a value in its mailbox.
func TestNoPostIsLostBetweenLookAndSleep(t *testing.T) {
	r, w := smallRing(t), testWaker(t)
	m := NewMailbox[int](w)
	const posters, posts = 4, 2000
	var all sync.WaitGroup
	for range posters {
		all.Go(func() {
			for i := range posts {
				m.Post(i)
				if i%16 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	w.Arm(r, 1)
	into := make([]Completion, 4)
	taken := 0
	for deadline := time.Now().Add(patience); taken < posters*posts; {
		w.Sleep()
		timeout := patience
		if !m.Empty() {
			timeout = 0
		}
		if err := r.Enter(true, timeout); err != nil {
			t.Fatal(err)
		}
		w.Awake()
		for _, c := range into[:r.Reap(into)] {
			if c.UserData == 1 {
				w.Arm(r, 1)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d values of %d", taken, posters*posts)
		}
		taken += len(m.Take())
	}
	all.Wait()
	disarm(t, r, w)
}

// TestClaimedWakeIsTheClaimers: who has claimed a sleeping loop wakes it, and nobody else does.
func TestClaimedWakeIsTheClaimers(t *testing.T) {
	w := testWaker(t)
	m := NewMailbox[int](w)
	if w.Claim() || w.IsAsleep() {
		t.Error("claimed a loop that is awake")
	}
	w.Sleep()
	if !m.Put(1) || m.Empty() || !w.IsAsleep() || signalled(t, w) {
		t.Error("Put woke the loop, or put nothing")
	}
	if !w.Claim() || w.Claim() || w.IsAsleep() {
		t.Error("not claimed exactly once")
	}
	if m.Post(2); signalled(t, w) {
		t.Error("a second one woke the loop")
	}
}

// TestMessageToFullRingIsNotLost: a message to a ring whose completion queue is full waits there.
func TestMessageToFullRingIsNotLost(t *testing.T) {
	from, to := smallRing(t), smallRing(t)
	messages := 2 * len(to.cqes)
	for i := range messages {
		from.Message(1, to.FD(), UserData(i), 0)
		if err := from.Enter(false, 0); err != nil || from.ready() != 0 {
			t.Fatalf("message %d: %d completions, %v", i, from.ready(), err)
		}
	}
	into, seen := make([]Completion, 4), 0
	for seen < messages {
		if err := to.Enter(true, patience); err != nil {
			t.Fatal(err)
		}
		n := to.Reap(into)
		if n == 0 {
			t.Fatalf("%d messages of %d", seen, messages)
		}
		for _, c := range into[:n] {
			if c.UserData != UserData(seen) {
				t.Fatalf("message %d: %+v", seen, c)
			}
			seen++
		}
	}
}
