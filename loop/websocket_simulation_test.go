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

// TestWebSocketClientSimulation runs WebSockets of an app against a server, which answers late and in pieces,
// refuses, leaves and breaks the protocol, over a kernel at its worst. Each must hear of one end, and nothing
// may be left.
func TestWebSocketClientSimulation(t *testing.T) {
	ends := map[string]int{}
	for seed := range uint64(socketSimulations) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulateCalls(t, seed, ends) })
	}
	for _, end := range []string{"closed 4000", "closed 1002", "closed 1006", "end 1"} {
		if ends[end] == 0 {
			t.Errorf("no socket heard %q: %v", end, ends)
		}
	}
}

// A simulatedServer is the other end of a connection of simulateCalls.
type simulatedServer struct {
	peer       *fakering.Peer
	got        string
	isAnswered bool
}

// look answers what has come since it looked last.
func (s *simulatedServer) look(w *world, random *rand.Rand) {
	s.got += string(s.peer.Take())
	if s.isAnswered || !strings.HasSuffix(s.got, "\r\n\r\n") {
		return
	}
	s.isAnswered = true
	answer := acceptance(keyField.FindStringSubmatch(s.got)[1], "")
	for range random.IntN(10) {
		answer += serverFrame(textFrame, strings.Repeat("x", random.IntN(500)))
	}
	end := func() {}
	switch random.IntN(5) {
	case 0:
		answer += serverFrame(closeFrame, closing(4000, "bye"))
	case 1:
		answer += frame(textFrame, "masked")
	case 2:
		answer = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
	case 3:
		end = s.peer.Reset
	default:
		end = s.peer.Close
	}
	at := 0
	for answer != "" {
		n := min(1+random.IntN(300), len(answer))
		piece := answer[:n]
		answer = answer[n:]
		at += random.IntN(3000)
		w.ring.At(time.Duration(at)*time.Microsecond, func() { s.peer.WriteString(piece) })
	}
	w.ring.At(time.Duration(at+1000)*time.Microsecond, end)
	w.ring.At(10*time.Second, s.peer.Close)
}

func simulateCalls(t *testing.T, seed uint64, ends map[string]int) {
	random := rand.New(rand.NewPCG(seed, 2))
	faults := fakering.Harsh()
	faults.Reset = 0.002
	f := newFetcher(t, fakering.Config{Seed: seed, Faults: faults, Buffers: 8, BufferSize: 64}, func(o *Options) { o.DrainTimeout = time.Minute })
	var servers []*simulatedServer
	f.ring.Remote(originAddress, func(p *fakering.Peer) { servers = append(servers, &simulatedServer{peer: p}) })
	ended := map[int32]string{}
	f.worker.onNews = func(w *fakeWorker, news *fakeNews) {
		if ended[news.handle] != "" {
			t.Errorf("socket %d heard %s after %s", news.handle, news.what, ended[news.handle])
		}
		switch news.what {
		case "opened":
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: 100})
		case "data":
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
			w.record(isolates.Record{Kind: isolates.KindWrite, Handle: news.handle, Flags: isolates.WriteText, Body: []byte(news.text)})
		case "closed", "end":
			ended[news.handle] = fmt.Sprint(news.what, " ", news.number)
			ends[ended[news.handle]]++
		}
	}
	calls := 1 + random.IntN(6)
	for range calls {
		f.number++
		f.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatWebSocket, Handle: f.number, Target: []byte("GET ws://192.0.2.80/")})
	}
	for range 400 {
		f.run(5 * time.Millisecond)
		for _, server := range servers {
			server.look(f.world, random)
		}
	}
	f.run(30 * time.Second)
	if len(ended) != calls {
		t.Errorf("%d of %d sockets heard of their end", len(ended), calls)
	}
	f.end()
}
