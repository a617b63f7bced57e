package isolates

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nano/isolates/shim"
)

// Isolate is one app in one V8 isolate.
type Isolate struct {
	isolate   shim.Isolate
	app       *App
	runtime   *Runtime
	wake      int
	image     *Image
	loaded    *loadedImage
	inspector *Inspector // nil: it cannot be debugged
	contexts  *contexts  // nil, but for an app with a context for each request
	arena     arena      // without contexts
	inputs    []shim.Input
	out       []byte // records of the last turn not yet given by Next
	record    Record
	failed    error // staging failed: the next turn ends the isolate

	cpu          time.Duration // of V8 isolates that were replaced
	paused       time.Duration // the same, for debuggers
	resident     int64
	reserved     ranges
	heapTotal    uint64        // when reserved was measured
	measuredAt   time.Duration // CPU, when resident was refreshed
	isGrown      bool          // resident is to be refreshed by the next turn
	heapUsed     int64
	external     int64 // bytes of ArrayBuffers and the like
	externalKept int64 // of them, after the last collection for their sake
	shrunkTo     int64 // resident, after the last Shrink
	young        int64 // the most that the young generation held since
	turns        uint
	started      Start
}

// Start tells how an isolate was started.
type Start struct {
	How      string // "snapshot", "cache" or "source"
	Duration time.Duration
}

// What Start.How may be: the app's snapshot, an isolate of the runtime's with code caches, or one
// without.
const (
	startSnapshot = "snapshot"
	startCache    = "cache"
	startSource   = "source"
)

// HeapSpaces is the number of V8's heap spaces.
const HeapSpaces = 13

// HeapSpaceNames are V8's heap spaces, in the order of HeapStats.Spaces.
var HeapSpaceNames = [HeapSpaces]string{"read_only", "new", "old", "code", "shared", "trusted", "shared_trusted",
	"new_large_object", "large_object", "code_large_object", "shared_large_object", "shared_trusted_large_object",
	"trusted_large_object"}

// HeapStats are what isolates hold, in bytes.
type HeapStats struct {
	Spaces   [HeapSpaces]HeapSpace
	External int64 // ArrayBuffers and other memory outside the heap that objects of it own
	Malloced int64 // V8's own structures
}

// HeapSpace is one of V8's heap spaces.
type HeapSpace struct {
	Used      int64 // by objects
	Committed int64 // of memory
}

// Add adds up the heaps of several isolates.
func (h *HeapStats) Add(other *HeapStats) {
	for i := range h.Spaces {
		h.Spaces[i].Used += other.Spaces[i].Used
		h.Spaces[i].Committed += other.Spaces[i].Committed
	}
	h.External += other.External
	h.Malloced += other.Malloced
}

// Dispose ends the isolate and frees its memory. Blocks given out stay valid.
func (i *Isolate) Dispose() {
	if i.isolate.Dispose() {
		i.reserved.count(ranges{})
		i.image.release()
	}
}

// AddRequest stages a request for the next turn.
func (i *Isolate) AddRequest(r *Request) {
	i.isGrown = i.isGrown || len(r.Body) >= measureBody
	if i.contexts != nil {
		i.note(i.contexts.addRequest(r))
		return
	}
	i.note(i.arena.request(r))
}

// AddTimer stages the firing of a timer that a KindTimerSet record asked for.
func (i *Isolate) AddTimer(id uint32) {
	if i.contexts != nil {
		i.note(i.contexts.addTimer(id))
		return
	}
	i.note(i.arena.short(recordTimer, id))
}

// AddSent stages the news that the last KindChunk of request id has left: the next may be made.
func (i *Isolate) AddSent(id uint32) { i.note(i.addShort(recordSent, id)) }

// AddGone stages the news that the client of request id has gone away. The request must still be
// answered by the app; its records are to be dropped.
func (i *Isolate) AddGone(id uint32) { i.note(i.addShort(recordGone, id)) }

func (i *Isolate) addShort(kind, id uint32) error {
	if i.contexts != nil {
		return i.contexts.addShort(kind, id)
	}
	return i.arena.short(kind, id)
}

// AddScheduled stages the firing of a cron schedule, which is answered as a request with this id is:
// with status 200, or 500 if the app's scheduled() failed.
func (i *Isolate) AddScheduled(id uint32, logID uint64, cron []byte, timeMS int64) {
	if i.contexts != nil {
		i.note(i.contexts.addScheduled(id, logID, cron, timeMS))
		return
	}
	i.note(i.arena.scheduled(id, logID, cron, timeMS))
}

// AddResponse stages the head of the answer to what a KindOpen record has asked for.
func (i *Isolate) AddResponse(r *Response) {
	i.isGrown = i.isGrown || len(r.Body) >= measureBody
	if a := i.arenaOf(r.Handle); a != nil {
		i.note(a.response(r))
	}
	if !r.Streams && r.Status != 101 { // that is a WebSocket from now on
		i.over(r.Handle, true)
	}
}

// AddData stages bytes that a handle gives, or a message of a WebSocket.
func (i *Isolate) AddData(handle int32, data []byte, kind DataKind) {
	i.isGrown = i.isGrown || len(data) >= measureBody
	if a := i.arenaOf(handle); a != nil {
		i.note(a.data(handle, data, kind))
	}
}

// AddEnd stages the end of what a handle gives; with a fault the end of all of it, which text explains.
func (i *Isolate) AddEnd(handle int32, fault Fault, text []byte) {
	if a := i.arenaOf(handle); a != nil {
		i.note(a.note(recordEnd, uint32(handle), uint32(fault), 0, text))
	}
	i.over(handle, fault == FaultNone)
}

// AddClosed stages the end of a WebSocket: the close code and reason that came, and whether the closing
// handshake was completed.
func (i *Isolate) AddClosed(handle int32, code uint16, reason []byte, clean bool) {
	var isClean uint32
	if clean {
		isClean = 1
	}
	if a := i.arenaOf(handle); a != nil {
		i.note(a.note(recordClosed, uint32(handle), uint32(code), isClean, reason))
	}
	i.over(handle, false)
}

// AddWritten stages the news that the last KindWrite of a handle has left: the next may be made.
func (i *Isolate) AddWritten(handle int32) {
	if a := i.arenaOf(handle); a != nil {
		i.note(a.short(recordWritten, uint32(handle)))
	}
}

// AddOpened stages the news that a socket is connected. Of WhatTCP text is the remote address, "\n" and
// the local one; of WhatWebSocket the protocol, "\n" and the extensions.
func (i *Isolate) AddOpened(handle int32, text []byte) {
	if a := i.arenaOf(handle); a != nil {
		i.note(a.note(recordOpened, uint32(handle), 0, 0, text))
	}
}

// over notes that no more comes for a handle, or for isResponse nothing but what is no response's.
func (i *Isolate) over(handle int32, isResponse bool) {
	if i.contexts != nil {
		i.contexts.over(handle, isResponse)
	}
}

// arenaOf is where records of a handle are staged; nil: what has opened it has ended.
func (i *Isolate) arenaOf(handle int32) *arena {
	if i.contexts != nil {
		return i.contexts.arenaOf(handle)
	}
	return &i.arena
}

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
	i.stage()
	records, alive := i.isolate.Turn(i.inputs)
	// A heap that was abandoned, maybe in the middle of a collection, is not to be looked at.
	if i.turns++; alive && (i.turns%measureTurns == 0 || i.isGrown || i.CPU()-i.measuredAt >= measureCPU) {
		i.measure()
	}
	i.taken()
	i.out = records
	if alive {
		return nil
	}
	if atomic.LoadUint32(&i.isolate.Shared.Dead) == shim.DeadCPU {
		return ErrCPULimit
	}
	return ErrMemoryLimit
}

// Expect says that the isolate has a turn soon, after that of another one: what it is likely to touch is fetched into
// the processor's caches while that one runs. It is worth it for an isolate that has not run lately.
func (i *Isolate) Expect() { i.isolate.Expect() }

// stage lists what the next turn takes.
func (i *Isolate) stage() {
	i.inputs = i.inputs[:0]
	if i.contexts != nil {
		i.inputs = i.contexts.stage(i.inputs)
	} else if i.arena.count > 0 {
		i.inputs = append(i.inputs, i.arena.staged())
	}
}

// taken notes what the turn has left of what was listed.
func (i *Isolate) taken() {
	if i.contexts != nil {
		i.contexts.taken(i.inputs)
	} else if len(i.inputs) > 0 {
		i.arena.taken(i.inputs[0])
	}
}

// Resident is refreshed after so many turns, or when they took so much time, or at once after a body
// of so many bytes.
const (
	measureTurns = 64
	measureCPU   = 2 * time.Millisecond
	measureBody  = 1 << 20
)

// What an isolate costs resident, fitted to smaps_rollup over apps of 1 KB to 1 MB, idle and busy, to
// some 15 % (BenchmarkResident): V8's own structures and tables, the objects, and of the pages that
// the heap has grown by, those that were written to though they hold garbage by now. V8 calls whole
// pages physical, the first ones too, most of which no isolate ever touches.
const (
	isolateCost     = 660 << 10
	freshHeap       = 1284 << 10
	touchedPerEight = 7
)

func (i *Isolate) measure() {
	m := i.isolate.Memory()
	touched := (int64(m.HeapPhysical) - freshHeap) * touchedPerEight / 8
	// Sources count as external memory, but lie in memory that all isolates share.
	external := int64(m.External) - scriptBytes() - i.loaded.textBytes
	// The young generation's pages are written from one end to the other between two collections.
	i.young = max(i.young, int64(m.Young))
	i.resident = isolateCost + max(int64(m.HeapUsed-m.Young)+i.young, touched) + max(external, 0)
	i.heapUsed, i.external = int64(m.HeapUsed), int64(m.External)
	i.shrunkTo = min(i.shrunkTo, i.resident)
	i.measuredAt, i.isGrown = i.CPU(), false
	if m.HeapTotal != i.heapTotal {
		i.heapTotal = m.HeapTotal
		i.reserved.count(ranges{1, i.isolate.Ranges()})
	}
}

// V8 collects for the sake of ArrayBuffers only when they are many times larger than the heap. An idle
// loop does it before: when there are collectFrom bytes of them and twice as many as the last time
// left, in an isolate whose heap is small enough for it to take a few milliseconds.
const (
	collectFrom    = 16 << 20
	collectHeapMax = 16 << 20
)

// keepsBuffers reports that there are ArrayBuffers that are likely garbage, such as the bodies of past
// requests.
func (i *Isolate) keepsBuffers() bool {
	return i.external >= max(collectFrom, 2*i.externalKept) && i.heapUsed <= collectHeapMax
}

func (i *Isolate) collectBuffers() {
	i.note(i.arena.dropLarge())
	i.isolate.Collect()
	i.measure()
	i.externalKept = i.external
}

// What an isolate must have grown by for Shrink to be worth its milliseconds, and for how long it is to have had
// nothing to do. The second is less than what the young generation's pages take when they have been written to from
// one end to the other, which takes an app that answers hello some hundred requests.
const (
	swollen, swollenRest = 3 << 20, 2 * time.Second
	grown, grownRest     = 320 << 10, 30 * time.Second
)

// ShrinkAfter is for how long the isolate is to have had nothing to do before Shrink is called; 0: that would hardly
// give anything back. Contexts of requests take their garbage along.
func (i *Isolate) ShrinkAfter() time.Duration {
	if i.contexts != nil || i.failed != nil || i.heapUsed > collectHeapMax {
		return 0
	}
	switch by := i.resident - i.shrunkTo; {
	case by >= swollen:
		return swollenRest
	case by >= grown:
		return grownRest
	}
	return 0
}

// Shrink collects all garbage and gives what was free back to the system. It takes some milliseconds:
// it is for isolates that have had nothing to do for a while.
func (i *Isolate) Shrink() {
	if i.failed != nil {
		return // the next turn ends it
	}
	i.young = 0
	if len(i.out) == 0 {
		i.isolate.Rest()
	}
	i.collectBuffers()
	i.shrunkTo = i.resident
}

// Unfinished reports that the last turn stopped after its share of time: staged records are left, for
// which the isolate wants another turn in the next tick.
func (i *Isolate) Unfinished() bool {
	if i.contexts != nil {
		return len(i.contexts.staged) > 0
	}
	return i.arena.count > 0
}

// CPU is the CPU time of all turns so far.
func (i *Isolate) CPU() time.Duration { return i.cpu + time.Duration(i.isolate.Shared.CPUNS) }

// Resident estimates the resident bytes of the isolate, as of some turns ago.
func (i *Isolate) Resident() int64 { return i.resident }

// Heap measures what the isolate holds.
func (i *Isolate) Heap() (stats HeapStats) {
	var spaces [HeapSpaces]shim.Space
	i.isolate.Spaces(spaces[:])
	for k, space := range spaces {
		stats.Spaces[k] = HeapSpace{int64(space.Used), int64(space.Committed)}
	}
	m := i.isolate.Memory()
	stats.External, stats.Malloced = int64(m.External), int64(m.Malloced)
	return stats
}

// Prepare does a small piece of work that has no hurry: it makes contexts for later requests and
// disposes of those that have served, or collects what large bodies have left. False: nothing is left
// to do, until the next turn.
func (i *Isolate) Prepare() bool {
	if i.failed != nil {
		return false // the next turn ends it
	}
	if i.contexts != nil {
		return i.contexts.prepare()
	}
	if i.keepsBuffers() {
		i.collectBuffers()
	}
	return false
}

// WantsPrepare reports that Prepare has something to do.
func (i *Isolate) WantsPrepare() bool {
	switch {
	case i.failed != nil:
		return false
	case i.contexts != nil:
		return i.contexts.wantsPrepare()
	}
	return i.keepsBuffers()
}

// Started tells what the isolate was started from.
func (i *Isolate) Started() Start { return i.started }

// Next gives the records of the last turn, one after the other. The record is reused; its slices
// are valid until the next turn.
func (i *Isolate) Next() (*Record, bool) {
	if i.contexts != nil {
		return i.contexts.next()
	}
	if len(i.out) == 0 {
		return nil, false
	}
	i.read()
	return &i.record, true
}

// read takes the first record off the output. It returns the realm that wrote it.
func (i *Isolate) read() (realm uint32) {
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
		record.Flags = uint16(header.Flags)
		record.Source, record.Number = header.Source, int64(header.Number)
	case KindEnd:
		record.Failed = header.Flags != 0
	case KindTimerSet:
		record.Delay = time.Duration(header.Number * float64(time.Millisecond))
	case KindLog:
		record.Level = Level(header.Flags)
		record.Target, record.Reason = record.Reason, nil
		record.LogID = uint64(header.Request)
		record.Pending = header.Status != 0
	case KindOpen, KindRead, KindCancel, KindWrite, KindFinish:
		i.readHandle(header)
	}
	return header.Realm
}

// readHandle takes what only records of handles have.
func (i *Isolate) readHandle(header *shim.Header) {
	record := &i.record
	record.ID, record.Handle = 0, int32(header.ID)
	record.Flags, record.Number = uint16(header.Flags), int64(header.Number)
	switch record.Kind {
	case KindOpen:
		record.What, record.Flags = header.Flags, header.Status
		record.Target, record.Reason = record.Reason, nil
		record.Source = header.Source
		record.Exchange, record.Pending = uint32(max(header.Request, 0)), header.Request >= 0
	case KindFinish:
		record.Target, record.Reason = record.Reason, nil
		record.Status = header.Status
	}
}

// Flags of the op respond; more of them are RespondRaw and RespondFixedLength.
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
