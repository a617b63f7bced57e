package loop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nano/uring/fakering"
)

// A fakeGauge says what a test wants. wait takes as long as it is told to.
type fakeGauge struct {
	stalls          chan struct{} // closed by a nudge
	left, limit     int64         // of the control group; limit 0: it has none
	own             int64         // resident bytes; 0: unknown
	stopped, closed bool
}

func (g *fakeGauge) wait(length time.Duration) bool {
	select {
	case _, isOpen := <-g.stalls:
		return isOpen
	case <-time.After(length):
		return false
	}
}
func (g *fakeGauge) room() (left, limit int64, ok bool) { return g.left, g.limit, g.limit != 0 }
func (g *fakeGauge) resident() (int64, bool)            { return g.own, g.own != 0 }
func (g *fakeGauge) close()                             { g.closed = true }
func (g *fakeGauge) nudge() {
	if !g.stopped {
		g.stopped = true
		close(g.stalls)
	}
}

// TestPressureSteps: each sign of shortage lowers the limit by steps from what is in use, not below its
// floor; after some calm it rises to the budget again.
func TestPressureSteps(t *testing.T) {
	const budget = 1 << 30
	now := time.Unix(1000, 0)
	for name, short := range map[string]func(g *fakeGauge) (stalled bool){
		"stalls":        func(g *fakeGauge) bool { return true },
		"control group": func(g *fakeGauge) bool { g.left, g.limit = 100<<20, 2<<30; return false },
		"small group":   func(g *fakeGauge) bool { g.left, g.limit = 7<<20, 64<<20; return false },
		"process":       func(g *fakeGauge) bool { g.own = 2 << 30; return false },
	} {
		gauge, log := &fakeGauge{left: 1 << 30, limit: 2 << 30, own: 1 << 30}, &recorder{}
		p := &pressure{memory: newMemory(budget), gauge: gauge, logger: log, trim: func() {}, unmap: func() {}}
		p.memory.total.Store(800 << 20)
		if pause := p.step(now, false); pause != pressureWatch || p.memory.limit.Load() != budget {
			t.Errorf("%s: limit %d while all is well, pause %v", name, p.memory.limit.Load(), pause)
		}
		for i, want := range []int64{700 << 20, 700 << 20 * 7 / 8, 700 << 20 * 7 / 8 * 7 / 8} {
			pause := p.step(now, short(gauge))
			if got := p.memory.limit.Load(); got != want || pause != pressurePause {
				t.Errorf("%s: step %d: limit %d, want %d; pause %v", name, i, got, want, pause)
			}
		}
		for range 100 {
			p.step(now, short(gauge))
		}
		if got := p.memory.limit.Load(); got != budget/pressureFloor {
			t.Errorf("%s: limit %d after many steps", name, got)
		}
		*gauge = fakeGauge{}
		p.step(now.Add(pressureCalm-1), false)
		if got := p.memory.limit.Load(); got != budget/pressureFloor {
			t.Errorf("%s: limit %d before it has been calm", name, got)
		}
		for range pressureRise {
			p.step(now.Add(pressureCalm), false)
		}
		if got := p.memory.limit.Load(); got != budget || p.isShort {
			t.Errorf("%s: limit %d in the end", name, got)
		}
		if log.count("memory is short") != 1 || log.count("no longer short") != 1 {
			t.Errorf("%s: logged %q", name, log.lines)
		}
	}
}

// TestGiveBack: the C library gives memory back when the process has grown or isolates have gone, not
// again for what it does not give back, and not often.
func TestGiveBack(t *testing.T) {
	gauge, trims := &fakeGauge{}, 0
	left := int64(0) // of what the process takes
	p := &pressure{memory: newMemory(8 << 30), gauge: gauge, logger: &recorder{}, trim: func() { trims++; gauge.own = left }, unmap: func() {}}
	now := time.Unix(1000, 0)
	for i, each := range []struct {
		isolates, process, left int64 // in MiB
		after                   time.Duration
		trims                   int
	}{
		{0, 60, 0, 0, 0},
		{1600, 1700, 0, time.Second, 0},
		{1600, 1900, 1850, time.Second, 1}, // has grown by more than 264
		{1600, 2000, 1850, trimPause, 1},   // by 150 since
		{100, 1990, 200, trimPause - 1, 2}, // isolates have gone
		{100, 800, 200, trimPause - 1, 2},  // too soon
		{100, 800, 800, 1, 3},              // nothing comes back
		{100, 800, 800, trimPause, 3},      // so it is not tried again
		{100, 150, 800, trimPause, 3},      // it did by itself
		{100, 240, 150, time.Second, 4},    // and grew again
	} {
		now = now.Add(each.after)
		p.memory.total.Store(each.isolates << 20)
		gauge.own, left = each.process<<20, each.left<<20
		if p.step(now, false); trims != each.trims {
			t.Errorf("step %d: %d times, want %d", i, trims, each.trims)
		}
	}
}

// TestPressureWatch: a stall is acted on at once, and the end of the watch waits for it.
func TestPressureWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in virtual time
		gauge := &fakeGauge{stalls: make(chan struct{})}
		options, err := (&Options{Memory: 64 << 20}).withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		m := options.memory
		m.total.Store(64 << 20)
		end := watchPressure(options, gauge)
		gauge.stalls <- struct{}{}
		synctest.Wait()
		if got := m.limit.Load(); got != 56<<20 {
			t.Errorf("limit %d after a stall", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := m.limit.Load(); got != 64<<20 {
			t.Errorf("limit %d after a calm minute", got)
		}
		gauge.nudge() // by a loop, at the same time
		end()
		end()
		if !gauge.stopped || !gauge.closed {
			t.Error("the gauge was not closed")
		}
	})
}

// TestPressureEvicts: a lower limit reaches loops that sleep.
func TestPressureEvicts(t *testing.T) {
	b := newTown(t, fakering.Config{}, 6, func(o *Options) { o.Memory = 6 << 20 })
	for app := range 6 {
		b.ask(app, "/")
	}
	b.ring.At(10*time.Millisecond, func() { b.loop.options.memory.setLimit(2 << 20) })
	b.run(20 * time.Millisecond)
	b.wantWarm("under pressure", 4, 5)
	for app, w := range b.loop.apps {
		if want := app < 4; w.counts.PressureEvictions == 1 != want || w.counts.Evictions != 0 {
			t.Errorf("app %d: %+v", app, w.counts)
		}
	}
	b.loop.options.memory.setLimit(6 << 20)
	b.ask(0, "/")
	b.wantWarm("after it", 0, 4, 5)
	b.checkMemory()
}

// writeFiles makes files below a folder.
func writeFiles(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKernelGauge reads control groups as the kernel shows them: the tightest limit of ours and those
// above counts, and cached files do not.
func TestKernelGauge(t *testing.T) {
	for name, test := range map[string]struct {
		files       map[string]string
		left, limit int64
		ok          bool
	}{
		"nothing there": {nil, 0, 0, false},
		"version 1":     {map[string]string{"proc/self/cgroup": "4:memory:/a\n0::/\n"}, 0, 0, false},
		"no limit": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
			"sys/fs/cgroup/a/b/memory.high": "max\n", "sys/fs/cgroup/a/b/memory.current": "500\n"}, 0, 0, false},
		"max": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n",
			"sys/fs/cgroup/a/b/memory.current": "700\n"}, 300, 1000, true},
		"high is lower": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1000\n",
			"sys/fs/cgroup/a/memory.high": "800\n", "sys/fs/cgroup/a/memory.current": "700\n"}, 100, 800, true},
		"the group above is tighter": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n",
			"sys/fs/cgroup/a/b/memory.current": "700\n", "sys/fs/cgroup/a/memory.max": "2000\n",
			"sys/fs/cgroup/a/memory.current": "1950\n"}, 50, 2000, true},
		"cached files": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1000\n",
			"sys/fs/cgroup/a/memory.current": "950\n", "sys/fs/cgroup/a/memory.stat": "anon 100\ninactive_file 500\nactive_file 50\nshmem 3\n"}, 600, 1000, true},
		"in a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n",
			"sys/fs/cgroup/memory.current": "990\n"}, 10, 1000, true},
	} {
		folder := t.TempDir()
		writeFiles(t, folder, test.files)
		gauge, err := newKernelGauge(folder)
		if err != nil {
			t.Fatal(err)
		}
		left, limit, ok := gauge.room()
		if ok != test.ok || ok && (left != test.left || limit != test.limit) {
			t.Errorf("%s: %d left of %d, %v", name, left, limit, ok)
		}
		if gauge.wait(0) {
			t.Errorf("%s: stalled", name)
		}
		gauge.close()
	}
}

// TestKernelGaugeAverage: without a trigger the averages tell.
func TestKernelGaugeAverage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory")
	for text, want := range map[string]float64{
		"some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n": 12.5,
		"": 0, "some avg10=x": 0, "some": 0,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readStalls(path); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	gauge, err := newKernelGauge(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer gauge.close()
	if err := os.WriteFile(path, []byte("some avg10=50.00 avg60=1.00"), 0o600); err != nil {
		t.Fatal(err)
	}
	gauge.average = path
	if !gauge.wait(0) {
		t.Error("no stall at 50 %")
	}
}

// TestKernelGaugeHere: what this system has can be read, and a wait can be ended.
func TestKernelGaugeHere(t *testing.T) {
	gauge, err := newKernelGauge("")
	if err != nil {
		t.Fatal(err)
	}
	defer gauge.close()
	if n, ok := gauge.resident(); !ok || n < 1<<20 || n > 1<<40 {
		t.Errorf("%d bytes resident, %v", n, ok)
	}
	if left, limit, ok := gauge.room(); ok && left > limit {
		t.Errorf("%d left of %d", left, limit)
	}
	t.Logf("trigger: %v, groups: %s", gauge.trigger >= 0, strings.Join(gauge.groups, " "))
	ended := make(chan bool)
	go func() { ended <- gauge.wait(patience(t)) }()
	gauge.nudge()
	select {
	case <-ended:
	case <-time.After(patience(t) / 2):
		t.Error("the wait was not ended")
	}
}

// TestPressureRests: while nothing happens the watcher waits without end, until an isolate comes or goes.
func TestPressureRests(t *testing.T) {
	nudges := 0
	m := newMemory(1 << 30)
	m.nudge = func() { nudges++ }
	p := &pressure{memory: m, gauge: &fakeGauge{}, logger: noLogger{}, trim: func() {}, unmap: func() {}}
	look := func() time.Duration { return p.rest(p.step(time.Unix(1000, 0), false)) }
	for range pressureRest - 1 {
		if pause := look(); pause != pressureWatch {
			t.Fatalf("waits for %v", pause)
		}
	}
	if pause := look(); pause != restful || !m.rests.Load() {
		t.Fatalf("waits for %v though nothing happens", pause)
	}
	l := &Loop{options: &Options{memory: m}, portion: &portion{}}
	l.resident = 1 << 20
	l.publishPortion()
	l.publishPortion()
	if nudges != 1 || m.rests.Load() {
		t.Fatalf("%d nudges for the first isolate", nudges)
	}
	if pause := look(); pause != pressureWatch {
		t.Fatalf("waits for %v after a change", pause)
	}
	if p.rest(pressurePause) != pressurePause || p.looks != 0 {
		t.Fatal("rests while memory is short")
	}
}

// TestGiveBackAtRest: before the watcher rests it gives back what a burst has left, if that is worth it.
func TestGiveBackAtRest(t *testing.T) {
	gauge, trims, unmaps := &fakeGauge{}, 0, 0
	m := newMemory(1 << 30)
	p := &pressure{memory: m, gauge: gauge, logger: noLogger{}, trim: func() { trims++; gauge.own -= gauge.own / 4 }, unmap: func() { unmaps++ }}
	for i, each := range []struct {
		grown int64 // in MiB, since the last rest
		trims int
	}{
		{40, 1}, // leaves 30
		{3, 1},
		{1, 2}, // 34 by now, of which 25.5 are left
		{0, 2},
		{20, 3},
	} {
		gauge.own += each.grown << 20
		m.total.Add(1) // an isolate came or went
		for p.rest(p.step(time.Unix(1000, 0), false)) != restful {
			if trims == each.trims && trims > 0 && i == 0 {
				t.Fatal("given back before all was quiet")
			}
		}
		if trims != each.trims || unmaps != trims {
			t.Errorf("rest %d: %d times, and the program's pages %d times, want %d", i, trims, unmaps, each.trims)
		}
	}
}

// TestKernelGaugeRests: one nudge ends one endless wait.
func TestKernelGaugeRests(t *testing.T) {
	gauge, err := newKernelGauge("")
	if err != nil {
		t.Fatal(err)
	}
	defer gauge.close()
	gauge.nudge()
	gauge.wait(restful)
	begun := time.Now()
	if gauge.wait(20 * time.Millisecond); time.Since(begun) < 20*time.Millisecond {
		t.Error("a nudge ended two waits")
	}
}
