package uring

//lint:file-ignore U1000 the mirrors have the fields of what they mirror, used or not

import (
	"unsafe"

	"github.com/pawelgaczynski/giouring"
)

// giouring keeps the set-up parameters and the addresses of its mappings to itself. This file is
// the one place that looks inside: mirrors of its structures, each with an assertion that the sizes
// agree (TestGiouringLayout compares every offset that is used).

// Words of struct io_uring_params, all of 32 bits.
const (
	paramsSQEntries = 0
	paramsCQEntries = 1
	paramsFlags     = 2
	paramsFeatures  = 5
)

// paramWords is giouring.Params, seen as 32-bit words.
type paramWords [30]uint32

// submissionQueue mirrors giouring.SubmissionQueue.
type submissionQueue struct {
	head, tail, mask, entries, flags, dropped, array *uint32

	sqes     *giouring.SubmissionQueueEntry
	ringSize uint
	ring     unsafe.Pointer
	_        [4]uint32
}

// completionQueue mirrors giouring.CompletionQueue.
type completionQueue struct {
	head, tail, mask, entries, flags, overflow *uint32

	cqes     *giouring.CompletionQueueEvent
	ringSize uint
	ring     unsafe.Pointer
	_        [2]uint32
}

// queues mirrors the head of giouring.Ring; only its first two words are used.
type queues struct {
	submission *submissionQueue
	completion *completionQueue
	_          [5]uint64
}

// An array type of negative length does not compile: sizes must be equal, both ways.
type (
	_ [unsafe.Sizeof(giouring.Params{}) - unsafe.Sizeof(paramWords{})]byte
	_ [unsafe.Sizeof(paramWords{}) - unsafe.Sizeof(giouring.Params{})]byte
	_ [unsafe.Sizeof(giouring.SubmissionQueue{}) - unsafe.Sizeof(submissionQueue{})]byte
	_ [unsafe.Sizeof(submissionQueue{}) - unsafe.Sizeof(giouring.SubmissionQueue{})]byte
	_ [unsafe.Sizeof(giouring.CompletionQueue{}) - unsafe.Sizeof(completionQueue{})]byte
	_ [unsafe.Sizeof(completionQueue{}) - unsafe.Sizeof(giouring.CompletionQueue{})]byte
	_ [unsafe.Sizeof(giouring.Ring{}) - unsafe.Sizeof(queues{})]byte
	_ [unsafe.Sizeof(queues{}) - unsafe.Sizeof(giouring.Ring{})]byte
	_ [unsafe.Sizeof(giouring.SubmissionQueueEntry{}) - 64]byte
	_ [64 - unsafe.Sizeof(giouring.SubmissionQueueEntry{})]byte
	_ [unsafe.Sizeof(giouring.CompletionQueueEvent{}) - unsafe.Sizeof(Completion{})]byte
	_ [unsafe.Sizeof(Completion{}) - unsafe.Sizeof(giouring.CompletionQueueEvent{})]byte
	_ [unsafe.Sizeof(giouring.BufAndRing{}) - 16]byte
	_ [16 - unsafe.Sizeof(giouring.BufAndRing{})]byte
)

func wordsOf(params *giouring.Params) *paramWords {
	return (*paramWords)(unsafe.Pointer(params))
}

func queuesOf(ring *giouring.Ring) *queues {
	return (*queues)(unsafe.Pointer(ring))
}

// getEventsArgument is struct io_uring_getevents_arg, whose fields giouring does not export.
// The kernel reads it, and the time it points to, when it is entered with EXT_ARG.
type getEventsArgument struct {
	signalMask     uint64
	signalMaskSize uint32
	minimumWait    uint32 // µs, from Linux 6.12 on (featureMinimumWait); 0 before
	timeout        uint64
}

type (
	_ [unsafe.Sizeof(giouring.GetEventsArg{}) - unsafe.Sizeof(getEventsArgument{})]byte
	_ [unsafe.Sizeof(getEventsArgument{}) - unsafe.Sizeof(giouring.GetEventsArg{})]byte
)
