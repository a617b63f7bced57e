import { equal, shape, suite, throws } from "./check.js";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The events of a type that the global object gets while `act` runs, each prevented.
async function during(types, act) {
  const seen = [];
  const listener = (event) => {
    seen.push(event);
    event.preventDefault();
  };
  for (const type of types) addEventListener(type, listener);
  try {
    await act(seen);
  } finally {
    for (const type of types) removeEventListener(type, listener);
  }
  return seen;
}

export default suite({
  "the global object is an EventTarget"() {
    equal([self instanceof WorkerGlobalScope, self instanceof EventTarget, `${self}`],
      [true, true, "[object WorkerGlobalScope]"]);
    equal(Object.getPrototypeOf(globalThis) === WorkerGlobalScope.prototype, true);
    equal(Object.getPrototypeOf(WorkerGlobalScope) === EventTarget, true);
    throws(TypeError, () => new WorkerGlobalScope(), "Illegal constructor");
    let calls = 0;
    const count = function () { calls += this === globalThis ? 1 : 100; };
    addEventListener("x", count);
    self.addEventListener("x", { handleEvent() { calls++; } }, { once: true });
    EventTarget.prototype.addEventListener.call(undefined, "x", count);
    dispatchEvent(new Event("x"));
    equal(self.dispatchEvent(new Event("x", { cancelable: true })), true);
    removeEventListener("x", count);
    dispatchEvent(new Event("x"));
    equal(calls, 3);
    throws(TypeError, () => addEventListener.call({}, "x", count), "Illegal invocation");
    for (const name of ["onerror", "onunhandledrejection", "onrejectionhandled"]) {
      const descriptor = Object.getOwnPropertyDescriptor(WorkerGlobalScope.prototype, name);
      equal([descriptor.get.name, descriptor.set.name, descriptor.enumerable, descriptor.configurable, self[name]],
        [`get ${name}`, `set ${name}`, true, true, null]);
      throws(TypeError, () => descriptor.get.call({}), "Illegal invocation");
      self[name] = 5;
      equal(self[name], null);
    }
  },

  "PromiseRejectionEvent"() {
    shape(PromiseRejectionEvent, 2, {}, ["promise", "reason"]);
    const promise = Promise.resolve();
    const event = new PromiseRejectionEvent("x", { promise, reason: 7, cancelable: true });
    equal([event instanceof Event, event.promise === promise, event.reason, event.cancelable, event.isTrusted],
      [true, true, 7, true, false]);
    throws(TypeError, () => new PromiseRejectionEvent("x"), "2 arguments");
    throws(TypeError, () => new PromiseRejectionEvent("x", {}), "promise");
    throws(TypeError, () => new PromiseRejectionEvent("x", { promise: 1 }), "promise");
  },

  async "error"() {
    const boom = new RangeError("boom\nbroken");
    const seen = await during(["error"], async () => {
      reportError(boom);
      setTimeout(() => { throw boom; });
      queueMicrotask(() => { throw boom; });
      new EventTarget().dispatchEvent(new Event("x"));
      const target = new EventTarget();
      target.addEventListener("x", () => { throw boom; });
      target.dispatchEvent(new Event("x"));
      await sleep(1);
    });
    equal(seen.length, 4);
    for (const event of seen) {
      equal([event.constructor === ErrorEvent, event.type, event.error === boom, event.cancelable, event.isTrusted],
        [true, "error", true, true, true]);
      equal([event.message, event.filename.endsWith("error_events_test.js"), event.lineno > 0, event.colno > 0],
        ["Uncaught RangeError: boom\nbroken", true, true, true]);
      equal([event.target === self, event.defaultPrevented, event.bubbles], [true, true, false]);
    }
  },

  async "what is no error, and what has traps"() {
    const trap = () => { throw new Error("called"); };
    class Odd { get message() { return trap(); } get name() { return trap(); } get stack() { return trap(); } }
    const values = [1, undefined, null, Symbol("s"), 5n, "text", {}, new Odd(), new Proxy({}, { get: trap, getPrototypeOf: trap })];
    const seen = await during(["error"], () => {
      for (const value of values) reportError(value);
      const error = new Error("renamed");
      Object.defineProperty(error, "message", { get: trap });
      reportError(error);
    });
    equal(seen.map((event) => event.message).slice(0, 8), [
      "Uncaught 1", "Uncaught undefined", "Uncaught null", "Uncaught Symbol(s)", "Uncaught 5", "Uncaught text",
      "Uncaught #<Object>", "Uncaught #<Odd>",
    ]);
    equal([seen.length, seen[9].message], [10, "Uncaught Error: renamed"]);
    equal(seen.every((event, i) => event.lineno > 0 && (i > 8 || Object.is(event.error, values[i]))), true);
  },

  async "onerror has arguments, and says true"() {
    let args;
    self.onerror = function (...given) {
      args = [this === self, ...given];
      return true;
    };
    let prevented;
    const late = (event) => { prevented = event.defaultPrevented; };
    addEventListener("error", late);
    const error = new Error("e");
    reportError(error);
    removeEventListener("error", late);
    equal([args.length, args[0], args[1], args[3] > 0, args[5] === error, prevented], [6, true, "Uncaught Error: e", true, true, true]);
    self.onerror = (event) => { args = [event]; };
    dispatchEvent(new Event("error"));
    equal([args.length, args[0].type], [1, "error"]);
    self.onerror = null;
  },

  async "an error in a listener for errors is not announced again"() {
    let calls = 0;
    const bad = () => {
      calls++;
      throw new Error("expected in the log");
    };
    addEventListener("error", bad);
    reportError(new Error("expected in the log"));
    removeEventListener("error", bad);
    equal(calls, 1);
  },

  async "unhandledrejection and rejectionhandled"() {
    const reason = new Error("lost");
    let promise;
    const seen = await during(["unhandledrejection", "rejectionhandled"], async (events) => {
      Promise.reject(1).catch(() => {});
      const handledInTime = Promise.reject(2);
      promise = Promise.reject(reason);
      await null;
      handledInTime.catch(() => {});
      equal(events.length, 0, "too early");
      await sleep(1);
      equal(events.length, 1);
      promise.catch(() => {});
      await sleep(1);
      await sleep(1);
    });
    equal(seen.map((event) => event.type), ["unhandledrejection", "rejectionhandled"]);
    for (const event of seen) {
      equal([event.constructor === PromiseRejectionEvent, event.promise === promise, event.reason === reason, event.isTrusted],
        [true, true, true, true]);
    }
    equal([seen[0].cancelable, seen[1].cancelable], [true, false]);
  },

  async "a handler that comes during the event is no late one"() {
    const types = [];
    const listener = (event) => {
      types.push(event.type);
      event.promise.catch(() => {});
      event.preventDefault();
    };
    addEventListener("unhandledrejection", listener);
    addEventListener("rejectionhandled", listener);
    Promise.reject(new Error("caught late"));
    await sleep(1);
    await sleep(1);
    removeEventListener("unhandledrejection", listener);
    removeEventListener("rejectionhandled", listener);
    equal(types, ["unhandledrejection"]);
  },
});
