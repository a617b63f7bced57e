package encodings

// eucJP0212 in the state of EUC-JP is the standard's flag "jis0212"; the lower 8 bits are the lead byte.
const eucJP0212 State = 1 << 8

// decodeEUCJP is the decoder of EUC-JP (standard, 12.1.1).
func decodeEUCJP(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	table := jis0208()
	lead, is0212 := byte(state), state&eucJP0212 != 0
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case lead == 0x8e && isBetween(c, 0xa1, 0xdf):
			lead = 0
			out = append(out, 0xff61-0xa1+uint16(c))
		case lead == 0x8f && isBetween(c, 0xa1, 0xfe):
			lead, is0212 = c, true
		case lead != 0:
			r := rune(0)
			if isBetween(lead, 0xa1, 0xfe) && isBetween(c, 0xa1, 0xfe) {
				pointer := int(lead-0xa1)*94 + int(c-0xa1)
				if is0212 {
					r = jis0212().at(pointer)
				} else {
					r = table.at(pointer)
				}
			}
			lead, is0212 = 0, false
			if r != 0 {
				out = append(out, uint16(r))
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
		case c == 0x8e || c == 0x8f || isBetween(c, 0xa1, 0xfe):
			lead = c
		default:
			if fatal {
				return out, 0, false
			}
			out = append(out, replacementCharacter)
		}
	}
	if lead == 0 {
		return out, 0, true
	}
	if !end {
		state = State(lead)
		if is0212 {
			state |= eucJP0212
		}
		return out, state, true
	}
	return append(out, replacementCharacter), 0, !fatal
}

// decodeShiftJIS is the decoder of Shift_JIS (standard, 12.3.1). The state is the lead byte.
func decodeShiftJIS(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	table := jis0208()
	lead := byte(state)
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case lead != 0:
			r := shiftJISTwoBytes(table, lead, c)
			lead = 0
			if r != 0 {
				out = append(out, uint16(r))
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
		case c == 0x80:
			out = append(out, 0x80)
		case isBetween(c, 0xa1, 0xdf):
			out = append(out, 0xff61-0xa1+uint16(c))
		case isBetween(c, 0x81, 0x9f) || isBetween(c, 0xe0, 0xfc):
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

func shiftJISTwoBytes(table index[uint16], lead, c byte) rune {
	offset := byte(0x41)
	if isBetween(c, 0x40, 0x7e) {
		offset = 0x40
	} else if !isBetween(c, 0x80, 0xfc) {
		return 0
	}
	leadOffset := byte(0xc1)
	if lead < 0xa0 {
		leadOffset = 0x81
	}
	pointer := int(lead-leadOffset)*188 + int(c-offset)
	if 8836 <= pointer && pointer <= 10715 {
		return rune(0xe000 - 8836 + pointer)
	}
	return table.at(pointer)
}
