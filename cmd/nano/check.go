package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"nano/apps"
	"nano/bundle"
	"nano/config"
	"nano/isolates"
	"nano/snapshot"
	"nano/uring"
)

func runCheck(s *streams, args []string) error {
	flags := newFlags(s, "check", `Reads the configuration, starts and snapshots every app once, and looks at the kernel and at this
process's limits. Prints every problem with its place and its cure; exit code 1 if there is any.
Notes are no problems: they name apps that cannot be snapshotted, with the place in their source.
Leaves nothing behind.
`)
	file := flags.String("c", "nano.toml", configFlagHelp)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	var problems []error
	var notes []string
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	files, err := raiseFileLimit()
	note(err)
	note(uring.Probe())
	node, err := config.Inspect(*file)
	note(err)
	if node != nil {
		if what, cure := checkFileLimit(files, node.Server.MaxConnections); what != "" {
			note(fmt.Errorf("%s: %s", what, cure))
		}
		note(checkStateDir(node.Server.StateDir))
		note(checkFolders(node))
		notes, err = checkApps(node)
		note(err)
		for _, warning := range node.Warnings {
			notes = append(notes, warning.Error())
		}
	}
	for _, text := range notes {
		fmt.Fprintf(s.out, "note: %s\n", text)
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: no problems: %s\n", *file, count(len(node.Apps), "app"))
	fmt.Fprintf(s.out, "%s, io_uring works; %d open files, %s of locked memory\n", kernelRelease(), files, lockedMemoryLimit())
	return nil
}

// count is "1 app" or "2 apps".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// checkStateDir tells whether the folder can be used, or made, without making it.
func checkStateDir(dir string) error {
	existing := dir
	for {
		info, err := os.Stat(existing)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("state_dir %s: %s is not a folder: name another folder", dir, existing)
		}
		if err == nil {
			break
		}
		if existing == filepath.Dir(existing) {
			return fmt.Errorf("state_dir %s: %w", dir, config.WithoutPath(err))
		}
		existing = filepath.Dir(existing)
	}
	if err := unix.Access(existing, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("state_dir %s: %w: give nano's user write access, or name another folder", dir, err)
	}
	return nil
}

// checkFolders tells whether the folders of static files are there.
func checkFolders(node *config.Config) error {
	var problems []error
	for i := range node.Apps {
		folder, err := openFolder(node.File, &node.Apps[i])
		problems = append(problems, err)
		if folder != nil {
			folder.Close()
		}
	}
	return errors.Join(problems...)
}

// checkApps has every app built, as a node would do, and thrown away: a check leaves nothing behind.
// What a node has built before is not built again. notes are what is worth knowing and no problem.
func checkApps(node *config.Config) (notes []string, err error) {
	w, err := newWorkshop()
	if err != nil {
		return nil, err
	}
	defer w.close()
	w.built = imageStore(node)
	w.bundler = &apps.Bundler{Cache: bundleCache(node), ReadOnly: true, BytesMax: node.Server.MaxBundle}
	var problems []error
	for i := range node.Apps {
		app := &node.Apps[i]
		_, reply, err := w.build(app, app.Warmup)
		if err != nil {
			problems = append(problems, explain(node, i, err))
			continue
		}
		if reply.Reason != "" {
			notes = append(notes, fmt.Sprintf("%s: starts from its source, because it cannot be snapshotted: %s", app.Name, oneLine(reply.Reason)))
		}
		if reply.WarmUpNote != "" {
			notes = append(notes, fmt.Sprintf("%s: is not warmed up: %s", app.Name, oneLine(reply.WarmUpNote)))
		}
		for _, line := range reply.Log {
			notes = append(notes, fmt.Sprintf("%s: logs at its top level: %s", app.Name, oneLine(line.Text)))
		}
	}
	return notes, errors.Join(problems...)
}

// imageStore is where a node keeps snapshots.
func imageStore(node *config.Config) snapshot.Store {
	return snapshot.Store{Folder: filepath.Join(node.Server.StateDir, "snapshots")}
}

// bundleCache is where a node keeps bundles.
func bundleCache(node *config.Config) bundle.Cache {
	return bundle.Cache{Folder: filepath.Join(node.Server.StateDir, "bundles")}
}

// workshop builds apps for commands that serve nothing. What it needs of a store is gone when it is
// closed.
type workshop struct {
	scratch  string
	runtime  *isolates.Runtime
	resolver *isolates.Resolver
	builder  *apps.Builder
	bundler  *apps.Bundler // nil: one that keeps nothing
	base     string
	built    snapshot.Store // of images that need not be built; the zero Store: none
}

func newWorkshop() (*workshop, error) {
	scratch, err := os.MkdirTemp("", "nano-")
	if err != nil {
		return nil, err
	}
	w := &workshop{scratch: scratch, base: workingFolder()}
	store := snapshot.Store{Folder: scratch}
	w.builder = newBuilder(store)
	if w.runtime, _, err = isolates.LoadRuntime(store); err == nil {
		w.resolver, err = w.runtime.NewResolver()
	}
	if err != nil {
		os.RemoveAll(scratch)
		return nil, err
	}
	return w, nil
}

func (w *workshop) close() {
	w.builder.Rest()
	w.resolver.Close()
	os.RemoveAll(w.scratch)
}

// appProblem is what is wrong with an app, rather than with this machine.
type appProblem struct{ error }

// build builds one app, in a builder process. The reply has no image if it was built before.
func (w *workshop) build(configured *config.App, warmup string) (source apps.Source, reply apps.Reply, err error) {
	app := apps.App{Main: configured.Main, Bundling: apps.BundlingOf(configured)}
	app.Name, app.Warmup = configured.Name, warmup
	source, err = apps.ReadSource(w.runtime, w.resolver, w.bundler, &app, w.base)
	if err != nil {
		return source, reply, err
	}
	if w.built.Folder != "" {
		image, err := w.runtime.Image(func() (*snapshot.File, error) { return w.built.Load(source.Key) })
		if err == nil {
			return source, apps.Reply{Reason: image.Reason(), WarmUpNote: image.WarmUpNote(), Log: image.Log()}, nil
		}
	}
	reply, err = w.builder.BuildImage(apps.Request{Name: app.Name, Warmup: source.Warmup, Bundle: source.Bundle.Encode()})
	if err == nil && reply.Problem != "" {
		err = appProblem{errors.New(reply.Problem)}
	}
	return source, reply, err
}

// workingFolder is what paths are shown relative to.
func workingFolder() string {
	working, err := os.Getwd()
	if err != nil {
		return "/" // paths are shown in full then
	}
	return working
}

// explain puts where an app is configured before errors that do not name a place in its source: about
// its main file, and those of V8 without a place. Those of modules name theirs, a line each.
func explain(node *config.Config, app int, err error) error {
	if app < 0 { // it was uploaded: nothing says where
		return err
	}
	var main *apps.MainError
	var problem appProblem
	if errors.As(err, &main) || errors.As(err, &problem) {
		return appError(node, app, err)
	}
	return err
}

// sourcePlace is how an error begins that names a place in a source file.
var sourcePlace = regexp.MustCompile(`^[^:]+:\d+:\d+: `)

// appError puts where an app's main is configured before an error that does not begin with a place
// in the app's own source.
func appError(node *config.Config, app int, err error) error {
	text := oneLine(err.Error())
	at, name := node.Apps[app].MainAt, node.Apps[app].Name
	if sourcePlace.MatchString(text) {
		return errors.New(text)
	}
	if node.File == "" || at.Line == 0 {
		return fmt.Errorf("%s: %s", name, text)
	}
	return fmt.Errorf("%s:%d:%d: app %q: %s", node.File, at.Line, at.Column, name, text)
}

// oneLine keeps together what V8 says in several lines, the stack among them.
func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", " | ") }
