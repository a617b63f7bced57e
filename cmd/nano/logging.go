package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"nano/config"
)

// queuedBytesMax bounds what waits to be written to the log. A reader of the log that has stopped
// reading costs lines then, never requests.
const queuedBytesMax = 4 << 20

// queuedBytesKept is the room that a buffer keeps after a burst.
const queuedBytesKept = 64 << 10

// asyncWriter hands lines to a slow writer without ever making its callers wait: what does not fit
// in its queue is dropped, counted, and told once there is room again.
type asyncWriter struct {
	to      io.Writer
	dropped func(lines int) []byte // the line that tells of lost ones

	mutex   sync.Mutex
	filled  sync.Cond
	queue   []byte // whole lines
	lost    int
	closing bool
	done    chan struct{} // closed when all is written after close
}

func newAsyncWriter(to io.Writer, dropped func(lines int) []byte) *asyncWriter {
	w := &asyncWriter{to: to, dropped: dropped, done: make(chan struct{})}
	w.filled.L = &w.mutex
	go w.drain()
	return w
}

// Write queues whole lines, and never fails. It keeps nothing of them.
func (w *asyncWriter) Write(line []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.closing || len(w.queue)+len(line) > queuedBytesMax {
		w.lost += bytes.Count(line, []byte{'\n'})
		return len(line), nil
	}
	w.queue = append(w.queue, line...)
	w.filled.Signal()
	return len(line), nil
}

// drain writes what is queued, all that there is at a time. Two buffers take turns.
func (w *asyncWriter) drain() {
	defer close(w.done)
	var writing []byte
	for {
		w.mutex.Lock()
		for len(w.queue) == 0 && w.lost == 0 && !w.closing {
			w.filled.Wait()
		}
		if len(w.queue) == 0 && w.lost == 0 {
			w.mutex.Unlock()
			return
		}
		writing, w.queue = w.queue, writing[:0]
		lost := w.lost
		w.lost = 0
		w.mutex.Unlock()
		if lost > 0 {
			writing = append(writing, w.dropped(lost)...)
		}
		w.to.Write(writing) // there is nowhere left to report that this failed
		if cap(writing) > queuedBytesKept {
			writing = nil
		}
	}
}

// close writes what is queued and then stops, or gives up after limit: whoever reads the log may
// have stopped for good, and the node must still end.
func (w *asyncWriter) close(limit time.Duration) {
	w.mutex.Lock()
	w.closing = true
	w.filled.Signal()
	w.mutex.Unlock()
	select {
	case <-w.done:
	case <-time.After(limit):
	}
}

// logCloseLimit is how long the end of the process waits for the reader of its log.
const logCloseLimit = 2 * time.Second

// newHandler makes the slog handler for [server] log.
func newHandler(form string, to io.Writer) slog.Handler {
	if form == config.LogJSON {
		return slog.NewJSONHandler(to, nil)
	}
	return newTextHandler(to)
}

// newLogger makes the node's log, and the writer under it, which is to be closed at the end.
func newLogger(form string, to io.Writer) (*slog.Logger, *asyncWriter) {
	writer := newAsyncWriter(to, func(lines int) []byte {
		var line bytes.Buffer
		slog.New(newHandler(form, &line)).Warn(fmt.Sprintf("%d lines of this log are lost: it is read too slowly", lines))
		return line.Bytes()
	})
	return slog.New(newHandler(form, writer)), writer
}

// textHandler is a slog.Handler for people:
//
//	2026-11-21T09:12:08.123Z WARN hello: what the app said key=value
//
// The attribute "app" stands before the message. Further lines of a message are indented, so that
// no app can forge a line of another.
type textHandler struct {
	to     io.Writer
	before []byte // attributes of the logger, formatted
	groups string // of the logger, each with a dot
}

func newTextHandler(to io.Writer) *textHandler { return &textHandler{to: to} }

// Enabled lets everything through: apps choose what they log.
func (h *textHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes one record in one Write.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	line := make([]byte, 0, 256)
	line = r.Time.UTC().AppendFormat(line, "2006-01-02T15:04:05.000Z ")
	line = append(line, r.Level.String()...)
	line = append(line, ' ')
	var attributes []byte
	r.Attrs(func(attribute slog.Attr) bool {
		if attribute.Key == "app" && h.groups == "" {
			line = append(line, attribute.Value.String()...)
			line = append(line, ": "...)
			return true
		}
		attributes = h.appendAttribute(attributes, attribute)
		return true
	})
	line = appendIndented(line, r.Message)
	line = append(line, h.before...)
	line = append(line, attributes...)
	line = append(line, '\n')
	_, err := h.to.Write(line)
	return err
}

func (h *textHandler) appendAttribute(line []byte, attribute slog.Attr) []byte {
	line = append(line, ' ')
	line = append(line, h.groups...)
	line = append(line, attribute.Key...)
	line = append(line, '=')
	return strconv.AppendQuote(line, attribute.Value.Resolve().String())
}

// appendIndented appends text, its control characters escaped but for tabs and line ends, after
// which it is indented.
func appendIndented(line []byte, text string) []byte {
	for _, r := range strings.TrimRight(text, "\n") {
		switch {
		case r == '\n':
			line = append(line, "\n    "...)
		case r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f):
			line = utf8.AppendRune(line, r)
		default:
			line = fmt.Appendf(line, "\\x%02x", r)
		}
	}
	return line
}

// WithAttrs gives a handler that writes attributes after each message.
func (h *textHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	with := *h
	with.before = slices.Clip(h.before)
	for _, attribute := range attributes {
		with.before = with.appendAttribute(with.before, attribute)
	}
	return &with
}

// WithGroup gives a handler that puts a name before those of its attributes.
func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups += name + "."
	return &with
}
