package isolates

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"nano/isolates/shim"
)

// Bundle is what an app consists of: its modules, parsed once and linked by index, the main one
// first. It is not changed once made, and may be shared.
type Bundle struct{ modules []shim.Module }

// Files are the paths of the modules, the main one first, as they appear in stack traces.
func (b *Bundle) Files() []string {
	names := make([]string, len(b.modules))
	for i, module := range b.modules {
		names[i] = module.Name
	}
	return names
}

// Size is the length of all sources in bytes.
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
	bundleMagic      = "NANOBND1"
	bundleModulesMax = 1 << 16
	bundleNameMax    = 1 << 12
	bundleBytesMax   = 1 << 29 // V8's longest string, about
)

// flagASCII of an encoded module: all bytes of its source are below 128.
const flagASCII = 1

// Encode writes the bundle. Integers are little-endian, 32 bits wide:
//
//	magic (8) · number of modules ·
//	for each module: name · flags · length of the source · number of imports ·
//	  for each import: specifier · index of the module ·
//	the sources
//
// with the length of a text before it. All that is needed to link lies before the sources, so that
// whoever restores the app from a snapshot does not touch the pages of these.
func (b *Bundle) Encode() []byte {
	out := append(make([]byte, 0, 1024+b.Size()), bundleMagic...)
	number := func(n int) { out = binary.LittleEndian.AppendUint32(out, uint32(n)) }
	text := func(s string) { number(len(s)); out = append(out, s...) }
	number(len(b.modules))
	for _, module := range b.modules {
		text(module.Name)
		number(map[bool]int{true: flagASCII}[module.ASCII])
		number(len(module.Source))
		number(len(module.Imports))
		for _, imported := range module.Imports {
			text(imported.Name)
			number(imported.Target)
		}
	}
	for _, module := range b.modules {
		out = append(out, module.Source...)
	}
	return out
}

// ErrBundle is wrapped by the errors of DecodeBundle.
var ErrBundle = errors.New("malformed bundle")

// DecodeBundle reads what Encode wrote. It accepts nothing else, and copies what it keeps.
func DecodeBundle(data []byte) (*Bundle, error) {
	modules, err := decodeModules(data)
	if err != nil {
		return nil, err
	}
	for i := range modules {
		module := &modules[i]
		if module.ASCII != isASCII(module.Source) {
			return nil, fmt.Errorf("%w: the flags of %q", ErrBundle, module.Name)
		}
		if !utf8.ValidString(module.Source) {
			return nil, fmt.Errorf("%w: %q is not UTF-8", ErrBundle, module.Name)
		}
		module.Source = strings.Clone(module.Source)
	}
	return &Bundle{modules}, nil
}

// decodeModules reads a bundle whose sources have been looked at before. They become views of data.
func decodeModules(data []byte) ([]shim.Module, error) {
	reader := bundleReader{rest: data}
	if string(reader.take(len(bundleMagic))) != bundleMagic {
		return nil, fmt.Errorf("%w: no header", ErrBundle)
	}
	count := reader.number(bundleModulesMax)
	if count == 0 {
		return nil, fmt.Errorf("%w: no modules", ErrBundle)
	}
	var modules []shim.Module
	var lengths []int
	for range count {
		module := shim.Module{Name: reader.text()}
		module.ASCII = reader.number(flagASCII) != 0
		lengths = append(lengths, reader.number(bundleBytesMax))
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

func isASCII(text string) bool {
	return !slices.ContainsFunc([]byte(text), func(c byte) bool { return c >= utf8.RuneSelf })
}

// encodeCaches writes the code caches of the modules of a bundle, each preceded by its length in
// eight bytes, and padded to a multiple of that: V8 copies what is not aligned.
func encodeCaches(caches [][]byte) []byte {
	var out []byte
	for _, cache := range caches {
		out = binary.LittleEndian.AppendUint64(out, uint64(len(cache)))
		out = append(out, cache...)
		out = append(out, make([]byte, -len(cache)&7)...)
	}
	return out
}

// decodeCaches gives modules their caches, views of data. What does not fit is left out: without its
// cache, a module is compiled.
func decodeCaches(data []byte, modules []shim.Module) {
	for i := range modules {
		if len(data) < 8 {
			return
		}
		length := binary.LittleEndian.Uint64(data)
		data = data[8:]
		padded := (length + 7) &^ 7
		if length > bundleBytesMax || padded > uint64(len(data)) {
			return
		}
		if length > 0 {
			modules[i].Cache = data[:length]
		}
		data = data[padded:]
	}
}
