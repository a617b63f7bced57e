// MessageChannel and MessagePort (HTML 9.4).
//
// Both ports of a channel are in the same realm, so a message is cloned once, when it is posted, and waits as what the
// receiver gets. Ports refer to each other, and nothing else refers to them but messages that are due: a channel
// that is forgotten is garbage, whatever its state.
//
// For other scripts:
//   internals.ports: createChannel(receive1, receive2) -> port, port.other: records without a MessagePort, which call
//     receive(data) for a message; start(port) post(port, data) disentangle(port)
//     queueTask(task, context)  calls task.run() as a task of its own
(function (ops, internals) {
  "use strict";
  const {
    ArrayFrom, List, ObjectDefineProperty, ObjectFreeze, ObjectGetOwnPropertyDescriptor, ReflectApply, SymbolIterator,
    TypeError,
  } = internals.primordials;
  internals.load("65_message_events");
  const { configureInterface, currentContext, enterEvent, events, messageEvents, running, webidl } = internals;
  const { drainMicrotasks } = ops;

  const INTERNAL = { __proto__: null };

  // ---- Tasks ----

  // One timer at a time stands for all tasks that are due. When it fires they run in the order in which they were
  // queued, each followed by its microtasks, and so do those that they queue, until the turn's share of time is over
  // or TASKS_MAX have run: then records that have come meanwhile are due.
  const TASKS_MAX = 256;
  const CELL_END = 0; // ArenaCell in engine.h
  let firstTask = null;
  let lastTask = null;
  let armed = false;

  // Throws while the top level of an app runs: a snapshot holds no task.
  function queueTask(task, context) {
    arm();
    task.context = context;
    task.next = null;
    if (lastTask === null) firstTask = task;
    else lastTask.next = task;
    lastTask = task;
  }

  function arm() {
    if (armed) return;
    internals.setTimer("Posting a message", runTasks, 0);
    armed = true;
  }

  function runTasks() {
    armed = false;
    const { words } = running;
    for (let left = TASKS_MAX; firstTask !== null; left--) {
      if (left === 0 || words[CELL_END] !== 0) {
        arm();
        return;
      }
      const task = firstTask;
      firstTask = task.next;
      if (firstTask === null) lastTask = null;
      enterEvent(task.context);
      try {
        task.run();
      } catch (error) {
        internals.reportException(error);
      }
      drainMicrotasks();
    }
  }

  // ---- Ports ----

  // What is queued at a port.
  class Message {
    data;
    ports; // List of MessagePorts that came with it
    next = null;
    constructor(data, ports) {
      this.data = data;
      this.ports = ports;
    }
  }

  // One end of a channel. A port that is transferred leaves its place to another one.
  class Port {
    object = null; // the MessagePort, if it has one
    receive; // for a port of the runtime: called with the data of a message
    other = null; // the port that it is entangled with
    enabled = false;
    detached = false; // closed or transferred
    successor = null; // the port that has taken its place
    first = null; // messages that wait
    last = null;
    constructor(receive) {
      this.receive = receive;
    }
    push(message) {
      if (this.last === null) this.first = message;
      else this.last.next = message;
      this.last = message;
    }
    shift() {
      const message = this.first;
      this.first = message.next;
      if (this.first === null) this.last = null;
      return message;
    }
  }

  // Delivers the message of `port` that has waited longest. There is one for each message, while the port is enabled;
  // if it was transferred meanwhile, it has none left.
  class Delivery {
    port;
    context = undefined;
    next = null;
    constructor(port) {
      this.port = port;
    }
    run() {
      const { port } = this;
      if (port.first === null) return;
      const { data, ports } = port.shift();
      if (port.receive !== null) {
        port.receive(data);
      } else {
        events.dispatch(port.object, messageEvents.newMessageEvent("message", data, "", "",
          ObjectFreeze(ArrayFrom(ports))));
      }
    }
  }

  // Tells a port that the other one was closed.
  class Closing {
    port;
    context = undefined;
    next = null;
    constructor(port) {
      this.port = port;
    }
    run() {
      let { port } = this;
      while (port.successor !== null) port = port.successor;
      if (port.object !== null) events.dispatch(port.object, events.newEvent("close"));
    }
  }

  function entangle(one, another) {
    one.other = another;
    another.other = one;
  }

  // Gives the first port of a channel of the runtime's own; the second is its `other`.
  function createChannel(receive1, receive2) {
    const port = new Port(receive1);
    entangle(port, new Port(receive2));
    return port;
  }

  // Queues a message, of data that belongs to the receiver.
  function post(port, data, ports) {
    const target = port.other;
    if (target === null) return;
    if (target.enabled) queueTask(new Delivery(target), currentContext());
    target.push(new Message(data, ports));
  }

  function start(port) {
    if (port.enabled || port.detached) return;
    for (let message = port.first; message !== null; message = message.next) {
      queueTask(new Delivery(port), currentContext());
    }
    port.enabled = true;
  }

  // What was sent by then still arrives, on both sides.
  function disentangle(port) {
    const { other } = port;
    port.detached = true;
    if (other === null) return;
    port.other = null;
    other.other = null;
    // A snapshot holds no task, and at the top level of an app there is nobody to tell.
    if (other.receive === null && !running.starting) queueTask(new Closing(other), currentContext());
  }

  // Takes the place of a port: its messages, and the port that it is entangled with.
  function moved(port, receive) {
    const successor = new Port(receive);
    const { other } = port;
    port.detached = true;
    port.successor = successor;
    successor.first = port.first;
    successor.last = port.last;
    port.first = null;
    port.last = null;
    port.other = null;
    if (other !== null) entangle(successor, other);
    return successor;
  }

  // ---- Interfaces ----

  let portOf; // the Port of a MessagePort, or undefined for anything else

  class MessagePort extends events.EventTarget {
    #port;
    static {
      portOf = (value) => (webidl.isObject(value) && #port in value ? value.#port : undefined);
    }
    constructor(token, port = undefined) {
      if (token !== INTERNAL) throw webidl.illegalConstructor();
      super();
      this.#port = port;
      port.object = this;
    }
    postMessage(message, transfer = undefined) {
      if (!(#port in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'postMessage' on 'MessagePort'";
      webidl.requiredArguments(arguments.length, 1, context);
      const port = this.#port;
      const list = convertTransfer(transfer, context);
      if (list === undefined) {
        const data = internals.cloneValue(message);
        post(port, data, noPorts);
        return;
      }
      let isDoomed = false; // the channel would hold itself
      for (let i = 0; i < list.length; i++) {
        if (list[i] === this) {
          throw internals.domException(context + ": A port cannot be sent through itself.", "DataCloneError");
        }
        if (port.other !== null && list[i] === port.other.object) isDoomed = true;
      }
      const { value, transferred } = internals.cloneWithTransfer(message, list);
      if (isDoomed) return;
      const ports = new List();
      for (let i = 0; i < transferred.length; i++) {
        if (portOf(transferred[i]) !== undefined) ports[ports.length] = transferred[i];
      }
      post(port, value, ports);
    }
    start() {
      if (!(#port in this)) throw webidl.illegalInvocation();
      start(this.#port);
    }
    close() {
      if (!(#port in this)) throw webidl.illegalInvocation();
      disentangle(this.#port);
    }
  }
  const noPorts = new List();

  // The second argument of postMessage: a sequence, or a dictionary that has one. undefined if there is none.
  function convertTransfer(value, context) {
    if (value === undefined || value === null) return undefined;
    if (!webidl.isObject(value)) throw new TypeError(context + ": parameter 2 is not of type 'object'.");
    const method = value[SymbolIterator];
    if (method !== undefined && method !== null) return internals.transferList(value, context, method);
    const { transfer } = value;
    return transfer === undefined ? undefined : internals.transferList(transfer, context);
  }

  events.defineHandler(MessagePort.prototype, "message");
  events.defineHandler(MessagePort.prototype, "messageerror");
  events.defineHandler(MessagePort.prototype, "close");
  // Setting onmessage starts the port.
  const handler = ObjectGetOwnPropertyDescriptor(MessagePort.prototype, "onmessage").set;
  ObjectDefineProperty(MessagePort.prototype, "onmessage", {
    __proto__: null,
    ...ObjectGetOwnPropertyDescriptor({
      set onmessage(value) {
        ReflectApply(handler, this, [value]);
        const port = portOf(this);
        if (port !== undefined) start(port);
      },
    }, "onmessage"),
    get: ObjectGetOwnPropertyDescriptor(MessagePort.prototype, "onmessage").get,
    enumerable: true,
  });
  configureInterface(MessagePort);
  ObjectDefineProperty(MessagePort, "length", { __proto__: null, value: 0 });

  class MessageChannel {
    #port1;
    #port2;
    constructor() {
      const one = new Port(null);
      const another = new Port(null);
      entangle(one, another);
      this.#port1 = new MessagePort(INTERNAL, one);
      this.#port2 = new MessagePort(INTERNAL, another);
    }
    get port1() {
      if (!(#port1 in this)) throw webidl.illegalInvocation();
      return this.#port1;
    }
    get port2() {
      if (!(#port1 in this)) throw webidl.illegalInvocation();
      return this.#port2;
    }
  }
  configureInterface(MessageChannel);

  const isPort = (value) => portOf(value) !== undefined;
  internals.registerTransferable(isPort, (value) => portOf(value).detached,
    (value) => new MessagePort(INTERNAL, moved(portOf(value), null)));
  internals.isMessagePort = isPort;
  internals.ports = { __proto__: null, createChannel, disentangle, post, queueTask, start };

  internals.define("MessageChannel", MessageChannel);
  internals.define("MessagePort", MessagePort);
})
