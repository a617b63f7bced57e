// Package control is the control plane of a running node: it changes apps, their versions and their
// routes while requests are served, and loses none of them.
//
// Every change goes the same way. What an app is to consist of is read and kept (apps.Set.Keep); a new
// app of the loops is made of it, its image built, an isolate of it started and asked for its health
// (stage.go); the record of the app's versions is written (record.go); the loops go over to a table of
// routes that has it (swap in stage.go); and the old one is removed when its requests have ended. Until
// the record is written, whatever goes wrong leaves no trace. Afterwards a restart finds the new state.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"nano/apps"
	"nano/config"
	"nano/loop"
	"nano/snapshot"
	"nano/static"
)

// Errors of a Node. Those of a full disk and the like are neither of them.
var (
	// ErrNotFound: there is no such app, or no such version of it.
	ErrNotFound = errors.New("not found")
	// ErrBusy: the app is being changed by another call, or the node is handing over to another process.
	ErrBusy = errors.New("busy: it is being changed already; try again when that is done")
	// ErrTooLarge: an upload is longer than [server] max_bundle, packed or unpacked.
	ErrTooLarge = errors.New("too large")
)

// A RejectedError says why a version does not serve: it cannot be read or bundled, does not start, or
// does not answer its health check; or its settings are wrong, or its upload is malformed.
type RejectedError struct{ Err error }

// Error is the reason, a line for each of its diagnostics.
func (e *RejectedError) Error() string { return e.Err.Error() }

// Unwrap gives what found it: *bundle.Diagnostics, config.Problems, *apps.ProblemError.
func (e *RejectedError) Unwrap() error { return e.Err }

func rejected(format string, args ...any) error { return &RejectedError{fmt.Errorf(format, args...)} }

// The origins of a Version.
const (
	FromFile   = "file"   // main of nano.toml
	FromUpload = "upload" // Deploy
)

// Version is one version of an app.
type Version struct {
	ID      string    `json:"id"`     // the first 12 hexadecimal digits of the hash of its content; "": not read yet
	Number  int       `json:"number"` // from 1; later ones are higher
	Created time.Time `json:"created"`
	From    string    `json:"from"`   // FromFile, FromUpload
	Weight  int       `json:"weight"` // of the requests that it gets; 0: it is only kept
}

// The states of an App.
const (
	StateWarm   = "warm"   // it has isolates
	StateAsleep = "asleep" // its next request starts one
	StateFailed = "failed" // it cannot be started
)

// App is what a node tells of an app.
type App struct {
	Name     string        `json:"name"`
	Hosts    []string      `json:"hosts"`
	Path     string        `json:"path"`
	State    string        `json:"state"`
	Problem  string        `json:"problem,omitempty"` // why it failed, or why its newest version does not serve
	Uploaded bool          `json:"uploaded"`          // nano.toml does not have it
	Versions []Version     `json:"versions"`          // the newest first
	Stats    loop.AppStats `json:"stats"`             // of all its versions
}

// Deployment is an upload of an app.
type Deployment struct {
	Body   io.Reader
	Length int64 // of Body, as the client has announced it; 0: unknown
	// Type is the MIME type of Body, one of Types.
	Type string
	// Where the app is found, for apps that nano.toml does not have. nil and "": as before, or as the
	// settings say.
	Hosts []string
	Path  string
	// Settings are keys of [[app]] in TOML, see config.Config.ParseApp, for apps that nano.toml does not
	// have; nil: as before.
	Settings []byte
}

// Actions of a Change.
const (
	Unchanged = "unchanged"
	Replaced  = "replaced"
	Moved     = "moved" // other hosts or another path, the same version
	Added     = "added"
	Removed   = "removed"
	Failed    = "failed" // nothing changed but its hosts and path
)

// Change is what a Reload did to an app.
type Change struct {
	App    string `json:"app"`
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"` // of Failed
	Serves bool   `json:"-"`                // of Failed: the version before goes on
}

// Report is what a Reload did.
type Report struct {
	Changes  []Change      `json:"changes"`  // the apps that changed, in the order of nano.toml, removed ones last
	Same     int           `json:"same"`     // how many did not
	Warnings []string      `json:"warnings"` // keys that need a restart
	Duration time.Duration `json:"duration_ns"`
}

// Failed tells whether an app could not be changed as nano.toml says.
func (r *Report) Failed() bool {
	for _, change := range r.Changes {
		if change.Action == Failed {
			return true
		}
	}
	return false
}

// Loops is what control needs of a loop.Node.
type Loops interface {
	AddApp(app loop.App) (id int, err error)
	SetRoutes(ctx context.Context, routes []loop.Route) error
	RemoveApp(ctx context.Context, id int) error
	Probe(ctx context.Context, id int, path string) (status int, err error)
	Wake(ctx context.Context, id int) error
	Sleep(ctx context.Context, id int) (slept bool, err error)
	Accounts(ctx context.Context) (apps, gone []loop.AppStats, err error)
	Loops(ctx context.Context) []loop.LoopStatus
	Drain()
	Wait() error
}

// Profiler is what takes heap snapshots and CPU profiles of apps, if Loops does it.
type Profiler interface {
	HeapSnapshot(ctx context.Context, id int, w io.Writer) error
	CPUProfile(ctx context.Context, id int, d time.Duration, w io.Writer) error
}

// Node is a running node under control. Its methods may be called from any goroutine at any time.
type Node struct {
	options Options
	loops   Loops
	set     Set
	records *records
	begun   time.Time

	// changes keeps reloads, which change everything, from what changes one app.
	changes sync.RWMutex
	// commits is held while the loops are given other routes.
	commits sync.Mutex
	ending  sync.WaitGroup // removals in the background

	mutex   sync.Mutex // of what follows; never held while somebody is waited for
	config  *config.Config
	apps    map[string]*app
	order   []string // names: of nano.toml in its order, then the uploaded ones by name
	busy    map[string]bool
	isReady bool
	isOver  bool // it drains, or hands over: nothing may change any more
	pins    map[apps.SourceID]int
	folders map[int]*static.Folder // by app of the loops
	uses    map[int]int            // calls that go on with an app of the loops, see use
	unused  sync.Cond              // one of them has ended
}

// app is an app of a Node. It is not changed but replaced.
type app struct {
	name string
	// config is what the running versions were made with; hosts and path, what is routed.
	config   *config.App
	uploaded bool
	record   *record // nil: it has one version, that of main
	runs     []run   // the versions that serve, the one with the most weight first; none: it failed
	problem  string
}

// run is a version that serves.
type run struct {
	id     int           // of the app of the loops
	source apps.SourceID // zero: it reads main itself, see Node.sourceOf
	weight int
}

// Set is what control needs of an apps.Set.
type Set interface {
	Put(id int, app apps.App) error
	Ensure(ctx context.Context, id int) error
	Remove(id int)
	Version(id int) apps.SourceID
	Problem(id int) error
	Keep(ctx context.Context, app apps.App, base string) (apps.SourceID, error)
	Known(app apps.App) (id apps.SourceID, ok bool)
	Release(id apps.SourceID)
	Persist(id apps.SourceID) error
	Forget(id apps.SourceID, warmup string)
	Close()
}

var _ Set = (*apps.Set)(nil)

// Options set up a Node.
type Options struct {
	// Load reads the configuration again, for Reload.
	Load func() (*config.Config, error)
	// Apps is the folder for the records of versions; "": they are not kept on the disk.
	Apps string
	// Uploads is the folder for what is being uploaded.
	Uploads string
	// IsShared: another node runs with the same folders. What looks left over at the start may be that one's.
	IsShared bool
	// Files are the operations that write records; nil: those of the disk.
	Files snapshot.Files
	// Has tells whether a source is kept.
	Has func(apps.SourceID) bool
	// Loop makes what the loops need to know of an app, with its folder of static files open.
	Loop func(app *config.App) (loop.App, error)
	// Logger takes what changes.
	Logger *slog.Logger
	// Stale tells whether the files of an app may have changed since they were read last, so that a Reload is to
	// read them again; nil: it reads those of all apps.
	Stale func(name string) bool
	// Applying is called with a configuration that Load has given once it is certain that it comes into force, before
	// anything has changed; nil: nothing is called.
	Applying func(next *config.Config)
	// Changing is called when a reload begins, and what it gives when that ends; nil: nothing is called.
	Changing func() (done func())
}
