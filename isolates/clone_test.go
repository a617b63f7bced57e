package isolates

import "testing"

// TestDroppedChannelsAreGarbage makes channels, clones and transferred streams in many requests: what nobody refers
// to any more is collected, whether its ports were started, closed, transferred or left with messages.
func TestDroppedChannelsAreGarbage(t *testing.T) {
	lockThread(t)
	isolate := startApp(t, unlimited, `export default { async fetch() {
		const buffer = new Uint8Array(64);
		for (let i = 0; i < 1000; i++) {
			const { port1, port2 } = new MessageChannel();
			if (i % 2 === 0) port2.onmessage = () => {};
			port1.postMessage({ buffer, port1: "a" });
			if (i % 3 === 0) port1.close();
			if (i % 5 === 0) structuredClone(port2, { transfer: [port2] });
			if (i % 50 === 0) {
				const stream = new ReadableStream({ pull(controller) { controller.enqueue(buffer); } });
				structuredClone(stream, { transfer: [stream] });
			}
		}
		await new Promise((resolve) => { // tasks run in order
			const { port1, port2 } = new MessageChannel();
			port2.onmessage = resolve;
			port1.postMessage(1);
		});
		return new Response("ok");
	} }`)
	var before int64
	for id := range uint32(20) {
		if id == 10 { // by then all of it is compiled
			before = used(isolate)
		}
		if record, log := answer(t, isolate, id+1, get); record.Status != 200 {
			t.Fatalf("status %d, log %s", record.Status, log)
		}
	}
	// Code that was optimized meanwhile is less than that, a record of 52 bytes for each channel is more.
	if grown := used(isolate) - before; grown > 512<<10 {
		t.Errorf("10,000 channels have left %d bytes behind", grown)
	}
}
