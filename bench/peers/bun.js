// Serves an app module with Bun.serve: bun bun.js APP PORT
const [file, port] = process.argv.slice(2);
const { default: app } = await import(file);

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch: app.fetch,
  maxRequestBodySize: 4 * 1024 ** 3,
  ...(app.websocket && { websocket: app.websocket }),
});
