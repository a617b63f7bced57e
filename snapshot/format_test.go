package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var testKey = Key{
	V8: "13.6.1", V8Tag: 7, Architecture: "amd64", Flags: "--a", Ops: "ops", Sources: "js", Sealed: true, Form: "linear", App: "app",
}

var testSections = []Section{
	{"bundle", []byte("export default {}")},
	{"empty", []byte{}},
	{"page", bytes.Repeat([]byte{7}, pageSize)},
	{"snapshot", []byte("blob")},
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	for _, sections := range [][]Section{testSections, testSections[:1], nil} {
		encoded := Encode(testKey, sections)
		file, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if file.Key() != testKey || file.Check(testKey) != nil {
			t.Errorf("key %+v, %v", file.Key(), file.Check(testKey))
		}
		if len(sections) != 0 && !reflect.DeepEqual(file.Sections(), sections) || len(file.Sections()) != len(sections) {
			t.Errorf("sections %q, want %q", file.Sections(), sections)
		}
		for _, section := range sections {
			got := file.Section(section.Name)
			if got == nil || !bytes.Equal(got, section.Data) {
				t.Errorf("section %s: %q", section.Name, got)
			}
		}
		if file.Section("none") != nil || file.Size() != int64(len(encoded)) {
			t.Errorf("a section that is not there: %q; size %d", file.Section("none"), file.Size())
		}
		file.Release() // nothing to release, nothing to harm
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSectionsBeginPages: V8 reads them where the file is mapped.
func TestSectionsBeginPages(t *testing.T) {
	encoded := Encode(testKey, testSections)
	for _, want := range []string{"export default", "blob"} {
		if at := bytes.Index(encoded, []byte(want)); at%pageSize != 0 {
			t.Errorf("%q lies at %d", want, at)
		}
	}
}

func TestCheckNamesEveryMismatch(t *testing.T) {
	for what, change := range map[string]func(*Key){
		"V8 version":     func(k *Key) { k.V8 = "13.6.2" },
		"V8 version tag": func(k *Key) { k.V8Tag++ },
		"architecture":   func(k *Key) { k.Architecture = "arm64" },
		"V8 flags":       func(k *Key) { k.Flags = "--b" },
		"op table":       func(k *Key) { k.Ops = "other" },
		"boot scripts":   func(k *Key) { k.Sources = "other" },
		"read-only heap": func(k *Key) { k.Sealed = false },
		"app":            func(k *Key) { k.App = "" },
	} {
		builder := testKey
		change(&builder)
		file, err := Decode(Encode(builder, testSections))
		if err != nil {
			t.Fatal(err)
		}
		var mismatch *MismatchError
		if err := file.Check(testKey); !errors.As(err, &mismatch) || mismatch.What != what || mismatch.Got == mismatch.Want {
			t.Errorf("%s: got %v", what, err)
		}
		if builder.Hash() == testKey.Hash() {
			t.Errorf("%s: keys share a file name", what)
		}
		if file.Key() != builder {
			t.Errorf("%s: key %+v, want %+v", what, file.Key(), builder)
		}
	}
}

// TestCheckOfOtherProperties reads files of versions whose keys name fewer or more.
func TestCheckOfOtherProperties(t *testing.T) {
	ours := testKey.pairs()
	for name, pairs := range map[string][]pair{
		"fewer":       ours[:3],
		"none":        nil,
		"more":        append(append([]pair{}, ours...), pair{"new", "1"}),
		"another":     append([]pair{{"new", "1"}}, ours...),
		"other order": {ours[1], ours[0]},
	} {
		file, err := Decode(encode(pairs, testSections))
		if err != nil {
			t.Fatal(err)
		}
		var mismatch *MismatchError
		if err := file.Check(testKey); !errors.As(err, &mismatch) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDecodeRefusesEveryTruncationAndEveryFlippedBit(t *testing.T) {
	encoded := Encode(testKey, testSections)
	refused := func(data []byte, what string, at int) {
		t.Helper()
		var format *FormatError
		if file, err := Decode(data); err == nil || file != nil || !errors.As(err, &format) {
			t.Fatalf("%s %d: %v, %v", what, at, file, err)
		}
	}
	for length := range encoded {
		refused(encoded[:length:length], "cut at", length)
	}
	damaged := append([]byte(nil), encoded...)
	for i := range encoded {
		for bit := range 8 {
			damaged[i] ^= 1 << bit
			refused(damaged, "flipped in byte", i)
			damaged[i] ^= 1 << bit
		}
	}
	refused(append(damaged, 0), "a byte too many after", len(damaged))
	refused(append(damaged, encoded...), "twice", 2)
}

// TestDecodeRefusesLies has headers that are wrong, under a checksum that is right.
func TestDecodeRefusesLies(t *testing.T) {
	whole := Encode(testKey, testSections)
	keyLength := int(binary.LittleEndian.Uint32(whole[16:]))
	table := headerLength + keyLength
	put32 := func(at int, value uint32) func([]byte) {
		return func(file []byte) { binary.LittleEndian.PutUint32(file[at:], value) }
	}
	put64 := func(at int, value uint64) func([]byte) {
		return func(file []byte) { binary.LittleEndian.PutUint64(file[at:], value) }
	}
	const firstOffset, firstLength = 4 + 6, 4 + 6 + 8 // after "bundle"
	for name, lie := range map[string]func([]byte){
		"older format":          put32(8, 1),
		"newer format":          put32(8, formatVersion+1),
		"fewer sections":        put32(12, 3),
		"more sections":         put32(12, 5),
		"far too many sections": put32(12, 1<<31),
		"key too long":          put32(16, 1<<32-1),
		"key longer":            put32(16, uint32(keyLength+1)),
		"table too long":        put32(20, 1<<32-1),
		"length 0":              put64(24, 0),
		"length huge":           put64(24, 1<<63),
		"key text too long":     put32(headerLength, 1<<32-1),
		"name too long":         put32(table, 1<<32-1),
		"name empty":            put32(table, 0),
		"offset in the header":  put64(table+firstOffset, 0),
		"offset not aligned":    put64(table+firstOffset, pageSize+8),
		"offset beyond the end": put64(table+firstOffset, 1<<62),
		"offset overflows":      put64(table+firstOffset, 1<<64-pageSize),
		"section too long":      put64(table+firstLength, uint64(len(whole))),
		"section overflows":     put64(table+firstLength, 1<<64-1),
		"section shorter":       put64(table+firstLength, 1), // what follows is not zero
		"padding not zero":      func(file []byte) { file[pageSize-1] = 1 },
		"two of a name": func(file []byte) {
			copy(file[bytes.Index(file, []byte("empty")):], "snaps")
			copy(file[bytes.LastIndex(file[:pageSize], []byte("snapshot"))-4:], "\x05\x00\x00\x00snaps")
		},
	} {
		file := append([]byte(nil), whole...)
		lie(file)
		sum := checksum(file)
		copy(file[sumOffset:], sum[:])
		var format *FormatError
		if _, err := Decode(file); !errors.As(err, &format) || strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncodeRefusesNames(t *testing.T) {
	for name, sections := range map[string][]Section{
		"empty":    {{"", nil}},
		"long":     {{strings.Repeat("x", nameLengthMax+1), nil}},
		"twice":    {{"a", nil}, {"a", nil}},
		"too many": make([]Section, sectionsMax+1),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: taken", name)
				}
			}()
			Encode(testKey, sections)
		}()
	}
}

func TestFormatErrorNamesItsFile(t *testing.T) {
	if got := (&FormatError{"a.nano", "damaged"}).Error(); got != "a.nano: damaged" {
		t.Error(got)
	}
	if got := malformed("damaged").Error(); got != "damaged" {
		t.Error(got)
	}
}

// FuzzDecode changes files under a checksum that is put right: whatever is accepted is a file that
// Encode would write.
func FuzzDecode(f *testing.F) {
	f.Add(Encode(testKey, testSections))
	f.Add(Encode(Key{}, nil))
	f.Add(Encode(testKey, []Section{{"a", []byte("b")}}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= headerLength {
			sum := checksum(data)
			copy(data[sumOffset:], sum[:])
		}
		file, err := Decode(data)
		if err == nil && !bytes.Equal(encode(file.content.pairs, file.Sections()), data) {
			t.Fatalf("accepted a file that it would not write: %q", data)
		}
	})
}
