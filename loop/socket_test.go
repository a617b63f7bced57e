package loop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// patience is for how long a test waits for what must come. It bounds failures, and measures nothing: a busy machine may
// leave a test next to no CPU time.
func patience(t testing.TB) time.Duration {
	t.Helper()
	if limited, ok := t.(*testing.T); ok {
		if end, ok := limited.Deadline(); ok {
			return time.Until(end) / 2 // the rest is for those that follow
		}
	}
	return time.Hour
}

// eventually waits for a condition that the server will bring about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience(t)); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		runtime.Gosched()
	}
}

func (n *Node) sum() (sum Stats) {
	for _, stats := range n.Stats() {
		sum = sum.Add(stats)
	}
	return sum
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := connection.SetDeadline(time.Now().Add(patience(t))); err != nil {
		t.Fatal(err)
	}
	return connection.(*net.TCPConn)
}

var dateLine = regexp.MustCompile(`date: [^\r]*`)

const frozenDate = "date: Wed, 01 Jan 2025 00:00:00 GMT"

// readRow reads as many bytes as the row wants, and one more if the connection should end.
func readRow(t *testing.T, connection net.Conn, r *row) (got string, ended bool) {
	t.Helper()
	buffer := make([]byte, len(r.want)+1)
	n, err := io.ReadFull(connection, buffer[:len(r.want)])
	if err == nil && r.closes {
		var more int
		more, err = connection.Read(buffer[n:])
		n += more
	}
	ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !ended {
		t.Error(err)
	}
	return string(dateLine.ReplaceAll(buffer[:n], []byte(frozenDate))), ended
}

// TestRowsOverSockets sends each conversation over TCP in two pieces, cut at every offset.
func TestRowsOverSockets(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) {
		o.Ring.Entries = 64
		o.Options.Apps = []App{{Name: "demo", Hosts: []string{"a"}}}
		blocks := &fakeBlocks{}
		o.Options.Blocks = blocks
		o.Options.NewShard = shardOf(func(app int) (Worker, error) { return newFakeWorker("demo", demo(blocks)), nil })
		rowOptions(&o.Options)
	})
	for _, r := range rows {
		for cut := 0; cut < len(r.input); cut++ {
			if cut > 100 && cut < len(r.input)-50 && cut%50 != 0 {
				continue // the middle of something long
			}
			received := node.sum().BytesIn
			connection := dial(t, address)
			io.WriteString(connection, r.input[:cut])
			eventually(t, "first piece received", func() bool { return node.sum().BytesIn == received+uint64(cut) })
			// The answer may be a refusal of the first piece, and the connection be closed.
			io.WriteString(connection, r.input[cut:])
			got, ended := readRow(t, connection, &r)
			r.check(t, fmt.Sprintf("%s, cut at %d", r.name, cut), got, ended)
			connection.Close()
			if t.Failed() {
				return
			}
			// All of it has been counted before the next one counts.
			eventually(t, "connection closed", func() bool { return node.sum().Connections == 0 })
		}
	}
}

// TestLingers: a client that is still sending when it is refused must get to read why.
func TestLingers(t *testing.T) {
	_, address := startNode(t, func(o *NodeOptions) { o.Options.MaxBody = 1000 })
	connection := dial(t, address)
	defer connection.Close()
	fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 8<<20)
	if _, err := connection.Write(make([]byte, 8<<20)); err != nil {
		t.Fatalf("the connection was reset while sending: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || response.StatusCode != 413 {
		t.Fatalf("got %v, %v", response, err)
	}
}

// TestLargeBodies goes both ways with more than any buffer holds.
func TestLargeBodies(t *testing.T) {
	_, address := startNode(t, func(o *NodeOptions) {
		blocks := &fakeBlocks{}
		o.Options.Blocks = blocks
		o.Options.NewShard = shardOf(func(app int) (Worker, error) { return newFakeWorker("demo", demo(blocks)), nil })
	})
	const size = 5 << 20
	for _, body := range []io.Reader{bytes.NewReader(make([]byte, size)), io.LimitReader(zeros{}, size)} { // with length, chunked
		response, err := http.Post("http://"+address+"/size", "", body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(response.Body); err != nil || string(got) != fmt.Sprint(size) {
			t.Errorf("the app got %s bytes, %v", got, err)
		}
		response.Body.Close()
	}
	response, err := http.Get(fmt.Sprintf("http://%s/large/%d", address, size))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || len(got) != size || string(got[size-16:]) != "0123456789abcdef" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	http.DefaultClient.CloseIdleConnections()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestDrainUnderLoad: clients that keep asking, each with one request at a time, lose none to a
// drain. A request may only fail on a connection that had announced its end, or before it was sent.
func TestDrainUnderLoad(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) { o.Loops = 2; o.Options.DrainGrace = 500 * time.Millisecond })
	var answered, lost, lostAtFirst atomic.Int64
	var running sync.WaitGroup
	for range 32 {
		running.Add(1)
		go func() {
			defer running.Done()
			for {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					return // nobody listens any more
				}
				reader := bufio.NewReader(connection)
				for first, closing := true, false; !closing; first = false {
					closing, err = askOnce(connection, reader)
					switch {
					case err == nil:
						answered.Add(1)
						continue
					case first:
						lostAtFirst.Add(1)
					default:
						lost.Add(1)
					}
				}
				connection.Close()
			}
		}()
	}
	eventually(t, "load", func() bool { return answered.Load() > 2000 })
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of %d requests were lost", n, answered.Load())
	}
	// A handshake that the kernel completes between our last accept and the close is reset: that
	// window is a microsecond, but it is there.
	if n := lostAtFirst.Load(); n > 2 {
		t.Errorf("%d new connections were reset", n)
	}
	if stats := node.sum(); stats.Connections != 0 || stats.Accepted != stats.Closed {
		t.Errorf("connections are left: %+v", stats)
	}
}

// askOnce asks on a connection, and tells whether the answer said that it is the last.
func askOnce(connection net.Conn, reader *bufio.Reader) (closing bool, err error) {
	if _, err := io.WriteString(connection, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return true, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return true, err
	}
	_, err = io.ReadAll(response.Body)
	return response.Close, err
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nano.sock")
	// A socket file that a dead server left behind.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	node, _ := startNode(t, func(o *NodeOptions) { o.Loops = 2; o.Listen = []string{"unix:" + path} })
	if _, err := Start(NodeOptions{Loops: 1, Listen: []string{"unix:" + path}}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a second server on the same path: %v", err)
	}
	for range 20 {
		connection, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(connection, "GET /u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(connection)
		if err != nil || !strings.HasSuffix(string(got), "GET /u a ") {
			t.Errorf("got %q, %v", got, err)
		}
		connection.Close()
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file was not removed: %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	_, address := startNode(t, nil)
	if _, err := Start(NodeOptions{Loops: 2, Listen: []string{address}}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a second server on the same port: %v", err)
	}
}

// TestWhenFree: an address that a killed node still holds for a moment is waited for, one that stays
// in use is not waited for long, and other errors are told at once.
func TestWhenFree(t *testing.T) {
	inUse := os.NewSyscallError("bind", unix.EADDRINUSE)
	for _, test := range []struct {
		name    string
		free    time.Duration // when the address is
		other   error
		want    error
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"free", 0, nil, nil, 0, 0},
		{"free in a moment", 100 * time.Millisecond, nil, nil, 100 * time.Millisecond, 100*time.Millisecond + inUsePause},
		{"stays in use", time.Hour, nil, inUse, inUsePatience, inUsePatience + inUsePause},
		{"not allowed", 0, unix.EACCES, unix.EACCES, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) { // in virtual time
			begun := time.Now()
			fd, err := whenFree(func() (int, error) {
				if time.Since(begun) < test.free {
					return -1, inUse
				}
				return 7, test.other
			})
			took := time.Since(begun)
			if err != test.want || err == nil && fd != 7 || took < test.atLeast || took > test.atMost {
				t.Errorf("%s: %d, %v after %v", test.name, fd, err, took)
			}
		})
	}
}

func TestIPv6(t *testing.T) {
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	probe.Close()
	var remotes sync.Map
	node, _ := startNode(t, func(o *NodeOptions) {
		o.Listen = []string{"[::]:0"}
		o.Options.NewShard = shardOf(func(app int) (Worker, error) {
			return newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
				remotes.Store(r.remote, true)
				w.text(r.id, []byte("ok"))
			}), nil
		})
	})
	port := node.Addresses()[0].(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		connection := dial(t, fmt.Sprintf("%s:%d", host, port))
		io.WriteString(connection, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if _, err := io.ReadAll(connection); err != nil {
			t.Error(err)
		}
		if _, ok := remotes.Load(connection.LocalAddr().String()); !ok {
			t.Errorf("the app was not told of a client at %v", connection.LocalAddr())
		}
		connection.Close()
	}
}

// TestMaxConnections: clients over the limit wait until others leave.
func TestMaxConnections(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) { o.Options.MaxConnections = 3 })
	ask := func(connection net.Conn) (string, error) {
		io.WriteString(connection, "GET /m HTTP/1.1\r\nHost: a\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	var open []net.Conn
	for range 3 {
		connection := dial(t, address)
		if body, err := ask(connection); err != nil || body != "GET /m a " {
			t.Fatalf("got %q, %v", body, err)
		}
		open = append(open, connection)
	}
	waiting := dial(t, address)
	defer waiting.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := ask(waiting)
		answered <- err
	}()
	select {
	case <-answered:
		t.Fatal("a fourth connection was served")
	case <-time.After(150 * time.Millisecond): // longer than the pause
	}
	open[0].Close()
	if err := <-answered; err != nil {
		t.Errorf("the fourth client, after one had left: %v", err)
	}
	for _, connection := range open[1:] {
		connection.Close()
	}
	if stats := node.sum(); stats.Refused != 0 {
		t.Errorf("%d connections refused", stats.Refused)
	}
}

// TestIdleConnectionMemory: an idle connection costs less than 1 KB of Go memory, all that a loop has
// included.
func TestIdleConnectionMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	const connections = 4096
	before := heap()
	l, ring := newScripted(t, plainRequest, connections, nil)
	ring.quiet = true
	for range 10 {
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}
	if l.connections.open != connections || len(ring.next) != 0 {
		t.Fatalf("%d connections, %d completions to come", l.connections.open, len(ring.next))
	}
	// The pool keeps buffers for the next burst; they do not belong to the connections.
	l.buffers = buffers{}
	after := heap()
	each := (after - before) / connections
	if each > 1024 {
		t.Errorf("%d bytes per idle connection", each)
	}
	t.Logf("%d bytes per idle connection, %d of them its slot", each, unsafe.Sizeof(connection{}))
	runtime.KeepAlive(l)
	runtime.KeepAlive(ring)
}

// childTest runs the test of that name, which finds NANO_CHILD set, in a process of its own.
func childTest(t *testing.T, name string, prepare func(command *exec.Cmd)) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	command.Env = append(os.Environ(), "NANO_CHILD=1")
	if prepare != nil {
		prepare(command)
	}
	output, err := command.CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("--- PASS: "+name)) {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestFileLimit opens more connections than there may be files: those that got one are served, the
// others when their turn comes, and the server says so once.
func TestFileLimit(t *testing.T) {
	if os.Getenv("NANO_CHILD") == "" {
		childTest(t, "TestFileLimit", nil)
		return
	}
	// Clients and server share the limit here, so clients are made first, with files to spare.
	const clients = 300
	var err error
	fds := make([]int, clients)
	for i := range fds {
		if fds[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
			t.Fatal(err)
		}
	}
	top, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(top); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = uint64(top + clients/3)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The kernel notes the limit when an accept is armed.
	log := &recorder{}
	node, _ := startNode(t, func(o *NodeOptions) { o.Options.Logger = log })
	name := node.Addresses()[0].(*net.TCPAddr)
	for _, fd := range fds {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: name.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("GET /f HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the limit to be hit", func() bool { return log.count("accept: too many open files") > 0 })
	buffer := make([]byte, 4096)
	for _, fd := range fds {
		n, err := unix.Read(fd, buffer)
		if err != nil || !bytes.HasSuffix(buffer[:n], []byte("GET /f a ")) {
			t.Fatalf("got %q, %v", buffer[:n], err)
		}
		if err := unix.Close(fd); err != nil { // makes room for those that wait
			t.Fatal(err)
		}
	}
	eventually(t, "all to be closed", func() bool { return node.sum().Closed == clients })
	if n := log.count("accept"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// TestSystemdSockets serves on descriptors that were passed as systemd passes them.
func TestSystemdSockets(t *testing.T) {
	if os.Getenv("NANO_CHILD") == "" {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		unixSocket, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer unixSocket.Close()
		childTest(t, "TestSystemdSockets", func(command *exec.Cmd) {
			first, err := tcp.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			second, err := unixSocket.(*net.UnixListener).File()
			if err != nil {
				t.Fatal(err)
			}
			command.ExtraFiles = []*os.File{first, second}
			command.Env = append(command.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=web:local")
		})
		return
	}
	if _, _, _, err := Listen([]string{"systemd"}, 1, nil); err == nil || !strings.Contains(err.Error(), "LISTEN_PID") {
		t.Errorf("without LISTEN_PID: %v", err)
	}
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	node, _ := startNode(t, func(o *NodeOptions) { o.Loops = 2; o.Listen = []string{"systemd"} })
	if os.Getenv("LISTEN_FDS") != "" {
		t.Error("the environment still has LISTEN_FDS")
	}
	for _, address := range node.Addresses() {
		connection, err := net.Dial(address.Network(), address.String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(connection, "GET /s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(connection)
		if err != nil || !strings.HasSuffix(string(got), "GET /s a ") {
			t.Errorf("%v: got %q, %v", address, got, err)
		}
		connection.Close()
	}
}

// TestRingFails: a node whose rings cannot be made says why and leaves nothing behind.
func TestRingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nano.sock")
	cause := errors.New("no rings today")
	_, err := Start(NodeOptions{
		Loops: 2, Listen: []string{"unix:" + path},
		NewRing: func() (uring.Ring, error) { return nil, cause },
	})
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	for _, address := range []string{"nonsense", "127.0.0.1:99999", "256.0.0.1:80", "unix:/no/such/folder/s", "192.0.2.7:0"} {
		if _, _, _, err := Listen([]string{address}, 1, nil); err == nil || !strings.Contains(err.Error(), "listen "+address) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
