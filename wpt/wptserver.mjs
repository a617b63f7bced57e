// wptserver.mjs - a small stand-in for wptserve, written for this project.
// Serves a WPT checkout on loopback: static files, .headers, .sub substitution, a few pipes, .asis,
// and JavaScript versions of the Python handlers that the fetch tests use most.
// Not covered: https, HTTP/2, CORS policy, cookies jars, and every .py handler without an entry below (answers 501).
import http from "node:http";
import fs from "node:fs";
import path from "node:path";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

const MIME = {
  ".html": "text/html",
  ".htm": "text/html",
  ".xhtml": "application/xhtml+xml",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".txt": "text/plain",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".gif": "image/gif",
  ".wasm": "application/wasm",
  ".idl": "text/plain",
  ".xml": "application/xml",
  ".es": "application/octet-stream",
  ".gz": "application/gzip",
  ".wav": "audio/x-wav",
  ".mp4": "video/mp4",
};

export function substitute(text, ctx) {
  return text.replace(/\{\{([^{}]+)\}\}/g, (m, expr) => {
    const e = expr.trim();
    let r;
    if (e === "host" || e === "domains[]") r = ctx.host;
    else if ((r = /^ports\[(\w+)\]\[(\d+)\]$/.exec(e))) r = (ctx.ports[r[1]] || [])[+r[2]] ?? ctx.ports.http[0];
    else if (/^domains\[.*\]$/.test(e) || /^hosts\[alt\]/.test(e)) r = "127.0.0.1";
    else if (/^hosts\[/.test(e)) r = ctx.host;
    else if (e === "location[server]") r = `http://${ctx.host}:${ctx.ports.http[0]}`;
    else if (e === "location[host]") r = `${ctx.host}:${ctx.ports.http[0]}`;
    else if (e === "location[hostname]") r = ctx.host;
    else if (e === "location[port]") r = String(ctx.ports.http[0]);
    else if (e === "location[scheme]") r = "http";
    else if (e === "location[path]") r = ctx.path || "/";
    else if ((r = /^GET\[(.+)\]$/.exec(e))) r = ctx.query ? (ctx.query.get(r[1]) ?? "") : "";
    else if ((r = /^headers\[(.+)\]$/.exec(e))) r = ctx.headers ? (ctx.headers[r[1].toLowerCase()] ?? "") : "";
    else if (e === "uuid()") r = crypto.randomUUID();
    else return m;
    return r;
  });
}

// query decoding to byte strings (latin1), the way the Python handlers see them
function byteQuery(search) {
  const out = new Map();
  for (const part of search.replace(/^\?/, "").split("&")) {
    if (!part) continue;
    const i = part.indexOf("=");
    const dec = (s) =>
      s.replace(/\+/g, " ").replace(/%([0-9a-fA-F]{2})/g, (_, h) => String.fromCharCode(parseInt(h, 16)));
    const k = dec(i < 0 ? part : part.slice(0, i));
    const v = i < 0 ? "" : dec(part.slice(i + 1));
    if (!out.has(k)) out.set(k, v);
  }
  return out;
}
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const dirOf = (p) => p.slice(0, p.lastIndexOf("/") + 1);

function makeHandlers(stash) {
  const put = (ns, k, v) => stash.set(ns + "|" + k, v);
  const take = (ns, k) => {
    const key = ns + "|" + k;
    const v = stash.get(key);
    stash.delete(key);
    return v ?? null;
  };
  const H = {};
  H["/fetch/api/resources/inspect-headers.py"] = (q) => {
    const h = [];
    const asked = q.get.has("headers") ? q.get.get("headers").split("|") : [];
    for (const n of asked) if (q.raw.has(n.toLowerCase())) h.push(["x-request-" + n, q.raw.get(n.toLowerCase())]);
    if (q.get.has("cors"))
      h.push(
        ["Access-Control-Allow-Origin", q.raw.get("origin") || "*"],
        ["Access-Control-Allow-Credentials", "true"],
        ["Access-Control-Expose-Headers", asked.map((n) => "x-request-" + n).join(", ")],
      );
    h.push(["content-type", "text/plain"]);
    return { headers: h, body: "" };
  };
  H["/fetch/api/resources/echo-content.py"] = (q) => ({
    headers: [
      ["X-Request-Method", q.method],
      ["X-Request-Content-Length", q.raw.get("content-length") ?? "NO"],
      ["X-Request-Content-Type", q.raw.get("content-type") ?? "NO"],
      ["Content-Type", "text/plain"],
    ],
    body: q.body,
  });
  H["/fetch/api/resources/method.py"] = (q) => {
    const g = (n) => q.raw.get(n) ?? "NO";
    return {
      headers: [
        ["x-request-method", q.method],
        ["x-request-content-type", g("content-type")],
        ["x-request-content-length", g("content-length")],
        ["x-request-content-encoding", g("content-encoding")],
        ["x-request-content-language", g("content-language")],
        ["x-request-content-location", g("content-location")],
      ],
      body: q.body,
    };
  };
  H["/fetch/api/resources/status.py"] = (q) => ({
    status: +(q.get.get("code") ?? 200),
    text: q.get.get("text") ?? "OMG",
    headers: [
      ["Content-Type", q.get.get("type") ?? ""],
      ["X-Request-Method", q.method],
    ],
    body: q.get.get("content") ?? "",
  });
  H["/xhr/resources/status.py"] = H["/fetch/api/resources/status.py"];
  H["/fetch/api/resources/trickle.py"] = async (q, res) => {
    const ms = +(q.get.get("ms") ?? 500),
      n = +(q.get.get("count") ?? 50);
    await sleep(ms);
    if (!q.get.has("notype")) res.setHeader("Content-Type", "text/plain");
    res.writeHead(200);
    res.flushHeaders();
    await sleep(ms);
    for (let i = 0; i < n && !res.destroyed; i++) {
      res.write("TEST_TRICKLE\n");
      await sleep(ms);
    }
    res.end();
    return null;
  };
  H["/xhr/resources/trickle.py"] = H["/fetch/api/resources/trickle.py"];
  H["/fetch/api/resources/infinite-slow-response.py"] = async (q, res) => {
    const sk = q.get.get("stateKey") ?? "",
      ak = q.get.get("abortKey") ?? "",
      d = dirOf(q.path);
    if (sk) {
      take(d, sk);
      put(d, sk, "open");
    }
    res.writeHead(200, { "Content-Type": "text/plain" });
    res.write(".".repeat(2048));
    while (!res.destroyed && !res.writableEnded) {
      res.write(".");
      if (ak && take(d, ak)) break;
      await sleep(10);
    }
    if (sk) {
      take(d, sk);
      put(d, sk, "closed");
    }
    if (!res.destroyed) res.end();
    return null;
  };
  H["/fetch/api/resources/stash-put.py"] = (q) => {
    if (q.method === "OPTIONS")
      return {
        headers: [
          ["Access-Control-Allow-Origin", "*"],
          ["Access-Control-Allow-Methods", "*"],
          ["Access-Control-Allow-Headers", "*"],
        ],
        body: "done",
      };
    put(dirOf(q.path), q.get.get("key"), q.get.get("value"));
    return { headers: [["Access-Control-Allow-Origin", "*"]], body: "done" };
  };
  H["/fetch/api/resources/stash-take.py"] = (q) => ({
    headers: [
      ["Access-Control-Allow-Origin", "*"],
      ["Content-Type", "application/json"],
    ],
    body: JSON.stringify(take(dirOf(q.path), q.get.get("key"))),
  });
  H["/fetch/api/resources/clean-stash.py"] = (q) => ({
    headers: [],
    body: take("", q.get.get("token")) !== null ? "1" : "0",
  });
  H["/fetch/api/resources/bad-chunk-encoding.py"] = async (q, res) => {
    const ms = +(q.get.get("ms") ?? 1000),
      n = +(q.get.get("count") ?? 50),
      s = res.socket;
    await sleep(ms);
    s.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    await sleep(ms);
    for (let i = 0; i < n && !s.destroyed; i++) {
      s.write("a\r\nTEST_CHUNK\r\n");
      await sleep(ms);
    }
    if (!s.destroyed) s.end("garbage");
    return null;
  };
  H["/xhr/resources/bad-chunk-encoding.py"] = H["/fetch/api/resources/bad-chunk-encoding.py"];
  H["/fetch/api/resources/cache.py"] = (q) =>
    q.raw.get("if-none-match") === '"123abc"'
      ? { status: 304, text: "Not Modified", headers: [["X-HTTP-STATUS", "304"]], body: "" }
      : {
          headers: [
            ["ETag", '"123abc"'],
            ["Content-Type", "text/plain"],
          ],
          body: "lorem ipsum dolor sit amet",
        };
  H["/fetch/api/resources/authentication.py"] = (q) => {
    const m = /^Basic (.+)$/i.exec(q.raw.get("authorization") ?? "");
    if (m && Buffer.from(m[1], "base64").toString("latin1") === "user:password")
      return { headers: [], body: "Authentication done" };
    return {
      status: 401,
      text: "Unauthorized",
      headers: [["WWW-Authenticate", `Basic realm="${q.get.get("realm") ?? "test"}"`]],
      body: "Please login with credentials 'user' and 'password'",
    };
  };
  H["/fetch/api/resources/dump-authorization-header.py"] = (q) => ({
    headers: [
      ["Content-Type", "text/html"],
      ["Cache-Control", "no-cache"],
      ["Access-Control-Allow-Origin", q.raw.get("origin") ?? "*"],
      ["Access-Control-Allow-Headers", "Authorization"],
    ],
    body: q.raw.get("authorization") ?? "none",
  });
  H["/fetch/api/resources/redirect-empty-location.py"] = () => ({ status: 302, headers: [["Location", ""]], body: "" });
  H["/fetch/api/resources/script-with-header.py"] = (q) => ({
    headers: [
      ["Content-Type", q.get.get("mime") ?? "text/javascript"],
      ...(q.get.has("header") ? [["Content-Disposition", q.get.get("header")]] : []),
    ],
    body: q.get.get("content") ?? "",
  });
  H["/fetch/api/resources/huge-response.py"] = async (q, res) => {
    const total = 8 * 2 ** 30,
      chunk = Buffer.alloc(1 << 20);
    let sent = 0;
    res.writeHead(200, { "Content-Type": "text/plain", "Content-Length": total });
    while (sent < total && !res.destroyed) {
      if (!res.write(chunk))
        await new Promise((r) => {
          res.once("drain", r);
          res.once("close", r);
        });
      sent += chunk.length;
    }
    res.end();
    return null;
  };
  H["/fetch/api/resources/redirect.py"] = async (q) => {
    const h = [
      ["Content-Type", "text/plain"],
      ["Cache-Control", "no-cache"],
      ["Pragma", "no-cache"],
      ["Access-Control-Allow-Origin", q.raw.get("origin") ?? "*"],
    ];
    const tok = q.get.get("token");
    let st = { count: 0, preflight: "0" };
    if (tok !== undefined) {
      const d = take("", tok);
      if (d) st = d;
    }
    if (q.method === "OPTIONS") {
      st.preflight = "1";
      if (!q.get.has("redirect_preflight")) {
        if (tok !== undefined) put("", tok, st);
        return { status: 200, headers: h, body: "" };
      }
    }
    let status = 302;
    if (q.get.has("redirect_status")) status = +q.get.get("redirect_status");
    else {
      const p = byteQuery(q.body.toString("latin1"));
      if (p.has("redirect_status")) status = +p.get("redirect_status");
    }
    st.count++;
    if (q.get.has("location")) {
      let url = q.get.get("location");
      if (!q.get.has("simple")) {
        const m = /^([a-zA-Z][\w+.-]*):/.exec(url),
          sch = m ? m[1].toLowerCase() : "";
        if (sch === "" || sch === "http" || sch === "https") {
          url +=
            (url.includes("?") ? "&" : "?") +
            [...q.get]
              .map(([k, v]) => encodeURIComponent(k) + "=" + encodeURIComponent(v).replace(/%20/g, "+"))
              .join("&") +
            "&count=" +
            st.count;
        }
      }
      h.push(["Location", url]);
    }
    if (q.get.has("redirect_referrerpolicy")) h.push(["Referrer-Policy", q.get.get("redirect_referrerpolicy")]);
    if (q.get.has("delay")) await sleep(+q.get.get("delay"));
    if (tok !== undefined) {
      put("", tok, st);
      if (q.get.has("max_count") && st.count > +q.get.get("max_count"))
        return { headers: [], body: String(st.count - 1) };
    }
    return { status, headers: h, body: "" };
  };
  H["/fetch/api/request/resources/cache.py"] = (q) => {
    const tok = q.get.get("token") ?? "";
    const g = (n) => q.get.get(n) || null;
    if (q.get.has("querystate"))
      return { headers: [["Content-Type", "text/plain"]], body: JSON.stringify(take("", tok)) };
    const tag = g("tag") ? `"${g("tag")}"` : null,
      date = g("date");
    const state = take("", tok) || [];
    const seen = {};
    if (!q.get.has("ignore"))
      for (const n of ["If-None-Match", "If-Modified-Since", "Pragma", "Cache-Control"]) {
        const v = q.raw.get(n.toLowerCase());
        if (v) seen[n] = v;
      }
    state.push(seen);
    put("", tok, state);
    const h = [];
    if (tag) h.push(["ETag", tag]);
    else if (date) h.push(["Last-Modified", date]);
    if (g("expires")) h.push(["Expires", g("expires")]);
    if (g("vary")) h.push(["Vary", g("vary")]);
    if (g("cache_control")) h.push(["Cache-Control", g("cache_control")]);
    h.push(["Access-Control-Allow-Origin", "*"]);
    if (g("redirect")) return { status: 302, text: "Redirect", headers: [...h, ["Location", g("redirect")]], body: "" };
    const inm = q.raw.get("if-none-match"),
      ims = q.raw.get("if-modified-since");
    if ((inm !== undefined && inm === tag) || (ims !== undefined && ims === date))
      return { status: 304, text: "Not Modified", headers: h, body: "" };
    return { headers: [...h, ["Content-Type", "text/plain"]], body: q.get.get("content") ?? "" };
  };
  H["/wasm/webapi/status.py"] = (q) => ({
    status: +q.get.get("status"),
    headers: [["Content-Type", "application/wasm"]],
    body: Buffer.from([0, 97, 115, 109, 1, 0, 0, 0]),
  });
  H["/common/redirect.py"] = (q) => ({
    status: +(q.get.get("status") ?? 302),
    headers: [["Location", q.get.get("location") ?? ""]],
    body: "",
  });
  H["/xhr/resources/echo-headers.py"] = (q) => ({
    headers: [
      ["Content-Type", "text/plain"],
      ["Connection", "close"],
    ],
    body: q.rawList.map(([k, v]) => `${k}: ${v}\n`).join(""),
  });
  H["/xhr/resources/parse-headers.py"] = (q) => ({
    headers: q.get.has("my-custom-header") ? [["My-Custom-Header", q.get.get("my-custom-header")]] : [],
    body: "",
  });
  H["/xhr/resources/content.py"] = (q) => {
    const st = /^(\d+)\s*(.*)$/.exec(q.get.get("response_charset_label") ? "" : "");
    void st;
    return {
      headers: [
        ["Content-type", "text/plain"],
        ["X-Request-Method", q.method],
        ["X-Request-Query", q.search.replace(/^\?/, "") || "NO"],
        ["X-Request-Content-Length", q.raw.get("content-length") ?? "NO"],
        ["X-Request-Content-Type", q.raw.get("content-type") ?? "NO"],
      ],
      body: q.get.get("content") ?? q.body,
    };
  };
  return H;
}

function applyPipes(spec, r, ctx) {
  // spec like header(A,B)|status(404)|slice(0,3)|sub|trickle(d1)
  for (const p of spec.split("|")) {
    const m = /^(\w+)(?:\((.*)\))?$/s.exec(p.trim());
    if (!m) continue;
    const args = (m[2] ?? "").split(/(?<!\\),/).map((s) => s.replace(/\\(.)/g, "$1"));
    if (m[1] === "header") {
      const app = args[2] && args[2] !== "False";
      if (!app) r.headers = r.headers.filter(([k]) => k.toLowerCase() !== args[0].toLowerCase());
      r.headers.push([args[0], (args[1] ?? "").trim()]);
    } else if (m[1] === "status") r.status = +args[0];
    else if (m[1] === "slice") {
      const b = Buffer.from(r.body);
      const s = args[0] === "null" ? 0 : +args[0];
      r.body = b.subarray(s, args[1] === undefined || args[1] === "null" ? undefined : +args[1]);
    } else if (m[1] === "sub") r.body = Buffer.from(substitute(Buffer.from(r.body).toString("utf8"), ctx), "utf8");
    else if (m[1] === "trickle") r.trickle = args[0];
  }
}

// A small RFC 6455 server for the /websockets tests: endpoints by path, no extensions.
function onUpgrade(req, socket) {
  const u = new URL(req.url, "http://x");
  const asked = (req.headers["sec-websocket-protocol"] ?? "")
    .split(",")
    .map((x) => x.trim())
    .filter(Boolean);
  const name = u.pathname.slice(1);
  let proto = null;
  const fail = (t) => socket.end(t);
  const known = [
    "echo",
    "remote-close",
    "protocol",
    "protocol_array",
    "empty-message",
    "echo_close_data",
    "delayed-passive-close",
    "echo-query",
    "referrer",
    "basic_auth",
    "origin",
    "handshake_no_extensions",
    "passive-close-abort",
    "handshake_no_protocol",
    "handshake_protocol",
    "handshake_sleep_2",
  ];
  if (!known.includes(name)) return fail("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  if (name === "basic_auth" && req.headers.authorization !== "Basic Zm9vOmJhcg==")
    return fail('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm="camelot"\r\n\r\n');
  if (name === "echo" && asked.includes("echo")) proto = "echo";
  if (name === "protocol") proto = req.headers["sec-websocket-protocol"] ?? null;
  if (name === "protocol_array" || name === "handshake_protocol")
    proto = asked[0] ?? (name === "handshake_protocol" ? "foobar" : null);
  const accept = createHash("sha1")
    .update(req.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    .digest("base64");
  const frame = (op, data) => {
    const b = Buffer.from(data);
    const h =
      b.length < 126
        ? Buffer.from([0x80 | op, b.length])
        : b.length < 65536
          ? Buffer.from([0x80 | op, 126, b.length >> 8, b.length & 255])
          : Buffer.concat([
              Buffer.from([0x80 | op, 127, 0, 0, 0, 0]),
              Buffer.from([b.length >>> 24, (b.length >>> 16) & 255, (b.length >>> 8) & 255, b.length & 255]),
            ]);
    if (!socket.destroyed) {
      socket.write(h);
      socket.write(b);
    }
  };
  const close = (code, reason = "") => {
    const b =
      code === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
    sentClose = true;
    frame(8, b);
  };
  let sentClose = false;
  let parts = [];
  let partOp = 0;
  let buf = Buffer.alloc(0);
  const message = (op, data) => {
    if (name === "echo") {
      frame(op, data);
      if (op === 1 && data.toString() === "Goodbye") close(1000);
    } else if (name === "empty-message") {
      frame(1, data.length === 0 ? "pass" : "fail");
      close(1000);
    } else if (name === "echo_close_data" && data.toString() === "Goodbye") close(1000);
  };
  const open = () => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${proto !== null ? `Sec-WebSocket-Protocol: ${proto}\r\n` : ""}\r\n`,
    );
    const say = {
      protocol: proto,
      protocol_array: proto,
      "echo-query": u.search.slice(1),
      referrer: req.headers.referer ?? "MISSING AS PER FETCH",
      origin: req.headers.origin ?? "",
    }[name];
    if (say !== undefined) {
      frame(1, String(say));
      close(1000);
    }
    if (name === "remote-close") {
      if (u.searchParams.has("abrupt")) {
        frame(9, "ping");
        socket.end();
      } else if (u.searchParams.has("code")) close(+u.searchParams.get("code"), u.searchParams.get("reason") ?? "");
      else close();
    }
    if (name === "basic_auth" || name.startsWith("handshake_")) close(1000);
  };
  socket.on("error", () => {});
  socket.on("data", (d) => {
    buf = Buffer.concat([buf, d]);
    for (;;) {
      if (buf.length < 2) return;
      const fin = buf[0] & 0x80,
        op = buf[0] & 15;
      let n = buf[1] & 127,
        o = 2;
      if (n === 126) {
        if (buf.length < 4) return;
        n = buf.readUInt16BE(2);
        o = 4;
      } else if (n === 127) {
        if (buf.length < 10) return;
        n = Number(buf.readBigUInt64BE(2));
        o = 10;
      }
      const masked = buf[1] & 0x80;
      if (buf.length < o + (masked ? 4 : 0) + n) return;
      const key = masked ? buf.subarray(o, o + 4) : null;
      if (masked) o += 4;
      const data = Buffer.from(buf.subarray(o, o + n));
      if (key) for (let i = 0; i < n; i++) data[i] ^= key[i & 3];
      buf = buf.subarray(o + n);
      if (op === 9) frame(10, data);
      else if (op === 8) {
        if (name === "passive-close-abort") {
          socket.end();
          return;
        }
        const reply = () => {
          if (!sentClose) {
            sentClose = true;
            frame(8, data);
          }
          socket.end();
        };
        if (name === "delayed-passive-close") setTimeout(reply, 1000);
        else reply();
        return;
      } else if (op === 0 || op === 1 || op === 2) {
        if (op) partOp = op;
        parts.push(data);
        if (fin) {
          const m = Buffer.concat(parts);
          parts = [];
          message(partOp, m);
        }
      }
    }
  });
  if (name === "handshake_sleep_2") setTimeout(open, 2000);
  else open();
}

export async function startServer({ roots, ports = [0, 0], host = "localhost", log = null }) {
  const stash = new Map();
  const handlers = makeHandlers(stash);
  const unsupported = new Map();
  const servers = [];
  const info = { host, ports: { http: [], https: [0], ws: [], wss: [0], h2: [0] } };
  const find = (p) => {
    for (const r of roots) {
      const f = path.join(r, p);
      if (f.startsWith(r + path.sep) && fs.existsSync(f) && fs.statSync(f).isFile()) return f;
    }
    return null;
  };

  async function onRequest(req, res) {
    const chunks = [];
    for await (const c of req) chunks.push(c);
    const qi = req.url.indexOf("?");
    const rawPath = qi < 0 ? req.url : req.url.slice(0, qi);
    const search = qi < 0 ? "" : req.url.slice(qi);
    let p;
    try {
      p = decodeURIComponent(rawPath);
    } catch {
      p = rawPath;
    }
    p = path.posix.normalize(p);
    const rawList = [];
    const raw = new Map();
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const k = req.rawHeaders[i],
        v = req.rawHeaders[i + 1];
      rawList.push([k, v]);
      const l = k.toLowerCase();
      raw.set(l, raw.has(l) ? raw.get(l) + ", " + v : v);
    }
    const q = {
      method: req.method,
      path: p,
      search,
      get: byteQuery(search),
      raw,
      rawList,
      body: Buffer.concat(chunks),
    };
    const ctx = { ...info, path: p, query: q.get, headers: req.headers };
    if (log) log(`${req.method} ${req.url}`);
    let r;
    if (p.endsWith(".py")) {
      const h = handlers[p];
      if (!h) {
        unsupported.set(p, (unsupported.get(p) || 0) + 1);
        r = { status: 501, headers: [["Content-Type", "text/plain"]], body: "handler not implemented: " + p };
      } else r = await h(q, res);
      if (r === null) return;
    } else {
      const f = find(p);
      if (!f) r = { status: 404, headers: [["Content-Type", "text/plain"]], body: "not found: " + p };
      else if (f.endsWith(".asis")) {
        res.socket.end(fs.readFileSync(f));
        return;
      } else {
        const hs = [];
        let ct = MIME[path.extname(f)] || "application/octet-stream";
        for (const hf of [
          path.join(path.dirname(f), "__dir__.headers"),
          f + ".headers",
          f.replace(/(\.[^.]+)$/, ".sub$1") + ".headers",
        ]) {
          if (!fs.existsSync(hf)) continue;
          for (const line of substitute(fs.readFileSync(hf, "latin1"), ctx).split(/\r?\n/)) {
            const i = line.indexOf(":");
            if (i > 0) hs.push([line.slice(0, i).trim(), line.slice(i + 1).trim()]);
          }
        }
        if (!hs.some(([k]) => k.toLowerCase() === "content-type")) hs.push(["Content-Type", ct]);
        r = { status: 200, headers: hs, body: fs.readFileSync(f) };
        if (/\.sub\.[^.]+$/.test(f) || /\.sub\.any\.js$/.test(f))
          r.body = Buffer.from(substitute(r.body.toString("utf8"), ctx), "utf8");
        const rg = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range || "");
        if (rg) {
          const s = +rg[1],
            e = rg[2] ? Math.min(+rg[2], r.body.length - 1) : r.body.length - 1;
          r.status = 206;
          r.headers.push(["Content-Range", `bytes ${s}-${e}/${r.body.length}`]);
          r.body = r.body.subarray(s, e + 1);
        }
      }
    }
    if (q.get.has("pipe")) applyPipes(q.get.get("pipe"), r, ctx);
    res.statusCode = r.status || 200;
    if (r.text !== undefined) res.statusMessage = Buffer.from(r.text, "latin1").toString("latin1");
    const names = new Set();
    for (const [k, v] of r.headers) {
      try {
        if (names.has(k.toLowerCase())) res.appendHeader(k, v);
        else res.setHeader(k, v);
        names.add(k.toLowerCase());
      } catch {
        /* value node cannot send */
      }
    }
    const body = Buffer.isBuffer(r.body) ? r.body : Buffer.from(String(r.body), "latin1");
    const m = r.trickle && /^d([\d.]+)$/.exec(r.trickle);
    if (m) await sleep(+m[1] * 1000);
    if (req.method === "HEAD" || r.status === 204 || r.status === 304) {
      if (r.status !== 204 && r.status !== 304) res.setHeader("Content-Length", body.length);
      res.end();
    } else {
      res.setHeader("Content-Length", body.length);
      res.end(body);
    }
  }
  const handler = (req, res) =>
    onRequest(req, res).catch((e) => {
      if (log) log("ERR " + e.stack);
      try {
        res.statusCode = 500;
        res.end(String(e));
      } catch {
        /* gone */
      }
    });
  for (const want of ports) {
    // The same port on both loopbacks, as "localhost" may resolve to either.
    const s4 = http.createServer({ keepAliveTimeout: 5000, insecureHTTPParser: true }, handler);
    s4.on("upgrade", onUpgrade);
    await new Promise((ok, no) => {
      s4.once("error", no);
      s4.listen(want, "127.0.0.1", ok);
    });
    const port = s4.address().port;
    servers.push(s4);
    info.ports.http.push(port);
    info.ports.ws.push(port);
    const s6 = http.createServer({ keepAliveTimeout: 5000, insecureHTTPParser: true }, handler);
    s6.on("upgrade", onUpgrade);
    await new Promise((ok) => {
      s6.once("error", ok);
      s6.listen(port, "::1", ok);
    });
    servers.push(s6);
  }
  return {
    ...info,
    origin: `http://${host}:${info.ports.http[0]}`,
    unsupported,
    handlers,
    stop: () => {
      for (const s of servers) {
        s.closeAllConnections?.();
        s.close();
      }
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const s = await startServer({
    roots: [path.resolve(process.argv[2] || "wpt")],
    ports: [+(process.argv[3] || 8000), +(process.argv[4] || 8001)],
    log: console.error,
  });
  console.log(s.origin);
}
