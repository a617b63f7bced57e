// Random documents of JSON, most of them of a few shapes, parsed as bodies and by JSON.parse, and by V8's own parser,
// which JSON.parse calls with a reviver. What comes out is compared and then used in ways that change how objects look.
const { ops } = globalThis[Symbol.for("nano.test")]();

let state = 1;
const random = (n) => {
  state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
  return (state >>> 0) % n;
};
const pick = (list) => list[random(list.length)];

const NAMES = ["a", "b", "id", "name", "price", "tags", "items", "a name of more than sixteen bytes", "__proto__", "0", "17",
  "constructor", "toString", "é", "中", "a\"b", "length", "then", ""];
const COMMON = ["id", "name", "price", "tags", "items", "value", "type", "b"];
const STRINGS = ["", "x", "é", "中", "short", "a string of some length", "é in Latin-1, and longer", "中文, and longer still",
  "\" \\ / \n \t \u0001", "\ud83d\ude00", "\ud800 alone", "0123456789", "fifteen letters", "sixteen letters.", "seventeen letters",
  "ÿ".repeat(40), "\u2028\u2029", "\u007f\u0080"];
const NUMBERS = ["0", "-0", "1", "-1", "1.0", "1.5", "-1.5", "1e3", "1E+3", "1e-3", "0.1", "1e400", "-1e400", "1e-400", "5e-324",
  "2.2250738585072014e-308", "1073741823", "1073741824", "-1073741824", "-1073741825", "999999999", "1000000000", "-0.0", "0e5",
  "123456789012345678", "9007199254740993", "0.30000000000000004", "1.7976931348623157e308", "123456789.123456789", "1e22",
  "1e23", "0.000001", "100000000000000000000000", "4.35", "0.1e1", "12345678901234567890123e-5", "1e99999999999999999999"];
const WRONG = ["01", "-", "1.", "1e", ".5", "+1", "NaN", "'a'", "tru", "nul", "", "{", "[", "}", "]", "[1,]", "{\"a\":1,}", "{a:1}",
  "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "\"", "{\"a\"}", "{\"a\":}", "[1 2]", "{,}", "--1", "1 1", "\u0000", "\\", "中"];

const space = () => random(12) === 0 ? pick([" ", "\n", "\t", "\r", "  "]) : "";
function string(text) {
  let out = "\"";
  for (const c of text) {
    const code = c.charCodeAt(0);
    if (c === "\"" || c === "\\" || code < 32) out += JSON.stringify(c).slice(1, -1);
    else if (code >= 0xd800 && c.length === 1 || random(30) === 0 && c.length === 1) out += "\\u" + code.toString(16).padStart(4, "0");
    else out += c;
  }
  return out + "\"";
}

// What a property of a shape mostly is.
const KINDS = [() => String(random(1000)), () => String(random(1000) + 0.5), () => string("s" + random(99)), () => pick(["true", "false", "null"]),
  () => string("some text, number " + random(9999)), () => "[" + random(9) + "," + random(9) + "]", () => "[]", () => "{}", () => pick(NUMBERS),
  (depth) => depth > 3 ? "null" : shaped(pick(shapes), depth + 1), (depth) => depth > 3 ? "[]" : `[${shaped(shapes[0], depth + 1)},${shaped(shapes[0], depth + 1)}]`,
  () => string(pick(STRINGS))];
function newShape() {
  const names = new Set();
  for (let n = random(8); n > 0; n--) names.add(random(8) === 0 ? pick(NAMES) : pick(COMMON) + (random(3) === 0 ? random(4) : ""));
  return Array.from(names, (name) => [name, random(KINDS.length)]);
}
let shapes = [];
const shaped = (shape, depth) => "{" + shape.map(([name, kind]) =>
  `${space()}${string(name)}${space()}:${space()}${random(60) === 0 ? value(depth + 1) : KINDS[kind](depth)}${space()}`).join(",") + "}";
function value(depth) {
  switch (random(depth > 3 ? 4 : 7)) {
    case 0: return pick(NUMBERS);
    case 1: return string(pick(STRINGS));
    case 2: return pick(["true", "false", "null"]);
    case 3: return String(random(1000) / 8);
    case 4: return "[" + Array.from({ length: random(5) }, () => space() + value(depth + 1)).join(",") + space() + "]";
    case 5: return "{" + Array.from({ length: random(5) }, () => string(pick(random(2) ? NAMES : COMMON)) + ":" + value(depth + 1)).join(",") + "}";
    default: return shaped(pick(shapes), depth + 1);
  }
}
function mutated(text) {
  for (let n = 1 + random(3); n > 0; n--) {
    const at = random(text.length + 1);
    text = text.slice(0, at) + pick(["", pick(WRONG), pick(WRONG)]) + text.slice(at + pick([0, 0, 1, text.length]));
  }
  return text;
}

function compare(a, b, path) {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) {
    if (!Object.is(a, b)) throw new Error(`${path} is ${String(a)}, and ${String(b)} by V8`);
    return;
  }
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) throw new Error(path + " has another prototype");
  const names = Reflect.ownKeys(a), wanted = Reflect.ownKeys(b);
  if (names.length !== wanted.length || names.some((name, index) => name !== wanted[index])) throw new Error(`${path} has ${names}, and ${wanted} by V8`);
  for (const name of names) {
    const got = Object.getOwnPropertyDescriptor(a, name), want = Object.getOwnPropertyDescriptor(b, name);
    if (got.writable !== want.writable || got.enumerable !== want.enumerable || got.configurable !== want.configurable) throw new Error(path + " has other attributes");
    compare(got.value, want.value, `${path}.${name}`);
  }
}

// Changes how objects look, so that fields become more general, and maps other ones.
function change(object, depth) {
  if (typeof object !== "object" || object === null || depth > 4) return;
  const names = Object.keys(object);
  for (const name of names) change(object[name], depth + 1);
  if (names.length === 0 || random(4) !== 0) return;
  const name = pick(names);
  switch (random(8)) {
    case 0: delete object[name]; break;
    case 1: object[name] = random(5); break;
    case 2: object[name] = 1.5 + random(5); break;
    case 3: object[name] = "text"; break;
    case 4: object["new" + random(5)] = { a: 1 }; break;
    case 5: object[name] = { z: random(3) }; break;
    case 6: object[name]++; break;
    default: if (Array.isArray(object)) object.push(pick([1, 1.5, "x", {}])); else Object.freeze(object);
  }
}

// Code that V8 optimizes by what the fields of objects have held so far.
const total = ({ id, name, price, value }) => (typeof id === "number" ? id * 2 : 0) + (typeof price === "number" ? price + 1 : 0) +
  (typeof name === "string" ? name.length : 0) + (value !== null && typeof value === "object" && typeof value.id === "number" ? value.id : 0);

const kept = [];
async function check(text, counts) {
  let want, error = null;
  try { want = JSON.parse(text, (_, each) => each); } catch (e) { error = e; }
  let got, problem = null;
  try {
    switch (random(5)) {
      case 0: got = JSON.parse(text); break;
      case 1: got = await new Response(text).json(); break;
      case 2: got = await new Response(new TextEncoder().encode(text)).json(); break;
      case 3: got = ops.jsonParse(new TextEncoder().encode(text)); break;
      default: got = ops.jsonParse(text);
    }
  } catch (e) { problem = e; }
  if (error !== null) {
    if (got !== undefined) throw new Error("accepted");
    if (problem !== null && String(problem) !== String(error)) throw new Error(`says "${problem}", and "${error}" by V8`);
    return;
  }
  if (problem !== null) throw problem;
  if (got === undefined) return; // left to V8
  counts.parsed++;
  compare(got, want, "value");
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error("is not written alike");
  if (typeof got !== "object" || got === null) return;
  if (!Object.is(total(got), total(want))) throw new Error("has another total");
  if (random(6) === 0) {
    change(got, 0);
    kept[random(50)] = [got, JSON.stringify(got)];
  }
}

export default {
  async fetch(request) {
    state = Number(request.headers.get("seed")) * 7919 + 1;
    const counts = { parsed: 0 };
    shapes = [[["id", 0], ["name", 4]]];
    for (let n = 0; n < 5; n++) shapes.push(newShape());
    for (let n = Number(request.headers.get("count")); n > 0; n--) {
      if (random(300) === 0) shapes[random(shapes.length)] = newShape();
      let text = space() + (random(8) ? shaped(pick(shapes), 0) : value(0)) + space();
      if (random(8) === 0) text = mutated(text);
      try { await check(text, counts); } catch (e) { return new Response(`${text}\n${e.stack}`, { status: 500 }); }
    }
    for (const [object, text] of kept.filter(Boolean)) {
      if (JSON.stringify(object) !== text) return new Response(`${text} has become ${JSON.stringify(object)}`, { status: 500 });
    }
    return new Response(String(counts.parsed));
  },
};
