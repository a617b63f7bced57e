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

// A ledger makes counters that only grow of accounts that come and go. An app's accounts are those of its versions,
// and of those that it had; which apps have series of their own changes. A counter that fell would look to
// Prometheus like one of a restarted process, and its whole value like new.
type ledger struct {
	appsMax int
	apps    map[string]*app
	other   loop.AppStats // what came while apps had no series of their own
	scrape  uint64
}

// app is one app, with all its versions.
type app struct {
	now     loop.AppStats // accounts of this scrape
	counted counted       // those of the last one
	isNamed bool          // it has series of its own
	isGone  bool          // only the accounts of its versions are left: it was removed
	scrape  uint64        // the last one that it was in
}

// counted is what only grows of an app's accounts.
type counted struct {
	counts loop.AppCounts
	cpu    time.Duration
}

func newLedger(appsMax int) *ledger {
	return &ledger{appsMax: appsMax, apps: map[string]*app{}}
}

// enter takes the accounts of now down, those of versions and of versions that are gone. It returns the ones to show,
// in the order of their names, and the sum of all others; nil: there are none. They are the ledger's, until its next
// call.
func (l *ledger) enter(accounts, gone []loop.AppStats) (named []*loop.AppStats, other *loop.AppStats) {
	l.scrape++
	for i := range accounts {
		l.take(&accounts[i], false)
	}
	for i := range gone {
		if gone[i].Name != "" { // or else it is of apps that are long gone, which were counted by their names
			l.take(&gone[i], true)
		}
	}
	for name, a := range l.apps {
		if a.scrape != l.scrape {
			delete(l.apps, name)
		}
	}
	l.choose()
	l.other = loop.AppStats{Name: OtherApps, AppCounts: l.other.AppCounts, CPU: l.other.CPU}
	others := 0
	for _, a := range l.apps {
		if a.isNamed {
			named = append(named, &a.now)
		} else {
			if !a.isGone {
				others++
			}
			l.other.Add(new(a.since()))
		}
		a.counted = counted{a.now.AppCounts, a.now.CPU}
	}
	slices.SortFunc(named, func(a, b *loop.AppStats) int { return strings.Compare(a.Name, b.Name) })
	if others != 0 || l.other.AppCounts != (loop.AppCounts{}) { // there are some, or were
		other = &l.other
	}
	return named, other
}

// take adds accounts to those of their app. Of one that was removed they are kept in mind as long as the loops tell
// them: so nothing is lost that came after the last scrape, nor counted again should the app come back.
func (l *ledger) take(accounts *loop.AppStats, isGone bool) {
	a := l.apps[accounts.Name]
	if a == nil {
		a = &app{}
		l.apps[accounts.Name] = a
	}
	if a.scrape != l.scrape {
		a.scrape, a.isGone, a.isNamed = l.scrape, isGone, a.isNamed && !isGone
		a.now = loop.AppStats{Name: accounts.Name}
	}
	a.now.Add(accounts)
}

// since is what is so now, and has been counted since the last scrape.
func (a *app) since() loop.AppStats {
	since := a.now
	if a.now.Requests >= a.counted.counts.Requests && a.now.CPU >= a.counted.cpu { // else it was removed and added again
		since.AppCounts.Sub(&a.counted.counts)
		since.CPU -= a.counted.cpu
	}
	return since
}

// choose gives series to the apps with the most requests. One that has them keeps them until another one has
// had twice as many requests, so that series do not come and go.
func (l *ledger) choose() {
	var named, others []*app
	for _, a := range l.apps {
		switch {
		case a.isNamed:
			named = append(named, a)
		case !a.isGone:
			others = append(others, a)
		}
	}
	byRequests := func(a, b *app) int {
		return cmp.Or(cmp.Compare(b.now.Requests, a.now.Requests), strings.Compare(a.now.Name, b.now.Name))
	}
	slices.SortFunc(others, byRequests)
	for len(others) != 0 && len(named) < l.appsMax {
		others[0].isNamed = true
		named, others = append(named, others[0]), others[1:]
	}
	slices.SortFunc(named, byRequests)
	for len(others) != 0 && len(named) != 0 {
		last := named[len(named)-1]
		if others[0].now.Requests <= 2*last.now.Requests+replaceMin {
			return
		}
		last.isNamed, others[0].isNamed = false, true
		named, others = named[:len(named)-1], others[1:]
	}
}

// replaceMin is how many more requests, too, an app must have had for the place of another one.
const replaceMin = 100
