// A whole shop in one bundle: GraphQL, page rendering, Markdown, HTML parsing, JSON Schema, Zod and
// the usual helpers, all set up at the top level. bench/apps/bundle makes store.js (about 1 MB) from
// this file.
//
// Every answer says how many requests this instance has served, so that a client can tell an app
// that was just started from a warm one; a request with ?warmup=1 does not count.
import * as cheerio from "cheerio";
import * as dates from "date-fns";
import { cs, da, de, enGB, es, fi, fr, it, ja, nb, nl, pl, pt, sv, uk } from "date-fns/locale";
import { GraphQLInt, GraphQLList, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString, buildSchema, graphql, printSchema } from "graphql";
import { Hono } from "hono";
import _ from "lodash-es";
import { DateTime } from "luxon";
import { Marked } from "marked";
import * as z from "zod";

const locales = { cs, da, de, enGB, es, fi, fr, it, ja, nb, nl, pl, pt, sv, uk };

const products = _.range(500).map((index) => ({
  id: index,
  sku: `SKU-${_.padStart(String(index), 4, "0")}`,
  name: _.startCase(`product number ${index}`),
  price: (index * 7919) % 10000,
  tags: _.uniq([index % 3, index % 5, index % 7].map((tag) => `tag-${tag}`)),
}));
const bySku = _.keyBy(products, "sku");
const byTag = _.groupBy(products.flatMap((product) => product.tags.map((tag) => ({ tag, product }))), "tag");

const productType = new GraphQLObjectType({
  name: "Product",
  fields: {
    id: { type: new GraphQLNonNull(GraphQLInt) },
    sku: { type: new GraphQLNonNull(GraphQLString) },
    name: { type: GraphQLString },
    price: { type: GraphQLInt },
    tags: { type: new GraphQLList(GraphQLString) },
  },
});
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: "Query",
    fields: {
      product: { type: productType, args: { sku: { type: GraphQLString } }, resolve: (_root, { sku }) => bySku[sku] },
      products: {
        type: new GraphQLList(productType),
        args: { tag: { type: GraphQLString } },
        resolve: (_root, { tag }) => (byTag[tag] ?? []).map((entry) => entry.product),
      },
    },
  }),
});
const remote = buildSchema(printSchema(schema) + "\ntype Review { stars: Int!, text: String, on: Product }\n");

const productSchema = z.object({
  id: z.number().int(),
  sku: z.string().regex(/^SKU-\d{4}$/),
  name: z.string(),
  price: z.number().int().nonnegative(),
  tags: z.array(z.string()).max(3),
});
const catalogue = z.array(productSchema).parse(products);

const marked = new Marked({ gfm: true });
const about = marked.parse(["# About", "", "We sell *things*:", "", ...catalogue.slice(0, 50).map((product) => `- **${product.name}**, ${product.price}`)].join("\n"));
const page = cheerio.load(`<!doctype html><html><head><title>Shop</title></head><body><main>${about}</main></body></html>`);
page("li").addClass("product");
const aboutPage = page.html();

let served = 0;
const app = new Hono();
app.use(async (context, next) => {
  served += context.req.query("warmup") ? 0 : 1;
  await next();
  context.header("x-served", String(served));
});
app.get("/", (context) => context.text("store"));
app.get("/about", (context) => context.html(aboutPage));
app.post("/graphql", async (context) => context.json(await graphql({ schema, source: (await context.req.json()).query })));
app.get("/types", (context) => context.json(Object.keys(remote.getTypeMap())));
app.get("/products/:sku", (context) => context.json(bySku[context.req.param("sku")] ?? null));
app.get("/delivery/:from/:locale", (context) => {
  const due = dates.addBusinessDays(dates.parseISO(context.req.param("from")), 3);
  return context.json({
    text: dates.format(due, "PPPP", { locale: locales[context.req.param("locale")] }),
    week: DateTime.fromJSDate(due).weekNumber,
  });
});

export default { fetch: (request, env, ctx) => app.fetch(request, env, ctx) };
