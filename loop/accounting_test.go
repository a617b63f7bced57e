package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// TestAccounts: what becomes of requests is counted, each once.
func TestAccounts(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, func(o *Options) {
		o.Apps[0].ConcurrentRequests = 3
		o.Wall = 10 * time.Second
		o.Idle = 20 * time.Second
		o.MaxBody = 1000
	})
	b.ask(0, "/1")
	b.ask(0, "/empty")
	b.ask(0, "/fields")
	b.warm[0].cpu = 3 * time.Second
	b.warm[0].heap.Spaces[2].Used = 1000
	hung, _ := b.talk(strings.Repeat(getFrom(0, "/never"), 4)) // the fourth is one too many
	left, _ := b.talk("POST / HTTP/1.1\r\nHost: 0\r\nContent-Length: 1001\r\n\r\n")
	left.Close()
	b.run(11 * time.Second)
	hung.Reset()
	b.ask(0, "/x")          // the three that hang are still counted
	b.run(60 * time.Second) // until they are given up, and then until the app sleeps
	b.fails = func(app int) error { return errors.New("no") }
	b.ask(0, "/x")
	b.fails = nil
	b.run(2 * time.Second)
	b.warm[0] = nil
	b.ask(0, "/y")
	b.warm[0].cpu = time.Second
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {
		w.record(isolates.Record{Kind: isolates.KindLog, Level: isolates.LevelUncaught, Body: []byte("Error: x")})
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 500, NoBody: true})
	}
	b.ask(0, "/z")
	reset := b.ring.Dial(b.listener)
	b.warm[0].handle = func(w *fakeWorker, r *fakeRequest) {}
	reset.WriteString(getFrom(0, "/"))
	b.settle()
	reset.Reset()
	b.settle()
	b.warm[0].fail = isolates.ErrCPULimit
	b.ask(0, "/")

	var got AppStats
	b.loop.apps[0].account(&got, b.loop.now)
	// Answered at once, but for those that met the wall limit; one had no answer.
	if d := got.Latency; d.Buckets[0] != 9 || d.Buckets[len(LatencyBounds)] != 3 || d.Count() != 12 || d.Total.Round(time.Second) != 30*time.Second {
		t.Errorf("latency %+v", d)
	}
	got.Latency = Latency{}
	want := AppStats{CPU: 4 * time.Second, AppCounts: AppCounts{
		Requests: 13, Answers: [6]uint64{1, 0, 4, 0, 0, 8},
		Uncaught: 1, CPULimit: 1, WallLimit: 3, BodyLimit: 1, ConcurrencyLimit: 2, StartFailures: 1,
		Starts: [3]StartCounts{{Count: 2, Total: 2 * time.Millisecond, Max: time.Millisecond}}, Sleeps: 1, Deaths: 1,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got.Errors() != 9 {
		t.Errorf("%d errors", got.Errors())
	}
}

// TestAddCoversAll: a field that Add forgets would be 0 in every report.
func TestAddCoversAll(t *testing.T) {
	var one, sum AppStats
	n := 0
	fill(reflect.ValueOf(&one).Elem(), &n)
	sum.ID, sum.Name, sum.Version = one.ID, one.Name, one.Version // of one app, or of none
	sum.Add(&one)
	if sum != one {
		t.Errorf("%d numbers; the sum of one is\n%+v, not\n%+v", n, sum, one)
	}
	sum.Add(&one)
	if sum.Requests != 2*one.Requests || sum.Starts[1].Max != one.Starts[1].Max || sum.Heap.External != 2*one.Heap.External {
		t.Errorf("the sum of two is %+v", sum)
	}
}

// TestSubCoversAll: a field that Sub forgets would be counted again and again.
func TestSubCoversAll(t *testing.T) {
	var one, sum AppStats
	n := 0
	fill(reflect.ValueOf(&one).Elem(), &n)
	sum.Add(&one)
	sum.AppCounts.Sub(&one.AppCounts)
	for i := range sum.Starts {
		sum.Starts[i].Max = 0
	}
	if sum.AppCounts != (AppCounts{}) {
		t.Errorf("one without itself is\n%+v", sum.AppCounts)
	}
}

// fill sets all numbers in a value to different ones.
func fill(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Uint64:
		*n++
		v.SetUint(uint64(*n))
	case reflect.Int, reflect.Int64:
		*n++
		v.SetInt(int64(*n))
	}
}

// TestReports: the accounts of thousands of apps are made some at a time, beside requests.
func TestReports(t *testing.T) {
	const apps = 10*reportedPerTick + 1
	b := newTown(t, fakering.Config{}, apps, nil)
	for _, app := range []int{0, reportedPerTick, apps - 1} {
		b.ask(app, "/")
	}
	done := make(chan struct{})
	r := &report{of: b.loop.options.catalog.all(), apps: make([]AppStats, apps), done: done}
	b.loop.mailbox.Post(message{kind: messageReport, report: r})
	peer := b.ring.Dial(b.listener)
	peer.WriteString(getFrom(1, "/"))
	for last := 0; ; {
		if err := b.loop.tick(); err != nil {
			t.Fatal(err)
		}
		if r.next > last+reportedPerTick {
			t.Fatalf("%d apps in a tick", r.next-last)
		}
		last = r.next
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	for app := range r.apps {
		isWarm := app == 0 || app == reportedPerTick || app == apps-1
		if s := &r.apps[app]; app != 1 && (s.Requests == 1 != isWarm || s.Warm == 1 != isWarm || s.Resident != int64(s.Warm)<<20) {
			t.Errorf("app %d: %+v", app, s)
		}
	}
	b.settle()
	if got := string(peer.Take()); !strings.HasSuffix(got, "GET / 1 ") {
		t.Errorf("got %q", got)
	}
	peer.Close()
}

// TestNodeApps: the accounts of a node are the sum over its loops, whether they sleep or work, and are
// there to the end.
func TestNodeApps(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) {
		o.Loops = 2
		o.Options.Apps = []App{{Name: "demo"}, {Name: "other", Path: "/other"}}
	})
	client := &http.Client{Timeout: patience(t), Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 40 {
		path := "/x"
		if i%4 == 0 {
			path = "/other"
		}
		response, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	apps, err := node.Apps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(apps) != 2 || apps[0].Name != "demo" || apps[1].Name != "other" {
		t.Fatalf("got %+v", apps)
	}
	for i, want := range []uint64{30, 10} {
		s := &apps[i]
		ended := s.Sleeps + s.Evictions + s.PressureEvictions + s.Retirements + s.Deaths // a slow machine gives loops the time for it
		if s.Requests != want || s.Answers[2] != want || s.Warm < 1 || s.Resident != int64(s.Warm)<<20 || s.Starts[0].Count != uint64(s.Warm)+ended {
			t.Errorf("app %s: %+v", s.Name, s)
		}
	}
	if m := node.Memory(); m.Budget != 1<<30 || m.Resident != apps[0].Resident+apps[1].Resident {
		t.Errorf("memory %+v", m)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.Apps(gone); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Apps(t.Context()); err != nil { // nobody is left to ask
		t.Error(err)
	}
}

// TestReportAtTheEnd: who asks a loop that ends gets an answer.
func TestReportAtTheEnd(t *testing.T) {
	b := newTown(t, fakering.Config{}, 3*reportedPerTick, nil)
	b.ask(0, "/")
	var all []chan struct{}
	var reports []*report
	post := func() {
		done := make(chan struct{})
		r := &report{of: b.loop.options.catalog.all(), apps: make([]AppStats, len(b.warm)), done: done}
		if b.loop.mailbox.Post(message{kind: messageReport, report: r}) {
			all, reports = append(all, done), append(reports, r)
		}
	}
	post()
	b.loop.Drain()
	post()
	b.end()
	post()
	if len(all) != 2 {
		t.Errorf("%d were asked", len(all))
	}
	for i, done := range all {
		select {
		case <-done:
		default:
			t.Errorf("report %d is not done", i)
		}
		if got := fmt.Sprint(reports[i].apps[0].Requests, reports[i].apps[0].Warm); got != "1 1" {
			t.Errorf("report %d: %s", i, got)
		}
	}
}

// TestHeapIsAskedSeldom: what the heap of an isolate holds is asked of V8 once in heapPause, and of a new one at once.
func TestHeapIsAskedSeldom(t *testing.T) {
	b := newTown(t, fakering.Config{}, 1, func(o *Options) { o.Idle = 20 * time.Second })
	b.ask(0, "/")
	used := func() int64 {
		var got AppStats
		b.loop.apps[0].account(&got, b.loop.now)
		return got.Heap.Spaces[2].Used
	}
	b.warm[0].heap.Spaces[2].Used = 1000
	if got := used(); got != 1000 {
		t.Errorf("at first %d", got)
	}
	b.warm[0].heap.Spaces[2].Used = 2000
	if got := used(); got != 1000 {
		t.Errorf("at once %d", got)
	}
	b.run(time.Duration(heapPause))
	b.ask(0, "/")
	if got := used(); got != 2000 {
		t.Errorf("later %d", got)
	}
	b.run(21 * time.Second)
	if got := used(); got != 0 {
		t.Errorf("asleep %d", got)
	}
	b.ask(0, "/")
	b.warm[0].heap.Spaces[2].Used = 3000
	if got := used(); got != 3000 {
		t.Errorf("of another isolate %d", got)
	}
}
