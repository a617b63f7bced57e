package loop

import "sync/atomic"

// Stats are a loop's counters, since its start where not said otherwise.
type Stats struct {
	Connections  uint64 // open now
	Accepted     uint64 // connections
	Closed       uint64 // connections
	Refused      uint64 // connections over max_connections
	Requests     uint64 // given to an app, or answered 404
	Rejected     uint64 // requests that could not be understood, were too large or too slow
	Errors       uint64 // answers of ours with status 5xx
	BytesIn      uint64 // received
	BytesOut     uint64 // sent
	Ticks        uint64 // rounds of the loop
	Turns        uint64 // crossings into isolates
	Replaced     uint64 // isolates that died
	StrayRecords uint64 // records of isolates about requests that have ended: a defect if not 0
	LogDropped   uint64 // access log lines lost because the writer was too slow
	Moved        uint64 // connections taken over from other loops
	Slowed       uint64 // apps put into the slow lane
}

// published is a copy of the counters for other goroutines, alone on its cache lines: readers do not
// slow the loop down.
type published struct {
	_      [64]byte
	fields [16]atomic.Uint64
	_      [64]byte
	last   Stats
}

// publish stores what has changed since the last call.
func (p *published) publish(stats *Stats) {
	now, last := stats.array(), p.last.array()
	for i := range now {
		if now[i] != last[i] {
			p.fields[i].Store(now[i])
		}
	}
	p.last = *stats
}

func (s *Stats) array() [16]uint64 {
	return [...]uint64{s.Connections, s.Accepted, s.Closed, s.Refused, s.Requests, s.Rejected, s.Errors,
		s.BytesIn, s.BytesOut, s.Ticks, s.Turns, s.Replaced, s.StrayRecords, s.LogDropped, s.Moved, s.Slowed}
}

// Stats returns the counters as of the end of the last tick. Any goroutine may call it.
func (l *Loop) Stats() Stats {
	f := &l.published.fields
	return Stats{
		Connections: f[0].Load(), Accepted: f[1].Load(), Closed: f[2].Load(), Refused: f[3].Load(),
		Requests: f[4].Load(), Rejected: f[5].Load(), Errors: f[6].Load(),
		BytesIn: f[7].Load(), BytesOut: f[8].Load(), Ticks: f[9].Load(), Turns: f[10].Load(),
		Replaced: f[11].Load(), StrayRecords: f[12].Load(), LogDropped: f[13].Load(), Moved: f[14].Load(), Slowed: f[15].Load(),
	}
}

// Add adds up the counters of several loops.
func (s Stats) Add(other Stats) Stats {
	a, b := s.array(), other.array()
	for i := range a {
		a[i] += b[i]
	}
	return Stats{a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]}
}
