package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"time"

	"nano/apps"
	"nano/config"
	"nano/loop"
)

// A plan is a change of one app, from when it is prepared until it is carried out or given up.
type plan struct {
	old  *app // nil: it is new
	next app  // its runs may serve at once
	// from is what the running versions were made with before.
	from   *config.App
	added  []run           // of next, started for it
	held   []apps.SourceID // that Keep was called for
	action string
	err    error // why it was given up
	// isPlaced: nano.toml does not say where it is found, so another upload may be there by now.
	isPlaced bool
}

// giveUp ends what was started for a plan, so that everything is as it was; but for hosts and path, if those are of
// nano.toml. Those of an upload go with its record.
func (n *Node) giveUp(p *plan, err error) {
	p.err, p.action = err, Failed
	for _, r := range p.added {
		n.retire(r.id, 0)
	}
	p.added = nil
	hosts, path := p.next.config.Hosts, p.next.config.Path
	if p.old == nil {
		p.next.runs, p.next.record, p.next.problem = nil, nil, oneLine(err)
		return
	}
	isUpload := p.next.uploaded
	p.next = *p.old
	p.next.problem = oneLine(err)
	if isUpload {
		return
	}
	conf := *p.old.config
	conf.Hosts, conf.Path = hosts, path
	p.next.config = &conf
}

// release takes back what Keep was called for. What is pinned by now stays.
func (n *Node) release(p *plan) {
	for _, id := range p.held {
		n.set.Release(id)
	}
	p.held = nil
}

// stage starts a version beside those that serve: its image is built, and it is asked for its health,
// or at least started if isWarm. On an error nothing is left of it.
func (n *Node) stage(ctx context.Context, c *config.App, source apps.SourceID, weight int, isWarm bool) (run, error) {
	l, err := n.options.Loop(c)
	if err != nil {
		return run{}, &RejectedError{err}
	}
	l.Version, l.Removed = VersionID(source), n.removed
	id, err := n.loops.AddApp(l)
	if err != nil {
		if l.Static != nil {
			l.Static.Close()
		}
		return run{}, err
	}
	n.mutex.Lock()
	n.folders[id] = l.Static
	n.mutex.Unlock()
	err = n.set.Put(id, appOf(c, source))
	if err == nil {
		err = n.set.Ensure(ctx, id)
	}
	if err == nil {
		err = n.probe(ctx, id, c, isWarm)
	}
	if err != nil {
		n.retire(id, 0)
		var problem *apps.ProblemError
		if errors.As(err, &problem) {
			err = &RejectedError{err}
		}
		return run{}, err
	}
	return run{id, source, weight}, nil
}

// probe asks a version for its health, or has it start.
func (n *Node) probe(ctx context.Context, id int, c *config.App, isWarm bool) error {
	if c.Health == "" {
		if !isWarm {
			return nil
		}
		if err := n.loops.Wake(ctx, id); err != nil {
			return notContext(ctx, fmt.Errorf("does not start: %w", err))
		}
		return nil
	}
	limit := c.Limits.Wall
	probing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	status, err := n.loops.Probe(probing, id, c.Health)
	switch {
	case err != nil && probing.Err() != nil:
		return notContext(ctx, fmt.Errorf("health: GET %s is not answered within %s", c.Health, limit))
	case err != nil:
		return notContext(ctx, fmt.Errorf("health: GET %s: %w", c.Health, err))
	case status < http.StatusOK || status >= http.StatusBadRequest:
		return rejected("health: GET %s is answered with %d, not with 200 to 399", c.Health, status)
	}
	return nil
}

// notContext makes an error a RejectedError, unless it comes of the end of ctx.
func notContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &RejectedError{err}
}

// retire removes an app of the loops in the background, once its requests have ended, or after bound.
func (n *Node) retire(id int, bound time.Duration) {
	n.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := n.loops.RemoveApp(ctx, id); err != nil {
			n.options.Logger.Warn("an old version is not removed: " + err.Error())
		}
	})
}

// removed ends what goes with an app of the loops, which is gone. Its id may be given away afterwards: whoever goes by
// it has ended then.
func (n *Node) removed(id int) {
	n.mutex.Lock()
	for n.uses[id] > 0 {
		n.unused.Wait()
	}
	n.mutex.Unlock()
	n.set.Remove(id)
	n.mutex.Lock()
	folder := n.folders[id]
	delete(n.folders, id)
	n.mutex.Unlock()
	if folder != nil {
		folder.Close()
	}
}

// record has the record of a plan on the disk, if it has one that is new. Everything that it names is
// there before.
func (n *Node) record(p *plan) error {
	r := p.next.record
	if r == nil || p.old != nil && p.old.record == r {
		return nil
	}
	if n.records != nil {
		if err := n.persist(p.next.name, r); err != nil {
			return fmt.Errorf("%w: %w", apps.ErrState, err)
		}
	}
	if err := n.records.save(p.next.name, r); err != nil {
		return fmt.Errorf("%w: %w", apps.ErrState, err)
	}
	return nil
}

// persist has what a record names outlive a crash of the machine. A version that does not serve and whose source
// somebody has removed is taken off the record: it must not keep the app from being changed.
func (n *Node) persist(name string, r *record) error {
	var failed error
	r.Versions = slices.DeleteFunc(r.Versions, func(k kept) bool {
		err := n.set.Persist(k.Source.SourceID)
		if k.Weight == 0 && errors.Is(err, fs.ErrNotExist) {
			n.options.Logger.Warn("versions: what it was deployed from is not in state_dir any more: it is forgotten", "app", name, "version", k.id())
			return true
		}
		failed = errors.Join(failed, err)
		return false
	})
	return failed
}

// unrecord puts back the record from before a plan that failed when its own was in place already. If
// that fails too, what the new record names must stay, since a restart will look for it.
func (n *Node) unrecord(p *plan) {
	if n.records == nil || !n.records.holds(p.next.name, p.next.record) {
		return
	}
	var err error
	switch {
	case p.old != nil && p.old.record == p.next.record:
		return
	case p.old == nil || p.old.record == nil:
		err = n.records.remove(p.next.name)
	default:
		err = n.records.save(p.next.name, p.old.record)
	}
	if err != nil && n.records.holds(p.next.name, p.next.record) {
		n.options.Logger.Error("versions: a restart will serve another version: "+err.Error(), "app", p.next.name)
		p.held = nil
	}
}

// carryOut makes plans true: records first, then all routes at once. arrange makes of the names of all apps
// those that there are then; those that are in none of the plans stay as they are, and those that it leaves out
// go. Plans that cannot be carried out are given up, each for itself.
func (n *Node) carryOut(ctx context.Context, plans []*plan, arrange func(order []string) []string) {
	n.commits.Lock()
	defer n.commits.Unlock()
	next, order := n.snapshotApps()
	order = arrange(order) // only now: what another call has changed by now stays
	for _, p := range plans {
		if p.err == nil && p.isPlaced {
			if err := collisionIn(p.next.config, order, next); err != nil {
				n.giveUp(p, &RejectedError{err})
			}
		}
		if p.err == nil {
			if err := n.record(p); err != nil {
				n.unrecord(p)
				n.giveUp(p, err)
			}
		}
		a := p.next // copied: a pointer into the plan would keep it, and through its old all plans before it
		next[a.name] = &a
		if p.err != nil && p.old == nil && p.next.uploaded { // nothing says that there is such an app
			order = slices.DeleteFunc(order, func(name string) bool { return name == p.next.name })
		}
	}
	// A change that was begun is finished, whoever waits for it.
	if err := n.loops.SetRoutes(context.WithoutCancel(ctx), routesOf(next, order)); err != nil {
		n.revert(plans, err)
		return
	}
	n.mutex.Lock()
	gone := n.apps
	n.apps = map[string]*app{}
	for _, name := range order {
		n.apps[name] = next[name]
	}
	n.order = order
	var before, after []*record
	for name, a := range gone {
		if now := n.apps[name]; now == nil || now.record != a.record {
			before = append(before, a.record)
		}
	}
	for name, a := range n.apps {
		if was := gone[name]; was == nil || was.record != a.record {
			after = append(after, a.record)
		}
	}
	for _, r := range after { // first, so that none is let go that stays
		n.pinLocked(nil, r)
	}
	for _, r := range before {
		n.pinLocked(r, nil)
	}
	now := n.apps
	n.mutex.Unlock()
	n.endOld(gone, now)
	for _, p := range plans {
		n.release(p)
	}
}

// revert gives up plans whose routes the loops have not taken: because they have ended.
func (n *Node) revert(plans []*plan, why error) {
	for _, p := range plans {
		if p.err != nil {
			n.release(p)
			continue
		}
		n.unrecord(p)
		n.giveUp(p, why)
		n.release(p)
	}
}

// snapshotApps copies the table of apps, and their order.
func (n *Node) snapshotApps() (all map[string]*app, order []string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return maps.Clone(n.apps), slices.Clone(n.order)
}

// routesOf are the routes of apps, in that order.
func routesOf(all map[string]*app, order []string) []loop.Route {
	routes := make([]loop.Route, 0, len(order))
	for _, name := range order {
		a := all[name]
		if len(a.runs) == 0 {
			continue
		}
		r := loop.Route{Name: name, Hosts: a.config.Hosts, Path: a.config.Path}
		for _, each := range a.runs {
			r.Targets = append(r.Targets, loop.Target{App: each.id, Weight: each.weight})
		}
		routes = append(routes, r)
	}
	return routes
}

// endOld ends the versions that serve no more, and forgets those that are not kept.
func (n *Node) endOld(before, now map[string]*app) {
	for name, a := range before {
		next := now[name]
		for _, r := range a.runs {
			if next == nil || !slices.ContainsFunc(next.runs, func(s run) bool { return s.id == r.id }) {
				n.retire(r.id, n.drainBound(a.config))
			}
		}
		if a.record == nil || next != nil && next.record == a.record {
			continue
		}
		for _, k := range a.record.Versions {
			if !n.Pinned(k.Source.SourceID) {
				n.set.Forget(k.Source.SourceID, a.config.Warmup)
			}
		}
	}
}
