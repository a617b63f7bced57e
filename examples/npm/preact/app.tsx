import { render } from "preact-render-to-string";
import { useMemo } from "preact/hooks";

function List({ items }: { items: string[] }) {
  const sorted = useMemo(() => [...items].sort(), [items]);
  return (
    <ul class="list">
      {sorted.map((item) => (
        <li key={item}>{item}</li>
      ))}
    </ul>
  );
}

export default {
  fetch(request: Request): Response {
    const items = new URL(request.url).searchParams.getAll("item");
    return new Response("<!doctype html>" + render(<List items={items} />), { headers: { "content-type": "text/html" } });
  },
};
