package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// wrkResult is what one run of wrk counted.
type wrkResult struct {
	Requests          int64
	RequestsPerSecond float64
	P50, P99          time.Duration
	Errors            int64         // failed connects, reads, writes, time-outs, and answers with status ≥ 400
	CPU               time.Duration // of wrk itself
}

// wrkJob says what load to make.
type wrkJob struct {
	Cores       string // cores for wrk's threads, as taskset takes them
	Threads     int
	Connections int
	Duration    time.Duration
	Script      string   // name of a file in bench/load, or ""
	Arguments   []string // of the script
	URL         string
}

// run runs wrk and returns what it counted.
func (job wrkJob) run(ctx context.Context, benchFolder string) (wrkResult, error) {
	arguments := []string{"-c", job.Cores, "wrk",
		"-t" + strconv.Itoa(job.Threads), "-c" + strconv.Itoa(job.Connections),
		fmt.Sprintf("-d%ds", int(job.Duration.Round(time.Second)/time.Second)), "--latency"}
	if job.Script != "" {
		arguments = append(arguments, "-s", filepath.Join(benchFolder, "load", job.Script))
	}
	arguments = append(arguments, job.URL)
	if len(job.Arguments) > 0 {
		arguments = append(append(arguments, "--"), job.Arguments...)
	}
	command := exec.CommandContext(ctx, "taskset", arguments...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w: %s", err, output.Bytes())
	}
	result, err := parseWrk(output.Bytes())
	result.CPU = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return result, err
}

var (
	wrkTotal   = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRate    = regexp.MustCompile(`(?m)^Requests/sec:\s*([\d.]+)`)
	wrkP50     = regexp.MustCompile(`(?m)^\s*50%\s+([\d.]+)(us|ms|s|m|h)\s*$`)
	wrkP99     = regexp.MustCompile(`(?m)^\s*99%\s+([\d.]+)(us|ms|s|m|h)\s*$`)
	wrkSockets = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus  = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads what wrk --latency prints.
func parseWrk(output []byte) (wrkResult, error) {
	var result wrkResult
	total, rate := wrkTotal.FindSubmatch(output), wrkRate.FindSubmatch(output)
	if total == nil || rate == nil {
		return result, fmt.Errorf("wrk: no totals in its output: %s", output)
	}
	var err error
	if result.Requests, err = strconv.ParseInt(string(total[1]), 10, 64); err != nil {
		return result, err
	}
	if result.RequestsPerSecond, err = strconv.ParseFloat(string(rate[1]), 64); err != nil {
		return result, err
	}
	if result.P50, err = wrkLatency(wrkP50, output); err != nil {
		return result, err
	}
	if result.P99, err = wrkLatency(wrkP99, output); err != nil {
		return result, err
	}
	for _, expression := range []*regexp.Regexp{wrkSockets, wrkStatus} {
		counts := expression.FindSubmatch(output)
		for index := 1; index < len(counts); index++ {
			count, err := strconv.ParseInt(string(counts[index]), 10, 64)
			if err != nil {
				return result, err
			}
			result.Errors += count
		}
	}
	return result, nil
}

// wrkLatency reads one line of wrk's latency distribution.
func wrkLatency(expression *regexp.Regexp, output []byte) (time.Duration, error) {
	match := expression.FindSubmatch(output)
	if match == nil {
		return 0, fmt.Errorf("wrk: no latency distribution in its output: %s", output)
	}
	number, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		return 0, err
	}
	units := map[string]time.Duration{
		"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	}
	return time.Duration(number * float64(units[string(match[2])])), nil
}
