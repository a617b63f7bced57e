package egress

import (
	"net/netip"
	"testing"
)

// BenchmarkAllows asks rules of the usual length about a public address.
func BenchmarkAllows(b *testing.B) {
	rules, err := Parse([]string{"10.0.0.0/8", "*.example.com:443", "*"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	to := netip.MustParseAddrPort("1.1.1.1:443")
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Allows("www.test", to, false) {
			b.Fatal("denied")
		}
	}
}
