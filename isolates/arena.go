package isolates

import (
	"encoding/binary"
	"errors"
	"strconv"
	"unsafe"

	"nano/http1"
	"nano/isolates/shim"
)

// Records in, as JavaScript reads them: 32-bit words of host byte order. The first word is the
// record's size in words, the second its kind.
const (
	recordRequest = 1
	recordTimer   = 2
	recordSent    = 3
	recordGone    = 4
	// What concerns handles; the third word is the handle.
	recordResponse  = 5
	recordData      = 6
	recordEnd       = 7
	recordWritten   = 8
	recordOpened    = 9
	recordScheduled = 10
	recordClosed    = 11

	// cellBytes at the start of an arena are not records but cells, see ArenaCell in shim/engine.h.
	cellBytes = 16

	requestWords = 14 // words before the field table, see writeRequest
	shortWords   = 3
	noteWords    = 6 // before the text, see note

	// storeFrom is the length of data from which on they are written to where JavaScript will have
	// them, rather than to the arena and copied from there.
	storeFrom = 4 << 10

	spareMax = 1 << 20
)

// Flags in word 3 of a request record and of a response record.
const (
	flagSecure     = 1 << 16 // of a request
	flagRedirected = 1 << 16 // of a response
	flagStreams    = 1 << 17
	flagNullBody   = 1 << 18
	flagEncoded    = 1 << 19

	unknownLength = 1<<32 - 1 // in word 10
)

// arena stages the records of the next turn. Its memory is an ArrayBuffer, which JavaScript keeps
// alive for as long as a Request refers to it; when it is full, the next records go to a new one.
type arena struct {
	isolate shim.Isolate
	realm   uint32
	memory  []byte
	start   int // of the records that the next turn takes
	used    int
	count   int
}

var errArena = errors.New("no memory for the request")

// take returns room for a record of size bytes, a multiple of four.
func (a *arena) take(size int) ([]byte, error) {
	if len(a.memory)-a.used < size {
		if err := a.renew(size); err != nil {
			return nil, err
		}
	}
	record := a.memory[a.used : a.used+size]
	a.used += size
	a.count++
	return record, nil
}

// renew goes on in a new arena, and takes along what no turn has seen yet. As much room again is made, so
// that it is taken along but a few times however many records are staged.
func (a *arena) renew(size int) error {
	staged := a.memory[a.start:a.used]
	memory := a.isolate.Arena(a.realm, cellBytes+len(staged)+size+min(len(staged), spareMax))
	if memory == nil {
		return errArena
	}
	a.used = cellBytes + copy(memory[cellBytes:], staged)
	a.memory, a.start = memory, cellBytes
	return nil
}

// dropLarge lets go of an arena that was made for a large body, if nothing that is staged lies in it.
func (a *arena) dropLarge() error {
	if a.count != 0 || len(a.memory) < measureBody {
		return nil
	}
	return a.renew(0)
}

// staged are the records that the next turn takes.
func (a *arena) staged() shim.Input {
	return shim.Input{Realm: a.realm, Offset: uint32(a.start), Count: uint32(a.count)}
}

// taken notes what the turn has left of the records that it was given.
func (a *arena) taken(left shim.Input) {
	a.count = int(left.Count)
	if a.count == 0 {
		a.start = a.used
	} else {
		a.start = int(left.Offset)
	}
}

func (a *arena) short(kind, id uint32) error {
	record, err := a.take(4 * shortWords)
	if err != nil {
		return err
	}
	words := (*[shortWords]uint32)(unsafe.Pointer(&record[0]))
	words[0], words[1], words[2] = shortWords, kind, id
	return nil
}

func (a *arena) request(r *Request) error {
	record, err := a.take(requestSize(r))
	if err != nil {
		return err
	}
	writeRequest(record, r)
	return nil
}

// note stages a record with a text: 2 handle or id · 3 value · 4 length of the text · 5 another
// value · 6… the text.
func (a *arena) note(kind, id uint32, value, other uint32, text []byte) error {
	record, err := a.take((4*noteWords + len(text) + 3) &^ 3)
	if err != nil {
		return err
	}
	words := (*[noteWords]uint32)(unsafe.Pointer(&record[0]))
	*words = [noteWords]uint32{uint32(len(record) / 4), kind, id, value, uint32(len(text)), other}
	copy(record[4*noteWords:], text)
	return nil
}

// scheduled stages the firing of a schedule: a note of the time in milliseconds, a space and the
// schedule. Words 3 and 5 are the halves of the id in the logs.
func (a *arena) scheduled(id uint32, logID uint64, cron []byte, timeMS int64) error {
	text := append(strconv.AppendInt(nil, timeMS, 10), ' ')
	return a.note(recordScheduled, id, uint32(logID), uint32(logID>>32), append(text, cron...))
}

// data stages bytes of a handle: 2 handle · 3 kind · 4 length · 5 slot of the store + 1, or 0: they
// begin at word 6.
func (a *arena) data(handle int32, data []byte, kind DataKind) error {
	if len(data) < storeFrom {
		return a.note(recordData, uint32(handle), uint32(kind), 0, data)
	}
	memory, slot := a.isolate.Store(a.realm, len(data))
	if memory == nil {
		return errArena
	}
	copy(memory, data)
	record, err := a.take(4 * noteWords)
	if err != nil {
		return err // the store is freed with the realm
	}
	words := (*[noteWords]uint32)(unsafe.Pointer(&record[0]))
	*words = [noteWords]uint32{noteWords, recordData, uint32(handle), uint32(kind), uint32(len(data)), slot + 1}
	return nil
}

func (a *arena) response(r *Response) error {
	tableEnd := 4*requestWords + 8*len(r.Fields)
	size := tableEnd + len(r.Head) + len(r.URL) + len(r.Reason) + len(r.Body)
	record, err := a.take((size + 3) &^ 3)
	if err != nil {
		return err
	}
	writeResponse(record, r)
	return nil
}

// writeResponse writes a response record, which is read by the same ops as a request record:
//
//	 2 handle · 3 status | flags · 4 head offset · 5 head length · 6 length of the URL ·
//	 7 length of the reason · 8 number of fields · 9 body offset (0: none) · 10 body length ·
//	11 offset of the URL · 12 and 13 nothing · 14… the fields as in a request record
//
// then the head, the URL, the reason and the body.
func writeResponse(record []byte, r *Response) {
	headOffset := 4*requestWords + 8*len(r.Fields)
	urlOffset := headOffset + len(r.Head)
	reasonOffset := urlOffset + len(r.URL)
	bodyOffset := reasonOffset + len(r.Reason)
	flags := uint32(r.Status)
	if r.Redirected {
		flags |= flagRedirected
	}
	if r.Streams {
		flags |= flagStreams
	}
	if r.NullBody {
		flags |= flagNullBody
	}
	if r.Encoded {
		flags |= flagEncoded
	}
	words := (*[requestWords]uint32)(unsafe.Pointer(&record[0]))
	*words = [requestWords]uint32{
		uint32(len(record) / 4), recordResponse, uint32(r.Handle), flags, uint32(headOffset), uint32(len(r.Head)),
		uint32(len(r.URL)), uint32(len(r.Reason)), uint32(len(r.Fields)), 0, uint32(len(r.Body)), uint32(urlOffset),
	}
	if !r.Streams && !r.NullBody {
		words[9] = uint32(bodyOffset)
	}
	writeFields(record[4*requestWords:headOffset], r.Fields)
	copy(record[headOffset:], r.Head)
	copy(record[urlOffset:], r.URL)
	copy(record[reasonOffset:], r.Reason)
	copy(record[bodyOffset:], r.Body)
}

// writeFields writes the table of the fields of a head.
func writeFields(table []byte, fields []http1.Field) {
	for i := range fields {
		field := &fields[i]
		binary.NativeEndian.PutUint32(table[8*i:], uint32(field.NameOffset)|uint32(field.NameLength)<<16)
		binary.NativeEndian.PutUint32(table[8*i+4:], uint32(field.ValueOffset)|uint32(field.ValueLength)<<16)
	}
}

// requestSize is the size of the record of a request in bytes.
func requestSize(r *Request) int {
	return (4*requestWords + 8*len(r.Parsed.Fields) + len(r.Head) + len(r.RemoteAddress) + len(r.Body) + 3) &^ 3
}

// writeRequest writes a request record:
//
//	 2 id · 3 method | minor<<8 | flags · 4 head offset · 5 head length ·
//	 6 host offset | length<<16 · 7 target offset | length<<16 · 8 number of fields ·
//	 9 body offset (0: none) · 10 body length; if it streams 1<<32-1, unless it is known ·
//	11 remote address offset | length<<24 · 12 and 13 the halves of the id in the logs, the low one first ·
//	14… two words a field: name offset | length<<16, value offset | length<<16
//
// then the head, the remote address and the body. Offsets of head, body and remote address are in
// bytes from the start of the record, all others from the start of the head.
func writeRequest(record []byte, r *Request) {
	parsed := r.Parsed
	headOffset := 4*requestWords + 8*len(parsed.Fields)
	remoteOffset := headOffset + len(r.Head)
	bodyOffset := remoteOffset + len(r.RemoteAddress)
	words := (*[requestWords]uint32)(unsafe.Pointer(&record[0]))
	words[0] = uint32(len(record) / 4)
	words[1] = recordRequest
	words[2] = r.ID
	words[3] = uint32(parsed.Method) | uint32(parsed.Minor)<<8
	if r.Secure {
		words[3] |= flagSecure
	}
	words[4] = uint32(headOffset)
	words[5] = uint32(len(r.Head))
	words[6] = uint32(parsed.HostOffset) | uint32(parsed.HostLength)<<16
	words[7] = uint32(parsed.TargetOffset) | uint32(parsed.TargetLength)<<16
	words[8] = uint32(len(parsed.Fields))
	words[9] = 0
	if r.Body != nil {
		words[9] = uint32(bodyOffset)
	}
	words[10] = uint32(len(r.Body))
	if r.Streams {
		words[3] |= flagStreams
		words[9] = uint32(bodyOffset)
		words[10] = unknownLength
		if r.Length >= 0 && r.Length < unknownLength {
			words[10] = uint32(r.Length)
		}
	}
	words[11] = uint32(remoteOffset) | uint32(len(r.RemoteAddress))<<24
	words[12], words[13] = uint32(r.LogID), uint32(r.LogID>>32)
	writeFields(record[4*requestWords:headOffset], parsed.Fields)
	copy(record[headOffset:], r.Head)
	copy(record[remoteOffset:], r.RemoteAddress)
	copy(record[bodyOffset:], r.Body)
}
