package compression

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"sync"
	"unsafe"

	"github.com/andybalholm/brotli"
)

// What is wrong with the input of a decompressor, beside what an inflater finds.
var (
	errTruncated  = errors.New("the compressed data end too early")
	errTrailing   = errors.New("there is something behind the end of the compressed data")
	errHeader     = errors.New("the header is damaged")
	errMethod     = errors.New("an unknown compression method")
	errDictionary = errors.New("a preset dictionary is needed")
	errChecksum   = errors.New("the checksum of the data is another")
	errLength     = errors.New("the length of the data is another")
)

// A Decompressor takes compressed data in pieces of any size, and gives what they are the compression of.
type Decompressor struct {
	decoder decoder // nil: closed
	pending []byte  // input that was not used so far; in held
	held    *[]byte // borrowed, or nil
	err     error   // that is to be told, or was
	isBusy  bool
}

// A decoder decodes one format.
type decoder interface {
	// decode uses input, and gives the output that it is, about a piece at most. That is valid until the next call, and
	// what of the input is not used is the rest. An error comes after the output.
	decode(input []byte) (output, rest []byte, err error)
	// finish says that no more comes.
	finish() error
	// free gives the state back.
	free()
	// size is about how many bytes the state has.
	size() int
}

// NewDecompressor makes a decompressor of a format.
func NewDecompressor(format Format) *Decompressor {
	if format == Brotli {
		return &Decompressor{decoder: new(brotliDecoder)}
	}
	return &Decompressor{decoder: &deflateDecoder{format: format}}
}

// Next takes more input, of which it copies what it does not use at once, and gives the next piece of output, which
// is valid until it is called again. Without output, it wants more input unless IsBusy. After an error it gives
// nothing but that.
func (d *Decompressor) Next(input []byte) (output []byte, err error) {
	if d.err != nil {
		return nil, d.err
	}
	isOwn := len(d.pending) > 0
	if isOwn && len(input) > 0 {
		*d.held = append(d.pending, input...)
		d.pending = *d.held
	}
	if isOwn {
		input = d.pending
	}
	used := 0
	for budget := pieceBytes; budget > 0; budget -= used {
		part := input[:min(len(input), budget)]
		var rest []byte
		output, rest, err = d.decoder.decode(part)
		used = max(len(part)-len(rest), 0) // after an error the rest may be longer
		input = input[used:]
		if len(output) != 0 || err != nil || len(input) == 0 || used == 0 {
			break
		}
	}
	d.isBusy = len(output) == 0 && err == nil && len(input) != 0 && used != 0
	switch {
	case err != nil || len(input) == 0:
		d.giveBack()
	case isOwn:
		d.pending = input
	default:
		d.held = inputs.Get().(*[]byte)
		*d.held = append((*d.held)[:0], input...)
		d.pending = *d.held
	}
	if d.err = err; len(output) != 0 {
		err = nil
	}
	return output, err
}

// inputs are what holds input that waits.
var inputs = sync.Pool{New: func() any { return new([]byte) }}

// inputMax is how large memory for input may be and be kept.
const inputMax = 1 << 20

// giveBack gives the memory of input back that was used.
func (d *Decompressor) giveBack() {
	if d.held != nil && cap(*d.held) <= inputMax {
		inputs.Put(d.held)
	}
	d.held, d.pending = nil, nil
}

// IsBusy tells that Next has given no output because the input has so much without any, such as empty blocks: call it
// again.
func (d *Decompressor) IsBusy() bool { return d.isBusy }

// Finish says that no more input comes, when all output was taken. An error: the data are not whole.
func (d *Decompressor) Finish() error {
	if d.err == nil {
		d.err = d.decoder.finish()
	}
	return d.err
}

// Size is about how many bytes it holds.
func (d *Decompressor) Size() int {
	if d.decoder == nil {
		return 0
	}
	size := d.decoder.size()
	if d.held != nil {
		size += cap(*d.held)
	}
	return size
}

// Close gives back what was borrowed. The output given last is not valid any more.
func (d *Decompressor) Close() error {
	if d.decoder != nil {
		d.decoder.free()
		d.decoder = nil
		d.giveBack()
	}
	if d.err == nil {
		d.err = errClosed
	}
	return nil
}

var errClosed = errors.New("the stream has ended")

// ---- deflate ----

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// A deflateDecoder decodes deflate, with what is around it.
type deflateDecoder struct {
	format   Format
	inflater *inflater // nil: not begun, or freed
	head     headState
	flags    byte        // of gzip
	part     []byte      // of the header or of the trailer, as far as it has come
	skip     int         // bytes of the header
	headSum  uint32      // of the header of gzip so far
	sum      hash.Hash32 // of what was decoded
	length   uint32      // of that, modulo 2^32
	isOver   bool
}

// A headState is the part of a header that comes next.
type headState uint8

const (
	headFixed headState = iota
	headExtraLength
	headExtra
	headName
	headComment
	headSum
	headDone
)

// Flags of gzip (RFC 1952 2.3.1). The first, that the data are text, says nothing.
const (
	gzipHeadSum = 2 << iota
	gzipExtra
	gzipName
	gzipComment
	gzipReserved = 0xe0
)

func (d *deflateDecoder) size() int {
	if d.inflater == nil {
		return 0
	}
	return int(unsafe.Sizeof(inflater{}))
}

func (d *deflateDecoder) free() {
	if d.inflater != nil {
		inflaters.Put(d.inflater)
		d.inflater = nil
	}
}

func (d *deflateDecoder) finish() error {
	if !d.isOver {
		return errTruncated
	}
	return nil
}

func (d *deflateDecoder) decode(input []byte) (output, rest []byte, err error) {
	if d.isOver {
		if len(input) > 0 {
			err = errTrailing
		}
		return nil, input, err
	}
	if d.head != headDone {
		if input, err = d.readHeader(input); err != nil || d.head != headDone {
			return nil, input, err
		}
	}
	if d.inflater == nil {
		d.inflater = inflaters.Get().(*inflater)
		d.inflater.reset()
	}
	if f := d.inflater; !f.isDone() {
		input, err = f.inflate(input)
		output = f.take()
		if err != nil {
			return output, input, err
		}
		if d.sum != nil {
			_, _ = d.sum.Write(output) // of a hash: never an error
		}
		d.length += uint32(len(output))
		if !f.isDone() {
			return output, input, nil
		}
		if behind := f.unread(); len(behind) > 0 {
			input = append(behind, input...)
		}
	}
	input, err = d.readTrailer(input)
	return output, input, err
}

// collect takes input until there are n bytes of a part of the header or trailer. nil: they are not all there.
func (d *deflateDecoder) collect(n int, input []byte) (part, rest []byte) {
	more := min(n-len(d.part), len(input))
	d.part = append(d.part, input[:more]...)
	if len(d.part) < n {
		return nil, input[more:]
	}
	part, d.part = d.part, nil
	return part, input[more:]
}

// readTrailer checks what follows the data.
func (d *deflateDecoder) readTrailer(input []byte) (rest []byte, err error) {
	switch d.format {
	case Gzip:
		trailer, rest := d.collect(8, input)
		switch {
		case trailer == nil:
			return rest, nil
		case binary.LittleEndian.Uint32(trailer) != d.sum.Sum32():
			return rest, errChecksum
		case binary.LittleEndian.Uint32(trailer[4:]) != d.length:
			return rest, errLength
		}
		input = rest
	case Deflate:
		trailer, rest := d.collect(4, input)
		switch {
		case trailer == nil:
			return rest, nil
		case binary.BigEndian.Uint32(trailer) != d.sum.Sum32():
			return rest, errChecksum
		}
		input = rest
	}
	d.isOver = true
	if len(input) > 0 {
		return input, errTrailing
	}
	return input, nil
}

// readHeader reads as much of the header as there is.
func (d *deflateDecoder) readHeader(input []byte) (rest []byte, err error) {
	switch d.format {
	case DeflateRaw:
		d.head = headDone
		return input, nil
	case Deflate:
		return d.readZlibHeader(input)
	}
	for d.head != headDone {
		before := d.head
		if input, err = d.readGzipHeader(input); err != nil || d.head == before {
			return input, err
		}
	}
	return input, nil
}

func (d *deflateDecoder) readZlibHeader(input []byte) (rest []byte, err error) {
	const method, windowMax, hasDictionary = 8, 7, 1 << 5
	header, input := d.collect(2, input)
	switch {
	case header == nil:
		return input, nil
	case binary.BigEndian.Uint16(header)%31 != 0:
		return input, errHeader
	case header[0]&15 != method || header[0]>>4 > windowMax:
		return input, errMethod
	case header[1]&hasDictionary != 0:
		return input, errDictionary
	}
	d.head, d.sum = headDone, adler32.New()
	return input, nil
}

// readGzipHeader reads the part of the header that comes next, which may be absent.
func (d *deflateDecoder) readGzipHeader(input []byte) (rest []byte, err error) {
	const method = 8
	all := input
	isWhole := true
	switch d.head {
	case headFixed:
		var header []byte
		header, input = d.collect(10, input)
		switch {
		case header == nil:
			isWhole = false
		case header[0] != 0x1f || header[1] != 0x8b:
			return input, errHeader
		case header[2] != method:
			return input, errMethod
		case header[3]&gzipReserved != 0:
			return input, errHeader
		default:
			d.flags, d.sum = header[3], crc32.NewIEEE()
		}
	case headExtraLength:
		if d.flags&gzipExtra != 0 {
			var length []byte
			if length, input = d.collect(2, input); length == nil {
				isWhole = false
			} else {
				d.skip = int(binary.LittleEndian.Uint16(length))
			}
		}
	case headExtra:
		n := min(d.skip, len(input))
		d.skip -= n
		input, isWhole = input[n:], d.skip == 0
	case headName, headComment:
		if flag := byte(gzipName) << (d.head - headName); d.flags&flag != 0 {
			end := bytes.IndexByte(input, 0)
			isWhole = end >= 0
			input = input[max(end+1, 0):]
			if !isWhole {
				input = nil
			}
		}
	case headSum:
		if d.flags&gzipHeadSum != 0 {
			var sum []byte
			sum, input = d.collect(2, input)
			if sum != nil && uint32(binary.LittleEndian.Uint16(sum)) != d.headSum&0xffff {
				return input, errChecksum
			}
			isWhole = sum != nil
		}
	}
	d.headSum = crc32.Update(d.headSum, crc32.IEEETable, all[:len(all)-len(input)])
	if isWhole {
		d.head++
	}
	return input, nil
}

// ---- brotli ----

// A brotliDecoder decodes brotli. The reader pulls, and is told to stop when the input is used up; it goes on from
// there when it is called again.
type brotliDecoder struct {
	state  *brotliState // nil: not begun, or freed
	window int          // bytes
	isOver bool
}

type brotliState struct {
	reader  brotli.Reader
	input   []byte
	isEnded bool // no more input comes
	output  [pieceBytes]byte
}

var brotliStates = sync.Pool{New: func() any { return new(brotliState) }}

// errNoInput tells the reader to stop for now.
var errNoInput = errors.New("no input")

// Read implements io.Reader for the reader.
func (s *brotliState) Read(p []byte) (n int, err error) {
	if len(s.input) == 0 {
		if s.isEnded {
			return 0, io.EOF
		}
		return 0, errNoInput
	}
	n = copy(p, s.input)
	s.input = s.input[n:]
	return n, nil
}

func (d *brotliDecoder) decode(input []byte) (output, rest []byte, err error) {
	switch {
	case len(input) != 0 && d.isOver:
		return nil, input, errTrailing
	case d.state == nil:
		if len(input) == 0 {
			return nil, nil, nil
		}
		d.window = brotliWindow(input[0])
		d.state = brotliStates.Get().(*brotliState)
		_ = d.state.reader.Reset(d.state) // never an error
		d.state.isEnded = false
	}
	s := d.state
	s.input = input
	n := 0
	for n < len(s.output) && err == nil {
		var more int
		more, err = s.reader.Read(s.output[n:])
		n += more
	}
	rest, s.input = s.input, nil
	if err == errNoInput {
		// At the end of its input the reader tells whether that is the end of the stream, and else goes on later.
		s.isEnded = true
		_, err = s.reader.Read(s.output[n:])
		s.isEnded = false
		d.isOver = err == io.EOF
		err = nil
	}
	return s.output[:n], rest, err
}

func (d *brotliDecoder) finish() error {
	if !d.isOver {
		return errTruncated
	}
	return nil
}

func (d *brotliDecoder) free() {
	if d.state != nil {
		d.state.input = nil
		if d.isOver && d.window <= brotliWindowKept { // else the reader may have input left
			brotliStates.Put(d.state)
		}
		d.state = nil
	}
}

const (
	// brotliTables is about what the reader has beside its window.
	brotliTables = 128 << 10
	// brotliWindowKept is the largest window of a state that is kept for another stream.
	brotliWindowKept = 1 << 20
)

func (d *brotliDecoder) size() int {
	if d.state == nil {
		return 0
	}
	return int(unsafe.Sizeof(brotliState{})) + brotliTables + d.window
}

// brotliWindow is the size of the window that the first byte of a stream tells (RFC 7932 9.1).
func brotliWindow(first byte) int {
	n := 17
	switch {
	case first&1 == 0:
		n = 16
	case first>>1&7 != 0:
		n = 17 + int(first>>1&7)
	case first>>4&7 != 0:
		n = 8 + int(first>>4&7)
	}
	return 1 << n
}
