// Package htmlrewriter is what HTMLRewriter of Workers does apart from calling handlers: it splits HTML that comes
// in pieces into tokens, tells which of them handlers want to see, and puts what they have changed into the
// output. Selectors are matched with the open elements as the only state, so that a page of any length takes as
// much memory as its elements are deep.
//
// For each piece there is a call of Write, which gives events; the script calls handlers, and a call of Apply
// gives the output with their edits. What no handler has changed comes out byte by byte as it came in.
package htmlrewriter

import (
	"errors"
	"slices"
	"sync"

	"nano/encodings"
)

// What a handler wants to see.
const (
	wantsElements = 1 << iota
	wantsText
	wantsComments
	wantsDoctype
)

// A Handler is a handler of JavaScript, known by its index.
type Handler struct {
	Selector string `json:"s"`
	IsOfPage bool   `json:"d"` // of the whole document: it has no selector
	Wants    int    `json:"w"`
}

// Kinds of events, as scripts know them. An event is a list of numbers that begins with its kind:
const (
	eventStart   = iota + 1 // id of the element, 1 if it can have content, namespace, count, handlers
	eventEnd                // id of the element whose end tag it is or 0, count, ids of all elements that it ends
	eventText               // 1 for the last of a text node, count, handlers
	eventComment            // count, handlers
	eventDoctype            // count, handlers
)

const (
	// memoryMax is what an unfinished token and the open elements may take, in bytes.
	memoryMax = 3 << 20
	// handlersMax and selectorBytesMax, of all selectors together, bound what is done for a tag.
	handlersMax      = 4096
	selectorBytesMax = 64 << 10
	// listMax is how many numbers the events of a piece may be.
	listMax = 1 << 20
)

var errMemory = errors.New("the memory limit has been exceeded")

type namespace uint8

const (
	namespaceHTML namespace = iota
	namespaceSVG
	namespaceMathML
)

// An event is a token that handlers see.
type event struct {
	token
	id  int32   // of the element that begins
	ids []int32 // of the elements that end, a part of Rewriter.list
}

// A step is a compound of a selector. The bits of an element tell which steps it has matched.
type step struct {
	compound *compound
	before   int // the step of the compound before, or -1
	handler  int // of whose selector it is the last step, or -1
}

// open is an open element.
type open struct {
	name     int32 // index in Rewriter.names
	content  namespace
	id       int32 // 0: no handler has seen it
	matched  int   // where its handlers begin in Rewriter.matched
	children int
	ofType   map[int32]int // children by name, if a selector counts them
}

const openBytes = 64 // about what an open element takes

// A Rewriter rewrites one page.
type Rewriter struct {
	handlers []Handler
	steps    []step
	words    int // uint64s that hold the bits of all steps; 0: no selector has more than one step
	counts   bool
	counted  bool // children by type

	tokenizer tokenizer
	charset   *encodings.Encoding // nil: UTF-8
	encode    func(to []byte, text string) []byte

	stack   []open
	root    open     // only counts children
	bits    []uint64 // for each open element: its own, and those of it and its ancestors
	matched []int32  // handlers of the open elements
	names   []tagName
	byName  map[string]int32
	short   [64]shortName // numbers of names found last
	bytes   int           // of the names

	active    [2][]int32 // how many elements are open for each handler that wants their text, and comments
	wanted    [2]int     // how many handlers want those now
	lastID    int32
	inText    bool // parts of a text node were given out, its last was not
	subject   subject
	isMatched []bool

	removed map[int32]bool // elements whose content is left out
	*room
}

// A room is the memory that pages need while they pass, one after the other.
type room struct {
	input      []byte // of the tokenizer, when the page has passed
	events     []event
	list       []int32
	output     []byte
	holes      []int32
	changes    []change
	attributes []attribute
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// roomMax is how much memory a room may have and be kept.
const roomMax = 1 << 20

// release gives the room back, after the last Apply.
func (r *Rewriter) release() {
	r.input, r.tokenizer.buffer = r.tokenizer.buffer[:0], nil
	r.tokenizer.start = 0
	r.events, r.list = r.events[:0], r.list[:0]
	if cap(r.input)+cap(r.output) <= roomMax {
		rooms.Put(r.room)
	}
	r.room = nil
}

// New makes a Rewriter for a page in a character encoding, by its label.
func New(handlers []Handler, charset string) (*Rewriter, error) {
	selectorBytes := 0
	for i := range handlers {
		selectorBytes += len(handlers[i].Selector)
	}
	if len(handlers) > handlersMax || selectorBytes > selectorBytesMax {
		return nil, errMemory
	}
	r := &Rewriter{
		handlers: handlers, byName: map[string]int32{}, isMatched: make([]bool, len(handlers)), removed: map[int32]bool{},
		room: rooms.Get().(*room),
	}
	r.tokenizer.buffer = r.input[:0]
	for i := range r.active {
		r.active[i] = make([]int32, len(handlers))
	}
	for i, handler := range handlers {
		if handler.IsOfPage {
			r.activate(int32(i), 1)
			continue
		}
		selectors, err := parseSelectors(handler.Selector)
		if err != nil {
			return nil, err
		}
		for _, one := range selectors {
			r.addSelector(one, i)
		}
	}
	if err := r.setCharset(charset); err != nil {
		return nil, err
	}
	r.afterStack()
	return r, nil
}

func (r *Rewriter) addSelector(one selector, handler int) {
	for i := range one {
		before, of := -1, -1
		if i > 0 {
			before = len(r.steps) - 1
		}
		if i == len(one)-1 {
			of = handler
		}
		r.steps = append(r.steps, step{&one[i], before, of})
		r.noteCounts(&one[i])
	}
	if len(one) > 1 || r.words > 0 {
		r.words = (len(r.steps) + 63) / 64
	}
}

func (r *Rewriter) noteCounts(one *compound) {
	for i := range one.conditions {
		c := &one.conditions[i]
		r.counts = r.counts || c.kind == nthChild
		r.counted = r.counted || c.kind == nthOfType
		for j := range c.not {
			r.noteCounts(&c.not[j])
		}
	}
}

// activate counts a handler's open elements.
func (r *Rewriter) activate(handler int32, by int32) {
	for i, bit := range [...]int{wantsText, wantsComments} {
		if r.handlers[handler].Wants&bit == 0 {
			continue
		}
		before := r.active[i][handler]
		r.active[i][handler] += by
		if before == 0 {
			r.wanted[i]++
		} else if r.active[i][handler] == 0 {
			r.wanted[i]--
		}
	}
}

// Write takes a piece of the page. Afterwards Events has what handlers want to see of it, and Apply gives the output.
func (r *Rewriter) Write(piece []byte, isEnd bool) error {
	r.events, r.list = r.events[:0], r.list[:0]
	r.tokenizer.feed(piece, isEnd)
	for {
		next := r.tokenizer.next()
		if next == nil {
			break
		}
		if len(r.list) > listMax {
			return errMemory
		}
		switch next.kind {
		case tokenText:
			if r.wanted[0] > 0 && !r.text(next, isEnd) {
				return r.check()
			}
		case tokenStartTag:
			r.endText(next.start)
			r.startTag(next)
		case tokenEndTag:
			r.endText(next.start)
			r.endTag(next)
		case tokenComment:
			r.endText(next.start)
			r.simple(next, eventComment)
		case tokenDoctype:
			r.endText(next.start)
			r.simple(next, eventDoctype)
		}
	}
	if isEnd {
		r.endText(len(r.tokenizer.buffer))
	}
	return r.check()
}

func (r *Rewriter) check() error {
	unfinished := len(r.tokenizer.buffer) - r.tokenizer.start
	if unfinished+len(r.stack)*(openBytes+16*r.words)+r.bytes > memoryMax {
		return errMemory
	}
	return nil
}

// Events are the events of the piece written last, one after the other.
func (r *Rewriter) Events() []int32 { return r.list }

// text is a part of a text node. false: the rest of the piece is kept, since it ends within a character.
func (r *Rewriter) text(next *token, isEnd bool) bool {
	isLast := next.end == len(r.tokenizer.buffer) && !isEnd
	if isLast {
		if held := r.incomplete(r.tokenizer.buffer[next.start:next.end]); held > 0 {
			next.end -= held
			r.tokenizer.start -= held
		}
	}
	if next.end > next.start {
		r.inText = true
		r.list = append(r.list, eventText, 0)
		r.addActive(0)
		r.events = append(r.events, event{token: *next})
	}
	return r.tokenizer.start == len(r.tokenizer.buffer) || !isLast
}

// endText ends the text node that handlers have seen parts of.
func (r *Rewriter) endText(at int) {
	if !r.inText {
		return
	}
	r.inText = false
	if r.wanted[0] > 0 {
		r.list = append(r.list, eventText, 1)
		r.addActive(0)
		r.events = append(r.events, event{token: token{kind: tokenText, start: at, end: at}})
	}
}

// addActive adds the handlers that are active for text (0) or comments (1).
func (r *Rewriter) addActive(kind int) {
	at := len(r.list)
	r.list = append(r.list, 0)
	for i, count := range r.active[kind] {
		if count > 0 {
			r.list = append(r.list, int32(i))
			r.list[at]++
		}
	}
}

// simple is a comment or a doctype.
func (r *Rewriter) simple(next *token, kind int32) {
	if kind == eventComment {
		if r.wanted[1] == 0 {
			return
		}
		r.list = append(r.list, kind)
		r.addActive(1)
	} else {
		at := len(r.list)
		r.list = append(r.list, kind, 0)
		for i, handler := range r.handlers {
			if handler.Wants&wantsDoctype != 0 {
				r.list = append(r.list, int32(i))
				r.list[at+1]++
			}
		}
		if r.list[at+1] == 0 {
			r.list = r.list[:at]
			return
		}
	}
	r.events = append(r.events, event{token: *next})
}

// A tagName is a name of tags of the page, in lower case, and what follows from it.
type tagName struct {
	text      string
	isOpen    int // how many elements of it are open
	isVoid    bool
	breaksOut bool
	isForeign bool     // <svg> or <math>
	content   textKind // what is in it, if it is HTML
}

// A shortName is a name of at most 8 bytes as they are, and its number and one more; 0: none.
type shortName struct {
	bytes  uint64
	length int
	number int32
}

// nameOf is the number of a tag's name.
func (r *Rewriter) nameOf(text []byte) int32 {
	if len(text) > 8 {
		return r.lookUp(text)
	}
	packed := uint64(0)
	for i, c := range text {
		packed |= uint64(c) << (8 * i & 63)
	}
	short := &r.short[packed*0x9e3779b97f4a7c15>>58]
	if short.bytes != packed || short.length != len(text) || short.number == 0 {
		short.bytes, short.length, short.number = packed, len(text), r.lookUp(text)+1
	}
	return short.number - 1
}

func (r *Rewriter) lookUp(text []byte) int32 {
	var room [64]byte
	name := room[:0]
	for _, c := range text {
		name = append(name, lower(c))
	}
	number, isKnown := r.byName[string(name)]
	if !isKnown {
		number = int32(len(r.names))
		known := string(name)
		r.names = append(r.names, tagName{
			text: known, isVoid: voids[known], breaksOut: breaksOut[known], content: textKindOf(known),
			isForeign: known == "svg" || known == "math",
		})
		r.byName[known] = number
		r.bytes += len(name) + openBytes
	}
	return number
}

func (r *Rewriter) startTag(next *token) {
	tag := r.tokenizer.buffer[next.start:next.end]
	number := r.nameOf(tag[1 : next.nameEnd-next.start])
	name := &r.names[number]
	space := namespaceHTML
	parent := &r.root
	if len(r.stack) > 0 {
		parent = &r.stack[len(r.stack)-1]
		space = parent.content
	}
	if space != namespaceHTML || name.isForeign {
		space = namespaceOf(name, space)
	}
	hasContent := !name.isVoid
	if space != namespaceHTML {
		hasContent = !next.isSelfClosing
	}
	r.subject.name, r.subject.tag, r.subject.nameEnd, r.subject.hasParsed = name.text, tag, next.nameEnd-next.start, false
	r.count(parent, number)
	from := len(r.matched)
	bits := r.match()
	id := r.startEvent(next, space, hasContent, from)
	if !hasContent {
		r.matched = r.matched[:from]
		r.bits = r.bits[:bits]
		return
	}
	for _, handler := range r.matched[from:] {
		r.activate(handler, 1)
	}
	name.isOpen++
	content := space
	if space != namespaceHTML {
		content = contentOf(name.text, space)
	}
	r.stack = append(r.stack, open{name: number, content: content, id: id, matched: from})
	r.afterStack()
	if space == namespaceHTML && name.content != textData {
		r.tokenizer.text = name.content
		r.tokenizer.rawTag = append(r.tokenizer.rawTag[:0], name.text...)
	}
}

// afterStack tells the tokenizer what depends on the open elements.
func (r *Rewriter) afterStack() {
	r.tokenizer.inForeign = len(r.stack) > 0 && r.stack[len(r.stack)-1].content != namespaceHTML
	r.tokenizer.holdsComments = r.wanted[1] > 0
	r.tokenizer.skipsText = r.wanted[0] == 0
}

func (r *Rewriter) count(parent *open, name int32) {
	if !r.counts && !r.counted {
		r.subject.nth, r.subject.nthType = 1, 1
		return
	}
	parent.children++
	r.subject.nth = parent.children
	if r.counted {
		if parent.ofType == nil {
			parent.ofType = map[int32]int{}
		}
		parent.ofType[name]++
		r.subject.nthType = parent.ofType[name]
	}
}

// match matches the subject, adds its handlers to r.matched and its bits to r.bits, and returns where they begin.
func (r *Rewriter) match() int {
	at, words := len(r.bits), r.words
	var own, all, parentOwn, parentAll []uint64
	if words > 0 {
		for range 2 * words {
			r.bits = append(r.bits, 0)
		}
		own, all = r.bits[at:at+words], r.bits[at+words:]
		if at > 0 {
			parentOwn, parentAll = r.bits[at-2*words:at-words], r.bits[at-words:at]
			copy(all, parentAll)
		}
	}
	any := false
	for i := range r.steps {
		one := &r.steps[i]
		if one.before >= 0 {
			from := parentAll
			if one.compound.isChild {
				from = parentOwn
			}
			if from == nil || from[one.before/64]>>(one.before%64)&1 == 0 {
				continue
			}
		}
		if !one.compound.matches(&r.subject) {
			continue
		}
		if words > 0 {
			own[i/64] |= 1 << (i % 64)
			all[i/64] |= 1 << (i % 64)
		}
		if one.handler >= 0 {
			r.isMatched[one.handler] = true
			any = true
		}
	}
	if any {
		for i, is := range r.isMatched {
			if is {
				r.matched = append(r.matched, int32(i))
				r.isMatched[i] = false
			}
		}
	}
	return at
}

// startEvent adds the event of a start tag, if a handler wants it, and returns the element's id then.
func (r *Rewriter) startEvent(next *token, space namespace, hasContent bool, from int) int32 {
	wanted := slices.ContainsFunc(r.matched[from:], func(h int32) bool { return r.handlers[h].Wants&wantsElements != 0 })
	if !wanted {
		return 0
	}
	r.lastID++
	content := int32(0)
	if hasContent {
		content = 1
	}
	r.list = append(r.list, eventStart, r.lastID, content, int32(space), 0)
	at := len(r.list) - 1
	for _, handler := range r.matched[from:] {
		if r.handlers[handler].Wants&wantsElements != 0 {
			r.list = append(r.list, handler)
			r.list[at]++
		}
	}
	r.events = append(r.events, event{token: *next, id: r.lastID})
	return r.lastID
}

func (r *Rewriter) endTag(next *token) {
	r.tokenizer.text = textData
	number := r.nameOf(r.tokenizer.buffer[next.start+2 : next.nameEnd])
	if r.names[number].isOpen == 0 {
		return
	}
	at := len(r.list)
	r.list = append(r.list, eventEnd, 0, 0)
	for {
		top := &r.stack[len(r.stack)-1]
		r.stack = r.stack[:len(r.stack)-1]
		r.bits = r.bits[:len(r.stack)*2*r.words]
		for _, handler := range r.matched[top.matched:] {
			r.activate(handler, -1)
		}
		r.matched = r.matched[:top.matched]
		r.names[top.name].isOpen--
		if top.id > 0 {
			r.list = append(r.list, top.id)
			r.list[at+2]++
		}
		if top.name == number {
			r.list[at+1] = top.id
			break
		}
	}
	r.afterStack()
	if r.list[at+2] == 0 {
		r.list = r.list[:at]
		return
	}
	r.events = append(r.events, event{token: *next, ids: r.list[at+3:]})
}

func namespaceOf(name *tagName, around namespace) namespace {
	switch {
	case name.text == "svg":
		return namespaceSVG
	case name.text == "math":
		return namespaceMathML
	case around != namespaceHTML && name.breaksOut:
		return namespaceHTML
	}
	return around
}

// contentOf is the namespace of an element's content: some elements have HTML in them (HTML 13.2.6.5, integration
// points).
func contentOf(name string, space namespace) namespace {
	switch space {
	case namespaceSVG:
		if name == "foreignobject" || name == "desc" || name == "title" {
			return namespaceHTML
		}
	case namespaceMathML:
		switch name {
		case "mi", "mo", "mn", "ms", "mtext", "annotation-xml":
			return namespaceHTML
		}
	}
	return space
}

func textKindOf(name string) textKind {
	switch name {
	case "title", "textarea", "style", "xmp", "iframe", "noembed", "noframes", "noscript":
		return textRaw
	case "script":
		return textScript
	case "plaintext":
		return textPlain
	}
	return textData
}

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

var (
	voids = setOf("area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen",
		"link", "meta", "param", "source", "track", "wbr")
	// breaksOut are the tags that end foreign content.
	breaksOut = setOf("b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed",
		"h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p",
		"pre", "ruby", "s", "small", "span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var")
)
