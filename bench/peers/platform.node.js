// Serves an app module with node:http alone: node platform.node.js APP PORT. Hono's adapter, which serves the other
// scenarios, replaces the global Request and Response by its own: what is measured here is Node's.
import { createServer } from "node:http";

const [file, port] = process.argv.slice(2);
const { default: app } = await import(file);

createServer(async (request, answer) => {
  const response = await app.fetch(new Request(`http://127.0.0.1:${port}${request.url}`));
  answer.writeHead(response.status, { "content-type": "text/plain" });
  answer.end(await response.text());
}).listen(Number(port), "127.0.0.1");
