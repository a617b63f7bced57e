package main

import (
	"fmt"
	"slices"
	"time"
)

// latencies sums up the times of many requests.
type latencies struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
}

// summarise sorts the samples.
func summarise(samples []time.Duration) latencies {
	if len(samples) == 0 {
		return latencies{}
	}
	slices.Sort(samples)
	return latencies{
		Count: len(samples), P50: sortedPercentile(samples, 0.5), P99: sortedPercentile(samples, 0.99),
		P999: sortedPercentile(samples, 0.999), Max: samples[len(samples)-1],
	}
}

func (l latencies) String() string {
	return fmt.Sprintf("%d requests, p50 %s, p99 %s, p99.9 %s, max %s", l.Count, milliseconds(l.P50), milliseconds(l.P99), milliseconds(l.P999), milliseconds(l.Max))
}

// cells are the columns latencyColumns of a table.
func (l latencies) cells() []string {
	return []string{milliseconds(l.P50), milliseconds(l.P99), milliseconds(l.P999), milliseconds(l.Max)}
}

var latencyColumns = []string{"p50", "p99", "p99.9", "max"}
