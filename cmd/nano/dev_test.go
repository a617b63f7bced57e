package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// devProject is a folder on which nano dev works.
type devProject struct {
	*process
	folder string
}

// startDev writes files and starts nano dev among them.
func startDev(t *testing.T, files map[string]string, args ...string) *devProject {
	t.Helper()
	p := &devProject{folder: t.TempDir()}
	for name, text := range files {
		p.save(t, name, text)
	}
	command := nanoCommand(t, append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...)
	command.Dir = p.folder
	lines := 1
	if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--inspect") }) {
		lines++ // where debuggers find the one app
	}
	p.process = startCommand(t, lines, command)
	_, p.url, _ = strings.Cut(p.banner[lines-1], " on ")
	return p
}

// save writes a file as simple editors do.
func (p *devProject) save(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file as other editors do: beside it, and renamed.
func (p *devProject) replace(t *testing.T, name, text string) {
	t.Helper()
	p.save(t, name+".tmp", text)
	if err := os.Rename(filepath.Join(p.folder, name+".tmp"), filepath.Join(p.folder, name)); err != nil {
		t.Fatal(err)
	}
}

// ask gives status, header and body of what is answered to who accepts a type.
func (p *devProject) ask(path, accept string) (status int, header http.Header, body string) {
	p.t.Helper()
	response, body := p.get(path, http.Header{"Accept": {accept}})
	return response.StatusCode, response.Header, body
}

// get gives the answer to a request with a header, and its body.
func (p *devProject) get(path string, header http.Header) (response *http.Response, body string) {
	p.t.Helper()
	request, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header = header
	response, err = http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response, string(content)
}

// What clients accept.
const (
	browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	others  = "*/*"
)

// waitFor asks until an answer contains a text.
func (p *devProject) waitFor(accept, want string) (body string) {
	p.t.Helper()
	return p.waitAt("/", accept, want)
}

func (p *devProject) waitAt(path, accept, want string) (body string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		_, _, body := p.ask(path, accept)
		if strings.Contains(body, want) {
			return body
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no answer has %q, the last one is %.500s", want, body)
		}
	}
}

// answering is an app that answers with a text.
func answering(text string) string {
	return "export default { fetch() { return new Response(" + text + "); } };\n"
}

func TestDev(t *testing.T) {
	p := startDev(t, map[string]string{"src/index.js": answering(`"first"`)}, "src/index.js")
	p.waitFor(others, "first")

	p.save(t, "src/index.js", answering(`"second"`))
	p.waitFor(browser, "second")
	p.replace(t, "src/index.js", answering(`"third"`))
	p.waitFor(others, "third")
	p.waitForLog("rebuilt in ")

	p.save(t, "src/index.js", "export default {\n  fetch() { return new Response('a' 'b') }\n}\n")
	page := p.waitFor(browser, "SyntaxError")
	for _, want := range []string{"src/index.js:2:", "missing )", `class="marked"`, "EventSource"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if status, _, body := p.ask("/", others); status != 200 || body != "third" {
		t.Errorf("who is no browser gets %d %s", status, body)
	}
	p.waitForLog(">    2 |   fetch() { return new Response('a' 'b') }")

	p.save(t, "src/index.js", "throw new RangeError('at the top');\n")
	p.waitFor(browser, "RangeError: at the top")

	p.save(t, "src/index.js", `import { text } from "./later.js";`+"\n"+answering("text"))
	p.waitFor(browser, "later.js")
	p.save(t, "src/later.js", `export const text = "fourth";`)
	p.waitFor(others, "fourth")
	p.replace(t, "src/later.js", `export const text = "fifth";`)
	p.waitFor(browser, "fifth")

	if err := os.Remove(filepath.Join(p.folder, "src/index.js")); err != nil {
		t.Fatal(err)
	}
	p.waitFor(browser, "no such file")
	p.save(t, "src/index.js", answering(`"sixth"`))
	p.waitFor(browser, "sixth")

	if err := p.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
	if strings.Contains(p.logText(), "drain") {
		t.Errorf("it complains of open connections:\n%s", p.logText())
	}
}

// TestDevHostile has an app fail with texts that would be markup, commands of a terminal, or paths of others' files.
func TestDevHostile(t *testing.T) {
	p := startDev(t, map[string]string{"app.js": `export default { fetch() {
	const error = new Error("</script><script>alert(1)</script><img src=x onerror=alert(2)> \u001b[2J");
	error.stack = error.message + "\n    at f (/etc/passwd:1:1)\n    at g (../../../../../etc/passwd:1:1)";
	throw error;
} };`}, "app.js")
	for _, accept := range []string{browser, others} {
		status, header, body := p.ask("/", accept)
		if status != 500 || strings.Contains(body, "root:") {
			t.Errorf("%s: %d %s", accept, status, body)
		}
		if accept == others {
			if got := header.Get("content-type"); got != "text/plain; charset=utf-8" || header.Get("x-content-type-options") != "nosniff" {
				t.Errorf("header %v", header)
			}
			continue
		}
		if strings.Contains(body, "<img") || strings.Count(body, "<script") != 1 || !strings.Contains(body, "&lt;img") {
			t.Errorf("not escaped:\n%s", body)
		}
		if policy := header.Get("content-security-policy"); !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("policy %q", policy)
		}
	}
	p.waitForLog("alert(1)")
	if strings.Contains(p.logText(), "\x1b") {
		t.Error("the terminal gets commands of the app")
	}
	request, err := http.NewRequest("GET", p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); strings.Contains(string(body), "app.js") {
		t.Errorf("another's web page reads sources: %s", body)
	}
}

// TestDevConfiguration changes nano.toml, and what it names.
func TestDevConfiguration(t *testing.T) {
	const one = "[[app]]\nname = \"a\"\nmain = \"a.js\"\n[app.secrets]\nKEY = { file = \"key\" }\n"
	p := startDev(t, map[string]string{
		"nano.toml": one, "key": "old", "b.js": answering(`"of b"`),
		"a.js": "export default { fetch(request, env) { return new Response(`a has ${env.KEY}`); } };",
	})
	p.waitFor(others, "a has old")
	p.replace(t, "key", "new")
	p.waitFor(others, "a has new")
	p.save(t, "nano.toml", one+"[[app]]\n")
	p.waitFor(browser, "The configuration cannot be read")
	p.waitFor(others, "a has new")
	p.replace(t, "nano.toml", one+"[[app]]\nname = \"b\"\nmain = \"b.js\"\npath = \"/b\"\n")
	p.waitFor(browser, "a has new")
	if status, _, body := p.ask("/b", others); status != 200 || body != "of b" {
		t.Errorf("b answers %d %s", status, body)
	}
}

// TestDevManySaves saves faster than anybody builds, and looks for what is left.
func TestDevManySaves(t *testing.T) {
	p := startDev(t, map[string]string{"app.ts": answering(`"first"`)}, "app.ts")
	p.waitFor(others, "first")
	files := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.command.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	mappings := func() int { // each isolate has several
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.command.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(maps), "\n")
	}
	before := files()
	early := 0
	for i := range 200 {
		text := answering(fmt.Sprintf(`"save %d." as string`, i))
		if i%2 == 0 {
			p.save(t, "app.ts", text)
		} else {
			p.replace(t, "app.ts", text)
		}
		time.Sleep(time.Millisecond) // as fast as a script saves
		if i%10 == 9 {
			p.waitFor(others, fmt.Sprintf("save %d.", i)) // so that there are some versions
		}
		if i == 99 {
			early = mappings()
		}
	}
	p.waitFor(others, "save 199.")
	for deadline := time.Now().Add(patience); files() > before+4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d were", files(), before)
		}
	}
	for deadline := time.Now().Add(patience); mappings() > early+50; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d mappings of memory, %d after half of the saves", mappings(), early)
		}
	}
}

// inspected are the WebSockets of the targets of an inspector, by title.
func inspected(t *testing.T, address string) map[string]string {
	t.Helper()
	response, err := http.Get("http://" + address + "/json/list")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var targets []struct{ Title, WebSocketDebuggerURL string }
	if err := json.NewDecoder(response.Body).Decode(&targets); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, target := range targets {
		found[target.Title] = target.WebSocketDebuggerURL
	}
	return found
}

// attach gives a client of a target, in the domains that matter.
func attach(t *testing.T, target string) *inspectorClient {
	t.Helper()
	socket, _, err := websocket.DefaultDialer.Dial(target, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	c := &inspectorClient{t: t, socket: socket}
	c.call("Runtime.enable", "{}")
	c.call("Debugger.enable", "{}")
	return c
}

// asked gives what is answered to a request that may take its time.
func (p *devProject) asked(path string) <-chan string {
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get(p.url + path)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	return answered
}

// TestDevInspectedPause: an app that stands at a breakpoint does not hold up what is saved, however many it has. The
// next version stands at its own, those at its top level too, and is not held up by them either.
func TestDevInspectedPause(t *testing.T) {
	p := startDev(t, map[string]string{
		"a.js": "export default { fetch() { let n = 0; for (let i = 0; i < 3; i++) { debugger; n++ } return new Response('went on ' + n); } };",
	}, "a.js", "--inspect=0")
	_, address, ok := strings.Cut(p.banner[0], "attach to ")
	if !ok {
		t.Fatalf("the banner is %q", p.banner)
	}
	p.waitFor(others, "went on 3") // nobody debugs it
	c := attach(t, inspected(t, address)["a"])
	answered := p.asked("/")
	c.event("Debugger.paused")
	p.save(t, "a.js", "debugger; export default { fetch() { return new Response('never asked'); } };")
	c.event("Debugger.resumed")
	if body := <-answered; body != "went on 3" {
		t.Errorf("the request that stood at a breakpoint got %q", body)
	}
	c.event("Runtime.executionContextDestroyed")
	c.event("Debugger.paused") // at the top level, while it is loaded
	p.save(t, "a.js", "export default { fetch() { if (globalThis.stands) debugger; return new Response('of the third'); } };")
	c.event("Debugger.resumed")
	p.waitFor(others, "of the third")
	c.call("Runtime.evaluate", `{"expression":"globalThis.stands = true"}`)
	answered = p.asked("/")
	c.event("Debugger.paused")
	c.call("Debugger.resume", "{}")
	if body := <-answered; body != "of the third" {
		t.Errorf("the last version answers %q", body)
	}
}

// TestDevInspectedApps: what can be debugged changes with nano.toml.
func TestDevInspectedApps(t *testing.T) {
	const one, two = "[[app]]\nname = \"a\"\nmain = \"a.js\"\n", "[[app]]\nname = \"b\"\nmain = \"b.js\"\npath = \"/b\"\n"
	p := startDev(t, map[string]string{"nano.toml": one, "a.js": answering(`"of a"`), "b.js": answering(`"of b"`)}, "--inspect=0")
	_, address, _ := strings.Cut(p.banner[0], "attach to ")
	before := inspected(t, address)
	p.save(t, "nano.toml", one+two)
	p.waitAt("/b", others, "of b")
	after := inspected(t, address)
	if len(after) != 2 || after["a"] != before["a"] || after["b"] == "" {
		t.Fatalf("targets %v, were %v", after, before)
	}
	a, b := attach(t, after["a"]), attach(t, after["b"])
	if got := b.call("Runtime.evaluate", `{"expression":"20 + 1"}`); !strings.Contains(got, `"value":21`) {
		t.Error(got)
	}
	p.save(t, "nano.toml", one)
	_ = b.socket.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := b.socket.ReadMessage(); err != nil {
			if closed := (*websocket.CloseError)(nil); !errors.As(err, &closed) || closed.Code != websocket.CloseGoingAway {
				t.Errorf("the session with an app that is gone ends by %v", err)
			}
			break
		}
	}
	if left := inspected(t, address); len(left) != 1 || left["a"] != before["a"] {
		t.Errorf("targets %v, were %v", left, before)
	}
	a.call("Runtime.evaluate", `{"expression":"1"}`)
	p.waitAt("/b", others, "of a") // sessions end before the app does
	p.save(t, "nano.toml", one+two)
	p.waitAt("/b", others, "of b")
	attach(t, inspected(t, address)["b"]).call("Runtime.evaluate", `{"expression":"1"}`)
}
