package loop

import (
	"strings"
	"testing"
	"time"

	"nano/uring"
	"nano/uring/fakering"
)

// askGiveBack has a loop give back what it keeps, in one of its next ticks.
func askGiveBack(l *Loop) (done <-chan struct{}) {
	told := make(chan struct{}, 1)
	l.mailbox.Post(message{kind: messageGiveBack, done: told})
	return told
}

// TestGiveBackAfterBurst: after a burst nothing is kept but what is in use, and that goes on to work.
func TestGiveBackAfterBurst(t *testing.T) {
	w := newWorld(t, fakering.Config{Buffers: 8, BufferSize: 512}, nil)
	const burst = 5 * slotChunk
	var peers []*fakering.Peer
	for range burst {
		peer, _ := w.talk(get("a", "/"))
		peers = append(peers, peer)
	}
	staying := peers[burst/2]
	for _, peer := range peers {
		if peer != staying {
			peer.Close()
		}
	}
	w.settle()
	done := askGiveBack(w.loop)
	w.settle()
	select {
	case <-done:
	default:
		t.Fatal("the loop does not answer")
	}
	l := w.loop
	kept := 0
	for _, chunk := range l.connections.chunks {
		if chunk != nil {
			kept++
		}
	}
	// The first one, and that with the connection that stays.
	if kept != 2 || len(l.connections.free) != kept*slotChunk-1 {
		t.Errorf("%d chunks of connections are kept, %d slots are free", kept, len(l.connections.free))
	}
	if l.buffers.retained != 0 || len(l.heads) != 0 || l.handles.spare != 0 {
		t.Errorf("%d bytes of buffers, %d heads, %d handles are kept", l.buffers.retained, len(l.heads), l.handles.spare)
	}
	staying.WriteString(get("a", "/again"))
	w.settle()
	if got := string(staying.Take()); !strings.HasSuffix(got, "\r\n\r\nGET /again a ") {
		t.Errorf("the connection that stays: %q", got)
	}
	for range burst {
		if _, got := w.talk(get("a", "/")); !strings.HasSuffix(got, "\r\n\r\nGET / a ") {
			t.Fatalf("after that: %q", got)
		}
	}
	if n := len(l.connections.chunks); n != burst/slotChunk+1 {
		t.Errorf("%d chunks of connections, though there is room in %d", n, burst/slotChunk+1)
	}
}

// TestSlotsGivenBack: slots that take the place of others have their numbers, and never their generation.
func TestSlotsGivenBack(t *testing.T) {
	var endpoints endpoints
	var connections connections
	seen := map[uring.UserData]bool{}
	take := func(n int) (taken []*endpoint) {
		for range n {
			e, c := endpoints.take(), connections.take()
			taken = append(taken, e)
			if at := endpoints.at(e.index); at != e || connections.at(c.index) != c {
				t.Fatalf("slot %d is not where its number says", e.index)
			}
			if e.index != c.index {
				t.Fatalf("endpoint %d and connection %d", e.index, c.index)
			}
			if u := e.userData(opEndpointSend); seen[u] {
				t.Fatalf("endpoint %d has generation %d again", e.index, e.generation)
			} else {
				seen[u] = true
			}
			if c.generation != e.generation {
				t.Fatalf("endpoint %d has generation %d, the connection %d", e.index, e.generation, c.generation)
			}
		}
		return taken
	}
	give := func(slots []*endpoint) {
		for _, e := range slots {
			connections.give(connections.at(e.index))
			endpoints.give(e)
		}
	}
	for range 5 {
		slots := take(6 * slotChunk)
		give(slots[:2*slotChunk])
		give(slots[3*slotChunk:])
		endpoints.shrink()
		connections.shrink()
		if endpoints.chunks[0] == nil || endpoints.chunks[1] != nil || endpoints.chunks[2] == nil || endpoints.missing != 4 {
			t.Fatalf("%d chunks are missing: %v", endpoints.missing, endpoints.chunks)
		}
		for _, e := range slots[2*slotChunk : 3*slotChunk] {
			if endpoints.at(e.index) != e {
				t.Fatal("a slot in use has moved")
			}
		}
		more := take(4 * slotChunk)
		if len(endpoints.chunks) != 6 || len(connections.chunks) != 6 {
			t.Fatalf("%d and %d chunks for 320 slots", len(endpoints.chunks), len(connections.chunks))
		}
		give(more)
		give(slots[2*slotChunk : 3*slotChunk])
		endpoints.shrink()
		connections.shrink()
		if len(endpoints.free) != slotChunk {
			t.Fatalf("%d slots are free in the one chunk that stays", len(endpoints.free))
		}
	}
}

// TestGiveBackAsksAll: the watcher waits for all loops, but for none that has ended.
func TestGiveBackAsksAll(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	l := w.loop
	returned := make(chan struct{})
	go func() {
		l.options.memory.giveBack()
		close(returned)
	}()
	for deadline := time.Now().Add(patience(t)); ; {
		w.settle()
		select {
		case <-returned:
		default:
			if time.Now().After(deadline) {
				t.Fatal("the watcher still waits")
			}
			continue
		}
		break
	}
	w.end()
	begun := time.Now()
	l.options.memory.giveBack()
	if time.Since(begun) >= giveBackPatience {
		t.Error("waited for a loop that has ended")
	}
}
