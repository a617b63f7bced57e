// Streams a body of the origin through a TransformStream that makes ASCII letters upper-case. The benchmark puts
// the origin in.
const origin = "http://{{origin}}";

const upperCase = {
  transform(chunk, controller) {
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index];
      if (byte >= 97 && byte <= 122) chunk[index] = byte - 32;
    }
    controller.enqueue(chunk);
  },
};

export default {
  async fetch(request) {
    const { body } = await fetch(origin + new URL(request.url).pathname);
    return new Response(body.pipeThrough(new TransformStream(upperCase)));
  },
};
