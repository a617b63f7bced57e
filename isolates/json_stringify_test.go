package isolates

import (
	"fmt"
	"testing"
)

// FuzzStringify compares what JSON.stringify makes of random values with what V8's own function makes of them, which
// the apps of webapi/testdata know how to call.
func FuzzStringify(f *testing.F) {
	for seed := range uint32(12) {
		f.Add(1000 + seed)
	}
	f.Fuzz(func(t *testing.T, seed uint32) {
		lockThread(t)
		isolate := startFile(t, "json_fuzz.js")
		text := fmt.Sprintf("GET /?seed=%d&count=200 HTTP/1.1\nHost: a\n\n", seed)
		if answered, log := answer(t, isolate, 1, text); string(answered.Body) != "same" {
			t.Errorf("seed %d: %s %s", seed, answered.Body, log)
		}
	})
}
