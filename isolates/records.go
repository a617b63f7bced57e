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
	LogID         uint64 // by which the logs know it, or 0; comes back in the records of KindLog
	Secure        bool   // the listener's scheme is https
	Head          []byte // the request head as received
	Parsed        *http1.Head
	Body          []byte // the whole body, transfer coding removed; nil if there is none
	RemoteAddress []byte // "192.0.2.1:1234", for ctx.remoteAddress
	// Streams: the body is not here but comes as data of the handle BodyHandle(ID), once a KindRead
	// record has asked for it. Length is its content-length, or -1 if that is unknown.
	Streams bool
	Length  int64
}

// Response is the head of an answer that the loop has got for a handle of WhatFetch, WhatService or
// WhatAssets, or the refusal of a WebSocket. The slices are only read during Isolate.AddResponse.
type Response struct {
	Handle     int32
	Status     int    // 100 to 999
	Reason     []byte // reason phrase, usually empty
	URL        []byte // of the last request, when it is not the one that was asked for; else empty
	Redirected bool
	Streams    bool // the body comes as data of Handle, once it is asked for
	NullBody   bool // there is none: the status or the method does not allow it
	Encoded    bool // the body has a content coding, which KindRead and pass-through can have removed
	Head       []byte
	Fields     []http1.Field // of Head
	Body       []byte        // whole, if neither Streams nor NullBody is set
}

// BodyHandle is the handle that stands for the body of the request with this id.
func BodyHandle(id uint32) int32 { return -1 - int32(id) }

// DataKind says what AddData brings.
type DataKind uint8

// Bytes of a body or a socket, and messages of a WebSocket.
const (
	DataBytes DataKind = iota
	DataText           // UTF-8
	DataBinary
)

// Fault is why something that is read has ended early.
type Fault uint8

// Faults. JavaScript sees FaultNetwork, FaultEgress, FaultLimit and FaultRefused as a TypeError,
// FaultAborted as an AbortError and FaultTimeout as a TimeoutError. Of a WhatHost, FaultLimit is an
// OperationError.
const (
	FaultNone    Fault = iota // none: it was whole
	FaultNetwork              // the other side broke off, or broke its protocol
	FaultAborted              // by this side
	FaultTimeout
	FaultLimit   // of sub-requests, of recursion, or of works that wait
	FaultEgress  // the app may not reach that
	FaultRefused // or not found
)

// Kind tells what a Record asks of the loop.
type Kind uint8

const (
	// KindRespond answers request ID: Status, Head, and Body unless Streaming is set. With Streaming and
	// a Source the loop takes the body from that handle: no KindChunk and no KindEnd follows. With
	// status 101 the Source is the WebSocket that takes over the connection.
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
	// KindLog is a line of the app's log: Level and Body (UTF-8). ID is the request that was running when it was
	// written, and LogID its LogID; 0: none was. Its answer may have ended, and ID mean another one by now, if Pending is
	// not set. Target is where in the app's source, "file:line:column", or empty.
	KindLog
	// KindOpen asks for the I/O object What under a new Handle: Target, Head, Body, Flags (Open...),
	// Source (the handle whose bytes are its body), Number (the length of a body that is not Body).
	// Exchange is the request that asks, 0 if Pending is not set. See What for each.
	KindOpen
	// KindRead adds Number bytes to what JavaScript is ready to take from Handle. Flags: ReadDecoded.
	KindRead
	// KindCancel: nobody wants the rest of what Handle gives. Flags: CancelAll.
	KindCancel
	// KindWrite is a piece of what goes out by Handle: Body; of a WebSocket a message, Flags WriteText
	// or WriteBinary. The next comes after Isolate.AddWritten(Handle); of a WebSocket without waiting for
	// it, up to some 256 KiB ahead, and only those with WriteAck are to be answered.
	KindWrite
	// KindFinish ends what goes out by Handle. Flags: FinishFailed. Of a WebSocket Status is the close
	// code, 0 for none, and Target the reason.
	KindFinish
)

// What a KindOpen record opens.
const (
	WhatFetch     = 1 // Target "METHOD URL"; Head: header lines but those of the framing, and no host
	WhatService   = 2 // Target "APP METHOD URL"; else as WhatFetch
	WhatAssets    = 3 // as WhatFetch
	WhatTCP       = 4 // Target "host:port"
	WhatWebSocket = 5 // as WhatFetch, of a URL with ws: or wss:; or with OpenUpgrade of http: or https:
	WhatUpgrade   = 6 // the server's end of a WebSocket, for the KindRespond with status 101 that has it as Source
	WhatHost      = 7 // a call of the function of webapi.HostCalls with index Number: Body is its arguments, see Isolate.NewWork
)

// Flags of KindOpen for WhatFetch and its like.
const (
	OpenBodyFollows    = 1  // in KindWrite records, ended by KindFinish
	OpenHasBody        = 2  // Body is one, though it may be empty
	OpenManualRedirect = 4  // give redirects to the app
	OpenErrorRedirect  = 8  // end with an error at a redirect
	OpenFixedLength    = 16 // Number is the length of the body that follows, or of Source
	OpenUpgrade        = 32 // WhatWebSocket, WhatService: answer as a fetch, and if with 101, be a WebSocket from then on
)

// Flags of KindOpen for WhatTCP.
const (
	OpenTLS      = 1
	OpenStartTLS = 2 // TLS may begin later
)

// Flags of the other kinds.
const (
	ReadDecoded = 1 // content codings are to be removed

	CancelAll = 1 // both directions, and the object is forgotten

	WriteText   = 1
	WriteBinary = 2
	WriteAck    = 4 // of a WebSocket: Isolate.AddWritten is wanted for this one, as for no other

	FinishFailed = 1 // what was to go out broke off

	RespondRaw         = 8  // the head keeps the content coding of Source: it is not removed
	RespondFixedLength = 16 // Number is the length of the body
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
	What      uint8  // KindOpen: What...
	Flags     uint16 // KindOpen and later, KindRespond: see the constants
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
	Handle    int32  // KindOpen and later
	Source    int32  // KindRespond, KindOpen: the handle whose bytes are the body, or 0
	Exchange  uint32 // KindOpen
	LogID     uint64 // KindLog: Request.LogID; 0: none
	Number    int64  // KindOpen, KindRespond: a length, if a flag says so; KindRead: bytes
	Target    []byte // KindOpen, KindFinish, KindLog: see there
	// Block is set when Body is large: it lies in memory of its own, with HeadRoom writable bytes
	// before it, so that a response head can be put there and both be sent as one. The loop owns
	// the block and gives it back with FreeBlock, once sent.
	Block Block
}

// HeadRoom is the number of bytes before the Body of a Block.
const HeadRoom = shim.HeadRoom
