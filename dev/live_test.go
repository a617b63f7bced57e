package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nano/loop"
)

// TestPage: pages that can take it get the script, with a nonce where they want one; all else is left alone.
func TestPage(t *testing.T) {
	d := New(Options{})
	const html = "content-type: text/html; charset=utf-8"
	for _, each := range []struct {
		status int
		lines  string // with \n for each end
		want   string // "": nothing
	}{
		{200, html, "<script>"},
		{404, "X-A: b\nContent-Type: TEXT/HTML", "<script>"},
		{200, html + "\ncontent-encoding: identity\ncontent-disposition: inline; filename=a.html", "<script>"},
		{206, html, ""},
		{200, "", ""},
		{200, "content-type: application/xhtml+xml", ""},
		{200, "content-type: application/json", ""},
		{200, "content-type: text/html; charset=UTF-16LE", ""},
		{200, "content-type: text/html; =", ""},
		{200, html + "\ncontent-encoding: br", ""},
		{200, html + "\ncontent-range: bytes 0-1/2", ""},
		{200, html + "\nrepr-digest: sha-256=:AA==:", ""},
		{200, html + "\ncontent-disposition: attachment", ""},
		{200, html + "\ncontent-security-policy: img-src 'none'; upgrade-insecure-requests", "<script>"},
		{200, html + "\ncontent-security-policy: default-src 'self'", ""},
		{200, html + "\ncontent-security-policy: default-src 'self' 'unsafe-inline'", "<script>"},
		{200, html + "\ncontent-security-policy: default-src 'self' 'unsafe-inline'; script-src-elem 'self'", ""},
		{200, html + "\ncontent-security-policy: script-src 'unsafe-inline' 'sha256-AAAA'", ""},
		{200, html + "\ncontent-security-policy: script-src 'unsafe-inline' 'strict-dynamic'", ""},
		{200, html + "\ncontent-security-policy: SCRIPT-SRC 'nonce-aB+/_-='; connect-src *", `<script nonce="aB+/_-=">`},
		{200, html + "\ncontent-security-policy: script-src 'nonce-abc'; connect-src 'none'", ""},
		{200, html + "\ncontent-security-policy: script-src 'nonce-\"><script>'", ""},
		{200, html + "\ncontent-security-policy: script-src 'nonce-a'; script-src 'unsafe-inline'", `<script nonce="a">`},
		{200, html + "\ncontent-security-policy: script-src 'nonce-a', script-src 'nonce-b'", ""},
		{200, html + "\ncontent-security-policy: script-src 'nonce-a'\ncontent-security-policy: script-src 'nonce-b' 'nonce-a', img-src *", `<script nonce="a">`},
		{200, html + "\ncontent-security-policy: sandbox allow-scripts", ""},
		{200, html + "\ncontent-security-policy: sandbox allow-scripts allow-same-origin", "<script>"},
	} {
		lines := strings.ReplaceAll(each.lines, "\n", "\r\n") + "\r\n"
		got := d.Page(&loop.DevRequest{Navigates: true}, each.status, []byte(lines))
		if each.want == "" && got != "" || each.want != "" && (!strings.HasPrefix(got, each.want) || !strings.HasSuffix(got, "</script>")) {
			t.Errorf("%d %q: %.40q, want %q", each.status, each.lines, got, each.want)
		}
		for _, part := range []string{EventsPath, d.boot + "-0"} {
			if got != "" && strings.Count(got, part) != 1 {
				t.Errorf("%q is not once in %s", part, got)
			}
		}
	}
	off := New(Options{NoLiveReload: true})
	if got := off.Page(&loop.DevRequest{Navigates: true}, 200, []byte(html+"\r\n")); got != "" {
		t.Errorf("turned off: %q", got)
	}
}

// TestPagesChange: a change of static files has pages load anew, and nothing be loaded, if what is loaded works.
func TestPagesChange(t *testing.T) {
	d := newDeveloping(t, "export default {};\n")
	folder := filepath.Join(d.folder, "public")
	d.node.Config().Apps[0].Static = folder
	reloads := 0
	d.before = func() { reloads++ }
	d.start()
	file := filepath.Join(folder, "a", "b.css")
	for _, each := range []struct {
		change  change
		reloads bool
	}{
		{change{paths: []string{file}}, false},
		{change{paths: []string{folder, file}}, false},
		{change{paths: []string{file, filepath.Join(d.folder, "main.js")}}, true},
		{change{paths: []string{filepath.Join(d.folder, "public.js")}}, true},
		{change{isAll: true}, true},
	} {
		before, told := reloads, len(d.told)
		each.change.since = time.Now()
		d.reload(t.Context(), &d.node, each.change)
		if (reloads > before) != each.reloads {
			t.Errorf("%+v: %d reloads", each.change, reloads-before)
		}
		if isTold := slices.Contains(each.change.paths, file); isTold != (len(d.told) == told+1) {
			t.Errorf("%+v: pages are told %q", each.change, d.told[told:])
		}
	}
	if !strings.Contains(d.log.String(), "changed: public/a/b.css") {
		t.Errorf("log: %s", d.log.String())
	}
	d.mutex.Lock()
	d.problems["app"] = &failure{}
	d.mutex.Unlock()
	before := reloads
	d.reload(t.Context(), &d.node, change{paths: []string{file}, since: time.Now()})
	if reloads != before+1 {
		t.Error("an app that does not work is not loaded again")
	}
}

// TestWatchTree: of a tree whatever changes in it is told, and nothing that editors leave there for themselves.
func TestWatchTree(t *testing.T) {
	for _, how := range []string{"by the kernel", "polling"} {
		t.Run(how, func(t *testing.T) {
			w := newWatching(t)
			if how == "polling" {
				w.mutex.Lock()
				_ = w.notify.Close()
				w.notify = nil
				w.poll(os.ErrInvalid)
				w.mutex.Unlock()
			}
			w.save("real/a.html", "old")
			w.save("real/css/.hidden.swp", "")
			w.must(os.Symlink("real", w.path("public")))
			w.must(os.Symlink("/", w.path("real/root")))
			w.watch([]string{w.path("public")}, []string{w.path("public")}, time.Time{})
			w.save("public/css/.hidden.swp", "of no interest")
			w.save("public/css/b.css~", "of no interest")
			w.save("public/a.html", "new")
			w.treeTells("public/a.html")
			w.save("public/css/b.css", "new")
			w.treeTells("public/css/b.css")
			w.must(os.MkdirAll(w.path("public/js/deep"), 0o700))
			w.treeTells("public/js", "public")
			w.settleTree()
			w.save("public/js/deep/c.js", "new")
			w.treeTells("public/js/deep/c.js")
			w.must(os.Rename(w.path("public/js/deep/c.js"), w.path("public/js/d.js")))
			w.treeTells("public/js/d.js")
			w.must(os.RemoveAll(w.path("public/js")))
			w.treeTells("public/js", "public")
			if how == "by the kernel" && len(w.notify.WatchList()) > 4 {
				t.Errorf("watched are %q", w.notify.WatchList())
			}
		})
	}
}

// treeTells waits until one of these is told.
func (w *watching) treeTells(names ...string) {
	w.t.Helper()
	for {
		for _, path := range w.next().paths {
			if strings.Contains(path, "hidden") || strings.HasSuffix(path, "~") {
				w.t.Errorf("%s is told", path)
			}
			if slices.ContainsFunc(names, func(name string) bool { return w.path(name) == path }) {
				return
			}
		}
	}
}

// settleTree waits until all folders are watched.
func (w *watching) settleTree() {
	w.t.Helper()
	for i := range 2 {
		name := fmt.Sprintf("public/js/deep/settled-%d", i)
		for deadline := time.Now().Add(patience); ; {
			w.save(name, time.Now().String())
			isTold := false
			select {
			case c := <-w.changes:
				isTold = slices.Contains(c.paths, w.path(name))
			case <-time.After(quietMax):
			}
			if isTold {
				break
			}
			if time.Now().After(deadline) {
				w.t.Fatalf("%s is never told", name)
			}
		}
	}
}

// TestWatchTreeRoot: files that are not served are no news of the folder of static files itself, either, and folders
// that are not are not watched.
func TestWatchTreeRoot(t *testing.T) {
	w := newWatching(t)
	w.save("public/a.html", "old")
	w.save("public/.well-known/b.txt", "old")
	w.save("public/.git/refs/main", "old")
	w.watch([]string{w.path("public")}, []string{w.path("public")}, time.Time{})
	w.save("public/.a.html.swp", "of no interest")
	w.save("public/a.html~", "of no interest")
	w.save("public/.git/index", "of no interest")
	w.must(os.Remove(w.path("public/.a.html.swp")))
	w.save("public/a.html", "new")
	w.save("public/.well-known/b.txt", "new")
	w.tells("public/a.html", "public/.well-known/b.txt")
	w.save("public/new.html", "new")
	w.tells("public", "public/new.html")
	for _, folder := range w.notify.WatchList() {
		if strings.Contains(folder, ".git") {
			t.Errorf("%s is watched", folder)
		}
	}
}

// TestWatchTreeGrows: no folder is missed that comes while those around it begin to be watched.
func TestWatchTreeGrows(t *testing.T) {
	w := newWatching(t)
	w.save("public/a.html", "old")
	w.watch([]string{w.path("public")}, []string{w.path("public")}, time.Time{})
	const depth = 300
	folder := "public/js/deep"
	w.must(os.MkdirAll(w.path(folder), 0o700))
	for range depth {
		w.must(os.Mkdir(filepath.Join(w.path(folder), "d"), 0o700))
		folder += "/d"
		time.Sleep(quiet / 8) // as slowly as a tool that copies files
	}
	for deadline := time.Now().Add(patience); ; {
		w.save(folder+"/z.html", time.Now().String())
		select {
		case c := <-w.changes:
			if slices.Contains(c.paths, w.path(folder+"/z.html")) {
				return
			}
		case <-time.After(quietMax):
		}
		if time.Now().After(deadline) {
			t.Fatal("the innermost folder is not watched")
		}
	}
}
