package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"nano/loop"
	"nano/tracecontext"
)

// fakeSource has spans for the next Collect.
type fakeSource struct {
	mutex sync.Mutex
	spans []loop.Span
	full  chan struct{}
}

func newSource() *fakeSource { return &fakeSource{full: make(chan struct{}, 1)} }

func (s *fakeSource) add(spans ...loop.Span) {
	s.mutex.Lock()
	s.spans = append(s.spans, spans...)
	s.mutex.Unlock()
	select {
	case s.full <- struct{}{}:
	default:
	}
}

func (s *fakeSource) Collect(use func([]loop.Span)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.spans) != 0 {
		use(s.spans)
	}
	s.spans = nil
}
func (s *fakeSource) Full() <-chan struct{} { return s.full }
func (s *fakeSource) Dropped() uint64       { return 3 }

// A collector takes what is exported, and answers as the test wants it.
type collector struct {
	*httptest.Server
	requests chan *tracepb.TracesData
	headers  chan http.Header
	answers  chan func(w http.ResponseWriter) // of the next requests; then 200
}

func newCollector(t *testing.T) *collector {
	c := &collector{requests: make(chan *tracepb.TracesData, 100), headers: make(chan http.Header, 100), answers: make(chan func(http.ResponseWriter), 100)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := &tracepb.TracesData{}
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, data) != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		c.headers <- r.Header
		c.requests <- data
		select {
		case answer := <-c.answers:
			answer(w)
		default:
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func closeSoon(e *Exporter) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e.Close(ctx)
}

func someSpan() loop.Span {
	return loop.Span{Trace: tracecontext.TraceID{1, 2}, ID: tracecontext.SpanID{3}, Parent: tracecontext.SpanID{4}, Flags: 1,
		Begin: 1000, End: 3000, Request: 0xbeef, App: "hello", Version: "v1", Route: "/api", Status: 503, Error: "cpu-limit",
		Start: loop.StartCold, CPU: 1500 * time.Microsecond, Method: []byte("GET"), Host: []byte("example.com:8080"), Path: []byte("/api/\xff"),
		Client: []byte("[2001:db8::1]:99"), Agent: []byte("curl"), State: []byte("a=1")}
}

// textsOf are attributes as texts.
func textsOf(all []*commonpb.KeyValue) map[string]string {
	texts := map[string]string{}
	for _, each := range all {
		value := each.Value.String()
		_, value, _ = strings.Cut(value, ":")
		texts[each.Key] = strings.Trim(value, "\"")
	}
	return texts
}

func TestExport(t *testing.T) {
	c, source := newCollector(t), newSource()
	e := Start(Options{Endpoint: c.URL + "/", Headers: map[string]string{"Authorization": "Bearer x"}, Service: "shop", Version: "9", Source: source, Logger: slog.Default()})
	source.add(someSpan())
	data, header := <-c.requests, <-c.headers
	closeSoon(e)
	if e.Sent() != 1 || e.Dropped() != 3 {
		t.Errorf("%d sent, %d dropped", e.Sent(), e.Dropped())
	}
	if header.Get("Authorization") != "Bearer x" || header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("%v", header)
	}
	resource := textsOf(data.ResourceSpans[0].Resource.Attributes)
	if resource["service.name"] != "shop" || resource["service.version"] != "9" {
		t.Errorf("%v", resource)
	}
	span := data.ResourceSpans[0].ScopeSpans[0].Spans[0]
	if span.Name != "GET /api" || span.Kind != tracepb.Span_SPAN_KIND_SERVER || hex.EncodeToString(span.TraceId) != "01020000000000000000000000000000" ||
		span.TraceState != "a=1" || span.StartTimeUnixNano != 1000 || span.EndTimeUnixNano != 3000 || span.Flags != 0x301 ||
		span.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || !bytes.Equal(span.ParentSpanId, []byte{4, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("%v", span)
	}
	got := textsOf(span.Attributes)
	for name, want := range map[string]string{"http.request.method": "GET", "url.path": "/api/\uFFFD", "url.scheme": "http", "server.address": "example.com",
		"server.port": "8080", "http.response.status_code": "503", "http.route": "/api", "client.address": "2001:db8::1", "user_agent.original": "curl",
		"error.type": "cpu-limit", "nano.app": "hello", "nano.version": "v1", "nano.cpu_time": "0.0015", "nano.start": "cold", "nano.request": "000000000000beef"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestKinds(t *testing.T) {
	client := loop.Span{Kind: loop.SpanClient, Status: 404, Method: []byte("BREW"), Secure: true, Host: []byte("[::1]"), Path: []byte("/x"), Resends: 2}
	call := loop.Span{Kind: loop.SpanService, App: "b", Caller: "a", Status: 404, Method: []byte("GET")}
	cron := loop.Span{Kind: loop.SpanScheduled, App: "b", Status: 500, Cron: []byte("* * * * *")}
	for _, test := range []struct {
		span        loop.Span
		name, error string
		kind        tracepb.Span_SpanKind
		key, value  string
	}{
		{client, "HTTP", "404", tracepb.Span_SPAN_KIND_CLIENT, "url.full", "https://[::1]/x"},
		{client, "HTTP", "404", tracepb.Span_SPAN_KIND_CLIENT, "http.request.method_original", "BREW"},
		{client, "HTTP", "404", tracepb.Span_SPAN_KIND_CLIENT, "http.request.resend_count", "2"},
		{client, "HTTP", "404", tracepb.Span_SPAN_KIND_CLIENT, "server.address", "::1"},
		{call, "call b", "", tracepb.Span_SPAN_KIND_INTERNAL, "nano.caller", "a"},
		{cron, "scheduled b", "uncaught", tracepb.Span_SPAN_KIND_INTERNAL, "nano.cron", "* * * * *"},
	} {
		span := spanOf(&test.span)
		got := textsOf(span.Attributes)
		if span.Name != test.name || span.Kind != test.kind || got["error.type"] != test.error || got[test.key] != test.value || len(span.ParentSpanId) != 0 {
			t.Errorf("%v, want %s %s=%q", span, test.name, test.key, test.value)
		}
	}
}

// TestRetries: what the collector cannot take now it gets again, and what it refuses is dropped.
func TestRetries(t *testing.T) {
	c, source := newCollector(t), newSource()
	status := func(code int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	c.answers <- status(503)
	c.answers <- status(429)
	e := Start(Options{Endpoint: c.URL, Source: source, Logger: slog.Default()})
	source.add(someSpan())
	for range 3 {
		<-c.requests
	}
	c.answers <- status(400)
	source.add(someSpan(), someSpan())
	<-c.requests
	c.answers <- func(w http.ResponseWriter) { // one of two is rejected
		partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
		_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial))
	}
	source.add(someSpan(), someSpan())
	<-c.requests
	closeSoon(e)
	if e.Sent() != 2 || e.Dropped() != 3+2+1 {
		t.Errorf("%d sent, %d dropped", e.Sent(), e.Dropped())
	}
}

// TestCollectorDown: the queue is bounded, and the end comes in time.
func TestCollectorDown(t *testing.T) {
	source := newSource()
	e := Start(Options{Endpoint: "http://127.0.0.1:1", Source: source, Logger: slog.New(slog.DiscardHandler)})
	const spans = (queueMax + 2) * batchMax
	source.add(make([]loop.Span, spans)...)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	e.Close(ctx)
	if e.Sent() != 0 || e.Dropped() != 3+spans {
		t.Errorf("%d sent, %d dropped", e.Sent(), e.Dropped())
	}
}

// TestCollectorHangs: a request without an answer does not keep the node from ending.
func TestCollectorHangs(t *testing.T) {
	c, source, release := newCollector(t), newSource(), make(chan struct{})
	defer close(release)
	c.answers <- func(http.ResponseWriter) { <-release }
	e := Start(Options{Endpoint: c.URL, Source: source, Logger: slog.New(slog.DiscardHandler)})
	source.add(someSpan())
	<-c.requests
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	e.Close(ctx)
	if e.Dropped() != 4 {
		t.Errorf("%d dropped", e.Dropped())
	}
}

// FuzzAnswer: whatever the collector answers.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{10, 2, 8, 1})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if int64(rejectedSpans(answer)) < 0 {
			t.Fatal("less than none")
		}
	})
}
