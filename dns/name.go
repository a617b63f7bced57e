package dns

import "strings"

// The limits of RFC 1035 §2.3.4, without the dot at the end.
const (
	nameMax  = 253
	labelMax = 63
)

// IsName reports whether host is a name to be looked up: letters, digits, hyphens and underscores in
// labels, with or without a dot at the end. What ends in a number is none: a URL takes it as an IPv4
// address in one of its odd forms (127.1, 0x7f000001), which nobody may mean here.
func IsName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > nameMax {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > labelMax {
			return false
		}
		for _, c := range []byte(label) {
			if !isNameByte(c) {
				return false
			}
		}
		last = label
	}
	return !isNumber(strings.ToLower(last))
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// isNumber is the test of the URL standard for hosts that end in a number.
func isNumber(label string) bool {
	digits, isHex := strings.CutPrefix(label, "0x")
	for _, c := range []byte(digits) {
		if (c < '0' || c > '9') && !(isHex && c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
