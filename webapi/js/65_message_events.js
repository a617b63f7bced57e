// MessageEvent (HTML 9.1), CloseEvent (WebSockets 5) and ErrorEvent (HTML 8.1.4.3): events of the runtime that
// carry something.
//
// For other scripts, trusted events:
//   internals.messageEvents: newMessageEvent(type, data, origin, lastEventId, ports = a frozen empty array)
//     newCloseEvent(code, reason, wasClean) newErrorEvent(message, error)
//     newUncaughtEvent(message, error, filename, lineno, colno)  of the global object: it can be canceled
//   internals.errorParts(event)  what onerror of the global object is called with, or undefined for other events
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty, ObjectFreeze, TypeError } = internals.primordials;
  const { configureInterface, events, webidl } = internals;
  const { Event } = internals;

  // First argument of the constructors for events of the runtime; nothing that an app can name.
  const INTERNAL = { __proto__: null };
  const CANCELABLE = { __proto__: null, cancelable: true };

  // A member of a dictionary of which `fallback` is the default value.
  const string = (value, fallback, context) => value === undefined ? fallback : webidl.DOMString(value, context);

  const isPort = (value) => internals.isMessagePort !== undefined && internals.isMessagePort(value);

  class MessageEvent extends Event {
    #data;
    #origin;
    #lastEventId;
    #source = null;
    #ports;

    constructor(type, eventInitDict = undefined, data = undefined, origin = "", lastEventId = "", given = undefined) {
      if (type === INTERNAL) {
        super(eventInitDict);
        events.trust(this);
        this.#data = data;
        this.#origin = origin;
        this.#lastEventId = lastEventId;
        this.#ports = given;
        return;
      }
      const context = "Failed to construct 'MessageEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      const content = init.data;
      this.#data = content === undefined ? null : content;
      this.#lastEventId = string(init.lastEventId, "", context);
      this.#origin = webidl.USVString(string(init.origin, "", context), context);
      const { ports, source } = init;
      if (ports !== undefined) {
        this.#ports = ObjectFreeze(webidl.sequence(ports, context, (port) => {
          if (!isPort(port)) throw new TypeError(context + ": member ports holds something else than MessagePorts.");
          return port;
        }));
      }
      if (source !== undefined && source !== null) {
        if (!isPort(source)) throw new TypeError(context + ": member source is not of type MessageEventSource.");
        this.#source = source;
      }
    }
    get data() {
      if (!(#data in this)) throw webidl.illegalInvocation();
      return this.#data;
    }
    get origin() {
      if (!(#data in this)) throw webidl.illegalInvocation();
      return this.#origin;
    }
    get lastEventId() {
      if (!(#data in this)) throw webidl.illegalInvocation();
      return this.#lastEventId;
    }
    get source() {
      if (!(#data in this)) throw webidl.illegalInvocation();
      return this.#source;
    }
    get ports() {
      if (!(#data in this)) throw webidl.illegalInvocation();
      return this.#ports ??= ObjectFreeze([]);
    }
  }

  class CloseEvent extends Event {
    #wasClean;
    #code;
    #reason;

    constructor(type, eventInitDict = undefined, reason = "", wasClean = false) {
      if (type === INTERNAL) {
        super("close");
        events.trust(this);
        this.#code = eventInitDict;
        this.#reason = reason;
        this.#wasClean = wasClean;
        return;
      }
      const context = "Failed to construct 'CloseEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      const { code } = init;
      this.#code = code === undefined ? 0 : webidl.unsignedShort(code, context);
      this.#reason = webidl.USVString(string(init.reason, "", context), context);
      this.#wasClean = !!init.wasClean;
    }
    get wasClean() {
      if (!(#code in this)) throw webidl.illegalInvocation();
      return this.#wasClean;
    }
    get code() {
      if (!(#code in this)) throw webidl.illegalInvocation();
      return this.#code;
    }
    get reason() {
      if (!(#code in this)) throw webidl.illegalInvocation();
      return this.#reason;
    }
  }

  class ErrorEvent extends Event {
    #message = "";
    #filename = "";
    #lineno = 0;
    #colno = 0;
    #error = undefined;

    static {
      internals.errorParts = (event) => #message in event
        ? [event.#message, event.#filename, event.#lineno, event.#colno, event.#error] : undefined;
    }

    constructor(type, eventInitDict = undefined, error = undefined, filename = undefined, line = 0, column = 0) {
      if (type === INTERNAL) {
        super("error", filename === undefined ? undefined : CANCELABLE);
        events.trust(this);
        this.#message = eventInitDict;
        this.#error = error;
        this.#filename = filename ?? "";
        this.#lineno = line;
        this.#colno = column;
        return;
      }
      const context = "Failed to construct 'ErrorEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      const { colno } = init;
      if (colno !== undefined) this.#colno = webidl.unsignedLong(colno, context);
      this.#error = init.error;
      this.#filename = webidl.USVString(string(init.filename, "", context), context);
      const { lineno } = init;
      if (lineno !== undefined) this.#lineno = webidl.unsignedLong(lineno, context);
      this.#message = string(init.message, "", context);
    }
    get message() {
      if (!(#message in this)) throw webidl.illegalInvocation();
      return this.#message;
    }
    get filename() {
      if (!(#message in this)) throw webidl.illegalInvocation();
      return this.#filename;
    }
    get lineno() {
      if (!(#message in this)) throw webidl.illegalInvocation();
      return this.#lineno;
    }
    get colno() {
      if (!(#message in this)) throw webidl.illegalInvocation();
      return this.#colno;
    }
    get error() {
      if (!(#message in this)) throw webidl.illegalInvocation();
      return this.#error;
    }
  }

  const interfaces = [MessageEvent, CloseEvent, ErrorEvent];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: 1 });
    internals.define(interfaces[i].name, interfaces[i]);
  }

  internals.messageEvents = {
    __proto__: null,
    newMessageEvent: (type, data, origin, lastEventId, ports) =>
      new MessageEvent(INTERNAL, type, data, origin, lastEventId, ports),
    newCloseEvent: (code, reason, wasClean) => new CloseEvent(INTERNAL, code, reason, wasClean),
    newErrorEvent: (message, error) => new ErrorEvent(INTERNAL, message, error),
    newUncaughtEvent: (message, error, filename, lineno, colno) =>
      new ErrorEvent(INTERNAL, message, error, filename, lineno, colno),
  };
})
