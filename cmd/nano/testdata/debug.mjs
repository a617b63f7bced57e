// Debugs an app of TypeScript as an editor does, with a client of the protocol that others wrote: a breakpoint in a line
// of the source, which the script's source map leads to. Prints what there is to see there, as JSON.
//
//   node debug.mjs FOLDER PORT SOURCE LINE URL
//
// FOLDER has chrome-remote-interface in its node_modules. LINE is a line of SOURCE, counted from 1, and URL what the app
// answers.
import { createRequire, SourceMap } from "node:module";
import path from "node:path";

const [folder, port, source, line, url] = process.argv.slice(2);
const connect = createRequire(path.join(folder, "index.js"))("chrome-remote-interface");

const client = await connect({ host: "127.0.0.1", port: Number(port), local: true });
const { Debugger, Runtime } = client;
const logged = [];
Runtime.consoleAPICalled(({ type, args }) => logged.push([type, ...args.map((each) => each.value ?? each.preview ?? each.type)]));
const scripts = new Map();
Debugger.scriptParsed((script) => scripts.set(script.scriptId, script));
await Runtime.enable();
await Debugger.enable();
await Debugger.setAsyncCallStackDepth({ maxDepth: 16 });

const script = [...scripts.values()].find(({ sourceMapURL }) => sourceMapURL.startsWith("data:"));
const map = JSON.parse(Buffer.from(script.sourceMapURL.slice(script.sourceMapURL.indexOf(",") + 1), "base64"));
const found = map.sources.findIndex((name) => name.endsWith(source));
const mapping = new SourceMap(map);

// The first place in the script that comes from a line of the source.
function generated(wanted) {
  for (let lineNumber = 0; lineNumber <= script.endLine; lineNumber++) {
    for (let columnNumber = 0; columnNumber < 200; columnNumber++) {
      const entry = mapping.findEntry(lineNumber, columnNumber);
      if (entry.originalSource === map.sources[found] && entry.originalLine === wanted - 1 &&
          entry.generatedLine === lineNumber && entry.generatedColumn === columnNumber) return { lineNumber, columnNumber };
    }
  }
  throw new Error("no code comes from line " + wanted);
}

const original = ({ lineNumber, columnNumber }) => mapping.findEntry(lineNumber, columnNumber).originalLine + 1;
const paused = () => new Promise((resolve) => client.once("Debugger.paused", resolve));

let stop = paused();
const { breakpointId } = await Debugger.setBreakpointByUrl({ url: script.url, ...generated(Number(line)) });
const answer = fetch(url).then((response) => response.text());
const places = [];
let at = await stop;
places.push([at.callFrames[0].functionName, original(at.callFrames[0].location)]);
const { result } = await Debugger.evaluateOnCallFrame({ callFrameId: at.callFrames[0].callFrameId, expression: "typeof request.url" });
for (const step of ["stepOver", "stepInto", "stepOut"]) {
  stop = paused();
  await Debugger[step]();
  at = await stop;
  places.push([at.callFrames[0].functionName, original(at.callFrames[0].location)]);
}
await Debugger.removeBreakpoint({ breakpointId });
await Debugger.resume();
const text = await answer;
console.log(JSON.stringify({
  hasSource: map.sourcesContent[found].includes("interface Sum"), url: script.url, evaluated: result.value, places, text, logged,
}));
await client.close();
