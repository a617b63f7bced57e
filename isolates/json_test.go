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

//go:embed testdata/json_optimized.js
var jsonOptimizedApp string

func TestJSONInOptimizedCode(t *testing.T) {
	isolate := startApp(t, unlimited, jsonOptimizedApp)
	for seed := range 12 {
		got := fetch(t, isolate, fmt.Sprintf("GET / HTTP/1.1\nHost: a\nSeed: %d\n\n", seed))
		if string(got.Body) != "same" {
			t.Fatalf("seed %d: %d %s", seed, got.Status, got.Body)
		}
		if seed%3 == 2 {
			isolate.Collect()
		}
	}
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

// Maps belong to a realm: what is parsed in one has its prototypes.
func TestJSONOfManyRealms(t *testing.T) {
	perRequest(t, `
		const { ops } = globalThis[Symbol.for("nano.test")]();
		export default { async fetch(request) {
			const text = await request.text();
			let parsed = 0;
			for (let n = 0; n < 10; n++) {
				const value = ops.jsonParse(text);
				if (value === undefined) continue;
				parsed++;
				for (const each of [value, value.list[0]]) if (Object.getPrototypeOf(each) !== Object.prototype) return new Response("an object's prototype");
				if (Object.getPrototypeOf(value.list) !== Array.prototype || !(value.list instanceof Array)) return new Response("an array's prototype");
				if (JSON.stringify(value) !== text) return new Response(JSON.stringify(value));
			}
			return new Response(parsed > 5 ? "ok" : "parsed " + parsed);
		} }`, func(t *testing.T, isolate *Isolate) {
		for id := range uint32(20) {
			request(t, isolate, id, `POST / HTTP/1.1
Host: a
Content-Length: 29

{"id":1,"list":[{"id":1.5}]}`)
			if got := respondOf(t, turn(t, isolate)); string(got.Body) != "ok" {
				t.Fatalf("request %d: %s", id, got.Body)
			}
			for range 10 {
				isolate.AddSent(id)
				turn(t, isolate)
			}
			if id%8 == 7 {
				isolate.Collect()
			}
			prepare(isolate)
		}
	})
}

// A node of shapes is a few words, and documents with ever new names make no more than some.
func TestJSONWithEverNewNames(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const { ops } = globalThis[Symbol.for("nano.test")]();
		let count = 0;
		export default { fetch() {
			for (let n = 0; n < 20000; n++) {
				const text = '{"' + (count++ % 3 ? "name" + count : "id") + '":{"a' + count % 700 + '":' + count + '},"b":[]}';
				const value = JSON.parse(text);
				if (JSON.stringify(value) !== text) return new Response(text);
			}
			let last;
			for (let n = 0; n < 3000 && last === undefined; n++) last = ops.jsonParse('{"id":1,"at last":2}');
			return new Response(JSON.stringify(last));
		} }`)
	for range 3 {
		if got := fetch(t, isolate, get); string(got.Body) != `{"id":1,"at last":2}` {
			t.Fatalf("got %s", got.Body)
		}
	}
}

// What V8's parser would follow only with much memory of its own is refused as ever, also where shapes are learned.
func TestJSONThatIsTooDeepIsNotLearned(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const text = '[{"new":1},' + "[".repeat(12000) + "]".repeat(12000) + "]";
		export default { fetch() {
			let errors = 0;
			for (let n = 0; n < 20; n++) try { JSON.parse(text); } catch (e) { if (e instanceof RangeError) errors++; }
			return new Response(String(errors));
		} }`)
	if got := fetch(t, isolate, get); string(got.Body) != "20" {
		t.Errorf("got %s", got.Body)
	}
}
