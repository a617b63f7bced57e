package isolates

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spin is a function of the app that computes for a number of milliseconds.
const spin = `const spin = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };`

// What is counted is the request, not the turn: many short ones may share it.
func TestCPULimitIsPerRequest(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, Options{Wake: -1, CPULimit: 60 * time.Millisecond}, spin+`
		export default { async fetch(r) { spin(5); await null; spin(5); return new Response("ok") } }`)
	const requests = 40
	for id := range uint32(requests) {
		request(t, isolate, id, get)
	}
	answers, turns := 0, 0
	for answers < requests {
		if turns++; turns > requests+1 {
			t.Fatalf("%d answers after %d turns", answers, turns)
		}
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		answers += len(drain(isolate))
		if isolate.Unfinished() != (answers < requests) {
			t.Fatalf("unfinished is %v after %d answers", isolate.Unfinished(), answers)
		}
	}
	if turns == 1 {
		t.Error("one turn took it all: its share of time did not end it")
	}
}

// Without a watchdog: what records have cost tells that a turn would be long, and when it has been it ends.
func TestLongTurnsAreForeseen(t *testing.T) {
	isolate := startApp(t, unlimited, spin+`
		let last = 0;
		export default { async fetch(r) {
			const { pathname } = new URL(r.url);
			if (pathname === "/") await spin(1);
			if (pathname === "/timers") for (let i = 0; i < 20; i++) setTimeout(() => { spin(1); last = i; queueMicrotask(() => { if (last !== i) throw new Error("not drained"); }) });
			return new Response("ok") } }`)
	const requests = 20
	take := func(path string, want func(turns int) bool) {
		t.Helper()
		for id := range uint32(requests) {
			request(t, isolate, id, "GET "+path+" HTTP/1.1\nHost: app.test\n\n")
		}
		answers, turns := 0, 0
		for isolate.Unfinished() {
			if err := isolate.Turn(); err != nil {
				t.Fatal(err)
			}
			turns++
			for _, record := range drain(isolate) {
				if record.Kind == KindRespond {
					answers++
				}
			}
		}
		if answers != requests || !want(turns) {
			t.Errorf("%s: %d answers in %d turns", path, answers, turns)
		}
	}
	take("/", func(turns int) bool { return turns >= 1 }) // not known yet
	take("/", func(turns int) bool { return turns == requests })
	request(t, isolate, requests, "GET /timers HTTP/1.1\nHost: app.test\n\n")
	for _, record := range turn(t, isolate) {
		if record.Kind == KindTimerSet {
			isolate.AddTimer(record.ID)
		}
	}
	for isolate.Unfinished() {
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		for _, record := range drain(isolate) {
			if record.Kind == KindLog {
				t.Fatalf("%s", record.Body)
			}
		}
	}
}

// A turn that shares its core with another thread is charged for what it computes.
func TestCPUIsNotTimeThatPasses(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, unlimited, spin+`export default { fetch() { spin(30); return new Response("ok") } }`)
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	core := 0
	for !all.IsSet(core) {
		core++
	}
	one.Set(core)
	pin := func(to *unix.CPUSet) {
		if err := unix.SchedSetaffinity(0, to); err != nil {
			t.Error(err)
		}
	}
	pin(&one)
	defer pin(&all)
	var ended atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		pin(&one)
		for !ended.Load() {
		}
	})
	for {
		cpu, begun := threadTime(t), time.Now()
		before := isolate.CPU()
		fetch(t, isolate, get)
		used, passed := threadTime(t)-cpu, time.Since(begun)
		if charged := isolate.CPU() - before; charged > used+time.Millisecond {
			t.Errorf("charged %v of %v, in %v", charged, used, passed)
		}
		if passed > used*5/4 {
			break
		}
	}
	ended.Store(true)
	other.Wait()
}

// A loop is told that there is something to prepare when there is, and only then.
func TestWantsPrepare(t *testing.T) {
	plain := startApp(t, unlimited, `export default { fetch(r) { return new Response("ok") } }`)
	fetch(t, plain, get)
	if plain.WantsPrepare() {
		t.Error("an app without contexts has something to prepare")
	}
	buffers := startApp(t, unlimited, `let kept; export default { fetch(r) { kept = new Uint8Array(20 << 20); return new Response("ok") } }`)
	fetch(t, buffers, get)
	buffers.measure()
	if !buffers.WantsPrepare() || buffers.Prepare() || buffers.WantsPrepare() {
		t.Error("buffers that may be garbage are not collected, or again and again")
	}
}

// Chunks that live for long enough to become old do not pile up as garbage: V8 by itself would let it be 64 MB.
func TestOldBuffersDoNotPileUp(t *testing.T) {
	isolate := startApp(t, unlimited, `
		let queue = [];
		export default {
			fetch(r) { // 16 MB on its way through a queue of 8 MB
				for (let i = 0; i < 256; i++) {
					queue.push(new Uint8Array(64 << 10));
					if (queue.length > 128) queue.shift();
				}
				return new Response("ok");
			}
		}`)
	most := int64(0)
	for range 32 {
		fetch(t, isolate, get)
		isolate.measure()
		most = max(most, isolate.external)
	}
	if most > 40<<20 {
		t.Errorf("%d MB of buffers, of which 8 MB are in use", most>>20)
	}
}

// What a request does in many turns is added up.
func TestCPULimitHoldsAcrossTurns(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, Options{Wake: -1, CPULimit: 60 * time.Millisecond}, spin+`
		export default { async fetch(r) { for (;;) { spin(5); await new Promise((done) => setTimeout(done)); } } }`)
	request(t, isolate, 1, get)
	for range 200 {
		err := isolate.Turn()
		for _, record := range drain(isolate) {
			if record.Kind == KindTimerSet {
				isolate.AddTimer(record.ID)
			}
		}
		if errors.Is(err, ErrCPULimit) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("a second of CPU time did not reach a limit of 60 ms")
}

// Turns that are much shorter than a tick of the watchdog are paid for as well.
func TestCPULimitHoldsAcrossShortTurns(t *testing.T) {
	watchThread(t)
	const limit = 60 * time.Millisecond
	isolate := startApp(t, Options{Wake: -1, CPULimit: limit}, `
		export default { async fetch(r) { for (;;) await new Promise((done) => setTimeout(done)); } }`)
	request(t, isolate, 1, get)
	turns := 0
	for isolate.CPU() < 40*limit {
		err := isolate.Turn()
		for _, record := range drain(isolate) {
			if record.Kind == KindTimerSet {
				isolate.AddTimer(record.ID)
			}
		}
		if errors.Is(err, ErrCPULimit) {
			if turns < 1000 {
				t.Errorf("turns of %v are not short", isolate.CPU()/time.Duration(turns))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		turns++
	}
	t.Fatalf("%v of CPU time in %d turns did not reach a limit of %v", isolate.CPU(), turns, limit)
}

// Log lines carry the id of their request wherever it goes on.
func TestLogLinesCarryTheirRequest(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) {
		console.log("handler"); await null; console.log("await");
		queueMicrotask(() => console.log("microtask"));
		Promise.resolve().then(() => console.log("then"));
		await new Promise((done) => setTimeout(() => { console.log("timer"); done(); }));
		return new Response(new ReadableStream({ pull(c) { console.log("pull"); c.close() } })) } }`)
	seen := map[string]string{}
	note := func(records []Record) {
		for _, record := range records {
			switch record.Kind {
			case KindTimerSet:
				isolate.AddTimer(record.ID)
			case KindLog:
				seen[fmt.Sprint(record.ID)] += string(record.Body) + " "
			}
		}
	}
	request(t, isolate, 7, get)
	request(t, isolate, 9, get)
	note(turn(t, isolate))
	note(turn(t, isolate))
	const want = "handler await microtask then timer pull "
	if len(seen) != 2 || seen["7"] != want || seen["9"] != want {
		t.Errorf("got %q", seen)
	}
}
