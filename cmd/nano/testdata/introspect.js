// Answers a list of names, one a line, with what this runtime has of each, as JSON: for the names "X", "x.y" and
// "event:x" (an event of the global that is really fired here). `others` are the globals that were not asked for and are
// not the language's own.

const language = new Set(`AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean
DataView Date DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity
Int16Array Int32Array Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect
RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array
Uint8ClampedArray WeakMap WeakRef WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis
isFinite isNaN parseFloat parseInt undefined unescape`.split(/\s+/));

function ownNames(holder, without) {
  return Reflect.ownKeys(holder)
    .filter((key) => !without.includes(key) && key !== Symbol.toStringTag && key !== Symbol.hasInstance)
    .map((key) => typeof key === "symbol" ? `[${key.description}]` : key);
}

// { kind: "interface" | "function" | "namespace" | "object" | "value", parent, members, statics }
function describe(value) {
  if (typeof value === "function") {
    const isInterface = typeof value.prototype === "object" && /^[A-Z]/.test(value.name);
    if (!isInterface) return { kind: "function" };
    const parent = Object.getPrototypeOf(value);
    return {
      kind: "interface",
      parent: parent === Function.prototype ? "" : parent.name,
      members: ownNames(value.prototype, ["constructor"]),
      statics: ownNames(value, ["length", "name", "prototype"]),
    };
  }
  if (value === globalThis) return { kind: "the global object" };
  if (typeof value !== "object" || value === null) return { kind: "value" };
  const { constructor } = value;
  if (typeof constructor === "function" && constructor !== Object) return { kind: "object", parent: constructor.name };
  return { kind: "namespace", members: ownNames(value, []) };
}

function look(name) {
  let holder = globalThis;
  const path = name.split(".");
  for (const part of path.slice(0, -1)) holder = holder?.[part];
  const last = path.at(-1);
  if (holder === undefined || holder === null || !(last in holder)) return null;
  return describe(holder[last]);
}

// Makes each event of the global happen, and returns those that were heard of.
async function fire() {
  const heard = [];
  const listening = typeof addEventListener === "function";
  for (const type of ["error", "unhandledrejection", "rejectionhandled"]) {
    const hear = (event) => {
      heard.push(type);
      event.preventDefault();
    };
    if (listening) addEventListener(type, hear);
  }
  if (typeof reportError === "function") reportError(new Error("made for a listener"));
  const rejected = Promise.reject(new Error("made for a listener"));
  const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
  await turn();
  rejected.catch(() => {});
  await turn();
  return heard;
}

export default {
  async fetch(request) {
    const names = (await request.text()).split("\n");
    const found = {};
    const events = await fire();
    for (const name of names) {
      const [kind, type] = name.split(":");
      found[name] = kind === "event" ? (events.includes(type) ? { kind: "event" } : null) : look(name);
    }
    const others = {};
    for (const name of Object.getOwnPropertyNames(globalThis)) {
      if (!names.includes(name) && !language.has(name)) others[name] = look(name);
    }
    return Response.json({ found, others });
  },
};
