// atob, btoa, navigator and Cloudflare.
(function (ops, internals) {
  "use strict";
  const {
    ObjectDefineProperty, ObjectFreeze, ObjectGetOwnPropertyDescriptor, ObjectKeys,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { base64Decode, base64Encode } = ops;

  const INTERNAL = { __proto__: null };

  // ---- Base64 (HTML 8.3) ----

  const { atob, btoa } = {
    atob(data) {
      const context = "Failed to execute 'atob'";
      webidl.requiredArguments(arguments.length, 1, context);
      const decoded = base64Decode(webidl.DOMString(data, context));
      if (decoded === null) {
        throw internals.domException(context + ": The string to be decoded is not correctly encoded.",
          "InvalidCharacterError");
      }
      return decoded;
    },
    btoa(data) {
      const context = "Failed to execute 'btoa'";
      webidl.requiredArguments(arguments.length, 1, context);
      const encoded = base64Encode(webidl.DOMString(data, context));
      if (encoded === null) {
        throw internals.domException(context + ": The string contains characters outside of the Latin1 range.",
          "InvalidCharacterError");
      }
      return encoded;
    },
  };

  // ---- navigator (HTML 8.10, what WorkerNavigator has) ----

  // What HTML wants to be the same everywhere; and of the machine, nothing.
  const facts = {
    __proto__: null, appCodeName: "Mozilla", appName: "Netscape", appVersion: "NANO", platform: "", product: "Gecko",
    userAgent: "NANO", language: "en", languages: ObjectFreeze(["en"]), onLine: true, hardwareConcurrency: 1,
  };
  let isNavigator;

  class Navigator {
    #brand = true;
    static {
      isNavigator = (value) => webidl.isObject(value) && #brand in value;
    }
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
  }
  const factNames = ObjectKeys(facts);
  for (let i = 0; i < factNames.length; i++) {
    const name = factNames[i];
    const { get } = ObjectGetOwnPropertyDescriptor({
      get [name]() {
        if (!isNavigator(this ?? navigator)) throw webidl.illegalInvocation();
        return facts[name];
      },
    }, name);
    ObjectDefineProperty(Navigator.prototype, name, { __proto__: null, get, enumerable: true, configurable: true });
  }
  const navigator = new Navigator(INTERNAL);

  // ---- Cloudflare ----

  // Those of the flags of Workers, by name, that say how this platform behaves; the others are absent.
  const compatibilityFlags = ObjectFreeze({
    fetch_refuses_unknown_protocols: true,
    formdata_parser_supports_files: true,
    global_navigator: true,
    streams_enable_constructors: true,
    transformstream_enable_standard_constructor: true,
    unhandled_rejection_after_microtask_checkpoint: true,
    url_standard: true,
    urlsearchparams_delete_has_value_arg: true,
    nodejs_compat: false,
    nodejs_compat_v2: false,
  });
  const Cloudflare = {};
  ObjectDefineProperty(Cloudflare, "compatibilityFlags", {
    __proto__: null, value: compatibilityFlags, writable: false, enumerable: true, configurable: true,
  });

  const interfaces = [Navigator];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: 0 });
    internals.define(interfaces[i].name, interfaces[i]);
  }
  internals.define("atob", atob, true);
  internals.define("btoa", btoa, true);
  internals.define("navigator", navigator, true);
  internals.define("Cloudflare", Cloudflare);
})
