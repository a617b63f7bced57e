// Ten request headers read, ten response headers set.
export default {
  fetch(request) {
    const headers = new Headers();
    for (let index = 0; index < 10; index++) {
      headers.set(`x-answer-${index}`, request.headers.get(`x-question-${index}`));
    }
    return new Response("ok", { headers });
  },
};
