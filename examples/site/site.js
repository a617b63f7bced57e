// What lies in public/ is answered without this app. It gets all other requests, and a call every minute.
let minutes = 0;

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/api/minutes") return Response.json({ minutes });
    const page = await env.ASSETS.fetch(new URL("/404.html", url));
    return new Response(page.body, { status: 404, headers: page.headers });
  },

  async scheduled(controller, env) {
    minutes++;
    const style = await env.ASSETS.fetch("http://site/assets/style.css");
    const { length } = await style.text();
    console.log(`${controller.cron} was due at ${new Date(controller.scheduledTime).toISOString()}: the style has ${length} characters`);
  },
};
