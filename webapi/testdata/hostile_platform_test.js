// Everything but the fetch objects in an app that patches every built-in it can reach.
import { suite } from "./check.js";
import { same, watch } from "./hostile.js";

const nothing = () => {};
const bytes = new Uint8Array([0xe2, 0x82, 0xac]);
const noParts = { get [Symbol.iterator]() { return () => ({ next: () => ({ done: true }) }); } };
const settled = () => new Promise((resolve) => { setTimeout(resolve, 1); });

// Watches a call and the microtasks that it leaves behind.
const watchAll = (call) => watch(async () => {
  call();
  for (let i = 0; i < 50; i++) await undefined;
});

export default suite({
  async "URL"() {
    await watchAll(() => {
      const url = new URL("http://u:p@h:81/p?a=%41&b=c+d#f");
      url.searchParams.append("x", "y z");
      url.searchParams.sort();
      url.search = "?q=1";
      url.hash = "x";
      same(url.origin + url.host, "http://h:81h:81");
      const params = new URLSearchParams({ a: 1, b: "c" });
      params.set("a", "2");
      params.delete("b");
      for (let i = 0; i < 20; i++) params.append("many", i);
      params.entries().next();
      params.forEach(nothing);
      same(params.get("a") + params.has("b") + params.size, "2false21");
      same(new URLSearchParams("a=1&b=2&a=3").getAll("a").length, 2);
      same(`${url}${URL.canParse("x")}`, "http://u:p@h:81/p?q=1#xfalse");
    });
  },
  async "files, forms and caches"() {
    const form = new FormData();
    form.append("a\r\n\"", "b\nc");
    form.append("f", new File([bytes], "n%22", { type: "a/b" }));
    form.append("large", new Blob([new Uint8Array(100_000), "x"]));
    const controller = new AbortController();
    const blob = new Blob(["a", bytes, new Blob([new Uint8Array(70_000)])], { type: "A/B;C=D" });
    const small = new Blob(["abc"]);
    await watch(async () => {
      same(blob.slice(1, 5).size + blob.type, "4a/b;c=d");
      same((await blob.text()).length, 70_002);
      await blob.arrayBuffer();
      const reader = blob.stream().getReader();
      same((await reader.read()).done, false);
      const parsed = await new Response(form).formData();
      same(parsed.get("a\r\n\"") + parsed.get("f").name + parsed.get("large").size, "b\r\ncn\"100001");
      const typed = new Response("x", { headers: { "content-type": "a/b; c=\"d\\\"e\";f=g" } });
      same((await typed.blob()).type, "a/b;c=\"d\\\"e\";f=g");
      const url = URL.createObjectURL(blob);
      same((await (await fetch(url)).text()).length, 70_002);
      URL.revokeObjectURL(url);
      same(await (await fetch("data:text/plain;base64,eA==")).text(), "x");
      const request = new Request("http://host/", { mode: "no-cors", headers: { accept: "a/b", x: "y" } });
      same(request.headers.has("x") + request.headers.get("accept"), "falsea/b");
      const first = new Request("http://host/", { method: "POST", body: new Response("text").body, duplex: "half" });
      same(await new Request(first, { signal: controller.signal }).text(), "text");
      const cache = await caches.open("hostile");
      await cache.put("http://host/", new Response("kept", { headers: { vary: "a, b" } }));
      same(await (await cache.match("http://host/")).text(), "kept");
      same((await cache.keys()).length, 1);
      await caches.delete("hostile");
      const file = new FileReader();
      const done = new Promise((resolve) => { file.onloadend = resolve; });
      file.readAsText(blob);
      await done;
      same(new FileReaderSync().readAsDataURL(small), "data:application/octet-stream;base64,YWJj");
    });
  },
  async "events"() {
    await watchAll(() => {
      const target = new EventTarget();
      const controller = new AbortController();
      target.addEventListener("x", nothing);
      target.addEventListener("x", { handleEvent: nothing }, { once: true });
      target.addEventListener("x", nothing, { capture: true, signal: controller.signal });
      target.dispatchEvent(new Event("x"));
      target.removeEventListener("x", nothing);
      same(new CustomEvent("y", { detail: 1 }).detail, 1);
      controller.signal.onabort = nothing;
      controller.signal.addEventListener("abort", nothing);
      controller.abort();
      same(new DOMException("a", "AbortError").code, 20);
    });
  },
  async "performance"() {
    await watch(async () => {
      const observer = new PerformanceObserver(nothing);
      observer.observe({ type: "mark", buffered: true });
      performance.mark("b", { startTime: 2 });
      performance.mark("a", { startTime: 1, detail: 5 });
      performance.measure("m", { start: "a", end: "b" });
      performance.measure("n", "a", "b");
      same(performance.getEntriesByType("mark").length + performance.getEntriesByName("m").length, 3);
      same(observer.takeRecords().length, 2);
      performance.mark("c");
      await settled();
      observer.disconnect();
      new PerformanceObserver(nothing).observe({ entryTypes: noParts });
      performance.clearMarks("a");
      performance.clearMeasures();
      same(performance.getEntriesByName("b")[0].toJSON().name, "b");
      performance.clearMarks();
      performance.clearResourceTimings();
      same(performance.toJSON().timeOrigin > 0, true);
      same(PerformanceObserver.supportedEntryTypes.length, 3);
    });
  },
  async "events of the global object"() {
    const prevent = (event) => { event.preventDefault(); };
    await watch(async () => {
      addEventListener("error", prevent);
      addEventListener("unhandledrejection", prevent);
      onrejectionhandled = nothing;
      reportError(new Error("a"));
      reportError({});
      reportError("a");
      onerror = () => true;
      setTimeout(() => { throw new Error("b"); }, 1);
      const late = (async () => { throw 1; })();
      await settled();
      await settled();
      (async () => { try { await late; } catch {} })();
      await settled();
      removeEventListener("error", prevent);
      removeEventListener("unhandledrejection", prevent);
      onerror = null;
      onrejectionhandled = null;
      same(new PromiseRejectionEvent("x", { promise: late, reason: 1 }).reason, 1);
    });
  },
  async "events of service workers"() {
    const request = new Request("http://h/");
    await watchAll(() => {
      same(new FetchEvent("fetch", { request, clientId: "c" }).clientId, "c");
      const event = new ExtendableEvent("x");
      try {
        event.waitUntil(1);
      } catch (error) {
        same(error.name, "InvalidStateError");
      }
    });
  },
  async "navigator and others"() {
    await watchAll(() => {
      same(navigator.language + navigator.languages.length + navigator.hardwareConcurrency, "en11");
      same(Cloudflare.compatibilityFlags.nodejs_compat, false);
      clearImmediate(setImmediate(nothing));
      setImmediate(nothing, 1);
      same(origin, "null");
    });
  },
  async "timers"() {
    await watchAll(() => {
      clearTimeout(setTimeout(nothing, 1, 2));
      queueMicrotask(nothing);
      setTimeout(nothing, 1, 2);
    });
  },
  async "encoding"() {
    await watchAll(() => {
      for (let i = 0; i < 2; i++) {
        const decoder = new TextDecoder(i === 0 ? "utf-16le" : "utf-8");
        decoder.decode(bytes, { stream: true });
        decoder.decode();
      }
      same(new TextDecoder("latin1").decode(bytes), "\u00e2\u201a\u00ac");
      same(new TextEncoder().encodeInto("abc", new Uint8Array(2)).written, 2);
      same(new TextDecoder().decode(new TextEncoder().encode("\u20ac")), "\u20ac");
    });
  },
  async "blobs and forms"() {
    const form = new FormData();
    form.append("text", "a\nb");
    form.append("file", new Blob(noParts));
    const response = new Response(form);
    await watchAll(() => {
      const file = new File(noParts, "n", { type: "a/b" });
      file.slice(0, 1, "a/b").text();
      file.arrayBuffer();
      file.stream();
      const data = new FormData();
      data.append("a", "1");
      data.append("f", file);
      data.set("a", "2");
      data.entries().next();
      data.forEach(nothing);
      same(data.getAll("a").length, 1);
      data.delete("a");
      new Response(data).text();
      response.formData();
      new Response("a=1&b=2", { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData();
    });
  },
  async "streams"() {
    await watchAll(() => {
      const start = (controller) => {
        controller.enqueue(bytes);
        controller.close();
      };
      const reader = new ReadableStream({ start }).getReader();
      reader.read();
      reader.read();
      reader.releaseLock();
      const writer = new WritableStream({ write: nothing }).getWriter();
      writer.write(1);
      writer.close();
      const pull = (controller) => controller.enqueue(new Uint8Array(1));
      new ReadableStream({ type: "bytes", pull }).getReader({ mode: "byob" }).read(new Uint8Array(4));
      new ReadableStream().cancel();
      new Response(new ReadableStream({ start })).text();
      const iterator = new ReadableStream({ start }).values();
      iterator.next();
      iterator.return();
    });
    await settled();
  },
  async "globals"() {
    await watchAll(() => {
      same(atob(btoa("abc")), "abc");
      same(structuredClone(1), 1);
      same(crypto.randomUUID().length, 36);
      crypto.getRandomValues(new Uint8Array(2));
      same(performance.now() > 0 && performance.timeOrigin > 0, true);
    });
  },
  async "crypto.subtle"() {
    const { subtle } = crypto;
    const usages = (...list) => ({ get [Symbol.iterator]() { return () => {
      let index = 0;
      return { next: () => (index < list.length ? { done: false, value: list[index++] } : { done: true }) };
    }; } });
    const both = usages("sign", "verify"), ciphers = usages("encrypt", "decrypt", "wrapKey", "unwrapKey");
    const hmac = { name: "HMAC", hash: "SHA-256" }, aes = { name: "AES-GCM", length: 128 }, gcm = { name: "AES-GCM", iv: bytes };
    const made = {
      hmac: await subtle.generateKey(hmac, true, both), aes: await subtle.generateKey(aes, true, ciphers),
      pair: await subtle.generateKey({ name: "ECDSA", namedCurve: "P-384" }, true, both), // elsewhere
      password: await subtle.importKey("raw", bytes, "PBKDF2", false, usages("deriveKey")),
    };
    await watchAll(() => {
      subtle.digest("sha-1", bytes);
      subtle.digest("SHA-512", new Uint8Array(1 << 19)); // elsewhere
      subtle.sign("HMAC", made.hmac, bytes);
      subtle.verify({ name: "ECDSA", hash: { name: "sha-384" } }, made.pair.publicKey, bytes, bytes);
      subtle.encrypt(gcm, made.aes, bytes);
      subtle.exportKey("jwk", made.pair.privateKey);
      subtle.wrapKey("jwk", made.hmac, made.aes, gcm);
      subtle.importKey("jwk", { kty: "oct", k: "AAAA", key_ops: both, oth: noParts }, hmac, true, both);
      subtle.importKey("raw", bytes, hmac, true, both);
      subtle.deriveKey({ name: "PBKDF2", salt: bytes, iterations: 1000, hash: "SHA-1" }, made.password, aes, true, ciphers);
      same(made.pair.publicKey.type + made.hmac.usages.length + made.hmac.algorithm.name, "public2HMAC");
      same(subtle.timingSafeEqual(bytes, bytes), true);
    });
    await settled();
    const stream = new crypto.DigestStream("SHA-256");
    const writer = stream.getWriter();
    await watchAll(() => {
      writer.write(bytes);
      writer.close();
      same(stream.bytesWritten >= 0, true);
    });
    await settled();
  },
  async "structuredClone"() {
    const shared = { n: 1n };
    const buffer = new ArrayBuffer(8);
    const value = {
      shared, list: [1, , "x", shared], map: new Map([[shared, new Set([1])]]), date: new Date(0), expression: /x/g,
      error: new RangeError("r"), bytes, view: new DataView(new ArrayBuffer(4)), blob: new Blob(["b"]), buffer,
      exception: new DOMException("m", "AbortError"), resizable: new Uint8Array(new ArrayBuffer(1, { maxByteLength: 2 })),
    };
    await watchAll(() => {
      const clone = structuredClone(value);
      same(clone.list[3] === clone.shared, true);
      same(clone.error instanceof RangeError && clone.exception instanceof DOMException, true);
    });
    const options = { transfer: { get [Symbol.iterator]() { return () => {
      let done = 0;
      return { next: () => ({ done: done++ > 0, value: buffer }) };
    }; } } };
    await watchAll(() => {
      same(structuredClone(value, options).buffer !== buffer, true);
    });
  },
  async "messages"() {
    let got = 0;
    await watchAll(() => {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => { got++; };
      port1.postMessage({ a: 1 });
      const other = new MessageChannel();
      other.port1.addEventListener("close", nothing);
      other.port1.start();
      other.port2.close();
    });
    await settled();
    same(got, 1);
  },
  async "console"() {
    const value = {
      array: [1, , 2], map: new Map([[1, 2]]), set: new Set([1]), call: nothing, error: new Error("x"), date: new Date(0),
      bytes, text: "it's", symbol: Symbol("q"), big: 1n, class: class A {}, promise: Promise.resolve(1),
    };
    await watchAll(() => {
      console.log(value);
      console.log("%s %d %j %o", 1, 2, 3, value);
      console.group();
      console.groupEnd();
      console.count();
      console.time("x");
      console.timeEnd("x");
      console.trace("x");
      console.assert(false, "x");
    });
  },
});
