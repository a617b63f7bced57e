package isolates

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"nano/isolates/shim"
	"nano/sourcemap"
)

var testBundle = &Bundle{[]shim.Module{
	{Name: "main.js", Source: "import './b.js'; import './c.js'; import './e.wasm'", Encoding: shim.ASCII, Map: []byte(`{"version":3}`), Table: tableOf("AAAA"),
		Imports: []shim.Import{{Name: "./b.js", Target: 1}, {Name: "./c.js", Target: 2}, {Name: "./e.wasm", Target: 4}}},
	{Name: "b.js", Source: "'é'", Encoding: shim.Latin1},
	{Name: "d.js", Source: "'é日😀'", Encoding: shim.UTF16},
	{Name: "c.js", Source: "", Encoding: shim.ASCII, Imports: []shim.Import{{Name: "./main.js", Target: 0}}},
	{Name: "e.wasm", Kind: shim.Wasm, Source: "\x00asm\x01\x00\x00\x00\xff"},
}}

// mapOf is a source map with mappings, and tableOf its table.
func mapOf(mappings string) string {
	return `{"version":3,"sources":["a.ts"],"mappings":"` + mappings + `"}`
}

func tableOf(mappings string) []byte {
	table, err := sourcemap.Parse([]byte(mapOf(mappings)))
	if err != nil {
		panic(err)
	}
	return table
}

// oldBundle is main.js, which imports itself, as the version before kinds and source maps wrote it.
const oldBundle = bundleMagicOld + "\x01\x00\x00\x00" +
	"\x07\x00\x00\x00main.js" + "\x01\x00\x00\x00" + "\x04\x00\x00\x00" + "\x01\x00\x00\x00" +
	"\x02\x00\x00\x00./" + "\x00\x00\x00\x00" + "'é'"

func TestBundleComesBack(t *testing.T) {
	got, err := DecodeBundle(testBundle.Encode())
	if err != nil || !reflect.DeepEqual(got, testBundle) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got.Hash() != testBundle.Hash() {
		t.Error("another hash")
	}
}

func TestDecodeBundleReadsOldOnes(t *testing.T) {
	got, err := DecodeBundle([]byte(oldBundle))
	want := &Bundle{[]shim.Module{{Name: "main.js", Source: "'é'", Encoding: shim.Latin1, Imports: []shim.Import{{Name: "./", Target: 0}}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestNewBundle(t *testing.T) {
	modules := []Module{
		{Name: "main.js", Source: []byte("'é'\xff"), Map: []byte(mapOf("AAAA")), Imports: []Import{{"./e.wasm", 1}, {"cloudflare:sockets", -1}, {"nano:sockets", -1}}},
		{Name: "e.wasm", Kind: ModuleWasm, Source: []byte("\x00asm\x01\x00\x00\x00\xff")},
	}
	bundle, err := NewBundle(modules)
	if err != nil {
		t.Fatal(err)
	}
	want := []shim.Module{
		{Name: "main.js", Source: "'é'\ufffd", Encoding: shim.UTF16, Map: []byte(mapOf("AAAA")), Table: tableOf("AAAA"),
			Imports: []shim.Import{{Name: "./e.wasm", Target: 1}, {Name: "cloudflare:sockets", Target: 2}, {Name: "nano:sockets", Target: 2}}},
		{Name: "e.wasm", Kind: shim.Wasm, Source: "\x00asm\x01\x00\x00\x00\xff"},
		{Name: "nano:sockets", Source: moduleSources["nano:sockets"], Encoding: shim.ASCII},
	}
	if !reflect.DeepEqual(bundle.modules, want) {
		t.Errorf("got %+v", bundle.modules)
	}
	if got, err := DecodeBundle(bundle.Encode()); err != nil || !reflect.DeepEqual(got, bundle) {
		t.Errorf("came back as %+v, %v", got, err)
	}
	for what, wrong := range map[string][]Module{
		"nothing":            nil,
		"an unknown module":  {{Name: "a.js", Imports: []Import{{"nano:nothing", -1}}}},
		"beyond the list":    {{Name: "a.js", Imports: []Import{{"./b.js", 1}}}},
		"a map of wasm":      {{Name: "a.wasm", Kind: ModuleWasm, Map: []byte("{}")}},
		"an unknown kind":    {{Name: "a.wasm", Kind: ModuleWasm + 1}},
		"a name of no UTF-8": {{Name: "\xff"}},
	} {
		if _, err := NewBundle(wrong); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDecodeBundleRefusesTruncations(t *testing.T) {
	encoded := testBundle.Encode()
	for length := range encoded {
		if _, err := DecodeBundle(encoded[:length]); !errors.Is(err, ErrBundle) {
			t.Fatalf("%d of %d bytes: %v", length, len(encoded), err)
		}
	}
	if _, err := DecodeBundle(append(encoded, 0)); !errors.Is(err, ErrBundle) {
		t.Fatalf("a byte too many: %v", err)
	}
}

func TestCachesComeBack(t *testing.T) {
	caches := [][]byte{[]byte("12345678"), nil, []byte("123")}
	encoded := encodeBlocks(caches)
	modules := make([]shim.Module, 3)
	decodeCaches(encoded, modules)
	for i, cache := range caches {
		if !bytes.Equal(modules[i].Cache, cache) {
			t.Errorf("cache %d: %q", i, modules[i].Cache)
		}
	}
	for length := range encoded {
		decodeCaches(encoded[:length], make([]shim.Module, 4)) // must not panic
	}
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(testBundle.Encode())
	f.Add([]byte(bundleMagic))
	f.Add([]byte(oldBundle))
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := DecodeBundle(data)
		if err == nil && bytes.HasPrefix(data, []byte(bundleMagicOld)) {
			if again, err := DecodeBundle(bundle.Encode()); err != nil || !reflect.DeepEqual(again, bundle) {
				t.Fatalf("came back as %+v, %v", again, err)
			}
		} else if err == nil && !bytes.Equal(bundle.Encode(), data) {
			t.Fatalf("accepted what it would not write: %q", data)
		}
	})
}

func FuzzDecodeCaches(f *testing.F) {
	f.Add(encodeBlocks([][]byte{[]byte("12345678"), nil, []byte("123")}))
	f.Fuzz(func(t *testing.T, data []byte) { decodeCaches(data, make([]shim.Module, 5)) })
}
