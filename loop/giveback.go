package loop

import "time"

// What a burst has made is kept for the next request of its kind, within bounds: slots, spare objects, buffers. A
// node that has come to rest has no use for it, so its watcher of memory (pressure.go) asks each loop to let go of
// it before it has the heaps give back what is free.

// giveBackPatience is for how long the watcher waits for loops to answer.
const giveBackPatience = time.Second

// giveBack asks all loops to give back what they keep for later, and returns when they have, or after
// giveBackPatience: one in the middle of a long turn does it when it comes to it.
func (m *memory) giveBack() {
	portions := *m.portions.Load()
	done := make(chan struct{}, len(portions))
	asked := 0
	for _, each := range portions {
		if each.loop.mailbox.Post(message{kind: messageGiveBack, done: done}) {
			asked++
		}
	}
	patience := time.NewTimer(giveBackPatience)
	defer patience.Stop()
	for ; asked > 0; asked-- {
		select {
		case <-done:
		case <-patience.C:
			return
		}
	}
}

// giveBack lets go of what is kept for later and is not in use.
func (l *Loop) giveBack() {
	l.connections.shrink()
	l.endpoints.shrink()
	l.handles.shrink()
	l.origins.shrink()
	l.buffers.drop()
	l.closeFreePipes()
	l.heads, l.collectors, l.incomings, l.calls, l.traces = nil, nil, nil, nil, nil
	l.files.spare = nil
	dropEmpty(&l.endpoints.starved)
	dropEmpty(&l.endpoints.outgoing)
	dropEmpty(&l.ready)
	dropEmpty(&l.starved)
	dropEmpty(&l.outgoing)
	dropEmpty(&l.postponed)
	dropEmpty(&l.piped)
	dropEmpty(&l.runnable)
	dropEmpty(&l.running)
	l.ring.TrimBuffers()
}

// dropEmpty frees the memory of a list with nothing on it.
func dropEmpty[T any](list *[]T) {
	if len(*list) == 0 {
		*list = nil
	}
}

// shrink frees the handles that are free, and the table's room for many.
func (h *handles) shrink() {
	h.free, h.spare = nil, 0
	if len(h.byKey) == 0 {
		h.byKey = make(map[handleKey]*handle)
	}
}

// shrink frees what origins are served with.
func (o *origins) shrink() {
	o.connections, o.dials, o.streams, o.fetches = nil, nil, nil, nil
	o.chunks = nil
	if len(o.byKey) == 0 {
		o.byKey = make(map[originKey]*origin)
	}
}

// drop leaves all that is free to the garbage collector.
func (b *buffers) drop() {
	for class := range b.free {
		b.free[class] = nil
		b.lowest[class] = 0
	}
	b.retained = 0
}
