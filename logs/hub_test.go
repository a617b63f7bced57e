package logs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// next takes lines of a subscription, which must be there.
func next(t *testing.T, s *Subscription, count int) (texts []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range count {
		line, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", texts, err)
		}
		if line.Dropped != 0 {
			line.Text = fmt.Sprintf("%d dropped", line.Dropped)
		}
		texts = append(texts, line.Text)
	}
	return texts
}

func isEmpty(t *testing.T, s *Subscription) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	return errors.Is(err, context.Canceled)
}

func TestHub(t *testing.T) {
	log := New(Options{To: newSink()})
	defer log.Close(patience)
	for i := range 3 {
		log.App(entry("a", fmt.Sprintf("a%d", i)))
		log.App(entry("b", fmt.Sprintf("b%d", i)))
	}
	all := log.Hub().Subscribe("")
	defer all.Close()
	if got := strings.Join(next(t, all, 6), " "); got != "a0 b0 a1 b1 a2 b2" {
		t.Errorf("all: %s", got)
	}
	one := log.Hub().Subscribe("b") // it comes after what the goroutine has given the first
	if got := strings.Join(next(t, one, 3), " "); got != "b0 b1 b2" || !isEmpty(t, one) {
		t.Errorf("one: %s", got)
	}
	log.App(entry("a", "live a"))
	log.App(entry("b", "live b"))
	if got := strings.Join(next(t, one, 1), " "); got != "live b" {
		t.Errorf("one: %s", got)
	}
	if got := strings.Join(next(t, all, 2), ", "); got != "live a, live b" {
		t.Errorf("all: %s", got)
	}
	waits := make(chan error)
	go func() {
		_, err := one.Next(t.Context())
		waits <- err
	}()
	one.Close()
	if err := <-waits; !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestHubBounds: however much is logged, the hub keeps what it may, and of each app that logs little its last lines.
func TestHubBounds(t *testing.T) {
	h := newHub(64 << 10)
	add := func(app string, i, length int) {
		h.add(&Line{App: app, Text: fmt.Sprintf("%d %s", i, strings.Repeat("x", length))})
	}
	add("quiet", 0, 100)
	for i := range 5000 {
		add("loud", i, 1000)
		add("louder", i, 2000)
	}
	if h.bytes > h.most {
		t.Errorf("%d bytes, more than %d", h.bytes, h.most)
	}
	sum := 0
	for name, app := range h.apps {
		bytes := 0
		for _, each := range app.lines {
			bytes += each.line.cost()
		}
		if bytes != app.bytes || h.bySize[app.place] != app {
			t.Errorf("%s: %d bytes, counted as %d", name, bytes, app.bytes)
		}
		sum += bytes
	}
	if sum != h.bytes {
		t.Errorf("%d bytes, counted as %d", sum, h.bytes)
	}
	s := h.Subscribe("quiet")
	if got := next(t, s, 1); !strings.HasPrefix(got[0], "0 x") {
		t.Errorf("%q", got)
	}
	// Thousands of apps, each with a line: the oldest lines go, and the apps with them.
	for i := range 5000 {
		add(fmt.Sprint("app", i), i, 10)
	}
	if h.bytes > h.most || len(h.apps) > 1000 || len(h.bySize) != len(h.apps) {
		t.Errorf("%d bytes of %d apps", h.bytes, len(h.apps))
	}
}

// TestSlowSubscriber: it loses lines, is told how many, and nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	h := newHub(1 << 20)
	s := h.Subscribe("a")
	const lines = 1000
	for i := range lines {
		h.add(&Line{App: "a", Text: fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))})
	}
	kept := len(s.waiting)
	if kept == 0 || kept*1000 > subscriptionBytesMax {
		t.Fatalf("%d lines wait", kept)
	}
	got := next(t, s, kept+1)
	if want := fmt.Sprintf("%d dropped", lines-kept); got[kept] != want || !strings.HasPrefix(got[kept-1], fmt.Sprint(kept-1)) {
		t.Errorf("%.20q, want %q", got[kept], want)
	}
	h.add(&Line{App: "a", Text: "again"})
	if got := next(t, s, 1); got[0] != "again" {
		t.Errorf("%q", got)
	}
	s.Close()
	if len(h.subscriptions) != 0 {
		t.Error("it is not forgotten")
	}
}

func TestNextKeepsItsPlace(t *testing.T) {
	h := newHub(1 << 20)
	s := h.Subscribe("a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	h.add(&Line{App: "a", Text: "later"})
	if got := next(t, s, 1); got[0] != "later" {
		t.Errorf("%q", got)
	}
}
