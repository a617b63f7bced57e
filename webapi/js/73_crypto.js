// crypto (Web Cryptography 10) and its DigestStream (of Workers). What has keys is in 73_subtle.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayBufferPrototypeGetResizable, DataViewPrototypeGetBuffer, ObjectDefineProperty,
    PromiseWithResolvers, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetSymbolToStringTag,
  } = internals.primordials;
  const { configureInterface, requireStarted, webidl } = internals;
  const { randomFill, randomUUID } = ops;

  const INTERNAL = { __proto__: null };
  const QUOTA_BYTES = 65536;
  const integerArrays = {
    __proto__: null, Int8Array: true, Uint8Array: true, Uint8ClampedArray: true, Int16Array: true, Uint16Array: true,
    Int32Array: true, Uint32Array: true, BigInt64Array: true, BigUint64Array: true,
  };

  let subtle;
  let digestStream;

  class Crypto {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    get subtle() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      if (subtle === undefined) {
        internals.load("73_subtle");
        subtle = internals.newSubtleCrypto();
      }
      return subtle;
    }
    getRandomValues(array) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getRandomValues' on 'Crypto'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (!ArrayBufferIsView(array)) throw new TypeError(context + ": parameter 1 is not an ArrayBufferView.");
      const name = TypedArrayPrototypeGetSymbolToStringTag(array);
      if (name === undefined || integerArrays[name] === undefined) {
        throw internals.domException(context + ": The view is not an array of integers.", "TypeMismatchError");
      }
      const byteLength = TypedArrayPrototypeGetByteLength(array);
      if (byteLength > QUOTA_BYTES) {
        throw internals.domException(context + ": The view's byte length (" + byteLength + ") exceeds the " +
          QUOTA_BYTES + " bytes of entropy available at once.", "QuotaExceededError");
      }
      requireStarted("crypto.getRandomValues()");
      randomFill(array);
      return array;
    }
    randomUUID() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      requireStarted("crypto.randomUUID()");
      return randomUUID();
    }
    get DigestStream() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return digestStream ??= defineDigestStream();
    }
  }

  // ---- DigestStream: a WritableStream that hashes what is written to it ----

  const hashes = { __proto__: null, "SHA-1": 0, "SHA-256": 1, "SHA-384": 2, "SHA-512": 3, MD5: 4 };

  // The index of the hash function that an AlgorithmIdentifier names.
  function hashOf(algorithm, context) {
    let name = algorithm;
    if (webidl.isObject(algorithm)) {
      name = algorithm.name;
      if (name === undefined) throw new TypeError(context + ": The algorithm has no name.");
    }
    const hash = hashes[internals.upperCase(webidl.DOMString(name, context))];
    if (hash === undefined) throw internals.domException(context + ": Unrecognized algorithm name.", "NotSupportedError");
    return hash;
  }

  function defineDigestStream() {
    internals.load("53_streams");
    const { WritableStream, markHandled } = internals.streams;
    const { cryptoDigester, cryptoDigesterFinish, cryptoDigesterWrite } = internals.host;

    class Sink {
      __proto__ = null;
      digester;
      written = 0;
      outcome = PromiseWithResolvers();

      constructor(hash) {
        this.digester = cryptoDigester(hash);
        markHandled(this.outcome.promise);
        const sink = this;
        // The stream reads the methods once, as they are.
        this.write = function write(chunk) {
          sink.written += cryptoDigesterWrite(sink.digester, chunkOf(chunk));
        };
        this.close = function close() {
          sink.outcome.resolve(TypedArrayPrototypeGetBuffer(cryptoDigesterFinish(sink.digester)));
        };
        this.abort = function abort(reason) {
          sink.outcome.reject(reason);
        };
      }
      write;
      close;
      abort;
    }

    function chunkOf(chunk) {
      if (typeof chunk === "string" || internals.isBufferSource(chunk)) return chunk;
      throw new TypeError("A DigestStream takes strings, ArrayBuffers and views of them.");
    }

    class DigestStream extends WritableStream {
      #sink;
      constructor(algorithm) {
        const context = "Failed to construct 'DigestStream'";
        webidl.requiredArguments(arguments.length, 1, context);
        const sink = new Sink(hashOf(algorithm, context));
        super(sink);
        this.#sink = sink;
      }
      get digest() {
        if (!(#sink in this)) throw webidl.illegalInvocation();
        return this.#sink.outcome.promise;
      }
      get bytesWritten() {
        if (!(#sink in this)) throw webidl.illegalInvocation();
        return this.#sink.written;
      }
    }
    configureInterface(DigestStream);
    return DigestStream;
  }

  // ---- For 73_subtle ----

  // Whether a value is a BufferSource of Web IDL. Shared and resizable memory is none.
  internals.isBufferSource = function isBufferSource(value) {
    let buffer = value;
    if (ArrayBufferIsView(value)) {
      buffer = TypedArrayPrototypeGetSymbolToStringTag(value) === undefined ? DataViewPrototypeGetBuffer(value)
        : TypedArrayPrototypeGetBuffer(value);
    } else if (!webidl.isObject(value)) {
      return false;
    }
    try {
      return !ArrayBufferPrototypeGetResizable(buffer); // throws for what is no ArrayBuffer
    } catch {
      return false;
    }
  };

  configureInterface(Crypto);
  ObjectDefineProperty(Crypto, "length", { __proto__: null, value: 0 });
  internals.define("Crypto", Crypto);
  internals.define("crypto", new Crypto(INTERNAL), true);
})
