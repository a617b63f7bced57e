package fakering

import (
	"fmt"
	"hash/maphash"

	"nano/uring"
)

type kind uint8

const (
	opAccept kind = iota
	opReceive
	opConnect
	opSend
	opRead
	opShutdown
	opClose
	opCancel
	opMessage
)

var kindNames = [...]string{"accept", "receive", "connect", "send", "read", "shutdown", "close", "cancel", "message"}

// operation is one from the call that queued it until its last completion is reaped.
type operation struct {
	kind       kind
	userData   uring.UserData
	fd         int
	descriptor *descriptor
	place      **operation // where the descriptor keeps it while it is in flight

	memory []byte
	sum    uint64 // of memory when it was handed over
	done   int    // bytes of memory

	isOnce bool           // a receive that ends with its first completion, though it takes a provided buffer
	isPart bool           // a send that ends with the first bytes
	isPoll bool           // a receive or send of nothing, which ends when there is something to receive or room
	offset int64          // of ReadAt; -1: of Read
	how    int            // of Shutdown
	target uring.UserData // of Cancel; the payload of Message
	result int32          // of Message

	submitted bool // by an Enter
	ended     bool // its last completion is made
}

func (o *operation) String() string {
	return fmt.Sprintf("%s(user data %#x, descriptor %d)", kindNames[o.kind], uint64(o.userData), o.fd)
}

// sumSeed is one for the process: sums are compared, never shown.
var sumSeed = maphash.MakeSeed()

func checksum(b []byte) uint64 { return maphash.Bytes(sumSeed, b) }
