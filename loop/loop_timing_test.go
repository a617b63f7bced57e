package loop

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRequest is the loop's own time for a plain keep-alive request, over a ring and an isolate
// that cost next to nothing.
func BenchmarkRequest(b *testing.B) {
	for _, connections := range []int{1, 8, 64, 1024} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			l, ring := newScripted(b, plainRequest, connections, nil)
			b.ReportAllocs()
			b.ResetTimer()
			for target := ring.sends + b.N; ring.sends < target; {
				if err := l.tick(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("pipelined", func(b *testing.B) { // 16 at a time
		l, _ := newScripted(b, strings.Repeat(plainRequest, 16), 8, nil)
		b.ReportAllocs()
		b.ResetTimer()
		for target := l.stats.Requests + uint64(b.N); l.stats.Requests < target; {
			if err := l.tick(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("accesslog", func(b *testing.B) {
		l, ring := newScripted(b, plainRequest, 64, func(o *Options) { o.AccessLog = discard{} })
		b.ReportAllocs()
		b.ResetTimer()
		for target := ring.sends + b.N; ring.sends < target; {
			if err := l.tick(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRoute is the router with a thousand apps.
func BenchmarkRoute(b *testing.B) {
	var routes []Route
	for i := range 1000 {
		routes = append(routes, Route{Name: fmt.Sprint("app", i), Hosts: []string{fmt.Sprintf("app%d.example.com", i)}})
		routes = append(routes, Route{Name: fmt.Sprint("api", i), Hosts: []string{fmt.Sprintf("app%d.example.com", i)}, Path: "/api/v1"})
	}
	router, err := NewRouter(routes)
	if err != nil {
		b.Fatal(err)
	}
	for _, target := range []string{"/", "/api/v1/users/12345/items?x=/a/b/c"} {
		b.Run(target, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				router.Route([]byte("app777.example.com:8080"), []byte(target))
			}
		})
	}
}

// BenchmarkTimers sets and clears a timer among a thousand.
func BenchmarkTimers(b *testing.B) {
	timers := newTimers()
	w := &appWorker{life: 1}
	for i := range 1000 {
		timers.set(w, uint32(i), int64(i)*1000)
	}
	b.ReportAllocs()
	for b.Loop() {
		timers.set(w, 5000, 500)
		timers.clear(timerKey{1, 5000})
	}
}
