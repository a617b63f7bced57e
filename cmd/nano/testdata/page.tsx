import { raw, renderToStream } from "nano:jsx";

type Quote = { text: string; by: string };

const quotes: Quote[] = [
  { text: "Simplicity is prerequisite for reliability.", by: "Edsger W. Dijkstra" },
  { text: "1 < 2 && 2 > 1", by: "<anonymous>" },
];

const Layout = (props: { title: string; children: unknown }) => (
  <>
    {raw("<!doctype html>")}
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>{props.title}</title>
      </head>
      <body style={{ maxWidth: "40em", marginTop: 20 }}>{props.children}</body>
    </html>
  </>
);

const Block = ({ quote }: { quote: Quote }) => (
  <blockquote className="quote">
    {quote.text} <cite>{quote.by}</cite>
  </blockquote>
);

// An async component: what comes before it is sent meanwhile.
async function Late() {
  await new Promise((done) => setTimeout(done, 10));
  return <p id="late">at last</p>;
}

export default {
  fetch(request: Request): Response {
    const name = new URL(request.url).searchParams.get("name");
    const page = (
      <Layout title="Quotes">
        <h1>Hello{name && `, ${name}`}!</h1>
        {quotes.map((quote) => (
          <Block key={quote.text} quote={quote} />
        ))}
        <input type="checkbox" checked disabled={false} />
        <Late />
      </Layout>
    );
    return new Response(renderToStream(page), { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
