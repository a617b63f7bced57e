// Command bench runs NANO and its peers (Deno, Bun, workerd, Node) side by side under the same
// loads, on the same cores and in one run, and writes what it found to bench/RESULTS.md and
// bench/results.json.
//
// Usage, from the repository's root after make build:
//
//	go run ./bench [--scenario plain,json] [--peers nano,bun] [--duration 5s] [--rounds 3] [--quick] [--compare BINARY] [--out FILE]
//
// Without --out, only a complete run is written to bench/RESULTS.md; the report of any other is
// printed. Progress goes to standard error.
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

// checkNames are the measurements that are no load scenarios.
var checkNames = []string{
	"platform", "transform100m", "websocket", "giga", "pending10k",
	"loops", "launch", "wakeups", "memory", "coldstart", "density", "zipf", "neighbour", "isolation", "active1000", "observe", "reload", "soak", "dev", "weight", "micro",
}

// bench is one run.
type bench struct {
	root, folder string // of the repository, of bench/
	temporary    string // removed at the end
	peers        []peer
	nginx        *peer    // a peer of proxies and static files alone; nil: not installed
	origin       *server  // that proxies ask, once one was needed
	selected     []string // names of scenarios and checks
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
	found, err := b.measureAll(ctx)
	if err != nil {
		return err
	}
	if b.out == "" {
		fmt.Print(found.markdown())
		return nil
	}
	encoded, err := found.encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(jsonPath(b.out), encoded, 0o644); err != nil {
		return err
	}
	return os.WriteFile(b.out, []byte(found.markdown()), 0o644)
}

// jsonPath puts results.json beside RESULTS.md.
func jsonPath(report string) string {
	name := strings.TrimSuffix(filepath.Base(report), filepath.Ext(report))
	return filepath.Join(filepath.Dir(report), strings.ToLower(name)+".json")
}

// parseFlags returns a run without its peers, and their names.
func parseFlags(arguments []string) (*bench, []string, error) {
	all := slices.Clone(checkNames)
	for index, s := range scenarios() {
		all = slices.Insert(all, index, s.Name)
	}
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	selected := flags.String("scenario", strings.Join(all, ","), "what to measure")
	peers := flags.String("peers", strings.Join(peerNames, ","), "whom to measure")
	flags.StringVar(&b.binary, "nano", "bin/nano", "the build of NANO to measure, relative to the repository")
	flags.StringVar(&b.other, "compare", "", "another build of bin/nano, measured as \"other\"")
	duration := flags.Duration("duration", 5*time.Second, "length of a round, in whole seconds")
	rounds := flags.Int("rounds", 3, "rounds of each scenario")
	quick := flags.Bool("quick", false, "one second a round: to see that it works, not to compare")
	flags.IntVar(&b.abuse, "abuse", 200, "abusive requests of each kind in the neighbour scenario; 0: only what they do to the neighbour")
	selectedAbuses := flags.String("abuses", strings.Join(abuses, ","), "kinds of abuse in the neighbour scenario")
	cases := flags.String("cases", "", "a regular expression of the cases of the platform scenario to measure")
	out := flags.String("out", "", "file for the report; JSON goes beside it (default bench/RESULTS.md for a complete run)")
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
	}{{"scenario", *selected, all, &b.selected}, {"abuse", *selectedAbuses, abuses, &b.abuses}, {"peer", *peers, peerNames, &names}} {
		*list.into = strings.Split(list.given, ",")
		for _, name := range *list.into {
			if !slices.Contains(list.known, name) {
				return nil, nil, fmt.Errorf("no %s %q: want some of %s", list.what, name, strings.Join(list.known, ","))
			}
		}
	}
	if *cases != "" {
		var err error
		if b.cases, err = regexp.Compile(*cases); err != nil {
			return nil, nil, err
		}
	}
	if err := b.findPlace(); err != nil {
		return nil, nil, err
	}
	if b.out == "" && !*quick && b.other == "" && b.cases == nil && len(b.selected) == len(all) && len(names) == len(peerNames) {
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

// measureAll runs all that was selected. A part that fails is noted, and the others go on.
func (b *bench) measureAll(ctx context.Context) (*results, error) {
	found := &results{
		Started: time.Now(), Commit: b.commit(ctx), Machine: readMachine(b.serverCore), Versions: toolVersions(ctx, b.peers),
		Seconds: b.duration.Seconds(), Rounds: b.rounds, Cores: [2]string{b.serverCore, b.clientCore},
	}
	note := func(part string, err error) {
		if err != nil {
			found.Failures = append(found.Failures, part+": "+err.Error())
			progress("%s: %v", part, err)
		}
	}
	if b.nginx != nil {
		found.Versions[nginxName] = nginxVersion(ctx, *b.nginx)
	}
	for _, s := range scenarios() {
		if slices.Contains(b.selected, s.Name) && ctx.Err() == nil {
			one, err := b.runScenario(ctx, s)
			note(s.Name, err)
			found.Scenarios = append(found.Scenarios, one)
		}
	}
	checks := map[string]func() error{
		"loops":         func() (err error) { found.Loops, err = b.runLoops(ctx); return err },
		"launch":        func() (err error) { found.Launch, err = b.runLaunch(ctx); return err },
		"wakeups":       func() (err error) { found.Idle, err = b.runIdle(ctx); return err },
		"memory":        func() (err error) { found.Memory, err = b.runMemory(ctx); return err },
		"coldstart":     func() (err error) { found.Cold, err = b.runCold(ctx); return err },
		"density":       func() (err error) { found.Density, err = b.runDensity(ctx); return err },
		"zipf":          func() (err error) { found.Zipf, err = b.runZipf(ctx); return err },
		"neighbour":     func() (err error) { found.Neighbour, err = b.runNeighbour(ctx); return err },
		"isolation":     func() (err error) { found.Isolation, err = b.runIsolation(ctx); return err },
		"active1000":    func() (err error) { found.Active, err = b.runActive(ctx); return err },
		"observe":       func() (err error) { found.Observe, err = b.runObserve(ctx); return err },
		"reload":        func() (err error) { found.Reload, err = b.runReload(ctx); return err },
		"soak":          func() (err error) { found.Soak, err = b.runSoak(ctx); return err },
		"dev":           func() (err error) { found.Dev, err = b.runDev(ctx); return err },
		"platform":      func() (err error) { found.Platform, err = b.runPlatform(ctx); return err },
		"transform100m": func() (err error) { found.Transform, err = b.runTransform(ctx); return err },
		"websocket":     func() (err error) { found.WebSockets, err = b.runWebSockets(ctx); return err },
		"giga":          func() (err error) { found.Giga, err = b.runGiga(ctx); return err },
		"pending10k":    func() (err error) { found.Pending, err = b.runPending(ctx); return err },
		"weight":        func() error { return b.addMicro(ctx, found, &found.Weight, weightJobs) },
		"micro":         func() error { return b.addMicro(ctx, found, &found.Micro, microJobs) },
	}
	for _, name := range checkNames {
		if slices.Contains(b.selected, name) && ctx.Err() == nil {
			note(name, checks[name]())
		}
	}
	found.Finished = time.Now()
	found.Targets = found.judge()
	return found, ctx.Err()
}

// addMicro runs Go benchmarks and notes what failed.
func (b *bench) addMicro(ctx context.Context, found *results, into *[]microResult, jobs []microJob) error {
	var failures []string
	*into, failures = b.runMicro(ctx, jobs)
	found.Failures = append(found.Failures, failures...)
	return nil
}

// commit names the checked-out version of NANO.
func (b *bench) commit(ctx context.Context) string {
	command := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	command.Dir = b.root
	output, err := command.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

// progress tells on standard error what goes on.
func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
