package config

import (
	"strconv"
	"strings"
)

// node is where one key or value of a document stands. Nodes form the same tree as the values that
// the toml package decodes, which tells values but not their places.
type node struct {
	key    Position         // the key (of a table: its name in the header; of an array's item: its value)
	value  Position         // the value (of a table: its header)
	fields map[string]*node // of a table
	items  []*node          // of an array, or array of tables
}

// field is the node of key in the table n. Without one it is n itself, so that a message has at
// least the line of the table. That happens only if scan and the toml package disagree, which the
// fuzz test looks for.
func (n *node) field(key string) *node {
	if child := n.fields[key]; child != nil {
		return child
	}
	return n
}

// item is the node of element i of the array n, or n itself if there is none.
func (n *node) item(i int) *node {
	if i < len(n.items) {
		return n.items[i]
	}
	return n
}

// child gives the field key of n, and makes it if it is new.
func (n *node) child(key string, at Position) *node {
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	child := n.fields[key]
	if child == nil {
		child = &node{key: at, value: at}
		n.fields[key] = child
	}
	return child
}

// scanner finds the places of keys and values in a document that the toml package has accepted.
// Relying on that, it knows no errors: it only has to stay inside the text and to end.
type scanner struct {
	text   string
	offset int
	line   int
	start  int // offset of the line
}

// scan gives the tree of places of a valid TOML 1.1 document.
func scan(text string) *node {
	s := &scanner{text: text, line: 1}
	root := &node{key: Position{1, 1}, value: Position{1, 1}}
	table := root
	for {
		s.skipBlank(true)
		switch {
		case s.offset >= len(s.text):
			return root
		case s.peek() == '[':
			table = s.header(root)
		default:
			s.keyValue(table)
		}
	}
}

// header reads "[a.b]" or "[[a.b]]" and gives the table that the following keys belong to.
func (s *scanner) header(root *node) *node {
	at := s.position()
	s.advance()
	isArray := s.peek() == '['
	if isArray {
		s.advance()
	}
	table := root
	keys := s.keyPath(']')
	for i, key := range keys {
		table = table.child(key.name, key.at)
		if last := i == len(keys)-1; last && isArray {
			item := &node{key: key.at, value: at}
			table.items = append(table.items, item)
			table = item
		} else if last {
			// A header that comes after its sub-tables' headers: this is the better place.
			table.key, table.value = key.at, at
		} else if len(table.items) > 0 {
			table = table.items[len(table.items)-1]
		}
	}
	s.advance()
	if isArray {
		s.advance()
	}
	return table
}

// keyValue reads "a.b = value" into table.
func (s *scanner) keyValue(table *node) {
	before := s.offset
	for _, key := range s.keyPath('=') {
		table = table.child(key.name, key.at)
	}
	s.advance()
	s.skipBlank(false)
	s.valueInto(table)
	if s.offset == before {
		s.advance() // not valid after all: never stand still
	}
}

type keyPart struct {
	name string
	at   Position
}

// keyPath reads the parts of a dotted key up to end, which it leaves.
func (s *scanner) keyPath(end byte) []keyPart {
	var parts []keyPart
	for {
		s.skipBlank(false)
		at := s.position()
		switch c := s.peek(); {
		case c == 0 || c == end || c == '\n':
			return parts
		case c == '.':
			s.advance()
		case c == '"' || c == '\'':
			raw := s.quoted()
			parts = append(parts, keyPart{unquote(raw), at})
		default:
			start := s.offset
			for c = s.peek(); c != 0 && !strings.ContainsRune(" \t\r\n.=]", rune(c)); c = s.peek() {
				s.advance()
			}
			parts = append(parts, keyPart{s.text[start:s.offset], at})
			if s.offset == start {
				s.advance()
			}
		}
	}
}

// valueInto reads a value and notes in n where it and its parts stand.
func (s *scanner) valueInto(n *node) {
	n.value = s.position()
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.array(n)
	case '{':
		s.inlineTable(n)
	default: // a number, boolean or date, which may have a space in it
		for c := s.peek(); c != 0 && !strings.ContainsRune(",]}#\r\n", rune(c)); c = s.peek() {
			s.advance()
		}
	}
}

func (s *scanner) array(n *node) {
	for s.advance(); ; {
		s.skipBlank(true)
		switch s.peek() {
		case 0:
			return
		case ']':
			s.advance()
			return
		case ',':
			s.advance()
		default:
			before := s.offset
			at := s.position()
			item := &node{key: at}
			s.valueInto(item)
			n.items = append(n.items, item)
			if s.offset == before {
				s.advance()
			}
		}
	}
}

func (s *scanner) inlineTable(n *node) {
	for s.advance(); ; {
		s.skipBlank(true)
		switch s.peek() {
		case 0:
			return
		case '}':
			s.advance()
			return
		case ',':
			s.advance()
		default:
			s.keyValue(n)
		}
	}
}

// quoted reads any of the four kinds of strings, and gives it with its quotes.
func (s *scanner) quoted() string {
	start, quote := s.offset, s.text[s.offset:s.offset+1]
	end := quote
	if strings.HasPrefix(s.text[s.offset:], strings.Repeat(quote, 3)) {
		end = strings.Repeat(quote, 3)
	}
	s.advanceBy(len(end))
	for s.offset < len(s.text) && !strings.HasPrefix(s.text[s.offset:], end) {
		if quote == `"` && s.peek() == '\\' {
			s.advance()
		}
		s.advance()
	}
	s.advanceBy(len(end))
	for extra := 0; len(end) == 3 && extra < 2 && s.peek() == quote[0]; extra++ {
		s.advance() // """a""""" ends in two quotes that belong to it
	}
	return s.text[start:s.offset]
}

// skipBlank skips spaces, tabs and comments; with lines also ends of lines.
func (s *scanner) skipBlank(lines bool) {
	for s.offset < len(s.text) {
		switch c := s.peek(); {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			s.advance()
		case c == '#' && lines:
			for s.offset < len(s.text) && s.peek() != '\n' {
				s.advance()
			}
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end; the toml package lets no 0 through.
func (s *scanner) peek() byte {
	if s.offset >= len(s.text) {
		return 0
	}
	return s.text[s.offset]
}

func (s *scanner) advance() {
	if s.offset >= len(s.text) {
		return
	}
	if s.text[s.offset] == '\n' {
		s.line++
		s.start = s.offset + 1
	}
	s.offset++
}

func (s *scanner) advanceBy(n int) {
	for range n {
		s.advance()
	}
}

func (s *scanner) position() Position {
	return Position{s.line, s.offset - s.start + 1}
}

// escapes are the escapes of a TOML string that stand for one character; \x, \u and \U are read
// by unquote.
var escapes = map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b}

// unquote gives the name that a quoted key stands for. Keys are never multi-line strings.
func unquote(raw string) string {
	quote := raw[0]
	raw = strings.TrimSuffix(raw[1:], string(quote))
	if quote == '\'' || !strings.Contains(raw, `\`) {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			b.WriteByte(raw[i])
			continue
		}
		i++
		if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[raw[i]]; digits > 0 && i+digits < len(raw) {
			code, _ := strconv.ParseUint(raw[i+1:i+1+digits], 16, 32)
			b.WriteRune(rune(code))
			i += digits
		} else if c, ok := escapes[raw[i]]; ok {
			b.WriteByte(c)
		} else {
			b.WriteByte(raw[i])
		}
	}
	return b.String()
}

// positionOf is the line and column of an offset, which may lie outside the text.
func positionOf(text string, offset int) Position {
	before := text[:max(0, min(offset, len(text)))]
	return Position{strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')}
}
