package egress

import "net/netip"

// reach says who may be behind an address.
type reach uint8

const (
	reachPublic  reach = iota
	reachPrivate       // somebody of this network
	reachGuarded       // this machine, its links, many, or nobody
)

// The special addresses, after the registries of RFC 6890 as IANA keeps them. What they call globally
// reachable but is of no use to connect to is left out too.
var (
	privateRanges = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
		"100.64.0.0/10", // shared address space, RFC 6598
		"fc00::/7",      // unique local, RFC 4193
	)
	guardedRanges = prefixes(
		"0.0.0.0/8",       // this network, RFC 1122; Linux takes 0.0.0.0 as this machine
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, RFC 3927; metadata services
		"192.0.0.0/24",    // protocol assignments, RFC 6890
		"192.0.2.0/24",    // documentation, RFC 5737
		"192.88.99.0/24",  // relays of 6to4, RFC 7526
		"198.18.0.0/15",   // benchmarks, RFC 2544
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast

		"2001::/23",     // protocol assignments, RFC 2928: Teredo, ORCHID, benchmarks
		"2001:db8::/32", // documentation, RFC 3849
		"2002::/16",     // 6to4, RFC 3056: an IPv4 address within
		"3fff::/20",     // documentation, RFC 9637

		// Metadata services of clouds outside the ranges above.
		"100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128",
	)
	globalUnicast = netip.MustParsePrefix("2000::/3")        // all of IPv6 that is handed out
	translators   = netip.MustParsePrefix("64:ff9b::/96")    // IPv4 behind a NAT64, RFC 6052
	compatible    = netip.MustParsePrefix("::/96")           // RFC 4291, deprecated
	siit          = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, deprecated
	sixToFour     = netip.MustParsePrefix("2002::/16")
	teredo        = netip.MustParsePrefix("2001::/32") // RFC 4380
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func contains(list []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range list {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// reachOf classifies an address, which is not an IPv4 address in an IPv6 one.
func reachOf(address netip.Addr) reach {
	if inner, ok := translated(address); ok {
		return reachOf(inner)
	}
	switch {
	case contains(guardedRanges, address):
		return reachGuarded
	case contains(privateRanges, address):
		return reachPrivate
	case address.Is6() && !globalUnicast.Contains(address):
		return reachGuarded // ::1, fe80::/10, ff00::/8, and what has no meaning yet
	}
	if inner, ok := embedded(address); ok && reachOf(inner) != reachPublic {
		return reachGuarded
	}
	return reachPublic
}

// translated gives the IPv4 address that a NAT64 would connect to: hosts without IPv4 reach public ones
// that way.
func translated(address netip.Addr) (netip.Addr, bool) {
	if !translators.Contains(address) {
		return netip.Addr{}, false
	}
	return lastFour(address), true
}

func lastFour(address netip.Addr) netip.Addr {
	bytes := address.As16()
	return netip.AddrFrom4([4]byte(bytes[12:]))
}

// embedded gives the IPv4 address that some form of an IPv6 address leads to.
func embedded(address netip.Addr) (netip.Addr, bool) {
	if !address.Is6() {
		return netip.Addr{}, false
	}
	bytes := address.As16()
	switch {
	case translators.Contains(address), compatible.Contains(address), siit.Contains(address):
		return lastFour(address), true
	case sixToFour.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	case teredo.Contains(address):
		for i := range bytes[12:] {
			bytes[12+i] ^= 0xff
		}
		return netip.AddrFrom4([4]byte(bytes[12:])), true
	case bytes[8]&^2 == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe: // ISATAP, RFC 5214
		return lastFour(address), true
	}
	return netip.Addr{}, false
}
