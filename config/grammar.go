package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what can be configured.
const (
	nameLengthMax  = 63
	loopsMax       = 56      // loop.LoopsMax
	headerBytesMin = 256     // a browser's least request fits
	bodyBytesMax   = 1 << 40 // no one means more
	unixPathMax    = 107     // sun_path, less its final 0
	hostLengthMax  = 253     // RFC 1035, section 2.3.4, as text
	labelLengthMax = 63
)

// sizeUnits are the units of sizes, in bytes.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// The check functions below all give what is wrong and its cure; what is "" when all is well.

// parseSize reads "64KiB".
func parseSize(text string) (bytes int64, what, cure string) {
	cure = `write a whole number and a unit, B, KiB, MiB or GiB: "64KiB"`
	for _, unit := range sizeUnits {
		number, found := strings.CutSuffix(text, unit.name)
		if !found {
			continue
		}
		number = strings.TrimSuffix(number, " ")
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || strings.HasPrefix(number, "+") {
			break
		}
		if int64(n) > math.MaxInt64/unit.bytes {
			return 0, fmt.Sprintf("%q is too large", text), cure
		}
		return int64(n) * unit.bytes, "", ""
	}
	return 0, fmt.Sprintf("%q is not a size", text), cure
}

// formatSize writes a size in the largest unit that divides it.
func formatSize(bytes int64) string {
	for _, unit := range sizeUnits {
		if bytes >= unit.bytes && bytes%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", bytes/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", bytes)
}

func checkName(name string) (what, cure string) {
	isValid := len(name) >= 1 && len(name) <= nameLengthMax &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	if !isValid {
		return fmt.Sprintf("%q is not a name", name), "write 1 to 63 of the characters a-z, 0-9 and -"
	}
	return "", ""
}

// BuiltExtension is that of files that `nano build` writes.
const BuiltExtension = ".nano"

// mainExtensions are those of main modules.
var mainExtensions = []string{".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", BuiltExtension}

func checkMain(main string) (what, cure string) {
	if slices.Contains(mainExtensions, strings.ToLower(filepath.Ext(main))) {
		return "", ""
	}
	return fmt.Sprintf("%q is not a file of JavaScript or TypeScript", main),
		"name a .js, .mjs, .ts, .mts, .tsx or .jsx file, or a .nano file of `nano build`"
}

// CheckWarmup tells what is wrong with the path of a warm-up request, by the rules of app.warmup.
func CheckWarmup(target string) error {
	if what, cure := checkWarmup(target); what != "" {
		return errors.New(sentence(what, cure))
	}
	return nil
}

// checkWarmup checks the target of a request: a path, and maybe a query.
func checkWarmup(target string) (what, cure string) {
	if target == "" {
		return "", ""
	}
	if !strings.HasPrefix(target, "/") {
		return fmt.Sprintf("%q does not begin with \"/\"", target), fmt.Sprintf("write %q", "/"+target)
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return fmt.Sprintf("%q holds %q, which no path of a request does", target, c),
				"write the path as clients send it, percent-encoded"
		}
	}
	return "", ""
}

func checkPath(path string) (what, cure string) {
	if !strings.HasPrefix(path, "/") {
		return fmt.Sprintf("%q does not begin with \"/\"", path), fmt.Sprintf("write %q", "/"+path)
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("?#\"<>\\^`{|}", c) >= 0 {
			return fmt.Sprintf("%q holds %q, which no path of a request does", path, c),
				"write the path as clients send it, percent-encoded, without query"
		}
	}
	for _, segment := range strings.Split(path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Sprintf("%q has a %q segment", path, segment), "write the path without it"
		}
	}
	return "", ""
}

// checkHost gives the host in the form in which requests are compared with it.
func checkHost(host string) (normal, what, cure string) {
	normal = strings.ToLower(host)
	if inner, found := strings.CutPrefix(normal, "["); found {
		inner, found = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		if !found || err != nil || !address.Is6() || address.Zone() != "" {
			return normal, fmt.Sprintf("%q is not an IPv6 address", host), `write it as "[2001:db8::1]", without port`
		}
		return "[" + address.String() + "]", "", ""
	}
	if _, err := netip.ParseAddr(normal); err == nil && strings.Contains(normal, ":") {
		return normal, fmt.Sprintf("%q is an IPv6 address without brackets", host), fmt.Sprintf("write \"[%s]\"", normal)
	}
	name := strings.TrimPrefix(normal, "*.")
	switch {
	case normal == "*":
		return normal, `"*" is not a host`, "leave hosts out to serve every host that no other app names"
	case strings.Contains(name, "*"):
		return normal, fmt.Sprintf("%q has a * that is not its whole first label", host), `write "*.example.com"`
	case strings.Contains(name, "/"):
		return normal, fmt.Sprintf("%q is not a host", host), "write the name alone; the path has a key of its own"
	case strings.Contains(name, ":"):
		return normal, fmt.Sprintf("%q has a port", host), "leave the port out: an app serves every address of [server] listen"
	}
	if !isHostName(name) {
		return normal, fmt.Sprintf("%q is not a host", host),
			"write labels of a-z, 0-9, - and _ with dots between them; other alphabets in their xn-- form"
	}
	return normal, "", ""
}

func isHostName(name string) bool {
	if len(name) > hostLengthMax {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		isLabel := len(label) >= 1 && len(label) <= labelLengthMax &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" &&
			label[0] != '-' && label[len(label)-1] != '-'
		if !isLabel {
			return false
		}
	}
	return true
}

// checkListen gives an entry of listen in the form that Server.Listen documents.
func checkListen(entry string) (normal, what, cure string) {
	if entry == "systemd" {
		return entry, "", ""
	}
	if path, found := strings.CutPrefix(entry, "unix:"); found {
		switch {
		case !filepath.IsAbs(path) || strings.IndexByte(path, 0) >= 0:
			return entry, fmt.Sprintf("%q has no absolute path", entry), `write one: "unix:/run/nano.sock"`
		case len(path) > unixPathMax:
			return entry, fmt.Sprintf("the path of a unix socket has at most %d bytes, this has %d", unixPathMax, len(path)), "shorten it"
		}
		return "unix:" + filepath.Clean(path), "", ""
	}
	cure = `write host:port, "unix:/path" or "systemd"`
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		return entry, fmt.Sprintf("%q is not an address", entry), cure
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return entry, fmt.Sprintf("%q has no port from 0 to 65535", entry), cure
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostName(strings.ToLower(host)) {
		return entry, fmt.Sprintf("%q is not an address", entry), cure
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(number, 10)), "", ""
}

// routeCheck finds apps that share a name, or a host and path.
type routeCheck struct {
	*reader
	names  map[string]Position
	routes map[route]claim
}

type route struct{ host, path string }

// claim is the app that has a route, and where it says so.
type claim struct {
	app string
	at  Position
}

func newRouteCheck(r *reader) *routeCheck {
	return &routeCheck{r, map[string]Position{}, map[route]claim{}}
}

// add reports what app shares with an app before it. The nodes are those of its name, of each of
// its hosts and of its path (or of the app, without a path).
func (c *routeCheck) add(app *App, name *node, hosts []*node, path *node) {
	if first, taken := c.names[app.Name]; taken && app.Name != "" {
		c.report(name.value, "[[app]] name",
			fmt.Sprintf("%q is the name of the app in line %d too", app.Name, first.Line), "rename one of them")
	} else {
		c.names[app.Name] = name.value
	}
	if len(app.Hosts) == 0 {
		c.claim(app, "", path.value)
	}
	for i, host := range app.Hosts {
		c.claim(app, host, hosts[i].value)
	}
}

func (c *routeCheck) claim(app *App, host string, at Position) {
	key := route{host, strings.TrimRight(app.Path, "/")} // "/api/" takes the same paths as "/api"
	first, taken := c.routes[key]
	if !taken {
		c.routes[key] = claim{app.Name, at}
		return
	}
	if host == "" {
		host = "every other host, path "
	}
	c.report(at, fmt.Sprintf("[[app]] %q", app.Name),
		fmt.Sprintf("serves %s%s, which app %q in line %d serves already", host, app.Path, first.app, first.at.Line),
		"give one of them another host or path")
}
