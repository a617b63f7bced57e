package htmlrewriter

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"
)

// Operations of edits.
const (
	editContent         = iota + 1 // before the token or, after editToken, behind it: markup
	editText                       // the same: text, to be escaped
	editHole                       // the same: what JavaScript writes itself; the number of its kind
	editToken                      // the place of the token
	editRemove                     // the token is left out
	editRemoveContent              // the content of the element that begins is left out
	editSetAttribute               // name, value
	editRemoveAttribute            // name
	editRename                     // name, of a start or end tag
	editComment                    // its text
)

// An edit is four numbers: the index of the event, the operation, and the lengths of two strings in UTF-16 units.
const editWords = 4

var errEdits = errors.New("the edits are malformed")

// Apply gives the output of the piece written last, with edits in the order of the events, and where its holes are.
// Both are valid until the next call. texts are the strings of the edits, one after the other.
func (r *Rewriter) Apply(edits []int32, texts string) (output []byte, holes []int32, err error) {
	r.output, r.holes = r.output[:0], r.holes[:0]
	a := applier{r: r, edits: edits, texts: texts, isASCII: isASCII(texts)}
	at := 0
	for i := range r.events {
		one := &r.events[i]
		a.raw(at, one.start)
		at = one.end
		for _, id := range one.ids {
			delete(r.removed, id)
		}
		a.event(int32(i), one)
		if a.isBad {
			return nil, nil, errEdits
		}
	}
	a.raw(at, r.tokenizer.start)
	if len(a.edits) > 0 { // behind the end of the document
		a.content(int32(len(r.events)))
		if a.isBad || len(a.edits) > 0 {
			return nil, nil, errEdits
		}
	}
	return r.output, r.holes, nil
}

type applier struct {
	r       *Rewriter
	edits   []int32
	texts   string
	isASCII bool
	isBad   bool
}

func (a *applier) raw(from, to int) {
	if len(a.r.removed) == 0 {
		a.r.output = append(a.r.output, a.r.tokenizer.buffer[from:to]...)
	}
}

// content puts in the content of edits, up to one of another kind.
func (a *applier) content(index int32) {
	for len(a.edits) >= editWords && a.edits[0] == index {
		switch a.edits[1] {
		case editContent:
			a.r.put(a.take(2))
		case editText:
			a.r.put(textEscaper.Replace(a.take(2)))
		case editHole:
			a.r.holes = append(a.r.holes, int32(len(a.r.output)), a.edits[2])
		default:
			return
		}
		a.edits = a.edits[editWords:]
	}
}

var (
	textEscaper  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	valueEscaper = strings.NewReplacer("\"", "&quot;")
)

// take takes the first or second string of an edit off the texts.
func (a *applier) take(which int) string {
	units := int(a.edits[which])
	if units < 0 {
		a.isBad = true
		return ""
	}
	end := 0
	if a.isASCII {
		end = units
	} else {
		for units > 0 && end < len(a.texts) {
			r, size := utf8.DecodeRuneInString(a.texts[end:])
			end += size
			units--
			if r > 0xffff {
				units--
			}
		}
	}
	if end > len(a.texts) {
		a.isBad = true
		return ""
	}
	text := a.texts[:end]
	a.texts = a.texts[end:]
	return text
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (a *applier) event(index int32, one *event) {
	a.content(index)
	var changes [][3]string // operation, name, value
	isRemoved, isEmptied := false, false
	for len(a.edits) >= editWords && a.edits[0] == index && a.edits[1] != editToken {
		switch operation := a.edits[1]; operation {
		case editRemove:
			isRemoved = true
		case editRemoveContent:
			isEmptied = true
		case editSetAttribute, editRemoveAttribute, editRename, editComment:
			changes = append(changes, [3]string{string(rune(operation)), a.take(2), a.take(3)})
		default:
			a.isBad = true
			return
		}
		a.edits = a.edits[editWords:]
	}
	if !isRemoved && len(a.r.removed) == 0 {
		a.token(one, changes)
	}
	if isEmptied {
		a.r.removed[one.id] = true
	}
	if len(a.edits) >= editWords && a.edits[0] == index {
		a.edits = a.edits[editWords:] // editToken
		a.content(index)
	}
}

func (a *applier) token(one *event, changes [][3]string) {
	raw := a.r.tokenizer.buffer[one.start:one.end]
	if len(changes) == 0 {
		a.r.output = append(a.r.output, raw...)
		return
	}
	switch one.kind {
	case tokenComment:
		a.r.put("<!--" + changes[len(changes)-1][1] + "-->")
	case tokenEndTag:
		a.r.put("</" + changes[len(changes)-1][1] + ">")
	case tokenStartTag:
		a.startTag(one, raw, changes)
	}
}

func (a *applier) startTag(one *event, raw []byte, changes [][3]string) {
	nameEnd := one.nameEnd - one.start
	type piece struct {
		name string
		raw  []byte // or, if nil:
		text string
	}
	var attributes []piece
	for _, attr := range attributesOf(nil, raw, nameEnd) {
		name := lowerCase(a.r.decode(raw[attr.nameStart:attr.nameEnd]))
		attributes = append(attributes, piece{name: name, raw: raw[attr.nameStart:attr.end]})
	}
	name := ""
	for _, change := range changes {
		index := -1
		for i := range attributes {
			if attributes[i].name == change[1] {
				index = i
				break
			}
		}
		switch {
		case change[0] == string(rune(editRename)):
			name = change[1]
		case change[0] == string(rune(editRemoveAttribute)):
			if index >= 0 {
				attributes = append(attributes[:index], attributes[index+1:]...)
			}
		case index >= 0:
			attributes[index] = piece{name: change[1], text: change[2]}
		default:
			attributes = append(attributes, piece{name: change[1], text: change[2]})
		}
	}
	a.r.put("<")
	if name != "" {
		a.r.put(name)
	} else {
		a.r.output = append(a.r.output, raw[1:nameEnd]...)
	}
	for _, attr := range attributes {
		a.r.put(" ")
		if attr.raw != nil {
			a.r.output = append(a.r.output, attr.raw...)
			continue
		}
		a.r.put(attr.name + "=\"" + valueEscaper.Replace(attr.text) + "\"")
	}
	if one.isSelfClosing {
		a.r.put(" /")
	}
	a.r.put(">")
}

// commentText is what a comment says.
func commentText(raw []byte) []byte {
	if !bytes.HasPrefix(raw, []byte("<!--")) {
		if bytes.HasPrefix(raw, []byte("<?")) {
			raw = raw[1:]
		} else {
			raw = raw[min(len(raw), 2):]
		}
		if len(raw) > 0 && raw[len(raw)-1] == '>' {
			raw = raw[:len(raw)-1]
		}
		return raw
	}
	raw = raw[4:]
	for _, end := range []string{"-->", "--!>", "->", ">"} {
		if rest, ok := bytes.CutSuffix(raw, []byte(end)); ok {
			if (end == "->" || end == ">") && len(rest) > 0 {
				continue
			}
			return rest
		}
	}
	return raw
}
