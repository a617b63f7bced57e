package isolates

import (
	"strings"
	"testing"
)

// TestResidentFollowsBodies: what large bodies and buffers cost is known after the turn that brought them,
// and given back when the loop is idle, unless the app keeps it.
func TestResidentFollowsBodies(t *testing.T) {
	const size = 24 << 20
	upload := "POST / HTTP/1.1\nHost: h\n\n" + strings.Repeat("x", size)
	get := "GET / HTTP/1.1\nHost: h\n\n"
	for name, test := range map[string]struct {
		handler, input string
		kept           int64
	}{
		"body read":        {`async fetch(r) { return new Response(String((await r.arrayBuffer()).byteLength)) }`, upload, 0},
		"body not read":    {`fetch(r) { return new Response("") }`, upload, 0},
		"body kept":        {`async fetch(r) { globalThis.kept = await r.arrayBuffer(); return new Response("") }`, upload, size},
		"buffer":           {`fetch(r) { new Uint8Array(24 << 20).fill(1); return new Response("") }`, get, 0},
		"buffer kept":      {`fetch(r) { globalThis.kept = new Uint8Array(24 << 20).fill(1); return new Response("") }`, get, size},
		"nothing of these": {`fetch(r) { return new Response("") }`, get, 0},
	} {
		isolate := startApp(t, unlimited, "export default { "+test.handler+" }")
		before := isolate.Resident()
		fetch(t, isolate, test.input)
		grown := isolate.Resident() - before
		if name == "buffer" && grown == 0 {
			continue // collected by the end of the turn already
		}
		if (grown >= size) != (name != "nothing of these") {
			t.Errorf("%s: grown by %d bytes", name, grown)
		}
		for isolate.Prepare() {
		}
		if left := isolate.Resident() - before; left < test.kept-size/8 || left > test.kept+size/8 {
			t.Errorf("%s: %d bytes are left, want %d", name, left, test.kept)
		}
	}
}
