import { equal, shape, suite, throws } from "./check.js";

// Before the app is started there is no time.
const atStart = [performance.now(), performance.mark("at start").startTime, new Event("x").timeStamp];
performance.clearMarks();

const names = (entries) => entries.map((entry) => entry.name);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// What an observer is called with next: [list, observer, options].
function observed(init, act) {
  return new Promise((resolve) => {
    const observer = new PerformanceObserver(function (...args) {
      observer.disconnect();
      resolve([this, ...args]);
    });
    observer.observe(init);
    act?.();
  });
}

export default suite({
  "shapes"() {
    shape(Performance, 0, {
      now: 0, toJSON: 0, getEntries: 0, getEntriesByType: 1, getEntriesByName: 1, mark: 1, clearMarks: 0, measure: 1,
      clearMeasures: 0, clearResourceTimings: 0, setResourceTimingBufferSize: 1,
    }, ["timeOrigin", "onresourcetimingbufferfull"]);
    shape(PerformanceEntry, 0, { toJSON: 0 }, ["id", "name", "entryType", "startTime", "duration", "navigationId"]);
    shape(PerformanceMark, 1, {}, ["detail"]);
    shape(PerformanceMeasure, 0, {}, ["detail"]);
    shape(PerformanceResourceTiming, 0, { toJSON: 0 }, [
      "initiatorType", "deliveryType", "nextHopProtocol", "workerStart", "redirectStart", "redirectEnd", "fetchStart",
      "domainLookupStart", "domainLookupEnd", "connectStart", "connectEnd", "secureConnectionStart", "requestStart",
      "finalResponseHeadersStart", "firstInterimResponseStart", "responseStart", "responseEnd", "transferSize",
      "encodedBodySize", "decodedBodySize", "responseStatus", "renderBlockingStatus", "contentType",
    ]);
    shape(PerformanceObserver, 1, { observe: 0, disconnect: 0, takeRecords: 0 }, []);
    shape(PerformanceObserverEntryList, 0, { getEntries: 0, getEntriesByType: 1, getEntriesByName: 1 }, []);
    for (const Interface of [Performance, PerformanceEntry, PerformanceMeasure, PerformanceResourceTiming,
      PerformanceObserverEntryList]) throws(TypeError, () => new Interface(), "Illegal constructor");
    equal(Object.getPrototypeOf(PerformanceMark) === PerformanceEntry, true);
    const { supportedEntryTypes } = PerformanceObserver;
    equal(supportedEntryTypes, ["mark", "measure", "resource"]);
    equal([Object.isFrozen(supportedEntryTypes), PerformanceObserver.supportedEntryTypes === supportedEntryTypes],
      [true, true]);
  },

  "the clock is coarse, but goes on"() {
    equal(atStart, [0, 0, 0]);
    const first = performance.now();
    let next = first;
    for (let spins = 0; next === first; spins++) {
      if (spins > 1e8) throw new Error("the clock stands");
      next = performance.now();
    }
    const step = (next - first) * 10;
    equal([step >= 0.99, Math.abs(step - Math.round(step)) < 1e-6], [true, true], `${first} ${next}`);
    for (const time of [next, new Event("x").timeStamp, performance.mark("m").startTime]) {
      equal(Math.abs(time * 10 - Math.round(time * 10)) < 1e-6, true, `${time}`);
    }
    equal(next < 60_000, true, "time since the app was started");
    performance.clearMarks();
  },

  "the global performance can be replaced"() {
    const own = performance;
    const descriptor = Object.getOwnPropertyDescriptor(WorkerGlobalScope.prototype, "performance");
    equal([descriptor.enumerable, descriptor.configurable, descriptor.get.call(undefined) === own], [true, true, true]);
    throws(TypeError, () => descriptor.get.call({}), "Illegal invocation");
    throws(TypeError, () => descriptor.set.call({}, 1), "Illegal invocation");
    performance = 5;
    equal([performance, delete globalThis.performance, performance === own], [5, true, true]);
  },

  "marks"() {
    performance.clearMarks();
    const detail = { a: 1 };
    const mark = performance.mark("m", { detail, startTime: 5 });
    equal([mark instanceof PerformanceMark, mark.name, mark.entryType, mark.startTime, mark.duration],
      [true, "m", "mark", 5, 0]);
    equal([mark.detail.a, mark.detail !== detail, mark.navigationId, Number.isInteger(mark.id)], [1, true, 0, true]);
    equal(JSON.stringify(mark), JSON.stringify({
      id: mark.id, name: "m", entryType: "mark", startTime: 5, duration: 0, navigationId: 0 }));
    equal(performance.mark("n", { startTime: 1 }).detail, null);
    equal(new PerformanceMark("alone").detail, null);
    performance.mark("m", { startTime: 3 });
    equal(names(performance.getEntriesByType("mark")), ["n", "m", "m"]);
    equal(performance.getEntriesByName("m").map((entry) => entry.startTime), [3, 5]);
    equal([performance.getEntriesByName("m", "measure").length, performance.getEntriesByType("other").length], [0, 0]);
    performance.clearMarks("m");
    equal(names(performance.getEntries()), ["n"]);
    performance.clearMarks();
    equal(performance.getEntries(), []);
    throws(TypeError, () => performance.mark());
    throws(TypeError, () => performance.mark(Symbol()));
    throws(TypeError, () => performance.mark("m", 1));
    throws(TypeError, () => performance.mark("m", { startTime: -1 }), "negative");
    throws(TypeError, () => performance.mark("m", { startTime: NaN }), "non-finite");
    throws("DataCloneError", () => performance.mark("m", { detail: () => {} }));
    throws(TypeError, () => Performance.prototype.mark.call({}, "m"), "Illegal invocation");
    equal(performance.getEntries(), []);
  },

  "measures"() {
    performance.mark("a", { startTime: 10 });
    performance.mark("b", { startTime: 25 });
    performance.mark("a", { startTime: 12 });
    const times = (...args) => {
      const { startTime, duration } = performance.measure("m", ...args);
      return [startTime, duration];
    };
    equal(times("a", "b"), [12, 13]);
    equal(times({ start: "a", end: "b" }), [12, 13]);
    equal(times({ start: 1, duration: 2 }), [1, 2]);
    equal(times({ end: 9, duration: 2 }), [7, 2]);
    equal(times({ start: 3, end: 4, detail: 1 }), [3, 1]);
    equal(times({}, "b"), [0, 25]);
    equal(times(null, "b"), [0, 25]);
    equal(times()[0], 0);
    equal(performance.measure("d", { start: 0, detail: [1] }).detail, [1]);
    throws("SyntaxError", () => performance.measure("m", "unknown"), "unknown");
    throws(TypeError, () => performance.measure("m", { start: 1 }, "b"));
    throws(TypeError, () => performance.measure("m", { detail: 1 }));
    throws(TypeError, () => performance.measure("m", { start: 1, end: 2, duration: 1 }));
    throws(TypeError, () => performance.measure("m", { start: -1, end: 2 }));
    const order = [];
    const getters = {};
    for (const key of ["start", "end", "duration", "detail"]) {
      Object.defineProperty(getters, key, { get() { order.push(key); } });
    }
    performance.measure("m", getters);
    equal(order, ["detail", "duration", "end", "start"]);
    performance.clearMeasures("m");
    equal(names(performance.getEntriesByType("measure")), ["d"]);
    performance.clearMeasures();
    performance.clearMarks();
  },

  async "observers"() {
    const [self, list, observer, options] = await observed({ entryTypes: ["measure", "mark", "unknown"] }, () => {
      performance.mark("second", { startTime: 2 });
      performance.mark("first", { startTime: 1 });
      performance.measure("whole");
    });
    equal([self === observer, list instanceof PerformanceObserverEntryList, JSON.stringify(options)],
      [true, true, '{"droppedEntriesCount":0}']);
    equal(names(list.getEntries()), ["whole", "first", "second"]);
    equal([names(list.getEntriesByType("mark")), names(list.getEntriesByName("first", "mark")), list.getEntriesByName("first", "measure").length],
      [["first", "second"], ["first"], 0]);
    const [, buffered] = await observed({ type: "mark", buffered: true });
    equal(names(buffered.getEntries()), ["first", "second"]);
    performance.clearMarks();
    performance.clearMeasures();

    const records = new PerformanceObserver(() => { throw new Error("called in spite of takeRecords"); });
    records.observe({ type: "mark" });
    performance.mark("taken");
    equal([names(records.takeRecords()), records.takeRecords().length], [["taken"], 0]);
    records.disconnect();
    performance.mark("unseen");
    equal(records.takeRecords(), []);
    await sleep(1);
    performance.clearMarks();
  },

  async "an observer that throws harms no other one"() {
    const bad = new PerformanceObserver(() => {
      bad.disconnect();
      throw new Error("expected in the log");
    });
    bad.observe({ type: "mark" });
    const [, list] = await observed({ type: "mark" }, () => performance.mark("m"));
    equal(names(list.getEntries()), ["m"]);
    performance.clearMarks();
  },

  "what observe() refuses"() {
    throws(TypeError, () => new PerformanceObserver(), "1 argument");
    throws(TypeError, () => new PerformanceObserver({}), "not a function");
    const observer = new PerformanceObserver(() => {});
    throws(TypeError, () => observer.observe());
    throws(TypeError, () => observer.observe({ entryTypes: ["mark"], type: "mark" }));
    throws(TypeError, () => observer.observe({ entryTypes: "mark" }));
    observer.observe({ type: "mark" });
    throws("InvalidModificationError", () => observer.observe({ entryTypes: ["mark"] }));
    observer.disconnect();
    observer.observe({ entryTypes: ["mark"] });
    throws("InvalidModificationError", () => observer.observe({ type: "mark" }));
    observer.disconnect();
    throws(TypeError, () => PerformanceObserver.prototype.observe.call({}, { type: "mark" }), "Illegal invocation");
  },

  "many entries stay in order"() {
    for (let i = 0; i < 5000; i++) performance.mark(`m${i}`, { startTime: (i * 7919) % 5000 });
    const entries = performance.getEntriesByType("mark");
    equal([entries.length, entries.every((entry, i) => entry.startTime === i)], [5000, true]);
    performance.clearMarks();
  },
});
