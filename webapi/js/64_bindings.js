// Bindings: the members of env that are services (env.OTHER.fetch(request) calls another app) or the app's
// static files (env.ASSETS.fetch(request)).
//
// For other scripts:
//   internals.installBindings(env, { services, assets })
//     services: an object that maps names of env to names of apps; assets: a name of env. Both may be absent
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty, ObjectKeys, PromiseReject } = internals.primordials;
  const { configureInterface, webidl } = internals;

  const FETCH_SCRIPT = "60_fetch";
  const WHAT_SERVICE = 2;
  const WHAT_ASSETS = 3;

  const INTERNAL = { __proto__: null }; // lets the runtime construct what apps may not

  class Fetcher {
    #what;
    #app;

    constructor(token, what, app) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#what = what;
      this.#app = app;
    }

    // As the global fetch(), but whatever the URL's host: the request goes to what is bound.
    fetch(input, init = undefined) {
      const context = "Failed to execute 'fetch' on 'Fetcher'";
      if (!(#what in this)) return PromiseReject(webidl.illegalInvocation());
      internals.requireStarted("fetch()");
      internals.load(FETCH_SCRIPT);
      if (arguments.length === 0) return internals.missingInput(context);
      return internals.fetchFrom(this.#what, this.#app, input, init, context);
    }
  }
  configureInterface(Fetcher);
  ObjectDefineProperty(Fetcher, "length", { __proto__: null, value: 0 });
  internals.define("Fetcher", Fetcher);

  // Puts a Fetcher on env, made when it is first read.
  function install(env, name, what, app) {
    ObjectDefineProperty(env, name, {
      __proto__: null,
      get() {
        const value = new Fetcher(INTERNAL, what, app);
        set(env, name, value);
        return value;
      },
      set(value) {
        set(env, name, value);
      },
      enumerable: true,
      configurable: true,
    });
  }

  function set(env, name, value) {
    ObjectDefineProperty(env, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
  }

  internals.installBindings = function installBindings(env, bindings) {
    const { assets, services } = bindings;
    if (services !== undefined) {
      const names = ObjectKeys(services);
      for (let i = 0; i < names.length; i++) install(env, names[i], WHAT_SERVICE, services[names[i]]);
    }
    if (assets !== undefined) install(env, assets, WHAT_ASSETS, "");
  };
})
