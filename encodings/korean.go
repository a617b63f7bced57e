package encodings

// decodeEUCKR is the decoder of EUC-KR (standard, 13.1.1). The state is the lead byte.
func decodeEUCKR(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	table := eucKR()
	lead := byte(state)
	for i := 0; i < len(in); i++ {
		c := in[i]
		switch {
		case lead != 0:
			pointer := -1
			if isBetween(c, 0x41, 0xfe) {
				pointer = int(lead-0x81)*190 + int(c-0x41)
			}
			lead = 0
			if r := table.at(pointer); r != 0 {
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
