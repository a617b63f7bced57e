// The globals of Node.js, as Workers have them with the compatibility flag nodejs_compat, of the polyfills that the
// project has. Each is made when it is first read: most apps are given them and never look.
import { env } from "cloudflare:workers";

function lazy(name, make) {
  const set = (value) => {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  };
  const get = () => {
    set(undefined); // a polyfill looks for what it stands for
    const value = make();
    if (value === undefined) arm(); // the app imports the polyfill, which looks for it before it is made
    else set(value);
    return value;
  };
  const arm = () => Object.defineProperty(globalThis, name, { get, set, enumerable: false, configurable: true });
  arm();
}

// process.env: the strings in env, below what the app has set.
function environment() {
  const own = { __proto__: null, NODE_ENV: process.env.NODE_ENV };
  const removed = new Set();
  const given = (key) => removed.has(key) || typeof env[key] !== "string" ? undefined : env[key];
  const get = (key) => key in own ? own[key] : typeof key === "string" ? given(key) : undefined;
  return new Proxy(own, {
    get: (_, key) => get(key),
    has: (_, key) => get(key) !== undefined,
    set(_, key, value) {
      own[key] = String(value);
      return true;
    },
    defineProperty(_, key, { value }) {
      own[key] = String(value);
      return true;
    },
    deleteProperty(_, key) {
      removed.add(key);
      return delete own[key];
    },
    ownKeys: () => [...new Set([...Object.keys(own), ...Object.keys(env).filter((key) => given(key) !== undefined)])],
    getOwnPropertyDescriptor(_, key) {
      const value = get(key);
      return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true };
    },
  });
}

lazy("process", () => {
  const polyfill = require("node:process");
  if (polyfill === undefined) return undefined;
  polyfill.env = environment();
  const modules = {
    __proto__: null,
    async_hooks: () => require("node:async_hooks"),
    buffer: () => require("node:buffer"),
    events: () => require("node:events"),
    process: () => polyfill,
  };
  polyfill.getBuiltinModule = (name) => modules[String(name).replace(/^node:/, "")]?.();
  return polyfill;
});
lazy("Buffer", () => require("node:buffer")?.Buffer);
lazy("global", () => globalThis);
