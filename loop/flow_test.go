package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// startFlowing starts a node of two apps, a and b, on real sockets.
func startFlowing(t *testing.T, change func(o *NodeOptions)) (node *Node, address string) {
	return startNode(t, func(o *NodeOptions) {
		blocks := &fakeBlocks{}
		o.Options.Blocks = blocks
		o.Options.Apps = []App{{Name: "a", Hosts: []string{"a"}}, {Name: "b", Hosts: []string{"b"}}}
		o.Options.MaxBody = 1 << 40
		o.Options.NewShard = shardOf(func(app int) (Worker, error) {
			worker := newFakeWorker(o.Options.Apps[app].Name, demo(blocks))
			worker.window = 64 << 10
			worker.forgetful = true
			return worker, nil
		})
		if change != nil {
			change(o)
		}
	})
}

// resident is what the process holds of memory, in bytes.
func resident(t testing.TB) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	fmt.Sscan(string(text), &size, &bytes)
	return bytes * int64(os.Getpagesize())
}

// descriptors counts the open files of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestMemoryIsConstant: however large a body is, what it takes on its way up, back and through another app
// stays the same. The clients are in the process, too.
func TestMemoryIsConstant(t *testing.T) {
	const size, extra = 512 << 20, 32 << 20
	_, address := startFlowing(t, nil)
	for _, path := range []string{"/size", "/pipe", "/call/b/pipe"} {
		connection := dial(t, address)
		before := resident(t)
		most := before
		go func() {
			fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, int64(size))
			io.CopyN(connection, zeros{}, size)
		}()
		got, buffer := 0, make([]byte, 64<<10)
		for head := ""; ; {
			n, err := connection.Read(buffer)
			if err != nil {
				t.Fatalf("%s: %v after %d bytes", path, err, got)
			}
			if head == "" {
				head, _, _ = strings.Cut(string(buffer[:n]), "\r\n\r\n")
				n -= len(head) + 4
			}
			got += n
			most = max(most, resident(t))
			if got == size || path == "/size" && got == len(fmt.Sprint(size)) {
				break
			}
		}
		if most-before > extra {
			t.Errorf("%s: a body of %d MB took %d MB", path, size>>20, (most-before)>>20)
		}
		connection.Close()
	}
}

// TestSlowReaderIsWaitedFor: of a body that is given back to a client that does not take it, no more is
// received than is under way.
func TestSlowReaderIsWaitedFor(t *testing.T) {
	for _, path := range []string{"/pipe", "/call/b/pipe", "/upper"} {
		t.Run(path, func(t *testing.T) {
			node, address := startFlowing(t, nil)
			connection := dial(t, address)
			defer connection.Close()
			fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, int64(1<<40))
			connection.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)) // it would be gigabytes
			if sent, err := io.Copy(connection, zeros{}); !errors.Is(err, os.ErrDeadlineExceeded) || sent == 0 {
				t.Errorf("%d bytes sent, %v", sent, err)
			}
			if received := node.sum().BytesIn; received > 32<<20 { // the kernel's buffers are most of it
				t.Errorf("%d bytes were received for a client that takes none", received)
			}
			connection.SetLinger(0)
			connection.Close()
			eventually(t, "connection closed", func() bool { return node.sum().Connections == 0 })
		})
	}
}

// TestNothingIsLeft: clients that come, go on and leave at every point leave no descriptor behind. What the
// loops have, startNode checks in the end.
func TestNothingIsLeft(t *testing.T) {
	// A body that nobody reads is not received, so it takes the limit to learn that its client has gone.
	node, address := startFlowing(t, func(o *NodeOptions) { o.Options.Wall = 100 * time.Millisecond })
	before := 0
	for round := range 3 {
		for _, path := range []string{"/size", "/pipe", "/upper", "/unread", "/hold", "/call/b/pipe", "/call/b/hold", "/call/b/stream/1000", "/callread/b/stream/1000"} {
			for _, sent := range []int{0, 1, 100_000} {
				connection := dial(t, address)
				fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", path)
				io.CopyN(connection, zeros{}, int64(sent))
				if sent == 1 {
					connection.SetReadDeadline(time.Now().Add(time.Millisecond))
					io.CopyN(io.Discard, connection, 1000)
				}
				connection.SetLinger(sent % 2)
				connection.Close()
			}
		}
		eventually(t, "connections closed", func() bool { return node.sum().Connections == 0 })
		if open := descriptors(t); round == 0 {
			before = open
		} else if open > before {
			t.Errorf("%d descriptors, %d before", open, before)
		}
	}
}

// TestFlowsAllocateNothing: a piece of a body on its way costs no memory of Go: to an isolate, to a client, and
// from JavaScript.
func TestFlowsAllocateNothing(t *testing.T) {
	l, _ := newScripted(t, plainRequest, 8, nil)
	piece := append([]byte("1000\r\n"), make([]byte, 4098)...)
	copy(piece[4096+6:], "\r\n")
	begin := func(index uint32) (*connection, *handle) {
		c := l.connections.at(index)
		l.consume(c, []byte("POST / HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"))
		if c.body == nil {
			t.Fatal("no body flows")
		}
		return c, c.body.reader.handle
	}

	c, h := begin(0)
	h.object.read(1<<40, false)
	measure := func(what string, f func()) {
		t.Helper()
		if allocations := testing.AllocsPerRun(1000, f); allocations != 0 {
			t.Errorf("%s: %v allocations", what, allocations)
		}
	}
	measure("to an isolate", func() {
		l.flowed = 0
		l.consume(c, piece)
	})
	if taken := c.body.taken; taken < 1000*4096 {
		t.Errorf("only %d bytes taken", taken)
	}

	c, _ = begin(1)
	l.respond(c.first, &isolates.Record{Kind: isolates.KindRespond, ID: c.first.id, Status: 200, Head: plainHead, Streaming: true,
		Source: isolates.BodyHandle(c.first.id)})
	measure("to a client", func() {
		l.flowed = 0
		l.consume(c, piece)
		c.out = c.out[:0] // as if it had been sent
	})
	if length := c.first.length; length < 1000*4096 {
		t.Errorf("only %d bytes answered", length)
	}

	var writer jsWriter
	_, h = begin(2)
	writer.open(h, -1)
	into := new(joint)
	into.join(&writer, nil)
	into.attach(c.first)
	into.resume()
	record := &isolates.Record{Kind: isolates.KindWrite, Body: piece}
	measure("from JavaScript", func() {
		writer.write(record)
		c.out = c.out[:0]
	})
}

// TestClientLeaves: an app that has not answered hears of it when its client has shut its side.
func TestClientLeaves(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	left, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	half, _ := w.talk("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	left.Close()
	half.CloseWrite()
	w.run(900 * time.Millisecond)
	if gone := w.workers[0].allGone; len(gone) != 0 {
		t.Errorf("%d clients gone too early", len(gone))
	}
	w.run(300 * time.Millisecond)
	if gone := w.workers[0].allGone; len(gone) != 1 {
		t.Errorf("%d clients gone", len(gone))
	}
	if got := string(half.Take()); !strings.HasSuffix(got, "late") {
		t.Errorf("a client that goes on reading got %q", got)
	}
	left.Reset()
	w.run(31 * time.Second)
}

// TestClientLeavesSilentAnswer: nothing is heard of a client that has shut its side. An answer that goes on
// for it is sent as long as there is something to send, and ends once it has been silent for SendTimeout.
func TestClientLeavesSilentAnswer(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.SendTimeout = 10 * time.Second })
	peer, _ := w.talk("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
	w.run(time.Minute)
	if peer.Closed() {
		t.Fatal("a client that is there was cut off")
	}
	peer.CloseWrite()
	w.run(9 * time.Second)
	if peer.Closed() || len(w.workers[0].allGone) != 0 {
		t.Error("cut off too early")
	}
	w.run(2 * time.Second)
	if !peer.Closed() || len(w.workers[0].allGone) != 1 {
		t.Errorf("closed %v, %d clients gone", peer.Closed(), len(w.workers[0].allGone))
	}
	early, _ := w.talk("GET /late HTTP/1.1\r\nHost: a\r\n\r\n") // the watch is not for what is still to be answered
	early.CloseWrite()
	w.run(2 * time.Second)
	if got := string(early.Take()); !strings.HasSuffix(got, "late") || !early.Closed() {
		t.Errorf("got %q, closed %v", got, early.Closed())
	}
}

// TestHandlesWithoutRequest: what a request leaves open ends in time: soon if nobody reads it, later if
// somebody may, and never early if its bytes are moved.
func TestHandlesWithoutRequest(t *testing.T) {
	w := newServices(t, fakering.Config{}, func(o *Options) { o.Background = 10 * time.Second; o.Idle = time.Second })
	w.talk("GET /callforget/b/stream/100 HTTP/1.1\r\nHost: a\r\n\r\n") // gets a head, and answers without the body
	w.talk("GET /callforget/b/never HTTP/1.1\r\nHost: a\r\n\r\n")
	moved := w.ring.Dial(w.listener)
	moved.SetWindow(100)
	moved.WriteString("GET /call/b/stream/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.settle()
	if n := len(w.loop.handles.byKey); n != 3 {
		t.Fatalf("%d handles are open", n)
	}
	w.run(1500 * time.Millisecond)
	if n := len(w.loop.handles.byKey); n != 2 {
		t.Errorf("%d handles are open, the unread one too", n)
	}
	w.run(7 * time.Second)
	if n := len(w.loop.handles.byKey); n != 2 || w.loop.apps[0].isolate == nil {
		t.Errorf("%d handles are open before the time is up; awake: %v", n, w.loop.apps[0].isolate != nil)
	}
	w.run(3 * time.Second)
	if n := len(w.loop.handles.byKey); n != 1 {
		t.Errorf("%d handles are open, one of them moved", n)
	}
	w.run(20 * time.Second)
	if moved.Closed() {
		t.Error("the moved answer was cut")
	}
	moved.Reset()
	w.run(2 * time.Minute)
	if w.loop.warm != 0 {
		t.Errorf("%d isolates are awake", w.loop.warm)
	}
}

// TestDrainWaitsForHandles: what an app has begun is finished.
func TestDrainWaitsForHandles(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	w.talk("GET /callforget/b/late HTTP/1.1\r\nHost: a\r\n\r\n")
	start := w.ring.Now()
	w.end()
	if waited := w.ring.Now().Sub(start); waited < 900*time.Millisecond || waited > 2*time.Second {
		t.Errorf("drained after %v", waited)
	}
}

// TestManyHandles: ten thousand calls may be open at once, and leave what they found.
func TestManyHandles(t *testing.T) {
	w := newServices(t, fakering.Config{}, func(o *Options) { o.Wall = 10 * time.Second; o.Background = time.Second })
	const clients, requests = 500, 20
	var peers []*fakering.Peer
	for range clients {
		peer := w.ring.Dial(w.listener)
		peer.WriteString(strings.Repeat("GET /call/b/never HTTP/1.1\r\nHost: a\r\n\r\n", requests))
		peers = append(peers, peer)
	}
	w.run(5 * time.Second)
	if n := len(w.loop.handles.byKey); n != clients*requests {
		t.Errorf("%d handles are open", n)
	}
	w.run(8 * time.Second)
	for _, peer := range peers {
		if n := strings.Count(string(peer.Take()), "HTTP/1.1 504"); n != requests {
			t.Fatalf("%d answers of %d", n, requests)
		}
		peer.Close()
	}
	w.run(3 * time.Second)
	if n := len(w.loop.handles.byKey); n != 0 || w.loop.exchanges.inUse != 0 {
		t.Errorf("%d handles, %d exchanges", n, w.loop.exchanges.inUse)
	}
}

// TestSourceThatHasEnded: an answer whose body is gone when it is given is an error, not an empty answer.
func TestSourceThatHasEnded(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	worker := w.workers[0]
	worker.handle = func(w *fakeWorker, r *fakeRequest) {
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Streaming: true, Source: 77})
	}
	if _, got := w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502") || !strings.HasSuffix(got, faultNoSource.text) {
		t.Errorf("got %q", got)
	}
}

// TestSourceOfWhatIsRefused: the body of a call that cannot be made is not wanted by anybody.
func TestSourceOfWhatIsRefused(t *testing.T) {
	w := newServices(t, fakering.Config{}, nil)
	w.talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for what, target := range map[uint8]string{
		isolates.WhatFetch:   "POST ftp://x.example/",
		isolates.WhatService: "none POST http://x.example/",
		isolates.WhatAssets:  "POST ftp://x.example/",
	} {
		w.workers[0].handle = func(w *fakeWorker, r *fakeRequest) {
			w.record(isolates.Record{Kind: isolates.KindOpen, What: what, Handle: 500, Exchange: r.id, Pending: true,
				Target: []byte(target), Source: isolates.BodyHandle(r.id)})
			w.live[r.id] = r
		}
		u := w.upload("/pipe", -1)
		if n := len(w.loop.handles.byKey); n != 0 {
			t.Errorf("%s: %d handles are left", target, n)
		}
		u.peer.Close()
		w.settle()
	}
}

// TestServicesBetweenLoops: real threads call each other's apps, with bodies both ways, and clients that leave.
func TestServicesBetweenLoops(t *testing.T) {
	node, address := startFlowing(t, func(o *NodeOptions) { o.Loops = 2 })
	var running sync.WaitGroup
	for i := range 16 {
		running.Add(1)
		go func() {
			defer running.Done()
			client := http.Client{Timeout: patience(t), Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			body := noise(10_000 * (i + 1))
			for round := range 10 {
				host, path := "a", "/call/b/pipe"
				if i%2 == 1 {
					host, path = "b", "/callread/a/call/b/pipe"
				}
				if round == 5 { // and leaves
					connection, err := net.Dial("tcp", address)
					if err != nil {
						t.Error(err)
						return
					}
					fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n%s", path, host, body)
					connection.Close()
					continue
				}
				request, err := http.NewRequest("POST", "http://"+address+path, bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				request.Host = host
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s: got %d bytes of %d, %v", path, len(got), len(body), err)
				}
			}
		}()
	}
	running.Wait()
	eventually(t, "connections closed", func() bool { return node.sum().Connections == 0 })
}
