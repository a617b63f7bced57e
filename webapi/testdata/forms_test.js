import { equal, fromUtf8, rejects, shape, suite, throws, utf8 } from "./check.js";

const multipart = (text, boundary = "B") => new Response(text.replaceAll("\n", "\r\n"), {
  headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
}).formData();

export default suite({
  "shapes"() {
    shape(Blob, 0, { slice: 0, stream: 0, text: 0, arrayBuffer: 0, bytes: 0 }, ["size", "type"]);
    shape(FormData, 0, {
      append: 2, delete: 1, get: 1, getAll: 1, has: 1, set: 2, forEach: 1, entries: 0, keys: 0, values: 0,
    }, []);
    equal([File.length, Object.getPrototypeOf(File), FormData.prototype[Symbol.iterator]],
      [2, Blob, FormData.prototype.entries]);
    equal(Object.prototype.toString.call(new File([], "x")), "[object File]");
  },

  async "Blob"() {
    const blob = new Blob(["a\u00e9", utf8("b"), utf8("-c-").subarray(1, 2), new Blob(["d"]), utf8("e").buffer, 5,
      new DataView(utf8("f").buffer)], { type: "Text/Plain" });
    equal([blob.size, blob.type, await blob.text()], [9, "text/plain", "a\u00e9bcde5f"]);
    equal([...await blob.bytes()].length, 9);
    equal((await blob.arrayBuffer()).byteLength, 9);
    const part = blob.slice(3, -2, "x/y");
    equal([part.size, part.type, await part.text(), part instanceof Blob], [4, "x/y", "bcde", true]);
    equal(await blob.slice(-3).text(), "e5f");
    equal([blob.slice(5, 2).size, blob.slice(100).size, blob.slice(NaN, 1e30).size], [0, 0, 9]);
    equal([new Blob([], { type: "\u00e9" }).type, new Blob().size], ["", 0]);
    equal(await new Blob(["a\r\nb\rc\n"], { endings: "native" }).text(), "a\nb\nc\n");
    throws(TypeError, () => new Blob("text"));
    throws(TypeError, () => new Blob([], { endings: "other" }));
    throws(TypeError, () => new Blob({}));
    const clone = structuredClone(blob);
    equal([clone instanceof Blob, clone === blob, await clone.text()], [true, false, await blob.text()]);
  },

  async "blobs of blobs"() {
    const size = 200 * 1024 + 3;
    const bytes = new Uint8Array(size).map((_, i) => i * 7);
    const large = new Blob([bytes]);
    const whole = new Blob(["head", large, "mid", "dle", large.slice(5, -5), new Uint8Array(2)]);
    const want = [...utf8("head"), ...bytes, ...utf8("middle"), ...bytes.subarray(5, -5), 0, 0];
    const same = (got, from, to) => got.length === to - from && got.every((byte, i) => byte === want[from + i]);
    equal([whole.size, same(await whole.bytes(), 0, want.length)], [want.length, true]);
    for (const [from, to] of [[0, 1], [3, 5], [1, size], [size, size + 20], [size + 2, want.length - 1], [9, 9]]) {
      const part = whole.slice(from, to);
      equal([part.size, same(await part.bytes(), from, to)], [to - from, true]);
      const chunks = await Array.fromAsync(part.stream());
      equal(chunks.every((chunk) => chunk.length <= 64 * 1024), true);
      equal(same(chunks.flatMap((chunk) => [...chunk]), from, to), true);
      equal(same(await new Response(part).bytes(), from, to), true);
      equal(same(await new Response(part.stream()).clone().bytes(), from, to), true);
    }
    const reader = whole.stream().getReader({ mode: "byob" });
    let at = 0;
    for (let view = new Uint8Array(50000);;) {
      const { value, done } = await reader.read(view);
      if (done) break;
      if (!same(value, at, at + value.length)) throw new Error("wrong bytes at " + at);
      at += value.length;
      view = new Uint8Array(value.buffer);
    }
    equal(at, want.length);
    equal(new Blob([structuredClone(whole)]).size, want.length);
  },

  "blobs of buffers that are gone"() {
    const buffer = new ArrayBuffer(8);
    const view = new Uint8Array(buffer);
    const parts = [buffer, view, "x", { toString() { structuredClone(buffer, { transfer: [buffer] }); return "y"; } }];
    equal(new Blob(parts).size, 2);
    const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
    const shrunk = { toString() { resizable.resize(3); return "z"; } };
    equal(new Blob([resizable, new Uint8Array(resizable), shrunk]).size, 7);
  },

  async "blob: URLs"() {
    const blob = new Blob(["abcdef"], { type: "text/x" });
    const url = URL.createObjectURL(blob);
    equal([/^blob:null\/[-0-9a-f]{36}$/.test(url), new URL(url).origin, URL.createObjectURL(blob) === url],
      [true, "null", false]);
    const response = await fetch(url + "#fragment");
    equal([response.status, response.statusText, response.type, response.url, [...response.headers]],
      [200, "OK", "basic", url, [["content-length", "6"], ["content-type", "text/x"]]]);
    equal(await response.text(), "abcdef");
    throws(TypeError, () => response.headers.set("a", "b"), "immutable");
    await rejects(TypeError, () => fetch(url + "?query"), "no Blob");
    await rejects(TypeError, () => fetch(url, { method: "POST" }), "GET");
    const request = new Request(url);
    URL.revokeObjectURL(url + "#fragment");
    equal(await (await fetch(url)).text(), "abcdef");
    URL.revokeObjectURL(url);
    URL.revokeObjectURL("no URL at all");
    await rejects(TypeError, () => fetch(url), "no Blob");
    equal(await (await fetch(request.clone())).text(), "abcdef");
    equal(await (await fetch(request)).text(), "abcdef");
    throws(TypeError, () => URL.createObjectURL({}), "Blob");
    throws(TypeError, () => URL.createObjectURL(), "1 argument required");
    throws(TypeError, () => URL.revokeObjectURL(), "1 argument required");
  },

  async "types of bodies"() {
    const typeOf = async (...values) => {
      const response = new Response("x", { headers: values.map((value) => ["content-type", value]) });
      return (await response.blob()).type;
    };
    equal(await typeOf("Text/HTML; Charset=\"UTF-8\" ;x=(;y;z=;x=2"), "text/html;charset=UTF-8;x=\"(\"");
    equal(await typeOf("text/plain;charset=x", "text/plain"), "text/plain;charset=x");
    equal(await typeOf("text/plain;charset=x", "text/html"), "text/html");
    equal(await typeOf("text/plain;a=\",\"", "*/*"), "text/plain;a=\",\"");
    equal(await typeOf("text/plain;a=\"\\\"\\"), "text/plain;a=\"\\\"\\\\\"");
    for (const type of ["", "/", "a/", "/b", "a b/c", "a/b c", "a"]) equal(await typeOf(type), "", type);
    equal((await new Response("x").blob()).type, "text/plain;charset=UTF-8");
    equal((await new Response(new Uint8Array(1)).blob()).type, "");
  },

  async "FileReader"() {
    equal([FileReader.EMPTY, FileReader.prototype.LOADING, new FileReader().DONE], [0, 1, 2]);
    const read = (method, blob, ...rest) => new Promise((resolve) => {
      const reader = new FileReader();
      const log = [reader.readyState];
      const types = ["loadstart", "progress", "load", "abort", "error", "loadend"];
      for (const type of types) {
        reader["on" + type] = (event) => {
          log.push(type, event.loaded, event.total, event.isTrusted, reader.readyState);
          Promise.resolve().then(() => log.push("-"));
          if (type === "loadend") resolve([reader.result, log.join(" ")]);
        };
      }
      reader[method](blob, ...rest);
      throws("InvalidStateError", () => reader[method](blob), "busy");
      equal([reader.readyState, reader.result], [1, null]);
    });
    const blob = new Blob(["\ufeffab\u00e9"], { type: "text/x" });
    const [text, log] = await read("readAsText", blob);
    equal(text, "ab\u00e9");
    equal(log, "0 loadstart 0 7 true 1 - progress 7 7 true 1 - load 7 7 true 2 - loadend 7 7 true 2");
    equal((await read("readAsText", new Blob([])))[1], "0 loadstart 0 0 true 1 - load 0 0 true 2 - loadend 0 0 true 2");
    equal((await read("readAsText", new Blob(["a\0"], { type: "x/y;charset=utf-16le" })))[0], "a");
    equal((await read("readAsText", new Blob(["\0a"]), "utf-16be"))[0], "a");
    equal((await read("readAsText", new Blob(["a"], { type: "x/y;charset=none" }), "nonsense"))[0], "a");
    equal((await read("readAsDataURL", new Blob(["abc"])))[0], "data:application/octet-stream;base64,YWJj");
    equal((await read("readAsDataURL", new Blob(["abc"], { type: "t/x" })))[0], "data:t/x;base64,YWJj");
    equal((await read("readAsBinaryString", new Blob(["\u00e9"])))[0], "\u00c3\u00a9");
    equal([...new Uint8Array((await read("readAsArrayBuffer", new Blob(["abc"])))[0])], [97, 98, 99]);
    throws(TypeError, () => new FileReader().readAsText("x"), "Blob");
    throws(TypeError, () => FileReader.prototype.abort.call({}));
  },

  async "FileReader, aborted and begun anew"() {
    const reader = new FileReader();
    const log = [];
    for (const type of ["loadstart", "progress", "load", "abort", "loadend"]) {
      reader.addEventListener(type, () => log.push(type + " " + reader.readyState + " " + reader.result));
    }
    reader.abort();
    reader.readAsText(new Blob(["one"]));
    reader.abort();
    equal(log, ["abort 2 null", "loadend 2 null"]);
    await new Promise((resolve) => {
      reader.onprogress = () => {
        reader.onprogress = null;
        reader.abort();
        reader.readAsText(new Blob(["two"]));
      };
      reader.onload = resolve;
      reader.readAsText(new Blob(["one"]));
    });
    await scheduler.wait(1);
    equal(log.slice(2), ["loadstart 1 null", "progress 1 null", "abort 2 null", "loadend 2 null", "loadstart 1 null",
      "progress 1 null", "load 2 two", "loadend 2 two"]);
  },

  "FileReaderSync"() {
    const reader = new FileReaderSync();
    equal([reader.readAsText(new Blob(["ab"])), reader.readAsBinaryString(new Blob(["\u00e9"])),
      reader.readAsDataURL(new Blob(["abc"])), reader.readAsArrayBuffer(new Blob(["ab"])).byteLength],
    ["ab", "\u00c3\u00a9", "data:application/octet-stream;base64,YWJj", 2]);
    throws(TypeError, () => reader.readAsText({}), "Blob");
  },

  "ProgressEvent"() {
    const event = new ProgressEvent("x", { lengthComputable: 1, loaded: 1.5, total: "3", cancelable: true });
    equal([event.type, event.lengthComputable, event.loaded, event.total, event.cancelable, event.isTrusted],
      ["x", true, 1.5, 3, true, false]);
    throws(TypeError, () => new ProgressEvent());
    throws(TypeError, () => new ProgressEvent("x", { loaded: NaN }));
  },

  async "multipart bodies of many windows"() {
    const form = new FormData();
    const file = new Uint8Array(300 * 1024).fill(13);
    file.set([13, 10, 45, 45], 65534);
    for (let i = 0; i < 300; i++) form.append("n" + i, "v".repeat(i * 7));
    form.append("large", new File([file], "l\r\n\".bin"));
    for (let i = 0; i < 50; i++) form.append("f" + i, new Blob([new Uint8Array(3000 + i).fill(i)], { type: "T/" + i }));
    const response = new Response(form);
    const { body } = response;
    const chunks = [];
    for await (const chunk of body) chunks.push(chunk);
    equal([chunks.length > 8, chunks.every((chunk) => chunk.length <= 64 * 1024)], [true, true]);
    const type = response.headers.get("content-type");
    const parsed = await new Response(new Blob(chunks), { headers: { "content-type": type } }).formData();
    equal([...parsed].length, 351);
    for (let i = 0; i < 300; i++) equal(parsed.get("n" + i), "v".repeat(i * 7));
    const large = parsed.get("large");
    equal([large.name, large.type, large.size], ["l\r\n\".bin", "application/octet-stream", file.length]);
    const got = await large.bytes();
    equal(got.every((byte, i) => byte === file[i]), true);
    for (let i = 0; i < 50; i++) {
      const bytes = await parsed.get("f" + i).bytes();
      equal([parsed.get("f" + i).type, bytes.length, bytes.every((byte) => byte === i)], ["t/" + i, 3000 + i, true]);
    }
  },

  async "boundaries among line breaks"() {
    const fillers = ["\r".repeat(5000), "\r\n".repeat(5000), "\r\n--".repeat(3000), "x".repeat(9000) + "\r\n--",
      "\r\n--B"];
    for (const filler of fillers) {
      const file = filler + "-";
      const text = "--BOUND\r\nContent-Disposition: form-data; name=f; filename=n\r\n\r\n" + file +
        "\r\n--BOUND\r\nContent-Disposition: form-data; name=a\r\n\r\n" + filler + "\r\n--BOUND--";
      const init = { headers: { "content-type": "multipart/form-data; boundary=BOUND" } };
      const form = await new Response(text, init).formData();
      equal([await form.get("f").text() === file, form.get("a") === filler], [true, true]);
      await rejects(TypeError, () => new Response(text.slice(0, -9), init).formData(), "without end");
    }
  },

  async "types that take long to parse"() {
    let many = "a/b";
    for (let i = 0; i < 3000; i++) many += ";p" + i + "=v";
    for (const value of [many, "a/b" + ";".repeat(30000), "a/b;" + "x;".repeat(15000), "a/b" + ";a=\"".repeat(7000),
      ",".repeat(30000), "a/b,".repeat(7000), "a/b;" + " ".repeat(30000) + "x"]) {
      const { type } = await new Response("", { headers: { "content-type": value } }).blob();
      equal(value === many ? type === many : type.length < 20000, true);
      await rejects(TypeError, () => new Response("", { headers: { "content-type": value } }).formData());
    }
  },

  async "multipart bodies are held to limits"() {
    const part = "--B\nContent-Disposition: form-data; name=a\n\n\n";
    equal([...await multipart(part.repeat(65536) + "--B--")].length, 65536);
    await rejects(TypeError, () => multipart(part.repeat(65537) + "--B--"), "more than 65536 parts");
    const header = "X-A: " + "a".repeat(8000) + "\n";
    equal([...await multipart("--B\n" + header + "Content-Disposition: form-data; name=a\n\nx\n--B--")],
      [["a", "x"]]);
    await rejects(TypeError, () => multipart("--B\n" + header.repeat(3) +
      "Content-Disposition: form-data; name=a\n\nx\n--B--"), "too large");
    await rejects(TypeError, () => multipart("--B\n" + "a".repeat(200000)), "header line");
  },

  async "a blob does not change"() {
    const source = utf8("abc");
    const blob = new Blob([source]);
    source.fill(0);
    (await blob.bytes()).fill(0);
    new Uint8Array(await blob.arrayBuffer()).fill(0);
    for await (const chunk of blob.stream()) chunk.fill(0);
    equal(await blob.text(), "abc");
  },

  "File"() {
    const file = new File(["abc"], "n\ud800", { type: "a/b", lastModified: 5 });
    equal([file.name, file.size, file.type, file.lastModified, file instanceof Blob], ["n\ufffd", 3, "a/b", 5, true]);
    equal(Math.abs(new File([], "x").lastModified - Date.now()) < 60000, true);
    throws(TypeError, () => new File([]), "2 arguments required");
    equal(file.slice(1) instanceof File, false);
  },

  "FormData"() {
    const form = new FormData();
    form.append("a", 1);
    form.append("b", new Blob(["x"], { type: "t/x" }));
    form.append("a", "2");
    form.append("c", new File(["y"], "old"), "new");
    equal([form.get("a"), form.getAll("a"), form.get("b").name, form.get("b").type, form.get("c").name, form.get("z")],
      ["1", ["1", "2"], "blob", "t/x", "new", null]);
    equal(form.get("b") === form.get("b"), true);
    form.set("a", "3");
    equal([[...form.keys()], form.has("a"), form.has("x")], [["a", "b", "c"], true, false]);
    form.delete("b");
    const seen = [];
    form.forEach((value, name, self) => seen.push([name, typeof value, self === form]));
    equal(seen, [["a", "string", true], ["c", "object", true]]);
    throws(TypeError, () => form.append("a", "text", "name"));
    throws(TypeError, () => form.append("a"));
    throws(TypeError, () => new FormData({}));
    equal(new FormData(undefined) instanceof FormData, true);
  },

  async "writing multipart/form-data"() {
    const form = new FormData();
    form.append('n"\r\n', "v1\nv2\rv3\r\nv4");
    form.append("f", new File(["a\nb"], 'q"\n.txt', { type: "text/x" }));
    form.append("g", new Blob(["g"]));
    const response = new Response(form);
    const [, boundary] = /^multipart\/form-data; boundary=(.+)$/.exec(response.headers.get("content-type"));
    equal((await response.text()).replaceAll(boundary, "B"), [
      "--B", 'Content-Disposition: form-data; name="n%22%0D%0A"', "", "v1\r\nv2\r\nv3\r\nv4",
      "--B", 'Content-Disposition: form-data; name="f"; filename="q%22%0A.txt"', "Content-Type: text/x", "", "a\nb",
      "--B", 'Content-Disposition: form-data; name="g"; filename="blob"', "Content-Type: application/octet-stream", "", "g",
      "--B--", "",
    ].join("\r\n"));
  },

  async "reading multipart/form-data"() {
    const form = await multipart(`--B
Content-Disposition: form-data; name="a%22%0A"

\u00e9
--B
content-type: Text/X; charset=utf-8
x-other: 1
CONTENT-DISPOSITION: Form-Data; filename="f;.txt"; name="b"

line
-- B

--B
Content-Disposition: form-data; name=c

--B
Content-Disposition: form-data; name="d"; filename=""

--B--
epilogue`);
    const file = form.get("b");
    equal([form.get('a"\n'), file.name, file.type, await file.text(), form.get("c"), form.get("d").name, form.get("d").size],
      ["\u00e9", "f;.txt", "text/x; charset=utf-8", "line\r\n-- B\r\n", "", "", 0]);
    equal([...await multipart("--B--")], []);
    equal([...await multipart("--a b--", '"a b"')], []);
    equal((await multipart('--B\nContent-Disposition: form-data; name="\u00e9"\n\n1\n--B--')).get("\u00e9"), "1");
  },

  async "malformed multipart/form-data"() {
    for (const text of [
      "", "--C--", "--B", "--B\n", "--Bx\n", '--B\nContent-Disposition: form-data; name="a"\n\nx\n--Bnot\n--B--', "--B\n\nx\n--B--", '--B\nContent-Disposition: form-data; name="a"\n\nx',
      '--B\nContent-Disposition: form-data; name="a\n\nx\n--B--', "--B\nContent-Disposition: form-data\n\nx\n--B--",
      '--B\nContent-Disposition: attachment; name="a"\n\nx\n--B--', "--B\nno colon\n\nx\n--B--",
      '--B\nContent-Disposition: form-data; name="a"\n\nx\n--B?',
    ]) await rejects(TypeError, () => multipart(text), "");
  },

  async "each byte of a file comes back"() {
    const bytes = new Uint8Array(70000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >> 8)) & 255;
    const form = new FormData();
    form.append("file", new Blob([bytes, "\r\n--", bytes]));
    form.append("after", "x".repeat(100000));
    const copy = await new Response(form).formData();
    const got = await copy.get("file").bytes();
    equal([got.length, got.every((byte, i) => byte === (i < 70000 ? bytes[i] : i < 70004 ? utf8("\r\n--")[i - 70000] : bytes[i - 70004]))],
      [140004, true]);
    equal(copy.get("after").length, 100000);
  },

  async "application/x-www-form-urlencoded"() {
    const form = await new Response("a=1&b=%C3%A9+x&a=2&&=", {
      headers: { "content-type": "Application/X-WWW-Form-urlencoded ; charset=x" },
    }).formData();
    equal([...form], [["a", "1"], ["b", "\u00e9 x"], ["a", "2"], ["", ""]]);
    equal(fromUtf8(utf8(form.get("b"))), "\u00e9 x");
  },
});
