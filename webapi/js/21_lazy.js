// Announces what the lazy scripts define: the script behind a global runs when the global is first read,
// and the one behind a hook on internals when that is first read.
(function (ops, internals) {
  "use strict";
  const { ObjectDefineProperty } = internals.primordials;
  const { lazy } = internals;

  lazy([
    "DOMException", "Event", "CustomEvent", "EventTarget", "AbortController", "AbortSignal", "WorkerGlobalScope",
  ], "50_events");
  lazy(["addEventListener", "removeEventListener", "dispatchEvent"], "50_events", true);
  lazy(["Blob", "File", "FormData"], "51_blob");
  lazy(["caches"], "79_caches", true);
  lazy(["Cache", "CacheStorage"], "79_caches");
  lazy(["FileReader", "FileReaderSync", "ProgressEvent"], "51_file_reader");
  lazy(["URL", "URLSearchParams"], "52_url");
  lazy(["URLPattern"], "75_urlpattern");
  lazy([
    "ByteLengthQueuingStrategy", "CountQueuingStrategy", "ReadableByteStreamController", "ReadableStream",
    "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableStreamDefaultController",
    "ReadableStreamDefaultReader", "TransformStream", "TransformStreamDefaultController", "WritableStream",
    "WritableStreamDefaultController", "WritableStreamDefaultWriter",
  ], "53_streams");
  lazy(["FixedLengthStream", "IdentityTransformStream"], "68_fixed_length");
  lazy(["CompressionStream", "DecompressionStream"], "72_compression");
  lazy(["TextEncoder", "TextDecoder"], "54_encoding");
  lazy(["HTMLRewriter"], "74_html_rewriter");
  lazy(["TextEncoderStream", "TextDecoderStream"], "57_encoding_streams");
  lazy(["console"], "56_console");
  lazy(["atob", "btoa", "navigator"], "58_globals", true);
  lazy(["Cloudflare", "Navigator"], "58_globals");
  lazy(["Performance"], "59_performance");
  lazy([
    "PerformanceEntry", "PerformanceMark", "PerformanceMeasure", "PerformanceObserver",
    "PerformanceObserverEntryList", "PerformanceResourceTiming",
  ], "71_performance_entries");
  lazy(["fetch"], "60_fetch", true);
  lazy(["WebSocket", "WebSocketPair"], "62_websocket");
  lazy(["EventSource"], "63_eventsource");
  lazy(["Fetcher"], "64_bindings");
  lazy(["CloseEvent", "ErrorEvent", "MessageEvent"], "65_message_events");
  lazy(["Scheduler"], "66_scheduler");
  lazy(["scheduler", "setImmediate", "clearImmediate"], "66_scheduler", true);
  lazy(["crypto"], "73_crypto", true);
  lazy(["Crypto"], "73_crypto");
  lazy(["CryptoKey", "SubtleCrypto"], "73_subtle");
  lazy(["structuredClone"], "76_clone", true);
  lazy(["MessageChannel", "MessagePort"], "76_messaging");
  lazy(["BroadcastChannel"], "76_broadcast");
  lazy(["ExtendableEvent", "FetchEvent", "ScheduledEvent"], "78_service_worker");
  lazy(["PromiseRejectionEvent"], "79_error_events");

  // What modules of the runtime export: C++ puts it on the import.meta of one whose name begins with "nano:".
  // isolates/modules.go has their sources.
  internals.moduleExports = function moduleExports(name) {
    if (name === "nano:async_hooks") return internals.asyncHooks;
    if (name === "nano:workers") return internals.workers;
    if (name !== "nano:sockets") return undefined;
    return {
      __proto__: null,
      connect(address, options) {
        internals.load("61_sockets");
        return internals.connect(address, options);
      },
    };
  };

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
  lazyHooks(["DOMException", "abort", "coarseNow", "domException", "events", "throwDataCloneError"], "50_events");
  lazyHooks(["formatLog", "inspect"], "55_inspect");
  lazyHooks(["host", "hostAsync"], "60_host");
  lazyHooks(["io"], "60_io");
  lazyHooks(["createSource", "newSource"], "67_sources");
  lazyHooks(["asyncHooks", "readContext", "runInContext"], "77_async_hooks");
  lazyHooks(["compileStreaming"], "77_wasm");
  lazyHooks(["workers"], "77_workers");
  lazyHooks(["cloneValue", "cloneWithTransfer", "transferList"], "76_clone");
  lazyHooks(["ports"], "76_messaging");
})
