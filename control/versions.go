package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"nano/apps"
	"nano/config"
	"nano/loop"
)

// claim makes the caller the only one who changes an app until done is called. ErrBusy: somebody does.
func (n *Node) claim(name string) (done func(), err error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.isOver || n.busy[name] {
		return nil, ErrBusy
	}
	n.busy[name] = true
	return func() {
		n.mutex.Lock()
		defer n.mutex.Unlock()
		delete(n.busy, name)
	}, nil
}

// begin is claim, and keeps reloads away.
func (n *Node) begin(name string) (a *app, done func(), err error) {
	release, err := n.claim(name)
	if err != nil {
		return nil, nil, err
	}
	n.changes.RLock()
	done = func() {
		n.changes.RUnlock()
		release()
	}
	if a = n.find(name); a == nil {
		done()
		return nil, nil, fmt.Errorf("app %q: %w", name, ErrNotFound)
	}
	if n.isEnding() {
		done()
		return nil, nil, ErrBusy
	}
	return a, done, nil
}

func (n *Node) find(name string) *app {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.apps[name]
}

// change carries out a plan for one app alone.
func (n *Node) change(ctx context.Context, p *plan) error {
	if p.err != nil {
		n.release(p)
		return p.err
	}
	n.carryOut(ctx, []*plan{p}, func(order []string) []string {
		if slices.Contains(order, p.next.name) {
			return order
		}
		return append(order, p.next.name)
	})
	if p.err != nil {
		return p.err
	}
	n.logChange(Change{App: p.next.name, Action: p.action}, p)
	return nil
}

// Rollback has an app served by a version that is kept; "": the one before that which serves now.
func (n *Node) Rollback(ctx context.Context, name, version string) (Version, error) {
	a, done, err := n.begin(name)
	if err != nil {
		return Version{}, err
	}
	defer done()
	p, err := n.planVersions(a)
	if err != nil {
		return Version{}, err
	}
	r := n.recordOf(a)
	target, err := r.target(version)
	if err != nil {
		return Version{}, err
	}
	r.weigh(map[string]int{target.id(): 1})
	p.next.record, p.next.problem = r, ""
	n.planSplit(ctx, p)
	if err := n.change(ctx, p); err != nil {
		return Version{}, err
	}
	return target.version(1), nil
}

// planVersions begins a plan for other versions of an app to serve. Where an upload is found that does not serve,
// and how it runs, is found out again: its settings may have been wrong, or its place another app's.
func (n *Node) planVersions(a *app) (*plan, error) {
	p := &plan{old: a, next: *a, from: a.config, action: Replaced}
	if !a.uploaded || len(a.runs) > 0 {
		return p, nil
	}
	up := a.record.Upload
	conf, err := n.placeUpload(a.name, up)
	p.next.config, p.isPlaced = &conf, true
	return p, err
}

// placeUpload reads the settings of an upload. A *RejectedError: they are wrong, or another app is where it is to be.
func (n *Node) placeUpload(name string, up *upload) (config.App, error) {
	n.mutex.Lock()
	c, order, all := n.config, n.order, n.apps
	n.mutex.Unlock()
	conf, err := c.ParseApp(name, []byte(up.Settings), up.Hosts, up.Path)
	if err == nil {
		err = collisionIn(&conf, order, all)
	}
	if err != nil {
		return conf, &RejectedError{err}
	}
	return conf, nil
}

// target is the version to go back to.
func (r *record) target(version string) (kept, error) {
	if version != "" {
		if k := r.find(version); k != nil {
			return *k, nil
		}
		return kept{}, fmt.Errorf("version %q: %w", version, ErrNotFound)
	}
	active := r.active()
	if len(active) == 0 {
		return kept{}, fmt.Errorf("a version before: %w", ErrNotFound)
	}
	for _, k := range slices.Backward(r.Versions) {
		if k.Number < active[0].Number {
			return k, nil
		}
	}
	return kept{}, fmt.Errorf("a version before %s: %w", active[0].id(), ErrNotFound)
}

func (k *kept) version(weight int) Version {
	return Version{ID: k.id(), Number: k.Number, Created: k.Created, From: k.From, Weight: weight}
}

// Split shares the requests of an app between versions, by id and weight. Versions that are not named, or
// with weight 0, get none.
func (n *Node) Split(ctx context.Context, name string, weights map[string]int) error {
	a, done, err := n.begin(name)
	if err != nil {
		return err
	}
	defer done()
	r := n.recordOf(a)
	sum := 0
	for id, weight := range weights {
		if r.find(id) == nil {
			return fmt.Errorf("version %q: %w", id, ErrNotFound)
		}
		if weight < 0 || weight > loop.WeightMax {
			return rejected("weight %d of version %s: is not between 0 and %d", weight, id, loop.WeightMax)
		}
		sum += weight
	}
	if sum == 0 {
		return rejected("no version has a weight above 0")
	}
	p, err := n.planVersions(a)
	if err != nil {
		return err
	}
	r.weigh(weights)
	p.next.record, p.next.problem = r, ""
	n.planSplit(ctx, p)
	return n.change(ctx, p)
}

// Remove removes an app that was uploaded, with all its versions.
func (n *Node) Remove(ctx context.Context, name string) error {
	a, done, err := n.begin(name)
	if err != nil {
		return err
	}
	defer done()
	if !a.uploaded {
		return rejected("app %q is in nano.toml: remove it there, and reload", name)
	}
	if err := n.records.remove(name); err != nil {
		return fmt.Errorf("%w: %w", apps.ErrState, err)
	}
	n.carryOut(ctx, nil, func(order []string) []string {
		return slices.DeleteFunc(order, func(other string) bool { return other == name })
	})
	n.options.Logger.Info("removed", "app", name)
	return nil
}

// Sleep ends the isolates of an app that have nothing in hand. Its next request starts one.
func (n *Node) Sleep(ctx context.Context, name string) error {
	return n.each(name, func(id int) error {
		_, err := n.loops.Sleep(ctx, id)
		return err
	})
}

// Wake starts an isolate of each version of an app that serves.
func (n *Node) Wake(ctx context.Context, name string) error {
	return n.each(name, func(id int) error { return n.loops.Wake(ctx, id) })
}

func (n *Node) each(name string, do func(id int) error) error {
	runs, done, err := n.use(name)
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	for _, r := range runs {
		errs = append(errs, do(r.id))
	}
	return errors.Join(errs...)
}

// use gives the versions of an app that serve, and keeps their ids from being given to another app until done is
// called. It keeps nobody from changing the app: the versions may end meanwhile, and calls about them then fail.
func (n *Node) use(name string) (runs []run, done func(), err error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	a := n.apps[name]
	if a == nil {
		return nil, nil, fmt.Errorf("app %q: %w", name, ErrNotFound)
	}
	for _, r := range a.runs {
		n.uses[r.id]++
	}
	return a.runs, func() {
		n.mutex.Lock()
		defer n.mutex.Unlock()
		for _, r := range a.runs {
			if n.uses[r.id]--; n.uses[r.id] == 0 {
				delete(n.uses, r.id)
			}
		}
		n.unused.Broadcast()
	}, nil
}

// Apps tells of all apps, in the order of nano.toml, then of those that were uploaded.
func (n *Node) Apps(ctx context.Context) ([]App, error) {
	stats, gone, err := n.loops.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]*loop.AppStats, len(stats))
	for _, accounts := range [][]loop.AppStats{stats, gone} {
		for i := range accounts {
			name := accounts[i].Name
			if sums[name] == nil {
				sums[name] = &loop.AppStats{Name: name}
			}
			sums[name].Add(&accounts[i])
		}
	}
	n.mutex.Lock()
	order, all := n.order, n.apps
	list := make([]*app, len(order))
	for i, name := range order {
		list[i] = all[name]
	}
	n.mutex.Unlock()
	told := make([]App, len(list))
	for i, a := range list {
		told[i] = n.describe(a, sums[a.name])
	}
	return told, nil
}

func (n *Node) describe(a *app, sum *loop.AppStats) App {
	told := App{Name: a.name, Hosts: a.config.Hosts, Path: a.config.Path, State: StateAsleep, Problem: a.problem, Uploaded: a.uploaded}
	if sum != nil {
		told.Stats = *sum
	}
	told.Stats.Name = a.name
	if len(a.runs) > 0 {
		told.Stats.ID, told.Stats.Version = a.runs[0].id, VersionID(n.sourceOf(a.runs[0]))
	}
	if told.Stats.Warm > 0 {
		told.State = StateWarm
	}
	failed := len(a.runs) == 0
	for _, r := range a.runs {
		if err := n.set.Problem(r.id); err != nil {
			failed = true
			told.Problem = oneLine(err)
		}
	}
	if failed {
		told.State = StateFailed
	}
	if a.record != nil {
		for _, k := range slices.Backward(a.record.Versions) {
			told.Versions = append(told.Versions, k.version(k.Weight))
		}
	} else if len(a.runs) > 0 {
		told.Versions = []Version{{ID: VersionID(n.sourceOf(a.runs[0])), Number: 1, Created: n.begun, From: FromFile, Weight: 1}}
	}
	return told
}

// FailedApps is how many apps cannot be started.
func (n *Node) FailedApps() (failed int) {
	n.mutex.Lock()
	all := slices.Collect(maps.Values(n.apps))
	n.mutex.Unlock()
	for _, a := range all {
		if len(a.runs) == 0 || slices.ContainsFunc(a.runs, func(r run) bool { return n.set.Problem(r.id) != nil }) {
			failed++
		}
	}
	return failed
}

// Served are the apps that the node has, as they are configured and in the order of Apps: but for uploads that
// nothing is left of to start.
func (n *Node) Served() (served []config.App) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, name := range n.order {
		if a := n.apps[name]; len(a.runs) > 0 || !a.uploaded {
			served = append(served, *a.config)
		}
	}
	return served
}

// Loops tells how each loop does.
func (n *Node) Loops(ctx context.Context) []loop.LoopStatus { return n.loops.Loops(ctx) }

// Config is the configuration that was read last. It must not be changed.
func (n *Node) Config() *config.Config { return n.configured() }

// Ready tells whether the node takes requests, and will go on with that.
func (n *Node) Ready() bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.isReady && !n.isOver
}

var errNoProfiles = errors.New("this node takes no profiles")

// HeapSnapshot writes a heap snapshot of an app, of the version with the most weight, as Chrome DevTools
// reads it.
func (n *Node) HeapSnapshot(ctx context.Context, name string, w io.Writer) error {
	return n.profile(name, func(p Profiler, id int) error { return p.HeapSnapshot(ctx, id, w) })
}

// CPUProfile writes a CPU profile of an app, of the version with the most weight.
func (n *Node) CPUProfile(ctx context.Context, name string, d time.Duration, w io.Writer) error {
	return n.profile(name, func(p Profiler, id int) error { return p.CPUProfile(ctx, id, d, w) })
}

func (n *Node) profile(name string, do func(p Profiler, id int) error) error {
	runs, done, err := n.use(name)
	if err != nil {
		return err
	}
	defer done()
	if len(runs) == 0 {
		return fmt.Errorf("app %q: %w", name, ErrNotFound)
	}
	profiler, ok := n.loops.(Profiler)
	if !ok {
		return errNoProfiles
	}
	return do(profiler, runs[0].id)
}

// Freeze waits for the changes that are going on and takes no others, because another process is about to
// take the node's place. resume has it go on, should that not come to be. ErrBusy: it drains, or is frozen.
func (n *Node) Freeze() (resume func(), err error) {
	n.changes.Lock()
	defer n.changes.Unlock()
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.isOver {
		return nil, ErrBusy
	}
	n.isOver = true
	return func() {
		n.mutex.Lock()
		defer n.mutex.Unlock()
		n.isOver = false
	}, nil
}

// Drain makes the node answer what it has received and then end; see loop.Node.Drain.
func (n *Node) Drain() {
	n.mutex.Lock()
	n.isOver = true
	n.mutex.Unlock()
	n.loops.Drain()
}

// Wait returns when the node has ended, with what made any of its loops fail.
func (n *Node) Wait() error {
	err := n.loops.Wait()
	n.mutex.Lock()
	n.isOver = true // its loops may have failed
	n.mutex.Unlock()
	n.set.Close()    // what a change waits for comes to an end,
	n.changes.Lock() // and with that the change
	defer n.changes.Unlock()
	n.ending.Wait()
	n.closeFolders()
	return err
}
