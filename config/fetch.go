package config

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
)

// Fetch is [app.fetch]: how the app's fetch() goes out.
type Fetch struct {
	// Roots are certificate authorities that are trusted beside the system's, in PEM; nil: none.
	Roots []byte
	// Proxy is who passes requests on; nil: they go out themselves.
	Proxy *Proxy
}

// Proxy is an HTTP proxy (RFC 9110 §3.7).
type Proxy struct {
	Host          string // a name or an address; IPv6 without brackets
	Port          uint16
	Authorization Secret // the value of proxy-authorization; "": none
}

// rootsBytesMax bounds a file of certificates. That of Mozilla's has 220 KB.
const rootsBytesMax = 4 << 20

func readRootsFile(path string) ([]byte, error) { return readFileUpTo(path, rootsBytesMax) }

// readFetch reads how an app's fetch() goes out.
func (r *documentReader) readFetch(app *App, t *table) {
	if file, at, ok := t.text("roots"); ok {
		roots, err := r.readRoots(r.resolve(file))
		switch {
		case err != nil:
			r.report(at.value, t.label("roots"), fmt.Sprintf("%s: %v", file, err), "put certificates there in PEM form, readable for nano's user")
		case !x509.NewCertPool().AppendCertsFromPEM(roots):
			r.report(at.value, t.label("roots"), file+": holds no certificate in PEM form", "")
		}
		app.Fetch.Roots = roots
	}
	if proxy, at, ok := t.text("proxy"); ok {
		var what, cure string
		if app.Fetch.Proxy, what, cure = parseProxy(proxy); what != "" {
			r.report(at.value, t.label("proxy"), what, cure)
		}
	}
	t.finish()
}

// parseProxy reads "http://user:password@host:port".
func parseProxy(text string) (proxy *Proxy, what, cure string) {
	const form = `write "http://host:port" or "http://user:password@host:port"`
	u, err := url.Parse(text)
	switch {
	case err != nil: // err may tell the password
		return nil, "is not a URL", form
	case u.Scheme != "http":
		return nil, fmt.Sprintf("has the scheme %q", u.Scheme), form
	case u.Hostname() == "":
		return nil, "names no host", form
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, "has more than a host and a port", form
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil, "names no port", form
	}
	proxy = &Proxy{Host: u.Hostname(), Port: uint16(port)}
	if u.User != nil {
		password, _ := u.User.Password() // none is an empty one (RFC 7617 §2)
		proxy.Authorization = Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return proxy, "", ""
}
