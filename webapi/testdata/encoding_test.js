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

  "encode in optimized code"() {
    // As often as it takes for code that calls C++ without V8's usual ceremony.
    const encoder = new TextEncoder();
    const encode = (text) => encoder.encode(text);
    const into = (text, bytes) => encoder.encodeInto(text, bytes);
    const long = "0123456789".repeat(10) + "\u00e9";
    const texts = [
      ["", []], ["abc", [97, 98, 99]], ["a\u00e9", [97, 195, 169]], ["\u20ac", [226, 130, 172]],
      [long.slice(80, 98), [...long.slice(80, 98)].map((c) => c.charCodeAt(0))],
      [["ab", "cd"].join("") + "e", [97, 98, 99, 100, 101]], ["\ud800", [239, 191, 189]],
    ];
    for (let round = 0; round < 3000; round++) {
      const [text, want] = texts[round % 1000 < 900 ? 1 : round % texts.length];
      const bytes = encode(text);
      if (bytes.length !== want.length || bytes.buffer.byteLength !== want.length) equal([...bytes], want, text);
      for (let i = 0; i < want.length; i++) if (bytes[i] !== want[i]) equal([...bytes], want, text);
    }
    // Every length and place of a character that takes two bytes, and of what has no room.
    for (let length = 0; length <= 70; length++) {
      const ascii = "x".repeat(length);
      equal([...encode(ascii)], new Array(length).fill(120), length);
      for (let at = 0; at < length; at += 7) {
        const text = ascii.slice(0, at) + "\u00e9" + ascii.slice(at + 1);
        const want = [...new Array(at).fill(120), 195, 169, ...new Array(length - at - 1).fill(120)];
        equal([...encode(text)], want, text);
        for (const room of [0, at, at + 1, at + 2, length, length + 1, length + 50]) {
          for (const bytes of [new Uint8Array(room).fill(7), new Uint8Array(new ArrayBuffer(room + 9), 5, room).fill(7)]) {
            const { read, written } = into(text, bytes);
            const fits = room >= length + 1 ? length + 1 : room === at + 1 ? at : room;
            equal([read, written], [fits > at ? fits - 1 : fits, fits], text + " " + room);
            equal([...bytes], [...want.slice(0, fits), ...new Array(room - fits).fill(7)], text + " " + room);
          }
        }
      }
    }
  },

  "encodeInto unusual arrays in optimized code"() {
    const encoder = new TextEncoder();
    const into = (text, bytes) => {
      const { read, written } = encoder.encodeInto(text, bytes);
      return [read, written];
    };
    const plain = new Uint8Array(100);
    for (let round = 0; round < 3000; round++) into("some text", plain);
    const buffer = new ArrayBuffer(8, { maxByteLength: 16 }), tracking = new Uint8Array(buffer, 2);
    equal(into("0123456789", tracking), [6, 6]);
    buffer.resize(4);
    equal(into("ab456789", tracking), [2, 2]);
    equal([...new Uint8Array(buffer)], [0, 0, 97, 98]);
    buffer.resize(1);
    equal(into("ab456789", tracking), [0, 0]);
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    equal([...into("shared", shared), ...shared], [4, 4, 115, 104, 97, 114]);
    for (const gone of [new Uint8Array(5), new Uint8Array(5000)]) {
      structuredClone(gone.buffer, { transfer: [gone.buffer] });
      equal(into("gone", gone), [0, 0]);
    }
    class Longer extends Uint8Array {
      get length() { return 1000; }
      get byteLength() { return 1000; }
      get buffer() { return new ArrayBuffer(1000); }
    }
    equal(into("0123456789", new Longer(3)), [3, 3]);
    for (const other of [new Uint8ClampedArray(9), new Int8Array(9), new DataView(new ArrayBuffer(9)), [], null, 1, "x"]) {
      throws(TypeError, () => into("text", other));
    }
  },

  "decode large texts"() {
    // Long enough to be written straight into a string, and around what is looked at in one piece.
    const decoder = new TextDecoder(), strict = new TextDecoder("utf-8", { fatal: true });
    const piece = 16 << 10, large = 128 << 10;
    for (const size of [large - 1, large, large + 1, large + piece - 1, large + piece, large + piece + 1]) {
      const text = "0123456789abcdef".repeat(size / 16 + 1).slice(0, size), input = new TextEncoder().encode(text);
      equal([decoder.decode(input) === text, strict.decode(input) === text], [true, true], size);
      for (const at of [0, piece - 1, piece, large - piece, size - 2]) {
        const accented = text.slice(0, at) + "\u00e9" + text.slice(at + 2);
        input.set([0xc3, 0xa9], at);
        equal([decoder.decode(input) === accented, strict.decode(input) === accented], [true, true], size + " " + at);
        input[at] = 0xff;
        equal(decoder.decode(input) === text.slice(0, at) + "\ufffd\ufffd" + text.slice(at + 2), true, size + " " + at);
        throws(TypeError, () => strict.decode(input));
        input.set([text.charCodeAt(at), text.charCodeAt(at + 1)], at);
      }
      // The string does not change with the bytes.
      const copy = decoder.decode(input);
      input.fill(120);
      equal(copy === text, true, size);
    }
  },

  "decode large malformed texts"() {
    // A decoder that looks ahead must not write more than there is room for.
    const decoder = new TextDecoder(), strict = new TextDecoder("utf-8", { fatal: true });
    for (const size of [128 << 10, (128 << 10) + 1, 300000]) {
      for (const good of ["", "x".repeat(1000), "\u20ac".repeat(10), "\u20ac".repeat(30000), "\u{1f600}".repeat(25000)]) {
        const begin = new TextEncoder().encode(good), input = new Uint8Array(begin.length + size);
        for (const [byte, want] of [[0x80, "\ufffd"], [0xf0, "\ufffd"], [0xc3, "\ufffd"]]) {
          input.fill(byte);
          input.set(begin);
          equal(decoder.decode(input) === good + want.repeat(size), true, `${size} ${good.length} ${byte}`);
          throws(TypeError, () => strict.decode(input));
        }
        input.fill(120);
        input.set(begin);
        equal(strict.decode(input) === good + "x".repeat(size), true, `${size} ${good.length}`);
        input[input.length - 1] = 0xc3;
        equal(decoder.decode(input) === good + "x".repeat(size - 1) + "\ufffd", true, `${size} ${good.length}`);
      }
    }
    const wide = "\u20ac".repeat(100000), bytes = new TextEncoder().encode(wide);
    equal(strict.decode(bytes) === wide, true);
    equal(new TextDecoder("utf-16le").decode(new Uint16Array([...wide].map((c) => c.charCodeAt(0)))) === wide, true);
    equal(atob(btoa("\u00ff".repeat(200001))) === "\u00ff".repeat(200001), true);
    equal(atob((btoa("abc".repeat(100000)) + " \n").repeat(1)) === "abc".repeat(100000), true);
    equal(atob(" ".repeat(400000)), "");
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
    for (const label of ["", "utf-7", "utf\u00a08", "\u212aoi8", "hz-gb-2312", "replacement", "__proto__", "constructor"]) {
      throws(RangeError, () => new TextDecoder(label));
    }
  },

  "windows-1252"() {
    const decoder = new TextDecoder("latin1");
    equal(decoder.decode(bytes(0x41, 0x80, 0x81, 0x9f, 0xa0, 0xff)), "A\u20ac\x81\u0178\u00a0\u00ff");
    equal(decoder.decode(bytes(0xe9, 0x20)), "\u00e9 ");
    equal(decoder.decode(bytes(0x93), { stream: true }) + decoder.decode(bytes(0x94)), "\u201c\u201d");
  },

  "legacy encodings"() {
    for (const [label, encoding, input, text] of [
      ["sjis", "shift_jis", [0x82, 0xa0, 0xb1], "\u3042\uff71"],
      [" GB2312", "gbk", [0xc4, 0xe3, 0x80], "\u4f60\u20ac"],
      ["gb18030", "gb18030", [0x90, 0x30, 0x81, 0x30], "\u{10000}"],
      ["big5-hkscs", "big5", [0x88, 0x62, 0x87, 0x45], "\u00ca\u0304\u{27267}"],
      ["x-euc-jp", "euc-jp", [0x8f, 0xb0, 0xa1], "\u4e02"],
      ["csiso2022jp", "iso-2022-jp", [0x1b, 0x24, 0x42, 0x24, 0x22, 0x1b, 0x28, 0x42, 0x61], "\u3042a"],
      ["korean", "euc-kr", [0xb0, 0xa1], "\uac00"],
      ["koi8-ru", "koi8-u", [0xae], "\u045e"],
      ["x-user-defined", "x-user-defined", [0x41, 0xff], "A\uf7ff"],
    ]) {
      const decoder = new TextDecoder(label);
      equal(decoder.encoding, encoding);
      for (let i = 0; i <= input.length; i++) {
        const got = decoder.decode(bytes(...input.slice(0, i)), { stream: true }) + decoder.decode(bytes(...input.slice(i)));
        equal(got, text, `${label} at ${i}`);
      }
      equal(new TextDecoder(label, { fatal: true }).decode(bytes(...input)), text);
      const long = new Uint8Array(200000 * input.length);
      for (let i = 0; i < long.length; i++) long[i] = input[i % input.length];
      equal(decoder.decode(long), text.repeat(200000), `${label}, long`);
    }
    const decoder = new TextDecoder("big5", { fatal: true });
    throws(TypeError, () => decoder.decode(bytes(0x41, 0xff)));
    throws(TypeError, () => decoder.decode(bytes(0xa4)));
    equal(decoder.decode(bytes(0xa4), { stream: true }), "");
    throws(TypeError, () => decoder.decode(bytes(0xff), { stream: true }));
    equal(decoder.decode(bytes(0xa4, 0x40)), "\u4e00");
    equal(new TextDecoder("iso-8859-6").decode(bytes(0xa1)), "\ufffd");
    throws(TypeError, () => new TextDecoder("iso-8859-6", { fatal: true }).decode(bytes(0xa1)));
  },

  "what is gone before it is read"() {
    const gone = (make) => {
      const buffer = new ArrayBuffer(100, { maxByteLength: 200 });
      const input = make(buffer);
      buffer.transfer();
      return input;
    };
    for (const label of ["utf-8", "utf-16le", "big5", "latin1"]) {
      for (const make of [(b) => b, (b) => new Uint8Array(b), (b) => new DataView(b, 4), (b) => new Uint16Array(b, 2, 5)]) {
        const decoder = new TextDecoder(label);
        equal(decoder.decode(gone(make)), "");
        equal(decoder.decode(gone(make), { stream: true }), "");
        const buffer = new ArrayBuffer(100, { maxByteLength: 200 });
        const options = { get stream() { buffer.transfer(); return true; } };
        equal(decoder.decode(make(buffer), options), "");
      }
      const shrunk = new ArrayBuffer(100, { maxByteLength: 200 });
      const views = [new Uint8Array(shrunk, 50, 10), new DataView(shrunk, 50, 10)];
      shrunk.resize(20);
      for (const view of views) equal(new TextDecoder(label).decode(view), "");
    }
    const target = new Uint8Array(10);
    target.buffer.transfer();
    const { read, written } = new TextEncoder().encodeInto("abc", target);
    equal([read, written], [0, 0]);
  },

  "text of every size and width"() {
    const decoder = new TextDecoder();
    const fatal = new TextDecoder("utf-8", { fatal: true });
    const encoder = new TextEncoder();
    // By the standard's algorithm, a byte at a time through a streaming decoder, and back.
    for (const phrase of ["a", "\u00e9", "ab\u00e9", "\u20ac", "\u{1F600}", "x\u20ac\u00ff\u{1F600}"]) {
      for (const size of [1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 1000, 50000, 70000, 140000]) {
        const text = phrase.repeat(Math.ceil(size / phrase.length));
        const encoded = encoder.encode(text);
        const into = new Uint8Array(encoded.length);
        const { read, written } = encoder.encodeInto(text, into);
        equal([read, written], [text.length, encoded.length], `${phrase} ${size}`);
        equal(into.every((byte, i) => byte === encoded[i]), true);
        equal(decoder.decode(encoded) === text && fatal.decode(encoded) === text, true, `${phrase} ${size}`);
        const broken = new Uint8Array(encoded.length + 2);
        broken.set(encoded);
        broken.set([0xc3, 0xff], encoded.length);
        equal(decoder.decode(broken) === text + "\ufffd\ufffd", true, `broken ${phrase} ${size}`);
        throws(TypeError, () => fatal.decode(broken));
        const halves = encoder.encode("\udc00" + text + "\ud800");
        equal(decoder.decode(halves) === "\ufffd" + text + "\ufffd", true, `halves ${phrase} ${size}`);
      }
    }
  },

  // What encode() gives lies in V8's heap up to some length, until somebody asks for its buffer.
  async "encoded bytes are a Uint8Array like any other"() {
    const encoder = new TextEncoder(), decoder = new TextDecoder();
    const uses = {
      buffer: (bytes) => [...new Uint8Array(bytes.buffer)],
      "length of the buffer": (bytes, want) => (equal([bytes.buffer.byteLength, bytes.byteOffset], [want.length, 0]), [...bytes]),
      subarray: (bytes) => [...bytes.subarray(0, 1), ...bytes.subarray(1)],
      slice: (bytes) => [...bytes.slice()],
      set: (bytes) => {
        const copy = new Uint8Array(bytes.length + 2);
        copy.set(bytes, 1);
        return [...copy.subarray(1, -1)];
      },
      "an array of it": (bytes) => [...new Uint8Array(bytes)],
      "a wider array of it": (bytes) => [...Uint16Array.from(bytes)],
      DataView: (bytes) => {
        const view = new DataView(bytes.buffer);
        return Array.from(bytes, (_, at) => view.getUint8(at));
      },
      "a write through the buffer": (bytes) => {
        const other = new Uint8Array(bytes.buffer);
        other[0] ^= 1;
        bytes[0] ^= 1;
        return [...other];
      },
      clone: (bytes) => [...structuredClone(bytes)],
      transfer: (bytes) => {
        const moved = structuredClone(bytes, { transfer: [bytes.buffer] });
        equal([bytes.length, bytes.buffer.byteLength], [0, 0]);
        return [...moved];
      },
      "transfer of the buffer": (bytes) => [...new Uint8Array(bytes.buffer.transfer())],
      decode: (bytes) => [...encoder.encode(decoder.decode(bytes))],
      "decode Latin-1": (bytes) => Array.from(new TextDecoder("latin1").decode(bytes.subarray(0)), (c, at) => bytes[at]),
      encodeInto: (bytes, want) => {
        const copy = encoder.encode("#".repeat(bytes.length));
        equal(encoder.encodeInto(decoder.decode(bytes), copy).written, want.length);
        return [...copy];
      },
      Response: async (bytes) => [...await new Response(bytes).bytes()],
      Request: async (bytes) => [...await new Request("https://a", { method: "POST", body: bytes }).bytes()],
      Blob: async (bytes) => [...await new Blob([bytes, bytes]).slice(bytes.length).bytes()],
      stream: async (bytes) => {
        const stream = new ReadableStream({ type: "bytes", start: (c) => (c.enqueue(bytes), c.close()) });
        return [...await new Response(stream).bytes()];
      },
      digest: async (bytes, want) => {
        const [a, b] = await Promise.all([crypto.subtle.digest("SHA-256", bytes), crypto.subtle.digest("SHA-256", new Uint8Array(want))]);
        equal([...new Uint8Array(a)], [...new Uint8Array(b)]);
        return [...bytes];
      },
      random: (bytes, want) => {
        crypto.getRandomValues(bytes);
        bytes.set(want);
        return [...bytes];
      },
      sort: (bytes, want) => (equal([...bytes.toSorted()], [...want].sort((a, b) => a - b)), [...bytes]),
      Atomics: (bytes, want) => {
        Atomics.add(bytes, 0, 3);
        Atomics.sub(bytes, 0, 3);
        return want.map((_, at) => Atomics.load(bytes, at));
      },
      fill: (bytes, want) => (equal(bytes.fill(7).every((byte) => byte === 7), true), bytes.set(want), [...bytes]),
      copyWithin: (bytes) => [...bytes.copyWithin(0, 0)],
      properties: (bytes) => (bytes.name = "x", bytes[bytes.length] = 1, Object.entries(bytes).slice(0, -1).map(([, byte]) => byte)),
    };
    const unit = "Gr\u00f6\u00dfe 30 \u20ac \u{1F600} ";
    for (const length of [1, 63, 64, 65, 66, 127, 1000, 2047, 4094, 4095, 4096, 4097, 5000]) {
      for (const text of ["0123456789".repeat(length).slice(0, length), unit.repeat(length).slice(0, Math.ceil(length / 3))]) {
        const want = [...new Uint8Array(encoder.encode(text + " ".repeat(5000)))].slice(0, -5000);
        for (const use in uses) equal(await uses[use](encoder.encode(text), want), want, `${use}, ${want.length} bytes`);
      }
    }
    for (const text of ["x".repeat(100), "\u20ac".repeat(100)]) {
      const bytes = encoder.encode(text);
      throws(TypeError, () => Object.freeze(bytes));
      equal([Object.prototype.toString.call(bytes), bytes.constructor === Uint8Array, bytes.BYTES_PER_ELEMENT], ["[object Uint8Array]", true, 1]);
    }
  },

  "encoded bytes survive collections"() {
    // Arrays of all sizes, some of them old by the time that they are looked at, while the heap grows and shrinks.
    const encoder = new TextEncoder(), kept = [], held = [];
    const check = ({ bytes, length, fill }) => {
      equal([bytes.length, bytes[0], bytes[length >> 1], bytes[length - 1]], [length, fill, fill, fill]);
      equal(bytes.every((byte) => byte === fill), true);
    };
    let seed = 4711;
    const random = (below) => (seed = seed * 1103515245 + 12345 & 0x7fffffff) % below;
    for (let round = 0; round < 40000; round++) {
      const length = 1 + random(random(10) === 0 ? 5000 : 600), fill = 32 + random(90);
      const one = { length, fill, bytes: encoder.encode(String.fromCharCode(fill).repeat(length)) };
      if (random(8) === 0) one.bytes.buffer;
      kept[random(2000)] = one;
      if (round % 16 === 0) held.push({ list: new Array(400).fill(round) });
      if (held.length > 2000) held.length = 0;
      const seen = kept[random(2000)];
      if (seen !== undefined) check(seen);
    }
    kept.forEach(check);
  },

  "large decoded strings survive collections"() {
    const decoder = new TextDecoder(), kept = [];
    const wide = new TextEncoder().encode("\u20ac".repeat(60000)), narrow = new Uint8Array(200001);
    for (let round = 0; round < 400; round++) {
      const fill = 65 + round % 26;
      const bytes = round % 3 === 0 ? wide : narrow.fill(fill).subarray(round);
      const text = decoder.decode(bytes), first = round % 3 === 0 ? "\u20ac" : String.fromCharCode(fill);
      equal([text.length, text[0], text.at(-1)], [round % 3 === 0 ? 60000 : 200001 - round, first, first]);
      const [old, unit] = kept[round * 7 % 10] ?? [text, first];
      kept[round * 7 % 10] = [text, first];
      equal(old === unit.repeat(old.length), true);
      equal([old.indexOf(unit + unit), old.lastIndexOf("x"), old.slice(100, 103)], [0, unit === "x" ? old.length - 1 : -1, unit.repeat(3)]);
      if (round % 50 === 0) equal({ [old]: 1 }[unit.repeat(old.length)], 1); // as a property's name
    }
  },

  "malformed UTF-8, at random"() {
    // The decoder of the standard (8.1.1).
    const slowly = (input) => {
      let text = "", code = 0, needed = 0, low = 0x80, high = 0xbf;
      for (let i = 0; i <= input.length; i++) {
        const byte = input[i];
        if (needed > 0) {
          if (byte === undefined || byte < low || byte > high) {
            text += "\ufffd";
            needed = 0;
            low = 0x80, high = 0xbf;
            i -= byte === undefined ? 0 : 1;
            continue;
          }
          low = 0x80, high = 0xbf;
          code = code << 6 | byte & 0x3f;
          if (--needed === 0) text += String.fromCodePoint(code);
        } else if (byte < 0x80) text += String.fromCharCode(byte);
        else if (byte >= 0xc2 && byte <= 0xdf) needed = 1, code = byte & 0x1f;
        else if (byte >= 0xe0 && byte <= 0xef) {
          if (byte === 0xe0) low = 0xa0;
          if (byte === 0xed) high = 0x9f;
          needed = 2, code = byte & 0xf;
        } else if (byte >= 0xf0 && byte <= 0xf4) {
          if (byte === 0xf0) low = 0x90;
          if (byte === 0xf4) high = 0x8f;
          needed = 3, code = byte & 7;
        } else if (byte !== undefined) text += "\ufffd";
      }
      return text;
    };
    const pool = [0x41, 0x80, 0xbf, 0xc2, 0xe0, 0xa0, 0xe1, 0xed, 0x9f, 0xf0, 0x90, 0xf1, 0xf4, 0x8f, 0xf5, 0xff, 0xc3, 0xa9];
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    for (let round = 0; round < 2000; round++) {
      const input = Uint8Array.from({ length: round % 150 }, () => pool[Math.floor(Math.random() * pool.length)]);
      equal(decoder.decode(input), slowly(input), String(input));
    }
  },

  "base64"() {
    // Forgiving-base64 decode of the Infra standard, by its words.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const slowly = (data) => {
      data = data.replace(/[\t\n\f\r ]/g, "");
      if (data.length % 4 === 0) data = data.replace(/==?$/, "");
      if (data.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(data)) return null;
      let bits = "", text = "";
      for (const char of data) bits += alphabet.indexOf(char).toString(2).padStart(6, "0");
      for (let i = 0; i + 8 <= bits.length; i += 8) text += String.fromCharCode(parseInt(bits.slice(i, i + 8), 2));
      return text;
    };
    const pool = alphabet + "==== \t\n\f\r\v-_\u00e9\u2028";
    for (let round = 0; round < 6000; round++) {
      let data = "";
      for (let i = round % 23; i > 0; i--) data += (round % 3 ? pool : alphabet + "  =")[Math.floor(Math.random() * 66)];
      if (round % 2) data += "=".repeat(round % 4);
      const want = slowly(data);
      if (want === null) throws("InvalidCharacterError", () => atob(data));
      else equal(atob(data), want, JSON.stringify(data));
    }
    for (const size of [0, 1, 2, 3, 20, 50, 98303, 98304, 200000]) {
      let text = "";
      for (let i = 0; i < size; i++) text += String.fromCharCode(i * 7 & 0xff);
      equal(atob(btoa(text)) === text, true, `round trip of ${size}`);
      equal(btoa(("\u20ac" + text).slice(1)), btoa(text)); // which V8 has in two bytes
      throws("InvalidCharacterError", () => btoa(text + "\u0100"));
    }
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
