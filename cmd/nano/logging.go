package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nano/config"
	"nano/isolates"
	"nano/logs"
	"nano/loop"
)

// logCloseLimit is how long the end of the process waits for the reader of its log.
const logCloseLimit = 2 * time.Second

// openLog starts the log of a node, in the form of [server] log.
func openLog(form string, to io.Writer) (*logs.Log, error) {
	options := logs.Options{To: to, Form: logs.FormText}
	file, isFile := to.(*os.File)
	switch {
	case form == config.LogJSON:
		options.Form = logs.FormJSON
	case form == config.LogJournal:
		if !logs.JournalEnabled() {
			return nil, errors.New(`[server] log = "journal": there is no systemd journal here: write log = "text"`)
		}
		options.Form = logs.FormJournal
	case isFile && file == os.Stderr && logs.JournalStream():
		options.Form = logs.FormJournal
	default:
		options.IsTerminal = isFile && isTerminal(file)
		options.Color = options.IsTerminal && logs.WantsColor()
	}
	return logs.New(options), nil
}

// isTerminal reports that somebody reads what is written to a file while it comes.
func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// nodeLogger brings what loops log to the log. It does not block.
type nodeLogger struct {
	log    *logs.Log
	logger *slog.Logger
}

var slogLevels = [...]slog.Level{
	isolates.LevelDebug:    slog.LevelDebug,
	isolates.LevelInfo:     slog.LevelInfo,
	isolates.LevelWarn:     slog.LevelWarn,
	isolates.LevelError:    slog.LevelError,
	isolates.LevelUncaught: slog.LevelError,
}

var _ loop.Logger = nodeLogger{}

// App logs a line of an app, or about one.
func (l nodeLogger) App(e *loop.LogEntry) {
	l.log.App(&logs.Entry{App: e.App, Version: e.Version, Request: e.Request, Trace: e.Trace, Level: slogLevels[e.Level],
		Text: e.Text, Source: e.Source, Rate: e.Rate})
}

// Server logs an event of the node.
func (l nodeLogger) Server(level isolates.Level, text string) {
	l.logger.Log(context.Background(), slogLevels[level], text)
}
