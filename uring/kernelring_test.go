package uring

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds waits for what must come; a test that reaches it has failed.
const patience = 5 * time.Second

// testRing makes a ring on the test's own locked thread and stops it at the end.
func testRing(t testing.TB, config Config) *KernelRing {
	t.Helper()
	runtime.LockOSThread()
	r, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	return r
}

// smallRing is enough for most tests.
func smallRing(t testing.TB) *KernelRing {
	t.Helper()
	return testRing(t, Config{Entries: 8, Buffers: 4, BufferSize: 64})
}

// await enters until want completions have come and gives all that did.
func await(t testing.TB, r Ring, want int) []Completion {
	t.Helper()
	var all []Completion
	into := make([]Completion, 64)
	for deadline := time.Now().Add(patience); len(all) < want; {
		if time.Now().After(deadline) {
			t.Fatalf("%d completions of %d: %+v", len(all), want, all)
		}
		if err := r.Enter(true, patience); err != nil {
			t.Fatal(err)
		}
		for n := r.Reap(into); n > 0; n = r.Reap(into) {
			all = append(all, into[:n]...)
		}
	}
	return all
}

// find picks the completion of u, which must be there once.
func find(t testing.TB, all []Completion, u UserData) Completion {
	t.Helper()
	found := -1
	for i, c := range all {
		if c.UserData != u {
			continue
		}
		if found >= 0 {
			t.Fatalf("two completions of %#x: %+v", uint64(u), all)
		}
		found = i
	}
	if found < 0 {
		t.Fatalf("no completion of %#x: %+v", uint64(u), all)
	}
	return all[found]
}

// expect waits for one completion, that of u, and returns it.
func expect(t testing.TB, r Ring, u UserData) Completion {
	t.Helper()
	all := await(t, r, 1)
	if len(all) != 1 {
		t.Fatalf("completions: %+v, want one", all)
	}
	return find(t, all, u)
}

func expectResult(t testing.TB, r Ring, u UserData, result int32) Completion {
	t.Helper()
	c := expect(t, r, u)
	if c.Result != result {
		t.Fatalf("result of %#x: %s, want %s", uint64(u), resultName(c.Result), resultName(result))
	}
	return c
}

// expectNothing enters without waiting and fails if anything completes.
func expectNothing(t testing.TB, r Ring) {
	t.Helper()
	if err := r.Enter(false, 0); err != nil {
		t.Fatal(err)
	}
	into := make([]Completion, 8)
	if n := r.Reap(into); n > 0 {
		t.Fatalf("unexpected completions: %+v", into[:n])
	}
}

func resultName(result int32) string {
	if result < 0 {
		return unix.ErrnoName(syscall.Errno(-result))
	}
	return "success " + string('0'+byte(min(result, 9)))
}

func socketPair(t testing.TB) (ours, theirs int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range pair {
		t.Cleanup(func() { unix.Close(fd) })
	}
	return pair[0], pair[1]
}

func write(t testing.TB, fd int, b []byte) {
	t.Helper()
	if n, err := unix.Write(fd, b); err != nil || n != len(b) {
		t.Fatalf("write: %d, %v", n, err)
	}
}

// endMultishot cancels target and takes both completions.
func endMultishot(t testing.TB, r Ring, target UserData) {
	t.Helper()
	const canceller = UserData(0xcace1)
	r.Cancel(canceller, target)
	all := await(t, r, 2)
	if c := find(t, all, canceller); c.Result != 0 {
		t.Fatalf("cancel: %s", resultName(c.Result))
	}
	if c := find(t, all, target); c.Result != -int32(unix.ECANCELED) || c.More() {
		t.Fatalf("cancelled operation: %+v", c)
	}
}

func TestUserDataRoundTrip(t *testing.T) {
	for _, want := range []struct {
		kind              uint8
		generation, index uint32
	}{{0, 0, 0}, {255, GenerationMask, 1<<32 - 1}, {7, 1, 2}} {
		kind, generation, index := Pack(want.kind, want.generation, want.index).Unpack()
		if kind != want.kind || generation != want.generation || index != want.index {
			t.Errorf("%+v: got %d %d %d", want, kind, generation, index)
		}
	}
	if _, generation, _ := Pack(1, GenerationMask+1, 0).Unpack(); generation != 0 {
		t.Errorf("generation after the last: %d, want 0", generation)
	}
}

func TestEchoOverSocketPair(t *testing.T) {
	r := smallRing(t)
	ours, theirs := socketPair(t)
	const receive, send = 1, 2
	r.RecvMultishot(receive, ours)
	for _, text := range []string{"hello", strings.Repeat("x", 64), "!"} {
		write(t, theirs, []byte(text))
		c := expect(t, r, receive)
		id, ok := c.Buffer()
		if !ok || !c.More() || c.Result != int32(len(text)) {
			t.Fatalf("receive: %+v", c)
		}
		got := r.Buffer(id, int(c.Result))
		if string(got) != text {
			t.Fatalf("received %q", got)
		}
		r.Send(send, ours, got)
		expectResult(t, r, send, c.Result)
		r.ReturnBuffer(id)
		back := make([]byte, 100)
		if n, err := unix.Read(theirs, back); err != nil || string(back[:n]) != text {
			t.Fatalf("echo: %q, %v", back[:max(n, 0)], err)
		}
	}
	r.Shutdown(3, ours, unix.SHUT_WR)
	expectResult(t, r, 3, 0)
	if n, err := unix.Read(theirs, make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("after shutdown: %d, %v", n, err)
	}
	endMultishot(t, r, receive)
}

func TestEchoOverTCP(t *testing.T) {
	r := smallRing(t)
	listener, address := tcpListener(t)
	const accept, receive, send, closed = 1, 2, 3, 4
	r.AcceptMultishot(accept, listener)
	for range 3 {
		peer := tcpDial(t, address)
		c := expect(t, r, accept)
		if c.Result < 0 || !c.More() {
			t.Fatalf("accept: %+v", c)
		}
		fd := int(c.Result)
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Fatalf("accepted descriptor is not close-on-exec: %#x, %v", flags, err)
		}
		r.RecvMultishot(receive, fd)
		write(t, peer, []byte("ping"))
		c = expect(t, r, receive)
		id, _ := c.Buffer()
		r.Send(send, fd, r.Buffer(id, int(c.Result)))
		expectResult(t, r, send, 4)
		r.ReturnBuffer(id)
		back := make([]byte, 8)
		if n, err := unix.Read(peer, back); err != nil || !bytes.Equal(back[:n], []byte("ping")) {
			t.Fatalf("echo: %q, %v", back[:max(n, 0)], err)
		}
		unix.Shutdown(peer, unix.SHUT_WR)
		c = expectResult(t, r, receive, 0)
		if _, ok := c.Buffer(); ok || c.More() {
			t.Fatalf("end of the stream: %+v, want no buffer and no More", c)
		}
		r.Close(closed, fd)
		expectResult(t, r, closed, 0)
	}
	endMultishot(t, r, accept)
}

func tcpListener(t testing.TB) (fd int, address unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 64)); err != nil {
		t.Fatal(err)
	}
	if address, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	return fd, address
}

func tcpDial(t testing.TB, address unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, address); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestFullSubmissionQueueSubmitsAndGoesOn(t *testing.T) {
	r := smallRing(t)
	const operations = 50
	for i := range operations {
		r.Nop(UserData(i))
	}
	for i, c := range await(t, r, operations) {
		if c.UserData != UserData(i) || c.Result != 0 {
			t.Fatalf("completion %d: %+v", i, c)
		}
	}
}

// resources counts the mappings of rings and the descriptors of this process.
func resources(t testing.TB) (mappings, descriptors int, bytesMapped int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, digit := range bytes.Fields(statm)[0] {
		pages = pages*10 + int(digit-'0')
	}
	return bytes.Count(maps, []byte("io_uring")), len(open), pages * os.Getpagesize()
}

func TestStopGivesBackDescriptorsAndMemory(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cycle := func() {
		r, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		r.Nop(1)
		expectResult(t, r, 1, 0)
		if err := errors.Join(r.Stop(), r.Stop()); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	mappingsBefore, descriptorsBefore, bytesBefore := resources(t)
	for range 200 {
		cycle()
	}
	mappings, descriptors, bytesMapped := resources(t)
	if mappings != mappingsBefore || descriptors != descriptorsBefore {
		t.Errorf("after 200 rings: %d mappings (before: %d), %d descriptors (%d)",
			mappings, mappingsBefore, descriptors, descriptorsBefore)
	}
	// One default ring maps 5 MB, so 200 leaked ones 1 GB; Go's own heap may grow a little.
	if grown := bytesMapped - bytesBefore; grown > 64<<20 {
		t.Errorf("address space grew by %d bytes", grown)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, config := range map[string]Config{
		"negative entries":           {Entries: -1},
		"too many entries":           {Entries: submissionEntriesMax + 1},
		"buffers not a power of two": {Buffers: 3},
		"too many buffers":           {Buffers: 8192},
		"negative buffer size":       {BufferSize: -4},
		"buffer size beyond range":   {BufferSize: bufferSizeMax + 1},
	} {
		if r, err := New(config); err == nil {
			t.Errorf("%s: accepted", name)
			r.Stop()
		}
	}
}

func TestReadAtReadsAFileFromAnOffset(t *testing.T) {
	r := smallRing(t)
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	into := make([]byte, 4)
	for offset, want := range map[int64]string{0: "0123", 5: "5678", 8: "89", 10: "", 99: ""} {
		r.ReadAt(7, int(file.Fd()), into, offset)
		if c := await(t, r, 1)[0]; c.UserData != 7 || int(c.Result) != len(want) || string(into[:c.Result]) != want {
			t.Errorf("at %d: %+v %q, want %q", offset, c, into[:max(c.Result, 0)], want)
		}
	}
}
