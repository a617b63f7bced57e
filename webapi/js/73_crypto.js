// crypto (Web Cryptography 10) and its DigestStream (of Workers). What has keys is in 73_subtle.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayBufferPrototypeGetResizable, DataViewPrototypeGetBuffer, ObjectDefineProperty,
    PromiseWithResolvers, StringPrototypeCharCodeAt, StringPrototypeToUpperCase, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetSymbolToStringTag,
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
      if (!ArrayBufferIsView(array) || !internals.isBufferSource(array)) {
        throw new TypeError(context + ": parameter 1 is not an ArrayBufferView, or its memory is shared or resizable.");
      }
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
    const { hostAsync } = internals;
    const { cryptoDigester, cryptoDigesterFinish, cryptoDigesterWrite } = internals.host;

    class State {
      digester;
      written = 0;
      outcome = PromiseWithResolvers();
      constructor(hash) {
        this.digester = cryptoDigester(hash);
        markHandled(this.outcome.promise);
      }
    }

    // The sink of such a stream, which reads these methods once.
    const sinkOf = (state) => ({
      __proto__: null,
      write(chunk) {
        const length = cryptoDigesterWrite(true, state.digester, chunkOf(chunk));
        if (length === null) return writeElsewhere(state, chunk);
        state.written += length;
      },
      close() {
        state.outcome.resolve(TypedArrayPrototypeGetBuffer(cryptoDigesterFinish(state.digester)));
      },
      abort(reason) {
        state.outcome.reject(reason);
      },
    });

    // A piece for which the loop would have to wait too long.
    async function writeElsewhere(state, chunk) {
      state.written += await hostAsync("cryptoDigesterWrite", false, state.digester, chunk);
    }

    function chunkOf(chunk) {
      if (typeof chunk === "string" || internals.isBufferSource(chunk)) return chunk;
      throw new TypeError("A DigestStream takes strings, ArrayBuffers and views of them.");
    }

    class DigestStream extends WritableStream {
      #state;
      constructor(algorithm) {
        const context = "Failed to construct 'DigestStream'";
        webidl.requiredArguments(arguments.length, 1, context);
        const state = new State(hashOf(algorithm, context));
        super(sinkOf(state));
        this.#state = state;
      }
      get digest() {
        if (!(#state in this)) throw webidl.illegalInvocation();
        return this.#state.outcome.promise;
      }
      get bytesWritten() {
        if (!(#state in this)) throw webidl.illegalInvocation();
        return this.#state.written;
      }
    }
    configureInterface(DigestStream);
    return DigestStream;
  }

  // ---- For 73_subtle too ----

  // A name in upper case, as names of algorithms are compared: of the letters of ASCII only.
  internals.upperCase = function upperCase(name) {
    for (let i = 0; i < name.length; i++) {
      if (StringPrototypeCharCodeAt(name, i) > 0x7f) return name;
    }
    return StringPrototypeToUpperCase(name);
  };

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
