package loop

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nano/cron"
	"nano/isolates"
	"nano/uring/fakering"
)

func triggers(t testing.TB, texts ...string) (list []CronTrigger) {
	t.Helper()
	for _, text := range texts {
		schedule, err := cron.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, CronTrigger{text, schedule})
	}
	return list
}

// TestCronClock looks at certain times by a wall clock that is set, and sees what fires.
func TestCronClock(t *testing.T) {
	for name, each := range map[string]struct {
		schedule string
		looks    []string
		want     []string
	}{
		"every minute": {"* * * * *", []string{"10:00:30", "10:00:59", "10:01:00", "10:01:30", "10:02:01"}, []string{"10:01", "10:02"}},
		"started at the very minute: that is over": {"0 10 * * *", []string{"10:00:00", "10:00:01"}, nil},
		"held up a little":                         {"* * * * *", []string{"10:00:30", "10:01:50"}, []string{"10:01"}},
		"held up for minutes: only the last":       {"* * * * *", []string{"10:00:30", "10:05:10", "10:06:00"}, []string{"10:05", "10:06"}},
		"slept over it":                            {"5 10 * * *", []string{"10:00:00", "12:00:00"}, nil},
		"slept, and one is just due":               {"*/5 * * * *", []string{"10:00:30", "12:05:20"}, []string{"12:05"}},
		"set back a little: not twice":             {"* * * * *", []string{"10:00:30", "10:01:00", "10:00:50", "10:01:10", "10:02:00"}, []string{"10:01", "10:02"}},
		"set back an hour: not twice": {"*/30 * * * *", []string{"10:10:00", "10:30:00", "09:30:00", "10:00:00", "10:30:00", "11:00:00"},
			[]string{"10:30", "11:00"}},
		"was wrong by half a day": {"*/30 * * * *", []string{"22:10:00", "22:30:00", "10:29:00", "10:30:00"}, []string{"22:30", "10:30"}},
	} {
		s := cronState{triggers: []cronTrigger{{schedule: triggers(t, each.schedule)[0].Schedule}}}
		var fired []string
		for _, look := range each.looks {
			at, err := time.Parse("2006-01-02 15:04:05", "2026-05-05 "+look)
			if err != nil {
				t.Fatal(err)
			}
			soonest := s.look(at.UnixNano(), func(_ *cronTrigger, due int64) {
				fired = append(fired, time.Unix(0, due).UTC().Format("15:04"))
			})
			if wait := time.Duration(soonest - at.UnixNano()); wait <= 0 || wait > time.Duration(cronLook) {
				t.Errorf("%s: at %s it waits for %v", name, look, wait)
			}
		}
		if !slices.Equal(fired, each.want) {
			t.Errorf("%s: %v, want %v", name, fired, each.want)
		}
	}
}

// cronApp answers firings, and keeps them.
func cronApp(fired *[]string, status uint16, pending bool) func(w *fakeWorker, r *fakeRequest) {
	return func(w *fakeWorker, r *fakeRequest) {
		*fired = append(*fired, fmt.Sprintf("%s %s %s", r.method, r.target, time.UnixMilli(r.timeMS).UTC().Format("15:04:05")))
		if status == 0 {
			return // it never ends
		}
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: status, NoBody: true, Pending: pending})
		if pending {
			w.record(isolates.Record{Kind: isolates.KindSettled, ID: r.id})
		}
	}
}

// newCronWorld is a loop with one app that has triggers.
func newCronWorld(t *testing.T, fired *[]string, status uint16, pending bool, texts ...string) *world {
	t.Helper()
	var w *world
	w = newWorld(t, fakering.Config{Seed: 1}, func(o *Options) {
		o.Apps[0].Cron = triggers(t, texts...)
		o.NewShard = shardOf(func(int) (Worker, error) {
			worker := newFakeWorker("demo", cronApp(fired, status, pending))
			if w != nil {
				w.workers = append(w.workers, worker)
			}
			return worker, nil
		})
	})
	return w
}

// TestCronFires: an app that sleeps is woken for each firing, at the right time, with what it was due for, and
// goes to sleep again.
func TestCronFires(t *testing.T) {
	var fired []string
	w := newCronWorld(t, &fired, 200, true, "* * * * *", "*/2 * * * *")
	begun := w.ring.Now()
	w.run(4 * time.Minute)
	minute := begun.UTC().Truncate(time.Minute)
	var want []string
	for {
		if minute = minute.Add(time.Minute); minute.After(begun.Add(4 * time.Minute)) {
			break
		}
		want = append(want, "CRON * * * * * "+minute.Format("15:04:05"))
		if minute.Minute()%2 == 0 {
			want = append(want, "CRON */2 * * * * "+minute.Format("15:04:05"))
		}
	}
	if !slices.Equal(fired, want) {
		t.Errorf("%q\nwant %q", fired, want)
	}
	demo := w.loop.apps[0]
	if demo.counts.Answers[2] != uint64(len(want)) || demo.inHand != 0 || w.loop.exchanges.inUse != 0 || w.loop.called != 0 {
		t.Errorf("answers %v, %d in hand, %d exchanges, %d calls", demo.counts.Answers, demo.inHand, w.loop.exchanges.inUse, w.loop.called)
	}
	w.run(2 * time.Second)
	if w.loop.draining || len(fired) == 0 {
		t.Fatal("nothing fired")
	}
}

// TestCronLimits: a scheduled() that does not end is given up at the wall limit, which the log tells.
func TestCronLimits(t *testing.T) {
	var fired []string
	w := newCronWorld(t, &fired, 0, false, "* * * * *")
	w.loop.options.Background = time.Second
	w.run(time.Minute + 45*time.Second)
	if n := w.log.count("scheduled * * * * *: nano: demo: wall limit exceeded"); n == 0 || n > len(fired) {
		t.Errorf("%d lines for %d firings: %q", n, len(fired), w.log.lines)
	}
	if w.loop.called != 0 {
		t.Errorf("%d calls are left", w.loop.called)
	}
}

// TestCronFails: a start that fails, and a scheduled() that throws.
func TestCronFails(t *testing.T) {
	var fired []string
	w := newCronWorld(t, &fired, 500, false, "* * * * *")
	w.run(time.Minute)
	if len(fired) != 1 || w.loop.apps[0].counts.Answers[5] != 1 {
		t.Errorf("%q, answers %v", fired, w.loop.apps[0].counts.Answers)
	}
	failing := newWorld(t, fakering.Config{Seed: 2}, func(o *Options) {
		o.Apps[0].Cron = triggers(t, "* * * * *")
		o.NewShard = shardOf(func(int) (Worker, error) { return nil, fmt.Errorf("broken") })
	})
	failing.run(time.Minute)
	if failing.log.count("scheduled * * * * *: nano: demo: failed to start") != 1 {
		t.Errorf("%q", failing.log.lines)
	}
}

// TestCronOnce: on a node of several loops each firing runs once, at the home of its app, wherever that is.
func TestCronOnce(t *testing.T) {
	const apps, minutes = 9, 20
	begun := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	var passed atomic.Int64 // seconds
	var mutex sync.Mutex
	fired := map[string]int{} // on which loop
	total := 0
	node, _ := startNode(t, func(o *NodeOptions) {
		o.Loops = 3
		o.Options.Clock = func() time.Time { return begun.Add(time.Duration(passed.Load()) * time.Second) }
		o.Options.Wall = time.Hour // the clock jumps while requests are under way
		o.Options.Apps = nil
		for i := range apps {
			o.Options.Apps = append(o.Options.Apps, App{Name: fmt.Sprint("app", i), Hosts: []string{fmt.Sprint("h", i)}, Cron: triggers(t, "* * * * *")})
		}
		o.Options.NewShard = func(loop, waker int) (Shard, error) {
			return shardOf(func(app int) (Worker, error) {
				return newFakeWorker("x", func(w *fakeWorker, r *fakeRequest) {
					mutex.Lock()
					defer mutex.Unlock()
					total++
					fired[fmt.Sprintf("%d at %d", app, r.timeMS)] = loop
					w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 200, NoBody: true})
				}), nil
			})(loop, waker)
		}
	})
	place, all := node.options.placement, node.options.catalog.apps
	count := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		return len(fired)
	}
	// Until it has looked at the clock once, nothing is due.
	eventually(t, "the first loop has begun", func() bool { node.wakeAll(); return node.loops[0].Stats().Ticks > 2 })
	for minute := range minutes {
		for app := range apps { // its home is another one each minute
			where := all[app].where.Load()
			if where == 0 || !place.change(all[app], where, servedBy((app+minute)%3)) {
				place.change(all[app], 0, servedBy(app%3))
			}
		}
		passed.Add(60)
		node.wakeAll()
		eventually(t, "the firings of a minute", func() bool { return count() == (minute+1)*apps })
		due := begun.Add(time.Duration(minute+1) * time.Minute).Truncate(time.Minute).UnixMilli()
		for app := range apps {
			mutex.Lock()
			at, ok := fired[fmt.Sprintf("%d at %d", app, due)]
			mutex.Unlock()
			if home := homeOf(all[app].where.Load()); !ok || at != home {
				t.Fatalf("minute %d of app %d: on loop %d (%v), its home is %d", minute, app, at, ok, home)
			}
		}
	}
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	if total != minutes*apps {
		t.Errorf("%d firings ran, %d were due", total, minutes*apps)
	}
}
