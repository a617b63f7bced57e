package isolates

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A CPU profile has a sample for every millisecond in which the isolate runs, or fewer so that there
// are no more than profileSamplesMax: what is made of them at the end holds up the loop.
const (
	profileInterval   = time.Millisecond
	profileSamplesMax = 60_000
)

// StartProfile begins a CPU profile that goes on for d at most. One isolate has one at a time. It takes
// some milliseconds, in which V8 looks at all code that there is.
func (i *Isolate) StartProfile(d time.Duration) error {
	interval := max(profileInterval, d/profileSamplesMax)
	if err := i.isolate.StartProfile(interval, profileSamplesMax); err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	return nil
}

// StopProfile ends the CPU profile: JSON as in a .cpuprofile file of DevTools. nil: there is none, since the
// isolate was replaced meanwhile.
func (i *Isolate) StopProfile() []byte { return i.isolate.StopProfile() }

// A HeapSnapshot is being written by a child of the process, as JSON like that in a .heapsnapshot file of
// DevTools.
type HeapSnapshot struct {
	pid   int
	pipe  *os.File
	began bool // something was read
}

// HeapSnapshot gives a *HeapSnapshot: it begins a snapshot of the isolate's heap as it is now. The process is forked, and the loop waits for
// that: some milliseconds for each gigabyte that the process has resident. Who gets the snapshot reads it to its
// end, on any thread, and closes it.
func (i *Isolate) HeapSnapshot() (io.ReadCloser, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("heap snapshot: %w", err)
	}
	pid, err := i.isolate.HeapSnapshot(write.Fd())
	err = errors.Join(err, write.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("heap snapshot: %w", err), read.Close())
	}
	return &HeapSnapshot{pid: pid, pipe: read}, nil
}

// ErrSnapshotStuck is what Read gives of a snapshot whose process waits for what was going on in another
// thread when it was forked. Nothing of it has been read; another attempt is likely to succeed.
var ErrSnapshotStuck = errors.New("heap snapshot: its process waits for a lock that nobody will free")

// snapshotPatience is for how long the child may do nothing, while it is waited for.
const snapshotPatience = 5 * time.Second

// Read reads what the child has written. io.EOF: that was all of it; Close tells whether it is complete.
func (s *HeapSnapshot) Read(p []byte) (n int, err error) {
	for {
		before := cpuOf(s.pid)
		if err := s.pipe.SetReadDeadline(time.Now().Add(snapshotPatience)); err != nil {
			return 0, err
		}
		n, err = s.pipe.Read(p)
		s.began = s.began || n > 0
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case cpuOf(s.pid) != before:
		case s.began:
			return n, errors.New("heap snapshot: its process has stopped")
		default:
			return n, ErrSnapshotStuck
		}
	}
}

// cpuOf is the CPU time of another process, in nanoseconds; -1: it has none any more.
func cpuOf(pid int) int64 {
	// MAKE_PROCESS_CPUCLOCK of the kernel: the clock of a whole process by its id.
	const schedulerClock = 2
	var time unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &time); err != nil {
		return -1
	}
	return time.Nano()
}

// Close ends the child if it still runs. An error: it did not write all.
func (s *HeapSnapshot) Close() error {
	err := s.pipe.Close()
	// One that has ended is there until it was waited for: the id means nobody else.
	_ = unix.Kill(s.pid, unix.SIGKILL)
	var status unix.WaitStatus
	for {
		if _, failed := unix.Wait4(s.pid, &status, 0, nil); failed != unix.EINTR {
			err = errors.Join(err, failed)
			break
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("heap snapshot: %w", err)
	case status.Signaled() && status.Signal() == unix.SIGKILL:
		return errors.New("heap snapshot: its process was ended")
	case status.Signaled():
		return fmt.Errorf("heap snapshot: its process died (%v): is there memory for some times the heap's size?", status.Signal())
	case status.ExitStatus() != 0:
		return errors.New("heap snapshot: not all could be written")
	}
	return nil
}
