// fetch() (Fetch Standard, 5.6): outbound requests, to origins by URL and to what env has bound.
//
// A fetch is a handle of the loop. What JavaScript does for one is turning the arguments into a target, header
// lines and a body, and the answer's record into a Response; the loop does redirects, connections, content
// codings and framing. A small GET makes one promise and one Call, no Request, no Headers and no stream.
//
// For other scripts:
//   internals.fetchFrom(what, app, input, init, context)  -> promise. what: 1 fetch, 2 service (of `app`), 3 assets
//   internals.missingInput(context)                       the rejected promise of a call without arguments
//   internals.countSubrequest()                           throws when the request has made too many
(function (ops, internals) {
  "use strict";
  const {
    PromiseReject, PromiseWithResolvers, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeStartsWith, StringPrototypeToLowerCase, TypeError,
  } = internals.primordials;
  const {
    addHeader, bodyFromInit, bodyType, currentExchange, getHeader, headersFromInit, io, isRequest, linesFromInit,
    readRequest, requestInit, requestLines, requireStarted, responseFromRecord, running, takeForSending, webidl,
  } = internals;
  const { forget, open } = io;
  const { headLines, requestHeader } = ops;
  const {
    changedOptions, isBlobURL, normalizeMethod, optionsOfBlob, parseURL, readInit, requireSimpleMethod, DEFAULT_OPTIONS,
  } = requestInit;

  const WHAT_FETCH = 1;
  const WHAT_SERVICE = 2;
  const WHAT_WEBSOCKET = 5;

  const OPEN_BODY_FOLLOWS = 1;
  const OPEN_HAS_BODY = 2;
  const OPEN_MANUAL_REDIRECT = 4;
  const OPEN_ERROR_REDIRECT = 8;
  const OPEN_FIXED_LENGTH = 16;
  const OPEN_UPGRADE = 32;

  const DATA_SCRIPT = "69_data_url"; // and blob:
  const INTEGRITY_SCRIPT = "69_integrity";
  const WEBSOCKET_SCRIPT = "62_websocket";

  const WORD_STATUS = 3; // of a response record
  const STATUS_MASK = 0xffff;
  const FLAG_STREAMS = 1 << 17;

  // One fetch: first what is asked for, then what io calls, until the handle has ended.
  class Call {
    method = "GET";
    url = ""; // without fragment
    head = ""; // header lines
    body = null; // a slot, see 12_body.js
    redirect = "follow";
    integrity = "";
    blob = null; // that a blob: URL names
    signal = null;
    nextFollower = null; // the next call that ends when the client of a request goes away
    unreadOf = null; // the exchange that this is one of the unread calls of, a list
    previousUnread = null;
    nextUnread = null;
    isUpgrade = false; // "upgrade: websocket" was among the headers

    handle = 0;
    resolve = null; // of the promise, until it is settled
    reject = null;
    stop = null; // the algorithm on the signal
    pump = null; // of a body that is a stream of the app
    exchange = undefined; // that must not end before the pump does
    isTaken = false; // the loop moves the response's body by itself
    upgrade = null; // { socket, end } once the answer was status 101
    timing = null; // what performance is to be told of it

    // ---- What readRequest says ----

    setHeaders(headers) {
      this.head = requestLines(headers);
      this.setUpgrade(getHeader(headers, "upgrade"));
    }

    // The same for headers that lie in a record.
    setLines(words, offset) {
      this.head = headLines(words, offset, true);
      this.setUpgrade(requestHeader(words, offset, "upgrade"));
    }

    setUpgrade(upgrade) {
      this.isUpgrade = upgrade !== null && StringPrototypeToLowerCase(upgrade) === "websocket";
    }

    // ---- What io says ----

    onResponse(words, offset) {
      const { reject, resolve } = this;
      if (resolve === null) return; // aborted
      this.resolve = null;
      this.reject = null;
      if (this.timing !== null) this.timing.responded(words, offset);
      const response = responseFromRecord(words, offset, this.handle, this.url, this.signal);
      if (this.isUpgrade && (words[offset + WORD_STATUS] & STATUS_MASK) === 101) this.attach(response);
      if (this.upgrade !== null) this.unlisten();
      else if ((words[offset + WORD_STATUS] & FLAG_STREAMS) === 0) this.over();
      else this.noteUnread();
      if (this.integrity === "") {
        resolve(response);
      } else {
        internals.load(INTEGRITY_SCRIPT);
        internals.verifyResponse(response, this.integrity, resolve, reject);
      }
    }

    onEnd(fault, text) {
      if (this.upgrade !== null) this.upgrade.end.onEnd(fault, text);
      else if (this.reject !== null) this.settle(io.makeError(fault, text));
      else this.over();
    }

    onWritten() {
      if (this.upgrade !== null) this.upgrade.end.onWritten();
      else if (this.pump !== null) this.pump.sent();
    }

    onOpened(text) {
      this.upgrade.end.onOpened(text);
    }

    onData(words, offset, kind) {
      this.upgrade.end.onData(words, offset, kind);
    }

    onClosed(code, reason, clean) {
      this.upgrade.end.onClosed(code, reason, clean);
    }

    // ---- The end of it ----

    // Rejects the promise.
    settle(error) {
      const { reject } = this;
      this.resolve = null;
      this.reject = null;
      this.over(error);
      reject(error);
    }

    // The signal was aborted: the fetch ends with its reason, or the response's body does.
    abort() {
      const reason = internals.abort.reason(this.signal);
      this.stop = null;
      this.timing = null;
      const source = io.sourceOf(this.handle);
      if (source !== null) internals.abortSource(source, reason);
      else io.cancel(this.handle, true);
      if (this.reject !== null) this.settle(reason);
      else this.over(reason);
    }

    // The handle has ended, or nobody wants what it brings. What is left of the request's body is not wanted.
    over(reason = undefined) {
      if (this.timing !== null) this.tellTiming();
      this.unlisten();
      forget(this.handle);
      const { pump } = this;
      if (pump === null) return;
      this.endPump();
      if (reason === undefined) reason = internals.domException("The request has ended.", "AbortError");
      pump.abandon(reason, false);
    }

    tellTiming() {
      const { timing } = this;
      this.timing = null;
      timing.ended();
    }

    // The loop moves the response's body by itself: it will say no more of that, and no signal ends it.
    onTaken() {
      this.isTaken = true;
      if (this.timing !== null) this.tellTiming();
      this.unlisten();
      if (this.pump === null) io.forget(this.handle);
    }

    // The app has canceled the response's body: the whole fetch is over.
    onCanceled() {
      if (this.pump !== null) io.cancel(this.handle, true);
      this.over();
    }

    noteUnread() {
      const exchange = currentExchange();
      if (exchange === undefined || exchange.ended) return;
      this.unreadOf = exchange;
      this.nextUnread = exchange.unread;
      if (exchange.unread !== null) exchange.unread.previousUnread = this;
      exchange.unread = this;
    }

    leaveUnread() {
      const exchange = this.unreadOf;
      if (exchange === null) return;
      this.unreadOf = null;
      if (this.previousUnread === null) exchange.unread = this.nextUnread;
      else this.previousUnread.nextUnread = this.nextUnread;
      if (this.nextUnread !== null) this.nextUnread.previousUnread = this.previousUnread;
    }

    // The exchange has ended. A body that nobody has begun to read by now is not wanted.
    dropUnread() {
      const source = io.sourceOf(this.handle);
      if (source === null || source.ended || source.sink !== null) return;
      endedReason ??= internals.domException("The request that fetched this has ended.", "AbortError");
      io.cancel(this.handle, false);
      source.fail(endedReason);
      this.over(endedReason);
    }

    isWaiting() {
      return this.reject !== null;
    }

    // The client has gone away whose request this fetch was made with.
    leave(reason) {
      if (this.reject === null) return;
      io.cancel(this.handle, true);
      this.settle(reason);
    }

    unlisten() {
      this.leaveUnread();
      if (this.stop === null) return;
      internals.abort.remove(this.signal, this.stop);
      this.stop = null;
    }

    // The answer is a WebSocket, for the app to accept() or to pass on.
    attach(response) {
      this.timing = null;
      this.upgrade = internals.newUpgrade(this.url);
      this.upgrade.end.attach(this.handle);
      internals.attachWebSocket(response, this.upgrade.socket);
    }

    // ---- The body's way out, called by its pump ----

    startPump(stream) {
      this.exchange = currentExchange();
      internals.holdExchange(this.exchange);
      this.pump = internals.createPump(this, internals.streams.acquireReader(stream));
      this.pump.fill();
    }

    endPump() {
      this.pump = null;
      internals.releaseExchange(this.exchange);
    }

    write(chunk) {
      io.write(this.handle, chunk, 0);
    }

    // The stream of the body is at its end. If it broke, so does the request.
    end(failed, error) {
      if (this.pump === null) return; // abandoned
      io.finish(this.handle, failed);
      if (this.isTaken) io.forget(this.handle);
      this.endPump();
      if (!failed || this.reject === null) return;
      io.cancel(this.handle, true);
      this.settle(new TypeError("fetch failed: the stream of the request's body broke", { cause: error }));
    }
  }

  let endedReason;

  // ---- What is asked for ----

  // Fills in a call from the arguments of fetch().
  function prepare(call, input, init, context) {
    if (isRequest(input)) {
      prepareRequest(call, init === undefined || init === null ? input : new internals.Request(input, init), context);
    } else {
      prepareURL(call, webidl.USVString(input, context), init, context);
    }
    if (call.method === "CONNECT") throw new TypeError(context + ": 'CONNECT' HTTP method is unsupported.");
  }

  function prepareRequest(call, request, context) {
    readRequest(request, call, context);
    call.url = withoutFragment(call.url);
  }

  // Without making a Request. A body that is a stream needs no member duplex here, as in Workers.
  function prepareURL(call, input, init, context) {
    if (input !== lastInput) {
      lastURL = withoutFragment(parseURL(input, context));
      lastInput = input;
    }
    call.url = lastURL;
    if (isBlobURL(lastURL)) call.blob = optionsOfBlob(lastURL).blob;
    if (init === undefined || init === null) return;
    const members = readInit(init, context);
    if (members.method !== undefined) call.method = normalizeMethod(members.method, context);
    if (members.signal !== undefined) call.signal = members.signal;
    let restricted = false;
    if (members.changesOptions) {
      const options = changedOptions(DEFAULT_OPTIONS, members, context);
      call.redirect = options.redirect;
      call.integrity = options.integrity;
      restricted = options.mode === "no-cors";
      if (restricted) requireSimpleMethod(call.method, context);
    }
    let typeLine = "";
    if (members.body !== undefined && members.body !== null) {
      if (call.method === "GET" || call.method === "HEAD") {
        throw new TypeError(context + ": Request with GET/HEAD method cannot have body.");
      }
      call.body = bodyFromInit(members.body, context);
      const type = bodyType(call.body);
      if (type !== "") typeLine = "content-type: " + type + "\r\n";
    }
    if (members.headers === undefined && !restricted) {
      call.head = typeLine;
      return;
    }
    const lines = restricted ? null : linesFromInit(members.headers, typeLine, context, true);
    if (lines !== null) {
      call.head = lines;
      return;
    }
    const headers = headersFromInit(members.headers ?? {}, context);
    if (typeLine !== "") addHeader(headers, "content-type", bodyType(call.body));
    if (restricted) internals.restrictHeaders(headers);
    call.setHeaders(headers);
  }

  function withoutFragment(url) {
    const hash = StringPrototypeIndexOf(url, "#");
    return hash < 0 ? url : StringPrototypeSlice(url, 0, hash);
  }

  // Many an app asks for one URL over and over.
  let lastInput = "";
  let lastURL = "";

  function countSubrequest() {
    const exchange = currentExchange();
    if (exchange === undefined) return;
    if (exchange.subrequests >= running.subrequestLimit) {
      throw new TypeError("Too many subrequests: a request may make " + running.subrequestLimit + ".");
    }
    exchange.subrequests++;
  }
  internals.countSubrequest = countSubrequest;

  // ---- Sending ----

  function send(call, what, app) {
    const target = (what === WHAT_SERVICE ? app + " " : "") + call.method + " " + call.url;
    let flags = 0;
    if (call.redirect === "manual") flags = OPEN_MANUAL_REDIRECT;
    else if (call.redirect === "error") flags = OPEN_ERROR_REDIRECT;
    if (call.isUpgrade) {
      internals.load(WEBSOCKET_SCRIPT);
      flags |= OPEN_UPGRADE;
      if (what === WHAT_FETCH) what = WHAT_WEBSOCKET;
    }
    const { body } = call;
    if (body === null) {
      call.handle = open(what, flags, target, call.head, null, 0, 0, call);
      return;
    }
    call.body = null;
    const data = typeof body === "string" ? body : takeForSending(body);
    if (data !== null) {
      call.handle = io.open(what, flags | OPEN_HAS_BODY, target, call.head, data, 0, 0, call);
    } else {
      sendStream(call, what, flags, target, body);
    }
  }

  // A body whose bytes come by a handle goes by without JavaScript; any other stream is read here.
  function sendStream(call, what, flags, target, body) {
    const source = internals.sourceOfBody(body);
    let length = source !== null ? source.length : internals.fixedLengthOf(internals.bodyStream(body));
    if (length >= 0) flags |= OPEN_FIXED_LENGTH;
    else length = 0;
    if (source !== null) {
      call.handle = io.open(what, flags, target, call.head, null, internals.takeHandle(body), length, call);
      return;
    }
    call.handle = io.open(what, flags | OPEN_BODY_FOLLOWS, target, call.head, null, 0, length, call);
    call.startPump(body.stream);
  }

  function start(call, what, app) {
    const { promise, resolve, reject } = PromiseWithResolvers();
    call.resolve = resolve;
    call.reject = reject;
    const { signal } = call;
    if (signal !== null) {
      call.stop = () => call.abort();
      internals.abort.add(signal, call.stop);
    }
    send(call, what, app);
    return promise;
  }

  internals.missingInput = (context) =>
    PromiseReject(new TypeError(context + ": 1 argument required, but only 0 present."));

  function fetchFrom(what, app, input, init, context) {
    try {
      const call = new Call();
      prepare(call, input, init, context);
      const { signal, url } = call;
      if (signal !== null && internals.abort.isAborted(signal)) {
        discard(call, internals.abort.reason(signal));
        return PromiseReject(internals.abort.reason(signal));
      }
      if (!StringPrototypeStartsWith(url, "http:") && !StringPrototypeStartsWith(url, "https:")) {
        return fetchOther(call, context);
      }
      countSubrequest();
      if (what === WHAT_FETCH && internals.newResourceTiming !== undefined) {
        call.timing = internals.newResourceTiming(url);
      }
      return start(call, what, app);
    } catch (error) {
      return PromiseReject(error);
    }
  }
  internals.fetchFrom = fetchFrom;

  // The body of a request that is not made is canceled.
  function discard(call, reason) {
    const { body } = call;
    if (body === null || typeof body === "string") return;
    if (body.stream !== null) internals.streams.cancel(body.stream, reason);
    else if (internals.isSource !== undefined && internals.isSource(body.source)) body.source.cancel(false);
  }

  function fetchOther(call, context) {
    const { url } = call;
    if (StringPrototypeStartsWith(url, "data:")) {
      internals.load(DATA_SCRIPT);
      return internals.fetchDataURL(url, call.method);
    }
    if (isBlobURL(url)) {
      internals.load(DATA_SCRIPT);
      return internals.fetchBlob(url, call.method, call.blob);
    }
    const scheme = StringPrototypeSlice(url, 0, StringPrototypeIndexOf(url, ":"));
    throw new TypeError(context + ": URL scheme '" + scheme + "' is not supported.");
  }

  const { fetch } = {
    fetch(input, init = undefined) {
      requireStarted("fetch()");
      const context = "Failed to execute 'fetch'";
      if (arguments.length === 0) return internals.missingInput(context);
      return fetchFrom(WHAT_FETCH, "", input, init, context);
    },
  };
  internals.define("fetch", fetch, true);
})
