package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// accounts is what a NANO node counts of all its apps together, as it logs it on SIGUSR1.
type accounts struct {
	Requests          uint64            `json:"requests"`
	Warm              int               `json:"warm"`
	Resident          int64             `json:"resident"` // what the node believes that warm isolates take
	Starts            map[string]starts `json:"starts"`   // by how: "snapshot", "cache", "source"
	Sleeps            uint64            `json:"sleeps"`
	Evictions         uint64            `json:"evictions"`
	PressureEvictions uint64            `json:"pressure_evictions"`
	Deaths            uint64            `json:"deaths"`
}

// starts counts starts of isolates.
type starts struct {
	Count uint64        `json:"count"`
	Total time.Duration `json:"total_ns"`
	Max   time.Duration `json:"max_ns"`
}

// since returns the starts after earlier.
func (a accounts) since(earlier accounts) map[string]starts {
	difference := map[string]starts{}
	for how, now := range a.Starts {
		before := earlier.Starts[how]
		if now.Count > before.Count {
			difference[how] = starts{now.Count - before.Count, now.Total - before.Total, now.Max}
		}
	}
	return difference
}

// describeStarts writes starts as "1,000 snapshot (mean 0.91 ms)".
func describeStarts(all map[string]starts) string {
	var parts []string
	for _, how := range []string{"snapshot", "cache", "source"} {
		if one, found := all[how]; found {
			parts = append(parts, fmt.Sprintf("%s %s (mean %s)", thousands(int64(one.Count)), how, milliseconds(one.Total/time.Duration(one.Count))))
		}
	}
	return strings.Join(parts, ", ")
}

const (
	accountsLimit = 5 * time.Second // for a node to log its accounts
	accountsPoll  = 5 * time.Millisecond
)

// accounts asks the node for its accounts. Its log must be JSON.
func (s *server) accounts(ctx context.Context) (accounts, error) {
	seen := len(accountRecords(s.output.String()))
	// The process alone: its builder has no use for the signal.
	if err := syscall.Kill(s.Process, syscall.SIGUSR1); err != nil {
		return accounts{}, fmt.Errorf("kill: %w", err)
	}
	for start := time.Now(); time.Since(start) < accountsLimit; {
		if records := accountRecords(s.output.String()); len(records) > seen {
			var latest accounts
			err := json.Unmarshal([]byte(records[len(records)-1]), &latest)
			return latest, err
		}
		if err := wait(ctx, accountsPoll); err != nil {
			return accounts{}, err
		}
	}
	return accounts{}, errors.New("the node did not log its accounts")
}

// accountRecords are the complete lines of a log that hold the sum of all accounts.
func accountRecords(log string) []string {
	var records []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"msg":"accounts"`) && strings.HasSuffix(line, "\n") {
			records = append(records, line)
		}
	}
	return records
}
