package loop

import (
	"testing"

	"nano/http1"
	"nano/isolates"
	"nano/uring/fakering"
)

// A testUpgrader takes a connection over, and what it is told.
type testUpgrader struct {
	plug
	handle  *handle
	handles bool // it deals with other outcomes itself
	rest    string
	status  int
	fault   string
}

func (u *testUpgrader) switched(t transport, head []byte, parsed *http1.Head, rest []byte) {
	u.status, u.rest = int(parsed.Status), string(rest)
	u.endpoint = t.(*endpoint)
	u.endpoint.handler = &u.plug
	u.handle.release()
}

func (u *testUpgrader) refused(status int, why *fault) (handled bool) {
	u.status = status
	if why != nil {
		u.fault = why.text
	}
	if u.handles {
		u.handle.release()
	}
	return u.handles
}

// TestFetchUpgrade: a connection that goes over to another protocol is given away; other answers are those of
// a fetch like any other, unless the upgrader takes them on itself.
func TestFetchUpgrade(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		handles      bool
		status       int  // that the upgrader hears
		answered     bool // the isolate hears of a response
	}{
		{"switched", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\n\r\nfirst", false, 101, false},
		{"refused", okResponse, false, 200, true},
		{"refused and handled", okResponse, true, 200, false},
		{"closed and handled", "", true, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			f.number++
			r := &result{}
			f.results[f.number] = r
			u := &testUpgrader{handles: test.handles}
			record := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatFetch, Handle: f.number, Target: []byte("GET " + originURL + "/")}
			u.handle = f.loop.openHandle(f.loop.apps[0], f.number, nil)
			request := f.loop.newFetch(u.handle, &record)
			request.upgrade, request.protocol = u, "test"
			u.handle.object = request
			request.start()
			f.settle()
			want := "GET / HTTP/1.1\r\nhost: 192.0.2.80\r\naccept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\naccept-encoding: gzip, br, zstd\r\ncdn-loop: nano; hops=1\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n"
			if got := string(f.origin().Take()); got != want {
				t.Errorf("the origin got %q", got)
			}
			if test.answer == "" {
				f.origin().Close()
				f.settle()
			} else {
				f.answer(test.answer)
			}
			if u.status != test.status || (r.answers == 1) != test.answered || (u.fault != "") != (test.answer == "") {
				t.Errorf("status %d, %d answers, fault %q", u.status, r.answers, u.fault)
			}
			if test.status == 101 {
				f.answer(" second")
				u.endpoint.write([]byte("reply"))
				f.settle()
				if got := string(f.origin().Take()); u.rest != "first" || string(u.got) != " second" || got != "reply" {
					t.Errorf("the upgrader got %q and %q, the origin %q", u.rest, u.got, got)
				}
				u.close()
				f.settle()
			}
			f.checkAtRest()
		})
	}
}
