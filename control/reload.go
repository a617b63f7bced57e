package control

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"nano/apps"
	"nano/config"
)

// warmMax is up to how many changed apps are all started before they serve. Of more, those whose code is
// the same are started by their first request: a change of [isolates] is one of every app.
const warmMax = 64

// Reload reads nano.toml and the files of all apps again and replaces what has changed, see
// docs/OPERATING.md. An error: nothing has changed. Otherwise the Report tells what has, and which apps
// could not be changed, and why.
func (n *Node) Reload(ctx context.Context) (*Report, error) {
	n.changes.Lock()
	defer n.changes.Unlock()
	if n.isEnding() {
		return nil, ErrBusy
	}
	if n.options.Changing != nil {
		defer n.options.Changing()()
	}
	begun := time.Now()
	next, err := n.options.Load()
	if err != nil {
		n.options.Logger.Error("reload: nothing is changed: " + oneLine(err))
		return nil, err
	}
	report := &Report{Warnings: fixedKeys(n.configured(), next)}
	for _, warning := range report.Warnings {
		n.options.Logger.Warn("reload: " + warning)
	}
	plans, order := n.planReload(ctx, next)
	if err := ctx.Err(); err != nil { // whoever has waited is gone
		for _, p := range plans {
			n.giveUp(p, err)
			n.release(p)
		}
		return nil, err
	}
	if n.options.Applying != nil {
		n.options.Applying(next)
	}
	removed := n.missing(order)
	for _, name := range removed {
		if err := n.records.remove(name); err != nil {
			n.options.Logger.Warn("versions: "+err.Error(), "app", name)
		}
	}
	n.carryOut(ctx, plans, func([]string) []string { return order })
	n.mutex.Lock()
	n.config = next
	n.mutex.Unlock()
	n.tell(report, plans, removed)
	report.Duration = time.Since(begun)
	n.options.Logger.Info(report.String())
	return report, nil
}

func (n *Node) isEnding() bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.isOver
}

// planReload prepares the change of every app to a configuration, and gives the names of all apps in
// their new order.
func (n *Node) planReload(ctx context.Context, next *config.Config) (plans []*plan, order []string) {
	old, _ := n.snapshotApps()
	for i := range next.Apps {
		conf := &next.Apps[i]
		order = append(order, conf.Name)
		plans = append(plans, newPlan(old[conf.Name], conf))
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		a := old[name]
		if !a.uploaded || slices.Contains(order, name) || a.record == nil {
			continue
		}
		order = append(order, name)
		up := a.record.Upload
		conf, err := next.ParseApp(name, []byte(up.Settings), up.Hosts, up.Path)
		p := newPlan(a, &conf)
		p.next.uploaded = true
		if err == nil {
			err = collisionOf(&conf, plans)
		}
		if err != nil {
			p.next.config = &config.App{Name: name}
			p.next.runs, p.next.problem, p.err, p.action = nil, oneLine(err), err, Failed
		}
		plans = append(plans, p)
	}
	changed := 0
	for _, p := range plans {
		if p.old == nil || !sameSettings(p.from, p.next.config) {
			changed++
		}
	}
	for _, p := range plans {
		if p.err == nil && ctx.Err() == nil {
			n.planApp(ctx, p, changed <= warmMax)
		}
	}
	return plans, order
}

func newPlan(old *app, conf *config.App) *plan {
	p := &plan{old: old, action: Unchanged, next: app{name: conf.Name, config: conf}, from: &config.App{}}
	if old != nil {
		p.next, p.from = *old, old.config
		p.next.config, p.next.uploaded, p.next.problem = conf, false, ""
	}
	return p
}

// collisionOf finds a plan before with a host and path of an app.
func collisionOf(conf *config.App, plans []*plan) error {
	for _, p := range plans {
		if host, ok := conf.Collides(p.next.config); ok && p.err == nil {
			return fmt.Errorf("it serves %s%s, which app %q serves already; give it another host or path", host, conf.Path, p.next.name)
		}
	}
	return nil
}

// planApp prepares the change of one app.
func (n *Node) planApp(ctx context.Context, p *plan, isWarm bool) {
	conf := p.next.config
	isSame := p.old != nil && sameSettings(p.from, conf)
	if p.old != nil && (p.from.Path != conf.Path || !slices.Equal(p.from.Hosts, conf.Hosts)) {
		p.action = Moved
	}
	if isSame && p.from.Main == conf.Main && n.options.Stale != nil && !n.options.Stale(conf.Name) {
		p.next.problem = p.old.problem
		return
	}
	if isSame && !p.next.uploaded && n.isUntouched(p, conf) {
		return
	}
	if !p.next.uploaded {
		if n.planFile(ctx, p, conf) || p.err != nil {
			return
		}
	}
	if isSame && len(p.next.runs) > 0 {
		return
	}
	runs := p.next.runs
	p.next.runs, p.action = nil, Replaced
	if p.next.record != nil && len(runs) == 0 { // an upload that could not serve until now
		n.planSplit(ctx, p)
		return
	}
	for _, r := range runs {
		source := n.sourceOf(r)
		if source.IsZero() && len(p.held) > 0 {
			source = p.held[0] // it was not read yet, and would be now
		}
		staged, err := n.stage(ctx, conf, source, r.weight, isWarm)
		if err != nil {
			n.giveUp(p, err)
			return
		}
		p.added = append(p.added, staged)
	}
	p.next.runs = slices.Clone(p.added)
}

// isUntouched tells without reading them that an app's files are those that it was deployed from, and that it can be
// started. false: that is not known.
func (n *Node) isUntouched(p *plan, conf *config.App) bool {
	if len(p.next.runs) == 0 || slices.ContainsFunc(p.next.runs, func(r run) bool { return n.set.Problem(r.id) != nil }) {
		return false
	}
	source, ok := n.set.Known(appOf(conf, apps.SourceID{}))
	return ok && !n.isNewFile(p, source)
}

// planFile prepares to deploy an app from its main, if that holds something else than when it was
// deployed from it last. It reports whether it did.
func (n *Node) planFile(ctx context.Context, p *plan, conf *config.App) (isDeployed bool) {
	source, err := n.set.Keep(ctx, appOf(conf, apps.SourceID{}), "")
	if err != nil {
		n.giveUp(p, err)
		return false
	}
	p.held = append(p.held, source)
	if p.old != nil && !n.isNewFile(p, source) {
		return false
	}
	staged, err := n.stage(ctx, conf, source, 1, true)
	if err != nil {
		n.giveUp(p, err)
		return false
	}
	p.added = append(p.added, staged)
	p.action = Added
	if p.old != nil {
		p.action = Replaced
		r := n.recordOf(p.old)
		r.File, r.Upload = sourceID{source}, nil
		r.deploy(source, FromFile, time.Now())
		r.prune(n.configured().Server.Versions)
		p.next.record = r
	}
	p.next.runs = slices.Clone(p.added)
	return true
}

// isNewFile tells whether what main holds now is something else than what it was deployed from.
func (n *Node) isNewFile(p *plan, source apps.SourceID) bool {
	switch {
	case p.old.record != nil:
		return p.old.record.File.SourceID != source
	case len(p.old.runs) == 0:
		return true
	}
	running := p.old.runs[0]
	if known := n.sourceOf(running); !known.IsZero() {
		return known != source
	}
	return n.set.Problem(running.id) != nil // or else it was not read yet, and would be what it is now
}

// recordOf is a record of an app's versions to change, with the one that serves if it has none yet.
func (n *Node) recordOf(a *app) *record {
	if a.record != nil {
		return a.record.clone()
	}
	r := &record{Next: 1}
	if len(a.runs) > 0 {
		if source := n.sourceOf(a.runs[0]); !source.IsZero() && n.set.Problem(a.runs[0].id) == nil {
			r.File = sourceID{source}
			r.deploy(source, FromFile, n.begun)
		}
	}
	return r
}

// planSplit prepares the versions to run that the record of a plan says, by their weights.
func (n *Node) planSplit(ctx context.Context, p *plan) {
	var runs []run
	for _, k := range p.next.record.active() {
		i := slices.IndexFunc(p.next.runs, func(r run) bool { return n.sourceOf(r) == k.Source.SourceID })
		if i >= 0 {
			r := p.next.runs[i]
			r.weight, r.source = k.Weight, k.Source.SourceID
			runs = append(runs, r)
			continue
		}
		staged, err := n.stage(ctx, p.next.config, k.Source.SourceID, k.Weight, true)
		if err != nil {
			n.giveUp(p, err)
			return
		}
		p.added = append(p.added, staged)
		runs = append(runs, staged)
	}
	p.next.runs = runs
}

// sameSettings tells whether a running version of an app can go on with other settings: where it is
// found does not matter to it, but for that of its static files, nor does where nano.toml says so.
func sameSettings(a, b *config.App) bool {
	x, y := *a, *b
	for _, c := range []*config.App{&x, &y} {
		c.At, c.MainAt, c.StaticAt = config.Position{}, config.Position{}, config.Position{}
		c.Hosts, c.Main, c.Health = nil, "", ""
		if c.Static == "" {
			c.Path = ""
		}
	}
	return reflect.DeepEqual(x, y)
}

// missing are the apps that are not in order.
func (n *Node) missing(order []string) (names []string) {
	all, _ := n.snapshotApps()
	for _, name := range order {
		delete(all, name)
	}
	return slices.Sorted(maps.Keys(all))
}

// changesTold is how many changes of a Reload are logged, each in a line; failures are all. The log's queue is bounded,
// and thousands of apps that have changed must not crowd out what failed.
const changesTold = 100

// tell fills in a report, and logs what it says.
func (n *Node) tell(report *Report, plans []*plan, removed []string) {
	told := 0
	for _, p := range plans {
		change := Change{App: p.next.name, Action: p.action}
		if p.err != nil {
			change.Action, change.Reason, change.Serves = Failed, p.err.Error(), len(p.next.runs) > 0
		}
		if change.Action == Unchanged {
			report.Same++
			continue
		}
		report.Changes = append(report.Changes, change)
		if change.Action != Failed {
			told++
		}
		if change.Action == Failed || told <= changesTold {
			n.logChange(change, p)
		}
	}
	for _, name := range removed {
		report.Changes = append(report.Changes, Change{App: name, Action: Removed})
		if told++; told <= changesTold {
			n.options.Logger.Info("removed", "app", name)
		}
	}
	if told > changesTold {
		n.options.Logger.Info(fmt.Sprintf("and %d more apps are changed", told-changesTold))
	}
}

func (n *Node) logChange(change Change, p *plan) {
	switch {
	case change.Action != Failed:
		var versions []string
		for _, r := range p.next.runs {
			versions = append(versions, VersionID(n.sourceOf(r)))
		}
		n.options.Logger.Info(change.Action, "app", change.App, "version", strings.Join(versions, " "))
	case len(p.next.runs) > 0:
		n.options.Logger.Error("its new version does not serve, the one before goes on: "+oneLine(p.err), "app", change.App)
	default:
		n.options.Logger.Error("does not serve: "+oneLine(p.err), "app", change.App)
	}
}

// String is "reloaded: 1 replaced, 2 added, 3 the same".
func (r *Report) String() string {
	var parts []string
	for _, action := range []string{Replaced, Moved, Added, Removed, Failed} {
		count := 0
		for _, change := range r.Changes {
			if change.Action == action {
				count++
			}
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, action))
		}
	}
	return fmt.Sprintf("reloaded: %s", strings.Join(append(parts, fmt.Sprintf("%d the same", r.Same)), ", "))
}

// fixedKeys names what has changed and cannot while the node runs.
func fixedKeys(a, b *config.Config) (warnings []string) {
	type value struct {
		key       string
		from, now any
	}
	for _, v := range []value{
		{"[server] listen", a.Server.Listen, b.Server.Listen},
		{"[server] loops", a.Server.Loops, b.Server.Loops},
		{"[server] state_dir", a.Server.StateDir, b.Server.StateDir},
		{"[server] header_timeout", a.Server.HeaderTimeout, b.Server.HeaderTimeout},
		{"[server] idle_timeout", a.Server.IdleTimeout, b.Server.IdleTimeout},
		{"[server] drain_timeout", a.Server.DrainTimeout, b.Server.DrainTimeout},
		{"[server] max_header", a.Server.MaxHeader, b.Server.MaxHeader},
		{"[server] max_connections", a.Server.MaxConnections, b.Server.MaxConnections},
		{"[server] static_cache", a.Server.StaticCache, b.Server.StaticCache},
		{"[server] log", a.Server.Log, b.Server.Log},
		{"[server] access_log", a.Server.AccessLog, b.Server.AccessLog},
		{"[tracing]", a.Tracing, b.Tracing},
		{"[isolates] memory", a.Isolates.Memory, b.Isolates.Memory},
		{"[isolates] idle", a.Isolates.Idle, b.Isolates.Idle},
		{"[admin] listen", a.Admin.Listen, b.Admin.Listen},
		{"[admin] metrics_apps", a.Admin.MetricsApps, b.Admin.MetricsApps},
	} {
		if !reflect.DeepEqual(v.from, v.now) {
			warnings = append(warnings, v.key+" has changed: restart or upgrade the node to use it")
		}
	}
	return warnings
}
