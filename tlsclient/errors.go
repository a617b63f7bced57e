package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Describe says what went wrong with a connection to the server of that name.
func Describe(err error, name string) string {
	var (
		header      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
		remote      *net.OpError
	)
	switch {
	case errors.As(err, &certificate):
		return describeCertificate(certificate, name)
	case errors.As(err, &header):
		return "the server does not speak TLS"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "the server refused the connection: " + strings.TrimPrefix(remote.Err.Error(), "tls: ")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection during the handshake"
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "tls: "), "tlsclient: ")
}

func describeCertificate(err *tls.CertificateVerificationError, name string) string {
	var (
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &host):
		return "the certificate is for " + describeNames(host.Certificate) + ", not for " + name
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return describeDates(invalid.Cert)
	case errors.As(err, &unknown):
		return describeIssuer(err, unknown)
	}
	return "the certificate is not valid: " + strings.TrimPrefix(err.Err.Error(), "x509: ")
}

// describeNames lists whom a certificate is for.
func describeNames(c *x509.Certificate) string {
	const listMax = 4
	names := c.DNSNames
	for _, address := range c.IPAddresses {
		names = append(names, address.String())
	}
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > listMax:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:listMax], ", "), len(names)-listMax)
	}
	return strings.Join(names, ", ")
}

func describeDates(c *x509.Certificate) string {
	if now := time.Now(); now.Before(c.NotBefore) {
		return "the certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
	}
	return "the certificate expired on " + c.NotAfter.UTC().Format(time.RFC3339)
}

func describeIssuer(err *tls.CertificateVerificationError, unknown x509.UnknownAuthorityError) string {
	c := unknown.Cert
	if c == nil && len(err.UnverifiedCertificates) != 0 {
		c = err.UnverifiedCertificates[0]
	}
	if c == nil {
		return "the certificate is signed by an unknown authority"
	}
	issuer := c.Issuer.CommonName
	if issuer == "" {
		issuer = c.Issuer.String()
	}
	return "the certificate is signed by an unknown authority (" + issuer + ")"
}
