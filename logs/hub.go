package logs

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
)

// Bounds of the hub, in bytes as Line.cost counts them.
const (
	hubBytesMax          = 1 << 20   // the last lines of all apps
	hubAppBytesMax       = 128 << 10 // and of one
	subscriptionBytesMax = 256 << 10 // lines that a subscriber has not taken
	lineCost             = 160       // of a line beside its texts
)

// Hub keeps the last lines of each app, and gives them, and all that come, to whoever follows the log.
// When the lines of all apps take too much room, the one with the most gives up its oldest.
type Hub struct {
	mutex         sync.Mutex
	bytes, most   int
	sequence      uint64
	apps          map[string]*recent // "": the node
	bySize        recentHeap
	subscriptions map[*Subscription]struct{}
}

// recent are the last lines of an app, the oldest first.
type recent struct {
	name  string
	lines []numbered
	bytes int
	place int // in the heap
}

// numbered is a line in the order of all.
type numbered struct {
	sequence uint64
	line     *Line
}

func newHub(most int) *Hub {
	return &Hub{most: most, apps: map[string]*recent{}, subscriptions: map[*Subscription]struct{}{}}
}

func (l *Line) cost() int { return lineCost + len(l.Text) + len(l.Source) + len(l.Version) }

// add takes a line, which is not changed any more.
func (h *Hub) add(line *Line) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	app := h.apps[line.App]
	if app == nil {
		app = &recent{name: line.App}
		h.apps[line.App] = app
		heap.Push(&h.bySize, app)
	}
	h.sequence++
	app.lines = append(app.lines, numbered{h.sequence, line})
	h.grow(app, line.cost())
	for app.bytes > hubAppBytesMax {
		h.dropOldest(app)
	}
	for h.bytes > h.most {
		h.dropOldest(h.bySize[0])
	}
	for s := range h.subscriptions {
		if s.app == "" || s.app == line.App {
			s.add(line)
		}
	}
}

func (h *Hub) grow(app *recent, bytes int) {
	app.bytes += bytes
	h.bytes += bytes
	heap.Fix(&h.bySize, app.place)
}

func (h *Hub) dropOldest(app *recent) {
	cost := app.lines[0].line.cost()
	app.lines[0] = numbered{}
	app.lines = app.lines[1:]
	h.grow(app, -cost)
	if len(app.lines) == 0 {
		heap.Remove(&h.bySize, app.place)
		delete(h.apps, app.name)
	}
}

// Subscribe gives the last lines of an app, or of all apps and the node if app is "", and then those
// that come.
func (h *Hub) Subscribe(app string) *Subscription {
	s := &Subscription{hub: h, app: app, filled: make(chan struct{}, 1)}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	var last []numbered
	if app == "" {
		for _, each := range h.apps {
			last = append(last, each.lines...)
		}
		slices.SortFunc(last, func(x, y numbered) int { return cmp.Compare(x.sequence, y.sequence) })
	} else if known := h.apps[app]; known != nil {
		last = known.lines
	}
	for _, each := range last {
		s.waiting = append(s.waiting, each.line) // whatever their size: the hub's is bounded
		s.bytes += each.line.cost()
	}
	h.subscriptions[s] = struct{}{}
	return s
}

// A Subscription follows the log. One goroutine takes its lines.
type Subscription struct {
	hub    *Hub
	app    string
	filled chan struct{} // holds a token when something was added

	mutex   sync.Mutex
	waiting []*Line
	bytes   int
	dropped int // lines, after those that wait
	closed  bool
}

// add gives the subscriber a line, if it is not too far behind.
func (s *Subscription) add(line *Line) {
	s.mutex.Lock()
	if s.dropped > 0 || s.bytes+line.cost() > subscriptionBytesMax && len(s.waiting) > 0 {
		s.dropped++
	} else {
		s.waiting = append(s.waiting, line)
		s.bytes += line.cost()
	}
	s.mutex.Unlock()
	select {
	case s.filled <- struct{}{}:
	default:
	}
}

// ErrClosed is what Next returns of a Subscription that was closed.
var ErrClosed = errors.New("the subscription is closed")

// Next waits for the next line. When lines are missing because they were not taken in time, there is
// one in their place with the number of them in Dropped. An error: the context has ended, after which
// Next may be called again, or ErrClosed.
func (s *Subscription) Next(ctx context.Context) (Line, error) {
	for {
		if line, ok := s.take(); ok {
			return line, nil
		}
		if s.isClosed() {
			return Line{}, ErrClosed
		}
		select {
		case <-s.filled:
		case <-ctx.Done():
			return Line{}, ctx.Err()
		}
	}
}

func (s *Subscription) take() (Line, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.waiting) > 0 {
		line := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.bytes -= line.cost()
		return *line, true
	}
	if dropped := s.dropped; dropped > 0 {
		s.dropped = 0
		return Line{Dropped: dropped}, true
	}
	return Line{}, false
}

func (s *Subscription) isClosed() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.closed
}

// Close ends the subscription, and a Next that waits.
func (s *Subscription) Close() {
	s.hub.mutex.Lock()
	delete(s.hub.subscriptions, s)
	s.hub.mutex.Unlock()
	s.mutex.Lock()
	s.closed = true
	s.mutex.Unlock()
	select {
	case s.filled <- struct{}{}:
	default:
	}
}

// recentHeap has the app with the most bytes first.
type recentHeap []*recent

func (h recentHeap) Len() int           { return len(h) }
func (h recentHeap) Less(i, j int) bool { return h[i].bytes > h[j].bytes }
func (h recentHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *recentHeap) Push(x any) {
	app := x.(*recent)
	app.place = len(*h)
	*h = append(*h, app)
}

// Pop implements heap.Interface.
func (h *recentHeap) Pop() any {
	last := len(*h) - 1
	app := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return app
}
