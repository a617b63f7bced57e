package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loopsResult compares one loop with two. On a machine of two cores wrk shares them with the
// loops, so the comparison is between three set-ups in which every core carries one loop and one
// thread of wrk.
type loopsResult struct {
	OneLoop      peerResult `json:"one_loop"`      // one loop and wrk on one core
	TwoProcesses peerResult `json:"two_processes"` // two processes of one loop that share a port, each on a core
	TwoLoops     peerResult `json:"two_loops"`     // one process of two loops on the same two cores
}

// runLoops measures what a second loop costs. Two processes that share a port are the control: the
// kernel's work and the client's are those of two loops, and nothing is shared between the loops.
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
	one, err := b.startLoops(ctx, p, 1, b.serverCore)
	if err != nil {
		return nil, err
	}
	defer stopAll(one)
	pair, err := b.startLoops(ctx, p, 1, b.serverCore, b.clientCore)
	if err != nil {
		return nil, err
	}
	defer stopAll(pair)
	two, err := b.startLoops(ctx, p, 2, both)
	if err != nil {
		return nil, err
	}
	defer stopAll(two)
	for round := range b.rounds + 1 {
		for _, variant := range []struct {
			servers []*server
			cores   string
			threads int
			result  *peerResult
		}{
			{one, b.serverCore, 1, &result.OneLoop},
			{pair, both, 2, &result.TwoProcesses},
			{two, both, 2, &result.TwoLoops},
		} {
			measured, err := b.loadLoops(ctx, variant.servers, variant.cores, variant.threads)
			if err != nil {
				return nil, err
			}
			if round == 0 {
				continue // the first round warms up
			}
			variant.result.Rounds = append(variant.result.Rounds, measured)
			progress("loops     round %d/%d %-30s %8.0f requests/s %7.2f us CPU each", round, b.rounds, variant.result.Peer,
				measured.RequestsPerSecond, micros(measured.Total)/float64(measured.Requests))
		}
	}
	for _, one := range []*peerResult{&result.OneLoop, &result.TwoProcesses, &result.TwoLoops} {
		one.summarise()
	}
	return result, nil
}

// startLoops starts one process for each set of cores, all on one port.
func (b *bench) startLoops(ctx context.Context, p peer, loops int, cores ...string) ([]*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var servers []*server
	for _, set := range cores {
		folder, err := os.MkdirTemp(b.temporary, "loops-")
		if err != nil {
			return nil, err
		}
		arguments, err := nanoCommand(p, b.appPath("plain.js"), port, folder, loops)
		if err != nil {
			return nil, err
		}
		running, err := startServer(ctx, arguments, set, fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			stopAll(servers)
			return nil, err
		}
		servers = append(servers, running)
	}
	return servers, awaitListeners(ctx, port, loops*len(cores))
}

// awaitListeners waits until a port has at least so many listening sockets.
func awaitListeners(ctx context.Context, port, want int) error {
	deadline := time.Now().Add(startTimeout)
	for {
		got := countListeners(readText("/proc/net/tcp"), port)
		if got >= want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d listening sockets on port %d, want %d", got, port, want)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// countListeners counts the listening sockets of a port in the text of /proc/net/tcp, whose lines
// begin "  0: 0100007F:1F90 00000000:0000 0A".
func countListeners(table string, port int) int {
	const listening = "0A"
	count := 0
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != listening {
			continue
		}
		_, local, _ := strings.Cut(fields[1], ":")
		if number, err := strconv.ParseInt(local, 16, 32); err == nil && int(number) == port {
			count++
		}
	}
	return count
}

// loadLoops makes one round of plain text on servers that share a port.
func (b *bench) loadLoops(ctx context.Context, servers []*server, cores string, threads int) (measure, error) {
	var result measure
	before := make([]usage, len(servers))
	for index, running := range servers {
		var err error
		if before[index], err = readUsage(running.Process); err != nil {
			return result, err
		}
	}
	counted, err := wrkJob{
		Cores: cores, Threads: threads, Connections: connections * threads, Duration: b.duration,
		URL: "http://" + servers[0].Address + "/",
	}.run(ctx, b.folder)
	if err != nil {
		return result, err
	}
	result = measure{Requests: counted.Requests, RequestsPerSecond: counted.RequestsPerSecond,
		P50: counted.P50, P99: counted.P99, Errors: counted.Errors}
	for index, running := range servers {
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
	idleSettle = 5 * time.Second  // for a runtime to finish what its start left
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
