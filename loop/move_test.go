package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring"
	"nano/uring/fakering"
)

// A group is several loops of one node, each over a fake ring with a virtual time of its own, worked
// by one goroutine: the loop that is behind goes next. The slow loops come last and do not listen.
type group struct {
	t      testing.TB
	worlds []*world
	rings  []*steppedRing
	random *rand.Rand
	ended  bool
}

// A steppedRing lets no wait take long, so that no loop gets far ahead of the others. The steps grow
// while nothing happens anywhere.
type steppedRing struct {
	*fakering.Ring
	step *time.Duration

	busy   int64 // ‰ of its time that the loop's thread says to use
	used   int64 // ns until usedAt
	usedAt time.Time
}

// usage is a threadUsage.
func (r *steppedRing) usage() int64 {
	now := r.Now()
	r.used += r.busy * int64(now.Sub(r.usedAt)) / busyFull
	r.usedAt = now
	return r.used
}

const (
	stepMin = 10 * time.Microsecond
	stepMax = 20 * time.Millisecond
)

func (r *steppedRing) Enter(wait bool, timeout time.Duration) error {
	if wait && (timeout < 0 || timeout > *r.step) {
		timeout = *r.step
	}
	return r.Ring.Enter(wait, timeout)
}

func (r *steppedRing) Reap(into []uring.Completion) int {
	n := r.Ring.Reap(into)
	if n != 0 {
		*r.step = stepMin
	}
	return n
}

// groupApps are demo apps with a host each.
var groupApps = []App{
	{Name: "a", Hosts: []string{"a"}}, {Name: "b", Hosts: []string{"b"}}, {Name: "c", Hosts: []string{"c"}},
}

// newGroup makes a node of two loops and their slow loops.
func newGroup(t testing.TB, config fakering.Config, change func(o *Options)) *group {
	t.Helper()
	config.Fail = func(violation string) { t.Errorf("%s", violation) }
	g := &group{t: t, random: rand.New(rand.NewPCG(config.Seed, 2))}
	blocks, log, step := &fakeBlocks{}, &recorder{}, stepMin
	const loops = 2
	var fakes []*fakering.Ring
	for i := range 2 * loops {
		config.Seed = config.Seed*4 + uint64(i)
		fakes = append(fakes, fakering.New(config))
		g.rings = append(g.rings, &steppedRing{Ring: fakes[i], step: &step, usedAt: fakes[i].Now()})
		g.worlds = append(g.worlds, &world{t: t, ring: fakes[i], blocks: blocks, log: log})
	}
	fakering.Join(fakes...)
	options := &Options{
		Apps: groupApps, Blocks: blocks, Logger: log, Clock: fakes[0].Now,
		NewShard: func(loop, waker int) (Shard, error) {
			w := g.worlds[loop]
			return &fakeShard{start: func(app int) (Worker, error) {
				worker := newFakeWorker(groupApps[app%len(groupApps)].Name, demo(blocks))
				w.workers = append(w.workers, worker)
				return worker, nil
			}}, nil
		},
	}
	if change != nil {
		change(options)
	}
	options, err := options.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	options.placement = newPlacement(loops, fakes[0].Now())
	for i, w := range g.worlds {
		own, ring := *options, g.rings[i]
		own.Clock, own.sockets = w.ring.Now, &fakeSockets{ring: w.ring}
		own.usage = ring.usage
		var sockets []Socket
		if i < loops {
			w.listener = w.ring.Listen()
			sockets = []Socket{{FD: w.listener}}
		}
		if w.loop, err = New(i, &own, ring, sockets); err != nil {
			t.Fatal(err)
		}
		w.loop.readTime()
		w.loop.armWake()
		for j := range w.loop.listeners {
			w.loop.accept(&w.loop.listeners[j])
		}
	}
	t.Cleanup(g.end)
	return g
}

func (g *group) placement() *placement { return g.worlds[0].loop.placement }

// app is what the loops have in common of an app.
func (g *group) app(id int) *sharedApp { return g.worlds[0].loop.options.catalog.apps[id] }

// serve says which loops serve an app.
func (g *group) serve(app int, where uint64) {
	p := g.placement()
	for !p.change(g.app(app), g.where(app), where) {
	}
}

// tick gives the loop that is behind a tick, or if it has ended lets its ring's time pass.
func (g *group) tick() {
	g.t.Helper()
	var behind *world
	for _, w := range g.worlds {
		if behind == nil || w.ring.Now().Before(behind.ring.Now()) {
			behind = w
		}
	}
	step := g.rings[0].step
	*step = min(*step+*step/8, stepMax)
	if behind.ended { // what clients do there goes on
		if err := behind.loop.ring.Enter(true, *step); err != nil {
			g.t.Fatal(err)
		}
		behind.loop.reap() // messages that came too late
		behind.loop.completions = behind.loop.completions[:0]
		return
	}
	if err := behind.loop.tick(); err != nil {
		g.t.Fatal(err)
	}
	// Half of the time the others see it asleep, and have to wake it.
	if g.random.IntN(2) == 0 {
		behind.loop.waker.Sleep()
	}
	if behind.loop.isDrained() && !behind.loop.closeMailbox() {
		behind.ended = true
	}
}

// run runs all loops for a length of virtual time.
func (g *group) run(length time.Duration) {
	g.t.Helper()
	var until time.Time
	for _, w := range g.worlds {
		if at := w.ring.Now().Add(length); at.After(until) {
			until = at
		}
	}
	for !g.t.Failed() {
		going := false
		for _, w := range g.worlds {
			going = going || w.ring.Now().Before(until)
		}
		if !going {
			return
		}
		*g.rings[0].step = min(*g.rings[0].step, stepMax)
		g.tick()
	}
}

// settle is time enough to answer, and too short for any time-out.
func (g *group) settle() { g.t.Helper(); g.run(3 * time.Millisecond) }

// end drains all loops, and checks that nothing is left of anything.
func (g *group) end() {
	if g.ended || g.t.Failed() {
		return
	}
	g.ended = true
	for _, w := range g.worlds {
		w.loop.Drain()
	}
	for slices.ContainsFunc(g.worlds, func(w *world) bool { return !w.ended }) && !g.t.Failed() {
		g.tick()
	}
	var homes int64
	for i, w := range g.worlds {
		w.checkEmpty()
		if w.loop.stats.StrayRecords != 0 {
			g.t.Errorf("%d records about requests that had ended", w.loop.stats.StrayRecords)
		}
		homes += g.placement().seats[i].homes.Load()
		if err := w.loop.end(); err != nil {
			g.t.Error(err)
		}
		for _, worker := range w.workers {
			if !worker.disposed {
				g.t.Error("an isolate was not disposed of")
			}
		}
	}
	for _, w := range g.worlds {
		if err := w.loop.Close(); err != nil {
			g.t.Error(err)
		}
	}
	placed := int64(0)
	for _, app := range g.worlds[0].loop.options.catalog.apps {
		if app != nil && app.where.Load() != 0 {
			placed++
		}
	}
	if homes != placed {
		g.t.Errorf("%d homes are counted for %d apps", homes, placed)
	}
}

// sum adds up the loops' counters.
func (g *group) sum() (sum Stats) {
	for _, w := range g.worlds {
		sum = sum.Add(w.loop.stats)
	}
	return sum
}

// talk writes input on a new connection to a loop, and returns what came back.
func (g *group) talk(loop int, input string) (*fakering.Peer, string) {
	g.t.Helper()
	peer := g.worlds[loop].ring.Dial(g.worlds[loop].listener)
	peer.WriteString(input)
	g.settle()
	return peer, string(peer.Take())
}

func get(host, target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

// textsOf are the bodies of the answers to get.
func textsOf(answers string) string {
	var all []string
	for rest := answers; rest != ""; {
		_, after, _ := strings.Cut(rest, "\r\n\r\n")
		body, next, more := strings.Cut(after, "HTTP/1.1 ")
		all = append(all, body)
		if !more {
			break
		}
		rest = "HTTP/1.1 " + next
	}
	return strings.Join(all, "|")
}

// TestMove: a connection goes where its app lives, and back, and to where it is slow.
func TestMove(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(1))
	g.serve(2, servedSlow(0))
	peer, got := g.talk(0, get("b", "/1"))
	if textsOf(got) != "GET /1 b " || len(g.worlds[0].workers) != 0 || len(g.worlds[1].workers) != 1 {
		t.Fatalf("got %q", got)
	}
	if remote := g.worlds[1].workers[0].spare[:1][0].remote; remote != "192.0.2.1:1234" {
		t.Errorf("the client is %q", remote)
	}
	for i, host := range []string{"b", "a", "b", "c", "c", "a", "a"} {
		target := fmt.Sprintf("/%d", i)
		peer.WriteString(get(host, target))
		g.settle()
		if got := string(peer.Take()); textsOf(got) != "GET "+target+" "+host+" " {
			t.Errorf("request %d: got %q", i, got)
		}
	}
	if sum := g.sum(); sum.Moved != 5 || sum.Accepted != 1 || sum.Connections != 1 || sum.Requests != 8 {
		t.Errorf("counted %+v", sum)
	}
	if len(g.worlds[2].workers) != 1 || len(g.worlds[3].workers) != 0 {
		t.Error("not on the slow loop beside the home")
	}
	peer.Close()
	g.settle()
	if sum := g.sum(); sum.Closed != 1 || sum.Connections != 0 {
		t.Errorf("counted %+v", sum)
	}
}

// TestMovePipelined: answers stay in order, whoever makes them, and however the input is cut.
func TestMovePipelined(t *testing.T) {
	input := get("a", "/1") + get("b", "/2") + get("b", "/late") + get("a", "/3") +
		"POST /4 HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello" + get("a", "/5") +
		"POST /6 HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get("a", "/7")
	const want = "GET /1 a |GET /2 b |late|GET /3 a |POST /4 b hello|GET /5 a |POST /6 b abc|GET /7 a "
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(1))
	for cut := 1; cut <= len(input) && !t.Failed(); cut += 3 {
		peer, first := g.talk(cut%2, input[:cut])
		peer.WriteString(input[cut:])
		g.run(1100 * time.Millisecond)
		if got := textsOf(first + string(peer.Take())); got != want {
			t.Errorf("cut at %d: got %q", cut, got)
		}
		peer.Close()
	}
}

// TestMoveHalfClosed: a client that has said all and shut its side is answered after a move.
func TestMoveHalfClosed(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(1))
	peer := g.worlds[0].ring.Dial(g.worlds[0].listener)
	peer.WriteString(get("b", "/1") + get("a", "/2"))
	peer.CloseWrite()
	g.settle()
	if got := textsOf(string(peer.Take())); got != "GET /1 b |GET /2 a " || !peer.Closed() {
		t.Errorf("got %q, closed: %v", got, peer.Closed())
	}
}

// TestMoveToNowhere: what has no loop to go to is served where it is.
func TestMoveToNowhere(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(1))
	g.serve(2, servedSlow(1))
	seats := g.placement().seats
	other, slow := seats[1].loop.Load(), seats[3].loop.Load()
	seats[1].loop.Store(nil) // not there yet
	seats[3].loop.Store(nil)
	_, got := g.talk(0, get("b", "/1")+get("c", "/2"))
	if textsOf(got) != "GET /1 b |GET /2 c " || g.sum().Moved != 0 {
		t.Errorf("got %q, %d moved", got, g.sum().Moved)
	}
	seats[1].loop.Store(other)
	seats[3].loop.Store(slow)
	slow.startDrain()
	slow.mailbox.Close() // as if it had ended
	peer, got := g.talk(0, get("c", "/3")+get("a", "/4"))
	if textsOf(got) != "GET /3 c |GET /4 a " || g.sum().Moved != 0 {
		t.Errorf("got %q, %d moved", got, g.sum().Moved)
	}
	// And while this loop drains nothing leaves it.
	g.worlds[0].loop.Drain()
	peer.WriteString(get("b", "/5"))
	g.settle()
	if got := string(peer.Take()); textsOf(got) != "GET /5 b " || g.sum().Moved != 0 {
		t.Errorf("got %q, %d moved", got, g.sum().Moved)
	}
}

// TestMoveToDraining: a loop that drains serves what reaches it at the last moment.
func TestMoveToDraining(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(1, servedBy(1))
	peer := g.worlds[0].ring.Dial(g.worlds[0].listener)
	last := g.worlds[1].loop
	last.Drain()
	for !last.isDrained() {
		if err := last.tick(); err != nil {
			t.Fatal(err)
		}
	}
	peer.WriteString(get("b", "/1"))
	for range 20 {
		if err := g.worlds[0].loop.tick(); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.worlds[0].loop.connections.open; n != 0 {
		t.Fatalf("%d connections did not leave", n)
	}
	if !last.closeMailbox() || last.isDrained() {
		t.Fatal("the connection was forgotten")
	}
	g.settle()
	if got := string(peer.Take()); textsOf(got) != "GET /1 b " {
		t.Errorf("got %q", got)
	}
}

// TestHomesAreSpread: apps settle where they are asked for first, as long as that is fair.
func TestHomesAreSpread(t *testing.T) {
	apps := make([]App, 1000)
	for i := range apps {
		apps[i].Name, apps[i].Hosts = fmt.Sprint(i), []string{fmt.Sprint(i)}
	}
	options, err := (&Options{Apps: apps, NewShard: shardOf(nil)}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	options.placement = newPlacement(3, time.Now())
	var loops []*Loop
	for i := range 3 {
		l, err := New(i, options, &scriptRing{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			l.usage.close()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		loops = append(loops, l)
	}
	for i, app := range options.catalog.apps[:3] {
		if loops[i].destination(app) != -1 {
			t.Errorf("app %s does not live where it was asked for", app.Name)
		}
	}
	for _, app := range options.catalog.apps { // all by way of one loop
		loops[0].destination(app)
	}
	for i := range loops {
		if n := options.placement.seats[i].homes.Load(); n < 280 || n > 400 {
			t.Errorf("%d of 1000 apps live on loop %d", n, i)
		}
	}
	for _, app := range options.catalog.apps {
		homes := 0
		for _, l := range loops {
			if app.where.Load()&l.seatMask == l.seatBits {
				homes++
			}
		}
		if homes != 1 {
			t.Fatalf("app %s is served by %d loops", app.Name, homes)
		}
	}
}

const moveSimulations = 200

// TestMoveSimulation is TestSimulation with two loops and their slow loops, clients that ask for apps
// of all of them, and apps that change places all the time.
func TestMoveSimulation(t *testing.T) {
	whole, moves := 0, uint64(0)
	for seed := range uint64(moveSimulations) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			served, moved := simulateMoves(t, seed)
			whole += served
			moves += moved
		})
	}
	t.Logf("%d clients got all their answers, over %d moves", whole, moves)
	if moves < 5*moveSimulations {
		t.Errorf("only %d moves", moves)
	}
}

func simulateMoves(t *testing.T, seed uint64) (whole int, moves uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
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
	})
	places := []uint64{servedBy(0), servedBy(1), servedBy(0) | 2, servedBy(1) | 1, servedSlow(0), servedSlow(1), servedSlow(1) | 1}
	for range 60 {
		app, where := random.IntN(len(groupApps)), places[random.IntN(len(places))]
		g.worlds[0].ring.At(time.Duration(random.IntN(100000))*time.Microsecond, func() { g.serve(app, where) })
	}
	drains := seed%5 == 1
	var clients []*client
	for range 1 + random.IntN(8) {
		c := newClient(random, "a", "b", "c")
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
	moves = g.sum().Moved
	g.end()
	return whole, moves
}

// TestNoAllocationsOfMoves: a move costs no Go memory.
func TestNoAllocationsOfMoves(t *testing.T) {
	g := newMovingPair(t)
	for range 1000 {
		g.round(t)
	}
	if allocations := testing.AllocsPerRun(1000, func() { g.round(t) }); allocations != 0 {
		t.Errorf("%v allocations a round", allocations)
	}
	if moved := g.loops[0].stats.Moved; moved < 1000 {
		t.Errorf("only %d moves", moved)
	}
}

// A movingPair is two loops over scripted rings, and one connection whose requests are for an app of
// the one and of the other in turn.
type movingPair struct {
	loops [2]*Loop
	rings [2]*moveRing
}

// A moveRing is a scriptRing whose connections come and go: it answers to each request with the one
// that makes the connection move on.
type moveRing struct {
	scriptRing
	receive uring.UserData
	waiting bool // a request comes with the next receive
}

func (r *moveRing) RecvMultishot(u uring.UserData, fd int) {
	r.receive = u
	if r.waiting {
		r.waiting = false
		r.come()
	}
}

func (r *moveRing) come() {
	r.next = append(r.next, uring.Completion{UserData: r.receive, Result: int32(len(r.request)), Flags: 1 | 2})
}

func (r *moveRing) Send(u uring.UserData, fd int, b []byte) {
	r.sends++
	r.next = append(r.next, uring.Completion{UserData: u, Result: int32(len(b))})
	r.come()
}

func (r *moveRing) Cancel(u uring.UserData, target uring.UserData) {
	r.next = append(r.next, uring.Completion{UserData: target, Result: -125}, uring.Completion{UserData: u})
}

func newPlainWorker(app int) (Worker, error) {
	return &plainWorker{record: isolates.Record{
		Kind: isolates.KindRespond, Status: 200, Head: plainHead, Body: []byte("Hello World"),
	}}, nil
}

func newMovingPair(t testing.TB) *movingPair {
	t.Helper()
	apps := []App{{Name: "a", Hosts: []string{"a"}}, {Name: "b", Hosts: []string{"b"}}}
	options, err := (&Options{Apps: apps, sockets: noSockets{}, NewShard: shardOf(newPlainWorker)}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	options.placement = newPlacement(2, options.Clock())
	g := &movingPair{}
	for i := range g.loops {
		g.rings[i] = &moveRing{}
		g.rings[i].request = []byte(get([]string{"b", "a"}[i], "/"))
		if g.loops[i], err = New(i, options, g.rings[i], nil); err != nil {
			t.Fatal(err)
		}
		options.catalog.apps[i].where.Store(servedBy(i))
		t.Cleanup(func() {
			g.loops[i].usage.close()
			if err := g.loops[i].Close(); err != nil {
				t.Error(err)
			}
		})
	}
	g.rings[0].waiting = true
	g.loops[0].openConnection(1000, &listener{})
	return g
}

// round is a request on each loop, with a move before it.
func (g *movingPair) round(t testing.TB) {
	for i := 0; i < 8; i++ {
		if err := g.loops[i%2].tick(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkMove is the loops' own time for a request that moves its connection.
func BenchmarkMove(b *testing.B) {
	g := newMovingPair(b)
	b.ReportAllocs()
	b.ResetTimer()
	for target := g.loops[0].stats.Requests + uint64(b.N); g.loops[0].stats.Requests < target; {
		g.round(b)
	}
}
