package ws

import "unicode/utf8"

// A validator checks text that comes in pieces, whose borders may lie within a character. It fails with
// the first byte that no valid text can have there.
type validator struct {
	kept [utf8.UTFMax - 1]byte // the start of a character
	n    uint8
}

// add checks the next piece.
func (v *validator) add(piece []byte) (isValid bool) {
	if v.n != 0 {
		// At most three more bytes complete the character.
		var start [2 * utf8.UTFMax]byte
		n := copy(start[:], v.kept[:v.n])
		n += copy(start[n:n+utf8.UTFMax-1], piece)
		r, size := utf8.DecodeRune(start[:n])
		switch {
		case r != utf8.RuneError || size > 1:
			piece = piece[size-int(v.n):]
			v.n = 0
		case utf8.FullRune(start[:n]):
			return false
		default:
			v.n = uint8(copy(v.kept[:], start[:n]))
			return true
		}
	}
	end := len(piece)
	for back := 1; back < utf8.UTFMax && back <= len(piece); back++ {
		if utf8.RuneStart(piece[len(piece)-back]) {
			if !utf8.FullRune(piece[len(piece)-back:]) {
				end = len(piece) - back
			}
			break
		}
	}
	v.n = uint8(copy(v.kept[:], piece[end:]))
	return utf8.Valid(piece[:end])
}

// end reports whether the text may end here, and makes the validator ready for the next.
func (v *validator) end() (isValid bool) {
	isValid = v.n == 0
	v.n = 0
	return isValid
}
