package loop

import (
	"math/bits"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A placement says which loops serve each app. A node has one, which its loops share and all of them
// write to.
//
// An app that has never been asked for lives nowhere. The first request gives it a home, one loop; all
// its requests go there, wherever their connections were accepted (move.go). When the home is
// overloaded and the app is what loads it, a further loop serves it as well; when little is left of the
// load, those others stop. An app that is only one of many on an overloaded loop gets another home
// instead. An app whose turns are long is served by the slow loop beside its home for a time
// (slowlane.go).
//
// Nobody conducts this. Every loop looks at itself ten times a second (load.go), and changes the words
// of apps that it serves, by compare-and-swap. What it knows of others is how busy they say they are.
type placement struct {
	epoch time.Time
	seats []seat // of the loops, and after them of their slow loops
	loops int    // without slow ones

	// needSlow asks for a slow loop beside a loop, which hears of it by a messageSlowReady. nil:
	// there are none.
	needSlow func(loop int)
}

// The word sharedApp.where tells where an app is served:
//
//	bits 0 to 55   loops that serve it
//	bits 56 to 61  its home
//	bit 62         it is in the slow lane: the slow loops beside those loops serve it
//
// 0: nowhere yet.
const (
	// LoopsMax is how many loops a node may have. V8's 4 GB for the heaps of a process are spent
	// before that.
	LoopsMax = 56

	homeShift = LoopsMax
	homeMask  = uint64(63) << homeShift
	loopsMask = uint64(1)<<LoopsMax - 1
	slowBit   = uint64(1) << 62
)

func servedBy(loop int) uint64   { return uint64(loop)<<homeShift | 1<<loop }
func servedSlow(loop int) uint64 { return servedBy(loop) | slowBit }
func homeOf(where uint64) int    { return int(where & homeMask >> homeShift) }

// A seat is a loop's place in its node. A slow loop takes its own when it is needed first.
type seat struct {
	loop  atomic.Pointer[Loop]
	homes atomic.Int64  // apps that live there
	load  atomic.Uint64 // busy in ‰, above it the time in ms from epoch
	_     [104]byte     // seats of different loops lie on different cache lines
}

const loadShift = 16

// place is what a loop has of its own for placement, moves and the slow lane.
type place struct {
	placement   *placement
	seatMask    uint64 // where & seatMask == seatBits: served here
	seatBits    uint64
	epochOffset int64 // from the loop's clock to that of the placement
	ringFD      int
	thread      int // the kernel's id of it

	lane        int   // of seats: seat = lane + core
	shedTo      int   // the core whose loop of this lane takes connections over
	shedding    int64 // that many
	hasMessages bool  // to other rings, not submitted

	usage threadUsage
	meter meter

	neighbours     neighbours
	slowed         []*appWorker // in the slow lane, put there by this loop
	waitingForSlow []*appWorker
	reviewSlowedAt int64
}

func newPlacement(loops int, epoch time.Time) *placement {
	return &placement{epoch: epoch, seats: make([]seat, 2*loops), loops: loops}
}

// takePlace gives a new loop its seat, on its thread.
func (l *Loop) takePlace() {
	p := l.options.placement
	l.placement, l.ringFD, l.thread = p, l.ring.FD(), unix.Gettid()
	l.epochOffset = int64(l.epoch.Sub(p.epoch))
	l.reviewSlowedAt = never
	l.pace = normalPace
	if l.isSlow() {
		l.pace = slowPace
	}
	l.givesWay = l.options.GiveWay != nil && l.isSlow()
	l.seatMask, l.seatBits = 1<<l.core()|slowBit, 1<<l.core()
	if l.isSlow() {
		l.lane = p.loops
		l.seatBits |= slowBit
	}
	l.usage = newThreadUsage(l.options.usage)
	l.meter.number = 1
	l.meter.end = loadWindow
	l.meter.used = l.usage.read()
	p.seats[l.seat].loop.Store(l)
}

// nextReview is when the loop has to be awake to look after apps that it serves for others, or that
// the slow lane has; or never.
func (l *Loop) nextReview() int64 {
	if len(l.meter.further) != 0 {
		return min(l.meter.begun+reviewPause, l.reviewSlowedAt)
	}
	return l.reviewSlowedAt
}

// isSlow reports whether l is a slow loop.
func (l *Loop) isSlow() bool { return l.seat >= l.placement.loops }

// core is the loop that l is, or that it is the slow loop of.
func (l *Loop) core() int { return l.seat % l.placement.loops }

// since is the time of the tick in ns from the placement's epoch, which all loops share.
func (l *Loop) since() int64 { return l.now + l.epochOffset }

// destination is the seat that a request for app has to go to, or -1: it is served here.
func (l *Loop) destination(app *sharedApp) int {
	p := l.placement
	where := app.where.Load()
	if where == 0 {
		where = l.settleApp(app)
	}
	lane, core := 0, -1
	if where&slowBit != 0 {
		lane = p.loops
	}
	switch {
	case where&l.seatMask == l.seatBits:
		if l.shedding > 0 && where&(1<<l.shedTo) != 0 {
			core = l.shedTo
		}
	case where&(1<<l.core()) != 0: // to the loop beside this one
		core = l.core()
	default:
		core = l.leastBusy(lane, where&loopsMask)
	}
	if core < 0 || lane+core == l.seat || p.seats[lane+core].loop.Load() == nil {
		return -1
	}
	return lane + core
}

// homesSlack is by how many apps, and by what fraction of them, a loop may have more than its share.
const (
	homesSlack         = 4
	homesSlackFraction = 8
)

// settleApp gives an app its home: the loop that was asked for it first, so that its connection need
// not move, unless that has more than its share of homes; then the one that has the fewest.
func (l *Loop) settleApp(app *sharedApp) (where uint64) {
	p := l.placement
	home := l.core()
	fewest := p.fewestHomes(home)
	least := p.seats[fewest].homes.Load()
	if p.seats[home].homes.Load() > least+least/homesSlackFraction+homesSlack {
		home = fewest
	}
	if !p.change(app, 0, servedBy(home)) {
		return app.where.Load()
	}
	return servedBy(home)
}

// fewestHomes is the loop on which the fewest apps live, one of equals that is preferred.
func (p *placement) fewestHomes(preferred int) int {
	fewest := preferred
	for i := range p.loops {
		if p.seats[i].loop.Load() != nil && p.seats[i].homes.Load() < p.seats[fewest].homes.Load() {
			fewest = i
		}
	}
	return fewest
}

// house gives an app a home that nobody has asked for yet: that of the app that lives where like says, if that is
// not 0. It returns the seat of the loop that serves it there.
func (p *placement) house(app *sharedApp, like uint64) (seat int) {
	if app.where.Load() == 0 {
		home := homeOf(like)
		if like == 0 {
			home = p.fewestHomes(0)
		}
		p.change(app, 0, servedBy(home)) // else a loop has done it meanwhile
	}
	where := app.where.Load()
	seat = homeOf(where)
	if slow := p.loops + seat; where&slowBit != 0 && p.seats[slow].loop.Load() != nil {
		seat = slow
	}
	return seat
}

// inherit has new targets of a route served by the loops that serve the old one: the connections that ask for it
// are there.
func (p *placement) inherit(before, now *routeTable) {
	for i := range now.routes {
		r := &now.routes[i]
		old := before.named(r.name)
		if old == nil {
			continue
		}
		like := old.targets[0].app.where.Load() &^ slowBit
		for _, target := range r.targets {
			where := target.app.where.Load()
			if like != 0 && where != like && (where == 0 || where == servedBy(homeOf(like))) {
				p.change(target.app, where, like)
			}
		}
	}
}

// change replaces an app's word, unless another loop has changed it.
func (p *placement) change(app *sharedApp, from, to uint64) bool {
	if !app.where.CompareAndSwap(from, to) {
		return false
	}
	if from != 0 {
		p.seats[homeOf(from)].homes.Add(-1)
	}
	if to != 0 {
		p.seats[homeOf(to)].homes.Add(1)
	}
	return true
}

// publishLoad shows other loops how busy this one is.
func (l *Loop) publishLoad(busy int64) {
	l.placement.seats[l.seat].load.Store(uint64(l.since()/int64(time.Millisecond))<<loadShift | uint64(busy))
}

// loadStale is the age from which a loop's word about its load says no more than whether it sleeps.
const loadStale = 3 * loadWindow

// busy is how busy the loop on a seat is, in ‰.
func (l *Loop) busy(seat int) int64 { return l.placement.busy(seat, l.since()) }

// busy is how busy the loop on a seat is, in ‰, at a time in ns from epoch.
func (p *placement) busy(seat int, now int64) int64 {
	s := &p.seats[seat]
	other := s.loop.Load()
	if other == nil {
		return 0
	}
	load := s.load.Load()
	if age := now - int64(load>>loadShift)*int64(time.Millisecond); age < loadStale {
		return int64(load & (1<<loadShift - 1))
	}
	// It has not ended a tick for long: it has nothing to do, or is in a turn without end.
	if other.waker.IsAsleep() {
		return 0
	}
	return busyFull
}

// leastBusy is the core of a set whose loop of a lane is the least busy, the first among equals; -1 if
// none is there.
func (l *Loop) leastBusy(lane int, cores uint64) int {
	best, least := -1, int64(0)
	for ; cores != 0; cores &= cores - 1 {
		i := bits.TrailingZeros64(cores)
		if l.placement.seats[lane+i].loop.Load() == nil {
			continue
		}
		if busy := l.busy(lane + i); best < 0 || busy < least {
			best, least = i, busy
		}
	}
	return best
}

// others is the set of the node's cores but this loop's.
func (l *Loop) others() uint64 { return (1<<l.placement.loops - 1) &^ (1 << l.core()) }
