package isolates

import (
	"bytes"
	"testing"

	"nano/http1"
)

// Bodies that go through JavaScript in chunks of 16 KiB and 64 KiB, by how the app reads them; per 16 MiB.
func BenchmarkBodies(b *testing.B) {
	for _, app := range []struct{ name, code string }{
		{"text", `return new Response((await r.text()).length)`},
		{"bytes", `return new Response((await r.bytes()).length)`},
		{"iterator", `let n = 0; for await (const part of r.body) n += part.length; return new Response(n)`},
		{"reader", `let n = 0; const reader = r.body.getReader(); for (;;) { const { done, value } = await reader.read(); if (done) break; n += value.length } return new Response(n)`},
		{"byob", `let n = 0; const reader = r.body.getReader({ mode: "byob" }); let view = new Uint8Array(65536); for (;;) { const { done, value } = await reader.read(view); if (done) break; n += value.length; view = new Uint8Array(value.buffer) } return new Response(n)`},
		{"transform", `return new Response(r.body.pipeThrough(new TransformStream({ transform(part, c) { c.enqueue(part) } })))`},
		{"identity", `return new Response(r.body.pipeThrough(new IdentityTransformStream()))`},
		{"tee", `const [x, y] = r.body.tee(); y.cancel(); return new Response(x)`},
	} {
		for _, size := range []int{16 << 10, 64 << 10} {
			name := app.name + "/16K"
			if size > 16<<10 {
				name = app.name + "/64K"
			}
			b.Run(name, func(b *testing.B) {
				isolate := startApp(b, unlimited, `export default { async fetch(r) { `+app.code+` } }`)
				head := []byte("POST / HTTP/1.1\r\nHost: h\r\n\r\n")
				var parsed http1.Head
				if err := parsed.Parse(head, 1<<15); err != nil {
					b.Fatal(err)
				}
				chunk := bytes.Repeat([]byte("x"), size)
				const total = 16 << 20
				b.SetBytes(total)
				for b.Loop() {
					isolate.AddRequest(&Request{ID: 1, Head: head, Parsed: &parsed, RemoteAddress: []byte("a"), Streams: true, Length: -1})
					pass(b, isolate, chunk, total)
				}
			})
		}
	}
}

// pass plays the loop until the request is over.
func pass(b *testing.B, isolate *Isolate, chunk []byte, total int) {
	window, given, isOver := 0, 0, false
	pending := false
	for {
		if err := isolate.Turn(); err != nil {
			b.Fatal(err)
		}
		for record, ok := isolate.Next(); ok; record, ok = isolate.Next() {
			switch record.Kind {
			case KindRead:
				window += int(record.Number)
			case KindChunk:
				isolate.AddSent(1)
			case KindRespond:
				if pending = record.Pending; !pending && !record.Streaming {
					return
				}
			case KindSettled:
				return
			}
			if !record.Block.IsZero() {
				FreeBlock(record.Block)
			}
		}
		for window > 0 && given < total {
			isolate.AddData(BodyHandle(1), chunk, DataBytes)
			window -= len(chunk)
			given += len(chunk)
		}
		if given >= total && !isOver {
			isOver = true
			isolate.AddEnd(BodyHandle(1), FaultNone, nil)
		}
	}
}
