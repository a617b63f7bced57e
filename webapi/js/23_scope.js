// The interface of the global object, WorkerGlobalScope, as far as it must be there before 50_events makes an
// EventTarget of it.
//
// For other scripts: internals.scopePrototype  the interface's prototype
(function (ops, internals) {
  "use strict";
  const {
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectSetPrototypeOf, SymbolToStringTag, globalThis,
  } = internals.primordials;

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

  ObjectSetPrototypeOf(globalThis, scopePrototype);
  internals.scopePrototype = scopePrototype;
  internals.define("origin", "null", true); // opaque: an app has none of its own
})
