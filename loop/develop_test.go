package loop

import (
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
	case strings.Contains(r.Accept, "text/html"):
		return &DevAnswer{Status: 500, Head: "content-type: text/html\r\n", Body: "a page for " + r.App + " at " + r.Host}
	}
	return nil
}

func (d *fakeDeveloper) Failed(_ *DevRequest, f *DevFailure) *DevAnswer {
	d.failures = append(d.failures, *f)
	return &DevAnswer{Head: "content-type: text/plain\r\n", Body: "shown: " + f.Text}
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
