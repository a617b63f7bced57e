// Announces what the lazy scripts define: the script behind a global runs when the global is first read,
// and the one behind a hook on internals when that is first read.
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty } = internals.primordials;
  const { lazy } = internals;

  lazy(["DOMException", "Event", "CustomEvent", "EventTarget", "AbortController", "AbortSignal"], "50_events");
  lazy(["Blob", "File", "FormData"], "51_blob");
  lazy(["URL", "URLSearchParams"], "52_url");
  lazy([
    "ByteLengthQueuingStrategy", "CountQueuingStrategy", "ReadableByteStreamController", "ReadableStream",
    "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableStreamDefaultController",
    "ReadableStreamDefaultReader", "TransformStream", "TransformStreamDefaultController", "WritableStream",
    "WritableStreamDefaultController", "WritableStreamDefaultWriter",
  ], "53_streams");
  lazy(["TextEncoder", "TextDecoder"], "54_encoding");
  lazy(["TextEncoderStream", "TextDecoderStream"], "57_encoding_streams");
  lazy(["console"], "56_console");
  lazy(["atob", "btoa", "structuredClone", "crypto", "navigator"], "58_globals", true);
  lazy(["Crypto", "Navigator"], "58_globals");
  lazy(["performance"], "59_performance", true);
  lazy(["Performance"], "59_performance");

  // Hooks that other scripts and the C++ side may call before their script was loaded.
  function lazyHooks(names, script) {
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      ObjectDefineProperty(internals, name, {
        __proto__: null,
        get() {
          internals.load(script);
          return internals[name];
        },
        set(value) {
          ObjectDefineProperty(internals, name, { __proto__: null, value, writable: true, enumerable: true });
        },
        configurable: true,
      });
    }
  }
  lazyHooks(["DOMException", "abort", "domException", "events", "throwDataCloneError"], "50_events");
  lazyHooks(["formatLog", "inspect"], "55_inspect");
})
