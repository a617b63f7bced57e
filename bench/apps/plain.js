// The smallest answer: what a runtime costs by itself.
export default {
  fetch() {
    return new Response("Hello, World!");
  },
};
