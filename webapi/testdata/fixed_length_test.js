import { equal, rejects, suite, throws } from "./check.js";

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

// Writes texts and closes, without waiting for what becomes of it.
function write(writable, ...texts) {
  const writer = writable.getWriter();
  const done = (async () => {
    for (const text of texts) await writer.write(encode(text));
    await writer.close();
  })();
  done.catch(() => {});
  return done;
}

export default suite({
  "interfaces"() {
    equal([IdentityTransformStream.length, IdentityTransformStream.name], [0, "IdentityTransformStream"]);
    equal([FixedLengthStream.length, FixedLengthStream.name], [1, "FixedLengthStream"]);
    equal(Object.getPrototypeOf(FixedLengthStream), IdentityTransformStream);
    const stream = new FixedLengthStream(1);
    equal([stream instanceof IdentityTransformStream, stream.readable === stream.readable,
      stream.readable instanceof ReadableStream, stream.writable instanceof WritableStream], [true, true, true, true]);
    equal(Object.prototype.toString.call(stream), "[object FixedLengthStream]");
    throws(TypeError, () => IdentityTransformStream(), "new");
    throws(TypeError, () => IdentityTransformStream.prototype.readable);
  },

  "lengths"() {
    for (const length of [-1, 1.5, NaN, Infinity, "many", 2 ** 53, undefined]) {
      throws(TypeError, () => new FixedLengthStream(length), "whole number");
    }
    throws(TypeError, () => new FixedLengthStream(), "1 argument required");
    for (const length of [0, 1, 5n, 2 ** 53 - 1, "7"]) new FixedLengthStream(length);
  },

  async "bytes come out as they went in"() {
    const { readable, writable } = new IdentityTransformStream();
    const done = write(writable, "one", "", "two");
    let text = "";
    for await (const chunk of readable) text += decode(chunk) + ";";
    equal(text, "one;two;");
    await done;
  },

  async "a write is done when it was read"() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    let written = false;
    writer.write(encode("x")).then(() => { written = true; });
    await new Promise((done) => setTimeout(done, 1));
    equal(written, false);
    equal(decode((await readable.getReader().read()).value), "x");
    await new Promise((done) => setTimeout(done, 1));
    equal(written, true);
  },

  async "the app keeps its buffer"() {
    const { readable, writable } = new IdentityTransformStream();
    const bytes = encode("x");
    const writer = writable.getWriter();
    writer.write(bytes);
    bytes[0] = 0x79;
    const { value } = await readable.getReader().read();
    equal([decode(bytes), bytes.buffer.detached], ["y", false]);
    equal(value.buffer === bytes.buffer, false);
  },

  async "kinds of chunks"() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const reader = readable.getReader();
    const words = new Uint16Array([0x6161, 0x6262, 0x6363]);
    for (const chunk of [words.buffer, words.subarray(1, 2), new DataView(words.buffer, 4)]) {
      writer.write(chunk);
    }
    equal([decode((await reader.read()).value), decode((await reader.read()).value), decode((await reader.read()).value)],
      ["aabbcc", "bb", "cc"]);
    await rejects(TypeError, () => writer.write("text"), "bytes only");
    await rejects(TypeError, () => reader.read(), "bytes only");
  },

  async "readers may bring buffers"() {
    const { readable, writable } = new IdentityTransformStream();
    write(writable, "hello", "world");
    const reader = readable.getReader({ mode: "byob" });
    let text = "";
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(4));
      if (done) break;
      text += decode(value) + ";";
    }
    equal(text, "hell;o;worl;d;");
  },

  async "canceling fails the writer"() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const waiting = writer.write(encode("x"));
    const reason = new Error("enough");
    await readable.cancel(reason);
    equal(await waiting.catch((error) => error), reason);
    equal(await writer.write(encode("y")).catch((error) => error), reason);
    equal(await writer.closed.catch((error) => error), reason);
  },

  async "aborting fails the reader"() {
    const { readable, writable } = new IdentityTransformStream();
    const reason = new Error("no more");
    const reading = readable.getReader().read();
    await writable.abort(reason);
    equal(await reading.catch((error) => error), reason);
  },

  async "closing without a reader"() {
    const { readable, writable } = new IdentityTransformStream();
    await writable.close();
    equal(decode(await new Response(readable).bytes()), "");
  },

  async "exactly as many bytes"() {
    for (const texts of [["hello"], ["he", "llo"], ["h", "e", "l", "l", "o"]]) {
      const { readable, writable } = new FixedLengthStream(5);
      write(writable, ...texts);
      equal(await new Response(readable).text(), "hello");
    }
    const { readable, writable } = new FixedLengthStream(0);
    write(writable);
    equal(await new Response(readable).text(), "");
  },

  async "too few"() {
    const { readable, writable } = new FixedLengthStream(6);
    const done = write(writable, "hello");
    await rejects(TypeError, () => new Response(readable).text(), "only 5 of the 6 bytes");
    await rejects(TypeError, () => done, "only 5 of the 6 bytes");
  },

  async "too many"() {
    const { readable, writable } = new FixedLengthStream(6);
    const done = write(writable, "hello", "you");
    await rejects(TypeError, () => new Response(readable).text(), "more than the 6 bytes");
    await rejects(TypeError, () => done, "more than the 6 bytes");
  },

  async "pipes"() {
    const source = new ReadableStream({
      start(controller) {
        for (const text of ["a", "b", "c"]) controller.enqueue(encode(text));
        controller.close();
      },
    });
    equal(await new Response(source.pipeThrough(new FixedLengthStream(3)).pipeThrough(new IdentityTransformStream())).text(), "abc");
  },
});
