import { equal, suite, throws } from "./check.js";

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
