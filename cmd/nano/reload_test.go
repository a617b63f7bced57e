package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// versionApp answers with its version.
func versionApp(version int) string {
	return fmt.Sprintf("const v = %d;\nexport default { fetch: (request) => new Response(`v${v}`) };\n", version)
}

const reloadToml = "[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 2\n[[app]]\nname = \"a\"\nmain = \"a.js\"\nhealth = \"/ok\"\n"

// crowd is clients that ask for "/" without a pause, each on a connection of its own that it never gives up, and
// want answers "vN" whose N never becomes less.
type crowd struct {
	t       *testing.T
	stop    atomic.Bool
	clients sync.WaitGroup
	answers atomic.Int64
	latest  atomic.Int64
}

func startCrowd(t *testing.T, url string, clients int) *crowd {
	c := &crowd{t: t}
	address := strings.TrimPrefix(url, "http://")
	for range clients {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.clients.Go(func() {
			defer connection.Close()
			if err := c.ask(connection); err != nil {
				t.Errorf("after %d answers: %v", c.answers.Load(), err)
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func (c *crowd) end() {
	c.stop.Store(true)
	c.clients.Wait()
}

func (c *crowd) ask(connection net.Conn) error {
	reader := bufio.NewReader(connection)
	last := int64(0)
	for !c.stop.Load() {
		connection.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprint(connection, "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		version, err := readVersion(response)
		switch {
		case err != nil:
			return err
		case version < last:
			return fmt.Errorf("version %d after %d", version, last)
		}
		last = version
		c.latest.Store(max(c.latest.Load(), version))
		c.answers.Add(1)
	}
	return nil
}

func readVersion(response *http.Response) (int64, error) {
	defer response.Body.Close()
	line, _ := bufio.NewReader(response.Body).ReadString('\n') // the end of the body ends it too
	version, err := strconv.ParseInt(strings.TrimPrefix(line, "v"), 10, 64)
	if response.StatusCode != 200 || err != nil {
		return 0, fmt.Errorf("%s: %q", response.Status, line)
	}
	return version, nil
}

// TestReloadsUnderLoad changes an app again and again while clients ask for it on connections that stay: not one
// request fails, and none gets an older version than the one before.
func TestReloadsUnderLoad(t *testing.T) {
	folder := writeFiles(t, map[string]string{"nano.toml": reloadToml, "a.js": versionApp(0)})
	file := filepath.Join(folder, "nano.toml")
	p := startNano(t, 1, "serve", "-c", file)
	crowd := startCrowd(t, p.url, 8)
	const reloads = 30
	for version := 1; version <= reloads; version++ {
		if err := os.WriteFile(filepath.Join(folder, "a.js"), []byte(versionApp(version)), 0o600); err != nil {
			t.Fatal(err)
		}
		if exit, out, stderr := runNano(t, "reload", "-c", file); exit != 0 || !strings.HasPrefix(out, "a: replaced\n") {
			t.Fatalf("exit code %d: %s%s", exit, out, stderr)
		}
		p.expect("GET", "/", "a.test", "", 200, fmt.Sprint("v", version)) // from now on, everybody gets it
	}
	crowd.end()
	if crowd.latest.Load() != reloads || crowd.answers.Load() < reloads {
		t.Errorf("%d answers, the last of version %d", crowd.answers.Load(), crowd.latest.Load())
	}
	p.signal(syscall.SIGTERM)
	if exit := p.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
}

func TestReloadThatFails(t *testing.T) {
	folder := writeFiles(t, map[string]string{"nano.toml": reloadToml, "a.js": versionApp(1)})
	file := filepath.Join(folder, "nano.toml")
	if exit, _, stderr := runNano(t, "reload", "-c", file); exit != 1 || !strings.Contains(stderr, "does not run") {
		t.Errorf("without a node: exit code %d: %s", exit, stderr)
	}
	p := startNano(t, 1, "serve", "-c", file)
	for text, want := range map[string]string{
		"export default { fetch() { return a +; } };\n":                                "a.js:1:",
		"\nthrow new TypeError('at the top level');\n":                                 "a.js:2:7",
		"export default { fetch: () => new Response('', { status: 503 }) };\n":         "is answered with 503",
		"export default { fetch() { throw new Error('not well'); } };\n":               "health: GET /ok",
		"import './gone.js';\nexport default { fetch: () => new Response('gone') };\n": "gone.js",
	} {
		if err := os.WriteFile(filepath.Join(folder, "a.js"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		exit, out, stderr := runNano(t, "reload", "-c", file)
		if exit != 1 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "a: ") {
			t.Errorf("exit code %d, want %q in: %s%s", exit, want, out, stderr)
		}
		p.expect("GET", "/", "", "", 200, "v1")
	}
	// A broken file changes nothing, and its problems are told; for a signal, in the log.
	if err := os.WriteFile(file, []byte("[server]\nlisen = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, stderr := runNano(t, "reload", "-c", file); exit != 1 || !strings.Contains(stderr, "did you mean listen?") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
	p.signal(syscall.SIGHUP)
	p.waitForLog("reload: nothing is changed: ")
	p.expect("GET", "/", "", "", 200, "v1")
	// What the node was started from does not matter to it any more.
	if err := os.Remove(filepath.Join(folder, "a.js")); err != nil {
		t.Fatal(err)
	}
	p.expect("GET", "/", "", "", 200, "v1")
}

var processServes = regexp.MustCompile(`^process ([0-9]+) serves now\n$`)

// upgradeNano upgrades a node, and has the process that took its place ended with the test.
func upgradeNano(t *testing.T, p *process, file string) (successor int) {
	t.Helper()
	exit, out, stderr := runNano(t, "upgrade", "-c", file)
	match := processServes.FindStringSubmatch(out)
	if exit != 0 || match == nil {
		t.Fatalf("exit code %d: %s%s", exit, out, stderr)
	}
	successor, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(successor, syscall.SIGKILL) })
	return successor
}

// TestUpgradesUnderLoad replaces a node by another process, and that by a third, while clients ask for its app on
// connections of their own: not one request fails.
func TestUpgradesUnderLoad(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "http.sock")
	toml := strings.Replace(reloadToml, `listen = ["127.0.0.1:0"]`, fmt.Sprintf(`listen = ["127.0.0.1:0", "unix:%s"]`, socket), 1)
	folder := writeFiles(t, map[string]string{"nano.toml": toml, "a.js": versionApp(1)})
	file := filepath.Join(folder, "nano.toml")
	p := startNano(t, 2, "serve", "-c", file)
	var stop atomic.Bool
	var answers atomic.Int64
	var clients sync.WaitGroup
	for i := range 6 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 0} // which asks again where an idle connection was closed
		clients.Go(func() {
			client := http.Client{Transport: transport, Timeout: patience}
			defer transport.CloseIdleConnections()
			for !stop.Load() {
				response, err := client.Get(p.url)
				if err == nil {
					_, err = readVersion(response)
				}
				if err != nil {
					t.Errorf("after %d answers: %v", answers.Load(), err)
					return
				}
				answers.Add(1)
			}
		})
	}
	defer clients.Wait()
	defer stop.Store(true)
	for answers.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	first := upgradeNano(t, p, file)
	// More loops than before, which share the sockets, and then fewer.
	if err := os.WriteFile(file, []byte(strings.Replace(toml, "loops = 2", "loops = 3", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	second := upgradeNano(t, p, file)
	if err := os.WriteFile(file, []byte(strings.Replace(toml, "loops = 2", "loops = 1", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	third := upgradeNano(t, p, file)
	if first == second || second == third || p.command.Process.Pid == first {
		t.Errorf("processes %d, %d, %d", first, second, third)
	}
	before := answers.Load()
	for answers.Load() < before+100 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	clients.Wait()
	over := http.Client{Timeout: patience, Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	response, err := over.Get("http://a.test/")
	if err != nil {
		t.Fatal(err)
	}
	if version, err := readVersion(response); err != nil || version != 1 {
		t.Errorf("over the unix socket: %d, %v", version, err)
	}
	if exit, out, stderr := runNano(t, "reload", "-c", file); exit != 0 || !strings.Contains(out, "1 app unchanged") {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
}

// TestUpgradeThatFails: the node that runs goes on, and can be upgraded later.
func TestUpgradeThatFails(t *testing.T) {
	folder := writeFiles(t, map[string]string{"nano.toml": reloadToml, "a.js": versionApp(1)})
	file := filepath.Join(folder, "nano.toml")
	if exit, _, stderr := runNano(t, "serve", "--upgrade", "-c", file); exit != 1 || !strings.Contains(stderr, "no node runs") {
		t.Errorf("without a node: exit code %d: %s", exit, stderr)
	}
	p := startNano(t, 1, "serve", "-c", file)
	// An address that is taken: the new process ends after it was given the sockets.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	toml := strings.Replace(reloadToml, `["127.0.0.1:0"]`, fmt.Sprintf(`["127.0.0.1:0", %q]`, taken.Addr()), 1)
	if err := os.WriteFile(file, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, stderr := runNano(t, "upgrade", "-c", file); exit != 1 || !strings.Contains(stderr, "does not serve") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
	p.waitForLog("address already in use")
	p.waitForLog("the other process does not serve, this one goes on")
	for range 20 {
		p.expect("GET", "/", "", "", 200, "v1")
	}
	if err := os.WriteFile(file, []byte(reloadToml), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, out, stderr := runNano(t, "reload", "-c", file); exit != 0 {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
	upgradeNano(t, p, file)
	p.expect("GET", "/", "", "", 200, "v1")
}

// TestLongStateDir: the path of the control socket may be longer than that of any socket.
func TestLongStateDir(t *testing.T) {
	long := strings.Repeat("long-", 30)
	folder := writeFiles(t, map[string]string{
		"nano.toml": strings.Replace(reloadToml, "[server]\n", fmt.Sprintf("[server]\nstate_dir = %q\n", long), 1), "a.js": versionApp(1),
	})
	file := filepath.Join(folder, "nano.toml")
	p := startNano(t, 1, "serve", "-c", file)
	if exit, out, stderr := runNano(t, "reload", "-c", file); exit != 0 || !strings.Contains(out, "1 app unchanged") {
		t.Errorf("exit code %d: %s%s", exit, out, stderr)
	}
	socket := filepath.Join(folder, long, controlSocketFile)
	if info, err := os.Stat(socket); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
	p.signal(syscall.SIGTERM)
	p.waitForExit()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
