package egress

import "testing"

// TestAllowsName: names that a proxy resolves are judged as names alone.
func TestAllowsName(t *testing.T) {
	parse := func(allow, deny []string) *Rules {
		rules, err := Parse(allow, deny)
		if err != nil {
			t.Fatal(err)
		}
		return rules
	}
	for _, test := range []struct {
		rules *Rules
		host  string
		port  uint16
		want  bool
	}{
		{nil, "example.com", 80, true},
		{nil, "localhost", 80, false},
		{nil, "LOCALHOST.", 80, false},
		{nil, "a.localhost", 80, false},
		{nil, "notlocalhost", 80, true},
		{parse([]string{"localhost:80"}, nil), "localhost", 80, true},
		{parse([]string{"localhost:80"}, nil), "localhost", 81, false},
		{parse([]string{"*.example.com"}, nil), "a.example.com", 443, true},
		{parse([]string{"*.example.com"}, nil), "example.com", 443, false},
		{parse([]string{"10.0.0.0/8"}, nil), "db.internal", 80, false},
		{parse([]string{"*:443"}, nil), "example.com", 80, false},
		{parse(nil, []string{"*.example.com"}), "a.example.com", 80, false},
		{parse(nil, []string{"*:80"}), "example.com", 80, false},
		{parse(nil, []string{"10.0.0.0/8"}), "example.com", 80, true},
		{parse([]string{}, nil), "example.com", 80, false},
	} {
		if got := test.rules.AllowsName(test.host, test.port); got != test.want {
			t.Errorf("%+v: %s:%d: %v", test.rules, test.host, test.port, got)
		}
	}
}
