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
