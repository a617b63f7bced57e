// Static files for Bun. The benchmark puts the folder in.
const folder = "{{public}}";

export default {
  fetch(request) {
    return new Response(Bun.file(folder + new URL(request.url).pathname));
  },
};
