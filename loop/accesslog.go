package loop

import (
	"encoding/hex"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"nano/http1"
)

// An accessLog collects lines of one loop and hands them to a goroutine that writes them. The loop
// never waits for it: when the writer is slow, lines are dropped and counted.
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
	json    bool
	buffer  []byte
	full    chan []byte
	empty   chan []byte
	written chan struct{} // closed by the writer at its end

	second     int64 // whose text secondText is
	secondText []byte
}

const (
	accessLogHandOver  = 32 << 10 // bytes after which a buffer is worth a hand-over
	accessLogBufferMax = 1 << 20  // bytes kept for a slow writer
	clientGone         = 499
)

func newAccessLog(writer io.Writer, json bool) *accessLog {
	log := &accessLog{
		json:    json,
		full:    make(chan []byte, 1),
		empty:   make(chan []byte, 2),
		written: make(chan struct{}),
	}
	go func() {
		defer close(log.written)
		for buffer := range log.full {
			// Where lines cannot be written there is nobody to tell either.
			_, _ = writer.Write(buffer)
			select {
			case log.empty <- buffer[:0]:
			default:
			}
		}
	}()
	return log
}

// handOver gives what has been collected to the writer, if that is idle.
func (log *accessLog) handOver() {
	if len(log.buffer) == 0 {
		return
	}
	select {
	case log.full <- log.buffer:
		log.buffer = nil
		select {
		case log.buffer = <-log.empty:
		default:
		}
	default:
	}
}

// close writes the rest and ends the writer.
func (log *accessLog) close() {
	if len(log.buffer) != 0 {
		log.full <- log.buffer
		log.buffer = nil
	}
	close(log.full)
	<-log.written
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
	if len(log.buffer)+len(e.line) > accessLogBufferMax {
		l.stats.LogDropped++
		return
	}
	took := l.readClock() - e.started
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
	microseconds := max(nanoseconds, 0) / 1e3
	line = strconv.AppendInt(line, microseconds/1e6, 10)
	line = append(line, '.')
	for unit := int64(1e5); unit > 0; unit /= 10 {
		line = append(line, byte('0'+microseconds/unit%10))
	}
	return line
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
	for _, b := range text {
		if b <= ' ' || b >= 0x7f || b == '"' || b == '\\' {
			line = append(line, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
		} else {
			line = append(line, b)
		}
	}
	return line
}

// appendQuoted appends text as a JSON string. Bytes that are not UTF-8 are taken as Latin-1.
func appendQuoted(line, text []byte) []byte {
	valid := utf8.Valid(text)
	line = append(line, '"')
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			line = append(line, '\\', b)
		case b < ' ' || b == 0x7f:
			line = append(line, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		case b >= 0x80 && !valid:
			line = utf8.AppendRune(line, rune(b))
		default:
			line = append(line, b)
		}
	}
	return append(line, '"')
}
