package loop

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/hostcall"
	"nano/isolates"
	"nano/uring"
)

// A scriptRing is a ring that does nothing but what a well-behaved client of keep-alive makes of it:
// every send completes, and then the next request is there. It allocates nothing, so what is
// measured over it is the loop.
type scriptRing struct {
	request  []byte
	fds      int // connections to be accepted at the start
	next     []uring.Completion
	accepted bool
	byIndex  []uring.UserData // receives by index of connection
	sends    int
	quiet    bool // complete sends, but send no further requests
}

func (r *scriptRing) FD() int { return -1 }
func (r *scriptRing) AcceptMultishot(u uring.UserData, fd int) {
	if r.accepted {
		return
	}
	r.accepted = true
	for i := range r.fds {
		r.next = append(r.next, uring.Completion{UserData: u, Result: int32(1000 + i), Flags: 2})
	}
}

func (r *scriptRing) RecvMultishot(u uring.UserData, fd int) {
	_, _, index := u.Unpack()
	for int(index) >= len(r.byIndex) {
		r.byIndex = append(r.byIndex, 0)
	}
	r.byIndex[index] = u
	r.arrive(index)
}

// arrive makes a request come in.
func (r *scriptRing) arrive(index uint32) {
	r.next = append(r.next, uring.Completion{UserData: r.byIndex[index], Result: int32(len(r.request)), Flags: 1 | 2})
}

func (r *scriptRing) Send(u uring.UserData, fd int, b []byte) {
	r.sends++
	_, _, index := u.Unpack()
	r.next = append(r.next, uring.Completion{UserData: u, Result: int32(len(b))})
	if !r.quiet {
		r.arrive(index)
	}
}

func (r *scriptRing) RecvProvided(u uring.UserData, fd int)               { r.RecvMultishot(u, fd) }
func (r *scriptRing) Poll(uring.UserData, int, uint32)                    { panic("not expected") }
func (r *scriptRing) SendPart(u uring.UserData, fd int, b []byte, _ bool) { r.Send(u, fd, b) }
func (r *scriptRing) Connect(uring.UserData, int, []byte)                 {}
func (r *scriptRing) Recv(uring.UserData, int, []byte)                    {}
func (r *scriptRing) Read(uring.UserData, int, []byte)                    {}
func (r *scriptRing) ReadAt(uring.UserData, int, []byte, int64)           {}
func (r *scriptRing) Shutdown(u uring.UserData, fd int, how int)          {}
func (r *scriptRing) Close(u uring.UserData, fd int)                      {}
func (r *scriptRing) Cancel(u uring.UserData, target uring.UserData)      {}
func (r *scriptRing) Message(uring.UserData, int, uring.UserData, int32)  {}
func (r *scriptRing) Enter(wait bool, timeout time.Duration) error        { return nil }
func (r *scriptRing) Buffer(id uint16, n int) []byte                      { return r.request[:n:n] }
func (r *scriptRing) ReturnBuffer(id uint16)                              {}
func (r *scriptRing) TrimBuffers()                                        {}
func (r *scriptRing) Stop() error                                         { return nil }
func (r *scriptRing) Reap(into []uring.Completion) int {
	n := copy(into, r.next)
	r.next = r.next[:copy(r.next, r.next[n:])]
	return n
}

// A plainWorker answers every request with the same text, at the least cost.
type plainWorker struct {
	noHandles
	ids    []uint32
	next   int
	record isolates.Record
}

func (w *plainWorker) AddRequest(r *isolates.Request) { w.ids = append(w.ids, r.ID) }
func (w *plainWorker) AddTimer(uint32)                {}
func (w *plainWorker) AddSent(uint32)                 {}
func (w *plainWorker) AddGone(uint32)                 {}
func (w *plainWorker) Turn() error                    { w.next = 0; return nil }
func (w *plainWorker) Next() (*isolates.Record, bool) {
	if w.next == len(w.ids) {
		w.ids = w.ids[:0]
		w.next = 0
		return nil, false
	}
	w.record.ID = w.ids[w.next]
	w.next++
	return &w.record, true
}
func (w *plainWorker) Expect()                             {}
func (w *plainWorker) HasTasks() bool                      { return false }
func (w *plainWorker) TaskDeadline() (time.Duration, bool) { return 0, false }
func (w *plainWorker) Unfinished() bool                    { return false }
func (w *plainWorker) CPU() time.Duration                  { return 0 }
func (w *plainWorker) Resident() int64                     { return 1 << 20 }
func (w *plainWorker) Heap() isolates.HeapStats            { return isolates.HeapStats{} }
func (w *plainWorker) Prepare() bool                       { return false }
func (w *plainWorker) WantsPrepare() bool                  { return false }
func (w *plainWorker) ShrinkAfter() time.Duration          { return 0 }
func (w *plainWorker) Shrink()                             {}
func (w *plainWorker) Started() isolates.Start             { return isolates.Start{} }
func (w *plainWorker) Dispose()                            {}

// noHandles is the part of a worker that opens none.
type noHandles struct{}

func (noHandles) AddResponse(*isolates.Response)           {}
func (noHandles) AddData(int32, []byte, isolates.DataKind) {}
func (noHandles) AddEnd(int32, isolates.Fault, []byte)     {}
func (noHandles) AddClosed(int32, uint16, []byte, bool)    {}
func (noHandles) AddWritten(int32)                         {}
func (noHandles) AddOpened(int32, []byte)                  {}
func (noHandles) NewWork(*isolates.Record) (*hostcall.Work, error) {
	return nil, errors.New("no works")
}
func (noHandles) AddWork(int32, *hostcall.Work)              {}
func (noHandles) AddScheduled(uint32, uint64, []byte, int64) {}

type noSockets struct{}

func (noSockets) peer(fd int, into []byte) []byte  { return append(into, "192.0.2.1:1234"...) }
func (noSockets) acceptPending(fd int) (int, bool) { return -1, false }
func (noSockets) isPending(fd int) bool            { return false }
func (noSockets) closeListener(fd int) bool        { return true }
func (noSockets) local(fd int, into []byte) []byte { return into }
func (noSockets) open(netip.Addr, bool) (int, unix.Errno) {
	return -1, unix.EMFILE
}
func (noSockets) openPipe() (from, to int, errno unix.Errno)             { return -1, -1, unix.EMFILE }
func (noSockets) closePipe(from, to int)                                 {}
func (noSockets) neverWait(fd int)                                       {}
func (noSockets) spliceIn(fd, pipe, n int) (int, bool, unix.Errno)       { return 0, false, unix.EINVAL }
func (noSockets) spliceOut(pipe, fd, n int, more bool) (int, unix.Errno) { return 0, unix.EINVAL }
func (noSockets) resetOnClose(fd int)                                    {}
func (noSockets) shutdownWrite(fd int) bool                              { return true }

const plainRequest = "GET /plaintext HTTP/1.1\r\nHost: hello.localhost:8080\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"

// newScripted makes a loop over a scriptRing that has accepted its connections.
func newScripted(t testing.TB, request string, connections int, change func(o *Options)) (*Loop, *scriptRing) {
	t.Helper()
	ring := &scriptRing{request: []byte(request), fds: connections}
	options := &Options{
		Apps: []App{{Name: "hello", Hosts: []string{"hello.localhost"}}, {Name: "other", Hosts: []string{"*.example.com"}}},
		NewShard: shardOf(func(app int) (Worker, error) {
			return &plainWorker{record: isolates.Record{
				Kind: isolates.KindRespond, Status: 200, Head: plainHead, Body: []byte("Hello World"),
			}}, nil
		}),
		sockets: noSockets{},
	}
	if change != nil {
		change(options)
	}
	l, err := New(0, options, ring, []Socket{{FD: 3}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.waker.Close() })
	l.accept(&l.listeners[0])
	for range 100 { // until all tables and pools have their size
		if err := l.tick(); err != nil {
			t.Fatal(err)
		}
	}
	return l, ring
}

// TestNoAllocations holds the rule that a plain keep-alive request costs no Go memory.
func TestNoAllocations(t *testing.T) {
	for name, request := range map[string]string{
		"plain":     plainRequest,
		"pipelined": plainRequest + plainRequest + plainRequest,
		"post":      "POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 5\r\n\r\nhello",
		"wildcard":  "GET / HTTP/1.1\r\nHost: A.B.Example.Com\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, ring := newScripted(t, request, 8, nil)
			before := ring.sends
			allocations := testing.AllocsPerRun(1000, func() {
				if err := l.tick(); err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%v allocations per tick of 8 connections", allocations)
			}
			if ring.sends < before+8*1000 {
				t.Errorf("only %d sends: not what was to be measured", ring.sends-before)
			}
			if l.stats.Errors+l.stats.Rejected != 0 {
				t.Errorf("errors: %+v", l.stats)
			}
		})
	}
}

func TestNoAllocationsWithAccessLog(t *testing.T) {
	l, _ := newScripted(t, plainRequest, 8, func(o *Options) { o.AccessLog = discard{} })
	if allocations := testing.AllocsPerRun(1000, func() { l.tick() }); allocations != 0 {
		t.Errorf("%v allocations per tick of 8 connections", allocations)
	}
}

type discard struct{}

func (discard) Append(lines []byte, _ int) (next []byte, dropped int) { return lines, 0 }
