// The interface of the global object, WorkerGlobalScope, as far as it must be there before 50_events makes an
// EventTarget of it. Most of what the interface has are properties of the global object itself.
//
// For other scripts: internals.scopePrototype  the interface's prototype
(function (ops, internals) {
  "use strict";
  const {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectSetPrototypeOf, SymbolToStringTag, globalThis,
  } = internals.primordials;
  const { webidl } = internals;

  const PERFORMANCE_SCRIPT = "59_performance";

  const scopePrototype = {};
  ObjectDefineProperty(scopePrototype, SymbolToStringTag, {
    __proto__: null, value: "WorkerGlobalScope", writable: false, enumerable: false, configurable: true,
  });

  function defineHandler(type) {
    const name = "on" + type;
    const { get, set } = ObjectGetOwnPropertyDescriptor({
      get [name]() {
        return internals.events.getHandler(this ?? globalThis, type);
      },
      set [name](value) {
        internals.events.setHandler(this ?? globalThis, type, value);
      },
    }, name);
    ObjectDefineProperty(scopePrototype, name, { __proto__: null, get, set, enumerable: true, configurable: true });
  }
  defineHandler("error");
  defineHandler("unhandledrejection");
  defineHandler("rejectionhandled");

  // performance (High Resolution Time 8): whoever assigns it replaces it.
  let performance;
  const accessors = {
    get performance() {
      if ((this ?? globalThis) !== globalThis) throw webidl.illegalInvocation();
      if (performance === undefined) {
        internals.load(PERFORMANCE_SCRIPT);
        performance = internals.performance;
      }
      return performance;
    },
    set performance(value) {
      if ((this ?? globalThis) !== globalThis) throw webidl.illegalInvocation();
      ObjectDefineProperty(globalThis, "performance", {
        __proto__: null, value, writable: true, enumerable: true, configurable: true,
      });
    },
  };
  const { get, set } = ObjectGetOwnPropertyDescriptor(accessors, "performance");
  ObjectDefineProperty(scopePrototype, "performance", { __proto__: null, get, set, enumerable: true, configurable: true });

  ObjectSetPrototypeOf(globalThis, scopePrototype);
  internals.scopePrototype = scopePrototype;
  internals.define("origin", "null", true); // opaque: an app has none of its own
})
