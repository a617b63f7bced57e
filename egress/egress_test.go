package egress

import (
	"net/netip"
	"strings"
	"testing"
)

// asked is one question to a set of rules.
type asked struct {
	host    string // "": by address
	to      string
	isLocal bool
	want    bool
}

func lines(text string) []string {
	if text == "-" {
		return nil
	}
	return strings.Fields(text)
}

// allowed and denied are questions about an address alone.
func allowed(to ...string) (all []asked) {
	for _, one := range to {
		all = append(all, asked{to: one, want: true})
	}
	return all
}

func denied(to ...string) (all []asked) {
	for _, one := range to {
		all = append(all, asked{to: one})
	}
	return all
}

var ruleRows = []struct {
	name, allow, deny string // "-": absent
	asked             [][]asked
}{
	{"default", "-", "", [][]asked{
		allowed("1.1.1.1:80", "8.8.8.8:1", "172.15.0.1:80", "172.32.0.1:80", "100.63.0.1:80", "100.128.0.1:80", "192.167.0.1:80",
			"[2606:4700::1]:443", "[64:ff9b::8.8.8.8]:443", "223.255.255.255:80", "[2a00::5efe:1.1.1.1]:80"),
		denied("127.0.0.1:80", "127.255.0.1:80", "10.0.0.1:80", "172.16.0.1:80", "172.31.255.255:80", "192.168.1.1:80", "169.254.169.254:80",
			"100.64.0.1:80", "0.0.0.0:80", "0.1.2.3:80", "224.0.0.1:80", "239.0.0.1:80", "240.0.0.1:80", "255.255.255.255:80", "192.0.2.1:80",
			"198.18.0.1:80", "198.19.0.1:80", "198.51.100.1:80", "203.0.113.1:80", "192.0.0.1:80", "192.88.99.1:80", "168.63.129.16:80", "100.100.100.200:80"),
		denied("[::1]:80", "[::]:80", "[fe80::1]:80", "[fec0::1]:80", "[fc00::1]:80", "[fd00:ec2::254]:80", "[ff02::1]:80", "[2001:db8::1]:80",
			"[3fff::1]:80", "[5f00::1]:80", "[100::1]:80", "[2001::1]:80", "[2001:10::1]:80", "[4000::1]:80", "[64:ff9b:1::808:808]:80"),
		denied("[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:80", "[::127.0.0.1]:80", "[::8.8.8.8]:80", "[::ffff:0:127.0.0.1]:80", "[64:ff9b::127.0.0.1]:80",
			"[64:ff9b::10.0.0.1]:80", "[2002:7f00:1::1]:80", "[2002:808:808::1]:80", "[2001:0:1:2:3:4:80ff:fffe]:80", "[2a00::5efe:10.0.0.1]:80", "[2a00::200:5efe:127.0.0.1]:80"),
		{{"example.com", "1.1.1.1:80", false, true}, {"example.com", "10.0.0.1:80", false, false}, {"localhost", "127.0.0.1:80", true, false}},
	}},
	{"nothing", "", "", [][]asked{denied("1.1.1.1:80", "127.0.0.1:80")}},
	{"address and port", "127.0.0.1:9000", "", [][]asked{
		allowed("127.0.0.1:9000", "[::ffff:127.0.0.1]:9000", "[64:ff9b::127.0.0.1]:9000"),
		denied("127.0.0.1:9001", "127.0.0.2:9000", "1.1.1.1:9000", "[::1]:9000", "[::127.0.0.1]:9000"),
		{{"evil.example", "127.0.0.1:9000", false, true}}, // the address is allowed, whoever names it
	}},
	{"address", "127.0.0.1", "", [][]asked{allowed("127.0.0.1:1", "127.0.0.1:65535"), denied("127.0.0.2:1")}},
	{"range", "10.0.0.0/8 *", "", [][]asked{allowed("10.1.2.3:80", "8.8.8.8:80"), denied("127.0.0.1:80", "192.168.0.1:80")}},
	{"range and port", "10.0.0.0/8:5432 [fd00::/8]:5432", "", [][]asked{allowed("10.1.2.3:5432", "[fd12::1]:5432"), denied("10.1.2.3:80", "[fd12::1]:80", "[fc12::1]:5432")}},
	{"range in brackets", "[fd00::]/8:80 [::1]/128", "", [][]asked{allowed("[fd12::1]:80", "[::1]:7"), denied("[fd12::1]:81", "[::2]:7")}},
	{"IPv6", "::1 [fd00::7]:80 fe80::/10", "", [][]asked{allowed("[::1]:80", "[::1]:1", "[fd00::7]:80", "[fe80::1]:1"), denied("[fd00::7]:81", "[::2]:1", "127.0.0.1:80")}},
	{"mapped", "::ffff:10.0.0.1 ::ffff:192.168.0.0/112", "", [][]asked{allowed("10.0.0.1:1", "192.168.7.7:1"), denied("10.0.0.2:1", "192.169.0.1:1")}},
	{"name", "db.internal:5432 *", "", [][]asked{{
		{"db.internal", "10.0.0.1:5432", false, true}, {"DB.Internal.", "10.0.0.1:5432", false, true}, {"db.internal", "100.64.0.1:5432", false, true},
		{"db.internal", "[fd00::1]:5432", false, true}, {"db.internal", "[64:ff9b::10.0.0.1]:5432", false, true},
		{"db.internal", "10.0.0.1:80", false, false}, {"x.db.internal", "10.0.0.1:5432", false, false}, {"internal", "10.0.0.1:5432", false, false},
		{"db.internal", "127.0.0.1:5432", false, false}, {"db.internal", "127.0.0.1:5432", true, true},
		{"db.internal", "169.254.169.254:5432", false, false}, {"db.internal", "[fd00:ec2::254]:5432", false, false},
		{"db.internal", "[::ffff:127.0.0.1]:5432", false, false}, {"db.internal", "8.8.8.8:5432", false, true},
		{"", "10.0.0.1:5432", false, false},
	}}},
	{"localhost", "localhost:3000", "", [][]asked{{
		{"localhost", "127.0.0.1:3000", true, true}, {"localhost", "[::1]:3000", true, true}, {"localhost", "127.0.0.1:3001", true, false},
		{"x.localhost", "127.0.0.1:3000", true, false}, {"", "127.0.0.1:3000", false, false},
	}}},
	{"pattern", "*.example.com:443", "", [][]asked{{
		{"a.example.com", "1.1.1.1:443", false, true}, {"a.b.EXAMPLE.com.", "1.1.1.1:443", false, true}, {"example.com", "1.1.1.1:443", false, false},
		{"aexample.com", "1.1.1.1:443", false, false}, {"a.example.com", "1.1.1.1:80", false, false}, {"a.example.com", "10.0.0.1:443", false, false},
		{"a.example.com", "127.0.0.1:443", false, false}, {"a.example.com", "127.0.0.1:443", true, false}, {".example.com", "1.1.1.1:443", false, false},
		{"", "1.1.1.1:443", false, false},
	}}},
	{"pattern of localhost", "*.localhost:3000", "", [][]asked{{
		{"a.localhost", "127.0.0.1:3000", true, true}, {"a.localhost", "127.0.0.1:3000", false, false}, {"localhost", "127.0.0.1:3000", true, false},
		{"a.localhost", "127.0.0.1:80", true, false}, {"a.notlocalhost", "127.0.0.1:3000", true, false},
	}}},
	{"port of all", "*:443", "", [][]asked{allowed("1.1.1.1:443"), denied("1.1.1.1:80", "127.0.0.1:443")}},
	{"deny wins", "* 10.0.0.0/8 db.internal", "10.0.0.1 *.bad.example tracker.example *:25 8.8.0.0/16", [][]asked{
		allowed("10.0.0.2:80", "1.1.1.1:80"),
		denied("10.0.0.1:80", "1.1.1.1:25", "8.8.8.8:80", "[64:ff9b::8.8.8.8]:80", "[::ffff:10.0.0.1]:80"),
		{{"db.internal", "10.0.0.1:80", false, false}, {"x.bad.example", "1.1.1.1:80", false, false}, {"bad.example", "1.1.1.1:80", false, true},
			{"Tracker.Example.", "1.1.1.1:80", false, false}, {"tracker.example", "1.1.1.1:80", true, false}},
	}},
	{"deny all", "*", "*", [][]asked{denied("1.1.1.1:80")}},
	{"deny inner of a form that is allowed", "2002::/16", "10.0.0.0/8", [][]asked{allowed("[2002:808:808::1]:80"), denied("[2002:a00:1::1]:80")}},
}

func TestRules(t *testing.T) {
	for _, row := range ruleRows {
		rules, err := Parse(lines(row.allow), lines(row.deny))
		if row.allow == "" {
			rules, err = Parse([]string{}, lines(row.deny))
		}
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		for _, group := range row.asked {
			for _, a := range group {
				to := netip.MustParseAddrPort(a.to)
				if got := rules.Allows(a.host, to, a.isLocal); got != a.want {
					t.Errorf("%s: %q at %s (local: %v): %v, want %v", row.name, a.host, a.to, a.isLocal, got, a.want)
				}
				if a.want && a.host != "" && !rules.MayResolve(a.host, to.Port()) {
					t.Errorf("%s: %q is allowed but may not be resolved", row.name, a.host)
				}
			}
		}
	}
}

func TestNilRulesAreTheDefault(t *testing.T) {
	var none *Rules
	rules, err := Parse(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1.1.1.1:80", "127.0.0.1:80", "[::1]:80", "[2606:4700::1]:443"} {
		to := netip.MustParseAddrPort(text)
		if none.Allows("", to, false) != rules.Allows("", to, false) {
			t.Errorf("%s: differs", text)
		}
	}
	if !none.MayResolve("a.example", 80) {
		t.Error("a name may not be resolved")
	}
}

func TestWhatCannotBeAllowedIsNotResolved(t *testing.T) {
	rules, err := Parse([]string{"api.example:443", "*.cdn.example"}, []string{"secret.cdn.example"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"api.example": true, "API.example.": true, "x.cdn.example": true, "cdn.example": false, "other.example": false, "secret.cdn.example": false,
	} {
		if got := rules.MayResolve(host, 443); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if rules.MayResolve("api.example", 80) {
		t.Error("on another port")
	}
	if rules, _ = Parse([]string{"10.0.0.0/8"}, nil); !rules.MayResolve("any.example", 80) {
		t.Error("a name may resolve to the range")
	}
}

func TestNamesHost(t *testing.T) {
	rules, err := Parse([]string{"*", "10.0.0.0/8", "db.internal:5432", "*.cdn.example"}, []string{"127.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"DB.internal.": true, "x.cdn.example": true, "cdn.example": false, "www.example": false, "": false} {
		if got := rules.NamesHost(host, netip.MustParseAddrPort("127.0.0.1:5432")); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	for _, to := range []string{"127.0.0.1:80", "127.0.0.2:5432"} {
		if rules.NamesHost("db.internal", netip.MustParseAddrPort(to)) || (*Rules)(nil).NamesHost("a", netip.MustParseAddrPort(to)) {
			t.Errorf("%s: to name it would not help", to)
		}
	}
}

func TestZonesAreDenied(t *testing.T) {
	rules, err := Parse([]string{"fe80::/10"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rules.Allows("", netip.MustParseAddrPort("[fe80::1%eth0]:80"), false) {
		t.Error("allowed")
	}
	if (*Rules)(nil).Allows("", netip.AddrPort{}, false) {
		t.Error("no address at all")
	}
}

func TestMalformedRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "not the name of a host",
		"a b":                     "not the name of a host, an address",
		"http://example.com":      "port",
		"https://a.example:443/":  "range of addresses",
		"example.com/":            "range of addresses",
		"user@example.com":        "not the name",
		"10.0.0.1/8":              "write 10.0.0.0/8",
		"10.0.0.0/33":             "range",
		"10/8":                    "range",
		"::ffff:0.0.0.0/40":       "IPv4 addresses is written",
		"[10.0.0.1]:80":           "brackets",
		"[::1":                    "brackets",
		"[::1]80":                 "port",
		"[::1/64]/64":             "range",
		"[fd00::]/8:":             "port",
		"[::1]:":                  "port",
		"127.0.0.1:0":             "port",
		"127.0.0.1:65536":         "port",
		"127.0.0.1:080":           "port",
		"127.0.0.1:http":          "port",
		"*:":                      "port",
		"127.1":                   "four decimal numbers",
		"0x7f.0.0.1":              "four decimal numbers",
		"0x7f000001":              "four decimal numbers",
		"2130706433":              "four decimal numbers",
		"0177.0.0.1":              "four decimal numbers",
		"1.2.3.4.5":               "four decimal numbers",
		"256.0.0.1":               "four decimal numbers",
		"fe80::1%eth0":            "zone",
		"*example.com":            "star",
		"a.*.example.com":         "star",
		"bücher.example":          "xn--",
		"-a.example":              "not the name",
		"a..example":              "not the name",
		strings.Repeat("a", 64):   "not the name",
		strings.Repeat("a.", 127): "253",
	} {
		if text == strings.Repeat("a.", 127) {
			text += "aa"
		}
		_, err := Parse([]string{text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if _, err := Parse(nil, []string{text}); err == nil {
			t.Errorf("deny %q: no error", text)
		}
	}
}

// FuzzRules checks that a rule that is understood never opens what is not public by pattern or star, and
// that to deny it denies all that it allows.
func FuzzRules(f *testing.F) {
	for _, row := range ruleRows {
		for _, text := range append(lines(row.allow), lines(row.deny)...) {
			f.Add(text, "a.example.com", uint16(443), []byte{127, 0, 0, 1})
		}
	}
	f.Fuzz(func(t *testing.T, text, host string, port uint16, raw []byte) {
		address, ok := netip.AddrFromSlice(raw)
		rules, err := Parse([]string{text}, nil)
		if err != nil || !ok {
			return
		}
		to := netip.AddrPortFrom(address, port)
		allows := rules.Allows(host, to, false)
		if kind := rules.allow[0].kind; allows && kind != kindRange && reachOf(address.Unmap()) == reachGuarded {
			t.Errorf("%q allows %v", text, to)
		}
		if allows && host != "" && !rules.MayResolve(host, port) {
			t.Errorf("%q allows %q, which may not be resolved", text, host)
		}
		reverse, err := Parse([]string{text, "*", "0.0.0.0/0", "::/0"}, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if allows && reverse.Allows(host, to, false) {
			t.Errorf("denying %q does not deny %v", text, to)
		}
	})
}
