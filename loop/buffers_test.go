package loop

import (
	"testing"
	"time"

	"nano/uring/fakering"
)

// TestBuffersTrim: of what a burst has left, a pool keeps what was needed since.
func TestBuffersTrim(t *testing.T) {
	var b buffers
	burst := func(n int) {
		var taken [][]byte
		for range n {
			taken = append(taken, b.take(1500))
		}
		for _, buffer := range taken {
			b.give(buffer)
		}
	}
	burst(1000)
	b.trim()
	if want := 1000 * bufferSizes[1]; b.retained != want {
		t.Errorf("%d bytes kept of a burst that is not over, want %d", b.retained, want)
	}
	burst(10)
	b.trim()
	if want := 10 * bufferSizes[1]; b.retained != want {
		t.Errorf("%d bytes kept, want %d", b.retained, want)
	}
	if allocations := testing.AllocsPerRun(100, func() {
		for range 3 {
			b.give(b.take(1500))
		}
		b.trim()
		b.give(b.take(1500))
	}); allocations != 0 {
		t.Errorf("%v allocations at a steady load", allocations)
	}
	b.trim()
	b.trim()
	if b.retained != 0 {
		t.Errorf("%d bytes kept of a pool that nobody uses", b.retained)
	}
}

// TestBuffersAreGivenUp: a loop that has become idle after a burst gives its pool up, and sleeps.
func TestBuffersAreGivenUp(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	var taken [][]byte
	for range 100 {
		taken = append(taken, w.loop.buffers.take(100_000))
	}
	for _, buffer := range taken {
		w.loop.buffers.give(buffer)
	}
	peer, _ := w.talk("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n") // a tick that takes stock
	w.run(time.Second)
	peer.WriteString("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(10 * time.Second)
	if n := w.loop.buffers.retained; n > buffersTrimFrom {
		t.Errorf("%d bytes are kept", n)
	}
	before := w.loop.stats.Ticks
	w.run(40 * time.Second)
	if n := w.loop.stats.Ticks - before; n > 6 {
		t.Errorf("%d ticks while idle", n)
	}
	peer.Close()
}
