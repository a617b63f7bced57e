// Values for JSON, some of them hostile, and what V8's own JSON.stringify makes of them.

class Point {
  constructor(x) {
    this.x = x;
  }

  get norm() {
    return 1;
  }
}

class Named extends Point {
  #secret = 3;
  name = `named ${this.#secret}`;
}

// The runtime's function leaves whatever has a third argument to V8's, and an empty one changes nothing.
const outcome = (call) => {
  try {
    return call();
  } catch (error) {
    return `throws ${error.name}: ${error.message}`;
  }
};

// Compares the text of a value, or the error, with V8's. make: gives the value, the same each time.
export function compare(make, what = make) {
  const got = outcome(() => JSON.stringify(make()));
  const want = outcome(() => JSON.stringify(make(), undefined, ""));
  if (got === want) return;
  const shorten = (text) => text === undefined || text.length < 500 ? text : `${text.slice(0, 500)} … (${text.length})`;
  throw new Error(`${what}: got ${shorten(got)}\nwant ${shorten(want)}`);
}

const CHARACTERS = [
  "a", "b", "Z", " ", '"', "\\", "\n", "\t", "\u0000", "\u001f", "\u007f", "\u00e9", "\u00ff", "\u20ac", "\u{1f600}", "\ud800", "\udfff", "/", "0",
];
const SYMBOL = Symbol("key");

// A function that gives a random value at each call; of the same seed, the same ones.
export function generator(seed) {
  let state = seed | 1;
  const random = (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
  const bits = new Uint32Array(2);
  const double = new Float64Array(bits.buffer);

  function number() {
    switch (random(6)) {
      case 0: return random(1000);
      case 1: return -random(2 ** 31);
      case 2: return random(100000) / 100;
      case 3: return random(1e6) * 10 ** (random(60) - 30);
      case 4: return random(2 ** 22) * 2 ** random(70);
      default:
        bits[0] = random(2 ** 32);
        bits[1] = random(2 ** 32);
        return double[0];
    }
  }

  // Some are in one piece and some in several, some are parts of others, and some were names.
  function string() {
    let text = "";
    const kinds = random(4) === 0 ? CHARACTERS.length : random(3) === 0 ? 13 : 4;
    for (let length = random(random(5) === 0 ? 100 : 12); length > 0; length--) text += CHARACTERS[random(kinds)];
    switch (random(8)) {
      case 0: return text + text + "the tail of a text";
      case 1: return (text + "abcdefghijklmnopqrst" + text).slice(2, 20);
      case 2: return Object.keys({ [text + "name"]: 1, [text]: 2 })[0] + text;
      default: return text;
    }
  }

  const list = (most, make) => Array.from({ length: random(most) }, make);

  function array(depth) {
    const values = random(2) === 0 ? list(8, number) : list(8, () => value(depth + 1));
    if (random(8) === 0) delete values[random(4)];
    if (random(10) === 0) values.length += 3;
    return values;
  }

  function object(depth) {
    const made = {};
    for (let left = random(10); left > 0; left--) made[random(5) === 0 ? random(20) : string()] = value(depth + 1);
    if (random(5) === 0) delete made[Object.keys(made)[0]];
    return made;
  }

  function odd(depth) {
    const made = { k: value(depth + 1), n: number() };
    switch (random(12)) {
      case 0: return Object.freeze(made);
      case 1: return Object.defineProperty(made, "hidden", { get: () => 1, enumerable: random(2) === 0 });
      case 2: return new Date(random(1e9));
      case 3: return Object.assign(made, { toJSON: () => 7 });
      case 4: return Object.assign(made, { [SYMBOL]: 1 });
      case 5: return Object(string());
      case 6: return Object.create(made);
      case 7: return Object.assign(Object.create(null), made);
      case 8: return SYMBOL;
      case 9: return random(8) === 0 ? 5n : undefined;
      default: return made;
    }
  }

  function value(depth) {
    switch (random(depth > 4 ? 6 : 13)) {
      case 0: case 1: return number();
      case 2: case 3: return string();
      case 4: return random(2) === 0;
      case 5: return null;
      case 6: case 7: return array(depth);
      case 8: case 9: return object(depth);
      case 10: return { id: number(), name: string(), tags: [string(), string()], nested: value(depth + 1) };
      case 11: return Object.assign(random(3) === 0 ? new Named(1) : new Point(number()), { more: value(depth + 1) });
      default: return odd(depth);
    }
  }
  return () => value(0);
}
