// Response (Fetch Standard, 5.5).
//
// A response is mostly built, sent and forgotten: its headers stay the lines that go on the wire, and its
// body the string that was given, until the app asks for more.
(function (ops, internals) {
  "use strict";
  const {
    JSONStringify, NumberParseFloat, NumberParseInt, PromiseReject, RangeError, StringPrototypeCharCodeAt,
    StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeSplit,
    StringPrototypeToLowerCase, StringPrototypeTrim, TypeError,
  } = internals.primordials;
  const { contentCoding, requestHeader, respond, respondRecord, responseReason, responseURL, urlParse } = ops;
  const {
    SPENT, addHeader, bodyAs, bodyFromInit, bodyOfSlot, bodyStream, bodyType, cloneBody, convertBody,
    copyHeaders, freezeHeaders, getHeader, headersFromInit, headersFromLines, headersLieIn, headersOfRequest, headersToLines,
    isAsyncBody, isBodyUnusable, isBodyUsed, linesFromInit, newBody, newRecordedBody, recordOf, removeHeader, takeBody, takeForSending,
    takeHandle, sourceOfBody, unusableBody, webidl,
  } = internals;

  const LINE_TEXT = "content-type: text/plain;charset=UTF-8\r\n";
  const LINE_JSON = "content-type: application/json\r\n";
  // Only argument of the constructor for a response that a static function then fills in.
  const EMPTY = { __proto__: null };

  // Flags of the op respond.
  const FLAG_STREAMING = 1;
  const FLAG_PENDING = 2;
  const FLAG_NO_BODY = 4;
  const FLAG_RAW = 8;
  const FLAG_FIXED_LENGTH = 16;

  // Words of a response record (see isolates/arena.go), and its flags.
  const WORD_FLAGS = 3;
  const WORD_URL_LENGTH = 6;
  const WORD_REASON_LENGTH = 7;
  const STATUS_MASK = 0xffff;
  const FLAG_REDIRECTED = 1 << 16;
  const FLAG_STREAMS = 1 << 17;
  const FLAG_NULL_BODY = 1 << 18;
  const FLAG_ENCODED = 1 << 19;

  // Of a request record.
  const METHOD_MASK = 0xff;
  const METHOD_HEAD = 1;

  // What only responses of fetch(), Response.error() and the like have.
  const APP = { type: "default", url: "", redirected: false };
  const ERROR = { type: "error", url: "", redirected: false };

  class Response {
    // A literal in one private field: until code has been optimized, each private field of an object costs a call, to
    // make and to read.
    #state = {
      status: 200,
      statusText: "",
      headers: "", // header lines, or a Headers
      body: null, // a slot, see 12_body.js
      origin: null, // null: the app has made it
      webSocket: null, // of status 101: the end of a WebSocketPair that is the client's, or what fetch() got
    };

    constructor(body = null, init = undefined) {
      const state = this.#state;
      if (typeof body === "string") {
        state.body = body;
        state.headers = LINE_TEXT;
        if (init !== undefined) this.#initialize(init, LINE_TEXT, "Failed to construct 'Response'");
        return;
      }
      if (body === EMPTY) return;
      let typeLine = "";
      if (body !== null) {
        const slot = bodyFromInit(body, "Failed to construct 'Response'");
        const type = bodyType(slot);
        if (type !== "") typeLine = "content-type: " + type + "\r\n";
        state.body = slot;
        state.headers = typeLine;
      }
      if (init !== undefined) this.#initialize(init, typeLine, "Failed to construct 'Response'");
    }

    static error() {
      const response = new Response(EMPTY);
      response.#state.status = 0;
      response.#state.origin = ERROR;
      response.#state.headers = headersFromLines("");
      freezeHeaders(response.#state.headers);
      return response;
    }

    static json(data, init = undefined) {
      if (arguments.length < 1) webidl.requiredArguments(0, 1, "Failed to execute 'json' on 'Response'");
      const text = JSONStringify(data);
      if (text === undefined) {
        throw new TypeError("Failed to execute 'json' on 'Response': The data is not JSON serializable");
      }
      const response = new Response(EMPTY);
      response.#state.body = text;
      response.#state.headers = LINE_JSON;
      if (init !== undefined) response.#initialize(init, LINE_JSON, "Failed to execute 'json' on 'Response'");
      return response;
    }

    static redirect(url, status = 302) {
      const context = "Failed to execute 'redirect' on 'Response'";
      webidl.requiredArguments(arguments.length, 1, context);
      const input = webidl.USVString(url, context);
      const code = webidl.unsignedShort(status, context);
      const href = urlParse(input, undefined);
      if (href === null) throw new TypeError(context + ": Failed to parse URL from " + input);
      if (code !== 301 && code !== 302 && code !== 303 && code !== 307 && code !== 308) {
        throw new RangeError(context + ": Invalid status code");
      }
      const response = new Response(EMPTY);
      response.#state.status = code;
      response.#state.headers = headersFromLines("location: " + href + "\r\n");
      freezeHeaders(response.#state.headers);
      return response;
    }

    // "Initialize a response" of the standard; the body slot is set already, `typeLine` is the header line
    // it brings along.
    #initialize(init, typeLine, context) {
      const state = this.#state;
      if (init === null) return;
      if (typeof init !== "object" && typeof init !== "function") {
        throw new TypeError(context + ": The provided value is not of type 'ResponseInit'.");
      }
      const { headers } = init;
      if (headers !== undefined) {
        const lines = linesFromInit(headers, typeLine, context);
        if (lines !== null) {
          state.headers = lines;
        } else {
          state.headers = headersFromInit(headers, context);
          // Of "content-type: x\r\n", the x.
          if (typeLine !== "") addHeader(state.headers, "content-type", StringPrototypeSlice(typeLine, 14, -2));
        }
      }
      const { status, statusText, webSocket } = init;
      if (webSocket !== undefined && webSocket !== null) this.#setWebSocket(webSocket, status, context);
      if (status !== undefined) {
        const code = webidl.unsignedShort(status, context);
        if ((code < 200 || code > 599) && state.webSocket === null) {
          throw new RangeError(context + ": The status provided (" + code + ") is outside the range [200, 599].");
        }
        state.status = code;
        if (state.body !== null && isNullBodyStatus(code)) {
          throw new TypeError(context + ": Response with null body status cannot have body");
        }
      }
      if (statusText !== undefined) state.statusText = reasonPhrase(statusText, context);
    }

    #setWebSocket(value, status, context) {
      if (!internals.isWebSocket?.(value)) {
        throw new TypeError(context + ": member webSocket is not of type WebSocket.");
      }
      if (status !== 101) throw new RangeError(context + ": Responses with a WebSocket must have status code 101.");
      this.#state.webSocket = value;
    }

    get type() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return (this.#state.origin ?? APP).type;
    }

    get url() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return (this.#state.origin ?? APP).url;
    }

    get redirected() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return (this.#state.origin ?? APP).redirected;
    }

    get status() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.status;
    }

    get ok() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.status >= 200 && this.#state.status <= 299;
    }

    get statusText() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.statusText;
    }

    get headers() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#readHeaders();
    }

    get body() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.body === null ? null : bodyStream(this.#bodyObject());
    }

    get webSocket() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.webSocket;
    }

    get bodyUsed() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const body = this.#state.body;
      if (body === null || typeof body === "string") return false;
      return body === SPENT || isBodyUsed(body);
    }

    clone() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const state = this.#state;
      if (this.#isUnusable()) throw unusableBody("Failed to execute 'clone' on 'Response'");
      if (state.webSocket !== null) {
        throw new TypeError("Failed to execute 'clone' on 'Response': A response with a WebSocket cannot be cloned.");
      }
      const clone = new Response(EMPTY);
      const copy = clone.#state;
      copy.status = state.status;
      copy.statusText = state.statusText;
      copy.headers = typeof state.headers === "string" ? state.headers : copyHeaders(state.headers, true);
      copy.origin = state.origin;
      const body = state.body;
      copy.body = body === null || typeof body === "string" ? body : cloneBody(body);
      return clone;
    }

    arrayBuffer() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_ARRAY_BUFFER, "Failed to execute 'arrayBuffer' on 'Response'");
    }

    blob() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BLOB, "Failed to execute 'blob' on 'Response'");
    }

    bytes() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BYTES, "Failed to execute 'bytes' on 'Response'");
    }

    formData() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_FORM_DATA, "Failed to execute 'formData' on 'Response'");
    }

    json() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_JSON, "Failed to execute 'json' on 'Response'");
    }

    text() {
      if (!isResponse(this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_TEXT, "Failed to execute 'text' on 'Response'");
    }

    // ---- Inside ----

    #readHeaders() {
      const state = this.#state;
      if (typeof state.headers === "string") state.headers = headersFromLines(state.headers);
      return state.headers;
    }

    #isUnusable() {
      const body = this.#state.body;
      if (body === null || typeof body === "string") return false;
      return body === SPENT || isBodyUnusable(body);
    }

    #bodyObject() {
      const state = this.#state;
      state.body = bodyOfSlot(state.body);
      return state.body;
    }

    // No promise is resolved with another one, which would call Promise.prototype.then of the app.
    async #consume(as, context) {
      const state = this.#state;
      const mimeType = as >= bodyAs.AS_BLOB ? getHeader(this.#readHeaders(), "content-type") : null;
      const body = state.body;
      if (body === null) return convertBody("", as, mimeType, context);
      if (typeof body === "string") {
        state.body = SPENT;
        return convertBody(body, as, mimeType, context);
      }
      if (this.#isUnusable()) throw unusableBody(context);
      const holder = this.#bodyObject();
      const waits = isAsyncBody(holder);
      let data = takeBody(holder, as);
      if (waits) data = (await data).bytes;
      return convertBody(data, as, mimeType, context);
    }

    static {
      internals.isResponse = (value) => typeof value === "object" && value !== null && #state in value;

      // Why a response cannot be sent, or "".
      internals.whyUnsendable = function whyUnsendable(response) {
        const state = response.#state;
        if (state.status === 0) return "Response.error()";
        if (state.webSocket !== null) return internals.whyNotUpgradable(state.webSocket);
        return response.#isUnusable() ? "a Response whose body was already used or is locked" : "";
      };

      // The way of most responses, which is short: answers an exchange that waits for nothing with a response
      // whose body is a string. False: it is not such a response.
      internals.sendPlain = function sendPlain(value, exchange) {
        if (typeof value !== "object" || value === null || !(#state in value)) return false;
        const state = value.#state;
        const { body, headers } = state;
        if (typeof body !== "string" || typeof headers !== "string") return false;
        state.body = SPENT;
        respond(exchange.id, state.status, state.statusText, headers, body, 0);
        return true;
      };

      // Answers an exchange with a sendable response, by the op respond, and marks its body as used. Returns
      // null; or, if the body is a stream that must be read, that ReadableStream: only the head was sent then,
      // with FLAG_PENDING, since waitUntil may be called as long as the stream makes chunks.
      internals.sendResponse = function sendResponse(response, exchange, flags) {
        const state = response.#state;
        const headers = state.headers;
        const body = state.body;
        if (typeof body === "string") {
          const head = typeof headers === "string" ? headers : headersToLines(headers);
          state.body = SPENT;
          respond(exchange.id, state.status, state.statusText, head, body, flags);
          return null;
        }
        // What fetch() got goes on as it came.
        const record = body === null || typeof headers === "string" ? null : recordOf(body);
        if (record !== null && headersLieIn(headers, record.words, record.offset)) {
          body.used = true;
          body.source = null;
          respondRecord(record.words, record.offset, exchange.id, state.status, state.statusText, flags);
          return null;
        }
        let head = typeof headers === "string" ? headers : headersToLines(headers);
        if (body === null) {
          if (state.webSocket !== null) {
            const handle = internals.upgradeWebSocket(state.webSocket, exchange);
            respond(exchange.id, 101, state.statusText, head, null, flags | FLAG_NO_BODY | FLAG_PENDING, handle, 0);
            return null;
          }
          flags |= FLAG_NO_BODY;
          const length = typeof headers === "string" || !isHead(exchange) ? -1 : announcedLength(headers);
          if (length < 0) {
            respond(exchange.id, state.status, state.statusText, head, null, flags);
          } else {
            flags |= FLAG_FIXED_LENGTH;
            respond(exchange.id, state.status, state.statusText, head, null, flags, 0, length);
          }
          return null;
        }
        const data = takeForSending(body);
        if (data !== null) {
          respond(exchange.id, state.status, state.statusText, head, data, flags);
          return null;
        }
        const source = exchange.gone || isHead(exchange) ? null : sourceOfBody(body);
        if (source !== null) {
          flags |= FLAG_STREAMING;
          if (source.coding !== "") {
            // The headers of fetch()'s own responses do not name the coding, since the app reads the body without.
            const coding = getHeader(response.#readHeaders(), "content-encoding");
            if (coding === null ? accepts(exchange, source.coding) : coding === source.coding) {
              flags |= FLAG_RAW;
              if (coding === null) head += "content-encoding: " + source.coding + "\r\n";
            }
            // Which it was depends on the client, as caches must know (RFC 9110, 12.5.5).
            if (coding === null && !variesByCoding(state.headers)) head += LINE_VARY;
          }
          respond(exchange.id, state.status, state.statusText, head, null, flags, takeHandle(body), 0);
          return null;
        }
        const stream = bodyStream(body);
        const length = internals.fixedLengthOf(stream);
        flags |= FLAG_STREAMING | FLAG_PENDING;
        if (length >= 0) flags |= FLAG_FIXED_LENGTH;
        respond(exchange.id, state.status, state.statusText, head, null, flags, 0, length);
        return stream;
      };

      // The stream of a sendable response's body, or null.
      internals.streamOf = function streamOf(response) {
        const body = response.#state.body;
        return body === null || typeof body === "string" || takeForSending(body) !== null ? null : bodyStream(body);
      };

      // The response of a response record. Its bytes, if they do not lie in the record, come by the handle.
      // url: unless the record has another. signal: that of the fetch, or null.
      internals.responseFromRecord = function responseFromRecord(words, offset, handle, url, signal) {
        const response = new Response(EMPTY);
        const state = response.#state;
        const flags = words[offset + WORD_FLAGS];
        state.status = flags & STATUS_MASK;
        if (words[offset + WORD_REASON_LENGTH] !== 0) state.statusText = responseReason(words, offset);
        state.headers = headersOfRequest(words, offset, false);
        const lastURL = words[offset + WORD_URL_LENGTH] !== 0 ? responseURL(words, offset) : url;
        const redirected = (flags & FLAG_REDIRECTED) !== 0;
        const type = redirected && !isSameOrigin(url, lastURL) ? "cors" : "basic";
        state.origin = { type, url: lastURL, redirected };
        if ((flags & FLAG_STREAMS) !== 0) {
          const coding = (flags & FLAG_ENCODED) !== 0 ? contentCoding(words, offset) : "";
          state.body = newBody(internals.newSource(handle, coding, words, offset), null, "");
        } else if ((flags & FLAG_NULL_BODY) === 0) {
          state.body = newRecordedBody(words, offset, signal);
        }
        return response;
      };

      // The response of a fetch() that asks nobody, with status 200: header lines and a body slot.
      internals.localResponse = function localResponse(url, lines, slot) {
        const response = new Response(EMPTY);
        const state = response.#state;
        state.statusText = "OK";
        state.headers = headersFromLines(lines);
        freezeHeaders(state.headers);
        state.body = slot;
        state.origin = { type: "basic", url, redirected: false };
        return response;
      };

      // What a cache keeps of a response, and a response of that with this body slot.
      internals.responseParts = (response) => ({
        __proto__: null,
        status: response.#state.status,
        statusText: response.#state.statusText,
        headers: copyHeaders(response.#readHeaders(), false),
        origin: response.#state.origin,
      });
      internals.responseOfParts = function responseOfParts({ status, statusText, headers, origin }, slot) {
        const response = new Response(EMPTY);
        const state = response.#state;
        state.status = status;
        state.statusText = statusText;
        state.headers = copyHeaders(headers, false);
        freezeHeaders(state.headers);
        state.origin = origin;
        state.body = slot;
        return response;
      };

      // The body of a response for the runtime to look at: a Body that is usable, or null; and another one instead.
      internals.bodyOfResponse = (response) => response.#state.body === null ? null : response.#bodyObject();
      internals.replaceBody = function replaceBody(response, bytes) {
        response.#state.body = newBody(bytes, null, "");
      };

      // A response with the status and headers of another, which may be changed, and as body null or a stream, whose
      // length nobody knows.
      internals.responseWith = function responseWith(response, stream) {
        const other = new Response(EMPTY);
        const state = other.#state;
        state.status = response.#state.status;
        state.statusText = response.#state.statusText;
        state.headers = copyHeaders(response.#readHeaders(), false);
        if (stream !== null) {
          state.body = newBody(null, stream, "");
          removeHeader(state.headers, "content-length");
        }
        return other;
      };

      // The WebSocket of a response of fetch().
      internals.attachWebSocket = function attachWebSocket(response, socket) {
        response.#state.webSocket = socket;
        response.#state.body = null;
      };
      internals.webSocketOf = (response) => response.#state.webSocket;

      // What EventSource must know of a response: nothing of the app runs.
      internals.describeResponse = (response) => ({
        __proto__: null,
        status: response.#state.status,
        type: getHeader(response.#readHeaders(), "content-type"),
        url: (response.#state.origin ?? APP).url,
      });
      internals.responseStream = (response) => response.#state.body === null ? null : bodyStream(response.#bodyObject());
    }
  }

  const { isResponse } = internals;

  // Of two URLs with http: or https: in normal form.
  function isSameOrigin(a, b) {
    const end = StringPrototypeIndexOf(a, "/", 8) + 1; // behind the origin
    return StringPrototypeSlice(a, 0, end) === StringPrototypeSlice(b, 0, end);
  }

  // ---- Parts of sending and receiving ----

  const isHead = (exchange) => (exchange.words[exchange.offset + WORD_FLAGS] & METHOD_MASK) === METHOD_HEAD;

  // The content-length of an answer to HEAD, which is that of the body that GET would get; -1: it has none.
  function announcedLength(headers) {
    const value = getHeader(headers, "content-length");
    if (value === null) return -1;
    const length = NumberParseInt(value, 10);
    return length >= 0 && "" + length === value ? length : -1;
  }

  const LINE_VARY = "vary: accept-encoding\r\n";
  function variesByCoding(headers) {
    const value = getHeader(headers, "vary");
    if (value === null || value === "*") return value !== null;
    return StringPrototypeIncludes(StringPrototypeToLowerCase(value), "accept-encoding");
  }

  // Whether the client takes bodies of a content coding (RFC 9110, 12.5.3). One that says nothing gets none.
  function accepts(exchange, coding) {
    const value = requestHeader(exchange.words, exchange.offset, "accept-encoding");
    if (value === null) return false;
    const list = StringPrototypeSplit(StringPrototypeToLowerCase(value), ",");
    let any = false;
    for (let i = 0; i < list.length; i++) {
      const parts = StringPrototypeSplit(list[i], ";");
      const name = StringPrototypeTrim(parts[0]);
      if (name !== coding && name !== "*") continue;
      const welcome = parts.length === 1 || !isZero(parts[1]);
      if (name === coding) return welcome;
      any = welcome;
    }
    return any;
  }

  // Whether a weight, "q=0.5", is 0.
  function isZero(weight) {
    const text = StringPrototypeTrim(weight);
    return text.length > 2 && NumberParseFloat(StringPrototypeSlice(text, 2)) === 0;
  }

  // ---- Parts of the constructor ----

  const isNullBodyStatus = (status) =>
    status === 204 || status === 205 || status === 304 || status === 101 || status === 103;

  // reason-phrase of RFC 9112: visible characters, space, tab and obs-text.
  function reasonPhrase(value, context) {
    const text = webidl.ByteString(value, context);
    for (let i = 0; i < text.length; i++) {
      const c = StringPrototypeCharCodeAt(text, i);
      if ((c < 0x20 && c !== 0x09) || c === 0x7f) throw new TypeError(context + ": Invalid statusText");
    }
    return text;
  }

  internals.configureInterface(Response);
  internals.Response = Response;
  internals.define("Response", Response);
})
