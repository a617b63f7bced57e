package htmlrewriter

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"nano/encodings"
)

var (
	errCharset  = errors.New("unknown character encoding has been provided")
	errNotASCII = errors.New("expected ASCII-compatible encoding")
)

// setCharset readies for a character encoding in which ASCII is itself, since markup is looked for byte by byte.
func (r *Rewriter) setCharset(label string) error {
	if label == "" {
		return nil
	}
	found := encodings.Lookup(label)
	switch {
	case found == nil:
		return errCharset
	case found.Name == "iso-2022-jp":
		return errNotASCII
	case found.Name == "utf-8":
		return nil
	case !found.Decodable():
		return errNotASCII
	}
	source, err := htmlindex.Get(found.Name)
	if err != nil {
		return errCharset
	}
	encoder := encoding.HTMLEscapeUnsupported(source.NewEncoder())
	r.charset = found
	r.encode = func(to []byte, text string) []byte {
		encoded, err := encoder.String(text)
		if err != nil { // it is escaped instead
			encoded = text
		}
		return append(to, encoded...)
	}
	return nil
}

// incomplete is how many bytes at the end of a text begin a character that is not whole.
func (r *Rewriter) incomplete(text []byte) int {
	if r.charset != nil {
		_, state, _ := r.charset.Decode(nil, 0, text, false, false)
		held := 0
		for ; state != 0; state >>= 8 {
			held++
		}
		return min(held, len(text))
	}
	for back := 1; back <= min(3, len(text)); back++ {
		c := text[len(text)-back]
		if utf8.RuneStart(c) {
			if c >= 0xc2 && !utf8.FullRune(text[len(text)-back:]) {
				return back
			}
			return 0
		}
	}
	return 0
}

// put appends text that comes from JavaScript to the output.
func (r *Rewriter) put(text string) {
	if r.encode == nil {
		r.output = append(r.output, text...)
		return
	}
	r.output = r.encode(r.output, text)
}

// decode is text of the page for JavaScript.
func (r *Rewriter) decode(text []byte) string {
	if r.charset == nil {
		return string(text)
	}
	units, _, _ := r.charset.Decode(make([]uint16, 0, encodings.UnitsMax(len(text))), 0, text, false, true)
	return string(utf16.Decode(units))
}
