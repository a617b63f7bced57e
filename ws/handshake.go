package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"strconv"
)

// Version is the only version of the protocol (RFC 6455 §4.1), the value of Sec-WebSocket-Version.
const Version = "13"

// KeyLength is the length of a Sec-WebSocket-Key.
const KeyLength = 24

// IsKey reports whether a Sec-WebSocket-Key is one: 16 bytes in base64 (RFC 6455 §4.2.1).
func IsKey(key []byte) bool {
	var decoded [18]byte
	if len(key) != KeyLength {
		return false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], key)
	return err == nil && n == 16
}

// AppendKey appends the Sec-WebSocket-Key of 16 random bytes.
func AppendKey(dst []byte, random [16]byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, random[:])
}

// AppendAccept appends the Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2).
func AppendAccept(dst, key []byte) []byte {
	var text [KeyLength + 36]byte
	sum := sha1.Sum(append(append(text[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// Deflate is what was agreed on about compression (RFC 7692). The zero value: there is none.
//
// This side never keeps the context of a message for the next: that would cost each connection that waits
// memory of the size of a window, and a compressor. The other side is asked not to, either, but may.
type Deflate struct {
	IsOn         bool
	WindowBits   uint8 // of what this side sends
	KeepsContext bool  // the other side does
}

const (
	extensionName    = "permessage-deflate"
	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverWindowBits = "server_max_window_bits"
	clientWindowBits = "client_max_window_bits"
)

// Offer is the Sec-WebSocket-Extensions with which this side asks a server for compression.
const Offer = extensionName + "; " + serverNoTakeover + "; " + clientNoTakeover

// parameters are those of an offer or its answer.
type parameters struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             uint8 // 0: not given
	clientBitsAsked                    bool  // given, maybe without a value
}

// set takes a parameter. False: it is unknown, repeated or malformed.
func (p *parameters) set(name, value string, hasValue bool) bool {
	switch name {
	case serverNoTakeover:
		isNew := !p.serverNoTakeover
		p.serverNoTakeover = true
		return isNew && !hasValue
	case clientNoTakeover:
		isNew := !p.clientNoTakeover
		p.clientNoTakeover = true
		return isNew && !hasValue
	case serverWindowBits:
		isNew := p.serverBits == 0
		p.serverBits = windowBits(value)
		return isNew && p.serverBits != 0
	case clientWindowBits:
		isNew := !p.clientBitsAsked
		p.clientBitsAsked, p.clientBits = true, windowBits(value)
		return isNew && (!hasValue || p.clientBits != 0)
	}
	return false
}

// windowBits is a number from 8 to 15 without leading zeros, else 0.
func windowBits(value string) uint8 {
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n < windowBitsMin || n > windowBitsMax || value[0] == '0' {
		return 0
	}
	return uint8(n)
}

// Accept chooses from a Sec-WebSocket-Extensions of a client the first offer that can be met. answer is the
// server's header, "" if there is none; a malformed header offers nothing.
func Accept(header []byte) (d Deflate, answer string) {
	list := extensions{rest: string(header)}
	for {
		name, p, isKnown, ok := list.next()
		if !ok {
			return Deflate{}, ""
		}
		if name != extensionName || !isKnown {
			continue
		}
		d = Deflate{IsOn: true, WindowBits: windowBitsMax}
		answer = Offer
		if p.serverBits != 0 {
			d.WindowBits = p.serverBits
			answer += "; " + serverWindowBits + "=" + strconv.Itoa(int(p.serverBits))
		}
		return d, answer
	}
}

// Agreed reads the Sec-WebSocket-Extensions with which a server has answered Offer. Not ok: it says what was
// not offered, so the connection must be failed (RFC 6455 §4.1).
func Agreed(header []byte) (d Deflate, ok bool) {
	list := extensions{rest: string(header)}
	if list.isAtEnd() {
		return Deflate{}, true
	}
	name, p, isKnown, ok := list.next()
	if !ok || name != extensionName || !isKnown || p.clientBitsAsked || !list.isAtEnd() {
		return Deflate{}, false
	}
	return Deflate{IsOn: true, WindowBits: windowBitsMax, KeepsContext: !p.serverNoTakeover}, true
}

// extensions reads a Sec-WebSocket-Extensions (RFC 6455 §9.1).
type extensions struct{ rest string }

// isAtEnd skips blanks and empty elements, and reports whether that was all.
func (e *extensions) isAtEnd() bool {
	e.skip(" \t,")
	return e.rest == ""
}

// next reads an extension. isKnown: its parameters are such as permessage-deflate has. Not ok: there is none,
// or the header is malformed.
func (e *extensions) next() (name string, p parameters, isKnown, ok bool) {
	if e.isAtEnd() {
		return "", p, false, false
	}
	if name = e.token(); name == "" {
		return "", p, false, false
	}
	isKnown = true
	for e.take(';') {
		parameter, value, hasValue := e.token(), "", false
		if parameter == "" {
			return "", p, false, false
		}
		if hasValue = e.take('='); hasValue {
			if value, ok = e.value(); !ok {
				return "", p, false, false
			}
		}
		isKnown = p.set(parameter, value, hasValue) && isKnown
	}
	e.skip(" \t")
	return name, p, isKnown, e.rest == "" || e.rest[0] == ','
}

func (e *extensions) skip(set string) {
	for e.rest != "" && contains(set, e.rest[0]) {
		e.rest = e.rest[1:]
	}
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

// take takes a character, with blanks around it, if it is next.
func (e *extensions) take(c byte) bool {
	e.skip(" \t")
	if e.rest == "" || e.rest[0] != c {
		return false
	}
	e.rest = e.rest[1:]
	e.skip(" \t")
	return true
}

// token takes a token (RFC 9110 §5.6.2); "": there is none.
func (e *extensions) token() string {
	n := 0
	for n < len(e.rest) && isTokenByte(e.rest[n]) {
		n++
	}
	token := e.rest[:n]
	e.rest = e.rest[n:]
	return token
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || contains("!#$%&'*+-.^_`|~", c)
}

// value takes the value of a parameter: a token, or one in quotes.
func (e *extensions) value() (string, bool) {
	if e.rest == "" || e.rest[0] != '"' {
		token := e.token()
		return token, token != ""
	}
	e.rest = e.rest[1:]
	token := e.token()
	if token == "" || e.rest == "" || e.rest[0] != '"' {
		return "", false
	}
	e.rest = e.rest[1:]
	return token, true
}
