// Modules and globals of Node.js: node:async_hooks is the runtime's, all others are polyfills of the package unenv.
import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter } from "node:events";
import path from "node:path";
import { format } from "util";

const requests = new AsyncLocalStorage();
const events = new EventEmitter();
const seen = [];
events.on("request", () => seen.push(requests.getStore()));

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    return requests.run(path.posix.basename(pathname), async () => {
      await null;
      events.emit("request");
      return Response.json([
        seen.at(-1), Buffer.from("text").toString("base64"), process.env.TITLE, Object.keys(process.env),
        format("%s has %d", "format", 1), globalThis === global, typeof process.getBuiltinModule("node:events").EventEmitter,
      ]);
    });
  },
};
