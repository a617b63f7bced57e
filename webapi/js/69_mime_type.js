// MIME types (MIME Sniffing Standard, 4) and what the Fetch Standard makes of the content-type header (2.2.2,
// "extract a MIME type").
//
// For other scripts, on internals.mimeTypes; a MIME type is { essence, parameters: SafeMap of name to value }:
//   parse(string)             or null
//   serialize(mimeType)       string
//   parameter(mimeType, name) its value, or null
//   extract(value)            of a content-type header, the values of several joined by commas; or null
//   typeOf(value)             the type of a Blob that is made of a body with this content-type header or null
(function (ops, internals) {
  "use strict";
  const {
    SafeMap, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeReplaceAll, StringPrototypeSlice,
    StringPrototypeToLowerCase,
  } = internals.primordials;
  const { isToken } = internals;

  const QUOTE = 0x22;
  const COMMA = 0x2c;
  const SEMICOLON = 0x3b;
  const EQUALS = 0x3d;
  const BACKSLASH = 0x5c;

  // HTTP quoted-string token code points.
  function isQuotedStringText(string) {
    for (let i = 0; i < string.length; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      if (code !== 0x09 && (code < 0x20 || code === 0x7f || code > 0xff)) return false;
    }
    return true;
  }
  const isHTTPSpace = (code) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

  function skipSpace(string, position) {
    while (position < string.length && isHTTPSpace(StringPrototypeCharCodeAt(string, position))) position++;
    return position;
  }
  // Where string ends without the HTTP whitespace before `end`, down to `start`.
  function trimmedEnd(string, start, end) {
    while (end > start && isHTTPSpace(StringPrototypeCharCodeAt(string, end - 1))) end--;
    return end;
  }
  function trim(string) {
    const start = skipSpace(string, 0);
    return StringPrototypeSlice(string, start, trimmedEnd(string, start, string.length));
  }

  function indexOrEnd(string, search, from) {
    const index = StringPrototypeIndexOf(string, search, from);
    return index < 0 ? string.length : index;
  }

  // Where the quoted string ends that begins at `start`, the opening quote: behind the closing one.
  function endOfQuoted(string, start) {
    let i = start + 1;
    while (i < string.length) {
      const code = StringPrototypeCharCodeAt(string, i++);
      if (code === QUOTE) break;
      if (code === BACKSLASH) i++;
    }
    return i < string.length ? i : string.length;
  }

  // The value of the quoted string from `start` to `end`. A backslash that nothing follows stands for itself.
  function valueOfQuoted(string, start, end) {
    let value = "";
    for (let i = start + 1; i < end; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      if (code === QUOTE) break;
      if (code === BACKSLASH && i + 1 < end) i++;
      value += string[i];
    }
    return value;
  }

  function parse(input) {
    input = trim(input);
    const slash = StringPrototypeIndexOf(input, "/");
    if (slash <= 0) return null;
    const end = indexOrEnd(input, ";", slash + 1);
    const type = StringPrototypeSlice(input, 0, slash);
    const subtype = StringPrototypeSlice(input, slash + 1, trimmedEnd(input, slash + 1, end));
    if (!isToken(type) || !isToken(subtype)) return null;
    const essence = StringPrototypeToLowerCase(type + "/" + subtype);
    return { __proto__: null, essence, parameters: parseParameters(input, end) };
  }

  // Parameters ";name=value" from `position`, a semicolon or the end, on: names in lower case, the first of a name
  // counts.
  function parseParameters(input, position) {
    const parameters = new SafeMap();
    while (position < input.length) {
      position = skipSpace(input, position + 1);
      const equals = endOfName(input, position);
      if (equals === input.length || StringPrototypeCharCodeAt(input, equals) === SEMICOLON) {
        position = equals;
        continue;
      }
      const name = StringPrototypeToLowerCase(StringPrototypeSlice(input, position, equals));
      let value;
      if (equals + 1 < input.length && StringPrototypeCharCodeAt(input, equals + 1) === QUOTE) {
        const end = endOfQuoted(input, equals + 1);
        value = valueOfQuoted(input, equals + 1, end);
        position = indexOrEnd(input, ";", end);
      } else {
        position = indexOrEnd(input, ";", equals + 1);
        value = StringPrototypeSlice(input, equals + 1, trimmedEnd(input, equals + 1, position));
        if (value === "") continue;
      }
      if (isToken(name) && isQuotedStringText(value) && !parameters.has(name)) parameters.set(name, value);
    }
    return parameters;
  }

  // Where the first ";" or "=" is, from `position` on, or the end.
  function endOfName(input, position) {
    for (; position < input.length; position++) {
      const code = StringPrototypeCharCodeAt(input, position);
      if (code === SEMICOLON || code === EQUALS) break;
    }
    return position;
  }

  const parameter = (mimeType, name) => mimeType.parameters.get(name) ?? null;

  function serialize({ essence, parameters }) {
    let result = essence;
    parameters.forEach((value, name) => {
      result += ";" + name + "=" + (isToken(value) ? value
        : '"' + StringPrototypeReplaceAll(StringPrototypeReplaceAll(value, "\\", "\\\\"), '"', '\\"') + '"');
    });
    return result;
  }

  // The value at `start` of a list of values, which ends before the next comma that is in no quoted string.
  function endOfValue(list, start) {
    let i = start;
    while (i < list.length) {
      const code = StringPrototypeCharCodeAt(list, i);
      if (code === COMMA) return i;
      i = code === QUOTE ? endOfQuoted(list, i) : i + 1;
    }
    return list.length;
  }

  function extract(value) {
    let charset = null;
    let essence = null;
    let mimeType = null;
    for (let start = 0; start <= value.length;) {
      const end = endOfValue(value, start);
      const next = parse(StringPrototypeSlice(value, start, end));
      start = end + 1;
      if (next === null || next.essence === "*/*") continue;
      mimeType = next;
      const own = parameter(next, "charset");
      if (next.essence !== essence) {
        charset = own;
        essence = next.essence;
      } else if (own === null && charset !== null) {
        next.parameters.set("charset", charset);
      }
    }
    return mimeType;
  }

  function typeOf(value) {
    const mimeType = value === null ? null : extract(value);
    return mimeType === null ? "" : serialize(mimeType);
  }

  internals.mimeTypes = { __proto__: null, extract, parameter, parse, serialize, typeOf };
})
