import hooks, { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId } from "node:async_hooks";
import { AsyncLocalStorage as alias } from "async_hooks";
import { equal, suite, throws } from "./check.js";

// Made by the top level, and so before there is a request; other apps have this in their snapshot.
const storage = new AsyncLocalStorage();
const atTop = AsyncLocalStorage.snapshot();
const topPromise = storage.run("top", async () => {
  await null;
  return storage.getStore();
});
const topResource = storage.run("top", () => new AsyncResource("TOP"));
storage.enterWith("left by the top level");

const store = () => storage.getStore();
// Resolves with what the storage holds when `start` calls what it is given.
const later = (start) => new Promise((resolve) => start(() => resolve(store())));

export default suite({
  async "exports"() {
    equal(alias, AsyncLocalStorage);
    equal(Object.keys(hooks), ["AsyncLocalStorage", "AsyncResource", "createHook", "executionAsyncId",
      "executionAsyncResource", "triggerAsyncId"]);
    throws(Error, () => createHook({}), "is not supported; use AsyncLocalStorage");
    equal(executionAsyncId(), 0);
    equal(typeof globalThis.AsyncLocalStorage, "undefined");
  },
  async "of the top level"() {
    equal(store(), undefined);
    equal(await topPromise, "top");
    equal(topResource.runInAsyncScope(store), "top");
    equal(storage.run("x", () => atTop(store)), undefined);
  },
  async "run"() {
    equal(storage.run(1, (a, b) => [store(), a, b], 2, 3), [1, 2, 3]);
    equal(storage.run(1, () => storage.run(2, store) + store()), 3);
    equal(storage.run(undefined, store), undefined);
    equal(storage.run(1, function () { "use strict"; return this; }), undefined);
    throws(RangeError, () => storage.run(1, () => { throw new RangeError("out"); }), "out");
    equal(store(), undefined);
    const other = new AsyncLocalStorage();
    equal(storage.run(1, () => other.run(2, () => storage.run(3, () => [store(), other.getStore()]))), [3, 2]);
    equal(storage.run(1, () => other.run(2, () => storage.exit(() => [store() ?? "none", other.getStore()]))), ["none", 2]);
  },
  async "many storages"() {
    const all = Array.from({ length: 50 }, () => new AsyncLocalStorage());
    const nest = (i) => i < all.length ? all[i].run(i, () => nest(i + 1))
      : all[20].run("changed", () => all.map((each) => each.getStore()));
    const want = all.map((_, i) => i);
    want[20] = "changed";
    equal(nest(0), want);
    equal(all.map((each) => each.getStore() ?? 0), all.map(() => 0));
  },
  async "after await"() {
    await storage.run("A", async () => {
      equal(store(), "A");
      await null;
      equal(store(), "A", "after await");
      equal(await Promise.resolve({ then(done) { done(store()); } }), "A", "thenable");
      equal(await { then(done) { done(store()); } }, "A", "awaited thenable");
      await Promise.all([1, 2].map((n) => storage.run(n, async () => { await null; equal(store(), n); })));
      equal(store(), "A", "after others");
      try {
        await storage.run("B", async () => { await null; throw new Error("x"); });
      } catch {
        equal(store(), "A", "after a rejection");
      }
    });
    equal(store(), undefined);
  },
  async "reactions run where they were attached"() {
    const { promise, resolve } = Promise.withResolvers();
    const seen = storage.run("A", () => promise.then(store));
    const final = storage.run("F", () => later((done) => promise.finally(done)));
    storage.run("B", resolve);
    equal(await seen, "A");
    equal(await final, "F");
  },
  async "timers"() {
    await storage.run("A", async () => {
      equal(await later((done) => setTimeout(done, 1)), "A", "setTimeout");
      equal(await later((done) => setImmediate(done)), "A", "setImmediate");
      equal(await later((done) => queueMicrotask(done)), "A", "queueMicrotask");
      let rounds = 0;
      equal(await new Promise((resolve) => {
        const id = setInterval(() => {
          if (++rounds < 2) return;
          clearInterval(id);
          resolve(store());
        }, 1);
      }), "A", "setInterval");
      await scheduler.wait(1);
      equal(store(), "A", "scheduler.wait");
    });
    equal(await later((done) => setTimeout(done, 1)), undefined);
    equal(await new Promise((resolve) => setTimeout((...list) => resolve(list), 1, 1, 2)), [1, 2]);
  },
  async "a microtask leaves nothing to the next"() {
    const seen = [];
    queueMicrotask(() => storage.enterWith("left"));
    queueMicrotask(() => seen.push(store()));
    Promise.resolve().then(() => storage.enterWith("left"));
    await Promise.resolve().then(() => seen.push(store()));
    equal(seen, [null, null].map(() => undefined));
  },
  async "events"() {
    const target = new EventTarget();
    let seen = [];
    storage.run("added", () => target.addEventListener("x", () => seen.push(store())));
    storage.run("dispatched", () => target.dispatchEvent(new Event("x")));
    const controller = new AbortController();
    storage.run("added", () => controller.signal.addEventListener("abort", () => seen.push(store())));
    storage.run("aborted", () => controller.abort());
    equal(seen, ["dispatched", "aborted"]);
    equal(await later((done) => { storage.run("made", () => { AbortSignal.timeout(1).onabort = done; }); }), "made");
  },
  async "streams"() {
    const seen = [];
    const readable = storage.run("made", () => new ReadableStream({
      start() { seen.push(store()); },
      async pull(controller) {
        await null;
        seen.push(store());
        controller.enqueue("x");
        controller.close();
      },
    }));
    const transform = storage.run("transform", () => new TransformStream({
      async transform(chunk, controller) {
        await null;
        seen.push(store());
        controller.enqueue(chunk);
      },
    }));
    await storage.run("read", async () => {
      for await (const chunk of readable.pipeThrough(transform)) seen.push(chunk, store());
    });
    equal(seen.sort(), ["made", "made", "read", "transform", "x"]);
  },
  async "messages"() {
    const { port1, port2 } = new MessageChannel();
    equal(await later((done) => {
      storage.run("listening", () => { port2.onmessage = done; });
      storage.run("posted", () => port1.postMessage(1));
    }), "posted");
    port1.close();
    const [one, another] = Object.values(new WebSocketPair());
    one.accept();
    another.accept();
    equal(await later((done) => {
      another.addEventListener("message", done);
      storage.run("sent", () => one.send("x"));
    }), "sent");
    one.close();
  },
  async "generators"() {
    function* plain() { for (;;) yield store(); }
    const generator = storage.run("made", plain);
    equal(generator.next().value, undefined);
    equal(storage.run("asked", () => generator.next().value), "asked");
    async function* lazy() { for (;;) { await null; yield store(); } }
    const async = lazy();
    equal((await storage.run("asked", () => async.next())).value, "asked");
  },
  async "enterWith and disable"() {
    await (async () => {
      await null;
      storage.enterWith("E");
      equal(store(), "E");
      equal(await later((done) => setTimeout(done, 1)), "E");
      equal(store(), "E");
      equal(storage.run("R", store), "R");
      storage.run("R", () => storage.enterWith("inside"));
      equal(store(), "E");
      storage.disable();
      equal(store(), undefined);
      await null;
      equal(store(), undefined);
    })();
    equal(store(), undefined);
  },
  async "default value and name"() {
    const named = new AsyncLocalStorage({ defaultValue: 42, name: "n" });
    equal(named.name, "n");
    equal(storage.name, "");
    equal(named.getStore(), 42);
    equal(named.run(1, () => named.getStore()), 1);
    equal(named.run(undefined, () => named.getStore()), undefined);
    throws(TypeError, () => new AsyncLocalStorage(5), "not of type 'object'");
  },
  async "bind and snapshot"() {
    const bound = storage.run("B", () => AsyncLocalStorage.bind(function (a, b) { return [store(), this.x, a, b]; }));
    equal(bound.length, 2);
    equal(storage.run("C", () => bound.call({ x: 1 }, 2, 3)), ["B", 1, 2, 3]);
    const snapshot = storage.run("S", () => AsyncLocalStorage.snapshot());
    equal(storage.run("C", () => snapshot((a) => [store(), a], 1)), ["S", 1]);
    equal(store(), undefined);
    throws(TypeError, () => AsyncLocalStorage.bind(5), "not of type 'function'");
    throws(TypeError, () => snapshot(5), "not of type 'function'");
  },
  async "resources"() {
    const resource = storage.run("R", () => new AsyncResource("R", { triggerAsyncId: 7 }));
    equal(resource.runInAsyncScope(function (a) { return [store(), this.x, a]; }, { x: 1 }, 2), ["R", 1, 2]);
    equal(resource.bind(function (a) { return [store(), this.x, a]; }).call({ x: 1 }, 2), ["R", 1, 2]);
    equal(resource.bind(function () { return this.x; }, { x: 3 }).call({ x: 1 }), 3);
    equal(storage.run("B", () => AsyncResource.bind(store))(), "B");
    equal(resource.triggerAsyncId(), 7);
    equal(new AsyncResource("a").asyncId() > resource.asyncId(), true);
    equal(resource.emitDestroy(), resource);
    class Own extends AsyncResource { done() { return this.runInAsyncScope(store); } }
    const own = storage.run("O", () => new Own("OWN"));
    equal(own.done(), "O");
    throws(TypeError, () => new AsyncResource(), "not of type 'string'");
  },
  async "wrong receivers and arguments"() {
    const { run, enterWith, exit, disable } = AsyncLocalStorage.prototype;
    for (const method of [run, enterWith, exit, disable]) throws(TypeError, () => method.call({}, 1, () => {}));
    for (const method of ["bind", "runInAsyncScope", "emitDestroy", "asyncId"]) {
      throws(TypeError, () => AsyncResource.prototype[method].call({}, () => {}));
    }
    for (const call of [undefined, null, 5, {}]) {
      throws(TypeError, () => storage.run(1, call), "not of type 'function'");
      throws(TypeError, () => storage.exit(call), "not of type 'function'");
      throws(TypeError, () => new AsyncResource("x").runInAsyncScope(call), "not of type 'function'");
    }
    throws(TypeError, () => AsyncLocalStorage(), "without 'new'");
  },
  async "patched built-ins see nothing"() {
    const { apply } = Reflect;
    const setter = { set() { throw new Error("a setter ran"); }, configurable: true };
    Object.defineProperty(Object.prototype, "next", setter);
    Object.defineProperty(Array.prototype, "0", setter);
    Reflect.apply = () => { throw new Error("Reflect.apply was called"); };
    try {
      equal(storage.run(1, store), 1);
      equal(new AsyncResource("x").runInAsyncScope(store), undefined);
    } finally {
      Reflect.apply = apply;
      delete Object.prototype.next;
      delete Array.prototype[0];
    }
  },
});
