// Forms as bodies: multipart/form-data both ways (RFC 7578, HTML 4.10.21.8, Fetch 5.3) and the reading of
// application/x-www-form-urlencoded.
//
// For other scripts:
//   internals.encodeMultipart(entries) -> a Blob with the type of such a body; it shares the bytes of large files
//   internals.parseFormBody(bytes, mimeType, context) -> FormData; throws TypeError. mimeType: the
//       content-type header or null. Large files share the bytes
(function (ops, internals) {
  "use strict";
  const {
    List, MathMax, MathMin, StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeReplaceAll,
    StringPrototypeSlice,
    StringPrototypeStartsWith, StringPrototypeToLowerCase, StringPrototypeTrim, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { isToken } = internals;
  const { decodeLatin1, decodeUtf8, encodeUtf8, indexOfBytes, randomUUID } = ops;

  internals.load("51_blob");
  internals.load("52_url");
  internals.load("69_mime_type");
  const { mimeTypes } = internals;

  function indexOrEnd(string, search, from) {
    const index = StringPrototypeIndexOf(string, search, from);
    return index < 0 ? string.length : index;
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
    const parts = new List(); // of strings and blobs
    let text = ""; // not yet a part
    for (let i = 0; i < entries.length; i++) {
      const { name, value } = entries[i];
      text += "--" + boundary + '\r\nContent-Disposition: form-data; name="' + escapeName(withCRLF(name)) + '"';
      if (typeof value === "string") {
        text += "\r\n\r\n" + withCRLF(value) + "\r\n";
      } else {
        parts[parts.length] = text + '; filename="' + escapeName(internals.fileName(value)) + '"\r\nContent-Type: ' +
          (internals.blobType(value) || "application/octet-stream") + "\r\n\r\n";
        parts[parts.length] = value;
        text = "\r\n";
      }
    }
    parts[parts.length] = text + "--" + boundary + "--\r\n";
    return internals.composeBlob(parts, "multipart/form-data; boundary=" + boundary);
  };

  // ---- Reading ----

  internals.parseFormBody = function parseFormBody(bytes, mimeType, context) {
    const type = mimeType === null ? null : mimeTypes.extract(mimeType);
    const essence = type === null ? "" : type.essence;
    if (essence === "application/x-www-form-urlencoded") {
      const list = internals.parseUrlencoded(decodeUtf8(bytes, false, true));
      const entries = new List();
      for (let i = 0; i < list.length; i += 2) entries[i / 2] = { name: list.slots[i], value: list.slots[i + 1] };
      return internals.createFormData(entries);
    }
    if (essence === "multipart/form-data") {
      const boundary = mimeTypes.parameter(type, "boundary");
      if (boundary === null) throw new TypeError(context + ": The content-type has no boundary.");
      return internals.createFormData(new MultipartReader(bytes, boundary, context).read());
    }
    throw new TypeError(context + ": The content-type is neither multipart/form-data nor " +
      "application/x-www-form-urlencoded.");
  };

  // A window on bytes: a piece of them as a string, one character for each byte, for headers. The whole as a string
  // would be as large as the upload, on the heap.
  class Window {
    bytes;
    length;
    start = 0; // of the window
    text = "";
    constructor(bytes) {
      this.bytes = bytes;
      this.length = TypedArrayPrototypeGetByteLength(bytes);
    }
    // Moves the window to `position` unless it has `size` bytes from there, or all that there are.
    #show(position, size) {
      const end = MathMin(position + size, this.length);
      if (position >= this.start && end <= this.start + this.text.length) return;
      this.start = position;
      this.text = decodeLatin1(this.view(position, MathMin(position + MathMax(size, WINDOW_BYTES), this.length)));
    }
    view(start, end) {
      return new Uint8Array(TypedArrayPrototypeGetBuffer(this.bytes),
        TypedArrayPrototypeGetByteOffset(this.bytes) + start, end - start);
    }
    startsWith(string, position) {
      this.#show(position, string.length);
      return StringPrototypeStartsWith(this.text, string, position - this.start);
    }
    slice(start, end) {
      this.#show(start, end - start);
      return StringPrototypeSlice(this.text, start - this.start, end - this.start);
    }
    // What is in UTF-8 between these positions.
    text8(start, end) {
      if (end - start <= SHORT_BYTES) {
        const text = this.slice(start, end);
        if (isASCII(text)) return text;
      }
      return decodeUtf8(this.view(start, end), false, true);
    }
    // Where the line that begins at `position` ends, before `limit`; or -1.
    endOfLine(position, limit) {
      const most = limit - position;
      for (let size = 2; ; size *= 512) { // first what the window has
        this.#show(position, MathMin(size, most));
        const index = StringPrototypeIndexOf(this.text, "\r\n", position - this.start);
        if (index >= 0) return this.start + index + 2 <= limit ? this.start + index : -1;
        if (size >= most) return -1;
      }
    }
  }
  const WINDOW_BYTES = 4 * 1024;
  const SHORT_BYTES = 256;

  const PARTS_MAX = 64 * 1024; // of a body: small ones take far more memory than bytes of it
  const HEADERS_MAX = 16 * 1024; // bytes of the headers of a part
  const SHARED_BYTES = 64 * 1024; // from this size on files share the memory of the body

  // Reads "--boundary CRLF headers CRLF CRLF content CRLF --boundary ... --". What comes before the first
  // boundary line, other than line breaks, or instead of a CRLF, makes the body malformed.
  class MultipartReader {
    window;
    delimiter;
    end; // bytes of "CRLF --boundary"
    position = 0;
    context;
    constructor(bytes, boundary, context) {
      this.window = new Window(bytes);
      this.delimiter = "--" + boundary;
      this.end = encodeUtf8("\r\n" + this.delimiter);
      this.context = context;
    }
    read() {
      const entries = new List();
      while (this.#skip("\r\n"));
      if (!this.#skip(this.delimiter)) throw this.#malformed("it does not begin with the boundary");
      while (!this.#skip("--")) {
        if (!this.#skip("\r\n")) throw this.#malformed("no line break after a boundary");
        if (entries.length === PARTS_MAX) throw this.#malformed("more than " + PARTS_MAX + " parts");
        entries[entries.length] = this.#part();
      }
      return entries;
    }
    #part() {
      const { name, filename, type } = this.#headers();
      const { window } = this;
      // An empty content may share its CRLF with the end of the headers.
      const end = indexOfBytes(window.bytes, this.end, this.position - 2);
      if (end < 0) throw this.#malformed("a part without end");
      const start = this.position;
      const contentEnd = MathMax(end, start);
      this.position = end + 2 + this.delimiter.length;
      if (filename === null) return { name, value: window.text8(start, contentEnd) };
      const content = keep(window.view(start, contentEnd));
      return { name, value: internals.createFile(content, filename, type ?? "text/plain") };
    }
    #headers() {
      let name = null;
      let filename = null;
      let type = null;
      const limit = MathMin(this.position + HEADERS_MAX, this.window.length);
      while (!this.#skip("\r\n")) {
        const end = this.window.endOfLine(this.position, limit);
        if (end < 0) throw this.#malformed("a header line without end, or headers that are too large");
        const line = this.window.slice(this.position, end);
        const colon = StringPrototypeIndexOf(line, ":");
        if (colon < 0 || !isToken(StringPrototypeSlice(line, 0, colon))) throw this.#malformed("a bad header line");
        const known = colon === 12 || colon === 19;
        const field = known ? StringPrototypeToLowerCase(StringPrototypeSlice(line, 0, colon)) : "";
        if (field === "content-disposition") {
          const value = this.window.text8(this.position + colon + 1, end);
          const disposition = this.#disposition(StringPrototypeTrim(value));
          name = disposition.name;
          filename = disposition.filename;
        } else if (field === "content-type") {
          type = StringPrototypeTrim(StringPrototypeSlice(line, colon + 1));
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
      if (StringPrototypeToLowerCase(StringPrototypeTrim(StringPrototypeSlice(value, 0, semicolon))) !== "form-data") {
        throw this.#malformed("a content-disposition other than form-data");
      }
      let position = semicolon + 1;
      while (position < value.length) {
        const equals = indexOrEnd(value, "=", position);
        const key = StringPrototypeToLowerCase(StringPrototypeTrim(StringPrototypeSlice(value, position, equals)));
        let parameter;
        if (value[equals + 1] === '"') {
          const close = indexOrEnd(value, '"', equals + 2);
          if (close === value.length) throw this.#malformed("a quote without end");
          parameter = unescapeName(StringPrototypeSlice(value, equals + 2, close));
          position = indexOrEnd(value, ";", close) + 1;
        } else {
          const end = indexOrEnd(value, ";", position);
          parameter = StringPrototypeTrim(StringPrototypeSlice(value, equals + 1, end));
          position = end + 1;
        }
        if (key === "name" && result.name === null) result.name = parameter;
        if (key === "filename" && result.filename === null) result.filename = parameter;
      }
      return result;
    }
    #skip(string) {
      if (!this.window.startsWith(string, this.position)) return false;
      this.position += string.length;
      return true;
    }
    #malformed(what) {
      return new TypeError(this.context + ": The multipart/form-data body is malformed: " + what + ".");
    }
  }

  // The bytes of a file: of a small one a copy, or it would keep the whole body in memory.
  function keep(content) {
    const length = TypedArrayPrototypeGetByteLength(content);
    if (length >= SHARED_BYTES) return content;
    const copy = new Uint8Array(length);
    TypedArrayPrototypeSet(copy, content, 0);
    return copy;
  }

  function isASCII(text) {
    for (let i = 0; i < text.length; i++) if (StringPrototypeCharCodeAt(text, i) > 0x7f) return false;
    return true;
  }

  function unescapeName(name) {
    if (StringPrototypeIndexOf(name, "%") < 0) return name;
    name = StringPrototypeReplaceAll(name, "%0A", "\n");
    name = StringPrototypeReplaceAll(name, "%0D", "\r");
    return StringPrototypeReplaceAll(name, "%22", '"');
  }
})
