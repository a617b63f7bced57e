// TextEncoder and TextDecoder (Encoding Standard, https://encoding.spec.whatwg.org/) for UTF-8, UTF-16 and
// windows-1252, which "latin1" and "ascii" are labels of. The other legacy encodings are not there yet.
//
// For other scripts: internals.encoding, with both classes, and decode(decoder, bytes)
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength, DataViewPrototypeGetByteOffset,
    MathFloor, RangeError, StringPrototypeCharCodeAt, StringPrototypeIsWellFormed, StringPrototypeSlice,
    StringPrototypeSplit, StringPrototypeToLowerCase, StringPrototypeToWellFormed, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array, uncurryThis,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { classify, decodeLatin1, decodeUtf16le, decodeUtf8, encodeUtf8, encodeUtf8Into } = ops;

  const CLASS_ARRAY_BUFFER = 12, CLASS_SHARED_ARRAY_BUFFER = 13;

  // ---- Labels (standard 4.2) ----

  const labels = { __proto__: null };
  function addLabels(encoding, list) {
    const names = StringPrototypeSplit(list, " ");
    for (let i = 0; i < names.length; i++) labels[names[i]] = encoding;
  }
  addLabels("utf-8", "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8");
  addLabels("utf-16le", "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le");
  addLabels("utf-16be", "unicodefffe utf-16be");
  addLabels("windows-1252", "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 " +
    "iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252");

  // Tab, line feed, form feed, carriage return and space do not count at the ends of a label.
  const isSpace = (code) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0c || code === 0x0d;

  function encodingOf(label) {
    let start = 0;
    let end = label.length;
    while (start < end && isSpace(StringPrototypeCharCodeAt(label, start))) start++;
    while (end > start && isSpace(StringPrototypeCharCodeAt(label, end - 1))) end--;
    const trimmed = StringPrototypeSlice(label, start, end);
    // Only ASCII letters: the Kelvin sign must not become a "k".
    for (let i = 0; i < trimmed.length; i++) if (StringPrototypeCharCodeAt(trimmed, i) > 0x7f) return undefined;
    return labels[StringPrototypeToLowerCase(trimmed)];
  }

  // ---- TextEncoder ----

  // V8 keeps the bytes of so short an array in its heap, where code that it compiles reaches them at once: that is
  // faster than memory outside of the heap for them, by far.
  const SHORT = 64;
  function encodeShort(text) {
    const length = text.length;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const code = StringPrototypeCharCodeAt(text, i);
      if (code > 0x7f) return encodeShortWide(text);
      bytes[i] = code;
    }
    return bytes;
  }

  const isHigh = (code) => (code & 0xfc00) === 0xd800;
  const isLow = (code) => (code & 0xfc00) === 0xdc00;

  function encodeShortWide(text) {
    const length = text.length;
    let size = 0;
    for (let i = 0; i < length; i++) {
      const code = StringPrototypeCharCodeAt(text, i);
      size += code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
      // Two halves count as one and three bytes.
      if (isHigh(code) && i + 1 < length && isLow(StringPrototypeCharCodeAt(text, i + 1))) size -= 2;
    }
    if (size > SHORT) return encodeUtf8(text);
    const bytes = new Uint8Array(size);
    let at = 0;
    for (let i = 0; i < length; i++) {
      let code = StringPrototypeCharCodeAt(text, i);
      if (code < 0x80) {
        bytes[at++] = code;
        continue;
      }
      if (code < 0x800) {
        bytes[at++] = 0xc0 | code >> 6;
      } else {
        const next = isHigh(code) && i + 1 < length ? StringPrototypeCharCodeAt(text, i + 1) : 0;
        if (isLow(next)) {
          i++;
          code = 0x10000 + ((code & 0x3ff) << 10) + (next & 0x3ff);
          bytes[at++] = 0xf0 | code >> 18;
          bytes[at++] = 0x80 | code >> 12 & 0x3f;
        } else {
          if (isHigh(code) || isLow(code)) code = 0xfffd;
          bytes[at++] = 0xe0 | code >> 12;
        }
        bytes[at++] = 0x80 | code >> 6 & 0x3f;
      }
      bytes[at++] = 0x80 | code & 0x3f;
    }
    return bytes;
  }

  class TextEncoder {
    #brand = true;
    constructor() {}
    get encoding() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return "utf-8";
    }
    encode(input = "") {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      if (typeof input !== "string") input = webidl.DOMString(input, "Failed to execute 'encode' on 'TextEncoder'");
      return input.length <= SHORT ? encodeShort(input) : encodeUtf8(input);
    }
    encodeInto(source, destination) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      if (typeof source !== "string" || arguments.length < 2) {
        const context = "Failed to execute 'encodeInto' on 'TextEncoder'";
        webidl.requiredArguments(arguments.length, 2, context);
        source = webidl.DOMString(source, context);
      }
      // Units read * 2 ** 32 + bytes written, or one number for both.
      const both = encodeUtf8Into(source, destination);
      if (both <= 0x7fffffff) {
        if (both < 0) {
          throw new TypeError("Failed to execute 'encodeInto' on 'TextEncoder': parameter 2 is not of type 'Uint8Array'.");
        }
        return { read: both, written: both };
      }
      const read = MathFloor(both / 2 ** 32);
      return { read, written: both - read * 2 ** 32 };
    }
  }
  configureInterface(TextEncoder);

  // ---- TextDecoder ----

  // A Uint8Array over the bytes of a BufferSource, shared ones included.
  function bytesOf(input, context) {
    if (ArrayBufferIsView(input)) {
      const tag = TypedArrayPrototypeGetSymbolToStringTag(input);
      if (tag === "Uint8Array") return input;
      if (tag === undefined) {
        return new Uint8Array(DataViewPrototypeGetBuffer(input), DataViewPrototypeGetByteOffset(input),
          DataViewPrototypeGetByteLength(input));
      }
      return new Uint8Array(TypedArrayPrototypeGetBuffer(input), TypedArrayPrototypeGetByteOffset(input),
        TypedArrayPrototypeGetByteLength(input));
    }
    const kind = classify(input);
    if (kind !== CLASS_ARRAY_BUFFER && kind !== CLASS_SHARED_ARRAY_BUFFER) {
      throw new TypeError(context + ": parameter 1 is not of type 'ArrayBuffer' or an ArrayBufferView.");
    }
    return new Uint8Array(input);
  }

  // The part [start, end) of a Uint8Array, whatever its constructor's species.
  function part(bytes, start, end) {
    return new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes) + start,
      end - start);
  }

  const byteLengthOf = TypedArrayPrototypeGetByteLength;

  // How many bytes at the end are the beginning of a UTF-8 sequence that may still become a good one.
  function incompleteUtf8(bytes, length) {
    for (let back = 1; back <= 3 && back <= length; back++) {
      const byte = bytes[length - back];
      if (byte >= 0x80 && byte <= 0xbf) continue;
      let needed = 0;
      if (byte >= 0xc2 && byte <= 0xdf) needed = 2;
      else if (byte >= 0xe0 && byte <= 0xef) needed = 3;
      else if (byte >= 0xf0 && byte <= 0xf4) needed = 4;
      if (needed <= back) return 0;
      if (back >= 2) {
        const second = bytes[length - back + 1];
        if ((byte === 0xe0 && second < 0xa0) || (byte === 0xed && second > 0x9f) ||
            (byte === 0xf0 && second < 0x90) || (byte === 0xf4 && second > 0x8f)) return 0;
      }
      return back;
    }
    return 0;
  }

  // The same of UTF-16: half a code unit, a high surrogate, or both.
  function incompleteUtf16(bytes, length, bigEndian) {
    const half = length % 2;
    const units = length - half;
    if (units === 0) return half;
    const high = bigEndian ? bytes[units - 2] : bytes[units - 1];
    return (high & 0xfc) === 0xd8 ? half + 2 : half;
  }

  function swapBytes(bytes, length) {
    const swapped = new Uint8Array(length);
    for (let i = 0; i + 1 < length; i += 2) {
      swapped[i] = bytes[i + 1];
      swapped[i + 1] = bytes[i];
    }
    return swapped;
  }

  class TextDecoder {
    #encoding;
    #fatal;
    #ignoreBOM;
    #pending = null; // Uint8Array: the begun code point of a streaming decode
    #bomSeen = false;
    #streaming = false;

    constructor(label = "utf-8", options = undefined) {
      const context = "Failed to construct 'TextDecoder'";
      label = webidl.DOMString(label, context);
      const dictionary = webidl.dictionary(options, context);
      const fatal = !!dictionary.fatal;
      const ignoreBOM = !!dictionary.ignoreBOM;
      const encoding = encodingOf(label);
      if (encoding === undefined) {
        throw new RangeError(context + ": The encoding '" + label +
          "' is unknown or not supported yet; UTF-8, UTF-16LE, UTF-16BE and windows-1252 are.");
      }
      this.#encoding = encoding;
      this.#fatal = fatal;
      this.#ignoreBOM = ignoreBOM;
    }
    get encoding() {
      if (!(#encoding in this)) throw webidl.illegalInvocation();
      return this.#encoding;
    }
    get fatal() {
      if (!(#encoding in this)) throw webidl.illegalInvocation();
      return this.#fatal;
    }
    get ignoreBOM() {
      if (!(#encoding in this)) throw webidl.illegalInvocation();
      return this.#ignoreBOM;
    }
    decode(input = undefined, options = undefined) {
      if (!(#encoding in this)) throw webidl.illegalInvocation();
      if (options === undefined && !this.#streaming && this.#encoding === "utf-8" && input !== undefined) {
        const text = decodeUtf8(input, this.#fatal, this.#ignoreBOM);
        if (typeof text === "string") return text;
      }
      const context = "Failed to execute 'decode' on 'TextDecoder'";
      const bytes = input === undefined ? new Uint8Array(0) : bytesOf(input, context);
      const stream = options === undefined ? false : !!webidl.dictionary(options, context).stream;
      if (!stream && !this.#streaming && this.#encoding === "utf-8") {
        const text = decodeUtf8(bytes, this.#fatal, this.#ignoreBOM);
        if (text === null) throw invalidData(context);
        return text;
      }
      return this.#decodeInParts(bytes, stream, context);
    }
    #decodeInParts(input, stream, context) {
      if (!this.#streaming) {
        this.#pending = null;
        this.#bomSeen = false;
      }
      this.#streaming = stream;
      let bytes = input;
      if (this.#pending !== null) {
        const before = byteLengthOf(this.#pending);
        bytes = new Uint8Array(before + byteLengthOf(input));
        TypedArrayPrototypeSet(bytes, this.#pending, 0);
        TypedArrayPrototypeSet(bytes, input, before);
        this.#pending = null;
      }
      const length = byteLengthOf(bytes);
      const held = this.#incomplete(bytes, length);
      if (stream && held > 0) {
        const copy = new Uint8Array(held);
        TypedArrayPrototypeSet(copy, part(bytes, length - held, length), 0);
        this.#pending = copy;
        bytes = part(bytes, 0, length - held);
      }
      if (byteLengthOf(bytes) === 0) return "";
      const keepBOM = this.#ignoreBOM || this.#bomSeen;
      this.#bomSeen = true;
      return this.#decodeWhole(bytes, keepBOM, context);
    }
    #incomplete(bytes, length) {
      switch (this.#encoding) {
        case "utf-8": return incompleteUtf8(bytes, length);
        case "utf-16le": return incompleteUtf16(bytes, length, false);
        case "utf-16be": return incompleteUtf16(bytes, length, true);
        default: return 0;
      }
    }
    // Decodes bytes of which nothing is held back any more.
    #decodeWhole(bytes, keepBOM, context) {
      if (this.#encoding === "windows-1252") return decodeLatin1(bytes, true);
      let text;
      if (this.#encoding === "utf-8") {
        text = decodeUtf8(bytes, this.#fatal, keepBOM);
        if (text === null) throw invalidData(context);
        return text;
      }
      const length = byteLengthOf(bytes);
      const bigEndian = this.#encoding === "utf-16be";
      const cut = incompleteUtf16(bytes, length, bigEndian);
      const whole = part(bytes, 0, length - cut);
      text = decodeUtf16le(bigEndian ? swapBytes(whole, length - cut) : whole);
      if (this.#fatal && (cut > 0 || !StringPrototypeIsWellFormed(text))) throw invalidData(context);
      if (!keepBOM && StringPrototypeCharCodeAt(text, 0) === 0xfeff) text = StringPrototypeSlice(text, 1);
      text = StringPrototypeToWellFormed(text);
      return cut > 0 ? text + "\ufffd" : text;
    }
  }
  configureInterface(TextDecoder);

  function invalidData(context) {
    return new TypeError(context + ": The encoded data was not valid.");
  }

  internals.encoding = { __proto__: null, TextDecoder, TextEncoder, decode: uncurryThis(TextDecoder.prototype.decode) };
  internals.define("TextEncoder", TextEncoder);
  internals.define("TextDecoder", TextDecoder);
})
