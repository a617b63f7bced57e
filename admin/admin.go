// Package admin is the HTTP interface by which a node is watched and changed: health, metrics, apps and their
// versions, logs, profiles. docs/ADMIN.md describes it. The same handler serves the address of [admin], behind a
// Guard, and the socket in the state folder that the command line uses, which only the node's own user can open.
//
// It runs on goroutines of its own, by net/http: nothing here is on the way of a request to an app, and whatever
// a client does here costs the loops a message now and then. What clients can make it hold is bounded: bodies,
// heads, connections, streams, and requests of each kind at once.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nano/control"
	"nano/logs"
	"nano/loop"
)

// Node is what is watched and changed: a control.Node.
type Node interface {
	Apps(ctx context.Context) ([]control.App, error)
	Deploy(ctx context.Context, name string, d control.Deployment) (control.Version, error)
	Rollback(ctx context.Context, name, version string) (control.Version, error)
	Split(ctx context.Context, name string, weights map[string]int) error
	Remove(ctx context.Context, name string) error
	Sleep(ctx context.Context, name string) error
	Wake(ctx context.Context, name string) error
	Reload(ctx context.Context) (*control.Report, error)
	Loops(ctx context.Context) []loop.LoopStatus
	Ready() bool
	HeapSnapshot(ctx context.Context, name string, w io.Writer) error
	CPUProfile(ctx context.Context, name string, d time.Duration, w io.Writer) error
}

// Options set up a Handler.
type Options struct {
	Node    Node
	Metrics http.Handler // of GET /metrics
	// Logs gives what is followed by /v1/logs; nil: nothing is there to follow.
	Logs    *logs.Hub
	Version string // of NANO
	Logger  *slog.Logger
}

// How many requests of a kind are served at once, and for how long they may take.
const (
	requestsMax = 32
	deploysMax  = 8
	profilesMax = 2
	streamsMax  = 64

	healthPatience = 2 * time.Second
	callPatience   = 30 * time.Second
	changePatience = 5 * time.Minute // a build, and the end of an old version's requests

	bodyBytesMax = 64 << 10 // but for uploads, which control bounds
	// ioPatience is how long a client may take for the next piece of what it sends or takes.
	ioPatience = 30 * time.Second
)

// handler implements the interface without asking who calls.
type handler struct {
	Options
	mux                                  *http.ServeMux
	requests, deploys, profiles, streams gate
}

// NewHandler makes the interface without a guard: for the socket of the node's own user, or behind a Guard.
func NewHandler(o Options) http.Handler {
	h := &handler{Options: o, mux: http.NewServeMux(),
		requests: newGate(requestsMax), deploys: newGate(deploysMax), profiles: newGate(profilesMax), streams: newGate(streamsMax)}
	if h.Logger == nil {
		h.Logger = slog.New(slog.DiscardHandler)
	}
	if h.Metrics == nil {
		h.Metrics = http.HandlerFunc(h.notFound)
	}
	h.routes()
	return h.mux
}

// methods are what can be done with a resource.
type methods map[string]func(w http.ResponseWriter, r *http.Request)

func (h *handler) routes() {
	for pattern, resource := range map[string]methods{
		"/healthz":                 {"GET": h.health},
		"/readyz":                  {"GET": h.ready},
		"/metrics":                 {"GET": h.limit(h.requests, callPatience, h.metrics)},
		"/v1/apps":                 {"GET": h.limit(h.requests, callPatience, h.listApps)},
		"/v1/apps/{name}":          {"GET": h.limit(h.requests, callPatience, h.showApp), "PUT": h.limit(h.deploys, 0, h.deploy), "DELETE": h.limit(h.requests, changePatience, h.remove)},
		"/v1/apps/{name}/rollback": {"POST": h.limit(h.requests, changePatience, h.rollback)},
		"/v1/apps/{name}/split":    {"POST": h.limit(h.requests, changePatience, h.split)},
		"/v1/apps/{name}/sleep":    {"POST": h.limit(h.requests, callPatience, h.act(h.Node.Sleep))},
		"/v1/apps/{name}/wake":     {"POST": h.limit(h.requests, callPatience, h.act(h.Node.Wake))},
		"/v1/apps/{name}/heap":     {"GET": h.limit(h.profiles, 0, h.heap), "POST": h.limit(h.profiles, 0, h.heap)},
		"/v1/apps/{name}/profile":  {"GET": h.limit(h.profiles, 0, h.profile), "POST": h.limit(h.profiles, 0, h.profile)},
		"/v1/apps/{name}/logs":     {"GET": h.limit(h.streams, 0, h.followLogs)},
		"/v1/logs":                 {"GET": h.limit(h.streams, 0, h.followLogs)},
		"/v1/loops":                {"GET": h.limit(h.requests, callPatience, h.listLoops)},
		"/v1/reload":               {"POST": h.limit(h.requests, changePatience, h.reload)},
		"/":                        nil,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, resource) })
	}
}

// serve finds the method of a resource; nil: there is no such resource.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, resource methods) {
	if resource == nil {
		w.Header().Set("Connection", "close")
		h.notFound(w, r)
		return
	}
	name := r.Method
	if name == "HEAD" {
		name = "GET"
	}
	do := resource[name]
	if do == nil {
		var allowed []string
		for _, each := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
			if resource[each] != nil || each == "HEAD" && resource["GET"] != nil {
				allowed = append(allowed, each)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		w.Header().Set("Connection", "close")
		writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s does not go with %s: use %s", r.Method, r.URL.Path, strings.Join(allowed, ", ")))
		return
	}
	if r.Body != http.NoBody {
		// Unless it is read: before the answer the server would wait for the rest.
		w.Header().Set("Connection", "close")
	}
	do(w, r)
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
}

// A gate lets as many through at once as it holds.
type gate chan struct{}

func newGate(most int) gate { return make(gate, most) }

// limit bounds how many requests of a kind are served at once, how long they may take (0: as long as they
// make progress), and what they send.
func (h *handler) limit(g gate, patience time.Duration, do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case g <- struct{}{}:
			defer func() { <-g }()
		default:
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d requests of this kind are being served already: try again", cap(g)))
			return
		}
		if r.Method != "PUT" && !gather(w, r) {
			return
		}
		if patience != 0 {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + ioPatience))
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			r = r.WithContext(ctx)
		}
		do(w, r)
	}
}

// gather reads the whole body of a request: from then on nothing is waited for of its client. False: that failed,
// and is answered.
func gather(w http.ResponseWriter, r *http.Request) bool {
	if r.Body == http.NoBody {
		return true
	}
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(time.Now().Add(ioPatience))
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit))
		} else {
			writeError(w, http.StatusBadRequest, "the body broke off: "+describeRead(err))
		}
		return false
	}
	// A deadline that passes while the request is served would cancel it: the server keeps reading.
	_ = controller.SetReadDeadline(time.Time{})
	w.Header().Del("Connection")
	r.Body = io.NopCloser(bytes.NewReader(text))
	return true
}

func (h *handler) metrics(w http.ResponseWriter, r *http.Request) { h.Metrics.ServeHTTP(w, r) }

// problem is an answer that says what went wrong.
type problem struct {
	Error       string   `json:"error"`
	Diagnostics []string `json:"diagnostics,omitempty"` // of 422: a line for each
}

func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, problem{Error: text})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // the client is gone, if that fails
}

// fail answers with an error of the node.
func (h *handler) fail(w http.ResponseWriter, err error) {
	var rejected *control.RejectedError
	if errors.As(err, &rejected) {
		lines := strings.Split(strings.TrimRight(rejected.Error(), "\n"), "\n")
		p := problem{Error: lines[0]}
		if len(lines) > 1 {
			p.Diagnostics = lines
		}
		writeJSON(w, http.StatusUnprocessableEntity, p)
		return
	}
	status := statusOf(err)
	if status == http.StatusServiceUnavailable || status == http.StatusConflict {
		w.Header().Set("Retry-After", "1")
	}
	if status >= 500 {
		h.Logger.Error("admin: " + err.Error())
	}
	writeError(w, status, strings.TrimRight(err.Error(), "\n"))
}

func statusOf(err error) int {
	var tooLong *http.MaxBytesError
	switch {
	case errors.Is(err, control.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, control.ErrBusy):
		return http.StatusConflict
	case errors.Is(err, control.ErrTooLarge), errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return http.StatusInsufficientStorage
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// health is GET /healthz: whether the process lives, and each loop has looked at its mail within
// healthPatience. It takes no place of others, so that a probe is answered whatever they do.
func (h *handler) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
	defer cancel()
	status, code := "ok", http.StatusOK
	stuck := []int{}
	for _, each := range h.Node.Loops(ctx) {
		if !each.Responsive && !each.HasEnded {
			status, code = "stalled", http.StatusServiceUnavailable
			stuck = append(stuck, each.Loop)
		}
	}
	writeJSON(w, code, struct {
		Status  string `json:"status"`
		Stalled []int  `json:"stalled_loops"`
	}{status, stuck})
}

// ready is GET /readyz: whether the node takes requests.
func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	status, code := "ready", http.StatusOK
	if !h.Node.Ready() {
		status, code = "not ready", http.StatusServiceUnavailable
	}
	writeJSON(w, code, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{status, h.Version})
}
