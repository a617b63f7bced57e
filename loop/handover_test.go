package loop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// askAlone asks on a connection of its own for each request.
func askAlone(network, address string) error {
	connection, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "GET /x a " {
		return fmt.Errorf("%q, %w", body, err)
	}
	return nil
}

// TestHandOver: a node takes the sockets of another one over, again and again, while clients connect without a pause
// that would see any gap. Nodes have different numbers of loops.
func TestHandOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listen := []string{"127.0.0.1:0", "unix:" + path}
	begin := func(loops int, inherited []ListenerFile) *Node {
		node, err := Start(NodeOptions{Loops: loops, Listen: listen, Inherited: inherited,
			Ring: uring.Config{Entries: 256, Buffers: 64},
			Options: Options{Apps: []App{{Name: "demo"}}, DrainGrace: 20 * time.Millisecond,
				NewShard: shardOf(func(app int) (Worker, error) { return newFakeWorker("demo", demo(nil)), nil })}})
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	node := begin(2, nil)
	address := node.Addresses()[0].String()
	var stop atomic.Bool
	var clients sync.WaitGroup
	var asked atomic.Int64
	for i := range 8 {
		clients.Go(func() {
			for !stop.Load() {
				err := askAlone("tcp", address)
				if i%4 == 0 {
					err = askAlone("unix", path)
				}
				if err != nil {
					t.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for _, loops := range []int{2, 1, 3, 2, 1, 1, 2} {
		files, err := node.ListenerFiles()
		if err != nil {
			t.Fatal(err)
		}
		next := begin(loops, files)
		if got := next.Addresses(); len(got) != 2 || got[0].String() != address || got[1].String() != path {
			t.Errorf("%d loops listen on %v", loops, got)
		}
		before := asked.Load()
		eventually(t, "requests while both accept", func() bool { return asked.Load() > before+20 })
		node.HandOver()
		node.Drain()
		if err := node.Wait(); err != nil {
			t.Error(err)
		}
		before = asked.Load()
		eventually(t, "requests after the hand-over", func() bool { return asked.Load() > before+20 || t.Failed() })
		node = next
	}
	stop.Store(true)
	clients.Wait()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the last one has left its unix socket")
	}
	if _, err := node.ListenerFiles(); err == nil {
		t.Error("a node that has ended gives its sockets away")
	}
}

// TestHandOverLeavesTheBacklog: what waits to be accepted by a node that has handed over is the other one's.
func TestHandOverLeavesTheBacklog(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) { o.Options.MaxConnections = 1 })
	first, err := net.Dial("tcp", address) // from now on the node accepts no more
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	eventually(t, "the first connection", func() bool { return node.Stats()[0].Connections == 1 })
	files, err := node.ListenerFiles()
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 20)
	for range cap(answers) {
		go func() { answers <- askAlone("tcp", address) }()
	}
	node.HandOver()
	node.Drain()
	first.Close()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	_, again := startNode(t, func(o *NodeOptions) {
		o.Listen = []string{files[0].Address}
		o.Inherited = files
	})
	if again != address {
		t.Errorf("listens on %s, not %s", again, address)
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// TestInheritedSockets: what is not asked for is closed, and what is no listening socket is refused.
func TestInheritedSockets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, _, _, err = Listen(nil, 1, []ListenerFile{{"127.0.0.1:1", file}})
	if err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("a socket that nobody wants is open still")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Listen([]string{"a"}, 1, []ListenerFile{{"a", os.NewFile(uintptr(fd), "a")}}); err == nil {
		t.Error("a socket that does not listen was taken")
	}
}
