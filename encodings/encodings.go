// Package encodings decodes the legacy encodings of the Encoding Standard (https://encoding.spec.whatwg.org/) to
// UTF-16, in pieces of any size, exactly as the standard's decoders say: which byte of a bad sequence is read
// again, how many U+FFFD come out, what the end of the input does.
//
// The indexes come from golang.org/x/text, are made when an encoding is first used and are shared by all
// isolates. Its decoders are not used for text, since they differ from the standard: they read a byte in the
// ASCII range again where the standard does not and the other way about, and know no state that could be kept
// between two pieces.
//
// What a decoder keeps from one piece to the next fits in an integer, so that JavaScript can hold it: a
// TextDecoder then has nothing native and survives in a snapshot.
package encodings

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
)

// State is what a decoder keeps between two pieces of its input: the bytes of a sequence that has begun and, for
// ISO-2022-JP, its shift state. Zero is the state at the beginning. At most 24 bits are used.
type State uint32

// Encoding is an encoding of the standard.
type Encoding struct {
	// Name is the encoding's name in lower case, as the attribute TextDecoder.encoding has it.
	Name string

	number int // its index in byNumber, or -1 if decode is nil

	// decode is nil for the encodings whose decoders are not of this package: UTF-8, UTF-16LE and UTF-16BE, and for
	// "replacement", which TextDecoder does not have.
	decode decodeFunc
}

// decodeFunc appends what `in` decodes to, beginning in `state`, and returns the state after it. In fatal mode it
// stops at the first error and returns false. `end` says that no more input follows.
type decodeFunc func(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool)

// replacementCharacter stands for what cannot be decoded.
const replacementCharacter = 0xfffd

// Lookup gets an encoding from a label (standard, 4.2), or nil if there is none for it. Case and ASCII white
// space around it do not matter.
func Lookup(label string) *Encoding { return lookup([]byte(label)) }

func lookup(label []byte) *Encoding {
	label = bytes.Trim(label, "\t\n\f\r ")
	if len(label) > labelBytesMax {
		return nil
	}
	var lower [labelBytesMax]byte
	for i, c := range label {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return byLabel()[string(lower[:len(label)])]
}

// Decodable tells whether Decode can be called.
func (e *Encoding) Decodable() bool { return e.decode != nil }

// UnitsMax is the number of UTF-16 code units that n bytes can become at most, with what a state before them holds.
func UnitsMax(n int) int { return n + 4 }

// Decode appends the UTF-16 code units that `in` stands for to `out` and returns the state for what follows. If
// `end` is set, no more input follows and the state is zero again. In fatal mode malformed input gives false and a
// zero state; otherwise it is replaced with U+FFFD. It does not allocate if `out` has UnitsMax(len(in)) to spare.
func (e *Encoding) Decode(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	out, state, ok := e.decode(out, state, in, fatal, end)
	if !ok || end {
		state = 0
	}
	return out, state, ok
}

// byNumber are the encodings in the order of the table.
var byNumber = sync.OnceValue(func() []*Encoding {
	list := make([]*Encoding, len(encodings))
	for i, entry := range encodings {
		list[i] = &Encoding{Name: entry.name, number: i, decode: entry.decode}
		if entry.decode == nil {
			list[i].number = -1
		}
	}
	return list
})

var byLabel = sync.OnceValue(func() map[string]*Encoding {
	table := make(map[string]*Encoding, 256)
	for i, entry := range encodings {
		for label := range strings.FieldsSeq(entry.labels) {
			table[label] = byNumber()[i]
		}
	}
	return table
})

// appendASCII appends the bytes at the beginning of `in` that are ASCII and returns how many they are.
func appendASCII(out []uint16, in []byte) ([]uint16, int) {
	i := 0
	for ; i+8 <= len(in); i += 8 {
		word := binary.LittleEndian.Uint64(in[i:])
		if word&0x8080808080808080 != 0 {
			break
		}
		out = append(out, uint16(word&0xff), uint16(word>>8&0xff), uint16(word>>16&0xff), uint16(word>>24&0xff),
			uint16(word>>32&0xff), uint16(word>>40&0xff), uint16(word>>48&0xff), uint16(word>>56))
	}
	for ; i < len(in) && in[i] < 0x80; i++ {
		out = append(out, uint16(in[i]))
	}
	return out, i
}

// appendRune appends a code point that is no surrogate.
func appendRune(out []uint16, r rune) []uint16 {
	if r < 0x10000 {
		return append(out, uint16(r))
	}
	r -= 0x10000
	return append(out, uint16(0xd800+r>>10), uint16(0xdc00+r&0x3ff))
}

// isBetween tells whether low <= c <= high.
func isBetween(c, low, high byte) bool { return c-low <= high-low }
