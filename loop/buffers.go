package loop

// buffers is a pool of byte slices in size classes. A connection holds none of them while it is
// idle, so ten thousand idle connections cost what their slots cost. A pool belongs to one loop.
type buffers struct {
	free     [len(bufferSizes)][][]byte
	retained int // bytes in free
}

var bufferSizes = [...]int{2 << 10, 8 << 10, 32 << 10, 128 << 10, 512 << 10}

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
			return buffer
		}
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
