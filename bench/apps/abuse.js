// What tenants do to their neighbours, by path. Each request takes all it can get; what it leaves
// behind in the isolate stays there, as with any app.
const abuses = {
  loop() {
    for (;;);
  },
  heap() {
    const all = [];
    for (;;) {
      all.push(new Array(1000).fill(all.length));
    }
  },
  buffers() {
    const all = [];
    for (;;) {
      all.push(new Uint8Array(1 << 20).fill(1));
    }
  },
  async promises() {
    for (;;) {
      await null;
    }
  },
  timers() {
    for (let index = 0; index < 100_000; index++) {
      setInterval(() => {}, 0);
    }
    return new Promise(() => {});
  },
  array() {
    return String(new Array(2 ** 27).fill(1).length);
  },
  string() {
    return String("x".repeat(2 ** 29).length);
  },
  json() {
    let nested = {};
    for (let depth = 0; depth < 30; depth++) {
      nested = [nested, nested];
    }
    return String(JSON.stringify(nested).length);
  },
  parse() {
    return String(JSON.parse("[".repeat(5e6) + "]".repeat(5e6)).length);
  },
  recursion() {
    const deeper = (depth) => deeper(depth + 1) + 1;
    return String(deeper(0));
  },
  regexp() {
    return String(/^(a+)+$/.test("a".repeat(40) + "b"));
  },
  async upload(request) {
    let size = 0;
    for await (const chunk of request.body) {
      size += chunk.byteLength;
    }
    return String(size);
  },
  async collect(request) {
    return String((await request.arrayBuffer()).byteLength);
  },
};

export default {
  async fetch(request) {
    return new Response(await abuses[new URL(request.url).pathname.slice(1)](request));
  },
};
