package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// tenant is one of the many apps of a server.
type tenant struct {
	Name      string
	Main      string   // absolute path of its module
	Isolation string   // "app" or "request"
	Warmup    string   // path and query of a request that warms its image up, or ""
	Limits    []string // lines of [app.limits], or none
}

// host is where a tenant answers.
func (t tenant) host() string { return t.Name + ".test" }

// get is a request for a path of the tenant.
func (t tenant) get(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + t.host() + "\r\n\r\n")
}

// fleet is a NANO node with many tenants, on one loop.
type fleet struct {
	Memory  string        // budget of warm isolates
	Idle    time.Duration // after which a tenant sleeps
	Tenants []tenant

	Admin     int  // port of [admin]; 0: none
	AccessLog bool // a line for each request
}

// copies returns count tenants that serve the same module.
func copies(count int, prefix, main string) []tenant {
	tenants := make([]tenant, count)
	for index := range tenants {
		tenants[index] = tenant{Name: fmt.Sprintf("%s-%d", prefix, index), Main: main}
	}
	return tenants
}

// distinct is distinct for a folder that all measurements share, so that an image is built once.
func (b *bench) distinct(count int) ([]tenant, error) {
	folder := filepath.Join(b.temporary, "apps")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	return distinct(count, folder)
}

// distinct writes count modules into folder, no two alike, and returns their tenants. Each answers
// with its own name and the number of requests that the instance has served.
func distinct(count int, folder string) ([]tenant, error) {
	tenants := make([]tenant, count)
	for index := range tenants {
		t := tenant{Name: fmt.Sprintf("app-%d", index)}
		t.Main = filepath.Join(folder, t.Name+".js")
		tenants[index] = t
		source := fmt.Sprintf(`let served = 0;

export default {
  fetch() {
    served++;
    return new Response("Hello from %s", { headers: { "x-served": String(served) } });
  },
};
`, t.Name)
		if err := os.WriteFile(t.Main, []byte(source), 0o644); err != nil {
			return nil, err
		}
	}
	return tenants, nil
}

// greeting is what a tenant of distinct answers.
func (t tenant) greeting() string { return "Hello from " + t.Name }

// configuration returns the nano.toml of a fleet.
func (f fleet) configuration(port int, state string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "[server]\nlisten = [\"127.0.0.1:%d\"]\nloops = 1\nstate_dir = %q\nlog = \"json\"\naccess_log = %t\n\n[isolates]\nmemory = %q\nidle = %q\n",
		port, state, f.AccessLog, f.Memory, f.Idle)
	if f.Admin != 0 {
		fmt.Fprintf(&text, "\n[admin]\nlisten = \"127.0.0.1:%d\"\n", f.Admin)
	}
	for _, t := range f.Tenants {
		fmt.Fprintf(&text, "\n[[app]]\nname = %q\nmain = %q\nhosts = [%q]\n", t.Name, t.Main, t.host())
		if t.Isolation != "" {
			fmt.Fprintf(&text, "isolation = %q\n", t.Isolation)
		}
		if t.Warmup != "" {
			fmt.Fprintf(&text, "warmup = %q\n", t.Warmup)
		}
		if len(t.Limits) > 0 {
			text.WriteString("[app.limits]\n" + strings.Join(t.Limits, "\n") + "\n")
		}
	}
	return text.String()
}

// build has the images of all tenants made, by a node on each core for a part of them: it asks every
// tenant once and waits until the node has nothing more to do. Later nodes find the images in the
// state folder.
func (b *bench) build(ctx context.Context, p peer, tenants []tenant) error {
	cores := []string{b.serverCore, b.clientCore}
	failed := make([]error, len(cores))
	var group sync.WaitGroup
	for index, core := range cores {
		first, end := index*len(tenants)/len(cores), (index+1)*len(tenants)/len(cores)
		group.Go(func() { failed[index] = b.buildOn(ctx, p, tenants[first:end], core) })
	}
	group.Wait()
	return errors.Join(failed...)
}

func (b *bench) buildOn(ctx context.Context, p peer, tenants []tenant, core string) error {
	running, err := b.startFleetOn(ctx, p, fleet{Memory: "1GiB", Idle: time.Hour, Tenants: tenants}, core)
	if err != nil {
		return err
	}
	defer running.stop()
	connection, err := dial(running.Address)
	if err != nil {
		return err
	}
	defer connection.close()
	for _, t := range tenants {
		if answer, err := connection.ask(t.get("/")); err != nil || answer.Status != 200 {
			return fmt.Errorf("%s: status %d %s, %w: %s", t.Name, answer.Status, answer.Error, err, tail(running.output.String()))
		}
	}
	return running.settle(ctx, settleLimit)
}

// startFleet starts NANO with a fleet, on the server's core.
func (b *bench) startFleet(ctx context.Context, p peer, f fleet) (*server, error) {
	return b.startFleetOn(ctx, p, f, b.serverCore)
}

// startFleetOn starts NANO with a fleet, on some core. All fleets share one state folder, since it
// names images by what they are made of.
func (b *bench) startFleetOn(ctx context.Context, p peer, f fleet, core string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(b.temporary, "fleet-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "nano.toml")
	if err := os.WriteFile(path, []byte(f.configuration(port, filepath.Join(b.temporary, "state"))), 0o644); err != nil {
		return nil, err
	}
	return startServer(ctx, []string{p.Binary, "serve", "-c", path}, core, fmt.Sprintf("127.0.0.1:%d", port))
}

const (
	settleStep  = 500 * time.Millisecond
	settleShare = 0.03             // of a core: what a server that has nothing to do may consume
	settleLimit = 10 * time.Minute // to build the images of 10,000 apps
)

// errBusy tells that a server still had something to do.
var errBusy = errors.New("the server is still busy")

// settle waits until a server and its children have nothing more to do: apps are built, old
// isolates are gone. It takes two quiet steps in a row, and returns errBusy after limit.
func (s *server) settle(ctx context.Context, limit time.Duration) error {
	start := time.Now()
	before, err := readUsage(s.Process)
	if err != nil {
		return fmt.Errorf("%w: %s", err, tail(s.output.String()))
	}
	for quiet := 0; quiet < 2; {
		if err := wait(ctx, settleStep); err != nil {
			return err
		}
		after, err := readUsage(s.Process)
		if err != nil {
			return fmt.Errorf("%w: %s", err, tail(s.output.String()))
		}
		quiet++
		if after.since(before).Total > time.Duration(settleShare*float64(settleStep)) {
			quiet = 0
		}
		if time.Since(start) > limit {
			return errBusy
		}
		before = after
	}
	return nil
}

// alive tells whether the server's process is the one that was started.
func (s *server) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// tail returns the end of a log.
func tail(text string) string { return text[max(len(text)-2000, 0):] }
