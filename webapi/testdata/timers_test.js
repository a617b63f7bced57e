import { equal, rejects, suite, throws } from "./check.js";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export default suite({
  "ids and shapes"() {
    const id = setTimeout(() => {}, 1);
    const other = setInterval(() => {}, 1);
    equal([Number.isInteger(id), id > 0, other > id], [true, true, true]);
    clearTimeout(other);
    clearInterval(id);
    clearTimeout();
    clearTimeout(undefined);
    clearTimeout(12345678);
    equal([setTimeout.length, setTimeout.name, clearTimeout.length], [1, "setTimeout", 0]);
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, "setTimeout");
    equal([descriptor.writable, descriptor.enumerable, descriptor.configurable], [true, true, true]);
    throws(TypeError, () => setTimeout(), "1 argument required");
    throws(TypeError, () => setTimeout("code"), "strings");
    throws(TypeError, () => setTimeout(null, 1));
  },

  async "arguments and receiver"() {
    const got = await new Promise((resolve) => {
      setTimeout(function (...args) { resolve([this === globalThis, ...args]); }, 1, "a", 2);
    });
    equal(got, [true, "a", 2]);
    await new Promise((resolve) => setTimeout(resolve));
    await new Promise((resolve) => setTimeout(resolve, "1"));
    await new Promise((resolve) => setTimeout(resolve, -5));
  },

  async "a cleared timer does not fire"() {
    let fired = "";
    const id = setTimeout(() => { fired += "a"; }, 1);
    setTimeout(() => { fired += "b"; }, 1);
    clearTimeout(id);
    const victim = setTimeout(() => { fired += "c"; }, 1);
    setTimeout(() => clearTimeout(victim), 1);
    clearTimeout(victim);
    await sleep(1);
    equal(fired, "b");
  },

  async "an interval repeats until it is cleared"() {
    let count = 0;
    await new Promise((resolve) => {
      const id = setInterval((step) => {
        count += step;
        if (count !== 6) return;
        clearInterval(id);
        resolve();
      }, 1, 2);
    });
    await sleep(1);
    equal(count, 6);
  },

  async "an error in a callback harms no other timer"() {
    let count = 0;
    await new Promise((resolve) => {
      const id = setInterval(() => {
        if (++count === 3) {
          clearInterval(id);
          resolve();
        }
        throw new Error("expected in the log");
      }, 1);
    });
    equal(count, 3);
  },

  async "queueMicrotask and reportError"() {
    const order = [];
    queueMicrotask(() => order.push("microtask"));
    order.push("now");
    await Promise.resolve();
    equal(order, ["now", "microtask"]);
    queueMicrotask(() => { throw new Error("expected in the log"); });
    await sleep(1);
    throws(TypeError, () => queueMicrotask("x"));
    throws(TypeError, () => queueMicrotask());
    equal(reportError(new Error("expected in the log")), undefined);
    throws(TypeError, () => reportError());
  },

  async "timers clear each other and themselves"() {
    const order = [];
    const first = setTimeout(() => {
      order.push("first");
      clearTimeout(second);
      clearTimeout(first);
    }, 1);
    const second = setTimeout(() => order.push("second"), 1);
    const interval = setInterval(() => {
      order.push("interval");
      clearInterval(interval);
    }, 1);
    await sleep(2);
    await sleep(2);
    equal(order, ["first", "interval"]);
  },

  async "thousands of timers"() {
    let fired = 0;
    const ids = [];
    for (let i = 0; i < 5000; i++) ids.push(setTimeout(() => { fired++; }, i % 3));
    for (let i = 0; i < 5000; i += 2) clearTimeout(ids[i]);
    await sleep(3);
    while (fired < 2500) await sleep(1);
    equal(fired, 2500);
    const many = [];
    throws("QuotaExceededError", () => {
      for (;;) many.push(setTimeout(() => {}, 1000));
    }, "timers");
    equal(many.length > 9_990, true);
    for (const id of many) clearTimeout(id);
    clearTimeout(setTimeout(() => {}, 1));
  },

  async "scheduler.wait"() {
    equal([Object.prototype.toString.call(scheduler), scheduler.wait.length], ["[object Scheduler]", 1]);
    throws(TypeError, () => new Scheduler(), "Illegal constructor");
    equal(await scheduler.wait(1), undefined);
    equal(await scheduler.wait(0, {}), undefined);
    equal(await scheduler.wait(-1, { signal: undefined }), undefined);
    await rejects(TypeError, () => scheduler.wait(), "1 argument");
    await rejects(TypeError, () => scheduler.wait(NaN), "non-finite");
    await rejects(TypeError, () => scheduler.wait(1, { signal: 1 }), "AbortSignal");
    await rejects(TypeError, () => Scheduler.prototype.wait.call({}, 1), "Illegal invocation");
    const controller = new AbortController();
    const waiting = scheduler.wait(1e6, { signal: controller.signal });
    const reason = { mine: true };
    controller.abort(reason);
    equal(await waiting.catch((e) => e), reason);
    equal(await scheduler.wait(1, { signal: controller.signal }).catch((e) => e), reason);
    const other = new AbortController();
    await scheduler.wait(1, { signal: other.signal });
    other.abort();
  },

  async "patched built-ins do not matter"() {
    const { then } = Promise.prototype;
    const { get, set } = Map.prototype;
    Map.prototype.get = Map.prototype.set = () => { throw new Error("called a patched method"); };
    try {
      setTimeout(() => {}, 1);
    } finally {
      Object.assign(Map.prototype, { get, set });
    }
    equal(Promise.prototype.then, then);
    await sleep(1);
  },
});
