// scheduler.wait(): setTimeout as a promise (as in Workers; a part of Prioritized Task Scheduling). setImmediate and
// clearImmediate (as in Node and Workers): a callback that runs when what is due now has run.
(function (ops, internals) {
  "use strict";
  const {
    ObjectDefineProperty, PromiseReject, PromiseWithResolvers, ReflectApply, SafeSet, TypeError, globalThis,
  } = internals.primordials;
  const { abort, clearTimer, configureInterface, requireStarted, setTimer, webidl } = internals;

  const INTERNAL = { __proto__: null };

  class Scheduler {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }

    // A promise that is fulfilled after `milliseconds`, or rejected with the reason of options.signal once that
    // is aborted.
    wait(milliseconds, options = undefined) {
      if (!(#brand in this)) return PromiseReject(webidl.illegalInvocation());
      requireStarted("scheduler.wait()");
      try {
        const context = "Failed to execute 'wait' on 'Scheduler'";
        webidl.requiredArguments(arguments.length, 1, context);
        return wait(toDelay(milliseconds, context), toSignal(options, context));
      } catch (error) {
        return PromiseReject(error);
      }
    }
  }

  function toDelay(value, context) {
    const delay = webidl.double(value, context);
    return delay < 0 ? 0 : delay;
  }

  function toSignal(options, context) {
    const { signal } = webidl.dictionary(options, context);
    if (signal === undefined || signal === null) return null;
    if (!abort.isAbortSignal(signal)) throw new TypeError(context + ": member signal is not of type AbortSignal.");
    return signal;
  }

  function wait(delay, signal) {
    const { promise, resolve, reject } = PromiseWithResolvers();
    if (signal === null) {
      setTimer("scheduler.wait()", () => resolve(undefined), delay);
    } else if (abort.isAborted(signal)) {
      reject(abort.reason(signal));
    } else {
      const stop = () => {
        clearTimer(id);
        reject(abort.reason(signal));
      };
      const id = setTimer("scheduler.wait()", () => {
        abort.remove(signal, stop);
        resolve(undefined);
      }, delay);
      abort.add(signal, stop);
    }
    return promise;
  }

  const immediates = new SafeSet(); // ids of timers; clearImmediate() is for no others

  const { setImmediate, clearImmediate } = {
    setImmediate(callback, ...args) {
      const context = "Failed to execute 'setImmediate'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") throw new TypeError(context + ": parameter 1 is not a function.");
      const id = setTimer("setImmediate()", () => {
        immediates.delete(id);
        ReflectApply(callback, globalThis, args);
      }, 0);
      immediates.add(id);
      return id;
    },
    clearImmediate(id = undefined) {
      if (immediates.delete(id)) clearTimer(id);
    },
  };

  configureInterface(Scheduler);
  ObjectDefineProperty(Scheduler, "length", { __proto__: null, value: 0 });
  internals.define("Scheduler", Scheduler);
  internals.define("setImmediate", setImmediate, true);
  internals.define("clearImmediate", clearImmediate, true);
  internals.define("scheduler", new Scheduler(INTERNAL), true);
})
