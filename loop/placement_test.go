package loop

import (
	"testing"
	"time"

	"nano/uring/fakering"
)

// A customer asks for the same again and again on one connection.
type customer struct {
	peer      *fakering.Peer
	asked     int
	answered  int
	lastAfter time.Duration
}

// ask has a client of a loop ask for "/" of host, every so often for a length of time.
func (g *group) ask(loop int, host string, every, length time.Duration) *customer {
	w := g.worlds[loop]
	c := &customer{peer: w.ring.Dial(w.listener)}
	var next func()
	next = func() {
		c.answered += len(c.peer.Take()) / len(okText("GET / "+host+" "))
		if c.lastAfter += every; c.lastAfter < length {
			c.peer.WriteString(get(host, "/"))
			c.asked++
			w.ring.At(every, next)
		} else {
			c.peer.Close()
		}
	}
	w.ring.At(every, next)
	return c
}

// where is the word of an app.
func (g *group) where(app int) uint64 { return g.app(app).where.Load() }

// TestHotApp: an app that its home has no time for is served by further loops, which take some of its
// connections over; when the load is gone, only its home is left.
func TestHotApp(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedBy(0))
	var customers []*customer
	for range 8 { // accepted where the app does not live
		customers = append(customers, g.ask(1, "a", 2*time.Millisecond, 3*time.Second))
	}
	g.rings[0].busy, g.rings[1].busy = 700, 50
	g.run(500 * time.Millisecond)
	if g.where(0) != servedBy(0) || g.worlds[0].loop.connections.open != 8 {
		t.Fatalf("at 70 %%: served by %#x, %d connections at home", g.where(0), g.worlds[0].loop.connections.open)
	}
	g.rings[0].busy = 950
	g.run(120 * time.Millisecond)
	if g.where(0) != servedBy(0) {
		t.Error("replicated after one window")
	}
	g.run(300 * time.Millisecond)
	if g.where(0) != servedBy(0)|1<<1 {
		t.Fatalf("at 95 %%: served by %#x", g.where(0))
	}
	if n := g.worlds[1].loop.connections.open; n == 0 || n == 8 {
		t.Errorf("%d of 8 connections were given back", n)
	}
	// Both have half of it now: nothing changes.
	g.rings[0].busy, g.rings[1].busy = 600, 550
	moved := g.sum().Moved
	g.run(time.Second)
	if g.where(0) != servedBy(0)|1<<1 || g.sum().Moved != moved {
		t.Errorf("while balanced: served by %#x, %d moves", g.where(0), g.sum().Moved-moved)
	}
	// Hardly anybody asks any more.
	g.rings[0].busy, g.rings[1].busy = 100, 100
	g.run(2 * time.Second)
	if g.where(0) == servedBy(0) {
		t.Error("given up too early")
	}
	g.run(2 * time.Second)
	if g.where(0) != servedBy(0) {
		t.Errorf("in the end served by %#x", g.where(0))
	}
	if last := g.worlds[1].workers; len(last) != 1 || !last[0].disposed {
		t.Error("the second isolate did not go")
	}
	for i, c := range customers {
		if c.answered != c.asked || c.asked < 1000 {
			t.Errorf("client %d: %d answers to %d requests", i, c.answered, c.asked)
		}
	}
	ticks := g.worlds[1].loop.stats.Ticks
	*g.rings[0].step = stepMax
	g.run(10 * time.Second)
	if n := g.worlds[1].loop.stats.Ticks - ticks; n > 10*uint64(time.Second/stepMax)+10 {
		t.Errorf("%d ticks while idle", n)
	}
}

// TestHotAppInSlowLane: an app for which one slow loop is not enough gets more of them.
func TestHotAppInSlowLane(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	g.serve(0, servedSlow(0))
	var customers []*customer
	for range 8 {
		customers = append(customers, g.ask(0, "a", 2*time.Millisecond, time.Second))
	}
	seats := g.placement().seats
	last := seats[3].loop.Load()
	seats[3].loop.Store(nil)
	var asked []int
	g.placement().needSlow = func(loop int) { asked = append(asked, loop) }
	g.rings[2].busy = 950
	g.run(300 * time.Millisecond)
	if len(asked) != 1 || asked[0] != 1 {
		t.Fatalf("asked for slow loops beside %v", asked)
	}
	seats[3].loop.Store(last)
	g.run(300 * time.Millisecond)
	if g.where(0) != servedSlow(0)|1<<1 {
		t.Fatalf("served by %#x", g.where(0))
	}
	if n := g.worlds[3].loop.connections.open; n == 0 || n == 8 {
		t.Errorf("%d of 8 connections went over", n)
	}
	g.rings[2].busy = 100
	g.run(5 * time.Second)
	if g.where(0) != servedSlow(0) || !g.worlds[3].workers[0].disposed {
		t.Errorf("in the end served by %#x", g.where(0))
	}
	for i, c := range customers {
		if c.answered != c.asked || c.asked < 400 {
			t.Errorf("client %d: %d answers to %d requests", i, c.answered, c.asked)
		}
	}
}

// TestHomesMove: of several apps that overload their home together, some get another one.
func TestHomesMove(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	var customers []*customer
	for app, host := range []string{"a", "b", "c"} {
		g.serve(app, servedBy(0))
		customers = append(customers, g.ask(0, host, 2*time.Millisecond, 2*time.Second))
	}
	g.rings[0].busy, g.rings[1].busy = 900, 950
	g.run(500 * time.Millisecond)
	for app := range groupApps {
		if g.where(app) != servedBy(0) {
			t.Fatalf("app %d is served by %#x although nobody has room", app, g.where(app))
		}
	}
	g.rings[1].busy = 100
	g.run(350 * time.Millisecond)
	g.rings[0].busy, g.rings[1].busy = 600, 400
	g.run(time.Second)
	homes := [2]int{}
	for app := range groupApps {
		home := homeOf(g.where(app))
		homes[home]++
		if g.where(app) != servedBy(home) {
			t.Errorf("app %d is served by %#x", app, g.where(app))
		}
	}
	if homes != [2]int{2, 1} {
		t.Errorf("homes: %v", homes)
	}
	g.run(time.Second)
	for i, c := range customers {
		if c.answered != c.asked {
			t.Errorf("client %d: %d answers to %d requests", i, c.answered, c.asked)
		}
	}
}

// TestBusyOfOthers: what a loop says of itself counts as long as it is fresh; after that it sleeps, or
// it is stuck.
func TestBusyOfOthers(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	l, other := g.worlds[0].loop, g.worlds[1].loop
	other.publishLoad(420)
	if busy := l.busy(1); busy != 420 {
		t.Errorf("fresh: %d", busy)
	}
	l.now += loadStale + int64(time.Millisecond)
	other.waker.Awake()
	if busy := l.busy(1); busy != busyFull {
		t.Errorf("stuck: %d", busy)
	}
	other.waker.Sleep()
	if busy := l.busy(1); busy != 0 {
		t.Errorf("asleep: %d", busy)
	}
}

// TestSlowLane: an app that holds others up is put into the slow lane, for longer if it goes on, and
// comes back.
func TestSlowLane(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	asked := 0
	g.placement().needSlow = func(loop int) {
		asked++
		g.worlds[loop].loop.mailbox.Post(message{kind: messageSlowReady})
	}
	slow := g.placement().seats[2].loop.Load()
	g.placement().seats[2].loop.Store(nil)
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(0))
	busy := time.Duration(0)
	for _, w := range g.worlds {
		w.loop.shard.(*fakeShard).start = func(app int) (Worker, error) {
			worker := newFakeWorker(groupApps[app].Name, demo(w.blocks))
			worker.handle = func(f *fakeWorker, r *fakeRequest) {
				if app == 0 {
					f.cpu += busy
				}
				demo(w.blocks)(f, r)
			}
			w.workers = append(w.workers, worker)
			return worker, nil
		}
	}
	g.ask(0, "a", 50*time.Millisecond, 10*time.Minute)
	neighbour := g.ask(0, "b", time.Second, 2*time.Minute)

	busy = 900 * time.Microsecond
	g.run(time.Second)
	if g.where(0) != servedBy(0) || asked != 0 {
		t.Fatal("short turns were taken for long ones")
	}
	busy = 6 * time.Millisecond
	g.placement().seats[2].loop.Store(slow) // made in the meantime
	g.run(500 * time.Millisecond)
	if g.where(0) != servedSlow(0) || g.where(1) != servedBy(0) {
		t.Fatalf("long turns: served by %#x, neighbour by %#x", g.where(0), g.where(1))
	}
	if g.worlds[2].loop.connections.open != 1 || g.worlds[0].loop.connections.open != 1 {
		t.Error("the connection has not gone along")
	}
	g.run(15 * time.Second) // it goes on: twice as long again
	if g.where(0) != servedSlow(0) {
		t.Error("came back although it goes on")
	}
	busy = 0
	g.run(20 * time.Second)
	if g.where(0) != servedBy(0) || g.sum().Slowed != 1 {
		t.Errorf("in the end served by %#x, put away %d times", g.where(0), g.sum().Slowed)
	}
	if workers := g.worlds[2].workers; len(workers) != 1 || !workers[0].disposed {
		t.Error("its isolate in the slow lane did not go")
	}
	busy = 50 * time.Millisecond // a relapse, at once
	g.run(100 * time.Millisecond)
	if lane := g.worlds[0].loop.apps[0].load.lane; g.where(0) != servedSlow(0) || lane.length != 4*slowFirst {
		t.Errorf("relapse: served by %#x for %v", g.where(0), time.Duration(lane.length))
	}
	if neighbour.peer.Closed() {
		t.Fatal("the neighbour has gone")
	}
	g.run(90 * time.Second) // then the neighbour has gone, and long turns disturb nobody
	g.run(60 * time.Second)
	if g.where(0) != servedBy(0) {
		t.Errorf("alone: served by %#x", g.where(0))
	}
	g.run(10 * time.Second)
	if g.where(0) != servedBy(0) || neighbour.answered != neighbour.asked {
		t.Errorf("alone: served by %#x; neighbour: %d answers to %d", g.where(0), neighbour.answered, neighbour.asked)
	}
}

// TestSlowLaneIsMade: the first app that needs it waits for it; deaths at limits are reasons, too.
func TestSlowLaneIsMade(t *testing.T) {
	for name, input := range map[string]string{
		"death": get("a", "/die"),
	} {
		g := newGroup(t, fakering.Config{}, nil)
		asked := 0
		g.placement().needSlow = func(int) { asked++ }
		slow := g.placement().seats[2].loop.Load()
		g.placement().seats[2].loop.Store(nil)
		g.serve(0, servedBy(0))
		g.serve(1, servedBy(0))
		g.talk(0, input)
		if asked != 0 {
			t.Errorf("%s: slow without a neighbour", name)
		}
		g.talk(0, get("b", "/"))
		g.talk(0, input)
		g.talk(0, input)
		if asked != 1 || g.where(0) != servedBy(0) {
			t.Errorf("%s: asked for %d slow loops", name, asked)
		}
		g.placement().seats[2].loop.Store(slow)
		g.worlds[0].loop.mailbox.Post(message{kind: messageSlowReady})
		g.settle()
		if g.where(0) != servedSlow(0) {
			t.Errorf("%s: served by %#x once there is a slow loop", name, g.where(0))
		}
		g.serve(0, servedBy(0))
		peer, _ := g.talk(0, input)
		peer.Close()
		g.end()
	}
}

func TestParseSchedstat(t *testing.T) {
	for text, want := range map[string][2]int64{
		"123 456 7\n": {123, 456}, "0 0 0\n": {0, 0}, "9223372036854775807 1 1\n": {1<<63 - 1, 1},
	} {
		if ran, waited, ok := parseSchedstat([]byte(text)); !ok || [2]int64{ran, waited} != want {
			t.Errorf("%q: %d %d %v", text, ran, waited, ok)
		}
	}
	for _, text := range []string{"", "1", "1 ", "1 2", " 1 2 3", "1  2 3", "-1 2 3", "9223372036854775808 1 1\n"} {
		if _, _, ok := parseSchedstat([]byte(text)); ok {
			t.Errorf("%q was taken", text)
		}
	}
	usage := newThreadUsage(nil)
	defer usage.close()
	before := usage.read()
	for usage.read() <= before { // counts while we look at it
	}
	usage.close()
	if usage.read() <= 0 {
		t.Error("nothing without schedstat")
	}
}
