import { equal, shape, suite, throws } from "./check.js";

export default suite({
  "MessageEvent"() {
    shape(MessageEvent, 1, {}, ["data", "origin", "lastEventId", "source", "ports"]);
    const event = new MessageEvent("message", { data: [1], origin: "o", lastEventId: 5, cancelable: true });
    equal([event.type, event.data[0], event.origin, event.lastEventId, event.source, event.cancelable, event.isTrusted],
      ["message", 1, "o", "5", null, true, false]);
    equal(event.ports, []);
    equal(event.ports, event.ports);
    const empty = new MessageEvent("x");
    equal([empty.data, empty.origin, empty.lastEventId], [null, "", ""]);
    equal(new MessageEvent("x", { data: undefined }).data, null);
    throws(TypeError, () => new MessageEvent(), "1 argument");
    throws(TypeError, () => new MessageEvent("x", { source: {} }), "source");
    throws(TypeError, () => new MessageEvent("x", { ports: [1] }), "ports");
    throws(TypeError, () => MessageEvent("x"), "new");
    equal(Object.getPrototypeOf(MessageEvent), Event);
  },

  "CloseEvent"() {
    shape(CloseEvent, 1, {}, ["wasClean", "code", "reason"]);
    const event = new CloseEvent("close", { wasClean: 1, code: 65537, reason: "r\ud800" });
    equal([event.wasClean, event.code, event.reason], [true, 1, "r\ufffd"]);
    const empty = new CloseEvent("close", null);
    equal([empty.wasClean, empty.code, empty.reason], [false, 0, ""]);
  },

  "ErrorEvent"() {
    shape(ErrorEvent, 1, {}, ["message", "filename", "lineno", "colno", "error"]);
    const error = new Error("e");
    const event = new ErrorEvent("error", { message: "m", filename: "f", lineno: 1, colno: 2, error });
    equal([event.message, event.filename, event.lineno, event.colno, event.error === error], ["m", "f", 1, 2, true]);
    const empty = new ErrorEvent("error");
    equal([empty.message, empty.filename, empty.lineno, empty.colno, empty.error], ["", "", 0, 0, undefined]);
  },

  "they are dispatched as others are"() {
    const target = new EventTarget();
    let got;
    target.addEventListener("message", (event) => { got = event.data; });
    target.dispatchEvent(new MessageEvent("message", { data: "d" }));
    equal(got, "d");
  },
});
