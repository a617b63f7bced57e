import { Suspense, use, useState } from "react";
import { renderToReadableStream } from "react-dom/server";

function Counter() {
  const [count] = useState(1);
  return <button onClick={() => 0}>{count}</button>;
}

function Late({ text }: { text: Promise<string> }) {
  return <p>{use(text)}</p>;
}

function Page({ name }: { name: string }) {
  return (
    <html lang="en">
      <head>
        <title>React</title>
      </head>
      <body>
        <h1>Hello, {name}!</h1>
        <Counter />
        <Suspense fallback={<p>waiting</p>}>
          <Late text={Promise.resolve("at last")} />
        </Suspense>
      </body>
    </html>
  );
}

export default {
  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    const stream = await renderToReadableStream(<Page name={name} />);
    await stream.allReady;
    return new Response(stream, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
