// node:async_hooks: AsyncLocalStorage and AsyncResource, as in Node.js and Workers.
//
// For other scripts:
//   internals.asyncHooks  what the module exports
//   internals.readContext(key, absent) runInContext(key, value, call, self, arguments)
//     what AsyncLocalStorage is made of: a value by a key, for a call and all that it leaves for later
//
// What storages hold is a list of frames, which are not changed: V8 keeps the first one, as the context (01_infra),
// with each promise reaction, and nothing is to be copied but when a storage gets a value.
(function (ops, internals) {
  "use strict";
  const { Error, ObjectDefineProperty, ReflectApply, String, TypeError } = internals.primordials;
  const { currentContext, enterContext, webidl } = internals;

  // The value of one storage. No storage has two in a list.
  class Frame {
    exchange; // for which the code runs, or undefined; the same in all frames of a list
    key;
    value;
    next;
    constructor(exchange, key, value, next) {
      this.exchange = exchange;
      this.key = key;
      this.value = value;
      this.next = next;
    }
  }

  // The frames of a context, of which an Exchange by itself has none.
  const framesOf = (context) => context === undefined || context.exchange === context ? null : context;
  const exchangeOf = (context) => context === undefined ? undefined : context.exchange;

  function find(frame, key) {
    while (frame !== null && frame.key !== key) frame = frame.next;
    return frame;
  }

  // The list without the frame of a key. Their order means nothing.
  function without(frames, key) {
    const found = find(frames, key);
    if (found === null) return frames;
    let rest = found.next;
    for (let frame = frames; frame !== found; frame = frame.next) {
      rest = new Frame(frame.exchange, frame.key, frame.value, rest);
    }
    return rest;
  }

  // The context of frames and the exchange that runs. What was captured in one request and is called in another has
  // the values of the one, and belongs to the other: that pays for it.
  function contextOf(frames, exchange) {
    if (frames === null) return exchange;
    if (frames.exchange === exchange) return frames;
    let list = null;
    for (let frame = frames; frame !== null; frame = frame.next) list = new Frame(exchange, frame.key, frame.value, list);
    return list;
  }

  function withValue(context, key, value) {
    return new Frame(exchangeOf(context), key, value, without(framesOf(context), key));
  }

  // Calls a function in a context, whatever the one is that the function leaves behind.
  function callIn(context, call, self, list) {
    const before = currentContext();
    enterContext(context);
    try {
      return ReflectApply(call, self, list);
    } finally {
      enterContext(before);
    }
  }

  internals.readContext = function readContext(key, absent) {
    const frame = find(framesOf(currentContext()), key);
    return frame === null ? absent : frame.value;
  };
  internals.runInContext = function runInContext(key, value, call, self, list) {
    return callIn(withValue(currentContext(), key, value), call, self, list);
  };

  function requireFunction(value, context, index) {
    if (typeof value !== "function") {
      throw new TypeError(context + ": parameter " + index + " is not of type 'function'.");
    }
  }

  class AsyncLocalStorage {
    #absent;
    #name;

    constructor(options = undefined) {
      const { defaultValue, name } = webidl.dictionary(options, "Failed to construct 'AsyncLocalStorage'");
      this.#absent = defaultValue;
      this.#name = name === undefined ? "" : String(name);
    }

    // A function that calls `call` in the context of now.
    static bind(call) {
      requireFunction(call, "Failed to execute 'bind' on 'AsyncLocalStorage'", 1);
      return bind(new AsyncResource("AsyncLocalStorage"), call, undefined);
    }

    // A function (call, ...arguments) that calls what it is given in the context of now.
    static snapshot() {
      const resource = new AsyncResource("AsyncLocalStorage");
      return function (call, ...list) {
        requireFunction(call, "Failed to call the snapshot", 1);
        return runIn(resource, call, this, list);
      };
    }

    get name() {
      return this.#name;
    }

    getStore() {
      const frame = find(framesOf(currentContext()), this);
      return frame === null ? this.#absent : frame.value;
    }

    // Calls with a value for the storage, which what the call leaves for later has too.
    run(value, call, ...list) {
      if (!(#name in this)) throw webidl.illegalInvocation();
      requireFunction(call, "Failed to execute 'run' on 'AsyncLocalStorage'", 2);
      return callIn(withValue(currentContext(), this, value), call, undefined, list);
    }

    exit(call, ...list) {
      if (!(#name in this)) throw webidl.illegalInvocation();
      requireFunction(call, "Failed to execute 'exit' on 'AsyncLocalStorage'", 1);
      return callIn(withValue(currentContext(), this, undefined), call, undefined, list);
    }

    // Gives it a value from here on: for what runs now, until it returns to the runtime, and what that leaves for later.
    enterWith(value) {
      if (!(#name in this)) throw webidl.illegalInvocation();
      enterContext(withValue(currentContext(), this, value));
    }

    // The contrary of enterWith.
    disable() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      const context = currentContext();
      const frames = without(framesOf(context), this);
      enterContext(frames === null ? exchangeOf(context) : frames);
    }
  }

  // ---- AsyncResource ----

  let lastId = 0;
  let runIn; // (resource, call, self, list)

  class AsyncResource {
    #frames = framesOf(currentContext());
    #id = ++lastId;
    #trigger;

    static {
      runIn = (resource, call, self, list) =>
        callIn(contextOf(resource.#frames, exchangeOf(currentContext())), call, self, list);
    }

    constructor(type, options = undefined) {
      const context = "Failed to construct 'AsyncResource'";
      if (typeof type !== "string") throw new TypeError(context + ": parameter 1 is not of type 'string'.");
      const trigger = typeof options === "number" ? options : webidl.dictionary(options, context).triggerAsyncId;
      this.#trigger = trigger === undefined ? 0 : webidl.double(trigger, context);
    }

    static bind(call, type = undefined, self = undefined) {
      requireFunction(call, "Failed to execute 'bind' on 'AsyncResource'", 1);
      return bind(new AsyncResource(type === undefined ? "bound" : String(type)), call, self);
    }

    asyncId() {
      return this.#id;
    }

    triggerAsyncId() {
      return this.#trigger;
    }

    // Nobody is told of it: there are no hooks.
    emitDestroy() {
      if (!(#id in this)) throw webidl.illegalInvocation();
      return this;
    }

    // A function that calls `call` in the context in which the resource was made.
    bind(call, self = undefined) {
      if (!(#id in this)) throw webidl.illegalInvocation();
      requireFunction(call, "Failed to execute 'bind' on 'AsyncResource'", 1);
      return bind(this, call, self);
    }

    runInAsyncScope(call, self = undefined, ...list) {
      if (!(#id in this)) throw webidl.illegalInvocation();
      requireFunction(call, "Failed to execute 'runInAsyncScope' on 'AsyncResource'", 1);
      return runIn(this, call, self, list);
    }
  }

  // self undefined: that of whoever calls
  function bind(resource, call, self) {
    const bound = function (...list) {
      return runIn(resource, call, self === undefined ? this : self, list);
    };
    ObjectDefineProperty(bound, "length", {
      __proto__: null, value: call.length, writable: false, enumerable: false, configurable: true,
    });
    return bound;
  }

  // ---- The rest of the module ----
  // Some packages import these names, for runtimes that number their calls. As on Workers, nothing is numbered here.

  const { createHook, executionAsyncId, executionAsyncResource, triggerAsyncId } = {
    createHook() {
      throw new Error("createHook() of node:async_hooks is not supported; use AsyncLocalStorage");
    },
    executionAsyncId() {
      return 0;
    },
    executionAsyncResource() {
      return { __proto__: null };
    },
    triggerAsyncId() {
      return 0;
    },
  };

  internals.asyncHooks = {
    __proto__: null, AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, executionAsyncResource, triggerAsyncId,
  };
})
