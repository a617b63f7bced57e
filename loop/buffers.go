package loop

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// buffers is a pool of byte slices in size classes. A connection holds none of them while it is
// idle, so ten thousand idle connections cost what their slots cost. A pool belongs to one loop.
type buffers struct {
	free     [len(bufferSizes)][][]byte
	retained int // bytes in free
	// lowest is how many were free at the least since the last trim: so many were not needed.
	lowest  [len(bufferSizes)]int
	timeout timeoutNode // for the next trim
	offered []byte      // what is being pushed, if whoever gets it may keep it
	// isOutput is whether what was offered was kept to be sent as it is.
	isOutput bool
}

var bufferSizes = [...]int{512, 2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20}

// buffersRetainedMax bounds what a loop's pool keeps after a burst; the rest goes to the garbage
// collector.
const buffersRetainedMax = 16 << 20

// take returns an empty slice with room for at least n bytes.
func (b *buffers) take(n int) []byte {
	for class, size := range bufferSizes {
		if n > size {
			continue
		}
		if last := len(b.free[class]) - 1; last >= 0 {
			buffer := b.free[class][last]
			b.free[class][last] = nil
			b.free[class] = b.free[class][:last]
			b.retained -= size
			b.lowest[class] = min(b.lowest[class], last)
			return buffer
		}
		b.lowest[class] = 0
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// give takes a slice back that came from take; nil and slices of other origin are fine too. The
// caller must not use it any more.
func (b *buffers) give(buffer []byte) {
	size := cap(buffer)
	if size < bufferSizes[0] || b.retained+size > buffersRetainedMax {
		return
	}
	for class := range bufferSizes {
		if size == bufferSizes[class] {
			b.free[class] = append(b.free[class], buffer[:0])
			b.retained += size
			return
		}
	}
}

// grow returns buffer, or its content in a larger one, with room for n more bytes.
func (b *buffers) grow(buffer []byte, n int) []byte {
	if cap(buffer)-len(buffer) >= n {
		return buffer
	}
	if buffer == nil {
		return b.take(n)
	}
	// At least double, so that appending many pieces stays linear.
	larger := append(b.take(max(len(buffer)+n, 2*cap(buffer))), buffer...)
	b.give(buffer)
	return larger
}

// append appends data to a buffer of this pool.
func (b *buffers) append(buffer, data []byte) []byte {
	return append(b.grow(buffer, len(data)), data...)
}

// offer pushes a buffer of this pool to a sink, which may keep it.
func (b *buffers) offer(to sink, buffer []byte) (more bool) {
	outer := b.offered
	b.offered = buffer
	more = to.push(buffer)
	if b.offered != nil {
		b.give(buffer)
	}
	b.offered = outer
	return more
}

// keep returns data as a buffer of this pool that is the caller's: themselves, if they are all of what was
// offered, so that nothing is copied. nil: they are not.
func (b *buffers) keep(data []byte) []byte {
	offered := b.offered
	if len(offered) == 0 || len(data) != len(offered) || &data[0] != &offered[0] {
		return nil
	}
	b.offered = nil
	return offered
}

// trim leaves to the garbage collector what was not needed since it was called last, and returns how many
// bytes that is.
func (b *buffers) trim() (freed int) {
	for class, size := range bufferSizes {
		kept := len(b.free[class]) - b.lowest[class]
		freed += size * b.lowest[class]
		clear(b.free[class][kept:])
		b.free[class] = b.free[class][:kept]
		b.lowest[class] = kept
	}
	b.retained -= freed
	return freed
}

const (
	// buffersTrimFrom is how many bytes a pool keeps without being looked at.
	buffersTrimFrom = 1 << 20
	// buffersTrimTime is for how long it keeps the rest unused, at the least.
	buffersTrimTime = 2 * time.Second
)

// tendBuffers has the pool looked at in a while, if it has become large.
func (l *Loop) tendBuffers() {
	if node := &l.buffers.timeout; l.buffers.retained > buffersTrimFrom && node.list == nil {
		node.owner = (*bufferTrim)(l)
		l.startTimeout(node, buffersTrimTime)
	}
}

// bufferTrim is a loop as who looks at its pool.
type bufferTrim Loop

// timedOut implements waiter.
func (t *bufferTrim) timedOut(*timeoutNode) {
	l := (*Loop)(t)
	if freed := l.buffers.trim(); freed >= collectFrom && isCollecting.CompareAndSwap(false, true) {
		// An idle process would not collect for minutes, nor after that give much to the kernel.
		go func() {
			debug.FreeOSMemory()
			isCollecting.Store(false)
		}()
	}
	l.tendBuffers()
}

// collectFrom is how many bytes of buffers given up at once are worth a collection of garbage.
const collectFrom = 4 << 20

// isCollecting is whether some loop has asked for a collection that is not over.
var isCollecting atomic.Bool
