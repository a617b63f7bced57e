// Asks the origin /COUNT times at once, which holds all answers back, and says how many came. The benchmark puts
// the origin in.
const origin = "http://{{origin}}";

async function ask(path) {
  const response = await fetch(origin + path);
  return response.ok && (await response.text()) === "held" ? 1 : 0;
}

export default {
  async fetch(request) {
    const [, count, all] = new URL(request.url).pathname.split("/");
    const answers = await Promise.all(Array.from({ length: Number(count) }, () => ask(`/held/${all}`)));
    return new Response(String(answers.reduce((sum, one) => sum + one, 0)));
  },
};
