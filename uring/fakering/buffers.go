package fakering

import "fmt"

// poison overwrites returned buffers.
const poison = 0xdb

// buffers are the provided ones. They are used in the order in which they were given back, as the
// kernel does.
type buffers struct {
	size     int
	memory   []byte
	free     []uint16 // known to the ring
	returned []uint16 // at the next Enter
	length   []int    // of what was received into a held buffer; -1: not held
}

func newBuffers(count, size int) buffers {
	b := buffers{size: size, memory: make([]byte, count*size), length: make([]int, count)}
	for id := range count {
		b.free = append(b.free, uint16(id))
		b.length[id] = -1
	}
	return b
}

func (b *buffers) publish() {
	b.free = append(b.free, b.returned...)
	b.returned = b.returned[:0]
}

// receive puts data into the next free buffer. It must fit, and there must be one.
func (b *buffers) receive(data []byte) (id uint16) {
	id = b.free[0]
	b.free = b.free[1:]
	copy(b.memory[int(id)*b.size:], data)
	b.length[id] = len(data)
	return id
}

func (b *buffers) view(id uint16, n int) (view []byte, violation string) {
	start := int(id) * b.size
	if int(id) >= len(b.length) || b.length[id] < 0 {
		return make([]byte, n), fmt.Sprintf("Buffer(%d): not held", id)
	}
	if n > b.length[id] {
		return make([]byte, n), fmt.Sprintf("Buffer(%d, %d): only %d bytes were received", id, n, b.length[id])
	}
	return b.memory[start : start+n : start+n], ""
}

func (b *buffers) giveBack(id uint16) (violation string) {
	if int(id) >= len(b.length) || b.length[id] < 0 {
		return fmt.Sprintf("ReturnBuffer(%d): not held", id)
	}
	memory := b.memory[int(id)*b.size:][:b.size]
	for i := range memory {
		memory[i] = poison
	}
	b.length[id] = -1
	b.returned = append(b.returned, id)
	return ""
}

func (b *buffers) held() int { return len(b.length) - len(b.free) - len(b.returned) }
