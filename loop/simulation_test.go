package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// simulations is how many seeds TestSimulation runs; each is a world of its own.
const simulations = 300

// TestSimulation runs clients of every kind against a loop whose kernel does everything that it may:
// short and reordered completions, no buffers, multishots that end, resets. A client must get the
// answers to its requests, in order and whole, or a connection that visibly broke; in the end nothing may
// be left of anything. A seed that fails is run again alone with -run 'TestSimulation/seed=N$'.
func TestSimulation(t *testing.T) {
	defer func(before int64) { gatheredMax = before }(gatheredMax)
	gatheredMax = 100
	whole := 0
	for seed := range uint64(simulations) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { whole += simulate(t, seed) })
	}
	t.Logf("%d clients got all their answers", whole)
}

// A simulated client sends requests and knows what must come back.
type client struct {
	peer    *fakering.Peer
	input   string
	written int
	// want has a regular answer for each request; got is what came.
	want   []string
	got    string
	leaves bool // resets the connection at some time
	slow   bool // takes few bytes at a time
	// drained: the loop drains meanwhile, so the connection may end after any whole answer.
	drained bool
}

// simulate returns the number of clients that got all their answers.
func simulate(t *testing.T, seed uint64) (whole int) {
	random := rand.New(rand.NewPCG(seed, 1))
	defer expectBulkOften(seed)()
	faults := fakering.Harsh()
	faults.Reset = 0.002
	if seed%3 == 0 {
		faults.Reset = 0 // then every client must be served
		faults.AcceptError = 0
	}
	w := newWorld(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
		o.PipelineDepth = 1 + random.IntN(5)
		o.Wall = time.Hour
		o.SendTimeout = time.Hour
		o.BodyTimeout = time.Hour
		o.HeaderTimeout = time.Hour
		o.IdleTimeout = time.Hour
		o.DrainTimeout = time.Minute
	})
	var clients []*client
	for range 1 + random.IntN(8) {
		c := newClient(random, "a")
		c.drained = seed%5 == 1
		clients = append(clients, c)
		c.act(w, random)
	}
	for range random.IntN(4) {
		w.ring.At(time.Duration(random.IntN(200000))*time.Microsecond, func() { askGiveBack(w.loop) })
	}
	drains := seed%5 == 1
	if drains {
		w.ring.At(time.Duration(random.IntN(200000))*time.Microsecond, w.loop.Drain)
	}
	w.run(20 * time.Second)
	whole = checkAll(t, clients, seed%3 == 0)
	// Nothing that a kernel does may keep a loop busy that has nothing to do.
	before := w.loop.stats.Ticks
	w.run(10 * time.Second)
	if n := w.loop.stats.Ticks - before; n > 1000 {
		t.Errorf("%d ticks in the end", n)
	}
	w.end()
	if w.loop.stats.StrayRecords != 0 {
		t.Errorf("%d records about requests that had ended", w.loop.stats.StrayRecords)
	}
	return whole
}

// act lays down what the client does, and when.
func (c *client) act(w *world, random *rand.Rand) {
	w.ring.At(time.Duration(random.IntN(1000))*time.Microsecond, func() {
		c.peer = w.ring.Dial(w.listener)
		if c.slow {
			c.peer.SetWindow(100)
		}
	})
	for i := range 100 { // a slow client reads now and then, a slower one never catches up
		w.ring.At(time.Duration(2+i)*50*time.Millisecond, func() {
			if c.slow {
				c.peer.SetWindow(1000)
			}
		})
	}
	for at := 1000; c.written < len(c.input); {
		n := min(1+random.IntN(80), len(c.input)-c.written)
		piece := c.input[c.written : c.written+n]
		c.written += n
		at += random.IntN(3000)
		w.ring.At(time.Duration(at)*time.Microsecond, func() { c.peer.WriteString(piece) })
	}
	if c.leaves {
		w.ring.At(time.Duration(random.IntN(100000))*time.Microsecond, func() {
			if c.peer != nil {
				c.peer.Reset()
			}
		})
	}
}

// newClient makes a client that asks for demo apps of some hosts.
func newClient(random *rand.Rand, hosts ...string) *client {
	c := &client{leaves: random.IntN(6) == 0, slow: random.IntN(4) == 0}
	for i := range 1 + random.IntN(8) {
		host := hosts[0]
		if len(hosts) > 1 {
			host = hosts[random.IntN(len(hosts))]
		}
		target := fmt.Sprintf("/%d-%d", i, random.IntN(1000))
		switch random.IntN(9) {
		case 0:
			body := strings.Repeat("b", random.IntN(300))
			c.input += fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", target, host, len(body), body)
			c.want = append(c.want, "POST "+target+" "+host+" "+body)
		case 1:
			body := strings.Repeat("c", 1+random.IntN(200))
			c.input += fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n3;e=f\r\nend\r\n0\r\n\r\n", target, host, len(body), body)
			c.want = append(c.want, "POST "+target+" "+host+" "+body+"end")
		case 2:
			c.input += "GET /late?" + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
			c.want = append(c.want, "late")
		case 3:
			n := random.IntN(4)
			c.input += fmt.Sprintf("GET /stream/%d HTTP/1.1\r\nHost: %s\r\n\r\n", n, host)
			body := ""
			for i := range n {
				body += fmt.Sprintf("9\r\nchunk %d;\r\n", n-1-i)
			}
			c.want = append(c.want, strings.ReplaceAll(body, "9\r\n", "8\r\n")+"0\r\n\r\n")
		case 4:
			n := 1 + random.IntN(5000)
			c.input += fmt.Sprintf("GET /large/%d HTTP/1.1\r\nHost: %s\r\n\r\n", n, host)
			c.want = append(c.want, strings.Repeat("0123456789abcdef", n/16+1)[:n])
		case 5:
			body := strings.Repeat("d", 1+random.IntN(3000))
			c.input += fmt.Sprintf("POST /pipe HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
			c.want = append(c.want, body)
		case 6:
			body := strings.Repeat("e", 1+random.IntN(1000))
			c.input += fmt.Sprintf("PUT /unread HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
			c.want = append(c.want, "unread")
		default:
			c.input += "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
			c.want = append(c.want, "GET "+target+" "+host+" ")
		}
	}
	return c
}

// checkAll checks what all clients got, and returns how many got all. sound: there were no faults that break
// connections.
func checkAll(t *testing.T, clients []*client, sound bool) (whole int) {
	for i, c := range clients {
		c.got += string(c.peer.Take())
		if c.check(t, i) {
			whole++
		} else if sound && !c.leaves && !c.drained {
			t.Errorf("client %d: connection broken without a cause", i)
		}
	}
	return whole
}

// check compares what came back with what had to. False: the connection broke on the way.
func (c *client) check(t *testing.T, i int) bool {
	t.Helper()
	rest := c.got
	for _, want := range c.want {
		head, body, ok := strings.Cut(rest, "\r\n\r\n")
		if !ok {
			break
		}
		if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("client %d: got head %q", i, head)
			return false
		}
		if !strings.HasPrefix(body, want) {
			if c.peer.Broken() && strings.HasPrefix(want, body) {
				return false
			}
			t.Errorf("client %d: got %q, want %q", i, body[:min(len(body), 200)], want[:min(len(want), 200)])
			return false
		}
		rest = body[len(want):]
	}
	if c.peer.Broken() {
		return false
	}
	if c.drained && rest == "" && c.peer.Ended() {
		return strings.Count(c.got, "HTTP/1.1 200") == len(c.want)
	}
	if rest != "" || strings.Count(c.got, "HTTP/1.1 200") != len(c.want) {
		t.Errorf("client %d: %d answers of %d, then %q", i, strings.Count(c.got, "HTTP/1.1 200"), len(c.want), rest[:min(len(rest), 200)])
	}
	return true
}
