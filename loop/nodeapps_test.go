package loop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A versionNode is a node whose apps answer at /version with their versions, and at all else as demo does.
type versionNode struct {
	*Node
	t       testing.TB
	address string

	mutex    sync.Mutex
	versions map[int]string  // by id
	fails    map[string]bool // versions that do not start
	alive    int             // isolates
}

func startVersions(t testing.TB, change func(o *NodeOptions)) *versionNode {
	t.Helper()
	n := &versionNode{t: t, versions: map[int]string{0: "0"}, fails: map[string]bool{}}
	n.Node, n.address = startNode(t, func(o *NodeOptions) {
		o.Loops = 2
		o.Options.Apps = []App{{Name: "demo", Version: "0", Removed: n.removed}}
		o.Options.Background = time.Second
		o.Options.NewShard = shardOf(n.start)
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(func() {
		n.Drain()
		if err := n.Wait(); err != nil {
			t.Error(err)
		}
		n.mutex.Lock()
		defer n.mutex.Unlock()
		if n.alive != 0 {
			t.Errorf("%d isolates were not disposed of", n.alive)
		}
	})
	return n
}

// A versionWorker tells its node of its end.
type versionWorker struct {
	*fakeWorker
	node *versionNode
}

func (w versionWorker) Dispose() {
	w.fakeWorker.Dispose()
	w.node.mutex.Lock()
	defer w.node.mutex.Unlock()
	w.node.alive--
}

func (n *versionNode) start(app int) (Worker, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	version, isKnown := n.versions[app]
	if !isKnown || n.fails[version] {
		return nil, fmt.Errorf("version %q of app %d does not start", version, app)
	}
	n.alive++
	usual := demo(nil)
	worker := newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
		if r.target == "/version" {
			w.text(r.id, []byte(version))
			return
		}
		usual(w, r)
	})
	return versionWorker{worker, n}, nil
}

// add adds a version of the app demo.
func (n *versionNode) add(version string, change func(app *App)) (id int) {
	n.t.Helper()
	app := App{Name: "demo", Version: version, Removed: n.removed}
	if change != nil {
		change(&app)
	}
	// What starts it must be there before anybody can know the id.
	n.mutex.Lock()
	defer n.mutex.Unlock()
	id, err := n.AddApp(app)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.versions[id] != "" {
		n.t.Errorf("app %d is version %s still", id, n.versions[id])
	}
	n.versions[id] = version
	return id
}

func (n *versionNode) removed(id int) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	delete(n.versions, id)
}

// route sends requests to some apps, each with a weight of 1.
func (n *versionNode) route(ids ...int) {
	n.t.Helper()
	r := Route{Name: "demo"}
	for _, id := range ids {
		r.Targets = append(r.Targets, Target{id, 1})
	}
	if err := n.SetRoutes(n.t.Context(), []Route{r}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *versionNode) remove(id int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if err := n.RemoveApp(ctx, id); err != nil || ctx.Err() != nil {
		n.t.Fatal(err, ctx.Err())
	}
}

// A visitor asks for versions on one connection, several requests at a time, until it is told to stop.
func (n *versionNode) visit(stop *atomic.Bool, depth int, seen func(version string)) error {
	connection, err := net.Dial("tcp", n.address)
	if err != nil {
		return err
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for !stop.Load() {
		if _, err := io.WriteString(connection, strings.Repeat(get("a", "/version"), depth)); err != nil {
			return err
		}
		for range depth {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				return err
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			if response.StatusCode != 200 {
				return fmt.Errorf("%s: %s", response.Status, body)
			}
			seen(string(body))
		}
	}
	return nil
}

// visits has visitors of every kind ask until the function that it returns is called.
func (n *versionNode) visits(seen func(version string)) (end func()) {
	var stop atomic.Bool
	var visitors sync.WaitGroup
	for i := range 8 {
		visitors.Go(func() {
			if err := n.visit(&stop, 1+i%4*5, seen); err != nil {
				n.t.Errorf("visitor %d: %v", i, err)
			}
		})
	}
	return func() { stop.Store(true); visitors.Wait() }
}

// audits has somebody ask for the accounts all the time until the function that it returns is called: what all
// versions together have done never becomes less, and no version is counted twice.
func (n *versionNode) audits() (end func()) {
	var stop atomic.Bool
	var auditor sync.WaitGroup
	auditor.Go(func() {
		for last := uint64(0); !stop.Load() && !n.t.Failed(); {
			apps, gone, err := n.Accounts(n.t.Context())
			if err != nil {
				n.t.Error(err)
				return
			}
			sum := uint64(0)
			for _, each := range append(apps, gone...) {
				sum += each.Requests
			}
			if sum < last {
				n.t.Errorf("%d requests after %d", sum, last)
			}
			last = sum
		}
	})
	return func() { stop.Store(true); auditor.Wait() }
}

// TestReloadUnderLoad replaces an app again and again while it is asked: no request fails, none gets an answer of a
// version that was replaced before it was sent, and in the end nothing is left of any version but the last.
func TestReloadUnderLoad(t *testing.T) {
	const rounds = 1000
	n := startVersions(t, nil)
	var asked atomic.Uint64
	endVisits := n.visits(func(string) { asked.Add(1) })
	endAudits := n.audits()
	end := func() { endVisits(); endAudits() }
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var before runtime.MemStats
	last := 0
	for round := range rounds {
		version := fmt.Sprint(round + 1)
		id := n.add(version, nil)
		if status, err := n.Probe(t.Context(), id, "/version"); status != 200 || err != nil {
			t.Fatalf("round %d: %d, %v", round, status, err)
		}
		n.route(id)
		if round%50 == 0 {
			if got := n.get(client, "/version"); got != version {
				t.Fatalf("got version %s after that of %s", got, version)
			}
		}
		n.remove(last)
		last = id
		if round == rounds/5 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if t.Failed() {
			break
		}
	}
	end()
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+1<<20 {
		t.Errorf("%d KB of heap after %d rounds, %d after %d", after.HeapAlloc>>10, rounds, before.HeapAlloc>>10, rounds/5)
	}
	apps, gone, err := n.Accounts(t.Context())
	if err != nil || len(apps) != 1 || apps[0].ID != last || apps[0].Version != fmt.Sprint(rounds) || len(gone) != 1 || gone[0].Name != "demo" {
		t.Fatalf("%+v, %+v, %v", apps, gone, err)
	}
	if got, want := apps[0].Answers[2]+gone[0].Answers[2], asked.Load()+rounds+rounds/50; got != want {
		t.Errorf("%d requests counted, %d made", got, want)
	}
	if n := len(n.options.catalog.apps); n > 3 {
		t.Errorf("%d ids", n)
	}
	t.Logf("%d requests", asked.Load())
}

func (n *versionNode) get(client *http.Client, path string) string {
	n.t.Helper()
	response, err := client.Get("http://" + n.address + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(body)
}

// TestBadRoutes: what is wrong with routes is said, and changes nothing.
func TestBadRoutes(t *testing.T) {
	n := startVersions(t, nil)
	one := []Target{{0, 1}}
	for want, routes := range map[string][]Route{
		"no such app: 7":           {{Name: "demo", Targets: []Target{{7, 1}}}},
		"no such app: -1":          {{Name: "demo", Targets: []Target{{-1, 1}}}},
		"leads to no app":          {{Name: "demo"}},
		"the weight 0":             {{Name: "demo", Targets: []Target{{0, 0}}}},
		"the weight 1048577":       {{Name: "demo", Targets: []Target{{0, WeightMax + 1}}}},
		"two routes":               {{Name: "a", Hosts: []string{"a"}, Targets: one}, {Name: "a", Hosts: []string{"b"}, Targets: one}},
		"the same host":            {{Name: "a", Targets: one}, {Name: "b", Targets: one}},
		"does not begin with /":    {{Name: "a", Path: "x", Targets: one}},
		"route \"demo\": there is": {{Name: "demo", Targets: []Target{{0, 1}, {1, 1}}}},
	} {
		if err := n.SetRoutes(t.Context(), routes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if got := n.get(http.DefaultClient, "/version"); got != "0" {
		t.Errorf("got %q", got)
	}
	if err := n.RemoveApp(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "still a target of route demo") {
		t.Error(err)
	}
	if err := n.RemoveApp(t.Context(), 1); !errors.Is(err, ErrNoApp) {
		t.Error(err)
	}
}

// TestProbe: an app that has no routes answers the node, and stays awake; one that does not start says why.
func TestProbe(t *testing.T) {
	n := startVersions(t, nil)
	good, bad := n.add("good", func(app *App) { app.Wall = 50 * time.Millisecond }), n.add("bad", nil)
	n.fails["bad"] = true
	for _, row := range []struct {
		id     int
		path   string
		status int
		err    string
	}{
		{good, "/version", 200, ""}, {good, "/empty", 204, ""}, {good, "/stream/3", 200, ""}, {good, "/never", 504, "wall limit exceeded"},
		{good, "", 0, "path"}, {good, "/a b", 0, "path"}, {good, "/\r\nx: y", 0, "path"},
		{bad, "/", 500, "version \"bad\" of app 2 does not start"}, {7, "/", 0, "no such app: 7"},
	} {
		status, err := n.Probe(t.Context(), row.id, row.path)
		if status != row.status || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%q: %d, %v", row.path, status, err)
		}
	}
	if err := n.Wake(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "does not start") {
		t.Error(err)
	}
	apps, err := n.Apps(t.Context())
	if err != nil || len(apps) != 3 || apps[good].Warm != 1 || apps[good].Requests != 4 || apps[bad].Warm != 0 {
		t.Errorf("%+v, %v", apps, err)
	}
}

// TestWakeAndSleep: an app wakes up without a request, and sleeps at once unless it has something in hand.
func TestWakeAndSleep(t *testing.T) {
	n := startVersions(t, nil)
	warm := func() int {
		apps, err := n.Apps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return apps[0].Warm
	}
	for range 3 {
		for range 2 {
			if err := n.Wake(t.Context(), 0); err != nil || warm() != 1 {
				t.Fatalf("%v, %d isolates", err, warm())
			}
		}
		for range 2 {
			if slept, err := n.Sleep(t.Context(), 0); !slept || err != nil || warm() != 0 {
				t.Fatalf("%v, %v, %d isolates", slept, err, warm())
			}
		}
	}
	if got := n.get(http.DefaultClient, "/forever"); got != "forever" { // waitUntil work
		t.Errorf("got %q", got)
	}
	if slept, err := n.Sleep(t.Context(), 0); slept || err != nil || warm() != 1 {
		t.Errorf("%v, %v, %d isolates", slept, err, warm())
	}
}
