package htmlrewriter

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A selector is a list of compounds: `div > p.note a` has three. It matches an element if its last compound does,
// and the others match ancestors.
type selector []compound

// A compound is what one element must be.
type compound struct {
	isChild    bool   // of the element of the compound before, not only its descendant
	name       string // in lower case; "" is any
	conditions []condition
}

type conditionKind uint8

const (
	hasAttribute conditionKind = iota // [a]
	equals                            // [a=v], #v
	hasWord                           // [a~=v], .v
	dashMatch                         // [a|=v]
	hasPrefix                         // [a^=v]
	hasSuffix                         // [a$=v]
	contains                          // [a*=v]
	negation                          // :not(...)
	nthChild                          // :nth-child(an+b)
	nthOfType                         // :nth-of-type(an+b)
)

type condition struct {
	kind    conditionKind
	name    string // of the attribute, in lower case
	value   []byte // in lower case if isFolded
	folded  bool
	not     []compound
	a, b    int
	isNever bool // an empty value, which some kinds never match
}

// parseSelectors parses a selector list as far as HTMLRewriter has selectors: types, *, attributes, classes, ids,
// :not() of compounds, :nth-child, :first-child, :nth-of-type, :first-of-type; descendants and children.
func parseSelectors(text string) ([]selector, error) {
	p := &parser{text: text}
	var list []selector
	for {
		one, err := p.selector()
		if err != nil {
			return nil, err
		}
		list = append(list, one)
		if p.at == len(p.text) {
			return list, nil
		}
		p.at++ // a comma
	}
}

type parser struct {
	text  string
	at    int
	depth int // of negations
}

// depthMax bounds how deep negations are nested, since the parser goes down as deep.
const depthMax = 16

// Texts that Workers has as well.
var (
	errEmpty       = errors.New("the selector is empty")
	errUnsupported = errors.New("unsupported pseudo-class or pseudo-element in selector")
	errNamespace   = errors.New("unsupported namespace in selector")
)

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) spaces() bool {
	begin := p.at
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
	return p.at > begin
}

func (p *parser) accept(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// selector parses up to a comma or the end.
func (p *parser) selector() (selector, error) {
	p.spaces()
	var list selector
	isChild := false
	for {
		one, err := p.compound()
		if err != nil {
			return nil, err
		}
		one.isChild = isChild
		list = append(list, one)
		hadSpace := p.spaces()
		switch c := p.peek(); {
		case p.at == len(p.text) || c == ',':
			return list, nil
		case c == '>':
			p.at++
			p.spaces()
			isChild = true
		case c == '+' || c == '~':
			return nil, fmt.Errorf("unsupported combinator `%c` in selector", c)
		case hadSpace:
			isChild = false
		default:
			return nil, fmt.Errorf("%q is unexpected", c)
		}
	}
}

func (p *parser) compound() (compound, error) {
	var one compound
	begin := p.at
	if !p.accept('*') {
		if name, ok := p.identifier(); ok {
			one.name = strings.ToLower(name)
		}
	}
	if p.peek() == '|' && !strings.HasPrefix(p.text[p.at:], "||") {
		return one, errNamespace
	}
	for {
		var next condition
		var err error
		switch p.peek() {
		case '.', '#':
			mark := p.text[p.at]
			p.at++
			value, ok := p.identifier()
			if !ok && mark == '#' {
				value, ok = p.nameCharacters()
			}
			if !ok {
				return one, fmt.Errorf("a name is missing after %q", mark)
			}
			next = condition{kind: hasWord, name: "class", value: []byte(value)}
			if mark == '#' {
				next = condition{kind: equals, name: "id", value: []byte(value)}
			}
		case '[':
			p.at++
			next, err = p.attribute()
		case ':':
			p.at++
			next, err = p.pseudoClass()
		default:
			if p.at == begin {
				if p.at == len(p.text) {
					return one, errEmpty
				}
				return one, fmt.Errorf("%q is unexpected", p.text[p.at])
			}
			return one, nil
		}
		if err != nil {
			return one, err
		}
		one.conditions = append(one.conditions, next)
	}
}

func isNameByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '-' || c == '_' || c >= 0x80
}

// nameCharacters parses what may be in an identifier, escapes included.
func (p *parser) nameCharacters() (string, bool) {
	var name strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		if c == '\\' && p.at+1 < len(p.text) && p.text[p.at+1] != '\n' {
			p.at++
			p.escape(&name)
			continue
		}
		if !isNameByte(c) {
			break
		}
		name.WriteByte(c)
		p.at++
	}
	return name.String(), name.Len() > 0
}

// identifier parses a CSS identifier.
func (p *parser) identifier() (string, bool) {
	rest := p.text[p.at:]
	digits := strings.TrimPrefix(rest, "-")
	if digits == "" || '0' <= digits[0] && digits[0] <= '9' {
		return "", false
	}
	return p.nameCharacters()
}

// escape parses what follows a backslash.
func (p *parser) escape(to *strings.Builder) {
	end := p.at
	for end < len(p.text) && end < p.at+6 && strings.IndexByte("0123456789abcdefABCDEF", p.text[end]) >= 0 {
		end++
	}
	if end == p.at {
		to.WriteByte(p.text[p.at])
		p.at++
		return
	}
	code, _ := strconv.ParseUint(p.text[p.at:end], 16, 32)
	p.at = end
	if p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
	if code == 0 || code > 0x10ffff || 0xd800 <= code && code < 0xe000 {
		code = 0xfffd
	}
	to.WriteRune(rune(code))
}

func (p *parser) quoted(quote byte) (string, error) {
	var value strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == quote:
			return value.String(), nil
		case c == '\n':
			return "", errors.New("a line ends in a string")
		case c == '\\' && p.at < len(p.text):
			if p.accept('\n') {
				continue
			}
			p.escape(&value)
		default:
			value.WriteByte(c)
		}
	}
	return value.String(), nil
}

var attributeOperators = map[byte]conditionKind{
	'=': equals, '~': hasWord, '|': dashMatch, '^': hasPrefix, '$': hasSuffix, '*': contains,
}

// attribute parses what follows "[".
func (p *parser) attribute() (condition, error) {
	var one condition
	p.spaces()
	name, ok := p.identifier()
	if !ok {
		return one, errors.New("the name of an attribute is missing")
	}
	one.name = strings.ToLower(name)
	p.spaces()
	if p.accept(']') {
		return one, nil
	}
	operator := p.peek()
	kind, isKnown := attributeOperators[operator]
	p.at++
	if !isKnown || operator != '=' && !p.accept('=') {
		return one, errors.New("an attribute has an unknown operator")
	}
	one.kind = kind
	p.spaces()
	var value string
	var err error
	if quote := p.peek(); quote == '"' || quote == '\'' {
		p.at++
		value, err = p.quoted(quote)
	} else if value, ok = p.identifier(); !ok {
		err = errors.New("the value of an attribute is missing")
	}
	if err != nil {
		return one, err
	}
	one.value = []byte(value)
	one.folded = caseless[one.name] && kind != hasAttribute
	p.spaces()
	switch p.peek() {
	case 'i', 'I':
		one.folded = true
		p.at++
	case 's', 'S':
		one.folded = false
		p.at++
	}
	p.spaces()
	if !p.accept(']') && p.at < len(p.text) {
		return one, errors.New("\"]\" is missing")
	}
	one.finish()
	return one, nil
}

func (c *condition) finish() {
	if c.folded {
		c.value = bytes.ToLower(c.value)
	}
	switch c.kind {
	case hasWord:
		c.isNever = len(c.value) == 0 || bytes.ContainsAny(c.value, " \t\n\r\f")
	case hasPrefix, hasSuffix, contains:
		c.isNever = len(c.value) == 0
	}
}

// pseudoClass parses what follows ":".
func (p *parser) pseudoClass() (condition, error) {
	name, _ := p.identifier()
	name = strings.ToLower(name)
	switch name {
	case "first-child":
		return condition{kind: nthChild, b: 1}, nil
	case "first-of-type":
		return condition{kind: nthOfType, b: 1}, nil
	}
	if name != "not" && name != "nth-child" && name != "nth-of-type" || !p.accept('(') {
		return condition{}, errUnsupported
	}
	one := condition{kind: nthChild}
	if name == "not" {
		one.kind = negation
		if p.depth++; p.depth > depthMax {
			return one, errUnsupported
		}
		for {
			p.spaces()
			inner, err := p.compound()
			if err != nil {
				return one, err
			}
			one.not = append(one.not, inner)
			p.spaces()
			if !p.accept(',') {
				break
			}
		}
		p.depth--
	} else {
		end := strings.IndexByte(p.text[p.at:], ')')
		if end < 0 {
			end = len(p.text) - p.at
		}
		var ok bool
		if one.a, one.b, ok = parseNth(p.text[p.at : p.at+end]); !ok {
			return one, fmt.Errorf("%q is no an+b", p.text[p.at:p.at+end])
		}
		p.at += end
		if name == "nth-of-type" {
			one.kind = nthOfType
		}
	}
	if !p.accept(')') {
		return one, errors.New("\")\" is missing")
	}
	return one, nil
}

// parseNth parses an+b, "odd" or "even".
func parseNth(text string) (a, b int, ok bool) {
	text = strings.ToLower(strings.Trim(text, " \t\n\r\f"))
	switch text {
	case "odd":
		return 2, 1, true
	case "even":
		return 2, 0, true
	}
	number := func(text string) (int, bool) {
		n, err := strconv.ParseInt(text, 10, 32)
		return int(n), err == nil
	}
	step, offset, hasStep := strings.Cut(text, "n")
	if !hasStep {
		b, ok = number(text)
		return 0, b, ok
	}
	switch step {
	case "", "+":
		a = 1
	case "-":
		a = -1
	default:
		if a, ok = number(step); !ok {
			return 0, 0, false
		}
	}
	offset = strings.Trim(offset, " \t\n\r\f")
	if offset == "" {
		return a, 0, true
	}
	if offset[0] != '+' && offset[0] != '-' {
		return 0, 0, false
	}
	digits := strings.TrimLeft(offset[1:], " \t\n\r\f")
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, 0, false
	}
	b, ok = number(offset[:1] + digits)
	return a, b, ok
}

// caseless are the attributes whose values selectors compare without regard to case (HTML 4.16.2).
var caseless = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq("accept accept-charset align alink axis bgcolor charset checked clear codetype " +
		"color compact declare defer dir direction disabled enctype face frame hreflang http-equiv lang language link " +
		"media method multiple nohref noresize noshade nowrap readonly rel rev rules scope scrolling selected shape " +
		"target text type valign valuetype vlink") {
		names[name] = true
	}
	return names
}()

// subject is an element that selectors are asked about.
type subject struct {
	name       string // in lower case
	tag        []byte // its start tag
	nameEnd    int    // in tag
	attributes []attribute
	hasParsed  bool
	nth        int // its index among its siblings, from 1; and among those of its type
	nthType    int
}

func (s *subject) attribute(name string) (value []byte, ok bool) {
	if !s.hasParsed {
		s.attributes = attributesOf(s.attributes[:0], s.tag, s.nameEnd)
		s.hasParsed = true
	}
	for i := range s.attributes {
		one := &s.attributes[i]
		if equalFold(s.tag[one.nameStart:one.nameEnd], name) {
			return s.tag[one.valueStart:one.valueEnd], true
		}
	}
	return nil, false
}

func (c *compound) matches(s *subject) bool {
	if c.name != "" && c.name != s.name {
		return false
	}
	for i := range c.conditions {
		if !c.conditions[i].holds(s) {
			return false
		}
	}
	return true
}

func (c *condition) holds(s *subject) bool {
	switch c.kind {
	case negation:
		for i := range c.not {
			if c.not[i].matches(s) {
				return false
			}
		}
		return true
	case nthChild:
		return isNth(s.nth, c.a, c.b)
	case nthOfType:
		return isNth(s.nthType, c.a, c.b)
	}
	value, ok := s.attribute(c.name)
	if !ok || c.isNever {
		return false
	}
	if c.folded {
		value = bytes.ToLower(value)
	}
	switch c.kind {
	case equals:
		return bytes.Equal(value, c.value)
	case hasWord:
		return containsWord(value, c.value)
	case dashMatch:
		return bytes.HasPrefix(value, c.value) && (len(value) == len(c.value) || value[len(c.value)] == '-')
	case hasPrefix:
		return bytes.HasPrefix(value, c.value)
	case hasSuffix:
		return bytes.HasSuffix(value, c.value)
	case contains:
		return bytes.Contains(value, c.value)
	}
	return true
}

func containsWord(text, word []byte) bool {
	for len(text) > 0 {
		i := bytes.IndexAny(text, " \t\n\r\f")
		if i < 0 {
			i = len(text)
		}
		if bytes.Equal(text[:i], word) {
			return true
		}
		text = text[min(i+1, len(text)):]
	}
	return false
}

func isNth(n, a, b int) bool {
	if a == 0 {
		return n == b
	}
	return (n-b)%a == 0 && (n-b)/a >= 0
}
