package hostcall

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Kind says what a Value is.
type Kind uint32

// Kinds of values.
const (
	Null   Kind = iota // of an argument null or undefined
	Bool               // Number is 0 or 1
	Number             //
	Text               // Data: UTF-8. A lone surrogate of JavaScript is U+FFFD
	Bytes              // Data: of an ArrayBuffer, or of what a view of one shows
	Object             // ID
	Units              // Data: UTF-16 in the byte order of the machine; only a result
)

// A Value is an argument or a result, nano_value in isolates/shim/shim.h.
type Value struct {
	Kind   Kind
	ID     uint32         // of an Object
	Length uint64         // of Data in bytes; of an Object what it weighs in bytes, which Resize changes
	Data   unsafe.Pointer // in memory of C, or pinned
	Number float64
}

// Sizes of a Frame, and the most that a text or buffer may have in a Call.
const (
	ArgumentsMax = 16
	ResultsMax   = 16
	RoomBytes    = 1024
	lengthMax    = 1 << 30
)

// A Call is one call of a Func. It is valid until the function returns, and so are the bytes of its arguments.
type Call struct {
	arguments []Value
	results   []Value
	room      []byte // for short results, of which used are taken
	used      int
	allocate  Allocate // for others
	isolate   unsafe.Pointer
	pinner    runtime.Pinner // of results that lie in memory of Go
	objects   *Objects
	work      *Work // nil: JavaScript waits
}

// An Allocate gives memory for a result of n bytes that JavaScript will have as it is, or nil if that would
// be too much for the isolate.
type Allocate func(isolate unsafe.Pointer, n int) []byte

// Len is the number of arguments. Those beyond are null.
func (c *Call) Len() int { return len(c.arguments) }

func (c *Call) argument(i int, kind Kind) *Value {
	if uint(i) >= uint(len(c.arguments)) || c.arguments[i].Kind != kind {
		return nil
	}
	return &c.arguments[i]
}

// IsNull reports that argument i is null, undefined or absent.
func (c *Call) IsNull(i int) bool {
	return uint(i) >= uint(len(c.arguments)) || c.arguments[i].Kind == Null
}

// IsText reports that argument i is a string.
func (c *Call) IsText(i int) bool { return c.argument(i, Text) != nil }

// Bytes is a view of argument i: of an ArrayBuffer, of what a view of one shows, or of the UTF-8 of a string. It
// is nil for anything else, and empty for a buffer that is detached and for a view that is out of bounds of its
// buffer. What is written into it JavaScript sees, unless it is that of a typed array of at most 64 bytes which
// was made without an ArrayBuffer.
func (c *Call) Bytes(i int) []byte {
	if uint(i) >= uint(len(c.arguments)) {
		return nil
	}
	value := &c.arguments[i]
	if value.Kind != Bytes && value.Kind != Text {
		return nil
	}
	if value.Length == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(value.Data), value.Length)
}

// Text is argument i, a string, as a copy; "" for anything else.
func (c *Call) Text(i int) string {
	if c.argument(i, Text) == nil {
		return ""
	}
	return string(c.Bytes(i))
}

// Float is argument i, a number; 0 for anything else.
func (c *Call) Float(i int) float64 {
	if value := c.argument(i, Number); value != nil {
		return value.Number
	}
	return 0
}

// Int is argument i, a number, without its fraction, and the next of the range for one that is out of it; 0 for
// NaN and for anything else.
func (c *Call) Int(i int) int64 {
	number := c.Float(i)
	switch {
	case number != number:
		return 0
	case number >= math.MaxInt64:
		return math.MaxInt64
	case number <= math.MinInt64:
		return math.MinInt64
	}
	return int64(number)
}

// Bool is argument i, a boolean; false for anything else.
func (c *Call) Bool(i int) bool {
	value := c.argument(i, Bool)
	return value != nil && value.Number != 0
}

// Object is what argument i, a host object, stands for; nil for anything else.
func (c *Call) Object(i int) any {
	value := c.argument(i, Object)
	if value == nil {
		return nil
	}
	if c.work != nil {
		return c.work.used[value.ID].value
	}
	return c.objects.value(value.ID)
}

// ObjectOf is argument i, if it is a host object that stands for a T.
func ObjectOf[T any](c *Call, i int) (value T, ok bool) {
	value, ok = c.Object(i).(T)
	return value, ok
}

// Resize says that what argument i, a host object, stands for weighs size bytes now. It is for calls that JavaScript
// waits for.
func (c *Call) Resize(i int, size int) {
	if value := c.argument(i, Object); value != nil {
		value.Length = uint64(max(size, 0))
	}
}

func (c *Call) add(value Value) {
	if len(c.results) == cap(c.results) {
		panic("too many results")
	}
	c.results = append(c.results, value)
}

// ReturnNull adds null to the results.
func (c *Call) ReturnNull() { c.add(Value{Kind: Null}) }

// ReturnBool adds a boolean to the results.
func (c *Call) ReturnBool(value bool) {
	number := 0.0
	if value {
		number = 1
	}
	c.add(Value{Kind: Bool, Number: number})
}

// ReturnInt adds a number to the results; beyond 2^53 the nearest one.
func (c *Call) ReturnInt(value int64) { c.add(Value{Kind: Number, Number: float64(value)}) }

// ReturnFloat adds a number to the results.
func (c *Call) ReturnFloat(value float64) { c.add(Value{Kind: Number, Number: value}) }

// ReturnBuffer adds a new Uint8Array of n bytes to the results, to be written into before the function returns.
// What it holds at first is not defined.
func (c *Call) ReturnBuffer(n int) []byte {
	memory := c.memory(n)
	c.add(Value{Kind: Bytes, Length: uint64(n), Data: unsafe.Pointer(unsafe.SliceData(memory))})
	return memory
}

// ReturnBytes adds a new Uint8Array to the results.
func (c *Call) ReturnBytes(data []byte) { copy(c.ReturnBuffer(len(data)), data) }

// ReturnText adds a string to the results. What is no UTF-8 becomes U+FFFD.
func (c *Call) ReturnText(text string) {
	memory := c.memory(len(text))
	copy(memory, text)
	c.add(Value{Kind: Text, Length: uint64(len(text)), Data: unsafe.Pointer(unsafe.SliceData(memory))})
}

// ReturnUnits adds a string of UTF-16 units to the results.
func (c *Call) ReturnUnits(units []uint16) {
	data := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(units))), 2*len(units))
	c.used = min((c.used+1)&^1, len(c.room))
	memory := c.memory(len(data))
	copy(memory, data)
	c.add(Value{Kind: Units, Length: uint64(len(data)), Data: unsafe.Pointer(unsafe.SliceData(memory))})
}

// ReturnObject adds a new object to the results that stands for a value of Go: JavaScript can do nothing with it
// but pass it to functions. size bytes count as memory of the isolate. If the value has a method Close, that is
// called when JavaScript has dropped the object, or with the end of the isolate, on the isolate's thread or, if a
// goroutine was using it at that time, there.
func (c *Call) ReturnObject(value any, size int) {
	result := Value{Kind: Object, Length: uint64(max(size, 0))}
	if c.work != nil {
		result.ID = uint32(len(c.work.made))
		c.work.made = append(c.work.made, value)
	} else {
		result.ID = c.objects.add(value)
	}
	c.add(result)
}

// Cancelled reports that the function should give up: nobody waits for it any more, or it has used all the CPU
// time that it may. Functions that may run for long ask now and then. It is always false when JavaScript waits.
func (c *Call) Cancelled() bool { return c.work != nil && c.work.isCancelled() }

// memory is for the bytes of a result.
func (c *Call) memory(n int) []byte {
	if n < 0 || n > lengthMax {
		panic(&Error{"RangeError", "the result is too large"})
	}
	if n <= len(c.room)-c.used {
		c.used += n
		return c.room[c.used-n : c.used : c.used]
	}
	if c.allocate != nil {
		if memory := c.allocate(c.isolate, n); memory != nil {
			return memory
		}
	}
	// It is copied later, or refused.
	memory := make([]byte, n)
	if c.work == nil {
		c.pinner.Pin(unsafe.SliceData(memory))
	}
	return memory
}

// run calls the function. What it has returned counts only without an error.
func (c *Call) run(f Func) (problem *Error) {
	defer func() {
		if cause := recover(); cause != nil {
			problem = failureOf(cause)
			c.dropResults()
		}
	}()
	if err := f(c); err != nil {
		c.dropResults()
		return problemOf(err)
	}
	return nil
}

func problemOf(err error) (problem *Error) {
	if !errors.As(err, &problem) {
		problem = &Error{operationError, err.Error()}
	}
	return problem
}

func failureOf(cause any) *Error {
	if problem, ok := cause.(*Error); ok {
		return problem
	}
	return &Error{operationError, fmt.Sprintf("internal error: %v", cause)}
}

// dropResults takes back what was returned before an error.
func (c *Call) dropResults() {
	for i := range c.results {
		if value := &c.results[i]; value.Kind == Object && c.work == nil {
			c.objects.drop(value.ID)
		}
	}
	c.results = c.results[:0]
	if c.work != nil {
		c.work.closeMade()
	}
}
