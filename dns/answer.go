// Package dns resolves the names of hosts without doing any I/O of its own.
package dns

import (
	"errors"
	"net/netip"
)

// An Answer is what became known of a name. A lookup gives one or two of them.
type Answer struct {
	// Addresses are in the order in which the server or the hosts file gave them. The slice is shared
	// and must not be changed.
	Addresses []netip.Addr
	// More says that the answer about the other family of addresses is still to come.
	More bool
	// Local says that this machine knew the name, and no server was asked.
	Local bool
	// Err is why there are no addresses at all. Not with More.
	Err error
}

// Errors of lookups. Their texts are for who asked for the name.
var (
	ErrNotFound = errors.New("host not found")
	ErrTimeout  = errors.New("the name servers did not answer")
	ErrServer   = errors.New("the name servers could not answer")
	ErrName     = errors.New("not a host name")
	ErrTooMany  = errors.New("too many names are being looked up")
	ErrNoSocket = errors.New("too many open files")
)
