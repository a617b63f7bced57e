// performance (High Resolution Time, https://w3c.github.io/hr-time/, with what Performance Timeline, User Timing
// and Resource Timing add to it). Its entries are the matter of 71_performance_entries.
//
// From the time on that this script was loaded, which is when an app first touches performance, fetch() notes its
// requests (internals.newResourceTiming): before, nobody could have asked for them, and most apps never do.
(function (ops, internals) {
  "use strict";
  const {
    DateNow, NumberParseInt, ObjectDefineProperty, StringPrototypeIndexOf, StringPrototypeSlice,
    StringPrototypeToLowerCase, StringPrototypeTrim,
  } = internals.primordials;
  const { coarseNow, configureInterface, events, running, webidl } = internals;

  const { contentCoding, requestHeader } = ops;

  const ENTRIES_SCRIPT = "71_performance_entries";
  const INTERNAL = { __proto__: null };
  let timeOrigin; // milliseconds since 1970; not fixed before the app has started, or a snapshot would keep it
  let hasEntries = false;

  // The timeline, which is loaded when the first entry is made or asked for.
  function timeline() {
    if (!hasEntries) {
      internals.load(ENTRIES_SCRIPT);
      hasEntries = true;
    }
    return internals.timeline;
  }

  function originOf() {
    if (timeOrigin !== undefined) return timeOrigin;
    const origin = DateNow() - coarseNow();
    if (!running.starting) timeOrigin = origin;
    return origin;
  }

  class Performance extends events.EventTarget {
    #brand = true;
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      super();
    }
    now() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return coarseNow();
    }
    // When now() was 0, by the clock of the machine.
    get timeOrigin() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return originOf();
    }
    toJSON() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return { timeOrigin: originOf() };
    }

    getEntries() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      return timeline().entries(undefined, undefined);
    }
    getEntriesByType(type) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getEntriesByType' on 'Performance'";
      webidl.requiredArguments(arguments.length, 1, context);
      return timeline().entries(undefined, webidl.DOMString(type, context));
    }
    getEntriesByName(name, type = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getEntriesByName' on 'Performance'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.DOMString(name, context);
      return timeline().entries(name, type === undefined ? undefined : webidl.DOMString(type, context));
    }

    mark(markName, markOptions = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'mark' on 'Performance'";
      webidl.requiredArguments(arguments.length, 1, context);
      return timeline().mark(webidl.DOMString(markName, context), markOptions);
    }
    clearMarks(markName = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'clearMarks' on 'Performance'";
      timeline().clear("mark", markName === undefined ? undefined : webidl.DOMString(markName, context));
    }
    measure(measureName, startOrMeasureOptions = undefined, endMark = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'measure' on 'Performance'";
      webidl.requiredArguments(arguments.length, 1, context);
      return timeline().measure(webidl.DOMString(measureName, context), startOrMeasureOptions, endMark, context);
    }
    clearMeasures(measureName = undefined) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'clearMeasures' on 'Performance'";
      timeline().clear("measure", measureName === undefined ? undefined : webidl.DOMString(measureName, context));
    }

    clearResourceTimings() {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      timeline().clear("resource", undefined);
    }
    setResourceTimingBufferSize(maxSize) {
      if (!(#brand in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'setResourceTimingBufferSize' on 'Performance'";
      webidl.requiredArguments(arguments.length, 1, context);
      timeline().setResourceLimit(webidl.unsignedLong(maxSize, context));
    }
  }
  events.defineHandler(Performance.prototype, "resourcetimingbufferfull");
  configureInterface(Performance);
  ObjectDefineProperty(Performance, "length", { __proto__: null, value: 0 });

  const performance = new Performance(INTERNAL);
  internals.performance = performance;

  // What fetch() has learnt of one request, until that is over. What it waited for is not told apart: names are
  // resolved and connections made by the loop, and mostly were before.
  class ResourceTiming {
    url;
    fetchStart = coarseNow();
    responseStart = 0;
    responseEnd = 0;
    status = 0;
    contentType = "";
    length = 0; // bytes, as content-length has it, or 0
    coded = false; // these are of a content coding
    constructor(url) {
      this.url = url;
    }
    // The head of the response has come, in a record.
    responded(words, offset) {
      this.responseStart = coarseNow();
      this.status = words[offset + WORD_STATUS] & STATUS_MASK;
      this.contentType = essenceOf(requestHeader(words, offset, "content-type") ?? "");
      const length = NumberParseInt(requestHeader(words, offset, "content-length"), 10);
      if (length > 0) this.length = length;
      this.coded = contentCoding(words, offset) !== "";
    }
    ended() {
      this.responseEnd = coarseNow();
      timeline().addResource(this);
    }
  }
  const WORD_STATUS = 3; // of a response record
  const STATUS_MASK = 0xffff;

  // A type without its parameters.
  function essenceOf(type) {
    const end = StringPrototypeIndexOf(type, ";");
    return StringPrototypeToLowerCase(StringPrototypeTrim(end < 0 ? type : StringPrototypeSlice(type, 0, end)));
  }

  internals.newResourceTiming = (url) => new ResourceTiming(url);

  internals.define("Performance", Performance);
})
