import { equal, shape, suite, throws } from "./check.js";

const PARTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search",
  "hash"];

export default suite({
  "shapes"() {
    shape(URL, 1, { toJSON: 0, toString: 0 }, [...PARTS, "searchParams"], { canParse: 1, parse: 1 });
    shape(URLSearchParams, 0, {
      append: 2, delete: 1, get: 1, getAll: 1, has: 1, set: 2, sort: 0, forEach: 1, entries: 0, keys: 0, values: 0,
      toString: 0,
    }, ["size"]);
    equal(URLSearchParams.prototype[Symbol.iterator], URLSearchParams.prototype.entries);
    const iterator = new URLSearchParams("a=1").keys();
    equal(Object.prototype.toString.call(iterator), "[object URLSearchParams Iterator]");
    equal(Object.prototype.toString.call(new URL("a:b")), "[object URL]");
    throws(TypeError, () => iterator.next.call({}), "Illegal invocation");
  },

  "parts"() {
    for (const [input, base, ...want] of [
      ["http://u:p@example.com:81/a/../b?q=1#f", undefined, "http://u:p@example.com:81/b?q=1#f",
        "http://example.com:81", "http:", "u", "p", "example.com:81", "example.com", "81", "/b", "?q=1", "#f"],
      ["HTTPS://EXAMPLE.com:443", undefined, "https://example.com/", "https://example.com", "https:", "", "",
        "example.com", "example.com", "", "/", "", ""],
      ["../x?#", "http://h/a/b/c", "http://h/a/x?#", "http://h", "http:", "", "", "h", "h", "", "/a/x", "", ""],
      ["//other/y", "ftp://h/a", "ftp://other/y", "ftp://other", "ftp:", "", "", "other", "other", "", "/y", "", ""],
      ["mailto:a@b?c", undefined, "mailto:a@b?c", "null", "mailto:", "", "", "", "", "", "a@b", "?c", ""],
      ["web+x:/.//p", undefined, "web+x:/.//p", "null", "web+x:", "", "", "", "", "", "//p", "", ""],
      ["file:///C|/x", undefined, "file:///C:/x", "null", "file:", "", "", "", "", "", "/C:/x", "", ""],
      ["blob:https://h:8/id", undefined, "blob:https://h:8/id", "https://h:8", "blob:", "", "", "", "", "",
        "https://h:8/id", "", ""],
      ["http://[::1]:80/%7Ea b\u00e9?\u00e9#\u00e9", undefined, "http://[::1]/%7Ea%20b%C3%A9?%C3%A9#%C3%A9",
        "http://[::1]", "http:", "", "", "[::1]", "[::1]", "", "/%7Ea%20b%C3%A9", "?%C3%A9", "#%C3%A9"],
      ["http://b\u00fccher.example", undefined, "http://xn--bcher-kva.example/", "http://xn--bcher-kva.example", "http:",
        "", "", "xn--bcher-kva.example", "xn--bcher-kva.example", "", "/", "", ""],
      ["http://only@h", undefined, "http://only@h/", "http://h", "http:", "only", "", "h", "h", "", "/", "", ""],
      ["http://:pw@h", undefined, "http://:pw@h/", "http://h", "http:", "", "pw", "h", "h", "", "/", "", ""],
      ["http://0x7f.1/", undefined, "http://127.0.0.1/", "http://127.0.0.1", "http:", "", "", "127.0.0.1", "127.0.0.1",
        "", "/", "", ""],
    ]) {
      const url = new URL(input, base);
      equal(PARTS.map((part) => url[part]), want, input);
      equal([`${url}`, url.toJSON(), JSON.stringify({ url })], [want[0], want[0], JSON.stringify({ url: want[0] })]);
    }
  },

  "what is no URL"() {
    for (const [input, base] of [["/x"], ["http://"], ["http://a b"], ["http://h:99999"], [""], ["x", "mailto:a"],
      ["http://[::1"], ["http://1.2.3.4.5.256"]]) {
      throws(TypeError, () => new URL(input, base), "Invalid URL");
      equal([URL.canParse(input, base), URL.parse(input, base)], [false, null], input);
    }
    throws(TypeError, () => new URL());
    throws(TypeError, () => URL("http://h"));
    throws(TypeError, () => new URL(Symbol()));
    equal(URL.canParse("x", "http://h"), true);
    equal(URL.parse("x", "http://h").href, "http://h/x");
  },

  "setters"() {
    const start = "http://u:p@example.com:81/b?q=1#f";
    for (const [part, value, want] of [
      ["href", "https://h", "https://h/"], ["protocol", "https", "https://u:p@example.com:81/b?q=1#f"],
      ["protocol", "mailto", start], ["username", "x y", "http://x%20y:p@example.com:81/b?q=1#f"],
      ["username", "", "http://:p@example.com:81/b?q=1#f"], ["password", "", "http://u@example.com:81/b?q=1#f"],
      ["host", "h:82", "http://u:p@h:82/b?q=1#f"], ["host", "", start], ["hostname", "h", "http://u:p@h:81/b?q=1#f"],
      ["port", "80", "http://u:p@example.com/b?q=1#f"], ["port", "8x", "http://u:p@example.com:8/b?q=1#f"],
      ["port", "x", start], ["port", "", "http://u:p@example.com/b?q=1#f"],
      ["pathname", "a b/../c?", "http://u:p@example.com:81/c%3F?q=1#f"],
      ["search", "?x=\u00e9", "http://u:p@example.com:81/b?x=%C3%A9#f"], ["search", "", "http://u:p@example.com:81/b#f"],
      ["hash", "a b", "http://u:p@example.com:81/b?q=1#a%20b"], ["hash", "", "http://u:p@example.com:81/b?q=1"],
    ]) {
      const url = new URL(start);
      url[part] = value;
      equal(url.href, want, `${part} = ${value}`);
      equal(new URL(url.href)[part], url[part], `${part} after ${value}`);
    }
    const url = new URL(start);
    throws(TypeError, () => { url.href = "nonsense"; });
    equal(url.href, start);
  },

  "searchParams and the URL follow each other"() {
    const url = new URL("http://h/p?a=1&b=2#f");
    const { searchParams } = url;
    equal(url.searchParams === searchParams, true);
    searchParams.append("c", "x y&");
    equal(url.href, "http://h/p?a=1&b=2&c=x+y%26#f");
    searchParams.delete("a");
    searchParams.set("b", "3");
    equal(url.search, "?b=3&c=x+y%26");
    url.search = "?z=%41&y=+";
    equal([...searchParams], [["z", "A"], ["y", " "]]);
    searchParams.sort();
    equal(url.search, "?y=+&z=A");
    searchParams.delete("y");
    searchParams.delete("z");
    equal(url.href, "http://h/p#f");
    url.href = "http://h/?n=1";
    equal(searchParams.get("n"), "1");
  },

  "URLSearchParams of everything"() {
    for (const [init, want] of [
      [undefined, ""], ["", ""], ["?a=1&a=2&&b&=c&d=%zz%4", "a=1&a=2&b=&=c&d=%25zz%254"], ["a+b=%C3%A9%FF", "a+b=%C3%A9%EF%BF%BD"],
      [[["a", "1"], ["a", "2"]], "a=1&a=2"], [{ a: 1, "b c": null }, "a=1&b+c=null"], [new Map([["m", "1"]]), "m=1"],
      [new URLSearchParams("x=1&x=2"), "x=1&x=2"], [new FormData(), ""], [null, "null="], [5, "5="],
      ["\ud800=\udc00x", "%EF%BF%BD=%EF%BF%BDx"], [{ "\ud800": "1", "\ufffd": "2" }, "%EF%BF%BD=2"],
      ["~!'()*-._=\u{1F600}", "%7E%21%27%28%29*-._=%F0%9F%98%80"], ["\ufeffa=1", "%EF%BB%BFa=1"],
    ]) equal(`${new URLSearchParams(init)}`, want, String(init));
    throws(TypeError, () => new URLSearchParams([["a"]]));
    throws(TypeError, () => new URLSearchParams([1]));
    throws(TypeError, () => new URLSearchParams({ [Symbol.iterator]: 1 }));
    throws(TypeError, () => new URLSearchParams(Symbol()));
  },

  "URLSearchParams methods"() {
    const params = new URLSearchParams("a=1&b=2&a=3");
    equal([params.size, params.get("a"), params.get("x"), params.getAll("a"), params.getAll("x")],
      [3, "1", null, ["1", "3"], []]);
    equal([params.has("a"), params.has("a", "3"), params.has("a", "4"), params.has("a", undefined)],
      [true, true, false, true]);
    params.delete("a", "1");
    equal(`${params}`, "b=2&a=3");
    params.set("a", "4");
    params.set("c", "5");
    equal(`${params}`, "b=2&a=4&c=5");
    equal([[...params.keys()], [...params.values()], [...params.entries()][0]],
      [["b", "a", "c"], ["2", "4", "5"], ["b", "2"]]);
    const seen = [];
    params.forEach(function (value, name, list) { seen.push([name, value, list === params, this.x]); }, { x: 1 });
    equal(seen[2], ["c", "5", true, 1]);
    throws(TypeError, () => params.append("a"), "2 arguments required");
    throws(TypeError, () => params.forEach(1));
  },

  "sorting is stable and by code units"() {
    const params = new URLSearchParams([["z", 1], ["\ufffd", 2], ["\ud83c\udf08", 3], ["a", 4], ["z", 0], ["", 5], ["aa", 6]]);
    params.sort();
    equal([...params], [["", "5"], ["a", "4"], ["aa", "6"], ["z", "1"], ["z", "0"], ["\ud83c\udf08", "3"], ["\ufffd", "2"]]);
    const many = new URLSearchParams();
    for (let i = 0; i < 500; i++) many.append(`k${(i * 7919) % 50}`, i);
    const want = [...many].map(([name, value], index) => ({ name, value, index }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.index - b.index)).map(({ name, value }) => [name, value]);
    many.sort();
    equal([...many], want);
  },

  "iteration sees changes"() {
    const params = new URLSearchParams("a=1&b=2&c=3");
    const seen = [];
    for (const [name] of params) {
      seen.push(name);
      if (name === "a") params.delete("a");
      if (seen.length === 2) params.append("d", "4");
    }
    equal(seen, ["a", "c", "d"]);
  },

  "domains in ASCII are what they are, valid Punycode or not"() {
    for (const [input, base, want] of [
      ["http://xn--/", undefined, "http://xn--/"],
      [" HTTP:\\\\u:p@a.XN--pokx\tncvks.:81/xn--/XN--?xn--#xn--", undefined,
        "http://u:p@a.xn--pokxncvks.:81/xn--/XN--?xn--#xn--"],
      ["https:xn--a", undefined, "https://xn--a/"],
      ["https://%78n--a%7E~_!$*;=()'", undefined, null], // no character is left to mark the host with
      ["https://%78n--a%7E.xn--zca/", undefined, "https://xn--a~.xn--zca/"],
      ["file://xn--/p", undefined, "file://xn--/p"],
      ["//xn--/p", "https://h/a", "https://xn--/p"],
      ["../p", "https://xn--/a/b/", "https://xn--/a/p"],
      ["https:p", "https://xn--/a/b", "https://xn--/a/p"],
      ["http://xn--a.\u00df/", undefined, null], // a domain that is not ASCII must be valid
      ["http://xn--a%/", undefined, null],
      ["http://xn--a b/", undefined, null],
      ["http://xn--.1/", undefined, null],
      ["x://xn--/XN--", undefined, "x://xn--/XN--"],
    ]) {
      equal(URL.parse(input, base)?.href ?? null, want, input);
      equal(URL.canParse(input, base), want !== null, input);
      if (want === null) throws(TypeError, () => new URL(input, base), "Invalid URL");
    }
    const url = new URL("https://example.com/~");
    url.host = "XN--:81";
    equal(url.href, "https://xn--:81/~");
    url.pathname = "/xn--~";
    url.hash = "_";
    equal(url.href, "https://xn--:81/xn--~#_");
    url.hostname = "xn--b.c";
    equal([url.host, url.hostname, url.port], ["xn--b.c:81", "xn--b.c", "81"]);
    url.hostname = "xn--b/c";
    equal(url.hostname, "xn--b");
    url.hostname = "xn--b%";
    equal(url.href, "https://xn--b:81/xn--~#_");
  },

  "ideographs of Unicode 17 are in domains"() {
    const encoded = new URL("http://a\u{323b0}\u30ab\u3099.\u{30000}\u{33479}/").hostname;
    equal(new URL(`http://${encoded}/`).hostname, encoded);
    equal(new URL("http://a\u{323b0}\u30ac.\u{30000}\u{33479}/").hostname, encoded);
    equal(/^xn--[a-z0-9-]+\.xn--[a-z0-9-]+$/.test(encoded), true, encoded);
    equal(URL.canParse("http://\u{323b0}\u200d/"), false);
    equal(URL.canParse("http://\u{323b0}.\u{3347a}/"), false);
  },

  "URLs that are normal already stay as they are"() {
    for (const url of [
      "http://h/", "https://a.b-c_d/", "http://127.0.0.1:8080/a?b#c", "http://h/a:b@c;d=e,f%zz//?/?",
      "https://h:80/", "http://h:443/x", "http://1.2.3.4/", "http://h/?%00[]|\\^`{}", "http://h/#?#[]|\\^{}'",
    ]) {
      equal(new URL(url).href, url);
      equal(new URL(url, "x:/y").href, url);
    }
    for (const [url, want] of [
      ["http://h", "http://h/"], ["http://h:80/", "http://h/"], ["https://h:443/", "https://h/"], ["http://h:/", "http://h/"],
      ["http://h:08/", "http://h:8/"], ["http://H/", "http://h/"], ["http://1.2.3/", "http://1.2.0.3/"],
      ["http://01.2.3.4/", "http://1.2.3.4/"], ["http://h/.", "http://h/"], ["http://h/a/../b", "http://h/b"],
      ["http://h/%2E%2e/b", "http://h/b"], ["http://h/\\", "http://h//"], ["http://h/{", "http://h/%7B"],
      ["http://h/?'", "http://h/?%27"], ["http://h/#`", "http://h/#%60"], ["http://h/ ", "http://h/"],
      ["http://h/\u007f", "http://h/%7F"], ["http://h/\u00e9\ud800", "http://h/%C3%A9%EF%BF%BD"],
      ["http://h/\u20ac\ud83d\ude00", "http://h/%E2%82%AC%F0%9F%98%80"],
    ]) equal(new URL(url).href, want);
    for (const bad of ["http://256.1.1.1/", "http://1.2.3.4.5/", "http://h:65536/", "http://", "http://a.0/", "http:///?"]) {
      throws(TypeError, () => new URL(bad), "Invalid URL");
      equal(URL.canParse(bad), false, bad);
    }
  },

  "relative references"() {
    const bases = ["http://h/", "https://h:81/a/b/c?q#f", "http://h/a//b/", "http://h/?q", "http://h/#f", "http://h/a?/b/#/c"];
    const inputs = [
      "", "?", "#", "?x", "#x", "?x#y", "/", "/x", "x", "x/", "./", ".", "..", "../", "../..", "../../../x", "./x/../y", "x/./y/..",
      "x//../y", "//x", "/\\x", "\\x", "x\\y", ".x", "..x", "x..", "%2e", "%2E%2e/x", ".%2e", "x/%2e/y", "x%2e", "x:y", "./x:y", "y/x:z",
      "x y", " x ", "x\ty", "x?y z", "x#y`z", "/..//x", "...", "/a/b?c?d#e#f", "?'", "x^", "x|y", "\u00e9", "\u20ac", "http:x", "https:x",
      "http://i/j", "x?\u00e9",
    ];
    for (const base of bases) {
      for (const input of inputs) {
        // With credentials the parser itself does it.
        const slow = new URL(input, base.replace("//h", "//u@h"));
        if (slow.host !== "i" && slow.host !== "x") slow.username = "";
        const fast = new URL(input, base);
        equal(fast.href, slow.href, `${input} on ${base}`);
        for (const part of PARTS) equal(fast[part], slow[part], `${part} of ${input} on ${base}`);
        equal(URL.canParse(input, base), true);
      }
    }
    throws(TypeError, () => new URL("http://i/j", "no base"));
    equal(URL.canParse("x", "no base"), false);
  },

  "long domains"() {
    const most = "a".repeat(4096), more = most + "a", path = "p".repeat(100_000);
    for (const good of [`http://${most}/`, `http://${most.toUpperCase()}/${path}`, `http://${"u".repeat(5000)}@h/${path}`,
      `web+x://${more}/`, `http://h/${path}?${path}#${path}`, `file:///${path}`]) {
      equal(URL.canParse(good), true, good.slice(0, 20));
      equal(new URL(good, "http://h/").href, new URL(good).href);
    }
    const punycode = "xn--" + "9z".repeat(2_000_000), names = "\u4e00\u4e01".repeat(1_000_000);
    for (const host of [more, more.toUpperCase(), punycode, names, encodeURIComponent(names)]) {
      const name = host.slice(0, 10);
      for (const bad of [`http://${host}/`, `https:\\\\u:p@${host}:1`, `file://${host}`, ` \tht\ntp:${host}`]) {
        equal(URL.canParse(bad), false, name);
      }
      equal(URL.canParse(`//${host}/`, "http://h/"), false, name);
      equal(URL.canParse("x", `http://${host}/`), false, name);
      const url = new URL("http://h/");
      url.host = host;
      url.hostname = host;
      url.href += "x";
      equal(url.href, "http://h/x", name);
    }
  },

  "long URLs"() {
    const most = "http://h/" + "p".repeat((1 << 20) - 9), text = "data:," + "d".repeat(4 << 20);
    for (const good of [most, text]) equal(new URL(good).href === good, true);
    for (const bad of [most + "p", text + "\u00e9", text + "\u4e00", "x" + text]) {
      equal(URL.canParse(bad), false);
      throws(TypeError, () => new URL(bad));
    }
    const url = new URL("http://h/");
    url.search = "q".repeat((1 << 20) + 1);
    url.searchParams.set("a", "b".repeat(1 << 20));
    equal(url.href, "http://h/");
  },

  "patched built-ins do not matter"() {
    const { slice, indexOf } = String.prototype;
    const iterator = Array.prototype[Symbol.iterator];
    String.prototype.slice = String.prototype.indexOf = () => "patched";
    Array.prototype[Symbol.iterator] = () => { throw new Error("called a patched method"); };
    let got;
    try {
      const url = new URL("http://h/p?a=%41#f");
      got = url.pathname + url.searchParams.get("a") + url.hash + new URLSearchParams({ b: "1" });
    } finally {
      Object.assign(String.prototype, { slice, indexOf });
      Array.prototype[Symbol.iterator] = iterator;
    }
    equal(got, "/pA#fb=1");
  },
});
