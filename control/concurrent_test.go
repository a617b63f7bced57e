package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/apps"
	"nano/snapshot"
)

func on(host string) func(*Deployment) { return func(d *Deployment) { d.Hosts = []string{host} } }

// TestManyDeploymentsAtOnce: each finds what the others have added and removed, however their ends fall together.
func TestManyDeploymentsAtOnce(t *testing.T) {
	const count = 24
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.loops.swap = func() { time.Sleep(time.Millisecond) } // as loops do that are in a turn
	atOnce := func(do func(name string) error) {
		var all sync.WaitGroup
		for i := range count {
			all.Go(func() {
				if err := do(fmt.Sprintf("n%02d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	atOnce(func(name string) error { _, err := w.deploy(name, name, on(name)); return err })
	w.settle()
	if got := strings.Count(w.serves(), "="); got != count+2 {
		t.Errorf("%d of %d apps are served: %s", got, count+2, w.serves())
	}
	atOnce(func(name string) error { return w.node.Remove(context.Background(), name) })
	w.settle()
	w.expect("a/=A b/=B")
	w.restart()
	w.expect("a/=A b/=B")
}

// TestOnePlaceForTwo: of two uploads that are to be found at the same place the second one is refused, though
// neither was there when the other began.
func TestOnePlaceForTwo(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	gate := make(chan struct{})
	w.set.gate, w.set.entered = gate, make(chan struct{})
	ended := make(chan error)
	for _, name := range []string{"c", "d"} {
		go func() {
			_, err := w.deploy(name, "X", on("x"))
			ended <- err
		}()
		<-w.set.entered
	}
	close(gate)
	var rejection *RejectedError
	first, second := <-ended, <-ended
	if first != nil {
		first, second = second, first
	}
	if first != nil || !errors.As(second, &rejection) || !strings.Contains(second.Error(), "serves already") {
		t.Errorf("%v, %v", first, second)
	}
	w.settle()
	w.expect("a/=A b/=B x/=X")
	w.restart()
	w.expect("a/=A b/=B x/=X")
}

// TestFullDiskLeavesThePlace: an upload that is to be found elsewhere and whose record cannot be written changes
// nothing, not its place either.
func TestFullDiskLeavesThePlace(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	if _, err := w.deploy("c", "C", on("c")); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.disk.count, w.disk.failAt, w.disk.failure = 0, 1, unix.ENOSPC
	if _, err := w.deploy("c", "C2", on("elsewhere")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	w.disk.failAt = 0
	w.settle()
	w.expect("a/=A b/=B c/=C")
	if hosts := w.app("c").Hosts; !slices.Equal(hosts, []string{"c"}) {
		t.Errorf("hosts %v", hosts)
	}
}

// TestLostSources: what somebody has removed from state_dir costs the version, and not the app.
func TestLostSources(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	lose := func(text string) {
		t.Helper()
		before := len(w.set.kept)
		maps.DeleteFunc(w.set.kept, func(_ apps.SourceID, kept string) bool { return kept == text })
		if len(w.set.kept) != before-1 {
			t.Fatalf("there was no %s", text)
		}
	}
	for _, text := range []string{"C1", "C2"} {
		if _, err := w.deploy("c", text, on("c")); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	lose("C2") // which serves
	w.restart()
	w.expect("a/=A b/=B")
	if c := w.app("c"); c.State != StateFailed || !strings.Contains(c.Problem, "deploy it again") {
		t.Errorf("%+v", c)
	}
	if report := w.reload(); !report.Failed() {
		t.Errorf("%+v", report)
	}
	if c := w.app("c"); c.State != StateFailed || !slices.Equal(c.Hosts, []string{"c"}) {
		t.Errorf("after a reload: %+v", c)
	}
	// As it was asked to: where it is found is as before.
	if _, err := w.deploy("c", "C3"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.expect("a/=A b/=B c/=C3")
	if got := w.versions("c"); got != "3=C3* 1=C1" {
		t.Errorf("versions %s", got)
	}
	// One that does not serve is forgotten by the next change.
	lose("C1")
	w.restart()
	w.expect("a/=A b/=B c/=C3")
	if _, err := w.deploy("c", "C4"); err != nil {
		t.Error(err)
	}
	w.settle()
	w.expect("a/=A b/=B c/=C4")
	if got := w.versions("c"); got != "4=C4* 3=C3" {
		t.Errorf("versions %s", got)
	}
	// Another way out is back.
	lose("C4")
	w.restart()
	if _, err := w.node.Rollback(context.Background(), "c", ""); err != nil {
		t.Error(err)
	}
	w.settle()
	w.expect("a/=A b/=B c/=C3")
}

// TestRollbackOfWhatHasNoPlace: an upload whose place is another app's does not get every host by a rollback.
func TestRollbackOfWhatHasNoPlace(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	for _, text := range []string{"C1", "C2"} {
		if _, err := w.deploy("c", text, on("c")); err != nil {
			t.Fatal(err)
		}
	}
	w.write(map[string]string{"nano.toml": strings.Replace(twoApps, `["a"]`, `["c"]`, 1)})
	w.reload()
	w.expect("c/=A b/=B")
	var rejection *RejectedError
	if _, err := w.node.Rollback(context.Background(), "c", ""); !errors.As(err, &rejection) || !strings.Contains(err.Error(), "serves already") {
		t.Errorf("%v", err)
	}
	if err := w.node.Split(context.Background(), "c", map[string]int{w.app("c").Versions[0].ID: 1}); !errors.As(err, &rejection) {
		t.Errorf("%v", err)
	}
	w.settle()
	w.expect("c/=A b/=B")
}

// TestStartWithABrokenFile: the file of an app that is split has another content, which does not start. The split
// goes on.
func TestStartWithABrokenFile(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	v, err := w.deploy("a", "A2")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.node.Split(context.Background(), "a", map[string]int{v.ID: 2, w.app("a").Versions[1].ID: 1}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"syntax", "throws"} {
		w.write(map[string]string{"a.js": text})
		w.restart()
		w.settle()
		w.expect("a/=A2*2+A*1 b/=B")
		if a := w.app("a"); a.Problem == "" {
			t.Errorf("%s: %+v", text, a)
		}
	}
	// And one that starts takes its place, on the disk too.
	w.write(map[string]string{"a.js": "A3"})
	w.restart()
	w.settle()
	w.expect("a/=A3 b/=B")
	w.restart()
	w.expect("a/=A3 b/=B")
	if got := w.versions("a"); got != "3=A3* 2=A2 1=A" {
		t.Errorf("versions %s", got)
	}
}

// TestEndDuringAChange: a node whose loops end while something is deployed waits for that, and lets go of all.
func TestEndDuringAChange(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	gate := make(chan struct{})
	w.set.gate, w.set.entered = gate, make(chan struct{})
	w.set.closing = func() { close(gate) } // as apps.Set interrupts its builder
	ended := make(chan error)
	go func() {
		_, err := w.deploy("a", "throws")
		ended <- err
	}()
	<-w.set.entered
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if err := w.node.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if err := <-ended; err == nil {
		t.Error("deployed")
	}
	<-waited
	w.settle()
	if _, err := w.deploy("a", "A2"); !errors.Is(err, ErrBusy) {
		t.Errorf("after the end: %v", err)
	}
}

// TestSharedFolder: a node that starts while another one runs with the same state_dir and another nano.toml takes
// nothing away from that one: neither records of apps that only that one has, nor what it is receiving or writing.
func TestSharedFolder(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	if _, err := w.deploy("a", "A2"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	ofTheOther := []string{".nano/apps/a/record.json", ".nano/apps/a/" + snapshot.TemporaryPrefix + "1", ".nano/apps/new/" + snapshot.TemporaryPrefix + "2",
		".nano/uploads/" + snapshot.TemporaryPrefix + "3/main.js"}
	for _, name := range ofTheOther[1:] {
		w.write(map[string]string{name: "half"})
	}
	w.write(map[string]string{"nano.toml": "[[app]]\nname = \"b\"\nmain = \"b.js\"\n"})
	for _, w.isShared = range []bool{true, false} {
		w.restart()
		w.expect("/=B")
		for _, name := range ofTheOther {
			if _, err := os.Stat(filepath.Join(w.folder, name)); (err == nil) != w.isShared {
				t.Errorf("shared %v: %s: %v", w.isShared, name, err)
			}
		}
	}
}
