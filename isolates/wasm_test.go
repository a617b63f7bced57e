package isolates

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wasmPrelude makes modules: wasm(sections) of arrays of bytes, and big(bytes), which has that many bytes of code.
const wasmPrelude = `
	const leb = (n) => { const b = []; do { b.push(n > 127 ? n & 127 | 128 : n); n >>>= 7 } while (n > 0); return b };
	const section = (id, bytes) => [id, ...leb(bytes.length), ...bytes];
	const wasm = (...sections) => new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...sections.flat()]);
	const type = section(1, [1, 0x60, 0, 0]), one = section(3, [1, 0]), exported = section(7, [1, 1, 0x66, 0, 0]);
	const code = (...body) => section(10, [1, ...leb(body.length + 2), 0, ...body, 0x0b]);
	const LOOP = [0x03, 0x40, 0x0c, 0, 0x0b], RECURSE = [0x10, 0], TRAP = [0x00];
	const f = (...body) => wasm(type, one, exported, code(...body));
	function big(length) { // one function of 100 KB after the other
		const size = 100_000, count = Math.ceil(length / size), unit = leb(size);
		const head = wasm(type, section(3, [...leb(count), ...new Array(count).fill(0)]));
		const body = new Uint8Array(unit.length + size).fill(1); // nop
		body.set(unit); body[unit.length] = 0; body[body.length - 1] = 0x0b;
		const contents = count * body.length + leb(count).length;
		const all = new Uint8Array(head.length + 1 + leb(contents).length + contents);
		all.set(head); all.set([10, ...leb(contents), ...leb(count)], head.length);
		for (let i = 0, at = all.length - count * body.length; i < count; i++, at += body.length) all.set(body, at);
		return all;
	}
	const response = (bytes, init) => new Response(bytes, { headers: { "content-type": "application/wasm" }, ...init });
`

func wasmApp(body string) string {
	return wasmPrelude + "export default { async fetch(r, env, ctx) {\n" + body + "\n} }"
}

// waker is an isolate whose foreground tasks wake it, as they wake a loop from its ring.
type waker struct {
	*Isolate
	wake int
}

func startWaker(t *testing.T, options Options, source string) waker {
	t.Helper()
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(wake) })
	options.Wake = wake
	return waker{startApp(t, options, source), wake}
}

// answer makes a request and turns whenever there is a reason to, until it is answered or the isolate dies.
func (w waker) answer(t *testing.T, id uint32) (status int, body string, log string, err error) {
	t.Helper()
	request(t, w.Isolate, id, get)
	for {
		err = w.Turn()
		timers := 0
		for _, record := range drain(w.Isolate) {
			switch record.Kind {
			case KindRespond:
				if record.ID == id {
					status, body = int(record.Status), string(record.Body)
				}
			case KindTimerSet:
				w.AddTimer(record.ID)
				timers++
			case KindLog:
				log += string(record.Body) + "\n"
			}
		}
		if status != 0 || err != nil {
			return status, body, log, err
		}
		if timers > 0 {
			continue
		}
		poll := []unix.PollFd{{Fd: int32(w.wake), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 20_000); err != nil && err != unix.EINTR || n == 0 {
			t.Fatalf("no wake-up: %d, %v", n, err)
		}
		var counter [8]byte
		_, _ = unix.Read(w.wake, counter[:]) // EAGAIN: an interrupted poll
	}
}

func TestWasm(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"compile": {`const m = await WebAssembly.compile(f(...TRAP));
			return new Response(WebAssembly.Module.exports(m)[0].name)`, "f"},
		"the caller's bytes may change": {`const bytes = f(...TRAP), compiled = WebAssembly.compile(bytes); bytes.fill(0);
			return new Response(String(await compiled))`, "[object WebAssembly.Module]"},
		"a trap": {`const { instance } = await WebAssembly.instantiate(f(...TRAP));
			try { instance.exports.f() } catch (e) { return new Response(e.constructor === WebAssembly.RuntimeError ? e.message : "no") }`, "unreachable"},
		"one after the other": {`for (let i = 0; i < 300; i++) {
			const { module } = await WebAssembly.instantiate(f()); await WebAssembly.instantiate(module); await WebAssembly.compile(f(...TRAP)) }
			return new Response("done")`, "done"},
		"streaming": {`const m = await WebAssembly.compileStreaming(response(f(...TRAP)));
			return new Response(String(m instanceof WebAssembly.Module))`, "true"},
		"streaming a promise": {`const { module, instance } = await WebAssembly.instantiateStreaming(Promise.resolve(response(f())), {});
			return new Response(String(module instanceof WebAssembly.Module && instance.exports.f() === undefined))`, "true"},
		"streaming byte by byte": {`const bytes = f(); let i = 0;
			const body = new ReadableStream({ async pull(c) { await 0; if (i === bytes.length) c.close(); else c.enqueue(bytes.slice(i, ++i)) } });
			const m = await WebAssembly.compileStreaming(response(body)); return new Response(String(m))`, "[object WebAssembly.Module]"},
		"streaming much": {`const m = await WebAssembly.compileStreaming(response(big(3e6))); return new Response(String(m))`, "[object WebAssembly.Module]"},
		"streaming with an imported string": {`const s = "text/plain, application/wasm".split(", ")[1].toUpperCase();
			const m = await WebAssembly.compileStreaming(new Response(f(), { headers: { "content-type": s } })); return new Response(String(m))`, "[object WebAssembly.Module]"},
		"what streaming refuses": {`const used = response(f()); await used.arrayBuffer();
			const locked = response(f()); locked.body.getReader();
			const failing = new ReadableStream({ pull(c) { c.error(new RangeError("mine")) } });
			const strings = new ReadableStream({ pull(c) { c.enqueue("x") } });
			const type = (t) => new Response(f(), { headers: t === undefined ? {} : { "content-type": t } });
			const all = [undefined, f(), {}, used, locked, response(f(), { status: 404 }), type(), type("application/wasm;"), type("application/wasm\u00a0"),
				type("text/wasm"), response(null), response(new Uint8Array(3)), response(failing), response(strings), Promise.reject(new EvalError())];
			const names = [];
			for (const value of all) names.push(await WebAssembly.compileStreaming(value).catch((e) => e.constructor.name));
			return new Response(names.join())`,
			"TypeError,TypeError,TypeError,TypeError,TypeError,TypeError,TypeError,TypeError,TypeError,TypeError,CompileError,CompileError,RangeError,TypeError,EvalError"},
		"an aborted stream": {`const c = new AbortController();
			const body = new ReadableStream({ start(k) { c.signal.onabort = () => k.error(c.signal.reason) } });
			const compiled = WebAssembly.compileStreaming(response(body)).catch((e) => e.name); await 0; c.abort();
			return new Response(await compiled)`, "AbortError"},
		"interfaces": {`const tag = new WebAssembly.Tag({ parameters: ["i32"] }), e = new WebAssembly.Exception(tag, [7]);
			const g = new WebAssembly.Global({ value: "i64", mutable: true }, 5n);
			return new Response([e.is(tag), e.getArg(tag, 0), g.value, JSON.stringify(g.type()), WebAssembly.JSTag instanceof WebAssembly.Tag,
				new WebAssembly.Table({ element: "externref", initial: 2 }, 9).get(1)].join())`,
			`true,7,5,{"mutable":true,"value":"i64"},true,9`},
		"resizable": {`const m = new WebAssembly.Memory({ initial: 1, maximum: 3 }), b = m.toResizableBuffer(); b.resize(131072);
			return new Response([m.buffer === b, b.byteLength, m.grow(1), b.byteLength].join())`, "true,131072,2,196608"},
		"shared": {`const m = new WebAssembly.Memory({ initial: 1, maximum: 3, shared: true }), b = m.buffer;
			return new Response([b instanceof SharedArrayBuffer, m.grow(1), b.byteLength, m.buffer.byteLength].join())`, "true,1,65536,131072"},
		"deep recursion": {`const { instance } = await WebAssembly.instantiate(f(...RECURSE));
			try { instance.exports.f() } catch (e) { return new Response(e.constructor.name) }`, "RangeError"},
		"patched": {`Response.prototype.arrayBuffer = () => { throw 1 }; Promise.prototype.then; ReadableStream.prototype.getReader = () => { throw 2 };
			Object.defineProperty(Object.prototype, "streaming", { set() { throw 3 } }); Uint8Array.prototype.slice = null;
			return new Response(String(await WebAssembly.compileStreaming(response(f()))))`, "[object WebAssembly.Module]"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate := startWaker(t, Options{HeapLimit: 64 << 20}, wasmApp(c.body))
			if status, body, log, err := isolate.answer(t, 1); status != 200 || body != c.want {
				t.Errorf("got %d %q, not %q; %v\n%s", status, body, c.want, err, log)
			}
		})
	}
}

// What goes on beside the loop is the app's, too.
func TestWasmLimits(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a loop":                      {`(await WebAssembly.instantiate(f(...LOOP))).instance.exports.f()`, "cpu"},
		"a loop at the start":         {`await WebAssembly.instantiate(wasm(type, one, section(8, [0]), code(...LOOP)))`, "cpu"},
		"a loop in a streamed start":  {`await WebAssembly.instantiateStreaming(response(wasm(type, one, section(8, [0]), code(...LOOP))))`, "cpu"},
		"recursion, caught":           {`const { f: g } = (await WebAssembly.instantiate(f(...RECURSE))).instance.exports; for (;;) try { g() } catch {}`, "cpu"},
		"a flood of compilations":     {`const bytes = big(3e6), all = []; for (;;) all.push(WebAssembly.compile(bytes))`, "cpu|memory|RangeError"},
		"compilations are refused":    {`const bytes = big(3e6), all = []; for (let i = 0; i < 30; i++) all.push(WebAssembly.compile(bytes)); await Promise.all(all)`, "RangeError|memory"},
		"a flood of streams":          {`const bytes = big(3e6), all = []; for (let i = 0; i < 30; i++) all.push(WebAssembly.compileStreaming(response(bytes))); await Promise.all(all)`, "RangeError|memory|cpu"},
		"an endless stream":           {`const chunk = new Uint8Array(1 << 20); chunk.set(wasm([0, ...leb(60e6)])); let n = 0; await WebAssembly.compileStreaming(response(new ReadableStream({ pull(c) { c.enqueue(chunk.slice()); n++ } })))`, "RangeError|CompileError|memory|cpu"},
		"a flood of modules":          {`const all = []; for (let i = 0;; i++) all.push(new WebAssembly.Module(wasm(section(0, [1, 65, i & 255, i >> 8 & 255, i >> 16 & 255]), type, one, code())))`, "cpu|memory"},
		"more than a module may be":   {`await WebAssembly.compileStreaming(response(big(5e6).slice(0, -1)))`, "CompileError"},
		"memory that grows":           {`const m = new WebAssembly.Memory({ initial: 0 }); let n = 0; try { for (;;) n = m.grow(16) } catch (e) { throw new TypeError(n < 600 && n > 100 ? "grown" : n) }`, "TypeError: grown|memory"},
		"memories that are resizable": {`const all = []; for (;;) { const m = new WebAssembly.Memory({ initial: 0, maximum: 100 }), b = m.toResizableBuffer(); b.resize(100 * 65536); new Uint8Array(b).fill(1); all.push(m) }`, "memory|RangeError"},
	} {
		t.Run(name, func(t *testing.T) {
			watchThread(t)
			isolate := startWaker(t, Options{HeapLimit: 32 << 20, CPULimit: 100 * time.Millisecond}, wasmApp(c.body))
			status, body, log, err := isolate.answer(t, 1)
			got := fmt.Sprint(status, body, log)
			switch {
			case errors.Is(err, ErrCPULimit):
				got = "cpu"
			case errors.Is(err, ErrMemoryLimit):
				got = "memory"
			}
			for want := range strings.SplitSeq(c.want, "|") {
				if strings.Contains(got, want) {
					return
				}
			}
			t.Errorf("got %s, not %s", got, c.want)
		})
	}
}

// V8's threads may be at work for an isolate that goes away.
func TestIsolateIsDisposedWhileItCompiles(t *testing.T) {
	lockThread(t)
	app, err := resolve(t, AppOptions{Limits: Limits{Heap: 64 << 20}}, "app.js", wasmApp(`
		const never = new ReadableStream({ start(c) { c.enqueue(f(...LOOP).slice(0, 20)) } });
		const compiled = [WebAssembly.compile(big(2e6)), WebAssembly.instantiate(f()), WebAssembly.compileStreaming(response(big(1e6))),
			WebAssembly.compileStreaming(response(never))];
		await Promise.all(compiled)`))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		request(t, isolate, 1, get)
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		isolate.Dispose()
	}
}
