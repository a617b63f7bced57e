package apps

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nano/bundle"
	"nano/isolates"
	"nano/snapshot"
)

// App is a configured app.
type App struct {
	isolates.AppOptions
	Main string // absolute path of the main module, or of a file of `nano build`
	// Bundling is how the modules are bundled, if they are.
	Bundling bundle.Settings
	// Root is the folder of an app that came from outside: nothing is read that does not lie in it, and an
	// image in Main is not used but built anew, since V8 trusts what it restores. "": Main is one of the
	// node's own files.
	Root string
	// Source is what the app is started from, whatever is in Main by now; zero: Main is read.
	Source SourceID
}

// Options of a Set.
type Options struct {
	Runtime *isolates.Runtime
	Store   snapshot.Store // of images
	Sources *Sources       // keeps what apps were read from; nil: nothing is kept
	Builder *Builder       // used by the Set alone from now on
	Bundler *Bundler       // closed with the Set; nil: one that keeps nothing
	Apps    []App          // with the ids 0 to len(Apps)-1; others come by Put
	Base    string         // folder; paths in messages are relative to it
	Logger  *slog.Logger
	// Explain puts where an app is configured before an error of it that names no place in its
	// source; nil: nothing is put.
	Explain func(app *App, err error) error
	// Pinned tells which kept sources are needed, with their images, though no app here is started
	// from them; nil: none. Any goroutine may call it.
	Pinned func(SourceID) bool
	// Direct has apps started from their source, and no images built: for development, where there soon is another
	// version.
	Direct bool
	// Noted is told what an app's files are whenever they have been read, or what is wrong with them; nil: nobody wants to know.
	// It is called by one goroutine after the other.
	Noted func(app *App, inputs []string, err error)
	// Eager is how many apps Start looks at before it returns; 0: eagerDefault. The others follow
	// in the background, so that a node with thousands of them listens at once.
	Eager int
}

const eagerDefault = 256

// Set is the apps of a node, which come and go while it runs. What an app consists of is read once, at
// the start or before its first request, kept in Sources, and its image built if the store has none, by
// the Builder, away from the loops. Until there is an image, the app is started from source. When there
// is one, nothing of the app is kept in memory until it is started. What is in the app's own files after
// they were read does not matter any more.
//
// All methods may be called from any goroutine at any time; Start, from all loops.
type Set struct {
	options Options
	entries atomic.Pointer[[]*entry] // by id; nil where there is none. Replaced, never changed
	change  sync.Mutex               // for whoever replaces entries
	queue   queue
	memo    memo
	first   preparer
	stop    chan struct{}
	ended   chan struct{} // closed when the worker has ended
	trouble string        // of the worker: why nothing could be built last time
	built   int           // of the worker: images since it last had nothing to do

	isBuilding atomic.Bool // the worker has taken an app out of the queue
}

// entry is one app of a Set.
type entry struct {
	App
	isGone atomic.Bool // it was removed

	// Guarded by the preparer's mutex.
	preparing *Preparation                    // that is to be done; nil: none
	asked     map[*isolates.Pool]*Preparation // that loops wait for, or have waited for

	// started is what isolates are started from; nil: none was yet. Written under mutex.
	started atomic.Pointer[isolates.App]

	mutex    sync.Mutex
	isRead   bool
	err      error    // the app cannot be started
	image    string   // path of its image; "": there is none yet
	hash     string   // of the App in the image's key
	source   SourceID // what was kept when it was read; zero: nothing
	reported bool     // why it has no snapshot
}

// Start makes a Set of apps. errs has an error for each app that is known not to start; what is
// found later, and at the first request, is logged.
func Start(options Options) (s *Set, errs []error) {
	s = &Set{options: options, stop: make(chan struct{}), ended: make(chan struct{})}
	s.queue.init()
	s.first.init(s.prepare)
	all, entries := make([]entry, len(options.Apps)), make([]*entry, len(options.Apps))
	for i := range all {
		all[i].App, entries[i] = options.Apps[i], &all[i]
		s.holdConfigured(entries[i])
	}
	s.entries.Store(&entries)
	eager := min(cmp.Or(options.Eager, eagerDefault), len(entries))
	errs = make([]error, len(entries))
	var reader reader
	for i, e := range entries[:eager] {
		_, errs[i] = s.read(e, &reader)
	}
	reader.close()
	go s.work(entries[eager:])
	return s, errs
}

// Close ends the background work, a build that is going on included.
func (s *Set) Close() {
	close(s.stop)
	s.options.Builder.Interrupt()
	s.options.Bundler.Close()
	s.first.close()
	<-s.ended
}

// reader holds a resolver once one was needed.
type reader struct{ resolver *isolates.Resolver }

func (r *reader) get(runtime *isolates.Runtime) (*isolates.Resolver, error) {
	if r.resolver == nil {
		resolver, err := runtime.NewResolver()
		if err != nil {
			return nil, err
		}
		r.resolver = resolver
	}
	return r.resolver, nil
}

func (r *reader) close() {
	if r.resolver != nil {
		r.resolver.Close()
		r.resolver = nil
	}
}

// errChanged: an app that cannot be started from what was read first must not be started from
// something else.
var errChanged = errors.New("what it was started from is not in state_dir any more, and its files have changed since; reload the node")

// source reads what an app consists of, on the calling thread: what was kept when it was read for the
// first time, or else its files.
func (s *Set) source(e *entry, reader *reader) (Source, error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return s.sourceLocked(e, reader)
}

func (s *Set) sourceLocked(e *entry, reader *reader) (Source, error) {
	id := e.source
	if id.IsZero() {
		id = e.Source
	}
	if !id.IsZero() && s.options.Sources != nil {
		bundle, warmup, err := s.options.Sources.load(id)
		if err == nil {
			warmup = cmp.Or(e.Warmup, warmup)
			return Source{Bundle: bundle, Warmup: warmup, Key: s.options.Runtime.ImageKey(bundle, warmup)}, nil
		}
		if !e.Source.IsZero() {
			return Source{}, fmt.Errorf("its source in state_dir cannot be used: %w; deploy it again", err)
		}
	}
	source, err := s.readFiles(reader, &e.App, s.options.Base)
	if err != nil {
		return Source{}, s.explain(&e.App, err)
	}
	if e.hash != "" && e.hash != source.Key.App {
		return Source{}, errChanged
	}
	return source, nil
}

// readFiles reads an app's files.
func (s *Set) readFiles(reader *reader, app *App, base string) (Source, error) {
	resolver, err := reader.get(s.options.Runtime)
	if err != nil {
		return Source{}, err
	}
	began := time.Now()
	source, err := ReadSource(s.options.Runtime, resolver, s.options.Bundler, app, base)
	if s.options.Noted != nil {
		s.options.Noted(app, source.Inputs, err)
	}
	source.began = began
	return source, err
}

func (s *Set) explain(app *App, err error) error {
	if s.options.Explain == nil {
		return err
	}
	return s.options.Explain(app, err)
}

// read looks at an app for the first time: what is wrong with it, and whether it has an image. If it
// has none, one is asked for, and source is what to start from meanwhile.
func (s *Set) read(e *entry, reader *reader) (source Source, err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return s.readLocked(e, reader)
}

func (s *Set) readLocked(e *entry, reader *reader) (source Source, err error) {
	if e.isRead {
		return Source{}, e.err
	}
	e.isRead = true
	source, e.err = s.sourceLocked(e, reader)
	if e.err != nil {
		return Source{}, e.err
	}
	if s.options.Sources != nil && e.Source.IsZero() {
		s.keep(e, source)
	}
	e.hash = source.Key.App
	if s.options.Direct {
		return source, nil
	}
	if e.image = s.findImage(e, source); e.image == "" {
		s.queue.want(e, false)
	}
	return source, nil
}

// keep keeps what an app was read from. The names of many apps need not be on the disk before they
// serve: what a crash of the machine loses is read from the files again.
func (s *Set) keep(e *entry, source Source) {
	data, id := encodeSource(source.Bundle, source.ownWarmup(&e.App))
	if err := s.options.Sources.save(data, id); err != nil {
		s.options.Logger.Warn("its source cannot be kept in state_dir, so its files must not be changed while the node runs: "+err.Error(),
			"app", e.Name)
		return
	}
	s.options.Sources.touch(id)
	e.source = id
	if !source.began.IsZero() {
		s.memo.note(&e.App, source.Inputs, source.began, id, int64(len(data)))
	}
}

// ownWarmup is the warm-up path that goes with the source, rather than with the configuration.
func (s *Source) ownWarmup(app *App) string {
	if app.Warmup != "" {
		return ""
	}
	return s.Warmup
}

// findImage gives the path of an image that is there already. That of a .nano file is copied to the
// store: people copy new files over old ones, and what is cut off while it is mapped would end the
// process.
func (s *Set) findImage(e *entry, source Source) string {
	store := s.options.Store
	if !store.Has(source.Key) && source.IsImage {
		if err := copyImage(store, e.Main, source.Key); err != nil {
			s.options.Logger.Warn("cannot copy the app to state_dir, so its file must not be changed while the node runs: "+err.Error(),
				"app", e.Name)
			return e.Main
		}
	}
	if !store.Has(source.Key) {
		return ""
	}
	// Should it fail, the image may be swept by another node, and would be built again.
	_ = store.Touch(source.Key)
	return store.Path(source.Key)
}

func copyImage(store snapshot.Store, path string, key snapshot.Key) error {
	file, err := snapshot.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(store.Save(key, file.Sections()), file.Close())
}

// Start starts an app in an isolate of a loop, on the loop's thread. The error is a *Preparation if the app's
// source has to be read first, before the background has come to it or when its image is gone, or much
// WebAssembly to be compiled.
func (s *Set) Start(pool *isolates.Pool, id int) (*isolates.Isolate, error) {
	e := s.entry(id)
	if e == nil {
		return nil, errUnknown
	}
	for {
		app := e.started.Load()
		if app == nil {
			var err error
			if app, err = s.firstStart(e, pool); err != nil {
				return nil, err
			}
		}
		isolate, err := pool.Start(app)
		if errors.Is(err, isolates.ErrUncompiled) {
			return nil, s.first.want(e, pool)
		}
		if err == nil || !isAboutImage(err) {
			return isolate, err
		}
		if !s.dropImage(e, app, err) {
			return nil, s.first.want(e, pool) // comes again when whoever is at the app has done
		}
	}
}

// isAboutImage tells whether an error of Pool.Start is about the image, rather than the app or a
// shortage that will pass.
func isAboutImage(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, shortage) {
			return false
		}
	}
	var format *snapshot.FormatError
	var mismatch *snapshot.MismatchError
	var path *fs.PathError
	return errors.As(err, &format) || errors.As(err, &mismatch) || errors.As(err, &path) || errors.Is(err, isolates.ErrBundle)
}

// firstStart gives what isolates of an app are started from, without waiting.
func (s *Set) firstStart(e *entry, pool *isolates.Pool) (*isolates.App, error) {
	if e.mutex.TryLock() {
		defer e.mutex.Unlock()
		if app := e.started.Load(); app != nil {
			return app, nil
		}
		if e.err != nil {
			return nil, e.err
		}
		if app := s.fromImageLocked(e); app != nil {
			return app, nil
		}
	}
	return nil, s.first.want(e, pool)
}

// prepare makes what isolates of an app are started from, on the preparer's thread.
func (s *Set) prepare(e *entry, reader *reader) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if app := e.started.Load(); app != nil {
		// Its WebAssembly is wanted, or another loop was faster. If its image cannot be read, starting it tells;
		// without a resolver it would ask for this again, and again.
		var err error
		_ = app.Compile(func() (resolver *isolates.Resolver, _ error) {
			resolver, err = reader.get(s.options.Runtime)
			return resolver, err
		})
		return err
	}
	source, err := s.readLocked(e, reader)
	if err != nil {
		return err
	}
	if s.fromImageLocked(e) == nil {
		_, err = s.fromSourceLocked(e, source, reader)
	}
	return err
}

// fromImageLocked makes an app that starts from its image; nil: there is none.
func (s *Set) fromImageLocked(e *entry) *isolates.App {
	if e.image == "" {
		return nil
	}
	image, err := s.openImage(e)
	if err != nil {
		s.giveUpImage(e, err)
		return nil
	}
	app := s.options.Runtime.NewApp(e.AppOptions, nil)
	app.SetImage(image)
	e.started.Store(app)
	return app
}

// fromSourceLocked makes an app that starts from source, reading it unless it was just read, and
// asks for its image soon.
func (s *Set) fromSourceLocked(e *entry, source Source, reader *reader) (*isolates.App, error) {
	if source.Bundle == nil {
		var err error
		if source, err = s.sourceLocked(e, reader); err != nil {
			return nil, err
		}
	}
	app := s.options.Runtime.NewApp(e.AppOptions, source.Bundle)
	e.hash = source.Key.App
	e.started.Store(app)
	if !s.options.Direct {
		s.queue.want(e, true)
	}
	return app, nil
}

// openImage opens e's image for the first time, or again.
func (s *Set) openImage(e *entry) (*isolates.Image, error) {
	path, want := e.image, s.options.Runtime.Key()
	want.App = e.hash
	return s.useImage(e, func() (*snapshot.File, error) {
		file, err := snapshot.Open(path)
		if err != nil {
			return nil, err
		}
		if err := file.Check(want); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	})
}

// useImage makes an image of e, and tells once what there is to tell of it.
func (s *Set) useImage(e *entry, open func() (*snapshot.File, error)) (*isolates.Image, error) {
	image, err := s.options.Runtime.Image(open)
	if err != nil {
		return nil, err
	}
	if !e.reported && image.Reason() != "" {
		s.options.Logger.Warn("starts from its source, because it cannot be snapshotted: "+image.Reason(), "app", e.Name)
	}
	if !e.reported && image.WarmUpNote() != "" {
		s.options.Logger.Warn("was not warmed up: "+image.WarmUpNote(), "app", e.Name)
	}
	e.reported = true
	return image, nil
}

func (s *Set) giveUpImage(e *entry, why error) {
	s.options.Logger.Warn("its image cannot be used, it starts from its source until there is another: "+why.Error(), "app", e.Name)
	e.image = ""
}

// dropImage has an app started from its source whose image went bad while the node ran: somebody deleted it, or
// the disk did. False: it would have to wait.
func (s *Set) dropImage(e *entry, bad *isolates.App, why error) bool {
	if !e.mutex.TryLock() {
		return false
	}
	defer e.mutex.Unlock()
	if e.started.CompareAndSwap(bad, nil) { // else another loop was here before
		s.giveUpImage(e, why)
	}
	return true
}
