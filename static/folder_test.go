package static

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Folder {
	t.Helper()
	folder, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	return folder
}

// find expects no error.
func find(t testing.TB, folder *Folder, path string, last *File) Found {
	t.Helper()
	found, err := folder.Find(path, last, 0)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return found
}

// TestFindOnlyRegularFiles: whatever else lies in a folder is neither served nor waited for.
func TestFindOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	write(t, dir+"/odd/index.html/x", "a folder of that name")
	if err := unix.Mkfifo(dir+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: dir + "/socket"}); err != nil {
		t.Fatal(err)
	}
	folder := open(t, dir)
	for _, path := range []string{"fifo", "socket", "odd/", "odd", "odd/index.html", "none", "file/", "file/x", "/", ""} {
		if found := find(t, folder, path, nil); found.File != nil || found.IsFolder {
			t.Errorf("%q: %+v", path, found)
		}
	}
	if find(t, folder, "file", nil).File == nil {
		t.Error("the file was not found")
	}
}

func TestFindKeepsWhatHasNotChanged(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/file.txt"
	write(t, name, "one")
	write(t, name+".gz", "one as gzip")
	long := time.Now().Add(-time.Hour)
	age := func(name string) {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	age(name)
	folder := open(t, dir)
	time.Sleep(2 * time.Duration(newTime)) // a file that was just changed is read again
	first := find(t, folder, "file.txt", nil).File
	if again := find(t, folder, "file.txt", first).File; again != first {
		t.Error("the same state gives another file")
	}
	if first.Variants[Gzip] == nil || first.Variants[Brotli] != nil {
		t.Fatalf("siblings %v", first.Variants)
	}
	// The sibling alone changes.
	write(t, name+".gz", "ONE AS GZIP")
	second := find(t, folder, "file.txt", first).File
	if second == first || second.Variants[Identity] != first.Variants[Identity] || string(second.Variants[Gzip].Content) != "ONE AS GZIP" {
		t.Error("a change of the sibling")
	}
	if string(first.Variants[Gzip].Content) != "one as gzip" {
		t.Error("a file has changed that was found before")
	}
	// The file changes, and the sibling is of its earlier state.
	age(name + ".gz")
	write(t, name, "two")
	third := find(t, folder, "file.txt", second).File
	if third.Variants[Gzip] != nil || string(third.Variants[Identity].Content) != "two" {
		t.Error("a sibling that is older than the file is used")
	}
	if strings.Contains(string(third.lines[Identity]), "vary") {
		t.Error("vary, but there is nothing to choose from")
	}
}

// TestFindReadsAgainWhatIsNew: two changes may leave the same times.
func TestFindReadsAgainWhatIsNew(t *testing.T) {
	dir := t.TempDir()
	folder := open(t, dir)
	name := dir + "/file"
	var last *File
	for i := range 200 { // as fast as that goes, in place: the kernel's clock stands in between
		content := fmt.Sprintf("%03d", i)
		write(t, name, content)
		last = find(t, folder, "file", last).File
		if got := string(last.Variants[Identity].Content); got != content {
			t.Fatalf("%s instead of %s", got, content)
		}
	}
}

// TestFindDuringChanges: files that are replaced, and links that are turned about while they are looked for.
func TestFindDuringChanges(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside+"/secret", "SECRET")
	write(t, outside+"/folder/file", "SECRET")
	write(t, dir+"/inside/file", "inside")
	content := func(i int) string { return strings.Repeat(fmt.Sprintf("%d", i%10), 50_000+i%7) }
	write(t, dir+"/file", content(0))
	folder := open(t, dir)
	stop := make(chan struct{})
	var changing sync.WaitGroup
	change := func(do func(i int) error) {
		changing.Add(1)
		go func() {
			defer changing.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(i); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	change(func(i int) error {
		if err := os.WriteFile(dir+"/file~", []byte(content(i)), 0o644); err != nil {
			return err
		}
		return os.Rename(dir+"/file~", dir+"/file")
	})
	change(func(i int) error {
		target := []string{outside + "/folder", "inside", "../" + filepath.Base(outside) + "/folder"}[i%3]
		if err := os.Symlink(target, dir+"/link~"); err != nil {
			return err
		}
		return os.Rename(dir+"/link~", dir+"/link")
	})
	var last *File
	inside := 0
	for range 1500 {
		found, err := folder.Find("file", last, 0)
		if err != nil {
			t.Fatal(err)
		}
		last = found.File
		got := last.Variants[Identity].Content
		if strings.Trim(string(got), string(got[:1])) != "" || int64(len(got)) != last.Variants[Identity].Size {
			t.Fatal("a mix of two states")
		}
		if found, err = folder.Find("link/file", nil, 0); err != nil {
			t.Fatal(err)
		}
		if found.File != nil {
			if string(found.File.Variants[Identity].Content) != "inside" {
				t.Fatal("a link led out of the folder")
			}
			inside++
		}
	}
	close(stop)
	changing.Wait()
	if inside == 0 {
		t.Error("the link inside of the folder was never followed")
	}
}

// TestLargeFilesAreClosed: the descriptor of a large file lives as long as its last user.
func TestLargeFilesAreClosed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/large", strings.Repeat("x", InMemoryMax+1))
	write(t, dir+"/limit", strings.Repeat("x", InMemoryMax))
	folder := open(t, dir)
	if v := find(t, folder, "limit", nil).File.Variants[Identity]; len(v.Content) != InMemoryMax {
		t.Error("a file of the very limit is not in memory")
	}
	first := find(t, folder, "large", nil).File
	v := first.Variants[Identity]
	if v.Content != nil || first.Descriptors() != 1 {
		t.Fatalf("%d descriptors", first.Descriptors())
	}
	use := v.Use()
	if use.IsChanged() {
		t.Error("it has not changed")
	}
	if again := find(t, folder, "large", first).File; again != first {
		t.Fatal("the same state gives another file")
	}
	// Deleted files, and those whose links change, can be read to their end.
	if err := os.Rename(dir+"/large", dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	if use.IsChanged() {
		t.Error("a new name counts as a change")
	}
	first.GiveUp(nil)
	isOpen := func() bool {
		_, err := unix.FcntlInt(uintptr(use.FD()), unix.F_GETFD, 0)
		return err == nil
	}
	if !isOpen() {
		t.Error("closed while in use")
	}
	if err := os.WriteFile(dir+"/moved", []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !use.IsChanged() {
		t.Error("the change was not seen")
	}
	use.Leave()
	if isOpen() {
		t.Error("open after its last use")
	}
	if v.Use() != nil {
		t.Error("a file that is closed can be used")
	}
}

// TestLargeFilesAskedForAgain: they are kept in memory as the same representation, if they are not too large for that.
func TestLargeFilesAskedForAgain(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789abcdef", InMemoryMax/16) + "x"
	write(t, dir+"/large", content)
	folder := open(t, dir)
	look := func(last *File, memory int64) *File {
		t.Helper()
		found, err := folder.Find("large", last, memory)
		if err != nil {
			t.Fatal(err)
		}
		return found.File
	}
	first := look(nil, InMemoryMax+1)
	if again := look(first, InMemoryMax); again != first || first.Descriptors() != 1 {
		t.Error("it is larger than what may be kept, and not the same file any more")
	}
	second := look(first, InMemoryMax+1)
	v := second.Variants[Identity]
	if string(v.Content) != content || second.Descriptors() != 0 || second.Memory() < int64(len(content)) {
		t.Fatalf("%d bytes in memory, %d descriptors", len(v.Content), second.Descriptors())
	}
	if v.ETag != first.Variants[Identity].ETag {
		t.Errorf("its tag was %s and is %s", first.Variants[Identity].ETag, v.ETag)
	}
	first.GiveUp(second)
	if first.Variants[Identity].Use() != nil {
		t.Error("the descriptor is still open")
	}
	for v.isNew || v.Content == nil { // it was written so shortly before that it is read once more
		next := look(second, InMemoryMax+1)
		second.GiveUp(next)
		second, v = next, next.Variants[Identity]
	}
	if next := look(second, InMemoryMax+1); next != second {
		t.Error("the same state gives another file")
	}
	write(t, dir+"/large", content+"y")
	changed := look(second, InMemoryMax+2)
	if changed.Descriptors() != 1 {
		t.Error("what has changed was asked for only once")
	}
	changed.GiveUp(nil)
}

func TestFolderComesAndGoes(t *testing.T) {
	parent := t.TempDir()
	dir := parent + "/site"
	if _, err := Open(dir); err == nil {
		t.Error("a folder that is not there was opened")
	}
	write(t, parent+"/file", "x")
	if _, err := Open(parent + "/file"); err == nil {
		t.Error("a file was opened as a folder")
	}
	write(t, dir+"/a", "one")
	folder := open(t, dir)
	if err := os.Rename(dir, parent+"/old"); err != nil {
		t.Fatal(err)
	}
	if found := find(t, folder, "a", nil); found.File != nil {
		t.Error("found in a folder that has gone")
	}
	write(t, dir+"/a", "two")
	if found := find(t, folder, "a", nil); found.File == nil || string(found.File.Variants[Identity].Content) != "two" {
		t.Errorf("in the folder that took its place: %+v", found)
	}
}

func TestTypeOf(t *testing.T) {
	for name, want := range map[string]string{
		"a/b.HTML": "text/html; charset=utf-8", "x.js": "text/javascript; charset=utf-8", "x.tar.gz": "application/gzip",
		"x.svg": "image/svg+xml", "LICENSE": "application/octet-stream", "x.woff2": "font/woff2", "x.": "application/octet-stream",
		"x.unknown-ending": "application/octet-stream", "x.wasm": "application/wasm",
	} {
		if got := typeOf(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestClosedFolder: a search after Close opens nothing that nobody would close.
func TestClosedFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	folder := open(t, dir)
	find(t, folder, "file", nil)
	folder.Close()
	if found, err := folder.Find("file", nil, 0); found.File != nil || err == nil || folder.root != nil {
		t.Errorf("%+v, %v", found, err)
	}
	folder.Close()
}
