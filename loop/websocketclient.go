package loop

import (
	"bytes"
	cryptorand "crypto/rand"
	"fmt"

	"nano/http1"
	"nano/isolates"
	"nano/ws"
)

// A socketCall is the handshake of a WebSocket as a client (RFC 6455 §4.1): it takes the connection of a fetch
// over, which has asked for that.
type socketCall struct {
	socket  *webSocket
	key     []byte
	isFetch bool // fetch() has asked: it gets the response, whatever that is
}

// openWebSocket begins the handshake, from a KindOpen record.
func (l *Loop) openWebSocket(h *handle, record *isolates.Record) ioObject {
	call := &socketCall{socket: l.newWebSocket(h, true), isFetch: record.Flags&isolates.OpenUpgrade != 0}
	var random [16]byte
	_, _ = cryptorand.Read(random[:]) // it never fails
	call.key = ws.AppendKey(nil, random)
	asked := *record
	asked.Head = appendSwitchLines(make([]byte, 0, len(record.Head)+switchHeadRoom), record.Head)
	asked.Head = fmt.Appendf(asked.Head, "sec-websocket-version: %s\r\nsec-websocket-key: %s\r\nsec-websocket-extensions: %s\r\n",
		ws.Version, call.key, ws.Offer)
	if !call.isFetch {
		asked.Flags = isolates.OpenErrorRedirect
		asked.Target = bytes.Replace(record.Target, []byte(" ws"), []byte(" http"), 1)
	}
	f := l.newFetch(h, &asked)
	record.Block = asked.Block
	if f == nil {
		return nil
	}
	f.upgrade, f.protocol = call, webSocketProtocol
	f.start()
	if f.state == fetchOver {
		return nil
	}
	return f
}

// switched implements upgrader.
func (c *socketCall) switched(t transport, head []byte, parsed *http1.Head, rest []byte) {
	s := c.socket
	setHandler(t, s)
	if why := c.check(head, parsed); why != "" {
		h := s.handle
		s.handle, s.state = nil, socketOver
		t.close()
		h.fail(newFault(isolates.FaultNetwork, "WebSocket: "+why))
		return
	}
	t.pause()
	s.handle.object = s
	if c.isFetch {
		response := &s.loop.response
		*response = isolates.Response{Status: 101, Reason: head[parsed.ReasonOffset:][:parsed.ReasonLength],
			Head: head, Fields: parsed.Fields, NullBody: true}
		s.handle.response(response)
	}
	if len(rest) != 0 {
		s.in = s.loop.buffers.append(nil, rest)
	}
	s.open(t)
}

// setHandler makes h the one who is told what happens on a transport.
func setHandler(t transport, h endpointHandler) {
	switch t := t.(type) {
	case *endpoint:
		t.handler = h
	case *tlsConnection:
		t.handler = h
	}
}

// check says what is wrong with the server's answer; "": nothing. What it has chosen goes to the socket.
func (c *socketCall) check(head []byte, parsed *http1.Head) (why string) {
	s := c.socket
	upgrade, _ := onlyField(parsed, head, "upgrade")
	accept, isOne := onlyField(parsed, head, "sec-websocket-accept")
	switch {
	case !parsed.Upgrade || !isAnyOf(upgrade, webSocketProtocol):
		return "the server does not go over to WebSocket"
	case !isOne || !bytes.Equal(accept, ws.AppendAccept(nil, c.key)):
		return "the Sec-WebSocket-Accept of the server is wrong"
	}
	var extensions []byte
	for i := parsed.Find(head, "sec-websocket-extensions", 0); i >= 0; i = parsed.Find(head, "sec-websocket-extensions", i+1) {
		extensions = append(append(extensions, ','), parsed.Fields[i].Value(head)...)
	}
	var ok bool
	if s.deflate, ok = ws.Agreed(extensions); !ok {
		return "the server chose extensions that were not offered"
	}
	if len(extensions) != 0 {
		s.extensions = string(extensions[1:])
	}
	if i := parsed.Find(head, "sec-websocket-protocol", 0); i >= 0 {
		s.protocol = string(parsed.Fields[i].Value(head))
	}
	return ""
}

// refused implements upgrader.
func (c *socketCall) refused(status int, why *fault) (handled bool) {
	if c.isFetch {
		return false
	}
	h := c.socket.handle
	c.socket.handle, c.socket.state = nil, socketOver
	if why == nil {
		why = newFault(isolates.FaultNetwork, fmt.Sprintf("WebSocket: the server answered with status %d", status))
	}
	h.fail(why)
	return true
}
