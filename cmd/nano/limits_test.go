package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLimitsAreOfOneApp drives apps into their limits, again and again, beside one that behaves: that
// one answers, and so do the others afterwards.
func TestLimitsAreOfOneApp(t *testing.T) {
	const head = "export default { async fetch(request) { if (request.method === 'GET') return new Response('well'); "
	apps := []struct{ name, source, answer string }{
		{"good", "return new Response('well')", ""},
		{"endless", "for (;;);", "cpu-limit"},
		{"flood", "const again = () => queueMicrotask(again); again(); await new Promise(() => {})", "cpu-limit"},
		{"bomb", "const all = []; for (;;) all.push(new Array(100).fill(all.length));", "memory-limit"},
		{"late", "await new Promise(() => {})", "wall-limit"},
	}
	files := map[string]string{}
	var document strings.Builder
	document.WriteString("[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 1\n[isolates]\nheap = \"32MiB\"\nwall = \"500ms\"\n")
	for _, app := range apps {
		files[app.name+".js"] = head + app.source + " } }"
		cpu := "50ms"
		if app.name == "bomb" {
			cpu = "20s" // collecting garbage takes processor time, too
		}
		fmt.Fprintf(&document, "[[app]]\nname = %q\nmain = \"%s.js\"\npath = \"/%s\"\n[app.limits]\ncpu = %q\n", app.name, app.name, app.name, cpu)
	}
	files["nano.toml"] = document.String()
	p := startNano(t, 1, "serve", "-c", filepath.Join(writeFiles(t, files), "nano.toml"))
	for range 3 {
		for _, app := range apps[1:] {
			got := p.ask("POST", "/"+app.name, "", "")
			if want := map[string]int{"wall-limit": 504}[app.answer]; got.status != max(want, 503) || got.header.Get("nano-error") != app.answer {
				t.Errorf("%s: %+v", app.name, got)
			}
			p.expect("POST", "/good", "", "", 200, "well")
			p.expect("GET", "/"+app.name, "", "", 200, "well")
		}
	}
}

// TestRestartAfterKill: what a killed node leaves behind does not hinder the next one, not even
// snapshot files that were cut short.
func TestRestartAfterKill(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"app.js":    "export default { fetch() { return new Response('well') } }",
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\n[[app]]\nname = \"app\"\nmain = \"app.js\"\n",
	})
	for range 3 {
		p := startNano(t, 1, "serve", "-c", filepath.Join(folder, "nano.toml"))
		p.expect("GET", "/", "", "", 200, "well")
		p.signal(syscall.SIGKILL)
		<-p.ended
		snapshots, err := filepath.Glob(filepath.Join(folder, ".nano", "snapshots", "*.snapshot"))
		if err != nil || len(snapshots) == 0 {
			t.Fatalf("snapshots: %v, %v", snapshots, err)
		}
		for _, snapshot := range snapshots {
			if err := os.Truncate(snapshot, 1000); err != nil {
				t.Fatal(err)
			}
		}
	}
}
