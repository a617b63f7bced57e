// TextEncoder and TextDecoder (Encoding Standard, https://encoding.spec.whatwg.org/). UTF-8, UTF-16 and windows-1252
// are decoded here, the other encodings by the Go package encodings.
//
// For other scripts: internals.encoding, with both classes, and decode(decoder, bytes)
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayBufferPrototypeGetDetached, DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength, DataViewPrototypeGetByteOffset, MathFloor, RangeError,
    StringPrototypeCharCodeAt, StringPrototypeIsWellFormed, StringPrototypeSlice, StringPrototypeToWellFormed,
    TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet,
    Uint8Array, uncurryThis,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { classify, decodeLatin1, decodeUtf16le, decodeUtf8, encodeUtf8, encodeUtf8Into } = ops;

  const CLASS_ARRAY_BUFFER = 12, CLASS_SHARED_ARRAY_BUFFER = 13;

  // ---- Labels (standard 4.2) ----

  const UTF8 = -1, UTF16LE = -2, UTF16BE = -3, WINDOWS1252 = -4;
  const decoders = { __proto__: null, "utf-8": UTF8, "utf-16le": UTF16LE, "utf-16be": UTF16BE, "windows-1252": WINDOWS1252 };

  // Labels of which many decoders are made. All others are known to Go.
  const labels = {
    __proto__: null, "utf-8": "utf-8", "utf8": "utf-8", "UTF-8": "utf-8", "utf-16le": "utf-16le",
    "latin1": "windows-1252", "ascii": "windows-1252",
  };

  // ---- TextEncoder ----

  // V8 keeps the bytes of so short an array in its heap, where code that it compiles reaches them at once: that is
  // faster than memory outside of the heap for them, by far.
  const SHORT = 64;

  // Up to so many bytes lie there if C++ gives them to a blank array made here, see heap_bytes.cc.
  const MEDIUM = 4096;

  // Optimized code calls no op as cheaply as encodeUtf8Into, which nothing has to be allocated for.
  function encodeShort(text) {
    const { length } = text;
    const bytes = new Uint8Array(length);
    return encodeUtf8Into(text, bytes) === length ? bytes : encodeUtf8(text, bytes);
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
      if (input.length <= SHORT) return encodeShort(input);
      return encodeUtf8(input, input.length <= MEDIUM ? new Uint8Array(1) : undefined);
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
        const read = both | 0; // no longer a double
        return { read, written: read };
      }
      const read = MathFloor(both / 2 ** 32);
      return { read, written: both - read * 2 ** 32 };
    }
  }
  configureInterface(TextEncoder);

  // ---- TextDecoder ----

  // A Uint8Array over the bytes of a BufferSource, shared ones included. What is detached, or out of the bounds of its
  // buffer, counts as empty; no array can be made of it.
  function bytesOf(input, context) {
    if (ArrayBufferIsView(input)) {
      const tag = TypedArrayPrototypeGetSymbolToStringTag(input);
      if (tag === undefined) {
        let length = 0;
        try {
          length = DataViewPrototypeGetByteLength(input);
        } catch {} // which it throws then
        return length === 0 ? new Uint8Array(0)
          : new Uint8Array(DataViewPrototypeGetBuffer(input), DataViewPrototypeGetByteOffset(input), length);
      }
      const length = byteLengthOf(input);
      return length === 0 ? new Uint8Array(0)
        : new Uint8Array(TypedArrayPrototypeGetBuffer(input), TypedArrayPrototypeGetByteOffset(input), length);
    }
    const kind = classify(input);
    if (kind === CLASS_SHARED_ARRAY_BUFFER) return new Uint8Array(input);
    if (kind !== CLASS_ARRAY_BUFFER) {
      throw new TypeError(context + ": parameter 1 is not of type 'ArrayBuffer' or an ArrayBufferView.");
    }
    return ArrayBufferPrototypeGetDetached(input) ? new Uint8Array(0) : new Uint8Array(input);
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

  // Go decodes so much at once.
  const PIECE = 64 << 10;

  class TextDecoder {
    #encoding;
    #decoder; // UTF8 ... WINDOWS1252, or a number for Go
    #fatal;
    #ignoreBOM;
    #pending = null; // Uint8Array: the begun code point of a streaming decode, in UTF-8 and UTF-16
    #state = 0; // the same, as Go has it
    #bomSeen = false;
    #streaming = false;

    constructor(label = "utf-8", options = undefined) {
      const context = "Failed to construct 'TextDecoder'";
      label = webidl.DOMString(label, context);
      let fatal = false, ignoreBOM = false;
      if (options !== undefined) {
        const dictionary = webidl.dictionary(options, context);
        fatal = !!dictionary.fatal;
        ignoreBOM = !!dictionary.ignoreBOM;
      }
      let encoding = labels[label];
      if (encoding === undefined) {
        const found = internals.host.encodingOf(label);
        if (found === undefined) {
          throw new RangeError(context + ": The encoding label provided ('" + label + "') is invalid.");
        }
        encoding = found[0];
        this.#decoder = decoders[encoding] ?? found[1];
      } else {
        this.#decoder = decoders[encoding];
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
      if (this.#decoder === UTF8 && options === undefined && !this.#streaming) {
        const text = decodeUtf8(input, this.#fatal, this.#ignoreBOM);
        if (typeof text === "string") return text;
      }
      const context = "Failed to execute 'decode' on 'TextDecoder'";
      if (input === undefined) input = new Uint8Array(0);
      let bytes = bytesOf(input, context);
      let stream = false;
      if (options !== undefined) {
        stream = !!webidl.dictionary(options, context).stream;
        bytes = bytesOf(input, context); // whatever a getter has done to it
      }
      if (!this.#streaming) {
        this.#pending = null;
        this.#state = 0;
        this.#bomSeen = false;
      }
      this.#streaming = stream;
      const text = this.#decoder >= 0 ? this.#decodeByGo(bytes, stream)
        : this.#decoder === WINDOWS1252 ? decodeLatin1(bytes, true)
        : this.#decodeUnicode(bytes, stream);
      if (text === null) throw new TypeError(context + ": The encoded data was not valid.");
      return text;
    }
    // The text, or null if the input is malformed, in fatal mode.
    #decodeByGo(bytes, stream) {
      const length = byteLengthOf(bytes);
      const { decodeLegacy } = internals.host;
      if (length <= PIECE && !stream) {
        return decodeLegacy(this.#decoder, this.#state, bytes, this.#fatal, true) ?? null;
      }
      let text = "";
      for (let start = 0; start < length; start += PIECE) {
        const piece = part(bytes, start, start + PIECE < length ? start + PIECE : length);
        const results = decodeLegacy(this.#decoder, this.#state, piece, this.#fatal, false);
        if (results === undefined) {
          this.#state = 0;
          return null;
        }
        text += results[0];
        this.#state = results[1];
      }
      if (stream) return text;
      const rest = decodeLegacy(this.#decoder, this.#state, new Uint8Array(0), this.#fatal, true);
      return rest === undefined ? null : text + rest;
    }
    #decodeUnicode(input, stream) {
      let bytes = input;
      if (this.#pending !== null) {
        const before = byteLengthOf(this.#pending);
        bytes = new Uint8Array(before + byteLengthOf(input));
        TypedArrayPrototypeSet(bytes, this.#pending, 0);
        TypedArrayPrototypeSet(bytes, input, before);
        this.#pending = null;
      }
      const length = byteLengthOf(bytes);
      const held = stream ? this.#incomplete(bytes, length) : 0;
      if (held > 0) {
        const copy = new Uint8Array(held);
        TypedArrayPrototypeSet(copy, part(bytes, length - held, length), 0);
        this.#pending = copy;
        bytes = part(bytes, 0, length - held);
      }
      if (length === held) return "";
      const keepBOM = this.#ignoreBOM || this.#bomSeen;
      this.#bomSeen = true;
      return this.#decoder === UTF8 ? decodeUtf8(bytes, this.#fatal, keepBOM) : this.#decodeUtf16(bytes, keepBOM);
    }
    #incomplete(bytes, length) {
      return this.#decoder === UTF8 ? incompleteUtf8(bytes, length)
        : incompleteUtf16(bytes, length, this.#decoder === UTF16BE);
    }
    // Decodes bytes of which nothing is held back any more.
    #decodeUtf16(bytes, keepBOM) {
      const length = byteLengthOf(bytes);
      const bigEndian = this.#decoder === UTF16BE;
      const cut = incompleteUtf16(bytes, length, bigEndian);
      const whole = part(bytes, 0, length - cut);
      let text = decodeUtf16le(bigEndian ? swapBytes(whole, length - cut) : whole);
      if (this.#fatal && (cut > 0 || !StringPrototypeIsWellFormed(text))) return null;
      if (!keepBOM && StringPrototypeCharCodeAt(text, 0) === 0xfeff) text = StringPrototypeSlice(text, 1);
      text = StringPrototypeToWellFormed(text);
      return cut > 0 ? text + "\ufffd" : text;
    }
  }
  configureInterface(TextDecoder);

  internals.encoding = { __proto__: null, TextDecoder, TextEncoder, decode: uncurryThis(TextDecoder.prototype.decode) };
  internals.define("TextEncoder", TextEncoder);
  internals.define("TextDecoder", TextDecoder);
})
