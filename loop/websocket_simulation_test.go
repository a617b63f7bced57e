package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// socketSimulations is how many seeds TestWebSocketSimulation runs.
const socketSimulations = 150

// TestWebSocketSimulation runs WebSocket clients against a loop whose kernel does everything that it may, and an
// app that echoes, reads slowly, closes and aborts. What a client gets must be the beginning of what it must
// get, and all of that if nothing broke; in the end nothing may be left of anything.
func TestWebSocketSimulation(t *testing.T) {
	whole := 0
	for seed := range uint64(socketSimulations) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { whole += simulateSockets(t, seed) })
	}
	if whole == 0 {
		t.Error("no client got all that it must get")
	}
	t.Logf("%d clients got all that they must get", whole)
}

// A socketClient sends frames and knows what must come back.
type socketClient struct {
	peer   *fakering.Peer
	input  string
	want   string
	got    string
	leaves bool
}

func newSocketClient(random *rand.Rand) *socketClient {
	c := &socketClient{input: upgradeHead + "\r\n", want: switchedHead + "\r\n", leaves: random.IntN(4) == 0}
	for range random.IntN(20) {
		message := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(10)*random.IntN(100))
		if random.IntN(3) == 0 {
			half := len(message) / 2
			c.input += frame(0x02, message[:half]) + frame(0x80, message[half:])
		} else {
			c.input += frame(binaryFrame, message)
		}
		c.want += serverFrame(binaryFrame, message)
	}
	switch random.IntN(3) {
	case 0:
		c.input += frame(closeFrame, closing(4000, "bye"))
		c.want += serverFrame(closeFrame, closing(4000, "bye"))
	case 1:
		c.input += frame(0xf1, "")
		c.want += serverFrame(closeFrame, closing(1002, "a reserved bit is set"))
	}
	return c
}

// act lays down what the client does, and when.
func (c *socketClient) act(s *socketWorld, random *rand.Rand) {
	s.ring.At(time.Duration(random.IntN(1000))*time.Microsecond, func() { c.peer = s.ring.Dial(s.listener) })
	at := 1000
	for rest := c.input; rest != ""; {
		n := min(1+random.IntN(300), len(rest))
		piece := rest[:n]
		rest = rest[n:]
		at += random.IntN(3000)
		s.ring.At(time.Duration(at)*time.Microsecond, func() { c.peer.WriteString(piece) })
	}
	end := func() { c.peer.CloseWrite() }
	if c.leaves {
		at, end = random.IntN(at+1000)+1000, func() { c.peer.Reset() }
	} else {
		at += 2_000_000
	}
	s.ring.At(time.Duration(at)*time.Microsecond, end)
}

// simulateSockets returns the number of clients that got all that they must get.
func simulateSockets(t *testing.T, seed uint64) (whole int) {
	random := rand.New(rand.NewPCG(seed, 1))
	faults := fakering.Harsh()
	faults.Reset = 0.002
	if seed%3 == 0 {
		faults.Reset, faults.AcceptError = 0, 0 // then every client must be served
	}
	s := newSocketWorld(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) {
		o.Wall, o.SendTimeout, o.HeaderTimeout, o.IdleTimeout, o.DrainTimeout = time.Hour, time.Hour, time.Hour, time.Hour, time.Minute
	})
	isCalm := seed%3 == 0 && seed%5 != 1 && seed%7 != 2
	s.smallWindow = seed%2 == 0
	var clients []*socketClient
	for range 1 + random.IntN(8) {
		c := newSocketClient(random)
		clients = append(clients, c)
		c.act(s, random)
	}
	if seed%5 == 1 {
		s.ring.At(time.Duration(random.IntN(200_000))*time.Microsecond, s.loop.Drain)
	}
	if seed%7 == 2 { // the app closes, or aborts, what is open
		record := isolates.Record{Kind: isolates.KindFinish, Status: 1000}
		if seed%2 == 0 {
			record = isolates.Record{Kind: isolates.KindCancel, Flags: isolates.CancelAll}
		}
		s.ring.At(time.Duration(random.IntN(50_000))*time.Microsecond, func() { s.ending = &record })
	}
	s.run(20 * time.Second)
	for i, c := range clients {
		if c.peer == nil {
			continue
		}
		c.got += undated(c.peer.Take())
		switch {
		case c.got == c.want:
			whole++
		case isCalm && !c.leaves:
			t.Errorf("client %d got %.300q, want %.300q", i, c.got, c.want)
		case !strings.HasPrefix(c.want, c.got) && !strings.Contains(c.got, "\x88\x02\x03\xe8") && !strings.Contains(c.got, "\x88\x02\x03\xe9") && seed%7 != 2:
			t.Errorf("client %d got %.300q, which %.300q does not begin with", i, c.got, c.want)
		}
	}
	before := s.loop.stats.Ticks
	s.run(10 * time.Second)
	if n := s.loop.stats.Ticks - before; n > 1000 {
		t.Errorf("%d ticks in the end", n)
	}
	s.end()
	if s.loop.stats.StrayRecords != 0 {
		t.Errorf("%d records about requests that had ended", s.loop.stats.StrayRecords)
	}
	return whole
}
