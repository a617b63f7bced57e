package loop

import "time"

// Debugged is a Worker that may stand still at breakpoints.
type Debugged interface {
	Worker
	// Paused is for how long its thread has worked and waited for debuggers so far.
	Paused() time.Duration
}

// standStill takes the time off the loop's clock that its thread has spent for debuggers in a turn, or in the start of an
// isolate. So no request comes to a time-out at a breakpoint, nor does any connection, and timers of apps wait.
func (l *Loop) standStill(w *appWorker) {
	debugged, ok := w.isolate.(Debugged)
	if !ok {
		return
	}
	paused := debugged.Paused()
	length := paused - w.paused
	w.paused = paused
	l.epoch = l.epoch.Add(length)
	l.epochOffset += int64(length) // the clock that loops share goes on
}
