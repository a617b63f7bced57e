// Functions of Go: webapi.HostCalls names them, hostcall describes them.
//
// internals.host             its members are the functions, made when they are first read: scripts take what
//     they need once, `const { digest } = internals.host`. Arguments: strings, numbers, booleans, null, ArrayBuffers and
//     their views, and objects that such functions have returned. They return undefined, a result, or an array of
//     results, or throw. The app waits: for what takes at most some 100 us.
//     Read an array by its indices, since the iterator of arrays is the app's.
// internals.hostAsync(name, ...arguments)  -> a promise of the same, for what takes longer. It throws while an
//     app's top level runs, and for arguments that cannot be passed. An OperationError: too many of the app's wait.
(function (ops, internals) {
  "use strict";
  const { ArrayIsArray, ObjectSetPrototypeOf, PromiseWithResolvers, Proxy } = internals.primordials;
  const { currentRequestId, requireStarted } = internals;
  const { hostFunction, hostOpen, hostTake } = ops;

  internals.host = new Proxy({ __proto__: null }, {
    __proto__: null,
    get(made, name) {
      if (made[name] === undefined) made[name] = hostFunction(name);
      return made[name];
    },
  });

  const FAULT_LIMIT = 4;

  // Work is a call that runs elsewhere, as an object of internals.io.
  class Work {
    handle = 0;
    outcome = PromiseWithResolvers();
    list; // of arguments: those that are host objects must not be collected before the loop has seen the call

    constructor(list) {
      this.list = list;
    }
    onData(words, offset) {
      try {
        const results = hostTake(words, offset);
        if (ArrayIsArray(results)) ObjectSetPrototypeOf(results, null); // the app's `then` is not asked
        this.outcome.resolve(results);
      } catch (error) {
        this.outcome.reject(error);
      }
      internals.io.forget(this.handle);
    }
    onEnd(fault, text) {
      this.outcome.reject(fault === FAULT_LIMIT ? internals.domException(text, "OperationError")
        : internals.io.makeError(fault, text));
      internals.io.forget(this.handle);
    }
  }

  internals.hostAsync = function hostAsync(name, ...list) {
    requireStarted("This operation");
    const work = new Work(list);
    work.handle = hostOpen(currentRequestId(), name, list);
    internals.io.adopt(work.handle, work);
    return work.outcome.promise;
  };
})
