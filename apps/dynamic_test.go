package apps

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/isolates"
	"nano/snapshot"
)

// newKeepingBench is newBench with a folder for sources.
func newKeepingBench(t *testing.T, files map[string]string) *bench {
	b := newBench(t, files)
	b.sources = &Sources{Folder: filepath.Join(t.TempDir(), "sources")}
	return b
}

func (b *bench) app(name, main string, source SourceID) App {
	return App{AppOptions: isolates.AppOptions{Name: name, EnvJSON: "{}"}, Main: filepath.Join(b.folder, main), Source: source}
}

func (b *bench) kept() (count int) {
	files, err := filepath.Glob(filepath.Join(b.sources.Folder, "*"+sourceSuffix))
	if err != nil {
		b.t.Fatal(err)
	}
	return len(files)
}

// TestAppsComeAndGo: an app is started from what was kept, whatever becomes of its files, and what nobody needs
// any more is deleted.
func TestAppsComeAndGo(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"a.js": wellApp})
	var mutex sync.Mutex
	pinned := map[SourceID]bool{}
	b.pinned = func(id SourceID) bool {
		mutex.Lock()
		defer mutex.Unlock()
		return pinned[id]
	}
	b.start(0, "a.js")
	b.waitForImages(1)
	first := b.set.Version(0)
	b.write("a.js", strings.Replace(wellApp, "well", "better", 1))
	second, err := b.set.Keep(ctx, b.app("a", "a.js", SourceID{}), "")
	if err != nil || first.IsZero() || second == first || b.kept() != 2 {
		t.Fatalf("%s, %s, %d kept, %v", first, second, b.kept(), err)
	}
	if err := os.Remove(filepath.Join(b.folder, "a.js")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.set.Put(3, b.app("a", "a.js", second)), b.set.Persist(second)); err != nil {
		t.Fatal(err)
	}
	b.set.Release(second)
	if err := b.set.Put(3, b.app("a", "a.js", first)); err == nil {
		t.Error("an id was given twice")
	}
	if err := b.set.Ensure(ctx, 3); err != nil || b.images() != 2 {
		t.Errorf("%d images, %v", b.images(), err)
	}
	b.expect(0, "well 1", fromImage)
	b.expect(3, "better 1", fromImage)
	// Without their images they start from what was kept.
	images, _ := filepath.Glob(filepath.Join(b.store.Folder, "*.snapshot"))
	for _, image := range images {
		os.Remove(image)
	}
	b.expect(0, "well 1", "source "+fromImage)
	b.expect(3, "better 1", "source "+fromImage)
	b.waitForImages(2)
	for _, id := range []int{-1, 1, 2, 4, 1 << 20} {
		if _, err := b.set.Start(b.pool, id); !errors.Is(err, errUnknown) {
			t.Errorf("%d: %v", id, err)
		}
		b.set.Remove(id)
	}
	// What is pinned stays until it is forgotten.
	pinned[first] = true
	b.set.Remove(0)
	if b.kept() != 2 || b.images() != 2 {
		t.Errorf("%d sources, %d images", b.kept(), b.images())
	}
	b.set.Forget(first, "")
	if b.kept() != 2 {
		t.Error("a pinned one was forgotten")
	}
	mutex.Lock()
	delete(pinned, first)
	mutex.Unlock()
	b.set.Forget(second, "") // which is used
	b.set.Forget(first, "")
	if b.kept() != 1 || b.images() != 1 {
		t.Errorf("%d sources, %d images", b.kept(), b.images())
	}
	b.expect(3, "better 1", fromImage)
	b.set.Remove(3)
	if b.kept() != 0 || b.images() != 0 {
		t.Errorf("%d sources, %d images", b.kept(), b.images())
	}
	if _, err := b.set.Start(b.pool, 3); !errors.Is(err, errUnknown) {
		t.Errorf("%v", err)
	}
}

// TestImagesOfVersionsThatFail: an image that was built for a version that does not serve in the end goes with its
// source, in whatever order its app is removed and what Keep has held let go.
func TestImagesOfVersionsThatFail(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"a.js": wellApp})
	pinned := map[SourceID]bool{}
	b.pinned = func(id SourceID) bool { return pinned[id] }
	b.start(0)
	for _, lastIsApp := range []bool{true, false} {
		for _, isPinned := range []bool{false, true} {
			source, err := b.set.Keep(ctx, b.app("a", "a.js", SourceID{}), "")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(b.set.Put(0, b.app("a", "a.js", source)), b.set.Ensure(ctx, 0)); err != nil || b.images() != 1 {
				t.Fatalf("%d images, %v", b.images(), err)
			}
			pinned[source] = isPinned
			if lastIsApp {
				b.set.Release(source)
				b.set.Remove(0)
			} else {
				b.set.Remove(0)
				b.set.Release(source)
			}
			if isPinned {
				if b.kept() != 1 || b.images() != 1 {
					t.Errorf("pinned: %d sources, %d images", b.kept(), b.images())
				}
				delete(pinned, source)
				b.set.Forget(source, "/another") // with which it was configured since
			}
			if b.kept() != 0 || b.images() != 0 || len(b.sources.images) != 0 {
				t.Errorf("last is app: %t, pinned: %t: %d sources, %d images, %d noted", lastIsApp, isPinned, b.kept(), b.images(), len(b.sources.images))
			}
		}
	}
}

func TestEnsureTellsWhatIsWrong(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"a.js": wellApp, "syntax.js": syntaxApp, "throws.js": throwsApp, "intl.js": intlApp})
	b.start(0, "a.js")
	for i, test := range []struct{ main, want string }{
		{"syntax.js", "syntax.js:1:"}, {"none.js", "no such file"}, {"throws.js", "throws.js:2:7"}, {"intl.js", ""}, {"a.js", ""},
	} {
		if err := b.set.Put(i+1, b.app("app-9", test.main, SourceID{})); err != nil {
			t.Fatal(err)
		}
		err := b.set.Ensure(ctx, i+1)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.main, err, test.want)
		}
		var problem *ProblemError
		if errors.As(err, &problem) != (test.main == "throws.js") {
			t.Errorf("%s: %T", test.main, err)
		}
	}
	b.expect(4, "1,234", "cache")
	b.expect(5, "well 1", fromImage)
	if _, err := b.set.Keep(ctx, b.app("a", "syntax.js", SourceID{}), ""); err == nil {
		t.Error("kept what cannot be read")
	}
	if err := b.set.Ensure(ctx, 99); !errors.Is(err, errUnknown) {
		t.Errorf("%v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.set.Ensure(cancelled, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestDamagedSources are refused: an app must not be started from something else than was deployed.
func TestDamagedSources(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"a.js": wellApp})
	b.builder.Command = fakeCommand(t, "unusable")
	b.start(0)
	id, err := b.set.Keep(ctx, b.app("a", "a.js", SourceID{}), "")
	if err != nil {
		t.Fatal(err)
	}
	path := b.sources.path(id)
	whole, err := os.ReadFile(path)
	if err != nil || !b.sources.Has(id) {
		t.Fatal(err)
	}
	for i, text := range []string{"", string(whole[:len(whole)-1]), strings.Replace(string(whole), "well", "evil", 1), sourceMagic, "gone"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == "gone" {
			os.Remove(path)
		}
		if b.sources.Has(id) {
			t.Errorf("%.20q passes for whole", text)
		}
		if err := b.set.Put(i, b.app("a", "a.js", id)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.startApp(i); err == nil || !strings.Contains(err.Error(), "deploy it again") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	// One that was cut off by a crash is written anew, and so is one that the disk has spoilt.
	for _, text := range []string{string(whole[:10]), strings.Repeat("\x00", len(whole))} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := b.set.Keep(ctx, b.app("a", "a.js", SourceID{}), ""); err != nil || again != id || !b.sources.Has(id) {
			t.Errorf("%.10q: %s, %v", text, again, err)
		}
	}
}

func TestSweepOfSources(t *testing.T) {
	s := &Sources{Folder: t.TempDir()}
	long := time.Now().Add(-time.Hour)
	ids := make([]SourceID, 4)
	for i := range ids {
		ids[i][0] = byte(i)
		ids[i][31] = 1
		if err := os.WriteFile(s.path(ids[i]), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			os.Chtimes(s.path(ids[i]), long, long)
		}
	}
	for _, name := range []string{".new-1-1", "notes.txt"} {
		path := filepath.Join(s.Folder, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, long, long)); err != nil {
			t.Fatal(err)
		}
	}
	s.hold(ids[1])
	removed, err := s.sweep(func(id SourceID) bool { return id == ids[2] }, time.Minute)
	if err != nil || removed != 2 {
		t.Errorf("%d removed, %v", removed, err)
	}
	for i, want := range []bool{true, true, true, false} {
		if _, err := os.Stat(s.path(ids[i])); (err == nil) != want {
			t.Errorf("source %d: %v", i, err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Folder, "notes.txt")); err != nil {
		t.Error("somebody else's file is gone")
	}
	if _, err := ParseSourceID(ids[1].String()); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "zz", strings.Repeat("z", 64), ids[1].String() + "00"} {
		if _, err := ParseSourceID(text); err == nil {
			t.Errorf("%q is no hash", text)
		}
	}
}

// TestImagesFromOutside are never restored: V8 trusts a snapshot as it does its own code, and the key of an
// image is no secret.
func TestImagesFromOutside(t *testing.T) {
	ctx := context.Background()
	b := newKeepingBench(t, map[string]string{"a.js": wellApp})
	image, source := b.build("a.js", "a.nano", "")
	file, err := snapshot.Decode(image)
	if err != nil {
		t.Fatal(err)
	}
	sections := slices.Clone(file.Sections())
	for i := range sections {
		if sections[i].Name == "snapshot" || sections[i].Name == "cache" {
			sections[i].Data = bytes.Repeat([]byte{0xff}, len(sections[i].Data))
		}
	}
	if err := WriteBuilt(filepath.Join(b.folder, "a.nano"), source, snapshot.Encode(file.Key(), sections)); err != nil {
		t.Fatal(err)
	}
	b.start(0)
	app := b.app("a", "a.nano", SourceID{})
	app.Root = b.folder
	id, err := b.set.Keep(ctx, app, "")
	if err != nil {
		t.Fatal(err)
	}
	if images := b.images(); images != 0 {
		t.Fatalf("%d images that the node has not built", images)
	}
	if err := errors.Join(b.set.Put(0, b.app("a", "", id)), b.set.Ensure(ctx, 0)); err != nil {
		t.Fatal(err)
	}
	b.expect(0, "well 1", fromImage)
}

// TestWarmUpsAreBounded, since what is kept would not be read again.
func TestWarmUpsAreBounded(t *testing.T) {
	b := newKeepingBench(t, map[string]string{"a.js": wellApp})
	image, source := b.build("a.js", "a.nano", "")
	for length, want := range map[int]string{sourceWarmupMax: "", sourceWarmupMax + 1: "a warm-up path of"} {
		source.Warmup = "/" + strings.Repeat("a", length-1)
		if err := WriteBuilt(filepath.Join(b.folder, "a.nano"), source, image); err != nil {
			t.Fatal(err)
		}
		b.start(0)
		id, err := b.set.Keep(context.Background(), b.app("a", "a.nano", SourceID{}), "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", length, err)
		}
		if err == nil && !b.sources.Has(id) {
			t.Errorf("%d: what is kept cannot be read", length)
		}
	}
}

// TestModulesFromOutside are of the project alone.
func TestModulesFromOutside(t *testing.T) {
	b := newKeepingBench(t, map[string]string{
		"direct.js": "import '../secret.js'; export default {}", "bundled.ts": "export { default } from '../secret.js'"})
	root := filepath.Join(b.folder, "project")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	b.write("secret.js", "the secret of another")
	b.start(0)
	for _, main := range []string{"direct.js", "bundled.ts"} {
		if err := os.Rename(filepath.Join(b.folder, main), filepath.Join(root, main)); err != nil {
			t.Fatal(err)
		}
		app := b.app("a", filepath.Join("project", main), SourceID{})
		app.Root = root
		_, err := b.set.Keep(context.Background(), app, root)
		if err == nil || !strings.Contains(err.Error(), isolates.ErrOutside.Error()) || strings.Contains(err.Error(), "the secret") {
			t.Errorf("%s: %v", main, err)
		}
	}
}
