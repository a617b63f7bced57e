package http1

import (
	"encoding/binary"
	"slices"
)

// The refusals of Parse.
var (
	errControl         = &Error{400, "control byte or bare CR or LF in the request head"}
	errMethod          = &Error{400, "malformed method"}
	errTarget          = &Error{400, "malformed request target"}
	errVersion         = &Error{400, "malformed protocol version"}
	errVersionNumber   = &Error{505, "HTTP version not supported"}
	errConnect         = &Error{501, "CONNECT is not supported"}
	errFieldName       = &Error{400, "malformed header field name"}
	errFieldValue      = &Error{400, "malformed header field value"}
	errTooManyFields   = &Error{431, "too many header fields"}
	errTooLong         = &Error{431, "request head too long"}
	errHostMissing     = &Error{400, "no Host"}
	errHostRepeated    = &Error{400, "more than one Host"}
	errHost            = &Error{400, "malformed Host"}
	errContentLength   = &Error{400, "malformed Content-Length"}
	errLengthsDiffer   = &Error{400, "differing Content-Lengths"}
	errLengthAndCoding = &Error{400, "both Content-Length and Transfer-Encoding"}
	errCodingVersion   = &Error{400, "Transfer-Encoding in HTTP/1.0"}
	errCoding          = &Error{501, "transfer coding not supported"}
	errConnection      = &Error{400, "malformed Connection"}
	errExpectation     = &Error{417, "expectation not supported"}
)

// Reset makes the head forget the start of a head that Parse found incomplete. It must be called
// before Parse is given bytes that do not continue those of its last call.
func (h *Head) Reset() { h.scanned, h.attempted = 0, 0 }

// Parse parses the request head at the start of b, which is not changed, and fills h. A head of more
// than limit bytes (or MaxHeadLength) is refused.
//
// It returns nil, ErrIncomplete, or an *Error with status 400, 417, 431, 501 or 505. After
// ErrIncomplete, h holds nothing but how far it came: call Parse again once there are more bytes, with
// all of them from the start of the head. However small the pieces, a byte is looked at a few times
// only. After nil and after an *Error, h is ready for the next head.
//
// How a head was cut into pieces does not matter for the result, but in two cases: a head that is both
// malformed and over the limit gets 400 or 431; and while a head is not complete, a fault of its syntax
// may be refused with the first bytes that show it or only later. A forbidden control byte is always
// refused at once.
func (h *Head) Parse(b []byte, limit int) error {
	h.isResponse = false
	return h.read(b, limit)
}

// read is Parse and ParseResponse.
func (h *Head) read(b []byte, limit int) error {
	limit = max(0, min(limit, MaxHeadLength))
	if len(b) > limit {
		b = b[:limit]
	}
	if h.scanned == 0 {
		err := h.parse(b)
		if err == nil {
			return nil
		}
		return h.settle(b, limit, err)
	}
	return h.settle(b, limit, nil)
}

// settle is Parse for all that is not the usual case, a good head complete in its first piece: err
// is what the first attempt at b said, nil if there was none. It looks for the end of the head, and
// takes the verdict from there:
//
//   - A forbidden control byte anywhere in the head is status 400. (An attempt may find another fault
//     first; but in smaller pieces the control byte might have been seen before that attempt.)
//   - If the head is complete, the attempt at it decides.
//   - If not, a fault of syntax is refused at once, all else waits.
func (h *Head) settle(b []byte, limit int, err error) error {
	end, bad := h.scan(b)
	if bad {
		h.Reset()
		return errControl
	}
	// Attempts before the end are worth it to refuse garbage early. Only when twice as much is there
	// as at the last one: so all of them together cost no more than two of the last.
	attempt := err == nil && (end || len(b) >= 2*h.attempted)
	if attempt || h.attempted == 0 {
		h.attempted = len(b)
	}
	if attempt {
		err = h.parse(b)
	}
	refusal, refused := err.(*Error)
	switch {
	case end, refused && refusal.Status == 400:
		h.Reset()
		return err
	case len(b) >= limit:
		h.Reset()
		return errTooLong
	}
	return ErrIncomplete
}

// scan goes on from h.scanned and looks for the empty line that ends the head, and for bytes that no
// head may hold.
func (h *Head) scan(b []byte) (end, bad bool) {
	i := min(h.scanned, len(b))
	for {
		i = skipText(b, i)
		if i == len(b) || b[i] == '\r' && i+1 == len(b) {
			h.scanned = i
			return false, false
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			return false, true
		}
		if i >= 2 && b[i-1] == '\n' {
			return true, false
		}
		i += 2
	}
}

// parse parses the head at the start of b in one pass. It returns nil, ErrIncomplete or an *Error;
// only after nil is h filled.
func (h *Head) parse(b []byte) error {
	h.ContentLength = -1
	h.Chunked, h.KeepAlive, h.Continue, h.Upgrade = false, false, false, false
	h.absolute, h.hostSeen, h.hostEmpty = false, false, false
	h.codingSeen, h.codingUnknown, h.expectationElse = false, false, false
	h.closeAsked, h.keepAliveAsked, h.Traced = false, false, false
	h.HostOffset, h.HostLength, h.Hops = 0, 0, 0
	h.KeepAliveSeconds = -1

	i, err := h.parseStartLine(b)
	if err == nil {
		i, err = h.parseFields(b, i)
	}
	if err == nil {
		err = h.finish()
	}
	if err != nil {
		return err
	}
	h.Length = i
	return nil
}

// parseStartLine parses the first line and returns the index of what follows.
func (h *Head) parseStartLine(b []byte) (int, error) {
	if h.isResponse {
		return h.parseStatusLine(b)
	}
	return h.parseRequestLine(b)
}

// parseRequestLine parses "method SP target SP HTTP/1.x CRLF" (RFC 9112 §3), after one empty line at
// most (§2.2), and returns the index of the first field line.
func (h *Head) parseRequestLine(b []byte) (int, error) {
	start := 0
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		start = 2
	}
	i := start
	for i < len(b) && classes[b[i]]&classToken != 0 {
		i++
	}
	if i == len(b) || b[i] == '\r' && i+1 == len(b) && i == 0 {
		return 0, ErrIncomplete
	}
	if b[i] != ' ' || i == start {
		return 0, errMethod
	}
	h.MethodOffset, h.MethodLength = uint16(start), uint16(i-start)
	h.Method = methodOf(b[start:i])

	i++
	target := i
	i = skipTarget(b, i)
	if i == len(b) {
		return 0, ErrIncomplete
	}
	if b[i] != ' ' || i == target {
		return 0, errTarget
	}
	next, err := h.parseVersion(b, i+1)
	if err != nil {
		return 0, err
	}
	// The version comes first, so that an HTTP/2 preface, "PRI * HTTP/2.0", is told so.
	return next, h.parseTarget(b, target, i)
}

// parseVersion parses "HTTP/1.x CRLF" at i (RFC 9112 §2.3) and returns the index of what follows.
func (h *Head) parseVersion(b []byte, i int) (int, error) {
	const pattern = "HTTP/0.0\r\n" // 0 stands for any digit
	if len(b)-i < len(pattern) {
		for k, c := range b[i:] {
			if c != pattern[k] && (pattern[k] != '0' || c < '0' || c > '9') {
				return 0, errVersion
			}
		}
		return 0, ErrIncomplete
	}
	v := b[i : i+len(pattern)]
	if string(v[:5]) != "HTTP/" || v[5]-'0' > 9 || v[6] != '.' || v[7]-'0' > 9 || v[8] != '\r' || v[9] != '\n' {
		return 0, errVersion
	}
	if v[5] != '1' {
		return 0, errVersionNumber
	}
	// A higher minor version is one that 1.1 can be spoken with (RFC 9110 §2.5).
	h.Minor = min(v[7]-'0', 1)
	return i + len(pattern), nil
}

// methodOf returns the index of a method's name. Names are case-sensitive (RFC 9110 §9.1).
func methodOf(name []byte) Method {
	switch string(name) {
	case "GET":
		return MethodGet
	case "HEAD":
		return MethodHead
	case "POST":
		return MethodPost
	case "PUT":
		return MethodPut
	case "DELETE":
		return MethodDelete
	case "OPTIONS":
		return MethodOptions
	case "PATCH":
		return MethodPatch
	case "TRACE":
		return MethodTrace
	case "CONNECT":
		return MethodConnect
	}
	return MethodOther
}

// parseTarget tells the four forms of a request target apart (RFC 9112 §3.2): b[start:end], not empty.
func (h *Head) parseTarget(b []byte, start, end int) error {
	target := b[start:end]
	if h.Method == MethodConnect {
		if !isHost(target) || target[len(target)-1] == ':' || portOf(target) == nil {
			return errTarget
		}
		return errConnect
	}
	if target[0] == '/' {
		h.TargetOffset, h.TargetLength = uint16(start), uint16(end-start)
		return nil
	}
	if len(target) == 1 && target[0] == '*' && h.Method == MethodOptions {
		h.TargetOffset, h.TargetLength = uint16(start), 0
		return nil
	}
	scheme := 0
	switch {
	case len(target) > 7 && equalFold(target[:4], "http") && string(target[4:7]) == "://":
		scheme = 7
	case len(target) > 8 && equalFold(target[:5], "https") && string(target[5:8]) == "://":
		scheme = 8
	default:
		return errTarget
	}
	i := scheme
	for i < len(target) && target[i] != '/' && target[i] != '?' {
		i++
	}
	// Userinfo is refused with the rest of what no host holds (RFC 9110 §4.2.4).
	if !isHost(target[scheme:i]) {
		return errTarget
	}
	h.absolute = true
	h.HostOffset, h.HostLength = uint16(start+scheme), uint16(i-scheme)
	h.TargetOffset, h.TargetLength = uint16(start+i), uint16(end-start-i)
	return nil
}

// parseFields parses the field lines from i on, and the empty line after them (RFC 9112 §5), and
// returns the index after that.
func (h *Head) parseFields(b []byte, i int) (int, error) {
	fields := h.Fields[:0]
	for {
		name := i
		for i < len(b) && classes[b[i]]&classToken != 0 {
			i++
		}
		if i == len(b) {
			return 0, ErrIncomplete
		}
		if b[i] != ':' || i == name {
			if i == name && b[i] == '\r' {
				break
			}
			return 0, errFieldName // a space before the colon and a folded line, too
		}
		nameLength := i - name
		i++
		for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
			i++
		}
		value := i
		i = skipText(b, i)
		if i+1 >= len(b) {
			if i < len(b) && b[i] != '\r' {
				return 0, errFieldValue
			}
			return 0, ErrIncomplete
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			return 0, errFieldValue
		}
		valueEnd := i
		for valueEnd > value && (b[valueEnd-1] == ' ' || b[valueEnd-1] == '\t') {
			valueEnd--
		}
		i += 2
		if len(fields) == MaxFields {
			return 0, errTooManyFields
		}
		if len(fields) == cap(fields) {
			// Kept at once, so that a head that comes in pieces grows it only once, too.
			fields = slices.Grow(fields, max(16, len(fields)))
			h.Fields = fields
		}
		fields = append(fields, Field{uint16(name), uint16(nameLength), uint16(value), uint16(valueEnd - value)})
		switch nameLength {
		case 4, 6, 8, 10, 11, 14, 17:
			if err := h.known(b, name, nameLength, value, valueEnd); err != nil {
				return 0, err
			}
		}
	}
	h.Fields = fields
	if i+1 == len(b) {
		return 0, ErrIncomplete
	}
	if b[i+1] != '\n' {
		return 0, errControl
	}
	return i + 2, nil
}

// known takes note of a field if it is one of those that the parser must understand.
func (h *Head) known(b []byte, name, nameLength, value, valueEnd int) error {
	if h.isResponse {
		return h.knownOfResponse(b, name, nameLength, value, valueEnd)
	}
	switch nameLength {
	case 4:
		if binary.LittleEndian.Uint32(b[name:])|0x20202020 == 't'<<24|'s'<<16|'o'<<8|'h' {
			return h.host(b, value, valueEnd)
		}
	case 6:
		if equalFold(b[name:name+6], "expect") {
			if equalFold(b[value:valueEnd], "100-continue") {
				h.Continue = true
			} else {
				h.expectationElse = true
			}
		}
	case 8:
		if equalFold(b[name:name+8], "cdn-loop") {
			h.Hops = max(h.Hops, hopsIn(b[value:valueEnd]))
		}
	case 10:
		if equalFold(b[name:name+10], "connection") {
			return h.connection(b[value:valueEnd])
		}
	case 11:
		h.Traced = h.Traced || equalFold(b[name:name+11], "traceparent")
	case 14, 17:
		return h.framing(b[name:name+nameLength], b[value:valueEnd])
	}
	return nil
}

// framing takes note of a field if it says how long the body is.
func (h *Head) framing(name, value []byte) error {
	switch {
	case equalFold(name, "content-length"):
		return h.contentLength(value)
	case equalFold(name, "transfer-encoding"):
		h.codingUnknown = h.codingSeen || !equalFold(value, "chunked")
		h.codingSeen = true
	}
	return nil
}

// hopsIn returns the largest number of hops that a CDN-Loop field has for us, as appendHops writes it; a
// member without a number is one.
func hopsIn(value []byte) (hops uint8) {
	for start := 0; start <= len(value); {
		end := start
		for end < len(value) && value[end] != ',' {
			end++
		}
		member := trim(value[start:end])
		start = end + 1
		if len(member) < len(hopsID) || !equalFold(member[:len(hopsID)], hopsID) {
			continue
		}
		rest := trim(member[len(hopsID):])
		switch {
		case len(rest) == 0:
			hops = max(hops, 1)
		case rest[0] == ';':
			rest = trim(rest[1:])
			if n, ok := decimal(rest[min(len(rest), len(hopsParameter)):]); ok && equalFold(rest[:len(hopsParameter)], hopsParameter) {
				hops = max(hops, uint8(min(n, 255)))
			} else {
				hops = max(hops, 1)
			}
		}
	}
	return hops
}

// host takes note of a Host field (RFC 9112 §3.2). It must be well-formed even if the authority of an
// absolute form overrides it.
func (h *Head) host(b []byte, value, valueEnd int) error {
	if h.hostSeen {
		return errHostRepeated
	}
	h.hostSeen = true
	h.hostEmpty = value == valueEnd
	if h.hostEmpty {
		return nil
	}
	if !isHost(b[value:valueEnd]) {
		return errHost
	}
	if !h.absolute {
		h.HostOffset, h.HostLength = uint16(value), uint16(valueEnd-value)
	}
	return nil
}

// connection takes note of the options of a Connection field (RFC 9110 §7.6.1); there may be several.
func (h *Head) connection(value []byte) error {
	if equalFold(value, "keep-alive") {
		h.keepAliveAsked = true
		return nil
	}
	for start := 0; start <= len(value); {
		end := start
		for end < len(value) && value[end] != ',' {
			end++
		}
		option := trim(value[start:end])
		start = end + 1
		switch {
		case len(option) == 0: // RFC 9110 §5.6.1.2: empty elements do not count
		case !isToken(option):
			return errConnection
		case equalFold(option, "close"):
			h.closeAsked = true
		case equalFold(option, "keep-alive"):
			h.keepAliveAsked = true
		case equalFold(option, "upgrade"):
			h.Upgrade = true
		}
	}
	return nil
}

// contentLength takes note of a Content-Length field, a number or a list of the same number several
// times, as proxies make of repeated fields (RFC 9110 §8.6).
func (h *Head) contentLength(value []byte) error {
	for start := 0; start <= len(value); {
		end := start
		for end < len(value) && value[end] != ',' {
			end++
		}
		n, ok := decimal(trim(value[start:end]))
		if !ok {
			return errContentLength
		}
		if h.ContentLength >= 0 && n != h.ContentLength {
			return errLengthsDiffer
		}
		h.ContentLength = n
		start = end + 1
	}
	return nil
}

// decimal returns the value of one or more digits, if an int64 can hold it.
func decimal(digits []byte) (int64, bool) {
	const largest = 1<<63 - 1
	var n int64
	for _, c := range digits {
		d := int64(c - '0')
		if c < '0' || c > '9' || n > (largest-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(digits) > 0
}

// finish judges the head as a whole, once all its fields are known.
func (h *Head) finish() error {
	switch {
	case !h.hostSeen && h.Minor == 1 && !h.isResponse:
		return errHostMissing
	case h.hostEmpty && !h.absolute:
		return errHost
	case h.codingSeen && h.ContentLength >= 0:
		return errLengthAndCoding
	case h.codingSeen && h.Minor == 0:
		return errCodingVersion
	case h.codingUnknown:
		return errCoding
	case h.expectationElse:
		return errExpectation
	}
	h.Chunked = h.codingSeen
	if h.Minor == 0 {
		h.KeepAlive = h.keepAliveAsked && !h.closeAsked
		h.Continue = false // RFC 9110 §10.1.1: to be ignored in HTTP/1.0
	} else {
		h.KeepAlive = !h.closeAsked
	}
	return nil
}
