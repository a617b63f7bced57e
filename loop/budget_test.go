package loop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// TestLeastRecentlyUsed: under the budget, whoever was idle for longest sleeps first.
func TestLeastRecentlyUsed(t *testing.T) {
	b := newTown(t, fakering.Config{}, 5, func(o *Options) { o.Memory = 3 << 20 })
	for _, app := range []int{0, 1, 2, 0} {
		b.ask(app, "/")
	}
	b.wantWarm("within the budget", 0, 1, 2)
	b.ask(3, "/")
	b.wantWarm("after a fourth", 0, 2, 3)
	b.ask(2, "/")
	b.ask(4, "/")
	b.wantWarm("after a fifth", 2, 3, 4)
	b.ask(0, "/")
	b.wantWarm("after the first again", 0, 2, 4)
	for app, want := range []uint64{1, 1, 0, 1, 0} {
		if c := b.loop.apps[app].counts; c.Evictions != want || c.Sleeps+c.PressureEvictions != 0 {
			t.Errorf("app %d: %+v", app, c)
		}
	}
	b.checkMemory()
}

// TestCrowded: when the process has no room for more isolates, apps sleep though there is memory, before
// another starts; busy ones stay, and that is said once.
func TestCrowded(t *testing.T) {
	var b *town
	b = newTown(t, fakering.Config{}, 5, func(o *Options) {
		o.Wall = time.Hour
		o.Crowded = func() bool { return b != nil && len(b.warmApps()) >= 3 }
	})
	for _, app := range []int{0, 1, 2, 0, 3} {
		b.ask(app, "/")
	}
	b.wantWarm("two of room for less than three", 0, 3)
	var hung []*fakering.Peer
	for _, app := range []int{0, 1, 3} {
		peer, _ := b.talk(getFrom(app, "/never"))
		hung = append(hung, peer)
	}
	if got := b.ask(4, "/x"); !strings.HasSuffix(got, "GET /x 4 ") {
		t.Errorf("got %q", got)
	}
	b.wantWarm("three that are busy", 0, 1, 3)
	if n := b.log.count("address space"); n != 1 {
		t.Errorf("logged %d times: %q", n, b.log.lines)
	}
	b.checkMemory()
	for _, peer := range hung {
		peer.Reset()
	}
}

// checkMemory checks that what is counted is what there is.
func (b *town) checkMemory() {
	b.t.Helper()
	warm, resident := 0, int64(0)
	for app, w := range b.loop.apps {
		if (w.isolate != nil) != b.isWarm(app) {
			b.t.Errorf("app %d: has an isolate: %v, is warm: %v", app, w.isolate != nil, b.isWarm(app))
		}
		if w.isolate == nil {
			continue
		}
		warm++
		resident += b.warm[app].resident
		if w.cost != b.warm[app].resident {
			b.t.Errorf("app %d counted as %d bytes, is %d", app, w.cost, b.warm[app].resident)
		}
		if (w.sleep.list != nil) != (w.inHand == 0) {
			b.t.Errorf("app %d: may sleep: %v, has %d in hand", app, w.sleep.list != nil, w.inHand)
		}
	}
	if l := b.loop; l.warm != warm || l.resident != resident || l.options.memory.total.Load() != resident {
		b.t.Errorf("%d isolates of %d bytes, counted %d of %d, %d on the node", warm, resident,
			l.warm, l.resident, l.options.memory.total.Load())
	}
}

// TestRoomIsMadeBefore: what an app cost the last time is freed before it starts.
func TestRoomIsMadeBefore(t *testing.T) {
	b := newTown(t, fakering.Config{}, 8, func(o *Options) { o.Memory = 8 << 20 })
	b.costs[0] = 2 << 20
	b.ask(0, "/")
	for app := 1; app < 8; app++ {
		b.ask(app, "/")
	}
	b.wantWarm("full", 1, 2, 3, 4, 5, 6, 7)
	b.started = func(app int) {
		if n := len(b.warmApps()); n != 7 {
			t.Errorf("%d were warm after the start", n)
		}
	}
	b.ask(0, "/")
	b.wantWarm("the large one is back", 0, 2, 3, 4, 5, 6, 7)
	b.checkMemory()
}

// TestGrowth: an app that grows pushes others out, as many as it takes, some in each tick.
func TestGrowth(t *testing.T) {
	b := newTown(t, fakering.Config{}, 20, func(o *Options) { o.Memory = 20 << 20 })
	for app := range 20 {
		b.ask(app, "/")
	}
	b.warm[19].resident = 15 << 20
	peer := b.ring.Dial(b.listener)
	peer.WriteString(getFrom(19, "/"))
	for warm := b.loop.warm; warm > 6; {
		if err := b.loop.tick(); err != nil {
			t.Fatal(err)
		}
		if b.loop.warm < warm-evictionsPerTick {
			t.Fatalf("%d evictions in a tick", warm-b.loop.warm)
		}
		warm = b.loop.warm
	}
	b.settle()
	b.wantWarm("in the end", 14, 15, 16, 17, 18, 19)
	b.checkMemory()
	peer.Close()
}

// TestBusyAppsStay: apps with something in hand are not evicted; the budget is exceeded, that is said
// once, and made good as soon as one is idle.
func TestBusyAppsStay(t *testing.T) {
	b := newTown(t, fakering.Config{}, 5, func(o *Options) { o.Memory = 2 << 20; o.Wall = time.Hour })
	var hung []*fakering.Peer
	for app, target := range []string{"/never", "/forever", "/late", "/never"} {
		peer, _ := b.talk(getFrom(app, target))
		hung = append(hung, peer)
	}
	b.wantWarm("all of them busy", 0, 1, 2, 3)
	if got := b.ask(4, "/x"); !strings.HasSuffix(got, "GET /x 4 ") {
		t.Errorf("got %q", got)
	}
	b.wantWarm("after one that is not", 0, 1, 2, 3)
	b.run(time.Second)
	b.wantWarm("after one has ended", 0, 1, 3)
	if got := string(hung[2].Take()); !strings.HasSuffix(got, "late") {
		t.Errorf("got %q", got)
	}
	if n := b.log.count("isolates take"); n != 1 {
		t.Errorf("logged %d times: %q", n, b.log.lines)
	}
	b.checkMemory()
	for _, peer := range hung {
		peer.Reset()
	}
	b.run(40 * time.Second) // until it is given up that they say a last word
	b.wantWarm("in the end", 0, 3)
}

// TestBudgetOfTwoLoops: the loops of a node share the budget, and evict in one order of age.
func TestBudgetOfTwoLoops(t *testing.T) {
	// All but 2 MiB are taken, so that one isolate too many is not much.
	const taken = 62 << 20
	g := newGroup(t, fakering.Config{}, func(o *Options) { o.Memory = taken + 2<<20 })
	g.worlds[0].loop.options.memory.total.Add(taken)
	for app := range groupApps {
		g.serve(app, servedBy(app%2))
	}
	ask := func(app int) {
		t.Helper()
		w := g.worlds[app%2]
		peer := w.ring.Dial(w.listener)
		peer.WriteString("GET / HTTP/1.0\r\nHost: " + groupApps[app].Name + "\r\n\r\n")
		g.run(20 * time.Millisecond)
		if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("app %d: got %q", app, got)
		}
	}
	warm := func() (names string) {
		for app := range groupApps {
			if g.worlds[app%2].loop.apps[app].isolate != nil {
				names += groupApps[app].Name
			}
		}
		return names
	}
	for _, step := range []struct {
		app  int
		want string
	}{{0, "a"}, {1, "ab"}, {2, "bc"}, {0, "ac"}, {1, "ab"}, {0, "ab"}, {2, "ac"}} {
		ask(step.app)
		if got := warm(); got != step.want {
			t.Errorf("after %s: warm are %s, want %s", groupApps[step.app].Name, got, step.want)
		}
	}
	options := g.worlds[0].loop.options
	options.memory.setLimit(taken + 1<<20)
	g.run(20 * time.Millisecond)
	if got := warm(); got != "c" {
		t.Errorf("under pressure: warm are %s", got)
	}
	if got := options.memory.total.Load(); got != taken+1<<20 {
		t.Errorf("%d bytes counted", got)
	}
}

// TestFarOverBudget: a loop that has more than its share does not wait for another one that is held up.
func TestFarOverBudget(t *testing.T) {
	b := newTown(t, fakering.Config{}, 10, func(o *Options) { o.Memory = 8 << 20 })
	other := &Loop{mailbox: b.loop.mailbox} // it never does what it is asked
	stuck := b.loop.options.memory.join(other)
	stuck.oldest.Store(0)
	b.loop.options.memory.total.Add(2 << 20)
	for app := range 10 {
		b.ask(app, "/")
	}
	if got := fmt.Sprint(b.warmApps()); got != "[4 5 6 7 8 9]" {
		t.Errorf("warm are %s", got)
	}
	b.loop.options.memory.total.Add(-2 << 20)
	b.loop.options.memory.leave(stuck)
}

// TestNoAllocationsWithLimits: neither the budget nor a limit of requests costs memory of Go.
func TestNoAllocationsWithLimits(t *testing.T) {
	l, _ := newScripted(t, plainRequest, 8, func(o *Options) { o.Memory = 3 << 20; o.Apps[0].ConcurrentRequests = 100 })
	if allocations := testing.AllocsPerRun(1000, func() {
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations per tick", allocations)
	}
}
