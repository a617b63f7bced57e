package isolates

import (
	"testing"
)

// TestMemoryThatIsUsedAgainIsClear: ArrayBuffers are made of the memory of others that are garbage, of the same
// isolate or of another one, and hold nothing of what these held.
func TestMemoryThatIsUsedAgainIsClear(t *testing.T) {
	app := `export default { fetch() {
		const sizes = [16 << 10, 64 << 10, 64 << 10, (64 << 10) + 8, 1 << 20, 4 << 20, 5 << 20];
		for (let i = 0; i < 150; i++) {
			const words = new BigUint64Array(sizes[i % sizes.length] / 8);
			for (let j = 0; j < words.length; j += 64) if (words[j] !== 0n) return new Response(i + ": " + j + " is " + words[j]);
			words.fill(BigInt(i + 1));
			const copy = words.slice();
			if (copy.some((word) => word !== BigInt(i + 1))) return new Response(i + ": a wrong copy");
		}
		return new Response("clear");
	} }`
	first, second := startApp(t, unlimited, app), startApp(t, unlimited, app)
	for range 3 {
		for _, isolate := range []*Isolate{first, second} {
			if got := string(fetch(t, isolate, "GET / HTTP/1.1\nHost: h\n\n").Body); got != "clear" {
				t.Fatal(got)
			}
		}
		Trim()
	}
}
