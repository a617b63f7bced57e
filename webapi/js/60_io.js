// I/O objects: what the app opens (fetches, sockets), named by handles, and the bodies of requests, whose
// handles are -1 - id. A record that concerns a handle goes to what has opened it.
//
// internals.io, for other scripts:
//   open(what, flags, target, head, body, source, length, object) -> handle
//       what, flags and the rest as isolates.KindOpen says; body is a string, a Uint8Array or null, source a
//       handle that gives the body, or 0. The loop's answers are calls of methods of `object`, which needs those
//       that can come for `what`, and onEnd always:
//         onResponse(words, offset) onData(words, offset, kind) onEnd(fault, text) onWritten() onOpened(text)
//         onClosed(code, reason, clean)
//       They run in the context in which the handle was opened.
//   adopt(handle, object)  the same for a handle that another op has opened
//   read(handle, bytes, decoded) cancel(handle, abort) write(handle, chunk, kind) -> bytes
//   finish(handle, failed, code, reason)
//   forget(handle)          no method of its object is called any more, nor its source told of anything
//   bytesOf(value)          a Uint8Array over the memory of an ArrayBuffer or a view, or null for anything else
//   makeError(fault, text)  what the app gets for a fault (isolates.Fault...)
//   receive(kind, words, offset)  of the dispatcher: a record that names a handle
//   drop(handle)            nobody wants the bytes of a handle any more; its object's onCanceled() is called
//   give(handle)            the loop moves the bytes of a handle by itself from now on; its object's onTaken() is
//       called
//   setSource(handle, source) sourceOf(handle)  the Source (67_sources.js) that takes the bytes of a handle, if one
//       was made; then that is told of data and the end, and of the end also the object
(function (ops, internals) {
  "use strict";
  const {
    ArrayBufferIsView, ArrayBufferPrototypeGetByteLength, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength,
    DataViewPrototypeGetByteOffset, TypeError, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
    TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetSymbolToStringTag, Uint8Array,
  } = internals.primordials;
  const { Table, currentContext, currentRequestId, enterEvent, requireStarted } = internals;
  const { classify, dropData, ioCancel, ioFinish, ioOpen, ioRead, ioWrite, noteText } = ops;

  const KIND_RESPONSE = 5;
  const KIND_DATA = 6;
  const KIND_END = 7;
  const KIND_WRITTEN = 8;
  const KIND_OPENED = 9;
  const KIND_CLOSED = 11;
  const WORD_HANDLE = 2;
  const WORD_VALUE = 3; // of a data record its kind, of an end its fault, of a closing its code
  const WORD_OTHER = 5; // of a closing: 1 if it was clean

  const CLASS_ARRAY_BUFFER = 12;
  const FAULT_ABORTED = 2;
  const FAULT_TIMEOUT = 3;

  class Entry {
    id; // the handle
    object; // null: the body of a request
    source = null;
    context;
    constructor(id, object, context) {
      this.id = id;
      this.object = object;
      this.context = context;
    }
  }

  const entries = new Table();

  function adopt(handle, object) {
    entries.set(new Entry(handle, object, currentContext()));
  }

  internals.io = {
    __proto__: null,

    open(what, flags, target, head, body, source, length, object) {
      requireStarted("I/O");
      const handle = ioOpen(what, flags, target, head, body, source, length, currentRequestId());
      adopt(handle, object);
      return handle;
    },
    adopt,
    read: (handle, bytes, decoded) => ioRead(handle, bytes, decoded ? 1 : 0),
    cancel: (handle, abort) => ioCancel(handle, abort ? 1 : 0),
    write: (handle, chunk, kind = 0) => ioWrite(handle, chunk, kind),
    finish: (handle, failed, code = 0, reason = "") => ioFinish(handle, failed ? 1 : 0, code, reason),
    forget: (handle) => entries.delete(handle),

    bytesOf(value) {
      if (!ArrayBufferIsView(value)) {
        return typeof value === "object" && value !== null && classify(value) === CLASS_ARRAY_BUFFER
          ? new Uint8Array(value, 0, ArrayBufferPrototypeGetByteLength(value)) : null;
      }
      if (TypedArrayPrototypeGetSymbolToStringTag(value) === undefined) {
        return new Uint8Array(DataViewPrototypeGetBuffer(value), DataViewPrototypeGetByteOffset(value),
          DataViewPrototypeGetByteLength(value));
      }
      return new Uint8Array(TypedArrayPrototypeGetBuffer(value), TypedArrayPrototypeGetByteOffset(value),
        TypedArrayPrototypeGetByteLength(value));
    },

    makeError(fault, text) {
      if (fault === FAULT_ABORTED) return internals.domException(text, "AbortError");
      if (fault === FAULT_TIMEOUT) return internals.domException(text, "TimeoutError");
      return new TypeError(text);
    },

    setSource(handle, source) {
      let entry = entries.get(handle);
      if (entry === undefined) {
        entry = new Entry(handle, null, currentContext());
        entries.set(entry);
      }
      entry.source = source;
    },
    drop(handle) {
      const entry = entries.get(handle);
      if (entry === undefined) return;
      if (entry.object === null) entries.delete(handle);
      else entry.object.onCanceled();
    },
    give(handle) {
      const entry = entries.get(handle);
      if (entry === undefined) return;
      entry.source = null;
      entry.object.onTaken();
    },
    sourceOf(handle) {
      const entry = entries.get(handle);
      return entry === undefined ? null : entry.source;
    },

    receive(kind, words, offset) {
      const handle = words[offset + WORD_HANDLE];
      const entry = entries.get(handle);
      if (entry === undefined) {
        if (kind === KIND_DATA) dropData(words, offset);
        return;
      }
      const { object, source } = entry;
      enterEvent(entry.context);
      switch (kind) {
        case KIND_RESPONSE:
          object.onResponse(words, offset);
          break;
        case KIND_DATA:
          if (source !== null) source.receive(words, offset);
          else object.onData(words, offset, words[offset + WORD_VALUE]);
          break;
        case KIND_END: {
          const fault = words[offset + WORD_VALUE];
          const text = fault === 0 ? "" : noteText(words, offset);
          if (source !== null) source.finish(fault, text);
          if (object !== null) object.onEnd(fault, text);
          else entries.delete(handle);
          break;
        }
        case KIND_WRITTEN:
          object.onWritten();
          break;
        case KIND_OPENED:
          object.onOpened(noteText(words, offset));
          break;
        case KIND_CLOSED:
          object.onClosed(words[offset + WORD_VALUE], noteText(words, offset), words[offset + WORD_OTHER] !== 0);
          break;
      }
    },
  };
})
