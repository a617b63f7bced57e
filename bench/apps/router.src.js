// Ten routes on Hono. Every runtime serves the bundle router.js; bench/apps/bundle makes it from
// this file.
import { Hono } from "hono";

const app = new Hono();

app.get("/", (c) => c.text("index"));
app.get("/health", (c) => c.text("healthy"));
app.get("/users", (c) => c.json([{ id: 1, name: "Ada" }, { id: 2, name: "Grace" }]));
app.get("/users/:id", (c) => c.json({ id: c.req.param("id") }));
app.get("/users/:id/posts", (c) => c.json({ id: c.req.param("id"), posts: [] }));
app.get("/users/:id/posts/:post", (c) => c.json({ id: c.req.param("id"), post: c.req.param("post") }));
app.get("/search", (c) => c.json({ query: c.req.query("q"), page: c.req.query("page") ?? "1" }));
app.get("/files/*", (c) => c.text(c.req.path));
app.get("/old", (c) => c.redirect("/new", 301));
app.get("/made", (c) => c.text("made", 201, { "x-made-by": "router" }));

export default { fetch: (request, env, ctx) => app.fetch(request, env, ctx) };
