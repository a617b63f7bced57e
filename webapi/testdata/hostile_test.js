// The fetch objects and the dispatcher in an app that patches every built-in it can reach.
import { suite } from "./check.js";
import { getOwnPropertyDescriptor, ownKeys, same, startWatching, stopWatching, watch } from "./hostile.js";

export default suite({
  async "Headers"() {
    await watch(() => {
      const headers = new Headers({ "X-Foo": "a", "content-type": " text/html " });
      headers.append("x-foo", "b");
      headers.append("b", "1");
      headers.set("X-foo!", "c\u00e9");
      headers.delete("b");
      headers.get("x-foo");
      headers.has("X-FOO");
      headers.getSetCookie();
      headers.forEach(() => {});
      headers.entries().next();
      headers.keys().next();
      return headers;
    });
  },
  async "Request"(request) {
    const copy = await watch(() => {
      request.url;
      request.method;
      request.headers.get("x-multi");
      request.clone().headers.get("a");
      new Request("https://example.com/", { method: "post", body: "x", headers: { a: "b" } }).text();
      return new Request(request, { headers: new Headers({ a: "1" }), method: "PUT" });
    });
    same(await copy.text(), "body \u00e9\ud83d\ude00");
  },
  async "Response"() {
    const bytes = new Uint8Array([1, 2]);
    const { buffer } = bytes;
    const response = await watch(() => {
      new Response("x").text();
      new Response(null, { status: 204, statusText: "x" }).clone();
      new Response(bytes).bytes();
      new Response(buffer).arrayBuffer();
      new Response("[1]", { headers: { a: "b" } }).headers.get("a");
      Response.redirect("https://example.com/", 301).headers.get("location");
      Response.error();
      new Response("[1]").json();
      return new Response("y").clone();
    });
    same(await response.text(), "y");
  },
  async "context"(request, env, ctx) {
    await watch(() => {
      ctx.waitUntil(1);
      ctx.passThroughOnException();
      ctx.props;
      return ctx.remoteAddress;
    });
    same(env.NAME, "value");
  },
  // Nothing on the way from outside to here, or of the global object, leads to ops or internals.
  async "nothing internal can be reached"(request, env, ctx) {
    const seen = new Set();
    const visit = (value, path) => {
      if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
      seen.add(value);
      const keys = ownKeys(value);
      for (let i = 0; i < keys.length; i++) {
        const where = `${path}.${String(keys[i])}`;
        if (keys[i] === "respondChunk" || keys[i] === "primordials" || keys[i] === "loadScript") throw new Error(where);
        const descriptor = getOwnPropertyDescriptor(value, keys[i]);
        visit(descriptor.value, where);
        visit(descriptor.get, `get ${where}`);
        visit(descriptor.set, `set ${where}`);
      }
      visit(Object.getPrototypeOf(value), `${path}.__proto__`);
    };
    visit(request, "request");
    visit(ctx, "ctx");
    visit(globalThis, "globalThis");
    let thrown = false;
    try {
      new ctx.constructor({});
    } catch (error) {
      thrown = error instanceof TypeError;
    }
    same(thrown, true);
  },
  // The dispatcher runs after each of the next three, and before the one that looks.
  async "an answer at once"() {
    startWatching();
  },
  async "an answer later"(request, env, ctx) {
    ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1)));
    await new Promise((resolve) => setTimeout(resolve, 1));
  },
  async "a rejected waitUntil"(request, env, ctx) {
    ctx.waitUntil((async () => { throw new Error("expected in the log", { cause: new Error("cause") }); })());
  },
  async "what the dispatcher called"() {
    // check.js itself calls one, which shows that someone was watching.
    const calls = stopWatching().split("String.prototype.slice; ");
    same(calls.length > 1, true);
    const others = calls.join("");
    same(others, "");
  },
});
