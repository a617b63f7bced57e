package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"nano/logs"
)

// keepAlive is after how long a stream of events without any says that it lives.
const keepAlive = 15 * time.Second

// Bounds of a CPU profile.
const (
	profileDefault = 5 * time.Second
	profileMax     = 60 * time.Second
	profileExtra   = time.Minute // for the app to be waited for, and the profile to be written
	heapPatience   = 10 * time.Minute
)

// download is what is written to a client piece by piece, each of which it may take ioPatience for. The head of
// the answer goes out with the first one: until then an error can be answered as such.
type download struct {
	http.ResponseWriter
	controller *http.ResponseController
	kind, file string
	isBegun    bool
}

func newDownload(w http.ResponseWriter, kind, file string) *download {
	return &download{ResponseWriter: w, controller: http.NewResponseController(w), kind: kind, file: file}
}

// Write implements io.Writer.
func (d *download) Write(piece []byte) (int, error) {
	if !d.isBegun {
		d.isBegun = true
		d.Header().Set("Content-Type", d.kind)
		d.Header().Set("Cache-Control", "no-store")
		d.Header().Set("X-Content-Type-Options", "nosniff")
		if d.file != "" {
			d.Header().Set("Content-Disposition", `attachment; filename="`+d.file+`"`)
		}
	}
	_ = d.controller.SetWriteDeadline(time.Now().Add(ioPatience))
	return d.ResponseWriter.Write(piece)
}

// end answers an error, or breaks the answer off if it has begun, so that the client does not take it for whole.
func (h *handler) end(d *download, err error) {
	switch {
	case err == nil:
	case d.isBegun:
		h.Logger.Warn("admin: " + d.file + " broke off: " + err.Error())
		panic(http.ErrAbortHandler)
	default:
		_ = d.controller.SetWriteDeadline(time.Now().Add(ioPatience))
		h.fail(d.ResponseWriter, err)
	}
}

// heap is GET or POST /v1/apps/NAME/heap: a heap snapshot for Chrome DevTools.
func (h *handler) heap(w http.ResponseWriter, r *http.Request) {
	name := nameOf(w, r)
	if name == "" || r.Method == "HEAD" {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), heapPatience)
	defer cancel()
	d := newDownload(w, "application/json", name+".heapsnapshot")
	h.end(d, h.Node.HeapSnapshot(ctx, name, d))
}

// profile is GET or POST /v1/apps/NAME/profile: a CPU profile for Chrome DevTools.
func (h *handler) profile(w http.ResponseWriter, r *http.Request) {
	name := nameOf(w, r)
	if name == "" || r.Method == "HEAD" {
		return
	}
	length, err := profileLength(r.URL.Query().Get("seconds"))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), length+profileExtra)
	defer cancel()
	d := newDownload(w, "application/json", name+".cpuprofile")
	h.end(d, h.Node.CPUProfile(ctx, name, length, d))
}

func profileLength(text string) (time.Duration, error) {
	if text == "" {
		return profileDefault, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if length := time.Duration(seconds * float64(time.Second)); err == nil && seconds > 0 && seconds <= profileMax.Seconds() && length > 0 {
		return length, nil
	}
	return 0, fmt.Errorf("seconds: %.20q is not above 0 and at most %v", text, profileMax.Seconds())
}

// followLogs is GET /v1/logs and /v1/apps/NAME/logs: a stream of server-sent events, each of which has a line of
// the log as JSON. With follow=0 it ends after the last lines that there were.
func (h *handler) followLogs(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name != "" {
		if name = nameOf(w, r); name == "" {
			return
		}
		if _, err := h.find(r.Context(), name); err != nil {
			h.fail(w, err)
			return
		}
	}
	if h.Logs == nil {
		h.notFound(w, r)
		return
	}
	follow := r.URL.Query().Get("follow")
	if follow != "" && follow != "0" && follow != "1" {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("follow: %.20q is neither 0 nor 1", follow))
		return
	}
	subscription := h.Logs.Subscribe(name)
	defer subscription.Close()
	d := newDownload(w, "text/event-stream", "")
	d.Header().Set("X-Accel-Buffering", "no") // for proxies that would collect it
	if _, err := io.WriteString(d, ": "+h.Version+"\n\n"); err != nil || r.Method == "HEAD" {
		return
	}
	ctx, cancel := untilEnd(r.Context())
	defer cancel()
	_ = writeEvents(ctx, d, subscription, follow != "0") // the client is gone, or the node ends
}

// writeEvents writes lines as they come, until the context ends or the client does not take them.
func writeEvents(ctx context.Context, d *download, subscription *logs.Subscription, follow bool) error {
	past, end := context.WithCancel(ctx)
	end()
	isFlushed := false
	for {
		// What is there goes out together, and what a slow client does not take the subscription drops.
		line, err := subscription.Next(past)
		switch {
		case err == nil:
			isFlushed = false
			if err := writeEvent(d, &line); err != nil {
				return err
			}
			continue
		case errors.Is(err, logs.ErrClosed):
			return err
		}
		if !isFlushed {
			isFlushed = true
			if err := d.controller.Flush(); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		waiting, cancel := context.WithTimeout(ctx, keepAlive)
		line, err = subscription.Next(waiting)
		cancel()
		switch {
		case err == nil:
			err = writeEvent(d, &line)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			_, err = io.WriteString(d, ":\n\n")
		}
		if err != nil {
			return err
		}
		isFlushed = false
	}
}

func writeEvent(w io.Writer, line *logs.Line) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", text)
	return err
}
