package encodings

// What ISO-2022-JP is in (standard, 12.2.1).
const (
	jpASCII State = iota
	jpRoman
	jpKatakana
	jpLeadByte
	jpTrailByte
	jpEscapeStart
	jpEscape
)

// iso2022JP is the decoder of ISO-2022-JP. As a State: `state` in bits 0 to 2, `output` in bits 3 to 5, `isShifted`
// in bit 6, `lead` in bits 8 to 15.
type iso2022JP struct {
	out       []uint16
	state     State
	output    State // the state that an escape sequence has chosen last
	isShifted bool  // the standard's flag "output": an escape sequence came last, and nothing after it
	lead      byte
	fatal     bool
	isBad     bool // an error has occurred
}

func decodeISO2022JP(out []uint16, state State, in []byte, fatal, end bool) ([]uint16, State, bool) {
	d := iso2022JP{
		out: out, state: state & 7, output: state >> 3 & 7, isShifted: state>>6&1 != 0, lead: byte(state >> 8),
		fatal: fatal,
	}
	for _, c := range in {
		d.next(c)
		if fatal && d.isBad {
			return d.out, 0, false
		}
	}
	if end {
		d.finish()
		return d.out, 0, !fatal || !d.isBad
	}
	state = d.state | d.output<<3 | State(d.lead)<<8
	if d.isShifted {
		state |= 1 << 6
	}
	return d.out, state, true
}

func (d *iso2022JP) put(unit uint16) {
	d.isShifted = false
	d.out = append(d.out, unit)
}

// fail is the standard's error.
func (d *iso2022JP) fail() {
	d.isBad = true
	d.out = append(d.out, replacementCharacter)
}

// next takes a byte.
func (d *iso2022JP) next(c byte) {
	switch d.state {
	case jpEscapeStart:
		if c == 0x24 || c == 0x28 {
			d.lead, d.state = c, jpEscape
			return
		}
		d.isShifted = false
		d.state = d.output
		d.fail()
		d.next(c)
	case jpEscape:
		d.escape(c)
	case jpTrailByte:
		d.trail(c)
	default:
		d.plain(c)
	}
}

// plain takes a byte where one may be a character, or the first of two.
func (d *iso2022JP) plain(c byte) {
	switch {
	case c == 0x1b:
		d.state = jpEscapeStart
		return
	case d.state == jpLeadByte:
		if isBetween(c, 0x21, 0x7e) {
			d.isShifted = false
			d.lead, d.state = c, jpTrailByte
			return
		}
	case d.state == jpKatakana:
		if isBetween(c, 0x21, 0x5f) {
			d.put(0xff61 - 0x21 + uint16(c))
			return
		}
	case c >= 0x80 || c == 0x0e || c == 0x0f:
	case d.state == jpRoman && c == 0x5c:
		d.put(0xa5)
		return
	case d.state == jpRoman && c == 0x7e:
		d.put(0x203e)
		return
	default:
		d.put(uint16(c))
		return
	}
	d.isShifted = false
	d.fail()
}

// trail takes the second byte of a character.
func (d *iso2022JP) trail(c byte) {
	if c == 0x1b {
		d.state = jpEscapeStart
		d.fail()
		return
	}
	d.state = jpLeadByte
	if isBetween(c, 0x21, 0x7e) {
		if r := jis0208().at(int(d.lead-0x21)*94 + int(c-0x21)); r != 0 {
			d.out = append(d.out, uint16(r))
			return
		}
	}
	d.fail()
}

// escape takes the last byte of an escape sequence.
func (d *iso2022JP) escape(c byte) {
	lead := d.lead
	d.lead = 0
	var chosen State
	switch {
	case lead == 0x28 && c == 0x42:
		chosen = jpASCII
	case lead == 0x28 && c == 0x4a:
		chosen = jpRoman
	case lead == 0x28 && c == 0x49:
		chosen = jpKatakana
	case lead == 0x24 && (c == 0x40 || c == 0x42):
		chosen = jpLeadByte
	default:
		d.isShifted = false
		d.state = d.output
		d.fail()
		d.next(lead)
		d.next(c)
		return
	}
	d.state, d.output = chosen, chosen
	wasShifted := d.isShifted
	d.isShifted = true
	if wasShifted {
		d.fail()
	}
}

// finish takes the end of the input.
func (d *iso2022JP) finish() {
	switch d.state {
	case jpTrailByte, jpEscapeStart:
		d.fail()
	case jpEscape:
		d.fail()
		d.state = d.output
		d.next(d.lead)
		d.finish()
	}
}
