package loop

import (
	"time"

	"nano/cron"
	"nano/http1"
	"nano/isolates"
)

// A CronTrigger calls an app's scheduled() whenever its schedule is due.
type CronTrigger struct {
	Text     string // the expression, which the app is told
	Schedule *cron.Schedule
}

// The first loop of a node watches the clock for all triggers, and hands each firing to one loop: the
// app's home, whichever that is at that moment. From there on a firing is an exchange without a connection, under
// the limits of a request. So there are never two loops for one firing, whatever moves meanwhile.
//
// The clock is that of the wall, which may be set. What was due while the process was down, or the machine
// slept, is not made up for. After a jump forward only what was due in the last minute fires. After a
// jump backward nothing fires a second time, until the clock is where it was; but if that is for longer than
// cronCorrection, the clock was wrong before, and counts as it is now (as with cron(8)).
const (
	cronLate       = int64(time.Minute)
	cronCorrection = int64(3 * time.Hour)
	// cronLook is how long the loop sleeps at the most, since nothing else tells it that the clock was set.
	cronLook = int64(30 * time.Second)
)

// cronState is what the first loop knows of the triggers.
type cronState struct {
	triggers []cronTrigger
	lookAt   int64 // on the loop's clock; never: there are none
	lookedAt int64 // by the wall clock
}

type cronTrigger struct {
	app      *sharedApp
	route    string
	text     []byte
	schedule *cron.Schedule
	next     int64 // by the wall clock, in ns since 1970; 0: not known yet
}

// useTriggers takes the triggers of the loop's routes: those of the first app of each. One that was there before,
// perhaps with another version of its app, is due when it was, so that no firing is lost by a change of routes, and
// none comes twice.
func (l *Loop) useTriggers() {
	s := &l.cron
	s.lookAt = never
	if l.seat != 0 {
		return
	}
	type name struct{ route, text string }
	due := make(map[name]int64, len(s.triggers))
	for i := range s.triggers {
		t := &s.triggers[i]
		due[name{t.route, string(t.text)}] = t.next
	}
	s.triggers = nil
	for i := range l.table.routes {
		r := &l.table.routes[i]
		app := r.targets[0].app
		for _, each := range app.Cron {
			s.triggers = append(s.triggers, cronTrigger{app: app, route: r.name, text: []byte(each.Text), schedule: each.Schedule,
				next: due[name{r.name, each.Text}]})
			s.lookAt = 0
		}
	}
}

// lookAtCron fires what is due.
func (l *Loop) lookAtCron() {
	if l.draining {
		l.cron.lookAt = never
		return
	}
	soonest := l.cron.look(l.wallClock, l.fire)
	l.cron.lookAt = l.now + soonest - l.wallClock
}

// look fires what is due by the wall clock, and tells when to look again.
func (s *cronState) look(wall int64, fire func(t *cronTrigger, due int64)) (soonest int64) {
	wasWrong := wall < s.lookedAt-cronCorrection
	s.lookedAt = wall
	soonest = wall + cronLook
	for i := range s.triggers {
		t := &s.triggers[i]
		if t.next == 0 || wasWrong {
			t.next = t.after(wall)
		}
		if due := t.next; due <= wall {
			if wall-due > cronLate {
				due = t.after(wall - cronLate)
			}
			if due <= wall {
				fire(t, due)
			}
			t.next = t.after(wall)
		}
		soonest = min(soonest, t.next)
	}
	return soonest
}

// after is when a trigger is due next after a time.
func (t *cronTrigger) after(wall int64) int64 {
	return t.schedule.Next(time.Unix(0, wall)).UnixNano()
}

// fire hands a firing to the loop that its app lives on.
func (l *Loop) fire(t *cronTrigger, due int64) {
	f := &firing{app: t.app, text: t.text, timeMS: due / int64(time.Millisecond)}
	if to := l.destination(t.app); to < 0 || !l.post(to, message{kind: messageFiring, firing: f}) {
		l.takeFiring(f)
	}
}

// firingHead stands for the head of the request that a firing does not have.
var firingHead = []byte("GET / HTTP/1.1\r\nhost: scheduled\r\n\r\n")

// takeFiring gives a firing to its app, on this loop.
func (l *Loop) takeFiring(f *firing) {
	if l.draining {
		return // it is as if the node had been down
	}
	if err := l.head.Parse(firingHead, http1.MaxHeadLength); err != nil {
		panic("loop: the head of a firing is malformed: " + err.Error())
	}
	f.loop = l
	l.call(f.app, f, firingHead, nil)
}

// A firing is a trigger that is due: the caller of an exchange without a connection.
type firing struct {
	loop   *Loop
	app    *sharedApp
	text   []byte
	timeMS int64 // for which it was due, since 1970
	none   chain
}

// describe implements caller.
func (f *firing) describe(*isolates.Request) {}

// requestBody implements caller.
func (f *firing) requestBody() (*bodyReader, source) { return nil, nil }

// asked implements caller.
func (f *firing) asked(*exchange) {}

// chain implements caller.
func (f *firing) chain() *chain { return &f.none }

// answered implements caller. That scheduled() has failed was logged by the isolate, with the place in the source.
func (f *firing) answered(_ *isolates.Record, from source, streams, _ bool) {
	if from != nil || streams {
		panic("loop: a firing was answered with a body")
	}
}

// chunk implements caller.
func (f *firing) chunk(*isolates.Record) {}

// finished implements caller.
func (f *firing) finished(*fault) {}

// refused implements caller: a limit was reached, or the app did not start.
func (f *firing) refused(_ int, _ []byte, text string) {
	if w := f.loop.known(f.app); w != nil {
		f.loop.logAbout(w, isolates.LevelError, append(append([]byte("scheduled "), f.text...), ": "+text...))
	}
}
