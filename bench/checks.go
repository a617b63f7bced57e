package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// loopsResult compares one loop with two. On a machine of two cores the clients share them with the
// loops, so the comparison is between set-ups in which every core carries one loop and one wrk.
type loopsResult struct {
	OneLoop      peerResult `json:"one_loop"`      // one loop and one wrk, on one core
	TwoProcesses peerResult `json:"two_processes"` // two processes of one loop, each on a core, and two wrk
	TwoLoops     peerResult `json:"two_loops"`     // one process of two loops on the same two cores, and two wrk
}

// loopsSetUp is one side of the comparison.
type loopsSetUp struct {
	servers []*server
	clients []*server // whom each wrk asks
	cores   string    // that the wrk processes may use
	result  *peerResult
}

// runLoops measures what a second loop costs. Two processes of one loop are the control: the work
// of the kernel and of the clients is that of two loops, and nothing is shared between the loops.
func (b *bench) runLoops(ctx context.Context) (*loopsResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	result := &loopsResult{
		OneLoop: peerResult{Peer: "1 loop, 1 core"}, TwoProcesses: peerResult{Peer: "2 processes of 1 loop, 2 cores"},
		TwoLoops: peerResult{Peer: "2 loops, 2 cores"},
	}
	both := b.serverCore + "," + b.clientCore
	var servers []*server
	defer func() { stopAll(servers) }()
	for _, wanted := range []struct {
		loops int
		cores string
	}{{1, b.serverCore}, {1, b.serverCore}, {1, b.clientCore}, {2, both}} {
		running, err := b.startLoops(ctx, p, wanted.loops, wanted.cores)
		if err != nil {
			return nil, err
		}
		servers = append(servers, running)
	}
	one, pair, two := servers[:1], servers[1:3], servers[3:]
	setUps := []loopsSetUp{
		{one, one, b.serverCore, &result.OneLoop},
		{pair, pair, both, &result.TwoProcesses},
		{two, []*server{two[0], two[0]}, both, &result.TwoLoops},
	}
	for round := range b.rounds + 1 {
		for _, setUp := range setUps {
			measured, err := b.loadLoops(ctx, setUp)
			if err != nil {
				return nil, err
			}
			if round == 0 {
				continue // the first round warms up
			}
			setUp.result.Rounds = append(setUp.result.Rounds, measured)
			progress("loops     round %d/%d %-30s %8.0f requests/s %7.2f us CPU each", round, b.rounds, setUp.result.Peer,
				measured.RequestsPerSecond, micros(measured.Total)/float64(measured.Requests))
		}
	}
	for _, setUp := range setUps {
		setUp.result.summarise()
	}
	return result, nil
}

// startLoops starts NANO with a number of loops on the given cores.
func (b *bench) startLoops(ctx context.Context, p peer, loops int, cores string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(b.temporary, "loops-")
	if err != nil {
		return nil, err
	}
	arguments, err := nanoCommand(p, b.appPath("plain.js"), port, folder, loops)
	if err != nil {
		return nil, err
	}
	return startServer(ctx, arguments, cores, fmt.Sprintf("127.0.0.1:%d", port))
}

// loadLoops makes one round of plain text: one wrk for each client, all at the same time.
func (b *bench) loadLoops(ctx context.Context, setUp loopsSetUp) (measure, error) {
	var result measure
	before := make([]usage, len(setUp.servers))
	for index, running := range setUp.servers {
		var err error
		if before[index], err = readUsage(running.Process); err != nil {
			return result, err
		}
	}
	counted := make([]wrkResult, len(setUp.clients))
	failed := make([]error, len(setUp.clients))
	var clients sync.WaitGroup
	for index, asked := range setUp.clients {
		clients.Go(func() {
			counted[index], failed[index] = wrkJob{
				Cores: setUp.cores, Threads: 1, Connections: connections, Duration: b.duration,
				URL: "http://" + asked.Address + "/",
			}.run(ctx, b.folder)
		})
	}
	clients.Wait()
	if err := errors.Join(failed...); err != nil {
		return result, err
	}
	for _, one := range counted {
		result.Requests += one.Requests
		result.RequestsPerSecond += one.RequestsPerSecond
		result.P50, result.P99 = max(result.P50, one.P50), max(result.P99, one.P99)
		result.Errors += one.Errors
	}
	if result.Requests == 0 {
		return result, errors.New("no request was answered")
	}
	for index, running := range setUp.servers {
		after, err := readUsage(running.Process)
		if err != nil {
			return result, err
		}
		consumed := after.since(before[index])
		result.User += consumed.User
		result.System += consumed.System
		result.Total += consumed.Total
		resident, err := readMemory(running.Process)
		if err != nil {
			return result, err
		}
		result.Memory.RSS += resident.RSS
		result.Memory.PSS += resident.PSS
	}
	return result, nil
}

// launchResult is the time from exec to the first byte of the first answer.
type launchResult struct {
	Name    string          `json:"name"`
	P50     time.Duration   `json:"p50_ns"`
	P99     time.Duration   `json:"p99_ns"`
	Samples []time.Duration `json:"samples_ns"`
	Failure string          `json:"failure,omitempty"`
}

// runLaunch starts every peer again and again, in turn. NANO takes part twice: with a state folder
// that is empty, and with the one that its last start left.
func (b *bench) runLaunch(ctx context.Context) ([]launchResult, error) {
	type contender struct {
		peer   peer
		folder string // "": a new one for each start
	}
	var contenders []contender
	var results []launchResult
	for _, p := range b.peers {
		if p.Name == nanoName {
			folder, err := os.MkdirTemp(b.temporary, "launch-")
			if err != nil {
				return nil, err
			}
			contenders = append(contenders, contender{p, ""}, contender{p, folder})
			results = append(results, launchResult{Name: "nano, empty state_dir"}, launchResult{Name: "nano, later starts"})
			continue
		}
		contenders = append(contenders, contender{p, ""})
		results = append(results, launchResult{Name: p.Name})
	}
	for start := range b.launches + 1 {
		for index, one := range contenders {
			folder := one.folder
			if folder == "" {
				var err error
				if folder, err = os.MkdirTemp(b.temporary, "launch-"); err != nil {
					return nil, err
				}
			}
			running, err := b.launchIn(ctx, one.peer, "plain.js", folder)
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				results[index].Failure = err.Error()
				continue
			}
			running.stop()
			// The first start brings the binary into the page cache and makes the state folder.
			if start > 0 {
				results[index].Samples = append(results[index].Samples, running.Launch)
			}
		}
	}
	for index := range results {
		results[index].P50 = percentile(results[index].Samples, 0.50)
		results[index].P99 = percentile(results[index].Samples, 0.99)
		progress("launch    %-22s p50 %s p99 %s", results[index].Name, results[index].P50, results[index].P99)
	}
	return results, nil
}

// idleResult counts how often the threads of an idle server were woken.
type idleResult struct {
	Peer     string           `json:"peer"`
	Seconds  float64          `json:"seconds"`
	Switches int64            `json:"context_switches"`
	Threads  map[string]int64 `json:"threads,omitempty"` // those that woke, by name/id
	Memory   memory           `json:"memory"`
	Failure  string           `json:"failure,omitempty"`
}

const (
	// idleSettle is for a runtime to finish what its start left, once: a node of NANO builds the image of the
	// app, lets the builder go and gives memory back that nobody has used for 30 s.
	idleSettle = 75 * time.Second
	idleWindow = 10 * time.Second // of watching
)

// runIdle starts all peers, gives each one request, and counts context switches while nobody asks
// for anything.
func (b *bench) runIdle(ctx context.Context) ([]idleResult, error) {
	results := make([]idleResult, len(b.peers))
	servers := make([]*server, len(b.peers))
	before := make([]map[string]int64, len(b.peers))
	for index, p := range b.peers {
		results[index] = idleResult{Peer: p.Name, Seconds: idleWindow.Seconds()}
		running, err := b.launch(ctx, p, "plain.js")
		if err != nil {
			results[index].Failure = err.Error()
			continue
		}
		defer running.stop()
		servers[index] = running
	}
	if err := wait(ctx, idleSettle); err != nil {
		return nil, err
	}
	for index, running := range servers {
		if running == nil {
			continue
		}
		var err error
		if before[index], err = readSwitches(running.Process); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, idleWindow); err != nil {
		return nil, err
	}
	for index, running := range servers {
		if running == nil {
			continue
		}
		after, err := readSwitches(running.Process)
		if err != nil {
			return nil, err
		}
		results[index].Switches, results[index].Threads = switchesSince(before[index], after)
		if results[index].Memory, err = readMemory(running.Process); err != nil {
			return nil, err
		}
		progress("idle      %-7s %d context switches in %s %v", results[index].Peer, results[index].Switches, idleWindow,
			slices.Sorted(maps.Keys(results[index].Threads)))
	}
	return results, nil
}

// switchesSince returns the sum of all differences, and the differences that are not 0. A thread
// that is new counts with all its switches.
func switchesSince(before, after map[string]int64) (sum int64, threads map[string]int64) {
	threads = map[string]int64{}
	for thread, count := range after {
		if difference := count - before[thread]; difference != 0 {
			threads[thread] = difference
			sum += difference
		}
	}
	return sum, threads
}

// wait lets time pass.
func wait(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}

// memorySample is NANO's resident memory after a number of requests.
type memorySample struct {
	Requests int64 `json:"requests"`
	memory
}

// runMemory watches NANO's memory over many requests.
func (b *bench) runMemory(ctx context.Context) ([]memorySample, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	running, err := b.launch(ctx, p, "plain.js")
	if err != nil {
		return nil, err
	}
	defer running.stop()
	var samples []memorySample
	var served int64
	for _, threshold := range []int64{100_000, 500_000, 1_000_000} {
		for served < threshold {
			counted, err := wrkJob{
				Cores: b.clientCore, Threads: 1, Connections: connections, Duration: time.Second,
				URL: "http://" + running.Address + "/",
			}.run(ctx, b.folder)
			if err != nil {
				return samples, err
			}
			if counted.Requests == 0 {
				return samples, fmt.Errorf("no request was answered within a second")
			}
			served += counted.Requests
		}
		resident, err := readMemory(running.Process)
		if err != nil {
			return samples, err
		}
		samples = append(samples, memorySample{served, resident})
		progress("memory    %s after %d requests", megabytes(resident.RSS), served)
	}
	return samples, nil
}

// nano returns NANO if it takes part.
func (b *bench) nano() (peer, bool) {
	index := slices.IndexFunc(b.peers, func(p peer) bool { return p.Name == nanoName })
	if index < 0 {
		return peer{}, false
	}
	return b.peers[index], true
}

func stopAll(servers []*server) {
	for _, running := range servers {
		running.stop()
	}
}

// appPath returns the absolute path of an app module.
func (b *bench) appPath(name string) string {
	return filepath.Join(b.folder, "apps", name)
}
