// Package sourcemap reads source maps (ECMA-426, revision 3, index maps included) and makes small tables
// of them, which are searched where they lie: in memory, or in a file that is mapped and of which only
// the pages that a search comes by are read. The C++ side of package isolates searches them the same
// way, see isolates/shim/sourcemap.cc.
//
// A table knows places, not names, and no content of sources.
package sourcemap

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a map, far beyond what V8 would take as a script.
const (
	segmentsMax    = 1 << 26
	sourcesMax     = 1 << 20
	sourceBytesMax = 1 << 12
)

// ErrFormat is wrapped by the errors of Parse and Check.
var ErrFormat = errors.New("malformed source map")

func malformed(format string, arguments ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, arguments...)...)
}

// document is a source map as JSON: one map, or with Sections an index map.
type document struct {
	Version    json.RawMessage `json:"version"`
	Sources    []*string       `json:"sources"`
	SourceRoot *string         `json:"sourceRoot"`
	Names      []string        `json:"names"`
	Mappings   *string         `json:"mappings"`
	Sections   *[]part         `json:"sections"`
}

// part is a section of an index map.
type part struct {
	Offset *struct{ Line, Column *uint32 } `json:"offset"`
	Map    *document                       `json:"map"`
}

// segment says where a piece of the generated text comes from, up to the next. All counts begin with 0;
// columns are UTF-16 units. source -1: from nowhere.
type segment struct {
	line, column             uint32
	source                   int32
	sourceLine, sourceColumn int32
}

// Parse makes the table of a source map, from its JSON. The same map gives the same table.
func Parse(text []byte) (Table, error) {
	var d document
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&d); err != nil {
		return nil, malformed("%v", err)
	}
	m := mapping{indexes: map[string]int32{}}
	if d.Sections == nil {
		if err := m.add(&d, 0, 0); err != nil {
			return nil, err
		}
		return m.encode()
	}
	if d.Mappings != nil {
		return nil, malformed("both sections and mappings")
	}
	if err := checkVersion(&d); err != nil {
		return nil, err
	}
	for i, section := range *d.Sections {
		o := section.Offset
		if o == nil || o.Line == nil || o.Column == nil || section.Map == nil || section.Map.Sections != nil {
			return nil, malformed("section %d has no offset or no map of its own", i)
		}
		line, column := *o.Line, *o.Column
		if last := len(m.segments) - 1; last >= 0 && m.segments[last].isAfter(line, column) {
			return nil, malformed("section %d begins before the end of the one before it", i)
		}
		if err := m.add(section.Map, line, column); err != nil {
			return nil, err
		}
	}
	return m.encode()
}

func (s *segment) isAfter(line, column uint32) bool {
	return s.line > line || s.line == line && s.column > column
}

func checkVersion(d *document) error {
	if string(d.Version) != "3" {
		return malformed("version %.20q, not 3", d.Version)
	}
	return nil
}

// mapping is what is read so far.
type mapping struct {
	sources  []string
	indexes  map[string]int32 // of the sources
	segments []segment        // in order
}

// add reads a map whose text begins at a place of the generated one.
func (m *mapping) add(d *document, line, column uint32) error {
	if err := checkVersion(d); err != nil {
		return err
	}
	if d.Mappings == nil {
		return malformed("no mappings")
	}
	sources := make([]int32, len(d.Sources))
	for i, source := range d.Sources {
		index, err := m.source(d.SourceRoot, source)
		if err != nil {
			return err
		}
		sources[i] = index
	}
	reader := reader{text: *d.Mappings, line: line, column: column, shift: column, sources: sources, names: len(d.Names)}
	first := len(m.segments)
	for {
		s, ok, err := reader.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if len(m.segments) == segmentsMax {
			return malformed("more than %d segments", segmentsMax)
		}
		m.segments = append(m.segments, s)
	}
	added := m.segments[first:]
	order := func(x, y segment) int {
		return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.column, y.column))
	}
	if !slices.IsSortedFunc(added, order) {
		slices.SortStableFunc(added, order)
	}
	return nil
}

// source gives the index of a source, -1 for one without a name.
func (m *mapping) source(root, name *string) (int32, error) {
	if name == nil {
		return nowhere, nil
	}
	full := *name
	if root != nil && *root != "" {
		full = strings.TrimSuffix(*root, "/") + "/" + full
	}
	if !isSourceName(full) {
		return 0, malformed("the name of a source, %.100q", full)
	}
	index, isKnown := m.indexes[full]
	if !isKnown {
		if len(m.sources) == sourcesMax {
			return 0, malformed("more than %d sources", sourcesMax)
		}
		index = int32(len(m.sources))
		m.indexes[full] = index
		m.sources = append(m.sources, full)
	}
	return index, nil
}

// isSourceName tells whether a name can stand in a line of a log.
func isSourceName(name string) bool {
	isUnfit := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError || r == 0x2028 || r == 0x2029 }
	return name != "" && len(name) <= sourceBytesMax && !strings.ContainsFunc(name, isUnfit)
}

const nowhere = -1

// reader reads mappings: lines that end with ";", of segments with "," between, each one, four or five
// numbers in base 64 that are counted from those of the segment before.
type reader struct {
	text         string
	at           int
	line, column uint32 // of the generated text
	shift        uint32 // where columns of the first line begin
	sources      []int32
	names        int

	source, sourceLine, sourceColumn, name int32
	hasSegment                             bool // in this line, and no "," since
	fields                                 [5]int32
}

// next reads a segment. False: there are no more.
func (r *reader) next() (s segment, ok bool, err error) {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ';':
			if r.line == math.MaxUint32 {
				return s, false, malformed("too many lines")
			}
			r.line++
			r.column, r.shift, r.hasSegment = 0, 0, false
			r.at++
		case ',':
			r.hasSegment = false
			r.at++
		default:
			if r.hasSegment {
				return s, false, malformed("a segment of too many fields in line %d", r.line)
			}
			r.hasSegment = true
			s, err = r.segment()
			return s, err == nil, err
		}
	}
	return s, false, nil
}

func (r *reader) segment() (s segment, err error) {
	count := 0
	for ; count < len(r.fields) && r.at < len(r.text) && r.text[r.at] != ',' && r.text[r.at] != ';'; count++ {
		if r.fields[count], err = r.number(); err != nil {
			return s, err
		}
	}
	column := int64(r.column) + int64(r.fields[0])
	if count != 1 && count != 4 && count != 5 || column < int64(r.shift) || column > math.MaxInt32 {
		return s, malformed("a segment of line %d, with %d fields", r.line, count)
	}
	r.column = uint32(column)
	s = segment{line: r.line, column: r.column, source: nowhere}
	if count == 1 {
		return s, nil
	}
	if !advance(&r.source, r.fields[1], len(r.sources)) || !advance(&r.sourceLine, r.fields[2], math.MaxInt32) ||
		!advance(&r.sourceColumn, r.fields[3], math.MaxInt32) || count == 5 && !advance(&r.name, r.fields[4], r.names) {
		return s, malformed("a segment of line %d is out of range", r.line)
	}
	s.source, s.sourceLine, s.sourceColumn = r.sources[r.source], r.sourceLine, r.sourceColumn
	return s, nil
}

// advance adds to a count that stays within 0 and limit-1.
func advance(count *int32, by int32, limit int) bool {
	sum := int64(*count) + int64(by)
	if sum < 0 || sum >= int64(limit) {
		return false
	}
	*count = int32(sum)
	return true
}

// digits are the values of the characters of base 64; 64: none.
var digits = func() (table [256]uint8) {
	for i := range table {
		table[i] = 64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = uint8(i)
	}
	return table
}()

// number reads a number: five bits a digit, the lowest first, the sixth says that another follows; the
// lowest bit of all is the sign.
func (r *reader) number() (int32, error) {
	var value uint64
	for shift := 0; r.at < len(r.text); shift += 5 {
		digit := digits[r.text[r.at]]
		if digit == 64 || shift > 30 {
			break
		}
		r.at++
		value |= uint64(digit&31) << shift
		if digit&32 != 0 {
			continue
		}
		magnitude := int64(value >> 1)
		if magnitude > math.MaxInt32 {
			break
		}
		if value&1 != 0 {
			magnitude = -magnitude
		}
		return int32(magnitude), nil
	}
	return 0, malformed("a number at character %d of the mappings", r.at)
}
