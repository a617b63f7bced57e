import { equal, shape, suite, throws } from "./check.js";

const bytes = (...list) => new Uint8Array(list);

export default suite({
  "shapes"() {
    shape(TextEncoder, 0, { encode: 0, encodeInto: 2 }, ["encoding"]);
    shape(TextDecoder, 0, { decode: 0 }, ["encoding", "fatal", "ignoreBOM"]);
    equal(Object.prototype.toString.call(new TextEncoder()), "[object TextEncoder]");
  },

  "encode"() {
    const encoder = new TextEncoder();
    equal([...encoder.encode("a\u00e9\u20ac\u{1F600}")], [97, 195, 169, 226, 130, 172, 240, 159, 152, 128]);
    equal([...encoder.encode("\ud800x\udc00")], [239, 191, 189, 120, 239, 191, 189]);
    equal([encoder.encode().length, encoder.encode(undefined).length, encoder.encode(null).length], [0, 0, 4]);
    equal([encoder.encode("x") instanceof Uint8Array, encoder.encoding], [true, "utf-8"]);
    equal(new TextDecoder().decode(encoder.encode("long ".repeat(10000) + "\u00e9")), "long ".repeat(10000) + "\u00e9");
  },

  "encodeInto"() {
    const encoder = new TextEncoder();
    for (const [text, size, read, written] of [
      ["abc", 10, 3, 3], ["abc", 2, 2, 2], ["a\u00e9", 2, 1, 1], ["\u20ac", 2, 0, 0], ["\u{1F600}x", 4, 2, 4],
      ["\u{1F600}x", 3, 0, 0], ["\ud800", 3, 1, 3], ["", 5, 0, 0], ["abc", 0, 0, 0],
    ]) {
      const result = encoder.encodeInto(text, new Uint8Array(size));
      equal([result.read, result.written], [read, written], JSON.stringify([text, size]));
    }
    const part = new Uint8Array(6);
    encoder.encodeInto("xy", part.subarray(2, 4));
    equal([...part], [0, 0, 120, 121, 0, 0]);
    throws(TypeError, () => encoder.encodeInto("a", new Uint16Array(1)));
    throws(TypeError, () => encoder.encodeInto("a"));
  },

  "decode UTF-8"() {
    const decoder = new TextDecoder();
    equal([decoder.encoding, decoder.fatal, decoder.ignoreBOM], ["utf-8", false, false]);
    for (const [input, want] of [
      [[0xef, 0xbb, 0xbf, 0x61], "a"], [[0x61, 0xff, 0x62], "a\ufffdb"], [[0xe2, 0x82], "\ufffd"],
      [[0xf0, 0x9f, 0x98, 0x80], "\u{1F600}"], [[0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"], [[0xc0, 0x80], "\ufffd\ufffd"],
      [[0xf4, 0x90, 0x80, 0x80], "\ufffd\ufffd\ufffd\ufffd"], [[0xe1, 0x80, 0x61], "\ufffda"], [[], ""],
    ]) equal(decoder.decode(bytes(...input)), want, String(input));
    equal(decoder.decode(), "");
    equal(decoder.decode(bytes(97, 98).buffer), "ab");
    equal(decoder.decode(new DataView(bytes(97, 98, 99).buffer, 1)), "bc");
    equal(decoder.decode(new Uint16Array([0x6261])), "ab");
    equal(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
    throws(TypeError, () => decoder.decode("text"));
    throws(TypeError, () => decoder.decode(null));
  },

  "fatal"() {
    const decoder = new TextDecoder("utf8", { fatal: true });
    equal(decoder.decode(bytes(0xc3, 0xa9)), "\u00e9");
    throws(TypeError, () => decoder.decode(bytes(0xc3)));
    throws(TypeError, () => decoder.decode(bytes(0xff)));
    equal(decoder.decode(bytes(0x61)), "a");
    throws(TypeError, () => new TextDecoder("utf-16", { fatal: true }).decode(bytes(0, 0xd8)));
    throws(TypeError, () => new TextDecoder("utf-16", { fatal: true }).decode(bytes(0)));
  },

  "streaming: every text split at every place"() {
    const text = "\ufeff\ufeffa\u00e9\u20ac\u{1F600}\ufffd-";
    const utf16 = (littleEndian) => {
      const view = new DataView(new ArrayBuffer(text.length * 2));
      for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), littleEndian);
      return new Uint8Array(view.buffer);
    };
    for (const [label, input] of [["utf-8", new TextEncoder().encode(text)], ["utf-16le", utf16(true)],
      ["utf-16be", utf16(false)]]) {
      const decoder = new TextDecoder(label);
      for (let i = 0; i <= input.length; i++) {
        for (let j = i; j <= input.length; j++) {
          const got = decoder.decode(input.subarray(0, i), { stream: true }) +
            decoder.decode(input.subarray(i, j), { stream: true }) + decoder.decode(input.subarray(j));
          equal(got, text.slice(1), `${label} at ${i} and ${j}`);
        }
      }
    }
  },

  "streaming: what is never completed"() {
    const decoder = new TextDecoder();
    equal(decoder.decode(bytes(0xf0, 0x9f), { stream: true }), "");
    equal(decoder.decode(bytes(0x61), { stream: true }), "\ufffda");
    equal(decoder.decode(bytes(0xe2, 0x82), { stream: true }), "");
    equal(decoder.decode(), "\ufffd");
    equal(decoder.decode(bytes(0x61)), "a");
    const wide = new TextDecoder("utf-16le");
    equal(wide.decode(bytes(0x3d, 0xd8, 0x61), { stream: true }), "");
    equal(wide.decode(bytes(0x00), { stream: true }), "\ufffda");
    equal(wide.decode(bytes(0x3d, 0xd8, 0x00), { stream: true }), "");
    equal(wide.decode(), "\ufffd");
  },

  "labels"() {
    for (const [label, encoding] of [["UTF8", "utf-8"], [" utf-8\n", "utf-8"], ["unicode-1-1-utf-8", "utf-8"],
      ["utf-16", "utf-16le"], ["ucs-2", "utf-16le"], ["unicodefffe", "utf-16be"], ["latin1", "windows-1252"],
      ["ISO-8859-1", "windows-1252"], ["ascii", "windows-1252"], ["\tx-cp1252 ", "windows-1252"]]) {
      equal(new TextDecoder(label).encoding, encoding, label);
    }
    for (const label of ["", "utf-7", "utf\u00a08", "\u212aoi8", "shift_jis", "replacement", "__proto__", "constructor"]) {
      throws(RangeError, () => new TextDecoder(label));
    }
  },

  "windows-1252"() {
    const decoder = new TextDecoder("latin1");
    equal(decoder.decode(bytes(0x41, 0x80, 0x81, 0x9f, 0xa0, 0xff)), "A\u20ac\x81\u0178\u00a0\u00ff");
    equal(decoder.decode(bytes(0xe9, 0x20)), "\u00e9 ");
    equal(decoder.decode(bytes(0x93), { stream: true }) + decoder.decode(bytes(0x94)), "\u201c\u201d");
  },

  async "TextEncoderStream and TextDecoderStream"() {
    const source = new ReadableStream({
      start(controller) {
        for (const chunk of ["a\ud83d", "\ude00\u20ac", "", "\ud83d"]) controller.enqueue(chunk);
        controller.close();
      },
    });
    let text = "";
    for await (const chunk of source.pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream())) text += chunk;
    equal(text, "a\u{1F600}\u20ac\ufffd");
  },
});
