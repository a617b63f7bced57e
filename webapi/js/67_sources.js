// Sources: bytes that come in by a handle, as the body of a request or of a response of fetch(), or from a
// socket. Nothing comes before it was asked for: a Source asks for a window's worth when its sink can take it.
//
// A Source does without a stream for as long as the app does: `text()` and the like collect the bytes (gather),
// and one that nobody has touched is handed to the loop by its handle (take).
//
// For other scripts:
//   internals.newSource(handle, coding, words, offset)  a Source. coding: of its bytes, removed on the way, or "";
//       words and offset: the request or response record that tells how many bytes it gives, or null
//   internals.isSource(value)
//   internals.gather(source)           promise of a Gathered (12_body.js) with all its bytes, which are the caller's
//   internals.createSource(handle)     a ReadableStream (a byte stream) that a Source feeds
//   internals.sourceOf(stream)         the Source of such a stream, { handle, encoded ... }, if nobody has touched it,
//       or null
//   internals.takeSource(stream or Source) -> handle, for the loop to move its bytes; the stream is locked
//       and disturbed from then on
//   internals.abortSource(stream or Source, reason)  ends it with exactly this reason
(function (ops, internals) {
  "use strict";
  const {
    MathMax, MathMin, NumberParseInt, PromiseWithResolvers, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { io } = internals;
  const { dropData, requestHeader, takeData, takeDataInto } = ops;

  const STREAMS_SCRIPT = "53_streams";

  // How many bytes may be on their way or wait in a stream's queue: at first, and at most. It grows as long as the
  // app takes what comes at once.
  const WINDOW_FIRST_BYTES = 64 * 1024;
  const WINDOW_MAX_BYTES = 256 * 1024;
  const WORD_LENGTH = 4; // of a data record
  const WORD_BODY_LENGTH = 10; // of a request record; -1: unknown

  class Source {
    handle;
    coding;
    words;
    offset;
    window = WINDOW_FIRST_BYTES;
    granted = 0; // bytes that were asked for and have not come
    asked = false;
    // Who takes the bytes: receive(words, offset) for a data record, finish(), fail(reason).
    sink = null;
    ended = false; // nothing more comes by it
    failed = false;
    reason = undefined;

    constructor(handle, coding, words, offset) {
      this.handle = handle;
      this.coding = coding;
      this.words = words;
      this.offset = offset;
    }

    // How many bytes it gives, as far as was announced, or -1.
    get length() {
      const { words, offset } = this;
      if (words === null || this.coding !== "") return -1;
      if (this.handle < 0) {
        const length = words[offset + WORD_BODY_LENGTH];
        return length === -1 ? -1 : length >>> 0;
      }
      const value = requestHeader(words, offset, "content-length");
      const length = value === null ? -1 : NumberParseInt(value, 10);
      return length >= 0 ? length : -1;
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
      if (this.ended) {
        dropData(words, offset);
        return;
      }
      try {
        this.sink.receive(words, offset);
      } catch (error) { // no memory
        this.abort(error);
      }
    }

    // Ends it, whoever reads it, with this reason.
    abort(reason) {
      io.cancel(this.handle, true);
      if (this.handle < 0) io.forget(this.handle);
      this.fail(reason);
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
      io.drop(this.handle);
    }

    // The loop moves its bytes from now on.
    take() {
      this.ended = true;
      if (this.handle < 0) io.forget(this.handle);
      else io.give(this.handle);
      return this.handle;
    }
  }

  // Collects all bytes: in one buffer, once it is known how many they are and that is believed; before, or if it
  // is not known, in a list of blocks, of which one is made in the end.
  class Gatherer {
    source;
    announced; // bytes, or -1
    deferred = PromiseWithResolvers();
    length = 0; // that has come
    whole = null; // the buffer
    first = null; // blocks
    last = null;

    constructor(source) {
      this.source = source;
      this.announced = source.length;
    }

    receive(words, offset) {
      const added = words[offset + WORD_LENGTH];
      const length = this.announced;
      if (this.whole === null && added !== length && length >= this.length + added &&
          (length <= BELIEVED_BYTES || BELIEVED_SHARE * this.length >= length)) {
        this.#join(length);
      }
      if (this.whole !== null && this.length + added <= TypedArrayPrototypeGetByteLength(this.whole)) {
        takeDataInto(words, offset, this.whole, this.length);
        this.length += added;
      } else {
        if (this.whole !== null) this.#split();
        this.#add(words, offset, added);
      }
      this.source.request(0);
    }

    // Large data become a block as they are. Small ones share blocks, or a client that sends single bytes could
    // have each of them take as much memory as an ArrayBuffer does.
    #add(words, offset, added) {
      const { last } = this;
      if (last !== null && added <= TypedArrayPrototypeGetByteLength(last.bytes) - last.used) {
        takeDataInto(words, offset, last.bytes, last.used);
        last.used += added;
        this.length += added;
      } else if (added >= SHARED_BYTES || this.length === 0) {
        this.#append(takeData(words, offset), added);
      } else {
        this.#append(new Uint8Array(MathMax(added, MathMin(BLOCK_BYTES, this.length))), 0);
        this.#add(words, offset, added);
      }
    }

    #append(bytes, used) {
      const block = new Block(bytes, used);
      if (this.last === null) this.first = block;
      else this.last.next = block;
      this.last = block;
      this.length += used;
    }

    // Makes one buffer of size bytes that begins with all blocks.
    #join(size) {
      this.whole = new Uint8Array(size);
      let at = 0;
      for (let block = this.first; block !== null; block = block.next) {
        TypedArrayPrototypeSet(this.whole, viewOf(block.bytes, block.used), at);
        at += block.used;
        internals.releaseBytes(block.bytes);
      }
      this.first = this.last = null;
    }

    // More came than was announced: the buffer is a block like others.
    #split() {
      this.first = this.last = new Block(this.whole, this.length);
      this.whole = null;
    }

    finish() {
      if (this.whole !== null) this.#split();
      if (this.first === null || this.first !== this.last) {
        this.#join(this.length);
        this.deferred.resolve(internals.newGathered(this.whole));
      } else {
        this.deferred.resolve(internals.newGathered(viewOf(this.first.bytes, this.first.used)));
      }
    }

    fail(reason) {
      this.deferred.reject(reason);
    }
  }

  class Block {
    bytes;
    used;
    next = null;
    constructor(bytes, used) {
      this.bytes = bytes;
      this.used = used;
    }
  }
  const BLOCK_BYTES = 64 * 1024;
  const SHARED_BYTES = 16 * 1024;
  // A client may announce any length: memory for more than BELIEVED_BYTES is taken when a share has come.
  const BELIEVED_BYTES = 1024 * 1024;
  const BELIEVED_SHARE = 8;

  function viewOf(bytes, length) {
    return length === TypedArrayPrototypeGetByteLength(bytes) ? bytes
      : new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), 0, length);
  }

  internals.newSource = function newSource(handle, coding, words, offset) {
    const source = new Source(handle, coding, words, offset);
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
    return internals.streams.createNative(internals.newSource(handle, "", null, 0));
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
    if (source !== null && !source.ended) source.abort(reason);
  };
})
