import { type Book, books } from "./books";
import schema from "./schema.sql";

interface Env {
  CURRENCY?: string;
}

/** total is what copies of a book cost. */
function total(book: Book, copies: number): number {
  if (!Number.isInteger(copies) || copies < 1) throw new RangeError(`no number of copies: ${copies}`);
  return book.price * copies;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/schema") return new Response(schema);
    const book = books.get(pathname.slice(1));
    if (book === undefined) return Response.json({ error: "not found" }, { status: 404 });
    const copies = Number(searchParams.get("copies") ?? 1);
    return Response.json({ ...book, total: total(book, copies), currency: env.CURRENCY ?? "EUR" });
  },
};
