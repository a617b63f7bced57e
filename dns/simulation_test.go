package dns

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestSimulation lets lookups meet answers, silence, failures, garbage and changes of mind in any order.
// Whoever waits hears the end once; nothing is left.
func TestSimulation(t *testing.T) {
	found := 0
	for seed := range uint64(500) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { found += simulate(t, seed) })
	}
	if found < 1000 {
		t.Errorf("only %d lookups found something", found)
	}
}

// A simulated waiter knows whether it may still hear something.
type simulatedWaiter struct {
	t      *testing.T
	lookup *Lookup
	isOver bool // it heard the end, or has left
	found  bool
}

func (w *simulatedWaiter) Resolved(answer Answer) {
	if w.isOver {
		w.t.Error("told after the end")
	}
	w.isOver, w.found = !answer.More, len(answer.Addresses) != 0
	if !answer.More && (answer.Err == nil) != w.found {
		w.t.Errorf("answer %+v", answer)
	}
}

func simulate(t *testing.T, seed uint64) (found int) {
	random := rand.New(rand.NewPCG(seed, 4))
	b := newBench(t, func(c *Config) {
		c.Search = []string{"example"}
		c.Rotate, c.IPv4Only = random.IntN(2) == 0, random.IntN(4) == 0
		c.System = random.IntN(8) == 0
	})
	names := []string{"www", "www.example", "four.example", "alias.example", "stops.example", "loop.example", "nobody", "half.example", "servfail.example", "mapped.example."}
	var waiters []*simulatedWaiter
	for step := 0; step < 100 || len(b.open) != 0; step++ {
		b.now += int64(random.IntN(2000)) * int64(time.Millisecond)
		switch random.IntN(4) {
		case 0:
			if step >= 100 {
				break
			}
			w := &simulatedWaiter{t: t}
			answer, lookup := b.resolver.Lookup(names[random.IntN(len(names))], b.now, w)
			if lookup == nil {
				w.Resolved(answer)
			}
			w.lookup = lookup
			waiters = append(waiters, w)
		case 1:
			if len(waiters) != 0 && random.IntN(3) == 0 {
				if w := waiters[random.IntN(len(waiters))]; w.lookup != nil {
					w.lookup.Leave(w)
					w.isOver = true
				}
			}
			b.sendErr = nil
			if random.IntN(5) == 0 {
				b.sendErr = ErrNoSocket
			}
		default:
			if len(b.open) != 0 {
				b.happen(b.open[random.IntN(len(b.open))], random)
			}
		}
	}
	for i, w := range waiters {
		if !w.isOver {
			t.Errorf("waiter %d heard nothing of the end", i)
		}
		if w.found {
			found++
		}
	}
	return found
}

// happen lets something become of an exchange.
func (b *bench) happen(x *Exchange, random *rand.Rand) {
	switch kind := random.IntN(10); {
	case !x.Server.IsValid():
		b.resolver.SystemAnswered(x, loopback[:random.IntN(2)], nil, b.now)
	case kind == 0:
		b.resolver.TimedOut(x, b.now)
	case kind == 1:
		b.resolver.Failed(x, b.now)
	case kind == 2:
		garbage := make([]byte, random.IntN(40))
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		b.resolver.Received(x, garbage, b.now)
	case kind == 3:
		b.answerOne(x, zone{"www.example": func(m *message) { m.header.Truncated = true }})
	case kind == 4:
		q, _ := b.parse(x)
		m := &message{header: dnsmessage.Header{ID: x.id, Response: true, RCode: dnsmessage.RCodeFormatError}, question: q}
		b.resolver.Received(x, m.pack(b.t), b.now)
	default:
		b.answerOne(x, both)
	}
}
