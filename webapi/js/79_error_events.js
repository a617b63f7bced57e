// The events of the global object that tell of errors nobody has caught (HTML 8.1.4.6 and 8.1.4.7), which the
// console logs unless a listener prevents that; PromiseRejectionEvent.
//
// For other scripts, once there is a listener:
//   internals.fireError(error) fireRejection(promise, reason) -> whether nobody has prevented the default
//   internals.onRejectionHandled(promise, reason)  hook of the C++ side: a promise that was reported has got a handler
(function (ops, internals) {
  "use strict";
  const {
    Error, NumberParseInt, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ReflectApply, String,
    StringPrototypeCharCodeAt, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeSplit, StringPrototypeStartsWith, TypeError, globalThis,
  } = internals.primordials;
  const { configureInterface, events, webidl } = internals;
  const { classify, constructorName } = ops;
  const { Event } = internals;

  const MESSAGES_SCRIPT = "65_message_events";
  const INTERNAL = { __proto__: null };
  const CANCELABLE = { __proto__: null, cancelable: true };
  const CLASS_ERROR = 1;

  // ---- PromiseRejectionEvent ----

  class PromiseRejectionEvent extends Event {
    #promise;
    #reason;
    constructor(type, eventInitDict, promise = undefined, reason = undefined) {
      if (type === INTERNAL) {
        super(eventInitDict, eventInitDict === "unhandledrejection" ? CANCELABLE : undefined);
        events.trust(this);
        this.#promise = promise;
        this.#reason = reason;
        return;
      }
      const context = "Failed to construct 'PromiseRejectionEvent'";
      webidl.requiredArguments(arguments.length, 2, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      const given = init.promise;
      if (given === undefined) throw new TypeError(context + ": required member promise is undefined.");
      if (!webidl.isObject(given)) throw new TypeError(context + ": member promise is not an object.");
      this.#promise = given;
      this.#reason = init.reason;
    }
    get promise() {
      if (!(#promise in this)) throw webidl.illegalInvocation();
      return this.#promise;
    }
    get reason() {
      if (!(#promise in this)) throw webidl.illegalInvocation();
      return this.#reason;
    }
  }
  configureInterface(PromiseRejectionEvent);
  ObjectDefineProperty(PromiseRejectionEvent, "length", { __proto__: null, value: 2 });
  internals.define("PromiseRejectionEvent", PromiseRejectionEvent);

  // ---- Words for errors; nothing of the app runs to find them ----

  const FRAME = "\n    at ";

  // The text of an error's stack, or "". The property is an accessor of V8's, unless the app has made another one.
  function stackOf(error) {
    if (classify(error) !== CLASS_ERROR) return "";
    const descriptor = ObjectGetOwnPropertyDescriptor(error, "stack");
    let stack = descriptor?.value;
    if (descriptor?.get !== undefined) {
      const get = ObjectGetOwnPropertyDescriptor(new Error(), "stack")?.get;
      if (get !== undefined) stack = ReflectApply(get, error, []);
    }
    return typeof stack === "string" ? stack : "";
  }

  function messageOf(error, stack) {
    if (stack !== "") {
      const end = StringPrototypeIndexOf(stack, FRAME);
      return "Uncaught " + (end < 0 ? stack : StringPrototypeSlice(stack, 0, end));
    }
    return "Uncaught " + (webidl.isObject(error) ? "#<" + constructorName(error) + ">" : String(error));
  }

  // Where the innermost frame of the app's is: "app.js:1:2" comes apart.
  class Place {
    file = "";
    line = 0;
    column = 0;
  }

  function placeOf(stack) {
    const place = new Place();
    const lines = StringPrototypeSplit(stack, "\n");
    for (let i = 1; i < lines.length; i++) {
      const line = lines[i];
      if (!StringPrototypeStartsWith(line, "    at ") || StringPrototypeIncludes(line, "nano:")) continue;
      readPlace(place, line);
      if (place.line !== 0) return place;
    }
    return place;
  }

  // "    at name (file:line:column)", or without the name and brackets.
  function readPlace(place, frame) {
    const isBracketed = StringPrototypeCharCodeAt(frame, frame.length - 1) === 0x29;
    const end = isBracketed ? frame.length - 1 : frame.length;
    const columnAt = lastOf(frame, 0x3a, end);
    const lineAt = lastOf(frame, 0x3a, columnAt);
    const begin = isBracketed ? lastOf(frame, 0x28, lineAt) : lastOf(frame, 0x20, lineAt);
    if (begin < 0) return;
    place.file = StringPrototypeSlice(frame, begin + 1, lineAt);
    place.line = NumberParseInt(StringPrototypeSlice(frame, lineAt + 1, columnAt), 10) || 0;
    place.column = NumberParseInt(StringPrototypeSlice(frame, columnAt + 1, end), 10) || 0;
  }

  // Where a character code occurs last before `end`, or -1.
  function lastOf(text, code, end) {
    for (let i = end - 1; i >= 0; i--) if (StringPrototypeCharCodeAt(text, i) === code) return i;
    return -1;
  }

  // ---- Firing ----

  let isReporting = false; // an error of a listener for errors is only logged

  internals.fireError = function fireError(error) {
    if (isReporting) return true;
    isReporting = true;
    try {
      internals.load(MESSAGES_SCRIPT);
      const stack = stackOf(error);
      // Other values know no place: it is here, if the app has called reportError().
      const { file, line, column } = placeOf(stack !== "" ? stack : stackOf(new Error()));
      const message = messageOf(error, stack);
      const event = internals.messageEvents.newUncaughtEvent(message, error, file, line, column);
      return events.dispatch(globalThis, event);
    } finally {
      isReporting = false;
    }
  };

  // Marks promises whose rejection was announced, by a private field.
  class Stamp {
    constructor(object) {
      return object;
    }
  }
  class Announced extends Stamp {
    #handled = false;
    static is(promise) {
      return #handled in promise && !promise.#handled;
    }
    static end(promise) {
      promise.#handled = true;
    }
  }

  internals.fireRejection = function fireRejection(promise, reason) {
    const isUnprevented = events.dispatch(globalThis,
      new PromiseRejectionEvent(INTERNAL, "unhandledrejection", promise, reason));
    new Announced(promise);
    return isUnprevented;
  };

  internals.onRejectionHandled = function onRejectionHandled(promise, reason) {
    if (!Announced.is(promise)) return;
    Announced.end(promise);
    events.dispatch(globalThis, new PromiseRejectionEvent(INTERNAL, "rejectionhandled", promise, reason));
  };
})
