package loop

import (
	"math/bits"
	"sync/atomic"
)

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

	Completions uint64 // of the ring
	Starved     uint64 // receives that found no provided buffer, and waited until one came back
	Stalls      uint64 // ticks of stallMin or more, in which everything else on the loop waited
	StallTime   uint64 // ns that these took together
	LongestTick uint64 // ns; of several loops the longest

	// Batches are the ticks that found completions, by how many: the first those of one, the next those of
	// 2 or 3, of 4 to 7 and so on, the last all larger ones. Ticks that found none are in none.
	Batches [BatchClasses]uint64
}

// BatchClasses is the number of classes of Stats.Batches: the last begins with 1 << (BatchClasses-1).
const BatchClasses = 10

// stallMin is from how many ns on a tick is a stall. Requests of other apps on the loop notice it.
const stallMin = 10_000_000

const statsFields = 21 + BatchClasses

// published is a copy of the counters for other goroutines, alone on its cache lines: readers do not
// slow the loop down.
type published struct {
	_      [64]byte
	fields [statsFields]atomic.Uint64
	_      [64]byte
	last   [statsFields]uint64
}

// publish stores what has changed since the last call.
func (p *published) publish(stats *Stats) {
	now := stats.array()
	for i := range now {
		if now[i] != p.last[i] {
			p.fields[i].Store(now[i])
			p.last[i] = now[i]
		}
	}
}

// fields are the counters in the order of array; the batches follow.
func (s *Stats) fields() [statsFields - BatchClasses]*uint64 {
	return [...]*uint64{&s.Connections, &s.Accepted, &s.Closed, &s.Refused, &s.Requests, &s.Rejected, &s.Errors,
		&s.BytesIn, &s.BytesOut, &s.Ticks, &s.Turns, &s.Replaced, &s.StrayRecords, &s.LogDropped, &s.Moved, &s.Slowed,
		&s.Completions, &s.Starved, &s.Stalls, &s.StallTime, &s.LongestTick}
}

func (s *Stats) array() (all [statsFields]uint64) {
	fields := s.fields()
	for i, field := range fields {
		all[i] = *field
	}
	copy(all[len(fields):], s.Batches[:])
	return all
}

// Stats returns the counters as of the end of the last tick. Any goroutine may call it.
func (l *Loop) Stats() (stats Stats) {
	published := &l.published.fields
	fields := stats.fields()
	for i, field := range fields {
		*field = published[i].Load()
	}
	for i := range stats.Batches {
		stats.Batches[i] = published[len(fields)+i].Load()
	}
	return stats
}

// Add adds up the counters of several loops.
func (s Stats) Add(other Stats) Stats {
	longest := max(s.LongestTick, other.LongestTick)
	into, from := s.fields(), other.fields()
	for i := range into {
		*into[i] += *from[i]
	}
	for i := range s.Batches {
		s.Batches[i] += other.Batches[i]
	}
	s.LongestTick = longest
	return s
}

// noteBatch counts the completions that a tick has found.
func (s *Stats) noteBatch(completions int) {
	if completions != 0 {
		s.Completions += uint64(completions)
		s.Batches[min(bits.Len(uint(completions)), BatchClasses)-1]++
	}
}

// noteTick accounts for how many ns a tick took.
func (s *Stats) noteTick(took int64) {
	if uint64(max(took, 0)) > s.LongestTick {
		s.LongestTick = uint64(took)
	}
	if took >= stallMin {
		s.Stalls++
		s.StallTime += uint64(took)
	}
}
