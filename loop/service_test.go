package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// newServices makes a world of the demo apps a, b and c, each of which has the others as services.
func newServices(t testing.TB, config fakering.Config, change func(o *Options)) *world {
	var w *world
	w = newWorld(t, config, func(o *Options) {
		o.Apps = nil
		for _, name := range []string{"a", "b", "c"} {
			o.Apps = append(o.Apps, App{Name: name, Hosts: []string{name}})
		}
		blocks := o.Blocks.(*fakeBlocks)
		o.NewShard = shardOf(func(app int) (Worker, error) {
			worker := newFakeWorker(o.Apps[app].Name, demo(blocks))
			if w != nil {
				w.workers = append(w.workers, worker)
			}
			return worker, nil
		})
		if change != nil {
			change(o)
		}
	})
	return w
}

// plain takes the answer on a connection apart, and removes chunked coding.
func plain(t *testing.T, got string) (head, body string) {
	t.Helper()
	head, body, _ = strings.Cut(got, "\r\n\r\n")
	if strings.Contains(head, "transfer-encoding: chunked") {
		body = unchunk(t, body)
	}
	return head, body
}

// A serviceRow is a request to app a, and what must come of it.
type serviceRow struct {
	path, body   string
	want, status string
}

var longBody = string(noise(300_000))

var serviceRows = []serviceRow{
	{"/call/b/x", "", "GET /x a ", "200"},
	{"/call/b/empty", "", "", "204"},
	{"/call/b/null", "", "", "200"},
	{"/call/b/large/100", "", strings.Repeat("0123456789abcdef", 7)[:100], "200"},
	{"/call/b/chunk/100000", "", strings.Repeat("0123456789abcdef", 6250), "200"},
	{"/call/b/stream/3", "", "chunk 2;chunk 1;chunk 0;", "200"},
	{"/call/b/late", "", "late", "200"},
	{"/callread/b/stream/3", "", "chunk 2;chunk 1;chunk 0;", "200"},
	{"/callread/b/x", "", "GET /x a ", "200"},
	{"/callwrite/b/x", "", "GET /x a piece 4;piece 3;piece 2;piece 1;piece 0;", "200"},
	{"/callwrite/b/pipe", "", "piece 4;piece 3;piece 2;piece 1;piece 0;", "200"},
	{"/callwrite/b/unread", "", "unread", "200"},
	{"/callwrite/b/cancel", "", "cancel", "200"},
	{"/callwrite/b/some/3", "", "some", "200"},
	{"/call/b/call/c/x", "", "GET /x a ", "200"},
	{"/call/b/call/c/stream/2", "", "chunk 1;chunk 0;", "200"},
	{"/callread/b/callread/c/stream/2", "", "chunk 1;chunk 0;", "200"},
	{"/callwrite/b/call/c/pipe", "", "piece 4;piece 3;piece 2;piece 1;piece 0;", "200"},
	{"/call/b/call/a/x", "", "GET /x a ", "200"}, // back to an app that waits
	{"/call/b/x", "small", "POST /x a small", "200"},
	{"/call/b/x", longBody, "POST /x a " + longBody, "200"},
	{"/call/b/pipe", longBody, longBody, "200"},
	{"/call/b/upper", longBody, strings.ToUpper(longBody), "200"},
	{"/call/b/unread", longBody, "unread", "200"},
	{"/call/b/some/5", longBody, "some", "200"},
	{"/call/b/call/c/pipe", longBody, longBody, "200"},
	{"/callread/b/pipe", longBody, longBody, "200"},
	{"/call/nobody/x", "", "there is no app nobody", "500"},
	{"/call/b/die", "", "nano: b: memory-limit", "503"},
	{"/call/b/call/c/die", "", "nano: c: memory-limit", "503"},
	{"/call/b/call/nobody/x", "", "there is no app nobody", "500"},
}

func (r *serviceRow) method() string {
	if r.body != "" {
		return "POST"
	}
	return "GET"
}

func (r *serviceRow) request() string {
	framing := ""
	if r.body != "" {
		framing = fmt.Sprintf("Content-Length: %d\r\n", len(r.body))
	}
	return r.method() + " " + r.path + " HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n" + r.body
}

func (r *serviceRow) check(t *testing.T, how, got string) {
	t.Helper()
	head, body := plain(t, got)
	if !strings.HasPrefix(head, "HTTP/1.1 "+r.status) || body != r.want {
		t.Errorf("%s %s, %s: got %q and %d bytes %q", r.method(), r.path, how, head, len(body), body[:min(len(body), 100)])
	}
}

// TestServiceCalls: whatever an app answers over a connection, it answers to another app.
func TestServiceCalls(t *testing.T) {
	for _, row := range serviceRows {
		for _, warm := range []bool{false, true} {
			w := newServices(t, fakering.Config{}, nil)
			if warm {
				for _, host := range []string{"a", "b", "c"} {
					peer, _ := w.talk("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
					peer.Close()
				}
			}
			peer := w.ring.Dial(w.listener)
			peer.WriteString(row.request())
			w.run(1100 * time.Millisecond)
			row.check(t, fmt.Sprint("warm ", warm), string(peer.Take()))
			peer.Close()
			w.end()
		}
	}
}

// TestServiceCallsFar: and it makes no difference where the apps live.
func TestServiceCallsFar(t *testing.T) {
	for _, where := range [][3]int{{0, 1, 0}, {0, 1, 1}, {1, 0, 1}, {0, 0, 1}} {
		g := newGroup(t, fakering.Config{}, nil)
		for app, loop := range where {
			g.serve(app, servedBy(loop))
		}
		for _, row := range serviceRows {
			w := g.worlds[where[0]]
			peer := w.ring.Dial(w.listener)
			peer.WriteString(row.request())
			g.run(1100 * time.Millisecond)
			row.check(t, fmt.Sprint("at ", where), string(peer.Take()))
			peer.Close()
			g.settle()
			for i, w := range g.worlds {
				if l := w.loop; l.called != 0 || l.tunnels != 0 || len(l.handles.byKey) != 0 {
					t.Errorf("%s, at %v: loop %d is left with %d calls, %d tunnels, %d handles", row.path, where, i, l.called, l.tunnels, len(l.handles.byKey))
				}
			}
		}
		if calls := len(g.worlds[where[1]].workers); calls == 0 {
			t.Error("the callee ran elsewhere")
		}
		g.end()
	}
}

// TestServiceFarBackPressure: a client that takes nothing slows a callee on another loop down.
func TestServiceFarBackPressure(t *testing.T) {
	g := newGroup(t, fakering.Config{}, nil)
	for app := range 3 {
		g.serve(app, servedBy(app%2))
	}
	peer := g.worlds[0].ring.Dial(g.worlds[0].listener)
	peer.SetWindow(100)
	peer.WriteString("GET /call/b/stream/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
	g.run(300 * time.Millisecond)
	made := 0
	for _, state := range g.worlds[1].workers[0].live {
		made = 100000 - state.wantsMoreTurns
	}
	if most := (tunnelHigh + answerHigh) / len("chunk 0;"); made < most/4 || made > most {
		t.Errorf("%d chunks were made for a client that takes none", made)
	}
	peer.SetWindow(-1)
	for range 100 {
		g.run(20 * time.Millisecond)
	}
	if _, body := plain(t, string(peer.Take())); strings.Count(body, "chunk ") != 100000 {
		t.Errorf("got %d chunks", strings.Count(body, "chunk "))
	}
	peer.Close()
}

// TestServiceFarSimulation: calls between loops under every fault, with clients that leave and loops that
// drain.
func TestServiceFarSimulation(t *testing.T) {
	defer func(before int64) { gatheredMax = before }(gatheredMax)
	gatheredMax = 100
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			defer expectBulkOften(seed)()
			faults := fakering.Harsh()
			sound := seed%3 == 0
			if sound {
				faults.Reset, faults.AcceptError = 0, 0
			}
			g := newGroup(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
				o.Wall, o.SendTimeout, o.BodyTimeout, o.HeaderTimeout, o.IdleTimeout = time.Hour, time.Hour, time.Hour, time.Hour, time.Hour
				o.DrainTimeout = time.Minute
			})
			for app := range 3 {
				g.serve(app, servedBy(random.IntN(2)))
			}
			var clients []*client
			for range 1 + random.IntN(6) {
				c := newServiceClient(random)
				c.drained = seed%5 == 1
				clients = append(clients, c)
				c.act(g.worlds[random.IntN(2)], random)
			}
			if seed%5 == 1 {
				w := g.worlds[random.IntN(2)]
				w.ring.At(time.Duration(random.IntN(200000))*time.Microsecond, w.loop.Drain)
			}
			g.run(20 * time.Second)
			checkAll(t, clients, sound)
			g.end()
		})
	}
}

// TestServiceToOldClients: where there are no chunks, the end of the connection is the end of the answer.
func TestServiceToOldClients(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	peer, got := w.talk("GET /call/b/stream/3 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
	if head, body := plain(t, got); body != "chunk 2;chunk 1;chunk 0;" || !strings.Contains(head, "connection: close") || !peer.Ended() {
		t.Errorf("got %q, ended %v", got, peer.Ended())
	}
	peer, got = w.talk("GET /call/b/broken/2 HTTP/1.0\r\nHost: a\r\n\r\n")
	if _, body := plain(t, got); body != "chunk 1;chunk 0;" || len(w.sockets.reset) != 1 {
		t.Errorf("got %q, and %d connections to be reset", got, len(w.sockets.reset))
	}
	peer.Close()
}

// TestServiceDepth: apps that call each other without end get an error.
func TestServiceDepth(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	path := "/" + strings.Repeat("call/b/call/a/", serviceDepthMax) + "x"
	_, got := w.talk("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
	if !strings.Contains(got, "service calls are nested too deep: a > b > a > b") {
		t.Errorf("got %q", got)
	}
	path = "/" + strings.Repeat("call/b/call/a/", serviceDepthMax/2) + "x"
	if _, got := w.talk("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasSuffix(got, "GET /x a ") {
		t.Errorf("as deep as it may be: got %q", got)
	}
}

// TestServiceDepthAfterAnswers: answering before calling is no way around it.
func TestServiceDepthAfterAnswers(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	path := "/" + strings.Repeat("callafter/b/", 3*serviceDepthMax) + "x"
	if _, got := w.talk("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasSuffix(got, "after") {
		t.Errorf("got %q", got)
	}
	w.settle()
	if n := w.loop.apps[1].load.count; n != serviceDepthMax {
		t.Errorf("%d calls", n)
	}
}

// TestServiceCallerLeaves: at every stage of a call the client may leave. The callee hears of it, and
// nothing is left.
func TestServiceCallerLeaves(t *testing.T) {
	for _, path := range []string{"/call/b/never", "/call/b/hold", "/call/b/stream/100000", "/callread/b/stream/100000", "/call/b/call/c/stream/100000",
		"/call/b/some/1000000", "/callwrite/b/hold", "/call/b/call/c/hold", "/call/b/pipe"} {
		for at := range 12 {
			w := newServices(t, fakering.Config{}, func(o *Options) { o.Background = time.Second })
			peer := w.ring.Dial(w.listener)
			peer.SetWindow(1000)
			peer.WriteString("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun")
			for range at {
				w.loop.waker.Signal()
				if err := w.loop.tick(); err != nil {
					t.Fatal(err)
				}
			}
			peer.Reset()
			w.run(5 * time.Second)
			if w.loop.called != 0 || len(w.loop.handles.byKey) != 0 || w.loop.exchanges.inUse != 0 {
				t.Errorf("%s, left after %d ticks: %d callers, %d handles, %d exchanges", path, at, w.loop.called,
					len(w.loop.handles.byKey), w.loop.exchanges.inUse)
			}
			w.end()
		}
	}
}

// TestServiceWallLimit: a callee that does not answer in time is answered for, as it is over HTTP.
func TestServiceWallLimit(t *testing.T) {
	w := newServices(t, fakering.Config{}, func(o *Options) { o.Apps[1].Wall = time.Second; o.Background = time.Second })
	peer, _ := w.talk("GET /call/b/never HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(2 * time.Second)
	if got := string(peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 504") || !strings.HasSuffix(got, "nano: b: wall limit exceeded") {
		t.Errorf("got %q", got)
	}
	peer.Close()
}

// TestServiceBackPressure: a client that does not take the answer slows the callee down, through the
// caller.
func TestServiceBackPressure(t *testing.T) {
	for _, path := range []string{"/call/b/stream/10000", "/call/b/call/c/stream/10000", "/callread/b/stream/10000"} {
		w := newServices(t, fakering.Config{}, nil)
		peer := w.ring.Dial(w.listener)
		peer.SetWindow(100)
		peer.WriteString("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		w.run(100 * time.Millisecond)
		maker := w.workers[len(w.workers)-1]
		made := 0
		for _, state := range maker.live {
			made = 10000 - state.wantsMoreTurns
		}
		if made == 0 || made > 2+answerHigh/len("8\r\nchunk 9999;\r\n") {
			t.Errorf("%s: %d chunks were made for a client that takes none", path, made)
		}
		peer.SetWindow(-1)
		w.run(200 * time.Millisecond)
		if _, body := plain(t, string(peer.Take())); strings.Count(body, "chunk ") != 10000 {
			t.Errorf("%s: got %d chunks", path, strings.Count(body, "chunk "))
		}
		peer.Close()
		w.end()
	}
}

// TestServiceSimulation: clients of every kind ask apps that call others, under every fault.
func TestServiceSimulation(t *testing.T) {
	defer func(before int64) { gatheredMax = before }(gatheredMax)
	gatheredMax = 100
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			defer expectBulkOften(seed)()
			faults := fakering.Harsh()
			if seed%3 == 0 {
				faults.Reset, faults.AcceptError = 0, 0
			}
			w := newServices(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
				o.Wall, o.SendTimeout, o.BodyTimeout, o.HeaderTimeout, o.IdleTimeout = time.Hour, time.Hour, time.Hour, time.Hour, time.Hour
				o.DrainTimeout = time.Minute
			})
			var clients []*client
			for range 1 + random.IntN(6) {
				c := newServiceClient(random)
				clients = append(clients, c)
				c.act(w, random)
			}
			w.run(30 * time.Second)
			checkAll(t, clients, seed%3 == 0)
			w.end()
		})
	}
}

// newServiceClient makes a client whose answers have a length, so that it can check them.
func newServiceClient(random *rand.Rand) *client {
	c := &client{leaves: random.IntN(5) == 0, slow: random.IntN(4) == 0}
	for i := range 1 + random.IntN(6) {
		via := []string{"/call/b", "/call/b/call/c", "/call/c/call/a", "/callread/c"}[random.IntN(4)]
		switch random.IntN(4) {
		case 0:
			body := strings.Repeat("b", 1+random.IntN(2000))
			c.input += fmt.Sprintf("POST %s/pipe HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", via, len(body), body)
			if strings.HasPrefix(via, "/callread") && len(body) > int(gatheredMax) {
				c.input = c.input[:strings.LastIndex(c.input, "POST ")]
				continue // the app gives no length
			}
			c.want = append(c.want, body)
		case 1:
			body := strings.Repeat("c", 1+random.IntN(1000))
			c.input += fmt.Sprintf("POST %s/unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", via, len(body), body)
			c.want = append(c.want, "unread")
		case 2:
			n := 1 + random.IntN(3000)
			c.input += fmt.Sprintf("GET %s/large/%d HTTP/1.1\r\nHost: a\r\n\r\n", via, n)
			c.want = append(c.want, strings.Repeat("0123456789abcdef", n/16+1)[:n])
		default:
			c.input += fmt.Sprintf("GET %s/%d HTTP/1.1\r\nHost: a\r\n\r\n", via, i)
			c.want = append(c.want, fmt.Sprintf("GET /%d a ", i))
		}
	}
	if len(c.want) == 0 {
		c.input += "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
		c.want = append(c.want, "GET /x a ")
	}
	return c
}

// TestServiceCallsAllocateNothing: a call on one loop, with its answer, costs no memory of Go.
func TestServiceCallsAllocateNothing(t *testing.T) {
	l, ring := newScripted(t, plainRequest, 8, nil)
	ring.quiet = true
	for range 10 {
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}
	w := l.apps[0]
	record := &isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatService, Handle: 1, Target: []byte("other GET http://other/path"),
		Head: []byte("x-name: value\r\n")}
	before := l.apps[1].load.count
	allocations := testing.AllocsPerRun(1000, func() {
		l.openObject(w, record)
		for range 2 {
			if err := l.tick(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for each call", allocations)
	}
	if n := l.apps[1].load.count - before; n < 1000 || l.called != 0 || len(l.handles.byKey) != 0 {
		t.Errorf("%d calls, %d open", n, l.called)
	}
}
