// A small JSON answer, serialised for every request.
export default {
  fetch() {
    return Response.json({
      message: "Hello, World!",
      id: 42,
      tags: ["alpha", "beta", "gamma"],
      nested: { ok: true, ratio: 0.5 },
    });
  },
};
