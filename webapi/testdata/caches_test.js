import { equal, rejects, shape, suite, throws } from "./check.js";

const URL_A = "http://host/a";

export default suite({
  "shapes"() {
    shape(Cache, 0, { match: 1, matchAll: 0, add: 1, addAll: 1, put: 2, delete: 1, keys: 0 }, []);
    shape(CacheStorage, 0, { match: 1, has: 1, open: 1, delete: 1, keys: 0 }, ["default"]);
    throws(TypeError, () => new Cache(), "Illegal constructor");
    throws(TypeError, () => new CacheStorage(), "Illegal constructor");
    equal([caches instanceof CacheStorage, caches.default === caches.default], [true, true]);
  },

  async "names"() {
    equal([await caches.has("n"), await caches.delete("n")], [false, false]);
    const cache = await caches.open("n");
    equal([cache instanceof Cache, cache === await caches.open("n"), await caches.has("n")], [true, false, true]);
    await cache.put(URL_A, new Response("n"));
    equal(await (await (await caches.open("n")).match(URL_A)).text(), "n");
    equal((await caches.keys()).includes("n"), true);
    equal(await (await caches.match(URL_A, { cacheName: "n" })).text(), "n");
    equal(await caches.match(URL_A, { cacheName: "m" }), undefined);
    equal([await caches.delete("n"), await caches.has("n")], [true, false]);
    equal(await (await caches.open("n")).match(URL_A), undefined);
    await caches.delete("n");
    await rejects(TypeError, () => caches.open(), "1 argument required");
    await rejects(TypeError, () => CacheStorage.prototype.keys.call({}));
    await rejects(TypeError, () => Cache.prototype.keys.call(null));
  },

  async "put and match"() {
    const cache = await caches.open("match");
    const response = new Response("body", { status: 201, statusText: "Made", headers: { a: "1", "set-cookie": "b=c" } });
    equal(await cache.put(new Request(URL_A + "?x#y", { headers: { d: "e" } }), response), undefined);
    equal(response.bodyUsed, true);
    for (const request of [URL_A + "?x", new Request(URL_A + "?x#z"), new URL(URL_A + "?x")]) {
      const got = await cache.match(request);
      equal([got.status, got.statusText, got.url, got.type, ...got.headers], [201, "Made", "", "default",
        ["a", "1"], ["content-type", "text/plain;charset=UTF-8"], ["set-cookie", "b=c"]]);
      throws(TypeError, () => got.headers.set("a", "2"), "immutable");
      equal([await got.clone().text(), await got.text()], ["body", "body"]);
    }
    equal(await cache.match(URL_A), undefined);
    equal(await (await cache.match(URL_A, { ignoreSearch: true })).text(), "body");
    const head = new Request(URL_A + "?x", { method: "HEAD" });
    equal([await cache.match(head), (await cache.match(head, { ignoreMethod: true })).status], [undefined, 201]);
    await cache.put(URL_A + "?x", new Response(null, { status: 204 }));
    const keys = await cache.keys();
    equal([keys.length, keys[0] instanceof Request, keys[0].url, Object.isFrozen(keys)], [1, true, URL_A + "?x", true]);
    const empty = await cache.match(URL_A + "?x");
    equal([empty.status, empty.body], [204, null]);
    await cache.put(URL_A, new Response(new Blob(["b", "lob"])));
    await cache.put(URL_A + "?s", new Response(ReadableStream.from([new Uint8Array([97]), new Uint8Array([98])])));
    const texts = await Promise.all((await cache.matchAll(URL_A, { ignoreSearch: true })).map((r) => r.text()));
    equal(texts, ["", "blob", "ab"]);
    equal([(await cache.matchAll()).length, await cache.delete(URL_A), await cache.delete(URL_A)], [3, true, false]);
    equal(await cache.delete(URL_A, { ignoreSearch: true }), true);
    equal((await cache.keys()).length, 0);
  },

  async "what varies"() {
    const cache = await caches.open("vary");
    const ask = (value) => new Request(URL_A, { headers: value === undefined ? {} : { "accept-language": value } });
    await cache.put(ask("de"), new Response("de", { headers: { vary: "Accept-Language, x" } }));
    await cache.put(ask("en"), new Response("en", { headers: { vary: "accept-language" } }));
    equal([(await cache.keys()).length, (await cache.keys(ask("en"))).length], [2, 1]);
    equal(await (await cache.match(ask("de"))).text(), "de");
    equal(await (await cache.match(ask("en"))).text(), "en");
    equal(await cache.match(ask()), undefined);
    equal(await (await cache.match(ask(), { ignoreVary: true })).text(), "de");
    await rejects(TypeError, () => cache.put(URL_A, new Response("", { headers: { vary: "a, *" } })), "varies");
  },

  async "what cannot be kept"() {
    const cache = caches.default;
    await rejects(TypeError, () => cache.put("ftp://host/", new Response()), "http:");
    await rejects(TypeError, () => cache.put(new Request(URL_A, { method: "POST" }), new Response()), "GET");
    await rejects(TypeError, () => cache.put(URL_A, new Response("x", { status: 206 })), "206");
    await rejects(TypeError, () => cache.put(URL_A, Response.error()), "cannot be kept");
    await rejects(TypeError, () => cache.put(URL_A, {}), "Response");
    await rejects(TypeError, () => cache.put(URL_A), "2 arguments required");
    const used = new Response("x");
    await used.text();
    await rejects(TypeError, () => cache.put(URL_A, used), "already read");
    await rejects(RangeError, () => cache.put(URL_A, new Response(new ReadableStream({
      pull(controller) { controller.error(new RangeError("mine")); },
    }))), "mine");
    await rejects("QuotaExceededError", () => cache.put(URL_A, new Response(new Uint8Array(33 << 20))), "too large");
    equal((await cache.keys()).length, 0);
  },

  async "the oldest make room"() {
    const cache = await caches.open("room");
    for (let i = 0; i < 5; i++) await cache.put(URL_A + i, new Response(new Uint8Array(9 << 20)));
    equal((await cache.keys()).map(({ url }) => url), [URL_A + 2, URL_A + 3, URL_A + 4]);
    for (let i = 0; i < 1030; i++) await cache.put(URL_A + "/" + i, new Response(null));
    const keys = await cache.keys();
    equal([keys.length, keys[0].url], [1024, URL_A + "/6"]);
    await caches.delete("room");
  },

  async "signals are not kept"() {
    const controller = new AbortController();
    const cache = await caches.open("signals");
    controller.abort();
    await cache.put(new Request(URL_A, { signal: controller.signal }), new Response(""));
    const [request] = await cache.keys();
    equal(request.signal.aborted, false);
    await caches.delete("signals");
  },
});
