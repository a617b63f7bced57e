package http1

import (
	"encoding/binary"
	"math/bits"
)

// The classes of bytes, as bits of an entry of classes.
const (
	classToken   = 1 << iota // tchar, RFC 9110 §5.6.2
	classText                // field-vchar, obs-text, SP, HTAB: RFC 9110 §5.5
	classHost                // reg-name without percent-encoding: unreserved, sub-delims, RFC 3986 §3.2.2
	classHex                 // HEXDIG, RFC 5234 §B.1
	classFraming             // first letters of the names that isFramingName knows
	classReason              // classText without obs-text, for status lines that any client can read
)

var classes = buildClasses()

// buildClasses returns the table that classes is.
func buildClasses() (table [256]uint8) {
	add := func(class uint8, members string) {
		for i := range len(members) {
			table[members[i]] |= class
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const digits = "0123456789"
	add(classToken, letters+digits+"!#$%&'*+-.^_`|~")
	add(classHost, letters+digits+"-._~"+"!$&'()*+,;=")
	add(classHex, digits+"abcdefABCDEF")
	add(classFraming, "cdktuCDKTU")
	for c := range 256 {
		if c == '\t' || c >= ' ' && c != 0x7F {
			table[c] |= classText
			if c < 0x80 {
				table[c] |= classReason
			}
		}
	}
	return table
}

// Eight bytes at a time: a word with one bit pattern in every byte, and its high bits.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipText returns the index of the first byte of b from i on that no field value may hold: a
// control byte other than HTAB. It is len(b) if there is none.
func skipText(b []byte, i int) int {
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7F*ones
		// Below 0x20, or 0x7F. A borrow can only set the bit of a byte above one that is rightly
		// set, and only the lowest counts.
		found := ((x-0x20*ones)&^x | (del-ones)&^del) & highs
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && classes[b[i]]&classText != 0 {
		i++
	}
	return i
}

// skipTarget returns the index of the first byte of b from i on that no request target may hold: one
// outside 0x21 to 0x7E, or "#". It is len(b) if there is none.
func skipTarget(b []byte, i int) int {
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		hash := x ^ '#'*ones
		// Below 0x21, 0x7F (plus one, it has the high bit), 0x80 and up, "#".
		found := ((x-0x21*ones)&^x | (x + ones) | x | (hash-ones)&^hash) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] > ' ' && b[i] < 0x7F && b[i] != '#' {
		i++
	}
	return i
}

// equalFold reports whether b is lower, ignoring the case of ASCII letters. lower has only
// lower-case letters, digits and hyphens, and b no control bytes: setting bit 5 of any other byte
// gives none of these.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// isToken reports whether b is a token of RFC 9110 §5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		if classes[c]&classToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

// trim returns b without the spaces and tabs around it.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
