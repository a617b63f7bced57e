// Forms as bodies: multipart/form-data both ways (RFC 7578, HTML 4.10.21.8, Fetch 5.3) and the reading of
// application/x-www-form-urlencoded.
//
// For other scripts:
//   internals.encodeMultipart(entries) -> { bytes: Uint8Array, boundary }
//   internals.parseFormBody(bytes, mimeType, context) -> FormData; throws TypeError. mimeType: the
//       content-type header or null
//   internals.parseMimeType(string) -> { essence, parameters: SafeMap } or null (MIME Sniffing 4.4)
(function (ops, internals) {
  "use strict";
  const {
    List, SafeMap, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeReplaceAll,
    StringPrototypeSlice, StringPrototypeStartsWith, StringPrototypeToLowerCase, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { decodeLatin1, decodeUtf8, encodeUtf8, randomUUID } = ops;

  internals.load("51_blob");
  internals.load("52_url");

  // ---- MIME types ----

  // HTTP token code points: letters, digits and !#$%&'*+-.^_`|~
  function isToken(string) {
    for (let i = 0; i < string.length; i++) {
      if (StringPrototypeIndexOf(TOKEN_CHARACTERS, string[i]) < 0) return false;
    }
    return string.length > 0;
  }
  const TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

  function isQuotedStringText(string) {
    for (let i = 0; i < string.length; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      if (code !== 0x09 && (code < 0x20 || code === 0x7f || code > 0xff)) return false;
    }
    return true;
  }
  const isHTTPSpace = (code) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

  function trim(string) {
    let start = 0;
    let end = string.length;
    while (start < end && isHTTPSpace(StringPrototypeCharCodeAt(string, start))) start++;
    while (end > start && isHTTPSpace(StringPrototypeCharCodeAt(string, end - 1))) end--;
    return StringPrototypeSlice(string, start, end);
  }

  function indexOrEnd(string, search, from) {
    const index = StringPrototypeIndexOf(string, search, from);
    return index < 0 ? string.length : index;
  }

  // The value between quotes that begins at `start`, the opening quote, and where it ends.
  function quotedString(string, start) {
    let value = "";
    let i = start + 1;
    for (; i < string.length && string[i] !== '"'; i++) {
      if (string[i] === "\\" && i + 1 < string.length) i++;
      value += string[i];
    }
    return { value, end: i + 1 };
  }

  internals.parseMimeType = function parseMimeType(input) {
    input = trim(input);
    const slash = StringPrototypeIndexOf(input, "/");
    if (slash < 0) return null;
    let position = indexOrEnd(input, ";", slash);
    const type = StringPrototypeSlice(input, 0, slash);
    const subtype = trim(StringPrototypeSlice(input, slash + 1, position));
    if (!isToken(type) || !isToken(subtype)) return null;
    const parameters = parseParameters(input, position + 1);
    return { essence: StringPrototypeToLowerCase(type + "/" + subtype), parameters };
  };

  // Parameters "; name=value" from `position` on; names in lower case, the first of a name counts.
  function parseParameters(input, position) {
    const parameters = new SafeMap();
    while (position < input.length) {
      while (position < input.length && isHTTPSpace(StringPrototypeCharCodeAt(input, position))) position++;
      const semicolon = indexOrEnd(input, ";", position);
      const equals = indexOrEnd(input, "=", position);
      if (equals >= semicolon) {
        position = semicolon + 1;
        continue;
      }
      const name = StringPrototypeToLowerCase(StringPrototypeSlice(input, position, equals));
      let value;
      if (input[equals + 1] === '"') {
        const quoted = quotedString(input, equals + 1);
        value = quoted.value;
        position = indexOrEnd(input, ";", quoted.end) + 1;
      } else {
        value = trim(StringPrototypeSlice(input, equals + 1, semicolon));
        position = semicolon + 1;
        if (value === "") continue;
      }
      if (isToken(name) && isQuotedStringText(value) && !parameters.has(name)) parameters.set(name, value);
    }
    return parameters;
  }

  // ---- Writing multipart/form-data ----

  // Every line break becomes CRLF.
  function normalizeLines(text) {
    let result = "";
    for (let i = 0; i < text.length; i++) {
      if (text[i] === "\r") {
        result += "\r\n";
        if (text[i + 1] === "\n") i++;
      } else {
        result += text[i] === "\n" ? "\r\n" : text[i];
      }
    }
    return result;
  }
  const hasBreak = (text) => StringPrototypeIndexOf(text, "\n") >= 0 || StringPrototypeIndexOf(text, "\r") >= 0;
  const withCRLF = (text) => hasBreak(text) ? normalizeLines(text) : text;

  function escapeName(name) {
    name = StringPrototypeReplaceAll(name, "\n", "%0A");
    name = StringPrototypeReplaceAll(name, "\r", "%0D");
    return StringPrototypeReplaceAll(name, '"', "%22");
  }

  internals.encodeMultipart = function encodeMultipart(entries) {
    const boundary = "----formdata-nano-" + StringPrototypeReplaceAll(randomUUID(), "-", "");
    const pieces = new List(); // of Uint8Array
    let text = ""; // not yet a piece
    const flush = () => {
      pieces[pieces.length] = encodeUtf8(text);
      text = "";
    };
    for (let i = 0; i < entries.length; i++) {
      const { name, value } = entries[i];
      text += "--" + boundary + '\r\nContent-Disposition: form-data; name="' + escapeName(withCRLF(name)) + '"';
      if (typeof value === "string") {
        text += "\r\n\r\n" + withCRLF(value) + "\r\n";
      } else {
        text += '; filename="' + escapeName(internals.fileName(value)) + '"\r\nContent-Type: ' +
          (internals.blobType(value) || "application/octet-stream") + "\r\n\r\n";
        flush();
        pieces[pieces.length] = internals.blobBytes(value);
        text = "\r\n";
      }
    }
    text += "--" + boundary + "--\r\n";
    flush();
    return { bytes: concatenate(pieces), boundary };
  };

  function concatenate(pieces) {
    let byteLength = 0;
    for (let i = 0; i < pieces.length; i++) byteLength += TypedArrayPrototypeGetByteLength(pieces[i]);
    const whole = new Uint8Array(byteLength);
    for (let i = 0, offset = 0; i < pieces.length; i++) {
      TypedArrayPrototypeSet(whole, pieces[i], offset);
      offset += TypedArrayPrototypeGetByteLength(pieces[i]);
    }
    return whole;
  }

  // ---- Reading ----

  internals.parseFormBody = function parseFormBody(bytes, mimeType, context) {
    const type = mimeType === null ? null : internals.parseMimeType(mimeType);
    const essence = type === null ? "" : type.essence;
    if (essence === "application/x-www-form-urlencoded") {
      const list = internals.parseUrlencoded(decodeUtf8(bytes, false, true));
      const entries = new List();
      for (let i = 0; i < list.length; i += 2) entries[i / 2] = { name: list.slots[i], value: list.slots[i + 1] };
      return internals.createFormData(entries);
    }
    if (essence === "multipart/form-data") {
      const boundary = type.parameters.get("boundary");
      if (boundary === undefined) throw new TypeError(context + ": The content-type has no boundary.");
      return internals.createFormData(new MultipartReader(bytes, boundary, context).read());
    }
    throw new TypeError(context + ": The content-type is neither multipart/form-data nor " +
      "application/x-www-form-urlencoded.");
  };

  // Reads "--boundary CRLF headers CRLF CRLF content CRLF --boundary ... --". What comes before the first
  // boundary line, other than line breaks, or instead of a CRLF, makes the body malformed.
  class MultipartReader {
    bytes;
    text;
    delimiter;
    position;
    context;
    constructor(bytes, boundary, context) {
      this.bytes = bytes;
      this.text = decodeLatin1(bytes); // one character for each byte
      this.delimiter = "--" + boundary;
      this.position = 0;
      this.context = context;
    }
    read() {
      const entries = new List();
      while (this.#skip("\r\n"));
      if (!this.#skip(this.delimiter)) throw this.#malformed("it does not begin with the boundary");
      while (!this.#skip("--")) {
        if (!this.#skip("\r\n")) throw this.#malformed("no line break after a boundary");
        entries[entries.length] = this.#part();
      }
      return entries;
    }
    #part() {
      const headers = this.#headers();
      const end = StringPrototypeIndexOf(this.text, "\r\n" + this.delimiter, this.position - 2);
      if (end < 0) throw this.#malformed("a part without end");
      // An empty content may share its CRLF with the end of the headers.
      const content = this.#bytesOf(this.position, end < this.position ? this.position : end);
      this.position = end + 2 + this.delimiter.length;
      const { name, filename, type } = headers;
      if (filename === null) return { name, value: decodeUtf8(content, false, true) };
      const copy = new Uint8Array(TypedArrayPrototypeGetByteLength(content));
      TypedArrayPrototypeSet(copy, content, 0);
      return { name, value: internals.createFile(copy, filename, type ?? "text/plain") };
    }
    #headers() {
      let name = null;
      let filename = null;
      let type = null;
      while (!this.#skip("\r\n")) {
        const end = StringPrototypeIndexOf(this.text, "\r\n", this.position);
        if (end < 0) throw this.#malformed("a header line without end");
        const line = StringPrototypeSlice(this.text, this.position, end);
        const colon = StringPrototypeIndexOf(line, ":");
        if (colon < 0 || !isToken(StringPrototypeSlice(line, 0, colon))) throw this.#malformed("a bad header line");
        const field = StringPrototypeToLowerCase(StringPrototypeSlice(line, 0, colon));
        if (field === "content-disposition") {
          const value = decodeUtf8(this.#bytesOf(this.position + colon + 1, end), false, true);
          const disposition = this.#disposition(trim(value));
          name = disposition.name;
          filename = disposition.filename;
        } else if (field === "content-type") {
          type = trim(StringPrototypeSlice(line, colon + 1));
        }
        this.position = end + 2;
      }
      if (name === null) throw this.#malformed("a part without name");
      return { name, filename, type };
    }
    // form-data; name="..."; filename="...". Browsers write %0A, %0D and %22 for line breaks and quotes.
    #disposition(value) {
      const result = { name: null, filename: null };
      const semicolon = indexOrEnd(value, ";", 0);
      if (StringPrototypeToLowerCase(trim(StringPrototypeSlice(value, 0, semicolon))) !== "form-data") {
        throw this.#malformed("a content-disposition other than form-data");
      }
      let position = semicolon + 1;
      while (position < value.length) {
        const equals = indexOrEnd(value, "=", position);
        const key = StringPrototypeToLowerCase(trim(StringPrototypeSlice(value, position, equals)));
        let parameter;
        if (value[equals + 1] === '"') {
          const close = indexOrEnd(value, '"', equals + 2);
          if (close === value.length) throw this.#malformed("a quote without end");
          parameter = unescapeName(StringPrototypeSlice(value, equals + 2, close));
          position = indexOrEnd(value, ";", close) + 1;
        } else {
          const end = indexOrEnd(value, ";", position);
          parameter = trim(StringPrototypeSlice(value, equals + 1, end));
          position = end + 1;
        }
        if (key === "name" && result.name === null) result.name = parameter;
        if (key === "filename" && result.filename === null) result.filename = parameter;
      }
      return result;
    }
    #skip(string) {
      if (!StringPrototypeStartsWith(this.text, string, this.position)) return false;
      this.position += string.length;
      return true;
    }
    #bytesOf(start, end) {
      return new Uint8Array(TypedArrayPrototypeGetBuffer(this.bytes),
        TypedArrayPrototypeGetByteOffset(this.bytes) + start, end - start);
    }
    #malformed(what) {
      return new TypeError(this.context + ": The multipart/form-data body is malformed: " + what + ".");
    }
  }

  function unescapeName(name) {
    name = StringPrototypeReplaceAll(name, "%0A", "\n");
    name = StringPrototypeReplaceAll(name, "%0D", "\r");
    return StringPrototypeReplaceAll(name, "%22", '"');
  }
})
