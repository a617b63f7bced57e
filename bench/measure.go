package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"time"
)

// connections is the number of connections that a load keeps busy.
const connections = 64

// measure is one round of load on one server.
type measure struct {
	Requests          int64         `json:"requests"`
	RequestsPerSecond float64       `json:"requests_per_second"`
	P50               time.Duration `json:"latency_p50_ns"`
	P99               time.Duration `json:"latency_p99_ns"`
	Errors            int64         `json:"errors"`
	User              time.Duration `json:"user_ns"`   // of the whole round, sampled by the kernel
	System            time.Duration `json:"system_ns"` // likewise
	Total             time.Duration `json:"total_ns"`  // exact
	Client            time.Duration `json:"client_ns"` // of the load's own process
	Memory            memory        `json:"memory"`
	IdleKept          int           `json:"idle_connections_kept,omitempty"`
}

// peerResult is what a peer did in a scenario, over all rounds. Times are microseconds of CPU per
// request.
type peerResult struct {
	Peer              string        `json:"peer"`
	Failure           string        `json:"failure,omitempty"` // why there is no result
	RequestsPerSecond float64       `json:"requests_per_second"`
	P50               time.Duration `json:"latency_p50_ns"`
	P99               time.Duration `json:"latency_p99_ns"`
	UserMicros        float64       `json:"user_us_per_request"`
	UserErrorMicros   float64       `json:"user_standard_error_us"`
	SystemMicros      float64       `json:"system_us_per_request"`
	TotalMicros       float64       `json:"total_us_per_request"`
	ClientMicros      float64       `json:"client_us_per_request,omitempty"` // of the load: over loopback it does a part of the server's work
	Memory            memory        `json:"memory"`
	Errors            int64         `json:"errors"`
	IdleKept          int           `json:"idle_connections_kept,omitempty"`
	Rounds            []measure     `json:"rounds"`
}

// scenarioResult is one table of the report.
type scenarioResult struct {
	Name  string       `json:"name"`
	Title string       `json:"title"`
	Note  string       `json:"note,omitempty"`
	Peers []peerResult `json:"peers"`
}

// closeVeth goes back to loopback.
func (b *bench) closeVeth() {
	if err := b.veth.close(); err != nil {
		progress("%v", err)
	}
	b.veth = nil
}

// launchScenario starts a peer for a scenario.
func (b *bench) launchScenario(ctx context.Context, p peer, s scenario) (*server, error) {
	if s.Site != "" {
		return b.launchSite(ctx, p, s.Site)
	}
	return b.launch(ctx, p, s.App)
}

// runScenario starts all peers, verifies their answers, warms them up and loads them in turn, round
// by round, so that whatever disturbs the machine meets all of them alike.
func (b *bench) runScenario(ctx context.Context, s scenario) (scenarioResult, error) {
	result := scenarioResult{Name: s.Name, Title: s.Title, Note: s.Note}
	peers := b.peersOf(s)
	if s.IsVeth {
		var err error
		if b.veth, err = openVeth(ctx, b.serverCore, b.clientCore); err != nil {
			for _, p := range peers {
				result.Peers = append(result.Peers, peerResult{Peer: p.Name, Failure: err.Error()})
			}
			progress("%s: %v", s.Name, err)
			return result, ctx.Err()
		}
		defer b.closeVeth()
	}
	servers := make([]*server, len(peers))
	for index, p := range peers {
		result.Peers = append(result.Peers, peerResult{Peer: p.Name})
		one := &result.Peers[index]
		running, err := b.launchScenario(ctx, p, s)
		if err == nil {
			defer running.stop()
			if err = verify(running.Address, s.Exchanges); err == nil {
				_, err = b.load(ctx, running, s, b.warmUp)
			}
		}
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		if err != nil {
			one.Failure = err.Error()
			progress("%s: %s: %v", s.Name, p.Name, err)
			continue
		}
		servers[index] = running
	}
	for round := range b.rounds {
		for index, running := range servers {
			if running == nil {
				continue
			}
			one := &result.Peers[index]
			measured, err := b.load(ctx, running, s, b.duration)
			if ctx.Err() != nil {
				return result, ctx.Err()
			}
			if err != nil {
				one.Failure, servers[index] = err.Error(), nil
				progress("%s: %s: %v", s.Name, one.Peer, err)
				continue
			}
			one.Rounds = append(one.Rounds, measured)
			progress("%-9s round %d/%d %-7s %8.0f requests/s %7.2f us CPU each, %d errors", s.Name, round+1, b.rounds,
				one.Peer, measured.RequestsPerSecond, micros(measured.Total)/float64(measured.Requests), measured.Errors)
		}
	}
	for index := range result.Peers {
		result.Peers[index].summarise()
	}
	return result, nil
}

// load makes one round of load on one server. The CPU time is that of wrk's whole life, and so are
// the requests that wrk counts; a server consumes next to nothing without requests.
func (b *bench) load(ctx context.Context, running *server, s scenario, duration time.Duration) (measure, error) {
	var result measure
	idle, err := openIdle(running.Address, s.Idle)
	defer closeAll(idle)
	if err != nil {
		return result, err
	}
	var busy time.Duration
	if s.IsVeth {
		if busy, err = readBusy(b.serverCore); err != nil {
			return result, err
		}
	}
	before, err := readUsage(running.Process)
	if err != nil {
		return result, err
	}
	counted, err := wrkJob{
		Cores: b.clientCore, Threads: 1, Connections: cmp.Or(s.Connections, connections), Duration: duration,
		Script: s.Script, Arguments: s.Arguments, URL: "http://" + running.Address + cmp.Or(s.Path, "/"),
	}.run(ctx, b.folder)
	if err != nil {
		return result, err
	}
	after, err := readUsage(running.Process)
	if err != nil {
		return result, fmt.Errorf("%w: %s", err, running.output.String())
	}
	if counted.Requests == 0 {
		return result, fmt.Errorf("no request was answered within %s", duration)
	}
	consumed := after.since(before)
	if s.IsVeth {
		busyAfter, err := readBusy(b.serverCore)
		if err != nil {
			return result, err
		}
		consumed.Total = busyAfter - busy
		consumed.User = min(max(consumed.User, 0), consumed.Total)
		consumed.System = consumed.Total - consumed.User
	}
	result = measure{
		Requests: counted.Requests, RequestsPerSecond: counted.RequestsPerSecond,
		P50: counted.P50, P99: counted.P99, Errors: counted.Errors,
		User: consumed.User, System: consumed.System, Total: consumed.Total, Client: counted.CPU,
		IdleKept: countOpen(idle),
	}
	result.Memory, err = readMemory(running.Process)
	return result, err
}

// summarise makes one result of all rounds: the median of each figure. The split of CPU time in
// user and system is taken over all rounds together, because the kernel only samples it.
func (r *peerResult) summarise() {
	if len(r.Rounds) == 0 {
		return
	}
	r.RequestsPerSecond = medianOf(r.Rounds, func(m measure) float64 { return m.RequestsPerSecond })
	r.P50 = time.Duration(medianOf(r.Rounds, func(m measure) float64 { return float64(m.P50) }))
	r.P99 = time.Duration(medianOf(r.Rounds, func(m measure) float64 { return float64(m.P99) }))
	r.TotalMicros = medianOf(r.Rounds, func(m measure) float64 { return micros(m.Total) / float64(m.Requests) })
	r.ClientMicros = medianOf(r.Rounds, func(m measure) float64 { return micros(m.Client) / float64(m.Requests) })
	r.Memory.RSS = int64(medianOf(r.Rounds, func(m measure) float64 { return float64(m.Memory.RSS) }))
	r.Memory.PSS = int64(medianOf(r.Rounds, func(m measure) float64 { return float64(m.Memory.PSS) }))
	r.IdleKept = r.Rounds[0].IdleKept
	var user, system time.Duration
	for _, round := range r.Rounds {
		user += round.User
		system += round.System
		r.Errors += round.Errors
		r.IdleKept = min(r.IdleKept, round.IdleKept)
	}
	share, shareError := userShare(user, system)
	r.UserMicros = r.TotalMicros * share
	r.SystemMicros = r.TotalMicros * (1 - share)
	r.UserErrorMicros = r.TotalMicros * shareError
}

// samplePeriod is the time between two of the kernel's samples of user or system, at the usual
// 250 Hz.
const samplePeriod = 4 * time.Millisecond

// userShare returns the user part of CPU time and the standard error of that part: each sample says
// user or system, so their number is binomially distributed.
func userShare(user, system time.Duration) (share, standardError float64) {
	samples := float64(user+system) / float64(samplePeriod)
	if samples == 0 {
		return 0, 0
	}
	share = float64(user) / float64(user+system)
	return share, math.Sqrt(share * (1 - share) / samples)
}

// medianOf returns the median of a figure over all rounds.
func medianOf(rounds []measure, figure func(measure) float64) float64 {
	var values []float64
	for _, round := range rounds {
		values = append(values, figure(round))
	}
	return median(values)
}

// median returns the middle value, or the mean of the two middle ones; 0 of no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile returns the smallest value that at least the given part of all values do not exceed.
func percentile(values []time.Duration, part float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	return sortedPercentile(slices.Sorted(slices.Values(values)), part)
}

// sortedPercentile is percentile of values that are sorted already, and at least one.
func sortedPercentile(sorted []time.Duration, part float64) time.Duration {
	rank := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[max(rank, 0)]
}

func micros(duration time.Duration) float64 {
	return float64(duration) / float64(time.Microsecond)
}

// openIdle opens connections that each have had one answer and then stay silent.
func openIdle(address string, count int) ([]net.Conn, error) {
	var open []net.Conn
	request := exchange{Path: "/"}.bytes(address)
	buffer := make([]byte, 4096)
	for range count {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return open, fmt.Errorf("idle connection %d: %w", len(open), err)
		}
		open = append(open, connection)
		if err := connection.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
			return open, err
		}
		if _, err := connection.Write(request); err != nil {
			return open, fmt.Errorf("idle connection %d: %w", len(open), err)
		}
		if _, err := connection.Read(buffer); err != nil {
			return open, fmt.Errorf("idle connection %d: %w", len(open), err)
		}
	}
	return open, nil
}

// countOpen tells how many connections the server has not closed. Some runtimes close idle ones
// after a few seconds.
func countOpen(open []net.Conn) int {
	count := 0
	buffer := make([]byte, 4096)
	for _, connection := range open {
		connection.SetReadDeadline(time.Now().Add(time.Millisecond / 10))
		// The end of an answer in two pieces may still be there to read, so only an error
		// other than the deadline means closed.
		_, err := connection.Read(buffer)
		if timeout, isNet := err.(net.Error); err == nil || isNet && timeout.Timeout() {
			count++
		}
	}
	return count
}

func closeAll(open []net.Conn) {
	for _, connection := range open {
		connection.Close()
	}
}
