package isolates

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nano/isolates/shim"
)

// Options of a new isolate.
type Options struct {
	// Wake is an eventfd that V8's threads write to when they post a task; -1: none.
	Wake int
	// HeapLimit ends the isolate when its heap grows beyond, in bytes; 0: V8's default.
	HeapLimit uint64
	// CPULimit ends the isolate when a turn takes more CPU time than this for each of its records;
	// 0: none. It holds on threads that called WatchThread.
	CPULimit time.Duration
}

// Isolate is one app in one V8 isolate.
type Isolate struct {
	isolate shim.Isolate
	arena   arena
	inputs  [1]shim.Input
	out     []byte // records of the last turn not yet given by Next
	record  Record
	failed  error // staging failed: the next turn ends the isolate
}

// NewIsolate restores an isolate and starts the app in it. An error names the place in the app's
// source, if that is where the fault lies.
func (r *Runtime) NewIsolate(app *App, options Options) (*Isolate, error) {
	bare, err := shim.NewIsolate(r.blob, options.Wake, options.HeapLimit, options.CPULimit)
	if err != nil {
		return nil, err
	}
	if err := bare.Load(app.modules, app.Name, app.EnvJSON); err != nil {
		bare.Dispose()
		return nil, err
	}
	return &Isolate{isolate: bare, arena: arena{isolate: bare}}, nil
}

// Dispose ends the isolate and frees its memory. Blocks given out stay valid.
func (i *Isolate) Dispose() { i.isolate.Dispose() }

// AddRequest stages a request for the next turn.
func (i *Isolate) AddRequest(r *Request) { i.note(i.arena.request(r)) }

// AddTimer stages the firing of a timer that a KindTimerSet record asked for.
func (i *Isolate) AddTimer(id uint32) { i.note(i.arena.short(recordTimer, id)) }

// AddSent stages the news that the last KindChunk of request id has left: the next may be made.
func (i *Isolate) AddSent(id uint32) { i.note(i.arena.short(recordSent, id)) }

// AddGone stages the news that the client of request id has gone away. The request must still be
// answered by the app; its records are to be dropped.
func (i *Isolate) AddGone(id uint32) { i.note(i.arena.short(recordGone, id)) }

func (i *Isolate) note(err error) {
	if err != nil {
		i.failed = ErrMemoryLimit
	}
}

// Turn is the crossing: everything staged goes in, the app runs, microtasks and due V8 tasks are
// drained. What came out is read with Next. After an error the isolate is good for Dispose only;
// records made before are still to be read.
func (i *Isolate) Turn() error {
	if i.failed != nil {
		i.out = nil
		return i.failed
	}
	inputs := i.inputs[:0]
	if i.arena.count > 0 {
		inputs = append(inputs, i.arena.staged())
	}
	records, alive := i.isolate.Turn(inputs)
	if len(inputs) > 0 {
		i.arena.taken(inputs[0])
	}
	i.out = records
	if alive {
		return nil
	}
	if atomic.LoadUint32(&i.isolate.Shared.Dead) == shim.DeadCPU {
		return ErrCPULimit
	}
	return ErrMemoryLimit
}

// Unfinished reports that the last Turn stopped after its share of time: staged records are left,
// for which the isolate wants another turn in the next tick.
func (i *Isolate) Unfinished() bool { return i.arena.count > 0 }

// Next gives the records of the last turn, one after the other. The record is reused; its slices
// are valid until the next turn.
func (i *Isolate) Next() (*Record, bool) {
	if len(i.out) == 0 {
		return nil, false
	}
	header := (*shim.Header)(unsafe.Pointer(&i.out[0]))
	rest := i.out[unsafe.Sizeof(*header):]
	i.out = i.out[header.Size:]

	record := &i.record
	*record = Record{Kind: Kind(header.Kind), ID: header.ID}
	record.Reason, rest = rest[:header.ReasonLength], rest[header.ReasonLength:]
	record.Head, rest = rest[:header.HeadLength], rest[header.HeadLength:]
	if header.Block != nil {
		record.Block = Block{header.Block}
		record.Body = record.Block.Bytes(int(header.BodyLength))[HeadRoom:]
	} else {
		record.Body = rest[:header.BodyLength]
	}
	switch record.Kind {
	case KindRespond:
		record.Status = header.Status
		record.Streaming = header.Flags&flagStreaming != 0
		record.Pending = header.Flags&flagPending != 0
		record.NoBody = header.Flags&flagNoBody != 0
	case KindEnd:
		record.Failed = header.Flags != 0
	case KindTimerSet:
		record.Delay = time.Duration(header.DelayMS * float64(time.Millisecond))
	case KindLog:
		record.Level = Level(header.Flags)
		record.Pending = header.Status != 0
	}
	return record, true
}

// Flags of the op respond.
const (
	flagStreaming = 1
	flagPending   = 2
	flagNoBody    = 4
)

// HasTasks reports that V8 has posted tasks for the isolate, which a turn will run.
func (i *Isolate) HasTasks() bool { return atomic.LoadUint32(&i.isolate.Shared.Tasks) != 0 }

// TaskDeadline is the time until V8's next delayed task; false: there is none.
func (i *Isolate) TaskDeadline() (time.Duration, bool) {
	at := atomic.LoadInt64(&i.isolate.Shared.TaskTimeNS)
	if at == 0 {
		return 0, false
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprintf("the monotonic clock cannot be read: %v", err))
	}
	return max(0, time.Duration(at-now.Nano())), true
}

// Memory is what the isolate holds, in bytes.
func (i *Isolate) Memory() shim.Memory { return i.isolate.Memory() }

// Collect runs a full garbage collection and gives free memory back to the system.
func (i *Isolate) Collect() { i.isolate.Collect() }

// Block is memory for a large body, with HeadRoom bytes before it. The zero Block is none.
type Block struct{ memory unsafe.Pointer }

// Bytes are the head room and a body of the given length.
func (b Block) Bytes(bodyLength int) []byte {
	return unsafe.Slice((*byte)(b.memory), HeadRoom+bodyLength)
}

// IsZero reports that there is no block.
func (b Block) IsZero() bool { return b.memory == nil }

// FreeBlock gives a block back.
func FreeBlock(b Block) { shim.Free(b.memory) }
