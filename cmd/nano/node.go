package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"weak"

	"golang.org/x/sys/unix"

	"nano/apps"
	"nano/config"
	"nano/control"
	"nano/dev"
	"nano/isolates"
	"nano/logs"
	"nano/loop"
	"nano/snapshot"
	"nano/static"
	"nano/systemd"
	"nano/tlsclient"
	"nano/tracing"
	"nano/uring"
)

// node is a running node: loops, the runtime snapshot and the apps.
type node struct {
	*control.Node
	configured *config.Config // that it was started with
	loops      *loop.Node
	log        *logs.Log
	logger     *slog.Logger
	developer  *dev.Developer // nil: nobody develops on it
	manager    *systemd.Manager
	admin      *adminInterface
	traces     *tracing.Exporter // nil: [tracing] is not configured
	socket     *controlSocket    // nil: there is none
	handedOver chan struct{}     // closed when another process has taken its place
	isSecond   bool              // another node that it does not take the place of has the same state_dir
	debugged   *debugging        // nil: nobody debugs its apps
}

// startNode starts everything that serve needs, in this order:
//
//  1. The limit of open files is raised, and the kernel asked for io_uring: without it nothing
//     below makes sense, and the refusal says what to do.
//  2. The state folder is made, for snapshots.
//  3. V8 is brought up, on the thread that the process began with and before any loop's thread
//     exists, and the runtime snapshot is loaded, or built at the first start.
//  4. The apps' modules are read, those of a large node for the most part later, and the building
//     of snapshots that are missing begins, in a process of its own. An app that is broken answers
//     its requests with an error; the others serve. If all are broken, there is nothing to start for.
//  5. The listeners are opened, or taken from another node, and the loops started, each with its own ring
//     on its own thread. Isolates are made by the loops, at the first request for their app.
//  6. From then on the node is controlled: apps whose files have changed since they were deployed are deployed.
//
// load reads the configuration again. log is what logger logs to, and the apps and the access log do. debugged is what
// it has for debuggers, and developer develops on it; each may be nil.
func startNode(c *config.Config, load func() (*config.Config, error), logger *slog.Logger, log *logs.Log, inherited []loop.ListenerFile,
	debugged *debugging, developer *dev.Developer) (*node, error) {
	files, err := raiseFileLimit()
	if err != nil {
		return nil, err
	}
	if what, cure := checkFileLimit(files, c.Server.MaxConnections); what != "" {
		logger.Warn(what + ": " + cure)
	}
	if err := uring.Probe(); err != nil {
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	if err := os.MkdirAll(c.Server.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state_dir %s: %w", c.Server.StateDir, config.WithoutPath(err))
	}
	store := imageStore(c)
	image, note, err := isolates.LoadRuntime(store)
	if err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	if note != nil {
		logger.Warn("runtime snapshot: " + note.Error())
	}
	// Sockets that a supervisor has passed are for the loops, not for the builder. The call fails on
	// kernels only that the probe has refused.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	n := &node{configured: c, debugged: debugged, developer: developer, log: log, logger: logger, handedOver: make(chan struct{})}
	n.isSecond = inherited == nil && c.File != "" && isControlled(c.Server.StateDir)
	sources := &apps.Sources{Folder: filepath.Join(c.Server.StateDir, "sources")}
	n.Node = control.New(c, n.controlOptions(load, sources))
	setApps, loopApps, err := n.Initial()
	if err != nil {
		return nil, err
	}
	options := n.setOptions(image, store, sources)
	options.Apps = setApps
	set, errs := apps.Start(options)
	if err := reportBroken(setApps, errs, logger); err != nil {
		set.Close()
		return nil, err
	}
	if n.loops, err = n.startLoops(image, set, loopApps, inherited); err != nil {
		set.Close()
		return nil, err
	}
	n.Start(context.Background(), set, n.loops)
	return n, nil
}

// controlOptions are those of the node's control. A node without a file, of `nano run`, shares its state_dir with
// others, so it keeps no versions there.
func (n *node) controlOptions(load func() (*config.Config, error), sources *apps.Sources) control.Options {
	c := n.configured
	maker := &loopApps{file: c.File}
	options := control.Options{
		Load:     load,
		Uploads:  filepath.Join(c.Server.StateDir, "uploads"),
		Has:      sources.Has,
		Loop:     maker.of,
		Logger:   n.logger,
		Applying: n.debugged.settle,
		Changing: n.reloading,
		IsShared: n.isSecond,
	}
	if n.developer != nil {
		n.developed(&options)
	} else if c.File != "" {
		options.Apps = filepath.Join(c.Server.StateDir, "apps")
	}
	return options
}

// setOptions says in the terms of package apps what the configuration says.
func (n *node) setOptions(image *isolates.Runtime, store snapshot.Store, sources *apps.Sources) apps.Options {
	options := apps.Options{
		Runtime: image,
		Store:   store,
		Sources: sources,
		Builder: newBuilder(store),
		Bundler: newBundler(n.configured, n.logger, n.configured.File != ""),
		Base:    workingFolder(),
		Logger:  n.logger,
		Pinned:  n.Pinned,
		Explain: func(app *apps.App, err error) error {
			now := n.Config()
			return explain(now, slices.IndexFunc(now.Apps, func(each config.App) bool { return each.Name == app.Name }), err)
		},
	}
	if n.developer != nil {
		options.Direct, options.Noted, options.Explain = true, n.developer.Noted, nil
		options.Bundler = &apps.Bundler{Live: true, BytesMax: n.configured.Server.MaxBundle, Logger: n.logger}
	}
	return options
}

// readyIsolates is how many isolates of the runtime snapshot each loop keeps ready for apps that wake.
const readyIsolates = 2

// compileMax is how much WebAssembly of an app a loop compiles itself, in bytes: what takes a millisecond or so.
const compileMax = 256 << 10

func (n *node) startLoops(image *isolates.Runtime, set *apps.Set, initial []loop.App, inherited []loop.ListenerFile) (*loop.Node, error) {
	c := n.configured
	options := loop.NodeOptions{
		Options:   loopOptions(c, n.logger, n.log),
		OnThread:  isolates.WatchThread,
		Loops:     countLoops(c.Server.Loops),
		Listen:    c.Server.Listen,
		Inherited: inherited,
	}
	options.Options.Apps = initial
	pools := isolates.PoolOptions{Heap: uint64(c.Isolates.Heap), Ready: readyIsolates, CompileMax: compileMax}
	n.debugged.prepare(&options, &pools)
	if n.developer != nil {
		options.Options.Developer, options.Options.DrainGrace = n.developer, devGrace
		options.Options.AccessLog, options.Options.AccessLogJSON = dev.Requests{Logger: n.logger}, true
	}
	options.Options.NewShard = func(_ int, waker int) (loop.Shard, error) {
		pools := pools
		pools.Wake = waker
		return &shard{pool: image.NewPool(pools), apps: set}, nil
	}
	if c.Tracing.Endpoint != "" {
		options.Options.Tracing = loop.NewTracing(c.Tracing.Sample)
	}
	loops, err := loop.Start(options)
	if err == nil {
		n.traces = startTraces(c, options.Options.Tracing, n.logger)
	}
	return loops, err
}

// triggersOf says in the loops' terms when an app's scheduled() is to be called.
func triggersOf(app *config.App) (triggers []loop.CronTrigger) {
	for _, each := range app.Cron {
		triggers = append(triggers, loop.CronTrigger{Text: each.Text, Schedule: each.Schedule})
	}
	return triggers
}

// openFolder opens the folder of static files of an app; nil: it has none.
func openFolder(file string, app *config.App) (*static.Folder, error) {
	if app.Static == "" {
		return nil, nil
	}
	folder, err := static.Open(app.Static)
	if err != nil {
		return nil, config.Problem{File: file, At: app.StaticAt, Key: "[[app]] static",
			What: err.Error(), Cure: "name a folder that nano's user can read"}
	}
	return folder, nil
}

// shard starts the isolates of a loop.
type shard struct {
	pool *isolates.Pool
	apps *apps.Set
}

var _ loop.NotReady = (*apps.Preparation)(nil)

// Start starts an app, or says that its source is being read.
func (s *shard) Start(app int) (loop.Worker, error) {
	isolate, err := s.apps.Start(s.pool, app)
	if err != nil {
		return nil, err
	}
	return isolate, nil
}

// Version is what an app was started from.
func (s *shard) Version(app int) string { return control.VersionID(s.apps.Version(app)) }

// Prepare makes isolates ready for later starts.
func (s *shard) Prepare() bool { return s.pool.Prepare() }

// Close disposes of them.
func (s *shard) Close() { s.pool.Close() }

// reportBroken logs the apps that cannot be started, or gives their errors if there are no others.
func reportBroken(initial []apps.App, errs []error, logger *slog.Logger) error {
	if len(errs) > 0 && !slices.Contains(errs, nil) {
		return errors.Join(errs...)
	}
	for i, err := range errs {
		if err != nil {
			logger.Error(err.Error(), "app", initial[i].Name)
		}
	}
	return nil
}

// countLoops is how many loops to start. 0: one for each core that this process may use, be it by
// affinity or by the quota of its control group.
func countLoops(configured int) int {
	if configured > 0 {
		return configured
	}
	return runtime.GOMAXPROCS(0)
}

// loopOptions says in the loops' terms what the configuration says. In theirs 0 means the default.
func loopOptions(c *config.Config, logger *slog.Logger, log *logs.Log) loop.Options {
	options := loop.Options{
		MaxHeader:      int(c.Server.MaxHeader),
		MaxBody:        c.Server.MaxBody,
		MaxConnections: c.Server.MaxConnections,
		HeaderTimeout:  c.Server.HeaderTimeout,
		IdleTimeout:    c.Server.IdleTimeout,
		Wall:           c.Isolates.Wall,
		DrainTimeout:   max(c.Server.DrainTimeout, 1),
		Logger:         nodeLogger{log, logger},
		AccessLogJSON:  c.Server.Log == config.LogJSON,
		Memory:         c.Isolates.Memory,
		Crowded:        isolates.Crowded,
		GiveWay:        isolates.GiveWay,
		Idle:           c.Isolates.Idle,
		StaticCache:    c.Server.StaticCache,
	}
	if c.Server.AccessLog {
		options.AccessLog = log.Access()
	}
	return options
}

// loopApps says in the loops' terms what the configuration says of apps.
type loopApps struct {
	file        string // of the configuration
	mutex       sync.Mutex
	authorities map[[sha256.Size]byte]weak.Pointer[x509.CertPool] // see roots
}

func (l *loopApps) of(app *config.App) (loop.App, error) {
	folder, err := openFolder(l.file, app)
	if err != nil {
		return loop.App{}, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return loop.App{
		Name:    app.Name,
		Hosts:   app.Hosts,
		Path:    app.Path,
		MaxBody: app.Limits.MaxBody,
		Wall:    app.Limits.Wall,

		ConcurrentRequests: app.Limits.ConcurrentRequests,
		WebSocketMessage:   app.Limits.WebSocketMessage,
		LogRate:            app.Limits.LogRate,
		Static:             folder,
		Cron:               triggersOf(app),
		Egress:             app.Egress,
		TLS:                tlsclient.NewClient(l.roots(app.Fetch.Roots)),
		Proxy:              proxyOf(app),
	}, nil
}

// proxyOf is the proxy of an app; nil: it has none.
func proxyOf(app *config.App) *loop.Proxy {
	proxy := app.Fetch.Proxy
	if proxy == nil {
		return nil
	}
	return &loop.Proxy{Host: proxy.Host, Port: proxy.Port, Authorization: string(proxy.Authorization)}
}

// roots are whom an app's connections trust; nil: the system's authorities. Apps with the same file share them, for as
// long as there are any. The mutex is held.
func (l *loopApps) roots(pem []byte) *x509.CertPool {
	if len(pem) == 0 {
		return nil
	}
	file := sha256.Sum256(pem)
	if pool := l.authorities[file].Value(); pool != nil {
		return pool
	}
	maps.DeleteFunc(l.authorities, func(_ [sha256.Size]byte, each weak.Pointer[x509.CertPool]) bool { return each.Value() == nil })
	if l.authorities == nil {
		l.authorities = map[[sha256.Size]byte]weak.Pointer[x509.CertPool]{}
	}
	pool, _ := tlsclient.Roots(pem) // it was read before
	l.authorities[file] = weak.Make(pool)
	return pool
}

// addresses are what the node listens on, as a client would write them.
func (n *node) addresses() []string {
	var addresses []string
	for _, address := range n.loops.Addresses() {
		addresses = append(addresses, describeAddress(address))
	}
	return addresses
}

// describeAddress is "http://127.0.0.1:8080" or "unix:/run/nano.sock".
func describeAddress(address net.Addr) string {
	if address.Network() == "unix" {
		return "unix:" + address.String()
	}
	tcp, ok := address.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + address.String()
}

func (n *node) drain() {
	n.manager.Stopping("draining")
	n.debugged.drain()
	n.Drain()
}

func (n *node) wait() error {
	err := n.Wait()
	closeTraces(n.traces)
	n.admin.close()
	n.socket.close()
	return err
}

// openInterface opens what the node is watched and changed by. One that takes the place of another, which is
// told now that this one serves, has the address of [admin] only then; and should somebody else have it, that is
// no reason to end.
func (n *node) openInterface(before *predecessor) error {
	n.admin = newAdmin(n.configured, n.Node, n.loops, n.log, n.traces, n.logger)
	n.serveControl(before != nil)
	if before == nil {
		return n.admin.listen(n.configured, n.logger)
	}
	if err := before.ready(); err != nil {
		n.logger.Warn("the node before this one: " + err.Error())
	}
	if err := n.admin.listen(n.configured, n.logger); err != nil {
		n.logger.Error(err.Error())
	}
	return nil
}
