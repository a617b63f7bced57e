package loop

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
)

// A Router finds the route for a host and a path. It is built once and then only read, by all loops.
//
// The most specific name wins: an exact host, then the longest "*.suffix" (any number of labels in
// place of the star), then, for hosts that no route names, the routes without hosts. Within a host the
// longest path prefix wins; a prefix ends where a segment of the path ends, so "/api" takes "/api",
// "/api/x" and "/api?x" but not "/apix". The path is compared as sent, without decoding.
type Router struct {
	exact     map[string]*hostRoutes
	wildcards map[string]*hostRoutes // by what follows "*."
	anyHost   *hostRoutes            // nil: every route names its hosts
	serial    uint64                 // of all routers of the process
}

// routersMade counts them.
var routersMade atomic.Uint64

// hostRoutes are the prefixes of one host. Prefixes have no slash at the end; "/" is "".
type hostRoutes struct {
	host    string // lower case; "" for wildcards and the routes without hosts
	serial  uint64 // of the router
	root    int32  // the route with path "/", or noRoute
	deep    map[string]int32
	longest int // bytes of the longest prefix
}

const noRoute = int32(-1)

// NewRouter builds the router for routes, which it counts in their order. An error names two that want the same.
func NewRouter(all []Route) (*Router, error) {
	router := &Router{exact: map[string]*hostRoutes{}, wildcards: map[string]*hostRoutes{}, serial: routersMade.Add(1)}
	for i := range all {
		route := &all[i]
		if route.Path != "" && route.Path[0] != '/' {
			return nil, fmt.Errorf("app %q: path %q does not begin with /", route.Name, route.Path)
		}
		hosts := route.Hosts
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, host := range hosts {
			routes := router.hostFor(strings.ToLower(strings.TrimSuffix(host, ".")))
			prefix := strings.TrimRight(route.Path, "/")
			if other := routes.get(prefix); other != noRoute {
				return nil, fmt.Errorf("apps %q and %q have the same host %q and path %q",
					all[other].Name, route.Name, host, route.Path)
			}
			routes.add(prefix, int32(i))
		}
	}
	return router, nil
}

// hostFor returns the routes of a lower-case host pattern, new ones if there were none.
func (r *Router) hostFor(pattern string) *hostRoutes {
	fresh := &hostRoutes{root: noRoute, serial: r.serial}
	if pattern == "" {
		if r.anyHost == nil {
			r.anyHost = fresh
		}
		return r.anyHost
	}
	table := r.exact
	if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
		table, pattern = r.wildcards, suffix
	} else {
		fresh.host = pattern
	}
	if table[pattern] == nil {
		table[pattern] = fresh
	}
	return table[pattern]
}

func (h *hostRoutes) get(prefix string) int32 {
	if prefix == "" {
		return h.root
	}
	if route, ok := h.deep[prefix]; ok {
		return route
	}
	return noRoute
}

func (h *hostRoutes) add(prefix string, route int32) {
	if prefix == "" {
		h.root = route
		return
	}
	if h.deep == nil {
		h.deep = map[string]int32{}
	}
	h.deep[prefix] = route
	h.longest = max(h.longest, len(prefix))
}

// Route returns the index of the route for host (any case, with or without port, may be empty) and
// target (path and query), or -1.
func (r *Router) Route(host, target []byte) int {
	i, _ := r.route(host, target, nil)
	return int(i)
}

// route is Route with a memory: last is what it, or a router before it, returned for the same client's previous
// request. Clients mostly stay with one host, written as configured, and then no map is asked.
func (r *Router) route(host, target []byte, last *hostRoutes) (i int32, found *hostRoutes) {
	if last != nil && last.host != "" && last.serial == r.serial && last.names(host) {
		if i := last.path(target); i != noRoute {
			return i, last
		}
	}
	named := false
	if len(r.exact)+len(r.wildcards) != 0 {
		var lower [maxHost]byte
		name := lowerHost(&lower, host)
		if routes := r.exact[string(name)]; routes != nil {
			if i := routes.path(target); i != noRoute {
				return i, routes
			}
			named = true
		}
		for suffix := name; len(r.wildcards) != 0; {
			dot := bytes.IndexByte(suffix, '.')
			if dot < 0 {
				break
			}
			suffix = suffix[dot+1:]
			if routes := r.wildcards[string(suffix)]; routes != nil {
				if i := routes.path(target); i != noRoute {
					return i, routes
				}
				named = true
			}
		}
	}
	if named || r.anyHost == nil {
		return noRoute, nil
	}
	return r.anyHost.path(target), r.anyHost
}

// names reports whether host is exactly h's name, perhaps with a port.
func (h *hostRoutes) names(host []byte) bool {
	n := len(h.host)
	return len(host) >= n && string(host[:n]) == h.host && (len(host) == n || host[n] == ':')
}

// path finds the longest prefix of target's path.
func (h *hostRoutes) path(target []byte) int32 {
	if h.longest == 0 {
		return h.root
	}
	end := bytes.IndexByte(target, '?')
	if end < 0 {
		end = len(target)
	}
	if mayHaveDots(target[:end]) {
		target = withoutDots(target[:end])
		end = len(target)
	}
	if end > h.longest {
		// A prefix must end at a slash: go back to the last one that is not too far.
		end = bytes.LastIndexByte(target[:min(h.longest+1, end)], '/')
	}
	for end > 0 {
		if i, ok := h.deep[string(target[:end])]; ok {
			return i
		}
		end = bytes.LastIndexByte(target[:end], '/')
	}
	return h.root
}

// mayHaveDots tells whether a path could have segments that the URL standard resolves, such as "..".
// Routing must see the path that the app will see.
func mayHaveDots(path []byte) bool {
	for i, b := range path {
		if b == '\\' || b == '/' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '%') {
			return true
		}
	}
	return false
}

// withoutDots resolves the dot segments of an absolute path, as the path state of the URL standard does:
// "%2e" is a dot, and a backslash is a slash.
func withoutDots(path []byte) []byte {
	if len(path) == 0 || path[0] != '/' && path[0] != '\\' {
		return path
	}
	out := make([]byte, 0, len(path))
	for rest, last := path[1:], false; !last; {
		end := bytes.IndexAny(rest, "/\\")
		if last = end < 0; last {
			end = len(rest)
		}
		segment := rest[:end]
		switch dots := dotsOf(segment); {
		case dots == 2:
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
		case dots == 0:
			out = append(append(out, '/'), segment...)
		}
		if last {
			if dotsOf(segment) != 0 {
				out = append(out, '/')
			}
			break
		}
		rest = rest[end+1:]
	}
	return out
}

// dotsOf is 1 or 2 for a segment of that many dots and nothing else, plain or encoded, and otherwise 0.
func dotsOf(segment []byte) int {
	dots := 0
	for len(segment) != 0 {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
			segment = segment[3:]
		default:
			return 0
		}
		if dots++; dots > 2 {
			return 0
		}
	}
	return dots
}

// maxHost bounds the host names that can be routed: DNS allows 253 bytes.
const maxHost = 256

// lowerHost puts host without its port and a dot at its end into buffer, in lower case. Longer
// hosts than any that could be configured come out empty.
func lowerHost(buffer *[maxHost]byte, host []byte) []byte {
	host = withoutPort(host)
	if n := len(host); n != 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if len(host) > maxHost {
		return nil
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	return buffer[:len(host)]
}

// withoutPort is host without ":port", if it has one.
func withoutPort(host []byte) []byte {
	if colon := bytes.LastIndexByte(host, ':'); colon >= 0 && bytes.IndexByte(host[colon:], ']') < 0 {
		return host[:colon]
	}
	return host
}
