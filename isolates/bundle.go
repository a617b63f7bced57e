package isolates

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"nano/isolates/shim"
	"nano/sourcemap"
)

// ModuleKind says what a Module is.
type ModuleKind uint8

// Kinds of modules.
const (
	ModuleJS   ModuleKind = ModuleKind(shim.JS)   // an ES module
	ModuleWasm ModuleKind = ModuleKind(shim.Wasm) // WebAssembly, whose default export is a WebAssembly.Module
)

// Module is a part of an app for NewBundle.
type Module struct {
	Name   string // its path, as stack traces show it
	Kind   ModuleKind
	Source []byte // UTF-8, or WebAssembly's binary format
	// Map is the source map of Source, version 3 as JSON; nil: Source is what was written by hand. It is
	// kept as it is, and with a table for looking places up (see package sourcemap).
	Map     []byte
	Imports []Import // of a ModuleJS
}

// Import is an import of a Module. Target is the index of the module that Name means in the list given
// to NewBundle, or -1 for a module of the runtime (see IsRuntimeModule).
type Import struct {
	Name   string
	Target int
}

// Bundle is what an app consists of: its modules, parsed once and linked by index, the main one
// first. It is not changed once made, and may be shared.
type Bundle struct{ modules []shim.Module }

// NewBundle makes a bundle of modules, the main one first, and of those of the runtime that they import.
// Text that is not UTF-8 is replaced as V8 would replace it. An error wraps ErrBundle: the modules could
// not have come from a bundle.
func NewBundle(modules []Module) (*Bundle, error) {
	if len(modules) == 0 || len(modules) > bundleModulesMax-len(moduleSources) {
		return nil, fmt.Errorf("%w: %d modules", ErrBundle, len(modules))
	}
	list := moduleList{index: map[string]int{}}
	for i := range modules {
		m := &modules[i]
		if len(m.Source) > bundleBytesMax || len(m.Map) > bundleBytesMax || len(m.Name) > bundleNameMax || !utf8.ValidString(m.Name) {
			return nil, fmt.Errorf("%w: %.80q has %d bytes, and %d of source map", ErrBundle, m.Name, len(m.Source), len(m.Map))
		}
		module := shim.Module{Name: m.Name, Kind: shim.ModuleKind(m.Kind), Source: string(m.Source), Map: m.Map}
		if len(m.Map) > 0 {
			table, err := sourcemap.Parse(m.Map)
			if err != nil {
				return nil, fmt.Errorf("%w: %q: %w", ErrBundle, m.Name, err)
			}
			module.Table = table
		}
		switch {
		case m.Kind == ModuleJS:
			module.Source = strings.ToValidUTF8(module.Source, "\ufffd")
			module.Encoding = encodingOf(module.Source)
		case m.Kind != ModuleWasm || len(m.Imports) > 0 || len(m.Map) > 0:
			return nil, fmt.Errorf("%w: %q is of no known kind", ErrBundle, m.Name)
		}
		list.modules = append(list.modules, module)
	}
	for i := range modules {
		if err := list.link(i, modules[i].Imports, len(modules)); err != nil {
			return nil, err
		}
	}
	return &Bundle{list.modules}, nil
}

// moduleList is the modules of a bundle that is being made.
type moduleList struct {
	modules []shim.Module
	index   map[string]int // of modules of the runtime, by name; whatever else the caller puts there
}

// addOwn returns the index of a module of the runtime.
func (l *moduleList) addOwn(name string) int {
	index, ok := l.index[name]
	if !ok {
		index = len(l.modules)
		l.index[name] = index
		l.modules = append(l.modules, shim.Module{Name: name, Source: moduleSources[name], Encoding: shim.ASCII})
	}
	return index
}

// link gives module i of `count` its imports.
func (l *moduleList) link(i int, imports []Import, count int) error {
	for _, imported := range imports {
		target := imported.Target
		name, isOwn := moduleNames[imported.Name]
		switch {
		case target == -1 && isOwn:
			target = l.addOwn(name)
		case target < 0 || target >= count || len(imported.Name) > bundleNameMax || !utf8.ValidString(imported.Name):
			return fmt.Errorf("%w: %q imports %.80q from nowhere", ErrBundle, l.modules[i].Name, imported.Name)
		}
		l.modules[i].Imports = append(l.modules[i].Imports, shim.Import{Name: imported.Name, Target: target})
	}
	return nil
}

// Files are the paths of the app's modules, the main one first, as they appear in stack traces.
func (b *Bundle) Files() []string {
	names := make([]string, 0, len(b.modules))
	for _, module := range b.modules {
		if _, isOwn := moduleSources[module.Name]; !isOwn {
			names = append(names, module.Name)
		}
	}
	return names
}

// Size is the length of all sources in bytes, without source maps.
func (b *Bundle) Size() int {
	size := 0
	for _, module := range b.modules {
		size += len(module.Source)
	}
	return size
}

// Hash identifies the bundle: the SHA-256 of its encoding.
func (b *Bundle) Hash() [sha256.Size]byte { return sha256.Sum256(b.Encode()) }

// Limits of an encoded bundle, far beyond what V8 would take.
const (
	bundleMagic      = "NANOBND3"
	bundleMagicOld   = "NANOBND1" // without kinds and source maps
	bundleModulesMax = 1 << 16
	bundleNameMax    = 1 << 12
	bundleBytesMax   = 1 << 29 // V8's longest string, about
)

// Encode writes the bundle. Integers are little-endian, 32 bits wide:
//
//	magic (8) · number of modules ·
//	for each module: name · kind (ModuleKind) · encoding of the text (shim.Encoding) ·
//	  lengths of the source, of its map and of the map's table · number of imports ·
//	  for each import: specifier · index of the module ·
//	the sources · the source maps, each followed by its table
//
// with the length of a text before it. All that is needed to link lies before the sources, so that
// whoever restores the app from a snapshot does not touch the pages of these.
func (b *Bundle) Encode() []byte {
	maps := 0
	for _, module := range b.modules {
		maps += len(module.Map) + len(module.Table)
	}
	out := append(make([]byte, 0, 1024+b.Size()+maps), bundleMagic...)
	number := func(n int) { out = binary.LittleEndian.AppendUint32(out, uint32(n)) }
	text := func(s string) { number(len(s)); out = append(out, s...) }
	number(len(b.modules))
	for _, module := range b.modules {
		text(module.Name)
		number(int(module.Kind))
		number(int(module.Encoding))
		number(len(module.Source))
		number(len(module.Map))
		number(len(module.Table))
		number(len(module.Imports))
		for _, imported := range module.Imports {
			text(imported.Name)
			number(imported.Target)
		}
	}
	for _, module := range b.modules {
		out = append(out, module.Source...)
	}
	for _, module := range b.modules {
		out = append(append(out, module.Map...), module.Table...)
	}
	return out
}

// ErrBundle is wrapped by the errors of DecodeBundle.
var ErrBundle = errors.New("malformed bundle")

// DecodeBundle reads what Encode wrote, that of earlier versions too. It accepts nothing else, and copies
// what it keeps.
func DecodeBundle(data []byte) (*Bundle, error) {
	modules, err := decodeModules(data)
	if err != nil {
		return nil, err
	}
	for i := range modules {
		module := &modules[i]
		if err := checkModule(module); err != nil {
			return nil, err
		}
		module.Source = strings.Clone(module.Source)
		module.Map, module.Table = bytes.Clone(module.Map), bytes.Clone(module.Table)
	}
	return &Bundle{modules}, nil
}

// checkModule refuses a module that NewBundle would not have made.
func checkModule(module *shim.Module) error {
	switch {
	case module.Kind == shim.Wasm:
		if module.Encoding != shim.ASCII || len(module.Imports) > 0 || len(module.Map)+len(module.Table) > 0 {
			return fmt.Errorf("%w: %q is WebAssembly with what only JavaScript has", ErrBundle, module.Name)
		}
	case !utf8.ValidString(module.Source):
		return fmt.Errorf("%w: %q is not UTF-8", ErrBundle, module.Name)
	case module.Encoding != encodingOf(module.Source):
		return fmt.Errorf("%w: the encoding of %q", ErrBundle, module.Name)
	case (len(module.Map) > 0) != (len(module.Table) > 0):
		return fmt.Errorf("%w: %q has half of a source map", ErrBundle, module.Name)
	case len(module.Table) > 0:
		if err := sourcemap.Check(module.Table); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrBundle, module.Name, err)
		}
	}
	return nil
}

// decodeModules reads a bundle whose sources have been looked at before. They become views of data.
func decodeModules(data []byte) ([]shim.Module, error) {
	reader := bundleReader{rest: data}
	magic := string(reader.take(len(bundleMagic)))
	if magic != bundleMagic && magic != bundleMagicOld {
		return nil, fmt.Errorf("%w: no header", ErrBundle)
	}
	count := reader.number(bundleModulesMax)
	if count == 0 {
		return nil, fmt.Errorf("%w: no modules", ErrBundle)
	}
	var modules []shim.Module
	var lengths []int
	var mapLengths [][2]int
	for range count {
		module := shim.Module{Name: reader.text()}
		var mapLength [2]int // of the JSON, of the table
		if magic == bundleMagic {
			module.Kind = shim.ModuleKind(reader.number(int(shim.Wasm)))
		}
		module.Encoding = shim.Encoding(reader.number(int(shim.UTF16)))
		lengths = append(lengths, reader.number(bundleBytesMax))
		if magic == bundleMagic {
			mapLength = [2]int{reader.number(bundleBytesMax), reader.number(bundleBytesMax)}
		}
		mapLengths = append(mapLengths, mapLength)
		for range reader.number(bundleModulesMax) {
			module.Imports = append(module.Imports, shim.Import{Name: reader.text(), Target: reader.number(count - 1)})
			if reader.failed {
				break
			}
		}
		if reader.failed {
			return nil, fmt.Errorf("%w: cut off, or with a number out of range", ErrBundle)
		}
		modules = append(modules, module)
	}
	for i := range modules {
		modules[i].Source = shim.StringView(reader.take(lengths[i]))
	}
	for i, length := range mapLengths {
		if length[0]+length[1] > 0 {
			modules[i].Map, modules[i].Table = reader.take(length[0]), reader.take(length[1])
		}
	}
	if reader.failed || len(reader.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes more than it says", ErrBundle, len(reader.rest))
	}
	return modules, nil
}

// bundleReader takes one thing after the other off an encoded bundle. After a failure it gives zeros.
type bundleReader struct {
	rest   []byte
	failed bool
}

func (r *bundleReader) take(length int) []byte {
	if r.failed || length > len(r.rest) {
		r.failed = true
		return nil
	}
	taken := r.rest[:length]
	r.rest = r.rest[length:]
	return taken
}

func (r *bundleReader) number(most int) int {
	bytes := r.take(4)
	if bytes == nil {
		return 0
	}
	number := binary.LittleEndian.Uint32(bytes)
	if uint64(number) > uint64(most) {
		r.failed = true
		return 0
	}
	return int(number)
}

// text copies: names must live for longer than the file that they come from.
func (r *bundleReader) text() string {
	text := string(r.take(r.number(bundleNameMax)))
	if !utf8.ValidString(text) {
		r.failed = true
	}
	return text
}

// encodingOf is the narrowest encoding of a source, which is valid UTF-8.
func encodingOf(source string) shim.Encoding {
	encoding := shim.ASCII
	for _, c := range source {
		if c > unicode.MaxLatin1 {
			return shim.UTF16
		}
		if c >= utf8.RuneSelf {
			encoding = shim.Latin1
		}
	}
	return encoding
}

// encodeText writes a source in its encoding; nil if V8 takes it as it is.
func encodeText(module *shim.Module) []byte {
	if len(module.Source) < shim.ExternalSourceMin || module.Encoding == shim.ASCII {
		return nil
	}
	text := make([]byte, 0, 2*len(module.Source))
	for _, c := range module.Source {
		if module.Encoding == shim.Latin1 {
			text = append(text, byte(c))
		} else if c > 0xffff {
			high, low := utf16.EncodeRune(c)
			text = binary.NativeEndian.AppendUint16(text, uint16(high))
			text = binary.NativeEndian.AppendUint16(text, uint16(low))
		} else {
			text = binary.NativeEndian.AppendUint16(text, uint16(c))
		}
	}
	return text
}

// encodeTexts writes the texts of the modules of a bundle that need one; nil: none does.
func encodeTexts(modules []shim.Module) []byte {
	texts := make([][]byte, len(modules))
	isNeeded := false
	for i := range modules {
		texts[i] = encodeText(&modules[i])
		isNeeded = isNeeded || texts[i] != nil
	}
	if !isNeeded {
		return nil
	}
	return encodeBlocks(texts)
}

// decodeTexts gives modules their texts, views of data.
func decodeTexts(data []byte, modules []shim.Module) error {
	texts := decodeBlocks(data, len(modules))
	for i := range modules {
		module := &modules[i]
		if len(module.Source) < shim.ExternalSourceMin || module.Encoding == shim.ASCII {
			continue
		}
		if texts[i] == nil {
			return fmt.Errorf("%w: no text of %q", ErrBundle, module.Name)
		}
		module.Text = texts[i]
	}
	return nil
}

// encodeBlocks writes blocks of bytes, each preceded by its length in eight bytes, and padded to a
// multiple of that: V8 copies a code cache that is not aligned.
func encodeBlocks(blocks [][]byte) []byte {
	var out []byte
	for _, block := range blocks {
		out = binary.LittleEndian.AppendUint64(out, uint64(len(block)))
		out = append(out, block...)
		out = append(out, make([]byte, -len(block)&7)...)
	}
	return out
}

// decodeBlocks reads `count` blocks as views of data, nil where one is empty or cut off.
func decodeBlocks(data []byte, count int) [][]byte {
	blocks := make([][]byte, count)
	for i := range blocks {
		if len(data) < 8 {
			break
		}
		length := binary.LittleEndian.Uint64(data)
		data = data[8:]
		padded := (length + 7) &^ 7
		if length > 2*bundleBytesMax || padded > uint64(len(data)) {
			break
		}
		if length > 0 {
			blocks[i] = data[:length]
		}
		data = data[padded:]
	}
	return blocks
}

// decodeCaches gives modules their code caches, views of data. One that is missing is no error:
// without, a module is compiled.
func decodeCaches(data []byte, modules []shim.Module) {
	for i, cache := range decodeBlocks(data, len(modules)) {
		modules[i].Cache = cache
	}
}
