// nano:jsx, JSX for HTML on servers: elements are descriptions that are written out once, as text. It is
// bundled into apps that use it, and runs as their code.

// Element is what JSX makes. As a string it is its HTML.
class Element {
  constructor(type, props) {
    this.type = type;
    this.props = props;
  }
  toString() {
    const out = new Output();
    write(this, out);
    if (out.parts !== null) {
      for (const part of out.parts) if (typeof part !== "string") part.catch(() => {});
      throw new TypeError("a component is async: use await renderToString() or renderToStream()");
    }
    return out.text;
  }
}

// Raw is HTML that is written as it is.
class Raw {
  constructor(html) {
    this.html = html;
  }
  toString() {
    return this.html;
  }
}

// raw marks text as HTML that needs no escaping: never what a user has written.
export function raw(html) {
  return new Raw(String(html));
}

// Fragment is <>…</>.
export function Fragment(props) {
  return props.children;
}

// jsx is what compilers make of an element: its children are in props.
export function jsx(type, props) {
  return new Element(type, props ?? {});
}
export { jsx as jsxs, jsx as jsxDEV };

// h is for the classic transform: @jsx h.
export function h(type, props, ...children) {
  if (children.length === 0) return new Element(type, props ?? {});
  return new Element(type, { ...props, children: children.length === 1 ? children[0] : children });
}

// renderToString gives the HTML of a node; a promise of it if there is anything async in it.
export function renderToString(node) {
  const out = new Output();
  write(node, out);
  return out.parts === null ? out.text : collect(out);
}

async function collect(out) {
  let text = "";
  for (const part of out.parts) text += typeof part === "string" ? part : await collectPart(await part);
  return text + out.text;
}

function collectPart(out) {
  return out.parts === null ? out.text : collect(out);
}

// renderToStream gives the HTML of a node in UTF-8, in order, as far as it is known: async components run at
// the same time, and what comes before one does not wait for it.
export function renderToStream(node) {
  const encoder = new TextEncoder();
  let chunks;
  return new ReadableStream({
    start() {
      const out = new Output();
      write(node, out);
      chunks = chunksOf(out);
    },
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    cancel: () => chunks.return(),
  });
}

async function* chunksOf(out) {
  for (const part of out.parts ?? []) {
    if (typeof part !== "string") yield* chunksOf(await part);
    else if (part !== "") yield part;
  }
  if (out.text !== "") yield out.text;
}

// Output is text, after parts that are text or promises of Outputs; null: there are none.
class Output {
  text = "";
  parts = null;
  wait(promise) {
    const part = Promise.resolve(promise).then((node) => {
      const out = new Output();
      write(node, out);
      return out;
    });
    part.catch(() => {}); // whoever takes it gets the error; until then nobody is to blame
    (this.parts ??= []).push(this.text, part);
    this.text = "";
  }
}

const special = /[&<>"']/g;
const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(special, (c) => entities[c]);

function write(node, out) {
  switch (typeof node) {
    case "string":
      out.text += escape(node);
      return;
    case "number":
    case "bigint":
      out.text += node;
      return;
    case "undefined":
    case "boolean":
      return;
    case "object":
      if (node === null) return;
      if (node instanceof Element) return writeElement(node, out);
      if (node instanceof Raw) {
        out.text += node.html;
        return;
      }
      if (typeof node.then === "function") return out.wait(node);
      if (typeof node[Symbol.iterator] === "function") {
        for (const child of node) write(child, out);
        return;
      }
  }
  throw new TypeError(`${typeof node === "object" ? "an object" : `a ${typeof node}`} is no JSX child: ${describe(node)}`);
}

function describe(node) {
  if (typeof node === "function") return node.name || "(anonymous)";
  if (typeof node === "symbol") return String(node);
  return `{${Object.keys(node).slice(0, 5).join(", ")}}`;
}

const voids = new Set(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]);
const tagName = /^[A-Za-z][^\s/>"'<=\0]*$/;
const attributeName = /^[^\s"'<>/=\0-\x1f\x7f]+$/;

function writeElement({ type, props }, out) {
  if (typeof type === "function") return write(type(props), out);
  if (typeof type !== "string" || !tagName.test(type)) throw new TypeError(`a JSX element's type is ${String(type)}`);
  out.text += "<" + type;
  for (const name of Object.keys(props)) writeAttribute(name, props[name], out);
  out.text += ">";
  // Never what all objects inherit: whoever has polluted their prototype would write into every element.
  const html = Object.hasOwn(props, "dangerouslySetInnerHTML") ? props.dangerouslySetInnerHTML?.__html : null;
  if (voids.has(type)) {
    if (props.children != null || html != null) throw new TypeError(`<${type}> can have no children`);
    return;
  }
  if (html != null) out.text += html;
  else write(props.children, out);
  out.text += "</" + type + ">";
}

// What JSX calls differently from HTML.
const renamed = { className: "class", htmlFor: "for", acceptCharset: "accept-charset", httpEquiv: "http-equiv" };
// Attributes that say true and false; others are there or not.
const saysFalse = /^(?:aria-|data-)|^(?:contenteditable|draggable|spellcheck)$/i;

function writeAttribute(name, value, out) {
  if (value == null || name === "children" || name === "key" || name === "ref" || name === "dangerouslySetInnerHTML") return;
  if (typeof value === "function" || typeof value === "symbol") return; // handlers of events are for browsers
  if (typeof value === "boolean" && !saysFalse.test(name)) {
    if (!value) return;
    value = "";
  }
  if (Object.hasOwn(renamed, name)) name = renamed[name];
  if (!attributeName.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of an attribute`);
  if (name === "style" && typeof value === "object") value = styleOf(value);
  out.text += value === "" ? ` ${name}` : ` ${name}="${escape(String(value))}"`;
}

// Properties of styles whose numbers are no lengths.
const unitless = /^(?:animationIterationCount|aspectRatio|borderImage(?:Outset|Slice|Width)|columnCount|columns|fillOpacity|flex(?:Grow|Shrink)?|floodOpacity|fontWeight|WebkitLineClamp|grid(?:Area|Column|Row)(?:Start|End)?|lineClamp|lineHeight|opacity|order|orphans|scale|stopOpacity|stroke(?:Dasharray|Dashoffset|Miterlimit|Opacity|Width)|tabSize|widows|zIndex|zoom)$/;

function styleOf(properties) {
  let text = "";
  for (const name in properties) {
    let value = properties[name];
    if (value == null || typeof value === "boolean" || value === "") continue;
    const isCustom = name.startsWith("--");
    if (typeof value === "number" && value !== 0 && !isCustom && !unitless.test(name)) value += "px";
    const property = isCustom ? name : name.replace(/[A-Z]/g, "-$&").replace(/^ms-/, "-ms-").toLowerCase();
    text += `${text && ";"}${property}:${value}`;
  }
  return text;
}
