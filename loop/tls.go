package loop

import (
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/tlsclient"
)

// A tlsConnection is TLS over an endpoint: a transport for whoever talks to the server, and the handler of
// the endpoint.
//
// Its life: handshake, on a goroutine that is told of by the mailbox → open → ending, while the last
// of the output leaves → closed. Who has begun it is told the outcome of the handshake, and becomes its
// handler then.
//
// A record is decrypted as soon as it is whole, whether its reader has paused or not: what is received is bounded
// by the endpoint's pause, and nothing is kept here but part of a record.
type tlsConnection struct {
	loop     *Loop
	endpoint *endpoint // nil: closed
	conn     *tlsclient.Conn
	name     string
	handler  endpointHandler // nil: none yet
	who      securer         // nil: has been told, or does not want to know
	limit    timeoutNode     // of the handshake

	isOpen      bool // the handshake has succeeded
	isEnding    bool // nobody but the endpoint refers to the connection
	inputEnded  bool
	isTruncated bool   // without close_notify
	why         string // the connection failed, if it was TLS that did

	hasMail atomic.Bool // there is a message in the mailbox
}

// A securer is who begins a TLS connection. It is told the outcome once, and never from within secure.
type securer interface {
	// secured brings the connection, which receives. The securer sets its handler, which hears of
	// nothing before this returns.
	secured(t *tlsConnection)
	secureFailed(f *fault)
}

// secureLimit is for how long a server may take for a handshake.
const secureLimit = 10 * time.Second

// tlsState is what a loop keeps for TLS.
type tlsState struct {
	plaintext []byte // of the record that is being read
	handshake []byte // output of a handshake
}

// Protocols that are offered by ALPN (RFC 7301).
var protocolsHTTP1 = []string{"http/1.1"}

// secure begins TLS on an endpoint that is connected, on behalf of an app. name is whom the certificate
// must be for. Until who has been told the result can be closed; then it is not told.
func (l *Loop) secure(e *endpoint, app *appWorker, name string, protocols []string, who securer) *tlsConnection {
	t := &tlsConnection{loop: l, endpoint: e, name: name, who: who}
	t.limit.owner = t
	e.handler = t
	l.startTimeout(&t.limit, secureLimit)
	t.conn = app.shared.TLS.Start(name, protocols, t.post)
	e.resume()
	return t
}

// post is called on the goroutine of the handshake when the loop has to look at it.
func (t *tlsConnection) post() {
	if !t.hasMail.Swap(true) {
		t.loop.mailbox.Post(message{kind: messageSecure, secure: t}) // closed: nobody waits any more
	}
}

// secureMoved looks at a handshake that has moved on.
func (l *Loop) secureMoved(t *tlsConnection) {
	t.hasMail.Store(false)
	if t.endpoint == nil || t.isOpen || t.isEnding {
		return
	}
	l.handshake = t.conn.TakeOutput(l.handshake[:0])
	// What the goroutine sent last is taken after its end was seen.
	done, err := t.conn.Done()
	if done {
		l.handshake = t.conn.TakeOutput(l.handshake)
	}
	t.endpoint.write(l.handshake)
	switch {
	case !done:
	case err != nil:
		t.failHandshake(tlsclient.Describe(err, t.name))
	default:
		t.open()
	}
}

// open begins the connection's life after the handshake.
func (t *tlsConnection) open() {
	t.limit.stop()
	t.isOpen = true
	t.conn.Open(t.endpoint.write)
	who := t.who
	t.who = nil
	who.secured(t)
	t.readRecords()
}

// failHandshake ends a connection that has not come to be. The server still gets to hear why.
func (t *tlsConnection) failHandshake(why string) {
	t.failAs(newFault(isolates.FaultNetwork, "TLS: "+why))
}

func (t *tlsConnection) failAs(f *fault) {
	who := t.who
	t.end()
	if who != nil {
		who.secureFailed(f)
	}
}

// timedOut implements waiter: the handshake takes too long.
func (t *tlsConnection) timedOut(*timeoutNode) {
	t.failAs(newFault(isolates.FaultTimeout, "TLS: the server did not complete the handshake within "+secureLimit.String()))
}

// end closes the endpoint once what was written has left.
func (t *tlsConnection) end() {
	e := t.endpoint
	t.drop()
	if e.queued() == 0 || !e.takesOutput() {
		e.close()
		return
	}
	e.pause()
}

// connected implements endpointHandler; it was connected before.
func (t *tlsConnection) connected() {}

// received implements endpointHandler.
func (t *tlsConnection) received(data []byte) {
	switch {
	case t.isEnding || t.inputEnded:
	case t.isOpen:
		t.conn.Receive(data)
		t.readRecords()
	case !t.conn.Feed(data):
		t.failHandshake("the server sent too much during the handshake")
	}
}

// readRecords decrypts what has been received.
func (t *tlsConnection) readRecords() {
	l := t.loop
	if l.plaintext == nil {
		l.plaintext = make([]byte, tlsclient.ReadMax)
	}
	for !t.isEnding && !t.inputEnded {
		n, err := t.conn.Read(l.plaintext)
		switch {
		case err == nil:
			t.handler.received(l.plaintext[:n])
		case err == tlsclient.ErrNoData:
			return
		case err == io.EOF, err == tlsclient.ErrTruncated:
			t.inputEnded, t.isTruncated = true, err == tlsclient.ErrTruncated
			t.handler.received(nil)
		default:
			t.why = "TLS: " + tlsclient.Describe(err, t.name)
			t.end()
			t.handler.failed(unix.EPROTO)
		}
	}
}

// sent implements endpointHandler.
func (t *tlsConnection) sent() {
	switch {
	case t.isEnding:
		if t.endpoint.queued() == 0 {
			t.endpoint.close()
		}
	case t.isOpen:
		t.handler.sent()
	}
}

// failed implements endpointHandler.
func (t *tlsConnection) failed(errno unix.Errno) {
	switch {
	case t.isEnding:
	case t.isOpen:
		t.isEnding = true
		t.handler.failed(errno)
	default:
		t.failHandshake(errnoText(errno) + " during the handshake")
	}
}

// closed implements endpointHandler.
func (t *tlsConnection) closed() {
	t.endpoint = nil
	if t.handler != nil {
		t.handler.closed()
	}
}

// write implements transport.
func (t *tlsConnection) write(data []byte) {
	if t.isEnding || len(data) == 0 {
		return
	}
	// It fails only after a failure that is told by reading, and after finish.
	_ = t.conn.Write(data)
}

// writeBuffer implements transport.
func (t *tlsConnection) writeBuffer(buffer []byte) {
	t.write(buffer)
	t.loop.buffers.give(buffer)
}

// writeBlock implements transport.
func (t *tlsConnection) writeBlock(block Block, n int) {
	t.write(t.loop.options.Blocks.Memory(block, n)[isolates.HeadRoom:])
	t.loop.freeBlock(block)
}

// queued implements transport: bytes as they are sent.
func (t *tlsConnection) queued() int {
	if t.isEnding {
		return 0
	}
	return t.endpoint.queued()
}

// pause implements transport.
func (t *tlsConnection) pause() {
	if !t.isEnding {
		t.endpoint.pause()
	}
}

// resume implements transport.
func (t *tlsConnection) resume() {
	if !t.isEnding {
		t.endpoint.resume()
	}
}

// finish implements transport.
func (t *tlsConnection) finish() {
	if !t.isEnding {
		_ = t.conn.End() // if it fails the connection has failed before
		t.endpoint.finish()
	}
}

// close implements transport. What has not been sent is dropped; if that is nothing, the server
// hears that we meant to end the connection.
func (t *tlsConnection) close() {
	if t.isEnding {
		return
	}
	t.who = nil
	if t.endpoint.queued() != 0 || !t.isOpen {
		t.drop()
		t.endpoint.close()
		return
	}
	_ = t.conn.End() // if it fails the connection has failed before
	t.end()
}

// drop has nothing more of the connection matter to anybody.
func (t *tlsConnection) drop() {
	t.isEnding, t.who = true, nil
	t.limit.stop()
	t.conn.Abort()
}

// reset implements transport.
func (t *tlsConnection) reset() {
	if t.isEnding {
		return
	}
	t.drop()
	t.endpoint.reset()
}

// failureText says why a connection has failed: its transport knows more than an errno if it was TLS.
func failureText(t transport, errno unix.Errno) string {
	if t, isTLS := t.(*tlsConnection); isTLS && t.why != "" {
		return t.why
	}
	return errnoText(errno)
}

// isTruncated reports whether a connection has ended in a way in which anybody could have ended it, and not
// only the server: what ends with it may not be whole.
func isTruncated(t transport) bool {
	secure, isTLS := t.(*tlsConnection)
	return isTLS && secure.isTruncated
}
