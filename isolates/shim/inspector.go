package shim

/*
#include "shim.h"
*/
import "C"

import "time"

// Inspector is what an app can be debugged by; see nano_inspector_new in shim.h. Its methods, and those of
// sessions, may be called from any thread.
type Inspector struct{ pointer *C.nano_inspector }

// NewInspector makes one, for as long as the process lives.
func NewInspector(base string, breaks bool, pauseMax time.Duration) Inspector {
	var breaksAtStart C.int
	if breaks {
		breaksAtStart = 1
	}
	return Inspector{C.nano_inspector_new(cBytes(base), breaksAtStart, C.int64_t(pauseMax.Milliseconds()))}
}

// Stop ends all sessions and pauses for good.
func (i Inspector) Stop() { C.nano_inspector_stop(i.pointer) }

// Release ends a pause that lasts, and those that would begin until it is called with false, or the next isolate of
// the app starts.
func (i Inspector) Release(isReleased bool) {
	var released C.int
	if isReleased {
		released = 1
	}
	C.nano_inspector_release(i.pointer, released)
}

// Session is that of a client.
type Session struct{ pointer *C.nano_session }

// Open begins a session; false: there are too many, or the inspector was stopped.
func (i Inspector) Open() (Session, bool) {
	session := C.nano_session_open(i.pointer)
	return Session{session}, session != nil
}

// Send brings a message of the client, which must be valid UTF-8. False: the session has ended, or too much waits.
func (s Session) Send(message []byte) bool {
	return C.nano_session_send(s.pointer, view(message)) == 0
}

// Receive waits for a message to the client. False: the session has ended.
func (s Session) Receive() ([]byte, bool) {
	var message C.nano_bytes
	if C.nano_session_receive(s.pointer, &message) != 0 {
		return nil, false
	}
	return takeBytes(message), true
}

// Close ends the session.
func (s Session) Close() { C.nano_session_close(s.pointer) }

// Free gives a closed session back, which nobody uses any more.
func (s Session) Free() { C.nano_session_free(s.pointer) }
