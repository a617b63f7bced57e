// EventSource, against the events of isolates/outbound_test.go.
import { equal, suite, throws, utf8 } from "./check.js";

const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
const seen = async () => (await fetch("http://origin/seen")).json();

export default suite({
  async "events, reconnection and the last event's id"() {
    const source = new EventSource("http://origin/events/1", { withCredentials: true });
    equal([source.readyState, source.url, source.withCredentials], [0, "http://origin/events/1", true]);
    const got = [];
    const note = (event) => got.push([event.type, event.data, event.lastEventId, event.origin, source.readyState].join("|"));
    source.addEventListener("message", note);
    source.addEventListener("named", note);
    let errors = 0;
    source.onerror = () => {
      errors++;
      equal(source.readyState, 0);
    };
    await once(source, "open");
    equal(source.readyState, 1);
    await once(source, "error");
    await once(source, "message");
    equal(got, [
      "message|first\nsecond|1|http://origin|1", "named|\n two|1|http://origin|1", "message|\u20ac|2|http://origin|1",
      "message|after 2|2|http://origin|1",
    ]);
    equal(errors, 1);
    source.close();
    equal(source.readyState, 2);
    source.close();
    equal((await seen()).open, 0);
  },

  async "answers that are no events"() {
    for (const path of ["events/none", "echo", "status/500"]) {
      const source = new EventSource(`http://origin/${path}`);
      const event = await once(source, "error");
      equal([event instanceof ErrorEvent, source.readyState], [true, 2]);
    }
  },

  async "closed while it connects"() {
    const source = new EventSource("http://origin/never");
    source.onerror = () => { throw new Error("an error event"); };
    source.close();
    await scheduler.wait(1);
    equal([source.readyState, (await seen()).open], [2, 0]);
  },

  async "a fault is tried again"() {
    const source = new EventSource("http://origin/fault/1");
    await once(source, "error");
    await once(source, "error");
    equal(source.readyState, 0);
    source.close();
  },

  async "from a stream"() {
    const stream = new ReadableStream({
      start(controller) {
        for (const byte of utf8("data: \u20ac\n\ndata: x\r\n\r\n")) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const source = EventSource.from(stream);
    const got = [];
    source.onmessage = (event) => got.push(event.data);
    await once(source, "error");
    equal([got, source.readyState].flat(), ["\u20ac", "x", 2]);
    throws(TypeError, () => EventSource.from(stream), "locked");
    throws(TypeError, () => EventSource.from({}), "ReadableStream");
  },

  "shape"() {
    throws("SyntaxError", () => new EventSource("relative"), "invalid");
    throws(TypeError, () => new EventSource(), "1 argument");
    equal([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED, EventSource.prototype.CLOSED], [0, 1, 2, 2]);
    equal([EventSource.length, EventSource.prototype[Symbol.toStringTag]], [1, "EventSource"]);
  },
});
