// From the records of a turn to the app's fetch() and back: the hooks that the C++ side calls.
//
// The way of most requests is short: `run` calls the handler; a Response, or a promise that is fulfilled
// already, is sent at once by `deliver`. No closure and no promise is made for it, and nothing remembers the
// request. Only a handler that is still working, or a streaming body, is kept in `active`, by request id.
(function (ops, internals) {
  "use strict";
  const {
    Error, FunctionPrototypeCall, JSONParse, ObjectGetOwnPropertyDescriptor, ObjectHasOwn, ObjectKeys,
    StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeSplit,
    StringPrototypeStartsWith, SymbolPrototypeToString,
  } = internals.primordials;
  const {
    classify, constructorName, drainMicrotasks, now, promiseResult, promiseState, refuseSnapshot, remoteAddress, respond,
    respondChunk, respondEnd, settled,
  } = ops;
  const {
    Table, abortRequest, copyRecord, currentExchange, endRequestBody, enterContext, isResponse, logUnder, requestFromRecord, running,
    sendPlain, sendResponse, streamOf, webSocketOf, webidl, whyUnsendable,
  } = internals;

  // Kinds of records, and the word of a record that holds an id.
  const KIND_REQUEST = 1;
  const KIND_TIMER = 2;
  const KIND_SENT = 3;
  const KIND_GONE = 4;
  const KIND_SCHEDULED = 10;
  const WORD_KIND = 1;
  const WORD_ID = 2;
  const WORD_METHOD = 3;
  const METHOD_MASK = 0xff;
  const METHOD_HEAD = 1;
  const FLAG_STREAMS = 1 << 17; // in the same word: the request's body

  // The first words of an arena, ArenaCell in engine.h.
  const CELL_END = 0;
  const CELL_DRAIN = 1;
  const CELL_NEXT = 2;

  const FLAG_PENDING = 2;
  const FLAG_NULL_BODY = 4;
  const LEVEL_UNCAUGHT = 4;
  const CLASS_ERROR = 1;
  const PROMISE_FULFILLED = 1;
  const STACK_TRACE_LIMIT = 10; // V8's --stack-trace-limit

  const HEAD_TEXT = "content-type: text/plain;charset=UTF-8\r\n";

  // The app: what start() found.
  let target; // its default export
  let handler; // the function fetch of it
  let scheduledHandler; // the function scheduled of it
  let isServiceWorker = false; // it has listeners on the global object instead
  let env;
  let offer = null; // what env is to be made of, see offerEnv
  let appName = "";
  let stackTraceLimit = STACK_TRACE_LIMIT; // Error.stackTraceLimit as the app's snapshot has it

  // Exchanges of which a later record may come: the handler is at work, or the body streams. By id.
  const active = new Table();

  // ---- One request ----

  // A request and its answer, as far as the dispatcher must know, and the context in which its code begins. C++
  // reads `ended`, and counts in `cpu` the CPU time that the request has used.
  //
  // A literal rather than a class: until code has been optimized, each field of an instance costs a call.
  function newExchange(id, words, offset) {
    const exchange = {
      exchange: null, // itself: each context (01_infra) has it
      id,
      cpu: 0, // microseconds
      ended: false, // the loop has heard the last of it
      words,
      offset,
      request: null,
      props: null, // of its ExecutionContext
      waits: 0, // promises given to waitUntil that are still pending
      subrequests: 0, // made so far, see internals.countSubrequest
      isRenewed: false, // a WebSocket has its connection, see internals.enterEvent
      unread: null, // calls of fetch() whose answers have a body that streams: a list
      answered: false,
      pending: false, // the loop was told that `settled` follows
      gone: false, // the client has left
      pump: null, // of a streaming body
    };
    exchange.exchange = exchange;
    return exchange;
  }

  // First argument of the constructor of ctx; nothing that an app can name.
  const FROM_DISPATCH = { __proto__: null };

  // ctx, the third argument of fetch().
  class ExecutionContext {
    #exchange;

    constructor(key, exchange) {
      if (key !== FROM_DISPATCH) throw webidl.illegalConstructor();
      this.#exchange = exchange;
    }

    static {
      internals.waitUntil = (context, promise) => {
        internals.waitForExchange(context.#exchange, promise);
      };
    }

    // Keeps the app at work for this request after its response was sent, until the promise settles.
    waitUntil(promise) {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      if (arguments.length < 1) {
        webidl.requiredArguments(0, 1, "Failed to execute 'waitUntil' on 'ExecutionContext'");
      }
      internals.waitUntil(this, promise);
    }

    // There is no origin behind an app to pass to: a failed request is answered with status 500.
    passThroughOnException() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
    }

    get remoteAddress() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      const { words, offset } = this.#exchange;
      return words[offset + WORD_KIND] === KIND_REQUEST ? remoteAddress(words, offset) : "";
    }

    get props() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      const exchange = this.#exchange;
      if (exchange.props === null) exchange.props = {};
      return exchange.props;
    }
  }

  function run(words, offset) {
    const id = words[offset + WORD_ID];
    const exchange = newExchange(id, words, offset);
    enterContext(exchange);
    try {
      const request = requestFromRecord(words, offset);
      exchange.request = request;
      let result;
      try {
        result = FunctionPrototypeCall(handler, target, request, env, new ExecutionContext(FROM_DISPATCH, exchange));
      } catch (error) {
        fail(exchange, error);
        return;
      }
      if (exchange.waits === 0 && sendPlain(result, exchange)) {
        exchange.answered = true;
        end(exchange);
      } else if (isResponse(result)) {
        deliver(exchange, result);
      } else {
        resolve(exchange, result);
      }
    } catch (error) {
      internalError(exchange, error);
    } finally {
      enterContext(undefined);
    }
  }

  // Goes on with what the handler returned, if that is no Response.
  function resolve(exchange, result) {
    if (promiseState(result) === PROMISE_FULFILLED) {
      deliver(exchange, promiseResult(result));
    } else if (webidl.isObject(result)) {
      // A promise that is pending; or rejected: awaiting it tells V8 that it is handled. Or something with
      // `then`, a promise of another make.
      active.set(exchange);
      settle(exchange, result);
    } else {
      deliver(exchange, result);
    }
  }

  // await rather than Promise.prototype.then, whose species an app can change.
  async function settle(exchange, promise) {
    let value;
    try {
      value = await promise;
    } catch (error) {
      forget(exchange);
      try {
        fail(exchange, error);
      } catch (inner) {
        internalError(exchange, inner);
      }
      return;
    }
    forget(exchange);
    try {
      deliver(exchange, value);
    } catch (error) {
      internalError(exchange, error);
    }
  }

  // The loop may have given the id to another request meanwhile, if this one's client has gone away.
  function forget(exchange) {
    if (active.get(exchange.id) === exchange) active.delete(exchange.id);
  }

  // Answers with what fetch() came to.
  function deliver(exchange, value) {
    if (exchange.answered) { // its client has gone meanwhile
      discard(value);
      return;
    }
    if (exchange.waits === 0 && sendPlain(value, exchange)) {
      exchange.answered = true;
      end(exchange);
      return;
    }
    const why = isResponse(value) ? whyUnsendable(value) : describe(value) + " instead of a Response";
    if (why !== "") {
      const text = "fetch() returned " + why;
      logUnder(exchange, LEVEL_UNCAUGHT, text);
      refuse(exchange, text);
      return;
    }
    exchange.answered = true;
    if (exchange.waits !== 0) exchange.pending = true;
    const stream = sendResponse(value, exchange, exchange.pending ? FLAG_PENDING : 0);
    if (stream !== null) startStream(exchange, stream);
    else if (!exchange.pending) end(exchange);
  }

  // Cancels the stream of a response that nobody wants.
  function discard(value) {
    if (isResponse(value) && webSocketOf(value) !== null) {
      if (whyUnsendable(value) === "") internals.dropWebSocket(webSocketOf(value));
      return;
    }
    const stream = isResponse(value) && whyUnsendable(value) === "" ? streamOf(value) : null;
    if (stream === null) return;
    const reason = internals.domException("The body is not wanted.", "AbortError");
    internals.streams.cancelReader(internals.streams.acquireReader(stream), reason);
  }

  // The loop expects nothing more of the request. Code that it has left behind runs on the app's account.
  function end(exchange) {
    exchange.ended = true;
    if ((exchange.words[exchange.offset + WORD_METHOD] & FLAG_STREAMS) !== 0) {
      endRequestBody(exchange.request, exchange.words, exchange.offset, "The request has been answered.");
    }
    exchange.request = null;
    for (let call = exchange.unread, next; call !== null; call = next) {
      next = call.nextUnread;
      call.dropUnread();
    }
    exchange.unread = null;
  }

  // Answers with status 500 for an error that the handler threw or rejected with.
  function fail(exchange, error) {
    if (exchange.answered) return;
    logUnder(exchange, LEVEL_UNCAUGHT, describeError(error));
    refuse(exchange, "uncaught " + headline(error));
  }

  function refuse(exchange, text) {
    exchange.answered = true;
    if (exchange.waits !== 0) exchange.pending = true;
    respond(exchange.id, 500, "", HEAD_TEXT, "nano: " + appName + ": " + text, exchange.pending ? FLAG_PENDING : 0);
    if (!exchange.pending) end(exchange);
  }

  // Something of ours went wrong, such as a stack overflow at the worst place: the request must end
  // nevertheless.
  function internalError(exchange, error) {
    if (!exchange.answered) {
      exchange.answered = true;
      respond(exchange.id, 500, "", HEAD_TEXT, "nano: " + appName + ": internal error", 0);
      end(exchange);
    } else if (exchange.pump !== null) {
      exchange.pump.break(error);
    }
    logUnder(exchange, LEVEL_UNCAUGHT, "internal error: " + describeError(error));
  }

  // ---- Schedules ----

  // The event of a schedule is answered as a request is, with status 200 or 500 and no body.
  function runScheduled(words, offset) {
    const exchange = newExchange(words[offset + WORD_ID], words, offset);
    enterContext(exchange);
    internals.load(SCHEDULED_SCRIPT);
    active.set(exchange);
    const controller = internals.scheduledController(words, offset);
    perform(exchange, controller);
  }
  const SCHEDULED_SCRIPT = "69_scheduled";

  async function perform(exchange, controller) {
    let status = 200;
    try {
      if (scheduledHandler === undefined) throw new Error("the default export has no function scheduled");
      await FunctionPrototypeCall(scheduledHandler, target, controller, env, new ExecutionContext(FROM_DISPATCH, exchange));
    } catch (error) {
      status = 500;
      logUnder(exchange, LEVEL_UNCAUGHT, "scheduled: " + describeError(error));
    }
    forget(exchange);
    if (exchange.answered) return; // it took longer than the loop waits
    exchange.answered = true;
    if (exchange.waits !== 0) exchange.pending = true;
    respond(exchange.id, status, "", "", undefined, FLAG_NULL_BODY | (exchange.pending ? FLAG_PENDING : 0));
    if (!exchange.pending) end(exchange);
  }

  // ---- waitUntil ----

  internals.waitForExchange = function waitForExchange(exchange, promise) {
    exchange.waits++;
    waitFor(exchange, promise);
  };

  async function waitFor(exchange, promise) {
    try {
      await promise;
    } catch (error) {
      logUnder(exchange, LEVEL_UNCAUGHT, "waitUntil: " + describeError(error));
    }
    exchange.waits--;
    settleIfDone(exchange);
  }

  // What else keeps an exchange from being over, such as a body that the app still sends somewhere.
  internals.holdExchange = function holdExchange(exchange) {
    if (exchange !== undefined) exchange.waits++;
  };
  internals.releaseExchange = function releaseExchange(exchange) {
    if (exchange === undefined) return;
    exchange.waits--;
    settleIfDone(exchange);
  };

  function settleIfDone(exchange) {
    if (!exchange.pending || exchange.waits !== 0 || exchange.pump !== null) return;
    exchange.pending = false;
    settled(exchange.id);
    end(exchange);
  }

  // ---- Streaming bodies ----

  function startStream(exchange, stream) {
    exchange.pending = true;
    const { acquireReader, createPump } = internals.streams;
    const pump = createPump(new ResponseTarget(exchange), acquireReader(stream));
    exchange.pump = pump;
    if (exchange.gone || (exchange.words[exchange.offset + WORD_METHOD] & METHOD_MASK) === METHOD_HEAD) {
      // Nobody wants the body: of HEAD only the head is sent.
      pump.abandon(internals.domException("The body is not wanted.", "AbortError"), exchange.gone);
      return;
    }
    active.set(exchange);
    pump.fill();
    if (exchange.pump !== null) copyRecord(exchange);
  }

  // Where the pump of a response puts what it reads.
  class ResponseTarget {
    exchange;
    constructor(exchange) {
      this.exchange = exchange;
    }
    write(chunk) {
      respondChunk(this.exchange.id, chunk);
    }
    end(failed, error) {
      const { exchange } = this;
      if (failed && !exchange.gone) logUnder(exchange, LEVEL_UNCAUGHT, describeError(error));
      respondEnd(exchange.id, failed);
      forget(exchange);
      exchange.pump = null;
      settleIfDone(exchange);
    }
  }

  function sent(id) {
    const exchange = active.get(id);
    if (exchange === undefined || exchange.pump === null) return;
    enterContext(exchange);
    exchange.pump.sent();
  }

  function gone(id) {
    const exchange = active.get(id);
    if (exchange === undefined) return;
    exchange.gone = true;
    forget(exchange); // no more records come, and a promise that never settles must not keep it alive
    enterContext(exchange);
    const { request } = exchange;
    const reason = internals.domException("The client has disconnected.", "AbortError");
    if (exchange.pump !== null) exchange.pump.abandon(reason, true);
    if (request !== null) {
      endRequestBody(request, exchange.words, exchange.offset, "The client has disconnected.");
      abortRequest(request, reason);
    }
    if (exchange.answered) return;
    // Whatever the handler comes to now, and it may never: the loop need not wait for it.
    exchange.answered = true;
    if (exchange.waits !== 0) exchange.pending = true;
    respond(id, 503, "", "", undefined, FLAG_NULL_BODY | (exchange.pending ? FLAG_PENDING : 0));
    if (!exchange.pending) end(exchange);
  }

  // ---- Words for values ----

  // What a value is, for messages: "undefined", "a string", "an instance of class Foo".
  function describe(value) {
    switch (typeof value) {
      case "undefined": return "undefined";
      case "object": break;
      default: return "a " + typeof value;
    }
    if (value === null) return "null";
    const name = constructorName(value);
    if (name === "Object") return "a plain object";
    if (name === "Response") return "an instance of another class named Response";
    return "an instance of class " + name;
  }

  // The first line of an error, as a client may see it: "TypeError: x is not a function".
  function headline(error) {
    let text;
    try {
      if (typeof error === "symbol") {
        text = SymbolPrototypeToString(error);
      } else if (webidl.isObject(error) && typeof error !== "function") {
        const { name, message } = error;
        const title = typeof name === "string" && name !== "" ? name : describe(error);
        text = typeof message === "string" && message !== "" ? title + ": " + message : title;
      } else if (typeof error === "function") {
        text = "a function";
      } else {
        text = "" + error;
      }
    } catch {
      text = "an error that cannot be read"; // by a getter of the app
    }
    const end = StringPrototypeIndexOf(text, "\n");
    if (end >= 0) text = StringPrototypeSlice(text, 0, end);
    return text.length > HEADLINE_LENGTH_MAX ? StringPrototypeSlice(text, 0, HEADLINE_LENGTH_MAX) + "..." : text;
  }
  const HEADLINE_LENGTH_MAX = 500;

  // An error for the log: its stack without the runtime's own frames, and those of its causes.
  function describeError(error) {
    let text = "";
    for (let depth = 0; depth < CAUSES_MAX; depth++) {
      if (!isPlainError(error)) return text + describeThrown(error);
      text += stackOf(error);
      const descriptor = ObjectGetOwnPropertyDescriptor(error, "cause");
      if (descriptor === undefined || !ObjectHasOwn(descriptor, "value") || descriptor.value === error) return text;
      error = descriptor.value;
      text += "\ncaused by: ";
    }
    return text + "...";
  }
  const CAUSES_MAX = 8;

  // An Error of which stack and cause tell everything. Nothing of the app runs to find that out.
  const isPlainError = (error) =>
    classify(error) === CLASS_ERROR && ObjectKeys(error).length === 0 && !ObjectHasOwn(error, "errors");

  // Whatever else was thrown. Objects are shown as the console shows them.
  function describeThrown(value) {
    if (!webidl.isObject(value)) return headline(value);
    try {
      internals.load(INSPECT_SCRIPT);
      return internals.inspect(value);
    } catch {
      return headline(value); // a getter of the app threw
    }
  }
  const INSPECT_SCRIPT = "55_inspect";

  function stackOf(error) {
    let stack;
    try {
      stack = error.stack;
    } catch {
      // A getter of the app; its headline must do.
    }
    if (typeof stack !== "string" || stack === "") return headline(error);
    const lines = StringPrototypeSplit(stack, "\n");
    let text = lines[0];
    for (let i = 1; i < lines.length; i++) {
      const line = lines[i];
      const own = StringPrototypeStartsWith(line, "    at ") &&
        (StringPrototypeIncludes(line, "(nano:") || StringPrototypeIncludes(line, "at nano:"));
      if (!own) text += "\n" + line;
    }
    return text;
  }

  // ---- Hooks ----

  internals.describe = describe;
  internals.describeError = describeError;
  // The announcements are there once 50_events has run: before, the global object has no listener.
  internals.reportException = internals.onError = function onError(error) {
    const { announceError } = internals;
    if (announceError === undefined || announceError(error)) {
      logUnder(currentExchange(), LEVEL_UNCAUGHT, describeError(error));
    }
  };
  internals.onUnhandledRejection = function onUnhandledRejection(promise, reason) {
    const { announceRejection } = internals;
    if (announceRejection === undefined || announceRejection(promise, reason)) {
      logUnder(currentExchange(), LEVEL_UNCAUGHT, "unhandled rejection: " + describeError(reason));
    }
  };

  // Takes the app's main module, evaluated. Throws if it has no fetch function to call. What this leaves
  // behind is kept in the app's snapshot, so env, which holds secrets, is not known yet: see resume.
  internals.start = function start(namespace, name) {
    enterContext(undefined); // the top level may have left another
    const exported = namespace.default;
    if (exported === undefined) {
      startServiceWorker();
      appName = name;
      return;
    }
    if (!webidl.isObject(exported)) {
      throw new Error("the default export is " + describe(exported) + ", not an object with a function fetch");
    }
    // Where nobody has loaded 77_workers, nothing can be an entry point.
    const entrypoint = internals.entrypoint === undefined ? null : internals.entrypoint(exported);
    const { fetch, scheduled } = entrypoint === null ? exported : entrypoint;
    if (typeof fetch !== "function" && (fetch !== undefined || typeof scheduled !== "function")) {
      if (entrypoint === null && typeof exported === "function" && exported.prototype !== undefined &&
          typeof exported.prototype.fetch === "function") {
        throw new Error("the default export is a class that does not extend WorkerEntrypoint of cloudflare:workers; " +
          "let it do so, or export an instance of it: `export default new " + exported.name + "()`");
      }
      throw new Error("the default export has no function fetch" +
        (fetch === undefined ? "" : ": its fetch is " + describe(fetch)));
    }
    target = exported;
    handler = fetch === undefined ? withoutFetch : fetch;
    scheduledHandler = typeof scheduled === "function" ? scheduled : undefined;
    isServiceWorker = false;
    appName = name;
  };

  // An app without default export has listeners instead.
  function startServiceWorker() {
    const hasListener = (type) => internals.hasScopeListener !== undefined && internals.hasScopeListener(type);
    const serves = hasListener("fetch");
    if (!serves && !hasListener("scheduled")) {
      throw new Error("the main module has no default export; it needs `export default { fetch(request) { ... } }`" +
        " or `addEventListener(\"fetch\", (event) => event.respondWith(...))`");
    }
    internals.load(SERVICE_WORKER_SCRIPT);
    isServiceWorker = true;
    target = undefined;
    handler = serves ? internals.serveFetchEvent : withoutFetch;
    scheduledHandler = hasListener("scheduled") ? internals.serveScheduledEvent : undefined;
  }
  const SERVICE_WORKER_SCRIPT = "78_service_worker";

  // What stands for the function fetch of an app that only has scheduled.
  function withoutFetch() {
    throw new Error(isServiceWorker ? "the app has no listener of the event fetch"
      : "the default export has no function fetch");
  }

  // Gives a started app its env, before the first request: after start, or after a snapshot was restored.
  // bindingsJSON: what else is in it, see isolates.AppOptions, or "". name: the app's, if it is restored: apps of
  // the same sources share a snapshot, which has the name of the one that it was built for.
  internals.resume = function resume(envJSON, bindingsJSON = "", name = appName) {
    if (env === undefined) env = makeEnv(envJSON, bindingsJSON);
    offer = null;
    appName = name;
    running.clockOrigin = now();
    if (bindingsJSON !== "") {
      const bindings = JSONParse(bindingsJSON);
      if (ObjectHasOwn(bindings, "subrequests")) running.subrequestLimit = bindings.subrequests;
      if (ObjectHasOwn(bindings, "clock")) running.clockStep = bindings.clock;
    }
    if (isServiceWorker) internals.bindGlobals(env);
    if (stackTraceLimit !== STACK_TRACE_LIMIT) Error.stackTraceLimit = stackTraceLimit;
  };

  function makeEnv(envJSON, bindingsJSON) {
    const made = JSONParse(envJSON);
    if (bindingsJSON === "") return made;
    const bindings = JSONParse(bindingsJSON);
    if (ObjectHasOwn(bindings, "services") || ObjectHasOwn(bindings, "assets")) {
      internals.load(BINDINGS_SCRIPT);
      internals.installBindings(made, bindings);
    }
    return made;
  }
  const BINDINGS_SCRIPT = "64_bindings";

  // Tells an app that is about to start from its source, and not for a snapshot, what its env will be.
  internals.offerEnv = function offerEnv(envJSON, bindingsJSON) {
    offer = { __proto__: null, envJSON, bindingsJSON };
  };

  // env for code that was not given it. If the top level reads it, the app has no snapshot: what is in env would be
  // kept there, secrets too, for all apps of the same sources.
  internals.currentEnv = function currentEnv() {
    if (env === undefined && offer !== null) env = makeEnv(offer.envJSON, offer.bindingsJSON);
    if (env !== undefined) return env;
    refuseSnapshot(ENV_AT_START);
    throw new Error(ENV_AT_START);
  };
  const ENV_AT_START = "env of cloudflare:workers is not known while a snapshot is built; read it inside fetch()";

  // V8 defines Error.stackTraceLimit whenever it makes or restores a context, but not in an isolate that is to be
  // snapshotted: errors have no stack there, and if an app defines it, V8 defines it once more in what it restores,
  // and dies of that. So it is there while a snapshot is built, and taken away just before.
  internals.building = function building(begins) {
    if (begins) {
      Error.stackTraceLimit = STACK_TRACE_LIMIT;
    } else {
      stackTraceLimit = Error.stackTraceLimit;
      delete Error.stackTraceLimit;
    }
  };

  // Takes the app away again, which the runtime was warmed up with.
  internals.forget = function forget() {
    target = undefined;
    handler = undefined;
    scheduledHandler = undefined;
    isServiceWorker = false;
    appName = "";
  };

  // Takes env away again, after the synthetic request that warms an app up before its snapshot is made.
  internals.suspend = function suspend() {
    env = undefined;
    running.clockOrigin = 0; // each snapshot of an app is the same
  };

  // Handles the records of a turn. An error in one stays there. Gives how many it has left, since the turn's
  // share of time is over.
  internals.tick = function tick(words, offset, count) {
    running.turn = (running.turn + 1) | 0;
    running.words = words;
    for (let left = count; left !== 0; left--) {
      if (words[CELL_END] !== 0 && left !== count) {
        words[CELL_NEXT] = offset;
        running.words = null;
        return left;
      }
      const size = words[offset];
      const kind = words[offset + WORD_KIND];
      if (kind === KIND_REQUEST) {
        run(words, offset);
        if (words[CELL_DRAIN] !== 0) drainMicrotasks();
      } else {
        handle(kind, words, offset);
        // HTML: what a timer's callback leaves behind runs before the next one.
        if (left !== 1 && (kind === KIND_TIMER || words[CELL_DRAIN] !== 0)) drainMicrotasks();
      }
      offset += size;
    }
    running.words = null; // they may lie beside a large body
    return 0;
  };

  let receive; // of internals.io, whose script may have to be loaded
  function handle(kind, words, offset) {
    try {
      const id = words[offset + WORD_ID];
      if (kind === KIND_TIMER) internals.fireTimer(id);
      else if (kind === KIND_SENT) sent(id);
      else if (kind === KIND_GONE) gone(id);
      else if (kind === KIND_SCHEDULED) runScheduled(words, offset);
      else (receive ??= internals.io.receive)(kind, words, offset);
    } catch (error) {
      internals.onError(error);
    } finally {
      enterContext(undefined);
    }
  }

  internals.configureInterface(ExecutionContext);
})
