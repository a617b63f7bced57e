package uring

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

const (
	bufferGroup = 0

	// buffersMax keeps the tail, 16 bits wide, and giouring's view of the ring from wrapping.
	buffersMax = 4096
)

// bufferRing is the ring of provided buffers: memory that the kernel picks from when bytes arrive,
// so an idle connection holds none.
type bufferRing struct {
	entries []giouring.BufAndRing // shared with the kernel, which reads only
	memory  []byte
	mapping []byte // entries and memory
	size    int    // of each buffer
	mask    uint16
	tail    uint16 // with returned buffers, shown to the kernel by publish
	shown   uint16
	held    []bool // by the receiver of a completion
}

// register maps the ring and its buffers, and shows all of them to the kernel.
func (b *bufferRing) register(ring *giouring.Ring, count, size int) error {
	page := os.Getpagesize()
	ringSize := (count*int(unsafe.Sizeof(giouring.BufAndRing{})) + page - 1) &^ (page - 1)
	mapping, err := unix.Mmap(-1, 0, ringSize+count*size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANONYMOUS|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %d provided buffers of %d bytes: %w", count, size, err)
	}
	first := (*giouring.BufAndRing)(unsafe.Pointer(unsafe.SliceData(mapping)))
	registration := &giouring.BufReg{
		RingAddr:    uint64(uintptr(unsafe.Pointer(first))),
		RingEntries: uint32(count),
		Bgid:        bufferGroup,
	}
	if _, err := ring.RegisterBufferRing(registration, 0); err != nil {
		return errors.Join(err, unix.Munmap(mapping))
	}
	*b = bufferRing{
		entries: unsafe.Slice(first, count),
		memory:  mapping[ringSize:],
		mapping: mapping,
		size:    size,
		mask:    uint16(count - 1),
		held:    make([]bool, count),
	}
	for id := range count {
		b.add(uint16(id))
	}
	b.publish()
	return nil
}

// unregister takes the ring from the kernel and unmaps it.
func (b *bufferRing) unregister(ring *giouring.Ring) error {
	if b.mapping == nil {
		return nil
	}
	_, err := ring.UnregisterBufferRing(bufferGroup)
	err = errors.Join(err, unix.Munmap(b.mapping))
	*b = bufferRing{}
	if err != nil {
		return fmt.Errorf("uring: free provided buffers: %w", err)
	}
	return nil
}

// add appends buffer id. Not a whole entry is written: the first one's last two bytes are the tail.
func (b *bufferRing) add(id uint16) {
	entry := &b.entries[b.tail&b.mask]
	entry.Addr = uint64(uintptr(unsafe.Pointer(&b.memory[int(id)*b.size])))
	entry.Len = uint32(b.size)
	entry.Bid = id
	b.tail++
}

// publish shows the kernel all buffers added. Go stores no 16 bits atomically, so the tail is
// stored together with the buffer number before it, which only this thread writes.
func (b *bufferRing) publish() {
	if b.tail == b.shown {
		return
	}
	b.shown = b.tail
	first := &b.entries[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.Bid)), uint32(b.tail)<<16|uint32(first.Bid))
}

// take notes that the receiver of a completion now owns buffer id.
func (b *bufferRing) take(id uint16) {
	if b.held[id] {
		panic(fmt.Sprintf("uring: provided buffer %d came twice", id))
	}
	b.held[id] = true
}

// trim gives back the memory of all buffers that are not held. No completion may be waiting to be reaped, or have
// overflowed the queue: its buffer is not held yet. Between them and the buffers that the kernel may pick there is
// nothing, since it does so only while this thread is in it.
func (b *bufferRing) trim() {
	page := os.Getpagesize()
	for start := 0; start < len(b.held); {
		if b.held[start] {
			start++
			continue
		}
		end := start + 1
		for end < len(b.held) && !b.held[end] {
			end++
		}
		// Whole pages only: what is left of others is in use.
		from, to := (start*b.size+page-1)&^(page-1), end*b.size&^(page-1)
		if from < to {
			_ = unix.Madvise(b.memory[from:to], unix.MADV_DONTNEED) // it fails for locked memory, which stays
		}
		start = end
	}
}

// TrimBuffers gives back the memory of buffers that hold nothing; see Ring.
func (r *KernelRing) TrimBuffers() {
	if r.ready() == 0 && atomic.LoadUint32(r.submission.flags)&giouring.SQCQOverflow == 0 {
		r.buffers.trim()
	}
}

// Buffer is the first n bytes of provided buffer id. It cannot be appended to in place.
func (r *KernelRing) Buffer(id uint16, n int) []byte {
	b := &r.buffers
	start := int(id) * b.size
	if n > b.size {
		panic(fmt.Sprintf("uring: %d bytes of a buffer of %d", n, b.size))
	}
	return b.memory[start : start+n : start+n]
}

// ReturnBuffer gives a buffer back. The kernel sees it at the next Enter. Returning a buffer that
// is not held panics: two connections would receive into the same memory.
func (r *KernelRing) ReturnBuffer(id uint16) {
	b := &r.buffers
	if !b.held[id] {
		panic(fmt.Sprintf("uring: provided buffer %d returned twice", id))
	}
	b.held[id] = false
	b.add(id)
}
