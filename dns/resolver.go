package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A Transport carries questions. It must not call the resolver from within its methods.
type Transport interface {
	// Send begins an exchange. What becomes of it is told by Resolver.Received, Failed or TimedOut. An
	// error says that it cannot begin; ErrNoSocket: nor can any other.
	Send(x *Exchange) error
	// Cancel ends an exchange that was begun, each one once: whatever the resolver was told of it, and
	// also if nobody waits for its answer any more.
	Cancel(x *Exchange)
}

// An Exchange is one question on its way to one server, for which the transport takes a socket of its own
// with a port that cannot be guessed. If Server is not valid, it is for the system's resolver, and
// Resolver.SystemAnswered takes the outcome.
type Exchange struct {
	Server  netip.AddrPort
	TCP     bool
	Message []byte // without the two bytes of its length that TCP has
	Timeout time.Duration
	Name    string // for the system's resolver

	// Carrier is the transport's own.
	Carrier any

	query *query
	id    uint16
}

// A Waiter waits for a name.
type Waiter interface {
	// Resolved brings the answer. If it says More, another one follows.
	Resolved(Answer)
}

// A Resolver looks names up. It belongs to one thread. Times are nanoseconds of any clock that does not
// go back.
type Resolver struct {
	transport Transport
	random    func() uint32
	config    *Config
	cache     cache
	lookups   map[string]*Lookup
	turn      int // of Rotate
}

// lookupsMax bounds how many names are looked up at once.
const lookupsMax = 4096

// NewResolver makes a resolver. random gives numbers that cannot be predicted.
func NewResolver(transport Transport, random func() uint32, config *Config) *Resolver {
	r := &Resolver{transport: transport, random: random, lookups: map[string]*Lookup{}}
	r.Configure(config)
	return r
}

// Configure has later lookups follow another configuration. What is remembered is forgotten.
func (r *Resolver) Configure(config *Config) {
	r.config = config
	r.cache.clear()
}

// Pending is how many names are being looked up.
func (r *Resolver) Pending() int { return len(r.lookups) }

// A Lookup is the search for one name, for all who wait for it.
type Lookup struct {
	resolver   *Resolver
	config     *Config
	name       string // folded, but for the dot at the end
	turn       int    // of Rotate
	candidates []string
	queries    [2]query // of IPv6 and IPv4; the system's resolver is asked by the first
	count      int      // of queries that are made for each candidate
	waiters    []Waiter
	failure    error // of a candidate before, that was not a plain no
	answer     Answer
	isOver     bool
}

// A query is the search for the addresses of one family of one candidate.
type query struct {
	lookup   *Lookup
	family   dnsmessage.Type
	asked    string // the candidate
	name     string // the same, or what it is an alias of
	aliases  int
	ttl      uint32    // of the aliases on the way
	exchange *Exchange // nil: none is under way
	tries    int       // of servers
	plain    bool      // without EDNS
	isOver   bool
	found    []netip.Addr
	err      error // nil and none found: there are none
}

// Lookup looks a name up, which must be one (IsName). If it returns a Lookup, the answer, or the rest of
// it, comes to who, and what is there by now has More set; else the answer is final.
func (r *Resolver) Lookup(name string, now int64, who Waiter) (Answer, *Lookup) {
	folded := fold(name)
	if local := r.config.Hosts.Local(folded); local != nil {
		return Answer{Addresses: local, Local: true}, nil
	}
	if strings.HasSuffix(folded, ".onion") || folded == "onion" { // RFC 7686
		return Answer{Err: ErrNotFound}, nil
	}
	key := strings.ToLower(name)
	if l := r.lookups[key]; l != nil && l.config == r.config {
		l.waiters = append(l.waiters, who)
		return l.answer, l
	}
	if len(r.lookups) >= lookupsMax {
		return Answer{Err: ErrTooMany}, nil
	}
	r.turn++
	l := &Lookup{resolver: r, config: r.config, name: key, turn: r.turn}
	if r.config.System {
		l.candidates = []string{folded}
	} else {
		l.candidates = r.config.candidates(key)
	}
	l.begin(now)
	if l.isOver {
		return l.answer, nil
	}
	// One with another configuration may be on its way; it need not be found any more.
	r.lookups[key] = l
	l.waiters = append(l.waiters, who)
	return l.answer, l
}

// Leave ends somebody's wait. When nobody is left, nothing of the lookup is.
func (l *Lookup) Leave(who Waiter) {
	i := slices.Index(l.waiters, who)
	if i < 0 || l.isOver {
		return
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	if len(l.waiters) == 0 {
		for i := range l.queries {
			l.queries[i].endExchange()
		}
		l.end()
	}
}

// end takes a lookup off the resolver's list.
func (l *Lookup) end() {
	l.isOver = true
	if r := l.resolver; r.lookups[l.name] == l {
		delete(r.lookups, l.name)
	}
}

// begin asks for the next candidate.
func (l *Lookup) begin(now int64) {
	name := l.candidates[0]
	l.candidates = l.candidates[1:]
	l.answer.More = true // until the last query of this candidate is over
	l.queries = [2]query{}
	l.count = 2
	switch {
	case l.config.System:
		l.count = 1
		l.queries[0] = query{lookup: l, asked: name, name: name}
	case l.config.IPv4Only:
		l.count = 1
		l.queries[0] = query{lookup: l, asked: name, name: name, family: dnsmessage.TypeA, ttl: ttlMax}
	default:
		l.queries[0] = query{lookup: l, asked: name, name: name, family: dnsmessage.TypeAAAA, ttl: ttlMax}
		l.queries[1] = query{lookup: l, asked: name, name: name, family: dnsmessage.TypeA, ttl: ttlMax}
	}
	for i := range l.count {
		l.queries[i].start(now)
	}
	l.advance(now)
}

// advance acts on queries that are over.
func (l *Lookup) advance(now int64) {
	found, open := 0, 0
	for i := range l.count {
		q := &l.queries[i]
		found += len(q.found)
		if !q.isOver {
			open++
		}
	}
	if found > len(l.answer.Addresses) {
		addresses := make([]netip.Addr, 0, found)
		for i := range l.count {
			addresses = append(addresses, l.queries[i].found...)
		}
		l.answer.Addresses = addresses
		if open != 0 {
			l.tell()
			return
		}
	}
	if open != 0 {
		return
	}
	if found == 0 && l.tryNext(now) {
		return
	}
	l.answer.More = false
	if found == 0 {
		if l.answer.Err = l.failure; l.failure == nil {
			l.answer.Err = ErrNotFound
		}
	}
	l.end()
	l.tell()
}

// tryNext goes on with the next candidate, if that makes sense.
func (l *Lookup) tryNext(now int64) bool {
	for i := range l.count {
		if err := l.queries[i].err; err != nil && (l.failure == nil || err == ErrTimeout || err == ErrNoSocket) {
			l.failure = err
		}
	}
	if len(l.candidates) == 0 || l.failure == ErrTimeout || l.failure == ErrNoSocket {
		return false
	}
	l.begin(now)
	return true
}

// tell gives the answer to those who wait.
func (l *Lookup) tell() {
	waiters := l.waiters
	if l.isOver {
		l.waiters = nil
	} else {
		waiters = slices.Clone(waiters) // one of them may leave
	}
	for _, w := range waiters {
		w.Resolved(l.answer)
	}
}

// start looks whether the answer is known, and asks if not.
func (q *query) start(now int64) {
	r := q.lookup.resolver
	if addresses, ttl, ok := r.cache.get(cacheKey{q.name, q.family}, now); ok {
		q.isOver, q.found = true, addresses
		if q.name != q.asked {
			r.cache.put(cacheKey{q.asked, q.family}, addresses, min(q.ttl, ttl), now)
		}
		return
	}
	q.send(now)
}

// send asks the server whose turn it is, or ends the query if all have been asked often enough.
func (q *query) send(now int64) {
	c, r := q.lookup.config, q.lookup.resolver
	if c.System {
		q.exchange = &Exchange{Name: q.name, Timeout: time.Duration(c.Attempts) * c.Timeout * serversMax, query: q}
		if err := r.transport.Send(q.exchange); err != nil {
			q.exchange = nil
			q.isOver, q.err = true, err
		}
		return
	}
	for q.tries < c.Attempts*len(c.Servers) {
		server := q.tries
		if c.Rotate {
			server += q.lookup.turn
		}
		err := q.ask(c.Servers[server%len(c.Servers)], c.TCP)
		if err == nil {
			return
		}
		q.tries++
		if q.err = ErrServer; err == ErrNoSocket {
			q.err = err
			break
		}
	}
	q.isOver = true
	if q.err == nil {
		q.err = ErrTimeout
	}
}

// ask begins an exchange with a server.
func (q *query) ask(server netip.AddrPort, tcp bool) error {
	id := uint16(q.lookup.resolver.random())
	message, err := appendQuestion(nil, id, q.name, q.family, q.plain)
	if err != nil {
		return err
	}
	q.exchange = &Exchange{Server: server, TCP: tcp, Message: message, Timeout: q.lookup.config.Timeout, query: q, id: id}
	if err := q.lookup.resolver.transport.Send(q.exchange); err != nil {
		q.exchange = nil
		return err
	}
	return nil
}

func (q *query) endExchange() {
	if x := q.exchange; x != nil {
		q.exchange = nil
		q.lookup.resolver.transport.Cancel(x)
	}
}

// next goes on with the next server after one that was of no use.
func (q *query) next(now int64, err error) {
	q.endExchange()
	q.tries++
	q.err = err
	q.plain = false
	q.send(now)
	q.lookup.advance(now)
}

// isCurrent reports whether the resolver still waits for an exchange.
func (x *Exchange) isCurrent() bool { return x.query.exchange == x }

// Failed says that an exchange broke: the server refuses, or cannot be reached.
func (r *Resolver) Failed(x *Exchange, now int64) {
	if x.isCurrent() {
		x.query.next(now, ErrServer)
	}
}

// TimedOut says that nothing came within the exchange's time.
func (r *Resolver) TimedOut(x *Exchange, now int64) {
	q := x.query
	switch {
	case !x.isCurrent():
	case !x.Server.IsValid():
		r.SystemAnswered(x, nil, ErrTimeout, now)
	default:
		q.next(now, ErrTimeout)
	}
}

// SystemAnswered brings what the system's resolver found. An error other than ErrNotFound is not
// remembered.
func (r *Resolver) SystemAnswered(x *Exchange, addresses []netip.Addr, err error, now int64) {
	q := x.query
	if !x.isCurrent() {
		return
	}
	q.endExchange()
	q.isOver, q.found = true, addresses
	if err != nil && err != ErrNotFound {
		q.err = err
	} else {
		r.cache.put(cacheKey{q.name, q.family}, addresses, systemTTL, now)
	}
	q.lookup.advance(now)
}

// Received brings a message that came for an exchange. One that does not belong to it is ignored, the
// answer may still come.
func (r *Resolver) Received(x *Exchange, message []byte, now int64) {
	if !x.isCurrent() {
		return
	}
	q := x.query
	answer, err := parseReply(message, x.id, q.name, q.family)
	switch {
	case err == errForeign && !x.TCP:
		return
	case err != nil:
		answer.kind = replyFailed
	}
	switch answer.kind {
	case replyTruncated:
		if x.TCP {
			q.next(now, ErrServer)
			return
		}
		q.again(x, true, now)
	case replyPlain:
		if q.plain {
			q.next(now, ErrServer)
			return
		}
		q.plain = true
		q.again(x, x.TCP, now)
	case replyFailed:
		q.next(now, ErrServer)
	default:
		q.endExchange()
		q.conclude(&answer, now)
	}
}

// again asks the same server another way.
func (q *query) again(x *Exchange, tcp bool, now int64) {
	q.endExchange()
	if err := q.ask(x.Server, tcp); err != nil {
		q.next(now, ErrServer)
	}
}

// conclude takes an answer in.
func (q *query) conclude(answer *reply, now int64) {
	cache := &q.lookup.resolver.cache
	q.aliases += answer.aliases
	q.ttl = min(q.ttl, answer.ttl)
	q.err = nil
	switch {
	case answer.kind == replyLoop, q.aliases > aliasesMax:
		q.isOver, q.err = true, ErrLoop
	case answer.kind == replyAlias:
		q.name, q.tries, q.plain = answer.alias, 0, false
		q.start(now)
	default:
		q.isOver, q.found = true, answer.addresses
		cache.put(cacheKey{q.asked, q.family}, answer.addresses, q.ttl, now)
	}
	q.lookup.advance(now)
}
