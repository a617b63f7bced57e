package loop

import "context"

// LoopStatus is how one loop does.
type LoopStatus struct {
	Loop   int  // from 0; a slow loop has the number of the one that it is beside
	IsSlow bool // it serves the apps of the slow lane

	// Responsive: it has looked at its mail within the time that it was given. One that has not is in a turn
	// without end, or has no processor; its counters are those of the last tick that it has ended.
	Responsive bool
	HasEnded   bool // after a drain, or because it failed
	Busy       int  // ‰ of its time that it has used lately

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
		if !status.HasEnded {
			status.await(ctx, answers[i])
			status.Busy = int(n.options.placement.busy(seat, now))
		}
		i++
	}
	return all
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
