package isolates

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// debugger is a client of the protocol. Its methods are called from any goroutine but that of the isolate.
type debugger struct {
	t       *testing.T
	session *InspectorSession

	mutex  sync.Mutex
	lastID int
	seen   []event // not waited for so far
	more   chan struct{}
}

// event is a message to a client.
type event struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func debug(t *testing.T, inspector *Inspector) *debugger {
	t.Helper()
	session, err := inspector.Connect()
	if err != nil {
		t.Fatal(err)
	}
	d := &debugger{t: t, session: session, more: make(chan struct{}, 1)}
	t.Cleanup(session.Close)
	go func() {
		for {
			message, err := session.Receive()
			if err != nil {
				return
			}
			var e event
			if err := json.Unmarshal(message, &e); err != nil {
				t.Errorf("%v: %.200s", err, message)
			}
			d.mutex.Lock()
			d.seen = append(d.seen, e)
			d.mutex.Unlock()
			select {
			case d.more <- struct{}{}:
			default:
			}
		}
	}()
	return d
}

// wait gives the first event that matches and was not given before.
func (d *debugger) wait(what string, matches func(*event) bool) *event {
	d.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		d.mutex.Lock()
		for i := range d.seen {
			if matches(&d.seen[i]) {
				found := d.seen[i]
				d.seen = append(d.seen[:i:i], d.seen[i+1:]...)
				d.mutex.Unlock()
				return &found
			}
		}
		d.mutex.Unlock()
		select {
		case <-d.more:
		case <-deadline:
			d.t.Errorf("no %s; there is %v", what, d.seen)
			runtime.Goexit()
		}
	}
}

func (d *debugger) event(method string) *event {
	d.t.Helper()
	return d.wait(method, func(e *event) bool { return e.Method == method })
}

// send sends a command and gives its id.
func (d *debugger) send(method, params string) int {
	d.t.Helper()
	d.mutex.Lock()
	d.lastID++
	id := d.lastID
	d.mutex.Unlock()
	if err := d.session.Send(fmt.Appendf(nil, `{"id":%d,"method":%q,"params":%s}`, id, method, params)); err != nil {
		d.t.Errorf("%s: %v", method, err)
	}
	return id
}

// call sends a command and waits for its result.
func (d *debugger) call(method, params string) string {
	d.t.Helper()
	id := d.send(method, params)
	e := d.wait("answer to "+method, func(e *event) bool { return e.ID == id })
	if e.Error != nil {
		d.t.Errorf("%s: %s", method, e.Error.Message)
	}
	return string(e.Result)
}

// startInspected starts an app that can be debugged.
func startInspected(t *testing.T, options AppOptions, inspector *Inspector, source string) *Isolate {
	t.Helper()
	watchThread(t)
	app, err := resolve(t, options, "app.js", source)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startDebugged(app, inspector)
	if err != nil {
		t.Fatal(err)
	}
	return isolate
}

func startDebugged(app *App, inspector *Inspector) (*Isolate, error) {
	inspect := func(string) *Inspector { return inspector }
	return testRuntime.NewPool(PoolOptions{Wake: -1, Inspect: inspect}).Start(app)
}

// appScript is V8's id of the module app.js, in quotes, and its URL. Scripts that it has started name it, too, in their
// stack.
func appScript(d *debugger) (id, url string) {
	var script struct {
		ScriptID json.RawMessage
		URL      string
	}
	d.wait("the app's script", func(e *event) bool {
		if e.Method != "Debugger.scriptParsed" {
			return false
		}
		if err := json.Unmarshal(e.Params, &script); err != nil {
			d.t.Error(err)
		}
		return strings.HasSuffix(script.URL, "app.js")
	})
	return string(script.ScriptID), script.URL
}

func scriptID(d *debugger) string {
	id, _ := appScript(d)
	return id
}

// turnsUntil gives the isolate turns until done is closed, and returns what came out.
func turnsUntil(t *testing.T, isolate *Isolate, done <-chan struct{}) (records []Record) {
	t.Helper()
	for {
		records = append(records, turn(t, isolate)...)
		select {
		case <-done:
			return records
		case <-time.After(time.Millisecond):
		}
	}
}

// during runs what a client does beside the isolate, which takes turns meanwhile.
func during(t *testing.T, isolate *Isolate, client func()) []Record {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		client()
	}()
	return turnsUntil(t, isolate, done)
}

const debugged = `import { add } from "./add.js";
export default {
  async fetch(request) {
    const first = 1;
    const second = await add(first, 2);
    console.log("sum", { second });
    return new Response(String(second));
  }
}
`

func TestInspectorEvaluates(t *testing.T) {
	inspector := NewInspector(InspectorOptions{Base: "/srv/app dir"})
	isolate := startInspected(t, AppOptions{}, inspector, `
		globalThis.answer = 42;
		export default { fetch() { console.log("called", { answer }); throw new TypeError("broken here"); } }`)
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Runtime.enable", "{}")
		if created := string(d.event("Runtime.executionContextCreated").Params); !strings.Contains(created, `"isDefault":true`) {
			t.Error(created)
		}
		d.call("Debugger.enable", "{}")
		if _, url := appScript(d); !strings.HasPrefix(url, "file:///") {
			t.Errorf("the script is %s", url)
		}
		if result := d.call("Runtime.evaluate", `{"expression":"answer + 'ä€😀'.length"}`); !strings.Contains(result, `"value":46`) {
			t.Error(result)
		}
		if result := d.call("Runtime.evaluate", `{"expression":"'ä€😀'"}`); !strings.Contains(result, "ä€😀") && !strings.Contains(result, `\ud83d\ude00`) {
			t.Error(result)
		}
		if result := d.call("Runtime.evaluate", `{"expression":"(async () => { await 1; return 7 })()","awaitPromise":true}`); !strings.Contains(result, `"value":7`) {
			t.Error(result)
		}
	})
	request(t, isolate, 1, get)
	records := during(t, isolate, func() {
		called := string(d.event("Runtime.consoleAPICalled").Params)
		if !strings.Contains(called, `"called"`) || !strings.Contains(called, `"answer"`) || !strings.Contains(called, `"lineNumber":2`) {
			t.Error(called)
		}
		thrown := string(d.event("Runtime.exceptionThrown").Params)
		if !strings.Contains(thrown, "broken here") || !strings.Contains(thrown, "app.js") {
			t.Error(thrown)
		}
	})
	logged := false
	for _, record := range records {
		logged = logged || record.Kind == KindLog && strings.Contains(string(record.Body), "called")
	}
	if !logged {
		t.Error("the log misses what the client was told")
	}
}

// TestInspectorStops: breakpoints by URL, what is to be seen there, steps, and the limits that stand still.
func TestInspectorStops(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	isolate := startInspected(t, AppOptions{Limits: Limits{CPU: 50 * time.Millisecond}}, inspector, strings.Replace(debugged,
		`import { add } from "./add.js";`, `async function add(a, b) { await 0; return a + b; }`, 1))
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Debugger.enable", "{}")
		d.call("Debugger.setAsyncCallStackDepth", `{"maxDepth":8}`)
		set := d.call("Debugger.setBreakpointByUrl", `{"lineNumber":3,"urlRegex":".*app\\.js"}`)
		if !strings.Contains(set, `"locations":[{`) {
			t.Error(set)
		}
	})
	request(t, isolate, 1, get)
	before := isolate.Paused()
	records := during(t, isolate, func() {
		line := func(want int) string {
			paused := d.event("Debugger.paused")
			var at struct {
				CallFrames []struct {
					CallFrameID  string `json:"callFrameId"`
					FunctionName string `json:"functionName"`
					Location     struct{ LineNumber int }
				}
			}
			if err := json.Unmarshal(paused.Params, &at); err != nil || len(at.CallFrames) == 0 || at.CallFrames[0].Location.LineNumber != want {
				t.Errorf("it stands at %v, %v, instead of line %d", at.CallFrames, err, want)
				return ""
			}
			return at.CallFrames[0].CallFrameID
		}
		line(3)
		time.Sleep(100 * time.Millisecond) // longer than the CPU limit
		d.call("Debugger.stepInto", "{}")
		frame := line(4)
		seen := d.call("Debugger.evaluateOnCallFrame", fmt.Sprintf(`{"callFrameId":%q,"expression":"first + 1"}`, frame))
		if !strings.Contains(seen, `"value":2`) {
			t.Error(seen)
		}
		// It takes longer than the limit of a request, for the client.
		seen = d.call("Runtime.evaluate", `{"expression":"{ const t = Date.now() + 5; let n = 0; for (let i = 0; i < 1e8; i++) n += i; n }"}`)
		if !strings.Contains(seen, `"number"`) {
			t.Error(seen)
		}
		d.call("Debugger.stepInto", "{}")
		line(0)
		d.call("Debugger.stepOut", "{}")
		line(5)                           // behind the await
		d.call("Debugger.stepInto", "{}") // console.log is the runtime's
		line(6)
		d.call("Debugger.resume", "{}")
		d.event("Debugger.resumed")
	})
	if answer := respondOf(t, records); string(answer.Body) != "3" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if isolate.Paused()-before < 100*time.Millisecond {
		t.Errorf("it was paused for %v", isolate.Paused()-before)
	}
}

func TestInspectorBreaksAtTheStart(t *testing.T) {
	inspector := NewInspector(InspectorOptions{Break: true})
	d := debug(t, inspector)
	go func() {
		d.call("Runtime.enable", "{}")
		d.call("Debugger.enable", "{}")
		d.call("Runtime.runIfWaitingForDebugger", "{}")
		if at := string(d.event("Debugger.paused").Params); !strings.Contains(at, `"location":{"scriptId":`+scriptID(d)+`,"lineNumber":1,`) {
			t.Error(at)
		}
		d.call("Debugger.resume", "{}")
	}()
	isolate := startInspected(t, AppOptions{}, inspector, `
		globalThis.first = 1;
		export default { fetch() { return new Response("fine") } }`)
	defer isolate.Dispose()
	if answer := fetch(t, isolate, get); string(answer.Body) != "fine" {
		t.Errorf("%q", answer.Body)
	}
}

// TestInspectorOutlivesIsolates: sessions go on with the next isolate, and so do breakpoints.
func TestInspectorOutlivesIsolates(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	const source = "export default { fetch() {\nreturn new Response('v' + 1) } }"
	isolate := startInspected(t, AppOptions{}, inspector, source)
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Runtime.enable", "{}")
		d.event("Runtime.executionContextCreated")
		d.call("Debugger.enable", "{}")
		d.call("Debugger.setBreakpointByUrl", `{"lineNumber":1,"urlRegex":"app\\.js$"}`)
	})
	for range 3 {
		next := startInspected(t, AppOptions{}, inspector, source)
		isolate.Dispose()
		isolate = next
		during(t, isolate, func() {
			d.event("Runtime.executionContextsCleared")
			d.event("Runtime.executionContextCreated")
		})
		request(t, isolate, 1, get)
		during(t, isolate, func() {
			d.event("Debugger.paused")
			d.call("Debugger.resume", "{}")
		})
	}
	isolate.Dispose()
	isolate = startInspected(t, AppOptions{}, inspector, source)
	request(t, isolate, 1, get)
	go func() {
		d.event("Debugger.paused")
		d.session.Close() // it goes on
	}()
	if answer := respondOf(t, turn(t, isolate)); string(answer.Body) != "v1" {
		t.Errorf("%q", answer.Body)
	}
	isolate.Dispose()
	other := debug(t, inspector)
	inspector.Stop()
	if _, err := other.session.Receive(); err == nil {
		t.Error("a session of a stopped inspector")
	}
	if _, err := inspector.Connect(); err == nil {
		t.Error("a new session of a stopped inspector")
	}
}

// TestInspectorPauseEnds by what ends it beside the client.
func TestInspectorPauseEnds(t *testing.T) {
	const source = "export default { fetch() {\ndebugger; return new Response('on') } }"
	for _, test := range []struct {
		name    string
		options InspectorOptions
		end     func(*Inspector, *debugger)
	}{
		{"stop", InspectorOptions{}, func(n *Inspector, _ *debugger) { n.Stop() }},
		{"close", InspectorOptions{}, func(_ *Inspector, d *debugger) { d.session.Close() }},
		{"limit", InspectorOptions{PauseMax: 50 * time.Millisecond}, func(*Inspector, *debugger) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inspector := NewInspector(test.options)
			isolate := startInspected(t, AppOptions{}, inspector, source)
			defer isolate.Dispose()
			d := debug(t, inspector)
			during(t, isolate, func() { d.call("Debugger.enable", "{}") })
			request(t, isolate, 1, get)
			go func() {
				d.event("Debugger.paused")
				test.end(inspector, d)
			}()
			if answer := respondOf(t, turn(t, isolate)); string(answer.Body) != "on" {
				t.Errorf("%q", answer.Body)
			}
		})
	}
}

// TestInspectorInterrupts: clients are heard while JavaScript runs, and what they run may end the isolate.
func TestInspectorInterrupts(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	isolate := startInspected(t, AppOptions{}, inspector, `
		export default { fetch() { while (!globalThis.enough); return new Response("enough") } }`)
	d := debug(t, inspector)
	during(t, isolate, func() { d.call("Debugger.enable", "{}") })
	request(t, isolate, 1, get)
	records := during(t, isolate, func() {
		d.call("Debugger.pause", "{}")
		d.event("Debugger.paused")
		d.call("Runtime.evaluate", `{"expression":"globalThis.enough = true"}`)
		d.call("Debugger.resume", "{}")
	})
	if answer := respondOf(t, records); string(answer.Body) != "enough" {
		t.Errorf("%q", answer.Body)
	}
	isolate.Dispose()
}

// TestInspectorOfAnIsolateThatDies: at a breakpoint, an expression of the client exhausts the memory.
func TestInspectorOfAnIsolateThatDies(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	for _, expression := range []string{"const all = []; for (;;) all.push(new Array(100000).fill(1.5))", "new Array(2**27).fill(1)"} {
		isolate := startInspected(t, AppOptions{Limits: Limits{Heap: 32 << 20, CPU: time.Second}}, inspector,
			"export default { fetch() {\ndebugger; return new Response('on') } }")
		d := debug(t, inspector)
		during(t, isolate, func() { d.call("Debugger.enable", "{}") })
		request(t, isolate, 1, get)
		go func() {
			d.event("Debugger.paused")
			d.send("Runtime.evaluate", fmt.Sprintf(`{"expression":%q}`, expression))
		}()
		if err := isolate.Turn(); err != ErrMemoryLimit {
			t.Errorf("%s: ended by %v", expression, err)
		}
		drain(isolate)
		isolate.Dispose()
		d.session.Close()
	}
	isolate := startInspected(t, AppOptions{}, inspector, "export default { fetch() { return new Response('next') } }")
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() { d.call("Runtime.evaluate", `{"expression":"1"}`) })
}

func TestInspectorOfContexts(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	isolate := startInspected(t, AppOptions{PerRequest: true}, inspector,
		"let n = 0;\nexport default { fetch() {\nreturn new Response('n' + ++n) } }")
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Runtime.enable", "{}")
		d.call("Debugger.enable", "{}")
		d.call("Debugger.setBreakpointByUrl", `{"lineNumber":2,"urlRegex":"app\\.js$"}`)
	})
	for id := range uint32(4) {
		request(t, isolate, id+1, get)
		records := during(t, isolate, func() {
			d.event("Debugger.paused")
			d.call("Debugger.resume", "{}")
		})
		if answer := respondOf(t, records); string(answer.Body) != "n1" {
			t.Errorf("%q", answer.Body)
		}
		for isolate.Prepare() {
		}
	}
}

func TestInspectorTakesTimers(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	isolate := startInspected(t, AppOptions{}, inspector, `export default { fetch() {
		return new Promise(function waiting(resolve) {
			setTimeout(function later(a, b) {
				debugger;
				resolve(new Response(a + b));
			}, 1, "x", "y");
		});
	} }`)
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Debugger.enable", "{}")
		d.call("Debugger.setAsyncCallStackDepth", `{"maxDepth":8}`)
	})
	request(t, isolate, 1, get)
	for _, record := range turn(t, isolate) {
		if record.Kind == KindTimerSet {
			isolate.AddTimer(record.ID)
		}
	}
	records := during(t, isolate, func() {
		at := string(d.event("Debugger.paused").Params)
		if !strings.Contains(at, `"asyncStackTrace":{"description":"setTimeout"`) || !strings.Contains(at, "waiting") {
			t.Error(at)
		}
		d.call("Debugger.resume", "{}")
	})
	if answer := respondOf(t, records); string(answer.Body) != "xy" {
		t.Errorf("%q", answer.Body)
	}
}

func TestInspectorGivesMaps(t *testing.T) {
	lockThread(t)
	inspector := NewInspector(InspectorOptions{Base: "/src"})
	withSources := NewInspector(InspectorOptions{Base: writeFiles(t, "in.ts", "// from the disk")}).withSources
	for given, want := range map[string]string{
		`{"sources":["in.ts","gone.ts"]}`:                       `{"sources":["in.ts","gone.ts"],"sourcesContent":["// from the disk",null]}`,
		`{"sources":["in.ts"],"sourcesContent":["// its own"]}`: `{"sources":["in.ts"],"sourcesContent":["// its own"]}`,
		`{"sources":7}`: `{"sources":7}`, `[]`: `[]`, `{`: `{`, `{"sources":[""]}`: `{"sources":[""],"sourcesContent":[null]}`,
	} {
		if got := string(withSources([]byte(given))); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
	bundle, err := NewBundle([]Module{{Name: "out.js", Source: []byte("export default { fetch() { return new Response('m') } }"),
		Map: []byte(`{"version":3,"sources":["in.ts"],"sourcesContent":["// TypeScript"],"mappings":"AAAA"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	app := testRuntime.NewApp(AppOptions{Name: "mapped", EnvJSON: "{}"}, bundle)
	isolate, err := startDebugged(app, inspector)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	d := debug(t, inspector)
	during(t, isolate, func() {
		d.call("Debugger.enable", "{}")
		parsed := string(d.wait("the app's script", func(e *event) bool {
			return e.Method == "Debugger.scriptParsed" && strings.Contains(string(e.Params), "out.js")
		}).Params)
		if !strings.Contains(parsed, `"sourceMapURL":"data:application/json`) || !strings.Contains(parsed, `"url":"file:///src/out.js"`) {
			t.Error(parsed)
		}
	})
}

// TestInspectorSurvivesClients sends what clients should not.
func TestInspectorSurvivesClients(t *testing.T) {
	inspector := NewInspector(InspectorOptions{})
	isolate := startInspected(t, AppOptions{}, inspector, "export default { fetch() { return new Response('on') } }")
	defer isolate.Dispose()
	d := debug(t, inspector)
	d.lastID = 1000
	for _, message := range []string{"", "{", "[]", "null", "{}", `{"id":1}`, `{"id":"x","method":3}`, `{"id":1,"method":"No.such"}`,
		`{"id":2,"method":"Runtime.evaluate","params":7}`, strings.Repeat("[", 100000), "\u0600", `{"id":99999999999999999999,"method":"Runtime.enable"}`} {
		if err := d.session.Send([]byte(message)); err != nil {
			t.Errorf("%.20q: %v", message, err)
		}
	}
	if d.session.Send([]byte{0xd8, 0x5a, 0, 0, 0, 1}) == nil {
		t.Error("a message that is not UTF-8 was taken")
	}
	during(t, isolate, func() { d.call("Runtime.evaluate", `{"expression":"1"}`) })
	var sessions []*InspectorSession
	for {
		session, err := inspector.Connect()
		if err != nil {
			break
		}
		if sessions = append(sessions, session); len(sessions) > 1000 {
			t.Fatal("sessions without end")
		}
	}
	for _, session := range sessions {
		session.Close()
		session.Close()
	}
	flood := strings.Repeat("x", 1<<20)
	for n := 0; ; n++ { // the isolate takes no turns
		if err := d.session.Send([]byte(flood)); err != nil {
			break
		}
		if n > 100 {
			t.Fatal("messages without end")
		}
	}
	turn(t, isolate)
}

func FuzzInspector(f *testing.F) {
	for _, seed := range []string{`{"id":1,"method":"Runtime.enable"}`, `{"id":1,"method":"Debugger.enable","params":{"maxScriptsCacheSize":1}}`,
		`{"id":1,"method":"Runtime.evaluate","params":{"expression":"1+1"}}`, `{"id":2,"method":"Debugger.setBreakpointByUrl","params":{"lineNumber":1,"urlRegex":"("}}`,
		`{"id":3,"method":"Profiler.enable"}`, `{"id":3,"method":"HeapProfiler.enable"}`, `{"id":4,"method":"Schema.getDomains"}`, `[]`, `{"id":-1}`} {
		f.Add([]byte(seed))
	}
	lockThread(f)
	inspector := NewInspector(InspectorOptions{PauseMax: time.Millisecond})
	resolved, err := NewBundle([]Module{{Name: "app.js", Source: []byte("export default { fetch() { return new Response('on') } }")}})
	if err != nil {
		f.Fatal(err)
	}
	app := testRuntime.NewApp(AppOptions{Name: "fuzz", EnvJSON: "{}", Limits: Limits{Heap: 64 << 20, CPU: time.Second}}, resolved)
	f.Fuzz(func(t *testing.T, message []byte) {
		lockThread(t)
		isolate, err := startDebugged(app, inspector)
		if err != nil {
			t.Fatal(err)
		}
		defer isolate.Dispose()
		session, err := inspector.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		go func() {
			for _, err := session.Receive(); err == nil; _, err = session.Receive() {
			}
		}()
		if session.Send(message) == nil {
			_ = isolate.Turn()
			drain(isolate)
		}
	})
}
