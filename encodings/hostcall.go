package encodings

import (
	"sync"

	"nano/hostcall"
)

func init() {
	hostcall.Register("encodingOf", encodingOf)
	hostcall.Register("decodeLegacy", decodeLegacy)
}

// encodingOf (label) gives the name of the encoding that a label stands for and its number for decodeLegacy, which is
// -1 if the decoder is elsewhere. Without results there is no such label, or it is of "replacement".
func encodingOf(c *hostcall.Call) error {
	encoding := lookup(c.Bytes(0))
	if encoding == nil || encoding.Name == "replacement" {
		return nil
	}
	c.ReturnText(encoding.Name)
	c.ReturnInt(int64(encoding.number))
	return nil
}

// units are kept for the next call.
var units = sync.Pool{New: func() any { return new([]uint16) }}

// unitsKept is the capacity up to which that is so.
const unitsKept = 256 << 10

// decodeLegacy (number, state, bytes, isFatal, isEnd) gives the text and, unless isEnd, the state after it. Without
// results the input is malformed, in fatal mode.
func decodeLegacy(c *hostcall.Call) error {
	number := c.Int(0)
	if number < 0 || number >= int64(len(byNumber())) || !byNumber()[number].Decodable() {
		return hostcall.Errorf("RangeError", "there is no encoding %d", number)
	}
	input, isFatal, isEnd := c.Bytes(2), c.Bool(3), c.Bool(4)
	out := units.Get().(*[]uint16)
	if cap(*out) < UnitsMax(len(input)) {
		*out = make([]uint16, 0, UnitsMax(len(input)))
	}
	text, state, ok := byNumber()[number].Decode((*out)[:0], State(c.Int(1)), input, isFatal, isEnd)
	if ok {
		c.ReturnUnits(text)
		if !isEnd {
			c.ReturnInt(int64(state))
		}
	}
	if cap(*out) <= unitsKept {
		units.Put(out)
	}
	return nil
}
