package logs

import (
	"context"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
)

// journalHandler is a slog.Handler that writes to the systemd journal by its own protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), with the fields of systemd.journal-fields(7) and
// NANO_APP, NANO_VERSION, NANO_REQUEST, NANO_TRACE and NANO_SOURCE.
type journalHandler struct {
	send  func(message string, priority journal.Priority, fields map[string]string) error
	plain *textHandler // for attributes that have no field; and for all, while the journal takes nothing
}

// JournalStream reports that standard error is read by the journal, as systemd says in JOURNAL_STREAM.
func JournalStream() bool {
	isJournal, err := journal.StderrIsJournalStream()
	return err == nil && isJournal && journal.Enabled()
}

// JournalEnabled reports that there is a journal.
func JournalEnabled() bool { return journal.Enabled() }

// journalFields are the fields of attributes.
var journalFields = map[string]string{
	keyApp: "NANO_APP", keyVersion: "NANO_VERSION", keyRequest: "NANO_REQUEST", keyTrace: "NANO_TRACE", keySource: "NANO_SOURCE",
}

func newJournalHandler(send func(string, journal.Priority, map[string]string) error, plain *textHandler) *journalHandler {
	return &journalHandler{send, plain}
}

// Enabled lets everything through: apps choose what they log.
func (h *journalHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle sends one record. The journal frames it, so that nothing in it can be taken for another.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "nano"}
	rest := append([]byte(nil), h.plain.before...)
	r.Attrs(func(attribute slog.Attr) bool {
		field, hasField := journalFields[attribute.Key]
		if !hasField || h.plain.groups != "" {
			rest = appendAttribute(rest, h.plain.groups, attribute)
			return true
		}
		fields[field] = attribute.Value.String()
		return true
	})
	if source := fields["NANO_SOURCE"]; source != "" {
		file, line := splitSource(source)
		fields["CODE_FILE"] = file
		if line != "" {
			fields["CODE_LINE"] = line
		}
	}
	err := h.send(r.Message+string(rest), priorityOf(r.Level), fields)
	if err != nil { // it is restarted, perhaps
		return h.plain.Handle(ctx, r)
	}
	return nil
}

func priorityOf(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &journalHandler{h.send, h.plain.WithAttrs(attributes).(*textHandler)}
}

// WithGroup implements slog.Handler.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{h.send, h.plain.WithGroup(name).(*textHandler)}
}

// WantsColor reports whether text for a terminal may be coloured (https://no-color.org).
func WantsColor() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }
