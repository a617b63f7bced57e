// Bodies of requests and responses (Fetch Standard, 5.2 and 5.3).
//
// The body slot of a Request or Response holds the plainest thing that does: null, a string (most
// responses), SPENT once such a string was read, or a Body. Request has two more: INCOMING, the bytes that
// lie in its record, and STREAMING, those that are still to come. A stream is made only when the app reads
// `body`, and the streams script is loaded only then.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferPrototypeGetByteLength, ArrayBufferPrototypeTransfer, DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset, ObjectSetPrototypeOf, StringPrototypeCharCodeAt, StringPrototypeSlice,
    StringPrototypeToWellFormed, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { classify, copyBytes, decodeUtf8, encodeUtf8, jsonParse, requestBytes, requestText } = ops;
  const { webidl } = internals;
  const CLASS_ARRAY_BUFFER = 12;
  const CLASS_DATA_VIEW = 14;
  const CLASS_TYPED_ARRAY = 15;
  const STREAMS_SCRIPT = "53_streams";
  const BLOB_SCRIPT = "51_blob";
  const FORM_SCRIPT = "70_form_body";
  const MIME_SCRIPT = "69_mime_type";

  const TYPE_TEXT = "text/plain;charset=UTF-8";
  const TYPE_FORM = "application/x-www-form-urlencoded;charset=UTF-8";

  // A body that is more than a string. Exactly one of source and stream is set while it is unread; both
  // may be null once it was read.
  const newBody = (source, stream, type) => ({
    source, // a string, a Uint8Array that nobody else writes to, a Blob, a Recorded, or a Source (67_sources.js)
    stream, // a ReadableStream
    type, // the content-type that it brings along, or ""
    used: false, // a source that was read; a stream knows by itself
  });
  internals.newBody = newBody;

  // Bytes that lie in a request or response record. signal: reading them rejects once it is aborted; or null
  class Recorded {
    words;
    offset;
    signal;
    constructor(words, offset, signal) {
      this.words = words;
      this.offset = offset;
      this.signal = signal;
    }
  }
  const WORD_BODY_OFFSET = 9;
  const WORD_BODY_LENGTH = 10;
  internals.newRecordedBody = (words, offset, signal) => newBody(new Recorded(words, offset, signal), null, "");

  // Bytes as the value of a promise, which would ask the bytes themselves for `then`, and so Object.prototype.
  class Gathered {
    bytes;
    constructor(bytes) {
      this.bytes = bytes;
    }
  }
  ObjectSetPrototypeOf(Gathered.prototype, null);
  internals.newGathered = (bytes) => new Gathered(bytes);

  // A view of them, to be read before anything else runs.
  function viewOfRecorded({ words, offset }) {
    return new Uint8Array(TypedArrayPrototypeGetBuffer(words), 4 * offset + words[offset + WORD_BODY_OFFSET],
      words[offset + WORD_BODY_LENGTH]);
  }

  // The slot of a body that was a string or INCOMING and was read.
  const SPENT = { __proto__: null };
  internals.SPENT = SPENT;

  // The Body of a slot that is a string or SPENT, for whoever needs more of it than its string.
  internals.bodyOfSlot = function bodyOfSlot(slot) {
    if (typeof slot === "string") return newBody(slot, null, "");
    if (slot !== SPENT) return slot;
    const body = newBody(null, null, "");
    body.used = true;
    return body;
  };

  const isURLSearchParams = (value) => internals.isURLSearchParams !== undefined && internals.isURLSearchParams(value);
  const isStream = (value) => internals.streams !== undefined && internals.streams.isReadableStream(value);
  const isBlob = (value) => internals.isBlob !== undefined && internals.isBlob(value);
  const isSource = (value) => internals.isSource !== undefined && internals.isSource(value);
  const isFormData = (value) => internals.isFormData !== undefined && internals.isFormData(value);

  // "Extract a body" of the standard, for a value that is neither null nor undefined: a string or a Body.
  internals.bodyFromInit = function bodyFromInit(value, context) {
    if (typeof value === "string") return value;
    if (typeof value === "object") {
      const bytes = copyOfBufferSource(value);
      if (bytes !== null) return newBody(bytes, null, "");
      if (isStream(value)) {
        if (internals.streams.isDisturbed(value) || internals.streams.isLocked(value)) {
          throw new TypeError(context + ": The stream is locked or was already read.");
        }
        return newBody(null, value, "");
      }
      if (isURLSearchParams(value)) return newBody(internals.serializeURLSearchParams(value), null, TYPE_FORM);
      if (isBlob(value)) return newBody(value, null, internals.blobType(value));
      if (isFormData(value)) {
        internals.load(FORM_SCRIPT);
        const encoded = internals.encodeMultipart(internals.formDataEntries(value));
        return newBody(encoded, null, internals.blobType(encoded));
      }
    }
    return webidl.DOMString(value, context);
  };

  // The content-type that a slot made by bodyFromInit brings along, or "".
  internals.bodyType = (slot) => typeof slot === "string" ? TYPE_TEXT : slot.type;

  // A copy of the bytes of a BufferSource, or null for anything else.
  function copyOfBufferSource(value) {
    switch (classify(value)) {
      case CLASS_ARRAY_BUFFER:
        return copyOfRange(value, 0, ArrayBufferPrototypeGetByteLength(value));
      case CLASS_TYPED_ARRAY:
        return copyBytes(value, new Uint8Array(1));
      case CLASS_DATA_VIEW:
        return copyOfRange(DataViewPrototypeGetBuffer(value), DataViewPrototypeGetByteOffset(value),
          DataViewPrototypeGetByteLength(value));
      default:
        return null;
    }
  }

  // Not by slicing views: their species could be the app's.
  function copyOfRange(buffer, offset, length) {
    if (length >= COPIED_BYTES) return copyBytes(new Uint8Array(buffer, offset, length));
    const copy = new Uint8Array(length);
    // A detached buffer has length 0, and no view can be made of it.
    if (length !== 0) TypedArrayPrototypeSet(copy, new Uint8Array(buffer, offset, length));
    return copy;
  }

  const COPIED_BYTES = 4096; // from this size on a call saves more than it costs: the memory is not cleared before

  // ---- Reading ----

  internals.isBodyUsed = (body) => body.stream !== null ? internals.streams.isDisturbed(body.stream) : body.used;

  // It was read already, or someone holds a reader of its stream.
  const isUnusable = (body) => body.stream !== null
    ? internals.streams.isDisturbed(body.stream) || internals.streams.isLocked(body.stream)
    : body.used;
  internals.isBodyUnusable = isUnusable;

  // What a body is read as.
  const AS_TEXT = 0;
  const AS_JSON = 1;
  const AS_BYTES = 2;
  const AS_ARRAY_BUFFER = 3;
  const AS_BLOB = 4;
  const AS_FORM_DATA = 5;
  internals.bodyAs = { __proto__: null, AS_TEXT, AS_JSON, AS_BYTES, AS_ARRAY_BUFFER, AS_BLOB, AS_FORM_DATA };

  internals.unusableBody = (context) =>
    new TypeError(context + ": Body is unusable: it was already read, or a reader holds it.");

  // Takes what a usable body holds: a string, or bytes that the caller owns; if isAsyncBody, a promise of a Gathered.
  // as: what is made of it.
  internals.takeBody = function takeBody(body, as) {
    if (body.stream === null) return takeSource(body, as);
    const { streams } = internals;
    const data = streams.untouchedData(body.stream);
    if (data !== null) {
      streams.spend(body.stream);
      return ownedBy(data, as);
    }
    const source = streams.untouchedSource(body.stream);
    if (source === null) return streams.readAll(body.stream);
    streams.takeNative(body.stream);
    return internals.gather(source);
  };
  internals.isAsyncBody = (body) => body.stream !== null
    ? internals.streams.untouchedData(body.stream) === null
    : isSource(body.source);

  // Takes the source of an unread body without stream.
  function takeSource(body, as) {
    const source = body.source;
    if (source instanceof Recorded) {
      const { words, offset, signal } = source;
      if (signal !== null && internals.abort.isAborted(signal)) throw internals.abort.reason(signal);
      body.used = true;
      body.source = null;
      return as <= AS_JSON ? requestText(words, offset) : requestBytes(words, offset);
    }
    body.used = true;
    body.source = null;
    return isSource(source) ? internals.gather(source) : ownedBy(source, as);
  }

  // A string stays one, bytes that nobody else writes to are the caller's, those of a Blob are copied.
  function ownedBy(data, as) {
    if (!isBlob(data)) return data;
    return as <= AS_JSON ? internals.blobText(data) : internals.copyBlob(data);
  }

  // Frees the memory of bytes of ours, which V8 would do only when it collects garbage.
  internals.releaseBytes = function releaseBytes(bytes) {
    if (TypedArrayPrototypeGetByteLength(bytes) >= RELEASED_BYTES) {
      ArrayBufferPrototypeTransfer(TypedArrayPrototypeGetBuffer(bytes), 0);
    }
  };
  const RELEASED_BYTES = 64 * 1024;

  // The last step of "consume body" of the standard. data: a string, or bytes that become the caller's;
  // mimeType: the content-type header or null, for blobs and forms.
  internals.convertBody = function convertBody(data, as, mimeType, context) {
    switch (as) {
      case AS_TEXT: return toText(data);
      case AS_JSON: return jsonOf(data);
      case AS_BYTES: return toBytes(data);
      case AS_ARRAY_BUFFER: return exactBuffer(toBytes(data));
      case AS_BLOB:
        internals.load(BLOB_SCRIPT);
        internals.load(MIME_SCRIPT);
        return internals.createBlob(toBytes(data), internals.mimeTypes.typeOf(mimeType));
      default:
        internals.load(FORM_SCRIPT);
        return internals.parseFormBody(toBytes(data), mimeType, context);
    }
  };

  // As if the string had gone through UTF-8: no lone surrogates, no byte order mark.
  function toText(data) {
    if (typeof data !== "string") {
      const decoded = decodeUtf8(data, false, false);
      internals.releaseBytes(data);
      return decoded;
    }
    const text = StringPrototypeToWellFormed(data);
    return text.length !== 0 && StringPrototypeCharCodeAt(text, 0) === 0xfeff ? StringPrototypeSlice(text, 1) : text;
  }

  function jsonOf(data) {
    if (typeof data !== "string") {
      const value = jsonParse(data);
      if (value !== undefined) {
        internals.releaseBytes(data);
        return value;
      }
    }
    return internals.parseJSON(toText(data));
  }

  const toBytes = (data) => typeof data === "string" ? encodeUtf8(data) : data;

  function exactBuffer(bytes) {
    const buffer = TypedArrayPrototypeGetBuffer(bytes);
    const length = TypedArrayPrototypeGetByteLength(bytes);
    if (ArrayBufferPrototypeGetByteLength(buffer) === length) return buffer;
    const offset = TypedArrayPrototypeGetByteOffset(bytes);
    return TypedArrayPrototypeGetBuffer(copyOfRange(buffer, offset, length));
  }

  // ---- Streams, copies, sending ----

  // The ReadableStream of a body, made now if there is none yet.
  internals.bodyStream = function bodyStream(body) {
    if (body.stream !== null) return body.stream;
    internals.load(STREAMS_SCRIPT);
    const { streams } = internals;
    if (body.used) {
      // Whoever has read the body holds the stream.
      body.stream = streams.createBuffered("");
      streams.spend(body.stream);
      return body.stream;
    }
    let { source } = body;
    if (isSource(source)) {
      body.stream = streams.createNative(source);
    } else if (isBlob(source)) {
      body.stream = internals.blobStream(source);
    } else {
      if (source instanceof Recorded) source = takeRecorded(source);
      body.stream = source === null ? streams.createErrored(internals.abort.reason(body.source.signal))
        : streams.createBuffered(source);
    }
    body.source = null;
    return body.stream;
  };

  // The bytes of a Recorded; null if the signal was aborted.
  function takeRecorded({ words, offset, signal }) {
    return signal !== null && internals.abort.isAborted(signal) ? null : requestBytes(words, offset);
  }

  // The body of a Request that is made of another one, whose usable body this is: that one keeps its stream, which is
  // locked and disturbed from then on.
  internals.moveBody = function moveBody(body) {
    const { streams } = internals;
    const { stream } = body;
    const data = streams.untouchedData(stream);
    if (data !== null) {
      streams.spend(stream);
      return newBody(data, null, "");
    }
    if (streams.untouchedSource(stream) !== null) return newBody(streams.takeNative(stream), null, "");
    return newBody(null, streams.move(stream), "");
  };

  // "Clone a body" of the standard, for a usable one.
  internals.cloneBody = function cloneBody(body) {
    if (isSource(body.source)) internals.bodyStream(body);
    let { source } = body;
    if (body.stream !== null) {
      source = internals.streams.untouchedData(body.stream);
      if (source === null) {
        const branches = internals.streams.tee(body.stream);
        body.stream = branches[0];
        return newBody(null, branches[1], "");
      }
    }
    if (typeof source === "string" || source instanceof Recorded || isBlob(source)) return newBody(source, null, "");
    return newBody(copyBytes(source, new Uint8Array(1)), null, "");
  };

  // Marks a usable body as read and returns its string or bytes to be sent, which must not be changed or
  // kept; or null if it is one that takes time.
  internals.takeForSending = function takeForSending(body) {
    const source = body.stream === null ? body.source : internals.streams.untouchedData(body.stream);
    if (source === null || isSource(source)) return null;
    const blob = isBlob(source);
    if (blob && !internals.isSentWhole(source)) return null;
    if (body.stream === null) {
      body.used = true;
      body.source = null;
    } else {
      internals.streams.spend(body.stream);
    }
    if (typeof source === "string") return source;
    if (source instanceof Recorded) return viewOfRecorded(source);
    return blob ? internals.blobBytes(source) : source;
  };

  // What a usable body reads that lies in a record as it came, { words, offset }, or null.
  internals.recordOf = (body) => body.stream === null && body.source instanceof Recorded ? body.source : null;

  // The Source of a usable body that takes time, if nobody has touched it, or null.
  internals.sourceOfBody = function sourceOfBody({ source, stream }) {
    if (stream !== null) return internals.streams.untouchedSource(stream);
    return isSource(source) ? source : null;
  };

  // Marks such a body as read and gives the handle of its Source, for the loop to move its bytes.
  internals.takeHandle = function takeHandle(body) {
    if (body.stream !== null) return internals.streams.takeNative(body.stream).take();
    const { source } = body;
    body.used = true;
    body.source = null;
    return source.take();
  };
})
