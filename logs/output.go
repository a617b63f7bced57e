package logs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// output hands lines to a slow writer without ever making its callers wait: what does not fit in its
// queue is dropped. Access lines have a queue of their own.
type output struct {
	to io.Writer

	mutex   sync.Mutex
	filled  sync.Cond
	queue   []byte // whole lines
	epoch   uint64 // counts the times that the queue was taken
	lines   accessQueue
	closing bool
	done    chan struct{} // closed when all is written after close
}

func newOutput(to io.Writer, tellLost func(lines int) []byte) *output {
	o := &output{to: to, done: make(chan struct{}), epoch: 1, lines: accessQueue{tell: tellLost}}
	o.filled.L = &o.mutex
	go o.drain()
	return o
}

// write queues a line of an app, or of the node, if app is nil. False: there is no room for it, of an
// app in its share.
func (o *output) write(line []byte, a *appLog) bool {
	if len(line) == 0 {
		return true
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	free := queuedBytesMax - len(o.queue)
	if o.closing || len(line) > free {
		return false
	}
	if a != nil {
		if a.outEpoch != o.epoch {
			a.outEpoch, a.outBytes = o.epoch, 0
		}
		if int(a.outBytes)+len(line) > free/queueShare {
			return false
		}
		a.outBytes += uint64(len(line))
	}
	o.queue = append(o.queue, line...)
	o.filled.Signal()
	return true
}

// drain writes what is queued, all that there is at a time. Two buffers take turns.
func (o *output) drain() {
	defer close(o.done)
	var writing, access []byte
	for {
		o.mutex.Lock()
		for len(o.queue) == 0 && o.lines.isEmpty() && !o.closing {
			o.filled.Wait()
		}
		if len(o.queue) == 0 && o.lines.isEmpty() {
			o.mutex.Unlock()
			return
		}
		writing, o.queue = o.queue, writing[:0]
		access, o.lines.queue = o.lines.queue, access[:0]
		lost := o.lines.lost
		o.lines.lost = 0
		o.epoch++
		o.mutex.Unlock()
		if lost > 0 {
			writing = append(writing, o.lines.tell(lost)...)
		}
		for _, part := range [][]byte{writing, access} {
			if len(part) > 0 {
				_, _ = o.to.Write(part) // there is nowhere left to report that this failed
			}
		}
		writing, access = kept(writing), kept(access)
	}
}

func kept(buffer []byte) []byte {
	if cap(buffer) > keptBytes {
		return nil
	}
	return buffer
}

// close writes what is queued and then stops, or gives up.
func (o *output) close(giveUp <-chan time.Time) {
	o.mutex.Lock()
	o.closing = true
	o.filled.Signal()
	o.mutex.Unlock()
	select {
	case <-o.done:
	case <-giveUp:
	}
}

// accessQueue is what waits of the access logs.
type accessQueue struct {
	queue []byte
	lost  int
	tell  func(lines int) []byte // makes the line that tells of lost ones
}

func (q *accessQueue) isEmpty() bool { return len(q.queue) == 0 && q.lost == 0 }

// accessWriter is an output for access lines.
type accessWriter struct{ *output }

func (o *output) access() io.Writer { return accessWriter{o} }

// Write queues whole lines, and never fails. It keeps nothing of them.
func (w accessWriter) Write(lines []byte) (int, error) {
	o := w.output
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.closing || len(o.lines.queue)+len(lines) > queuedBytesMax {
		o.lines.lost += bytes.Count(lines, []byte{'\n'})
		return len(lines), nil
	}
	o.lines.queue = append(o.lines.queue, lines...)
	o.filled.Signal()
	return len(lines), nil
}

// lostAccess makes the line that tells of lost access lines, by a handler that writes to buffer.
func lostAccess(newHandler func(io.Writer) slog.Handler) func(int) []byte {
	return func(lines int) []byte {
		var line bytes.Buffer
		slog.New(newHandler(&line)).Warn(fmt.Sprintf("%s of the access log dropped: this log is read too slowly", countLines(int64(lines))))
		return line.Bytes()
	}
}
