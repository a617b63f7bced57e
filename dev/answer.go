package dev

import (
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"nano/config"
	"nano/logs"
	"nano/loop"
)

// EventsPath is the path of the events by which open pages learn that there is something newer.
const EventsPath = "/__nano/dev/events"

// eventsHead are the header lines of the events.
const eventsHead = "content-type: text/event-stream\r\ncache-control: no-store\r\n"

// retryMS is after how many milliseconds a page asks again for the events when nano dev was restarted.
const retryMS = 300

// generationLocked names what serves now. The mutex is held.
func (d *Developer) generationLocked() string { return fmt.Sprintf("%s-%d", d.boot, d.generation) }

// eventLocked is the event that tells of it.
func (d *Developer) eventLocked() string { return "data: " + d.generationLocked() + "\n\n" }

// Before implements loop.Developer: a browser is shown why the newest version of an app does not serve. What else
// asks is answered by the version before, if there is one.
func (d *Developer) Before(r *loop.DevRequest) *loop.DevAnswer {
	path, _, _ := strings.Cut(r.Target, "?")
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if path == EventsPath {
		return &loop.DevAnswer{Status: http.StatusOK, Head: eventsHead, Body: fmt.Sprintf("retry: %d\n%s", retryMS, d.eventLocked()), Events: true}
	}
	f := d.unread
	if f == nil {
		f = d.problems[d.appOf(r)]
	}
	switch {
	case !d.isStarted:
		f = &failure{Kind: "The apps are starting", Message: "This page loads anew when they have."}
	case f == nil || r.App != "" && !wantsPage(r):
		return nil
	case !d.trusts(r.Host):
		return &loop.DevAnswer{Status: http.StatusInternalServerError, Head: textHead, Body: "nano: the app does not start"}
	}
	status := http.StatusInternalServerError
	if !d.isStarted {
		status = http.StatusServiceUnavailable
	}
	return d.answer(r, f, status, f.text())
}

// appOf is the name of the app that a request is for, whether it serves or not; "": there is none.
func (d *Developer) appOf(r *loop.DevRequest) string {
	if r.App != "" || d.router == nil {
		return r.App
	}
	if i := d.router.Route([]byte(r.Host), []byte(r.Target)); i >= 0 {
		return d.config.Apps[i].Name
	}
	return ""
}

// Failed implements loop.Developer: what production keeps in the log, developers see.
func (d *Developer) Failed(r *loop.DevRequest, f *loop.DevFailure) *loop.DevAnswer {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !d.trusts(r.Host) {
		return nil
	}
	name := d.appOf(r)
	shown := &failure{Message: strings.TrimPrefix(strings.TrimPrefix(f.Text, "nano: "), name+": ")}
	if f.Detail != "" {
		shown = fromError(d.filesOf(name), f.Detail, f.Source)
	}
	shown.App = name
	shown.Kind, shown.Note = d.explain(name, f)
	text := f.Text + "\n"
	if f.Detail != "" {
		text = shown.text()
	}
	return d.answer(r, shown, f.Status, text)
}

// explain says what kind of failure it is, and what the cure may be.
func (d *Developer) explain(name string, f *loop.DevFailure) (kind, note string) {
	var limits config.Limits
	if d.config != nil {
		for i := range d.config.Apps {
			if d.config.Apps[i].Name == name {
				limits = d.config.Apps[i].Limits
			}
		}
	}
	switch f.NanoError {
	case "cpu-limit":
		return "CPU limit", fmt.Sprintf("A request may use %s of processor time, in production as here: cpu in [app.limits].", limits.CPU)
	case "memory-limit":
		return "Memory limit", fmt.Sprintf("The app may use %d MiB of V8's heap, in production as here: heap in [app.limits].", limits.Heap>>20)
	case "wall-limit":
		return "Wall limit", fmt.Sprintf("A request is to be answered within %s, in production as here: wall in [app.limits].", limits.Wall)
	case "concurrency-limit":
		return "Limit of concurrent requests", fmt.Sprintf("The app may have %d in hand: concurrent_requests in [app.limits].", limits.ConcurrentRequests)
	}
	switch {
	case strings.HasSuffix(f.Text, ": failed to start"):
		return "does not start", ""
	case f.Detail != "":
		return "uncaught error", ""
	}
	return http.StatusText(f.Status), ""
}

// answer is a page for browsers, and a text for all others. The mutex is held.
func (d *Developer) answer(r *loop.DevRequest, f *failure, status int, text string) *loop.DevAnswer {
	if !wantsPage(r) {
		return &loop.DevAnswer{Status: status, Head: textHead, Body: text}
	}
	p := &page{failure: f, Request: logs.RequestID(r.Request), Live: template.JS(liveScript(d.generationLocked()))}
	head, body := p.render()
	return &loop.DevAnswer{Status: status, Head: head, Body: body}
}

// wantsPage tells whether a browser asks that shows what it gets.
func wantsPage(r *loop.DevRequest) bool {
	return strings.Contains(strings.ToLower(r.Accept), "text/html")
}

// trusts tells whether sources may be shown to who asks for a host. A web page of somebody else could have a name of
// its own resolve to this machine, and read what comes from there.
func (d *Developer) trusts(hostport string) bool {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if d.config == nil {
		return false
	}
	for i := range d.config.Apps {
		for _, name := range d.config.Apps[i].Hosts {
			if suffix, isWildcard := strings.CutPrefix(name, "*"); name == host || isWildcard && strings.HasSuffix(host, suffix) {
				return true
			}
		}
	}
	return false
}
