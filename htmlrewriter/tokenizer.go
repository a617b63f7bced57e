package htmlrewriter

import "bytes"

// tokenKind is what a token is. Text tokens are parts of a text node; whatever has no effect on the tree of
// elements ("</>") is a token of kind tokenNothing.
type tokenKind uint8

const (
	tokenNothing tokenKind = iota
	tokenText
	tokenStartTag
	tokenEndTag
	tokenComment
	tokenDoctype
)

// textKind is how text is read after a start tag: the tokenizer's states data, RCDATA, RAWTEXT, script data and
// PLAINTEXT (HTML 13.2.5.1 to 13.2.5.5).
type textKind uint8

const (
	textData textKind = iota
	textRaw           // RCDATA or RAWTEXT, which differ in character references only
	textScript
	textScriptEscaped
	textScriptDoubleEscaped
	textPlain
	textCDATA
)

// A token is a part of the input. Offsets are into tokenizer.buffer.
type token struct {
	kind          tokenKind
	isSelfClosing bool
	start, end    int
	nameEnd       int // of a tag: its name begins after "<" or "</"
}

// scan is where in a token the tokenizer is.
type scan uint8

const (
	scanText scan = iota
	scanTagName
	scanBeforeAttribute
	scanAttributeName
	scanAfterAttributeName
	scanBeforeValue
	scanValueDoubleQuoted
	scanValueSingleQuoted
	scanValueUnquoted
	scanAfterValue
	scanSelfClosing
	scanComment
	scanBogusComment
	scanDoctype
)

// A tokenizer splits HTML into tokens by the states of the standard (HTML 13.2.5), without decoding anything. Its
// input comes in pieces of any size, and the tokens do not depend on where it was cut, but that text is given out as
// soon as it is there. Every byte is part of exactly one token, so that all tokens together are the input.
type tokenizer struct {
	buffer []byte // what is not part of a token that was given out, and all after it
	start  int    // where the next token begins
	pos    int    // what is before it needs no second look
	scan   scan
	token  token // of the scan, as far as it is known
	given  token // by next
	text   textKind
	rawTag []byte // the lower-case name of the tag that ends text of the kind textRaw
	isEnd  bool   // nothing follows the buffer

	// inForeign tells whether the next token is content of an SVG or MathML element, where there are CDATA sections.
	inForeign bool
	// skipsText: nobody wants the text before the next token, which need not be given out by itself.
	skipsText bool
	// holdsComments: comments are wanted as a whole. Otherwise a long one comes in several tokens.
	holdsComments bool
}

// feed adds input. What has become tokens is dropped, offsets of earlier tokens are no longer valid.
func (t *tokenizer) feed(input []byte, isEnd bool) {
	rest := copy(t.buffer, t.buffer[t.start:])
	t.buffer = append(t.buffer[:rest], input...)
	t.pos -= t.start
	t.token.start -= t.start
	t.token.nameEnd -= t.start
	t.start = 0
	t.isEnd = isEnd
}

// next gives the next token, which is valid until the next call; nil: more input is needed, or there is none.
func (t *tokenizer) next() *token {
	if t.scan == scanText {
		if t.start < len(t.buffer) && t.findMarkup() {
			if t.start < t.token.start {
				if !t.skipsText {
					return t.give(tokenText, t.token.start)
				}
				t.start = t.token.start
			}
		} else if t.start < t.pos {
			return t.give(tokenText, t.pos)
		}
		if t.scan == scanText {
			return nil
		}
	}
	switch t.scan {
	case scanComment, scanBogusComment, scanDoctype:
		return t.nextDeclaration()
	}
	if !t.scanTag() {
		if t.isEnd && t.start < len(t.buffer) { // a tag that never ends is no token of the standard's
			t.scan, t.pos = scanText, len(t.buffer)
			return t.give(tokenNothing, len(t.buffer))
		}
		return nil
	}
	t.scan = scanText
	return t.give(t.token.kind, t.pos)
}

// give ends a token.
func (t *tokenizer) give(kind tokenKind, end int) *token {
	// One by one: what was just written in small parts is slow to read in large ones.
	given := &t.given
	given.kind = kind
	given.isSelfClosing = t.token.isSelfClosing
	given.start = t.start
	given.end = end
	given.nameEnd = t.token.nameEnd
	t.start = end
	return given
}

// findMarkup looks for the "<" of the next token in text. true: t.scan and t.token.start tell what begins; or no
// token can begin before the end of the buffer, and t.pos is how far the text goes.
func (t *tokenizer) findMarkup() bool {
	for {
		switch t.text {
		case textPlain:
			t.pos = len(t.buffer)
			return false
		case textCDATA:
			if !t.skipCDATA() {
				return false
			}
			continue
		case textScriptEscaped, textScriptDoubleEscaped:
			if !t.scanEscaped() {
				return false
			}
		default:
			if t.pos < len(t.buffer) && t.buffer[t.pos] == '<' {
				break // often one tag follows the other
			}
			i := bytes.IndexByte(t.buffer[t.pos:], '<')
			if i < 0 {
				t.pos = len(t.buffer)
				return false
			}
			t.pos += i
		}
		found, isKnown := t.open()
		if !isKnown {
			if !t.isEnd {
				return false
			}
			t.pos = len(t.buffer)
			return false
		}
		if found {
			return true
		}
	}
}

// skipCDATA goes behind "]]>", which is text for us like all of the section. false: the buffer ends before.
func (t *tokenizer) skipCDATA() bool {
	if i := bytes.Index(t.buffer[t.pos:], []byte("]]>")); i >= 0 {
		t.pos += i + 3
		t.text = textData
		return true
	}
	t.pos = max(t.pos, len(t.buffer)-2)
	if t.isEnd {
		t.pos = len(t.buffer)
	}
	return false
}

// open looks at a "<" at t.pos. It tells whether a token begins there, and whether that is known: more input may be
// needed. Without a token t.pos is behind it.
func (t *tokenizer) open() (found, isKnown bool) {
	rest := t.buffer[t.pos:]
	if t.text != textData {
		return t.openInText(rest)
	}
	if len(rest) < 2 {
		return false, false
	}
	switch c := rest[1]; {
	case isLetter(c):
		return t.begin(tokenStartTag, scanTagName, 1), true
	case c == '/':
		if len(rest) < 3 {
			return false, false
		}
		switch {
		case isLetter(rest[2]):
			return t.begin(tokenEndTag, scanTagName, 2), true
		case rest[2] == '>':
			return t.begin(tokenNothing, scanSelfClosing, 2), true
		}
		return t.begin(tokenComment, scanBogusComment, 2), true
	case c == '?':
		return t.begin(tokenComment, scanBogusComment, 1), true
	case c == '!':
		return t.openDeclaration(rest)
	}
	t.pos++
	return false, true
}

// openDeclaration looks at "<!".
func (t *tokenizer) openDeclaration(rest []byte) (found, isKnown bool) {
	after := rest[2:]
	for _, candidate := range []struct {
		text  string
		begin func() bool
	}{
		{"--", func() bool { return t.begin(tokenComment, scanComment, 4) }},
		{"doctype", func() bool { return t.begin(tokenDoctype, scanDoctype, 9) }},
		{"[cdata[", func() bool {
			if !t.inForeign || !bytes.HasPrefix(after, []byte("[CDATA[")) {
				return t.begin(tokenComment, scanBogusComment, 2)
			}
			t.pos += 9
			t.text = textCDATA
			return false
		}},
	} {
		n := min(len(after), len(candidate.text))
		if !equalFold(after[:n], candidate.text[:n]) {
			continue
		}
		if n == len(candidate.text) {
			return candidate.begin(), true
		}
		if !t.isEnd {
			return false, false
		}
	}
	return t.begin(tokenComment, scanBogusComment, 2), true
}

// openInText looks at "<" in text that only its own end tag ends.
func (t *tokenizer) openInText(rest []byte) (found, isKnown bool) {
	if t.text == textScript {
		n := min(len(rest), 4)
		if string(rest[:n]) == "<!--"[:n] {
			if n < 4 {
				return false, false
			}
			// The dashes may be the first two of "-->" as well.
			t.text, t.pos = textScriptEscaped, t.pos+2
			return false, true
		}
	}
	isEndTag, isKnown := t.isTagOf(rest, "</", t.rawTag)
	if !isKnown {
		return false, false
	}
	if isEndTag && t.text != textScriptDoubleEscaped {
		return t.begin(tokenEndTag, scanTagName, 2), true
	}
	t.pos++
	return false, true
}

// isTagOf tells whether text begins with a tag of this lower-case name, and whether that is known.
func (t *tokenizer) isTagOf(text []byte, open string, name []byte) (is, isKnown bool) {
	n := min(len(text), len(open))
	if string(text[:n]) != open[:n] {
		return false, true
	}
	if n < len(open) {
		return false, false
	}
	text = text[n:]
	n = min(len(text), len(name))
	if !equalFold(text[:n], string(name[:n])) {
		return false, true
	}
	if len(text) <= len(name) {
		return false, false
	}
	c := text[len(name)]
	return isSpace(c) || c == '/' || c == '>', true
}

// scanEscaped goes through script data between "<!--" and "-->", to a "<" that may begin the end tag. false: the
// buffer ends before.
func (t *tokenizer) scanEscaped() bool {
	for t.pos < len(t.buffer) {
		rest := t.buffer[t.pos:]
		switch rest[0] {
		case '-':
			n := min(len(rest), 3)
			if string(rest[:n]) == "-->"[:n] {
				if n < 3 && !t.isEnd {
					return false
				}
				if n == 3 {
					t.text, t.pos = textScript, t.pos+3
					i := bytes.IndexByte(t.buffer[t.pos:], '<')
					if i < 0 {
						t.pos = len(t.buffer)
						return false
					}
					t.pos += i
					return true
				}
			}
			t.pos++
		case '<':
			if t.text == textScriptEscaped {
				opens, isKnown := t.isTagOf(rest, "<", []byte("script"))
				if !isKnown && !t.isEnd {
					return false
				}
				if opens {
					t.text, t.pos = textScriptDoubleEscaped, t.pos+7
					continue
				}
				return true
			}
			closes, isKnown := t.isTagOf(rest, "</", []byte("script"))
			if !isKnown && !t.isEnd {
				return false
			}
			if closes {
				t.text = textScriptEscaped
			}
			t.pos++
		default:
			t.pos++
		}
	}
	return false
}

// begin begins a token at t.pos, of which the first bytes need no second look.
func (t *tokenizer) begin(kind tokenKind, state scan, known int) bool {
	t.token.kind, t.token.isSelfClosing = kind, false
	t.token.start, t.token.nameEnd = t.pos, 0
	t.scan = state
	t.pos += known
	return true
}

// nextDeclaration goes through comments and doctypes.
func (t *tokenizer) nextDeclaration() *token {
	end := -1
	switch t.scan {
	case scanComment:
		end = t.commentEnd()
	default:
		if i := bytes.IndexByte(t.buffer[t.pos:], '>'); i >= 0 {
			end = t.pos + i + 1
		} else {
			t.pos = len(t.buffer)
		}
	}
	if end < 0 && t.isEnd && t.start < len(t.buffer) {
		end = len(t.buffer)
	}
	if end >= 0 {
		t.scan, t.pos = scanText, end
		return t.give(t.token.kind, end)
	}
	if !t.holdsComments && t.start < t.pos && t.token.kind == tokenComment {
		return t.give(tokenNothing, t.pos)
	}
	return nil
}

// commentEnd is where the comment ends, or -1.
func (t *tokenizer) commentEnd() int {
	// "<!-->" and "<!--->".
	if t.pos == t.token.start+4 {
		rest := t.buffer[t.pos:]
		if len(rest) > 0 && rest[0] == '>' {
			return t.pos + 1
		}
		if len(rest) > 1 && rest[0] == '-' && rest[1] == '>' {
			return t.pos + 2
		}
		if len(rest) < 2 && !t.isEnd && (len(rest) == 0 || rest[0] == '-') {
			return -1
		}
	}
	for {
		i := bytes.Index(t.buffer[t.pos:], []byte("--"))
		if i < 0 {
			t.pos = max(t.pos, len(t.buffer)-1, t.token.start+5)
			t.pos = min(t.pos, len(t.buffer))
			return -1
		}
		t.pos += i
		rest := t.buffer[t.pos+2:]
		switch {
		case len(rest) > 0 && rest[0] == '>':
			return t.pos + 3
		case len(rest) > 1 && rest[0] == '!' && rest[1] == '>':
			return t.pos + 4
		case len(rest) == 0 || len(rest) == 1 && rest[0] == '!':
			return -1
		}
		t.pos++
	}
}

// scanTag goes through a tag; true: t.pos is behind its ">".
func (t *tokenizer) scanTag() bool {
	buffer, pos, state := t.buffer, t.pos, t.scan
	for pos < len(buffer) {
		c := buffer[pos]
		switch state {
		case scanValueDoubleQuoted, scanValueSingleQuoted:
			quote := byte('"')
			if state == scanValueSingleQuoted {
				quote = '\''
			}
			i := bytes.IndexByte(buffer[pos:], quote)
			if i < 0 {
				t.pos, t.scan = len(buffer), state
				return false
			}
			pos += i
			state = scanAfterValue
		case scanTagName:
			if class := classes[c]; class == classSpace || class == classSlash || class == classEnd {
				t.token.nameEnd = pos
				state = scanBeforeAttribute
				continue
			}
		default:
			if c == '>' {
				t.token.isSelfClosing = state == scanSelfClosing
				t.pos, t.scan = pos+1, state
				return true
			}
			state = nextScan(state, c)
		}
		pos++
	}
	t.pos, t.scan = pos, state
	return false
}

// A class is what a byte is for the states of a tag.
type class uint8

const (
	classOther class = iota
	classSpace
	classSlash
	classEquals
	classDoubleQuote
	classSingleQuote
	classEnd
	classCount
)

var classes = [256]class{
	' ': classSpace, '\n': classSpace, '\t': classSpace, '\r': classSpace, '\f': classSpace, '/': classSlash,
	'=': classEquals, '"': classDoubleQuote, '\'': classSingleQuote, '>': classEnd,
}

// scans are the states after a byte of a class (HTML 13.2.5.32 to 40). Those of quoted values, and where a tag ends, are
// not of them.
var scans = func() (table [16][classCount]scan) {
	for state := range table {
		isName := scan(state) == scanAttributeName || scan(state) == scanAfterAttributeName
		table[state] = [...]scan{
			classOther: scanAttributeName, classSpace: scanBeforeAttribute, classSlash: scanSelfClosing,
			classEquals: scanAttributeName, classDoubleQuote: scanAttributeName, classSingleQuote: scanAttributeName,
			classEnd: scanAttributeName,
		}
		if isName {
			table[state][classSpace] = scanAfterAttributeName
			table[state][classEquals] = scanBeforeValue
		}
	}
	for class := range classCount {
		table[scanBeforeValue][class] = scanValueUnquoted
		table[scanValueUnquoted][class] = scanValueUnquoted
	}
	table[scanBeforeValue][classSpace] = scanBeforeValue
	table[scanBeforeValue][classDoubleQuote] = scanValueDoubleQuoted
	table[scanBeforeValue][classSingleQuote] = scanValueSingleQuoted
	table[scanValueUnquoted][classSpace] = scanBeforeAttribute
	return table
}()

// nextScan is the state after a byte of a tag, which is not ">" and not in a quoted value.
func nextScan(state scan, c byte) scan { return scans[state&15][classes[c]] }

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares with a lower-case text, without regard to the case of ASCII letters.
func equalFold(text []byte, lowerCase string) bool {
	if len(text) != len(lowerCase) {
		return false
	}
	for i, c := range text {
		if lower(c) != lowerCase[i] {
			return false
		}
	}
	return true
}

// An attribute of a tag; offsets are into the tag's text.
type attribute struct {
	nameStart, nameEnd   int
	valueStart, valueEnd int // without quotes; equal if there is no value
	end                  int // of the quotes, if there are any
}

// attributesOf appends the attributes of a tag whose name ends at nameEnd.
func attributesOf(list []attribute, tag []byte, nameEnd int) []attribute {
	state := scanBeforeAttribute
	for i := nameEnd; i < len(tag); {
		c := tag[i]
		if c == '>' && state != scanValueDoubleQuoted && state != scanValueSingleQuoted {
			break
		}
		next := nextScan(state, c)
		switch {
		case next == scanAttributeName && state != scanAttributeName:
			list = append(list, attribute{nameStart: i, nameEnd: i + 1, valueStart: i, valueEnd: i, end: i + 1})
		case next == scanAttributeName:
			last := &list[len(list)-1]
			last.nameEnd, last.end = i+1, i+1
		case next == scanValueUnquoted && state == scanBeforeValue:
			last := &list[len(list)-1]
			last.valueStart, last.valueEnd, last.end = i, i+1, i+1
		case next == scanValueUnquoted:
			last := &list[len(list)-1]
			last.valueEnd, last.end = i+1, i+1
		case next == scanValueDoubleQuoted || next == scanValueSingleQuoted:
			last := &list[len(list)-1]
			length := bytes.IndexByte(tag[i+1:], c)
			if length < 0 {
				length = len(tag) - i - 2
			}
			last.valueStart, last.valueEnd, last.end = i+1, i+1+length, i+2+length
			i += length + 1
			next = scanAfterValue
		}
		state = next
		i++
	}
	return list
}
