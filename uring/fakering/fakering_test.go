package fakering

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// conversation runs some peers against an echo server and checks what comes back. It returns the
// ring's digest and the outcomes that the server met.
func conversation(t *testing.T, seed uint64, faults Faults) (digest uint64, seen map[string]int) {
	t.Helper()
	ring := New(Config{Seed: seed, Faults: faults, Buffers: 4, BufferSize: 32})
	listener := ring.Listen()
	server := newEchoServer(ring, listener)
	var peers []*Peer
	var sent [][]byte
	const peersCount, rounds = 6, 10
	for i := range peersCount {
		ring.At(time.Duration(i)*time.Millisecond, func() { peers = append(peers, ring.Dial(listener)) })
	}
	sent = make([][]byte, peersCount)
	got := make([][]byte, peersCount)
	for round := range rounds {
		ring.At(time.Duration(10+round)*time.Millisecond, func() {
			for i, peer := range peers {
				text := bytes.Repeat([]byte(fmt.Sprintf("%d/%d ", i, round)), 1+3*i)
				sent[i] = append(sent[i], text...)
				peer.Write(text)
				if round == rounds-1 {
					peer.CloseWrite()
				}
			}
		})
	}
	allClosed := func() bool {
		for _, peer := range peers {
			if !peer.Closed() {
				return false
			}
		}
		return len(peers) == peersCount
	}
	for start := ring.Now(); !allClosed() && ring.Now().Sub(start) < time.Second; {
		if err := server.tick(time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for i, peer := range peers {
			got[i] = append(got[i], peer.Take()...)
		}
	}
	for i, peer := range peers {
		if peer.Broken() {
			if !bytes.HasPrefix(sent[i], got[i]) {
				t.Errorf("seed %d, peer %d, reset: got %q", seed, i, got[i])
			}
			continue
		}
		if !bytes.Equal(sent[i], got[i]) || !peer.Closed() {
			t.Errorf("seed %d, peer %d: got %q, want %q (closed: %v)", seed, i, got[i], sent[i], peer.Closed())
		}
	}
	if err := server.stop(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	return ring.Digest(), server.seen
}

func TestEchoWithoutFaults(t *testing.T) { conversation(t, 1, Faults{}) }

func TestEchoSurvivesEveryFault(t *testing.T) {
	all := map[string]int{}
	for seed := range uint64(300) {
		_, seen := conversation(t, seed, Harsh())
		for what, n := range seen {
			all[what] += n
		}
		if t.Failed() {
			return
		}
	}
	for _, what := range []string{
		"1 EMFILE", "1 ECONNABORTED", "1 ECANCELED", "accept without More",
		"2 ENOBUFS", "2 ECONNRESET", "receive without More",
		"3 EPIPE", "3 ECONNRESET", "short send",
	} {
		if all[what] == 0 {
			t.Errorf("300 seeds without %q: %v", what, all)
		}
	}
}

func TestSameSeedGivesSameRun(t *testing.T) {
	digests := map[uint64]bool{}
	for seed := range uint64(20) {
		first, _ := conversation(t, seed, Harsh())
		second, _ := conversation(t, seed, Harsh())
		if first != second {
			t.Errorf("seed %d: two runs differ", seed)
		}
		digests[first] = true
	}
	if len(digests) != 20 {
		t.Errorf("20 seeds gave %d different runs", len(digests))
	}
}

// lawless is a ring that collects violations, with an accepted connection.
type lawless struct {
	*Ring
	violations []string
	listener   int
	fd         int
	peer       *Peer
}

func newLawless(t *testing.T) *lawless {
	t.Helper()
	l := &lawless{}
	l.Ring = New(Config{Buffers: 2, BufferSize: 8, Fail: func(v string) { l.violations = append(l.violations, v) }})
	l.listener = l.Listen()
	l.AcceptMultishot(1, l.listener)
	l.peer = l.Dial(l.listener)
	l.fd = int(l.await(t, 1).Result)
	return l
}

// await enters until u has completed.
func (l *lawless) await(t *testing.T, u uring.UserData) uring.Completion {
	t.Helper()
	for range 100 {
		if err := l.Enter(true, time.Second); err != nil {
			t.Fatal(err)
		}
		into := make([]uring.Completion, 1)
		for l.Reap(into) > 0 {
			if into[0].UserData == u {
				return into[0]
			}
		}
	}
	t.Fatalf("no completion of %d", u)
	panic("unreachable")
}

// address is whom the violations connect to.
var address = uring.AppendAddress(nil, netip.MustParseAddrPort("192.0.2.1:80"))

// sentMemory is what the violations send.
var sentMemory = []byte("0123456789")

var violations = []struct {
	name, want string
	do         func(t *testing.T, l *lawless)
}{
	{"two sends at once", "send(user data 0x3", func(t *testing.T, l *lawless) {
		l.Send(2, l.fd, sentMemory)
		l.Send(3, l.fd, sentMemory)
	}},
	{"two receives at once", "in flight", func(t *testing.T, l *lawless) {
		l.RecvMultishot(2, l.fd)
		l.RecvMultishot(3, l.fd)
	}},
	{"two accepts at once", "in flight", func(t *testing.T, l *lawless) { l.AcceptMultishot(2, l.listener) }},
	{"use after close", "after Close", func(t *testing.T, l *lawless) {
		l.Close(2, l.fd)
		l.Send(3, l.fd, sentMemory)
	}},
	{"use after close completed", "after Close", func(t *testing.T, l *lawless) {
		l.Close(2, l.fd)
		l.await(t, 2)
		l.RecvMultishot(3, l.fd)
	}},
	{"close twice", "after Close", func(t *testing.T, l *lawless) {
		l.Close(2, l.fd)
		l.Close(3, l.fd)
	}},
	{"close with a receive in flight", "in flight", func(t *testing.T, l *lawless) {
		l.RecvMultishot(2, l.fd)
		l.Enter(false, 0)
		l.Close(3, l.fd)
	}},
	{"close before the cancelled receive was reaped", "in flight", func(t *testing.T, l *lawless) {
		l.RecvMultishot(2, l.fd)
		l.Cancel(3, 2)
		l.Enter(false, 0)
		l.Close(4, l.fd)
	}},
	{"memory of a send modified", "modified", func(t *testing.T, l *lawless) {
		l.peer.SetWindow(4)
		own := bytes.Clone(sentMemory)
		l.Send(2, l.fd, own)
		l.Enter(false, 0)
		own[9] = '!'
		l.peer.SetWindow(-1)
		l.await(t, 2)
	}},
	{"provided buffer returned while it is sent from", "modified", func(t *testing.T, l *lawless) {
		l.peer.WriteString("ping")
		l.RecvMultishot(2, l.fd)
		id, _ := l.await(t, 2).Buffer()
		l.Send(3, l.fd, l.Buffer(id, 4))
		l.ReturnBuffer(id)
		l.await(t, 3)
	}},
	{"buffer returned twice", "not held", func(t *testing.T, l *lawless) {
		l.peer.WriteString("ping")
		l.RecvMultishot(2, l.fd)
		id, _ := l.await(t, 2).Buffer()
		l.ReturnBuffer(id)
		l.ReturnBuffer(id)
	}},
	{"buffer of a stranger", "not held", func(t *testing.T, l *lawless) { l.Buffer(1, 1) }},
	{"more of a buffer than was received", "only 4 bytes", func(t *testing.T, l *lawless) {
		l.peer.WriteString("ping")
		l.RecvMultishot(2, l.fd)
		id, _ := l.await(t, 2).Buffer()
		l.Buffer(id, 5)
	}},
	{"buffer never returned", "never returned", func(t *testing.T, l *lawless) {
		l.peer.WriteString("ping")
		l.RecvMultishot(2, l.fd)
		l.await(t, 2)
		l.Stop()
	}},
	{"stop with an operation in flight", "Stop with accept", func(t *testing.T, l *lawless) { l.Stop() }},
	{"stop with a connection open", "never closed", func(t *testing.T, l *lawless) { l.Stop() }},
	{"stop before reaping", "was reaped", func(t *testing.T, l *lawless) {
		l.Close(2, l.fd)
		l.Enter(false, 0)
		l.Stop()
	}},
	{"queue after stop", "after Stop", func(t *testing.T, l *lawless) {
		l.Stop()
		l.Send(2, l.fd, sentMemory)
	}},
	{"strange descriptor", "not a descriptor of this ring", func(t *testing.T, l *lawless) { l.RecvMultishot(2, 5) }},
	{"close of a standard stream", "standard stream", func(t *testing.T, l *lawless) { l.Close(2, -1) }},
	{"receive from a listener", "not a connection", func(t *testing.T, l *lawless) { l.RecvMultishot(2, l.listener) }},
	{"connect of a connection", "not an unconnected socket", func(t *testing.T, l *lawless) { l.Connect(2, l.fd, address) }},
	{"two connects at once", "in flight", func(t *testing.T, l *lawless) {
		fd := l.Socket(false)
		l.Connect(2, fd, address)
		l.Connect(3, fd, address)
	}},
	{"close while connecting", "in flight", func(t *testing.T, l *lawless) {
		fd := l.Socket(false)
		l.Connect(2, fd, address)
		l.Close(3, fd)
	}},
	{"send before connecting", "not a connection", func(t *testing.T, l *lawless) { l.Send(2, l.Socket(false), sentMemory) }},
	{"address modified", "modified", func(t *testing.T, l *lawless) {
		own := bytes.Clone(address)
		l.Connect(2, l.Socket(false), own)
		own[4]++
		l.Enter(false, 0)
	}},
	{"stop with a socket open", "never closed", func(t *testing.T, l *lawless) {
		l.Socket(true)
		l.Stop()
	}},
	{"poll beside a receive", "in flight", func(t *testing.T, l *lawless) {
		l.RecvMultishot(2, l.fd)
		l.Poll(3, l.fd, unix.POLLIN)
	}},
	{"poll for something else", "poll of descriptor", func(t *testing.T, l *lawless) { l.Poll(2, l.fd, unix.POLLPRI) }},
	{"splice to a pipe that is not empty", "with 4 bytes in it", func(t *testing.T, l *lawless) {
		_, to := l.Pipe()
		l.peer.WriteString("pingpong")
		l.SpliceIn(l.fd, to, 4)
		l.SpliceIn(l.fd, to, 4)
	}},
	{"splice beside a receive", "with a receive in flight", func(t *testing.T, l *lawless) {
		_, to := l.Pipe()
		l.RecvMultishot(2, l.fd)
		l.SpliceIn(l.fd, to, 4)
	}},
	{"splice beside a send", "with a send in flight", func(t *testing.T, l *lawless) {
		from, to := l.Pipe()
		l.peer.WriteString("ping")
		l.SpliceIn(l.fd, to, 4)
		l.Send(2, l.fd, sentMemory)
		l.SpliceOut(from, l.fd, 4)
	}},
	{"splice of more than there is", "from a pipe with 0", func(t *testing.T, l *lawless) {
		from, _ := l.Pipe()
		l.SpliceOut(from, l.fd, 1)
	}},
	{"splice with a pipe that is closed", "splice of 1 bytes", func(t *testing.T, l *lawless) {
		from, to := l.Pipe()
		l.ClosePipe(from, to)
		l.SpliceIn(l.fd, to, 1)
	}},
	{"pipe closed twice", "not the ends of a pipe", func(t *testing.T, l *lawless) {
		from, to := l.Pipe()
		l.ClosePipe(from, to)
		l.ClosePipe(from, to)
	}},
	{"pipe never closed", "2 descriptors of pipes", func(t *testing.T, l *lawless) {
		l.Pipe()
		l.Stop()
	}},
	{"accept from a connection", "not a listener", func(t *testing.T, l *lawless) { l.AcceptMultishot(2, l.fd) }},
}

func TestViolationsAreReported(t *testing.T) {
	for _, test := range violations {
		t.Run(test.name, func(t *testing.T) {
			l := newLawless(t)
			if len(l.violations) > 0 {
				t.Fatalf("before: %v", l.violations)
			}
			test.do(t, l)
			if !strings.Contains(strings.Join(l.violations, "\n"), test.want) {
				t.Errorf("violations %q: want %q", l.violations, test.want)
			}
		})
	}
}

func TestFailedEnterIsPassedOn(t *testing.T) {
	ring := New(Config{})
	ring.FailEnter(uring.ErrCompletionsLost)
	if err := ring.Enter(true, time.Second); err != uring.ErrCompletionsLost {
		t.Errorf("error %v", err)
	}
	if err := ring.Enter(true, time.Second); err != nil {
		t.Errorf("error of the next: %v", err)
	}
}

func TestOneOperationFails(t *testing.T) {
	l := newLawless(t)
	l.FailOperation(2, unix.EIO)
	l.RecvMultishot(2, l.fd)
	l.Send(3, l.fd, sentMemory)
	if c := l.await(t, 3); c.Result != failure(unix.EIO) {
		t.Errorf("completion %+v", c)
	}
	l.Send(3, l.fd, sentMemory)
	if c := l.await(t, 3); c.Result != int32(len(sentMemory)) {
		t.Errorf("the next: %+v", c)
	}
}

func TestViolationPanicsWithSeedAndRecord(t *testing.T) {
	ring := New(Config{Seed: 4711})
	defer func() {
		message := fmt.Sprint(recover())
		for _, want := range []string{"seed 4711", "user data 0x9", "queue receive"} {
			if !strings.Contains(message, want) {
				t.Errorf("panic %q: want %q", message, want)
			}
		}
	}()
	ring.RecvMultishot(9, 3)
	t.Error("no panic")
}

func TestTimeoutAdvancesVirtualTime(t *testing.T) {
	ring := New(Config{})
	start := ring.Now()
	before := time.Now()
	if err := ring.Enter(true, time.Hour); err != nil {
		t.Fatal(err)
	}
	if passed := ring.Now().Sub(start); passed < time.Hour || passed > time.Hour+time.Second {
		t.Errorf("virtual time passed: %v", passed)
	}
	if real := time.Since(before); real > time.Minute {
		t.Errorf("real time passed: %v", real)
	}
}

func TestEventsRunInOrderOfTheirTime(t *testing.T) {
	ring := New(Config{})
	start := ring.Now()
	var order []string
	note := func(name string, at time.Duration) func() {
		return func() {
			order = append(order, name)
			if passed := ring.Now().Sub(start); passed < at || passed > at+time.Millisecond {
				t.Errorf("%s ran after %v, want %v", name, passed, at)
			}
		}
	}
	ring.At(3*time.Second, note("c", 3*time.Second))
	ring.At(time.Second, note("a", time.Second))
	ring.At(time.Second, note("b", time.Second))
	ring.Enter(true, 10*time.Second)
	if got := strings.Join(order, ""); got != "abc" {
		t.Errorf("order %q", got)
	}
}

func TestIdleIsAskedBeforeTimePasses(t *testing.T) {
	var ring *Ring
	var peer *Peer
	listener, asked := 0, 0
	ring = New(Config{Idle: func() bool {
		asked++
		if asked > 1 {
			return false
		}
		peer = ring.Dial(listener)
		return true
	}})
	listener = ring.Listen()
	ring.AcceptMultishot(1, listener)
	start := ring.Now()
	ring.Enter(true, time.Hour)
	into := make([]uring.Completion, 1)
	if n := ring.Reap(into); n != 1 || into[0].Result < 0 || !peer.Accepted() || ring.Now().Sub(start) > time.Second {
		t.Errorf("completions: %d %+v after %v", n, into[0], ring.Now().Sub(start))
	}
}

func TestEnterWithoutLimitAndNothingToComeIsReported(t *testing.T) {
	violation := ""
	ring := New(Config{Fail: func(v string) { violation = v }, Deadlock: 10 * time.Millisecond})
	ring.Enter(true, -1)
	if !strings.Contains(violation, "nothing to come") {
		t.Errorf("violation %q", violation)
	}
}

func TestSendWaitsForTheWindow(t *testing.T) {
	l := newLawless(t)
	l.peer.SetWindow(3)
	l.Send(2, l.fd, []byte("abcdef"))
	l.Enter(true, time.Second)
	if got := string(l.peer.Take()); got != "abc" || l.Reap(make([]uring.Completion, 1)) != 0 {
		t.Fatalf("peer has %q", got)
	}
	l.peer.SetWindow(10)
	if c := l.await(t, 2); c.Result != 6 || string(l.peer.Take()) != "def" {
		t.Fatalf("completion %+v", c)
	}
}

func TestPartOfASendIsEnough(t *testing.T) {
	l := newLawless(t)
	l.peer.SetWindow(3)
	l.SendPart(2, l.fd, sentMemory, false)
	if c := l.await(t, 2); c.Result != 3 || string(l.peer.Take()) != "012" {
		t.Fatalf("completion %+v", c)
	}
	l.SendPart(3, l.fd, sentMemory[3:], true)
	l.Enter(true, time.Second)
	if l.Reap(make([]uring.Completion, 1)) != 0 {
		t.Fatal("sent without a window")
	}
	l.peer.SetWindow(-1)
	if c := l.await(t, 3); c.Result != 7 || string(l.peer.Take()) != "3456789" {
		t.Fatalf("completion %+v", c)
	}
}

func TestSpliceMovesWhatThereIs(t *testing.T) {
	l := newLawless(t)
	from, to := l.Pipe()
	expect := func(what string, n int, errno unix.Errno, want int, wantErrno unix.Errno) {
		t.Helper()
		if n != want || errno != wantErrno {
			t.Errorf("%s: %d and %v, want %d and %v", what, n, errno, want, wantErrno)
		}
	}
	n, errno := l.SpliceIn(l.fd, to, 10)
	expect("nothing there", n, errno, 0, unix.EAGAIN)
	l.Poll(2, l.fd, unix.POLLIN)
	l.peer.WriteString("abcdef")
	if c := l.await(t, 2); c.Result != unix.POLLIN {
		t.Errorf("completion %+v", c)
	}
	n, errno = l.SpliceIn(l.fd, to, 4)
	expect("some of it", n, errno, 4, 0)
	l.peer.SetWindow(0)
	n, errno = l.SpliceOut(from, l.fd, 4)
	expect("no room", n, errno, 0, unix.EAGAIN)
	l.peer.SetWindow(3)
	n, errno = l.SpliceOut(from, l.fd, 4)
	expect("some room", n, errno, 3, 0)
	l.Poll(3, l.fd, unix.POLLOUT)
	l.Enter(true, time.Second)
	if l.Reap(make([]uring.Completion, 1)) != 0 {
		t.Error("there is no room")
	}
	l.peer.SetWindow(-1)
	l.await(t, 3)
	n, errno = l.SpliceOut(from, l.fd, 1)
	expect("the rest", n, errno, 1, 0)
	if got := string(l.peer.Take()); got != "abcd" {
		t.Errorf("the peer got %q", got)
	}
	l.peer.CloseWrite()
	n, errno = l.SpliceIn(l.fd, to, 10)
	expect("the last", n, errno, 2, 0)
	l.peer.Close()
	n, errno = l.SpliceOut(from, l.fd, 2)
	expect("to nobody", n, errno, 0, unix.EPIPE)
	l.ClosePipe(from, to)
	from, to = l.Pipe()
	n, errno = l.SpliceIn(l.fd, to, 10)
	expect("the end", n, errno, 0, 0)
	l.peer.Reset()
	n, errno = l.SpliceIn(l.fd, to, 10)
	expect("a reset", n, errno, 0, unix.ECONNRESET)
	l.ClosePipe(from, to)
	if len(l.violations) != 0 {
		t.Error(l.violations)
	}
}

func TestReceiveOfOneProvidedBufferEndsWithIt(t *testing.T) {
	l := newLawless(t)
	l.peer.WriteString("01234567abc")
	l.RecvProvided(2, l.fd)
	if c := l.await(t, 2); c.Result != 8 || c.More() {
		t.Fatalf("completion %+v", c)
	}
	l.Enter(true, time.Second)
	if l.Reap(make([]uring.Completion, 1)) != 0 {
		t.Fatal("received twice")
	}
	l.RecvProvided(3, l.fd)
	if c := l.await(t, 3); c.Result != 3 || c.More() {
		t.Fatalf("completion %+v", c)
	}
}

func TestCancelAndTargetCompleteInEitherOrder(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(50) {
		ring := New(Config{Seed: seed})
		ring.AcceptMultishot(1, ring.Listen())
		ring.Cancel(2, 1)
		ring.Cancel(3, 99)
		ring.Enter(true, 0)
		into := make([]uring.Completion, 4)
		order := ""
		for _, c := range into[:ring.Reap(into)] {
			order += fmt.Sprintf("%d:%d ", c.UserData, c.Result)
		}
		orders[order] = true
	}
	for _, want := range []string{"1:-125 2:0 3:-2 ", "2:0 1:-125 3:-2 "} {
		if !orders[want] {
			t.Errorf("never %q: %v", want, orders)
		}
	}
}

func TestEmptyBufferRingEndsReceiveAtOnce(t *testing.T) {
	l := newLawless(t)
	l.RecvMultishot(2, l.fd)
	l.peer.WriteString("01234567abcdefgh...")
	l.Enter(true, time.Second)
	into := make([]uring.Completion, 8)
	if n := l.Reap(into); n != 3 || into[2].Result != failure(unix.ENOBUFS) || into[2].More() {
		t.Fatalf("completions %+v", into[:n])
	}
	l.RecvMultishot(3, l.fd)
	if c := l.await(t, 3); c.Result != failure(unix.ENOBUFS) {
		t.Fatalf("completion %+v", c)
	}
	l.ReturnBuffer(0)
	l.ReturnBuffer(1)
	l.RecvMultishot(4, l.fd)
	if c := l.await(t, 4); c.Result != 3 {
		t.Fatalf("completion %+v", c)
	}
}

func TestMessageReachesTheOtherRing(t *testing.T) {
	a, b := New(Config{}), New(Config{})
	Join(a, b)
	a.Message(1, b.FD(), 77, 5)
	a.Message(2, 3, 77, 5)
	a.Enter(false, 0)
	into := make([]uring.Completion, 4)
	if n := a.Reap(into); n != 1 || into[0].UserData != 2 || into[0].Result != failure(unix.EBADF) {
		t.Fatalf("sender: %+v", into[:n])
	}
	b.Enter(true, -1)
	if n := b.Reap(into); n != 1 || into[0] != (uring.Completion{UserData: 77, Result: 5}) {
		t.Fatalf("receiver: %+v", into[:n])
	}
}

func TestWakerWakesFromAnotherGoroutine(t *testing.T) {
	ring := New(Config{})
	waker, err := uring.NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	defer waker.Close()
	mailbox := uring.NewMailbox[int](waker)
	waker.Arm(ring, 1)
	waker.Sleep()
	go mailbox.Post(42)
	if mailbox.Empty() {
		if err := ring.Enter(true, -1); err != nil {
			t.Fatal(err)
		}
	}
	waker.Awake()
	if got := mailbox.Take(); len(got) != 1 || got[0] != 42 {
		t.Fatalf("mailbox: %v", got)
	}
}

func TestPeerOfAnotherGoroutineIsHeard(t *testing.T) {
	ring := New(Config{})
	listener := ring.Listen()
	ring.AcceptMultishot(1, listener)
	go ring.Dial(listener)
	into := make([]uring.Completion, 1)
	if err := ring.Enter(true, -1); err != nil || ring.Reap(into) != 1 || into[0].Result < 0 {
		t.Fatalf("%v, %+v", err, into)
	}
}

// TestEchoServerRunsOnTheKernelsRing holds the fake to the kernel: the caller that survives here
// works there.
func TestEchoServerRunsOnTheKernelsRing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ring, err := uring.New(uring.Config{Entries: 8, Buffers: 4, BufferSize: 32})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	server := newEchoServer(ring, int(file.Fd()))
	const peersCount = 6
	results := make(chan error, peersCount)
	for i := range peersCount {
		go func() { results <- echoPeer(listener.Addr().String(), bytes.Repeat([]byte{byte('a' + i)}, 5000)) }()
	}
	for done := 0; done < peersCount; {
		if err := server.tick(10 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-results:
			done++
			if err != nil {
				t.Error(err)
			}
		default:
		}
	}
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	if server.seen["2 ENOBUFS"] == 0 {
		t.Error("four buffers of 32 bytes never ran out")
	}
}

// echoPeer sends text and wants it back, followed by the end of the stream.
func echoPeer(address string, text []byte) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		connection.Write(text)
		connection.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(connection)
	if err == nil && !bytes.Equal(back, text) {
		err = fmt.Errorf("%d bytes came back of %d", len(back), len(text))
	}
	return err
}

// TestConnectionGoesOverToAnotherRing: what a peer writes and gets goes on, and its descriptor is known
// where it went to.
func TestConnectionGoesOverToAnotherRing(t *testing.T) {
	var violations []string
	fail := func(v string) { violations = append(violations, v) }
	a, b := New(Config{Fail: fail}), New(Config{Fail: fail})
	Join(a, b)
	listener := a.Listen()
	a.AcceptMultishot(1, listener)
	peer := a.Dial(listener)
	into := make([]uring.Completion, 4)
	a.Enter(true, -1)
	a.Reap(into)
	fd := int(into[0].Result)
	a.RecvMultishot(2, fd)
	a.Cancel(3, 2)
	a.Enter(true, -1)
	if n := a.Reap(into); n != 2 {
		t.Fatalf("%d completions", n)
	}
	peer.WriteString("ping")
	b.RecvMultishot(4, fd)
	b.Send(5, fd, sentMemory)
	b.Enter(true, -1)
	if n := b.Reap(into); n != 2 || into[0].Result != 4 || into[1].Result != int32(len(sentMemory)) {
		t.Errorf("completions %+v", into[:n])
	}
	if got := string(peer.Take()); got != string(sentMemory) || len(violations) != 0 {
		t.Errorf("peer has %q; %q", got, violations)
	}
	a.Send(6, fd, sentMemory)
	if len(violations) != 1 || !strings.Contains(violations[0], "on another ring, with receive") {
		t.Errorf("used by both rings: %q", violations)
	}
}

func TestMessageFails(t *testing.T) {
	a, b := New(Config{Faults: Faults{MessageFails: 1}}), New(Config{})
	Join(a, b)
	a.Message(1, b.FD(), 77, 5)
	a.Enter(false, 0)
	into := make([]uring.Completion, 1)
	if n := a.Reap(into); n != 1 || into[0].Result != failure(unix.EOVERFLOW) {
		t.Errorf("sender: %+v", into[:n])
	}
	b.Enter(false, 0)
	if b.Reap(into) != 0 {
		t.Error("a message that failed arrived")
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	a.config.Faults.MessageFails = 0
	a.Message(1, b.FD(), 77, 5)
	a.Enter(false, 0)
	if n := a.Reap(into); n != 1 || into[0].Result != failure(unix.EBADFD) {
		t.Errorf("to a stopped ring: %+v", into[:n])
	}
}
