package uring

import (
	"bytes"
	"os"
	"os/signal"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel does, as far as callers of this package rely on it. Each test is named after the
// fact.

// holdAll takes all four buffers of a small ring and leaves the receive u armed.
func holdAll(t *testing.T, r *KernelRing, u UserData, fd, peer int) []Completion {
	t.Helper()
	r.RecvMultishot(u, fd)
	expectNothing(t, r)
	write(t, peer, []byte(strings.Repeat("x", 4*64)))
	all := await(t, r, 4)
	for _, c := range all {
		if c.UserData != u || c.Result != 64 || !c.More() {
			t.Fatalf("completions %+v", all)
		}
	}
	return all
}

func TestEmptyBufferRingGivesENOBUFSAtOnceEvenWithoutData(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	all := holdAll(t, r, 1, ours, theirs)
	expectNothing(t, r) // a receive that is armed already stays so
	silent, _ := socketPair(t)
	r.RecvMultishot(2, silent)
	if c := expectResult(t, r, 2, -int32(unix.ENOBUFS)); c.More() {
		t.Fatalf("completion %+v", c)
	}
	// One returned buffer is enough to arm.
	r.ReturnBuffer(mustBuffer(t, all[0]))
	r.RecvMultishot(3, silent)
	expectNothing(t, r)
	endMultishot(t, r, 3)
	endMultishot(t, r, 1)
}

func TestOneSenderCanDrainTheBufferRing(t *testing.T) {
	r := smallRing(t)
	modest, modestPeer := socketPair(t)
	r.RecvMultishot(2, modest)
	expectNothing(t, r)
	greedy, greedyPeer := socketPair(t)
	all := holdAll(t, r, 1, greedy, greedyPeer)
	write(t, modestPeer, []byte("y"))
	if c := expectResult(t, r, 2, -int32(unix.ENOBUFS)); c.More() {
		t.Fatalf("the modest receiver: %+v", c)
	}
	// What was sent is there once a buffer is.
	r.ReturnBuffer(mustBuffer(t, all[0]))
	r.RecvMultishot(3, modest)
	c := expectResult(t, r, 3, 1)
	if got := r.Buffer(mustBuffer(t, c), 1); string(got) != "y" {
		t.Errorf("received %q", got)
	}
	endMultishot(t, r, 3)
	endMultishot(t, r, 1)
}

func TestBuffersCanBeReturnedBeyondTheTailsSixteenBits(t *testing.T) {
	r := testRing(t, Config{Entries: 64, Buffers: 4, BufferSize: 64})
	ours, theirs := socketPair(t)
	r.RecvMultishot(1, ours)
	into := make([]Completion, 8)
	batch := []byte(strings.Repeat("x", 64*3))
	for returned := 0; returned < 1<<16+100; {
		write(t, theirs, batch)
		for got := 0; got < len(batch); {
			if err := r.Enter(true, patience); err != nil {
				t.Fatal(err)
			}
			n := r.Reap(into)
			if n == 0 {
				t.Fatalf("nothing received after %d buffers", returned)
			}
			for _, c := range into[:n] {
				if c.Result < 0 || !c.More() {
					t.Fatalf("after %d buffers: %+v", returned, c)
				}
				got += int(c.Result)
				r.ReturnBuffer(mustBuffer(t, c))
				returned++
			}
		}
	}
	endMultishot(t, r, 1)
}

func TestBuffersReturnedInAnyOrderKeepTheirMemory(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	held := holdAll(t, r, 1, ours, theirs)
	for round := range 3 {
		for i := len(held) - 1; i >= 0; i-- {
			r.ReturnBuffer(mustBuffer(t, held[i]))
		}
		expectNothing(t, r)
		held = held[:0]
		for i := range 4 {
			text := strings.Repeat(string(rune('a'+4*round+i)), 64)
			write(t, theirs, []byte(text))
			c := expectResult(t, r, 1, 64)
			if got := string(r.Buffer(mustBuffer(t, c), 64)); got != text {
				t.Fatalf("round %d: received %q, want %q", round, got, text)
			}
			held = append(held, c)
		}
	}
	endMultishot(t, r, 1)
}

func TestReturnedBuffersAreShownByEnterOnly(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	r.RecvMultishot(1, ours)
	write(t, theirs, []byte("x"))
	id := mustBuffer(t, expectResult(t, r, 1, 1))
	before := r.buffers.entries[0].Tail
	r.ReturnBuffer(id)
	if after := r.buffers.entries[0].Tail; after != before {
		t.Errorf("tail moved from %d to %d before Enter", before, after)
	}
	expectNothing(t, r)
	if after := r.buffers.entries[0].Tail; after != before+1 {
		t.Errorf("tail %d after Enter, want %d", after, before+1)
	}
	endMultishot(t, r, 1)
}

func TestBufferReturnedTwicePanics(t *testing.T) {
	r := smallRing(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	r.ReturnBuffer(0)
}

func TestBufferCannotBeAppendedToOrExceeded(t *testing.T) {
	r := smallRing(t)
	if b := r.Buffer(1, 10); len(b) != 10 || cap(b) != 10 {
		t.Errorf("length %d, capacity %d", len(b), cap(b))
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	r.Buffer(1, 65)
}

// TestOverflowEndsMultishotWithASuccessAndLosesNothing fills the completion queue with one accept.
func TestOverflowEndsMultishotWithASuccessAndLosesNothing(t *testing.T) {
	r := testRing(t, Config{Entries: 1, Buffers: 1, BufferSize: 64}) // a completion queue of 8
	listener, address := tcpListener(t)
	r.AcceptMultishot(1, listener)
	expectNothing(t, r)
	const connections = 12
	for range connections {
		tcpDial(t, address)
	}
	all := await(t, r, len(r.cqes))
	for range 3 { // what overflowed comes with later enters
		if err := r.Enter(false, 0); err != nil {
			t.Fatal(err)
		}
		into := make([]Completion, 64)
		all = append(all, into[:r.Reap(into)]...)
	}
	last := all[len(all)-1]
	if last.More() || last.Result < 0 {
		t.Fatalf("last completion %+v of %d, want a success without More", last, len(all))
	}
	for i, c := range all[:len(all)-1] {
		if c.Result < 0 || !c.More() {
			t.Fatalf("completion %d: %+v", i, c)
		}
	}
	r.AcceptMultishot(1, listener)
	all = append(all, await(t, r, connections-len(all))...)
	if len(all) != connections {
		t.Errorf("%d connections accepted of %d", len(all), connections)
	}
	for _, c := range all {
		unix.Close(int(c.Result))
	}
	endMultishot(t, r, 1)
}

func TestOverflowKeepsCompletionsOfSingleOperations(t *testing.T) {
	r := testRing(t, Config{Entries: 1, Buffers: 1, BufferSize: 64})
	const operations = 100
	for i := range operations {
		r.Nop(UserData(i)) // one entry: each but the last is submitted by its successor
	}
	for i, c := range await(t, r, operations) {
		if c.UserData != UserData(i) {
			t.Fatalf("completion %d: %+v", i, c)
		}
	}
}

func TestFileLimitEndsAcceptWithEMFILE(t *testing.T) {
	r := smallRing(t)
	listener, address := tcpListener(t)
	peer := tcpDial(t, address)
	free, err := unix.Dup(listener) // the lowest free descriptor
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: uint64(free), Max: limit.Max}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &low, nil); err != nil {
		t.Fatal(err)
	}
	r.AcceptMultishot(1, listener)
	err = r.Enter(true, patience)
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	into := make([]Completion, 2)
	if n := r.Reap(into); n != 1 || into[0].Result != -int32(unix.EMFILE) || into[0].More() {
		t.Fatalf("completions %+v", into[:n])
	}
	// The connection still waits.
	r.AcceptMultishot(2, listener)
	c := expect(t, r, 2)
	if c.Result < 0 {
		t.Fatalf("completion %+v", c)
	}
	unix.Close(int(c.Result))
	unix.Close(peer)
	endMultishot(t, r, 2)
}

func TestCloseEndsNothing(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	fd, err := unix.Dup(ours)
	if err != nil {
		t.Fatal(err)
	}
	r.RecvMultishot(1, fd)
	expectNothing(t, r)
	r.Close(2, fd)
	expectResult(t, r, 2, 0)
	expectNothing(t, r)
	// The receive of the closed descriptor still takes bytes from who has the socket otherwise.
	write(t, theirs, []byte("x"))
	r.ReturnBuffer(mustBuffer(t, expectResult(t, r, 1, 1)))
	endMultishot(t, r, 1)
}

func TestCancelOfWhatIsNotInFlightGivesENOENT(t *testing.T) {
	r := smallRing(t)
	r.Cancel(1, 99)
	expectResult(t, r, 1, -int32(unix.ENOENT))
	r.Nop(2)
	r.Cancel(3, 2)
	all := await(t, r, 2)
	if find(t, all, 2).Result != 0 || find(t, all, 3).Result != -int32(unix.ENOENT) {
		t.Errorf("completions %+v", all)
	}
}

func TestCancelledSendReportsWhatItSent(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	big := make([]byte, 8<<20)
	r.Send(1, ours, big)
	expectNothing(t, r)
	r.Cancel(2, 1)
	all := await(t, r, 2)
	c := find(t, all, 1)
	if find(t, all, 2).Result != 0 || c.Result <= 0 || int(c.Result) >= len(big) {
		t.Fatalf("completions %+v", all)
	}
	unix.Shutdown(ours, unix.SHUT_WR)
	got := 0
	for chunk := make([]byte, 1<<16); ; {
		n, err := unix.Read(theirs, chunk)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got += n
	}
	if got != int(c.Result) {
		t.Errorf("%d bytes arrived, %d reported", got, c.Result)
	}
}

// drain reads fd to its end.
func drain(fd int, into chan<- []byte) {
	var all []byte
	chunk := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, chunk)
		if n <= 0 || err != nil {
			into <- all
			return
		}
		all = append(all, chunk[:n]...)
	}
}

func TestSendWithWAITALLGoesOnUntilAllIsSent(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	big := make([]byte, 4<<20)
	for i := range big {
		big[i] = byte(i >> 8)
	}
	r.Send(1, ours, big)
	expectNothing(t, r) // the socket's buffer is full, and the operation goes on
	received := make(chan []byte)
	go drain(theirs, received)
	expectResult(t, r, 1, int32(len(big)))
	unix.Shutdown(ours, unix.SHUT_WR)
	if got := <-received; !bytes.Equal(got, big) {
		t.Errorf("received %d bytes, or others", len(got))
	}
}

func TestSendWithoutWAITALLIsShort(t *testing.T) {
	r := smallRing(t)
	ours, _ := socketPair(t)
	big := make([]byte, 4<<20)
	r.SendPart(1, ours, big, false)
	if c := expect(t, r, 1); c.Result <= 0 || int(c.Result) >= len(big) {
		t.Errorf("completion %+v: MSG_WAITALL is not needed", c)
	}
}

func TestSendThatAwaitsRoomDoesNotFillTheLastOfIt(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	big := make([]byte, 4<<20)
	r.SendPart(1, ours, big, false)
	sent := int(expect(t, r, 1).Result)
	r.SendPart(2, ours, big[sent:], true)
	expectNothing(t, r)
	received := make(chan []byte)
	go drain(theirs, received)
	more := int(expect(t, r, 2).Result)
	unix.Shutdown(ours, unix.SHUT_WR)
	if got := len(<-received); more <= 0 || got != sent+more {
		t.Errorf("%d bytes received of %d and %d", got, sent, more)
	}
}

func TestPollTellsOfInputRoomAndTheEnd(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	r.Poll(1, ours, unix.POLLIN)
	expectNothing(t, r)
	write(t, theirs, []byte("x"))
	if c := expect(t, r, 1); c.Result != unix.POLLIN || c.More() {
		t.Errorf("completion %+v", c)
	}
	r.SendPart(2, ours, make([]byte, 4<<20), false)
	expect(t, r, 2)
	r.Poll(3, ours, unix.POLLOUT)
	expectNothing(t, r)
	received := make(chan []byte)
	go drain(theirs, received)
	if c := expect(t, r, 3); c.Result != unix.POLLOUT {
		t.Errorf("completion %+v", c)
	}
	unix.Shutdown(ours, unix.SHUT_WR)
	<-received

	ended, peer := socketPair(t)
	unix.Shutdown(peer, unix.SHUT_WR)
	r.Poll(4, ended, unix.POLLIN)
	if c := expect(t, r, 4); c.Result <= 0 || c.Result&unix.POLLIN == 0 {
		t.Errorf("at the end: %+v", c)
	}
	silent, _ := socketPair(t)
	r.Poll(5, silent, unix.POLLIN)
	r.Cancel(6, 5)
	if all := await(t, r, 2); find(t, all, 5).Result != -int32(unix.ECANCELED) || find(t, all, 6).Result != 0 {
		t.Errorf("cancelled: %+v", all)
	}
}

func TestOperationsWaitThoughTheirSocketDoesNot(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	if err := unix.SetNonblock(ours, true); err != nil {
		t.Fatal(err)
	}
	into := make([]byte, 4)
	r.Recv(1, ours, into)
	expectNothing(t, r)
	write(t, theirs, []byte("x"))
	expectResult(t, r, 1, 1)
	r.RecvProvided(2, ours)
	expectNothing(t, r)
	write(t, theirs, []byte("y"))
	expectResult(t, r, 2, 1)
	big := make([]byte, 4<<20)
	r.Send(3, ours, big)
	expectNothing(t, r)
	received := make(chan []byte)
	go drain(theirs, received)
	expectResult(t, r, 3, int32(len(big)))
	unix.Shutdown(ours, unix.SHUT_WR)
	<-received
}

func TestReceiveOfOneProvidedBufferEndsWithIt(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	write(t, theirs, []byte(strings.Repeat("x", 64)+"y"))
	r.RecvProvided(1, ours)
	c := expectResult(t, r, 1, 64)
	if c.More() {
		t.Error("there is more to come")
	}
	r.ReturnBuffer(mustBuffer(t, c))
	expectNothing(t, r)
	r.RecvProvided(2, ours)
	c = expectResult(t, r, 2, 1)
	if got := r.Buffer(mustBuffer(t, c), 1); c.More() || string(got) != "y" {
		t.Errorf("%+v with %q", c, got)
	}
}

func TestSendToClosedPeerGivesEPIPEAndNoSignal(t *testing.T) {
	// The runtime hands out signals by number, so one raised before the marker comes before it.
	const marker = unix.SIGWINCH
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGPIPE, marker)
	defer signal.Stop(signals)
	firstSignal := func() os.Signal {
		if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), marker); err != nil {
			t.Fatal(err)
		}
		return <-signals
	}
	r := smallRing(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	unix.Close(pair[1])
	r.Send(1, pair[0], []byte("x"))
	expectResult(t, r, 1, -int32(unix.EPIPE))
	if first := firstSignal(); first != marker {
		t.Errorf("the send raised %v", first)
	}
	if _, err := unix.Write(pair[0], []byte("x")); err != unix.EPIPE {
		t.Fatal(err)
	}
	if first := firstSignal(); first != unix.SIGPIPE {
		t.Errorf("write(2) raised %v: this test cannot tell", first)
	}
}

func TestReceiveOfResetConnectionGivesECONNRESET(t *testing.T) {
	r := smallRing(t)
	listener, address := tcpListener(t)
	r.AcceptMultishot(1, listener)
	peer := tcpDial(t, address)
	fd := int(expect(t, r, 1).Result)
	defer unix.Close(fd)
	r.RecvMultishot(2, fd)
	expectNothing(t, r)
	resetConnection(t, peer)
	if c := expectResult(t, r, 2, -int32(unix.ECONNRESET)); c.More() {
		t.Errorf("completion %+v", c)
	}
	endMultishot(t, r, 1)
}

// resetConnection connects fd to nothing, which resets its connection and keeps the descriptor.
func resetConnection(t testing.TB, fd int) {
	t.Helper()
	unspecified := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspecified)),
		unsafe.Sizeof(unspecified))
	if errno != 0 {
		t.Fatal(errno)
	}
}

func TestEndOfStreamComesAgainToANewReceive(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	unix.Shutdown(theirs, unix.SHUT_WR)
	for u := range UserData(3) {
		r.RecvMultishot(u, ours)
		if c := expectResult(t, r, u, 0); c.More() {
			t.Fatalf("completion %+v", c)
		}
	}
}

func TestReadIsAtTheDescriptorsPosition(t *testing.T) {
	r := smallRing(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	write(t, fd, []byte("abcd"))
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	for u, want := range []string{"ab", "cd"} {
		r.Read(UserData(u), fd, b)
		expectResult(t, r, UserData(u), 2)
		if string(b) != want {
			t.Errorf("read %q, want %q", b, want)
		}
	}
	r.Read(9, fd, b)
	expectResult(t, r, 9, 0)
}
