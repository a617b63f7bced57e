// wptreport.mjs - results/*.jsonl -> baseline.json and baseline.md
// A subtest is counted once per (file, variant, name). The denominator of a directory is the union of the subtests that
// any runtime in the comparison reported, less those that cannot pass in an ES module (strict-only.json): a file that
// fails to load in one runtime therefore costs that runtime all its subtests.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
const HERE = path.dirname(fileURLToPath(import.meta.url));
const ORDER = ["nano", "workerd", "workerd-wpt", "deno", "node26", "node20", "bun"];

// The subtests of a record, by name: [status, message]. What differs from run to run in a name (ports, UUIDs) is taken
// out, a second subtest of the same name gets a number, and those in `drop` are left out.
export function subtestsOf(record, drop) {
  const found = new Map();
  const seen = new Map();
  for (const [text, status, message] of record?.tests || []) {
    let name = String(text)
      .replace(/(localhost|127\.0\.0\.1|\[::1\]):\d+/g, "$1:PORT")
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UUID");
    const count = (seen.get(name) || 0) + 1;
    seen.set(name, count);
    if (count > 1) name += " #" + count;
    if (!drop.has(name)) found.set(name, [status, message]);
  }
  return found;
}

export function report(dir, a = {}) {
  const strict = fs.existsSync(path.join(HERE, "strict-only.json"))
    ? JSON.parse(fs.readFileSync(path.join(HERE, "strict-only.json"), "utf8"))
    : {};
  const rts = {};
  for (const f of fs.readdirSync(dir).filter((f) => f.endsWith(".jsonl"))) {
    const name = f.replace(/\.jsonl$/, "");
    const m = new Map();
    for (const l of fs.readFileSync(path.join(dir, f), "utf8").split("\n"))
      if (l) {
        const r = JSON.parse(l);
        m.set(r.file + r.variant, r);
      }
    rts[name] = m;
  }
  const names = Object.keys(rts).sort((x, y) => ((ORDER.indexOf(x) + 99) % 99) - ((ORDER.indexOf(y) + 99) % 99));
  const keys = [...new Set(names.flatMap((n) => [...rts[n].keys()]))].sort();
  const dirs = {};
  const skipped = {};
  const anchors = {};
  const blank = () => ({
    pass: 0,
    fail: 0,
    timeout: 0,
    notrun: 0,
    missing: 0,
    files_ok: 0,
    files_error: 0,
    files_timeout: 0,
    files_crash: 0,
  });
  for (const k of keys) {
    const recs = names.map((n) => rts[n].get(k));
    const any = recs.find(Boolean);
    const d = any.dir;
    const D = (dirs[d] ||= {
      units: 0,
      files: new Set(),
      skipped: 0,
      subtests: 0,
      tentative_subtests: 0,
      unanimous: 0,
      nobody: 0,
      rt: Object.fromEntries(names.map((n) => [n, blank()])),
    });
    if (recs.every((r) => !r || r.skip)) {
      D.skipped++;
      skipped[k] = any.skip;
      continue;
    }
    D.units++;
    D.files.add(any.file);
    const drop = new Set((strict[k] || {}).tests || []);
    const union = new Set();
    const maps = recs.map((r) => {
      const m = new Map();
      for (const [n, [status]] of subtestsOf(r, drop)) {
        m.set(n, status);
        union.add(n);
      }
      return m;
    });
    D.subtests += union.size;
    if (any.tentative) D.tentative_subtests += union.size;
    recs.forEach((r, i) => {
      const c = D.rt[names[i]];
      if (!r || r.skip) {
        c.missing += union.size;
        return;
      }
      if (r.harness === "OK") c.files_ok++;
      else if (r.harness === "TIMEOUT") c.files_timeout++;
      else if (r.harness === "HANG" || r.harness === "CRASH") c.files_crash++;
      else c.files_error++;
      for (const n of union) {
        const s = maps[i].get(n);
        if (s === undefined) c.missing++;
        else if (s === 0) c.pass++;
        else if (s === 1) c.fail++;
        else if (s === 2) c.timeout++;
        else if (s === 3) c.notrun++;
        else c.fail++;
      }
    });
    for (const n of union) {
      const p = maps.filter((m) => m.get(n) === 0).length;
      if (p === names.length) D.unanimous++;
      if (p === 0) D.nobody++;
    }
  }
  const total = {
    files: 0,
    units: 0,
    subtests: 0,
    unanimous: 0,
    nobody: 0,
    skipped: 0,
    rt: Object.fromEntries(names.map((n) => [n, blank()])),
  };
  for (const d in dirs) {
    const D = dirs[d];
    D.files = D.files.size;
    for (const k of ["files", "units", "subtests", "unanimous", "nobody", "skipped"]) total[k] += D[k];
    for (const n of names) for (const k in D.rt[n]) total.rt[n][k] += D.rt[n][k];
  }
  for (const d in dirs) {
    const others = names.filter((n) => n !== "nano");
    if (others.length === 0) break; // nobody to compare with
    const best = others.reduce((b, n) => (dirs[d].rt[n].pass > dirs[d].rt[b].pass ? n : b));
    anchors[d] = {
      best,
      pass: dirs[d].rt[best].pass,
      of: dirs[d].subtests,
      reachable: dirs[d].subtests - dirs[d].nobody,
      workerd: dirs[d].rt.workerd?.pass ?? null,
    };
  }
  const version = Object.fromEntries(names.map((n) => [n, [...rts[n].values()].find((r) => r.version)?.version]));
  const outJson = a.json || path.join(dir, "../baseline.json");
  const outMd = a.md || path.join(dir, "../baseline.md");
  fs.writeFileSync(
    outJson,
    JSON.stringify(
      {
        made: new Date().toISOString(),
        wpt: a.commit || "faf875d9b84f4319ac950cd51ef03a3dcf466a7f (as vendored in Firefox ESR 140.12)",
        machine: "2 cores, low priority, one file at a time",
        versions: version,
        total,
        anchors,
        dirs,
        skipped,
        strict_only: Object.fromEntries(Object.entries(strict).map(([k, v]) => [k, v.syntax || v.tests.length])),
      },
      null,
      1,
    ),
  );
  const pct = (p, t) => (t ? (Math.floor((1000 * p) / t) / 10).toFixed(1) : "-");
  let md = `| directory | files | runs | subtests | reachable | ${names.join(" | ")} |\n|---|--:|--:|--:|--:|${names.map(() => "--:").join("|")}|\n`;
  const row = (d, D) =>
    `| ${d} | ${D.files ?? ""} | ${D.units} | ${D.subtests} | ${D.subtests - D.nobody} | ${names
      .map((n) => {
        const c = D.rt[n];
        const odd = [
          c.files_timeout ? c.files_timeout + "t" : "",
          c.files_error ? c.files_error + "e" : "",
          c.files_crash ? c.files_crash + "c" : "",
        ]
          .filter(Boolean)
          .join(" ");
        return `${c.pass} (${pct(c.pass, D.subtests)}%)${odd ? " " + odd : ""}`;
      })
      .join(" | ")} |\n`;
  const order = a.order ? a.order.split(",") : Object.keys(dirs);
  for (const d of order) if (dirs[d]) md += row(d, dirs[d]);
  for (const d in dirs) if (!order.includes(d)) md += row(d, dirs[d]);
  md += row("**all**", total);
  fs.writeFileSync(
    outMd,
    `# WPT baseline\n\n${names.map((n) => `- ${n}: ${version[n]}`).join("\n")}\n\nPassed subtests (share of the union of subtests). Reachable: passed by at least one runtime here. After the share, where not zero, files whose run timed out (t), ended in a harness or load error (e), crashed or hung the process (c).\n\n${md}`,
  );
  console.log(md);
}
