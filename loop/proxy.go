package loop

import (
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"nano/egress"
	"nano/http1"
	"nano/isolates"
)

// A Proxy is an HTTP proxy through which an app's sub-requests go: those to http: URLs as requests in absolute
// form, those to https: URLs through a tunnel that CONNECT opens (RFC 9110 §9.3.6), in which TLS is spoken with the
// origin itself.
//
// The proxy itself is whom the operator has named, so no rule of the app is asked about its address. What
// the app names is checked as far as it is known here: an address in a URL as ever, a name only as a name,
// since it is the proxy that resolves it.
type Proxy struct {
	Host          string // a name, or an address
	Port          uint16
	Authorization string // the value of proxy-authorization; "": none
}

// proxyRules let a proxy be reached wherever it is.
var proxyRules = func() *egress.Rules {
	rules, err := egress.Parse([]string{"0.0.0.0/0", "::/0"}, nil)
	if err != nil {
		panic(err)
	}
	return rules
}()

// allowsProxied reports whether an app may have its proxy connect to an origin.
func allowsProxied(app *sharedApp, to *originKey) bool {
	address, err := netip.ParseAddr(unbracketed(to.host))
	if err != nil {
		return app.Egress.AllowsName(to.host, to.port)
	}
	return app.Egress.Allows("", netip.AddrPortFrom(address, to.port), false)
}

// dialProxy begins to connect to an app's proxy on behalf of an origin.
func (d *originDial) dialProxy(app *appWorker) {
	key := &d.origin.key
	if !allowsProxied(app.shared, key) {
		d.dialFailed(newFault(isolates.FaultEgress, fmt.Sprintf("egress: %s:%d is not allowed for app %s", key.host, key.port, app.name)))
		return
	}
	d.origin.loop.dial(target{host: app.shared.Proxy.Host, port: app.shared.Proxy.Port, app: app}, proxyRules, d)
}

// A proxyTunnel is a connection to a proxy that is to become one to an origin.
type proxyTunnel struct {
	loop     *Loop
	endpoint *endpoint // nil: over
	dial     *originDial
	head     *http1.Head // as far as it was parsed
	in       []byte      // of the pool
	limit    timeoutNode
}

// tunnel asks a proxy for a tunnel to an origin.
func (d *originDial) tunnel(e *endpoint, proxy *Proxy) {
	l, key := d.origin.loop, &d.origin.key
	t := &proxyTunnel{loop: l, endpoint: e, dial: d, head: l.takeHead()}
	t.limit.owner = t
	l.startTimeout(&t.limit, dialLimit)
	authority := key.host + ":" + strconv.Itoa(int(key.port))
	l.scratch = append(l.scratch[:0], "CONNECT "+authority+" HTTP/1.1\r\nhost: "+authority+"\r\n"...)
	if proxy.Authorization != "" {
		l.scratch = append(l.scratch, "proxy-authorization: "+proxy.Authorization+"\r\n"...)
	}
	l.scratch = append(l.scratch, "\r\n"...)
	e.handler = t
	e.write(l.scratch)
	e.resume()
}

// received implements endpointHandler.
func (t *proxyTunnel) received(data []byte) {
	switch {
	case t.endpoint == nil:
		return
	case data == nil:
		t.fail("the proxy closed the connection")
		return
	}
	t.in = t.loop.buffers.append(t.in, data)
	err := t.head.ParseResponse(t.in, originHeadMax)
	switch status := t.head.Status; {
	case err == http1.ErrIncomplete:
	case err != nil:
		t.fail("the proxy's response is not HTTP: " + err.Error())
	case status < 200:
		t.fail(fmt.Sprintf("the proxy answered CONNECT with status %d", status))
	case status >= 300:
		reason := t.in[t.head.ReasonOffset:][:t.head.ReasonLength]
		t.fail(fmt.Sprintf("the proxy refused the connection: %d %s", status, reason))
	case len(t.in) > t.head.Length:
		t.fail("the proxy sent more than its answer")
	default:
		e, d := t.endpoint, t.dial
		t.end()
		d.secure(e)
	}
}

// fail gives up.
func (t *proxyTunnel) fail(why string) { t.failAs(isolates.FaultNetwork, why) }

func (t *proxyTunnel) failAs(kind isolates.Fault, why string) {
	e, d := t.endpoint, t.dial
	if e == nil {
		return
	}
	t.end()
	e.close()
	d.dialFailed(newFault(kind, why))
}

// end gives back what the tunnel needed.
func (t *proxyTunnel) end() {
	t.endpoint, t.dial = nil, nil
	t.limit.stop()
	t.loop.giveHead(t.head)
	t.loop.buffers.give(t.in)
	t.head, t.in = nil, nil
}

// timedOut implements waiter.
func (t *proxyTunnel) timedOut(*timeoutNode) {
	t.failAs(isolates.FaultTimeout, "the proxy did not answer within "+dialLimit.String())
}

// failed implements endpointHandler.
func (t *proxyTunnel) failed(errno unix.Errno) { t.fail("the proxy: " + errno.Error()) }

func (t *proxyTunnel) connected() {}
func (t *proxyTunnel) sent()      {}
func (t *proxyTunnel) closed()    {}
