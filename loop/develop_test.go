package loop

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// fakeDeveloper answers for events, and in the place of what fails.
type fakeDeveloper struct{ failures []DevFailure }

func (d *fakeDeveloper) Before(r *DevRequest) *DevAnswer {
	switch {
	case r.Target == "/events":
		return &DevAnswer{Status: 200, Head: "content-type: text/event-stream\r\n", Body: "data: first\n\n", Events: true}
	case strings.Contains(r.Accept, "text/html") && !r.Navigates:
		return &DevAnswer{Status: 500, Head: "content-type: text/html\r\n", Body: "a page for " + r.App + " at " + r.Host}
	}
	return nil
}

func (d *fakeDeveloper) Failed(_ *DevRequest, f *DevFailure) *DevAnswer {
	d.failures = append(d.failures, *f)
	return &DevAnswer{Head: "content-type: text/plain\r\n", Body: "shown: " + f.Text}
}

func (d *fakeDeveloper) Page(r *DevRequest, status int, lines []byte) string {
	if status == 200 && bytes.HasPrefix(lines, []byte("content-type: text/")) {
		return "<added to " + r.Target + ">"
	}
	return ""
}

func newDevelopedWorld(t *testing.T, change func(o *Options)) (*world, *fakeDeveloper) {
	developer := &fakeDeveloper{}
	return newWorld(t, fakering.Config{}, func(o *Options) {
		o.Developer = developer
		if change != nil {
			change(o)
		}
	}), developer
}

// TestDevelopedAnswers: a Developer may answer before an app is asked, and instead of what the loop says of its failure.
func TestDevelopedAnswers(t *testing.T) {
	w, developer := newDevelopedWorld(t, func(o *Options) { o.Wall = time.Second })
	if _, got := w.talk("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasSuffix(got, "GET /1 a ") {
		t.Errorf("an app that works: %q", got)
	}
	if _, got := w.talk("GET /1 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 500 ") || !strings.HasSuffix(got, "\r\n\r\na page for demo at a") {
		t.Errorf("before: %q", got)
	}
	if _, got := w.talk("HEAD /1 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n"); !strings.Contains(got, "content-length: 20\r\n") || !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("HEAD: %q", got)
	}
	peer, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(2 * time.Second)
	if got := string(peer.Take()); !strings.Contains(got, "nano-error: wall-limit\r\n") || !strings.Contains(got, "\r\n\r\nshown: ") {
		t.Errorf("a limit: %q", got)
	}
	if n := len(developer.failures); n != 1 || developer.failures[0].NanoError != "wall-limit" || developer.failures[0].Status != 504 {
		t.Errorf("told of %+v", developer.failures)
	}
}

// TestDevelopedEvents: what Tell says goes to all who listen, until they go or the loop drains; who does not read is
// told no more than fits.
func TestDevelopedEvents(t *testing.T) {
	w, _ := newDevelopedWorld(t, func(o *Options) { o.LingerTimeout = 10 * time.Millisecond })
	const ask = "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"
	one, got := w.talk(ask)
	if !strings.Contains(got, "transfer-encoding: chunked\r\n") || !strings.HasSuffix(got, "\r\n\r\nd\r\ndata: first\n\n\r\n") {
		t.Errorf("the first event: %q", got)
	}
	old, got := w.talk("GET /events HTTP/1.0\r\nHost: a\r\n\r\n")
	if strings.Contains(got, "chunked") || !strings.HasSuffix(got, "\r\n\r\ndata: first\n\n") {
		t.Errorf("with HTTP/1.0: %q", got)
	}
	if _, got := w.talk("HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("HEAD: %q", got)
	}
	gone, _ := w.talk(ask)
	if n := len(w.loop.events); n != 3 {
		t.Fatalf("%d listen", n)
	}
	gone.Reset()
	w.settle()
	if n := len(w.loop.events); n != 2 {
		t.Errorf("%d listen after one has gone", n)
	}
	w.loop.tellEvents([]byte("data: second\n\n"))
	w.settle()
	if got := string(one.Take()); got != "e\r\ndata: second\n\n\r\n" {
		t.Errorf("the second event: %q", got)
	}
	if got := string(old.Take()); got != "data: second\n\n" {
		t.Errorf("the second event with HTTP/1.0: %q", got)
	}
	begun := w.ring.Now()
	w.end()
	if waited := w.ring.Now().Sub(begun); waited > time.Second {
		t.Errorf("who listens holds up the drain for %v", waited)
	}
	if got := string(one.Take()); got != "0\r\n\r\n" {
		t.Errorf("in the end: %q", got)
	}
	if !one.Closed() || !old.Closed() || w.log.count("drain") != 0 {
		t.Errorf("closed: %v, %v; log: %q", one.Closed(), old.Closed(), w.log.lines)
	}
}

// TestDevelopedEventsUnread: a client that does not read costs a bounded amount of memory.
func TestDevelopedEventsUnread(t *testing.T) {
	s := &eventSource{loop: &Loop{}}
	for range 10000 {
		s.tell([]byte("data: more\n\n"))
	}
	if n := len(s.waiting); n == 0 || n > eventsWaitingMax {
		t.Errorf("%d bytes wait", n)
	}
}

// TestDevelopedDrain: when somebody ends nano dev, what is in hand is cut without a word.
func TestDevelopedDrain(t *testing.T) {
	w, _ := newDevelopedWorld(t, nil)
	peer, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	w.end()
	if !peer.Closed() || w.log.count("drain") != 0 {
		t.Errorf("closed: %v; log: %q", peer.Closed(), w.log.lines)
	}
}

// TestDevelopedPages: a Developer may add to what a browser goes to, however it is sent, and to nothing else.
func TestDevelopedPages(t *testing.T) {
	w, _ := newDevelopedWorld(t, nil)
	const navigates = " HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*\r\nSec-Fetch-Dest: document\r\n\r\n"
	large := strings.Repeat("0123456789abcdef", 100000/16)
	for _, each := range []struct{ request, head, body string }{
		{"GET /1" + navigates, "content-length: 22\r\n", "\r\n\r\nGET /1 a <added to /1>"},
		{"GET /stream/2" + navigates, "transfer-encoding: chunked\r\n", "\r\n14\r\n<added to /stream/2>\r\n0\r\n\r\n"},
		{"GET /large/100000" + navigates, "content-length: 100024\r\n", large + "<added to /large/100000>"},
		{"GET /chunk/100000" + navigates, "transfer-encoding: chunked\r\n", large + "\r\n18\r\n<added to /chunk/100000>\r\n0\r\n\r\n"},
		{"GET /empty" + navigates, "HTTP/1.1 204 ", "\r\n\r\n"},
		{"GET /stream/1 HTTP/1.0\r\nHost: a\r\nAccept: text/html\r\nUpgrade-Insecure-Requests: 1\r\n\r\n", "connection: close\r\n", "<added to /stream/1>"},
		{"GET /1" + navigates + "GET /2" + navigates, "<added to /1>HTTP/1.1 200", "<added to /2>"},
		{"HEAD /1" + navigates, "", "\r\n\r\n"},
		{"GET /1" + strings.Replace(navigates, "document", "empty", 1), "HTTP/1.1 500 ", "a page for demo at a"},
		{"GET /1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nSec-Fetch-Dest: document\r\n\r\n", "", "GET /1 a "},
	} {
		peer, got := w.talk(each.request)
		w.run(time.Second)
		got += string(peer.Take())
		if !strings.Contains(got, each.head) || !strings.HasSuffix(got, each.body) {
			t.Errorf("%q: %.300q … %q", each.request, got, got[max(0, len(got)-60):])
		}
	}
}

// TestDevelopedFiles: the same for static files, of which none is taken for unchanged without a look.
func TestDevelopedFiles(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<15)
	dir := siteOf(t, map[string]string{"index.html": "<h1>home</h1>", "large.html": large, "empty.html": "", "a.js": "code"})
	_, address := startSite(t, dir, func(o *NodeOptions) { o.Options.Developer = &fakeDeveloper{} })
	page := []string{"Accept: text/html", "Sec-Fetch-Dest: document"}
	for path, want := range map[string]string{
		"/":           "<h1>home</h1><added to />",
		"/large.html": large + "<added to /large.html>",
		"/empty.html": "<added to /empty.html>",
	} {
		response, body := getFile(t, "GET", "http://"+address+path, page...)
		if body != want || response.ContentLength != int64(len(want)) {
			t.Errorf("%s: %d bytes of %d, …%.40q", path, len(body), response.ContentLength, body[max(0, len(body)-40):])
		}
		if _, body := getFile(t, "GET", "http://"+address+path); body != want[:strings.Index(want, "<added")] {
			t.Errorf("%s to another client: …%.40q", path, body[max(0, len(body)-40):])
		}
		unmodified, body := getFile(t, "GET", "http://"+address+path, append(page, "If-None-Match: "+response.Header.Get("Etag"))...)
		if unmodified.StatusCode != 304 || body != "" {
			t.Errorf("%s: %d %q to who has it", path, unmodified.StatusCode, body)
		}
	}
	for i := range 20 {
		want := strings.Repeat("new", i+1)
		if err := os.WriteFile(filepath.Join(dir, "a.js"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		for {
			response, body := getFile(t, "GET", "http://"+address+"/a.js")
			if response.StatusCode == 503 { // it was just written
				continue
			}
			if body != want {
				t.Fatalf("after a change: %d %q", response.StatusCode, body)
			}
			break
		}
	}
}
