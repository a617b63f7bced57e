// fetch() of data: URLs (Fetch Standard, 6 and 4.3).
//
// For other scripts:
//   internals.fetchDataURL(url, method)  -> promise of a Response; url without fragment
(function (ops, internals) {
  "use strict";
  const {
    PromiseReject, PromiseResolve, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeToLowerCase, StringPrototypeTrim, TypeError, Uint8Array,
  } = internals.primordials;
  const { base64Decode } = ops;

  const DEFAULT_TYPE = "text/plain;charset=US-ASCII";

  function hexValue(c) {
    if (c >= 0x30 && c <= 0x39) return c - 0x30;
    c |= 0x20;
    return c >= 0x61 && c <= 0x66 ? c - 0x57 : -1;
  }

  // Percent-decodes ASCII text to a string of bytes, and counts as it goes.
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
    return { __proto__: null, bytes, length };
  }

  function fromBase64(encoded) {
    const { bytes, length } = percentDecode(encoded);
    const decoded = base64Decode(ops.decodeLatin1(copyOf(bytes, length)));
    if (decoded === null) return null;
    const result = new Uint8Array(decoded.length);
    for (let i = 0; i < decoded.length; i++) result[i] = StringPrototypeCharCodeAt(decoded, i);
    return result;
  }

  function copyOf(bytes, length) {
    const copy = new Uint8Array(length);
    for (let i = 0; i < length; i++) copy[i] = bytes[i];
    return copy;
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

  function isType(type) {
    const semicolon = StringPrototypeIndexOf(type, ";");
    const essence = semicolon < 0 ? type : StringPrototypeSlice(type, 0, semicolon);
    const slash = StringPrototypeIndexOf(essence, "/");
    return slash > 0 && internals.isToken(StringPrototypeSlice(essence, 0, slash)) &&
      internals.isToken(StringPrototypeTrim(StringPrototypeSlice(essence, slash + 1)));
  }

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
      const decoded = percentDecode(data);
      bytes = copyOf(decoded.bytes, decoded.length);
    }
    if (StringPrototypeIndexOf(type, ";") === 0) type = "text/plain" + type;
    if (!isType(type)) type = DEFAULT_TYPE;
    const init = { __proto__: null, headers: { __proto__: null, "content-type": type } };
    return PromiseResolve(new internals.Response(method === "HEAD" ? null : bytes, init));
  };
})
