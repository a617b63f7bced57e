package loop

import (
	"bytes"

	"nano/http1"
	"nano/isolates"
	"nano/ws"
)

// A connection of a client goes over from HTTP to a WebSocket when an app answers with status 101:
//
//  1. readUpgrade, when the request comes: what it says of WebSockets is kept. It runs alone on its
//     connection: what follows it may be no HTTP.
//  2. switchProtocols, at the answer: the handshake is completed, or refused (RFC 6455 §4.2). The connection
//     is in phaseSwitching from here on: what arrives is kept for the WebSocket.
//  3. becomeEndpoint, once nothing is in flight on it: the descriptor becomes that of an endpoint, and the
//     slot is free.

// An upgrade is what the head of a request says of WebSockets.
type upgrade struct {
	key       [ws.KeyLength]byte
	deflate   ws.Deflate
	extension string // the answer to the extensions that were offered
	status    int    // with which to refuse; 0: the handshake can be completed
	why       string
}

// readUpgrade reads the head of a request that asks for an upgrade. nil: it is not to a WebSocket.
func readUpgrade(head *http1.Head, headBytes []byte) *upgrade {
	isAsked := false
	for i := head.Find(headBytes, "upgrade", 0); i >= 0; i = head.Find(headBytes, "upgrade", i+1) {
		for protocol := range bytes.SplitSeq(head.Fields[i].Value(headBytes), []byte{','}) {
			isAsked = isAsked || isAnyOf(bytes.TrimSpace(protocol), webSocketProtocol)
		}
	}
	if !isAsked {
		return nil
	}
	u := new(upgrade)
	key, keyIsOne := onlyField(head, headBytes, "sec-websocket-key")
	version, versionIsOne := onlyField(head, headBytes, "sec-websocket-version")
	switch {
	case head.Method != http1.MethodGet || head.Minor == 0:
		u.status, u.why = 400, "a WebSocket needs a GET request of HTTP/1.1"
	case head.ContentLength > 0 || head.Chunked:
		u.status, u.why = 400, "a request for a WebSocket has no body"
	case !versionIsOne || string(version) != ws.Version:
		u.status, u.why = 426, "the only version of WebSockets here is "+ws.Version
	case !keyIsOne || !ws.IsKey(key):
		u.status, u.why = 400, "malformed Sec-WebSocket-Key"
	}
	copy(u.key[:], key)
	for i := head.Find(headBytes, "sec-websocket-extensions", 0); i >= 0 && !u.deflate.IsOn; {
		u.deflate, u.extension = ws.Accept(head.Fields[i].Value(headBytes))
		i = head.Find(headBytes, "sec-websocket-extensions", i+1)
	}
	return u
}

// onlyField is the value of a field, and whether there is exactly one with that name.
func onlyField(head *http1.Head, headBytes []byte, name string) (value []byte, isOne bool) {
	i := head.Find(headBytes, name, 0)
	if i < 0 {
		return nil, false
	}
	return head.Fields[i].Value(headBytes), head.Find(headBytes, name, i+1) < 0
}

// webSocketProtocol is the name of the protocol in Upgrade headers.
const webSocketProtocol = "websocket"

// upgradeLines are the header lines of a refusal (RFC 6455 §4.4).
const upgradeLines = "sec-websocket-version: " + ws.Version + "\r\n"

var faultServiceUpgrade = newFault(isolates.FaultRefused, "WebSockets do not go through service bindings; use fetch() with a URL")

var faultNoUpgrade = newFault(isolates.FaultRefused, "the client did not ask for a WebSocket")

// switchProtocols answers with status 101: the WebSocket that the record names takes the connection over.
// If that cannot be, both the client and the app are told why.
func (l *Loop) switchProtocols(e *exchange, record *isolates.Record) {
	l.freeBlock(record.Block)
	var s *webSocket
	if h := l.handles.byKey[handleKey{e.worker.life, record.Source}]; h != nil {
		s, _ = h.object.(*webSocket)
	}
	u := e.upgrade
	switch {
	case e.connection == nil && e.caller == nil || e.answered:
		s.neverJoined(faultClientGone)
	case s == nil || s.state != socketJoining || s.isClient:
		l.answerError(e, 500, "", "nano: "+e.worker.name+": status 101 without a WebSocket that is to be opened")
	case e.caller != nil:
		s.neverJoined(faultServiceUpgrade)
		l.answerError(e, 501, "", "nano: "+e.worker.name+": "+faultServiceUpgrade.text)
	case u == nil || e.connection == nil || e.connection.first != e || e.connection.last != e:
		s.neverJoined(faultNoUpgrade)
		l.writeError(e, 426, []byte(upgradeLines), "nano: "+e.worker.name+": this is for WebSockets only")
	case u.status != 0:
		s.neverJoined(newFault(isolates.FaultRefused, u.why))
		l.writeError(e, u.status, []byte(upgradeLines), "nano: "+e.worker.name+": "+u.why)
	default:
		l.completeHandshake(e, s, record)
	}
}

// neverJoined ends a socket, which may be nil, that has got no connection.
func (s *webSocket) neverJoined(why *fault) {
	if s != nil && s.handle != nil && s.state == socketJoining {
		h := s.handle
		s.handle, s.state = nil, socketOver
		h.fail(why)
	}
}

// completeHandshake sends the answer, and begins to hand the connection over.
func (l *Loop) completeHandshake(e *exchange, s *webSocket, record *isolates.Record) {
	c, u := e.connection, e.upgrade
	e.wall.stop()
	l.countAnswer(e.worker, e, 101)
	e.worker.concurrency.give() // connections may be many
	e.answered, e.complete, e.status, e.hasSwitched = true, true, 101, true
	s.deflate, s.extensions = u.deflate, u.extension
	lines := appendSwitchLines(l.scratch[:0], record.Head)
	s.protocol = protocolOf(lines)
	l.scratch = lines
	head := &l.responseHead
	*head = http1.ResponseHead{Status: 101, Reason: record.Reason, Head: lines, Date: l.date(), ContentLength: -1, Upgrade: webSocketProtocol}
	c.out = l.buffers.grow(c.out, responseHeadRoom+len(record.Reason)+len(lines)+switchHeadRoom+len(u.extension))
	c.out = http1.AppendResponseHead(c.out, head)
	c.out = append(c.out[:len(c.out)-len("\r\n")], "sec-websocket-accept: "...)
	c.out = append(ws.AppendAccept(c.out, u.key[:]), "\r\n"...)
	if u.extension != "" {
		c.out = append(append(append(c.out, "sec-websocket-extensions: "...), u.extension...), "\r\n"...)
	}
	c.out = append(c.out, "\r\n"...)
	e.upgrade = nil

	c.phase, c.socket = phaseSwitching, s
	c.inputTimeout.stop()
	if c.partial != nil {
		l.giveHead(c.partial)
		c.partial = nil
	}
	l.pump(c)
	l.stopReceiving(c)
	l.endPhase(c)
}

// switchHeadRoom is what the header lines of a handshake need.
const switchHeadRoom = 160

// appendSwitchLines appends the app's header lines but those of a handshake that are ours to say.
func appendSwitchLines(dst, lines []byte) []byte {
	for line := range bytes.Lines(lines) {
		name, _, _ := bytes.Cut(line, []byte{':'})
		if !isAnyOf(name, "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key", "sec-websocket-version") {
			dst = append(dst, line...)
		}
	}
	return dst
}

// protocolOf is the sub-protocol that header lines name.
func protocolOf(lines []byte) string {
	for line := range bytes.Lines(lines) {
		if name, value, _ := bytes.Cut(line, []byte{':'}); isAnyOf(name, "sec-websocket-protocol") {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// becomeEndpoint makes an endpoint for a WebSocket of a connection on which nothing is in flight any more.
func (l *Loop) becomeEndpoint(c *connection) {
	if c.isReady || c.isStarved || c.hasOutput {
		l.leaveLists(c)
	}
	s := c.socket
	l.sockets.adopted++
	e := l.adoptEndpoint(c.fd, s) // that the client has shut its side it will see again
	e.writeBuffer(c.out)
	s.in, s.inStart = c.in, c.inStart
	c.in, c.out = nil, nil
	l.connections.give(c)
	s.open(e)
}

// adoptEndpoint makes an endpoint of a connection that is open, and on which nothing is in flight. It is
// paused.
func (l *Loop) adoptEndpoint(fd int32, handler endpointHandler) *endpoint {
	e := l.endpoints.take()
	e.loop, e.handler, e.fd = l, handler, fd
	e.phase, e.isPaused, e.isAdopted = endpointOpen, true, true
	e.sendTimeout.owner = e
	return e
}
