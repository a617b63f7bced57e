// What headers a Request of mode "no-cors" may have (Fetch Standard, 2.2.2, "no-CORS-safelisted request-header").
//
// For other scripts, on internals.noCors; names in lower case, values valid:
//   isSafelisted(name, value)  mayDelete(name)
(function (ops, internals) {
  "use strict";
  const { StringPrototypeCharCodeAt } = internals.primordials;

  internals.load("69_mime_type");
  const { mimeTypes } = internals;

  const VALUE_MAX = 128;

  // No CORS-unsafe request-header byte: none below 0x20 but tab, and none of "():<>?@[\]{} and DEL.
  function isSafe(value) {
    for (let i = 0; i < value.length; i++) {
      const c = StringPrototypeCharCodeAt(value, i);
      if (c < 0x20 ? c !== 0x09 : c === 0x22 || c === 0x28 || c === 0x29 || c === 0x3a || c === 0x3c || c === 0x3e ||
          c === 0x3f || c === 0x40 || (c >= 0x5b && c <= 0x5d) || c === 0x7b || c === 0x7d || c === 0x7f) {
        return false;
      }
    }
    return true;
  }

  // Letters, digits, space and *,-.;=
  function isLanguage(value) {
    for (let i = 0; i < value.length; i++) {
      const c = StringPrototypeCharCodeAt(value, i);
      const lower = c | 0x20;
      if (!((lower >= 0x61 && lower <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x20 || c === 0x2a ||
          (c >= 0x2c && c <= 0x2e) || c === 0x3b || c === 0x3d)) {
        return false;
      }
    }
    return true;
  }

  function isSimpleType(value) {
    if (!isSafe(value)) return false;
    const mimeType = mimeTypes.parse(value);
    if (mimeType === null) return false;
    const { essence } = mimeType;
    return essence === "application/x-www-form-urlencoded" || essence === "multipart/form-data" ||
      essence === "text/plain";
  }

  function isSafelisted(name, value) {
    if (value.length > VALUE_MAX) return false;
    switch (name) {
      case "accept": return isSafe(value);
      case "accept-language": case "content-language": return isLanguage(value);
      case "content-type": return isSimpleType(value);
      default: return false;
    }
  }

  function mayDelete(name) {
    return name === "accept" || name === "accept-language" || name === "content-language" ||
      name === "content-type" || name === "range";
  }

  internals.noCors = { __proto__: null, isSafelisted, mayDelete };
})
