package htmlrewriter

import (
	"bytes"
	"errors"
	"slices"
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
	editDone                       // for Apply itself: nothing more
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
	a.isInside = false
	if len(a.edits) > 0 { // behind the end of the document
		a.content(int32(len(r.events)))
		if a.isBad || len(a.edits) > 0 {
			return nil, nil, errEdits
		}
	}
	return r.output, r.holes, nil
}

type applier struct {
	r        *Rewriter
	edits    []int32
	texts    string
	isASCII  bool
	isBad    bool
	isInside bool // the token is within content that is left out
}

func (a *applier) raw(from, to int) {
	if len(a.r.removed) == 0 {
		a.r.output = append(a.r.output, a.r.tokenizer.buffer[from:to]...)
	}
}

// content puts in the content of edits, up to one of another kind.
func (a *applier) content(index int32) {
	for len(a.edits) >= editWords && a.edits[0] == index {
		switch operation := a.edits[1]; operation {
		case editContent, editText:
			text := a.take(2)
			if operation == editText {
				text = textEscaper.Replace(text)
			}
			if !a.isInside {
				a.r.put(text)
			}
		case editHole:
			if !a.isInside {
				a.r.holes = append(a.r.holes, int32(len(a.r.output)), a.edits[2])
			}
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

// A change is what an edit does to a tag or comment itself.
type change struct {
	operation   int32
	name, value string
}

func (a *applier) event(index int32, one *event) {
	a.isInside = len(a.r.removed) > 0
	a.content(index)
	changes := a.r.changes[:0]
	isRemoved, isEmptied := false, false
	for len(a.edits) >= editWords && a.edits[0] == index && a.edits[1] != editToken {
		switch operation := a.edits[1]; operation {
		case editRemove:
			isRemoved = true
		case editRemoveContent:
			isEmptied = true
		case editSetAttribute, editRemoveAttribute, editRename, editComment:
			changes = append(changes, change{operation, a.take(2), a.take(3)})
		default:
			a.isBad = true
			return
		}
		a.edits = a.edits[editWords:]
	}
	if !isRemoved && !a.isInside {
		a.token(one, changes)
	}
	clear(changes) // which refer to memory of the call
	a.r.changes = changes
	if isEmptied {
		a.r.removed[one.id] = true
	}
	if len(a.edits) >= editWords && a.edits[0] == index {
		a.edits = a.edits[editWords:] // editToken
		a.content(index)
	}
}

func (a *applier) token(one *event, changes []change) {
	raw := a.r.tokenizer.buffer[one.start:one.end]
	if len(changes) == 0 {
		a.r.output = append(a.r.output, raw...)
		return
	}
	switch one.kind {
	case tokenComment:
		a.put("<!--", changes[len(changes)-1].name, "-->")
	case tokenEndTag:
		a.put("</", changes[len(changes)-1].name, ">")
	case tokenStartTag:
		a.startTag(one, raw, changes)
	}
}

func (a *applier) put(parts ...string) {
	for _, part := range parts {
		a.r.put(part)
	}
}

// startTag writes a start tag anew. Attributes that are not changed stay as they are, and where they are; each
// change is looked for among those before it, of which there are few.
func (a *applier) startTag(one *event, raw []byte, changes []change) {
	r := a.r
	nameEnd := one.nameEnd - one.start
	name := ""
	for _, c := range changes {
		if c.operation == editRename {
			name = c.name
		}
	}
	if name != "" {
		a.put("<", name)
		if !slices.ContainsFunc(changes, func(c change) bool { return c.operation != editRename }) {
			r.output = append(r.output, raw[nameEnd:]...)
			return
		}
	} else {
		r.output = append(r.output, raw[:nameEnd]...)
	}
	list := attributesOf(r.attributes[:0], raw, nameEnd)
	r.attributes = list
	for i := range list {
		attr := &list[i]
		last := -1
		if !isRepeated(list[:i], attr, raw) {
			last = lastChange(changes, r, raw[attr.nameStart:attr.nameEnd])
		}
		switch {
		case last < 0:
			r.output = append(append(r.output, ' '), raw[attr.nameStart:attr.end]...)
		case changes[last].operation == editSetAttribute:
			// The name stays as it is in the page.
			a.r.output = append(append(a.r.output, ' '), raw[attr.nameStart:attr.nameEnd]...)
			a.value(changes[last].value)
		}
		for j := range changes[:last+1] { // what comes before the last change of a name has no effect
			if changes[j].name == changes[max(last, 0)].name {
				changes[j].operation = editDone
			}
		}
	}
	for i, c := range changes {
		if c.operation != editSetAttribute {
			continue
		}
		if last := lastOf(changes[i:], c.name); last >= 0 && changes[i+last].operation == editSetAttribute {
			a.put(" ", c.name)
			a.value(changes[i+last].value)
		}
		for j := range changes {
			if changes[j].name == c.name {
				changes[j].operation = editDone
			}
		}
	}
	if one.isSelfClosing {
		a.put(" /")
	}
	a.put(">")
}

func (a *applier) value(value string) {
	if strings.IndexByte(value, '"') >= 0 {
		value = valueEscaper.Replace(value)
	}
	a.put("=\"", value, "\"")
}

// isRepeated tells whether an attribute has the name of an earlier one, which is the one that counts.
func isRepeated(earlier []attribute, attr *attribute, tag []byte) bool {
	for i := range earlier {
		if bytes.EqualFold(tag[earlier[i].nameStart:earlier[i].nameEnd], tag[attr.nameStart:attr.nameEnd]) {
			return true
		}
	}
	return false
}

// lastChange is the last change of the attribute that has this name in the page, or -1.
func lastChange(changes []change, r *Rewriter, name []byte) int {
	for i := len(changes) - 1; i >= 0; i-- {
		c := &changes[i]
		if c.operation != editSetAttribute && c.operation != editRemoveAttribute {
			continue
		}
		if equalFold(name, c.name) || r.charset != nil && lowerCase(r.decode(name)) == c.name {
			return i
		}
	}
	return -1
}

func lastOf(changes []change, name string) int {
	for i := len(changes) - 1; i >= 0; i-- {
		if op := changes[i].operation; changes[i].name == name && (op == editSetAttribute || op == editRemoveAttribute) {
			return i
		}
	}
	return -1
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
