// BroadcastChannel (HTML 9.5), among the channels of one isolate: an app's isolates share nothing.
//
// Whoever listens is kept until it closes its channel; the others are garbage when nobody refers to them.
(function (ops, internals) {
  "use strict";
  const { List, SafeMap, SafeSet, WeakRef, WeakRefPrototypeDeref } = internals.primordials;
  internals.load("65_message_events");
  internals.load("76_messaging");
  const { configureInterface, currentContext, events, messageEvents, ports, webidl } = internals;

  // name -> List of WeakRefs of channels, in the order in which they were made
  const channels = new SafeMap();
  const listening = new SafeSet();

  class State {
    name;
    closed = false;
    constructor(name) {
      this.name = name;
    }
  }

  // Gives one channel what was posted.
  class Delivery {
    channel;
    data;
    context = undefined;
    next = null;
    constructor(channel, data) {
      this.channel = channel;
      this.data = data;
    }
    run() {
      if (stateOf(this.channel).closed) return;
      events.dispatch(this.channel, messageEvents.newMessageEvent("message", this.data, "", ""));
    }
  }

  // The channels of a name that there are, without what was collected.
  function livingOf(name) {
    const references = channels.get(name);
    const living = new List();
    if (references === undefined) return living;
    const kept = new List();
    for (let i = 0; i < references.length; i++) {
      const channel = WeakRefPrototypeDeref(references[i]);
      if (channel === undefined || stateOf(channel).closed) continue;
      living[living.length] = channel;
      kept[kept.length] = references[i];
    }
    if (kept.length === 0) channels.delete(name);
    else channels.set(name, kept);
    return living;
  }

  let made = 0; // since names without channels were looked for last
  const SWEEP_AFTER = 256;

  function add(name, channel) {
    if (++made >= SWEEP_AFTER) {
      made = 0;
      const names = new List();
      channels.forEach((references, other) => {
        names[names.length] = other;
      });
      for (let i = 0; i < names.length; i++) livingOf(names[i]);
    }
    let references = channels.get(name);
    if (references === undefined) {
      references = new List();
      channels.set(name, references);
    }
    references[references.length] = new WeakRef(channel);
  }

  let stateOf; // the State of a BroadcastChannel

  class BroadcastChannel extends events.EventTarget {
    #state;
    static {
      stateOf = (channel) => channel.#state;
    }
    constructor(name) {
      const context = "Failed to construct 'BroadcastChannel'";
      webidl.requiredArguments(arguments.length, 1, context);
      name = webidl.DOMString(name, context);
      super();
      this.#state = new State(name);
      add(name, this);
      events.watch(this, () => {
        if (!this.#state.closed && events.hasListener(this, "message")) listening.add(this);
        else listening.delete(this);
      });
    }
    get name() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      return this.#state.name;
    }
    postMessage(message) {
      if (!(#state in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'postMessage' on 'BroadcastChannel'";
      webidl.requiredArguments(arguments.length, 1, context);
      const { closed, name } = this.#state;
      if (closed) throw internals.domException(context + ": The channel is closed.", "InvalidStateError");
      const data = internals.cloneValue(message);
      const living = livingOf(name);
      let isFirst = true;
      for (let i = 0; i < living.length; i++) {
        if (living[i] === this) continue;
        ports.queueTask(new Delivery(living[i], isFirst ? data : internals.cloneValue(data)), currentContext());
        isFirst = false;
      }
    }
    close() {
      if (!(#state in this)) throw webidl.illegalInvocation();
      this.#state.closed = true;
      listening.delete(this);
      livingOf(this.#state.name);
    }
  }
  events.defineHandler(BroadcastChannel.prototype, "message");
  events.defineHandler(BroadcastChannel.prototype, "messageerror");
  configureInterface(BroadcastChannel);

  internals.define("BroadcastChannel", BroadcastChannel);
})
