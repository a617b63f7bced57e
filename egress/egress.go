// Package egress decides what an app may connect to.
//
// Rules are those of [app.egress]: a list of what is allowed, by default every public address, and one of
// what is denied, which wins. They are asked about each address that a name resolved to, not about the
// name alone, so it does not matter what a name server answers the second time.
//
// A rule is one of
//
//   - every public address
//     192.0.2.7  ::1        this address
//     10.0.0.0/8  fd00::/8  every address of this range
//     db.internal           this name
//     *.example.com         every name below this one, but not itself
//
// and may end in a port, ":443"; IPv6 is then put in brackets, "[::1]:80", "[fd00::/8]:443".
//
// Addresses that are not public are only reached if a rule names them:
//
//   - An address or range that is allowed may be reached whatever it is.
//   - A name that is allowed in full may also resolve to a private network (RFC 1918, RFC 4193, and the
//     shared addresses of RFC 6598). It may resolve to anything else that is not public (this machine, its
//     links, the metadata services of clouds, multicast, what is reserved) if this machine says so, by its
//     hosts file or because the name is localhost, but not if a name server does: who runs that name's
//     zone need not be who wrote the rule.
//   - A pattern allows public addresses only, but for patterns of localhost, whose names mean this machine
//     by rule.
package egress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Rules are what an app may connect to. They do not change, so any number of loops may share them. A nil
// *Rules allows every public address.
type Rules struct {
	allow, deny []rule
}

// A rule matches destinations.
type rule struct {
	kind   kind
	port   uint16       // 0: every port
	prefix netip.Prefix // of kindRange
	name   string       // of kindName; of kindPattern with the dot in front
}

type kind uint8

const (
	kindAll kind = iota
	kindRange
	kindName
	kindPattern
)

// everything is the default.
var everything = &Rules{allow: []rule{{kind: kindAll}}}

// Parse reads the lists of [app.egress]. An allow that is nil, unlike one that is empty, stands for "*".
// Errors are about one rule, and say what to write instead.
func Parse(allow, deny []string) (*Rules, error) {
	r := &Rules{}
	if allow == nil {
		r.allow = everything.allow
	}
	for _, text := range allow {
		parsed, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		r.allow = append(r.allow, parsed)
	}
	for _, text := range deny {
		parsed, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		r.deny = append(r.deny, parsed)
	}
	return r, nil
}

// MayResolve reports whether there is any address at which host may be reached on port. If not, it need
// not be resolved: a question to a name server can carry data out, too. host is a name, not an address.
func (r *Rules) MayResolve(host string, port uint16) bool {
	if r == nil {
		return true
	}
	host = normal(host)
	for i := range r.deny {
		d := &r.deny[i]
		if d.matchesPort(port) && (d.kind == kindAll || d.matchesName(host)) {
			return false
		}
	}
	for i := range r.allow {
		a := &r.allow[i]
		if a.matchesPort(port) && (a.kind == kindAll || a.kind == kindRange || a.matchesName(host)) {
			return true
		}
	}
	return false
}

// AllowsName reports whether an app may have somebody else, a proxy, resolve a name and connect to it. Which addresses
// it has is not known here, so a rule about addresses neither allows nor denies it; nor does "*" allow
// localhost, which is the proxy's machine.
func (r *Rules) AllowsName(host string, port uint16) bool {
	if r == nil {
		r = everything
	}
	host = normal(host)
	for i := range r.deny {
		if d := &r.deny[i]; d.matchesPort(port) && (d.kind == kindAll || d.matchesName(host)) {
			return false
		}
	}
	for i := range r.allow {
		a := &r.allow[i]
		if a.matchesPort(port) && (a.kind == kindAll && !isLocalhost(host) || a.matchesName(host)) {
			return true
		}
	}
	return false
}

// isLocalhost reports whether a name is localhost, or one below it (RFC 6761 §6.3).
func isLocalhost(host string) bool {
	return strings.EqualFold(host, "localhost") || len(host) > 10 && strings.EqualFold(host[len(host)-10:], ".localhost")
}

// Allows reports whether an app may connect to an address. host is the name that resolved to it, "" if it
// was given as an address. isLocal says that this machine resolved the name, by its hosts file or because
// it is localhost, and no name server.
func (r *Rules) Allows(host string, to netip.AddrPort, isLocal bool) bool {
	if r == nil {
		r = everything
	}
	address, port := to.Addr().Unmap(), to.Port()
	if !address.IsValid() || address.Zone() != "" {
		return false
	}
	host = normal(host)
	if r.denies(host, address, port) {
		return false
	}
	reach := reachOf(address)
	for i := range r.allow {
		if a := &r.allow[i]; a.matchesPort(port) && a.allows(host, address, reach, isLocal) {
			return true
		}
	}
	return false
}

// denies reports whether one of the rules of deny matches.
func (r *Rules) denies(host string, address netip.Addr, port uint16) bool {
	inner, hasInner := embedded(address)
	for i := range r.deny {
		d := &r.deny[i]
		if !d.matchesPort(port) {
			continue
		}
		if d.kind == kindAll || d.matchesName(host) || d.matchesAddress(address) || hasInner && d.matchesAddress(inner) {
			return true
		}
	}
	return false
}

// NamesHost reports, of an address that is not allowed, whether that is only because no rule names the
// address itself: one names its host.
func (r *Rules) NamesHost(host string, to netip.AddrPort) bool {
	host = normal(host)
	if r == nil || r.denies(host, to.Addr().Unmap(), to.Port()) {
		return false
	}
	for i := range r.allow {
		if a := &r.allow[i]; a.matchesPort(to.Port()) && a.matchesName(host) {
			return true
		}
	}
	return false
}

// allows reports whether one rule lets an app connect; its port matches.
func (a *rule) allows(host string, address netip.Addr, reach reach, isLocal bool) bool {
	switch a.kind {
	case kindAll:
		return reach == reachPublic
	case kindRange:
		if inner, ok := translated(address); ok && a.prefix.Contains(inner) {
			return true
		}
		return a.prefix.Contains(address)
	case kindPattern:
		return (reach == reachPublic || isLocal && strings.HasSuffix(a.name, ".localhost")) && a.matchesName(host)
	default:
		return (reach != reachGuarded || isLocal) && a.matchesName(host)
	}
}

func (r *rule) matchesPort(port uint16) bool { return r.port == 0 || r.port == port }

func (r *rule) matchesAddress(address netip.Addr) bool {
	return r.kind == kindRange && r.prefix.Contains(address)
}

func (r *rule) matchesName(host string) bool {
	switch r.kind {
	case kindName:
		return host != "" && strings.EqualFold(host, r.name)
	case kindPattern:
		rest := len(host) - len(r.name)
		return rest > 0 && strings.EqualFold(host[rest:], r.name)
	}
	return false
}

// normal takes away the dot that says that a name is complete.
func normal(host string) string { return strings.TrimSuffix(host, ".") }

// parseRule reads one rule.
func parseRule(text string) (rule, error) {
	host, port, err := splitPort(text)
	if err != nil {
		return rule{}, fmt.Errorf("%q: %w", text, err)
	}
	r := rule{port: port}
	if host == "*" {
		return r, nil
	}
	r.kind = kindRange
	if strings.Contains(host, "/") {
		r.prefix, err = parseRange(host)
	} else if address, parseErr := netip.ParseAddr(host); parseErr == nil {
		address = address.Unmap()
		r.prefix = netip.PrefixFrom(address, address.BitLen())
		if address.Zone() != "" {
			err = fmt.Errorf("a zone cannot be part of a rule")
		}
	} else {
		r.kind, r.name = kindName, strings.ToLower(normal(host))
		if strings.HasPrefix(r.name, "*.") {
			r.kind, r.name = kindPattern, r.name[1:]
		}
		err = checkName(strings.TrimPrefix(r.name, "."))
	}
	if err != nil {
		return rule{}, fmt.Errorf("%q: %w", text, err)
	}
	return r, nil
}

// splitPort takes a rule apart. IPv6 is in brackets if there is a port.
func splitPort(text string) (host string, port uint16, err error) {
	rest := ""
	switch colon := strings.LastIndexByte(text, ':'); {
	case strings.HasPrefix(text, "["):
		inner, after, ok := strings.Cut(text[1:], "]")
		if !ok || !strings.Contains(inner, ":") {
			return "", 0, fmt.Errorf("brackets go around IPv6 addresses, as in \"[::1]:80\"")
		}
		host, rest = inner, after
		if strings.HasPrefix(rest, "/") { // "[fd00::]/8:80", beside "[fd00::/8]:80"
			length, _, _ := strings.Cut(rest, ":")
			host, rest = inner+length, rest[len(length):]
		}
		if rest == "" {
			return host, 0, nil
		}
	case colon < 0, strings.IndexByte(text, ':') != colon: // more than one: IPv6, without a port
		return text, 0, nil
	default:
		host, rest = text[:colon], text[colon:]
	}
	digits, ok := strings.CutPrefix(rest, ":")
	n, parseErr := strconv.ParseUint(digits, 10, 16)
	if !ok || parseErr != nil || n == 0 || digits[0] == '0' || digits[0] == '+' {
		return "", 0, fmt.Errorf("the port must be a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

// parseRange reads a range of addresses.
func parseRange(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("not a range of addresses, such as 10.0.0.0/8 or fd00::/8")
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("a range of IPv4 addresses is written as 10.0.0.0/8")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("bits are set after the first %d: write %v, or the address alone", prefix.Bits(), masked)
	}
	return prefix, nil
}

// checkName checks the name of a host, in the form that URLs have after they were parsed.
func checkName(name string) error {
	if len(name) > 253 {
		return fmt.Errorf("a name has at most 253 characters")
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return fmt.Errorf("not the name of a host")
		}
		for _, c := range []byte(label) {
			switch {
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			case c >= 0x80:
				return fmt.Errorf("write the name as it is asked for, with xn--")
			case c == '*':
				return fmt.Errorf("a star stands at the beginning, as in *.example.com, or alone")
			default:
				return fmt.Errorf("not the name of a host, an address, a range or *")
			}
		}
		last = label
	}
	// What ends in a number is an IPv4 address to a URL, in one of its odd forms.
	digits, isHex := strings.CutPrefix(last, "0x")
	alphabet := "0123456789"
	if isHex {
		alphabet += "abcdef"
	}
	if strings.Trim(digits, alphabet) == "" {
		return fmt.Errorf("an IPv4 address is written with four decimal numbers, as in 127.0.0.1")
	}
	return nil
}
