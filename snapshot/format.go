package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// The layout of a file. Integers are little-endian.
//
//	offset  bytes
//	     0      8  magic
//	     8      4  format version
//	    12      4  number of sections
//	    16      4  length of the key
//	    20      4  length of the section table
//	    24      8  length of the file
//	    32     32  SHA-256 of the file without these 32 bytes
//	    64         key: for each property a name and a value, each after its four-byte length
//	               section table: for each section its name after a four-byte length,
//	               eight bytes of offset and eight of length
//	               the sections, each at the next multiple of pageSize, with zeros between them
//
// There is one way to write a file with a given key and sections, and only that is accepted.
const (
	magic         = "NANOSNAP"
	formatVersion = 2
	headerLength  = 64
	sumOffset     = 32
	sectionsMax   = 64
	nameLengthMax = 64
)

// pageSize aligns sections, so that V8 can read them where a file is mapped: V8 wants words aligned,
// whole pages make that true for any content. It is a constant of the format, not the machine's.
const pageSize = 4096

// A Section is a named part of a file.
type Section struct {
	Name string // unique in its file, 1 to 64 bytes
	Data []byte // may be empty
}

// A FormatError says that a file is not a whole snapshot file of this format: something else, cut
// off, damaged, or of another format version.
type FormatError struct {
	Path string // "": not read from a file
	What string
}

// Error is "path: what".
func (e *FormatError) Error() string {
	if e.Path == "" {
		return e.What
	}
	return e.Path + ": " + e.What
}

func malformed(format string, values ...any) error {
	return &FormatError{What: fmt.Sprintf(format, values...)}
}

func aligned(offset uint64) uint64 { return (offset + pageSize - 1) &^ (pageSize - 1) }

// Encode makes a file. It panics when the names of the sections are not as documented: they are
// constants of the caller.
func Encode(key Key, sections []Section) []byte { return encode(key.pairs(), sections) }

func encode(pairs []pair, sections []Section) []byte {
	if what := checkNames(sections); what != "" {
		panic("snapshot: " + what)
	}
	encodedKey := appendPairs(nil, pairs)
	tableLength := 0
	for _, section := range sections {
		tableLength += 4 + len(section.Name) + 8 + 8
	}
	table := make([]byte, 0, tableLength)
	end := uint64(headerLength + len(encodedKey) + tableLength)
	for _, section := range sections {
		offset := aligned(end)
		end = offset + uint64(len(section.Data))
		table = binary.LittleEndian.AppendUint32(table, uint32(len(section.Name)))
		table = append(table, section.Name...)
		table = binary.LittleEndian.AppendUint64(table, offset)
		table = binary.LittleEndian.AppendUint64(table, uint64(len(section.Data)))
	}
	out := make([]byte, 0, end)
	out = append(out, magic...)
	out = binary.LittleEndian.AppendUint32(out, formatVersion)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(sections)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(encodedKey)))
	out = binary.LittleEndian.AppendUint32(out, uint32(tableLength))
	out = binary.LittleEndian.AppendUint64(out, end)
	out = out[:headerLength] // the checksum comes last
	out = append(out, encodedKey...)
	out = append(out, table...)
	for _, section := range sections {
		out = out[:aligned(uint64(len(out)))] // zeros, as made
		out = append(out, section.Data...)
	}
	sum := checksum(out)
	copy(out[sumOffset:headerLength], sum[:])
	return out
}

func checkNames(sections []Section) (what string) {
	if len(sections) > sectionsMax {
		return fmt.Sprintf("%d sections", len(sections))
	}
	seen := map[string]bool{}
	for _, section := range sections {
		if section.Name == "" || len(section.Name) > nameLengthMax || seen[section.Name] {
			return fmt.Sprintf("section name %q", section.Name)
		}
		seen[section.Name] = true
	}
	return ""
}

// checksum is that of a file, of which there are at least headerLength bytes.
func checksum(file []byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	hash.Write(file[:sumOffset])
	hash.Write(file[headerLength:])
	hash.Sum(sum[:0])
	return sum
}

// content is what a file holds, in views of it.
type content struct {
	pairs    []pair
	sections []Section
}

// decode checks the structure of a file and reads it. Every byte of it is accounted for; whether
// those of the sections are the ones that were written, only the checksum tells.
func decode(file []byte) (content, error) {
	var c content
	if len(file) < headerLength || string(file[:len(magic)]) != magic {
		return c, malformed("not a snapshot file")
	}
	if version := binary.LittleEndian.Uint32(file[8:]); version != formatVersion {
		return c, malformed("format version %d; this NANO reads version %d", version, formatVersion)
	}
	count, keyLength := binary.LittleEndian.Uint32(file[12:]), binary.LittleEndian.Uint32(file[16:])
	tableLength, length := binary.LittleEndian.Uint32(file[20:]), binary.LittleEndian.Uint64(file[24:])
	if length != uint64(len(file)) {
		return c, malformed("damaged: %d bytes long instead of %d", len(file), length)
	}
	end := headerLength + uint64(keyLength) + uint64(tableLength)
	if end > length || count > sectionsMax {
		return c, malformed("damaged header")
	}
	key, table := file[headerLength:headerLength+keyLength], file[headerLength+keyLength:end]
	for len(key) > 0 {
		name, afterName, hasName := takeText(key)
		value, rest, hasValue := takeText(afterName)
		if !hasName || !hasValue {
			return c, malformed("damaged key")
		}
		c.pairs, key = append(c.pairs, pair{string(name), string(value)}), rest
	}
	for range count {
		name, rest, ok := takeText(table)
		if !ok || len(rest) < 16 {
			return c, malformed("damaged section table")
		}
		offset, size := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		table = rest[16:]
		if offset != aligned(end) || offset > length || size > length-offset || !isZero(file[end:offset]) {
			return c, malformed("damaged section table")
		}
		end = offset + size
		c.sections = append(c.sections, Section{string(name), file[offset:end:end]})
	}
	if len(table) != 0 || end != length || checkNames(c.sections) != "" {
		return c, malformed("damaged section table")
	}
	return c, nil
}

// takeText takes a string off the front of data.
func takeText(data []byte) (text, rest []byte, ok bool) {
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
		return nil, nil, false
	}
	length := binary.LittleEndian.Uint32(data)
	return data[4 : 4+length], data[4+length:], true
}

func isZero(data []byte) bool {
	return len(bytes.TrimLeft(data, "\x00")) == 0
}

// verify compares the checksum. decode must have accepted the file.
func verify(file []byte) error {
	if sum := checksum(file); !bytes.Equal(sum[:], file[sumOffset:headerLength]) {
		return malformed("damaged: wrong checksum")
	}
	return nil
}
