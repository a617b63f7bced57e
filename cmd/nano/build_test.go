package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/snapshot"
)

const (
	countApp = "let n = 0;\nexport default { fetch: () => new Response('count ' + ++n) };\n"
	// spinApp keeps a builder busy until the limit of an app's start.
	spinApp = "for (;;);\n"
	intlApp = "const f = new Intl.NumberFormat('en');\nexport default { fetch: () => new Response(f.format(1234)) };\n"
)

// oneApp writes a node with one app, and gives its nano.toml.
func oneApp(t *testing.T, source string, server string) (toml string) {
	t.Helper()
	folder := writeFiles(t, map[string]string{
		"app.js":    source,
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 1\n" + server + "\n[[app]]\nname = \"app\"\nmain = \"app.js\"\n",
	})
	return filepath.Join(folder, "nano.toml")
}

// stored lists the app images in the state folder beside toml: all snapshots but the runtime's.
func stored(t *testing.T, toml string) (images []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(toml), ".nano", "snapshots", "*.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := snapshot.Open(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if file.Key().App != "" {
			images = append(images, path)
		}
		file.Close()
	}
	return images
}

// eventually waits until something is true.
func eventually(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !isTrue(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// builders are the processes that p has started.
func (p *process) builders() (pids []int) {
	p.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.command.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, thread := range threads {
		children, _ := os.ReadFile(thread) // the thread may be gone
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// account is the latest row of an app in the tables of SIGUSR1, by column; nil: there is none.
func (p *process) account(app string) (row []string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, line := range p.log {
		fields := strings.Fields(line)
		if len(fields) == 17 && fields[16] == app {
			row = fields
		}
	}
	return row
}

func isAlive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(status), ") Z ")
}

func TestBuildAndRun(t *testing.T) {
	folder := writeFiles(t, map[string]string{"app.js": "import './other.js';\n" + countApp, "other.js": "globalThis.other = 1;\n"})
	output := filepath.Join(folder, "app.nano")
	exit, out, stderr := runNano(t, "build", filepath.Join(folder, "app.js"), "-o", output, "-warmup", "/")
	if exit != 0 || stderr != "" || !strings.HasPrefix(out, output+": 2 modules and snapshot, ") {
		t.Fatalf("exit code %d: %s%s", exit, out, stderr)
	}
	for _, name := range []string{"app.js", "other.js"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := startNano(t, 1, "run", output, "--listen", "127.0.0.1:0")
	// The warm-up request has counted, if the app is restored; loading it may be faster.
	var counted int
	if _, err := fmt.Sscanf(p.ask("GET", "/", "", "").body, "count %d", &counted); err != nil || counted < 1 || counted > 2 {
		t.Errorf("count %d, %v", counted, err)
	}
	if pids := p.builders(); len(pids) != 0 {
		t.Errorf("a builder was started for a file that is built: %v", pids)
	}
	p.signal(syscall.SIGUSR1)
	p.waitForLog("  total")
	if row := p.account("app"); row[10] != "0" {
		t.Errorf("started from source: %v", row)
	}
	// It can be written over while it is used, and built from once more.
	again := filepath.Join(folder, "again.nano")
	if exit, _, stderr := runNano(t, "build", output, "-o", again); exit != 0 {
		t.Fatal(stderr)
	}
	if err := os.WriteFile(output, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect("GET", "/", "", "", 200, fmt.Sprint("count ", counted+1))
	exit, _, stderr = runNano(t, "run", output, "--listen", "127.0.0.1:0")
	if exit != 1 || !strings.Contains(stderr, "app.nano: not a snapshot file; build it again from its sources with `nano build`") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
}

// TestBuildOfAForeignVersion: a node of another version takes the bundle, and builds.
func TestBuildOfAForeignVersion(t *testing.T) {
	toml := oneApp(t, countApp, "")
	folder := filepath.Dir(toml)
	output := filepath.Join(folder, "app.nano")
	if exit, _, stderr := runNano(t, "build", filepath.Join(folder, "app.js"), "-o", output); exit != 0 {
		t.Fatal(stderr)
	}
	file, err := snapshot.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	key := file.Key()
	key.V8Tag++
	if err := snapshot.Write(output, key, file.Sections()); err != nil {
		t.Fatal(err)
	}
	file.Close()
	text, err := os.ReadFile(toml)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(toml, bytes.Replace(text, []byte("app.js"), []byte("app.nano"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startNano(t, 1, "serve", "-c", toml)
	p.expect("GET", "/", "", "", 200, "count 1")
	eventually(t, "an image of this version", func() bool { return len(stored(t, toml)) == 1 })
	if exit, out, stderr := runNano(t, "check", "-c", toml); exit != 0 || stderr != "" {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
}

// TestBuildRefuses what cannot be started, and leaves no file.
func TestBuildRefuses(t *testing.T) {
	folder := writeFiles(t, map[string]string{"odd.js": oddApp, "hurt.js": hurtApp, "text.nano": "x", "good.js": goodApp})
	for _, test := range [][2]string{
		{"odd.js", "odd.js:2:"}, {"hurt.js", "hurt.js:2:7: "}, {"text.nano", "not a snapshot file"},
	} {
		output := filepath.Join(folder, "out.nano")
		exit, out, stderr := runNano(t, "build", filepath.Join(folder, test[0]), "-o", output)
		if exit != 1 || out != "" || !strings.Contains(stderr, test[1]) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s%s", test[0], exit, out, stderr)
		}
		if _, err := os.Stat(output); err == nil {
			t.Errorf("%s: there is a file", test[0])
		}
	}
	exit, _, stderr := runNano(t, "build", filepath.Join(folder, "good.js"), "-o", filepath.Join(folder, "none", "out.nano"))
	if exit != 1 || !strings.Contains(stderr, "out.nano: no such file or directory") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
}

// TestCheckNotes: what cannot be snapshotted is no problem.
func TestCheckNotes(t *testing.T) {
	toml := oneApp(t, intlApp, "")
	exit, out, stderr := runNano(t, "check", "-c", toml)
	if _, err := os.Stat(filepath.Join(filepath.Dir(toml), ".nano")); err == nil {
		t.Error("the check has left something")
	}
	p := startNano(t, 1, "serve", "-c", toml)
	eventually(t, "an image", func() bool { return len(stored(t, toml)) == 1 })
	p.signal(syscall.SIGTERM)
	p.waitForExit()
	if exit, again, stderr := runNano(t, "check", "-c", toml); exit != 0 || again != out || stderr != "" {
		t.Errorf("with the node's image: exit code %d: %s%s", exit, again, stderr)
	}
	if exit != 0 || stderr != "" || !strings.HasPrefix(out, "note: app: starts from its source, because it cannot be snapshotted: ") ||
		!strings.Contains(out, "app.js:1:11: an Intl.NumberFormat") || !strings.Contains(out, "no problems: 1 app") {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
}

// TestImagesOfANode: the second start of a node builds nothing.
func TestImagesOfANode(t *testing.T) {
	toml := oneApp(t, countApp, "")
	for start := range 2 {
		p := startNano(t, 1, "serve", "-c", toml)
		p.expect("GET", "/", "", "", 200, "count 1")
		eventually(t, "an image", func() bool { return len(stored(t, toml)) == 1 })
		if start == 1 && len(p.builders()) != 0 {
			t.Error("something is built again")
		}
		p.signal(syscall.SIGTERM)
		if exit := p.waitForExit(); exit != 0 {
			t.Errorf("exit code %d", exit)
		}
	}
}

// TestKilledNode: a node that is killed while it builds leaves no builder, and a store that the next
// one can use.
func TestKilledNode(t *testing.T) {
	toml := oneApp(t, countApp, "")
	for range 3 {
		p := startNano(t, 1, "serve", "-c", toml)
		var pids []int
		eventually(t, "a builder, or its work", func() bool {
			pids = p.builders()
			return len(pids) > 0 || len(stored(t, toml)) == 1
		})
		p.signal(syscall.SIGKILL)
		p.waitForExit()
		for _, pid := range pids {
			eventually(t, "the builder's end", func() bool { return !isAlive(pid) })
		}
		for _, image := range stored(t, toml) { // opening verifies
			if err := os.Remove(image); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := startNano(t, 1, "serve", "-c", toml)
	p.expect("GET", "/", "", "", 200, "count 1")
	eventually(t, "an image", func() bool { return len(stored(t, toml)) == 1 })
}

// TestKilledBuilder: whoever kills a builder costs time, and no request.
func TestKilledBuilder(t *testing.T) {
	folder := writeFiles(t, map[string]string{"spin.js": spinApp, "app.js": countApp, "nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 1\n" +
		"[[app]]\nname = \"spin\"\nmain = \"spin.js\"\npath = \"/spin\"\n[[app]]\nname = \"app\"\nmain = \"app.js\"\n"})
	toml := filepath.Join(folder, "nano.toml")
	p := startNano(t, 1, "serve", "-c", toml)
	var first int
	eventually(t, "a builder", func() bool {
		pids := p.builders()
		if len(pids) > 0 {
			first = pids[0]
		}
		return first != 0
	})
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.expect("GET", "/", "", "", 200, "count 1")
	eventually(t, "an image by another builder", func() bool { return len(stored(t, toml)) == 1 })
	p.expect("GET", "/", "", "", 200, "count 2")
	if pids := p.builders(); len(pids) != 1 || pids[0] == first {
		t.Errorf("builders %v, the first was %d", pids, first)
	}
}

// TestDamagedStateDir: whatever lies there, the node serves.
func TestDamagedStateDir(t *testing.T) {
	toml := oneApp(t, countApp, "")
	p := startNano(t, 1, "serve", "-c", toml)
	eventually(t, "an image", func() bool { return len(stored(t, toml)) == 1 })
	p.signal(syscall.SIGTERM)
	p.waitForExit()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(toml), ".nano", "snapshots", "*.snapshot"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for i, damage := range []func(whole []byte) []byte{
		func(whole []byte) []byte { return whole[:len(whole)/2] },
		func(whole []byte) []byte { whole[len(whole)-1] ^= 1; return whole },
		func([]byte) []byte { return nil },
		func([]byte) []byte { return []byte("NANOSNAP") },
	} {
		for _, file := range files {
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(whole), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := startNano(t, 1, "serve", "-c", toml)
		p.expect("GET", "/", "", "", 200, "count 1")
		eventually(t, "whole files", func() bool {
			for _, file := range files {
				opened, err := snapshot.Open(file)
				if err != nil {
					return false
				}
				opened.Close()
			}
			return true
		})
		p.waitForLog("its image cannot be used")
		p.signal(syscall.SIGTERM)
		if exit := p.waitForExit(); exit != 0 {
			t.Errorf("damage %d: exit code %d", i, exit)
		}
	}
}

// TestReadOnlyStateDir: without a place for images, apps start from their sources. A folder of /proc
// stands in, in which root cannot write either.
func TestReadOnlyStateDir(t *testing.T) {
	toml := oneApp(t, countApp, `state_dir = "/proc/self"`)
	p := startNano(t, 1, "serve", "-c", toml)
	p.expect("GET", "/", "", "", 200, "count 1")
	p.waitForLog("images cannot be built, apps start from their sources: state_dir: ")
	p.expect("GET", "/", "", "", 200, "count 2")
}

// TestFullDisk: the limit of file sizes stands in for it.
func TestFullDisk(t *testing.T) {
	toml := oneApp(t, countApp, "")
	command := nanoCommand(t, "serve", "-c", toml)
	command.Args = append([]string{"sh", "-c", `ulimit -f 2; exec "$0" "$@"`}, command.Args...)
	command.Path = "/bin/sh"
	p := startCommand(t, 1, command)
	p.waitForLog("file too large")
	p.expect("GET", "/", "", "", 200, "count 1")
	p.waitForLog("images cannot be built")
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(toml), ".nano", "snapshots", ".new-*")); len(left) != 0 || len(stored(t, toml)) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSharedStateDir: two nodes that start at once on one folder.
func TestSharedStateDir(t *testing.T) {
	toml := oneApp(t, countApp, "")
	var nodes []*process
	for range 2 {
		command := nanoCommand(t, "serve", "-c", toml)
		nodes = append(nodes, startCommand(t, 1, command))
	}
	for _, p := range nodes {
		p.expect("GET", "/", "", "", 200, "count 1")
	}
	eventually(t, "an image", func() bool { return len(stored(t, toml)) == 1 })
	// One of them loses what the other uses too.
	if err := os.Remove(stored(t, toml)[0]); err != nil {
		t.Fatal(err)
	}
	for _, p := range nodes {
		p.expect("GET", "/", "", "", 200, "count 2")
	}
}

// TestIdleAppsSleep: an app that nobody asks for sleeps, and wakes with the state of its start.
func TestIdleAppsSleep(t *testing.T) {
	toml := oneApp(t, countApp, "[isolates]\nidle = \"50ms\"")
	p := startNano(t, 1, "serve", "-c", toml)
	p.expect("GET", "/", "", "", 200, "count 1")
	eventually(t, "a sleep in the accounts", func() bool {
		p.signal(syscall.SIGUSR1)
		row := p.account("app")
		return row != nil && row[13] == "1"
	})
	p.expect("GET", "/", "", "", 200, "count 1")
}

// TestIsolationAndConcurrency: what the configuration says arrives in the loops.
func TestIsolationAndConcurrency(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"count.js": countApp,
		"slow.js":  "export default { async fetch() { console.log('begun'); await new Promise((go) => setTimeout(go, 300)); return new Response('slow'); } };\n",
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\n[[app]]\nname = \"count\"\nmain = \"count.js\"\nisolation = \"request\"\n" +
			"[[app]]\nname = \"slow\"\nmain = \"slow.js\"\npath = \"/slow\"\n[app.limits]\nconcurrent_requests = 1\n",
	})
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	for range 3 {
		p.expect("GET", "/", "", "", 200, "count 1")
	}
	first := make(chan answer, 1)
	go func() {
		got, _ := p.send("GET", "/slow", "", "")
		first <- got
	}()
	p.waitForLog("slow: begun")
	if got := p.ask("GET", "/slow", "", ""); got.status != 503 || got.header.Get("nano-error") != "concurrency-limit" {
		t.Errorf("a second request: %+v", got)
	}
	if got := <-first; got.status != 200 || got.body != "slow" {
		t.Errorf("the first: %+v", got)
	}
}
