// Package tracing sends the spans of a node's loops to an OpenTelemetry collector, by OTLP over HTTP
// (https://opentelemetry.io/docs/specs/otlp/). The loops record, and wait for nothing; all else is the work of one
// goroutine here:
//
//	loops ─► loop.Tracing ─► Exporter: batches, a bounded queue ─► POST /v1/traces
//
// What does not fit into the queue, because the collector is down or slow, is dropped and counted.
package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"nano/loop"
)

// Options of an Exporter.
type Options struct {
	Endpoint string            // URL of the collector, "http://127.0.0.1:4318": "/v1/traces" follows
	Headers  map[string]string // of each request, such as credentials
	Service  string            // service.name
	Version  string            // service.version, ""
	Source   Source
	Logger   *slog.Logger
	Client   *http.Client // nil: one that gives up after sendPatience
}

// Source is where spans come from: a loop.Tracing.
type Source interface {
	Collect(use func([]loop.Span))
	Full() <-chan struct{}
	Dropped() uint64
}

const (
	path         = "/v1/traces"
	collectPause = time.Second // how long a span waits at the most before it is sent
	batchMax     = 512         // spans of one request
	queueMax     = 64          // requests that wait
	sendPatience = 10 * time.Second
	answerMax    = 64 << 10 // bytes of an answer that are read

	// After a failure that may pass the exporter waits, longer each time, and as long as the collector asks for, but
	// no longer than pauseMax.
	pauseMin = time.Second
	pauseMax = time.Minute
)

// An Exporter sends the spans of a node.
type Exporter struct {
	options  Options
	url      string
	client   *http.Client
	encoder  *encoder
	queue    []batch
	pause    time.Duration // after the next failure
	isFailed bool          // the last request has failed, and the log says so

	sent, dropped atomic.Uint64
	cut           context.CancelFunc   // gives up what is being sent
	stop          chan context.Context // the one of Close
	done          chan struct{}
}

// batch is one request.
type batch struct {
	body  []byte
	spans int
}

// Start makes an exporter and starts its goroutine.
func Start(o Options) *Exporter {
	e := &Exporter{
		options: o, url: strings.TrimRight(o.Endpoint, "/") + path, client: o.Client, encoder: newEncoder(o.Service, o.Version),
		pause: pauseMin, stop: make(chan context.Context, 1), done: make(chan struct{}),
	}
	var sending context.Context
	sending, e.cut = context.WithCancel(context.Background())
	if e.client == nil {
		// Not the transport of everybody, so that the connection is closed at the end. Redirects are not followed:
		// credentials are for the endpoint alone.
		transport := http.DefaultTransport.(*http.Transport).Clone()
		e.client = &http.Client{Timeout: sendPatience, Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	go e.run(sending)
	return e
}

// Sent is how many spans the collector has taken. Any goroutine may ask.
func (e *Exporter) Sent() uint64 { return e.sent.Load() }

// Dropped is how many spans were lost: because there was no room for them, or the collector refused them.
func (e *Exporter) Dropped() uint64 { return e.dropped.Load() + e.options.Source.Dropped() }

// Close sends what has been recorded, as far as that is possible before ctx ends, and ends the exporter. The rest
// is dropped and counted.
func (e *Exporter) Close(ctx context.Context) {
	e.stop <- ctx
	select {
	case <-e.done:
	case <-ctx.Done():
		e.cut() // a request that was under way before
		<-e.done
	}
	e.cut()
	e.client.CloseIdleConnections()
}

// run is the exporter's goroutine.
func (e *Exporter) run(ctx context.Context) {
	defer close(e.done)
	ticker := time.NewTicker(collectPause)
	defer ticker.Stop()
	var retryAt time.Time
	for {
		select {
		case last := <-e.stop:
			e.finish(last)
			return
		case <-ticker.C:
		case <-e.options.Source.Full():
		}
		e.collect()
		for len(e.queue) != 0 && !time.Now().Before(retryAt) && len(e.stop) == 0 {
			if wait := e.sendFirst(ctx); wait != 0 {
				retryAt = time.Now().Add(wait)
			}
		}
	}
}

// finish sends what is left until ctx ends.
func (e *Exporter) finish(ctx context.Context) {
	e.collect()
	for len(e.queue) != 0 && ctx.Err() == nil {
		if wait := e.sendFirst(ctx); wait != 0 {
			select {
			case <-ctx.Done():
			case <-time.After(min(wait, pauseMin)):
			}
		}
	}
	for _, b := range e.queue {
		e.dropped.Add(uint64(b.spans))
	}
	e.queue = nil
}

// collect queues what the loops have recorded.
func (e *Exporter) collect() {
	e.options.Source.Collect(func(spans []loop.Span) {
		for len(spans) != 0 {
			n := min(len(spans), batchMax)
			if len(e.queue) < queueMax {
				e.queue = append(e.queue, batch{e.encoder.encode(spans[:n]), n})
			} else {
				e.dropped.Add(uint64(n))
			}
			spans = spans[n:]
		}
	})
}

// sendFirst sends the first request of the queue, and takes it off unless it is to be sent again after a pause.
func (e *Exporter) sendFirst(ctx context.Context) (pause time.Duration) {
	b := e.queue[0]
	rejected, after, err := e.send(ctx, b.body)
	if err != nil && after != never {
		e.tell(err)
		// Spread, so that a collector that comes back is not asked by all nodes at once.
		pause = max(e.pause/2+rand.N(e.pause/2), min(after, pauseMax))
		e.pause = min(2*e.pause, pauseMax)
		return pause
	}
	e.queue[0] = batch{}
	e.queue = e.queue[1:]
	if err != nil {
		e.tell(err)
		e.dropped.Add(uint64(b.spans))
		return 0
	}
	rejected = min(rejected, uint64(b.spans))
	e.dropped.Add(rejected)
	e.sent.Add(uint64(b.spans) - rejected)
	e.pause = pauseMin
	if e.isFailed {
		e.isFailed = false
		e.options.Logger.Info("traces: the collector takes them again")
	}
	return 0
}

// tell logs a failure, unless the one before it was told and nothing has been sent since.
func (e *Exporter) tell(err error) {
	if !e.isFailed {
		e.isFailed = true
		e.options.Logger.Warn("traces: " + err.Error() + ": is [tracing] endpoint right, and the collector up?")
	}
}

// never is the pause of what is not to be sent again.
const never time.Duration = -1

// send sends one request. after an error: how long the collector wants to be left alone, at least; or never.
func (e *Exporter) send(ctx context.Context, body []byte) (rejected uint64, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, never, err
	}
	for name, value := range e.options.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "NANO")
	response, err := e.client.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	switch {
	case response.StatusCode/100 == 2:
		if err != nil { // the collector has it all the same
			return 0, 0, nil
		}
		return rejectedSpans(answer), 0, nil
	case isPassing(response.StatusCode):
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		after = time.Duration(min(max(seconds, 0), int(pauseMax/time.Second))) * time.Second
		return 0, after, fmt.Errorf("%s answers %s", e.url, response.Status)
	}
	return 0, never, fmt.Errorf("%s answers %s", e.url, response.Status)
}

// isPassing reports whether a request that was answered so is to be sent again (OTLP, "Retryable Response Codes").
func isPassing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

var errAnswer = errors.New("malformed answer")

// rejectedSpans is how many spans an answer (ExportTraceServiceResponse) says were not taken; 0 if it is malformed.
func rejectedSpans(answer []byte) uint64 {
	partial, err := field(answer, 1, protowire.BytesType)
	if err != nil || partial == nil {
		return 0
	}
	message, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count, err := field(message, 1, protowire.VarintType)
	if err != nil || count == nil {
		return 0
	}
	rejected, n := protowire.ConsumeVarint(count)
	if n < 0 || int64(rejected) < 0 {
		return 0
	}
	return rejected
}

// field finds a field of a message, whose value begins where the result does; nil: there is none.
func field(message []byte, number protowire.Number, kind protowire.Type) ([]byte, error) {
	for len(message) != 0 {
		got, gotKind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, errAnswer
		}
		message = message[n:]
		if got == number && gotKind == kind {
			return message, nil
		}
		if n = protowire.ConsumeFieldValue(got, gotKind, message); n < 0 {
			return nil, errAnswer
		}
		message = message[n:]
	}
	return nil, nil
}
