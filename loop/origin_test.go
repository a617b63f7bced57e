package loop

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring/fakering"
)

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// withOriginLimits changes the bounds for a test.
func withOriginLimits(t *testing.T, connections, idle int) {
	before, idleBefore := originConnectionsMax, originIdleMax
	t.Cleanup(func() { originConnectionsMax, originIdleMax = before, idleBefore })
	originConnectionsMax, originIdleMax = connections, idle
}

func TestOriginIdleTime(t *testing.T) {
	for seconds, want := range map[int32]time.Duration{
		-1: 4 * time.Second, 0: 0, 1: 0, 2: time.Second, 5: 4 * time.Second, 9: 4 * time.Second, 10: 9 * time.Second,
		60: 59 * time.Second, 75: 59 * time.Second, 1<<31 - 1: 599 * time.Second,
	} {
		if got := originIdleTime(seconds); got != want {
			t.Errorf("%d s: %v, want %v", seconds, got, want)
		}
	}
}

// TestOriginQueue: requests beyond the bound wait, and are served in their order as connections become free,
// however they become so.
func TestOriginQueue(t *testing.T) {
	withOriginLimits(t, 2, 10)
	f := newFetcher(t, fakering.Config{}, nil)
	var all []*result
	for i := range 8 {
		all = append(all, f.fetch("GET "+originURL+"/"+string(rune('a'+i)), nil))
	}
	if len(f.peers) != 2 {
		t.Fatalf("%d connections", len(f.peers))
	}
	expect := func(peer int, path string) {
		t.Helper()
		if got := string(f.peers[peer].Take()); !strings.HasPrefix(got, "GET /"+path+" ") {
			t.Errorf("connection %d got %.20q, want /%s", peer, got, path)
		}
	}
	expect(0, "a")
	expect(1, "b")
	f.peers[1].WriteString(okResponse)
	f.settle()
	expect(1, "c")
	f.peers[0].Close() // without an answer
	f.settle()
	expect(2, "d")
	// One of those that wait is cancelled, and one that is under way.
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: 5, Flags: isolates.CancelAll})
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: 3, Flags: isolates.CancelAll})
	f.settle()
	expect(3, "f")
	f.peers[2].WriteString(okResponse)
	f.peers[3].WriteString(strings.Replace(okResponse, "\r\n", "\r\nConnection: close\r\n", 1))
	f.settle()
	expect(2, "g")
	expect(4, "h")
	f.peers[2].WriteString(okResponse)
	f.peers[4].WriteString(okResponse)
	f.settle()
	for i, r := range all {
		switch i {
		case 0:
			if !strings.Contains(r.faultText, "without an answer") {
				t.Errorf("fetch 0: %q", r.faultText)
			}
		case 2, 4:
			if r.ended {
				t.Errorf("fetch %d was cancelled, and heard of its end", i)
			}
		default:
			if r.body != "ok" {
				t.Errorf("fetch %d: %q, %q", i, r.body, r.faultText)
			}
		}
	}
	f.checkAtRest()
}

// TestOriginIdleBound: the connections that were idle for longest make way.
func TestOriginIdleBound(t *testing.T) {
	withOriginLimits(t, 100, 3)
	f := newFetcher(t, fakering.Config{}, nil)
	for range 5 {
		f.fetch("GET "+originURL+"/", nil)
	}
	for _, peer := range f.peers {
		peer.WriteString(okResponse)
		f.settle()
	}
	for i, peer := range f.peers {
		if peer.Closed() != (i < 2) {
			t.Errorf("connection %d closed: %v", i, peer.Closed())
		}
	}
	f.checkAtRest()
}

// TestOriginUnreachable: all that wait for an origin that cannot be reached are told at once.
func TestOriginUnreachable(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	remote := f.ring.Remote(netip.MustParseAddrPort("192.0.2.90:80"), func(p *fakering.Peer) { f.peers = append(f.peers, p) })
	remote.Fail(unix.EHOSTUNREACH)
	var all []*result
	for range 50 {
		all = append(all, f.open("GET http://192.0.2.90/", nil))
	}
	f.run(time.Second)
	for i, r := range all {
		if !strings.Contains(r.faultText, "no route to host") {
			t.Fatalf("fetch %d: %q", i, r.faultText)
		}
	}
	f.checkAtRest()
	if len(f.loop.origins.byKey) != 0 {
		t.Error("the origin was not forgotten")
	}
	// It comes back.
	remote.Fail(0)
	r := f.fetch("GET http://192.0.2.90/", nil)
	f.answer(okResponse)
	if r.body != "ok" {
		t.Errorf("got %q: %s", r.body, r.faultText)
	}
}

// TestOriginExhausted: without descriptors, requests wait for connections that are open, and fail if there
// is none.
func TestOriginExhausted(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	f.sockets.openFails = 1
	r := f.fetch("GET "+originURL+"/", nil)
	if !strings.Contains(r.faultText, unix.EMFILE.Error()) {
		t.Errorf("ended %v: %q", r.ended, r.faultText)
	}
	first := f.fetch("GET "+originURL+"/1", nil)
	f.sockets.openFails = 1
	second := f.fetch("GET "+originURL+"/2", nil)
	if second.ended || len(f.peers) != 1 {
		t.Fatalf("%d connections, ended %v: %s", len(f.peers), second.ended, second.faultText)
	}
	f.answer(okResponse)
	f.answer(okResponse)
	if first.body != "ok" || second.body != "ok" {
		t.Errorf("got %q and %q", first.body, second.body)
	}
	f.checkAtRest()
}

// TestOriginsOfApps: connections are for requests of one app, scheme, host and port.
func TestOriginsOfApps(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	l := f.loop
	at := func(url string) *origin {
		var to location
		if why := to.parse([]byte(url)); why != "" {
			t.Fatal(why)
		}
		return l.originOf(l.apps[0], &to, false)
	}
	a := at("http://a/")
	if at("http://a/x?y#z") != a || at("http://a:80/") != a {
		t.Error("one origin is two")
	}
	for _, other := range []string{"https://a/", "http://a:81/", "http://b/", "https://a:80/"} {
		if at(other) == a {
			t.Errorf("%s shares connections with http://a/", other)
		}
	}
	var to location
	to.parse([]byte("http://a/"))
	if l.originOf(new(appWorker), &to, false) == a {
		t.Error("another app shares connections")
	}
	clear(l.origins.byKey)
}

// TestHandlesMax: an isolate cannot have any number of I/O objects.
func TestHandlesMax(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	app := f.loop.apps[0]
	app.handlesOpen += handlesMax // as if it had them
	r := f.fetch("GET "+originURL+"/", nil)
	app.handlesOpen -= handlesMax
	if !r.ended || r.fault != isolates.FaultLimit || len(f.peers) != 0 {
		t.Errorf("ended %v, fault %d: %s", r.ended, r.fault, r.faultText)
	}
	f.checkAtRest()
}
