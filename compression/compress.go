package compression

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
)

const (
	// level is the one that zlib takes when it is not told another.
	level = 6
	// brotliQuality is about as fast as that. The best one, 11, takes a hundred times as long.
	brotliQuality = 5
	// brotliWindowBits keeps the state small.
	brotliWindowBits = 19

	// Of an input of a few bytes the encoder of that level finds no repetitions.
	shortLevel = 7
	shortMax   = 128

	// brotliEmpty is the stream of no data: a window of 64 KiB, and one empty last block (RFC 7932 9).
	brotliEmpty = 0x06

	// gatherMax is how much input a compressor keeps before it borrows an encoder: most streams have no more, and need
	// one for a moment only.
	gatherMax = 32 << 10

	// What encoders hold, by the profile of their allocations.
	flateSize  = 1200 << 10
	brotliSize = 3 << 20
)

// An encoder is a flate.Writer or a brotli.Writer.
type encoder interface {
	io.WriteCloser
	Reset(to io.Writer)
}

var (
	flateEncoders  = sync.Pool{New: func() any { return newFlate(level) }}
	shortEncoders  = sync.Pool{New: func() any { return newFlate(shortLevel) }}
	brotliEncoders = sync.Pool{New: func() any {
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliQuality, LGWin: brotliWindowBits})
	}}
)

func newFlate(level int) *flate.Writer {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(err) // of a level that does not exist
	}
	return w
}

// A Compressor takes data in pieces of any size, and gives their compression.
type Compressor struct {
	format  Format
	encoder encoder // nil: not borrowed
	pool    *sync.Pool
	input   []byte // before it is
	output  []byte // that was not taken
	sum     hash.Hash32
	length  uint32 // of the data, modulo 2^32
	isOver  bool
}

// NewCompressor makes a compressor of a format.
func NewCompressor(format Format) *Compressor {
	c := &Compressor{format: format}
	switch format {
	case Gzip:
		const deflate, unknownSystem = 8, 255
		c.output = append(c.output, 0x1f, 0x8b, deflate, 0, 0, 0, 0, 0, 0, unknownSystem)
		c.sum = crc32.NewIEEE()
	case Deflate:
		const window32K, defaultLevel = 0x78, 0x9c // with the check bits
		c.output = append(c.output, window32K, defaultLevel)
		c.sum = adler32.New()
	}
	return c
}

// Write implements io.Writer. It fails when the compressor is closed.
func (c *Compressor) Write(data []byte) (n int, err error) {
	if c.isOver {
		return 0, errClosed
	}
	if c.sum != nil {
		_, _ = c.sum.Write(data) // of a hash: never an error
	}
	c.length += uint32(len(data))
	if c.encoder == nil {
		if len(c.input)+len(data) <= gatherMax {
			c.input = append(c.input, data...)
			return len(data), nil
		}
		c.begin(false)
	}
	return c.encoder.Write(data)
}

// begin borrows an encoder. isAll: no more input comes.
func (c *Compressor) begin(isAll bool) {
	switch {
	case c.format == Brotli:
		c.pool = &brotliEncoders
	case isAll && len(c.input) <= shortMax:
		c.pool = &shortEncoders
	default:
		c.pool = &flateEncoders
	}
	c.encoder = c.pool.Get().(encoder)
	c.encoder.Reset((*compressed)(c))
	_, _ = c.encoder.Write(c.input) // what it writes to does not fail
	c.input = nil
}

// compressed takes the output of the encoder.
type compressed Compressor

// Write implements io.Writer.
func (c *compressed) Write(data []byte) (n int, err error) {
	c.output = append(c.output, data...)
	return len(data), nil
}

// Finish ends the data: the rest of the output is there.
func (c *Compressor) Finish() error {
	if c.isOver {
		return errClosed
	}
	if c.format == Brotli && c.length == 0 && c.encoder == nil {
		c.isOver = true
		c.output = append(c.output, brotliEmpty) // the encoder forgets it when it is used again
		return nil
	}
	if c.encoder == nil {
		c.begin(true)
	}
	err := c.encoder.Close()
	c.free()
	switch c.format {
	case Gzip:
		c.output = binary.LittleEndian.AppendUint32(c.output, c.sum.Sum32())
		c.output = binary.LittleEndian.AppendUint32(c.output, c.length)
	case Deflate:
		c.output = binary.BigEndian.AppendUint32(c.output, c.sum.Sum32())
	}
	return err
}

// Take gives the output so far, which is valid until the next call of a method.
func (c *Compressor) Take() []byte {
	output := c.output
	c.output = c.output[:0]
	return output
}

// Size is about how many bytes it holds.
func (c *Compressor) Size() int {
	size := cap(c.input) + cap(c.output)
	switch {
	case c.encoder == nil:
	case c.format == Brotli:
		size += brotliSize
	default:
		size += flateSize
	}
	return size
}

func (c *Compressor) free() {
	c.isOver = true
	c.input = nil
	if c.encoder != nil {
		c.encoder.Reset(nil)
		c.pool.Put(c.encoder)
		c.encoder = nil
	}
}

// Close gives back what was borrowed.
func (c *Compressor) Close() error {
	c.free()
	c.output = nil
	return nil
}
