package isolates

import (
	_ "embed"
	"fmt"
	"strconv"
	"testing"
)

//go:embed testdata/json.js
var jsonApp string

// checkJSON has the app compare random documents, with collections between them, and returns how many were parsed by
// ours.
func checkJSON(t testing.TB, isolate *Isolate, seed uint32, count int) int {
	t.Helper()
	got := fetch(t, isolate, fmt.Sprintf("GET / HTTP/1.1\nHost: a\nSeed: %d\nCount: %d\n\n", seed, count))
	parsed, err := strconv.Atoi(string(got.Body))
	if err != nil {
		t.Fatalf("seed %d: %s", seed, got.Body)
	}
	return parsed
}

func TestJSONIsParsedAsByV8(t *testing.T) {
	isolate := startApp(t, unlimited, jsonApp)
	parsed := 0
	for seed := range uint32(20) {
		parsed += checkJSON(t, isolate, seed, 500)
		if seed%4 == 3 {
			isolate.Collect()
		}
	}
	if parsed < 1000 {
		t.Errorf("only %d of 10,000 were parsed", parsed)
	}
}

func FuzzJSON(f *testing.F) {
	for seed := range uint32(8) {
		f.Add(seed + 100)
	}
	f.Fuzz(func(t *testing.T, seed uint32) {
		isolate := startApp(t, unlimited, jsonApp)
		for round := range uint32(3) {
			checkJSON(t, isolate, seed+round*1000003, 200)
			isolate.Collect()
		}
	})
}

// The names of properties are those of setters that must not be called, and Object.prototype has what documents have.
func TestJSONDefinesOwnProperties(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const { ops } = globalThis[Symbol.for("nano.test")]();
		const fail = () => { throw new Error("a setter ran"); };
		Object.defineProperty(Object.prototype, "id", { set: fail, get: fail, configurable: true });
		Object.defineProperty(Array.prototype, "0", { set: fail, get: fail, configurable: true });
		Object.prototype.toJSON = fail;
		Object.freeze(Object.prototype);
		const text = '{"id":1,"list":[{"id":2}],"__proto__":{"id":3}}';
		export default { fetch() {
			let value;
			for (let n = 0; n < 5; n++) value = ops.jsonParse(text);
			return new Response([value.id, value.list[0].id, Object.getOwnPropertyDescriptor(value, "__proto__").value.id,
				Object.getPrototypeOf(value) === Object.prototype].join());
		} }`)
	if got := fetch(t, isolate, get); string(got.Body) != "1,2,3,true" {
		t.Errorf("got %s", got.Body)
	}
}
