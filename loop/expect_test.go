package loop

import "testing"

// TestExpect: a worker is told that its turn is next if others have had many turns since its last one.
func TestExpect(t *testing.T) {
	for _, test := range []struct {
		last, turns uint64
		want        int
	}{{0, forgottenAfter - 1, 0}, {0, forgottenAfter, 1}, {1000, 1000, 0}, {1000, 1001, 0}, {1000, 1000 + forgottenAfter, 1}} {
		worker := &fakeWorker{}
		l := &Loop{}
		l.stats.Turns = test.turns
		l.expect(&appWorker{isolate: worker, turn: test.last})
		if worker.expected != test.want {
			t.Errorf("turn %d, the last one was %d: expected %d times, want %d", test.turns, test.last, worker.expected, test.want)
		}
		l.expect(&appWorker{}) // it sleeps
	}
}

// TestExpectWithinTick: of apps that are asked in one tick, each is told before its turn, but the first.
func TestExpectWithinTick(t *testing.T) {
	l := &Loop{}
	l.stats.Turns = forgottenAfter
	l.running = make([]*appWorker, 3)
	workers := make([]*fakeWorker, len(l.running))
	for i := range l.running {
		workers[i] = &fakeWorker{}
		l.running[i] = &appWorker{isolate: workers[i]}
	}
	for i := range l.running {
		l.expectAfter(i)
	}
	for i, worker := range workers {
		if want := min(i, 1); worker.expected != want {
			t.Errorf("worker %d was told %d times, want %d", i, worker.expected, want)
		}
	}
}
