// What every other script stands on: putting names on the global object, loading rarely used scripts at
// first use, and the conversions and checks that Web IDL asks of interfaces.
(function (ops, internals) {
  "use strict";
  const {
    Error, JSONParse, List, MathFloor, MathTrunc, NumberIsFinite, ObjectDefineProperty, RangeError, ReflectApply,
    SafeMap, SafeSet, String, StringPrototypeCharCodeAt, StringPrototypeToWellFormed, SymbolIterator, SymbolToStringTag, TypeError,
    globalThis,
  } = internals.primordials;
  const { exposeMembers, jsonParse, jsonTooDeep, lazyGlobal, loadScript, log } = ops;

  // ---- The global object ----

  // Scripts that ran already, by name; the script of each lazy global; and what the global is, once that ran.
  const loadedScripts = new SafeMap();
  const lazyScripts = new SafeMap();
  const lazyValues = new SafeMap();

  // Defines a global. Interfaces are not enumerable, functions such as fetch are (Web IDL 3.7.1, 3.8). Of a
  // lazy global, V8 asks for the value when it is read; one that the app has assigned keeps the app's value.
  internals.define = function define(name, value, enumerable = false) {
    if (lazyScripts.has(name)) {
      lazyValues.set(name, value);
      return;
    }
    ObjectDefineProperty(globalThis, name, {
      __proto__: null, value, writable: true, enumerable, configurable: true,
    });
  };

  // Runs the lazy script `script` ("NN_name") unless it ran already. What it offers to other scripts it
  // puts on internals, what it offers to apps it passes to internals.define.
  internals.load = function load(script) {
    if (loadedScripts.has(script)) return;
    loadedScripts.set(script, true);
    loadScript(script)(ops, internals);
  };

  // Announces globals that `script` defines when one of them is first read. To apps they are data
  // properties from the start.
  internals.lazy = function lazy(names, script, enumerable = false) {
    for (let i = 0; i < names.length; i++) {
      lazyScripts.set(names[i], script);
      lazyGlobal(names[i], enumerable);
    }
  };

  // The value of a lazy global; C++ asks for it.
  internals.readLazyGlobal = function readLazyGlobal(name) {
    internals.load(lazyScripts.get(name));
    return lazyValues.get(name);
  };

  // ---- Start of an app ----

  // What runs now. `starting`: the app's top level. An instance of a class, since a null-prototype object such
  // as internals is a slow dictionary: internals.starting is the same for who needs no speed.
  // `turn`: counts them. `words`: the records of the turn, whose first words are the cells of C++. `clockOrigin`:
  // milliseconds, when the app was started; `clockStep`: microseconds, see coarseNow of 50_events. `subrequestLimit`:
  // of a request.
  class Running {
    starting = false;
    turn = 0;
    words = null;
    clockOrigin = 0;
    clockStep = 100;
    subrequestLimit = 1000;
  }
  const running = new Running();
  internals.running = running;

  // While an app's top level runs nothing may depend on time, chance or I/O, since its outcome is kept in
  // a snapshot.
  ObjectDefineProperty(internals, "starting", { __proto__: null, get: () => running.starting });
  // true, false, or, for something else that is kept in a snapshot, words for when it is.
  internals.setStarting = function setStarting(starting) {
    running.starting = starting;
  };
  internals.requireStarted = function requireStarted(what) {
    if (running.starting) {
      throw new Error(what + " is not allowed " + (running.starting === true
        ? "while a module's top level runs; call it inside fetch()" : running.starting));
    }
  };

  // V8's own Math.random knows nothing of that.
  const { random: drawRandom } = Math;
  const { random } = {
    random() {
      if (running.starting) internals.requireStarted("Math.random()");
      return drawRandom();
    },
  };
  ObjectDefineProperty(Math, "random", { __proto__: null, value: random });

  // V8's parser keeps what it needs for a level of nesting outside the heap, where no limit counts it. Text
  // that is shorter than JSON_DEPTH_MAX cannot be nested more deeply, and is not looked at twice.
  const { parse } = {
    parse(text, reviver) {
      if (typeof text !== "string") text = `${text}`;
      if (reviver === undefined) {
        const value = jsonParse(text);
        if (value !== undefined) return value;
      }
      if (text.length > JSON_DEPTH_MAX && jsonTooDeep(text)) {
        throw new RangeError("JSON is nested more than " + JSON_DEPTH_MAX + " levels deep");
      }
      return JSONParse(text, reviver);
    },
  };
  const JSON_DEPTH_MAX = 10000;
  ObjectDefineProperty(JSON, "parse", { __proto__: null, value: parse });
  internals.parseJSON = parse;

  // ---- What runs now ----

  // The context in which code runs: the Exchange (90_dispatch) of the request for which it does, or undefined, or
  // once a storage has a value a Frame (77_async_hooks), which refers to that. V8 keeps it with what code leaves for
  // later, promise reactions above all, and gives it back when that runs: what a request does is charged to it
  // and logged under its id, after an `await` too. Optimized code inlines both functions. What else calls an app
  // later keeps currentContext() and calls enterContext or enterEvent with it.
  const { getContinuationPreservedEmbedderData, setContinuationPreservedEmbedderData } = internals.extras;
  internals.currentContext = getContinuationPreservedEmbedderData;
  internals.enterContext = setContinuationPreservedEmbedderData;
  function currentExchange() {
    const context = getContinuationPreservedEmbedderData();
    return context === undefined ? undefined : context.exchange;
  }
  internals.currentExchange = currentExchange;
  // For an event that goes on with what an exchange has begun. Once a WebSocket has its connection, each event has
  // the limits of a request for itself: there is no end to how many may come.
  internals.enterEvent = function enterEvent(context) {
    const exchange = context === undefined ? undefined : context.exchange;
    if (exchange !== undefined && exchange.isRenewed) {
      exchange.cpu = 0;
      exchange.subrequests = 0;
    }
    setContinuationPreservedEmbedderData(context);
  };
  internals.currentRequestId = function currentRequestId() {
    const exchange = currentExchange();
    return exchange === undefined || exchange.ended ? NO_REQUEST : exchange.id;
  };
  const NO_REQUEST = -1;

  // Writes a line to the app's log under the request of an exchange, be it over; or under none, if that is undefined.
  internals.logUnder = function logUnder(exchange, level, text) {
    if (exchange === undefined) log(undefined, 0, level, text, true);
    else log(exchange.words, exchange.offset, level, text, exchange.ended);
  };

  // ---- What is in hand ----

  // Objects by their property `id`, an integer, most of which are there for a moment, and few at a time. A Map that many come
  // to and leave makes new tables all the time, and each refers to the one after it: once such a table has got old, all
  // that those after it hold lives until the whole heap is collected.
  class Table {
    slots = null; // by the low bits of the ids; null: nothing was ever in it
    others = null; // a SafeMap of those whose slot was taken; null: there are none

    get(id) {
      const { slots } = this;
      if (slots === null) return undefined;
      const found = slots[id & (slots.length - 1)];
      if (found !== null && found.id === id) return found;
      return this.others === null ? undefined : this.others.get(id);
    }

    // Puts an object in, in the place of one with the same id.
    set(object) {
      const { id } = object;
      let slots = this.slots ??= emptySlots(SLOTS_LEAST);
      let at = id & (slots.length - 1);
      while (slots[at] !== null && slots[at].id !== id) {
        if (slots.length === SLOTS_MOST) {
          this.others ??= new SafeMap();
          this.others.set(id, object);
          return;
        }
        slots = this.slots = doubled(slots);
        at = id & (slots.length - 1);
      }
      slots[at] = object;
      if (this.others !== null) this.#deleteOther(id);
    }

    delete(id) {
      const { slots } = this;
      if (slots === null) return;
      const at = id & (slots.length - 1);
      if (slots[at] !== null && slots[at].id === id) slots[at] = null;
      else if (this.others !== null) this.#deleteOther(id);
    }

    #deleteOther(id) {
      this.others.delete(id);
      if (this.others.size === 0) this.others = null;
    }
  }
  const SLOTS_LEAST = 16;
  const SLOTS_MOST = 256;

  function emptySlots(count) {
    const slots = new List();
    for (let i = 0; i < count; i++) slots[i] = null;
    return slots;
  }
  function doubled(slots) {
    const larger = emptySlots(2 * slots.length);
    for (let i = 0; i < slots.length; i++) {
      if (slots[i] !== null) larger[slots[i].id & (larger.length - 1)] = slots[i];
    }
    return larger;
  }
  internals.Table = Table;

  // ---- Interfaces ----

  // Gives a class the property attributes of a Web IDL interface: its methods, getters and static
  // functions are enumerable, its prototype has a toStringTag.
  internals.configureInterface = function configureInterface(constructor, name = constructor.name) {
    const prototype = constructor.prototype;
    exposeMembers(constructor, prototype); // native: this is a quarter of what the first use of a script takes
    ObjectDefineProperty(prototype, SymbolToStringTag, {
      __proto__: null, value: name, writable: false, enumerable: false, configurable: true,
    });
    interfacePrototypes.add(prototype);
  };
  const interfacePrototypes = new SafeSet();
  internals.isInterfacePrototype = (object) => interfacePrototypes.has(object);

  // Lets structuredClone copy objects of which is(value) is true, by their brand: clone(value, cloneValue) gives the
  // new one, where cloneValue(part) is the clone of what it refers to. Instances of all other interfaces are refused.
  internals.serializables = null; // a linked list
  internals.registerSerializable = function registerSerializable(is, clone) {
    internals.serializables = { __proto__: null, is, clone, next: internals.serializables };
  };
  // And objects that can be transferred: isDetached(value) tells that it has happened, transfer(value) gives the new
  // object or throws.
  internals.transferables = null;
  internals.registerTransferable = function registerTransferable(is, isDetached, transfer) {
    internals.transferables = { __proto__: null, is, isDetached, transfer, next: internals.transferables };
  };

  // The same for a namespace or a mixin that is no class: `keys` of `holder` become enumerable.
  internals.makeEnumerable = function makeEnumerable(holder, keys) {
    for (let i = 0; i < keys.length; i++) {
      ObjectDefineProperty(holder, keys[i], { __proto__: null, enumerable: true });
    }
  };

  // ---- Web IDL conversions ----
  // `context` names the operation for messages: "Failed to execute 'append' on 'Headers'".

  const webidl = { __proto__: null };
  internals.webidl = webidl;

  webidl.illegalInvocation = () => new TypeError("Illegal invocation");
  webidl.illegalConstructor = () => new TypeError("Illegal constructor");

  webidl.requiredArguments = function requiredArguments(present, required, context) {
    if (present < required) {
      throw new TypeError(context + ": " + required + " argument" + (required === 1 ? "" : "s") +
        " required, but only " + present + " present.");
    }
  };

  webidl.DOMString = function toDOMString(value, context) {
    if (typeof value === "string") return value;
    if (typeof value === "symbol") throw new TypeError(context + ": Cannot convert a Symbol value to a string");
    return String(value);
  };

  webidl.USVString = function toUSVString(value, context) {
    return StringPrototypeToWellFormed(typeof value === "string" ? value : webidl.DOMString(value, context));
  };

  webidl.ByteString = function toByteString(value, context) {
    const string = typeof value === "string" ? value : webidl.DOMString(value, context);
    for (let i = 0; i < string.length; i++) {
      if (StringPrototypeCharCodeAt(string, i) > 0xff) {
        throw new TypeError(context + ": String contains non ISO-8859-1 code point.");
      }
    }
    return string;
  };

  webidl.isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

  // An integer type of `bits` (at most 53) bits. mode: undefined wraps modulo 2^bits as IDL does by
  // default, "enforce" is [EnforceRange], "clamp" is [Clamp].
  function integer(name, bits, signed) {
    const modulus = 2 ** bits;
    const upper = signed ? 2 ** (bits - 1) - 1 : modulus - 1;
    const lower = signed ? -upper - 1 : 0;
    return function toInteger(value, context, mode) {
      let number = +value;
      if (mode === "enforce") {
        if (!NumberIsFinite(number)) {
          throw new TypeError(context + ": Value is not a finite number and cannot be converted to '" + name + "'.");
        }
        number = MathTrunc(number);
        if (number < lower || number > upper) {
          throw new TypeError(context + ": Value is outside the '" + name + "' value range.");
        }
        return number + 0; // -0 becomes 0
      }
      if (mode === "clamp") {
        if (number !== number) return 0;
        if (number <= lower) return lower;
        if (number >= upper) return upper;
        const floor = MathFloor(number);
        const fraction = number - floor; // halves go to the even neighbour
        return (fraction < 0.5 || (fraction === 0.5 && floor % 2 === 0) ? floor : floor + 1) + 0;
      }
      if (!NumberIsFinite(number)) return 0;
      number = MathTrunc(number) % modulus;
      if (number < 0) number += modulus;
      if (signed && number > upper) number -= modulus;
      return number + 0;
    };
  }
  webidl.octet = integer("octet", 8, false);
  webidl.short = integer("short", 16, true);
  webidl.unsignedShort = integer("unsigned short", 16, false);
  webidl.long = integer("long", 32, true);
  webidl.unsignedLong = integer("unsigned long", 32, false);

  // long long and unsigned long long: with a mode, of the safe integers only, as IDL says. Without one,
  // numbers beyond 2^53 are rounded here, which no interface of ours can tell.
  const safeSigned = integer("long long", 54, true);
  const safeUnsigned = integer("unsigned long long", 53, false);
  webidl.longLong = safeSigned;
  webidl.unsignedLongLong = safeUnsigned;

  webidl.unrestrictedDouble = (value) => +value;
  webidl.double = function toDouble(value, context) {
    const number = +value;
    if (!NumberIsFinite(number)) throw new TypeError(context + ": The provided double value is non-finite.");
    return number;
  };

  // A dictionary argument: undefined and null are an empty one. The caller reads the members, in
  // lexicographical order, inherited dictionaries first.
  webidl.dictionary = function toDictionary(value, context) {
    if (value === undefined || value === null) return { __proto__: null };
    if (typeof value !== "object" && typeof value !== "function") {
      throw new TypeError(context + ": The provided value is not of type 'object'.");
    }
    return value;
  };

  // An enumeration: `values` is a null-prototype object that has a key for each value.
  webidl.enumeration = function toEnumeration(value, values, name, context) {
    const string = webidl.DOMString(value, context);
    if (values[string] === undefined) {
      throw new TypeError(context + ": The provided value '" + string + "' is not a valid enum value of type " +
        name + ".");
    }
    return string;
  };

  // A sequence<T>: an array of what `convert(item, context)` makes of the items of an iterable. `method`
  // is its Symbol.iterator when the caller has read that already.
  webidl.sequence = function toSequence(value, context, convert, method = undefined) {
    if (!webidl.isObject(value)) {
      throw new TypeError(context + ": The provided value cannot be converted to a sequence.");
    }
    if (method === undefined) method = value[SymbolIterator];
    if (typeof method !== "function") {
      throw new TypeError(context + ": The object must have a callable @@iterator property.");
    }
    const iterator = ReflectApply(method, value, []);
    if (!webidl.isObject(iterator)) throw new TypeError(context + ": The iterator is not an object.");
    const next = iterator.next;
    const items = [];
    for (;;) {
      const result = ReflectApply(next, iterator, []);
      if (!webidl.isObject(result)) throw new TypeError(context + ": The iterator's result is not an object.");
      if (result.done) return items;
      // Defined, not assigned: a setter on Array.prototype must not see it.
      ObjectDefineProperty(items, items.length, {
        __proto__: null, value: convert(result.value, context), writable: true, enumerable: true, configurable: true,
      });
    }
  };
})
