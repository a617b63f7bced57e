import { equal, rejects, suite, throws } from "./check.js";

const { subtle } = crypto;
const bytes = (text) => new TextEncoder().encode(text);
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
const base64url = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_")
  .replace(/=/g, "");
const fromBase64url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

const hmac = { name: "HMAC", hash: "SHA-256" };
const newKey = (extractable = true, usages = ["sign", "verify"]) =>
  subtle.importKey("raw", new Uint8Array(32), hmac, extractable, usages);

// What jose does: JSON Web Tokens.
const tokenAlgorithms = {
  HS256: [hmac, hmac],
  RS256: [
    { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
    { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ],
  PS384: [
    { name: "RSA-PSS", hash: "SHA-384", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
    { name: "RSA-PSS", hash: "SHA-384", saltLength: 48 },
  ],
  ES256: [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }],
  ES512: [{ name: "ECDSA", namedCurve: "P-521" }, { name: "ECDSA", hash: "SHA-512" }],
  EdDSA: [{ name: "Ed25519" }, { name: "Ed25519" }],
};

async function signToken(alg, key, claims) {
  const input = base64url(bytes(JSON.stringify({ alg, typ: "JWT" }))) + "." + base64url(bytes(JSON.stringify(claims)));
  return input + "." + base64url(await subtle.sign(tokenAlgorithms[alg][1], key, bytes(input)));
}

async function verifyToken(token, keys) {
  const [head, claims, signature] = token.split(".");
  const { alg } = JSON.parse(new TextDecoder().decode(fromBase64url(head)));
  const good = await subtle.verify(tokenAlgorithms[alg][1], keys[alg], fromBase64url(signature), bytes(head + "." + claims));
  if (!good) throw new Error("signature verification failed");
  return JSON.parse(new TextDecoder().decode(fromBase64url(claims)));
}

// The error of each way to leave a member out, or to give it a wrong type.
const badAlgorithms = {
  encrypt: [[{ name: "AES-CBC" }, TypeError], [{ name: "AES-CBC", iv: "text" }, TypeError],
    [{ name: "AES-CBC", iv: new Uint8Array(15) }, "OperationError"], ["AES-CBC", TypeError],
    [{ name: "AES-GCM", iv: new Uint8Array(12) }, "InvalidAccessError"], ["SHA-256", "NotSupportedError"],
    [{ name: "AES-CTR", counter: new Uint8Array(16), length: 256 }, TypeError], [{}, TypeError], [undefined, "NotSupportedError"],
    [{ name: Symbol() }, TypeError], [Symbol(), TypeError], [7, "NotSupportedError"], [null, "NotSupportedError"]],
};

export default suite({
  async "digest"() {
    for (const name of ["SHA-256", "sha-256", { name: "Sha-256" }, Object.create({ name: "SHA-256" })]) {
      const digest = await subtle.digest(name, bytes("abc"));
      equal([digest instanceof ArrayBuffer, digest.byteLength, hex(digest)], [true, 32, ABC]);
    }
    const text = bytes("xxabcxx");
    equal(hex(await subtle.digest("SHA-256", new DataView(text.buffer, 2, 3))), ABC);
    equal(hex(await subtle.digest("SHA-256", text.subarray(2, 5).slice().buffer)), ABC);
    equal(hex(await subtle.digest("SHA-1", new Uint16Array(0))), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    for (const name of ["SHA-224", "MD5", "\u017fha-256", "", "__proto__", "HMAC"]) {
      await rejects("NotSupportedError", () => subtle.digest(name, text));
    }
    for (const data of ["abc", [1], null, new SharedArrayBuffer(1), new Uint8Array(new SharedArrayBuffer(1)),
      new ArrayBuffer(1, { maxByteLength: 2 }), new Uint8Array(new ArrayBuffer(1, { maxByteLength: 2 }))]) {
      await rejects(TypeError, () => subtle.digest("SHA-256", data));
    }
    await rejects(TypeError, () => subtle.digest("SHA-256"));
    await rejects(TypeError, () => subtle.digest.call({}, "SHA-256", text));
    await rejects(TypeError, () => subtle.digest.call(undefined, "SHA-256", text));
  },

  async "a large digest does not see what is written later"() {
    const large = new Uint8Array(1 << 21);
    const promise = subtle.digest("SHA-256", large);
    large.fill(1);
    equal(hex(await promise), "5647f05ec18958947d32874eeb788fa396a05d0bab7c1b71f112ceb7e9b31eee");
  },

  async "JSON Web Tokens by every algorithm"() {
    const keys = {};
    for (const alg in tokenAlgorithms) {
      const made = await subtle.generateKey(tokenAlgorithms[alg][0], false, ["sign", "verify"]);
      const pair = alg === "HS256" ? { privateKey: made, publicKey: made } : made;
      const token = await signToken(alg, pair.privateKey, { sub: "user", alg });
      keys[alg] = pair.publicKey;
      if (alg !== "HS256") { // as it comes from a JWKS
        const jwk = JSON.parse(JSON.stringify(await subtle.exportKey("jwk", pair.publicKey)));
        keys[alg] = await subtle.importKey("jwk", jwk, tokenAlgorithms[alg][0], false, ["verify"]);
      }
      equal((await verifyToken(token, keys)).alg, alg);
      const [head, claims, signature] = token.split(".");
      const other = base64url(bytes(JSON.stringify({ sub: "admin", alg })));
      await rejects(Error, () => verifyToken([head, other, signature].join("."), keys), "verification failed");
      await rejects(Error, () => verifyToken([head, claims, "AAAA"].join("."), keys), "verification failed");
    }
  },

  async "a CryptoKey"() {
    const key = await newKey(false);
    equal([key instanceof CryptoKey, key.type, key.extractable, String(key)], [true, "secret", false, "[object CryptoKey]"]);
    equal(JSON.stringify(key.algorithm), `{"name":"HMAC","hash":{"name":"SHA-256"},"length":256}`);
    equal([key.usages, key.algorithm === key.algorithm, key.usages === key.usages], [["sign", "verify"], true, true]);
    key.algorithm.name = "AES-CBC"; // a copy of what counts
    key.usages.push("encrypt");
    equal((await subtle.sign("HMAC", key, new Uint8Array(0))).byteLength, 32);
    await rejects("InvalidAccessError", () => subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, key, new Uint8Array(1)));
    throws(TypeError, () => new CryptoKey());
    throws(TypeError, () => Object.getOwnPropertyDescriptor(CryptoKey.prototype, "type").get.call({}));
    equal([CryptoKey.length, SubtleCrypto.length, subtle.deriveBits.length, subtle.unwrapKey.length], [0, 0, 2, 7]);
    equal(Reflect.ownKeys(key), []);
  },

  async "keys that are not extractable"() {
    const key = await newKey(false);
    const wrapping = await subtle.generateKey({ name: "AES-KW", length: 128 }, true, ["wrapKey", "unwrapKey"]);
    for (const format of ["raw", "jwk"]) {
      await rejects("InvalidAccessError", () => subtle.exportKey(format, key));
      await rejects("InvalidAccessError", () => subtle.wrapKey(format, key, wrapping, "AES-KW"));
    }
    const clone = structuredClone({ key }).key;
    equal([clone instanceof CryptoKey, clone !== key, clone.extractable, clone.algorithm === key.algorithm], [true, true, false, false]);
    equal(hex(await subtle.sign("HMAC", clone, bytes("x"))), hex(await subtle.sign("HMAC", key, bytes("x"))));
    await rejects("InvalidAccessError", () => subtle.exportKey("raw", clone));
    // What reads prototypes gets no handle either.
    const seen = [];
    Object.defineProperty(Object.prototype, "then", { configurable: true, get() { seen.push(this); } });
    try {
      await subtle.generateKey({ name: "ECDSA", namedCurve: "P-384" }, false, ["sign"]);
    } finally {
      delete Object.prototype.then;
    }
    equal(seen.every((object) => object instanceof CryptoKey || object.publicKey instanceof CryptoKey), true);
  },

  async "usages"() {
    await rejects("SyntaxError", () => newKey(true, []));
    await rejects("SyntaxError", () => newKey(true, ["sign", "encrypt"]));
    await rejects(TypeError, () => newKey(true, ["Sign"]));
    await rejects(TypeError, () => newKey(true, "sign"));
    await rejects(TypeError, () => newKey(true, 5));
    const key = await newKey(true, new Set(["verify"]));
    equal(key.usages, ["verify"]);
    await rejects("InvalidAccessError", () => subtle.sign("HMAC", key, new Uint8Array(0)));
  },

  async "import and export"() {
    const jwk = await subtle.exportKey("jwk", await newKey());
    equal(JSON.stringify(jwk), `{"alg":"HS256","ext":true,"k":"${"A".repeat(43)}","key_ops":["sign","verify"],"kty":"oct"}`);
    equal(Object.getPrototypeOf(jwk) === Object.prototype && Array.isArray(jwk.key_ops), true);
    await rejects(TypeError, () => subtle.importKey("jwk", new Uint8Array(1), hmac, true, ["sign"]));
    await rejects(TypeError, () => subtle.importKey("raw", jwk, hmac, true, ["sign"]));
    await rejects(TypeError, () => subtle.importKey("pem", jwk, hmac, true, ["sign"]));
    await rejects("DataError", () => subtle.importKey("jwk", {}, hmac, true, ["sign"]));
    await rejects("DataError", () => subtle.importKey("jwk", { ...jwk, ext: false }, hmac, true, ["sign"]));
    await rejects("DataError", () => subtle.importKey("jwk", { ...jwk, key_ops: ["sign", "sign"] }, hmac, true, ["sign"]));
    await rejects("NotSupportedError", () => subtle.importKey("spki", new Uint8Array(1), hmac, true, ["sign"]));
    const secret = await newKey();
    await rejects("NotSupportedError", () => subtle.exportKey("spki", secret));
  },

  async "getters are read in the order of Web IDL"() {
    const log = [];
    const spy = (object) => new Proxy(object, { get(target, name) { log.push(name); return target[name]; } });
    const password = await subtle.importKey("raw", bytes("p"), "PBKDF2", false, ["deriveKey", "deriveBits"]);
    await subtle.deriveKey(
      spy({ name: "PBKDF2", salt: new Uint8Array(8), iterations: 1, hash: spy({ name: "SHA-1" }) }), password,
      spy({ name: "AES-GCM", length: 128 }), true, ["encrypt"]);
    equal(log, ["name", "name", "hash", "iterations", "salt", "name", "name", "name", "name", "length"]);
    log.length = 0;
    await rejects(TypeError, () => subtle.importKey("jwk", spy({}), { get name() { throw new TypeError("mine"); } }, true, []), "mine");
    equal(log, ["alg", "crv", "d", "dp", "dq", "e", "ext", "k", "key_ops", "kty", "n", "oth", "p", "q", "qi", "use", "x", "y"]);
  },

  async "wrong algorithms"() {
    const key = await subtle.generateKey({ name: "AES-CBC", length: 128 }, true, ["encrypt", "decrypt"]);
    for (const [algorithm, error] of badAlgorithms.encrypt) {
      await rejects(error, () => subtle.encrypt(algorithm, key, new Uint8Array(1)));
    }
    for (const bad of [{}, null, undefined, Object.create(CryptoKey.prototype)]) {
      await rejects(TypeError, () => subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, bad, new Uint8Array(1)));
    }
  },

  async "buffers that are detached or change while algorithms are read"() {
    const key = await subtle.generateKey({ name: "AES-CBC", length: 128 }, true, ["encrypt", "decrypt"]);
    const data = new Uint8Array(16), iv = new Uint8Array(16);
    const sealed = await subtle.encrypt({ name: "AES-CBC", get iv() { data.buffer.transfer(); return iv; } }, key, data);
    equal((await subtle.decrypt({ name: "AES-CBC", iv }, key, sealed)).byteLength, 0);
    await rejects("OperationError", () => subtle.encrypt({ name: "AES-CBC", get iv() { iv.buffer.transfer(); return iv; } }, key, sealed));
    const gone = new Uint8Array(4);
    gone.buffer.transfer();
    equal(hex(await subtle.digest("SHA-1", gone)), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  },

  async "encrypt, decrypt, wrap, derive"() {
    const password = await subtle.importKey("raw", bytes("password"), "PBKDF2", false, ["deriveKey"]);
    const pbkdf2 = { name: "PBKDF2", hash: "SHA-256", salt: bytes("salt"), iterations: 20000 };
    const key = await subtle.deriveKey(pbkdf2, password, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt", "wrapKey", "unwrapKey"]);
    const gcm = { name: "AES-GCM", iv: crypto.getRandomValues(new Uint8Array(12)), additionalData: bytes("more") };
    for (const size of [0, 1, 1000, (1 << 20) + 1]) {
      const plain = new Uint8Array(size).fill(7);
      const sealed = await subtle.encrypt(gcm, key, plain);
      equal([sealed.byteLength, hex(await subtle.decrypt(gcm, key, sealed)) === hex(plain)], [size + 16, true]);
      new Uint8Array(sealed)[0] ^= 1;
      await rejects("OperationError", () => subtle.decrypt(gcm, key, sealed));
    }
    for (const params of [{ name: "X25519" }, { name: "X448" }, { name: "ECDH", namedCurve: "P-256" }, { name: "ECDH", namedCurve: "P-521" }]) {
      const ours = await subtle.generateKey(params, true, ["deriveBits"]);
      const theirs = await subtle.generateKey(params, true, ["deriveBits"]);
      const one = await subtle.deriveBits({ name: params.name, public: theirs.publicKey }, ours.privateKey, 128);
      const other = await subtle.deriveBits({ name: params.name, public: ours.publicKey }, theirs.privateKey, 128);
      equal([one.byteLength, hex(one)], [16, hex(other)]);
      const wrapped = await subtle.wrapKey("jwk", ours.privateKey, key, gcm);
      const unwrapped = await subtle.unwrapKey("jwk", wrapped, key, gcm, params, true, ["deriveBits"]);
      equal([unwrapped.type, hex(await subtle.deriveBits({ name: params.name, public: theirs.publicKey }, unwrapped, 128))], ["private", hex(one)]);
    }
  },

  "getRandomValues takes memory of its own"() {
    for (const buffer of [new SharedArrayBuffer(8), new ArrayBuffer(8, { maxByteLength: 16 })]) {
      throws(TypeError, () => crypto.getRandomValues(new Uint8Array(buffer)));
    }
    throws(TypeError, () => crypto.getRandomValues(new ArrayBuffer(8)));
    const gone = new Uint8Array(8);
    gone.buffer.transfer();
    equal(crypto.getRandomValues(gone) === gone, true);
  },

  "timingSafeEqual"() {
    equal([subtle.timingSafeEqual(bytes("abc"), bytes("abc").buffer), subtle.timingSafeEqual(bytes("abc"), bytes("abd"))], [true, false]);
    throws(TypeError, () => subtle.timingSafeEqual(bytes("abc"), bytes("ab")));
    throws(TypeError, () => subtle.timingSafeEqual("abc", "abc"));
    throws(TypeError, () => subtle.timingSafeEqual(bytes("abc")));
  },

  async "DigestStream"() {
    const stream = new crypto.DigestStream("SHA-256");
    equal([stream instanceof WritableStream, String(stream)], [true, "[object DigestStream]"]);
    const writer = stream.getWriter();
    writer.write(bytes("a"));
    writer.write(bytes("xbx").subarray(1, 2).slice().buffer);
    writer.write("c");
    await writer.close();
    equal([hex(await stream.digest), stream.bytesWritten], [ABC, 3]);
    const piped = new crypto.DigestStream({ name: "md5" });
    await new Response("abc").body.pipeTo(piped);
    equal(hex(await piped.digest), "900150983cd24fb0d6963f7d28e17f72");
    const large = new crypto.DigestStream("SHA-256");
    await new Blob([new Uint8Array(1 << 21)]).stream().pipeTo(large);
    equal(hex(await large.digest), "5647f05ec18958947d32874eeb788fa396a05d0bab7c1b71f112ceb7e9b31eee");
    const failed = new crypto.DigestStream("SHA-1");
    await rejects(TypeError, () => failed.getWriter().write(5));
    const aborted = new crypto.DigestStream("SHA-1");
    await aborted.abort(new RangeError("enough"));
    await rejects(RangeError, () => aborted.digest);
    throws("NotSupportedError", () => new crypto.DigestStream("SHA-3"));
    throws(TypeError, () => new crypto.DigestStream());
    throws(TypeError, () => crypto.DigestStream("SHA-1"));
  },

});
