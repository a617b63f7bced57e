package main

import (
	"bufio"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// livePages is an app with a page of its own, one that it streams, and static files.
var livePages = map[string]string{
	"nano.toml":          "[[app]]\nname = \"site\"\nmain = \"site.js\"\nstatic = \"public\"\n",
	"site.js":            livePage("first"),
	"public/static.html": "<!doctype html><link rel=stylesheet href=style.css><h1>static</h1>",
	"public/style.css":   "h1 { color: rgb(1, 2, 3) }",
}

func livePage(text string) string {
	return `export default { fetch(request) {
	const html = { headers: { "content-type": "text/html" } }, text = "<!doctype html><h1>` + text + `</h1>";
	switch (new URL(request.url).pathname) {
	case "/json": return Response.json({});
	case "/policy": html.headers["content-security-policy"] = "script-src 'none'"; return new Response(text, html);
	case "/stream": return new Response(new Blob([text]).stream(), html);
	case "/gzip":
		html.headers["content-encoding"] = "gzip";
		return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip")), { ...html, encodeBody: "manual" });
	}
	return new Response(text, html);
} };
`
}

// navigate gets a page as a browser does.
func (p *devProject) navigate(path string) (status int, length int64, body string) {
	p.t.Helper()
	response, body := p.get(path, http.Header{"Accept": {browser}, "Sec-Fetch-Dest": {"document"}, "Accept-Encoding": {"gzip"}})
	return response.StatusCode, response.ContentLength, body
}

// TestDevLiveReload: pages have the script, others do not; who listens is told of apps and of static files.
func TestDevLiveReload(t *testing.T) {
	p := startDev(t, livePages)
	p.waitFor(others, "first")
	const script = "EventSource"
	for path, isLive := range map[string]bool{"/": true, "/stream": true, "/static.html": true, "/style.css": false, "/json": false, "/policy": false, "/gzip": false} {
		status, length, body := p.navigate(path)
		if status != 200 || strings.Contains(body, script) != isLive || length >= 0 && length != int64(len(body)) {
			t.Errorf("%s: %d, length %d, %s", path, status, length, body)
		}
		if _, _, body := p.ask(path, others); strings.Contains(body, script) {
			t.Errorf("%s has a script for who is no browser: %s", path, body)
		}
	}
	response, err := http.Get(p.url + "/__nano/dev/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	told := make(chan string, 100)
	go func() {
		defer close(told)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				told <- data
			}
		}
	}()
	now := <-told
	if _, _, body := p.navigate("/"); !strings.Contains(body, now) {
		t.Errorf("the page is not of %s: %s", now, body)
	}
	for _, save := range []struct{ name, text, path, want string }{
		{"public/style.css", "h1 { color: red }", "/style.css", "red"},
		{"public/new/page.html", "<p>new", "/new/page.html", "<p>new"},
		{"site.js", livePage("second"), "/", "<h1>second</h1>"},
	} {
		p.save(t, save.name, save.text)
		for before := now; now == before; {
			now = <-told
		}
		for deadline := time.Now().Add(patience); ; { // of a new folder, that is told first
			_, _, body := p.navigate(save.path)
			if strings.Contains(body, save.want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", save.path, body)
			}
		}
	}
	p.waitForLog("rebuilt in ")
	if logged := p.logText(); !strings.Contains(logged, "changed: public/style.css") || strings.Count(logged, "rebuilt") != 1 {
		t.Errorf("static files have apps rebuilt:\n%s", logged)
	}
	off := startDev(t, livePages, "--no-live-reload")
	off.waitFor(others, "first")
	if _, _, body := off.navigate("/"); strings.Contains(body, script) {
		t.Errorf("turned off: %s", body)
	}
}

// startChromium starts a browser with a page, and gives a client of the page's inspector.
func startChromium(t *testing.T) *inspectorClient {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	folder := t.TempDir()
	command := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+filepath.Join(folder, "profile"), "--remote-debugging-port=0", "about:blank")
	command.Env = append(command.Environ(), "HOME="+folder)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Skip("chromium does not start:", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // with its children, so that its folder can be removed
		_ = command.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		_, address, ok := strings.Cut(lines.Text(), "DevTools listening on ws://")
		if !ok {
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, stderr) }()
		host, _, _ := strings.Cut(address, "/")
		target := inspected(t, host)["about:blank"] // there are others, of what is around the page
		if target == "" {
			break
		}
		socket, _, err := websocket.DefaultDialer.Dial(target, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		c := &inspectorClient{t: t, socket: socket}
		c.call("Page.enable", "{}")
		c.call("Runtime.enable", "{}")
		return c
	}
	t.Skip("chromium has no page that can be driven: ", lines.Err())
	return nil
}

// shows waits until an expression has a text as its value in the page.
func (c *inspectorClient) shows(expression, want string) {
	c.t.Helper()
	got := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = c.call("Runtime.evaluate", `{"returnByValue":true,"expression":`+strconv.Quote(expression)+`}`)
		if strings.Contains(got, `"value":"`+want+`"`) {
			return
		}
	}
	c.t.Fatalf("%s is %s, want %q", expression, got, want)
}

// TestDevInBrowser: a browser shows what was saved without being told to, errors too, and is left alone between.
func TestDevInBrowser(t *testing.T) {
	c := startChromium(t)
	p := startDev(t, livePages)
	p.waitFor(others, "first")
	c.call("Page.navigate", `{"url":"`+p.url+`/"}`)
	c.shows("document.querySelector('h1')?.textContent", "first")
	c.shows("document.compatMode", "CSS1Compat")
	c.shows("document.visibilityState", "visible")
	p.save(t, "site.js", livePage("second"))
	c.shows("document.querySelector('h1')?.textContent", "second")
	p.save(t, "site.js", "export default { fetch( } }")
	c.shows("document.querySelector('.kind')?.textContent", "site does not build")
	p.save(t, "site.js", livePage("third"))
	c.shows("document.querySelector('h1')?.textContent", "third")
	p.save(t, "site.js", "export default { fetch() { throw new Error('thrown') } }")
	c.shows("document.querySelector('h1')?.textContent", "Error: thrown")
	p.save(t, "site.js", livePage("fourth"))
	c.shows("document.querySelector('h1')?.textContent", "fourth")

	c.call("Page.navigate", `{"url":"`+p.url+`/static.html"}`)
	const color = "document.querySelector('h1') && getComputedStyle(document.querySelector('h1')).color"
	c.shows(color, "rgb(1, 2, 3)")
	p.save(t, "public/style.css", "h1 { color: rgb(4, 5, 6) }")
	c.shows(color, "rgb(4, 5, 6)")
	c.call("Runtime.evaluate", `{"expression":"globalThis.stays = 'yes'"}`)
	p.save(t, "unrelated.txt", "not watched")
	p.navigate("/")
	c.shows("String(globalThis.stays)", "yes")
}
