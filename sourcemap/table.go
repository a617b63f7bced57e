package sourcemap

import (
	"encoding/binary"
	"math"
	"sort"
)

// Table is a source map to search. Its numbers are little-endian, 32 bits wide:
//
//	magic (4) · number of segments · of sources · offset of the names · of the data · length of all ·
//	index: for each block of 64 segments the line and column of its first, and its offset in the data ·
//	for each source the end of its name in the names · names · data
//
// A block begins with the source (plus 1; 0: from nowhere), line and column of its first segment, as
// numbers of seven bits a byte, the lowest first. For each further one a byte of flags follows, and what
// they say of it: by how much it differs from the one before. Differences that may be negative have the
// sign in the lowest bit.
type Table []byte

const (
	tableMagic   = "NSM1"
	headerBytes  = 24
	indexBytes   = 12
	blockLength  = 64
	sourceBytes  = 4
	tableMaximum = 1 << 30
)

// Flags of a segment. The high bits are by how much its column is greater, if that is below 16 and not
// 0; else it follows as a number.
const (
	flagLine       = 1 << iota // the number of lines follows, and the column, which is counted from 0
	flagNowhere                // it comes from nowhere; nothing more follows
	flagSource                 // by how much the source differs
	flagSourceLine             // by how much the line does; the column always follows
	columnShift    = 4
)

// encode makes the table.
func (m *mapping) encode() (Table, error) {
	m.merge()
	count := len(m.segments)
	blocks := (count + blockLength - 1) / blockLength
	var data, index []byte
	for first := 0; first < count; first += blockLength {
		s := &m.segments[first]
		for _, number := range [...]uint32{s.line, s.column, uint32(len(data))} {
			index = binary.LittleEndian.AppendUint32(index, number)
		}
		data = appendBlock(data, m.segments[first:min(first+blockLength, count)])
		if len(data) > tableMaximum {
			return nil, malformed("its table has more than %d bytes", tableMaximum)
		}
	}
	names := headerBytes + blocks*indexBytes + len(m.sources)*sourceBytes
	length := 0
	for _, source := range m.sources {
		length += len(source)
	}
	table := append(make([]byte, 0, names+length+len(data)), tableMagic...)
	for _, number := range [...]int{count, len(m.sources), names, names + length, names + length + len(data)} {
		table = binary.LittleEndian.AppendUint32(table, uint32(number))
	}
	table = append(table, index...)
	end := 0
	for _, source := range m.sources {
		end += len(source)
		table = binary.LittleEndian.AppendUint32(table, uint32(end))
	}
	for _, source := range m.sources {
		table = append(table, source...)
	}
	return append(table, data...), nil
}

// merge drops segments that say nothing new: of several at one place all but the last, and those from
// nowhere after others from nowhere.
func (m *mapping) merge() {
	kept := m.segments[:0]
	for i, s := range m.segments {
		if i+1 < len(m.segments) && m.segments[i+1].line == s.line && m.segments[i+1].column == s.column {
			continue
		}
		if last := len(kept) - 1; s.source == nowhere && (last < 0 || kept[last].line != s.line || kept[last].source == nowhere) {
			continue // before the first of a line nothing is known anyway
		}
		kept = append(kept, s)
	}
	m.segments = kept
}

// state is what differences are counted from.
type state struct {
	line, column                     uint32
	source, sourceLine, sourceColumn int32
}

func appendBlock(data []byte, segments []segment) []byte {
	var at state
	for i := range segments {
		s := &segments[i]
		if i == 0 {
			at = state{s.line, s.column, max(s.source, 0), s.sourceLine, s.sourceColumn}
			data = binary.AppendUvarint(data, uint64(s.source+1))
			data = binary.AppendUvarint(data, uint64(s.sourceLine))
			data = binary.AppendUvarint(data, uint64(s.sourceColumn))
			continue
		}
		data = at.append(data, s)
	}
	return data
}

// append appends a segment and goes on to it.
func (at *state) append(data []byte, s *segment) []byte {
	flags := byte(0)
	column := s.column
	if s.line != at.line {
		flags |= flagLine
	} else if column -= at.column; column < 16 {
		flags |= byte(column) << columnShift
	}
	if s.source == nowhere {
		flags |= flagNowhere
	} else {
		if s.source != at.source {
			flags |= flagSource
		}
		if s.sourceLine != at.sourceLine {
			flags |= flagSourceLine
		}
	}
	data = append(data, flags)
	if flags&flagLine != 0 {
		data = binary.AppendUvarint(data, uint64(s.line-at.line))
	}
	if flags>>columnShift == 0 {
		data = binary.AppendUvarint(data, uint64(column))
	}
	at.line, at.column = s.line, s.column
	if s.source == nowhere {
		return data
	}
	if flags&flagSource != 0 {
		data = binary.AppendVarint(data, int64(s.source-at.source))
	}
	if flags&flagSourceLine != 0 {
		data = binary.AppendVarint(data, int64(s.sourceLine)-int64(at.sourceLine))
	}
	data = binary.AppendVarint(data, int64(s.sourceColumn)-int64(at.sourceColumn))
	at.source, at.sourceLine, at.sourceColumn = s.source, s.sourceLine, s.sourceColumn
	return data
}

func (t Table) number(offset int) int { return int(binary.LittleEndian.Uint32(t[offset:])) }

func (t Table) segments() int { return t.number(4) }
func (t Table) sources() int  { return t.number(8) }
func (t Table) blocks() int   { return (t.segments() + blockLength - 1) / blockLength }

// Check finds out whether bytes are a table that Parse could have made, as far as a search relies on it.
// Searching one that is not finds nothing, or something wrong, and does no harm beyond that.
func Check(table []byte) error {
	t := Table(table)
	if len(t) < headerBytes || string(t[:len(tableMagic)]) != tableMagic || len(t) > math.MaxInt32 {
		return malformed("a table without header")
	}
	names := headerBytes + t.blocks()*indexBytes + t.sources()*sourceBytes
	if t.number(12) != names || t.number(16) < names || t.number(20) != len(t) || t.number(16) > len(t) {
		return malformed("a table whose parts do not fit")
	}
	for i := range t.sources() {
		if name, ok := t.source(i); !ok || !isSourceName(name) {
			return malformed("a table with a source without name")
		}
	}
	return nil
}

// source is the name of a source.
func (t Table) source(i int) (string, bool) {
	ends := headerBytes + t.blocks()*indexBytes
	names, data := t.number(12), t.number(16)
	if i < 0 || i >= t.sources() {
		return "", false
	}
	begin := 0
	if i > 0 {
		begin = t.number(ends + (i-1)*sourceBytes)
	}
	end := t.number(ends + i*sourceBytes)
	if begin > end || end > data-names {
		return "", false
	}
	return string(t[names:data][begin:end]), true
}

// Sources are the names of all sources.
func (t Table) Sources() []string {
	var names []string
	for i := range t.sources() {
		name, _ := t.source(i)
		names = append(names, name)
	}
	return names
}

// Find tells where the text at a place of the generated one comes from. Lines and columns are counted
// from 1, columns in UTF-16 units. False: from nowhere that is known. The table has passed Check, or
// comes from Parse.
func (t Table) Find(line, column int) (source string, sourceLine, sourceColumn int, ok bool) {
	if line < 1 || column < 1 || line > math.MaxUint32 || column > math.MaxUint32 {
		return "", 0, 0, false
	}
	wanted := segment{line: uint32(line - 1), column: uint32(column - 1)}
	block := sort.Search(t.blocks(), func(i int) bool {
		entry := t[headerBytes+i*indexBytes:]
		first := segment{line: binary.LittleEndian.Uint32(entry), column: binary.LittleEndian.Uint32(entry[4:])}
		return first.isAfter(wanted.line, wanted.column)
	}) - 1
	if block < 0 {
		return "", 0, 0, false
	}
	found := t.findIn(block, &wanted)
	if found.source == nowhere || found.line != wanted.line {
		return "", 0, 0, false
	}
	source, ok = t.source(int(found.source))
	return source, int(found.sourceLine) + 1, int(found.sourceColumn) + 1, ok
}

// findIn finds the last segment of a block that is not after a place, which the first one is not.
func (t Table) findIn(block int, wanted *segment) segment {
	entry := t[headerBytes+block*indexBytes:]
	found := segment{line: binary.LittleEndian.Uint32(entry), column: binary.LittleEndian.Uint32(entry[4:])}
	data := numbers{rest: t[t.number(16):]}
	data.skip(int(binary.LittleEndian.Uint32(entry[8:])))
	found.source = int32(data.unsigned()) - 1
	found.sourceLine, found.sourceColumn = int32(data.unsigned()), int32(data.unsigned())
	at := state{found.line, found.column, max(found.source, 0), found.sourceLine, found.sourceColumn}
	for range min(blockLength, t.segments()-block*blockLength) - 1 {
		isNowhere := at.read(&data)
		if data.failed || (&segment{line: at.line, column: at.column}).isAfter(wanted.line, wanted.column) {
			break
		}
		found = segment(at)
		if isNowhere {
			found.source = nowhere
		}
	}
	return found
}

// read goes on to the next segment.
func (at *state) read(data *numbers) (isNowhere bool) {
	flags := data.byte()
	if flags&flagLine != 0 {
		at.line += uint32(data.unsigned())
		at.column = 0
	}
	if small := uint32(flags >> columnShift); small != 0 {
		at.column += small
	} else {
		at.column += uint32(data.unsigned())
	}
	if flags&flagNowhere != 0 {
		return true
	}
	if flags&flagSource != 0 {
		at.source += data.signed()
	}
	if flags&flagSourceLine != 0 {
		at.sourceLine += data.signed()
	}
	at.sourceColumn += data.signed()
	return false
}

// numbers takes numbers off the data of a table. After a failure it gives zeros.
type numbers struct {
	rest   []byte
	failed bool
}

func (n *numbers) skip(count int) {
	if count > len(n.rest) {
		n.failed, n.rest = true, nil
		return
	}
	n.rest = n.rest[count:]
}

func (n *numbers) byte() byte {
	if len(n.rest) == 0 {
		n.failed = true
		return 0
	}
	b := n.rest[0]
	n.rest = n.rest[1:]
	return b
}

func (n *numbers) unsigned() uint32 {
	value, length := binary.Uvarint(n.rest[:min(len(n.rest), binary.MaxVarintLen32)])
	if length <= 0 {
		n.failed, n.rest = true, nil
		return 0
	}
	n.rest = n.rest[length:]
	return uint32(value)
}

func (n *numbers) signed() int32 {
	value := n.unsigned()
	return int32(value>>1) ^ -int32(value&1)
}
