// SubtleCrypto and CryptoKey (Web Cryptography 13 and 14; Secure Curves in the Web Cryptography API).
//
// This is what Web IDL and the normalization of algorithms ask, and the checks that need no key material. All
// else is done by package webcrypto: a CryptoKey has a handle of a key there, and no way leads from a handle to
// the bytes of a key but exporting it. Each method is one call of Go, in the same turn; if Go answers null, that
// would take too long, and the same call is made on a goroutine.
(function (ops, internals) {
  "use strict";
  const {
    ArrayIsArray, JSONParse, JSONStringify, List, ObjectDefineProperty, PromiseReject, PromiseResolve, ReflectApply,
    StringPrototypeToUpperCase, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetSymbolToStringTag,
  } = internals.primordials;
  const { configureInterface, requireStarted, webidl } = internals;
  const { host, hostAsync } = internals;
  internals.load("73_crypto");
  const { isBufferSource, upperCase } = internals;

  // ---- What Go calls by numbers (webcrypto.go, digest.go, ec.go) ----

  const NAMES = [
    "RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP", "ECDSA", "ECDH", "Ed25519", "Ed448", "X25519", "X448", "AES-CBC",
    "AES-CTR", "AES-GCM", "AES-KW", "HMAC", "HKDF", "PBKDF2",
  ];
  const RSA_PSS = 1, RSA_OAEP = 2, ECDSA = 3, ECDH = 4, ED448 = 6, X25519 = 7, X448 = 8, AES_CBC = 9, AES_CTR = 10;
  const AES_GCM = 11, AES_KW = 12, HMAC = 13, HKDF = 14, PBKDF2 = 15;
  const algorithms = { __proto__: null };
  for (let i = 0; i < NAMES.length; i++) {
    algorithms[NAMES[i]] = i;
    algorithms[StringPrototypeToUpperCase(NAMES[i])] = i;
  }
  const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
  const hashes = { __proto__: null, "SHA-1": 0, "SHA-256": 1, "SHA-384": 2, "SHA-512": 3 };
  const CURVES = ["P-256", "P-384", "P-521"];
  const curves = { __proto__: null, "P-256": 0, "P-384": 1, "P-521": 2 };
  const NO_CURVE = 255;
  const NO_LENGTH = -1;
  const formats = { __proto__: null, raw: 0, spki: 1, pkcs8: 2, jwk: 3 };
  const JWK = 3;
  const TYPES = ["public", "private", "secret"];
  const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];
  const usageBits = {
    __proto__: null, encrypt: 1, decrypt: 2, sign: 4, verify: 8, deriveKey: 16, deriveBits: 32, wrapKey: 64, unwrapKey: 128,
  };

  const setOf = (...list) => {
    let set = 0;
    for (let i = 0; i < list.length; i++) set |= 1 << list[i];
    return set;
  };
  // What supports an operation, as a set of algorithms.
  const ALL = (1 << NAMES.length) - 1;
  const CIPHERS = setOf(RSA_OAEP, AES_CBC, AES_CTR, AES_GCM);
  const SIGNERS = setOf(0, RSA_PSS, ECDSA, 5, ED448, HMAC);
  const AGREEMENTS = setOf(ECDH, X25519, X448);
  const DERIVERS = AGREEMENTS | setOf(HKDF, PBKDF2);
  const GENERATORS = ALL & ~setOf(HKDF, PBKDF2);
  const AES = setOf(AES_CBC, AES_CTR, AES_GCM, AES_KW);
  const WITH_LENGTH = AES | setOf(HMAC, HKDF, PBKDF2);
  const isOf = (set, algorithm) => (set >> algorithm & 1) !== 0;

  const failure = (context, name, text) => internals.domException(context + ": " + text, name);

  // ---- Web IDL ----

  function bufferSource(value, context) {
    if (!isBufferSource(value)) {
      throw new TypeError(context + ": The provided value is not of type '(ArrayBuffer or ArrayBufferView)'.");
    }
    return value;
  }

  // (object or DOMString)
  const identifier = (value, context) => (webidl.isObject(value) ? value : webidl.DOMString(value, context));

  function usageSet(value, context) {
    let set = 0;
    webidl.sequence(value, context, (item) => {
      set |= usageBits[webidl.enumeration(item, usageBits, "KeyUsage", context)];
    });
    return set;
  }

  function required(value, name, context) {
    if (value === undefined) throw new TypeError(context + ": required member " + name + " is undefined.");
    return value;
  }

  // The members of a JsonWebKey, as JSON.
  const texts = {
    __proto__: null, alg: 1, crv: 1, d: 1, dp: 1, dq: 1, e: 1, ext: 2, k: 1, key_ops: 3, kty: 1, n: 1, oth: 4, p: 1,
    q: 1, qi: 1, use: 1, x: 1, y: 1,
  };

  function jsonWebKey(value, context) {
    const source = webidl.dictionary(value, context);
    const key = { __proto__: null };
    for (const name in texts) {
      const member = source[name];
      if (member === undefined) continue;
      const kind = texts[name];
      if (kind === 1) key[name] = webidl.DOMString(member, context);
      else if (kind === 2) key[name] = !!member;
      else if (kind === 3) key[name] = listOf(member, webidl.DOMString, context);
      else key[name] = listOf(member, otherPrime, context);
    }
    return JSONStringify(key);
  }

  function listOf(value, convert, context) {
    const list = new List();
    webidl.sequence(value, context, (item) => {
      list[list.length] = convert(item, context);
    });
    return list;
  }

  // RsaOtherPrimesInfo. No key that has one is supported: its members are read and forgotten.
  function otherPrime(value, context) {
    const source = webidl.dictionary(value, context);
    const names = ["d", "r", "t"];
    for (let i = 0; i < names.length; i++) {
      const member = source[names[i]];
      if (member !== undefined) webidl.DOMString(member, context);
    }
    return true;
  }

  // ---- Normalization of algorithms (18.4.4) ----

  // What the dictionaries of all algorithms hold.
  class Parameters {
    algorithm;
    hash = 0;
    curve = NO_CURVE;
    length = NO_LENGTH; // of a modulus, a key, a tag, a counter: bits
    iv = null;          // or counter block, or label
    additional = null;
    salt = null;
    saltLength = 0;
    info = null;
    iterations = 0;
    context = null;
    exponent = null;
    publicKey = null;   // KeySlots
    constructor(algorithm) {
      this.algorithm = algorithm;
    }
  }

  // `supported` are the algorithms of the operation, read(parameters, dictionary, context) takes the members of
  // theirs that it has.
  function normalize(supported, read, input, context) {
    const isObject = typeof input !== "string";
    const algorithm = algorithms[nameOf(input, context)] ?? algorithms[upperCase(nameRead)];
    if (algorithm === undefined || !isOf(supported, algorithm)) {
      throw failure(context, "NotSupportedError", "Unrecognized algorithm name.");
    }
    const parameters = new Parameters(algorithm);
    read(parameters, isObject ? input : NOTHING, context);
    return parameters;
  }
  const NOTHING = { __proto__: null };

  let nameRead;
  function nameOf(input, context) {
    if (typeof input === "string") return nameRead = input;
    return nameRead = webidl.DOMString(required(input.name, "name", context), context);
  }

  function hashOf(input, context) {
    const hash = hashes[nameOf(input, context)] ?? hashes[upperCase(nameRead)];
    if (hash === undefined) throw failure(context, "NotSupportedError", "Unrecognized hash algorithm.");
    return hash;
  }

  // Members that several dictionaries have. A hash is normalized after all members were read.
  const readHash = (source, context) => identifier(required(source.hash, "hash", context), context);
  const readBytes = (value, name, context) => bufferSource(required(value, name, context), context);

  // The conversion reads the name once more, since it converts to another dictionary.
  const readName = (source, context) => {
    if (source !== NOTHING) webidl.DOMString(required(source.name, "name", context), context);
  };

  function readCipher(parameters, source, context) {
    readName(source, context);
    switch (parameters.algorithm) {
      case RSA_OAEP: {
        const label = source.label;
        if (label !== undefined) parameters.iv = bufferSource(label, context);
        return;
      }
      case AES_CBC:
        parameters.iv = readBytes(source.iv, "iv", context);
        return;
      case AES_CTR:
        parameters.iv = readBytes(source.counter, "counter", context);
        parameters.length = webidl.octet(required(source.length, "length", context), context, "enforce");
        return;
      default: { // AES-GCM
        const additional = source.additionalData;
        if (additional !== undefined) parameters.additional = bufferSource(additional, context);
        parameters.iv = readBytes(source.iv, "iv", context);
        const tagLength = source.tagLength;
        parameters.length = tagLength === undefined ? 128 : webidl.octet(tagLength, context, "enforce");
      }
    }
  }

  // "wrapKey", or "encrypt" for what only does that.
  function readWrap(parameters, source, context) {
    if (parameters.algorithm !== AES_KW) readCipher(parameters, source, context);
  }

  function readSign(parameters, source, context) {
    switch (parameters.algorithm) {
      case RSA_PSS:
        readName(source, context);
        parameters.saltLength = webidl.unsignedLong(required(source.saltLength, "saltLength", context), context, "enforce");
        return;
      case ECDSA:
        readName(source, context);
        parameters.hash = hashOf(readHash(source, context), context);
        return;
      case ED448: {
        readName(source, context);
        const bytes = source.context;
        if (bytes !== undefined) parameters.context = bufferSource(bytes, context);
      }
    }
  }

  function readDerive(parameters, source, context) {
    readName(source, context);
    if (isOf(AGREEMENTS, parameters.algorithm)) {
      const key = required(source.public, "public", context);
      if (!isCryptoKey(key)) throw new TypeError(context + ": member public is not of type 'CryptoKey'.");
      parameters.publicKey = slotsOf(key);
      return;
    }
    const hash = readHash(source, context);
    if (parameters.algorithm === HKDF) {
      parameters.info = readBytes(source.info, "info", context);
    } else {
      parameters.iterations = webidl.unsignedLong(required(source.iterations, "iterations", context), context, "enforce");
    }
    parameters.salt = readBytes(source.salt, "salt", context);
    parameters.hash = hashOf(hash, context);
  }

  function readCurve(parameters, source, context) {
    const name = webidl.DOMString(required(source.namedCurve, "namedCurve", context), context);
    parameters.curve = curves[name] ?? NO_CURVE;
  }

  function readHmac(parameters, source, context) {
    const hash = readHash(source, context);
    const length = source.length;
    if (length !== undefined) parameters.length = webidl.unsignedLong(length, context, "enforce");
    parameters.hash = hashOf(hash, context);
  }

  function readKeyLength(parameters, source, context) {
    if (isOf(AES, parameters.algorithm)) {
      readName(source, context);
      parameters.length = webidl.unsignedShort(required(source.length, "length", context), context, "enforce");
    } else if (parameters.algorithm === HMAC) {
      readName(source, context);
      readHmac(parameters, source, context);
    }
  }

  function readGenerate(parameters, source, context) {
    const { algorithm } = parameters;
    if (algorithm <= RSA_OAEP) {
      readName(source, context);
      parameters.length = webidl.unsignedLong(required(source.modulusLength, "modulusLength", context), context, "enforce");
      const exponent = readBytes(source.publicExponent, "publicExponent", context);
      if (TypedArrayPrototypeGetSymbolToStringTag(exponent) !== "Uint8Array") {
        throw new TypeError(context + ": member publicExponent is not of type 'Uint8Array'.");
      }
      const hash = readHash(source, context);
      parameters.exponent = copyOf(exponent);
      parameters.hash = hashOf(hash, context);
    } else if (algorithm === ECDSA || algorithm === ECDH) {
      readName(source, context);
      readCurve(parameters, source, context);
    } else {
      readKeyLength(parameters, source, context);
    }
  }

  function readImport(parameters, source, context) {
    const { algorithm } = parameters;
    if (algorithm <= RSA_OAEP) {
      readName(source, context);
      parameters.hash = hashOf(readHash(source, context), context);
    } else if (algorithm === ECDSA || algorithm === ECDH) {
      readName(source, context);
      readCurve(parameters, source, context);
    } else if (algorithm === HMAC) {
      readName(source, context);
      readHmac(parameters, source, context);
    }
  }

  // The bytes of a BufferSource, for when code of the app may run before they are used.
  const copyOf = (source) => (source === null ? null : call("cryptoCopy", [source]));

  function keepBytes(parameters) {
    parameters.iv = copyOf(parameters.iv);
    parameters.additional = copyOf(parameters.additional);
    parameters.salt = copyOf(parameters.salt);
    parameters.info = copyOf(parameters.info);
  }

  // ---- Calls of Go ----

  const functions = { __proto__: null };
  const call = (name, args) => ReflectApply(functions[name] ??= host[name], undefined, args);

  // args[0] says that the loop waits. finish(result) gives what the promise is fulfilled with.
  function perform(name, args, finish) {
    const result = call(name, args);
    if (result === null) return performElsewhere(name, args, finish);
    return PromiseResolve(finish(result));
  }

  async function performElsewhere(name, args, finish) {
    const list = new List();
    list[0] = name;
    list[1] = false;
    for (let i = 1; i < args.length; i++) list[i + 1] = args[i];
    return finish(await ReflectApply(hostAsync, undefined, list));
  }

  const bufferOf = (bytes) => TypedArrayPrototypeGetBuffer(bytes);
  const itself = (value) => value;

  // ---- CryptoKey (13) ----

  const INTERNAL = { __proto__: null };

  // The internal slots of a CryptoKey. They do not change; clones share them.
  class KeySlots {
    handle;
    algorithm;
    hash;
    curve;
    usages;
    extractable;
    type = -1; // and what follows: not asked for yet
    length = 0;
    exponent = null;
    constructor(handle, parameters, usages, extractable) {
      this.handle = handle;
      this.algorithm = parameters.algorithm;
      this.hash = parameters.hash;
      this.curve = parameters.curve;
      this.usages = usages;
      this.extractable = extractable;
    }
  }

  function describe(slots) {
    if (slots.type !== -1) return slots;
    const facts = call("cryptoDescribe", [slots.handle]);
    slots.length = facts[1];
    slots.exponent = facts[2];
    slots.type = facts[0];
    return slots;
  }

  let isCryptoKey;
  let slotsOf;

  class CryptoKey {
    #slots;
    #algorithm;
    #usages;
    constructor(token, slots) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#slots = slots;
    }
    get type() {
      if (!(#slots in this)) throw webidl.illegalInvocation();
      return TYPES[describe(this.#slots).type];
    }
    get extractable() {
      if (!(#slots in this)) throw webidl.illegalInvocation();
      return this.#slots.extractable;
    }
    get algorithm() {
      if (!(#slots in this)) throw webidl.illegalInvocation();
      return this.#algorithm ??= keyAlgorithm(describe(this.#slots));
    }
    get usages() {
      if (!(#slots in this)) throw webidl.illegalInvocation();
      return this.#usages ??= usageNames(this.#slots.usages);
    }
    static {
      isCryptoKey = (value) => webidl.isObject(value) && #slots in value;
      slotsOf = (key) => key.#slots;
    }
  }

  function keyAlgorithm({ algorithm, hash, curve, length, exponent }) {
    const name = NAMES[algorithm];
    if (algorithm <= RSA_OAEP) {
      return { name, modulusLength: length, publicExponent: copyOf(exponent), hash: { name: HASHES[hash] } };
    }
    if (algorithm === ECDSA || algorithm === ECDH) return { name, namedCurve: CURVES[curve] };
    if (isOf(AES, algorithm)) return { name, length };
    if (algorithm === HMAC) return { name, hash: { name: HASHES[hash] }, length };
    return { name };
  }

  function usageNames(usages) {
    const names = [];
    for (let i = 0; i < USAGES.length; i++) {
      if ((usages >> i & 1) === 0) continue;
      ObjectDefineProperty(names, names.length, {
        __proto__: null, value: USAGES[i], writable: true, enumerable: true, configurable: true,
      });
    }
    return names;
  }

  function keySlots(value, context, parameter) {
    if (!isCryptoKey(value)) throw new TypeError(context + ": parameter " + parameter + " is not of type 'CryptoKey'.");
    return slotsOf(value);
  }

  // The InvalidAccessError of a key of another algorithm, or without the usage.
  function checkKey(slots, parameters, usage, context) {
    if (slots.algorithm !== parameters.algorithm) {
      throw failure(context, "InvalidAccessError", "The key is of another algorithm.");
    }
    checkUsage(slots, usage, context);
  }

  function checkUsage(slots, usage, context) {
    if ((slots.usages & usage) === 0) {
      throw failure(context, "InvalidAccessError", "The key does not have the usage '" + usageNames(usage)[0] + "'.");
    }
  }

  const finishKey = (parameters, usages, extractable) => (handle) =>
    new CryptoKey(INTERNAL, new KeySlots(handle, parameters, usages, extractable));

  // The length of the key that deriveKey makes ("Get Key Length" of each algorithm).
  function keyLength(parameters, context) {
    const { algorithm, length } = parameters;
    if (isOf(AES, algorithm)) {
      if (length !== 128 && length !== 192 && length !== 256) {
        throw failure(context, "OperationError", "An AES key has 128, 192 or 256 bits.");
      }
      return length;
    }
    if (algorithm !== HMAC) return NO_LENGTH;
    if (length === 0) throw new TypeError(context + ": An HMAC key is not empty.");
    return length === NO_LENGTH ? parameters.hash < 2 ? 512 : 1024 : length;
  }

  // ---- SubtleCrypto (14) ----

  const context = (method) => "Failed to execute '" + method + "' on 'SubtleCrypto'";
  const ENCRYPT = context("encrypt"), DECRYPT = context("decrypt"), SIGN = context("sign"), VERIFY = context("verify");
  const DIGEST = context("digest"), GENERATE = context("generateKey"), DERIVE_KEY = context("deriveKey");
  const DERIVE_BITS = context("deriveBits"), IMPORT = context("importKey"), EXPORT = context("exportKey");
  const WRAP = context("wrapKey"), UNWRAP = context("unwrapKey"), EQUAL = context("timingSafeEqual");

  function crypt(name, count, usage, where, algorithm, key, data) {
    webidl.requiredArguments(count, 3, where);
    algorithm = identifier(algorithm, where);
    const slots = keySlots(key, where, 2);
    bufferSource(data, where);
    const parameters = normalize(CIPHERS, readCipher, algorithm, where);
    checkKey(slots, parameters, usage, where);
    const { iv, additional, length } = parameters;
    if (parameters.algorithm === RSA_OAEP && usage === usageBits.encrypt) requireStarted("crypto.subtle.encrypt()");
    return perform(name, [true, slots.handle, data, iv, additional, length], bufferOf);
  }

  function importKey(count, format, keyData, algorithm, extractable, keyUsages) {
    webidl.requiredArguments(count, 5, IMPORT);
    format = formats[webidl.enumeration(format, formats, "KeyFormat", IMPORT)];
    const isBuffer = isBufferSource(keyData);
    if (!isBuffer) keyData = jsonWebKey(keyData, IMPORT);
    algorithm = identifier(algorithm, IMPORT);
    extractable = !!extractable;
    const usages = usageSet(keyUsages, IMPORT);
    const parameters = normalize(ALL, readImport, algorithm, IMPORT);
    if (isBuffer === (format === JWK)) {
      throw new TypeError(IMPORT + ": The key data is not of the type that the format has.");
    }
    const { hash, curve, length } = parameters;
    return perform("cryptoImport",
      [true, format, keyData, parameters.algorithm, hash, curve, length, extractable, usages],
      finishKey(parameters, usages, extractable));
  }

  function deriveKey(count, algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
    webidl.requiredArguments(count, 5, DERIVE_KEY);
    algorithm = identifier(algorithm, DERIVE_KEY);
    const slots = keySlots(baseKey, DERIVE_KEY, 2);
    derivedKeyType = identifier(derivedKeyType, DERIVE_KEY);
    extractable = !!extractable;
    const usages = usageSet(keyUsages, DERIVE_KEY);
    const parameters = normalize(DERIVERS, readDerive, algorithm, DERIVE_KEY);
    if (typeof derivedKeyType !== "string") keepBytes(parameters);
    const derived = normalize(ALL, readImport, derivedKeyType, DERIVE_KEY);
    const lengthOf = normalize(WITH_LENGTH, readKeyLength, derivedKeyType, DERIVE_KEY);
    checkKey(slots, parameters, usageBits.deriveKey, DERIVE_KEY);
    const { publicKey, hash, salt, info, iterations } = parameters;
    return perform("cryptoDeriveKey", [
      true, slots.handle, keyLength(lengthOf, DERIVE_KEY), publicKey && publicKey.handle, hash, salt, info, iterations,
      derived.algorithm, derived.hash, derived.curve, derived.length, extractable, usages,
    ], finishKey(derived, usages, extractable));
  }

  function deriveBits(count, algorithm, baseKey, length) {
    webidl.requiredArguments(count, 2, DERIVE_BITS);
    algorithm = identifier(algorithm, DERIVE_BITS);
    const slots = keySlots(baseKey, DERIVE_BITS, 2);
    length = length === undefined || length === null ? NO_LENGTH : webidl.unsignedLong(length, DERIVE_BITS);
    const parameters = normalize(DERIVERS, readDerive, algorithm, DERIVE_BITS);
    checkKey(slots, parameters, usageBits.deriveBits, DERIVE_BITS);
    const { publicKey, hash, salt, info, iterations } = parameters;
    return perform("cryptoDeriveBits",
      [true, slots.handle, length, publicKey && publicKey.handle, hash, salt, info, iterations], bufferOf);
  }

  function generateKey(count, algorithm, extractable, keyUsages) {
    webidl.requiredArguments(count, 3, GENERATE);
    algorithm = identifier(algorithm, GENERATE);
    extractable = !!extractable;
    const usages = usageSet(keyUsages, GENERATE);
    const parameters = normalize(GENERATORS, readGenerate, algorithm, GENERATE);
    requireStarted("crypto.subtle.generateKey()");
    const { hash, curve, length, exponent } = parameters;
    return perform("cryptoGenerate",
      [true, exponent, parameters.algorithm, hash, curve, length, extractable, usages], (made) => {
        if (!ArrayIsArray(made)) return finishKey(parameters, usages, extractable)(made);
        // What of the usages each half has, Go says.
        return {
          publicKey: finishKey(parameters, made[3], true)(made[1]),
          privateKey: finishKey(parameters, made[2], extractable)(made[0]),
        };
      });
  }

  function exportKey(count, format, key) {
    webidl.requiredArguments(count, 2, EXPORT);
    format = formats[webidl.enumeration(format, formats, "KeyFormat", EXPORT)];
    const slots = keySlots(key, EXPORT, 2);
    return PromiseResolve((format === JWK ? JSONParse : bufferOf)(call("cryptoExport", [format, slots.handle])));
  }

  function wrapKey(count, format, key, wrappingKey, wrapAlgorithm) {
    webidl.requiredArguments(count, 4, WRAP);
    format = formats[webidl.enumeration(format, formats, "KeyFormat", WRAP)];
    const slots = keySlots(key, WRAP, 2);
    const wrapping = keySlots(wrappingKey, WRAP, 3);
    wrapAlgorithm = identifier(wrapAlgorithm, WRAP);
    const parameters = normalize(CIPHERS | 1 << AES_KW, readWrap, wrapAlgorithm, WRAP);
    checkKey(wrapping, parameters, usageBits.wrapKey, WRAP);
    const { iv, additional, length } = parameters;
    if (parameters.algorithm === RSA_OAEP) requireStarted("crypto.subtle.wrapKey()");
    return perform("cryptoWrap", [true, wrapping.handle, iv, additional, length, format, slots.handle], bufferOf);
  }

  function unwrapKey(count, format, wrappedKey, unwrappingKey, unwrapAlgorithm, keyAlgorithm, extractable, keyUsages) {
    webidl.requiredArguments(count, 7, UNWRAP);
    format = formats[webidl.enumeration(format, formats, "KeyFormat", UNWRAP)];
    bufferSource(wrappedKey, UNWRAP);
    const wrapping = keySlots(unwrappingKey, UNWRAP, 3);
    unwrapAlgorithm = identifier(unwrapAlgorithm, UNWRAP);
    keyAlgorithm = identifier(keyAlgorithm, UNWRAP);
    extractable = !!extractable;
    const usages = usageSet(keyUsages, UNWRAP);
    const parameters = normalize(CIPHERS | 1 << AES_KW, readWrap, unwrapAlgorithm, UNWRAP);
    if (typeof keyAlgorithm !== "string") keepBytes(parameters);
    const unwrapped = normalize(ALL, readImport, keyAlgorithm, UNWRAP);
    checkKey(wrapping, parameters, usageBits.unwrapKey, UNWRAP);
    return perform("cryptoUnwrap", [
      true, wrapping.handle, wrappedKey, parameters.iv, parameters.additional, parameters.length, format,
      unwrapped.algorithm, unwrapped.hash, unwrapped.curve, unwrapped.length, extractable, usages,
    ], finishKey(unwrapped, usages, extractable));
  }

  function sign(count, algorithm, key, data) {
    webidl.requiredArguments(count, 3, SIGN);
    algorithm = identifier(algorithm, SIGN);
    const slots = keySlots(key, SIGN, 2);
    bufferSource(data, SIGN);
    const parameters = normalize(SIGNERS, readSign, algorithm, SIGN);
    checkKey(slots, parameters, usageBits.sign, SIGN);
    if (parameters.algorithm === ECDSA || parameters.algorithm === RSA_PSS) requireStarted("crypto.subtle.sign()");
    const { hash, saltLength, context } = parameters;
    return perform("cryptoSign", [true, slots.handle, data, hash, saltLength, context], bufferOf);
  }

  function verify(count, algorithm, key, signature, data) {
    webidl.requiredArguments(count, 4, VERIFY);
    algorithm = identifier(algorithm, VERIFY);
    const slots = keySlots(key, VERIFY, 2);
    bufferSource(signature, VERIFY);
    bufferSource(data, VERIFY);
    const parameters = normalize(SIGNERS, readSign, algorithm, VERIFY);
    checkKey(slots, parameters, usageBits.verify, VERIFY);
    const { hash, saltLength, context } = parameters;
    return perform("cryptoVerify", [true, slots.handle, signature, data, hash, saltLength, context], itself);
  }

  function digest(count, algorithm, data) {
    webidl.requiredArguments(count, 2, DIGEST);
    algorithm = identifier(algorithm, DIGEST);
    bufferSource(data, DIGEST);
    const hash = hashOf(algorithm, DIGEST);
    return perform("cryptoDigest", [true, hash, data], bufferOf);
  }

  // Each method gives a promise, whatever goes wrong.
  class SubtleCrypto {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    static #check(value) {
      if (!(webidl.isObject(value) && #brand in value)) throw webidl.illegalInvocation();
    }
    encrypt(algorithm, key, data) {
      try {
        SubtleCrypto.#check(this);
        return crypt("cryptoEncrypt", arguments.length, usageBits.encrypt, ENCRYPT, algorithm, key, data);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    decrypt(algorithm, key, data) {
      try {
        SubtleCrypto.#check(this);
        return crypt("cryptoDecrypt", arguments.length, usageBits.decrypt, DECRYPT, algorithm, key, data);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    sign(algorithm, key, data) {
      try {
        SubtleCrypto.#check(this);
        return sign(arguments.length, algorithm, key, data);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    verify(algorithm, key, signature, data) {
      try {
        SubtleCrypto.#check(this);
        return verify(arguments.length, algorithm, key, signature, data);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    digest(algorithm, data) {
      try {
        SubtleCrypto.#check(this);
        return digest(arguments.length, algorithm, data);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    generateKey(algorithm, extractable, keyUsages) {
      try {
        SubtleCrypto.#check(this);
        return generateKey(arguments.length, algorithm, extractable, keyUsages);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    deriveKey(algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
      try {
        SubtleCrypto.#check(this);
        return deriveKey(arguments.length, algorithm, baseKey, derivedKeyType, extractable, keyUsages);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    deriveBits(algorithm, baseKey, length = null) {
      try {
        SubtleCrypto.#check(this);
        return deriveBits(arguments.length, algorithm, baseKey, length);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    importKey(format, keyData, algorithm, extractable, keyUsages) {
      try {
        SubtleCrypto.#check(this);
        return importKey(arguments.length, format, keyData, algorithm, extractable, keyUsages);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    exportKey(format, key) {
      try {
        SubtleCrypto.#check(this);
        return exportKey(arguments.length, format, key);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    wrapKey(format, key, wrappingKey, wrapAlgorithm) {
      try {
        SubtleCrypto.#check(this);
        return wrapKey(arguments.length, format, key, wrappingKey, wrapAlgorithm);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    unwrapKey(format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm, extractable, keyUsages) {
      try {
        SubtleCrypto.#check(this);
        return unwrapKey(arguments.length, format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm,
          extractable, keyUsages);
      } catch (error) {
        return PromiseReject(error);
      }
    }
    // Of Workers: whether two buffers of the same length hold the same, in a time that does not tell where they
    // differ.
    timingSafeEqual(a, b) {
      SubtleCrypto.#check(this);
      webidl.requiredArguments(arguments.length, 2, EQUAL);
      const equal = call("cryptoEqual", [bufferSource(a, EQUAL), bufferSource(b, EQUAL)]);
      if (equal === null) throw new TypeError(EQUAL + ": The buffers are not of the same length.");
      return equal;
    }
  }

  const interfaces = [CryptoKey, SubtleCrypto];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: 0 });
    internals.define(interfaces[i].name, interfaces[i]);
  }

  internals.newSubtleCrypto = () => new SubtleCrypto(INTERNAL);
  internals.isCryptoKey = isCryptoKey;
  internals.registerSerializable(isCryptoKey, (key) => new CryptoKey(INTERNAL, slotsOf(key)));
})
