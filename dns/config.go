package dns

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Config is how names are resolved on this machine.
type Config struct {
	Servers  []netip.AddrPort
	Search   []string // domains, folded
	Ndots    int      // a name with as many dots is tried as it is first
	Timeout  time.Duration
	Attempts int  // rounds through all servers
	Rotate   bool // lookups begin with different servers
	TCP      bool // no datagrams
	IPv4Only bool
	Hosts    *Hosts
	// System says that names other than those of Hosts are for the system's resolver: the
	// configuration has something that is not understood here.
	System bool
}

// Defaults and limits of resolv.conf(5).
const (
	serversMax      = 3
	searchMax       = 32
	timeoutDefault  = 5 * time.Second
	timeoutMax      = 30 * time.Second
	attemptsDefault = 2
	attemptsMax     = 5
	ndotsMax        = 15
	port            = 53
)

// ParseConfig reads the text of resolv.conf(5). hostname is this machine's: its domain is searched if the
// file names none. Options that mean nothing here are ignored, as the C library does.
func ParseConfig(text, hostname string) *Config {
	c := &Config{Ndots: 1, Timeout: timeoutDefault, Attempts: attemptsDefault}
	if _, domain, ok := strings.Cut(fold(hostname), "."); ok && IsName(domain) {
		c.Search = []string{domain}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			c.addServer(fields[1])
		case "domain":
			c.setSearch(fields[1:2])
		case "search":
			c.setSearch(fields[1:])
		case "options":
			for _, option := range fields[1:] {
				c.setOption(option)
			}
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(loopback[0], port), netip.AddrPortFrom(loopback[1], port)}
	}
	return c
}

func (c *Config) addServer(text string) {
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil:
	case address.Zone() != "":
		c.System = true // of one link only
	case len(c.Servers) < serversMax:
		c.Servers = append(c.Servers, netip.AddrPortFrom(address.Unmap(), port))
	}
}

func (c *Config) setSearch(domains []string) {
	c.Search = nil
	for _, domain := range domains {
		if domain = fold(domain); IsName(domain) && len(c.Search) < searchMax {
			c.Search = append(c.Search, domain)
		}
	}
}

func (c *Config) setOption(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	hasNumber := err == nil && n >= 0
	switch {
	case name == "ndots" && hasNumber:
		c.Ndots = min(n, ndotsMax)
	case name == "timeout" && hasNumber:
		c.Timeout = min(time.Duration(max(min(n, 60), 1))*time.Second, timeoutMax)
	case name == "attempts" && hasNumber:
		c.Attempts = min(max(n, 1), attemptsMax)
	case option == "rotate":
		c.Rotate = true
	case option == "use-vc":
		c.TCP = true
	case option == "no-aaaa":
		c.IPv4Only = true
	}
}

// IsPlain reports whether the hosts line of nsswitch.conf(5) asks for nothing but files and then DNS, as
// it does by default. "myhostname" may follow, which knows this machine's own name if nobody else does.
func IsPlain(nsswitch string) bool {
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if !ok {
			continue
		}
		fields := strings.Fields(sources)
		if last := len(fields) - 1; last > 0 && fields[last] == "myhostname" {
			fields = fields[:last]
		}
		switch len(fields) {
		case 1:
			return fields[0] == "dns"
		case 2:
			return fields[0] == "files" && fields[1] == "dns"
		}
		return false
	}
	return true
}

// candidates are the full names to be asked for, in order.
func (c *Config) candidates(name string) []string {
	folded := fold(name)
	if strings.HasSuffix(name, ".") {
		return []string{folded}
	}
	list := make([]string, 0, 1+len(c.Search))
	isFirst := strings.Count(folded, ".") >= c.Ndots
	if isFirst {
		list = append(list, folded)
	}
	for _, domain := range c.Search {
		if full := folded + "." + domain; len(full) <= nameMax {
			list = append(list, full)
		}
	}
	if !isFirst {
		list = append(list, folded)
	}
	return list
}
