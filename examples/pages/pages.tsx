// Pages in TypeScript and JSX, without a framework and without a build: NANO bundles this file itself.
//
//   GET /             the books, with a component that waits for its data
//   GET /book?id=2    one of them
//   GET /search?q=ab  what is found; what the user has written is escaped
import { renderToStream, type WithChildren } from "nano:jsx";

interface Env {
  SHOP?: string;
}

interface Book {
  id: number;
  title: string;
}

const books: Book[] = [
  { id: 1, title: "The C Programming Language" },
  { id: 2, title: "Structure and Interpretation of Computer Programs" },
];

// What a database or an API would be asked for.
async function find(query: string): Promise<Book[]> {
  return books.filter(({ title }) => title.toLowerCase().includes(query.toLowerCase()));
}

function Layout({ title, children }: { title: string } & WithChildren) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>{title}</title>
      </head>
      <body>
        <h1>{title}</h1>
        {children}
      </body>
    </html>
  );
}

async function Books({ query }: { query: string }) {
  const found = await find(query);
  if (found.length === 0) return <p>Nothing is called “{query}”.</p>;
  return (
    <ul>
      {found.map((book) => (
        <li>
          <a href={`/book?id=${book.id}`}>{book.title}</a>
        </li>
      ))}
    </ul>
  );
}

function page(node: Parameters<typeof renderToStream>[0], status = 200): Response {
  return new Response(renderToStream(node), { status, headers: { "content-type": "text/html; charset=utf-8" } });
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const shop = env.SHOP ?? "Books";
    if (pathname === "/") {
      return page(<Layout title={shop}><Books query="" /></Layout>);
    }
    if (pathname === "/search") {
      return page(<Layout title={shop}><Books query={searchParams.get("q") ?? ""} /></Layout>);
    }
    const book = books.find(({ id }) => id === Number(searchParams.get("id")));
    if (pathname !== "/book" || book === undefined) {
      return page(<Layout title="Not found" />, 404);
    }
    return page(<Layout title={book.title}><p>Number {book.id} of {books.length}</p></Layout>);
  },
} satisfies NanoHandler<Env>;
