// Blob and File (File API, https://w3c.github.io/FileAPI/) and FormData (XMLHttpRequest Standard 5).
//
// For other scripts:
//   internals.isBlob(value) isFile(value) isFormData(value)
//   internals.blobBytes(blob)   its bytes, a Uint8Array that must not be changed, kept or given to an app
//   internals.blobType(blob)    its type, "" if unknown
//   internals.createBlob(bytes, type)        a Blob that owns the Uint8Array; type as in a header
//   internals.createFile(bytes, name, type)  a File that owns the Uint8Array
//   internals.formDataEntries(formData)      array of { name, value }, value a string or a File
//   internals.createFormData(entries)
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayFrom, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset, DateNow, IteratorPrototype, List, ObjectDefineProperty,
    ObjectSetPrototypeOf, PromiseReject, PromiseResolve, ReflectApply, StringPrototypeCharCodeAt,
    StringPrototypeToLowerCase, SymbolIterator, TypeError, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { classify, decodeUtf8, encodeUtf8 } = ops;

  const INTERNAL = { __proto__: null }; // lets the runtime construct a Blob of given bytes
  const CLASS_ARRAY_BUFFER = 12;

  // ---- Bytes ----

  // A Uint8Array over the bytes of a view or an ArrayBuffer.
  function bytesOf(source) {
    if (!ArrayBufferIsView(source)) return new Uint8Array(source);
    if (TypedArrayPrototypeGetSymbolToStringTag(source) === undefined) {
      return new Uint8Array(DataViewPrototypeGetBuffer(source), DataViewPrototypeGetByteOffset(source),
        DataViewPrototypeGetByteLength(source));
    }
    return new Uint8Array(TypedArrayPrototypeGetBuffer(source), TypedArrayPrototypeGetByteOffset(source),
      TypedArrayPrototypeGetByteLength(source));
  }

  function copyOf(bytes) {
    const copy = new Uint8Array(TypedArrayPrototypeGetByteLength(bytes));
    TypedArrayPrototypeSet(copy, bytes, 0);
    return copy;
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

  // "Process blob parts": one Uint8Array.
  function concatenate(parts, endings) {
    let byteLength = 0;
    const pieces = new List();
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i];
      let bytes;
      if (typeof part === "string") bytes = encodeUtf8(endings === "native" ? nativeEndings(part) : part);
      else if (isBlob(part)) bytes = blobBytes(part);
      else bytes = bytesOf(part);
      pieces[i] = bytes;
      byteLength += TypedArrayPrototypeGetByteLength(bytes);
    }
    // Nobody else writes to the bytes of a string or of a blob.
    if (parts.length === 1 && (typeof parts[0] === "string" || isBlob(parts[0]))) return pieces[0];
    const whole = new Uint8Array(byteLength);
    for (let i = 0, offset = 0; i < pieces.length; i++) {
      TypedArrayPrototypeSet(whole, pieces[i], offset);
      offset += TypedArrayPrototypeGetByteLength(pieces[i]);
    }
    return whole;
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

  let isBlob, blobBytes, blobType;

  class Blob {
    #bytes; // Uint8Array that nobody else writes to; a slice shares its buffer
    #type;
    static {
      isBlob = (value) => webidl.isObject(value) && #bytes in value;
      blobBytes = (blob) => blob.#bytes;
      blobType = (blob) => blob.#type;
    }
    constructor(blobParts = undefined, options = undefined) {
      if (blobParts === INTERNAL) {
        this.#bytes = options.bytes;
        this.#type = options.type;
        return;
      }
      const context = "Failed to construct 'Blob'";
      const parts = blobParts === undefined ? [] : convertParts(blobParts, context);
      const { endings, type } = convertBag(options, context);
      this.#bytes = concatenate(parts, endings);
      this.#type = type;
    }
    get size() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      return TypedArrayPrototypeGetByteLength(this.#bytes);
    }
    get type() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      return this.#type;
    }
    slice(start = undefined, end = undefined, contentType = undefined) {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'slice' on 'Blob'";
      const bytes = this.#bytes;
      const size = TypedArrayPrototypeGetByteLength(bytes);
      const relative = (value, otherwise) => {
        if (value === undefined) return otherwise;
        const position = webidl.longLong(value, context, "clamp");
        if (position < 0) return size + position > 0 ? size + position : 0;
        return position < size ? position : size;
      };
      const from = relative(start, 0);
      const to = relative(end, size);
      const type = contentType === undefined ? "" : normalizeType(webidl.DOMString(contentType, context));
      const part = new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes) + from,
        to > from ? to - from : 0);
      return new Blob(INTERNAL, { bytes: part, type });
    }
    stream() {
      if (!isBlob(this)) throw webidl.illegalInvocation();
      internals.load("53_streams");
      return internals.streams.createBuffered(copyOf(this.#bytes));
    }
    text() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(decodeUtf8(this.#bytes, false, false));
    }
    arrayBuffer() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(TypedArrayPrototypeGetBuffer(copyOf(this.#bytes)));
    }
    bytes() {
      if (!isBlob(this)) return PromiseReject(webidl.illegalInvocation());
      return PromiseResolve(copyOf(this.#bytes));
    }
  }
  configureInterface(Blob);

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
      super(INTERNAL, { bytes: concatenate(parts, endings), type });
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

  const newFile = (bytes, name, type, lastModified) => new File(INTERNAL, name, { bytes, type, lastModified });

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
    return { name, value: newFile(blobBytes(value), newName, blobType(value), lastModified) };
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
  internals.blobBytes = blobBytes;
  internals.blobType = blobType;
  internals.fileName = fileName;
  internals.createBlob = (bytes, type) => new Blob(INTERNAL, { bytes, type: normalizeType(type) });
  internals.createFile = (bytes, name, type) => newFile(bytes, name, normalizeType(type), DateNow());
  internals.registerSerializable(isBlob, (blob) => isFile(blob)
    ? newFile(blobBytes(blob), fileName(blob), blobType(blob), fileLastModified(blob))
    : new Blob(INTERNAL, { bytes: blobBytes(blob), type: blobType(blob) }));
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
