import { equal, rejects, suite, throws } from "./check.js";

const FORMATS = ["gzip", "deflate", "deflate-raw", "brotli"];
const encode = (text) => new TextEncoder().encode(text);

// Writes chunks to one side of a stream and gives all bytes of the other.
async function through(stream, ...chunks) {
  const writer = stream.writable.getWriter();
  const write = (async () => {
    for (const chunk of chunks) await writer.write(chunk);
    await writer.close();
  })();
  write.catch(() => {});
  const bytes = await new Response(stream.readable).bytes();
  await write;
  return bytes;
}

async function compressed(format, bytes) {
  return await through(new CompressionStream(format), bytes);
}

export default suite({
  "interfaces"() {
    for (const type of [CompressionStream, DecompressionStream]) {
      equal(type.length, 1, "length");
      equal(Object.keys(type.prototype), ["readable", "writable"], "members");
      equal(Object.prototype.toString.call(new type("gzip")), `[object ${type.name}]`);
      throws(TypeError, () => type("gzip"), "new");
      throws(TypeError, () => new type(), "1 argument required");
      throws(TypeError, () => new type("zip"), "zip");
      throws(TypeError, () => new type("__proto__"));
      throws(TypeError, () => type.prototype.readable, "Illegal invocation");
      throws(TypeError, () => Object.create(new type("gzip")).writable, "Illegal invocation");
      const stream = new type({ toString: () => "deflate" });
      equal([stream.readable === stream.readable, stream.writable instanceof WritableStream], [true, true]);
    }
  },

  async "there and back"() {
    const texts = ["", "x", "expected output", "abc".repeat(100_000), JSON.stringify([...Array(30_000).keys()])];
    for (const format of FORMATS) {
      for (const text of texts) {
        const bytes = await compressed(format, encode(text));
        const back = await through(new DecompressionStream(format), ...[0, 1, 2, 3].map((i) => bytes.subarray(i * bytes.length / 4,
          (i + 1) * bytes.length / 4)));
        equal(new TextDecoder().decode(back) === text, true, `${format} of ${text.length}`);
      }
    }
  },

  async "chunks are BufferSources"() {
    const bytes = await compressed("deflate", encode("expected output"));
    const views = [bytes, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), new DataView(bytes.slice().buffer)];
    for (const view of views) {
      equal(new TextDecoder().decode(await through(new DecompressionStream("deflate"), view)), "expected output");
    }
    for (const bad of [undefined, null, 3, "text", {}, [65], Symbol("s"), 1n, new Proxy(bytes, {}), new SharedArrayBuffer(0)]) {
      for (const type of [CompressionStream, DecompressionStream]) {
        const { readable, writable } = new type("gzip");
        const read = readable.getReader().read();
        await rejects(TypeError, () => writable.getWriter().write(bad), "");
        await rejects(TypeError, () => read, "");
      }
    }
  },

  async "damaged data are a TypeError"() {
    for (const format of FORMATS) {
      const bytes = await compressed(format, encode("expected output"));
      await rejects(TypeError, () => through(new DecompressionStream(format), bytes.subarray(0, -1)), "too early");
      await rejects(TypeError, () => through(new DecompressionStream(format), new Uint8Array([...bytes, 0])), "");
      await rejects(TypeError, () => through(new DecompressionStream(format), bytes, new Uint8Array(1)), "");
      equal((await through(new DecompressionStream(format), bytes, new Uint8Array(0))).length, 15, "an empty chunk at the end");
      await rejects(TypeError, () => through(new DecompressionStream(format)), "too early");
    }
  },

  async "a bomb waits for its readers"() {
    for (const format of FORMATS) {
      const stream = new CompressionStream(format);
      const writer = stream.writable.getWriter();
      (async () => {
        for (let i = 0; i < 64; i++) await writer.write(new Uint8Array(1 << 20));
        await writer.close();
      })();
      const bomb = await new Response(stream.readable).bytes();
      const { readable, writable } = new DecompressionStream(format);
      const reader = readable.getReader();
      let written = false;
      const written1 = writable.getWriter();
      const write = written1.write(bomb).then(() => { written = true; }, () => {});
      let length = 0;
      for (let i = 0; i < 100; i++) length += (await reader.read()).value.length;
      equal([length > 4 << 20, length < 16 << 20, written], [true, true, false], format);
      await reader.cancel("enough");
      await write;
    }
  },

  async "a chunk may be detached while its output is read"() {
    const input = new Uint8Array(500_000);
    for (let i = 0; i < input.length; i += 65536) crypto.getRandomValues(input.subarray(i, i + 65536));
    const copy = input.slice();
    const stream = new CompressionStream("deflate");
    const writer = stream.writable.getWriter();
    writer.write(input);
    writer.close();
    Object.defineProperty(Object.prototype, "then", {
      configurable: true,
      get() {
        if (input.length !== 0) structuredClone(input.buffer, { transfer: [input.buffer] });
        return undefined;
      },
    });
    let bytes;
    try {
      bytes = await new Response(stream.readable).bytes();
    } finally {
      delete Object.prototype.then;
    }
    const back = await through(new DecompressionStream("deflate"), bytes);
    equal(back.every((byte, i) => byte === copy[i]) && back.length === copy.length, true);
  },

  async "pipes"() {
    const text = "to be piped ".repeat(10_000);
    const stream = new Response(text).body.pipeThrough(new CompressionStream("gzip")).pipeThrough(new DecompressionStream("gzip"));
    equal(await new Response(stream).text() === text, true);
  },

  async "ends early"() {
    for (const type of [CompressionStream, DecompressionStream]) {
      const aborted = new type("gzip");
      const read = aborted.readable.getReader().read();
      await aborted.writable.abort(new RangeError("given up"));
      await rejects(RangeError, () => read, "given up");
      const cancelled = new type("brotli");
      await cancelled.readable.cancel("enough");
      equal(await cancelled.writable.getWriter().write(new Uint8Array(1)).catch((reason) => reason), "enough");
    }
  },
});
