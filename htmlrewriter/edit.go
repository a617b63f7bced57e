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
	editDone                       // for Apply itself: nothing more
)

// An edit is four numbers: the index of the event, the operation, and the lengths of two strings in UTF-16 units.
const editWords = 4

var errEdits = errors.New("the edits are malformed")

// outputMax bounds what comes out of one piece, in bytes: handlers may put in a large text at each of thousands of tags.
const outputMax = 32 << 20

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
		if len(r.output) > outputMax {
			a.err = errMemory
		}
		if a.err != nil {
			return nil, nil, a.err
		}
	}
	a.raw(at, r.tokenizer.start)
	a.isInside = false
	if len(a.edits) > 0 { // behind the end of the document
		a.content(int32(len(r.events)))
		if a.err != nil {
			return nil, nil, a.err
		}
		if len(a.edits) > 0 {
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
	err      error
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
		a.err = errEdits
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
		a.err = errEdits
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

// changesMax bounds how many attributes of a tag are changed, since each is looked for among all that the tag has.
const changesMax = 256

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
			changes = addChange(changes, change{operation, a.take(2), a.take(3)})
			if len(changes) > changesMax {
				a.err = errMemory
			}
		default:
			a.err = errEdits
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

// addChange adds a change, or puts it in the place of the one that it overrides: of the same attribute, or a name or
// text.
func addChange(changes []change, next change) []change {
	for i := range changes {
		old := &changes[i]
		if old.isOfAttribute() == next.isOfAttribute() && (old.name == next.name || !next.isOfAttribute()) {
			*old = next
			return changes
		}
	}
	return append(changes, next)
}

func (c *change) isOfAttribute() bool {
	return c.operation == editSetAttribute || c.operation == editRemoveAttribute
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

// startTag writes a start tag anew. Attributes that are not changed stay as they are, and where they are. Of several
// with the same name only the first has an effect, and is changed.
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
		if len(changes) == 1 {
			r.output = append(r.output, raw[nameEnd:]...)
			return
		}
	} else {
		r.output = append(r.output, raw[:nameEnd]...)
	}
	r.attributes = attributesOf(r.attributes[:0], raw, nameEnd)
	for i := range r.attributes {
		attr := &r.attributes[i]
		found := r.changeOf(changes, raw[attr.nameStart:attr.nameEnd])
		if found == nil {
			r.output = append(append(r.output, ' '), raw[attr.nameStart:attr.end]...)
			continue
		}
		if found.operation == editSetAttribute {
			// The name stays as it is in the page.
			r.output = append(append(r.output, ' '), raw[attr.nameStart:attr.nameEnd]...)
			a.value(found.value)
		}
		found.operation = editDone
	}
	for _, c := range changes {
		if c.operation == editSetAttribute {
			a.put(" ", c.name)
			a.value(c.value)
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

// changeOf is the change of the attribute that has this name in the page, or nil.
func (r *Rewriter) changeOf(changes []change, name []byte) *change {
	decoded := ""
	if r.charset != nil {
		decoded = lowerCase(r.decode(name))
	}
	for i := range changes {
		c := &changes[i]
		if c.isOfAttribute() && (equalFold(name, c.name) || r.charset != nil && decoded == c.name) {
			return c
		}
	}
	return nil
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
