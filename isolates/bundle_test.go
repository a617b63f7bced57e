package isolates

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"nano/isolates/shim"
)

var testBundle = &Bundle{[]shim.Module{
	{Name: "main.js", Source: "import './b.js'; import './c.js'", Encoding: shim.ASCII,
		Imports: []shim.Import{{Name: "./b.js", Target: 1}, {Name: "./c.js", Target: 2}}},
	{Name: "b.js", Source: "'é'", Encoding: shim.Latin1},
	{Name: "d.js", Source: "'é日😀'", Encoding: shim.UTF16},
	{Name: "c.js", Source: "", Encoding: shim.ASCII, Imports: []shim.Import{{Name: "./main.js", Target: 0}}},
}}

func TestBundleComesBack(t *testing.T) {
	got, err := DecodeBundle(testBundle.Encode())
	if err != nil || !reflect.DeepEqual(got, testBundle) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got.Hash() != testBundle.Hash() {
		t.Error("another hash")
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
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := DecodeBundle(data)
		if err == nil && !bytes.Equal(bundle.Encode(), data) {
			t.Fatalf("accepted what it would not write: %q", data)
		}
	})
}

func FuzzDecodeCaches(f *testing.F) {
	f.Add(encodeBlocks([][]byte{[]byte("12345678"), nil, []byte("123")}))
	f.Fuzz(func(t *testing.T, data []byte) { decodeCaches(data, make([]shim.Module, 5)) })
}
