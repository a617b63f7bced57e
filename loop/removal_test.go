package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// addApp adds an app to the node of a world.
func (w *world) addApp(app App) *sharedApp {
	app = w.loop.options.appWithDefaults(app)
	return w.loop.options.catalog.add(&app)
}

// setRoutes exchanges the routes.
func (w *world) setRoutes(routes ...Route) {
	w.t.Helper()
	m, err := w.loop.options.catalog.setTable(w.loop.placement, routes)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	if !m.isDone() {
		w.t.Fatal("the loop has not got its routes")
	}
}

func (m *change) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// replaceDemo has another app answer in the place of demo, which is about to be removed.
func (w *world) replaceDemo() (removal *change) {
	w.t.Helper()
	other := w.addApp(App{Name: "other"})
	w.setRoutes(Route{Name: "demo", Hosts: []string{"a"}, Targets: []Target{{int(other.id), 1}}})
	c := w.loop.options.catalog
	demo, barrier, err := c.beginRemoval(0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	if !barrier.isDone() {
		w.t.Fatal("the loop has not read its mail")
	}
	return c.letGo(demo)
}

// cutDemo ends what demo has in hand.
func (w *world) cutDemo(removal *change) {
	w.t.Helper()
	w.loop.options.catalog.tellAll(&change{kind: changeCut, app: removal.app})
	w.settle()
	if !removal.isDone() {
		w.t.Error("demo is still there after the cut")
	}
}

// TestRemoval: an app ends what it has in hand, and is gone then. What goes on for longer than that is wanted is cut.
func TestRemoval(t *testing.T) {
	gone := "HTTP/1.1 503"
	for _, row := range []removalRow{
		{get("a", "/x"), 0, "GET /x a ", "GET /x a ", true},
		{get("a", "/late"), time.Second, "late", gone, true},
		{get("a", "/pending"), time.Second, "pending", "pending", true},
		{get("a", "/never"), time.Minute, "wall limit", gone, true},
		{get("a", "/silent"), never, "", "transfer-encoding: chunked", false},
		{get("a", "/forever"), 30 * time.Second, "forever", "forever", true},
		{"POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc", 40 * time.Second, "ABC", "ABC", false},
	} {
		name, _, _ := strings.Cut(row.request, " HTTP")
		t.Run(name, func(t *testing.T) { row.test(t, false) })
		t.Run(name+" cut", func(t *testing.T) { row.test(t, true) })
	}
}

// A removalRow is a request that an app has in hand when it is replaced.
type removalRow struct {
	request string
	lasts   time.Duration
	want    string // of the answer
	cut     string // the same, if it was cut
	isOpen  bool   // the connection, after the cut
}

func (row *removalRow) test(t *testing.T, isCut bool) {
	w := newWorld(t, fakering.Config{}, nil)
	peer := w.ring.Dial(w.listener)
	peer.WriteString(row.request)
	w.settle()
	removal := w.replaceDemo()
	w.settle()
	if removal.isDone() != (row.lasts == 0) {
		t.Errorf("gone at once: %v", removal.isDone())
	}
	switch {
	case isCut || row.lasts == never:
		w.cutDemo(removal)
		got := string(peer.Take())
		if !strings.Contains(got, row.cut) || peer.Ended() == row.isOpen || strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("got %q, ended: %v", got, peer.Ended())
		}
	default:
		w.run(row.lasts / 2)
		if removal.isDone() != (row.lasts == 0) {
			t.Error("gone too early")
		}
		w.run(row.lasts/2 + time.Second)
		if !removal.isDone() {
			t.Errorf("not gone after %v", row.lasts)
		}
		if got := string(peer.Take()); !strings.Contains(got, row.want) {
			t.Errorf("got %q", got)
		}
	}
	if !w.workers[0].disposed || w.loop.apps[0] != nil || len(w.loop.leaving) != 0 {
		t.Error("it is not gone")
	}
	if _, got := w.talk(get("a", "/y")); !strings.HasSuffix(got, "GET /y a ") {
		t.Errorf("the other one answers %q", got)
	}
}

// TestRemovalWhileWaking: requests that wait for an app's start get their answers of it, though it is replaced
// meanwhile; if it is cut, they are told.
func TestRemovalWhileWaking(t *testing.T) {
	for _, isCut := range []bool{false, true} {
		b := newTown(t, fakering.Config{}, 6, nil)
		b.warm, b.starts, b.costs = make([]*fakeWorker, 7), make([]int, 7), make([]int64, 7)
		c := b.loop.options.catalog
		var peers []*fakering.Peer
		for app := range 6 {
			peer := b.ring.Dial(b.listener)
			peer.WriteString(getFrom(app, "/x"))
			peers = append(peers, peer)
		}
		for len(b.loop.waking) < 5 { // the first one was started at the end of the tick
			if err := b.loop.tick(); err != nil {
				t.Fatal(err)
			}
		}
		last := c.apps[5]
		other := b.addApp(App{Name: "other"})
		routes := []Route{{Name: "app5", Hosts: []string{"5"}, Targets: []Target{{int(other.id), 1}}}}
		if _, err := c.setTable(b.loop.placement, routes); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.beginRemoval(5); err != nil {
			t.Fatal(err)
		}
		removal := c.letGo(last)
		want := "GET /x 5 "
		if isCut {
			c.tellAll(&change{kind: changeCut, app: last})
			want = "nano: app5: the app was removed"
		}
		b.settle()
		for app, peer := range peers[:5] {
			if got := string(peer.Take()); !strings.HasSuffix(got, fmt.Sprintf("GET /x %d ", app)) {
				t.Errorf("app %d: got %q", app, got)
			}
		}
		if got := string(peers[5].Take()); !strings.HasSuffix(got, want) {
			t.Errorf("got %q", got)
		}
		if !removal.isDone() || b.starts[5] == 1 == isCut {
			t.Errorf("gone: %v, started %d times", removal.isDone(), b.starts[5])
		}
		b.end()
	}
}

// TestRemovalOfACollectedRequest: a request whose small body comes in two pieces, between which its app is removed,
// goes to the app that is there then.
func TestRemovalOfACollectedRequest(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	w.talk(get("a", "/x"))
	peer, _ := w.talk("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
	removal := w.replaceDemo()
	w.settle()
	if !removal.isDone() {
		t.Error("the app waits for a request that has not come")
	}
	peer.WriteString("cd")
	w.settle()
	if got := string(peer.Take()); !strings.HasSuffix(got, "POST /p a abcd") || w.loop.apps[1].load.count != 1 {
		t.Errorf("got %q, %d requests", got, w.loop.apps[1].load.count)
	}
}

// TestRemovalWithWebSocket: a WebSocket stays until it is closed, or is told that its end goes away.
func TestRemovalWithWebSocket(t *testing.T) {
	for _, isCut := range []bool{false, true} {
		s := newSocketWorld(t, fakering.Config{}, nil)
		peer := s.connect("")
		removal := s.replaceDemo()
		s.run(time.Minute)
		if removal.isDone() || peer.Ended() {
			t.Fatal("gone while a WebSocket is open")
		}
		goingAway := "\x88\x02\x03\xe9" // 1001
		if isCut {
			s.cutDemo(removal)
			if got := string(peer.Take()); got != goingAway {
				t.Errorf("got %q", got)
			}
		} else {
			peer.WriteString(frame(0x88, "\x03\xe8"))
			s.settle()
			if !removal.isDone() {
				t.Error("still there after the WebSocket was closed")
			}
		}
		peer.Close()
		s.run(10 * time.Second)
	}
}

// TestRemovalWithOrigins: connections to origins that wait for use are closed, and those in use are closed after it.
func TestRemovalWithOrigins(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	for range 2 {
		f.fetch("GET "+originURL+"/", nil)
	}
	f.settle()
	f.peers[0].WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.settle()
	if n := f.loop.origins.idle; n != 1 || f.loop.endpoints.open != 2 {
		t.Fatalf("%d idle connections of %d", n, f.loop.endpoints.open)
	}
	removal := f.replaceDemo()
	f.settle()
	if n := f.loop.origins.idle; n != 0 || f.loop.endpoints.open != 1 || removal.isDone() {
		t.Fatalf("%d idle connections of %d; gone: %v", n, f.loop.endpoints.open, removal.isDone())
	}
	f.peers[1].WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.settle()
	if f.loop.endpoints.open != 0 || len(f.loop.origins.byKey) != 0 || !removal.isDone() {
		t.Errorf("%d connections, %d origins; gone: %v", f.loop.endpoints.open, len(f.loop.origins.byKey), removal.isDone())
	}
	if n := removal.app.outbound.Load(); n != 0 {
		t.Errorf("%d sockets are counted", n)
	}
}

const reloadSimulations = 200

// TestReloadSimulation is TestMoveSimulation with apps that are replaced all the time, some by two versions that
// share the requests, and that call each other. Every client gets its answers, and in the end there is nothing left
// of any version but the last ones.
func TestReloadSimulation(t *testing.T) {
	whole, removed := 0, 0
	for seed := range uint64(reloadSimulations) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			served, gone := simulateReloads(t, seed)
			whole += served
			removed += gone
		})
	}
	t.Logf("%d clients got all their answers, while %d apps were removed", whole, removed)
	if removed < 10*reloadSimulations {
		t.Errorf("only %d apps were removed", removed)
	}
}

// A reloader replaces the apps of a group.
type reloader struct {
	g        *group
	catalog  *catalog
	random   *rand.Rand
	targets  [][]Target // of the routes, one for each of groupApps
	removals []*removing
	removed  int
}

// removing is an app on its way out.
type removing struct {
	app          *sharedApp
	barrier, end *change
}

// reload replaces one of the apps, or gives it a second version, and goes on with removals.
func (r *reloader) reload() {
	i := r.random.IntN(len(r.targets))
	app := groupApps[i]
	app.Version = fmt.Sprint(r.random.Uint32())
	added := r.g.worlds[0].addApp(app)
	before := r.targets[i]
	r.targets[i] = []Target{{int(added.id), 1 + r.random.IntN(5)}}
	if r.random.IntN(3) == 0 { // both serve
		r.targets[i] = append(r.targets[i], before[0])
		before = before[1:]
	}
	r.setRoutes()
	for _, old := range before {
		app, barrier, err := r.catalog.beginRemoval(old.App)
		if err != nil {
			r.g.t.Error(err)
			continue
		}
		r.removals = append(r.removals, &removing{app: app, barrier: barrier})
	}
	r.goOn()
}

func (r *reloader) setRoutes() {
	var routes []Route
	for i, app := range groupApps {
		routes = append(routes, Route{Name: app.Name, Hosts: app.Hosts, Targets: r.targets[i]})
	}
	if _, err := r.catalog.setTable(r.g.placement(), routes); err != nil {
		r.g.t.Error(err)
	}
}

// goOn takes the next step of each removal whose step before has been taken everywhere.
func (r *reloader) goOn() {
	kept := r.removals[:0]
	for _, each := range r.removals {
		switch {
		case each.end == nil && each.barrier.isDone():
			each.end = r.catalog.letGo(each.app)
		case each.end != nil && each.end.isDone():
			r.g.placement().vacate(each.app)
			r.catalog.forget(each.app)
			r.removed++
			continue
		}
		kept = append(kept, each)
	}
	r.removals = kept
}

func simulateReloads(t *testing.T, seed uint64) (whole, removed int) {
	random := rand.New(rand.NewPCG(seed, 4))
	faults := fakering.Harsh()
	faults.Reset = 0.002
	if seed%3 == 0 {
		faults.Reset = 0 // then every client must be served
		faults.AcceptError = 0
	}
	g := newGroup(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
		o.PipelineDepth = 1 + random.IntN(5)
		for _, limit := range []*time.Duration{&o.Wall, &o.SendTimeout, &o.BodyTimeout, &o.HeaderTimeout, &o.IdleTimeout} {
			*limit = time.Hour
		}
		o.DrainTimeout = time.Minute
		o.seed = seed
	})
	r := &reloader{g: g, catalog: g.worlds[0].loop.options.catalog, random: random}
	for i := range groupApps {
		r.targets = append(r.targets, []Target{{i, 1}})
	}
	places := []uint64{servedBy(0), servedBy(1), servedBy(0) | 2, servedBy(1) | 1, servedSlow(0), servedSlow(1), servedSlow(1) | 1}
	for range 60 {
		g.worlds[0].ring.At(time.Duration(random.IntN(100000))*time.Microsecond, r.reload)
		i, where := random.IntN(len(groupApps)), places[random.IntN(len(places))]
		g.worlds[0].ring.At(time.Duration(random.IntN(100000))*time.Microsecond, func() { g.serve(r.targets[i][0].App, where) })
	}
	drains := seed%5 == 1
	var clients []*client
	for i := range 1 + random.IntN(8) {
		c := newClient(random, "a", "b", "c")
		if i%3 == 2 {
			c = newServiceClient(random)
		}
		c.drained = drains
		clients = append(clients, c)
		c.act(g.worlds[random.IntN(2)], random)
	}
	if drains {
		for _, w := range g.worlds { // not all at once
			w.ring.At(time.Duration(random.IntN(100000))*time.Microsecond, w.loop.Drain)
		}
	}
	g.run(15 * time.Second)
	whole = checkAll(t, clients, seed%3 == 0)
	if !drains {
		r.settle()
	}
	g.end()
	return whole, r.removed
}

// settle ends the removals, for which every client has to leave that waits for ever, and checks what is left.
func (r *reloader) settle() {
	for range 2 {
		r.goOn()
		r.g.run(time.Second)
	}
	r.goOn()
	if n := len(r.removals); n != 0 {
		for _, each := range r.removals {
			r.g.t.Errorf("app %d is still being removed", each.app.id)
		}
		return
	}
	live := 0
	for _, targets := range r.targets {
		live += len(targets)
	}
	if n := int(r.catalog.live.Load()); n != live {
		r.g.t.Errorf("%d apps, %d targets", n, live)
	}
	for _, w := range r.g.worlds {
		if len(w.loop.leaving) != 0 {
			r.g.t.Error("a loop has not let go of an app")
		}
		for id, worker := range w.loop.apps {
			if worker != nil && r.catalog.apps[id] != worker.shared {
				r.g.t.Errorf("a loop knows app %d still", id)
			}
		}
	}
}
