package loop

import (
	"slices"

	"nano/uring"
)

// A slot is one life after another of a connection, or of an endpoint. What completes names its place and the
// generation of the life for which it was begun.
type slot struct {
	index      uint32
	generation uint32
}

func (s *slot) place() *slot { return s }

// next is the slot for the life after this one.
func (s *slot) next() slot { return slot{s.index, (s.generation + 1) & uring.GenerationMask} }

func (s *slot) userData(kind uint8) uring.UserData { return uring.Pack(kind, s.generation, s.index) }

// slotChunk is the number of slots that are made at once. Slots do not move, so that lists may point to
// them.
const slotChunk = 64

// slots are those of one kind of a loop: P is *T, which has a slot in it.
type slots[T any, P interface {
	*T
	place() *slot
}] struct {
	chunks     []*[slotChunk]T // nil: given back
	free       []uint32
	open       int
	missing    int    // chunks that were given back
	generation uint32 // the first one of slots that are made
}

func (s *slots[T, P]) at(index uint32) *T { return &s.chunks[index/slotChunk][index%slotChunk] }

// take returns a free slot.
func (s *slots[T, P]) take() *T {
	if len(s.free) == 0 {
		s.grow()
	}
	last := len(s.free) - 1
	taken := s.at(s.free[last])
	s.free = s.free[:last]
	s.open++
	return taken
}

// grow makes slots, where a chunk is missing first.
func (s *slots[T, P]) grow() {
	chunk, base := new([slotChunk]T), len(s.chunks)
	if s.missing > 0 {
		s.missing--
		base = slices.Index(s.chunks, nil)
		s.chunks[base] = chunk
	} else {
		s.chunks = append(s.chunks, chunk)
	}
	for i := slotChunk - 1; i >= 0; i-- {
		made := P(&chunk[i]).place()
		*made = slot{uint32(base*slotChunk + i), s.generation}
		s.free = append(s.free, made.index)
	}
}

// give counts a slot as free that is ready for its next life.
func (s *slots[T, P]) give(index uint32) {
	s.free = append(s.free, index)
	s.open--
}

// shrink frees the chunks in which no slot is in use, but for the first one: a node at rest is asked something now and
// then. Slots that take their places go on with the generations: those of free slots are counted up.
func (s *slots[T, P]) shrink() {
	count := make([]uint32, len(s.chunks))
	for _, index := range s.free {
		count[index/slotChunk]++
	}
	dropped := 0
	for i := 1; i < len(s.chunks); i++ {
		if count[i] != slotChunk {
			continue
		}
		for j := range s.chunks[i] {
			s.generation = max(s.generation, P(&s.chunks[i][j]).place().generation)
		}
		s.chunks[i] = nil
		dropped++
	}
	if dropped == 0 {
		return
	}
	s.missing += dropped
	left := make([]uint32, 0, len(s.free)-dropped*slotChunk)
	for _, index := range s.free {
		if s.chunks[index/slotChunk] != nil {
			left = append(left, index)
		}
	}
	s.free = left
}
