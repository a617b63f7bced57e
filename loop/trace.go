package loop

import (
	"bytes"
	"encoding/binary"
	"time"

	"nano/http1"
	"nano/isolates"
	"nano/tracecontext"
)

// A trace is how an exchange belongs to a trace (W3C Trace Context): its client has said so, or Options.Tracing has
// chosen it, or an app that is traced made it. What the app does for it, as far as that leaves the node or is
// another app's to answer, is told the same. Most exchanges have none, and for them there is nothing to do.
//
// If the trace is sampled and Options.Tracing is there, the exchange becomes a Span, and so does each of its
// fetches: they have a trace of their own, of which only the span is used.
type trace struct {
	id    tracecontext.TraceID
	flags tracecontext.Flags
	seen  tracecontext.SpanID // in the traceparent that the app got to see
	state tracecontext.State

	isRecorded bool
	isEnded    bool // the span was handed over; what follows may still have it as its parent
	span       Span
	arena      []byte // that the texts of span lie in
	begun      int64  // on the loop's clock
	cpu        time.Duration
}

// tracesSpareMax is how many traces are kept for later.
const tracesSpareMax = 1024

func (l *Loop) takeTrace() *trace {
	if spare := l.traces.take(); spare != nil {
		return spare
	}
	return new(trace)
}

// giveTrace takes the trace of what is over.
func (l *Loop) giveTrace(t *trace) {
	t.state.Reset()
	*t = trace{state: t.state, arena: t.arena[:0]}
	l.traces.give(t, tracesSpareMax)
}

// newSpanID is a random id, which is not zero.
func (l *Loop) newSpanID() (id tracecontext.SpanID) {
	for id == (tracecontext.SpanID{}) {
		binary.BigEndian.PutUint64(id[:], l.traceRandom.Uint64())
	}
	return id
}

// beginTrace makes a trace that nobody has begun yet, if it is to be recorded; else nil. Whether it is follows from
// its id, of which as little is made as that needs.
func (l *Loop) beginTrace() *trace {
	low := l.traceRandom.Uint64()
	if !l.options.Tracing.samples(low) {
		return nil
	}
	t := l.newTrace(low)
	t.flags = tracecontext.FlagSampled
	t.isRecorded = true
	return t
}

// newTrace makes a trace with that lower half of its id. That it is random is not said by FlagRandom: readers of
// level 1 may refuse a traceparent that has it.
func (l *Loop) newTrace(low uint64) *trace {
	t := l.takeTrace()
	binary.BigEndian.PutUint64(t.id[8:], low)
	binary.BigEndian.PutUint64(t.id[:8], max(l.traceRandom.Uint64(), 1))
	return t
}

// readTrace makes the trace that a request says it belongs to. nil: it says none, or what it says is malformed.
func (l *Loop) readTrace(head *http1.Head, headBytes []byte) *trace {
	if !head.Traced {
		return nil
	}
	i := head.Find(headBytes, tracecontext.ParentName, 0)
	if i < 0 || head.Find(headBytes, tracecontext.ParentName, i+1) >= 0 {
		return nil
	}
	parent, ok := tracecontext.ParseParent(head.Fields[i].Value(headBytes))
	if !ok {
		return nil
	}
	t := l.takeTrace()
	t.id, t.flags, t.seen = parent.Trace, parent.Flags, parent.Span
	for i := head.Find(headBytes, tracecontext.StateName, 0); i >= 0; i = head.Find(headBytes, tracecontext.StateName, i+1) {
		t.state.Add(head.Fields[i].Value(headBytes))
	}
	t.isRecorded = l.options.Tracing != nil && t.flags&tracecontext.FlagSampled != 0
	return t
}

// traceRequest sees to which trace a request of a client belongs. isAsked: its app is asked, not only w's files.
func (l *Loop) traceRequest(e *exchange, c *connection, w *appWorker, head *http1.Head, headBytes []byte, isAsked bool) {
	t := l.readTrace(head, headBytes)
	if t == nil && l.options.Tracing != nil {
		t = l.beginTrace()
	}
	e.trace = t
	if t == nil || !t.isRecorded {
		return
	}
	l.beginSpan(t, SpanServer, w)
	s := &t.span
	s.Request, s.Parent, s.Secure = e.request, t.seen, c.secure
	t.describe(head, headBytes)
	client := l.remoteAddress(c)
	if c.isLocal {
		if i := head.Find(headBytes, "x-real-ip", 0); i >= 0 {
			client = head.Fields[i].Value(headBytes)
		}
	}
	s.Client = t.keep(client)
	if w != nil && isAsked {
		t.asks(w)
	}
}

// traceCall does that for a request that comes from elsewhere than a connection, before w is asked.
func (l *Loop) traceCall(e *exchange, w *appWorker, from caller, headBytes []byte) {
	var t *trace
	kind := SpanService
	switch from := from.(type) {
	case *probe:
		return
	case *firing:
		kind = SpanScheduled
		if t = l.beginTrace(); t != nil {
			t.span.Cron = t.keep(from.text)
		}
	default:
		if t = l.readTrace(l.head, headBytes); t == nil && l.options.Tracing != nil {
			t = l.beginTrace()
		}
	}
	e.trace = t
	if t == nil || !t.isRecorded {
		return
	}
	l.beginSpan(t, kind, w)
	t.span.Request = e.request
	if kind == SpanService {
		chain := from.chain()
		t.span.Parent = t.seen
		if chain.isTraced { // what the caller was told is the id of this very call
			t.span.ID, t.span.Parent = t.seen, chain.span
		}
		t.span.Caller = chain.apps[chain.depth-1].Name
		t.describe(l.head, headBytes)
	}
	t.asks(w)
}

// beginSpan begins the span of a trace that is recorded. w may be nil.
func (l *Loop) beginSpan(t *trace, kind SpanKind, w *appWorker) {
	s := &t.span
	s.Trace, s.ID, s.Flags, s.Kind = t.id, l.newSpanID(), t.flags, kind
	t.begun = l.readClock()
	s.Begin = l.wallClock + t.begun - l.now
	s.State = t.state.Text()
	if w != nil {
		s.App, s.Version, s.Route = w.name, w.version, w.shared.Path
	}
}

// asks notes what an app is like that is asked now.
func (t *trace) asks(w *appWorker) {
	t.span.Start = StartCold
	if w.isolate != nil {
		t.span.Start = StartWarm
		t.cpu = w.isolate.CPU()
	}
}

// noteAnswer notes that the head of an answer of w is decided.
func (t *trace) noteAnswer(w *appWorker) {
	if !t.isRecorded {
		return
	}
	t.span.Version = w.version // known by now, if the request has started the app
	if t.span.Start != StartNone && w.isolate != nil {
		t.span.CPU = max(w.isolate.CPU()-t.cpu, 0)
	}
}

// describe keeps what a head says.
func (t *trace) describe(head *http1.Head, headBytes []byte) {
	s := &t.span
	s.Method = t.keep(headBytes[head.MethodOffset:][:head.MethodLength])
	s.Host = t.keep(headBytes[head.HostOffset:][:head.HostLength])
	s.Path = t.keep(withoutQuery(headBytes[head.TargetOffset:][:head.TargetLength]))
	if i := head.Find(headBytes, "user-agent", 0); i >= 0 {
		s.Agent = t.keep(head.Fields[i].Value(headBytes))
	}
}

// withoutQuery is a target or a URL without its query, in which there may be secrets.
func withoutQuery(target []byte) []byte {
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		return target[:i]
	}
	return target
}

// keep copies a text of the span, as much as is kept of one.
func (t *trace) keep(text []byte) []byte {
	start := len(t.arena)
	t.arena = append(t.arena, text[:min(len(text), spanTextMax)]...)
	return t.arena[start:len(t.arena):len(t.arena)]
}

// endSpan hands the span over, once.
func (l *Loop) endSpan(t *trace, status int) {
	if !t.isRecorded || t.isEnded {
		return
	}
	t.isEnded = true
	t.span.Status = status
	t.span.End = t.span.Begin + max(l.readClock()-t.begun, 0)
	l.options.Tracing.add(l.spans, &t.span)
}

// fails notes why a span ends as it does; t may be nil. The first reason stays.
func (t *trace) fails(why string) {
	if t != nil && t.span.Error == "" {
		t.span.Error = why
	}
}

// What goes wrong with spans, beside values of nano-error and those of spanFaults.
const (
	spanClientGone = "client-gone" // before there was an answer
	spanBroken     = "broken"      // the answer, in the middle
)

// spanFaults are the faults of sub-requests.
var spanFaults = [...]string{
	isolates.FaultNetwork: "network", isolates.FaultAborted: "aborted", isolates.FaultTimeout: "timeout",
	isolates.FaultLimit: "limit", isolates.FaultEgress: "egress", isolates.FaultRefused: "refused",
}

// isTraced reports whether what is opened under e is to be looked at by traceLines; e may be nil.
func (l *Loop) isTraced(e *exchange) bool {
	return e != nil && (e.trace != nil || l.options.Tracing != nil)
}

// traceLines adds to the header lines of a sub-request of e, which begin at lines in text, what continues its
// trace: a traceparent with that id as the parent of what the origin does, and the tracestate. An exchange
// without a trace, which was not chosen, gets one now, so that the origin does not choose anew. What the app has set
// stays (ours: false), unless it is what came with the request that is passed on.
func (l *Loop) traceLines(e *exchange, text []byte, lines int, id tracecontext.SpanID) (out []byte, ours bool) {
	if e.trace == nil {
		e.trace = l.newTrace(l.traceRandom.Uint64())
	}
	t := e.trace
	var parent, state int
	for line := range bytes.Lines(text[lines:]) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case isAnyOf(name, tracecontext.StateName):
			state++
		case !isAnyOf(name, tracecontext.ParentName):
		case !t.isSeen(bytes.TrimSpace(value)):
			return text, false
		default:
			parent++
		}
	}
	if parent != 0 {
		text = withoutTrace(text, lines)
		state = 0
	}
	p := tracecontext.Parent{Trace: t.id, Span: id, Flags: t.flags}
	text = append(append(p.Append(append(text, tracecontext.ParentName+": "...)), '\r'), '\n')
	if members := t.state.Text(); len(members) != 0 && state == 0 {
		text = append(append(append(text, tracecontext.StateName+": "...), members...), "\r\n"...)
	}
	return text, true
}

// traceRoom is how many bytes traceLines adds.
const traceRoom = len(tracecontext.ParentName+tracecontext.StateName) + tracecontext.ParentLength + tracecontext.StateLengthMax + 8

// isSeen reports whether a traceparent is the one that came with the request.
func (t *trace) isSeen(value []byte) bool {
	p, ok := tracecontext.ParseParent(value)
	return ok && p.Trace == t.id && p.Span == t.seen
}

// withoutTrace takes the lines of a trace out of text, whose lines begin at start.
func withoutTrace(text []byte, start int) []byte {
	kept := text[:start]
	for line := range bytes.Lines(text[start:]) {
		if name, _, _ := bytes.Cut(line, []byte{':'}); !isAnyOf(name, tracecontext.ParentName, tracecontext.StateName) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// traceFetch continues the trace of e in a fetch whose lines begin at that place of its text.
func (l *Loop) traceFetch(f *fetch, e *exchange, lines int) {
	id := l.newSpanID()
	f.text, _ = l.traceLines(e, f.text, lines, id)
	if t := e.trace; t.isRecorded {
		child := l.takeTrace()
		child.id, child.flags, child.isRecorded = t.id, t.flags, true
		l.beginSpan(child, SpanClient, f.worker)
		s := &child.span
		s.ID, s.Parent, s.Request = id, t.span.ID, t.span.Request
		s.State = child.keep(t.state.Text())
		f.trace = child
	}
}

// endTrace ends the span of a fetch that is over.
func (f *fetch) endTrace() {
	t, s := f.trace, &f.trace.span
	f.trace = nil
	s.Secure, s.Resends = f.to.secure, int(f.redirects)+int(f.refusals)
	if f.isRetry {
		s.Resends++
	}
	s.Method, s.Host, s.Path = t.keep(f.method), t.keep(f.to.authority), t.keep(withoutQuery(f.to.target))
	if s.Status == 0 {
		t.fails(spanFaults[isolates.FaultAborted])
	}
	f.loop.endSpan(t, s.Status)
	f.loop.giveTrace(t)
}

// traceService continues the trace of e in the header lines of a service call, which it returns. They are valid until
// the next call.
func (l *Loop) traceService(s *serviceCall, e *exchange, lines []byte) []byte {
	id := l.newSpanID()
	l.traceScratch, s.callers.isTraced = l.traceLines(e, append(l.traceScratch[:0], lines...), 0, id)
	s.callers.span = e.trace.span.ID
	return l.traceScratch
}
