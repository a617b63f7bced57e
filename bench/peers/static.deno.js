// Static files for Deno. The benchmark puts the folder in.
const folder = "{{public}}";

export default {
  async fetch(request) {
    try {
      const file = await Deno.open(folder + new URL(request.url).pathname);
      const { size } = await file.stat();
      return new Response(file.readable, {
        headers: { "content-type": "application/octet-stream", "content-length": String(size) },
      });
    } catch {
      return new Response("not found", { status: 404 });
    }
  },
};
