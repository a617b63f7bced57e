package isolates

import (
	"testing"

	"nano/http1"
)

// What a handler costs that fetches: both turns, the one that asks and the one that answers, of many requests
// at once.
func BenchmarkFetch(b *testing.B) {
	const batch = 16
	for _, app := range []struct {
		name, handler string
		streams       bool
	}{
		{"get and text", `const r = await fetch("http://127.0.0.1:9000/path"); return new Response(await r.text())`, false},
		{"post JSON", `const r = await fetch("http://127.0.0.1:9000/path", { method: "POST", body: '{"a":1}',
			headers: { "content-type": "application/json", accept: "application/json" } }); return Response.json(await r.json())`, false},
		{"with a signal", `const { signal } = new AbortController(); const r = await fetch("http://127.0.0.1:9000/path", { signal });
			return new Response(await r.text())`, false},
		{"proxy whole", `return fetch(new Request("http://127.0.0.1:9000/path", request))`, false},
		{"proxy streams", `return fetch(new Request("http://127.0.0.1:9000/path", request))`, true},
		{"fan-out of 3", `const all = await Promise.all([fetch("http://127.0.0.1:9000/a"), fetch("http://127.0.0.1:9000/b"),
			fetch("http://127.0.0.1:9000/c")]); return Response.json(await Promise.all(all.map((r) => r.json())))`, false},
	} {
		b.Run(app.name, func(b *testing.B) {
			isolate := startApp(b, unlimited, `export default { async fetch(request) { `+app.handler+` } }`)
			plain := newPlainRequest(b)
			head := []byte("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n")
			var parsed http1.Head
			if err := parsed.ParseResponse(head, len(head)); err != nil {
				b.Fatal(err)
			}
			response := Response{Status: 200, Head: head, Fields: parsed.Fields, Streams: app.streams}
			if !app.streams {
				response.Body = []byte(`{"a":1}`)
			}
			turn := func() (answered int) {
				if err := isolate.Turn(); err != nil {
					b.Fatal(err)
				}
				for {
					record, ok := isolate.Next()
					if !ok {
						return answered
					}
					switch record.Kind {
					case KindOpen:
						response.Handle = record.Handle
						isolate.AddResponse(&response)
					case KindRespond:
						answered++
					case KindLog:
						b.Fatalf("%s", record.Body)
					}
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += batch {
				for id := range batch {
					plain.ID = uint32(id)
					isolate.AddRequest(plain)
				}
				for answered := 0; answered < batch; {
					answered += turn()
				}
			}
		})
	}
}

// What a message costs that a WebSocket answers, of many messages in a turn.
func BenchmarkWebSocketEcho(b *testing.B) {
	for _, message := range []struct {
		name string
		kind DataKind
	}{{"text", DataText}, {"binary", DataBinary}} {
		b.Run(message.name, func(b *testing.B) {
			isolate := startApp(b, unlimited, `export default { fetch() {
				const [client, server] = Object.values(new WebSocketPair());
				server.accept();
				server.addEventListener("message", ({ data }) => server.send(data));
				return new Response(null, { status: 101, webSocket: client });
			} }`)
			isolate.AddRequest(newPlainRequest(b))
			var handle int32
			written := 0
			turn := func() {
				for isMore := true; isMore; isMore = isolate.Unfinished() {
					if err := isolate.Turn(); err != nil {
						b.Fatal(err)
					}
					for record, ok := isolate.Next(); ok; record, ok = isolate.Next() {
						switch record.Kind {
						case KindRespond:
							handle = record.Source
							isolate.AddOpened(handle, []byte("\n"))
						case KindWrite:
							written++
							if record.Flags&WriteAck != 0 {
								isolate.AddWritten(handle)
							}
						}
					}
				}
			}
			turn()
			turn()
			data := []byte("a message of some twenty bytes or so")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for range 16 {
					isolate.AddData(handle, data, message.kind)
				}
				turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*b.N), "ns/message")
			if written != 16*b.N {
				b.Fatalf("%d of %d messages", written, 16*b.N)
			}
		})
	}
}
