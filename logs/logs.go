// Package logs takes the lines that apps and the node log, and brings them to where they are read: to
// standard error as text or JSON, to the systemd journal with fields, and to those who follow an app live.
//
//	loops ─► App ──┐ limited per app                    ┌─► output ─► standard error, or the journal
//	               ├─► queues, one for some of the apps ─┤
//	slog ──────────┘            bounded                  └─► Hub ─► subscriptions
//
// Whoever logs only copies its line to a queue; all else is the work of one goroutine. Nothing here
// makes a loop wait, whatever reads the log, and however much an app writes. What is too much is
// dropped, counted, and told once a second.
package logs

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/journal"
)

// Forms of the log.
const (
	FormText    = "text"    // for people
	FormJSON    = "json"    // one object a line
	FormJournal = "journal" // the systemd journal's own protocol
)

// Options of a Log.
type Options struct {
	Form string    // default: FormText
	To   io.Writer // standard error; where the lines of all forms but FormJournal go
	// IsTerminal is for text that somebody reads while it comes: aligned, with the time of day.
	IsTerminal bool
	Color      bool
	// NewText makes what writes lines in FormText, each with one Write; nil: as package logs has it. App lines have
	// the attributes "app", "version", "request" and "source".
	NewText func(to io.Writer) slog.Handler
}

// Limits of what waits, and of a line.
const (
	// queuedBytesMax bounds what waits in the queues of all apps together, and again what waits for
	// the reader of standard error. An app may have a quarter of what is free.
	queuedBytesMax = 4 << 20
	queueShare     = 4
	// entryCost is what a line costs in a queue beside its text.
	entryCost = 128
	// nodeLinesMax is how many lines of the node itself may wait.
	nodeLinesMax = 4096
	// TextMax is the length in bytes at which the text of a line is cut.
	TextMax = 64 << 10
	// sourceMax is the same of the place in the source.
	sourceMax = 1 << 10
)

// gatherPause is for how long lines are gathered: so long nobody who logs has to wake anybody up.
const gatherPause = 2 * time.Millisecond

// tellPause is how often lost lines are told.
const tellPause = time.Second

// Entry is a line that an app logged, or one about an app.
type Entry struct {
	App, Version string
	Request      uint64   // 0: none
	Trace        [16]byte // id of the trace that the request belongs to; zero: none
	Level        slog.Level
	Text, Source []byte // as Line has them; only read during the call
	Rate         int    // lines a second that the app may log; 0: RateDefault
}

// Log is where a node logs. All methods may be called from any goroutine.
type Log struct {
	queues [queueCount]queue
	node   nodeQueue
	seed   maphash.Seed
	began  time.Time
	dirty  atomic.Uint64 // queues with lines, a bit each; nodeBit
	queued atomic.Int64  // bytes in the queues
	wake   chan struct{} // holds a token when dirty was 0 before
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when all is written after that

	hub     *Hub
	handler slog.Handler // of the form; used by the goroutine alone
	buffer  *lineBuffer  // that the handler writes to
	output  *output
	lossy   lossList

	lostRate, lostSlow atomic.Int64 // lines of all apps that were told as lost
}

// Lost is how many lines of apps were dropped, as far as that was told: beyond the apps' own limits, and for want of
// room because the log is read too slowly.
func (l *Log) Lost() (beyondRate, readSlowly uint64) {
	return uint64(max(l.lostRate.Load(), 0)), uint64(max(l.lostSlow.Load(), 0))
}

// New makes a log and starts its goroutine.
func New(o Options) *Log {
	l := &Log{
		seed: maphash.MakeSeed(), began: time.Now(), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), hub: newHub(hubBytesMax), buffer: &lineBuffer{},
	}
	for i := range l.queues {
		l.queues[i].apps = map[string]*appLog{}
	}
	newPlain := func(to io.Writer) slog.Handler {
		if o.Form == FormJSON {
			return slog.NewJSONHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug})
		}
		if o.NewText != nil {
			return o.NewText(to)
		}
		return newTextHandler(to, o.IsTerminal, o.Color)
	}
	l.handler = newPlain(l.buffer)
	if o.Form == FormJournal {
		l.handler = newJournalHandler(journal.Send, newTextHandler(l.buffer, false, false))
	}
	l.output = newOutput(o.To, lostAccess(newPlain))
	go l.run()
	return l
}

// Hub gives the lines to those who follow them.
func (l *Log) Hub() *Hub { return l.hub }

// Access gives where access logs are written. They have a queue of their own, so that neither they nor other lines can
// crowd each other out.
func (l *Log) Access() AccessLog { return AccessLog{l.output} }

// Handler gives the slog.Handler for the node's own lines. The attribute "app" says which app a line is
// about.
func (l *Log) Handler() slog.Handler { return asyncHandler{l, l.handler} }

// Close writes what is queued and ends the log, or gives up after limit: whoever reads it may have
// stopped for good, and the node must still end.
func (l *Log) Close(limit time.Duration) {
	close(l.stop)
	give := time.After(limit)
	select {
	case <-l.done:
	case <-give:
		return
	}
	l.output.close(give)
}

// ---- What apps log ----

const queueCount = 32

// appsMax is how many apps a queue knows: names come and go while a node runs.
const appsMax = 1024

// queue holds lines of some of the apps.
type queue struct {
	mutex   sync.Mutex
	apps    map[string]*appLog
	entries []queued
	texts   []byte
	epoch   uint64 // counts the batches that were taken
	_       [64]byte
}

// queued is a line in a queue. Its texts lie one after the other in queue.texts.
type queued struct {
	app          *appLog
	version      string
	time         time.Time
	request      uint64
	trace        [16]byte
	level        slog.Level
	text, source int // lengths
}

// appLog is what the log knows of an app.
type appLog struct {
	name  string
	limit limiter
	// Bytes in the queue, as of its epoch; and the same of the output.
	queued, epoch      uint64
	outBytes, outEpoch uint64

	lostRate, lostSlow atomic.Int64 // lines: beyond the limit; for want of room
	isLossy            atomic.Bool  // on the lossList
	rate               atomic.Int64 // that lostRate was lost by
}

// App takes a line of an app, or about one. It does not wait.
func (l *Log) App(e *Entry) {
	number := maphash.String(l.seed, e.App) % queueCount
	q := &l.queues[number]
	text, source := cutText(e.Text), e.Source[:min(len(e.Source), sourceMax)]
	now := time.Now()
	cost := len(text) + len(source) + entryCost
	q.mutex.Lock()
	a := q.apps[e.App]
	if a == nil {
		if len(q.apps) == appsMax {
			clear(q.apps) // a burst more for each is the worst of it
		}
		a = &appLog{name: e.App}
		q.apps[e.App] = a
	}
	if !a.limit.take(now.Sub(l.began), e.Rate, cost) {
		q.mutex.Unlock()
		a.rate.Store(int64(e.Rate))
		l.lose(a, &a.lostRate)
		return
	}
	if a.epoch != q.epoch {
		a.epoch, a.queued = q.epoch, 0
	}
	if int64(a.queued)+int64(cost) > (queuedBytesMax-l.queued.Load())/queueShare {
		q.mutex.Unlock()
		l.lose(a, &a.lostSlow)
		return
	}
	a.queued += uint64(cost)
	q.entries = append(q.entries, queued{a, e.Version, now, e.Request, e.Trace, e.Level, len(text), len(source)})
	q.texts = append(append(q.texts, text...), source...)
	q.mutex.Unlock()
	l.queued.Add(int64(cost))
	l.noteQueued(number)
}

// noteQueued has the goroutine look at a queue.
func (l *Log) noteQueued(number uint64) {
	bit := uint64(1) << number
	if l.dirty.Load()&bit != 0 || l.dirty.Or(bit) != 0 {
		return // it will come by
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// cutText is a text as far as a line may have it.
func cutText(text []byte) []byte {
	if len(text) <= TextMax {
		return text
	}
	end := TextMax
	for end > TextMax-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Appendf(text[:end:end], "… (%d bytes more)", len(text)-end)
}

// ---- What the node logs ----

const nodeBit = queueCount

// nodeQueue holds lines of the node itself.
type nodeQueue struct {
	mutex   sync.Mutex
	records []nodeRecord
	lost    int
}

// nodeRecord is a line, and the handler that writes it, which knows the attributes of its logger.
type nodeRecord struct {
	handler slog.Handler
	record  slog.Record
}

// asyncHandler queues what the handler of the log's form is to write.
type asyncHandler struct {
	log     *Log
	handler slog.Handler
}

// Enabled lets everything through: apps choose what they log.
func (h asyncHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle queues one record.
func (h asyncHandler) Handle(_ context.Context, r slog.Record) error {
	n := &h.log.node
	n.mutex.Lock()
	if len(n.records) == nodeLinesMax {
		n.lost++
	} else {
		n.records = append(n.records, nodeRecord{h.handler, r.Clone()})
	}
	n.mutex.Unlock()
	h.log.noteQueued(nodeBit)
	return nil
}

// WithAttrs implements slog.Handler.
func (h asyncHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return asyncHandler{h.log, h.handler.WithAttrs(attributes)}
}

// WithGroup implements slog.Handler.
func (h asyncHandler) WithGroup(name string) slog.Handler {
	return asyncHandler{h.log, h.handler.WithGroup(name)}
}
