// Values as text for people, in the layout that Node's util.inspect made familiar: two levels deep, lines
// of at most 80 columns, up to three levels on one line where they fit. Looking changes nothing and runs no
// code of the app: getters are named, not called, and traps of proxies are not triggered.
//
//   internals.inspect(value, depth = 2) -> string
//   internals.formatLog(array of arguments) -> string, with the formats %s %d %i %f %j %o %O %c %% in the first
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferPrototypeGetByteLength, ArrayBufferPrototypeGetDetached, ArrayIsArray, BigIntPrototypeToString,
    BigIntPrototypeValueOf, BooleanPrototypeValueOf, DataViewPrototypeGetBuffer,
    DataViewPrototypeGetByteLength, DataViewPrototypeGetByteOffset, DatePrototypeGetTime,
    DatePrototypeToISOString, ErrorPrototype, ErrorPrototypeToString, FunctionPrototypeToString,
    JSONStringify, List, MapPrototypeForEach, MapPrototypeGetSize, MathFloor, MathMax, MathMin, MathRound,
    MathSqrt, Number, NumberParseFloat, NumberParseInt, NumberPrototypeToString, NumberPrototypeValueOf,
    ObjectGetOwnPropertyDescriptor, ObjectGetPrototypeOf, ObjectHasOwn, ObjectIs, ObjectPrototype,
    ObjectPrototypePropertyIsEnumerable, RangeError, ReflectApply, ReflectOwnKeys, RegExpPrototypeToString,
    SafeMap, SetPrototypeForEach, SetPrototypeGetSize, String, StringPrototypeCharCodeAt,
    StringPrototypeEndsWith, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypePadEnd,
    StringPrototypePadStart, StringPrototypeRepeat, StringPrototypeReplaceAll, StringPrototypeSlice,
    StringPrototypeSplit, StringPrototypeStartsWith, StringPrototypeTrim, StringPrototypeValueOf,
    SymbolPrototypeToString, SymbolPrototypeValueOf, SymbolToStringTag, TypedArrayPrototypeGetLength,
    TypedArrayPrototypeGetSymbolToStringTag, Uint8Array,
  } = internals.primordials;
  const { classify, constructorName, namedKeys, previewEntries, promiseResult, promiseState, proxyDetails } = ops;

  const COLUMNS = 80;
  const LEVELS_ON_ONE_LINE = 3;
  const ITEMS_MAX = 100; // of an array, set, map or buffer
  const STRING_LENGTH_MAX = 10000;

  // What ops.classify says.
  const ERROR = 1, PROMISE = 2, MAP = 4, SET = 5, MAP_ITERATOR = 6, SET_ITERATOR = 7, WEAK_MAP = 8,
    WEAK_SET = 9, REGEXP = 10, DATE = 11, ARRAY_BUFFER = 12, SHARED_ARRAY_BUFFER = 13, DATA_VIEW = 14,
    TYPED_ARRAY = 15, BOXED = 16, NAMESPACE = 18, EXTERNAL = 19, ARGUMENTS = 20, WEAK_REF = 21;

  const RangeErrorPrototype = RangeError.prototype;
  const AsyncFunctionPrototype = ObjectGetPrototypeOf(async () => {});
  const GeneratorFunctionPrototype = ObjectGetPrototypeOf(function* () {});
  const AsyncGeneratorFunctionPrototype = ObjectGetPrototypeOf(async function* () {});

  // ---- Text ----

  const shortEscapes = { __proto__: null, 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 92: "\\\\" };

  // A string in quotes: single ones unless it holds some and no double ones, or else no backquotes.
  function quote(string) {
    let mark = "'";
    if (StringPrototypeIncludes(string, "'")) {
      if (!StringPrototypeIncludes(string, '"')) mark = '"';
      else if (!StringPrototypeIncludes(string, "`") && !StringPrototypeIncludes(string, "${")) mark = "`";
    }
    return mark + escape(string, StringPrototypeCharCodeAt(mark, 0)) + mark;
  }

  function escape(string, quoteCode) {
    let result = "";
    let start = 0;
    for (let i = 0; i < string.length; i++) {
      const code = StringPrototypeCharCodeAt(string, i);
      let replacement;
      if (code === quoteCode) replacement = "\\" + string[i];
      else if (shortEscapes[code] !== undefined) replacement = shortEscapes[code];
      else if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) replacement = "\\x" + hex(code, 2);
      else if (code >= 0xd800 && code <= 0xdfff) {
        const next = i + 1 < string.length ? StringPrototypeCharCodeAt(string, i + 1) : 0;
        if (code <= 0xdbff && next >= 0xdc00 && next <= 0xdfff) {
          i++;
          continue;
        }
        replacement = "\\u" + hex(code, 4);
      } else continue;
      result += StringPrototypeSlice(string, start, i) + replacement;
      start = i + 1;
    }
    return start === 0 ? string : result + StringPrototypeSlice(string, start);
  }
  const HEX_UPPER = "0123456789ABCDEF";
  const hex = (code, digits) => {
    let text = NumberPrototypeToString(code, 16);
    while (text.length < digits) text = "0" + text;
    let upper = "";
    for (let i = 0; i < text.length; i++) upper += HEX_UPPER[NumberParseInt(text[i], 16)];
    return upper;
  };

  const formatNumber = (number) => ObjectIs(number, -0) ? "-0" : "" + number;
  const formatBigInt = (number) => BigIntPrototypeToString(number) + "n";
  const escapeSymbol = (symbol) => escape(SymbolPrototypeToString(symbol), -1);

  function isIdentifier(key) {
    for (let i = 0; i < key.length; i++) {
      const code = StringPrototypeCharCodeAt(key, i);
      const letter = (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f;
      if (!letter && (i === 0 || code < 0x30 || code > 0x39)) return false;
    }
    return key.length > 0;
  }

  function isArrayIndex(key) {
    if (typeof key !== "string" || key.length === 0 || key.length > 10) return false;
    const number = +key;
    return number >= 0 && number < 4294967295 && MathFloor(number) === number && "" + number === key;
  }

  const plural = (count, noun) => count + " more " + noun + (count > 1 ? "s" : "");
  const indentLines = (text, columns) => columns === 0 ? text
    : StringPrototypeReplaceAll(text, "\n", "\n" + StringPrototypeRepeat(" ", columns));

  function join(pieces, separator) {
    let text = "";
    for (let i = 0; i < pieces.length; i++) text += i === 0 ? pieces[i] : separator + pieces[i];
    return text;
  }

  // ---- Reading objects without running their code ----

  // The value of a data property of the object or its prototypes, undefined if there is none or a getter.
  function dataProperty(object, key) {
    for (let holder = object; holder !== null; holder = ObjectGetPrototypeOf(holder)) {
      if (proxyDetails(holder) !== undefined) return undefined;
      const descriptor = ObjectGetOwnPropertyDescriptor(holder, key);
      if (descriptor !== undefined) return descriptor.value;
    }
    return undefined;
  }
  // Whether `prototype` is among the prototypes of the object, as far as no proxy stands in between.
  function inherits(object, prototype) {
    for (let holder = ObjectGetPrototypeOf(object); holder !== null; holder = ObjectGetPrototypeOf(holder)) {
      if (holder === prototype) return true;
      if (proxyDetails(holder) !== undefined) return false;
    }
    return false;
  }
  function ownString(object, key) {
    const descriptor = ObjectGetOwnPropertyDescriptor(object, key);
    return descriptor !== undefined && typeof descriptor.value === "string" ? descriptor.value : "";
  }

  // The name of the class of an object; null for an object without one, as Object.create(null) makes them.
  function className(object) {
    for (let holder = object; holder !== null; holder = ObjectGetPrototypeOf(holder)) {
      if (proxyDetails(holder) !== undefined) return constructorName(object);
      const descriptor = ObjectGetOwnPropertyDescriptor(holder, "constructor");
      if (descriptor === undefined || typeof descriptor.value !== "function" ||
          proxyDetails(descriptor.value) !== undefined) continue;
      const name = ownString(descriptor.value, "name");
      const prototype = ObjectGetOwnPropertyDescriptor(descriptor.value, "prototype");
      if (name !== "" && prototype !== undefined && isObject(prototype.value) &&
          inherits(object, prototype.value)) return name;
    }
    return ObjectGetPrototypeOf(object) === null ? null : constructorName(object) + " <Complex prototype>";
  }
  const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

  function prefix(name, tag, fallback, size = "") {
    if (name === null) {
      return "[" + fallback + size + ": null prototype] " + (tag !== "" && tag !== fallback ? "[" + tag + "] " : "");
    }
    return name + size + " " + (tag !== "" && tag !== name ? "[" + tag + "] " : "");
  }

  // Own enumerable keys, symbols included; of arrays and the like without the indices.
  function keysOf(object, skipIndices) {
    if (skipIndices) return namedKeys(object); // without a string for each index
    const keys = new List();
    const all = ReflectOwnKeys(object);
    for (let i = 0; i < all.length; i++) {
      const key = all[i];
      if (ObjectPrototypePropertyIsEnumerable(object, key)) keys[keys.length] = key;
    }
    return keys;
  }

  // ---- Objects of the runtime: what they hold lies behind getters of ours ----

  const fieldsOf = [
    ["URL", ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search",
      "searchParams", "hash"]],
    ["Request", ["method", "url", "headers", "redirect", "bodyUsed"]],
    ["Response", ["status", "statusText", "headers", "ok", "redirected", "type", "url", "bodyUsed"]],
    ["File", ["size", "type", "name", "lastModified"]],
    ["Blob", ["size", "type"]],
    ["AbortSignal", ["aborted"]],
    ["PerformanceEntry", ["name", "entryType", "startTime", "duration"]],
    ["Event", ["type", "defaultPrevented", "cancelable", "timeStamp"]],
  ];
  const listsOf = ["Headers", "URLSearchParams", "FormData"];

  function isInstance(name, value) {
    const constructor = ObjectGetOwnPropertyDescriptor(internals, name)?.value;
    return constructor !== undefined && inherits(value, constructor.prototype);
  }

  // ---- Inspection ----

  class Inspector {
    depth;
    seen;
    circular;
    indentation;
    currentDepth;
    constructor(depth) {
      this.depth = depth;
      this.seen = new List(); // the objects around the present one
      this.circular = new SafeMap(); // object -> number of its <ref *n>
      this.indentation = 0;
      this.currentDepth = 0;
    }

    value(value, level, inTypedArray = false) {
      switch (typeof value) {
        case "string": return this.string(value);
        case "number": return formatNumber(value);
        case "bigint": return formatBigInt(value);
        case "symbol": return escapeSymbol(value);
        case "boolean": return value ? "true" : "false";
        case "undefined": return "undefined";
      }
      if (value === null) return "null";
      for (let details = proxyDetails(value); details !== undefined; details = proxyDetails(value)) {
        value = details[0];
        if (!isObject(value)) return "<Revoked Proxy>";
      }
      for (let i = 0; i < this.seen.length; i++) {
        if (this.seen[i] !== value) continue;
        let index = this.circular.get(value);
        if (index === undefined) {
          index = this.circular.size + 1;
          this.circular.set(value, index);
        }
        return "[Circular *" + index + "]";
      }
      return this.object(value, level, inTypedArray);
    }

    string(string) {
      let trailer = "";
      if (string.length > STRING_LENGTH_MAX) {
        const rest = string.length - STRING_LENGTH_MAX;
        string = StringPrototypeSlice(string, 0, STRING_LENGTH_MAX);
        trailer = "... " + plural(rest, "character");
      }
      if (string.length <= 16 || string.length <= COLUMNS - this.indentation - 4) return quote(string) + trailer;
      const lines = new List();
      for (let start = 0; start < string.length;) {
        const feed = StringPrototypeIndexOf(string, "\n", start);
        const end = feed < 0 ? string.length : feed + 1;
        lines[lines.length] = quote(StringPrototypeSlice(string, start, end));
        start = end;
      }
      return join(lines, " +\n" + StringPrototypeRepeat(" ", this.indentation + 2)) + trailer;
    }

    object(value, level) {
      const name = className(value);
      let tag = dataProperty(value, SymbolToStringTag);
      // A tag that is listed among the properties need not be told twice.
      if (typeof tag !== "string" || ObjectPrototypePropertyIsEnumerable(value, SymbolToStringTag)) tag = "";
      const shape = this.shape(value, name, tag);
      if (typeof shape === "string") return shape;
      const { keys, lists, open, close, base } = shape;
      if (level > this.depth) {
        return "[" + StringPrototypeTrim(prefix(name, tag, ArrayIsArray(value) ? "Array" : "Object")) + "]";
      }
      this.seen[this.seen.length] = value;
      this.currentDepth = level;
      const output = new List();
      try {
        const first = lists(level + 1);
        for (let i = 0; i < first.length; i++) output[i] = first[i];
        for (let i = 0; i < keys.length; i++) {
          output[output.length] = this.property(value, keys[i], level + 1);
        }
      } finally {
        this.seen.length--;
      }
      const index = this.circular.get(value);
      const reference = index === undefined ? "" : "<ref *" + index + "> ";
      // An error's text stands where others have their brace.
      if (base === "") return this.arrange(output, "", reference + open, close, shape.isList, level, value);
      if (output.length === 0) return reference + base;
      return this.arrange(output, reference + base, open, close, shape.isList, level, value);
    }

    // How an object is shown: its text if there is nothing more to it, else { open, close, keys, lists, base,
    // isList }. lists(level) gives what stands before the properties.
    shape(value, name, tag) {
      const none = () => new List();
      const braces = (open, keys, lists = none) => ({ open, close: "}", keys, lists, base: "", isList: false });
      if (typeof value === "function") return this.withBase(functionBase(value, name, tag), keysOf(value, false));
      const kind = classify(value);
      if (ArrayIsArray(value)) return this.arrayShape(value, name, tag);
      switch (kind) {
        case TYPED_ARRAY: return this.typedArrayShape(value, name);
        case SET: case MAP: return this.collectionShape(value, name, tag, kind);
        case MAP_ITERATOR: case SET_ITERATOR:
          return braces("[" + (tag || (kind === MAP_ITERATOR ? "Map Iterator" : "Set Iterator")) + "] {",
            keysOf(value, false), (level) => this.iterator(value, level));
        case ARGUMENTS:
          return {
            open: "[Arguments] [", close: "]", keys: keysOf(value, true), base: "", isList: true,
            lists: (level) => this.arrayItems(value, value.length, level),
          };
        case REGEXP: {
          const start = prefix(name, tag, "RegExp");
          return this.withBase((start === "RegExp " ? "" : start) + RegExpPrototypeToString(value),
            keysOf(value, false));
        }
        case DATE: {
          const time = DatePrototypeGetTime(value);
          const start = prefix(name, tag, "Date");
          return this.withBase((start === "Date " ? "" : start) +
            (time !== time ? "Invalid Date" : DatePrototypeToISOString(value)), keysOf(value, false));
        }
        case ERROR: return this.errorShape(value, name, tag);
        case ARRAY_BUFFER: case SHARED_ARRAY_BUFFER:
          return braces(prefix(name, tag, kind === ARRAY_BUFFER ? "ArrayBuffer" : "SharedArrayBuffer") + "{",
            keysOf(value, false), () => bufferItems(value, kind));
        case DATA_VIEW:
          return braces(prefix(name, tag, "DataView") + "{", keysOf(value, false), (level) => [
            "byteLength: " + DataViewPrototypeGetByteLength(value),
            "byteOffset: " + DataViewPrototypeGetByteOffset(value),
            "buffer: " + this.indented(() => this.value(DataViewPrototypeGetBuffer(value), level)),
          ]);
        case PROMISE:
          return braces(prefix(name, tag, "Promise") + "{", keysOf(value, false),
            (level) => this.promise(value, level));
        case WEAK_MAP: case WEAK_SET:
          return braces(prefix(name, tag, kind === WEAK_MAP ? "WeakMap" : "WeakSet") + "{", keysOf(value, false),
            () => ["<items unknown>"]);
        case WEAK_REF:
          return braces(prefix(name, tag, "WeakRef") + "{", keysOf(value, false), () => ["<ref>"]);
        case NAMESPACE:
          return braces("[" + (name ?? "Module") + ": null prototype] {", [], (level) => this.namespace(value, level));
        case BOXED: return this.boxedShape(value, name, tag);
        case EXTERNAL: return "[External]";
      }
      return this.platformShape(value, name, tag) ?? this.plainShape(value, name, tag);
    }

    plainShape(value, name, tag) {
      if (inherits(value, ErrorPrototype)) return this.errorShape(value, name, tag);
      const keys = keysOf(value, false);
      const open = name === "Object" && tag === "" ? "{" : prefix(name, tag, "Object") + "{";
      if (keys.length === 0) return open + "}";
      return { open, close: "}", keys, lists: () => new List(), base: "", isList: false };
    }

    withBase(base, keys) {
      return keys.length === 0 ? base : { open: "{", close: "}", keys, lists: () => new List(), base, isList: false };
    }

    arrayShape(value, name, tag) {
      const keys = keysOf(value, true);
      const start = name === "Array" && tag === "" ? "" : prefix(name, tag, "Array", "(" + value.length + ")");
      if (value.length === 0 && keys.length === 0) return start + "[]";
      return {
        open: start + "[", close: "]", keys, base: "", isList: true,
        lists: (level) => this.arrayItems(value, value.length, level),
      };
    }

    typedArrayShape(value, name) {
      const keys = keysOf(value, true);
      const length = TypedArrayPrototypeGetLength(value);
      const type = TypedArrayPrototypeGetSymbolToStringTag(value);
      const open = prefix(name, name === type ? "" : type, type, "(" + length + ")") + "[";
      if (length === 0 && keys.length === 0) return open + "]";
      return {
        open, close: "]", keys, base: "", isList: true,
        lists: () => {
          const output = new List();
          const shown = MathMin(ITEMS_MAX, length);
          for (let i = 0; i < shown; i++) {
            output[i] = typeof value[i] === "bigint" ? formatBigInt(value[i]) : formatNumber(value[i]);
          }
          if (length > shown) output[shown] = "... " + plural(length - shown, "item");
          return output;
        },
      };
    }

    collectionShape(value, name, tag, kind) {
      const keys = keysOf(value, false);
      const size = kind === MAP ? MapPrototypeGetSize(value) : SetPrototypeGetSize(value);
      const open = prefix(name, tag, kind === MAP ? "Map" : "Set", "(" + size + ")") + "{";
      if (size === 0 && keys.length === 0) return open + "}";
      return {
        open, close: "}", keys, base: "", isList: false,
        lists: (level) => {
          const output = new List();
          this.indentation += 2;
          const add = kind === MAP
            ? (item, key) => this.value(key, level) + " => " + this.value(item, level)
            : (item) => this.value(item, level);
          let count = 0;
          const visit = (item, key) => {
            if (count++ < ITEMS_MAX) output[output.length] = add(item, key);
          };
          if (kind === MAP) MapPrototypeForEach(value, visit);
          else SetPrototypeForEach(value, visit);
          if (count > ITEMS_MAX) output[output.length] = "... " + plural(count - ITEMS_MAX, "item");
          this.indentation -= 2;
          return output;
        },
      };
    }

    boxedShape(value, name, tag) {
      const { type, primitive } = unbox(value);
      let base = "[" + type;
      if (name !== type) base += name === null ? " (null prototype)" : " (" + name + ")";
      base += ": " + (type === "String" ? quote(primitive) : this.value(primitive, 0)) + "]";
      if (tag !== "" && tag !== name) base += " [" + tag + "]";
      return this.withBase(base, keysOf(value, type === "String"));
    }

    errorShape(error, name, tag) {
      const keys = keysOf(error, false);
      const errorName = readString(error, "name") ?? "Error";
      const message = readString(error, "message") ?? "";
      let stack = stackOf(error);
      // What the stack says already is not listed again.
      for (let i = 0; i < keys.length;) {
        const key = keys[i];
        const told = (key === "name" || key === "message" || key === "stack") &&
          StringPrototypeIncludes(stack, ownString(error, key));
        if (told) removeAt(keys, i);
        else i++;
      }
      addKey(keys, error, "cause");
      if (ArrayIsArray(dataProperty(error, "errors"))) addKey(keys, error, "errors");
      stack = improveStack(stack, name, errorName, tag);
      const messageAt = message === "" ? -1 : StringPrototypeIndexOf(stack, message);
      const frames = StringPrototypeIndexOf(stack, "\n    at", messageAt < 0 ? 0 : messageAt + message.length);
      const base = frames < 0 ? "[" + stack + "]"
        : StringPrototypeSlice(stack, 0, frames) + appFrames(StringPrototypeSlice(stack, frames));
      return this.withBase(indentLines(base, this.indentation), keys);
    }

    platformShape(value, name, tag) {
      for (let i = 0; i < listsOf.length; i++) {
        if (isInstance(listsOf[i], value)) return this.listShape(value, listsOf[i], name, tag);
      }
      for (let i = 0; i < fieldsOf.length; i++) {
        const fields = fieldsOf[i][1];
        if (!isInstance(fieldsOf[i][0], value)) continue;
        return {
          open: prefix(name, tag, fieldsOf[i][0]) + "{", close: "}", base: "", isList: false,
          keys: keysOf(value, false),
          lists: (level) => {
            const output = new List();
            for (let j = 0; j < fields.length; j++) {
              try {
                const field = value[fields[j]];
                output[output.length] = fields[j] + ": " + this.indented(() => this.value(field, level));
              } catch {
                // An object that only inherits from the interface.
              }
            }
            return output;
          },
        };
      }
      return undefined;
    }

    listShape(value, interfaceName, name, tag) {
      const keys = keysOf(value, false);
      const open = prefix(name, tag, interfaceName) + "{";
      const entries = new List();
      try {
        const constructor = internals[interfaceName];
        ReflectApply(constructor.prototype.forEach, value, [(item, key) => {
          entries[entries.length] = [key, item];
        }]);
      } catch {
        // An object that only inherits from the interface.
      }
      if (entries.length === 0 && keys.length === 0) return open + "}";
      return {
        open, close: "}", keys, base: "", isList: false,
        lists: (level) => {
          const output = new List();
          this.indentation += 2;
          for (let i = 0; i < entries.length; i++) {
            output[i] = this.value(entries[i][0], level) + " => " + this.value(entries[i][1], level);
          }
          this.indentation -= 2;
          return output;
        },
      };
    }

    indented(format) {
      this.indentation += 2;
      const text = format();
      this.indentation -= 2;
      return text;
    }

    arrayItems(array, length, level) {
      const output = new List();
      const shown = MathMin(ITEMS_MAX, length);
      let index = 0;
      while (index < length && output.length < shown) {
        if (ObjectHasOwn(array, index)) {
          output[output.length] = this.property(array, index, level, true);
          index++;
          continue;
        }
        const start = index;
        // A sparse array may be long: its keys tell where it goes on.
        const next = length - start > 1000 ? nextIndex(array, start) : start + 1;
        index = next;
        while (index < length && !ObjectHasOwn(array, index) && next === start + 1) index++;
        if (index > length) index = length;
        output[output.length] = "<" + (index - start) + " empty item" + (index - start > 1 ? "s" : "") + ">";
      }
      if (index < length) output[output.length] = "... " + plural(length - index, "item");
      return output;
    }

    iterator(value, level) {
      const preview = previewEntries(value);
      if (preview === undefined) return [];
      const { 0: items, 1: isKeyValue } = preview;
      const output = new List();
      this.indentation += 2;
      for (let i = 0; i < items.length && output.length < ITEMS_MAX; i++) {
        if (isKeyValue) {
          output[output.length] = "[ " + this.value(items[i], level) + ", " + this.value(items[i + 1], level) + " ]";
          i++;
        } else {
          output[output.length] = this.value(items[i], level);
        }
      }
      this.indentation -= 2;
      return output;
    }

    promise(value, level) {
      const state = promiseState(value);
      if (state === 0) return ["<pending>"];
      return this.indented(() => {
        const text = this.value(promiseResult(value), level);
        return [state === 2 ? "<rejected> " + text : text];
      });
    }

    namespace(value, level) {
      const keys = ReflectOwnKeys(value);
      const output = new List();
      for (let i = 0; i < keys.length; i++) {
        if (typeof keys[i] === "symbol") continue;
        try {
          output[output.length] = this.property(value, keys[i], level);
        } catch {
          output[output.length] = keyText(keys[i], true) + ": <uninitialized>";
        }
      }
      return output;
    }

    property(object, key, level, valueOnly = false) {
      const descriptor = ObjectGetOwnPropertyDescriptor(object, key) ?? { value: undefined, enumerable: true };
      let text;
      if (descriptor.get !== undefined) text = descriptor.set !== undefined ? "[Getter/Setter]" : "[Getter]";
      else if (descriptor.set !== undefined) text = "[Setter]";
      else text = this.indented(() => this.value(descriptor.value, level));
      return valueOnly ? text : keyText(key, descriptor.enumerable) + ": " + text;
    }

    // Puts the pieces of an object together: on one line if it is short and not too deep, in columns if it
    // is an array of many short items, else each on a line of its own.
    arrange(output, base, open, close, isList, level, value) {
      const count = output.length;
      if (isList && count > 6) output = this.columns(output, value);
      const head = base === "" ? open : base + " " + open;
      if (output.length === 0) return head + close;
      if (this.currentDepth - level < LEVELS_ON_ONE_LINE && count === output.length) {
        let length = 2 * output.length + this.indentation + open.length + base.length + 10;
        for (let i = 0; i < output.length && length <= COLUMNS; i++) length += output[i].length;
        if (length <= COLUMNS && !StringPrototypeIncludes(base, "\n")) {
          const line = join(output, ", ");
          if (!StringPrototypeIncludes(line, "\n")) return head + " " + line + " " + close;
        }
      }
      const lineStart = "\n" + StringPrototypeRepeat(" ", this.indentation);
      return head + lineStart + "  " + join(output, "," + lineStart + "  ") + lineStart + close;
    }

    // Lines of equally wide columns, about as high as wide.
    columns(output, value) {
      const more = value.length > ITEMS_MAX && output.length > ITEMS_MAX ? 1 : 0; // "... n more items"
      const count = output.length - more;
      let total = 0;
      let longest = 0;
      for (let i = 0; i < count; i++) {
        const length = output[i].length;
        total += length + 2;
        if (length > longest) longest = length;
      }
      const width = longest + 2;
      if (width * 3 + this.indentation >= COLUMNS || (total / width <= 5 && longest > 6)) return output;
      const bias = MathMax(width - 3 - MathSqrt(width - total / output.length), 1);
      const columns = MathMin(MathRound(MathSqrt(2.5 * bias * count) / bias),
        MathFloor((COLUMNS - this.indentation) / width), LEVELS_ON_ONE_LINE * 4, 15);
      if (columns <= 1) return output;
      const widths = new List();
      for (let i = 0; i < columns; i++) {
        let widest = 0;
        for (let j = i; j < count; j += columns) if (output[j].length > widest) widest = output[j].length;
        widths[i] = widest + 2;
      }
      let numbers = true;
      for (let i = 0; i < count && numbers; i++) {
        const item = ObjectGetOwnPropertyDescriptor(value, i)?.value;
        numbers = typeof item === "number" || typeof item === "bigint";
      }
      const pad = numbers ? StringPrototypePadStart : StringPrototypePadEnd;
      const lines = new List();
      for (let i = 0; i < count; i += columns) {
        const last = MathMin(i + columns, count) - 1;
        let line = "";
        for (let j = i; j < last; j++) {
          const cell = output[j] + ", ";
          line += pad(cell, widths[j - i], " ");
        }
        line += numbers ? StringPrototypePadStart(output[last], widths[last - i] - 2, " ") : output[last];
        lines[lines.length] = line;
      }
      if (more === 1) lines[lines.length] = output[count];
      return lines;
    }
  }

  // ---- Parts of it ----

  function keyText(key, enumerable) {
    if (typeof key === "symbol") return "[" + escapeSymbol(key) + "]";
    key = String(key);
    if (key === "__proto__") return "['__proto__']";
    if (!enumerable) return "[" + escape(key, -1) + "]";
    return isIdentifier(key) ? key : quote(key);
  }

  const NEAR = 1000;
  function nextIndex(array, from) {
    // Mostly it is near. The keys of a large array are many; those of one with large holes are not.
    const near = MathMin(from + NEAR, array.length);
    for (let i = from; i < near; i++) if (ObjectHasOwn(array, i)) return i;
    const keys = ReflectOwnKeys(array);
    for (let i = 0; i < keys.length; i++) if (isArrayIndex(keys[i]) && +keys[i] >= from) return +keys[i];
    return array.length;
  }

  function removeAt(array, index) {
    for (let i = index; i + 1 < array.length; i++) array[i] = array[i + 1];
    array.length--;
  }

  function addKey(keys, object, key) {
    if (!ObjectHasOwn(object, key)) return;
    for (let i = 0; i < keys.length; i++) if (keys[i] === key) return;
    keys[keys.length] = key;
  }

  function functionBase(value, name, tag) {
    const source = FunctionPrototypeToString(value);
    const ownName = ownString(value, "name");
    const tagText = tag !== "" && tag !== name ? " [" + tag + "]" : "";
    if (StringPrototypeStartsWith(source, "class") && StringPrototypeEndsWith(source, "}")) {
      let text = "[class " + (ownName || "(anonymous)");
      if (name !== "Function" && name !== null) text += " [" + name + "]";
      const parent = ObjectGetPrototypeOf(value);
      if (parent === null) text += " extends [null prototype]";
      else if (typeof parent === "function" && proxyDetails(parent) === undefined && ownString(parent, "name") !== "") {
        text += tagText + " extends " + ownString(parent, "name");
      } else text += tagText;
      return text + "]";
    }
    let type = "Function";
    const prototype = ObjectGetPrototypeOf(value);
    if (prototype === AsyncFunctionPrototype) type = "AsyncFunction";
    else if (prototype === GeneratorFunctionPrototype) type = "GeneratorFunction";
    else if (prototype === AsyncGeneratorFunctionPrototype) type = "AsyncGeneratorFunction";
    let text = "[" + type + (name === null ? " (null prototype)" : "");
    text += ownName === "" ? " (anonymous)" : ": " + ownName;
    return text + "]" + (name !== type && name !== null ? " " + name : "") +
      (tag !== "" && tag !== name && tag !== type ? " [" + tag + "]" : "");
  }

  function unbox(value) {
    const attempts = [
      ["Number", NumberPrototypeValueOf], ["String", StringPrototypeValueOf], ["Boolean", BooleanPrototypeValueOf],
      ["BigInt", BigIntPrototypeValueOf], ["Symbol", SymbolPrototypeValueOf],
    ];
    for (let i = 0; i < attempts.length; i++) {
      try {
        return { type: attempts[i][0], primitive: attempts[i][1](value) };
      } catch {
        // It is one of the others.
      }
    }
    return { type: "Object", primitive: undefined };
  }

  function bufferItems(buffer, kind) {
    if (kind === ARRAY_BUFFER && ArrayBufferPrototypeGetDetached(buffer)) return ["(detached)", "byteLength: 0"];
    const bytes = new Uint8Array(buffer);
    const length = TypedArrayPrototypeGetLength(bytes);
    let text = "";
    const shown = MathMin(ITEMS_MAX / 2, length);
    for (let i = 0; i < shown; i++) {
      const byte = NumberPrototypeToString(bytes[i], 16);
      text += (i === 0 ? "" : " ") + (byte.length === 1 ? "0" : "") + byte;
    }
    if (length > shown) text += " ... " + plural(length - shown, "byte");
    const byteLength = kind === ARRAY_BUFFER ? ArrayBufferPrototypeGetByteLength(buffer) : length;
    return ["[Uint8Contents]: <" + text + ">", "byteLength: " + byteLength];
  }

  // A property of an error, a getter of the engine's or ours among them; null if it is none or throws.
  function readString(error, key) {
    try {
      const value = error[key];
      return value === undefined || value === null ? null : String(value);
    } catch {
      return null;
    }
  }

  function stackOf(error) {
    const stack = readString(error, "stack");
    if (stack !== null && stack !== "") return stack;
    try {
      return ErrorPrototypeToString(error);
    } catch {
      return "Error";
    }
  }

  // Names the class in the first line of the stack when that only says "Error".
  function improveStack(stack, name, errorName, tag) {
    const start = prefix(name, tag, "Error");
    const wanted = StringPrototypeSlice(start, 0, start.length - 1);
    if (wanted === errorName || (name !== null && !StringPrototypeEndsWith(errorName, "Error"))) return stack;
    if (!StringPrototypeStartsWith(stack, errorName)) return stack;
    const rest = StringPrototypeSlice(stack, errorName.length);
    if (rest !== "" && rest[0] !== ":" && rest[0] !== "\n") return stack;
    return StringPrototypeIncludes(wanted, errorName) ? wanted + rest : wanted + " [" + errorName + "]" + rest;
  }

  // Stack lines without those of the runtime's own scripts.
  function appFrames(text) {
    const lines = StringPrototypeSplit(text, "\n");
    let result = "";
    for (let i = 1; i < lines.length; i++) {
      if (StringPrototypeIncludes(lines[i], "(nano:") || StringPrototypeIncludes(lines[i], "at nano:")) continue;
      result += "\n" + lines[i];
    }
    return result;
  }

  internals.inspect = function inspect(value, depth = 2) {
    try {
      return new Inspector(depth).value(value, 0);
    } catch (error) {
      if (isStackOverflow(error)) return "[an object nested too deeply to be shown]";
      throw error;
    }
  };
  const isStackOverflow = (error) => inherits(error, RangeErrorPrototype);

  // ---- Formats ----

  // Whether String(object) would give no more than "[object Object]".
  function hasBuiltInToString(object) {
    if (proxyDetails(object) !== undefined) return true;
    const own = dataProperty(object, "toString");
    if (own === ObjectPrototype.toString || typeof own !== "function") return true;
    const kind = classify(object);
    if (kind !== 0 || ArrayIsArray(object)) return kind !== ERROR && kind !== BOXED;
    return false;
  }

  function formatOne(specifier, value) {
    switch (specifier) {
      case "s":
        if (typeof value === "number") return formatNumber(value);
        if (typeof value === "bigint") return formatBigInt(value);
        if (typeof value !== "object" || value === null || !hasBuiltInToString(value)) return String(value);
        return internals.inspect(value, 0);
      case "d":
        if (typeof value === "bigint") return formatBigInt(value);
        return typeof value === "symbol" ? "NaN" : formatNumber(isObject(value) ? NaN : Number(value));
      case "i":
        if (typeof value === "bigint") return formatBigInt(value);
        return typeof value === "symbol" || isObject(value) ? "NaN" : formatNumber(NumberParseInt(value));
      case "f":
        return typeof value === "symbol" || isObject(value) ? "NaN" : formatNumber(NumberParseFloat(value));
      case "j":
        try {
          return String(JSONStringify(value));
        } catch {
          return "[Circular]";
        }
      case "o": return internals.inspect(value, 4);
      case "O": return internals.inspect(value);
      default: return ""; // %c: style sheets mean nothing here
    }
  }

  internals.formatLog = function formatLog(args) {
    const count = args.length;
    if (count === 0) return "";
    const first = args[0];
    let next = 0;
    let text = "";
    if (typeof first === "string") {
      if (count === 1) return first;
      next = 1;
      let start = 0; // of what is not yet in text
      for (let i = 0; i + 1 < first.length; i++) {
        if (first[i] !== "%") continue;
        const specifier = first[i + 1];
        if (specifier === "%") {
          text += StringPrototypeSlice(first, start, i + 1);
        } else if (next < count && StringPrototypeIncludes("sdifjoOc", specifier)) {
          text += StringPrototypeSlice(first, start, i) + formatOne(specifier, args[next++]);
        } else {
          continue;
        }
        i++;
        start = i + 1;
      }
      text += StringPrototypeSlice(first, start);
    }
    for (; next < count; next++) {
      if (next > 0) text += " ";
      text += typeof args[next] === "string" ? args[next] : internals.inspect(args[next]);
    }
    return text;
  };
})
