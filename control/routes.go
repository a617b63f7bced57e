package control

// Route says which versions of an app answer requests for some hosts and paths.
type Route struct {
	Name    string
	Hosts   []string
	Path    string
	Targets []Target
}

// Target is one app of the loops that a Route leads to.
type Target struct{ App, Weight int }

const weightMax = 1 << 20
