package hostcall

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Objects are the values that the host objects of one isolate stand for, and the Call that its calls use, one
// after the other. It belongs to the isolate's thread.
type Objects struct {
	call    Call
	entries []*object // by id; nil: free
	free    []uint32

	pinner         runtime.Pinner // C++ holds a pointer to this
	previous, next *Objects       // of those that are pinned
}

// An object is a value with the number of its users: JavaScript, and works that run.
type object struct {
	value any
	users atomic.Int32
}

// leave ends a use. After the last the value is closed.
func (o *object) leave() {
	if o.users.Add(-1) == 0 {
		closeValue(o.value)
		o.value = nil
	}
}

func closeValue(value any) {
	defer func() { _ = recover() }() // its memory is garbage all the same
	if closer, ok := value.(io.Closer); ok {
		_ = closer.Close() // there is nobody to tell
	}
}

var (
	pinnedMutex sync.Mutex
	pinned      *Objects // a list: what only C++ refers to must stay
)

// NewObjects makes the objects of an isolate, which is to keep the pointer until Close.
func NewObjects() *Objects {
	o := new(Objects)
	o.pinner.Pin(o)
	pinnedMutex.Lock()
	defer pinnedMutex.Unlock()
	if o.next = pinned; o.next != nil {
		o.next.previous = o
	}
	pinned = o
	return o
}

// Close drops all objects. The pointer that C++ holds is not valid any more.
func (o *Objects) Close() {
	for id := range o.entries {
		o.drop(uint32(id))
	}
	o.call.pinner.Unpin()
	o.pinner.Unpin()
	pinnedMutex.Lock()
	defer pinnedMutex.Unlock()
	if o.previous != nil {
		o.previous.next = o.next
	} else {
		pinned = o.next
	}
	if o.next != nil {
		o.next.previous = o.previous
	}
}

// Len is the number of objects.
func (o *Objects) Len() int { return len(o.entries) - len(o.free) }

func (o *Objects) add(value any) (id uint32) {
	entry := &object{value: value}
	entry.users.Store(1)
	if last := len(o.free) - 1; last >= 0 {
		id, o.free = o.free[last], o.free[:last]
		o.entries[id] = entry
		return id
	}
	o.entries = append(o.entries, entry)
	return uint32(len(o.entries) - 1)
}

func (o *Objects) entry(id uint32) *object {
	if uint64(id) >= uint64(len(o.entries)) {
		return nil
	}
	return o.entries[id]
}

func (o *Objects) value(id uint32) any {
	if entry := o.entry(id); entry != nil {
		return entry.value
	}
	return nil
}

// drop is called when JavaScript has dropped an object.
func (o *Objects) drop(id uint32) {
	if entry := o.entry(id); entry != nil {
		o.entries[id] = nil
		o.free = append(o.free, id)
		entry.leave()
	}
}

// A Frame is a call as C++ writes it, nano_call in isolates/shim/shim.h. It lies in memory of C.
type Frame struct {
	Isolate       unsafe.Pointer // of C++
	Objects       unsafe.Pointer // *Objects, or nil: there are none so far
	Function      int32          // index of Bind, or one of the constants below
	ArgumentCount uint32
	Arguments     unsafe.Pointer // [ArgumentCount]Value; of FunctionFree uint32 ids
	ResultCount   uint32         // out
	Failed        uint32         // out: the two results are the name and the text of an error
	Results       [ResultsMax]Value
	Room          [RoomBytes]byte
}

// What C++ asks for beside calls.
const (
	FunctionFree = -1 // the objects with the ids that are the arguments
	FunctionEnd  = -2 // all of them: the isolate ends
)

// Serve does what a frame asks for.
func Serve(frame *Frame, allocate Allocate) {
	objects := (*Objects)(frame.Objects)
	switch frame.Function {
	case FunctionFree:
		for _, id := range unsafe.Slice((*uint32)(frame.Arguments), frame.ArgumentCount) {
			objects.drop(id)
		}
		return
	case FunctionEnd:
		objects.Close()
		frame.Objects = nil
		return
	}
	if objects == nil {
		objects = NewObjects()
		frame.Objects = unsafe.Pointer(objects)
	}
	c := &objects.call
	c.pinner.Unpin()
	c.objects, c.isolate, c.allocate = objects, frame.Isolate, allocate
	c.arguments = unsafe.Slice((*Value)(frame.Arguments), frame.ArgumentCount)
	c.results, c.room, c.used = frame.Results[:0], frame.Room[:], 0
	problem := c.run(functionAt(int(frame.Function)))
	frame.ResultCount, frame.Failed = uint32(len(c.results)), 0
	if problem != nil {
		frame.fail(problem)
	}
	c.arguments, c.results, c.room = nil, nil, nil
}

func functionAt(index int) Func {
	if index < 0 || index >= len(table) {
		return func(*Call) error { return &Error{operationError, "no such function"} }
	}
	return table[index]
}

// fail writes an error as two texts, the second cut where the room ends.
func (f *Frame) fail(problem *Error) {
	name := copy(f.Room[:RoomBytes/4], problem.Name)
	text := copy(f.Room[name:], problem.Text)
	f.Results[0] = Value{Kind: Text, Length: uint64(name), Data: unsafe.Pointer(&f.Room[0])}
	f.Results[1] = Value{Kind: Text, Length: uint64(text), Data: unsafe.Pointer(&f.Room[min(name, RoomBytes-1)])}
	f.ResultCount, f.Failed = 2, 1
}
