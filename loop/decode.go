package loop

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"nano/http1"
)

// coding is a content coding that can be removed (RFC 9110 §8.4.1).
type coding uint8

const (
	codingGzip    coding = iota + 1
	codingDeflate        // with the header of zlib, or without, as some servers send it
	codingBrotli
	codingZstd
)

// codings are those of a body, in the order in which they were applied.
type codings struct {
	count uint8
	list  [codingsMax]coding
}

// codingsMax is how many codings a body may have; with more it is left as it is.
const codingsMax = 3

// codingsOf reads the Content-Encoding of a response. None, if there is one that is not known: then the body
// is what the app has to deal with, as the Fetch standard wants it.
func codingsOf(head []byte, parsed *http1.Head) (found codings) {
	const field = "content-encoding"
	for i := parsed.Find(head, field, 0); i >= 0; i = parsed.Find(head, field, i+1) {
		rest := parsed.Fields[i].Value(head)
		for more := true; more; {
			var name []byte
			name, rest, more = bytes.Cut(rest, []byte{','})
			name = bytes.Trim(name, " \t")
			next := coding(0)
			switch {
			case len(name) == 0, isAnyOf(name, "identity"):
				continue
			case isAnyOf(name, "gzip", "x-gzip"):
				next = codingGzip
			case isAnyOf(name, "deflate"):
				next = codingDeflate
			case isAnyOf(name, "br"):
				next = codingBrotli
			case isAnyOf(name, "zstd"):
				next = codingZstd
			}
			if next == 0 || found.count == codingsMax {
				return codings{}
			}
			found.list[found.count] = next
			found.count++
		}
	}
	return found
}

const (
	// decodedPiece is how much a decoder gives at once.
	decodedPiece = 32 << 10
	// zstdWindowMax is the largest window that RFC 9659 allows for the coding.
	zstdWindowMax = 8 << 20
	// decodersSpareMax is how many decoders of each kind a loop keeps.
	decodersSpareMax = 4
)

// A decoder removes the content codings of a response's body, between the fetch and the sink of the body:
// it is a sink of the one and a source to the other. Nothing is decoded before the sink has room, so a body
// that would become very large takes no more memory than another.
//
// The packages that know the codings want to pull their input, where here it is pushed. So they run in a
// coroutine: it yields a piece of output, or nil when it needs input. Going over to it and back takes 0.1 µs,
// on the loop's own thread; the scheduler has no part in it.
type decoder struct {
	fetch *fetch
	to    sink // nil: it has heard the end
	next  func() (piece []byte, ok bool)
	stop  func()

	input      []byte // of the piece that is being read
	kept       []byte // of the pool: what input is a part of, if it outlives a push
	inputEnded bool   // after input
	ending     *fault // how it ended; nil: whole
	result     error  // of the decoding, once it is over
	isOver     bool   // the decoding
	isOpen     bool   // the sink has room
	isPushed   bool   // within push
}

func (l *Loop) newDecoder(f *fetch) *decoder {
	d := &decoder{fetch: f}
	d.next, d.stop = iter.Pull(d.decode)
	return d
}

// attach implements source.
func (d *decoder) attach(to sink) {
	d.to = to
	(*fetchDownload)(d.fetch).attach(d)
}

// length implements source.
func (d *decoder) length() int64 { return -1 }

// cancel implements source.
func (d *decoder) cancel() {
	d.to = nil
	(*fetchDownload)(d.fetch).cancel()
}

// resume implements source.
func (d *decoder) resume() {
	d.isOpen = true
	d.advance()
}

// push implements sink.
func (d *decoder) push(data []byte) (more bool) {
	if d.isOver { // what follows the end of the coding counts for nothing
		return d.result == nil
	}
	d.input, d.isPushed = data, true
	d.advance()
	d.isPushed = false
	if len(d.input) != 0 && !d.isOver {
		d.kept = append(d.fetch.loop.buffers.take(len(d.input)), d.input...)
		d.input = d.kept
		return false
	}
	d.input = nil
	return d.isOpen && d.result == nil
}

// end implements sink.
func (d *decoder) end(why *fault) {
	d.inputEnded, d.ending = true, why
	d.advance()
}

// advance decodes as long as the sink has room and there is input.
func (d *decoder) advance() {
	for d.isOpen && !d.isOver {
		piece, ok := d.next()
		switch {
		case !ok:
			d.isOver = true
		case piece != nil:
			d.isOpen = d.to.push(piece)
		default:
			d.freeKept()
			if !d.isPushed && !d.inputEnded {
				(*fetchDownload)(d.fetch).resume()
			}
			return
		}
	}
	if d.isOver {
		d.freeKept()
		d.finish()
	}
}

// freeKept gives back input that was used up.
func (d *decoder) freeKept() {
	d.fetch.loop.buffers.give(d.kept)
	d.kept, d.input = nil, nil
}

// finish tells the sink of the end. It has to wait for that of the fetch, unless the decoding failed; then
// the fetch has to be ended, which it must not be while it pushes.
func (d *decoder) finish() {
	f := d.fetch
	switch {
	case d.result == nil && !d.inputEnded:
		if !d.isPushed {
			(*fetchDownload)(f).resume()
		}
	case d.isPushed:
		f.failSoon(d.fault())
	default:
		to, why := d.to, d.fault()
		d.to = nil
		if to != nil {
			to.end(why)
			f.stop()
			f.over()
		}
	}
}

// fault is how the body ends for the sink.
func (d *decoder) fault() *fault {
	if d.ending != nil {
		return d.ending
	}
	if d.result != nil {
		return d.fetch.fault("the content coding of the body is damaged: " + d.result.Error())
	}
	return nil
}

// close ends the coroutine, wherever it stands.
func (d *decoder) close() {
	d.stop()
	d.fetch.loop.buffers.give(d.kept)
	d.kept, d.input = nil, nil
}

// errDecoderStopped is what the packages are told when nobody wants the rest.
var errDecoderStopped = errors.New("stopped")

// decode is the coroutine.
func (d *decoder) decode(yield func([]byte) bool) {
	l := d.fetch.loop
	s := &l.origins.decoders
	reader := s.takeBuffered(&decoderInput{decoder: d, yield: yield})
	defer s.giveBuffered(reader)
	if _, err := reader.Peek(1); err != nil {
		d.setResult(err)
		return // an empty body has no coding
	}
	codings := d.fetch.codings
	var last io.Reader
	for i := int(codings.count) - 1; i >= 0; i-- {
		if last != nil {
			reader = s.takeBuffered(last)
			defer s.giveBuffered(reader)
		}
		each := s.take(codings.list[i])
		defer s.give(codings.list[i], each)
		if err := each.reset(reader); err != nil {
			d.setResult(err)
			return
		}
		last = each
	}
	buffer := l.buffers.take(decodedPiece)
	defer l.buffers.give(buffer)
	for {
		n, err := last.Read(buffer[:decodedPiece])
		if n > 0 && !yield(buffer[:n]) {
			return
		}
		if err != nil {
			d.setResult(err)
			return
		}
	}
}

// setResult notes why the decoding is over.
func (d *decoder) setResult(err error) {
	if err != io.EOF {
		d.result = err
	}
}

// A decoderInput is the input of a coroutine.
type decoderInput struct {
	decoder *decoder
	yield   func([]byte) bool
}

// Read gives what there is of the body. If there is nothing, the coroutine rests until there is.
func (i *decoderInput) Read(p []byte) (n int, err error) {
	d := i.decoder
	for len(d.input) == 0 {
		switch {
		case d.inputEnded && d.ending != nil:
			return 0, io.ErrUnexpectedEOF
		case d.inputEnded:
			return 0, io.EOF
		case !i.yield(nil):
			return 0, errDecoderStopped
		}
	}
	n = copy(p, d.input)
	d.input = d.input[n:]
	return n, nil
}

// A codingReader removes one coding.
type codingReader interface {
	io.Reader
	reset(from *bufio.Reader) error
}

// decoders are those that a loop keeps for reuse: their tables and windows are large.
type decoders struct {
	spare    [codingZstd + 1][]codingReader
	buffered []*bufio.Reader
}

func (s *decoders) take(c coding) codingReader {
	if last := len(s.spare[c]) - 1; last >= 0 {
		each := s.spare[c][last]
		s.spare[c] = s.spare[c][:last]
		return each
	}
	switch c {
	case codingGzip:
		return new(gzipReader)
	case codingDeflate:
		return new(deflateReader)
	case codingBrotli:
		return new(brotliReader)
	}
	return new(zstdReader)
}

func (s *decoders) give(c coding, each codingReader) {
	if len(s.spare[c]) < decodersSpareMax {
		s.spare[c] = append(s.spare[c], each)
	}
}

// takeBuffered returns a reader of another one, which is what flate has a fast path for.
func (s *decoders) takeBuffered(from io.Reader) *bufio.Reader {
	if last := len(s.buffered) - 1; last >= 0 {
		reader := s.buffered[last]
		s.buffered = s.buffered[:last]
		reader.Reset(from)
		return reader
	}
	return bufio.NewReaderSize(from, 4<<10)
}

func (s *decoders) giveBuffered(reader *bufio.Reader) {
	reader.Reset(nil)
	if len(s.buffered) < decodersSpareMax {
		s.buffered = append(s.buffered, reader)
	}
}

// A gzipReader reads gzip (RFC 1952): all members. What follows the last one and is not the start of
// another is left out, as browsers do: some servers fill up with zeros.
type gzipReader struct {
	gzip.Reader
	from *bufio.Reader
}

func (r *gzipReader) reset(from *bufio.Reader) error {
	r.from = from
	err := r.Reader.Reset(from)
	r.Multistream(false)
	return err
}

// Read implements io.Reader.
func (r *gzipReader) Read(p []byte) (n int, err error) {
	n, err = r.Reader.Read(p)
	if err != io.EOF {
		return n, err
	}
	if next, peekErr := r.from.Peek(2); peekErr != nil || next[0] != 0x1f || next[1] != 0x8b {
		return n, io.EOF
	}
	return n, r.reset(r.from)
}

// A deflateReader reads deflate with the header of zlib (RFC 1950), as it ought to be, or without
// (RFC 1951), as some servers send it. The first two bytes tell them apart.
type deflateReader struct {
	io.Reader // raw or zlib
	raw, zlib io.Reader
}

func (r *deflateReader) reset(from *bufio.Reader) (err error) {
	const method = 8
	header, _ := from.Peek(2)
	if len(header) < 2 || header[0]&15 != method || (int(header[0])<<8|int(header[1]))%31 != 0 {
		if r.raw == nil {
			r.raw = flate.NewReader(from)
		} else {
			err = r.raw.(flate.Resetter).Reset(from, nil)
		}
		r.Reader = r.raw
		return err
	}
	if r.zlib == nil {
		r.zlib, err = zlib.NewReader(from)
		if err != nil {
			r.zlib = nil
			return err
		}
	} else {
		err = r.zlib.(zlib.Resetter).Reset(from, nil)
	}
	r.Reader = r.zlib
	return err
}

// A brotliReader reads brotli (RFC 7932).
type brotliReader struct{ brotli.Reader }

func (r *brotliReader) reset(from *bufio.Reader) error { return r.Reader.Reset(from) }

// A zstdReader reads zstd (RFC 8878), on the calling thread.
type zstdReader struct{ *zstd.Decoder }

func (r *zstdReader) reset(from *bufio.Reader) (err error) {
	if r.Decoder != nil {
		return r.Decoder.Reset(from)
	}
	r.Decoder, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax))
	return err
}
