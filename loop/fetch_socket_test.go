package loop

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nano/egress"
)

// startPasser starts a node whose app passes all requests on to an origin on this machine.
func startPasser(t *testing.T, origin string, change func(o *NodeOptions)) (node *Node, url string) {
	t.Helper()
	rules, err := egress.Parse([]string{"127.0.0.0/8"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	node, address := startNode(t, func(o *NodeOptions) {
		o.Options.Apps = []App{{Name: "demo", Egress: rules}}
		o.Options.NewShard = shardOf(func(int) (Worker, error) {
			p := &passer{origin: origin}
			w := newFakeWorker("demo", p.handle)
			w.onNews = p.onNews
			return w, nil
		})
		if change != nil {
			change(o)
		}
	})
	return node, "http://" + address + "/pipe"
}

// newOrigin is an origin of the standard library's, with one way to answer for each path.
func newOrigin(t *testing.T) *httptest.Server {
	t.Helper()
	text := randomText(2 << 20)
	mux := http.NewServeMux()
	mux.HandleFunc("/pipe/small", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "small") })
	mux.HandleFunc("/pipe/large", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
	mux.HandleFunc("/pipe/length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		io.WriteString(w, text)
	})
	mux.HandleFunc("/pipe/flush", func(w http.ResponseWriter, r *http.Request) {
		for i := range 100 {
			io.WriteString(w, text[i*100:][:100])
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/pipe/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, text)
		z.Close()
	})
	mux.HandleFunc("/pipe/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "small", http.StatusFound) })
	mux.HandleFunc("/pipe/empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/pipe/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// TestFetchOverSockets passes requests to the standard library's server, over and over on kept connections.
func TestFetchOverSockets(t *testing.T) {
	_, url := startPasser(t, newOrigin(t).URL, nil)
	client := &http.Client{Timeout: patience(t)}
	defer client.CloseIdleConnections()
	text := randomText(2 << 20)
	for range 3 {
		for _, test := range []struct{ method, path, body, want string }{
			{"GET", "/small", "", "small"},
			{"HEAD", "/small", "", ""},
			{"GET", "/large", "", text},
			{"GET", "/length", "", text},
			{"HEAD", "/length", "", ""},
			{"GET", "/flush", "", text[:10000]},
			{"GET", "/gzip", "", text},
			{"GET", "/redirect", "", "small"},
			{"GET", "/empty", "", ""},
			{"POST", "/echo", "hello", "hello"},
			{"POST", "/echo", text, text},
		} {
			request, err := http.NewRequest(test.method, url+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.body == "" {
				request.Body = nil
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatalf("%s %s: %v", test.method, test.path, err)
			}
			got, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || string(got) != test.want || response.StatusCode/100 != 2 {
				t.Errorf("%s %s: status %d, %d bytes, want %d: %v %.100s", test.method, test.path, response.StatusCode, len(got), len(test.want), err, got)
			}
		}
	}
}

// TestFetchFromBadOrigins: what raw sockets do wrong reaches the client as a 502 with the reason, or, when the
// answer had begun, as a connection that visibly broke.
func TestFetchFromBadOrigins(t *testing.T) {
	var act atomic.Value // func(net.Conn)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			connection.Read(buffer)
			act.Load().(func(net.Conn))(connection)
		}
	}()
	_, url := startPasser(t, "http://"+listener.Addr().String(), nil)
	_, impatient := startPasser(t, "http://"+listener.Addr().String(), func(o *NodeOptions) {
		o.Options.FetchHead, o.Options.FetchIdle = 100*time.Millisecond, 100*time.Millisecond
	})
	reset := func(c net.Conn) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	say := func(text string, then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, text)
			then(c)
		}
	}
	closes := func(c net.Conn) { c.Close() }
	stays := func(c net.Conn) { t.Cleanup(func() { c.Close() }) }
	for _, test := range []struct {
		name  string
		act   func(net.Conn)
		text  string // of a 502; "": the body breaks
		whole string // the body is this, and whole
	}{
		{"closes", closes, "without an answer", ""},
		{"resets", reset, "the origin ", ""},
		{"closes in the head", say("HTTP/1.1 200 OK\r\nConte", closes), "before the whole response head", ""},
		{"not HTTP", say("220 smtp.example ESMTP\r\n", stays), "is not HTTP", ""},
		{"lies about its length", say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", closes), "", ""},
		{"resets in the body", say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", reset), "", ""},
		{"bad chunk", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", stays), "", ""},
		{"to the end", say("HTTP/1.0 200 OK\r\n\r\nhello", closes), "", "hello"},
	} {
		act.Store(test.act)
		response, err := http.Get(url)
		if err != nil {
			if test.text == "" && test.whole == "" {
				continue // it broke with the head
			}
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		switch {
		case test.whole != "":
			if err != nil || string(body) != test.whole {
				t.Errorf("%s: %q, %v", test.name, body, err)
			}
		case test.text == "":
			if err == nil {
				t.Errorf("%s: the client got %q as if it were whole", test.name, body)
			}
		case response.StatusCode != 502 || !strings.Contains(string(body), test.text):
			t.Errorf("%s: status %d, %q, %v", test.name, response.StatusCode, body, err)
		}
	}
	// What comes too late, or never. A busy machine may be late itself, so either time-out will do.
	for _, late := range []func(net.Conn){stays, say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", stays)} {
		act.Store(late)
		response, err := http.Get(impatient)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil && (response.StatusCode != 502 || !strings.Contains(string(body), "did not answer within 100ms")) {
			t.Errorf("status %d, %q", response.StatusCode, body)
		}
	}
}

// TestFetchManyPending: fetches to an origin that answers none before all have come take no goroutine each,
// and all are answered.
func TestFetchManyPending(t *testing.T) {
	const many = 500
	var pending sync.WaitGroup
	pending.Add(many)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pending.Done()
		pending.Wait()
		io.WriteString(w, "slow")
	}))
	defer origin.Close()
	_, url := startPasser(t, origin.URL, nil)
	client := &http.Client{Timeout: patience(t)}
	defer client.CloseIdleConnections()
	var running sync.WaitGroup
	ours := make(chan int, 1)
	go func() {
		pending.Wait()
		ours <- goroutinesOfLoops()
	}()
	before := goroutinesOfLoops()
	for range many {
		running.Go(func() {
			response, err := client.Get(url)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); string(body) != "slow" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
	running.Wait()
	if during := <-ours; during > before+5 { // a few come and go with nodes
		t.Errorf("%d goroutines of loops for %d fetches, %d before", during, many, before)
	}
}

// goroutinesOfLoops counts the goroutines that run code of this package other than its tests.
func goroutinesOfLoops() (n int) {
	buffer := make([]byte, 8<<20)
	for _, stack := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if strings.Contains(stack, "nano/loop.(*") && !strings.Contains(stack, "_test.go") {
			n++
		}
	}
	return n
}
