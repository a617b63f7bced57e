package isolates

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// delaysOf runs a handler, fires each timer at once, and returns the delays that were asked for.
func delaysOf(t *testing.T, handler string) (delays []time.Duration) {
	t.Helper()
	isolate := startApp(t, unlimited, `export default { async fetch() { `+handler+` } }`)
	request(t, isolate, 1, get)
	for range 100 {
		isAnswered := false
		for _, record := range turn(t, isolate) {
			switch record.Kind {
			case KindTimerSet:
				delays = append(delays, record.Delay)
				isolate.AddTimer(record.ID)
			case KindRespond:
				isAnswered = true
			}
		}
		if isAnswered {
			return delays
		}
	}
	t.Fatal("no answer")
	panic("unreachable")
}

// HTML: from the sixth level on, timers that timers set wait 4 ms. What the runtime sets for itself does not.
func TestNestedTimersAreSlowedDown(t *testing.T) {
	const nested = `await new Promise((resolve) => {
		let depth = 0;
		const next = () => { %s if (++depth < 8) setTimeout(next, 1); else resolve(); };
		setTimeout(next, 1);
	}); return new Response()`
	got := fmt.Sprint(delaysOf(t, fmt.Sprintf(nested, "")))
	if want := "[1ms 1ms 1ms 1ms 1ms 4ms 4ms 4ms]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = fmt.Sprint(delaysOf(t, fmt.Sprintf(nested, "if (depth === 7) scheduler.wait(2);")))
	if !strings.HasSuffix(got, "4ms 2ms]") {
		t.Errorf("got %s", got)
	}
}

// However long a callback takes, the next one is due within the period, and not at once.
func TestIntervalsKeepTheirPace(t *testing.T) {
	delays := delaysOf(t, `await new Promise((resolve) => {
		let count = 0;
		const id = setInterval(() => {
			const end = performance.now() + 15;
			while (performance.now() < end);
			if (++count === 4) { clearInterval(id); resolve(); }
		}, 10);
	}); return new Response()`)
	if len(delays) != 4 || delays[0] != 10*time.Millisecond {
		t.Fatalf("got %v", delays)
	}
	for _, delay := range delays[1:] {
		if delay <= 0 || delay > 10*time.Millisecond {
			t.Errorf("got %v", delays)
		}
	}
}

func TestLongDelays(t *testing.T) {
	delays := delaysOf(t, `setTimeout(() => {}, 2 ** 31 - 1); setTimeout(() => {}, 2 ** 32 + 5);
		AbortSignal.timeout(2 ** 53 - 1).onabort = () => {}; scheduler.wait(2 ** 60); return new Response()`)
	const longest = 1 << 42 * time.Millisecond
	want := []time.Duration{(1<<31 - 1) * time.Millisecond, 5 * time.Millisecond, longest, longest}
	if fmt.Sprint(delays) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", delays, want)
	}
}
