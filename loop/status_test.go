package loop

import (
	"context"
	"reflect"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// TestStatsCoverAll: a counter that is forgotten in one of their lists would be 0 for everybody else.
func TestStatsCoverAll(t *testing.T) {
	var l Loop
	n := 0
	fill(reflect.ValueOf(&l.stats).Elem(), &n)
	if n != statsFields {
		t.Errorf("%d counters, %d published", n, statsFields)
	}
	l.published.publish(&l.stats)
	if got := l.Stats(); got != l.stats {
		t.Errorf("published\n%+v, not\n%+v", got, l.stats)
	}
	sum := l.stats.Add(l.stats)
	if sum.Connections != 2*l.stats.Connections || sum.Batches[BatchClasses-1] != 2*l.stats.Batches[BatchClasses-1] ||
		sum.LongestTick != l.stats.LongestTick {
		t.Errorf("the sum of two is %+v", sum)
	}
}

func TestBatches(t *testing.T) {
	var s Stats
	for _, completions := range []int{0, 1, 2, 3, 4, 511, 512, 100_000} {
		s.noteBatch(completions)
	}
	want := [BatchClasses]uint64{1, 2, 1}
	want[BatchClasses-2], want[BatchClasses-1] = 1, 2
	if s.Batches != want || s.Completions != 101_033 {
		t.Errorf("%v, %d completions", s.Batches, s.Completions)
	}
}

func TestLatencyBuckets(t *testing.T) {
	var d Latency
	d.note(0)
	for i, bound := range LatencyBounds {
		d.note(bound)
		d.note(bound + 1)
		if i > 0 && bound <= LatencyBounds[i-1] {
			t.Errorf("bound %d is %v", i, bound)
		}
	}
	for i, count := range d.Buckets {
		if want := uint64(2); count != want && !(i == len(LatencyBounds) && count == 1) {
			t.Errorf("bucket %d has %d", i, count)
		}
	}
	if d.Count() != uint64(2*len(LatencyBounds)+1) {
		t.Errorf("count %d", d.Count())
	}
}

// TestStalls: a tick in which an app computed for long is a stall, and its requests have waited for it; the
// tick after it, in which the loop sleeps, is none.
func TestStalls(t *testing.T) {
	var took time.Duration
	b := newTown(t, fakering.Config{}, 2, func(o *Options) {
		clock := o.Clock
		o.Clock = func() time.Time { return clock().Add(took) }
	})
	b.ask(0, "/")
	before := b.loop.stats
	usual := b.warm[0].handle
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {
		took += 30 * time.Millisecond
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, NoBody: true})
	}
	b.ask(0, "/")
	b.warm[0].handle = usual
	b.run(5 * time.Second)
	now := b.loop.stats
	if now.Stalls != before.Stalls+1 || time.Duration(now.StallTime-before.StallTime).Round(time.Millisecond) != 30*time.Millisecond ||
		time.Duration(now.LongestTick).Round(time.Millisecond) != 30*time.Millisecond {
		t.Errorf("%d stalls of %v, the longest tick %v", now.Stalls-before.Stalls, time.Duration(now.StallTime), time.Duration(now.LongestTick))
	}
	latency := b.loop.apps[0].counts.Latency
	if latency.Buckets[7] != 1 || latency.Count() != 2 {
		t.Errorf("latency %+v", latency)
	}
	if now.Completions == 0 || now.Batches == ([BatchClasses]uint64{}) {
		t.Errorf("%+v", now)
	}
}

// TestNodeLoops: each loop answers while it runs, and is said to have ended after it.
func TestNodeLoops(t *testing.T) {
	node, _ := startNode(t, func(o *NodeOptions) { o.Loops = 2 })
	for i, status := range node.Loops(t.Context()) {
		if status.Thread == 0 || status.CPU <= 0 || status.CPU > time.Minute || status.Warm != 0 {
			t.Errorf("loop %d: thread %d has used %v, %d isolates", i, status.Thread, status.CPU, status.Warm)
		}
		if status.Loop != i || status.IsSlow || !status.Responsive || status.HasEnded {
			t.Errorf("loop %d: %+v", i, status)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := len(node.Loops(gone)); got != 2 {
		t.Errorf("%d loops", got)
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, status := range node.Loops(t.Context()) {
		if status.Responsive || !status.HasEnded {
			t.Errorf("loop %d: %+v", i, status)
		}
	}
}
