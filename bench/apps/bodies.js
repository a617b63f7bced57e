// Large bodies: made here, counted here, or passed on. The benchmark puts the origin in.
const origin = "http://{{origin}}";
const chunkSize = 65536;

function produce(size) {
  let left = size;
  return new ReadableStream({
    pull(controller) {
      const length = Math.min(left, chunkSize);
      left -= length;
      if (length > 0) controller.enqueue(new Uint8Array(length).fill(120));
      if (left === 0) controller.close();
    },
  });
}

async function count(body) {
  let size = 0;
  for await (const chunk of body) size += chunk.length;
  return size;
}

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const [, what, size] = pathname.split("/");
    if (what === "produce") return new Response(produce(Number(size)));
    if (what === "count") return new Response(String(await count(request.body)));
    return fetch(new Request(origin + pathname, request));
  },
};
