package compression

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
	"unsafe"
)

// What is wrong with a deflate stream (RFC 1951).
var (
	errBlockType  = errors.New("a block of an unknown type")
	errStored     = errors.New("the length of a stored block is damaged")
	errCodes      = errors.New("the codes of a block are no Huffman codes")
	errSymbol     = errors.New("a symbol without a meaning")
	errDistance   = errors.New("a distance beyond the beginning")
	errNoEndCode  = errors.New("a block cannot end")
	errTooMany    = errors.New("a block has too many codes")
	errNoPrevious = errors.New("a code length is to be repeated that is not there")
)

const (
	windowBytes = 32 << 10
	matchMax    = 258
	copyBytes   = 32 // of a match, at once
	copyAway    = 16 // how far back it begins at least

	literalCodes  = 288 // of which two have no meaning
	distanceCodes = 32  // of which two have no meaning
	lengthCodes   = 19
	codeBitsMax   = 15

	literalBits  = 10 // looked up at once
	distanceBits = 8
	lengthBits   = 7
	// The tables with the further ones for longer codes: at most 1332 entries, as enough.c of zlib computes, and for
	// distances no more than for 15 pairs of codes with all their bits.
	literalTable  = 1334
	distanceTable = 1<<distanceBits + distanceCodes/2<<(codeBitsMax-distanceBits)
)

// An entry of a decoding table: how many bits to take in all, what for, how many of them are the code, and a number.
// The others are extra bits, which come behind the code.
//
//	0-7 bits · 8-11 kind · 12-15 bits of the code, or of what a further table is looked up with · 16-31 the literal, the
//	base of a length or distance, or where the further table begins
type entry uint32

const (
	kindLiteral entry = iota << 8
	kindCopy
	kindEnd
	kindTable
	kindInvalid
	kindMask entry = 15 << 8
)

func (e entry) bits() uint    { return uint(e & 255) }
func (e entry) code() uint    { return uint(e >> 12 & 15) }
func (e entry) further() uint { return uint(e >> 12 & 15) }
func (e entry) number() uint  { return uint(e >> 16) }

// value is the number and the extra bits, of bits that begin with the code.
func (e entry) value(bits uint64) int {
	return int(e.number() + uint(bits&(1<<(e&63)-1)>>e.code()))
}

// The states of an inflater are what it reads next.
type inflateState uint8

const (
	readBlock inflateState = iota
	readStoredLength
	readStored
	readCounts
	readLengthCodes
	readLengths
	readSymbols
	readNothing // the stream is at its end
)

// A window has the bytes that matches may refer to, and after them those of a piece. Matches may go beyond the piece, and
// copies of them beyond their ends.
type window [windowBytes + pieceBytes + matchMax + copyBytes]byte

// An inflater decodes deflate. Input comes in pieces, and output goes out in pieces: it stops wherever one of
// them ends, and goes on from there.
type inflater struct {
	state   inflateState
	isLast  bool // this block is
	isFixed bool // the tables are those of fixed codes
	bits    uint64
	count   uint // of bits

	stored    int // bytes of the block that are left
	literals  int // code lengths in the header of the block
	distances int
	lengths   int // of the code lengths' code
	read      int // of them, so far

	// What was decoded and not taken is [taken:written].
	buffer  window
	taken   int
	written int
	limit   int // of written, but for the rest of a match

	codeLengths   [literalCodes + distanceCodes]uint8
	literalTable  [literalTable]entry
	distanceTable [distanceTable]entry
	lengthTable   [1 << lengthBits]entry
}

// reset makes it ready for another stream.
func (f *inflater) reset() {
	f.state, f.isLast = readBlock, false
	f.bits, f.count = 0, 0
	f.taken, f.written = 0, 0
}

// isDone reports that the stream is at its end.
func (f *inflater) isDone() bool { return f.state == readNothing }

// isFull reports that there is no room but for what was taken.
func (f *inflater) isFull() bool { return f.written >= f.limit }

// take gives what was decoded. It is valid until inflate is called.
func (f *inflater) take() []byte {
	piece := f.buffer[f.taken:f.written]
	f.taken = f.written
	return piece
}

// makeRoom moves the window to the front, when all was taken and little room is left.
func (f *inflater) makeRoom() {
	const most = windowBytes + pieceBytes
	if f.taken == f.written && most-f.taken < pieceBytes/2 {
		copy(f.buffer[:windowBytes], f.buffer[f.written-windowBytes:f.written])
		f.taken, f.written = windowBytes, windowBytes
	}
	f.limit = min(f.taken+pieceBytes, most)
}

// unread gives back whole bytes of the input that lie behind the end of the stream.
func (f *inflater) unread() []byte {
	f.bits >>= f.count & 7
	f.count &^= 7
	var rest [8]byte
	binary.LittleEndian.PutUint64(rest[:], f.bits)
	n := f.count / 8
	f.bits, f.count = 0, 0
	return rest[:n]
}

// inflate decodes from input until the input is used up, a piece is full, or the stream is at its end, and returns
// what is left of the input. Some bytes behind the end may be in the inflater: see unread.
func (f *inflater) inflate(input []byte) (rest []byte, err error) {
	f.makeRoom()
	for f.state != readNothing && !f.isFull() {
		before, had := f.state, len(input)
		hadBits, hadRead := f.count, f.read
		input, err = f.step(input)
		if err != nil {
			return input, err
		}
		if f.state == before && len(input) == had && f.count == hadBits && f.read == hadRead {
			return input, nil // it waits for input
		}
	}
	return input, nil
}

// step does one part of a block, as far as there is input.
func (f *inflater) step(input []byte) ([]byte, error) {
	if f.state != readStored {
		input = f.fill(input)
	}
	switch f.state {
	case readBlock:
		return input, f.beginBlock()
	case readStoredLength:
		return input, f.storedLength()
	case readStored:
		return f.copyStored(input), nil
	case readCounts:
		return input, f.readCounts()
	case readLengthCodes:
		return input, f.readLengthCodes()
	case readLengths:
		return input, f.readLengths()
	default:
		return f.symbols(input)
	}
}

// fill takes whole bytes of the input, up to 56 bits and more.
func (f *inflater) fill(input []byte) []byte {
	if len(input) >= 8 {
		f.bits |= binary.LittleEndian.Uint64(input) << f.count
		input = input[(63-f.count)>>3:]
		f.count |= 56
		return input
	}
	for f.count <= 56 && len(input) > 0 {
		f.bits |= uint64(input[0]) << f.count
		f.count += 8
		input = input[1:]
	}
	return input
}

// drop takes n bits.
func (f *inflater) drop(n uint) (value uint) {
	value = uint(f.bits & (1<<n - 1))
	f.bits >>= n
	f.count -= n
	return value
}

func (f *inflater) endBlock() {
	f.state = readBlock
	if f.isLast {
		f.state = readNothing
	}
}

func (f *inflater) beginBlock() error {
	if f.count < 3 {
		return nil
	}
	f.isLast = f.drop(1) == 1
	switch f.drop(2) {
	case 0:
		f.drop(f.count & 7)
		f.state = readStoredLength
	case 1:
		if !f.isFixed { // a block may be as short as 10 bits
			code := fixed()
			f.literalTable, f.distanceTable, f.isFixed = code.literals, code.distances, true
		}
		f.state = readSymbols
	case 2:
		f.state = readCounts
	default:
		return errBlockType
	}
	return nil
}

func (f *inflater) storedLength() error {
	if f.count < 32 {
		return nil
	}
	length, complement := f.drop(16), f.drop(16)
	if length != ^complement&0xffff {
		return errStored
	}
	f.stored, f.state = int(length), readStored
	return nil
}

// copyStored first takes the bytes that were filled in as bits.
func (f *inflater) copyStored(input []byte) []byte {
	limit := f.limit
	for f.stored > 0 && f.count > 0 && f.written < limit {
		f.buffer[f.written] = byte(f.drop(8))
		f.written++
		f.stored--
	}
	if f.count == 0 {
		f.bits = 0 // what fill has put above the count
		n := copy(f.buffer[f.written:limit], input[:min(f.stored, len(input))])
		f.written += n
		f.stored -= n
		input = input[n:]
	}
	if f.stored == 0 {
		f.endBlock()
	}
	return input
}

func (f *inflater) readCounts() error {
	if f.count < 14 {
		return nil
	}
	f.literals = int(f.drop(5)) + 257
	f.distances = int(f.drop(5)) + 1
	f.lengths = int(f.drop(4)) + 4
	if f.literals > 286 || f.distances > 30 {
		return errTooMany
	}
	f.read = 0
	clear(f.codeLengths[:lengthCodes])
	f.state = readLengthCodes
	return nil
}

// The order in which the lengths of the codes for code lengths come (RFC 1951 3.2.7).
var lengthOrder = [lengthCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (f *inflater) readLengthCodes() error {
	for f.read < f.lengths {
		if f.count < 3 {
			return nil
		}
		f.codeLengths[lengthOrder[f.read]] = uint8(f.drop(3))
		f.read++
	}
	if !build(f.lengthTable[:], lengthBits, f.codeLengths[:lengthCodes], plainEntry, false) {
		return errCodes
	}
	f.read = 0
	f.state = readLengths
	return nil
}

// readLengths reads the code lengths of literals and distances, which are one list.
func (f *inflater) readLengths() error {
	all := f.literals + f.distances
	for f.read < all {
		e := f.lengthTable[f.bits&(1<<lengthBits-1)]
		symbol, repeat, more := e.number(), 0, uint(0)
		switch symbol {
		case 16:
			repeat, more = 3, 2
		case 17:
			repeat, more = 3, 3
		case 18:
			repeat, more = 11, 7
		}
		if e.bits()+more > f.count {
			return nil
		}
		if e&kindMask == kindInvalid {
			return errCodes
		}
		f.drop(e.bits())
		if more == 0 {
			f.codeLengths[f.read] = uint8(symbol)
			f.read++
			continue
		}
		repeat += int(f.drop(more))
		length := uint8(0)
		if symbol == 16 {
			if f.read == 0 {
				return errNoPrevious
			}
			length = f.codeLengths[f.read-1]
		}
		if f.read+repeat > all {
			return errCodes
		}
		for range repeat {
			f.codeLengths[f.read] = length
			f.read++
		}
	}
	return f.buildTables()
}

func (f *inflater) buildTables() error {
	f.isFixed = false
	literals, distances := f.codeLengths[:f.literals], f.codeLengths[f.literals:f.literals+f.distances]
	if literals[endSymbol] == 0 {
		return errNoEndCode
	}
	if !build(f.literalTable[:], literalBits, literals, literalEntry, true) ||
		!build(f.distanceTable[:], distanceBits, distances, distanceEntry, true) {
		return errCodes
	}
	f.state = readSymbols
	return nil
}

// symbols decodes the content of a block.
func (f *inflater) symbols(input []byte) (rest []byte, err error) {
	if len(input) >= 16 {
		input, err = f.fast(input)
		if err != nil || f.state != readSymbols || f.isFull() {
			return input, err
		}
	}
	limit := f.limit
	for f.written < limit {
		input = f.fill(input)
		isWhole, err := f.symbol()
		if err != nil || !isWhole || f.state != readSymbols {
			return input, err
		}
	}
	return input, nil
}

// lookup finds the entry for the bits that come next.
func lookup(table []entry, first uint, bits uint64) entry {
	e := table[bits&(1<<first-1)]
	if e&kindMask == kindTable {
		e = table[e.number()+uint(bits>>first)&(1<<e.further()-1)]
	}
	return e
}

// symbol decodes a literal or a match, or nothing if its bits are not all there.
func (f *inflater) symbol() (isWhole bool, err error) {
	bits, count := f.bits, f.count
	e := lookup(f.literalTable[:], literalBits, bits)
	if e.code() > count {
		return false, nil
	}
	switch e & kindMask {
	case kindLiteral:
		f.buffer[f.written] = byte(e.number())
		f.written++
	case kindEnd:
		f.endBlock()
	case kindInvalid:
		return false, errSymbol
	default:
		length := e.value(bits)
		if e.bits() > count {
			return false, nil
		}
		bits >>= e.bits()
		count -= e.bits()
		d := lookup(f.distanceTable[:], distanceBits, bits)
		if d.bits() > count {
			return false, nil
		}
		if d&kindMask == kindInvalid {
			return false, errSymbol
		}
		distance := d.value(bits)
		if distance > f.written {
			return false, errDistance
		}
		f.copyMatch(distance, length)
		e = d
	}
	f.bits, f.count = bits>>e.bits(), count-e.bits()
	return true, nil
}

func (f *inflater) copyMatch(distance, length int) {
	from := f.written - distance
	to := f.buffer[f.written : f.written+length]
	f.written += length
	// What was copied first is copied again when a match reaches into itself.
	n := copy(to, f.buffer[from:f.written-length])
	for n < length {
		n += copy(to[n:], to[:n])
	}
}

// fast is symbols while there are 16 bytes of input, which are more bits than two literals and a match can have.
func (f *inflater) fast(input []byte) (rest []byte, err error) {
	const literalMask, distanceMask = 1<<literalBits - 1, 1<<distanceBits - 1
	bits, count, written := f.bits, f.count, f.written
	position, last := 0, len(input)-16
decode:
	for written+1 < f.limit && position <= last { // with room for two literals, and a match behind the limit
		bits |= binary.LittleEndian.Uint64(input[position:]) << (count & 63)
		position, count = position+int((63-count)>>3&7), count|56
		e := f.literalTable[bits&literalMask]
		if e&kindMask == kindLiteral { // often others follow
			f.buffer[written] = byte(e >> 16)
			written++
			bits >>= e & 63
			count -= uint(e & 63)
			if e = f.literalTable[bits&literalMask]; e&kindMask == kindLiteral {
				f.buffer[written] = byte(e >> 16)
				written++
				bits >>= e & 63
				count -= uint(e & 63)
				if e = f.literalTable[bits&literalMask]; e&kindMask == kindLiteral {
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(input[position:]) << (count & 63)
			position, count = position+int((63-count)>>3&7), count|56
		}
		if e&kindMask == kindTable {
			e = f.literalTable[(e.number()+uint(bits>>literalBits)&(1<<e.further()-1))%literalTable]
		}
		saved := bits
		bits >>= e & 63
		count -= uint(e & 63)
		switch e & kindMask {
		case kindCopy:
		case kindLiteral:
			f.buffer[written] = byte(e >> 16)
			written++
			continue
		case kindEnd:
			f.endBlock()
			break decode
		default:
			err = errSymbol
			break decode
		}
		d := f.distanceTable[bits&distanceMask]
		if d&kindMask == kindTable {
			d = f.distanceTable[(d.number()+uint(bits>>distanceBits)&(1<<d.further()-1))%distanceTable]
		}
		end := written + e.value(saved)
		distance := d.value(bits)
		bits >>= d & 63
		count -= uint(d & 63)
		if d&kindMask == kindInvalid || distance > written {
			err = errDistance
			break decode
		}
		if distance >= copyAway {
			f.buffer.copyAhead(written-distance, written, end)
		} else {
			f.written = written
			f.copyMatch(distance, end-written)
		}
		written = end
	}
	// The bits above the count are those of input that counts as not taken.
	f.bits, f.count, f.written = bits&(1<<count-1), count, written
	return input[position:], err
}

// copyAhead copies what begins at from, copyAway or more before to, until end, which is at most matchMax behind to, and
// up to copyBytes more: to take the last bytes by themselves costs more than those. There are no checks: to must lie in
// the piece.
func (w *window) copyAhead(from, to, end int) {
	p := unsafe.Pointer(w)
	for {
		a, b := unsafe.Add(p, from), unsafe.Add(p, to)
		*(*[16]byte)(b) = *(*[16]byte)(a)
		*(*[16]byte)(unsafe.Add(b, 16)) = *(*[16]byte)(unsafe.Add(a, 16))
		from += copyBytes
		to += copyBytes
		if to >= end {
			return
		}
	}
}

// build makes a decoding table of code lengths (RFC 1951 3.2.2). first is how many bits are looked up at once. False:
// they are no complete code. If that is allowed (mayBeAlone), there may be one code of one bit, or none.
func build(table []entry, first uint, lengths []uint8, entryOf func(symbol int) entry, mayBeAlone bool) bool {
	var counts [codeBitsMax + 1]int
	longest := uint(0)
	for _, length := range lengths {
		counts[length]++
		longest = max(longest, uint(length))
	}
	counts[0] = 0
	left := 1
	for n := 1; n <= codeBitsMax; n++ {
		if left = left<<1 - counts[n]; left < 0 {
			return false
		}
	}
	if left > 0 {
		if !mayBeAlone || longest > 1 {
			return false
		}
		for i := range table[:1<<first] {
			table[i] = kindInvalid | 1<<12 | 1
		}
	}
	// Codes of one length follow each other in the order of their symbols, those of the next length after them.
	var next [codeBitsMax + 2]uint
	for n := 1; n <= codeBitsMax; n++ {
		next[n+1] = (next[n] + uint(counts[n])) << 1
	}
	var codes [literalCodes]uint16     // with the bits in the order in which they come
	var longer [1 << literalBits]uint8 // the longest code that begins with these bits, if it needs a further table
	for symbol, length := range lengths {
		if length == 0 {
			continue
		}
		code := bits.Reverse16(uint16(next[length])) >> (16 - length)
		next[length]++
		codes[symbol] = code
		if head := code & (1<<first - 1); uint(length) > first {
			longer[head] = max(longer[head], length)
		}
	}
	return fillTable(table, first, lengths, &codes, &longer, entryOf)
}

// fillTable writes the entries. False: there is no room for them, which no complete code does.
func fillTable(table []entry, first uint, lengths []uint8, codes *[literalCodes]uint16, longer *[1 << literalBits]uint8,
	entryOf func(symbol int) entry) bool {
	free := 1 << first
	for head, length := range longer[:1<<first] {
		if length == 0 {
			continue
		}
		more := uint(length) - first
		if free+1<<more > len(table) {
			return false
		}
		table[head] = kindTable | entry(more)<<12 | entry(free)<<16
		free += 1 << more
	}
	for symbol, length := range lengths {
		if length == 0 {
			continue
		}
		e, code := entryOf(symbol)+entry(length)<<12+entry(length), int(codes[symbol])
		if uint(length) <= first {
			for i := code; i < 1<<first; i += 1 << length {
				table[i] = e
			}
			continue
		}
		further := table[code&(1<<first-1)]
		part := table[further.number():][:1<<further.further()]
		for i := code >> first; i < len(part); i += 1 << (uint(length) - first) {
			part[i] = e
		}
	}
	return true
}

// endSymbol ends a block.
const endSymbol = 256

// Bases and extra bits of lengths, by symbol from 257 on, and of distances (RFC 1951 3.2.5).
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
		163, 195, 227, 258}
	lengthExtra  = [29]uint8{8: 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
		2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
)

func plainEntry(symbol int) entry { return kindLiteral | entry(symbol)<<16 }

func literalEntry(symbol int) entry {
	switch {
	case symbol < endSymbol:
		return kindLiteral | entry(symbol)<<16
	case symbol == endSymbol:
		return kindEnd
	case symbol-endSymbol-1 < len(lengthBase):
		i := symbol - endSymbol - 1
		return kindCopy | entry(lengthExtra[i]) | entry(lengthBase[i])<<16
	}
	return kindInvalid
}

func distanceEntry(symbol int) entry {
	if symbol >= len(distanceBase) {
		return kindInvalid
	}
	extra := max(symbol/2-1, 0)
	return kindCopy | entry(extra) | entry(distanceBase[symbol])<<16
}

// A fixedCode is the code of blocks that bring none (RFC 1951 3.2.6).
type fixedCode struct {
	literals  [literalTable]entry
	distances [distanceTable]entry
}

var fixed = sync.OnceValue(func() *fixedCode {
	var lengths [literalCodes]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	var distances [distanceCodes]uint8
	for i := range distances {
		distances[i] = 5
	}
	code := new(fixedCode)
	if !build(code.literals[:], literalBits, lengths[:], literalEntry, false) ||
		!build(code.distances[:], distanceBits, distances[:], distanceEntry, false) {
		panic("compression: the fixed codes are no codes")
	}
	return code
})
