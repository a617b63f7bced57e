// Captures the built-ins that the runtime's scripts use, before any code of an app can patch them.
//
// Names: a static function of Object is `ObjectKeys`, a method of Array.prototype is
// `ArrayPrototypePush(array, value)`, a getter is `MapPrototypeGetSize(map)`, a well-known symbol is
// `SymbolIterator`, a constructor keeps its name. Every entry costs heap in every isolate, so the
// lists below hold what is used and nothing else; a test compares them with the scripts.
(function (ops, internals) {
  "use strict";
  const { getOwnPropertyDescriptor, setPrototypeOf, freeze, getPrototypeOf } = Object;
  const { apply, ownKeys, defineProperty } = Reflect;
  const { bind, call } = Function.prototype;
  // uncurryThis(f)(self, ...rest) is f.call(self, ...rest), whatever becomes of Function.prototype.
  const uncurryThis = bind.bind(call);
  const primordials = setPrototypeOf({}, null);

  const capitalize = (key) => key[0].toUpperCase() + key.slice(1);
  const words = (list) => list.trim().split(/\s+/);

  function missing(name) {
    throw new Error("no primordial " + name);
  }

  // Functions and constants that lie on a constructor or namespace object.
  function statics(name, holder, list) {
    for (const key of words(list)) {
      if (!(key in holder)) missing(name + "." + key);
      const value = holder[key];
      // Promise.resolve and Array.from ask `this` for a constructor.
      const bound = typeof value === "function" && typeof holder === "function";
      primordials[name + capitalize(key)] = bound ? bind.call(value, holder) : value;
    }
  }

  // Methods of a prototype, as functions that take the receiver first.
  function methods(name, prototype, list) {
    for (const key of words(list)) {
      if (typeof prototype[key] !== "function") missing(name + ".prototype." + key);
      primordials[name + "Prototype" + capitalize(key)] = uncurryThis(prototype[key]);
    }
  }

  // Getters of a prototype. key "@@toStringTag" is the symbol of that name.
  function getters(name, prototype, list) {
    for (const key of words(list)) {
      const symbol = key.startsWith("@@");
      const descriptor = getOwnPropertyDescriptor(prototype, symbol ? Symbol[key.slice(2)] : key);
      if (!descriptor || !descriptor.get) missing(name + ".prototype." + key);
      const suffix = symbol ? "Symbol" + capitalize(key.slice(2)) : capitalize(key);
      primordials[name + "PrototypeGet" + suffix] = uncurryThis(descriptor.get);
    }
  }

  for (const constructor of [
    Array, ArrayBuffer, BigInt, Boolean, DataView, Date, Error, EvalError, FinalizationRegistry, Float32Array,
    Float64Array, Function, Map, Number, Object, Promise, Proxy, RangeError, ReferenceError, RegExp, Set, String,
    Symbol, SyntaxError, TypeError, URIError, Uint16Array, Uint32Array, Uint8Array, WeakMap, WeakRef, WeakSet,
  ]) {
    primordials[constructor.name] = constructor;
  }

  statics("Array", Array, "from isArray");
  statics("ArrayBuffer", ArrayBuffer, "isView");
  statics("Date", Date, "now");
  statics("JSON", JSON, "parse stringify");
  statics("Math", Math, "abs floor max min pow round trunc sqrt");
  statics("Number", Number, "isFinite isInteger isNaN isSafeInteger parseInt parseFloat");
  statics("Object", Object, `assign create defineProperties defineProperty entries freeze getOwnPropertyDescriptor
    getOwnPropertyNames getOwnPropertySymbols getPrototypeOf hasOwn is isFrozen keys setPrototypeOf values`);
  statics("Promise", Promise, "all reject resolve withResolvers");
  statics("Reflect", Reflect, "apply construct defineProperty get getOwnPropertyDescriptor has ownKeys");
  statics("String", String, "fromCharCode fromCodePoint");
  statics("Symbol", Symbol, "asyncIterator for hasInstance iterator species toPrimitive toStringTag");

  methods("Array", Array.prototype, `concat fill includes indexOf join map pop push reverse shift slice sort splice
    unshift`);
  methods("ArrayBuffer", ArrayBuffer.prototype, "slice transfer");
  methods("BigInt", BigInt.prototype, "toString valueOf");
  methods("Boolean", Boolean.prototype, "valueOf");
  methods("Date", Date.prototype, "getTime toISOString");
  methods("Error", Error.prototype, "toString");
  methods("Function", Function.prototype, "bind call toString");
  methods("Map", Map.prototype, "clear delete entries forEach get has set");
  methods("Number", Number.prototype, "toString valueOf toFixed");
  methods("Object", Object.prototype, "hasOwnProperty isPrototypeOf propertyIsEnumerable toString");
  methods("Promise", Promise.prototype, "then");
  methods("RegExp", RegExp.prototype, "exec toString");
  methods("Set", Set.prototype, "add clear delete forEach has");
  methods("String", String.prototype, `charCodeAt codePointAt endsWith includes indexOf isWellFormed lastIndexOf
    padEnd padStart repeat replaceAll slice split startsWith substring toLowerCase toUpperCase toWellFormed trim
    valueOf`);
  methods("Symbol", Symbol.prototype, "toString valueOf");
  methods("WeakMap", WeakMap.prototype, "delete get has set");
  methods("WeakRef", WeakRef.prototype, "deref");
  methods("WeakSet", WeakSet.prototype, "add has");
  getters("ArrayBuffer", ArrayBuffer.prototype, "byteLength detached");
  getters("DataView", DataView.prototype, "buffer byteLength byteOffset");
  getters("Map", Map.prototype, "size");
  getters("RegExp", RegExp.prototype, "flags source");
  getters("Set", Set.prototype, "size");
  getters("Symbol", Symbol.prototype, "description");
  const TypedArray = getPrototypeOf(Uint8Array);
  methods("TypedArray", TypedArray.prototype, "fill set slice subarray");
  getters("TypedArray", TypedArray.prototype, "@@toStringTag buffer byteLength byteOffset length");

  // Constructors by what TypedArrayPrototypeGetSymbolToStringTag says.
  primordials.TypedArrayConstructors = {
    __proto__: null, BigInt64Array, BigUint64Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int8Array, Uint16Array, Uint32Array, Uint8Array, Uint8ClampedArray,
  };

  primordials.ArrayPrototypeSymbolIterator = uncurryThis(Array.prototype[Symbol.iterator]);
  primordials.IteratorPrototype = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));
  primordials.AsyncIteratorPrototype = getPrototypeOf(getPrototypeOf(async function* () {}.prototype));
  primordials.ObjectPrototype = Object.prototype;
  primordials.FunctionPrototype = Function.prototype;
  primordials.ErrorPrototype = Error.prototype;
  primordials.globalThis = globalThis;
  primordials.uncurryThis = uncurryThis;

  // A collection whose methods are its own: `map.get(k)` on a SafeMap cannot be patched. Iterate with
  // forEach: for-of would go through the patchable iterator prototypes.
  function makeSafe(unsafe, safe) {
    for (const key of ownKeys(unsafe.prototype)) {
      if (key === "constructor") continue;
      defineProperty(safe.prototype, key, getOwnPropertyDescriptor(unsafe.prototype, key));
    }
    setPrototypeOf(safe.prototype, null);
    freeze(safe.prototype);
    freeze(safe);
    return safe;
  }
  // With an argument, the constructors would call a patchable `set` or `add`: they take none.
  primordials.SafeMap = makeSafe(Map, class SafeMap extends Map { constructor() { super(); } });
  primordials.SafeSet = makeSafe(Set, class SafeSet extends Set { constructor() { super(); } });
  primordials.SafeWeakMap = makeSafe(WeakMap, class SafeWeakMap extends WeakMap { constructor() { super(); } });
  primordials.SafeWeakSet = makeSafe(WeakSet, class SafeWeakSet extends WeakSet { constructor() { super(); } });

  internals.primordials = freeze(primordials);
})
