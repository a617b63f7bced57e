package loop

import (
	"nano/dns"
)

// A resolving is a dialing's wait for a name.
type resolving struct {
	dialing *dialing
}

// resolve looks the name of a dialing up.
func (l *Loop) resolve(d *dialing) {
	if addresses := l.names.Local(d.to.host); addresses != nil {
		d.resolved(dns.Answer{Addresses: addresses, Local: true})
		return
	}
	d.resolved(dns.Answer{Err: dns.ErrNotFound})
}

// stopResolving ends the wait for a name.
func (l *Loop) stopResolving(d *dialing) { d.lookup = nil }
