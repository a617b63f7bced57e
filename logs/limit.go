package logs

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// RateDefault is how many lines a second an app may log if nothing else is configured.
const RateDefault = 1000

// An app may log so many lines and bytes at once as the limit allows in burstLength. lineBytes is the
// length of a line, on average, to which lines a second limit bytes.
const (
	burstLength = 2 * time.Second
	lineBytes   = 512
)

// limiter bounds the lines and bytes of an app: two buckets that run empty at the limit's rate (GCRA).
// The zero limiter is ready.
type limiter struct{ lines, bytes time.Duration } // when the buckets are empty

// take reports whether a line of `cost` bytes is within `rate` lines a second.
func (l *limiter) take(now time.Duration, rate, cost int) bool {
	if rate <= 0 {
		rate = RateDefault
	}
	lines := max(l.lines, now) + time.Second/time.Duration(rate)
	bytes := max(l.bytes, now) + time.Duration(cost)*time.Second/time.Duration(rate*lineBytes)
	// One line is always let through, however long.
	if lines-now > max(burstLength, time.Second/time.Duration(rate)) || l.bytes-now > burstLength {
		return false
	}
	l.lines, l.bytes = lines, bytes
	return true
}

// lossList are the apps that have lost lines of which nobody was told so far.
type lossList struct {
	some  atomic.Bool
	mutex sync.Mutex
	apps  []*appLog
}

// lose counts a line of an app that was dropped.
func (l *Log) lose(a *appLog, count *atomic.Int64) {
	count.Add(1)
	if a.isLossy.Swap(true) {
		return
	}
	l.lossy.mutex.Lock()
	l.lossy.apps = append(l.lossy.apps, a)
	l.lossy.mutex.Unlock()
	l.lossy.some.Store(true)
	select { // so that it is told though nobody logs any more
	case l.wake <- struct{}{}:
	default:
	}
}

// take empties the list.
func (s *lossList) take() []*appLog {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	taken := s.apps
	s.apps = nil
	s.some.Store(false)
	return taken
}

// beyondRate and readSlowly say that lines of the app were dropped, and why.
func (a *appLog) beyondRate(lines int64) string {
	rate := a.rate.Load()
	if rate <= 0 {
		rate = RateDefault
	}
	return fmt.Sprintf("%s dropped: the app logs more than its log_rate of %d a second allows; log less, or raise log_rate in [app.limits]",
		countLines(lines), rate)
}

func (a *appLog) readSlowly(lines int64) string {
	return countLines(lines) + " dropped: this log is read too slowly"
}

func countLines(n int64) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}
