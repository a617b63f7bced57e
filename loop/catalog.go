package loop

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A catalog is what a node serves: its apps, and the routes to them. Its loops share one.
//
// Apps come (add), are routed to (setTable), and go (removal.go) while requests are served. Nothing of that costs a
// request anything. Each loop has tables of its own, indexed by numbers that it got from the router, and exchanges
// them when it reads its mail, between two ticks. What the loops have in common of an app is one sharedApp, to
// which each loop's appWorker points; whoever has to name an app to another loop sends that pointer, so that a
// message can never mean the app that has the same number later.
//
// A swap loses nothing, because nothing is taken away by it: whoever has begun with an app goes on with it. An app
// is removed after every loop uses routes that do not lead to it. Then what is still on the way to it has been
// posted, and mailboxes keep the order.
type catalog struct {
	live atomic.Int32 // apps

	// mutex is held while apps, routes or loops come and go: for moments only, never while somebody waits for a
	// loop.
	mutex sync.Mutex
	apps  []*sharedApp // by id; nil: free
	free  []int32      // ids of apps that were removed, in that order
	table *routeTable
	loops []*Loop // that take messages
}

// A sharedApp is what the loops of a node have in common of an app.
type sharedApp struct {
	App
	id int32

	where       atomic.Uint64 // see placement
	slowAt      atomic.Int64  // when a slow loop last saw a long turn of it, in ns from the placement's epoch; 0: never
	concurrency concurrency
	outbound    atomic.Int64 // endpoints, see outbound
	works       workQueue    // guarded by the work pool's mutex

	found atomic.Pointer[string] // what Shard.Version has told; nil: nobody was asked

	isGone    atomic.Bool // a loop that does not know it need not get to know it
	isLeaving bool        // RemoveApp was called; guarded by the catalog's mutex
}

// version is the app's, as far as it is known.
func (a *sharedApp) version() string {
	if found := a.found.Load(); found != nil {
		return *found
	}
	return a.Version
}

// A Route says which app answers requests for some hosts and paths: usually one, and two while a new version of it
// is tried out.
type Route struct {
	Name  string   // by which other apps call it, and the log names it
	Hosts []string // exact or "*.example.com"; none: any host that no other route names
	Path  string   // prefix, "" is "/"
	// Targets share the requests, each chosen at random. The first one is sent the firings of its cron triggers.
	Targets []Target
}

// A Target is one app of a route.
type Target struct {
	App    int // its id
	Weight int // how many requests it gets, in proportion to the sum of all; from 1 to WeightMax
}

// WeightMax bounds weights.
const WeightMax = 1 << 20

// A routeTable is all routes of a node. It does not change; there are newer ones.
type routeTable struct {
	router *Router
	routes []tableRoute
	byName map[string]int32
}

// A tableRoute is where one route leads.
type tableRoute struct {
	name    string
	targets []tableTarget
}

// A tableTarget is an app with its part of the requests: of numbers below that of the last target, those from the
// one of the target before on.
type tableTarget struct {
	app   *sharedApp
	below uint64
}

// newCatalog makes the catalog of apps that are routed to as they say.
func newCatalog(apps []App) (*catalog, error) {
	c := &catalog{}
	routes := make([]Route, len(apps))
	for i := range apps {
		app := &apps[i]
		c.add(app)
		routes[i] = Route{Name: app.Name, Hosts: app.Hosts, Path: app.Path, Targets: []Target{{App: i, Weight: 1}}}
	}
	var err error
	c.table, err = c.newTable(routes)
	return c, err
}

// add gives an app an id. The loops get to know it when they meet it.
func (c *catalog) add(app *App) *sharedApp {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	a := &sharedApp{App: *app, id: int32(len(c.apps))}
	a.concurrency.limit = int64(min(app.ConcurrentRequests, 1<<31-1))
	if len(c.free) != 0 {
		a.id = c.free[0]
		c.free = slices.Delete(c.free, 0, 1)
		c.apps[a.id] = a
	} else {
		c.apps = append(c.apps, a)
	}
	c.live.Add(1)
	return a
}

// get finds an app by its id. The mutex is held.
func (c *catalog) get(id int) (*sharedApp, error) {
	if id < 0 || id >= len(c.apps) || c.apps[id] == nil {
		return nil, fmt.Errorf("%w: %d", ErrNoApp, id)
	}
	return c.apps[id], nil
}

// find is get with the mutex.
func (c *catalog) find(id int) (*sharedApp, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.get(id)
}

// all are the apps by id; nil: the id is free.
func (c *catalog) all() []*sharedApp {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.apps)
}

// newTable makes a table of routes. The mutex is held, or nobody else knows the catalog.
func (c *catalog) newTable(routes []Route) (*routeTable, error) {
	router, err := NewRouter(routes)
	if err != nil {
		return nil, err
	}
	t := &routeTable{router: router, routes: make([]tableRoute, len(routes)), byName: make(map[string]int32, len(routes))}
	for i := range routes {
		r := &routes[i]
		if _, isThere := t.byName[r.Name]; isThere {
			return nil, fmt.Errorf("two routes have the name %q", r.Name)
		}
		t.byName[r.Name] = int32(i)
		if len(r.Targets) == 0 {
			return nil, fmt.Errorf("route %q leads to no app", r.Name)
		}
		t.routes[i].name = r.Name
		below := uint64(0)
		for _, target := range r.Targets {
			app, err := c.get(target.App)
			switch {
			case err != nil:
				return nil, fmt.Errorf("route %q: %w", r.Name, err)
			case app.isLeaving:
				return nil, fmt.Errorf("route %q: app %d is being removed", r.Name, target.App)
			case target.Weight < 1 || target.Weight > WeightMax:
				return nil, fmt.Errorf("route %q: the weight %d of app %d is not between 1 and %d", r.Name, target.Weight, target.App, WeightMax)
			}
			below += uint64(target.Weight)
			t.routes[i].targets = append(t.routes[i].targets, tableTarget{app, below})
		}
	}
	return t, nil
}

// leadsTo reports whether an app is a target of any route.
func (t *routeTable) leadsTo(app *sharedApp) bool {
	return slices.ContainsFunc(t.routes, func(r tableRoute) bool {
		return slices.ContainsFunc(r.targets, func(target tableTarget) bool { return target.app == app })
	})
}

// named is where requests for a route go; nil: there is none of that name.
func (t *routeTable) named(name string) *tableRoute {
	if i, ok := t.byName[name]; ok {
		return &t.routes[i]
	}
	return nil
}

// names are the routes that lead to an app, for a message.
func (t *routeTable) names(app *sharedApp) string {
	var names []string
	for i := range t.routes {
		if slices.ContainsFunc(t.routes[i].targets, func(target tableTarget) bool { return target.app == app }) {
			names = append(names, t.routes[i].name)
		}
	}
	return strings.Join(names, ", ")
}

// setTable has all loops use other routes. The change is done when all do.
func (c *catalog) setTable(p *placement, routes []Route) (*change, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	t, err := c.newTable(routes)
	if err != nil {
		return nil, err
	}
	p.inherit(c.table, t)
	c.table = t
	return c.tell(&change{kind: changeTable, table: t}), nil
}

// predecessor is the word of where an app lives that answers by the same name, which is where requests for this
// one will come from, too; 0: there is none.
func (c *catalog) predecessor(app *sharedApp) (where uint64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if r := c.table.named(app.Name); r != nil {
		return r.targets[0].app.where.Load()
	}
	return 0
}

// join makes a loop known to the others, with the routes as they are.
func (c *catalog) join(l *Loop) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	l.useTable(c.table)
	l.takePlace()
	c.loops = append(c.loops, l)
}

// leave ends that for a loop that has nothing in hand any more, and knows no apps.
func (c *catalog) leave(l *Loop) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.loops = without(slices.Clone(c.loops), l)
}

// The loop's side

// routing is what a loop has of its own to find apps.
type routing struct {
	table  *routeTable
	routed []*appWorker // by route; nil: the route has several targets
	random *rand.PCG    // to choose among them
}

// useTable has the loop use other routes.
func (l *Loop) useTable(t *routeTable) {
	l.table = t
	l.routed = make([]*appWorker, len(t.routes))
	for i := range t.routes {
		targets := t.routes[i].targets
		for _, target := range targets {
			l.routed[i] = l.workerOf(target.app)
		}
		if len(targets) > 1 {
			l.routed[i] = nil
		}
	}
	l.useTriggers()
}

// workerOf is an app on this loop. nil: it was removed.
func (l *Loop) workerOf(app *sharedApp) *appWorker {
	if int(app.id) < len(l.apps) {
		if w := l.apps[app.id]; w != nil && w.shared == app {
			return w
		}
	}
	if app.isGone.Load() {
		return nil
	}
	for int(app.id) >= len(l.apps) {
		l.apps = append(l.apps, nil)
	}
	w := &appWorker{
		app: int(app.id), shared: app, name: app.Name, version: app.version(), logRate: app.LogRate, maxBody: app.MaxBody,
		wall: l.timeouts.wall(app.Wall), taskDeadline: never,
		concurrency: &app.concurrency, files: newAppFiles(app.Static, app.Path),
	}
	w.sleep.owner = w
	l.apps[app.id] = w
	return w
}

// route finds the app for a request of a client; nil: there is none.
func (l *Loop) route(c *connection, host, target []byte) *appWorker {
	i, memory := l.table.router.route(host, target, c.routes)
	c.routes = memory
	if i == noRoute {
		return nil
	}
	if w := l.routed[i]; w != nil {
		return w
	}
	return l.chosen(c, &l.table.routes[i])
}

// A choice is the target that a request is to go to which has to wait, or moves to another loop.
type choice struct {
	app *sharedApp
	of  *tableRoute
}

// chosen is the target of a request whose route has several. It is asked again if the request has to wait, and must
// answer the same then.
func (l *Loop) chosen(c *connection, r *tableRoute) *appWorker {
	if c.choice.of != r {
		c.choice = choice{l.choose(r), r}
	}
	return l.workerOf(c.choice.app)
}

// choose picks a target of a route at random.
func (l *Loop) choose(r *tableRoute) *sharedApp {
	last := len(r.targets) - 1
	n, _ := bits.Mul64(l.random.Uint64(), r.targets[last].below)
	for i := range r.targets[:last] {
		if n < r.targets[i].below {
			return r.targets[i].app
		}
	}
	return r.targets[last].app
}
