import { renderToString, renderToStream, raw, h, Fragment } from "nano:jsx";
const Async = async (p: any) => <i>{p.n}</i>;
const checks: [string, () => unknown][] = [
  ["nested arrays", () => String(<p>{[1, [2, ["<"]], null, true, 3n]}</p>)],
  ["void", () => String(<img src="a&b" alt='"' />)],
  ["bad void", () => { try { return String(<br>x</br>); } catch (e) { return e.message; } }],
  ["bad attr", () => { try { return String(<p {...{ "a b": 1 }} />); } catch (e) { return e.message; } }],
  ["bad tag", () => { try { return String(h("a b", {})); } catch (e) { return e.message; } }],
  ["object child", () => { try { return String(<p>{{ a: 1 } as any}</p>); } catch (e) { return e.message; } }],
  ["async sync", () => { try { return String(<Async n={1} />); } catch (e) { return e.message; } }],
  ["async", () => renderToString(<p>a<Async n={1} />b<Async n="<" /></p>)],
  ["inner html", () => String(<div dangerouslySetInnerHTML={{ __html: "<b>" }} />)],
  ["fragment", () => String(<>a{raw("<hr>")}<>b</></>)],
  ["h", () => String(h("p", { className: "c", htmlFor: "f", onClick() {} }, "a", h(Fragment, null, "b")))],
  ["style", () => String(<p style={{ lineHeight: 2, WebkitLineClamp: 3, "--x": 4, marginTop: 0, opacity: 0.5 }} aria-hidden={false} />)],
  ["proto", () => String(<p {...JSON.parse('{"__proto__": "x", "constructor": "y"}')} />)],
  ["polluted", () => {
    const all = Object.prototype as any;
    all.onclick = "x", all.dangerouslySetInnerHTML = { __html: "<script>" };
    try { return String(<p id="p">a</p>); } finally { delete all.onclick; delete all.dangerouslySetInnerHTML; }
  }],
  ["rejects", async () => { try { return await renderToString(<p>{Promise.reject(new Error("no"))}</p>); } catch (e) { return e.message; } }],
  ["stream", () => new Response(renderToStream(<p>a<Async n={1} /></p>)).text()],
  ["stream rejects", async () => { try { return await new Response(renderToStream(<p>a{Promise.reject(new Error("no"))}</p>)).text(); } catch (e) { return "error " + e.message; } }],
  ["stream throws", async () => { try { return await new Response(renderToStream(<p>{Symbol("x") as any}</p>)).text(); } catch (e) { return "error " + e.message; } }],
];
export default { async fetch() {
  const out: string[] = [];
  for (const [name, check] of checks) out.push(`${name}: ${await check()}`);
  return new Response(out.join("\n"));
} };
