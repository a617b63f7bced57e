package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"weak"

	"nano/config"
)

const twoApps = "[[app]]\nname = \"a\"\nmain = \"a.js\"\nhosts = [\"a\"]\n[[app]]\nname = \"b\"\nmain = \"b.js\"\nhosts = [\"b\"]\n"

func changesOf(r *Report) string {
	var all []string
	for _, c := range r.Changes {
		all = append(all, c.App+" "+c.Action)
	}
	return fmt.Sprintf("%s, %d same", strings.Join(all, ", "), r.Same)
}

// TestChangesLeaveNothing: what was made for a change of an app is garbage when the next one has been made.
func TestChangesLeaveNothing(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	change := map[string]func(i int) error{
		"same":     func(int) error { w.reload(); return nil },
		"file":     func(i int) error { w.write(map[string]string{"a.js": fmt.Sprint("A", i)}); w.reload(); return nil },
		"broken":   func(i int) error { w.write(map[string]string{"a.js": fmt.Sprint("syntax", i)}); w.reload(); return nil },
		"sick":     func(i int) error { w.write(map[string]string{"a.js": fmt.Sprint("dies", i)}); w.reload(); return nil },
		"deploy":   func(i int) error { _, err := w.deploy("a", fmt.Sprint("U", i)); return err },
		"rollback": func(int) error { _, err := w.node.Rollback(ctx, "a", ""); return err },
		"split": func(i int) error {
			versions := w.app("a").Versions
			return w.node.Split(ctx, "a", map[string]int{versions[0].ID: 1 + i, versions[1].ID: 1})
		},
	}
	for _, what := range []string{"same", "file", "broken", "sick", "deploy", "rollback", "split"} {
		var before []weak.Pointer[app]
		for i := range 4 {
			if err := change[what](i); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			w.settle()
			w.node.mutex.Lock()
			before = append(before, weak.Make(w.node.apps["a"]), weak.Make(w.node.apps["b"]))
			w.node.mutex.Unlock()
		}
		runtime.GC()
		left := 0
		for i, each := range before {
			if a := each.Value(); a != nil && a != w.node.apps[a.name] {
				t.Logf("%s: what step %d made of %s is left", what, i/2, a.name)
				left++
			}
		}
		if left > 0 {
			t.Errorf("%s: %d of %d are left", what, left, len(before)-2)
		}
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.expect("a/=A b/=B")
	for _, step := range []struct {
		what           string
		files          map[string]string
		serves, report string
	}{
		{"nothing", nil, "a/=A b/=B", ", 2 same"},
		{"a file", map[string]string{"a.js": "A2"}, "a/=A2 b/=B", "a replaced, 1 same"},
		{"hosts are swapped", map[string]string{"nano.toml": strings.NewReplacer(`["a"]`, `["b"]`, `["b"]`, `["a"]`).Replace(twoApps)},
			"b/=A2 a/=B", "a moved, b moved, 0 same"},
		{"a path", map[string]string{"nano.toml": strings.Replace(twoApps, `hosts = ["a"]`, "hosts = [\"a\"]\npath = \"/x\"", 1)},
			"a/x=A2 b/=B", "a moved, b moved, 0 same"},
		{"a name", map[string]string{"nano.toml": strings.Replace(twoApps, `name = "a"`, `name = "c"`, 1)},
			"a/=A2 b/=B", "c added, a removed, 1 same"},
		{"a variable", map[string]string{"nano.toml": twoApps + "[app.vars]\nX = 1\n"},
			`a/=A2 b/=B{"X":1}`, "a added, b replaced, c removed, 0 same"},
		{"a limit, an app", map[string]string{"nano.toml": "[app.limits]\n", "c.js": "C"}, "", ""},
		{"limits of all", map[string]string{"nano.toml": "[isolates]\ncpu = \"20ms\"\n" + twoApps},
			"a/=A2 b/=B", "a replaced, b replaced, 0 same"},
		{"comments", map[string]string{"nano.toml": "# first\n[isolates]\ncpu = \"20ms\"\n\n" + twoApps}, "a/=A2 b/=B", ", 2 same"},
		{"none", map[string]string{"nano.toml": "[isolates]\n"}, "", "a removed, b removed, 0 same"},
		{"all", map[string]string{"nano.toml": twoApps}, "a/=A2 b/=B", "a added, b added, 0 same"},
	} {
		w.write(step.files)
		if step.report == "" { // a document with a problem
			before := w.serves()
			var problems config.Problems
			if _, err := w.node.Reload(context.Background()); !errors.As(err, &problems) || w.loops.swaps != 0 {
				t.Errorf("%s: %v", step.what, err)
			}
			w.expect(before)
			continue
		}
		report := w.reload()
		if got := changesOf(report); got != step.report {
			t.Errorf("%s: %s, want %s", step.what, got, step.report)
		}
		w.expect(step.serves)
		if w.loops.swaps != 1 {
			t.Errorf("%s: %d tables", step.what, w.loops.swaps)
		}
		w.loops.swaps = 0
	}
}

func TestReloadKeepsWhatFails(t *testing.T) {
	health := strings.Replace(twoApps, `name = "a"`, "name = \"a\"\nhealth = \"/ok\"\nlimits = { wall = \"10ms\" }", 1)
	w := newWorld(t, map[string]string{"nano.toml": health, "a.js": "A", "b.js": "B"})
	for text, want := range map[string]string{
		"syntax": "SyntaxError", "throws": "TypeError", "sick": "answered with 503", "hangs": "not answered within 10ms",
	} {
		w.write(map[string]string{"a.js": text, "b.js": "B " + text[:1]})
		report := w.reload()
		if len(report.Changes) != 2 || report.Changes[0].Action != Failed || !strings.Contains(report.Changes[0].Reason, want) || !report.Failed() {
			t.Errorf("%s: %+v", text, report)
		}
		w.expect("a/=A b/=B " + text[:1])
		if a := w.app("a"); !strings.Contains(a.Problem, want) || a.State != StateWarm {
			t.Errorf("%s: %+v", text, a)
		}
		w.waitForLog(want)
	}
	// Its hosts and path are those of the file all the same: there is one table.
	w.write(map[string]string{"nano.toml": strings.NewReplacer(`["a"]`, `["b"]`, `["b"]`, `["a"]`).Replace(health), "b.js": "dies"})
	if got := changesOf(w.reload()); got != "a failed, b failed, 0 same" {
		t.Error(got)
	}
	if served := w.serves(); !strings.HasPrefix(served, "b/=A a/=B ") {
		t.Errorf("serves %s", served)
	}
	w.write(map[string]string{"a.js": "A3", "b.js": "B3"})
	w.reload()
	w.expect("b/=A3 a/=B3")
	if a := w.app("a"); a.Problem != "" {
		t.Errorf("%+v", a)
	}
	// An app that is new and broken is not routed to, until it is well.
	w.write(map[string]string{"nano.toml": health + "[[app]]\nname = \"c\"\nmain = \"c.js\"\n", "c.js": "throws"})
	w.reload()
	w.expect("a/=A3 b/=B3")
	if c := w.app("c"); c.State != StateFailed || !strings.Contains(c.Problem, "TypeError") {
		t.Errorf("%+v", c)
	}
	w.write(map[string]string{"c.js": "C"})
	w.reload()
	w.expect("a/=A3 b/=B3 /=C")
}

func TestReloadWarnsOfFixedKeys(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.write(map[string]string{"nano.toml": "[server]\nlisten = [\"127.0.0.1:1\"]\nloops = 3\nversions = 2\n[admin]\n" + twoApps})
	report := w.reload()
	for i, want := range []string{"[server] listen ", "[server] loops ", "[admin] "} {
		if len(report.Warnings) != 3 || !strings.HasPrefix(report.Warnings[i], want) {
			t.Fatalf("%q", report.Warnings)
		}
	}
	if w.node.Config().Server.Versions != 2 {
		t.Error("what can change does not")
	}
}

// TestOldVersionsEnd: they have drain_timeout, or as long as a request may take.
func TestOldVersionsEnd(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": "[isolates]\nwall = \"10ms\"\n[server]\ndrain_timeout = \"10ms\"\n" + twoApps, "a.js": "A", "b.js": "B"})
	w.loops.held[0] = make(chan struct{}) // never closed
	w.write(map[string]string{"a.js": "A2"})
	report, err := w.node.Reload(context.Background())
	if err != nil || changesOf(report) != "a replaced, 1 same" {
		t.Fatal(report, err)
	}
	w.expect("a/=A2 b/=B")
	w.settle()
	if len(w.loops.cut) != 1 || w.loops.cut[0] != 0 {
		t.Errorf("%v", w.loops.cut)
	}
}

// TestReloadIsGivenUp with whoever waited for it.
func TestReloadIsGivenUp(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.write(map[string]string{"a.js": "A2", "b.js": "B2"})
	w.set.gate, w.set.entered = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-w.set.entered
		cancel()
	}()
	if _, err := w.node.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	w.settle()
	w.expect("a/=A b/=B")
	if len(w.applied) != 0 {
		t.Error("a configuration that was given up was to come into force")
	}
	w.set.gate = nil
	w.reload()
	w.expect("a/=A2 b/=B2")
	if len(w.applied) != 1 || w.applied[0] != w.node.Config() {
		t.Errorf("%d configurations came into force", len(w.applied))
	}
}

func TestEndedLoopsChangeNothing(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.write(map[string]string{"a.js": "A2"})
	w.loops.failing = errors.New("the loops have ended")
	report, err := w.node.Reload(context.Background())
	if err != nil || !report.Failed() {
		t.Errorf("%+v, %v", report, err)
	}
	w.settle()
	w.loops.failing = nil
	w.expect("a/=A b/=B")
	if _, err := os.Stat(filepath.Join(w.folder, ".nano/apps/a/record.json")); !os.IsNotExist(err) {
		t.Errorf("a record of what was not done: %v", err)
	}
}

// TestLargeReload: the log names what failed, however many apps have changed, and counts the others.
func TestLargeReload(t *testing.T) {
	const count = 3 * changesTold
	text := func(first int, main string) string {
		var text strings.Builder
		for i := first; i < first+count; i++ {
			fmt.Fprintf(&text, "[[app]]\nname = \"n%d\"\nmain = %q\nhosts = [\"n%d\"]\n", i, main, i)
		}
		return text.String() + "[[app]]\nname = \"last\"\nmain = \"b.js\"\n"
	}
	w := newWorld(t, map[string]string{"nano.toml": text(0, "a.js"), "a.js": "A", "b.js": "B"})
	w.log.Reset()
	w.write(map[string]string{"nano.toml": text(count/2, "a.js"), "b.js": "syntax"})
	report := w.reload()
	if len(report.Changes) != count+1 || !report.Failed() {
		t.Errorf("%d changes", len(report.Changes))
	}
	w.waitForLog("SyntaxError")
	w.waitForLog(fmt.Sprintf("and %d more apps are changed", count-changesTold))
	if lines := strings.Count(w.log.String(), "\n"); lines > changesTold+4 {
		t.Errorf("%d lines are logged", lines)
	}
}

// TestUntouchedAppsAreNotRead: an app whose files are known to be those that it runs from is left alone; others are
// read, whatever is known of them.
func TestUntouchedAppsAreNotRead(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.set.isSharp, w.set.keeps = true, 0
	if report := w.reload(); report.Same != 2 || w.set.keeps != 0 {
		t.Errorf("%+v, %d apps were read", report, w.set.keeps)
	}
	w.write(map[string]string{"a.js": "A2"})
	if report := w.reload(); report.Same != 1 || w.set.keeps != 1 {
		t.Errorf("%+v, %d apps were read", report, w.set.keeps)
	}
	w.settle()
	w.expect("a/=A2 b/=B")
	w.write(map[string]string{"b.js": "syntax"})
	w.reload()
	w.expect("a/=A2 b/=B")
	w.write(map[string]string{"b.js": "B", "nano.toml": strings.Replace(twoApps, `["a"]`, `["c"]`, 1)})
	w.set.keeps = 0
	if report := w.reload(); w.set.keeps != 0 {
		t.Errorf("%+v, %d apps were read", report, w.set.keeps)
	}
	w.expect("c/=A2 b/=B")
}
