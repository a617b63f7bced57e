// fetch() of data: and blob: URLs (Fetch Standard, 6 and 4.3).
//
// For other scripts; url is without fragment:
//   internals.fetchDataURL(url, method)  -> promise of a Response
//   internals.fetchBlob(url, method, blob)  -> promise of a Response
(function (ops, internals) {
  "use strict";
  const {
    PromiseReject, PromiseResolve, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeStartsWith, StringPrototypeToLowerCase, StringPrototypeTrim, TypeError,
    TypedArrayPrototypeGetBuffer, Uint8Array,
  } = internals.primordials;
  const { base64Decode, decodeLatin1 } = ops;

  const DEFAULT_TYPE = "text/plain;charset=US-ASCII";

  function hexValue(c) {
    if (c >= 0x30 && c <= 0x39) return c - 0x30;
    c |= 0x20;
    return c >= 0x61 && c <= 0x66 ? c - 0x57 : -1;
  }

  // Percent-decodes ASCII text.
  function percentDecode(text) {
    const bytes = new Uint8Array(text.length);
    let length = 0;
    for (let i = 0; i < text.length; i++) {
      let c = StringPrototypeCharCodeAt(text, i);
      if (c === 0x25 && i + 2 < text.length) {
        const high = hexValue(StringPrototypeCharCodeAt(text, i + 1));
        const low = hexValue(StringPrototypeCharCodeAt(text, i + 2));
        if (high >= 0 && low >= 0) {
          c = high << 4 | low;
          i += 2;
        }
      }
      bytes[length++] = c;
    }
    return length === text.length ? bytes : new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), 0, length);
  }

  function fromBase64(encoded) {
    const decoded = base64Decode(decodeLatin1(percentDecode(encoded)));
    if (decoded === null) return null;
    const result = new Uint8Array(decoded.length);
    for (let i = 0; i < decoded.length; i++) result[i] = StringPrototypeCharCodeAt(decoded, i);
    return result;
  }

  // The type without ";base64" at its end, or null if that is not there.
  function withoutBase64(type) {
    const end = type.length - 6;
    if (end < 1 || StringPrototypeToLowerCase(StringPrototypeSlice(type, end)) !== "base64") return null;
    let semicolon = end - 1;
    while (semicolon >= 0 && StringPrototypeCharCodeAt(type, semicolon) === 0x20) semicolon--;
    if (semicolon < 0 || StringPrototypeCharCodeAt(type, semicolon) !== 0x3b) return null;
    return StringPrototypeSlice(type, 0, semicolon);
  }

  internals.load("69_mime_type");
  const { mimeTypes } = internals;

  internals.fetchDataURL = function fetchDataURL(url, method) {
    const comma = StringPrototypeIndexOf(url, ",");
    const broken = () => PromiseReject(new TypeError("fetch failed: malformed data: URL"));
    if (comma < 0) return broken();
    const data = StringPrototypeSlice(url, comma + 1);
    let type = StringPrototypeTrim(StringPrototypeSlice(url, 5, comma));
    const plain = withoutBase64(type);
    let bytes;
    if (plain !== null) {
      type = plain;
      bytes = fromBase64(data);
      if (bytes === null) return broken();
    } else {
      bytes = percentDecode(data);
    }
    if (StringPrototypeStartsWith(type, ";")) type = "text/plain" + type;
    const mimeType = mimeTypes.parse(type);
    type = mimeType === null ? DEFAULT_TYPE : mimeTypes.serialize(mimeType);
    const slot = method === "HEAD" ? null : internals.newBody(bytes, null, "");
    return PromiseResolve(internals.localResponse(url, "content-type: " + type + "\r\n", slot));
  };

  // blob: is the Blob of the URL, or null if there is none (any more).
  internals.fetchBlob = function fetchBlob(url, method, blob) {
    if (blob === null) return PromiseReject(new TypeError("fetch failed: no Blob has the URL " + url));
    if (method !== "GET") return PromiseReject(new TypeError("fetch failed: a blob: URL can only be got with GET"));
    const mimeType = mimeTypes.parse(internals.blobType(blob));
    const type = mimeType === null ? "" : internals.blobType(blob);
    const lines = "content-length: " + internals.blobSize(blob) + "\r\ncontent-type: " + type + "\r\n";
    return PromiseResolve(internals.localResponse(url, lines, internals.newBody(blob, null, "")));
  };
})
