// IdentityTransformStream and FixedLengthStream, as in Workers: bytes in, the same bytes out, by a byte stream. A
// write is done when its bytes were taken; nothing waits in between. A response whose body is the readable side of
// a FixedLengthStream is sent with content-length.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferPrototypeGetByteLength, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset, Number, NumberIsFinite, ObjectDefineProperty, PromiseWithResolvers, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { classify } = ops;
  const CLASS_ARRAY_BUFFER = 12;
  const CLASS_DATA_VIEW = 14;
  const CLASS_TYPED_ARRAY = 15;
  internals.load("53_streams");
  const { WritableStream, createPull, setFixedLength, setIdentity } = internals.streams;

  const UNBOUNDED = -1;
  const LENGTH_MAX = 2 ** 53 - 1;

  // A copy of the bytes of a chunk: the app may use its buffer again.
  function copyOf(chunk) {
    switch (classify(chunk)) {
      case CLASS_ARRAY_BUFFER:
        return copyOfRange(chunk, 0, ArrayBufferPrototypeGetByteLength(chunk));
      case CLASS_TYPED_ARRAY:
        return copyOfRange(TypedArrayPrototypeGetBuffer(chunk), TypedArrayPrototypeGetByteOffset(chunk),
          TypedArrayPrototypeGetByteLength(chunk));
      case CLASS_DATA_VIEW:
        return copyOfRange(DataViewPrototypeGetBuffer(chunk), DataViewPrototypeGetByteOffset(chunk),
          DataViewPrototypeGetByteLength(chunk));
      default:
        throw new TypeError("This stream takes bytes only: chunks must be ArrayBuffers or views of them.");
    }
  }
  function copyOfRange(buffer, offset, length) {
    const copy = new Uint8Array(length);
    if (length !== 0) TypedArrayPrototypeSet(copy, new Uint8Array(buffer, offset, length));
    return copy;
  }

  // Both sides, and what is between them: at most one chunk.
  class Passage {
    expected; // bytes, or UNBOUNDED
    passed = 0;
    readable;
    writable;
    wanted = false; // a read waits
    chunk = null; // a write waits, until `taken`
    taken = null;
    controller = null; // of the writable side

    constructor(expected) {
      this.expected = expected;
      this.readable = createPull(() => this.pull(), (reason) => this.cancel(reason));
      this.writable = new WritableStream({
        __proto__: null,
        start: (controller) => {
          this.controller = controller;
        },
        write: (chunk) => this.write(chunk),
        close: () => this.close(),
        abort: (reason) => this.readable.error(reason),
      });
      if (expected !== UNBOUNDED) setFixedLength(this.readable.stream, expected);
      setIdentity(this.readable.stream, this.writable, expected);
    }

    pull() {
      if (this.chunk === null) {
        this.wanted = true;
        return;
      }
      const { chunk, taken } = this;
      this.chunk = this.taken = null;
      this.readable.enqueue(chunk);
      taken.resolve(undefined);
    }

    write(chunk) {
      let bytes;
      try {
        bytes = copyOf(chunk);
      } catch (error) {
        this.readable.error(error);
        throw error;
      }
      const length = TypedArrayPrototypeGetByteLength(bytes);
      if (length === 0) return undefined;
      this.passed += length;
      if (this.expected !== UNBOUNDED && this.passed > this.expected) {
        this.fail("more than the " + this.expected + " bytes that were announced were written");
      }
      if (this.wanted) {
        this.wanted = false;
        this.readable.enqueue(bytes);
        return undefined;
      }
      this.chunk = bytes;
      this.taken = PromiseWithResolvers();
      return this.taken.promise;
    }

    close() {
      if (this.passed < this.expected) {
        this.fail("only " + this.passed + " of the " + this.expected + " bytes that were announced were written");
      }
      this.readable.close();
    }

    fail(why) {
      const error = new TypeError("FixedLengthStream: " + why);
      this.readable.error(error);
      throw error;
    }

    cancel(reason) {
      this.controller.error(reason);
      if (this.taken !== null) this.taken.reject(reason);
      this.chunk = this.taken = null;
    }
  }

  const EXPECTING = { __proto__: null }; // first argument of the constructor, by FixedLengthStream

  class IdentityTransformStream {
    #passage;
    constructor(token = undefined, expected = UNBOUNDED) {
      this.#passage = new Passage(token === EXPECTING ? expected : UNBOUNDED);
    }
    get readable() {
      if (!(#passage in this)) throw webidl.illegalInvocation();
      return this.#passage.readable.stream;
    }
    get writable() {
      if (!(#passage in this)) throw webidl.illegalInvocation();
      return this.#passage.writable;
    }
  }

  class FixedLengthStream extends IdentityTransformStream {
    constructor(expectedLength) {
      const context = "Failed to construct 'FixedLengthStream'";
      webidl.requiredArguments(arguments.length, 1, context);
      const length = typeof expectedLength === "bigint" ? Number(expectedLength) : +expectedLength;
      if (!NumberIsFinite(length) || length < 0 || length % 1 !== 0 || length > LENGTH_MAX) {
        throw new TypeError(context + ": the length is no whole number of bytes.");
      }
      super(EXPECTING, length);
    }
  }

  const interfaces = [IdentityTransformStream, FixedLengthStream];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    internals.define(interfaces[i].name, interfaces[i]);
  }
  ObjectDefineProperty(IdentityTransformStream, "length", { __proto__: null, value: 0 });
})
