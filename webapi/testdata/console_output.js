// What console writes. The answer to the request is the log that it must have written, levels in brackets;
// the layout is that of Node's util.inspect.
const lines = [];
const expect = (level, text) => lines.push(`[${level}] ${text}`);
const log = (want, ...values) => {
  console.log(...values);
  expect(1, want);
};

class Point {
  #hidden = 1;
  constructor(x, y) {
    this.x = x;
    this.y = y;
  }
  get length() {
    throw new Error("must not run");
  }
}

function values() {
  log("a 1 true null undefined", "a", 1, true, null, undefined);
  log("-0 10n Symbol(s)", -0, 10n, Symbol("s"));
  log(`[ 'it', "it's", \`it's "it"\`, 'a\\nb\\x1B' ]`, ["it", "it's", "it's \"it\"", "a\nb\x1b"]);
  log("{ a: 1, 'b-c': [ 2, [ 3, [Array] ] ], [Symbol(d)]: {} }", { a: 1, "b-c": [2, [3, [4]]], [Symbol("d")]: {} });
  log("{ a: { b: { c: [Object] } } }", { a: { b: { c: { d: 1 } } } });
  log("Point { x: 1, y: 2 }", new Point(1, 2));
  const sparse = new Array(3_000_000);
  sparse[2_999_999] = 1;
  sparse.name = "n";
  sparse[Symbol("s")] = 2;
  Object.defineProperty(sparse, "hidden", { value: 1 });
  log("[ <2999999 empty items>, 1, name: 'n', [Symbol(s)]: 2 ]", sparse);
  log("{ a: { b: { c: [Array], d: [Uint8Array] } } }",
    { a: { b: { c: new Array(1_000_000).fill("x"), d: new Uint8Array(1_000_000) } } });
  log("Uint8Array(2) [ 0, 0, p: 1 ] [String: 'ab'] { p: 2 }", Object.assign(new Uint8Array(2), { p: 1 }),
    Object.assign(new String("ab"), { p: 2 }));
  log("[class Point] [class B extends Point] [class (anonymous)]", Point, class B extends Point {}, class {});
  log("[Function: f] [Function (anonymous)] [AsyncFunction: g] [GeneratorFunction: h] [Function: k] { p: 1 }",
    function f() {}, (() => () => {})(), async function g() {}, function* h() {}, Object.assign(function k() {}, { p: 1 }));
  log("Map(2) { 'k' => { v: 1 }, 2 => [ 3 ] } Set(1) { 'x' }", new Map([["k", { v: 1 }], [2, [3]]]), new Set(["x"]));
  log("[Map Iterator] { [ 1, 2 ] } [Set Iterator] { 3 }", new Map([[1, 2]]).entries(), new Set([3]).values());
  log("Uint8Array(2) [ 1, 2 ] BigInt64Array(1) [ 5n ]", new Uint8Array([1, 2]), new BigInt64Array([5n]));
  log("ArrayBuffer { [Uint8Contents]: <01 ff>, byteLength: 2 }", new Uint8Array([1, 255]).buffer);
  log("1970-01-01T00:00:00.000Z Invalid Date /x/g", new Date(0), new Date(NaN), /x/g);
  log("Promise { <pending> } Promise { 1 } WeakMap { <items unknown> }", new Promise(() => {}), Promise.resolve(1), new WeakMap());
  log("[Object: null prototype] { a: 1 } Object [Tagged] {}", Object.assign(Object.create(null), { a: 1 }),
    Object.defineProperty({}, Symbol.toStringTag, { value: "Tagged" }));
  log("[Number: 3] [String: 'ab'] [ <2 empty items>, 1, x: 2 ]", new Number(3), new String("ab"), Object.assign([, , 1], { x: 2 }));
  log("{ get: [Getter], set: [Setter], both: [Getter/Setter] }", {
    get get() { throw new Error("must not run"); }, set set(value) {},
    get both() { throw new Error("must not run"); }, set both(value) {},
  });
  const circle = { name: "c", list: [] };
  circle.list.push(circle, { circle });
  log("<ref *1> {\n  name: 'c',\n  list: [ [Circular *1], { circle: [Circular *1] } ]\n}", circle);
  log("{ a: 1 } [ 2 ]", new Proxy({ a: 1 }, { get() { throw new Error("must not run"); } }), new Proxy([2], {}));
}

function layout() {
  log(`{
  firstPropertyWithLongName: 'a value of some length',
  secondPropertyWithLongName: 'another value of some length'
}`, { firstPropertyWithLongName: "a value of some length", secondPropertyWithLongName: "another value of some length" });
  log(`[
   0,  1,  2,  3,  4,  5,  6,  7,  8,
   9, 10, 11, 12, 13, 14, 15, 16, 17,
  18, 19, 20, 21, 22, 23, 24, 25, 26,
  27, 28, 29
]`, Array.from({ length: 30 }, (_, index) => index));
}

function platform() {
  log("URLSearchParams { 'a' => '1', 'b' => '2' } Headers { 'x' => 'y' }", new URLSearchParams("a=1&b=2"), new Headers({ X: "y" }));
  log("Blob { size: 3, type: 't/x' } AbortSignal { aborted: false }", new Blob(["abc"], { type: "t/x" }), new AbortController().signal);
  log("FormData {} ReadableStream {}", new FormData(), new ReadableStream());
}

function errors() {
  const error = new TypeError("wrong", { cause: "reason" });
  error.stack = "TypeError: wrong\n    at here (app.js:1:2)";
  error.code = 7;
  log("TypeError: wrong\n    at here (app.js:1:2) {\n  code: 7,\n  [cause]: 'reason'\n}", error);
  const bare = new Error("bare");
  bare.stack = "Error: bare";
  log("{ e: [Error: bare] }", { e: bare });
  class CustomError extends Error {}
  const custom = new CustomError("mine");
  custom.stack = "Error: mine\n    at there (app.js:3:4)";
  log("CustomError: mine\n    at there (app.js:3:4)", custom);
}

function formats() {
  log("s 1 -0 1n Symbol(a) 42 42 1.5 {\"a\":1} [ 1 ] { b: 2 } % %x end", "%s %s %s %s %s %d %i %f %j %o %O%c %% %x",
    "s", 1, -0, 1n, Symbol("a"), "42", 42.9, "1.5px", { a: 1 }, [1], { b: 2 }, "css", "end");
  log("NaN NaN [object] 100% %s", "%d %i [%s] 100% %s", {}, Symbol("x"), "object");
  log("Point {} [Array] custom", "%s %s %s", Object.create(Point.prototype), "[Array]", { toString: () => "custom" });
}

function methods() {
  console.debug("debug");
  expect(0, "debug");
  console.warn("warn");
  expect(2, "warn");
  console.error("error");
  expect(3, "error");
  console.group("group");
  expect(1, "group");
  console.info({ a: "x".repeat(40), b: "y".repeat(40) });
  expect(1, `  {\n    a: '${"x".repeat(40)}',\n    b: '${"y".repeat(40)}'\n  }`);
  console.groupEnd();
  console.assert(false, "no %s", "way");
  expect(3, "Assertion failed: no way");
  console.count();
  console.count();
  console.countReset();
  console.count();
  for (const count of [1, 2, 1]) expect(1, `default: ${count}`);
  console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 });
  expect(1, "{ a: [Object] }");
  console.table([{ a: 1, b: "x" }, { b: 2 }]);
  expect(1, `\u250c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u252c\u2500\u2500\u2500\u252c\u2500\u2500\u2500\u2500\u2500\u2510
\u2502 (index) \u2502 a \u2502 b   \u2502
\u251c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u253c\u2500\u2500\u2500\u253c\u2500\u2500\u2500\u2500\u2500\u2524
\u2502 0       \u2502 1 \u2502 'x' \u2502
\u2502 1       \u2502   \u2502 2   \u2502
\u2514\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2534\u2500\u2500\u2500\u2534\u2500\u2500\u2500\u2500\u2500\u2518`);
  console.timeEnd("none");
  expect(2, "Timer 'none' does not exist");
}

export default {
  fetch() {
    for (const group of [values, layout, platform, errors, formats, methods]) group();
    return new Response(lines.map((line) => `${line}\n`).join(""));
  },
};
