package admin

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"nano/config"
	"nano/control"
)

// uploadPatience is how long the client of an upload may take in all, with its build.
const uploadPatience = 15 * time.Minute

// nameOf is the app that a request is about. "": it cannot be one, and that is answered.
func nameOf(w http.ResponseWriter, r *http.Request) string {
	name := r.PathValue("name")
	if config.CheckName(name) != nil {
		writeError(w, http.StatusNotFound, fmt.Sprintf("%.80q is no name of an app: use [a-z0-9-]{1,63}", name))
		return ""
	}
	return name
}

// listApps is GET /v1/apps.
func (h *handler) listApps(w http.ResponseWriter, r *http.Request) {
	all, err := h.Node.Apps(r.Context())
	if err != nil {
		h.fail(w, err)
		return
	}
	list := AppList{Apps: make([]App, len(all))}
	for i := range all {
		list.Apps[i] = appOf(&all[i], false)
	}
	writeJSON(w, http.StatusOK, list)
}

// showApp is GET /v1/apps/NAME.
func (h *handler) showApp(w http.ResponseWriter, r *http.Request) {
	name := nameOf(w, r)
	if name == "" {
		return
	}
	app, err := h.find(r.Context(), name)
	if err != nil {
		h.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, appOf(app, true))
}

func (h *handler) find(ctx context.Context, name string) (*control.App, error) {
	all, err := h.Node.Apps(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("app %s: %w", name, control.ErrNotFound)
}

// upload is the body of a PUT: it extends the client's time with each piece, up to the end of the request's context,
// and remembers what broke it.
type upload struct {
	ctx        context.Context
	from       io.Reader
	controller *http.ResponseController
	isWhole    bool
	failed     error
}

// Read implements io.Reader.
func (u *upload) Read(into []byte) (int, error) {
	if err := u.ctx.Err(); err != nil { // a client may send a byte now and then, and keep the app from others
		u.failed = err
		return 0, err
	}
	_ = u.controller.SetReadDeadline(time.Now().Add(ioPatience))
	n, err := u.from.Read(into)
	switch {
	case err == io.EOF:
		u.isWhole = true
		_ = u.controller.SetReadDeadline(time.Time{}) // see gather
	case err != nil:
		u.failed = err
	}
	return n, err
}

// unzip is an upload without its content coding.
type unzip struct {
	body *upload
	zip  *gzip.Reader // nil: not begun
}

// Read implements io.Reader.
func (u *unzip) Read(into []byte) (n int, err error) {
	if u.zip == nil {
		if u.zip, err = gzip.NewReader(u.body); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil {
		n, err = u.zip.Read(into)
	}
	if err != nil && err != io.EOF && u.body.failed == nil {
		u.body.failed = err
	}
	return n, err
}

// deploy is PUT /v1/apps/NAME.
func (h *handler) deploy(w http.ResponseWriter, r *http.Request) {
	name := nameOf(w, r)
	if name == "" {
		return
	}
	d, isGzip, err := deploymentOf(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), uploadPatience)
	defer cancel()
	body := &upload{ctx: ctx, from: r.Body, controller: http.NewResponseController(w)}
	d.Body = body
	if isGzip {
		d.Body = &unzip{body: body} // control bounds what comes out of it
	}
	version, err := h.Node.Deploy(ctx, name, d)
	_ = body.controller.SetWriteDeadline(time.Now().Add(ioPatience))
	if body.isWhole {
		w.Header().Del("Connection")
	}
	switch {
	case body.failed != nil:
		h.Logger.Warn("admin: deploy of " + name + ": the upload broke off: " + body.failed.Error())
		writeError(w, http.StatusBadRequest, "the upload broke off: "+describeRead(body.failed))
	case err != nil:
		h.fail(w, err)
	default:
		h.Logger.Info("admin: deployed", "app", name, "version", version.ID, "client", r.RemoteAddr)
		writeJSON(w, http.StatusOK, versionOf(version))
	}
}

func describeRead(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return "its end is missing"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
		return "it is no gzip, or damaged"
	}
	return "it came too slowly, or not at all"
}

// deploymentOf reads what goes with an upload: the type from its header fields, hosts, path and settings from the
// query.
func deploymentOf(r *http.Request) (d control.Deployment, isGzip bool, err error) {
	if d.Type, _, err = mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil {
		return d, false, errors.New("content-type: name the type of the upload, application/javascript for example")
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		isGzip = true
	default:
		return d, false, fmt.Errorf("content-encoding: %.40q is unknown: use gzip, or none", encoding)
	}
	if !isGzip {
		d.Length = max(r.ContentLength, 0)
	}
	query := r.URL.Query()
	for key, values := range query {
		switch key {
		case "host":
			d.Hosts = values
		case "path":
			d.Path = values[0]
		case "settings":
			d.Settings = []byte(values[0])
		default:
			return d, false, fmt.Errorf("query: %.40q is unknown: use host, path and settings", key)
		}
		if len(values) > 1 && key != "host" {
			return d, false, fmt.Errorf("query: %s stands there %d times", key, len(values))
		}
	}
	return d, isGzip, nil
}

// remove is DELETE /v1/apps/NAME.
func (h *handler) remove(w http.ResponseWriter, r *http.Request) {
	if h.change(w, r, func(ctx context.Context, name string) error { return h.Node.Remove(ctx, name) }) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// act is for POSTs that say nothing but the app, and are answered with it.
func (h *handler) act(do func(ctx context.Context, name string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h.change(w, r, do) {
			h.showApp(w, r)
		}
	}
}

// change changes an app. False: that has been answered.
func (h *handler) change(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, name string) error) bool {
	name := nameOf(w, r)
	if name == "" {
		return false
	}
	if err := do(r.Context(), name); err != nil {
		h.fail(w, err)
		return false
	}
	h.Logger.Info("admin: "+r.Method+" "+r.URL.Path, "client", r.RemoteAddr)
	return true
}

// readBody reads the JSON of a request; no body at all leaves into as it is. False: that has been answered.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(r.Body) // which is in memory
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == io.EOF {
		return true
	}
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return true
		}
		err = errors.New("it goes on after its JSON")
	}
	writeError(w, http.StatusBadRequest, "the body is not what belongs here: "+strings.TrimPrefix(err.Error(), "json: "))
	return false
}

// rollback is POST /v1/apps/NAME/rollback.
func (h *handler) rollback(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Version string `json:"version"` // "": the one before
	}
	var version control.Version
	if h.readBody(w, r, &asked) && h.change(w, r, func(ctx context.Context, name string) (err error) {
		version, err = h.Node.Rollback(ctx, name, asked.Version)
		return err
	}) {
		writeJSON(w, http.StatusOK, versionOf(version))
	}
}

// split is POST /v1/apps/NAME/split.
func (h *handler) split(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Weights map[string]int `json:"weights"`
	}
	if !h.readBody(w, r, &asked) {
		return
	}
	if len(asked.Weights) == 0 {
		writeError(w, http.StatusBadRequest, `the body names no weights: {"weights": {"VERSION": 90, "VERSION": 10}}`)
		return
	}
	if h.change(w, r, func(ctx context.Context, name string) error { return h.Node.Split(ctx, name, asked.Weights) }) {
		h.showApp(w, r)
	}
}

// reload is POST /v1/reload.
func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	report, err := h.Node.Reload(r.Context())
	if err != nil {
		h.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, reportOf(report))
}

// listLoops is GET /v1/loops.
func (h *handler) listLoops(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
	defer cancel()
	list := LoopList{Loops: []Loop{}}
	for _, status := range h.Node.Loops(ctx) {
		list.Loops = append(list.Loops, loopOf(&status))
	}
	writeJSON(w, http.StatusOK, list)
}
