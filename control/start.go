package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nano/apps"
	"nano/config"
	"nano/isolates"
	"nano/loop"
	"nano/snapshot"
	"nano/static"
)

// New makes the control of a node that is about to start: it reads the records of the apps' versions.
// What the node is to begin with, Initial tells; Start takes over when it runs.
func New(c *config.Config, o Options) *Node {
	n := &Node{
		options: o, config: c, begun: time.Now(),
		apps: map[string]*app{}, busy: map[string]bool{}, pins: map[apps.SourceID]int{}, folders: map[int]*static.Folder{},
		uses: map[int]int{},
	}
	n.unused.L = &n.mutex
	if o.Apps != "" {
		if !o.IsShared {
			if err := cleanUploads(o.Uploads); err != nil {
				o.Logger.Warn("uploads: " + err.Error())
			}
		}
		n.records = &records{folder: o.Apps, files: o.Files, isShared: o.IsShared}
		if n.records.files == nil {
			n.records.files = snapshot.Disk{}
		}
	}
	found, problems := n.records.load()
	for _, problem := range problems {
		o.Logger.Error("versions: " + problem.Error() + "; move the file away to begin anew")
	}
	for i := range c.Apps {
		n.adopt(&c.Apps[i], false, found[c.Apps[i].Name])
		delete(found, c.Apps[i].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		n.adoptUpload(name, found[name])
	}
	return n
}

// adopt takes in an app at the start, with the version that has the most weight.
func (n *Node) adopt(conf *config.App, uploaded bool, r *record) {
	a := &app{name: conf.Name, config: conf, uploaded: uploaded}
	n.apps[a.name] = a
	n.order = append(n.order, a.name)
	if r != nil && !n.isWhole(r) {
		n.options.Logger.Error("versions: what it was deployed from is not in state_dir any more", "app", a.name)
		if uploaded { // its record says where it is found, and what it can be rolled back to
			a.record, a.problem = r, "what it was deployed from is not in state_dir any more; deploy it again"
			n.pinLocked(nil, r)
			return
		}
		r = nil
	}
	a.runs = []run{{weight: 1}}
	if r != nil {
		a.record = r
		active := r.active()[0]
		a.runs = []run{{source: active.Source.SourceID, weight: active.Weight}}
		n.pinLocked(nil, r)
	}
}

// isWhole tells whether the versions of a record that serve are kept.
func (n *Node) isWhole(r *record) bool {
	return !slices.ContainsFunc(r.active(), func(k kept) bool { return !n.options.Has(k.Source.SourceID) })
}

// adoptUpload takes in an app that nano.toml does not have. If it was nano.toml that had it, it is gone.
func (n *Node) adoptUpload(name string, r *record) {
	if r.Upload == nil {
		if n.options.IsShared { // and perhaps the other node's nano.toml still has it
			return
		}
		if err := n.records.remove(name); err != nil {
			n.options.Logger.Warn("versions: "+err.Error(), "app", name)
		}
		return
	}
	conf, err := n.config.ParseApp(name, []byte(r.Upload.Settings), r.Upload.Hosts, r.Upload.Path)
	if err == nil {
		err = collisionIn(&conf, n.order, n.apps)
	}
	if err != nil {
		n.apps[name] = &app{name: name, config: &config.App{Name: name}, uploaded: true, record: r, problem: oneLine(err)}
		n.order = append(n.order, name)
		n.pinLocked(nil, r)
		n.options.Logger.Error("does not serve: "+oneLine(err), "app", name)
		return
	}
	n.adopt(&conf, true, r)
}

// collisionIn finds another of the named apps with a host and path of an app.
func collisionIn(conf *config.App, names []string, all map[string]*app) error {
	for _, name := range names {
		other := all[name]
		if name == conf.Name || len(other.runs) == 0 && other.uploaded {
			continue
		}
		if host, ok := conf.Collides(other.config); ok {
			return fmt.Errorf("it serves %s%s, which app %q serves already; give it another host or path", host, conf.Path, name)
		}
	}
	return nil
}

// Initial are the apps that a node begins with, for its apps.Set and its loops, with the same ids. The
// error joins those of all apps that the loops cannot take: a folder of static files that is not there.
func (n *Node) Initial() (set []apps.App, loops []loop.App, err error) {
	var errs []error
	for _, name := range n.order {
		a := n.apps[name]
		if len(a.runs) == 0 {
			continue
		}
		l, loopErr := n.options.Loop(a.config)
		errs = append(errs, loopErr)
		l.Version, l.Removed = VersionID(a.runs[0].source), n.removed
		a.runs[0].id = len(set)
		n.folders[len(set)] = l.Static
		set, loops = append(set, appOf(a.config, a.runs[0].source)), append(loops, l)
	}
	if err := errors.Join(errs...); err != nil {
		n.closeFolders()
		return nil, nil, err
	}
	return set, loops, nil
}

func (n *Node) closeFolders() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, folder := range n.folders {
		if folder != nil {
			folder.Close()
		}
	}
}

// appOf says in the terms of package apps what the configuration says of an app.
func appOf(c *config.App, source apps.SourceID) apps.App {
	return apps.App{
		AppOptions: isolates.AppOptions{
			Name:         c.Name,
			EnvJSON:      string(c.EnvJSON()),
			BindingsJSON: c.BindingsJSON(),
			Limits:       isolates.Limits{Heap: uint64(c.Limits.Heap), CPU: c.Limits.CPU},
			PerRequest:   c.IsolatePerRequest,
			Warmup:       c.Warmup,
		},
		Main:     c.Main,
		Bundling: apps.BundlingOf(c),
		Source:   source,
	}
}

// Start takes over the node that runs with what Initial told. Versions that requests are split with
// are started, and apps whose files have changed since they were deployed are deployed from them.
func (n *Node) Start(ctx context.Context, set Set, loops Loops) {
	n.changes.Lock()
	defer n.changes.Unlock()
	n.set, n.loops = set, loops
	n.mutex.Lock()
	n.isReady = true
	n.mutex.Unlock()
	var plans []*plan
	for _, name := range n.order {
		a := n.apps[name]
		if a.record == nil || len(a.runs) == 0 {
			continue
		}
		p := n.planStart(ctx, a)
		plans = append(plans, p)
	}
	n.carryOut(ctx, plans, func(order []string) []string { return order })
	for _, p := range plans {
		if p.err != nil {
			n.options.Logger.Error(oneLine(p.err), "app", p.next.name)
		}
	}
}

// planStart prepares what an app with a record is to be at the start: deployed from its file if that has changed,
// and else split as it was. A file that cannot be deployed leaves the versions of the record.
func (n *Node) planStart(ctx context.Context, a *app) *plan {
	p := &plan{old: a, next: *a, from: a.config}
	if a.uploaded {
		n.planSplit(ctx, p)
		return p
	}
	if n.planFile(ctx, p, a.config) {
		return p
	}
	failed := p.err
	if failed != nil {
		n.options.Logger.Error("its new version does not serve, the one before goes on: "+oneLine(failed), "app", a.name)
		p.err, p.action = nil, ""
	}
	n.planSplit(ctx, p)
	if failed != nil && p.err == nil {
		p.next.problem = oneLine(failed)
	}
	return p
}

// Pinned tells which sources are needed for versions that do not serve.
func (n *Node) Pinned(id apps.SourceID) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.pins[id] > 0
}

// pinLocked counts the sources of a record instead of another one's. The mutex is held, or nobody else
// knows the node.
func (n *Node) pinLocked(old, next *record) {
	if old != nil {
		for _, k := range old.Versions {
			if n.pins[k.Source.SourceID]--; n.pins[k.Source.SourceID] == 0 {
				delete(n.pins, k.Source.SourceID)
			}
		}
	}
	if next != nil {
		for _, k := range next.Versions {
			n.pins[k.Source.SourceID]++
		}
	}
}

// sourceOf is what a version is started from; zero: that is not known, because it cannot be read, or
// was not yet.
func (n *Node) sourceOf(r run) apps.SourceID {
	if !r.source.IsZero() {
		return r.source
	}
	return n.set.Version(r.id)
}

// oneLine keeps an error of several lines together.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " | ")
}

// drainBound is how long an old version of an app may go on with what it has in hand.
func (n *Node) drainBound(c *config.App) time.Duration {
	return max(cmp.Or(c.Limits.Wall, time.Second), n.configured().Server.DrainTimeout)
}

// configured is the configuration as it was read last.
func (n *Node) configured() *config.Config {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.config
}
