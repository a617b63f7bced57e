// From the records of a turn to the app's fetch() and back: the hooks that the C++ side calls.
//
// The way of most requests is short: `run` calls the handler; a Response, or a promise that is fulfilled
// already, is sent at once by `deliver`. No closure and no promise is made for it, and nothing remembers the
// request. Only a handler that is still working, or a streaming body, is kept in `active`, by request id.
(function (ops, internals) {
  "use strict";
  const {
    Error, FunctionPrototypeCall, JSONParse, MathMax, ObjectGetOwnPropertyDescriptor, ObjectHasOwn, ObjectKeys,
    SafeMap, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeSplit,
    StringPrototypeStartsWith, SymbolPrototypeToString, TypeError, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const {
    classify, constructorName, drainMicrotasks, log, promiseResult, promiseState, remoteAddress, respond,
    respondChunk, respondEnd, settled,
  } = ops;
  const {
    abortRequest, currentRequestId, enterExchange, isResponse, requestFromRecord, sendResponse, streamOf, webidl,
    whyUnsendable,
  } = internals;

  // Kinds of records, and the word of a record that holds an id.
  const KIND_REQUEST = 1;
  const KIND_TIMER = 2;
  const KIND_SENT = 3;
  const KIND_GONE = 4;
  const WORD_KIND = 1;
  const WORD_ID = 2;
  const WORD_METHOD = 3;
  const METHOD_MASK = 0xff;
  const METHOD_HEAD = 1;

  // The first words of an arena, ArenaCell in engine.h.
  const CELL_END = 0;
  const CELL_DRAIN = 1;
  const CELL_NEXT = 2;

  const FLAG_PENDING = 2;
  const FLAG_NULL_BODY = 4;
  const LEVEL_UNCAUGHT = 4;
  const CLASS_ERROR = 1;
  const CLASS_TYPED_ARRAY = 15;
  const PROMISE_FULFILLED = 1;
  const STACK_TRACE_LIMIT = 10; // V8's --stack-trace-limit

  const HEAD_TEXT = "content-type: text/plain;charset=UTF-8\r\n";

  // The app: what start() found.
  let target; // its default export
  let handler; // the function fetch of it
  let env;
  let appName = "";
  let stackTraceLimit = STACK_TRACE_LIMIT; // Error.stackTraceLimit as the app's snapshot has it

  // Exchanges of which a later record may come: the handler is at work, or the body streams. By id.
  const active = new SafeMap();

  // ---- One request ----

  // A request and its answer, as far as the dispatcher must know. C++ reads `ended`, and counts in `cpu` the
  // CPU time that the request has used.
  class Exchange {
    id;
    cpu = 0; // microseconds
    ended = false; // the loop has heard the last of it
    words;
    offset;
    request = null;
    waits = 0; // promises given to waitUntil that are still pending
    answered = false;
    pending = false; // the loop was told that `settled` follows
    gone = false; // the client has left
    pump = null; // of a streaming body
    constructor(id, words, offset) {
      this.id = id;
      this.words = words;
      this.offset = offset;
    }
  }

  // ctx, the third argument of fetch().
  class ExecutionContext {
    #exchange;
    #props = null;

    constructor(exchange) {
      if (!(exchange instanceof Exchange)) throw webidl.illegalConstructor();
      this.#exchange = exchange;
    }

    // Keeps the app at work for this request after its response was sent, until the promise settles.
    waitUntil(promise) {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      if (arguments.length < 1) {
        webidl.requiredArguments(0, 1, "Failed to execute 'waitUntil' on 'ExecutionContext'");
      }
      this.#exchange.waits++;
      waitFor(this.#exchange, promise);
    }

    // There is no origin behind an app to pass to: a failed request is answered with status 500.
    passThroughOnException() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
    }

    get remoteAddress() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      return remoteAddress(this.#exchange.words, this.#exchange.offset);
    }

    get props() {
      if (!(#exchange in this)) throw webidl.illegalInvocation();
      if (this.#props === null) this.#props = {};
      return this.#props;
    }
  }

  function run(words, offset) {
    const id = words[offset + WORD_ID];
    const exchange = new Exchange(id, words, offset);
    enterExchange(exchange);
    try {
      const request = requestFromRecord(words, offset);
      exchange.request = request;
      let result;
      try {
        result = FunctionPrototypeCall(handler, target, request, env, new ExecutionContext(exchange));
      } catch (error) {
        fail(exchange, error);
        return;
      }
      if (isResponse(result)) {
        deliver(exchange, result);
      } else {
        resolve(exchange, result);
      }
    } catch (error) {
      internalError(exchange, error);
    } finally {
      enterExchange(undefined);
    }
  }

  // Goes on with what the handler returned, if that is no Response.
  function resolve(exchange, result) {
    if (promiseState(result) === PROMISE_FULFILLED) {
      deliver(exchange, promiseResult(result));
    } else if (webidl.isObject(result)) {
      // A promise that is pending; or rejected: awaiting it tells V8 that it is handled. Or something with
      // `then`, a promise of another make.
      active.set(exchange.id, exchange);
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
    const why = isResponse(value) ? whyUnsendable(value) : describe(value) + " instead of a Response";
    if (why !== "") {
      const text = "fetch() returned " + why;
      log(LEVEL_UNCAUGHT, exchange.id, text);
      refuse(exchange, text);
      return;
    }
    exchange.answered = true;
    if (exchange.waits !== 0) exchange.pending = true;
    const stream = sendResponse(value, exchange.id, exchange.pending ? FLAG_PENDING : 0);
    if (stream !== null) startStream(exchange, stream);
    else if (!exchange.pending) end(exchange);
  }

  // Cancels the stream of a response that nobody wants.
  function discard(value) {
    const stream = isResponse(value) && whyUnsendable(value) === "" ? streamOf(value) : null;
    if (stream === null) return;
    const reason = internals.domException("The body is not wanted.", "AbortError");
    internals.streams.cancelReader(internals.streams.acquireReader(stream), reason);
  }

  // The loop expects nothing more of the request. Code that it has left behind runs on the app's account.
  function end(exchange) {
    exchange.ended = true;
    exchange.request = null;
  }

  // Answers with status 500 for an error that the handler threw or rejected with.
  function fail(exchange, error) {
    if (exchange.answered) return;
    log(LEVEL_UNCAUGHT, exchange.id, describeError(error));
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
    log(LEVEL_UNCAUGHT, exchange.id, "internal error: " + describeError(error));
  }

  // ---- waitUntil ----

  async function waitFor(exchange, promise) {
    try {
      await promise;
    } catch (error) {
      log(LEVEL_UNCAUGHT, exchange.id, "waitUntil: " + describeError(error));
    }
    exchange.waits--;
    settleIfDone(exchange);
  }

  function settleIfDone(exchange) {
    if (!exchange.pending || exchange.waits !== 0 || exchange.pump !== null) return;
    exchange.pending = false;
    settled(exchange.id);
    end(exchange);
  }

  // ---- Streaming bodies ----

  function startStream(exchange, stream) {
    exchange.pending = true;
    const pump = new Pump(exchange, internals.streams.acquireReader(stream));
    exchange.pump = pump;
    if (exchange.gone || (exchange.words[exchange.offset + WORD_METHOD] & METHOD_MASK) === METHOD_HEAD) {
      // Nobody wants the body: of HEAD only the head is sent.
      pump.abandon(internals.domException("The body is not wanted.", "AbortError"), exchange.gone);
      return;
    }
    active.set(exchange.id, exchange);
    pump.fill();
  }

  // Sends a streaming body, as the read request of its stream. One piece is on its way at a time; meanwhile
  // chunks are read ahead, up to READ_AHEAD_BYTES, and those that wait together leave as one piece. They are
  // copied at once: many an app fills the same buffer again for its next chunk.
  class Pump {
    exchange;
    reader;
    waiting = null; // Uint8Array that begins with the bytes that wait to be sent
    length = 0; // how many these are
    reading = false; // the stream owes a chunk
    filling = false;
    sending = false; // a piece is on its way
    finished = false; // nothing more is to be read
    failed = false;
    ended = false;
    constructor(exchange, reader) {
      this.exchange = exchange;
      this.reader = reader;
    }

    // Reads what the stream has ready. A loop: such chunks come synchronously, from within read.
    fill() {
      this.filling = true;
      while (!this.reading && !this.finished && this.length < READ_AHEAD_BYTES) {
        this.reading = true;
        internals.streams.read(this.reader, this);
        if (!this.sending && this.length >= PIECE_BYTES) this.send();
      }
      this.filling = false;
      if (!this.sending) this.send();
    }

    chunkSteps(chunk) {
      this.reading = false;
      if (this.finished) return;
      if (classify(chunk) !== CLASS_TYPED_ARRAY || TypedArrayPrototypeGetSymbolToStringTag(chunk) !== "Uint8Array") {
        const error = new TypeError("the stream of a response body gave " + describe(chunk) +
          "; chunks must be Uint8Arrays");
        this.finish(error, true);
        internals.streams.cancelReader(this.reader, error);
        return;
      }
      const length = TypedArrayPrototypeGetByteLength(chunk);
      if (length === 0) {
        // Empty, or the app has taken its memory away meanwhile: there is nothing to send.
      } else if (length >= PIECE_BYTES && this.length === 0 && !this.sending) {
        this.sending = true;
        respondChunk(this.exchange.id, chunk);
      } else {
        this.append(chunk, length);
      }
      if (!this.filling) this.fill();
    }

    closeSteps() {
      this.reading = false;
      if (!this.finished) this.finish(undefined, false);
    }

    errorSteps(reason) {
      this.reading = false;
      if (!this.finished) this.finish(reason, true);
    }

    // Something of ours went wrong in the middle: the client must see that the body is not whole.
    break(error) {
      this.filling = false;
      if (!this.finished) this.finish(error, true);
    }

    // The stream is at its end: what was read is still sent.
    finish(error, failed) {
      this.finished = true;
      this.failed = failed;
      if (failed) log(LEVEL_UNCAUGHT, this.exchange.id, describeError(error));
      if (!this.filling && !this.sending) this.send();
    }

    append(chunk, length) {
      const end = this.length + length;
      if (this.waiting === null || end > TypedArrayPrototypeGetByteLength(this.waiting)) {
        const grown = new Uint8Array(MathMax(end, 2 * this.length));
        if (this.waiting !== null) TypedArrayPrototypeSet(grown, this.waiting);
        this.waiting = grown;
      }
      TypedArrayPrototypeSet(this.waiting, chunk, this.length);
      this.length = end;
    }

    // Sends what waits, as one piece, or the end. Never an empty piece, which would say that the body ends.
    send() {
      if (this.ended) return;
      if (this.length !== 0) {
        const piece = new Uint8Array(TypedArrayPrototypeGetBuffer(this.waiting), 0, this.length);
        this.length = 0;
        this.sending = true;
        respondChunk(this.exchange.id, piece);
      } else if (this.finished) {
        this.end(this.failed);
      }
    }

    // The piece has left.
    sent() {
      this.sending = false;
      if (this.length !== 0 || this.finished) this.send();
      if (!this.reading && !this.finished) this.fill();
    }

    // Ends the response without the rest, and cancels the stream.
    abandon(reason, failed) {
      const cancel = !this.finished;
      this.finished = true;
      this.end(failed);
      if (cancel) internals.streams.cancelReader(this.reader, reason);
    }

    end(failed) {
      if (this.ended) return;
      this.ended = true;
      respondEnd(this.exchange.id, failed);
      forget(this.exchange);
      this.exchange.pump = null;
      settleIfDone(this.exchange);
    }
  }
  const PIECE_BYTES = 16 * 1024;
  const READ_AHEAD_BYTES = 64 * 1024;

  function sent(id) {
    const exchange = active.get(id);
    if (exchange === undefined || exchange.pump === null) return;
    enterExchange(exchange);
    exchange.pump.sent();
  }

  function gone(id) {
    const exchange = active.get(id);
    if (exchange === undefined) return;
    exchange.gone = true;
    forget(exchange); // no more records come, and a promise that never settles must not keep it alive
    enterExchange(exchange);
    const { request } = exchange;
    const reason = internals.domException("The client has disconnected.", "AbortError");
    if (exchange.pump !== null) exchange.pump.abandon(reason, true);
    abortRequest(request, reason);
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

  internals.describeError = describeError;
  internals.reportException = internals.onError = function onError(error) {
    log(LEVEL_UNCAUGHT, currentRequestId(), describeError(error));
  };
  internals.onUnhandledRejection = function onUnhandledRejection(promise, reason) {
    log(LEVEL_UNCAUGHT, -1, "unhandled rejection: " + describeError(reason));
  };

  // Takes the app's main module, evaluated. Throws if it has no fetch function to call. What this leaves
  // behind is kept in the app's snapshot, so env, which holds secrets, is not known yet: see resume.
  internals.start = function start(namespace, name) {
    const exported = namespace.default;
    if (exported === undefined) {
      throw new Error("the main module has no default export; it needs `export default { fetch(request) { ... } }`");
    }
    if (!webidl.isObject(exported)) {
      throw new Error("the default export is " + describe(exported) + ", not an object with a function fetch");
    }
    const fetch = exported.fetch;
    if (typeof fetch !== "function") {
      if (typeof exported === "function" && exported.prototype !== undefined &&
          typeof exported.prototype.fetch === "function") {
        throw new Error("the default export is a class; export an instance of it: `export default new " +
          exported.name + "()`");
      }
      throw new Error("the default export has no function fetch" +
        (fetch === undefined ? "" : ": its fetch is " + describe(fetch)));
    }
    target = exported;
    handler = fetch;
    appName = name;
  };

  // Gives a started app its env, before the first request: after start, or after a snapshot was restored.
  internals.resume = function resume(envJSON) {
    env = JSONParse(envJSON);
    if (stackTraceLimit !== STACK_TRACE_LIMIT) Error.stackTraceLimit = stackTraceLimit;
  };

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
    appName = "";
  };

  // Takes env away again, after the synthetic request that warms an app up before its snapshot is made.
  internals.suspend = function suspend() {
    env = undefined;
  };

  // Handles the records of a turn. An error in one stays there. Gives how many it has left, since the turn's
  // share of time is over.
  internals.tick = function tick(words, offset, count) {
    for (let left = count; left !== 0; left--) {
      if (words[CELL_END] !== 0 && left !== count) {
        words[CELL_NEXT] = offset;
        return left;
      }
      const size = words[offset];
      const kind = words[offset + WORD_KIND];
      if (kind === KIND_REQUEST) {
        run(words, offset);
        if (words[CELL_DRAIN] !== 0) drainMicrotasks();
      } else {
        handle(kind, words[offset + WORD_ID]);
        // HTML: what a timer's callback leaves behind runs before the next one.
        if (left !== 1 && (kind === KIND_TIMER || words[CELL_DRAIN] !== 0)) drainMicrotasks();
      }
      offset += size;
    }
    return 0;
  };

  function handle(kind, id) {
    try {
      if (kind === KIND_TIMER) internals.fireTimer(id);
      else if (kind === KIND_SENT) sent(id);
      else if (kind === KIND_GONE) gone(id);
    } catch (error) {
      internals.onError(error);
    } finally {
      enterExchange(undefined);
    }
  }

  internals.configureInterface(ExecutionContext);
})
