package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// Config sizes a ring. Zero values take the defaults.
type Config struct {
	// Entries is the size of the submission queue, rounded up to a power of two by the kernel;
	// the completion queue is eight times as long. Default 4096, at most 32768.
	Entries int
	// Buffers is the number of provided buffers: a power of two, default 1024, at most 4096.
	Buffers int
	// BufferSize is the size of each in bytes. Default 4096, at most 1 GiB.
	BufferSize int
}

const (
	entriesDefault    = 4096
	buffersDefault    = 1024
	bufferSizeDefault = 4096

	// Limits of the kernel (IORING_MAX_ENTRIES, IORING_MAX_CQ_ENTRIES).
	submissionEntriesMax = 32768
	completionEntriesMax = 2 * submissionEntriesMax

	// A burst between two ticks may complete far more than it submitted (multishot operations),
	// and an overflowing completion queue ends multishots, so the queue is long.
	completionsPerSubmission = 8

	bufferSizeMax = 1 << 30
)

func (c Config) withDefaults() (Config, error) {
	if c.Entries == 0 {
		c.Entries = entriesDefault
	}
	if c.Buffers == 0 {
		c.Buffers = buffersDefault
	}
	if c.BufferSize == 0 {
		c.BufferSize = bufferSizeDefault
	}
	if c.Entries < 1 || c.Entries > submissionEntriesMax {
		return c, fmt.Errorf("uring: %d submission entries: must be 1 to %d", c.Entries, submissionEntriesMax)
	}
	if c.Buffers < 1 || c.Buffers > buffersMax || c.Buffers&(c.Buffers-1) != 0 {
		return c, fmt.Errorf("uring: %d provided buffers: must be a power of two up to %d", c.Buffers, buffersMax)
	}
	if c.BufferSize < 1 || c.BufferSize > bufferSizeMax {
		return c, fmt.Errorf("uring: provided buffers of %d bytes: must be 1 to %d", c.BufferSize, bufferSizeMax)
	}
	return c, nil
}

// setupFlags make a ring for one thread whose completions are worked off only inside Enter.
const setupFlags = giouring.SetupSubmitAll | giouring.SetupCQSize | giouring.SetupSingleIssuer |
	giouring.SetupDeferTaskrun

// KernelRing is the kernel's io_uring. It implements Ring.
//
// Create it on the locked thread that will use it: the kernel refuses every other with EEXIST.
type KernelRing struct {
	fd   int
	ring *giouring.Ring // keeps the queues alive; nil after Stop

	// The shared words, where giouring mapped them.
	submission submissionQueue
	completion completionQueue

	sqes           []giouring.SubmissionQueueEntry
	cqes           []giouring.CompletionQueueEvent
	submissionMask uint32
	completionMask uint32
	submissionTail uint32 // of what is queued; the kernel sees it from flush on
	completionHead uint32

	// backlog holds operations that found the queue full while the kernel took none. It keeps
	// the order: while it is not empty everything queues behind it.
	backlog []giouring.SubmissionQueueEntry
	// failure is what a submission in the middle of a tick met; the next Enter reports it.
	failure error

	buffers bufferRing

	// reaped counts completions since the last enter, and gathers says that the kernel can wait
	// for several; see gathering.
	reaped  uint32
	gathers bool

	// What a waiting enter points to. Fields, because a stack may move under the kernel.
	argument getEventsArgument
	timeout  unix.Timespec

	// handed is the memory last given to an operation. The store makes such memory escape to
	// the heap: the kernel holds its address as a plain number, and a stack may move.
	handed *byte

	// enter is io_uring_enter(2), replaced in tests.
	enter enterFunc
}

var _ Ring = (*KernelRing)(nil)

type enterFunc func(fd int, submit, minimum, flags uint32, argument *getEventsArgument) syscall.Errno

// New makes a ring. Where the machine does not offer what it needs, the error is a *Refusal.
func New(config Config) (*KernelRing, error) {
	return newRing(config, &kernelSystem)
}

func newRing(config Config, from *system) (*KernelRing, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ring, params, err := setUp(uint32(config.Entries), from)
	if err != nil {
		return nil, err
	}
	shared := queuesOf(ring)
	r := &KernelRing{
		fd:         ring.RingFd(),
		ring:       ring,
		submission: *shared.submission,
		completion: *shared.completion,
		sqes:       unsafe.Slice(shared.submission.sqes, wordsOf(params)[paramsSQEntries]),
		cqes:       unsafe.Slice(shared.completion.cqes, wordsOf(params)[paramsCQEntries]),
		gathers:    wordsOf(params)[paramsFeatures]&featureMinimumWait != 0,
		enter:      enterKernel,
	}
	r.submissionMask = uint32(len(r.sqes) - 1)
	r.completionMask = uint32(len(r.cqes) - 1)
	r.submissionTail = atomic.LoadUint32(r.submission.tail)
	r.completionHead = atomic.LoadUint32(r.completion.head)
	if err := r.buffers.register(ring, config.Buffers, config.BufferSize); err != nil {
		return nil, errors.Join(refusalOf(err, from), r.Stop())
	}
	return r, nil
}

// setUp makes the kernel's side of a ring and maps it.
func setUp(entries uint32, from *system) (*giouring.Ring, *giouring.Params, error) {
	if err := checkKernel(from); err != nil {
		return nil, nil, err
	}
	ring, params := giouring.NewRing(), &giouring.Params{}
	words := wordsOf(params)
	words[paramsFlags] = setupFlags
	words[paramsCQEntries] = min(entries*completionsPerSubmission, completionEntriesMax)
	if err := from.setup(ring, entries, params); err != nil {
		return nil, nil, refusalOf(err, from)
	}
	if missing := featuresRequired &^ words[paramsFeatures]; missing != 0 {
		return nil, nil, errors.Join(featureRefusal(missing), closeRing(ring, params))
	}
	return ring, params, nil
}

// closeRing gives back a ring's descriptor and its two mappings. giouring's QueueExit would leave
// the mappings behind: it asks unix.Munmap, which knows only those it made itself.
func closeRing(ring *giouring.Ring, params *giouring.Params) error {
	return closeQueues(ring.RingFd(), queuesOf(ring), uintptr(wordsOf(params)[paramsSQEntries]))
}

func closeQueues(fd int, shared *queues, entries uintptr) error {
	submission, completion := shared.submission, shared.completion
	err := unix.MunmapPtr(unsafe.Pointer(submission.sqes), entries*unsafe.Sizeof(giouring.SubmissionQueueEntry{}))
	if completion.ring != submission.ring {
		err = errors.Join(err, unix.MunmapPtr(completion.ring, uintptr(completion.ringSize)))
	}
	err = errors.Join(err, unix.MunmapPtr(submission.ring, uintptr(submission.ringSize)), unix.Close(fd))
	if err != nil {
		return fmt.Errorf("uring: close ring: %w", err)
	}
	return nil
}

// FD is the ring's descriptor, which other rings name in Message.
func (r *KernelRing) FD() int { return r.fd }

// Stop closes the ring and frees its memory. Only for a ring with nothing in flight, from the
// thread that made it. A second Stop does nothing.
func (r *KernelRing) Stop() error {
	if r.ring == nil {
		return nil
	}
	err := r.buffers.unregister(r.ring)
	err = errors.Join(err, closeQueues(r.fd, queuesOf(r.ring), uintptr(len(r.sqes))))
	// Whoever goes on using a stopped ring must crash in Go, not write to memory that is gone.
	*r = KernelRing{fd: -1}
	return err
}
