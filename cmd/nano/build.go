package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"nano/apps"
	"nano/config"
	"nano/isolates"
	"nano/snapshot"
)

func runBuild(s *streams, args []string) error {
	flags := newFlags(s, "build", `Bundles an app and snapshots it into one file, which "main" in nano.toml and "nano run" accept. It
starts without building on a node of the same version, and is rebuilt from its own bundle by others.
FILE is an ES module in JavaScript or TypeScript that exports { fetch(request, env, ctx) } as its
default, such a file, or the folder of a project, as for "nano run".
`)
	output := flags.String("o", "", "the `file` to write, app.nano for example")
	warmup := flags.String("warmup", "", "`path` of a GET request that the app answers once before it is snapshotted")
	environment := flags.String("env", "", "the `environment` of a project's wrangler.toml")
	minify := flags.Bool("minify", false, "make the code short: places in errors and logs stay those of the sources")
	operands, err := parseFlags(flags, args, "FILE")
	if err != nil {
		return err
	}
	if *output == "" {
		return usageError{"no -o app.nano named"}
	}
	if extension := filepath.Ext(*output); extension != apps.BuiltExtension {
		return usageError{fmt.Sprintf("-o %s: the file must end in %s", *output, apps.BuiltExtension)}
	}
	if err := config.CheckWarmup(*warmup); err != nil {
		return usageError{"-warmup: " + err.Error()}
	}
	// What can be built is what can be run.
	single, err := loneApp(operands[0], *environment, "127.0.0.1:0")
	if err != nil {
		return err
	}
	for _, warning := range single.Warnings {
		fmt.Fprintf(s.err, "nano: %s\n", warning.Error())
	}
	app := &single.Apps[0]
	if *minify && filepath.Ext(app.Main) == apps.BuiltExtension {
		return usageError{fmt.Sprintf("--minify: %s is built: build it from its sources", operands[0])}
	}
	app.Bundling.Minify = app.Bundling.Minify || *minify
	w, err := newWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	w.bundler = &apps.Bundler{Cache: bundleCache(single), ReadOnly: true, BytesMax: single.Server.MaxBundle}
	source, reply, err := w.build(app, *warmup)
	if err != nil {
		return explain(single, 0, err)
	}
	if err := apps.WriteBuilt(*output, source, reply.Image); err != nil {
		return fmt.Errorf("%s: %w", *output, config.WithoutPath(err))
	}
	describeBuilt(s, *output, source, reply)
	return nil
}

func describeBuilt(s *streams, output string, source apps.Source, reply apps.Reply) {
	what := "snapshot"
	if reply.Reason != "" {
		what = "code cache"
		fmt.Fprintf(s.err, "nano: it will start from its source, because it cannot be snapshotted: %s\n", oneLine(reply.Reason))
	}
	if reply.WarmUpNote != "" {
		fmt.Fprintf(s.err, "nano: it is not warmed up: %s\n", oneLine(reply.WarmUpNote))
	}
	for _, line := range reply.Log {
		fmt.Fprintf(s.err, "nano: it logs at its top level: %s\n", oneLine(line.Text))
	}
	fmt.Fprintf(s.out, "%s: %s and %s, %d KiB\n", output, count(len(source.Bundle.Files()), "module"), what, (len(reply.Image)+1023)>>10)
}

// builderCommand is the name of the command that a builder process runs. It is not for users.
const builderCommand = "builder"

// newBuilder makes a builder whose processes are this program: the very same, even if its file was
// replaced since.
func newBuilder(store snapshot.Store) *apps.Builder {
	return &apps.Builder{Command: func() *exec.Cmd {
		command := exec.Command("/proc/self/exe", builderCommand, store.Folder)
		command.Args[0] = os.Args[0] // for whoever lists processes
		return command
	}}
}

// newBundler makes what bundles the apps of a node, in processes of its own if isApart.
func newBundler(c *config.Config, logger *slog.Logger, isApart bool) *apps.Bundler {
	bundler := &apps.Bundler{Cache: bundleCache(c), BytesMax: c.Server.MaxBundle, Logger: logger}
	if isApart {
		bundler.Builder = newBuilder(snapshot.Store{Folder: onlyBundles})
	}
	return bundler
}

// onlyBundles stands for the folder of a builder process that only bundles, and does without V8.
const onlyBundles = "-"

// runBuilder is the life of a builder process: it builds the images of apps as it is told on its
// standard input, or bundles them. Its argument is the folder of the store that has the runtime snapshot,
// or onlyBundles.
func runBuilder(s *streams, args []string) int {
	err := usageError{"a node starts this command by itself"}
	if len(args) != 1 {
		printError(s.err, err)
		return exitUsage
	}
	if args[0] == onlyBundles {
		return serveBuilder(s, apps.ServeBundle)
	}
	runtime, _, loadErr := isolates.LoadRuntime(snapshot.Store{Folder: args[0]})
	if loadErr != nil {
		printError(s.err, loadErr)
		return apps.ExitUnusable
	}
	return serveBuilder(s, apps.BuildFor(runtime))
}

func serveBuilder(s *streams, handle func(*apps.Request) apps.Reply) int {
	if err := apps.ServeBuilder(handle); err != nil {
		printError(s.err, fmt.Errorf("%s: %s", builderCommand, strings.TrimSpace(err.Error())))
		return apps.ExitUnusable
	}
	return exitOK
}
