package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// microJob is a set of Go benchmarks of one package.
type microJob struct {
	Package string
	Pattern string
	Time    string // as -benchtime takes it
}

// microJobs are the Go benchmarks whose results the report shows.
var microJobs = []microJob{
	{"./uring", ".", "300ms"},
	{"./http1", ".", "300ms"},
	{"./loop", ".", "300ms"},
	{"./isolates", "Turn|Restore|Context", "300ms"},
}

// weightJobs are those of what the platform weighs. Density makes its isolates once, so it runs once; each first use
// is measured in 60 isolates at a time.
var weightJobs = []microJob{
	{"./isolates", "Density", "1x"},
	{"./isolates", "Touch", "3x"},
}

// microResult is one line of go test -bench.
type microResult struct {
	Package    string             `json:"package"`
	Name       string             `json:"name"`
	Iterations int64              `json:"iterations"`
	Metrics    map[string]float64 `json:"metrics"` // by unit: "ns/op", "allocs/op", "KB/isolate" …
	Units      []string           `json:"units"`   // in the order of the line
}

// runMicro runs Go benchmarks. A package that does not build or fails is a failure in the
// report, not the end of the run.
func (b *bench) runMicro(ctx context.Context, jobs []microJob) (results []microResult, err error) {
	for _, job := range jobs {
		progress("go test %s -bench %s", job.Package, job.Pattern)
		command := exec.CommandContext(ctx, "go", "test", job.Package, "-run", "^$", "-bench", job.Pattern,
			"-benchmem", "-benchtime", job.Time)
		command.Dir = b.root
		output, failure := command.CombinedOutput()
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("%s %s: %w: %s", job.Package, job.Pattern, failure, complaint(output)))
		}
		results = append(results, parseBenchmarks(job.Package, string(output))...)
	}
	return results, err
}

var benchmarkLine = regexp.MustCompile(`^(Benchmark\S+?)(?:-\d+)?\s+(\d+)\s+(.+)$`)

// parseBenchmarks reads the lines of go test -bench, in the format of
// https://go.dev/design/14313-benchmark-format.
func parseBenchmarks(packageName, output string) []microResult {
	var results []microResult
	for line := range strings.Lines(output) {
		match := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		iterations, err := strconv.ParseInt(match[2], 10, 64)
		if err != nil {
			continue
		}
		result := microResult{Package: packageName, Name: match[1], Iterations: iterations, Metrics: map[string]float64{}}
		fields := strings.Fields(match[3])
		for index := 0; index+1 < len(fields); index += 2 {
			value, err := strconv.ParseFloat(fields[index], 64)
			if err != nil {
				break
			}
			result.Metrics[fields[index+1]] = value
			result.Units = append(result.Units, fields[index+1])
		}
		if len(result.Units) > 0 {
			results = append(results, result)
		}
	}
	return results
}

// complaint returns the lines of go test's output that are no results: at most the last five.
func complaint(output []byte) string {
	var lines []string
	for line := range strings.Lines(string(output)) {
		if text := strings.TrimSpace(line); text != "" && !benchmarkLine.MatchString(text) {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines[max(len(lines)-5, 0):], " / ")
}
