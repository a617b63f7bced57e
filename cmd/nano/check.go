package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"nano/config"
	"nano/isolates"
	"nano/snapshot"
	"nano/uring"
)

func runCheck(s *streams, args []string) error {
	flags := newFlags(s, "check", `Reads the configuration, starts every app once, and looks at the kernel and at this process's
limits. Prints every problem with its place and its cure; exit code 1 if there is any.
`)
	file := flags.String("c", "nano.toml", configFlagHelp)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	files, err := raiseFileLimit()
	note(err)
	note(uring.Probe())
	node, err := config.Load(*file)
	note(err)
	if node != nil {
		if what, cure := checkFileLimit(files, node.Server.MaxConnections); what != "" {
			note(fmt.Errorf("%s: %s", what, cure))
		}
		note(checkStateDir(node.Server.StateDir))
		note(checkApps(node))
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
			return fmt.Errorf("state_dir %s: %w", dir, withoutPath(err))
		}
		existing = filepath.Dir(existing)
	}
	if err := unix.Access(existing, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("state_dir %s: %w: give nano's user write access, or name another folder", dir, err)
	}
	return nil
}

// checkApps starts every app once, in an isolate that serves nothing. Snapshots that are made on
// the way are thrown away: a check leaves nothing behind.
func checkApps(node *config.Config) error {
	scratch, err := os.MkdirTemp("", "nano-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	runtime, _, err := isolates.LoadRuntime(snapshot.Store{Folder: scratch})
	if err != nil {
		return err
	}
	apps, errs := resolveApps(runtime, node)
	var problems []error
	for i, app := range apps {
		if errs[i] != nil {
			problems = append(problems, errs[i])
			continue
		}
		isolate, err := runtime.NewPool(isolates.PoolOptions{Wake: -1}).Start(app)
		if err != nil {
			problems = append(problems, appError(node, i, err))
			continue
		}
		isolate.Dispose()
	}
	return errors.Join(problems...)
}

// resolveApps reads the modules of every app. Where errs[i] is not nil, app i cannot be started.
func resolveApps(runtime *isolates.Runtime, node *config.Config) (apps []*isolates.App, errs []error) {
	apps, errs = make([]*isolates.App, len(node.Apps)), make([]error, len(node.Apps))
	resolver, err := runtime.NewResolver()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return apps, errs
	}
	defer resolver.Close()
	working, err := os.Getwd()
	if err != nil {
		working = "/" // paths are shown in full then
	}
	for i := range node.Apps {
		app := &node.Apps[i]
		if what := checkMainFile(app.Main); what != nil {
			errs[i] = appError(node, i, fmt.Errorf("main: %s: %w", app.Main, what))
			continue
		}
		bundle, err := resolver.Resolve(app.Main, working)
		if err != nil {
			errs[i] = err
			continue
		}
		apps[i] = runtime.NewApp(isolates.AppOptions{
			Name: app.Name, EnvJSON: string(app.EnvJSON()),
			Limits: isolates.Limits{Heap: uint64(app.Limits.Heap), CPU: app.Limits.CPU},
		}, bundle)
	}
	return apps, errs
}

// checkMainFile tells why a path cannot be an app's main module.
func checkMainFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a file")
	}
	return nil
}

// sourcePlace is how an error begins that names a place in a source file.
var sourcePlace = regexp.MustCompile(`^[^:]+:\d+:\d+: `)

// appError puts where an app's main is configured before an error that does not begin with a place
// in the app's own source.
func appError(node *config.Config, app int, err error) error {
	// What V8 says may have several lines, the stack among them: they stay together.
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " | ")
	at, name := node.Apps[app].MainAt, node.Apps[app].Name
	if sourcePlace.MatchString(text) {
		return errors.New(text)
	}
	if node.File == "" || at.Line == 0 {
		return fmt.Errorf("%s: %s", name, text)
	}
	return fmt.Errorf("%s:%d:%d: app %q: %s", node.File, at.Line, at.Column, name, text)
}
