package dev

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nano/apps"
	"nano/bundle"
	"nano/config"
	"nano/control"
	"nano/isolates"
	"nano/loop"
)

// developing is a Developer of one app, "app", in a folder, whose reloads come to what the test says.
type developing struct {
	*Developer
	t      *testing.T
	folder string
	node   Node
	report control.Report
	err    error
	told   []string
	log    strings.Builder
	before func() // of a reload
}

func newDeveloping(t *testing.T, main string) *developing {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &developing{t: t, folder: folder, Developer: New(Options{Base: folder})}
	d.save("main.js", main)
	c, err := config.Single(filepath.Join(folder, "main.js"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Apps[0].Name = "app"
	d.Logger = slog.New(&Terminal{To: &d.log, Developer: d.Developer})
	d.node = Node{
		Reload: func(context.Context) (*control.Report, error) {
			if d.before != nil {
				d.before()
			}
			return &d.report, d.err
		},
		Config: func() *config.Config { return c },
		Tell:   func(text string) { d.told = append(d.told, text) },
	}
	d.Noted(&apps.App{AppOptions: isolates.AppOptions{Name: "app"}, Main: filepath.Join(folder, "main.js")}, []string{filepath.Join(folder, "main.js")}, nil)
	return d
}

func (d *developing) save(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.folder, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *developing) start() {
	d.t.Helper()
	d.Start(context.Background(), &d.node)
	d.t.Cleanup(d.watcher.close)
}

func (d *developing) reloads() {
	d.t.Helper()
	d.reload(context.Background(), &d.node, change{since: time.Now(), isAll: true})
}

var (
	fromBrowser = &loop.DevRequest{App: "app", Method: "GET", Host: "localhost:8080", Target: "/", Accept: "Text/HTML,*/*;q=0.8", Request: 15}
	fromOther   = &loop.DevRequest{App: "app", Method: "GET", Host: "localhost:8080", Target: "/", Accept: "*/*"}
)

// TestPages: a failed version is a page for browsers; when it serves, those that listen are told.
func TestPages(t *testing.T) {
	d := newDeveloping(t, "one\ntwo\nthree\n")
	if a := d.Before(fromBrowser); a == nil || a.Status != 503 || !strings.Contains(a.Body, "The apps are starting") {
		t.Errorf("before the start: %+v", a)
	}
	d.start()
	if a := d.Before(fromBrowser); a != nil {
		t.Errorf("an app that works: %+v", a)
	}
	d.report.Changes = []control.Change{{App: "app", Action: control.Failed, Serves: true}}
	d.Noted(&apps.App{AppOptions: isolates.AppOptions{Name: "app"}, Main: filepath.Join(d.folder, "main.js")}, nil, &bundle.Diagnostics{
		List: []bundle.Diagnostic{{File: "main.js", Line: 2, Column: 3, Text: "Expected <b>"}}, Inputs: []string{filepath.Join(d.folder, "main.js")}})
	d.reloads()
	a := d.Before(fromBrowser)
	if a == nil || a.Status != 500 {
		t.Fatalf("a failure: %+v", a)
	}
	for _, want := range []string{"Expected &lt;b&gt;", "main.js:2:3", `<span class="number">2</span>two`, "Request 000000000000000f", EventsPath, "version before"} {
		if !strings.Contains(a.Body, want) {
			t.Errorf("the page has no %q:\n%s", want, a.Body)
		}
	}
	if a := d.Before(fromOther); a != nil {
		t.Errorf("who is no browser gets %+v in the place of the version before", a)
	}
	if !strings.Contains(d.log.String(), "app does not build: Expected <b>\n") || !strings.Contains(d.log.String(), ">    2 | two\n") {
		t.Errorf("log:\n%s", d.log.String())
	}
	told := len(d.told)
	d.report.Changes = []control.Change{{App: "app", Action: control.Replaced}}
	d.reloads()
	if d.Before(fromBrowser) != nil || len(d.told) != told+1 || d.told[told] == d.told[told-1] {
		t.Errorf("told %q", d.told)
	}
	events := d.Before(&loop.DevRequest{Target: EventsPath + "?x"})
	if events == nil || !events.Events || !strings.HasSuffix(events.Body, d.told[told]) || !strings.HasPrefix(events.Body, "retry: ") {
		t.Errorf("events: %+v", events)
	}
	d.report.Changes = nil
	d.reloads()
	if len(d.told) != told+1 {
		t.Error("told of nothing")
	}
	d.err = errors.New("nano.toml:1:1: bad")
	d.reloads()
	if a := d.Before(fromBrowser); a == nil || !strings.Contains(a.Body, "The configuration cannot be read") || len(d.told) != told+2 {
		t.Errorf("the configuration: %+v, told %q", a, d.told)
	}
}

// TestPolicy: a page runs and loads nothing but its own script and style, known by a nonce that is never the same.
func TestPolicy(t *testing.T) {
	f := &failure{App: "<i>", Kind: `"><script>`, Message: "</title></style></script><script>alert(1)</script>", Note: "<b>",
		Stack: []frame{{Text: "at <img src=x onerror=alert(2)>"}}, Places: []place{{File: "<u>", Line: 1, Text: "</h2>",
			Lines: []sourceLine{{Number: 1, Text: "</pre><iframe>", IsMarked: true, HasPointer: true, Pointer: "<s>"}}}}}
	p := &page{failure: f, Live: template.JS(liveScript("boot-1"))}
	seen := map[string]bool{}
	for range 3 {
		head, body := p.render()
		if seen[p.Nonce] || len(p.Nonce) < 20 {
			t.Fatalf("nonce %q", p.Nonce)
		}
		seen[p.Nonce] = true
		for _, want := range []string{"default-src 'none'; ", "script-src 'nonce-" + p.Nonce + "'", "style-src 'nonce-" + p.Nonce + "'", "base-uri 'none'", "cache-control: no-store\r\n"} {
			if !strings.Contains(head, want) {
				t.Errorf("the head has no %q: %s", want, head)
			}
		}
		if strings.Count(body, "<script") != 1 || strings.Count(body, "</script") != 1 || strings.Count(body, "<style") != 1 || strings.Count(body, "</style") != 1 ||
			!strings.Contains(body, `<script nonce="`+p.Nonce+`">`) {
			t.Errorf("scripts:\n%s", body)
		}
		for _, tag := range []string{"<i>", "<b>", "<u>", "<s>", "<img", "<iframe", `("+alert`} {
			if strings.Contains(body, tag) {
				t.Errorf("%s is not escaped:\n%s", tag, body)
			}
		}
	}
}

// TestTrusts: sources are shown to requests for hosts only that a page of somebody else cannot have.
func TestTrusts(t *testing.T) {
	d := newDeveloping(t, "")
	c := d.node.Config()
	c.Apps[0].Hosts = []string{"shop.test", "*.shop.test"}
	d.start()
	for host, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST:80": true, "a.localhost:8080": true, "127.0.0.1:8080": true, "[::1]:8080": true, "::1": true,
		"shop.test": true, "Shop.Test.:80": true, "a.b.shop.test": true,
		"evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "evilshop.test": false, "xlocalhost": false,
	} {
		if got := d.trusts(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	r := *fromBrowser
	r.Host = "evil.example"
	if a := d.Failed(&r, &loop.DevFailure{Status: 500, Text: "nano: app: secret", Detail: "Error: secret"}); a != nil {
		t.Errorf("a stranger gets %+v", a)
	}
}

// TestExcerpts: lines are shown of an app's own files only, a bounded part of them.
func TestExcerpts(t *testing.T) {
	d := newDeveloping(t, strings.Repeat("x", 3000)+"\r\n\tlet 𝒂 = é ?? y\nbad \xff\xfe bytes\nfour\nfive\nsix\n")
	d.start()
	d.save("other.js", "not of the app")
	if err := os.Symlink("/etc/passwd", filepath.Join(d.folder, "link.js")); err != nil {
		t.Fatal(err)
	}
	files := d.filesOf("app")
	for _, name := range []string{"other.js", "link.js", "/etc/passwd", "../../../../etc/passwd", "./../" + filepath.Base(d.folder) + "/other.js", "", ".", "main.js/x", "main.js\x00"} {
		if p := newPlace(files, name, 1, 1); len(p.Lines) != 0 {
			t.Errorf("%q: %+v", name, p.Lines)
		}
	}
	for _, name := range []string{"main.js", "./main.js", filepath.Join(d.folder, "main.js")} {
		p := newPlace(files, name, 2, 11)
		if len(p.Lines) != 5 || len(p.Lines[0].Text) > lineBytesMax+len("…") || p.Lines[2].Text != "bad \ufffd bytes" {
			t.Fatalf("%s: %+v", name, p.Lines)
		}
		if marked := p.Lines[1]; !marked.IsMarked || marked.Text != "\tlet 𝒂 = é ?? y" || marked.Pointer != "\t        " {
			t.Errorf("%s: %+v", name, marked)
		}
	}
	for _, line := range []int{-1, 0, 100, 1 << 40} {
		if p := newPlace(files, "main.js", line, 1<<40); len(p.Lines) != 0 {
			t.Errorf("line %d: %+v", line, p.Lines)
		}
	}
	if p := newPlace(files, "main.js", 4, 1<<40); len(p.Lines) == 0 || len(p.Lines[3].Pointer) > 100 {
		t.Errorf("a column far out: %+v", p.Lines)
	}
	if err := os.Truncate(filepath.Join(d.folder, "main.js"), sourceBytesMax+1); err != nil {
		t.Fatal(err)
	}
	if p := newPlace(files, "main.js", 1, 1); len(p.Lines) != 0 {
		t.Error("a file beyond all bounds is read")
	}
}

// TestHostileErrors: what apps say of themselves is bounded, and never more than text.
func TestHostileErrors(t *testing.T) {
	d := newDeveloping(t, "throw 1\n")
	d.start()
	f := fromError(d.filesOf("app"), "Error: "+strings.Repeat("y", 1<<20), "")
	if len(f.Message) > messageMax+10 {
		t.Errorf("a message of %d bytes", len(f.Message))
	}
	var stack strings.Builder
	stack.WriteString("Error: deep\n")
	for i := range 300 {
		fmt.Fprintf(&stack, "    at f (main.js:1:%d)\n", i+1)
	}
	f = fromError(d.filesOf("app"), stack.String(), "")
	if len(f.Stack) > framesMax || len(f.Places) > placesMax || f.Message != "Error: deep" || !f.Stack[0].IsOwn {
		t.Errorf("%d frames, %d places, message %q", len(f.Stack), len(f.Places), f.Message)
	}
	for _, text := range []string{"", "\n\n", "at ", "    at (:1:1)", "    at f (main.js:99999999999999999999:1)", "\x00\xff", "a:b:c: d"} {
		f := fromError(d.filesOf("app"), text, text)
		_, _ = (&page{failure: f}).render()
		_ = f.text()
	}
}

// TestTerminal: lines have colours where they are wanted only, and no commands of apps to the terminal.
func TestTerminal(t *testing.T) {
	d := newDeveloping(t, "throw new Error('\x1b[2J')\n")
	d.start()
	log := func(isColored bool) (text string) {
		var out strings.Builder
		logger := slog.New(&Terminal{To: &out, Color: isColored, Developer: d.Developer})
		logger.Info("an app's\x1b]0;title\x07 line\r\n", "app", "app", "source", "main.js:1:1")
		logger.Error("Error: \x1b[2J\u202e\u009b1m\n    at main.js:1:7", "app", "app", "source", "main.js:1:7\x1b[1m")
		logger.Error("", keyFailure, &failure{App: "app", Kind: "\x1b[3m", Message: "\x1b[4m", Note: "\x1b[5m", Stack: []frame{{Text: "\x1b[6m"}},
			Places: []place{{File: "\x1b[7m", Text: "\x1b[8m", Lines: []sourceLine{{Text: "\x1b[9m", IsMarked: true}}}}})
		requests := Requests{Logger: logger}
		line := `{"app":"app","method":"GET","target":"/\u001b[2J?\u009b","status":200,"bytes":1536,"seconds":0.0123}` + "\n"
		requests.Append([]byte(line+"no JSON\n"+strings.Replace(line, `/\u001b`, EventsPath, 1)), 3)
		return out.String()
	}
	plain := log(false)
	for _, r := range plain {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			t.Fatalf("control character %q in\n%q", r, plain)
		}
	}
	for _, want := range []string{"an app's\\x1b]0;title\\x07 line", ">    1 | throw new Error('\\x1b[2J')", "GET /\\x1b[2J?\\x9b 200 12 ms 1.5 KiB\n"} {
		if !strings.Contains(plain, want) {
			t.Errorf("no %q in\n%s", want, plain)
		}
	}
	if strings.Contains(plain, EventsPath) || strings.Count(plain, "GET") != 1 {
		t.Errorf("requests of pages are shown:\n%s", plain)
	}
	colored := log(true)
	for _, style := range []string{styleReset, styleBold, styleFaint, styleRed, styleGreen, styleYellow, styleCyan} {
		colored = strings.ReplaceAll(colored, style, "")
	}
	if colored != plain {
		t.Errorf("but for colours, it is\n%q\nnot\n%q", colored, plain)
	}
}

// TestStale: apps are read again whose files have changed, or that fail.
func TestStale(t *testing.T) {
	d := newDeveloping(t, "")
	d.Noted(&apps.App{AppOptions: isolates.AppOptions{Name: "other"}, Main: "/elsewhere/main.js"}, nil, nil)
	stale := map[string]bool{}
	d.before = func() { stale = map[string]bool{"app": d.Stale("app"), "other": d.Stale("other")} }
	d.start()
	if !stale["app"] || !stale["other"] {
		t.Errorf("at the start: %v", stale)
	}
	d.Noted(&apps.App{AppOptions: isolates.AppOptions{Name: "other"}, Main: "/elsewhere/main.js"}, nil, nil)
	d.reload(context.Background(), &d.node, change{paths: []string{filepath.Join(d.folder, "main.js")}, since: time.Now()})
	if !stale["app"] || stale["other"] {
		t.Errorf("a file of one: %v", stale)
	}
	d.reload(context.Background(), &d.node, change{paths: []string{"/somewhere"}, since: time.Now()})
	if stale["app"] || stale["other"] {
		t.Errorf("a file of neither: %v", stale)
	}
	d.report.Changes = []control.Change{{App: "app", Action: control.Failed, Reason: "does not start: Error"}}
	d.reloads()
	d.report.Changes = nil
	d.reload(context.Background(), &d.node, change{paths: []string{"/somewhere"}, since: time.Now()})
	if !stale["app"] || stale["other"] {
		t.Errorf("one that failed: %v", stale)
	}
}
