package logs

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// batch is what the goroutine works on: lines of all queues, in the order of their times.
type batch struct {
	entries []batchEntry
	texts   [queueCount][]byte // that the queues have given; they get them back
	queues  [queueCount][]queued
	node    []nodeRecord
}

// batchEntry is a line of a batch: of an app, or if queued is nil of the node.
type batchEntry struct {
	time         time.Time
	queued       *queued
	text, source []byte
	node         *nodeRecord
}

// run is the log's goroutine.
func (l *Log) run() {
	defer close(l.done)
	var b batch
	tell := time.NewTimer(tellPause)
	tell.Stop()
	isTelling, isStopping := false, false
	for {
		select {
		case <-l.wake:
			time.Sleep(gatherPause)
		case <-tell.C:
			isTelling = false
			l.tellLost()
		case <-l.stop:
			isStopping = true
		}
		l.take(&b)
		l.write(&b)
		if isStopping {
			l.tellLost()
			return
		}
		if l.lossy.some.Load() && !isTelling {
			isTelling = true
			tell.Reset(tellPause)
		}
	}
}

// take empties the queues.
func (l *Log) take(b *batch) {
	dirty := l.dirty.Swap(0)
	b.entries = b.entries[:0]
	for i := range l.queues {
		if dirty>>i&1 != 0 {
			l.takeQueue(b, i)
		}
	}
	if dirty>>nodeBit&1 != 0 {
		n := &l.node
		n.mutex.Lock()
		b.node, n.records = n.records, b.node[:0]
		lost := n.lost
		n.lost = 0
		n.mutex.Unlock()
		if lost > 0 {
			b.node = append(b.node, nodeRecord{l.handler, slog.NewRecord(time.Now(), slog.LevelWarn,
				countLines(int64(lost))+" of the node dropped: this log is read too slowly", 0)})
		}
		for k := range b.node {
			b.entries = append(b.entries, batchEntry{time: b.node[k].record.Time, node: &b.node[k]})
		}
	}
	slices.SortStableFunc(b.entries, func(x, y batchEntry) int { return x.time.Compare(y.time) })
}

func (l *Log) takeQueue(b *batch, i int) {
	q := &l.queues[i]
	q.mutex.Lock()
	b.queues[i], q.entries = q.entries, b.queues[i][:0]
	b.texts[i], q.texts = q.texts, b.texts[i][:0]
	q.epoch++
	q.mutex.Unlock()
	rest := b.texts[i]
	l.queued.Add(-int64(len(rest)) - int64(len(b.queues[i])*entryCost))
	for k := range b.queues[i] {
		entry := &b.queues[i][k]
		text, source := rest[:entry.text], rest[entry.text:][:entry.source]
		rest = rest[entry.text+entry.source:]
		b.entries = append(b.entries, batchEntry{time: entry.time, queued: entry, text: text, source: source})
	}
}

// keptBytes is the room that a buffer keeps after a burst, and keptLines the same in lines.
const (
	keptBytes = 64 << 10
	keptLines = 512
)

// write hands the lines of a batch on.
func (l *Log) write(b *batch) {
	for i := range b.entries {
		e := &b.entries[i]
		if e.node != nil {
			l.writeNode(e.node)
			continue
		}
		q := e.queued
		line := Line{Time: q.time, Level: q.level, App: q.app.name, Version: q.version, Request: q.request, Trace: q.trace,
			Source: string(e.source), Text: string(e.text)}
		l.writeApp(&line, q.app)
	}
	for i := range b.queues {
		clear(b.queues[i])
		if cap(b.texts[i]) > keptBytes || cap(b.queues[i]) > keptLines {
			b.texts[i], b.queues[i] = nil, nil
		}
	}
	clear(b.entries)
	clear(b.node)
	if cap(b.entries) > keptLines {
		b.entries = nil
	}
}

// writeApp hands on a line of an app.
func (l *Log) writeApp(line *Line, a *appLog) {
	l.hub.add(line)
	_ = l.handler.Handle(context.Background(), line.record()) // it writes to memory
	if !l.output.write(l.buffer.take(), a) {
		l.lose(a, &a.lostSlow)
	}
}

// writeNode hands on a line of the node.
func (l *Log) writeNode(n *nodeRecord) {
	if n.handler == nil {
		return
	}
	l.hub.add(lineOf(&n.record))
	_ = n.handler.Handle(context.Background(), n.record)
	l.output.write(l.buffer.take(), nil)
}

// tellLost tells of each app that has lost lines how many, if there is room for that.
func (l *Log) tellLost() {
	for _, a := range l.lossy.take() {
		a.isLossy.Store(false)
		for _, lost := range [...]struct {
			count, total *atomic.Int64
			text         func(lines int64) string
		}{{&a.lostRate, &l.lostRate, a.beyondRate}, {&a.lostSlow, &l.lostSlow, a.readSlowly}} {
			n := lost.count.Swap(0)
			if n == 0 {
				continue
			}
			lost.total.Add(n)
			line := &Line{Time: time.Now(), Level: slog.LevelWarn, App: a.name, Text: lost.text(n)}
			_ = l.handler.Handle(context.Background(), line.record())
			if !l.output.write(l.buffer.take(), nil) {
				lost.total.Add(-n)
				lost.count.Add(n - 1)
				l.lose(a, lost.count)
				continue
			}
			l.hub.add(line)
		}
	}
}

// lineBuffer is what handlers write a line to.
type lineBuffer struct{ bytes []byte }

var _ io.Writer = (*lineBuffer)(nil)

// Write appends to the line.
func (b *lineBuffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// take gives what was written since the last call, until something else is.
func (b *lineBuffer) take() []byte {
	taken := b.bytes
	b.bytes = b.bytes[:0]
	if cap(b.bytes) > keptBytes {
		b.bytes = nil
	}
	return taken
}
