package hostcall

import (
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A packed list of values is what a call brings that does not wait: the number of values (8 bytes), the CPU time
// that they have cost in nanoseconds (8 bytes, of results), for each value kind and id (4 bytes each), length,
// offset of its data in the list, and number (8 bytes each); then the data. If the number of values has the bit
// packedFailed, the values are the name and the text of an error.
const (
	packedHead   = 16
	packedValue  = 32
	packedFailed = 1 << 32
	packedAlign  = 8
)

var errPacked = errors.New("hostcall: malformed list of values")

// A Work is a call for which JavaScript does not wait. It is made and packed on the isolate's thread and runs on
// a goroutine.
type Work struct {
	function  Func
	call      Call
	used      []*object // that are arguments
	made      []any     // that are results
	problem   *Error
	cpu       time.Duration
	cpuMax    time.Duration
	cpuBegan  time.Duration
	cancelled atomic.Bool
}

// NewWork prepares a call of the function with an index of Bind. The packed arguments must not change until the
// work has run.
func (o *Objects) NewWork(function int, packed []byte) (*Work, error) {
	w := &Work{function: functionAt(function)}
	w.call.work = w
	if err := w.unpack(o, packed); err != nil {
		w.leaveUsed()
		return nil, err
	}
	w.call.results = make([]Value, 0, ResultsMax)
	return w, nil
}

func (w *Work) unpack(o *Objects, packed []byte) error {
	if len(packed) < packedHead {
		return errPacked
	}
	count := binary.NativeEndian.Uint64(packed)
	if count > ArgumentsMax || packedHead+packedValue*count > uint64(len(packed)) {
		return errPacked
	}
	for i := range count {
		from := packed[packedHead+packedValue*i:]
		value := Value{
			Kind:   Kind(binary.NativeEndian.Uint32(from)),
			Length: binary.NativeEndian.Uint64(from[8:]),
			Number: math.Float64frombits(binary.NativeEndian.Uint64(from[24:])),
		}
		switch value.Kind {
		case Text, Bytes:
			offset := binary.NativeEndian.Uint64(from[16:])
			if offset > uint64(len(packed)) || value.Length > uint64(len(packed))-offset {
				return errPacked
			}
			value.Data = unsafe.Pointer(unsafe.SliceData(packed[offset:]))
		case Object:
			entry := o.entry(binary.NativeEndian.Uint32(from[4:]))
			if entry == nil {
				return errPacked
			}
			entry.users.Add(1)
			value.ID = uint32(len(w.used))
			w.used = append(w.used, entry)
		}
		w.call.arguments = append(w.call.arguments, value)
	}
	return nil
}

// Limit has the function hear that it is cancelled, if it asks, when it has run for so much CPU time. 0: no limit.
func (w *Work) Limit(cpu time.Duration) { w.cpuMax = cpu }

// Run calls the function, on a goroutine that is locked to its thread: its CPU time is measured.
func (w *Work) Run() {
	w.cpuBegan = threadTime()
	if w.cancelled.Load() {
		w.problem = &Error{"AbortError", "nobody waits for the outcome"}
	} else {
		w.problem = w.call.run(w.function)
	}
	w.cpu = threadTime() - w.cpuBegan
	w.leaveUsed()
}

// CPU is the CPU time that Run has taken.
func (w *Work) CPU() time.Duration { return w.cpu }

// Cancel says that nobody waits for the outcome. From any thread.
func (w *Work) Cancel() { w.cancelled.Store(true) }

func (w *Work) isCancelled() bool {
	return w.cancelled.Load() || w.cpuMax > 0 && threadTime()-w.cpuBegan > w.cpuMax
}

func (w *Work) leaveUsed() {
	for _, entry := range w.used {
		entry.leave()
	}
	w.used, w.call.arguments = nil, nil
}

func (w *Work) closeMade() {
	for _, value := range w.made {
		closeValue(value)
	}
	w.made = nil
}

// Drop gives up a work whose outcome nobody wants, after Run or instead of it.
func (w *Work) Drop() {
	w.leaveUsed()
	w.closeMade()
	w.call.results = nil
}

// Pack gives the outcome as a packed list of values. Objects that were made are the isolate's from now on.
func (w *Work) Pack(o *Objects) []byte {
	results := w.call.results
	count := uint64(len(results))
	if w.problem != nil {
		results = []Value{textValue(w.problem.Name), textValue(w.problem.Text)}
		count = uint64(len(results)) | packedFailed
	}
	size := packedHead + packedValue*len(results)
	for i := range results {
		if results[i].Kind != Object {
			size += (int(results[i].Length) + packedAlign - 1) &^ (packedAlign - 1)
		}
	}
	packed := make([]byte, packedHead, size)
	binary.NativeEndian.PutUint64(packed, count)
	binary.NativeEndian.PutUint64(packed[8:], uint64(w.cpu))
	offset := packedHead + packedValue*len(results)
	for i := range results {
		value := &results[i]
		id := uint32(0)
		if value.Kind == Object {
			id = o.add(w.made[value.ID])
		}
		packed = binary.NativeEndian.AppendUint32(packed, uint32(value.Kind))
		packed = binary.NativeEndian.AppendUint32(packed, id)
		packed = binary.NativeEndian.AppendUint64(packed, value.Length)
		packed = binary.NativeEndian.AppendUint64(packed, uint64(offset))
		packed = binary.NativeEndian.AppendUint64(packed, math.Float64bits(value.Number))
		if value.Kind != Object {
			offset += (int(value.Length) + packedAlign - 1) &^ (packedAlign - 1)
		}
	}
	w.made = nil
	for i := range results {
		if value := &results[i]; value.Kind != Object && value.Length != 0 {
			packed = append(packed, unsafe.Slice((*byte)(value.Data), value.Length)...)
			packed = append(packed, make([]byte, -len(packed)&(packedAlign-1))...)
		}
	}
	return packed
}

func textValue(text string) Value {
	return Value{Kind: Text, Length: uint64(len(text)), Data: unsafe.Pointer(unsafe.StringData(text))}
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		return 0 // the clock exists on every kernel that has io_uring
	}
	return time.Duration(now.Nano())
}
