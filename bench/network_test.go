package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testBench has peers that are never started.
func testBench(t *testing.T) *bench {
	t.Helper()
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{root: filepath.Dir(folder), folder: folder, temporary: t.TempDir(), nginx: &peer{Name: nginxName, Binary: "nginx"}}
	for _, name := range peerNames {
		b.peers = append(b.peers, peer{Name: name, Binary: name})
	}
	return b
}

func TestEverySiteHasAllThatItsPeersNeed(t *testing.T) {
	b := testBench(t)
	for _, name := range []string{"proxy", "fanout", "static", "transform", "bodies", "pending", "websocket"} {
		for _, p := range b.peersOf(scenario{Site: name}) {
			s := site{Name: name, Port: 8080, Origin: "127.0.0.1:9000", Folder: t.TempDir(), Public: "/public"}
			command, err := b.siteCommand(p, s)
			if err != nil || len(command) < 2 {
				t.Errorf("%s with %s: %q, %v", name, p.Name, command, err)
				continue
			}
			files, err := os.ReadDir(s.Folder)
			if err != nil || len(files) == 0 {
				t.Errorf("%s with %s: %d files, %v", name, p.Name, len(files), err)
			}
			for _, file := range files {
				text, err := os.ReadFile(filepath.Join(s.Folder, file.Name()))
				if err != nil || bytes.Contains(text, []byte("{{")) {
					t.Errorf("%s with %s: %s has something left to fill in (%v)", name, p.Name, file.Name(), err)
				}
			}
		}
	}
}

func TestPeersOf(t *testing.T) {
	b := testBench(t)
	names := func(s scenario) (names []string) {
		for _, p := range b.peersOf(s) {
			names = append(names, p.Name)
		}
		return names
	}
	if got := names(scenario{App: "plain.js"}); !slices.Equal(got, peerNames) {
		t.Errorf("an app: %v", got)
	}
	if got, want := names(scenario{Site: "static"}), []string{"nano", "deno", "bun", "workerd", "nginx"}; !slices.Equal(got, want) {
		t.Errorf("static files: %v", got)
	}
	b.nginx = nil
	if got := names(scenario{Site: "proxy"}); !slices.Equal(got, peerNames) {
		t.Errorf("a proxy without nginx: %v", got)
	}
}

func TestOriginHoldsAnswersUntilAllRequestsAreThere(t *testing.T) {
	server := httptest.NewServer(newOrigin())
	defer server.Close()
	ask := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/held/3", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && string(body) != "held" {
			t.Errorf("%d %q", response.StatusCode, body)
		}
		return err
	}
	for range 2 { // the second time, it counts anew
		answers := make(chan error, 3)
		for range 2 {
			go func() { answers <- ask(t.Context()) }()
		}
		select {
		case err := <-answers:
			t.Fatalf("an answer to two of three requests, %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		go func() { answers <- ask(t.Context()) }()
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	}
}

// transferServer answers as apps/bodies.js should, with the origin behind it.
func transferServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestTransfersVerifyEveryByte(t *testing.T) {
	o := newOrigin()
	address := transferServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch kind, size, _ := strings.Cut(r.URL.Path[1:], "/"); kind {
		case "produce":
			count, _ := strconv.Atoi(size)
			io.WriteString(w, strings.Repeat("x", count))
		case "count":
			r.URL.Path = "/upload"
			o.ServeHTTP(w, r)
		default:
			o.ServeHTTP(w, r)
		}
	}))
	for _, one := range gigaTransfers() {
		if err := one.verify(address); err != nil {
			t.Errorf("%s: %v", one.Name, err)
		}
	}
	if err := transformed.verify(address); err == nil {
		t.Error("a body that was not transformed passed")
	}
	if count, err := gigaTransfers()[0].run(address, 3*originChunk+1, nil); err != nil || count != 3*originChunk+1 {
		t.Errorf("%d bytes, %v", count, err)
	}
}

func TestTransfersNoticeWhatIsWrong(t *testing.T) {
	short := transferServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count, _ := io.Copy(io.Discard, r.Body)
		io.WriteString(w, strconv.FormatInt(count/2, 10))
	}))
	refused := transferServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	for _, one := range gigaTransfers() {
		for _, address := range []string{short, refused} {
			if err := one.verify(address); err == nil {
				t.Errorf("%s: passed", one.Name)
			}
		}
	}
}

func TestFrames(t *testing.T) {
	if got := serverFrame([]byte("Hello")); !bytes.Equal(got, []byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}) {
		t.Errorf("server: % x", got) // RFC 6455 section 5.7
	}
	want := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	if got := clientFrame([]byte("Hello")); !bytes.Equal(got, want) {
		t.Errorf("client: % x", got)
	}
}

// echoServer is a WebSocket server that knows only the message of the load, and changes it if told to.
func echoServer(t *testing.T, change func([]byte) []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	serve := func(connection net.Conn) {
		defer connection.Close()
		reader := bufio.NewReader(connection)
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		frame := make([]byte, 6+messageSize)
		for {
			if _, err := io.ReadFull(reader, frame); err != nil {
				return
			}
			text := make([]byte, messageSize)
			for index := range text {
				text[index] = frame[6+index] ^ frame[2+index%4]
			}
			if _, err := connection.Write(change(serverFrame(text))); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(connection)
		}
	}()
	return listener.Addr().String()
}

func TestEchoLoad(t *testing.T) {
	load, err := openEchoes(echoServer(t, func(frame []byte) []byte { return frame }), 5)
	if err != nil {
		t.Fatal(err)
	}
	defer load.close()
	for range 2 {
		load.samples = nil
		if err := load.run(t.Context(), time.Now()); err != nil || len(load.samples) != 5 || load.underWay != 0 {
			t.Errorf("%d echoes, %d under way, %v", len(load.samples), load.underWay, err)
		}
	}
}

func TestEchoLoadGoesOnUntilTheEnd(t *testing.T) {
	frames := 0
	load, err := openEchoes(echoServer(t, func(frame []byte) []byte {
		if frames++; frames > 50 {
			frame[0] = 0
		}
		return frame
	}), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer load.close()
	if err := load.run(t.Context(), time.Now().Add(time.Hour)); err == nil || len(load.samples) != 50 {
		t.Errorf("%d echoes, then %v, want 50 and the wrong frame", len(load.samples), err)
	}
}

func TestEchoLoadNoticesWhatIsWrong(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"another byte": func(frame []byte) []byte { frame[9] ^= 1; return frame },
		"too long":     func(frame []byte) []byte { return append(frame, 0x81) },
		"a fragment":   func(frame []byte) []byte { frame[0] = 0x01; return frame },
	} {
		load, err := openEchoes(echoServer(t, change), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := load.run(t.Context(), time.Now()); err == nil {
			t.Errorf("%s: passed", name)
		}
		load.close()
	}
}

func TestParsePeak(t *testing.T) {
	if got, err := parsePeak([]byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n")); err != nil || got != 2<<20 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parsePeak([]byte("Name:\tx\n")); err == nil {
		t.Error("no error without the line")
	}
}

func TestPeakFallsWhenReset(t *testing.T) {
	if err := resetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	before, err := readPeak(os.Getpid())
	if err != nil || before <= 0 {
		t.Fatal(before, err)
	}
	// Not of Go's heap, which may have resident memory to spare.
	large, err := unix.Mmap(-1, 0, 32<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for index := 0; index < len(large); index += 4096 {
		large[index] = 1
	}
	size := int64(len(large))
	if err := unix.Munmap(large); err != nil {
		t.Fatal(err)
	}
	after, err := readPeak(os.Getpid())
	if err != nil || after < before+size/2 {
		t.Errorf("%d before, %d after %d more, %v", before, after, size, err)
	}
	if err := resetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if now, err := readPeak(os.Getpid()); err != nil || now > after-size/2 {
		t.Errorf("%d after the reset, %d before, %v", now, after, err)
	}
}

func TestJudgeNetwork(t *testing.T) {
	round := []measure{{Requests: 1}}
	giga := []bodyMeasure{{Bytes: gigaSize, Before: 50 << 20, Peak: 57 << 20}}
	found := &results{
		Scenarios: []scenarioResult{{Name: "static1k", Peers: []peerResult{
			{Peer: nanoName, TotalMicros: 11, Rounds: round}, {Peer: "bun", TotalMicros: 20, Rounds: round}, {Peer: nginxName, TotalMicros: 10, Rounds: round}}}},
		WebSockets: []webSocketResult{
			{Peer: nanoName, Rounds: []webSocketMeasure{{Messages: 10, CPU: time.Second}},
				Idle: idleSockets{Count: idleWebSockets, Alive: idleWebSockets - 1, After: memory{RSS: 90 << 20}}},
			{Peer: "bun", Rounds: []webSocketMeasure{{Messages: 11, CPU: time.Second}}}},
		Giga:    []bodyResult{{Peer: nanoName, Transfer: "down", Rounds: giga}, {Peer: "bun", Transfer: "down", Failure: "gone"}},
		Pending: &pendingResult{Fetches: pendingFetches, Rounds: []pendingRound{{Answered: pendingFetches, Before: 50, After: 60}}},
	}
	verdicts := func() (all []string) {
		for _, one := range found.judge() {
			if slices.Contains([]string{"static1k", "static1m", "websocket", "giga", "pending10k"}, one.Part) {
				all = append(all, one.Verdict)
			}
		}
		return all
	}
	if got, want := verdicts(), []string{met, notMeasured, missed, missed, met, missed}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want) // one socket is gone; two of three pending rounds are missing
	}
	found.WebSockets[0].Idle.Alive++
	found.WebSockets[1].Failure = "gone"
	giga[0].Peak += 2 << 20
	found.Pending.Rounds = slices.Repeat(found.Pending.Rounds, pendingTries)
	if got, want := verdicts(), []string{met, notMeasured, notMeasured, met, missed, met}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, ok := found.Scenarios[0].compare(totalOf); !ok || got.BestPeer != "bun" {
		t.Errorf("nginx is a peer of the ratios: %+v", got)
	}
}
