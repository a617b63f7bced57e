package loop

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/hostcall"
	"nano/isolates"
	"nano/uring/fakering"
	"nano/webapi"
)

// firstFunction is the index of the first function of the tests.
var firstFunction int

// The functions that the tests' apps call, counted from that one.
const (
	_          = iota // answers with a text
	_                 // answers with an object
	workThread        // calls noteThread
)

// closedValues counts values that were closed.
var closedValues atomic.Int64

// noteThread is what the function test_thread does.
var noteThread func()

type closable struct{}

func (closable) Close() error {
	closedValues.Add(1)
	return nil
}

func init() {
	hostcall.Register("test_answer", func(c *hostcall.Call) error {
		if c.Cancelled() {
			return hostcall.Errorf("AbortError", "cancelled")
		}
		c.ReturnText("computed")
		return nil
	})
	hostcall.Register("test_object", func(c *hostcall.Call) error {
		c.ReturnObject(closable{}, 1)
		return nil
	})
	hostcall.Register("test_thread", func(*hostcall.Call) error {
		noteThread()
		return nil
	})
	firstFunction = len(webapi.HostCalls)
	webapi.HostCalls = append(webapi.HostCalls, "test_answer", "test_object", "test_thread")
	if err := hostcall.Bind(webapi.HostCalls); err != nil {
		panic(err)
	}
}

// noArguments is a packed list without values, and `more` bytes.
func noArguments(more int) []byte { return make([]byte, 16+more) }

// askWork answers /compute/N with the outcome of the function with index N; /after/N answers at once.
func askWork(w *fakeWorker, r *fakeRequest) {
	kind, number, _ := strings.Cut(strings.TrimPrefix(r.target, "/"), "/")
	var function, size int
	fmt.Sscanf(number, "%d/%d", &function, &size)
	if w.handles++; w.live == nil {
		w.live = map[uint32]*fakeRequest{}
	}
	w.record(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatHost, Handle: w.handles, Pending: true, Exchange: r.id,
		Number: int64(firstFunction + function), Body: noArguments(size)})
	if kind == "after" {
		w.text(r.id, []byte("after"))
		return
	}
	waiting := *r
	w.live[uint32(w.handles)] = &waiting
	w.onNews = func(w *fakeWorker, news *fakeNews) {
		waits := w.live[uint32(news.handle)]
		if waits == nil {
			w.stray++
			return
		}
		delete(w.live, uint32(news.handle))
		w.text(waits.id, fmt.Appendf(nil, "%s %s", news.what, strings.TrimRight(news.text[min(len(news.text), 48):], "\x00")))
	}
}

// newWorkWorld is a world whose app calls functions. Nothing runs them but the test.
func newWorkWorld(t *testing.T) (w *world) {
	w = newWorld(t, fakering.Config{}, func(o *Options) {
		o.works = newWorkPool(0, nil)
		o.NewShard = shardOf(func(int) (Worker, error) {
			worker := newFakeWorker("demo", askWork)
			w.workers = append(w.workers, worker)
			return worker, nil
		})
	})
	return w
}

// runWorks runs what waits, as the workers do.
func (w *world) runWorks() (ran int) {
	p := w.loop.options.works
	for {
		p.mutex.Lock()
		next := p.next()
		p.mutex.Unlock()
		if next == nil {
			return ran
		}
		next.run()
		ran++
	}
}

func TestWorkAnswers(t *testing.T) {
	w := newWorkWorld(t)
	peer := w.ring.Dial(w.listener)
	peer.WriteString("GET /compute/0 HTTP/1.1\r\nhost: a\r\n\r\n")
	w.settle()
	if got := string(peer.Take()); got != "" {
		t.Fatalf("answered %q before the work has run", got)
	}
	if ran := w.runWorks(); ran != 1 {
		t.Fatalf("%d works", ran)
	}
	w.settle()
	if got := string(peer.Take()); got != okText("work computed") {
		t.Errorf("got %q", got)
	}
	if w.loop.apps[0].cpuBefore <= 0 {
		t.Error("the app's CPU time does not count the work")
	}
}

// TestWorkWithoutTaker ends, in turn, the isolate, the client and the request of a work before it is done.
func TestWorkWithoutTaker(t *testing.T) {
	for name, end := range map[string]func(w *world, peer *fakering.Peer){
		"isolate dies": func(w *world, _ *fakering.Peer) {
			w.workers[0].fail = isolates.ErrMemoryLimit
			w.ring.Dial(w.listener).WriteString("GET /compute/1 HTTP/1.1\r\nhost: a\r\n\r\n")
			w.settle()
		},
		"context ends": func(w *world, _ *fakering.Peer) {
			w.loop.actOnHandle(w.loop.apps[0], &isolates.Record{Kind: isolates.KindCancel, Handle: 1, Flags: isolates.CancelAll})
		},
		"forced drain": func(w *world, _ *fakering.Peer) {
			w.loop.Drain()
			w.run(11 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkWorld(t)
			before := closedValues.Load()
			peer := w.ring.Dial(w.listener)
			peer.WriteString("GET /compute/1 HTTP/1.1\r\nhost: a\r\n\r\n")
			w.settle()
			end(w, peer)
			ran := w.runWorks()
			w.settle()
			if closed := closedValues.Load() - before; closed != 0 {
				t.Errorf("%d values were made by %d works that were cancelled before", closed, ran)
			}
			if name == "context ends" {
				w.workers[0].text(1, []byte("given up"))
				w.workers[0].keepOut = true
				w.loop.wantTurn(w.loop.apps[0])
				w.settle()
			}
		})
	}
}

// TestWorkIsDropped has works run whose outcome comes too late.
func TestWorkIsDropped(t *testing.T) {
	w := newWorkWorld(t)
	before := closedValues.Load()
	peer := w.ring.Dial(w.listener)
	peer.WriteString("GET /after/1 HTTP/1.1\r\nhost: a\r\n\r\n")
	w.settle()
	if got := string(peer.Take()); got != okText("after") {
		t.Fatalf("got %q", got)
	}
	w.runWorks()
	w.loop.actOnHandle(w.loop.apps[0], &isolates.Record{Kind: isolates.KindCancel, Handle: 1, Flags: isolates.CancelAll})
	w.settle()
	if closed := closedValues.Load() - before; closed != 1 {
		t.Errorf("%d values of the outcome that nobody wants were closed", closed)
	}
}

// TestWorkAfterEnd runs a work whose loop has ended.
func TestWorkAfterEnd(t *testing.T) {
	w := newWorkWorld(t)
	before := closedValues.Load()
	w.ring.Dial(w.listener).WriteString("GET /compute/1 HTTP/1.1\r\nhost: a\r\n\r\n")
	w.settle()
	p := w.loop.options.works
	late := p.next()
	late.work.Run() // it was running when the loop ended
	w.loop.Drain()
	w.run(11 * time.Second)
	w.end()
	if w.loop.mailbox.Post(message{kind: messageWork, work: late}) {
		t.Fatal("the mailbox of a loop that has ended takes messages")
	}
	late.work.Drop()
	if closed := closedValues.Load() - before; closed != 1 {
		t.Errorf("%d values of the outcome were closed", closed)
	}
}

func TestWorksAreBounded(t *testing.T) {
	w := newWorkWorld(t)
	peer := w.ring.Dial(w.listener)
	var all strings.Builder
	for range 3 {
		fmt.Fprintf(&all, "GET /compute/0/%d HTTP/1.1\r\nhost: a\r\n\r\n", worksBytes*2/3)
	}
	peer.WriteString(all.String())
	w.settle()
	if ran := w.runWorks(); ran != 1 {
		t.Errorf("%d works with two thirds of the bytes that may wait", ran)
	}
	w.settle()
	if got := string(peer.Take()); strings.Count(got, "work computed") != 1 || strings.Count(got, "end ") != 2 {
		t.Errorf("got %q", got)
	}
}

func TestWorkPoolTakesAppsInTurn(t *testing.T) {
	p := newWorkPool(0, nil)
	apps := []*sharedApp{{id: 0}, {id: 1}, {id: 2}}
	for _, app := range []int{0, 0, 0, 1, 2, 2} {
		p.add(&hostWork{worker: &appWorker{app: app, shared: apps[app]}})
	}
	var order []int
	for w := p.next(); w != nil; w = p.next() {
		order = append(order, w.worker.app)
	}
	if got := fmt.Sprint(order); got != "[0 1 2 0 2 0]" {
		t.Errorf("order %s", got)
	}
	for i := range worksMax + 1 {
		if added := p.add(&hostWork{worker: &appWorker{shared: apps[0]}}); added != (i < worksMax) {
			t.Fatalf("work %d: %t", i, added)
		}
	}
}

// TestWorkersAreNice runs works on the pool's own threads.
func TestWorkersAreNice(t *testing.T) {
	const most, count = 2, 20
	w := newWorld(t, fakering.Config{}, nil)
	p := newWorkPool(most, nil)
	objects := hostcall.NewObjects()
	defer objects.Close()
	var mutex sync.Mutex
	threads := map[int]bool{}
	var done sync.WaitGroup
	done.Add(count)
	noteThread = func() {
		defer done.Done()
		mutex.Lock()
		defer mutex.Unlock()
		threads[unix.Gettid()] = true
		if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || nice != 20-workNice { // the raw call gives 20 - nice
			t.Errorf("a worker's thread has nice value %d, %v", 20-nice, err)
		}
	}
	for range count {
		work, err := objects.NewWork(firstFunction+workThread, noArguments(0))
		if err != nil {
			t.Fatal(err)
		}
		p.add(&hostWork{loop: w.loop, worker: w.loop.apps[0], work: work})
	}
	done.Wait()
	if len(threads) > most {
		t.Errorf("%d threads, more than %d", len(threads), most)
	}
	w.settle()
}

// TestWorkersAreWoken gives two works at once to a pool with one worker that rests: each has a worker.
func TestWorkersAreWoken(t *testing.T) {
	w := newWorld(t, fakering.Config{}, nil)
	p := newWorkPool(2, nil)
	objects := hostcall.NewObjects()
	defer objects.Close()
	add := func(count int) {
		var meeting sync.WaitGroup
		meeting.Add(count)
		noteThread = func() {
			meeting.Done()
			meeting.Wait()
		}
		for range count {
			work, err := objects.NewWork(firstFunction+workThread, noArguments(0))
			if err != nil {
				t.Fatal(err)
			}
			if !p.add(&hostWork{loop: w.loop, worker: w.loop.apps[0], work: work}) {
				t.Fatal("the pool takes no work")
			}
		}
		meeting.Wait()
	}
	add(1)
	for range 100 {
		add(2)
	}
	w.settle()
}
