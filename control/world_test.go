package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nano/apps"
	"nano/config"
	"nano/loop"
	"nano/snapshot"
)

// fakeSet is an apps.Set whose apps are the text of main alone. What that says decides what becomes of it:
// "syntax" cannot be read, "throws" does not start.
type fakeSet struct {
	mutex   sync.Mutex
	kept    map[apps.SourceID]string // on the disk: it outlives a node
	holds   map[apps.SourceID]int
	apps    map[int]fakeApp
	pinned  func(apps.SourceID) bool
	gate    chan struct{} // Ensure waits for it, if it is not nil
	entered chan struct{}
	closing func() // called by Close, if it is not nil
	sync    func() error
	isSharp bool // Known knows
	keeps   int  // calls of Keep
}

type fakeApp struct {
	apps.App
	text    string
	problem error
}

func (s *fakeSet) read(app apps.App) (string, error) {
	if !app.Source.IsZero() {
		text, ok := s.kept[app.Source]
		if !ok {
			return "", errors.New("source is gone")
		}
		return text, nil
	}
	text, err := os.ReadFile(app.Main)
	if err != nil {
		return "", &apps.MainError{Path: app.Main, Err: err}
	}
	if strings.HasPrefix(string(text), "import") {
		return "", fmt.Errorf("%s:1:8: cannot import %q: no such file", filepath.Base(app.Main), strings.Fields(string(text))[1])
	}
	if strings.Contains(string(text), "syntax") {
		return "", fmt.Errorf("%s:1:1: SyntaxError", filepath.Base(app.Main))
	}
	return string(text), nil
}

func (s *fakeSet) Put(id int, app apps.App) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, taken := s.apps[id]; taken {
		return fmt.Errorf("id %d is taken", id)
	}
	text, err := s.read(app)
	if app.Source.IsZero() && err == nil {
		app.Source = sha256.Sum256([]byte(text))
		s.kept[app.Source] = text
	}
	s.holds[app.Source]++
	s.apps[id] = fakeApp{app, text, err}
	return nil
}

func (s *fakeSet) Ensure(ctx context.Context, id int) error {
	s.mutex.Lock()
	app, gate, entered := s.apps[id], s.gate, s.entered
	s.mutex.Unlock()
	if gate != nil {
		entered <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if strings.Contains(app.text, "throws") {
		return &apps.ProblemError{What: "main.js:1:1: TypeError"}
	}
	return app.problem
}

func (s *fakeSet) Remove(id int) {
	s.mutex.Lock()
	source := s.apps[id].Source
	delete(s.apps, id)
	s.mutex.Unlock()
	s.Release(source)
}

func (s *fakeSet) Version(id int) apps.SourceID {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.apps[id].Source
}

func (s *fakeSet) Problem(id int) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.apps[id].problem
}

func (s *fakeSet) Keep(_ context.Context, app apps.App, _ string) (apps.SourceID, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.keeps++
	text, err := s.read(app)
	if err != nil {
		return apps.SourceID{}, err
	}
	if s.sync != nil {
		if err := s.sync(); err != nil {
			return apps.SourceID{}, fmt.Errorf("%w: %w", apps.ErrState, err)
		}
	}
	id := apps.SourceID(sha256.Sum256([]byte(text)))
	s.kept[id] = text
	s.holds[id]++
	return id, nil
}

func (s *fakeSet) Known(app apps.App) (apps.SourceID, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	text, err := s.read(app)
	return sha256.Sum256([]byte(text)), s.isSharp && err == nil
}

func (s *fakeSet) Release(id apps.SourceID) {
	s.mutex.Lock()
	s.holds[id]--
	isFree := s.holds[id] <= 0
	s.mutex.Unlock()
	if isFree && !s.pinned(id) {
		s.mutex.Lock()
		delete(s.kept, id)
		s.mutex.Unlock()
	}
}

func (s *fakeSet) Persist(id apps.SourceID) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, ok := s.kept[id]; !ok {
		return fmt.Errorf("%s: %w", id, fs.ErrNotExist)
	}
	if s.sync != nil {
		return s.sync()
	}
	return nil
}

func (s *fakeSet) Forget(id apps.SourceID, _ string) {
	pinned := s.pinned(id)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !pinned && s.holds[id] <= 0 {
		delete(s.kept, id)
	}
}

func (s *fakeSet) Close() {
	if s.closing != nil {
		s.closing()
	}
}

// fakeLoops are loops whose requests are asked for by the tests.
type fakeLoops struct {
	sleep    func(id int) // called by Sleep, if it is not nil
	removing chan int     // gets the ids that RemoveApp is about to give up, if it is not nil
	set      *fakeSet
	mutex    sync.Mutex
	apps     map[int]loop.App
	routes   []loop.Route
	swaps    int
	failing  error                 // of SetRoutes
	swap     func()                // called by SetRoutes, if it is not nil
	held     map[int]chan struct{} // RemoveApp of these waits
	cut      []int                 // that were removed at the end of their time
}

func (l *fakeLoops) AddApp(app loop.App) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	id := 0
	for _, taken := l.apps[id]; taken; _, taken = l.apps[id] {
		id++ // as soon as it may be used again, it is
	}
	l.apps[id] = app
	return id, nil
}

func (l *fakeLoops) SetRoutes(_ context.Context, routes []loop.Route) error {
	if l.swap != nil {
		l.swap()
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.failing != nil {
		return l.failing
	}
	taken := map[string]string{}
	for _, r := range routes {
		for _, host := range append(slices.Clone(r.Hosts), map[bool][]string{true: {"*"}}[len(r.Hosts) == 0]...) {
			if other := taken[host+r.Path]; other != "" {
				return fmt.Errorf("%s and %s have %s%s", other, r.Name, host, r.Path)
			}
			taken[host+r.Path] = r.Name
		}
		for _, target := range r.Targets {
			if _, isThere := l.apps[target.App]; !isThere || target.Weight < 1 {
				return fmt.Errorf("%s: bad target %+v", r.Name, target)
			}
		}
	}
	l.routes = routes
	l.swaps++
	return nil
}

func (l *fakeLoops) RemoveApp(ctx context.Context, id int) error {
	l.mutex.Lock()
	held := l.held[id]
	for _, r := range l.routes {
		if slices.ContainsFunc(r.Targets, func(t loop.Target) bool { return t.App == id }) {
			l.mutex.Unlock()
			return fmt.Errorf("%s is routed to %d", r.Name, id)
		}
	}
	l.mutex.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			l.mutex.Lock()
			l.cut = append(l.cut, id)
			l.mutex.Unlock()
		}
	}
	l.mutex.Lock()
	app := l.apps[id]
	l.mutex.Unlock()
	if l.removing != nil {
		l.removing <- id
	}
	app.Removed(id)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.apps, id)
	return nil
}

func (l *fakeLoops) Probe(ctx context.Context, id int, _ string) (int, error) {
	l.set.mutex.Lock()
	text := l.set.apps[id].text
	l.set.mutex.Unlock()
	if strings.Contains(text, "hangs") {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if strings.Contains(text, "sick") {
		return 503, nil
	}
	return 204, nil
}

func (l *fakeLoops) Wake(_ context.Context, id int) error {
	l.set.mutex.Lock()
	defer l.set.mutex.Unlock()
	if strings.Contains(l.set.apps[id].text, "dies") {
		return errors.New("Error: at the start")
	}
	return nil
}

func (l *fakeLoops) Sleep(_ context.Context, id int) (bool, error) {
	if l.sleep != nil {
		l.sleep(id)
	}
	return true, nil
}

func (l *fakeLoops) Loops(context.Context) []loop.LoopStatus { return nil }
func (l *fakeLoops) Drain()                                  {}
func (l *fakeLoops) Wait() error                             { return nil }
func (l *fakeLoops) Accounts(context.Context) (all, gone []loop.AppStats, _ error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.apps)) {
		all = append(all, loop.AppStats{Name: l.apps[id].Name, Warm: 1})
	}
	return all, nil, nil
}

// world is a node with its files.
type world struct {
	t      *testing.T
	folder string
	disk   *fakeDisk
	set    *fakeSet
	loops  *fakeLoops
	node   *Node
	log    bytes.Buffer

	applied  []*config.Config // by reloads
	isShared bool             // with another node: Options.IsShared of the next start
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir(), disk: &fakeDisk{}}
	w.write(files)
	w.set = &fakeSet{kept: map[apps.SourceID]string{}, holds: map[apps.SourceID]int{}}
	w.restart()
	return w
}

func (w *world) write(files map[string]string) {
	w.t.Helper()
	for name, text := range files {
		path := filepath.Join(w.folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// restart ends the node, and starts it anew with what is on the disk.
func (w *world) restart() {
	w.t.Helper()
	if w.node != nil {
		w.node.ending.Wait()
	}
	load := func() (*config.Config, error) { return config.Load(filepath.Join(w.folder, "nano.toml")) }
	c, err := load()
	if err != nil {
		w.t.Fatal(err)
	}
	w.set = &fakeSet{kept: w.set.kept, holds: map[apps.SourceID]int{}, apps: map[int]fakeApp{}, sync: w.set.sync}
	w.node = New(c, Options{
		Load: load, Apps: filepath.Join(c.Server.StateDir, "apps"), Uploads: filepath.Join(c.Server.StateDir, "uploads"),
		Files: w.disk, IsShared: w.isShared,
		Has:      func(id apps.SourceID) bool { _, has := w.set.kept[id]; return has },
		Loop:     func(app *config.App) (loop.App, error) { return loop.App{Name: app.Name, Wall: app.Limits.Wall}, nil },
		Logger:   slog.New(slog.NewTextHandler(&w.log, nil)),
		Applying: func(next *config.Config) { w.applied = append(w.applied, next) },
	})
	w.set.pinned = w.node.Pinned
	set, loops, err := w.node.Initial()
	if err != nil {
		w.t.Fatal(err)
	}
	w.loops = &fakeLoops{set: w.set, apps: map[int]loop.App{}, held: map[int]chan struct{}{}}
	for i := range set {
		w.loops.AddApp(loops[i])
		if err := w.set.Put(i, set[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.loops.SetRoutes(context.Background(), routesOf(w.node.apps, w.node.order)); err != nil {
		w.t.Fatal(err)
	}
	w.node.Start(context.Background(), w.set, w.loops)
	w.loops.swaps = 0
}

// serves is what is answered where: "host/path=text", of several with their weights.
func (w *world) serves() string {
	w.loops.mutex.Lock()
	defer w.loops.mutex.Unlock()
	w.set.mutex.Lock()
	defer w.set.mutex.Unlock()
	var all []string
	for _, r := range w.loops.routes {
		var texts []string
		for _, target := range r.Targets {
			app := w.set.apps[target.App]
			if w.loops.apps[target.App].Name != r.Name {
				w.t.Errorf("%s leads to %s", r.Name, w.loops.apps[target.App].Name)
			}
			text := app.text
			if app.EnvJSON != "{}" {
				text += app.EnvJSON
			}
			if len(r.Targets) > 1 {
				text += fmt.Sprint("*", target.Weight)
			}
			texts = append(texts, text)
		}
		all = append(all, strings.Join(r.Hosts, ",")+r.Path+"="+strings.Join(texts, "+"))
	}
	return strings.Join(all, " ")
}

func (w *world) expect(want string) {
	w.t.Helper()
	if got := w.serves(); got != want {
		w.t.Errorf("serves %s\nwant   %s\n%s", got, want, w.log.String())
	}
}

// settle waits for removals and looks for what should be gone.
func (w *world) settle() {
	w.t.Helper()
	w.node.ending.Wait()
	targets := 0
	for _, r := range w.loops.routes {
		targets += len(r.Targets)
	}
	if len(w.loops.apps) != targets || len(w.set.apps) != targets || len(w.node.folders) > targets {
		w.t.Errorf("%d targets, but %d and %d apps, %d folders", targets, len(w.loops.apps), len(w.set.apps), len(w.node.folders))
	}
	for id := range w.set.kept {
		if w.set.holds[id] <= 0 && !w.node.Pinned(id) {
			w.t.Errorf("%s is kept for nobody: %q", id, w.set.kept[id])
		}
	}
	var left []string
	filepath.WalkDir(filepath.Join(w.folder, ".nano"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), snapshot.TemporaryPrefix) {
			left = append(left, path)
		}
		return nil
	})
	if len(left) > 0 {
		w.t.Errorf("left behind: %v", left)
	}
}

func (w *world) reload() *Report {
	w.t.Helper()
	report, err := w.node.Reload(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return report
}

func (w *world) deploy(name, text string, with ...func(*Deployment)) (Version, error) {
	d := Deployment{Body: strings.NewReader(text), Type: "text/javascript"}
	for _, change := range with {
		change(&d)
	}
	return w.node.Deploy(context.Background(), name, d)
}

func (w *world) app(name string) App {
	w.t.Helper()
	all, err := w.node.Apps(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(a App) bool { return a.Name == name })
	if i < 0 {
		w.t.Fatalf("there is no app %s", name)
	}
	return all[i]
}

// versions are an app's, the newest first: "3=a* 2=b".
func (w *world) versions(name string) string {
	w.t.Helper()
	var all []string
	for _, v := range w.app(name).Versions {
		text := "?"
		for id, kept := range w.set.kept {
			if VersionID(id) == v.ID {
				text = kept
			}
		}
		one := fmt.Sprintf("%d=%s", v.Number, text)
		if v.Weight > 0 {
			one += strings.Repeat("*", v.Weight)
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

func (w *world) waitForLog(text string) {
	w.t.Helper()
	if !strings.Contains(w.log.String(), text) {
		w.t.Errorf("%q is not in the log:\n%s", text, w.log.String())
	}
}

// fakeDisk is a disk that fails or stops at one of its operations.
type fakeDisk struct {
	snapshot.Disk
	mutex   sync.Mutex
	failAt  int // counted from 1; 0: never
	stops   bool
	failure error
	count   int
}

// step counts an operation, and tells whether it fails.
func (d *fakeDisk) step() error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.count++
	if d.failAt > 0 && (d.count == d.failAt || d.stops && d.count > d.failAt) {
		return d.failure
	}
	return nil
}

func (d *fakeDisk) Write(path string, content []byte, permissions fs.FileMode) error {
	if err := d.step(); err != nil {
		_ = d.Disk.Write(path, content[:len(content)/2], permissions) // what came so far
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return d.Disk.Write(path, content, permissions)
}

func (d *fakeDisk) Sync(path string) error {
	if err := d.step(); err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	return d.Disk.Sync(path)
}

func (d *fakeDisk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	return d.Disk.Rename(from, to)
}

func (d *fakeDisk) Remove(path string) error {
	d.mutex.Lock()
	stopped := d.stops && d.failAt > 0 && d.count >= d.failAt
	d.mutex.Unlock()
	if stopped { // a process that was killed cleans nothing up
		return d.failure
	}
	return d.Disk.Remove(path)
}
