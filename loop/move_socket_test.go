package loop

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startGroupNode serves groupApps on two loops over real rings.
func startGroupNode(t testing.TB, handle func(w *fakeWorker, r *fakeRequest)) (node *Node, address string) {
	t.Helper()
	return startNode(t, func(o *NodeOptions) {
		o.Loops = 2
		o.Options.Apps = groupApps
		o.Options.NewShard = shardOf(func(app int) (Worker, error) {
			return newFakeWorker(groupApps[app].Name, handle), nil
		})
	})
}

// An exchanger is a client that knows what must come back.
type exchanger struct {
	random *rand.Rand
	input  strings.Builder
	want   []string
}

// add appends a request of any kind.
func (e *exchanger) add(i int) {
	host := []string{"a", "b", "c"}[e.random.IntN(3)]
	switch e.random.IntN(4) {
	case 0:
		body := strings.Repeat("x", e.random.IntN(9000))
		fmt.Fprintf(&e.input, "POST /%d HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", i, host, len(body), body)
		e.want = append(e.want, fmt.Sprintf("POST /%d %s %s", i, host, body))
	case 1:
		body := strings.Repeat("y", 1+e.random.IntN(9000))
		fmt.Fprintf(&e.input, "POST /%d HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, host, len(body), body)
		e.want = append(e.want, fmt.Sprintf("POST /%d %s %s", i, host, body))
	case 2:
		fmt.Fprintf(&e.input, "GET /stream/3 HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		e.want = append(e.want, "chunk 2;chunk 1;chunk 0;")
	default:
		fmt.Fprintf(&e.input, "GET /%d HTTP/1.1\r\nHost: %s\r\n\r\n", i, host)
		e.want = append(e.want, fmt.Sprintf("GET /%d %s ", i, host))
	}
}

// run sends a number of requests on one connection, cut anywhere, and compares the answers.
func (e *exchanger) run(address string, requests int) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	for i := range requests {
		e.add(i)
	}
	written := make(chan error, 1)
	go func() {
		var err error
		for rest := e.input.String(); rest != "" && err == nil; {
			n := min(1+e.random.IntN(3000), len(rest))
			_, err = io.WriteString(connection, rest[:n])
			rest = rest[n:]
		}
		written <- err
	}()
	reader := bufio.NewReader(connection)
	for i, want := range e.want {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != want {
			return fmt.Errorf("answer %d: got %.100q, %w; want %.100q", i, body, err, want)
		}
	}
	return <-written
}

// TestMoveOnKernel holds moves to the kernel: clients of every kind ask for apps that change places all
// the time, slow loops included.
func TestMoveOnKernel(t *testing.T) {
	node, address := startGroupNode(t, demo(nil))
	p := node.options.placement
	for i := range 2 {
		node.needSlow(i)
	}
	places := []uint64{servedBy(0), servedBy(1), servedBy(0) | 2, servedSlow(0), servedSlow(1)}
	var clients, mover sync.WaitGroup
	done := make(chan struct{})
	mover.Go(func() {
		random := rand.New(rand.NewPCG(1, 1))
		for {
			select {
			case <-done:
				return
			default:
			}
			app := node.options.catalog.apps[random.IntN(len(groupApps))]
			p.change(app, app.where.Load(), places[random.IntN(len(places))])
			time.Sleep(100 * time.Microsecond)
		}
	})
	for i := range uint64(16) {
		clients.Go(func() {
			for round := range uint64(4) {
				e := &exchanger{random: rand.New(rand.NewPCG(i, round))}
				if err := e.run(address, 60); err != nil {
					t.Errorf("client %d, connection %d: %v", i, round, err)
				}
			}
		})
	}
	clients.Wait()
	close(done)
	mover.Wait()
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	var sum Stats
	for _, stats := range node.Stats() {
		sum = sum.Add(stats)
	}
	if sum.Requests != 16*4*60 || sum.Accepted != 16*4 || sum.Closed != sum.Accepted || sum.Connections != 0 || sum.Moved < 100 {
		t.Errorf("counted %+v", sum)
	}
	if open := node.options.open.Load(); open != 0 {
		t.Errorf("%d connections counted as open", open)
	}
	for i, l := range node.loops {
		if l == nil || l.stats.Moved == 0 {
			t.Errorf("loop %d took part in nothing", i)
		}
	}
}

// TestSlowLaneOnKernel: a node makes a slow loop by itself when an app computes for long beside another,
// on a thread that yields to the others.
func TestSlowLaneOnKernel(t *testing.T) {
	node, address := startGroupNode(t, func(w *fakeWorker, r *fakeRequest) {
		if r.host == "a" {
			begun := time.Now()
			for time.Since(begun) < 25*time.Millisecond { // as JavaScript would
			}
			w.cpu += time.Since(begun)
		}
		demo(nil)(w, r)
	})
	p := node.options.placement
	apps := node.options.catalog.apps
	for _, app := range apps {
		p.change(app, 0, servedBy(0))
	}
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for i := 0; apps[0].where.Load()&slowBit == 0 || i%2 == 1; i++ {
		if i == 200 {
			t.Fatalf("still served by %#x", apps[0].where.Load())
		}
		io.WriteString(connection, get([]string{"b", "a"}[i%2], "/"))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}
	e := &exchanger{random: rand.New(rand.NewPCG(1, 1))}
	if err := e.run(address, 20); err != nil {
		t.Error(err)
	}
	node.mutex.Lock()
	slow := node.loops[2]
	node.mutex.Unlock()
	if slow == nil || slow.Stats().Requests == 0 || apps[1].where.Load()&slowBit != 0 {
		t.Fatal("the slow loop beside loop 0 does not serve the slow app, or the other one, too")
	}
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, slow.thread); err != nil || nice != 20-slowNice { // the raw call gives 20 - nice
		t.Errorf("the slow loop's thread has nice value %d, %v", 20-nice, err)
	}
}
