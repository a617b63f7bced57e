// WebSocket (https://websockets.spec.whatwg.org/), and as in Workers WebSocketPair, accept() and the response
// with status 101.
//
// Behind each WebSocket is an End. What an end sends goes by its handle to the loop, which frames it; or, as
// long as a pair lies within this isolate, to the other end, its `peer`. When one end of a pair is given to the
// client with a response, the other end takes over that connection: the one that was given is only a token.
//
// binaryType is "blob" from the start for new WebSocket(), as the standard has it, and "arraybuffer" for the ends of
// a WebSocketPair and what fetch() gives, as Workers have it.
//
// For other scripts:
//   internals.isWebSocket(value)
//   internals.whyNotUpgradable(socket)        why a response cannot be sent with it, or ""
//   internals.upgradeWebSocket(socket, exchange)  a handle for KindRespond; the exchange ends when the socket has
//     closed
//   internals.dropWebSocket(socket)           nobody will have the response that it was given with
//   internals.newUpgrade(url)                 of a fetch(): { socket, end }; the end takes what io says of the
//     handle from `opened` on: end.attach(handle), then onOpened, onData, onWritten, onClosed, onEnd
(function (ops, internals) {
  "use strict";
  const {
    List, ObjectDefineProperty, SafeSet, SetPrototypeGetSize, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeStartsWith, StringPrototypeToLowerCase, StringPrototypeToWellFormed, SymbolIterator, TypeError,
    TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  internals.load("65_message_events");
  const { configureInterface, events, io, messageEvents, requireStarted, running, webidl } = internals;
  const { EventTarget, defineHandler, dispatch } = events;
  const { drainMicrotasks, dropData, encodeUtf8, takeData, takeText, urlComponents, urlParse } = ops;

  const BLOB_SCRIPT = "51_blob";
  const FETCH_SCRIPT = "60_fetch";

  const WHAT_WEBSOCKET = 5;
  const WHAT_UPGRADE = 6;

  // Kinds of messages, in records both ways, and the flag of a write that is to be acknowledged.
  const TEXT = 1;
  const BINARY = 2;
  const WRITE_ACK = 4;
  const WORD_LENGTH = 4; // of a data record

  // Messages go out ahead of the loop's word that it has taken them. From ACK_BYTES on that word is asked for,
  // from AHEAD_MAX_BYTES on messages wait in `waiting`.
  const ACK_BYTES = 32 * 1024;
  const AHEAD_MAX_BYTES = 256 * 1024;
  // What may come in before the app has seen what came before.
  const WINDOW_BYTES = 256 * 1024;

  const CONNECTING = 0;
  const OPEN = 1;
  const CLOSING = 2;
  const CLOSED = 3;

  const CODE_NONE = 1005; // RFC 6455, 7.4.1: no code was given
  const CODE_LOST = 1006; // the connection ended without a close frame
  const CODE_INTERNAL_ERROR = 1011;
  const REASON_BYTES_MAX = 123;

  const INTERNAL = { __proto__: null }; // lets the runtime construct what apps may not
  const nothing = () => {};

  // First in, first out, as a linked list: no setter of the app sees it.
  class Queue {
    first = null;
    last = null;

    push(message) {
      if (this.last === null) this.first = message;
      else this.last.next = message;
      this.last = message;
    }
    shift() {
      const message = this.first;
      this.first = message.next;
      if (this.first === null) this.last = null;
      return message;
    }
  }

  // What waits in a Queue: a message, or with kind CLOSE the end of them.
  class Message {
    kind;
    data; // string or Uint8Array that is ours; of CLOSE the reason
    size; // bytes
    code = 0; // of CLOSE
    next = null;
    constructor(kind, data, size) {
      this.kind = kind;
      this.data = data;
      this.size = size;
    }
  }
  const CLOSE = 0;

  class End {
    socket = null; // the WebSocket; null for the inner end of a relay
    state = OPEN;
    isStandard = false; // made by new WebSocket(): the rules for browsers hold
    isAccepted = false;
    isTaken = false; // it was given away with a response
    hasClosed = false; // this side has sent its close
    handle = 0; // of the connection; 0: none (any more)
    isOpened = false; // the connection can be written to
    peer = null; // the End at the other side, within this isolate
    isRelay = false; // `peer` takes what the connection brings, not the app
    protocols = null; // those offered, or null
    arrived = new Queue(); // what the peer has sent and nobody has been told of
    isScheduled = false; // a timer will tell
    waiting = new Queue(); // what is to go out, once it may
    waitingBytes = 0;
    ahead = 0; // bytes that went out since the loop said last that it has taken them
    asksAck = false;
    turn = 0; // in which messages went out last
    sent = 0; // bytes of them
    lost = 0; // bytes that were sent when it was too late, which bufferedAmount counts
    consumed = 0; // bytes that came in since the window was opened last
    done = nothing; // called once it has closed

    // ---- Sending ----

    // Sends a message; data: a string, or bytes that the caller may change afterwards.
    send(kind, data) {
      if (this.handle === 0) {
        const copy = copyOf(data);
        const size = sizeOf(copy);
        this.waitingBytes += size;
        this.peer.receive(new Message(kind, copy, size));
      } else if (this.isOpened && this.waiting.first === null && this.ahead < AHEAD_MAX_BYTES) {
        this.write(kind, data);
      } else {
        const bytes = typeof data === "string" ? encodeUtf8(data) : copyOf(data);
        const size = TypedArrayPrototypeGetByteLength(bytes);
        this.waitingBytes += size;
        this.waiting.push(new Message(kind, bytes, size));
      }
    }

    // A string's length is a third of its bytes at least: without the loop's word, less than AHEAD_MAX_BYTES are
    // ahead.
    write(kind, data) {
      const length = typeof data === "string" ? data.length : TypedArrayPrototypeGetByteLength(data);
      if (this.ahead + length >= ACK_BYTES && !this.asksAck) {
        this.asksAck = true;
        kind |= WRITE_ACK;
      }
      const size = io.write(this.handle, data, kind);
      this.ahead += size;
      if (this.turn !== running.turn) {
        this.turn = running.turn;
        this.sent = 0;
      }
      this.sent += size;
    }

    // What was sent and may not have left: at least all of this turn, as the standard says.
    get bufferedAmount() {
      const ahead = this.asksAck ? this.ahead : this.turn === running.turn ? this.sent : 0;
      return this.waitingBytes + this.lost + ahead;
    }

    // Sends what waits, as far as it may.
    flush() {
      while (this.waiting.first !== null && this.ahead < AHEAD_MAX_BYTES) {
        const { kind, data, size, code } = this.waiting.shift();
        if (kind === CLOSE) {
          io.finish(this.handle, false, code, data);
          continue;
        }
        this.waitingBytes -= size;
        this.write(kind, data);
      }
      // A relay takes more once this has left.
      if (this.isRelay && this.waiting.first === null) this.peer.giveCredit();
    }

    // Starts the closing handshake; code 0: none was given.
    close(code, reason) {
      this.hasClosed = true;
      if (this.state === OPEN) this.state = CLOSING;
      const message = new Message(CLOSE, reason, 0);
      message.code = code;
      if (this.handle === 0) {
        this.peer.receive(message);
      } else if (this.isOpened && this.waiting.first === null) {
        io.finish(this.handle, false, code, reason);
      } else {
        this.waiting.push(message);
      }
    }

    // ---- Within the isolate ----

    receive(message) {
      this.arrived.push(message);
      if (this.isAccepted) this.schedule();
    }

    // Messages are tasks: whoever sends one goes on before it is seen.
    schedule() {
      if (this.isScheduled || this.arrived.first === null) return;
      this.isScheduled = true;
      internals.setTimer("WebSocket", () => this.deliverArrived(), 0);
    }

    // What was there at the beginning; what comes meanwhile is another task.
    deliverArrived() {
      this.isScheduled = false;
      for (let message = this.arrived.first, last = this.arrived.last; message !== null; message = this.arrived.first) {
        this.arrived.shift();
        const { kind, data, size, code } = message;
        if (kind === CLOSE) {
          this.takeClose(code, data);
        } else {
          this.peer.waitingBytes -= size;
          this.deliver(data);
        }
        if (message === last) break;
        drainMicrotasks();
      }
      this.schedule();
    }

    // The peer has closed: the answer to that is ours to give, unless both have.
    takeClose(code, reason) {
      const { peer } = this;
      const heard = code === 0 ? CODE_NONE : code;
      if (!this.hasClosed) {
        this.hasClosed = true;
        const answer = new Message(CLOSE, reason, 0);
        answer.code = code;
        peer.receive(answer);
      }
      this.closed(heard, reason, true);
    }

    // ---- What io says ----

    attach(handle) {
      this.handle = handle;
    }

    onOpened(text) {
      this.isOpened = true;
      if (this.socket !== null) {
        const line = StringPrototypeIndexOf(text, "\n");
        const protocol = line < 0 ? text : StringPrototypeSlice(text, 0, line);
        if (!this.isOffered(protocol)) {
          this.drop();
          this.fail("The server chose a protocol that was not offered: " + protocol);
          return;
        }
        setNegotiated(this.socket, protocol, line < 0 ? "" : StringPrototypeSlice(text, line + 1));
      }
      if (this.state === CONNECTING) {
        this.state = OPEN;
        this.isAccepted = true;
        dispatch(this.socket, events.newEvent("open"));
      }
      this.flush();
      if ((this.isAccepted || this.isRelay) && this.handle !== 0) io.read(this.handle, WINDOW_BYTES, false);
    }

    isOffered(protocol) {
      if (this.protocols === null || protocol === "") return true;
      for (let i = 0; i < this.protocols.length; i++) if (this.protocols[i] === protocol) return true;
      return false;
    }

    onData(words, offset, kind) {
      this.consumed += words[offset + WORD_LENGTH];
      if (this.isRelay) {
        if (this.peer.handle === 0) dropData(words, offset);
        else this.peer.send(kind, takeData(words, offset));
        if (this.peer.waiting.first === null) this.giveCredit();
        return;
      }
      this.deliver(kind === TEXT ? takeText(words, offset) : takeData(words, offset));
      this.giveCredit();
      drainMicrotasks(); // each message is a task of its own
    }

    // Opens the window again, by and by.
    giveCredit() {
      if (this.consumed < WINDOW_BYTES / 2 || this.handle === 0) return;
      io.read(this.handle, this.consumed, false);
      this.consumed = 0;
    }

    onWritten() {
      this.asksAck = false;
      this.ahead = 0;
      this.flush();
    }

    onClosed(code, reason, clean) {
      this.release();
      if (this.isRelay) this.peer.relayClosed(code, reason, clean);
      else this.closed(code, reason, clean);
      this.settle();
    }

    // Fault 0 says that nothing more is to come, which onClosed says as well.
    onEnd(fault, text) {
      if (fault === 0) return;
      this.release();
      if (this.isRelay) this.peer.relayClosed(CODE_LOST, "", false);
      else this.fail(text);
      this.settle();
    }

    // The handle is gone.
    release() {
      if (this.handle !== 0) io.forget(this.handle);
      this.handle = 0;
    }

    settle() {
      const { done } = this;
      this.done = nothing;
      done();
    }

    // The other side of a relay has ended: so does this one.
    relayClosed(code, reason, clean) {
      if (this.handle === 0 || this.hasClosed) return;
      if (clean) this.close(code === CODE_NONE ? 0 : code, reason);
      else if (this.isOpened) this.close(CODE_INTERNAL_ERROR, "");
      else this.drop();
    }

    // The connection ends at once.
    drop() {
      io.cancel(this.handle, true);
      this.release();
      this.settle();
    }

    // ---- Events ----

    deliver(data) {
      if (this.state !== OPEN && (this.isStandard || this.state === CLOSED)) return;
      const { socket } = this;
      let value = data;
      if (typeof data !== "string") {
        if (binaryTypeOf(socket) === "blob") {
          internals.load(BLOB_SCRIPT);
          value = internals.createBlob(data, "");
        } else {
          value = TypedArrayPrototypeGetBuffer(data);
        }
      }
      dispatch(socket, messageEvents.newMessageEvent("message", value, originOf(socket), ""));
    }

    // The connection could not be made, or broke its protocol.
    fail(text) {
      if (this.state === CLOSED) return;
      this.release();
      this.state = CLOSED;
      const message = text === "" ? "WebSocket: the connection failed" : text;
      dispatch(this.socket, messageEvents.newErrorEvent(message, new TypeError(message)));
      dispatch(this.socket, messageEvents.newCloseEvent(CODE_LOST, "", false));
    }

    closed(code, reason, clean) {
      if (this.state === CLOSED) return;
      this.state = CLOSED;
      dispatch(this.socket, messageEvents.newCloseEvent(code, reason, clean));
    }
  }

  // ---- Values ----

  // A string, or a copy of bytes.
  function copyOf(data) {
    if (typeof data === "string") return data;
    const copy = new Uint8Array(TypedArrayPrototypeGetByteLength(data));
    TypedArrayPrototypeSet(copy, data);
    return copy;
  }

  const sizeOf = (data) => TypedArrayPrototypeGetByteLength(typeof data === "string" ? encodeUtf8(data) : data);

  // What send() was given: a string, or bytes that are still the app's.
  function toData(value, context) {
    if (typeof value === "string") return StringPrototypeToWellFormed(value);
    if (webidl.isObject(value)) {
      const bytes = io.bytesOf(value);
      if (bytes !== null) return bytes;
      if (internals.isBlob !== undefined && internals.isBlob(value)) return internals.blobBytes(value);
    }
    return webidl.USVString(value, context);
  }

  // A code that close() may be called with: 1000 and an application's own by the standard; of those of RFC 6455
  // also what a server has to say.
  function isCloseCode(code, isStandard) {
    if (code === 1000 || (code >= 3000 && code <= 4999)) return true;
    return !isStandard && code > 1000 && code <= 1014 && (code < 1004 || code > 1006);
  }

  // The URL of a WebSocket in normal form, with ws: or wss:.
  function parseURL(input, context) {
    let href = urlParse(input, undefined);
    if (href !== null && StringPrototypeStartsWith(href, "http")) {
      href = urlParse("ws" + StringPrototypeSlice(href, 4), undefined);
    }
    if (href === null) throw internals.domException(context + ": The URL '" + input + "' is invalid.", "SyntaxError");
    if (!StringPrototypeStartsWith(href, "ws:") && !StringPrototypeStartsWith(href, "wss:")) {
      throw internals.domException(context + ": The URL's scheme must be 'http', 'https', 'ws' or 'wss'.",
        "SyntaxError");
    }
    if (StringPrototypeIndexOf(href, "#") >= 0) {
      throw internals.domException(context + ": The URL contains a fragment identifier.", "SyntaxError");
    }
    return href;
  }

  // The argument `protocols`, as a List of strings that differ, and not in case only.
  function toProtocols(value, context) {
    const list = new List();
    if (value === undefined) return list;
    const isSequence = webidl.isObject(value) && value[SymbolIterator] !== undefined;
    const given = isSequence ? webidl.sequence(value, context, webidl.DOMString) : [webidl.DOMString(value, context)];
    const seen = new SafeSet();
    for (let i = 0; i < given.length; i++) {
      seen.add(StringPrototypeToLowerCase(given[i]));
      if (!internals.isToken(given[i]) || SetPrototypeGetSize(seen) !== i + 1) {
        throw internals.domException(context + ": The subprotocol '" + given[i] + "' is invalid or duplicated.",
          "SyntaxError");
      }
      list[i] = given[i];
    }
    return list;
  }

  function join(list) {
    let text = "";
    for (let i = 0; i < list.length; i++) text += i === 0 ? list[i] : ", " + list[i];
    return text;
  }

  // ---- WebSocket ----

  let binaryTypeOf, endOf, originOf, setNegotiated;
  const BINARY_TYPES = { __proto__: null, arraybuffer: true, blob: true };

  class WebSocket extends EventTarget {
    #end;
    #url;
    #origin = null;
    #protocol = "";
    #extensions = "";
    #binaryType = "arraybuffer";

    static {
      endOf = (value) => (webidl.isObject(value) && #end in value ? value.#end : undefined);
      binaryTypeOf = (socket) => socket.#binaryType;
      originOf = (socket) => socket.#origin ??= origin(socket.#url);
      setNegotiated = (socket, protocol, extensions) => {
        socket.#protocol = protocol;
        socket.#extensions = extensions;
      };
    }

    constructor(url, protocols = undefined) {
      super();
      if (url === INTERNAL) {
        this.#end = new End();
        this.#url = protocols;
        this.#end.socket = this;
        return;
      }
      const context = "Failed to construct 'WebSocket'";
      webidl.requiredArguments(arguments.length, 1, context);
      const href = parseURL(webidl.USVString(url, context), context);
      const offered = toProtocols(protocols, context);
      requireStarted("new WebSocket()");
        internals.load(FETCH_SCRIPT);
      internals.countSubrequest();
      const end = new End();
      end.socket = this;
      end.state = CONNECTING;
      end.isStandard = true;
      end.protocols = offered;
      this.#end = end;
      this.#url = href;
      this.#binaryType = "blob";
      const head = offered.length === 0 ? "" : "sec-websocket-protocol: " + join(offered) + "\r\n";
      end.handle = io.open(WHAT_WEBSOCKET, 0, "GET " + href, head, null, 0, 0, end);
    }

    // Begins to take what the other side sends. Sockets of new WebSocket() need it not.
    accept() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      const end = this.#end;
      if (end.isTaken) throw new TypeError("Can't accept() WebSocket that was already used in a response.");
      if (end.isStandard || end.isAccepted) throw new TypeError("Can't accept() WebSocket that is accepted already.");
      end.isAccepted = true;
      if (end.handle === 0) end.schedule();
      else if (end.isOpened) io.read(end.handle, WINDOW_BYTES, false);
    }

    send(data) {
      if (!(#end in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'send' on 'WebSocket'";
      webidl.requiredArguments(arguments.length, 1, context);
      const message = toData(data, context);
      const end = this.#end;
      if (end.state === CONNECTING) {
        throw internals.domException(context + ": Still in CONNECTING state.", "InvalidStateError");
      }
      if (!end.isStandard) requireAccepted(end, "sending messages");
      if (end.state !== OPEN) {
        if (end.hasClosed && end.state === CLOSING && !end.isStandard) {
          throw new TypeError("Can't call WebSocket send() after close().");
        }
        end.lost += sizeOf(message);
        return;
      }
      end.send(typeof message === "string" ? TEXT : BINARY, message);
    }

    close(code = undefined, reason = undefined) {
      if (!(#end in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'close' on 'WebSocket'";
      const end = this.#end;
      let number = 0;
      if (code !== undefined) {
        number = webidl.unsignedShort(code, context, "clamp");
        if (!isCloseCode(number, end.isStandard)) {
          throw internals.domException(context + ": The close code must be 1000 or from 3000 to 4999. " + number +
            " is neither.", "InvalidAccessError");
        }
      }
      let text = "";
      if (reason !== undefined) {
        text = webidl.USVString(reason, context);
        if (TypedArrayPrototypeGetByteLength(encodeUtf8(text)) > REASON_BYTES_MAX) {
          throw internals.domException(context + ": The close reason must not be longer than " + REASON_BYTES_MAX +
            " UTF-8 bytes.", "SyntaxError");
        }
        // A close frame has no reason without a code.
        if (number === 0 && text !== "") number = 1000;
      }
      if (!end.isStandard) requireAccepted(end, "closing it");
      if (end.state === CONNECTING) {
        end.state = CLOSING;
        end.drop();
        internals.setTimer("WebSocket", () => end.fail("WebSocket was closed before the connection was made"), 0);
      } else if (end.state === OPEN) {
        end.close(number, text);
      }
    }

    get url() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#url;
    }
    get readyState() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#end.state;
    }
    get bufferedAmount() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#end.bufferedAmount;
    }
    get extensions() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#extensions;
    }
    get protocol() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#protocol;
    }
    get binaryType() {
      if (!(#end in this)) throw webidl.illegalInvocation();
      return this.#binaryType;
    }
    set binaryType(value) {
      if (!(#end in this)) throw webidl.illegalInvocation();
      const text = webidl.DOMString(value, "Failed to set the 'binaryType' property on 'WebSocket'");
      if (BINARY_TYPES[text] === true) this.#binaryType = text; // other values are ignored (Web IDL 3.7.6)
    }
  }

  function requireAccepted(end, what) {
    if (end.isTaken) throw new TypeError("This WebSocket was already used in a response.");
    if (!end.isAccepted) throw new TypeError("You must call accept() on this WebSocket before " + what + ".");
  }

  // The origin of a URL in normal form, "" of none.
  function origin(url) {
    if (url === "") return "";
    const components = urlComponents();
    const href = urlParse(url, undefined);
    // Without a user name: from the host's start, which is the "@" if there is one.
    let start = components[2];
    if (href[start] === "@") start++;
    return StringPrototypeSlice(href, 0, components[0]) + "//" + StringPrototypeSlice(href, start, components[5]);
  }

  const types = ["open", "message", "error", "close"];
  for (let i = 0; i < types.length; i++) defineHandler(WebSocket.prototype, types[i]);
  configureInterface(WebSocket);
  ObjectDefineProperty(WebSocket, "length", { __proto__: null, value: 1 });
  const states = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
  for (let i = 0; i < states.length; i++) {
    const constant = { __proto__: null, value: i, writable: false, enumerable: true, configurable: false };
    ObjectDefineProperty(WebSocket, states[i], constant);
    ObjectDefineProperty(WebSocket.prototype, states[i], constant);
    ObjectDefineProperty(WebSocket, "READY_STATE_" + states[i], constant); // as in Workers
  }

  // ---- WebSocketPair ----

  // Two WebSockets that are connected with each other: properties 0 and 1.
  class WebSocketPair {
    constructor() {
      const first = new WebSocket(INTERNAL, "");
      const second = new WebSocket(INTERNAL, "");
      endOf(first).peer = endOf(second);
      endOf(second).peer = endOf(first);
      ObjectDefineProperty(this, 0, newElement(first));
      ObjectDefineProperty(this, 1, newElement(second));
    }
  }
  const newElement = (value) => ({ __proto__: null, value, writable: true, enumerable: true, configurable: true });
  configureInterface(WebSocketPair);

  // ---- Responses ----

  internals.isWebSocket = (value) => endOf(value) !== undefined;

  internals.whyNotUpgradable = function whyNotUpgradable(socket) {
    const end = endOf(socket);
    if (end.isTaken) return "a WebSocket that was already used in a response";
    if (end.isStandard) return "a WebSocket that new WebSocket() has made";
    if (end.isAccepted) return "a WebSocket on which accept() was called; pass the other one of the pair";
    if (end.handle !== 0 ? end.state !== OPEN : end.peer === null) return "a WebSocket that is closed";
    return "";
  };

  internals.upgradeWebSocket = function upgradeWebSocket(socket, exchange) {
    const given = endOf(socket);
    given.isTaken = true;
    const end = given.handle === 0 ? given.peer : relay(given);
    if (given.handle === 0) takeOver(given, end);
    internals.holdExchange(exchange);
    exchange.pending = true;
    exchange.isRenewed = true;
    internals.copyRecord(exchange);
    exchange.request = null;
    end.done = () => internals.releaseExchange(exchange);
    end.handle = io.open(WHAT_UPGRADE, 0, "", "", null, 0, 0, end);
    return end.handle;
  };

  internals.dropWebSocket = function dropWebSocket(socket) {
    const given = endOf(socket);
    given.isTaken = true;
    if (given.handle !== 0) given.drop();
    else if (given.peer !== null) given.peer.closed(CODE_LOST, "", false);
  };

  // The other end of a pair gets the connection; what it has sent so far goes out by that.
  function takeOver(given, end) {
    given.peer = null;
    end.peer = null;
    end.waitingBytes = 0;
    end.waiting = given.arrived;
    given.arrived = new Queue();
    for (let message = end.waiting.first; message !== null; message = message.next) {
      if (message.kind !== CLOSE && typeof message.data === "string") message.data = encodeUtf8(message.data);
      end.waitingBytes += message.size;
    }
  }

  // An end that passes on what comes for `end`, a connection of the app's own, and the other way round.
  function relay(end) {
    const inner = new End();
    inner.isRelay = end.isRelay = true;
    inner.peer = end;
    end.peer = inner;
    if (end.isOpened) io.read(end.handle, WINDOW_BYTES, false);
    return inner;
  }

  internals.newUpgrade = function newUpgrade(url) {
    const socket = new WebSocket(INTERNAL, url);
    return { __proto__: null, socket, end: endOf(socket) };
  };

  internals.define("WebSocket", WebSocket);
  internals.define("WebSocketPair", WebSocketPair);
})
