package isolates

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/http1"
)

func newPlainRequest(t testing.TB) *Request {
	head := []byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
	parsed := new(http1.Head)
	if err := parsed.Parse(head, 1<<15); err != nil {
		t.Fatal(err)
	}
	return &Request{ID: 1, Head: head, Parsed: parsed, RemoteAddress: []byte("127.0.0.1:40000")}
}

// The crossing with one and with many requests a turn, per request.
func BenchmarkTurn(b *testing.B) {
	for _, app := range []struct{ name, source string }{
		{"text", `export default { async fetch(r) { return new Response("Hello World") } }`},
		{"json", `export default { async fetch(r) { return Response.json({hello: "world", n: 1}) } }`},
		{"headers", `export default { async fetch(r) { return new Response(r.headers.get("host") + r.method + r.url, {headers: {"x-a": "1", "x-b": "2", "content-type": "text/html"}}) } }`},
	} {
		for _, batch := range []int{1, 16, 64} {
			b.Run(app.name+"/"+strconv.Itoa(batch), func(b *testing.B) {
				isolate := startApp(b, unlimited, app.source)
				plain := newPlainRequest(b)
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; done += batch {
					for range batch {
						isolate.AddRequest(plain)
					}
					if err := isolate.Turn(); err != nil {
						b.Fatal(err)
					}
					for {
						if _, ok := isolate.Next(); !ok {
							break
						}
					}
				}
			})
		}
	}
}

const helloApp = `export default { async fetch(r) { return new Response("Hello World") } }`

// Restoring an isolate from the runtime snapshot, without and with the start of a small app.
func BenchmarkRestore(b *testing.B) {
	lockThread(b)
	app, err := resolve(b, AppOptions{}, "app.js", helloApp)
	if err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for b.Loop() {
		begin := time.Now()
		isolate, err := startOn(app, -1)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
		isolate.Dispose()
	}
	reportPercentiles(b, times)
}

// A fresh context of the runtime snapshot in a live isolate.
func BenchmarkContext(b *testing.B) {
	isolate := startApp(b, unlimited, helloApp)
	var times []time.Duration
	for b.Loop() {
		begin := time.Now()
		realm, err := isolate.isolate.NewRealm()
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
		isolate.isolate.DropRealm(realm)
	}
	reportPercentiles(b, times)
}

// 500 isolates, each of which has answered a request: resident memory of each, restore times.
func BenchmarkDensity(b *testing.B) {
	const count = 500
	lockThread(b)
	app, err := resolve(b, AppOptions{}, "app.js", helloApp)
	if err != nil {
		b.Fatal(err)
	}
	plain := newPlainRequest(b)
	var times, cpu []time.Duration
	start := func() *Isolate {
		begin, beginCPU := time.Now(), threadCPU(b)
		isolate, err := startOn(app, -1)
		if err != nil {
			b.Fatal(err)
		}
		times, cpu = append(times, time.Since(begin)), append(cpu, threadCPU(b)-beginCPU)
		isolate.AddRequest(plain)
		if err := isolate.Turn(); err != nil {
			b.Fatal(err)
		}
		return isolate
	}
	defer start().Dispose() // brings in what all share: V8's code, above all
	for b.Loop() {
		before := residentKB(b)
		var isolates []*Isolate
		times, cpu = times[:0], cpu[:0]
		for range count {
			isolates = append(isolates, start())
		}
		b.ReportMetric(float64(residentKB(b)-before)/count, "KB/isolate")
		reportPercentiles(b, times)
		slices.Sort(cpu)
		b.ReportMetric(float64(cpu[(count-1)*99/100])/float64(time.Millisecond), "ms-cpu-p99")
		for _, isolate := range isolates {
			isolate.Dispose()
		}
	}
	b.ReportMetric(float64(testRuntime.Size())/1024, "KB-blob")
}

func reportPercentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	milliseconds := func(percent int) float64 {
		return float64(times[(len(times)-1)*percent/100]) / float64(time.Millisecond)
	}
	b.ReportMetric(milliseconds(50), "ms-p50")
	b.ReportMetric(milliseconds(99), "ms-p99")
}

func residentKB(b testing.TB) int { return statusKB(b, "VmRSS:") }

// statusKB reads a line of the process's status.
func statusKB(b testing.TB, name string) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte(name))
	kb, err := strconv.Atoi(strings.Fields(string(rest))[0])
	if err != nil {
		b.Fatal(err)
	}
	return kb
}

// Restoring an app from its own snapshot, up to its first answer.
func BenchmarkRestoreImage(b *testing.B) {
	lockThread(b)
	app, _ := imageApp(b, AppOptions{}, helloApp)
	benchmarkStart(b, testRuntime.NewPool(PoolOptions{Wake: -1}), app)
}

func benchmarkStart(b *testing.B, pool *Pool, app *App) {
	lockThread(b)
	plain := newPlainRequest(b)
	var starts, answers, cpu []time.Duration
	for b.Loop() {
		b.StopTimer()
		for pool.Prepare() {
		}
		b.StartTimer()
		begin, beginCPU := time.Now(), threadCPU(b)
		isolate, err := pool.Start(app)
		if err != nil {
			b.Fatal(err)
		}
		starts = append(starts, time.Since(begin))
		isolate.AddRequest(plain)
		if err := isolate.Turn(); err != nil {
			b.Fatal(err)
		}
		answers = append(answers, time.Since(begin))
		cpu = append(cpu, threadCPU(b)-beginCPU)
		isolate.Dispose()
	}
	reportPercentiles(b, answers)
	slices.Sort(starts)
	slices.Sort(cpu)
	b.ReportMetric(float64(starts[len(starts)/2])/float64(time.Millisecond), "ms-start")
	b.ReportMetric(float64(cpu[len(cpu)/2])/float64(time.Millisecond), "ms-cpu")
}

// threadCPU is the CPU time of the calling thread.
func threadCPU(b *testing.B) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// Starting apps of several sizes in every way there is, up to the first answer.
func BenchmarkStart(b *testing.B) {
	lockThread(b)
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		b.Fatal(err)
	}
	defer resolver.Close()
	for _, name := range []string{"hello.js", "router.js", "api.js", "store.js"} {
		bundle, err := resolver.Resolve("../bench/apps/"+name, "../bench/apps")
		if err != nil {
			b.Fatal(err)
		}
		built, image := build(b, bundle, BuildOptions{Warmup: "/"})
		b.Logf("%s: reason %q, note %q, load %v", name, built.Reason, built.WarmUpNote, time.Duration(image.manifest.LoadNS))
		run := func(how string, ready int, change func(*Image)) {
			b.Run(name+"/"+how, func(b *testing.B) {
				changed := &Image{open: image.open, manifest: image.manifest, snapshot: image.snapshot}
				change(changed)
				app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, bundle)
				if how != "source" {
					app.SetImage(changed)
				}
				pool := testRuntime.NewPool(PoolOptions{Wake: -1, Ready: ready})
				defer pool.Close()
				benchmarkStart(b, pool, app)
				for _, section := range built.Sections {
					if section.Name == how {
						b.ReportMetric(float64(len(section.Data))/1024, "KB-"+how)
					}
				}
			})
		}
		run("snapshot", 0, func(*Image) {})
		run("ready", 1, func(i *Image) { i.manifest.LoadNS = 0 })
		run("source", 0, func(*Image) {})
	}
}

// What warm apps cost, by the kernel's account and by Resident's.
func BenchmarkResident(b *testing.B) {
	lockThread(b)
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		b.Fatal(err)
	}
	defer resolver.Close()
	for _, c := range []struct {
		name, warmup string
		count        int
		perRequest   bool
		turns        int
	}{
		{"hello.js", "", 200, false, 1}, {"hello.js", "/", 200, false, 1}, {"router.js", "/", 100, false, 1},
		{"api.js", "/", 60, false, 1}, {"store.js", "/", 30, false, 1}, {"hello.js", "/", 60, true, 1},
		{"hello.js", "/", 60, false, 5000}, {"router.js", "/", 60, false, 5000},
	} {
		bundle, err := resolver.Resolve("../bench/apps/"+c.name, "../bench/apps")
		if err != nil {
			b.Fatal(err)
		}
		_, image := build(b, bundle, BuildOptions{Warmup: c.warmup})
		app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}", PerRequest: c.perRequest}, bundle)
		app.SetImage(image)
		b.Run(fmt.Sprintf("%s-warm=%t-perRequest=%t-turns=%d", c.name, c.warmup != "", c.perRequest, c.turns), func(b *testing.B) {
			lockThread(b)
			plain := newPlainRequest(b)
			for b.Loop() {
				var alive []*Isolate
				before, estimate := anonymousKB(b), int64(0)
				for range c.count {
					isolate, err := startOn(app, -1)
					if err != nil {
						b.Fatal(err)
					}
					for range c.turns {
						isolate.AddRequest(plain)
						if err := isolate.Turn(); err != nil {
							b.Fatal(err)
						}
						drain(isolate)
					}
					prepare(isolate)
					alive = append(alive, isolate)
				}
				for _, isolate := range alive {
					isolate.measure()
					estimate += isolate.Resident()
				}
				b.ReportMetric(float64(anonymousKB(b)-before)/float64(c.count), "KB-anonymous")
				b.ReportMetric(float64(estimate)/1024/float64(c.count), "KB-estimate")
				m := alive[0].isolate.Memory()
				b.ReportMetric(float64(m.HeapPhysical)/1024, "KB-physical")
				b.ReportMetric(float64(m.HeapUsed)/1024, "KB-used")
				b.ReportMetric(float64(m.External)/1024, "KB-external")
				b.ReportMetric(float64(m.Malloced)/1024, "KB-malloced")
				for _, isolate := range alive {
					isolate.Dispose()
				}
			}
		})
	}
}

// anonymousKB is the memory that is this process's alone.
func anonymousKB(b *testing.B) int {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(rollup, []byte("Anonymous:"))
	size, err := strconv.Atoi(strings.Fields(string(rest))[0])
	if err != nil {
		b.Fatal(err)
	}
	return size
}
