// WebAssembly.compileStreaming and instantiateStreaming (WebAssembly Web API): V8 has both, and asks here for the
// bytes of a response.
(function (ops, internals) {
  "use strict";
  const {
    RangeError, StringPrototypeToLowerCase, TypeError, TypedArrayPrototypeGetSymbolToStringTag,
  } = internals.primordials;
  const { wasmAbort, wasmBytes, wasmFinish } = ops;

  const MIME_TYPE = "application/wasm";

  // Why "compile a potential WebAssembly response" refuses a value, or null.
  function whyUnfit(value) {
    if (!internals.isResponse(value)) return "The argument is not a Response.";
    const { status, type } = internals.describeResponse(value);
    // Without parameters, not even empty ones.
    if (type === null || StringPrototypeToLowerCase(type) !== MIME_TYPE) {
      return "The content-type of the response is not '" + MIME_TYPE + "'.";
    }
    if (status < 200 || status > 299) return "The response has status " + status + ".";
    const body = internals.bodyOfResponse(value);
    if (body !== null && internals.isBodyUnusable(body)) return "The body of the response was read already or is locked.";
    return null;
  }

  // Hands on what a reader reads. A request for chunks, see 53_streams.
  class Feeder {
    reader;
    streaming;
    constructor(reader, streaming) {
      this.reader = reader;
      this.streaming = streaming;
    }
    read() {
      internals.streams.read(this.reader, this);
    }
    chunkSteps(chunk) {
      let error;
      if (!isBytes(chunk)) error = new TypeError("The response has a chunk that is not a Uint8Array.");
      else if (wasmBytes(this.streaming, chunk)) return this.read();
      else error = new RangeError("The WebAssembly module takes too much memory.");
      internals.streams.markHandled(internals.streams.cancelReader(this.reader, error));
      wasmAbort(this.streaming, error);
    }
    closeSteps() {
      wasmFinish(this.streaming);
    }
    errorSteps(reason) {
      wasmAbort(this.streaming, reason);
    }
  }
  const isBytes = (chunk) => TypedArrayPrototypeGetSymbolToStringTag(chunk) === "Uint8Array";

  // value: what the app has given, its promise resolved. streaming: a number for the ops. Throws nothing.
  internals.compileStreaming = function compileStreaming(value, streaming) {
    const problem = whyUnfit(value);
    if (problem !== null) {
      wasmAbort(streaming, new TypeError("WebAssembly streaming: " + problem));
      return;
    }
    const stream = internals.responseStream(value);
    if (stream === null) wasmFinish(streaming);
    else new Feeder(internals.streams.acquireReader(stream), streaming).read();
  };
})
