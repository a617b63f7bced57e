// Headers (Fetch Standard, 5.1).
//
// The headers of an incoming request stay in the words of its record until the app iterates over them or
// changes them: `get` and `has` ask a native op. The headers of a response that were given as a plain
// object never become a Headers at all unless the app asks for `response.headers`: they are header lines
// from the start, as one string.
(function (ops, internals) {
  "use strict";
  const {
    IteratorPrototype, ObjectDefineProperty, ObjectGetOwnPropertySymbols, ObjectPrototypeHasOwnProperty,
    ObjectSetPrototypeOf, ReflectApply, ReflectGetOwnPropertyDescriptor, ReflectOwnKeys, SafeMap, SafeSet,
    StringPrototypeCharCodeAt, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeSplit,
    StringPrototypeToLowerCase, StringPrototypeTrim, SymbolIterator, TypeError,
  } = internals.primordials;
  const { headLines, plainLines, proxyDetails, requestHeader, requestHeaders } = ops;
  const { webidl } = internals;

  // ---- Names and values ----

  // Usual spellings of usual names, to their lower-case form: one look-up replaces validation. Framing
  // headers (see isFraming) are not among them.
  const knownNames = new SafeMap();
  for (const name of StringPrototypeSplit(
    "Accept,Accept-Encoding,Accept-Language,Access-Control-Allow-Credentials,Access-Control-Allow-Headers," +
    "Access-Control-Allow-Methods,Access-Control-Allow-Origin,Access-Control-Expose-Headers," +
    "Access-Control-Max-Age,Age,Allow,Authorization,Cache-Control,Content-Disposition,Content-Encoding," +
    "Content-Language,Content-Range,Content-Security-Policy,Content-Type,Cookie,ETag,Expires,Host," +
    "If-Match,If-Modified-Since,If-None-Match,Last-Modified,Location,Origin,Range,Referer,Referrer-Policy," +
    "Retry-After,Server,Set-Cookie,Strict-Transport-Security,User-Agent,Vary,WWW-Authenticate," +
    "X-Content-Type-Options,X-Forwarded-For,X-Forwarded-Host,X-Forwarded-Proto,X-Frame-Options,X-Powered-By," +
    "X-Real-IP,X-Request-ID,X-Requested-With", ",")) {
    const lower = StringPrototypeToLowerCase(name);
    knownNames.set(name, lower);
    knownNames.set(lower, lower);
  }

  // The lower-case form of a header name; TypeError unless it is a token (RFC 9110, 5.6.2).
  function headerName(value, context) {
    const known = knownNames.get(value);
    return known !== undefined ? known : checkName(value, context);
  }

  function checkName(value, context) {
    const name = webidl.ByteString(value, context);
    let upper = false;
    for (let i = 0; i < name.length; i++) {
      const c = StringPrototypeCharCodeAt(name, i);
      if ((c >= 0x61 && c <= 0x7a) || c === 0x2d || (c >= 0x30 && c <= 0x39)) continue;
      if (c >= 0x41 && c <= 0x5a) {
        upper = true;
      } else if (!isTokenMark(c)) {
        throw new TypeError(context + ": Invalid name");
      }
    }
    if (name.length === 0) throw new TypeError(context + ": Invalid name");
    return upper ? StringPrototypeToLowerCase(name) : name;
  }

  // One of ! # $ % & ' * + . ^ _ ` | ~, which with letters, digits and "-" make a token.
  function isTokenMark(c) {
    return c === 0x21 || (c >= 0x23 && c <= 0x27) || c === 0x2a || c === 0x2b || c === 0x2e ||
      (c >= 0x5e && c <= 0x60) || c === 0x7c || c === 0x7e;
  }

  // Tells whether a string is a token.
  internals.isToken = function isToken(string) {
    for (let i = 0; i < string.length; i++) {
      const c = StringPrototypeCharCodeAt(string, i);
      const alphanumeric = (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || (c >= 0x30 && c <= 0x39);
      if (!alphanumeric && c !== 0x2d && !isTokenMark(c)) return false;
    }
    return string.length !== 0;
  };

  // A header value as ByteString without outer whitespace; TypeError if it holds NUL, CR or LF.
  function headerValue(value, context) {
    if (typeof value !== "string") return checkValue(value, context);
    const length = value.length;
    for (let i = 0; i < length; i++) {
      const c = StringPrototypeCharCodeAt(value, i);
      if (c < 0x20 || c > 0x7e) return checkValue(value, context);
    }
    if (length !== 0 && (StringPrototypeCharCodeAt(value, 0) === 0x20 ||
        StringPrototypeCharCodeAt(value, length - 1) === 0x20)) {
      return checkValue(value, context);
    }
    return value;
  }

  const isWhitespace = (c) => c === 0x20 || c === 0x09 || c === 0x0a || c === 0x0d;

  function checkValue(value, context) {
    const string = webidl.ByteString(value, context);
    let start = 0;
    let end = string.length;
    while (start < end && isWhitespace(StringPrototypeCharCodeAt(string, start))) start++;
    while (end > start && isWhitespace(StringPrototypeCharCodeAt(string, end - 1))) end--;
    for (let i = start; i < end; i++) {
      const c = StringPrototypeCharCodeAt(string, i);
      if (c === 0 || c === 0x0a || c === 0x0d) throw new TypeError(context + ": Invalid value");
    }
    return StringPrototypeSlice(string, start, end);
  }

  // Headers that the server itself sets, as framing and connection ask for: an app's are dropped when a
  // response is sent. Told apart by length first, which leaves most names after one comparison.
  function isFraming(name) {
    switch (name.length) {
      case 4: return name === "date";
      case 7: return name === "upgrade" || name === "trailer";
      case 10: return name === "connection" || name === "keep-alive";
      case 14: return name === "content-length";
      case 16: return name === "proxy-connection";
      case 17: return name === "transfer-encoding";
      default: return false;
    }
  }

  // Headers of one connection, or set by the runtime, which a request of fetch() goes out without: so that one
  // that came in can be passed on (RFC 9110, 7.6.1). The Host is always that of the URL.
  function isOfConnection(name) {
    switch (name.length) {
      case 2: return name === "te";
      case 4: return name === "host";
      case 6: return name === "expect";
      default: return name !== "date" && isFraming(name);
    }
  }

  // ---- Lists ----

  // A header list is a linked list: unlike an array, it cannot run into setters that an app has put on
  // Array.prototype, and appending takes no copy. `name` is in lower case.
  const newEntry = (name, value) => ({ name, value, next: null });

  // Sorts entries by name, stably, and returns the new first one (merge sort: a client chooses the names).
  function sortEntries(first) {
    if (first === null || first.next === null) return first;
    let middle = first;
    for (let end = first.next; end !== null && end.next !== null; end = end.next.next) middle = middle.next;
    const second = middle.next;
    middle.next = null;
    let left = sortEntries(first);
    let right = sortEntries(second);
    const head = newEntry("", "");
    let tail = head;
    while (left !== null && right !== null) {
      if (right.name < left.name) {
        tail.next = right;
        right = right.next;
      } else {
        tail.next = left;
        left = left.next;
      }
      tail = tail.next;
    }
    tail.next = left !== null ? left : right;
    return head.next;
  }

  // "Sort and combine" of the standard: a new list, sorted, values of one name joined, save set-cookie's.
  function sortAndCombine(first) {
    const head = newEntry("", "");
    let tail = head;
    for (let entry = first; entry !== null; entry = entry.next) {
      tail.next = newEntry(entry.name, entry.value);
      tail = tail.next;
    }
    const sorted = sortEntries(head.next);
    for (let entry = sorted; entry !== null; entry = entry.next) {
      if (entry.name === "set-cookie") continue;
      while (entry.next !== null && entry.next.name === entry.name) {
        entry.value += ", " + entry.next.value;
        entry.next = entry.next.next;
      }
    }
    return sorted;
  }

  // The only value that the constructor takes for "make an empty one".
  const EMPTY = { __proto__: null };

  // Guards (standard 5.1). A server's app may send any header, so that "request" and "response" restrict nothing.
  const GUARD_NONE = 0;
  const GUARD_IMMUTABLE = 1;
  const GUARD_NO_CORS = 2; // of a Request of mode "no-cors"

  class Headers {
    #first = null; // the list, unless it is still in #words
    #last = null;
    #words = null; // of an incoming request
    #offset = 0;
    #guard = GUARD_NONE;
    #sorted = null; // the list sorted and combined, made by iteration, dropped by changes

    constructor(init = undefined) {
      if (init === EMPTY || init === undefined) return;
      this.#fill(init, "Failed to construct 'Headers'");
    }

    append(name, value) {
      const context = "Failed to execute 'append' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      if (arguments.length < 2) webidl.requiredArguments(arguments.length, 2, context);
      const lowerName = headerName(name, context);
      const cleanValue = headerValue(value, context);
      this.#prepareChange(context);
      if (this.#guard === GUARD_NO_CORS && !this.#mayAppend(lowerName, cleanValue)) return;
      this.#append(lowerName, cleanValue);
    }

    delete(name) {
      const context = "Failed to execute 'delete' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      if (arguments.length < 1) webidl.requiredArguments(arguments.length, 1, context);
      const lowerName = headerName(name, context);
      this.#prepareChange(context);
      if (this.#guard === GUARD_NO_CORS && !noCors().mayDelete(lowerName)) return;
      this.#delete(lowerName);
    }

    get(name) {
      const context = "Failed to execute 'get' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      if (arguments.length < 1) webidl.requiredArguments(arguments.length, 1, context);
      const lowerName = headerName(name, context);
      if (this.#words !== null) return requestHeader(this.#words, this.#offset, lowerName);
      return this.#get(lowerName);
    }

    getSetCookie() {
      if (!(#first in this)) throw webidl.illegalInvocation();
      this.#materialize();
      const values = [];
      for (let entry = this.#first; entry !== null; entry = entry.next) {
        if (entry.name === "set-cookie") {
          ObjectDefineProperty(values, values.length, {
            __proto__: null, value: entry.value, writable: true, enumerable: true, configurable: true,
          });
        }
      }
      return values;
    }

    has(name) {
      const context = "Failed to execute 'has' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      if (arguments.length < 1) webidl.requiredArguments(arguments.length, 1, context);
      const lowerName = headerName(name, context);
      if (this.#words !== null) return requestHeader(this.#words, this.#offset, lowerName) !== null;
      for (let entry = this.#first; entry !== null; entry = entry.next) {
        if (entry.name === lowerName) return true;
      }
      return false;
    }

    set(name, value) {
      const context = "Failed to execute 'set' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      if (arguments.length < 2) webidl.requiredArguments(arguments.length, 2, context);
      const lowerName = headerName(name, context);
      const cleanValue = headerValue(value, context);
      this.#prepareChange(context);
      if (this.#guard === GUARD_NO_CORS && !noCors().isSafelisted(lowerName, cleanValue)) return;
      this.#set(lowerName, cleanValue);
    }

    forEach(callback, thisArgument = undefined) {
      const context = "Failed to execute 'forEach' on 'Headers'";
      if (!(#first in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") {
        throw new TypeError(context + ": parameter 1 is not of type 'Function'.");
      }
      const cursor = new Cursor();
      for (let entry = this.#nth(cursor); entry !== null; entry = this.#nth(cursor)) {
        ReflectApply(callback, thisArgument, [entry.value, entry.name, this]);
      }
    }

    entries() {
      if (!(#first in this)) throw webidl.illegalInvocation();
      return newIterator(this, KIND_ENTRIES);
    }

    keys() {
      if (!(#first in this)) throw webidl.illegalInvocation();
      return newIterator(this, KIND_KEYS);
    }

    values() {
      if (!(#first in this)) throw webidl.illegalInvocation();
      return newIterator(this, KIND_VALUES);
    }

    // ---- Inside ----

    // Turns the words of an incoming request into a list, once.
    #materialize() {
      if (this.#words === null) return;
      const flat = requestHeaders(this.#words, this.#offset);
      this.#words = null;
      let cookie = null;
      for (let i = 0; i < flat.length; i += 2) {
        if (flat[i] === "cookie" && cookie !== null) {
          cookie.value += "; " + flat[i + 1]; // RFC 6265, 5.4: cookie pairs are joined otherwise
          continue;
        }
        this.#append(flat[i], flat[i + 1]);
        if (flat[i] === "cookie") cookie = this.#last;
      }
    }

    #prepareChange(context) {
      if (this.#guard === GUARD_IMMUTABLE) throw new TypeError(context + ": Headers are immutable");
      if (this.#words !== null) this.#materialize();
      this.#sorted = null;
    }

    #mayAppend(name, value) {
      const present = this.#get(name);
      return noCors().isSafelisted(name, present === null ? value : present + ", " + value);
    }

    #append(name, value) {
      const entry = newEntry(name, value);
      if (this.#last === null) {
        this.#first = entry;
      } else {
        this.#last.next = entry;
      }
      this.#last = entry;
    }

    #get(name) {
      for (let entry = this.#first; entry !== null; entry = entry.next) {
        if (entry.name !== name) continue;
        let value = entry.value;
        for (entry = entry.next; entry !== null; entry = entry.next) {
          if (entry.name === name) value += ", " + entry.value;
        }
        return value;
      }
      return null;
    }

    // Replaces the first value and removes the others, or appends.
    #set(name, value) {
      for (let entry = this.#first; entry !== null; entry = entry.next) {
        if (entry.name !== name) continue;
        entry.value = value;
        this.#deleteAfter(entry, name);
        return;
      }
      this.#append(name, value);
    }

    #delete(name) {
      while (this.#first !== null && this.#first.name === name) this.#first = this.#first.next;
      if (this.#first === null) {
        this.#last = null;
      } else {
        this.#deleteAfter(this.#first, name);
      }
    }

    #deleteAfter(entry, name) {
      while (entry.next !== null) {
        if (entry.next.name === name) {
          entry.next = entry.next.next;
        } else {
          entry = entry.next;
        }
      }
      this.#last = entry;
    }

    // The entry of a cursor, which moves on, or null. Iteration is live: after a change the cursor
    // counts its way from the start of the new list, as the standard's index does.
    #nth(cursor) {
      this.#materialize();
      if (this.#sorted === null) this.#sorted = sortAndCombine(this.#first);
      let entry;
      if (cursor.list === this.#sorted) {
        entry = cursor.entry === null ? null : cursor.entry.next;
      } else {
        entry = this.#sorted;
        for (let i = 0; i < cursor.index && entry !== null; i++) entry = entry.next;
      }
      if (entry === null) return null;
      cursor.list = this.#sorted;
      cursor.entry = entry;
      cursor.index++;
      return entry;
    }

    // "Fill" of the standard, with a value of the union (sequence<sequence<ByteString>> or
    // record<ByteString, ByteString>). A Headers is copied without its iterator, unless that is the app's.
    #fill(init, context) {
      if ((typeof init !== "object" || init === null) && typeof init !== "function") {
        throw new TypeError(context + ": The provided value is not of type '(record<ByteString, ByteString> or " +
          "sequence<sequence<ByteString>>)'.");
      }
      const method = init[SymbolIterator];
      if (#first in init && method === entriesOfHeaders) {
        if (init.#words !== null && this.#first === null) {
          this.#words = init.#words;
          this.#offset = init.#offset;
          return;
        }
        init.#materialize();
        for (let entry = init.#first; entry !== null; entry = entry.next) this.#append(entry.name, entry.value);
        return;
      }
      if (method !== undefined && method !== null) {
        const pairs = webidl.sequence(init, context, toByteStrings, method);
        for (let i = 0; i < pairs.length; i++) {
          const pair = pairs[i];
          if (pair.length !== 2) throw new TypeError(context + ": Invalid value");
          this.#append(headerName(pair[0], context), headerValue(pair[1], context));
        }
        return;
      }
      for (let entry = recordEntries(init, context); entry !== null; entry = entry.next) {
        this.#append(headerName(entry.name, context), headerValue(entry.value, context));
      }
    }

    static {
      // The headers of the incoming request at `offset` of `words`; immutable unless `copy` is set.
      internals.headersOfRequest = function headersOfRequest(words, offset, copy) {
        const headers = new Headers(EMPTY);
        headers.#words = words;
        headers.#offset = offset;
        if (!copy) headers.#guard = GUARD_IMMUTABLE;
        return headers;
      };

      // A Headers of the `headers` member of an init dictionary, not undefined.
      internals.headersFromInit = function headersFromInit(init, context) {
        const headers = new Headers(EMPTY);
        headers.#fill(init, context);
        return headers;
      };

      // A Headers of lines that linesFromInit has made.
      internals.headersFromLines = function headersFromLines(lines) {
        const headers = new Headers(EMPTY);
        for (let start = 0; start < lines.length;) {
          const end = StringPrototypeIndexOf(lines, "\r\n", start);
          const colon = StringPrototypeIndexOf(lines, ":", start);
          headers.#append(StringPrototypeSlice(lines, start, colon), StringPrototypeSlice(lines, colon + 2, end));
          start = end + 2;
        }
        return headers;
      };

      // Copies; the copy has the guard of the original if keepGuard is set.
      internals.copyHeaders = function copyHeaders(original, keepGuard) {
        const headers = new Headers(EMPTY);
        if (original.#words !== null) {
          headers.#words = original.#words;
          headers.#offset = original.#offset;
        }
        for (let entry = original.#first; entry !== null; entry = entry.next) {
          headers.#append(entry.name, entry.value);
        }
        if (keepGuard) headers.#guard = original.#guard;
        return headers;
      };

      // The same headers, read from another place.
      internals.moveHeaders = function moveHeaders(headers, words, offset) {
        if (headers.#words === null) return;
        headers.#words = words;
        headers.#offset = offset;
      };

      internals.freezeHeaders = function freezeHeaders(headers) {
        headers.#guard = GUARD_IMMUTABLE;
      };

      // Leaves headers of a Request of mode "no-cors" what such a one may have, for good.
      internals.restrictHeaders = function restrictHeaders(headers) {
        headers.#materialize();
        let entry = headers.#first;
        headers.#first = headers.#last = headers.#sorted = null;
        headers.#guard = GUARD_NO_CORS;
        for (; entry !== null; entry = entry.next) {
          if (headers.#mayAppend(entry.name, entry.value)) headers.#append(entry.name, entry.value);
        }
      };

      internals.isHeaders = (value) => #first in value;

      // `get` and, when there is none yet, `append` for the runtime itself: name in lower case, value valid.
      internals.getHeader = function getHeader(headers, name) {
        if (headers.#words !== null) return requestHeader(headers.#words, headers.#offset, name);
        return headers.#get(name);
      };
      internals.addHeader = function addHeader(headers, name, value) {
        headers.#materialize();
        for (let entry = headers.#first; entry !== null; entry = entry.next) {
          if (entry.name === name) return;
        }
        headers.#sorted = null;
        headers.#append(name, value);
      };

      internals.removeHeader = function removeHeader(headers, name) {
        headers.#materialize();
        headers.#delete(name);
      };

      // The lines of a response head, "name: value\r\n" each, without framing headers.
      internals.headersToLines = function headersToLines(headers) {
        if (headers.#words !== null) return headLines(headers.#words, headers.#offset, false);
        let lines = "";
        for (let entry = headers.#first; entry !== null; entry = entry.next) {
          if (!isFraming(entry.name)) lines += entry.name + ": " + entry.value + "\r\n";
        }
        return lines;
      };

      // Whether headers are still those of a record.
      internals.headersLieIn = (headers, words, offset) => headers.#words === words && headers.#offset === offset;

      // The lines of a request head, without headers of the connection, be they known or named by "connection".
      internals.requestLines = function requestLines(headers) {
        if (headers.#words !== null) return headLines(headers.#words, headers.#offset, true);
        const connection = headers.#get("connection");
        const named = connection === null ? null : namedByConnection(connection);
        let lines = "";
        for (let entry = headers.#first; entry !== null; entry = entry.next) {
          const { name } = entry;
          if (!isOfConnection(name) && (named === null || !named.has(name))) {
            lines += name + ": " + entry.value + "\r\n";
          }
        }
        return lines;
      };

      internals.nextHeader = (headers, cursor) => headers.#nth(cursor);
    }
  }
  const { isHeaders, nextHeader } = internals;
  delete internals.nextHeader;

  // The rules of the guard "request-no-cors", which few apps need.
  function noCors() {
    internals.load("69_no_cors");
    return internals.noCors;
  }

  // ---- Init ----

  const toByteStrings = (value, context) => webidl.sequence(value, context, webidl.ByteString);

  // record<ByteString, ByteString>, exactly: a list of unchecked names and values.
  function recordEntries(init, context) {
    const head = newEntry("", "");
    let tail = head;
    const keys = ReflectOwnKeys(init);
    for (let i = 0; i < keys.length; i++) {
      const descriptor = ReflectGetOwnPropertyDescriptor(init, keys[i]);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      const name = webidl.ByteString(keys[i], context);
      tail.next = newEntry(name, webidl.ByteString(init[keys[i]], context));
      tail = tail.next;
    }
    return head.next;
  }

  // The names in a Connection header, or null if there are none but those that mean no header.
  function namedByConnection(value) {
    let names = null;
    const list = StringPrototypeSplit(StringPrototypeToLowerCase(value), ",");
    for (let i = 0; i < list.length; i++) {
      const name = StringPrototypeTrim(list[i]);
      if (name === "keep-alive" || name === "close" || name === "") continue;
      names ??= new SafeSet();
      names.add(name);
    }
    return names;
  }

  // The header lines of a plain object, with `typeLine` ("content-type: ...\r\n" or "") added when it has no
  // content-type; or null when the object asks for the general way, headersFromInit.
  internals.linesFromInit = function linesFromInit(init, typeLine, context, ofRequest = false) {
    if (typeof init !== "object" || init === null || init[SymbolIterator] !== undefined) return null;
    let lines = plainLines(init, typeLine);
    if (lines !== undefined) return lines;
    if (isHeaders(init) || proxyDetails(init) !== undefined || ObjectGetOwnPropertySymbols(init).length !== 0) {
      return null;
    }
    lines = "";
    for (const key in init) {
      if (!ObjectPrototypeHasOwnProperty(init, key)) continue;
      const name = headerName(key, context);
      if (typeLine !== "" && name === "content-type") typeLine = "";
      // A framing header must not be sent, but response.headers has it: only a Headers knows both.
      if (ofRequest ? isOfConnection(name) : isFraming(name)) return null;
      lines += name + ": " + headerValue(init[key], context) + "\r\n";
    }
    return lines + typeLine;
  };

  // ---- Iteration ----

  const KIND_ENTRIES = 0;
  const KIND_KEYS = 1;
  const KIND_VALUES = 2;

  // Where an iteration is: `entry`, the last one given, of the sorted `list`, and how many were given.
  class Cursor {
    index = 0;
    list = null;
    entry = null;
  }

  class HeadersIterator {
    #headers;
    #kind;
    #cursor = new Cursor();
    constructor(headers, kind) {
      this.#headers = headers;
      this.#kind = kind;
    }
    next() {
      if (!(#headers in this)) throw webidl.illegalInvocation();
      const entry = nextHeader(this.#headers, this.#cursor);
      if (entry === null) return { value: undefined, done: true };
      switch (this.#kind) {
        case KIND_KEYS: return { value: entry.name, done: false };
        case KIND_VALUES: return { value: entry.value, done: false };
        default: return { value: [entry.name, entry.value], done: false };
      }
    }
  }
  // Web IDL 3.7.10.2: the prototype of such iterators has `next`, a toStringTag and no constructor.
  internals.configureInterface(HeadersIterator, "Headers Iterator");
  delete HeadersIterator.prototype.constructor;
  ObjectSetPrototypeOf(HeadersIterator.prototype, IteratorPrototype);
  const newIterator = (headers, kind) => new HeadersIterator(headers, kind);

  internals.configureInterface(Headers);
  const entriesOfHeaders = Headers.prototype.entries;
  ObjectDefineProperty(Headers.prototype, SymbolIterator, {
    __proto__: null, value: entriesOfHeaders, writable: true, enumerable: false, configurable: true,
  });
  internals.Headers = Headers;
  internals.define("Headers", Headers);
})
