package uring

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scriptedEnter replaces the system call: each call takes the next errno, 0 enters the kernel.
type scriptedEnter struct {
	errnos []syscall.Errno
	calls  []enterCall
}

type enterCall struct {
	submit, minimum, flags uint32
	timeout                time.Duration // -1: none
}

func (s *scriptedEnter) install(r *KernelRing) {
	r.enter = func(fd int, submit, minimum, flags uint32, argument *getEventsArgument) syscall.Errno {
		call := enterCall{submit, minimum, flags, -1}
		if argument != nil {
			call.timeout = time.Duration(r.timeout.Nano())
		}
		s.calls = append(s.calls, call)
		if len(s.errnos) > 0 {
			errno := s.errnos[0]
			s.errnos = s.errnos[1:]
			if errno != 0 {
				return errno
			}
		}
		return enterKernel(fd, submit, minimum, flags, argument)
	}
}

func TestEnterOutcomesThatAreNotErrors(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.EINTR, unix.ETIME, unix.EBUSY, unix.EAGAIN} {
		r := smallRing(t)
		script := &scriptedEnter{errnos: []syscall.Errno{errno}}
		script.install(r)
		r.Nop(1)
		if err := r.Enter(false, 0); err != nil {
			t.Errorf("%s: %v", unix.ErrnoName(errno), err)
		}
		if n := r.Reap(make([]Completion, 1)); n != 0 {
			t.Errorf("%s: %d completions", unix.ErrnoName(errno), n)
		}
		// What was not submitted is, next time.
		expectResult(t, r, 1, 0)
	}
}

func TestEnterErrorsOfTheRing(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		unix.EBADR:  ErrCompletionsLost,
		unix.EEXIST: ErrWrongThread,
		unix.EFAULT: unix.EFAULT,
	} {
		r := smallRing(t)
		(&scriptedEnter{errnos: []syscall.Errno{errno}}).install(r)
		if err := r.Enter(true, -1); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", unix.ErrnoName(errno), err, want)
		}
	}
}

func TestEnterSleepsWithoutSubmittingWhileTheKernelRefuses(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.EBUSY, unix.EAGAIN} {
		r := smallRing(t)
		script := &scriptedEnter{errnos: []syscall.Errno{errno}}
		script.install(r)
		r.Nop(1)
		if err := r.Enter(true, -1); err != nil {
			t.Fatal(err)
		}
		if len(script.calls) != 2 || script.calls[0].submit != 1 || script.calls[1].submit != 0 ||
			script.calls[1].timeout != congestedWaitMax || script.calls[1].minimum != 1 {
			t.Errorf("%s: calls %+v", unix.ErrnoName(errno), script.calls)
		}
		expectResult(t, r, 1, 0)
	}
}

func TestEnterDoesNotSleepOnCompletionsNotReaped(t *testing.T) {
	r := smallRing(t)
	r.Nop(1)
	if err := r.Enter(true, -1); err != nil {
		t.Fatal(err)
	}
	script := &scriptedEnter{}
	script.install(r)
	if err := r.Enter(true, -1); err != nil {
		t.Fatal(err)
	}
	if len(script.calls) != 1 || script.calls[0].minimum != 0 {
		t.Errorf("calls %+v", script.calls)
	}
	expectResult(t, r, 1, 0)
}

func TestOperationsWaitInOrderWhileTheKernelRefuses(t *testing.T) {
	r := smallRing(t)
	// All enters are refused while 20 operations are queued on 8 entries.
	refusals := make([]syscall.Errno, 100)
	for i := range refusals {
		refusals[i] = unix.EAGAIN
	}
	script := &scriptedEnter{errnos: refusals}
	script.install(r)
	const operations = 20
	const refused = 15
	for i := range refused {
		r.Nop(UserData(i))
	}
	if err := r.Enter(false, 0); err != nil {
		t.Fatal(err)
	}
	if len(r.backlog) != refused-8 {
		t.Fatalf("backlog of %d", len(r.backlog))
	}
	script.errnos = nil
	for i := refused; i < operations; i++ {
		r.Nop(UserData(i)) // the kernel would take it, but others were here before
	}
	for i, c := range await(t, r, operations) {
		if c.UserData != UserData(i) {
			t.Fatalf("completion %d: %+v", i, c)
		}
	}
	if len(r.backlog) != 0 {
		t.Errorf("backlog of %d", len(r.backlog))
	}
}

// TestFailingOperationDoesNotHoldUpThoseBehindIt is what SUBMIT_ALL is for.
func TestFailingOperationDoesNotHoldUpThoseBehindIt(t *testing.T) {
	r := smallRing(t)
	r.push(entry{OpCode: 0xff, Fd: -1, UserData: 1})
	r.Nop(2)
	if err := r.Enter(false, 0); err != nil {
		t.Fatal(err)
	}
	into := make([]Completion, 3)
	if n := r.Reap(into); n != 2 || into[0].Result != -int32(unix.EINVAL) || into[1].Result != 0 {
		t.Errorf("completions %+v", into[:n])
	}
}

func TestFatalErrorWhileQueueingIsReportedByEnter(t *testing.T) {
	r := smallRing(t)
	(&scriptedEnter{errnos: []syscall.Errno{unix.EBADR}}).install(r)
	for i := range 9 {
		r.Nop(UserData(i))
	}
	if err := r.Enter(false, 0); !errors.Is(err, ErrCompletionsLost) {
		t.Errorf("error %v", err)
	}
}

func TestReapInPiecesAndAroundTheEndOfTheQueue(t *testing.T) {
	r := smallRing(t)
	next, reaped := 0, 0
	into := make([]Completion, 3)
	for reaped < 10*len(r.cqes) {
		for range 5 {
			r.Nop(UserData(next))
			next++
		}
		if err := r.Enter(false, 0); err != nil {
			t.Fatal(err)
		}
		for n := r.Reap(into); n > 0; n = r.Reap(into) {
			for _, c := range into[:n] {
				if c.UserData != UserData(reaped) {
					t.Fatalf("completion %d: %+v", reaped, c)
				}
				reaped++
			}
		}
	}
	if r.Reap(nil) != 0 {
		t.Error("reaped into nothing")
	}
}

func TestTimeoutStillSubmits(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	r.RecvMultishot(1, ours)
	if err := r.Enter(true, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if n := r.queued(); n != 0 {
		t.Fatalf("%d operations not submitted", n)
	}
	// Received with no further submission.
	write(t, theirs, []byte("x"))
	r.ReturnBuffer(mustBuffer(t, expectResult(t, r, 1, 1)))
	endMultishot(t, r, 1)
}

func mustBuffer(t testing.TB, c Completion) uint16 {
	t.Helper()
	id, ok := c.Buffer()
	if !ok {
		t.Fatalf("no buffer: %+v", c)
	}
	return id
}

func TestExpiredWaitReportsETIMEOnlyIfNothingWasSubmitted(t *testing.T) {
	r := smallRing(t)
	if errno := r.getEvents(0, 1, time.Millisecond); errno != unix.ETIME {
		t.Errorf("nothing to submit: %v, want ETIME", errno)
	}
	ours, _ := socketPair(t)
	r.RecvMultishot(1, ours)
	if errno := r.getEvents(r.flush(), 1, time.Millisecond); errno != 0 {
		t.Errorf("one to submit: %v, want success", errno)
	}
	endMultishot(t, r, 1)
}

// elsewhere runs f on a locked thread of its own and waits for it.
func elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

func TestOtherThreadsUseGivesEEXIST(t *testing.T) {
	r := smallRing(t)
	elsewhere(func() {
		r.Nop(1)
		if err := r.Enter(false, 0); err != ErrWrongThread {
			t.Errorf("error %v, want %v", err, ErrWrongThread)
		}
	})
	expectResult(t, r, 1, 0)
}

func TestNothingCompletesWithoutGetEvents(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	r.RecvMultishot(1, ours)
	if errno := r.enter(r.fd, r.flush(), 0, 0, nil); errno != 0 {
		t.Fatal(errno)
	}
	write(t, theirs, []byte("x"))
	if errno := r.enter(r.fd, 0, 0, 0, nil); errno != 0 {
		t.Fatal(errno)
	}
	if n := r.ready(); n != 0 {
		t.Errorf("%d completions without GETEVENTS", n)
	}
	r.ReturnBuffer(mustBuffer(t, expectResult(t, r, 1, 1)))
	endMultishot(t, r, 1)
}

func TestMessageWakesSleepingRing(t *testing.T) {
	type address struct{ fd, thread int }
	ready, received := make(chan address), make(chan Completion)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		sleeper, err := New(Config{Entries: 8, Buffers: 4})
		if err != nil {
			t.Error(err)
			close(ready)
			return
		}
		ready <- address{sleeper.FD(), unix.Gettid()}
		into := make([]Completion, 1)
		for sleeper.Reap(into) == 0 {
			if err := sleeper.Enter(true, -1); err != nil {
				t.Error(err)
				break
			}
		}
		received <- into[0]
		if err := sleeper.Stop(); err != nil {
			t.Error(err)
		}
		close(received)
	}()
	to, ok := <-ready
	if !ok {
		return
	}
	awaitSleep(t, to.thread)
	r := smallRing(t)
	payload := Pack(9, 8, 7)
	r.Message(1, to.fd, payload, -42)
	if err := r.Enter(false, 0); err != nil || r.ready() != 0 {
		t.Errorf("%d completions where it was sent, %v", r.ready(), err)
	}
	if c := <-received; c.UserData != payload || c.Result != -42 || c.Flags != 0 {
		t.Errorf("completion %+v", c)
	}
	<-received
	// A ring that is gone, and a descriptor that is no ring, are results and not errors.
	r.Message(2, 1<<20, payload, 0)
	expectResult(t, r, 2, -int32(unix.EBADF))
	ours, _ := socketPair(t)
	r.Message(3, ours, payload, 0)
	expectResult(t, r, 3, -int32(unix.EBADFD))
}

// awaitSleep returns when a thread of this process sleeps in the kernel.
func awaitSleep(t testing.TB, thread int) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", thread))
		if err != nil {
			t.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscan(string(stat), &number); err == nil && number == unix.SYS_IO_URING_ENTER {
			return
		}
	}
	t.Fatal("the thread does not sleep in io_uring_enter")
}

func TestSignalEndsWaitWithoutError(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	defer signal.Stop(signals)
	thread, returned := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r, err := New(Config{Entries: 8, Buffers: 4})
		if err != nil {
			thread <- -1
			returned <- err
			return
		}
		thread <- unix.Gettid()
		returned <- errors.Join(r.Enter(true, -1), r.Stop())
	}()
	id := <-thread
	if id >= 0 {
		awaitSleep(t, id)
		if err := unix.Tgkill(unix.Getpid(), id, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-returned; err != nil {
		t.Error(err)
	}
}

// TestWaitingEnterDoesNotHoldUpTheCollector sees that a collection leaves a waiting loop alone. If
// the system call were raw, the runtime would have to interrupt the thread to stop it.
func TestWaitingEnterDoesNotHoldUpTheCollector(t *testing.T) {
	waker := testWaker(t)
	thread, enters := make(chan int), make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r, err := New(Config{Entries: 8, Buffers: 4})
		if err != nil {
			panic(err)
		}
		waker.Arm(r, 1)
		thread <- unix.Gettid()
		n := 0
		for into := make([]Completion, 1); r.Reap(into) == 0; n++ {
			if err := r.Enter(true, -1); err != nil {
				panic(err)
			}
		}
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		enters <- n
	}()
	awaitSleep(t, <-thread)
	runtime.GC()
	waker.Signal()
	if n := <-enters; n != 1 {
		t.Errorf("%d enters until the signal: the collector interrupted the wait", n)
	}
}
