package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"nano/config"
	"nano/control"
	"nano/dev"
	"nano/logs"
)

const devText = `Serves apps while they are developed: what is saved answers the next request, errors are shown with
their place in the source, in the browser too, and each request has a line on the terminal. Pages that are
open in a browser load anew.

FILE is a module or the folder of a project, as for "nano run". Without it, the apps of the configuration
file are served, or if there is none, the project in the current folder. [server] listen, [admin] and
state_dir of a configuration are for production: here --listen says where, and the user's cache is used.
`

// devDrain is how long requests may go on when nano dev is told to end. Nobody should wait for it.
const devDrain = 50 * time.Millisecond

// devGrace is how long connections without a request stay open then.
const devGrace = 10 * time.Millisecond

func runDev(s *streams, args []string) error {
	flags := newFlags(s, "dev", devText)
	file := flags.String("c", "", configFlagHelp)
	listen := flags.String("listen", "127.0.0.1:8080", "the `address`: host:port, or unix:/path")
	environment := flags.String("env", "", "the `environment` of a project's wrangler.toml")
	var inspect, breaks inspectFlag
	flags.Var(&inspect, "inspect", "let DevTools and editors debug the apps: by 127.0.0.1:9229, or --inspect=`address`")
	flags.Var(&breaks, "inspect-brk", "the same, and wait for a debugger before an app's first line")
	noLiveReload := flags.Bool("no-live-reload", false, "leave the apps' pages as they are: they do not load anew when something has changed")
	operands, err := parseOperands(flags, args)
	if err != nil {
		return err
	}
	main := ""
	switch {
	case len(operands) > 1:
		return usageError{fmt.Sprintf("%q is one argument too many", operands[1])}
	case len(operands) == 1 && *file != "":
		return usageError{"FILE and -c exclude each other"}
	case len(operands) == 1:
		main = operands[0]
	}
	what, err := developed(main, *file, *environment, *listen)
	if err != nil {
		return err
	}
	what.noLiveReload = *noLiveReload
	return develop(s, what, newDebugging(&inspect, &breaks))
}

// devTarget is what is developed.
type devTarget struct {
	load    func() (*config.Config, error)
	entries []string // absolute paths of what the configuration may be read from

	noLiveReload bool
}

// developed finds out what is to be developed.
func developed(main, file, environment, listen string) (*devTarget, error) {
	if main == "" && file == "" {
		main = "."
		if _, err := os.Stat("nano.toml"); err == nil {
			main, file = "", "nano.toml"
		}
	}
	target := &devTarget{}
	var read func() (*config.Config, error)
	if file != "" {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		target.entries = []string{path}
		read = func() (*config.Config, error) { return config.Load(file) }
	} else {
		path, err := filepath.Abs(main)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			for _, name := range []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml", ".dev.vars", "package.json", ".wrangler/deploy/config.json"} {
				target.entries = append(target.entries, filepath.Join(path, name))
			}
		}
		isFirst := true
		read = func() (*config.Config, error) {
			if !isFirst { // that the file is gone is told as what is wrong with the app
				if c, err := loneApp(main, environment, listen); !errors.Is(err, fs.ErrNotExist) {
					return c, err
				}
				return config.Single(main, listen)
			}
			isFirst = false
			return loneApp(main, environment, listen)
		}
	}
	target.load = func() (*config.Config, error) {
		c, err := read()
		if err != nil {
			return nil, err
		}
		return forDevelopment(c, listen)
	}
	return target, nil
}

// forDevelopment takes out of a configuration what it says of production.
func forDevelopment(c *config.Config, listen string) (*config.Config, error) {
	local, err := config.Single("main.js", listen)
	if err != nil {
		return nil, err
	}
	c.Server.Listen, c.Server.StateDir = local.Server.Listen, local.Server.StateDir
	c.Server.DrainTimeout, c.Server.Log, c.Server.AccessLog = devDrain, config.LogText, false
	c.Server.Versions = 1
	c.Admin = config.Admin{}
	if c.Server.Loops == 0 {
		c.Server.Loops = 1
	}
	return c, nil
}

// develop runs a node for whoever develops on it until it is told to end.
func develop(s *streams, target *devTarget, debugged *debugging) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	configured, err := target.load()
	if err != nil {
		return err
	}
	developer := dev.New(dev.Options{Base: workingFolder(), Entries: target.entries, NoLiveReload: target.noLiveReload})
	log := openDevLog(s, developer)
	defer log.Close(logCloseLimit)
	logger := slog.New(log.Handler())
	developer.Logger = logger
	for _, warning := range configured.Warnings {
		logger.Warn(warning.Error())
	}
	empty := *configured
	empty.Apps = nil // the developer has them loaded, and goes on if they cannot be
	if err := debugged.listen(configured); err != nil {
		return err
	}
	defer debugged.close()
	running, err := startNode(&empty, debugged.loading(target.load), logger, log, nil, debugged, developer)
	if err != nil {
		return err
	}
	debugged.serve(configured, running.loops, s.out, logger)
	ended := make(chan error, 1)
	go func() { ended <- running.wait() }()
	ctx, cancel := context.WithCancel(context.Background())
	var developing sync.WaitGroup
	defer developing.Wait()
	defer cancel()
	node := &dev.Node{Reload: running.Reload, Config: running.Config, Tell: running.loops.Tell}
	if debugged != nil {
		node.Release = debugged.release
	}
	developing.Go(func() {
		if debugged == nil {
			developer.Start(ctx, node)
		}
		printBanner(s.out, logger, configured.Server.Log, configured.Apps, running.addresses())
		if debugged != nil { // which the apps may wait for
			developer.Start(ctx, node)
		}
		developer.Run(ctx, node)
	})
	return superviseDev(running, signals, ended)
}

// superviseDev waits for the end. A second signal does not wait for requests.
func superviseDev(running *node, signals <-chan os.Signal, ended <-chan error) error {
	isDraining := false
	var since time.Time
	for {
		select {
		case err := <-ended:
			return err
		case <-signals:
			if isDraining && time.Since(since) >= sameWish {
				return errSignal
			}
			if !isDraining {
				isDraining, since = true, time.Now()
				running.debugged.drain()
				running.Drain()
			}
		}
	}
}

// openDevLog opens the log: the terminal, in a form of its own.
func openDevLog(s *streams, developer *dev.Developer) *logs.Log {
	return logs.New(logs.Options{Form: logs.FormText, To: s.err, NewText: func(to io.Writer) slog.Handler {
		file, isFile := s.err.(*os.File)
		return &dev.Terminal{To: to, Color: isFile && isTerminal(file) && logs.WantsColor(), Developer: developer}
	}})
}

// developed sets up the control of a node for development: it keeps no versions, reads what has changed, and leaves it
// to the developer to tell what has come of it.
func (n *node) developed(options *control.Options) {
	options.Stale = n.developer.Stale
	options.Logger = slog.New(onlyWarnings{n.logger.Handler()})
	options.Changing = nil
}

// onlyWarnings lets warnings through, neither what is less nor what is more.
type onlyWarnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h onlyWarnings) Enabled(_ context.Context, level slog.Level) bool {
	return level == slog.LevelWarn
}
