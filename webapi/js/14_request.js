// Request (Fetch Standard, 5.4).
//
// The request that an app's fetch() gets is two numbers, so to speak: the words of its record and where it
// starts in them. Method, URL, headers and body are read from there when the app asks.
(function (ops, internals) {
  "use strict";
  const {
    ObjectGetPrototypeOf, PromiseReject, ReflectOwnKeys, StringPrototypeStartsWith, StringPrototypeToUpperCase,
    TypeError, TypedArrayConstructors,
  } = internals.primordials;
  const { countOwn, requestBytes, requestJson, requestMethod, requestText, requestURL, urlComponents, urlParse } = ops;
  const {
    SPENT, bodyAs, bodyFromInit, bodyOfSlot, bodyStream, bodyType, cloneBody, convertBody,
    isAsyncBody, isBodyUnusable, isBodyUsed, moveBody, newBody, newRecordedBody, takeBody, unusableBody, webidl,
  } = internals;
  const {
    addHeader, copyHeaders, getHeader, headersFromInit, headersOfRequest, moveHeaders, restrictHeaders,
  } = internals;
  const { isObject, USVString: toUSVString } = webidl;

  // Words of a REQUEST record (see isolates).
  const WORD_FLAGS = 3;
  const WORD_ID = 2;
  const WORD_BODY_OFFSET = 9;
  const FLAG_STREAMS = 1 << 17;
  const METHOD_MASK = 0xff;
  const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

  const EVENTS_SCRIPT = "50_events";

  const COPIED_WORDS_MAX = 4096;

  // Body slot: the bytes lie in the record.
  const INCOMING = { __proto__: null };
  // Body slot: the bytes come by the handle -1 - id, once they are asked for.
  const STREAMING = { __proto__: null };
  // First argument of the constructor for an incoming request; nothing that an app can name.
  const FROM_RECORD = { __proto__: null };

  const set = (list) => {
    const values = { __proto__: null };
    for (let i = 0; i < list.length; i++) values[list[i]] = true;
    return values;
  };
  const CACHES = set(["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"]);
  const CREDENTIALS = set(["omit", "same-origin", "include"]);
  const DUPLEXES = set(["half"]);
  const MODES = set(["navigate", "same-origin", "no-cors", "cors"]);
  const PRIORITIES = set(["high", "low", "auto"]);
  const REDIRECTS = set(["follow", "error", "manual"]);
  const REFERRER_POLICIES = set(["", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin",
    "strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url"]);

  // What few requests differ in. Requests share the two below until one does.
  class Options {
    cache = "default";
    credentials = "same-origin";
    integrity = "";
    keepalive = false;
    mode = "cors";
    redirect = "follow";
    referrer = "about:client";
    referrerPolicy = "";
    blob = null; // that a blob: URL named when the request was made
  }
  const DEFAULT_OPTIONS = new Options();
  // As in Workers, an incoming request that is passed on by fetch() hands redirects to the client.
  const INCOMING_OPTIONS = new Options();
  INCOMING_OPTIONS.redirect = "manual";

  function copyOptions(options) {
    const copy = new Options();
    copy.cache = options.cache;
    copy.credentials = options.credentials;
    copy.integrity = options.integrity;
    copy.keepalive = options.keepalive;
    copy.mode = options.mode;
    copy.redirect = options.redirect;
    copy.referrer = options.referrer;
    copy.referrerPolicy = options.referrerPolicy;
    copy.blob = options.blob;
    return copy;
  }

  class Request {
    // A literal in one private field: until code has been optimized, each private field of an object costs a call, to
    // make and to read.
    #state = {
      words: null, // of an incoming request, or null
      offset: 0,
      isCopy: false, // of the headers in `words`: they may be changed
      url: null, // null: still in the record, like method and headers
      method: null,
      headers: null,
      body: null, // a slot, see 12_body.js
      signal: null, // made when asked for
      signalSource: null, // what aborts it: a Request, an AbortSignal, or a Gone
      options: null,
      followers: null, // calls of fetch() with this incoming request, which has no signal so far: a list
    };

    constructor(input, init = undefined, offset = 0) {
      const state = this.#state;
      if (input === FROM_RECORD) {
        state.words = init;
        state.offset = offset;
        state.options = INCOMING_OPTIONS;
        if (init[offset + WORD_BODY_OFFSET] !== 0) {
          state.body = (init[offset + WORD_FLAGS] & FLAG_STREAMS) !== 0 ? STREAMING : INCOMING;
        }
        return;
      }
      state.options = DEFAULT_OPTIONS;
      const context = "Failed to construct 'Request'";
      if (arguments.length < 1) webidl.requiredArguments(0, 1, context);
      const source = isObject(input) && #state in input ? input : null;
      const href = source === null ? toUSVString(input, context) : "";
      let members = null;
      if (init !== undefined && init !== null) {
        if (isPlainRequest(init)) {
          if (source === null && this.#pass(href, init, context)) return;
          members = init.#asInit();
        } else {
          members = readInit(init, context);
        }
      }
      if (source !== null) {
        state.url = source.#readURL();
        state.method = source.#readMethod();
        state.options = source.#state.options;
        state.signalSource = source;
      } else {
        state.url = parseURL(href, context);
        state.method = "GET";
        if (isBlobURL(state.url)) state.options = optionsOfBlob(state.url);
      }
      if (members !== null) this.#applyInit(members, context);
      state.headers = members !== null && members.headers !== undefined
        ? headersFromInit(members.headers, context)
        : source !== null ? copyHeaders(source.#readHeaders(), false) : headersFromInit({}, context);
      this.#setBody(source, members, context);
      if (state.options.mode === "no-cors") this.#restrict(context);
    }

    // What a gateway does: another URL for a request, which passes on what it has without a look at it.
    #pass(href, init, context) {
      const state = this.#state;
      const url = parseURL(href, context);
      if (isBlobURL(url)) return false;
      state.url = url;
      state.method = init.#readMethod();
      state.options = init.#state.options;
      state.signalSource = init;
      if (init.#state.body !== null) {
        const body = init.#bodyObject();
        if (isBodyUnusable(body)) throw unusableBody(context);
        state.body = body;
      }
      if (init.#state.headers === null) {
        state.words = init.#state.words;
        state.offset = init.#state.offset;
        state.isCopy = true;
      } else {
        state.headers = copyHeaders(init.#state.headers, false);
      }
      if (state.options.mode === "no-cors") this.#restrict(context);
      return true;
    }

    #applyInit(members, context) {
      const state = this.#state;
      if (members.method !== undefined) state.method = normalizeMethod(members.method, context);
      if (members.signal !== undefined) state.signalSource = members.signal;
      if (members.options !== null) state.options = members.options;
      if (members.changesOptions) state.options = changedOptions(state.options, members, context);
    }

    #restrict(context) {
      requireSimpleMethod(this.#state.method, context);
      restrictHeaders(this.#readHeaders());
    }

    // Takes the body of the init dictionary, or moves that of the request this one is made from.
    #setBody(source, members, context) {
      const state = this.#state;
      const initBody = members !== null && members.body !== undefined ? members.body : null;
      const sourceBody = source !== null ? source.#state.body : null;
      if ((initBody !== null || sourceBody !== null) && isBodiless(state.method)) {
        // Clients may send one nevertheless: it can be passed on, but not be given.
        const isPassedOn = members !== null && members.holder !== null ||
          initBody === null && isBodiless(source.#readMethod());
        if (!isPassedOn) throw new TypeError(context + ": Request with GET/HEAD method cannot have body.");
      }
      if (members !== null && members.holder !== null) {
        if (isBodyUnusable(members.holder)) throw unusableBody(context);
        state.body = members.holder;
      } else if (initBody !== null) {
        const body = bodyFromInit(initBody, context);
        if (typeof body !== "string" && body.stream !== null) {
          if (state.options.keepalive) throw new TypeError(context + ": keepalive is not supported with a stream.");
          if (members.duplex === undefined) {
            throw new TypeError(context + ": a body that is a stream needs the member duplex: 'half'.");
          }
          if (state.options.mode === "no-cors") {
            throw new TypeError(context + ": a streaming body needs mode 'cors' or 'same-origin'.");
          }
        }
        const type = bodyType(body);
        if (type !== "") addHeader(state.headers, "content-type", type);
        state.body = body;
      } else if (sourceBody !== null) {
        if (source.#isUnusable()) throw unusableBody(context);
        state.words = source.#state.words;
        state.offset = source.#state.offset;
        if (sourceBody !== INCOMING && typeof sourceBody !== "string" && sourceBody.stream) {
          state.body = moveBody(sourceBody);
        } else {
          state.body = sourceBody === STREAMING ? source.#bodyObject() : sourceBody;
          source.#state.body = SPENT;
        }
      }
    }

    get method() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#readMethod();
    }

    get url() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#readURL();
    }

    get headers() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#readHeaders();
    }

    get destination() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return "";
    }

    get referrer() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.referrer;
    }

    get referrerPolicy() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.referrerPolicy;
    }

    get mode() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.mode;
    }

    get credentials() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.credentials;
    }

    get cache() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.cache;
    }

    get redirect() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.redirect;
    }

    get integrity() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.integrity;
    }

    get keepalive() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.options.keepalive;
    }

    get duplex() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return "half";
    }

    get isReloadNavigation() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return false;
    }

    get isHistoryNavigation() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return false;
    }

    get signal() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#readSignal();
    }

    get body() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.body === null ? null : bodyStream(this.#bodyObject());
    }

    get bodyUsed() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const body = this.#state.body;
      if (body === null || body === INCOMING || body === STREAMING || typeof body === "string") return false;
      return body === SPENT || isBodyUsed(body);
    }

    arrayBuffer() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_ARRAY_BUFFER, "Failed to execute 'arrayBuffer' on 'Request'");
    }

    blob() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BLOB, "Failed to execute 'blob' on 'Request'");
    }

    bytes() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BYTES, "Failed to execute 'bytes' on 'Request'");
    }

    formData() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_FORM_DATA, "Failed to execute 'formData' on 'Request'");
    }

    json() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_JSON, "Failed to execute 'json' on 'Request'");
    }

    text() {
      if (!isRequest(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_TEXT, "Failed to execute 'text' on 'Request'");
    }

    clone() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const state = this.#state;
      if (this.#isUnusable()) throw unusableBody("Failed to execute 'clone' on 'Request'");
      const clone = new Request(FROM_RECORD, NO_RECORD, 0);
      const copy = clone.#state;
      copy.words = state.words;
      copy.offset = state.offset;
      copy.url = state.url;
      copy.method = state.method;
      copy.headers = copyHeaders(this.#readHeaders(), true);
      copy.options = state.options;
      copy.signalSource = this;
      const body = state.body === STREAMING ? this.#bodyObject() : state.body;
      copy.body = body === null || body === INCOMING || typeof body === "string" ? body : cloneBody(body);
      return clone;
    }

    // ---- Inside ----
    // The runtime reads requests by these, not by the getters above, which an app may replace.

    #readMethod() {
      const state = this.#state;
      if (state.method === null) {
        const name = METHODS[state.words[state.offset + WORD_FLAGS] & METHOD_MASK];
        state.method = name !== undefined ? name : requestMethod(state.words, state.offset);
      }
      return state.method;
    }

    #readURL() {
      const state = this.#state;
      if (state.url === null) state.url = requestURL(state.words, state.offset);
      return state.url;
    }

    #readHeaders() {
      const state = this.#state;
      if (state.headers === null) state.headers = headersOfRequest(state.words, state.offset, state.isCopy);
      return state.headers;
    }

    // The signal of a request follows what it was made from; an incoming one is aborted when its client
    // has gone away.
    #readSignal() {
      const state = this.#state;
      if (state.signal !== null) return state.signal;
      const source = state.signalSource;
      internals.load(EVENTS_SCRIPT);
      const { abort } = internals;
      if (source === null) {
        state.signal = abort.createSignal();
      } else if (source instanceof Gone) {
        state.signal = abort.createSignal();
        abort.signalAbort(state.signal, source.reason);
      } else {
        state.signal = abort.createDependentSignal([#state in source ? source.#readSignal() : source]);
      }
      return state.signal;
    }

    // What readInit reads of a Request, without making a signal or a stream of it: the other request shares its
    // body, as it would share the stream, and follows its signal.
    #asInit() {
      const members = new Init();
      if (this.#state.body !== null) members.body = members.holder = this.#bodyObject();
      members.headers = this.#readHeaders();
      members.method = this.#readMethod();
      members.signal = this;
      members.options = this.#state.options;
      return members;
    }

    // The signal that a fetch of the request is to follow, without making one; null: none was given. If it is
    // that of an incoming request, the call is told without a signal.
    #givenSignal(call) {
      let request = this;
      while (request.#state.signal === null) {
        const source = request.#state.signalSource;
        if (source === null) {
          request.#follow(call);
          return null;
        }
        if (source instanceof Gone) return request.#readSignal();
        if (!(#state in source)) return source;
        request = source;
      }
      return request.#state.signal;
    }

    // Tells a call when the client goes away. Those that wait no more are forgotten: a request may live for long.
    #follow(call) {
      let kept = call;
      for (let other = this.#state.followers, next; other !== null; other = next) {
        next = other.nextFollower;
        if (!other.isWaiting()) continue;
        other.nextFollower = kept;
        kept = other;
      }
      this.#state.followers = kept;
    }

    #isUnusable() {
      const body = this.#state.body;
      if (body === null || body === INCOMING || body === STREAMING || typeof body === "string") return false;
      return body === SPENT || isBodyUnusable(body);
    }

    #bodyObject() {
      const state = this.#state;
      if (state.body === INCOMING) {
        state.body = newRecordedBody(state.words, state.offset, null);
      } else if (state.body === STREAMING) {
        const handle = -1 - state.words[state.offset + WORD_ID];
        state.body = newBody(internals.newSource(handle, "", state.words, state.offset), null, "");
      } else {
        state.body = bodyOfSlot(state.body);
      }
      return state.body;
    }

    // No promise is resolved with another one, which would call Promise.prototype.then of the app.
    async #consume(as, context) {
      const state = this.#state;
      const mimeType = as >= bodyAs.AS_BLOB ? getHeader(this.#readHeaders(), "content-type") : null;
      const body = state.body;
      if (body === null) return convertBody("", as, mimeType, context);
      let data;
      if (body === INCOMING) {
        state.body = SPENT;
        if (as === bodyAs.AS_JSON) {
          const value = requestJson(state.words, state.offset);
          if (value !== undefined) return value;
        }
        data = as <= bodyAs.AS_JSON
          ? requestText(state.words, state.offset)
          : requestBytes(state.words, state.offset);
      } else {
        if (this.#isUnusable()) throw unusableBody(context);
        const holder = this.#bodyObject();
        const waits = isAsyncBody(holder);
        data = takeBody(holder, as);
        if (waits) data = (await data).bytes;
      }
      return convertBody(data, as, mimeType, context);
    }

    static {
      internals.requestFromRecord = (words, offset) => new Request(FROM_RECORD, words, offset);
      internals.isRequest = (value) => typeof value === "object" && value !== null && #state in value;

      // What a cache must know of a request: nothing of the app runs.
      internals.requestParts = (request) => ({
        __proto__: null, method: request.#readMethod(), url: request.#readURL(), headers: request.#readHeaders(),
      });

      // What fetch() sends, to a Call of 60_fetch.js. The body is taken.
      internals.readRequest = function readRequest(request, call, context) {
        if (request.#isUnusable()) throw unusableBody(context);
        call.method = request.#readMethod();
        call.url = request.#readURL();
        const options = request.#state.options;
        call.redirect = options.redirect;
        call.integrity = options.integrity;
        call.blob = options.blob;
        call.signal = request.#givenSignal(call);
        if (request.#state.headers === null) call.setLines(request.#state.words, request.#state.offset);
        else call.setHeaders(request.#state.headers);
        const body = request.#state.body;
        if (body === null) return;
        call.body = typeof body === "string" ? body : request.#bodyObject();
        request.#state.body = SPENT;
      };

      // Ends the body of an incoming request that streams, wherever it is by now: no more of it will come.
      internals.endRequestBody = function endRequestBody(request, words, offset, why) {
        if ((words[offset + WORD_FLAGS] & FLAG_STREAMS) === 0) return;
        if (request !== null && request.#state.body === STREAMING) {
          request.#state.body = SPENT;
          return;
        }
        const handle = -1 - words[offset + WORD_ID];
        const source = internals.io.sourceOf(handle);
        if (source === null) return;
        internals.io.forget(handle);
        source.fail(internals.domException(why, "AbortError"));
      };

      // An exchange is to live for long, since its response streams or is a WebSocket. What it keeps of the
      // request becomes a copy: the arena holds the records of many others, unless this one fills it.
      internals.copyRecord = function copyRecord(exchange) {
        const { words, offset, request } = exchange;
        if (words[offset] > COPIED_WORDS_MAX) return;
        const copy = new TypedArrayConstructors.Int32Array(words[offset]);
        for (let i = 0; i < words[offset]; i++) copy[i] = words[offset + i];
        exchange.words = copy;
        exchange.offset = 0;
        if (request === null || request.#state.words !== words) return;
        request.#state.words = copy;
        request.#state.offset = 0;
        if (request.#state.headers !== null) moveHeaders(request.#state.headers, copy, 0);
      };

      // Aborts the signal of an incoming request, made already or not.
      internals.abortRequest = function abortRequest(request, reason) {
        for (let call = request.#state.followers; call !== null; call = call.nextFollower) call.leave(reason);
        request.#state.followers = null;
        if (request.#state.signal !== null) {
          internals.abort.signalAbort(request.#state.signal, reason);
        } else {
          request.#state.signalSource = new Gone(reason);
        }
      };
    }
  }

  class Gone {
    reason = undefined;
    constructor(reason) {
      this.reason = reason;
    }
  }
  // Words of a request without body, for the constructor.
  const NO_RECORD = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  // How many properties of its own, all private, a Request has to which nothing was added.
  const OWN_PARTS = countOwn(new Request(FROM_RECORD, NO_RECORD));

  // ---- Parts of the constructor ----

  const isAbortSignal = (value) => internals.abort !== undefined && internals.abort.isAbortSignal(value);

  // The members of a RequestInit, converted, in the order that Web IDL prescribes.
  function readInit(init, context) {
    if (typeof init !== "object" && typeof init !== "function") {
      throw new TypeError(context + ": The provided value is not of type 'RequestInit'.");
    }
    const members = new Init();
    const choice = (value, values, name) =>
      value === undefined ? undefined : webidl.enumeration(value, values, name, context);
    const text = (value) => value === undefined ? undefined : webidl.DOMString(value, context);
    members.body = init.body;
    members.cache = choice(init.cache, CACHES, "RequestCache");
    members.credentials = choice(init.credentials, CREDENTIALS, "RequestCredentials");
    members.duplex = choice(init.duplex, DUPLEXES, "RequestDuplex");
    members.headers = init.headers;
    members.integrity = text(init.integrity);
    const { keepalive } = init;
    members.keepalive = keepalive === undefined ? undefined : !!keepalive;
    const { method } = init;
    members.method = method === undefined ? undefined : webidl.ByteString(method, context);
    members.mode = choice(init.mode, MODES, "RequestMode");
    choice(init.priority, PRIORITIES, "RequestPriority");
    members.redirect = choice(init.redirect, REDIRECTS, "RequestRedirect");
    const { referrer } = init;
    members.referrer = referrer === undefined ? undefined : webidl.USVString(referrer, context);
    members.referrerPolicy = choice(init.referrerPolicy, REFERRER_POLICIES, "ReferrerPolicy");
    const { signal } = init;
    if (signal !== undefined && signal !== null && !isAbortSignal(signal)) {
      throw new TypeError(context + ": member signal is not of type AbortSignal.");
    }
    members.signal = signal;
    const { window } = init;
    if (window !== undefined && window !== null) throw new TypeError(context + ": 'window' is not null.");
    members.changesOptions = members.cache !== undefined || members.credentials !== undefined ||
      members.integrity !== undefined || members.keepalive !== undefined || members.mode !== undefined ||
      members.redirect !== undefined || members.referrer !== undefined || members.referrerPolicy !== undefined;
    return members;
  }

  // The options of a request as an init dictionary changes them.
  function changedOptions(original, members, context) {
    if (members.mode === "navigate") throw new TypeError(context + ": mode 'navigate' is not allowed.");
    const options = copyOptions(original);
    if (members.cache !== undefined) options.cache = members.cache;
    if (members.credentials !== undefined) options.credentials = members.credentials;
    if (members.integrity !== undefined) options.integrity = members.integrity;
    if (members.keepalive !== undefined) options.keepalive = members.keepalive;
    if (members.mode !== undefined) options.mode = members.mode;
    if (members.redirect !== undefined) options.redirect = members.redirect;
    if (members.referrerPolicy !== undefined) options.referrerPolicy = members.referrerPolicy;
    if (members.referrer === "") {
      options.referrer = "";
    } else if (members.referrer !== undefined) {
      parseAnyURL(members.referrer, context);
      // No URL is of the same origin as a server's app, so that all of them mean the client.
      options.referrer = "about:client";
    }
    if (options.cache === "only-if-cached" && options.mode !== "same-origin") {
      throw new TypeError(context + ": 'only-if-cached' can be set only with 'same-origin' mode.");
    }
    return options;
  }

  function requireSimpleMethod(method, context) {
    if (method === "GET" || method === "HEAD" || method === "POST") return;
    throw new TypeError(context + ": '" + method + "' is not allowed in mode 'no-cors'.");
  }

  const isBlobURL = (href) => StringPrototypeStartsWith(href, "blob:");

  // A request keeps the Blob that its URL names, though that be revoked meanwhile.
  function optionsOfBlob(href) {
    const options = new Options();
    options.blob = internals.blobOfURL === undefined ? null : internals.blobOfURL(href);
    return options;
  }

  // A Request to which nothing was added: reading its members runs no code of the app.
  const isPlainRequest = (value) => isRequest(value) && ObjectGetPrototypeOf(value) === Request.prototype &&
    (OWN_PARTS < 0 ? ReflectOwnKeys(value).length === 0 : countOwn(value) === OWN_PARTS);

  class Init {
    body = undefined;
    holder = null; // the body, if it is a Body that another request has as well
    options = null; // all of them at once
    cache = undefined;
    credentials = undefined;
    duplex = undefined;
    headers = undefined;
    integrity = undefined;
    keepalive = undefined;
    method = undefined;
    mode = undefined;
    redirect = undefined;
    referrer = undefined;
    referrerPolicy = undefined;
    signal = undefined;
    changesOptions = false;
  }

  function parseAnyURL(input, context) {
    const href = urlParse(input, undefined);
    if (href === null) throw new TypeError(context + ": Failed to parse URL from " + input);
    return href;
  }

  // The array that the parser of URLs fills once it exists. Not kept at boot: a restored isolate has another one.
  const componentsOfURL = () => internals.urlComponents ??= urlComponents();
  internals.componentsOfURL = componentsOfURL;

  // An absolute URL without user name and password.
  function parseURL(input, context) {
    const components = componentsOfURL(); // before parsing
    const href = parseAnyURL(input, context);
    const protocolEnd = components[0];
    const usernameEnd = components[1];
    const hostStart = components[2];
    if (usernameEnd > protocolEnd + 2 || hostStart > usernameEnd) {
      throw new TypeError(context + ": Request cannot be constructed from a URL that includes credentials: " + input);
    }
    return href;
  }

  const isBodiless = (method) => method === "GET" || method === "HEAD";

  // The method, in upper case if it is one of those that are matched without regard to case.
  function normalizeMethod(method, context) {
    const upper = StringPrototypeToUpperCase(method);
    switch (upper) {
      case "CONNECT": case "TRACE": case "TRACK":
        throw new TypeError(context + ": '" + method + "' HTTP method is unsupported.");
      case "DELETE": case "GET": case "HEAD": case "OPTIONS": case "POST": case "PUT":
        return upper;
    }
    if (!internals.isToken(method)) throw new TypeError(context + ": '" + method + "' is not a valid HTTP method.");
    return method;
  }

  const { isRequest } = internals;
  internals.requestInit = {
    __proto__: null, changedOptions, isBlobURL, normalizeMethod, optionsOfBlob, parseURL, readInit, requireSimpleMethod,
    DEFAULT_OPTIONS,
  };

  internals.configureInterface(Request);
  internals.Request = Request;
  internals.define("Request", Request);
})
