package loop

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/tracecontext"
	"nano/uring/fakering"
)

const (
	testTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	testParent = "00f067aa0ba902b7"
	sampled    = "00-" + testTrace + "-" + testParent + "-01"
	unsampled  = "00-" + testTrace + "-" + testParent + "-00"
)

// spansOf are all spans that have ended, the texts copied.
func spansOf(t *Tracing) (all []Span) {
	t.Collect(func(spans []Span) {
		for _, s := range spans {
			for _, text := range []*[]byte{&s.Method, &s.Host, &s.Path, &s.Client, &s.Agent, &s.Cron, &s.State} {
				*text = bytes.Clone(*text)
			}
			all = append(all, s)
		}
	})
	return all
}

// tracedLines are the values of the trace's headers in a head, in order.
func tracedLines(head string) (parents, states []string) {
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		switch strings.ToLower(name) {
		case tracecontext.ParentName:
			parents = append(parents, value)
		case tracecontext.StateName:
			states = append(states, value)
		}
	}
	return parents, states
}

// A traceFetcher is a fetcher whose isolate fetches for each request, with the header lines that it has for it, the
// path of the request. If it copies, those that came with the request are sent, too.
type traceFetcher struct {
	*fetcher
	passer
	lines  string
	copies bool
	client *fakering.Peer
}

func newTraceFetcher(t testing.TB, change func(o *Options)) *traceFetcher {
	f := &traceFetcher{fetcher: newFetcher(t, fakering.Config{}, change)}
	f.passer.origin = originURL
	f.worker.onNews = f.passer.onNews
	f.worker.handle = func(w *fakeWorker, r *fakeRequest) {
		before := len(w.out)
		f.passer.handle(w, r)
		open := &w.out[before]
		open.Head = []byte(f.lines)
		if f.copies {
			for _, field := range r.fields {
				if name := strings.ToLower(string(field.Name(r.head))); name != "host" {
					open.Head = fmt.Appendf(open.Head, "%s: %s\r\n", name, field.Value(r.head))
				}
			}
		}
	}
	f.client = f.ring.Dial(f.listener)
	return f
}

// ask sends a request with header lines, and returns what came to the origin for it.
func (f *traceFetcher) ask(lines string) (head string) {
	f.t.Helper()
	f.client.WriteString("GET /x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n")
	f.settle()
	return string(f.fetcher.origin().Take())
}

const originOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestTracePassedOn: what of a trace comes to the origin, without Options.Tracing.
func TestTracePassedOn(t *testing.T) {
	f := newTraceFetcher(t, nil)
	long := strings.Repeat("x", 250)
	for _, test := range []struct {
		name, lines, app string
		copies           bool
		parent, states   string // parent: a pattern
	}{
		{"no trace", "", "", false, "", ""},
		{"sampled", "traceparent: " + sampled + "\r\n", "", false, "00-" + testTrace + "-[0-9a-f]{16}-01", ""},
		{"unsampled, with a state", "TraceParent: " + unsampled + "\r\nTraceState: a=1\r\ntracestate: b=2\r\n", "", false,
			"00-" + testTrace + "-[0-9a-f]{16}-00", "a=1,b=2"},
		{"long state", "traceparent: " + sampled + "\r\ntracestate: a=" + long + ",b=" + long + ",c=" + long + "\r\n", "", false,
			"00-" + testTrace + "-[0-9a-f]{16}-01", "a=" + long + ",b=" + long},
		{"malformed state", "traceparent: " + sampled + "\r\ntracestate: a=1,?\r\n", "", false, "00-" + testTrace + "-[0-9a-f]{16}-01", ""},
		{"malformed", "traceparent: " + strings.ToUpper(sampled) + "\r\ntracestate: a=1\r\n", "", false, "", ""},
		{"two of them", "traceparent: " + sampled + "\r\ntraceparent: " + sampled + "\r\n", "", false, "", ""},
		{"state alone", "tracestate: a=1\r\n", "", false, "", ""},
		{"of a later version", "traceparent: 01" + sampled[2:] + "-more\r\n", "", false, "00-" + testTrace + "-[0-9a-f]{16}-01", ""},
		{"the app's own", "traceparent: " + sampled + "\r\ntracestate: a=1\r\n", "Traceparent: mine\r\n", false, "mine", ""},
		{"the app's own state", "traceparent: " + sampled + "\r\ntracestate: a=1\r\n", "tracestate: z=1\r\n", false,
			"00-" + testTrace + "-[0-9a-f]{16}-01", "z=1"},
		{"the request passed on", "traceparent: " + sampled + "\r\ntracestate: a=1\r\nx: y\r\n", "", true, "00-" + testTrace + "-[0-9a-f]{16}-01", "a=1"},
		{"a malformed one passed on", "traceparent: x\r\n", "", true, "x", ""},
	} {
		f.lines, f.copies = test.app, test.copies
		head := f.ask(test.lines)
		parents, states := tracedLines(head)
		got := strings.Join(parents, " and ")
		if !regexp.MustCompile("^"+test.parent+"$").MatchString(got) || strings.Join(states, " and ") != test.states {
			t.Errorf("%s: got %q and %q", test.name, got, states)
		}
		if strings.Contains(got, testParent) {
			t.Errorf("%s: the id of the parent is not a new one: %s", test.name, got)
		}
		if strings.Contains(test.lines, "x: y") && !strings.Contains(head, "x: y\r\n") {
			t.Errorf("%s: another line is lost: %q", test.name, head)
		}
		f.answer(originOK)
		f.client.Take()
	}
	f.checkAtRest()
}

// TestTraceInterleaved: requests at the same time have each their own trace.
func TestTraceInterleaved(t *testing.T) {
	f := newTraceFetcher(t, nil)
	clients := make([]*fakering.Peer, 8)
	for i := range clients {
		clients[i] = f.ring.Dial(f.listener)
		clients[i].WriteString(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n", i, i+1, i+1))
	}
	f.settle()
	seen := map[string]bool{}
	for _, peer := range f.peers {
		head := string(peer.Take())
		parents, _ := tracedLines(head)
		if len(parents) != 1 {
			t.Fatalf("%q", head)
		}
		var path int
		fmt.Sscanf(head, "GET /%d ", &path)
		if want := fmt.Sprintf("00-%032x-", path+1); !strings.HasPrefix(parents[0], want) || seen[parents[0]] {
			t.Errorf("/%d has %s", path, parents[0])
		}
		seen[parents[0]] = true
		peer.WriteString(originOK)
	}
	f.settle()
	if len(seen) != len(clients) {
		t.Errorf("%d requests came", len(seen))
	}
}

// TestTraceThroughRedirects: each request of a fetch continues the trace, and they are one span.
func TestTraceThroughRedirects(t *testing.T) {
	tracing := NewTracing(0)
	f := newTraceFetcher(t, func(o *Options) { o.Tracing = tracing })
	first, _ := tracedLines(f.ask("traceparent: " + sampled + "\r\nuser-agent: me\r\n"))
	f.answer("HTTP/1.1 302 Found\r\nLocation: /y?secret#z\r\nContent-Length: 0\r\n\r\n")
	second, _ := tracedLines(string(f.fetcher.origin().Take()))
	f.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
	if len(first) != 1 || !slices.Equal(first, second) {
		t.Errorf("got %q and then %q", first, second)
	}
	spans := spansOf(tracing)
	if len(spans) != 2 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	client, server := spans[0], spans[1]
	if client.Kind != SpanClient || client.ID.String() != first[0][36:52] || client.Parent != server.ID || client.Trace.String() != testTrace ||
		client.Status != 404 || client.Error != "" || client.Resends != 1 || string(client.Path) != "/y" || string(client.Host) != "192.0.2.80" {
		t.Errorf("client: %+v", client)
	}
	if server.Kind != SpanServer || server.Parent.String() != testParent || server.Status != 404 || string(server.Path) != "/x" ||
		string(server.Agent) != "me" || string(server.Client) != "192.0.2.1:1234" || string(server.Host) != "a" || server.App != "demo" ||
		server.Route != "/" && server.Route != "" || server.Start != StartWarm || server.Begin > client.Begin || server.End < client.End || server.End <= server.Begin {
		t.Errorf("server: %+v", server)
	}
}

// TestTraceFaults: what spans tell of what went wrong.
func TestTraceFaults(t *testing.T) {
	tracing := NewTracing(1)
	f := newTraceFetcher(t, func(o *Options) { o.Tracing = tracing })
	spansOf(tracing)
	f.ask("")
	f.fetcher.origin().Close()
	f.settle()
	spans := spansOf(tracing)
	if len(spans) != 2 || spans[0].Error != "network" || spans[0].Status != 0 || spans[1].Status != 502 || spans[1].Parent != (tracecontext.SpanID{}) {
		t.Errorf("%+v", spans)
	}
	f.ask("")
	f.client.Reset() // the client leaves before there is an answer
	f.settle()
	f.answer(originOK)
	spans = spansOf(tracing)
	if len(spans) != 2 || spans[0].Kind != SpanServer || spans[0].Error != spanClientGone || spans[1].Kind != SpanClient {
		t.Errorf("%+v", spans)
	}
}

// TestTraceUnsampled: requests that are not chosen tell so, with an id that nobody else chooses anew.
func TestTraceUnsampled(t *testing.T) {
	tracing := NewTracing(0)
	f := newTraceFetcher(t, func(o *Options) { o.Tracing = tracing })
	seen := map[string]bool{}
	for range 3 {
		parents, _ := tracedLines(f.ask(""))
		if len(parents) != 1 || !strings.HasSuffix(parents[0], "-00") || seen[parents[0][:36]] {
			t.Errorf("got %q", parents)
		}
		seen[parents[0][:36]] = true
		f.answer(originOK)
	}
	if parents, _ := tracedLines(f.ask("traceparent: " + unsampled + "\r\n")); len(parents) != 1 || !strings.HasPrefix(parents[0], unsampled[:36]) {
		t.Errorf("got %q", parents)
	}
	f.answer(originOK)
	if spans := spansOf(tracing); len(spans) != 0 {
		t.Errorf("%+v", spans)
	}
}

// TestTraceServices: the span of a call is what the caller was told, and a child of the caller's.
func TestTraceServices(t *testing.T) {
	tracing := NewTracing(0)
	w := newServices(t, fakering.Config{}, func(o *Options) { o.Tracing = tracing })
	peer, got := w.talk("GET /call/b/call/c/x HTTP/1.1\r\nHost: a\r\ntraceparent: " + sampled + "\r\ntracestate: a=1\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Fatal(got)
	}
	peer.Close()
	w.settle()
	checkServiceSpans(t, spansOf(tracing))
	for _, e := range w.loop.exchanges.chunks[0] {
		if e.trace != nil {
			t.Error("a free exchange has a trace")
		}
	}
}

// TestTraceServicesFar: the same through tunnels.
func TestTraceServicesFar(t *testing.T) {
	tracing := NewTracing(0)
	g := newGroup(t, fakering.Config{}, func(o *Options) { o.Tracing = tracing })
	for app, loop := range []int{0, 1, 0} {
		g.serve(app, servedBy(loop))
	}
	peer := g.worlds[0].ring.Dial(g.worlds[0].listener)
	peer.WriteString("GET /call/b/call/c/x HTTP/1.1\r\nHost: a\r\ntraceparent: " + sampled + "\r\n\r\n")
	g.run(1100 * time.Millisecond)
	peer.Close()
	g.settle()
	checkServiceSpans(t, spansOf(tracing))
	g.end()
}

func checkServiceSpans(t *testing.T, spans []Span) {
	t.Helper()
	if len(spans) != 3 {
		t.Fatalf("%d spans: %+v", len(spans), spans)
	}
	slices.SortFunc(spans, func(a, b Span) int { return strings.Compare(a.App, b.App) })
	a, b, c := spans[0], spans[1], spans[2]
	if a.Kind != SpanServer || a.Parent.String() != testParent || b.Kind != SpanService || b.Parent != a.ID || b.Caller != "a" || string(b.Path) != "/call/c/x" ||
		c.Kind != SpanService || c.Parent != b.ID || c.Caller != "b" || c.Status != 200 || c.Request != a.Request || c.Start == StartNone {
		t.Errorf("a %+v\nb %+v\nc %+v", a, b, c)
	}
	for _, s := range spans {
		if s.Trace.String() != testTrace || s.Error != "" {
			t.Errorf("%+v", s)
		}
	}
}

// TestTraceServiceOwn: a caller that sets a traceparent itself is believed as any other client.
func TestTraceServiceOwn(t *testing.T) {
	tracing := NewTracing(0)
	w := newServices(t, fakering.Config{}, func(o *Options) { o.Tracing = tracing })
	w.loop.wantTurn(w.loop.workerOf(w.loop.table.routes[0].targets[0].app))
	_, _ = w.talk("GET /x HTTP/1.1\r\nHost: a\r\n\r\n") // a is awake
	l := w.loop
	open := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatService, Handle: 77, Target: []byte("b GET http://b/x"),
		Head: []byte("traceparent: " + sampled + "\r\n")}
	l.openObject(l.apps[0], &open)
	w.settle()
	spans := spansOf(tracing)
	if len(spans) != 1 || spans[0].Parent.String() != testParent || spans[0].ID.String() == testParent || spans[0].App != "b" {
		t.Errorf("%+v", spans)
	}
}

// TestTraceScheduled: a firing begins a trace.
func TestTraceScheduled(t *testing.T) {
	tracing := NewTracing(1)
	var fired []string
	w := newWorld(t, fakering.Config{Seed: 1}, func(o *Options) {
		o.Tracing = tracing
		o.Apps[0].Cron = triggers(t, "* * * * *")
		o.NewShard = shardOf(func(int) (Worker, error) { return newFakeWorker("demo", cronApp(&fired, 500, false)), nil })
	})
	w.run(time.Minute)
	spans := spansOf(tracing)
	if len(spans) != 1 || spans[0].Kind != SpanScheduled || string(spans[0].Cron) != "* * * * *" || spans[0].Status != 500 || spans[0].Start != StartCold {
		t.Errorf("%+v", spans)
	}
}

// TestVersionFound: the version of an app that is read only when it starts is in what is told from then on: in the log,
// accounts, and already in the span of the request that has started it.
func TestVersionFound(t *testing.T) {
	tracing := NewTracing(1)
	known := "" // App.Version
	for _, want := range []string{"found", "given"} {
		w := newWorld(t, fakering.Config{}, func(o *Options) {
			o.Tracing = tracing
			o.Apps[0].Version = known
			start := func(int) (Worker, error) {
				return newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
					w.record(isolates.Record{Kind: isolates.KindLog, LogID: 7, Body: []byte("line")})
					w.text(r.id, []byte("done"))
				}), nil
			}
			o.NewShard = func(int, int) (Shard, error) { return &fakeShard{start: start, version: "found"}, nil }
		})
		if got := w.loop.options.catalog.all()[0].version(); got != known {
			t.Errorf("before the start: %q", got)
		}
		peer, _ := w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		peer.Close()
		w.settle()
		spans := spansOf(tracing)
		if len(spans) != 1 || spans[0].Version != want {
			t.Errorf("%s: %+v", want, spans)
		}
		logged := slices.ContainsFunc(w.log.entries, func(e LogEntry) bool { return e.Request == 7 && e.Version == want })
		if got := w.loop.options.catalog.all()[0].version(); got != want || !logged {
			t.Errorf("%s: accounts have %q; %+v", want, got, w.log.entries)
		}
		known = "given"
	}
}

// TestTraceInLogs: lines of a request name its trace, those of waitUntil work as well, but not what is logged when
// that is over: the id of the exchange may be another one's then.
func TestTraceInLogs(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.NewShard = shardOf(func(int) (Worker, error) {
			return newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
				log := func(isPending bool) {
					w.record(isolates.Record{Kind: isolates.KindLog, ID: r.id, Pending: isPending, LogID: r.logID, Body: []byte("line")})
				}
				log(true)
				w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Body: []byte("done"), Pending: true})
				log(false)
				w.record(isolates.Record{Kind: isolates.KindSettled, ID: r.id})
				log(false)
				r.logID++
				log(false)
			}), nil
		})
	})
	for _, lines := range []string{"traceparent: " + sampled + "\r\n", ""} {
		peer, _ := w.talk("GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n")
		peer.Close()
		w.settle()
	}
	var ids []string
	for _, entry := range w.log.entries {
		if entry.Request != 0 {
			ids = append(ids, entry.Trace.String())
		}
	}
	none := strings.Repeat("0", 32)
	if want := []string{testTrace, testTrace, none, none, none, none, none, none}; !slices.Equal(ids, want) {
		t.Errorf("got %q in %+v", ids, w.log.entries)
	}
}

// TestTraceOverHTTP2: HTTP/2 has the lines as well.
func TestTraceOverHTTP2(t *testing.T) {
	f := newSecureFetcher(t, nil)
	got := make(chan http.Header, 1)
	url := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) { got <- r.Header }, nil)
	e := f.loop.exchanges.take(f.loop)
	e.worker = f.loop.apps[0]
	e.trace = f.loop.newTrace(7)
	e.trace.state.Add([]byte("a=1"))
	r := f.ask("GET "+url+"/", func(r *isolates.Record) { r.Exchange, r.Pending = e.id, true })
	f.wait("an answer", r)
	header := <-got
	if p, ok := tracecontext.ParseParent([]byte(header.Get("traceparent"))); !ok || p.Trace != e.trace.id || header.Get("tracestate") != "a=1" {
		t.Errorf("%v", header)
	}
	e.worker = nil
	f.loop.exchanges.give(e)
}

// TestTracingSamples: the part of the traces that is recorded follows from their ids alone.
func TestTracingSamples(t *testing.T) {
	for _, test := range []struct {
		ratio float64
		low   uint64
		want  bool
	}{
		{0, 0, false}, {1, 1<<64 - 1, true}, {2, 1<<64 - 1, true}, {-1, 0, false},
		{0.5, 1<<63 - 1, true}, {0.5, 1 << 63, false}, {0.25, 1<<62 - 1, true}, {0.25, 1 << 62, false},
	} {
		if got := NewTracing(test.ratio).samples(test.low); got != test.want {
			t.Errorf("%v of %x: %v", test.ratio, test.low, got)
		}
	}
	tracing := NewTracing(0.25)
	l, _ := newScripted(t, plainRequest, 8, func(o *Options) { o.Tracing = tracing })
	for range 4000 {
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}
	recorded := 0
	tracing.Collect(func(spans []Span) { recorded += len(spans) })
	recorded += int(tracing.Dropped())
	if asked := int(l.stats.Requests); recorded < asked/5 || recorded > asked/3 {
		t.Errorf("%d of %d", recorded, asked)
	}
}

// TestTracingIsBounded: what nobody collects is dropped, and counted.
func TestTracingIsBounded(t *testing.T) {
	tracing := NewTracing(1)
	log := tracing.newLog()
	span := Span{Path: bytes.Repeat([]byte("x"), 100)}
	for range spansMax + 10 {
		tracing.add(log, &span)
	}
	if n := tracing.Dropped(); n != 10 {
		t.Errorf("%d dropped", n)
	}
	select {
	case <-tracing.Full():
	default:
		t.Error("nobody was told")
	}
	if n := len(spansOf(tracing)); n != spansMax {
		t.Errorf("%d collected", n)
	}
	span.Path = bytes.Repeat([]byte("x"), spanBytesMax)
	tracing.add(log, &span)
	tracing.add(log, &span)
	if n := len(spansOf(tracing)); n != 1 || tracing.Dropped() != 11 {
		t.Errorf("%d collected, %d dropped", n, tracing.Dropped())
	}
}

// TestTracingAllocatesNothing: neither for requests that are not traced, nor for those that are.
func TestTracingAllocatesNothing(t *testing.T) {
	traced := "GET / HTTP/1.1\r\nHost: hello.localhost\r\ntraceparent: " + sampled + "\r\ntracestate: a=1\r\n\r\n"
	for name, test := range map[string]struct {
		request string
		tracing *Tracing
	}{
		"unsampled":          {plainRequest, NewTracing(0)},
		"sampled":            {plainRequest, NewTracing(1)},
		"passed on":          {traced, nil},
		"sampled by clients": {traced, NewTracing(0)},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newScripted(t, test.request, 8, func(o *Options) { o.Tracing = test.tracing })
			round := func() {
				if err := l.tick(); err != nil {
					t.Fatal(err)
				}
				if test.tracing != nil {
					test.tracing.Collect(func([]Span) {})
				}
			}
			for range 20 {
				round()
			}
			if allocations := testing.AllocsPerRun(1000, round); allocations != 0 {
				t.Errorf("%v allocations per tick of 8 connections", allocations)
			}
		})
	}
}
