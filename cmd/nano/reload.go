package main

import "context"

// reload is for SIGHUP, which nobody waits for. It logs what it does.
func (n *node) reload() {
	_, _ = n.Reload(context.Background())
}

// reloading tells the service manager that a reload begins, and done that it has ended.
func (n *node) reloading() (done func()) {
	n.manager.Reloading("reloading")
	return func() {
		n.admin.reloaded(n.Config())
		text, _ := n.health(context.Background())
		n.manager.Ready(text)
	}
}
