import { equal, suite, throws } from "./check.js";

// Made at the top level: it must survive a snapshot.
const route = new URLPattern({ pathname: "/users/:id(\\d+)/:rest*" });

const COMPONENTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
const parts = (pattern) => COMPONENTS.map((name) => pattern[name]);

export default suite({
  "long patterns"() {
    for (const bad of ["/" + "a".repeat(20_000), "/" + ":a".repeat(1_000_000)]) {
      throws(TypeError, () => new URLPattern({ pathname: bad }));
      throws(TypeError, () => new URLPattern("https://h" + bad));
    }
    throws(TypeError, () => new URLPattern("/x", "http://xn--" + "9z".repeat(1_000_000)));
    const pattern = new URLPattern({ pathname: "/a*" });
    equal(pattern.test({ pathname: "/" + "a".repeat(100_000) }), true);
    equal(pattern.test({ pathname: "/a", hostname: "xn--" + "9z".repeat(1_000_000) }), false);
    equal(pattern.test({ pathname: "/a", baseURL: "http://xn--" + "9z".repeat(1_000_000) }), false);
  },

  "shape"() {
    equal(URLPattern.length, 0);
    equal(URLPattern.name, "URLPattern");
    equal(Object.prototype.toString.call(route), "[object URLPattern]");
    for (const [name, length] of [["test", 0], ["exec", 0]]) {
      const { value, enumerable } = Object.getOwnPropertyDescriptor(URLPattern.prototype, name);
      equal([value.length, enumerable], [length, true], name);
      throws(TypeError, () => value.call({}), "Illegal invocation");
    }
    for (const name of [...COMPONENTS, "hasRegExpGroups"]) {
      const { get, set, enumerable } = Object.getOwnPropertyDescriptor(URLPattern.prototype, name);
      equal([set, enumerable], [undefined, true], name);
      throws(TypeError, () => get.call({}), "Illegal invocation");
      throws(TypeError, () => get.call(1));
    }
    throws(TypeError, () => URLPattern());
  },

  "a pattern of the top level matches"(request) {
    equal(route.test(new URL("/users/17", request.url).href), true);
    const { pathname, inputs } = route.exec("/users/17/a/b", "https://example.com");
    equal(pathname.input, "/users/17/a/b");
    equal([pathname.groups.id, pathname.groups.rest], ["17", "a/b"]);
    equal(inputs, ["/users/17/a/b", "https://example.com"]);
    equal(route.exec("/users/x", "https://example.com"), null);
    equal(route.test("no URL"), false);
    equal([route.hasRegExpGroups, new URLPattern({ pathname: "/:a" }).hasRegExpGroups], [true, false]);
  },

  "constructor strings and bases"() {
    equal(parts(new URLPattern("https://*.example.com:8080/a/:b\\?q=*#:h")),
      ["https", "*", "*", "*.example.com", "8080", "/a/:b", "q=*", ":h"]);
    equal(parts(new URLPattern("/a", "https://example.com/b?c#d")),
      ["https", "*", "*", "example.com", "", "/a", "*", "*"]);
    equal(parts(new URLPattern({ pathname: "a", baseURL: "https://example.com/b/c" })).slice(3, 6), ["example.com", "", "/b/a"]);
    equal(parts(new URLPattern()), ["*", "*", "*", "*", "*", "*", "*", "*"]);
    equal(new URLPattern({ hostname: "\u00fc.example" }).hostname, "xn--tda.example");
    for (const bad of [
      () => new URLPattern("/a"), () => new URLPattern("https://h/("), () => new URLPattern({ pathname: "/:a/:a" }),
      () => new URLPattern({ pathname: "/([)" }), () => new URLPattern({}, "https://h"), () => new URLPattern("/a", "b"),
      () => new URLPattern({ baseURL: "b" }), () => new URLPattern({ pathname: Symbol() }),
      () => new URLPattern("https://h", { get ignoreCase() { throw new TypeError(); } }),
    ]) throws(TypeError, bad);
    throws(TypeError, () => route.test({}, "https://h"));
    throws(TypeError, () => route.exec({}, "https://h"));
  },

  "ignoring case"() {
    equal(new URLPattern("https://h/Path/:a", { ignoreCase: true }).test("https://h/pATH/b"), true);
    equal(new URLPattern("https://h/Path", { ignoreCase: true }).test("https://h/path"), true);
    equal(new URLPattern("/Path", "https://h", { ignoreCase: false }).test("https://h/path"), false);
    equal(new URLPattern({ search: "\u00c4".normalize() }, { ignoreCase: true }).test({ search: "\u00c4" }), true);
  },

  "groups of an init, and what did not take part"() {
    const result = new URLPattern({ pathname: "/a{/:b}?" }).exec({ pathname: "/a", protocol: "HTTPS" });
    equal(Object.keys(result),
      ["hash", "hostname", "inputs", "password", "pathname", "port", "protocol", "search", "username"]);
    equal(Object.keys(result.pathname.groups), ["b"]);
    equal(result.pathname.groups.b, undefined);
    equal(result.protocol.input, "https");
    equal(result.inputs[0].pathname, "/a");
    equal(Object.keys(result.inputs[0]), ["pathname", "protocol"]);
    equal(new URLPattern({ hash: "foo", baseURL: "https://h/?q=*" }).test({ hash: "foo", baseURL: "https://h/?q=*" }), true);
  },

  "comparing"() {
    const order = ["/foo/bar", "/foo/:b", "/foo/*", "*"].map((pathname) => new URLPattern({ pathname }));
    for (let i = 0; i < order.length; i++) {
      for (let j = 0; j < order.length; j++) {
        equal(URLPattern.compareComponent("pathname", order[i], order[j]), Math.sign(j - i), `${i}, ${j}`);
      }
    }
    equal(URLPattern.compareComponent("hostname", order[0], order[1]), 0);
    throws(TypeError, () => URLPattern.compareComponent("origin", order[0], order[1]));
    throws(TypeError, () => URLPattern.compareComponent("hash", order[0], {}));
    throws(TypeError, () => URLPattern.compareComponent("hash", order[0]));
  },

  "hostile arguments"() {
    const order = [];
    const init = new Proxy({}, { get(target, key) { order.push(key); return undefined; } });
    new URLPattern(init);
    equal(order, ["baseURL", "hash", "hostname", "password", "pathname", "port", "protocol", "search", "username"]);
    equal(new URLPattern({ pathname: "/\ud800" }).pathname, "/%EF%BF%BD");
    equal(route.test("https://h/users/1/\ud800"), true);
    throws(RangeError, () => new URLPattern({ get pathname() { throw new RangeError("x"); } }));
    const { exec, test } = RegExp.prototype;
    RegExp.prototype.exec = RegExp.prototype.test = () => { throw new Error("called a patched method"); };
    Object.defineProperty(Object.prototype, "id", { set() { throw new Error("called a setter"); }, configurable: true });
    let got;
    try {
      got = route.exec("https://h/users/12").pathname.groups.id;
    } finally {
      Object.assign(RegExp.prototype, { exec, test });
      delete Object.prototype.id;
    }
    equal(got, "12");
    throws(TypeError, () => new URLPattern({ pathname: "(".repeat(100000) }));
    equal(new URLPattern({ pathname: ":a".repeat(1) + "/x".repeat(5000) }).test({ pathname: "/x" }), false);
  },
});
