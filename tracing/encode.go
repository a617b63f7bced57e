package tracing

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"nano/http1"
	"nano/loop"
	"nano/tracecontext"
)

// An encoder makes requests of spans, with the attributes of OpenTelemetry's semantic conventions for HTTP
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/), and "nano." for what is our own.
type encoder struct {
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
}

func newEncoder(service, version string) *encoder {
	resource := attributes{}
	resource.text("service.name", service)
	resource.text("service.version", version)
	if host, err := os.Hostname(); err == nil {
		resource.text("host.name", host)
	}
	resource.number("process.pid", int64(os.Getpid()))
	return &encoder{&resourcepb.Resource{Attributes: resource}, &commonpb.InstrumentationScope{Name: "nano", Version: version}}
}

// encode makes the body of a request. It is an ExportTraceServiceRequest, of which a TracesData is what is written.
func (e *encoder) encode(spans []loop.Span) []byte {
	encoded := make([]*tracepb.Span, len(spans))
	for i := range spans {
		encoded[i] = spanOf(&spans[i])
	}
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   e.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: e.scope, Spans: encoded}},
	}}})
	if err != nil {
		panic("tracing: what was made here cannot be encoded: " + err.Error())
	}
	return body
}

// Flags of a span of OTLP, beside those of the trace: whether its parent is elsewhere is known, and it is.
const (
	flagKnowsRemote = 0x100
	flagRemote      = 0x200
)

func spanOf(s *loop.Span) *tracepb.Span {
	span := &tracepb.Span{
		TraceId: s.Trace[:], SpanId: s.ID[:], TraceState: string(s.State),
		Flags:             uint32(s.Flags) | flagKnowsRemote,
		StartTimeUnixNano: uint64(s.Begin), EndTimeUnixNano: uint64(s.End),
	}
	if s.Parent != (tracecontext.SpanID{}) {
		span.ParentSpanId = s.Parent[:]
	}
	a := attributes{}
	a.text("nano.app", s.App)
	a.text("nano.version", s.Version)
	a.text("nano.request", requestID(s.Request))
	switch s.Kind {
	case loop.SpanServer:
		span.Kind = tracepb.Span_SPAN_KIND_SERVER
		if s.Parent != (tracecontext.SpanID{}) {
			span.Flags |= flagRemote
		}
		span.Name = a.request(s)
		a.server(s)
	case loop.SpanClient:
		span.Kind = tracepb.Span_SPAN_KIND_CLIENT
		span.Name = a.request(s)
		a.client(s)
	case loop.SpanService:
		span.Kind = tracepb.Span_SPAN_KIND_INTERNAL
		span.Name = "call " + s.App
		a.request(s)
		a.text("url.path", validText(s.Path))
		a.text("nano.caller", s.Caller)
	case loop.SpanScheduled:
		span.Kind = tracepb.Span_SPAN_KIND_INTERNAL
		span.Name = "scheduled " + s.App
		a.text("nano.cron", validText(s.Cron))
	}
	switch s.Start {
	case loop.StartWarm:
		a.text("nano.start", "warm")
	case loop.StartCold:
		a.text("nano.start", "cold")
	}
	if s.Start != loop.StartNone {
		a.seconds("nano.cpu_time", s.CPU.Seconds())
	}
	if s.Status != 0 && s.Kind != loop.SpanScheduled {
		a.number("http.response.status_code", int64(s.Status))
	}
	if what := errorOf(s); what != "" {
		a.text("error.type", what)
		span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
	span.Attributes = a
	return span
}

// errorOf is the error.type of a span; "": it went well. A status of 4xx is an error of the client, so it is one of a
// client's span only.
func errorOf(s *loop.Span) string {
	least := 500
	if s.Kind == loop.SpanClient {
		least = 400
	}
	switch {
	case s.Error != "":
		return s.Error
	case s.Status >= least && s.Kind == loop.SpanScheduled:
		return "uncaught"
	case s.Status >= least:
		return strconv.Itoa(s.Status)
	}
	return ""
}

// attributes are those of a span.
type attributes []*commonpb.KeyValue

func (a *attributes) add(key string, value *commonpb.AnyValue) {
	*a = append(*a, &commonpb.KeyValue{Key: key, Value: value})
}

// text adds a text, unless it is empty.
func (a *attributes) text(key, value string) {
	if value != "" {
		a.add(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}})
	}
}

func (a *attributes) number(key string, value int64) {
	a.add(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}})
}

func (a *attributes) seconds(key string, value float64) {
	a.add(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: value}})
}

// otherMethod stands for methods that are not known, of which there may be no end.
const otherMethod = "_OTHER"

// request adds what requests of all kinds have, and gives the name of the span.
func (a *attributes) request(s *loop.Span) (name string) {
	method := validText(s.Method)
	if !slices.Contains(http1.MethodNames[:], method) {
		a.text("http.request.method_original", method)
		method = otherMethod
	}
	a.text("http.request.method", method)
	host, port := splitHost(validText(s.Host))
	a.text("server.address", host)
	if port != 0 {
		a.number("server.port", int64(port))
	}
	name = method
	if method == otherMethod {
		name = "HTTP"
	}
	if s.Kind == loop.SpanServer && s.App != "" {
		name += " " + route(s)
	}
	return name
}

// route is the path by which the app was found.
func route(s *loop.Span) string {
	if s.Route == "" {
		return "/"
	}
	return s.Route
}

func scheme(s *loop.Span) string {
	if s.Secure {
		return "https"
	}
	return "http"
}

// server adds what a request of a client has.
func (a *attributes) server(s *loop.Span) {
	a.text("url.scheme", scheme(s))
	a.text("url.path", validText(s.Path))
	if s.App != "" {
		a.text("http.route", route(s))
	}
	client, _ := splitHost(validText(s.Client))
	a.text("client.address", client)
	a.text("user_agent.original", validText(s.Agent))
}

// client adds what a fetch has.
func (a *attributes) client(s *loop.Span) {
	if len(s.Host) != 0 {
		a.text("url.full", scheme(s)+"://"+validText(s.Host)+validText(s.Path))
	}
	if s.Resends != 0 {
		a.number("http.request.resend_count", int64(s.Resends))
	}
}

// splitHost takes host[:port] apart; 0: there is no port. Brackets of an IPv6 address are removed.
func splitHost(text string) (host string, port uint16) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return strings.Trim(text, "[]"), 0
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return host, 0
	}
	return host, uint16(n)
}

// validText is a text as UTF-8, which OTLP wants, whatever a client has sent.
func validText(text []byte) string { return strings.ToValidUTF8(string(text), "\uFFFD") }

// requestID is the id of a request as the logs show it; "" of 0.
func requestID(id uint64) string {
	if id == 0 {
		return ""
	}
	digits := strconv.FormatUint(id, 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}
