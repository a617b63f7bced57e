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
    ArrayBuffer, DataView, Error, Number, Proxy, RangeError, String, TypeError, Uint8Array, WeakRef,
  ]) {
    primordials[constructor.name] = constructor;
  }

  statics("Array", Array, "from isArray");
  statics("ArrayBuffer", ArrayBuffer, "isView");
  statics("Date", Date, "now");
  statics("JSON", JSON, "parse stringify");
  statics("Math", Math, "floor max min round trunc sqrt");
  statics("Number", Number, "isFinite parseInt parseFloat");
  statics("Object", Object, `create defineProperties defineProperty freeze getOwnPropertyDescriptor getOwnPropertySymbols
    getPrototypeOf hasOwn is keys setPrototypeOf`);
  statics("Promise", Promise, "reject resolve withResolvers");
  statics("Reflect", Reflect, "apply construct getOwnPropertyDescriptor ownKeys");
  statics("String", String, "fromCharCode");
  statics("Symbol", Symbol, "asyncIterator iterator toStringTag");

  methods("ArrayBuffer", ArrayBuffer.prototype, "slice transfer");
  methods("BigInt", BigInt.prototype, "toString valueOf");
  methods("Boolean", Boolean.prototype, "valueOf");
  methods("Date", Date.prototype, "getTime toISOString");
  methods("Error", Error.prototype, "toString");
  methods("Function", Function.prototype, "call toString");
  methods("Map", Map.prototype, "forEach");
  methods("Number", Number.prototype, "toString valueOf toFixed");
  methods("Object", Object.prototype, "hasOwnProperty propertyIsEnumerable");
  methods("RegExp", RegExp.prototype, "exec toString");
  methods("Set", Set.prototype, "forEach");
  methods("String", String.prototype, `charCodeAt endsWith includes indexOf isWellFormed padEnd padStart repeat
    replaceAll slice split startsWith toLowerCase toUpperCase toWellFormed trim valueOf`);
  methods("Symbol", Symbol.prototype, "toString valueOf");
  methods("WeakRef", WeakRef.prototype, "deref");
  getters("ArrayBuffer", ArrayBuffer.prototype, "byteLength detached maxByteLength resizable");
  getters("DataView", DataView.prototype, "buffer byteLength byteOffset");
  getters("Map", Map.prototype, "size");
  getters("Set", Set.prototype, "size");
  const TypedArray = getPrototypeOf(Uint8Array);
  methods("TypedArray", TypedArray.prototype, "set");
  getters("TypedArray", TypedArray.prototype, "@@toStringTag buffer byteLength byteOffset length");

  // Constructors by what TypedArrayPrototypeGetSymbolToStringTag says.
  primordials.TypedArrayConstructors = {
    __proto__: null, BigInt64Array, BigUint64Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int8Array, Uint16Array, Uint32Array, Uint8Array, Uint8ClampedArray,
  };

  primordials.IteratorPrototype = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));
  primordials.AsyncIteratorPrototype = getPrototypeOf(getPrototypeOf(async function* () {}.prototype));
  primordials.ArrayPrototype = Array.prototype;
  primordials.ObjectPrototype = Object.prototype;
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

  // An array without methods, for lists that grow: `list[list.length] = value` on a plain array would run a
  // setter that an app may have put on Array.prototype.
  primordials.List = class List extends Array { constructor() { super(); } };
  setPrototypeOf(primordials.List.prototype, null);
  freeze(primordials.List.prototype);

  internals.primordials = freeze(primordials);
})
