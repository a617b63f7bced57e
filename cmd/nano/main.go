// Command nano runs Workers-style JavaScript apps on io_uring: see README.md, or `nano -h`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"nano/config"
	"nano/logs"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // one line on stderr says why, or one for each problem
	exitUsage  = 2 // wrong command line
)

// command is one subcommand of nano.
type command struct {
	name     string
	synopsis string // after the name
	does     string
	run      func(s *streams, args []string) error // nil: documented, but not in this version
}

// commands are listed in this order. The table is filled by init because help, run from it, reads it.
var commands []command

func init() {
	// V8 must be brought up on the thread that the process began with: see node.go.
	runtime.LockOSThread()
	commands = []command{
		{"serve", "[-c nano.toml]", "run the node in the foreground", runServe},
		{"run", "FILE [--listen 127.0.0.1:8080]", "serve one app from a file or a project's folder", runFile},
		{"dev", "[FILE] [--listen 127.0.0.1:8080]", "serve with rebuild on change and readable errors", runDev},
		{"check", "[-c nano.toml]", "validate configuration, apps, kernel and limits", runCheck},
		{"build", "FILE -o app.nano", "bundle and snapshot an app into one file", runBuild},
		{"apps", "[COMMAND]", "show and change the apps of a running node", runApps},
		{"logs", "[-f] [APP]", "print, or follow, the log of a running node", runLogs},
		{"top", "", "show live what the apps and loops of a running node do", runTop},
		{"reload", "", "make a running node read its nano.toml and apps again", runReload},
		{"upgrade", "[-c nano.toml]", "replace the running node by the program as it is on the disk now", runUpgrade},
		{"types", "[-c nano.toml]", "print TypeScript's types of what apps find in env", runTypes},
		{"completion", "bash|zsh|fish", "print what completes the command line in a shell", runCompletion},
		{"version", "", "print the versions of NANO, V8, Go and the kernel", runVersion},
	}
}

// streams are where a command writes.
type streams struct {
	out, err io.Writer
	// describe is given the flags of a command in the place of running it; nil: it is run.
	describe func(*commandFlags)
}

func main() {
	// A write to a closed pipe is an error of that write, not the end of the node.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(execute(&streams{out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// usageError is a wrong command line.
type usageError struct{ what string }

func (e usageError) Error() string { return e.what }

// execute runs the command line and gives the exit code.
func execute(s *streams, args []string) int {
	if len(args) == 0 {
		printUsage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "-h", "--help", "-help", "help":
		printUsage(s.out)
		return exitOK
	case "-v", "--version", "-version":
		args[0] = "version"
	case builderCommand:
		return runBuilder(s, args[1:])
	case manualCommand:
		return exitCode(s, manualCommand, runManual(s, args[1:]))
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		if c.run == nil {
			printError(s.err, fmt.Errorf("%s: not available in this version: it will %s", c.name, c.does))
			return exitFailed
		}
		return exitCode(s, c.name, c.run(s, args[1:]))
	}
	printError(s.err, fmt.Errorf("unknown command %q: the commands are %s", args[0], strings.Join(commandNames(), ", ")))
	return exitUsage
}

func exitCode(s *streams, name string, err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		printError(s.err, fmt.Errorf("%s: %s: see `nano %s -h`", name, usage.what, name))
		return exitUsage
	default:
		printError(s.err, err)
		return exitFailed
	}
}

// printError prints one line for an error, or one for each problem of a configuration. Apps have a say in some: what
// would move a terminal's cursor is escaped.
func printError(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "nano: %s\n", logs.Printable(strings.TrimSuffix(line, "\n")))
	}
}

func commandNames() []string {
	var names []string
	for _, c := range commands {
		if c.run != nil {
			names = append(names, c.name)
		}
	}
	return names
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "NANO serves Workers-style JavaScript apps on io_uring.\n\nUsage:\n\n")
	for _, c := range commands {
		note := ""
		if c.run == nil {
			note = " (not in this version)"
		}
		fmt.Fprintf(w, "  nano %-38s %s%s\n", strings.TrimSpace(c.name+" "+c.synopsis), c.does, note)
	}
	fmt.Fprint(w, "\n`nano COMMAND -h` tells more of a command. Exit codes: 0 well, 1 failed, 2 wrong command line.\n")
}

// commandFlags are the flags of a command, with its help.
type commandFlags struct {
	*flag.FlagSet
	text     string // what the help tells of the command
	help     func()
	describe func(*commandFlags)
}

// newFlags makes the flag set of a command. text follows the usage line in its help.
func newFlags(s *streams, name, text string) *commandFlags {
	flags := &commandFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), text: text, describe: s.describe}
	flags.SetOutput(io.Discard) // exitCode prints errors in our form
	flags.Usage = func() {}     // the package calls it at every error
	flags.help = func() {
		for _, c := range commands {
			if c.name == name {
				fmt.Fprintf(s.out, "Usage: nano %s\n\n%s\n", strings.TrimSpace(name+" "+c.synopsis), text)
			}
		}
		flags.SetOutput(s.out)
		flags.PrintDefaults()
	}
	return flags
}

// parseFlags reads flags and operands. It wants as many operands as are named.
func parseFlags(flags *commandFlags, args []string, operands ...string) ([]string, error) {
	found, err := parseOperands(flags, args)
	if err != nil {
		return nil, err
	}
	if len(found) < len(operands) {
		return nil, usageError{"no " + operands[len(found)] + " named"}
	}
	if len(found) > len(operands) {
		return nil, usageError{fmt.Sprintf("%q is one argument too many", found[len(operands)])}
	}
	return found, nil
}

// parseOperands reads flags and operands in any order, as users of other commands expect; the flag package by
// itself stops at the first operand.
func parseOperands(flags *commandFlags, args []string) (found []string, err error) {
	if flags.describe != nil {
		flags.describe(flags)
		return nil, flag.ErrHelp
	}
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				flags.help()
				return nil, err
			}
			return nil, usageError{err.Error()}
		}
		rest := flags.Args()
		if len(rest) == 0 {
			break
		}
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			found = append(found, rest...)
			break
		}
		found, args = append(found, rest[0]), rest[1:]
	}
	return found, nil
}

const configFlagHelp = "the configuration `file`"

func runServe(s *streams, args []string) error {
	flags := newFlags(s, "serve", `Runs the node that the configuration describes, in the foreground.

SIGTERM or SIGINT drains it: connections are closed after their answer, and what is not
answered within [server] drain_timeout is cut off. A second signal, a moment later, ends it at once.
SIGHUP reloads it: see "nano reload". SIGUSR2 replaces it by the program on the disk: see "nano upgrade".
SIGUSR1 writes to the log what each app has used: requests, errors, CPU time, memory, starts.
`)
	file := flags.String("c", "nano.toml", configFlagHelp)
	isSuccessor := flags.Bool("upgrade", false, "take the place of the node that runs with this configuration")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	return serve(s, func() (*config.Config, error) { return config.Load(*file) }, *isSuccessor, nil)
}

func runFile(s *streams, args []string) error {
	flags := newFlags(s, "run", `Serves one app, for every host and path, with every limit at its default. FILE is an ES module in
JavaScript or TypeScript that exports { fetch(request, env, ctx) } as its default, a .nano file that
"nano build" wrote, or the folder of a project: with a wrangler.json, wrangler.jsonc or
wrangler.toml, or else with a package.json or a src/index.ts.
`)
	listen := flags.String("listen", "127.0.0.1:8080", "the `address`: host:port, or unix:/path")
	var inspect, breaks inspectFlag
	flags.Var(&inspect, "inspect", "let DevTools and editors debug the app: by 127.0.0.1:9229, or --inspect=`address`")
	flags.Var(&breaks, "inspect-brk", "the same, and wait for a debugger before the app's first line")
	environment := flags.String("env", "", "the `environment` of a project's wrangler.toml")
	operands, err := parseFlags(flags, args, "FILE")
	if err != nil {
		return err
	}
	return serve(s, func() (*config.Config, error) { return loneApp(operands[0], *environment, *listen) }, false, newDebugging(&inspect, &breaks))
}

// loneApp is the configuration of a node with one app: a file, or a project's folder.
func loneApp(main, environment, listen string) (*config.Config, error) {
	info, err := os.Stat(main)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", main, config.WithoutPath(err))
	case info.IsDir():
		return config.Project(main, environment, listen)
	case environment != "":
		return nil, usageError{"--env is for a project's folder"}
	}
	return config.Single(main, listen)
}
