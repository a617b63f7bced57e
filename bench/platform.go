package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	platformMost   = 0.8                    // operations per CPU second, of the best peer's
	platformRound  = 400 * time.Millisecond // of CPU that a round of a case takes, about
	platformQuick  = 100 * time.Millisecond // likewise, with --quick
	platformRounds = 5
	// platformPatience bounds a request: a round on a machine that is busy otherwise.
	platformPatience = 2 * time.Minute
	// platformGrowth is how much more often the next attempt does an operation, at most, while its cost is not
	// known yet. All that an engine optimises meanwhile is optimised when the rounds begin.
	platformGrowth = 16
)

// platformCase is an operation of apps/platform.js.
type platformCase struct {
	Name, Title string
}

var platformCases = []platformCase{
	{"url", "`new URL`, absolute"},
	{"url-base", "`new URL` with a base"},
	{"params", "URLSearchParams: parse, set, append, get, write"},
	{"headers-get", "Headers: two of ten read"},
	{"headers-set", "Headers: made, four set, one asked for"},
	{"headers-iterate", "Headers: ten iterated"},
	{"encode-20", "TextEncoder, 20 B"},
	{"encode-1k", "TextEncoder, 1 KB"},
	{"encode-1m", "TextEncoder, 1 MB"},
	{"encode-1k-mixed", "TextEncoder, 1 KB of several scripts"},
	{"decode-20", "TextDecoder, 20 B"},
	{"decode-1k", "TextDecoder, 1 KB"},
	{"decode-1m", "TextDecoder, 1 MB"},
	{"decode-1k-mixed", "TextDecoder, 1 KB of several scripts"},
	{"clone", "structuredClone of an order with ten items"},
	{"atob", "atob, 1 KB"},
	{"btoa", "btoa, 768 B"},
	{"request", "`new Request` with body and header"},
	{"response", "`new Response` with text and headers"},
	{"response-json", "`response.json()`, 1 KB"},
	{"json-response", "`Response.json`, 1 KB"},
	{"sha256-64", "SHA-256 of 64 B"},
	{"sha256-1m", "SHA-256 of 1 MB"},
	{"hmac", "HMAC-SHA-256 of 256 B, sign"},
	{"ecdsa", "ECDSA P-256 of 256 B, verify"},
	{"stream-identity", "64 KB through an identity TransformStream"},
	{"stream-js", "64 KB through a JavaScript TransformStream"},
	{"formdata", "multipart form of 1 MB, parsed"},
	{"gzip", "gzip of 1 MB"},
	{"gunzip", "gunzip of 1 MB"},
	{"html", "HTMLRewriter over 1 MB"},
}

// platformResult is what all peers did in one case.
type platformResult struct {
	Case  string         `json:"case"`
	Title string         `json:"title"`
	Peers []platformPeer `json:"peers"`
}

// platformPeer is what one peer did in a case.
type platformPeer struct {
	Peer string `json:"peer"`
	// PerCPUSecond are the operations for each second of the whole process's CPU, of each round.
	PerCPUSecond []float64 `json:"operations_per_cpu_second"`
	Failure      string    `json:"failure,omitempty"` // "lacks it": there is no such API
	count        int64     // of operations in a round
}

const lacksIt = "lacks it"

// rate is the median of all rounds; 0: there is none.
func (p platformPeer) rate() float64 {
	if p.Failure != "" {
		return 0
	}
	return median(p.PerCPUSecond)
}

// compare finds NANO's rate, and the peer whose rate is highest.
func (r platformResult) compare() (nano, best float64, bestPeer string) {
	for _, p := range r.Peers {
		switch rate := p.rate(); {
		case p.Peer == nanoName:
			nano = rate
		case p.Peer != otherName && rate > best:
			best, bestPeer = rate, p.Peer
		}
	}
	return nano, best, bestPeer
}

// runPlatform starts all peers and measures the cases one after the other, the peers in turn.
func (b *bench) runPlatform(ctx context.Context) ([]platformResult, error) {
	servers := make([]*server, len(b.peers))
	for index, p := range b.peers {
		running, err := b.launchPlatform(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		defer running.stop()
		servers[index] = running
	}
	var results []platformResult
	for _, one := range platformCases {
		if b.cases != nil && !b.cases.MatchString(one.Name) {
			continue
		}
		result := platformResult{Case: one.Name, Title: one.Title}
		for _, p := range b.peers {
			result.Peers = append(result.Peers, platformPeer{Peer: p.Name})
		}
		b.runPlatformCase(ctx, servers, &result)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		results = append(results, result)
	}
	return results, nil
}

// runPlatformCase warms all peers up and makes the rounds of a case.
func (b *bench) runPlatformCase(ctx context.Context, servers []*server, result *platformResult) {
	round := platformRound
	if b.quick {
		round = platformQuick
	}
	for index := range result.Peers {
		one := &result.Peers[index]
		if err := calibratePlatform(ctx, servers[index], result.Case, one, round); err != nil {
			one.Failure = err.Error()
		}
	}
	for range platformRounds {
		for index := range result.Peers {
			one := &result.Peers[index]
			if one.Failure != "" {
				continue
			}
			consumed, err := operate(ctx, servers[index], result.Case, one.count)
			if err != nil {
				one.Failure = err.Error()
				continue
			}
			one.PerCPUSecond = append(one.PerCPUSecond, float64(one.count)/consumed.Seconds())
		}
	}
	nano, best, bestPeer := result.compare()
	var rates []string
	for _, one := range result.Peers {
		text := one.Peer + " " + figure(one.rate())
		if one.Failure != "" {
			text = one.Peer + ": " + oneLine(one.Failure)
		}
		rates = append(rates, text)
	}
	progress("platform  %-16s %.2f x %-8s %s", result.Case, nano/max(best, math.SmallestNonzeroFloat64), bestPeer, strings.Join(rates, ", "))
}

// calibratePlatform warms a case up and finds how many operations make a round: it does ever more of them until they
// take as much CPU as a round, twice.
func calibratePlatform(ctx context.Context, running *server, name string, one *platformPeer, round time.Duration) error {
	one.count = 1
	for long := 0; ; {
		consumed, err := operate(ctx, running, name, one.count)
		if err != nil {
			return err
		}
		if consumed >= round/2 {
			long++
		}
		factor := min(float64(round)/max(float64(consumed), 1), platformGrowth)
		one.count = max(int64(float64(one.count)*factor), 1)
		if long == 2 {
			return nil
		}
	}
}

// operate has a server do operations, and returns the CPU that its processes consumed.
func operate(ctx context.Context, running *server, name string, count int64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, platformPatience)
	defer cancel()
	target := fmt.Sprintf("http://%s/?case=%s&count=%d", running.Address, url.QueryEscape(name), count)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	before, err := readUsage(running.Process)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, tail(running.output.String()))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	switch {
	case answer.StatusCode == http.StatusNotImplemented:
		return 0, fmt.Errorf("%s", lacksIt)
	case answer.StatusCode != http.StatusOK || string(text) != fmt.Sprint(count):
		return 0, fmt.Errorf("status %d: %.300s", answer.StatusCode, text)
	}
	after, err := readUsage(running.Process)
	if err != nil {
		return 0, err
	}
	return after.since(before).Total, nil
}

// launchPlatform starts a peer with apps/platform.js. NANO's limits are made large: a request is a whole round.
func (b *bench) launchPlatform(ctx context.Context, p peer) (*server, error) {
	app := "platform.js"
	switch p.Name {
	case nanoName, otherName:
		p.prepare = preparePlatformNano
	case "node":
		p.prepare = func(p peer, app string, port int, folder string) ([]string, error) {
			adapter := filepath.Join(b.folder, "peers", "platform.node.js")
			return []string{p.Binary, adapter, app, fmt.Sprint(port)}, nil
		}
	}
	return b.launch(ctx, p, app)
}

// preparePlatformNano adds limits to the usual configuration.
func preparePlatformNano(p peer, app string, port int, folder string) ([]string, error) {
	command, err := prepareNano(p, app, port, folder)
	if err != nil {
		return nil, err
	}
	path := command[len(command)-1]
	configuration, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer configuration.Close()
	_, err = fmt.Fprintf(configuration, "\n[app.limits]\ncpu = %q\nwall = %q\n", platformPatience, platformPatience)
	return command, err
}

// judgePlatform counts the cases that NANO does as fast as was promised, and those that nobody does faster.
func (r *results) judgePlatform() []target {
	enough := target{Text: fmt.Sprintf("Web platform: operations per CPU second ≥ %.1f × the best peer's in each case", platformMost), Verdict: notMeasured}
	ahead := target{Text: "Web platform: ahead of all peers in most cases", Verdict: notMeasured}
	var judged, fast, first int
	var slow []string
	for _, one := range r.Platform {
		nano, best, bestPeer := one.compare()
		if best == 0 {
			continue
		}
		judged++
		if nano >= platformMost*best {
			fast++
		} else {
			slow = append(slow, fmt.Sprintf("%s %.2f × %s", one.Case, nano/best, bestPeer))
		}
		if nano >= best {
			first++
		}
	}
	if judged > 0 {
		enough.Measured, enough.Verdict = fmt.Sprintf("%d of %d", fast, judged), verdict(fast == judged)
		if len(slow) > 0 {
			enough.Measured += "; not " + strings.Join(slow, ", ")
		}
		ahead.Measured, ahead.Verdict = fmt.Sprintf("%d of %d", first, judged), verdict(2*first > judged)
	}
	return []target{enough, ahead}
}

// writePlatform shows the rates of all peers, and NANO's beside the best of the others.
func (r *results) writePlatform(page *strings.Builder) {
	if len(r.Platform) == 0 {
		return
	}
	page.WriteString("## The Web platform (`platform`)\n\n" +
		"Operations per second of CPU, the whole process's; more is better. All runtimes run apps/platform.js, which checks what\n" +
		"its operations give. They are warmed up and measured in turn; a figure is the median of the rounds.\n\n")
	header := []string{"operation"}
	for _, p := range r.Platform[0].Peers {
		header = append(header, p.Peer)
	}
	var rows [][]string
	var failures []string
	for _, one := range r.Platform {
		row := []string{one.Title}
		for _, p := range one.Peers {
			cell := figure(p.rate())
			if p.Failure != "" {
				cell = "–"
			}
			if p.Failure != "" && p.Failure != lacksIt {
				failures = append(failures, fmt.Sprintf("%s, %s: %s", one.Case, p.Peer, oneLine(p.Failure)))
			}
			row = append(row, cell)
		}
		cell := ""
		if nano, best, bestPeer := one.compare(); nano > 0 && best > 0 {
			cell = fmt.Sprintf("%.2f × %s", nano/best, bestPeer)
		}
		rows = append(rows, append(row, cell))
	}
	writeTable(page, append(header, "NANO against the best"), rows)
	for _, failure := range failures {
		page.WriteString(failure + "\n\n")
	}
}
