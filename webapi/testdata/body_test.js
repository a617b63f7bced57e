import { equal, fromUtf8, rejects, suite, throws, utf8 } from "./check.js";

const streamOf = (...chunks) => new ReadableStream({
  start(controller) {
    for (const chunk of chunks) controller.enqueue(chunk);
    controller.close();
  },
});

export default suite({
  async "text() of each kind of body"() {
    const form = new URLSearchParams([["a b", "\u00e9&"]]);
    for (const [body, want] of [
      ["text", "text"], ["", ""], [utf8("bytes"), "bytes"], [utf8("buffer").buffer, "buffer"],
      [new DataView(utf8("-view-").buffer, 1, 4), "view"], [utf8("-sub-").subarray(1, 4), "sub"],
      [new Uint16Array([0x4241, 0x4443]), "ABCD"], [form, "a+b=%C3%A9%26"], [new Blob(["bl", "ob"]), "blob"],
      [streamOf(utf8("st"), new Uint8Array(0), utf8("ream")), "stream"], [streamOf(), ""], [null, ""], [12, "12"],
      [{ toString: () => "object" }, "object"], [[1, 2], "1,2"], [true, "true"],
    ]) {
      equal(await new Response(body).text(), want, `text of ${want}`);
      equal(fromUtf8(await new Response(body instanceof ReadableStream ? want : body).bytes()), want);
    }
  },

  async "each way of reading"() {
    for (const make of [() => "[1]", () => utf8("[1]"), () => new Blob(["[1]"]), () => streamOf(utf8("[1]"))]) {
      equal(await new Response(make()).text(), "[1]");
      equal(await new Response(make()).json(), [1]);
      const bytes = await new Response(make()).bytes();
      equal(bytes instanceof Uint8Array, true);
      equal([...bytes], [91, 49, 93]);
      const buffer = await new Response(make()).arrayBuffer();
      equal(buffer instanceof ArrayBuffer, true);
      equal(buffer.byteLength, 3);
      const blob = await new Response(make(), { headers: { "content-type": "Text/X; A=b" } }).blob();
      equal(blob instanceof Blob, true);
      equal([blob.size, blob.type, await blob.text()], [3, "text/x;a=b", "[1]"]);
    }
  },

  async "reading null bodies"() {
    const response = new Response();
    equal(await response.text(), "");
    equal((await response.arrayBuffer()).byteLength, 0);
    equal((await response.bytes()).length, 0);
    equal((await response.blob()).size, 0);
    await rejects(SyntaxError, () => response.json());
    await rejects(TypeError, () => response.formData());
    equal(response.bodyUsed, false);
    equal(response.body, null);
  },

  async "UTF-8"() {
    equal(await new Response("\ufeffx\ud800").text(), "x\ufffd");
    equal(await new Response(new Uint8Array([0xef, 0xbb, 0xbf, 0x78, 0xff])).text(), "x\ufffd");
    equal([...await new Response("\u00e9\ud83d\ude00\ud800").bytes()],
      [0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 0xef, 0xbf, 0xbd]);
    equal(await new Response("\ufeff[1]").json(), [1]);
  },

  async "used once"() {
    for (const make of [() => "x", () => utf8("x"), () => new Blob(["x"]), () => streamOf(utf8("x"))]) {
      for (const method of ["text", "json", "bytes", "arrayBuffer", "blob", "formData"]) {
        const response = new Response(make());
        equal(response.bodyUsed, false);
        const first = response[method]().catch(() => {});
        equal(response.bodyUsed, true);
        await rejects(TypeError, () => response[method](), "unusable");
        await first;
        await rejects(TypeError, () => response.text(), "unusable");
        equal(response.body instanceof ReadableStream, true);
      }
    }
  },

  async "streams locked or used"() {
    const locked = new ReadableStream();
    locked.getReader();
    throws(TypeError, () => new Response(locked), "locked");
    const used = streamOf(utf8("x"));
    await used.cancel();
    throws(TypeError, () => new Response(used));
    const response = new Response("x");
    const reader = response.body.getReader();
    equal(response.bodyUsed, false);
    await rejects(TypeError, () => response.text(), "unusable");
    reader.releaseLock();
    equal(await response.text(), "x");
    equal(response.bodyUsed, true);
  },

  async "body streams"() {
    const response = new Response("text");
    const { body } = response;
    equal(response.body, body);
    const { value, done } = await body.getReader().read();
    equal([value instanceof Uint8Array, fromUtf8(value), done], [true, "text", false]);
    equal(response.bodyUsed, true);
    const stream = streamOf(utf8("x"));
    equal(new Response(stream).body, stream);
    const piped = new Response("piped").body;
    equal(await new Response(piped).text(), "piped");
    equal((await new Response("").body.getReader().read()).done, true);
  },

  async "stream errors and bad chunks reject"() {
    const failing = new ReadableStream({ pull(controller) { controller.error(new RangeError("broken")); } });
    await rejects(RangeError, () => new Response(failing).text(), "broken");
    for (const chunk of ["text", 1, null, new ArrayBuffer(1), new Uint16Array(1)]) {
      await rejects(TypeError, () => new Response(streamOf(utf8("a"), chunk)).text());
    }
  },

  async "many chunks"() {
    const chunks = Array.from({ length: 20000 }, () => utf8("ab"));
    equal((await new Response(streamOf(...chunks)).bytes()).length, 40000);
  },

  async "brand checks reject"() {
    for (const method of ["text", "json", "bytes", "arrayBuffer", "blob", "formData"]) {
      await rejects(TypeError, () => Response.prototype[method].call({}), "Illegal invocation");
      await rejects(TypeError, () => Request.prototype[method].call(new Response()), "Illegal invocation");
    }
  },

  async "formData() of forms"() {
    const url = new Response(new URLSearchParams("a=1&b=%C3%A9+x&a=2"));
    const params = await url.formData();
    equal(params instanceof FormData, true);
    equal([...params], [["a", "1"], ["b", "\u00e9 x"], ["a", "2"]]);
    const form = new FormData();
    form.append("text", "l1\nl2");
    form.append('q"\r\n', "v");
    form.append("file", new File(["content"], "n\u00e9.txt", { type: "text/x" }));
    const copy = await new Response(form).formData();
    equal(copy.get("text"), "l1\nl2".replaceAll("\n", "\r\n"));
    equal(copy.get('q"\r\n'), "v");
    const file = copy.get("file");
    equal([file instanceof File, file.name, file.type, await file.text()], [true, "n\u00e9.txt", "text/x", "content"]);
    await rejects(TypeError, () => new Response("x").formData());
    await rejects(TypeError, () => new Response("x", { headers: { "content-type": "multipart/form-data" } }).formData());
  },

  async "detached buffers are empty"() {
    const bytes = utf8("abc");
    const { buffer } = bytes;
    buffer.transfer();
    equal(await new Response(bytes).text(), "");
    equal(await new Response(buffer).text(), "");
    const response = new Response("abc");
    const read = await response.bytes();
    read.buffer.transfer();
    equal(response.bodyUsed, true);
  },

  async "a body is what it was when it was given"() {
    const params = new URLSearchParams("a=1");
    const response = new Response(params);
    params.append("b", "2");
    equal(await response.text(), "a=1");
    const form = new FormData();
    form.append("a", "1");
    const multipart = new Response(form);
    form.append("b", "2");
    equal([...await multipart.formData()], [["a", "1"]]);
  },
});
