package loop

import (
	"context"
	"errors"
	"fmt"
)

var errRemoved = errors.New("the app was removed")

// wait waits until all loops have made a change. ErrEnded: they have ended meanwhile.
func (n *Node) wait(ctx context.Context, m *change) error {
	select {
	case <-m.done: // even if ctx has ended
		return nil
	default:
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.over:
		return ErrEnded
	}
}

// AddApp adds an app to a running node, and returns its id, which Shard.Start gets. Nothing is asked of it until
// there is a route to it, but by Probe and Wake. Of what App says about routes only Path matters here: where its
// static files begin.
func (n *Node) AddApp(app App) (id int, err error) {
	if n.options.NewShard == nil {
		return 0, errors.New("loop: no NewShard")
	}
	app = n.options.appWithDefaults(app)
	return int(n.options.catalog.add(&app).id), nil
}

// SetRoutes replaces all routes of a running node. When it returns without an error all loops use the new ones, and
// each began to do so between two requests; those that were in hand stay with the app that they were routed to. An
// error says what is wrong with the routes, and nothing has changed; but that of ctx, after whose end the loops
// still go over to the new routes.
func (n *Node) SetRoutes(ctx context.Context, routes []Route) error {
	m, err := n.options.catalog.setTable(n.options.placement, routes)
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	return n.wait(ctx, m)
}

// RemoveApp removes an app to which no route leads. It returns when the app has ended what it had in hand:
// requests, waitUntil work, streams and WebSockets included. At the end of ctx the rest is cut; that is no error.
// Then no loop knows the app any more: its isolates are disposed of, its connections are closed, and nothing looks
// into its Static folder, which the caller may close. Its id may be given to another app from then on, not before
// App.Removed has returned.
func (n *Node) RemoveApp(ctx context.Context, id int) error {
	c := n.options.catalog
	app, barrier, err := c.beginRemoval(id)
	if err != nil {
		return err
	}
	never := context.Background()
	_ = n.wait(never, barrier) // however short ctx is: each loop only has to end its tick
	m := c.letGo(app)
	if err := n.wait(ctx, m); err != nil && ctx.Err() != nil {
		c.tellAll(&change{kind: changeCut, app: app})
		_ = n.wait(never, m)
	}
	n.options.placement.vacate(app)
	if app.Static != nil && !c.sharesFiles(app) {
		n.options.files.forget(ctx, app.Static)
	}
	if app.Removed != nil {
		app.Removed(id)
	}
	c.forget(app)
	return nil
}

// tellHome gives a change to the loop on which an app lives, or is to live.
func (n *Node) tellHome(app *sharedApp, m *change) {
	p := n.options.placement
	m.begin(1)
	m.post(p.seats[p.house(app, n.options.catalog.predecessor(app))].loop.Load())
}

// Probe sends GET path to an app, as if a service had called it, on the loop on which the app lives. It wakes the
// app, which stays awake as it does after any request. It returns the status of the answer, whose body is not
// looked at. An error says why there is none of the app's own, such as that it does not start; status is then what
// a client would have got, or 0.
func (n *Node) Probe(ctx context.Context, id int, path string) (status int, err error) {
	app, err := n.options.catalog.find(id)
	if err != nil {
		return 0, err
	}
	p, err := newProbe(app, path)
	if err != nil {
		return 0, err
	}
	p.change = &change{kind: changeProbe, app: app, probe: p}
	n.tellHome(app, p.change)
	if err := n.wait(ctx, p.change); err != nil {
		return 0, err
	}
	if p.loop == nil { // the loop has ended before
		return 0, ErrEnded
	}
	return p.status, p.err
}

// Wake starts an app's isolate on the loop on which the app lives, unless it is awake there. The error says why it
// does not start.
func (n *Node) Wake(ctx context.Context, id int) error {
	app, err := n.options.catalog.find(id)
	if err != nil {
		return err
	}
	m := &change{kind: changeWake, app: app}
	n.tellHome(app, m)
	if err := n.wait(ctx, m); err != nil {
		return err
	}
	return m.err
}

// Sleep disposes of an app's isolates, on all loops. False: on some loop it has something in hand, and stays awake.
func (n *Node) Sleep(ctx context.Context, id int) (slept bool, err error) {
	app, err := n.options.catalog.find(id)
	if err != nil {
		return false, err
	}
	m := n.options.catalog.tellAll(&change{kind: changeSleep, app: app})
	if err := n.wait(ctx, m); err != nil {
		return false, err
	}
	return !m.isAwake.Load(), nil
}
