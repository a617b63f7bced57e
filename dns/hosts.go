package dns

import (
	"net/netip"
	"strings"
)

// Hosts is what /etc/hosts says.
type Hosts struct {
	byName map[string][]netip.Addr
}

// ParseHosts reads the text of hosts(5). Lines that it does not understand are left out, as the C
// library does.
func ParseHosts(text string) *Hosts {
	h := &Hosts{byName: map[string][]netip.Addr{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		if err != nil || address.Zone() != "" {
			continue
		}
		address = address.Unmap()
		for _, name := range fields[1:] {
			name = fold(name)
			if !contains(h.byName[name], address) {
				h.byName[name] = append(h.byName[name], address)
			}
		}
	}
	return h
}

func contains(list []netip.Addr, address netip.Addr) bool {
	for _, one := range list {
		if one == address {
			return true
		}
	}
	return false
}

// Lookup gives the addresses of a name in the order of the file; none: it is not there. The slice must
// not be changed.
func (h *Hosts) Lookup(name string) []netip.Addr {
	if h == nil {
		return nil
	}
	return h.byName[fold(name)]
}

// fold is the form in which names are compared: in lower case, without the dot at the end.
func fold(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// isLocalhost reports whether a name is this machine's by rule (RFC 6761 §6.3), whatever files and
// servers say.
func isLocalhost(folded string) bool {
	return folded == "localhost" || strings.HasSuffix(folded, ".localhost")
}

// Local gives what this machine knows of a name without asking: localhost by rule, and the hosts file.
func (h *Hosts) Local(name string) []netip.Addr {
	if isLocalhost(fold(name)) {
		return loopback
	}
	return h.Lookup(name)
}
