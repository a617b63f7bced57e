// A tenant that takes orders: POST / with {"apple": 2} and the key in the header x-api-key.
export default {
  async fetch(request, env) {
    if (request.method === "GET") {
      return Response.json({ currency: env.CURRENCY, prices: env.PRICES });
    }
    if (request.headers.get("x-api-key") !== env.API_KEY) {
      return Response.json({ error: "wrong key" }, { status: 401 });
    }
    const order = await request.json();
    let total = 0;
    for (const [fruit, pieces] of Object.entries(order)) {
      if (!Object.hasOwn(env.PRICES, fruit)) {
        return Response.json({ error: `no ${fruit} here` }, { status: 422 });
      }
      total += env.PRICES[fruit] * pieces;
    }
    return Response.json({ total: total.toFixed(2), currency: env.CURRENCY }, { status: 201 });
  },
};
