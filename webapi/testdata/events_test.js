import { equal, rejects, shape, suite, throws } from "./check.js";

export default suite({
  "shapes"() {
    shape(EventTarget, 0, { addEventListener: 2, removeEventListener: 2, dispatchEvent: 1 }, []);
    shape(AbortController, 0, { abort: 0 }, ["signal"]);
    equal(Object.prototype.toString.call(new Event("x")), "[object Event]");
    equal(Object.prototype.toString.call(new AbortController().signal), "[object AbortSignal]");
    equal(Object.getPrototypeOf(CustomEvent), Event);
    equal(Object.getPrototypeOf(AbortSignal), EventTarget);
    throws(TypeError, () => new AbortSignal(), "Illegal constructor");
    throws(TypeError, () => EventTarget.prototype.dispatchEvent.call({}, new Event("x")), "Illegal invocation");
    throws(TypeError, () => new Event(), "1 argument required");
  },

  "DOMException"() {
    const error = new DOMException("message", "AbortError");
    equal([error.name, error.message, error.code, `${error}`], ["AbortError", "message", 20, "AbortError: message"]);
    equal([error instanceof DOMException, error instanceof Error], [true, true]);
    equal(error.stack.startsWith("AbortError: message\n    at "), true, error.stack);
    equal([new DOMException().name, new DOMException().message, new DOMException("m").code], ["Error", "", 0]);
    equal(new DOMException("", "QuotaExceededError").code, 22);
    equal(new DOMException("", "NotAName").code, 0);
    equal([DOMException.DATA_CLONE_ERR, DOMException.prototype.INDEX_SIZE_ERR], [25, 1]);
    equal(Object.getPrototypeOf(DOMException), Function.prototype);
    equal(Object.getPrototypeOf(DOMException.prototype), Error.prototype);
    throws(TypeError, () => DOMException.prototype.name, "Illegal invocation");
    class Special extends DOMException {}
    equal([new Special("m", "TimeoutError").name, new Special() instanceof Special], ["TimeoutError", true]);
    const clone = structuredClone(error);
    equal([clone instanceof DOMException, clone.name, clone.message], [true, "AbortError", "message"]);
  },

  "listeners run in order, once, and can be removed"() {
    const target = new EventTarget();
    const calls = [];
    const first = () => calls.push("first");
    target.addEventListener("go", first);
    target.addEventListener("go", first);
    target.addEventListener("go", { handleEvent() { calls.push(this === undefined ? "?" : "object"); } });
    target.addEventListener("go", () => calls.push("once"), { once: true });
    target.addEventListener("go", () => calls.push("capture"), true);
    target.addEventListener("go", null);
    target.dispatchEvent(new Event("go"));
    target.removeEventListener("go", first);
    target.dispatchEvent(new Event("go"));
    equal(calls, ["capture", "first", "object", "once", "capture", "object"]);
  },

  "the list of listeners may change while they run"() {
    const target = new EventTarget();
    const calls = [];
    const removed = () => calls.push("removed");
    target.addEventListener("go", () => {
      calls.push("a");
      target.removeEventListener("go", removed);
      target.addEventListener("go", () => calls.push("late"));
    });
    target.addEventListener("go", removed);
    target.dispatchEvent(new Event("go"));
    equal(calls, ["a"]);
  },

  "an event's course"() {
    const target = new EventTarget();
    const event = new Event("go", { cancelable: true, bubbles: true });
    let inside;
    target.addEventListener("go", (given) => {
      inside = [given === event, given.target === target, given.currentTarget === target, given.eventPhase,
        given.composedPath().length];
      given.preventDefault();
      throws("InvalidStateError", () => target.dispatchEvent(event));
    });
    target.addEventListener("go", (given) => given.stopImmediatePropagation());
    target.addEventListener("go", () => { throw new Error("must not run"); });
    equal(target.dispatchEvent(event), false);
    equal(inside, [true, true, true, 2, 1]);
    equal([event.defaultPrevented, event.returnValue, event.target === target, event.currentTarget, event.eventPhase,
      event.isTrusted, event.cancelBubble], [true, false, true, null, 0, false, false]);
    equal(event.composedPath(), []);
    event.initEvent("other");
    equal([event.type, event.bubbles, event.defaultPrevented], ["other", false, false]);
    equal(typeof event.timeStamp, "number");
  },

  "a passive listener cannot prevent"() {
    const target = new EventTarget();
    target.addEventListener("go", (event) => event.preventDefault(), { passive: true });
    const event = new Event("go", { cancelable: true });
    equal(target.dispatchEvent(event), true);
    equal(new Event("x").cancelable, false);
  },

  "an error in a listener stops neither the others nor the caller"() {
    const target = new EventTarget();
    let ran = false;
    target.addEventListener("go", () => { throw new Error("expected in the log"); });
    target.addEventListener("go", () => { ran = true; });
    equal([target.dispatchEvent(new Event("go")), ran], [true, true]);
  },

  "CustomEvent and subclasses"() {
    equal([new CustomEvent("x", { detail: 5 }).detail, new CustomEvent("x").detail], [5, null]);
    class Mine extends Event {
      constructor() {
        super("mine", { cancelable: true });
        this.more = 1;
      }
    }
    class Emitter extends EventTarget {}
    const emitter = new Emitter();
    let seen;
    emitter.addEventListener("mine", (event) => { seen = event; });
    const event = new Mine();
    emitter.dispatchEvent(event);
    equal([seen === event, seen.more, seen instanceof Event], [true, 1, true]);
  },

  "AbortController"() {
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [];
    signal.onabort = () => calls.push("replaced");
    signal.addEventListener("abort", (event) => calls.push([event.type, event.isTrusted]));
    signal.onabort = (event) => calls.push(event.target === signal);
    equal([signal.aborted, signal.reason, controller.signal === signal], [false, undefined, true]);
    signal.throwIfAborted();
    controller.abort();
    controller.abort("again");
    equal(calls, [true, ["abort", true]]);
    equal([signal.aborted, signal.reason.name, signal.reason.code], [true, "AbortError", 20]);
    throws("AbortError", () => signal.throwIfAborted());
    const other = new AbortController();
    other.abort("my reason");
    equal(other.signal.reason, "my reason");
  },

  "AbortSignal.abort and any"() {
    equal(AbortSignal.abort("r").reason, "r");
    const one = new AbortController();
    const two = new AbortController();
    const both = AbortSignal.any([one.signal, two.signal]);
    const nested = AbortSignal.any([both, new AbortController().signal]);
    const order = [];
    both.addEventListener("abort", () => order.push("both"));
    nested.addEventListener("abort", () => order.push("nested"));
    two.signal.addEventListener("abort", () => order.push(`two ${both.aborted} ${nested.aborted}`));
    two.abort("why");
    equal(order, ["two true true", "both", "nested"]);
    equal([both.reason, nested.reason, one.signal.aborted], ["why", "why", false]);
    equal(AbortSignal.any([AbortSignal.abort(1), AbortSignal.abort(2)]).reason, 1);
    equal(AbortSignal.any([]).aborted, false);
    throws(TypeError, () => AbortSignal.any([{}]));
    throws(TypeError, () => AbortSignal.any(1));
  },

  async "AbortSignal.timeout"() {
    const signal = AbortSignal.timeout(1);
    equal(signal.aborted, false);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    equal(signal.reason.name, "TimeoutError");
    throws(TypeError, () => AbortSignal.timeout(-1));
    await rejects("TimeoutError", async () => signal.throwIfAborted());
  },

  async "AbortSignal.timeout without anybody who waits"() {
    const signals = Array.from({ length: 20_000 }, () => AbortSignal.timeout(1)); // more than there may be timers
    const far = AbortSignal.timeout(1e9);
    const both = AbortSignal.any([new AbortController().signal, signals[0], far]);
    const left = signals[1];
    const nothing = () => {};
    left.addEventListener("abort", nothing);
    left.removeEventListener("abort", nothing);
    const start = Date.now();
    while (Date.now() < start + 5);
    equal([signals[0].aborted, both.aborted, left.aborted], [false, false, false], "within the turn");
    await new Promise((resolve) => setTimeout(resolve, 1));
    let events = 0;
    both.onabort = () => events++;
    signals[2].addEventListener("abort", () => events++);
    equal([both.aborted, both.reason.name, both.reason === signals[0].reason], [true, "TimeoutError", true]);
    equal([signals[2].aborted, left.reason.name, far.aborted], [true, "TimeoutError", false]);
    throws("TimeoutError", () => signals[3].throwIfAborted());
    equal(AbortSignal.any([far, signals[4]]).aborted, true);
    let count = 0;
    const target = new EventTarget();
    target.addEventListener("x", () => count++, { signal: signals[5] });
    target.addEventListener("x", () => count++, { signal: far });
    target.dispatchEvent(new Event("x"));
    await new Promise((resolve) => setTimeout(resolve, 1));
    equal([events, count], [0, 1]);
  },

  async "AbortSignal.timeout for those who wait"() {
    const first = AbortSignal.timeout(20);
    const dependent = AbortSignal.any([first, new AbortController().signal]);
    const order = [];
    first.onabort = () => order.push(`first ${dependent.aborted}`);
    await new Promise((resolve) => dependent.addEventListener("abort", () => {
      order.push("dependent");
      resolve();
    }));
    equal(order, ["first true", "dependent"]);
    equal([dependent.reason.name, dependent.reason === first.reason], ["TimeoutError", true]);
  },

  "a signal removes listeners"() {
    const controller = new AbortController();
    const target = new EventTarget();
    let count = 0;
    target.addEventListener("go", () => count++, { signal: controller.signal });
    target.dispatchEvent(new Event("go"));
    controller.abort();
    target.dispatchEvent(new Event("go"));
    target.addEventListener("go", () => count++, { signal: controller.signal });
    target.dispatchEvent(new Event("go"));
    equal(count, 1);
  },
});
