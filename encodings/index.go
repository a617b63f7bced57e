package encodings

import (
	"sync"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// An index maps pointers to code points (standard, 5). Zero is none.
type index[T uint16 | rune] []T

// at returns the code point of a pointer, or 0.
func (x index[T]) at(pointer int) rune {
	if uint(pointer) >= uint(len(x)) {
		return 0
	}
	return rune(x[pointer])
}

// makeIndex asks x/text for the code points of the pointers below count. bytes gives the sequence of a pointer.
func makeIndex[T uint16 | rune](source encoding.Encoding, count int, bytes func(pointer int) []byte) index[T] {
	list := make(index[T], count)
	decoder := source.NewDecoder()
	var text [16]byte
	for pointer := range list {
		decoder.Reset()
		length, _, err := decoder.Transform(text[:], bytes(pointer), true)
		if runes := []rune(string(text[:length])); err == nil && len(runes) == 1 && runes[0] != replacementCharacter {
			list[pointer] = T(runes[0])
		}
	}
	return list
}

// trailByte is the second byte of a two-byte sequence whose trail bytes are 0x40 to 0x7e and then `upper` on.
func trailByte(trail int, upper byte) byte {
	if trail < 0x3f {
		return byte(0x40 + trail)
	}
	return byte(int(upper) + trail - 0x3f)
}

var jis0208 = sync.OnceValue(func() index[uint16] {
	return makeIndex[uint16](japanese.ShiftJIS, 11280, func(pointer int) []byte {
		lead := pointer / 188
		if lead < 0x1f {
			lead += 0x81
		} else {
			lead += 0xc1
		}
		if 8836 <= pointer && pointer <= 10715 { // private use, which is no part of the index
			return nil
		}
		return []byte{byte(lead), trailByte(pointer%188, 0x80)}
	})
})

var jis0212 = sync.OnceValue(func() index[uint16] {
	return makeIndex[uint16](japanese.EUCJP, 94*94, func(pointer int) []byte {
		return []byte{0x8f, byte(0xa1 + pointer/94), byte(0xa1 + pointer%94)}
	})
})

var eucKR = sync.OnceValue(func() index[uint16] {
	return makeIndex[uint16](korean.EUCKR, 126*190, func(pointer int) []byte {
		return []byte{byte(0x81 + pointer/190), byte(0x41 + pointer%190)}
	})
})

// big5 has characters beyond U+FFFF. What is two code points is not in it.
var big5 = sync.OnceValue(func() index[rune] {
	return makeIndex[rune](traditionalchinese.Big5, 126*157, func(pointer int) []byte {
		return []byte{byte(0x81 + pointer/157), trailByte(pointer%157, 0xa1)}
	})
})

var gb18030 = sync.OnceValue(func() index[uint16] {
	table := makeIndex[uint16](simplifiedchinese.GB18030, 126*190, func(pointer int) []byte {
		return []byte{byte(0x81 + pointer/190), trailByte(pointer%190, 0x80)}
	})
	for _, run := range gb18030Missing {
		for i := range run.count {
			table[run.pointer+i] = run.first + i
		}
	}
	return table
})

// gb18030Missing are the runs of the index gb18030 that x/text does not have: the private use area, and the
// characters that the editions of 2005 and 2022 have moved out of it. From `pointer` on, `count` pointers stand for the
// code points from `first` on.
var gb18030Missing = []struct{ pointer, count, first uint16 }{
	{6080, 96, 0xe4c6}, {6270, 96, 0xe526}, {6376, 6, 0xe766}, {6433, 1, 0xe76d}, {6444, 2, 0xe76e},
	{6458, 2, 0xe770}, {6460, 95, 0xe586}, {6650, 96, 0xe5e6}, {6829, 11, 0xe772}, {6840, 96, 0xe646},
	{7022, 8, 0xe77d}, {7030, 96, 0xe6a6}, {7150, 8, 0xe785}, {7182, 1, 0xfe10}, {7183, 1, 0xfe12},
	{7184, 1, 0xfe11}, {7185, 4, 0xfe13}, {7201, 2, 0xfe17}, {7208, 1, 0xfe19}, {7211, 9, 0xe797},
	{7220, 96, 0xe706}, {7349, 15, 0xe7a0}, {7397, 13, 0xe7af}, {7495, 11, 0xe7bc}, {7533, 1, 0x1e3f},
	{7538, 4, 0xe7c9}, {7579, 21, 0xe7cd}, {7624, 1, 0xe7e2}, {7627, 1, 0xe7e3}, {7629, 3, 0xe7e4},
	{7686, 13, 0xe7f4}, {7775, 15, 0xe801}, {7886, 94, 0xe000}, {8076, 94, 0xe05e}, {8266, 94, 0xe0bc},
	{8456, 94, 0xe11a}, {8646, 94, 0xe178}, {8836, 94, 0xe1d6}, {16525, 5, 0xe810}, {22706, 94, 0xe234},
	{22896, 94, 0xe292}, {23086, 94, 0xe2f0}, {23276, 94, 0xe34e}, {23466, 94, 0xe3ac}, {23656, 94, 0xe40a},
	{23767, 3, 0xe816}, {23775, 1, 0x9fb4}, {23783, 1, 0x9fb5}, {23788, 2, 0x9fb6}, {23794, 1, 0xe831},
	{23795, 1, 0x9fb8}, {23804, 1, 0xe83b}, {23812, 1, 0x9fb9}, {23829, 1, 0x9fba}, {23830, 1, 0xe855},
	{23845, 1, 0x9fbb}, {23846, 94, 0xe468},
}

// gb18030Ranges is the index gb18030 ranges for pointers that are less than 39420, written out.
var gb18030Ranges = sync.OnceValue(func() index[uint16] {
	table := makeIndex[uint16](simplifiedchinese.GB18030, 39420, func(pointer int) []byte {
		return []byte{
			byte(0x81 + pointer/12600), byte(0x30 + pointer/1260%10), byte(0x81 + pointer/10%126), byte(0x30 + pointer%10),
		}
	})
	table[7457] = 0xe7c7
	table[39417] = replacementCharacter // U+FFFD itself, which makeIndex takes for an error
	return table
})

// singleByte makes the decoder of an encoding in which a byte is a character (standard, 9.1).
func singleByte(source *charmap.Charmap) decodeFunc {
	table := sync.OnceValue(func() *[128]uint16 {
		var upper [128]uint16
		for i := range upper {
			upper[i] = uint16(source.DecodeByte(byte(0x80 + i)))
			// x/text has no control characters here; the indexes have them wherever there is no other character.
			if upper[i] == replacementCharacter && i < 0x20 {
				upper[i] = uint16(0x80 + i)
			}
		}
		return &upper
	})
	return func(out []uint16, state State, in []byte, fatal, _ bool) ([]uint16, State, bool) {
		upper := table()
		for len(in) > 0 {
			var run int
			out, run = appendASCII(out, in)
			in = in[run:]
			for len(in) > 0 && in[0] >= 0x80 {
				unit := upper[in[0]-0x80]
				if unit == replacementCharacter && fatal {
					return out, 0, false
				}
				out = append(out, unit)
				in = in[1:]
			}
		}
		return out, 0, true
	}
}

// decodeUserDefined decodes x-user-defined (standard, 14.5).
func decodeUserDefined(out []uint16, _ State, in []byte, _, _ bool) ([]uint16, State, bool) {
	for _, c := range in {
		if c < 0x80 {
			out = append(out, uint16(c))
		} else {
			out = append(out, 0xf780+uint16(c)-0x80)
		}
	}
	return out, 0, true
}
