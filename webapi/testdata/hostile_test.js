// An app that patches every built-in it can reach. The runtime must neither break nor hand it anything of
// its own. Each patch notes what it was called with by code that is not the app's.
import { suite } from "./check.js";

let leaks = ""; // a string: an array would run into the setters below
const original = {};
for (const name of ["then", "catch", "finally"]) original[name] = Promise.prototype[name];
const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty } = Reflect;

// A function that notes what it gets, then does what the original does.
let watching = false;
function spy(what, fn) {
  return new Proxy(fn, {
    apply(target, self, args) {
      if (watching) leaks += `${what}; `;
      return apply(target, self, args);
    },
  });
}

function patchAll(holder, name) {
  const keys = ownKeys(holder);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    const descriptor = getOwnPropertyDescriptor(holder, key);
    if (!descriptor.configurable || key === "constructor") continue;
    if (typeof descriptor.value === "function") {
      defineProperty(holder, key, { ...descriptor, value: spy(`${name}.${String(key)}`, descriptor.value) });
    } else if (descriptor.get) {
      defineProperty(holder, key, { ...descriptor, get: spy(`get ${name}.${String(key)}`, descriptor.get) });
    }
  }
}

// The built-ins that runtimes lean on; not Error, whose patched prototypes would hide what a test found.
const holders = {
  "Array.prototype": Array.prototype, "ArrayBuffer.prototype": ArrayBuffer.prototype, "Map.prototype": Map.prototype,
  "Set.prototype": Set.prototype, "WeakMap.prototype": WeakMap.prototype, "String.prototype": String.prototype,
  "RegExp.prototype": RegExp.prototype, "Promise.prototype": Promise.prototype, "Promise": Promise,
  "TypedArray.prototype": Object.getPrototypeOf(Uint8Array.prototype), "Object": Object, "Reflect": Reflect,
  "JSON": JSON, "Number": Number, "Symbol.prototype": Symbol.prototype, "Array": Array, "Math": Math,
  "Function.prototype": Function.prototype, "DataView.prototype": DataView.prototype,
  "Iterator.prototype": Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())),
  "ArrayIterator.prototype": Object.getPrototypeOf([][Symbol.iterator]()),
};
const names = Object.keys(holders);
for (let i = 0; i < names.length; i++) patchAll(holders[names[i]], names[i]);
defineProperty(Promise, Symbol.species, { get() { throw new Error("species"); }, configurable: true });
for (const key of ["get", "set", "value", "writable", "enumerable", "configurable", "next", "0", "1", "2"]) {
  const holder = key >= "0" && key <= "9" ? Array.prototype : Object.prototype;
  // Setters see what is assigned to objects of the runtime that lack the key; descriptors would inherit.
  defineProperty(holder, key, {
    __proto__: null,
    get() { return undefined; },
    set(value) {
      if (watching) leaks += `set ${key}; `;
      defineProperty(this, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
    },
    configurable: true,
  });
}

// Runs `call` and fails if a patched built-in was called meanwhile.
async function watch(call) {
  leaks = "";
  watching = true;
  let result;
  try {
    result = await call();
  } finally {
    watching = false;
  }
  if (leaks !== "") throw new Error(`the runtime called ${leaks}`);
  return result;
}

function same(got, want) {
  if (got !== want) throw new Error(`got ${String(got)}, not ${String(want)}`);
}

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
        if (keys[i] === "respond" || keys[i] === "primordials" || keys[i] === "loadScript") throw new Error(where);
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
    leaks = "";
    watching = true;
  },
  async "an answer later"(request, env, ctx) {
    ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1)));
    await new Promise((resolve) => setTimeout(resolve, 1));
  },
  async "a rejected waitUntil"(request, env, ctx) {
    ctx.waitUntil((async () => { throw new Error("expected in the log", { cause: new Error("cause") }); })());
  },
  async "what the dispatcher called"() {
    watching = false;
    // check.js itself calls one, which shows that someone was watching.
    const calls = leaks.split("String.prototype.slice; ");
    same(calls.length > 1, true);
    const others = calls.join("");
    same(others, "");
  },
});
