import { equal, fromUtf8, rejects, shape, suite, throws, utf8 } from "./check.js";

const typeOf = (body, init) => new Response(body, init).headers.get("content-type");

export default suite({
  "interface"() {
    shape(Response, 0, { arrayBuffer: 0, blob: 0, bytes: 0, formData: 0, json: 0, text: 0, clone: 0 },
      ["type", "url", "redirected", "status", "ok", "statusText", "headers", "body", "bodyUsed", "webSocket"],
      { error: 0, json: 1, redirect: 1 });
    equal(Object.prototype.toString.call(new Response()), "[object Response]");
    throws(TypeError, () => Response());
  },

  "defaults"() {
    for (const response of [new Response(), new Response(null), new Response(undefined, null), new Response(null, {})]) {
      equal([response.status, response.statusText, response.ok, response.type, response.url, response.redirected],
        [200, "", true, "default", "", false]);
      equal(response.body, null);
      equal([...response.headers], []);
      equal(response.headers, response.headers);
    }
    for (const bad of [1, "x", true]) throws(TypeError, () => new Response("", bad));
  },

  "status"() {
    for (const status of [200, 201, 299, 404, 599, "404", 200.9, 200 + 65536]) {
      equal(new Response(null, { status }).status, Math.trunc(status) % 65536);
    }
    for (const status of [0, 1, 100, 101, 199, 600, 1000, -1, NaN, null]) {
      throws(RangeError, () => new Response(null, { status }), "outside the range");
    }
    equal([new Response(null, { status: 299 }).ok, new Response(null, { status: 300 }).ok], [true, false]);
    for (const status of [204, 205, 304]) {
      equal(new Response(null, { status }).status, status);
      throws(TypeError, () => new Response("", { status }), "null body status");
      throws(TypeError, () => new Response(new Uint8Array(0), { status }));
    }
  },

  "statusText"() {
    equal(new Response(null, { statusText: "I'm a\tpot \u00ff" }).statusText, "I'm a\tpot \u00ff");
    for (const statusText of ["a\n", "\r", "\u0000", "\u007f", "\u0100"]) {
      throws(TypeError, () => new Response(null, { statusText }));
    }
  },

  "headers from init"() {
    const response = new Response(null, { headers: { "X-A": "1", "x-a": " 2 ", "Content-Length": "7" } });
    equal([...response.headers], [["content-length", "7"], ["x-a", "1, 2"]]);
    response.headers.set("x-a", "3");
    equal(response.headers.get("X-A"), "3");
    equal(new Response(null, { headers: [["a", "b"]] }).headers.get("a"), "b");
    equal(new Response(null, { headers: new Headers({ a: "b" }) }).headers.get("a"), "b");
    equal(new Response(null, { headers: { empty: "" } }).headers.get("empty"), "");
    equal(new Response(null, { headers: { time: "a: b" } }).headers.get("time"), "a: b");
    for (const headers of [null, 1, "x", { "a b": "c" }, { a: "b\nc" }, { a: "\u0100" }, { [Symbol("s")]: "x" }]) {
      throws(TypeError, () => new Response(null, { headers }));
    }
    class Init { own = "1"; }
    Init.prototype.inherited = "2";
    equal([...new Response(null, { headers: new Init() }).headers], [["own", "1"]]);
  },

  "content-type of bodies"() {
    equal(typeOf("x"), "text/plain;charset=UTF-8");
    equal(typeOf(""), "text/plain;charset=UTF-8");
    equal(typeOf(new URLSearchParams("a=b")), "application/x-www-form-urlencoded;charset=UTF-8");
    equal(typeOf(new Uint8Array(1)), null);
    equal(typeOf(new Blob(["x"], { type: "Text/X" })), "text/x");
    equal(typeOf(new Blob(["x"])), null);
    equal(typeOf(new ReadableStream()), null);
    equal(typeOf(new FormData()).startsWith("multipart/form-data; boundary="), true);
    equal(typeOf("x", { headers: { "Content-type": "a/b" } }), "a/b");
    equal(typeOf("x", { headers: [["CONTENT-TYPE", "a/b"]] }), "a/b");
    equal(typeOf("x", { headers: { a: "b" } }), "text/plain;charset=UTF-8");
    equal(typeOf("x", { headers: new Headers() }), "text/plain;charset=UTF-8");
    equal(typeOf("x", { headers: { "content-type": "" } }), "");
    equal(typeOf(12), "text/plain;charset=UTF-8");
  },

  async "json()"() {
    const response = Response.json({ a: [1, "\u00e9"] });
    equal(response.headers.get("content-type"), "application/json");
    equal(await response.clone().text(), '{"a":[1,"\u00e9"]}');
    equal((await response.json()).a, [1, "\u00e9"]);
    const other = Response.json(null, { status: 201, statusText: "x", headers: { "content-type": "a/b", c: "d" } });
    equal([other.status, other.statusText, await other.text()], [201, "x", "null"]);
    equal([...other.headers], [["c", "d"], ["content-type", "a/b"]]);
    equal(Response.json(1, { headers: { c: "d" } }).headers.get("content-type"), "application/json");
    throws(TypeError, () => Response.json(), "1 argument required");
    for (const bad of [undefined, Symbol("s"), () => {}]) throws(TypeError, () => Response.json(bad));
    throws(TypeError, () => Response.json({}, { status: 204 }));
    throws(RangeError, () => Response.json({}, { status: 99 }));
    class Custom extends Error {}
    throws(Custom, () => Response.json({ toJSON() { throw new Custom(); } }));
  },

  "redirect()"() {
    const response = Response.redirect("https://EXAMPLE.com/a b");
    equal([response.status, response.headers.get("location")], [302, "https://example.com/a%20b"]);
    equal([response.body, response.type, response.redirected], [null, "default", false]);
    throws(TypeError, () => response.headers.set("a", "b"), "immutable");
    for (const status of [301, 302, 303, 307, 308]) equal(Response.redirect("http://a/", status).status, status);
    for (const status of [200, 300, 304, 306, 309, 400]) {
      throws(RangeError, () => Response.redirect("http://a/", status));
    }
    throws(TypeError, () => Response.redirect("/relative"));
    throws(TypeError, () => Response.redirect("http://a b/", 200));
    throws(TypeError, () => Response.redirect());
  },

  "error()"() {
    const response = Response.error();
    equal([response.type, response.status, response.ok, response.statusText, response.body],
      ["error", 0, false, "", null]);
    throws(TypeError, () => response.headers.set("a", "b"), "immutable");
  },

  async "clone()"() {
    const response = new Response("x", { status: 201, statusText: "y", headers: { a: "b" } });
    const clone = response.clone();
    clone.headers.set("a", "c");
    equal([clone.status, clone.statusText, response.headers.get("a"), clone.headers.get("a")], [201, "y", "b", "c"]);
    equal([await clone.text(), await response.text()], ["x", "x"]);
    throws(TypeError, () => response.clone(), "unusable");
    throws(TypeError, () => Response.redirect("http://a/").clone().headers.set("a", "b"), "immutable");
    const bytes = new Response(utf8("bytes"));
    const copy = bytes.clone();
    (await bytes.bytes())[0] = 0;
    equal(await copy.text(), "bytes");
  },

  async "clone() of a stream"() {
    const response = new Response(new ReadableStream({
      start(controller) {
        controller.enqueue(utf8("one "));
        controller.enqueue(utf8("two"));
        controller.close();
      },
    }));
    const clone = response.clone();
    equal(await clone.text(), "one two");
    equal(await response.text(), "one two");
    const locked = new Response(new ReadableStream());
    locked.body.getReader();
    throws(TypeError, () => locked.clone(), "unusable");
  },

  async "subclasses work"() {
    class Page extends Response {
      constructor(text) { super(text, { headers: { "content-type": "text/html" } }); }
      get title() { return "t"; }
    }
    const page = new Page("<p>");
    equal([page.title, await page.text(), page.headers.get("content-type")], ["t", "<p>", "text/html"]);
  },

  "init is read in order, once"() {
    const log = [];
    new Response(null, new Proxy({}, { get(target, key) { log.push(key); return undefined; } }));
    equal(log, ["headers", "status", "statusText", "webSocket"]);
  },

  async "a buffer is copied at once"() {
    const bytes = utf8("abc");
    const response = new Response(bytes);
    bytes[0] = 0x7a;
    equal(fromUtf8(await response.bytes()), "abc");
    await rejects(TypeError, () => response.text());
  },
});
