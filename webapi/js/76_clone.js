// structuredClone (HTML 2.7): StructuredSerialize and StructuredDeserialize in one walk, since what is cloned here
// stays in its realm. Nothing of the app runs but the getters that it has put into a value.
//
// For other scripts:
//   internals.cloneValue(value)               a structured clone; throws what a getter throws, or DataCloneError
//   internals.cloneWithTransfer(value, list)  { value, transferred }: the clone, and what became of each item of a
//                                             transfer list (StructuredSerializeWithTransfer); both Lists
//   internals.transferList(value, context, method)
//                                             a transfer list from a sequence<object>
// registerSerializable and registerTransferable of 01_infra say which platform objects can be cloned or transferred.
(function (ops, internals) {
  "use strict";
  const {
    ArrayBuffer, ArrayBufferPrototypeGetByteLength, ArrayBufferPrototypeGetDetached,
    ArrayBufferPrototypeGetMaxByteLength, ArrayBufferPrototypeGetResizable, ArrayBufferPrototypeTransfer,
    ArrayPrototype, DataView, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset, List, MapPrototypeForEach, ObjectDefineProperty, ObjectGetOwnPropertyDescriptor,
    ObjectGetPrototypeOf, ObjectHasOwn, ObjectKeys, ObjectPrototype, SafeMap, SafeSet, SetPrototypeForEach, TypeError,
    TypedArrayConstructors, globalThis, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetLength, TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array,
    uncurryThis,
  } = internals.primordials;
  const { isInterfacePrototype, webidl } = internals;
  const { cloneBytes, cloneKind, cloneLeaf, newError, tracksLength } = ops;

  const MapPrototypeSet = uncurryThis(SafeMap.prototype.set);
  const SetPrototypeAdd = uncurryThis(SafeSet.prototype.add);

  // What the op cloneKind says, CloneKind of clone.cc.
  const KIND_ORDINARY = 1;
  const KIND_ARRAY = 2;
  const KIND_ARRAY_WITH_NAMES = 3;
  const KIND_MAP = 6;
  const KIND_SET = 7;
  const KIND_ARRAY_BUFFER = 8;
  const KIND_VIEW = 9;
  const KIND_ERROR = 11;

  // The names that an error keeps, and the letter of its prototype in V8's serialization format.
  const errorLetters = {
    __proto__: null, EvalError: "E", RangeError: "R", ReferenceError: "F", SyntaxError: "S", TypeError: "T",
    URIError: "U",
  };

  // Stands in a clone for an object that is transferred, or a view of a buffer that is: transfers come last, after
  // all getters have run.
  class Pending {
    #real = null;
    make;
    constructor(make) {
      this.make = make; // gives the object, once
    }
    get real() {
      return this.#real ??= this.make();
    }
    static is(value) {
      return typeof value === "object" && value !== null && #real in value;
    }
  }

  // One run of the algorithm.
  class Cloning {
    first = null; // the object that was cloned first, and its clone: a value of one object takes no map
    firstClone = null;
    memory = null; // SafeMap: object -> its clone
    later = null; // List of functions that put into its place what is Pending, if anything is transferred

    recall(value) {
      if (value === this.first) return this.firstClone;
      return this.memory === null ? undefined : this.memory.get(value);
    }
    remember(value, clone) {
      if (this.first === null) {
        this.first = value;
        this.firstClone = clone;
      } else {
        this.memory ??= new SafeMap();
        this.memory.set(value, clone);
      }
    }

    // The clone of anything, Pending possibly.
    clone(value) {
      switch (typeof value) {
        case "object": return value === null ? null : this.recall(value) ?? this.cloneObject(value);
        case "function": case "symbol": return refuse(value);
        default: return value;
      }
    }

    cloneObject(value) {
      switch (cloneKind(value)) {
        case KIND_ORDINARY: return this.cloneOrdinary(value);
        case KIND_ARRAY: return this.cloneArray(value, false);
        case KIND_ARRAY_WITH_NAMES: return this.cloneArray(value, true);
        case KIND_MAP: return this.cloneMap(value);
        case KIND_SET: return this.cloneSet(value);
        case KIND_ARRAY_BUFFER: return this.cloneBuffer(value);
        case KIND_VIEW: return this.cloneView(value);
        case KIND_ERROR: return this.cloneError(value);
        case 0: return value === ObjectPrototype ? this.cloneProperties(value, {}, null) : refuse(value);
      }
      const copy = cloneLeaf(value);
      this.remember(value, copy);
      return copy;
    }

    // Of instances of classes only what inherits from an interface of ours may be a platform object.
    cloneOrdinary(value) {
      const prototype = ObjectGetPrototypeOf(value);
      if (prototype !== ObjectPrototype && prototype !== null) {
        const platform = this.clonePlatform(value);
        if (platform !== undefined) return platform;
        for (let at = prototype; at !== null && at !== ObjectPrototype; at = prototypeOf(at)) {
          if (isInterfacePrototype(at)) return refuse(value);
        }
      }
      return this.cloneProperties(value, {}, null);
    }

    // A Blob and the like, or undefined.
    clonePlatform(value) {
      for (let entry = internals.serializables; entry !== null; entry = entry.next) {
        if (!entry.is(value)) continue;
        const copy = entry.clone(value, (part) => this.whole(part));
        this.remember(value, copy);
        return copy;
      }
      return undefined;
    }
    // A part of a platform object. None of those has one that could be transferred.
    whole(part) {
      const copy = this.clone(part);
      if (this.later !== null && Pending.is(copy)) return refuse(part);
      return copy;
    }

    // Clones the enumerable own properties of `value` to `copy`, but for those that `copy` has already. Assigning is
    // as good as defining where the prototype has nothing of that name.
    cloneProperties(value, copy, done) {
      if (done === null) this.remember(value, copy);
      const keys = ObjectKeys(value);
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i];
        if (done !== null && ObjectHasOwn(done, key)) continue;
        if (!ObjectHasOwn(value, key)) continue; // a getter has removed it meanwhile
        const item = value[key];
        const part = typeof item === "string" || typeof item === "number" ? item : this.clone(item);
        if (this.later !== null && Pending.is(part)) this.postpone(copy, key, part);
        else if (key in copy) define(copy, key, part);
        else copy[key] = part;
      }
      return copy;
    }
    postpone(copy, key, pending) {
      define(copy, key, null); // keeps its place among the properties
      this.later[this.later.length] = () => define(copy, key, pending.real);
    }

    cloneArray(value, hasNames) {
      const copy = [];
      this.remember(value, copy);
      const { length } = value;
      let i = 0;
      if (ObjectGetPrototypeOf(value) === ArrayPrototype) {
        for (; i < length; i++) {
          if (i in copy) break; // inherited: a hole looks like an element
          const item = value[i];
          if (item === undefined && !ObjectHasOwn(value, i)) break;
          const part = typeof item === "string" || typeof item === "number" ? item : this.clone(item);
          if (this.later !== null && Pending.is(part)) this.postpone(copy, i, part);
          else if (i in copy) define(copy, i, part); // by a getter that has just run
          else copy[i] = part;
        }
      }
      if (i < length || hasNames) this.cloneProperties(value, copy, copy);
      if (copy.length !== length) copy.length = length;
      return copy;
    }

    cloneMap(value) {
      const copy = cloneLeaf(value);
      this.remember(value, copy);
      const entries = new List(); // as they are now: getters may change the map
      MapPrototypeForEach(value, (item, key) => {
        entries[entries.length] = key;
        entries[entries.length] = item;
      });
      for (let i = 0; i < entries.length; i++) entries[i] = this.clone(entries[i]);
      this.fill(() => {
        for (let i = 0; i < entries.length; i += 2) MapPrototypeSet(copy, real(entries[i]), real(entries[i + 1]));
      });
      return copy;
    }

    cloneSet(value) {
      const copy = cloneLeaf(value);
      this.remember(value, copy);
      const items = new List();
      SetPrototypeForEach(value, (item) => {
        items[items.length] = item;
      });
      for (let i = 0; i < items.length; i++) items[i] = this.clone(items[i]);
      this.fill(() => {
        for (let i = 0; i < items.length; i++) SetPrototypeAdd(copy, real(items[i]));
      });
      return copy;
    }
    fill(steps) {
      if (this.later === null) steps();
      else this.later[this.later.length] = steps;
    }

    cloneBuffer(value) {
      if (ArrayBufferPrototypeGetDetached(value)) throw dataCloneError("An ArrayBuffer is detached");
      let copy;
      if (ArrayBufferPrototypeGetResizable(value)) {
        copy = new ArrayBuffer(ArrayBufferPrototypeGetByteLength(value), {
          __proto__: null, maxByteLength: ArrayBufferPrototypeGetMaxByteLength(value),
        });
        TypedArrayPrototypeSet(new Uint8Array(copy), new Uint8Array(value));
      } else {
        copy = cloneBytes(value);
      }
      this.remember(value, copy);
      return copy;
    }

    cloneView(value) {
      const name = TypedArrayPrototypeGetSymbolToStringTag(value);
      const isTyped = name !== undefined;
      const buffer = isTyped ? TypedArrayPrototypeGetBuffer(value) : DataViewPrototypeGetBuffer(value);
      // A view of a SharedArrayBuffer is refused with it.
      if (cloneKind(buffer) !== KIND_ARRAY_BUFFER) return refuse(buffer);
      if (ArrayBufferPrototypeGetDetached(buffer)) throw dataCloneError("An ArrayBuffer is detached");
      let length;
      if (!ArrayBufferPrototypeGetResizable(buffer) || !tracksLength(value)) {
        length = isTyped ? TypedArrayPrototypeGetLength(value) : DataViewPrototypeGetByteLength(value);
      }
      const offset = isTyped ? TypedArrayPrototypeGetByteOffset(value) : DataViewPrototypeGetByteOffset(value);
      // V8 adds Float16Array when it restores a context: there is none to be captured before.
      const constructor = isTyped ? (TypedArrayConstructors[name] ?? globalThis[name]) : DataView;
      const bytes = this.clone(buffer);
      const copy = this.later !== null && Pending.is(bytes)
        ? new Pending(() => new constructor(bytes.real, offset, length)) : new constructor(bytes, offset, length);
      this.remember(value, copy);
      return copy;
    }

    // A DOMException is an error to the engine.
    cloneError(value) {
      const platform = this.clonePlatform(value);
      if (platform !== undefined) return platform;
      const name = value.name;
      const letter = errorLetters[name === undefined ? "Error" : `${name}`] ?? "";
      const message = ObjectGetOwnPropertyDescriptor(value, "message");
      const hasMessage = message !== undefined && ObjectHasOwn(message, "value");
      const text = hasMessage ? `${message.value}` : undefined;
      const { stack } = value;
      const copy = newError(letter, text, typeof stack === "string" ? stack : undefined);
      this.remember(value, copy);
      const cause = ObjectGetOwnPropertyDescriptor(value, "cause");
      if (cause !== undefined && ObjectHasOwn(cause, "value")) {
        const part = this.clone(cause.value);
        const set = () => ObjectDefineProperty(copy, "cause", {
          __proto__: null, value: real(part), writable: true, enumerable: false, configurable: true,
        });
        this.fill(set);
      }
      return copy;
    }
  }

  function real(value) {
    return Pending.is(value) ? value.real : value;
  }

  // Without the traps of a proxy, which cannot be an interface's prototype and has none of its own to show.
  function prototypeOf(object) {
    return isInterfacePrototype(object) || cloneKind(object) !== 0 ? ObjectGetPrototypeOf(object) : null;
  }

  function define(object, key, value) {
    ObjectDefineProperty(object, key, {
      __proto__: null, value, writable: true, enumerable: true, configurable: true,
    });
  }

  function dataCloneError(text) {
    return internals.domException(text + " and could not be cloned.", "DataCloneError");
  }
  function refuse(value) {
    const what = typeof value === "symbol" || typeof value === "function" ? "A " + typeof value
      : internals.describe(value);
    throw internals.domException(what + " could not be cloned.", "DataCloneError");
  }

  // ---- Transfer ----

  const transferableBuffer = {
    __proto__: null,
    isDetached: ArrayBufferPrototypeGetDetached,
    transfer: ArrayBufferPrototypeTransfer,
  };
  function transferableOf(object) {
    const kind = typeof object === "object" ? cloneKind(object) : 0;
    if (kind === KIND_ARRAY_BUFFER) return transferableBuffer;
    if (kind === KIND_ORDINARY) {
      for (let entry = internals.transferables; entry !== null; entry = entry.next) if (entry.is(object)) return entry;
    }
    throw internals.domException("An object of the transfer list is not transferable.", "DataCloneError");
  }

  // StructuredSerializeWithTransfer and StructuredDeserializeWithTransfer.
  function cloneWithTransfer(value, list) {
    const cloning = new Cloning();
    const pending = new List();
    cloning.later = new List();
    for (let i = 0; i < list.length; i++) {
      const object = list[i];
      const transferable = transferableOf(object);
      if (cloning.recall(object) !== undefined) {
        throw internals.domException("An object occurs twice in the transfer list.", "DataCloneError");
      }
      pending[i] = new Pending(() => {
        if (transferable.isDetached(object)) {
          throw internals.domException("An object of the transfer list is detached.", "DataCloneError");
        }
        return transferable.transfer(object);
      });
      cloning.remember(object, pending[i]);
    }
    const copy = cloning.clone(value);
    const transferred = new List();
    for (let i = 0; i < pending.length; i++) transferred[i] = pending[i].real;
    for (let i = 0; i < cloning.later.length; i++) cloning.later[i]();
    return { __proto__: null, value: real(copy), transferred };
  }

  function cloneValue(value) {
    return new Cloning().clone(value);
  }

  internals.cloneValue = cloneValue;
  internals.cloneWithTransfer = cloneWithTransfer;
  internals.transferList = function transferList(value, context, method) {
    return webidl.sequence(value, context, (item) => {
      if (!webidl.isObject(item)) throw new TypeError(context + ": transfer holds something else than objects.");
      return item;
    }, method);
  };

  const { structuredClone } = {
    structuredClone(value, options = undefined) {
      const context = "Failed to execute 'structuredClone'";
      if (arguments.length === 0) webidl.requiredArguments(0, 1, context);
      if (options === undefined) return cloneValue(value);
      const { transfer } = webidl.dictionary(options, context);
      if (transfer === undefined) return cloneValue(value);
      return cloneWithTransfer(value, internals.transferList(transfer, context)).value;
    },
  };
  internals.define("structuredClone", structuredClone, true);
})
