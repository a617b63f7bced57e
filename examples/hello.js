// The least app: one function from a request to a response.
export default {
  async fetch(request, env, ctx) {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    return new Response(`${env.GREETING ?? "Hello"}, ${name}!\n`);
  },
};
