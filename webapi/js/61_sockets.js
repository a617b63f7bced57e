// connect() and Socket of the Sockets API (https://sockets-api.proposal.wintercg.org), which apps import from
// "nano:sockets" or, as in Workers, "cloudflare:sockets".
//
// For other scripts:
//   internals.connect   the function that the modules export
(function (ops, internals) {
  "use strict";
  const {
    NumberParseInt, ObjectDefineProperty, PromiseReject, PromiseWithResolvers, StringPrototypeCharCodeAt,
    StringPrototypeIndexOf, StringPrototypeSlice, TypeError, TypedArrayPrototypeGetByteLength,
  } = internals.primordials;
  const { configureInterface, io, requireStarted, webidl } = internals;
  const { takeData, urlComponents, urlParse } = ops;
  internals.load("53_streams");
  internals.load("60_fetch");
  const { streams } = internals;

  const WHAT_TCP = 4;
  const OPEN_TLS = 1;
  const OPEN_START_TLS = 2;
  const FAULT_NONE = 0;
  const WORD_LENGTH = 4; // of a data record
  const CONTEXT = "Failed to execute 'connect'";
  const TRANSPORTS = { __proto__: null, off: true, on: true, starttls: true };
  const INTERNAL = { __proto__: null }; // lets the runtime construct what apps may not
  const WINDOW_BYTES = 64 * 1024; // that may arrive before the app has read what came before
  const WRITE_BYTES = 64 * 1024; // that a writer may be ahead of the network

  const socketError = (text) => new TypeError("SocketError: " + text);

  // ---- The address ----

  // "host:port" of what connect() was given; an IPv6 address is in brackets.
  function toTarget(address) {
    if (!webidl.isObject(address)) return parseAddress(webidl.USVString(address, CONTEXT));
    const hostname = webidl.USVString(address.hostname, CONTEXT);
    const port = webidl.unsignedShort(address.port, CONTEXT, "enforce");
    const isBare = StringPrototypeIndexOf(hostname, ":") >= 0 && StringPrototypeCharCodeAt(hostname, 0) !== 0x5b;
    return target(isBare ? "[" + hostname + "]" : hostname, port, hostname);
  }

  function parseAddress(address) {
    let colon = -1;
    for (let i = StringPrototypeIndexOf(address, "]") + 1; i < address.length; i++) {
      if (StringPrototypeCharCodeAt(address, i) !== 0x3a) continue;
      if (colon >= 0) throw malformed(address);
      colon = i;
    }
    if (colon < 0) throw socketError("the address '" + address + "' has no port; write \"host:port\"");
    const digits = StringPrototypeSlice(address, colon + 1);
    for (let i = 0; i < digits.length; i++) {
      const c = StringPrototypeCharCodeAt(digits, i);
      if (c < 0x30 || c > 0x39) throw malformed(address);
    }
    return target(StringPrototypeSlice(address, 0, colon), NumberParseInt(digits, 10), address);
  }

  const malformed = (address) => socketError("'" + address + "' is no address; write \"host:port\"");

  // The host in the normal form that URLs have.
  function target(host, port, given) {
    if (!(port >= 1 && port <= 65535)) throw socketError("the port of '" + given + "' is not from 1 to 65535");
    const components = urlComponents();
    const href = host === "" ? null : urlParse("http://" + host + "/", undefined);
    // No user, port, path or the like may have been in it: the path is all that follows the host.
    if (href === null || href[components[2]] === "@" || components[3] !== href.length - 1) throw malformed(given);
    return StringPrototypeSlice(href, components[2], components[3]) + ":" + port;
  }

  function toOptions(value) {
    const options = webidl.dictionary(value, CONTEXT);
    const { allowHalfOpen, secureTransport } = options;
    return {
      __proto__: null,
      allowHalfOpen: !!allowHalfOpen,
      secureTransport: secureTransport === undefined ? "off"
        : webidl.enumeration(secureTransport, TRANSPORTS, "SecureTransportKind", CONTEXT),
    };
  }

  // ---- A connection ----

  const OPENING = 0;
  const OPEN = 1;
  const CLOSED = 2;

  // What a Socket does, and what io calls.
  class Connection {
    target; // "host:port"
    allowHalfOpen;
    secureTransport;
    state = OPENING;
    handle = 0;
    opened = newPromise();
    closed = newPromise();
    isUpgraded = false; // startTls() has passed the connection on to another Socket
    readable; // see createPull and createSink of 53_streams
    writable;
    expected = 0; // bytes that the loop may still send
    hasRead = false; // nothing more comes in
    hasWritten = false; // nothing more goes out
    writing = null; // deferred of the chunk that is on its way
    constructor(target, allowHalfOpen, secureTransport) {
      this.target = target;
      this.allowHalfOpen = allowHalfOpen;
      this.secureTransport = secureTransport;
      this.readable = streams.createPull(() => this.pull(), (reason) => this.cancel(reason));
      this.writable = streams.createSink((chunk) => this.write(chunk), () => this.finish(), () => this.abort(),
        WRITE_BYTES, sizeOf);
    }

    // source: the handle of a connection that goes on as this one, or 0
    open(source) {
      const flags = this.secureTransport === "on" ? OPEN_TLS : this.secureTransport === "starttls" ? OPEN_START_TLS : 0;
      this.handle = io.open(WHAT_TCP, flags, this.target, "", null, source, 0, this);
    }

    // ---- What io says ----

    onOpened(text) {
      if (this.state !== OPENING) return;
      this.state = OPEN;
      const remote = StringPrototypeIndexOf(text, "\n");
      const local = StringPrototypeIndexOf(text, "\n", remote + 1);
      this.opened.resolve({
        remoteAddress: remote < 0 ? text : StringPrototypeSlice(text, 0, remote),
        localAddress: remote < 0 ? "" : StringPrototypeSlice(text, remote + 1, local < 0 ? text.length : local),
        alpn: local < 0 ? "" : StringPrototypeSlice(text, local + 1),
      });
    }

    onData(words, offset) {
      this.expected -= words[offset + WORD_LENGTH];
      if (!this.hasRead) this.readable.enqueue(takeData(words, offset));
    }

    onWritten() {
      const { writing } = this;
      if (writing === null) return;
      this.writing = null;
      writing.resolve(undefined);
    }

    // The peer sends no more; or the connection broke.
    onEnd(fault, text) {
      if (fault !== FAULT_NONE) {
        this.release();
        this.fail(socketError(text === "" ? "the connection was lost" : text));
        return;
      }
      if (!this.hasRead) this.readable.close();
      this.hasRead = true;
      // What the app has written already still leaves.
      if (!this.allowHalfOpen) this.writable.close();
      this.endIfDone();
    }

    // ---- In ----

    pull() {
      if (this.handle === 0 || this.expected > WINDOW_BYTES / 2) return;
      io.read(this.handle, WINDOW_BYTES - this.expected, false);
      this.expected = WINDOW_BYTES;
    }

    // The app wants no more of `readable`.
    cancel() {
      this.hasRead = true;
      if (this.handle !== 0) io.cancel(this.handle, false);
      this.endIfDone();
    }

    // ---- Out ----

    write(chunk) {
      const bytes = io.bytesOf(chunk);
      if (bytes === null) {
        const error = socketError("chunks must be ArrayBuffers or views on them");
        this.breakOff(error);
        throw error;
      }
      if (TypedArrayPrototypeGetByteLength(bytes) === 0) return undefined;
      this.writing = PromiseWithResolvers();
      io.write(this.handle, bytes, 0);
      return this.writing.promise;
    }

    // The app has closed `writable`, and all of it was written.
    finish() {
      this.hasWritten = true;
      if (this.handle !== 0) io.finish(this.handle, false);
      this.endIfDone();
    }

    // The app has aborted `writable`.
    abort() {
      this.breakOff(socketError("the writable side was aborted"));
    }

    // The peer must not take what it got for all.
    breakOff(error) {
      this.hasWritten = true;
      this.drop();
      this.fail(error);
    }

    // ---- The end ----

    endIfDone() {
      if (this.hasRead && this.hasWritten) this.end();
    }

    // Both sides have ended as they should.
    end() {
      if (this.state === CLOSED) return;
      if (this.state === OPENING) this.opened.reject(socketError("the socket was closed before it was open"));
      this.state = CLOSED;
      this.release();
      this.closed.resolve(undefined);
    }

    // Socket.close(). What was written still leaves.
    close(reason) {
      if (this.state === CLOSED) return;
      if (this.state === OPENING) {
        const error = socketError("the socket was closed before it was open");
        this.drop();
        this.opened.reject(error);
        this.state = CLOSED;
        this.readable.error(reason === undefined ? error : reason);
        this.writable.error(reason === undefined ? error : reason);
        this.closed.resolve(undefined);
        return;
      }
      if (!this.hasRead) {
        this.readable.close();
        this.cancel();
      }
      this.writable.close();
    }

    // Ends the connection at once.
    drop() {
      if (this.handle !== 0) io.cancel(this.handle, true);
      this.release();
    }

    // The handle is gone.
    release() {
      if (this.handle !== 0) io.forget(this.handle);
      this.handle = 0;
    }

    fail(error) {
      if (this.state === CLOSED) return;
      if (this.state === OPENING) this.opened.reject(error);
      this.state = CLOSED;
      if (!this.hasRead) this.readable.error(error);
      this.hasRead = true;
      this.writable.error(error);
      if (this.writing !== null) this.writing.reject(error);
      this.writing = null;
      this.closed.reject(error);
    }

    // startTls(): a connection that goes on with this one's handle, encrypted.
    upgrade() {
      const next = new Connection(this.target, this.allowHalfOpen, "on");
      next.open(this.handle);
      this.release();
      this.isUpgraded = true;
      this.state = CLOSED;
      this.hasRead = true;
      this.hasWritten = true;
      this.readable.close();
      this.writable.close();
      this.closed.resolve(undefined);
      return next;
    }
  }

  // A promise that may be rejected without anybody's having asked for it.
  function newPromise() {
    const deferred = PromiseWithResolvers();
    streams.markHandled(deferred.promise);
    return deferred;
  }

  // What a chunk counts for; at least 1, so that one that is no bytes is a chunk too, which write() refuses.
  function sizeOf(chunk) {
    const bytes = io.bytesOf(chunk);
    return bytes === null ? 1 : TypedArrayPrototypeGetByteLength(bytes);
  }

  // ---- Socket ----

  class Socket {
    #connection;

    constructor(token, connection) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#connection = connection;
    }

    get readable() {
      if (!(#connection in this)) throw webidl.illegalInvocation();
      return this.#connection.readable.stream;
    }
    get writable() {
      if (!(#connection in this)) throw webidl.illegalInvocation();
      return this.#connection.writable.stream;
    }
    get opened() {
      if (!(#connection in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#connection.opened.promise;
    }
    get closed() {
      if (!(#connection in this)) return PromiseReject(webidl.illegalInvocation());
      return this.#connection.closed.promise;
    }
    get upgraded() {
      if (!(#connection in this)) throw webidl.illegalInvocation();
      return this.#connection.isUpgraded;
    }
    get secureTransport() {
      if (!(#connection in this)) throw webidl.illegalInvocation();
      return this.#connection.secureTransport;
    }

    // Ends both directions, what was written first. The promise is `closed`.
    close(reason = undefined) {
      if (!(#connection in this)) return PromiseReject(webidl.illegalInvocation());
      this.#connection.close(reason);
      return this.#connection.closed.promise;
    }

    // Goes on as another socket over TLS. This one is closed then; its streams must not be locked.
    startTls() {
      if (!(#connection in this)) throw webidl.illegalInvocation();
      const connection = this.#connection;
      if (connection.secureTransport !== "starttls") {
        throw socketError("startTls() needs a socket of connect() with secureTransport: \"starttls\"");
      }
      if (connection.isUpgraded) throw socketError("startTls() was called already");
      if (connection.state === CLOSED) throw socketError("startTls() on a closed socket");
      if (streams.isLocked(connection.readable.stream) || streams.isWritableLocked(connection.writable.stream)) {
        throw socketError("startTls() with a reader or writer that is not released");
      }
      return new Socket(INTERNAL, connection.upgrade());
    }
  }
  configureInterface(Socket);
  ObjectDefineProperty(Socket, "length", { __proto__: null, value: 0 });

  internals.connect = function connect(address, options = undefined) {
    requireStarted("connect()");
    webidl.requiredArguments(address === undefined ? 0 : 1, 1, CONTEXT);
    const target = toTarget(address);
    const { allowHalfOpen, secureTransport } = toOptions(options);
    internals.countSubrequest();
    const connection = new Connection(target, allowHalfOpen, secureTransport);
    connection.open(0);
    return new Socket(INTERNAL, connection);
  };
})
