package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// originCommand is the first argument of this program when it is the origin behind the servers.
const originCommand = "origin"

// pangram is what bodies of the origin consist of, 64 bytes.
const pangram = "The quick brown fox jumps over the lazy dog, again and again...\n"

const binaryType = "application/octet-stream"

// originChunk is how much of a body the origin sends at once, a multiple of the pangram.
const originChunk = 256 << 10

// heldLimit is how long the origin waits for as many requests as it is told to hold.
const heldLimit = 60 * time.Second

// bodyOf returns the first size bytes of a body of the origin.
func bodyOf(size int) string {
	return strings.Repeat(pangram, (size+len(pangram)-1)/len(pangram))[:size]
}

// originParts are the answers that the fan-out joins, by path.
var originParts = map[string]string{
	"/user":   `{"id":7,"name":"Ada","tags":["alpha","beta"]}`,
	"/orders": `[{"id":1,"total":12.5},{"id":2,"total":99}]`,
	"/news":   `[{"title":"Rings are round"},{"title":"Loops, too"}]`,
}

// origin answers
//
//   - /bytes/SIZE with a body of that size,
//   - /upload with the size of the request's body,
//   - the paths of originParts with JSON,
//   - /held/COUNT once that many such requests wait, all at once.
type origin struct {
	chunk []byte
	lock  sync.Mutex
	// held are the requests that wait, and free is closed when they may be answered.
	held int
	free chan struct{}
}

func newOrigin() *origin {
	return &origin{chunk: []byte(bodyOf(originChunk)), free: make(chan struct{})}
}

// runOrigin is the origin's process: it serves on an address until it is ended.
func runOrigin(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("want an address")
	}
	return http.ListenAndServe(arguments[0], newOrigin())
}

// ServeHTTP implements http.Handler.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if part, found := originParts[r.URL.Path]; found {
		w.Header().Set("Content-Type", jsonType)
		io.WriteString(w, part)
		return
	}
	kind, argument, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	number, err := strconv.ParseInt(argument, 10, 64)
	switch {
	case kind == "bytes" && err == nil:
		o.serveBytes(w, number)
	case kind == "upload":
		size, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", textType)
		fmt.Fprint(w, size)
	case kind == "held" && err == nil:
		o.hold(r.Context(), w, int(number))
	default:
		http.NotFound(w, r)
	}
}

// serveBytes sends a body without making it.
func (o *origin) serveBytes(w http.ResponseWriter, size int64) {
	w.Header().Set("Content-Type", binaryType)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	for size > 0 {
		part := o.chunk[:min(size, int64(len(o.chunk)))]
		if _, err := w.Write(part); err != nil {
			return // the client has gone
		}
		size -= int64(len(part))
	}
}

// hold answers once count requests wait.
func (o *origin) hold(ctx context.Context, w http.ResponseWriter, count int) {
	o.lock.Lock()
	o.held++
	free := o.free
	if o.held >= count {
		close(o.free)
		o.held, o.free = 0, make(chan struct{})
	}
	o.lock.Unlock()
	limit := time.NewTimer(heldLimit)
	defer limit.Stop()
	select {
	case <-free:
		w.Header().Set("Content-Type", textType)
		io.WriteString(w, "held")
		return
	case <-ctx.Done():
	case <-limit.C:
		http.Error(w, "not as many requests came", http.StatusGatewayTimeout)
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	if free == o.free {
		o.held--
	}
}

// originAddress starts the origin, beside wrk and off the server's core, unless it runs already.
func (b *bench) originAddress(ctx context.Context) (string, error) {
	if b.origin != nil {
		return b.origin.Address, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if b.origin, err = startServer(ctx, []string{self, originCommand, address}, b.clientCore, address); err != nil {
		return "", fmt.Errorf("origin: %w", err)
	}
	return address, nil
}

// stopOrigin ends the origin, if it was started.
func (b *bench) stopOrigin() {
	if b.origin != nil {
		b.origin.stop()
		b.origin = nil
	}
}
