// Transfer of streams (Streams Standard 8.2, "Transferable streams"): the original stream is piped to one end of a
// channel, and the new one reads from, or writes to, the other end. Chunks are cloned, one task for each.
//
// For other scripts:
//   internals.streamTransfer: readable(state) writable(state) give the object that takes the place of a stream, by its
//     record of 53_streams, which must not be locked
(function (ops, internals) {
  "use strict";
  const { PromiseReject, PromiseResolve, PromiseWithResolvers } = internals.primordials;
  internals.load("53_streams");
  internals.load("76_messaging");
  const { createReadable, createWritable, markHandled, pipe, react } = internals.streams;
  const { createChannel, disentangle, post, start } = internals.ports;

  const nothing = () => {};

  // PackAndPostMessage
  function send(port, type, value) {
    post(port, { __proto__: null, type, value: internals.cloneValue(value) }, undefined);
  }

  // PackAndPostMessageHandlingError: a promise that is rejected if the value cannot be cloned.
  function trySend(port, type, value) {
    try {
      send(port, type, value);
      return PromiseResolve(undefined);
    } catch (error) {
      sendError(port, error);
      return PromiseReject(error);
    }
  }

  // CrossRealmTransformSendError
  function sendError(port, error) {
    try {
      send(port, "error", error);
    } catch {
      // An error that cannot be cloned either is lost, as the standard says.
    }
  }

  // SetUpCrossRealmTransformReadable: a stream of what the port receives.
  function readableFromPort(port) {
    const stream = createReadable(() => send(port, "pull", undefined), (reason) => {
      const sent = trySend(port, "error", reason);
      disentangle(port);
      return sent;
    });
    const { controller } = stream;
    port.receive = ({ type, value }) => {
      if (type === "chunk") {
        controller.enqueue(value);
        return;
      }
      if (type === "close") controller.close();
      else controller.error(value);
      disentangle(port);
    };
    start(port);
    return stream;
  }

  // SetUpCrossRealmTransformWritable: a stream that sends what is written to it.
  function writableToPort(port) {
    let backpressure = PromiseWithResolvers(); // ends when the other side pulls; null if it has
    const release = () => {
      if (backpressure !== null) backpressure.resolve(undefined);
      backpressure = null;
    };
    const end = (sent) => {
      disentangle(port);
      return sent;
    };
    const stream = createWritable((chunk) => {
      backpressure ??= fulfilled();
      return react(backpressure.promise, () => {
        backpressure = PromiseWithResolvers();
        const sent = trySend(port, "chunk", chunk);
        return react(sent, nothing, (error) => {
          disentangle(port);
          throw error;
        });
      });
    }, () => {
      send(port, "close", undefined);
      return end(PromiseResolve(undefined));
    }, (reason) => end(trySend(port, "error", reason)));
    port.receive = ({ type, value }) => {
      if (type === "error") stream.controller.errorIfNeeded(value);
      release();
    };
    start(port);
    return stream;
  }
  function fulfilled() {
    const deferred = PromiseWithResolvers();
    deferred.resolve(undefined);
    return deferred;
  }

  internals.streamTransfer = {
    __proto__: null,
    readable(source) {
      const port = createChannel(null, null);
      const { other } = port;
      markHandled(pipe(source, writableToPort(port)));
      return readableFromPort(other).object;
    },
    writable(dest) {
      const port = createChannel(null, null);
      const { other } = port;
      markHandled(pipe(readableFromPort(port), dest));
      return writableToPort(other).object;
    },
  };
})
