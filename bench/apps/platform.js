// One operation of the Web platform, as often as the request asks for: /?case=url&count=1000. Every runtime serves
// this same file. A case checks what its operations gave, so that none can be skipped, and the answer is the count.
// 501: the runtime lacks what the case needs.

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const KB = 1024;
const MB = 1024 * KB;

// Text of exactly `size` UTF-8 bytes, flat in memory as what came from a parser is.
function textOf(size, phrase) {
  const bytes = new Uint8Array(size).fill(0x2e);
  const piece = encoder.encode(phrase);
  for (let at = 0; at + piece.length <= size; at += piece.length) bytes.set(piece, at);
  return decoder.decode(bytes);
}

const ascii = (size) => textOf(size, "The quick brown fox jumps over the lazy dog. ");
const mixed = (size) => textOf(size, "Größe: 30 € für «Kaffee», 東京 und Ωμέγα. ");

// What compresses, and what parses, about as real pages do.
function pageOf(size) {
  let page = "<!DOCTYPE html><html><head><title>Items</title></head><body>\n";
  for (let index = 0; page.length < size - 200; index++) {
    page += `<div class="item" id="i${index}"><a href="/items/${index}">Item ${index * 7919 % 10007}</a><p>Text &amp; more of it</p></div>\n`;
  }
  return encoder.encode(page.padEnd(size - 14) + "</body></html>");
}

function wrong(what, value) {
  throw new Error(`${what}: ${value}`);
}

function encodeCase(text, size) {
  return (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += encoder.encode(text).length;
    if (total !== count * size) wrong("encoded", total);
  };
}

function decodeCase(text) {
  const bytes = encoder.encode(text);
  return (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += decoder.decode(bytes).length;
    if (total !== count * text.length) wrong("decoded", total);
  };
}

const order = {
  id: 4711,
  customer: { name: "Ada Lovelace", mail: "ada@example.com", vip: true },
  items: Array.from({ length: 10 }, (_, index) => ({ sku: `SKU-${index}`, count: index + 1, price: index * 1.5, tags: ["one", "two"] })),
  placed: "2026-11-21T18:00:00Z",
};

const headersOf = () => new Headers({
  accept: "text/html,application/xhtml+xml", "accept-encoding": "gzip, deflate, br", "accept-language": "en",
  "cache-control": "no-cache", "content-type": "application/json", cookie: "a=1; b=2", host: "example.com",
  "user-agent": "bench/1.0", "x-forwarded-for": "192.0.2.1", "x-request-id": "0123456789abcdef",
});

const CHUNK = 64 * KB;
const CHUNKS_EACH = 64; // of a stream

// Pieces of 64 KB through a transform; an operation is a piece.
function streamCase(transform) {
  return async (count) => {
    for (let left = count; left > 0; left -= CHUNKS_EACH) {
      const pieces = Math.min(left, CHUNKS_EACH);
      let sent = 0, received = 0;
      const source = new ReadableStream({
        pull(controller) {
          if (sent++ === pieces) controller.close();
          else controller.enqueue(new Uint8Array(CHUNK));
        },
      });
      const reader = source.pipeThrough(transform()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        received += value.length;
      }
      if (received !== pieces * CHUNK) wrong("received", received);
    }
  };
}

function digestCase(size) {
  const bytes = encoder.encode(ascii(size));
  return async (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += (await crypto.subtle.digest("SHA-256", bytes)).byteLength;
    if (total !== count * 32) wrong("digests", total);
  };
}

async function hmacCase() {
  const key = await crypto.subtle.importKey("raw", new Uint8Array(32).fill(7), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const message = encoder.encode(ascii(256));
  return async (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += (await crypto.subtle.sign("HMAC", key, message)).byteLength;
    if (total !== count * 32) wrong("signed", total);
  };
}

async function ecdsaCase() {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
  const message = encoder.encode(ascii(256));
  const signature = await crypto.subtle.sign(algorithm, privateKey, message);
  return async (count) => {
    for (let index = 0; index < count; index++) {
      if (await crypto.subtle.verify(algorithm, publicKey, signature, message) !== true) wrong("verified", false);
    }
  };
}

async function formDataCase() {
  const form = new FormData();
  for (let index = 0; index < 20; index++) form.append(`field${index}`, `value of ${index}`);
  form.append("file", new Blob([encoder.encode(ascii(MB))], { type: "text/plain" }), "large.txt");
  const made = new Response(form);
  const type = made.headers.get("content-type"), bytes = await made.bytes();
  return async (count) => {
    for (let index = 0; index < count; index++) {
      const parsed = await new Response(bytes, { headers: { "content-type": type } }).formData();
      if (parsed.get("field7") !== "value of 7" || parsed.get("file").size !== MB) wrong("parsed", parsed.get("field7"));
    }
  };
}

// `bytes` as a body through a transform, and what comes out whole.
function throughCase(bytes, transform, isRight) {
  return async (count) => {
    for (let index = 0; index < count; index++) {
      const { byteLength } = await new Response(new Response(bytes).body.pipeThrough(transform())).arrayBuffer();
      if (!isRight(byteLength)) wrong("bytes", byteLength);
    }
  };
}

async function gunzipCase() {
  const packed = await new Response(new Response(pageOf(MB)).body.pipeThrough(new CompressionStream("gzip"))).bytes();
  return throughCase(packed, () => new DecompressionStream("gzip"), (size) => size === MB);
}

function rewriteCase() {
  const page = pageOf(MB);
  return async (count) => {
    for (let index = 0; index < count; index++) {
      let links = 0;
      const rewriter = new HTMLRewriter()
        .on("a[href]", { element(element) { links++; element.setAttribute("rel", "nofollow"); } })
        .on("title", { element(element) { element.setInnerContent("Rewritten"); } });
      const { byteLength } = await rewriter.transform(new Response(page)).arrayBuffer();
      if (byteLength !== page.length + links * ' rel="nofollow"'.length + "Rewritten".length - "Items".length) wrong("rewritten", byteLength);
    }
  };
}

// What makes each case ready: it returns the function that does `count` operations.
const cases = {
  "url": () => {
    const urls = Array.from({ length: 8 }, (_, index) => `https://shop${index}.example.com:8443/items/${index}?page=2&sort=price#top`);
    return (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) total += new URL(urls[index & 7]).pathname.length;
      if (total !== count * 8) wrong("paths", total);
    };
  },
  "url-base": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += new URL("../images/logo.png?v=3", "https://example.com/shop/items/7").href.length;
    if (total !== count * 44) wrong("references", total);
  },
  "params": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) {
      const params = new URLSearchParams("q=ring+buffer&page=2&sort=price&tag=a%20b");
      params.set("page", "3");
      params.append("tag", "c");
      total += params.get("q").length + params.toString().length;
    }
    if (total !== count * 56) wrong("queries", total);
  },
  "headers-get": () => {
    const headers = headersOf();
    return (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) total += headers.get("Content-Type").length + headers.get("x-request-id").length;
      if (total !== count * 32) wrong("values", total);
    };
  },
  "headers-set": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) {
      const headers = new Headers();
      headers.set("content-type", "text/html");
      headers.set("cache-control", "no-store");
      headers.append("vary", "accept");
      headers.set("x-request-id", "0123456789abcdef");
      if (headers.has("vary")) total++;
    }
    if (total !== count) wrong("set", total);
  },
  "headers-iterate": () => {
    const headers = headersOf();
    return (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) for (const [name, value] of headers) if (name.length > 0 && value.length > 0) total++;
      if (total !== count * 10) wrong("entries", total);
    };
  },
  "encode-20": () => encodeCase(ascii(20), 20),
  "encode-1k": () => encodeCase(ascii(KB), KB),
  "encode-1m": () => encodeCase(ascii(MB), MB),
  "encode-1k-mixed": () => encodeCase(mixed(KB), KB),
  "decode-20": () => decodeCase(ascii(20)),
  "decode-1k": () => decodeCase(ascii(KB)),
  "decode-1m": () => decodeCase(ascii(MB)),
  "decode-1k-mixed": () => decodeCase(mixed(KB)),
  "clone": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += structuredClone(order).items.length;
    if (total !== count * 10) wrong("clones", total);
  },
  "atob": () => {
    const packed = btoa(ascii(768));
    return (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) total += atob(packed).length;
      if (total !== count * 768) wrong("unpacked", total);
    };
  },
  "btoa": () => {
    const text = ascii(768);
    return (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) total += btoa(text).length;
      if (total !== count * 1024) wrong("packed", total);
    };
  },
  "request": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) {
      const request = new Request("https://example.com/api/items", { method: "POST", headers: { "content-type": "application/json" }, body: '{"id":7}' });
      total += request.method.length + request.url.length;
    }
    if (total !== count * 33) wrong("requests", total);
  },
  "response": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) {
      const response = new Response("Hello, World!", { status: 201, headers: { "content-type": "text/plain", "x-id": "7" } });
      total += response.status;
    }
    if (total !== count * 201) wrong("responses", total);
  },
  "response-json": () => {
    const text = JSON.stringify(order);
    return async (count) => {
      let total = 0;
      for (let index = 0; index < count; index++) total += (await new Response(text).json()).items.length;
      if (total !== count * 10) wrong("items", total);
    };
  },
  "json-response": () => (count) => {
    let total = 0;
    for (let index = 0; index < count; index++) total += Response.json(order).status;
    if (total !== count * 200) wrong("answers", total);
  },
  "sha256-64": () => digestCase(64),
  "sha256-1m": () => digestCase(MB),
  "hmac": hmacCase,
  "ecdsa": ecdsaCase,
  "stream-identity": () => streamCase(() => new TransformStream()),
  "stream-js": () => streamCase(() => new TransformStream({ transform(chunk, controller) { controller.enqueue(chunk); } })),
  "formdata": formDataCase,
  "gzip": () => throughCase(pageOf(MB), () => new CompressionStream("gzip"), (size) => size > 0 && size < MB / 2),
  "gunzip": gunzipCase,
  "html": rewriteCase,
};

const ready = new Map();

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const name = searchParams.get("case"), count = Number(searchParams.get("count"));
    if (name === null) return new Response("ready");
    if (name === "html" && typeof HTMLRewriter !== "function") return new Response("no HTMLRewriter", { status: 501 });
    try {
      if (!ready.has(name)) ready.set(name, await cases[name]());
      await ready.get(name)(count);
    } catch (error) {
      return new Response(String(error?.stack ?? error), { status: 500 });
    }
    return new Response(String(count));
  },
};
