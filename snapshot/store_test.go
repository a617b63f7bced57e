package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func buildBlob() ([]Section, error) { return []Section{{"snapshot", []byte("blob")}}, nil }

// left lists what is in a folder beside what is named.
func left(t *testing.T, folder string, expected ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.Contains(strings.Join(expected, "\n"), entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestStoreRebuildsWhatItCannotTrust(t *testing.T) {
	store := Store{filepath.Join(t.TempDir(), "deep", "er")}
	builds := 0
	load := func(wantBuilds int, wantNote string) {
		t.Helper()
		file, note, err := store.LoadOrBuild(testKey, func() ([]Section, error) { builds++; return buildBlob() })
		if err != nil || string(file.Section("snapshot")) != "blob" || !file.isMapped || builds != wantBuilds {
			t.Fatalf("got %+v, %d builds, %v", file, builds, err)
		}
		if (note == nil) != (wantNote == "") || note != nil && !strings.Contains(note.Error(), wantNote) {
			t.Fatalf("note %v, want %q", note, wantNote)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if store.Has(testKey) {
		t.Error("an empty store has a file")
	}
	load(1, "")
	load(1, "")
	if !store.Has(testKey) {
		t.Error("what was saved is not there")
	}
	path := store.Path(testKey)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign := testKey
	foreign.V8 = "1.0"
	for i, bad := range []struct {
		content []byte
		note    string
	}{
		{[]byte(magic + " garbage"), "not a snapshot file"},
		{[]byte{}, "not a snapshot file"},
		{whole[:len(whole)-1], "damaged"},
		{Encode(foreign, testSections), "another V8 version"},
	} {
		if err := os.WriteFile(path, bad.content, 0o600); err != nil {
			t.Fatal(err)
		}
		load(2+i, bad.note)
		load(2+i, "")
	}
	flip(t, path)
	load(6, "checksum")
	if extra := left(t, store.Folder, path); len(extra) != 0 {
		t.Errorf("left behind: %v", extra)
	}
}

func TestStoreServesWithoutAWritableFolder(t *testing.T) {
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	store := Store{filepath.Join(blocker, "sub")}
	file, note, err := store.LoadOrBuild(testKey, buildBlob)
	if err != nil || string(file.Section("snapshot")) != "blob" || note == nil {
		t.Fatalf("got %+v, note %v, %v", file, note, err)
	}
}

func TestStoreReportsAFailedBuild(t *testing.T) {
	boom := errors.New("boom")
	store := Store{t.TempDir()}
	if _, _, err := store.LoadOrBuild(testKey, func() ([]Section, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if _, err := store.Load(testKey); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a failed build left a file: %v", err)
	}
}

// TestDiskFull: a write that fails half-way leaves what was there, and no temporary file. The limit
// of file sizes stands in for a full disk.
func TestDiskFull(t *testing.T) {
	path := writeTestFile(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	// Go ignores SIGXFSZ, so that the write fails with EFBIG.
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: pageSize, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	err := Write(path, testKey, []Section{{"large", make([]byte, 10*pageSize)}})
	if restoreErr := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if !errors.Is(err, unix.EFBIG) {
		t.Fatalf("got %v", err)
	}
	if extra := left(t, filepath.Dir(path), "app.nano"); len(extra) != 0 {
		t.Errorf("left behind: %v", extra)
	}
	file, err := Open(path)
	if err != nil || string(file.Section("snapshot")) != "blob" {
		t.Fatalf("what was there is gone: %v", err)
	}
	file.Close()
}

// TestWriteLeavesPermissionsToTheUmask: others may read what a user built, files of a store only its
// owner.
func TestWriteLeavesPermissionsToTheUmask(t *testing.T) {
	before := unix.Umask(0o027)
	defer unix.Umask(before)
	store := Store{t.TempDir()}
	if err := store.Save(testKey, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{writeTestFile(t): 0o640, store.Path(testKey): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestWritersAndReaders has many of both at once: every read is of a whole file.
func TestWritersAndReaders(t *testing.T) {
	store := Store{t.TempDir()}
	if err := store.Save(testKey, testSections); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 10 {
				if err := store.Save(testKey, testSections); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 40 {
				file, err := store.Load(testKey)
				if err != nil {
					t.Error(err)
					continue
				}
				file.Close()
			}
		})
	}
	group.Wait()
	if extra := left(t, store.Folder, store.Path(testKey)); len(extra) != 0 {
		t.Errorf("left behind: %v", extra)
	}
}

func TestSweep(t *testing.T) {
	store := Store{t.TempDir()}
	keys := map[string]Key{}
	for _, name := range []string{"used", "unused", "young", "touched"} {
		key := testKey
		key.App = name
		keys[name] = key
		if err := store.Save(key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".new-1-1", ".new-2-2", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(store.Folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, path := range []string{
		store.Path(keys["used"]), store.Path(keys["unused"]), store.Path(keys["touched"]),
		filepath.Join(store.Folder, ".new-1-1"), filepath.Join(store.Folder, "notes.txt"),
	} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Touch(keys["touched"]); err != nil {
		t.Fatal(err)
	}
	removed, err := store.Sweep(func(path string) bool { return path == store.Path(keys["used"]) }, time.Hour)
	if err != nil || removed != 2 {
		t.Errorf("%d removed, %v", removed, err)
	}
	if store.Has(keys["unused"]) || !store.Has(keys["used"]) || !store.Has(keys["young"]) || !store.Has(keys["touched"]) {
		t.Errorf("left: %v", left(t, store.Folder))
	}
	if got := len(left(t, store.Folder)); got != 5 { // and .new-2-2, notes.txt
		t.Errorf("left: %v", left(t, store.Folder))
	}
	if removed, err := (Store{filepath.Join(store.Folder, "none")}).Sweep(nil, 0); removed != 0 || err != nil {
		t.Errorf("no folder: %d, %v", removed, err)
	}
}
