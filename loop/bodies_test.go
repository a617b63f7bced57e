package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nano/uring/fakering"
)

// TestBodyAppend: a body is what was appended, whatever its pieces and where it lies.
func TestBodyAppend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 60 {
		var pool buffers
		var b body
		want := make([]byte, random.IntN(4*pooledMax))
		for j := range want {
			want[j] = byte(random.Uint32())
		}
		isKnown := i%2 == 0
		if i%10 == 9 { // as if there were no mappings left
			b.buffer = make([]byte, 0, pooledMax+1)
		}
		for rest := want; len(rest) > 0; {
			n := min(1+random.IntN(100000), len(rest))
			missing := 0
			if isKnown {
				missing = len(rest)
			}
			b.append(&pool, rest[:n], missing)
			rest = rest[n:]
		}
		if !bytes.Equal(b.bytes(), want) || b.length() != len(want) {
			t.Fatalf("body %d of %d bytes differs", i, len(want))
		}
		if inPages := b.pages != nil; inPages != (len(want) > pooledMax && i%10 != 9) {
			t.Errorf("a body of %d bytes lies in pages: %v", len(want), inPages)
		}
		if isKnown && b.pages != nil && cap(b.pages) >= len(want)+pageSize {
			t.Errorf("%d bytes of pages for a body of %d", cap(b.pages), len(want))
		}
		b.free(&pool)
		if b.bytes() != nil {
			t.Error("a freed body has bytes")
		}
	}
	var empty body
	empty.append(new(buffers), nil, 0)
	if empty.bytes() != nil {
		t.Error("nothing appended, and yet a body")
	}
}

// An upload is a client that sends a body of some length to an app.
type upload struct {
	peer   *fakering.Peer
	length int
}

func (b *town) upload(app, length int) *upload {
	u := &upload{peer: b.ring.Dial(b.listener), length: length}
	u.peer.WriteString(fmt.Sprintf("POST /size HTTP/1.1\r\nHost: %d\r\nContent-Length: %d\r\n\r\n", app, length))
	return u
}

// send sends n bytes of the body.
func (u *upload) send(n int) { u.peer.Write(make([]byte, n)) }

func (u *upload) check(t *testing.T, what string) {
	t.Helper()
	if got := string(u.peer.Take()); !strings.HasSuffix(got, fmt.Sprintf("\r\n\r\n%d", u.length)) {
		t.Errorf("%s: got %q", what, got)
	}
}

const mega = 1 << 20

// TestBodiesAreHeldBack: an app that has too many bytes in hand gets one body at a time, without errors,
// and the other apps theirs. Who is held back loses no time by it.
func TestBodiesAreHeldBack(t *testing.T) {
	b := newTown(t, fakering.Config{}, 2, func(o *Options) {
		o.Bodies = 16 * mega // 4 for each app
		o.BodyTimeout = 10 * time.Second
	})
	first, second, third := b.upload(0, 6*mega), b.upload(0, 6*mega), b.upload(0, 2*mega)
	b.settle()
	first.send(3 * mega)
	b.settle()
	second.send(3 * mega)
	b.settle()
	third.send(1 * mega)
	b.settle()
	l, w := b.loop, b.loop.apps[0]
	if w.gathering != 1 || l.bodies.gathering != 1 || w.counts.HeldBack != 2 {
		t.Errorf("%d bodies come in, %d times held back", w.gathering, w.counts.HeldBack)
	}
	held := w.bytesInHand
	second.send(3 * mega)
	third.send(1 * mega)
	other := b.upload(1, 3*mega)
	other.send(3 * mega)
	b.settle()
	other.check(t, "another app")
	if w.bytesInHand != held {
		t.Errorf("%d bytes more came in", w.bytesInHand-held)
	}
	for range 3 { // longer than the time-out, but with progress
		b.run(8 * time.Second)
		first.send(1 * mega)
	}
	b.settle()
	for i, u := range []*upload{first, second, third} {
		u.check(t, fmt.Sprint("upload ", i))
		u.peer.Close()
	}
	other.peer.Close()
	b.settle()
	if l.bodies.inHand != 0 || w.bytesInHand != 0 || w.gathering != 0 || l.bodies.first != nil || l.bodies.last != nil {
		t.Errorf("left over: %+v, %d bytes", l.bodies, w.bytesInHand)
	}
}

// TestOneBodyAtATime: a loop takes a body that is larger than all it may have, and others after it.
func TestOneBodyAtATime(t *testing.T) {
	b := newTown(t, fakering.Config{}, 8, func(o *Options) { o.Bodies = mega; o.BodyTimeout = 10 * time.Second })
	var all []*upload
	for app := range 8 {
		u := b.upload(app, 3*mega)
		b.settle()
		u.send(2 * mega)
		all = append(all, u)
	}
	b.settle()
	if b.loop.bodies.gathering != 1 {
		t.Errorf("%d come in", b.loop.bodies.gathering)
	}
	// The first leaves in the middle, one of those that are held back as well, and a third is too slow.
	all[0].peer.Reset()
	all[3].peer.Reset()
	b.run(11 * time.Second)
	if got := string(all[1].peer.Take()); !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Errorf("the slow one got %q", got)
	}
	for app, u := range all {
		if app != 0 && app != 1 && app != 3 {
			u.send(1 * mega)
		}
	}
	b.settle()
	for app, u := range all {
		if app != 0 && app != 1 && app != 3 {
			u.check(t, fmt.Sprint("app ", app))
		}
		u.peer.Close()
	}
}
