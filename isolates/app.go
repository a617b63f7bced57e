package isolates

import (
	"sync/atomic"
	"time"
)

// Limits of an app.
type Limits struct {
	// Heap ends an isolate when its heap grows beyond, in bytes; 0: V8's default.
	Heap uint64
	// CPU ends an isolate when a request takes more CPU time; 0: none. It holds on threads that
	// called WatchThread.
	CPU time.Duration
}

// AppOptions say how an app runs.
type AppOptions struct {
	Name    string
	EnvJSON string // an object: what handlers get as env
	// BindingsJSON is an object that says what else env has and what is allowed, or "":
	//	{"services": {"NAME": "app"}, "assets": "NAME", "subrequests": 1000, "clock": 100}
	BindingsJSON string
	Limits       Limits
	// PerRequest gives every request a context of its own: nothing that one leaves behind is there
	// for the next.
	PerRequest bool
	// Warmup is the path of a synthetic GET request that the app is warmed up with before its
	// snapshot is made; "": none.
	Warmup string
}

// App is an app ready to be started in isolates, from source or from an image. All loops may use it
// at the same time.
type App struct {
	options AppOptions
	image   atomic.Pointer[Image]
}

// NewApp makes an app that is started from source until it has an image.
func (r *Runtime) NewApp(options AppOptions, bundle *Bundle) *App {
	app := &App{options: options}
	app.image.Store(&Image{bundle: bundle})
	return app
}

// Name is the app's name.
func (a *App) Name() string { return a.options.Name }

// SetImage makes the isolates that are started from now on start from an image. The bundle in memory
// is dropped once no isolate needs it.
func (a *App) SetImage(image *Image) { a.image.Store(image) }

// Compile compiles the WebAssembly that an app imports, if there is any and nobody has done so, in a resolver of
// the calling thread: an app with megabytes of it would stop a loop for long. Isolates that are started within
// some seconds share the code, and later ones for as long as one of them lives.
func (a *App) Compile(resolver func() (*Resolver, error)) error {
	return a.image.Load().compile(resolver)
}
