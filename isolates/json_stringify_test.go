package isolates

import (
	"fmt"
	"runtime"
	"testing"

	"nano/isolates/shim"
)

// TestJSONDoesAsV8: what Start tries out succeeds. Otherwise V8's own functions would be used, and nobody notice.
func TestJSONDoesAsV8(t *testing.T) {
	startApp(t, unlimited, "export default { fetch() {} }")
	if runtime.GOARCH == "amd64" && !shim.JSONDoesAsV8() {
		t.Error("V8's objects are not as heap_layout.h says")
	}
}

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
