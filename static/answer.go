package static

import (
	"bytes"
	"time"
)

// A Request is what an answer depends on: the values of header fields, nil if there is no such field.
type Request struct {
	AcceptEncoding    []byte
	IfMatch           []byte
	IfNoneMatch       []byte
	IfModifiedSince   []byte
	IfUnmodifiedSince []byte
	IfRange           []byte
	Range             []byte
}

// Take takes the value of a header field, if it is one of those above. Of repeated ones the first counts:
// they are none that sensible clients repeat, and to disregard a condition is never wrong but for If-Match.
// name is in any case.
func (r *Request) Take(name, value []byte) {
	var into *[]byte
	switch len(name) {
	case 5:
		into = is(name, "range", &r.Range)
	case 8:
		if into = is(name, "if-match", &r.IfMatch); into == nil {
			into = is(name, "if-range", &r.IfRange)
		}
	case 13:
		into = is(name, "if-none-match", &r.IfNoneMatch)
	case 15:
		into = is(name, "accept-encoding", &r.AcceptEncoding)
	case 17:
		into = is(name, "if-modified-since", &r.IfModifiedSince)
	case 19:
		into = is(name, "if-unmodified-since", &r.IfUnmodifiedSince)
	}
	if into != nil && *into == nil {
		*into = value[:len(value):len(value)]
	}
}

// is gives the field if name is lower in any case.
func is(name []byte, lower string, field *[]byte) *[]byte {
	if !isName(name, lower) {
		return nil
	}
	return field
}

// An Answer says what to answer with.
type Answer struct {
	Status  int // 200, 206, 304, 412 or 416
	Variant *Variant
	// Lines are the header lines, without those about framing and the date. They may lie in the scratch
	// memory that was given.
	Lines []byte
	// Start and End are the part of the variant that is the body.
	Start, End int64
}

// Answer decides how a request for f is answered, by RFC 9110 §12.5.3 (codings), §13.2.2 (conditions) and
// §14.2 (ranges). scratch is memory for it; with room for some 500 bytes nothing is allocated.
func (f *File) Answer(r *Request, scratch []byte) Answer {
	coding := f.choose(r.AcceptEncoding)
	v := f.Variants[coding]
	a := Answer{Status: 200, Variant: v, Lines: f.lines[coding], End: v.Size}
	switch {
	case !r.isMet(v):
		return Answer{Status: 412, Variant: v}
	case r.isUnmodified(v):
		return Answer{Status: 304, Variant: v, Lines: f.linesUnmodified[coding]}
	case r.Range == nil || !r.isRangeMet(v):
		return a
	}
	switch start, end, what := parseRange(r.Range, v.Size); what {
	case rangePart:
		a.Status, a.Start, a.End = 206, start, end
		a.Lines = appendContentRange(append(scratch[:0], a.Lines...), start, end, v.Size)
	case rangeOutside:
		a = Answer{Status: 416, Variant: v, Lines: appendContentRange(append(scratch[:0], f.linesUnmodified[coding]...), 0, 0, v.Size)}
	}
	return a
}

// choose is the coding for a client that accepts what an Accept-Encoding field says: that of the highest
// quality, and of several the first in our order.
func (f *File) choose(accepted []byte) Coding {
	if accepted == nil || f.Variants[Brotli] == nil && f.Variants[Zstandard] == nil && f.Variants[Gzip] == nil {
		return Identity
	}
	const unsaid = -1
	quality := [codings]int{unsaid, unsaid, unsaid, unsaid}
	others := unsaid // by "*"
	for more := true; more; {
		var item []byte
		item, accepted, more = bytes.Cut(accepted, []byte{','})
		name, parameters, _ := bytes.Cut(item, []byte{';'})
		name = bytes.Trim(name, " \t")
		q := parseQuality(parameters)
		switch {
		case isName(name, "br"):
			quality[Brotli] = q
		case isName(name, "zstd"):
			quality[Zstandard] = q
		case isName(name, "gzip"), isName(name, "x-gzip"):
			quality[Gzip] = q
		case isName(name, "identity"):
			quality[Identity] = q
		case isName(name, "*"):
			others = q
		}
	}
	best, highest := Identity, 0
	for i, v := range f.Variants {
		q := quality[i]
		if q == unsaid {
			q = max(others, 0)
			if Coding(i) == Identity && others == unsaid {
				q = 1 // it is acceptable, but whoever names others wants those
			}
		}
		if v != nil && q > highest {
			best, highest = Coding(i), q
		}
	}
	return best // the file itself if nothing is acceptable: better than no answer
}

// isName compares without regard to the case of letters. lower has none of the bytes that only differ from
// control bytes by bit 5.
func isName(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// parseQuality reads the weight of RFC 9110 §12.4.2 off the parameters of an item, in thousandths.
func parseQuality(parameters []byte) int {
	for more := len(parameters) != 0; more; {
		var parameter []byte
		parameter, parameters, more = bytes.Cut(parameters, []byte{';'})
		parameter = bytes.Trim(parameter, " \t")
		if len(parameter) < 3 || parameter[0]|0x20 != 'q' || parameter[1] != '=' {
			continue
		}
		digits := parameter[2:]
		if digits[0] == '1' {
			return 1000
		}
		q, unit := 0, 100
		for _, c := range digits[min(2, len(digits)):] {
			if c < '0' || c > '9' {
				return 0
			}
			q += int(c-'0') * unit
			unit /= 10
		}
		return q
	}
	return 1000
}

// isMet reports whether the conditions hold that guard against lost updates (§13.1.1, §13.1.4).
func (r *Request) isMet(v *Variant) bool {
	if r.IfMatch != nil {
		return hasTag(r.IfMatch, v.ETag, false)
	}
	if r.IfUnmodifiedSince != nil {
		since, ok := parseDate(r.IfUnmodifiedSince, v)
		return !ok || v.Modified <= since
	}
	return true
}

// isUnmodified reports whether the client has what would be sent (§13.1.2, §13.1.3).
func (r *Request) isUnmodified(v *Variant) bool {
	if r.IfNoneMatch != nil {
		return hasTag(r.IfNoneMatch, v.ETag, true)
	}
	if r.IfModifiedSince != nil {
		since, ok := parseDate(r.IfModifiedSince, v)
		return ok && v.Modified <= since
	}
	return false
}

// isRangeMet reports whether a Range may be heeded: the client has a part of this very state (§13.1.5).
func (r *Request) isRangeMet(v *Variant) bool {
	switch {
	case r.IfRange == nil:
		return true
	case bytes.IndexByte(r.IfRange, '"') >= 0:
		return string(r.IfRange) == v.ETag
	}
	return string(r.IfRange) == v.lastModified
}

// hasTag looks for an entity tag in the list of a field (§8.8.3). weak: weak tags match, too.
func hasTag(list []byte, tag string, weak bool) bool {
	for {
		list = bytes.TrimLeft(list, " \t,")
		if len(list) == 0 {
			return false
		}
		if list[0] == '*' {
			return true
		}
		isWeak := false
		if len(list) >= 2 && list[0] == 'W' && list[1] == '/' {
			isWeak = true
			list = list[2:]
		}
		if len(list) == 0 || list[0] != '"' {
			return false
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if string(list[:end+2]) == tag && (weak || !isWeak) {
			return true
		}
		list = list[end+2:]
	}
}

// dateForms are those of RFC 9110 §5.6.7: the one to be sent, and two obsolete ones.
var dateForms = [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// parseDate reads a date, in seconds since 1970. Most are what was sent before.
func parseDate(text []byte, v *Variant) (seconds int64, ok bool) {
	if string(text) == v.lastModified {
		return v.Modified, true
	}
	for _, form := range dateForms {
		if t, err := time.Parse(form, string(text)); err == nil {
			return t.Unix(), true
		}
	}
	return 0, false
}

type rangeKind uint8

const (
	rangeIgnored rangeKind = iota // not of bytes, malformed, or several parts: the whole is sent (§14.2)
	rangePart
	rangeOutside
)

// parseRange reads a Range field (§14.1.2) for a file of some size.
func parseRange(field []byte, size int64) (start, end int64, what rangeKind) {
	const unit = "bytes="
	if len(field) < len(unit) || !isName(field[:len(unit)], unit) {
		return 0, 0, rangeIgnored
	}
	first, last, ok := bytes.Cut(bytes.Trim(field[len(unit):], " \t"), []byte{'-'})
	start, hasStart := parseOffset(first)
	end, hasEnd := parseOffset(last)
	switch {
	case !ok, len(first) != 0 && !hasStart, len(last) != 0 && !hasEnd:
		return 0, 0, rangeIgnored
	case !hasStart && !hasEnd, hasStart && hasEnd && end < start:
		return 0, 0, rangeIgnored
	case !hasStart: // the last so many bytes
		if end == 0 || size == 0 {
			return 0, 0, rangeOutside
		}
		return max(size-end, 0), size, rangePart
	case start >= size:
		return 0, 0, rangeOutside
	case !hasEnd || end >= size-1:
		return start, size, rangePart
	}
	return start, end + 1, rangePart
}

// parseOffset reads a number of bytes; one that is too large for any file is that of the largest one.
func parseOffset(digits []byte) (n int64, ok bool) {
	const most = 1<<62 - 1
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > most/10 {
			n = most / 10
		}
	}
	return n, len(digits) != 0
}
