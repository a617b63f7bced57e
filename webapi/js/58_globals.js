// atob, btoa and navigator.
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty, StringPrototypeCharCodeAt } = internals.primordials;
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
      data = webidl.DOMString(data, context);
      for (let i = 0; i < data.length; i++) {
        if (StringPrototypeCharCodeAt(data, i) > 0xff) {
          throw internals.domException(context + ": The string contains characters outside of the Latin1 range.",
            "InvalidCharacterError");
        }
      }
      return base64Encode(data);
    },
  };

  // ---- navigator ----

  class Navigator {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    get userAgent() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return "NANO";
    }
  }

  const interfaces = [Navigator];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: 0 });
    internals.define(interfaces[i].name, interfaces[i]);
  }
  internals.define("atob", atob, true);
  internals.define("btoa", btoa, true);
  internals.define("navigator", new Navigator(INTERNAL), true);
})
