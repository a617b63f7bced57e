// Asks the origin for three things at once and joins the answers. The benchmark puts the origin in.
const origin = "http://{{origin}}";

async function ask(path) {
  const response = await fetch(origin + path);
  return response.json();
}

export default {
  async fetch() {
    const [user, orders, news] = await Promise.all([ask("/user"), ask("/orders"), ask("/news")]);
    return Response.json({ user, orders, news });
  },
};
