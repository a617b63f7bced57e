// An API behind a router, as people deploy one: Hono with its middleware, Zod's schemas and
// Luxon's dates, set up at the top level. bench/apps/bundle makes api.js (about 200 KB) from this file.
//
// Every answer says how many requests this instance has served, so that a client can tell an app
// that was just started from a warm one; a request with ?warmup=1 does not count.
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { cors } from "hono/cors";
import { csrf } from "hono/csrf";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";
import { secureHeaders } from "hono/secure-headers";
import { json } from "itty-router";
import { DateTime } from "luxon";
import * as z from "zod";

const money = z.object({ amount: z.number().int().nonnegative(), currency: z.enum(["EUR", "USD", "GBP"]) });
const address = z.object({
  name: z.string().min(1).max(100),
  street: z.string().min(1),
  city: z.string().min(1),
  country: z.string().regex(/^[A-Z]{2}$/),
});
const item = z.object({ sku: z.string().regex(/^[A-Z]{3}-\d{4}$/), quantity: z.number().int().min(1).max(99), price: money });
const order = z.object({
  id: z.uuid(),
  email: z.email(),
  placed: z.iso.datetime(),
  shipTo: address,
  billTo: address.optional(),
  items: z.array(item).min(1),
  notes: z.record(z.string(), z.string()).default({}),
});
const change = z.discriminatedUnion("type", [
  z.object({ type: z.literal("cancel"), reason: z.string() }),
  z.object({ type: z.literal("address"), shipTo: address }),
  z.object({ type: z.literal("items"), items: z.array(item) }),
]);

const prices = new Map();
for (let index = 0; index < 500; index++) {
  prices.set(`SKU-${String(index).padStart(4, "0")}`, { amount: (index * 7919) % 10000, currency: "EUR" });
}

let served = 0;
const app = new Hono();
app.use(async (context, next) => {
  served += context.req.query("warmup") ? 0 : 1;
  await next();
  context.header("x-served", String(served));
});
app.use("/api/*", cors({ origin: "https://example.com" }));
app.use("/api/*", secureHeaders());
app.use("/admin/*", basicAuth({ username: "operator", password: "none" }));
app.use("/account/*", csrf());
app.use("/traced/*", requestId());
app.onError((error) => (error instanceof HTTPException ? error.getResponse() : json({ error: error.message }, { status: 500 })));

app.get("/", (context) => context.text("api"));
app.post("/api/orders", async (context) => {
  const parsed = order.safeParse(await context.req.json());
  if (!parsed.success) {
    return context.json({ error: z.flattenError(parsed.error) }, 422);
  }
  return context.json({ id: parsed.data.id, due: DateTime.fromISO(parsed.data.placed).plus({ days: 3 }).toISODate() }, 201);
});
app.patch("/api/orders/:id", async (context) => context.json({ valid: change.safeParse(await context.req.json()).success }));
app.get("/api/prices/:sku", (context) => context.json(prices.get(context.req.param("sku")) ?? null));
app.get("/api/days/:from/:to", (context) =>
  context.json(DateTime.fromISO(context.req.param("to")).diff(DateTime.fromISO(context.req.param("from")), "days").days));
for (const resource of ["users", "carts", "invoices", "payments", "refunds", "products", "reviews", "returns"]) {
  app.get(`/api/${resource}`, (context) => context.json([]));
  app.get(`/api/${resource}/:id`, (context) => context.json({ [resource]: context.req.param("id") }));
  app.get(`/api/${resource}/:id/history`, (context) => context.json([]));
}

export default { fetch: (request, env, ctx) => app.fetch(request, env, ctx) };
