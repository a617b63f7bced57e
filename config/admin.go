package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	metricsAppsMax = 100_000 // time series are what a Prometheus server pays for
	tokenBytesMax  = 4 << 10
)

// readAdmin reads the [admin] table, which is there. [server] has been read before.
func (r *documentReader) readAdmin(c *Config, t *table) {
	admin := &c.Admin
	admin.Listen = literal(t.key("listen").standard).(string)
	listenAt := t.node.key
	if entry, at, ok := t.text("listen"); ok {
		listen, what, cure := checkAdminListen(entry)
		if what == "" && slices.Contains(c.Server.Listen, listen) && !strings.HasSuffix(listen, ":0") {
			what, cure = fmt.Sprintf("%q is in [server] listen as well", listen), "name another address"
		}
		if what != "" {
			r.report(at.value, t.label("listen"), what, cure)
		}
		admin.Listen, listenAt = listen, at.value
	}
	problemsBefore := len(r.problems)
	if file, at, ok := t.text("token_file"); ok && file != "" {
		admin.TokenFile = r.resolve(file)
		r.secrets = append(r.secrets, admin.TokenFile)
		var what, cure string
		if admin.Token, what, cure = r.readToken(file, admin.TokenFile); what != "" {
			r.report(at.value, t.label("token_file"), what, cure)
		} else if r.isOpen(admin.TokenFile) {
			r.warn(at.value, t.label("token_file"), file+": every user of this machine may read it", "chmod o-r it")
		}
	}
	if admin.Token == "" && len(r.problems) == problemsBefore && !isLocal(admin.Listen) {
		r.report(listenAt, t.label("listen"), fmt.Sprintf("%q can be reached from elsewhere, and there is no token", admin.Listen),
			`add token_file = "…", or listen on 127.0.0.1 or a unix socket`)
	}
	t.read(c, nil)
	t.finish()
}

// checkAdminListen is checkListen without sockets of systemd, which are all for apps.
func checkAdminListen(entry string) (normal, what, cure string) {
	normal, what, cure = checkListen(entry)
	if what == "" && normal == "systemd" {
		return normal, "the sockets of systemd are for [server]", `write host:port or "unix:/path"`
	}
	return normal, what, cure
}

// isLocal reports whether only users of this machine reach an address of listen. What is not one is
// taken for local: it has been reported already.
func isLocal(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || strings.HasPrefix(listen, "unix:") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// readToken gives what a file of a token holds: what RFC 9110 §11.2 lets credentials consist of, and
// other visible characters, which clients send without encoding.
func (r *documentReader) readToken(file, path string) (token Secret, what, cure string) {
	const cureToken = "make one: openssl rand -hex 32 > FILE"
	content, err := r.readFile(path)
	if err != nil {
		return "", fmt.Sprintf("%s: %v", file, err), "put the token there, readable for nano's user"
	}
	text := strings.TrimRight(string(content), "\r\n")
	switch {
	case text == "":
		return "", file + ": is empty", cureToken
	case len(text) > tokenBytesMax:
		return "", fmt.Sprintf("%s: is longer than %d bytes", file, tokenBytesMax), cureToken
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return "", file + ": holds blanks, line ends or characters outside ASCII", cureToken
	}
	return Secret(text), "", ""
}

// isReadableByAll reports whether a file's mode lets every user read it. The folders above may not.
func isReadableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
