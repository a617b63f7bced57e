package dev

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// patience is how long a change may take to be told on a busy machine.
const patience = 20 * time.Second

// watching is a watcher of files in a folder.
type watching struct {
	*watcher
	t      *testing.T
	folder string
	log    strings.Builder
}

func newWatching(t *testing.T) *watching {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{t: t, folder: folder}
	w.watcher = newWatcher(slog.New(slog.NewTextHandler(&w.log, nil)))
	t.Cleanup(w.close)
	return w
}

func (w *watching) path(name string) string { return filepath.Join(w.folder, name) }

func (w *watching) wants(names ...string) {
	var paths []string
	for _, name := range names {
		paths = append(paths, w.path(name))
	}
	w.watch(paths, nil, time.Time{})
}

func (w *watching) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watching) save(name, text string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o700))
	w.must(os.WriteFile(w.path(name), []byte(text), 0o600))
}

// next waits for a change.
func (w *watching) next() change {
	w.t.Helper()
	select {
	case c := <-w.changes:
		return c
	case <-time.After(patience):
		w.t.Fatal("nothing is told")
	}
	return change{}
}

// tells waits until changes of all these are told, and wants none of others told.
func (w *watching) tells(names ...string) {
	w.t.Helper()
	var told []string
	for {
		told = append(told, w.next().paths...)
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(told, w.path(name)) })
		if len(missing) == 0 {
			break
		}
	}
	for _, path := range told {
		if !slices.ContainsFunc(names, func(name string) bool { return w.path(name) == path }) {
			w.t.Errorf("%s is told, too", path)
		}
	}
}

// TestWatchSaves saves in the ways that editors have.
func TestWatchSaves(t *testing.T) {
	for what, save := range map[string]func(w *watching){
		"written over":        func(w *watching) { w.save("a.js", "new") },
		"another renamed":     func(w *watching) { w.save("a.js~", "new"); w.must(os.Rename(w.path("a.js~"), w.path("a.js"))) },
		"kept, then written":  func(w *watching) { w.must(os.Rename(w.path("a.js"), w.path("a.bak"))); w.save("a.js", "new") },
		"removed and written": func(w *watching) { w.must(os.Remove(w.path("a.js"))); w.save("a.js", "new") },
		"emptied":             func(w *watching) { w.must(os.Truncate(w.path("a.js"), 0)) },
		"removed":             func(w *watching) { w.must(os.Remove(w.path("a.js"))) },
		"not readable":        func(w *watching) { w.must(os.Chmod(w.path("a.js"), 0)) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWatching(t)
			w.save("a.js", "old")
			w.wants("a.js")
			w.save("other.js", "of no interest")
			save(w)
			w.tells("a.js")
			w.save("a.js.new", "again")
			w.must(os.Rename(w.path("a.js.new"), w.path("a.js")))
			w.tells("a.js")
		})
	}
}

// TestWatchFolder: of a folder it matters which names there are in it.
func TestWatchFolder(t *testing.T) {
	w := newWatching(t)
	w.save("src/a.js", "old")
	w.wants("src")
	w.save("src/a.js", "what is in the file is not of the folder")
	w.save("src/b.js", "new")
	w.tells("src")
	w.must(os.Remove(w.path("src/b.js")))
	w.tells("src")
}

// TestWatchMissing: what is not there yet is told when it comes, in whatever steps.
func TestWatchMissing(t *testing.T) {
	w := newWatching(t)
	w.wants("a/b/c.js")
	w.must(os.Mkdir(w.path("a"), 0o700))
	w.tells("a/b/c.js")
	w.must(os.Mkdir(w.path("a/b"), 0o700))
	w.tells("a/b/c.js")
	w.save("a/b/c.js", "it is there")
	w.tells("a/b/c.js")
	w.save("a/b/c.js", "and changes")
	w.tells("a/b/c.js")
}

// TestWatchLinks: the links that lead to a file matter, and the file does.
func TestWatchLinks(t *testing.T) {
	w := newWatching(t)
	w.save("v1/a.js", "one")
	w.save("v2/a.js", "two")
	w.must(os.Symlink("v1", w.path("now")))
	w.must(os.Symlink("loop", w.path("loop")))
	w.wants("now/a.js", "loop")
	w.save("v1/a.js", "changed")
	w.tells("now/a.js")
	w.must(os.Symlink(w.path("v2"), w.path("next")))
	w.must(os.Rename(w.path("next"), w.path("now")))
	w.tells("now/a.js")
	w.save("v2/a.js", "changed")
	w.tells("now/a.js")
}

// TestWatchReplacedFolder: a folder goes and another comes in its place, with folders below.
func TestWatchReplacedFolder(t *testing.T) {
	for what, replace := range map[string]func(w *watching){
		"removed": func(w *watching) { w.must(os.RemoveAll(w.path("src"))); w.save("src/lib/a.js", "new") },
		"renamed": func(w *watching) {
			w.save("other/lib/a.js", "new")
			w.must(os.Rename(w.path("src"), w.path("old")))
			w.must(os.Rename(w.path("other"), w.path("src")))
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWatching(t)
			w.save("src/lib/a.js", "old")
			w.wants("src", "src/lib/a.js")
			for range 3 {
				replace(w)
				w.next()
				w.settle()
				w.save("src/lib/a.js", "changed")
				w.tells("src/lib/a.js")
				w.must(os.RemoveAll(w.path("old")))
			}
		})
	}
}

// settle waits until what has happened so far is told, and forgets it.
func (w *watching) settle() {
	w.t.Helper()
	for i := range 3 { // one may be told with what came before, and the folder be watched anew after it
		name := fmt.Sprintf("src/settled-%d", i)
		w.save(name, "")
		w.next()
		w.must(os.Remove(w.path(name)))
		w.next()
	}
	for {
		select {
		case <-w.changes:
		case <-time.After(2 * quietMax):
			return
		}
	}
}

// TestWatchBurst: all of many files are told, as when git checks out another branch.
func TestWatchBurst(t *testing.T) {
	w := newWatching(t)
	var names []string
	for i := range 400 {
		names = append(names, fmt.Sprintf("src/%d/%d.js", i%20, i))
		w.save(names[i], "old")
	}
	w.wants(names...)
	for _, name := range names {
		w.must(os.Remove(w.path(name)))
		w.save(name, "new")
	}
	w.tells(names...)
}

// TestWatchOverflow: when the kernel has dropped events, everything may have changed.
func TestWatchOverflow(t *testing.T) {
	w := newWatching(t)
	w.wants("a.js")
	w.notify.Errors <- fsnotify.ErrEventOverflow
	if c := w.next(); !c.isAll {
		t.Errorf("told %+v", c)
	}
}

// TestWatchSince: what was saved between the reading of a file and its being watched is told.
func TestWatchSince(t *testing.T) {
	w := newWatching(t)
	begun := time.Now()
	w.save("a.js", "saved while it was read")
	w.watch([]string{w.path("a.js")}, nil, begun)
	w.tells("a.js")
}

// TestWatchJoins: changes that nobody has taken are told together, with the time of the first.
func TestWatchJoins(t *testing.T) {
	w := newWatching(t)
	first := time.Now().Add(-time.Minute)
	w.tell(change{paths: []string{"a"}, since: first})
	w.tell(change{paths: []string{"b"}, since: time.Now(), isAll: true})
	if c := w.next(); !slices.Equal(c.paths, []string{"a", "b"}) || !c.isAll || !c.since.Equal(first) {
		t.Errorf("told %+v", c)
	}
}

// TestWatchReleases: what is not watched any more costs nothing.
func TestWatchReleases(t *testing.T) {
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := files()
	w := &watching{t: t, folder: t.TempDir()}
	w.watcher = newWatcher(slog.New(slog.DiscardHandler))
	w.save("one/a.js", "")
	w.save("two/b.js", "")
	for range 100 {
		w.wants("one/a.js", "two/b.js", "three/c.js")
		w.wants("two/b.js")
	}
	if list := w.notify.WatchList(); !slices.Equal(list, []string{w.path("two")}) {
		t.Errorf("watched are %q", list)
	}
	w.wants()
	if list := w.notify.WatchList(); len(list) != 0 {
		t.Errorf("watched are %q", list)
	}
	w.close()
	if after := files(); after > before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

// TestWatchPolls: without the kernel's help changes are noticed, and it is said why they are late.
func TestWatchPolls(t *testing.T) {
	w := &watching{t: t, folder: t.TempDir()}
	w.watcher = &watcher{logger: slog.New(slog.NewTextHandler(&w.log, nil)), changes: make(chan change, 1), stop: make(chan struct{})}
	w.poll(errors.New("no space left on device"))
	t.Cleanup(w.close)
	if !strings.Contains(w.log.String(), "no space left on device; raise fs.inotify.max_user_watches") {
		t.Errorf("log: %s", w.log.String())
	}
	w.save("a.js", "old")
	w.wants("a.js", "b.js")
	w.save("a.js", "longer")
	w.tells("a.js")
	w.save("b.js", "it is there")
	w.tells("b.js")
	w.save("b.js~", "it is here") // as long, and in the same moment
	w.must(os.Rename(w.path("b.js~"), w.path("b.js")))
	w.tells("b.js")
	w.must(os.Remove(w.path("a.js")))
	w.tells("a.js")
}
