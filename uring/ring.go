// Package uring is the only package that touches SQEs, CQEs and memory shared with the kernel.
//
// A Ring belongs to one locked OS thread. Everything that is queued on it is submitted by the next
// Enter; completions are copied out by Reap and never handled recursively.
//
// KernelRing is the kernel's, Probe tells whether this machine offers it, Waker and Mailbox reach a
// loop from other threads, and package fakering has a ring without a kernel for tests.
package uring

import "time"

// UserData names what a completion belongs to: kind (8 bits), generation (24 bits), index (32 bits).
// A slot is reused with a new generation, so a late completion of its earlier life is told apart.
// It is never a pointer.
type UserData uint64

// GenerationMask bounds the generation part of a UserData; generations wrap within it.
const GenerationMask = 1<<24 - 1

// Pack builds a UserData; Unpack is its inverse.
func Pack(kind uint8, generation, index uint32) UserData {
	return UserData(kind)<<56 | UserData(generation&GenerationMask)<<32 | UserData(index)
}

// Unpack is the inverse of Pack.
func (u UserData) Unpack() (kind uint8, generation, index uint32) {
	return uint8(u >> 56), uint32(u>>32) & GenerationMask, uint32(u)
}

// Completion is a CQE, copied out of the ring. Result is the operation's result, or -errno.
type Completion struct {
	UserData UserData
	Result   int32
	Flags    uint32
}

// Completion flags, as the kernel defines them.
const (
	flagBuffer = 1 << 0
	flagMore   = 1 << 1
)

// More reports that a multishot operation stays armed. Without it the operation has ended, even
// when Result is a success: arm it again if it is still wanted.
func (c Completion) More() bool { return c.Flags&flagMore != 0 }

// Buffer gives the provided buffer that holds what was received, if one was used. The receiver owns
// it until Ring.ReturnBuffer.
func (c Completion) Buffer() (id uint16, ok bool) {
	return uint16(c.Flags >> 16), c.Flags&flagBuffer != 0
}

// Ring is what a loop needs of io_uring. The kernel's ring and the seeded fake ring implement it.
//
// Memory handed to an operation must stay alive and untouched until its completion. Results follow
// the kernel: a count or descriptor, or -errno.
type Ring interface {
	// FD is the ring's descriptor, which other rings name in Message.
	FD() int

	// AcceptMultishot accepts connections from the listening socket fd until it is cancelled or
	// a completion comes without More. Result is the new descriptor (close-on-exec).
	AcceptMultishot(u UserData, fd int)
	// RecvMultishot receives into provided buffers until the end of the stream (Result 0), an
	// error, or a completion without More. -ENOBUFS: no provided buffer was free; arm again when
	// one has been returned.
	RecvMultishot(u UserData, fd int)
	// RecvProvided is RecvMultishot for one completion, which is without More.
	RecvProvided(u UserData, fd int)
	// Recv receives into b what there is, or waits until there is something. Result 0: the end of the stream.
	Recv(u UserData, fd int, b []byte)
	// Poll waits until the socket fd is ready for what events says, unix.POLLIN or unix.POLLOUT, or has ended or
	// failed. Result is the events that have come, more than zero. It may be ready no more by then.
	Poll(u UserData, fd int, events uint32)
	// Connect connects the socket fd to an address that AppendAddress made. The result is 0 or the
	// errno of connect(2); -ECANCELED if it was cancelled while it was under way.
	Connect(u UserData, fd int, address []byte)
	// Send sends b without raising SIGPIPE. The kernel retries short sends (MSG_WAITALL), but a
	// short Result must still be handled.
	Send(u UserData, fd int, b []byte)
	// SendPart is Send for as much of b as the socket has room for, one byte at least. awaitsRoom: it is full, so
	// that the kernel need not try before there is room for much: a third of what the socket holds.
	SendPart(u UserData, fd int, b []byte, awaitsRoom bool)
	// Read reads into b at the descriptor's position (an eventfd, a pipe).
	Read(u UserData, fd int, b []byte)
	// ReadAt reads into b from offset on (a file). What is not in the page cache is waited for by a thread
	// of the kernel. Result 0: the file ends there.
	ReadAt(u UserData, fd int, b []byte, offset int64)
	// Shutdown is shutdown(2); how is unix.SHUT_RD, SHUT_WR or SHUT_RDWR.
	Shutdown(u UserData, fd int, how int)
	// Close closes fd. It does not end other operations on it: cancel them first.
	Close(u UserData, fd int)
	// Cancel asks for the end of the operation target. Result is 0, -ENOENT (already completed)
	// or -EALREADY; the target itself completes too, usually with -ECANCELED.
	Cancel(u UserData, target UserData)
	// Message posts the completion {payload, result} on the ring whose descriptor is ring, and
	// wakes it. It completes only if nothing was posted, by the end of the Enter that submits it:
	// with -EBADF or -EBADFD where there is no such ring any more, with -EOVERFLOW or -ENOMEM
	// where it can take no more.
	Message(u UserData, ring int, payload UserData, result int32)

	// Enter submits what is queued. With wait it then blocks until there is a completion or
	// timeout has passed (negative: no limit). A timeout or a signal is not an error.
	Enter(wait bool, timeout time.Duration) error
	// Reap copies completions out, at most len(into), and returns their number.
	Reap(into []Completion) int

	// Buffer is the first n bytes of provided buffer id.
	Buffer(id uint16, n int) []byte
	// ReturnBuffer gives a buffer back. The kernel sees it at the next Enter.
	ReturnBuffer(id uint16)
	// TrimBuffers gives the memory of provided buffers that hold nothing back to the kernel, until something is
	// received into them again. It does nothing while there are completions to be reaped.
	TrimBuffers()

	// Stop closes the ring and frees its memory. Only for a ring with nothing in flight, from
	// the thread that made it.
	Stop() error
}
