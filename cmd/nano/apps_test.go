package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/admin"
	"nano/control"
	"nano/logs"
	"nano/loop"
)

// deskNode is what the commands ask in tests: it has two apps, which do more with every look.
type deskNode struct {
	mutex    sync.Mutex
	calls    []string
	uploaded []byte
	looks    uint64
}

func (n *deskNode) note(format string, args ...any) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.calls = append(n.calls, fmt.Sprintf(format, args...))
	return nil
}

var deskVersion = control.Version{ID: "0123456789ab", Number: 2, Created: time.Unix(1_700_000_000, 0), From: control.FromUpload, Weight: 9}

func (n *deskNode) Apps(context.Context) ([]control.App, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.looks++
	idle := control.App{Name: "idle", Path: "/idle", State: control.StateAsleep}
	busy := control.App{Name: "busy", Hosts: []string{"busy.example"}, Path: "/", State: control.StateWarm, Problem: "the last one does not build",
		Versions: []control.Version{deskVersion, {ID: "ba9876543210", Number: 1, Weight: 1}}}
	busy.Stats.Requests, busy.Stats.CPULimit, busy.Stats.Warm, busy.Stats.Resident = 1000*n.looks, 10*n.looks, 2, 3<<20
	busy.Stats.CPU = time.Duration(n.looks) * 40 * time.Millisecond
	return []control.App{idle, busy}, nil
}

func (n *deskNode) Deploy(_ context.Context, name string, d control.Deployment) (control.Version, error) {
	body, err := io.ReadAll(d.Body)
	if err != nil {
		return control.Version{}, err
	}
	if name == "bad" {
		return control.Version{}, &control.RejectedError{Err: fmt.Errorf("main.ts:1:2: no\nmain.ts:3:4: neither")}
	}
	n.uploaded = body
	return deskVersion, n.note("deploy %s %s %v %q %q", name, d.Type, d.Hosts, d.Path, d.Settings)
}

func (n *deskNode) Rollback(_ context.Context, name, to string) (control.Version, error) {
	return deskVersion, n.note("rollback %s %q", name, to)
}

func (n *deskNode) Split(_ context.Context, name string, weights map[string]int) error {
	return n.note("split %s %v", name, weights)
}
func (n *deskNode) Remove(_ context.Context, name string) error { return n.note("remove %s", name) }
func (n *deskNode) Sleep(_ context.Context, name string) error  { return n.note("sleep %s", name) }
func (n *deskNode) Wake(_ context.Context, name string) error   { return n.note("wake %s", name) }

func (n *deskNode) Reload(context.Context) (*control.Report, error) {
	return &control.Report{Changes: []control.Change{{App: "busy", Action: control.Replaced}, {App: "idle", Action: control.Failed, Reason: "a.ts:1:1: no"}},
		Same: 3, Warnings: []string{"[server] listen has changed"}, Duration: 20 * time.Millisecond}, nil
}

func (n *deskNode) Loops(context.Context) []loop.LoopStatus {
	return []loop.LoopStatus{{Responsive: true, Busy: 125, Stats: loop.Stats{Connections: 7, Requests: 5}}, {Loop: 1, IsSlow: true}}
}
func (n *deskNode) Ready() bool { return true }
func (n *deskNode) HeapSnapshot(_ context.Context, name string, w io.Writer) error {
	_, err := io.WriteString(w, `{"snapshot":{}}`)
	return err
}

func (n *deskNode) CPUProfile(_ context.Context, name string, d time.Duration, w io.Writer) error {
	if err := n.note("profile %s %v", name, d); d > time.Second {
		return fmt.Errorf("asleep: %w%w", control.ErrNotFound, err)
	}
	_, err := io.WriteString(w, `{"nodes":[]}`)
	return err
}

// serveDesk serves a node where the commands look for the one of a configuration, and returns that file.
func serveDesk(t *testing.T, node admin.Node, log *logs.Log) (configuration string) {
	t.Helper()
	folder := writeFiles(t, map[string]string{
		"a.js": "", "nano.toml": "[server]\nstate_dir = \"state\"\n[[app]]\nname = \"a\"\nmain = \"a.js\"\n", "state/x": "",
	})
	listener, err := net.Listen("unix", filepath.Join(folder, "state", controlSocketFile))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	options := admin.Options{Node: node, Version: "1", Logger: quiet}
	if log != nil {
		options.Logs = log.Hub()
	}
	server := admin.Serve(listener, admin.NewHandler(options), quiet)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Close(ctx)
	})
	return filepath.Join(folder, "nano.toml")
}

// order runs a command in this process.
func order(args ...string) (exit int, out, stderr string) {
	var outBuffer, errBuffer bytes.Buffer
	exit = execute(&streams{out: &outBuffer, err: &errBuffer}, args)
	return exit, outBuffer.String(), errBuffer.String()
}

func TestAppsCommands(t *testing.T) {
	node := &deskNode{}
	configuration := serveDesk(t, node, nil)
	folder := writeFiles(t, map[string]string{"w.ts": "export default {}", "s.toml": "health = \"/\"", "README": ""})
	in := func(name string) string { return filepath.Join(folder, name) }
	for _, test := range []struct {
		args []string
		exit int
		out  string // each line is in what is printed
		call string
	}{
		{[]string{"apps"}, 0, "NAME  STATE\nidle  asleep  -\n*/idle\nbusy  warm    0123456789ab:90%,ba9876543210:10%  1000      10\nbusy.example/", ""},
		{[]string{"apps", "show", "busy"}, 0, "busy: warm, on busy.example/\nproblem: the last one does not build\n2000 requests, 20 errors\n0123456789ab  2", ""},
		{[]string{"apps", "show", "other"}, 1, "nano: app other: not found", ""},
		{[]string{"apps", "deploy", "busy", in("w.ts")}, 0, "busy: serves version 0123456789ab (number 2)", `deploy busy text/typescript [] "" ""`},
		{[]string{"apps", "deploy", "new", in("w.ts"), "--host", "a.example", "--host", "b.example", "--path", "/x", "--settings", in("s.toml")}, 0,
			"new: serves", `deploy new text/typescript [a.example b.example] "/x" "health = \"/\""`},
		{[]string{"apps", "deploy", "bad", in("w.ts")}, 1, "nano: main.ts:1:2: no\nnano: main.ts:3:4: neither", ""},
		{[]string{"apps", "deploy", "busy", in("none.js")}, 1, "none.js: no such file", ""},
		{[]string{"apps", "deploy", "busy", in("README")}, 1, "is none of .js", ""},
		{[]string{"apps", "remove", "busy"}, 0, "busy: removed", "remove busy"},
		{[]string{"apps", "rollback", "busy"}, 0, "serves version 0123456789ab", `rollback busy ""`},
		{[]string{"apps", "rollback", "busy", "ba98", "--json"}, 0, `"id": "0123456789ab"`, `rollback busy "ba98"`},
		{[]string{"apps", "split", "busy", "a=9", "b=1"}, 0, "busy: warm", "split busy map[a:9 b:1]"},
		{[]string{"apps", "split", "busy", "a:9"}, 2, "write VERSION=WEIGHT", ""},
		{[]string{"apps", "split", "busy", "a=9", "a=1"}, 2, "named twice", ""},
		{[]string{"apps", "sleep", "busy"}, 0, "busy: warm", "sleep busy"},
		{[]string{"apps", "wake", "busy", "--json"}, 0, `"name": "busy"`, "wake busy"},
		{[]string{"apps", "heap", "busy", "-o", in("x.heapsnapshot")}, 0, "x.heapsnapshot: 1K", ""},
		{[]string{"apps", "profile", "busy", "--seconds", "0.5", "-o", in("x.cpuprofile")}, 0, "x.cpuprofile: 1K", "profile busy 500ms"},
		{[]string{"apps", "profile", "busy", "--seconds", "1.5", "-o", in("y.cpuprofile")}, 1, "nano: asleep: not found", "profile busy 1.5s"},
		{[]string{"apps", "profile", "busy", "--seconds", "61", "-o", in("y.cpuprofile")}, 1, "nano: seconds: ", ""},
		{[]string{"apps", "heap", "busy", "-o", in("x.txt")}, 2, "ends in .heapsnapshot", ""},
		{[]string{"apps", "eat", "busy"}, 2, "there is no apps eat", ""},
		{[]string{"apps", "sleep"}, 2, "write nano apps sleep NAME", ""},
		{[]string{"reload"}, 1, "busy: replaced\n3 apps unchanged, in 20ms\nnano: [server] listen has changed\nnano: idle: a.ts:1:1: no", ""},
		{[]string{"reload", "--json"}, 1, `"action": "failed"`, ""},
		{[]string{"top", "--once", "--interval", "100ms"}, 0, "2 apps, 1 warm\n12.5%\nstuck\nwarm  busy", ""},
		{[]string{"top", "--interval", "1ms"}, 2, "at least 100ms", ""},
		{[]string{"top", "--sort", "size"}, 2, "write cpu, requests", ""},
	} {
		node.calls = nil
		exit, out, stderr := order(append(test.args, "-c", configuration)...)
		for line := range strings.Lines(test.out) {
			if !strings.Contains(out+stderr, strings.TrimRight(line, "\n")) {
				t.Errorf("%v: no %q in\n%s%s", test.args, line, out, stderr)
			}
		}
		if got := strings.Join(node.calls, ", "); exit != test.exit || got != test.call {
			t.Errorf("%v: exit %d, called %q\n%s", test.args, exit, got, stderr)
		}
	}
	for name, want := range map[string]bool{"x.heapsnapshot": true, "x.cpuprofile": true, "y.cpuprofile": false} {
		if _, err := os.Stat(in(name)); err == nil != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(in(".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDeployFolder: a project is sent as an archive, without what only this machine needs.
func TestDeployFolder(t *testing.T) {
	node := &deskNode{}
	configuration := serveDesk(t, node, nil)
	folder := writeFiles(t, map[string]string{
		"p/package.json": "{}", "p/src/index.ts": "export default {}", "p/node_modules/x/index.js": "1", "p/.git/HEAD": "ref", "outside": "secret",
		"p/.env": "A=1", "p/.env.local": "A=1", "p/src/.dev.vars": "A=1", "p/.dev.vars.staging": "A=1", "p/.npmrc": "token", "p/.nano/x": "1",
		"p/node_modules/.cache/x.js": "1", "p/src/.cache/y.js": "1", "p/.environment.js": "1", "p/node_modules/x/.env": "A=1",
	})
	if err := os.Symlink("../outside", filepath.Join(folder, "p", "escape")); err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(folder, "p")
	if exit, _, stderr := order("apps", "deploy", "busy", project, "-c", configuration); exit != 1 || !strings.Contains(stderr, "escape") {
		t.Errorf("a link that leads out of the folder: exit %d, %s", exit, stderr)
	}
	os.Remove(filepath.Join(folder, "p", "escape"))
	if exit, _, stderr := order("apps", "deploy", "busy", project, "-c", configuration); exit != 0 || !slices.Contains(node.calls, `deploy busy application/x-tar+gzip [] "" ""`) {
		t.Fatalf("exit %d, %v, %s", exit, node.calls, stderr)
	}
	compressed, err := gzip.NewReader(bytes.NewReader(node.uploaded))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	if got := strings.Join(names, " "); got != ".environment.js node_modules/x/index.js package.json src/.cache/y.js src/index.ts" {
		t.Errorf("sent %s", got)
	}
}

func TestWithoutNode(t *testing.T) {
	folder := writeFiles(t, map[string]string{"a.js": "", "nano.toml": "[[app]]\nname = \"a\"\nmain = \"a.js\"\n", "token": "secret\n"})
	configuration := filepath.Join(folder, "nano.toml")
	for _, test := range []struct {
		args   []string
		exit   int
		stderr string
	}{
		{[]string{"apps", "-c", configuration}, 1, "does not run: start it with `nano serve`"},
		{[]string{"apps", "-c", filepath.Join(folder, "none.toml")}, 1, "none.toml: no such file"},
		{[]string{"apps", "--admin", "unix:" + folder + "/none.sock"}, 1, "none.sock does not run"},
		{[]string{"apps", "--admin", "ftp://x"}, 2, "write http://host:port"},
		{[]string{"apps", "--token-file", folder + "/token"}, 2, "goes with --admin"},
		{[]string{"apps", "--admin", "http://127.0.0.1:1", "--token-file", folder + "/none"}, 1, "no such file"},
		{[]string{"apps", "--admin", "http://127.0.0.1:1", "--token-file", folder + "/token"}, 1, "does not run"},
	} {
		exit, out, stderr := order(test.args...)
		if exit != test.exit || !strings.Contains(stderr, test.stderr) || strings.Count(stderr, "\n") != 1 || out != "" {
			t.Errorf("%v: exit %d: %s%s", test.args, exit, out, stderr)
		}
	}
}

func TestLogsCommand(t *testing.T) {
	log := logs.New(logs.Options{To: io.Discard})
	defer log.Close(patience)
	configuration := serveDesk(t, &deskNode{}, log)
	watch := log.Hub().Subscribe("")
	defer watch.Close()
	for _, app := range []string{"busy", "idle"} {
		log.App(&logs.Entry{App: app, Text: []byte("said by " + app), Request: 0xabc, Source: []byte("src/a.ts:1:2")})
		if _, err := watch.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	exit, out, stderr := order("logs", "-c", configuration)
	if exit != 0 || !strings.Contains(out, "said by busy") || !strings.Contains(out, "said by idle") || !strings.Contains(out, "src/a.ts:1:2") {
		t.Errorf("exit %d: %s%s", exit, out, stderr)
	}
	if exit, out, _ = order("logs", "busy", "-c", configuration); exit != 0 || strings.Contains(out, "idle") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d: %s", exit, out)
	}
	exit, out, _ = order("logs", "busy", "--json", "-c", configuration)
	var line logs.Line
	if err := json.Unmarshal([]byte(out), &line); exit != 0 || err != nil || line.Text != "said by busy" || line.Request != 0xabc {
		t.Errorf("exit %d: %v %s", exit, err, out)
	}
	if exit, _, stderr = order("logs", "other", "-c", configuration); exit != 1 || !strings.Contains(stderr, "app other: not found") {
		t.Errorf("exit %d: %s", exit, stderr)
	}
}

func TestTopView(t *testing.T) {
	before := &look{at: time.Unix(100, 0)}
	now := &look{at: time.Unix(102, 0)}
	app := func(name string, requests uint64, cpu float64, resident int64) admin.App {
		return admin.App{Name: name, State: "warm", Stats: admin.Stats{Requests: requests, CPU: cpu, Resident: resident, Warm: 1, Answered: requests, AnswerTime: float64(requests) / 1000}}
	}
	before.apps.Apps = []admin.App{app("a", 100, 1, 1), app("b", 50, 1, 2), app("again", 500, 9, 1)}
	now.apps.Apps = []admin.App{app("a", 300, 2, 1), app("b", 1050, 1.1, 2), app("again", 10, 0, 1), app("new", 20, 0.02, 9)}
	now.loops.Loops = []admin.Loop{{Responsive: true, Completions: 40, Batches: []uint64{4, 6}, Requests: 8}}
	view := compare(before, now)
	for key, want := range map[byte]string{'c': "a b new again", 'r': "b a new again", 'm': "new b a again", 'n': "a again b new"} {
		view.lines(topOrders[topKeys[key]], 0, 0)
		var names []string
		for _, row := range view.Apps {
			names = append(names, row.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %c: %s, want %s", key, got, want)
		}
	}
	view.lines(topOrders["name"], 0, 0)
	if a := view.Apps[0]; a.Requests != 100 || a.CPU != 0.5 || a.Answer != 0.001 {
		t.Errorf("%+v", a)
	}
	if again := view.Apps[1]; again.Requests != 5 || again.CPU != 0 {
		t.Errorf("a node that began again: %+v", again)
	}
	if l := view.Loops[0]; l.Batch != 4 || l.Requests != 4 {
		t.Errorf("%+v", l)
	}
	for _, size := range [][2]int{{10, 3}, {1, 1}, {80, 24}, {200, 5}} {
		lines := view.lines(topOrders["cpu"], size[0], size[1])
		if len(lines) > size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if len(line) > size[0] || !isWhole(line) {
				t.Errorf("%v: %q", size, line)
			}
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(": v\n\ndata: {\"msg\":\"x\"}\n\n:\n\n"))
	f.Add([]byte("data:\ndata: \n\r\n\ndata: {}"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		_ = readEvents(bytes.NewReader(stream), func(data []byte) error {
			var line logs.Line
			if json.Unmarshal(data, &line) == nil {
				line.AppendText(nil, true, true)
			}
			return nil
		})
	})
}
