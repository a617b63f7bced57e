package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"nano/loop"
)

// OtherApps is the label value of the apps that have no series of their own, added up. No app can be called
// so: names have no underscores.
const OtherApps = "_other"

// A ledger makes counters that only grow of accounts that come and go. An app's accounts are those of its
// versions; a version that is removed takes its own along, and which apps have series of their own changes. A
// counter that fell would look to Prometheus like one of a restarted process, and its whole value like new.
type ledger struct {
	appsMax  int
	versions map[versionKey]*version
	apps     map[string]*app
	other    loop.AppStats // what came while apps had no series of their own
	scrape   uint64
}

type versionKey struct{ name, version string }

// version is what was seen of a version's accounts last.
type version struct {
	counts loop.AppCounts
	cpu    time.Duration
	scrape uint64
}

// app is one app of all its versions.
type app struct {
	total   loop.AppStats  // counters ever since, gauges of now
	isNamed bool           // it has series of its own
	since   *loop.AppStats // what has come since the last scrape, if it had none; nil: nothing
	scrape  uint64
}

func newLedger(appsMax int) *ledger {
	return &ledger{appsMax: appsMax, versions: map[versionKey]*version{}, apps: map[string]*app{}}
}

// enter takes the accounts of now down. It returns those to show, in the order of their names, and the sum of
// all others; nil: there are none. They are the ledger's, until its next call.
func (l *ledger) enter(accounts []loop.AppStats) (named []*loop.AppStats, other *loop.AppStats) {
	l.scrape++
	for i := range accounts {
		l.enterVersion(&accounts[i])
	}
	for key, v := range l.versions {
		if v.scrape != l.scrape {
			delete(l.versions, key)
		}
	}
	for name, a := range l.apps {
		if a.scrape != l.scrape {
			delete(l.apps, name)
		}
	}
	l.choose()
	l.other.Name = OtherApps
	forget(&l.other)
	for _, a := range l.apps {
		if a.isNamed {
			named = append(named, &a.total)
		} else {
			other = &l.other
			addGauges(other, &a.total)
			if a.since != nil {
				other.Add(a.since)
			}
		}
		a.since = nil
	}
	slices.SortFunc(named, func(a, b *loop.AppStats) int { return strings.Compare(a.Name, b.Name) })
	if other == nil && l.other.AppCounts != (loop.AppCounts{}) {
		other = &l.other // there were some
	}
	return named, other
}

// enterVersion adds what has come since the last time to the app of a version.
func (l *ledger) enterVersion(now *loop.AppStats) {
	a := l.apps[now.Name]
	if a == nil {
		a = &app{}
		a.total.Name = now.Name
		l.apps[now.Name] = a
	}
	if a.scrape != l.scrape {
		a.scrape = l.scrape
		forget(&a.total)
	}
	addGauges(&a.total, now)
	if now.CPU == 0 && now.AppCounts == (loop.AppCounts{}) {
		return // most apps of a large node sleep: they take no place here
	}
	key := versionKey{now.Name, ""}
	v := l.versions[key]
	if v == nil {
		v = &version{}
		l.versions[key] = v
	}
	if now.Requests < v.counts.Requests || now.CPU < v.cpu {
		*v = version{} // it was removed and came again meanwhile
	}
	since := loop.AppStats{AppCounts: now.AppCounts, CPU: now.CPU - v.cpu}
	since.AppCounts.Sub(&v.counts)
	a.total.Add(&since)
	if !a.isNamed {
		if a.since == nil {
			a.since = &loop.AppStats{}
		}
		a.since.Add(&since)
	}
	*v = version{counts: now.AppCounts, cpu: now.CPU, scrape: l.scrape}
}

// choose gives series to the apps with the most requests. One that has them keeps them until another one has
// had twice as many requests, so that series do not come and go.
func (l *ledger) choose() {
	var named, others []*app
	for _, a := range l.apps {
		if a.isNamed {
			named = append(named, a)
		} else {
			others = append(others, a)
		}
	}
	byRequests := func(a, b *app) int {
		return cmp.Or(cmp.Compare(b.total.Requests, a.total.Requests), strings.Compare(a.total.Name, b.total.Name))
	}
	slices.SortFunc(others, byRequests)
	for len(others) != 0 && len(named) < l.appsMax {
		others[0].isNamed = true
		named, others = append(named, others[0]), others[1:]
	}
	slices.SortFunc(named, byRequests)
	for len(others) != 0 && len(named) != 0 {
		last := named[len(named)-1]
		if others[0].total.Requests <= 2*last.total.Requests+replaceMin {
			return
		}
		last.isNamed, others[0].isNamed = false, true
		named, others = named[:len(named)-1], others[1:]
	}
}

// replaceMin is how many more requests, too, an app must have had for the place of another one.
const replaceMin = 100

// forget sets gauges to 0.
func forget(a *loop.AppStats) {
	a.InHand, a.Warm, a.Resident, a.Heap = 0, 0, 0, loop.AppStats{}.Heap
}

// addGauges adds what is so now, and is no counter.
func addGauges(a, b *loop.AppStats) {
	a.InHand += b.InHand
	a.Warm += b.Warm
	a.Resident += b.Resident
	a.Heap.Add(&b.Heap)
}
