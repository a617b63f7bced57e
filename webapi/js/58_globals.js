// atob, btoa, crypto and navigator.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ObjectDefineProperty, StringPrototypeCharCodeAt, TypeError, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetSymbolToStringTag,
  } = internals.primordials;
  const { configureInterface, requireStarted, webidl } = internals;
  const { base64Decode, base64Encode, randomFill } = ops;

  const INTERNAL = { __proto__: null };

  // ---- Base64 (HTML 8.3) ----

  const { atob, btoa } = {
    atob(data) {
      const context = "Failed to execute 'atob'";
      webidl.requiredArguments(arguments.length, 1, context);
      const decoded = base64Decode(webidl.DOMString(data, context));
      if (decoded === null) {
        throw internals.domException(context + ": The string to be decoded is not correctly encoded.",
          "InvalidCharacterError");
      }
      return decoded;
    },
    btoa(data) {
      const context = "Failed to execute 'btoa'";
      webidl.requiredArguments(arguments.length, 1, context);
      data = webidl.DOMString(data, context);
      for (let i = 0; i < data.length; i++) {
        if (StringPrototypeCharCodeAt(data, i) > 0xff) {
          throw internals.domException(context + ": The string contains characters outside of the Latin1 range.",
            "InvalidCharacterError");
        }
      }
      return base64Encode(data);
    },
  };

  // ---- crypto (Web Cryptography 10) ----

  const QUOTA_BYTES = 65536;
  const integerArrays = {
    __proto__: null, Int8Array: true, Uint8Array: true, Uint8ClampedArray: true, Int16Array: true, Uint16Array: true,
    Int32Array: true, Uint32Array: true, BigInt64Array: true, BigUint64Array: true,
  };

  class Crypto {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
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
      return ops.randomUUID();
    }
  }

  // ---- navigator ----

  class Navigator {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    get userAgent() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return "NANO";
    }
  }

  const interfaces = [Crypto, Navigator];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: 0 });
    internals.define(interfaces[i].name, interfaces[i]);
  }
  internals.define("atob", atob, true);
  internals.define("btoa", btoa, true);
  internals.define("crypto", new Crypto(INTERNAL), true);
  internals.define("navigator", new Navigator(INTERNAL), true);
})
