// Asks three others at once, one of them an app of this node, and joins what they say. Whoever takes longer than
// a second is left out.
const ask = async (what, get) => {
  try {
    const response = await get(AbortSignal.timeout(1000));
    if (!response.ok) throw new Error(`status ${response.status}`);
    return [what, await response.json()];
  } catch (error) {
    console.warn(`${what}: ${error}`);
    return [what, null];
  }
};

export default {
  async fetch(request, env) {
    const answers = await Promise.all([
      ask("user", (signal) => fetch(`${env.ORIGIN}/user/1`, { signal })),
      ask("orders", (signal) => fetch(`${env.ORIGIN}/orders`, { method: "POST", body: "user=1", signal })),
      ask("news", (signal) => env.BACKEND.fetch("http://backend/news", { signal })),
    ]);
    return Response.json(Object.fromEntries(answers));
  },
};
