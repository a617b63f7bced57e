package isolates

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// activeApp is like those of the scenario active1000 of bench.
const activeApp = `let served = 0;
export default {
	fetch() {
		served++;
		return new Response("Hello from app", { headers: { "x-served": String(served) } });
	},
};`

// BenchmarkActive tells what a request costs if its isolate is one of many that are asked in turn, so that nothing of it
// is in the processor's caches any more: thread CPU of a turn with one request, the median of the rounds.
func BenchmarkActive(b *testing.B) {
	const warmUp = 1000 // by when V8 has optimized what requests call
	for _, count := range []int{1, 30, 400} {
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			lockThread(b)
			app, err := resolve(b, AppOptions{}, "app.js", activeApp)
			if err != nil {
				b.Fatal(err)
			}
			plain := newPlainRequest(b)
			var all []*Isolate
			for range count {
				isolate, err := startOn(app, -1)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(isolate.Dispose)
				all = append(all, isolate)
			}
			round := func() {
				for i, isolate := range all {
					isolate.AddRequest(plain)
					if count > 1 {
						all[(i+1)%count].Expect() // as a loop does
					}
					if err := isolate.Turn(); err != nil {
						b.Fatal(err)
					}
					for _, more := isolate.Next(); more; _, more = isolate.Next() {
					}
				}
			}
			for range warmUp {
				round()
			}
			rounds := max(1, 400/count)
			var times []time.Duration
			for b.Loop() {
				begin := threadCPU(b)
				for range rounds {
					round()
				}
				times = append(times, (threadCPU(b)-begin)/time.Duration(count*rounds))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2])/1000, "us-cpu")
		})
	}
}
