// The Streams Standard (https://streams.spec.whatwg.org/): readable streams (default and byte streams, with
// BYOB readers), writable streams, transform streams and the two queuing strategies. The functions follow
// the standard's abstract operations step by step and carry their names, the prefix "ReadableStream",
// "WritableStream" or "TransformStream" shortened where it is clear.
//
// State: each public object has one private field that holds a plain record (class ...State, ...Controller,
// ...Reader below); the operations work on those records, never on objects an app can touch.
//
// internals.streams, for the body mixin and everything else that reads or makes streams:
//   isReadableStream(value) isWritableStream(value) isLocked(stream) isDisturbed(stream) isReadable(stream)
//   isErrored(stream) storedError(stream)
//   createBuffered(data)       ReadableStream (a byte stream) that yields the bytes of a string or a Uint8Array, then
//                              closes
//   createErrored(reason)      one that is errored
//   createPieces(data, size, read)
//                              one of `size` bytes that read(offset, length) gives, a fresh Uint8Array each time; `data`
//                              is what they are of
//   untouchedData(stream)      what createBuffered or createPieces has got, or null if anybody has touched the stream
//   spend(stream)              locks, disturbs and closes one that nobody has locked
//   move(stream)               another ReadableStream that goes on as this one, which is left spent
//   createPull(pull, cancel, highWaterMark = 0)
//                              { stream, enqueue(chunk), close(), error(reason), desiredSize() } of a byte
//                              stream; pull() is called when data is wanted (may return a promise),
//                              cancel(reason) when nobody wants it any more
//   createSink(write, close, abort, highWaterMark, size)
//                              { stream, close(), error(reason) } of a WritableStream; close() ends it after what
//                              was written, whoever holds a writer
//   markHandled(promise)       its rejection is not reported
//   acquireReader(stream)      a reader record for read, cancelReader and releaseReader; throws when locked
//   read(reader, request)      reads one chunk; request is an object with the methods chunkSteps(chunk),
//                              closeSteps() and errorSteps(reason), called at once if the answer is known
//   cancelReader(reader, reason) releaseReader(reader)  cancel(stream, reason) -> promise
//   readAll(stream)            promise of a Gathered (12_body.js); TypeError for a chunk that is no Uint8Array
//   tee(stream)                [stream, stream]; chunks of the second are copies
//   createNative(source)       a byte stream that a Source (67_sources.js) feeds
//   nativeSource(stream)       its Source, or null; untouchedSource(stream) the same, but null if anybody has touched
//                              the stream; takeNative(stream) locks and disturbs it, and gives its Source
//   setIdentity(readable, writable, length)  see there
//   setFixedLength(stream, bytes)  internals.fixedLengthOf(stream) gives that, or -1
//   createPump(target, reader) see Pump; internals.createPump is the same
//   createTransform(transform, flush, cancel)
//                              { readable, writable, enqueue(chunk), wanted(), isOpen() } of a TransformStream; what the
//                              functions return is undefined or a promise of the engine's; wanted() is undefined if the
//                              readable side wants a chunk, or a promise
(function (ops, internals) {
  "use strict";
  const {
    ArrayBuffer, ArrayBufferIsView, ArrayBufferPrototypeGetByteLength, ArrayBufferPrototypeGetDetached,
    ArrayBufferPrototypeSlice, ArrayBufferPrototypeTransfer, AsyncIteratorPrototype, DataView,
    DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength, DataViewPrototypeGetByteOffset,
    MathMax, MathMin, ObjectCreate, ObjectDefineProperties, ObjectDefineProperty,
    PromiseReject, PromiseResolve, PromiseWithResolvers, RangeError, ReflectApply, SymbolAsyncIterator,
    SymbolIterator, TypedArrayConstructors, globalThis, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetLength, TypedArrayPrototypeGetSymbolToStringTag,
    TypedArrayPrototypeSet, TypeError, Uint8Array,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  // later(steps) is reacting to a promise that is fulfilled already, without one: steps run one microtask later, for
  // the same request.
  const { classify, dropData, encodeUtf8, enqueueMicrotask: later, takeData, takeDataInto } = ops;
  const CLASS_PROMISE = 2; // what classify says of one
  const CLASS_TYPED_ARRAY = 15;
  const WORD_LENGTH = 4; // of a data record

  // Passed to constructors that apps may not call, in place of arguments.
  const INTERNAL = { __proto__: null };
  const nothing = () => {};
  const asIs = (value) => value;
  const one = () => 1;
  const alwaysFulfilled = () => PromiseResolve(undefined);

  // ---- Promises, buffers, queues ----

  // "React to": as promise.then(onFulfilled, onRejected), in as many microtasks, but `then` would ask
  // Promise[Symbol.species], which an app may have changed. The promise must be one of the engine's own.
  async function react(promise, onFulfilled, onRejected) {
    let handler = onFulfilled;
    let value;
    try {
      value = await promise;
    } catch (error) {
      if (onRejected === undefined) throw error;
      handler = onRejected;
      value = error;
    }
    if (handler === undefined) return value;
    value = handler(value);
    if (typeof value !== "object" || value === null || classify(value) !== CLASS_PROMISE) return value;
    // Returning a promise would call its `then` a microtask later, and follow it from then on.
    await undefined;
    return await value;
  }

  function markHandled(promise) {
    react(promise, undefined, nothing);
  }

  // "A promise resolved with": unlike Promise.resolve always a new one, which for a promise takes two more
  // microtasks.
  function promiseResolvedWith(value) {
    if (!webidl.isObject(value)) return PromiseResolve(value);
    const deferred = PromiseWithResolvers();
    deferred.resolve(value);
    return deferred.promise;
  }

  // Calls a function of the app; whatever comes of it, a promise.
  function invoke(method, receiver, args) {
    try {
      return promiseResolvedWith(ReflectApply(method, receiver, args));
    } catch (error) {
      return PromiseReject(error);
    }
  }

  // The same for what is called with every chunk: undefined stands for a promise that is fulfilled with anything but
  // an object, which is what most functions give.
  function call(method, receiver, args) {
    try {
      const result = ReflectApply(method, receiver, args);
      return webidl.isObject(result) ? promiseResolvedWith(result) : undefined;
    } catch (error) {
      return PromiseReject(error);
    }
  }

  // A promise such as [[closedPromise]] that few ever look at: the outcome is kept, the promise made when
  // it is asked for. Rejected, it counts as handled.
  class Settlement {
    status = 0; // 0 pending, 1 fulfilled with undefined, 2 rejected with `reason`
    reason = undefined;
    deferred = null;
    steps = null; // see whenFulfilled

    get promise() {
      if (this.deferred === null) {
        this.deferred = PromiseWithResolvers();
        if (this.status === 1) this.deferred.resolve(undefined);
        if (this.status === 2) this.#reject();
      }
      return this.deferred.promise;
    }
    resolve() {
      if (this.status !== 0) return;
      this.status = 1;
      if (this.deferred !== null) this.deferred.resolve(undefined);
      if (this.steps !== null) later(this.steps);
      this.steps = null;
    }
    reject(reason) {
      if (this.status !== 0) return;
      this.status = 2;
      this.reason = reason;
      this.steps = null;
      if (this.deferred !== null) this.#reject();
    }
    #reject() {
      markHandled(this.deferred.promise);
      this.deferred.reject(this.reason);
    }
    // Reacts to fulfilment, for one caller at a time: the pipe that has the writer.
    whenFulfilled(steps) {
      if (this.status === 0) this.steps = steps;
      else if (this.status === 1) later(steps);
    }
  }
  function fulfilled() {
    const settlement = new Settlement();
    settlement.status = 1;
    return settlement;
  }
  function rejected(reason) {
    const settlement = new Settlement();
    settlement.status = 2;
    settlement.reason = reason;
    return settlement;
  }

  // First in, first out; a linked list, so that no array method or index setter of the app is involved.
  class Queue {
    head = null;
    tail = null;
    length = 0;

    push(value) {
      const node = { value, next: null };
      if (this.tail === null) this.head = node;
      else this.tail.next = node;
      this.tail = node;
      this.length++;
    }
    peek() {
      return this.head.value;
    }
    shift() {
      const node = this.head;
      this.head = node.next;
      if (this.head === null) this.tail = null;
      this.length--;
      return node.value;
    }
  }

  function transfer(buffer) {
    return ArrayBufferPrototypeTransfer(buffer);
  }

  function typedArrayName(view) {
    return TypedArrayPrototypeGetSymbolToStringTag(view);
  }
  function viewBuffer(view) {
    return typedArrayName(view) === undefined ? DataViewPrototypeGetBuffer(view) : TypedArrayPrototypeGetBuffer(view);
  }
  function viewByteOffset(view) {
    return typedArrayName(view) === undefined ? DataViewPrototypeGetByteOffset(view)
      : TypedArrayPrototypeGetByteOffset(view);
  }
  function viewByteLength(view) {
    return typedArrayName(view) === undefined ? DataViewPrototypeGetByteLength(view)
      : TypedArrayPrototypeGetByteLength(view);
  }
  // The buffer of a view, which must not be a shared one: those cannot be transferred.
  function requireArrayBuffer(buffer, context) {
    try {
      ArrayBufferPrototypeGetByteLength(buffer);
    } catch {
      throw new TypeError(context + ": The view must not be on a SharedArrayBuffer");
    }
    return buffer;
  }
  function requireView(view, context) {
    if (!ArrayBufferIsView(view)) throw new TypeError(context + ": The argument must be an ArrayBufferView");
    requireArrayBuffer(viewBuffer(view), context);
  }
  const isDetached = ArrayBufferPrototypeGetDetached;

  // ---- Queuing strategies ----

  function convertFunction(value, name, context) {
    if (value === undefined) return undefined;
    if (typeof value !== "function") throw new TypeError(context + ": " + name + " is not a function");
    return value;
  }

  // QueuingStrategy -> { highWaterMark, size }, either undefined.
  function convertStrategy(strategy, context) {
    const dictionary = webidl.dictionary(strategy, context);
    const highWaterMark = dictionary.highWaterMark;
    return {
      highWaterMark: highWaterMark === undefined ? undefined : webidl.unrestrictedDouble(highWaterMark),
      size: convertFunction(dictionary.size, "size", context),
    };
  }

  function extractHighWaterMark(strategy, otherwise) {
    const highWaterMark = strategy.highWaterMark;
    if (highWaterMark === undefined) return otherwise;
    if (highWaterMark !== highWaterMark || highWaterMark < 0) throw new RangeError("Invalid highWaterMark");
    return highWaterMark;
  }

  function extractSize(strategy) {
    const size = strategy.size;
    return size === undefined ? one : (chunk) => webidl.unrestrictedDouble(ReflectApply(size, undefined, [chunk]));
  }

  function convertStrategyInit(init, context) {
    const dictionary = webidl.dictionary(init, context);
    const highWaterMark = dictionary.highWaterMark;
    if (highWaterMark === undefined) throw new TypeError(context + ": required member highWaterMark is undefined");
    return webidl.unrestrictedDouble(highWaterMark);
  }

  // One size function per realm (standard: "the count queuing strategy size function").
  const { size: countSize } = { size() { return 1; } };
  const { size: byteLengthSize } = { size(chunk) { return chunk.byteLength; } };

  class CountQueuingStrategy {
    #highWaterMark;
    constructor(init) {
      const context = "Failed to construct 'CountQueuingStrategy'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#highWaterMark = convertStrategyInit(init, context);
    }
    get highWaterMark() {
      if (!(#highWaterMark in this)) throw webidl.illegalInvocation();
      return this.#highWaterMark;
    }
    get size() {
      if (!(#highWaterMark in this)) throw webidl.illegalInvocation();
      return countSize;
    }
  }

  class ByteLengthQueuingStrategy {
    #highWaterMark;
    constructor(init) {
      const context = "Failed to construct 'ByteLengthQueuingStrategy'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#highWaterMark = convertStrategyInit(init, context);
    }
    get highWaterMark() {
      if (!(#highWaterMark in this)) throw webidl.illegalInvocation();
      return this.#highWaterMark;
    }
    get size() {
      if (!(#highWaterMark in this)) throw webidl.illegalInvocation();
      return byteLengthSize;
    }
  }

  // Queue-with-sizes of a controller (standard 8.1): fields queue and queueTotalSize.
  function enqueueValueWithSize(container, value, size) {
    if (!(size >= 0) || size === Infinity) throw new RangeError("Size must be a finite, non-negative number");
    container.queue.push({ value, size });
    container.queueTotalSize += size;
  }
  function dequeueValue(container) {
    const entry = container.queue.shift();
    container.queueTotalSize -= entry.size;
    if (container.queueTotalSize < 0) container.queueTotalSize = 0; // rounding
    return entry.value;
  }
  function resetQueue(container) {
    container.queue = new Queue();
    container.queueTotalSize = 0;
  }

  // ---- Readable streams: state ----

  const READABLE = 0, CLOSED = 1, ERRORED = 2;

  class ReadableState {
    object = null; // the ReadableStream
    state = READABLE;
    storedError = undefined;
    disturbed = false;
    reader = null; // Reader
    controller = null; // DefaultController, ByteController or NativeController
    fixedLength = -1; // how many bytes it gives, if something sees to that
    detached = false; // transferred
  }

  // A reader of either kind. `requests` holds read requests, or read-into requests if byob.
  class Reader {
    byob;
    stream = null; // ReadableState; null once released
    closed = null; // Settlement
    requests = new Queue();
    constructor(byob) {
      this.byob = byob;
    }
  }

  // A read request whose outcome settles the promise of a read().
  class PromiseRequest {
    #deferred = PromiseWithResolvers();
    get promise() {
      return this.#deferred.promise;
    }
    chunkSteps(chunk) {
      this.#deferred.resolve({ value: chunk, done: false });
    }
    closeSteps(chunk) {
      this.#deferred.resolve({ value: chunk, done: true });
    }
    errorSteps(reason) {
      this.#deferred.reject(reason);
    }
  }

  function hasDefaultReader(stream) {
    return stream.reader !== null && !stream.reader.byob;
  }
  function hasByobReader(stream) {
    return stream.reader !== null && stream.reader.byob;
  }
  function readRequestCount(stream) {
    return stream.reader.requests.length;
  }

  function acquireReader(stream, byob) {
    const reader = new Reader(byob);
    setUpReader(reader, stream);
    return reader;
  }

  function setUpReader(reader, stream) {
    if (stream.reader !== null) throw new TypeError("This ReadableStream is already locked to a reader");
    if (reader.byob && !stream.controller.isByte) {
      throw new TypeError("Cannot use a BYOB reader with a stream that is not a readable byte stream");
    }
    reader.stream = stream;
    stream.reader = reader;
    if (stream.state === READABLE) reader.closed = new Settlement();
    else if (stream.state === CLOSED) reader.closed = fulfilled();
    else reader.closed = rejected(stream.storedError);
  }

  function releaseReader(reader) {
    const stream = reader.stream;
    const released = new TypeError("The reader was released");
    if (reader.closed.status === 0) reader.closed.reject(released);
    else reader.closed = rejected(released);
    stream.controller.releaseSteps();
    stream.reader = null;
    reader.stream = null;
    failRequests(reader, released);
  }

  // ErrorReadRequests and ErrorReadIntoRequests.
  function failRequests(reader, reason) {
    const requests = reader.requests;
    reader.requests = new Queue();
    while (requests.length > 0) requests.shift().errorSteps(reason);
  }

  // ReadableStreamDefaultReaderRead
  function readDefault(reader, request) {
    const stream = reader.stream;
    stream.disturbed = true;
    if (stream.state === CLOSED) request.closeSteps(undefined);
    else if (stream.state === ERRORED) request.errorSteps(stream.storedError);
    else stream.controller.pullSteps(request);
  }

  // ReadableStreamBYOBReaderRead
  function readByob(reader, view, min, request) {
    const stream = reader.stream;
    stream.disturbed = true;
    if (stream.state === ERRORED) request.errorSteps(stream.storedError);
    else bytePullInto(stream.controller, view, min, request);
  }

  function readableCancel(stream, reason) {
    stream.disturbed = true;
    if (stream.state === CLOSED) return PromiseResolve(undefined);
    if (stream.state === ERRORED) return PromiseReject(stream.storedError);
    readableClose(stream);
    const reader = stream.reader;
    if (reader !== null && reader.byob) {
      const requests = reader.requests;
      reader.requests = new Queue();
      while (requests.length > 0) requests.shift().closeSteps(undefined);
    }
    return react(stream.controller.cancelSteps(reason), nothing);
  }

  function readableClose(stream) {
    stream.state = CLOSED;
    const reader = stream.reader;
    if (reader === null) return;
    reader.closed.resolve();
    if (reader.byob) return;
    const requests = reader.requests;
    reader.requests = new Queue();
    while (requests.length > 0) requests.shift().closeSteps(undefined);
  }

  function readableError(stream, reason) {
    stream.state = ERRORED;
    stream.storedError = reason;
    const reader = stream.reader;
    if (reader === null) return;
    reader.closed.reject(reason);
    failRequests(reader, reason);
  }

  // ---- Readable streams: pulling, the same for both controllers ----

  function callPullIfNeeded(controller) {
    if (controller.source !== null) {
      controller.pullSource();
      return;
    }
    if (!shouldCallPull(controller)) return;
    if (controller.pulling) {
      controller.pullAgain = true;
      return;
    }
    controller.pulling = true;
    controller.onPulled ??= () => {
      controller.pulling = false;
      if (controller.pullAgain) {
        controller.pullAgain = false;
        callPullIfNeeded(controller);
      }
    };
    const { transform } = controller;
    if (transform !== null) {
      transform.pull(controller.onPulled);
      return;
    }
    const pulled = controller.pullAlgorithm();
    if (pulled === undefined) later(controller.onPulled);
    else react(pulled, controller.onPulled, (reason) => controller.error(reason));
  }

  function shouldCallPull(controller) {
    const stream = controller.stream;
    if (stream.state !== READABLE || controller.closeRequested || !controller.started) return false;
    if (stream.reader !== null && stream.reader.requests.length > 0) return true;
    return readableDesiredSize(controller) > 0;
  }

  function readableDesiredSize(controller) {
    const state = controller.stream.state;
    if (state === ERRORED) return null;
    if (state === CLOSED) return 0;
    return controller.highWaterMark - controller.queueTotalSize;
  }

  // The tail of SetUpReadableStreamDefaultController and SetUpReadableByteStreamController; the start
  // algorithm returns a promise.
  function startReadable(controller, startAlgorithm) {
    const stream = controller.stream;
    stream.controller = controller;
    react(startAlgorithm(), () => {
      controller.started = true;
      callPullIfNeeded(controller);
    }, (reason) => controller.error(reason));
  }

  // ---- Readable streams: default controller ----

  class DefaultController {
    isByte = false;
    source = null;
    #object = null;
    stream;
    queue = new Queue();
    queueTotalSize = 0;
    started = false;
    closeRequested = false;
    pullAgain = false;
    pulling = false;
    highWaterMark;
    sizeAlgorithm;
    pullAlgorithm; // gives a promise, or undefined for one that is fulfilled
    cancelAlgorithm;
    onPulled = null;
    transform = null; // TransformState of which it is a side

    constructor(stream, pull, cancel, highWaterMark, size) {
      this.stream = stream;
      this.pullAlgorithm = pull;
      this.cancelAlgorithm = cancel;
      this.highWaterMark = highWaterMark;
      this.sizeAlgorithm = size;
    }
    get object() {
      return this.#object ??= new ReadableStreamDefaultController(INTERNAL, this);
    }
    clearAlgorithms() {
      this.pullAlgorithm = undefined;
      this.cancelAlgorithm = undefined;
      this.sizeAlgorithm = undefined;
    }
    canCloseOrEnqueue() {
      return !this.closeRequested && this.stream.state === READABLE;
    }
    cancelSteps(reason) {
      resetQueue(this);
      const result = this.cancelAlgorithm(reason);
      this.clearAlgorithms();
      return result;
    }
    pullSteps(request) {
      const stream = this.stream;
      if (this.queue.length > 0) {
        const chunk = dequeueValue(this);
        if (this.closeRequested && this.queue.length === 0) {
          this.clearAlgorithms();
          readableClose(stream);
        } else {
          callPullIfNeeded(this);
        }
        request.chunkSteps(chunk);
      } else {
        stream.reader.requests.push(request);
        callPullIfNeeded(this);
      }
    }
    releaseSteps() {}
    close() {
      if (!this.canCloseOrEnqueue()) return;
      this.closeRequested = true;
      if (this.queue.length === 0) {
        this.clearAlgorithms();
        readableClose(this.stream);
      }
    }
    enqueue(chunk) {
      if (!this.canCloseOrEnqueue()) return;
      const stream = this.stream;
      if (hasDefaultReader(stream) && readRequestCount(stream) > 0) {
        stream.reader.requests.shift().chunkSteps(chunk);
      } else {
        try {
          enqueueValueWithSize(this, chunk, this.sizeAlgorithm(chunk));
        } catch (error) {
          this.error(error);
          throw error;
        }
      }
      callPullIfNeeded(this);
    }
    error(reason) {
      if (this.stream.state !== READABLE) return;
      resetQueue(this);
      this.clearAlgorithms();
      readableError(this.stream, reason);
    }
  }

  class ReadableStreamDefaultController {
    #controller;
    constructor(token, controller) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#controller = controller;
    }
    get desiredSize() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return readableDesiredSize(this.#controller);
    }
    close() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      if (!this.#controller.canCloseOrEnqueue()) throw new TypeError("The stream is not in a state that permits close");
      this.#controller.close();
    }
    enqueue(chunk = undefined) {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      if (!this.#controller.canCloseOrEnqueue()) {
        throw new TypeError("The stream is not in a state that permits enqueue");
      }
      this.#controller.enqueue(chunk);
    }
    error(reason = undefined) {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      this.#controller.error(reason);
    }
  }

  // ---- Readable streams: byte controller ----

  class PullInto {
    buffer;
    bufferByteLength;
    byteOffset;
    byteLength;
    bytesFilled;
    minimumFill;
    elementSize;
    viewConstructor;
    readerType;
    constructor(buffer, byteOffset, byteLength, minimumFill, elementSize, viewConstructor, readerType) {
      this.buffer = buffer;
      this.bufferByteLength = ArrayBufferPrototypeGetByteLength(buffer);
      this.byteOffset = byteOffset;
      this.byteLength = byteLength;
      this.bytesFilled = 0;
      this.minimumFill = minimumFill;
      this.elementSize = elementSize;
      this.viewConstructor = viewConstructor;
      this.readerType = readerType; // "default", "byob" or "none"
    }
  }

  class ByteController {
    isByte = true;
    source; // null, or of a NativeController its Source
    data = null; // what is behind a stream of the runtime that nobody has read: a string, a Uint8Array or a Blob
    #object = null;
    stream;
    queue = new Queue(); // of { buffer, byteOffset, byteLength }
    queueTotalSize = 0;
    started;
    closeRequested = false;
    pullAgain = false;
    pulling = false;
    highWaterMark;
    pullAlgorithm;
    cancelAlgorithm;
    onPulled = null;
    transform = null;
    autoAllocateChunkSize;
    byobRequest = null; // ReadableStreamBYOBRequest
    pendingPullIntos = new Queue(); // of PullInto

    constructor(stream, pull, cancel, highWaterMark, autoAllocateChunkSize, source = null) {
      this.stream = stream;
      this.source = source;
      this.started = source !== null;
      this.pullAlgorithm = pull;
      this.cancelAlgorithm = cancel;
      this.highWaterMark = highWaterMark;
      this.autoAllocateChunkSize = autoAllocateChunkSize;
    }
    get object() {
      return this.#object ??= new ReadableByteStreamController(INTERNAL, this);
    }
    clearAlgorithms() {
      this.pullAlgorithm = undefined;
      this.cancelAlgorithm = undefined;
    }
    clearPendingPullIntos() {
      invalidateByobRequest(this);
      this.pendingPullIntos = new Queue();
    }
    cancelSteps(reason) {
      this.clearPendingPullIntos();
      resetQueue(this);
      const result = this.cancelAlgorithm(reason);
      this.clearAlgorithms();
      return result;
    }
    pullSteps(request) {
      const stream = this.stream;
      if (this.queueTotalSize > 0) {
        fillReadRequestFromQueue(this, request);
        return;
      }
      const size = this.autoAllocateChunkSize;
      if (size !== undefined) {
        let buffer;
        try {
          buffer = new ArrayBuffer(size);
        } catch (error) {
          request.errorSteps(error);
          return;
        }
        this.pendingPullIntos.push(new PullInto(buffer, 0, size, 1, 1, Uint8Array, "default"));
      }
      stream.reader.requests.push(request);
      callPullIfNeeded(this);
    }
    releaseSteps() {
      if (this.pendingPullIntos.length === 0) return;
      const first = this.pendingPullIntos.peek();
      first.readerType = "none";
      this.pendingPullIntos = new Queue();
      this.pendingPullIntos.push(first);
    }
    close() {
      const stream = this.stream;
      if (this.closeRequested || stream.state !== READABLE) return;
      if (this.queueTotalSize > 0) {
        this.closeRequested = true;
        return;
      }
      if (this.pendingPullIntos.length > 0) {
        const first = this.pendingPullIntos.peek();
        if (first.bytesFilled % first.elementSize !== 0) {
          const error = new TypeError("Insufficient bytes to fill elements in the given buffer");
          this.error(error);
          throw error;
        }
      }
      this.clearAlgorithms();
      readableClose(stream);
    }
    enqueue(chunk) {
      byteEnqueue(this, chunk);
    }
    error(reason) {
      if (this.stream.state !== READABLE) return;
      this.clearPendingPullIntos();
      resetQueue(this);
      this.clearAlgorithms();
      readableError(this.stream, reason);
    }
  }

  // The controller of a stream whose bytes come by a handle, and the sink of its Source. Nothing of the app runs
  // behind it, so that pulling takes no promise, and the buffers are ours to hand on as they are.
  class NativeController extends ByteController {
    constructor(stream, source) {
      super(stream, undefined, undefined, 0, undefined, source);
    }
    pullSource() {
      if (this.stream.state === READABLE && !this.closeRequested) this.source.request(this.queueTotalSize);
    }
    cancelSteps() {
      this.clearPendingPullIntos();
      resetQueue(this);
      this.source.cancel(false);
      return PromiseResolve(undefined);
    }
    receive(words, offset) {
      const { stream } = this;
      if (stream.state !== READABLE) {
        dropData(words, offset);
        return;
      }
      if (hasByobReader(stream) && this.receiveInto(words, offset)) return;
      const bytes = takeData(words, offset);
      const byteLength = TypedArrayPrototypeGetByteLength(bytes);
      if (byteLength === 0) return;
      const { reader } = stream;
      if (this.pendingPullIntos.length > 0) {
        byteEnqueue(this, bytes);
      } else {
        if (reader !== null && reader.requests.length > 0) reader.requests.shift().chunkSteps(bytes);
        else enqueueBytes(this, TypedArrayPrototypeGetBuffer(bytes), 0, byteLength);
        this.pullSource();
      }
    }
    // Writes a data record straight to the view that a BYOB reader waits with, if it fits there.
    receiveInto(words, offset) {
      if (this.pendingPullIntos.length === 0 || this.queueTotalSize !== 0) return false;
      const first = this.pendingPullIntos.peek();
      const byteLength = words[offset + WORD_LENGTH];
      if (first.readerType !== "byob" || byteLength > first.byteLength - first.bytesFilled) return false;
      const view = new Uint8Array(first.buffer, first.byteOffset + first.bytesFilled, byteLength);
      takeDataInto(words, offset, view, 0);
      respondInReadableState(this, byteLength, first);
      this.pullSource();
      return true;
    }
    finish() {
      try {
        this.close();
        // A BYOB read that waits ends as well.
        if (this.stream.state === CLOSED && this.pendingPullIntos.length > 0) byteRespond(this, 0);
      } catch {
        // It has errored the stream: a BYOB read had got a part of an element.
      }
    }
    fail(reason) {
      this.error(reason);
    }
  }

  function invalidateByobRequest(controller) {
    if (controller.byobRequest === null) return;
    invalidateRequest(controller.byobRequest);
    controller.byobRequest = null;
  }

  function enqueueBytes(controller, buffer, byteOffset, byteLength) {
    controller.queue.push({ buffer, byteOffset, byteLength });
    controller.queueTotalSize += byteLength;
  }

  function byteEnqueue(controller, chunk) {
    const stream = controller.stream;
    if (controller.closeRequested || stream.state !== READABLE) return;
    const buffer = viewBuffer(chunk);
    const byteOffset = viewByteOffset(chunk);
    const byteLength = viewByteLength(chunk);
    if (isDetached(buffer)) throw new TypeError("The chunk's buffer is detached");
    const transferred = transfer(buffer);
    if (controller.pendingPullIntos.length > 0) {
      const first = controller.pendingPullIntos.peek();
      if (isDetached(first.buffer)) throw new TypeError("The BYOB request's buffer is detached");
      invalidateByobRequest(controller);
      first.buffer = transfer(first.buffer);
      if (first.readerType === "none") enqueueDetachedPullInto(controller, first);
    }
    if (hasDefaultReader(stream)) {
      const reader = stream.reader;
      while (reader.requests.length > 0 && controller.queueTotalSize > 0) {
        fillReadRequestFromQueue(controller, reader.requests.shift());
      }
      if (reader.requests.length === 0) {
        enqueueBytes(controller, transferred, byteOffset, byteLength);
      } else {
        if (controller.pendingPullIntos.length > 0) controller.pendingPullIntos.shift();
        reader.requests.shift().chunkSteps(new Uint8Array(transferred, byteOffset, byteLength));
      }
    } else {
      enqueueBytes(controller, transferred, byteOffset, byteLength);
      if (hasByobReader(stream)) commitFilled(stream, processPullIntos(controller));
    }
    callPullIfNeeded(controller);
  }

  function enqueueClonedChunk(controller, buffer, byteOffset, byteLength) {
    let copy;
    try {
      copy = ArrayBufferPrototypeSlice(buffer, byteOffset, byteOffset + byteLength);
    } catch (error) {
      controller.error(error);
      throw error;
    }
    enqueueBytes(controller, copy, 0, byteLength);
  }

  function enqueueDetachedPullInto(controller, pullInto) {
    if (pullInto.bytesFilled > 0) {
      enqueueClonedChunk(controller, pullInto.buffer, pullInto.byteOffset, pullInto.bytesFilled);
    }
    controller.pendingPullIntos.shift();
  }

  function fillReadRequestFromQueue(controller, request) {
    const entry = controller.queue.shift();
    controller.queueTotalSize -= entry.byteLength;
    handleQueueDrain(controller);
    request.chunkSteps(new Uint8Array(entry.buffer, entry.byteOffset, entry.byteLength));
  }

  function handleQueueDrain(controller) {
    if (controller.queueTotalSize === 0 && controller.closeRequested) {
      controller.clearAlgorithms();
      readableClose(controller.stream);
    } else {
      callPullIfNeeded(controller);
    }
  }

  // ConvertPullIntoDescriptor
  function convertPullInto(pullInto) {
    return new pullInto.viewConstructor(transfer(pullInto.buffer), pullInto.byteOffset,
      pullInto.bytesFilled / pullInto.elementSize);
  }

  // CommitPullIntoDescriptor for each of a Queue.
  function commitFilled(stream, filled) {
    while (filled.length > 0) commitPullInto(stream, filled.shift());
  }
  function commitPullInto(stream, pullInto) {
    const view = convertPullInto(pullInto);
    const request = stream.reader.requests.shift();
    if (stream.state === CLOSED) request.closeSteps(view);
    else request.chunkSteps(view);
  }

  // FillPullIntoDescriptorFromQueue: whether the minimum is reached.
  function fillPullInto(controller, pullInto) {
    const { queue } = controller;
    let remaining = pullInto.byteLength - pullInto.bytesFilled;
    if (controller.queueTotalSize < remaining) remaining = controller.queueTotalSize;
    const bytesFilledMax = pullInto.bytesFilled + remaining;
    const aligned = bytesFilledMax - bytesFilledMax % pullInto.elementSize;
    const ready = aligned >= pullInto.minimumFill;
    if (ready) remaining = aligned - pullInto.bytesFilled;
    while (remaining > 0) {
      const head = queue.peek();
      const count = remaining < head.byteLength ? remaining : head.byteLength;
      TypedArrayPrototypeSet(new Uint8Array(pullInto.buffer, pullInto.byteOffset + pullInto.bytesFilled, count),
        new Uint8Array(head.buffer, head.byteOffset, count), 0);
      if (head.byteLength === count) {
        queue.shift();
      } else {
        head.byteOffset += count;
        head.byteLength -= count;
      }
      controller.queueTotalSize -= count;
      pullInto.bytesFilled += count;
      remaining -= count;
    }
    return ready;
  }

  // ProcessPullIntoDescriptorsUsingQueue
  function processPullIntos(controller) {
    const filled = new Queue();
    const pending = controller.pendingPullIntos;
    while (pending.length > 0 && controller.queueTotalSize > 0) {
      if (!fillPullInto(controller, pending.peek())) break;
      filled.push(pending.shift());
    }
    return filled;
  }

  function bytePullInto(controller, view, min, request) {
    const stream = controller.stream;
    const name = typedArrayName(view);
    const constructor = name === undefined ? DataView : TypedArrayConstructors[name] ?? globalThis[name];
    const elementSize = name === undefined ? 1 : constructor.BYTES_PER_ELEMENT;
    const byteOffset = viewByteOffset(view);
    const byteLength = viewByteLength(view);
    let buffer;
    try {
      buffer = transfer(viewBuffer(view));
    } catch (error) {
      request.errorSteps(error);
      return;
    }
    const pullInto = new PullInto(buffer, byteOffset, byteLength, min * elementSize, elementSize, constructor, "byob");
    if (controller.pendingPullIntos.length > 0) {
      controller.pendingPullIntos.push(pullInto);
      stream.reader.requests.push(request);
      return;
    }
    if (stream.state === CLOSED) {
      request.closeSteps(new constructor(buffer, byteOffset, 0));
      return;
    }
    if (controller.queueTotalSize > 0) {
      if (controller.source !== null && controller.closeRequested) acceptRest(controller, pullInto);
      if (fillPullInto(controller, pullInto)) {
        const filledView = convertPullInto(pullInto);
        handleQueueDrain(controller);
        request.chunkSteps(filledView);
        return;
      }
      if (controller.closeRequested) {
        const error = new TypeError("Insufficient bytes to fill elements in the given buffer");
        controller.error(error);
        request.errorSteps(error);
        return;
      }
    }
    controller.pendingPullIntos.push(pullInto);
    stream.reader.requests.push(request);
    callPullIfNeeded(controller);
  }

  // The rest of a body may be less than a read asks for at least. The standard has that read fail if the rest waits
  // already, and succeed if it comes later: of what comes from a network, nobody knows which.
  function acceptRest(controller, pullInto) {
    const rest = controller.queueTotalSize - controller.queueTotalSize % pullInto.elementSize;
    if (rest > 0 && rest < pullInto.minimumFill) pullInto.minimumFill = rest;
  }

  function byteRespond(controller, bytesWritten) {
    const first = controller.pendingPullIntos.peek();
    if (controller.stream.state === CLOSED) {
      if (bytesWritten !== 0) throw new TypeError("bytesWritten must be 0 when the stream is closed");
    } else {
      if (bytesWritten === 0) throw new TypeError("bytesWritten must be greater than 0 when the stream is readable");
      if (first.bytesFilled + bytesWritten > first.byteLength) throw new RangeError("bytesWritten is out of range");
    }
    first.buffer = transfer(first.buffer);
    respondInternal(controller, bytesWritten);
  }

  function byteRespondWithNewView(controller, view) {
    const first = controller.pendingPullIntos.peek();
    const byteLength = viewByteLength(view);
    if (controller.stream.state === CLOSED) {
      if (byteLength !== 0) throw new TypeError("The view's length must be 0 when the stream is closed");
    } else if (byteLength === 0) {
      throw new TypeError("The view's length must be greater than 0 when the stream is readable");
    }
    if (first.byteOffset + first.bytesFilled !== viewByteOffset(view)) {
      throw new RangeError("The view does not start where the BYOB request's does");
    }
    if (first.bufferByteLength !== ArrayBufferPrototypeGetByteLength(viewBuffer(view))) {
      throw new RangeError("The view's buffer has another length than the BYOB request's");
    }
    if (first.bytesFilled + byteLength > first.byteLength) throw new RangeError("The view is too long");
    first.buffer = transfer(viewBuffer(view));
    respondInternal(controller, byteLength);
  }

  function respondInternal(controller, bytesWritten) {
    const first = controller.pendingPullIntos.peek();
    invalidateByobRequest(controller);
    if (controller.stream.state === CLOSED) respondInClosedState(controller, first);
    else respondInReadableState(controller, bytesWritten, first);
    callPullIfNeeded(controller);
  }

  function respondInClosedState(controller, first) {
    if (first.readerType === "none") controller.pendingPullIntos.shift();
    const stream = controller.stream;
    if (!hasByobReader(stream)) return;
    const filled = new Queue();
    while (filled.length < readRequestCount(stream)) filled.push(controller.pendingPullIntos.shift());
    commitFilled(stream, filled);
  }

  function respondInReadableState(controller, bytesWritten, pullInto) {
    const stream = controller.stream;
    pullInto.bytesFilled += bytesWritten;
    if (pullInto.readerType === "none") {
      enqueueDetachedPullInto(controller, pullInto);
      commitFilled(stream, processPullIntos(controller));
      return;
    }
    if (pullInto.bytesFilled < pullInto.minimumFill) return;
    controller.pendingPullIntos.shift();
    const remainder = pullInto.bytesFilled % pullInto.elementSize;
    if (remainder > 0) {
      const end = pullInto.byteOffset + pullInto.bytesFilled;
      enqueueClonedChunk(controller, pullInto.buffer, end - remainder, remainder);
    }
    pullInto.bytesFilled -= remainder;
    const filled = processPullIntos(controller);
    commitPullInto(stream, pullInto);
    commitFilled(stream, filled);
  }

  let invalidateRequest;

  class ReadableStreamBYOBRequest {
    #controller;
    #view;
    static {
      invalidateRequest = (request) => {
        request.#controller = null;
        request.#view = null;
      };
    }
    constructor(token, controller, view) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#controller = controller;
      this.#view = view;
    }
    get view() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return this.#view;
    }
    respond(bytesWritten) {
      const context = "Failed to execute 'respond' on 'ReadableStreamBYOBRequest'";
      if (!(#controller in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      bytesWritten = webidl.unsignedLongLong(bytesWritten, context, "enforce");
      if (this.#controller === null) throw new TypeError(context + ": This BYOB request has been invalidated");
      if (isDetached(viewBuffer(this.#view))) throw new TypeError(context + ": The view's buffer is detached");
      byteRespond(this.#controller, bytesWritten);
    }
    respondWithNewView(view) {
      const context = "Failed to execute 'respondWithNewView' on 'ReadableStreamBYOBRequest'";
      if (!(#controller in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireView(view, context);
      if (this.#controller === null) throw new TypeError(context + ": This BYOB request has been invalidated");
      if (isDetached(viewBuffer(view))) throw new TypeError(context + ": The view's buffer is detached");
      byteRespondWithNewView(this.#controller, view);
    }
  }

  class ReadableByteStreamController {
    #controller;
    constructor(token, controller) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#controller = controller;
    }
    get byobRequest() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      const controller = this.#controller;
      if (controller.byobRequest === null && controller.pendingPullIntos.length > 0) {
        const first = controller.pendingPullIntos.peek();
        const view = new Uint8Array(first.buffer, first.byteOffset + first.bytesFilled,
          first.byteLength - first.bytesFilled);
        controller.byobRequest = new ReadableStreamBYOBRequest(INTERNAL, controller, view);
      }
      return controller.byobRequest;
    }
    get desiredSize() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return readableDesiredSize(this.#controller);
    }
    close() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      if (this.#controller.closeRequested) throw new TypeError("The stream has already been closed");
      if (this.#controller.stream.state !== READABLE) throw new TypeError("The stream is not readable");
      this.#controller.close();
    }
    enqueue(chunk) {
      const context = "Failed to execute 'enqueue' on 'ReadableByteStreamController'";
      if (!(#controller in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireView(chunk, context);
      if (viewByteLength(chunk) === 0) throw new TypeError(context + ": The chunk is empty");
      if (ArrayBufferPrototypeGetByteLength(viewBuffer(chunk)) === 0) {
        throw new TypeError(context + ": The chunk's buffer is empty");
      }
      if (this.#controller.closeRequested) throw new TypeError(context + ": The stream is closed");
      if (this.#controller.stream.state !== READABLE) throw new TypeError(context + ": The stream is not readable");
      byteEnqueue(this.#controller, chunk);
    }
    error(reason = undefined) {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      this.#controller.error(reason);
    }
  }

  // ---- Readable streams: tee ----

  function readableTee(stream, cloneForBranch2) {
    const tee = stream.controller.isByte ? new ByteTee(stream) : new DefaultTee(stream, cloneForBranch2);
    return tee.branches();
  }

  // ReadableStreamDefaultTee
  class DefaultTee {
    stream;
    cloneForBranch2;
    reader;
    reading;
    readAgain;
    canceled1;
    canceled2;
    reason1;
    reason2;
    cancelResult;
    branch1;
    branch2;
    constructor(stream, cloneForBranch2) {
      this.stream = stream;
      this.cloneForBranch2 = cloneForBranch2;
      this.reader = acquireReader(stream, false);
      this.reading = false;
      this.readAgain = false;
      this.canceled1 = false;
      this.canceled2 = false;
      this.reason1 = undefined;
      this.reason2 = undefined;
      this.cancelResult = PromiseWithResolvers();
      this.branch1 = null;
      this.branch2 = null;
    }
    branches() {
      const pull = () => this.pull();
      this.branch1 = createReadable(alwaysFulfilled, pull, (reason) => this.cancel1(reason), 1, one);
      this.branch2 = createReadable(alwaysFulfilled, pull, (reason) => this.cancel2(reason), 1, one);
      react(this.reader.closed.promise, undefined, (reason) => {
        this.branch1.controller.error(reason);
        this.branch2.controller.error(reason);
        if (!this.canceled1 || !this.canceled2) this.cancelResult.resolve(undefined);
      });
      return [this.branch1.object, this.branch2.object];
    }
    pull() {
      if (this.reading) {
        this.readAgain = true;
      } else {
        this.reading = true;
        readDefault(this.reader, this);
      }
      return PromiseResolve(undefined);
    }
    chunkSteps(chunk) {
      // One microtask later, since the errors of a source can arrive before and must win.
      react(PromiseResolve(undefined), () => {
        this.readAgain = false;
        let chunk2 = chunk;
        if (!this.canceled2 && this.cloneForBranch2) {
          try {
            chunk2 = internals.cloneValue(chunk);
          } catch (error) {
            this.branch1.controller.error(error);
            this.branch2.controller.error(error);
            this.cancelResult.resolve(readableCancel(this.stream, error));
            return;
          }
        }
        if (!this.canceled1) this.branch1.controller.enqueue(chunk);
        if (!this.canceled2) this.branch2.controller.enqueue(chunk2);
        this.reading = false;
        if (this.readAgain) this.pull();
      });
    }
    closeSteps() {
      this.reading = false;
      if (!this.canceled1) this.branch1.controller.close();
      if (!this.canceled2) this.branch2.controller.close();
      if (!this.canceled1 || !this.canceled2) this.cancelResult.resolve(undefined);
    }
    errorSteps() {
      this.reading = false;
    }
    cancel1(reason) {
      this.canceled1 = true;
      this.reason1 = reason;
      return this.#canceled(this.canceled2);
    }
    cancel2(reason) {
      this.canceled2 = true;
      this.reason2 = reason;
      return this.#canceled(this.canceled1);
    }
    #canceled(both) {
      if (both) this.cancelResult.resolve(readableCancel(this.stream, [this.reason1, this.reason2]));
      return this.cancelResult.promise;
    }
  }

  // ReadableByteStreamTee
  class ByteTee {
    stream;
    reader;
    reading;
    canceled;
    readAgain;
    reasons;
    cancelResult;
    controllers;
    constructor(stream) {
      this.stream = stream;
      this.reader = acquireReader(stream, false);
      this.reading = false;
      this.canceled = [false, false];
      this.readAgain = [false, false];
      this.reasons = [undefined, undefined];
      this.cancelResult = PromiseWithResolvers();
      this.controllers = [null, null];
    }
    branches() {
      const branches = [null, null];
      for (let i = 0; i < 2; i++) {
        const branch = createReadableByte(alwaysFulfilled, () => this.pull(i), (reason) => this.cancel(i, reason), 0);
        this.controllers[i] = branch.controller;
        branches[i] = branch.object;
      }
      this.forwardReaderError(this.reader);
      return branches;
    }
    forwardReaderError(reader) {
      react(reader.closed.promise, undefined, (reason) => {
        if (reader !== this.reader) return;
        this.controllers[0].error(reason);
        this.controllers[1].error(reason);
        if (!this.canceled[0] || !this.canceled[1]) this.cancelResult.resolve(undefined);
      });
    }
    pull(branch) {
      if (this.reading) {
        this.readAgain[branch] = true;
      } else {
        this.reading = true;
        const request = this.controllers[branch].object.byobRequest;
        if (request === null) this.pullWithDefaultReader();
        else this.pullWithByobReader(request.view, branch);
      }
      return PromiseResolve(undefined);
    }
    useReader(byob) {
      if (this.reader.byob === byob) return;
      releaseReader(this.reader);
      this.reader = acquireReader(this.stream, byob);
      this.forwardReaderError(this.reader);
    }
    pullWithDefaultReader() {
      this.useReader(false);
      readDefault(this.reader, {
        chunkSteps: (chunk) => react(PromiseResolve(undefined), () => {
          this.readAgain[0] = this.readAgain[1] = false;
          let chunk2 = chunk;
          if (!this.canceled[0] && !this.canceled[1] && !(chunk2 = this.copy(chunk))) return;
          if (!this.canceled[0]) this.controllers[0].enqueue(chunk);
          if (!this.canceled[1]) this.controllers[1].enqueue(chunk2);
          this.readDone();
        }),
        closeSteps: () => {
          this.reading = false;
          for (let i = 0; i < 2; i++) {
            if (!this.canceled[i]) this.controllers[i].close();
            if (this.controllers[i].pendingPullIntos.length > 0) byteRespond(this.controllers[i], 0);
          }
          if (!this.canceled[0] || !this.canceled[1]) this.cancelResult.resolve(undefined);
        },
        errorSteps: () => {
          this.reading = false;
        },
      });
    }
    pullWithByobReader(view, byobBranch) {
      this.useReader(true);
      const otherBranch = 1 - byobBranch;
      const byob = this.controllers[byobBranch];
      const other = this.controllers[otherBranch];
      readByob(this.reader, view, 1, {
        chunkSteps: (chunk) => react(PromiseResolve(undefined), () => {
          this.readAgain[0] = this.readAgain[1] = false;
          if (!this.canceled[otherBranch]) {
            const copy = this.copy(chunk);
            if (!copy) return;
            if (!this.canceled[byobBranch]) byteRespondWithNewView(byob, chunk);
            other.enqueue(copy);
          } else if (!this.canceled[byobBranch]) {
            byteRespondWithNewView(byob, chunk);
          }
          this.readDone();
        }),
        closeSteps: (chunk) => {
          this.reading = false;
          const byobCanceled = this.canceled[byobBranch], otherCanceled = this.canceled[otherBranch];
          if (!byobCanceled) byob.close();
          if (!otherCanceled) other.close();
          if (chunk !== undefined) {
            if (!byobCanceled) byteRespondWithNewView(byob, chunk);
            if (!otherCanceled && other.pendingPullIntos.length > 0) byteRespond(other, 0);
          }
          if (!byobCanceled || !otherCanceled) this.cancelResult.resolve(undefined);
        },
        errorSteps: () => {
          this.reading = false;
        },
      });
    }
    // CloneAsUint8Array; null, with both branches errored, when there is no memory for it.
    copy(chunk) {
      try {
        const offset = viewByteOffset(chunk);
        return new Uint8Array(ArrayBufferPrototypeSlice(viewBuffer(chunk), offset, offset + viewByteLength(chunk)));
      } catch (error) {
        this.controllers[0].error(error);
        this.controllers[1].error(error);
        this.cancelResult.resolve(readableCancel(this.stream, error));
        return null;
      }
    }
    readDone() {
      this.reading = false;
      if (this.readAgain[0]) this.pull(0);
      else if (this.readAgain[1]) this.pull(1);
    }
    cancel(branch, reason) {
      this.canceled[branch] = true;
      this.reasons[branch] = reason;
      if (this.canceled[1 - branch]) this.cancelResult.resolve(readableCancel(this.stream, this.reasons));
      return this.cancelResult.promise;
    }
  }

  // ---- Readable streams: creation ----

  // CreateReadableStream; the algorithms return promises. The record's `object` is the stream.
  function createReadable(start, pull, cancel, highWaterMark, size) {
    const stream = new ReadableState();
    stream.object = new ReadableStream(INTERNAL, stream);
    startReadable(new DefaultController(stream, pull, cancel, highWaterMark, size), start);
    return stream;
  }
  // CreateReadableByteStream
  function createReadableByte(start, pull, cancel, highWaterMark) {
    const stream = new ReadableState();
    stream.object = new ReadableStream(INTERNAL, stream);
    startReadable(new ByteController(stream, pull, cancel, highWaterMark, undefined), start);
    return stream;
  }

  // UnderlyingSource, its members read in the order Web IDL asks for.
  function convertSource(source, context) {
    const autoAllocateChunkSize = source.autoAllocateChunkSize;
    const size = autoAllocateChunkSize === undefined ? undefined
      : webidl.unsignedLongLong(autoAllocateChunkSize, context, "enforce");
    const cancel = convertFunction(source.cancel, "cancel", context);
    const pull = convertFunction(source.pull, "pull", context);
    const start = convertFunction(source.start, "start", context);
    let type = source.type;
    if (type !== undefined) {
      type = webidl.DOMString(type, context);
      if (type !== "bytes") throw new TypeError(context + ": '" + type + "' is not a valid stream type");
    }
    return { autoAllocateChunkSize: size, cancel, pull, start, type };
  }

  // Sets up `stream` from an underlying source of the app.
  function setUpFromSource(stream, source, strategy, context) {
    const { autoAllocateChunkSize, cancel, pull, start, type } = convertSource(source ?? {}, context);
    let controller;
    const pullAlgorithm = pull === undefined ? nothing : () => call(pull, source, [controller.object]);
    const cancelAlgorithm = cancel === undefined ? alwaysFulfilled : (reason) => invoke(cancel, source, [reason]);
    const startAlgorithm = start === undefined ? alwaysFulfilled
      : () => promiseResolvedWith(ReflectApply(start, source, [controller.object]));
    if (type === "bytes") {
      if (strategy.size !== undefined) throw new RangeError(context + ": A byte stream takes no size function");
      const highWaterMark = extractHighWaterMark(strategy, 0);
      if (autoAllocateChunkSize === 0) throw new TypeError(context + ": autoAllocateChunkSize must be greater than 0");
      controller = new ByteController(stream, pullAlgorithm, cancelAlgorithm, highWaterMark, autoAllocateChunkSize);
    } else {
      const size = extractSize(strategy);
      const highWaterMark = extractHighWaterMark(strategy, 1);
      controller = new DefaultController(stream, pullAlgorithm, cancelAlgorithm, highWaterMark, size);
    }
    startReadable(controller, startAlgorithm);
  }

  // ReadableStreamFromIterable
  function readableFromIterable(iterable) {
    const context = "Failed to execute 'from' on 'ReadableStream'";
    let method = iterable === undefined || iterable === null ? undefined : iterable[SymbolAsyncIterator];
    const isAsync = method !== undefined && method !== null;
    if (!isAsync) method = iterable === undefined || iterable === null ? undefined : iterable[SymbolIterator];
    if (typeof method !== "function") throw new TypeError(context + ": The value is not iterable");
    const iterator = ReflectApply(method, iterable, []);
    if (!webidl.isObject(iterator)) throw new TypeError(context + ": The iterator is not an object");
    const next = iterator.next;
    const controllerOf = () => stream.controller;
    // A synchronous iterator's values are awaited, as CreateAsyncFromSyncIterator does.
    const settle = (result) => {
      if (!webidl.isObject(result)) throw new TypeError("The iterator's result is not an object");
      if (result.done) controllerOf().close();
      else if (isAsync) controllerOf().enqueue(result.value);
      else return react(PromiseResolve(result.value), (value) => controllerOf().enqueue(value));
      return undefined;
    };
    const pull = () => {
      if (isAsync) return react(invoke(next, iterator, []), settle);
      try {
        return PromiseResolve(settle(ReflectApply(next, iterator, [])));
      } catch (error) {
        return PromiseReject(error);
      }
    };
    const cancel = (reason) => {
      let returnMethod;
      try {
        returnMethod = iterator.return;
        if (returnMethod === undefined || returnMethod === null) return PromiseResolve(undefined);
        if (typeof returnMethod !== "function") throw new TypeError("The iterator's return is not a function");
      } catch (error) {
        return PromiseReject(error);
      }
      return react(invoke(returnMethod, iterator, [reason]), (result) => {
        if (!webidl.isObject(result)) throw new TypeError("The iterator's result is not an object");
      });
    };
    const stream = createReadable(alwaysFulfilled, pull, cancel, 0, one);
    return stream.object;
  }

  // ---- Readable streams: pipeTo ----

  // ReadableStreamPipeTo. `signal` is an AbortSignal or undefined.
  class Pipe {
    source;
    dest;
    preventClose;
    preventAbort;
    preventCancel;
    signal;
    reader;
    writer;
    shuttingDown;
    writes = 0; // that are under way
    written = null; // deferred: none is
    onReady;
    result;
    abortAlgorithm;
    constructor(source, dest, preventClose, preventAbort, preventCancel, signal) {
      this.source = source;
      this.dest = dest;
      this.preventClose = preventClose;
      this.preventAbort = preventAbort;
      this.preventCancel = preventCancel;
      this.signal = signal;
      this.reader = acquireReader(source, false);
      this.writer = acquireWriter(dest);
      this.shuttingDown = false;
      this.onReady = () => {
        if (!this.shuttingDown) readDefault(this.reader, this);
      };
      this.result = PromiseWithResolvers();
      this.abortAlgorithm = undefined;
    }

    run() {
      const { source, dest, reader, writer, signal } = this;
      source.disturbed = true;
      if (signal !== undefined) {
        this.abortAlgorithm = () => this.abort();
        if (signal.aborted) {
          this.abort();
          return this.result.promise;
        }
        internals.abort.add(signal, this.abortAlgorithm);
      }
      // Errors go forward, errors go backward, closing goes forward, closing goes backward: in this order.
      this.#whenErrored(source.state === ERRORED, source, reader, (reason) => {
        if (this.preventAbort) this.shutdown(true, reason);
        else this.shutdownWithAction(() => writableAbort(dest, reason), true, reason);
      });
      this.#whenErrored(dest.state === W_ERRORED, dest, writer, (reason) => {
        if (this.preventCancel) this.shutdown(true, reason);
        else this.shutdownWithAction(() => readableCancel(source, reason), true, reason);
      });
      const closed = () => {
        if (this.preventClose) this.shutdown(false, undefined);
        else this.shutdownWithAction(() => writerCloseWithErrorPropagation(writer), false, undefined);
      };
      if (source.state === CLOSED) closed();
      else react(reader.closed.promise, closed, nothing);
      if (writableCloseQueuedOrInFlight(dest) || dest.state === W_CLOSED) {
        const reason = new TypeError("The destination writable stream closed before all data could be piped to it");
        if (this.preventCancel) this.shutdown(true, reason);
        else this.shutdownWithAction(() => readableCancel(source, reason), true, reason);
      }
      this.#step();
      return this.result.promise;
    }

    #whenErrored(errored, stream, readerOrWriter, action) {
      if (errored) action(stream.storedError);
      else react(readerOrWriter.closed.promise, undefined, action);
    }

    // Reads one chunk when the writer is ready for one; its chunkSteps go on.
    #step() {
      if (!this.shuttingDown) this.writer.ready.whenFulfilled(this.onReady);
    }
    chunkSteps(chunk) {
      // The write comes a microtask later, so that an error of the destination in between is not lost and
      // a source that enqueues synchronously is not entered again.
      this.writes++;
      later(() => {
        writerWrite(this.writer, chunk, this);
        this.#step();
      });
    }
    // It is the write request of its chunks, whatever becomes of them.
    resolve() {
      if (--this.writes === 0 && this.written !== null) this.written.resolve(undefined);
    }
    reject() {
      this.resolve();
    }
    closeSteps() {}
    errorSteps() {}

    abort() {
      const reason = this.signal.reason;
      const { source, dest } = this;
      this.shutdownWithAction(() => {
        const aborted = !this.preventAbort && dest.state === W_WRITABLE ? writableAbort(dest, reason)
          : PromiseResolve(undefined);
        const canceled = !this.preventCancel && source.state === READABLE ? readableCancel(source, reason)
          : PromiseResolve(undefined);
        markHandled(canceled);
        return react(aborted, () => canceled);
      }, true, reason);
    }

    waitForWrites() {
      if (this.writes === 0) return PromiseResolve(undefined);
      this.written = PromiseWithResolvers();
      return this.written.promise;
    }
    shutdownWithAction(action, failed, reason) {
      if (this.shuttingDown) return;
      this.shuttingDown = true;
      const act = () => react(action(), () => this.finalize(failed, reason),
        (error) => this.finalize(true, error));
      if (this.dest.state === W_WRITABLE && !writableCloseQueuedOrInFlight(this.dest)) {
        react(this.waitForWrites(), act);
      } else {
        act();
      }
    }
    shutdown(failed, reason) {
      if (this.shuttingDown) return;
      this.shuttingDown = true;
      if (this.dest.state === W_WRITABLE && !writableCloseQueuedOrInFlight(this.dest)) {
        react(this.waitForWrites(), () => this.finalize(failed, reason));
      } else {
        this.finalize(failed, reason);
      }
    }
    finalize(failed, reason) {
      releaseWriter(this.writer);
      releaseReader(this.reader);
      if (this.signal !== undefined) internals.abort.remove(this.signal, this.abortAlgorithm);
      if (failed) this.result.reject(reason);
      else this.result.resolve(undefined);
    }
  }

  // StreamPipeOptions, its members read in the order Web IDL asks for.
  function convertPipeOptions(options, context) {
    const dictionary = webidl.dictionary(options, context);
    const preventAbort = !!dictionary.preventAbort;
    const preventCancel = !!dictionary.preventCancel;
    const preventClose = !!dictionary.preventClose;
    const signal = dictionary.signal;
    if (signal !== undefined && !internals.abort.isAbortSignal(signal)) {
      throw new TypeError(context + ": signal is not an AbortSignal");
    }
    return { preventAbort, preventCancel, preventClose, signal };
  }

  // ---- Readable streams: public classes ----

  let readableState; // (value) => ReadableState, or undefined for anything else
  let setReadableState; // (ReadableStream, ReadableState)

  class ReadableStream {
    #stream;
    static {
      readableState = (value) => (webidl.isObject(value) && #stream in value ? value.#stream : undefined);
      setReadableState = (object, stream) => {
        object.#stream = stream;
        stream.object = object;
      };
    }
    constructor(underlyingSource = undefined, strategy = undefined) {
      if (underlyingSource === INTERNAL) {
        this.#stream = strategy;
        return;
      }
      const context = "Failed to construct 'ReadableStream'";
      if (underlyingSource !== undefined && !webidl.isObject(underlyingSource)) {
        throw new TypeError(context + ": The underlying source is not an object");
      }
      const converted = convertStrategy(strategy, context);
      const stream = new ReadableState();
      stream.object = this;
      this.#stream = stream;
      setUpFromSource(stream, underlyingSource, converted, context);
    }
    static from(asyncIterable) {
      webidl.requiredArguments(arguments.length, 1, "Failed to execute 'from' on 'ReadableStream'");
      return readableFromIterable(asyncIterable);
    }
    get locked() {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      return this.#stream.reader !== null;
    }
    cancel(reason = undefined) {
      if (!webidl.isObject(this) || !(#stream in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#stream.reader !== null) return PromiseReject(new TypeError("Cannot cancel a locked stream"));
      return readableCancel(this.#stream, reason);
    }
    getReader(options = undefined) {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getReader' on 'ReadableStream'";
      let mode = webidl.dictionary(options, context).mode;
      if (mode === undefined) return new ReadableStreamDefaultReader(this);
      mode = webidl.DOMString(mode, context);
      if (mode !== "byob") throw new TypeError(context + ": '" + mode + "' is not a valid reader mode");
      return new ReadableStreamBYOBReader(this);
    }
    pipeThrough(transform, options = undefined) {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'pipeThrough' on 'ReadableStream'";
      webidl.requiredArguments(arguments.length, 1, context);
      const pair = webidl.dictionary(transform, context);
      const readable = pair.readable;
      if (readableState(readable) === undefined) throw new TypeError(context + ": readable is not a ReadableStream");
      const dest = writableState(pair.writable);
      if (dest === undefined) throw new TypeError(context + ": writable is not a WritableStream");
      const { preventAbort, preventCancel, preventClose, signal } = convertPipeOptions(options, context);
      if (this.#stream.reader !== null) throw new TypeError(context + ": The readable stream is locked");
      if (dest.writer !== null) throw new TypeError(context + ": The writable stream is locked");
      if (dest.bypass !== null && !preventAbort && !preventCancel && !preventClose && signal === undefined &&
          dest.bypass(this.#stream, readable)) return readable;
      markHandled(new Pipe(this.#stream, dest, preventClose, preventAbort, preventCancel, signal).run());
      return readable;
    }
    pipeTo(destination, options = undefined) {
      try {
        const context = "Failed to execute 'pipeTo' on 'ReadableStream'";
        if (!(#stream in this)) throw webidl.illegalInvocation();
        webidl.requiredArguments(arguments.length, 1, context);
        const dest = writableState(destination);
        if (dest === undefined) throw new TypeError(context + ": The destination is not a WritableStream");
        const { preventAbort, preventCancel, preventClose, signal } = convertPipeOptions(options, context);
        if (this.#stream.reader !== null) throw new TypeError(context + ": The readable stream is locked");
        if (dest.writer !== null) throw new TypeError(context + ": The writable stream is locked");
        return new Pipe(this.#stream, dest, preventClose, preventAbort, preventCancel, signal).run();
      } catch (error) {
        return PromiseReject(error);
      }
    }
    tee() {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      return readableTee(this.#stream, false);
    }
    values(options = undefined) {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      const dictionary = webidl.dictionary(options, "Failed to execute 'values' on 'ReadableStream'");
      const preventCancel = !!dictionary.preventCancel;
      return newAsyncIterator(acquireReader(this.#stream, false), preventCancel);
    }
  }
  configureInterface(ReadableStream);
  ObjectDefineProperty(ReadableStream.prototype, SymbolAsyncIterator, {
    __proto__: null, value: ReadableStream.prototype.values, writable: true, enumerable: false, configurable: true,
  });

  class ReadableStreamDefaultReader {
    #reader;
    constructor(stream) {
      const context = "Failed to construct 'ReadableStreamDefaultReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      const state = readableState(stream);
      if (state === undefined) throw new TypeError(context + ": The argument is not a ReadableStream");
      this.#reader = acquireReader(state, false);
    }
    get closed() {
      if (!webidl.isObject(this) || !(#reader in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#reader.closed.promise;
    }
    cancel(reason = undefined) {
      if (!webidl.isObject(this) || !(#reader in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#reader.stream === null) return PromiseReject(new TypeError("The reader was released"));
      return readableCancel(this.#reader.stream, reason);
    }
    read() {
      if (!webidl.isObject(this) || !(#reader in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#reader.stream === null) return PromiseReject(new TypeError("The reader was released"));
      const request = new PromiseRequest();
      readDefault(this.#reader, request);
      return request.promise;
    }
    releaseLock() {
      if (!(#reader in this)) throw webidl.illegalInvocation();
      if (this.#reader.stream !== null) releaseReader(this.#reader);
    }
  }

  class ReadableStreamBYOBReader {
    #reader;
    constructor(stream) {
      const context = "Failed to construct 'ReadableStreamBYOBReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      const state = readableState(stream);
      if (state === undefined) throw new TypeError(context + ": The argument is not a ReadableStream");
      this.#reader = acquireReader(state, true);
    }
    get closed() {
      if (!webidl.isObject(this) || !(#reader in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#reader.closed.promise;
    }
    cancel(reason = undefined) {
      if (!webidl.isObject(this) || !(#reader in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#reader.stream === null) return PromiseReject(new TypeError("The reader was released"));
      return readableCancel(this.#reader.stream, reason);
    }
    read(view, options = undefined) {
      try {
        const context = "Failed to execute 'read' on 'ReadableStreamBYOBReader'";
        if (!(#reader in this)) throw webidl.illegalInvocation();
        webidl.requiredArguments(arguments.length, 1, context);
        requireView(view, context);
        let min = webidl.dictionary(options, context).min;
        min = min === undefined ? 1 : webidl.unsignedLongLong(min, context, "enforce");
        if (viewByteLength(view) === 0) throw new TypeError(context + ": The view is empty");
        const buffer = viewBuffer(view);
        if (ArrayBufferPrototypeGetByteLength(buffer) === 0) throw new TypeError(context + ": The buffer is empty");
        if (isDetached(buffer)) throw new TypeError(context + ": The view's buffer is detached");
        if (min === 0) throw new TypeError(context + ": min must be greater than 0");
        const length = typedArrayName(view) === undefined ? viewByteLength(view) : TypedArrayPrototypeGetLength(view);
        if (min > length) throw new RangeError(context + ": min is greater than the view's length");
        if (this.#reader.stream === null) throw new TypeError("The reader was released");
        const request = new PromiseRequest();
        readByob(this.#reader, view, min, request);
        return request.promise;
      } catch (error) {
        return PromiseReject(error);
      }
    }
    releaseLock() {
      if (!(#reader in this)) throw webidl.illegalInvocation();
      if (this.#reader.stream !== null) releaseReader(this.#reader);
    }
  }

  // ---- Readable streams: asynchronous iteration (standard 4.2.5, Web IDL 3.7.10.2) ----

  class IteratorRequest {
    #reader;
    #deferred = PromiseWithResolvers();
    #finish;
    constructor(reader, finish) {
      this.#reader = reader;
      this.#finish = finish;
    }
    get promise() {
      return this.#deferred.promise;
    }
    chunkSteps(chunk) {
      this.#deferred.resolve({ value: chunk, done: false });
    }
    closeSteps() {
      this.#finish();
      releaseReader(this.#reader);
      this.#deferred.resolve({ value: undefined, done: true });
    }
    errorSteps(reason) {
      this.#finish();
      releaseReader(this.#reader);
      this.#deferred.reject(reason);
    }
  }

  // Stamps the private field onto an object that was made with the right prototype.
  class Stamp {
    constructor(object) {
      return object;
    }
  }
  class IteratorState extends Stamp {
    #reader;
    #preventCancel;
    #ongoing = null; // the promise of the step before
    #finished = false;
    constructor(object, reader, preventCancel) {
      super(object);
      this.#reader = reader;
      this.#preventCancel = preventCancel;
    }
    // Steps run one after the other.
    static enqueue(object, step) {
      if (!webidl.isObject(object) || !(#reader in object)) return PromiseReject(webidl.illegalInvocation());
      const ongoing = object.#ongoing;
      const promise = ongoing === null ? step() : react(ongoing, step, step);
      object.#ongoing = promise;
      return promise;
    }
    static next(object) {
      if (object.#finished) return PromiseResolve({ value: undefined, done: true });
      const reader = object.#reader;
      const request = new IteratorRequest(reader, () => {
        object.#finished = true;
      });
      readDefault(reader, request);
      // Web IDL's steps follow those of the stream one microtask later.
      return react(request.promise, asIs);
    }
    static return(object, value) {
      if (object.#finished) return PromiseResolve({ value, done: true });
      object.#finished = true;
      const reader = object.#reader;
      const result = object.#preventCancel ? PromiseResolve(undefined) : readableCancel(reader.stream, value);
      releaseReader(reader);
      return react(result, () => ({ value, done: true }));
    }
  }
  const iteratorPrototype = ObjectCreate(AsyncIteratorPrototype, {
    next: {
      __proto__: null, writable: true, enumerable: true, configurable: true,
      value: { next() { return IteratorState.enqueue(this, () => IteratorState.next(this)); } }.next,
    },
    return: {
      __proto__: null, writable: true, enumerable: true, configurable: true,
      value: { return(value) { return IteratorState.enqueue(this, () => IteratorState.return(this, value)); } }.return,
    },
  });
  function newAsyncIterator(reader, preventCancel) {
    return new IteratorState(ObjectCreate(iteratorPrototype), reader, preventCancel);
  }

  // ---- Writable streams: state ----

  const W_WRITABLE = 0, W_CLOSED = 1, W_ERRORING = 2, W_ERRORED = 3;
  // In a controller's queue: the stream is to be closed.
  const CLOSE_SENTINEL = { __proto__: null };

  class WritableState {
    object = null;
    state = W_WRITABLE;
    storedError = undefined;
    writer = null; // Writer
    controller = null; // WritableController
    backpressure = false;
    writeRequests = new Queue(); // of deferreds
    inFlightWriteRequest = null;
    closeRequest = null; // deferred
    inFlightCloseRequest = null;
    pendingAbort = null; // { deferred, reason, wasAlreadyErroring }
    bypass = null; // see setIdentity
    detached = false; // transferred
  }

  class Writer {
    stream = null; // WritableState; null once released
    ready = null; // Settlement
    closed = null; // Settlement
  }

  class WritableController {
    #object = null;
    stream;
    queue = new Queue();
    queueTotalSize = 0;
    started = false;
    highWaterMark;
    sizeAlgorithm;
    writeAlgorithm; // gives a promise, or undefined for one that is fulfilled
    closeAlgorithm;
    abortAlgorithm;
    onWritten = null;
    writtenIn2 = null; // microtasks
    writtenIn3 = null;
    transform = null; // TransformState of which it is a side
    #abortController = null;

    constructor(stream, write, close, abort, highWaterMark, size) {
      this.stream = stream;
      this.writeAlgorithm = write;
      this.closeAlgorithm = close;
      this.abortAlgorithm = abort;
      this.highWaterMark = highWaterMark;
      this.sizeAlgorithm = size;
    }
    get object() {
      return this.#object ??= new WritableStreamDefaultController(INTERNAL, this);
    }
    // The AbortSignal of the controller, made when it is first asked for.
    get signal() {
      if (this.#abortController === null) {
        this.#abortController = internals.abort.createSignal();
        const { state, pendingAbort } = this.stream;
        if (pendingAbort !== null || (this.abortReason !== undefined && state !== W_WRITABLE)) {
          internals.abort.signalAbort(this.#abortController, this.abortReason);
        }
      }
      return this.#abortController;
    }
    abortReason = undefined;
    signalAbort(reason) {
      this.abortReason = reason;
      if (this.#abortController !== null) internals.abort.signalAbort(this.#abortController, reason);
    }
    clearAlgorithms() {
      this.writeAlgorithm = undefined;
      this.closeAlgorithm = undefined;
      this.abortAlgorithm = undefined;
      this.sizeAlgorithm = undefined;
    }
    abortSteps(reason) {
      const result = this.abortAlgorithm(reason);
      this.clearAlgorithms();
      return result;
    }
    desiredSize() {
      return this.highWaterMark - this.queueTotalSize;
    }
    hasBackpressure() {
      return this.desiredSize() <= 0;
    }
    error(reason) {
      this.clearAlgorithms();
      writableStartErroring(this.stream, reason);
    }
    errorIfNeeded(reason) {
      if (this.stream.state === W_WRITABLE) this.error(reason);
    }
  }

  function acquireWriter(stream) {
    const writer = new Writer();
    if (stream.writer !== null) throw new TypeError("This WritableStream is already locked to a writer");
    writer.stream = stream;
    stream.writer = writer;
    switch (stream.state) {
      case W_WRITABLE:
        writer.ready = !writableCloseQueuedOrInFlight(stream) && stream.backpressure ? new Settlement() : fulfilled();
        writer.closed = new Settlement();
        break;
      case W_ERRORING:
        writer.ready = rejected(stream.storedError);
        writer.closed = new Settlement();
        break;
      case W_CLOSED:
        writer.ready = fulfilled();
        writer.closed = fulfilled();
        break;
      default:
        writer.ready = rejected(stream.storedError);
        writer.closed = rejected(stream.storedError);
    }
    return writer;
  }

  function releaseWriter(writer) {
    const stream = writer.stream;
    const released = new TypeError("The writer was released");
    writerEnsureReadyRejected(writer, released);
    writerEnsureClosedRejected(writer, released);
    stream.writer = null;
    writer.stream = null;
  }
  function writerEnsureReadyRejected(writer, reason) {
    if (writer.ready.status === 0) writer.ready.reject(reason);
    else writer.ready = rejected(reason);
  }
  function writerEnsureClosedRejected(writer, reason) {
    if (writer.closed.status === 0) writer.closed.reject(reason);
    else writer.closed = rejected(reason);
  }

  function writableCloseQueuedOrInFlight(stream) {
    return stream.closeRequest !== null || stream.inFlightCloseRequest !== null;
  }

  function writableAbort(stream, reason) {
    if (stream.state === W_CLOSED || stream.state === W_ERRORED) return PromiseResolve(undefined);
    stream.controller.signalAbort(reason);
    const state = stream.state; // the signal's listeners may have changed it
    if (state === W_CLOSED || state === W_ERRORED) return PromiseResolve(undefined);
    if (stream.pendingAbort !== null) return stream.pendingAbort.deferred.promise;
    const wasAlreadyErroring = state === W_ERRORING;
    const deferred = PromiseWithResolvers();
    stream.pendingAbort = { deferred, reason: wasAlreadyErroring ? undefined : reason, wasAlreadyErroring };
    if (!wasAlreadyErroring) writableStartErroring(stream, reason);
    return deferred.promise;
  }

  function writableClose(stream) {
    if (stream.state === W_CLOSED || stream.state === W_ERRORED) {
      return PromiseReject(new TypeError("The stream is closed or errored and cannot be closed"));
    }
    const deferred = PromiseWithResolvers();
    stream.closeRequest = deferred;
    const writer = stream.writer;
    if (writer !== null && stream.backpressure && stream.state === W_WRITABLE) writer.ready.resolve();
    enqueueValueWithSize(stream.controller, CLOSE_SENTINEL, 0);
    writableAdvance(stream.controller);
    return deferred.promise;
  }

  // ---- Writable streams: the course of errors and of writes ----

  function writableDealWithRejection(stream, reason) {
    if (stream.state === W_WRITABLE) writableStartErroring(stream, reason);
    else writableFinishErroring(stream);
  }

  function writableStartErroring(stream, reason) {
    stream.state = W_ERRORING;
    stream.storedError = reason;
    if (stream.writer !== null) writerEnsureReadyRejected(stream.writer, reason);
    const inFlight = stream.inFlightWriteRequest !== null || stream.inFlightCloseRequest !== null;
    if (!inFlight && stream.controller.started) writableFinishErroring(stream);
  }

  function writableFinishErroring(stream) {
    stream.state = W_ERRORED;
    resetQueue(stream.controller); // [[ErrorSteps]]
    const reason = stream.storedError;
    const requests = stream.writeRequests;
    stream.writeRequests = new Queue();
    while (requests.length > 0) requests.shift().reject(reason);
    const abort = stream.pendingAbort;
    if (abort === null) {
      writableRejectCloseAndClosed(stream);
      return;
    }
    stream.pendingAbort = null;
    if (abort.wasAlreadyErroring) {
      abort.deferred.reject(reason);
      writableRejectCloseAndClosed(stream);
      return;
    }
    react(stream.controller.abortSteps(abort.reason), () => {
      abort.deferred.resolve(undefined);
      writableRejectCloseAndClosed(stream);
    }, (error) => {
      abort.deferred.reject(error);
      writableRejectCloseAndClosed(stream);
    });
  }

  function writableRejectCloseAndClosed(stream) {
    if (stream.closeRequest !== null) {
      stream.closeRequest.reject(stream.storedError);
      stream.closeRequest = null;
    }
    if (stream.writer !== null) stream.writer.closed.reject(stream.storedError);
  }

  function writableFinishInFlightClose(stream) {
    stream.inFlightCloseRequest.resolve(undefined);
    stream.inFlightCloseRequest = null;
    if (stream.state === W_ERRORING) {
      stream.storedError = undefined;
      if (stream.pendingAbort !== null) {
        stream.pendingAbort.deferred.resolve(undefined);
        stream.pendingAbort = null;
      }
    }
    stream.state = W_CLOSED;
    if (stream.writer !== null) stream.writer.closed.resolve();
  }

  function writableFinishInFlightCloseWithError(stream, reason) {
    stream.inFlightCloseRequest.reject(reason);
    stream.inFlightCloseRequest = null;
    if (stream.pendingAbort !== null) {
      stream.pendingAbort.deferred.reject(reason);
      stream.pendingAbort = null;
    }
    writableDealWithRejection(stream, reason);
  }

  function writableUpdateBackpressure(stream, backpressure) {
    const writer = stream.writer;
    if (writer !== null && backpressure !== stream.backpressure) {
      if (backpressure) writer.ready = new Settlement();
      else writer.ready.resolve();
    }
    stream.backpressure = backpressure;
  }

  // WritableStreamDefaultControllerAdvanceQueueIfNeeded
  function writableAdvance(controller) {
    const stream = controller.stream;
    if (!controller.started || stream.inFlightWriteRequest !== null) return;
    if (stream.state === W_ERRORING) {
      writableFinishErroring(stream);
      return;
    }
    if (controller.queue.length === 0) return;
    const { value } = controller.queue.peek();
    if (value === CLOSE_SENTINEL) processClose(controller);
    else processWrite(controller, value);
  }

  function processClose(controller) {
    const stream = controller.stream;
    stream.inFlightCloseRequest = stream.closeRequest;
    stream.closeRequest = null;
    dequeueValue(controller);
    const closed = controller.closeAlgorithm();
    controller.clearAlgorithms();
    react(closed, () => writableFinishInFlightClose(stream),
      (reason) => writableFinishInFlightCloseWithError(stream, reason));
  }

  function processWrite(controller, chunk) {
    const stream = controller.stream;
    stream.inFlightWriteRequest = stream.writeRequests.shift();
    if (controller.onWritten === null) {
      controller.onWritten = () => writeDone(controller);
      controller.writtenIn2 = () => later(controller.onWritten);
      controller.writtenIn3 = () => later(controller.writtenIn2);
    }
    const { transform } = controller;
    if (transform !== null) {
      transform.write(controller, chunk);
      return;
    }
    const written = controller.writeAlgorithm(chunk);
    if (written === undefined) later(controller.onWritten);
    else react(written, controller.onWritten, (reason) => writeFailed(controller, reason));
  }

  function writeDone(controller) {
    const stream = controller.stream;
    stream.inFlightWriteRequest.resolve(undefined);
    stream.inFlightWriteRequest = null;
    dequeueValue(controller);
    if (!writableCloseQueuedOrInFlight(stream) && stream.state === W_WRITABLE) {
      writableUpdateBackpressure(stream, controller.hasBackpressure());
    }
    writableAdvance(controller);
  }
  function writeFailed(controller, reason) {
    const stream = controller.stream;
    if (stream.state === W_WRITABLE) controller.clearAlgorithms();
    stream.inFlightWriteRequest.reject(reason);
    stream.inFlightWriteRequest = null;
    writableDealWithRejection(stream, reason);
  }

  // WritableStreamDefaultWriterWrite. `request`, a deferred or the like, learns what becomes of the chunk.
  function writerWrite(writer, chunk, request) {
    const stream = writer.stream;
    const controller = stream.controller;
    const size = writableChunkSize(controller, chunk);
    if (stream !== writer.stream) {
      request.reject(new TypeError("The writer was released"));
      return;
    }
    const state = stream.state;
    if (state === W_ERRORED) {
      request.reject(stream.storedError);
      return;
    }
    if (writableCloseQueuedOrInFlight(stream) || state === W_CLOSED) {
      request.reject(new TypeError("The stream is closing or closed and cannot be written to"));
      return;
    }
    if (state === W_ERRORING) {
      request.reject(stream.storedError);
      return;
    }
    stream.writeRequests.push(request);
    try {
      enqueueValueWithSize(controller, chunk, size);
    } catch (error) {
      controller.errorIfNeeded(error);
      return;
    }
    if (!writableCloseQueuedOrInFlight(stream) && stream.state === W_WRITABLE) {
      writableUpdateBackpressure(stream, controller.hasBackpressure());
    }
    writableAdvance(controller);
  }

  function writableChunkSize(controller, chunk) {
    if (controller.sizeAlgorithm === undefined) return 1; // the stream is not writable any more
    try {
      return controller.sizeAlgorithm(chunk);
    } catch (error) {
      controller.errorIfNeeded(error);
      return 1;
    }
  }

  function writerCloseWithErrorPropagation(writer) {
    const stream = writer.stream;
    if (writableCloseQueuedOrInFlight(stream) || stream.state === W_CLOSED) return PromiseResolve(undefined);
    if (stream.state === W_ERRORED) return PromiseReject(stream.storedError);
    return writableClose(stream);
  }

  function writerDesiredSize(writer) {
    const stream = writer.stream;
    if (stream.state === W_ERRORED || stream.state === W_ERRORING) return null;
    if (stream.state === W_CLOSED) return 0;
    return stream.controller.desiredSize();
  }

  // SetUpWritableStreamDefaultController; the start algorithm returns a promise.
  function startWritable(controller, startAlgorithm) {
    const stream = controller.stream;
    stream.controller = controller;
    writableUpdateBackpressure(stream, controller.hasBackpressure());
    react(startAlgorithm(), () => {
      controller.started = true;
      writableAdvance(controller);
    }, (reason) => {
      controller.started = true;
      writableDealWithRejection(stream, reason);
    });
  }

  // CreateWritableStream; the algorithms return promises.
  function createWritable(start, write, close, abort, highWaterMark, size) {
    const stream = new WritableState();
    stream.object = new WritableStream(INTERNAL, stream);
    startWritable(new WritableController(stream, write, close, abort, highWaterMark, size), start);
    return stream;
  }

  function setUpFromSink(stream, sink, strategy, context) {
    const source = sink ?? {};
    const abort = convertFunction(source.abort, "abort", context);
    const close = convertFunction(source.close, "close", context);
    const start = convertFunction(source.start, "start", context);
    const type = source.type;
    const write = convertFunction(source.write, "write", context);
    if (type !== undefined) throw new RangeError(context + ": Invalid type is specified");
    const size = extractSize(strategy);
    const highWaterMark = extractHighWaterMark(strategy, 1);
    const controller = new WritableController(stream,
      write === undefined ? nothing : (chunk) => call(write, sink, [chunk, controller.object]),
      close === undefined ? alwaysFulfilled : () => invoke(close, sink, []),
      abort === undefined ? alwaysFulfilled : (reason) => invoke(abort, sink, [reason]),
      highWaterMark, size);
    startWritable(controller, start === undefined ? alwaysFulfilled
      : () => promiseResolvedWith(ReflectApply(start, sink, [controller.object])));
  }

  // ---- Writable streams: public classes ----

  let writableState; // (value) => WritableState, or undefined for anything else

  class WritableStream {
    #stream;
    static {
      writableState = (value) => (webidl.isObject(value) && #stream in value ? value.#stream : undefined);
    }
    constructor(underlyingSink = undefined, strategy = undefined) {
      if (underlyingSink === INTERNAL) {
        this.#stream = strategy;
        return;
      }
      const context = "Failed to construct 'WritableStream'";
      if (underlyingSink !== undefined && !webidl.isObject(underlyingSink)) {
        throw new TypeError(context + ": The underlying sink is not an object");
      }
      const converted = convertStrategy(strategy, context);
      const stream = new WritableState();
      stream.object = this;
      this.#stream = stream;
      setUpFromSink(stream, underlyingSink, converted, context);
    }
    get locked() {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      return this.#stream.writer !== null;
    }
    abort(reason = undefined) {
      if (!webidl.isObject(this) || !(#stream in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#stream.writer !== null) return PromiseReject(new TypeError("Cannot abort a locked stream"));
      return writableAbort(this.#stream, reason);
    }
    close() {
      if (!webidl.isObject(this) || !(#stream in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#stream.writer !== null) return PromiseReject(new TypeError("Cannot close a locked stream"));
      if (writableCloseQueuedOrInFlight(this.#stream)) {
        return PromiseReject(new TypeError("Cannot close a stream that is closing already"));
      }
      return writableClose(this.#stream);
    }
    getWriter() {
      if (!(#stream in this)) throw webidl.illegalInvocation();
      return new WritableStreamDefaultWriter(this);
    }
  }

  class WritableStreamDefaultWriter {
    #writer;
    constructor(stream) {
      const context = "Failed to construct 'WritableStreamDefaultWriter'";
      webidl.requiredArguments(arguments.length, 1, context);
      const state = writableState(stream);
      if (state === undefined) throw new TypeError(context + ": The argument is not a WritableStream");
      this.#writer = acquireWriter(state);
    }
    get closed() {
      if (!webidl.isObject(this) || !(#writer in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#writer.closed.promise;
    }
    get desiredSize() {
      if (!(#writer in this)) throw webidl.illegalInvocation();
      if (this.#writer.stream === null) throw new TypeError("The writer was released");
      return writerDesiredSize(this.#writer);
    }
    get ready() {
      if (!webidl.isObject(this) || !(#writer in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#writer.ready.promise;
    }
    abort(reason = undefined) {
      if (!webidl.isObject(this) || !(#writer in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#writer.stream === null) return PromiseReject(new TypeError("The writer was released"));
      return writableAbort(this.#writer.stream, reason);
    }
    close() {
      if (!webidl.isObject(this) || !(#writer in this)) return PromiseReject(webidl.illegalInvocation());
      const stream = this.#writer.stream;
      if (stream === null) return PromiseReject(new TypeError("The writer was released"));
      if (writableCloseQueuedOrInFlight(stream)) {
        return PromiseReject(new TypeError("Cannot close a stream that is closing already"));
      }
      return writableClose(stream);
    }
    releaseLock() {
      if (!(#writer in this)) throw webidl.illegalInvocation();
      if (this.#writer.stream !== null) releaseWriter(this.#writer);
    }
    write(chunk = undefined) {
      if (!webidl.isObject(this) || !(#writer in this)) return PromiseReject(webidl.illegalInvocation());
      if (this.#writer.stream === null) return PromiseReject(new TypeError("The writer was released"));
      const deferred = PromiseWithResolvers();
      writerWrite(this.#writer, chunk, deferred);
      return deferred.promise;
    }
  }

  class WritableStreamDefaultController {
    #controller;
    constructor(token, controller) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#controller = controller;
    }
    get signal() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return this.#controller.signal;
    }
    error(reason = undefined) {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      if (this.#controller.stream.state === W_WRITABLE) this.#controller.error(reason);
    }
  }

  // ---- Transform streams ----

  // A TransformStream's record. readable and writable are ReadableState and WritableState.
  class TransformState {
    #object = null;
    readable = null;
    writable = null;
    backpressure = undefined;
    // What waits for a change of backpressure: a write until it is false, or a pull until it is true.
    onChange = null;
    onChangeToo = null;
    transformAlgorithm = undefined;
    flushAlgorithm = undefined;
    cancelAlgorithm = undefined;
    finish = null; // deferred: cancel or abort or close is under way
    detached = false; // transferred

    get object() {
      return this.#object ??= new TransformStreamDefaultController(INTERNAL, this);
    }
    clearAlgorithms() {
      this.transformAlgorithm = undefined;
      this.flushAlgorithm = undefined;
      this.cancelAlgorithm = undefined;
    }
    setBackpressure(backpressure) {
      if (this.onChange !== null) later(this.onChange);
      if (this.onChangeToo !== null) later(this.onChangeToo);
      this.onChange = null;
      this.onChangeToo = null;
      this.backpressure = backpressure;
    }
    #whenChanged(steps) {
      if (this.onChange === null) this.onChange = steps;
      else this.onChangeToo = steps;
    }
    // A promise for the next change.
    changed() {
      const deferred = PromiseWithResolvers();
      this.#whenChanged(() => deferred.resolve(undefined));
      return deferred.promise;
    }
    // TransformStreamDefaultSourcePullAlgorithm; `onPulled` is called when its promise is fulfilled.
    pull(onPulled) {
      this.setBackpressure(false);
      this.#whenChanged(onPulled);
    }
    // TransformStreamDefaultSinkWriteAlgorithm, for the writable side's controller.
    write(controller, chunk) {
      if (!this.backpressure) {
        this.#perform(controller, chunk, false);
        return;
      }
      this.#whenChanged(() => {
        const { state, storedError } = this.writable;
        if (state === W_ERRORING) later(() => writeFailed(controller, storedError));
        else this.#perform(controller, chunk, true);
      });
    }
    // TransformStreamDefaultControllerPerformTransform. The write is done after as many microtasks as the promises of
    // the standard take: two, and one more if it has waited.
    #perform(controller, chunk, hasWaited) {
      const transformed = this.transformAlgorithm(chunk);
      if (transformed === undefined) {
        later(hasWaited ? controller.writtenIn3 : controller.writtenIn2);
        return;
      }
      const performed = react(transformed, undefined, (reason) => {
        this.error(reason);
        throw reason;
      });
      react(hasWaited ? follow(performed) : performed, controller.onWritten, (reason) => writeFailed(controller, reason));
    }
    error(reason) {
      this.readable.controller.error(reason);
      this.errorWritableAndUnblock(reason);
    }
    errorWritableAndUnblock(reason) {
      this.clearAlgorithms();
      this.writable.controller.errorIfNeeded(reason);
      if (this.backpressure) this.setBackpressure(false);
    }
    enqueue(chunk) {
      const controller = this.readable.controller;
      if (!controller.canCloseOrEnqueue()) throw new TypeError("The readable side does not permit enqueue");
      try {
        controller.enqueue(chunk);
      } catch (error) {
        this.errorWritableAndUnblock(error);
        throw this.readable.storedError;
      }
      const backpressure = !shouldCallPull(controller);
      if (backpressure !== this.backpressure) this.setBackpressure(true);
    }
    terminate() {
      this.readable.controller.close();
      this.errorWritableAndUnblock(new TypeError("The transform stream has been terminated"));
    }
  }

  // As when a reaction returns a promise.
  async function follow(promise) {
    await undefined;
    return await promise;
  }

  // InitializeTransformStream
  function initializeTransform(transform, started, writableMark, writableSize, readableMark, readableSize) {
    transform.writable = createWritable(() => started, nothing, () => sinkClose(transform),
      (reason) => sinkAbort(transform, reason), writableMark, writableSize);
    transform.writable.controller.transform = transform;
    transform.readable = createReadable(() => started, nothing, (reason) => sourceCancel(transform, reason), readableMark,
      readableSize);
    transform.readable.controller.transform = transform;
    transform.setBackpressure(true);
  }

  function sinkAbort(transform, reason) {
    if (transform.finish !== null) return transform.finish.promise;
    const { readable } = transform;
    const finish = transform.finish = PromiseWithResolvers();
    const canceled = transform.cancelAlgorithm(reason);
    transform.clearAlgorithms();
    react(canceled, () => {
      if (readable.state === ERRORED) {
        finish.reject(readable.storedError);
      } else {
        readable.controller.error(reason);
        finish.resolve(undefined);
      }
    }, (error) => {
      readable.controller.error(error);
      finish.reject(error);
    });
    return finish.promise;
  }

  function sinkClose(transform) {
    if (transform.finish !== null) return transform.finish.promise;
    const { readable } = transform;
    const finish = transform.finish = PromiseWithResolvers();
    const flushed = transform.flushAlgorithm();
    transform.clearAlgorithms();
    react(flushed, () => {
      if (readable.state === ERRORED) {
        finish.reject(readable.storedError);
      } else {
        readable.controller.close();
        finish.resolve(undefined);
      }
    }, (error) => {
      readable.controller.error(error);
      finish.reject(error);
    });
    return finish.promise;
  }

  function sourceCancel(transform, reason) {
    if (transform.finish !== null) return transform.finish.promise;
    const { writable } = transform;
    const finish = transform.finish = PromiseWithResolvers();
    const canceled = transform.cancelAlgorithm(reason);
    transform.clearAlgorithms();
    const unblock = (error) => {
      writable.controller.errorIfNeeded(error);
      if (transform.backpressure) transform.setBackpressure(false);
    };
    react(canceled, () => {
      if (writable.state === W_ERRORED) {
        finish.reject(writable.storedError);
      } else {
        unblock(reason);
        finish.resolve(undefined);
      }
    }, (error) => {
      unblock(error);
      finish.reject(error);
    });
    return finish.promise;
  }

  // SetUpTransformStreamDefaultControllerFromTransformer without its start.
  function convertTransformer(transformer, context) {
    const source = transformer ?? {};
    const cancel = convertFunction(source.cancel, "cancel", context);
    const flush = convertFunction(source.flush, "flush", context);
    const readableType = source.readableType;
    const start = convertFunction(source.start, "start", context);
    const transform = convertFunction(source.transform, "transform", context);
    const writableType = source.writableType;
    if (readableType !== undefined) throw new RangeError(context + ": Invalid readableType specified");
    if (writableType !== undefined) throw new RangeError(context + ": Invalid writableType specified");
    return { cancel, flush, start, transform };
  }

  let transformState; // (value) => TransformState, or undefined for anything else
  let createTransferred; // (readable, writable): a TransformStream of two streams that were transferred

  class TransformStream {
    #transform;
    static {
      transformState = (value) => (webidl.isObject(value) && #transform in value ? value.#transform : undefined);
      createTransferred = (readable, writable) => {
        const state = new TransformState();
        state.readable = readableState(readable);
        state.writable = writableState(writable);
        return new TransformStream(INTERNAL, state);
      };
    }
    constructor(transformer = undefined, writableStrategy = undefined, readableStrategy = undefined) {
      if (transformer === INTERNAL) {
        this.#transform = writableStrategy;
        return;
      }
      const context = "Failed to construct 'TransformStream'";
      if (transformer !== undefined && !webidl.isObject(transformer)) {
        throw new TypeError(context + ": The transformer is not an object");
      }
      const writableConverted = convertStrategy(writableStrategy, context);
      const readableConverted = convertStrategy(readableStrategy, context);
      const methods = convertTransformer(transformer, context);
      const readableMark = extractHighWaterMark(readableConverted, 0);
      const readableSize = extractSize(readableConverted);
      const writableMark = extractHighWaterMark(writableConverted, 1);
      const writableSize = extractSize(writableConverted);
      const state = new TransformState();
      this.#transform = state;
      const started = PromiseWithResolvers();
      // The two steps that promiseResolvedWith takes, without calling a `then` that an app may have patched.
      const settled = react(react(started.promise, asIs), asIs);
      initializeTransform(state, settled, writableMark, writableSize, readableMark, readableSize);
      const { cancel, flush, start, transform } = methods;
      state.transformAlgorithm = transform === undefined ? (chunk) => enqueueAsIs(state, chunk)
        : (chunk) => call(transform, transformer, [chunk, state.object]);
      state.flushAlgorithm = flush === undefined ? alwaysFulfilled : () => invoke(flush, transformer, [state.object]);
      state.cancelAlgorithm = cancel === undefined ? alwaysFulfilled
        : (reason) => invoke(cancel, transformer, [reason]);
      started.resolve(start === undefined ? undefined : ReflectApply(start, transformer, [state.object]));
    }
    get readable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.readable.object;
    }
    get writable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.writable.object;
    }
  }

  function enqueueAsIs(state, chunk) {
    try {
      state.enqueue(chunk);
      return undefined;
    } catch (error) {
      return PromiseReject(error);
    }
  }

  class TransformStreamDefaultController {
    #transform;
    constructor(token, transform) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#transform = transform;
    }
    get desiredSize() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return readableDesiredSize(this.#transform.readable.controller);
    }
    enqueue(chunk = undefined) {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      this.#transform.enqueue(chunk);
    }
    error(reason = undefined) {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      this.#transform.error(reason);
    }
    terminate() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      this.#transform.terminate();
    }
  }

  // ---- For the rest of the runtime ----

  function createPull(pull, cancel, highWaterMark = 0) {
    const stream = createReadableByte(alwaysFulfilled, () => invoke(pull, undefined, []),
      (reason) => invoke(cancel, undefined, [reason]), highWaterMark);
    const controller = stream.controller;
    return {
      stream: stream.object,
      enqueue: (chunk) => byteEnqueue(controller, chunk),
      close() {
        controller.close();
        // A BYOB read that waits ends as well.
        if (stream.state === CLOSED && controller.pendingPullIntos.length > 0) byteRespond(controller, 0);
      },
      error: (reason) => controller.error(reason),
      desiredSize: () => readableDesiredSize(controller),
    };
  }

  function createSink(write, close, abort, highWaterMark, size) {
    // Not invoke: what these return is undefined or a promise of the engine's, which need not be followed.
    const run = (algorithm, argument) => {
      try {
        const result = algorithm(argument);
        return result === undefined ? alwaysFulfilled() : result;
      } catch (error) {
        return PromiseReject(error);
      }
    };
    const stream = createWritable(alwaysFulfilled, (chunk) => run(write, chunk), () => run(close, undefined),
      (reason) => run(abort, reason), highWaterMark, size);
    return {
      stream: stream.object,
      close() {
        if (stream.state === W_WRITABLE && !writableCloseQueuedOrInFlight(stream)) markHandled(writableClose(stream));
      },
      error: (reason) => stream.controller.errorIfNeeded(reason),
    };
  }

  function createTransform(transform, flush, cancel) {
    const state = new TransformState();
    const run = (algorithm, argument) => {
      try {
        return algorithm(argument);
      } catch (error) {
        return PromiseReject(error);
      }
    };
    state.transformAlgorithm = (chunk) => run(transform, chunk);
    state.flushAlgorithm = () => run(flush, undefined) ?? alwaysFulfilled();
    state.cancelAlgorithm = (reason) => run(cancel, reason) ?? alwaysFulfilled();
    initializeTransform(state, PromiseResolve(undefined), 1, one, 0, one);
    return {
      readable: state.readable.object,
      writable: state.writable.object,
      enqueue: (chunk) => state.enqueue(chunk),
      wanted: () => (state.backpressure ? state.changed() : undefined),
      isOpen: () => state.readable.state === READABLE && state.writable.state !== W_ERRORED,
    };
  }

  // A byte stream without chunks: what it has comes when it is pulled.
  function createIdle(pull) {
    const stream = new ReadableState();
    stream.object = new ReadableStream(INTERNAL, stream);
    stream.controller = new ByteController(stream, pull, alwaysFulfilled, 0, undefined);
    stream.controller.started = true;
    return stream;
  }

  // Bytes are made of a string, and a queue of bytes, only when the stream is read: most such streams are passed on.
  function createBuffered(data) {
    const stream = createIdle(() => {
      const { controller } = stream;
      controller.data = null;
      byteEnqueue(controller, typeof data === "string" ? encodeUtf8(data) : data);
      finishPulled(controller);
      return alwaysFulfilled();
    });
    stream.controller.data = data;
    if ((typeof data === "string" ? data.length : TypedArrayPrototypeGetByteLength(data)) === 0) stream.state = CLOSED;
    return stream.object;
  }

  // Closes; a BYOB read that waits ends as well.
  function finishPulled(controller) {
    controller.close();
    if (controller.stream.state === CLOSED && controller.pendingPullIntos.length > 0) byteRespond(controller, 0);
  }

  function createPieces(data, size, read) {
    let offset = 0;
    const stream = createIdle(() => {
      const { controller } = stream;
      controller.data = null;
      const length = MathMin(PIECES_BYTES, size - offset);
      const bytes = read(offset, length);
      offset += length;
      byteEnqueue(controller, bytes);
      if (offset === size) finishPulled(controller);
      return alwaysFulfilled();
    });
    stream.controller.data = data;
    stream.fixedLength = size;
    if (size === 0) stream.state = CLOSED;
    return stream.object;
  }
  const PIECES_BYTES = 64 * 1024;

  function createErrored(reason) {
    const stream = createIdle(alwaysFulfilled);
    stream.state = ERRORED;
    stream.storedError = reason;
    return stream.object;
  }

  function untouchedData(object) {
    const { controller, disturbed, reader } = readableState(object);
    return disturbed || reader !== null || !controller.isByte ? null : controller.data;
  }

  function spend(object) {
    const stream = readableState(object);
    stream.disturbed = true;
    stream.controller.data = null;
    stream.state = CLOSED;
    acquireReader(stream, false);
  }

  function move(object) {
    const stream = readableState(object);
    const moved = new ReadableStream(INTERNAL, stream);
    stream.object = moved;
    setReadableState(object, createIdle(alwaysFulfilled));
    spend(object);
    return moved;
  }

  // What is written to `writable` comes out of `readable` as it is; both are new. When a native stream that nobody has
  // touched is piped through them, the readable side goes on as that stream, and stays native. length: of the bytes that
  // must be written, or -1.
  function setIdentity(readable, writable, length) {
    const dest = writableState(writable);
    dest.bypass = (from, result) => {
      const to = readableState(readable);
      const source = from.controller.source ?? null;
      if (result !== readable || source === null || source.ended || from.disturbed || from.state !== READABLE ||
          to.disturbed || to.reader !== null || to.state !== READABLE || dest.state !== W_WRITABLE ||
          dest.controller.queue.length !== 0 || dest.inFlightWriteRequest !== null || writableCloseQueuedOrInFlight(dest) ||
          (length !== -1 && source.length !== length)) return false;
      const piped = from.object;
      setReadableState(readable, from);
      from.object = readable;
      if (length !== -1) from.fixedLength = length;
      setReadableState(piped, createIdle(alwaysFulfilled));
      spend(piped);
      acquireWriter(dest);
      return true;
    };
  }

  function createNative(source) {
    const stream = new ReadableState();
    stream.object = new ReadableStream(INTERNAL, stream);
    stream.controller = new NativeController(stream, source);
    source.attach(stream.controller);
    return stream.object;
  }
  function nativeSource(object) {
    return readableState(object).controller.source;
  }
  function untouchedSource(object) {
    const stream = readableState(object);
    const { source } = stream.controller;
    return source !== null && !stream.disturbed && stream.reader === null && !source.ended ? source : null;
  }
  function takeNative(object) {
    const stream = readableState(object);
    stream.disturbed = true;
    acquireReader(stream, false);
    return stream.controller.source;
  }

  // Sends the chunks of a stream to a target, { write(chunk), end(failed, error) }, as the read request of the
  // stream. One piece is on its way at a time, until sent() is called; meanwhile chunks are read ahead, up to
  // READ_AHEAD_BYTES, and those that wait together leave as one piece. They are copied at once: many an app fills
  // the same buffer again for its next chunk. A chunk that nothing waits before leaves while it is enqueued.
  class Pump {
    target;
    reader;
    waiting = null; // Uint8Array that begins with the bytes that wait to be sent
    length = 0; // how many these are
    reading = false; // the stream owes a chunk
    filling = false;
    sending = false; // a piece is on its way
    finished = false; // nothing more is to be read
    failed = false;
    error = undefined;
    ended = false;
    constructor(target, reader) {
      this.target = target;
      this.reader = reader;
    }

    // Reads what the stream has ready. A loop: such chunks come synchronously, from within read.
    fill() {
      this.filling = true;
      while (!this.reading && !this.finished && this.length < READ_AHEAD_BYTES) {
        this.reading = true;
        readDefault(this.reader, this);
        if (!this.sending && this.length >= PIECE_BYTES) this.send();
      }
      this.filling = false;
      if (!this.sending) this.send();
    }

    chunkSteps(chunk) {
      this.reading = false;
      if (this.finished) return;
      if (classify(chunk) !== CLASS_TYPED_ARRAY || typedArrayName(chunk) !== "Uint8Array") {
        const error = new TypeError("the stream of a body gave " + internals.describe(chunk) +
          "; chunks must be Uint8Arrays");
        this.finish(error, true);
        this.#cancel(error);
        return;
      }
      const length = TypedArrayPrototypeGetByteLength(chunk);
      if (length === 0) {
        // Empty, or the app has taken its memory away meanwhile: there is nothing to send.
      } else if (length >= PIECE_BYTES && this.length === 0 && !this.sending) {
        this.sending = true;
        this.target.write(chunk);
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
      this.error = error;
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
        this.target.write(piece);
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

    // Ends without the rest, and cancels the stream.
    abandon(reason, failed) {
      const cancel = !this.finished;
      this.finished = true;
      this.error = reason;
      this.end(failed);
      if (cancel) this.#cancel(reason);
    }

    #cancel(reason) {
      const { stream } = this.reader;
      if (stream.state === READABLE) readableCancel(stream, reason);
    }

    end(failed) {
      if (this.ended) return;
      this.ended = true;
      this.target.end(failed, this.error);
    }
  }
  const PIECE_BYTES = 16 * 1024;
  const READ_AHEAD_BYTES = 64 * 1024;

  // The read request of readAll: collects chunks, then settles its promise.
  class Collector {
    #reader;
    #chunks = new Queue();
    #byteLength = 0;
    #deferred = PromiseWithResolvers();
    constructor(reader) {
      this.#reader = reader;
    }
    start() {
      readDefault(this.#reader, this);
      return this.#deferred.promise;
    }
    chunkSteps(chunk) {
      if (!ArrayBufferIsView(chunk) || typedArrayName(chunk) !== "Uint8Array") {
        const error = new TypeError("Received a chunk that is not a Uint8Array");
        markHandled(readableCancel(this.#reader.stream, error));
        this.#deferred.reject(error);
        return;
      }
      this.#chunks.push(chunk);
      this.#byteLength += TypedArrayPrototypeGetByteLength(chunk);
      // Not recursion: a stream with many queued chunks must not exhaust the stack.
      if (this.#chunks.length % 256 === 0) {
        react(PromiseResolve(undefined), () => readDefault(this.#reader, this));
      } else {
        readDefault(this.#reader, this);
      }
    }
    closeSteps() {
      const chunks = this.#chunks;
      if (chunks.length === 1) {
        this.#deferred.resolve(internals.newGathered(chunks.shift()));
        return;
      }
      const bytes = new Uint8Array(this.#byteLength);
      for (let offset = 0; chunks.length > 0;) {
        const chunk = chunks.shift();
        TypedArrayPrototypeSet(bytes, chunk, offset);
        offset += TypedArrayPrototypeGetByteLength(chunk);
      }
      this.#deferred.resolve(internals.newGathered(bytes));
    }
    errorSteps(reason) {
      this.#deferred.reject(reason);
    }
  }

  internals.streams = {
    __proto__: null,
    ReadableStream,
    WritableStream,
    TransformStream,
    isReadableStream: (value) => readableState(value) !== undefined,
    isWritableStream: (value) => writableState(value) !== undefined,
    isLocked: (stream) => readableState(stream).reader !== null,
    isDisturbed: (stream) => readableState(stream).disturbed,
    isReadable: (stream) => readableState(stream).state === READABLE,
    isErrored: (stream) => readableState(stream).state === ERRORED,
    storedError: (stream) => readableState(stream).storedError,
    isWritableLocked: (stream) => writableState(stream).writer !== null,
    createBuffered,
    createErrored,
    createPieces,
    createPull,
    createSink,
    createTransform,
    markHandled,
    createNative,
    setIdentity,
    nativeSource,
    untouchedSource,
    takeNative,
    untouchedData,
    spend,
    move,
    setFixedLength(stream, length) {
      readableState(stream).fixedLength = length;
    },
    createPump: (target, reader) => new Pump(target, reader),
    // For 76_stream_transfer, records instead of objects; pull() returns nothing.
    createReadable: (pull, cancel) => createReadable(alwaysFulfilled, () => call(pull, undefined, []), cancel, 0, one),
    createWritable: (write, close, abort) => createWritable(alwaysFulfilled, write, close, abort, 1, one),
    pipe: (source, dest) => new Pipe(source, dest, false, false, false, undefined).run(),
    react,
    acquireReader: (stream) => acquireReader(readableState(stream), false),
    read: readDefault,
    cancelReader: (reader, reason) => readableCancel(reader.stream, reason),
    releaseReader,
    cancel: (stream, reason) => readableCancel(readableState(stream), reason),
    readAll: (stream) => new Collector(acquireReader(readableState(stream), false)).start(),
    tee: (stream) => readableTee(readableState(stream), true),
  };

  // ---- Transfer ----

  // Makes streams of a kind transferable: stateOf(value) is the record of one, or undefined; transfer(record, steps)
  // gives the new stream.
  function makeTransferable(stateOf, isLocked, transfer) {
    internals.registerTransferable((value) => stateOf(value) !== undefined, (value) => stateOf(value).detached, (value) => {
      const state = stateOf(value);
      if (isLocked(state)) throw internals.domException("A locked stream cannot be transferred.", "DataCloneError");
      internals.load("76_stream_transfer");
      const moved = transfer(state, internals.streamTransfer);
      state.detached = true;
      return moved;
    });
  }
  const isReadableLocked = (state) => state.reader !== null;
  const isWritableLocked = (state) => state.writer !== null;
  makeTransferable(readableState, isReadableLocked, (state, steps) => steps.readable(state));
  makeTransferable(writableState, isWritableLocked, (state, steps) => steps.writable(state));
  makeTransferable(transformState, ({ readable, writable }) => isReadableLocked(readable) || isWritableLocked(writable),
    ({ readable, writable }, steps) => createTransferred(steps.readable(readable), steps.writable(writable)));

  internals.createPump = internals.streams.createPump;
  internals.fixedLengthOf = (stream) => readableState(stream).fixedLength;

  const interfaces = {
    __proto__: null, ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
  };
  internals.define("ReadableStream", ReadableStream);
  for (const name in interfaces) {
    configureInterface(interfaces[name]);
    internals.define(name, interfaces[name]);
  }
  // Constructors that only the runtime calls take no arguments as far as apps can see.
  const hidden = [ReadableByteStreamController, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    TransformStreamDefaultController, WritableStreamDefaultController];
  for (let i = 0; i < hidden.length; i++) {
    ObjectDefineProperties(hidden[i], { length: { __proto__: null, value: 0 } });
  }
})
