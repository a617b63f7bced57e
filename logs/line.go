package logs

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Line is a line of the log. As JSON it has the same fields as in the log of FormJSON.
type Line struct {
	Time    time.Time
	Level   slog.Level
	App     string   // "": of the node
	Version string   // of the app, or ""
	Request uint64   // id of the client's request that it belongs to; 0: none
	Trace   [16]byte // id of the trace (W3C Trace Context) that the request belongs to; zero: none
	Source  string   // where in the app's source, "src/index.ts:12:5"; "": unknown
	Text    string   // UTF-8, perhaps of several lines, with whatever characters the app has put there
	// Dropped is how many lines are missing here, because they were not taken as fast as they came.
	// Of such a Line nothing else is set.
	Dropped int
}

// Attributes of a record that are parts of a Line.
const (
	keyApp     = "app"
	keyVersion = "version"
	keyRequest = "request"
	keyTrace   = "trace_id"
	keySource  = "source"
)

// RequestID is the id of a request as logs show it, 16 hexadecimal digits; "" of 0.
func RequestID(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", id)
}

// traceID is the id of a trace as logs show it, 32 hexadecimal digits; "" of zero.
func traceID(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// record is the line as handlers take it.
func (l *Line) record() slog.Record {
	r := slog.NewRecord(l.Time, l.Level, l.Text, 0)
	for _, attribute := range [...]struct{ key, value string }{
		{keyApp, l.App}, {keyVersion, l.Version}, {keyRequest, RequestID(l.Request)}, {keyTrace, traceID(l.Trace)}, {keySource, l.Source},
	} {
		if attribute.value != "" {
			r.AddAttrs(slog.String(attribute.key, attribute.value))
		}
	}
	return r
}

// lineOf is a record of the node as a Line. Attributes that this has no field for go to its text.
func lineOf(r *slog.Record) *Line {
	line := &Line{Time: r.Time, Level: r.Level, Text: r.Message}
	var rest []byte
	r.Attrs(func(attribute slog.Attr) bool {
		switch attribute.Key {
		case keyApp:
			line.App = attribute.Value.String()
		case keyVersion:
			line.Version = attribute.Value.String()
		case keySource:
			line.Source = attribute.Value.String()
		default:
			rest = appendAttribute(rest, "", attribute)
		}
		return true
	})
	line.Text += string(rest)
	return line
}

// jsonLine is a Line as JSON.
type jsonLine struct {
	Time    *time.Time  `json:"time,omitempty"`
	Level   *slog.Level `json:"level,omitempty"`
	Text    string      `json:"msg,omitempty"`
	App     string      `json:"app,omitempty"`
	Version string      `json:"version,omitempty"`
	Request string      `json:"request,omitempty"`
	Trace   string      `json:"trace_id,omitempty"`
	Source  string      `json:"source,omitempty"`
	Dropped int         `json:"dropped,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (l Line) MarshalJSON() ([]byte, error) {
	if l.Dropped != 0 {
		return json.Marshal(jsonLine{Dropped: l.Dropped})
	}
	return json.Marshal(jsonLine{&l.Time, &l.Level, l.Text, l.App, l.Version, RequestID(l.Request), traceID(l.Trace), l.Source, 0})
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Line) UnmarshalJSON(data []byte) error {
	var read jsonLine
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*l = Line{App: read.App, Version: read.Version, Source: read.Source, Text: read.Text, Dropped: read.Dropped}
	if read.Time != nil {
		l.Time = *read.Time
	}
	if read.Level != nil {
		l.Level = *read.Level
	}
	if read.Request != "" {
		id, err := strconv.ParseUint(read.Request, 16, 64)
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		l.Request = id
	}
	if read.Trace != "" {
		id, err := hex.DecodeString(read.Trace)
		if err != nil || len(id) != len(l.Trace) {
			return fmt.Errorf("trace_id: %q is not 32 hexadecimal digits", read.Trace)
		}
		copy(l.Trace[:], id)
	}
	return nil
}

// AppendText appends the line and "\n" as the log has it in FormText.
func (l *Line) AppendText(to []byte, isTerminal, color bool) []byte {
	if l.Dropped != 0 {
		return fmt.Appendf(to, "… %s missing: they were not read as fast as they came\n", countLines(int64(l.Dropped)))
	}
	buffer := lineBuffer{to}
	_ = newTextHandler(&buffer, isTerminal, color).Handle(context.Background(), l.record())
	return buffer.bytes
}

// splitSource takes a place in a source apart: "src/index.ts:12:5" is line 12 of src/index.ts. line is
// "" if the place has none.
func splitSource(source string) (file, line string) {
	rest, _, ok := cutLast(source)
	if !ok {
		return source, ""
	}
	file, line, ok = cutLast(rest)
	if !ok {
		return source, ""
	}
	return file, line
}

// cutLast cuts a text before the number after its last colon.
func cutLast(text string) (before, number string, ok bool) {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return text, "", false
	}
	if _, err := strconv.ParseUint(text[at+1:], 10, 31); err != nil {
		return text, "", false
	}
	return text[:at], text[at+1:], true
}
