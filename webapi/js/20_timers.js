// setTimeout and its kin (HTML 8.7), queueMicrotask, reportError.
//
// For other scripts:
//   internals.setTimer(what, callback, milliseconds)  a one-shot timer of the runtime; returns its id. Nesting
//       does not delay it. `what` names the API in the error thrown while a module's top level runs
//   internals.clearTimer(id)
//   internals.fireTimer(id)           called for a TIMER record
// A timer runs in the context in which it was set: its request pays for it, and its log lines carry the id of that.
(function (ops, internals) {
  "use strict";
  const { MathFloor, ReflectApply, SafeMap, TypeError, globalThis } = internals.primordials;
  const { currentContext, enterContext, enterEvent, requireStarted, webidl } = internals;
  const { enqueueMicrotask, now, timerClear, timerSet } = ops;

  // HTML: a timer that is set by a timer's callback, and so on more than 5 times, waits 4 ms at least.
  const NESTING_FREE = 5;
  const NESTED_MINIMUM_MS = 4;

  class Timer {
    id;
    callback;
    args;
    delay;
    repeats;
    nesting;
    context;
    due = 0; // of an interval: when it fires next
    constructor(id, callback, args, delay, repeats, nesting, context) {
      this.id = id;
      this.callback = callback;
      this.args = args; // array or null
      this.delay = delay; // milliseconds
      this.repeats = repeats;
      this.nesting = nesting;
      this.context = context;
    }
  }

  const timers = new SafeMap(); // id -> Timer
  let alive = 0; // size of timers
  const ALIVE_MAX = 10_000;
  const DELAY_MAX_MS = 2 ** 42; // 139 years; Go counts in nanoseconds
  let lastId = 0;
  let currentNesting = 0; // of the timer whose callback runs

  function nextId() {
    do {
      lastId = lastId === 0x7fffffff ? 1 : lastId + 1;
    } while (timers.has(lastId));
    return lastId;
  }

  function start(callback, args, delay, repeats, nesting) {
    if (nesting > NESTING_FREE && delay < NESTED_MINIMUM_MS) delay = NESTED_MINIMUM_MS;
    if (alive === ALIVE_MAX) {
      throw internals.domException("There are " + ALIVE_MAX + " timers already.", "QuotaExceededError");
    }
    const id = nextId();
    alive++;
    const timer = new Timer(id, callback, args, delay, repeats, nesting, currentContext());
    if (repeats) timer.due = now() + delay;
    timers.set(id, timer);
    timerSet(id, delay);
    return id;
  }

  function startChecked(name, handler, timeout, args, repeats) {
    const context = "Failed to execute '" + name + "'";
    if (typeof handler !== "function") {
      throw new TypeError(context + ": The handler must be a function; code in strings is not supported.");
    }
    let delay = timeout === undefined ? 0 : webidl.long(timeout, context);
    if (delay < 0) delay = 0;
    requireStarted(name + "()");
    return start(handler, args, delay, repeats, currentNesting + 1);
  }

  function clear(id) {
    if (!timers.delete(id)) return;
    alive--;
    timerClear(id);
  }

  internals.setTimer = function setTimer(what, callback, milliseconds) {
    requireStarted(what);
    return start(callback, null, milliseconds > DELAY_MAX_MS ? DELAY_MAX_MS : milliseconds, false, 0);
  };
  internals.clearTimer = clear;

  internals.fireTimer = function fireTimer(id) {
    const timer = timers.get(id);
    if (timer === undefined) return; // cleared while the record was on its way
    if (!timer.repeats) {
      timers.delete(id);
      alive--;
    }
    currentNesting = timer.nesting;
    enterEvent(timer.context);
    try {
      if (timer.args === null) ReflectApply(timer.callback, globalThis, []);
      else ReflectApply(timer.callback, globalThis, timer.args);
    } catch (error) {
      internals.reportException(error);
    }
    if (timer.repeats && timers.get(id) === timer) repeat(timer);
    currentNesting = 0;
    enterContext(undefined);
  };

  // An interval keeps its pace, however late a callback began and however long it took: the next one is due at
  // a multiple of the delay. Those that were missed meanwhile are left out.
  function repeat(timer) {
    timer.nesting++;
    if (timer.nesting > NESTING_FREE && timer.delay < NESTED_MINIMUM_MS) timer.delay = NESTED_MINIMUM_MS;
    const { delay } = timer;
    const time = now();
    timer.due += delay;
    if (timer.due > time + delay) { // it fired early
      timer.due = time + delay;
    } else if (timer.due <= time) {
      timer.due = delay === 0 ? time : timer.due + delay * (MathFloor((time - timer.due) / delay) + 1);
    }
    timerSet(timer.id, timer.due - time);
  }

  // ---- Globals ----

  const { setTimeout, setInterval, clearTimeout, clearInterval, queueMicrotask, reportError } = {
    setTimeout(handler, timeout = undefined, ...args) {
      webidl.requiredArguments(arguments.length, 1, "Failed to execute 'setTimeout'");
      return startChecked("setTimeout", handler, timeout, args.length === 0 ? null : args, false);
    },
    setInterval(handler, timeout = undefined, ...args) {
      webidl.requiredArguments(arguments.length, 1, "Failed to execute 'setInterval'");
      return startChecked("setInterval", handler, timeout, args.length === 0 ? null : args, true);
    },
    clearTimeout(id = undefined) {
      if (id !== undefined) clear(webidl.long(id, "Failed to execute 'clearTimeout'"));
    },
    clearInterval(id = undefined) {
      if (id !== undefined) clear(webidl.long(id, "Failed to execute 'clearInterval'"));
    },
    queueMicrotask(callback) {
      const context = "Failed to execute 'queueMicrotask'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") throw new TypeError(context + ": parameter 1 is not a function.");
      const captured = currentContext();
      // An exception in it comes back through internals.onError.
      enqueueMicrotask(() => {
        enterContext(captured);
        ReflectApply(callback, undefined, []);
      });
    },
    reportError(error) {
      webidl.requiredArguments(arguments.length, 1, "Failed to execute 'reportError'");
      internals.reportException(error);
    },
  };
  internals.define("setTimeout", setTimeout, true);
  internals.define("setInterval", setInterval, true);
  internals.define("clearTimeout", clearTimeout, true);
  internals.define("clearInterval", clearInterval, true);
  internals.define("queueMicrotask", queueMicrotask, true);
  internals.define("reportError", reportError, true);
  internals.define("self", globalThis, true);
})
