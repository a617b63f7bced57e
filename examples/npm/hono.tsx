/** @jsxImportSource hono/jsx */
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { HTTPException } from "hono/http-exception";
import { streamSSE } from "hono/streaming";

const Page = ({ name }: { name: string }) => (
  <html>
    <body>
      <h1 class="title">Hello, {name}!</h1>
    </body>
  </html>
);

const app = new Hono();
app.use(secureHeaders());
app.get("/", (c) => c.html(<Page name={c.req.query("name") ?? "world"} />));
app.get("/books/:id{[0-9]+}", (c) => c.json({ id: Number(c.req.param("id")) }));
app.post("/echo", async (c) => c.text((await c.req.text()).toUpperCase(), 201));
app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    for (let i = 1; i <= 2; i++) await stream.writeSSE({ id: String(i), data: `event ${i}` });
  }),
);
app.get("/teapot", () => {
  throw new HTTPException(418, { message: "short and stout" });
});

export default app;
