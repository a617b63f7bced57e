// Checks for the apps in this folder that test the Web platform from inside.
//
// A test app exports `suite({ name: function })`. Its fetch() answers "GET /" with the names as JSON, and
// any other path, which is a name, with what became of that test: "ok", or status 500 and what is wrong. The
// harness sends each name as a POST with the headers and the body below; a name that begins with "GET " as
// a GET without body. Tests get (request, env, ctx).
export const REQUEST_BODY = "body \u00e9\ud83d\ude00";

// Sent with each request, in this order, after host.
export const REQUEST_HEADERS = [
  ["Content-Type", "text/plain"], ["X-Multi", "a"], ["x-multi", "b"], ["Cookie", "c=1"], ["Cookie", "d=2"],
  ["X-Empty", ""],
];

export function suite(tests) {
  return {
    async fetch(request, env, ctx) {
      const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
      if (name === "") return Response.json(Object.keys(tests));
      try {
        await tests[name](request, env, ctx);
      } catch (error) {
        return new Response(`${error.stack ?? error}`, { status: 500 });
      }
      return new Response("ok");
    },
  };
}

const show = (value) => typeof value === "string" ? JSON.stringify(value) : Array.isArray(value)
  ? JSON.stringify(value) : String(value);

export function equal(got, want, what = "value") {
  const same = Array.isArray(want) ? JSON.stringify(got) === JSON.stringify(want) : Object.is(got, want);
  if (!same) throw new Error(`${what} is ${show(got)}, not ${show(want)}`);
}

// The error that a function throws or its promise rejects with must be an instance of `type`, or a
// DOMException of the name `type`; its message must contain `text`.
function checkError(error, type, text) {
  const right = typeof type === "string" ? error instanceof DOMException && error.name === type
    : error instanceof type && error.constructor === type;
  if (!right) throw new Error(`threw ${error && error.stack || error}, not a ${type.name ?? type}`);
  if (!String(error.message).includes(text)) throw new Error(`message ${show(error.message)} lacks ${show(text)}`);
}

export function throws(type, call, text = "") {
  let result;
  try {
    result = call();
  } catch (error) {
    checkError(error, type, text);
    return;
  }
  throw new Error(`${call} returned ${show(result)} instead of throwing`);
}

export async function rejects(type, call, text = "") {
  let promise;
  try {
    promise = call();
  } catch (error) {
    throw new Error(`${call} threw instead of rejecting: ${error}`);
  }
  let result;
  try {
    result = await promise;
  } catch (error) {
    checkError(error, type, text);
    return;
  }
  throw new Error(`${call} gave ${show(result)} instead of rejecting`);
}

// The names of an interface's members must be as Web IDL has them: `methods` maps names to `length`.
export function shape(constructor, length, methods, getters, statics = {}) {
  const { prototype, name } = constructor;
  const own = (holder, key) => Object.getOwnPropertyDescriptor(holder, key);
  equal(constructor.length, length, `${name}.length`);
  equal(prototype[Symbol.toStringTag], name, "toStringTag");
  const global = own(globalThis, name);
  equal([global.writable, global.enumerable, global.configurable], [true, false, true], `global ${name}`);
  for (const [holder, functions] of [[prototype, methods], [constructor, statics]]) {
    for (const key of Object.keys(functions)) {
      const descriptor = own(holder, key);
      if (!descriptor) throw new Error(`${name} lacks ${key}`);
      equal([descriptor.writable, descriptor.enumerable, descriptor.configurable], [true, true, true], key);
      equal(descriptor.value.length, functions[key], `${key}.length`);
      equal(descriptor.value.name, key, `${key}.name`);
    }
  }
  for (const key of getters) {
    const descriptor = own(prototype, key);
    if (!descriptor) throw new Error(`${name} lacks ${key}`);
    equal([typeof descriptor.get, descriptor.enumerable, descriptor.configurable], ["function", true, true], key);
    throws(TypeError, () => descriptor.get.call({}), "Illegal invocation");
  }
  const expected = [...Object.keys(methods), ...getters, "constructor"].sort();
  equal(Object.getOwnPropertyNames(prototype).sort(), expected, `members of ${name}.prototype`);
  equal(prototype.constructor, constructor, "constructor");
}

export const utf8 = (string) => new TextEncoder().encode(string);
export const fromUtf8 = (bytes) => new TextDecoder().decode(bytes);
