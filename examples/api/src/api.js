// A JSON API with Hono's router: a catalogue of books, and orders that are priced.
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";

const books = [
  { isbn: "9780131103627", title: "The C Programming Language", authors: ["Kernighan", "Ritchie"], price: 60 },
  { isbn: "9780134190440", title: "The Go Programming Language", authors: ["Donovan", "Kernighan"], price: 40 },
  { isbn: "9780262510875", title: "Structure and Interpretation of Computer Programs", authors: ["Abelson", "Sussman"], price: 75 },
];
const byISBN = new Map(books.map((book) => [book.isbn, book]));

const app = new Hono().basePath("/api");

app.use(async (c, next) => {
  await next();
  c.header("x-served-by", c.env.SERVED_BY ?? "nano");
});

app.get("/books", (c) => {
  const author = c.req.query("author");
  return c.json(author === undefined ? books : books.filter((book) => book.authors.includes(author)));
});

app.get("/books/:isbn{[0-9]{13}}", (c) => {
  const book = byISBN.get(c.req.param("isbn"));
  return book === undefined ? c.notFound() : c.json(book);
});

app.post("/orders", async (c) => {
  const order = await c.req.json().catch(() => {
    throw new HTTPException(400, { message: "the body is not JSON" });
  });
  if (!Array.isArray(order.items) || order.items.length === 0) {
    throw new HTTPException(422, { message: "an order needs items" });
  }
  let total = 0;
  for (const { isbn, copies = 1 } of order.items) {
    const book = byISBN.get(isbn);
    if (book === undefined) {
      throw new HTTPException(422, { message: `no book ${isbn}` });
    }
    total += book.price * copies;
  }
  const id = crypto.randomUUID();
  return c.json({ id, total }, 201, { location: `/api/orders/${id}` });
});

app.notFound((c) => c.json({ error: "not found" }, 404));
app.onError((error, c) => {
  if (error instanceof HTTPException) {
    return c.json({ error: error.message }, error.status);
  }
  console.error(error);
  return c.json({ error: "internal error" }, 500);
});

export default app;
