import { equal, rejects, REQUEST_BODY, REQUEST_HEADERS, shape, suite, throws } from "./check.js";

const URL_A = "https://example.com/a";

export default suite({
  "interface"() {
    shape(Request, 1, { arrayBuffer: 0, blob: 0, bytes: 0, formData: 0, json: 0, text: 0, clone: 0 }, [
      "method", "url", "headers", "destination", "referrer", "referrerPolicy", "mode", "credentials", "cache",
      "redirect", "integrity", "keepalive", "duplex", "isReloadNavigation", "isHistoryNavigation", "signal", "body",
      "bodyUsed",
    ]);
    const { isReloadNavigation, isHistoryNavigation } = new Request(URL_A);
    equal([isReloadNavigation, isHistoryNavigation], [false, false]);
    equal(Object.prototype.toString.call(new Request(URL_A)), "[object Request]");
    throws(TypeError, () => Request(URL_A));
    throws(TypeError, () => new Request(), "1 argument required, but only 0 present");
  },

  async "GET incoming"(request, env, ctx) {
    equal(request instanceof Request, true);
    equal(request.method, "GET");
    equal(request.url, "http://example.com/GET%20incoming");
    equal(request.body, null);
    equal(request.bodyUsed, false);
    equal(await request.text(), "");
    equal(request.bodyUsed, false);
    equal(request.signal.aborted, false);
    equal(request.signal, request.signal);
    equal(request.redirect, "manual");
    equal(ctx.remoteAddress, "192.0.2.1:1234");
  },

  async "incoming"(request) {
    equal(request.method, "POST");
    equal(request.url, "http://example.com/incoming");
    equal(request.headers.get("content-type"), REQUEST_HEADERS[0][1]);
    equal(request.bodyUsed, false);
    equal(await request.text(), REQUEST_BODY);
    equal(request.bodyUsed, true);
    await rejects(TypeError, () => request.text(), "unusable");
    await rejects(TypeError, () => request.json(), "unusable");
    throws(TypeError, () => request.clone(), "unusable");
    throws(TypeError, () => new Request(request), "unusable");
  },

  async "incoming, copied by the constructor"(request) {
    const copy = new Request(request, { headers: { a: "b" } });
    equal(request.bodyUsed, true);
    equal(copy.url, request.url);
    equal(copy.method, "POST");
    equal([...copy.headers], [["a", "b"]]);
    equal(await copy.text(), REQUEST_BODY);
    await rejects(TypeError, () => request.text());
  },

  async "incoming, with another body"(request) {
    const copy = new Request(request, { body: "new", method: "put" });
    equal(copy.method, "PUT");
    equal(copy.headers.get("content-type"), "text/plain");
    equal(await copy.text(), "new");
    equal(await request.text(), REQUEST_BODY);
  },

  async "incoming, cloned"(request) {
    const clone = request.clone();
    equal(await clone.text(), REQUEST_BODY);
    equal(request.bodyUsed, false);
    const second = request.clone();
    equal(await request.text(), REQUEST_BODY);
    equal(await second.text(), REQUEST_BODY);
    equal(second.headers.get("x-multi"), "a, b");
  },

  async "incoming, as stream"(request) {
    const { body } = request;
    equal(body instanceof ReadableStream, true);
    equal(request.body, body);
    equal(request.bodyUsed, false);
    const reader = body.getReader();
    await rejects(TypeError, () => request.text(), "unusable");
    let text = "";
    const decoder = new TextDecoder();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    equal(text, REQUEST_BODY);
    equal(request.bodyUsed, true);
  },

  async "incoming, stream made but not read"(request) {
    request.body;
    equal(await request.text(), REQUEST_BODY);
    equal(request.bodyUsed, true);
    equal(request.body.locked, true);
  },

  async "incoming, body after use"(request) {
    await request.arrayBuffer();
    const { body } = request;
    equal(body instanceof ReadableStream, true);
    equal(request.bodyUsed, true);
    equal(body.locked, true);
    throws(TypeError, () => body.getReader(), "locked");
  },

  async "a request made of another one leaves it its stream, which is locked"() {
    const bodies = [() => "abc", () => new Uint8Array([97, 98, 99]), () => new Blob(["a", "bc"]),
      () => ReadableStream.from([new Uint8Array([97, 98, 99])])];
    for (const make of bodies) {
      const first = new Request(URL_A, { method: "POST", body: make(), duplex: "half" });
      const { body } = first;
      const second = new Request(first);
      equal([first.body === body, body.locked, first.bodyUsed, second.bodyUsed], [true, true, true, false]);
      equal(second.body === body, false);
      await rejects(TypeError, () => first.text(), "already read");
      equal(await second.clone().text(), "abc");
      equal(await second.text(), "abc");
    }
  },

  async "an incoming one with another URL"(request) {
    const passed = new Request("http://origin/x?y#z", request);
    equal([passed.url, passed.method, passed.redirect], ["http://origin/x?y#z", "POST", "manual"]);
    equal(request.bodyUsed, false);
    passed.headers.set("X-Other", "1");
    passed.headers.delete("cookie");
    equal([passed.headers.get("x-other"), passed.headers.has("cookie"), passed.headers.get("x-multi")], ["1", false, "a, b"]);
    equal([request.headers.get("x-other"), request.headers.get("cookie")], [null, "c=1; d=2"]);
    throws(TypeError, () => request.headers.set("a", "b"), "immutable");
    const changed = new Request("http://origin/", passed);
    equal([changed.headers.get("x-other"), changed.headers === passed.headers], ["1", false]);
    const both = new Request(new Request("http://origin/other", request), { method: "PUT" });
    equal([both.url, both.method, both.headers.get("cookie")], ["http://origin/other", "PUT", "c=1; d=2"]);
    both.headers.set("cookie", "e=3");
    equal(request.headers.get("cookie"), "c=1; d=2");
    equal(await both.text(), REQUEST_BODY);
    equal([request.bodyUsed, passed.bodyUsed], [true, true]);
    throws(TypeError, () => new Request("http://origin/", request), "unusable");
    throws(TypeError, () => new Request("http://u:p@origin/", request), "credentials");
    equal(new Request("blob:null/x", new Request(URL_A)).url, "blob:null/x");
  },

  "mode no-cors"() {
    const headers = { accept: "a/b", "accept-language": "de, en;q=0.5", "content-type": "text/plain;a=b", range: "x",
      authorization: "secret", "x-other": "y" };
    const request = new Request(URL_A, { mode: "no-cors", headers });
    equal([...request.headers], [["accept", "a/b"], ["accept-language", "de, en;q=0.5"],
      ["content-type", "text/plain;a=b"]]);
    request.headers.set("accept", "c".repeat(128));
    request.headers.append("accept", "d");
    request.headers.set("content-type", "application/json");
    request.headers.append("authorization", "x");
    equal([...request.headers.values()], ["c".repeat(128), "de, en;q=0.5", "text/plain;a=b"]);
    for (const value of ["a\"b", "a(b", "a:b", "a<b", "a?b", "a@b", "a[b", "a{b", "a\x7fb", "a\x01b"]) {
      request.headers.set("accept", value);
      equal(request.headers.get("accept"), "c".repeat(128), value);
    }
    request.headers.set("accept-language", "a_b");
    equal(request.headers.get("accept-language"), "de, en;q=0.5");
    request.headers.delete("accept");
    equal(request.clone().headers.has("accept"), false);
    request.clone().headers.set("x-other", "z");
    equal(request.headers.has("x-other"), false);
    throws(TypeError, () => new Request(URL_A, { mode: "no-cors", method: "PUT" }), "no-cors");
    const post = new Request(URL_A, { mode: "no-cors", method: "POST", body: new Blob([], { type: "a/b" }) });
    equal([...post.headers], []);
    equal([...new Request(new Request(URL_A, { headers }), { mode: "no-cors" }).headers].length, 3);
  },

  "Headers with another iterator"() {
    const headers = new Headers({ a: "1" });
    headers[Symbol.iterator] = function* () { yield ["b", "2"]; };
    equal([...new Headers(headers).keys()], ["b"]);
    Object.defineProperty(headers, Symbol.iterator, { value: undefined, enumerable: false });
    equal([...new Request(URL_A, { headers }).headers], []);
  },

  "constructor"() {
    const request = new Request("HTTPS://Example.com:443/a/../b?c#d");
    equal(request.url, "https://example.com/b?c#d");
    equal(request.method, "GET");
    equal([...request.headers], []);
    equal([request.mode, request.credentials, request.cache, request.redirect],
      ["cors", "same-origin", "default", "follow"]);
    equal([request.referrer, request.referrerPolicy, request.integrity, request.keepalive],
      ["about:client", "", "", false]);
    equal([request.destination, request.duplex], ["", "half"]);
    equal(new Request(new URL(URL_A)).url, URL_A);
    equal(new Request({ toString: () => URL_A }).url, URL_A);
    equal(new Request(URL_A, null).url, URL_A);
    for (const bad of ["/relative", "", "http://", "https://user@example.com/", "https://u:p@example.com/"]) {
      throws(TypeError, () => new Request(bad));
    }
    throws(TypeError, () => new Request("https://:password@example.com/"), "credentials");
    for (const bad of [1, "init", true]) throws(TypeError, () => new Request(URL_A, bad));
  },

  "methods"() {
    const method = (name) => new Request(URL_A, { method: name }).method;
    for (const name of ["delete", "get", "head", "options", "post", "put"]) equal(method(name), name.toUpperCase());
    equal(method("patch"), "patch");
    equal(method("PATCH"), "PATCH");
    equal(method("Foo-Bar!"), "Foo-Bar!");
    for (const bad of ["CONNECT", "trace", "Track", "", "a b", "a\n", "\u00e9", "\u0100", "(x)"]) {
      throws(TypeError, () => method(bad));
    }
    equal(new Request(new Request(URL_A, { method: "POST" })).method, "POST");
  },

  "options"() {
    const request = new Request(URL_A, {
      cache: "no-store", credentials: "omit", integrity: "x", keepalive: 1, mode: "same-origin", redirect: "error",
      referrer: "", referrerPolicy: "origin", priority: "high",
    });
    const seen = (r) => [r.cache, r.credentials, r.integrity, r.keepalive, r.mode, r.redirect, r.referrer,
      r.referrerPolicy];
    const want = ["no-store", "omit", "x", true, "same-origin", "error", "", "origin"];
    equal(seen(request), want);
    equal(seen(request.clone()), want);
    equal(seen(new Request(request, { redirect: "manual" })), want.with(5, "manual"));
    equal(seen(request), want);
    equal(new Request(URL_A, { cache: "only-if-cached", mode: "same-origin" }).cache, "only-if-cached");
    for (const bad of [
      { cache: "x" }, { credentials: "x" }, { mode: "x" }, { mode: "navigate" }, { redirect: "x" }, { priority: "x" },
      { referrerPolicy: "x" }, { duplex: "full" }, { window: 1 }, { cache: "only-if-cached" }, { referrer: "http://" },
      { signal: {} }, { signal: 1 }, { headers: 1 }, { headers: null }, { method: Symbol("s") },
    ]) throws(TypeError, () => new Request(URL_A, bad));
    equal(new Request(URL_A, { signal: null, window: null }).signal.aborted, false);
  },

  async "bodies"() {
    const post = (body, init) => new Request(URL_A, { method: "POST", body, ...init });
    equal(await post("text").text(), "text");
    equal(post("text").headers.get("content-type"), "text/plain;charset=UTF-8");
    equal(post("x", { headers: { "Content-Type": "a/b" } }).headers.get("content-type"), "a/b");
    equal(post(null).body, null);
    for (const method of ["GET", "HEAD"]) throws(TypeError, () => new Request(URL_A, { method, body: "" }), "body");
    throws(TypeError, () => new Request(post("x"), { method: "GET" }), "body");
    const stream = () => new ReadableStream({ start: (controller) => controller.close() });
    throws(TypeError, () => post(stream()), "duplex");
    throws(TypeError, () => post(stream(), { duplex: "half", keepalive: true }), "keepalive");
    throws(TypeError, () => post(stream(), { duplex: "half", mode: "no-cors" }));
    equal(await post(stream(), { duplex: "half" }).text(), "");
    const source = post("moved");
    equal(await new Request(source).text(), "moved");
    equal(source.bodyUsed, true);
  },

  "signals follow their source"() {
    const controller = new AbortController();
    const request = new Request(URL_A, { signal: controller.signal });
    equal(request.signal === controller.signal, false);
    const clone = request.clone();
    const copy = new Request(clone);
    equal([request.signal.aborted, clone.signal.aborted, copy.signal.aborted], [false, false, false]);
    controller.abort("why");
    equal([request.signal.aborted, clone.signal.aborted, copy.signal.aborted], [true, true, true]);
    equal(copy.signal.reason, "why");
    equal(new Request(request).signal.reason, "why");
    equal(new Request(request, { signal: null }).signal.aborted, false);
  },

  async "a Request as init"(request) {
    const passed = new Request("http://other/", request);
    equal([passed.url, passed.method, passed.redirect, passed.headers.get("x-multi")], ["http://other/", "POST", "manual", "a, b"]);
    passed.headers.set("x-multi", "c");
    equal(request.headers.get("x-multi"), "a, b");
    equal(passed.body, request.body); // one stream, as if it had been given as a member
    equal(request.bodyUsed, false);
    equal((await passed.text()).length > 0, true);
    equal(request.bodyUsed, true);
    throws(TypeError, () => new Request("http://other/", request), "unusable");
    await rejects(TypeError, () => request.text(), "unusable");
    const text = new Request("http://a/", { method: "POST", body: "text", referrer: "", cache: "no-store" });
    const other = new Request("http://b/", text);
    equal([other.referrer, other.cache, await text.text(), other.bodyUsed], ["", "no-store", "text", true]);
    const controller = new AbortController();
    const first = new Request("http://a/", { signal: controller.signal });
    const second = new Request("http://b/", first);
    controller.abort();
    equal([second.signal.aborted, second.body], [true, null]);
    class Other extends Request {
      get method() { return "PUT"; }
    }
    equal(new Request("http://b/", new Other("http://a/")).method, "PUT");
    const own = new Request("http://a/");
    Object.defineProperty(own, "method", { value: "DELETE" });
    equal(new Request("http://b/", own).method, "DELETE");
  },

  "a third argument means nothing"() {
    const request = new Request(URL_A, undefined, 5);
    equal(request.url, URL_A);
    for (const token of [{ __proto__: null }, Object.create(null)]) {
      throws(TypeError, () => new Request(token, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0));
    }
  },
});
