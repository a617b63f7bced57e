// Package tlsclient is the client's side of TLS for an event loop. The protocol itself is that of
// crypto/tls, which reads and writes a blocking connection; here that connection is memory, which the
// loop fills and empties.
//
// The handshake runs on a goroutine of its own, once per connection, because it verifies certificates:
// that takes a millisecond, for which a loop must not stop. When it is over the goroutine ends, and from
// then on the loop calls the connection itself, which never blocks: a read for which there are not enough
// bytes says so, and goes on from there the next time.
package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
)

// sessionsMax is how many servers an app's clients can resume sessions with.
const sessionsMax = 32

// A Client makes connections for one app: those share whom they trust, and the sessions that can be
// resumed. Its methods may be called from any goroutine.
type Client struct {
	config tls.Config
}

// NewClient makes a client. roots are whom it trusts; nil: the system's.
func NewClient(roots *x509.CertPool) *Client {
	return &Client{config: tls.Config{
		RootCAs:            roots,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(sessionsMax),
		// Small records first let a browser show something early. A server has to read all of a request.
		DynamicRecordSizingDisabled: true,
	}}
}

// Roots are the system's certificate authorities, and beside them those in the PEM blocks of a file.
func Roots(pem []byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any: only those of the file
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no certificate in PEM form")
	}
	return roots, nil
}

// Start begins a handshake with the server of that name, which may be an IP address, with or without
// brackets. protocols are offered by ALPN, best first; a server that knows of no ALPN gets away with
// it. notify is called on another goroutine, whenever there is something to be done: output to be taken,
// or the end of the handshake.
func (c *Client) Start(name string, protocols []string, notify func()) *Conn {
	config := c.config.Clone()
	config.ServerName = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	config.NextProtos = slices.Clone(protocols)
	conn := newConn(notify)
	conn.tls = tls.Client(&conn.wire, config)
	go conn.handshake()
	return conn
}
