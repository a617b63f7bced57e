package loop

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"nano/isolates"
	"nano/uring/fakering"
)

func TestResolveReference(t *testing.T) {
	for _, test := range []struct{ base, reference, want string }{
		{"http://a/b/c/d;p?q", "http://g/", "http://g/"},
		{"http://a/b/c/d;p?q", "HTTP://G", "http://g/"},
		{"http://a/b/c/d;p?q", "g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "./g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "/g", "http://a/g"},
		{"http://a/b/c/d;p?q", "//g", "http://g/"},
		{"http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"},
		{"http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"},
		{"http://a/b/c/d;p?q", "#s", "http://a/b/c/d;p?q#s"},
		{"http://a/b/c/d;p?q", "g#s", "http://a/b/c/g#s"},
		{"http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q"},
		{"http://a/b/c/d;p?q", ".", "http://a/b/c/"},
		{"http://a/b/c/d;p?q", "./", "http://a/b/c/"},
		{"http://a/b/c/d;p?q", "..", "http://a/b/"},
		{"http://a/b/c/d;p?q", "../g", "http://a/b/g"},
		{"http://a/b/c/d;p?q", "../../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "../../../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "/./g", "http://a/g"},
		{"http://a/b/c/d;p?q", "/../g", "http://a/g"},
		{"http://a/b/c/d;p?q", "g.", "http://a/b/c/g."},
		{"http://a/b/c/d;p?q", "..g", "http://a/b/c/..g"},
		{"http://a/b/c/d;p?q", "./g/.", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "g/./h", "http://a/b/c/g/h"},
		{"http://a/b/c/d;p?q", "g/../h", "http://a/b/c/h"},
		{"http://a/b/c/d;p?q", "g?y/../x", "http://a/b/c/g?y/../x"},
		{"http://a/b/c/d;p?q", "%2e%2E/g", "http://a/b/g"},
		{"http://a/b#f", "/c", "http://a/c#f"},
		{"http://a/b#f", "/c#", "http://a/c#"},
		{"http://a/b?c#f", "#g", "http://a/b?c#g"},
		{"http://a/", "//b//c//d", "http://b//c//d"},
		{"http://a/b", "\\c\\d", "http://a/c/d"},
		{"http://a/", " /x y\"<>`{}\xc3\xa9\t ", "http://a/x%20y%22%3C%3E%60%7B%7D%C3%A9"},
		{"http://a/", "?x y\"<>'{}`", "http://a/?x%20y%22%3C%3E%27{}`"},
		{"http://a/", "http://b:80/", "http://b/"},
		{"http://a/", "http://b:0081/", "http://b:81/"},
		{"http://a/", "http://b:/", "http://b/"},
		{"http://a/", "https://b:443?x", "https://b/?x"},
		{"http://a/", "https://b:80/", "https://b:80/"},
		{"https://a:8/x", "//b/", "https://b/"},
		{"https://a:8/x", "y", "https://a:8/y"},
		{"http://a/", "http://[::1]:81/", "http://[::1]:81/"},
		{"http://a/", "http://[2001:DB8:0:0::1]/", "http://[2001:db8::1]/"},
		{"http://a/", "http://192.0.2.1/", "http://192.0.2.1/"},
		{"http://a/", "http://1.a/", "http://1.a/"},
		{"http://a/", "http://a_b.c~d/", "http://a_b.c~d/"},
		// What is refused.
		{"http://a/", "ftp://b/", ""},
		{"http://a/", "javascript:alert(1)", ""},
		{"http://a/", "data:,x", ""},
		{"http://a/", "localhost:80/x", ""},
		{"http://a/", "/a\tb", ""},
		{"http://a/", "http:b", ""},
		{"http://a/", "http:/b", ""},
		{"http://a/", "http:///b", ""},
		{"http://a/", "///b", ""},
		{"http://a/", "\\\\b", ""},
		{"http://a/", "/\\b", ""},
		{"http://a/", "http://u:p@b/", ""},
		{"http://a/", "http://u@b/", ""},
		{"http://a/", "http://", ""},
		{"http://a/", "//", ""},
		{"http://a/", "http://:80/", ""},
		{"http://a/", "http://b:x/", ""},
		{"http://a/", "http://b:-1/", ""},
		{"http://a/", "http://b:+1/", ""},
		{"http://a/", "http://b:65536/", ""},
		{"http://a/", "http://b%2ec/", ""},
		{"http://a/", "http://b\xc3\xa9/", ""},
		{"http://a/", "http://b c/", ""},
		{"http://a/", "http://b<c/", ""},
		{"http://a/", "http://b\\@c/", ""},
		{"http://a/", "http://2130706433/", ""},
		{"http://a/", "http://0x7f000001/", ""},
		{"http://a/", "http://0x7f.1/", ""},
		{"http://a/", "http://127.1/", ""},
		{"http://a/", "http://0177.0.0.1/", ""},
		{"http://a/", "http://127.0.0.1./", ""},
		{"http://a/", "http://1.2.3.4.5/", ""},
		{"http://a/", "http://a.0x/", ""},
		{"http://a/", "http://09/", ""},
		{"http://a/", "http://[::ffff:127.0.0.1]/", ""},
		{"http://a/", "http://[::1%25lo]/", ""},
		{"http://a/", "http://[127.0.0.1]/", ""},
		{"http://a/", "http://[::1/", ""},
		{"http://a/", "http://[::1]x/", ""},
	} {
		got, why := resolveReference(nil, []byte(test.base), []byte(test.reference))
		if why != "" {
			got = nil
		}
		if string(got) != test.want {
			t.Errorf("%q from %q: got %q (%s), want %q", test.reference, test.base, got, why, test.want)
			continue
		}
		if why == "" {
			var to location
			if why := to.parse(got); why != "" {
				t.Errorf("%q cannot be fetched: %s", got, why)
			}
		}
	}
}

// FuzzResolveReference checks of any reference: what comes out is a URL to which nothing more is to be
// done, whose host net/url reads as we do, and that resolves to itself.
func FuzzResolveReference(f *testing.F) {
	f.Add("http://a/b/c?d#e", "../f?g")
	f.Add("https://a:81/", "//b:443/..//%2e%2e/c d")
	f.Add("http://[::1]/", "http://[::2]:80")
	f.Fuzz(func(t *testing.T, base, reference string) {
		var from location
		if from.parse([]byte(base)) != "" {
			return
		}
		if again, why := resolveReference(nil, []byte(base), []byte(base)); why != "" || string(again) != base {
			return // it is not as a serializer writes it
		}
		got, why := resolveReference(nil, []byte(base), []byte(reference))
		if why != "" {
			return
		}
		again, why := resolveReference(nil, got, got)
		if why != "" || string(again) != string(got) {
			t.Fatalf("%q becomes %q (%s)", got, again, why)
		}
		var to location
		if why := to.parse(got); why != "" {
			t.Fatalf("%q: %s", got, why)
		}
		parsed, err := url.Parse(string(got))
		if err != nil {
			return // it looks into percent-encoding
		}
		if parsed.Host != string(to.authority) || parsed.User != nil {
			t.Fatalf("%q: host %q, net/url: %q", got, to.authority, parsed.Host)
		}
	})
}

// redirectTo is a redirect with a small body.
func redirectTo(status int, location string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 2\r\n\r\nno", status, location)
}

// TestFetchRedirects: methods, bodies and headers along redirects, as the Fetch standard has them.
func TestFetchRedirects(t *testing.T) {
	const common = "accept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\naccept-encoding: gzip, br, zstd\r\ncdn-loop: nano; hops=1\r\n"
	const host, other = "host: 192.0.2.80\r\n", "host: 192.0.2.90\r\n"
	const lines = "content-type: a/b\r\nauthorization: c\r\nx: y\r\n"
	body := func(r *isolates.Record) {
		r.Flags, r.Body, r.Head = isolates.OpenHasBody, []byte("hello"), []byte(lines)
	}
	for _, test := range []struct {
		name, method, answer, want string
		change                     func(r *isolates.Record)
	}{
		{"301", "GET", redirectTo(301, "/x"), "GET /x HTTP/1.1\r\n" + host + common, nil},
		{"302 relative", "GET", redirectTo(302, "x?y"), "GET /a/x?y HTTP/1.1\r\n" + host + common, nil},
		{"HEAD", "HEAD", "HTTP/1.1 303 X\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n", "HEAD /x HTTP/1.1\r\n" + host + common, nil},
		{"POST 301", "POST", redirectTo(301, "/x"), "GET /x HTTP/1.1\r\n" + host + "authorization: c\r\nx: y\r\n" + common, body},
		{"POST 302", "POST", redirectTo(302, "/x"), "GET /x HTTP/1.1\r\n" + host + "authorization: c\r\nx: y\r\n" + common, body},
		{"PUT 302", "PUT", redirectTo(302, "/x"), "PUT /x HTTP/1.1\r\n" + host + lines + common + "content-length: 5\r\n\r\nhello", body},
		{"PUT 303", "PUT", redirectTo(303, "/x"), "GET /x HTTP/1.1\r\n" + host + "authorization: c\r\nx: y\r\n" + common, body},
		{"POST 307", "POST", redirectTo(307, "/x"), "POST /x HTTP/1.1\r\n" + host + lines + common + "content-length: 5\r\n\r\nhello", body},
		{"POST 308", "POST", redirectTo(308, "/x"), "POST /x HTTP/1.1\r\n" + host + lines + common + "content-length: 5\r\n\r\nhello", body},
		{"other origin", "GET", redirectTo(302, "http://192.0.2.90/x"), "GET /x HTTP/1.1\r\n" + other + "x: y\r\n" + common, func(r *isolates.Record) {
			r.Head = []byte("Authorization: c\r\nCookie: d\r\nProxy-Authorization: e\r\nx: y\r\n")
		}},
		{"unread body", "GET", "HTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 1000000\r\n\r\n", "GET /x HTTP/1.1\r\n" + host + common, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			f.ring.Remote(netip.MustParseAddrPort("192.0.2.90:80"), func(p *fakering.Peer) { f.peers = append(f.peers, p) })
			r := f.fetch(test.method+" "+originURL+"/a/b?c#d", test.change)
			f.origin().Take()
			f.answer(test.answer)
			want := test.want
			if !strings.HasSuffix(want, "hello") {
				want += "\r\n"
			}
			if got := string(f.origin().Take()); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			text := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
			if test.method != "HEAD" {
				text += "ok"
			}
			f.answer(text)
			if r.news.number != 200 || !r.ended || r.news.url == "" || strings.Contains(r.news.url, "#") {
				t.Errorf("status %d, URL %q: %s", r.news.number, r.news.url, r.faultText)
			}
			f.checkAtRest()
		})
	}
}

// TestFetchRedirectEnds: redirects that are not followed, or may not be.
func TestFetchRedirectEnds(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		change       func(r *isolates.Record)
		status       int
		fault        string
	}{
		{"manual", redirectTo(302, "/x"), func(r *isolates.Record) { r.Flags = isolates.OpenManualRedirect }, 302, ""},
		{"error", redirectTo(302, "/x"), func(r *isolates.Record) { r.Flags = isolates.OpenErrorRedirect }, 0, "the origin redirects, which the request does not allow"},
		{"without location", "HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", nil, 302, ""},
		{"300", redirectTo(300, "/x"), nil, 300, ""},
		{"304", "HTTP/1.1 304 X\r\nLocation: /x\r\n\r\n", nil, 304, ""},
		{"two locations", "HTTP/1.1 302 X\r\nLocation: /x\r\nLocation: /y\r\n\r\n", nil, 0, "the origin redirects to several places"},
		{"other scheme", redirectTo(302, "file:///etc/passwd"), nil, 0, "the origin redirects to a URL that is not http: or https:"},
		{"credentials", redirectTo(302, "http://a:b@c/"), nil, 0, "malformed host"},
		{"loopback", redirectTo(302, "http://127.0.0.1/"), nil, 0, "127.0.0.1:80 is not allowed"},
		{"link-local", redirectTo(307, "http://169.254.169.254/latest"), nil, 0, "169.254.169.254:80 is not allowed"},
		{"decimal loopback", redirectTo(302, "http://2130706433/"), nil, 0, "odd notation"},
		{"stream", redirectTo(307, "/x"), func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows }, 0, "a stream that cannot be sent again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			r := f.fetch("POST "+originURL+"/", test.change)
			f.answer(test.answer)
			if r.news.number != test.status || !r.ended || !strings.Contains(r.faultText, test.fault) || (test.fault == "") != (r.faultText == "") {
				t.Errorf("status %d, ended %v: %s", r.news.number, r.ended, r.faultText)
			}
			f.checkAtRest()
		})
	}
	f := newFetcher(t, fakering.Config{}, nil)
	r := f.fetch("GET "+originURL+"/", nil)
	for range redirectsMax {
		f.answer(redirectTo(302, "/"))
	}
	if r.ended {
		t.Fatal("ended too early: " + r.faultText)
	}
	f.answer(redirectTo(302, "/"))
	if !strings.Contains(r.faultText, "too many redirects") || len(f.peers) != 1 {
		t.Errorf("%d connections: %q", len(f.peers), r.faultText)
	}
	f.checkAtRest()
}
