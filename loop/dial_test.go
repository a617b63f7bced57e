package loop

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"nano/dns"
	"nano/egress"
	"nano/isolates"
	"nano/uring/fakering"
)

// A dialed is a dialer that keeps what it is told.
type dialed struct {
	plug  *plug
	fault *fault
	told  int
}

func (c *dialed) dialed(e *endpoint) {
	c.told++
	c.plug = &plug{endpoint: e, isConnected: true}
	e.handler = c.plug
}

func (c *dialed) dialFailed(f *fault) {
	c.told++
	c.fault = f
}

// outcome is the address that was reached, or the error.
func (c *dialed) outcome() string {
	switch {
	case c.told > 1:
		return "told twice"
	case c.fault != nil:
		return fmt.Sprintf("%d %s", c.fault.kind, c.fault.text)
	case c.plug == nil:
		return "nothing"
	case c.plug.endpoint == nil:
		return "broken"
	}
	return c.plug.endpoint.remote.String()
}

func (c *dialed) close() {
	if c.plug != nil && c.plug.endpoint != nil {
		c.plug.close()
	}
}

// An answerer is what a name server says: addresses by name, or a code.
type answerer map[string][]string

// answer makes the message that answers a question. nil: none.
func (a answerer) answer(t testing.TB, question []byte, truncate bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		t.Errorf("question %x: %v", question, err)
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	texts, ok := a[name]
	if !ok {
		reply.RCode = dnsmessage.RCodeNameError
	}
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET} // good for no time at all
	for _, text := range texts {
		address, err := netip.ParseAddr(text)
		switch {
		case text == "silence":
			return nil
		case text == "servfail":
			reply.RCode = dnsmessage.RCodeServerFailure
		case text == "wrong id":
			reply.ID++
		case text == "truncated":
			reply.Truncated = truncate
		case err != nil:
			body := &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(text + ".")}
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: body})
		case address.Is4() && q.Type == dnsmessage.TypeA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: address.As4()}})
		case address.Is6() && q.Type == dnsmessage.TypeAAAA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}})
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		t.Error(err)
	}
	return packed
}

var nameServer = netip.MustParseAddrPort("192.0.2.53:53")

// newDialWorld makes a world with a name server. Its answers can be changed while it runs.
func newDialWorld(t testing.TB, config fakering.Config, answers answerer) *world {
	var w *world
	config.Idle = func() bool { return w != nil && w.workNames() }
	w = newWorld(t, config, func(o *Options) {
		o.names = fixedNames(&dns.Config{
			Servers: []netip.AddrPort{nameServer}, Ndots: 1, Timeout: 2 * time.Second, Attempts: 2,
			Hosts: dns.ParseHosts("10.0.0.5 db.internal\n127.0.0.1 local.test\n"),
		})
		o.DrainTimeout = time.Minute
	})
	w.names.answers = answers
	w.ring.RemoteDatagrams(nameServer, func(p *fakering.Peer) { w.names.peers = append(w.names.peers, p) })
	w.ring.Remote(nameServer, func(p *fakering.Peer) { w.names.streams = append(w.names.streams, p) })
	return w
}

// fakeNames is the name server of a world.
type fakeNames struct {
	answers        answerer
	peers, streams []*fakering.Peer
	onQuestion     func()
}

// fixedNames is a configuration that does not change.
func fixedNames(config *dns.Config) *nameFiles {
	f := &nameFiles{isFixed: true}
	f.config.Store(config)
	return f
}

// workNames answers questions that have come.
func (w *world) workNames() (something bool) {
	isClosed := func(p *fakering.Peer) bool { return p.Closed() }
	n := &w.names
	n.peers = slices.DeleteFunc(n.peers, isClosed)
	n.streams = slices.DeleteFunc(n.streams, isClosed)
	for _, peer := range n.peers {
		for _, question := range peer.TakePackets() {
			something = true
			if n.onQuestion != nil {
				n.onQuestion()
			}
			if answer := n.answers.answer(w.t, question, true); answer != nil {
				peer.Write(answer)
			}
		}
	}
	for _, peer := range n.streams {
		if question := peer.Take(); len(question) > 2 && !peer.Broken() {
			something = true
			answer := n.answers.answer(w.t, question[2:], false)
			peer.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
		}
	}
	return something
}

// dial dials on behalf of an app.
func (w *world) dial(host string, port uint16, rules *egress.Rules) (*dialed, *dialing) {
	c := &dialed{}
	d := w.loop.dial(target{host: host, port: port, app: w.loop.apps[0]}, rules, c)
	if c.told != 0 {
		w.t.Error("told from within dial")
	}
	return c, d
}

// checkNothingLeft checks that no dial has left anything.
func (w *world) checkNothingLeft() {
	w.t.Helper()
	l := w.loop
	if l.endpoints.open != 0 || len(l.dialsFailed) != 0 {
		w.t.Errorf("%d endpoints, %d failures left", l.endpoints.open, len(l.dialsFailed))
	}
	if l.names != nil && l.names.Pending() != 0 {
		w.t.Errorf("%d lookups left", l.names.Pending())
	}
	for _, list := range l.timeouts.others {
		if list.first != nil {
			w.t.Errorf("a time-out of %v is left", time.Duration(list.duration))
		}
	}
}

func rulesOf(t testing.TB, allow ...string) *egress.Rules {
	t.Helper()
	rules, err := egress.Parse(allow, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

const (
	network   = isolates.FaultNetwork
	timeout   = isolates.FaultTimeout
	forbidden = isolates.FaultEgress
	notFound  = isolates.FaultRefused
)

func TestDial(t *testing.T) {
	answers := answerer{
		"four.example": {"1.1.1.1"}, "six.example": {"2606:4700::1"}, "both.example": {"1.1.1.1", "2606:4700::1"},
		"private.example": {"10.0.0.7"}, "mapped.example": {"::ffff:10.0.0.7"}, "mixed.example": {"10.0.0.7", "1.1.1.1"},
		"metadata.example": {"169.254.169.254"}, "dead.example": {"1.1.1.2"}, "deadfirst.example": {"2606:4700::2", "1.1.1.2", "1.1.1.1"},
		"servfail.example": {"servfail"}, "silent.example": {"silence"}, "large.example": {"truncated", "1.1.1.1"},
		"loop.example": {"loop.example"}, "forged.example": {"wrong id", "1.1.1.1"},
	}
	everything := []string{"*", "10.0.0.0/8", "127.0.0.0/8", "::1"}
	for _, row := range []struct {
		host  string
		allow []string
		want  string
	}{
		{"1.1.1.1", nil, "1.1.1.1:80"},
		{"2606:4700::1", nil, "[2606:4700::1]:80"},
		{"[2606:4700::1]", nil, "[2606:4700::1]:80"},
		{"::ffff:1.1.1.1", nil, "1.1.1.1:80"},
		{"10.0.0.5", nil, fmt.Sprint(forbidden, " egress: 10.0.0.5:80 is not allowed for app demo")},
		{"::ffff:10.0.0.5", nil, fmt.Sprint(forbidden, " egress: 10.0.0.5:80 is not allowed for app demo")},
		{"::1", nil, fmt.Sprint(forbidden, " egress: [::1]:80 is not allowed for app demo")},
		{"10.0.0.5", everything, "10.0.0.5:80"},
		{"1.1.1.2", nil, fmt.Sprint(network, " connect: connection refused (1.1.1.2:80)")},
		{"fe80::1%eth0", nil, fmt.Sprint(notFound, " connect: addresses with a zone cannot be connected to")},
		{"127.1", everything, fmt.Sprint(notFound, " getaddrinfo: not a host name (127.1)")},
		{"0x7f000001", everything, fmt.Sprint(notFound, " getaddrinfo: not a host name (0x7f000001)")},
		{"0177.0.0.1", everything, fmt.Sprint(notFound, " getaddrinfo: not a host name (0177.0.0.1)")},
		{"", nil, fmt.Sprint(notFound, " getaddrinfo: not a host name ()")},
		{"a b", nil, fmt.Sprint(notFound, " getaddrinfo: not a host name (a b)")},
		{"localhost", nil, fmt.Sprint(forbidden, " egress: 127.0.0.1:80 (localhost) is not allowed for app demo")},
		{"localhost", everything, "[::1]:80"},
		{"x.localhost", []string{"127.0.0.1"}, "127.0.0.1:80"},
		{"db.internal", nil, fmt.Sprint(forbidden, " egress: 10.0.0.5:80 (db.internal) is not allowed for app demo")},
		{"db.internal", []string{"db.internal:80"}, "10.0.0.5:80"},
		{"db.internal", []string{"db.internal:81"}, fmt.Sprint(forbidden, " egress: db.internal:80 is not allowed for app demo")},
		{"local.test", []string{"local.test"}, "127.0.0.1:80"},
		{"four.example", nil, "1.1.1.1:80"},
		{"FOUR.example.", nil, "1.1.1.1:80"},
		{"six.example", nil, "[2606:4700::1]:80"},
		{"both.example", nil, "[2606:4700::1]:80"},
		{"private.example", nil, fmt.Sprint(forbidden, " egress: 10.0.0.7:80 (private.example) is not allowed for app demo")},
		{"private.example", []string{"private.example"}, fmt.Sprint(network, " connect: connection refused (10.0.0.7:80)")},
		{"mapped.example", nil, fmt.Sprint(forbidden, " egress: 10.0.0.7:80 (mapped.example) is not allowed for app demo")},
		{"mixed.example", nil, "1.1.1.1:80"},
		{"metadata.example", []string{"*", "metadata.example"}, fmt.Sprint(forbidden, " egress: 169.254.169.254:80 (metadata.example) is not allowed for app demo: a rule has to name the address")},
		{"dead.example", nil, fmt.Sprint(network, " connect: connection refused (1.1.1.2:80)")},
		{"deadfirst.example", nil, "1.1.1.1:80"},
		{"nobody.example", nil, fmt.Sprint(notFound, " getaddrinfo: host not found (nobody.example)")},
		{"servfail.example", nil, fmt.Sprint(network, " getaddrinfo: the name servers could not answer (servfail.example)")},
		{"silent.example", nil, fmt.Sprint(timeout, " getaddrinfo: the name servers did not answer (silent.example)")},
		{"large.example", nil, "1.1.1.1:80"},
		{"loop.example", nil, fmt.Sprint(notFound, " getaddrinfo: its aliases lead nowhere (loop.example)")},
		{"forged.example", nil, fmt.Sprint(timeout, " getaddrinfo: the name servers did not answer (forged.example)")},
	} {
		t.Run(row.host, func(t *testing.T) {
			w := newDialWorld(t, fakering.Config{}, answers)
			for _, host := range []string{"1.1.1.1", "2606:4700::1", "10.0.0.5", "::1", "127.0.0.1"} {
				w.ring.Remote(netip.AddrPortFrom(netip.MustParseAddr(host), 80), nil)
			}
			c, _ := w.dial(row.host, 80, rulesOf(t, row.allow...))
			w.run(5 * time.Second)
			if got := c.outcome(); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			c.close()
			w.settle()
			w.checkNothingLeft()
		})
	}
}

func TestDialNeedsAPort(t *testing.T) {
	w := newDialWorld(t, fakering.Config{}, nil)
	c, _ := w.dial("1.1.1.1", 0, nil)
	w.settle()
	if got := c.outcome(); got != fmt.Sprint(notFound, " connect: there is no port 0") {
		t.Errorf("got %s", got)
	}
	w.checkNothingLeft()
}

// TestRebinding: a name that is public at first and private the next time is refused then.
func TestRebinding(t *testing.T) {
	answers := answerer{"rebound.example": {"1.1.1.1"}}
	w := newDialWorld(t, fakering.Config{}, answers)
	w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil)
	inside := w.ring.Remote(netip.MustParseAddrPort("127.0.0.1:80"), nil)
	first, _ := w.dial("rebound.example", 80, nil)
	w.settle()
	answers["rebound.example"] = []string{"127.0.0.1"}
	second, _ := w.dial("rebound.example", 80, nil)
	w.settle()
	if got := first.outcome(); got != "1.1.1.1:80" {
		t.Errorf("first: %s", got)
	}
	if got := second.outcome(); got != fmt.Sprint(forbidden, " egress: 127.0.0.1:80 (rebound.example) is not allowed for app demo") {
		t.Errorf("second: %s", got)
	}
	if n := inside.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
	first.close()
	w.settle()
	w.checkNothingLeft()
}

// TestHappyEyeballs: an address that does not answer costs a quarter of a second, one that refuses
// nothing, and IPv4 waits for IPv6 a moment only.
func TestHappyEyeballs(t *testing.T) {
	six, four := netip.MustParseAddrPort("[2606:4700::1]:80"), netip.MustParseAddrPort("1.1.1.1:80")
	answers := answerer{"both.example": {"1.1.1.1", "2606:4700::1"}}
	w := newDialWorld(t, fakering.Config{}, answers)
	remote6, remote4 := w.ring.Remote(six, nil), w.ring.Remote(four, nil)
	remote6.Silence(true)
	c, _ := w.dial("both.example", 80, nil)
	w.run(attemptDelay - 10*time.Millisecond)
	if remote4.Connections() != 0 || c.told != 0 {
		t.Fatalf("IPv4 was tried at once: %s", c.outcome())
	}
	w.run(20 * time.Millisecond)
	if c.outcome() != four.String() || w.loop.endpoints.open != 1 {
		t.Errorf("got %s, %d endpoints", c.outcome(), w.loop.endpoints.open)
	}
	c.close()
	remote6.Silence(false)
	remote6.Fail(unix.EHOSTUNREACH)
	c, _ = w.dial("both.example", 80, nil)
	w.run(20 * time.Millisecond)
	if c.outcome() != four.String() {
		t.Errorf("after a refusal: %s", c.outcome())
	}
	c.close()
	// There is no way to any IPv6 address: for a while IPv4 comes first.
	remote6.Fail(unix.ENETUNREACH)
	c, _ = w.dial("both.example", 80, nil)
	w.run(20 * time.Millisecond)
	c.close()
	remote6.Fail(0)
	c, _ = w.dial("both.example", 80, nil)
	w.run(20 * time.Millisecond)
	if c.outcome() != four.String() {
		t.Errorf("without IPv6: %s", c.outcome())
	}
	c.close()
	w.run(withoutIPv6)
	c, _ = w.dial("both.example", 80, nil)
	w.run(20 * time.Millisecond)
	if c.outcome() != six.String() {
		t.Errorf("later: %s", c.outcome())
	}
	c.close()
	w.settle()
	w.checkNothingLeft()
}

// TestResolutionDelay: the answer about IPv6 does not come.
func TestResolutionDelay(t *testing.T) {
	w := newDialWorld(t, fakering.Config{}, nil)
	var peers []*fakering.Peer
	w.ring.RemoteDatagrams(nameServer, func(p *fakering.Peer) { peers = append(peers, p) })
	remote := w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil)
	c, _ := w.dial("both.example", 80, nil)
	w.settle()
	for _, peer := range peers {
		for _, question := range peer.TakePackets() {
			var m dnsmessage.Message
			if err := m.Unpack(question); err != nil {
				t.Fatal(err)
			}
			if m.Questions[0].Type == dnsmessage.TypeA {
				peer.Write(answerer{"both.example": {"1.1.1.1"}}.answer(t, question, false))
			}
		}
	}
	w.run(resolutionDelay - 10*time.Millisecond)
	if remote.Connections() != 0 {
		t.Error("it did not wait")
	}
	w.run(20 * time.Millisecond)
	if got := c.outcome(); got != "1.1.1.1:80" {
		t.Errorf("got %s", got)
	}
	c.close()
	w.settle()
	w.checkNothingLeft()
}

func TestDialTimesOut(t *testing.T) {
	answers := answerer{"dark.example": {"1.1.1.1", "1.1.1.2", "2606:4700::1"}}
	w := newDialWorld(t, fakering.Config{}, answers)
	for _, host := range []string{"1.1.1.1", "1.1.1.2", "2606:4700::1"} {
		w.ring.Remote(netip.AddrPortFrom(netip.MustParseAddr(host), 80), nil).Silence(true)
	}
	c, _ := w.dial("dark.example", 80, nil)
	w.run(connectLimit - time.Second)
	if c.told != 0 || w.loop.endpoints.open != 3 {
		t.Fatalf("too early: %s, %d endpoints", c.outcome(), w.loop.endpoints.open)
	}
	w.run(2 * time.Second)
	if got := c.outcome(); got != fmt.Sprint(timeout, " connect: timed out ([2606:4700::1]:80)") {
		t.Errorf("got %s", got)
	}
	w.checkNothingLeft()
}

func TestDescriptorsAreExhausted(t *testing.T) {
	answers := answerer{"both.example": {"1.1.1.1", "2606:4700::1"}}
	for n, want := range map[int]string{
		1: "1.1.1.1:80", // IPv6 cannot be asked for
		9: fmt.Sprint(notFound, " getaddrinfo: too many open files (both.example)"),
	} {
		w := newDialWorld(t, fakering.Config{}, answers)
		w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil)
		w.sockets.openFails = n
		c, _ := w.dial("both.example", 80, nil)
		w.settle()
		if got := c.outcome(); got != want {
			t.Errorf("%d sockets fail: %s", n, got)
		}
		c.close()
		w.settle()
		w.checkNothingLeft()
	}
	w := newDialWorld(t, fakering.Config{}, answers)
	c, _ := w.dial("both.example", 80, nil)
	w.names.onQuestion = func() { w.sockets.openFails = 9 }
	w.settle()
	if got := c.outcome(); got != fmt.Sprint(network, " connect: too many open files ([2606:4700::1]:80)") {
		t.Errorf("got %s", got)
	}
	w.checkNothingLeft()
}

// TestOutboundSocketsLeaveRoomForClients: those of all loops together have a bound.
func TestOutboundSocketsLeaveRoomForClients(t *testing.T) {
	w := newDialWorld(t, fakering.Config{}, nil)
	w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil)
	if limit := newOutbound(w.loop.options.catalog).limit; limit < 16 {
		t.Errorf("the limit is %d", limit)
	}
	w.loop.options.outbound.limit = 3
	var callers []*dialed
	for range 5 {
		c, _ := w.dial("1.1.1.1", 80, nil)
		callers = append(callers, c)
	}
	w.settle()
	for i, c := range callers {
		want := "1.1.1.1:80"
		if i >= 3 {
			want = fmt.Sprint(network, " connect: too many open files (1.1.1.1:80)")
		}
		if got := c.outcome(); got != want {
			t.Errorf("dial %d: %s", i, got)
		}
		c.close()
	}
	w.settle()
	c, _ := w.dial("1.1.1.1", 80, nil)
	w.settle()
	if got := c.outcome(); got != "1.1.1.1:80" {
		t.Errorf("later: %s", got)
	}
	c.close()
	w.settle()
	w.checkNothingLeft()
	if n := w.loop.options.outbound.open.Load(); n != 0 {
		t.Errorf("%d counted as open", n)
	}
}

// TestOutboundSocketsAreShared: an app that takes all that it gets leaves some for others.
func TestOutboundSocketsAreShared(t *testing.T) {
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.Apps = append(o.Apps, App{Name: "other", Hosts: []string{"b"}}, App{Name: "third", Hosts: []string{"c"}})
	})
	w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil)
	w.loop.options.outbound.limit = 12
	names := []string{"demo", "other", "third"}
	var all []*dialed
	for _, row := range []struct {
		app  string
		want int
	}{{"demo", 6}, {"other", 3}, {"demo", 0}, {"third", 2}, {"other", 0}} {
		got := 0
		for range 20 {
			c := &dialed{}
			w.loop.dial(target{host: "1.1.1.1", port: 80, app: w.loop.apps[slices.Index(names, row.app)]}, nil, c)
			w.settle()
			all = append(all, c)
			if c.plug != nil {
				got++
			}
		}
		if got != row.want {
			t.Errorf("%s got %d sockets, want %d", row.app, got, row.want)
		}
	}
	for _, c := range all {
		c.close()
	}
	w.settle()
	w.checkNothingLeft()
	for i, app := range w.loop.options.catalog.apps {
		if n := app.outbound.Load(); n != 0 {
			t.Errorf("app %d has %d sockets", i, n)
		}
	}
}

// TestDialIsCancelled at every moment of its life.
func TestDialIsCancelled(t *testing.T) {
	answers := answerer{"both.example": {"1.1.1.1", "2606:4700::1", "truncated"}}
	for after := time.Duration(0); after < 20*time.Millisecond; after += 100 * time.Microsecond {
		for _, silent := range []bool{false, true} {
			w := newDialWorld(t, fakering.Config{}, answers)
			w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), nil).Silence(silent)
			w.ring.Remote(netip.MustParseAddrPort("[2606:4700::1]:80"), nil).Silence(true)
			c, d := w.dial("both.example", 80, nil)
			if after != 0 {
				w.run(after)
			}
			if c.told == 0 {
				d.cancel()
				d.cancel()
			}
			told := c.told
			w.settle()
			if c.told != told {
				t.Errorf("after %v: told after cancel", after)
			}
			c.close()
			w.settle()
			w.checkNothingLeft()
			w.end()
		}
	}
	w := newDialWorld(t, fakering.Config{}, answers)
	c, d := w.dial("10.0.0.1", 80, nil)
	d.cancel() // of one that has failed, but was not told
	w.settle()
	if c.told != 0 {
		t.Error("told after cancel")
	}
	w.checkNothingLeft()
}

// TestEveryOperationFails: of a dial by name and a talk after it, each operation fails in turn. The dialer is
// told once, and nothing is left.
func TestEveryOperationFails(t *testing.T) {
	answers := answerer{"both.example": {"truncated", "1.1.1.1", "2606:4700::1"}}
	reached, failed := 0, 0
	for _, errno := range []unix.Errno{unix.EIO, unix.ECONNRESET, unix.ENETUNREACH, unix.ENOBUFS, unix.EAGAIN, unix.EINTR, unix.ECANCELED} {
		for nth := 1; nth <= 20; nth++ {
			w := newDialWorld(t, fakering.Config{}, answers)
			echo := func(p *fakering.Peer) { p.WriteString("welcome") }
			w.ring.Remote(netip.MustParseAddrPort("1.1.1.1:80"), echo)
			w.ring.Remote(netip.MustParseAddrPort("[2606:4700::1]:80"), echo)
			w.ring.FailOperation(nth, errno)
			c, _ := w.dial("both.example", 80, nil)
			w.run(5 * time.Second)
			if c.told != 1 {
				t.Fatalf("operation %d fails with %v: told %d times", nth, errno, c.told)
			}
			if c.plug != nil && c.plug.endpoint != nil {
				c.plug.endpoint.resume()
				c.plug.endpoint.write([]byte("hello"))
				w.settle()
			}
			if c.plug != nil && c.plug.errno == 0 && string(c.plug.got) == "welcome" {
				reached++
			} else {
				failed++
			}
			c.close()
			w.settle()
			w.checkNothingLeft()
			w.end()
		}
	}
	if reached < 100 || failed < 3 {
		t.Errorf("%d talks, %d failures", reached, failed)
	}
}

// TestDialSimulation dials many names over a ring with every fault. Each dialer is told once, or has
// cancelled; nothing is left.
func TestDialSimulation(t *testing.T) {
	reached := 0
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { reached += simulateDials(t, seed) })
	}
	if reached < 300 {
		t.Errorf("only %d connections", reached)
	}
}

func simulateDials(t *testing.T, seed uint64) (reached int) {
	random := rand.New(rand.NewPCG(seed, 3))
	answers := answerer{
		"a.example": {"1.1.1.1"}, "b.example": {"1.1.1.1", "2606:4700::1"}, "c.example": {"truncated", "1.1.1.2", "1.1.1.1", "2606:4700::1"},
		"d.example": {"servfail"}, "e.example": {"silence"}, "f.example": {"10.0.0.1"}, "g.example": {"a.example"}, "h.example": {"1.1.1.3", "2606:4700::3"},
	}
	w := newDialWorld(t, fakering.Config{Seed: seed, Faults: fakering.Harsh(), Buffers: 4, BufferSize: 512}, answers)
	for _, host := range []string{"1.1.1.1", "2606:4700::1"} {
		w.ring.Remote(netip.AddrPortFrom(netip.MustParseAddr(host), 80), nil)
	}
	w.ring.Remote(netip.MustParseAddrPort("1.1.1.3:80"), nil).Silence(true)
	var callers []*dialed
	var cancelled []bool
	for i := range 20 {
		callers, cancelled = append(callers, nil), append(cancelled, false)
		w.ring.At(time.Duration(random.IntN(3000))*time.Millisecond, func() {
			host := string(rune('a'+random.IntN(9))) + ".example"
			c, d := w.dial(host, 80, nil)
			callers[i] = c
			if random.IntN(4) == 0 {
				w.ring.At(time.Duration(random.IntN(300000))*time.Microsecond, func() {
					if c.told == 0 {
						d.cancel()
						cancelled[i] = true
						w.loop.waker.Signal()
					}
				})
			}
			if random.IntN(10) == 0 {
				w.sockets.openFails = random.IntN(4)
			}
			w.loop.waker.Signal()
		})
	}
	w.run(40 * time.Second)
	for i, c := range callers {
		switch {
		case cancelled[i] && c.told != 0, !cancelled[i] && c.told != 1:
			t.Errorf("dial %d: told %d times, cancelled: %v", i, c.told, cancelled[i])
		case c.plug != nil:
			reached++
			c.close()
		}
	}
	w.settle()
	w.checkNothingLeft()
	return reached
}
