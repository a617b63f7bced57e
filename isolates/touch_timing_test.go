package isolates

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// touches are first uses of what is set up when it is first used, by what is used.
var touches = []struct{ name, code string }{
	{"nothing", ""},
	{"Event", `new Event("a")`},
	{"AbortController", `new AbortController().signal`},
	{"DOMException", `new DOMException("a", "AbortError")`},
	{"URL", `new URL("https://example.com/a?b=c").pathname`},
	{"URLSearchParams", `new URLSearchParams("a=b").get("a")`},
	{"URLPattern", `new URLPattern({ pathname: "/a/:b" }).test("https://example.com/a/1")`},
	{"TextEncoder", `new TextEncoder().encode("a")`},
	{"TextDecoder", `new TextDecoder().decode(new Uint8Array([97]))`},
	{"TextDecoder-legacy", `new TextDecoder("shift_jis").decode(new Uint8Array([130, 160]))`},
	{"Blob", `new Blob(["a"]).size`},
	{"FormData", `new FormData().append("a", "b")`},
	{"ReadableStream", `new ReadableStream()`},
	{"TransformStream", `new TransformStream()`},
	{"TextDecoderStream", `new TextDecoderStream()`},
	{"CompressionStream", `new CompressionStream("gzip")`},
	{"console", `console.debug("%o", { a: [1] })`},
	{"structuredClone", `structuredClone({ a: 1 })`},
	{"atob", `atob("YQ==")`},
	{"crypto.randomUUID", `crypto.randomUUID()`},
	{"crypto.subtle", `crypto.subtle.digest("SHA-256", new Uint8Array(1))`},
	{"performance.now", `performance.now()`},
	{"performance.mark", `performance.mark("a")`},
	{"fetch", `fetch("data:,a")`},
	{"WebSocketPair", `new WebSocketPair()`},
	{"MessageChannel", `new MessageChannel()`},
	{"HTMLRewriter", `new HTMLRewriter().on("a", {})`},
	{"WebAssembly", `WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))`},
	{"navigator", `navigator.userAgent`},
	{"scheduler", `scheduler.wait`},
	{"everything", `for (const name of Object.getOwnPropertyNames(globalThis)) globalThis[name]`},
}

// BenchmarkTouch tells what first uses cost an isolate whose process has seen them before: thread CPU of the request
// that does it, and what V8 has in use. "nothing" is what the others are to be compared with.
func BenchmarkTouch(b *testing.B) {
	const count = 60
	for _, touch := range touches {
		b.Run(touch.name, func(b *testing.B) {
			lockThread(b)
			app, err := resolve(b, AppOptions{}, "app.js", "export default { fetch() { "+touch.code+"; return new Response('Hello World') } }")
			if err != nil {
				b.Fatal(err)
			}
			plain := newPlainRequest(b)
			var times []time.Duration
			start := func() (*Isolate, string) {
				isolate, err := startOn(app, -1)
				if err != nil {
					b.Fatal(err)
				}
				begin := threadCPU(b)
				isolate.AddRequest(plain)
				if err := isolate.Turn(); err != nil {
					b.Fatal(err)
				}
				times = append(times, threadCPU(b)-begin)
				var answer string
				for record, ok := isolate.Next(); ok; record, ok = isolate.Next() {
					if record.Kind == KindRespond {
						answer = string(record.Body)
					}
				}
				return isolate, answer
			}
			// The first compiles for all; it tells, too, whether there is such a thing.
			first, answer := start()
			defer first.Dispose()
			if !strings.Contains(answer, "Hello World") {
				b.Skipf("answer %.200q", answer)
			}
			for b.Loop() {
				times = times[:0]
				var used uint64
				for range count {
					isolate, _ := start()
					memory := isolate.Memory()
					used += memory.HeapUsed + memory.External + memory.Malloced
					isolate.Dispose()
				}
				b.ReportMetric(float64(used)/1024/count, "KB-used")
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2])/1000, "us-cpu")
		})
	}
}
