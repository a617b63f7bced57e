package isolates

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"nano/isolates/shim"
	"nano/webapi"
)

// fuzzApp calls what apps cannot reach, and the platform that they can, with values of all kinds. The seed says which.
const fuzzApp = `
	const { internals } = globalThis[Symbol.for("nano.test")]();
	let state = 1;
	const random = (n) => {
		state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
		return (state >>> 0) % n;
	};
	const objects = [];
	const detached = () => { const b = new ArrayBuffer(random(200)); structuredClone(b, { transfer: [b] }); return new Uint8Array(b); };
	const shrunk = () => { const b = new ArrayBuffer(64, { maxByteLength: 128 }), v = new Uint8Array(b, 16, 32); b.resize(random(48)); return v; };
	const bytes = (n) => { const b = new Uint8Array(n); for (let i = 0; i < n; i++) b[i] = random(256); return b; };
	const makers = [
		() => undefined, () => null, () => true, () => false, () => 0, () => -1, () => random(20), () => 2 ** 31, () => 2 ** 53, () => -(2 ** 63), () => NaN,
		() => Infinity, () => "", () => "SHA-256", () => "x".repeat(random(3000)), () => "\ud800", () => "gr\u00fc\u00df \u{1f600}".repeat(random(100)),
		() => Symbol("s"), () => 1n, () => ({}), () => [], () => () => 0, () => new Proxy({}, {}), () => Object.create(null), () => new Date(),
		() => bytes(random(64)), () => bytes(random(5000)), () => bytes(64).buffer, () => new Float64Array(random(9)), () => new DataView(new ArrayBuffer(9), 3),
		detached, shrunk, () => new Uint8Array(new ArrayBuffer(8, { maxByteLength: 64 })),
		() => objects.length ? objects[random(objects.length)] : null, () => objects.length ? objects[random(objects.length)] : null,
		() => ({ get a() { throw new RangeError("a"); }, valueOf() { throw new TypeError("v"); }, toString() { throw 5; }, [Symbol.iterator]: 3 }),
	];
	const value = () => makers[random(makers.length)]();
	const list = () => { const all = []; for (let n = random(8); n > 0; n--) all.push(value()); return all; };
	const note = (result) => {
		for (const each of Array.isArray(result) ? result : [result]) {
			if (typeof each === "object" && each !== null && Object.getPrototypeOf(each) === null) objects[objects.length < 30 ? objects.length : random(30)] = each;
		}
	};
	const platform = [
		(...a) => new CompressionStream(a[0]), (...a) => new DecompressionStream(a[0]),
		async (a) => { const s = new DecompressionStream(["gzip", "deflate", "deflate-raw", "brotli"][random(4)]); const w = s.writable.getWriter(); w.write(a).catch(() => 0); w.close().catch(() => 0); await new Response(s.readable).bytes(); },
		async (a) => { const s = new CompressionStream(["gzip", "deflate", "deflate-raw", "brotli"][random(4)]); const w = s.writable.getWriter(); w.write(a).catch(() => 0); w.close().catch(() => 0); await new Response(s.readable).bytes(); },
		(...a) => structuredClone(a[0], a[1]), (...a) => new TextDecoder(a[0], a[1]).decode(a[2]), (...a) => new TextEncoder().encodeInto(a[0], a[1]),
		(...a) => new URL(a[0], a[1]), (...a) => new Headers(a[0]), (...a) => new Response(a[0], a[1]), (...a) => new Request(a[0], a[1]),
		(...a) => atob(a[0]), (...a) => btoa(a[0]), (...a) => new Blob(a[0], a[1]), (...a) => crypto.subtle.digest(a[0], a[1]),
		(...a) => crypto.getRandomValues(a[0]), (...a) => new URLSearchParams(a[0]), (...a) => new FormData(a[0]), (...a) => console.log(...a),
	];
	export default { async fetch(request) {
		state = +request.headers.get("seed") || 1;
		const names = JSON.parse(request.headers.get("names"));
		for (let n = +request.headers.get("n"); n > 0; n--) {
			try {
				if (random(4) === 0) Promise.resolve(platform[random(platform.length)](...list())).catch(() => 0);
				else note(internals.host[names[random(names.length)]](...list()));
			} catch {}
		}
		return new Response("survived");
	} }`

// FuzzCalls calls all functions of Go and much of the platform, and by that the ops, with random and hostile values.
// Whatever they make of them, nothing must crash, hang, or be left behind. The ops themselves trust their callers, the
// runtime's scripts, which apps cannot reach.
func FuzzCalls(f *testing.F) {
	var names []string
	for _, name := range webapi.HostCalls {
		switch name {
		case "test_spin", "test_deep", "test_bytes": // they do as they are told
		default:
			names = append(names, strconv.Quote(name))
		}
	}
	for seed := range uint32(12) {
		f.Add(seed + 1)
	}
	f.Fuzz(func(t *testing.T, seed uint32) {
		watchThread(t)
		before := testValues.Load()
		app, err := resolve(t, AppOptions{Limits: Limits{Heap: 64 << 20, CPU: 10 * time.Second}}, "app.js", fuzzApp)
		if err != nil {
			t.Fatal(err)
		}
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		request(t, isolate, 1, fmt.Sprintf("GET / HTTP/1.1\nHost: a\nSeed: %d\nN: 300\nNames: [%s]\n\n", seed, strings.Join(names, ",")))
		err = isolate.Turn()
		records := drain(isolate)
		switch err {
		case nil:
			if body := respondOf(t, records).Body; string(body) != "survived" {
				t.Errorf("answered %s", body)
			}
		case ErrMemoryLimit, ErrCPULimit:
		default:
			t.Error(err)
		}
		isolate.Dispose()
		if left := testValues.Load() - before; left != 0 {
			t.Errorf("%d values are left", left)
		}
	})
}

// FuzzLinearize changes a word of a snapshot of V8's. What reads it must find that out, or make something of it.
func FuzzLinearize(f *testing.F) {
	plain := shim.V8Snapshot()
	if shim.SnapshotForm != "" && shim.Linearize(plain) == nil {
		f.Fatal("V8's own snapshot has no linear form")
	}
	for place := uint32(0); place < uint32(len(plain)); place += 997 {
		f.Add(place, uint32(1)<<(place%32))
	}
	f.Fuzz(func(t *testing.T, place, change uint32) {
		damaged := append([]byte(nil), plain...)
		at := int(place % uint32(len(damaged)-3))
		binary.LittleEndian.PutUint32(damaged[at:], binary.LittleEndian.Uint32(damaged[at:])^change)
		shim.Linearize(damaged)
		shim.Linearize(damaged[:at])
	})
}
