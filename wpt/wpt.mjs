#!/usr/bin/env node
// Runs the web-platform-tests on NANO and compares what failed with what is expected to fail.
//
//   NANO=bin/nano node wpt/wpt.mjs --wpt CHECKOUT [--overlay FOLDER] [--dir url ...] [--filter REGEX] [--out DIR] [--update]
//
// It ends with 1 if a subtest fails that is expected to pass (a regression), or passes although it is expected to fail
// (then the expectation is stale). expectations.json holds
//   reasons      why subtests fail: a text for each name, and `match`, patterns for failures that --update finds to be
//                new: {file, test, message}, regular expressions of which all that are given have to match
//   directories  how many subtests pass of how many, so that a file that vanishes is noticed too
//   files        by file and variant: {reason: [names of subtests], or the number of subtests if all of them fail,
//                harness: how the file ends if that is not "OK"}
// --update writes it anew from this run. A subtest that failed before keeps its reason; a new failure gets the first one
// that matches, or "unexplained", which no run accepts.
import fs from "node:fs";
import path from "node:path";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { subtestsOf } from "./wptreport.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const EXPECTATIONS = path.join(HERE, "expectations.json");
const DIRECTORIES = [
  "url",
  "urlpattern",
  "encoding",
  "streams",
  "compression",
  "WebCryptoAPI",
  "fetch/api/headers",
  "fetch/api/request",
  "fetch/api/response",
  "fetch/api/body",
  "fetch/api/abort",
  "fetch/api/basic",
  "fetch/api/redirect",
  "fetch/api/idlharness.any.js",
  "xhr/formdata",
  "dom/abort",
  "dom/events",
  "FileAPI",
  "html/webappapis",
  "hr-time",
  "console",
  "html/infrastructure/safe-passing-of-structured-data",
  "mimesniff",
  "performance-timeline",
  "user-timing",
  "wasm/jsapi",
  "wasm/webapi",
  "webidl",
  "webmessaging",
  "websockets",
];
// Tests for windows that need nothing of a window.
const WINDOWS = ["url/IdnaTestV2.window.js", "url/IdnaTestV2-removed.window.js"];
// How often what was not expected is tried again, alone, before it counts: the machine may be busy.
const RETRIES = 2;
const UNEXPLAINED = "unexplained";

function readArguments(given) {
  const options = { dir: [], overlay: [] };
  for (let at = 0; at < given.length; at++) {
    const name = given[at].replace(/^--/, "");
    if (name === "update") options.update = true;
    else if (!given[at].startsWith("--") || at + 1 === given.length)
      throw new Error(`unknown or without a value: ${given[at]}`);
    else if (Array.isArray(options[name])) options[name].push(given[++at]);
    else options[name] = given[++at];
  }
  if (!options.wpt) throw new Error("say where the checkout is: --wpt FOLDER (wpt/README.md tells how to get one)");
  if (options.filter && options.update) throw new Error("--update wants whole directories, without --filter");
  return options;
}

// Runs wptrun.mjs and returns its records by file and variant. `only`: those and no others.
function run(options, directories, only) {
  const out = path.resolve(options.out || ".wpt");
  const results = path.join(out, only ? "again" : "results");
  fs.mkdirSync(results, { recursive: true });
  const parts = [
    path.join(HERE, "wptrun.mjs"),
    "--runtime",
    "nano",
    "--fresh",
    "--wpt",
    options.wpt,
    "--out",
    results,
    "--build",
    path.join(out, "build"),
    ...options.overlay.flatMap((folder) => ["--overlay", folder]),
    ...directories.flatMap((folder) => ["--dir", folder]),
    ...WINDOWS.flatMap((file) => ["--window", file]),
  ];
  for (const name of ["filter", "base-port", "timeout-mult"]) if (options[name]) parts.push("--" + name, options[name]);
  if (only) {
    const list = path.join(out, "only.txt");
    fs.writeFileSync(list, only.join("\n") + "\n");
    parts.push("--only", list);
  }
  const log = fs.openSync(path.join(out, only ? "again.log" : "log"), "w");
  const { status } = spawnSync(process.execPath, parts, { stdio: ["ignore", log, log] });
  fs.closeSync(log);
  if (status !== 0)
    throw new Error(
      `the run failed: ${fs.readFileSync(path.join(out, only ? "again.log" : "log"), "utf8").slice(-2000)}`,
    );
  const records = new Map();
  for (const line of fs.readFileSync(path.join(results, "nano.jsonl"), "utf8").split("\n")) {
    if (line === "") continue;
    const record = JSON.parse(line);
    if (!record.skip) records.set(record.file + record.variant, record);
  }
  return records;
}

// Subtests that no module can pass, by file: they are in nobody's count.
const strict = JSON.parse(fs.readFileSync(path.join(HERE, "strict-only.json"), "utf8"));
const subtests = (key, record) => subtestsOf(record, new Set(strict[key]?.tests || []));

// What a file is expected to do: the reason of each failing subtest by its name, `all` for a reason that covers all
// of them.
function expectationOf(entry = {}) {
  const { harness = "OK", ...groups } = entry;
  const expected = { harness, names: new Map(), all: null, count: 0 };
  for (const [reason, names] of Object.entries(groups)) {
    if (typeof names === "number") Object.assign(expected, { all: reason, count: names });
    else for (const name of names) expected.names.set(name, reason);
  }
  return expected;
}

// How a file differs from what is expected of it: [[kind, subtest, message], ...].
function differences(key, record, entry) {
  const expected = expectationOf(entry);
  const found = [];
  const tests = subtests(key, record);
  if (record.harness !== expected.harness) {
    const kind = record.harness === "OK" ? "passes" : "fails";
    found.push([kind, "(the file)", `${record.harness}, expected ${expected.harness}: ${record.message}`]);
  }
  for (const [name, [status, message]] of tests) {
    const fails = expected.all !== null || expected.names.has(name);
    if (status === 0 && fails)
      found.push(["passes", name, "expected to fail: " + (expected.all ?? expected.names.get(name))]);
    if (status !== 0 && !fails) found.push(["fails", name, message]);
  }
  for (const name of expected.names.keys())
    if (!tests.has(name)) found.push(["passes", name, "expected to fail, but not there"]);
  if (expected.all !== null && tests.size !== expected.count) {
    found.push(["fails", "(the file)", `${tests.size} subtests, expected ${expected.count}`]);
  }
  return found;
}

// Compares all files, and tries those again that do not do what is expected.
function compare(options, directories, records, expectations) {
  const unexpected = new Map();
  for (const [key, record] of records) {
    const found = differences(key, record, expectations.files[key]);
    if (found.length > 0) unexpected.set(key, found);
  }
  const flaky = [];
  for (let attempt = 0; attempt < RETRIES && unexpected.size > 0 && unexpected.size <= 50; attempt++) {
    for (const [key, record] of run(options, directories, [...unexpected.keys()])) {
      const found = differences(key, record, expectations.files[key]);
      if (found.length === 0) {
        unexpected.delete(key);
        flaky.push(key);
        records.set(key, record);
      }
    }
  }
  return { unexpected, flaky };
}

// The table: for each directory how many subtests passed of how many.
function count(directories, records) {
  const table = Object.fromEntries(directories.map((name) => [name, { passed: 0, subtests: 0 }]));
  for (const [key, record] of records) {
    for (const [status] of subtests(key, record).values()) {
      table[record.dir].subtests++;
      if (status === 0) table[record.dir].passed++;
    }
  }
  return table;
}

function print(table, records, unexpected) {
  const odd = Object.fromEntries(Object.keys(table).map((name) => [name, { fails: 0, passes: 0 }]));
  for (const [key, found] of unexpected) for (const [kind] of found) odd[records.get(key).dir][kind]++;
  const all = { passed: 0, subtests: 0, fails: 0, passes: 0 };
  console.log(
    `| ${"directory".padEnd(52)} | passed | of     | regressions | unexpected passes |\n|${"-".repeat(54)}|-------:|-------:|------------:|------------------:|`,
  );
  const row = (name, { passed, subtests, fails, passes }) =>
    console.log(
      `| ${name.padEnd(52)} | ${String(passed).padStart(6)} | ${String(subtests).padStart(6)} | ${String(fails || "").padStart(11)} | ${String(passes || "").padStart(17)} |`,
    );
  for (const name in table) {
    const line = { ...table[name], ...odd[name] };
    row(name, line);
    for (const column in all) all[column] += line[column];
  }
  row("all", all);
}

function matches(rule, key, name, message) {
  return (
    (rule.file === undefined || new RegExp(rule.file).test(key)) &&
    (rule.test === undefined || new RegExp(rule.test).test(name)) &&
    (rule.message === undefined || new RegExp(rule.message).test(String(message)))
  );
}

// The reason of a failure: the one that it had, or the first that matches.
function reasonOf(expectations, key, name, message) {
  const before = expectationOf(expectations.files[key]);
  const known = before.names.get(name) ?? before.all;
  if (known !== undefined && known !== null && known !== UNEXPLAINED && expectations.reasons[known]) return known;
  for (const [reason, { match = [] }] of Object.entries(expectations.reasons)) {
    if (match.some((rule) => matches(rule, key, name, message))) return reason;
  }
  return UNEXPLAINED;
}

// Makes the expectations what this run found, and returns how many failures nothing explains.
function update(expectations, directories, records, table) {
  let unexplained = 0;
  const files = {};
  for (const key of Object.keys(expectations.files)) {
    const folder = directories.find((name) => key === name || key.startsWith(name + "/"));
    if (folder === undefined) files[key] = expectations.files[key]; // was not run
  }
  for (const [key, record] of records) {
    const tests = subtests(key, record);
    const groups = {};
    for (const [name, [status, message]] of tests) {
      if (status !== 0) (groups[reasonOf(expectations, key, name, message)] ||= []).push(name);
    }
    unexplained += groups[UNEXPLAINED]?.length ?? 0;
    for (const reason in groups)
      if (groups[reason].length === tests.size && tests.size > 1) groups[reason] = tests.size;
    if (record.harness !== "OK") groups.harness = record.harness;
    if (Object.keys(groups).length > 0) files[key] = groups;
  }
  expectations.files = Object.fromEntries(Object.entries(files).sort(([one], [other]) => (one < other ? -1 : 1)));
  Object.assign(expectations.directories, table);
  fs.writeFileSync(EXPECTATIONS, JSON.stringify(expectations, null, 1) + "\n");
  return unexplained;
}

function main() {
  const options = readArguments(process.argv.slice(2));
  const directories = options.dir.length > 0 ? options.dir : DIRECTORIES;
  const expectations = JSON.parse(fs.readFileSync(EXPECTATIONS, "utf8"));
  const records = run(options, directories);
  if (options.update) {
    const changed = [...records.keys()].filter(
      (key) => differences(key, records.get(key), expectations.files[key]).length > 0,
    );
    if (changed.length > 0) for (const [key, record] of run(options, directories, changed)) records.set(key, record);
    const table = count(directories, records);
    print(table, records, new Map());
    const unexplained = update(expectations, directories, records, table);
    console.log(`\n${EXPECTATIONS}: written; ${unexplained} failures without a reason`);
    return unexplained === 0;
  }
  const { unexpected, flaky } = compare(options, directories, records, expectations);
  const table = count(directories, records);
  print(table, records, unexpected);
  let holds = unexpected.size === 0;
  for (const [key, found] of unexpected) {
    for (const [kind, name, message] of found) {
      console.log(
        `${kind === "fails" ? "REGRESSION" : "UNEXPECTED PASS"} ${key} | ${name} | ${String(message).replace(/\s+/g, " ").slice(0, 300)}`,
      );
    }
  }
  for (const key of flaky) console.log(`as expected only when tried again: ${key}`);
  for (const [key, entry] of Object.entries(expectations.files)) {
    for (const reason of Object.keys(entry)) {
      if (reason === "harness" || expectations.reasons[reason]) continue;
      console.log(`NO REASON ${key}: ${reason}`);
      holds = false;
    }
  }
  for (const name of options.filter ? [] : directories) {
    const { passed, subtests } = expectations.directories[name] ?? {};
    if (holds && (table[name].passed !== passed || table[name].subtests !== subtests)) {
      console.log(
        `REGRESSION ${name}: ${table[name].passed} of ${table[name].subtests} passed, expected ${passed} of ${subtests}`,
      );
      holds = false;
    }
  }
  return holds;
}

try {
  process.exitCode = main() ? 0 : 1;
} catch (error) {
  console.error(`wpt: ${error.message}`);
  process.exitCode = 2;
}
