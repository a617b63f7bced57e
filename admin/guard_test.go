package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	d := newDesk(t, "secret-token")
	for _, test := range []struct {
		line   string
		status int
	}{
		{"Authorization: Bearer secret-token", 200},
		{"Authorization: bearer  secret-token", 200},
		{"Authorization: Bearer secret-token2", 401},
		{"Authorization: Bearer secret-toke", 401},
		{"Authorization: Basic secret-token", 401},
		{"Authorization: Bearer", 401},
		{"Authorization: Bearer ", 401},
		{"X: y", 401},
	} {
		status, answer, header := d.ask("GET", "/healthz", "", test.line, "Host: nano.example.com")
		if status != test.status || status == 401 && header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", test.line, status, answer)
		}
		if strings.Contains(answer, "secret") {
			t.Errorf("%s: %s", test.line, answer)
		}
	}
	if strings.Contains(d.log.String(), "secret") || !strings.Contains(d.log.String(), "a wrong token from 127.0.0.1") {
		t.Errorf("logged %s", d.log)
	}
}

// TestNewToken: after a reload the new token holds, and the old one does not.
func TestNewToken(t *testing.T) {
	g := NewGuard("one", false, discard, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(token string) int {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	if got := fmt.Sprint(ask("one"), ask("two")); got != "200 401" {
		t.Error(got)
	}
	g.SetToken("two")
	if got := fmt.Sprint(ask("one"), ask("two")); got != "401 200" {
		t.Error(got)
	}
}

// TestTries: an address that sends wrong tokens has to wait. The right one always passes: many clients may share an
// address, such as that of a proxy.
func TestTries(t *testing.T) {
	g := NewGuard("right", false, discard, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	now := time.Unix(1000, 0)
	g.tries.now = func() time.Time { return now }
	ask := func(address, token string) int {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	for i := range triesMax {
		if got := ask("192.0.2.1:1000", "wrong"); got != 401 {
			t.Fatalf("try %d: %d", i, got)
		}
	}
	if got := fmt.Sprint(ask("192.0.2.1:1001", "wrong"), ask("192.0.2.1:1002", "right"), ask("192.0.2.1:1003", "wrong"), ask("192.0.2.2:1", "wrong")); got != "429 200 429 401" {
		t.Error(got)
	}
	now = now.Add(triesPause)
	if got := ask("192.0.2.1:1004", "wrong"); got != 401 {
		t.Error(got)
	}
	// What is kept of them is bounded, and all of one IPv6 network are one.
	for i := range 2 * triersMax {
		ask(fmt.Sprintf("[2001:db8:%x::1]:1", i), "wrong")
	}
	if len(g.tries.by) > triersMax {
		t.Errorf("%d addresses are kept", len(g.tries.by))
	}
	for i := range triesMax {
		ask(fmt.Sprintf("[2001:db8:ffff::%x]:1", i), "wrong")
	}
	if got := fmt.Sprint(ask("[2001:db8:ffff::abcd]:1", "wrong"), ask("[2001:db8:ffff::abcd]:1", "right")); got != "429 200" {
		t.Error(got)
	}
}

// TestBrowsers: pages of others may neither call nor, by a name that resolves here, read.
func TestBrowsers(t *testing.T) {
	d := newDesk(t, "")
	own := strings.TrimPrefix(d.url, "http://")
	for _, test := range []struct {
		method string
		lines  []string
		status int
	}{
		{"GET", nil, 200},
		{"GET", []string{"Host: localhost:29999"}, 200},
		{"GET", []string{"Host: LOCALHOST"}, 200},
		{"GET", []string{"Host: [::1]:80"}, 200},
		{"GET", []string{"Host: 127.8.8.8"}, 200},
		{"GET", []string{"Host: evil.example"}, 403},
		{"GET", []string{"Host: evil.example:9090"}, 403},
		{"GET", []string{"Host: 127.0.0.1.evil.example"}, 403},
		{"GET", []string{"Host: localhost.evil.example"}, 403},
		{"GET", []string{"Host: 10.0.0.1"}, 403},
		{"GET", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"POST", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"POST", []string{"Origin: https://evil.example"}, 403},
		{"POST", []string{"Origin: http://" + own}, 200},
		{"POST", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"POST", nil, 200},
	} {
		path := "/v1/apps"
		if test.method == "POST" {
			path = "/v1/apps/hello/sleep"
		}
		if status, answer, _ := d.ask(test.method, path, "", test.lines...); status != test.status {
			t.Errorf("%s %v: %d %s", test.method, test.lines, status, answer)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add("localhost:80", "Bearer x", "1.2.3.4:5")
	f.Add("[::1", "bearer  token ", "")
	handled := false
	g := NewGuard("token", false, discard, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled = true }))
	f.Fuzz(func(t *testing.T, host, authorization, client string) {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Host, r.RemoteAddr = host, client
		r.Header.Set("Authorization", authorization)
		handled = false
		g.ServeHTTP(httptest.NewRecorder(), r)
		if _, token, _ := strings.Cut(authorization, " "); handled && strings.Trim(token, " ") != "token" {
			t.Errorf("%q is let in", authorization)
		}
		if isLoopbackHost(host) && !strings.Contains(strings.ToLower(host), "localhost") && !strings.Contains(host, "127.") && !strings.Contains(host, ":") {
			t.Errorf("host %q", host)
		}
	})
}

func FuzzDeployment(f *testing.F) {
	f.Add("host=a&host=b&path=/&settings=x", "text/javascript; charset=utf-8", "gzip")
	f.Add("%zz&;", "/", "br, gzip")
	f.Fuzz(func(t *testing.T, query, kind, encoding string) {
		r := httptest.NewRequest("PUT", "/v1/apps/x", strings.NewReader("body"))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Content-Encoding", encoding)
		if d, isGzip, err := deploymentOf(r); err == nil && (d.Type == "" || d.Length != 4 && !isGzip) {
			t.Errorf("%+v", d)
		}
	})
}
