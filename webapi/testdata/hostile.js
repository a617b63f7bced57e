// Patches every built-in that an app can reach. The runtime must neither break nor hand it anything of its
// own. Each patch notes when it is called by code that is not the app's. Import it last.

let leaks = ""; // a string: an array would run into the setters below
const original = {};
for (const name of ["then", "catch", "finally"]) original[name] = Promise.prototype[name];
export const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty } = Reflect;

// A function that notes what it gets, then does what the original does.
let watching = false;
function spy(what, fn) {
  return new Proxy(fn, {
    apply(target, self, args) {
      if (watching) leaks += `${what}; `;
      return apply(target, self, args);
    },
  });
}

function patchAll(holder, name) {
  const keys = ownKeys(holder);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    const descriptor = getOwnPropertyDescriptor(holder, key);
    if (!descriptor.configurable || key === "constructor") continue;
    if (typeof descriptor.value === "function") {
      defineProperty(holder, key, { ...descriptor, value: spy(`${name}.${String(key)}`, descriptor.value) });
    } else if (descriptor.get) {
      defineProperty(holder, key, { ...descriptor, get: spy(`get ${name}.${String(key)}`, descriptor.get) });
    }
  }
}

// The built-ins that runtimes lean on; not Error, whose patched prototypes would hide what a test found.
const holders = {
  "Array.prototype": Array.prototype, "ArrayBuffer.prototype": ArrayBuffer.prototype, "Map.prototype": Map.prototype,
  "Set.prototype": Set.prototype, "WeakMap.prototype": WeakMap.prototype, "String.prototype": String.prototype,
  "RegExp.prototype": RegExp.prototype, "Promise.prototype": Promise.prototype, "Promise": Promise,
  "TypedArray.prototype": Object.getPrototypeOf(Uint8Array.prototype), "Object": Object, "Reflect": Reflect,
  "JSON": JSON, "Number": Number, "Symbol.prototype": Symbol.prototype, "Array": Array, "Math": Math,
  "Function.prototype": Function.prototype, "DataView.prototype": DataView.prototype,
  "Iterator.prototype": Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())),
  "ArrayIterator.prototype": Object.getPrototypeOf([][Symbol.iterator]()),
};
const names = Object.keys(holders);
for (let i = 0; i < names.length; i++) patchAll(holders[names[i]], names[i]);
defineProperty(Promise, Symbol.species, { get() { throw new Error("species"); }, configurable: true });
for (const key of ["get", "set", "value", "writable", "enumerable", "configurable", "next", "0", "1", "2"]) {
  const holder = key >= "0" && key <= "9" ? Array.prototype : Object.prototype;
  // Setters see what is assigned to objects of the runtime that lack the key; descriptors would inherit.
  defineProperty(holder, key, {
    __proto__: null,
    get() { return undefined; },
    set(value) {
      if (watching) leaks += `set ${key}; `;
      defineProperty(this, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
    },
    configurable: true,
  });
}

export function startWatching() {
  leaks = "";
  watching = true;
}

// Returns what was called since startWatching().
export function stopWatching() {
  watching = false;
  return leaks;
}

// Runs `call` and fails if a patched built-in was called meanwhile.
export async function watch(call) {
  startWatching();
  let result;
  try {
    result = await call();
  } finally {
    stopWatching();
  }
  if (leaks !== "") throw new Error(`the runtime called ${leaks}`);
  return result;
}

export function same(got, want) {
  if (got !== want) throw new Error(`got ${String(got)}, not ${String(want)}`);
}
