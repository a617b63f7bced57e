package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"nano/tlsclient/tlstest"
)

// TestHTTPS: apps fetch over TLS, by HTTP/1.1 and HTTP/2, from servers of an authority that only one of
// them trusts.
func TestHTTPS(t *testing.T) {
	authority := tlstest.NewAuthority(t, "the operator's own")
	certificate := authority.Sign(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"localhost"}, nil })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d", r.Proto, r.Method, r.URL.Path, len(body))
	})
	var urls []string
	for _, hasHTTP2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(handler)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		s.EnableHTTP2 = hasHTTP2
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		urls = append(urls, strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	}
	app := func(name, path, more string) string {
		return fmt.Sprintf("[[app]]\nname = %q\nmain = \"app.js\"\npath = %q\n[app.egress]\nallow = [\"localhost\", \"127.0.0.0/8\"]\n%s", name, path, more)
	}
	folder := writeFiles(t, map[string]string{
		"roots.pem": string(authority.PEM()),
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\n" + app("trusts", "/trusts", "[app.fetch]\nroots = \"roots.pem\"\n") + app("doubts", "/doubts", ""),
		"app.js": `export default { async fetch(request) {
			try {
				return await fetch(request.headers.get("x-url"), { method: request.method, body: request.body });
			} catch (error) {
				return new Response(error.constructor.name + ": " + error.message, { status: 502 });
			}
		} }`,
	})
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	body := strings.Repeat("x", 1<<20)
	for i, url := range urls {
		protocol := []string{"HTTP/1.1", "HTTP/2.0"}[i]
		for range 3 {
			if got, want := p.ask("POST", "/trusts", "", body, "x-url", url+"/a"), protocol+" POST /a 1048576"; got.status != 200 || got.body != want {
				t.Errorf("got %d %q, want %q", got.status, got.body, want)
			}
		}
		for path, want := range map[string]string{
			"/trusts": "TypeError: fetch failed: TLS: the certificate is for localhost, not for 127.0.0.1 (",
			"/doubts": "TypeError: fetch failed: TLS: the certificate is signed by an unknown authority (the operator's own) (",
		} {
			target := url
			if path == "/trusts" {
				target = strings.Replace(url, "localhost", "127.0.0.1", 1)
			}
			if got := p.ask("GET", path, "", "", "x-url", target+"/"); got.status != 502 || !strings.HasPrefix(got.body, want) {
				t.Errorf("%s: got %d %q, want %q", path, got.status, got.body, want)
			}
		}
	}
}
