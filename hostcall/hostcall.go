// Package hostcall is how JavaScript calls Go: for what is computed (ciphers, compression, encodings, HTML),
// in the same turn, as a function that takes values and gives values.
//
// A package that computes registers its functions in an init function; webapi.HostCalls lists their names, and
// scripts of the runtime find them on internals.host. JavaScript's values come as views of where they lie, and
// results are written where JavaScript will have them. A function must not call into an isolate, must not
// block, and should take at most some 100 us, since the loop and all its apps wait for it: long work is split
// into pieces by its script, or runs on a goroutine by internals.hostAsync.
//
// The package knows nothing of V8: isolates/shim/hostcall.cc fills the Frame of a call, and Serve runs it.
package hostcall

import (
	"fmt"
	"slices"
	"sync"
)

// A Func is what JavaScript calls. An error that is an *Error becomes the exception that it names; any other
// error, and a panic, becomes an OperationError.
type Func func(c *Call) error

// An Error is an exception for JavaScript.
type Error struct {
	Name string // "TypeError", "RangeError", or the name of a DOMException
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Name + ": " + e.Text }

// Errorf makes an Error of a name and a formatted text.
func Errorf(name, format string, arguments ...any) *Error {
	return &Error{name, fmt.Sprintf(format, arguments...)}
}

// operationError is the name of errors that have none of their own.
const operationError = "OperationError"

var (
	registerMutex sync.Mutex
	registered    = map[string]Func{}
)

// Register gives a function the name by which JavaScript calls it. It is called by init functions. It panics
// if the name is taken.
func Register(name string, f Func) {
	registerMutex.Lock()
	defer registerMutex.Unlock()
	if registered[name] != nil {
		panic("hostcall: " + name + " is registered twice")
	}
	registered[name] = f
}

// Names are those of all functions registered so far, sorted.
func Names() []string {
	registerMutex.Lock()
	defer registerMutex.Unlock()
	names := make([]string, 0, len(registered))
	for name := range registered {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// table are the functions that JavaScript calls by their index. It does not change once isolates exist.
var table []Func

// Bind fixes the table: calls name functions by the index of their name here. An error: one is missing, or
// one that is registered is not among the names. It must not be called once isolates exist.
func Bind(names []string) error {
	registerMutex.Lock()
	defer registerMutex.Unlock()
	bound := make([]Func, len(names))
	for i, name := range names {
		if bound[i] = registered[name]; bound[i] == nil {
			return fmt.Errorf("no package has registered the function %s that scripts may call", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("the function %s is listed twice", name)
		}
	}
	for name := range registered {
		if !slices.Contains(names, name) {
			return fmt.Errorf("the function %s is registered, but no script may call it", name)
		}
	}
	table = bound
	return nil
}
