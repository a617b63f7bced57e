package loop

import (
	"context"
	"maps"
	"slices"
	"time"

	"nano/isolates"
)

// AppStats are the accounts of one app, of all loops together, since the node's start where not said
// otherwise.
type AppStats struct {
	ID      int // as AddApp returns it; of sums 0
	Name    string
	Version string
	AppCounts

	CPU      time.Duration      // in JavaScript
	InHand   int                // requests now, waitUntil work included
	Warm     int                // isolates now
	Resident int64              // estimate of what they cost now, in bytes
	Heap     isolates.HeapStats // of theirs
}

// AppCounts are an app's counters.
type AppCounts struct {
	Requests uint64    // routed to the app
	Answers  [6]uint64 // by status class: 2 is 2xx; 0: the client was gone before

	// What came to nothing, by cause.
	Uncaught         uint64 // errors that no code of the app caught, in requests or beside them
	CPULimit         uint64
	MemoryLimit      uint64
	WallLimit        uint64
	BodyLimit        uint64 // bodies over max_body, which are not among Requests
	ConcurrencyLimit uint64
	Overload         uint64 // too many in hand on a loop
	StartFailures    uint64 // the app did not start
	Failures         uint64 // the isolate died of something else

	Starts            [startKinds]StartCounts // of isolates, by StartKinds
	Sleeps            uint64                  // after Options.Idle
	Evictions         uint64                  // before that, for Options.Memory
	PressureEvictions uint64                  // the same, while the budget was lowered
	Retirements       uint64                  // the app lives on another loop now
	Deaths            uint64                  // isolates that were ended at a limit, or failed

	Subrequests    uint64 // fetch(), service calls, assets, sockets that the app has opened
	EgressRefusals uint64 // of them, those that its egress rules forbade

	// Latency is from the arrival of requests until the heads of their answers, of those that got one: what
	// [limits] wall bounds. How fast a client takes the body is not in it.
	Latency Latency
}

// Latency is a distribution of times.
type Latency struct {
	// Buckets are those of at most LatencyBounds[i] that are in no bucket before; the last has what is longer
	// than all bounds.
	Buckets [len(LatencyBounds) + 1]uint64
	Total   time.Duration
}

// LatencyBounds are the upper bounds of the buckets of a Latency.
var LatencyBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// note counts a time. Most are short: the first comparison finds their bucket.
func (d *Latency) note(took time.Duration) {
	i := 0
	for i < len(LatencyBounds) && took > LatencyBounds[i] {
		i++
	}
	d.Buckets[i]++
	d.Total += took
}

// Count is how many times were counted.
func (d *Latency) Count() (sum uint64) {
	for _, count := range d.Buckets {
		sum += count
	}
	return sum
}

// StartCounts are starts of one kind.
type StartCounts struct {
	Count uint64
	Total time.Duration
	Max   time.Duration
}

const startKinds = 3

// StartKinds are the values of isolates.Start.How, in the order of AppCounts.Starts.
var StartKinds = [startKinds]string{"snapshot", "cache", "source"}

func (c *AppCounts) started(start isolates.Start) {
	for i, how := range StartKinds {
		if how == start.How {
			c.Starts[i].add(StartCounts{1, start.Duration, start.Duration})
		}
	}
}

func (s *StartCounts) add(other StartCounts) {
	s.Count += other.Count
	s.Total += other.Total
	s.Max = max(s.Max, other.Max)
}

// countAnswer counts an answer whose head is decided, and how long its request has waited for it. The clock was
// last read after the turn that the answer comes from.
func (l *Loop) countAnswer(w *appWorker, e *exchange, status int) {
	w.counts.answered(status)
	w.counts.Latency.note(time.Duration(l.lastLook - e.started))
	if e.trace != nil {
		e.trace.noteAnswer(w)
	}
}

// answered counts an answer by its status; 0: nobody was there to get one.
func (c *AppCounts) answered(status int) {
	if class := status / 100; class < len(c.Answers) {
		c.Answers[class]++
	}
}

// died counts what a limit of an isolate did to one of its requests.
func (c *AppCounts) died(nanoError string) {
	switch nanoError {
	case "cpu-limit":
		c.CPULimit++
	case "memory-limit":
		c.MemoryLimit++
	default:
		c.Failures++
	}
}

// Add adds the accounts of another loop, or of another app for a sum.
func (s *AppStats) Add(other *AppStats) {
	s.combine(&other.AppCounts, func(a *uint64, b uint64) { *a += b }, func(a *time.Duration, b time.Duration) { *a += b })
	for i := range s.Starts {
		s.Starts[i].Max = max(s.Starts[i].Max, other.Starts[i].Max)
	}
	s.CPU += other.CPU
	s.InHand += other.InHand
	s.Warm += other.Warm
	s.Resident += other.Resident
	s.Heap.Add(&other.Heap)
}

// Sub takes earlier counters of the same app away. StartCounts.Max stays: it cannot be taken apart.
func (c *AppCounts) Sub(before *AppCounts) {
	c.combine(before, func(a *uint64, b uint64) { *a -= b }, func(a *time.Duration, b time.Duration) { *a -= b })
}

// combine applies count and total to each counter and each sum of times with its peer in other.
func (c *AppCounts) combine(other *AppCounts, count func(*uint64, uint64), total func(*time.Duration, time.Duration)) {
	for _, pair := range [...]struct {
		a *uint64
		b uint64
	}{
		{&c.Requests, other.Requests},
		{&c.Uncaught, other.Uncaught},
		{&c.CPULimit, other.CPULimit},
		{&c.MemoryLimit, other.MemoryLimit},
		{&c.WallLimit, other.WallLimit},
		{&c.BodyLimit, other.BodyLimit},
		{&c.ConcurrencyLimit, other.ConcurrencyLimit},
		{&c.Overload, other.Overload},
		{&c.StartFailures, other.StartFailures},
		{&c.Failures, other.Failures},
		{&c.Sleeps, other.Sleeps},
		{&c.Evictions, other.Evictions},
		{&c.PressureEvictions, other.PressureEvictions},
		{&c.Retirements, other.Retirements},
		{&c.Deaths, other.Deaths},
		{&c.Subrequests, other.Subrequests},
		{&c.EgressRefusals, other.EgressRefusals},
	} {
		count(pair.a, pair.b)
	}
	for i := range c.Answers {
		count(&c.Answers[i], other.Answers[i])
	}
	for i := range c.Starts {
		count(&c.Starts[i].Count, other.Starts[i].Count)
		total(&c.Starts[i].Total, other.Starts[i].Total)
	}
	for i := range c.Latency.Buckets {
		count(&c.Latency.Buckets[i], other.Latency.Buckets[i])
	}
	total(&c.Latency.Total, other.Latency.Total)
}

// Errors is how many requests came to nothing, whatever the cause.
func (c *AppCounts) Errors() uint64 {
	return c.Uncaught + c.CPULimit + c.MemoryLimit + c.WallLimit + c.BodyLimit + c.ConcurrencyLimit +
		c.Overload + c.StartFailures + c.Failures
}

// report is a loop's answer to Node.Apps. The loop fills it some apps at a time, so that ten thousand
// of them hold up no request.
type report struct {
	of    []*sharedApp // by id; nil: there is none
	apps  []AppStats   // of these, for the loop to add to
	gone  graves       // the same of apps that were removed
	next  int
	begun bool
	done  chan<- struct{} // closed at the end
}

// graves are the accounts of apps that were removed, by their names.
type graves map[string]*AppStats

func (g graves) add(name string, accounts *AppStats) {
	sum := g[name]
	if sum == nil {
		sum = &AppStats{Name: name}
		g[name] = sum
	}
	sum.Add(accounts)
}

// gravesMax is how many more names a loop keeps for apps that were removed than it has apps. What is over is added up
// under no name, unless an app has that name.
const gravesMax = 256

// bury keeps the accounts of an app that the loop forgets. Reports that are being filled get it now, if they have not
// come to it.
func (l *Loop) bury(w *appWorker) {
	var own AppStats
	w.account(&own, l.now)
	if own.AppCounts == (AppCounts{}) && own.CPU == 0 {
		return
	}
	if l.graves == nil {
		l.graves = graves{}
	}
	l.graves.add(w.name, &own)
	for _, r := range l.reports {
		if r.begun && w.app >= r.next {
			r.gone.add(w.name, &own)
		}
	}
	if len(l.graves) <= len(l.apps)+gravesMax {
		return
	}
	isThere := map[string]bool{"": true}
	for _, w := range l.apps {
		if w != nil {
			isThere[w.name] = true
		}
	}
	for name, accounts := range l.graves {
		if !isThere[name] {
			delete(l.graves, name)
			l.graves.add("", accounts)
		}
	}
}

// reportedPerTick is how many apps a loop looks at before it goes on with its tick. Those that are warm
// cost a µs or two each.
const reportedPerTick = 256

// Apps are the accounts of all apps, in the order of their ids. Each loop is asked, one after the
// other; one that is in a long turn answers after it.
func (n *Node) Apps(ctx context.Context) ([]AppStats, error) {
	apps, _, err := n.Accounts(ctx)
	return apps, err
}

// Accounts are those of all apps, in the order of their ids, and of those that were removed, added up by their names,
// in the order of these: an app of which there have been several versions has used the sum of all that have
// its name, which does not become less when a version is removed. What is under no name is of apps that are long gone.
func (n *Node) Accounts(ctx context.Context) (apps, gone []AppStats, err error) {
	of := n.options.catalog.all()
	sum, dead := make([]AppStats, len(of)), graves{}
	for id, app := range of {
		if app != nil {
			sum[id].ID, sum[id].Name, sum[id].Version = id, app.Name, app.version()
		}
	}
	for _, each := range *n.options.memory.portions.Load() {
		done := make(chan struct{})
		r := &report{of: of, apps: sum, gone: dead, done: done}
		if !each.loop.mailbox.Post(message{kind: messageReport, report: r}) {
			continue // it has ended
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, nil, ctx.Err() // the sums are left to the loop
		}
	}
	apps = sum[:0] // most nodes have all of them
	for id, app := range of {
		if app != nil {
			apps = append(apps, sum[id])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dead)) {
		gone = append(gone, *dead[name])
	}
	return apps, gone, nil
}

// fillReports goes on with what was asked for by Node.Apps.
func (l *Loop) fillReports() {
	r := l.reports[0]
	if !r.begun {
		r.begun = true
		for name, accounts := range l.graves {
			r.gone.add(name, accounts)
		}
	}
	for range reportedPerTick {
		if r.next >= min(len(l.apps), len(r.of)) {
			close(r.done)
			last := copy(l.reports, l.reports[1:])
			l.reports[last] = nil
			l.reports = l.reports[:last]
			return
		}
		if w := l.apps[r.next]; w == nil || w.shared != r.of[r.next] {
			// never met here, or younger than the report
		} else if w.isolate != nil || w.load.count != 0 || w.counts != (AppCounts{}) {
			var own AppStats
			w.account(&own, l.now)
			r.apps[r.next].Add(&own)
		}
		r.next++
	}
}

// endReports answers those who asked a loop that ends, with what there is.
func (l *Loop) endReports() {
	for len(l.reports) != 0 {
		l.fillReports()
	}
}

// heapPause is for how long an isolate is not asked again what its heap holds. V8 counts that together when it is asked,
// which takes some 5 µs: of a thousand isolates, as much as all else of a scrape.
const heapPause = int64(5 * time.Second)

// heapSeen is what an isolate's heap held when it was asked.
type heapSeen struct {
	isolates.HeapStats
	at int64 // on the loop's clock
}

// account is what the loop knows of an app.
func (w *appWorker) account(into *AppStats, now int64) {
	into.AppCounts = w.counts
	into.Requests = w.load.count
	into.CPU = w.cpuBefore
	into.InHand = w.inHand
	if w.isolate != nil {
		into.CPU += w.isolate.CPU()
		into.Warm = 1
		into.Resident = w.cost
		if w.heap == nil || now-w.heap.at >= heapPause {
			w.heap = &heapSeen{w.isolate.Heap(), now}
		}
		into.Heap = w.heap.HeapStats
	}
}
