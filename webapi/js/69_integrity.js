// Subresource Integrity (https://w3c.github.io/webappsec-subresource-integrity/) of what fetch() gets.
//
// For other scripts:
//   internals.verifyResponse(response, integrity, resolve, reject)  gathers the body and resolves with the
//       response, which has it at hand, or rejects with a TypeError
(function (ops, internals) {
  "use strict";
  const {
    StringPrototypeIndexOf, StringPrototypeReplaceAll, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError,
  } = internals.primordials;
  const { base64Decode, decodeLatin1, encodeUtf8 } = ops;
  const { bodyAs, host, hostAsync, isAsyncBody, takeBody } = internals;

  // By strength, which is also how cryptoDigest numbers them.
  const hashes = { __proto__: null, sha256: 1, sha384: 2, sha512: 3 };

  const isSpace = (character) => character === " " || character === "\t" || character === "\n" || character === "\f" ||
    character === "\r";

  // The digests of the strongest hash that is named: { hash, first }, a list of { digest, next }; or null if none is.
  function parseMetadata(text) {
    let found = null;
    for (let i = 0; i < text.length; i++) {
      if (isSpace(text[i])) continue;
      const start = i;
      while (i < text.length && !isSpace(text[i])) i++;
      const item = parseItem(StringPrototypeSlice(text, start, i));
      if (item === null || (found !== null && item.hash < found.hash)) continue;
      if (found === null || item.hash > found.hash) found = { __proto__: null, hash: item.hash, first: null };
      found.first = { __proto__: null, digest: item.digest, next: found.first };
    }
    return found;
  }

  // Of "sha256-<base64>?options" the number of the hash and the digest, a string of bytes; null for anything else.
  // Base64 may be that for URLs, and lack its padding.
  function parseItem(item) {
    const dash = StringPrototypeIndexOf(item, "-");
    if (dash < 0) return null;
    const hash = hashes[StringPrototypeToLowerCase(StringPrototypeSlice(item, 0, dash))];
    if (hash === undefined) return null;
    const question = StringPrototypeIndexOf(item, "?");
    let value = StringPrototypeSlice(item, dash + 1, question < 0 ? item.length : question);
    value = StringPrototypeReplaceAll(StringPrototypeReplaceAll(value, "-", "+"), "_", "/");
    return { __proto__: null, hash, digest: base64Decode(value) };
  }

  async function verify(response, metadata) {
    const body = internals.bodyOfResponse(response);
    let bytes;
    if (body === null) bytes = encodeUtf8("");
    else if (isAsyncBody(body)) bytes = (await takeBody(body, bodyAs.AS_BYTES)).bytes;
    else bytes = takeBody(body, bodyAs.AS_BYTES);
    let digest = host.cryptoDigest(true, metadata.hash, bytes);
    if (digest === null) digest = await hostAsync("cryptoDigest", false, metadata.hash, bytes); // too much for one turn
    const text = decodeLatin1(digest);
    for (let item = metadata.first; item !== null; item = item.next) {
      if (item.digest !== text) continue;
      if (body !== null) internals.replaceBody(response, bytes);
      return;
    }
    throw new TypeError("fetch failed: the response does not match the integrity that was asked for");
  }

  internals.verifyResponse = async function verifyResponse(response, integrity, resolve, reject) {
    try {
      const metadata = parseMetadata(integrity);
      if (metadata !== null) await verify(response, metadata);
    } catch (error) {
      reject(error);
      return;
    }
    resolve(response);
  };
})
