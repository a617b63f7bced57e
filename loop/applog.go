package loop

import (
	"nano/isolates"
	"nano/tracecontext"
)

// A LogEntry is a line that an app logged, or one about an app.
type LogEntry struct {
	App     string
	Version string               // of the app, ""
	Request uint64               // id of the client's request that it belongs to; 0: none
	Trace   tracecontext.TraceID // that the request belongs to; zero: none
	Level   isolates.Level
	Text    []byte // UTF-8, of any length, perhaps of several lines
	Source  []byte // where in the app's source: "src/index.ts:12:5"; empty: unknown
	Rate    int    // App.LogRate
}

// logRecord logs what an app has logged.
func (l *Loop) logRecord(w *appWorker, record *isolates.Record) {
	l.entry.Source, l.entry.Request = record.Target, record.LogID
	if record.LogID != 0 { // which is of one request, while the other id may be another one's after the answer
		if e := l.exchanges.lookup(record.ID, w); e != nil && e.request == record.LogID && e.trace != nil {
			l.entry.Trace = e.trace.id
		}
	}
	l.logFor(w, nil, record.Level, record.Body)
	l.freeBlock(record.Block) // of a long text
}

// logAbout logs a line about an app.
func (l *Loop) logAbout(w *appWorker, level isolates.Level, text []byte) {
	l.logFor(w, nil, level, text)
}

// logFor logs a line about an app that belongs to an exchange, if that is not nil.
func (l *Loop) logFor(w *appWorker, e *exchange, level isolates.Level, text []byte) {
	entry := &l.entry
	entry.App, entry.Version, entry.Rate = w.name, w.version, w.logRate
	entry.Level, entry.Text = level, text
	if e != nil {
		entry.Request = e.request
		if e.trace != nil {
			entry.Trace = e.trace.id
		}
	}
	l.options.Logger.App(entry)
	*entry = LogEntry{}
}

// newRequestID numbers a request for the logs. A loop counts its requests, from a place of its own in
// a sequence that begins elsewhere each time a node starts; mixed (the finalizer of SplitMix64), so that
// nobody takes an id for a count, or knows the next one. No two of a node are alike.
func (l *Loop) newRequestID() uint64 {
	l.requests++
	id := l.options.requestSeed + uint64(l.seat)<<requestIDSeatShift + l.requests
	id = (id ^ id>>30) * 0xbf58476d1ce4e5b9
	id = (id ^ id>>27) * 0x94d049bb133111eb
	return id ^ id>>31
}

// requestIDSeatShift leaves each loop numbers for nine years of a million requests a second.
const requestIDSeatShift = 48

// appendRequestID appends the id of a request as the logs show it: 16 hexadecimal digits.
func appendRequestID(line []byte, id uint64) []byte {
	var digits [16]byte
	for i := range digits {
		digits[i] = hexDigits[id>>60]
		id <<= 4
	}
	return append(line, digits[:]...)
}
