package loop

import (
	"fmt"
	"slices"
)

// An app is removed in steps, none of which a request notices:
//
//  1. It must not be a target of any route. Every loop reads its mail up to there: then whatever was routed to the
//     app is with it, or posted.
//  2. Each loop lets the app finish what it has in hand: requests, their waitUntil work, streams, I/O objects,
//     WebSockets among them. From here on connections to origins are closed after use instead of kept. Then the
//     isolate is disposed of. When the app's sockets are closed, and what Go computes for it has come back, the
//     loop forgets it.
//  3. At the end of the context the rest is cut: requests whose answers have not begun get status 503, streams end
//     visibly broken, WebSockets are closed with code 1001.
//  4. What the loops share is given back: its home, files, and last its id.

// beginRemoval takes step 1: the change is done when every loop has.
func (c *catalog) beginRemoval(id int) (*sharedApp, *change, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	app, err := c.get(id)
	switch {
	case err != nil:
		return nil, nil, err
	case app.isLeaving:
		return nil, nil, fmt.Errorf("loop: app %d (%s) is being removed already", id, app.Name)
	case c.table.leadsTo(app):
		return nil, nil, fmt.Errorf("loop: app %d (%s) is still a target of route %s", id, app.Name, c.table.names(app))
	}
	app.isLeaving = true
	return app, c.tell(&change{kind: changeNothing}), nil
}

// letGo takes step 2: the change is done when every loop has forgotten the app.
func (c *catalog) letGo(app *sharedApp) *change {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	app.isGone.Store(true)
	return c.tell(&change{kind: changeRemove, app: app})
}

// sharesFiles reports whether another app has the same folder of static files.
func (c *catalog) sharesFiles(app *sharedApp) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.ContainsFunc(c.apps, func(other *sharedApp) bool {
		return other != nil && other != app && other.Static == app.Static
	})
}

// forget makes an id free that no loop knows any more.
func (c *catalog) forget(app *sharedApp) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.apps[app.id] = nil
	c.free = append(c.free, app.id)
	c.live.Add(-1)
}

// vacate takes an app's home away that no loop knows any more.
func (p *placement) vacate(app *sharedApp) {
	for where := app.where.Load(); where != 0 && !p.change(app, where, 0); {
		where = app.where.Load()
	}
}

// The loop's side

// remove begins to let go of an app.
func (l *Loop) remove(w *appWorker, m *change) {
	w.removal = m
	l.leaving = append(l.leaving, w)
	l.closeIdleOrigins(w)
}

// tendLeaving forgets the apps that have nothing in hand any more.
func (l *Loop) tendLeaving() {
	kept := l.leaving[:0]
	for _, w := range l.leaving {
		if l.hasLeft(w) {
			l.forget(w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(l.leaving[len(kept):])
	l.leaving = kept
}

// hasLeft reports whether nothing of an app is left here but its books.
func (l *Loop) hasLeft(w *appWorker) bool {
	if w.isCut {
		return true
	}
	if !w.isIdle() {
		return false
	}
	if w.isolate != nil {
		l.sleep(w)
	}
	return w.endpoints == 0 && w.works == 0
}

// cut ends what an app has in hand that is being removed. It is forgotten at the end of the tick. Sockets may take
// longer to be closed, and Go to end what it computes; that is not waited for.
func (l *Loop) cut(w *appWorker) {
	w.isCut = true
	l.endAll(w, 503, "", "nano: "+w.name+": the app was removed")
}

// forget takes an app off the loop's books.
func (l *Loop) forget(w *appWorker) {
	l.tellWakers(w, errRemoved)
	for _, list := range []*[]*appWorker{&l.waking, &l.unfinished, &l.unprepared, &l.retired, &l.runnable,
		&l.slowed, &l.waitingForSlow, &l.meter.active, &l.meter.further} {
		*list = without(*list, w)
	}
	if l.neighbours.last == w {
		l.neighbours.last = nil
	}
	if l.neighbours.previous == w {
		l.neighbours.previous = nil
	}
	l.timeouts.leaveWall(w.wall)
	l.bury(w)
	l.apps[w.app] = nil
	w.removal.finished()
}

// closeIdleOrigins closes the connections of an app that wait for use.
func (l *Loop) closeIdleOrigins(w *appWorker) {
	var idle []*origin
	for key, o := range l.origins.byKey {
		if key.app == w {
			idle = append(idle, o)
		}
	}
	for _, o := range idle {
		for o.idle != nil {
			o.idle.close()
		}
		for _, c := range slices.Clone(o.shared) {
			if c.isIdle {
				c.close()
			}
		}
	}
}
