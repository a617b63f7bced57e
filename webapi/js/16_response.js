// Response (Fetch Standard, 5.5).
//
// A response is mostly built, sent and forgotten: its headers stay the lines that go on the wire, and its
// body the string that was given, until the app asks for more.
(function (ops, internals) {
  "use strict";
  const {
    JSONStringify, PromiseReject, RangeError, StringPrototypeCharCodeAt, StringPrototypeSlice, TypeError,
  } = internals.primordials;
  const { respond, urlParse } = ops;
  const {
    SPENT, addHeader, bodyAs, bodyFromInit, bodyOfSlot, bodyStream, bodyType, cloneBody, convertBody,
    copyHeaders, freezeHeaders, getHeader, headersFromInit, headersFromLines, headersToLines, isBodyUnusable,
    isBodyUsed, linesFromInit, takeBody, takeForSending, unusableBody, webidl,
  } = internals;

  const LINE_TEXT = "content-type: text/plain;charset=UTF-8\r\n";
  const LINE_JSON = "content-type: application/json\r\n";
  // Only argument of the constructor for a response that a static function then fills in.
  const EMPTY = { __proto__: null };

  // Flags of the op respond.
  const FLAG_STREAMING = 1;
  const FLAG_PENDING = 2;
  const FLAG_NO_BODY = 4;

  // What only responses of fetch(), Response.error() and the like have.
  const APP = { type: "default", url: "", redirected: false };
  const ERROR = { type: "error", url: "", redirected: false };

  class Response {
    #status = 200;
    #statusText = "";
    #headers = ""; // header lines, or a Headers
    #body = null; // a slot, see 12_body.js
    #origin = APP;

    constructor(body = null, init = undefined) {
      if (typeof body === "string") {
        this.#body = body;
        this.#headers = LINE_TEXT;
        if (init !== undefined) this.#initialize(init, LINE_TEXT, "Failed to construct 'Response'");
        return;
      }
      if (body === EMPTY) return;
      let typeLine = "";
      if (body !== null) {
        const slot = bodyFromInit(body, "Failed to construct 'Response'");
        const type = bodyType(slot);
        if (type !== "") typeLine = "content-type: " + type + "\r\n";
        this.#body = slot;
        this.#headers = typeLine;
      }
      if (init !== undefined) this.#initialize(init, typeLine, "Failed to construct 'Response'");
    }

    static error() {
      const response = new Response(EMPTY);
      response.#status = 0;
      response.#origin = ERROR;
      response.#headers = headersFromLines("");
      freezeHeaders(response.#headers);
      return response;
    }

    static json(data, init = undefined) {
      if (arguments.length < 1) webidl.requiredArguments(0, 1, "Failed to execute 'json' on 'Response'");
      const text = JSONStringify(data);
      if (text === undefined) {
        throw new TypeError("Failed to execute 'json' on 'Response': The data is not JSON serializable");
      }
      const response = new Response(EMPTY);
      response.#body = text;
      response.#headers = LINE_JSON;
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
      response.#status = code;
      response.#headers = headersFromLines("location: " + href + "\r\n");
      freezeHeaders(response.#headers);
      return response;
    }

    // "Initialize a response" of the standard; the body slot is set already, `typeLine` is the header line
    // it brings along.
    #initialize(init, typeLine, context) {
      if (init === null) return;
      if (typeof init !== "object" && typeof init !== "function") {
        throw new TypeError(context + ": The provided value is not of type 'ResponseInit'.");
      }
      const { headers } = init;
      if (headers !== undefined) {
        const lines = linesFromInit(headers, typeLine, context);
        if (lines !== null) {
          this.#headers = lines;
        } else {
          this.#headers = headersFromInit(headers, context);
          // Of "content-type: x\r\n", the x.
          if (typeLine !== "") addHeader(this.#headers, "content-type", StringPrototypeSlice(typeLine, 14, -2));
        }
      }
      const { status } = init;
      if (status !== undefined) {
        const code = webidl.unsignedShort(status, context);
        if (code < 200 || code > 599) {
          throw new RangeError(context + ": The status provided (" + code + ") is outside the range [200, 599].");
        }
        this.#status = code;
        if (this.#body !== null && isNullBodyStatus(code)) {
          throw new TypeError(context + ": Response with null body status cannot have body");
        }
      }
      const { statusText } = init;
      if (statusText !== undefined) this.#statusText = reasonPhrase(statusText, context);
    }

    get type() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#origin.type;
    }

    get url() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#origin.url;
    }

    get redirected() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#origin.redirected;
    }

    get status() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#status;
    }

    get ok() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#status >= 200 && this.#status <= 299;
    }

    get statusText() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#statusText;
    }

    get headers() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#readHeaders();
    }

    get body() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      return this.#body === null ? null : bodyStream(this.#bodyObject());
    }

    get bodyUsed() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      const body = this.#body;
      if (body === null || typeof body === "string") return false;
      return body === SPENT || isBodyUsed(body);
    }

    clone() {
      if (!(#status in this)) throw webidl.illegalInvocation();
      if (this.#isUnusable()) throw unusableBody("Failed to execute 'clone' on 'Response'");
      const clone = new Response(EMPTY);
      clone.#status = this.#status;
      clone.#statusText = this.#statusText;
      clone.#headers = typeof this.#headers === "string" ? this.#headers : copyHeaders(this.#headers, true);
      clone.#origin = this.#origin;
      const body = this.#body;
      clone.#body = body === null || typeof body === "string" ? body : cloneBody(body);
      return clone;
    }

    arrayBuffer() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_ARRAY_BUFFER, "Failed to execute 'arrayBuffer' on 'Response'");
    }

    blob() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BLOB, "Failed to execute 'blob' on 'Response'");
    }

    bytes() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_BYTES, "Failed to execute 'bytes' on 'Response'");
    }

    formData() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_FORM_DATA, "Failed to execute 'formData' on 'Response'");
    }

    json() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_JSON, "Failed to execute 'json' on 'Response'");
    }

    text() {
      if (!(#status in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#consume(bodyAs.AS_TEXT, "Failed to execute 'text' on 'Response'");
    }

    // ---- Inside ----

    #readHeaders() {
      if (typeof this.#headers === "string") this.#headers = headersFromLines(this.#headers);
      return this.#headers;
    }

    #isUnusable() {
      const body = this.#body;
      if (body === null || typeof body === "string") return false;
      return body === SPENT || isBodyUnusable(body);
    }

    #bodyObject() {
      this.#body = bodyOfSlot(this.#body);
      return this.#body;
    }

    // No promise is resolved with another one, which would call Promise.prototype.then of the app.
    async #consume(as, context) {
      const mimeType = as >= bodyAs.AS_BLOB ? getHeader(this.#readHeaders(), "content-type") : null;
      const body = this.#body;
      if (body === null) return convertBody("", as, mimeType, context);
      if (typeof body === "string") {
        this.#body = SPENT;
        return convertBody(body, as, mimeType, context);
      }
      if (this.#isUnusable()) throw unusableBody(context);
      let data = takeBody(this.#bodyObject());
      if (this.#body.stream !== null) data = await data;
      return convertBody(data, as, mimeType, context);
    }

    static {
      internals.isResponse = (value) => typeof value === "object" && value !== null && #status in value;

      // Why a response cannot be sent, or "".
      internals.whyUnsendable = function whyUnsendable(response) {
        if (response.#status === 0) return "Response.error()";
        return response.#isUnusable() ? "a Response whose body was already used or is locked" : "";
      };

      // Answers request `id` with a sendable response, by the op respond, and marks its body as used.
      // Returns null; or, if the body is a stream, that ReadableStream: only the head was sent then, with
      // FLAG_PENDING, since waitUntil may be called as long as the stream makes chunks.
      internals.sendResponse = function sendResponse(response, id, flags) {
        const headers = response.#headers;
        const head = typeof headers === "string" ? headers : headersToLines(headers);
        const body = response.#body;
        if (typeof body === "string") {
          response.#body = SPENT;
          respond(id, response.#status, response.#statusText, head, body, flags);
          return null;
        }
        if (body === null) {
          respond(id, response.#status, response.#statusText, head, null, flags | FLAG_NO_BODY);
          return null;
        }
        const data = takeForSending(body);
        if (data !== null) {
          respond(id, response.#status, response.#statusText, head, data, flags);
          return null;
        }
        respond(id, response.#status, response.#statusText, head, null, flags | FLAG_STREAMING | FLAG_PENDING);
        return body.stream;
      };

      // The stream of a sendable response's body, or null.
      internals.streamOf = function streamOf(response) {
        const body = response.#body;
        return body === null || typeof body === "string" || takeForSending(body) !== null ? null : body.stream;
      };
    }
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
