package bundle

import (
	"strings"
	"testing"
	"time"
)

// BenchmarkBuild bundles a small app, and one of 1 MB of JavaScript.
func BenchmarkBuild(b *testing.B) {
	for what, o := range timed(b) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				build(b, o)
			}
		})
	}
}

// BenchmarkCacheLoad takes them from the cache.
func BenchmarkCacheLoad(b *testing.B) {
	for what, o := range timed(b) {
		b.Run(what, func(b *testing.B) {
			cache := Cache{b.TempDir()}
			old(b, o.Base)
			began := time.Now()
			if err := cache.Save(o, build(b, o), began); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if cache.Load(o) == nil {
					b.Fatal("not there")
				}
			}
		})
	}
}

func timed(b *testing.B) map[string]Options {
	function := "export function f(a, b) { const all = []; for (let i = 0; i < a; i++) all.push({ i, b, text: `${i} of ${b}` }); return all; }\n"
	large := strings.Repeat(strings.ReplaceAll(function, "export ", "")+"{ globalThis.x = f; }\n", 1<<20/(len(function)+20))
	return map[string]Options{
		"hello": project(b, map[string]string{"main.ts": "export default { fetch(r: Request): Response { return new Response(r.url) } }"}),
		"1 MB":  project(b, map[string]string{"main.ts": "import './large'; export default {}", "large.js": strings.ReplaceAll(large, "function f", "var f = function ")}),
	}
}
