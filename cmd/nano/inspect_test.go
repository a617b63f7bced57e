package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"nano/config"
)

// startDebugged runs the app of testdata/debug.ts with a debugger's port.
func startDebugged(t *testing.T, flags ...string) (p *process, inspector string) {
	t.Helper()
	args := append([]string{"run", filepath.Join("cmd", "nano", "testdata", "debug.ts"), "--listen", "127.0.0.1:0"}, flags...)
	p = startNano(t, 2, args...)
	_, inspector, ok := strings.Cut(p.banner[1], "attach to ")
	if !ok {
		t.Fatalf("the banner is %q", p.banner)
	}
	return p, inspector
}

// inspectorClient is a client of the protocol.
type inspectorClient struct {
	t      *testing.T
	socket *websocket.Conn
	lastID int
	early  []inspectorMessage // came before they were waited for
}

type inspectorMessage struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func dialInspector(t *testing.T, address string) *inspectorClient {
	t.Helper()
	response, err := http.Get("http://" + address + "/json/list")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var targets []struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(response.Body).Decode(&targets); err != nil || len(targets) != 1 {
		t.Fatalf("%v, %v", targets, err)
	}
	socket, _, err := websocket.DefaultDialer.Dial(targets[0].WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return &inspectorClient{t: t, socket: socket}
}

// wait gives the first message that matches.
func (c *inspectorClient) wait(what string, matches func(*inspectorMessage) bool) inspectorMessage {
	c.t.Helper()
	for i, message := range c.early {
		if matches(&message) {
			c.early = append(c.early[:i:i], c.early[i+1:]...)
			return message
		}
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(patience))
	for {
		var message inspectorMessage
		if err := c.socket.ReadJSON(&message); err != nil {
			c.t.Fatalf("no %s: %v", what, err)
		}
		if matches(&message) {
			return message
		}
		c.early = append(c.early, message)
	}
}

func (c *inspectorClient) event(method string) string {
	c.t.Helper()
	return string(c.wait(method, func(m *inspectorMessage) bool { return m.Method == method }).Params)
}

func (c *inspectorClient) call(method, params string) string {
	c.t.Helper()
	c.lastID++
	id := c.lastID
	if err := c.socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":%d,"method":%q,"params":%s}`, id, method, params)); err != nil {
		c.t.Fatal(err)
	}
	answer := c.wait("answer to "+method, func(m *inspectorMessage) bool { return m.ID == id })
	if answer.Error != nil {
		c.t.Errorf("%s: %s", method, answer.Error)
	}
	return string(answer.Result)
}

// TestInspect: a request stands at a breakpoint, others wait, and the node ends in good order though it does.
func TestInspect(t *testing.T) {
	p, address := startDebugged(t, "--inspect=0")
	c := dialInspector(t, address)
	c.call("Runtime.enable", "{}")
	c.call("Debugger.enable", "{}")
	parsed := c.wait("the app", func(m *inspectorMessage) bool {
		return m.Method == "Debugger.scriptParsed" && strings.Contains(string(m.Params), `debug.bundle.js","startLine"`) // others have it in their stackTrace
	})
	if !strings.Contains(string(parsed.Params), `"sourceMapURL":"data:application/json`) {
		t.Errorf("%.500s", parsed.Params)
	}
	if got := p.ask("GET", "/", "", ""); got.body != "sum 42\n" {
		t.Errorf("%+v", got)
	}
	if logged := c.event("Runtime.consoleAPICalled"); !strings.Contains(logged, `"sum"`) {
		t.Error(logged)
	}
	c.call("Runtime.evaluate", `{"expression":"globalThis.stop = 1"}`)
	c.call("Debugger.setBreakpointByUrl", `{"lineNumber":0,"urlRegex":"debug\\.bundle\\.js$","condition":"globalThis.stop"}`)
	c.call("Debugger.pause", "{}")
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get(p.url)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	if paused := c.event("Debugger.paused"); !strings.Contains(paused, `"functionName":"fetch"`) {
		t.Error(paused)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if body := <-answered; body != "sum 42\n" {
		t.Errorf("the request that stood at a breakpoint when the node was to end got %q", body)
	}
	select {
	case <-p.ended:
		if code := p.command.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(patience):
		t.Error("the node does not end")
	}
}

// TestInspectBreak: the app's first line waits for a debugger.
func TestInspectBreak(t *testing.T) {
	p, address := startDebugged(t, "--inspect-brk=127.0.0.1:0")
	answered := make(chan answer, 1)
	c := dialInspector(t, address)
	c.call("Debugger.enable", "{}")
	go func() { answered <- p.ask("GET", "/", "", "") }()
	c.call("Runtime.runIfWaitingForDebugger", "{}")
	if paused := c.event("Debugger.paused"); !strings.Contains(paused, "Break on start") {
		t.Error(paused)
	}
	select {
	case early := <-answered:
		t.Errorf("answered before the first line: %+v", early)
	default:
	}
	c.call("Debugger.resume", "{}")
	if got := <-answered; got.body != "sum 42\n" {
		t.Errorf("%+v", got)
	}
}

func TestInspectFlags(t *testing.T) {
	for value, want := range map[string]string{
		"true": "127.0.0.1:9229", "9230": "127.0.0.1:9230", "[::1]:9": "[::1]:9", "0.0.0.0:9": "0.0.0.0:9", "::1": "",
	} {
		var flag inspectFlag
		if err := flag.Set(value); (err != nil) != (want == "") || flag.address != want {
			t.Errorf("%q: %q, %v", value, flag.address, err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	exit, _, stderr := runNano(t, "run", "examples/hello.js", "--listen", "127.0.0.1:0", "--inspect="+taken.Addr().String())
	if exit != 1 || !strings.Contains(stderr, "--inspect: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
}

// TestInspectWithAClient debugs TypeScript with chrome-remote-interface, which npm brings.
func TestInspectWithAClient(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("without %s: %v", tool, err)
		}
	}
	folder := t.TempDir()
	install := exec.CommandContext(t.Context(), "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--prefer-offline",
		"--fetch-retries", "0", "--fetch-timeout", "20000", "chrome-remote-interface@0.33.3")
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm does not bring the client: %v: %.300s", err, out)
	}
	p, address := startDebugged(t, "--inspect=0")
	_, port, _ := net.SplitHostPort(address)
	client := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "debug.mjs"), folder, port, "debug.ts", "5", p.url)
	out, err := client.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var told struct {
		HasSource bool
		Evaluated string
		Places    [][]any
		Text      string
		Logged    [][]any
	}
	if err := json.Unmarshal(out, &told); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	places := fmt.Sprint(told.Places)
	if !told.HasSource || told.Evaluated != "string" || told.Text != "sum 42\n" || len(told.Logged) != 1 ||
		places != "[[fetch 5] [fetch 6] [add 13] [fetch 7]]" {
		t.Errorf("the client has seen %s", out)
	}
}

// TestInspectorsOfAReload: while a configuration is being applied the apps of both are debuggable, and then those of the
// one that is in force.
func TestInspectorsOfAReload(t *testing.T) {
	of := func(names ...string) *config.Config {
		c := &config.Config{}
		for _, name := range names {
			c.Apps = append(c.Apps, config.App{Name: name})
		}
		return c
	}
	before, after := of("stays", "goes"), of("stays", "comes")
	d := &debugging{address: "127.0.0.1:0"}
	if err := d.listen(before); err != nil {
		t.Fatal(err)
	}
	defer d.close()
	stays, goes := d.inspectorOf("stays"), d.inspectorOf("goes")
	has := func(names ...string) {
		t.Helper()
		for _, name := range []string{"stays", "goes", "comes"} {
			if slices.Contains(names, name) != (d.inspectorOf(name) != nil) {
				t.Errorf("%s: %v, want %v", name, d.inspectorOf(name), names)
			}
		}
	}
	load := d.loading(func() (*config.Config, error) { return after, nil })
	if _, err := load(); err != nil {
		t.Fatal(err)
	}
	has("stays", "goes", "comes")
	if d.inspectorOf("stays") != stays || d.inspectorOf("goes") != goes {
		t.Error("a configuration that may be refused has cost an app its debugger")
	}
	if _, err := load(); err != nil {
		t.Fatal(err)
	}
	d.settle(after)
	has("stays", "comes")
	if d.inspectorOf("stays") != stays {
		t.Error("a reload has cost an app its debugger")
	}
}
