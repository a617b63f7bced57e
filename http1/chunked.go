package http1

// The bounds on what a chunked body may carry beside its data, in bytes for the whole body.
const (
	MaxChunkExtensions = 8 << 10 // what lies between a size and its LF, if there is an extension
	MaxTrailers        = 8 << 10 // the trailer section and the empty line after it
)

// The refusals of ChunkDecoder.
var (
	errChunkSize       = &Error{400, "malformed chunk size"}
	errChunkExtension  = &Error{400, "malformed chunk extension"}
	errChunkExtensions = &Error{400, "chunk extensions too long"}
	errChunkEnd        = &Error{400, "no CRLF after a chunk"}
	errTrailer         = &Error{400, "malformed trailer"}
	errTrailers        = &Error{400, "trailers too long"}
)

// chunkState is what a ChunkDecoder expects next.
type chunkState uint8

const (
	chunkSizeStart    chunkState = iota // the first digit of a size
	chunkSize                           // another digit, or what follows a size
	chunkNameStart                      // after ";": blanks, or an extension's name
	chunkName                           // inside a name
	chunkNameEnd                        // blanks after a name, then "=" or ";"
	chunkValueStart                     // after "=": blanks, or a value
	chunkToken                          // inside a value that is a token
	chunkQuoted                         // inside a value that is a quoted string
	chunkEscaped                        // after a backslash there
	chunkValueEnd                       // after a quoted string
	chunkBlank                          // after blanks that only ";" can follow
	chunkSizeLF                         // the LF of a size line
	chunkData                           // data, remaining bytes of it
	chunkDataCR                         // CR after data
	chunkDataLF                         // LF after that
	chunkTrailerStart                   // a trailer's name, or the last CR
	chunkTrailerName                    // inside a name
	chunkTrailerValue                   // inside a value
	chunkTrailerLF                      // the LF of a trailer
	chunkEndLF                          // the last LF
	chunkDone                           // nothing
)

// ChunkDecoder removes the chunked transfer coding of one body (RFC 9112 §7.1). The zero value is
// ready; to decode another body, assign ChunkDecoder{}. It holds no data and does not allocate.
// Chunk extensions and trailers are checked, bounded, and dropped.
type ChunkDecoder struct {
	remaining  int64 // bytes of data missing from the chunk; or its size so far, while that is read
	digits     int   // hexadecimal digits of the size so far
	extensions int   // bytes of extensions, all chunks together
	trailers   int   // bytes of trailers
	state      chunkState
}

// Decode reads on in the body, whose next bytes are src. It returns the next piece of data, a part
// of src, empty if src has none; how many bytes of src were consumed; and whether the body ended
// with these. What is left of src then belongs to the next request; else, if there is some, call
// Decode again with it, as it stops after each piece of data. A src that is not empty is never
// consumed by 0 bytes, unless the body was done before. The error is an *Error with status 400.
func (d *ChunkDecoder) Decode(src []byte) (data []byte, consumed int, done bool, err error) {
	i := 0
	for i < len(src) {
		switch {
		case d.state == chunkData:
			n := int(min(d.remaining, int64(len(src)-i)))
			d.remaining -= int64(n)
			if d.remaining == 0 {
				d.state = chunkDataCR
			}
			return src[i : i+n : i+n], i + n, false, nil
		case d.state == chunkDone:
			return nil, i, true, nil
		case d.state == chunkTrailerValue:
			// The one place where many bytes may need no decision.
			end := skipText(src, i)
			if d.trailers += end - i; d.trailers > MaxTrailers {
				return nil, i, false, errTrailers
			}
			if i = end; i == len(src) {
				continue
			}
			fallthrough
		default:
			if refusal := d.step(src[i]); refusal != nil {
				return nil, i, false, refusal
			}
			i++
		}
	}
	return nil, i, d.state == chunkDone, nil
}

// step takes one byte that is not data, and returns nil or a refusal.
func (d *ChunkDecoder) step(c byte) *Error {
	switch d.state {
	case chunkSizeStart, chunkSize:
		return d.stepSize(c)
	case chunkSizeLF:
		if c != '\n' {
			return errChunkSize
		}
		d.state = chunkData
		if d.remaining == 0 {
			d.state = chunkTrailerStart
		}
		d.digits = 0
		return nil
	case chunkDataCR:
		if c != '\r' {
			return errChunkEnd
		}
		d.state = chunkDataLF
		return nil
	case chunkDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		d.state = chunkSizeStart
		return nil
	case chunkTrailerStart, chunkTrailerName, chunkTrailerValue, chunkTrailerLF, chunkEndLF:
		return d.stepTrailer(c)
	}
	if d.extensions++; d.extensions > MaxChunkExtensions {
		return errChunkExtensions
	}
	return d.stepExtension(c)
}

// stepSize takes a byte of a chunk's size or the one after it.
func (d *ChunkDecoder) stepSize(c byte) *Error {
	if classes[c]&classHex != 0 {
		// 16 digits at most, and the largest size is that of an int64.
		if d.digits == 16 || d.remaining > (1<<63-1)>>4 {
			return errChunkSize
		}
		d.digits++
		digit := c - '0'
		if c > '9' {
			digit = c | 0x20 - 'a' + 10
		}
		d.remaining = d.remaining<<4 | int64(digit)
		d.state = chunkSize
		return nil
	}
	if d.state == chunkSizeStart {
		return errChunkSize
	}
	switch c {
	case '\r':
		d.state = chunkSizeLF
	case ';':
		d.extensions++
		d.state = chunkNameStart
	case ' ', '\t':
		d.extensions++
		d.state = chunkBlank
	default:
		return errChunkSize
	}
	if d.extensions > MaxChunkExtensions {
		return errChunkExtensions
	}
	return nil
}

// stepExtension takes a byte of a chunk's extensions (RFC 9112 §7.1.1):
//
//	*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
func (d *ChunkDecoder) stepExtension(c byte) *Error {
	blank := c == ' ' || c == '\t'
	token := classes[c]&classToken != 0
	switch d.state {
	case chunkNameStart:
		if blank {
			return nil
		}
		if token {
			d.state = chunkName
			return nil
		}
		return errChunkExtension
	case chunkValueStart:
		switch {
		case blank:
		case token:
			d.state = chunkToken
		case c == '"':
			d.state = chunkQuoted
		default:
			return errChunkExtension
		}
		return nil
	case chunkQuoted, chunkEscaped:
		switch {
		case classes[c]&classText == 0:
			return errChunkExtension
		case d.state == chunkEscaped:
			d.state = chunkQuoted
		case c == '\\':
			d.state = chunkEscaped
		case c == '"':
			d.state = chunkValueEnd
		}
		return nil
	case chunkName, chunkToken:
		if token {
			return nil
		}
	}
	// What may follow a whole name or value.
	switch {
	case c == ';':
		d.state = chunkNameStart
	case c == '=' && (d.state == chunkName || d.state == chunkNameEnd):
		d.state = chunkValueStart
	case blank && (d.state == chunkName || d.state == chunkNameEnd):
		d.state = chunkNameEnd
	case blank:
		d.state = chunkBlank
	case c == '\r' && d.state != chunkBlank && d.state != chunkNameEnd:
		d.state = chunkSizeLF
	default:
		return errChunkExtension
	}
	return nil
}

// stepTrailer takes a byte of the trailer section or of the empty line that ends the body (RFC 9112
// §7.1.2). Trailers have the syntax of header fields.
func (d *ChunkDecoder) stepTrailer(c byte) *Error {
	if d.trailers++; d.trailers > MaxTrailers {
		return errTrailers
	}
	switch token := classes[c]&classToken != 0; {
	case d.state == chunkTrailerStart && c == '\r':
		d.state = chunkEndLF
	case d.state == chunkTrailerStart && token:
		d.state = chunkTrailerName
	case d.state == chunkTrailerName && token:
	case d.state == chunkTrailerName && c == ':':
		d.state = chunkTrailerValue
	case d.state == chunkTrailerValue && c == '\r':
		d.state = chunkTrailerLF
	case d.state == chunkTrailerLF && c == '\n':
		d.state = chunkTrailerStart
	case d.state == chunkEndLF && c == '\n':
		d.state = chunkDone
	default:
		return errTrailer
	}
	return nil
}
