// Server-sent events: a page's EventSource gets a line every 100 ms, and asks again from where it was when the
// connection is lost.
const encoder = new TextEncoder();

export default {
  fetch(request) {
    const url = new URL(request.url);
    const last = Number(request.headers.get("last-event-id") ?? 0);
    const count = Number(url.searchParams.get("count") ?? 10);
    const events = new ReadableStream({
      async start(controller) {
        controller.enqueue(encoder.encode("retry: 1000\n\n"));
        for (let id = last + 1; id <= last + count; id++) {
          await scheduler.wait(100, { signal: request.signal });
          controller.enqueue(encoder.encode(`id: ${id}\ndata: event ${id}\n\n`));
        }
        controller.close();
      },
    });
    return new Response(events, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  },
};
