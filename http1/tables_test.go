package http1

import (
	"bytes"
	"testing"
)

// TestSkip checks the scans of eight bytes at a time with each byte at each place, between bytes that
// could mislead them by a borrow or a carry, in slices of several lengths.
func TestSkip(t *testing.T) {
	for c := range 256 {
		text := c >= ' ' && c != 0x7F || c == '\t'
		target := c > ' ' && c < 0x7F && c != '#'
		for _, filler := range []byte{'a', '!', '~', '"', '$'} {
			for length := 1; length < 20; length++ {
				b := bytes.Repeat([]byte{filler}, length)
				for place := range b {
					b[place] = byte(c)
					wantText, wantTarget := length, length
					if !text {
						wantText = place
					}
					if !target {
						wantTarget = place
					}
					if got := skipText(b, 0); got != wantText {
						t.Fatalf("skipText(%q) = %d", b, got)
					}
					if got := skipTarget(b, 0); got != wantTarget {
						t.Fatalf("skipTarget(%q) = %d", b, got)
					}
					b[place] = filler
				}
			}
		}
	}
	// Bytes that are allowed, before one that is not, in the same word.
	for c := range 256 {
		if b := []byte{byte(c), ' ', 0x80, 0xFF, '\t', '~', '\r', 0}; c >= ' ' && c != 0x7F && skipText(b, 0) != 6 {
			t.Errorf("skipText(%q) = %d", b, skipText(b, 0))
		}
	}
}

// TestClasses checks the classes of bytes against the grammar's own words.
func TestClasses(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		digit := b >= '0' && b <= '9'
		for _, class := range []struct {
			name string
			bit  uint8
			want bool
		}{
			{"token", classToken, letter || digit || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), b) >= 0},
			{"host", classHost, letter || digit || bytes.IndexByte([]byte("-._~!$&'()*+,;="), b) >= 0},
			{"hex", classHex, digit || b|0x20 >= 'a' && b|0x20 <= 'f'},
			{"reason", classReason, b == '\t' || b >= ' ' && b < 0x7F},
		} {
			if got := classes[b]&class.bit != 0; got != class.want {
				t.Errorf("%q is of class %s: %t", b, class.name, got)
			}
		}
	}
}
