// DOMException (Web IDL 2.8.1, 4.3), Event, CustomEvent and EventTarget (DOM 2), AbortController and
// AbortSignal (DOM 3).
//
// For other scripts:
//   internals.DOMException, the class; internals.domException(message, name), a new one to be thrown
//   internals.throwDataCloneError(message)   throws one; C++ calls it for structuredClone
//   internals.isDOMException(value)
//   internals.events: newEvent(type) trust(event) dispatch(target, event, onError) hasListener(target, type)
//     isDispatched(event) isTrusted(event) stopImmediately(event) watch(target, changed)
//     defineHandler(prototype, type) getHandler(target, type) setHandler(target, type, value)
//   internals.coarseNow()            what performance.now() and time stamps show
//   internals.hasScopeListener(type)  of the global object
//   internals.announceError(error) announceRejection(promise, reason) announceHandled(promise)
//     fire the events of the global object; the first two tell whether nobody has prevented the default
//   internals.abort: isAbortSignal(value) createSignal() signalAbort(signal, reason = an AbortError)
//     createDependentSignal(signals) add(signal, algorithm) remove(signal, algorithm) isAborted(signal) reason(signal)
(function (ops, internals) {
  "use strict";
  const {
    Error, ErrorPrototype, List, MathFloor, MathMax, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectSetPrototypeOf,
    ReflectApply, ReflectConstruct, SafeMap, SafeSet, SetPrototypeGetSize, TypeError, WeakRef,
    WeakRefPrototypeDeref, globalThis,
  } = internals.primordials;
  const { configureInterface, requireStarted, running, scopePrototype, webidl } = internals;
  const { now, unforgeable } = ops;

  // The clock that apps see: milliseconds since they began, in whole steps, since a finer one could measure what
  // other tenants leave in the processor's caches. While the top level runs there is no time.
  internals.coarseNow = function coarseNow() {
    if (running.starting) return 0;
    const { clockStep } = running; // microseconds
    return MathFloor((now() - running.clockOrigin) * 1000 / clockStep) * clockStep / 1000;
  };
  const { coarseNow } = internals;

  const INTERNAL = { __proto__: null }; // lets the runtime construct what apps may not

  // ---- DOMException ----

  const legacyCodes = {
    __proto__: null,
    IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5,
    NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10,
    InvalidStateError: 11, SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14,
    InvalidAccessError: 15, TypeMismatchError: 17, SecurityError: 18, NetworkError: 19, AbortError: 20,
    URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23, InvalidNodeTypeError: 24, DataCloneError: 25,
  };
  const legacyConstants = [
    "INDEX_SIZE_ERR", "DOMSTRING_SIZE_ERR", "HIERARCHY_REQUEST_ERR", "WRONG_DOCUMENT_ERR", "INVALID_CHARACTER_ERR",
    "NO_DATA_ALLOWED_ERR", "NO_MODIFICATION_ALLOWED_ERR", "NOT_FOUND_ERR", "NOT_SUPPORTED_ERR",
    "INUSE_ATTRIBUTE_ERR", "INVALID_STATE_ERR", "SYNTAX_ERR", "INVALID_MODIFICATION_ERR", "NAMESPACE_ERR",
    "INVALID_ACCESS_ERR", "VALIDATION_ERR", "TYPE_MISMATCH_ERR", "SECURITY_ERR", "NETWORK_ERR", "ABORT_ERR",
    "URL_MISMATCH_ERR", "QUOTA_EXCEEDED_ERR", "TIMEOUT_ERR", "INVALID_NODE_TYPE_ERR", "DATA_CLONE_ERR",
  ];

  // A DOMException is an Error to the engine (it has [[ErrorData]] and a stack), made by Error's own
  // constructor; its private fields are stamped on afterwards.
  class Stamp {
    constructor(object) {
      return object;
    }
  }
  class ExceptionState extends Stamp {
    #message;
    #name;
    constructor(object, message, name) {
      super(object);
      this.#message = message;
      this.#name = name;
    }
    static is(value) {
      return webidl.isObject(value) && #name in value;
    }
    static message(object) {
      if (!(#name in object)) throw webidl.illegalInvocation();
      return object.#message;
    }
    static nameOf(object) {
      if (!(#name in object)) throw webidl.illegalInvocation();
      return object.#name;
    }
  }

  class DOMException {
    constructor(message = "", name = "Error") {
      const context = "Failed to construct 'DOMException'";
      message = webidl.DOMString(message, context);
      name = webidl.DOMString(name, context);
      const error = ReflectConstruct(Error, [message], new.target);
      delete error.message; // the engine has noted it for the stack; here it is a getter of the prototype
      return new ExceptionState(error, message, name);
    }
    get name() {
      return ExceptionState.nameOf(this);
    }
    get message() {
      return ExceptionState.message(this);
    }
    get code() {
      return legacyCodes[ExceptionState.nameOf(this)] ?? 0;
    }
  }
  ObjectSetPrototypeOf(DOMException.prototype, ErrorPrototype);
  configureInterface(DOMException);
  for (let i = 0; i < legacyConstants.length; i++) {
    const constant = { __proto__: null, value: i + 1, writable: false, enumerable: true, configurable: false };
    ObjectDefineProperty(DOMException, legacyConstants[i], constant);
    ObjectDefineProperty(DOMException.prototype, legacyConstants[i], constant);
  }

  internals.DOMException = DOMException;
  internals.domException = (message, name) => new DOMException(message, name);
  internals.isDOMException = ExceptionState.is;
  internals.throwDataCloneError = (message) => {
    throw new DOMException(message, "DataCloneError");
  };
  internals.registerSerializable(ExceptionState.is, (exception) => {
    const clone = new DOMException(ExceptionState.message(exception), ExceptionState.nameOf(exception));
    const { stack } = exception;
    if (typeof stack === "string") {
      ObjectDefineProperty(clone, "stack", {
        __proto__: null, value: stack, writable: true, enumerable: false, configurable: true,
      });
    }
    return clone;
  });

  // ---- Event ----

  const AT_TARGET = 2;
  let eventOf; // the EventState of an Event, or undefined for anything else

  class EventState {
    type = "";
    target = null;
    currentTarget = null;
    eventPhase = 0;
    bubbles = false;
    cancelable = false;
    composed = false;
    canceled = false;
    initialized = true;
    dispatching = false;
    stopPropagation = false;
    stopImmediatePropagation = false;
    inPassiveListener = false;
    isTrusted = false;
    timeStamp = coarseNow();
  }

  function requireEvent(value, context) {
    const state = eventOf(value);
    if (state === undefined) throw new TypeError(context + ": parameter 1 is not of type 'Event'.");
    return state;
  }

  class Event {
    #event;
    static {
      eventOf = (value) => (webidl.isObject(value) && #event in value ? value.#event : undefined);
    }
    constructor(type, eventInitDict = undefined) {
      const context = "Failed to construct 'Event'";
      webidl.requiredArguments(arguments.length, 1, context);
      const event = new EventState();
      event.type = webidl.DOMString(type, context);
      if (eventInitDict !== undefined) {
        const init = webidl.dictionary(eventInitDict, context);
        event.bubbles = !!init.bubbles;
        event.cancelable = !!init.cancelable;
        event.composed = !!init.composed;
      }
      this.#event = event;
      unforgeable(this, "isTrusted", getIsTrusted);
    }
    get type() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.type;
    }
    get target() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.target;
    }
    get srcElement() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.target;
    }
    get currentTarget() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.currentTarget;
    }
    composedPath() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.currentTarget === null ? [] : [this.#event.currentTarget];
    }
    get eventPhase() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.eventPhase;
    }
    stopPropagation() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      this.#event.stopPropagation = true;
    }
    get cancelBubble() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.stopPropagation;
    }
    set cancelBubble(value) {
      if (!(#event in this)) throw webidl.illegalInvocation();
      if (value) this.#event.stopPropagation = true;
    }
    stopImmediatePropagation() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      this.#event.stopPropagation = true;
      this.#event.stopImmediatePropagation = true;
    }
    get bubbles() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.bubbles;
    }
    get cancelable() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.cancelable;
    }
    get returnValue() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return !this.#event.canceled;
    }
    set returnValue(value) {
      if (!(#event in this)) throw webidl.illegalInvocation();
      if (!value) setCanceled(this.#event);
    }
    preventDefault() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      setCanceled(this.#event);
    }
    get defaultPrevented() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.canceled;
    }
    get composed() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.composed;
    }
    get timeStamp() {
      if (!(#event in this)) throw webidl.illegalInvocation();
      return this.#event.timeStamp;
    }
    initEvent(type, bubbles = false, cancelable = false) {
      if (!(#event in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'initEvent' on 'Event'";
      webidl.requiredArguments(arguments.length, 1, context);
      initialize(this.#event, webidl.DOMString(type, context), !!bubbles, !!cancelable);
    }
  }
  // isTrusted is [LegacyUnforgeable]: each event has it as an own accessor property. The op makes one in a third of
  // the time that ObjectDefineProperty takes.
  const { get: getIsTrusted } = ObjectGetOwnPropertyDescriptor({
    get isTrusted() {
      const event = eventOf(this);
      if (event === undefined) throw webidl.illegalInvocation();
      return event.isTrusted;
    },
  }, "isTrusted");
  configureInterface(Event);
  const phases = ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"];
  for (let i = 0; i < phases.length; i++) {
    const constant = { __proto__: null, value: i, writable: false, enumerable: true, configurable: false };
    ObjectDefineProperty(Event, phases[i], constant);
    ObjectDefineProperty(Event.prototype, phases[i], constant);
  }

  function setCanceled(event) {
    if (event.cancelable && !event.inPassiveListener) event.canceled = true;
  }

  function initialize(event, type, bubbles, cancelable) {
    if (event.dispatching) return;
    event.initialized = true;
    event.stopPropagation = false;
    event.stopImmediatePropagation = false;
    event.canceled = false;
    event.isTrusted = false;
    event.target = null;
    event.type = type;
    event.bubbles = bubbles;
    event.cancelable = cancelable;
  }

  class CustomEvent extends Event {
    #detail;
    constructor(type, eventInitDict = undefined) {
      const context = "Failed to construct 'CustomEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(type, eventInitDict);
      const detail = webidl.dictionary(eventInitDict, context).detail;
      this.#detail = detail === undefined ? null : detail;
    }
    get detail() {
      if (!(#detail in this)) throw webidl.illegalInvocation();
      return this.#detail;
    }
    initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
      if (!(#detail in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'initCustomEvent' on 'CustomEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      type = webidl.DOMString(type, context);
      const event = eventOf(this);
      if (event.dispatching) return;
      initialize(event, type, !!bubbles, !!cancelable);
      this.#detail = detail;
    }
  }
  configureInterface(CustomEvent);

  // ---- EventTarget ----

  class Listener {
    type;
    callback;
    capture;
    once;
    passive;
    removed;
    handler;
    signal = null; // that removes it, by the algorithm
    algorithm = null;
    constructor(type, callback, capture, once, passive) {
      this.type = type;
      this.callback = callback; // function, object or null
      this.capture = capture;
      this.once = once;
      this.passive = passive;
      this.removed = false;
      this.handler = false; // stands for an event handler attribute such as onabort
    }
  }

  // The listeners of one EventTarget. `changed` is called with the type after each change.
  class TargetState {
    listeners = new List(); // replaced instead of changed during a dispatch, which goes on over what it began with
    dispatches = 0; // that are going on
    handlers = null; // SafeMap: type -> { value, listener } of event handler attributes
    changed = null;

    add(listener) {
      let list = this.listeners;
      if (this.dispatches !== 0) {
        list = new List();
        for (let i = 0; i < this.listeners.length; i++) list[i] = this.listeners[i];
        this.listeners = list;
      }
      list[list.length] = listener;
      if (this.changed !== null) this.changed(listener.type);
    }
    remove(listener) {
      const old = this.listeners;
      const copy = new List();
      for (let i = 0; i < old.length; i++) {
        if (old[i] !== listener) copy[copy.length] = old[i];
      }
      listener.removed = true;
      this.listeners = copy;
      // A signal that lives long must not hold what is no listener any more.
      if (listener.signal !== null) removeAlgorithm(listener.signal, listener.algorithm);
      if (this.changed !== null) this.changed(listener.type);
    }
    find(type, callback, capture) {
      for (let i = 0; i < this.listeners.length; i++) {
        const listener = this.listeners[i];
        if (!listener.handler && listener.type === type && listener.callback === callback &&
            listener.capture === capture) return listener;
      }
      return undefined;
    }
    has(type) {
      for (let i = 0; i < this.listeners.length; i++) if (this.listeners[i].type === type) return true;
      return false;
    }
  }

  let targetOf; // the TargetState of an EventTarget, made at first use, or undefined for anything else
  const scopeTarget = new TargetState(); // the global object's; without a receiver, functions have that

  function convertCallback(callback, context) {
    if (callback === undefined || callback === null) return null;
    if (!webidl.isObject(callback)) throw new TypeError(context + ": parameter 2 is not of type 'Object'.");
    return callback;
  }

  class EventTarget {
    #target = null;
    static {
      targetOf = (value) => {
        if (!webidl.isObject(value)) return undefined;
        if (#target in value) return value.#target ??= new TargetState();
        return value === globalThis ? scopeTarget : undefined;
      };
    }
    constructor() {}
    addEventListener(type, callback, options = undefined) {
      const target = targetOf(this ?? globalThis);
      if (target === undefined) throw webidl.illegalInvocation();
      const context = "Failed to execute 'addEventListener' on 'EventTarget'";
      webidl.requiredArguments(arguments.length, 2, context);
      type = webidl.DOMString(type, context);
      callback = convertCallback(callback, context);
      let capture = false, once = false, passive = false, signal;
      if (webidl.isObject(options)) {
        capture = !!options.capture;
        once = !!options.once;
        passive = !!options.passive;
        signal = options.signal;
        if (signal !== undefined && !isAbortSignal(signal)) throw new TypeError(context + ": signal is no AbortSignal");
      } else {
        capture = !!options;
      }
      if (signal !== undefined && isAborted(signal)) return;
      if (callback === null || target.find(type, callback, capture) !== undefined) return;
      const listener = new Listener(type, callback, capture, once, passive);
      target.add(listener);
      if (signal !== undefined) {
        listener.signal = signal;
        listener.algorithm = () => target.remove(listener);
        addAlgorithm(signal, listener.algorithm);
      }
    }
    removeEventListener(type, callback, options = undefined) {
      const target = targetOf(this ?? globalThis);
      if (target === undefined) throw webidl.illegalInvocation();
      const context = "Failed to execute 'removeEventListener' on 'EventTarget'";
      webidl.requiredArguments(arguments.length, 2, context);
      type = webidl.DOMString(type, context);
      callback = convertCallback(callback, context);
      const capture = webidl.isObject(options) ? !!options.capture : !!options;
      const listener = target.find(type, callback, capture);
      if (listener !== undefined) target.remove(listener);
    }
    dispatchEvent(event) {
      const target = this ?? globalThis;
      if (targetOf(target) === undefined) throw webidl.illegalInvocation();
      const context = "Failed to execute 'dispatchEvent' on 'EventTarget'";
      webidl.requiredArguments(arguments.length, 1, context);
      const state = requireEvent(event, context);
      if (state.dispatching || !state.initialized) {
        throw new DOMException(context + ": The event is already being dispatched.", "InvalidStateError");
      }
      state.isTrusted = false;
      return dispatch(target, event);
    }
  }
  configureInterface(EventTarget);

  // DOM 2.9 with a tree of one: the target has no parent. Returns false if the event was canceled. onError is told
  // what listeners throw.
  function dispatch(target, event, onError = internals.reportException) {
    const state = eventOf(event);
    state.dispatching = true;
    state.target = target;
    state.currentTarget = target;
    state.eventPhase = AT_TARGET;
    invokeListeners(target, event, state, true, onError);
    invokeListeners(target, event, state, false, onError);
    state.eventPhase = 0;
    state.currentTarget = null;
    state.dispatching = false;
    state.stopPropagation = false;
    state.stopImmediatePropagation = false;
    return !state.canceled;
  }

  function invokeListeners(target, event, state, capture, onError) {
    if (state.stopPropagation) return;
    const targetState = targetOf(target);
    const { listeners } = targetState;
    targetState.dispatches++;
    for (let i = 0; i < listeners.length; i++) {
      const listener = listeners[i];
      if (listener.removed || listener.type !== state.type || listener.capture !== capture) continue;
      if (listener.once) targetState.remove(listener);
      if (listener.passive) state.inPassiveListener = true;
      try {
        callListener(listener, target, event, targetState);
      } catch (error) {
        onError(error);
      }
      state.inPassiveListener = false;
      if (state.stopImmediatePropagation) break;
    }
    targetState.dispatches--;
  }

  function callListener(listener, target, event, targetState) {
    if (listener.handler) {
      const { value } = targetState.handlers.get(listener.type);
      // HTML 8.1.8.1: onerror of the global object is told what went wrong by arguments, and says true to that.
      const parts = target === globalThis && listener.type === "error" ? internals.errorParts?.(event) : undefined;
      const result = ReflectApply(value, target, parts ?? [event]);
      if (result === (parts !== undefined)) setCanceled(eventOf(event));
      return;
    }
    const callback = listener.callback;
    if (typeof callback === "function") {
      ReflectApply(callback, target, [event]);
      return;
    }
    const { handleEvent } = callback;
    if (typeof handleEvent !== "function") throw new TypeError("handleEvent is not a function");
    ReflectApply(handleEvent, callback, [event]);
  }

  // HTML 8.1.8.1: an event handler attribute is one listener that stays at its place while the value is
  // replaced by another function, and goes when it is set to null.
  function defineHandler(prototype, type) {
    const name = "on" + type;
    const accessors = {
      get [name]() {
        return getHandler(this, type);
      },
      set [name](value) {
        setHandler(this, type, value);
      },
    };
    const { get, set } = ObjectGetOwnPropertyDescriptor(accessors, name);
    ObjectDefineProperty(prototype, name, { __proto__: null, get, set, enumerable: true, configurable: true });
  }

  function getHandler(object, type) {
    const target = targetOf(object);
    if (target === undefined) throw webidl.illegalInvocation();
    return target.handlers?.get(type)?.value ?? null;
  }

  function setHandler(object, type, value) {
    const target = targetOf(object);
    if (target === undefined) throw webidl.illegalInvocation();
    target.handlers ??= new SafeMap();
    const old = target.handlers.get(type);
    if (!webidl.isObject(value)) {
      if (old === undefined) return;
      target.handlers.delete(type);
      target.remove(old.listener);
    } else if (old !== undefined) {
      old.value = typeof value === "function" ? value : ignoreEvent;
    } else {
      const listener = new Listener(type, null, false, false, false);
      listener.handler = true;
      target.handlers.set(type, { value: typeof value === "function" ? value : ignoreEvent, listener });
      target.add(listener);
    }
  }
  const ignoreEvent = () => {};

  // Makes an event one of the runtime.
  function trust(event) {
    eventOf(event).isTrusted = true;
    return event;
  }
  const newEvent = (type) => trust(new Event(type));
  // Has `changed` called with the type after each change of the listeners.
  const watch = (target, changed) => {
    targetOf(target).changed = changed;
  };
  const hasListener = (target, type) => targetOf(target).has(type);
  const isDispatched = (event) => eventOf(event).dispatching;
  const isTrusted = (event) => eventOf(event).isTrusted;
  function stopImmediately(event) {
    const state = eventOf(event);
    state.stopPropagation = true;
    state.stopImmediatePropagation = true;
  }

  // ---- The global object ----

  // 23_scope has put the interface's prototype under the global object. Now it becomes an EventTarget.
  function WorkerGlobalScope() {
    throw webidl.illegalConstructor();
  }
  ObjectDefineProperty(WorkerGlobalScope, "prototype", { __proto__: null, value: scopePrototype, writable: false });
  ObjectDefineProperty(scopePrototype, "constructor", {
    __proto__: null, value: WorkerGlobalScope, writable: true, enumerable: false, configurable: true,
  });
  ObjectSetPrototypeOf(WorkerGlobalScope, EventTarget);
  ObjectSetPrototypeOf(scopePrototype, EventTarget.prototype);
  const scopeMethods = ["addEventListener", "removeEventListener", "dispatchEvent"];
  for (let i = 0; i < scopeMethods.length; i++) {
    internals.define(scopeMethods[i], ObjectGetOwnPropertyDescriptor(EventTarget.prototype, scopeMethods[i]).value);
  }

  internals.hasScopeListener = (type) => scopeTarget.has(type);

  const ERRORS_SCRIPT = "79_error_events";

  internals.announceError = function announceError(error) {
    if (!scopeTarget.has("error")) return true;
    internals.load(ERRORS_SCRIPT);
    return internals.fireError(error);
  };
  internals.announceRejection = function announceRejection(promise, reason) {
    if (!scopeTarget.has("unhandledrejection") && !scopeTarget.has("rejectionhandled")) return true;
    internals.load(ERRORS_SCRIPT);
    return internals.fireRejection(promise, reason);
  };

  // ---- AbortSignal ----

  let abortOf; // the AbortState of an AbortSignal, or undefined for anything else
  const isAbortSignal = (value) => abortOf(value) !== undefined;

  class AbortState {
    aborted = false;
    reason = undefined;
    algorithms = null; // SafeSet of functions
    // Of AbortSignal.any: its source signals, and the other way round. A source refers weakly to what
    // depends on it, or a signal that lives long would collect those of every request, unless somebody
    // listens there: then only the source can make the event happen.
    dependent = false;
    sources = null; // array of AbortSignal
    dependents = null; // array of WeakRef
    dependentsSweep = 16; // length at which dead references are dropped
    listened = null; // SafeSet of AbortSignal
    // Of AbortSignal.timeout: when it aborts, in milliseconds of the fine clock; 0 for others. There is a timer only while
    // somebody waits for the event; whoever merely looks is told by the clock, once a turn. So signals whose fetch is
    // over leave nothing behind, however far off their time is.
    due = 0;
    delay = 0; // that was asked for, in milliseconds
    made = 0; // the turn in which it was
    timer = 0; // its id, or 0
    checked = -1; // turn in which it was not due
  }

  class AbortSignal extends EventTarget {
    #abort = new AbortState();
    static {
      abortOf = (value) => (webidl.isObject(value) && #abort in value ? value.#abort : undefined);
    }
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      super();
    }
    static abort(reason = undefined) {
      const signal = new AbortSignal(INTERNAL);
      signal.#abort.aborted = true;
      signal.#abort.reason = reason === undefined ? abortError() : reason;
      return signal;
    }
    static timeout(milliseconds) {
      const context = "Failed to execute 'timeout' on 'AbortSignal'";
      webidl.requiredArguments(arguments.length, 1, context);
      milliseconds = webidl.unsignedLongLong(milliseconds, context, "enforce");
      requireStarted("AbortSignal.timeout()");
      const signal = new AbortSignal(INTERNAL);
      signal.#abort.due = now() + milliseconds;
      signal.#abort.delay = milliseconds;
      signal.#abort.made = signal.#abort.checked = running.turn;
      targetOf(signal).changed = (type) => {
        if (type === "abort") updateTimer(signal);
      };
      return signal;
    }
    static any(signals) {
      const context = "Failed to execute 'any' on 'AbortSignal'";
      webidl.requiredArguments(arguments.length, 1, context);
      return createDependentSignal(webidl.sequence(signals, context, (signal) => {
        if (!isAbortSignal(signal)) throw new TypeError(context + ": Only AbortSignals may be in it");
        return signal;
      }));
    }
    get aborted() {
      if (!(#abort in this)) throw webidl.illegalInvocation();
      return isAborted(this);
    }
    get reason() {
      if (!(#abort in this)) throw webidl.illegalInvocation();
      isAborted(this);
      return this.#abort.reason;
    }
    throwIfAborted() {
      if (!(#abort in this)) throw webidl.illegalInvocation();
      if (isAborted(this)) throw this.#abort.reason;
    }
  }
  defineHandler(AbortSignal.prototype, "abort");
  configureInterface(AbortSignal);
  ObjectDefineProperty(AbortSignal, "length", { __proto__: null, value: 0 });

  const abortError = () => new DOMException("This operation was aborted", "AbortError");
  const timeoutError = () => new DOMException("The operation was aborted due to timeout", "TimeoutError");

  function isAborted(signal) {
    const abort = abortOf(signal);
    if (abort.aborted) return true;
    if (abort.due !== 0) {
      if (abort.timer !== 0 || abort.checked === running.turn) return false;
      if (now() >= abort.due) expire(abort);
      else abort.checked = running.turn;
    } else if (abort.sources !== null) {
      for (let i = 0; !abort.aborted && i < abort.sources.length; i++) isAborted(abort.sources[i]);
    }
    return abort.aborted;
  }

  // The time of a signal is over for which nobody waits, nor for those that depend on it: there is nobody to tell.
  function expire(abort) {
    abort.aborted = true;
    abort.reason = timeoutError();
    const { dependents } = abort;
    abort.dependents = null;
    if (dependents === null) return;
    for (let i = 0; i < dependents.length; i++) {
      const dependent = WeakRefPrototypeDeref(dependents[i]);
      if (dependent === undefined || abortOf(dependent).aborted) continue;
      abortOf(dependent).aborted = true;
      abortOf(dependent).reason = abort.reason;
      abortOf(dependent).sources = null;
    }
  }

  // Sets or clears the timer of a signal of AbortSignal.timeout.
  function updateTimer(signal) {
    const abort = abortOf(signal);
    if (abort.due === 0 || isAborted(signal)) return;
    const waits = isAwaited(signal, abort) || (abort.listened !== null && SetPrototypeGetSize(abort.listened) > 0);
    if (waits && abort.timer === 0) {
      // Signals that are made one after the other abort in this order.
      const delay = abort.made === running.turn ? abort.delay : MathMax(abort.due - now(), 0);
      abort.timer = internals.setTimer("AbortSignal.timeout()", () => {
        abort.timer = 0;
        signalAbort(signal, timeoutError());
      }, delay);
    } else if (!waits && abort.timer !== 0) {
      internals.clearTimer(abort.timer);
      abort.timer = 0;
    }
  }

  const isAwaited = (signal, abort) => targetOf(signal).has("abort") ||
    (abort.algorithms !== null && SetPrototypeGetSize(abort.algorithms) > 0);

  function createSignal() {
    return new AbortSignal(INTERNAL);
  }

  // DOM 3.3 "signal abort". First all states change, then algorithms and events run.
  function signalAbort(signal, reason) {
    const abort = abortOf(signal);
    if (abort.aborted) return;
    abort.aborted = true;
    abort.reason = reason === undefined ? abortError() : reason;
    const affected = new List();
    affected[0] = signal;
    const { dependents } = abort;
    if (dependents !== null) {
      for (let i = 0; i < dependents.length; i++) {
        const dependent = WeakRefPrototypeDeref(dependents[i]);
        if (dependent === undefined || abortOf(dependent).aborted) continue;
        abortOf(dependent).aborted = true;
        abortOf(dependent).reason = abort.reason;
        affected[affected.length] = dependent;
      }
    }
    for (let i = 0; i < affected.length; i++) runAbortSteps(affected[i]);
  }

  function runAbortSteps(signal) {
    const abort = abortOf(signal);
    const { algorithms } = abort;
    abort.algorithms = null;
    if (algorithms !== null) {
      algorithms.forEach((algorithm) => {
        try {
          algorithm();
        } catch (error) {
          internals.reportException(error);
        }
      });
    }
    dispatch(signal, newEvent("abort"));
    const { sources } = abort;
    abort.sources = null;
    abort.dependents = null;
    abort.listened = null;
    if (sources !== null) {
      for (let i = 0; i < sources.length; i++) {
        abortOf(sources[i]).listened?.delete(signal);
        updateTimer(sources[i]);
      }
    }
  }

  function addAlgorithm(signal, algorithm) {
    const abort = abortOf(signal);
    if (isAborted(signal)) return;
    abort.algorithms ??= new SafeSet();
    abort.algorithms.add(algorithm);
    updateListened(signal);
  }
  function removeAlgorithm(signal, algorithm) {
    const abort = abortOf(signal);
    if (abort.algorithms === null) return;
    abort.algorithms.delete(algorithm);
    updateListened(signal);
  }

  // Keeps a dependent signal alive by its sources exactly while somebody waits for its abort.
  function updateListened(signal) {
    const abort = abortOf(signal);
    if (abort.due !== 0) updateTimer(signal);
    if (isAborted(signal) || abort.sources === null) return;
    const waits = isAwaited(signal, abort);
    for (let i = 0; i < abort.sources.length; i++) {
      const source = abortOf(abort.sources[i]);
      if (waits) (source.listened ??= new SafeSet()).add(signal);
      else source.listened?.delete(signal);
      if (source.due !== 0) updateTimer(abort.sources[i]);
    }
  }

  function addDependent(source, signal) {
    const abort = abortOf(source);
    abort.dependents ??= new List();
    if (abort.dependents.length >= abort.dependentsSweep) {
      const live = new List();
      for (let i = 0; i < abort.dependents.length; i++) {
        if (WeakRefPrototypeDeref(abort.dependents[i]) !== undefined) live[live.length] = abort.dependents[i];
      }
      abort.dependents = live;
      abort.dependentsSweep = live.length < 8 ? 16 : live.length * 2;
    }
    abort.dependents[abort.dependents.length] = new WeakRef(signal);
  }

  // DOM 3.3 "create a dependent abort signal".
  function createDependentSignal(signals) {
    const result = createSignal();
    const state = abortOf(result);
    for (let i = 0; i < signals.length; i++) {
      const source = abortOf(signals[i]);
      if (isAborted(signals[i])) {
        state.aborted = true;
        state.reason = source.reason;
        return result;
      }
    }
    state.dependent = true;
    const sources = new SafeSet();
    for (let i = 0; i < signals.length; i++) {
      const source = abortOf(signals[i]);
      if (!source.dependent) sources.add(signals[i]);
      else for (let j = 0; j < source.sources.length; j++) sources.add(source.sources[j]);
    }
    state.sources = new List();
    sources.forEach((source) => {
      state.sources[state.sources.length] = source;
      addDependent(source, result);
    });
    targetOf(result).changed = (type) => {
      if (type === "abort") updateListened(result);
    };
    return result;
  }

  class AbortController {
    #signal = null;
    constructor() {}
    get signal() {
      if (!(#signal in this)) throw webidl.illegalInvocation();
      return this.#signal ??= createSignal();
    }
    abort(reason = undefined) {
      if (!(#signal in this)) throw webidl.illegalInvocation();
      this.#signal ??= createSignal();
      signalAbort(this.#signal, reason);
    }
  }
  configureInterface(AbortController);

  internals.events = {
    __proto__: null, EventTarget, defineHandler, dispatch, getHandler, hasListener, isDispatched, isTrusted, newEvent,
    setHandler, stopImmediately, trust, watch,
  };
  internals.abort = {
    __proto__: null,
    add: addAlgorithm,
    createDependentSignal,
    createSignal,
    isAborted,
    isAbortSignal,
    reason: (signal) => abortOf(signal).reason,
    remove: removeAlgorithm,
    signalAbort,
  };

  internals.AbortSignal = AbortSignal;
  internals.Event = Event;
  internals.define("DOMException", DOMException);
  internals.define("Event", Event);
  internals.define("CustomEvent", CustomEvent);
  internals.define("EventTarget", EventTarget);
  internals.define("WorkerGlobalScope", WorkerGlobalScope);
  internals.define("AbortSignal", AbortSignal);
  internals.define("AbortController", AbortController);
})
