// fetch(), against the origins of isolates/outbound_test.go.
import { equal, rejects, suite, throws, utf8 } from "./check.js";

const echo = async (input, init) => (await fetch(input, init)).json();
const seen = async () => (await fetch("http://origin/seen")).json();
const streamOf = (...chunks) => new ReadableStream({
  async pull(controller) {
    await null;
    if (chunks.length === 0) controller.close();
    else controller.enqueue(utf8(chunks.shift()));
  },
});

export default suite({
  async "a plain GET"() {
    equal(fetch.length, 1);
    const response = await fetch("http://Origin:80/a/../echo?q#fragment");
    equal([response.status, response.ok, response.url, response.redirected, response.type],
      [200, true, "http://origin/echo?q", false, "basic"]);
    equal(response instanceof Response, true);
    const got = await response.json();
    equal([got.what, got.target, got.head, got.hasBody, got.follows], [1, "GET http://origin/echo?q", "", false, false]);
    equal(response.bodyUsed, true);
    await rejects(TypeError, () => response.text(), "already read");
  },

  async "response headers and status"() {
    const response = await fetch(new URL("http://origin/status/404"));
    equal([response.status, response.ok, response.statusText], [404, false, "Reason"]);
    equal(response.headers.get("Content-Type"), "text/plain");
    equal(response.headers.getSetCookie(), ["a=1", "b=2"]);
    throws(TypeError, () => response.headers.set("a", "b"), "immutable");
    equal(new Headers(response.headers).get("content-type"), "text/plain");
    const nothing = await fetch("http://origin/null");
    equal([nothing.status, nothing.body, await nothing.text()], [204, null, ""]);
    const moved = await fetch("http://origin/redirected");
    equal([moved.url, moved.redirected, moved.type, await moved.text()], ["http://other/place", true, "cors", "there"]);
  },

  async "methods and headers"() {
    const got = await echo("http://origin/echo", {
      method: "put", body: "x",
      headers: { Accept: "a/b", "X-One": 1, Host: "evil", Connection: "x-hop", "X-Hop": "no", "Content-Length": "9",
        TE: "trailers", "Transfer-Encoding": "chunked", Expect: "100-continue", Date: "now", Upgrade: "h2c" },
    });
    equal([got.target, got.body], ["PUT http://origin/echo", "x"]);
    equal(got.head, "accept: a/b\r\nx-one: 1\r\ndate: now\r\ncontent-type: text/plain;charset=UTF-8\r\n");
    equal((await echo("http://origin/echo", { method: "patch" })).target, "patch http://origin/echo");
    equal((await echo("http://origin/echo", { headers: [["A", "1"], ["a", "2"]] })).head, "a: 1\r\na: 2\r\n");
    await rejects(TypeError, () => fetch("http://origin/", { method: "TRACE" }), "unsupported");
    await rejects(TypeError, () => fetch("http://origin/", { method: "A B" }), "not a valid");
    await rejects(TypeError, () => fetch("http://origin/", { headers: { "a b": "1" } }), "Invalid name");
  },

  async "bodies"() {
    const post = (body, init) => echo("http://origin/echo", { method: "POST", body, ...init });
    const text = await post("t\u20ac");
    equal([text.body, text.head, text.hasBody], ["t\u20ac", "content-type: text/plain;charset=UTF-8\r\n", true]);
    equal((await post("")).hasBody, true);
    equal((await post(null)).hasBody, false);
    const bytes = utf8("bytes");
    equal([(await post(bytes)).body, (await post(bytes.buffer)).head], ["bytes", ""]);
    equal((await post(new DataView(bytes.buffer, 1, 2))).body, "yt");
    equal((await post(new Blob(["blob"], { type: "a/b" }))).head, "content-type: a/b\r\n");
    const params = await post(new URLSearchParams({ a: "1 2" }));
    equal([params.body, params.head],
      ["a=1+2", "content-type: application/x-www-form-urlencoded;charset=UTF-8\r\n"]);
    const form = new FormData();
    form.append("name", "value");
    const sent = await post(form);
    const boundary = /boundary=(\S+)/.exec(sent.head)[1];
    equal(sent.body.startsWith(`--${boundary}\r\n`), true);
    equal((await post("{}", { headers: { "content-type": "application/json" } })).head,
      "content-type: application/json\r\n");
    equal((await post("{}", { headers: new Headers({ "content-type": "application/json" }) })).head,
      "content-type: application/json\r\n");
    await rejects(TypeError, () => fetch("http://origin/", { body: "x" }), "GET/HEAD");
    await rejects(TypeError, () => fetch("http://origin/", { method: "HEAD", body: "x" }), "GET/HEAD");
  },

  async "bodies that stream"() {
    const post = (body, init) => echo("http://origin/echo", { method: "POST", body, ...init });
    const got = await post(streamOf("one ", "two ", "three"));
    equal([got.body, got.follows, got.length], ["one two three", true, -1]);
    equal((await post(streamOf("x"), { duplex: "half" })).body, "x");
    const { readable, writable } = new FixedLengthStream(6);
    const writer = writable.getWriter();
    writer.write(utf8("sixsix"));
    writer.close();
    const fixed = await post(readable);
    equal([fixed.body, fixed.length], ["sixsix", 6]);
    // A buffered one needs no pumping.
    equal((await post(new Response("whole").body)).follows, false);
    const used = streamOf("x");
    used.getReader();
    await rejects(TypeError, () => post(used), "locked");
    const cause = new Error("mine");
    const broken = new ReadableStream({ pull(controller) { controller.error(cause); } });
    const error = await post(broken).catch((reason) => reason);
    equal([error.constructor, error.cause], [TypeError, cause]);
    await rejects(TypeError, () => post(new ReadableStream({ pull(c) { c.enqueue("text"); } })), "body");
  },

  async "large blobs and forms go out in pieces"() {
    const post = (body) => echo("http://origin/echo", { method: "POST", body });
    const large = new Uint8Array(1024 * 1024 + 1).fill(65);
    const got = await post(new Blob([large]));
    equal([got.follows, got.length, got.body.length, got.body.endsWith("AA")], [true, large.length, large.length, true]);
    equal((await post(new Blob([large.subarray(1)]))).follows, false);
    const file = new File([large.subarray(0, 300 * 1024)], "f");
    const form = new FormData();
    form.append("a", "b");
    form.append("f", file);
    const sent = await post(form);
    equal([sent.follows, sent.length, sent.body.length > file.size], [true, sent.body.length, true]);
    const type = /: (.*)\r/.exec(sent.head)[1];
    const parsed = await new Response(sent.body, { headers: { "content-type": type } }).formData();
    equal([parsed.get("a"), await parsed.get("f").text() === await file.text()], ["b", true]);
    // What nobody has read of a body's stream needs no pumping either.
    const { body } = new Response("text");
    equal([(await post(new Response(body).body)).follows, body.locked], [false, true]);
  },

  async "integrity"() {
    const url = "http://origin/stream/10";
    const bytes = await (await fetch(url)).bytes();
    const metadata = async (hash) => {
      const digest = new Uint8Array(await crypto.subtle.digest(hash, bytes));
      return hash.toLowerCase().replace("-", "") + "-" + btoa(String.fromCharCode(...digest));
    };
    const right = [await metadata("SHA-256"), await metadata("SHA-384"), await metadata("SHA-512")];
    const wrong = right.map((item) => item.slice(0, 20) + (item[20] === "A" ? "B" : "A") + item.slice(21));
    for (const integrity of [...right, right[2].replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""),
      wrong[0] + " " + right[1], wrong[2] + "\n" + right[2] + "?x", "md5-AAAA nonsense", " ", "SHA256-" + right[0].slice(7)]) {
      const response = await fetch(url, { integrity });
      equal([response.status, response.bodyUsed, (await response.bytes()).length], [200, false, bytes.length], integrity);
      equal((await (await fetch(new Request(url, { integrity }))).clone().text()).length, bytes.length);
    }
    for (const integrity of [wrong[0], right[1] + " " + wrong[2], "sha256-", "sha512-!", wrong.join(" ")]) {
      await rejects(TypeError, () => fetch(url, { integrity }), "integrity");
    }
    await rejects(TypeError, () => fetch("http://origin/null", { integrity: right[0] }), "integrity");
    const controller = new AbortController();
    const hanging = fetch("http://origin/hang", { integrity: right[0], signal: controller.signal }).catch((e) => e);
    await scheduler.wait(1);
    controller.abort("stop");
    equal(await hanging, "stop");
    equal((await seen()).open, 0);
  },

  async "caches that fetch"() {
    const cache = await caches.open("fetched");
    await cache.addAll(["http://origin/stream/3", new Request("http://origin/redirected#fragment")]);
    equal((await cache.keys()).map(({ url }) => url), ["http://origin/stream/3", "http://origin/redirected"]);
    equal((await (await cache.match("http://origin/stream/3")).bytes()).length, 30_000);
    const moved = await caches.match("http://origin/redirected");
    equal([moved.url, moved.redirected, moved.type, await moved.text()], ["http://other/place", true, "cors", "there"]);
    equal(await cache.add("http://origin/status/204"), undefined);
    const before = (await cache.keys()).length;
    await rejects(TypeError, () => cache.addAll(["http://origin/echo", "http://origin/status/404"]), "404");
    await rejects(TypeError, () => cache.add("http://origin/fault/1"), "fault 1");
    await rejects(TypeError, () => cache.add(new Request("http://origin/echo", { method: "POST" })), "GET");
    equal((await cache.keys()).length, before);
    equal(await caches.delete("fetched"), true);
    equal((await seen()).open, 0);
  },

  async "options that are checked, and mode no-cors"() {
    const url = "http://origin/echo";
    const signal = AbortSignal.abort();
    await rejects(TypeError, () => fetch(url, { window: {}, signal }), "window");
    await rejects(TypeError, () => fetch(url, { mode: "navigate", signal }), "navigate");
    await rejects(TypeError, () => fetch(url, { referrer: "http://:1:", signal }), "parse URL");
    await rejects(TypeError, () => fetch(url, { cache: "only-if-cached", signal }), "only-if-cached");
    await rejects(TypeError, () => fetch(url, { mode: "no-cors", method: "PUT", signal }), "no-cors");
    const headers = { accept: "a/b", authorization: "c" };
    equal((await echo(url, { mode: "no-cors", headers })).head, "accept: a/b\r\n");
    equal((await echo(url, { mode: "no-cors", method: "POST", body: "x" })).head,
      "content-type: text/plain;charset=UTF-8\r\n");
    equal((await echo(new Request(url, { headers }), { mode: "no-cors" })).head, "accept: a/b\r\n");
  },

  async "a Request as input"(incoming) {
    const request = new Request("http://origin/echo", { method: "POST", body: "b", headers: { a: "1" } });
    const got = await echo(request);
    equal([got.body, got.head], ["b", "a: 1\r\ncontent-type: text/plain;charset=UTF-8\r\n"]);
    equal(request.bodyUsed, true);
    await rejects(TypeError, () => fetch(request), "unusable");
    const changed = await echo(new Request("http://origin/echo", { headers: { a: "1" } }), { headers: { b: "2" } });
    equal(changed.head, "b: 2\r\n");
    // One that came in is passed on with its headers, and hands redirects to the client.
    const passed = await echo(new Request("http://origin/echo", incoming));
    equal([passed.target, passed.manual, passed.body], ["POST http://origin/echo", true, "body \u00e9\ud83d\ude00"]);
    equal(passed.head, "content-type: text/plain\r\nx-multi: a\r\nx-multi: b\r\ncookie: c=1\r\ncookie: d=2\r\nx-empty: \r\n");
    equal(incoming.bodyUsed, true);
  },

  async "redirect modes and other members"() {
    equal((await echo("http://origin/echo", { redirect: "manual" })).manual, true);
    equal((await echo("http://origin/echo", { redirect: "error" })).error, true);
    equal((await echo("http://origin/echo", { cf: { cacheTtl: 5 }, unknown: 1, keepalive: true, mode: "no-cors",
      cache: "no-store", credentials: "omit", integrity: "", priority: "high", referrer: "", signal: null })).what, 1);
    await rejects(TypeError, () => fetch("http://origin/", { redirect: "maybe" }), "RequestRedirect");
    await rejects(TypeError, () => fetch("http://origin/", { signal: {} }), "AbortSignal");
    await rejects(TypeError, () => fetch("http://origin/", 5), "RequestInit");
  },

  async "URLs that are none"() {
    await rejects(TypeError, () => fetch(), "1 argument required");
    await rejects(TypeError, () => fetch("/relative"), "Failed to parse URL");
    await rejects(TypeError, () => fetch("http://user:secret@origin/"), "credentials");
    await rejects(TypeError, () => fetch("ftp://origin/"), "'ftp'");
    await rejects(TypeError, () => fetch("file:///etc/passwd"), "'file'");
    await rejects(TypeError, () => fetch("ws://origin/"), "'ws'");
  },

  async "data: URLs"() {
    const get = async (url) => {
      const response = await fetch(url);
      return [response.headers.get("content-type"), await response.text()];
    };
    equal(await get("data:,a%20b%zz"), ["text/plain;charset=US-ASCII", "a b%zz"]);
    equal(await get("data:text/html;charset=utf-8,%E2%82%AC#x"), ["text/html;charset=utf-8", "\u20ac"]);
    equal(await get("data:;charset=utf-8,x"), ["text/plain;charset=utf-8", "x"]);
    equal(await get("data:a/b;base64,eH%6B%3D"), ["a/b", "xy"]);
    equal(await get("data:a/b; base64 ,eA"), ["a/b", "x"]);
    equal((await get("data:a/b;base64x,eA"))[1], "eA");
    equal(await get("data:image/png; BASE64,eA=="), ["image/png", "x"]);
    await rejects(TypeError, () => fetch("data:text/plain"), "data: URL");
    await rejects(TypeError, () => fetch("data:;base64,*"), "data: URL");
  },

  async "faults"() {
    const fault = (number) => fetch(`http://origin/fault/${number}`);
    await rejects(TypeError, () => fault(1), "fault 1");
    await rejects("AbortError", () => fault(2), "fault 2");
    await rejects("TimeoutError", () => fault(3), "fault 3");
    await rejects(TypeError, () => fault(5), "fault 5");
    const response = await fetch("http://origin/break");
    await rejects(TypeError, () => response.text(), "broke off");
  },

  async "bodies of responses stream"() {
    const response = await fetch("http://origin/stream/40");
    const reader = response.body.getReader();
    let length = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) length += read.value.length;
    equal(length, 400_000);
    equal((await (await fetch("http://origin/stream/30")).text()).length, 300_000);
    equal((await (await fetch("http://origin/stream/30")).arrayBuffer()).byteLength, 300_000);
    const { length: open } = Object.keys(await seen());
    equal(open, 3);
    equal((await seen()).open, 0);
  },

  async "a body that nobody wants"() {
    const before = await seen();
    const response = await fetch("http://origin/hang");
    await response.body.cancel();
    const after = await seen();
    equal([after.canceled - before.canceled, after.open], [1, 0]);
  },

  async "a clone"() {
    const response = await fetch("http://origin/stream/3");
    const clone = response.clone();
    equal((await clone.text()).length, 30_000);
    equal((await response.text()).length, 30_000);
  },

  async "headers that a content coding hides"() {
    const response = await fetch("http://origin/encoded");
    equal((await response.text()).length, 10_000);
  },

  async "AbortSignal before"() {
    const reason = { why: 1 };
    const error = await fetch("http://origin/never", { signal: AbortSignal.abort(reason) }).catch((e) => e);
    equal(error, reason);
    let canceled;
    const body = new ReadableStream({ cancel(why) { canceled = why; } });
    await fetch("http://origin/never", { method: "POST", body, signal: AbortSignal.abort(reason) }).catch(() => {});
    equal(canceled, reason);
    await rejects("AbortError", () => fetch("http://origin/never", { signal: AbortSignal.abort() }));
    await rejects("AbortError", () => fetch(new Request("http://origin/never", { signal: AbortSignal.abort() })));
  },

  async "AbortSignal while it waits"() {
    const before = await seen();
    const controller = new AbortController();
    const promise = fetch("http://origin/never", { signal: controller.signal });
    const reason = new Error("enough");
    controller.abort(reason);
    equal(await promise.catch((e) => e), reason);
    await rejects("TimeoutError", () => fetch("http://origin/never", { signal: AbortSignal.timeout(1) }));
    const request = new Request("http://origin/never", { signal: AbortSignal.timeout(1) });
    await rejects("TimeoutError", () => fetch(request));
    const after = await seen();
    equal([after.aborted - before.aborted, after.open], [3, 0]);
  },

  async "AbortSignal while the body streams"() {
    const controller = new AbortController();
    const response = await fetch("http://origin/hang", { signal: controller.signal });
    const reader = response.body.getReader();
    equal((await reader.read()).value.length, 10_000);
    const next = reader.read();
    controller.abort("stop");
    equal(await next.catch((e) => e), "stop");
    const other = new AbortController();
    const unread = await fetch("http://origin/hang", { signal: other.signal });
    other.abort("unread");
    equal(await unread.text().catch((e) => e), "unread");
    const both = new AbortController();
    const cloned = await fetch("http://origin/hang", { signal: both.signal });
    const clone = cloned.clone();
    const texts = [cloned.text().catch((e) => e), clone.text().catch((e) => e)];
    both.abort("both");
    equal(await Promise.all(texts), ["both", "both"]);
    const piped = new AbortController();
    const { body } = await fetch("http://origin/hang", { signal: piped.signal });
    const through = new Response(body.pipeThrough(new TransformStream())).text().catch((e) => e);
    piped.abort("piped");
    equal(await through, "piped");
    const whole = await fetch("http://origin/echo", { signal: controller.signal }).catch((e) => e);
    equal(whole, "stop");
    const late = new AbortController();
    const done = await fetch("http://origin/echo", { signal: late.signal });
    const copy = done.clone();
    late.abort("late");
    equal([await done.text().catch((e) => e), await done.json().catch((e) => e)], ["late", "late"]);
    equal(await copy.body.getReader().read().catch((e) => e), "late");
    equal(done.bodyUsed, false);
    equal((await seen()).open, 0);
  },

  async "AbortSignal while the request's body streams"() {
    const controller = new AbortController();
    let canceled;
    let pulls = 0;
    const body = new ReadableStream({
      pull(stream) {
        if (++pulls < 3) stream.enqueue(utf8("x"));
        else return new Promise(() => {});
      },
      cancel(reason) { canceled = reason; },
    });
    const promise = fetch("http://origin/echo", { method: "POST", body, signal: controller.signal });
    await scheduler.wait(1);
    controller.abort("halfway");
    equal([await promise.catch((e) => e), canceled], ["halfway", "halfway"]);
  },

  async "a signal that lives long collects nothing"() {
    const controller = new AbortController();
    for (let i = 0; i < 20; i++) await (await fetch("http://origin/stream/2", { signal: controller.signal })).text();
    controller.abort();
    equal((await seen()).open, 0);
  },

  async "many at once"() {
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => echo(`http://origin/echo?${i}`)));
    equal(all[99].target, "GET http://origin/echo?99");
  },

  async "upgrade to a WebSocket"() {
    const response = await fetch("http://origin/ws", { headers: { Upgrade: "websocket" } });
    equal([response.status, response.body], [101, null]);
    const socket = response.webSocket;
    equal([socket instanceof WebSocket, socket.readyState, socket.url], [true, 1, "http://origin/ws"]);
    throws(TypeError, () => socket.send("early"), "accept()");
    socket.accept();
    const message = new Promise((resolve) => socket.addEventListener("message", resolve));
    socket.send("hello");
    equal((await message).data, "hello");
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.close(1000, "bye");
    const { code, reason, wasClean } = await closed;
    equal([code, reason, wasClean], [1000, "bye", true]);
    equal((await seen()).open, 0);
    equal((await fetch("http://origin/echo")).webSocket, null);
  },

  // Before the first use of performance nothing is noted; the tests above made no entry.
  async "entries of performance"() {
    equal(performance.getEntries(), []);
    const observer = new PerformanceObserver(() => {});
    observer.observe({ type: "resource" });
    const entryOf = async (url, use) => {
      await use(url);
      const [entry] = observer.takeRecords();
      return entry;
    };
    const whole = await entryOf("http://origin/echo#fragment", echo);
    equal([whole instanceof PerformanceResourceTiming, whole.name, whole.entryType, whole.initiatorType, whole.responseStatus],
      [true, "http://origin/echo", "resource", "fetch", 200]);
    equal([whole.startTime === whole.fetchStart, whole.responseStart >= whole.fetchStart, whole.responseEnd >= whole.responseStart,
      whole.duration === whole.responseEnd - whole.startTime], [true, true, true, true]);
    equal(whole.toJSON().contentType, whole.contentType);
    const streamed = await entryOf("http://origin/stream/3", async (url) => (await fetch(url)).bytes());
    equal([streamed.name, streamed.responseStatus], ["http://origin/stream/3", 200]);
    const failed = await entryOf("http://origin/fault/2", (url) => fetch(url).catch(() => {}));
    equal([failed.name, failed.responseStatus, failed.responseStart, failed.transferSize], ["http://origin/fault/2", 0, 0, 0]);
    const canceled = await entryOf("http://origin/hang", async (url) => (await fetch(url)).body.cancel());
    equal(canceled.name, "http://origin/hang");
    const controller = new AbortController();
    const pending = fetch("http://origin/never", { signal: controller.signal }).catch(() => {});
    controller.abort();
    await pending;
    equal(observer.takeRecords(), []);
    equal(performance.getEntriesByType("resource").length, 4);
    observer.disconnect();

    performance.setResourceTimingBufferSize(5);
    let told = 0;
    performance.onresourcetimingbufferfull = () => { told++; };
    await echo("http://origin/echo?fits");
    await echo("http://origin/echo?too-many");
    await new Promise((resolve) => setTimeout(resolve, 1));
    equal([told, performance.getEntriesByType("resource").length], [1, 5]);
    performance.onresourcetimingbufferfull = () => { performance.setResourceTimingBufferSize(10); };
    await echo("http://origin/echo?makes-room");
    await new Promise((resolve) => setTimeout(resolve, 1));
    equal(performance.getEntriesByType("resource").map((entry) => entry.name.split("?")[1]).slice(4), ["fits", "makes-room"]);
    const [, , options] = await new Promise((resolve) => {
      const late = new PerformanceObserver((...args) => {
        late.disconnect();
        resolve(args);
      });
      late.observe({ type: "resource", buffered: true });
    });
    equal(options.droppedEntriesCount, 2);
    performance.clearResourceTimings();
    equal(performance.getEntries(), []);
  },
});
