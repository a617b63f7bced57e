package loop

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"nano/tracecontext"
)

// A Span is one operation of a trace that has ended.
type Span struct {
	Trace      tracecontext.TraceID
	ID, Parent tracecontext.SpanID // Parent: zero if the trace begins here
	Flags      tracecontext.Flags
	Kind       SpanKind
	Begin, End int64  // ns since 1970; their difference is by the monotonic clock
	Request    uint64 // id in the logs

	App, Version string // "": no app answers there
	Route        string // App.Path
	Caller       string // of a SpanService: the app that called
	Status       int    // of HTTP; 0: there was no answer
	Error        string // what went wrong beside the status: a value of nano-error, or "network", "timeout" …; ""
	Start        StartKind
	// CPU is the CPU time of the isolate from when the request came to it until the head of its answer, that of
	// other requests at the same time included.
	CPU     time.Duration
	Secure  bool // https
	Resends int  // of a SpanClient: how often it was sent again, redirects included

	// Texts are what the client or the app said, cut at spanTextMax: not always UTF-8. Path has no query.
	Method, Host, Path, Client, Agent, Cron, State []byte
}

// SpanKind is what a Span is of.
type SpanKind uint8

// Kinds of spans.
const (
	SpanServer    SpanKind = iota // a request of a client
	SpanClient                    // a fetch() of an app, or the handshake of its WebSocket
	SpanService                   // a call of another app
	SpanScheduled                 // a firing of a cron trigger
)

// StartKind tells whether an app that was asked had to be started.
type StartKind uint8

// Kinds of starts.
const (
	StartNone StartKind = iota // no app was asked
	StartWarm
	StartCold
)

const (
	// spanTextMax is how many bytes are kept of a text.
	spanTextMax = 1024
	// spansMax and spanBytesMax are how many spans of a loop, and how many bytes of their texts, wait to be collected.
	spansMax     = 4096
	spanBytesMax = 1 << 20
	// spansFull is from how many on they should be collected soon.
	spansFull = 512
)

// Tracing chooses the requests that begin a trace, and is where the loops of a node put the spans of all that are
// recorded, until Collect takes them. They never wait: what is too much is dropped and counted.
type Tracing struct {
	threshold uint64 // see samples
	full      chan struct{}
	dropped   atomic.Uint64

	mutex sync.Mutex
	logs  []*spanLog
}

// NewTracing records that part of the traces that begin here, from 0 to 1. Those that others have begun are
// recorded if they say so.
func NewTracing(sample float64) *Tracing {
	t := &Tracing{full: make(chan struct{}, 1)}
	if t.threshold = math.MaxUint64; sample < 1 {
		t.threshold = uint64(max(sample, 0) * (1 << 63))
	}
	return t
}

// samples says by the lower half of a TraceID whether the trace is recorded: as TraceIDRatioBased of OpenTelemetry
// does, so that others come to the same decision.
func (t *Tracing) samples(low uint64) bool { return low>>1 < t.threshold }

// Full tells that Collect should come soon.
func (t *Tracing) Full() <-chan struct{} { return t.full }

// Dropped is how many spans were lost because they were not collected in time.
func (t *Tracing) Dropped() uint64 { return t.dropped.Load() }

// Collect gives all spans that have ended to use, a loop's at a time. They are valid during the call. One goroutine
// may call it.
func (t *Tracing) Collect(use func([]Span)) {
	t.mutex.Lock()
	logs := t.logs
	t.mutex.Unlock()
	for _, log := range logs {
		if spans := log.take(); len(spans) != 0 {
			use(spans)
		}
	}
}

// A spanLog has the spans of one loop. It is locked to swap two slices, and to append to one.
type spanLog struct {
	mutex  sync.Mutex
	filled spanBatch
	taken  spanBatch // of the collector
	_      [64]byte
}

type spanBatch struct {
	spans []Span
	arena []byte // that their texts lie in; or in former ones of it
}

// newLog makes the log of one more loop; nil if t is.
func (t *Tracing) newLog() *spanLog {
	if t == nil {
		return nil
	}
	log := new(spanLog)
	t.mutex.Lock()
	t.logs = append(t.logs, log)
	t.mutex.Unlock()
	return log
}

// take gives what is in the log, until the next call.
func (log *spanLog) take() []Span {
	if last := &log.taken; cap(last.spans) > spansFull && len(last.spans) < cap(last.spans)/4 {
		*last = spanBatch{} // the memory of a burst
	}
	log.mutex.Lock()
	log.filled, log.taken = log.taken, log.filled
	log.filled.spans, log.filled.arena = log.filled.spans[:0], log.filled.arena[:0]
	log.mutex.Unlock()
	return log.taken.spans
}

// add puts a copy of a span into a log.
func (t *Tracing) add(log *spanLog, span *Span) {
	log.mutex.Lock()
	b := &log.filled
	waiting := len(b.spans)
	if waiting >= spansMax || len(b.arena) >= spanBytesMax {
		log.mutex.Unlock()
		t.dropped.Add(1)
		return
	}
	b.spans = append(b.spans, *span)
	s := &b.spans[waiting]
	for _, text := range [...]*[]byte{&s.Method, &s.Host, &s.Path, &s.Client, &s.Agent, &s.Cron, &s.State} {
		*text = b.keep(*text)
	}
	log.mutex.Unlock()
	if waiting == spansFull {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

func (b *spanBatch) keep(text []byte) []byte {
	start := len(b.arena)
	b.arena = append(b.arena, text...)
	return b.arena[start:len(b.arena):len(b.arena)]
}
