package isolates

import (
	"runtime"
	"strings"
	"testing"
)

// TestCodeOutlivesCollections: what has been optimized stays so when the objects that it was optimized for are
// collected, all of them: none is alive between requests.
func TestCodeOutlivesCollections(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("V8's own ways are left alone there, see maps.cc")
	}
	isolate := startApp(t, unlimited, `
		class Point { constructor(x) { this.x = x; this.y = 1; } }
		let last;
		function hot(i) {
			let sum = 0;
			`+strings.Repeat("last = new Point(i); sum += last.x % 7 + last.y;\n", 300)+`
			last = undefined;
			return sum;
		}
		let seen;
		const paths = {
			"/hot": () => { for (let i = 0; i < 1000; i++) hot(i); },
			"/once": () => hot(1),
			// Buffers that outlive collections of the young generation have the old one collected, too.
			"/churn": () => {
				seen ??= new WeakRef({});
				const held = [];
				for (let i = 0; i < 24; i++) held.push(new Uint8Array(1 << 20));
				if (seen.deref() !== undefined) return "more";
				seen = undefined;
				return "collected";
			},
		};
		export default { fetch(request) { return new Response(paths[new URL(request.url).pathname]()); } }`)
	code := func() int64 {
		for k, name := range HeapSpaceNames {
			if name == "code" {
				return isolate.Heap().Spaces[k].Used
			}
		}
		t.Fatal("V8 has no space for code")
		return 0
	}
	const turns = 1000 // more than enough
	cold, optimized := code(), int64(0)
	for n := 0; optimized < cold+hotCode; n++ { // on another thread
		if n == turns {
			t.Fatalf("code takes %d bytes, %d before: nothing was optimized", optimized, cold)
		}
		fetch(t, isolate, "GET /hot HTTP/1.1\nHost: h\n\n")
		optimized = code()
	}
	collect := func(times int) {
		for n := 0; times > 0; n++ {
			if n == turns {
				t.Fatal("nothing is collected")
			}
			if string(fetch(t, isolate, "GET /churn HTTP/1.1\nHost: h\n\n").Body) == "collected" {
				n, times = 0, times-1
			}
		}
	}
	collect(2)
	fetch(t, isolate, "GET /once HTTP/1.1\nHost: h\n\n") // which is when V8 lets go of code that is not to be used any more
	collect(2)
	if left := code(); left < cold+hotCode {
		t.Errorf("of %d bytes of code %d are left", optimized, left)
	}
}

// hotCode is more than hot takes before it is optimized, and less than it takes then, in bytes.
const hotCode = 160 << 10
