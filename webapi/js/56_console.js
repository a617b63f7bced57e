// console (Console Standard, https://console.spec.whatwg.org/). Lines go to the app's log with the id of the
// request that is running.
(function (ops, internals) {
  "use strict";
  const {
    ArrayIsArray, Error, List, MapPrototypeForEach, NumberPrototypeToFixed, ObjectCreate,
    ObjectDefineProperty, ObjectGetOwnPropertyDescriptor, ObjectKeys, ObjectPrototype, SafeMap,
    SetPrototypeForEach, StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypePadEnd,
    StringPrototypeRepeat, StringPrototypeReplaceAll, StringPrototypeSlice, StringPrototypeSplit,
    SymbolToStringTag, TypedArrayPrototypeGetLength,
  } = internals.primordials;
  const { currentExchange, webidl } = internals;
  const { classify, log, now } = ops;

  const DEBUG = 0, INFO = 1, WARN = 2, ERROR = 3;
  const CLASS_MAP = 4, CLASS_SET = 5, CLASS_TYPED_ARRAY = 15;

  let indentation = ""; // of console.group
  const counts = new SafeMap();
  const timers = new SafeMap(); // label -> milliseconds at start

  function write(level, text) {
    if (indentation !== "") text = indentation + StringPrototypeReplaceAll(text, "\n", "\n" + indentation);
    // Not by internals.logUnder: each function on the way costs, since the log op looks for who has called them.
    const exchange = currentExchange();
    if (exchange === undefined) log(undefined, 0, level, text, true);
    else log(exchange.words, exchange.offset, level, text, exchange.ended);
  }
  const print = (level, args) => write(level, internals.formatLog(args));
  const labelOf = (label) => label === undefined ? "default" : webidl.DOMString(label, "console");

  function elapsed(milliseconds) {
    if (milliseconds >= 1000) return NumberPrototypeToFixed(milliseconds / 1000, 3) + "s";
    return NumberPrototypeToFixed(milliseconds, 3) + "ms";
  }

  // ---- console.table ----

  const INDEX = "(index)";
  const VALUES = "Values";
  const isObject = (value) => typeof value === "object" && value !== null;

  // Rows of a table: [key, value] of what is iterable or has properties.
  function rowsOf(data) {
    const rows = new List();
    const kind = classify(data);
    if (kind === CLASS_MAP) {
      MapPrototypeForEach(data, (value, key) => {
        rows[rows.length] = { key: rows.length, entryKey: key, value };
      });
    } else if (kind === CLASS_SET) {
      SetPrototypeForEach(data, (value) => {
        rows[rows.length] = { key: rows.length, value };
      });
    } else if (kind === CLASS_TYPED_ARRAY) {
      const length = TypedArrayPrototypeGetLength(data);
      for (let i = 0; i < length; i++) rows[i] = { key: i, value: data[i] };
    } else {
      const keys = ObjectKeys(data);
      for (let i = 0; i < keys.length; i++) rows[i] = { key: keys[i], value: data[keys[i]] };
    }
    return rows;
  }

  function tableOf(data, only) {
    const rows = rowsOf(data);
    const isMap = classify(data) === CLASS_MAP;
    const columns = new List();
    columns[0] = isMap || classify(data) === CLASS_SET ? "(iteration index)" : INDEX;
    if (isMap) columns[1] = "Key";
    const places = new SafeMap(); // property -> column
    if (only !== undefined) {
      for (let i = 0; i < only.length; i++) {
        places.set(only[i], columns.length);
        columns[columns.length] = only[i];
      }
    }
    const lines = new List();
    let withValues = false;
    for (let i = 0; i < rows.length; i++) {
      const { key, entryKey, value } = rows[i];
      const cells = new List();
      cells[0] = "" + key;
      if (isMap) cells[1] = internals.inspect(entryKey, 0);
      const line = { cells, rest: undefined };
      if (isObject(value) && !isMap) {
        const keys = only ?? ObjectKeys(value);
        for (let j = 0; j < keys.length; j++) {
          if (!places.has(keys[j])) {
            places.set(keys[j], columns.length);
            columns[columns.length] = keys[j];
          }
          const descriptor = ObjectGetOwnPropertyDescriptor(value, keys[j]);
          if (descriptor !== undefined) {
            cells[places.get(keys[j])] = "value" in descriptor ? internals.inspect(descriptor.value, 0) : "[Getter]";
          }
        }
      } else {
        withValues = true;
        line.rest = internals.inspect(value, 0);
      }
      lines[i] = line;
    }
    if (withValues) columns[columns.length] = VALUES;
    const cells = new List();
    for (let i = 0; i < lines.length; i++) {
      const row = new List();
      for (let j = 0; j < columns.length; j++) row[j] = lines[i].cells[j] ?? "";
      if (lines[i].rest !== undefined) row[columns.length - 1] = lines[i].rest;
      cells[i] = row;
    }
    return drawTable(columns, cells);
  }

  function drawTable(columns, rows) {
    const widths = new List();
    for (let j = 0; j < columns.length; j++) {
      let width = columns[j].length;
      for (let i = 0; i < rows.length; i++) if (rows[i][j].length > width) width = rows[i][j].length;
      widths[j] = width + 2;
    }
    const rule = (left, middle, right) => {
      let line = left;
      for (let j = 0; j < widths.length; j++) {
        line += (j === 0 ? "" : middle) + StringPrototypeRepeat("\u2500", widths[j]);
      }
      return line + right;
    };
    const draw = (cells) => {
      let line = "\u2502";
      for (let j = 0; j < widths.length; j++) line += StringPrototypePadEnd(" " + cells[j], widths[j], " ") + "\u2502";
      return line;
    };
    let text = rule("\u250c", "\u252c", "\u2510") + "\n" + draw(columns) + "\n" +
      rule("\u251c", "\u253c", "\u2524") + "\n";
    for (let i = 0; i < rows.length; i++) text += draw(rows[i]) + "\n";
    return text + rule("\u2514", "\u2534", "\u2518");
  }

  // ---- The namespace ----

  const methods = {
    assert(condition = false, ...data) {
      if (condition) return;
      if (typeof data[0] === "string") {
        data[0] = "Assertion failed: " + data[0];
        print(ERROR, data);
      } else if (data.length === 0) {
        write(ERROR, "Assertion failed");
      } else {
        write(ERROR, "Assertion failed " + internals.formatLog(data));
      }
    },
    clear() {
      indentation = "";
    },
    debug(...data) {
      write(DEBUG, internals.formatLog(data));
    },
    error(...data) {
      write(ERROR, internals.formatLog(data));
    },
    info(...data) {
      write(INFO, internals.formatLog(data));
    },
    log(...data) {
      write(INFO, internals.formatLog(data));
    },
    table(tabularData = undefined, properties = undefined) {
      if (!isObject(tabularData)) print(INFO, [tabularData]);
      else write(INFO, tableOf(tabularData, ArrayIsArray(properties) ? copyNames(properties) : undefined));
    },
    trace(...data) {
      const error = new Error();
      const at = StringPrototypeIndexOf(error.stack, "\n");
      const text = internals.formatLog(data);
      write(DEBUG, "Trace" + (text === "" ? "" : ": " + text) + ownFrames(StringPrototypeSlice(error.stack, at)));
    },
    warn(...data) {
      write(WARN, internals.formatLog(data));
    },
    dir(item = undefined, options = undefined) {
      const depth = isObject(options) ? options.depth : undefined;
      write(INFO, internals.inspect(item, depth === null ? Infinity : typeof depth === "number" ? depth : 2));
    },
    dirxml(...data) {
      print(INFO, data);
    },
    count(label = undefined) {
      label = labelOf(label);
      const count = (counts.get(label) ?? 0) + 1;
      counts.set(label, count);
      write(INFO, label + ": " + count);
    },
    countReset(label = undefined) {
      label = labelOf(label);
      if (counts.has(label)) counts.set(label, 0);
      else write(WARN, "Count for '" + label + "' does not exist");
    },
    group(...data) {
      if (data.length > 0) print(INFO, data);
      indentation += "  ";
    },
    groupCollapsed(...data) {
      if (data.length > 0) print(INFO, data);
      indentation += "  ";
    },
    groupEnd() {
      indentation = StringPrototypeSlice(indentation, 2);
    },
    time(label = undefined) {
      label = labelOf(label);
      if (timers.has(label)) write(WARN, "Timer '" + label + "' already exists");
      else timers.set(label, now());
    },
    timeLog(label = undefined, ...data) {
      label = labelOf(label);
      reportTimer(label, data);
    },
    timeEnd(label = undefined) {
      label = labelOf(label);
      reportTimer(label, []);
      timers.delete(label);
    },
  };

  function copyNames(properties) {
    const names = new List();
    for (let i = 0; i < properties.length; i++) names[i] = webidl.DOMString(properties[i], "console.table");
    return names;
  }

  // The stack lines of the app's code.
  function ownFrames(text) {
    const lines = StringPrototypeSplit(text, "\n");
    let result = "";
    for (let i = 1; i < lines.length; i++) {
      if (!StringPrototypeIncludes(lines[i], "nano:")) result += "\n" + lines[i];
    }
    return result;
  }

  function reportTimer(label, data) {
    const start = timers.get(label);
    if (start === undefined) {
      write(WARN, "Timer '" + label + "' does not exist");
      return;
    }
    const text = internals.formatLog(data);
    write(INFO, label + ": " + elapsed(now() - start) + (text === "" ? "" : " " + text));
  }

  // The prototype of a namespace object is an empty object of its own (Console Standard 1).
  const console = ObjectCreate(ObjectCreate(ObjectPrototype));
  const names = ObjectKeys(methods);
  for (let i = 0; i < names.length; i++) {
    ObjectDefineProperty(console, names[i], {
      __proto__: null, value: methods[names[i]], writable: true, enumerable: true, configurable: true,
    });
  }
  ObjectDefineProperty(console, SymbolToStringTag, {
    __proto__: null, value: "console", writable: false, enumerable: false, configurable: true,
  });
  internals.define("console", console);
})
