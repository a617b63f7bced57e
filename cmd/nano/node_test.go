package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nano/config"
	"nano/loop"
)

const (
	goodApp = "export default { fetch: () => new Response('well') };\n"
	oddApp  = "const a = 1;\nexport default { fetch() { return a +; } };\n"
	lostApp = "import { x } from './x.js';\nimport './gone.js';\nexport default { fetch: () => new Response(x) };\n"
	hurtApp = "\nthrow new TypeError('at the top level');\n"
)

func brokenNode(t *testing.T, apps ...string) (folder string) {
	t.Helper()
	toml := "[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 1\n"
	for i, name := range apps {
		toml += fmt.Sprintf("[[app]]\nname = %q\nmain = \"%s.js\"\npath = \"/%d\"\n", name, name, i)
	}
	return writeFiles(t, map[string]string{
		"nano.toml": toml, "good.js": goodApp, "odd.js": oddApp, "lost.js": lostApp, "hurt.js": hurtApp,
		"x.js": "export const x = 1;\n",
	})
}

// TestCheck names every broken app with its place.
func TestCheck(t *testing.T) {
	folder := brokenNode(t, "good", "odd", "lost", "hurt", "none")
	exit, out, stderr := runNano(t, "check", "-c", filepath.Join(folder, "nano.toml"))
	if exit != 1 || out != "" {
		t.Errorf("exit code %d, stdout %q", exit, out)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for _, want := range [][2]string{
		{filepath.Join(folder, "odd.js") + ":2:", "SyntaxError"},
		{filepath.Join(folder, "lost.js") + ":2:", "gone.js"},
		{filepath.Join(folder, "hurt.js") + ":2:7: ", "TypeError: at the top level"},
		{filepath.Join(folder, "nano.toml") + ":22:8: app \"none\": main: ", "none.js: no such file"},
	} {
		found := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "nano: "+want[0]) && strings.Contains(line, want[1]) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d lines begin with %q and hold %q:\n%s", found, want[0], want[1], stderr)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines: %s", len(lines), stderr)
	}
}

func TestCheckFindsNothing(t *testing.T) {
	for _, file := range []string{copyNode(t, "nano.toml", "examples"), copyNode(t, "examples/two-tenants/nano.toml", "examples/two-tenants")} {
		exit, out, stderr := runNano(t, "check", "-c", file)
		if exit != 0 || stderr != "" || !strings.HasPrefix(out, file+": no problems: ") || !strings.Contains(out, "io_uring works") {
			t.Errorf("exit code %d: %s%s", exit, out, stderr)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), ".nano")); err == nil {
			t.Error("the check has made the state folder")
		}
	}
}

func TestCheckTellsAllOfAConfiguration(t *testing.T) {
	folder := writeFiles(t, map[string]string{"nano.toml": "[server]\nlisen = []\n[admin]\nlisten = \":9\"\n"})
	file := filepath.Join(folder, "nano.toml")
	exit, _, stderr := runNano(t, "check", "-c", file)
	want := fmt.Sprintf("nano: %s:2:1: [server] lisen: unknown key; did you mean listen?\n"+
		"nano: %s:4:10: [admin] listen: \":9\" can be reached from elsewhere, and there is no token; "+
		"add token_file = \"…\", or listen on 127.0.0.1 or a unix socket\n", file, file)
	if exit != 1 || stderr != want {
		t.Errorf("exit code %d\ngot  %swant %s", exit, stderr, want)
	}
}

// TestBrokenAppsAreAlone starts a node with apps that cannot start: it names them, and the others
// serve.
func TestBrokenAppsAreAlone(t *testing.T) {
	folder := brokenNode(t, "good", "odd", "lost", "hurt", "none")
	p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
	p.waitForLog("odd.js:2:")
	p.waitForLog("lost.js:2:")
	p.waitForLog("none.js: no such file")
	for i := range 5 {
		got := p.ask("GET", fmt.Sprintf("/%d", i), "", "")
		if i == 0 && (got.status != 200 || got.body != "well") {
			t.Errorf("the good app: %+v", got)
		}
		if i > 0 && got.status/100 != 5 {
			t.Errorf("broken app %d: %+v", i, got)
		}
	}
	p.waitForLog("at the top level")
	p.expect("GET", "/0", "", "", 200, "well")
}

// TestNothingToServe: a node whose apps are all broken ends.
func TestNothingToServe(t *testing.T) {
	folder := brokenNode(t, "odd", "lost")
	exit, out, stderr := runNano(t, "serve", "-c", filepath.Join(folder, "nano.toml"))
	if exit != 1 || out != "" || strings.Count(stderr, "nano: ") != 2 || strings.Count(stderr, "\n") != 2 ||
		strings.Count(stderr, "odd.js:2:") != 1 || strings.Count(stderr, "lost.js:2:") != 1 {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exit, out, stderr := runNano(t, "run", "examples/hello.js", "--listen", taken.Addr().String())
	if exit != 1 || out != "" || !strings.HasPrefix(stderr, "nano: ") || !strings.Contains(stderr, "address already in use") ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
}

// TestDrain: a request that is in hand when the signal comes is answered, and the node ends well.
func TestDrain(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"slow.js": `export default { async fetch() {
			console.log("begun");
			await new Promise((resolve) => setTimeout(resolve, 300));
			return new Response("in the end");
		} };`,
	})
	p := startNano(t, 1, "run", filepath.Join(folder, "slow.js"), "--listen", "127.0.0.1:0")
	result := make(chan answer, 1)
	go func() {
		got, err := p.send("GET", "/", "", "")
		if err != nil {
			got.body = err.Error()
		}
		result <- got
	}()
	p.waitForLog("slow: begun")
	p.signal(syscall.SIGHUP)
	p.waitForLog("reloaded: 1 the same")
	p.signal(syscall.SIGTERM)
	if got := <-result; got.status != 200 || got.body != "in the end" {
		t.Errorf("the request in hand: %+v", got)
	}
	if exit := p.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
	p.waitForLog("ended")
}

// TestSecondSignal: whoever does not want to wait says so twice.
func TestSecondSignal(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"stuck.js": `export default { async fetch() { console.log("begun"); await new Promise(() => setTimeout(() => {}, 1e6)); } };`,
	})
	p := startNano(t, 1, "run", filepath.Join(folder, "stuck.js"), "--listen", "127.0.0.1:0")
	failed := make(chan error, 1)
	go func() { _, err := p.send("GET", "/", "", ""); failed <- err }()
	p.waitForLog("stuck: begun")
	p.signal(syscall.SIGINT)
	p.waitForLog("draining")
	time.Sleep(sameWish) // sooner, it would be taken for the first one
	p.signal(syscall.SIGINT)
	if exit := p.waitForExit(); exit != 1 {
		t.Errorf("exit code %d", exit)
	}
	p.waitForLog("nano: ended by a second signal")
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

// TestSocketActivation hands a socket over as systemd does: descriptor 3, announced in the
// environment to the process with the right id.
func TestSocketActivation(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	folder := writeFiles(t, map[string]string{
		"good.js":   goodApp,
		"nano.toml": "[server]\nlisten = [\"systemd\"]\n[[app]]\nname = \"good\"\nmain = \"good.js\"\n",
	})
	command := nanoCommand(t, "serve", "-c", filepath.Join(folder, "nano.toml"))
	command.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, command.Args...)
	if command.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	command.Env = append(command.Env, "LISTEN_FDS=1")
	command.ExtraFiles = []*os.File{socket}
	p := startCommand(t, 1, command)
	if want := "http://" + listener.Addr().String(); p.url != want {
		t.Errorf("serves on %q, want %q", p.url, want)
	}
	p.expect("GET", "/", "", "", 200, "well")
	var builders []int
	eventually(t, "a builder", func() bool { builders = p.builders(); return len(builders) == 1 })
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", builders[0]))
	if err != nil || len(files) < 3 {
		t.Fatalf("files of the builder: %v, %v", files, err)
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && strings.HasPrefix(target, "socket:") {
			t.Errorf("the builder has %s", target)
		}
	}
	p.signal(syscall.SIGTERM)
	if exit := p.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
}

// TestUnixSocketAndLogs serves on a unix socket, and logs for machines.
func TestUnixSocketAndLogs(t *testing.T) {
	folder := writeFiles(t, map[string]string{"log.js": `export default { fetch() { console.warn("a", { b: 1 }); return new Response("ok"); } };`})
	socket := filepath.Join(folder, "s")
	toml := filepath.Join(folder, "nano.toml")
	text := "[server]\nlisten = [\"unix:" + socket + "\"]\nlog = \"json\"\naccess_log = true\n[[app]]\nname = \"log\"\nmain = \"log.js\"\n"
	if err := os.WriteFile(toml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startNano(t, 0, "serve", "-c", toml)
	if line := p.waitForLog(`"msg":"serving"`); !strings.Contains(line, `"addresses":["unix:`+socket+`"]`) {
		t.Errorf("banner %s", line)
	}
	connection, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprint(connection, "GET /x HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%+v, %v", response, err)
	}
	var appLine struct{ Level, Msg, App, Version, Request string }
	if err := json.Unmarshal([]byte(p.waitForLog(`"msg":"a {`)), &appLine); err != nil || appLine.Level != "WARN" || appLine.App != "log" || len(appLine.Version) != 12 {
		t.Errorf("%+v, %v", appLine, err)
	}
	var access struct {
		Method, Target, Host, Request string
		Status                        int
	}
	if err := json.Unmarshal([]byte(p.waitForLog(`"target":"/x"`)), &access); err != nil || access.Status != 200 || access.Host != "a.test" || access.Method != "GET" ||
		access.Request != appLine.Request || len(access.Request) != 16 {
		t.Errorf("%+v, %v", access, err)
	}
	p.signal(syscall.SIGTERM)
	if exit := p.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket's file is left")
	}
}

// TestLoopsMax: what the configuration takes is what a node starts.
func TestLoopsMax(t *testing.T) {
	for loops, want := range map[int]bool{loop.LoopsMax: true, loop.LoopsMax + 1: false} {
		folder := writeFiles(t, map[string]string{
			"nano.toml": fmt.Sprintf("[server]\nloops = %d\n[[app]]\nname = \"good\"\nmain = \"good.js\"\n", loops),
			"good.js":   goodApp,
		})
		_, err := config.Load(filepath.Join(folder, "nano.toml"))
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "nano.toml:2:9: [server] loops") {
			t.Errorf("%d loops: %v", loops, err)
		}
	}
}
