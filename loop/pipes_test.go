package loop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring/fakering"
)

// textFrom is text that tells its seed, so that bytes of one answer are not taken for those of another.
func textFrom(seed uint64, n int) string {
	random := rand.New(rand.NewPCG(seed, 9))
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnop"[random.IntN(16)]
	}
	return string(b)
}

func lengthResponse(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// begin has a client ask for what the origin sends, and take no more than window bytes of it yet.
func (f *fetcher) begin(window int, answer string) (client *fakering.Peer) {
	f.t.Helper()
	client = f.ring.Dial(f.listener)
	client.SetWindow(window)
	client.WriteString("GET /pipe HTTP/1.1\r\nHost: a\r\n\r\n")
	f.settle()
	f.answer(answer)
	return client
}

// checkPipes checks that all pipes are empty and free, and what was moved through them.
func (f *fetcher) checkPipes(most, least int) {
	f.t.Helper()
	p := &f.loop.pipes
	if p.open != len(p.free) || f.loop.options.outbound.pipes.Load() != int64(p.open*pipeDescriptors) {
		f.t.Errorf("%d pipes are open, %d free, %d descriptors counted", p.open, len(p.free), f.loop.options.outbound.pipes.Load())
	}
	for _, each := range p.free {
		if each.held != 0 {
			f.t.Errorf("a free pipe holds %d bytes", each.held)
		}
	}
	if f.sockets.spliced < least || f.sockets.spliced > most {
		f.t.Errorf("%d bytes went through pipes, want %d to %d", f.sockets.spliced, least, most)
	}
}

// TestPipes: the body of a response that goes on as it is goes through pipes, whatever the client takes at a time,
// and both connections can be used again. What is small, chunked, decoded or unknown does not.
func TestPipes(t *testing.T) {
	const size = 3 << 20
	body := textFrom(1, size)
	for _, test := range []struct {
		name   string
		answer string
		piped  bool
	}{
		{"large", lengthResponse(body), true},
		{"just large enough", lengthResponse(body[:originBulkFrom]), true},
		{"small", lengthResponse(body[:originBulkFrom-1]), false},
		{"chunked", fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body), false},
		{"decoded", codedResponse("gzip", coded(t, "gzip", body)), false},
	} {
		for _, window := range []int{-1, 1000, 100_000} {
			f := newFetcher(t, fakering.Config{}, nil)
			f.proxies(0)
			for round := range 3 {
				f.sockets.spliced = 0
				client := f.begin(window, test.answer)
				got := string(client.Take())
				for step := 0; window > 0 && step < 10; step++ {
					client.SetWindow(window)
					f.settle()
					got += string(client.Take())
				}
				client.SetWindow(-1)
				f.run(100 * time.Millisecond)
				client.WriteString("GET /pipe HTTP/1.1\r\nHost: a\r\n\r\n")
				f.settle()
				f.answer(lengthResponse("next"))
				got += string(client.Take())
				text := bodyOf(got)
				if strings.Contains(got, "transfer-encoding: chunked") {
					text = dechunked(text)
				}
				want, _, isFollowed := strings.Cut(text, "HTTP/1.1 200 OK\r\n")
				if !strings.Contains(got, "\r\n\r\nnext") || isFollowed && !strings.HasPrefix(body, want) || len(f.peers) != 1 {
					t.Errorf("%s, window %d, round %d: %d bytes, %d connections to the origin", test.name, window, round, len(got), len(f.peers))
				}
				most, least := 0, 0
				switch {
				case test.piped && round == 0: // all but what comes with the head
					most, least = len(test.answer), len(test.answer)-2*4096
				case test.piped: // and what comes before a receive has been cancelled
					most = len(test.answer)
				}
				f.checkPipes(most, least)
				client.Close()
				f.settle()
			}
			f.checkAtRest()
		}
	}
}

// TestPipesAreNotShared: what a client has not taken when it leaves never reaches another one.
func TestPipesAreNotShared(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	f.proxies(0)
	for round := range uint64(6) {
		secret, public := textFrom(2*round, 2<<20), textFrom(2*round+1, 2<<20)
		first := f.begin(5000, lengthResponse(secret))
		held := 0
		for _, chunk := range f.loop.connections.chunks {
			for i := range chunk {
				if p := chunk[i].sendingPipe; p != nil {
					held += p.held
				}
			}
		}
		if held < 100_000 {
			t.Fatalf("%d bytes lie in pipes", held)
		}
		switch round % 3 {
		case 0:
			first.Reset()
		case 1:
			first.Close()
			f.settle()
			first.SetWindow(1) // that it is closed shows when something is sent
		case 2:
			f.run(f.loop.options.SendTimeout + time.Second)
		}
		f.settle()
		if !first.Ended() || !f.origin().Closed() {
			t.Fatalf("round %d: client ended %v, origin closed %v", round, first.Ended(), f.origin().Closed())
		}
		f.checkPipes(1<<30, 1)
		second := f.begin(-1, lengthResponse(public))
		f.run(50 * time.Millisecond)
		if got := bodyOf(string(second.Take())); got != public {
			t.Fatalf("round %d: another body of %d bytes", round, len(got))
		}
		second.Close()
		f.settle()
	}
	f.checkAtRest()
}

// TestPipesBreak: whoever stops in the middle of a body that goes through pipes, at whatever byte, the other side
// notices, in time.
func TestPipesBreak(t *testing.T) {
	body := textFrom(3, 1<<20)
	for _, sent := range []int{10, 5000, 300_000, 1<<20 - 1} {
		for _, test := range []struct {
			name string
			stop func(f *fetcher)
		}{
			{"the origin closes", func(f *fetcher) { f.origin().CloseWrite() }},
			{"the origin resets", func(f *fetcher) { f.origin().Reset() }},
			{"the origin is silent", func(f *fetcher) { f.run(f.loop.options.FetchIdle + time.Second) }},
		} {
			f := newFetcher(t, fakering.Config{}, nil)
			f.proxies(0)
			client := f.begin(-1, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)))
			f.answer(body[:sent/2])
			f.answer(body[sent/2 : sent])
			test.stop(f)
			f.settle()
			got := bodyOf(string(client.Take()))
			if !client.Ended() || got != body[:sent] {
				t.Errorf("%s after %d bytes: the client got %d, ended %v", test.name, sent, len(got), client.Ended())
			}
			f.run(3 * time.Second)
			f.checkPipes(sent, sent-4096)
			f.checkAtRest()
		}
	}
}

// TestPipesAreScarce: without pipes, and with sockets that cannot be spliced, bytes are copied.
func TestPipesAreScarce(t *testing.T) {
	body := textFrom(4, 1<<20)
	for _, test := range []struct {
		name   string
		change func(f *fetcher)
		limit  int // of pipes
	}{
		{"no descriptors", func(f *fetcher) { f.sockets.pipesFail = true }, 0},
		{"no more for pipes", func(f *fetcher) { f.loop.options.outbound.limit = 2*pipeDescriptors*pipesShare + 1 }, 2},
		{"no splice", func(f *fetcher) { f.sockets.spliceFails = unix.EINVAL }, 1},
	} {
		f := newFetcher(t, fakering.Config{}, nil)
		f.proxies(0)
		test.change(f)
		var clients []*fakering.Peer
		for range 4 {
			clients = append(clients, f.begin(20_000, lengthResponse(body)))
		}
		if n := f.loop.pipes.open; n != test.limit {
			t.Errorf("%s: %d pipes", test.name, n)
		}
		for _, client := range clients {
			client.SetWindow(-1)
		}
		f.run(100 * time.Millisecond)
		for i, client := range clients {
			if got := bodyOf(string(client.Take())); got != body {
				t.Errorf("%s: client %d got %d bytes", test.name, i, len(got))
			}
		}
		if test.limit != 2 && f.sockets.spliced != 0 {
			t.Errorf("%s: %d bytes were spliced", test.name, f.sockets.spliced)
		}
		f.loop.giveBack()
		if n := f.loop.options.outbound.pipes.Load(); n != 0 {
			t.Errorf("%s: %d descriptors of pipes are left", test.name, n)
		}
	}
}

// TestPipesOfManyWaitTheirTurn: however many transfers there are, a tick moves a bounded number of bytes.
func TestPipesOfManyWaitTheirTurn(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	f.proxies(0)
	body := textFrom(5, 4<<20)
	var clients []*fakering.Peer
	for range 20 {
		clients = append(clients, f.begin(0, lengthResponse(body)))
	}
	for _, client := range clients {
		client.SetWindow(-1)
	}
	whole, got := 0, make([]int, len(clients))
	for step := 0; whole < len(clients) && step < 1000; step++ {
		before := f.sockets.spliced + f.sockets.unspliced
		f.loop.waker.Signal()
		if err := f.loop.tick(); err != nil {
			t.Fatal(err)
		}
		if n := f.sockets.spliced + f.sockets.unspliced - before; n > splicedMax+2*roomMax {
			t.Errorf("%d bytes moved in one tick", n)
		}
		whole = 0
		for i, client := range clients {
			if got[i] += len(client.Take()); got[i] > len(body) {
				whole++
			}
		}
	}
	if whole != len(clients) {
		t.Errorf("%d clients of %d got all", whole, len(clients))
	}
	for _, client := range clients {
		client.Close()
	}
	f.settle()
	f.checkAtRest()
}

// TestPipesSimulation has clients get large bodies of their own on a kernel that does everything that it may. What
// they get begins as theirs, and is whole or breaks.
func TestPipesSimulation(t *testing.T) {
	spliced := 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { spliced += simulatePipes(t, seed) })
	}
	if spliced < 1<<20 {
		t.Errorf("%d bytes went through pipes", spliced)
	}
}

func simulatePipes(t *testing.T, seed uint64) (spliced int) {
	random := rand.New(rand.NewPCG(seed, 8))
	faults := fakering.Harsh()
	faults.Reset, faults.ByteAtATime = 0.002, 0
	f := newFetcher(t, fakering.Config{Buffers: 8, BufferSize: 512, Seed: seed, Faults: faults}, nil)
	f.proxies(0)
	origins := map[*fakering.Peer]string{} // what each is still to send
	serve := func() {
		for _, peer := range f.peers {
			if _, rest, isAsked := strings.Cut(string(peer.Take()), "GET /pipe/"); isAsked {
				var number uint64
				fmt.Sscan(rest, &number)
				origins[peer] += lengthResponse(textFrom(seed*100+number, 300_000+random.IntN(300_000)))
			}
			if !peer.Broken() {
				n := min(len(origins[peer]), random.IntN(100_000))
				peer.WriteString(origins[peer][:n])
				origins[peer] = origins[peer][n:]
			}
		}
	}
	clients := make([]*fakering.Peer, 1+random.IntN(5))
	got := make([]string, len(clients))
	for i := range clients {
		client := f.ring.Dial(f.listener)
		client.SetWindow(random.IntN(100_000))
		client.WriteString(fmt.Sprintf("GET /pipe/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", i))
		if random.IntN(4) == 0 {
			f.ring.At(time.Duration(random.IntN(20_000))*time.Microsecond, client.Reset)
		}
		clients[i] = client
	}
	for range 100 {
		f.run(200 * time.Microsecond)
		serve()
		for i, client := range clients {
			got[i] += string(client.Take())
			client.SetWindow(random.IntN(60_000))
		}
	}
	for _, client := range clients {
		client.SetWindow(-1)
	}
	f.run(3 * time.Minute)
	for i, client := range clients {
		got[i] += string(client.Take())
		checkOwnBody(t, i, textFrom(seed*100+uint64(i), 600_000), got[i])
		if !client.Ended() {
			client.Close()
		}
	}
	f.run(5 * time.Second)
	f.checkAtRest()
	f.checkPipes(1<<30, 0)
	return f.sockets.spliced
}

// checkOwnBody checks that what a client got is the start of what was sent to it.
func checkOwnBody(t *testing.T, client int, want, got string) {
	t.Helper()
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if strings.HasPrefix(head, "HTTP/1.1 200") && !strings.HasPrefix(want, body) {
		t.Errorf("client %d got what is not its own, %d bytes", client, len(body))
	}
}

// openPipes counts the descriptors of pipes that the process has.
func openPipes(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(name, "pipe:") {
			n++
		}
	}
	return n
}

// A patternOrigin answers with size bytes of pseudo-random text: at once, or the first of them one by one, each when
// the client has got the one before.
type patternOrigin struct {
	text string
	next chan struct{}
}

const onesFirst = 50 // of /pipe/ones

func (o *patternOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(len(o.text)))
	rest := o.text
	if r.URL.Path == "/pipe/ones" {
		for range onesFirst {
			io.WriteString(w, rest[:1])
			w.(http.Flusher).Flush()
			rest = rest[1:]
			select {
			case <-o.next:
			case <-r.Context().Done():
				return
			}
		}
	}
	io.WriteString(w, rest)
}

// TestPipesOverSockets moves bodies through pipes of the kernel, to clients that read in every way, over TCP and a
// unix socket.
func TestPipesOverSockets(t *testing.T) {
	origin := &patternOrigin{text: textFrom(6, 5<<20), next: make(chan struct{})}
	server := httptest.NewServer(origin)
	defer server.Close()
	path := t.TempDir() + "/s"
	before := openPipes(t)
	_, url := startPasser(t, server.URL, func(o *NodeOptions) { o.Listen = append(o.Listen, "unix:"+path) })
	whole := func(r io.Reader) ([]byte, error) { return io.ReadAll(r) }
	for _, test := range []struct {
		name, path, network string
		read                func(r io.Reader) ([]byte, error)
	}{
		{"fast", "/whole", "tcp", whole},
		{"unix", "/whole", "unix", whole},
		{"small reads", "/whole", "tcp", func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.HalfReader(r)) }},
		{"one by one", "/ones", "tcp", func(r io.Reader) ([]byte, error) {
			first := make([]byte, onesFirst)
			for i := range first {
				if _, err := io.ReadFull(r, first[i:i+1]); err != nil {
					return nil, err
				}
				origin.next <- struct{}{}
			}
			rest, err := io.ReadAll(r)
			return append(first, rest...), err
		}},
	} {
		transport := &http.Transport{}
		if test.network == "unix" {
			transport.Dial = func(string, string) (net.Conn, error) { return net.Dial("unix", path) }
		}
		client := &http.Client{Transport: transport, Timeout: patience(t)}
		for range 3 {
			response, err := client.Get(url + test.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := test.read(response.Body)
			response.Body.Close()
			if err != nil || string(got) != origin.text {
				t.Fatalf("%s: %d bytes of %d, %v", test.name, len(got), len(origin.text), err)
			}
		}
		client.CloseIdleConnections()
	}
	if canSplice() && openPipes(t) <= before {
		t.Error("no pipe was used")
	}
}

// TestPipesAreClosed: clients that leave in the middle leave no pipe behind, and a node at rest has none.
func TestPipesAreClosed(t *testing.T) {
	origin := &patternOrigin{text: textFrom(7, 50<<20)}
	server := httptest.NewServer(origin)
	defer server.Close()
	before := openPipes(t)
	node, _ := startPasser(t, server.URL, nil)
	address := node.Addresses()[0].String()
	for round := range 20 {
		var clients []*net.TCPConn
		for range 5 {
			client := dial(t, address)
			fmt.Fprint(client, "GET /pipe/whole HTTP/1.1\r\nHost: a\r\n\r\n")
			io.CopyN(io.Discard, client, int64(1000+round*100_000))
			clients = append(clients, client)
		}
		for i, client := range clients {
			client.SetLinger(i%2 - 1)
			client.Close()
		}
	}
	eventually(t, "connections closed", func() bool { return node.sum().Connections == 0 })
	if n := openPipes(t) - before; n > pipesKept*pipeDescriptors {
		t.Errorf("%d descriptors of pipes are open", n)
	}
	node.options.memory.giveBack()
	eventually(t, "pipes closed", func() bool { return openPipes(t) <= before })
}

// TestMoreIsToldOnlyIfItIsThere: who sends from a pipe is told of more only if that has come already, since the last
// segment waits for it.
func TestMoreIsToldOnlyIfItIsThere(t *testing.T) {
	if !canSplice() {
		t.Skip("this kernel's splice(2) waits for sockets")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sender := dial(t, listener.Addr().String())
	defer sender.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	file, err := accepted.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var s kernelSockets
	from, to, errno := s.openPipe()
	if errno != 0 {
		t.Skip(errno)
	}
	defer s.closePipe(from, to)
	fd := int(file.Fd())
	s.neverWait(fd)
	if n, more, errno := s.spliceIn(fd, to, 4); n != 0 || more || errno != unix.EAGAIN {
		t.Errorf("nothing there: %d, %v, %v", n, more, errno)
	}
	fmt.Fprint(sender, "abcdefgh")
	eventually(t, "bytes to come", func() bool { return hasInput(fd) })
	for _, want := range []bool{true, false} {
		if n, more, errno := s.spliceIn(fd, to, 4); n != 4 || more != want || errno != 0 {
			t.Errorf("got %d, %v, %v", n, more, errno)
		}
	}
	sender.Close()
	eventually(t, "the end", func() bool {
		n, more, errno := s.spliceIn(fd, to, 4)
		return n == 0 && !more && errno == 0
	})
}
