package isolates

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nano/hostcall"
	"nano/isolates/shim"
	"nano/webapi"
)

// The tests' apps reach what only scripts of the runtime do, by a symbol.
func init() {
	testScripts = []shim.Script{{Name: "99_test", Source: `(function (ops, internals) {
		"use strict";
		Object.defineProperty(globalThis, Symbol.for("nano.test"), { value: () => ({ ops, internals }) });
	})`}}
	for name, f := range testFunctions {
		hostcall.Register(name, f)
		webapi.HostCalls = append(webapi.HostCalls, name)
	}
	slices.Sort(webapi.HostCalls) // the same in all processes
}

// A testValue counts how many of its kind are not closed.
type testValue struct{ text string }

var testValues atomic.Int64

func newTestValue(text string) *testValue {
	testValues.Add(1)
	return &testValue{text}
}

func (v *testValue) Close() error {
	testValues.Add(-1)
	return nil
}

var testFunctions = map[string]hostcall.Func{
	"test_nothing": func(*hostcall.Call) error { return nil },
	"test_sum": func(c *hostcall.Call) error {
		sum := int64(0)
		for _, b := range c.Bytes(0) {
			sum += int64(b)
		}
		c.ReturnInt(sum + c.Int(1))
		return nil
	},
	"test_describe": describeArguments,
	"test_fill": func(c *hostcall.Call) error {
		for i := range c.Bytes(0) {
			c.Bytes(0)[i] = byte(c.Int(1))
		}
		return nil
	},
	"test_bytes": func(c *hostcall.Call) error {
		for i := range c.Len() {
			buffer := c.ReturnBuffer(int(c.Int(i)))
			for k := range buffer {
				buffer[k] = byte(k)
			}
		}
		return nil
	},
	"test_texts": func(c *hostcall.Call) error {
		c.ReturnText("plain")
		c.ReturnText("gr\u00fc\u00df \U0001f600 \xff")
		c.ReturnUnits([]uint16{'u', 0xd83d, 0xde00, 0xd800})
		c.ReturnText(strings.Repeat("long ", 1000))
		c.ReturnNull()
		c.ReturnBool(true)
		c.ReturnFloat(-0.5)
		c.ReturnInt(1 << 40)
		return nil
	},
	"test_error": func(c *hostcall.Call) error {
		c.ReturnObject(newTestValue("lost"), 1)
		switch name := c.Text(0); name {
		case "plain":
			return errors.New("a plain error")
		case "wrapped":
			return fmt.Errorf("wrapped: %w", hostcall.Errorf("DataError", "the data"))
		case "panic":
			panic("a bug")
		case "nil":
			var none *testValue
			_ = none.text
		default:
			return hostcall.Errorf(name, "%s", c.Text(1))
		}
		return nil
	},
	"test_object": func(c *hostcall.Call) error {
		c.ReturnObject(newTestValue(c.Text(0)), int(c.Int(1)))
		return nil
	},
	"test_objects": func(c *hostcall.Call) error {
		c.ReturnInt(1)
		c.ReturnObject(newTestValue("first"), 10)
		c.ReturnObject(newTestValue("second"), 10)
		return nil
	},
	"test_bytes_and_object": func(c *hostcall.Call) error {
		c.ReturnBuffer(int(c.Int(0)))
		c.ReturnObject(newTestValue("behind"), 10)
		return nil
	},
	"test_text_of": func(c *hostcall.Call) error {
		value, ok := hostcall.ObjectOf[*testValue](c, 0)
		if !ok {
			return hostcall.Errorf("TypeError", "no object of the test")
		}
		c.ReturnText(value.text)
		return nil
	},
	"test_spin": func(c *hostcall.Call) error {
		for began := time.Now(); time.Since(began) < time.Duration(c.Int(0))*time.Millisecond; {
			if c.Cancelled() {
				return hostcall.Errorf("AbortError", "cancelled")
			}
		}
		c.ReturnText("done")
		return nil
	},
	"test_deep": func(c *hostcall.Call) error { // moves the stack of the goroutine
		c.ReturnInt(int64(deep(int(c.Int(0)))))
		return nil
	},
}

func deep(levels int) int {
	var frame [1024]byte
	frame[levels%len(frame)] = 1
	if levels == 0 {
		return int(frame[0])
	}
	return deep(levels-1) + int(frame[levels%len(frame)])
}

// describeArguments says what it has been given.
func describeArguments(c *hostcall.Call) error {
	var out strings.Builder
	for i := range c.Len() {
		switch {
		case c.IsNull(i):
			out.WriteString("null")
		case c.IsText(i):
			fmt.Fprintf(&out, "text %q", c.Text(i))
		case c.Object(i) != nil:
			fmt.Fprintf(&out, "object %s", c.Object(i).(*testValue).text)
		case c.Bytes(i) != nil:
			fmt.Fprintf(&out, "bytes %x", c.Bytes(i))
		default:
			fmt.Fprintf(&out, "%v %v %v", c.Float(i), c.Int(i), c.Bool(i))
		}
		out.WriteString("; ")
	}
	c.ReturnText(out.String())
	return nil
}

// hostApp is an app whose fetch() returns what the body gives, as text.
func hostApp(body string) string {
	return `const { ops, internals } = globalThis[Symbol.for("nano.test")]();
		function thrown(f) { try { return String(f()); } catch (error) { return error.name + ": " + error.message + (error instanceof Error); } }
		export default { async fetch(request) { ` + body + ` } }`
}

func hostAnswer(t *testing.T, body string) string {
	t.Helper()
	return string(fetch(t, startApp(t, unlimited, hostApp(body)), get).Body)
}

func TestHostArguments(t *testing.T) {
	got := hostAnswer(t, `
		const { test_describe: describe, test_object } = internals.host;
		const buffer = new ArrayBuffer(4, { maxByteLength: 16 });
		const tracking = new Uint8Array(buffer, 2), fixed = new Uint8Array(buffer, 2, 2);
		const lines = [describe()];
		lines.push(describe("text", "gr\u00fc\u00df \ud83d\ude00 \ud800", "", 1, -1.5, 2**63, NaN, true, false, null, undefined));
		lines.push(describe(new Uint8Array([1, 2, 3]), new Uint16Array([1]).buffer, new DataView(new ArrayBuffer(3), 1), new Float64Array(1)));
		lines.push(describe(new Uint8Array(65).fill(7).subarray(60), new BigInt64Array([1n])));
		lines.push(describe(buffer, tracking, fixed));
		buffer.resize(3);
		lines.push(describe(buffer, tracking, fixed));
		buffer.resize(1);
		lines.push(describe(buffer, tracking, fixed));
		const gone = new Uint8Array(100);
		structuredClone(gone.buffer, { transfer: [gone.buffer] });
		lines.push(describe(gone, gone.buffer, new DataView(new ArrayBuffer(0))));
		lines.push(describe("x".repeat(400) + "\u00fc", "y".repeat(2000).concat("\u20ac").length, test_object("thing", 5)));
		for (const bad of [Symbol("s"), 1n, {}, [], () => 0, new Proxy({}, {}), new Date(0), Object.create(test_object("x", 0))])
			lines.push(thrown(() => describe(bad)));
		lines.push(thrown(() => describe(...new Array(17).fill(1))));
		lines.push(thrown(() => internals.host.none), thrown(() => internals.host[Symbol.iterator]));
		return new Response(lines.join("\n"));`)
	want := strings.Join([]string{
		``,
		`text "text"; text "grüß 😀 �"; text ""; 1 1 false; -1.5 -1 false; 9.223372036854776e+18 9223372036854775807 false; NaN 0 false; 0 0 true; 0 0 false; null; null; `,
		`bytes 010203; bytes 0100; bytes 0000; bytes 0000000000000000; `,
		`bytes 0707070707; bytes 0100000000000000; `,
		`bytes 00000000; bytes 0000; bytes 0000; `,
		`bytes 000000; bytes 00; bytes ; `,
		`bytes 00; bytes ; bytes ; `,
		`bytes ; bytes ; bytes ; `,
		`text "` + strings.Repeat("x", 400) + `ü"; 2001 2001 false; object thing; `,
		strings.TrimSuffix(strings.Repeat("TypeError: a value that native code cannot taketrue\n", 8), "\n"),
		`RangeError: too many argumentstrue`,
		`TypeError: no such native functiontrue`, `undefined`,
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHostResults(t *testing.T) {
	got := hostAnswer(t, `
		const { test_texts, test_bytes, test_nothing, test_sum, test_fill, test_deep, test_objects, test_text_of } = internals.host;
		const lines = [JSON.stringify(test_texts().map((value) => typeof value === "string" && value.length > 100 ? value.length : value))];
		lines.push(test_nothing(), test_sum(new Uint8Array([1, 2, 3]), 4), test_bytes(3) instanceof Uint8Array, test_bytes(3));
		const [a, b, c, d] = test_bytes(0, 500, 1000, 100000);
		lines.push([a, b, c, d].map((bytes) => [bytes.length, bytes.buffer.byteLength, bytes[bytes.length - 1]]).join(" "));
		const target = new Uint8Array(new ArrayBuffer(8), 2, 4);
		test_fill(target, 9);
		lines.push(new Uint8Array(target.buffer));
		lines.push(test_deep(3000));
		const [one, first, second] = test_objects();
		lines.push(one, test_text_of(first), test_text_of(second), Object.getPrototypeOf(first), Reflect.ownKeys(first).length);
		return new Response(lines.join("\n"));`)
	want := strings.Join([]string{
		"[\"plain\",\"grüß 😀 �\",\"u😀\\ud800\",5000,null,true,-0.5,1099511627776]",
		"", "10", "true", "0,1,2", "0,0, 500,500,243 1000,1000,231 100000,100000,159", "0,0,9,9,9,9,0,0", "3001",
		"1", "first", "second", "", "0",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHostErrors(t *testing.T) {
	before := testValues.Load()
	got := hostAnswer(t, `
		const { test_error, test_bytes } = internals.host;
		const lines = [];
		for (const name of ["TypeError", "RangeError", "NotSupportedError", "plain", "wrapped", "panic", "nil"])
			lines.push(thrown(() => test_error(name, "gr\u00fc\u00df")));
		lines.push(thrown(() => test_error("DataError", "x".repeat(5000))).length);
		lines.push(thrown(() => test_bytes(-1)), thrown(() => test_bytes(2 ** 31)));
		try { test_error("NotSupportedError", ""); } catch (error) { lines.push(error instanceof DOMException, error.code); }
		return new Response(lines.join("\n"));`)
	want := strings.Join([]string{
		"TypeError: grüßtrue", "RangeError: grüßtrue", "NotSupportedError: grüßtrue", "OperationError: a plain errortrue",
		"DataError: the datatrue", "OperationError: internal error: a bugtrue",
		"OperationError: internal error: runtime error: invalid memory address or nil pointer dereferencetrue",
		"1030", "RangeError: the result is too largetrue", "RangeError: the result is too largetrue", "true", "9",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if left := testValues.Load() - before; left != 0 {
		t.Errorf("%d values of failed calls were not closed", left)
	}
}

// TestHostObjectsEnd sees objects closed when they were collected, and all of them with the isolate.
func TestHostObjectsEnd(t *testing.T) {
	before := testValues.Load()
	lockThread(t)
	app, err := resolve(t, AppOptions{Limits: Limits{Heap: 64 << 20}}, "app.js", hostApp(`
		const { test_object } = internals.host;
		const kept = (globalThis.kept ??= []);
		for (let i = 0; i < 10; i++) kept.push(test_object("kept", 1000));
		for (let i = 0; i < 5000; i++) test_object("dropped", 100_000);
		return new Response("ok");`))
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	if body := fetch(t, isolate, get).Body; string(body) != "ok" {
		t.Errorf("500 MB of objects that nobody keeps: %s", body)
	}
	external := isolate.Memory().External
	isolate.Collect()
	if left := testValues.Load() - before; left != 10 {
		t.Errorf("%d values after a collection, of which JavaScript keeps 10", left)
	}
	if after := isolate.Memory().External; after > 1<<20 {
		t.Errorf("%d bytes of external memory, %d before the collection", after, external)
	}
	fetch(t, isolate, get)
	isolate.Dispose()
	if left := testValues.Load() - before; left != 0 {
		t.Errorf("%d values are left when the isolate has ended", left)
	}
}

// TestHostObjectsHaveWeight ends an app that keeps too many, in the middle of its turn.
func TestHostObjectsHaveWeight(t *testing.T) {
	before := testValues.Load()
	lockThread(t)
	app, err := resolve(t, AppOptions{Limits: Limits{Heap: 32 << 20}}, "app.js", hostApp(`
		const { test_object } = internals.host;
		globalThis.kept = [];
		for (let i = 0; i < 10_000; i++) globalThis.kept.push(test_object("kept", 1 << 20));
		return new Response("survived");`))
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	request(t, isolate, 1, get)
	if err := isolate.Turn(); err != ErrMemoryLimit {
		t.Errorf("10 GB with a limit of 32 MB: %v", err)
	}
	if made := testValues.Load() - before; made > 64 {
		t.Errorf("%d MB were made with a limit of 32", made)
	}
	drain(isolate)
	isolate.Dispose()
	if left := testValues.Load() - before; left != 0 {
		t.Errorf("%d values are left when the isolate has ended", left)
	}
}

// TestHostResultsAfterFailure returns objects behind a buffer that is too large: nobody has them.
func TestHostResultsAfterFailure(t *testing.T) {
	before := testValues.Load()
	lockThread(t)
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 32 << 20}, hostApp(`
		const { test_bytes_and_object: f, test_nothing } = internals.host;
		const lines = [thrown(() => f(48 << 20)), thrown(() => f(48 << 20)), f(1).length];
		test_nothing(); // tells Go what was dropped
		return new Response(lines.join("\n"));`))
	const refused = "RangeError: Array buffer allocation failedtrue\n"
	if body := fetch(t, isolate, get).Body; string(body) != refused+refused+"2" {
		t.Errorf("got %s", body)
	}
	if left := testValues.Load() - before; left != 1 {
		t.Errorf("%d values are left, of which JavaScript has got one", left)
	}
}

// TestHostResultsAreLimited gives large results to an app: those that it drops are collected, those that it
// keeps are too much for it.
func TestHostResultsAreLimited(t *testing.T) {
	lockThread(t)
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 32 << 20}, hostApp(`
		const { test_bytes } = internals.host;
		let sum = 0;
		for (let i = 0; i < 2000; i++) sum += test_bytes(100_000)[7];
		return new Response(String(sum));`))
	if body := fetch(t, isolate, get).Body; string(body) != "14000" {
		t.Errorf("200 MB of results that nobody keeps: %s", body)
	}
	greedy := startApp(t, Options{Wake: -1, HeapLimit: 32 << 20}, hostApp(`
		const { test_bytes } = internals.host;
		const kept = [];
		for (let i = 0; i < 2000; i++) kept.push(test_bytes(100_000));
		return new Response("survived");`))
	request(t, greedy, 1, get)
	if err := greedy.Turn(); err != ErrMemoryLimit {
		t.Errorf("200 MB of results with a limit of 32: %v", err)
	}
	drain(greedy)
}

// TestHostCallIsNotInterrupted ends an app at its CPU limit while Go runs for it: Go returns first.
func TestHostCallIsNotInterrupted(t *testing.T) {
	watchThread(t)
	isolate := startApp(t, Options{Wake: -1, CPULimit: 10 * time.Millisecond}, hostApp(`
		const { test_spin } = internals.host;
		try {
			globalThis.result = test_spin(500);
		} finally {
			for (;;) test_spin(1);
		}`))
	request(t, isolate, 1, get)
	if err := isolate.Turn(); err != ErrCPULimit {
		t.Errorf("half a second in Go with a limit of 10 ms: %v", err)
	}
	drain(isolate)
	// The thread and its goroutine are as they were.
	runtime.GC()
	if got := string(fetch(t, startApp(t, unlimited, hostApp(`return new Response(internals.host.test_spin(1))`)), get).Body); got != "done" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestHostInContexts calls from contexts of requests.
func TestHostInContexts(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{PerRequest: true}, "app.js", hostApp(`
		const { test_object, test_text_of } = internals.host;
		globalThis.count = (globalThis.count ?? 0) + 1;
		return new Response(test_text_of(test_object(request.url, 10)) + globalThis.count);`))
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer isolate.Dispose()
	for range 5 {
		if body := fetch(t, isolate, get).Body; string(body) != "http://app.test/1" {
			t.Errorf("got %s", body)
		}
	}
}

// TestHostInSnapshots uses functions at the top level. Objects cannot be in a snapshot.
func TestHostInSnapshots(t *testing.T) {
	before := testValues.Load()
	app, built := imageApp(t, AppOptions{}, `
		const { internals } = globalThis[Symbol.for("nano.test")]();
		const { test_sum, test_object } = internals.host;
		const sum = test_sum(new Uint8Array([1, 2]), 3);
		test_object("garbage", 5);
		export default { fetch() { return new Response(sum + " " + test_sum("a", 1) + " " + internals.host.test_sum("b", 0)); } }`)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	if got := fetch(t, startImage(t, app, "snapshot"), get); string(got.Body) != "6 98 98" {
		t.Errorf("got %s", got.Body)
	}
	app, built = imageApp(t, AppOptions{}, `
		const { internals } = globalThis[Symbol.for("nano.test")]();
		const object = internals.host.test_object("kept", 5);
		export default { fetch() { return new Response(internals.host.test_text_of(object)); } }`)
	if want := "app.js:3:33: an object of native code"; !strings.HasPrefix(built.Reason, want) {
		t.Errorf("reason %q, want %q", built.Reason, want)
	}
	if got := fetch(t, startImage(t, app, "cache"), get); string(got.Body) != "kept" {
		t.Errorf("got %s", got.Body)
	}
	if left := testValues.Load() - before; left != 1 {
		t.Errorf("%d values are left, of which an isolate keeps one", left)
	}
}

// TestHostCallAllocatesNothing measures calls of all kinds that need no memory of Go.
func TestHostCallAllocatesNothing(t *testing.T) {
	isolate := startApp(t, unlimited, hostApp(`
		const { test_sum, test_bytes, test_fill } = internals.host;
		const bytes = new Uint8Array(100);
		for (let i = 0; i < 1000; i++) {
			test_sum(bytes, 1);
			test_sum("text", 1);
			test_fill(bytes, 1);
			test_bytes(32);
			test_bytes(2000);
		}
		return new Response("ok");`))
	fetch(t, isolate, get)
	request(t, isolate, 1, get)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := isolate.Turn()
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	drain(isolate)
	if count := after.Mallocs - before.Mallocs; count > 50 {
		t.Errorf("5000 calls make %d allocations", count)
	}
}

func BenchmarkHostCall(b *testing.B) {
	for _, c := range []struct{ name, body string }{
		{"loop only", `sum += i`},
		{"op", `sum += ops.classify(0)`},
		{"nothing", `test_nothing()`},
		{"number", `test_sum(null, 1)`},
		{"text", `test_sum("SHA-256", 1)`},
		{"64 bytes", `test_sum(bytes, 1)`},
		{"result of 32 bytes", `test_bytes(32)`},
		{"result of 64 KiB", `test_bytes(65536)`},
	} {
		b.Run(c.name, func(b *testing.B) {
			isolate := startApp(b, unlimited, hostApp(`
				const { test_nothing, test_sum, test_bytes } = internals.host;
				const bytes = new Uint8Array(new ArrayBuffer(64));
				let sum = 0;
				const n = +request.headers.get("n");
				for (let i = 0; i < n; i++) { `+c.body+`; }
				return new Response(String(sum));`))
			fetch(b, isolate, "GET / HTTP/1.1\nHost: app.test\nN: 20000\n\n")
			b.ResetTimer()
			fetch(b, isolate, fmt.Sprintf("GET / HTTP/1.1\nHost: app.test\nN: %d\n\n", b.N))
		})
	}
}

// The tests of work

// openWork runs an app until it asks for a call on another thread.
func openWork(t *testing.T, isolate *Isolate) (work *hostcall.Work, handle int32) {
	t.Helper()
	request(t, isolate, 1, get)
	if err := isolate.Turn(); err != nil {
		t.Fatal(err)
	}
	for {
		record, ok := isolate.Next()
		if !ok {
			t.Fatal("no call was asked for")
		}
		if record.Kind != KindOpen {
			continue
		}
		if record.What != WhatHost {
			t.Fatalf("opened %d", record.What)
		}
		record.Body = bytes.Clone(record.Body)
		work, err := isolate.NewWork(record)
		if err != nil {
			t.Fatal(err)
		}
		return work, record.Handle
	}
}

func TestHostWork(t *testing.T) {
	before := testValues.Load()
	for _, c := range []struct{ name, call, want string }{
		{"arguments", `"test_describe", "gr\u00fc\u00df", 1.5, true, null, new Uint8Array([1, 2]), test_object("thing", 5), new ArrayBuffer(0)`,
			"text \"grüß\"; 1.5 1 false; 0 0 true; null; bytes 0102; object thing; bytes ; "},
		{"bytes", `"test_bytes", 3, 10, 0, 5000`, "3 10 0 5000"},
		{"one", `"test_sum", new Uint8Array([1, 2]), 3`, "6"},
		{"none", `"test_nothing"`, "undefined"},
		{"error", `"test_error", "DataError", "why"`, "DataError: why"},
		{"panic", `"test_error", "panic"`, "OperationError: internal error: a bug"},
		{"objects", `"test_objects"`, "1 first second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate := startApp(t, unlimited, hostApp(`
				const { test_object, test_text_of } = internals.host;
				const show = (value) => value instanceof Uint8Array ? value.length : typeof value === "object" ? test_text_of(value) : String(value);
				try {
					const result = await internals.hostAsync(`+c.call+`);
					if (!Array.isArray(result)) return new Response(show(result));
					let text = [];
					for (let i = 0; i < result.length; i++) text.push(show(result[i]));
					return new Response(text.join(" "));
				} catch (error) {
					return new Response(error.name + ": " + error.message);
				}`))
			work, handle := openWork(t, isolate)
			isolate.Collect()
			done := make(chan bool)
			go func() {
				work.Run()
				close(done)
			}()
			<-done
			isolate.AddWork(handle, work)
			if got := string(respondOf(t, turn(t, isolate)).Body); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if left := testValues.Load() - before; left != 0 {
		t.Errorf("%d values are left", left)
	}
}

// TestHostWorkOutlivesIsolate runs a work whose isolate has ended: the values that it uses stay until it is over.
func TestHostWorkOutlivesIsolate(t *testing.T) {
	before := testValues.Load()
	lockThread(t)
	app, err := resolve(t, AppOptions{}, "app.js", hostApp(`
		return new Response(await internals.hostAsync("test_describe", internals.host.test_object("thing", 5)));`))
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, -1)
	if err != nil {
		t.Fatal(err)
	}
	work, _ := openWork(t, isolate)
	isolate.Dispose()
	if left := testValues.Load() - before; left != 1 {
		t.Errorf("%d values while the work runs", left)
	}
	work.Run()
	work.Drop()
	if left := testValues.Load() - before; left != 0 {
		t.Errorf("%d values after the work", left)
	}
}

// TestHostWorkKeepsArguments drops an argument and collects garbage before the loop sees the call.
func TestHostWorkKeepsArguments(t *testing.T) {
	lockThread(t)
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 64 << 20}, hostApp(`
		const { test_object } = internals.host;
		const outcome = internals.hostAsync("test_describe", test_object("thing", 5));
		for (let i = 0; i < 5000; i++) test_object("another", 100_000);
		return new Response(await outcome);`))
	work, handle := openWork(t, isolate)
	work.Run()
	isolate.AddWork(handle, work)
	if got := string(respondOf(t, turn(t, isolate)).Body); got != "object thing; " {
		t.Errorf("got %q", got)
	}
}

// TestHostWorkIsCancelled ends works that would run for a minute.
func TestHostWorkIsCancelled(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, end := range map[string]func(*hostcall.Work){
		"cancel": func(work *hostcall.Work) {
			started := make(chan bool)
			go func() {
				close(started)
				work.Cancel()
			}()
			<-started
		},
		"limit": func(work *hostcall.Work) { work.Limit(time.Millisecond) },
	} {
		isolate := startApp(t, unlimited, hostApp(`
			try {
				return new Response(await internals.hostAsync("test_spin", 60_000));
			} catch (error) {
				return new Response(error.name);
			}`))
		work, handle := openWork(t, isolate)
		end(work)
		work.Run()
		isolate.AddWork(handle, work)
		if got := string(respondOf(t, turn(t, isolate)).Body); got != "AbortError" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestHostWorkIsRefused has the loop take no more works.
func TestHostWorkIsRefused(t *testing.T) {
	isolate := startApp(t, unlimited, hostApp(`
		return new Response(await internals.hostAsync("test_nothing").catch((error) =>
			error.name + ": " + error.message + (error instanceof DOMException)));`))
	work, handle := openWork(t, isolate)
	work.Drop()
	isolate.AddEnd(handle, FaultLimit, []byte("too many"))
	if got := string(respondOf(t, turn(t, isolate)).Body); got != "OperationError: too manytrue" {
		t.Errorf("got %q", got)
	}
}

func TestHostWorkAtTopLevel(t *testing.T) {
	_, err := resolve(t, AppOptions{}, "app.js", `
		const { internals } = globalThis[Symbol.for("nano.test")]();
		await internals.hostAsync("test_nothing");
		export default { fetch() {} }`)
	if err != nil {
		t.Fatal(err)
	}
}
