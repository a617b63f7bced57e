// TextEncoderStream and TextDecoderStream (Encoding Standard 7.5, 7.6).
(function (ops, internals) {
  "use strict";
  const {
    ObjectGetOwnPropertyDescriptor, StringPrototypeCharCodeAt, StringPrototypeSlice, uncurryThis,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { encodeUtf8 } = ops;

  internals.load("53_streams");
  internals.load("54_encoding");
  const { TransformStream } = internals.streams;
  const { TextDecoder } = internals.encoding;
  const getter = (holder, name) => uncurryThis(ObjectGetOwnPropertyDescriptor(holder.prototype, name).get);
  const readable = getter(TransformStream, "readable");
  const writable = getter(TransformStream, "writable");
  const decode = uncurryThis(TextDecoder.prototype.decode);
  const encodingOf = getter(TextDecoder, "encoding");
  const fatalOf = getter(TextDecoder, "fatal");
  const ignoreBOMOf = getter(TextDecoder, "ignoreBOM");

  class TextEncoderStream {
    #transform;
    constructor() {
      let highSurrogate = ""; // at the end of the chunk before
      this.#transform = new TransformStream({
        __proto__: null,
        transform(chunk, controller) {
          let text = webidl.DOMString(chunk, "Failed to encode a chunk");
          if (text === "") return;
          text = highSurrogate + text;
          highSurrogate = "";
          const last = text.length - 1;
          if ((StringPrototypeCharCodeAt(text, last) & 0xfc00) === 0xd800) {
            highSurrogate = text[last];
            text = StringPrototypeSlice(text, 0, last);
          }
          if (text !== "") controller.enqueue(encodeUtf8(text));
        },
        flush(controller) {
          if (highSurrogate !== "") controller.enqueue(encodeUtf8("\ufffd"));
        },
      });
    }
    get encoding() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return "utf-8";
    }
    get readable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return readable(this.#transform);
    }
    get writable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return writable(this.#transform);
    }
  }
  configureInterface(TextEncoderStream);

  class TextDecoderStream {
    #transform;
    #decoder;
    constructor(label = "utf-8", options = undefined) {
      const decoder = new TextDecoder(label, options);
      this.#decoder = decoder;
      this.#transform = new TransformStream({
        __proto__: null,
        transform(chunk, controller) {
          if (chunk === undefined) chunk = null; // which is no BufferSource: undefined would mean "no more input"
          const text = decode(decoder, chunk, { __proto__: null, stream: true });
          if (text !== "") controller.enqueue(text);
        },
        flush(controller) {
          const text = decode(decoder);
          if (text !== "") controller.enqueue(text);
        },
      });
    }
    get encoding() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return encodingOf(this.#decoder);
    }
    get fatal() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return fatalOf(this.#decoder);
    }
    get ignoreBOM() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return ignoreBOMOf(this.#decoder);
    }
    get readable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return readable(this.#transform);
    }
    get writable() {
      if (!(#transform in this)) throw webidl.illegalInvocation();
      return writable(this.#transform);
    }
  }
  configureInterface(TextDecoderStream);

  internals.define("TextEncoderStream", TextEncoderStream);
  internals.define("TextDecoderStream", TextDecoderStream);
})
