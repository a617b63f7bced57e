package loop

import (
	"bytes"
	"net/netip"
	"strconv"

	"nano/http1"
	"nano/isolates"
)

// A location is where a request goes: views of an http: or https: URL as the URL standard serializes one.
type location struct {
	secure    bool
	port      uint16
	host      []byte // as in the URL
	authority []byte // host[:port]
	target    []byte // path and query
}

// parse reads a serialized URL, or says why it cannot be fetched. What it reads is kept to what the
// serializer of the URL standard writes, and not interpreted in any other way.
func (to *location) parse(url []byte) (why string) {
	rest, ok := bytes.CutPrefix(url, []byte("http://"))
	*to = location{port: 80}
	if !ok {
		if rest, ok = bytes.CutPrefix(url, []byte("https://")); !ok {
			return "only http: and https: URLs can be fetched"
		}
		to.secure, to.port = true, 443
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 || rest[end] != '/' {
		return "the URL has no path"
	}
	to.authority = rest[:end]
	to.target, _, _ = bytes.Cut(rest[end:], []byte{'#'})
	if bytes.IndexByte(to.authority, '@') >= 0 {
		return "the URL has credentials"
	}
	to.host = to.authority
	if i := bytes.LastIndexByte(to.authority, ':'); i >= 0 && bytes.IndexByte(to.authority[i:], ']') < 0 {
		port, err := strconv.ParseUint(string(to.authority[i+1:]), 10, 16)
		if err != nil {
			return "the URL has a malformed port"
		}
		to.host, to.port = to.authority[:i], uint16(port)
	}
	if len(to.host) == 0 {
		return "the URL has no host"
	}
	return ""
}

// isOrigin reports whether two locations have the same origin.
func (to *location) isOrigin(other *location) bool {
	return to.secure == other.secure && to.port == other.port && bytes.Equal(to.host, other.host)
}

// redirectsMax is how many redirects are followed (Fetch standard, HTTP-redirect fetch).
const redirectsMax = 20

// follows reports whether a response is a redirect that has been dealt with: followed, or refused.
func (f *fetch) follows(head []byte, parsed *http1.Head) bool {
	switch parsed.Status {
	case 301, 302, 303, 307, 308:
	default:
		return false
	}
	if f.flags&isolates.OpenManualRedirect != 0 {
		return false
	}
	if f.flags&isolates.OpenErrorRedirect != 0 {
		f.fail(f.fault("the origin redirects, which the request does not allow"))
		return true
	}
	i := parsed.Find(head, "location", 0)
	if i < 0 {
		return false // a response like any other
	}
	if parsed.Find(head, "location", i+1) >= 0 {
		f.fail(f.fault("the origin redirects to several places"))
		return true
	}
	if why := f.redirect(int(parsed.Status), parsed.Fields[i].Value(head)); why != "" {
		f.fail(f.fault(why))
	}
	return true
}

// redirect sends the request again to where the Location of a response points, as "HTTP-redirect fetch" of
// the Fetch standard says. why: it cannot be.
func (f *fetch) redirect(status int, reference []byte) (why string) {
	if f.redirects == redirectsMax {
		return "too many redirects"
	}
	l := f.loop
	old, before := f.text, f.to
	// The new text is method, URL, lines, as the old one.
	method := f.method
	isGet := status <= 302 && string(method) == "POST" || status == 303 && string(method) != "GET" && string(method) != "HEAD"
	if isGet {
		method = methodGet
	} else if f.isStream {
		return "the origin redirects, but the body of the request is a stream that cannot be sent again"
	}
	text := append(append(l.buffers.take(len(old)+3*len(reference)), method...), ' ')
	start := len(text)
	text, why = resolveReference(text, f.url, reference)
	if why != "" {
		l.buffers.give(text)
		return why
	}
	end := len(text)
	var to location
	if why = to.parse(text[start:end]); why != "" {
		l.buffers.give(text)
		return why
	}
	text = appendLinesWithout(text, f.lines, isGet, !to.isOrigin(&before))
	f.stopRedirected(isGet)
	f.redirects++
	f.text, f.method, f.url, f.lines = text, text[:start-1], text[start:end], text[end:]
	_ = f.to.parse(f.url) // again, since text may have moved
	l.buffers.give(old)
	f.isRetry = false
	f.start()
	return ""
}

var methodGet = []byte("GET")

// stopRedirected ends the request that was answered by a redirect. The body goes with it if the next one
// has none.
func (f *fetch) stopRedirected(dropsBody bool) {
	if by := f.carrier; by != nil {
		f.carrier = nil
		by.abandon()
	}
	if dropsBody {
		f.stopUploadIf(true)
		f.freeBody()
		f.isStream, f.contentLength = false, -1
	}
}

// appendLinesWithout appends the header lines but those that a redirect takes away: those about a body
// that is not sent again, and credentials, which are for nobody else.
func appendLinesWithout(text, lines []byte, noBody, otherOrigin bool) []byte {
	for line := range bytes.Lines(lines) {
		name, _, _ := bytes.Cut(line, []byte{':'})
		switch {
		case noBody && isAnyOf(name, "content-encoding", "content-language", "content-location", "content-type"):
		case otherOrigin && isAnyOf(name, "authorization", "cookie", "proxy-authorization"):
		default:
			text = append(text, line...)
		}
	}
	return text
}

func isAnyOf(name []byte, names ...string) bool {
	for _, other := range names {
		if len(name) == len(other) && bytes.EqualFold(name, []byte(other)) {
			return true
		}
	}
	return false
}

// resolveReference appends the URL that a Location names, seen from base, a serialized URL. The result is
// serialized, too, with base's fragment if the reference has none. It follows the URL standard for what
// servers send; what that standard would repair, but two readers might repair differently, is refused:
// other schemes, credentials, tabs, backslashes or percent-encoding in a host, numbers that mean an address,
// and names that are not ASCII.
func resolveReference(dst, base, reference []byte) (url []byte, why string) {
	reference = bytes.TrimFunc(reference, func(r rune) bool { return r <= ' ' })
	if bytes.IndexByte(reference, '\t') >= 0 {
		return dst, "the origin redirects to a malformed URL"
	}
	reference, fragment, hasFragment := bytes.Cut(reference, []byte{'#'})
	base, baseFragment, baseHasFragment := bytes.Cut(base, []byte{'#'})
	if !hasFragment {
		fragment, hasFragment = baseFragment, baseHasFragment
	}
	scheme, rest, hasAuthority, why := splitReference(reference)
	if why != "" {
		return dst, why
	}
	schemeEnd := bytes.IndexByte(base, ':')
	if scheme == "" {
		scheme = string(base[:schemeEnd])
	}
	dst = append(append(dst, scheme...), "://"...)
	pathStart := schemeEnd + 3 + bytes.IndexByte(base[schemeEnd+3:], '/')
	basePath, baseQuery, _ := bytes.Cut(base[pathStart:], []byte{'?'})
	var path []byte
	if hasAuthority {
		end := bytes.IndexAny(rest, "/\\?")
		if end < 0 {
			end = len(rest)
		}
		if dst, why = appendAuthority(dst, rest[:end], scheme == "https"); why != "" {
			return dst, why
		}
		if rest, basePath = rest[end:], nil; len(rest) != 0 && rest[0] == '\\' {
			return dst, "the origin redirects to a malformed URL"
		}
	} else {
		dst = append(dst, base[schemeEnd+3:pathStart]...)
	}
	path, query, hasQuery := bytes.Cut(rest, []byte{'?'})
	switch {
	case len(path) == 0 && !hasAuthority:
		dst = append(dst, basePath...)
		if !hasQuery && len(baseQuery) != 0 {
			query, hasQuery = baseQuery, true
		}
	case len(path) != 0 && path[0] != '/' && path[0] != '\\':
		dst = appendPath(dst, basePath[:bytes.LastIndexByte(basePath, '/')+1], path)
	default:
		dst = appendPath(dst, nil, path)
	}
	if hasQuery {
		dst = appendEncoded(append(dst, '?'), query, "\"#<>'")
	}
	if hasFragment {
		dst = appendEncoded(append(dst, '#'), fragment, "\"<>`")
	}
	return dst, ""
}

// splitReference takes the scheme off a reference, and the slashes before an authority.
func splitReference(reference []byte) (scheme string, rest []byte, hasAuthority bool, why string) {
	rest = reference
	colon := bytes.IndexByte(reference, ':')
	if end := bytes.IndexAny(reference, "/\\?"); colon > 0 && (end < 0 || colon < end) {
		switch {
		case isAnyOf(reference[:colon], "http"):
			scheme = "http"
		case isAnyOf(reference[:colon], "https"):
			scheme = "https"
		default:
			return "", nil, false, "the origin redirects to a URL that is not http: or https:"
		}
		if rest = reference[colon+1:]; !bytes.HasPrefix(rest, []byte("//")) {
			return "", nil, false, "the origin redirects to a malformed URL"
		}
	}
	if len(rest) >= 2 && (rest[0] == '/' || rest[0] == '\\') && (rest[1] == '/' || rest[1] == '\\') {
		if rest[0] == '\\' || rest[1] == '\\' || len(rest) == 2 || rest[2] == '/' || rest[2] == '\\' {
			return "", nil, false, "the origin redirects to a malformed URL"
		}
		return scheme, rest[2:], true, ""
	}
	return scheme, rest, false, ""
}

// appendAuthority appends host[:port], in lower case, without the scheme's own port.
func appendAuthority(dst, authority []byte, secure bool) (url []byte, why string) {
	const malformed = "the origin redirects to a URL with a malformed host"
	host, port := authority, []byte(nil)
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && bytes.IndexByte(authority[i:], ']') < 0 {
		host, port = authority[:i], authority[i+1:]
	}
	if host, why = checkedHost(host); why != "" {
		return dst, malformed + why
	}
	dst = append(dst, host...)
	if len(port) == 0 {
		return dst, ""
	}
	n, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || port[0] == '+' {
		return dst, malformed
	}
	if n != 80 && !secure || n != 443 && secure {
		dst = strconv.AppendUint(append(dst, ':'), n, 10)
	}
	return dst, ""
}

// appendPath appends a path that is relative to a folder, "" for none, without dot segments.
func appendPath(dst, folder, path []byte) []byte {
	start := len(dst)
	dst = append(dst, folder...)
	dst = append(bytes.TrimSuffix(dst, []byte{'/'}), '/')
	if len(path) != 0 && (path[0] == '/' || path[0] == '\\') {
		path = path[1:]
	}
	for {
		end := bytes.IndexAny(path, "/\\")
		isLast := end < 0
		segment := path
		if !isLast {
			segment, path = path[:end], path[end+1:]
		}
		switch dotsOf(segment) {
		case 1:
		case 2:
			// One segment up, but not above the root.
			if i := bytes.LastIndexByte(dst[start:len(dst)-1], '/'); i >= 0 {
				dst = dst[:start+i+1]
			}
		default:
			dst = appendEncoded(dst, segment, "\"#<>?`{}^")
			if !isLast {
				dst = append(dst, '/')
			}
		}
		if isLast {
			return dst
		}
	}
}

// appendEncoded appends text with what is in special, blanks, control bytes and all that is not ASCII
// percent-encoded.
func appendEncoded(dst, text []byte, special string) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		switch {
		case c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(special), c) >= 0:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// checkedHost returns a host in lower case, or says what is wrong with it.
func checkedHost(host []byte) (lower []byte, why string) {
	if len(host) == 0 {
		return nil, ": it is empty"
	}
	if host[0] == '[' {
		address, err := netip.ParseAddr(string(bytes.TrimSuffix(host[1:], []byte{']'})))
		if err != nil || !address.Is6() || address.Zone() != "" || host[len(host)-1] != ']' {
			return nil, ": it is no IPv6 address"
		}
		if address.Is4In6() { // which the URL standard writes in another way than netip
			return nil, ": it is an IPv4 address in an IPv6 one"
		}
		return []byte("[" + address.String() + "]"), ""
	}
	lower = bytes.ToLower(host)
	for _, c := range lower {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return nil, ": it has characters that are not for names"
		}
	}
	// What ends in a number is an IPv4 address to the URL standard, in whatever notation.
	last := bytes.TrimSuffix(lower, []byte{'.'})
	last = last[bytes.LastIndexByte(last, '.')+1:]
	if isNumber(last) {
		if address, err := netip.ParseAddr(string(lower)); err != nil || !address.Is4() {
			return nil, ": it is an IPv4 address in an odd notation"
		}
	}
	return lower, ""
}

// isNumber reports whether the last label of a host makes it an IPv4 address to the URL standard ("ends in
// a number"). label is in lower case.
func isNumber(label []byte) bool {
	digits := "0123456789"
	if hex, ok := bytes.CutPrefix(label, []byte("0x")); ok {
		if label, digits = hex, "0123456789abcdef"; len(label) == 0 {
			return true
		}
	}
	return len(label) != 0 && len(bytes.Trim(label, digits)) == 0
}
