package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"nano/config"
	"nano/inspector"
	"nano/isolates"
	"nano/loop"
)

// inspectFlag is the flag --inspect[=[host:]port].
type inspectFlag struct{ address string }

const inspectDefault = "127.0.0.1:9229" // as Node.js

func (f *inspectFlag) String() string { return f.address }

// IsBoolFlag lets the flag stand alone.
func (f *inspectFlag) IsBoolFlag() bool { return true }

// Set takes "true", which is what the flag is without a value, a port or an address.
func (f *inspectFlag) Set(value string) error {
	switch {
	case value == "true":
		value = inspectDefault
	case !strings.Contains(value, ":"):
		value = "127.0.0.1:" + value
	}
	if _, _, err := net.SplitHostPort(value); err != nil {
		return fmt.Errorf("%q is no address: write --inspect=127.0.0.1:9229, or --inspect=9229", value)
	}
	f.address = value
	return nil
}

// debugging is what a node has for debuggers. nil: nothing.
type debugging struct {
	address  string
	breaks   bool
	listener net.Listener

	mutex      sync.Mutex                     // apps come while the node runs
	server     *inspector.Server              // nil: it serves nobody yet
	out        io.Writer                      // for where new apps can be debugged
	inspectors map[string]*isolates.Inspector // by app
	fresh      map[string]bool                // apps of which nobody was told yet where they can be debugged
}

// newDebugging reads the flags; nil: neither is there.
func newDebugging(inspect, breaks *inspectFlag) *debugging {
	switch {
	case breaks.address != "":
		return &debugging{address: breaks.address, breaks: true}
	case inspect.address != "":
		return &debugging{address: inspect.address}
	}
	return nil
}

// listen makes the apps debuggable, before the node starts.
func (d *debugging) listen(c *config.Config) (err error) {
	if d == nil {
		return nil
	}
	if d.listener, err = net.Listen("tcp", d.address); err != nil {
		return fmt.Errorf("--inspect: %w", err)
	}
	d.inspectors, d.fresh = map[string]*isolates.Inspector{}, map[string]bool{}
	d.adopt(c)
	return nil
}

// adopt makes the apps of a configuration debuggable, before they start. Apps that come while the node runs do not wait
// for a debugger before their first line, since that holds up all others.
func (d *debugging) adopt(c *config.Config) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for i := range c.Apps {
		if name := c.Apps[i].Name; d.inspectors[name] == nil {
			d.inspectors[name] = isolates.NewInspector(isolates.InspectorOptions{Base: workingFolder(), Break: d.breaks && d.server == nil})
			d.fresh[name] = true
		}
	}
}

// settle shows debuggers the apps of the configuration that comes into force, and ends the sessions with those that go,
// before they do: one may stand at a breakpoint.
func (d *debugging) settle(c *config.Config) {
	if d == nil {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	isThere := map[string]bool{}
	for i := range c.Apps {
		isThere[c.Apps[i].Name] = true
	}
	if d.server != nil {
		d.server.SetTargets(d.targetsLocked(c))
		for i, address := range d.server.DevTools() {
			if d.fresh[c.Apps[i].Name] {
				d.tell(c.Apps[i].Name, address)
			}
		}
		clear(d.fresh)
	}
	maps.DeleteFunc(d.inspectors, func(name string, gone *isolates.Inspector) bool {
		if !isThere[name] {
			gone.Stop()
		}
		return !isThere[name]
	})
}

// tell says where an app can be debugged.
func (d *debugging) tell(app, address string) {
	fmt.Fprintf(d.out, "nano: debug %s: open %s in Chrome, or attach to %s\n", app, address, d.listener.Addr())
}

// loading has the apps be debuggable that a configuration has when it is read again. Those that it lacks stay so until it
// comes into force (settle): it may be refused yet.
func (d *debugging) loading(load func() (*config.Config, error)) func() (*config.Config, error) {
	if d == nil {
		return load
	}
	return func() (*config.Config, error) {
		c, err := load()
		if err == nil {
			d.adopt(c)
		}
		return c, err
	}
}

// targetsLocked are what debuggers see of the apps of a configuration.
func (d *debugging) targetsLocked(c *config.Config) (targets []inspector.Target) {
	for i := range c.Apps {
		app := &c.Apps[i]
		debugged := d.inspectors[app.Name]
		targets = append(targets, inspector.Target{
			Title: app.Name, URL: "file://" + filepath.ToSlash(app.Main),
			Connect: func() (inspector.Session, error) {
				session, err := debugged.Connect()
				if err != nil {
					return nil, err
				}
				return session, nil
			},
		})
	}
	return targets
}

// release has all apps go on that stand at a breakpoint, and stand at none until it is called with false: while one
// does, its loop loads nothing. A version that starts meanwhile may stand still.
func (d *debugging) release(isReleased bool) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, each := range d.inspectors {
		each.Release(isReleased)
	}
}

// inspectorOf gives what an app is debugged by, in whatever version; nil: nothing.
func (d *debugging) inspectorOf(name string) *isolates.Inspector {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.inspectors[name]
}

// prepare says in the terms of loops and pools that apps can be debugged: they stay awake, and one loop serves all of
// them, since an app is debugged in one isolate.
func (d *debugging) prepare(node *loop.NodeOptions, pools *isolates.PoolOptions) {
	if d == nil {
		return
	}
	node.Loops = 1
	node.Options.Debugged = true
	pools.Inspect = d.inspectorOf
	pools.Ready = 0
}

// serve begins to serve debuggers. The apps are started, so that there is something to see; those that are to stop
// before their first line wait for their debugger.
func (d *debugging) serve(c *config.Config, loops *loop.Node, out io.Writer, logger *slog.Logger) {
	if d == nil {
		return
	}
	options := inspector.Options{Version: "nano/" + version, Problem: func(err error) { logger.Warn("inspector: " + err.Error()) }}
	d.mutex.Lock()
	options.Targets = d.targetsLocked(c)
	d.server, d.out = inspector.Serve(d.listener, options), out
	for i, address := range d.server.DevTools() { // with the mutex held: of other targets there are other addresses
		d.tell(c.Apps[i].Name, address)
	}
	clear(d.fresh)
	d.mutex.Unlock()
	go func() {
		for i := range c.Apps {
			// Whatever is wrong, its first request logs it.
			_ = loops.Wake(context.Background(), i)
		}
	}()
}

// drain lets go on what stands still, so that the node can end.
func (d *debugging) drain() {
	if d == nil {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, each := range d.inspectors {
		each.Stop()
	}
}

// close ends the connections of debuggers.
func (d *debugging) close() {
	switch {
	case d == nil || d.listener == nil:
	case d.server != nil:
		d.server.Close()
	default:
		_ = d.listener.Close()
	}
}
