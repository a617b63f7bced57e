// cloudflare:workers: env and waitUntil() without a request at hand, and the classes that entry points extend.
//
// For other scripts:
//   internals.workers            what the module exports
//   internals.entrypoint(value)  what handles the events of an app whose default export is a class that extends
//       WorkerEntrypoint, { fetch, scheduled }, either undefined if the class lacks it; or null for all other values
(function (ops, internals) {
  "use strict";
  const {
    Error, ObjectGetPrototypeOf, Proxy, ReflectConstruct, ReflectGetOwnPropertyDescriptor, ReflectOwnKeys, TypeError,
  } = internals.primordials;
  const { currentExchange, readContext, runInContext, webidl } = internals;

  // ---- env ----

  const ENV = { __proto__: null }; // the key in the context of what withEnv() has given

  function currentEnv() {
    const given = readContext(ENV, undefined);
    return given === undefined ? internals.currentEnv() : given;
  }

  // Modules take env once and keep it, so it is whatever env is when it is asked.
  const env = new Proxy({ __proto__: null }, {
    __proto__: null,
    get: (_, key) => currentEnv()[key],
    set(_, key, value) {
      currentEnv()[key] = value;
      return true;
    },
    has: (_, key) => key in currentEnv(),
    deleteProperty: (_, key) => delete currentEnv()[key],
    ownKeys: () => ReflectOwnKeys(currentEnv()),
    getOwnPropertyDescriptor(_, key) {
      const descriptor = ReflectGetOwnPropertyDescriptor(currentEnv(), key);
      if (descriptor === undefined) return undefined;
      return { __proto__: null, value: currentEnv()[key], writable: true, enumerable: descriptor.enumerable, configurable: true };
    },
    defineProperty: () => false,
    setPrototypeOf: () => false,
    preventExtensions: () => false,
  });

  const { withEnv, waitUntil } = {
    // Calls a function for which, and for what it leaves for later, env is another object.
    withEnv(value, call) {
      const context = "Failed to execute 'withEnv'";
      if (!webidl.isObject(value)) throw new TypeError(context + ": parameter 1 is not an object.");
      if (typeof call !== "function") throw new TypeError(context + ": parameter 2 is not a function.");
      return runInContext(ENV, value, call, undefined, []);
    },
    // ctx.waitUntil() of the request that runs.
    waitUntil(promise) {
      webidl.requiredArguments(arguments.length, 1, "Failed to execute 'waitUntil'");
      const exchange = currentExchange();
      if (exchange === undefined) throw new Error("waitUntil() is for code that runs for a request");
      internals.waitForExchange(exchange, promise);
    },
  };

  // ---- Classes ----

  class WorkerEntrypoint {
    ctx;
    env;
    constructor(ctx, env) {
      this.ctx = ctx;
      this.env = env;
    }
  }

  class RpcTarget {}

  const lacking = (name, what) => new Error(name + " cannot be constructed: there are no " + what + " in this version");
  class DurableObject {
    constructor() {
      throw lacking("DurableObject", "Durable Objects");
    }
  }
  class WorkflowEntrypoint {
    constructor() {
      throw lacking("WorkflowEntrypoint", "Workflows");
    }
  }

  internals.workers = { __proto__: null, DurableObject, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, env, waitUntil, withEnv };

  function isEntrypoint(value) {
    if (typeof value !== "function") return false;
    for (let parent = ObjectGetPrototypeOf(value); parent !== null; parent = ObjectGetPrototypeOf(parent)) {
      if (parent === WorkerEntrypoint) return true;
    }
    return false;
  }

  internals.entrypoint = function entrypoint(value) {
    if (!isEntrypoint(value)) return null;
    const { prototype } = value;
    // Each event has an instance of its own.
    return {
      __proto__: null,
      fetch: typeof prototype.fetch !== "function" ? undefined
        : (request, env, ctx) => ReflectConstruct(value, [ctx, env]).fetch(request),
      scheduled: typeof prototype.scheduled !== "function" ? undefined
        : (controller, env, ctx) => ReflectConstruct(value, [ctx, env]).scheduled(controller),
    };
  };
})
