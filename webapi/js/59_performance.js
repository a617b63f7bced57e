// performance (High Resolution Time, https://w3c.github.io/hr-time/).
(function (ops, internals) {
  "use strict";
  const { DateNow, ObjectDefineProperty } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { now } = ops;

  const INTERNAL = { __proto__: null };
  let timeOrigin; // milliseconds since 1970; not fixed before the app has started, or a snapshot would keep it

  class Performance extends internals.events.EventTarget {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      super();
    }
    // When now() was 0, by the clock of the machine.
    get timeOrigin() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      if (timeOrigin !== undefined) return timeOrigin;
      const origin = DateNow() - now();
      if (!internals.starting) timeOrigin = origin;
      return origin;
    }
    now() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return now();
    }
    toJSON() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return { timeOrigin: this.timeOrigin };
    }
  }
  configureInterface(Performance);
  ObjectDefineProperty(Performance, "length", { __proto__: null, value: 0 });

  internals.define("Performance", Performance);
  internals.define("performance", new Performance(INTERNAL), true);
})
