// What the other examples talk to: says what it was asked.
export default {
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    return Response.json({
      method: request.method,
      path: pathname + search,
      forwardedHost: request.headers.get("x-forwarded-host"),
      body: await request.text(),
    });
  },
};
