package apps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// settle does something until it is trusted: the files, and the folders above them, must not have just changed.
func settle(t *testing.T, try func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience(t)); !try(); time.Sleep(memoSettled / 4) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is remembered")
		}
	}
}

// TestKnown: what is not touched is known, and every change of it is seen.
func TestKnown(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"b.js": wellApp})
	for _, release := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(b.folder, release), 0o700); err != nil {
			t.Fatal(err)
		}
		b.write(release+"/a.js", `import "./part.js"; `+wellApp)
		b.write(release+"/part.js", "globalThis.x = 1")
	}
	link := filepath.Join(b.folder, "now")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	b.start(0, "b.js")
	app := b.app("a", "now/a.js", SourceID{})
	keep := func() (id SourceID) {
		t.Helper()
		settle(t, func() (ok bool) {
			var err error
			if id, err = b.set.Keep(ctx, app, ""); err != nil {
				t.Fatal(err)
			}
			known, ok := b.set.Known(app)
			if ok && known != id {
				t.Fatalf("%s is known as %s", id, known)
			}
			return ok
		})
		return id
	}
	if _, ok := b.set.Known(app); ok {
		t.Error("known before it was read")
	}
	id := keep()
	other := app
	other.Bundling.Minify = true
	if _, ok := b.set.Known(other); ok {
		t.Error("known with other settings")
	}
	part := filepath.Join(b.folder, "1", "part.js")
	for name, change := range map[string]func() error{
		"written with its times put back": func() error {
			info, err := os.Stat(part)
			return errors.Join(err, os.WriteFile(part, []byte("globalThis.x = 2"), 0o600), os.Chtimes(part, time.Time{}, info.ModTime()))
		},
		"another file in its place": func() error {
			return errors.Join(os.WriteFile(part+".new", []byte("globalThis.x = 3"), 0o600), os.Rename(part+".new", part))
		},
		"removed": func() error { return errors.Join(os.Rename(part, part+".old")) },
		"the link leads elsewhere": func() error {
			return errors.Join(os.Remove(link), os.Symlink("2", link))
		},
		"what is kept is gone": func() error { return os.Remove(b.sources.path(id)) },
		"what is kept is cut":  func() error { return os.Truncate(b.sources.path(id), 9) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if _, ok := b.set.Known(app); ok {
				t.Error("it is not seen")
			}
			_ = os.Rename(part+".old", part)
			_, err := os.Stat(part)
			if err := errors.Join(err, os.Remove(link), os.Symlink("1", link)); err != nil {
				t.Fatal(err)
			}
			id = keep()
		})
	}
	// What has changed just before it is read may change once more in the same tick.
	b.write("1/part.js", "globalThis.x = 9")
	if _, err := b.set.Keep(ctx, app, ""); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.set.Known(app); ok && time.Since(changed(t, part)) < memoSettled {
		t.Error("it is trusted too early")
	}
}

func changed(t *testing.T, path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// TestMissingInputs: a file that was looked for and comes, or a name in a folder, is a change.
func TestMissingInputs(t *testing.T) {
	folder := t.TempDir()
	main, missing := filepath.Join(folder, "main.ts"), filepath.Join(folder, "sub", "tsconfig.json")
	if err := os.WriteFile(main, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var m memo
	app := &App{Main: main}
	inputs := []string{main, folder, missing, filepath.Join(main, "below")}
	note := func() {
		t.Helper()
		settle(t, func() bool {
			m.note(app, inputs, time.Now(), SourceID{1}, 1)
			_, ok := m.find(app)
			return ok
		})
	}
	note()
	for _, change := range []func() error{
		func() error { return os.Mkdir(filepath.Dir(missing), 0o700) },
		func() error { return os.WriteFile(missing, nil, 0o600) },
		func() error { return os.WriteFile(filepath.Join(folder, "main.js"), nil, 0o600) },
		func() error { return os.Remove(missing) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.find(app); ok {
			t.Error("a change is not seen")
		}
		note()
	}
	m.forget("", SourceID{2})
	if _, ok := m.find(app); !ok {
		t.Error("another version is forgotten")
	}
	m.forget("", SourceID{1})
	if _, ok := m.find(app); ok || len(m.by) != 0 {
		t.Error("it is not forgotten")
	}
	m.note(app, strings.Split(strings.Repeat(main+"\n", memoInputsMax+1), "\n"), time.Now(), SourceID{1}, 1)
	if len(m.by) != 0 {
		t.Error("too much is remembered")
	}
}

// TestQuietPaths: links that have just come, or lead in circles, are not trusted.
func TestQuietPaths(t *testing.T) {
	folder := t.TempDir()
	for name, target := range map[string]string{"old": "file", "far": "old", "circle": "round", "round": "circle"} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"old": "file", "far": "file", "file": "file", "circle": "", "none": "none"} {
		later := quietPaths{before: time.Now().Add(time.Hour), known: map[string]string{}}
		real, isQuiet := later.resolve(filepath.Join(folder, name), 0)
		if isQuiet != (want != "") || isQuiet && filepath.Base(real) != want {
			t.Errorf("%s: %s, %t", name, real, isQuiet)
		}
		earlier := quietPaths{before: time.Now().Add(-time.Hour), known: map[string]string{}}
		if real, isQuiet := earlier.resolve(filepath.Join(folder, name), 0); isQuiet {
			t.Errorf("%s: %s is just made", name, real)
		}
	}
}

func BenchmarkKnown(b *testing.B) {
	main := filepath.Join(b.TempDir(), "main.js")
	if err := os.WriteFile(main, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	var m memo
	app := &App{Main: main}
	m.note(app, []string{main}, time.Now().Add(time.Hour), SourceID{1}, 1)
	for b.Loop() {
		if _, ok := m.find(app); !ok {
			b.Fatal("it has changed")
		}
	}
}
