// JSON.stringify: that ours of plain data is V8's in every respect, and that it leaves what is not plain to V8's.
import { equal, suite, throws } from "./check.js";
import { compare, generator } from "./json_values.js";

const symbol = Symbol("key");

class Point {
  constructor() {
    this.x = 1;
  }

  get norm() {
    return 2;
  }
}
class Private extends Point {
  #three = 3;
  four = this.#three + 1;
}
class Converted {
  toJSON() {
    return "converted";
  }
}
class Inherited extends Converted {
  y = 1;
}
class List extends Array {}
class ConvertedList extends Array {
  toJSON() {
    return "list";
  }
}

const nested = (depth, wrap) => {
  let value = 1;
  for (let left = depth; left > 0; left--) value = wrap(value);
  return value;
};

// Makes an object whose properties V8 keeps in a hash table.
const dictionary = (from) => {
  const made = { gone: 1, ...from };
  delete made.gone;
  return made;
};

// Compares values before, while and after built-in objects are changed.
function tamper(change, undo) {
  const values = [
    () => ({ a: 1, b: [1, 2, , 3], c: "s", d: { e: null }, f: [1.5, , 2], g: ["x", , {}] }), () => [new Point(), [, 1]],
    () => dictionary({ a: [1] }), () => Object.assign(Object.create(null), { a: 1 }), () => "text", () => 5, () => [true],
  ];
  values.forEach((make) => compare(make, "before"));
  change();
  try {
    values.forEach((make) => compare(make, change));
  } finally {
    undo();
  }
  values.forEach((make) => compare(make, `after ${change}`));
}

function tamperPrototype(prototype) {
  const undo = () => delete prototype.toJSON;
  tamper(() => { prototype.toJSON = function () { return typeof this; }; }, undo);
  tamper(() => { Object.defineProperty(prototype, "toJSON", { get: () => () => "got", configurable: true }); }, undo);
  tamper(() => { prototype.toJSON = 1; }, undo);
}

export default suite({
  "the function"() {
    equal([JSON.stringify.name, JSON.stringify.length, "prototype" in JSON.stringify], ["stringify", 3, false]);
    equal(`${JSON.stringify}`, "function stringify() { [native code] }");
    throws(TypeError, () => new JSON.stringify());
    equal(JSON.stringify(), undefined);
    equal(JSON.stringify({ a: 1, b: 2 }, ["b"]), '{"b":2}');
    equal(JSON.stringify({ a: 1 }, null, 1), '{\n "a": 1\n}');
    equal(JSON.stringify({ a: 1 }, (key, value) => key === "" ? value : 2), '{"a":2}');
    equal(JSON.stringify({ a: 1 }, null, null), '{"a":1}');
  },

  "values"() {
    const values = [
      undefined, symbol, () => 1, class {}, null, true, false, 1n, "", "text", {}, [], new Array(5), [undefined, symbol, () => 1],
      { a: undefined, b: 1, c: symbol, d() {}, [symbol]: 1 }, { a: 1n }, [1n],
    ];
    for (const value of values) compare(() => value, typeof value);
  },

  "numbers"() {
    const numbers = [
      0, -0, 1, 2 ** 30 - 1, 2 ** 30, -(2 ** 30), -(2 ** 30) - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 1e20, 123456789012345680000, 1e21,
      1.5e21, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e-6, 1e-7, 1.5e-7, 0.000001234, 123.456, 0.1, 1 / 3, 100, 1e100, 2 ** 53 - 0.5, 4.35,
      2e-5, NaN, Infinity,
    ];
    for (const number of numbers) compare(() => [number, -number, { number }], number);
    const bits = new Uint32Array(2 * 4096);
    const doubles = new Float64Array(bits.buffer);
    for (let round = 0; round < 4; round++) {
      crypto.getRandomValues(bits);
      compare(() => Array.from(doubles), `doubles of ${bits}`);
      const decimals = Array.from(bits, (word, index) => word / 10 ** (index % 20));
      compare(() => decimals, `decimals of ${bits}`);
      // Of 16 digits and more, not all are of their own.
      compare(() => Array.from(bits, (word, index) => word * 2 ** (index % 10) / 3), `thirds of ${bits}`);
    }
  },

  "characters"() {
    for (let code = 0; code < 0x200; code++) {
      const character = String.fromCharCode(code);
      compare(() => [character, `x${character}y`, { [`k${character}`]: 1 }], code);
    }
    const odd = [
      "\ud800", "\udc00", "\u{1f600}", "\ude00\ud83d", "\u20ac", "\uffff", "\u2028", "a\ud800", "\ud800\ud800\udc00", "\ud800\udc00\udc00", '"', "\u00e9", "\n",
    ];
    for (const text of odd) {
      for (let length = 0; length < 40; length++) {
        compare(() => ["p".repeat(length) + text + "q".repeat(length), { ["k".repeat(length) + text]: text }], text);
        compare(() => [text.repeat(length), { [text.repeat(length)]: text.repeat(length) }], text);
      }
    }
  },

  "strings in pieces and parts"() {
    const pieces = (count, add) => {
      let text = "";
      for (let left = count; left > 0; left--) text = add(text, left);
      return text;
    };
    compare(() => [pieces(1000, (text, left) => text + `part ${left}\n`)]);
    compare(() => [pieces(1000, (text, left) => `part ${left}\n` + text)]);
    compare(() => [pieces(12, (text, left) => text + `node ${left} of a tree` + text)]);
    compare(() => [pieces(1000, (text, left) => text + `\u20ac ${left}`), "ascii"]);
    compare(() => [pieces(30, (text, left) => text + (left === 15 ? "\u20ac" : "a plain piece \u00e9"))]);
    compare(() => [pieces(200000, (text) => text + "x")]);
    compare(() => {
      const text = pieces(30, (all, left) => all + `piece ${left}`);
      /x/.test(text);
      return [text, { [text]: text }];
    });
    const ascii = "0123456789abcdef".repeat(10000), wide = "\u20acuro".repeat(50000);
    compare(() => [ascii.slice(5, 100), ascii.slice(7, 70000), wide.slice(3, 50), wide.slice(1, 14), wide.slice(1, 40).slice(3, 20)]);
    compare(() => [(ascii.slice(5, 100) + ascii.slice(10, 200)).slice(20, 180), wide.slice(1, 4) + ascii.slice(0, 30)]);
    compare(() => {
      // A string that was used as a name is one of those that refer to the name.
      const text = ("\u20ac" + "abcdefghijklmnopqrstuvwxyz0123456789").slice(1), part = text.slice(2, 30);
      const names = { [text]: 1, [part]: 2 };
      return [text, part, names, text.slice(3, 25)];
    });
  },

  async "long strings"() {
    for (const text of ["the \"text\"\n".repeat(20000), "\u00e9".repeat(100000), "\u20ac\u{1f600}\ud83d".repeat(50000)]) {
      const long = new TextDecoder().decode(new TextEncoder().encode(text));
      compare(() => [long, long.slice(5, 5000), long + "tail", { [long.slice(0, 200)]: long }]);
    }
  },

  "strings outside of the heap"() {
    // What functions were made of is part of their modules' sources, of which this one is not all Latin-1: € is not.
    for (const outside of [String(suite), String(compare)]) {
      compare(() => [outside, outside.slice(5, 100), outside + "tail", { [outside.slice(0, 100)]: outside }]);
    }
  },

  "objects"() {
    compare(() => ({ b: 1, a: 2, 1: 3, 0: 4, "-1": 5, "01": 6, 4294967295: 7, 4294967294: 8 }));
    compare(() => ({ 5: 1, 3: 2, x: 1, 1: undefined, 2: symbol }));
    compare(() => ({ 0: 1.5, 1: 2.5 }));
    compare(() => ({ 1e9: 1, 5: 2 }));
    compare(() => ({ a: 1, [symbol]: 2, b: 3 }));
    compare(() => ({ get x() { return 1; }, y: 2 }));
    const get = () => "got";
    for (let round = 0; round < 3; round++) {
      // V8 describes these getters where it describes fields, and those above it does not.
      compare(() => Object.defineProperty({ a: 1 }, "x", { get, enumerable: true }));
      compare(() => Object.defineProperties({ a: 1 }, { x: { get, enumerable: true }, y: { value: 2, enumerable: true }, z: { get } }));
    }
    compare(() => ({ get x() { throw new RangeError("x"); } }));
    compare(() => Object.defineProperty({ y: 2 }, "x", { get() { throw new RangeError("x"); } }));
    compare(() => Object.defineProperty({ y: 2 }, "x", { value: 1 }));
    compare(() => Object.defineProperty({ y: 2 }, "x", { value: 1, enumerable: true }));
    compare(() => ({ get [symbol]() { throw new RangeError("x"); }, y: 2 }));
    compare(() => Object.freeze({ a: 1, b: Object.freeze([1, "x", {}]), c: Object.seal([1]), d: Object.preventExtensions({ q: 1, 7: 8 }), e: Object.freeze([1.5]) }));
    compare(() => Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`key${index}`, index + 0.5])));
    compare(() => Array.from({ length: 30 }, (_, index) => ({ v: index < 10 ? index : index < 20 ? index + 0.5 : { index }, w: index % 7 ? 1 : "one" })));
    compare(() => ({ a: {}, b: { c: {} }, d: [[], [[]]] }));
    compare(() => ({ ...{ a: 1 }, b: ((_, ...rest) => rest)(1, 2, 3) }));
  },

  "objects as tables"() {
    compare(() => {
      const made = {};
      for (let index = 0; index < 2000; index++) made[`key${index}`] = index;
      for (let index = 0; index < 2000; index += 3) delete made[`key${index}`];
      made.key0 = "again";
      return made;
    });
    compare(() => dictionary({ a: 1, [symbol]: 1, u: undefined, 5: 1, 3: 2 }));
    compare(() => Object.defineProperty(dictionary({ a: 1 }), "x", { value: 1 }));
    compare(() => Object.defineProperty(dictionary({ a: 1 }), "x", { get: () => 7, enumerable: true }));
    compare(() => dictionary({ a: dictionary({ b: dictionary({ c: 1 }), d: 2 }), e: "\u20ac" }));
    compare(() => dictionary({ toJSON: () => "converted" }));
    compare(() => Object.assign(dictionary({ a: 1 }), { toJSON: () => "converted" }));
    compare(() => dictionary({ [Symbol.toStringTag]: "x", a: 1 }));
    const table = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`k${index}`, dictionary({ index })]));
    compare(() => [table, table]);
  },

  "arrays"() {
    compare(() => [[1, , 2], [1.5, , 2], ["a", , {}], [, ,]]);
    compare(() => { const made = []; made[100000] = 1; made.length = 5; return made; });
    compare(() => { const made = []; made[3000] = 1; return made; });
    compare(() => { const made = [1, 2, 3]; made.length = 2; return made; });
    compare(() => Object.assign([1], { x: 1, [symbol]: 2 }));
    compare(() => Object.assign([1], { toJSON: () => "converted" }));
    compare(() => Object.defineProperty([1, 2], 0, { get: () => "got", enumerable: true }));
    compare(() => [List.from([1, , "x"]), ConvertedList.from([1])]);
  },

  "classes and prototypes"() {
    compare(() => [new Point(), new Private(), { a: new Private() }]);
    compare(() => [new Point(), new Converted(), new Inherited()]);
    compare(() => [Object.assign(Object.create(null), { a: 1 }), { __proto__: null, a: 1 }, { __proto__: { b: 1 }, a: 1 }]);
    compare(() => ({ __proto__: { toJSON: () => 1 }, a: 1 }));
    compare(() => ({ __proto__: dictionary({ b: 1 }), a: 1 }));
    compare(() => ({ __proto__: dictionary({ toJSON: () => 1 }), a: 1 }));
    compare(() => ({ __proto__: Object.assign(dictionary({ b: 1 }), { toJSON: () => 1 }), a: 1 }));
    compare(() => ({ __proto__: new Proxy({}, { get: (_, key) => key === "toJSON" ? () => "proxied" : undefined }), a: 1 }));
    compare(() => ({ __proto__: new Date(0), a: 1 }));
    compare(() => ({ __proto__: [1], a: 1 }));
    compare(() => nested(50, (value) => ({ __proto__: value === 1 ? null : value })));
  },

  "what is not plain"() {
    compare(() => [new Number(1), new String("s"), new Boolean(false)]);
    compare(() => [Object(1n)]);
    compare(() => ({ d: new Date(0), e: new Date(NaN) }));
    compare(() => [new Map([[1, 2]]), new Set(), /x/, new Error("e"), new Uint8Array(3), new ArrayBuffer(2), Promise.resolve(), JSON, Math, globalThis.crypto]);
    compare(() => (function () { return arguments; })(1, 2));
    compare(() => [new Proxy({ a: 1 }, {}), new Proxy([1, 2], {})]);
    compare(() => [new URL("https://example.com/"), new Response("x"), new Headers({ a: "b" })]);
    compare(() => ({ toJSON: 5, a: 1 }));
    compare(() => ({ a: { toJSON: (key) => `at ${key}` }, b: [{ toJSON: () => undefined }] }));
    compare(() => Object.defineProperty({ a: 1 }, "toJSON", { get() { throw new RangeError("x"); } }));
    compare(() => Object.defineProperty({ a: 1 }, "toJSON", { value: () => 2 }));
    compare(() => ({ f: Object.assign(() => 1, { toJSON: () => "converted" }), g: () => 1, h: class {} }));
    if (JSON.rawJSON) compare(() => [JSON.rawJSON("1e1000")]);
    // V8's function begins anew, and nothing was observable before.
    const log = [];
    JSON.stringify({ a: { toJSON: () => log.push("a") }, b: [{ get c() { return log.push("c"); } }] });
    equal(log, ["a", "c"]);
  },

  "cycles and depth"() {
    compare(() => { const made = { a: {} }; made.a.b = made; return made; });
    compare(() => { const made = []; made[0] = made; return made; });
    compare(() => { const made = { x: [1, { y: 0 }] }; made.x[1].y = made; return made; });
    for (const depth of [98, 99, 100, 101, 102, 2000]) {
      compare(() => nested(depth, (value) => [value]), depth);
      compare(() => nested(depth, (value) => ({ value })), depth);
      compare(() => nested(depth, (value) => dictionary({ value })), depth);
    }
    compare(() => nested(200000, (value) => [value]));
    compare(() => nested(40, (value) => value === 1 ? [] : [value, value].slice(value.length > 0 ? 1 : 0)));
  },

  "long texts"() {
    compare(() => Array.from({ length: 100000 }, (_, index) => ({ index, name: `name ${index}` })));
    compare(() => ["\u0001".repeat(1 << 20)]);
    const wide = "\u20ac".repeat(5 << 20);
    /x/.test(wide); // makes it one piece
    compare(() => [wide, "x"]);
    const unnamed = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`k${index}`, undefined]));
    compare(() => new Array(6000).fill(unnamed));
    // What takes many steps for its length.
    const entries = (count) => dictionary(Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index])));
    for (const count of [32760, 32768, 32769, 40000]) compare(() => entries(count), count);
    const rope = () => {
      let text = "thirteen long";
      for (let left = 20000; left > 0; left--) text = left % 2 ? text + "x" : "y" + text;
      return text;
    };
    compare(() => new Array(20).fill(rope()));
    compare(() => ["\u20ac", ...new Array(3).fill(rope())]);
    const heirs = [1, 2, 3].map((a) => Object.create(Object.create({ inherited: a }), { a: { value: a, enumerable: true } }));
    compare(() => Array.from({ length: 100000 }, (_, index) => heirs[index % 3]));
    for (const length of [1022, 1023, 1024, 1025, 70000, 700000]) {
      compare(() => new Array(length).fill(1.5), length);
      compare(() => new Array(length).fill("x"), length);
      compare(() => [new Array(length).fill(7), { get x() { return 1; } }], length);
    }
    // Where the memory for the text ends.
    const most = 4 << 20;
    for (let before = 0; before < 600; before += 7) {
      const text = "z".repeat(most - before);
      compare(() => [text], before);
      compare(() => nested(90, (value) => value === 1 ? [text.slice(1000)] : [value, "\u0001\u0002"]), before);
    }
  },

  "changed prototypes"() {
    for (const prototype of [Object.prototype, Array.prototype, String.prototype, Number.prototype, Boolean.prototype, Point.prototype]) tamperPrototype(prototype);
    tamper(() => { Array.prototype[2] = "in the hole"; }, () => { delete Array.prototype[2]; Array.prototype.length = 0; });
    tamper(() => { Object.prototype[2] = "in the hole"; }, () => { delete Object.prototype[2]; });
    tamper(() => { Object.prototype.inherited = 1; }, () => { delete Object.prototype.inherited; });
    tamper(() => { Object.prototype[Symbol.toStringTag] = "x"; }, () => { delete Object.prototype[Symbol.toStringTag]; });
    tamper(() => Object.setPrototypeOf(Array.prototype, { toJSON: () => "x" }), () => Object.setPrototypeOf(Array.prototype, Object.prototype));
    tamper(() => {
      for (let index = 0; index < 100; index++) Object.prototype[`inherited${index}`] = 1;
      Object.prototype.toJSON = () => "x";
    }, () => {
      for (let index = 0; index < 100; index++) delete Object.prototype[`inherited${index}`];
      delete Object.prototype.toJSON;
    });
  },

  "random values"() {
    for (let seed = 1; seed <= 400; seed++) {
      const make = generator(seed);
      for (let index = 0; index < 5; index++) {
        const value = make();
        compare(() => value, `value ${index} of seed ${seed}`);
      }
    }
  },

  async "responses"() {
    for (const value of [{ a: [1, 2.5, "\u20ac", '"'] }, "text", 5, null, [undefined], { big: "x".repeat(200000) }]) {
      const response = Response.json(value);
      equal(response.headers.get("content-type"), "application/json");
      equal(await response.clone().text(), JSON.stringify(value, undefined, ""));
      equal(JSON.stringify(await response.json()), JSON.stringify(value));
    }
    throws(TypeError, () => Response.json(undefined), "not JSON serializable");
    throws(TypeError, () => Response.json(Symbol("x")));
    throws(RangeError, () => Response.json({ get a() { throw new RangeError("first"); } }, { status: 7 }), "first");
    throws(RangeError, () => Response.json({ a: 1 }, { status: 7 }));
  },
});
