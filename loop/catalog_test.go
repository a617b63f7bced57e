package loop

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// split has a world's app be asked n times while it shares the requests with another one, and counts who answered.
func split(t *testing.T, seed uint64, n int, weights ...int) (counts []uint64) {
	t.Helper()
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.seed = seed })
	targets := []Target{{0, weights[0]}}
	for _, weight := range weights[1:] {
		targets = append(targets, Target{int(w.addApp(App{Name: "demo"}).id), weight})
	}
	w.setRoutes(Route{Name: "demo", Hosts: []string{"a"}, Targets: targets})
	const batch = 20
	peer := w.ring.Dial(w.listener)
	for range n / batch {
		peer.WriteString(strings.Repeat(get("a", "/x"), batch))
		w.settle()
		if got := strings.Count(string(peer.Take()), "HTTP/1.1 200 OK"); got != batch {
			t.Fatalf("%d answers of %d", got, batch)
		}
	}
	for _, target := range targets {
		counts = append(counts, w.loop.apps[target.App].load.count)
	}
	return counts
}

// TestSplit: the requests of one connection are shared by weight, the same for the same seed.
func TestSplit(t *testing.T) {
	const n = 4000
	for _, weights := range [][]int{{1}, {1, 1}, {9, 1}, {1, 99}, {1, 2, 5}, {WeightMax, 1}} {
		counts, all := split(t, 1, n, weights...), 0
		for _, weight := range weights {
			all += weight
		}
		for i, weight := range weights {
			want := float64(n) * float64(weight) / float64(all)
			// Five standard deviations of a binomial distribution.
			variance := want * (1 - float64(weight)/float64(all))
			if off := float64(counts[i]) - want; off*off > 25*variance {
				t.Errorf("weights %v: %v requests of %d", weights, counts, n)
			}
		}
		if again := split(t, 1, n, weights...); !slices.Equal(again, counts) {
			t.Errorf("weights %v: %v, and with the same seed %v", weights, counts, again)
		}
	}
	if slices.Equal(split(t, 1, n, 1, 1), split(t, 2, n, 1, 1)) {
		t.Error("the same with another seed")
	}
}

// TestSplitCostsNoMemory: a request to a route with two targets allocates nothing.
func TestSplitCostsNoMemory(t *testing.T) {
	l, ring := newScripted(t, plainRequest, 8, nil)
	m, err := l.options.catalog.setTable(l.placement, []Route{{Name: "hello", Hosts: []string{"hello.localhost"}, Targets: []Target{{0, 1}, {1, 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}
	before := ring.sends
	if allocations := testing.AllocsPerRun(1000, func() { _ = l.tick() }); allocations != 0 {
		t.Errorf("%v allocations per tick of 8 connections", allocations)
	}
	if !m.isDone() || ring.sends < before+8*1000 || l.apps[1].load.count == 0 {
		t.Error("not what was to be measured")
	}
}

// TestRouteIsForgotten: what a connection remembers of its last request does not outlive the routes.
func TestRouteIsForgotten(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	peer, _ := w.talk(get("a", "/x"))
	ask := func() string {
		peer.WriteString(get("a", "/y"))
		w.settle()
		return string(peer.Take())
	}
	other := w.addApp(App{Name: "other"})
	w.setRoutes(Route{Name: "demo", Hosts: []string{"a"}, Targets: []Target{{int(other.id), 1}}})
	if got := ask(); !strings.HasSuffix(got, "GET /y a ") || w.loop.apps[other.id].load.count != 1 {
		t.Errorf("got %q", got)
	}
	w.setRoutes(Route{Name: "demo", Hosts: []string{"b"}, Targets: []Target{{int(other.id), 1}}})
	if got := ask(); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("got %q", got)
	}
	w.setRoutes()
	if got := ask(); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("without routes: got %q", got)
	}
}

// TestServiceAfterSwap: env.OTHER is whoever has the name when it is called.
func TestServiceAfterSwap(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.Apps = []App{{Name: "a", Hosts: []string{"a"}}, {Name: "b", Hosts: []string{"b"}}}
	})
	ask := func() string {
		peer, got := w.talk(get("a", "/call/b/x"))
		peer.Close()
		return got
	}
	if got := ask(); !strings.Contains(got, "GET /x a ") {
		t.Errorf("got %q", got)
	}
	newer := w.addApp(App{Name: "b"})
	a := Route{Name: "a", Hosts: []string{"a"}, Targets: []Target{{0, 1}}}
	w.setRoutes(a, Route{Name: "b", Targets: []Target{{int(newer.id), 1}}})
	if got := ask(); !strings.Contains(got, "GET /x a ") || w.loop.apps[1].load.count != 1 || w.loop.apps[newer.id].load.count != 1 {
		t.Errorf("got %q", got)
	}
	w.setRoutes(a, Route{Name: "b", Targets: []Target{{1, 1}, {int(newer.id), 1}}})
	for range 20 {
		ask()
	}
	if w.loop.apps[1].load.count == 1 || w.loop.apps[newer.id].load.count == 1 {
		t.Error("calls are not shared")
	}
	w.setRoutes(a)
	if got := ask(); !strings.Contains(got, "there is no app b") {
		t.Errorf("got %q", got)
	}
}

// TestCronAfterSwap: the firings of a route go on through changes of its app, none lost and none twice; of two apps
// the first one gets them.
func TestCronAfterSwap(t *testing.T) {
	fired := map[int]int{}
	w := newWorld(t, fakering.Config{Seed: 1}, func(o *Options) {
		o.Apps[0].Cron = triggers(t, "* * * * *")
		o.NewShard = shardOf(func(app int) (Worker, error) {
			return newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
				fired[app]++
				w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, NoBody: true})
			}), nil
		})
	})
	newer := int(w.addApp(App{Name: "newer", Cron: triggers(t, "* * * * *", "0 0 1 1 *")}).id)
	begun := w.ring.Now()
	sum := func() int { return fired[0] + fired[newer] }
	for i := range 600 {
		targets := []Target{{0, 1}, {newer, 1}}
		if i%2 == 0 {
			slices.Reverse(targets)
		}
		w.setRoutes(Route{Name: "demo", Hosts: []string{"a"}, Targets: targets[:1+i/2%2]})
		w.run(time.Duration(500+i) * time.Millisecond)
	}
	minutes := int(w.ring.Now().Unix()/60 - begun.Unix()/60)
	if sum() != minutes || fired[0] == 0 || fired[newer] == 0 {
		t.Errorf("%v firings in %d minutes", fired, minutes)
	}
}

// TestStaticAfterSwap: files are those of the app that is routed to, also for a request that waits for the disk while
// the app is replaced; nothing of the folder is open when RemoveApp has returned.
func TestStaticAfterSwap(t *testing.T) {
	n := startVersions(t, nil)
	var stop atomic.Bool
	asked := make(chan struct{})
	go func() { // connections that ask all the time
		defer close(asked)
		client := &http.Client{Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		for !stop.Load() {
			response, err := client.Get("http://" + n.address + "/file.txt")
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}()
	last := 0
	for i := range 50 {
		folder := openSite(t, siteOf(t, map[string]string{"file.txt": fmt.Sprint(i), "large": strings.Repeat(fmt.Sprint(i%10), 3<<20)}))
		id := n.add(fmt.Sprint(i+1), func(app *App) { app.Static = folder })
		n.route(id)
		for path, want := range map[string]string{"/file.txt": fmt.Sprint(i), "/large": strings.Repeat(fmt.Sprint(i%10), 3<<20)} {
			if got := n.get(http.DefaultClient, path); got != want {
				t.Fatalf("round %d: got %.20q of %d bytes", i, got, len(got))
			}
		}
		n.remove(last)
		last = id
		if t.Failed() {
			break
		}
	}
	stop.Store(true)
	<-asked
	if err := n.SetRoutes(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	n.remove(last)
	files := n.options.files
	files.mutex.Lock()
	defer files.mutex.Unlock()
	if len(files.entries) != 0 || files.memory != 0 || files.descriptors != 0 {
		t.Errorf("%d files are kept: %d bytes, %d descriptors", len(files.entries), files.memory, files.descriptors)
	}
}
