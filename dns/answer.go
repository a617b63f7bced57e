// Package dns resolves the names of hosts without doing any I/O of its own: a Resolver is a state machine
// that hands out questions to be carried to name servers, by a Transport, and is fed with what comes back,
// or that nothing did. It knows the hosts file, search lists, CNAME chains, truncated answers, and keeps
// what it learnt for as long as it may. The wire format is that of golang.org/x/net/dns/dnsmessage.
//
// Forged answers have to guess the identifier, the port of a socket that asks once, and the question;
// what does not match is ignored. Names are compared without regard to case.
package dns

import (
	"errors"
	"net/netip"
)

// An Answer is what became known of a name. A lookup gives one or two of them.
type Answer struct {
	// Addresses are all that are known by now, in the order in which the server or the hosts file gave
	// them. The slice is shared and must not be changed.
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
	ErrLoop     = errors.New("its aliases lead nowhere")
	ErrTooMany  = errors.New("too many names are being looked up")
	ErrNoSocket = errors.New("too many open files")
)
