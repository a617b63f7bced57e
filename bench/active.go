package main

import (
	"context"
	"fmt"
)

const activeApps = 1000

// activeResult compares one app with many apps that are all in use, under the same load.
type activeResult struct {
	One  peerResult `json:"one"`
	Many peerResult `json:"many"`
	// Restarts are the starts during the load: none, if all apps stay warm.
	Restarts map[string]starts `json:"restarts"`
}

// runActive spreads a load over apps that are all warm. Both loads go to the same process, in turn.
func (b *bench) runActive(ctx context.Context) (*activeResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	tenants, err := b.distinct(activeApps)
	if err != nil {
		return nil, err
	}
	if err := b.build(ctx, p, tenants); err != nil {
		return nil, err
	}
	house, err := b.rentNano(ctx, p, tenants)
	if err != nil {
		return nil, err
	}
	defer house.leave()
	if err := house.askAll(1); err != nil {
		return nil, err
	}
	result := &activeResult{One: peerResult{Peer: "1 app"}, Many: peerResult{Peer: fmt.Sprintf("%d apps", activeApps)}}
	before, err := house.accounts(ctx)
	if err != nil {
		return nil, err
	}
	for round := range b.rounds + 1 {
		for _, side := range []struct {
			apps   int
			result *peerResult
		}{{1, &result.One}, {activeApps, &result.Many}} {
			load := scenario{Script: "hosts.lua", Arguments: []string{fmt.Sprint(side.apps), "app-%d.test"}}
			measured, err := b.load(ctx, house.server, load, b.duration)
			if err != nil {
				return nil, err
			}
			progress("active1000 round %d/%d %-10s %8.0f requests/s %7.2f us CPU each, %d errors", round, b.rounds, side.result.Peer,
				measured.RequestsPerSecond, micros(measured.Total)/float64(measured.Requests), measured.Errors)
			if round > 0 { // the first round warms up
				side.result.Rounds = append(side.result.Rounds, measured)
			}
		}
	}
	result.One.summarise()
	result.Many.summarise()
	after, err := house.accounts(ctx)
	result.Restarts = after.since(before)
	return result, err
}
