// Command bench runs NANO and its peers (Deno, Bun, workerd, Node) side by side under the same
// loads, on the same cores and in one run, and writes what it found to bench/RESULTS.md and
// bench/results.json, where it takes the place of what was found of the same scenarios before.
//
// Usage, from the repository's root after make build:
//
//	go run ./bench [--scenario plain,json] [--peers nano,bun] [--duration 5s] [--rounds 3] [--quick] [--compare BINARY] [--out FILE]
//
// Without --out, only a complete run is written to bench/RESULTS.md; the report of any other is
// printed. An interrupted run leaves what it had measured by then. Progress goes to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	root, folder string // of the repository, of bench/
	temporary    string // removed at the end
	peers        []peer
	nginx        *peer     // a peer of proxies and static files alone; nil: not installed
	veth         *vethPair // of a scenario that is under way; nil: loopback
	origin       *server   // that proxies ask, once one was needed
	selected     []string  // names of scenarios and checks
	serverCore   string
	clientCore   string
	duration     time.Duration // of a round
	warmUp       time.Duration
	rounds       int
	launches     int
	abuse        int            // abusive requests of each kind
	abuses       []string       // kinds of them
	cases        *regexp.Regexp // of the platform scenario; nil: all
	quick        bool           // small numbers, to see that it works
	out          string         // "": print the report
	binary       string         // path of the build of NANO
	other        string         // path of another one, or ""
}

// helpers are what this program does as another process of its own, by its first argument.
var helpers = map[string]func(arguments []string) error{abuseCommand: runAbuser, originCommand: runOrigin}

func main() {
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		if err := helpers[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run reads the flags, measures, and writes the report.
func run(ctx context.Context, arguments []string) error {
	b, names, err := parseFlags(arguments)
	if err != nil {
		return err
	}
	if len(b.selected) == 0 {
		return b.rewrite()
	}
	if err := checkTools(); err != nil {
		return err
	}
	if err := b.chooseCores(); err != nil {
		return err
	}
	if b.peers, err = findPeers(ctx, b.root, b.binary, names); err != nil {
		return err
	}
	if b.other != "" {
		b.peers = append(b.peers, peer{otherName, b.other, "version", prepareNano})
	}
	if b.temporary, err = os.MkdirTemp("", "nano-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.temporary)
	defer b.stopOrigin()
	b.nginx = findNginx()
	found := &results{}
	if b.out != "" {
		if found, err = loadResults(b.out); err != nil {
			return err
		}
	}
	err = b.measureAll(ctx, found)
	if b.out == "" {
		found.Targets = found.judge()
		fmt.Print(found.markdown("", ""))
	}
	return err
}

// rewrite writes the report anew of what earlier runs found.
func (b *bench) rewrite() error {
	found, err := loadResults(b.out)
	if err != nil {
		return err
	}
	return found.save(b.out)
}

// parseFlags returns a run without its peers, and their names.
func parseFlags(arguments []string) (*bench, []string, error) {
	all := partNames()
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	selected := flags.String("scenario", strings.Join(all, ","), "what to measure; "+noScenario+": nothing, --out is written anew")
	peers := flags.String("peers", strings.Join(peerNames, ","), "whom to measure")
	flags.StringVar(&b.binary, "nano", "bin/nano", "the build of NANO to measure, relative to the repository")
	flags.StringVar(&b.other, "compare", "", "another build of bin/nano, measured as \"other\"")
	duration := flags.Duration("duration", 5*time.Second, "length of a round, in whole seconds")
	rounds := flags.Int("rounds", 3, "rounds of each scenario")
	quick := flags.Bool("quick", false, "one second a round: to see that it works, not to compare")
	flags.IntVar(&b.abuse, "abuse", 200, "abusive requests of each kind in the neighbour scenario; 0: only what they do to the neighbour")
	selectedAbuses := flags.String("abuses", strings.Join(abuses, ","), "kinds of abuse in the neighbour scenario")
	cases := flags.String("cases", "", "a regular expression of the cases of the platform scenario to measure")
	out := flags.String("out", "", "file for the report, and for JSON beside it: what is measured replaces what earlier runs wrote of the same scenario (default bench/RESULTS.md for a complete run)")
	if err := flags.Parse(arguments); err != nil {
		return nil, nil, err
	}
	b.duration, b.rounds, b.warmUp, b.launches, b.out = *duration, *rounds, 2*time.Second, 20, *out
	if b.quick = *quick; b.quick {
		b.duration, b.warmUp, b.launches = time.Second, time.Second, 5
	}
	if b.duration < time.Second || b.rounds < 1 || flags.NArg() > 0 {
		return nil, nil, errors.New("want --duration of at least 1s, --rounds of at least 1, and no further arguments")
	}
	var names []string
	for _, list := range []struct {
		what, given string
		known       []string
		into        *[]string
	}{{"scenario", *selected, append(all, noScenario), &b.selected}, {"abuse", *selectedAbuses, abuses, &b.abuses}, {"peer", *peers, peerNames, &names}} {
		*list.into = strings.Split(list.given, ",")
		for _, name := range *list.into {
			if !slices.Contains(list.known, name) {
				return nil, nil, fmt.Errorf("no %s %q: want some of %s", list.what, name, strings.Join(list.known, ","))
			}
		}
	}
	b.selected = slices.DeleteFunc(b.selected, func(name string) bool { return name == noScenario })
	if *cases != "" {
		var err error
		if b.cases, err = regexp.Compile(*cases); err != nil {
			return nil, nil, err
		}
	}
	if err := b.findPlace(); err != nil {
		return nil, nil, err
	}
	isComplete := len(b.selected) == 0 || !*quick && b.other == "" && b.cases == nil && len(b.selected) == len(all) && len(names) == len(peerNames)
	if b.out == "" && isComplete {
		b.out = filepath.Join(b.folder, "RESULTS.md")
	}
	return b, names, nil
}

// findPlace finds the repository's root.
func (b *bench) findPlace() error {
	output, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	b.root = filepath.Dir(strings.TrimSpace(string(output)))
	b.folder = filepath.Join(b.root, "bench")
	if _, err := os.Stat(filepath.Join(b.folder, "apps")); err != nil {
		return errors.New("run it inside NANO's repository")
	}
	return nil
}

// chooseCores takes one core for the servers and one for wrk.
func (b *bench) chooseCores() error {
	cores, err := allowedCores()
	if err != nil {
		return err
	}
	if len(cores) < 2 {
		return errors.New("two cores are needed, one for the server and one for wrk")
	}
	// The first and the last core are least likely to be two threads of one.
	b.serverCore, b.clientCore = strconv.Itoa(cores[0]), strconv.Itoa(cores[len(cores)-1])
	return nil
}

// measureAll does all that was selected, one part after the other, and writes the report after each, if there is to be
// a file of it. A part that fails is noted, and the others go on.
func (b *bench) measureAll(ctx context.Context, found *results) error {
	this := b.newRun(ctx)
	do := func(name string, measure func(into *results) error) error {
		if !slices.Contains(b.selected, name) {
			return nil
		}
		if err := found.measure(ctx, this, name, measure); err != nil || b.out == "" {
			return err
		}
		return found.save(b.out)
	}
	for _, s := range scenarios() {
		if reason := vethMissing(); s.IsVeth && reason != "" && slices.Contains(b.selected, s.Name) {
			progress("%s is left out: %s", s.Name, reason)
			continue
		}
		err := do(s.Name, func(into *results) error {
			one, err := b.runScenario(ctx, s)
			into.putScenario(one)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, one := range checks {
		if err := do(one.Name, func(into *results) error { return one.measure(ctx, b, into) }); err != nil {
			return err
		}
	}
	return nil
}

// commit names the checked-out version of NANO. What a report is written to does not make it another one.
func (b *bench) commit(ctx context.Context) string {
	git := func(arguments ...string) (string, error) {
		command := exec.CommandContext(ctx, "git", arguments...)
		command.Dir = b.root
		output, err := command.Output()
		return strings.TrimSpace(string(output)), err
	}
	name, err := git("describe", "--always")
	if err != nil {
		return "unknown"
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/*.md", ":!bench/*.json")
	if err != nil || changed != "" {
		name += "-dirty"
	}
	return name
}

// progress tells on standard error what goes on.
func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
