// CompressionStream and DecompressionStream (Compression Standard). The formats are Go's, see package compression.
(function (ops, internals) {
  "use strict";
  const { TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength, TypeError } = internals.primordials;
  const { configureInterface, host, io, webidl } = internals;
  const { classify } = ops;
  const { compress, compressor, decompress, decompressor, endCompression } = host;
  internals.load("53_streams");
  const { createTransform, react } = internals.streams;

  const CLASS_SHARED_ARRAY_BUFFER = 13;
  // What a call compresses at most, pieceBytes of the Go package.
  const PIECE_BYTES = 64 * 1024;
  // A chunk may become so many bytes before the readable side has to ask for more.
  const AHEAD_BYTES = 1024 * 1024;

  // By the numbers that the Go package has for them, and one.
  const FORMATS = { __proto__: null, gzip: 1, deflate: 2, "deflate-raw": 3, brotli: 4 };

  function formatOf(count, value, name) {
    const context = "Failed to construct '" + name + "'";
    webidl.requiredArguments(count, 1, context);
    return FORMATS[webidl.enumeration(value, FORMATS, "CompressionFormat", context)] - 1;
  }

  // A chunk must be a BufferSource whose memory is not shared.
  function bytesOf(chunk) {
    const bytes = io.bytesOf(chunk);
    if (bytes === null || classify(TypedArrayPrototypeGetBuffer(bytes)) === CLASS_SHARED_ARRAY_BUFFER) {
      throw new TypeError("The chunk is not an ArrayBuffer or a view of one");
    }
    return bytes;
  }

  class Piece {
    bytes;
    next = null;
    constructor(bytes) {
      this.bytes = bytes;
    }
  }

  function compressing(format) {
    const state = compressor(format);
    const transform = createTransform((chunk) => {
      const bytes = bytesOf(chunk);
      const length = TypedArrayPrototypeGetByteLength(bytes);
      // What is enqueued may run code of the app, which may take the chunk's memory away: at the end.
      const first = new Piece(null);
      let last = first;
      for (let at = 0; at < length; at += PIECE_BYTES) {
        const output = compress(state, bytes, at);
        if (output !== null) last = last.next = new Piece(output);
      }
      for (let piece = first.next; piece !== null; piece = piece.next) transform.enqueue(piece.bytes);
    }, () => {
      const output = compress(state, null, 0);
      endCompression(state);
      if (output !== null) transform.enqueue(output);
    }, () => endCompression(state));
    return transform;
  }

  function decompressing(format) {
    const state = decompressor(format);
    const transform = createTransform((chunk) => give(decompress(state, bytesOf(chunk), false)), () => {
      decompress(state, null, true);
      endCompression(state);
    }, () => endCompression(state));

    // Enqueues a piece and those that follow. A small chunk may become very much: then it waits for readers.
    function give(piece) {
      for (let ahead = 0; piece !== null; piece = decompress(state, null, false)) {
        const length = TypedArrayPrototypeGetByteLength(piece);
        if (length === 0) continue; // so far: Go gives the loop a chance to end the turn
        transform.enqueue(piece);
        ahead += length;
        if (ahead < AHEAD_BYTES) continue;
        const wanted = transform.wanted();
        if (wanted !== undefined) {
          return react(wanted, () => (transform.isOpen() ? give(decompress(state, null, false)) : undefined));
        }
      }
      return undefined;
    }
    return transform;
  }

  class CompressionStream {
    #transform;
    constructor(format) {
      this.#transform = compressing(formatOf(arguments.length, format, "CompressionStream"));
    }
    get readable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.readable;
    }
    get writable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.writable;
    }
  }

  class DecompressionStream {
    #transform;
    constructor(format) {
      this.#transform = decompressing(formatOf(arguments.length, format, "DecompressionStream"));
    }
    get readable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.readable;
    }
    get writable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return this.#transform.writable;
    }
  }

  configureInterface(CompressionStream);
  configureInterface(DecompressionStream);
  internals.define("CompressionStream", CompressionStream);
  internals.define("DecompressionStream", DecompressionStream);
})
