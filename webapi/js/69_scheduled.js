// The controller that scheduled(controller, env, ctx) gets, as in Workers.
//
// For other scripts: internals.scheduledController(words, offset)  of a scheduled record
(function (ops, internals) {
  "use strict";
  const { NumberParseInt, ObjectDefineProperty, StringPrototypeIndexOf, StringPrototypeSlice } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { noteText } = ops;

  const INTERNAL = { __proto__: null };

  class ScheduledController {
    #cron;
    #scheduledTime;
    constructor(token, cron, scheduledTime) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#cron = cron;
      this.#scheduledTime = scheduledTime;
    }
    // The schedule that has fired, as the configuration has it.
    get cron() {
      if (!(#cron in this)) throw webidl.illegalInvocation();
      return this.#cron;
    }
    // When it was to fire, in milliseconds since 1970.
    get scheduledTime() {
      if (!(#cron in this)) throw webidl.illegalInvocation();
      return this.#scheduledTime;
    }
    // A firing that fails is not repeated anyway.
    noRetry() {
      if (!(#cron in this)) throw webidl.illegalInvocation();
    }
  }
  configureInterface(ScheduledController);
  ObjectDefineProperty(ScheduledController, "length", { __proto__: null, value: 0 });

  internals.scheduledController = function scheduledController(words, offset) {
    const text = noteText(words, offset); // the time, a space, the schedule
    const space = StringPrototypeIndexOf(text, " ");
    return new ScheduledController(INTERNAL, StringPrototypeSlice(text, space + 1), NumberParseInt(text, 10));
  };
})
