package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nano/config"
)

// listen answers each connection with handle, until the test ends.
func listen(t *testing.T, handle func(connection net.Conn, reader *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				handle(connection, bufio.NewReader(connection))
			}()
		}
	}()
	return listener.Addr().String()
}

// serve answers requests until the client goes.
func serve(answer string) func(net.Conn, *bufio.Reader) {
	return func(connection net.Conn, reader *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(reader); err != nil {
				return
			}
			if _, err := io.WriteString(connection, answer); err != nil {
				return
			}
		}
	}
}

const helloAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-served: 1\r\n\r\nhello"

func helloLoad(address string) arrivals {
	return arrivals{
		Address: address, Connections: 4, Duration: 50 * time.Millisecond, Seed: 1,
		Next:  func(int) []byte { return tenant{Name: "hello"}.get("/") },
		Check: func(_ int, r reply) error { return r.expect("hello") },
	}
}

func TestArrivals(t *testing.T) {
	load := helloLoad(listen(t, serve(helloAnswer)))
	load.Rate = 1000
	result, err := load.run(context.Background())
	if err != nil || result.Failed != 0 || result.Count == 0 || result.Starts != result.Count {
		t.Fatalf("open: %+v, %v", result, err)
	}
	// The times of arrivals depend on the seed alone.
	again, err := load.run(context.Background())
	if err != nil || again.Count != result.Count {
		t.Errorf("%d requests, then %d with the same seed (%v)", result.Count, again.Count, err)
	}
	load.Rate = 0
	if result, err = load.run(context.Background()); err != nil || result.Failed != 0 || result.Count < load.Connections || result.Queued != 0 {
		t.Errorf("closed: %+v, %v", result, err)
	}
}

// TestArrivalsDoNotWaitForAnswers: a server that stalls is charged for the requests that came
// meanwhile. One connection is answered only after the time of all arrivals.
func TestArrivalsDoNotWaitForAnswers(t *testing.T) {
	var late time.Duration = 200 * time.Millisecond
	load := helloLoad(listen(t, func(connection net.Conn, reader *bufio.Reader) {
		time.Sleep(late)
		serve(helloAnswer)(connection, reader)
	}))
	load.Rate, load.Connections, load.Duration = 500, 1, late/2
	result, err := load.run(context.Background())
	if err != nil || result.Failed != 0 || result.Queued != result.Count-1 {
		t.Fatalf("%+v, %v", result, err)
	}
	if result.P50 < late/4 {
		t.Errorf("p50 %s of requests that all waited for a connection for %s or more", result.P50, late/2)
	}
}

func TestArrivalsCountFailures(t *testing.T) {
	var asked atomic.Int64
	for name, handle := range map[string]func(net.Conn, *bufio.Reader){
		"wrong body":   serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhallo"),
		"wrong status": serve("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nnano-error: cpu-limit\r\n\r\nhello"),
		"no answer": func(_ net.Conn, reader *bufio.Reader) {
			http.ReadRequest(reader)
		},
		"half an answer": func(connection net.Conn, reader *bufio.Reader) {
			http.ReadRequest(reader)
			io.WriteString(connection, helloAnswer[:len(helloAnswer)-2])
		},
		"two answers": serve(helloAnswer + helloAnswer),
		"no HTTP":     serve("220 smtp.example.com ESMTP\r\n\r\n"),
	} {
		load := helloLoad(listen(t, func(connection net.Conn, reader *bufio.Reader) {
			asked.Add(1)
			handle(connection, reader)
		}))
		load.Rate = 400
		result, err := load.run(context.Background())
		if err != nil || result.Failed == 0 || result.Failure == "" {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

func TestArrivalsReconnect(t *testing.T) {
	load := helloLoad(listen(t, func(connection net.Conn, reader *bufio.Reader) {
		http.ReadRequest(reader)
		io.WriteString(connection, strings.Replace(helloAnswer, "x-served", "connection: close\r\nx-served", 1))
	}))
	load.Rate = 400
	result, err := load.run(context.Background())
	if err != nil || result.Failed != 0 || result.Count <= load.Connections {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestParseReply(t *testing.T) {
	answer := "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\nNano-Error: cpu-limit\r\nConnection: close\r\nX-Served: 7\r\n\r\nnay"
	want := reply{Status: 503, Served: 7, Error: "cpu-limit", Body: "nay", Closes: true}
	for size := range answer {
		if _, complete, err := parseReply([]byte(answer[:size])); complete != 0 || err != nil {
			t.Fatalf("%d bytes: complete %d, %v", size, complete, err)
		}
	}
	if got, size, err := parseReply([]byte(answer + "HTTP/1.1")); got != want || size != len(answer) || err != nil {
		t.Errorf("got %+v, %d, %v", got, size, err)
	}
	for _, broken := range []string{"HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 2xx OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"} {
		if _, _, err := parseReply([]byte(broken)); err == nil {
			t.Errorf("%q was taken", broken)
		}
	}
}

func TestClientAndSleeper(t *testing.T) {
	for _, reconnect := range []bool{false, true} {
		var served atomic.Int64
		address := listen(t, func(connection net.Conn, reader *bufio.Reader) {
			for {
				if _, err := http.ReadRequest(reader); err != nil {
					return
				}
				fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-served: %d\r\n\r\nhello", served.Add(1))
			}
		})
		one := sleeper{address: address, requests: [][]byte{tenant{Name: "a"}.get("/"), tenant{Name: "b"}.get("/")}, want: "hello", reconnect: reconnect}
		cold, awake, err := one.run(context.Background(), 5)
		if err != nil || len(cold) != 1 || len(awake) != 4 {
			t.Errorf("%d cold, %d awake, %v", len(cold), len(awake), err)
		}
		one.want = "other"
		if _, _, err := one.run(context.Background(), 1); err == nil {
			t.Error("a wrong answer was taken")
		}
	}
}

// TestFleetConfiguration reads the configuration as NANO does.
func TestFleetConfiguration(t *testing.T) {
	folder := t.TempDir()
	tenants, err := distinct(3, folder)
	if err != nil {
		t.Fatal(err)
	}
	tenants[1].Isolation, tenants[1].Warmup, tenants[2].Limits = "request", coldWarmup, abuseLimits
	text := fleet{Memory: "1GiB", Idle: coldIdle, Tenants: tenants}.configuration(8080, folder)
	read, err := config.Parse(filepath.Join(folder, "nano.toml"), []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(read.Apps) != 3 || read.Server.Loops != 1 || read.Isolates.Idle != coldIdle || read.Isolates.Memory != 1<<30 {
		t.Errorf("%+v", read)
	}
	if read.Apps[0].Hosts[0] != tenants[0].host() || !read.Apps[1].IsolatePerRequest || read.Apps[1].Warmup != coldWarmup || read.Apps[2].Limits.CPU != 50*time.Millisecond {
		t.Errorf("%+v", read.Apps)
	}
}

func TestAccounts(t *testing.T) {
	log := `{"level":"INFO","msg":"account","app":"a","requests":3}
{"level":"INFO","msg":"accounts","apps":2,"requests":10,"warm":2,"resident":1024,"starts":{"snapshot":{"count":4,"total_ns":8000000,"max_ns":3000000}}}
{"level":"INFO","msg":"accounts","apps":2,`
	records := accountRecords(log)
	if len(records) != 1 {
		t.Fatalf("%d records: %q", len(records), records)
	}
	var read accounts
	if err := json.Unmarshal([]byte(records[0]), &read); err != nil || read.Requests != 10 || read.Warm != 2 || read.Resident != 1024 {
		t.Fatalf("%+v, %v", read, err)
	}
	earlier := accounts{Starts: map[string]starts{"snapshot": {Count: 2, Total: 2 * time.Millisecond}}}
	if got := describeStarts(read.since(earlier)); got != "2 snapshot (mean 3.00 ms)" {
		t.Errorf("%s", got)
	}
	if got := describeStarts(read.since(read)); got != "" {
		t.Errorf("nothing since: %s", got)
	}
}

func TestWorkerdServices(t *testing.T) {
	text := string(workerdServices([]string{"127.0.0.1:80", "unix:/run/1"}, []string{"a.js", "b.js"}))
	for _, part := range []string{
		`(name = "s1", worker = .w1),`, `(name = "h1", address = "unix:/run/1", http = (), service = "s1"),`,
		"const w1 :Workerd.Worker = (\n  modules = [ (name = \"app.js\", esModule = embed \"b.js\") ],",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
}

// TestZipf compares the frequencies of draws with the law.
func TestZipf(t *testing.T) {
	const draws = 200_000
	law := newZipf(1, 1000, 1)
	counts := make([]int, 1000)
	for range draws {
		counts[law.draw()]++
	}
	harmonic := law.cumulative[999]
	for _, rank := range []int{0, 1, 9, 99} {
		want := draws / harmonic / float64(rank+1)
		if got := float64(counts[rank]); got < 0.8*want || got > 1.2*want {
			t.Errorf("rank %d was drawn %.0f times, want about %.0f", rank, got, want)
		}
	}
}

func TestAbuseCountsAnswers(t *testing.T) {
	var asked atomic.Int64
	address := listen(t, func(connection net.Conn, reader *bufio.Reader) {
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			io.Copy(io.Discard, request.Body)
			switch number := asked.Add(1); {
			case number == 3:
				return // no answer
			case number%2 == 0:
				io.WriteString(connection, "HTTP/1.1 503 Service Unavailable\r\nnano-error: cpu-limit\r\ncontent-length: 0\r\n\r\n")
			default:
				io.WriteString(connection, "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
				return
			}
		}
	})
	got := abuse(address, abuseRequest("loop"), 20, time.Minute)
	closed := noAnswer + " (" + errClosed.Error() + ")"
	if got.Requests != 20 || got.Answers[closed] != 1 || got.Answers["503 cpu-limit"] != 10 || got.Answers["413"] != 9 {
		t.Errorf("%+v", got)
	}
	got.add(abuseCount{Requests: 2, Answers: map[string]int{"413": 2}})
	if got.Requests != 22 || got.String() != "413 × 11, 503 cpu-limit × 10, "+closed+" × 1" {
		t.Errorf("%d: %s", got.Requests, got)
	}
}

func TestJudgeFleets(t *testing.T) {
	ok := arrivalsResult{latencies: latencies{Count: 100, P99: time.Millisecond}}
	slow := arrivalsResult{latencies: latencies{Count: 100, P99: 3 * time.Millisecond}}
	found := &results{
		Cold: []coldResult{
			{App: "hello", latencies: latencies{P99: time.Millisecond}}, {App: "hello", latencies: latencies{P99: 3 * time.Millisecond}},
			{App: "api", latencies: latencies{P99: 9 * time.Millisecond}}, {App: "api", Warmup: true, latencies: latencies{P99: 2 * time.Millisecond}},
			{App: "store", Warmup: true, latencies: latencies{P99: time.Millisecond}}, {App: "store", Warmup: true, Failure: "503"},
		},
		Density: []densityResult{
			{Peer: "nano", Apps: 1, Requests: 1, memory: memory{RSS: 30 << 20}},
			{Peer: "nano", Apps: 1000, Requests: 1, memory: memory{RSS: 30<<20 + 999<<20}},
			{Peer: "nano", Apps: 1000, Requests: 100, memory: memory{RSS: 30<<20 + 2000<<20}},
			{Peer: "nano", Apps: 2000, Failure: "out of memory"},
		},
		Zipf:      &zipfResult{Apps: zipfApps, Saturation: ok, Half: arrivalsResult{latencies: latencies{Count: 10, P99: 11 * time.Millisecond}}},
		Neighbour: &neighbourResult{Abuses: []abuseResult{{Kind: "loop", Quiet: ok, Noisy: slow}, {Kind: "heap", Quiet: ok, Noisy: ok, Died: true}}},
		Isolation: []isolationResult{{App: "hello", Shared: latencies{P50: 1}, Request: latencies{P50: isolationMost + 1}}},
		Active:    &activeResult{One: peerResult{TotalMicros: 5}, Many: peerResult{TotalMicros: 7}},
		Reload:    &reloadResult{Reloads: reloadCount, Requests: 1e6, Failed: 1, Each: latencies{Count: reloadCount}, First: memory{RSS: 60 << 20}, Last: memory{RSS: 61 << 20}},
		Soak: &soakResult{Requests: 1e4, Samples: []soakSample{{Changes: 200, RSS: 60 << 20, Descriptors: 20, StateFiles: 30}, {}, {}, {},
			{Changes: soakCount, RSS: 66 << 20, Descriptors: 20, StateFiles: 30}}},
		Dev: []*devResult{
			{Peer: "nano", App: "hello.js", Save: latencies{Count: devJudged, P99: devHelloMost}},
			{Peer: "other", App: "hello.js", Save: latencies{Count: devJudged, P99: time.Hour}},
			{Peer: "nano", App: "hello.ts", Save: latencies{Count: devJudged, P99: devHelloMost + 1}},
			{Peer: "nano", App: "react/app.tsx", Skipped: "npm is missing"},
		},
		Observe: &observeResult{Quiet: peerResult{TotalMicros: 10}, Metrics: peerResult{TotalMicros: 10.1}, Logs: peerResult{TotalMicros: 10.4}},
	}
	verdicts := map[string]string{}
	for _, one := range found.judge() {
		verdicts[one.Text] = one.Verdict
	}
	for part, want := range map[string]string{
		"hello ≤ 2ms": missed, "200 KB": met, "1 MB bundle": missed, "warm hello app": met, "2,000 warm": missed,
		"no failed": met, "p99 ≤ 10ms": missed, "neighbour's": missed, "deaths": missed, "isolation =": met, "active apps": missed, "metrics and logs": missed,
		"reloads under load": missed, "reloads: memory grows": met,
		"kinds: 0 failed": met, "kinds: memory grows": missed,
		"dev, hello.js": met, "dev, hello.ts": missed, "dev, react": notMeasured,
	} {
		matches := 0
		for text, got := range verdicts {
			if strings.Contains(text, part) {
				matches++
				if got != want {
					t.Errorf("%s: %s, want %s", text, got, want)
				}
			}
		}
		if matches != 1 {
			t.Errorf("%q is in %d targets", part, matches)
		}
	}
	page := found.markdown("", "")
	for _, heading := range []string{"`coldstart`", "`density`", "`zipf`", "`neighbour`", "`isolation`", "`active1000`", "`reload`", "`dev`"} {
		if !strings.Contains(page, heading) {
			t.Errorf("no table %s", heading)
		}
	}
}
