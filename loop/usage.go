package loop

import (
	"math"

	"golang.org/x/sys/unix"
)

// threadUsage tells how much time the thread of a loop has wanted of its core: what it has run, and
// what it was ready to run while others did. A loop that shares its core is full before it has used
// all of it.
type threadUsage struct {
	fd      int // of the thread's schedstat; -1: this kernel has none
	scratch [96]byte
	fake    func() int64 // of a test
}

// newThreadUsage is for the calling thread.
func newThreadUsage(fake func() int64) threadUsage {
	if fake != nil {
		return threadUsage{fd: -1, fake: fake}
	}
	fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	return threadUsage{fd: fd}
}

// read gives the time in ns, on that thread.
func (u *threadUsage) read() int64 {
	if u.fake != nil {
		return u.fake()
	}
	if u.fd >= 0 {
		if n, err := unix.Pread(u.fd, u.scratch[:], 0); err == nil {
			if ran, waited, ok := parseSchedstat(u.scratch[:n]); ok {
				return ran + waited
			}
		}
	}
	var ran unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ran); err != nil {
		return 0
	}
	return ran.Nano()
}

func (u *threadUsage) close() {
	if u.fd >= 0 {
		_ = unix.Close(u.fd)
		u.fd = -1
	}
}

// parseSchedstat reads the first two numbers of /proc/PID/schedstat: ns on a core, and ns on a run
// queue (Linux, Documentation/scheduler/sched-stats.rst).
func parseSchedstat(text []byte) (ran, waited int64, ok bool) {
	numbers := [2]int64{}
	i := 0
	for n := range numbers {
		begun := i
		for ; i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
			digit := int64(text[i] - '0')
			if numbers[n] > (math.MaxInt64-digit)/10 {
				return 0, 0, false
			}
			numbers[n] = 10*numbers[n] + digit
		}
		if i == begun || i == len(text) || text[i] != ' ' {
			return 0, 0, false
		}
		i++
	}
	return numbers[0], numbers[1], true
}
