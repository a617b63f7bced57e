package isolates

import (
	"strings"
	"testing"

	"nano/webapi"
)

// TestCryptoKeysEnd: keys that nobody has any more are closed, whether they were made on the loop or elsewhere.
func TestCryptoKeysEnd(t *testing.T) {
	isolate := startApp(t, unlimited, `
		export default { async fetch() {
			for (let i = 0; i < 100; i++) {
				const key = await crypto.subtle.importKey("raw", new Uint8Array(32), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
				await crypto.subtle.sign("HMAC", structuredClone(key), new Uint8Array(8));
			}
			const ec = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
			for (let i = 0; i < 3; i++) {
				const { privateKey } = await crypto.subtle.generateKey(ec, false, ["sign"]);
				await crypto.subtle.sign(ec, privateKey, new Uint8Array(8));
			}
			const password = await crypto.subtle.importKey("raw", new Uint8Array(8), "PBKDF2", false, ["deriveKey"]);
			const pbkdf2 = { name: "PBKDF2", salt: new Uint8Array(8), iterations: 1000, hash: "SHA-256" };
			await crypto.subtle.deriveKey(pbkdf2, password, { name: "AES-GCM", length: 256 }, false, ["encrypt"]);
			new crypto.DigestStream("SHA-256");
			return new Response("done");
		} }`)
	if got, log := answer(t, isolate, 1, get); string(got.Body) != "done" {
		t.Fatalf("%s %s", got.Body, log)
	}
	if made := isolate.isolate.HostObjects().Len(); made == 0 {
		t.Error("there were no keys")
	}
	for range 3 { // what ends one object may keep another until then
		isolate.Collect()
		turn(t, isolate)
	}
	if left := isolate.isolate.HostObjects().Len(); left != 0 {
		t.Errorf("%d keys are left", left)
	}
}

// TestCryptoKeyWeight ends an app that keeps too many keys: their memory counts as the isolate's.
func TestCryptoKeyWeight(t *testing.T) {
	isolate := startApp(t, Options{Wake: -1, HeapLimit: 32 << 20}, `
		const keys = [];
		export default { async fetch() {
			for (let i = 0; i < 1000; i++) {
				const bytes = new Uint8Array(100000);
				keys.push(await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]));
			}
			return new Response("survived");
		} }`)
	request(t, isolate, 1, get)
	if err := isolate.Turn(); err != ErrMemoryLimit {
		t.Errorf("100 MB of keys with a limit of 32: %v", err)
	}
	drain(isolate)
}

// TestCryptoAtTopLevel uses cryptography while the top level runs: digests are in the snapshot, a key that is kept
// keeps the app from having one.
func TestCryptoAtTopLevel(t *testing.T) {
	app, built := imageApp(t, AppOptions{}, `
		const { subtle } = crypto;
		const digest = new Uint8Array(await subtle.digest("SHA-1", new Uint8Array(3)))[0];
		const hmac = { name: "HMAC", hash: "SHA-256" };
		await subtle.sign(hmac, await subtle.importKey("raw", new Uint8Array(1), hmac, true, ["sign"]), new Uint8Array(1));
		let refused = "";
		try {
			await subtle.generateKey(hmac, false, ["sign"]);
		} catch (error) {
			refused = error.message;
		}
		export default { async fetch() {
			const key = await subtle.generateKey(hmac, false, ["sign"]);
			return new Response([digest, (await subtle.sign("HMAC", key, new Uint8Array(8))).byteLength, refused].join());
		} }`)
	if built.Reason != "" {
		t.Fatal(built.Reason)
	}
	const want = "41,32,crypto.subtle.generateKey() is not allowed while a module's top level runs; call it inside fetch()"
	if got, log := answer(t, startImage(t, app, "snapshot"), 1, get); string(got.Body) != want {
		t.Errorf("%s %s", got.Body, log)
	}
	app, built = imageApp(t, AppOptions{}, `
		const hmac = { name: "HMAC", hash: "SHA-256" };
		const key = await crypto.subtle.importKey("raw", new Uint8Array(32), hmac, false, ["sign"]);
		export default { async fetch() {
			return new Response(String((await crypto.subtle.sign("HMAC", key, new Uint8Array(8))).byteLength));
		} }`)
	if want := "app.js:3:"; !strings.HasPrefix(built.Reason, want) {
		t.Errorf("reason %q, want %q", built.Reason, want)
	}
	if got, log := answer(t, startImage(t, app, "cache"), 1, get); string(got.Body) != "32" {
		t.Errorf("%s %s", got.Body, log)
	}
}

// TestCryptoFunctionsTakeAnything calls the functions of webcrypto as no script does: with values of any kind at any
// place. They give results or errors, and none of these is the panic of a bug.
func TestCryptoFunctionsTakeAnything(t *testing.T) {
	var names []string
	for _, name := range webapi.HostCalls {
		if strings.HasPrefix(name, "crypto") {
			names = append(names, name)
		}
	}
	isolate := startApp(t, unlimited, hostApp(`
		const names = "`+strings.Join(names, " ")+`".split(" ");
		const { cryptoDigester, cryptoGenerate } = internals.host;
		const values = [null, undefined, true, false, NaN, -1, 0, 1, 2, 3, 12, 16, 128, 255, 256, 1e9, 2 ** 53, -Infinity, "", "text",
			'{"kty":"oct","k":"AAAA"}', new Uint8Array(0), new Uint8Array([1, 0, 1]), new Uint8Array(16), new ArrayBuffer(64),
			new DataView(new ArrayBuffer(12)), cryptoDigester(1)];
		const usages = [12, 12, 195, 12, 48, 12, 12, 48, 48, 195, 195, 195, 192, 12];
		for (let algorithm = 3; algorithm < 14; algorithm++) { // not RSA: it would be made elsewhere
			const made = cryptoGenerate(false, null, algorithm, 1, 0, 128, true, usages[algorithm]);
			if (Array.isArray(made)) values.push(made[0], made[1]);
			else values.push(made, made, made);
		}
		let state = 1;
		const random = (n) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0, Math.floor(state / 65536) % n);
		const bugs = new Set(), outcomes = new Set();
		for (let i = 0; i < 30000; i++) {
			const name = names[random(names.length)];
			const args = Array.from({ length: random(15) }, () => values[random(values.length)]);
			if (random(4) !== 0) args[0] = true; // a loop waits: nothing may take long
			if (args[0] === false) args[0] = true;
			try {
				internals.host[name](...args);
				outcomes.add(name);
			} catch (error) {
				if (error.message.includes("internal error")) bugs.add(name + ": " + error.message);
				outcomes.add(error.name);
			}
		}
		return new Response(bugs.size === 0 && outcomes.size > 15 ? "ok" : [...bugs, ...outcomes].join("\n"));`))
	if got := string(fetch(t, isolate, get).Body); got != "ok" {
		t.Error(got)
	}
}
