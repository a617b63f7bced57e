package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/dns"
	"nano/uring"
)

// A realLoop is a loop over the kernel's ring on the test's own thread.
type realLoop struct {
	t    *testing.T
	loop *Loop
}

func newRealLoop(t *testing.T, names *nameFiles) *realLoop {
	t.Helper()
	return newRealLoopOf(t, &Options{names: names})
}

func newRealLoopOf(t *testing.T, options *Options) *realLoop {
	t.Helper()
	runtime.LockOSThread()
	ring, err := uring.New(uring.Config{Entries: 64, Buffers: 16})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(0, options, ring, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.readTime()
	l.armWake()
	r := &realLoop{t, l}
	t.Cleanup(r.end)
	return r
}

// until runs the loop until a condition holds.
func (r *realLoop) until(what string, condition func() bool) {
	r.t.Helper()
	limit := patience(r.t)
	deadline := time.Now().Add(limit)
	late := time.AfterFunc(limit, r.loop.waker.Signal) // after the deadline
	defer late.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain: %s", what)
		}
		if err := r.loop.tick(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// end drains the loop and checks that nothing is left.
func (r *realLoop) end() {
	defer runtime.UnlockOSThread()
	if r.t.Failed() {
		return
	}
	r.loop.Drain()
	r.until("the drain", r.loop.isDrained)
	if err := errors.Join(r.loop.end(), r.loop.Close()); err != nil {
		r.t.Error(err)
	}
}

// dial connects, or fails.
func (r *realLoop) dial(host string, port int, allow ...string) *dialed {
	r.t.Helper()
	c := &dialed{}
	r.loop.dial(target{host: host, port: uint16(port), app: nobody()}, rulesOf(r.t, append(allow, "127.0.0.0/8", "::1")...), c)
	r.until("the dial of "+host, func() bool { return c.told != 0 })
	return c
}

// settle runs the loop until all that has ended is closed.
func (r *realLoop) settle() {
	r.t.Helper()
	r.until("endpoints to close", func() bool { return r.loop.endpoints.open == 0 })
}

// A realNames is a name server with real sockets.
type realNames struct {
	address  netip.AddrPort
	asked    atomic.Int64
	askedTCP atomic.Int64
}

// listenForNames takes a port that both protocols have free.
func listenForNames(t *testing.T) (*net.UDPConn, *net.TCPListener) {
	t.Helper()
	for range 100 {
		packets, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		port := packets.LocalAddr().(*net.UDPAddr).Port
		streams, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			packets.Close()
			continue
		}
		t.Cleanup(func() { packets.Close(); streams.Close() })
		return packets, streams
	}
	t.Fatal("no port is free")
	panic("unreachable")
}

// startNames starts a name server. stray also sends each answer, with an address that nobody should
// believe in, from a port that was not asked.
func startNames(t *testing.T, answers func() answerer, stray bool) *realNames {
	t.Helper()
	packets, streams := listenForNames(t)
	n := &realNames{address: packets.LocalAddr().(*net.UDPAddr).AddrPort()}
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			size, from, err := packets.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			n.asked.Add(1)
			if stray {
				forged := answerer{"plain.example": {"127.0.0.66"}}
				other.WriteToUDPAddrPort(forged.answer(t, buffer[:size], true), from)
			}
			if answer := answers().answer(t, buffer[:size], true); answer != nil {
				packets.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	go func() {
		for {
			connection, err := streams.Accept()
			if err != nil {
				return
			}
			n.askedTCP.Add(1)
			go n.serveTCP(t, connection, answers)
		}
	}()
	return n
}

// serveTCP answers one question, byte by byte.
func (n *realNames) serveTCP(t *testing.T, connection net.Conn, answers func() answerer) {
	defer connection.Close()
	var length [2]byte
	if _, err := io.ReadFull(connection, length[:]); err != nil {
		return
	}
	question := make([]byte, int(length[0])<<8|int(length[1]))
	if _, err := io.ReadFull(connection, question); err != nil {
		return
	}
	answer := answers().answer(t, question, false)
	for _, b := range append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...) {
		if _, err := connection.Write([]byte{b}); err != nil {
			return
		}
	}
}

func (n *realNames) config(more ...netip.AddrPort) *nameFiles {
	return fixedNames(&dns.Config{Servers: append(more, n.address), Ndots: 1, Timeout: time.Second, Attempts: 2})
}

func always(a answerer) func() answerer { return func() answerer { return a } }

// listenSomewhere accepts connections, which it leaves alone.
func listenSomewhere(t *testing.T, host string, port int) int {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func TestNamesOverSockets(t *testing.T) {
	names := startNames(t, always(answerer{
		"plain.example": {"127.0.0.1"}, "large.example": {"truncated", "127.0.0.1"}, "alias.example": {"plain.example"},
		"servfail.example": {"servfail"}, "silent.example": {"silence"}, "loop.example": {"loop.example"}, "forged.example": {"wrong id", "127.0.0.1"},
	}), true)
	r := newRealLoop(t, names.config())
	port := listenSomewhere(t, "127.0.0.1", 0)
	reached := fmt.Sprintf("127.0.0.1:%d", port)
	for _, row := range []struct{ host, want string }{
		{"plain.example", reached},
		{"large.example", reached},
		{"alias.example", reached},
		{"localhost", reached},
		{"servfail.example", fmt.Sprint(network, " getaddrinfo: the name servers could not answer (servfail.example)")},
		{"silent.example", fmt.Sprint(timeout, " getaddrinfo: the name servers did not answer (silent.example)")},
		{"forged.example", fmt.Sprint(timeout, " getaddrinfo: the name servers did not answer (forged.example)")},
		{"loop.example", fmt.Sprint(notFound, " getaddrinfo: its aliases lead nowhere (loop.example)")},
		{"nobody.example", fmt.Sprint(notFound, " getaddrinfo: host not found (nobody.example)")},
	} {
		c := r.dial(row.host, port)
		if got := c.outcome(); got != row.want {
			t.Errorf("%s: got %s, want %s", row.host, got, row.want)
		}
		c.close()
	}
	if names.askedTCP.Load() == 0 {
		t.Error("the truncated answer was not asked for by TCP")
	}
	r.settle()
}

// TestDeadNameServer: the next one is asked, at once if a port is closed.
func TestDeadNameServer(t *testing.T) {
	names := startNames(t, always(answerer{"plain.example": {"127.0.0.1"}}), false)
	closed, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	address := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	closed.Close()
	silent := startNames(t, always(answerer{"plain.example": {"silence"}}), false)
	r := newRealLoop(t, names.config(address, silent.address))
	port := listenSomewhere(t, "127.0.0.1", 0)
	c := r.dial("plain.example", port)
	if got := c.outcome(); got != fmt.Sprintf("127.0.0.1:%d", port) || silent.asked.Load() == 0 {
		t.Errorf("got %s", got)
	}
	c.close()
	r.settle()
}

func TestRebindingOverSockets(t *testing.T) {
	var now atomic.Pointer[answerer]
	now.Store(&answerer{"rebound.example": {"127.0.0.1"}})
	names := startNames(t, func() answerer { return *now.Load() }, false)
	r := newRealLoop(t, names.config())
	port := listenSomewhere(t, "127.0.0.1", 0)
	c := r.dial("rebound.example", port)
	if got := c.outcome(); got != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("first: %s", got)
	}
	c.close()
	now.Store(&answerer{"rebound.example": {"169.254.169.254"}})
	c = r.dial("rebound.example", port, "rebound.example")
	if got := c.outcome(); got != fmt.Sprintf("%d egress: 169.254.169.254:%d (rebound.example) is not allowed for app demo: a rule has to name the address", forbidden, port) {
		t.Errorf("second: %s", got)
	}
	r.settle()
}

// fillBacklog makes a port of 127.0.0.1 that does not answer: its backlog is full.
func fillBacklog(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(client) })
		if err := unix.Connect(client, name); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return name.(*unix.SockaddrInet4).Port
}

// TestSilentAddress: the next address of the name is tried, and a dial that waits can be cancelled.
func TestSilentAddress(t *testing.T) {
	port := fillBacklog(t)
	names := startNames(t, always(answerer{"two.example": {"127.0.0.1", "127.0.0.2"}, "one.example": {"127.0.0.1"}}), false)
	r := newRealLoop(t, names.config())
	listenSomewhere(t, "127.0.0.2", port)
	c := r.dial("two.example", port)
	if got := c.outcome(); got != fmt.Sprintf("127.0.0.2:%d", port) {
		t.Errorf("got %s", got)
	}
	c.close()
	r.settle()
	waiting := &dialed{}
	d := r.loop.dial(target{host: "one.example", port: uint16(port), app: nobody()}, rulesOf(t, "127.0.0.1"), waiting)
	r.until("the attempt", func() bool { return len(d.attempts) != 0 })
	d.cancel()
	r.settle()
	if waiting.told != 0 {
		t.Error("told after cancel")
	}
}

func TestRefusedOverSockets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	r := newRealLoop(t, fixedNames(&dns.Config{}))
	if got := r.dial("127.0.0.1", port).outcome(); got != fmt.Sprintf("%d connect: connection refused (127.0.0.1:%d)", network, port) {
		t.Errorf("got %s", got)
	}
	r.settle()
}

// TestEndpointOverSockets moves bytes both ways, more than fit in any buffer.
func TestEndpointOverSockets(t *testing.T) {
	const size = 3 << 20
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // echoes
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		io.Copy(connection, connection)
	}()
	r := newRealLoop(t, fixedNames(&dns.Config{}))
	c := r.dial("127.0.0.1", listener.Addr().(*net.TCPAddr).Port)
	p := c.plug
	left := size
	feed := func() {
		for left != 0 && p.endpoint.queued() < 256<<10 {
			n := min(left, 10000)
			p.endpoint.write(make([]byte, n))
			left -= n
		}
		if left == 0 {
			p.endpoint.finish()
		}
	}
	p.onSent = feed
	feed()
	p.endpoint.resume()
	r.until("the echo", func() bool { return p.ended })
	if len(p.got) != size || p.errno != 0 {
		t.Errorf("got %d bytes, errno %v", len(p.got), p.errno)
	}
	text := string(r.loop.options.sockets.local(int(p.endpoint.fd), nil))
	if local, err := netip.ParseAddrPort(text); err != nil || local.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("our address is %q", text)
	}
	c.close()
	r.settle()
}

// TestSystemResolver: where the machine's configuration is not understood, its own resolver is asked.
func TestSystemResolver(t *testing.T) {
	files := fixedNames(&dns.Config{System: true, Timeout: time.Minute, Attempts: 1})
	stuck, answer := make(chan struct{}), make(chan struct{})
	var asking, most atomic.Int64
	files.system = func(ctx context.Context, name string) ([]netip.Addr, error) {
		switch name {
		case "plain.example":
			return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, nil
		case "none.example":
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		case "slow.example":
			return nil, &net.DNSError{Err: "timeout", IsTimeout: true}
		case "stuck.example":
			<-ctx.Done()
			close(stuck)
			return nil, ctx.Err()
		}
		if strings.HasPrefix(name, "many") {
			most.Store(max(most.Load(), asking.Add(1)))
			<-answer
			asking.Add(-1)
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, errors.New("failure")
	}
	r := newRealLoop(t, files)
	port := listenSomewhere(t, "127.0.0.1", 0)
	for host, want := range map[string]string{
		"plain.example": fmt.Sprintf("127.0.0.1:%d", port),
		"none.example":  fmt.Sprint(notFound, " getaddrinfo: host not found (none.example)"),
		"slow.example":  fmt.Sprint(timeout, " getaddrinfo: the name servers did not answer (slow.example)"),
		"odd.example":   fmt.Sprint(network, " getaddrinfo: the name servers could not answer (odd.example)"),
	} {
		c := r.dial(host, port)
		if got := c.outcome(); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
		c.close()
	}
	c := &dialed{}
	r.loop.dial(target{host: "stuck.example", port: uint16(port), app: nobody()}, nil, c).cancel()
	<-stuck // its goroutine was told
	if c.told != 0 || r.loop.names.Pending() != 0 {
		t.Error("something is left")
	}
	// More than may be asked for at once, of which some are given up while they wait.
	var all []*dialed
	for i := range 3 * systemLookupsMax {
		c := &dialed{}
		d := r.loop.dial(target{host: fmt.Sprintf("many%d.example", i), port: uint16(port), app: nobody()}, rulesOf(t, "127.0.0.1"), c)
		if i%3 == 2 {
			d.cancel()
		} else {
			all = append(all, c)
		}
	}
	close(answer)
	r.until("all dials", func() bool { return !slices.ContainsFunc(all, func(c *dialed) bool { return c.told == 0 }) })
	for i, c := range all {
		if c.plug == nil {
			t.Errorf("dial %d: %s", i, c.outcome())
		}
		c.close()
	}
	r.until("goroutines to end", func() bool { return r.loop.systemOpen == 0 })
	if n := most.Load(); n > systemLookupsMax || len(r.loop.systemQueue) != 0 {
		t.Errorf("%d at once, %d left", n, len(r.loop.systemQueue))
	}
	r.settle()
}

// TestNameFilesAreReadAgain when one has changed, and not before.
func TestNameFilesAreReadAgain(t *testing.T) {
	folder := t.TempDir()
	paths := namePaths{filepath.Join(folder, "resolv.conf"), filepath.Join(folder, "hosts"), filepath.Join(folder, "nsswitch.conf")}
	files := newNameFiles(paths)
	first := files.config.Load()
	if !first.System {
		t.Error("without resolv.conf the system's resolver should be asked")
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(paths[0], "nameserver 192.0.2.7\n")
	write(paths[1], "10.0.0.1 db\n")
	now := nameFilesPause
	look := func() *dns.Config {
		before := files.config.Load()
		files.current(now)
		now += nameFilesPause
		eventually(t, "the files to be read", func() bool { return files.config.Load() != before })
		return files.config.Load()
	}
	if c := look(); c.System || c.Servers[0] != netip.MustParseAddrPort("192.0.2.7:53") || len(c.Hosts.Lookup("db")) != 1 {
		t.Errorf("%+v", c)
	}
	files.checking.Lock() // nobody else looks
	same := files.current(now - nameFilesPause + 1)
	files.checking.Unlock()
	if same != files.config.Load() {
		t.Error("read again at once")
	}
	files.check()
	if files.config.Load() != same {
		t.Error("read again, though nothing has changed")
	}
	write(paths[2], "hosts: files mdns4_minimal [NOTFOUND=return] dns\n")
	if c := look(); !c.System {
		t.Error("nsswitch.conf was not heeded")
	}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestDescriptorsRunOut: dials beyond the limit fail with a clear fault, the others connect, and nothing is
// left open.
func TestDescriptorsRunOut(t *testing.T) {
	names := startNames(t, always(answerer{"plain.example": {"127.0.0.1"}}), false)
	r := newRealLoop(t, names.config())
	// Nobody accepts, so that the other ends take no descriptors.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 128)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(name.(*unix.SockaddrInet4).Port)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	lower := limit
	lower.Cur = uint64(before + 10)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var all []*dialed
	told := 0
	for i := range 40 {
		c := &dialed{}
		host := "127.0.0.1"
		if i%4 == 3 {
			host = "plain.example"
		}
		r.loop.dial(target{host: host, port: port, app: nobody()}, rulesOf(t, "127.0.0.1"), c)
		all = append(all, c)
	}
	r.until("all dials", func() bool {
		told = 0
		for _, c := range all {
			told += c.told
		}
		return told == len(all)
	})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	connected := 0
	for i, c := range all {
		if c.fault == nil {
			connected++
			c.close()
		} else if !strings.Contains(c.fault.text, ": too many open files (") {
			t.Errorf("dial %d: %s", i, c.fault.text)
		}
	}
	if connected == 0 || connected == len(all) {
		t.Errorf("%d of %d connected", connected, len(all))
	}
	r.settle()
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

// nobody is an app that has no loop.
func nobody() *appWorker { return &appWorker{name: "demo", shared: new(sharedApp)} }
