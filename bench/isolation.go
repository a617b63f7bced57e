package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	isolationPause   = 10 * time.Millisecond // between two requests: time enough to restore a context ahead
	isolationSamples = 600                   // of each kind
)

// isolationResult compares isolation = "request" with isolation = "app": the same app on the same
// node, asked in turn over one connection each.
type isolationResult struct {
	App     string    `json:"app"`
	Shared  latencies `json:"app_isolation"`
	Request latencies `json:"request_isolation"`
	Failure string    `json:"failure,omitempty"`
}

// runIsolation measures what a fresh context for every request adds.
func (b *bench) runIsolation(ctx context.Context) ([]isolationResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	var results []isolationResult
	for _, app := range coldApps {
		result := isolationResult{App: app.Title}
		err := b.measureIsolation(ctx, p, app, &result)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		if err != nil {
			result.Failure = err.Error()
		}
		progress("isolation %-20s app p50 %s, request p50 %s %s", app.Title, milliseconds(result.Shared.P50), milliseconds(result.Request.P50), result.Failure)
		results = append(results, result)
	}
	return results, nil
}

func (b *bench) measureIsolation(ctx context.Context, p peer, app coldApp, result *isolationResult) error {
	main := b.appPath(app.File)
	running, err := b.startFleet(ctx, p, fleet{Memory: "1GiB", Idle: time.Hour, Tenants: []tenant{
		{Name: "shared", Main: main, Isolation: "app", Warmup: app.warmup()},
		{Name: "fresh", Main: main, Isolation: "request", Warmup: app.warmup()},
	}})
	if err != nil {
		return err
	}
	defer running.stop()
	shared := sleeper{address: running.Address, requests: [][]byte{tenant{Name: "shared"}.get("/")}, want: app.Body, pause: isolationPause}
	fresh := shared
	fresh.requests = [][]byte{tenant{Name: "fresh"}.get("/")}
	for _, one := range []sleeper{shared, fresh} {
		if _, err := waitForImage(ctx, running, one.requests[0]); err != nil {
			return err
		}
		if _, _, err := one.run(ctx, 20); err != nil {
			return err
		}
	}
	if err := running.settle(ctx, settleLimit); err != nil {
		return err
	}
	return onCore(b.clientCore, func() error {
		var warm, restored []time.Duration
		// In turn, so that whatever disturbs the machine meets both.
		for range b.samples(isolationSamples) / 20 {
			started, served, err := shared.run(ctx, 20)
			if err == nil && len(started) > 0 {
				err = errors.New("the app with isolation = \"app\" was started again")
			}
			warm = append(warm, served...)
			if err == nil {
				started, served, err = fresh.run(ctx, 20)
			}
			if err == nil && len(served) > 0 {
				err = errors.New("with isolation = \"request\", a request saw what an earlier one had left")
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, tail(running.output.String()))
			}
			restored = append(restored, started...)
		}
		result.Shared, result.Request = summarise(warm), summarise(restored)
		return nil
	})
}
