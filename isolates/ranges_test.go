package isolates

import (
	"errors"
	"testing"

	"nano/isolates/shim"
)

func reservedNow() ranges {
	return ranges{taken.isolates.Load(), shim.Ranges{
		Cage: taken.cage.Load(), Trusted: taken.trusted.Load(), Code: taken.code.Load()}}
}

// TestRanges: what isolates take of V8's address ranges is counted while they live, those that are ready
// too, and grows with their heaps.
func TestRanges(t *testing.T) {
	lockThread(t)
	pool := testRuntime.NewPool(PoolOptions{Wake: -1, Ready: 2})
	before := reservedNow()
	for pool.Prepare() {
	}
	ready := reservedNow()
	if ready.isolates != before.isolates+2 || ready.Trusted != before.Trusted+2*fresh.Trusted {
		t.Errorf("two ready isolates: %+v after %+v", ready, before)
	}
	pool.Close()
	if got := reservedNow(); got != before {
		t.Errorf("no ready isolates: %+v, want %+v", got, before)
	}
	isolate := startApp(t, unlimited, `export default { fetch() {
		globalThis.kept = Array.from({ length: 1 << 20 }, (_, i) => i + 0.5); return new Response("") } }`)
	one := isolate.reserved
	if one.isolates != 1 || one.Trusted != page || one.Cage < page || one.Cage > 2*fresh.Cage {
		t.Errorf("a small app takes %+v", one)
	}
	fetch(t, isolate, "GET / HTTP/1.1\nHost: h\n\n")
	isolate.measure()
	if grown := isolate.reserved.Cage - one.Cage; grown < 8<<20 {
		t.Errorf("8 MB of numbers have it take %d bytes more", grown)
	}
}

// TestNoRoom: without room no isolate is made, and what is ready makes room.
func TestNoRoom(t *testing.T) {
	pool := testRuntime.NewPool(PoolOptions{Wake: -1, Ready: 1})
	defer pool.Close()
	var others ranges // of other loops
	defer func() { others.count(ranges{}) }()
	free := func(pages int64) {
		others.count(ranges{})
		others.count(ranges{0, shim.Ranges{Trusted: trustedMax - taken.trusted.Load() - pages*page}})
	}
	lockThread(t)
	app, err := resolve(t, AppOptions{}, "app.js", `export default { fetch() { return new Response("") } }`)
	if err != nil {
		t.Fatal(err)
	}
	free(spare)
	if Crowded() {
		t.Error("crowded with room to spare")
	}
	pool.Prepare()
	free(spare - 1)
	if !Crowded() || pool.Ready() != 1 {
		t.Errorf("crowded: %v, ready: %d", Crowded(), pool.Ready())
	}
	free(0)
	isolate, err := pool.Start(app)
	if err != nil {
		t.Fatalf("with a ready isolate: %v", err)
	}
	defer isolate.Dispose()
	free(0)
	if pool.Prepare(); pool.Ready() != 0 {
		t.Error("made ready without room")
	}
	if _, err := pool.Start(app); !errors.Is(err, ErrNoRoom) {
		t.Errorf("without room: %v", err)
	}
}

// TestNoRoomForImage: what the objects of an app's image take counts before its isolate is made, where V8 would end the
// process for want of addresses, and so does a second isolate that is to replace the first.
func TestNoRoomForImage(t *testing.T) {
	const size, large = 4 << 20, `
		const kept = Array.from({ length: 1 << 18 }, (_, i) => [i]);
		export default { fetch() { return new Response(String(kept.length)) } }`
	lockThread(t)
	pool := testRuntime.NewPool(PoolOptions{Wake: -1})
	defer pool.Close()
	var others ranges // of other loops
	defer func() { others.count(ranges{}) }()
	free := func(bytes int64) {
		others.count(ranges{})
		others.count(ranges{0, shim.Ranges{Cage: cageMax - taken.cage.Load() - bytes}})
	}
	app, _ := imageApp(t, AppOptions{PerRequest: true}, large)
	small, _ := imageApp(t, AppOptions{}, helloApp)
	for _, a := range []*App{app, small} {
		a.image.Load().manifest.LoadNS = 1e9 // so that it is the snapshot that is started from
	}
	needs := app.image.Load().needs()
	if needs.Cage < size || needs.Cage > 4*size || needs.isolates != 1 || needs.Trusted < page {
		t.Fatalf("an image of %d bytes of objects and more needs %+v", size, needs)
	}
	free(needs.Cage - 1)
	if _, err := pool.Start(app); !errors.Is(err, ErrNoRoom) {
		t.Errorf("with too little room: %v", err)
	}
	isolate, err := pool.Start(small)
	if err != nil {
		t.Fatalf("a small app: %v", err)
	}
	isolate.Dispose()
	free(needs.Cage)
	if isolate, err = pool.Start(app); err != nil {
		t.Fatalf("with room: %v", err)
	}
	defer isolate.Dispose()
	if took := isolate.reserved.Cage; took > needs.Cage {
		t.Errorf("it takes %d bytes of addresses, %d were foreseen", took, needs.Cage)
	}
	free(needs.Cage - 1)
	if err := isolate.contexts.renew(); !errors.Is(err, ErrNoRoom) {
		t.Errorf("renewed with too little room: %v", err)
	}
}
