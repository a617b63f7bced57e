// Package dev is what `nano dev` adds to a node: it watches the files of the apps and of their configuration, has the
// node reload what has changed, and says what is wrong: on the terminal, and in the browser in the place of the app.
//
//	watcher ─► Run ─► Reload (package control) ─► problems ─► Before, Failed: pages and texts
//	   ▲                    │                        │
//	   └── inputs ◄── Noted ┘                        └─► Tell: pages that are open load anew
package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nano/apps"
	"nano/bundle"
	"nano/config"
	"nano/control"
	"nano/loop"
)

// Options of a Developer.
type Options struct {
	// Base is the folder that paths are shown relative to.
	Base string
	// Entries are the absolute paths that the configuration may be read from, beside those that it names
	// itself.
	Entries []string
	// NoLiveReload leaves the pages of apps as they are. Those of failures load anew all the same.
	NoLiveReload bool
}

// Node is what a Developer needs of a running node.
type Node struct {
	Reload func(ctx context.Context) (*control.Report, error)
	Config func() *config.Config
	Tell   func(text string)
	// Release has apps go on that stand at a breakpoint, and stand at none until it is called with false, but for
	// versions that start meanwhile; nil: none can.
	Release func(isReleased bool)
}

// Developer develops the apps of a node. Before, Failed, Stale and Noted are for the node, which calls them from
// whatever goroutine.
type Developer struct {
	// Logger is where it tells what happens: a log whose lines a Terminal writes. To be set before Start.
	Logger *slog.Logger

	options Options
	watcher *watcher
	boot    string   // differs from that of other processes
	early   []change // came while the node reloaded; Run's alone

	mutex      sync.Mutex
	generation int
	isStarted  bool
	config     *config.Config // nil: none was read so far
	router     *loop.Router   // of its apps
	// inputs and errors are what Noted was told last, by app.
	inputs map[string][]string
	errors map[string]error
	stale  map[string]bool
	// problems are why the newest versions of apps do not serve, and unread why the configuration cannot be read.
	problems map[string]*failure
	unread   *failure
	// watched and trees are what the watcher was given last.
	watched, trees []string
}

var _ loop.Developer = (*Developer)(nil)

// New makes a Developer; Run makes it work.
func New(o Options) *Developer {
	return &Developer{options: o, boot: rand.Text(), inputs: map[string][]string{}, errors: map[string]error{},
		stale: map[string]bool{}, problems: map[string]*failure{}}
}

// Start has a node load its apps. It reports whether all serve; what is wrong is logged.
func (d *Developer) Start(ctx context.Context, node *Node) bool {
	d.watcher = newWatcher(d.Logger)
	d.reload(ctx, node, change{since: time.Now(), isAll: true})
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.unread == nil && len(d.problems) == 0
}

// Run has the node reload what changes, until ctx ends.
func (d *Developer) Run(ctx context.Context, node *Node) {
	defer d.watcher.close()
	for {
		select {
		case <-ctx.Done():
			return
		case changed := <-d.watcher.changes:
			d.reload(ctx, node, changed)
		}
		for len(d.early) > 0 && ctx.Err() == nil {
			changed := d.early[0]
			for _, later := range d.early[1:] {
				changed = changed.with(later)
			}
			d.early = nil
			d.reload(ctx, node, changed)
		}
	}
}

// reload has the node reload what a change is about, and tells what has come of it.
func (d *Developer) reload(ctx context.Context, node *Node, changed change) {
	if d.isOfPages(changed) {
		d.refresh(node, changed)
		return
	}
	begun := time.Now()
	d.markStale(changed)
	report, err := d.load(ctx, node)
	if ctx.Err() != nil {
		return
	}
	d.mutex.Lock()
	d.stale = map[string]bool{}
	wasWell, wasStarted := d.unread == nil && len(d.problems) == 0, d.isStarted
	var failures []*failure
	hasChanged := false
	if err != nil {
		d.unread = fromBuild(d.configFiles(), err)
		d.unread.Kind, d.unread.Note = "The configuration cannot be read", "What was read before goes on."
		failures, hasChanged = []*failure{d.unread}, true
	} else {
		d.unread = nil
		d.adopt(node.Config())
		failures = d.judge(report)
		hasChanged = len(report.Changes) > 0 || slices.ContainsFunc(changed.paths, d.isOfPageLocked)
	}
	isWell := d.unread == nil && len(d.problems) == 0
	if hasChanged = hasChanged || isWell != wasWell; hasChanged {
		d.generation++
	}
	d.isStarted = true
	event := d.eventLocked()
	d.watchLocked(begun)
	d.mutex.Unlock()
	if hasChanged {
		node.Tell(event)
	}
	for _, f := range failures {
		d.Logger.Error(f.Message, keyFailure, f)
	}
	if wasStarted && len(failures) == 0 && hasChanged {
		d.Logger.Info(d.summary(report, changed), keyBuilt, true)
	}
}

// load has the node reload. An app that stands at a breakpoint holds up its loop, and with it that: it goes on. So does
// a new version that stands still while it starts, when something else is saved.
func (d *Developer) load(ctx context.Context, node *Node) (report *control.Report, err error) {
	if !d.hasStarted() { // apps may wait for their debugger
		return node.Reload(ctx)
	}
	late := time.AfterFunc(reloadLate, func() {
		d.Logger.Warn("what was saved is not loaded yet: an app computes, or stands at a breakpoint while it starts")
	})
	defer late.Stop()
	if node.Release == nil {
		return node.Reload(ctx)
	}
	loaded := make(chan struct{})
	node.Release(true)
	go func() {
		defer close(loaded)
		report, err = node.Reload(ctx)
	}()
	for {
		select {
		case changed := <-d.watcher.changes:
			d.early = append(d.early, changed)
			node.Release(true)
		case <-loaded:
			node.Release(false)
			return report, err
		}
	}
}

// reloadLate is after how long nobody should have to guess what a reload waits for.
const reloadLate = 3 * time.Second

func (d *Developer) hasStarted() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.isStarted
}

// summary is "rebuilt in 12 ms: src/index.ts".
func (d *Developer) summary(report *control.Report, changed change) string {
	verb := "rebuilt"
	var names []string
	for _, each := range report.Changes {
		names = append(names, each.App)
		if each.Action == control.Added || each.Action == control.Removed || each.Action == control.Moved {
			verb = "changed"
		}
	}
	text := fmt.Sprintf("%s in %s", verb, shortTime(time.Since(changed.since)))
	if len(d.config.Apps) > 1 && len(names) > 0 {
		text = strings.Join(names, ", ") + " " + text
	}
	if paths := d.shown(changed); paths != "" {
		text += ": " + paths
	}
	return text
}

// shown are the paths of a change, as people look for them.
func (d *Developer) shown(changed change) string {
	paths := slices.Clone(changed.paths)
	slices.Sort(paths)
	paths = slices.Compact(paths)
	// A folder that is said to have changed, too, says nothing beside the file in it.
	paths = slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(paths, func(other string) bool { return filepath.Dir(other) == path })
	})
	for i := range paths {
		if relative, err := filepath.Rel(d.options.Base, paths[i]); err == nil && !strings.HasPrefix(relative, "../") {
			paths[i] = relative
		}
	}
	const shown = 3
	if len(paths) > shown {
		paths = append(paths[:shown:shown], fmt.Sprintf("%d more", len(paths)-shown))
	}
	return strings.Join(paths, ", ")
}

// isOfPages tells whether a change is about nothing but static files. They are served as they are: nothing is to be
// loaded, unless what is loaded does not work.
func (d *Developer) isOfPages(changed change) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !d.isStarted || d.unread != nil || len(d.problems) != 0 || changed.isAll || len(changed.paths) == 0 {
		return false
	}
	folders := d.staticLocked()
	for _, path := range changed.paths {
		isElse := slices.Contains(d.options.Entries, path) || slices.Contains(d.config.Inputs, path)
		for _, inputs := range d.inputs {
			isElse = isElse || slices.Contains(inputs, path) && !slices.Contains(folders, path)
		}
		if isElse || !d.isOfPageLocked(path) {
			return false
		}
	}
	return true
}

// isOfPageLocked tells whether a path is that of a static file, or of a folder of them. The mutex is held.
func (d *Developer) isOfPageLocked(path string) bool {
	for _, folder := range d.staticLocked() {
		if path == folder || strings.HasPrefix(path, folder+"/") {
			return true
		}
	}
	return false
}

// staticLocked are the folders of static files. The mutex is held.
func (d *Developer) staticLocked() (folders []string) {
	if d.config == nil {
		return nil
	}
	for i := range d.config.Apps {
		if folder := d.config.Apps[i].Static; folder != "" && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// refresh has open pages load themselves anew.
func (d *Developer) refresh(node *Node, changed change) {
	d.mutex.Lock()
	d.generation++
	event := d.eventLocked()
	d.mutex.Unlock()
	node.Tell(event)
	d.Logger.Info("changed: "+d.shown(changed), keyBuilt, true)
}

// markStale notes the apps whose files a change is about.
func (d *Developer) markStale(changed change) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for name, inputs := range d.inputs {
		if changed.isAll || slices.ContainsFunc(changed.paths, func(path string) bool { return slices.Contains(inputs, path) }) {
			d.stale[name] = true
		}
	}
}

// Stale is for control.Options.
func (d *Developer) Stale(name string) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.stale[name] || d.problems[name] != nil
}

// Noted is for apps.Options.
func (d *Developer) Noted(app *apps.App, inputs []string, err error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.errors[app.Name] = err
	var diagnostics *bundle.Diagnostics
	switch {
	case err == nil:
	case errors.As(err, &diagnostics) && len(diagnostics.Inputs) > 0:
		inputs = diagnostics.Inputs
	default: // how far it came is not known: what mattered before may be the cure
		inputs = slices.Concat(d.inputs[app.Name], inputs, siblings(app.Main))
	}
	all := map[string]bool{app.Main: true, filepath.Dir(app.Main): true}
	for _, path := range inputs {
		all[path] = true
	}
	d.inputs[app.Name] = slices.Sorted(maps.Keys(all))
}

// siblingsMax bounds the files that siblings gives.
const siblingsMax = 200

// siblings are the modules in the folder of a main module that cannot be read: V8 does not tell which of them it has
// found before.
func siblings(main string) (paths []string) {
	entries, err := os.ReadDir(filepath.Dir(main))
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), "js") && len(paths) < siblingsMax {
			paths = append(paths, filepath.Join(filepath.Dir(main), entry.Name()))
		}
	}
	return paths
}

// adopt takes over a configuration that was read. The mutex is held.
func (d *Developer) adopt(c *config.Config) {
	d.config = c
	known := map[string]bool{}
	var routes []loop.Route
	for i := range c.Apps {
		app := &c.Apps[i]
		known[app.Name] = true
		routes = append(routes, loop.Route{Name: app.Name, Hosts: app.Hosts, Path: app.Path})
	}
	router, err := loop.NewRouter(routes)
	if err == nil { // as it is for whatever config accepts
		d.router = router
	}
	isGone := func(name string) bool { return !known[name] }
	maps.DeleteFunc(d.inputs, func(name string, _ []string) bool { return isGone(name) })
	maps.DeleteFunc(d.errors, func(name string, _ error) bool { return isGone(name) })
	maps.DeleteFunc(d.problems, func(name string, _ *failure) bool { return isGone(name) })
}

// judge takes over what a reload has come to, and gives what is wrong. The mutex is held.
func (d *Developer) judge(report *control.Report) (failures []*failure) {
	clear(d.problems)
	for _, each := range report.Changes {
		if each.Action != control.Failed {
			continue
		}
		err := d.errors[each.App]
		kind := "does not build"
		if err == nil {
			err, kind = errors.New(strings.TrimPrefix(each.Reason, "does not start: ")), "does not start"
		}
		f := fromBuild(d.filesOf(each.App), err)
		f.App, f.Kind = each.App, kind
		if each.Serves {
			f.Note = strings.TrimPrefix(f.Note+"\nRequests other than those of browsers go to the version before.", "\n")
		}
		d.problems[each.App] = f
		failures = append(failures, f)
	}
	return failures
}

// filesOf are the files of an app whose lines may be shown. The mutex is held.
func (d *Developer) filesOf(name string) inputFiles {
	files := inputFiles{d.options.Base, map[string]bool{}}
	for _, path := range d.inputs[name] {
		files.paths[path] = true
	}
	return files
}

// configFiles are those of the configuration, without the secrets.
func (d *Developer) configFiles() inputFiles {
	files := inputFiles{d.options.Base, map[string]bool{}}
	for _, path := range d.options.Entries {
		files.paths[path] = true
	}
	return files
}

// watchLocked watches what everything was read from. The mutex is held.
func (d *Developer) watchLocked(since time.Time) {
	all := map[string]bool{}
	roots := map[string]bool{}
	for _, path := range d.options.Entries {
		all[path] = true
		roots[filepath.Dir(path)] = true
	}
	if d.config != nil {
		for _, path := range d.config.Inputs {
			all[path] = true
		}
		for i := range d.config.Apps {
			roots[projectOf(d.config.Apps[i].Main)] = true
		}
	}
	trees := d.staticLocked()
	for _, path := range trees {
		all[path] = true
	}
	for _, inputs := range d.inputs {
		for _, path := range inputs {
			if all[path] {
				continue
			}
			if _, err := os.Lstat(path); err == nil || isBelowAny(path, roots) {
				all[path] = true
			}
		}
	}
	list := slices.Sorted(maps.Keys(all))
	if !slices.Equal(list, d.watched) || !slices.Equal(trees, d.trees) {
		d.watched, d.trees = list, trees
		d.watcher.watch(list, trees, since)
	}
}

// projectFiles are in the uppermost folder of a project.
var projectFiles = []string{"package.json", ".git", "nano.toml", "wrangler.toml", "wrangler.json", "wrangler.jsonc", "tsconfig.json"}

// projectOf is the uppermost folder of the project of a main module: a file that does not exist in folders around it
// may matter if it comes, but hardly will, and those folders are not worth being watched.
func projectOf(main string) string {
	found := filepath.Dir(main)
	for folder := found; ; folder = filepath.Dir(folder) {
		for _, name := range projectFiles {
			if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
				found = folder
			}
		}
		if folder == filepath.Dir(folder) {
			return found
		}
	}
}

func isBelowAny(path string, folders map[string]bool) bool {
	for {
		folder := filepath.Dir(path)
		if folders[folder] {
			return true
		}
		if folder == path {
			return false
		}
		path = folder
	}
}

// shortTime is a length of time as people compare it: "850 µs", "1.2 ms", "12 ms", "3.4 s".
func shortTime(t time.Duration) string {
	switch {
	case t < time.Millisecond:
		return fmt.Sprintf("%d µs", t.Microseconds())
	case t < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(t)/float64(time.Millisecond))
	case t < time.Second:
		return fmt.Sprintf("%d ms", t.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", t.Seconds())
}
