package loop

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// LoopStatus is how one loop does.
type LoopStatus struct {
	Loop   int  // from 0; a slow loop has the number of the one that it is beside
	IsSlow bool // it serves the apps of the slow lane

	// Responsive: it has looked at its mail within the time that it was given. One that has not is in a turn
	// without end, or has no processor; its counters are those of the last tick that it has ended.
	Responsive bool
	HasEnded   bool // after a drain, or because it failed
	Busy       int  // ‰ of its time that it has used lately

	Thread   int           // the kernel's id of it
	CPU      time.Duration // that the thread has used; after its end 0
	Warm     int           // isolates now
	Resident int64         // estimate of what they cost, in bytes

	Stats Stats
}

// Loops tells how each loop does, first the normal ones in their order, then those of the slow lane. All are
// asked at once; those that have not answered when ctx ends are not Responsive.
func (n *Node) Loops(ctx context.Context) []LoopStatus {
	n.mutex.Lock()
	loops := append([]*Loop(nil), n.loops...)
	n.mutex.Unlock()
	all := make([]LoopStatus, 0, len(loops))
	answers := make([]chan Stats, 0, len(loops))
	for seat, l := range loops {
		if l == nil {
			continue
		}
		answer := make(chan Stats, 1)
		asked := l.mailbox.Post(message{kind: messageStatus, status: answer})
		answers = append(answers, answer)
		all = append(all, LoopStatus{Loop: seat % n.settings.Loops, IsSlow: seat >= n.settings.Loops, HasEnded: !asked})
	}
	now := int64(n.options.Clock().Sub(n.options.placement.epoch))
	i := 0
	for seat, l := range loops {
		if l == nil {
			continue
		}
		status := &all[i]
		status.Stats = l.Stats()
		status.Thread = l.thread
		if !status.HasEnded {
			status.CPU = cpuOf(l.thread)
			status.Warm, status.Resident = int(l.portion.warm.Load()), l.portion.resident.Load()
			status.await(ctx, answers[i])
			status.Busy = int(n.options.placement.busy(seat, now))
		}
		i++
	}
	return all
}

// cpuOf is the CPU time of a thread of this process; 0: it has ended.
func cpuOf(thread int) time.Duration {
	// What pthread_getcpuclockid(3) makes of it: CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED.
	clock := ^int32(thread)<<3 | 6
	var used unix.Timespec
	if err := unix.ClockGettime(clock, &used); err != nil {
		return 0
	}
	return time.Duration(used.Nano())
}

// await takes a loop's answer, if it comes in time.
func (s *LoopStatus) await(ctx context.Context, answer <-chan Stats) {
	select {
	case s.Stats = <-answer:
		s.Responsive = true
		return
	default:
	}
	select {
	case s.Stats = <-answer:
		s.Responsive = true
	case <-ctx.Done():
	}
}
