// Cache and CacheStorage (Service Workers 5.4 and 5.5), with caches.default as Workers have it: a memory of responses
// that is the isolate's own and goes with it.
//
// What all caches of an isolate hold is one list, the oldest first. It is bounded by the bytes of the bodies and by the
// number of responses; the oldest make room for new ones.
(function (ops, internals) {
  "use strict";
  const {
    ArrayFrom, List, ObjectFreeze, SafeMap, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeSplit,
    StringPrototypeStartsWith, StringPrototypeToLowerCase, StringPrototypeTrim, TypeError,
  } = internals.primordials;
  const {
    bodyAs, configureInterface, copyHeaders, getHeader, isAsyncBody, isBodyUnusable, requireStarted, takeBody, webidl,
  } = internals;
  const { encodeUtf8 } = ops;

  internals.load("51_blob");
  internals.load("60_fetch");

  const INTERNAL = { __proto__: null };
  const BYTES_MAX = 32 * 1024 * 1024;
  const ENTRIES_MAX = 1024;
  const WHAT_FETCH = 1;

  // ---- What is held ----

  class Entry {
    cache; // its Store
    url; // without fragment
    headers; // of the request
    parts; // of the response, see internals.responseParts
    blob; // its body, or null
    next = null;
    constructor(cache, url, headers, parts, blob) {
      this.cache = cache;
      this.url = url;
      this.headers = headers;
      this.parts = parts;
      this.blob = blob;
    }
    get size() {
      return this.blob === null ? 0 : internals.blobSize(this.blob);
    }
  }

  // What a Cache object stands for; two of one name share it until the cache is deleted.
  class Store {
    name;
    constructor(name) {
      this.name = name;
    }
  }

  const head = new Entry(null, "", null, null, null); // before the first one
  let last = head;
  let count = 0;
  let bytes = 0;
  const stores = new SafeMap(); // by name

  // Takes out the entries for which `leaves` is true, in order, and says how many these were.
  function removeIf(leaves) {
    let removed = 0;
    let before = head;
    for (let entry = head.next; entry !== null; entry = entry.next) {
      if (leaves(entry)) {
        before.next = entry.next;
        count--;
        bytes -= entry.size;
        removed++;
      } else {
        before = entry;
      }
    }
    last = before;
    return removed;
  }

  function add(entry) {
    const { size } = entry;
    if (size > BYTES_MAX) {
      throw internals.domException("A response of " + size + " bytes is too large for a cache.", "QuotaExceededError");
    }
    removeIf(() => count === ENTRIES_MAX || bytes + size > BYTES_MAX);
    last.next = entry;
    last = entry;
    count++;
    bytes += size;
  }

  // ---- Matching (5.4, "request matches cached item") ----

  function withoutFragment(url) {
    const hash = StringPrototypeIndexOf(url, "#");
    return hash < 0 ? url : StringPrototypeSlice(url, 0, hash);
  }
  function withoutSearch(url) {
    const question = StringPrototypeIndexOf(url, "?");
    return question < 0 ? url : StringPrototypeSlice(url, 0, question);
  }

  // { method, url, headers } of a RequestInfo, the URL without fragment.
  function toParts(input, context) {
    const request = internals.isRequest(input) ? input : new internals.Request(webidl.USVString(input, context));
    const parts = internals.requestParts(request);
    parts.url = withoutFragment(parts.url);
    return parts;
  }

  class Options {
    ignoreMethod = false;
    ignoreSearch = false;
    ignoreVary = false;
  }
  const DEFAULT_OPTIONS = new Options();

  function toOptions(value, context) {
    if (value === undefined) return DEFAULT_OPTIONS;
    const dictionary = webidl.dictionary(value, context);
    const options = new Options();
    options.ignoreMethod = !!dictionary.ignoreMethod;
    options.ignoreSearch = !!dictionary.ignoreSearch;
    options.ignoreVary = !!dictionary.ignoreVary;
    return options;
  }

  // The names in the Vary header of a response.
  function varyOf(headers) {
    const value = getHeader(headers, "vary");
    return value === null ? [] : StringPrototypeSplit(StringPrototypeToLowerCase(value), ",");
  }

  function matches(entry, request, options) {
    if (request.method !== "GET" && !options.ignoreMethod) return false;
    if (options.ignoreSearch ? withoutSearch(entry.url) !== withoutSearch(request.url) : entry.url !== request.url) {
      return false;
    }
    if (options.ignoreVary) return true;
    const names = varyOf(entry.parts.headers);
    for (let i = 0; i < names.length; i++) {
      const name = StringPrototypeTrim(names[i]);
      if (name === "*" || getHeader(entry.headers, name) !== getHeader(request.headers, name)) return false;
    }
    return true;
  }

  // The entries of a cache that match, or all of them if request is null: a List. most: how many are wanted.
  function find(store, request, options, most) {
    const found = new List();
    for (let entry = head.next; entry !== null && found.length < most; entry = entry.next) {
      if (entry.cache === store && (request === null || matches(entry, request, options))) found[found.length] = entry;
    }
    return found;
  }

  function toResponse({ parts, blob }) {
    return internals.responseOfParts(parts, blob === null ? null : internals.newBody(blob, null, ""));
  }

  // ---- Keeping a response ----

  // The Entry of a request and a response that may be kept; the body is still to be read.
  function prepare(store, request, response, context) {
    if (!StringPrototypeStartsWith(request.url, "http:") && !StringPrototypeStartsWith(request.url, "https:")) {
      throw new TypeError(context + ": The request's URL is not of http: or https:.");
    }
    if (request.method !== "GET") throw new TypeError(context + ": Only responses to GET can be kept.");
    const parts = internals.responseParts(response);
    if (parts.status === 206) throw new TypeError(context + ": Responses with status 206 cannot be kept.");
    if (parts.status < 200) throw new TypeError(context + ": This response cannot be kept.");
    const names = varyOf(parts.headers);
    for (let i = 0; i < names.length; i++) {
      if (StringPrototypeTrim(names[i]) === "*") throw new TypeError(context + ": The response varies by everything.");
    }
    const body = internals.bodyOfResponse(response);
    if (body !== null && isBodyUnusable(body)) throw internals.unusableBody(context);
    return new Entry(store, request.url, copyHeaders(request.headers, false), parts, null);
  }

  async function keep(entry, response) {
    const body = internals.bodyOfResponse(response);
    if (body !== null) {
      const waits = isAsyncBody(body);
      let data = takeBody(body, bodyAs.AS_BYTES);
      if (waits) data = (await data).bytes;
      entry.blob = internals.createBlob(typeof data === "string" ? encodeUtf8(data) : data, "");
    }
    const request = { __proto__: null, method: "GET", url: entry.url, headers: entry.headers };
    removeIf((other) => other.cache === entry.cache && matches(other, request, DEFAULT_OPTIONS));
    add(entry);
  }

  // ---- Cache ----

  class Cache {
    #store;
    constructor(token = undefined, store = undefined) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#store = store;
    }
    async match(request, options = undefined) {
      const context = "Failed to execute 'match' on 'Cache'";
      const store = this.#store;
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      const found = find(store, toParts(request, context), toOptions(options, context), 1);
      return found.length === 0 ? undefined : toResponse(found[0]);
    }
    async matchAll(request = undefined, options = undefined) {
      const context = "Failed to execute 'matchAll' on 'Cache'";
      const store = this.#store;
      requireStarted("Cache");
      const parts = request === undefined ? null : toParts(request, context);
      const found = find(store, parts, toOptions(options, context), ENTRIES_MAX);
      for (let i = 0; i < found.length; i++) found[i] = toResponse(found[i]);
      return ObjectFreeze(ArrayFrom(found));
    }
    async add(request) {
      const context = "Failed to execute 'add' on 'Cache'";
      const store = this.#store;
      webidl.requiredArguments(arguments.length, 1, context);
      await addAll(store, [request], context);
    }
    async addAll(requests) {
      const context = "Failed to execute 'addAll' on 'Cache'";
      const store = this.#store;
      webidl.requiredArguments(arguments.length, 1, context);
      const toInfo = (value) => internals.isRequest(value) ? value : webidl.USVString(value, context);
      await addAll(store, webidl.sequence(requests, context, toInfo), context);
    }
    async put(request, response) {
      const context = "Failed to execute 'put' on 'Cache'";
      const store = this.#store;
      webidl.requiredArguments(arguments.length, 2, context);
      requireStarted("Cache");
      const parts = toParts(request, context);
      if (!internals.isResponse(response)) throw new TypeError(context + ": parameter 2 is not of type 'Response'.");
      await keep(prepare(store, parts, response, context), response);
    }
    async delete(request, options = undefined) {
      const context = "Failed to execute 'delete' on 'Cache'";
      const store = this.#store;
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      const parts = toParts(request, context);
      const converted = toOptions(options, context);
      return removeIf((entry) => entry.cache === store && matches(entry, parts, converted)) !== 0;
    }
    async keys(request = undefined, options = undefined) {
      const context = "Failed to execute 'keys' on 'Cache'";
      const store = this.#store;
      requireStarted("Cache");
      const parts = request === undefined ? null : toParts(request, context);
      const found = find(store, parts, toOptions(options, context), ENTRIES_MAX);
      for (let i = 0; i < found.length; i++) {
        const { headers, url } = found[i];
        found[i] = new internals.Request(url, { __proto__: null, headers });
      }
      return ObjectFreeze(ArrayFrom(found));
    }
  }
  configureInterface(Cache);

  // All are fetched at once, and kept if all could be.
  async function addAll(store, requests, context) {
    requireStarted("Cache");
    internals.load("53_streams");
    const pending = new List();
    for (let i = 0; i < requests.length; i++) {
      const request = new internals.Request(requests[i]);
      const parts = toParts(request, context);
      if (parts.method !== "GET") throw new TypeError(context + ": Only responses to GET can be kept.");
      pending[i] = { __proto__: null, parts, promise: internals.fetchFrom(WHAT_FETCH, "", request, undefined, context) };
      internals.streams.markHandled(pending[i].promise);
    }
    const kept = new List();
    for (let i = 0; i < pending.length; i++) {
      const response = await pending[i].promise;
      const { status } = internals.responseParts(response);
      if (status < 200 || status > 299) throw new TypeError(context + ": The request got status " + status + ".");
      kept[i] = { __proto__: null, entry: prepare(store, pending[i].parts, response, context), response };
    }
    for (let i = 0; i < kept.length; i++) await keep(kept[i].entry, kept[i].response);
  }

  // ---- CacheStorage ----

  function storeOf(name) {
    let store = stores.get(name);
    if (store === undefined) {
      store = new Store(name);
      stores.set(name, store);
    }
    return store;
  }

  class CacheStorage {
    #default = null;
    constructor(token = undefined) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    get default() {
      if (!(#default in this)) throw webidl.illegalInvocation();
      return this.#default ??= new Cache(INTERNAL, storeOf("default"));
    }
    async match(request, options = undefined) {
      const context = "Failed to execute 'match' on 'CacheStorage'";
      if (!(#default in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      const parts = toParts(request, context);
      const converted = toOptions(options, context);
      const cacheName = options === undefined ? undefined : webidl.dictionary(options, context).cacheName;
      const name = cacheName === undefined ? null : webidl.DOMString(cacheName, context);
      const list = new List(); // in the order in which they were opened
      stores.forEach((store) => {
        if (name === null || store.name === name) list[list.length] = store;
      });
      for (let i = 0; i < list.length; i++) {
        const found = find(list[i], parts, converted, 1);
        if (found.length !== 0) return toResponse(found[0]);
      }
      return undefined;
    }
    async has(cacheName) {
      const context = "Failed to execute 'has' on 'CacheStorage'";
      if (!(#default in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      return stores.has(webidl.DOMString(cacheName, context));
    }
    async open(cacheName) {
      const context = "Failed to execute 'open' on 'CacheStorage'";
      if (!(#default in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      return new Cache(INTERNAL, storeOf(webidl.DOMString(cacheName, context)));
    }
    async delete(cacheName) {
      const context = "Failed to execute 'delete' on 'CacheStorage'";
      if (!(#default in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      requireStarted("Cache");
      const name = webidl.DOMString(cacheName, context);
      const store = stores.get(name);
      if (store === undefined) return false;
      stores.delete(name);
      removeIf((entry) => entry.cache === store);
      return true;
    }
    async keys() {
      if (!(#default in this)) throw webidl.illegalInvocation();
      requireStarted("Cache");
      const names = new List();
      stores.forEach((store, name) => {
        names[names.length] = name;
      });
      return ArrayFrom(names);
    }
  }
  configureInterface(CacheStorage);

  internals.define("Cache", Cache);
  internals.define("CacheStorage", CacheStorage);
  internals.define("caches", new CacheStorage(INTERNAL));
})
