package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/config"
)

// slowWriter blocks every Write until it is let go.
type slowWriter struct {
	entered chan struct{} // a Write has begun
	release chan struct{} // closed: writes go through

	mutex   sync.Mutex
	written bytes.Buffer
}

func newSlowWriter() *slowWriter {
	return &slowWriter{entered: make(chan struct{}, 100), release: make(chan struct{})}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.entered <- struct{}{}
	<-w.release
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.written.Write(p)
}

func (w *slowWriter) text() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.written.String()
}

func TestLogNeverWaitsAndCountsWhatItLoses(t *testing.T) {
	slow := newSlowWriter()
	w := newAsyncWriter(slow, func(lines int) []byte { return fmt.Appendf(nil, "lost %d\n", lines) })
	fmt.Fprint(w, "first\n")
	<-slow.entered // the writer holds the first line now, and the queue is empty
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for range queuedBytesMax / len(line) {
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	for range 3 {
		if n, err := w.Write([]byte("too much\nby two lines\n")); n != 22 || err != nil {
			t.Fatalf("Write to a full queue: %d, %v", n, err)
		}
	}
	close(slow.release)
	w.close(patience)
	want := "first\n" + strings.Repeat(string(line), queuedBytesMax/len(line)) + "lost 6\n"
	if got := slow.text(); got != want {
		t.Errorf("written: %d bytes that end in %q, want %d", len(got), got[max(0, len(got)-40):], len(want))
	}
}

func TestLogEndsThoughNobodyReads(t *testing.T) {
	slow := newSlowWriter()
	w := newAsyncWriter(slow, func(int) []byte { return nil })
	fmt.Fprint(w, "a line\n")
	<-slow.entered
	w.close(time.Millisecond)
	if slow.text() != "" {
		t.Error("the writer was not blocked")
	}
	close(slow.release)
	<-w.done
}

func TestLogForms(t *testing.T) {
	var out bytes.Buffer
	logger, writer := newLogger(config.LogText, &out)
	logger.Warn("two\nlines\x1b[31m\u009b\tred", "app", "hello", "key", "a \"value\"")
	logger.With("a", 1).WithGroup("g").Info("message", "b", time.Second, "app", "in a group")
	writer.close(patience)
	lines := strings.SplitAfter(out.String(), "\n")
	if len(lines) != 4 {
		t.Fatalf("%q", lines)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", lines[0][:24]); err != nil {
		t.Error(err)
	}
	if want := " WARN hello: two\n"; lines[0][24:] != want {
		t.Errorf("%q, want %q", lines[0], want)
	}
	if want := "    lines\\x1b[31m\\x9b\tred key=\"a \\\"value\\\"\"\n"; lines[1] != want {
		t.Errorf("%q, want %q", lines[1], want)
	}
	if want := ` INFO message a="1" g.b="1s" g.app="in a group"` + "\n"; lines[2][24:] != want {
		t.Errorf("%q, want %q", lines[2], want)
	}

	out.Reset()
	logger, writer = newLogger(config.LogJSON, &out)
	logger.Error("text", "app", "hello")
	writer.close(patience)
	if got := out.String(); !strings.Contains(got, `"level":"ERROR","msg":"text","app":"hello"}`) {
		t.Errorf("%q", got)
	}
}

func TestTextHandlerTakesEveryLevel(t *testing.T) {
	var out bytes.Buffer
	slog.New(newTextHandler(&out)).Debug("fine detail")
	if !strings.HasSuffix(out.String(), "Z DEBUG fine detail\n") {
		t.Errorf("%q", out.String())
	}
}
