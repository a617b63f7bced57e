package ws

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"
)

// An Inflater takes the compression off messages. It keeps nothing from one to the next, so that one does for
// all connections of a thread.
type Inflater struct {
	reader io.ReadCloser // and flate.Resetter
	source deflated
}

// deflateTail is what senders leave out at the end of a message (RFC 7692 §7.2.1), and an empty final block so
// that the end is the end of a stream.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// streamsMax bounds the streams of a message: each costs as much as 32 KiB of text.
const streamsMax = 16

// deflated reads a compressed message, and then deflateTail.
type deflated struct {
	bytes.Reader
	rest []byte // still to be read when Reader is at its end
}

var tail = []byte(deflateTail)

func (d *deflated) reset(message []byte) {
	d.Reader.Reset(message)
	d.rest = tail
}

// next goes on with what comes after the message.
func (d *deflated) next() (more bool) {
	if d.Reader.Len() == 0 && d.rest != nil {
		d.Reader.Reset(d.rest)
		d.rest = nil
	}
	return d.Reader.Len() != 0
}

// Read implements io.Reader.
func (d *deflated) Read(into []byte) (int, error) {
	d.next()
	return d.Reader.Read(into)
}

// ReadByte implements io.ByteReader, without which flate would read ahead.
func (d *deflated) ReadByte() (byte, error) {
	d.next()
	return d.Reader.ReadByte()
}

// inflate returns a message without its compression, in a buffer of memory, which is the caller's with an
// error as well. window is what came before. A message of more than limit bytes is errTooBig: so much is
// never held.
func (f *Inflater) inflate(memory Memory, message, window []byte, limit int) (text []byte, err *Error) {
	f.source.reset(message)
	if f.reader == nil {
		f.reader = flate.NewReader(&f.source)
	}
	// A stream may end within a message, and another begin (§7.2.3.4).
	for streams := 0; f.source.next(); streams++ {
		if streams == streamsMax {
			return text, errDeflate
		}
		dictionary := window
		if len(text) != 0 {
			dictionary = joined(window, text)
		}
		if f.reader.(flate.Resetter).Reset(&f.source, dictionary) != nil {
			return text, errDeflate
		}
		if text, err = f.read(memory, text, len(message), limit); err != nil {
			break
		}
	}
	f.source.reset(nil)
	return text, err
}

// read appends a stream to text.
func (f *Inflater) read(memory Memory, text []byte, expected, limit int) ([]byte, *Error) {
	for {
		if cap(text)-len(text) < 512 {
			text = memory.Grow(text, max(512, min(2*expected, limit)))
		}
		n, err := f.reader.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case len(text) > limit:
			return text, errTooBig
		case err == io.EOF:
			return text, nil
		case err != nil:
			return text, errDeflate
		}
	}
}

// joined is the end of a and b together, as much as can be referred back to.
func joined(a, b []byte) []byte {
	if len(b) >= windowSize {
		return b[len(b)-windowSize:]
	}
	a = a[max(0, len(a)+len(b)-windowSize):]
	return append(append(make([]byte, 0, len(a)+len(b)), a...), b...)
}

// A Deflater compresses messages, each for itself: it keeps nothing from one to the next, so that one does for
// all connections of a thread.
type Deflater struct {
	writers [windowBitsMax + 1]*flate.Writer // by the bits of their windows
	out     bytes.Buffer
}

const (
	windowBitsMin = 8
	windowBitsMax = 15

	// deflateLevel is the fastest: most messages are small.
	deflateLevel = flate.BestSpeed
	// deflaterKept is up to which size the memory of a message is kept for the next.
	deflaterKept = 256 << 10
)

// Deflate compresses a message for a window of so many bits. The result is valid until the next call.
func (d *Deflater) Deflate(message []byte, windowBits uint8) []byte {
	w := d.writers[windowBits]
	if w == nil {
		w = newWriter(windowBits)
		d.writers[windowBits] = w
	}
	if d.out.Cap() > deflaterKept {
		d.out = bytes.Buffer{}
	}
	d.out.Reset()
	w.Reset(&d.out)
	// A bytes.Buffer takes everything.
	_, _ = w.Write(message)
	_ = w.Flush()
	return bytes.TrimSuffix(d.out.Bytes(), tail[:4])
}

func newWriter(windowBits uint8) *flate.Writer {
	var w *flate.Writer
	var err error
	if windowBits == windowBitsMax {
		w, err = flate.NewWriter(io.Discard, deflateLevel)
	} else {
		w, err = flate.NewWriterWindow(io.Discard, 1<<windowBits)
	}
	if err != nil {
		panic("ws: " + err.Error()) // the level and the window are ours
	}
	return w
}
