package uring

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestTrimBuffers: what nobody holds is given back, and what somebody holds, or is about to reap, is not.
func TestTrimBuffers(t *testing.T) {
	page := os.Getpagesize()
	r := testRing(t, Config{Entries: 8, Buffers: 4, BufferSize: page})
	ours, theirs := socketPair(t)
	const receive = 1
	r.RecvMultishot(receive, ours)
	text := func(n int) []byte { return bytes.Repeat([]byte{'a' + byte(n)}, page) }
	receiveOne := func(n int) (id uint16) {
		t.Helper()
		write(t, theirs, text(n))
		c := expect(t, r, receive)
		id, ok := c.Buffer()
		if !ok || !bytes.Equal(r.Buffer(id, page), text(n)) {
			t.Fatalf("receive %d: %+v", n, c)
		}
		return id
	}
	resident := func() (pages int) {
		t.Helper()
		memory, in := r.buffers.memory, make([]byte, 4)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(memory))), uintptr(len(memory)),
			uintptr(unsafe.Pointer(unsafe.SliceData(in)))); errno != 0 {
			t.Fatal(errno)
		}
		for _, each := range in {
			pages += int(each & 1)
		}
		return pages
	}
	first, kept := receiveOne(0), receiveOne(1)
	r.ReturnBuffer(first)
	r.ReturnBuffer(receiveOne(2))
	if n := resident(); n != 3 {
		t.Fatalf("%d pages are resident after three messages", n)
	}
	r.TrimBuffers()
	if n := resident(); n != 1 || !bytes.Equal(r.Buffer(kept, page), text(1)) {
		t.Fatalf("%d pages are resident, of which one is held", n)
	}
	// It has completed, and nobody knows yet.
	write(t, theirs, text(3))
	for r.ready() == 0 {
		if err := r.Enter(true, patience); err != nil {
			t.Fatal(err)
		}
	}
	r.TrimBuffers()
	into := make([]Completion, 1)
	r.Reap(into)
	id, ok := into[0].Buffer()
	if !ok || !bytes.Equal(r.Buffer(id, page), text(3)) {
		t.Fatal("what had been received before is lost")
	}
	r.ReturnBuffer(id)
	r.ReturnBuffer(kept)
	for n := range 8 { // all of them are received into again
		r.ReturnBuffer(receiveOne(n))
	}
	endMultishot(t, r, receive)
}
