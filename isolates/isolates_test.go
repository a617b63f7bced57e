package isolates

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRuntimeSnapshotIsDeterministic(t *testing.T) {
	first, err := BuildRuntime()
	if err != nil {
		t.Fatal(err)
	}
	second, err := BuildRuntime()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Fatalf("two builds of %d and %d bytes differ", len(first), len(second))
	}
	if !bytes.Equal(first, testRuntime.blob.Bytes()) {
		t.Fatal("the stored snapshot differs from a new one")
	}
}

func TestIsolatesOfOneSnapshotHaveTheirOwnRandomness(t *testing.T) {
	const app = `export default { fetch() { return new Response(Math.random() + " " + crypto.randomUUID()) } }`
	a, b := fetch(t, startApp(t, unlimited, app), get), fetch(t, startApp(t, unlimited, app), get)
	if bytes.Equal(a.Body, b.Body) {
		t.Fatalf("both said %s", a.Body)
	}
}

func TestRequestReachesTheHandlerAndItsAnswerComesBack(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(request, env, ctx) {
		return new Response([request.method, request.url, request.headers.get("X-One"), await request.text(), ctx.remoteAddress].join("|"),
			{status: 201, headers: {"x-two": "2"}});
	} }`)
	got := fetch(t, isolate, "POST /a/b?c=d HTTP/1.1\nHost: app.test:8080\nX-One: 1\nContent-Length: 5\n\nhällo")
	if want := "POST|http://app.test:8080/a/b?c=d|1|hällo|192.0.2.1:1234"; string(got.Body) != want || got.Status != 201 {
		t.Errorf("got %d %q, want %q", got.Status, got.Body, want)
	}
	if !strings.Contains(string(got.Head), "x-two: 2\r\n") {
		t.Errorf("head %q", got.Head)
	}
}

func TestManyRequestsInOneTurnAreAnsweredInOrder(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) { return new Response(new URL(r.url).pathname) } }`)
	for round := range 20 {
		for id := range uint32(100) {
			request(t, isolate, id, fmt.Sprintf("GET /%d/%d HTTP/1.1\nHost: h\n\n", round, id))
		}
		records := turn(t, isolate)
		if len(records) != 100 {
			t.Fatalf("round %d: %d records", round, len(records))
		}
		for id, record := range records {
			if want := fmt.Sprintf("/%d/%d", round, id); record.ID != uint32(id) || string(record.Body) != want {
				t.Fatalf("got %d %q, want %d %q", record.ID, record.Body, id, want)
			}
		}
	}
}

// A Request may be kept for longer than its answer takes, and longer than its arena is in use.
func TestKeptRequestStaysReadable(t *testing.T) {
	isolate := startApp(t, unlimited, `let kept; export default { fetch(r) {
		kept ??= r; return new Response(kept.url + kept.headers.get("x-mark")) } }`)
	fetch(t, isolate, "GET /first HTTP/1.1\nHost: h\nX-Mark: m\n\n")
	padding := strings.Repeat("p", 1000)
	for range 500 {
		fetch(t, isolate, "GET /other HTTP/1.1\nHost: h\nX-Mark: "+padding+"\n\n")
	}
	isolate.Collect()
	if got := fetch(t, isolate, get); string(got.Body) != "http://h/firstm" {
		t.Fatalf("got %q", got.Body)
	}
}

func TestBodyLargerThanTheArena(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) { return new Response(await r.arrayBuffer()) } }`)
	for _, size := range []int{1, 4 << 10, 16<<10 - 1, 16 << 10, 16<<10 + 1, 100_000, 3 << 20} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		got := fetch(t, isolate, fmt.Sprintf("POST / HTTP/1.1\nHost: h\nContent-Length: %d\n\n%s", size, body))
		if string(got.Body) != body {
			t.Errorf("%d bytes came back as %d", size, len(got.Body))
		}
	}
}

func TestStringBodiesAreUTF8(t *testing.T) {
	isolate := startApp(t, unlimited, `const texts = ["", "ascii", "é".repeat(10), "é".repeat(20000), "日本".repeat(4), "日本".repeat(9000), "\ud800x", "a".repeat(70000)];
		export default { fetch(r) { return new Response(texts[+new URL(r.url).pathname.slice(1)]) } }`)
	want := []string{"", "ascii", strings.Repeat("é", 10), strings.Repeat("é", 20000), strings.Repeat("日本", 4),
		strings.Repeat("日本", 9000), "\ufffdx", strings.Repeat("a", 70000)}
	for i, text := range want {
		if got := fetch(t, isolate, fmt.Sprintf("GET /%d HTTP/1.1\nHost: h\n\n", i)); string(got.Body) != text {
			t.Errorf("text %d: got %d bytes, want %d", i, len(got.Body), len(text))
		}
	}
}

func TestURLIsNormalised(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) { return new Response(r.url) } }`)
	for _, c := range [][3]string{
		{"/", "h", "http://h/"},
		{"/a/../b", "h", "http://h/b"},
		{"/a/%2e%2e/b", "h", "http://h/b"},
		{"/./a", "h", "http://h/a"},
		{"/a.b/c..d", "h", "http://h/a.b/c..d"},
		{`/"<>`, "h", "http://h/%22%3C%3E"},
		{"/?a='b'", "h", "http://h/?a=%27b%27"},
		{"/x", "H.Example:80", "http://h.example/x"},
		{"/x", "[::1]:8080", "http://[::1]:8080/x"},
		{"http://other:81/y?z", "h", "http://other:81/y?z"},
		{"http://other", "h", "http://other/"},
	} {
		got := fetch(t, isolate, fmt.Sprintf("GET %s HTTP/1.1\nHost: %s\n\n", c[0], c[1]))
		if string(got.Body) != c[2] {
			t.Errorf("%s at %s: got %s, want %s", c[0], c[1], got.Body, c[2])
		}
	}
}

func TestHeadersOfTheRequest(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) {
		return Response.json([r.headers.get("accept"), r.headers.get("COOKIE"), r.headers.get("none"), [...r.headers]]) } }`)
	got := fetch(t, isolate, "GET / HTTP/1.1\nHost: h\nAccept: a\nCookie: x=1\nACCEPT: b\nCookie: y=2\nZ: \n\n")
	want := `["a, b","x=1; y=2",null,[["accept","a, b"],["cookie","x=1; y=2"],["host","h"],["z",""]]]`
	if string(got.Body) != want {
		t.Errorf("got %s", got.Body)
	}
}

func TestUncaughtErrorIsAnsweredAndLoggedWithItsPosition(t *testing.T) {
	isolate := startApp(t, unlimited, "export default {\n  async fetch(r) {\n    await null;\n    throw new RangeError('too far');\n  }\n}")
	request(t, isolate, 9, get)
	records := turn(t, isolate)
	got := respondOf(t, records)
	if got.Status != 500 || string(got.Body) != "nano: test: uncaught RangeError: too far" {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
	for _, record := range records {
		if record.Kind == KindLog && record.Level == LevelUncaught && strings.Contains(string(record.Body), "app.js:4:11") {
			return
		}
	}
	t.Errorf("no position in %+v", records)
}

func TestUnhandledRejectionIsLogged(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) {
		Promise.reject(new Error("lost")); Promise.reject(1).catch(() => {}); queueMicrotask(() => { throw new Error("thrown") });
		return new Response("ok") } }`)
	request(t, isolate, 1, get)
	var logs string
	for _, record := range turn(t, isolate) {
		if record.Kind == KindLog {
			logs += string(record.Body)
		}
	}
	if strings.Count(logs, "lost") == 0 || strings.Count(logs, "thrown") == 0 {
		t.Errorf("logs: %q", logs)
	}
}

func TestTimersGoThroughTheLoop(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) {
		const t0 = setTimeout(() => {}, 5); clearTimeout(t0);
		return new Response(await new Promise(done => setTimeout(done, 250, "later"))) } }`)
	request(t, isolate, 3, get)
	var timer *Record
	for _, record := range turn(t, isolate) {
		if record.Kind == KindTimerSet && record.Delay == 250*time.Millisecond {
			timer = &record
		}
	}
	if timer == nil {
		t.Fatal("no timer was set")
	}
	isolate.AddTimer(timer.ID)
	if got := respondOf(t, turn(t, isolate)); got.ID != 3 || string(got.Body) != "later" {
		t.Errorf("got %+v", got)
	}
}

// Timers of one turn are tasks of their own: what one leaves for later runs before the next.
func TestMicrotasksRunBetweenTimers(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) {
		const order = [];
		await Promise.all([1, 2, 3].map((n) => new Promise((done) => setTimeout(() => {
			order.push("timer" + n);
			Promise.resolve().then(() => order.push("micro" + n)).then(done);
		}, 5))));
		return new Response(order.join()) } }`)
	request(t, isolate, 1, get)
	for _, record := range turn(t, isolate) {
		if record.Kind == KindTimerSet {
			isolate.AddTimer(record.ID)
		}
	}
	if got := respondOf(t, turn(t, isolate)); string(got.Body) != "timer1,micro1,timer2,micro2,timer3,micro3" {
		t.Errorf("got %s", got.Body)
	}
}

func TestWaitUntilOutlivesTheAnswer(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r, env, ctx) {
		ctx.waitUntil(new Promise(done => setTimeout(done, 10))); return new Response("now") } }`)
	request(t, isolate, 5, get)
	var timer uint32
	answered := false
	for _, record := range turn(t, isolate) {
		switch record.Kind {
		case KindRespond:
			answered = record.Pending
		case KindTimerSet:
			timer = record.ID
		case KindSettled:
			t.Fatal("settled too early")
		}
	}
	if !answered {
		t.Fatal("no pending answer")
	}
	isolate.AddTimer(timer)
	for _, record := range turn(t, isolate) {
		if record.Kind == KindSettled && record.ID == 5 {
			return
		}
	}
	t.Fatal("not settled")
}

func TestStreamedBodyComesAChunkPerSend(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) {
		let n = 0;
		return new Response(new ReadableStream({ pull(c) { if (n++ < 3) c.enqueue(new TextEncoder().encode("chunk" + n)); else c.close(); } })) } }`)
	request(t, isolate, 2, get)
	var body string
	ended, streaming := false, false
	for range 10 {
		chunks := 0
		for _, record := range turn(t, isolate) {
			switch record.Kind {
			case KindRespond:
				streaming = record.Streaming
			case KindChunk:
				chunks++
				body += string(record.Body)
			case KindEnd:
				ended = !record.Failed
			}
		}
		if chunks > 1 {
			t.Fatalf("%d chunks before one was sent", chunks)
		}
		if ended {
			break
		}
		isolate.AddSent(2)
	}
	if body != "chunk1chunk2chunk3" || !ended || !streaming {
		t.Errorf("got %q, ended %v, streaming %v", body, ended, streaming)
	}
}

func TestGoneClientAbortsTheSignal(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch(r) {
		return new Promise(done => r.signal.addEventListener("abort", () => { console.log("saw", r.signal.aborted); done(new Response("late")) })) } }`)
	request(t, isolate, 4, get)
	turn(t, isolate)
	isolate.AddGone(4)
	for _, record := range turn(t, isolate) {
		if record.Kind == KindLog && string(record.Body) == "saw true" {
			return
		}
	}
	t.Fatal("the signal did not fire")
}

func TestEnv(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{EnvJSON: `{"GREETING":"Hé","N":1.5,"DEEP":{"list":[true]}}`}, "app.js",
		`export default { fetch(r, env) { return Response.json(env) } }`)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	if got := fetch(t, isolate, get); string(got.Body) != app.options.EnvJSON {
		t.Errorf("got %s", got.Body)
	}
}

func TestLimitsEndEveryLoop(t *testing.T) {
	limits := Options{Wake: -1, CPULimit: 50 * time.Millisecond}
	for name, body := range map[string]string{
		"loop":       `for (;;);`,
		"microtasks": `const again = () => queueMicrotask(again); again();`,
		"promises":   `return (async () => { for (;;) await null; })();`,
		"regexp":     `/^(a+)+$/.test("a".repeat(64) + "b");`,
		"allocation": `const all = []; for (;;) { all.push(new Array(100)); if (all.length > 9) all.length = 0; }`,
		"caught":     `for (;;) try { for (;;); } catch {} finally { continue; }`,
	} {
		t.Run(name, func(t *testing.T) {
			watchThread(t)
			bad := startApp(t, limits, `export default { fetch(r) { `+body+` } }`)
			good := startApp(t, limits, `export default { fetch(r) { return new Response("fine") } }`)
			request(t, bad, 1, get)
			if err := bad.Turn(); !errors.Is(err, ErrCPULimit) {
				t.Errorf("got %v", err)
			}
			for range 100 {
				if got := fetch(t, good, get); string(got.Body) != "fine" {
					t.Fatalf("the neighbour said %q", got.Body)
				}
			}
		})
	}
}

func TestHeapBombEndsItsIsolateOnly(t *testing.T) {
	limits := Options{Wake: -1, HeapLimit: 32 << 20}
	bad := startApp(t, limits, `export default { fetch(r) { const all = []; for (;;) all.push(new Array(100).fill(0)); } }`)
	good := startApp(t, limits, `export default { fetch(r) { return new Response("fine") } }`)
	request(t, bad, 1, get)
	if err := bad.Turn(); !errors.Is(err, ErrMemoryLimit) {
		t.Errorf("got %v", err)
	}
	if got := fetch(t, good, get); string(got.Body) != "fine" {
		t.Fatalf("the neighbour said %q", got.Body)
	}
}

func TestTaskOfAnotherThreadWakesTheLoop(t *testing.T) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(wake)
	// Compiling WebAssembly ends on a thread of V8's, which posts the result to the isolate.
	isolate := startApp(t, Options{Wake: wake}, `export default { async fetch(r) {
		const bytes = new Uint8Array([0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,7,5,1,1,102,0,0,10,6,1,4,0,65,42,11]);
		const { instance } = await WebAssembly.instantiate(bytes);
		return new Response(String(instance.exports.f())) } }`)
	request(t, isolate, 1, get)
	records := turn(t, isolate)
	for len(records) == 0 {
		poll := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 10_000); err != nil && err != unix.EINTR || n == 0 {
			t.Fatalf("no wake-up: %d, %v", n, err)
		}
		var counter [8]byte
		if _, err := unix.Read(wake, counter[:]); err != nil {
			t.Fatal(err)
		}
		if !isolate.HasTasks() {
			continue
		}
		records = turn(t, isolate)
	}
	if got := respondOf(t, records); string(got.Body) != "42" {
		t.Errorf("got %q", got.Body)
	}
}

func TestTurnDoesNotAllocate(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { async fetch(r) { return new Response("hello") } }`)
	plain := newPlainRequest(t)
	run := func() {
		isolate.AddRequest(plain)
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		for {
			if _, ok := isolate.Next(); !ok {
				break
			}
		}
	}
	run()
	if allocations := testing.AllocsPerRun(5000, run); allocations != 0 {
		t.Errorf("%v allocations for each request", allocations)
	}
}

// The first arena comes with the snapshot: a request that does not fit goes to a new one, and requests
// in either stay readable, each isolate's for itself.
func TestFirstArena(t *testing.T) {
	const app = `const kept = [];
		export default { async fetch(r) { kept.push(r); return new Response(kept.length + (await kept[0].clone().text()) + r.url) } }`
	first, second := startApp(t, unlimited, app), startApp(t, unlimited, app)
	const small = "POST /s HTTP/1.1\nHost: a\n\nsmall"
	large := strings.Repeat("large ", 2000)
	for _, step := range []struct {
		isolate    *Isolate
		text, want string
	}{
		{first, small, "1smallhttp://a/s"},
		{second, "POST /l HTTP/1.1\nHost: b\n\n" + large, "1" + large + "http://b/l"},
		{first, "POST /l HTTP/1.1\nHost: b\n\n" + large, "2smallhttp://b/l"},
		{second, small, "2" + large + "http://a/s"},
		{first, small, "3smallhttp://a/s"},
	} {
		if got := string(fetch(t, step.isolate, step.text).Body); got != step.want {
			t.Errorf("got %.40q, want %.40q", got, step.want)
		}
	}
}
