package logs

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

func TestJournalFields(t *testing.T) {
	var message string
	var priority journal.Priority
	var fields map[string]string
	buffer := &lineBuffer{}
	handler := newJournalHandler(func(m string, p journal.Priority, f map[string]string) error {
		message, priority, fields = m, p, f
		return nil
	}, newTextHandler(buffer, false, false))
	line := Line{Time: time.Now(), Level: slog.LevelError, App: "hello", Version: "v", Request: 0xbeef, Source: "src/a b.ts:12:5", Text: "two\nlines"}
	if err := handler.Handle(t.Context(), line.record()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"SYSLOG_IDENTIFIER": "nano", "NANO_APP": "hello", "NANO_VERSION": "v", "NANO_REQUEST": "000000000000beef",
		"NANO_SOURCE": "src/a b.ts:12:5", "CODE_FILE": "src/a b.ts", "CODE_LINE": "12"}
	if message != "two\nlines" || priority != journal.PriErr || !maps.Equal(fields, want) {
		t.Errorf("%q %d %v", message, priority, fields)
	}
	slog.New(handler).With("a", 1).Debug("text", "b", 2)
	if message != `text a="1" b="2"` || priority != journal.PriDebug || len(fields) != 1 {
		t.Errorf("%q %d %v", message, priority, fields)
	}
	if len(buffer.bytes) != 0 {
		t.Errorf("%q is written, too", buffer.bytes)
	}
}

// TestJournalThatIsGone: lines go to standard error until it is back.
func TestJournalThatIsGone(t *testing.T) {
	buffer := &lineBuffer{}
	handler := newJournalHandler(func(string, journal.Priority, map[string]string) error { return errors.New("gone") },
		newTextHandler(buffer, false, false))
	slog.New(handler).Info("text", "app", "hello")
	if got := string(buffer.take()); !strings.HasSuffix(got, "INFO hello: text\n") {
		t.Errorf("%q", got)
	}
}

func TestSplitSource(t *testing.T) {
	for source, want := range map[string][2]string{
		"src/a.ts:12:5": {"src/a.ts", "12"}, "a:b:1:2": {"a:b", "1"}, "a.ts": {"a.ts", ""}, "a.ts:1": {"a.ts:1", ""},
		":1:2": {":1:2", ""}, "a:-1:2": {"a:-1:2", ""},
	} {
		if file, line := splitSource(source); file != want[0] || line != want[1] {
			t.Errorf("%q: %q, %q", source, file, line)
		}
	}
}
