package loop

import (
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// newLanes is a group whose isolates need as much CPU time for each request and timer as cost says, by app.
// All apps live on the first loop.
func newLanes(t *testing.T, cost *[2]time.Duration) *group {
	g := newGroup(t, fakering.Config{}, nil)
	for _, w := range g.worlds {
		w.loop.shard.(*fakeShard).start = func(app int) (Worker, error) {
			worker := newFakeWorker(groupApps[app].Name, nil)
			worker.handle = func(f *fakeWorker, r *fakeRequest) {
				f.cpu += cost[app]
				demo(w.blocks)(f, r)
			}
			worker.onTimer = func(f *fakeWorker, id uint32) { f.cpu += cost[app] }
			w.workers = append(w.workers, worker)
			return worker, nil
		}
	}
	g.placement().needSlow = func(int) {} // they are all there
	g.serve(0, servedBy(0))
	g.serve(1, servedBy(0))
	return g
}

// TestHeavyApps: an app none of whose turns is long is put into the slow lane if its requests cost much
// on the average, or if it takes most of the loop's time.
func TestHeavyApps(t *testing.T) {
	for name, test := range map[string]struct {
		cost    time.Duration // of a request
		clients int
		every   time.Duration
		busy    int64 // ‰ of the loop's time
		slow    bool
	}{
		"heavy":             {400 * time.Microsecond, 1, 5 * time.Millisecond, 100, true},
		"heavy, but seldom": {400 * time.Microsecond, 1, 20 * time.Millisecond, 100, false},
		"cheap":             {200 * time.Microsecond, 1, 2 * time.Millisecond, 100, false},
		"crowding":          {10 * time.Microsecond, 4, 2 * time.Millisecond, 700, true},
		"a third":           {10 * time.Microsecond, 4, 2 * time.Millisecond, 330, false},
		"busy":              {10 * time.Microsecond, 32, time.Millisecond, 700, false}, // 22 µs each
	} {
		cost := &[2]time.Duration{test.cost, 0}
		g := newLanes(t, cost)
		for range test.clients {
			g.ask(0, "a", test.every, 2*time.Second)
		}
		neighbour := g.ask(0, "b", 100*time.Millisecond, 2*time.Second)
		g.rings[0].busy = test.busy
		g.run(100 * time.Millisecond)
		if g.where(0) != servedBy(0) {
			t.Errorf("%s: put into the slow lane by a moment", name)
		}
		g.run(1700 * time.Millisecond)
		if isSlow := g.where(0)&slowBit != 0; isSlow != test.slow || g.where(1) != servedBy(0) {
			t.Errorf("%s: served by %#x, the neighbour by %#x", name, g.where(0), g.where(1))
		}
		g.run(time.Second)
		if neighbour.answered != neighbour.asked {
			t.Errorf("%s: the neighbour got %d answers to %d requests", name, neighbour.answered, neighbour.asked)
		}
		g.end()
	}
}

// TestHeavyAlone: what an app has done while nobody was beside it counts for a moment only.
func TestHeavyAlone(t *testing.T) {
	cost := &[2]time.Duration{2 * time.Millisecond, 0}
	g := newLanes(t, cost)
	g.ask(0, "a", 5*time.Millisecond, 30*time.Second)
	g.run(20 * time.Second)
	cost[0] = 0
	g.run(2 * time.Second)
	g.ask(0, "b", 100*time.Millisecond, 5*time.Second)
	g.run(time.Second)
	cost[0] = 2 * time.Millisecond // three of them are no reason
	g.run(16 * time.Millisecond)
	cost[0] = 0
	g.run(3 * time.Second)
	if g.where(0) != servedBy(0) {
		t.Errorf("served by %#x", g.where(0))
	}
}

// TestTimersOfSlowApp: timers are work as well, and those of an app that has been put into the slow lane do
// not keep its isolate on the normal loop awake.
func TestTimersOfSlowApp(t *testing.T) {
	g := newLanes(t, &[2]time.Duration{})
	g.ask(0, "b", 100*time.Millisecond, 3*time.Second)
	g.talk(0, get("a", "/"))
	worker := g.worlds[0].workers[0]
	if worker.name != "a" {
		worker = g.worlds[0].workers[1]
	}
	timer := isolates.Record{Kind: isolates.KindTimerSet, ID: 1, Delay: idlePause / 2} // the loop never rests
	worker.onTimer = func(f *fakeWorker, id uint32) {
		f.cpu += 20 * time.Microsecond
		f.record(timer)
	}
	worker.out, worker.keepOut = append(worker.out[:0], timer), true
	g.worlds[0].loop.wantTurn(g.worlds[0].loop.apps[0])
	g.run(time.Second)
	if g.where(0)&slowBit == 0 {
		t.Fatalf("served by %#x after %d turns", g.where(0), worker.turns)
	}
	if !worker.disposed {
		t.Error("its isolate on the normal loop goes on")
	}
}

// TestTimersPerTick: many timers that are due at once are taken tick by tick, and in order.
func TestTimersPerTick(t *testing.T) {
	g := newLanes(t, &[2]time.Duration{})
	g.talk(0, get("a", "/"))
	loop, worker := g.worlds[0].loop, g.worlds[0].workers[0]
	fired := []uint32{}
	most, before := 0, 0
	worker.onTimer = func(f *fakeWorker, id uint32) { fired = append(fired, id) }
	worker.turn = func() { most, before = max(most, len(fired)-before), len(fired) }
	const count = 1000
	for id := range uint32(count) {
		loop.timers.set(loop.apps[0], id, loop.now)
	}
	g.settle()
	if len(fired) != count || most > count/2 {
		t.Errorf("%d of %d timers fired, up to %d at once", len(fired), count, most)
	}
	for i, id := range fired {
		if id != uint32(i) {
			t.Fatalf("timer %d fired as number %d", id, i)
		}
	}
}

// TestNothingToPrepare: a loop whose isolates have no work for it when it is idle does not wake up after a
// request to look for some.
func TestNothingToPrepare(t *testing.T) {
	g := newLanes(t, &[2]time.Duration{})
	g.talk(0, get("a", "/"))
	loop, worker := g.worlds[0].loop, g.worlds[0].workers[0]
	for _, isPrepared := range []bool{true, false} {
		worker.isPrepared = isPrepared
		loop.noteUnprepared(loop.apps[0])
		if loop.hasIdleWork() == isPrepared {
			t.Errorf("work for an idle loop: %v", !isPrepared)
		}
	}
	g.settle()
	if loop.hasIdleWork() {
		t.Error("it was not done")
	}
}

// TestShrink: an isolate that a burst has swollen gives memory back when it has been idle for a while, not in a
// gap between requests, and the loop does not wake up for it after that.
func TestShrink(t *testing.T) {
	const shrinkRest = 2 * time.Second
	g := newLanes(t, &[2]time.Duration{})
	g.talk(0, get("a", "/"))
	loop, worker := g.worlds[0].loop, g.worlds[0].workers[0]
	app := loop.apps[0]
	worker.resident, worker.swollen, worker.shrinkAfter = 8<<20, 6<<20, shrinkRest
	loop.noteBusy(app)
	loop.noteResident(app)
	if loop.shrink.list == nil {
		t.Fatal("nothing is due for a swollen isolate")
	}
	look := func(after time.Duration) {
		loop.now += int64(after)
		loop.shrink.stop()
		(*heapShrink)(loop).timedOut(&loop.shrink)
	}
	if look(shrinkRest); worker.shrinks != 0 || loop.shrink.list != nil {
		t.Fatalf("busy: %d times, due again: %v", worker.shrinks, loop.shrink.list != nil)
	}
	if loop.noteIdle(app); loop.shrink.list == nil {
		t.Fatal("nothing is due when it is idle")
	}
	if look(shrinkRest - 1); worker.shrinks != 0 || loop.shrink.list == nil {
		t.Fatalf("in a gap: %d times, due again: %v", worker.shrinks, loop.shrink.list != nil)
	}
	if look(1); worker.shrinks != 1 || loop.shrink.list != nil || app.cost != 2<<20 {
		t.Fatalf("%d times, %d bytes left, due again: %v", worker.shrinks, app.cost, loop.shrink.list != nil)
	}
}

// TestShrinkOneByOne: of two isolates that have rested the second waits, and one that is to be shrunk sooner does not
// wait for the first one's time.
func TestShrinkOneByOne(t *testing.T) {
	g := newLanes(t, &[2]time.Duration{})
	g.talk(0, get("a", "/"))
	g.talk(0, get("b", "/"))
	loop, workers := g.worlds[0].loop, g.worlds[0].workers
	swell := func(index int, after time.Duration) {
		workers[index].resident, workers[index].swollen, workers[index].shrinkAfter = 8<<20, 6<<20, after
		loop.noteResident(loop.apps[index])
	}
	swell(0, time.Minute)
	if due := loop.shrink.deadline - loop.now; due != int64(time.Minute) {
		t.Fatalf("due after %v", time.Duration(due))
	}
	swell(1, time.Second)
	if due := loop.shrink.deadline - loop.now; due != int64(time.Second) {
		t.Fatalf("due after %v", time.Duration(due))
	}
	for i, want := range []struct {
		after   time.Duration
		shrinks [2]int
		next    time.Duration
	}{
		{time.Minute, [2]int{1, 0}, shrinkPause},
		{shrinkPause, [2]int{1, 1}, 0},
	} {
		loop.now += int64(want.after)
		loop.shrink.stop()
		(*heapShrink)(loop).timedOut(&loop.shrink)
		if got := [2]int{workers[0].shrinks, workers[1].shrinks}; got != want.shrinks {
			t.Errorf("%d: %v, want %v", i, got, want.shrinks)
		}
		var next time.Duration
		if loop.shrink.list != nil {
			next = time.Duration(loop.shrink.deadline - loop.now)
		}
		if next != want.next {
			t.Errorf("%d: due again after %v, want %v", i, next, want.next)
		}
	}
}

// TestDevelopedStaysHome: an app that somebody develops on is started from source again and again, which is no reason.
func TestDevelopedStaysHome(t *testing.T) {
	for _, developer := range []Developer{nil, &fakeDeveloper{}} {
		cost := &[2]time.Duration{400 * time.Microsecond, 0}
		g := newLanes(t, cost)
		for _, w := range g.worlds {
			w.loop.options.Developer = developer
		}
		g.ask(0, "a", 5*time.Millisecond, 2*time.Second)
		g.ask(0, "b", 100*time.Millisecond, 2*time.Second)
		g.rings[0].busy = 100
		g.run(1800 * time.Millisecond)
		if isSlow := g.where(0)&slowBit != 0; isSlow != (developer == nil) {
			t.Errorf("developed: %v: served by %#x", developer != nil, g.where(0))
		}
		g.run(time.Second)
		g.end()
	}
}

// TestSlowLoopsGiveWay: slow loops, and no others, say when they work and when they are about to wait, and take bodies
// in smaller pieces.
func TestSlowLoopsGiveWay(t *testing.T) {
	var began, ended int
	works := true
	g := newGroup(t, fakering.Config{}, func(o *Options) {
		o.GiveWay = func(does bool) {
			if does {
				began++
			} else {
				ended++
			}
			works = does
		}
	})
	for seat, w := range g.worlds {
		if l := w.loop; l.givesWay != l.isSlow() || (l.pace == slowPace) != l.isSlow() {
			t.Errorf("loop %d, slow: %v: gives way: %v, pace %+v", seat, l.isSlow(), l.givesWay, l.pace)
		}
	}
	g.run(100 * time.Millisecond)
	if ended == 0 || began != ended || !works {
		t.Errorf("began to work %d times and ended %d times, works: %v", began, ended, works)
	}
}
