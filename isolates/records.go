package isolates

import (
	"time"

	"nano/http1"
	"nano/isolates/shim"
)

// Request is one HTTP request on its way into an isolate. The slices are only read during
// Isolate.AddRequest, which copies them into memory of the isolate.
type Request struct {
	ID            uint32 // chosen by the loop; comes back in the records that answer it
	Secure        bool   // the listener's scheme is https
	Head          []byte // the request head as received
	Parsed        *http1.Head
	Body          []byte // the whole body, transfer coding removed; nil if there is none
	RemoteAddress []byte // "192.0.2.1:1234", for ctx.remoteAddress
}

// Kind tells what a Record asks of the loop.
type Kind uint8

const (
	// KindRespond answers request ID: Status, Head, and Body unless Streaming is set.
	KindRespond Kind = iota + 1
	// KindChunk is a piece of the body of a streaming response: Body. The isolate makes the next
	// one after Isolate.AddSent(ID).
	KindChunk
	// KindEnd ends a streaming response. Failed: the stream broke; the client must see that.
	KindEnd
	// KindSettled ends the life of a request whose KindRespond had Pending set: its waitUntil
	// work is done. Without Pending, a request ends with KindRespond or, streaming, KindEnd.
	KindSettled
	// KindTimerSet asks for Isolate.AddTimer(ID) once Delay has passed.
	KindTimerSet
	// KindTimerClear takes a KindTimerSet back.
	KindTimerClear
	// KindLog is a line of the app's log: Level and Body (UTF-8). ID is the request that was
	// running when it was written, if Pending is set.
	KindLog
)

// Level is the severity of a KindLog record.
type Level uint8

// Levels of console.debug, log and info, warn, error; LevelUncaught is an error that no code of
// the app caught, with its stack.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
	LevelUncaught
)

// Record is one thing that a turn brought out. Slices are valid until the isolate's next Turn.
type Record struct {
	Kind      Kind
	ID        uint32
	Status    uint16        // KindRespond: 200 to 599
	Streaming bool          // KindRespond: the body follows in KindChunk records
	Pending   bool          // KindRespond: waitUntil work goes on; KindSettled will follow
	NoBody    bool          // KindRespond: null body (differs from an empty one: no content-type, length 0)
	Failed    bool          // KindEnd
	Level     Level         // KindLog
	Delay     time.Duration // KindTimerSet
	Reason    []byte        // KindRespond: statusText, usually empty
	Head      []byte        // KindRespond: header lines, each "name: value\r\n", without framing headers
	Body      []byte
	// Block is set when Body is large: it lies in memory of its own, with HeadRoom writable bytes
	// before it, so that a response head can be put there and both be sent as one. The loop owns
	// the block and gives it back with FreeBlock, once sent.
	Block Block
}

// HeadRoom is the number of bytes before the Body of a Block.
const HeadRoom = shim.HeadRoom
