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
	var writing []byte
	var access [][]byte
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
		var lost int
		access, lost = o.lines.take(access)
		o.epoch++
		o.mutex.Unlock()
		if lost > 0 {
			writing = append(writing, o.lines.tell(lost)...)
		}
		if len(writing) > 0 {
			_, _ = o.to.Write(writing) // there is nowhere left to report that this failed
		}
		writing = kept(writing)
		for i, each := range access {
			_, _ = o.to.Write(each)
			access[i] = nil // there may be no more lines for hours
			o.giveBack(each)
		}
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

// accessQueue is what waits of the access logs: buffers that the loops have filled, of whole lines.
type accessQueue struct {
	buffers [][]byte
	bytes   int                    // that they take, with the room in them
	lost    int                    // lines
	tell    func(lines int) []byte // makes the line that tells of lost ones
	spares  [][]byte
}

// Bounds of the buffers that are kept for later: loops fill some 64 KiB each, a few at a time.
const (
	accessSparesMax    = 8
	accessSpareSizeMax = 128 << 10
)

func (q *accessQueue) isEmpty() bool { return len(q.buffers) == 0 && q.lost == 0 }

// add queues lines; ok is false if there is no room for them. next is the caller's, in place of lines.
func (q *accessQueue) add(lines []byte) (next []byte, ok bool) {
	if last := len(q.buffers) - 1; last >= 0 && len(lines) <= cap(q.buffers[last])-len(q.buffers[last]) {
		q.buffers[last] = append(q.buffers[last], lines...)
		return lines[:0], true
	}
	if q.bytes+cap(lines) > queuedBytesMax {
		return lines[:0], false
	}
	q.bytes += cap(lines)
	q.buffers = append(q.buffers, lines)
	if last := len(q.spares) - 1; last >= 0 {
		next, q.spares[last] = q.spares[last], nil
		q.spares = q.spares[:last]
	}
	return next, true
}

// take empties the queue. emptied is what was taken before, with nothing on it any more.
func (q *accessQueue) take(emptied [][]byte) (taken [][]byte, lost int) {
	taken, lost = q.buffers, q.lost
	q.buffers, q.bytes, q.lost = emptied[:0], 0, 0
	return taken, lost
}

// giveBack keeps a buffer whose lines are written for those that come.
func (o *output) giveBack(buffer []byte) {
	if cap(buffer) > accessSpareSizeMax {
		return
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if len(o.lines.spares) < accessSparesMax {
		o.lines.spares = append(o.lines.spares, buffer[:0])
	}
}

// AccessLog is where access logs are written. Any number of goroutines may use it.
type AccessLog struct{ output *output }

// Append queues count whole lines, without waiting for anybody. Their memory is the log's from then on, and next the
// caller's, for its next lines; it may be nil. dropped is how many of the lines there was no room for.
func (a AccessLog) Append(lines []byte, count int) (next []byte, dropped int) {
	o := a.output
	o.mutex.Lock()
	defer o.mutex.Unlock()
	next, ok := lines[:0], false
	if !o.closing {
		next, ok = o.lines.add(lines)
	}
	if !ok {
		o.lines.lost += count
		dropped = count
	}
	o.filled.Signal()
	return next, dropped
}

// lostAccess makes the line that tells of lost access lines, by a handler that writes to buffer.
func lostAccess(newHandler func(io.Writer) slog.Handler) func(int) []byte {
	return func(lines int) []byte {
		var line bytes.Buffer
		slog.New(newHandler(&line)).Warn(fmt.Sprintf("%s of the access log dropped: this log is read too slowly", countLines(int64(lines))))
		return line.Bytes()
	}
}
