package isolates

import (
	"errors"
	"fmt"
	"time"

	"nano/isolates/shim"
)

// PoolOptions are those of a Pool.
type PoolOptions struct {
	// Wake is an eventfd that V8's threads write to when they post a task for an isolate; -1: none.
	Wake int
	// Heap is the heap limit of the isolates that are kept ready, in bytes: apps with another do not
	// use them. 0: V8's default.
	Heap uint64
	// Ready is how many isolates are kept ready.
	Ready int
	// Inspect gives what an app of a name can be debugged by: the app is started from its source then. nil, or
	// what it gives is nil: it cannot.
	Inspect func(name string) *Inspector
	// CompileMax is how many bytes of WebAssembly that an app imports Start compiles itself, if no isolate of
	// the app lives; 0: any. Of an app with more it is ErrUncompiled.
	CompileMax int64
}

// ErrUncompiled is Pool.Start's error for an app whose WebAssembly is to be compiled first, by App.Compile on another
// thread.
var ErrUncompiled = errors.New("its WebAssembly is not compiled yet")

// Pool starts the apps of one loop. It keeps a few isolates of the runtime snapshot ready, for apps
// that are loaded into one faster than their own snapshot is restored. All calls come from the
// loop's thread, which must be locked.
type Pool struct {
	runtime  *Runtime
	options  PoolOptions
	ready    []shim.Isolate
	reserved ranges // by those that are ready
}

// quickLoad is what loading an app into a ready isolate may take at most, as measured when its image
// was built: longer, and restoring its snapshot is faster.
const quickLoad = 200 * time.Microsecond

// NewPool makes a pool with nothing ready yet.
func (r *Runtime) NewPool(options PoolOptions) *Pool { return &Pool{runtime: r, options: options} }

// Prepare makes one isolate ready, if one is missing. False: none is missing now.
func (p *Pool) Prepare() bool {
	if len(p.ready) >= p.options.Ready || Crowded() {
		return false
	}
	bare, err := shim.NewIsolate(p.runtime.blob, shim.Image{}, shim.IsolateOptions{Wake: p.options.Wake, HeapLimit: p.options.Heap})
	if err != nil {
		return false // whoever starts an app next is told
	}
	p.ready = append(p.ready, bare)
	p.countReady()
	return len(p.ready) < p.options.Ready
}

// countReady counts what the ready isolates take.
func (p *Pool) countReady() {
	n := int64(len(p.ready))
	p.reserved.count(ranges{n, shim.Ranges{Cage: n * fresh.Cage, Trusted: n * fresh.Trusted}})
}

// Ready is how many isolates are ready.
func (p *Pool) Ready() int { return len(p.ready) }

// Close disposes of the isolates that are ready.
func (p *Pool) Close() {
	for _, bare := range p.ready {
		bare.Dispose()
	}
	p.ready = nil
	p.countReady()
}

// Start starts an app. An error names the place in the app's source, if that is where the fault
// lies; ErrNoRoom: it is the process that has no room.
func (p *Pool) Start(app *App) (*Isolate, error) {
	begun := time.Now()
	if needs := app.image.Load().needs(); !hasRoom(needs) {
		p.Close() // what is ready takes room as well
		if !hasRoom(needs) {
			return nil, ErrNoRoom
		}
	}
	var i *Isolate
	var err error
	if inspector := p.inspectorOf(app); inspector != nil {
		i, err = p.startInspected(app, inspector)
	} else {
		i, err = p.startImage(app)
	}
	if err != nil {
		return nil, err
	}
	if app.options.PerRequest {
		i.contexts = newContexts(i)
	} else {
		i.arena.isolate = i.isolate
		i.inputs = make([]shim.Input, 0, 1)
		if i.loaded.file != nil {
			i.loaded.file.Release()
		}
	}
	i.measure()
	i.shrunkTo = i.resident
	i.started.Duration = time.Since(begun)
	return i, nil
}

// startImage starts an app from its image, in an isolate that is ready or a new one.
func (p *Pool) startImage(app *App) (*Isolate, error) {
	image := app.image.Load()
	loaded, err := image.acquire()
	if err != nil {
		return nil, err
	}
	if loaded.wasmBytes > p.options.CompileMax && p.options.CompileMax > 0 && !loaded.isCompiled.Load() {
		image.release()
		return nil, ErrUncompiled
	}
	i := &Isolate{app: app, runtime: p.runtime, wake: p.options.Wake, image: image, loaded: loaded}
	if bare, ok := p.takeReady(app, image); ok {
		i.isolate = bare
		bare.Limit(app.options.Limits.CPU)
		if err = i.startIn(bare); err != nil {
			bare.Dispose()
		}
	} else {
		i.isolate, err = i.restore()
	}
	if err != nil {
		image.release()
		return nil, err
	}
	return i, nil
}

// takeReady takes a ready isolate if one suits the app and is worth it.
func (p *Pool) takeReady(app *App, image *Image) (shim.Isolate, bool) {
	last := len(p.ready) - 1
	if last < 0 || app.options.Limits.Heap != p.options.Heap {
		return shim.Isolate{}, false
	}
	// With a context for each request, later ones come from the isolate's snapshot: it must be the
	// app's own, if there is one.
	if image.snapshot && (app.options.PerRequest || image.manifest.LoadNS > quickLoad.Nanoseconds()) {
		return shim.Isolate{}, false
	}
	bare := p.ready[last]
	p.ready = p.ready[:last]
	p.countReady()
	return bare, true
}

// restore makes a V8 isolate from the snapshot of the app, or else of the runtime, and starts the
// app in it.
func (i *Isolate) restore() (shim.Isolate, error) {
	limits := i.app.options.Limits
	if held := i.image.manifest.Memory; limits.Heap > 0 && held > limits.Heap {
		return shim.Isolate{}, fmt.Errorf("its top level keeps %d MiB of memory, more than its heap may have (%d MiB)",
			held>>20, limits.Heap>>20)
	}
	options := shim.IsolateOptions{Wake: i.wake, HeapLimit: limits.Heap, CPULimit: limits.CPU}
	if i.inspector != nil {
		options.Inspector = i.inspector.inspector
	}
	bare, err := shim.NewIsolate(i.runtime.blob, i.loaded.image, options)
	if err != nil {
		return shim.Isolate{}, err
	}
	i.started.How = startSnapshot
	if !i.image.snapshot {
		err = i.startIn(bare)
	} else {
		_, err = bare.Start(0, i.loaded.image, i.app.options.Name, i.app.options.EnvJSON, i.app.options.BindingsJSON)
	}
	if err != nil {
		bare.Dispose()
		return shim.Isolate{}, err
	}
	return bare, nil
}

// startIn loads the app into an isolate of the runtime snapshot.
func (i *Isolate) startIn(bare shim.Isolate) error {
	fromCache, err := bare.Start(0, i.loaded.image, i.app.options.Name, i.app.options.EnvJSON, i.app.options.BindingsJSON)
	i.started.How = startSource
	if fromCache {
		i.started.How = startCache
	}
	i.hush(bare)
	return err
}

// hush keeps an app that has an image from logging what it logs at its top level: that was recorded
// when the image was built (Image.Log). Whether it runs again depends on how the isolate is started.
// It is called after a start, before anything else runs.
func (i *Isolate) hush(started shim.Isolate) {
	if i.image.open != nil {
		started.Hush()
	}
}
