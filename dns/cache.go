package dns

import (
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what is remembered.
const (
	entriesMax     = 4096
	ttlMax         = 3600 // seconds
	negativeTTLMax = 300
	// systemTTL is for how long an answer of the system's resolver is good, which does not say.
	systemTTL = 5
)

// cacheKey is a question. family 0: both, of the system's resolver.
type cacheKey struct {
	name   string // folded
	family dnsmessage.Type
}

// cacheEntry is its answer; no addresses: there are none. Entries are in a ring in order of use, whose
// head stands between the latest and the oldest.
type cacheEntry struct {
	key            cacheKey
	addresses      []netip.Addr
	expires        int64
	previous, next *cacheEntry
}

// cache remembers answers for as long as they are good, and at most entriesMax.
type cache struct {
	entries map[cacheKey]*cacheEntry
	ring    cacheEntry // head: next is the latest, previous the oldest
}

func (c *cache) clear() {
	c.entries = map[cacheKey]*cacheEntry{}
	c.ring.next, c.ring.previous = &c.ring, &c.ring
}

func (e *cacheEntry) unlink() {
	e.previous.next, e.next.previous = e.next, e.previous
}

func (c *cache) link(e *cacheEntry) {
	e.previous, e.next = &c.ring, c.ring.next
	e.previous.next, e.next.previous = e, e
}

// get gives an answer that is still good, and for how many seconds.
func (c *cache) get(key cacheKey, now int64) (addresses []netip.Addr, ttl uint32, ok bool) {
	e := c.entries[key]
	if e == nil {
		return nil, 0, false
	}
	e.unlink()
	if e.expires <= now {
		delete(c.entries, key)
		return nil, 0, false
	}
	c.link(e)
	return e.addresses, uint32((e.expires - now) / int64(time.Second)), true
}

// put remembers an answer for ttl seconds.
func (c *cache) put(key cacheKey, addresses []netip.Addr, ttl uint32, now int64) {
	limit := uint32(ttlMax)
	if len(addresses) == 0 {
		limit = negativeTTLMax
	}
	if ttl = min(ttl, limit); ttl == 0 {
		return
	}
	e := c.entries[key]
	switch {
	case e != nil:
		e.unlink()
	case len(c.entries) >= entriesMax:
		e = c.ring.previous
		e.unlink()
		delete(c.entries, e.key)
	default:
		e = &cacheEntry{}
	}
	e.key, e.addresses, e.expires = key, addresses, now+int64(ttl)*int64(time.Second)
	c.entries[key] = e
	c.link(e)
}
