package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	devSaves      = 200                    // of each app
	devSavesQuick = 20                     // with --quick
	devJudged     = 100                    // saves that a verdict takes at the least
	devRest       = 100 * time.Millisecond // between an answer and the next save: nobody saves faster
	devPause      = time.Millisecond       // between requests for the new code
	devPatience   = 30 * time.Second       // for one save to answer
	devHelloMost  = 100 * time.Millisecond // p99 from the save of a hello app to its answer
	devReactMost  = 300 * time.Millisecond // p99 of a bundle with React
)

// devResult is how soon what is saved answers, under `nano dev`.
type devResult struct {
	Peer    string    `json:"peer"`
	App     string    `json:"app"`
	Save    latencies `json:"save"` // from just before the save until the last byte of the first answer of the new code
	RSS     int64     `json:"rss_bytes"`
	Skipped string    `json:"skipped,omitempty"`
	Failure string    `json:"failure,omitempty"`
}

// devApp is an app that is changed.
type devApp struct {
	name string
	most time.Duration // of p99
	// prepare puts the app into a folder. The path is that of the main module; an error skips the app.
	prepare func(ctx context.Context, b *bench, folder string) (main string, err error)
	// old is what a save replaces in the main module, and format what by: it takes the mark of the version.
	old, format string
}

// devMark is what a version of an app answers with. No answer has another's.
func devMark(version int) string { return fmt.Sprintf("version-%d.", version) }

var devApps = []devApp{
	{"hello.js", devHelloMost, prepareDevText("hello.js", "export default { fetch: () => new Response('"+devFirst+"\\n') };\n"), devFirst, "%s"},
	{"hello.ts", devHelloMost, prepareDevText("hello.ts", "const text: string = '"+devFirst+"\\n';\n"+
		"export default { fetch: (_: Request): Response => new Response(text) };\n"), devFirst, "%s"},
	{"react/app.tsx", devReactMost, prepareDevReact, "<title>React", "<title>%s"},
}

const devFirst = "version-0."

func prepareDevText(name, text string) func(context.Context, *bench, string) (string, error) {
	return func(_ context.Context, _ *bench, folder string) (string, error) {
		main := filepath.Join(folder, name)
		return main, os.WriteFile(main, []byte(text), 0o644)
	}
}

// prepareDevReact copies examples/npm with its server-rendered page, and has npm install its packages.
func prepareDevReact(ctx context.Context, b *bench, folder string) (main string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("npm is missing")
	}
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(b.root, "examples", "npm"))); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, output)
	}
	return filepath.Join(folder, "react", "app.tsx"), nil
}

// devServer is one that develops an app.
type devServer struct {
	*server
	main   string
	text   string // of the app, as it was first
	result *devResult
	taken  []time.Duration
}

// runDev measures from the save to the answer. Builds of NANO take turns, save by save.
func (b *bench) runDev(ctx context.Context) (all []*devResult, err error) {
	for _, app := range devApps {
		var results []*devResult
		var servers []*devServer
		for _, p := range b.peers {
			if p.Name != nanoName && p.Name != otherName {
				continue
			}
			one := &devServer{result: &devResult{Peer: p.Name, App: app.name}}
			results = append(results, one.result)
			if err := b.startDev(ctx, p, app, one); err != nil {
				one.result.Failure = err.Error()
				continue
			}
			if one.server != nil {
				servers = append(servers, one)
			}
		}
		b.saveAll(ctx, app, servers)
		for _, one := range servers {
			one.stop()
		}
		for _, one := range results {
			progress("dev %s %s: %d saves, p50 %s, p99 %s, RSS %s %s%s", one.Peer, one.App, one.Save.Count, milliseconds(one.Save.P50),
				milliseconds(one.Save.P99), megabytes(one.RSS), one.Skipped, one.Failure)
		}
		all = append(all, results...)
	}
	return all, ctx.Err()
}

// startDev starts nano dev for an app in a folder of its own. It is free to use both cores, as a developer's is.
func (b *bench) startDev(ctx context.Context, p peer, app devApp, one *devServer) error {
	folder, err := os.MkdirTemp(b.temporary, "dev-")
	if err != nil {
		return err
	}
	if one.main, err = app.prepare(ctx, b, folder); err != nil {
		one.result.Skipped = err.Error()
		return nil
	}
	text, err := os.ReadFile(one.main)
	if err != nil {
		return err
	}
	one.text = string(text)
	if !strings.Contains(one.text, app.old) {
		return fmt.Errorf("%s has no %q", one.main, app.old)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	one.server, err = startServer(ctx, []string{p.Binary, "dev", one.main, "--listen", address}, b.serverCore+","+b.clientCore, address)
	return err
}

// saveAll saves again and again, in turn for each server.
func (b *bench) saveAll(ctx context.Context, app devApp, servers []*devServer) {
	saves := devSaves
	if b.quick {
		saves = devSavesQuick
	}
	for version := 1; version <= saves; version++ {
		for _, one := range servers {
			if one.result.Failure != "" || wait(ctx, devRest) != nil {
				continue
			}
			taken, err := one.save(ctx, app, version)
			if err != nil {
				one.result.Failure = err.Error()
				continue
			}
			one.taken = append(one.taken, taken)
		}
	}
	for _, one := range servers {
		one.result.Save = summarise(one.taken)
		if used, err := readMemory(one.Process); err == nil {
			one.result.RSS = used.RSS
		}
	}
}

// save saves a version and waits for its answer. Editors write over a file, or write another and rename it.
func (s *devServer) save(ctx context.Context, app devApp, version int) (time.Duration, error) {
	mark := devMark(version)
	text := []byte(strings.Replace(s.text, app.old, fmt.Sprintf(app.format, mark), 1))
	begun := time.Now()
	if version%2 == 0 {
		if err := os.WriteFile(s.main, text, 0o644); err != nil {
			return 0, err
		}
	} else {
		beside := s.main + "~"
		if err := errors.Join(os.WriteFile(beside, text, 0o644), os.Rename(beside, s.main)); err != nil {
			return 0, err
		}
	}
	for {
		answer, err := askDev(ctx, s.Address)
		if err != nil {
			return 0, err
		}
		taken := time.Since(begun)
		if strings.Contains(answer, mark) {
			return taken, nil
		}
		if taken > devPatience {
			return 0, fmt.Errorf("%s does not answer %s after a save: %.300s", app.name, devPatience, answer)
		}
		if err := wait(ctx, devPause); err != nil {
			return 0, err
		}
	}
}

// askDev is the body of an answer, over a connection that stays.
func askDev(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func (r *results) judgeDev() (targets []target) {
	for _, app := range devApps {
		t := target{Text: fmt.Sprintf("nano dev, %s: p99 from the save to the new code's answer ≤ %s", app.name, app.most), Verdict: notMeasured}
		for _, one := range r.Dev {
			if one.Peer != nanoName || one.App != app.name || one.Skipped != "" {
				continue
			}
			if one.Failure != "" {
				t.Measured, t.Verdict = "failed", missed
			} else if one.Save.Count >= devJudged {
				t.Measured = fmt.Sprintf("%s (p50 %s)", milliseconds(one.Save.P99), milliseconds(one.Save.P50))
				t.Verdict = verdict(one.Save.P99 <= app.most)
			}
		}
		targets = append(targets, t)
	}
	return targets
}

func (r *results) writeDev(page *strings.Builder) {
	if len(r.Dev) == 0 {
		return
	}
	fmt.Fprintf(page, "## From the save to the answer (`dev`)\n\n"+
		"The main module of an app is written anew while `nano dev` runs it, over itself and by a rename in turn, with %s of rest\n"+
		"between. The time is that from just before the save until the new code has answered; a client asks each millisecond.\n"+
		"Server and client share both cores. The React page is that of examples/npm, bundled with react-dom.\n\n", devRest)
	var rows [][]string
	for _, one := range r.Dev {
		rows = append(rows, append([]string{one.Peer, one.App, fmt.Sprint(one.Save.Count)},
			append(one.Save.cells(), megabytes(one.RSS), oneLine(one.Skipped+one.Failure))...))
	}
	writeTable(page, append([]string{"", "app", "saves"}, append(slices.Clone(latencyColumns), "RSS", "skipped or failed")...), rows)
}
