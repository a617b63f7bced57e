package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// Memory is where a parser keeps what it has of a message that is not complete.
type Memory interface {
	// Grow returns buffer, which may be nil, or its content in a larger one, with room for n more bytes.
	Grow(buffer []byte, n int) []byte
	// Give takes a buffer back; nil is fine.
	Give(buffer []byte)
}

// A Parser takes frames apart and puts messages together. It holds memory only while a message is incomplete,
// or if the other side keeps the context of its compression.
//
// The exported fields are to be set before it is used.
type Parser struct {
	Memory   Memory
	Inflater *Inflater // takes the compression off messages; nil: it was not negotiated
	Limit    int       // of a message, in bytes
	IsClient bool      // this side is: frames that come must not be masked, else they must be

	// KeepsContext: messages refer to those before (the other side's no_context_takeover was not agreed on).
	KeepsContext bool

	isFinal      bool   // of the frame that is being read
	opcode       Opcode //
	inPayload    bool   //
	isCompressed bool   // the message
	message      Opcode // which kind is being put together; 0: none

	headerLength uint8 // what there is of the header
	header       [HeaderMax]byte
	key          uint32 // for the next byte of the payload
	left         int    // bytes of the payload that are still to come

	text    validator
	kept    []byte // of the message
	control []byte // of the control frame
	given   []byte // what Next gave last, if that was put together
	window  []byte // the end of the messages before, with KeepsContext
}

// windowSize is the largest distance that DEFLATE can refer back to.
const windowSize = 32 << 10

// Next takes a frame off the start of data, or what there is of it, and returns how many bytes these were.
// what is Text or Binary with a whole message for a payload, or Close, Ping or Pong with its own, or else
// Continuation: all of data was used, or a fragment that a message does not end with. Text is valid UTF-8.
//
// payload is valid until Next or Release is called, and as long as data is, which is unmasked in place.
// After an error the parser must not be used any more, but for Free.
func (p *Parser) Next(data []byte) (used int, what Opcode, payload []byte, err *Error) {
	p.Release()
	if !p.inPayload {
		n, isWhole := p.readHeader(data)
		if !isWhole {
			return n, Continuation, nil, nil
		}
		if err = p.begin(); err != nil {
			return n, Continuation, nil, err
		}
		used = n
	}
	goesOn := p.inPayload
	piece := data[used:]
	if len(piece) > p.left {
		piece = piece[:p.left]
	}
	used += len(piece)
	p.left -= len(piece)
	if !p.IsClient {
		p.key = Mask(piece, p.key)
	}
	isWhole := !goesOn && p.left == 0
	p.inPayload = p.left != 0
	if p.opcode.isControl() {
		what, payload = p.takeControl(piece, isWhole)
	} else {
		what, payload, err = p.takeData(piece, isWhole)
	}
	return used, what, payload, err
}

// readHeader gathers the header of a frame.
func (p *Parser) readHeader(data []byte) (used int, isWhole bool) {
	for {
		need := 2
		if p.headerLength >= 2 {
			need = p.headerSize()
		}
		n := copy(p.header[p.headerLength:need], data[used:])
		p.headerLength += uint8(n)
		used += n
		if int(p.headerLength) < need {
			return used, false
		}
		if need == p.headerSize() {
			return used, true
		}
	}
}

// headerSize is the length of a header whose first two bytes are there.
func (p *Parser) headerSize() int {
	size := 2
	switch p.header[1] &^ bitMasked {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	if p.header[1]&bitMasked != 0 {
		size += 4
	}
	return size
}

// begin checks a header, and prepares for the payload.
func (p *Parser) begin() *Error {
	first, second := p.header[0], p.header[1]
	p.isFinal, p.opcode = first&bitFinal != 0, Opcode(first&0x0f)
	isMasked, rest := second&bitMasked != 0, p.header[2:p.headerLength]
	p.headerLength = 0
	switch {
	case isMasked && p.IsClient:
		return errMasked
	case !isMasked && !p.IsClient:
		return errUnmasked
	}
	length := uint64(second &^ bitMasked)
	switch length {
	case length16:
		length, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
	case length64:
		length, rest = binary.BigEndian.Uint64(rest), rest[8:]
		if length>>63 != 0 {
			return errLength
		}
	}
	if isMasked {
		p.key = binary.LittleEndian.Uint32(rest)
	}
	if p.opcode.isControl() {
		return p.beginControl(first, length)
	}
	return p.beginData(first, length)
}

func (p *Parser) beginControl(first byte, length uint64) *Error {
	switch {
	case first&bitsRSV != 0:
		return errReserved
	case p.opcode > Pong:
		return errOpcode
	case !p.isFinal:
		return errFragmented
	case length > ControlMax:
		return errControlSize
	}
	p.left = int(length)
	return nil
}

func (p *Parser) beginData(first byte, length uint64) *Error {
	allowed := byte(0)
	if p.Inflater != nil && p.opcode != Continuation {
		allowed = bitRSV1
	}
	switch {
	case first&bitsRSV&^allowed != 0:
		return errReserved
	case p.opcode > Binary:
		return errOpcode
	case p.opcode == Continuation && p.message == 0:
		return errContinuation
	case p.opcode != Continuation && p.message != 0:
		return errInterleaved
	}
	if p.opcode != Continuation {
		p.message, p.isCompressed = p.opcode, first&bitRSV1 != 0
	}
	limit := p.Limit
	if p.isCompressed {
		limit += limit>>8 + 64 // what cannot be compressed grows
	}
	if length > uint64(limit) || len(p.kept)+int(length) > limit {
		return errTooBig
	}
	p.left = int(length)
	return nil
}

// takeControl takes a piece of a control frame. isWhole: all of its payload.
func (p *Parser) takeControl(piece []byte, isWhole bool) (Opcode, []byte) {
	if isWhole {
		return p.opcode, piece
	}
	p.control = append(p.Memory.Grow(p.control, len(piece)), piece...)
	if p.inPayload {
		return Continuation, nil
	}
	p.given, p.control = p.control, nil
	return p.opcode, p.given
}

// takeData takes a piece of a message. isWhole: all of the payload of its frame.
func (p *Parser) takeData(piece []byte, isWhole bool) (Opcode, []byte, *Error) {
	isLast := p.isFinal && !p.inPayload
	isText := p.message == Text && !p.isCompressed
	if isWhole && isLast && p.kept == nil {
		if isText && !utf8.Valid(piece) {
			return Continuation, nil, errUTF8
		}
		return p.endMessage(piece)
	}
	if isText && !p.text.add(piece) || isLast && !p.text.end() {
		return Continuation, nil, errUTF8
	}
	if len(piece) != 0 {
		p.kept = append(p.Memory.Grow(p.kept, len(piece)), piece...)
	}
	if !isLast {
		return Continuation, nil, nil
	}
	p.given, p.kept = p.kept, nil
	return p.endMessage(p.given)
}

// endMessage gives a message, without its compression.
func (p *Parser) endMessage(payload []byte) (Opcode, []byte, *Error) {
	kind := p.message
	p.message = 0
	if !p.isCompressed {
		return kind, payload, nil
	}
	text, err := p.Inflater.inflate(p.Memory, payload, p.window, p.Limit)
	p.Release()
	p.given = text
	if err != nil {
		return Continuation, nil, err
	}
	if p.KeepsContext {
		p.remember(text)
	}
	if kind == Text && !utf8.Valid(text) {
		return Continuation, nil, errUTF8
	}
	return kind, text, nil
}

// remember keeps the end of what was sent so far.
func (p *Parser) remember(text []byte) {
	if p.window == nil {
		p.window = make([]byte, 0, windowSize)
	}
	if len(text) >= windowSize {
		p.window = append(p.window[:0], text[len(text)-windowSize:]...)
		return
	}
	if excess := len(p.window) + len(text) - windowSize; excess > 0 {
		p.window = p.window[:copy(p.window, p.window[excess:])]
	}
	p.window = append(p.window, text...)
}

// Release gives back the memory of what Next has returned last.
func (p *Parser) Release() {
	if p.given != nil {
		p.Memory.Give(p.given)
		p.given = nil
	}
}

// Free gives back all memory. The parser must not be used any more.
func (p *Parser) Free() {
	p.Release()
	if p.Memory != nil {
		p.Memory.Give(p.kept)
		p.Memory.Give(p.control)
	}
	p.kept, p.control, p.window = nil, nil, nil
}
