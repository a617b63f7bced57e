package isolates

import (
	"testing"
	"time"
)

// What building images costs the builder, with and without a warm-up request.
func BenchmarkBuild(b *testing.B) {
	lockThread(b)
	bundle, err := bundle(b, "app.js", helloApp)
	if err != nil {
		b.Fatal(err)
	}
	for name, options := range map[string]BuildOptions{"plain": {Name: "test"}, "warmup": {Name: "test", Warmup: "/"}} {
		b.Run(name, func(b *testing.B) {
			begin := threadCPU(b)
			for b.Loop() {
				if _, err := testRuntime.Build(bundle, options); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(threadCPU(b)-begin)/float64(time.Millisecond)/float64(b.N), "ms-cpu")
		})
	}
}
