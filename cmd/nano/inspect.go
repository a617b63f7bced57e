package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

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
	address    string
	breaks     bool
	listener   net.Listener
	server     *inspector.Server
	inspectors map[string]*isolates.Inspector // by app
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
	d.inspectors = map[string]*isolates.Inspector{}
	for i := range c.Apps {
		d.inspectors[c.Apps[i].Name] = isolates.NewInspector(isolates.InspectorOptions{Base: workingFolder(), Break: d.breaks})
	}
	return nil
}

// inspectorOf gives what an app is debugged by, in whatever version; nil: nothing.
func (d *debugging) inspectorOf(name string) *isolates.Inspector { return d.inspectors[name] }

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
	for i := range c.Apps {
		app := &c.Apps[i]
		debugged := d.inspectors[app.Name]
		options.Targets = append(options.Targets, inspector.Target{
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
	d.server = inspector.Serve(d.listener, options)
	for i, address := range d.server.DevTools() {
		fmt.Fprintf(out, "nano: debug %s: open %s in Chrome, or attach to %s\n", c.Apps[i].Name, address, d.listener.Addr())
	}
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
