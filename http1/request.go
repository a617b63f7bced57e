package http1

import "strconv"

// The refusals of AppendRequestHead.
var (
	errRequestHost = &Error{400, "malformed host"}
	errHeaderLines = &Error{400, "malformed header line"}
)

// RequestHead is what AppendRequestHead makes a request head of. The texts are an app's: whatever they
// hold, what is made is one request head or none.
type RequestHead struct {
	Method []byte // a token
	Target []byte // in origin form, or absolute for a proxy: what is in the request line
	Host   []byte // host[:port] of the URL
	// Head holds the app's header lines, each "name: value\r\n". Those that are for the next hop only
	// or about framing are left out and ours to say: host, content-length, transfer-encoding,
	// connection, keep-alive, proxy-connection, proxy-authorization, te, trailer, upgrade, and expect,
	// which nobody would wait for.
	Head          []byte
	ContentLength int64 // -1: no content-length
	Chunked       bool  // the body has chunked transfer coding; ContentLength is -1
	// AcceptEncoding is sent if Head has no accept-encoding; "": nothing is. With a range, "identity" is
	// sent in its stead, as the Fetch standard wants it: a part of a coded body cannot be decoded.
	AcceptEncoding string
	// UserAgent is sent if Head has no user-agent, and "accept-language: *" if it has no accept-language, as
	// the Fetch standard wants it; "": neither is.
	UserAgent string
	// ProxyAuthorization is for the proxy that the request goes to; "": none.
	ProxyAuthorization string
	// Upgrade is the protocol that the connection is to go over to, "" for none.
	Upgrade string
	Close   bool // the server is told to close after its response
	// Hops is how often the request will have gone through NANO, for CDN-Loop (RFC 8586); 0: nothing is
	// said. What the lines of Head say of it stays: nobody may take that away.
	Hops uint8
}

// What a CDN-Loop field says of us.
const (
	hopsID        = "nano"
	hopsParameter = "hops="
)

// AppendRequestHead appends the head of an HTTP/1.1 request, with its empty line, to dst; on an error,
// which is an *Error, nothing. "accept: */*" is added where there is no accept, as the Fetch standard
// wants it. If dst has room, it does not allocate; besides the texts, 256 bytes are enough.
func AppendRequestHead(dst []byte, r *RequestHead) ([]byte, error) {
	switch {
	case !isToken(r.Method):
		return dst, errMethod
	case len(r.Target) == 0 || skipTarget(r.Target, 0) != len(r.Target):
		return dst, errTarget
	case !isHost(r.Host):
		return dst, errRequestHost
	}
	start := len(dst)
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.Target...)
	dst = append(dst, " HTTP/1.1\r\nhost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\n"...)
	dst, seen, ok := appendRequestLines(dst, r.Head)
	if !ok {
		return dst[:start], errHeaderLines
	}
	if seen&seenAccept == 0 {
		dst = append(dst, "accept: */*\r\n"...)
	}
	if r.UserAgent != "" {
		if seen&seenAcceptLanguage == 0 {
			dst = append(dst, "accept-language: *\r\n"...)
		}
		if seen&seenUserAgent == 0 {
			dst = append(dst, "user-agent: "...)
			dst = append(dst, r.UserAgent...)
			dst = append(dst, "\r\n"...)
		}
	}
	if seen&seenAcceptEncoding == 0 && r.AcceptEncoding != "" {
		dst = append(dst, "accept-encoding: "...)
		if seen&seenRange != 0 {
			dst = append(dst, "identity"...)
		} else {
			dst = append(dst, r.AcceptEncoding...)
		}
		dst = append(dst, "\r\n"...)
	}
	if r.ProxyAuthorization != "" {
		dst = append(dst, "proxy-authorization: "...)
		dst = append(dst, r.ProxyAuthorization...)
		dst = append(dst, "\r\n"...)
	}
	if r.Hops > 0 {
		dst = append(dst, "cdn-loop: "+hopsID+"; "+hopsParameter...)
		dst = strconv.AppendUint(dst, uint64(r.Hops), 10)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case r.ContentLength >= 0:
		dst = append(dst, "content-length: "...)
		dst = strconv.AppendInt(dst, r.ContentLength, 10)
		dst = append(dst, "\r\n"...)
	case r.Chunked:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	}
	switch {
	case r.Upgrade != "":
		dst = append(dst, "connection: upgrade\r\nupgrade: "...)
		dst = append(dst, r.Upgrade...)
		dst = append(dst, "\r\n"...)
	case r.Close:
		dst = append(dst, "connection: close\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// What appendRequestLines has come across, as bits.
const (
	seenAccept = 1 << iota
	seenAcceptEncoding
	seenAcceptLanguage
	seenRange
	seenUserAgent
)

// appendRequestLines appends the header lines but those that are ours to say. Not ok: a line is not
// "name: value" CRLF, or holds a byte that no field may.
func appendRequestLines(dst, lines []byte) (out []byte, seen int, ok bool) {
	kept := 0 // start of the lines that go to dst next
	for i := 0; i < len(lines); {
		start := i
		for i < len(lines) && classes[lines[i]]&classToken != 0 {
			i++
		}
		if i == start || i == len(lines) || lines[i] != ':' {
			return dst, 0, false
		}
		name := lines[start:i]
		i = skipText(lines, i+1)
		if i+1 >= len(lines) || lines[i] != '\r' || lines[i+1] != '\n' {
			return dst, 0, false
		}
		i += 2
		switch {
		case isHopName(name):
			dst = append(dst, lines[kept:start]...)
			kept = i
		case equalFold(name, "accept"):
			seen |= seenAccept
		case equalFold(name, "accept-encoding"):
			seen |= seenAcceptEncoding
		case equalFold(name, "accept-language"):
			seen |= seenAcceptLanguage
		case equalFold(name, "user-agent"):
			seen |= seenUserAgent
		case equalFold(name, "range"):
			seen |= seenRange
		}
	}
	return append(dst, lines[kept:]...), seen, true
}

// isHopName reports whether name is that of a field that only AppendRequestHead may write.
func isHopName(name []byte) bool {
	switch len(name) {
	case 2:
		return equalFold(name, "te")
	case 4:
		return equalFold(name, "host")
	case 6:
		return equalFold(name, "expect")
	case 7:
		return equalFold(name, "upgrade") || equalFold(name, "trailer")
	case 10:
		return equalFold(name, "connection") || equalFold(name, "keep-alive")
	case 14:
		return equalFold(name, "content-length")
	case 16:
		return equalFold(name, "proxy-connection")
	case 17:
		return equalFold(name, "transfer-encoding")
	case 19:
		return equalFold(name, "proxy-authorization")
	}
	return false
}
