package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// isDenied tells whether an answer of the app says so.
func isDenied(answer string) bool {
	return strings.HasPrefix(answer, "TypeError: ") && strings.Contains(answer, "egress: ") && strings.Contains(answer, "is not allowed for app app")
}

// What an app may not reach it reaches by no spelling of the address, and by no redirect.
func TestEgress(t *testing.T) {
	var visits atomic.Int64
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		w.Write([]byte("secret"))
	}))
	defer secret.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(secret.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		w.Write([]byte("welcome"))
	}))
	defer origin.Close()
	allowed := strings.TrimPrefix(origin.URL, "http://")
	_, allowedPort, err := net.SplitHostPort(allowed)
	if err != nil {
		t.Fatal(err)
	}
	folder := writeFiles(t, map[string]string{"nano.toml": `
[server]
listen = ["127.0.0.1:0"]
[[app]]
name = "app"
main = "app.js"
[app.egress]
allow = ["*", "` + allowed + `"]
deny = ["198.51.100.0/24", "*.denied.example"]
`, "app.js": `export default { async fetch(request) {
		try {
			const response = await fetch(new URL(request.url).searchParams.get("url"));
			return new Response(response.status + " " + await response.text());
		} catch (error) {
			return new Response(error.constructor.name + ": " + error.message);
		}
	} }`})
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	fetch := func(address string) string {
		return p.ask("GET", "/?url="+url.QueryEscape(address), "", "").body
	}
	for _, address := range []string{"http://" + allowed, "http://127.1:" + allowedPort, "http://0x7f000001:" + allowedPort,
		"http://0177.0.0.1:" + allowedPort, "http://[::ffff:127.0.0.1]:" + allowedPort, "http://" + allowed + "/?to=/there"} {
		if got := fetch(address); got != "200 welcome" {
			t.Errorf("%s: %s", address, got)
		}
	}
	denied := []string{"http://127.0.0.1:" + port, "http://127.1:" + port, "http://2130706433:" + port, "http://0x7f.1:" + port, "http://0177.0.0.01:" + port,
		"http://%31%32%37.0.0.1:" + port, "http://１２７.0.0.1:" + port, "http://0:" + port, "http://[::1]:" + port, "http://[::]:" + port,
		"http://[::ffff:127.0.0.1]:" + port, "http://[::ffff:7f00:1]:" + port, "http://[::127.0.0.1]:" + port, "http://[64:ff9b::7f00:1]:" + port,
		"http://[2002:7f00:1::]:" + port, "http://localhost:" + port, "http://LOCALHOST.:" + port, "http://app.localhost:" + port,
		"http://169.254.169.254/latest/meta-data", "http://10.0.0.1", "http://192.168.1.1", "http://100.64.0.1", "http://224.0.0.1",
		"http://[fe80::1]", "http://[fd00::1]", "http://198.51.100.7", "http://tracker.denied.example"}
	for _, address := range denied {
		if got := fetch(address); !isDenied(got) {
			t.Errorf("%s: %s", address, got)
		}
		// Origins write addresses as they are, or not at all.
		got := fetch(origin.URL + "/?to=" + url.QueryEscape(address))
		if !isDenied(got) && !strings.HasPrefix(got, "TypeError: fetch failed: the origin redirects to a URL with a malformed host") {
			t.Errorf("redirected to %s: %s", address, got)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("reached %d times", n)
	}
}
