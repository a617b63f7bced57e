package loop

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"nano/http1"
)

// An AccessLog is where lines of the access log go. Loops call it on their threads, so it must not wait for anybody.
type AccessLog interface {
	// Append takes count whole lines. Their memory is its own from then on; next is the caller's, for its next lines, and
	// may be nil. dropped is how many of the lines it had no room for.
	Append(lines []byte, count int) (next []byte, dropped int)
}

// An accessLog collects lines of one loop. They are handed over many at a time, since whoever writes them has to be
// woken up for that, which costs more than all else of a line. A line that comes after a pause goes at once, so that
// who looks at the log of a quiet node sees what happens.
//
// A line of text:
//
//	2026-11-21T09:12:08.123Z 192.0.2.1:1234 example.com "GET /path HTTP/1.1" 200 11 0.000123 hello 7f3a09c2e5d1b846
//
// with time of arrival, client, host, request line, status, bytes of the body, seconds until the
// answer was complete, app ("-" if there is none), and the id that lines of the app about the request
// have; the id of its trace follows if it belongs to one. A client that left before its answer has status 499.
// The JSON form has the same under the names time, client, host, method, target, protocol, status, bytes,
// seconds, app, request, trace_id.
type accessLog struct {
	to     AccessLog
	json   bool
	pause  int64  // nanoseconds between two hand-overs, unless there is much
	due    int64  // on the loop's clock: when the next line may go
	buffer []byte // whole lines
	lines  int    // in buffer

	second     int64 // whose text secondText is
	secondText []byte
}

const (
	accessLogPause    = 20 * time.Millisecond
	accessLogHandOver = 64 << 10 // bytes that are handed over without a pause
	accessLogLineRoom = 4 << 10  // beyond that, for the line that makes it so much
	clientGone        = 499
)

func newAccessLog(options *Options) *accessLog {
	log := &accessLog{to: options.AccessLog, json: options.AccessLogJSON, pause: int64(accessLogPause)}
	if options.Developer != nil {
		log.pause = 0 // the lines are read between those of the apps
	}
	return log
}

// handOverDue hands over what has been collected, if it is time for that.
func (l *Loop) handOverDue() {
	log := l.log
	if len(log.buffer) >= accessLogHandOver || len(log.buffer) != 0 && l.now >= log.due {
		l.handOverLines()
	}
}

// handOverLines hands over what has been collected.
func (l *Loop) handOverLines() {
	log := l.log
	if len(log.buffer) == 0 {
		return
	}
	next, dropped := log.to.Append(log.buffer, log.lines)
	l.stats.LogDropped += uint64(dropped)
	if next == nil {
		next = make([]byte, 0, accessLogHandOver+accessLogLineRoom)
	}
	log.buffer, log.lines = next[:0], 0
	log.due = l.now + log.pause
}

// limit shortens the time for which a loop sleeps (< 0: without end) if there are lines to hand over meanwhile. It goes
// by the tick's time: that they may be late by as much as the tick has taken is not worth a look at the clock.
func (log *accessLog) limit(timeout time.Duration, now int64) time.Duration {
	if len(log.buffer) == 0 {
		return timeout
	}
	left := time.Duration(max(log.due-now, 0))
	if timeout < 0 {
		return left
	}
	return min(timeout, left)
}

// noteRequest keeps what the line about a request needs of its head, which is gone when the answer
// comes.
func (l *Loop) noteRequest(e *exchange, c *connection, app *appWorker, head *http1.Head, headBytes []byte) {
	name := "-"
	if app != nil {
		name = app.name
	}
	method := headBytes[head.MethodOffset:][:head.MethodLength]
	host := headBytes[head.HostOffset:][:head.HostLength]
	target := headBytes[head.TargetOffset:][:head.TargetLength]
	line := e.line[:0]
	if l.log.json {
		line = append(line, `{"time":"`...)
		line = l.log.appendTime(line, l.wallClock)
		line = append(line, `","client":`...)
		line = appendQuoted(line, l.remoteAddress(c))
		line = append(line, `,"host":`...)
		line = appendQuoted(line, host)
		line = append(line, `,"method":`...)
		line = appendQuoted(line, method)
		line = append(line, `,"target":`...)
		line = appendQuoted(line, target)
		line = append(line, `,"protocol":"HTTP/1.`...)
		line = append(line, '0'+head.Minor)
		line = append(line, `","app":"`...)
		line = append(line, name...)
		e.line = append(line, '"')
		return
	}
	line = l.log.appendTime(line, l.wallClock)
	line = append(line, ' ')
	line = appendOrDash(line, l.remoteAddress(c))
	line = append(line, ' ')
	line = appendOrDash(line, host)
	line = append(line, ' ', '"')
	line = append(line, method...)
	line = append(line, ' ')
	line = appendEscaped(line, target)
	line = append(line, " HTTP/1."...)
	line = append(line, '0'+head.Minor, '"', ' ')
	e.line = append(line, name...)
}

// logAnswer appends the line about an exchange that has ended.
func (l *Loop) logAnswer(e *exchange) {
	log := l.log
	log.lines++
	took := l.lastLook - e.started // after the turn that the answer comes from
	if took <= 0 {
		took = l.readClock() - e.started // it comes from none
	}
	status := e.status
	if !e.complete {
		status = clientGone
	}
	line := log.buffer
	if log.json {
		if len(e.line) == 0 { // a request that could not be understood
			line = append(line, `{"time":"`...)
			line = log.appendTime(line, l.wallClock)
			line = append(line, '"')
		}
		line = append(line, e.line...)
		line = append(line, `,"status":`...)
		line = strconv.AppendInt(line, int64(status), 10)
		line = append(line, `,"bytes":`...)
		line = strconv.AppendInt(line, e.length, 10)
		line = append(line, `,"seconds":`...)
		line = appendSeconds(line, took)
		line = append(line, `,"request":"`...)
		line = appendRequestID(line, e.request)
		if e.trace != nil {
			line = hex.AppendEncode(append(line, `","trace_id":"`...), e.trace.id[:])
		}
		log.buffer = append(line, "\"}\n"...)
		return
	}
	known, app := e.line, []byte("-")
	if len(known) == 0 {
		line = log.appendTime(line, l.wallClock)
		line = append(line, " - - \"-\""...)
	} else {
		// The app's name comes last in the line; it has no blanks.
		for i := len(known) - 1; i >= 0; i-- {
			if known[i] == ' ' {
				known, app = known[:i], known[i+1:]
				break
			}
		}
		line = append(line, known...)
	}
	line = append(line, ' ')
	line = strconv.AppendInt(line, int64(status), 10)
	line = append(line, ' ')
	line = strconv.AppendInt(line, e.length, 10)
	line = append(line, ' ')
	line = appendSeconds(line, took)
	line = append(line, ' ')
	line = append(line, app...)
	line = append(line, ' ')
	line = appendRequestID(line, e.request)
	if e.trace != nil {
		line = hex.AppendEncode(append(line, ' '), e.trace.id[:])
	}
	log.buffer = append(line, '\n')
}

// appendTime appends a time, in nanoseconds since 1970, as RFC 3339 in UTC with milliseconds. What
// changes once a second is formatted once a second.
func (log *accessLog) appendTime(line []byte, nanoseconds int64) []byte {
	second, milliseconds := nanoseconds/1e9, nanoseconds%1e9/1e6
	if second != log.second || len(log.secondText) == 0 {
		log.second = second
		log.secondText = time.Unix(second, 0).UTC().AppendFormat(log.secondText[:0], "2006-01-02T15:04:05.")
	}
	line = append(line, log.secondText...)
	return append(line, byte('0'+milliseconds/100), byte('0'+milliseconds/10%10), byte('0'+milliseconds%10), 'Z')
}

// appendSeconds appends a length of time in seconds, with six decimals.
func appendSeconds(line []byte, nanoseconds int64) []byte {
	microseconds := uint64(max(nanoseconds, 0)) / 1e3
	line = strconv.AppendUint(line, microseconds/1e6, 10)
	rest := uint32(microseconds % 1e6)
	return append(line, '.', '0'+byte(rest/1e5), '0'+byte(rest/1e4%10), '0'+byte(rest/1e3%10), '0'+byte(rest/100%10),
		'0'+byte(rest/10%10), '0'+byte(rest%10))
}

func appendOrDash(line, text []byte) []byte {
	if len(text) == 0 {
		return append(line, '-')
	}
	return appendEscaped(line, text)
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends text with quotes, backslashes and what is not printable ASCII as \xNN, so
// that no client can forge a line.
func appendEscaped(line, text []byte) []byte {
	plain := 0 // where what is not appended yet begins
	for i, b := range text {
		if b > ' ' && b < 0x7f && b != '"' && b != '\\' {
			continue
		}
		line = append(line, text[plain:i]...)
		line = append(line, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
		plain = i + 1
	}
	return append(line, text[plain:]...)
}

// appendQuoted appends text as a JSON string. Bytes that are not UTF-8 are taken as Latin-1.
func appendQuoted(line, text []byte) []byte {
	line = append(line, '"')
	isChecked, isValid := false, false
	plain := 0 // where what is not appended yet begins
	for i, b := range text {
		if b >= ' ' && b < 0x7f && b != '"' && b != '\\' {
			continue
		}
		if b >= 0x80 {
			if !isChecked {
				isChecked, isValid = true, utf8.Valid(text)
			}
			if isValid {
				continue
			}
		}
		line = append(line, text[plain:i]...)
		plain = i + 1
		switch {
		case b >= 0x80:
			line = utf8.AppendRune(line, rune(b))
		case b == '"' || b == '\\':
			line = append(line, '\\', b)
		default:
			line = append(line, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(line, text[plain:]...), '"')
}
