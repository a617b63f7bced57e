// Serves an app module with Hono's adapter for Node: node node.js APP PORT
import { serve } from "../.peers/node_modules/@hono/node-server/dist/index.mjs";

const [file, port] = process.argv.slice(2);
const { default: app } = await import(file);

serve({ hostname: "127.0.0.1", port: Number(port), fetch: app.fetch });
