package dns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestParseConfig(t *testing.T) {
	for _, row := range []struct{ text, hostname, want string }{
		{"", "box", "[127.0.0.1:53 [::1]:53] [] 1 5s 2"},
		{"", "box.Corp.example", "[127.0.0.1:53 [::1]:53] [corp.example] 1 5s 2"},
		{"nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver ::ffff:192.0.2.3\nnameserver 192.0.2.4\n", "box", "[192.0.2.1:53 [2001:db8::1]:53 192.0.2.3:53] [] 1 5s 2"},
		{"# nameserver 192.0.2.1\n; nameserver 192.0.2.1\nnameserver nonsense\nnameserver\nnameserver 192.0.2.5 # why\n", "box", "[192.0.2.5:53] [] 1 5s 2"},
		{"domain a.example\nsearch B.example. c.example\n", "box.d.example", "[127.0.0.1:53 [::1]:53] [b.example c.example] 1 5s 2"},
		{"search a.example\ndomain b.example c.example\n", "box", "[127.0.0.1:53 [::1]:53] [b.example] 1 5s 2"},
		{"search . bad..name ok.example", "box", "[127.0.0.1:53 [::1]:53] [ok.example] 1 5s 2"},
		{"options ndots:3 timeout:2 attempts:4 rotate use-vc no-aaaa edns0 trust-ad single-request", "box", "[127.0.0.1:53 [::1]:53] [] 3 2s 4 rotate tcp ipv4"},
		{"options ndots:99 timeout:999 attempts:99\noptions ndots:x timeout: attempts:-1", "box", "[127.0.0.1:53 [::1]:53] [] 15 30s 5"},
		{"options timeout:0 attempts:0 ndots:0", "box", "[127.0.0.1:53 [::1]:53] [] 0 1s 1"},
		{"nameserver fe80::1%eth0\n", "box", "[127.0.0.1:53 [::1]:53] [] 1 5s 2 system"},
	} {
		c := ParseConfig(row.text, row.hostname)
		got := fmt.Sprintf("%v %v %d %v %d", c.Servers, c.Search, c.Ndots, c.Timeout, c.Attempts)
		for _, flag := range []struct {
			name  string
			isSet bool
		}{{" rotate", c.Rotate}, {" tcp", c.TCP}, {" ipv4", c.IPv4Only}, {" system", c.System}} {
			if flag.isSet {
				got += flag.name
			}
		}
		if got != row.want {
			t.Errorf("%q: got %s, want %s", row.text, got, row.want)
		}
	}
}

func TestIsPlain(t *testing.T) {
	for text, want := range map[string]bool{
		"":                        true,
		"passwd: files systemd\n": true,
		"hosts: files dns":        true,
		"passwd: files\nhosts:\tfiles  dns # as ever": true,
		"hosts: dns":       true,
		"hosts: dns files": false,
		"hosts: files":     false,
		"hosts: files mdns4_minimal [NOTFOUND=return] dns": false,
		"hosts: files resolve [!UNAVAIL=return] dns":       false,
		"hosts: files myhostname":                          false,
		"#hosts: files myhostname":                         true,
		"hosts: files dns myhostname":                      true,
		"hosts: myhostname":                                false,
		"hosts:":                                           false,
	} {
		if got := IsPlain(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestParseHosts(t *testing.T) {
	h := ParseHosts("# 10.0.0.1 comment\n127.0.0.1\tlocalhost me # 10.0.0.9 no\n::1 me ip6-me\n127.0.0.1 me\nnonsense me\n10.0.0.2\nfe80::1%eth0 link\n::ffff:10.0.0.3 Mapped.Example.")
	for name, want := range map[string]string{
		"me": "[127.0.0.1 ::1]", "ME.": "[127.0.0.1 ::1]", "ip6-me": "[::1]", "mapped.example": "[10.0.0.3]", "link": "[]", "comment": "[]", "no": "[]",
	} {
		if got := fmt.Sprint(h.Lookup(name)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := (*Hosts)(nil).Lookup("me"); got != nil {
		t.Errorf("without a file: %v", got)
	}
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a.example": true, "A-b_c.example.": true, "xn--bcher-kva.example": true, "1.example": true, "0xg": true, "_srv.a": true,
		"": false, ".": false, "a..b": false, ".a": false, "a b": false, "a/b": false, "bücher": false, "127.1": false, "0x7f": false, "0x": false,
		"2130706433": false, "a.1": false, "1.2.3.4.": false, "[::1]": false, "::1": false, "a:80": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127) + "a": false,
	} {
		if got := IsName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2 timeout:1 rotate\n", "box.example", "www")
	f.Add("nameserver fe80::1%eth0\ndomain x", "box", "a.b.")
	f.Fuzz(func(t *testing.T, text, hostname, name string) {
		c := ParseConfig(text, hostname)
		if len(c.Servers) == 0 || len(c.Servers) > serversMax || c.Attempts < 1 || c.Timeout < time.Second || c.Timeout > timeoutMax {
			t.Fatalf("%+v", c)
		}
		if !IsName(name) {
			return
		}
		for _, candidate := range c.candidates(strings.ToLower(name)) {
			if !IsName(candidate) {
				t.Errorf("candidate %q", candidate)
			}
		}
	})
}

func FuzzParseHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost me # comment\n::1 me\n", "me")
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, address := range ParseHosts(text).Lookup(name) {
			if !address.IsValid() || address.Is4In6() || address.Zone() != "" {
				t.Errorf("address %v", address)
			}
		}
	})
}

// FuzzParseReply feeds a resolver with messages: it must neither fail nor take what is not for it, and
// addresses must be of the family that was asked for.
func FuzzParseReply(f *testing.F) {
	for name, answer := range both {
		name = name[strings.LastIndex(name, " ")+1:]
		m := &message{header: dnsmessage.Header{ID: 7, Response: true, RecursionAvailable: true},
			question: dnsmessage.Question{Name: dnsmessage.MustNewName(name + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		answer(m)
		f.Add(m.pack(f), name)
	}
	f.Fuzz(func(t *testing.T, packet []byte, name string) {
		if !IsName(name) {
			return
		}
		answer, err := parseReply(packet, 7, fold(name), dnsmessage.TypeA)
		if err != nil {
			return
		}
		var p dnsmessage.Parser
		header, err := p.Start(packet)
		if err != nil || header.ID != 7 || !header.Response {
			t.Errorf("taken with header %+v", header)
		}
		if (answer.kind == replyAddresses) != (len(answer.addresses) != 0) {
			t.Errorf("%+v", answer)
		}
		for _, address := range answer.addresses {
			if !address.Is4() {
				t.Errorf("address %v", address)
			}
		}
		if answer.kind == replyAlias && !IsName(answer.alias) {
			t.Errorf("alias %q", answer.alias)
		}
	})
}
