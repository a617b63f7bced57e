package loop

// timers are the setTimeout()s of all isolates of a loop: a 4-ary heap by deadline, in which every
// timer knows its place, so that clearing one takes it out at once and leaves nothing behind.
// Timers with the same deadline fire in the order in which they were set.
type timers struct {
	heap     []*timer
	byKey    map[timerKey]*timer
	free     []*timer
	sequence uint64
}

// A timerKey names a timer: the life of the isolate that set it (isolates that replace a dead one
// have a new life), and the isolate's own id for it.
type timerKey struct {
	life uint32
	id   uint32
}

type timer struct {
	deadline int64 // on the loop's clock
	sequence uint64
	key      timerKey
	worker   *appWorker
	place    int // in the heap
}

// taskTimer is the id of the one timer per isolate that stands for V8's own delayed tasks. The
// isolates count their ids upwards from 1 and do not get there.
const taskTimer = ^uint32(0)

func newTimers() timers {
	return timers{byKey: make(map[timerKey]*timer)}
}

func before(a, b *timer) bool {
	return a.deadline < b.deadline || a.deadline == b.deadline && a.sequence < b.sequence
}

// set adds a timer; one with the same key is replaced.
func (t *timers) set(worker *appWorker, id uint32, deadline int64) {
	key := timerKey{life: worker.life, id: id}
	t.clear(key)
	var added *timer
	if last := len(t.free) - 1; last >= 0 {
		added, t.free = t.free[last], t.free[:last]
	} else {
		added = new(timer)
	}
	t.sequence++
	*added = timer{deadline: deadline, sequence: t.sequence, key: key, worker: worker}
	t.byKey[key] = added
	worker.timers++
	t.heap = append(t.heap, added)
	t.up(len(t.heap) - 1)
}

// clear takes a timer out; it may be unknown (it has fired already).
func (t *timers) clear(key timerKey) {
	if found, ok := t.byKey[key]; ok {
		t.remove(found.place)
	}
}

// clearWorker takes out all timers of an isolate that is going away.
func (t *timers) clearWorker(life uint32) {
	kept := t.heap[:0]
	for _, each := range t.heap {
		if each.key.life == life {
			t.forget(each)
		} else {
			kept = append(kept, each)
		}
	}
	clear(t.heap[len(kept):])
	t.heap = kept
	for i := len(t.heap) - 1; i >= 0; i-- {
		t.down(i)
	}
}

// next is the earliest deadline, or never.
func (t *timers) next() int64 {
	if len(t.heap) == 0 {
		return never
	}
	return t.heap[0].deadline
}

// expired takes out and returns the earliest timer if its deadline has passed.
func (t *timers) expired(now int64) (due timer, ok bool) {
	if len(t.heap) == 0 || t.heap[0].deadline > now {
		return timer{}, false
	}
	due = *t.heap[0]
	t.remove(0)
	return due, true
}

func (t *timers) remove(i int) {
	t.forget(t.heap[i])
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap[last] = nil
	t.heap = t.heap[:last]
	if i == last {
		return
	}
	t.heap[i] = moved
	t.down(i)
	t.up(moved.place)
}

// forget ends a timer's life outside the heap.
func (t *timers) forget(gone *timer) {
	delete(t.byKey, gone.key)
	gone.worker.timers--
	if len(t.free) < timersFreeMax {
		t.free = append(t.free, gone)
	}
}

// timersFreeMax bounds what is kept after many timers were set at once.
const timersFreeMax = 1024

func (t *timers) up(i int) {
	moving := t.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !before(moving, t.heap[parent]) {
			break
		}
		t.put(i, t.heap[parent])
		i = parent
	}
	t.put(i, moving)
}

func (t *timers) down(i int) {
	moving := t.heap[i]
	for {
		least := -1
		for child := 4*i + 1; child <= 4*i+4 && child < len(t.heap); child++ {
			if least < 0 || before(t.heap[child], t.heap[least]) {
				least = child
			}
		}
		if least < 0 || !before(t.heap[least], moving) {
			break
		}
		t.put(i, t.heap[least])
		i = least
	}
	t.put(i, moving)
}

func (t *timers) put(i int, moved *timer) {
	t.heap[i] = moved
	moved.place = i
}

// timersPerTick bounds for how long timers hold up a tick: each takes some 0.5 µs, and its isolate
// more. Those left are still due in the next one.
const timersPerTick = 256

// fireTimers stages the timers that are due with their isolates.
func (l *Loop) fireTimers() {
	for range timersPerTick {
		due, ok := l.timers.expired(l.now)
		if !ok {
			return
		}
		if due.key.id != taskTimer {
			due.worker.isolate.AddTimer(due.key.id)
		} else {
			due.worker.taskDeadline = never
		}
		l.wantTurn(due.worker)
	}
}
