package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Guard lets in who has the token. Without one it lets in programs of this machine: whoever reaches the address,
// but for browsers that a page of somebody else has sent.
type Guard struct {
	token    atomic.Pointer[[sha256.Size]byte] // its hash; nil: there is none
	isSocket bool                              // the address is a unix socket: file permissions say who may connect
	browsers *http.CrossOriginProtection
	tries    tries
	logger   *slog.Logger
	next     http.Handler
}

// NewGuard makes a guard before a handler. token: "" for none. isSocket: the address is a unix socket.
func NewGuard(token string, isSocket bool, logger *slog.Logger, next http.Handler) *Guard {
	g := &Guard{isSocket: isSocket, browsers: http.NewCrossOriginProtection(), logger: logger, next: next}
	g.tries.now = time.Now
	g.SetToken(token)
	return g
}

// SetToken changes the token; "": there is none. Any goroutine may call it.
func (g *Guard) SetToken(token string) {
	if token == "" {
		g.token.Store(nil)
		return
	}
	hash := sha256.Sum256([]byte(token))
	g.token.Store(&hash)
}

// ServeHTTP implements http.Handler.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body != http.NoBody {
		w.Header().Set("Connection", "close") // see handler.serve
	}
	// No page may call, not even with a GET whose answer it could not read: a heap snapshot takes its time.
	if site := r.Header.Get("Sec-Fetch-Site"); g.browsers.Check(r) != nil || site == "cross-site" || site == "same-site" {
		writeError(w, http.StatusForbidden, "pages of other sites may not ask here")
		return
	}
	token := g.token.Load()
	if token == nil {
		// A name that somebody has made resolve to a loopback address makes a browser take this node for the site.
		if !g.isSocket && !isLoopbackHost(r.Host) {
			writeError(w, http.StatusForbidden, fmt.Sprintf("host %.80q: ask for localhost, 127.0.0.1 or [::1], or set a token_file", r.Host))
			return
		}
		g.next.ServeHTTP(w, r)
		return
	}
	given, hasToken := bearer(r.Header.Get("Authorization"))
	hash := sha256.Sum256([]byte(given))
	if hasToken && subtle.ConstantTimeCompare(hash[:], token[:]) == 1 {
		g.next.ServeHTTP(w, r) // whatever others behind the same address, such as a proxy's, have sent
		return
	}
	g.refuse(w, r, hasToken)
}

// refuse answers a request that has not the right token.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, hasToken bool) {
	client := clientOf(r)
	if !g.tries.may(client) {
		w.Header().Set("Retry-After", fmt.Sprint(int(triesPause.Seconds())))
		writeError(w, http.StatusTooManyRequests, "too many wrong tokens from this address: wait, or send the right one")
		return
	}
	what := "a wrong token"
	if !hasToken {
		what = "no token"
	}
	if left := g.tries.failed(client); left >= 0 && hasToken {
		g.logger.Warn(fmt.Sprintf("admin: %s from %s; %d more tries are allowed", what, client, left))
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="nano"`)
	writeError(w, http.StatusUnauthorized, what+`: send "Authorization: Bearer" with the content of token_file`)
}

// bearer is the token of an Authorization field (RFC 6750 §2.1).
func bearer(field string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(field, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	token = strings.Trim(token, " ")
	return token, token != ""
}

// isLoopbackHost tells a Host field that names this machine and nothing else.
func isLoopbackHost(field string) bool {
	host := field
	if name, _, err := net.SplitHostPort(field); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// clientOf is a client's address without its port, of IPv6 the /64, which is one customer's.
func clientOf(r *http.Request) string {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "a local client"
	}
	ip := address.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// How many wrong tokens an address may send before it has to wait, and for how many addresses that is kept.
const (
	triesMax   = 10
	triesPause = 30 * time.Second
	triersMax  = 1024
)

// tries counts wrong tokens by address. Of an address that has sent triesMax of them, others are neither counted nor
// logged for triesPause. That keeps the log short; what keeps a token from being guessed is its length.
type tries struct {
	now func() time.Time

	mutex sync.Mutex
	by    map[string]trier
}

type trier struct {
	failed int
	last   time.Time
}

// may reports whether a wrong token of an address is to be counted.
func (t *tries) may(client string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	known, ok := t.by[client]
	if !ok || known.failed < triesMax {
		return true
	}
	if t.now().Sub(known.last) < triesPause {
		return false
	}
	delete(t.by, client)
	return true
}

// failed counts a wrong token, and returns how many more are allowed.
func (t *tries) failed(client string) (left int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	now := t.now()
	if t.by == nil {
		t.by = map[string]trier{}
	}
	if _, ok := t.by[client]; !ok && len(t.by) >= triersMax {
		t.forget(now)
	}
	known := t.by[client]
	known.failed++
	known.last = now
	t.by[client] = known
	return triesMax - known.failed
}

// forget makes room: those whose time is over, or else the one that failed longest ago.
func (t *tries) forget(now time.Time) {
	oldest := ""
	for client, known := range t.by {
		if now.Sub(known.last) >= triesPause {
			delete(t.by, client)
		} else if oldest == "" || known.last.Before(t.by[oldest].last) {
			oldest = client
		}
	}
	if len(t.by) >= triersMax {
		delete(t.by, oldest)
	}
}
