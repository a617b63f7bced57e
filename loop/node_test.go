package loop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// startNode serves the demo app over real rings, and drains at the end of the test.
func startNode(t testing.TB, change func(o *NodeOptions)) (node *Node, address string) {
	t.Helper()
	o := NodeOptions{
		Loops:  1,
		Listen: []string{"127.0.0.1:0"},
		Ring:   uring.Config{Entries: 256, Buffers: 64},
	}
	o.Options.Apps = []App{{Name: "demo"}}
	o.Options.NewShard = shardOf(func(app int) (Worker, error) {
		return newFakeWorker("demo", demo(nil)), nil
	})
	o.Options.DrainGrace = 20 * time.Millisecond
	if change != nil {
		change(&o)
	}
	node, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.Drain()
		if err := node.Wait(); err != nil {
			t.Error(err)
		}
		for _, l := range node.loops {
			if l != nil {
				checkNothingLeft(t, l)
			}
		}
	})
	return node, node.Addresses()[0].String()
}

func TestServesRequests(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) { o.Loops = 2 })
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var running sync.WaitGroup
	for range 8 {
		running.Add(1)
		go func() {
			defer running.Done()
			for range 50 {
				response, err := client.Post("http://"+address+"/echo?q", "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if want := "POST /echo?q " + address + " body"; err != nil || string(body) != want {
					t.Errorf("got %q, %v; want %q", body, err, want)
				}
			}
		}()
	}
	running.Wait()
	var sum Stats
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, stats := range node.Stats() {
		sum = sum.Add(stats)
	}
	if sum.Requests != 400 {
		t.Errorf("%d requests counted, want 400", sum.Requests)
	}
}

// failingRing is a ring that fails when it is told to.
type failingRing struct {
	uring.Ring
	failing *atomic.Bool
}

var errRing = errors.New("the ring broke")

func (r failingRing) Enter(wait bool, timeout time.Duration) error {
	if r.failing.Load() {
		return errRing
	}
	return r.Ring.Enter(wait, timeout)
}

// TestLoopFails: when one loop fails, the others drain, and the node says why.
func TestLoopFails(t *testing.T) {
	var made atomic.Int32
	var failing, never atomic.Bool
	node, err := Start(NodeOptions{
		Loops:  2,
		Listen: []string{"127.0.0.1:0"},
		NewRing: func() (uring.Ring, error) {
			ring, err := uring.New(uring.Config{Entries: 64, Buffers: 16})
			if made.Add(1) == 1 {
				return failingRing{ring, &failing}, err
			}
			return failingRing{ring, &never}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	for _, l := range node.loops[:2] {
		l.waker.Wake() // does nothing to a loop that has ended
	}
	if err := node.Wait(); !errors.Is(err, errRing) {
		t.Errorf("got %v", err)
	}
}

// TestOnThread: what a loop's thread must be prepared with runs on it, and its failure is Start's.
func TestOnThread(t *testing.T) {
	cause := errors.New("not on this thread")
	calls := 0
	_, err := Start(NodeOptions{Loops: 1, OnThread: func() error { calls++; return cause }})
	if !errors.Is(err, cause) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestStreams(t *testing.T) {
	_, address := startNode(t, nil)
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	io.WriteString(connection, "GET /stream/3 HTTP/1.1\r\nHost: a\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "chunk 2;chunk 1;chunk 0;" {
		t.Errorf("got %q, %v", body, err)
	}
}

// Loops are pinned only if each can have a core of its own.
func TestCoresOf(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	all := allowed.Count()
	cores := coresOf(all)
	if len(cores) != all {
		t.Fatalf("%d cores for %d loops", len(cores), all)
	}
	for i, core := range cores {
		if !allowed.IsSet(core) || i > 0 && core <= cores[i-1] {
			t.Errorf("cores %v", cores)
		}
	}
	if coresOf(all+1) != nil || coresOf(all-1) != nil {
		t.Error("pinned although loops and cores differ in number")
	}
}

// onThread runs a function on a thread of its own, which ends with it.
func onThread(run func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		run()
	}()
	<-done
}

// TestShortenSlice: the thread gets the slice, and nothing else of it changes; one that somebody has given
// another policy stays as it is.
func TestShortenSlice(t *testing.T) {
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(system.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	isKnown := major > 6 || major == 6 && minor >= 12
	for _, policy := range []uint32{unix.SCHED_NORMAL, unix.SCHED_BATCH} {
		var before, after *unix.SchedAttr
		var err error
		onThread(func() {
			if before, err = unix.SchedGetAttr(0, 0); err != nil {
				return
			}
			before.Policy = policy
			if err = unix.SchedSetAttr(0, before, 0); err != nil {
				return
			}
			shortenSlice()
			after, err = unix.SchedGetAttr(0, 0)
		})
		if err != nil {
			t.Skipf("policy %d: %v", policy, err)
		}
		isShort := after.Runtime == loopSlice
		if isShort != (policy == unix.SCHED_NORMAL) && (isKnown || isShort) {
			t.Errorf("policy %d: a slice of %d ns", policy, after.Runtime)
		}
		if after.Policy != policy || after.Nice != before.Nice {
			t.Errorf("policy %d: now %d, nice value %d", policy, after.Policy, after.Nice)
		}
	}
}
