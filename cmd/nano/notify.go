package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"nano/config"
	"nano/loop"
)

// startPatience is how long the start of a node may take: V8's own snapshot, which is built at the first start, and
// the reading of the apps' modules.
func startPatience(c *config.Config) time.Duration {
	return 2*time.Minute + time.Duration(len(c.Apps))*time.Second
}

// notify tells the service manager that the node serves, and from then on how it does. The result ends that.
func (n *node) notify() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	text, _ := n.health(ctx)
	n.manager.Ready(text)
	var watching sync.WaitGroup
	watching.Go(func() { n.manager.Watch(ctx, n.health) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// health is the node's state in a line. It is alive while every loop looks at its mail: one that is in a turn
// without end, or that has lost its thread, does not.
func (n *node) health(ctx context.Context) (text string, alive bool) {
	var sum loop.Stats
	stuck := 0
	loops := n.loops.Loops(ctx)
	for i := range loops {
		sum = sum.Add(loops[i].Stats)
		if !loops[i].Responsive && !loops[i].HasEnded {
			stuck++
		}
	}
	text = fmt.Sprintf("%s, %s, %s, %d with a 5xx answer, %s",
		count(len(n.Config().Apps), "app"), count(len(loops), "loop"), count(int(sum.Requests), "request"), sum.Errors, count(int(sum.Connections), "connection"))
	if stuck > 0 {
		text = fmt.Sprintf("%d of %s without an answer; %s", stuck, count(len(loops), "loop"), text)
	}
	return text, stuck == 0
}
