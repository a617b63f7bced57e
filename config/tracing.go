package config

import (
	"fmt"
	"net/textproto"
	"net/url"
	"strings"
)

// Tracing is the [tracing] table: where spans of requests go.
type Tracing struct {
	// Endpoint is the URL of a collector that speaks OTLP over HTTP, without the path of traces; "": the table is absent.
	Endpoint string
	Sample   float64 // the part of the requests without a trace for which one begins, from 0 to 1
	Service  string  // service.name of the spans
	// Headers are sent with each request to the collector, by their canonical names.
	Headers map[string]Secret
}

// readTracing reads the [tracing] table, which is there.
func (r *documentReader) readTracing(c *Config, t *table) {
	problemsBefore := len(r.problems)
	t.read(c, nil)
	if endpoint, at, ok := t.text("endpoint"); ok {
		if what, cure := checkEndpoint(endpoint); what != "" {
			r.report(at.value, t.label("endpoint"), what, cure)
		}
		c.Tracing.Endpoint = strings.TrimRight(endpoint, "/")
	}
	if headers, ok := t.table("headers"); ok {
		r.readTracingHeaders(&c.Tracing, headers)
	}
	t.finish()
	if c.Tracing.Endpoint == "" && len(r.problems) == problemsBefore {
		r.report(t.node.key, t.label("endpoint"), "is missing", "add endpoint = "+t.key("endpoint").show())
	}
}

// checkEndpoint says what is wrong with the URL of a collector.
func checkEndpoint(text string) (what, cure string) {
	const form = `write one such as "http://127.0.0.1:4318", to which /v1/traces is added`
	u, err := url.Parse(text)
	switch {
	case err != nil: // err may tell a password
		return "is not a URL", form
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Sprintf("has the scheme %q", u.Scheme), form
	case u.Hostname() == "":
		return "names no host", form
	case u.User != nil:
		return "has a user name", `write credentials to [tracing.headers], from a file`
	case u.RawQuery != "" || u.Fragment != "":
		return "has a query or a fragment", form
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v1/traces"):
		return "has the path of traces already", "remove /v1/traces"
	}
	return "", ""
}

// readTracingHeaders reads [tracing.headers]: strings, or secrets.
func (r *documentReader) readTracingHeaders(tracing *Tracing, t *table) {
	tracing.Headers = map[string]Secret{}
	for _, name := range sortedKeys(t.values, t.node) {
		at := t.node.field(name)
		if !isHeaderName(name) {
			r.report(at.key, t.label(name), "is not the name of a header", `write one such as "authorization"`)
			continue
		}
		var secret Secret
		var what, cure string
		switch value := t.values[name].(type) {
		case string:
			secret = Secret(value)
		case map[string]any:
			each := *sectionOf("app.secrets.*")
			each.header = t.label(name)
			secret, what, cure = r.readSecret(&table{reader: t.reader, section: &each, node: at, values: value})
		default:
			what, cure = "must be a string or a table, not "+typeName(value), "write "+quoteKey(name)+` = { file = "…" }`
		}
		if what == "" && strings.ContainsFunc(string(secret), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			what, cure = "holds a line end or another control character", "remove it"
		}
		if what != "" {
			r.report(at.value, t.label(name), what, cure)
		}
		tracing.Headers[textproto.CanonicalMIMEHeaderKey(name)] = secret
	}
}

// isHeaderName reports whether name is a token (RFC 9110 §5.6.2).
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
}
