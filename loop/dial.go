package loop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nano/dns"
	"nano/egress"
	"nano/isolates"
)

// A target is whom to connect to.
type target struct {
	host string // a name, or an address with or without brackets
	port uint16
	app  *appWorker // on whose behalf; nil: the node's own
}

func (t *target) name() string {
	if t.app == nil {
		return ""
	}
	return t.app.name
}

// A dialer is told what became of a dial, once, and never from within dial.
type dialer interface {
	// dialed brings an endpoint that is connected and paused. The dialer sets its handler.
	dialed(e *endpoint)
	dialFailed(f *fault)
}

// A dialing is an attempt to connect to a host: its name is resolved, its addresses are checked against
// the egress rules, and then they are tried one after the other, each a little after the one before, as
// "Happy Eyeballs" describes it (RFC 8305). The first that answers is taken.
type dialing struct {
	loop   *Loop
	dialer dialer // nil: it is over, or was cancelled
	to     target
	rules  *egress.Rules
	lookup *dns.Lookup // nil: none is under way

	seen     []netip.Addr // all that the name resolved to
	untried  []candidate
	attempts []*attempt // under way
	tried    int

	denied  netip.Addr // the first address that the rules do not allow
	errno   unix.Errno // of the first attempt that failed
	failed  netip.Addr // and whom it was to reach
	failure *fault     // to be told
	isHeld  bool       // the other family is worth a short wait

	limit timeoutNode // for all of it
	next  timeoutNode // until the next attempt begins
}

// A candidate is an address to try.
type candidate struct {
	address    netip.Addr
	precedence int
}

// An attempt is one connect of a dialing.
type attempt struct {
	dialing  *dialing
	endpoint *endpoint
}

// dialState is what a loop keeps for connections that it makes.
type dialState struct {
	names            *dns.Resolver // nil: nothing was looked up yet
	namesConfig      *dns.Config   // that it follows
	systemOpen       int           // questions to the system's resolver
	systemQueue      []*systemLookup
	dialsFailed      []*dialing // whose dialers have to be told
	withoutIPv6Until int64      // see withoutIPv6
}

const (
	// dialLimit is for how long a name may take to be resolved, and a proxy to open a tunnel.
	dialLimit = 20 * time.Second
	// connectLimit is for how long its addresses are tried, from the first attempt on.
	connectLimit = 10 * time.Second
	// attemptDelay is the Connection Attempt Delay of RFC 8305 §5.
	attemptDelay = 250 * time.Millisecond
	// resolutionDelay is for how long the answer about one family of addresses waits for that about the
	// other (RFC 8305 §3).
	resolutionDelay = 50 * time.Millisecond
	// attemptsMax bounds how many addresses of a name are tried.
	attemptsMax = 16
)

// dial connects to a host. The result can be cancelled until the dialer has heard.
func (l *Loop) dial(to target, rules *egress.Rules, who dialer) *dialing {
	d := &dialing{loop: l, dialer: who, to: to, rules: rules}
	d.limit.owner, d.next.owner = d, d
	d.to.host = unbracketed(to.host)
	l.startTimeout(&d.limit, dialLimit)
	address, err := netip.ParseAddr(d.to.host)
	switch {
	case to.port == 0:
		d.fail(isolates.FaultRefused, "connect: there is no port 0")
	case err == nil && address.Zone() != "":
		d.fail(isolates.FaultRefused, "connect: addresses with a zone cannot be connected to")
	case err == nil:
		d.to.host = ""
		d.add(dns.Answer{Addresses: []netip.Addr{address.Unmap()}})
	case !dns.IsName(d.to.host):
		d.fail(isolates.FaultRefused, "getaddrinfo: not a host name ("+to.host+")")
	case !rules.MayResolve(d.to.host, to.port):
		d.fail(isolates.FaultEgress, fmt.Sprintf("egress: %s:%d is not allowed for app %s", d.to.host, to.port, to.name()))
	default:
		l.resolve(d)
	}
	return d
}

// unbracketed is a host without the brackets that IPv6 addresses have in URLs.
func unbracketed(host string) string { return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") }

// cancel ends a dialing whose outcome nobody waits for.
func (d *dialing) cancel() {
	if d.dialer != nil {
		d.end()
	}
}

// end leaves nothing of a dialing behind.
func (d *dialing) end() {
	d.dialer = nil
	d.limit.stop()
	d.next.stop()
	d.untried = nil
	if d.lookup != nil {
		d.lookup.Leave(d)
		d.lookup = nil
	}
	for _, a := range d.attempts {
		a.endpoint.close()
	}
	d.attempts = nil
}

// fail tells the dialer what went wrong, later in this tick or in the next.
func (d *dialing) fail(kind isolates.Fault, text string) {
	if d.dialer == nil || d.failure != nil {
		return
	}
	who := d.dialer
	d.end()
	d.dialer, d.failure = who, newFault(kind, text)
	d.loop.dialsFailed = append(d.loop.dialsFailed, d)
}

// tellDialers tells of dials that have failed.
func (l *Loop) tellDialers() {
	n := len(l.dialsFailed) // what fails meanwhile waits for the next tick
	for i := range n {
		d := l.dialsFailed[i]
		l.dialsFailed[i] = nil
		if who := d.dialer; who != nil {
			d.dialer = nil
			who.dialFailed(d.failure)
		}
	}
	rest := copy(l.dialsFailed, l.dialsFailed[n:])
	clear(l.dialsFailed[rest:])
	l.dialsFailed = l.dialsFailed[:rest]
}

// Resolved implements dns.Waiter: it takes what became known of the name.
func (d *dialing) Resolved(answer dns.Answer) {
	if d.dialer == nil || d.failure != nil {
		return
	}
	if !answer.More {
		d.lookup = nil
	}
	if answer.Err != nil && len(d.untried)+d.tried == 0 && !d.denied.IsValid() {
		kind := isolates.FaultRefused
		switch answer.Err {
		case dns.ErrTimeout:
			kind = isolates.FaultTimeout
		case dns.ErrServer:
			kind = isolates.FaultNetwork
		}
		d.fail(kind, "getaddrinfo: "+answer.Err.Error()+" ("+d.to.host+")")
		return
	}
	d.add(answer)
}

// add takes addresses that may be tried, as far as the rules allow them.
func (d *dialing) add(answer dns.Answer) {
	for _, address := range answer.Addresses {
		if slices.Contains(d.seen, address) {
			continue
		}
		d.seen = append(d.seen, address)
		if !d.rules.Allows(d.to.host, netip.AddrPortFrom(address, d.to.port), answer.Local) {
			if !d.denied.IsValid() {
				d.denied = address
			}
			continue
		}
		d.untried = append(d.untried, candidate{address, d.loop.precedence(address)})
	}
	d.sort()
	// What comes first if it comes at all is worth a moment: IPv6, where that works.
	if answer.More && d.tried == 0 && len(d.untried) != 0 && !hasFamily(d.untried, d.loop.hasNoIPv6()) {
		d.isHeld = true
		d.loop.startTimeout(&d.next, resolutionDelay)
		return
	}
	if d.isHeld {
		d.isHeld = false
		d.next.stop()
	}
	d.advance()
}

func hasFamily(list []candidate, isIPv4 bool) bool {
	return slices.ContainsFunc(list, func(c candidate) bool { return c.address.Is4() == isIPv4 })
}

// advance begins the next attempt if it is time to, or ends the dialing if there is nothing left to wait
// for.
func (d *dialing) advance() {
	for d.dialer != nil && d.failure == nil && !d.isHeld && d.next.list == nil && len(d.untried) != 0 && d.tried < attemptsMax {
		d.try(d.untried[0].address)
	}
	if d.dialer == nil || d.failure != nil || len(d.attempts) != 0 || d.lookup != nil || d.isHeld {
		return
	}
	switch {
	case d.errno != 0:
		d.fail(isolates.FaultNetwork, fmt.Sprintf("connect: %s (%s)", d.errno.Error(), netip.AddrPortFrom(d.failed, d.to.port)))
		d.failure.isExhaustion = isExhaustion(d.errno)
	case d.denied.IsValid():
		text := fmt.Sprintf("egress: %s is not allowed for app %s", d.describe(d.denied), d.to.name())
		if d.rules.NamesHost(d.to.host, netip.AddrPortFrom(d.denied, d.to.port)) {
			text += ": a rule has to name the address"
		}
		d.fail(isolates.FaultEgress, text)
	default:
		d.fail(isolates.FaultRefused, "getaddrinfo: host not found ("+d.to.host+")")
	}
}

// describe is an address, with the name that led to it.
func (d *dialing) describe(address netip.Addr) string {
	text := netip.AddrPortFrom(address, d.to.port).String()
	if d.to.host != "" {
		text += " (" + d.to.host + ")"
	}
	return text
}

// try begins an attempt.
func (d *dialing) try(address netip.Addr) {
	l := d.loop
	d.untried = d.untried[1:]
	if d.tried++; d.tried == 1 {
		l.startTimeout(&d.limit, connectLimit)
	}
	a := &attempt{dialing: d}
	app := d.to.app
	var e *endpoint
	errno := unix.EMFILE
	if app == nil || l.options.outbound.mayOpen(app.shared) {
		e, errno = l.connect(netip.AddrPortFrom(address, d.to.port), false, a)
	}
	if errno != 0 {
		d.noteError(address, errno)
		if isExhaustion(errno) {
			d.untried = nil // another socket cannot be had either
		}
		return
	}
	if app != nil {
		e.owned(app)
	}
	a.endpoint = e
	d.attempts = append(d.attempts, a)
	l.startTimeout(&d.next, attemptDelay)
}

// isExhaustion reports whether a socket could not be had because too many files are open already.
func isExhaustion(errno unix.Errno) bool { return errno == unix.EMFILE || errno == unix.ENFILE }

// noteError remembers why an attempt failed.
func (d *dialing) noteError(address netip.Addr, errno unix.Errno) {
	if d.errno == 0 {
		d.errno, d.failed = errno, address
	}
	if address.Is6() && (errno == unix.ENETUNREACH || errno == unix.EADDRNOTAVAIL || errno == unix.EAFNOSUPPORT) {
		d.loop.withoutIPv6Until = d.loop.now + int64(withoutIPv6)
	}
}

// timedOut implements waiter.
func (d *dialing) timedOut(node *timeoutNode) {
	if node == &d.next {
		d.isHeld = false
		d.advance()
		return
	}
	where := d.to.host
	if len(d.attempts) != 0 {
		where = d.attempts[0].endpoint.remote.String()
	} else if d.lookup != nil {
		d.fail(isolates.FaultTimeout, "getaddrinfo: "+dns.ErrTimeout.Error()+" ("+where+")")
		return
	}
	d.fail(isolates.FaultTimeout, "connect: timed out ("+where+")")
}

// connected implements endpointHandler: this attempt has won.
func (a *attempt) connected() {
	d, e := a.dialing, a.endpoint
	who := d.dialer
	d.attempts = slices.DeleteFunc(d.attempts, func(other *attempt) bool { return other == a })
	d.end()
	who.dialed(e)
}

// failed implements endpointHandler.
func (a *attempt) failed(errno unix.Errno) {
	d := a.dialing
	d.attempts = slices.DeleteFunc(d.attempts, func(other *attempt) bool { return other == a })
	d.noteError(a.endpoint.remote.Addr(), errno)
	d.next.stop() // the next one need not wait
	d.advance()
}

// What an endpoint that is only connecting does not do.

func (a *attempt) received([]byte) {}
func (a *attempt) sent()           {}
func (a *attempt) closed()         {}

// withoutIPv6 is for how long IPv4 comes first after it turned out that there is no way to an IPv6
// address.
const withoutIPv6 = time.Minute

// hasNoIPv6 reports that IPv6 addresses could not be reached, a short while ago.
func (l *Loop) hasNoIPv6() bool { return l.now < l.withoutIPv6Until }

// Precedences of addresses after RFC 6724 §2.1.
var precedences = []struct {
	prefix netip.Prefix
	value  int
}{
	{netip.MustParsePrefix("::1/128"), 50},
	{netip.MustParsePrefix("2002::/16"), 30},
	{netip.MustParsePrefix("2001::/32"), 5},
	{netip.MustParsePrefix("fc00::/7"), 3},
	{netip.MustParsePrefix("::/96"), 1},
	{netip.MustParsePrefix("fec0::/10"), 1},
	{netip.MustParsePrefix("3ffe::/16"), 1},
}

// precedence is the place of an address among others of a name: more comes first.
func (l *Loop) precedence(address netip.Addr) int {
	if address.Is4() {
		return 35
	}
	if l.hasNoIPv6() {
		return 0
	}
	for _, p := range precedences {
		if p.prefix.Contains(address) {
			return p.value
		}
	}
	return 40
}

// sort puts the candidates in order: by precedence, and then families in turn, so that a family that
// does not work costs one delay and not many (RFC 8305 §4).
func (d *dialing) sort() {
	slices.SortStableFunc(d.untried, func(a, b candidate) int { return b.precedence - a.precedence })
	sorted := make([]candidate, 0, len(d.untried))
	rest := d.untried
	for len(rest) != 0 {
		// Of the family that was not last, if there is one left.
		i := slices.IndexFunc(rest, func(c candidate) bool {
			return len(sorted) == 0 || c.address.Is4() != sorted[len(sorted)-1].address.Is4()
		})
		i = max(i, 0)
		sorted = append(sorted, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	d.untried = sorted
}
