package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A request body is gathered whole before its app gets the request. What that costs is bounded, for
// each loop and for each app on it, by back-pressure: a body beyond the bound is held back, which means
// that nothing is received for it, so that it waits in the kernel and then at the client. One body of
// each app, and one of the loop, may always come in, whatever its size: so nobody waits for somebody
// who waits, too.
//
// Only bodies that do not fit into a buffer of the pool are counted and held back.
type bodiesInHand struct {
	inHand      int64      // bytes
	gathering   int        // large bodies that are coming in and not held back
	first, last *collector // held back, in the order in which they were
}

// bodiesPerApp is the fraction of the bound of a loop that is the bound of an app.
const bodiesPerApp = 4

// body is a request body while it is gathered: in a buffer of the pool, or, if that cannot hold it, in
// pages of its own. Those grow by moving entries of the page table instead of bytes, cost only what
// has been written to, and are the kernel's again as soon as they are freed, none of which holds for
// the memory of Go.
type body struct {
	buffer []byte // of the pool
	pages  []byte // from mmap; the length is that of the body
}

func (b *body) length() int { return len(b.buffer) + len(b.pages) }

// bytes are the body; nil if it is empty.
func (b *body) bytes() []byte {
	if b.pages != nil {
		return b.pages
	}
	return b.buffer
}

// pooledMax is the largest body that lies in a buffer of the pool. Only tests change it.
var pooledMax = bufferSizes[len(bufferSizes)-1]

// append appends data. missing is how much is still to come, data included, if that is known.
func (b *body) append(pool *buffers, data []byte, missing int) {
	if b.pages == nil && len(b.buffer)+max(len(data), missing) <= pooledMax {
		if len(data) != 0 {
			b.buffer = pool.append(b.buffer, data)
		}
		return
	}
	if need := b.length() + max(len(data), missing); cap(b.pages) < need && !b.grow(pool, need) {
		b.buffer = append(b.buffer, data...) // there are no mappings left: Go's memory does as well
		return
	}
	b.pages = append(b.pages, data...)
}

// grow makes room for at least need bytes in pages. False: the kernel has none.
func (b *body) grow(pool *buffers, need int) bool {
	size := (uintptr(max(need, 2*cap(b.pages))) + pageSize - 1) &^ (pageSize - 1)
	if b.pages != nil {
		old := unsafe.Pointer(unsafe.SliceData(b.pages))
		moved, err := unix.MremapPtr(old, uintptr(cap(b.pages)), nil, size, unix.MREMAP_MAYMOVE)
		if err != nil {
			b.buffer = append([]byte(nil), b.pages...)
			b.unmap()
			return false
		}
		b.pages = unsafe.Slice((*byte)(moved), size)[:len(b.pages)]
		return true
	}
	if cap(b.buffer) > pooledMax { // it had to be Go's memory before
		return false
	}
	made, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return false
	}
	b.pages = append(unsafe.Slice((*byte)(made), size)[:0], b.buffer...)
	pool.give(b.buffer)
	b.buffer = nil
	return true
}

// pageSize divides the size of all mappings; where pages are larger the kernel rounds up.
const pageSize = 64 << 10

// unmapLarge is from how many bytes on giving pages back takes so long, a millisecond for some ten
// megabytes, that a loop should not wait for it.
const unmapLarge = 2 << 20

func (b *body) free(pool *buffers) {
	pool.give(b.buffer)
	b.buffer = nil
	if b.pages != nil {
		b.unmap()
	}
}

func (b *body) unmap() {
	start, size := unsafe.Pointer(unsafe.SliceData(b.pages)), uintptr(cap(b.pages))
	written := len(b.pages)
	b.pages = nil
	if written >= unmapLarge {
		go unmapPages(start, size)
	} else {
		unmapPages(start, size)
	}
}

func unmapPages(start unsafe.Pointer, size uintptr) {
	if err := unix.MunmapPtr(start, size); err != nil {
		panic("loop: munmap: " + err.Error())
	}
}

// beginGathering is called when a body turns out to be large, and when one need not be held back any
// more.
func (l *Loop) beginGathering(g *collector) {
	g.isActive = true
	l.bodies.gathering++
	l.apps[g.app].gathering++
}

// countGathered counts what a body has grown by, and holds it back if there is too much.
func (l *Loop) countGathered(g *collector) {
	length := int64(g.body.length())
	if length <= int64(pooledMax) {
		return
	}
	w := l.apps[g.app]
	if g.counted == 0 {
		l.beginGathering(g)
	}
	l.bodies.inHand += length - g.counted
	w.bytesInHand += length - g.counted
	g.counted = length
	if g.isActive && !l.mayGather(w, 1) {
		l.holdBack(g)
	}
}

// mayGather reports whether a body of an app may come in. If there is too much, of all or of the app,
// it may only if no more than a number of others do.
func (l *Loop) mayGather(w *appWorker, others int) bool {
	limit := l.options.Bodies / int64(len(*l.options.memory.portions.Load()))
	return (l.bodies.inHand <= limit || l.bodies.gathering <= others) &&
		(w.bytesInHand <= limit/bodiesPerApp || w.gathering <= others)
}

// holdBack stops receiving a body. The receive is cancelled by who has called: see wantsInput.
func (l *Loop) holdBack(g *collector) {
	g.isActive, g.isHeldBack = false, true
	l.bodies.gathering--
	l.apps[g.app].gathering--
	g.previous = l.bodies.last
	if g.previous != nil {
		g.previous.next = g
	} else {
		l.bodies.first = g
	}
	l.bodies.last = g
	l.apps[g.app].counts.HeldBack++
}

// endGathering is called when a body is complete, or will not be.
func (l *Loop) endGathering(g *collector) {
	switch {
	case g.isActive:
		g.isActive = false
		l.bodies.gathering--
		l.apps[g.app].gathering--
		l.letGather()
	case g.isHeldBack:
		l.leaveHeldBack(g)
	}
}

func (l *Loop) leaveHeldBack(g *collector) {
	g.isHeldBack = false
	if g.previous != nil {
		g.previous.next = g.next
	} else {
		l.bodies.first = g.next
	}
	if g.next != nil {
		g.next.previous = g.previous
	} else {
		l.bodies.last = g.previous
	}
	g.previous, g.next = nil, nil
}

// uncount is called when a body is freed.
func (l *Loop) uncount(g *collector) {
	if g.counted != 0 {
		l.bodies.inHand -= g.counted
		l.apps[g.app].bytesInHand -= g.counted
		g.counted = 0
		l.letGather()
	}
}

// letGather goes on with bodies that were held back, as far as there is room.
func (l *Loop) letGather() {
	for g := l.bodies.first; g != nil; {
		next := g.next
		if l.mayGather(l.apps[g.app], 0) {
			l.leaveHeldBack(g)
			l.beginGathering(g)
			c := g.connection
			l.timeouts.body.start(&c.inputTimeout, l.now)
			if !c.receiving && !c.isStarved && c.wantsInput() {
				l.receive(c)
			}
		}
		g = next
	}
}
