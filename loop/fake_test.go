package loop

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"nano/hostcall"
	"nano/http1"
	"nano/isolates"
)

// A fakeWorker is an isolate without V8. Requests are kept until the turn, in which handle answers
// them by appending records; the loop's memory is copied, as a real isolate does.
type fakeWorker struct {
	name    string
	handle  func(w *fakeWorker, r *fakeRequest)
	onTimer func(w *fakeWorker, id uint32)
	onSent  func(w *fakeWorker, id uint32)

	expected  int
	requests  []fakeRequest
	spare     []fakeRequest
	timers    []uint32
	sent      []uint32
	gone      []uint32
	allGone   []uint32
	out       []isolates.Record
	told      []fakeNews             // of handles
	faults    []string               // of bodies, that were told
	stray     int                    // news of what has ended
	seen      int                    // for a test to count
	forgetful bool                   // of bodies that are gathered, all but the length
	handles   int32                  // opened so far
	calls     map[int32]*fakeCall    // by handle
	begun     map[uint32]bool        // answers that stream
	uploads   map[int32]*fakeRequest // whose bodies are gathered before they are handled
	window    int                    // with which they are read
	onNews    func(w *fakeWorker, news *fakeNews)
	next      int
	fail      error // of the next turn
	tasks     atomic.Bool
	taskDelay time.Duration // 0: no delayed task
	turns     int
	disposed  bool

	unfinished  bool   // after this turn
	turn        func() // called at the end of each turn; may be nil
	keepOut     bool   // what out holds belongs to the next turn
	cpu         time.Duration
	resident    int64
	swollen     int64         // what Shrink gives back of it
	shrinkAfter time.Duration // when it is swollen
	shrinks     int
	heap        isolates.HeapStats
	toPrepare   int  // pieces of idle work
	isPrepared  bool // it does not ask for them

	objects *hostcall.Objects
	// What the isolate would keep in its heap.
	live map[uint32]*fakeRequest
}

// fakeNews is what an isolate was told of a handle.
type fakeNews struct {
	handle  int32
	what    string // "response", "data", "end", "closed", "written" or "opened"
	number  int    // status, kind of data, fault or close code
	text    string
	streams bool
	clean   bool // of "closed"

	// Of a response.
	head, url         string
	nullBody, encoded bool
}

// A fakeRequest is a copy of what AddRequest got.
type fakeRequest struct {
	id             uint32
	logID          uint64
	method         string
	target, host   string
	head           []byte
	fields         []http1.Field
	body           []byte
	hasBody        bool
	streams        bool
	length         int64
	remote         string
	secure         bool
	contentLength  int64
	timeMS         int64 // of AddScheduled
	wantsMoreTurns int
}

func newFakeWorker(name string, handle func(w *fakeWorker, r *fakeRequest)) *fakeWorker {
	return &fakeWorker{name: name, handle: handle, resident: 1 << 20, live: map[uint32]*fakeRequest{}}
}

func (w *fakeWorker) AddRequest(r *isolates.Request) {
	if w.disposed {
		panic("AddRequest after Dispose")
	}
	n := len(w.requests)
	if n < cap(w.requests) {
		w.requests = w.requests[:n+1]
	} else {
		w.requests = append(w.requests, fakeRequest{})
	}
	f := &w.requests[n]
	p := r.Parsed
	f.id, f.logID = r.ID, r.LogID
	f.head = append(f.head[:0], r.Head...)
	f.fields = append(f.fields[:0], p.Fields...)
	f.body = append(f.body[:0], r.Body...)
	f.hasBody = r.Body != nil
	f.streams, f.length = r.Streams, r.Length
	f.secure = r.Secure
	f.contentLength = p.ContentLength
	f.method = methodName(p)
	// Converted only when they differ: the allocation test counts.
	if t := f.head[p.TargetOffset:][:p.TargetLength]; string(t) != f.target {
		f.target = string(t)
	}
	if h := f.head[p.HostOffset:][:p.HostLength]; string(h) != f.host {
		f.host = string(h)
	}
	if string(r.RemoteAddress) != f.remote {
		f.remote = string(r.RemoteAddress)
	}
}

func methodName(p *http1.Head) string {
	if p.Method == http1.MethodOther {
		return "OTHER"
	}
	return http1.MethodNames[p.Method]
}

func (w *fakeWorker) AddScheduled(id uint32, _ uint64, cron []byte, timeMS int64) {
	w.mustLive()
	w.requests = append(w.requests, fakeRequest{id: id, method: "CRON", target: string(cron), timeMS: timeMS})
}
func (w *fakeWorker) AddTimer(id uint32) { w.mustLive(); w.timers = append(w.timers, id) }
func (w *fakeWorker) AddSent(id uint32)  { w.mustLive(); w.sent = append(w.sent, id) }
func (w *fakeWorker) AddGone(id uint32) {
	w.mustLive()
	w.gone = append(w.gone, id)
	w.allGone = append(w.allGone, id)
}

func (w *fakeWorker) AddResponse(r *isolates.Response) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: r.Handle, what: "response", number: r.Status, text: string(r.Body), streams: r.Streams,
		head: string(r.Head), url: string(r.URL), nullBody: r.NullBody, encoded: r.Encoded})
}

func (w *fakeWorker) AddData(handle int32, data []byte, kind isolates.DataKind) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "data", number: int(kind), text: string(data)})
}

func (w *fakeWorker) AddEnd(handle int32, fault isolates.Fault, text []byte) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "end", number: int(fault), text: string(text)})
}

func (w *fakeWorker) AddClosed(handle int32, code uint16, reason []byte, clean bool) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "closed", number: int(code), text: string(reason), clean: clean})
}

func (w *fakeWorker) AddWritten(handle int32) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "written"})
}

func (w *fakeWorker) AddOpened(handle int32, text []byte) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "opened", text: string(text)})
}

func (w *fakeWorker) NewWork(r *isolates.Record) (*hostcall.Work, error) {
	w.mustLive()
	if w.objects == nil {
		w.objects = hostcall.NewObjects()
	}
	return w.objects.NewWork(int(r.Number), r.Body)
}

func (w *fakeWorker) AddWork(handle int32, work *hostcall.Work) {
	w.mustLive()
	w.told = append(w.told, fakeNews{handle: handle, what: "work", text: string(work.Pack(w.objects))})
}

func (w *fakeWorker) mustLive() {
	if w.disposed {
		panic("used after Dispose")
	}
}

func (w *fakeWorker) Turn() error {
	w.mustLive()
	w.turns++
	w.tasks.Store(false)
	if !w.keepOut {
		w.out = w.out[:0]
	}
	w.next, w.keepOut, w.unfinished = 0, false, false
	requests := w.requests
	w.requests = w.spare[:0]
	for i := range requests {
		if r := &requests[i]; r.streams && !takesStream(r) {
			w.gather(r)
		} else {
			w.handle(w, r)
		}
	}
	w.spare = requests[:0]
	for _, id := range w.timers {
		w.onTimer(w, id)
	}
	w.timers = w.timers[:0]
	for _, id := range w.sent {
		if w.onSent != nil {
			w.onSent(w, id)
		}
	}
	for _, id := range w.gone {
		if w.isAnswered(id) && w.onSent != nil {
			w.onSent(w, id) // which sees that nobody wants more
		}
	}
	w.sent, w.gone = w.sent[:0], w.gone[:0]
	for i := range w.told {
		if news := &w.told[i]; !w.gathered(news) && w.onNews != nil {
			w.onNews(w, news)
		}
	}
	w.told = w.told[:0]
	if w.turn != nil {
		w.turn()
	}
	return w.fail
}

// gather reads a body that streams, before its request is handled.
func (w *fakeWorker) gather(r *fakeRequest) {
	copied := *r
	copied.head, copied.body, copied.fields = bytes.Clone(r.head), nil, slices.Clone(r.fields)
	copied.length = 0
	if w.uploads == nil {
		w.uploads = map[int32]*fakeRequest{}
	}
	handle := isolates.BodyHandle(r.id)
	w.uploads[handle] = &copied
	w.record(isolates.Record{Kind: isolates.KindRead, Handle: handle, Number: int64(max(w.window, 1))})
}

// gathered takes what was told of a body that is gathered.
func (w *fakeWorker) gathered(news *fakeNews) bool {
	r := w.uploads[news.handle]
	if r == nil {
		return false
	}
	switch news.what {
	case "data":
		if r.hasBody = true; w.forgetful {
			r.length += int64(len(news.text))
		} else {
			r.body = append(r.body, news.text...)
		}
		w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
	case "end":
		delete(w.uploads, news.handle)
		if news.number != 0 {
			w.text(r.id, []byte("fault: "+news.text))
		} else {
			w.handle(w, r)
		}
	}
	return true
}

func (w *fakeWorker) Next() (*isolates.Record, bool) {
	if w.next == len(w.out) {
		return nil, false
	}
	w.next++
	return &w.out[w.next-1], true
}

func (w *fakeWorker) Expect()                             { w.expected++ }
func (w *fakeWorker) HasTasks() bool                      { return w.tasks.Load() }
func (w *fakeWorker) TaskDeadline() (time.Duration, bool) { return w.taskDelay, w.taskDelay != 0 }
func (w *fakeWorker) Unfinished() bool                    { return w.unfinished }
func (w *fakeWorker) CPU() time.Duration                  { return w.cpu }
func (w *fakeWorker) Resident() int64                     { return w.resident }
func (w *fakeWorker) Heap() isolates.HeapStats            { return w.heap }
func (w *fakeWorker) Prepare() bool {
	w.mustLive()
	if w.toPrepare == 0 {
		return false
	}
	w.toPrepare--
	return w.toPrepare != 0
}
func (w *fakeWorker) WantsPrepare() bool { return !w.isPrepared }

func (w *fakeWorker) ShrinkAfter() time.Duration {
	if w.swollen == 0 {
		return 0
	}
	return w.shrinkAfter
}

func (w *fakeWorker) Shrink() {
	w.resident -= w.swollen
	w.swollen = 0
	w.shrinks++
}
func (w *fakeWorker) Started() isolates.Start {
	return isolates.Start{How: "snapshot", Duration: time.Millisecond}
}
func (w *fakeWorker) Dispose() {
	w.mustLive()
	w.disposed = true
	if w.objects != nil {
		w.objects.Close()
	}
}

func (w *fakeWorker) record(r isolates.Record) {
	if r.Kind == isolates.KindRespond && r.Streaming {
		if w.begun == nil {
			w.begun = map[uint32]bool{}
		}
		w.begun[r.ID] = true
	}
	w.out = append(w.out, r)
}

var plainHead = []byte("content-type: text/plain;charset=UTF-8\r\n")

// text answers with a plain text.
func (w *fakeWorker) text(id uint32, body []byte) {
	w.record(isolates.Record{Kind: isolates.KindRespond, ID: id, Status: 200, Head: plainHead, Body: body})
}

// A fakeShard starts workers by a function.
type fakeShard struct {
	start     func(app int) (Worker, error)
	version   string
	toPrepare int // pieces of idle work
	closed    bool
}

func (s *fakeShard) Start(app int) (Worker, error) { return s.start(app) }

func (s *fakeShard) Version(int) string { return s.version }

func (s *fakeShard) Prepare() bool {
	if s.toPrepare == 0 {
		return false
	}
	s.toPrepare--
	return s.toPrepare != 0
}

func (s *fakeShard) Close() {
	if s.closed {
		panic("shard closed twice")
	}
	s.closed = true
}

// shardOf is a NewShard whose shards start workers by a function.
func shardOf(start func(app int) (Worker, error)) func(loop, waker int) (Shard, error) {
	return func(loop, waker int) (Shard, error) { return &fakeShard{start: start}, nil }
}

// fakeBlocks are blocks of Go memory.
type fakeBlocks struct {
	memory map[Block][]byte
	freed  int
}

func (f *fakeBlocks) make(body []byte) (Block, []byte) {
	memory := make([]byte, isolates.HeadRoom+len(body))
	copy(memory[isolates.HeadRoom:], body)
	pointer := unsafe.Pointer(unsafe.SliceData(memory))
	block := *(*Block)(unsafe.Pointer(&pointer))
	if f.memory == nil {
		f.memory = map[Block][]byte{}
	}
	f.memory[block] = memory
	return block, memory[isolates.HeadRoom:]
}

func (f *fakeBlocks) Memory(block Block, bodyLength int) []byte {
	memory := f.memory[block]
	if memory == nil {
		panic("memory of a block that was freed")
	}
	return memory[:isolates.HeadRoom+bodyLength]
}

func (f *fakeBlocks) Free(block Block) {
	if f.memory[block] == nil {
		panic("block freed twice")
	}
	delete(f.memory, block)
	f.freed++
}

// demo is the app that most tests serve: what it does is in the path.
//
//	/echo      the request as text: method, target, host, body
//	/size      the length of the body
//	/never     no answer at all
//	/late      the answer after a second
//	/empty     204
//	/null      200 with a null body
//	/stream/N  N chunks, each after the one before was sent
//	/broken/N  the same, but it breaks
//	/large/N   N bytes in a block, which are logged, too
//	/chunk/N   a stream of one chunk of N bytes in a block, and its end, in one turn
//	/pending   an answer, and waitUntil work for a second
//	/forever   an answer, and waitUntil work that never ends
//	/fields    the names of the request's fields
//	/pipe      the request's body, which the loop moves; /pipe/N: with that for a content-length
//	/unread    "unread", without reading the body
//	/call/b/x  what app b answers to /x, moved by the loop; /callread/b/x: read and written by the app;
//	           /callwrite/b/x: the same, with a body of five pieces
//	/callforget/b/x  answers before b does, and reads nothing of what that answers; /callafter/b/x: before b
//	           is asked
//	/hold      no answer, and the body is not read
//	/cancel    "cancel", after the body was cancelled
//	/some/N    "some", after N bytes of the body
//	/upper     the body in capitals, piece by piece
//	/die       the isolate dies
func demo(blocks *fakeBlocks) func(w *fakeWorker, r *fakeRequest) {
	return func(w *fakeWorker, r *fakeRequest) {
		path, _, _ := strings.Cut(r.target, "?")
		name, argument, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		n := 0
		fmt.Sscan(argument, &n)
		switch name {
		case "never":
		case "size":
			if w.forgetful {
				w.text(r.id, fmt.Appendf(nil, "%d", r.length))
				break
			}
			w.text(r.id, fmt.Appendf(nil, "%d", len(r.body)))
		case "late":
			w.record(isolates.Record{Kind: isolates.KindTimerSet, ID: r.id, Delay: time.Second})
			w.live[r.id] = &fakeRequest{target: name}
			w.onTimer = demoTimer
		case "empty":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 204, NoBody: true})
		case "null":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, NoBody: true})
		case "stream", "broken":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Streaming: true})
			w.live[r.id] = &fakeRequest{id: r.id, target: name, wantsMoreTurns: n}
			w.onSent = streamOn
			streamOn(w, r.id)
		case "silent":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Streaming: true})
		case "large":
			block, body := blocks.make(bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n])
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Body: body, Block: block})
			block, body = blocks.make(body)
			w.record(isolates.Record{Kind: isolates.KindLog, Body: body, Block: block})
		case "chunk":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Streaming: true})
			block, body := blocks.make(bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n])
			w.record(isolates.Record{Kind: isolates.KindChunk, ID: r.id, Body: body, Block: block})
			w.record(isolates.Record{Kind: isolates.KindEnd, ID: r.id})
		case "pending":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Body: []byte("pending"), Pending: true})
			w.record(isolates.Record{Kind: isolates.KindTimerSet, ID: r.id, Delay: time.Second})
			w.live[r.id] = &fakeRequest{target: name}
			w.onTimer = demoTimer
		case "forever":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Body: []byte("forever"), Pending: true})
		case "fields":
			var names []string
			for _, field := range r.fields {
				names = append(names, string(r.head[field.NameOffset:][:field.NameLength]))
			}
			w.text(r.id, []byte(strings.Join(names, " ")))
		case "pipe":
			if !r.streams {
				w.text(r.id, r.body)
				break
			}
			record := isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Streaming: true, Source: isolates.BodyHandle(r.id)}
			if argument != "" {
				record.Flags, record.Number = isolates.RespondFixedLength, int64(n)
			}
			w.record(record)
		case "unread":
			w.text(r.id, []byte("unread"))
		case "hold":
		case "cancel":
			w.record(isolates.Record{Kind: isolates.KindCancel, Handle: isolates.BodyHandle(r.id)})
			w.text(r.id, []byte("cancel"))
		case "some":
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: isolates.BodyHandle(r.id), Number: int64(n)})
			w.live[r.id] = &fakeRequest{id: r.id, target: "some", wantsMoreTurns: n}
			w.onNews = flowOn
		case "upper":
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Streaming: true})
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: isolates.BodyHandle(r.id), Number: 1})
			w.live[r.id] = &fakeRequest{id: r.id, target: "upper"}
			w.onNews = flowOn
			w.onSent = streamOn
		case "call", "callread", "callwrite", "callforget", "callafter":
			w.call(r, name, argument)
		case "die":
			w.fail = isolates.ErrMemoryLimit
		default:
			w.text(r.id, fmt.Appendf(nil, "%s %s %s %s", r.method, r.target, r.host, r.body))
		}
	}
}

// takesStream reports whether demo handles a request before its body is there.
func takesStream(r *fakeRequest) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.target, "/"), "/")
	return slices.Contains([]string{"call", "callread", "pipe", "hold", "unread", "cancel", "some", "upper"}, name)
}

// A fakeCall is a service call of an app.
type fakeCall struct {
	id     uint32 // of the request that waits for it
	name   string
	pieces int // of a body, to be written
}

// call begins a service call for a request.
func (w *fakeWorker) call(r *fakeRequest, name, argument string) {
	app, path, _ := strings.Cut(argument, "/")
	if name == "callafter" {
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, Head: plainHead, Body: []byte("after"), Pending: true})
	}
	w.handles++
	call := &fakeCall{id: r.id, name: name}
	record := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatService, Handle: w.handles, Pending: true, Exchange: r.id,
		Target: fmt.Appendf(nil, "%s %s http://%s/%s", app, r.method, r.host, path), Head: []byte("x-from: " + r.target + "\r\n")}
	switch {
	case name == "callwrite":
		record.Flags = isolates.OpenBodyFollows
		call.pieces = 5
	case r.streams:
		record.Source = isolates.BodyHandle(r.id)
	case r.hasBody:
		record.Flags, record.Body = isolates.OpenHasBody, bytes.Clone(r.body)
	}
	w.record(record)
	if w.calls == nil {
		w.calls = map[int32]*fakeCall{}
	}
	w.calls[w.handles] = call
	if name == "callafter" {
		delete(w.calls, w.handles)
		w.record(isolates.Record{Kind: isolates.KindSettled, ID: r.id})
	}
	if name == "callforget" {
		delete(w.calls, w.handles)
		w.text(r.id, []byte("forgotten"))
	}
	w.onNews = callOn
	w.onSent = callSent
	if call.pieces != 0 {
		w.writePiece(w.handles, call)
	}
}

func (w *fakeWorker) writePiece(handle int32, call *fakeCall) {
	if call.pieces == 0 {
		w.record(isolates.Record{Kind: isolates.KindFinish, Handle: handle})
		return
	}
	call.pieces--
	w.record(isolates.Record{Kind: isolates.KindWrite, Handle: handle, Body: fmt.Appendf(nil, "piece %d;", call.pieces)})
}

// callOn goes on with a service call.
func callOn(w *fakeWorker, news *fakeNews) {
	call := w.calls[news.handle]
	if call == nil {
		flowOn(w, news)
		return
	}
	switch {
	case news.what == "written":
		w.writePiece(news.handle, call)
	case news.what == "response" && !news.streams:
		delete(w.calls, news.handle)
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: call.id, Status: uint16(news.number), Head: plainHead, Body: []byte(news.text)})
	case news.what == "response" && call.name == "call":
		delete(w.calls, news.handle)
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: call.id, Status: uint16(news.number), Head: plainHead, Streaming: true, Source: news.handle})
	case news.what == "response":
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: call.id, Status: uint16(news.number), Head: plainHead, Streaming: true})
		w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: 1})
	case news.what == "data":
		w.record(isolates.Record{Kind: isolates.KindChunk, ID: call.id, Body: []byte(news.text)})
	case news.what == "end":
		delete(w.calls, news.handle)
		if call.name == "call" || !w.isAnswered(call.id) {
			w.record(isolates.Record{Kind: isolates.KindRespond, ID: call.id, Status: 500, Head: plainHead, Body: []byte(news.text)})
		} else {
			w.record(isolates.Record{Kind: isolates.KindEnd, ID: call.id, Failed: news.number != 0})
		}
	}
}

// isAnswered reports whether an answer to a request was begun.
func (w *fakeWorker) isAnswered(id uint32) bool { return w.begun[id] }

// callSent reads on when a client has taken what was read.
func callSent(w *fakeWorker, id uint32) {
	for handle, call := range w.calls {
		if call.id == id {
			if slices.Contains(w.allGone, id) {
				delete(w.calls, handle)
				w.record(isolates.Record{Kind: isolates.KindCancel, Handle: handle, Flags: isolates.CancelAll})
				w.record(isolates.Record{Kind: isolates.KindEnd, ID: id})
				return
			}
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: handle, Number: 1})
			return
		}
	}
	streamOn(w, id)
}

// flowOn goes on with a request whose body has come in a piece further.
func flowOn(w *fakeWorker, news *fakeNews) {
	id := uint32(-1 - news.handle)
	r := w.live[id]
	switch {
	case r == nil:
		w.stray++
	case news.what == "end" && news.number != 0:
		delete(w.live, id)
		w.faults = append(w.faults, news.text)
		if r.target == "some" {
			w.text(id, []byte("fault"))
		} else {
			w.record(isolates.Record{Kind: isolates.KindEnd, ID: id, Failed: true})
		}
	case r.target == "some":
		if r.wantsMoreTurns -= len(news.text); r.wantsMoreTurns > 0 && news.what == "data" {
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
			return
		}
		delete(w.live, id)
		w.text(id, []byte("some"))
	case news.what == "data":
		w.record(isolates.Record{Kind: isolates.KindChunk, ID: id, Body: bytes.ToUpper([]byte(news.text))})
	default:
		delete(w.live, id)
		w.record(isolates.Record{Kind: isolates.KindEnd, ID: id})
	}
}

// demoTimer ends what waits for a timer.
func demoTimer(w *fakeWorker, id uint32) {
	if w.live[id].target == "late" {
		w.text(id, []byte("late"))
	} else {
		w.record(isolates.Record{Kind: isolates.KindSettled, ID: id})
	}
	delete(w.live, id)
}

// streamOn makes the next chunk of a stream, or its end.
func streamOn(w *fakeWorker, id uint32) {
	state := w.live[id]
	if state == nil {
		return
	}
	if state.target == "upper" {
		w.record(isolates.Record{Kind: isolates.KindRead, Handle: isolates.BodyHandle(id), Number: 1})
		return
	}
	if slices.Contains(w.allGone, id) || state.wantsMoreTurns == 0 {
		delete(w.live, id)
		w.record(isolates.Record{Kind: isolates.KindEnd, ID: id, Failed: state.target == "broken"})
		return
	}
	state.wantsMoreTurns--
	w.record(isolates.Record{Kind: isolates.KindChunk, ID: id, Body: fmt.Appendf(nil, "chunk %d;", state.wantsMoreTurns)})
}
