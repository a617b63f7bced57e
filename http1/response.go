package http1

import (
	"bytes"
	"strconv"
	"time"
)

// DateLength is the length in bytes of what AppendDate appends.
const DateLength = len("Sun, 06 Nov 1994 08:49:37 GMT")

// Continue is the interim response that a client with Expect: 100-continue waits for (RFC 9110
// §10.1.1).
const Continue = "HTTP/1.1 100 Continue\r\n\r\n"

// The chunked transfer coding of a body we send (RFC 9112 §7.1): for each piece of data, not empty,
// AppendChunkHead, the data, ChunkEnd; after the last one, LastChunk.
const (
	ChunkEnd  = "\r\n"
	LastChunk = "0\r\n\r\n"

	// MaxChunkHead is the most that AppendChunkHead appends, in bytes.
	MaxChunkHead = 16 + len("\r\n")
)

// ResponseHead is what AppendResponseHead makes a response head of.
//
// The body is framed by ContentLength if that is not negative, else by Chunked, else by the end of the
// connection; in the last case the response says "connection: close" and the caller must close.
// A response to HEAD is described as the one to GET would be; its body is the caller's to omit, and so is
// that of a 1xx, 204 or 304.
type ResponseHead struct {
	Status int // 100 to 999
	// Reason is the reason phrase. If it is empty, or not printable ASCII, the standard one is used.
	Reason []byte
	// Date is the value of the date header, as AppendDate makes it; empty: no such header.
	Date []byte
	// Head holds the app's header lines, each "name: value\r\n" and valid. Those about framing and
	// the connection (content-length, transfer-encoding, connection, keep-alive, upgrade) are left
	// out, as is date if Date is given: they are ours to say.
	Head          []byte
	ContentLength int64 // -1: not known
	Chunked       bool  // used if ContentLength is -1; not for clients of HTTP/1.0
	Close         bool  // the connection is closed after this response
	KeepAlive     bool  // the client speaks HTTP/1.0 and asked for keep-alive, and gets it
	// Upgrade is the protocol that the connection goes over to (status 101), or could (426); "": none.
	Upgrade string
}

// AppendResponseHead appends the head of a response, with its empty line, to dst. If dst has room it
// does not allocate; besides Reason and Head, 200 bytes are enough.
func AppendResponseHead(dst []byte, r *ResponseHead) []byte {
	dst = appendStatusLine(dst, r.Status, r.Reason)
	return appendHeaders(dst, r)
}

// appendHeaders appends all of a response head but its status line.
func appendHeaders(dst []byte, r *ResponseHead) []byte {
	if len(r.Date) > 0 {
		dst = append(dst, "date: "...)
		dst = append(dst, r.Date...)
		dst = append(dst, "\r\n"...)
	}
	dst = appendLines(dst, r.Head, len(r.Date) > 0)

	closing := r.Close
	switch {
	case r.Status < 200 || r.Status == 204:
		// RFC 9110 §8.6, RFC 9112 §6.1: neither header.
	case r.ContentLength >= 0:
		dst = append(dst, "content-length: "...)
		dst = strconv.AppendInt(dst, r.ContentLength, 10)
		dst = append(dst, "\r\n"...)
	case r.Status == 304:
		// It has no body whatever its headers say, and no length if that is not known.
	case r.Chunked:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	default:
		closing = true
	}
	if r.Upgrade != "" {
		dst = append(dst, "upgrade: "...)
		dst = append(dst, r.Upgrade...)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case r.Upgrade != "" && r.Status == 101:
		dst = append(dst, "connection: upgrade\r\n"...)
	case closing:
		dst = append(dst, "connection: close\r\n"...)
	case r.KeepAlive:
		dst = append(dst, "connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// AppendErrorResponse appends a whole response, with text as its plain-text body, to dst. Status, Date,
// Head (such as "nano-error: cpu-limit\r\n"), Close and KeepAlive are taken from r. With head, the
// request's method was HEAD, and the body is left out. text may hold parts of the request: the
// response tells browsers never to take it for HTML. If dst has room for Head, text and 300 bytes more,
// it does not allocate.
func AppendErrorResponse[T []byte | string](dst []byte, r *ResponseHead, text T, head bool) []byte {
	const plain = "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n"
	dst = appendStatusLine(dst, r.Status, nil)
	dst = append(dst, plain...)
	rest := ResponseHead{
		Status: r.Status, Date: r.Date, Head: r.Head,
		ContentLength: int64(len(text)), Close: r.Close, KeepAlive: r.KeepAlive, Upgrade: r.Upgrade,
	}
	dst = appendHeaders(dst, &rest)
	if !head {
		dst = append(dst, text...)
	}
	return dst
}

// AppendDate appends the time, in seconds since 1970 (UTC), as an IMF-fixdate (RFC 9110 §5.6.7).
func AppendDate(dst []byte, unixSeconds int64) []byte {
	return time.Unix(unixSeconds, 0).UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}

// AppendChunkHead appends the size line of a chunk of n bytes; n must be more than 0, since an empty
// chunk is the end of a body.
func AppendChunkHead(dst []byte, n int) []byte {
	dst = strconv.AppendInt(dst, int64(n), 16)
	return append(dst, "\r\n"...)
}

// appendStatusLine appends a status line (RFC 9112 §4).
func appendStatusLine(dst []byte, status int, reason []byte) []byte {
	if status >= 0 && status < len(statusLines) && statusLines[status] != "" && len(reason) == 0 {
		return append(dst, statusLines[status]...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	if isReason(reason) {
		dst = append(dst, reason...)
	} else {
		dst = append(dst, ReasonPhrase(status)...)
	}
	return append(dst, "\r\n"...)
}

// isReason reports whether b can be a reason phrase. One with other bytes could end the line early,
// or be read in a different encoding.
func isReason(b []byte) bool {
	for _, c := range b {
		if classes[c]&classReason == 0 {
			return false
		}
	}
	return true
}

// appendLines appends the header lines but those that isFramingName names.
func appendLines(dst, lines []byte, dateGiven bool) []byte {
	kept := 0 // start of the lines that go to dst next
	for i := 0; i < len(lines); {
		length := bytes.IndexByte(lines[i:], '\n') + 1
		if length == 0 {
			length = len(lines) - i
		}
		// Most lines are told apart by their first letter.
		if classes[lines[i]]&classFraming != 0 && isFramingName(lines[i:i+length], dateGiven) {
			dst = append(dst, lines[kept:i]...)
			kept = i + length
		}
		i += length
	}
	return append(dst, lines[kept:]...)
}

// isFramingName reports whether a header line is one that only AppendResponseHead may write.
func isFramingName(line []byte, dateGiven bool) bool {
	name := line[:max(0, bytes.IndexByte(line, ':'))]
	switch len(name) {
	case 4:
		return dateGiven && equalFold(name, "date")
	case 7:
		return equalFold(name, "upgrade")
	case 10:
		return equalFold(name, "connection") || equalFold(name, "keep-alive")
	case 14:
		return equalFold(name, "content-length")
	case 17:
		return equalFold(name, "transfer-encoding")
	}
	return false
}

// ReasonPhrase returns the standard reason phrase of a status, "" if it has none.
func ReasonPhrase(status int) string {
	if status < 0 || status >= len(statusLines) || statusLines[status] == "" {
		return ""
	}
	line := statusLines[status]
	return line[len("HTTP/1.1 200 ") : len(line)-len("\r\n")]
}

// statusLines holds the status lines with a standard reason phrase, by status: those of the IANA
// registry of HTTP status codes, and 418.
var statusLines = [600]string{
	100: "HTTP/1.1 100 Continue\r\n",
	101: "HTTP/1.1 101 Switching Protocols\r\n",
	102: "HTTP/1.1 102 Processing\r\n",
	103: "HTTP/1.1 103 Early Hints\r\n",
	200: "HTTP/1.1 200 OK\r\n",
	201: "HTTP/1.1 201 Created\r\n",
	202: "HTTP/1.1 202 Accepted\r\n",
	203: "HTTP/1.1 203 Non-Authoritative Information\r\n",
	204: "HTTP/1.1 204 No Content\r\n",
	205: "HTTP/1.1 205 Reset Content\r\n",
	206: "HTTP/1.1 206 Partial Content\r\n",
	207: "HTTP/1.1 207 Multi-Status\r\n",
	208: "HTTP/1.1 208 Already Reported\r\n",
	226: "HTTP/1.1 226 IM Used\r\n",
	300: "HTTP/1.1 300 Multiple Choices\r\n",
	301: "HTTP/1.1 301 Moved Permanently\r\n",
	302: "HTTP/1.1 302 Found\r\n",
	303: "HTTP/1.1 303 See Other\r\n",
	304: "HTTP/1.1 304 Not Modified\r\n",
	305: "HTTP/1.1 305 Use Proxy\r\n",
	307: "HTTP/1.1 307 Temporary Redirect\r\n",
	308: "HTTP/1.1 308 Permanent Redirect\r\n",
	400: "HTTP/1.1 400 Bad Request\r\n",
	401: "HTTP/1.1 401 Unauthorized\r\n",
	402: "HTTP/1.1 402 Payment Required\r\n",
	403: "HTTP/1.1 403 Forbidden\r\n",
	404: "HTTP/1.1 404 Not Found\r\n",
	405: "HTTP/1.1 405 Method Not Allowed\r\n",
	406: "HTTP/1.1 406 Not Acceptable\r\n",
	407: "HTTP/1.1 407 Proxy Authentication Required\r\n",
	408: "HTTP/1.1 408 Request Timeout\r\n",
	409: "HTTP/1.1 409 Conflict\r\n",
	410: "HTTP/1.1 410 Gone\r\n",
	411: "HTTP/1.1 411 Length Required\r\n",
	412: "HTTP/1.1 412 Precondition Failed\r\n",
	413: "HTTP/1.1 413 Content Too Large\r\n",
	414: "HTTP/1.1 414 URI Too Long\r\n",
	415: "HTTP/1.1 415 Unsupported Media Type\r\n",
	416: "HTTP/1.1 416 Range Not Satisfiable\r\n",
	417: "HTTP/1.1 417 Expectation Failed\r\n",
	418: "HTTP/1.1 418 I'm a teapot\r\n",
	421: "HTTP/1.1 421 Misdirected Request\r\n",
	422: "HTTP/1.1 422 Unprocessable Content\r\n",
	423: "HTTP/1.1 423 Locked\r\n",
	424: "HTTP/1.1 424 Failed Dependency\r\n",
	425: "HTTP/1.1 425 Too Early\r\n",
	426: "HTTP/1.1 426 Upgrade Required\r\n",
	428: "HTTP/1.1 428 Precondition Required\r\n",
	429: "HTTP/1.1 429 Too Many Requests\r\n",
	431: "HTTP/1.1 431 Request Header Fields Too Large\r\n",
	451: "HTTP/1.1 451 Unavailable For Legal Reasons\r\n",
	500: "HTTP/1.1 500 Internal Server Error\r\n",
	501: "HTTP/1.1 501 Not Implemented\r\n",
	502: "HTTP/1.1 502 Bad Gateway\r\n",
	503: "HTTP/1.1 503 Service Unavailable\r\n",
	504: "HTTP/1.1 504 Gateway Timeout\r\n",
	505: "HTTP/1.1 505 HTTP Version Not Supported\r\n",
	506: "HTTP/1.1 506 Variant Also Negotiates\r\n",
	507: "HTTP/1.1 507 Insufficient Storage\r\n",
	508: "HTTP/1.1 508 Loop Detected\r\n",
	510: "HTTP/1.1 510 Not Extended\r\n",
	511: "HTTP/1.1 511 Network Authentication Required\r\n",
}
