package tlsclient

import (
	"crypto/tls"
	"errors"
	"io"
)

// A Conn is the client's end of a TLS connection. Until Done reports the end of the handshake only Feed,
// TakeOutput, Done and Abort may be called; then, if the handshake has succeeded and after Open, the others.
// All are called on one thread.
type Conn struct {
	tls  *tls.Conn
	wire wire

	isDone bool // guarded by wire.mutex
	err    error
}

var (
	// ErrNoData: what has been received is used up, and more is needed.
	ErrNoData = errors.New("tlsclient: no data yet")
	// ErrTruncated: the connection has ended, and the server did not say that it meant to end it
	// (RFC 8446 §6.1, close_notify). Somebody else may have ended it.
	ErrTruncated = errors.New("tlsclient: the connection ended without close_notify")
	// ErrTooMuch: the server has sent more than a handshake can need.
	ErrTooMuch = errors.New("tlsclient: too much data before the end of the handshake")
)

func newConn(notify func()) *Conn {
	c := &Conn{}
	c.wire.notify = notify
	c.wire.changed.L = &c.wire.mutex
	return c
}

// handshake is the goroutine of the handshake.
func (c *Conn) handshake() {
	err := c.tls.Handshake()
	c.wire.mutex.Lock()
	c.isDone, c.err = true, err
	c.wire.mutex.Unlock()
	c.wire.changed.Broadcast()
	c.wire.notify()
}

// Feed hands over a copy of what was received. nil: the server has closed the connection. False: more has come
// than a handshake needs, and the connection should be given up (ErrTooMuch).
func (c *Conn) Feed(data []byte) bool { return c.wire.feed(data) }

// TakeOutput appends to buffer what is to be sent.
func (c *Conn) TakeOutput(buffer []byte) []byte {
	c.wire.mutex.Lock()
	defer c.wire.mutex.Unlock()
	buffer = append(buffer, c.wire.output...)
	c.wire.output = c.wire.output[:0]
	return buffer
}

// Done reports whether the handshake is over, and why it has failed. After that the goroutine touches
// nothing any more. What it has sent last is still to be taken.
func (c *Conn) Done() (done bool, err error) {
	c.wire.mutex.Lock()
	defer c.wire.mutex.Unlock()
	return c.isDone, c.err
}

// Abort ends a handshake that nobody waits for.
func (c *Conn) Abort() { c.wire.cut() }

// Open is called after a handshake that has succeeded. From then on sink gets what is to be sent, valid
// during the call. What was received with the end of the handshake can be read.
func (c *Conn) Open(sink func(out []byte)) {
	c.wire.isDriven, c.wire.sink, c.wire.output = true, sink, nil
}

// Protocol is what was agreed on by ALPN; "": nothing.
func (c *Conn) Protocol() string { return c.tls.ConnectionState().NegotiatedProtocol }

// IsResumed reports whether the session is one of before.
func (c *Conn) IsResumed() bool { return c.tls.ConnectionState().DidResume }

// Receive hands over what was received; nil: the server has closed the connection. It is to be read until
// Read has nothing more, while data are valid.
func (c *Conn) Receive(data []byte) {
	if data == nil {
		c.wire.ended = true
		return
	}
	if len(c.wire.input) != 0 { // what came with the end of the handshake was not read
		data = append(c.wire.input, data...)
	}
	c.wire.input = data
}

// ReadMax is a size of buffer with which each Read brings a whole record.
const ReadMax = 16 << 10

// Read decrypts one record at most. The errors: ErrNoData; io.EOF, the server has ended the connection;
// ErrTruncated; or what is wrong with what was received, which ends the connection.
func (c *Conn) Read(into []byte) (n int, err error) {
	n, err = c.tls.Read(into)
	switch {
	case n != 0: // an error comes again
		return n, nil
	case err == noData:
		return 0, ErrNoData
	case (err == io.EOF || err == io.ErrUnexpectedEOF) && c.wire.isEndRead:
		return 0, ErrTruncated
	}
	return 0, err
}

// Write encrypts data into the sink. An error: the connection has failed before, or End was called.
func (c *Conn) Write(data []byte) error {
	_, err := c.tls.Write(data)
	return err
}

// End says that nothing more will be sent (close_notify).
func (c *Conn) End() error { return c.tls.CloseWrite() }
