package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"nano/logs"
)

// Attributes of records that the terminal shows in a way of their own.
const (
	keyFailure = "failure"   // a *failure
	keyRequest = "developed" // a *requestLine
	keyBuilt   = "built"     // a rebuild went well
)

// Terminal is a slog.Handler that writes what happens on a node that somebody develops on, a line each:
//
//	21:50:01 GET /books?page=2 200 1.2 ms 512 B
//	21:50:01 two books found  src/index.ts:12:5
//	21:50:07 rebuilt in 12 ms: src/index.ts
//
// Errors have the lines of the source around their place under them.
type Terminal struct {
	To        io.Writer
	Color     bool
	Developer *Developer
}

// Escape sequences of terminals (ECMA-48 8.3.117).
const (
	styleReset  = "\x1b[0m"
	styleBold   = "\x1b[1m"
	styleFaint  = "\x1b[2m"
	styleRed    = "\x1b[31m"
	styleGreen  = "\x1b[32m"
	styleYellow = "\x1b[33m"
	styleCyan   = "\x1b[36m"
)

// Enabled implements slog.Handler: apps choose what they log.
func (t *Terminal) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler. No logger of a node has attributes of its own.
func (t *Terminal) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup implements slog.Handler, like WithAttrs.
func (t *Terminal) WithGroup(string) slog.Handler { return t }

// Handle writes a record.
func (t *Terminal) Handle(_ context.Context, r slog.Record) error {
	var app, source string
	var special any
	r.Attrs(func(attribute slog.Attr) bool {
		switch attribute.Key {
		case "app":
			app = attribute.Value.String()
		case "source":
			source = attribute.Value.String()
		case keyFailure, keyRequest, keyBuilt:
			special = attribute.Value.Any()
		}
		return true
	})
	line := t.style(nil, styleFaint, r.Time.Local().Format("15:04:05"))
	line = append(line, ' ')
	switch what := special.(type) {
	case *requestLine:
		line = t.request(line, what)
	case *failure:
		line = t.failure(line, what)
	case bool:
		line = t.style(line, styleGreen, r.Message)
		line = append(line, '\n')
	default:
		line = t.message(line, &r, app, source)
	}
	_, err := t.To.Write(line)
	return err
}

func (t *Terminal) style(line []byte, style, text string) []byte {
	if !t.Color || style == "" {
		return logs.AppendSafe(line, text)
	}
	line = append(line, style...)
	line = logs.AppendSafe(line, text)
	return append(line, styleReset...)
}

// message is a line of an app, or of the node.
func (t *Terminal) message(line []byte, r *slog.Record, app, source string) []byte {
	switch {
	case r.Level >= slog.LevelError:
		line = append(t.style(line, styleRed, "ERROR"), ' ')
	case r.Level >= slog.LevelWarn:
		line = append(t.style(line, styleYellow, "WARN"), ' ')
	case r.Level < slog.LevelInfo:
		line = append(t.style(line, styleFaint, "DEBUG"), ' ')
	}
	if app != "" && t.Developer.hasSeveral() {
		line = append(t.style(line, styleBold, app+":"), ' ')
	}
	line = t.style(line, "", strings.TrimRight(r.Message, "\n"))
	if source != "" {
		line = append(line, "  "...)
		line = t.style(line, styleFaint, source)
	}
	line = append(line, '\n')
	if app != "" && r.Level >= slog.LevelError {
		if f := t.Developer.failureOf(app, r.Message, source); len(f.Places) > 0 {
			line = t.place(line, &f.Places[0])
		}
	}
	return line
}

// failure is a failure to build or to start, with its places.
func (t *Terminal) failure(line []byte, f *failure) []byte {
	line = append(t.style(line, styleRed, "ERROR"), ' ')
	if f.App != "" {
		line = append(t.style(line, styleBold, f.App), ' ')
	}
	line = t.style(line, "", f.Kind+": "+f.Message)
	line = append(line, '\n')
	for i := range f.Stack {
		line = append(line, "    "...)
		line = append(t.style(line, styleFaint, f.Stack[i].Text), '\n')
	}
	for i := range f.Places {
		p := &f.Places[i]
		line = append(line, "    "...)
		line = t.style(line, styleCyan, p.At())
		if p.Text != "" && p.Text != f.Message {
			line = append(line, ": "...)
			line = t.style(line, "", p.Text)
		}
		line = append(line, '\n')
		line = t.place(line, p)
	}
	if f.Note != "" {
		line = append(line, "    "...)
		line = append(t.style(line, styleFaint, f.Note), '\n')
	}
	return line
}

// place is the lines around a place, with a marker.
func (t *Terminal) place(line []byte, p *place) []byte {
	for _, each := range p.Lines {
		style, mark := styleFaint, " "
		if each.IsMarked {
			style, mark = "", ">"
		}
		line = append(line, "    "...)
		line = t.style(line, style, fmt.Sprintf("%s %4d | %s", mark, each.Number, each.Text))
		line = append(line, '\n')
		if each.HasPointer {
			line = append(line, "           | "...)
			line = append(line, each.Pointer...)
			line = append(t.style(line, styleRed, "^"), '\n')
		}
	}
	return line
}

// request is a request that was answered.
func (t *Terminal) request(line []byte, r *requestLine) []byte {
	if r.App != "-" && t.Developer.hasSeveral() {
		line = append(t.style(line, styleBold, r.App+":"), ' ')
	}
	line = append(t.style(line, "", r.Method+" "+r.Target), ' ')
	style := styleGreen
	switch {
	case r.Status >= 500:
		style = styleRed
	case r.Status >= 400:
		style = styleYellow
	case r.Status >= 300:
		style = styleCyan
	}
	line = append(t.style(line, style, strconv.Itoa(r.Status)), ' ')
	line = t.style(line, styleFaint, shortTime(time.Duration(r.Seconds*float64(time.Second)))+" "+shortSize(r.Bytes))
	return append(line, '\n')
}

// shortSize is a number of bytes: "512 B", "1.5 KiB", "12 MiB".
func shortSize(bytes int64) string {
	size, unit := float64(bytes), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 || size >= 10 {
		return fmt.Sprintf("%.0f %s", size, units[unit])
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

// hasSeveral tells whether there is more than one app, so that lines name theirs.
func (d *Developer) hasSeveral() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.config != nil && len(d.config.Apps) > 1
}

// failureOf makes a failure of what an app has logged of one.
func (d *Developer) failureOf(app, text, source string) *failure {
	d.mutex.Lock()
	files := d.filesOf(app)
	d.mutex.Unlock()
	return fromError(files, text, source)
}

// requestLine is a line of the loops' access log. The names are those of its JSON form.
type requestLine struct {
	App     string  `json:"app"`
	Method  string  `json:"method"`
	Target  string  `json:"target"`
	Status  int     `json:"status"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// Requests takes the loops' access log in its JSON form, and logs each request.
type Requests struct{ Logger *slog.Logger }

// Append takes whole lines.
func (w Requests) Append(lines []byte, _ int) (next []byte, dropped int) {
	for line := range bytes.Lines(lines) {
		r := &requestLine{}
		if json.Unmarshal(line, r) != nil || strings.HasPrefix(r.Target, EventsPath) {
			continue
		}
		if r.Method == "" {
			r.Method, r.Target = "malformed", "request"
		}
		w.Logger.Info("request", keyRequest, r)
	}
	return lines, 0
}
