// FileReader and FileReaderSync (File API 6) and ProgressEvent (XMLHttpRequest Standard 5).
//
// The bytes of a Blob are at hand: a read is two timers of 0 ms, one after which it begins and one after which it
// has ended, so that abort() may come in between.
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty, TypeError, TypedArrayPrototypeGetBuffer } = internals.primordials;
  const { configureInterface, events, webidl } = internals;
  const { EventTarget, defineHandler, dispatch } = events;
  const { base64Encode, decodeLatin1, drainMicrotasks } = ops;
  const { Event } = internals;

  internals.load("51_blob");
  internals.load("54_encoding");
  internals.load("69_mime_type");

  // First argument of the constructor for events of the runtime; nothing that an app can name.
  const INTERNAL = { __proto__: null };

  class ProgressEvent extends Event {
    #lengthComputable;
    #loaded;
    #total;

    constructor(type, eventInitDict = undefined, loaded = 0, total = 0) {
      if (type === INTERNAL) {
        super(eventInitDict);
        events.trust(this);
        this.#lengthComputable = true;
        this.#loaded = loaded;
        this.#total = total;
        return;
      }
      const context = "Failed to construct 'ProgressEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      this.#lengthComputable = !!init.lengthComputable;
      const { loaded: initLoaded } = init;
      this.#loaded = initLoaded === undefined ? 0 : webidl.double(initLoaded, context);
      const { total: initTotal } = init;
      this.#total = initTotal === undefined ? 0 : webidl.double(initTotal, context);
    }
    get lengthComputable() {
      if (!(#total in this)) throw webidl.illegalInvocation();
      return this.#lengthComputable;
    }
    get loaded() {
      if (!(#total in this)) throw webidl.illegalInvocation();
      return this.#loaded;
    }
    get total() {
      if (!(#total in this)) throw webidl.illegalInvocation();
      return this.#total;
    }
  }
  configureInterface(ProgressEvent);
  ObjectDefineProperty(ProgressEvent, "length", { __proto__: null, value: 1 });

  const EMPTY = 0;
  const LOADING = 1;
  const DONE = 2;

  const AS_BUFFER = 0;
  const AS_BINARY = 1;
  const AS_TEXT = 2;
  const AS_DATA_URL = 3;

  class FileReader extends EventTarget {
    #state = EMPTY;
    #result = null;
    #error = null;
    #timer = 0; // of the read that goes on

    constructor() {
      super();
    }
    get readyState() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state;
    }
    get result() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#result;
    }
    get error() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#error;
    }
    readAsArrayBuffer(blob) {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsArrayBuffer' on 'FileReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#read(blob, AS_BUFFER, "", context);
    }
    readAsBinaryString(blob) {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsBinaryString' on 'FileReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#read(blob, AS_BINARY, "", context);
    }
    readAsText(blob, encoding = undefined) {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsText' on 'FileReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#read(blob, AS_TEXT, encoding === undefined ? "" : webidl.DOMString(encoding, context), context);
    }
    readAsDataURL(blob) {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsDataURL' on 'FileReader'";
      webidl.requiredArguments(arguments.length, 1, context);
      this.#read(blob, AS_DATA_URL, "", context);
    }
    abort() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      this.#result = null;
      if (this.#state !== LOADING) return;
      this.#state = DONE;
      internals.clearTimer(this.#timer);
      this.#fire("abort", 0, 0);
      if (this.#state !== LOADING) this.#fire("loadend", 0, 0);
    }

    // ---- Inside ----

    // The read operation of the standard.
    #read(blob, as, label, context) {
      if (!internals.isBlob(blob)) throw new TypeError(context + ": parameter 1 is not of type 'Blob'.");
      if (this.#state === LOADING) {
        throw internals.domException(context + ": The object is already busy reading.", "InvalidStateError");
      }
      this.#timer = internals.setTimer(context, () => this.#begin(blob, as, label), 0);
      this.#state = LOADING;
      this.#result = null;
      this.#error = null;
    }
    #begin(blob, as, label) {
      // Before the event, whose listeners may begin another read.
      this.#timer = internals.setTimer("FileReader", () => this.#finish(blob, as, label), 0);
      this.#fire("loadstart", 0, internals.blobSize(blob));
    }
    // Promises that a listener resolves are followed before the next one runs, as after every callback.
    #finish(blob, as, label) {
      const timer = this.#timer;
      const size = internals.blobSize(blob);
      const context = internals.currentContext();
      if (size !== 0) {
        this.#fire("progress", size, size);
        drainMicrotasks();
        internals.enterContext(context);
      }
      if (this.#state !== LOADING || this.#timer !== timer) return; // aborted by a listener
      this.#state = DONE;
      let type = "load";
      try {
        this.#result = packaged(blob, as, label);
      } catch (error) { // no memory
        type = "error";
        this.#error = internals.domException("" + error, "NotReadableError");
      }
      this.#fire(type, size, size);
      drainMicrotasks();
      internals.enterContext(context);
      if (this.#state !== LOADING) this.#fire("loadend", size, size);
    }
    #fire(type, loaded, total) {
      dispatch(this, new ProgressEvent(INTERNAL, type, loaded, total));
    }
  }
  configureInterface(FileReader);
  const types = ["loadstart", "progress", "load", "abort", "error", "loadend"];
  for (let i = 0; i < types.length; i++) defineHandler(FileReader.prototype, types[i]);
  const states = ["EMPTY", "LOADING", "DONE"];
  for (let i = 0; i < states.length; i++) {
    const constant = { __proto__: null, value: i, writable: false, enumerable: true, configurable: false };
    ObjectDefineProperty(FileReader, states[i], constant);
    ObjectDefineProperty(FileReader.prototype, states[i], constant);
  }

  // "Package data" of the standard.
  function packaged(blob, as, label) {
    switch (as) {
      case AS_BUFFER: return TypedArrayPrototypeGetBuffer(internals.copyBlob(blob));
      case AS_BINARY: return decodeLatin1(internals.blobBytes(blob));
      case AS_TEXT: return textOf(blob, label);
      default: {
        const type = internals.blobType(blob);
        return "data:" + (type === "" ? "application/octet-stream" : type) + ";base64," +
          base64Encode(decodeLatin1(internals.blobBytes(blob)));
      }
    }
  }

  // A byte order mark says more than the label, that more than the type of the blob.
  function textOf(blob, label) {
    const bytes = internals.blobBytes(blob);
    let decoder = decoderOf(markOf(bytes) ?? label);
    if (decoder === null) {
      const mimeType = internals.mimeTypes.parse(internals.blobType(blob));
      decoder = mimeType === null ? null : decoderOf(internals.mimeTypes.parameter(mimeType, "charset") ?? "");
    }
    return internals.encoding.decode(decoder ?? decoderOf("utf-8"), bytes);
  }

  // A TextDecoder, or null if no encoding has the label.
  function decoderOf(label) {
    try {
      return new internals.encoding.TextDecoder(label);
    } catch {
      return null;
    }
  }

  function markOf(bytes) {
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
    if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
    return bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : null;
  }

  // ---- FileReaderSync ----

  function readNow(blob, as, label, context) {
    if (!internals.isBlob(blob)) throw new TypeError(context + ": parameter 1 is not of type 'Blob'.");
    return packaged(blob, as, label);
  }

  class FileReaderSync {
    #brand = true;
    constructor() {}
    readAsArrayBuffer(blob) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsArrayBuffer' on 'FileReaderSync'";
      webidl.requiredArguments(arguments.length, 1, context);
      return readNow(blob, AS_BUFFER, "", context);
    }
    readAsBinaryString(blob) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsBinaryString' on 'FileReaderSync'";
      webidl.requiredArguments(arguments.length, 1, context);
      return readNow(blob, AS_BINARY, "", context);
    }
    readAsText(blob, encoding = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsText' on 'FileReaderSync'";
      webidl.requiredArguments(arguments.length, 1, context);
      return readNow(blob, AS_TEXT, encoding === undefined ? "" : webidl.DOMString(encoding, context), context);
    }
    readAsDataURL(blob) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'readAsDataURL' on 'FileReaderSync'";
      webidl.requiredArguments(arguments.length, 1, context);
      return readNow(blob, AS_DATA_URL, "", context);
    }
  }
  configureInterface(FileReaderSync);

  internals.define("ProgressEvent", ProgressEvent);
  internals.define("FileReaderSync", FileReaderSync);
  internals.define("FileReader", FileReader);
})
