// Sources: bytes that come in by a handle, as the body of a request or of a response of fetch(), or from a
// socket. Nothing comes before it was asked for: a Source asks for a window's worth when its sink can take it.
//
// A Source does without a stream for as long as the app does: `text()` and the like collect the bytes (gather),
// and one that nobody has touched is handed to the loop by its handle (take).
//
// For other scripts:
//   internals.newSource(handle, coding, length)  a Source. coding: of its bytes, removed on the way, or "";
//       length: how many bytes it will give, or -1
//   internals.isSource(value)
//   internals.gather(source)           promise of all its bytes, which become the caller's
//   internals.createSource(handle)     a ReadableStream (a byte stream) that a Source feeds
//   internals.sourceOf(stream)         the Source of such a stream, { handle, encoded ... }, if nobody has touched it,
//       or null
//   internals.takeSource(stream or Source) -> handle, for the loop to move its bytes; the stream is locked
//       and disturbed from then on
//   internals.abortSource(stream or Source, reason)  ends it with exactly this reason
(function (ops, internals) {
  "use strict";
  const {
    MathMax, MathMin, PromiseWithResolvers, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { io } = internals;
  const { dropData, takeData, takeDataInto } = ops;

  const STREAMS_SCRIPT = "53_streams";

  // How many bytes may be on their way or wait in a stream's queue: at first, and at most. It grows as long as the
  // app takes what comes at once.
  const WINDOW_FIRST_BYTES = 64 * 1024;
  const WINDOW_MAX_BYTES = 256 * 1024;
  const WORD_LENGTH = 4; // of a data record

  class Source {
    handle;
    coding;
    length;
    window = WINDOW_FIRST_BYTES;
    granted = 0; // bytes that were asked for and have not come
    asked = false;
    // Who takes the bytes: receive(words, offset) for a data record, finish(), fail(reason).
    sink = null;
    ended = false; // nothing more comes by it
    failed = false;
    reason = undefined;

    constructor(handle, coding, length) {
      this.handle = handle;
      this.coding = coding;
      this.length = length;
    }

    get encoded() {
      return this.coding !== "";
    }

    // Begins to give its bytes to a sink, which is told at once if it has ended.
    attach(sink) {
      this.sink = sink;
      if (this.failed) sink.fail(this.reason);
      else if (this.ended) sink.finish();
    }

    // Asks for what fits beside the bytes that wait already; for half a window at least.
    request(waiting) {
      if (this.ended) return;
      let room = this.window - this.granted - waiting;
      if (2 * room < this.window) return;
      if (this.asked && waiting === 0 && this.window < WINDOW_MAX_BYTES) {
        room += this.window;
        this.window *= 2;
      }
      this.asked = true;
      this.granted += room;
      io.read(this.handle, room, this.encoded);
    }

    receive(words, offset) {
      // Decoded, they may be more than were asked for.
      this.granted = MathMax(0, this.granted - words[offset + WORD_LENGTH]);
      if (this.ended) dropData(words, offset);
      else this.sink.receive(words, offset);
    }

    // The loop has no more of it.
    finish(fault, text) {
      if (fault !== 0) {
        this.fail(io.makeError(fault, text));
      } else if (!this.ended) {
        this.ended = true;
        if (this.sink !== null) this.sink.finish();
      }
    }

    fail(reason) {
      if (this.ended) return;
      this.ended = true;
      this.failed = true;
      this.reason = reason;
      if (this.sink !== null) this.sink.fail(reason);
    }

    // Nobody wants the rest.
    cancel(abort) {
      if (this.ended) return;
      this.ended = true;
      io.cancel(this.handle, abort);
      if (this.handle < 0) io.forget(this.handle);
    }

    // The loop moves its bytes from now on.
    take() {
      this.ended = true;
      if (this.handle < 0) io.forget(this.handle);
      else io.give(this.handle);
      return this.handle;
    }
  }

  // Collects all bytes, in a buffer that grows unless it is known how many they are.
  class Gatherer {
    source;
    deferred = PromiseWithResolvers();
    bytes = null;
    length = 0;

    constructor(source) {
      this.source = source;
    }

    receive(words, offset) {
      const added = words[offset + WORD_LENGTH];
      if (this.bytes === null && added >= this.source.length) {
        this.bytes = takeData(words, offset); // all of it, or the length is not known: it may be all
        this.length = added;
      } else {
        this.#reserve(this.length + added);
        takeDataInto(words, offset, this.bytes, this.length);
        this.length += added;
      }
      this.source.request(0);
    }

    // A known length is believed as far as bytes have come: the client may have named any.
    #reserve(needed) {
      const capacity = this.bytes === null ? 0 : TypedArrayPrototypeGetByteLength(this.bytes);
      if (needed <= capacity) return;
      const { length } = this.source;
      let size = MathMax(needed, 2 * capacity, MathMin(length, BELIEVED_BYTES));
      if (length >= needed && size > length) size = length;
      const grown = new Uint8Array(size);
      if (capacity !== 0) {
        TypedArrayPrototypeSet(grown, this.length === capacity ? this.bytes : viewOf(this.bytes, this.length));
        internals.releaseBytes(this.bytes);
      }
      this.bytes = grown;
    }

    finish() {
      if (this.bytes === null) this.bytes = new Uint8Array(0);
      const whole = TypedArrayPrototypeGetByteLength(this.bytes) === this.length;
      this.deferred.resolve(whole ? this.bytes : viewOf(this.bytes, this.length));
    }

    fail(reason) {
      this.deferred.reject(reason);
    }
  }
  const BELIEVED_BYTES = 1024 * 1024;
  const viewOf = (bytes, length) => new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), 0, length);

  internals.newSource = function newSource(handle, coding, length) {
    const source = new Source(handle, coding, length);
    io.setSource(handle, source);
    return source;
  };
  internals.isSource = (value) => value instanceof Source;

  internals.gather = function gather(source) {
    const gatherer = new Gatherer(source);
    source.attach(gatherer);
    source.request(0);
    return gatherer.deferred.promise;
  };

  internals.createSource = function createSource(handle) {
    internals.load(STREAMS_SCRIPT);
    return internals.streams.createNative(internals.newSource(handle, "", -1));
  };
  internals.sourceOf = function sourceOf(stream) {
    return internals.streams === undefined ? null : internals.streams.untouchedSource(stream);
  };
  internals.takeSource = function takeSource(from) {
    if (from instanceof Source) return from.take();
    return internals.streams.takeNative(from).take();
  };
  internals.abortSource = function abortSource(from, reason) {
    const source = from instanceof Source ? from : internals.streams.nativeSource(from);
    if (source === null || source.ended) return;
    io.cancel(source.handle, true);
    if (source.handle < 0) io.forget(source.handle);
    source.fail(reason);
  };
})
