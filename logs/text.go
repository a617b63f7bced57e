package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// textHandler is a slog.Handler for people:
//
//	2026-11-21T09:12:08.123Z WARN hello: what the app said request=7f3a09c2e5d1b846 source=src/index.ts:12:5
//
// The attribute "app" stands before the message, all others after its first line. Further lines are
// indented, so that no app can forge a line of another. At a terminal it is the time of day here, and
// what is not the message stands back.
type textHandler struct {
	to         io.Writer
	isTerminal bool
	color      bool
	before     []byte // attributes of the logger, formatted
	groups     string // of the logger, each with a dot
}

func newTextHandler(to io.Writer, isTerminal, color bool) *textHandler {
	return &textHandler{to: to, isTerminal: isTerminal, color: color}
}

// Escape sequences of terminals (ECMA-48 8.3.117).
const (
	styleNone   = ""
	styleReset  = "\x1b[0m"
	styleBold   = "\x1b[1m"
	styleFaint  = "\x1b[2m"
	styleRed    = "\x1b[31m"
	styleYellow = "\x1b[33m"
	styleCyan   = "\x1b[36m"
)

// Enabled lets everything through: apps choose what they log.
func (h *textHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes one record in one Write.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	line := make([]byte, 0, 256)
	line = h.appendStart(line, &r)
	attributes := slices.Clip(h.before)
	r.Attrs(func(attribute slog.Attr) bool {
		if attribute.Key == keyApp && h.groups == "" {
			line = h.style(line, styleBold, attribute.Value.String()+":")
			line = append(line, ' ')
		} else {
			attributes = appendAttribute(attributes, h.groups, attribute)
		}
		return true
	})
	first, rest, isLong := strings.Cut(strings.TrimRight(r.Message, "\n"), "\n")
	line = appendSafe(line, first)
	if len(attributes) > 0 {
		line = h.style(line, styleFaint, string(attributes))
	}
	if isLong {
		line = append(line, "\n    "...)
		line = appendSafe(line, rest)
	}
	line = append(line, '\n')
	_, err := h.to.Write(line)
	return err
}

// appendStart appends the time and the level.
func (h *textHandler) appendStart(line []byte, r *slog.Record) []byte {
	if !h.isTerminal {
		line = r.Time.UTC().AppendFormat(line, "2006-01-02T15:04:05.000Z ")
		line = append(line, r.Level.String()...)
		return append(line, ' ')
	}
	line = h.style(line, styleFaint, r.Time.Local().Format("15:04:05.000"))
	line = append(line, ' ')
	line = h.style(line, levelStyle(r.Level), fmt.Sprintf("%-5s", r.Level))
	return append(line, ' ')
}

func levelStyle(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return styleRed
	case level >= slog.LevelWarn:
		return styleYellow
	case level >= slog.LevelInfo:
		return styleCyan
	}
	return styleFaint
}

// style appends text in a style, if that is wished.
func (h *textHandler) style(line []byte, style, text string) []byte {
	if !h.color || style == styleNone {
		return append(line, text...)
	}
	line = append(line, style...)
	line = append(line, text...)
	return append(line, styleReset...)
}

// appendAttribute appends " key=value". Values of what apps cannot choose, and of what is plain, are
// not quoted.
func appendAttribute(line []byte, groups string, attribute slog.Attr) []byte {
	line = append(line, ' ')
	line = append(line, groups...)
	line = append(line, attribute.Key...)
	line = append(line, '=')
	value := attribute.Value.Resolve().String()
	if groups == "" && (attribute.Key == keyRequest || attribute.Key == keyTrace || attribute.Key == keySource || attribute.Key == keyVersion) && isPlain(value) {
		return append(line, value...)
	}
	return strconv.AppendQuote(line, value)
}

// isPlain tells of a text that cannot be taken for anything else.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' {
			return false
		}
	}
	return text != ""
}

// AppendSafe appends a text that others have chosen so that it does nothing else to a terminal than to be shown: control
// characters are escaped but for tabs and line ends, after which it is indented.
func AppendSafe(line []byte, text string) []byte { return appendSafe(line, text) }

// appendSafe appends text, its control characters escaped but for tabs and line ends, after which it
// is indented.
func appendSafe(line []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '\n':
			line = append(line, "\n    "...)
		case r == '\t' || r >= ' ' && !isControl(r):
			line = utf8.AppendRune(line, r)
		case r < 0x100:
			line = fmt.Appendf(line, "\\x%02x", r)
		default:
			line = fmt.Appendf(line, "\\u%04x", r)
		}
	}
	return line
}

// Printable is a text, its control characters escaped but for tabs and line ends, after which it is indented: what
// apps and clients have a say in is shown so on a terminal.
func Printable(text string) string { return string(appendSafe(nil, text)) }

// isControl tells of characters beyond ASCII's that change what others look like, or where lines end:
// those of ISO 6429, line and paragraph separators, and those that turn the direction of text.
func isControl(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// WithAttrs gives a handler that writes attributes after each message.
func (h *textHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	with := *h
	with.before = slices.Clip(h.before)
	for _, attribute := range attributes {
		with.before = appendAttribute(with.before, with.groups, attribute)
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
