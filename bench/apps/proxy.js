// A reverse proxy: neither body is touched. The benchmark puts the origin in.
const origin = "http://{{origin}}";

export default {
  fetch(request) {
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(origin + pathname + search, request));
  },
};
