package loop

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// A town is a world with many apps: app i answers at host "i" as demo does, and its isolates cost
// costs[i] bytes, a MiB each if not said otherwise.
type town struct {
	*world
	shard  *fakeShard
	warm   []*fakeWorker // by app; nil: it is cold
	starts []int
	costs  []int64
	fails  func(app int) error // of a start; nil: none does
	// started is called after each start; may be nil.
	started func(app int)
}

func newTown(t testing.TB, config fakering.Config, apps int, change func(o *Options)) *town {
	t.Helper()
	b := &town{warm: make([]*fakeWorker, apps), starts: make([]int, apps), costs: make([]int64, apps)}
	for i := range b.costs {
		b.costs[i] = 1 << 20
	}
	b.world = newWorld(t, config, func(o *Options) {
		o.Apps = nil
		for i := range apps {
			o.Apps = append(o.Apps, App{Name: fmt.Sprintf("app%d", i), Hosts: []string{fmt.Sprint(i)}})
		}
		o.NewShard = func(loop, waker int) (Shard, error) {
			b.shard = &fakeShard{start: b.start}
			return b.shard, nil
		}
		if change != nil {
			change(o)
		}
	})
	return b
}

func (b *town) start(app int) (Worker, error) {
	b.starts[app]++
	if b.fails != nil {
		if err := b.fails(app); err != nil {
			return nil, err
		}
	}
	if old := b.warm[app]; old != nil && !old.disposed {
		b.t.Errorf("app %d started though it is warm", app)
	}
	worker := newFakeWorker(fmt.Sprintf("app%d", app), demo(b.blocks))
	worker.resident = b.costs[app]
	b.warm[app] = worker
	b.workers = append(b.workers, worker)
	if b.started != nil {
		b.started(app)
	}
	return worker, nil
}

// isWarm tells which apps have an isolate.
func (b *town) isWarm(app int) bool { return b.warm[app] != nil && !b.warm[app].disposed }

// warmApps lists them.
func (b *town) warmApps() (list []int) {
	for app := range b.warm {
		if b.isWarm(app) {
			list = append(list, app)
		}
	}
	return list
}

func getFrom(app int, target string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %d\r\n\r\n", target, app)
}

// ask asks an app on a connection of its own, and returns the answer.
func (b *town) ask(app int, target string) string {
	b.t.Helper()
	peer, got := b.talk(getFrom(app, target))
	peer.Close()
	return got
}

func (b *town) wantWarm(when string, apps ...int) {
	b.t.Helper()
	if got := b.warmApps(); fmt.Sprint(got) != fmt.Sprint(apps) {
		b.t.Errorf("%s: warm are %v, want %v", when, got, apps)
	}
}

// TestStartsAreJoined: requests for an app that is waking up, with bodies or without, wait for one start.
func TestStartsAreJoined(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, nil)
	large := strings.Repeat("x", 3*int(gatheredMax))
	inputs := []string{
		getFrom(0, "/1") + getFrom(0, "/2"),
		"POST /3 HTTP/1.1\r\nHost: 0\r\nContent-Length: 5\r\n\r\nhello",
		"POST /4 HTTP/1.1\r\nHost: 0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		fmt.Sprintf("POST /size HTTP/1.1\r\nHost: 0\r\nContent-Length: %d\r\n\r\n%s", len(large), large),
		getFrom(0, "/5"),
	}
	wants := []string{"GET /2 0 ", "POST /3 0 hello", "POST /4 0 abc", fmt.Sprint(len(large)), "GET /5 0 "}
	var peers []*fakering.Peer
	for _, input := range inputs {
		peer := b.ring.Dial(b.listener)
		peer.WriteString(input)
		peers = append(peers, peer)
	}
	b.settle()
	for i, peer := range peers {
		if got := string(peer.Take()); !strings.HasSuffix(got, wants[i]) || strings.Contains(got, "HTTP/1.1 5") {
			t.Errorf("client %d: got %q, want %q", i, got, wants[i])
		}
	}
	if b.starts[0] != 1 {
		t.Errorf("%d starts", b.starts[0])
	}
}

// TestFailedStartsAreJoined: if the one start fails, all get the answer, and so do those who come until
// it is tried again.
func TestFailedStartsAreJoined(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, nil)
	b.fails = func(int) error { return fmt.Errorf("main.js:1:2: no") }
	var peers []*fakering.Peer
	for range 4 {
		peer := b.ring.Dial(b.listener)
		peer.WriteString(getFrom(0, "/1") + "POST /2 HTTP/1.1\r\nHost: 0\r\nContent-Length: 1\r\n\r\nx")
		peers = append(peers, peer)
	}
	b.settle()
	for _, peer := range peers {
		if got := string(peer.Take()); strings.Count(got, "HTTP/1.1 500") != 2 || !strings.Contains(got, "nano: app0: failed to start") {
			t.Errorf("got %q", got)
		}
	}
	if w := b.loop.apps[0]; b.starts[0] != 1 || w.counts.StartFailures != 8 || w.inHand != 0 {
		t.Errorf("%d starts, %d failures counted, %d in hand", b.starts[0], w.counts.StartFailures, w.inHand)
	}
	b.fails = nil
	b.run(time.Second)
	if got := b.ask(0, "/3"); !strings.HasSuffix(got, "GET /3 0 ") {
		t.Errorf("got %q after it could be started", got)
	}
}

// TestNoRoomForAnApp: an app for which V8 has no addresses left puts the idle ones of its loop to sleep, the oldest
// first and no more than needed. If that does not help, it gets 503, and the others go on.
func TestNoRoomForAnApp(t *testing.T) {
	b := newTown(t, fakering.Config{}, 6, nil)
	for app := range 5 {
		b.ask(app, "/")
	}
	need := 3 // apps asleep, for app 5
	b.fails = func(app int) error {
		if app == 5 && len(b.warmApps()) > 5-need {
			return fmt.Errorf("loop: %w", isolates.ErrNoRoom)
		}
		return nil
	}
	if got := b.ask(5, "/x"); !strings.HasSuffix(got, "GET /x 5 ") {
		t.Errorf("got %q", got)
	}
	b.wantWarm("room made", 3, 4, 5)
	b.loop.sleep(b.loop.apps[5])
	need = 6
	peer, _ := b.talk(getFrom(3, "/never"))
	got := b.ask(5, "/x")
	if !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.HasSuffix(got, "nano: app5: the node has no room for it") {
		t.Errorf("got %q", got)
	}
	b.wantWarm("busy ones stay", 3)
	starts := b.starts[5]
	if got := b.ask(5, "/x"); !strings.HasPrefix(got, "HTTP/1.1 503") || b.starts[5] != starts {
		t.Errorf("at once again: %q, %d starts more", got, b.starts[5]-starts)
	}
	need = 4
	b.run(time.Second)
	if got := b.ask(5, "/y"); !strings.HasSuffix(got, "GET /y 5 ") {
		t.Errorf("got %q after there was room", got)
	}
	b.checkMemory()
	peer.Reset()
}

// TestNoStartForNobody: an app is not started for clients that have left meanwhile.
func TestNoStartForNobody(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, nil)
	first, second := b.ring.Dial(b.listener), b.ring.Dial(b.listener)
	b.started = func(app int) {
		if app == 0 {
			second.Reset()
		}
	}
	b.settle()
	first.WriteString(getFrom(0, "/1"))
	second.WriteString(getFrom(1, "/1") + getFrom(1, "/2"))
	b.settle()
	if b.starts[0] != 1 || b.starts[1] != 0 {
		t.Errorf("starts %v", b.starts)
	}
	if w := b.loop.apps[1]; w.counts.Answers[0] != 2 || w.load.count != 2 || w.inHand != 0 || len(w.waiting) != 0 {
		t.Errorf("left over: %+v, %d in hand, %d waiting", w.counts, w.inHand, len(w.waiting))
	}
}

// TestWallLimitWhileWaking: who waits for a start for too long is told so, and keeps nothing.
func TestWallLimitWhileWaking(t *testing.T) {
	var late time.Duration
	b := newTown(t, fakering.Config{}, 2, func(o *Options) {
		clock := o.Clock
		o.Clock = func() time.Time { return clock().Add(late) }
		o.Wall = 10 * time.Second
	})
	b.started = func(int) { late += 11 * time.Second }
	first, second := b.ring.Dial(b.listener), b.ring.Dial(b.listener)
	b.settle()
	first.WriteString(getFrom(0, "/1"))
	second.WriteString(getFrom(1, "/1"))
	b.settle()
	for i, peer := range []*fakering.Peer{first, second} {
		if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") {
			t.Errorf("client %d got %q", i, got)
		}
	}
	if b.starts[1] != 0 {
		t.Errorf("%d starts for nobody", b.starts[1])
	}
}

// TestStartsLeaveRoom: however many apps wake up at once, a request for a warm one waits for one start.
func TestStartsLeaveRoom(t *testing.T) {
	const apps = 50
	b := newTown(t, fakering.Config{}, apps, nil)
	b.ask(0, "/")
	waking := b.ring.Dial(b.listener)
	warm := b.ring.Dial(b.listener)
	b.settle()
	starts, answeredAt := 0, 0
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {
		answeredAt = starts
		w.text(r.id, nil)
	}
	b.started = func(app int) {
		if starts++; starts == 10 {
			warm.WriteString(getFrom(0, "/"))
		}
	}
	for app := 1; app < apps; app++ {
		waking.WriteString(getFrom(app, "/"))
	}
	b.settle()
	if starts != apps-1 || answeredAt < 10 || answeredAt > 11 {
		t.Errorf("%d starts, the warm app had its turn after %d", starts, answeredAt)
	}
}

// TestSleep: an app sleeps after its time without a request, and only if it has nothing in hand. Its
// timers go with it, and its next request wakes it.
func TestSleep(t *testing.T) {
	b := newTown(t, fakering.Config{}, 6, func(o *Options) {
		o.Idle = 10 * time.Second
		o.Wall = time.Hour
		o.Background = time.Hour
		o.IdleTimeout = time.Hour
		o.SendTimeout = time.Hour
	})
	b.ask(0, "/")
	timers := b.loop.timers.next() == never
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {
		w.text(r.id, nil)
		w.record(isolates.Record{Kind: isolates.KindTimerSet, ID: 1, Delay: time.Hour})
	}
	b.ask(0, "/")
	hung := b.ring.Dial(b.listener)
	hung.WriteString(getFrom(1, "/never"))
	forever, _ := b.talk(getFrom(2, "/forever"))
	forever.Close()
	streaming := b.ring.Dial(b.listener)
	streaming.SetWindow(100)
	streaming.WriteString(getFrom(3, "/stream/100"))
	pending, _ := b.talk(getFrom(4, "/pending")) // settles after a second
	pending.Close()
	if !timers || len(b.loop.timers.heap) != 2 {
		t.Errorf("%d timers", len(b.loop.timers.heap))
	}
	b.run(9900 * time.Millisecond)
	b.wantWarm("before", 0, 1, 2, 3, 4)
	b.run(time.Second)
	b.wantWarm("after", 1, 2, 3, 4)
	if len(b.loop.timers.heap) != 0 {
		t.Errorf("%d timers are left of an app that sleeps", len(b.loop.timers.heap))
	}
	b.run(time.Second)
	b.wantWarm("after the waitUntil work and its time", 1, 2, 3)
	hung.Reset()
	streaming.SetWindow(-1)
	b.settle()
	if got := string(streaming.Take()); !strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("the stream got %q", got)
	}
	if got := b.ask(0, "/again"); !strings.HasSuffix(got, "GET /again 0 ") {
		t.Errorf("got %q from an app that slept", got)
	}
	b.run(9 * time.Second)
	b.ask(0, "/")
	b.run(9 * time.Second) // its time has begun anew
	b.wantWarm("in the end", 0, 1, 2)
	if c := b.loop.apps[0].counts; c.Sleeps != 1 || b.starts[0] != 2 || c.Starts[0].Count != 2 {
		t.Errorf("%d starts, %+v", b.starts[0], c)
	}
}

// TestManyFallAsleep: a thousand apps whose time is up at once hold nobody up for longer than one of
// them takes, on an idle loop and on one under load.
func TestManyFallAsleep(t *testing.T) {
	for _, load := range []bool{false, true} {
		const apps = 300
		var passed time.Duration
		b := newTown(t, fakering.Config{}, apps, func(o *Options) {
			clock := o.Clock
			o.Clock = func() time.Time { return clock().Add(passed) }
			o.Idle = 10 * time.Second
		})
		for app := range apps {
			b.ask(app, "/")
		}
		peer := b.ring.Dial(b.listener)
		b.run(8 * time.Second)
		warm := b.loop.warm
		for ticks := 0; b.loop.warm > 1 && ticks < 20000; ticks++ {
			if load { // a request in each tick, and each takes its time
				passed += time.Millisecond
				peer.Take()
				peer.WriteString(getFrom(0, "/"))
			}
			if err := b.loop.tick(); err != nil {
				t.Fatal(err)
			}
			if b.loop.warm < warm-1 {
				t.Fatalf("load %v: %d apps fell asleep in one tick", load, warm-b.loop.warm)
			}
			warm = b.loop.warm
		}
		if b.loop.warm != 1 || load != b.isWarm(0) {
			t.Errorf("load %v: warm are %v", load, b.warmApps())
		}
		peer.Close()
		b.settle()
	}
}

// TestRetire: an app that lives elsewhere from now on sleeps when it has nothing in hand, unless it is
// asked for before.
func TestRetire(t *testing.T) {
	b := newTown(t, fakering.Config{}, 3, nil)
	for app := range 2 {
		b.ask(app, "/")
	}
	hung := b.ring.Dial(b.listener)
	hung.WriteString(getFrom(2, "/late"))
	b.settle()
	for _, w := range b.loop.apps {
		b.loop.retire(w)
		b.loop.retire(w)
	}
	peer := b.ring.Dial(b.listener)
	peer.WriteString(getFrom(1, "/"))
	b.settle()
	b.wantWarm("at once", 1, 2)
	b.run(1100 * time.Millisecond)
	b.wantWarm("after the last request", 1)
	if got := string(hung.Take()); !strings.HasSuffix(got, "late") {
		t.Errorf("got %q", got)
	}
	peer.Close()
}

// TestIdleWork: work that has no hurry is done when there is no other, one piece at a time.
func TestIdleWork(t *testing.T) {
	b := newTown(t, fakering.Config{}, 3, nil)
	b.ask(0, "/")
	b.settle()
	peer := b.ring.Dial(b.listener)
	b.settle()
	pieces := 20
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {
		w.text(r.id, nil)
		w.toPrepare = pieces
	}
	// Under load: a request comes as soon as the one before is answered.
	peer.WriteString(getFrom(0, "/"))
	for answers := 0; answers < 50; {
		if err := b.loop.tick(); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(peer.Take(), []byte("HTTP/1.1 200")); n > 0 {
			if answers += n; b.warm[0].toPrepare != pieces {
				t.Fatalf("%d pieces done under load", pieces-b.warm[0].toPrepare)
			}
			peer.WriteString(getFrom(0, "/"))
		}
	}
	// In the middle of it something comes.
	peer.Take()
	b.ring.At(200*time.Microsecond, func() { peer.WriteString(getFrom(1, "/")) })
	for done := 0; done < pieces; {
		if err := b.loop.tick(); err != nil {
			t.Fatal(err)
		}
		now := pieces - b.warm[0].toPrepare
		if now > done+1 {
			t.Fatalf("%d pieces in one tick", now-done)
		}
		done = now
	}
	b.settle()
	b.shard.toPrepare = 5
	b.ask(2, "/")
	b.settle()
	if b.shard.toPrepare != 0 {
		t.Errorf("%d pieces are left to the shard", b.shard.toPrepare)
	}
	before := b.loop.stats.Ticks
	b.run(time.Second)
	if n := b.loop.stats.Ticks - before; n > 8 {
		t.Errorf("%d ticks when all is done", n)
	}
	peer.Close()
}

// TestUnfinished: an app whose turns are cut short, again and again, does not delay the first turn of
// any other, and gets its own turns.
func TestUnfinished(t *testing.T) {
	b := newTown(t, fakering.Config{}, 4, nil)
	for app := range 4 {
		b.ask(app, "/")
	}
	var order []string
	for app := range 4 {
		left := 0
		b.warm[app].handle = func(w *fakeWorker, r *fakeRequest) {
			left = 5
			if app == 3 {
				left = 1
			}
			id := r.id
			w.turn = func() {
				if left == 0 {
					return
				}
				order = append(order, fmt.Sprint(app))
				if left--; left == 0 {
					w.text(id, nil)
				}
				w.unfinished = left > 0
			}
		}
	}
	peer := b.ring.Dial(b.listener)
	b.settle()
	peer.WriteString(getFrom(0, "/") + getFrom(1, "/") + getFrom(2, "/") + getFrom(3, "/"))
	b.settle()
	if got := strings.Join(order, ""); got != "0123012012012012" {
		t.Errorf("turns in the order %s", got)
	}
	if got := string(peer.Take()); strings.Count(got, "HTTP/1.1 200") != 4 {
		t.Errorf("got %q", got)
	}
	peer.Close()
}

// TestConcurrencyLimit: an app may have so many requests in hand, and not more, and each counts until
// the isolate has ended its side.
func TestConcurrencyLimit(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, func(o *Options) { o.Apps[0].ConcurrentRequests = 2 })
	late, _ := b.talk(getFrom(0, "/late") + getFrom(0, "/late"))
	if got := b.ask(0, "/x"); !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, "nano-error: concurrency-limit\r\n") {
		t.Errorf("got %q", got)
	}
	if got := b.ask(1, "/x"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("the other app: %q", got)
	}
	b.run(time.Second)
	if got := string(late.Take()); strings.Count(got, "HTTP/1.1 200") != 2 {
		t.Errorf("got %q", got)
	}
	for _, target := range []string{"/x", "/die", "/pending", "/y"} { // the last while one is pending
		if got := b.ask(0, target); strings.Contains(got, "concurrency-limit") {
			t.Errorf("%s: %q", target, got)
		}
	}
	b.run(2 * time.Second)
	if w := b.loop.apps[0]; w.concurrency.inHand.Load() != 0 || w.counts.ConcurrencyLimit != 1 {
		t.Errorf("%d counted in hand, %+v", w.concurrency.inHand.Load(), w.counts)
	}
}

// TestGoneEndsItsSlot: a handler that never settles gives its slot back when it is told that nobody
// waits, and if it does not say so itself, after Options.Background.
func TestGoneEndsItsSlot(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, func(o *Options) {
		o.Wall = 10 * time.Second
		o.Background = 20 * time.Second
	})
	left, _ := b.talk(getFrom(0, "/never"))
	left.Reset()
	waits, _ := b.talk(getFrom(0, "/never"))
	b.run(10 * time.Second)
	if got := string(waits.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") {
		t.Errorf("got %q", got)
	}
	w := b.loop.apps[0]
	if w.inHand != 2 || len(b.warm[0].allGone) != 2 {
		t.Errorf("%d in hand, %d gone", w.inHand, len(b.warm[0].allGone))
	}
	b.warm[0].record(isolates.Record{Kind: isolates.KindRespond, ID: b.warm[0].allGone[0], Status: 500})
	b.warm[0].keepOut = true
	b.loop.wantTurn(w)
	b.settle()
	if w.inHand != 1 {
		t.Errorf("%d in hand after it ended one", w.inHand)
	}
	b.run(20 * time.Second)
	if w.inHand != 0 || b.loop.exchanges.inUse != 0 {
		t.Errorf("%d in hand, %d slots in use", w.inHand, b.loop.exchanges.inUse)
	}
	b.wantWarm("afterwards", 0)
	b.run(time.Minute)
	b.wantWarm("in the end")
}

// fetched is what a fake app is started from, while it is not there.
type fetched struct{ ready []func() }

func (f *fetched) Error() string     { return "not there yet" }
func (f *fetched) Then(ready func()) { f.ready = append(f.ready, ready) }

// arrive has those who wait try again.
func (f *fetched) arrive() {
	ready := f.ready
	f.ready = nil
	for _, tell := range ready {
		tell()
	}
}

// newFetchingTown is newTown in which app 0 is not ready until isThere.
func newFetchingTown(t *testing.T, change func(o *Options)) (b *town, from *fetched, isThere *bool) {
	b, from, isThere = newTown(t, fakering.Config{}, 2, change), &fetched{}, new(bool)
	b.fails = func(app int) error {
		if app == 0 && !*isThere {
			return fmt.Errorf("app 0: %w", from)
		}
		return nil
	}
	return b, from, isThere
}

// TestStartWaitsUntilReady: what an app is started from may take its time. The loop sleeps or serves others
// meanwhile, asks once for however many requests, and a call for nothing does no harm.
func TestStartWaitsUntilReady(t *testing.T) {
	b, from, isThere := newFetchingTown(t, nil)
	var peers []*fakering.Peer
	for i := range 40 {
		peer := b.ring.Dial(b.listener)
		peer.WriteString(getFrom(0, fmt.Sprint("/", i)))
		peers = append(peers, peer)
		b.settle()
	}
	for range 3 {
		if got := b.ask(1, "/"); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("its neighbour answers %q", got)
		}
	}
	w := b.loop.apps[0]
	if b.starts[0] != 1 || len(from.ready) != 1 || b.loop.isBusy() || len(w.waiting) != len(peers) || b.loop.sleepNow(w) {
		t.Errorf("%d starts, %d wait, busy: %v, %d requests", b.starts[0], len(from.ready), b.loop.isBusy(), len(w.waiting))
	}
	from.arrive()
	b.settle()
	if b.starts[0] != 2 || len(from.ready) != 1 || w.counts.StartFailures != 0 || w.retryAt != 0 {
		t.Errorf("%d starts, %d wait, %+v", b.starts[0], len(from.ready), w.counts)
	}
	*isThere = true
	from.arrive()
	b.settle()
	for i, peer := range peers {
		if got := string(peer.Take()); !strings.HasSuffix(got, fmt.Sprintf("GET /%d 0 ", i)) {
			t.Errorf("client %d got %q", i, got)
		}
	}
	if b.starts[0] != 3 || w.inHand != 0 || w.isWaking || w.isPreparing {
		t.Errorf("%d starts, left over: %+v", b.starts[0], w)
	}
}

// TestStartFailsWhenReady: it may turn out that there is nothing to start from.
func TestStartFailsWhenReady(t *testing.T) {
	b, from, _ := newFetchingTown(t, nil)
	peer := b.ring.Dial(b.listener)
	peer.WriteString(getFrom(0, "/1") + getFrom(0, "/2"))
	b.settle()
	b.fails = func(int) error { return fmt.Errorf("main.ts:1:2: no") }
	from.arrive()
	b.settle()
	if got := string(peer.Take()); strings.Count(got, "nano: app0: failed to start") != 2 {
		t.Errorf("got %q", got)
	}
	if w := b.loop.apps[0]; w.counts.StartFailures != 2 || w.inHand != 0 || w.retryAt == 0 || w.isWaking {
		t.Errorf("left over: %+v", w)
	}
}

// TestLimitsWhilePreparing: requests for an app that is not ready keep to the wall limit and leave with their
// clients, and what is remembered of them is bounded.
func TestLimitsWhilePreparing(t *testing.T) {
	b, from, isThere := newFetchingTown(t, func(o *Options) { o.Wall = 10 * time.Second })
	waits, leaves := b.ring.Dial(b.listener), b.ring.Dial(b.listener)
	waits.WriteString(getFrom(0, "/1"))
	leaves.WriteString(getFrom(0, "/2"))
	b.settle()
	leaves.Reset()
	for range 300 {
		peer := b.ring.Dial(b.listener)
		peer.WriteString(getFrom(0, "/3"))
		b.settle()
		peer.Reset()
		b.settle()
	}
	w := b.loop.apps[0]
	if w.inHand != 1 || cap(w.waiting) > 16 {
		t.Errorf("%d in hand, %d remembered", w.inHand, cap(w.waiting))
	}
	b.run(10 * time.Second)
	if got := string(waits.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") || w.inHand != 0 {
		t.Errorf("got %q, %d in hand", got, w.inHand)
	}
	*isThere = true
	from.arrive()
	b.settle()
	if b.starts[0] != 1 || w.isWaking || len(w.waiting) != 0 {
		t.Errorf("%d starts for nobody: %+v", b.starts[0], w)
	}
	if got := b.ask(0, "/4"); !strings.HasSuffix(got, "GET /4 0 ") {
		t.Errorf("got %q", got)
	}
}

// TestDrainWhilePreparing: a request that waits holds up a drain until its limit, and whoever is ready when the
// loop has ended finds nobody.
func TestDrainWhilePreparing(t *testing.T) {
	b, from, _ := newFetchingTown(t, func(o *Options) { o.Wall = time.Second })
	peer := b.ring.Dial(b.listener)
	peer.WriteString(getFrom(0, "/1"))
	b.settle()
	b.end()
	if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") {
		t.Errorf("got %q", got)
	}
	from.arrive()
}

// TestRemovalWhilePreparing: an app that is removed is not waited for, and nothing is started when it is ready.
func TestRemovalWhilePreparing(t *testing.T) {
	b, from, isThere := newFetchingTown(t, nil)
	w := b.loop.apps[0]
	wake, remove := &change{kind: changeWake, app: w.shared}, &change{kind: changeRemove, app: w.shared}
	for _, m := range []*change{wake, remove} {
		m.begin(1)
		m.post(b.loop)
		b.settle()
		w.shared.isGone.Store(true)
	}
	<-wake.done
	<-remove.done
	if !errors.Is(wake.err, errRemoved) || b.loop.apps[0] != nil {
		t.Errorf("%v, %+v", wake.err, b.loop.apps[0])
	}
	*isThere = true
	from.arrive()
	b.settle()
	if b.starts[0] != 1 || len(b.loop.waking) != 0 {
		t.Errorf("%d starts", b.starts[0])
	}
}
