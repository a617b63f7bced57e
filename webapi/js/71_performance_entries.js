// What performance has to tell: marks, measures and the requests of fetch(), and who observes them (Performance
// Timeline, https://w3c.github.io/performance-timeline/; User Timing, https://w3c.github.io/user-timing/; Resource
// Timing, https://w3c.github.io/resource-timing/).
//
// Marks and measures stay until the app clears them, as the standard has it, and count towards its heap. Of requests
// RESOURCES_MAX are kept, unless the app says otherwise.
//
// For other scripts: internals.timeline, which 59_performance calls:
//   entries(name or undefined, type or undefined)  a new Array, by start
//   mark(name, options) measure(name, startOrOptions, endMark, context)  a new entry
//   clear(type, name or undefined) setResourceLimit(count) addResource(timing)
(function (ops, internals) {
  "use strict";
  const {
    ArrayFrom, List, ObjectDefineProperty, ObjectFreeze, ObjectGetOwnPropertyDescriptor, ObjectKeys, ReflectApply,
    TypeError,
  } = internals.primordials;
  const { coarseNow, configureInterface, events, running, webidl } = internals;

  const RESOURCES_MAX = 250;
  const INTERNAL = { __proto__: null };

  let lastId = 0;
  let initEntry; // (entry, name, entryType, startTime, duration), called once for each entry
  let nameOf, typeOf, startOf, entryToJSON; // of an entry

  // ---- Entries ----

  class PerformanceEntry {
    #id;
    #name = "";
    #entryType;
    #startTime;
    #duration;
    static {
      nameOf = (entry) => entry.#name;
      typeOf = (entry) => entry.#entryType;
      startOf = (entry) => entry.#startTime;
      entryToJSON = (entry) => ({
        id: entry.#id, name: entry.#name, entryType: entry.#entryType, startTime: entry.#startTime,
        duration: entry.#duration, navigationId: 0,
      });
      initEntry = (entry, name, entryType, startTime, duration) => {
        entry.#id = ++lastId;
        entry.#name = name;
        entry.#entryType = entryType;
        entry.#startTime = startTime;
        entry.#duration = duration;
      };
    }
    constructor(token) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
    }
    get id() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return this.#id;
    }
    get name() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return this.#name;
    }
    get entryType() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return this.#entryType;
    }
    get startTime() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return this.#startTime;
    }
    get duration() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return this.#duration;
    }
    // Only documents navigate.
    get navigationId() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return 0;
    }
    toJSON() {
      if (!(#name in this)) throw webidl.illegalInvocation();
      return entryToJSON(this);
    }
  }

  class PerformanceMark extends PerformanceEntry {
    #detail;
    constructor(markName, markOptions = undefined) {
      const context = "Failed to construct 'PerformanceMark'";
      webidl.requiredArguments(arguments.length, 1, context);
      super(INTERNAL);
      const name = webidl.DOMString(markName, context);
      const { detail, startTime } = markInit(markOptions, context);
      initEntry(this, name, "mark", startTime, 0);
      this.#detail = detail;
    }
    get detail() {
      if (!(#detail in this)) throw webidl.illegalInvocation();
      return this.#detail;
    }
  }

  class PerformanceMeasure extends PerformanceEntry {
    #detail;
    constructor(token, name = "", startTime = 0, duration = 0, detail = null) {
      super(token);
      initEntry(this, name, "measure", startTime, duration);
      this.#detail = detail;
    }
    get detail() {
      if (!(#detail in this)) throw webidl.illegalInvocation();
      return this.#detail;
    }
  }

  // User Timing 3.3.1, without the names that only windows have.
  function markInit(options, context) {
    const init = webidl.dictionary(options, context);
    const { detail } = init;
    const start = init.startTime;
    const startTime = start === undefined ? coarseNow() : timestamp(webidl.double(start, context), context);
    return { __proto__: null, detail: cloneDetail(detail), startTime };
  }

  function timestamp(time, context) {
    if (time < 0) throw new TypeError(context + ": a time stamp is negative.");
    return time;
  }

  const cloneDetail = (detail) => detail === undefined || detail === null ? null
    : internals.readLazyGlobal("structuredClone")(detail);

  // ---- Resources ----

  const HEAD_BYTES = 300; // of a response, as the standard counts it

  let readTiming; // what an entry was made of, for getters

  class PerformanceResourceTiming extends PerformanceEntry {
    #timing;
    static {
      readTiming = (entry) => {
        if (!webidl.isObject(entry) || !(#timing in entry)) throw webidl.illegalInvocation();
        return entry.#timing;
      };
    }
    constructor(token, timing = undefined) {
      super(token);
      initEntry(this, timing.url, "resource", timing.fetchStart, timing.responseEnd - timing.fetchStart);
      this.#timing = timing;
    }
  }

  // In the order of the interface. What nobody knows is 0 or "".
  const attributes = {
    __proto__: null,
    initiatorType: () => "fetch",
    deliveryType: () => "",
    nextHopProtocol: () => "",
    workerStart: () => 0,
    redirectStart: () => 0,
    redirectEnd: () => 0,
    fetchStart: (timing) => timing.fetchStart,
    domainLookupStart: (timing) => timing.fetchStart,
    domainLookupEnd: (timing) => timing.fetchStart,
    connectStart: (timing) => timing.fetchStart,
    connectEnd: (timing) => timing.fetchStart,
    secureConnectionStart: () => 0,
    requestStart: (timing) => timing.fetchStart,
    finalResponseHeadersStart: (timing) => timing.responseStart,
    firstInterimResponseStart: () => 0,
    responseStart: (timing) => timing.responseStart,
    responseEnd: (timing) => timing.responseEnd,
    transferSize: (timing) => timing.status === 0 ? 0 : timing.length + HEAD_BYTES,
    encodedBodySize: (timing) => timing.length,
    decodedBodySize: (timing) => timing.coded ? 0 : timing.length,
    responseStatus: (timing) => timing.status,
    renderBlockingStatus: () => "non-blocking",
    contentType: (timing) => timing.contentType,
  };

  function setProperty(object, name, value) {
    ObjectDefineProperty(object, name, {
      __proto__: null, value, writable: true, enumerable: true, configurable: true,
    });
  }

  const names = ObjectKeys(attributes);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const read = attributes[name];
    const { get } = ObjectGetOwnPropertyDescriptor({
      get [name]() {
        return read(readTiming(this));
      },
    }, name);
    ObjectDefineProperty(PerformanceResourceTiming.prototype, name, {
      __proto__: null, get, enumerable: true, configurable: true,
    });
  }
  const { toJSON } = {
    toJSON() {
      const timing = readTiming(this);
      const json = entryToJSON(this);
      for (let i = 0; i < names.length; i++) setProperty(json, names[i], attributes[names[i]](timing));
      return json;
    },
  };
  setProperty(PerformanceResourceTiming.prototype, "toJSON", toJSON);

  // ---- The timeline ----

  // Entries by type, each a List in the order in which they were made.
  const buffers = { __proto__: null, mark: new List(), measure: new List(), resource: new List() };
  const TYPES = ObjectFreeze(["mark", "measure", "resource"]); // by name, as supportedEntryTypes wants them

  let resourceLimit = RESOURCES_MAX;
  let resourcesDropped = 0;
  let waiting = null; // List of resources that found the buffer full, until the app was told

  // The entries of a List that have this name and type, if they are given, added to `found`.
  function select(found, list, name, type) {
    for (let i = 0; i < list.length; i++) {
      const entry = list[i];
      if ((name === undefined || nameOf(entry) === name) && (type === undefined || typeOf(entry) === type)) {
        found[found.length] = entry;
      }
    }
  }

  // A new Array of them, by start; those that start together in the order in which they were made.
  const toSorted = (list) => ArrayFrom(sort(list, 0, list.length));

  function sort(list, from, to) {
    let sorted = true;
    for (let i = from + 1; i < to && sorted; i++) sorted = startOf(list[i - 1]) <= startOf(list[i]);
    const result = new List();
    if (sorted) {
      for (let i = from; i < to; i++) result[i - from] = list[i];
      return result;
    }
    const middle = (from + to) >>> 1;
    const low = sort(list, from, middle);
    const high = sort(list, middle, to);
    for (let i = 0, j = 0; i < low.length || j < high.length;) {
      const takeLow = j === high.length || (i < low.length && startOf(low[i]) <= startOf(high[j]));
      result[result.length] = takeLow ? low[i++] : high[j++];
    }
    return result;
  }

  function entries(name, type) {
    const found = new List();
    for (let i = 0; i < TYPES.length; i++) {
      if (type === undefined || type === TYPES[i]) select(found, buffers[TYPES[i]], name, undefined);
    }
    return toSorted(found);
  }

  function clear(type, name) {
    const kept = new List();
    if (name !== undefined) {
      const list = buffers[type];
      for (let i = 0; i < list.length; i++) if (nameOf(list[i]) !== name) kept[kept.length] = list[i];
    }
    buffers[type] = kept;
  }

  function add(entry) {
    const list = buffers[typeOf(entry)];
    list[list.length] = entry;
  }

  // ---- User Timing ----

  function mark(name, options) {
    const entry = new PerformanceMark(name, options);
    notify(entry);
    add(entry);
    return entry;
  }

  // User Timing 3.1.3. The members of the dictionary are read in the order that Web IDL says.
  function measure(name, startOrOptions, endMark, context) {
    let start, end, duration, detail;
    const hasOptions = webidl.isObject(startOrOptions);
    if (hasOptions) {
      detail = startOrOptions.detail;
      duration = startOrOptions.duration;
      if (duration !== undefined) duration = webidl.double(duration, context);
      end = markOrTime(startOrOptions.end, context);
      start = markOrTime(startOrOptions.start, context);
    } else if (startOrOptions !== undefined && startOrOptions !== null) {
      start = webidl.DOMString(startOrOptions, context);
    }
    if (endMark !== undefined) endMark = webidl.DOMString(endMark, context);
    if (hasOptions && (start !== undefined || end !== undefined || duration !== undefined || detail !== undefined)) {
      if (endMark !== undefined) throw new TypeError(context + ": an end is given beside options.");
      if (start === undefined && end === undefined) {
        throw new TypeError(context + ": the options have neither start nor end.");
      }
      if (start !== undefined && end !== undefined && duration !== undefined) {
        throw new TypeError(context + ": the options have start, end and duration.");
      }
    }
    const endTime = endMark !== undefined ? timeOf(endMark, context)
      : end !== undefined ? timeOf(end, context)
        : start !== undefined && duration !== undefined ? timeOf(start, context) + timestamp(duration, context)
          : coarseNow();
    const startTime = start !== undefined ? timeOf(start, context)
      : duration !== undefined ? endTime - timestamp(duration, context)
        : 0;
    const entry = new PerformanceMeasure(INTERNAL, name, startTime, endTime - startTime, cloneDetail(detail));
    notify(entry);
    add(entry);
    return entry;
  }

  const markOrTime = (value, context) => value === undefined ? undefined
    : typeof value === "number" ? webidl.double(value, context) : webidl.DOMString(value, context);

  // The time that a number or the name of a mark stands for.
  function timeOf(markOrTime, context) {
    if (typeof markOrTime === "number") return timestamp(markOrTime, context);
    const list = buffers.mark;
    for (let i = list.length - 1; i >= 0; i--) if (nameOf(list[i]) === markOrTime) return startOf(list[i]);
    throw internals.domException(context + ": The mark '" + markOrTime + "' does not exist.", "SyntaxError");
  }

  // ---- Resource Timing 4.4 ----

  function addResource(timing) {
    const entry = new PerformanceResourceTiming(INTERNAL, timing);
    notify(entry);
    if (waiting === null && buffers.resource.length < resourceLimit) {
      add(entry);
      return;
    }
    resourcesDropped++;
    if (waiting === null) {
      try {
        internals.setTimer("fetch()", tellOfFullBuffer, 0);
      } catch {
        return; // there are too many timers already
      }
      waiting = new List();
    }
    if (waiting.length < RESOURCES_MAX) waiting[waiting.length] = entry;
  }

  // The app may clear the buffer or enlarge it now; if it does, those that are waiting go in.
  function tellOfFullBuffer() {
    for (let from = 0; from < waiting.length;) {
      const before = from; // how many have gone in
      if (buffers.resource.length >= resourceLimit) {
        events.dispatch(internals.performance, events.newEvent("resourcetimingbufferfull"));
      }
      while (from < waiting.length && buffers.resource.length < resourceLimit) add(waiting[from++]);
      if (from === before) break;
    }
    waiting = null;
  }

  // ---- PerformanceObserver ----

  const registered = { __proto__: null, observers: new List() }; // replaced, never changed
  let taskWaits = false;

  class Registration {
    observer;
    callback;
    types = null; // null-prototype object: type -> true
    isSingle = undefined; // it was given `type`, or `entryTypes`
    buffer = new List();
    tellsDropped = true;
    isRegistered = false;
    constructor(observer, callback) {
      this.observer = observer;
      this.callback = callback;
    }
    register() {
      if (this.isRegistered) return;
      this.isRegistered = true;
      const old = registered.observers;
      const copy = new List();
      for (let i = 0; i < old.length; i++) copy[i] = old[i];
      copy[copy.length] = this;
      registered.observers = copy;
    }
    unregister() {
      this.types = null;
      this.isSingle = undefined;
      this.buffer = new List();
      if (!this.isRegistered) return;
      this.isRegistered = false;
      const old = registered.observers;
      const copy = new List();
      for (let i = 0; i < old.length; i++) if (old[i] !== this) copy[copy.length] = old[i];
      registered.observers = copy;
    }
  }

  // Performance Timeline 5.1, queue a PerformanceEntry, as far as it concerns observers.
  function notify(entry) {
    const { observers } = registered;
    for (let i = 0; i < observers.length; i++) {
      const { buffer, types } = observers[i];
      if (types[typeOf(entry)] === true) {
        buffer[buffer.length] = entry;
        queueTask();
      }
    }
  }

  // There are no tasks while an app's top level runs; the next entry asks again.
  function queueTask() {
    if (taskWaits || running.starting) return;
    try {
      internals.setTimer("PerformanceObserver", callObservers, 0);
      taskWaits = true;
    } catch {
      // There are too many timers already. The next entry asks again.
    }
  }

  function callObservers() {
    taskWaits = false;
    const { observers } = registered;
    for (let i = 0; i < observers.length; i++) {
      const registration = observers[i];
      const { buffer, callback, observer } = registration;
      if (buffer.length === 0) continue;
      registration.buffer = new List();
      const options = {};
      if (registration.tellsDropped) {
        registration.tellsDropped = false;
        setProperty(options, "droppedEntriesCount", registration.types.resource === true ? resourcesDropped : 0);
      }
      try {
        ReflectApply(callback, observer, [new PerformanceObserverEntryList(INTERNAL, buffer), observer, options]);
      } catch (error) {
        internals.reportException(error);
      }
    }
  }

  class PerformanceObserver {
    #registration;
    constructor(callback) {
      const context = "Failed to construct 'PerformanceObserver'";
      webidl.requiredArguments(arguments.length, 1, context);
      if (typeof callback !== "function") throw new TypeError(context + ": parameter 1 is not a function.");
      this.#registration = new Registration(this, callback);
    }
    static get supportedEntryTypes() {
      return TYPES;
    }
    observe(options = undefined) {
      if (!(#registration in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'observe' on 'PerformanceObserver'";
      const init = webidl.dictionary(options, context);
      const { buffered, entryTypes } = init;
      const types = entryTypes === undefined ? undefined
        : webidl.sequence(entryTypes, context, webidl.DOMString);
      const type = init.type === undefined ? undefined : webidl.DOMString(init.type, context);
      observe(this.#registration, types, type, buffered, context);
    }
    disconnect() {
      if (!(#registration in this)) throw webidl.illegalInvocation();
      this.#registration.unregister();
    }
    takeRecords() {
      if (!(#registration in this)) throw webidl.illegalInvocation();
      const { buffer } = this.#registration;
      this.#registration.buffer = new List();
      return ArrayFrom(buffer);
    }
  }

  function observe(registration, entryTypes, type, buffered, context) {
    if (entryTypes === undefined && type === undefined) {
      throw new TypeError(context + ": either entryTypes or type must be given.");
    }
    const isSingle = entryTypes === undefined;
    if (!isSingle && type !== undefined) {
      throw new TypeError(context + ": entryTypes and type must not be given both.");
    }
    if (registration.isSingle === undefined) registration.isSingle = isSingle;
    if (registration.isSingle !== isSingle) {
      throw internals.domException(context + ": This observer has been given " +
        (isSingle ? "entryTypes" : "type") + " before.", "InvalidModificationError");
    }
    registration.tellsDropped = true;
    if (isSingle) {
      if (buffers[type] === undefined) return;
      registration.types ??= { __proto__: null };
      registration.types[type] = true;
      registration.register();
      if (!buffered) return;
      select(registration.buffer, buffers[type], undefined, undefined);
      if (registration.buffer.length > 0) queueTask();
      return;
    }
    const types = { __proto__: null };
    let known = false;
    for (let i = 0; i < entryTypes.length; i++) {
      if (buffers[entryTypes[i]] === undefined) continue;
      types[entryTypes[i]] = true;
      known = true;
    }
    if (!known) return;
    registration.types = types;
    registration.register();
  }

  class PerformanceObserverEntryList {
    #entries;
    constructor(token, entries) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      this.#entries = entries;
    }
    getEntries() {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      return toSorted(this.#entries);
    }
    getEntriesByType(type) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getEntriesByType' on 'PerformanceObserverEntryList'";
      webidl.requiredArguments(arguments.length, 1, context);
      return this.#select(undefined, webidl.DOMString(type, context));
    }
    getEntriesByName(name, type = undefined) {
      if (!(#entries in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'getEntriesByName' on 'PerformanceObserverEntryList'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.DOMString(name, context);
      return this.#select(name, type === undefined ? undefined : webidl.DOMString(type, context));
    }
    #select(name, type) {
      const found = new List();
      select(found, this.#entries, name, type);
      return toSorted(found);
    }
  }

  const interfaces = [
    PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceResourceTiming, PerformanceObserver,
    PerformanceObserverEntryList,
  ];
  const lengths = [0, 1, 0, 0, 1, 0];
  for (let i = 0; i < interfaces.length; i++) {
    configureInterface(interfaces[i]);
    ObjectDefineProperty(interfaces[i], "length", { __proto__: null, value: lengths[i] });
    internals.define(interfaces[i].name, interfaces[i]);
  }

  internals.PerformanceEntry = PerformanceEntry;
  internals.timeline = {
    __proto__: null, entries, mark, measure, clear, addResource,
    setResourceLimit(limit) {
      resourceLimit = limit;
    },
  };
})
