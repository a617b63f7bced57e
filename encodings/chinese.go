package encodings

// decodeGB18030 is the decoder of gb18030, which is that of GBK too (standard, 10.2.1). The state has the bytes
// first, second and third of a sequence, from the lowest 8 bits up.
func decodeGB18030(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	d := gb18030Decoder{first: byte(state), second: byte(state >> 8), third: byte(state >> 16)}
	for i := 0; i < len(in); i++ {
		if d.first == 0 && in[i] < 0x80 {
			var run int
			out, run = appendASCII(out, in[i:])
			i += run - 1
			continue
		}
		var isGood, isAgain bool
		out, isGood, isAgain = d.next(out, in[i])
		if fatal && !isGood {
			return out, 0, false
		}
		if isAgain {
			i--
		}
	}
	state = State(d.first) | State(d.second)<<8 | State(d.third)<<16
	if !end || state == 0 {
		return out, state, true
	}
	return append(out, replacementCharacter), 0, !fatal
}

type gb18030Decoder struct{ first, second, third byte }

// next takes a byte, which is not ASCII if no sequence has begun. It appends what became complete, U+FFFD included,
// and tells whether there was no error, and whether the byte is to be taken again.
func (d *gb18030Decoder) next(out []uint16, c byte) (_ []uint16, isGood, isAgain bool) {
	switch {
	case d.third != 0:
		first, second, third := d.first, d.second, d.third
		*d = gb18030Decoder{}
		if !isBetween(c, '0', '9') {
			// All but the first byte are read again: the second one is a digit, the third one begins a sequence.
			d.first = third
			return append(out, replacementCharacter, uint16(second)), false, true
		}
		if r := gb18030FourBytes(first, second, third, c); r != 0 {
			return appendRune(out, r), true, false
		}
	case d.second != 0:
		if isBetween(c, 0x81, 0xfe) {
			d.third = c
			return out, true, false
		}
		out = append(out, replacementCharacter, uint16(d.second))
		*d = gb18030Decoder{}
		return out, false, true
	case d.first != 0:
		if isBetween(c, '0', '9') {
			d.second = c
			return out, true, false
		}
		r := gb18030TwoBytes(gb18030(), d.first, c)
		d.first = 0
		if r != 0 {
			return append(out, uint16(r)), true, false
		}
		return append(out, replacementCharacter), false, c < 0x80
	case c == 0x80:
		return append(out, 0x20ac), true, false
	case c != 0xff:
		d.first = c
		return out, true, false
	}
	return append(out, replacementCharacter), false, false
}

func gb18030TwoBytes(table index[uint16], lead, c byte) rune {
	switch {
	case isBetween(c, 0x40, 0x7e):
		return table.at(int(lead-0x81)*190 + int(c-0x40))
	case isBetween(c, 0x80, 0xfe):
		return table.at(int(lead-0x81)*190 + int(c-0x41))
	}
	return 0
}

// gb18030FourBytes returns the index gb18030 ranges code point (standard, 5) of a sequence, or 0.
func gb18030FourBytes(first, second, third, fourth byte) rune {
	pointer := ((rune(first-0x81)*10+rune(second-'0'))*126+rune(third-0x81))*10 + rune(fourth-'0')
	switch {
	case pointer < 39420:
		return gb18030Ranges().at(int(pointer))
	case 189000 <= pointer && pointer <= 1237575:
		return pointer - 189000 + 0x10000
	}
	return 0
}

// decodeBig5 is the decoder of Big5 (standard, 11.1.1). The state is the lead byte.
func decodeBig5(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	table := big5()
	lead := byte(state)
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case lead != 0:
			pointer := -1
			if isBetween(c, 0x40, 0x7e) {
				pointer = int(lead-0x81)*157 + int(c-0x40)
			} else if isBetween(c, 0xa1, 0xfe) {
				pointer = int(lead-0x81)*157 + int(c-0x62)
			}
			lead = 0
			if r := table.at(pointer); r != 0 {
				out = appendRune(out, r)
				continue
			}
			if first, second := big5Pair(pointer); first != 0 {
				out = append(out, first, second)
				continue
			}
			if fatal {
				return out, 0, false
			}
			out = append(out, replacementCharacter)
			if c < 0x80 {
				i--
			}
		case c < 0x80:
			var run int
			out, run = appendASCII(out, in[i:])
			i += run - 1
		case isBetween(c, 0x81, 0xfe):
			lead = c
		default:
			if fatal {
				return out, 0, false
			}
			out = append(out, replacementCharacter)
		}
	}
	if !end || lead == 0 {
		return out, State(lead), true
	}
	return append(out, replacementCharacter), 0, !fatal
}

// big5Pair gives the code points of the four pointers that stand for two of them.
func big5Pair(pointer int) (first, second uint16) {
	switch pointer {
	case 1133:
		return 0xca, 0x304
	case 1135:
		return 0xca, 0x30c
	case 1164:
		return 0xea, 0x304
	case 1166:
		return 0xea, 0x30c
	}
	return 0, 0
}
