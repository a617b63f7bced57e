package http1

// The refusals of ParseResponse, beside those of Parse.
var (
	errStatusLine      = &Error{400, "malformed status line"}
	errResponseControl = &Error{400, "control byte or bare CR or LF in the response head"}
	errResponseLong    = &Error{431, "response head too long"}
)

// Framing is how the end of a response's body is known (RFC 9112 §6.3).
type Framing uint8

// The kinds of framing.
const (
	FramingNone    Framing = iota // there is no body, whatever the fields say
	FramingLength                 // ContentLength bytes
	FramingChunked                // a ChunkDecoder knows
	FramingClose                  // all until the connection ends
)

// ParseResponse parses the response head at the start of b, as Parse does that of a request: see there for
// limit, for how to go on after ErrIncomplete, and for what is refused. Of an *Error only the Reason
// counts. Interim responses (1xx) are responses of their own; what follows their head is the next one.
func (h *Head) ParseResponse(b []byte, limit int) error {
	h.isResponse = true
	switch err := h.read(b, limit); err {
	case errControl:
		return errResponseControl
	case errTooLong:
		return errResponseLong
	default:
		return err
	}
}

// Framing tells how the body of a response ends. toHead: it answers a HEAD request.
func (h *Head) Framing(toHead bool) Framing {
	switch {
	case toHead, h.Status < 200, h.Status == 204, h.Status == 304:
		return FramingNone
	case h.Chunked:
		return FramingChunked
	case h.ContentLength >= 0:
		return FramingLength
	}
	return FramingClose
}

// Find returns the index in Fields of the first field from index from on that has a name, given in lower
// case, or -1. head is what was parsed.
func (h *Head) Find(head []byte, name string, from int) int {
	for i := from; i < len(h.Fields); i++ {
		if equalFold(h.Fields[i].Name(head), name) {
			return i
		}
	}
	return -1
}

// Name is the field's name in the head that it was parsed from.
func (f Field) Name(head []byte) []byte { return head[f.NameOffset:][:f.NameLength] }

// Value is the field's value in the head that it was parsed from.
func (f Field) Value(head []byte) []byte { return head[f.ValueOffset:][:f.ValueLength] }

// parseStatusLine parses "HTTP/1.x SP 3DIGIT [SP reason] CRLF" (RFC 9112 §4) and returns the index of the
// first field line. The blank before a reason that is missing may be missing as well: servers leave it
// out.
func (h *Head) parseStatusLine(b []byte) (int, error) {
	const version = "HTTP/1.0 "
	for i, c := range b[:min(len(b), len(version))] {
		switch {
		case i == 5 && c >= '0' && c <= '9' && c != '1':
			return 0, errVersionNumber
		case i == 7 && c >= '0' && c <= '9':
			h.Minor = min(c-'0', 1)
		case c != version[i]:
			return 0, errStatusLine
		}
	}
	i := len(version)
	status := 0
	for ; i < min(len(b), len(version)+3); i++ {
		if b[i] < '0' || b[i] > '9' || status == 0 && b[i] == '0' {
			return 0, errStatusLine
		}
		status = status*10 + int(b[i]-'0')
	}
	if i >= len(b) {
		return 0, ErrIncomplete
	}
	reason := i
	if b[i] == ' ' {
		reason++
		i = skipText(b, reason)
	}
	switch {
	case i == len(b), b[i] == '\r' && i+1 == len(b):
		return 0, ErrIncomplete
	case b[i] != '\r' || b[i+1] != '\n':
		return 0, errStatusLine
	}
	h.Status = uint16(status)
	h.ReasonOffset, h.ReasonLength = uint16(reason), uint16(i-reason)
	return i + 2, nil
}

// knownOfResponse is known for a response.
func (h *Head) knownOfResponse(b []byte, name, nameLength, value, valueEnd int) error {
	field := b[name : name+nameLength]
	switch {
	case nameLength == 14 || nameLength == 17:
		return h.framing(field, b[value:valueEnd])
	case nameLength != 10:
	case equalFold(field, "connection"):
		if h.connection(b[value:valueEnd]) != nil {
			h.closeAsked = true // whatever it meant, nothing is to follow
		}
	case equalFold(field, "keep-alive"):
		h.keepAlive(b[value:valueEnd])
	}
	return nil
}

// keepAlive takes note of a Keep-Alive field, "timeout=5, max=100": for how long the server keeps a
// connection that is idle. Whatever else it may say is of no use.
func (h *Head) keepAlive(value []byte) {
	const name = "timeout="
	for start := 0; start <= len(value); {
		end := start
		for end < len(value) && value[end] != ',' {
			end++
		}
		parameter := trim(value[start:end])
		start = end + 1
		if len(parameter) > len(name) && equalFold(parameter[:len(name)-1], name[:len(name)-1]) && parameter[len(name)-1] == '=' {
			if n, ok := decimal(parameter[len(name):]); ok {
				h.KeepAliveSeconds = int32(min(n, 1<<31-1))
			}
		}
	}
}
