// Blob and File (File API, https://w3c.github.io/FileAPI/) and FormData (XMLHttpRequest Standard 5).
//
// For other scripts:
//   internals.isBlob(value) isFile(value) isFormData(value)
//   internals.blobBytes(blob)   its bytes, a Uint8Array that must not be changed, kept or given to an app
//   internals.copyBlob(blob) blobText(blob)  a copy of its bytes, as a new Uint8Array; its text
//   internals.blobStream(blob)  a byte stream of its bytes, in pieces
//   internals.isSentWhole(blob) tells whether its bytes are sent at once, rather than in pieces
//   internals.blobType(blob)    its type, "" if unknown; internals.blobSize(blob)
//   internals.createBlob(bytes, type)        a Blob that owns the Uint8Array; type as it is to be
//   internals.composeBlob(parts, type)       a Blob of a List of strings and blobs
//   internals.createFile(bytes, name, type)  a File that owns the Uint8Array; type as in a header
//   internals.createObjectURL(blob) revokeObjectURL(url)
//   internals.blobOfURL(href)                the Blob that a blob: URL names, or null
//   internals.formDataEntries(formData)      array of { name, value }, value a string or a File
//   internals.createFormData(entries)
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayBufferPrototypeGetDetached, ArrayFrom, DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength, DataViewPrototypeGetByteOffset, DateNow, IteratorPrototype, List,
    ObjectDefineProperty, ObjectSetPrototypeOf, PromiseReject, PromiseResolve, ReflectApply, SafeMap,
    StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase,
    SymbolIterator, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { classify, decodeUtf8, encodeUtf8, randomUUID } = ops;

  const INTERNAL = { __proto__: null }; // lets the runtime construct a Blob of given bytes
  const CLASS_ARRAY_BUFFER = 12;

  // ---- Bytes ----

  // A Uint8Array over the bytes of a view or an ArrayBuffer.
  function bytesOf(source) {
    if (!ArrayBufferIsView(source)) {
      return ArrayBufferPrototypeGetDetached(source) ? new Uint8Array(0) : new Uint8Array(source);
    }
    if (TypedArrayPrototypeGetSymbolToStringTag(source) === undefined) {
      return new Uint8Array(DataViewPrototypeGetBuffer(source), DataViewPrototypeGetByteOffset(source),
        DataViewPrototypeGetByteLength(source));
    }
    const length = TypedArrayPrototypeGetByteLength(source);
    // No view can be made of a detached buffer.
    return length === 0 ? new Uint8Array(0)
      : new Uint8Array(TypedArrayPrototypeGetBuffer(source), TypedArrayPrototypeGetByteOffset(source), length);
  }

  // ["native" line endings] of text: those of Linux.
  function nativeEndings(text) {
    let result = "";
    for (let i = 0; i < text.length; i++) {
      if (text[i] !== "\r") {
        result += text[i];
        continue;
      }
      result += "\n";
      if (text[i + 1] === "\n") i++;
    }
    return result;
  }

  // What a Blob holds: pieces, Uint8Arrays that nobody writes to. Their bytes lie outside the heap. Slices and blobs
  // of blobs share large ones; small ones are joined.
  class Content {
    pieces; // a List without empty ones
    size;
    constructor(pieces, size) {
      this.pieces = pieces;
      this.size = size;
    }

    // All bytes in one piece, to be looked at.
    join() {
      const { pieces } = this;
      if (pieces.length !== 1) {
        const whole = this.copy();
        this.pieces = new List();
        if (this.size !== 0) this.pieces[0] = whole;
        return whole;
      }
      return pieces[0];
    }

    copy() {
      const whole = new Uint8Array(this.size);
      for (let i = 0, offset = 0; i < this.pieces.length; i++) {
        TypedArrayPrototypeSet(whole, this.pieces[i], offset);
        offset += TypedArrayPrototypeGetByteLength(this.pieces[i]);
      }
      return whole;
    }

    slice(from, to) {
      const builder = new Builder();
      for (let i = 0, start = 0; i < this.pieces.length && start < to; i++) {
        const piece = this.pieces[i];
        const length = TypedArrayPrototypeGetByteLength(piece);
        const first = from > start ? from - start : 0;
        const last = to < start + length ? to - start : length;
        if (first < last) builder.share(partOf(piece, first, last - first));
        start += length;
      }
      return builder.finish();
    }
  }

  const partOf = (bytes, offset, length) =>
    new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes) + offset, length);

  function contentOf(bytes) {
    const pieces = new List();
    const size = TypedArrayPrototypeGetByteLength(bytes);
    if (size !== 0) pieces[0] = bytes;
    return new Content(pieces, size);
  }

  // Puts a Content together. What is added must not change before finish().
  class Builder {
    pieces = new List();
    size = 0;
    small = new List(); // that wait to be joined
    smallSize = 0;
    isOwned = true; // the only one that waits need not be copied

    // Bytes that nobody writes to.
    share(bytes) {
      const length = TypedArrayPrototypeGetByteLength(bytes);
      if (length === 0) return;
      this.size += length;
      if (length >= SHARED_BYTES) {
        this.#flush();
        this.pieces[this.pieces.length] = bytes;
      } else {
        this.#wait(bytes, length);
      }
    }

    // Bytes of the app.
    copy(bytes) {
      const length = TypedArrayPrototypeGetByteLength(bytes);
      if (length === 0) return;
      this.size += length;
      this.#wait(bytes, length);
      this.isOwned = false;
    }

    finish() {
      this.#flush();
      return new Content(this.pieces, this.size);
    }

    #wait(bytes, length) {
      this.small[this.small.length] = bytes;
      this.smallSize += length;
    }

    #flush() {
      const { small } = this;
      if (small.length === 0) return;
      let joined = small[0];
      if (small.length !== 1 || !this.isOwned) {
        joined = new Uint8Array(this.smallSize);
        for (let i = 0, offset = 0; i < small.length; i++) {
          TypedArrayPrototypeSet(joined, small[i], offset);
          offset += TypedArrayPrototypeGetByteLength(small[i]);
        }
      }
      this.pieces[this.pieces.length] = joined;
      this.small = new List();
      this.smallSize = 0;
      this.isOwned = true;
    }
  }
  const SHARED_BYTES = 64 * 1024;

  // "Process blob parts".
  function contentOfParts(parts, endings) {
    const builder = new Builder();
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i];
      if (typeof part === "string") {
        builder.share(encodeUtf8(endings === "native" ? nativeEndings(part) : part));
      } else if (isBlob(part)) {
        const { pieces } = contentOfBlob(part);
        for (let j = 0; j < pieces.length; j++) builder.share(pieces[j]);
      } else {
        builder.copy(bytesOf(part));
      }
    }
    return builder.finish();
  }

  // sequence<BlobPart>: views, buffers and blobs stay, anything else becomes a string.
  function convertParts(parts, context) {
    return webidl.sequence(parts, context, (part) => {
      if (ArrayBufferIsView(part) || isBlob(part) || classify(part) === CLASS_ARRAY_BUFFER) return part;
      return webidl.USVString(part, context);
    });
  }

  function normalizeType(type) {
    for (let i = 0; i < type.length; i++) {
      const code = StringPrototypeCharCodeAt(type, i);
      if (code < 0x20 || code > 0x7e) return "";
    }
    return StringPrototypeToLowerCase(type);
  }

  const endingsValues = { __proto__: null, transparent: true, native: true };
  function convertBag(options, context) {
    const bag = webidl.dictionary(options, context);
    const endings = bag.endings === undefined ? "transparent"
      : webidl.enumeration(bag.endings, endingsValues, "EndingType", context);
    const type = bag.type;
    return { bag, endings, type: type === undefined ? "" : normalizeType(webidl.DOMString(type, context)) };
  }

  // ---- Blob ----

  let isBlob, contentOfBlob, blobType;

  class Blob {
    #content;
    #type;
    static {
      isBlob = (value) => webidl.isObject(value) && #content in value;
      contentOfBlob = (blob) => blob.#content;
      blobType = (blob) => blob.#type;
    }
    constructor(blobParts = undefined, options = undefined) {
      if (blobParts === INTERNAL) {
        this.#content = options.content;
        this.#type = options.type;
        return;
      }
      const context = "Failed to construct 'Blob'";
      const parts = blobParts === undefined ? [] : convertParts(blobParts, context);
      const { endings, type } = convertBag(options, context);
      this.#content = contentOfParts(parts, endings);
      this.#type = type;
    }
    get size() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      return this.#content.size;
    }
    get type() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      return this.#type;
    }
    slice(start = undefined, end = undefined, contentType = undefined) {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'slice' on 'Blob'";
      const content = this.#content;
      const { size } = content;
      const relative = (value, otherwise) => {
        if (value === undefined) return otherwise;
        const position = webidl.longLong(value, context, "clamp");
        if (position < 0) return size + position > 0 ? size + position : 0;
        return position < size ? position : size;
      };
      const from = relative(start, 0);
      const to = relative(end, size);
      const type = contentType === undefined ? "" : normalizeType(webidl.DOMString(contentType, context));
      return newBlob(content.slice(from, to), type);
    }
    stream() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      return blobStream(this);
    }
    text() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(blobText(this));
    }
    arrayBuffer() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(TypedArrayPrototypeGetBuffer(this.#content.copy()));
    }
    bytes() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(this.#content.copy());
    }
  }
  configureInterface(Blob);

  const newBlob = (content, type) => new Blob(INTERNAL, { content, type });

  const blobText = (blob) => decodeUtf8(contentOfBlob(blob).join(), false, false);

  function blobStream(blob) {
    internals.load("53_streams");
    const { pieces, size } = contentOfBlob(blob);
    let index = 0; // of the piece that is read, and where
    let at = 0;
    return internals.streams.createPieces(blob, size, (offset, length) => {
      const chunk = new Uint8Array(length);
      for (let filled = 0; filled < length;) {
        const piece = pieces[index];
        const left = TypedArrayPrototypeGetByteLength(piece) - at;
        const count = left < length - filled ? left : length - filled;
        TypedArrayPrototypeSet(chunk, partOf(piece, at, count), filled);
        filled += count;
        at += count;
        if (count === left) {
          index++;
          at = 0;
        }
      }
      return chunk;
    });
  }

  // Joining and copying cost less than a stream does; but large bodies must not lie in memory twice.
  function isSentWhole(blob) {
    const { pieces, size } = contentOfBlob(blob);
    return size <= (pieces.length === 1 ? WHOLE_BYTES : JOINED_BYTES);
  }
  const WHOLE_BYTES = 1024 * 1024;
  const JOINED_BYTES = 256 * 1024;

  // ---- blob: URLs (File API 8) ----

  const urls = new SafeMap();

  // The origin of an app is an opaque one.
  internals.createObjectURL = function createObjectURL(blob) {
    internals.requireStarted("URL.createObjectURL()");
    const url = "blob:null/" + randomUUID();
    urls.set(url, blob);
    return url;
  };
  internals.revokeObjectURL = (url) => urls.delete(url);
  internals.blobOfURL = function blobOfURL(href) {
    const hash = StringPrototypeIndexOf(href, "#");
    return urls.get(hash < 0 ? href : StringPrototypeSlice(href, 0, hash)) ?? null;
  };

  // ---- File ----

  let isFile, fileName, fileLastModified;

  class File extends Blob {
    #name;
    #lastModified;
    static {
      isFile = (value) => webidl.isObject(value) && #name in value;
      fileName = (file) => file.#name;
      fileLastModified = (file) => file.#lastModified;
    }
    constructor(fileBits, fileName, options = undefined) {
      if (fileBits === INTERNAL) {
        super(INTERNAL, options);
        this.#name = fileName;
        this.#lastModified = options.lastModified;
        return;
      }
      const context = "Failed to construct 'File'";
      webidl.requiredArguments(arguments.length, 2, context);
      const parts = convertParts(fileBits, context);
      const name = webidl.USVString(fileName, context);
      const { bag, endings, type } = convertBag(options, context);
      const lastModified = bag.lastModified;
      const modified = lastModified === undefined ? DateNow() : webidl.longLong(lastModified, context);
      super(INTERNAL, { content: contentOfParts(parts, endings), type });
      this.#name = name;
      this.#lastModified = modified;
    }
    get name() {
      if (!isFile(this)) throw webidl.illegalInvocation();
      return this.#name;
    }
    get lastModified() {
      if (!isFile(this)) throw webidl.illegalInvocation();
      return this.#lastModified;
    }
    get webkitRelativePath() {
      if (!isFile(this)) throw webidl.illegalInvocation();
      return "";
    }
  }
  configureInterface(File);

  const newFile = (content, name, type, lastModified) => new File(INTERNAL, name, { content, type, lastModified });

  // ---- FormData ----

  let entriesOf; // the entries of a FormData, or undefined for anything else
  let setEntries;

  // "Create an entry": a Blob becomes a File.
  function createEntry(name, value, filename, present, context) {
    name = webidl.USVString(name, context);
    if (!isBlob(value)) {
      if (present >= 3) throw new TypeError(context + ": parameter 2 is not of type 'Blob'.");
      return { name, value: webidl.USVString(value, context) };
    }
    if (filename === undefined && isFile(value)) return { name, value };
    const newName = filename === undefined ? "blob" : webidl.USVString(filename, context);
    const lastModified = isFile(value) ? fileLastModified(value) : DateNow();
    return { name, value: newFile(contentOfBlob(value), newName, blobType(value), lastModified) };
  }

  class FormData {
    #entries = new List();
    static {
      entriesOf = (value) => (webidl.isObject(value) && #entries in value ? value.#entries : undefined);
      setEntries = (formData, entries) => {
        formData.#entries = entries;
      };
    }
    constructor(form = undefined) {
      if (form !== undefined) {
        throw new TypeError("Failed to construct 'FormData': parameter 1 is not of type 'HTMLFormElement'.");
      }
    }
    append(name, value, filename = undefined) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'append' on 'FormData'";
      webidl.requiredArguments(arguments.length, 2, context);
      this.#entries[this.#entries.length] = createEntry(name, value, filename, arguments.length, context);
    }
    delete(name) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'delete' on 'FormData'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const entries = this.#entries;
      let kept = 0;
      for (let i = 0; i < entries.length; i++) if (entries[i].name !== name) entries[kept++] = entries[i];
      entries.length = kept;
    }
    get(name) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'get' on 'FormData'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const entries = this.#entries;
      for (let i = 0; i < entries.length; i++) if (entries[i].name === name) return entries[i].value;
      return null;
    }
    getAll(name) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getAll' on 'FormData'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const entries = this.#entries;
      const values = new List();
      for (let i = 0; i < entries.length; i++) if (entries[i].name === name) values[values.length] = entries[i].value;
      return ArrayFrom(values);
    }
    has(name) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'has' on 'FormData'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const entries = this.#entries;
      for (let i = 0; i < entries.length; i++) if (entries[i].name === name) return true;
      return false;
    }
    set(name, value, filename = undefined) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'set' on 'FormData'";
      webidl.requiredArguments(arguments.length, 2, context);
      const entry = createEntry(name, value, filename, arguments.length, context);
      const entries = this.#entries;
      let kept = 0;
      let found = false;
      for (let i = 0; i < entries.length; i++) {
        if (entries[i].name !== entry.name) entries[kept++] = entries[i];
        else if (!found) {
          found = true;
          entries[kept++] = entry;
        }
      }
      entries.length = kept;
      if (!found) entries[kept] = entry;
    }
    forEach(callback, thisArg = undefined) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'forEach' on 'FormData'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") throw new TypeError(context + ": parameter 1 is not a function.");
      for (let i = 0; i < this.#entries.length; i++) {
        const { name, value } = this.#entries[i];
        ReflectApply(callback, thisArg, [value, name, this]);
      }
    }
    entries() {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      return new FormDataIterator(this, KIND_ENTRIES);
    }
    keys() {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      return new FormDataIterator(this, KIND_KEYS);
    }
    values() {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      return new FormDataIterator(this, KIND_VALUES);
    }
  }
  configureInterface(FormData);
  ObjectDefineProperty(FormData.prototype, SymbolIterator, {
    __proto__: null, value: FormData.prototype.entries, writable: true, enumerable: false, configurable: true,
  });

  const KIND_ENTRIES = 0, KIND_KEYS = 1, KIND_VALUES = 2;

  class FormDataIterator {
    #formData;
    #kind;
    #index = 0;
    constructor(formData, kind) {
      this.#formData = formData;
      this.#kind = kind;
    }
    next() {
      if (!webidl.isObject(this) || !(#formData in this)) throw webidl.illegalInvocation();
      const entries = entriesOf(this.#formData);
      if (this.#index >= entries.length) return { value: undefined, done: true };
      const { name, value } = entries[this.#index++];
      if (this.#kind === KIND_KEYS) return { value: name, done: false };
      if (this.#kind === KIND_VALUES) return { value, done: false };
      return { value: [name, value], done: false };
    }
  }
  // Web IDL 3.7.10.2: the prototype has `next`, a toStringTag and no constructor.
  configureInterface(FormDataIterator, "FormData Iterator");
  delete FormDataIterator.prototype.constructor;
  ObjectSetPrototypeOf(FormDataIterator.prototype, IteratorPrototype);

  // ---- For the rest of the runtime ----

  internals.isBlob = isBlob;
  internals.isFile = isFile;
  internals.isFormData = (value) => entriesOf(value) !== undefined;
  internals.blobBytes = (blob) => contentOfBlob(blob).join();
  internals.copyBlob = (blob) => contentOfBlob(blob).copy();
  internals.blobText = blobText;
  internals.blobStream = blobStream;
  internals.blobSize = (blob) => contentOfBlob(blob).size;
  internals.isSentWhole = isSentWhole;
  internals.blobType = blobType;
  internals.fileName = fileName;
  internals.createBlob = (bytes, type) => newBlob(contentOf(bytes), type);
  internals.composeBlob = (parts, type) => newBlob(contentOfParts(parts, "transparent"), type);
  internals.createFile = (bytes, name, type) => newFile(contentOf(bytes), name, normalizeType(type), DateNow());
  internals.registerSerializable(isBlob, (blob) => isFile(blob)
    ? newFile(contentOfBlob(blob), fileName(blob), blobType(blob), fileLastModified(blob))
    : newBlob(contentOfBlob(blob), blobType(blob)));
  internals.formDataEntries = entriesOf;
  internals.createFormData = (entries) => {
    const formData = new FormData();
    setEntries(formData, entries);
    return formData;
  };

  internals.Blob = Blob;
  internals.File = File;
  internals.FormData = FormData;
  internals.define("Blob", Blob);
  internals.define("File", File);
  internals.define("FormData", FormData);
})
