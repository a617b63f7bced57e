// Apps in the form of a service worker, without a default export:
//     addEventListener("fetch", (event) => event.respondWith(new Response("Hello")));
// ExtendableEvent, FetchEvent (Service Workers 4.4 and 4.6) and, as in Workers, ScheduledEvent. What env has is
// given to such an app as global variables.
//
// For other scripts: internals.serveFetchEvent serveScheduledEvent  functions fetch and scheduled of such an app
//   internals.bindGlobals(env)
(function (ops, internals) {
  "use strict";
  const {
    Error, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectKeys, PromiseResolve, PromiseWithResolvers,
    TypeError, globalThis,
  } = internals.primordials;
  const { configureInterface, events, webidl } = internals;
  const { Event } = internals;

  const NOTHING = { __proto__: null };
  const FOR_FETCH = { __proto__: null, cancelable: true };

  // What the runtime calls the constructors with, and apps cannot: the ctx of an event.
  let contextOf; // of a Token; undefined for anything else
  class Token {
    #context;
    static {
      contextOf = (value) => (webidl.isObject(value) && #context in value ? value.#context : undefined);
    }
    constructor(context) {
      this.#context = context;
    }
  }

  let stateOf; // the EventLife of an ExtendableEvent

  // How long an event keeps the app at work.
  class EventLife {
    context; // the ctx of the event, or null if the app has made the event
    pending = 0; // promises that are not settled
    answer = NOTHING; // what was given to respondWith()
    handled = null; // { promise, resolve, reject } once the app has asked for it
    first = null; // promises given to waitUntil(), a list, if `collects`
    last = null;
    collects = false;
    constructor(context) {
      this.context = context;
    }
  }

  class Waiting {
    promise;
    next = null;
    constructor(promise) {
      this.promise = promise;
    }
  }

  function invalidState(context, words) {
    return internals.domException(context + ": " + words, "InvalidStateError");
  }

  function extend(event, promise, context) {
    const life = stateOf(event);
    if (life.context === null || !events.isTrusted(event)) throw invalidState(context, "The event is of the app.");
    if (!events.isDispatched(event) && life.pending === 0) throw invalidState(context, "The event is over.");
    life.pending++;
    if (life.collects) {
      const waiting = new Waiting(promise);
      if (life.first === null) life.first = waiting;
      else life.last.next = waiting;
      life.last = waiting;
    }
    countDown(life, promise);
  }

  async function countDown(life, promise) {
    try {
      await promise;
    } catch {
      // Who has been given the promise tells of it.
    }
    life.pending--;
  }

  class ExtendableEvent extends Event {
    #life;
    static {
      stateOf = (value) => (webidl.isObject(value) && #life in value ? value.#life : undefined);
    }
    constructor(type, eventInitDict = undefined, token = undefined) {
      webidl.requiredArguments(arguments.length, 1, "Failed to construct 'ExtendableEvent'");
      super(type, eventInitDict);
      const context = contextOf(token);
      if (context !== undefined) events.trust(this);
      this.#life = new EventLife(context ?? null);
    }
    // Keeps the app at work for this event until the promise settles.
    waitUntil(f) {
      if (!(#life in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'waitUntil' on 'ExtendableEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      f = PromiseResolve(f);
      extend(this, f, context);
      if (!this.#life.collects) internals.waitUntil(this.#life.context, f);
    }
  }

  const text = (value, context) => value === undefined ? "" : webidl.DOMString(value, context);

  class FetchEvent extends ExtendableEvent {
    #request;
    #clientId = "";
    #resultingClientId = "";
    #replacesClientId = "";
    #preloadResponse;
    constructor(type, eventInitDict, token = undefined) {
      if (contextOf(token) !== undefined) {
        super("fetch", FOR_FETCH, token);
        this.#request = eventInitDict;
        return;
      }
      const context = "Failed to construct 'FetchEvent'";
      webidl.requiredArguments(arguments.length, 2, context);
      super(type, eventInitDict);
      const init = webidl.dictionary(eventInitDict, context);
      this.#clientId = text(init.clientId, context);
      const { preloadResponse } = init;
      if (preloadResponse !== undefined) this.#preloadResponse = PromiseResolve(preloadResponse);
      this.#replacesClientId = text(init.replacesClientId, context);
      const { request } = init;
      if (!internals.isRequest(request)) throw new TypeError(context + ": member request is not of type 'Request'.");
      this.#request = request;
      this.#resultingClientId = text(init.resultingClientId, context);
    }
    get request() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      return this.#request;
    }
    get preloadResponse() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      return this.#preloadResponse ??= PromiseResolve(undefined);
    }
    get clientId() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      return this.#clientId;
    }
    get resultingClientId() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      return this.#resultingClientId;
    }
    get replacesClientId() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      return this.#replacesClientId;
    }
    // A promise that settles with what respondWith() was given.
    get handled() {
      if (!(#request in this)) throw webidl.illegalInvocation();
      const life = stateOf(this);
      if (life.handled === null) {
        life.handled = PromiseWithResolvers();
        if (life.answer !== NOTHING) settleHandled(life);
      }
      return life.handled.promise;
    }
    respondWith(r) {
      if (!(#request in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'respondWith' on 'FetchEvent'";
      webidl.requiredArguments(arguments.length, 1, context);
      const life = stateOf(this);
      if (life.context === null || !events.isTrusted(this) || !events.isDispatched(this)) {
        throw invalidState(context, "The event is over, or of the app.");
      }
      if (life.answer !== NOTHING) throw invalidState(context, "It was called before.");
      if (!internals.isResponse(r)) {
        r = PromiseResolve(r);
        extend(this, r, context);
      }
      events.stopImmediately(this);
      life.answer = r;
      if (life.handled !== null) settleHandled(life);
    }
    // There is no origin behind an app to pass to: a failed request is answered with status 500.
    passThroughOnException() {
      if (!(#request in this)) throw webidl.illegalInvocation();
    }
  }

  async function settleHandled(life) {
    const { handled } = life;
    try {
      await life.answer;
    } catch (error) {
      handled.reject(error);
      return;
    }
    handled.resolve(undefined);
  }

  class ScheduledEvent extends ExtendableEvent {
    #controller;
    constructor(token, controller = undefined) {
      if (contextOf(token) === undefined) throw webidl.illegalConstructor();
      super("scheduled", undefined, token);
      this.#controller = controller;
      stateOf(this).collects = true;
    }
    get cron() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return this.#controller.cron;
    }
    get scheduledTime() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
      return this.#controller.scheduledTime;
    }
    // A firing that fails is not repeated anyway.
    noRetry() {
      if (!(#controller in this)) throw webidl.illegalInvocation();
    }
  }

  // ---- Serving ----

  // Notes the first error that a listener throws; the others are reported. It may be that it was thrown after
  // respondWith(), and then the request has its answer nevertheless.
  class Failure {
    error = NOTHING;
    note = (error) => {
      if (this.error === NOTHING) this.error = error;
      else internals.reportException(error);
    };
  }

  internals.serveFetchEvent = function serveFetchEvent(request, env, context) {
    const event = new FetchEvent("fetch", request, new Token(context));
    const failure = new Failure();
    events.dispatch(globalThis, event, failure.note);
    const { answer } = stateOf(event);
    if (answer !== NOTHING) {
      if (failure.error !== NOTHING) internals.reportException(failure.error);
      return answer;
    }
    if (failure.error !== NOTHING) throw failure.error;
    throw new Error("no listener of the event fetch has called respondWith()");
  };

  internals.serveScheduledEvent = async function serveScheduledEvent(controller, env, context) {
    const event = new ScheduledEvent(new Token(context), controller);
    const failure = new Failure();
    events.dispatch(globalThis, event, failure.note);
    for (let waiting = stateOf(event).first; waiting !== null; waiting = waiting.next) {
      try {
        await waiting.promise;
      } catch (error) {
        failure.note(error);
      }
    }
    if (failure.error !== NOTHING) throw failure.error;
  };

  internals.bindGlobals = function bindGlobals(env) {
    const names = ObjectKeys(env);
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      const old = ObjectGetOwnPropertyDescriptor(globalThis, name);
      if (old !== undefined && !old.configurable) {
        throw new Error("env." + name + " cannot be a global variable; call it otherwise");
      }
      ObjectDefineProperty(globalThis, name, {
        __proto__: null, value: env[name], writable: true, enumerable: true, configurable: true,
      });
    }
  };

  const interfaces = [ExtendableEvent, FetchEvent, ScheduledEvent];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: i === 2 ? 0 : i + 1 });
    internals.define(interfaces[i].name, interfaces[i]);
  }
})
