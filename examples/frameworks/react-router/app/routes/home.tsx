export async function loader({ request, context }) {
  return { name: new URL(request.url).searchParams.get("name") ?? "world", title: context.cloudflare.env.TITLE };
}

export default function Home({ loaderData }) {
  return <h1>{`Hello, ${loaderData.name}! ${loaderData.title}`}</h1>;
}
