package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	reloadCount       = 1000
	reloadConnections = 64
	reloadPart        = 2 * time.Second  // of wrk, which is started again until the reloads are done
	reloadGrowthMost  = 10 << 20         // bytes, from a tenth of the reloads to the last
	reloadQuick       = 50               // reloads with --quick
	reloadPatience    = 60 * time.Second // for one
)

// reloadResult is what reloads under load do to requests and to the process.
type reloadResult struct {
	Reloads  int       `json:"reloads"`
	Requests int64     `json:"requests"`
	Failed   int64     `json:"failed"`
	Each     latencies `json:"each"`        // from the call until all requests get the new version
	First    memory    `json:"first"`       // after a tenth of the reloads
	Last     memory    `json:"last"`        // after all
	State    int64     `json:"state_bytes"` // of state_dir afterwards
	Failure  string    `json:"failure,omitempty"`
}

// runReload changes an app again and again while wrk asks for it.
func (b *bench) runReload(ctx context.Context) (*reloadResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	folder, err := os.MkdirTemp(b.temporary, "reload-")
	if err != nil {
		return nil, err
	}
	result := &reloadResult{Reloads: reloadCount}
	if b.quick {
		result.Reloads = reloadQuick
	}
	if err := b.measureReloads(ctx, p, folder, result); err != nil {
		result.Failure = err.Error()
	}
	progress("reload: %d, p50 %s, p99 %s, %d of %d requests failed, RSS %s → %s, state_dir %s %s", result.Each.Count, milliseconds(result.Each.P50),
		milliseconds(result.Each.P99), result.Failed, result.Requests, megabytes(result.First.RSS), megabytes(result.Last.RSS), megabytes(result.State), result.Failure)
	return result, ctx.Err()
}

func (b *bench) measureReloads(ctx context.Context, p peer, folder string, result *reloadResult) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	main := filepath.Join(folder, "app.js")
	write := func(version int) error {
		return os.WriteFile(main, fmt.Appendf(nil, "const version = %d;\nexport default { fetch: () => new Response(`version ${version}\\n`) };\n", version), 0o644)
	}
	text := fmt.Sprintf("[server]\nlisten = [\"127.0.0.1:%d\"]\nloops = 1\n[[app]]\nname = \"app\"\nmain = \"app.js\"\nhealth = \"/\"\n", port)
	if err := errors.Join(write(0), os.WriteFile(filepath.Join(folder, "nano.toml"), []byte(text), 0o644)); err != nil {
		return err
	}
	running, err := startServer(ctx, []string{p.Binary, "serve", "-c", filepath.Join(folder, "nano.toml")}, b.serverCore, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer running.stop()
	loading, endLoad := context.WithCancel(ctx)
	loaded := make(chan error, 1)
	go func() { loaded <- b.loadReloads(loading, running.Address, result) }()
	samples, err := changeApp(ctx, running, folder, write, result)
	result.Each = summarise(samples)
	endLoad()
	return errors.Join(err, <-loaded)
}

// loadReloads runs wrk until ctx ends; what it has begun it ends.
func (b *bench) loadReloads(ctx context.Context, address string, result *reloadResult) error {
	for ctx.Err() == nil {
		job := wrkJob{Cores: b.clientCore, Threads: 1, Connections: reloadConnections, Duration: reloadPart, URL: "http://" + address + "/"}
		one, err := job.run(context.WithoutCancel(ctx), b.folder)
		if err != nil {
			return err
		}
		result.Requests += one.Requests
		result.Failed += one.Errors
	}
	return nil
}

// controlSocket is the socket of the node whose nano.toml is in a folder.
func controlSocket(folder string) string { return filepath.Join(folder, ".nano", "control.sock") }

// controlClient asks the node whose nano.toml is in a folder by its socket, which a node that answers its
// first requests may not have yet.
func controlClient(folder string) http.Client {
	return http.Client{Timeout: reloadPatience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for {
				connection, err := net.Dial("unix", controlSocket(folder))
				if !errors.Is(err, fs.ErrNotExist) || wait(ctx, 10*time.Millisecond) != nil {
					return connection, err
				}
			}
		},
	}}
}

// changeApp reloads the node as often as result says, each time with another version of its app.
func changeApp(ctx context.Context, running *server, folder string, write func(version int) error, result *reloadResult) (samples []time.Duration, err error) {
	client := controlClient(folder)
	for version := 1; version <= result.Reloads && ctx.Err() == nil; version++ {
		if err := write(version); err != nil {
			return samples, err
		}
		begun := time.Now()
		if err := reloadOnce(&client); err != nil {
			return samples, err
		}
		samples = append(samples, time.Since(begun))
		if version == max(result.Reloads/10, 1) {
			if result.First, err = readMemory(running.Process); err != nil {
				return samples, err
			}
		}
	}
	if result.Last, err = readMemory(running.Process); err != nil {
		return samples, err
	}
	return samples, filepath.Walk(filepath.Join(folder, ".nano"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			result.State += info.Size()
		}
		return nil // what goes meanwhile is not there
	})
}

// reloadOnce wants the one app replaced.
func reloadOnce(client *http.Client) error {
	response, err := client.Post("http://nano/v1/reload", "application/json", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var report struct{ Changes []struct{ Action string } }
	if err := json.Unmarshal(text, &report); err != nil || len(report.Changes) != 1 || report.Changes[0].Action != "replaced" {
		return fmt.Errorf("reload: %s: %s", response.Status, text)
	}
	return nil
}

func (r *results) judgeReload() []target {
	failed := target{Text: fmt.Sprintf("%s reloads under load: 0 failed requests", thousands(reloadCount)), Verdict: notMeasured}
	flat := target{Text: fmt.Sprintf("%s reloads: memory grows by ≤ %s after the first tenth", thousands(reloadCount), megabytes(reloadGrowthMost)), Verdict: notMeasured}
	if one := r.Reload; one != nil && (one.Failure != "" || one.Each.Count == reloadCount) {
		failed.Measured = fmt.Sprintf("%d of %s", one.Failed, thousands(one.Requests))
		failed.Verdict = verdict(one.Failed == 0 && one.Failure == "")
		flat.Measured = fmt.Sprintf("%+.1f MB", float64(one.Last.RSS-one.First.RSS)/(1<<20))
		flat.Verdict = verdict(one.Last.RSS-one.First.RSS <= reloadGrowthMost && one.Failure == "")
	}
	return []target{failed, flat}
}

func (r *results) writeReload(page *strings.Builder) {
	if r.Reload == nil {
		return
	}
	one := r.Reload
	fmt.Fprintf(page, "## Reloads under load (`reload`)\n\n"+
		"One app is changed %s times, built, asked for its health and swapped in, while wrk asks for it over %d connections.\n\n",
		thousands(int64(one.Reloads)), reloadConnections)
	writeTable(page, append([]string{"requests", "failed"}, append(slices.Clone(latencyColumns), "RSS after a tenth", "RSS at the end", "state_dir", "failure")...),
		[][]string{append([]string{thousands(one.Requests), fmt.Sprint(one.Failed)},
			append(one.Each.cells(), megabytes(one.First.RSS), megabytes(one.Last.RSS), megabytes(one.State), oneLine(one.Failure))...)})
}
