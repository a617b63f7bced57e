export async function action({ request }) {
  return Response.json({ echo: await request.json() });
}
