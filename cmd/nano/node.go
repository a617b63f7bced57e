package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"nano/apps"
	"nano/config"
	"nano/isolates"
	"nano/logs"
	"nano/loop"
	"nano/snapshot"
	"nano/static"
	"nano/systemd"
	"nano/tlsclient"
	"nano/uring"
)

// node is a running node: loops, the runtime snapshot and the apps.
type node struct {
	configured *config.Config
	apps       *apps.Set
	loops      *loop.Node
	log        *logs.Log
	manager    *systemd.Manager
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
//  5. The listeners are opened and the loops started, each with its own ring on its own thread.
//     Isolates are made by the loops, at the first request for their app.
//
// log is what logger logs to, and the apps and the access log do.
func startNode(c *config.Config, logger *slog.Logger, log *logs.Log) (*node, error) {
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
		return nil, fmt.Errorf("state_dir %s: %w", c.Server.StateDir, withoutPath(err))
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
	set, errs := apps.Start(setOptions(c, image, store, logger))
	if err := reportBroken(c, errs, logger); err != nil {
		set.Close()
		return nil, err
	}
	loops, err := startLoops(c, image, set, logger, log)
	if err != nil {
		set.Close()
		return nil, err
	}
	return &node{configured: c, apps: set, loops: loops, log: log}, nil
}

// setOptions says in the terms of package apps what the configuration says.
func setOptions(c *config.Config, image *isolates.Runtime, store snapshot.Store, logger *slog.Logger) apps.Options {
	options := apps.Options{
		Runtime: image,
		Store:   store,
		Builder: newBuilder(store),
		Bundler: newBundler(c, logger, c.File != ""),
		Base:    workingFolder(),
		Logger:  logger,
		Sources: &apps.Sources{Folder: filepath.Join(c.Server.StateDir, "sources")},
		Explain: func(app *apps.App, err error) error {
			return explain(c, slices.IndexFunc(c.Apps, func(each config.App) bool { return each.Name == app.Name }), err)
		},
	}
	for i := range c.Apps {
		app := &c.Apps[i]
		options.Apps = append(options.Apps, apps.App{
			AppOptions: isolates.AppOptions{
				Name:         app.Name,
				EnvJSON:      string(app.EnvJSON()),
				BindingsJSON: app.BindingsJSON(),
				Limits:       isolates.Limits{Heap: uint64(app.Limits.Heap), CPU: app.Limits.CPU},
				PerRequest:   app.IsolatePerRequest,
				Warmup:       app.Warmup,
			},
			Main:     app.Main,
			Bundling: apps.BundlingOf(app),
		})
	}
	return options
}

// readyIsolates is how many isolates of the runtime snapshot each loop keeps ready for apps that wake.
const readyIsolates = 2

func startLoops(c *config.Config, image *isolates.Runtime, set *apps.Set, logger *slog.Logger, log *logs.Log) (*loop.Node, error) {
	folders, err := openFolders(c)
	if err != nil {
		return nil, err
	}
	options := loopOptions(c, folders, logger, log)
	options.NewShard = func(_ int, waker int) (loop.Shard, error) {
		pool := image.NewPool(isolates.PoolOptions{Wake: waker, Heap: uint64(c.Isolates.Heap), Ready: readyIsolates})
		return &shard{pool: pool, apps: set}, nil
	}
	return loop.Start(loop.NodeOptions{
		Options:  options,
		OnThread: isolates.WatchThread,
		Loops:    countLoops(c.Server.Loops),
		Listen:   c.Server.Listen,
	})
}

// triggersOf says in the loops' terms when an app's scheduled() is to be called.
func triggersOf(app *config.App) (triggers []loop.CronTrigger) {
	for _, each := range app.Cron {
		triggers = append(triggers, loop.CronTrigger{Text: each.Text, Schedule: each.Schedule})
	}
	return triggers
}

// openFolders opens the folders of static files, by app.
func openFolders(c *config.Config) ([]*static.Folder, error) {
	folders := make([]*static.Folder, len(c.Apps))
	var problems config.Problems
	for i := range c.Apps {
		app := &c.Apps[i]
		if app.Static == "" {
			continue
		}
		folder, err := static.Open(app.Static)
		if err != nil {
			problems = append(problems, config.Problem{File: c.File, At: app.StaticAt, Key: "[[app]] static",
				What: err.Error(), Cure: "name a folder that nano's user can read"})
			continue
		}
		folders[i] = folder
	}
	if len(problems) != 0 {
		for _, folder := range folders {
			if folder != nil {
				folder.Close()
			}
		}
		return nil, problems
	}
	return folders, nil
}

// shard starts the isolates of a loop.
type shard struct {
	pool *isolates.Pool
	apps *apps.Set
}

// Start starts an app.
func (s *shard) Start(app int) (loop.Worker, error) {
	isolate, err := s.apps.Start(s.pool, app)
	if err != nil {
		return nil, err
	}
	return isolate, nil
}

// Prepare makes isolates ready for later starts.
func (s *shard) Prepare() bool { return s.pool.Prepare() }

// Close disposes of them.
func (s *shard) Close() { s.pool.Close() }

// reportBroken logs the apps that cannot be started, or gives their errors if there are no others.
func reportBroken(c *config.Config, errs []error, logger *slog.Logger) error {
	if len(errs) > 0 && !slices.Contains(errs, nil) {
		return errors.Join(errs...)
	}
	for i, err := range errs {
		if err != nil {
			logger.Error(err.Error(), "app", c.Apps[i].Name)
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
func loopOptions(c *config.Config, folders []*static.Folder, logger *slog.Logger, log *logs.Log) loop.Options {
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
		Idle:           c.Isolates.Idle,
		StaticCache:    c.Server.StaticCache,
	}
	if c.Server.AccessLog {
		options.AccessLog = log.Access()
	}
	authorities := map[string]*x509.CertPool{"": nil}
	for i := range c.Apps {
		app := &c.Apps[i]
		options.Apps = append(options.Apps, loop.App{
			Name:    app.Name,
			Hosts:   app.Hosts,
			Path:    app.Path,
			MaxBody: app.Limits.MaxBody,
			Wall:    app.Limits.Wall,

			ConcurrentRequests: app.Limits.ConcurrentRequests,
			WebSocketMessage:   app.Limits.WebSocketMessage,
			LogRate:            app.Limits.LogRate,
			Static:             folders[i],
			Cron:               triggersOf(app),
			Egress:             app.Egress,
			TLS:                tlsclient.NewClient(roots(authorities, app.Fetch.Roots)),
			Proxy:              proxyOf(app),
		})
	}
	return options
}

// proxyOf is the proxy of an app; nil: it has none.
func proxyOf(app *config.App) *loop.Proxy {
	proxy := app.Fetch.Proxy
	if proxy == nil {
		return nil
	}
	return &loop.Proxy{Host: proxy.Host, Port: proxy.Port, Authorization: string(proxy.Authorization)}
}

// roots are whom an app's connections trust; nil: the system's authorities. Apps with the same file share them.
func roots(known map[string]*x509.CertPool, pem []byte) *x509.CertPool {
	pool, isKnown := known[string(pem)]
	if !isKnown {
		pool, _ = tlsclient.Roots(pem) // it was read before
		known[string(pem)] = pool
	}
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
	n.loops.Drain()
}

func (n *node) wait() error {
	err := n.loops.Wait()
	n.apps.Close()
	return err
}
