package loop

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nano/isolates"
)

// askAssets handles /call/x and /callread/x by asking the app's static files for /x: the body is moved by the
// loop, or read and written by the app. /forget/x asks and answers at once, /never/x asks and leaves
// the answer unread.
func askAssets(w *fakeWorker, r *fakeRequest) {
	name, path, _ := strings.Cut(strings.TrimPrefix(r.target, "/"), "/")
	w.handles++
	method := r.method
	if name == "post" {
		method = "POST"
	}
	w.record(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatAssets, Handle: w.handles, Pending: true, Exchange: r.id,
		Target: fmt.Appendf(nil, "%s http://assets.test/%s", method, path), Head: []byte("Range: bytes=1-\r\nAccept-Encoding: gzip\r\n")})
	if w.calls == nil {
		w.calls = map[int32]*fakeCall{}
	}
	switch name {
	case "forget":
		w.text(r.id, []byte("forgotten"))
	case "cancel":
		w.record(isolates.Record{Kind: isolates.KindCancel, Handle: w.handles, Flags: isolates.CancelAll})
		w.text(r.id, []byte("canceled"))
	default:
		w.calls[w.handles] = &fakeCall{id: r.id, name: name}
	}
	w.onNews = callOn
	w.onSent = callSent
}

func TestAssets(t *testing.T) {
	middle, large, huge := strings.Repeat("M", 60_000), strings.Repeat("L", 400_000), strings.Repeat("H", 3<<20)
	dir := siteOf(t, map[string]string{"f/small": "0123456789", "f/small.gz": "as gzip", "f/middle": middle, "f/large": large,
		"f/huge": huge, "f/empty": "", "f/folder/index.html": "xy"})
	node, address := startSite(t, dir, func(o *NodeOptions) {
		o.Options.Background = 50 * time.Millisecond // of calls that were forgotten
		o.Options.NewShard = shardOf(func(app int) (Worker, error) { return newFakeWorker("demo", askAssets), nil })
	})
	for range 2 {
		for _, how := range []string{"/call/", "/callread/"} {
			for path, want := range map[string]string{
				"f/small": "206 123456789", "f/middle": "206 " + middle[1:], "f/large": "206 " + large[1:], "f/huge": "206 " + huge[1:],
				"f/empty": "416 ", "f/none": "404 ", "f/folder": "307 ", "f/folder/": "206 y", "..": "404 ", ".git/x": "404 ",
			} {
				response, body := getFile(t, "GET", "http://"+address+how+path)
				if got := fmt.Sprintf("%d %s", response.StatusCode, body); got != want {
					t.Errorf("%s%s: %.50q (%d bytes), want %.50q (%d bytes)", how, path, got, len(got), want, len(want))
				}
			}
		}
		for path, want := range map[string]string{"/forget/f/huge": "200 forgotten", "/forget/f/none": "200 forgotten",
			"/cancel/f/huge": "200 canceled", "/cancel/f/new": "200 canceled", "/post/f/small": "405 "} {
			response, body := getFile(t, "GET", "http://"+address+path)
			if got := fmt.Sprintf("%d %s", response.StatusCode, body); got != want {
				t.Errorf("%s: %.50q", path, got)
			}
		}
		if response, body := getFile(t, "HEAD", "http://"+address+"/call/f/huge"); response.StatusCode != 200 || body != "" {
			t.Errorf("HEAD: %d", response.StatusCode)
		}
	}
	for i := range 12 { // clients that leave
		connection := dial(t, address)
		fmt.Fprintf(connection, "GET /%s/f/huge HTTP/1.1\r\nHost: a\r\n\r\n", []string{"call", "callread"}[i%2])
		if i%4 > 1 {
			_, _ = io.ReadFull(connection, make([]byte, 1000)) // how much came does not matter
		}
		connection.Close()
	}
	eventually(t, "all connections closed", func() bool { return node.sum().Connections == 0 })
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, l := range node.loops {
		if l != nil && (len(l.files.readers.free) != len(l.files.readers.all) || len(l.files.waits) != 0 || len(l.handles.byKey) != 0) {
			t.Errorf("left: %d readers, %d waits, %d handles", len(l.files.readers.all)-len(l.files.readers.free), len(l.files.waits), len(l.handles.byKey))
		}
	}
}

// TestAssetsCut: the app hears of a file that shrinks while it is read.
func TestAssetsCut(t *testing.T) {
	dir := siteOf(t, map[string]string{"file": strings.Repeat("old\n", 8<<20)})
	_, address := startSite(t, dir, func(o *NodeOptions) {
		o.Options.Background = 50 * time.Millisecond // of calls that were forgotten
		o.Options.NewShard = shardOf(func(app int) (Worker, error) { return newFakeWorker("demo", askAssets), nil })
	})
	connection := dial(t, address)
	defer connection.Close()
	fmt.Fprint(connection, "GET /callread/file HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := io.ReadFull(connection, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "file"), 0); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(connection)
	if strings.HasSuffix(string(rest), "0\r\n\r\n") || len(rest) > 31<<20 {
		t.Errorf("%d bytes came as if they were all (%v)", len(rest), err)
	}
}
