// JSX without a framework.
import { Fragment, raw, renderToStream, renderToString, type Component, type WithChildren } from "nano:jsx";

interface Item {
  name: string;
  price: number;
}

function Row({ item }: { item: Item }) {
  return (
    <tr class="row" data-price={item.price}>
      <td>{item.name}</td>
    </tr>
  );
}

function Layout({ title, children }: { title: string } & WithChildren) {
  return (
    <html lang="en">
      <title>{title}</title>
      {children}
    </html>
  );
}

// A component may wait for what it shows.
async function Stock({ url }: { url: string }) {
  const items: Item[] = await (await fetch(url)).json();
  return items.map((item) => <Row key={item.name} item={item} />);
}

const List: Component<WithChildren> = ({ children }) => <ul style={{ marginTop: 4 }}>{children}</ul>;

export async function answers(url: string) {
  const page = (
    <Layout title="Stock">
      <>
        <Stock url={url} />
        {null}
        {[1, "two", true]}
        {raw("<hr>")}
      </>
      <List>
        <li>a</li>
        <li>b</li>
      </List>
      <input disabled value={3} />
      <Fragment>text</Fragment>
    </Layout>
  );
  const html: string = await renderToString(page);
  return [new Response(html), new Response(renderToStream(page)), new Response(String(page))];
}

// @ts-expect-error: it wants an item
export const noItem = <Row />;
// @ts-expect-error: a price is a number
export const wrongItem = <Row item={{ name: "a", price: "1" }} />;
// @ts-expect-error: an object is no child
export const wrongChild = <List>{{ a: 1 }}</List>;
// @ts-expect-error: what it makes is no HTML
export const wrongComponent = (() => <p />)().innerHTML;
