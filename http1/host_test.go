package http1

import (
	"net/netip"
	"testing"
)

func TestIsHost(t *testing.T) {
	for text, want := range map[string]bool{
		// RFC 3986 §3.2.2 reg-name and IPv4address
		"a": true, "a.example": true, "A-B_c~.example.": true, "127.0.0.1": true, "xn--bcher-kva.example": true,
		"a!$&'()*+,;=b": true, "localhost": true, "999.1.2.3": true,
		"": false, " a": false, "a b": false, "a/b": false, "a\\b": false, "a?b": false, "a#b": false, "u@a": false,
		"a%41": false, "a%": false, "caf\xc3\xa9": false, "a\x00": false, "<a>": false, "a\"": false, "a|b": false,
		// RFC 3986 §3.2.3 port
		"a:0": true, "a:80": true, "a:65535": true, "a:00080": true, "a:": true, "[::1]:": true,
		"a:65536": false, "a:99999": false, "a:000080": false, "a:-1": false, "a:+1": false, "a:8a": false, "a:80:80": false,
		":80": false, ":": false, "a: 80": false,
		// RFC 3986 §3.2.2 IP-literal
		"[::1]": true, "[::1]:8080": true, "[2001:db8::1]": true, "[::ffff:192.0.2.1]": true,
		"[]": false, "[::1": false, "::1": false, "[::1]x": false, "[::1]80": false, "[fe80::1%25eth0]": false,
		"[fe80::1%eth0]": false, "[v1.a]": false, "[127.0.0.1]": false, "[a]": false, "[[::1]]": false,
	} {
		if got := isHost([]byte(text)); got != want {
			t.Errorf("isHost(%q) = %t", text, got)
		}
	}
}

// TestIsIPv6 compares with net/netip, which knows zones in addition.
func TestIsIPv6(t *testing.T) {
	addresses := []string{
		"::", "::1", "1::", "1::8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
		"1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "::ffff:1.2.3.4", "1:2:3:4:5::1.2.3.4", "64:ff9b::255.255.255.255",
		"abcd:EF01::", "0000::0000",
		"", ":", ":::", "1", "1:", ":1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8",
		"1::2::3", "1:::2", "12345::", "g::", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4", "::1.2.3.", "::1..2.3",
		"1.2.3.4", "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
		"1:2:3:4:5:6::1.2.3.4", "1:2:3:4:5:6:7::8", "::1234.1.1.1", "::.1.1.1", "1::2:", "::1 ", " ::1",
	}
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		want := err == nil && address.Is6() && address.Zone() == ""
		if got := isIPv6([]byte(text)); got != want {
			t.Errorf("isIPv6(%q) = %t", text, got)
		}
	}
}
