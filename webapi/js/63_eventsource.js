// EventSource (HTML 9.2): a stream of server-sent events that is asked for again whenever it ends.
(function (ops, internals) {
  "use strict";
  const {
    NumberParseInt, ObjectDefineProperty, StringPrototypeCharCodeAt, StringPrototypeIncludes, StringPrototypeIndexOf,
    StringPrototypeSlice, StringPrototypeToLowerCase, StringPrototypeTrim, TypeError, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  internals.load("65_message_events");
  const { abort, clearTimer, configureInterface, events, messageEvents, requireStarted, setTimer, webidl } = internals;
  const { EventTarget, defineHandler, dispatch } = events;
  const { decodeLatin1, decodeUtf8, encodeUtf8, urlParse } = ops;
  internals.load("53_streams");
  internals.load("60_fetch");

  const WHAT_FETCH = 1;
  const CONNECTING = 0;
  const OPEN = 1;
  const CLOSED = 2;
  const RECONNECT_MS = 3000;
  const LF = 0x0a;
  const CR = 0x0d;
  const INTERNAL = { __proto__: null }; // lets the runtime construct a source of a given stream

  // Takes a stream's chunks apart into events. Lines are found in the bytes, since no byte of a longer UTF-8
  // sequence looks like a line's end, and decoded one by one.
  class Parser {
    rest = null; // the bytes of a line that is not whole, in the first `length` of it
    length = 0;
    isFirst = true; // a byte order mark may come
    skipsLF = false; // the last line ended with CR
    type = "";
    data = "";
    id = ""; // the last event ID buffer
    source; // told of events
    constructor(source) {
      this.source = source;
    }

    feed(chunk) {
      const size = TypedArrayPrototypeGetByteLength(chunk);
      let start = 0;
      for (let i = 0; i < size; i++) {
        const c = chunk[i];
        if (c === LF && this.skipsLF) {
          start = i + 1;
        } else if (c === LF || c === CR) {
          this.endLine(chunk, start, i);
          start = i + 1;
        }
        this.skipsLF = c === CR;
      }
      this.keep(chunk, start, size);
    }

    keep(chunk, start, end) {
      if (start === end) return;
      const length = this.length + end - start;
      if (this.rest === null || TypedArrayPrototypeGetByteLength(this.rest) < length) {
        const grown = new Uint8Array(2 * length);
        if (this.rest !== null) TypedArrayPrototypeSet(grown, this.rest);
        this.rest = grown;
      }
      TypedArrayPrototypeSet(this.rest, view(chunk, start, end), this.length);
      this.length = length;
    }

    endLine(chunk, start, end) {
      let bytes = view(chunk, start, end);
      if (this.length !== 0) {
        this.keep(chunk, start, end);
        bytes = view(this.rest, 0, this.length);
        this.rest = null;
        this.length = 0;
      }
      const line = decodeUtf8(bytes, false, !this.isFirst);
      this.isFirst = false;
      if (line === "") {
        this.dispatch();
        return;
      }
      const colon = StringPrototypeIndexOf(line, ":");
      if (colon === 0) return; // a comment
      if (colon < 0) {
        this.setField(line, "");
        return;
      }
      const hasSpace = colon + 1 < line.length && StringPrototypeCharCodeAt(line, colon + 1) === 0x20;
      this.setField(StringPrototypeSlice(line, 0, colon), StringPrototypeSlice(line, colon + (hasSpace ? 2 : 1)));
    }

    setField(name, value) {
      switch (name) {
        case "event":
          this.type = value;
          break;
        case "data":
          this.data += value + "\n";
          break;
        case "id":
          if (!StringPrototypeIncludes(value, "\0")) this.id = value;
          break;
        case "retry":
          if (isDigits(value)) this.source.setReconnectTime(NumberParseInt(value, 10));
          break;
      }
    }

    dispatch() {
      const { data, type } = this;
      this.data = "";
      this.type = "";
      this.source.takeEvent(this.id, type, data);
    }
  }

  const view = (bytes, start, end) =>
    new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes) + start, end - start);

  function isDigits(text) {
    for (let i = 0; i < text.length; i++) {
      const c = StringPrototypeCharCodeAt(text, i);
      if (c < 0x30 || c > 0x39) return false;
    }
    return text.length !== 0;
  }

  // What an EventSource does; the object itself is `target`.
  class Source {
    target;
    url;
    state = CONNECTING;
    origin = "";
    lastEventId = "";
    reconnectTime = RECONNECT_MS;
    signal = null; // ends the fetch that is under way
    timer = 0; // until it is asked for again
    parser = null;
    reader = null;
    isAnew; // it is asked for again when it ends
    constructor(target, url, isAnew) {
      this.target = target;
      this.url = url;
      this.isAnew = isAnew;
    }

    // ---- Connecting ----

    async connect() {
      this.signal = abort.createSignal();
      const headers = { __proto__: null, accept: "text/event-stream", "cache-control": "no-cache" };
      if (this.lastEventId !== "") headers["last-event-id"] = decodeLatin1(encodeUtf8(this.lastEventId));
      let response;
      try {
        const init = { __proto__: null, headers, signal: this.signal };
        response = await internals.fetchFrom(WHAT_FETCH, "", this.url, init, "EventSource");
      } catch (error) {
        if (this.state !== CLOSED) this.retry(error);
        return;
      }
      if (this.state === CLOSED) return;
      const { status, type, url } = internals.describeResponse(response);
      if (status !== 200 || !isEventStream(type)) {
        abort.signalAbort(this.signal, undefined);
        this.fail(status !== 200 ? "the answer has status " + status : "the answer is no text/event-stream");
        return;
      }
      this.origin = originOf(url);
      this.open(internals.responseStream(response));
    }

    open(stream) {
      this.state = OPEN;
      dispatch(this.target, events.newEvent("open"));
      if (this.state === CLOSED) return;
      this.parser = new Parser(this);
      this.parser.id = this.lastEventId;
      if (stream === null) {
        this.closeSteps();
        return;
      }
      this.reader = internals.streams.acquireReader(stream);
      internals.streams.read(this.reader, this);
    }

    // "Reestablish the connection".
    retry(error) {
      this.parser = null;
      this.reader = null;
      if (!this.isAnew) {
        this.fail("the stream has ended");
        return;
      }
      this.state = CONNECTING;
      dispatch(this.target, messageEvents.newErrorEvent("EventSource: the connection was lost", error));
      if (this.state === CLOSED) return;
      this.timer = setTimer("EventSource", () => {
        this.timer = 0;
        this.connect();
      }, this.reconnectTime);
    }

    // "Fail the connection".
    fail(text) {
      this.state = CLOSED;
      const message = "EventSource: " + text;
      dispatch(this.target, messageEvents.newErrorEvent(message, new TypeError(message)));
    }

    close() {
      if (this.state === CLOSED) return;
      this.state = CLOSED;
      if (this.timer !== 0) clearTimer(this.timer);
      if (this.signal !== null) abort.signalAbort(this.signal, undefined);
      if (this.reader !== null && this.signal === null) internals.streams.cancelReader(this.reader, undefined);
    }

    // ---- The read request ----

    chunkSteps(chunk) {
      if (this.state === CLOSED) return;
      this.parser.feed(chunk);
      if (this.state === OPEN) this.readOn();
    }

    // Not from within chunkSteps: a stream with many chunks at hand must not exhaust the stack.
    async readOn() {
      await undefined;
      if (this.state === OPEN) internals.streams.read(this.reader, this);
    }

    closeSteps() {
      if (this.state === OPEN) this.retry(undefined);
    }

    errorSteps(reason) {
      if (this.state === OPEN) this.retry(reason);
    }

    // ---- What the parser says ----

    setReconnectTime(milliseconds) {
      this.reconnectTime = milliseconds;
    }

    takeEvent(id, type, data) {
      this.lastEventId = id;
      if (data === "" || this.state === CLOSED) return;
      const text = StringPrototypeSlice(data, 0, -1);
      dispatch(this.target, messageEvents.newMessageEvent(type === "" ? "message" : type, text, this.origin, id));
    }
  }

  function isEventStream(type) {
    if (type === null) return false;
    const semicolon = StringPrototypeIndexOf(type, ";");
    const essence = semicolon < 0 ? type : StringPrototypeSlice(type, 0, semicolon);
    return StringPrototypeToLowerCase(StringPrototypeTrim(essence)) === "text/event-stream";
  }

  // Of "https://host:1/path", what comes before the path.
  function originOf(url) {
    const host = StringPrototypeIndexOf(url, "//");
    const path = host < 0 ? -1 : StringPrototypeIndexOf(url, "/", host + 2);
    return path < 0 ? url : StringPrototypeSlice(url, 0, path);
  }

  class EventSource extends EventTarget {
    #source;
    #withCredentials = false;

    constructor(url, eventSourceInitDict = undefined) {
      super();
      if (url === INTERNAL) {
        this.#source = new Source(this, "", false);
        return;
      }
      const context = "Failed to construct 'EventSource'";
      webidl.requiredArguments(arguments.length, 1, context);
      const input = webidl.USVString(url, context);
      const init = webidl.dictionary(eventSourceInitDict, context);
      this.#withCredentials = !!init.withCredentials;
      const href = urlParse(input, undefined);
      if (href === null) {
        throw internals.domException(context + ": Cannot open an EventSource to '" + input + "'. The URL is invalid.",
          "SyntaxError");
      }
      requireStarted("new EventSource()");
      this.#source = new Source(this, href, true);
      this.#source.connect();
    }

    // The events of a ReadableStream of bytes, as in Workers. It is not read again when it ends.
    static from(stream) {
      const context = "Failed to execute 'from' on 'EventSource'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (!internals.streams.isReadableStream(stream)) {
        throw new TypeError(context + ": parameter 1 is not of type 'ReadableStream'.");
      }
      if (internals.streams.isLocked(stream)) throw new TypeError(context + ": The stream is locked.");
      requireStarted("EventSource.from()");
      const result = new EventSource(INTERNAL);
      const source = result.#source;
      source.reader = internals.streams.acquireReader(stream);
      setTimer("EventSource", () => {
        if (source.state === CLOSED) return;
        source.state = OPEN;
        source.parser = new Parser(source);
        dispatch(result, events.newEvent("open"));
        if (source.state === OPEN) internals.streams.read(source.reader, source);
      }, 0);
      return result;
    }

    close() {
      if (!(#source in this)) throw webidl.illegalInvocation();
      this.#source.close();
    }
    get url() {
      if (!(#source in this)) throw webidl.illegalInvocation();
      return this.#source.url;
    }
    get withCredentials() {
      if (!(#source in this)) throw webidl.illegalInvocation();
      return this.#withCredentials;
    }
    get readyState() {
      if (!(#source in this)) throw webidl.illegalInvocation();
      return this.#source.state;
    }
  }

  const types = ["open", "message", "error"];
  for (let i = 0; i < types.length; i++) defineHandler(EventSource.prototype, types[i]);
  configureInterface(EventSource);
  const states = ["CONNECTING", "OPEN", "CLOSED"];
  for (let i = 0; i < states.length; i++) {
    const constant = { __proto__: null, value: i, writable: false, enumerable: true, configurable: false };
    ObjectDefineProperty(EventSource, states[i], constant);
    ObjectDefineProperty(EventSource.prototype, states[i], constant);
  }
  internals.define("EventSource", EventSource);
})
