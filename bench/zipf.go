package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

const (
	zipfApps        = 10_000
	zipfExponent    = 1.0
	zipfMemory      = "1GiB"
	zipfConnections = 64
	zipfSaturate    = 10 * time.Second // with every connection busy
	zipfDuration    = 30 * time.Second // at half of that rate
	zipfSeed        = 1
)

// zipfResult is the traffic of many apps under a budget that holds some of them.
type zipfResult struct {
	Apps       int            `json:"apps"`
	Building   time.Duration  `json:"building_ns"` // of all images
	Saturation arrivalsResult `json:"saturation"`
	Half       arrivalsResult `json:"half"`
	Memory     memory         `json:"memory"`   // after the traffic
	Accounts   accounts       `json:"accounts"` // likewise
	// HalfStarts are the starts at half of saturation.
	HalfStarts map[string]starts `json:"half_starts"`
}

// zipf draws ranks whose frequency falls with a power of the rank.
type zipf struct {
	random     *rand.Rand
	cumulative []float64
}

// newZipf draws from 0 to count-1: rank r with a probability in proportion to 1/(r+1)^exponent. The
// standard library's generator wants an exponent above 1.
func newZipf(seed uint64, count int, exponent float64) *zipf {
	z := &zipf{rand.New(rand.NewPCG(seed, 0)), make([]float64, count)}
	var sum float64
	for rank := range z.cumulative {
		sum += math.Pow(float64(rank+1), -exponent)
		z.cumulative[rank] = sum
	}
	return z
}

// draw returns the next rank.
func (z *zipf) draw() int {
	point := z.random.Float64() * z.cumulative[len(z.cumulative)-1]
	return sort.SearchFloat64s(z.cumulative, point)
}

// runZipf deploys many apps and asks them as people ask: few of them often, most of them rarely.
func (b *bench) runZipf(ctx context.Context) (*zipfResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	result := &zipfResult{Apps: zipfApps}
	saturate, duration := zipfSaturate, zipfDuration
	if b.quick {
		result.Apps, saturate, duration = zipfApps/10, 3*time.Second, 5*time.Second
	}
	tenants, err := b.distinct(result.Apps)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := b.build(ctx, p, tenants); err != nil {
		return nil, err
	}
	result.Building = time.Since(start)
	progress("zipf      %d images built in %s", result.Apps, result.Building.Round(time.Second))
	running, err := b.startFleet(ctx, p, fleet{Memory: zipfMemory, Idle: time.Hour, Tenants: tenants})
	if err != nil {
		return nil, err
	}
	defer running.stop()
	err = onCore(b.clientCore, func() error { return loadZipf(ctx, running, tenants, saturate, duration, result) })
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	if result.Memory, err = readMemory(running.Process); err != nil {
		return nil, err
	}
	progress("zipf      half of %.0f/s: %s, %d failed %s, %s, RSS %s, %d warm, believed to take %s", result.Saturation.PerSecond, result.Half.latencies,
		result.Half.Failed, result.Half.Failure, describeStarts(result.HalfStarts), megabytes(result.Memory.RSS),
		result.Accounts.Warm, megabytes(result.Accounts.Resident))
	return result, nil
}

// loadZipf fills the budget, finds the rate that saturates the node, and then loads it with half.
func loadZipf(ctx context.Context, running *server, tenants []tenant, saturate, duration time.Duration, result *zipfResult) error {
	draws := newZipf(zipfSeed, len(tenants), zipfExponent)
	var targets []int
	load := arrivals{
		Address: running.Address, Connections: zipfConnections, Seed: zipfSeed, Duration: saturate,
		Next: func(index int) []byte {
			targets = append(targets, draws.draw())
			return tenants[targets[index]].get("/")
		},
		Check: func(index int, r reply) error {
			return r.expect(tenants[targets[index]].greeting())
		},
	}
	if _, err := load.run(ctx); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	targets = targets[:0]
	var err error
	if result.Saturation, err = load.run(ctx); err != nil {
		return fmt.Errorf("saturation: %w", err)
	}
	targets = targets[:0]
	// A queue for connections would be one outside the node.
	load.Rate, load.Duration, load.Connections = result.Saturation.PerSecond/2, duration, 8*zipfConnections
	before, err := running.accounts(ctx)
	if err != nil {
		return err
	}
	if result.Half, err = load.run(ctx); err != nil {
		return fmt.Errorf("half of saturation: %w", err)
	}
	result.Accounts, err = running.accounts(ctx)
	result.HalfStarts = result.Accounts.since(before)
	return err
}
