package isolates

import (
	"syscall"
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

// TestPagesOfLargeObjectsAreUsedAgain: the kernel is not asked for clear pages each time that an app makes a long
// string, of bytes or of others. What is kept for that is given back by Trim.
func TestPagesOfLargeObjectsAreUsedAgain(t *testing.T) {
	lockThread(t)
	isolate := startApp(t, unlimited, `
		const bytes = new Uint8Array(1 << 20).fill(120), wide = new TextEncoder().encode("\u20ac".repeat(300_000));
		const pieces = new Array(1024).fill("x".repeat(1024)), decoder = new TextDecoder();
		export default { fetch() {
			let characters = 0;
			for (let i = 0; i < 100; i++) {
				characters += decoder.decode(bytes).length + decoder.decode(wide).length + pieces.join("").length;
			}
			return new Response(String(characters));
		} }`)
	use := func() int64 {
		before := minorFaults(t)
		if got := string(fetch(t, isolate, "GET / HTTP/1.1\nHost: h\n\n").Body); got != "239715200" {
			t.Fatal(got)
		}
		return minorFaults(t) - before
	}
	// New pages would be 250 faults for each of 300 strings.
	use()
	for range 3 {
		if faults := use(); faults > 5000 {
			t.Errorf("%d page faults", faults)
		}
	}
	Trim()
	if faults := use(); faults < 500 {
		t.Errorf("%d page faults after what was kept has been given back", faults)
	}
}

// TestLargeObjectsBesideFreedOnes: pages of large objects are given back in pieces, and nothing is taken of the objects
// that lie beside them, whatever their sizes.
func TestLargeObjectsBesideFreedOnes(t *testing.T) {
	const made, least = 150, 100 << 10 // MB in all, KB that are given back
	lockThread(t)
	isolate := startApp(t, unlimited, `
		const lengths = [17_000, 40_003, 262_144, 262_139, 300_001, 524_288, 786_431, 1_048_577];  // of 8 bytes
		const make = (i) => new Array(lengths[i % lengths.length]).fill(i + 0.5);
		const isWhole = (array, i) => {
			for (let at = 0; at < array.length; at += 61) if (array[at] !== i + 0.5) return false;
			return array.length === lengths[i % lengths.length] && array.at(-1) === i + 0.5;
		};
		let all = [];
		export default { fetch(request) {
			const step = new URL(request.url).pathname.slice(1);
			if (step === "make") for (let i = 0; i < 48; i++) all[i] ??= make(i);
			if (step === "thin") all = all.map((array, i) => i % 3 === 0 ? array : null);
			if (step === "drop") all = [];
			const broken = all.findIndex((array, i) => array !== null && !isWhole(array, i));
			return new Response(broken < 0 ? "whole" : "broken: " + broken);
		} }`)
	step := func(name string) {
		t.Helper()
		if got := string(fetch(t, isolate, "GET /"+name+" HTTP/1.1\nHost: h\n\n").Body); got != "whole" {
			t.Fatalf("%s: %s", name, got)
		}
		isolate.isolate.Collect()
	}
	for range 2 {
		for _, name := range []string{"make", "thin", "check", "make", "check"} {
			step(name)
		}
		before := residentKB(t)
		step("drop")
		Trim()
		if freed := before - residentKB(t); freed < least {
			t.Errorf("of %d MB in large arrays %d KB were given back", made, freed)
		}
	}
}

// TestLargeObjectsOnPagesOfShortenedOnes: an object that was made shorter gives the end of its pages back at once, and V8
// frees it as if it still had that. Whoever gets those pages next can write to all of them.
func TestLargeObjectsOnPagesOfShortenedOnes(t *testing.T) {
	lockThread(t)
	isolate := startApp(t, unlimited, `
		let all = [];
		export default { fetch(request) {
			const step = new URL(request.url).pathname.slice(1);
			const kilobytes = (n) => n * 128 - 32;  // in elements of 8 bytes, and their array's head
			if (step === "long") all = [1100, 900, 700, 1500].map((size) => new Array(kilobytes(size)).fill(0.5));
			if (step === "short") [520, 300, 310, 700].forEach((size, i) => { all[i].length = kilobytes(size); });
			if (step === "drop") all = [];
			if (step === "next") all = [240, 240, 250, 480, 240, 740, 250, 230, 240].map((size) => new Array(kilobytes(size)).fill(1.5));
			return new Response(String(all.length));
		} }`)
	step := func(name string) {
		t.Helper()
		fetch(t, isolate, "GET /"+name+" HTTP/1.1\nHost: h\n\n")
		isolate.isolate.Collect()
	}
	for range 3 {
		step("long")
		step("short")
		Trim() // from here on the ends of their pages are inaccessible
		for _, name := range []string{"drop", "next", "drop"} {
			step(name)
		}
	}
}

// minorFaults returns how often the calling thread has had to be given a page.
func minorFaults(t *testing.T) int64 {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(1, &usage); err != nil { // RUSAGE_THREAD
		t.Fatal(err)
	}
	return usage.Minflt
}
