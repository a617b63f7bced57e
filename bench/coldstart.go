package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// coldApp is an app whose start is measured.
type coldApp struct {
	Name    string
	Title   string
	File    string // in bench/apps
	Body    string // of the answer to "/"
	Most    time.Duration
	Samples int
	Pause   time.Duration // between two requests for any of its copies: time to sleep and to get ready
}

// coldApps are the apps of the cold-start scenario, with the p99 that is promised for each.
var coldApps = []coldApp{
	{"hello", "hello", "hello.js", "Hello, World!", 2 * time.Millisecond, 3000, 4 * time.Millisecond},
	{"api", "200 KB router bundle", "api.js", "api", 3 * time.Millisecond, 1000, 8 * time.Millisecond},
	{"store", "1 MB bundle", "store.js", "store", 5 * time.Millisecond, 1000, 16 * time.Millisecond},
}

const (
	coldIdle   = 50 * time.Millisecond // an app unused for so long sleeps
	coldCopies = 50                    // asked in turn: each after 200 ms or more
)

// coldWarmup is what an image may be warmed up with; it does not count in x-served.
const coldWarmup = "/?warmup=1"

// warmup is what the app's image is warmed up with: hello, which counts all requests, needs none.
func (a coldApp) warmup() string {
	if a.Name == "hello" {
		return ""
	}
	return coldWarmup
}

// coldVariant is a way to ask.
type coldVariant struct {
	Title string
	// Reconnect makes a connection for each request; its time counts.
	Reconnect bool
	// Memory is the budget. With one too small for two instances, apps sleep because another one
	// starts: the budget is what ends them, in the way of the next start.
	Memory string
	Idle   time.Duration
	Warmup bool
	Apps   []coldApp
}

var coldVariants = []coldVariant{
	{Title: "new connection", Reconnect: true, Memory: "1GiB", Idle: coldIdle, Apps: coldApps},
	{Title: "keep-alive", Memory: "1GiB", Idle: coldIdle, Apps: coldApps[:1]},
	{Title: "asleep for want of memory, keep-alive", Memory: "16MiB", Idle: time.Hour, Apps: coldApps[:1]},
	{Title: "warmup, new connection", Reconnect: true, Memory: "1GiB", Idle: coldIdle, Warmup: true, Apps: coldApps[1:]},
	{Title: "warmup, keep-alive", Memory: "1GiB", Idle: coldIdle, Warmup: true, Apps: coldApps[1:]},
}

// coldResult is the time of requests for apps that were asleep.
type coldResult struct {
	App     string `json:"app"`
	Title   string `json:"title"`
	Variant string `json:"variant"`
	Warmup  bool   `json:"warmup"` // the image was warmed up by a request
	latencies
	// Warm is the same for the app while it is warm.
	Warm latencies `json:"warm"`
	// CPU is what the server consumed for each request, pauses included: restoring, answering, and
	// putting to sleep again.
	CPU time.Duration `json:"cpu_each_ns"`
	// Starts are what the node counted meanwhile.
	Starts map[string]starts `json:"starts"`
	// Refused is how many requests were refused before the app had an image.
	Refused int `json:"refused"`
	// Awake is how many of all answers came from an instance that had served before. They are no
	// cold starts and do not count.
	Awake   int           `json:"awake"`
	Most    time.Duration `json:"target_p99_ns"`
	Failure string        `json:"failure,omitempty"`
}

// runCold measures the way from an app that sleeps to the last byte of its answer.
func (b *bench) runCold(ctx context.Context) ([]coldResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	var results []coldResult
	for _, variant := range coldVariants {
		for _, app := range variant.Apps {
			result := coldResult{App: app.Name, Title: app.Title, Variant: variant.Title, Warmup: variant.Warmup, Most: app.Most}
			err := b.measureCold(ctx, p, app, variant, &result)
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				result.Failure = err.Error()
			}
			progress("coldstart %-6s %-38s %s (warm p50 %s), CPU %s each, %d awake, started from %s %s", app.Name, variant.Title, result.latencies,
				milliseconds(result.Warm.P50), milliseconds(result.CPU), result.Awake, describeStarts(result.Starts), result.Failure)
			results = append(results, result)
		}
	}
	return results, nil
}

// measureCold starts a node with many copies of one app and wakes one after the other.
func (b *bench) measureCold(ctx context.Context, p peer, app coldApp, variant coldVariant, result *coldResult) error {
	tenants := copies(coldCopies, app.Name, b.appPath(app.File))
	for index := range tenants {
		if variant.Warmup {
			tenants[index].Warmup = app.warmup()
		}
	}
	running, err := b.startFleet(ctx, p, fleet{Memory: variant.Memory, Idle: variant.Idle, Tenants: tenants})
	if err != nil {
		return err
	}
	defer running.stop()
	requests := make([][]byte, len(tenants))
	for index, t := range tenants {
		requests[index] = t.get("/")
	}
	if result.Refused, err = waitForImage(ctx, running, requests[0]); err != nil {
		return err
	}
	sleepy := sleeper{address: running.Address, requests: requests, want: app.Body, pause: app.Pause, reconnect: variant.Reconnect}
	if _, _, err := sleepy.run(ctx, 2*len(requests)); err != nil {
		return err
	}
	if err := running.settle(ctx, settleLimit); err != nil {
		return err
	}
	counted, err := running.accounts(ctx)
	if err != nil {
		return err
	}
	return onCore(b.clientCore, func() error {
		before, err := readUsage(running.Process)
		if err != nil {
			return err
		}
		samples, awake, err := sleepy.run(ctx, b.samples(app.Samples))
		if err != nil {
			return fmt.Errorf("%w: %s", err, tail(running.output.String()))
		}
		after, err := readUsage(running.Process)
		if err != nil {
			return err
		}
		now, err := running.accounts(ctx)
		if err != nil {
			return err
		}
		result.latencies, result.Awake, result.Starts = summarise(samples), len(awake), now.since(counted)
		result.CPU = after.since(before).Total / time.Duration(len(samples)+len(awake))
		sleepy.requests = requests[:1]
		_, warm, err := sleepy.run(ctx, min(b.samples(app.Samples), 500))
		result.Warm = summarise(warm)
		if result.Count < result.Awake {
			return errors.Join(err, fmt.Errorf("only %d of %d answers came from apps that had been asleep", result.Count, result.Count+result.Awake))
		}
		return err
	})
}

const imageTries = 100

// waitForImage asks an app until it answers and the node has nothing more to do. Before there is an
// image, the app starts from its source, and a large one may meet a limit: refused is how often.
func waitForImage(ctx context.Context, running *server, request []byte) (refused int, err error) {
	for ; refused < imageTries; refused++ {
		connection, err := dial(running.Address)
		if err != nil {
			return refused, err
		}
		answer, err := connection.ask(request)
		connection.close()
		if err != nil {
			return refused, err
		}
		if err := running.settle(ctx, settleLimit); err != nil || answer.Status == 200 {
			return refused, err
		}
	}
	return refused, fmt.Errorf("no answer with status 200 in %d requests: %s", imageTries, tail(running.output.String()))
}

// samples shortens a quick run.
func (b *bench) samples(count int) int {
	if b.quick {
		return count / 10
	}
	return count
}

// sleeper asks apps in turn, with pauses.
type sleeper struct {
	address   string
	requests  [][]byte
	want      string
	pause     time.Duration
	reconnect bool
}

// run makes count requests and returns the times of those that started the app, and of those that
// found it awake.
func (s sleeper) run(ctx context.Context, count int) (cold, awake []time.Duration, err error) {
	connection, err := dial(s.address)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if connection.isOpen() {
			connection.close()
		}
	}()
	if s.reconnect {
		connection.close()
	}
	next := time.Now()
	for index := range count {
		if err := ctx.Err(); err != nil {
			return cold, awake, err
		}
		sleepUntil(next)
		start := time.Now()
		if !connection.isOpen() {
			if err := connection.open(s.address, exchangeTimeout); err != nil {
				return cold, awake, err
			}
		}
		answer, err := connection.ask(s.requests[index%len(s.requests)])
		duration := time.Since(start)
		if err == nil {
			err = answer.expect(s.want)
		}
		if err != nil {
			return cold, awake, fmt.Errorf("request %d: %w", index, err)
		}
		if answer.Served == 1 {
			cold = append(cold, duration)
		} else {
			awake = append(awake, duration)
		}
		if s.reconnect || answer.Closes {
			connection.close()
		}
		next = start.Add(max(s.pause, duration))
	}
	return cold, awake, nil
}
