// URL and URLSearchParams (URL Standard, https://url.spec.whatwg.org/). Parsing and serializing URLs is
// native; a URL is its href and the positions of its parts in it.
//
// For other scripts:
//   internals.isURLSearchParams(value)  internals.serializeURLSearchParams(value) -> string
//   internals.parseUrlencoded(string) -> Pairs: { slots: [name, value, ...], length }
//   internals.serializeUrlencoded(pairs) -> string
(function (ops, internals) {
  "use strict";
  const {
    ArrayFrom, IteratorPrototype, List, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor,
    ObjectSetPrototypeOf, ReflectApply, ReflectOwnKeys, StringFromCharCode, StringPrototypeCharCodeAt,
    StringPrototypeIndexOf, StringPrototypeSlice, SymbolIterator, TypeError, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetLength, Uint8Array,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { decodeUtf8, encodeUtf8, urlCanParse, urlParse, urlSet } = ops;

  const OMITTED = -1; // as a small integer
  // Indexes of the array of components, as Ada's url_aggregator has them.
  const PROTOCOL_END = 0, USERNAME_END = 1, HOST_START = 2, HOST_END = 3, PORT = 4, PATHNAME_START = 5,
    SEARCH_START = 6, HASH_START = 7;
  // Parts that urlSet can set.
  const PART_HREF = 0, PART_PROTOCOL = 1, PART_USERNAME = 2, PART_PASSWORD = 3, PART_HOST = 4, PART_HOSTNAME = 5,
    PART_PORT = 6, PART_PATHNAME = 7, PART_SEARCH = 8, PART_HASH = 9;

  const QUESTION_MARK = 0x3f, PLUS_SIGN = 0x2b, PERCENT_SIGN = 0x25, COMMERCIAL_AT = 0x40;

  const components = internals.componentsOfURL;

  // ---- application/x-www-form-urlencoded (standard 5) ----

  // Value of the hexadecimal digit with this code, or -1.
  function hexDigit(code) {
    if (code >= 0x30 && code <= 0x39) return code - 0x30;
    code |= 0x20;
    return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
  }

  // Percent-decodes, with "+" for a space. What is not ASCII stays as it is, unless it was encoded.
  function decodeComponent(string) {
    let result = "";
    let start = 0; // of what is not in result yet
    for (let i = 0; i < string.length; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      if (code === PLUS_SIGN) {
        result += StringPrototypeSlice(string, start, i) + " ";
        start = i + 1;
      } else if (code === PERCENT_SIGN && i + 2 < string.length) {
        const high = hexDigit(StringPrototypeCharCodeAt(string, i + 1));
        const low = hexDigit(StringPrototypeCharCodeAt(string, i + 2));
        if (high < 0 || low < 0) continue;
        if (high >= 8) return decodeBytes(string);
        result += StringPrototypeSlice(string, start, i) + ASCII[high * 16 + low];
        i += 2;
        start = i + 1;
      }
    }
    return start === 0 ? string : result + StringPrototypeSlice(string, start);
  }

  function decodeBytes(string) {
    const bytes = encodeUtf8(string);
    const byteLength = TypedArrayPrototypeGetLength(bytes);
    let written = 0;
    for (let i = 0; i < byteLength; i++) {
      let byte = bytes[i];
      if (byte === PLUS_SIGN) {
        byte = 0x20;
      } else if (byte === PERCENT_SIGN && i + 2 < byteLength) {
        const high = hexDigit(bytes[i + 1]);
        const low = hexDigit(bytes[i + 2]);
        if (high >= 0 && low >= 0) {
          byte = high * 16 + low;
          i += 2;
        }
      }
      bytes[written++] = byte;
    }
    const byteOffset = TypedArrayPrototypeGetByteOffset(bytes);
    const decoded = new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), byteOffset, written);
    return decodeUtf8(decoded, false, true);
  }

  // Pairs of names and values that may grow. The slots exist from the start: storing into them runs no
  // setter that an app may have put on Array.prototype.
  class Pairs {
    slots = [
      undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined,
      undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined,
    ];
    length = 0; // of the slots in use: name, value, name, value, ...
    push(name, value) {
      const { length } = this;
      if (length === this.slots.length) this.#grow();
      this.slots[length] = name;
      this.slots[length + 1] = value;
      this.length = length + 2;
    }
    #grow() {
      const { slots } = this;
      const larger = emptySlots(slots.length * 2);
      for (let i = 0; i < slots.length; i++) larger[i] = slots[i];
      this.slots = larger;
    }
  }
  const emptySlots = (length) => ArrayFrom({ __proto__: null, length });

  function parseUrlencoded(input) {
    const list = new Pairs();
    const length = input.length;
    for (let start = 0; start < length;) {
      let end = StringPrototypeIndexOf(input, "&", start);
      if (end < 0) end = length;
      if (end > start) {
        let equals = StringPrototypeIndexOf(input, "=", start);
        if (equals < 0 || equals > end) equals = end;
        list.push(decodeComponent(StringPrototypeSlice(input, start, equals)),
          equals < end ? decodeComponent(StringPrototypeSlice(input, equals + 1, end)) : "");
      }
      start = end + 1;
    }
    return list;
  }

  // Letters, digits and * - . _ stay as they are.
  function isUnreserved(code) {
    return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) ||
      code === 0x2a || code === 0x2d || code === 0x2e || code === 0x5f;
  }
  const HEX = "0123456789ABCDEF";

  function encodeComponent(string) {
    let result = "";
    let start = 0; // of what is not in result yet
    for (let i = 0; i < string.length; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      if (isUnreserved(code)) continue;
      if (code >= 0x80) return encodeBytes(string);
      result += StringPrototypeSlice(string, start, i) + (code === 0x20 ? "+" : "%" + HEX[code >> 4] + HEX[code & 15]);
      start = i + 1;
    }
    return start === 0 ? string : result + StringPrototypeSlice(string, start);
  }

  function encodeBytes(string) {
    const bytes = encodeUtf8(string);
    let result = "";
    const byteLength = TypedArrayPrototypeGetLength(bytes);
    for (let i = 0; i < byteLength; i++) {
      const byte = bytes[i];
      if (isUnreserved(byte)) result += ASCII[byte];
      else if (byte === 0x20) result += "+";
      else result += "%" + HEX[byte >> 4] + HEX[byte & 15];
    }
    return result;
  }
  const ASCII = new List();
  for (let i = 0; i < 128; i++) ASCII[i] = StringFromCharCode(i);

  function serializeUrlencoded(list) {
    const { slots } = list;
    let result = "";
    for (let i = 0; i < list.length; i += 2) {
      if (i !== 0) result += "&";
      result += encodeComponent(slots[i]) + "=" + encodeComponent(slots[i + 1]);
    }
    return result;
  }

  // ---- URLSearchParams (standard 6.2) ----

  // Pairs of a sequence of pairs, a record or a string.
  function convertInit(init, context) {
    if (!webidl.isObject(init)) {
      const string = webidl.USVString(init, context);
      return parseUrlencoded(StringPrototypeCharCodeAt(string, 0) === QUESTION_MARK ? StringPrototypeSlice(string, 1)
        : string);
    }
    const method = init[SymbolIterator];
    const list = new Pairs();
    if (method !== undefined && method !== null) {
      const toUSVString = (value) => webidl.USVString(value, context);
      webidl.sequence(init, context, (pair) => {
        const items = webidl.sequence(pair, context, toUSVString);
        if (items.length !== 2) throw new TypeError(context + ": Each pair must be a name and a value.");
        list.push(items[0], items[1]);
      }, method);
      return list;
    }
    return convertRecord(init, list, context);
  }

  function convertRecord(record, list, context) {
    const keys = ReflectOwnKeys(record);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      const descriptor = ObjectGetOwnPropertyDescriptor(record, key);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      const name = webidl.USVString(key, context);
      const value = webidl.USVString(record[key], context);
      let at = 0; // two keys may become one name when their lone surrogates are replaced
      while (at < list.length && list.slots[at] !== name) at += 2;
      if (at === list.length) list.push(name, value);
      else list.slots[at + 1] = value;
    }
    return list;
  }

  let listOf; // the list of a URLSearchParams, or undefined for anything else
  let newSearchParams; // (list, url) -> URLSearchParams of a URL
  let setList;

  class URLSearchParams {
    #list;
    #url = null; // the URL whose searchParams this is

    static {
      listOf = (value) => (webidl.isObject(value) && #list in value ? value.#list : undefined);
      newSearchParams = (list, url) => {
        const params = new URLSearchParams();
        params.#list = list;
        params.#url = url;
        return params;
      };
      setList = (params, list) => {
        params.#list = list;
      };
    }

    constructor(init = undefined) {
      this.#list = init === undefined ? new Pairs() : convertInit(init, "Failed to construct 'URLSearchParams'");
    }
    // "Update" of the standard: writes the list back into the URL.
    #update() {
      if (this.#url !== null) updateSearch(this.#url, serializeUrlencoded(this.#list));
    }
    get size() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      return this.#list.length / 2;
    }
    append(name, value) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'append' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 2, context);
      name = webidl.USVString(name, context);
      value = webidl.USVString(value, context);
      this.#list.push(name, value);
      this.#update();
    }
    delete(name, value = undefined) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'delete' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      if (value !== undefined) value = webidl.USVString(value, context);
      const list = this.#list;
      const { slots } = list;
      let kept = 0;
      for (let i = 0; i < list.length; i += 2) {
        if (slots[i] === name && (value === undefined || slots[i + 1] === value)) continue;
        slots[kept] = slots[i];
        slots[kept + 1] = slots[i + 1];
        kept += 2;
      }
      list.length = kept;
      this.#update();
    }
    get(name) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'get' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const list = this.#list;
      const { slots } = list;
      for (let i = 0; i < list.length; i += 2) if (slots[i] === name) return slots[i + 1];
      return null;
    }
    getAll(name) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getAll' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      const list = this.#list;
      const { slots } = list;
      const values = new List();
      for (let i = 0; i < list.length; i += 2) if (slots[i] === name) values[values.length] = slots[i + 1];
      return ArrayFrom(values);
    }
    has(name, value = undefined) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'has' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.USVString(name, context);
      if (value !== undefined) value = webidl.USVString(value, context);
      const list = this.#list;
      const { slots } = list;
      for (let i = 0; i < list.length; i += 2) {
        if (slots[i] === name && (value === undefined || slots[i + 1] === value)) return true;
      }
      return false;
    }
    set(name, value) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'set' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 2, context);
      name = webidl.USVString(name, context);
      value = webidl.USVString(value, context);
      const list = this.#list;
      const { slots } = list;
      let kept = 0;
      let found = false;
      for (let i = 0; i < list.length; i += 2) {
        const matches = slots[i] === name;
        if (matches && found) continue;
        slots[kept] = slots[i];
        slots[kept + 1] = matches ? value : slots[i + 1];
        if (matches) found = true;
        kept += 2;
      }
      list.length = kept;
      if (!found) list.push(name, value);
      this.#update();
    }
    sort() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      this.#list = sortPairs(this.#list);
      this.#update();
    }
    forEach(callback, thisArg = undefined) {
      if (!(#list in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'forEach' on 'URLSearchParams'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") throw new TypeError(context + ": parameter 1 is not a function.");
      for (let i = 0; i < this.#list.length; i += 2) {
        ReflectApply(callback, thisArg, [this.#list.slots[i + 1], this.#list.slots[i], this]);
      }
    }
    entries() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      return new URLSearchParamsIterator(this, KIND_ENTRIES);
    }
    keys() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      return new URLSearchParamsIterator(this, KIND_KEYS);
    }
    values() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      return new URLSearchParamsIterator(this, KIND_VALUES);
    }
    toString() {
      if (!(#list in this)) throw webidl.illegalInvocation();
      return serializeUrlencoded(this.#list);
    }
  }
  configureInterface(URLSearchParams);
  ObjectDefineProperty(URLSearchParams.prototype, SymbolIterator, {
    __proto__: null, value: URLSearchParams.prototype.entries, writable: true, enumerable: false, configurable: true,
  });

  // A merge sort, stable, by the code units of the names ("<" compares strings just so).
  function sortPairs(list) {
    const count = list.length / 2;
    let from = list.slots;
    let to = emptySlots(list.length);
    for (let width = 1; width < count; width *= 2) {
      for (let start = 0; start < count; start += 2 * width) {
        const middle = start + width < count ? start + width : count;
        const end = start + 2 * width < count ? start + 2 * width : count;
        let left = start;
        let right = middle;
        for (let i = start; i < end; i++) {
          const takeLeft = left < middle && (right >= end || !(from[2 * right] < from[2 * left]));
          const pick = takeLeft ? left++ : right++;
          to[2 * i] = from[2 * pick];
          to[2 * i + 1] = from[2 * pick + 1];
        }
      }
      const sorted = to;
      to = width === 1 ? emptySlots(list.length) : from; // the first `from` may be in use
      from = sorted;
    }
    const sorted = new Pairs();
    for (let i = 0; i < count; i++) sorted.push(from[2 * i], from[2 * i + 1]);
    return sorted;
  }

  const KIND_ENTRIES = 0, KIND_KEYS = 1, KIND_VALUES = 2;

  class URLSearchParamsIterator {
    #params;
    #kind;
    #index = 0;
    constructor(params, kind) {
      this.#params = params;
      this.#kind = kind;
    }
    next() {
      if (!webidl.isObject(this) || !(#params in this)) throw webidl.illegalInvocation();
      const list = listOf(this.#params);
      const index = this.#index;
      if (index >= list.length) return { value: undefined, done: true };
      this.#index = index + 2;
      if (this.#kind === KIND_KEYS) return { value: list.slots[index], done: false };
      if (this.#kind === KIND_VALUES) return { value: list.slots[index + 1], done: false };
      return { value: [list.slots[index], list.slots[index + 1]], done: false };
    }
  }
  // Web IDL 3.7.10.2: the prototype has `next`, a toStringTag and no constructor.
  configureInterface(URLSearchParamsIterator, "URLSearchParams Iterator");
  delete URLSearchParamsIterator.prototype.constructor;
  ObjectSetPrototypeOf(URLSearchParamsIterator.prototype, IteratorPrototype);

  // ---- URL (standard 6.1) ----

  let updateSearch; // (url, serialized query)
  const PARSED = { __proto__: null }; // in the place of a URL: its href follows, the components are there

  class URL {
    #href = "";
    #searchParams = null;
    // Positions in #href; see the components above.
    #protocolEnd = 0;
    #usernameEnd = 0;
    #hostStart = 0;
    #hostEnd = 0;
    #port = OMITTED;
    #pathnameStart = 0;
    #searchStart = OMITTED;
    #hashStart = OMITTED;

    static {
      updateSearch = (url, query) => {
        url.#take(urlSet(url.#href, PART_SEARCH, query));
      };
    }

    // The ops take what is no scalar value for U+FFFD, so that a DOMString is enough here.
    constructor(url, base = undefined) {
      if (url === PARSED) {
        this.#take(base);
        return;
      }
      const context = "Failed to construct 'URL'";
      if (typeof url !== "string") {
        webidl.requiredArguments(arguments.length, 1, context);
        url = webidl.DOMString(url, context);
      }
      if (base !== undefined) base = webidl.DOMString(base, context);
      const href = urlParse(url, base);
      if (href === null) throw invalidURL(url, base);
      this.#take(href);
    }
    static createObjectURL(obj) {
      const context = "Failed to execute 'createObjectURL' on 'URL'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (internals.isBlob === undefined || !internals.isBlob(obj)) {
        throw new TypeError(context + ": parameter 1 is not of type 'Blob'.");
      }
      return internals.createObjectURL(obj);
    }
    static revokeObjectURL(url) {
      const context = "Failed to execute 'revokeObjectURL' on 'URL'";
      webidl.requiredArguments(arguments.length, 1, context);
      const href = webidl.USVString(url, context);
      if (internals.revokeObjectURL !== undefined) internals.revokeObjectURL(href);
    }
    static canParse(url, base = undefined) {
      const context = "Failed to execute 'canParse' on 'URL'";
      webidl.requiredArguments(arguments.length, 1, context);
      url = webidl.DOMString(url, context);
      return urlCanParse(url, base === undefined ? undefined : webidl.DOMString(base, context));
    }
    static parse(url, base = undefined) {
      const context = "Failed to execute 'parse' on 'URL'";
      webidl.requiredArguments(arguments.length, 1, context);
      url = webidl.DOMString(url, context);
      const href = urlParse(url, base === undefined ? undefined : webidl.DOMString(base, context));
      return href === null ? null : new URL(PARSED, href);
    }

    // Takes the outcome of urlParse or urlSet, which have just run; null, a refused change, leaves all as it is.
    #take(href) {
      if (href === null) return;
      const parts = components();
      this.#href = href;
      this.#protocolEnd = parts[PROTOCOL_END];
      this.#usernameEnd = parts[USERNAME_END];
      this.#hostStart = parts[HOST_START];
      this.#hostEnd = parts[HOST_END];
      this.#port = parts[PORT] | 0;
      this.#pathnameStart = parts[PATHNAME_START];
      this.#searchStart = parts[SEARCH_START] | 0;
      this.#hashStart = parts[HASH_START] | 0;
    }
    #set(part, value, context) {
      this.#take(urlSet(this.#href, part, webidl.USVString(value, context)));
    }
    #refreshSearchParams() {
      if (this.#searchParams !== null) setList(this.#searchParams, parseUrlencoded(this.#query()));
    }
    // Where the host begins, behind the "@" of credentials.
    #hostBegin() {
      const start = this.#hostStart;
      if (this.#hostEnd === start) return start;
      return StringPrototypeCharCodeAt(this.#href, start) === COMMERCIAL_AT ? start + 1 : start;
    }
    // The query without its "?".
    #query() {
      if (this.#searchStart === OMITTED) return "";
      return StringPrototypeSlice(this.#href, this.#searchStart + 1,
        this.#hashStart === OMITTED ? this.#href.length : this.#hashStart);
    }

    get href() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#href;
    }
    set href(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      const context = "Failed to set the 'href' property on 'URL'";
      value = webidl.USVString(value, context);
      const href = urlSet(this.#href, PART_HREF, value);
      if (href === null) throw invalidURL(value, undefined);
      this.#take(href);
      this.#refreshSearchParams();
    }
    get origin() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      switch (this.#protocol()) {
        case "http:":
        case "https:":
        case "ws:":
        case "wss:":
        case "ftp:":
          return this.#protocol() + "//" + this.#host();
        case "blob:": {
          const path = this.#pathname();
          if (!urlCanParse(path, undefined)) return "null";
          const inner = new URL(path);
          const protocol = inner.#protocol();
          return protocol === "http:" || protocol === "https:" ? protocol + "//" + inner.#host() : "null";
        }
        default:
          return "null";
      }
    }
    #protocol() {
      return StringPrototypeSlice(this.#href, 0, this.#protocolEnd);
    }
    get protocol() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#protocol();
    }
    set protocol(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_PROTOCOL, value, "Failed to set the 'protocol' property on 'URL'");
    }
    get username() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      const start = this.#protocolEnd + 2;
      return start < this.#usernameEnd ? StringPrototypeSlice(this.#href, start, this.#usernameEnd) : "";
    }
    set username(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_USERNAME, value, "Failed to set the 'username' property on 'URL'");
    }
    get password() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#hostStart - this.#usernameEnd > 0
        ? StringPrototypeSlice(this.#href, this.#usernameEnd + 1, this.#hostStart) : "";
    }
    set password(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_PASSWORD, value, "Failed to set the 'password' property on 'URL'");
    }
    #host() {
      const start = this.#hostBegin();
      // Between an empty host and the path there may be a "/.", which belongs to neither.
      return start === this.#hostEnd ? "" : StringPrototypeSlice(this.#href, start, this.#pathnameStart);
    }
    get host() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#host();
    }
    set host(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_HOST, value, "Failed to set the 'host' property on 'URL'");
    }
    get hostname() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return StringPrototypeSlice(this.#href, this.#hostBegin(), this.#hostEnd);
    }
    set hostname(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_HOSTNAME, value, "Failed to set the 'hostname' property on 'URL'");
    }
    get port() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#port === OMITTED ? "" : "" + this.#port;
    }
    set port(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_PORT, value, "Failed to set the 'port' property on 'URL'");
    }
    #pathname() {
      const end = this.#searchStart !== OMITTED ? this.#searchStart
        : this.#hashStart !== OMITTED ? this.#hashStart : this.#href.length;
      return StringPrototypeSlice(this.#href, this.#pathnameStart, end);
    }
    get pathname() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#pathname();
    }
    set pathname(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_PATHNAME, value, "Failed to set the 'pathname' property on 'URL'");
    }
    get search() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      const query = this.#query();
      return query === "" ? "" : "?" + query;
    }
    set search(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_SEARCH, value, "Failed to set the 'search' property on 'URL'");
      this.#refreshSearchParams();
    }
    get searchParams() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#searchParams ??= newSearchParams(parseUrlencoded(this.#query()), this);
    }
    get hash() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      if (this.#hashStart === OMITTED || this.#href.length - this.#hashStart <= 1) return "";
      return StringPrototypeSlice(this.#href, this.#hashStart);
    }
    set hash(value) {
      if (!(#href in this)) throw webidl.illegalInvocation();
      this.#set(PART_HASH, value, "Failed to set the 'hash' property on 'URL'");
    }
    toJSON() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#href;
    }
    toString() {
      if (!(#href in this)) throw webidl.illegalInvocation();
      return this.#href;
    }
  }
  configureInterface(URL);

  function invalidURL(input, base) {
    return new TypeError("Invalid URL: '" + input + "'" + (base === undefined ? "" : " with base '" + base + "'"));
  }

  internals.isURLSearchParams = (value) => listOf(value) !== undefined;
  internals.serializeURLSearchParams = (params) => serializeUrlencoded(listOf(params));
  internals.parseUrlencoded = parseUrlencoded;
  internals.serializeUrlencoded = serializeUrlencoded;
  internals.URL = URL;
  internals.URLSearchParams = URLSearchParams;
  internals.define("URL", URL);
  internals.define("URLSearchParams", URLSearchParams);
})
