// Timers, and work that goes on after the response.
//
//   GET /delay?ms=50      answers after a while
//   GET /race?ms=500      gives up on slow work after 100 ms
//   GET /countdown?from=3 sends a line every 20 ms
//   GET /later            answers at once, and writes to the log afterwards

const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

const number = (url, name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);

async function delay(url) {
  const start = performance.now();
  await sleep(number(url, "ms", 50));
  return Response.json({ waited: Math.round(performance.now() - start) });
}

async function race(url) {
  const controller = new AbortController();
  const limit = setTimeout(() => controller.abort(new Error("too slow")), 100);
  try {
    await sleep(number(url, "ms", 500), controller.signal);
    return new Response("done\n");
  } catch (error) {
    return new Response(`${error.message}\n`, { status: 503 });
  } finally {
    clearTimeout(limit);
  }
}

function countdown(url) {
  const encoder = new TextEncoder();
  let left = number(url, "from", 3);
  let timer;
  const lines = new ReadableStream({
    start(controller) {
      timer = setInterval(() => {
        controller.enqueue(encoder.encode(left > 0 ? `${left}\n` : "lift-off\n"));
        if (left-- === 0) {
          clearInterval(timer);
          controller.close();
        }
      }, 20);
    },
    cancel() {
      clearInterval(timer); // the client has gone
    },
  });
  return new Response(lines, { headers: { "content-type": "text/plain" } });
}

function later(ctx) {
  ctx.waitUntil(sleep(30).then(() => console.log("this was written after the response")));
  return new Response("accepted\n", { status: 202 });
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/delay":
        return delay(url);
      case "/race":
        return race(url);
      case "/countdown":
        return countdown(url);
      case "/later":
        return later(ctx);
    }
    return new Response("try /delay, /race, /countdown or /later\n", { status: 404 });
  },
};
