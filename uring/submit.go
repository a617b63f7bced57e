package uring

import (
	"sync/atomic"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// entry is an SQE. Operations build one as a literal, so fields they do not name are zero: the
// kernel refuses a Close, for one, that carries a field of the slot's earlier operation.
type entry = giouring.SubmissionQueueEntry

// push queues e. Every SQE of this package is written here and nowhere else.
func (r *KernelRing) push(e entry) {
	if !r.room() {
		r.backlog = append(r.backlog, e)
		return
	}
	r.sqes[r.submissionTail&r.submissionMask] = e
	r.submissionTail++
}

// room makes sure of a free slot, submitting what is queued if there is none. It fails only if the
// kernel takes nothing (its memory is short) or earlier operations wait in the backlog.
func (r *KernelRing) room() bool {
	if len(r.backlog) > 0 {
		return false
	}
	if r.queued() <= r.submissionMask {
		return true
	}
	// No GETEVENTS: completions are not worked off in the middle of a tick.
	if errno := r.enter(r.fd, r.flush(), 0, 0, nil); errno != 0 && !transient(errno) {
		r.failure = enterError(errno)
	}
	return r.queued() <= r.submissionMask
}

// queued is the number of operations that the kernel has not taken yet.
func (r *KernelRing) queued() uint32 {
	return r.submissionTail - atomic.LoadUint32(r.submission.head)
}

// flush shows the kernel everything queued and gives its number.
func (r *KernelRing) flush() uint32 {
	atomic.StoreUint32(r.submission.tail, r.submissionTail)
	return r.queued()
}

// hand gives the address of memory that an operation will use.
func (r *KernelRing) hand(b []byte) uint64 {
	r.handed = unsafe.SliceData(b)
	return uint64(uintptr(unsafe.Pointer(r.handed)))
}

// Nop completes with 0.
func (r *KernelRing) Nop(u UserData) {
	r.push(entry{OpCode: giouring.OpNop, Fd: -1, UserData: uint64(u)})
}

// AcceptMultishot accepts connections; see Ring.
func (r *KernelRing) AcceptMultishot(u UserData, fd int) {
	r.push(entry{
		OpCode:      giouring.OpAccept,
		IoPrio:      giouring.AcceptMultishot,
		Fd:          int32(fd),
		OpcodeFlags: unix.SOCK_CLOEXEC,
		UserData:    uint64(u),
	})
}

// RecvMultishot receives into provided buffers; see Ring.
func (r *KernelRing) RecvMultishot(u UserData, fd int) {
	r.push(entry{
		OpCode:   giouring.OpRecv,
		Flags:    giouring.SqeBufferSelect,
		IoPrio:   giouring.RecvMultishot,
		Fd:       int32(fd),
		BufIG:    bufferGroup,
		UserData: uint64(u),
	})
}

// RecvProvided receives once into a provided buffer; see Ring.
func (r *KernelRing) RecvProvided(u UserData, fd int) {
	r.push(entry{
		OpCode:   giouring.OpRecv,
		Flags:    giouring.SqeBufferSelect,
		Fd:       int32(fd),
		BufIG:    bufferGroup,
		UserData: uint64(u),
	})
}

// Recv receives into b; see Ring.
func (r *KernelRing) Recv(u UserData, fd int, b []byte) {
	r.push(entry{
		OpCode:   giouring.OpRecv,
		Fd:       int32(fd),
		Addr:     r.hand(b),
		Len:      lengthOf(b),
		UserData: uint64(u),
	})
}

// Poll waits until fd is ready; see Ring.
func (r *KernelRing) Poll(u UserData, fd int, events uint32) {
	r.push(entry{OpCode: giouring.OpPollAdd, Fd: int32(fd), OpcodeFlags: events, UserData: uint64(u)})
}

// Connect connects fd; see Ring.
func (r *KernelRing) Connect(u UserData, fd int, address []byte) {
	r.push(entry{
		OpCode:   giouring.OpConnect,
		Fd:       int32(fd),
		Off:      uint64(len(address)),
		Addr:     r.hand(address),
		UserData: uint64(u),
	})
}

// Send sends b; see Ring.
func (r *KernelRing) Send(u UserData, fd int, b []byte) {
	r.push(entry{
		OpCode:      giouring.OpSend,
		Fd:          int32(fd),
		Addr:        r.hand(b),
		Len:         lengthOf(b),
		OpcodeFlags: unix.MSG_NOSIGNAL | unix.MSG_WAITALL,
		UserData:    uint64(u),
	})
}

// SendPart sends some of b; see Ring.
func (r *KernelRing) SendPart(u UserData, fd int, b []byte, awaitsRoom bool) {
	flags := uint16(0)
	if awaitsRoom {
		flags = giouring.RecvsendPollFirst
	}
	r.push(entry{
		OpCode:      giouring.OpSend,
		IoPrio:      flags,
		Fd:          int32(fd),
		Addr:        r.hand(b),
		Len:         lengthOf(b),
		OpcodeFlags: unix.MSG_NOSIGNAL,
		UserData:    uint64(u),
	})
}

// Read reads into b; see Ring.
func (r *KernelRing) Read(u UserData, fd int, b []byte) {
	r.push(entry{
		OpCode:   giouring.OpRead,
		Fd:       int32(fd),
		Off:      ^uint64(0), // the descriptor's own position
		Addr:     r.hand(b),
		Len:      lengthOf(b),
		UserData: uint64(u),
	})
}

// ReadAt reads into b from offset on; see Ring.
func (r *KernelRing) ReadAt(u UserData, fd int, b []byte, offset int64) {
	r.push(entry{
		OpCode:   giouring.OpRead,
		Fd:       int32(fd),
		Off:      uint64(offset),
		Addr:     r.hand(b),
		Len:      lengthOf(b),
		UserData: uint64(u),
	})
}

// lengthMax keeps a count within Completion.Result; longer memory is worked off in several
// operations, as any short result is.
const lengthMax = 1<<31 - 1

func lengthOf(b []byte) uint32 { return uint32(min(len(b), lengthMax)) }

// Shutdown is shutdown(2); see Ring.
func (r *KernelRing) Shutdown(u UserData, fd int, how int) {
	r.push(entry{OpCode: giouring.OpShutdown, Fd: int32(fd), Len: uint32(how), UserData: uint64(u)})
}

// Close closes fd; see Ring.
func (r *KernelRing) Close(u UserData, fd int) {
	r.push(entry{OpCode: giouring.OpClose, Fd: int32(fd), UserData: uint64(u)})
}

// Cancel asks for the end of target; see Ring.
func (r *KernelRing) Cancel(u UserData, target UserData) {
	r.push(entry{OpCode: giouring.OpAsyncCancel, Fd: -1, Addr: uint64(target), UserData: uint64(u)})
}

// Message posts a completion on another ring; see Ring.
func (r *KernelRing) Message(u UserData, ring int, payload UserData, result int32) {
	r.push(entry{
		OpCode:   giouring.OpMsgRing,
		Flags:    giouring.SqeCQESkipSuccess,
		Fd:       int32(ring),
		Off:      uint64(payload),
		Addr:     uint64(giouring.MsgData),
		Len:      uint32(result),
		UserData: uint64(u),
	})
}
