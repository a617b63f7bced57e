package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var testKey = Key{V8: "13.6.1", V8Tag: 7, Architecture: "amd64", Flags: "--a", Ops: "ops", Sources: "js", Sealed: true}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	payload, err := Decode(Encode(testKey, []byte("blob")), testKey)
	if err != nil || string(payload) != "blob" {
		t.Fatalf("got %q, %v", payload, err)
	}
}

func TestDecodeNamesEveryMismatch(t *testing.T) {
	for what, change := range map[string]func(*Key){
		"V8 version":     func(k *Key) { k.V8 = "13.6.2" },
		"V8 version tag": func(k *Key) { k.V8Tag++ },
		"architecture":   func(k *Key) { k.Architecture = "arm64" },
		"V8 flags":       func(k *Key) { k.Flags = "--b" },
		"op table":       func(k *Key) { k.Ops = "other" },
		"boot scripts":   func(k *Key) { k.Sources = "other" },
		"read-only heap": func(k *Key) { k.Sealed = false },
	} {
		builder := testKey
		change(&builder)
		_, err := Decode(Encode(builder, []byte("blob")), testKey)
		var mismatch *MismatchError
		if !errors.As(err, &mismatch) || mismatch.What != what {
			t.Errorf("%s: got %v", what, err)
		}
		if builder.Hash() == testKey.Hash() {
			t.Errorf("%s: keys share a file name", what)
		}
	}
}

func TestDecodeRefusesEveryTruncationAndEveryFlippedByte(t *testing.T) {
	file := Encode(testKey, []byte("blob"))
	for length := range file {
		if _, err := Decode(file[:length], testKey); err == nil {
			t.Fatalf("accepted %d of %d bytes", length, len(file))
		}
	}
	for i := range file {
		damaged := append([]byte(nil), file...)
		damaged[i] ^= 0x40
		if _, err := Decode(damaged, testKey); err == nil {
			t.Fatalf("accepted a file with byte %d changed", i)
		}
	}
	if _, err := Decode(append(file, 0), testKey); err == nil {
		t.Fatal("accepted a file with a byte too many")
	}
}

func TestStoreRebuildsWhatItCannotTrust(t *testing.T) {
	store := Store{filepath.Join(t.TempDir(), "deep", "er")}
	builds := 0
	build := func() ([]byte, error) { builds++; return []byte("blob"), nil }
	load := func(wantBuilds int, wantNote string) {
		t.Helper()
		payload, note, err := store.LoadOrBuild(testKey, build)
		if err != nil || string(payload) != "blob" || builds != wantBuilds {
			t.Fatalf("got %q, %d builds, %v", payload, builds, err)
		}
		if (note == nil) != (wantNote == "") || note != nil && !strings.Contains(note.Error(), wantNote) {
			t.Fatalf("note %v, want %q", note, wantNote)
		}
	}
	load(1, "")
	load(1, "")
	if err := os.WriteFile(store.path(testKey), []byte("NANOSNAP garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	load(2, "damaged")
	load(2, "")
	if left, _ := filepath.Glob(filepath.Join(store.Folder, ".new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStoreServesWithoutAWritableFolder(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	store := Store{filepath.Join(blocker, "sub")}
	payload, note, err := store.LoadOrBuild(testKey, func() ([]byte, error) { return []byte("blob"), nil })
	if err != nil || string(payload) != "blob" || note == nil {
		t.Fatalf("got %q, note %v, %v", payload, note, err)
	}
}

func TestStoreReportsAFailedBuild(t *testing.T) {
	boom := errors.New("boom")
	store := Store{t.TempDir()}
	if _, _, err := store.LoadOrBuild(testKey, func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if _, err := store.Load(testKey); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a failed build left a file: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(testKey, []byte("blob")))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		payload, err := Decode(file, testKey)
		if err == nil && string(Encode(testKey, payload)) != string(file) {
			t.Fatalf("accepted a file that it would not write: %q", file)
		}
	})
}
