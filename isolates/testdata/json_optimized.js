// Documents of one shape whose fields change what they hold every so often, used by code that V8 optimizes by what they
// have held so far. The same is done with what V8's own parser makes, which JSON.parse calls with a reviver.
let state = 1;
const random = (n) => {
  state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
  return (state >>> 0) % n;
};
const pick = (list) => list[random(list.length)];

const NAMES = ["a", "b", "c", "d"];
const KINDS = [() => String(random(2000) - 1000), () => pick(["1073741823", "1073741824", "-1073741825", "-0", "0"]), () => String(random(1000) + 0.25),
  () => JSON.stringify(`text ${random(100)}`), () => pick(["\"x\"", "\"\\u4e2d\"", "\"\""]), () => pick(["true", "null"]), () => "{}", () => document(1),
  () => `{"a":${random(9)},"b":0.5}`, () => "[]", () => `[${random(9)},2,3]`, () => `[${random(9)}.5,2]`, () => `["q",${random(9)}.5,null,{"a":1}]`];
const kinds = NAMES.map(() => pick(KINDS)), inner = [KINDS[0], KINDS[2], KINDS[3], KINDS[5]];
const document = (depth) => `{${NAMES.map((name, index) => `"${name}":${(depth === 0 ? kinds : inner)[index]()}`).join()}}`;

// Each is called with both objects alike.
const USES = [
  (o) => (typeof o.a === "number" ? o.a * 3 : 0) + (typeof o.b === "number" ? o.b : 0),
  (o) => { if (typeof o.a === "number") o.a += 0.5; return o.a; },
  (o) => { if (typeof o.b === "number") o.b++; return o.b; },
  (o) => { o.c = o.d; return typeof o.c; },
  (o) => { if (o.c !== null && typeof o.c === "object") o.c.a = 1.5; return typeof o.c; },
  (o) => { o.added = o.a; return Object.keys(o).length; },
  (o) => { o.d = { a: 1, b: 2 }; return o.d.a + o.d.b; },
  (o) => { delete o.b; return Object.keys({ ...o }).join(); },
  (o) => {
    if (!Array.isArray(o.d)) return 0;
    let sum = 0;
    for (let i = 0; i < o.d.length; i++) if (typeof o.d[i] === "number") sum += o.d[i];
    return sum;
  },
  (o) => { if (Array.isArray(o.d)) o.d[o.d.length + random.length] = 2.5; return typeof o.d; },
  (o) => typeof o.a === "string" ? Object.keys({ [o.a]: 1 })[0] + o.a.length + (o.a === "text 1") : 0,
  (o) => { const was = o.b; o.b = -0; const is = Object.is(o.b, -0); o.b = was; return is; },
];

const kept = [];
const written = (value) => JSON.stringify(value, (_, each) => Object.is(each, -0) ? "-0" : each);
function check(uses) {
  const text = document(0);
  const ours = JSON.parse(text), wanted = JSON.parse(text, (_, each) => each);
  if (written(ours) !== written(wanted)) throw new Error(`${written(ours)} instead of ${written(wanted)}`);
  for (const use of uses) {
    const got = use(ours), want = use(wanted);
    if (!Object.is(got, want) && written(got) !== written(want)) throw new Error(`${use} gives ${written(got)} instead of ${written(want)} for ${text}`);
  }
  if (JSON.stringify(ours) !== JSON.stringify(wanted, undefined, "")) throw new Error(`${text} has become ${JSON.stringify(ours)}`);
  if (random(10) === 0) kept[random(100)] = [ours, wanted];
}

export default {
  fetch(request) {
    state = Number(request.headers.get("seed")) * 7919 + 1;
    for (let round = 0; round < 20; round++) {
      kinds[random(kinds.length)] = pick(KINDS);
      const uses = Array.from({ length: 3 }, () => pick(USES));
      for (let count = pick([3, 30, 300, 1000]); count > 0; count--) check(uses);
      for (const [ours, wanted] of kept.filter(Boolean)) {
        // Whatever two objects share by mistake has shown by now.
        if (written(ours) !== written(wanted)) throw new Error(`${written(ours)} was kept instead of ${written(wanted)}`);
        const use = pick(USES);
        use(ours);
        use(wanted);
      }
    }
    return new Response("same");
  },
};
