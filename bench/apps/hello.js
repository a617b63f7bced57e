// The smallest app that tells how many requests this instance has served: 1 says that it was just
// started.
let served = 0;

export default {
  fetch() {
    served++;
    return new Response("Hello, World!", { headers: { "x-served": String(served) } });
  },
};
