// A tenant that shows a page, and that sees nothing of the shop.
export default {
  fetch(request, env) {
    const page = `<!doctype html>\n<title>${env.TITLE}</title>\n<h1>${env.TITLE}</h1>\n`;
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
