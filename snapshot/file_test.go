package snapshot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// trustTimes lets files of this very moment be remembered as verified.
func trustTimes(t *testing.T) {
	before := timeGranularity
	timeGranularity = -time.Hour
	t.Cleanup(func() { timeGranularity = before })
}

func writeTestFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.nano")
	if err := Write(path, testKey, testSections); err != nil {
		t.Fatal(err)
	}
	return path
}

// flip changes the last byte of a file in place, which no one may do to a file that is in use.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	path := writeTestFile(t)
	file, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, section := range testSections {
			if got := file.Section(section.Name); !bytes.Equal(got, section.Data) {
				t.Errorf("section %s: %q", section.Name, got)
			}
		}
		file.Release() // what was released is read again
	}
	if err := file.Check(testKey); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if file.Section("bundle") != nil {
		t.Error("a closed file has sections")
	}
}

func TestInMemory(t *testing.T) {
	memory, err := InMemory(Encode(testKey, testSections))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		file, err := OpenFile(memory)
		if err != nil || !file.isMapped || string(file.Section("snapshot")) != "blob" {
			t.Fatalf("%+v, %v", file, err)
		}
		file.Release()
		if string(file.Section("snapshot")) != "blob" {
			t.Error("what was released is gone")
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	memory.Close()
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string][]byte{
		"empty": {}, "short": []byte(magic), "text": bytes.Repeat([]byte("export default {}\n"), 100),
		"cut": Encode(testKey, testSections)[:pageSize+100],
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var format *FormatError
		if _, err := Open(path); !errors.As(err, &format) || format.Path != path {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(folder); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestReplacedWhileMapped: a mapping shows the file that was opened, whatever replaces or removes it.
func TestReplacedWhileMapped(t *testing.T) {
	path := writeTestFile(t)
	file, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := Write(path, testKey, []Section{{"other", []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	file.Release()
	if got := file.Section("snapshot"); string(got) != "blob" {
		t.Errorf("after a new file came: %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	file.Release()
	if got := file.Section("snapshot"); string(got) != "blob" {
		t.Errorf("after the file went: %q", got)
	}
}

// TestVerifiedOnce: the checksum of a file is computed once, that of a changed one again.
func TestVerifiedOnce(t *testing.T) {
	trustTimes(t)
	path := writeTestFile(t)
	open := func() error {
		file, err := Open(path)
		if err != nil {
			return err
		}
		return file.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	remembered := func() (found identity) {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if found, err = identify(file); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !verified.has(remembered()) {
		t.Fatal("a verified file is not remembered")
	}
	flip(t, path)
	if verified.has(remembered()) {
		t.Fatal("a changed file counts as verified")
	}
	if err := open(); err == nil {
		t.Fatal("a damaged file was opened")
	}
	// What is remembered is not verified again: a damaged file passes when its identity is forged.
	verified.add(remembered(), time.Now())
	if err := open(); err != nil {
		t.Fatalf("verified twice: %v", err)
	}
	if err := Write(path, testKey, testSections); err != nil {
		t.Fatal(err)
	}
	if verified.has(remembered()) {
		t.Fatal("a new file counts as verified")
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
}

// TestYoungFilesAreVerifiedAgain: a change within one step of the file system's clock goes unseen.
func TestYoungFilesAreVerifiedAgain(t *testing.T) {
	file := identity{inode: inode{1, 2}}
	now := time.Now()
	file.metadataChanged.Sec, file.metadataChanged.Nsec = now.Unix(), int64(now.Nanosecond())
	verified.add(file, now.Add(timeGranularity/2))
	if verified.has(file) {
		t.Error("a file that was just written is trusted")
	}
	verified.add(file, now.Add(timeGranularity))
	if !verified.has(file) {
		t.Error("a file that is old enough is not trusted")
	}
}

func TestOpenFromManyGoroutines(t *testing.T) {
	path := writeTestFile(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				file, err := Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if string(file.Section("snapshot")) != "blob" {
					t.Error("wrong content")
				}
				file.Release()
				if err := file.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// TestVerifiedFilesAreBounded: on file systems that never give an inode's number to another file, too.
func TestVerifiedFilesAreBounded(t *testing.T) {
	v := verifiedFiles{files: map[inode]identity{}}
	for i := range uint64(verifiedMax + 100) {
		file := identity{inode: inode{1, i}}
		v.add(file, time.Now())
		if !v.has(file) {
			t.Fatalf("file %d is not remembered", i)
		}
	}
	if len(v.files) != verifiedMax {
		t.Errorf("%d files are remembered, want %d", len(v.files), verifiedMax)
	}
}
