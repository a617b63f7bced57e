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

	"golang.org/x/sys/unix"

	"nano/loop"
)

func TestVersions(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, map[string]string{"nano.toml": "[server]\nversions = 3\n" + twoApps, "a.js": "A", "b.js": "B"})
	check := func(serves, versions string) {
		t.Helper()
		w.settle()
		w.expect(serves)
		if got := w.versions("a"); got != versions {
			t.Errorf("versions %s, want %s", got, versions)
		}
	}
	check("a/=A b/=B", "1=A*")
	if _, err := w.node.Rollback(ctx, "a", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("to nothing: %v", err)
	}
	w.write(map[string]string{"a.js": "A2"})
	w.reload()
	check("a/=A2 b/=B", "2=A2* 1=A")
	v, err := w.deploy("a", "U")
	if err != nil || v.Number != 3 || v.From != FromUpload || v.Weight != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	check("a/=U b/=B", "3=U* 2=A2 1=A")
	w.reload() // the file is as it was when it was deployed
	check("a/=U b/=B", "3=U* 2=A2 1=A")
	if v, err := w.node.Rollback(ctx, "a", ""); err != nil || v.Number != 2 || v.Weight != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	check("a/=A2 b/=B", "3=U 2=A2* 1=A")
	if _, err := w.node.Rollback(ctx, "a", ""); err != nil {
		t.Error(err)
	}
	check("a/=A b/=B", "3=U 2=A2 1=A*")
	w.restart()
	check("a/=A b/=B", "3=U 2=A2 1=A*")
	if _, err := w.node.Rollback(ctx, "a", v.ID); err != nil {
		t.Error(err)
	}
	check("a/=U b/=B", "3=U* 2=A2 1=A")
	// One more than are kept; and one that was there before is a new version of the same content.
	w.write(map[string]string{"a.js": "A4"})
	w.reload()
	check("a/=A4 b/=B", "4=A4* 3=U 2=A2")
	if v, err := w.deploy("a", "A2"); err != nil || v.Number != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	check("a/=A2 b/=B", "5=A2* 4=A4 3=U")
	for _, id := range []string{"", "b", v.ID + "0", "0123456789ab"} {
		if _, err := w.node.Rollback(ctx, "a", id); id != "" && !errors.Is(err, ErrNotFound) {
			t.Errorf("to %q: %v", id, err)
		}
	}
	if _, err := w.node.Rollback(ctx, "none", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	check("a/=A4 b/=B", "5=A2 4=A4* 3=U")
	// What is not in nano.toml any more is forgotten.
	w.write(map[string]string{"nano.toml": strings.Replace(twoApps, `name = "a"`, `name = "c"`, 1)})
	w.reload()
	w.write(map[string]string{"nano.toml": twoApps})
	w.reload()
	check("a/=A4 b/=B", "1=A4*")
}

func TestSplit(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	var ids []string
	for _, text := range []string{"A2", "A3"} {
		v, err := w.deploy("a", text)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.ID)
	}
	w.settle()
	for _, step := range []struct {
		weights map[string]int
		serves  string
	}{
		{map[string]int{ids[0]: 1, ids[1]: 3}, "a/=A3*3+A2*1 b/=B"},
		{map[string]int{ids[0]: 4, ids[1]: 3}, "a/=A2*4+A3*3 b/=B"},
		{map[string]int{ids[0]: 1, ids[1]: 0}, "a/=A2 b/=B"},
	} {
		if err := w.node.Split(ctx, "a", step.weights); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect(step.serves)
		w.restart()
		w.settle()
		w.expect(step.serves)
	}
	var rejection *RejectedError
	for _, bad := range []map[string]int{{}, {ids[0]: 0}, {ids[0]: -1, ids[1]: 2}, {ids[0]: loop.WeightMax + 1}} {
		if err := w.node.Split(ctx, "a", bad); !errors.As(err, &rejection) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := w.node.Split(ctx, "a", map[string]int{"0123456789ab": 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	// A split goes on with other settings, and ends with another file.
	if err := w.node.Split(ctx, "a", map[string]int{ids[0]: 1, ids[1]: 2}); err != nil {
		t.Fatal(err)
	}
	w.write(map[string]string{"nano.toml": strings.Replace(twoApps, `["a"]`, "[\"a\"]\nvars = { X = 1 }", 1)})
	w.reload()
	w.expect(`a/=A3{"X":1}*2+A2{"X":1}*1 b/=B`)
	w.write(map[string]string{"a.js": "A4"})
	w.reload()
	w.expect(`a/=A4{"X":1} b/=B`)
	// One that does not start leaves the split as it was.
	if err := w.node.Split(ctx, "a", map[string]int{ids[0]: 1, ids[1]: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.deploy("a", "throws"); !errors.As(err, &rejection) {
		t.Errorf("%v", err)
	}
	w.settle()
	w.expect(`a/=A3{"X":1}*2+A2{"X":1}*1 b/=B`)
}

func TestUploadedApps(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	at := func(host string) func(*Deployment) {
		return func(d *Deployment) { d.Hosts, d.Settings = []string{host}, []byte("[vars]\nX = 1\n") }
	}
	var rejection *RejectedError
	for _, host := range []string{"a", "B", "no host"} {
		if _, err := w.deploy("c", "C", at(host)); !errors.As(err, &rejection) {
			t.Errorf("on %s: %v", host, err)
		}
	}
	if _, err := w.deploy("C", "C", at("c")); !errors.As(err, &rejection) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := w.deploy("a", "C", at("c")); !errors.As(err, &rejection) || !strings.Contains(err.Error(), "in nano.toml") {
		t.Errorf("settings of another's: %v", err)
	}
	w.settle()
	if _, err := w.deploy("c", "C", at("c")); err != nil {
		t.Fatal(err)
	}
	w.settle()
	const all = `a/=A b/=B c/=C{"X":1}`
	w.expect(all)
	w.restart()
	w.expect(all)
	if served := w.node.Served(); len(served) != 3 || served[2].Name != "c" || served[2].Hosts[0] != "c" {
		t.Errorf("served: %+v", served)
	}
	w.reload()
	w.expect(all)
	if _, err := w.deploy("c", "C2"); err != nil { // the rest is as before
		t.Fatal(err)
	}
	w.settle()
	w.expect(`a/=A b/=B c/=C2{"X":1}`)
	if c := w.app("c"); !c.Uploaded || c.State != StateWarm || len(c.Versions) != 2 {
		t.Errorf("%+v", c)
	}
	// nano.toml comes first: at a reload, and at a start.
	w.write(map[string]string{"nano.toml": strings.Replace(twoApps, `["a"]`, `["c"]`, 1)})
	w.reload()
	w.expect("c/=A b/=B")
	if c := w.app("c"); c.State != StateFailed || !strings.Contains(c.Problem, `app "a" serves already`) {
		t.Errorf("%+v", c)
	}
	w.restart()
	w.expect("c/=A b/=B")
	w.write(map[string]string{"nano.toml": twoApps})
	w.reload()
	w.expect(`a/=A b/=B c/=C2{"X":1}`)
	// It becomes the file's, and is nobody's again.
	w.write(map[string]string{"nano.toml": twoApps + "[[app]]\nname = \"c\"\nmain = \"a.js\"\nhosts = [\"d\"]\n"})
	w.reload()
	w.expect("a/=A b/=B d/=A")
	w.write(map[string]string{"nano.toml": twoApps})
	w.reload()
	w.expect("a/=A b/=B")
	if _, err := w.deploy("c", "C3", at("c")); err != nil {
		t.Fatal(err)
	}
	if err := w.node.Remove(ctx, "a"); !errors.As(err, &rejection) {
		t.Errorf("%v", err)
	}
	if err := w.node.Remove(ctx, "c"); err != nil {
		t.Error(err)
	}
	if err := w.node.Remove(ctx, "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	w.settle()
	w.expect("a/=A b/=B")
	w.restart()
	w.expect("a/=A b/=B")
}

func TestOneDeploymentAtATime(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.set.gate, w.set.entered = make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		_, err := w.deploy("a", "A2")
		ended <- err
	}()
	<-w.set.entered
	if _, err := w.deploy("a", "A3"); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if _, err := w.node.Rollback(context.Background(), "a", ""); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	go func() {
		_, err := w.deploy("b", "B2")
		ended <- err
	}()
	<-w.set.entered // another app does not wait for it
	close(w.set.gate)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.settle()
	w.expect("a/=A2 b/=B2")
	w.node.Drain()
	w.set.gate = nil
	if _, err := w.deploy("a", "A3"); !errors.Is(err, ErrBusy) {
		t.Errorf("while the node ends: %v", err)
	}
	if _, err := w.node.Reload(context.Background()); !errors.Is(err, ErrBusy) {
		t.Errorf("while the node ends: %v", err)
	}
	if w.node.Ready() {
		t.Error("ready")
	}
}

// TestNewAppsAtOnce: apps that come at the same time all stay.
func TestNewAppsAtOnce(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.set.gate, w.set.entered = make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	for _, name := range []string{"c", "d", "e"} {
		go func() {
			_, err := w.deploy(name, name, func(d *Deployment) { d.Hosts = []string{name} })
			ended <- err
		}()
		<-w.set.entered
	}
	close(w.set.gate)
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.settle()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if app := w.app(name); app.State != StateWarm {
			t.Errorf("%+v", app)
		}
	}
}

// changes are what is done while the disk fails.
var changes = map[string]struct {
	do     func(w *world) error
	after  string
	before string
}{
	"a deployment": {func(w *world) error { _, err := w.deploy("a", "A3"); return err }, "a/=A3 b/=B", ""},
	"a first one":  {func(w *world) error { _, err := w.deploy("b", "B2"); return err }, "a/=A2 b/=B2", ""},
	"a reload": {func(w *world) error {
		w.write(map[string]string{"a.js": "A3"})
		report, err := w.node.Reload(context.Background())
		if err == nil && report.Failed() {
			return errors.New(report.Changes[0].Reason)
		}
		return err
	}, "a/=A3 b/=B", "file"},
	"a rollback": {func(w *world) error { _, err := w.node.Rollback(context.Background(), "a", ""); return err }, "a/=A b/=B", ""},
	"a new app": {func(w *world) error {
		_, err := w.deploy("c", "C", func(d *Deployment) { d.Hosts = []string{"c"} })
		return err
	}, "a/=A2 b/=B c/=C", ""},
}

// TestFullDisk has every operation fail once: the running version and its record are untouched, and
// nothing is left behind.
func TestFullDisk(t *testing.T) {
	for name, change := range changes {
		for failAt := 1; ; failAt++ {
			w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
			if _, err := w.deploy("a", "A2"); err != nil {
				t.Fatal(err)
			}
			w.settle()
			w.disk.count, w.disk.failAt, w.disk.failure = 0, failAt, unix.ENOSPC
			err := change.do(w)
			failed := w.disk.count >= failAt
			w.disk.failAt = 0
			w.settle()
			if !failed {
				if err != nil || failAt == 1 {
					t.Errorf("%s: %v after %d operations", name, err, w.disk.count)
				}
				w.expect(change.after)
				break
			}
			if err == nil || !strings.Contains(err.Error(), "state_dir: ") || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("%s, operation %d: %v", name, failAt, err)
			}
			w.expect("a/=A2 b/=B")
			// The record may be in place already when the folder cannot be forced to the disk.
			if change.before == "" {
				w.restart()
				if got := w.serves(); got != "a/=A2 b/=B" && got != change.after {
					t.Errorf("%s, operation %d: serves %s after a restart", name, failAt, got)
				}
			}
		}
	}
}

// TestCrashes ends the process at every operation: the next one finds the old state or the new one.
func TestCrashes(t *testing.T) {
	for name, change := range changes {
		seen := map[string]bool{}
		for stopAt := 1; ; stopAt++ {
			w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
			if _, err := w.deploy("a", "A2"); err != nil {
				t.Fatal(err)
			}
			w.settle()
			w.disk.count, w.disk.failAt, w.disk.stops, w.disk.failure = 0, stopAt, true, errors.New("killed")
			_ = change.do(w)
			ended := w.disk.count < stopAt
			w.disk.failAt = 0
			w.node.ending.Wait()
			if change.before == "file" {
				w.write(map[string]string{"a.js": "A"}) // or else the start deploys it
			}
			w.restart()
			got := w.serves()
			if seen[got] = true; got != "a/=A2 b/=B" && got != change.after && change.before == "" {
				t.Errorf("%s, stopped at operation %d: serves %s", name, stopAt, got)
			}
			w.settle()
			if ended {
				break
			}
		}
		if len(seen) < 2 {
			t.Errorf("%s: only %v is seen", name, seen)
		}
	}
}

// TestDamagedRecords are told of and left alone, and the file is served.
func TestDamagedRecords(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"format":2,"versions":[]}`, `{"format":1,"next":1,"versions":[{"number":1,"source":"zz"}]}`, strings.Repeat(" ", recordLengthMax+1)} {
		w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B", ".nano/apps/a/record.json": text, ".nano/apps/x/.new-1": ""})
		w.expect("a/=A b/=B")
		w.waitForLog("record.json")
		if got, err := os.ReadFile(filepath.Join(w.folder, ".nano/apps/a/record.json")); err != nil || string(got) != text {
			t.Errorf("%.20q: %v", got, err)
		}
		w.settle()
	}
}

// TestSmallDisk deploys on a file system that is full.
func TestSmallDisk(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no file system of 64 KiB: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(small, 0) })
	w := newWorld(t, map[string]string{"nano.toml": fmt.Sprintf("[server]\nstate_dir = %q\n", small) + twoApps, "a.js": "A", "b.js": "B"})
	if _, err := w.deploy("a", "A2"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(small, "apps/a/record.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.deploy("a", "A3"+strings.Repeat(" ", 100<<10)); err == nil || !strings.Contains(err.Error(), "state_dir: ") || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("an upload: %v", err)
	}
	// Now nothing at all can be written.
	if err := os.WriteFile(filepath.Join(small, "filler"), make([]byte, 64<<10), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%v", err)
	}
	if _, err := w.node.Rollback(context.Background(), "a", ""); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a record: %v", err)
	}
	w.settle()
	w.expect("a/=A2 b/=B")
	if now, err := os.ReadFile(filepath.Join(small, "apps/a/record.json")); err != nil || string(now) != string(before) {
		t.Errorf("the record has changed: %s, %v", now, err)
	}
	for _, folder := range []string{"uploads", "apps/a"} {
		entries, err := os.ReadDir(filepath.Join(small, folder))
		for _, entry := range entries {
			if entry.Name() != recordName {
				t.Errorf("left behind: %s", entry.Name())
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestIDsInUse: as long as a call goes by the id of a version, no other app gets it, though the version has ended.
func TestIDsInUse(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": twoApps, "a.js": "A", "b.js": "B"})
	w.loops.removing = make(chan int)
	asked, goOn := make(chan int), make(chan struct{})
	w.loops.sleep = func(id int) {
		asked <- id
		<-goOn
	}
	slept := make(chan error)
	go func() { slept <- w.node.Sleep(context.Background(), "a") }()
	id := <-asked
	w.write(map[string]string{"a.js": "A2"})
	if _, err := w.node.Reload(context.Background()); err != nil { // it is not held up
		t.Fatal(err)
	}
	if removed := <-w.loops.removing; removed != id {
		t.Fatalf("%d is removed, not %d", removed, id)
	}
	for range 1000 { // the removal has its chance
		runtime.Gosched()
		w.set.mutex.Lock()
		_, isThere := w.set.apps[id]
		w.set.mutex.Unlock()
		if !isThere {
			t.Fatal("its id is free")
		}
	}
	close(goOn)
	if err := <-slept; err != nil {
		t.Error(err)
	}
	w.settle()
	w.expect("a/=A2 b/=B")
	if len(w.node.uses) != 0 {
		t.Errorf("%v", w.node.uses)
	}
}
