package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A zone answers questions: by family and name, what a server says.
type zone map[string]func(m *message)

// A message is an answer in the making.
type message struct {
	header     dnsmessage.Header
	question   dnsmessage.Question
	answers    []dnsmessage.Resource
	authority  []dnsmessage.Resource
	noQuestion bool
}

func (m *message) pack(t testing.TB) []byte {
	t.Helper()
	full := dnsmessage.Message{Header: m.header, Questions: []dnsmessage.Question{m.question}, Answers: m.answers, Authorities: m.authority}
	if m.noQuestion {
		full.Questions = nil
	}
	packed, err := full.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func header(name string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), Class: dnsmessage.ClassINET, TTL: ttl}
}

// has adds an address.
func (m *message) has(name, address string, ttl uint32) {
	ip := netip.MustParseAddr(address)
	var body dnsmessage.ResourceBody = &dnsmessage.AAAAResource{AAAA: ip.As16()}
	if ip.Is4() {
		body = &dnsmessage.AResource{A: ip.As4()}
	}
	m.answers = append(m.answers, dnsmessage.Resource{Header: header(name, ttl), Body: body})
}

func (m *message) alias(name, to string, ttl uint32) {
	m.answers = append(m.answers, dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to + ".")}})
}

func (m *message) soa(ttl, minimum uint32) {
	m.authority = append(m.authority, dnsmessage.Resource{Header: header("example", ttl), Body: &dnsmessage.SOAResource{
		NS: dnsmessage.MustNewName("ns.example."), MBox: dnsmessage.MustNewName("root.example."), MinTTL: minimum,
	}})
}

// A bench is a resolver with a transport that the test works.
type bench struct {
	t        *testing.T
	resolver *Resolver
	now      int64
	open     []*Exchange
	sent     []string // "A name server", "tcp" and "plain" after it
	sendErr  error
	counter  uint32
}

var (
	serverA = netip.MustParseAddrPort("192.0.2.1:53")
	serverB = netip.MustParseAddrPort("192.0.2.2:53")
)

func newBench(t *testing.T, change func(c *Config)) *bench {
	c := &Config{Servers: []netip.AddrPort{serverA, serverB}, Ndots: 1, Timeout: 5 * time.Second, Attempts: 2}
	if change != nil {
		change(c)
	}
	b := &bench{t: t, now: 1}
	b.resolver = NewResolver(b, func() uint32 { b.counter++; return b.counter * 7919 }, c)
	t.Cleanup(func() {
		if len(b.open) != 0 || b.resolver.Pending() != 0 {
			t.Errorf("%d exchanges and %d lookups are left", len(b.open), b.resolver.Pending())
		}
	})
	return b
}

func (b *bench) Send(x *Exchange) error {
	if b.sendErr != nil {
		return b.sendErr
	}
	b.open = append(b.open, x)
	if !x.Server.IsValid() {
		b.sent = append(b.sent, "system "+x.Name)
		return nil
	}
	q, plain := b.parse(x)
	text := fmt.Sprintf("%s %s %s", q.Type.String()[4:], q.Name, x.Server)
	if x.TCP {
		text += " tcp"
	}
	if plain {
		text += " plain"
	}
	b.sent = append(b.sent, text)
	return nil
}

func (b *bench) parse(x *Exchange) (q dnsmessage.Question, plain bool) {
	b.t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(x.Message); err != nil || len(m.Questions) != 1 || !m.RecursionDesired || m.ID != x.id {
		b.t.Fatalf("question %+v: %v", m, err)
	}
	return m.Questions[0], len(m.Additionals) == 0
}

func (b *bench) Cancel(x *Exchange) {
	i := slices.Index(b.open, x)
	if i < 0 {
		b.t.Error("an exchange was cancelled that is not open")
		return
	}
	b.open = slices.Delete(b.open, i, i+1)
}

// asker is a Waiter.
type asker struct{ answers []Answer }

func (a *asker) Resolved(answer Answer) { a.answers = append(a.answers, answer) }

// answer lets a zone answer all open exchanges, and those that follow, until none is open.
func (b *bench) answer(z zone) {
	b.t.Helper()
	for range 200 {
		if len(b.open) == 0 {
			return
		}
		b.answerOne(b.open[0], z)
	}
	b.t.Fatal("no end")
}

func (b *bench) answerOne(x *Exchange, z zone) {
	q, _ := b.parse(x)
	m := &message{header: dnsmessage.Header{ID: x.id, Response: true, RecursionAvailable: true}, question: q}
	name := strings.TrimSuffix(q.Name.String(), ".")
	key := q.Type.String()[4:] + " " + name
	switch {
	case z[key] != nil:
		z[key](m)
	case z[name] != nil:
		z[name](m)
	default:
		m.header.RCode = dnsmessage.RCodeNameError
		m.soa(60, 60)
	}
	b.resolver.Received(x, m.pack(b.t), b.now)
}

// lookUp looks a name up with the help of a zone and returns the last answer.
func (b *bench) lookUp(name string, z zone) Answer {
	b.t.Helper()
	a := &asker{}
	answer, pending := b.resolver.Lookup(name, b.now, a)
	if pending == nil {
		return answer
	}
	b.answer(z)
	if len(a.answers) == 0 || a.answers[len(a.answers)-1].More {
		b.t.Fatalf("%s: answers %+v", name, a.answers)
	}
	return a.answers[len(a.answers)-1]
}

func (b *bench) expect(name string, z zone, want string) {
	b.t.Helper()
	if got := b.lookUp(name, z).String(); got != want {
		b.t.Errorf("%s: got %s, want %s", name, got, want)
	}
}

// String shows addresses or the error.
func (a Answer) String() string {
	text := strings.Trim(fmt.Sprint(a.Addresses), "[]")
	if a.Err != nil {
		text += "! " + a.Err.Error()
	}
	if a.Local {
		text += " local"
	}
	return text
}

var both = zone{
	"A www.example":       func(m *message) { m.has("www.example", "192.0.2.10", 60); m.has("www.example", "192.0.2.11", 30) },
	"AAAA www.example":    func(m *message) { m.has("www.example", "2001:db8::10", 60) },
	"A four.example":      func(m *message) { m.has("four.example", "192.0.2.4", 60) },
	"AAAA four.example":   func(m *message) { m.soa(60, 60) },
	"AAAA mapped.example": func(m *message) { m.has("mapped.example", "::ffff:10.0.0.1", 60) },
	"cased.example":       func(m *message) { m.has("CASED.Example", "192.0.2.5", 60) },
	"alias.example": func(m *message) {
		m.alias("b.example", "c.example", 5)
		m.alias("alias.example", "b.example", 60)
		if m.question.Type == dnsmessage.TypeA {
			m.has("c.example", "192.0.2.12", 60)
		} else {
			m.soa(60, 60)
		}
	},
	"stops.example": func(m *message) { m.alias("stops.example", "www.example", 60) },
	"loop.example": func(m *message) {
		m.alias("loop.example", "pool.example", 60)
		m.alias("pool.example", "loop.example", 60)
	},
	"self.example":      func(m *message) { m.alias("self.example", "self.example", 60) },
	"far1.example":      func(m *message) { m.alias("far1.example", "far2.example", 60) },
	"far2.example":      func(m *message) { m.alias("far2.example", "far1.example", 60) },
	"odd.example":       func(m *message) { m.alias("odd.example", "127.1", 60) },
	"stranger.example":  func(m *message) { m.has("other.example", "192.0.2.66", 60); m.soa(60, 60) },
	"servfail.example":  func(m *message) { m.header.RCode = dnsmessage.RCodeServerFailure },
	"refused.example":   func(m *message) { m.header.RCode = dnsmessage.RCodeRefused },
	"referral.example":  func(m *message) { m.header.RecursionAvailable = false },
	"nothing.example":   func(m *message) {},
	"A half.example":    func(m *message) { m.has("half.example", "192.0.2.7", 60) },
	"AAAA half.example": func(m *message) { m.header.RCode = dnsmessage.RCodeServerFailure },
}

func TestAnswers(t *testing.T) {
	for name, want := range map[string]string{
		"www.example":      "2001:db8::10 192.0.2.10 192.0.2.11",
		"WWW.Example.":     "2001:db8::10 192.0.2.10 192.0.2.11",
		"four.example":     "192.0.2.4",
		"mapped.example":   "10.0.0.1",
		"cased.example":    "192.0.2.5",
		"alias.example":    "192.0.2.12",
		"stops.example":    "2001:db8::10 192.0.2.10 192.0.2.11",
		"loop.example":     "! its aliases lead nowhere",
		"self.example":     "! its aliases lead nowhere",
		"far1.example":     "! its aliases lead nowhere",
		"odd.example":      "! its aliases lead nowhere",
		"stranger.example": "! host not found",
		"nobody.example":   "! host not found",
		"nothing.example":  "! host not found",
		"servfail.example": "! the name servers could not answer",
		"refused.example":  "! the name servers could not answer",
		"referral.example": "! the name servers could not answer",
		"half.example":     "192.0.2.7",
		"any.onion":        "! host not found",
	} {
		z := zone{}
		for key, f := range both {
			z[key] = f
		}
		if name == "cased.example" {
			z = zone{"A cased.example": both["cased.example"]}
		}
		newBench(t, nil).expect(name, z, want)
	}
}

func TestLocalNames(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Hosts = ParseHosts("10.0.0.5 db.internal DB2\n::1 localhost\n192.0.2.9 localhost www.example")
	})
	b.expect("db.internal", nil, "10.0.0.5 local")
	b.expect("Db2.", nil, "10.0.0.5 local")
	b.expect("localhost", nil, "127.0.0.1 ::1 local")
	b.expect("app.LOCALHOST.", nil, "127.0.0.1 ::1 local")
	b.expect("www.example", nil, "192.0.2.9 local")
	if len(b.sent) != 0 {
		t.Errorf("asked %q", b.sent)
	}
}

// asked checks what was sent since the last call, in any order.
func (b *bench) asked(want ...string) {
	b.t.Helper()
	slices.Sort(b.sent)
	slices.Sort(want)
	if !slices.Equal(b.sent, want) {
		b.t.Errorf("asked %q, want %q", b.sent, want)
	}
	b.sent = nil
}

func TestSearch(t *testing.T) {
	search := func(c *Config) { c.Search = []string{"one.example", "two.example"}; c.IPv4Only = true }
	b := newBench(t, search)
	z := zone{"host.two.example": func(m *message) { m.has("host.two.example", "192.0.2.2", 60) }}
	b.expect("host", z, "192.0.2.2")
	b.asked("A host.one.example. 192.0.2.1:53", "A host.two.example. 192.0.2.1:53")
	b = newBench(t, search)
	b.expect("a.host", z, "! host not found")
	if want := "A a.host. 192.0.2.1:53"; b.sent[0] != want {
		t.Errorf("first asked %q", b.sent[0])
	}
	b.asked("A a.host. 192.0.2.1:53", "A a.host.one.example. 192.0.2.1:53", "A a.host.two.example. 192.0.2.1:53")
	b = newBench(t, search)
	b.expect("host.", z, "! host not found")
	b.asked("A host. 192.0.2.1:53")
	b = newBench(t, func(c *Config) { search(c); c.Ndots = 2 })
	b.expect("a.host", z, "! host not found")
	b.asked("A a.host.one.example. 192.0.2.1:53", "A a.host.two.example. 192.0.2.1:53", "A a.host. 192.0.2.1:53")
	// A server that fails is not the end of the search, but is told in the end.
	b = newBench(t, search)
	b.expect("host", zone{
		"host.one.example": func(m *message) { m.header.RCode = dnsmessage.RCodeServerFailure },
		"host.two.example": func(m *message) { m.has("host.two.example", "192.0.2.2", 60) },
	}, "192.0.2.2")
}

func TestServersInTurn(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	a := &asker{}
	b.resolver.Lookup("www.example", b.now, a)
	b.resolver.TimedOut(b.open[0], b.now)
	b.answerOne(b.open[0], zone{"www.example": func(m *message) { m.header.RCode = dnsmessage.RCodeServerFailure }})
	b.resolver.Failed(b.open[0], b.now)
	b.answerOne(b.open[0], both)
	b.asked("A www.example. 192.0.2.1:53", "A www.example. 192.0.2.2:53", "A www.example. 192.0.2.1:53", "A www.example. 192.0.2.2:53")
	if got := fmt.Sprint(a.answers); got != "[192.0.2.10 192.0.2.11]" {
		t.Errorf("got %s", got)
	}
	// Nobody answers.
	b.resolver.Lookup("slow.example", b.now, a)
	for range 4 {
		b.resolver.TimedOut(b.open[0], b.now)
	}
	if got := a.answers[1]; got.Err != ErrTimeout {
		t.Errorf("got %v", got)
	}
}

func TestRotate(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only, c.Rotate = true, true })
	b.expect("a.example", nil, "! host not found")
	b.expect("b.example", nil, "! host not found")
	b.asked("A a.example. 192.0.2.2:53", "A b.example. 192.0.2.1:53")
}

func TestTruncatedAnswerIsAskedForByTCP(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	a := &asker{}
	b.resolver.Lookup("www.example", b.now, a)
	b.answerOne(b.open[0], zone{"www.example": func(m *message) { m.header.Truncated = true }})
	b.answerOne(b.open[0], both)
	b.asked("A www.example. 192.0.2.1:53", "A www.example. 192.0.2.1:53 tcp")
	if got := fmt.Sprint(a.answers); got != "[192.0.2.10 192.0.2.11]" {
		t.Errorf("got %s", got)
	}
	// Truncated there, too; and one that breaks: the next server.
	b.resolver.Lookup("cut.example", b.now, a)
	cut := zone{"cut.example": func(m *message) { m.header.Truncated = true }}
	b.answerOne(b.open[0], cut)
	b.answerOne(b.open[0], cut)
	b.answerOne(b.open[0], cut)
	b.resolver.Failed(b.open[0], b.now)
	b.asked("A cut.example. 192.0.2.1:53", "A cut.example. 192.0.2.1:53 tcp", "A cut.example. 192.0.2.2:53", "A cut.example. 192.0.2.2:53 tcp", "A cut.example. 192.0.2.1:53")
	b.answer(nil)
}

func TestServerWithoutEDNS(t *testing.T) {
	for _, noQuestion := range []bool{false, true} {
		b := newBench(t, func(c *Config) { c.IPv4Only = true })
		a := &asker{}
		b.resolver.Lookup("www.example", b.now, a)
		b.answerOne(b.open[0], zone{"www.example": func(m *message) { m.header.RCode, m.noQuestion = dnsmessage.RCodeFormatError, noQuestion }})
		b.answerOne(b.open[0], both)
		b.asked("A www.example. 192.0.2.1:53", "A www.example. 192.0.2.1:53 plain")
		if got := fmt.Sprint(a.answers); got != "[192.0.2.10 192.0.2.11]" {
			t.Errorf("got %s", got)
		}
	}
}

// TestForeignMessages: what does not answer the question changes nothing.
func TestForeignMessages(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	a := &asker{}
	b.resolver.Lookup("www.example", b.now, a)
	x := b.open[0]
	question, _ := b.parse(x)
	forge := func(change func(m *message)) {
		t.Helper()
		m := &message{header: dnsmessage.Header{ID: x.id, Response: true, RecursionAvailable: true}, question: question}
		m.has("www.example", "10.6.6.6", 60)
		change(m)
		b.resolver.Received(x, m.pack(t), b.now)
		if len(a.answers) != 0 || len(b.open) != 1 || b.open[0] != x {
			t.Fatal("taken for the answer")
		}
	}
	forge(func(m *message) { m.header.ID++ })
	forge(func(m *message) { m.header.Response = false })
	forge(func(m *message) { m.header.OpCode = 5 })
	forge(func(m *message) { m.noQuestion = true })
	forge(func(m *message) { m.question.Name = dnsmessage.MustNewName("wwx.example.") })
	forge(func(m *message) { m.question.Type = dnsmessage.TypeAAAA })
	forge(func(m *message) { m.question.Class = dnsmessage.ClassCHAOS })
	b.resolver.Received(x, []byte("garbage"), b.now) // it bears no id
	if len(b.open) != 1 || b.open[0] != x {
		t.Fatal("what may come from anyone ends a question")
	}
	b.answerOne(x, both)
	if got := fmt.Sprint(a.answers); got != "[192.0.2.10 192.0.2.11]" {
		t.Errorf("got %s", got)
	}
	// Late, after the exchange has ended.
	b.resolver.Received(x, nil, b.now)
	b.resolver.Failed(x, b.now)
	b.resolver.TimedOut(x, b.now)
	// What cannot be read is of no use.
	b.resolver.Lookup("bad.example", b.now, a)
	question, _ = b.parse(b.open[0])
	bad := &message{header: dnsmessage.Header{ID: b.open[0].id, Response: true}, question: question}
	bad.has("bad.example", "10.6.6.6", 60)
	packed := bad.pack(t)
	b.resolver.Received(b.open[0], packed[:len(packed)-1], b.now)
	b.asked("A www.example. 192.0.2.1:53", "A bad.example. 192.0.2.1:53", "A bad.example. 192.0.2.2:53")
	b.answer(nil)
}

func TestCache(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	b.expect("www.example", both, "192.0.2.10 192.0.2.11")
	b.expect("alias.example", both, "192.0.2.12")
	b.expect("stops.example", both, "192.0.2.10 192.0.2.11")
	b.expect("nobody.example", both, "! host not found")
	b.expect("nothing.example", both, "! host not found")
	b.sent = nil
	after := func(seconds int, name string, isAsked bool) {
		t.Helper()
		b.now = 1 + int64(seconds)*int64(time.Second)
		b.lookUp(name, both)
		if (len(b.sent) != 0) != isAsked {
			t.Errorf("%s after %d s: asked %q", name, seconds, b.sent)
		}
		b.sent = nil
	}
	after(0, "nothing.example", true) // does not say for how long
	after(4, "alias.example", false)
	after(5, "alias.example", true) // an alias on the way lives for 5 s
	after(29, "www.example", false)
	after(29, "stops.example", false)
	after(30, "stops.example", true)
	after(30, "www.example", true)
	after(59, "nobody.example", false)
	after(60, "nobody.example", true)
	b.resolver.Configure(b.resolver.config)
	after(60, "www.example", true)
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	c.clear()
	some := []netip.Addr{netip.IPv6Loopback()}
	key := func(i int) cacheKey { return cacheKey{fmt.Sprint(i), 1} }
	for i := range entriesMax + 10 {
		c.put(key(i), some, 1<<31, 0)
		if _, _, ok := c.get(key(0), 1); !ok { // used all the time
			t.Fatalf("0 was dropped at %d", i)
		}
	}
	if len(c.entries) != entriesMax {
		t.Errorf("%d entries", len(c.entries))
	}
	for i := 1; i <= 10; i++ {
		if _, _, ok := c.get(key(i), 1); ok {
			t.Errorf("%d was kept", i)
		}
	}
	if _, _, ok := c.get(key(11), int64(ttlMax)*int64(time.Second)-1); !ok {
		t.Error("11 was dropped")
	}
	if _, _, ok := c.get(key(11), int64(ttlMax)*int64(time.Second)); ok {
		t.Error("11 lives for too long")
	}
	c.put(key(11), nil, 1<<31, 0)
	if addresses, _, ok := c.get(key(11), negativeTTLMax*int64(time.Second)-1); !ok || addresses != nil {
		t.Error("that there is nothing was not remembered")
	}
	c.put(key(12), some, 0, 0)
	if len(c.entries) != entriesMax-1+1 {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestLookupsAreMerged(t *testing.T) {
	b := newBench(t, nil)
	first, second, third := &asker{}, &asker{}, &asker{}
	_, l := b.resolver.Lookup("www.example", b.now, first)
	if _, same := b.resolver.Lookup("WWW.example", b.now, second); same != l {
		t.Fatal("two lookups")
	}
	if len(b.open) != 2 {
		t.Fatalf("%d exchanges", len(b.open))
	}
	b.answerOne(b.open[1], both) // A
	answer, same := b.resolver.Lookup("www.example", b.now, third)
	if same != l || answer.String() != "192.0.2.10 192.0.2.11" || !answer.More {
		t.Fatalf("third: %v %v", answer, same == l)
	}
	l.Leave(second)
	b.answer(both)
	const all = "2001:db8::10 192.0.2.10 192.0.2.11"
	if got := fmt.Sprint(first.answers, second.answers, third.answers); got != "[192.0.2.10 192.0.2.11 "+all+"] [192.0.2.10 192.0.2.11] ["+all+"]" {
		t.Errorf("got %s", got)
	}
	l.Leave(first) // it has ended
}

func TestNobodyWaits(t *testing.T) {
	b := newBench(t, nil)
	a := &asker{}
	_, l := b.resolver.Lookup("www.example", b.now, a)
	l.Leave(&asker{})
	l.Leave(a)
	l.Leave(a)
	if len(b.open) != 0 || len(a.answers) != 0 {
		t.Errorf("%d exchanges, %d answers", len(b.open), len(a.answers))
	}
	b.expect("www.example", both, "2001:db8::10 192.0.2.10 192.0.2.11")
}

// leaver leaves as soon as it hears something.
type leaver struct{ l *Lookup }

func (a *leaver) Resolved(Answer) { a.l.Leave(a) }

func TestLeavingFromWithin(t *testing.T) {
	b := newBench(t, nil)
	a := &leaver{}
	_, a.l = b.resolver.Lookup("www.example", b.now, a)
	b.answerOne(b.open[1], both)
	if len(b.open) != 0 {
		t.Errorf("%d exchanges", len(b.open))
	}
}

func TestTransportFails(t *testing.T) {
	b := newBench(t, nil)
	b.sendErr = ErrNoSocket
	b.expect("www.example", nil, "! too many open files")
	b.sendErr = errors.New("network is unreachable")
	b.expect("www.example", nil, "! the name servers could not answer")
	b.sendErr = nil
	a := &asker{}
	b.resolver.Lookup("www.example", b.now, a)
	b.sendErr = ErrNoSocket
	for len(b.open) != 0 {
		b.resolver.TimedOut(b.open[0], b.now)
	}
	if got := fmt.Sprint(a.answers); got != "[! too many open files]" {
		t.Errorf("got %s", got)
	}
	b = newBench(t, nil)
	b.resolver.Lookup("www.example", b.now, a)
	truncated := zone{"www.example": func(m *message) { m.header.Truncated = true }}
	b.sendErr = ErrNoSocket
	b.answer(truncated)
}

func TestTooManyLookups(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	a := &asker{}
	for i := range lookupsMax {
		b.resolver.Lookup(fmt.Sprintf("n%d.example", i), b.now, a)
	}
	b.expect("one.more.example", nil, "! too many names are being looked up")
	for len(b.open) != 0 {
		b.answerOne(b.open[len(b.open)-1], nil)
	}
}

func TestConfigurationChangesMeanwhile(t *testing.T) {
	b := newBench(t, func(c *Config) { c.IPv4Only = true })
	before, after := &asker{}, &asker{}
	b.resolver.Lookup("www.example", b.now, before)
	b.resolver.Configure(&Config{Servers: []netip.AddrPort{serverB}, Attempts: 1, Timeout: time.Second, IPv4Only: true})
	b.resolver.Lookup("www.example", b.now, after)
	b.asked("A www.example. 192.0.2.1:53", "A www.example. 192.0.2.2:53")
	b.answer(both)
	if len(before.answers) != 1 || len(after.answers) != 1 {
		t.Errorf("%d and %d answers", len(before.answers), len(after.answers))
	}
}

func TestSystemsResolver(t *testing.T) {
	b := newBench(t, func(c *Config) { c.System = true; c.Hosts = ParseHosts("10.0.0.5 db") })
	b.expect("db", nil, "10.0.0.5 local")
	a := &asker{}
	b.resolver.Lookup("www.example", b.now, a)
	b.resolver.Lookup("www.example", b.now, a)
	b.asked("system www.example")
	x := b.open[0]
	b.resolver.SystemAnswered(x, []netip.Addr{netip.MustParseAddr("192.0.2.8")}, nil, b.now)
	b.resolver.SystemAnswered(x, nil, ErrTimeout, b.now) // late
	if got := fmt.Sprint(a.answers); got != "[192.0.2.8 192.0.2.8]" {
		t.Errorf("got %s", got)
	}
	b.expect("www.example", nil, "192.0.2.8") // remembered for a while
	b.now += systemTTL * int64(time.Second)
	b.resolver.Lookup("www.example", b.now, a)
	b.resolver.TimedOut(b.open[0], b.now)
	if got := a.answers[2]; got.Err != ErrTimeout {
		t.Errorf("got %v", got)
	}
	b.resolver.Lookup("none.example", b.now, a)
	b.resolver.SystemAnswered(b.open[0], nil, ErrNotFound, b.now)
	b.expect("none.example", nil, "! host not found")
}
