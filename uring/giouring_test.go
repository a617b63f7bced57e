package uring

import (
	"bytes"
	"os"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// These tests hold what this package knows about giouring: the layouts it looks into, and the
// defects it works around. One that fails after an update of the module may be good news.

func TestGiouringLayout(t *testing.T) {
	offset := func(of any, field string) uintptr {
		f, ok := reflect.TypeOf(of).FieldByName(field)
		if !ok {
			t.Errorf("%T has no field %s", of, field)
		}
		return f.Offset
	}
	same := func(ours any, ourField string, theirs any, theirField string) {
		t.Helper()
		if a, b := offset(ours, ourField), offset(theirs, theirField); a != b {
			t.Errorf("%T.%s at %d, but %T.%s at %d", ours, ourField, a, theirs, theirField, b)
		}
	}
	for field, word := range map[string]uintptr{
		"sqEntries": paramsSQEntries,
		"cqEntries": paramsCQEntries,
		"flags":     paramsFlags,
		"features":  paramsFeatures,
	} {
		if at := offset(giouring.Params{}, field); at != 4*word {
			t.Errorf("Params.%s at %d, want %d", field, at, 4*word)
		}
	}
	for ours, theirs := range map[string]string{
		"head": "head", "tail": "tail", "mask": "ringMask", "entries": "ringEntries", "flags": "flags",
		"dropped": "dropped", "array": "array", "sqes": "sqes", "ringSize": "ringSize", "ring": "ringPtr",
	} {
		same(submissionQueue{}, ours, giouring.SubmissionQueue{}, theirs)
	}
	for ours, theirs := range map[string]string{
		"head": "head", "tail": "tail", "mask": "ringMask", "entries": "ringEntries", "flags": "flags",
		"overflow": "overflow", "cqes": "cqes", "ringSize": "ringSize", "ring": "ringPtr",
	} {
		same(completionQueue{}, ours, giouring.CompletionQueue{}, theirs)
	}
	same(queues{}, "submission", giouring.Ring{}, "sqRing")
	same(queues{}, "completion", giouring.Ring{}, "cqRing")
	same(Completion{}, "UserData", giouring.CompletionQueueEvent{}, "UserData")
	same(Completion{}, "Result", giouring.CompletionQueueEvent{}, "Res")
	same(Completion{}, "Flags", giouring.CompletionQueueEvent{}, "Flags")
	same(getEventsArgument{}, "timeout", giouring.GetEventsArg{}, "ts")
	// publish stores number and tail as one word.
	if offset(giouring.BufAndRing{}, "Bid") != 12 || offset(giouring.BufAndRing{}, "Tail") != 14 {
		t.Error("BufAndRing: number and tail are not the last word")
	}
	if flagBuffer != giouring.CQEFBuffer || flagMore != giouring.CQEFMore {
		t.Error("completion flags differ")
	}
}

// bareRing is a ring used through giouring alone.
func bareRing(t *testing.T) *giouring.Ring {
	t.Helper()
	ring, params := giouring.NewRing(), &giouring.Params{}
	if err := ring.QueueInitParams(4, params); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeRing(ring, params); err != nil {
			t.Error(err)
		}
	})
	return ring
}

func TestGiouringPrepareCloseOnDirtySQEGivesEINVAL(t *testing.T) {
	ring := bareRing(t)
	fd, err := unix.Dup(0)
	if err != nil {
		t.Skip("no standard input")
	}
	defer unix.Close(fd)
	sqe := ring.GetSQE()
	sqe.OpcodeFlags = unix.MSG_NOSIGNAL // of an earlier send in this slot
	sqe.PrepareClose(fd)
	if _, err := ring.SubmitAndWait(1); err != nil {
		t.Fatal(err)
	}
	cqe, err := ring.PeekCQE()
	if err != nil || cqe.Res != -int32(unix.EINVAL) {
		t.Fatalf("close: %+v, %v; want EINVAL", cqe, err)
	}
	ring.CQESeen(cqe)
}

// TestEverySlotIsZeroedFirst runs a close through every slot after operations that set each field.
func TestEverySlotIsZeroedFirst(t *testing.T) {
	r := smallRing(t)
	ours, _ := socketPair(t)
	for slot := range r.sqes {
		garbage := entry{
			OpCode: 0xff, Flags: 0, IoPrio: 0xffff, Fd: -1, Off: ^uint64(0), Addr: ^uint64(0), Len: ^uint32(0),
			OpcodeFlags: ^uint32(0), BufIG: 0xffff, Personality: 0xffff, SpliceFdIn: -1, Addr3: ^uint64(0),
		}
		r.sqes[slot] = garbage
	}
	for i := range r.sqes {
		fd, err := unix.Dup(ours)
		if err != nil {
			t.Fatal(err)
		}
		r.Close(UserData(i), fd)
		expectResult(t, r, UserData(i), 0)
	}
}

func TestGiouringBufRingAddWrapsAt4096(t *testing.T) {
	const count = 2 * buffersMax
	entries := make([]giouring.BufAndRing, count)
	mask := giouring.BufRingMask(count)
	entries[0].BufRingAdd(0x1000, 1, 1, mask, buffersMax)
	if entries[buffersMax].Addr != 0 || entries[0].Addr != 0x1000 {
		t.Error("BufRingAdd no longer wraps at 4096: buffersMax can grow")
	}
}

func TestMostBuffersAreAllUsable(t *testing.T) {
	r := testRing(t, Config{Entries: 8, Buffers: buffersMax, BufferSize: 1})
	ours, theirs := socketPair(t)
	want := make([]byte, buffersMax)
	for i := range want {
		want[i] = byte(i * 7)
	}
	write(t, theirs, want)
	r.RecvMultishot(1, ours)
	used := map[uint16]bool{}
	got := make([]byte, 0, buffersMax)
	var last Completion
	for len(got) < buffersMax {
		for _, c := range await(t, r, 1) {
			last = c
			if c.Result > 0 {
				id, _ := c.Buffer()
				used[id] = true
				got = append(got, r.Buffer(id, 1)...)
			}
			if !c.More() {
				r.RecvMultishot(1, ours)
			}
		}
	}
	if len(used) != buffersMax || !bytes.Equal(got, want) {
		t.Errorf("%d buffers used, bytes equal: %v", len(used), bytes.Equal(got, want))
	}
	if last.More() {
		endMultishot(t, r, 1)
	} else {
		expectResult(t, r, 1, -int32(unix.ENOBUFS)) // of the arming above: all are held
	}
}

func TestGiouringUnregisterRingFdIsInverted(t *testing.T) {
	ring := bareRing(t)
	if _, err := ring.RegisterRingFd(); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.UnregisterRingFd(); err != unix.EINVAL {
		t.Errorf("UnregisterRingFd of a registered ring: %v, want EINVAL", err)
	}
}

// ringMappings counts the mappings of rings in this process.
func ringMappings(t testing.TB) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(maps, []byte("io_uring"))
}

func TestGiouringQueueExitLeavesMappings(t *testing.T) {
	before := ringMappings(t)
	ring, params := giouring.NewRing(), &giouring.Params{}
	if err := ring.QueueInitParams(4, params); err != nil {
		t.Fatal(err)
	}
	ring.QueueExit()
	if ringMappings(t) == before {
		t.Error("QueueExit no longer leaks: closeRing could go")
	}
	shared := queuesOf(ring)
	if err := unix.MunmapPtr(shared.submission.ring, uintptr(shared.submission.ringSize)); err != nil {
		t.Error(err)
	}
	size := uintptr(wordsOf(params)[paramsSQEntries]) * unsafe.Sizeof(entry{})
	if err := unix.MunmapPtr(unsafe.Pointer(shared.submission.sqes), size); err != nil {
		t.Error(err)
	}
	if after := ringMappings(t); after != before {
		t.Errorf("%d mappings left, before: %d", after, before)
	}
}

func TestGiouringFreeBufRingLeavesMapping(t *testing.T) {
	ring := bareRing(t)
	shared, err := ring.SetupBufRing(4, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.FreeBufRing(1); err != nil {
		t.Fatal(err)
	}
	page := unsafe.Slice((*byte)(unsafe.Pointer(shared)), os.Getpagesize())
	if err := unix.Msync(page, unix.MS_ASYNC); err != nil {
		t.Errorf("the mapping is gone (%v): bufferRing could use giouring's", err)
		return
	}
	if err := unix.MunmapPtr(unsafe.Pointer(shared), uintptr(os.Getpagesize())); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(ring)
}
