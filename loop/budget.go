package loop

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nano/isolates"
)

// memory is the budget of warm isolates, which the loops of a node share. Each loop adds up what its
// own isolates cost and says it here once per tick, together with the age of its oldest idle one;
// each looks once per tick whether the sum is over the limit. There is no other conductor:
//
//   - The loop that has the app that was idle for longest evicts it. So apps sleep in the order of
//     least recent use on the node.
//   - A loop that sees that this is another one wakes that one up.
//   - If the other is held up by a long turn and the sum grows far over the limit, a loop that has more
//     than its share evicts its own oldest.
//
// Apps with requests in hand are not evicted. If no other is left, the limit is exceeded until one is.
type memory struct {
	budget int64        // bytes, as configured
	limit  atomic.Int64 // as it is now: less under pressure (pressure.go)
	total  atomic.Int64 // bytes that isolates cost

	rests atomic.Bool // the watcher of pressure.go sleeps until nudge is called
	nudge func()

	mutex    sync.Mutex // for adding to portions
	portions atomic.Pointer[[]*portion]

	loggedAt atomic.Int64 // when it was last said that the limit is exceeded, in ns from 1970
}

// portion is what a loop says about its part of the memory.
type portion struct {
	_        [64]byte // portions of different loops lie on different cache lines
	loop     *Loop
	resident atomic.Int64
	warm     atomic.Int64 // isolates
	oldest   atomic.Int64 // since when the app has been idle that was so for longest; never: none is
	isAsked  atomic.Bool  // to look at the budget, by a message
	_        [64]byte
}

const (
	// evictionsPerTick bounds for how long evictions hold up a tick: each takes some 0.3 ms.
	evictionsPerTick = 2
	// evictionsForRoom bounds the same for the start of an app whose image is large, when addresses are short.
	evictionsForRoom = 64
	// overMax is the fraction of the limit by which it may be exceeded while a loop waits for
	// another one to evict.
	overMax = 16
	// costUnknown is what an app is taken to cost that has not been started yet, in bytes.
	costUnknown = 1 << 20
	// overLogPause is for how long an exceeded limit is not said again.
	overLogPause = int64(time.Minute)
)

func newMemory(budget int64) *memory {
	m := &memory{budget: budget}
	m.limit.Store(budget)
	m.portions.Store(new([]*portion))
	return m
}

// join gives a loop its portion.
func (m *memory) join(l *Loop) *portion {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	own := &portion{loop: l}
	own.oldest.Store(never)
	portions := append(append([]*portion(nil), *m.portions.Load()...), own)
	m.portions.Store(&portions)
	return own
}

// leave ends the portion of a loop that has no isolates any more.
func (m *memory) leave(own *portion) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var portions []*portion
	for _, other := range *m.portions.Load() {
		if other != own {
			portions = append(portions, other)
		}
	}
	m.portions.Store(&portions)
}

// setLimit changes the limit, and makes loops look at it.
func (m *memory) setLimit(limit int64) {
	before := m.limit.Swap(limit)
	if limit >= before || m.total.Load() <= limit {
		return
	}
	for _, each := range *m.portions.Load() {
		each.ask()
	}
}

// ask makes a loop look at the budget, from any goroutine.
func (p *portion) ask() {
	if p.isAsked.CompareAndSwap(false, true) {
		p.loop.mailbox.Post(message{kind: messageRoom})
	}
}

// costThen is what w's isolate will cost, as far as is known.
func (w *appWorker) costThen() int64 {
	if w.costBefore != 0 {
		return w.costBefore
	}
	return costUnknown
}

// noteResident takes down what w's isolate costs now.
func (l *Loop) noteResident(w *appWorker) {
	if now := w.isolate.Resident(); now != w.cost {
		l.resident += now - w.cost
		w.cost = now
		l.tendHeaps(w)
	}
}

// keepBudget shows other loops this one's part, and evicts what the limit leaves no room for.
func (l *Loop) keepBudget() {
	l.publishPortion()
	l.wantsRoom = false
	if m := l.options.memory; m.total.Load() > m.limit.Load() || l.options.Crowded() {
		l.makeRoom(0)
	}
}

func (l *Loop) publishPortion() {
	own := l.portion
	if before := own.resident.Load(); before != l.resident {
		own.resident.Store(l.resident)
		m := l.options.memory
		m.total.Add(l.resident - before)
		if m.rests.Load() && m.rests.CompareAndSwap(true, false) {
			m.nudge()
		}
	}
	if warm := int64(l.warm); own.warm.Load() != warm {
		own.warm.Store(warm)
	}
	oldest := int64(never)
	if first := l.timeouts.sleep.first; first != nil {
		oldest = first.deadline
	}
	if own.oldest.Load() != oldest {
		own.oldest.Store(oldest)
	}
}

// makeRoom evicts idle apps until need bytes more are within the limit and the process is not crowded,
// or has other loops do so.
func (l *Loop) makeRoom(need int64) {
	m := l.options.memory
	for evicted := 0; ; evicted++ {
		limit := m.limit.Load()
		over := m.total.Load() + need - limit
		isCrowded := l.options.Crowded()
		if over <= 0 && !isCrowded {
			return
		}
		if evicted == evictionsPerTick {
			l.wantsRoom = true
			return
		}
		first := l.timeouts.sleep.first
		own := int64(never)
		if first != nil {
			own = first.deadline
		}
		older := m.older(own)
		switch portions := int64(len(*m.portions.Load())); {
		case first == nil && older == nil:
			l.logOver(m.total.Load(), limit, isCrowded)
			return
		case older == nil, first != nil && over > limit/overMax && l.resident > limit/portions:
			w := first.owner.(*appWorker)
			if limit < m.budget && over > 0 {
				w.counts.PressureEvictions++
			} else {
				w.counts.Evictions++
			}
			isolates.MemoryIsShort()
			l.sleep(w)
			l.publishPortion()
		default:
			older.ask()
			return
		}
	}
}

// evictOldest makes room for an app that needs much of V8's addresses: it evicts the app of this loop that has been
// idle for longest. False: none is. What other loops have stays, as they may be in a long turn.
func (l *Loop) evictOldest() bool {
	first := l.timeouts.sleep.first
	if first == nil {
		return false
	}
	w := first.owner.(*appWorker)
	w.counts.Evictions++
	l.sleep(w)
	l.publishPortion()
	return true
}

// older is the portion of the loop that has the app that was idle for longest, if that was so before a
// time; nil: no loop has one.
func (m *memory) older(before int64) (found *portion) {
	for _, each := range *m.portions.Load() {
		if oldest := each.oldest.Load(); oldest < before {
			before, found = oldest, each
		}
	}
	return found
}

// logOver says that the limit is exceeded and nothing can be done about it, now and then.
func (l *Loop) logOver(total, limit int64, isCrowded bool) {
	m := l.options.memory
	if total <= limit && !isCrowded { // it will be: for a start
		return
	}
	last := m.loggedAt.Load()
	if last != 0 && l.wallClock-last < overLogPause || !m.loggedAt.CompareAndSwap(last, l.wallClock) {
		return
	}
	if isCrowded {
		l.options.Logger.Server(isolates.LevelWarn,
			"isolates take nearly all of V8's address space, and all of them have requests in hand")
		return
	}
	l.options.Logger.Server(isolates.LevelWarn, fmt.Sprintf(
		"isolates take %d MiB of a budget of %d MiB, and all of them have requests in hand",
		total>>20, limit>>20))
}

// MemoryStats tell how a node stands to its budget of memory, in bytes.
type MemoryStats struct {
	Budget   int64 // as configured
	Limit    int64 // of that, under memory pressure
	Resident int64 // estimate of what all warm isolates cost
}

// Memory tells how the node stands to its budget of memory. Any goroutine may call it.
func (n *Node) Memory() MemoryStats {
	m := n.options.memory
	return MemoryStats{Budget: m.budget, Limit: m.limit.Load(), Resident: m.total.Load()}
}

// concurrency counts the requests that an app has in hand on all loops, if it has a limit of its own.
type concurrency struct {
	limit  int64 // 0: none
	inHand atomic.Int64
}

// take counts one more request, if there may be one more.
func (c *concurrency) take() bool {
	if c.limit == 0 {
		return true
	}
	if c.inHand.Add(1) > c.limit {
		c.inHand.Add(-1)
		return false
	}
	return true
}

// give ends what take began.
func (c *concurrency) give() {
	if c.limit != 0 {
		c.inHand.Add(-1)
	}
}
