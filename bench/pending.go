package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	pendingFetches  = 10_000
	pendingRequests = 100 // each of which makes its part of the fetches
	pendingRest     = 15 * time.Second
	pendingPoll     = 250 * time.Millisecond
	pendingTries    = 3
)

// pendingResult is what many fetches cost while all of them wait for their origin. The origin answers
// none before all have come.
type pendingResult struct {
	Fetches int            `json:"fetches"`
	Rounds  []pendingRound `json:"rounds"`
}

// pendingRound is one time that all fetches were pending.
type pendingRound struct {
	Answered int           `json:"answered"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Before   int64         `json:"rss_before_bytes"`
	Peak     int64         `json:"rss_peak_bytes"`
	After    int64         `json:"rss_after_bytes"`
	// Of Before and After, what is not pages of files: the rest is mostly code that ran for the first time.
	AnonymousBefore int64 `json:"anonymous_before_bytes"`
	AnonymousAfter  int64 `json:"anonymous_after_bytes"`
	// Rested is how long it took until After: until it was no more than Before, or pendingRest.
	Rested time.Duration `json:"rested_ns"`
}

// runPending lets one app wait for many answers at once.
func (b *bench) runPending(ctx context.Context) (*pendingResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	result := &pendingResult{Fetches: pendingFetches}
	if b.quick {
		result.Fetches /= 10
	}
	running, err := b.launchSite(ctx, p, "pending")
	if err != nil {
		return nil, err
	}
	defer running.stop()
	if answered, err := askHeld(running.Address, 1, 1); err != nil || answered != 1 {
		return nil, errors.Join(err, fmt.Errorf("%d answers to 1 fetch: %s", answered, tail(running.output.String())))
	}
	for range pendingTries {
		round, err := measurePending(ctx, running, result.Fetches)
		if err != nil {
			return result, fmt.Errorf("%w: %s", err, tail(running.output.String()))
		}
		progress("pending10k %d of %d answered in %s, %s before, %s at the peak, %s after %s; anonymous: %s before, %s after", round.Answered,
			result.Fetches, milliseconds(round.Elapsed), megabytes(round.Before), megabytes(round.Peak), megabytes(round.After),
			milliseconds(round.Rested), megabytes(round.AnonymousBefore), megabytes(round.AnonymousAfter))
		result.Rounds = append(result.Rounds, round)
	}
	return result, nil
}

// measurePending makes one round on a server that rests.
func measurePending(ctx context.Context, running *server, fetches int) (round pendingRound, err error) {
	if err := running.rest(ctx); err != nil {
		return round, err
	}
	if err := resetPeak(running.Process); err != nil {
		return round, err
	}
	before, err := readMemory(running.Process)
	if err != nil {
		return round, err
	}
	start := time.Now()
	round.Before, round.AnonymousBefore = before.RSS, before.Anonymous
	if round.Answered, err = askHeld(running.Address, fetches, pendingRequests); err != nil {
		return round, err
	}
	round.Elapsed = time.Since(start)
	if round.Peak, err = readPeak(running.Process); err != nil {
		return round, err
	}
	for start = time.Now(); ; {
		after, err := readMemory(running.Process)
		if err != nil {
			return round, err
		}
		round.After, round.AnonymousAfter, round.Rested = after.RSS, after.Anonymous, time.Since(start)
		if round.After <= round.Before || round.Rested > pendingRest {
			return round, nil
		}
		if err := wait(ctx, pendingPoll); err != nil {
			return round, err
		}
	}
}

// askHeld asks an app for fetches that their origin holds until all are there, in a number of requests that
// divides theirs. It returns how many were answered.
func askHeld(address string, fetches, requests int) (int, error) {
	var group sync.WaitGroup
	counts, failures := make([]int, requests), make([]error, requests)
	for index := range requests {
		group.Go(func() {
			connection, err := dialFor(address, heldLimit+exchangeTimeout)
			if err != nil {
				failures[index] = err
				return
			}
			defer connection.close()
			path := fmt.Sprintf("/%d/%d", fetches/requests, fetches)
			answer, err := connection.ask(exchange{Path: path}.bytes(address))
			if err == nil && answer.Status != 200 {
				err = fmt.Errorf("status %d %s: %.200s", answer.Status, answer.Error, answer.Body)
			}
			if err == nil {
				counts[index], err = strconv.Atoi(answer.Body)
			}
			failures[index] = err
		})
	}
	group.Wait()
	total := 0
	for _, count := range counts {
		total += count
	}
	return total, errors.Join(failures...)
}
