package loop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nano/isolates"
)

// profiledWorker is a fakeWorker that can be looked into.
type profiledWorker struct {
	*fakeWorker
	facts *profileFacts
}

// profileFacts are what its tests look at and change.
type profileFacts struct {
	profiling atomic.Int32
	stuck     atomic.Int32 // heap snapshots that are to be stuck
	unread    atomic.Bool  // heap snapshots never come to their end
	closed    atomic.Int32
}

// fakeSnapshot is a heap snapshot.
type fakeSnapshot struct {
	io.Reader
	facts *profileFacts
	ended chan struct{}
}

func (s *fakeSnapshot) Close() error {
	s.facts.closed.Add(1)
	if s.ended != nil {
		close(s.ended)
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (w *profiledWorker) HeapSnapshot() (io.ReadCloser, error) {
	s := &fakeSnapshot{Reader: strings.NewReader("heap of " + w.name), facts: w.facts}
	switch {
	case w.facts.stuck.Add(-1) >= 0:
		s.Reader = readerFunc(func([]byte) (int, error) { return 0, isolates.ErrSnapshotStuck })
	case w.facts.unread.Load():
		s.ended = make(chan struct{})
		s.Reader = readerFunc(func([]byte) (int, error) { <-s.ended; return 0, io.ErrClosedPipe })
	}
	return s, nil
}

func (w *profiledWorker) StartProfile(time.Duration) error {
	w.facts.profiling.Add(1)
	return nil
}

func (w *profiledWorker) StopProfile() []byte {
	w.facts.profiling.Add(-1)
	return []byte("profile of " + w.name)
}

func startProfiled(t *testing.T, change func(o *NodeOptions)) (*Node, string, *profileFacts) {
	facts := new(profileFacts)
	node, address := startNode(t, func(o *NodeOptions) {
		o.Options.NewShard = shardOf(func(app int) (Worker, error) {
			return &profiledWorker{newFakeWorker("demo", demo(nil)), facts}, nil
		})
		if change != nil {
			change(o)
		}
	})
	return node, address, facts
}

func TestHeapSnapshotOfAnAppAsleep(t *testing.T) {
	node, _, facts := startProfiled(t, func(o *NodeOptions) { o.Loops = 2 })
	facts.stuck.Store(snapshotAttempts - 1)
	var into bytes.Buffer
	if err := node.HeapSnapshot(t.Context(), 0, &into); err != nil || into.String() != "heap of demo" {
		t.Errorf("%q, %v", into.String(), err)
	}
	if closed := facts.closed.Load(); closed != snapshotAttempts {
		t.Errorf("%d of %d snapshots were closed", closed, snapshotAttempts)
	}
	facts.stuck.Store(snapshotAttempts)
	if err := node.HeapSnapshot(t.Context(), 0, &into); !errors.Is(err, isolates.ErrSnapshotStuck) {
		t.Errorf("every attempt was stuck: %v", err)
	}
	for _, id := range []int{-1, 1, 1 << 20} {
		if err := node.HeapSnapshot(t.Context(), id, &into); !errors.Is(err, ErrNoApp) {
			t.Errorf("app %d: %v", id, err)
		}
	}
}

func TestHeapSnapshotIsGivenUp(t *testing.T) {
	node, _, facts := startProfiled(t, nil)
	facts.unread.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := node.HeapSnapshot(ctx, 0, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if facts.closed.Load() != 1 {
		t.Error("its process goes on")
	}
}

// TestCPUProfile: an app stays awake while it is profiled, and serves; another profile is refused.
func TestCPUProfile(t *testing.T) {
	node, address, facts := startProfiled(t, func(o *NodeOptions) { o.Options.Idle = time.Millisecond })
	var into bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- node.CPUProfile(t.Context(), 0, 300*time.Millisecond, &into) }()
	for facts.profiling.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := node.CPUProfile(t.Context(), 0, time.Second, io.Discard); !errors.Is(err, ErrProfiling) {
		t.Errorf("a second profile: %v", err)
	}
	if err := node.HeapSnapshot(t.Context(), 0, io.Discard); !errors.Is(err, ErrProfiling) {
		t.Errorf("a heap snapshot meanwhile: %v", err)
	}
	response, err := http.Get("http://" + address + "/echo")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := <-ended; err != nil || into.String() != "profile of demo" || facts.profiling.Load() != 0 {
		t.Errorf("%q, %v", into.String(), err)
	}
	for _, d := range []time.Duration{0, -1, ProfileMax + 1} {
		if node.CPUProfile(t.Context(), 0, d, io.Discard) == nil {
			t.Errorf("a profile of %v", d)
		}
	}
}

func TestCPUProfileIsGivenUp(t *testing.T) {
	node, _, facts := startProfiled(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := node.CPUProfile(ctx, 0, time.Minute, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if facts.profiling.Load() != 0 {
		t.Error("the profile goes on")
	}
}

func TestProfilesOfANodeThatEnds(t *testing.T) {
	node, _, facts := startProfiled(t, nil)
	ended := make(chan error, 1)
	go func() { ended <- node.CPUProfile(t.Context(), 0, 200*time.Millisecond, io.Discard) }()
	for facts.profiling.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if err := node.HeapSnapshot(t.Context(), 0, io.Discard); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}
