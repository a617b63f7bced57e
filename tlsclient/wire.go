package tlsclient

import (
	"io"
	"net"
	"sync"
	"time"
)

// A wire is the connection that crypto/tls reads and writes: memory. While the handshake's goroutine works on
// it, reads block and everything is guarded by mutex. From release on it belongs to the caller of Conn's
// methods alone, and nothing blocks.
type wire struct {
	mutex     sync.Mutex
	changed   sync.Cond // input has come, or the wire was cut
	isDriven  bool
	isCut     bool
	isWaiting bool // the goroutine waits for input

	input     []byte // received and not read yet. During the handshake in memory of its own
	ended     bool   // nothing follows input
	isEndRead bool   // that was told

	output []byte           // of the handshake
	sink   func(out []byte) // takes output from release on
	notify func()
}

// inputMax bounds what a server can send that a handshake has not read.
const inputMax = 256 << 10

// errNoData is what a read returns that has to wait. crypto/tls goes on after an error of a network
// that is temporary.
type errNoData struct{}

func (errNoData) Error() string   { return "no data yet" }
func (errNoData) Timeout() bool   { return true }
func (errNoData) Temporary() bool { return true }

var noData net.Error = errNoData{}

// Read implements net.Conn.
func (w *wire) Read(into []byte) (n int, err error) {
	if w.isDriven {
		return w.take(into)
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for len(w.input) == 0 && !w.ended && !w.isCut {
		w.isWaiting = true
		w.changed.Broadcast()
		w.changed.Wait()
	}
	w.isWaiting = false
	if w.isCut {
		return 0, net.ErrClosed
	}
	return w.take(into)
}

// take reads what there is.
func (w *wire) take(into []byte) (n int, err error) {
	switch {
	case len(w.input) != 0:
		n = copy(into, w.input)
		w.input = w.input[n:]
		return n, nil
	case w.ended:
		w.isEndRead = true
		return 0, io.EOF
	}
	return 0, noData
}

// Write implements net.Conn.
func (w *wire) Write(data []byte) (n int, err error) {
	if w.isDriven {
		w.sink(data)
		return len(data), nil
	}
	w.mutex.Lock()
	if w.isCut {
		w.mutex.Unlock()
		return 0, net.ErrClosed
	}
	w.output = append(w.output, data...)
	w.mutex.Unlock()
	w.notify()
	return len(data), nil
}

// feed hands input over during the handshake. data nil: nothing follows. False: too much has come.
func (w *wire) feed(data []byte) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if data == nil {
		w.ended = true
	}
	if len(w.input)+len(data) > inputMax {
		return false
	}
	w.input = append(w.input, data...)
	w.isWaiting = false
	w.changed.Broadcast()
	return true
}

// cut ends whatever is waited for.
func (w *wire) cut() {
	w.mutex.Lock()
	w.isCut = true
	w.mutex.Unlock()
	w.changed.Broadcast()
}

// What crypto/tls does not need of a connection here: time is the loop's matter.

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return memoryAddress{} }
func (w *wire) RemoteAddr() net.Addr             { return memoryAddress{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

type memoryAddress struct{}

func (memoryAddress) Network() string { return "memory" }
func (memoryAddress) String() string  { return "memory" }
