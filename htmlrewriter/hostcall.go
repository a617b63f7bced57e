package htmlrewriter

import (
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"nano/hostcall"
)

func init() {
	hostcall.Register("htmlCheckSelector", checkSelector)
	hostcall.Register("htmlRewriter", newRewriter)
	hostcall.Register("htmlWrite", write)
	hostcall.Register("htmlApply", apply)
	hostcall.Register("htmlGet", get)
}

// parserError is an error for JavaScript, in the words of Workers.
func parserError(err error) error {
	text := err.Error()
	return hostcall.Errorf("TypeError", "Parser error: %s%s.", strings.ToUpper(text[:1]), text[1:])
}

// checkSelector (text) throws if a selector is not one that we have.
func checkSelector(c *hostcall.Call) error {
	if _, err := parseSelectors(c.Text(0)); err != nil {
		return parserError(err)
	}
	return nil
}

// newRewriter (handlers as JSON, label of the charset or "") gives a Rewriter.
func newRewriter(c *hostcall.Call) error {
	var handlers []Handler
	if err := json.Unmarshal(c.Bytes(0), &handlers); err != nil {
		return err
	}
	r, err := New(handlers, c.Text(1))
	if err != nil {
		return parserError(err)
	}
	c.ReturnObject(r, memoryExpected)
	return nil
}

// memoryExpected is about what a Rewriter takes while it rewrites pieces of 64 KB, in bytes.
const memoryExpected = 256 << 10

func rewriterOf(c *hostcall.Call) (*Rewriter, error) {
	if r, ok := hostcall.ObjectOf[*Rewriter](c, 0); ok && r.room != nil {
		return r, nil
	}
	return nil, hostcall.Errorf("TypeError", "no HTMLRewriter")
}

// write (rewriter, bytes, isEnd) gives the events of a piece, as bytes of int32s. If there are none and it is not the
// end, it gives null and the output.
func write(c *hostcall.Call) error {
	r, err := rewriterOf(c)
	if err != nil {
		return err
	}
	if err := r.Write(c.Bytes(1), c.Bool(2)); err != nil {
		return parserError(err)
	}
	if len(r.Events()) > 0 || c.Bool(2) {
		c.ReturnBytes(bytesOf(r.Events()))
		return nil
	}
	output, _, _ := r.Apply(nil, "")
	c.ReturnNull()
	c.ReturnBytes(output)
	return nil
}

// apply (rewriter, edits as bytes of int32s, texts) gives the output of the piece and, if it has any, its holes:
// int32s, an offset and the hole's number for each.
func apply(c *hostcall.Call) error {
	r, err := rewriterOf(c)
	if err != nil {
		return err
	}
	texts := c.Bytes(2)
	output, holes, err := r.Apply(int32sOf(c.Bytes(1)), unsafe.String(unsafe.SliceData(texts), len(texts)))
	if err != nil {
		return parserError(err)
	}
	c.ReturnBytes(output)
	if len(holes) > 0 {
		c.ReturnBytes(bytesOf(holes))
	}
	if r.tokenizer.isEnd {
		r.release()
	}
	return nil
}

// What get gives of a token.
const (
	getTagName    = iota // in lower case
	getAttributes        // all names and values as one text, and their lengths in UTF-16 units as bytes of int32s
	getAttribute         // by its name in lower case: its value, or null
	getText              // of a text
	getComment           // of a comment
	getDoctype           // name, public and system identifier, each may be null
)

// get (rewriter, index of the event, what, name) gives a part of a token.
func get(c *hostcall.Call) error {
	r, err := rewriterOf(c)
	if err != nil {
		return err
	}
	index := c.Int(1)
	if index < 0 || index >= int64(len(r.events)) {
		return hostcall.Errorf("RangeError", "there is no token %d", index)
	}
	one := &r.events[index]
	raw := r.tokenizer.buffer[one.start:one.end]
	switch c.Int(2) {
	case getTagName:
		begin := 1
		if one.kind == tokenEndTag {
			begin = 2
		}
		c.ReturnText(lowerCase(r.decode(raw[begin : one.nameEnd-one.start])))
	case getAttributes:
		r.returnAttributes(c, raw, one.nameEnd-one.start)
	case getAttribute:
		for _, attr := range attributesOf(r.subject.attributes[:0], raw, one.nameEnd-one.start) {
			if lowerCase(r.decode(raw[attr.nameStart:attr.nameEnd])) == c.Text(3) {
				c.ReturnText(r.decode(raw[attr.valueStart:attr.valueEnd]))
				return nil
			}
		}
		c.ReturnNull()
	case getText:
		r.returnText(c, raw)
	case getComment:
		r.returnText(c, commentText(raw))
	case getDoctype:
		for _, part := range doctypeOf(r.decode(raw)) {
			if part == nil {
				c.ReturnNull()
			} else {
				c.ReturnText(*part)
			}
		}
	}
	return nil
}

func (r *Rewriter) returnText(c *hostcall.Call, text []byte) {
	if r.charset == nil {
		c.ReturnText(unsafe.String(unsafe.SliceData(text), len(text)))
		return
	}
	c.ReturnText(r.decode(text))
}

func (r *Rewriter) returnAttributes(c *hostcall.Call, tag []byte, nameEnd int) {
	var text []byte
	var lengths []int32
	add := func(part string) {
		text = append(text, part...)
		lengths = append(lengths, int32(unitsIn(part)))
	}
	for _, attr := range attributesOf(nil, tag, nameEnd) {
		add(lowerCase(r.decode(tag[attr.nameStart:attr.nameEnd])))
		add(r.decode(tag[attr.valueStart:attr.valueEnd]))
	}
	c.ReturnText(string(text))
	c.ReturnBytes(bytesOf(lengths))
}

// unitsIn is how long a text is for JavaScript, which has U+FFFD for each byte of malformed UTF-8 that Go has too.
func unitsIn(text string) int {
	count := 0
	for _, r := range text {
		count += utf16.RuneLen(max(r, 0))
	}
	return count
}

// lowerCase changes ASCII letters only, and what is no UTF-8 to U+FFFD.
func lowerCase(text string) string {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	changed := []byte(text)
	for i, c := range changed {
		changed[i] = lower(c)
	}
	return string(changed)
}

func bytesOf(list []int32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), 4*len(list))
}

// int32sOf is a view, but of bytes that begin in the middle of a number.
func int32sOf(data []byte) []int32 {
	begin := unsafe.SliceData(data)
	if uintptr(unsafe.Pointer(begin))%unsafe.Alignof(int32(0)) == 0 {
		return unsafe.Slice((*int32)(unsafe.Pointer(begin)), len(data)/4)
	}
	list := make([]int32, len(data)/4)
	copy(bytesOf(list), data)
	return list
}
