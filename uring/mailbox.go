package uring

import (
	"sync"
	"sync/atomic"
)

// Mailbox carries values from any goroutine to one loop and wakes it. Once its two slices have
// grown to the size of the usual batch it allocates nothing.
type Mailbox[T any] struct {
	waker *Waker

	mutex    sync.Mutex
	incoming []T
	closed   bool

	// waiting is whether incoming holds something, readable without the lock.
	waiting atomic.Bool
	// batch is what Take gave last. Only the loop touches it.
	batch []T
}

// NewMailbox makes a mailbox whose posts wake waker's loop. Several may share one waker.
func NewMailbox[T any](waker *Waker) *Mailbox[T] { return &Mailbox[T]{waker: waker} }

// Post appends value and wakes the loop, from any goroutine. False: the mailbox is closed, and
// the value remains the caller's.
func (m *Mailbox[T]) Post(value T) bool {
	if !m.Put(value) {
		return false
	}
	m.waker.Wake()
	return true
}

// Put is Post without the waking, which the caller sees to: Waker.Claim tells whether it is needed.
func (m *Mailbox[T]) Put(value T) bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.closed {
		return false
	}
	m.incoming = append(m.incoming, value)
	m.waiting.Store(true)
	return true
}

// Empty tells whether there is nothing to take. One atomic load.
func (m *Mailbox[T]) Empty() bool { return !m.waiting.Load() }

// Take gives everything posted so far, in order, to the loop. The slice is valid until the next
// Take, which clears it so that nothing is kept alive for longer.
func (m *Mailbox[T]) Take() []T {
	clear(m.batch)
	m.batch = m.batch[:0]
	if m.Empty() {
		return nil
	}
	m.mutex.Lock()
	m.batch, m.incoming = m.incoming, m.batch
	m.waiting.Store(false)
	m.mutex.Unlock()
	return m.batch
}

// Close makes later posts fail and gives what was posted before. Only the loop closes.
func (m *Mailbox[T]) Close() []T {
	m.mutex.Lock()
	m.closed = true
	m.mutex.Unlock()
	return m.Take()
}
