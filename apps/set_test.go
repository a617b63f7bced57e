package apps

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/http1"
	"nano/isolates"
	"nano/snapshot"
)

// testRuntime is that of all tests: V8 starts once per process.
var testRuntime = sync.OnceValues(func() (*isolates.Runtime, error) {
	// In memory: a store below a device cannot be written to.
	loaded, _, err := isolates.LoadRuntime(snapshot.Store{Folder: "/dev/null/none"})
	return loaded, err
})

func loadRuntime(t *testing.T) *isolates.Runtime {
	t.Helper()
	loaded, err := testRuntime()
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// watched is a log that tests wait for.
type watched struct {
	mutex   sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.text.Write(p)
	close(w.changed)
	w.changed = make(chan struct{})
	return len(p), nil
}

func (w *watched) String() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.text.String()
}

func (w *watched) waitFor(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience(t))
	for {
		w.mutex.Lock()
		found, changed := strings.Contains(w.text.String(), text), w.changed
		w.mutex.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("not logged: %q in\n%s", text, w)
		}
	}
}

// bench is a Set with its surroundings.
type bench struct {
	t       *testing.T
	folder  string // of sources
	store   snapshot.Store
	sources *Sources
	pinned  func(SourceID) bool
	log     *watched
	pool    *isolates.Pool
	builder *Builder
	set     *Set
}

// newBench prepares a node without loops: the test is one.
func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	runtime.LockOSThread()
	b := &bench{t: t, folder: t.TempDir(), store: snapshot.Store{Folder: filepath.Join(t.TempDir(), "snapshots")}}
	for name, text := range files {
		b.write(name, text)
	}
	b.log = &watched{changed: make(chan struct{})}
	b.pool = loadRuntime(t).NewPool(isolates.PoolOptions{Wake: -1})
	b.builder = &Builder{Timeout: patience(t), Command: fakeCommand(t, "real")}
	t.Cleanup(func() {
		b.end()
		b.pool.Close()
		runtime.UnlockOSThread()
		if t.Failed() {
			t.Logf("log:\n%s", b.log)
		}
	})
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.folder, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// end ends the Set, as the end of the process would.
func (b *bench) end() {
	if b.set != nil {
		b.set.Close()
		b.set, b.builder = nil, &Builder{Timeout: patience(b.t), Command: b.builder.Command}
	}
}

// start starts the Set, or starts it anew, with an app for each file.
func (b *bench) start(eager int, mains ...string) (errs []error) {
	b.t.Helper()
	b.end()
	options := Options{
		Runtime: loadRuntime(b.t), Store: b.store, Sources: b.sources, Pinned: b.pinned, Builder: b.builder, Base: b.folder, Eager: eager,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		Explain: func(app *App, err error) error {
			return fmt.Errorf("%s: %w", strings.Replace(app.Name, "-", " ", 1), err)
		},
	}
	for i, main := range mains {
		options.Apps = append(options.Apps, App{
			AppOptions: isolates.AppOptions{Name: fmt.Sprint("app-", i), EnvJSON: `{}`},
			Main:       filepath.Join(b.folder, main),
		})
	}
	b.set, errs = Start(options)
	return errs
}

// startApp starts an app as a loop does, which waits until it can.
func (b *bench) startApp(app int) (*isolates.Isolate, error) {
	b.t.Helper()
	for {
		isolate, err := b.set.Start(b.pool, app)
		var preparation *Preparation
		if !errors.As(err, &preparation) {
			return isolate, err
		}
		ready := make(chan struct{})
		preparation.Then(func() { close(ready) })
		select {
		case <-ready:
		case <-time.After(patience(b.t)):
			b.t.Fatal("an app is never ready")
		}
	}
}

// ask starts an app and gives its answer to one request, and what it was started from.
func (b *bench) ask(app int) (body, how string, err error) {
	b.t.Helper()
	isolate, err := b.startApp(app)
	if err != nil {
		return "", "", err
	}
	defer isolate.Dispose()
	head := []byte("GET /path HTTP/1.1\r\nHost: a.test\r\n\r\n")
	var parsed http1.Head
	if err := parsed.Parse(head, len(head)); err != nil {
		b.t.Fatal(err)
	}
	isolate.AddRequest(&isolates.Request{ID: 1, Head: head, Parsed: &parsed, RemoteAddress: []byte("127.0.0.1:1")})
	if err := isolate.Turn(); err != nil {
		return "", "", err
	}
	for record, ok := isolate.Next(); ok; record, ok = isolate.Next() {
		if record.Kind == isolates.KindRespond {
			body = string(record.Body)
		}
	}
	return body, isolate.Started().How, nil
}

// expect asks and compares.
func (b *bench) expect(app int, body, how string) {
	b.t.Helper()
	gotBody, gotHow, err := b.ask(app)
	if err != nil || gotBody != body || !strings.Contains(how, gotHow) {
		b.t.Errorf("app %d: %q from %q, %v; want %q from %q", app, gotBody, gotHow, err, body, how)
	}
}

// waitForImages waits until the store has as many images.
func (b *bench) waitForImages(count int) {
	b.t.Helper()
	deadline := time.Now().Add(patience(b.t))
	for b.images() != count || !b.isAtRest() {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d images instead of %d", b.images(), count)
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *bench) isAtRest() bool { return b.set.queue.isEmpty() && !b.set.isBuilding.Load() }

func (b *bench) images() int {
	files, err := filepath.Glob(filepath.Join(b.store.Folder, "*.snapshot"))
	if err != nil {
		b.t.Fatal(err)
	}
	return len(files)
}

const (
	wellApp   = "let n = 0;\nexport default { fetch: () => new Response('well ' + ++n) };\n"
	intlApp   = "const f = new Intl.NumberFormat('en');\nexport default { fetch: () => new Response(f.format(1234)) };\n"
	syntaxApp = "export default { fetch() { return a +; } };\n"
	throwsApp = "\nthrow new TypeError('at the top level');\n"
)

// fromImage is how apps start that have an image: loading a small one may be faster than restoring it.
const fromImage = "snapshot cache"

func TestSetServesFromSourceUntilThereIsAnImage(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp, "b.js": "import './c.js';\n" + wellApp, "c.js": "export const c = 1;\n"})
	for _, err := range b.start(0, "a.js", "b.js") {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.expect(0, "well 1", "source "+fromImage)
	b.waitForImages(2)
	b.expect(0, "well 1", fromImage)
	b.expect(1, "well 1", fromImage)
	if b.set.entry(0).started.Load() == nil {
		t.Error("nothing is kept of an app that was started")
	}
	// A second process finds all there, and builds nothing.
	b.builder.Command = fakeCommand(t, "unusable")
	b.start(0, "a.js", "b.js")
	b.expect(0, "well 1", fromImage)
	b.expect(1, "well 1", fromImage)
	// What has changed since is another app.
	b.write("a.js", strings.Replace(wellApp, "well", "better", 1))
	b.start(0, "a.js", "b.js")
	b.expect(0, "better 1", "source")
	b.log.waitFor(t, "images cannot be built")
	b.expect(0, "better 1", "source")
}

func TestSetOfBrokenApps(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp, "syntax.js": syntaxApp, "throws.js": throwsApp})
	errs := b.start(0, "a.js", "syntax.js", "throws.js", "none.js")
	for i, want := range []string{"", "app 1: syntax.js:1:", "", "none.js: no such file"} {
		if (errs[i] == nil) != (want == "") || want != "" && !strings.Contains(errs[i].Error(), want) {
			t.Errorf("app %d: %v, want %q", i, errs[i], want)
		}
	}
	b.log.waitFor(t, "throws.js:2:7: ")
	b.expect(0, "well 1", "source "+fromImage)
	for i := 1; i < 4; i++ {
		if _, _, err := b.ask(i); err == nil {
			t.Errorf("app %d was started", i)
		}
	}
	b.waitForImages(1)
}

// TestSetReadsLater: what is not looked at before the node listens is found in the background, or at
// the first request.
func TestSetReadsLater(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp, "syntax.js": syntaxApp})
	if errs := b.start(1, "a.js", "a.js", "syntax.js", "a.js"); errors.Join(errs...) != nil {
		t.Errorf("%v", errs)
	}
	b.expect(3, "well 1", "source "+fromImage)
	if _, _, err := b.ask(2); err == nil || !strings.Contains(err.Error(), "syntax.js:1:") {
		t.Errorf("%v", err)
	}
	b.log.waitFor(t, "syntax.js:1:")
	b.waitForImages(1) // three apps have the same source
	b.expect(0, "well 1", fromImage)
	b.expect(1, "well 1", fromImage)
}

// TestSetNeverReadsForLoops: while the source of an app that was not read yet takes its time, a loop starts others,
// and asks as often as it likes; then all who wait are told once, and the app was read once.
func TestSetNeverReadsForLoops(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	slow := filepath.Join(b.folder, "slow.js")
	b.start(0, "a.js")
	app := b.app("slow", "slow.js", SourceID{})
	if err := errors.Join(b.set.Put(1, app), b.set.Put(2, b.app("none", "none.js", SourceID{}))); err != nil {
		t.Fatal(err)
	}
	reading, goOn, reads := make(chan struct{}), make(chan struct{}), 0
	prepare := b.set.first.prepare
	b.set.first.prepare = func(e *entry, reader *reader) error {
		if e.Main == slow {
			reads++
			reading <- struct{}{}
			<-goOn
		}
		return prepare(e, reader)
	}
	other := loadRuntime(t).NewPool(isolates.PoolOptions{Wake: -1})
	defer other.Close()
	told := make(chan struct{}, 3)
	for i, pool := range []*isolates.Pool{b.pool, b.pool, other} {
		var preparation *Preparation
		if _, err := b.set.Start(pool, 1); !errors.As(err, &preparation) {
			t.Fatalf("%v", err)
		}
		preparation.Then(func() { told <- struct{}{} })
		if i == 0 {
			<-reading
		}
	}
	b.waitForImages(1)
	b.expect(0, "well 1", fromImage)
	b.write("slow.js", wellApp)
	if len(told) != 0 {
		t.Error("told too early")
	}
	close(goOn)
	for range 3 {
		<-told
	}
	for _, pool := range []*isolates.Pool{b.pool, other} {
		isolate, err := b.set.Start(pool, 1)
		if err != nil {
			t.Fatal(err)
		}
		isolate.Dispose()
	}
	if reads != 1 {
		t.Errorf("read %d times", reads)
	}
	for range 2 {
		if _, err := b.startApp(2); err == nil || !strings.Contains(err.Error(), "none.js: no such file") {
			t.Errorf("%v", err)
		}
	}
	b.set.Remove(1)
	b.set.Remove(2)
}

// TestSetClosesWithPreparations: whoever waits when a Set is closed is told so.
func TestSetClosesWithPreparations(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	b.start(0, "a.js", "a.js")
	reading := make(chan struct{}, 2)
	b.set.first.prepare = func(*entry, *reader) error {
		reading <- struct{}{}
		<-b.set.stop
		return errClosed
	}
	told := make(chan struct{}, 2)
	for id := range 2 {
		var preparation *Preparation
		if _, err := b.set.Start(b.pool, id); !errors.As(err, &preparation) {
			t.Fatalf("%v", err)
		}
		preparation.Then(func() { told <- struct{}{} })
	}
	<-reading
	b.set.Close()
	<-told
	<-told
	if _, err := b.set.Start(b.pool, 1); !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
	b.set, b.builder = nil, &Builder{Timeout: patience(b.t), Command: b.builder.Command}
}

// TestSetTellsWhatCannotBeSnapshotted names the place, at each start of a process.
func TestSetTellsWhatCannotBeSnapshotted(t *testing.T) {
	b := newBench(t, map[string]string{"intl.js": intlApp})
	b.start(0, "intl.js")
	b.expect(0, "1,234", "source cache")
	b.log.waitFor(t, "intl.js:1:11: an Intl.NumberFormat")
	b.waitForImages(1)
	b.expect(0, "1,234", "cache")
	told := strings.Count(b.log.String(), "intl.js:1:11")
	b.expect(0, "1,234", "cache")
	if now := strings.Count(b.log.String(), "intl.js:1:11"); told != 1 || now != 1 {
		t.Errorf("told %d times, and then %d", told, now)
	}
}

// TestSetOutlivesItsImages: whatever becomes of the files in the store, the app serves.
func TestSetOutlivesItsImages(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	b.start(0, "a.js")
	b.waitForImages(1)
	files, err := filepath.Glob(filepath.Join(b.store.Folder, "*.snapshot"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	foreign := snapshot.Encode(snapshot.Key{V8: "1.0"}, nil)
	file, err := snapshot.Decode(whole)
	if err != nil {
		t.Fatal(err)
	}
	key := file.Key()
	key.App = strings.Repeat("0", len(key.App))
	another := snapshot.Encode(key, file.Sections())
	for name, content := range map[string][]byte{"damaged": append(whole[:len(whole)-1:len(whole)-1], whole[len(whole)-1]^1), "cut": whole[:5000], "foreign": foreign, "another app's": another, "gone": nil} {
		for _, isWarm := range []bool{false, true} {
			if !isWarm {
				b.start(0, "a.js")
			}
			b.expect(0, "well 1", fromImage)
			if !isWarm {
				b.end()
			}
			err := os.Remove(files[0])
			if content != nil { // by renaming, as for a file that is mapped
				err = errors.Join(err, os.WriteFile(files[0]+"x", content, 0o600), os.Rename(files[0]+"x", files[0]))
			}
			if err != nil {
				t.Fatal(err)
			}
			if !isWarm {
				b.start(0, "a.js")
			}
			b.expect(0, "well 1", "source "+fromImage)
			b.waitForImages(1)
			b.expect(0, "well 1", fromImage)
			if now, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(withoutTimes(t, now), withoutTimes(t, whole)) {
				t.Errorf("%s: not rebuilt, %v", name, err)
			}
		}
	}
}

// TestSetHammer starts apps on several loops while their images are built, and deleted again.
func TestSetHammer(t *testing.T) {
	files := map[string]string{}
	var mains []string
	for i := range 4 {
		name := fmt.Sprintf("%d.js", i)
		files[name] = strings.Replace(wellApp, "well", fmt.Sprint("app ", i), 1)
		mains = append(mains, name, name)
	}
	b := newBench(t, files)
	b.start(1, mains...)
	loaded := loadRuntime(t)
	var loops sync.WaitGroup
	for loop := range 3 {
		loops.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			own := *b
			own.pool = loaded.NewPool(isolates.PoolOptions{Wake: -1})
			defer own.pool.Close()
			for i := range 60 {
				app := (i + loop) % len(mains)
				if body, _, err := own.ask(app); err != nil || body != fmt.Sprintf("app %d 1", app/2) {
					t.Errorf("app %d: %q, %v", app, body, err)
				}
				if i%20 == 19 {
					images, _ := filepath.Glob(filepath.Join(b.store.Folder, "*.snapshot"))
					for _, image := range images {
						os.Remove(image) // another loop may have been faster
					}
				}
			}
		})
	}
	loops.Wait()
}

// TestShortagesPass: an image is not given up for want of descriptors.
func TestShortagesPass(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Op: "open", Path: "x", Err: unix.EMFILE}: false,
		&fs.PathError{Op: "mmap", Path: "x", Err: unix.ENOMEM}: false,
		&fs.PathError{Op: "open", Path: "x", Err: unix.ENOENT}: true,
		&fs.PathError{Op: "open", Path: "x", Err: unix.EIO}:    true,
		&snapshot.FormatError{What: "damaged"}:                 true,
		&snapshot.MismatchError{What: "V8 version"}:            true,
		isolates.ErrBundle:      true,
		errors.New("TypeError"): false,
	} {
		if got := isAboutImage(fmt.Errorf("app image: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// withoutTimes is an image without what was measured while it was built.
func withoutTimes(t *testing.T, image []byte) []byte {
	t.Helper()
	file, err := snapshot.Decode(image)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte{}, file.Section("bundle")...), file.Section("cache")...)
}

// TestSetOfAnAppThatEndsItsBuilders: it serves all the same, and the next node tries again.
func TestSetOfAnAppThatEndsItsBuilders(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp, "b.js": strings.Replace(wellApp, "well", "other", 1)})
	b.builder.Command = fakeCommand(t, "deadly", "DEADLY=app-0")
	b.start(0, "a.js", "b.js")
	b.expect(0, "well 1", "source cache")
	b.log.waitFor(t, "cannot be snapshotted: the snapshot builder died: signal: killed")
	b.waitForImages(1)
	b.expect(0, "well 1", "cache")
	b.expect(1, "other 1", fromImage)
	b.end()
	b.builder.Command = fakeCommand(t, "real")
	b.start(0, "a.js", "b.js")
	b.waitForImages(2)
	b.expect(0, "well 1", fromImage)
}

// TestSetWithoutAStore: a state_dir that cannot be written to is told of once, and costs speed only.
func TestSetWithoutAStore(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp, "b.js": "export default {fetch: () => new Response('b')};"})
	b.store.Folder = "/dev/null/none"
	b.start(0, "a.js", "b.js")
	b.expect(0, "well 1", "source")
	b.log.waitFor(t, "images cannot be built, apps start from their sources: state_dir")
	b.expect(1, "b", "source")
	if told := strings.Count(b.log.String(), "cannot be built"); told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestSourcesThatChange: one process serves one version of an app.
func TestSourcesThatChange(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	b.builder.Command = fakeCommand(t, "unusable")
	b.start(0, "a.js")
	b.expect(0, "well 1", "source")
	b.log.waitFor(t, "images cannot be built")
	b.write("a.js", strings.Replace(wellApp, "well", "better", 1))
	var reader reader
	defer reader.close()
	if err := b.set.buildNext(&reader); err != nil || b.images() != 0 { // the worker sleeps
		t.Errorf("%d images, %v", b.images(), err)
	}
	b.log.waitFor(t, "its files have changed")
	b.expect(0, "well 1", "source")
}

func TestSweepAtStart(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	old := snapshot.Key{App: "of an app that is no more"}
	young := snapshot.Key{App: "of another node"}
	for _, key := range []snapshot.Key{old, young, loadRuntime(t).Key()} {
		if err := b.store.Save(key, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.start(0, "a.js")
	b.waitForImages(4)
	files, err := filepath.Glob(filepath.Join(b.store.Folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * sweepAge)
	for _, file := range files {
		if file == b.store.Path(young) {
			continue
		}
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
	}
	b.start(0, "a.js")
	b.log.waitFor(t, "removed images")
	if b.store.Has(old) || !b.store.Has(young) || !b.store.Has(loadRuntime(t).Key()) || b.images() != 3 {
		t.Errorf("%d images left", b.images())
	}
	b.expect(0, "well 1", fromImage)
}

// build makes a .nano file, as nano build does.
func (b *bench) build(main, output, warmup string) (image []byte, source Source) {
	b.t.Helper()
	loaded := loadRuntime(b.t)
	resolver, err := loaded.NewResolver()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resolver.Close()
	source, err = ReadSource(loaded, resolver, nil, &App{AppOptions: isolates.AppOptions{Warmup: warmup}, Main: filepath.Join(b.folder, main)}, b.folder)
	if err != nil {
		b.t.Fatal(err)
	}
	reply := BuildFor(loaded)(&Request{Name: "app", Warmup: warmup, Bundle: source.Bundle.Encode()})
	if reply.Problem != "" {
		b.t.Fatal(reply.Problem)
	}
	if err := WriteBuilt(filepath.Join(b.folder, output), source, reply.Image); err != nil {
		b.t.Fatal(err)
	}
	return reply.Image, source
}

func TestBuiltFile(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": "import './c.js';\n" + wellApp, "c.js": "export const c = 1;\n"})
	b.build("a.js", "a.nano", "/warm")
	for _, name := range []string{"a.js", "c.js"} {
		if err := os.Remove(filepath.Join(b.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.builder.Command = fakeCommand(t, "unusable") // nothing is to be built
	b.start(0, "a.nano")
	if body, how, err := b.ask(0); err != nil || !strings.HasPrefix(body, "well ") || !strings.Contains(fromImage, how) {
		t.Errorf("%q from %s, %v", body, how, err)
	}
	b.waitForImages(1)
	// The file may be written over: what is used is a copy.
	b.write("a.nano", "something else")
	if body, how, err := b.ask(0); err != nil || !strings.HasPrefix(body, "well ") || !strings.Contains(fromImage, how) {
		t.Errorf("%q from %s, %v", body, how, err)
	}
	if errs := b.start(0, "a.nano"); errs[0] == nil || !strings.Contains(errs[0].Error(), "a.nano: not a snapshot file; build it again") {
		t.Errorf("a file that is none: %v", errs[0])
	}
}

// TestBuiltFileWithoutAStore is used where it lies.
func TestBuiltFileWithoutAStore(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	b.build("a.js", "a.nano", "")
	b.store.Folder = "/dev/null/none"
	b.start(0, "a.nano")
	b.expect(0, "well 1", fromImage)
	b.log.waitFor(t, "must not be changed while the node runs")
}

// TestBuiltFileOfAnotherVersion is rebuilt from its own bundle.
func TestBuiltFileOfAnotherVersion(t *testing.T) {
	b := newBench(t, map[string]string{"a.js": wellApp})
	image, source := b.build("a.js", "a.nano", "")
	file, err := snapshot.Decode(image)
	if err != nil {
		t.Fatal(err)
	}
	foreign := file.Key()
	foreign.V8 = "1.2.3"
	forged := snapshot.Encode(foreign, file.Sections())
	if err := WriteBuilt(filepath.Join(b.folder, "a.nano"), source, forged); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.folder, "a.js")); err != nil {
		t.Fatal(err)
	}
	b.start(0, "a.nano")
	b.expect(0, "well 1", "source "+fromImage)
	b.waitForImages(1)
	b.expect(0, "well 1", fromImage)
	if !b.store.Has(source.Key) {
		t.Error("not rebuilt for this version")
	}
}

func TestReadSourceRefuses(t *testing.T) {
	b := newBench(t, map[string]string{"text.nano": "export default {};"})
	loaded := loadRuntime(t)
	sections := func(bundle, built string) []snapshot.Section {
		return []snapshot.Section{{Name: "bundle", Data: []byte(bundle)}, {Name: sectionBuilt, Data: []byte(built)}}
	}
	if err := os.Mkdir(filepath.Join(b.folder, "folder.js"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, parts := range map[string][]snapshot.Section{
		"empty.nano": nil, "bundle.nano": sections("no bundle", "{}"),
	} {
		if err := snapshot.Write(filepath.Join(b.folder, name), loaded.Key(), parts); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"none.js": "no such file", "folder.js": "is not a file", "none.nano": "no such file",
		"text.nano": "not a snapshot file", "empty.nano": "bundle", "bundle.nano": "bundle",
	} {
		_, err := ReadSource(loaded, nil, nil, &App{Main: filepath.Join(b.folder, name)}, b.folder)
		var main *MainError
		if !errors.As(err, &main) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "main: "+b.folder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ReadSource(loaded, nil, nil, &App{Main: filepath.Join(b.folder, "none.js")}, b.folder)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestQueue(t *testing.T) {
	var q queue
	q.init()
	apps := make([]*entry, 6)
	for i := range apps {
		apps[i] = &entry{App: App{AppOptions: isolates.AppOptions{Name: fmt.Sprint(i)}}}
	}
	for _, want := range []struct {
		app      int
		isUrgent bool
	}{{1, false}, {2, false}, {3, false}, {5, true}, {3, true}, {2, false}, {4, true}, {3, true}} {
		q.want(apps[want.app], want.isUrgent)
	}
	q.drop(apps[5])
	var order []string
	for app, ok := q.take(); ok; app, ok = q.take() {
		order = append(order, app.Name)
	}
	if fmt.Sprint(order) != "[3 4 1 2]" || !q.isEmpty() || q.hasUrgent() {
		t.Errorf("%v", order)
	}
	q.want(apps[1], false)
	if app, ok := q.take(); !ok || app != apps[1] {
		t.Error("an app cannot be wanted twice")
	}
	apps[1].isGone.Store(true)
	if q.want(apps[1], true); !q.isEmpty() {
		t.Error("an app is wanted that was removed")
	}
}

// TestSetCompilesOffTheLoop: WebAssembly that a pool does not compile itself is compiled by the preparer, at the first
// start and after the app has slept.
func TestSetCompilesOffTheLoop(t *testing.T) {
	b := newBench(t, map[string]string{
		"a.js":       "import m from './empty.wasm';\nexport default { fetch: () => new Response(String(m instanceof WebAssembly.Module)) };\n",
		"empty.wasm": "\x00asm\x01\x00\x00\x00",
	})
	b.pool.Close()
	b.pool = loadRuntime(t).NewPool(isolates.PoolOptions{Wake: -1, CompileMax: 1})
	for _, err := range b.start(0, "a.js") {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.expect(0, "true", "source")
	b.waitForImages(1)
	b.start(0, "a.js")
	b.expect(0, "true", fromImage)
	b.expect(0, "true", fromImage)
}
