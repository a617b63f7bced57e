package isolates

import (
	"fmt"
	"testing"
)

// TestShrink: an isolate is swollen after a burst, gives memory back, serves on, and is not swollen by what it
// has kept.
func TestShrink(t *testing.T) {
	isolate := startApp(t, unlimited, `const kept = []; export default { fetch(r) {
		if (new URL(r.url).pathname === "/keep") kept.push(Array.from({ length: 1_000_000 }, (_, i) => i + 0.5));
		else if (new URL(r.url).pathname === "/burst") return new Response(String(Array.from({ length: 200_000 }, (_, i) => ({ i })).length));
		return new Response(String(kept.length));
	} }`)
	ask := func(path, want string) {
		t.Helper()
		u := begin(t, isolate, 1, fmt.Sprintf("GET %s HTTP/1.1\nHost: a", path), 0)
		if u.run(); string(u.body) != want {
			t.Fatalf("%s: %q, want %q", path, u.body, want)
		}
		isolate.measure()
	}
	if ask("/", "0"); isolate.ShrinkAfter() != 0 {
		t.Error("swollen by one small request")
	}
	ask("/burst", "200000")
	before := isolate.Resident()
	if isolate.ShrinkAfter() == 0 {
		t.Fatalf("not swollen with %d bytes", before)
	}
	if isolate.Shrink(); isolate.ShrinkAfter() != 0 || isolate.Resident() > before-swollen/2 {
		t.Errorf("%d bytes of %d are left, swollen: %v", isolate.Resident(), before, isolate.ShrinkAfter() != 0)
	}
	if ask("/keep", "1"); isolate.ShrinkAfter() == 0 {
		t.Errorf("not swollen with %d bytes", isolate.Resident())
	}
	if isolate.Shrink(); isolate.ShrinkAfter() != 0 {
		t.Error("swollen by what it keeps")
	}
	ask("/", "1")
}
