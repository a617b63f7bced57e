package loop

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/static"
)

// siteOf makes a folder of files, by their paths.
func siteOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) { // a precompressed sibling must not be older than its file
		writeSite(t, dir, name, files[name])
	}
	return dir
}

// writeSite replaces a file as deployments do.
func writeSite(t testing.TB, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"~", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+"~", file); err != nil {
		t.Fatal(err)
	}
}

func openSite(t testing.TB, dir string) *static.Folder {
	t.Helper()
	folder, err := static.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	return folder
}

// startSite starts a node whose demo app has files, on two loops.
func startSite(t testing.TB, dir string, change func(o *NodeOptions)) (*Node, string) {
	t.Helper()
	return startNode(t, func(o *NodeOptions) {
		o.Loops = 2
		o.Options.Apps = []App{{Name: "demo", Static: openSite(t, dir)}}
		if change != nil {
			change(o)
		}
	})
}

// getFile asks once, without following anything. header is lines "Name: value".
func getFile(t testing.TB, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return response, string(body)
}

func TestStaticFiles(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<15) // 512 KiB
	huge := make([]byte, 5<<20+12345)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(huge) // never fails
	dir := siteOf(t, map[string]string{
		"index.html": "<h1>home</h1>", "style.css": "a {}", "docs/index.html": "docs", "docs/x y.txt": "blank",
		"app.js": "plain", "app.js.br": "as brotli", "app.js.gz": "as gzip", "large.txt": large, "huge.bin": string(huge),
		"empty.txt": "", ".env": "secret", "folder/file.txt": "x", ".well-known/security.txt": "contact",
	})
	_, address := startSite(t, dir, nil)
	url := "http://" + address
	for range 2 { // the second time from memory
		for _, each := range []struct {
			path, header string
			status       int
			body, field  string
		}{
			{"/", "", 200, "<h1>home</h1>", "Content-Type: text/html; charset=utf-8"},
			{"/index.html", "", 200, "<h1>home</h1>", ""},
			{"/style.css?v=1", "", 200, "a {}", "Content-Type: text/css; charset=utf-8"},
			{"/docs/", "", 200, "docs", "Cache-Control: public, max-age=0, must-revalidate"},
			{"/docs?q=1", "", 307, "", "Location: ./docs/?q=1"},
			{"/docs/x%20y.txt", "", 200, "blank", ""},
			{"/app.js", "", 200, "plain", "Vary: accept-encoding"},
			{"/app.js", "Accept-Encoding: gzip", 200, "as gzip", "Content-Encoding: gzip"},
			{"/app.js", "Accept-Encoding: br, gzip", 200, "as brotli", "Content-Encoding: br"},
			{"/large.txt", "", 200, large, "Accept-Ranges: bytes"},
			{"/large.txt", "Range: bytes=16-400000", 206, large[16:400001], fmt.Sprintf("Content-Range: bytes 16-400000/%d", len(large))},
			{"/large.txt", "Range: bytes=-5", 206, "bcdef", ""},
			{"/huge.bin", "", 200, string(huge), "Content-Type: application/octet-stream"},
			{"/huge.bin", "Range: bytes=100000-3000000", 206, string(huge[100000:3000001]), ""},
			{"/huge.bin", "Range: bytes=99999999-", 416, "", fmt.Sprintf("Content-Range: bytes */%d", len(huge))},
			{"/huge.bin", `If-Match: "x"`, 412, "", ""},
			{"/empty.txt", "", 200, "", "Content-Type: text/plain; charset=utf-8"},
			{"/.well-known/security.txt", "", 200, "contact", ""},
			// These are the app's to answer: the demo app says what it was asked for.
			{"/plain", "", 200, "plain", ""},
			{"/folder/", "", 404, "", ""},
			{"/folder", "", 404, "", ""},
			{"/.env", "", 404, "", ""},
			{"/style.css/", "", 404, "", ""},
			{"/style.css/x", "", 404, "", ""},
		} {
			var header []string
			if each.header != "" {
				header = append(header, each.header)
			}
			response, body := getFile(t, "GET", url+each.path, header...)
			isApp := response.Header.Get("Etag") == "" && response.StatusCode != 307 && response.StatusCode != 412
			if each.status == 404 || each.path == "/plain" {
				if !isApp {
					t.Errorf("%s: answered with a file: %d %.50q", each.path, response.StatusCode, body)
				}
				continue
			}
			if response.StatusCode != each.status || body != each.body || isApp {
				t.Errorf("%s %s: %d with %d bytes %.50q, want %d with %d", each.path, each.header, response.StatusCode, len(body), body, each.status, len(each.body))
			}
			if name, value, _ := strings.Cut(each.field, ": "); name != "" && response.Header.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", each.path, name, response.Header.Get(name), value)
			}
			if each.status != 200 {
				continue
			}
			tag := response.Header.Get("Etag")
			unmodified, body := getFile(t, "GET", url+each.path, append(header, "If-None-Match: "+tag)...)
			if unmodified.StatusCode != 304 || body != "" || unmodified.Header.Get("Etag") != tag {
				t.Errorf("%s: %d %v to who has it", each.path, unmodified.StatusCode, unmodified.Header)
			}
			onlyHead, body := getFile(t, "HEAD", url+each.path, append(header, "Range: bytes=0-0")...) // that is for GET
			if onlyHead.StatusCode != 200 || body != "" || onlyHead.ContentLength != int64(len(each.body)) {
				t.Errorf("%s: HEAD %d with length %d", each.path, onlyHead.StatusCode, onlyHead.ContentLength)
			}
		}
	}
}

// TestStaticLeavesOthersToTheApp: other methods, and requests with bodies, are the app's.
func TestStaticLeavesOthersToTheApp(t *testing.T) {
	_, address := startSite(t, siteOf(t, map[string]string{"size": "a file"}), nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
		if _, body := getFile(t, method, "http://"+address+"/size"); body == "a file" {
			t.Errorf("%s was answered with a file", method)
		}
	}
	request, _ := http.NewRequest("GET", "http://"+address+"/size", strings.NewReader("12345"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); string(body) != "5" {
		t.Errorf("GET with a body: %q", body)
	}
}

// TestStaticChanges: a changed file is served changed within a second, and never as a mix.
func TestStaticChanges(t *testing.T) {
	content := func(version int) string {
		return strings.Repeat(fmt.Sprintf("%07d\n", version), 20_000) // 160 kB
	}
	dir := siteOf(t, map[string]string{"file.txt": content(0)})
	_, address := startSite(t, dir, nil)
	url := "http://" + address + "/file.txt"
	for version := 1; version <= 3; version++ {
		writeSite(t, dir, "file.txt", content(version))
		deadline := time.Now().Add(5 * time.Second)
		for {
			_, body := getFile(t, "GET", url)
			if body == content(version) {
				break
			}
			if body != content(version-1) {
				t.Fatalf("a mix of states, or none: %.50q", body)
			}
			if time.Now().After(deadline) {
				t.Fatal("the old state is still served")
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "file.txt")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deleted file is gone", func() bool {
		response, _ := getFile(t, "GET", url)
		return response.Header.Get("Etag") == ""
	})
	writeSite(t, dir, "file.txt", "back")
	eventually(t, "the file is back", func() bool {
		_, body := getFile(t, "GET", url)
		return body == "back"
	})
}

// TestStaticStaysInside: symbolic links are followed inside of the folder only.
func TestStaticStaysInside(t *testing.T) {
	outside := siteOf(t, map[string]string{"secret.txt": "SECRET"})
	dir := siteOf(t, map[string]string{"real.txt": "inside", "folder/x.txt": "x"})
	for name, target := range map[string]string{
		"out.txt": filepath.Join(outside, "secret.txt"), "out": outside, "up.txt": "../" + filepath.Base(outside) + "/secret.txt",
		"in.txt": "real.txt", "folder/in.txt": "../real.txt", "loop.txt": "loop.txt", "proc": "/proc/self/root",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, address := startSite(t, dir, nil)
	for path, isServed := range map[string]bool{"/out.txt": false, "/out/secret.txt": false, "/up.txt": false,
		"/in.txt": true, "/folder/in.txt": true, "/loop.txt": false, "/proc/etc/passwd": false,
		"/folder/%2e%2e/real.txt": false, "/..%2fsecret.txt": false} {
		_, body := getFile(t, "GET", "http://"+address+path)
		if strings.Contains(body, "SECRET") || (body == "inside") != isServed {
			t.Errorf("%s: %.80q", path, body)
		}
	}
}

// TestStaticReleases: a folder that is a symbolic link to the newest release.
func TestStaticReleases(t *testing.T) {
	one, two := siteOf(t, map[string]string{"a": "one"}), siteOf(t, map[string]string{"a": "two"})
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	_, address := startSite(t, link, nil)
	if _, body := getFile(t, "GET", "http://"+address+"/a"); body != "one" {
		t.Fatalf("%q", body)
	}
	if err := os.Symlink(two, link+"~"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+"~", link); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new release", func() bool {
		_, body := getFile(t, "GET", "http://"+address+"/a")
		return body == "two"
	})
}

// TestStaticPrefix: the folder of an app with a path lies below that path.
func TestStaticPrefix(t *testing.T) {
	dir := siteOf(t, map[string]string{"index.html": "shop", "a.css": "css"})
	_, address := startSite(t, dir, func(o *NodeOptions) { o.Options.Apps[0].Path = "/shop/" })
	for path, want := range map[string]string{"/shop/": "200 shop", "/shop/a.css": "200 css", "/shop": "307 ", "/shop/shop/a.css": "app"} {
		response, body := getFile(t, "GET", "http://"+address+path)
		got := fmt.Sprintf("%d %s", response.StatusCode, body)
		if want == "app" && response.Header.Get("Etag") != "" || want != "app" && got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestStaticPipelined: files small and large, and answers of the app, in the order in which they were asked for.
func TestStaticPipelined(t *testing.T) {
	large, huge := strings.Repeat("L", 300_000), strings.Repeat("H", 3<<20)
	_, address := startSite(t, siteOf(t, map[string]string{"small": "s", "large": large, "huge": huge}), nil)
	connection := dial(t, address)
	defer connection.Close()
	paths := []string{"/small", "/plain", "/large", "/huge", "/late", "/small", "/large", "/plain", "/huge", "/small"}
	for _, path := range paths {
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	}
	_ = connection.CloseWrite() // what was asked for is answered all the same
	reader := bufio.NewReader(connection)
	for _, path := range paths {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		want := map[string]string{"/small": "s", "/large": large, "/huge": huge}[path]
		if want != "" && string(body) != want {
			t.Fatalf("%s: %d bytes %.40q", path, len(body), body)
		}
	}
}

// TestStaticCut: a file that shrinks, or is written over, while it is sent, is a broken connection, and nothing
// of what was sent is of another state.
func TestStaticCut(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"shrinks": func(file string) error { return os.Truncate(file, 2<<20) },
		"is rewritten": func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(bytes.Repeat([]byte("new\n"), 4<<20), 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := siteOf(t, map[string]string{"file": strings.Repeat("old\n", 8<<20)}) // 32 MiB
			node, address := startSite(t, dir, nil)
			connection := dial(t, address)
			defer connection.Close()
			fmt.Fprint(connection, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err != nil {
				t.Fatal(err)
			}
			sent := func() uint64 { return node.sum().BytesOut }
			eventually(t, "the client holds the server up", func() bool {
				before := sent()
				time.Sleep(20 * time.Millisecond)
				return before != 0 && sent() == before
			})
			if err := change(filepath.Join(dir, "file")); err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err == nil {
				t.Fatalf("%d of %d bytes came as if they were all", len(body), response.ContentLength)
			}
			if bytes.Contains(body, []byte("new")) {
				t.Error("a mix of two states was sent")
			}
		})
	}
}

// TestStaticEvicts: what does not fit into the memory for files is served all the same.
func TestStaticEvicts(t *testing.T) {
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("f%d", i)] = strings.Repeat(fmt.Sprint(i%10), 100_000)
	}
	for i := range 5 {
		files[fmt.Sprintf("h%d", i)] = strings.Repeat(fmt.Sprint(i), 2<<20)
	}
	before := descriptors(t)
	node, address := startSite(t, siteOf(t, files), func(o *NodeOptions) { o.Options.StaticCache = 300_000 })
	store := node.options.files
	store.mutex.Lock()
	store.descriptorsMax = 2
	store.mutex.Unlock()
	for range 3 {
		for name, content := range files {
			_, body := getFile(t, "GET", "http://"+address+"/"+name)
			if sha256.Sum256([]byte(body)) != sha256.Sum256([]byte(content)) {
				t.Fatalf("%s: %d bytes", name, len(body))
			}
		}
	}
	store.mutex.Lock()
	if store.memory > store.memoryMax || store.descriptors > store.descriptorsMax || len(store.entries) > 4 {
		t.Errorf("%d bytes and %d descriptors in %d entries", store.memory, store.descriptors, len(store.entries))
	}
	for store.oldest != nil {
		store.giveUp(store.oldest)
	}
	if store.memory != 0 || store.descriptors != 0 || len(store.entries) != 0 || store.newest != nil {
		t.Errorf("left: %d bytes, %d descriptors, %d entries", store.memory, store.descriptors, len(store.entries))
	}
	store.mutex.Unlock()
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	if after := descriptors(t); after > before+1 { // the folder
		t.Errorf("%d descriptors, before %d", after, before)
	}
	for _, l := range node.loops {
		if l != nil && len(l.files.readers.free) != len(l.files.readers.all) {
			t.Error("a reader is left over")
		}
	}
}

// TestStaticLingers: while clients still use as much of large files as may be kept, no more are read into memory.
func TestStaticLingers(t *testing.T) {
	const size = static.InMemoryMax + 1
	folder := openSite(t, siteOf(t, map[string]string{"large": strings.Repeat("L", size)}))
	store := newFileStore(fileMemoryPart * size)
	var used [][]byte
	for range fileMemoryPart {
		if got := store.largest(); got != size {
			t.Fatalf("%d bytes may be kept, with %d lingering", got, store.lingering.Load())
		}
		entry := &fileEntry{key: fileKey{folder, "large"}}
		for range 2 {
			found, err := folder.Find("large", entry.held, store.largest())
			if err != nil {
				t.Fatal(err)
			}
			store.looked(entry, &fileFound{Found: found})
		}
		content := entry.held.Variants[static.Identity].Content
		if len(content) != size {
			t.Fatalf("%d bytes in memory", len(content))
		}
		used = append(used, content[1:])
		store.giveUp(entry)
	}
	runtime.GC()
	if got := store.largest(); got != 0 || store.lingering.Load() != fileMemoryPart*size {
		t.Errorf("%d bytes may be kept, with %d lingering", got, store.lingering.Load())
	}
	runtime.KeepAlive(used)
	used = nil
	for deadline := time.Now().Add(patience(t)); store.lingering.Load() != 0; runtime.Gosched() {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d bytes linger though nobody uses them", store.lingering.Load())
		}
	}
	if got := store.largest(); got != size {
		t.Errorf("%d bytes may be kept", got)
	}
}

// TestStaticClientLeaves: clients that leave in the middle of files leave nothing behind.
func TestStaticClientLeaves(t *testing.T) {
	node, address := startSite(t, siteOf(t, map[string]string{"large": strings.Repeat("L", 900_000), "huge": strings.Repeat("H", 9<<20)}), nil)
	for i := range 40 {
		connection := dial(t, address)
		fmt.Fprintf(connection, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", []string{"large", "huge"}[i%2])
		if i%4 >= 2 {
			_, _ = io.ReadFull(connection, make([]byte, 50_000)) // how much came does not matter
		}
		connection.Close()
	}
	eventually(t, "all connections closed", func() bool { return node.sum().Connections == 0 })
	node.Drain()
	if err := node.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, l := range node.loops {
		if l != nil && (len(l.files.readers.free) != len(l.files.readers.all) || len(l.files.waits) != 0) {
			t.Error("a reader or a wait is left over")
		}
	}
}

// TestStaticMissing: what is known of a path at which there is nothing covers its neighbours, and no file.
func TestStaticMissing(t *testing.T) {
	many := map[string]string{"a/index.html": "", "a/b/c.txt": "", "file": ""}
	for i := range 1100 {
		many[fmt.Sprintf("many/f%d", i)] = ""
	}
	folder := openSite(t, siteOf(t, many))
	for asked, each := range map[string]struct{ missing, here []string }{
		"/nothing":        {[]string{"/x", "/nothing", "/x/y", "/nothing/z", "/nothing/"}, []string{"/a", "/a/x", "/file", "/", "", "/many/f1"}},
		"/nothing/at/all": {[]string{"/x", "/nothing", "/nothing/at"}, []string{"/a", "/a/x", "/file"}},
		"/a/x":            {[]string{"/a/x", "/a/y/z"}, []string{"/x", "/a", "/a/", "/a/b", "/a/b/x", "/a/index.html"}},
		"/a/b/x/y":        {[]string{"/a/b/x", "/a/b/z", "/a/b/z/"}, []string{"/a/x", "/a/b/c.txt", "/a/b/", "/a/b"}},
		"/a/b":            {[]string{"/a/b"}, []string{"/a/b/", "/a/b/x", "/a/x"}},
		"/a/b/":           {[]string{"/a/b/"}, []string{"/a/b", "/a/b/index.html", "/a/b/c.txt", "/a/x"}},
		"/file/":          {[]string{"/file/"}, []string{"/file", "/x"}},
		"/file/x/y":       {[]string{"/file/x", "/file/x/z"}, []string{"/file", "/file/y", "/x"}},
		"/many/x/y":       {[]string{"/many/x", "/many/x/z"}, []string{"/many/y", "/many/f1", "/x"}},
	} {
		f := newAppFiles(folder, "/")
		path, ok := static.AppendPath(nil, []byte(asked))
		found, err := folder.Find(string(path), nil, 0)
		if !ok || err != nil || found.File != nil {
			t.Fatalf("%s: %+v, %v", asked, found, err)
		}
		f.noteNothing([]byte(asked), &fileFound{found, folder, nil, 100})
		for _, target := range append(each.missing, each.here...) {
			path, _ := static.AppendPath(make([]byte, 0, 100), []byte(target))
			want := slices.Contains(each.missing, target)
			if got := f.isMissing(path, 99); got != want {
				t.Errorf("after %s, %s is missing: %v", asked, target, got)
			}
			if f.isMissing(path, 100) {
				t.Errorf("%s: that is too long ago", asked)
			}
		}
	}
}

// TestStaticDoesNotAllocate: a file from memory, one that the client has, and a path without a file.
func TestStaticDoesNotAllocate(t *testing.T) {
	folder := openSite(t, siteOf(t, map[string]string{"small.txt": "small", "large.txt": strings.Repeat("L", 300_000)}))
	file, err := folder.Find("small.txt", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tag := file.File.Variants[static.Identity].ETag
	for name, request := range map[string]string{
		"small":      "GET /small.txt HTTP/1.1\r\nHost: hello.localhost\r\nAccept-Encoding: gzip, br\r\n\r\n",
		"large":      "GET /large.txt HTTP/1.1\r\nHost: hello.localhost\r\n\r\n",
		"part":       "GET /large.txt HTTP/1.1\r\nHost: hello.localhost\r\nRange: bytes=100-200\r\n\r\n",
		"unmodified": "GET /small.txt HTTP/1.1\r\nHost: hello.localhost\r\nIf-None-Match: " + tag + "\r\n\r\n",
		"no file":    "GET /api/some/thing HTTP/1.1\r\nHost: hello.localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now() // the clock stands: nothing is looked for again
			l, ring := newScripted(t, request, 8, func(o *Options) {
				o.Apps[0].Static = folder
				o.Clock = func() time.Time { return begun }
			})
			for deadline := time.Now().Add(5 * time.Second); ring.sends < 100 && time.Now().Before(deadline); {
				if err := l.tick(); err != nil { // until it has been looked for
					t.Fatal(err)
				}
			}
			before, turns := ring.sends, l.stats.Turns
			allocations := testing.AllocsPerRun(1000, func() {
				if err := l.tick(); err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%v allocations per tick of 8 connections", allocations)
			}
			if isApp := l.stats.Turns != turns; ring.sends < before+8*1000 || isApp != (name == "no file") {
				t.Errorf("%d sends, %d turns: not what was to be measured", ring.sends-before, l.stats.Turns-turns)
			}
		})
	}
}

// TestStaticWithoutDescriptors: files that would have to be opened are refused clearly, all else goes on.
func TestStaticWithoutDescriptors(t *testing.T) {
	if os.Getenv("NANO_CHILD") == "" {
		childTest(t, "TestStaticWithoutDescriptors", nil)
		return
	}
	node, address := startSite(t, siteOf(t, map[string]string{"new": "new", "known": "known", "huge": strings.Repeat("H", 2<<20)}), nil)
	connection := dial(t, address)
	defer connection.Close()
	reader := bufio.NewReader(connection)
	ask := func(path string) (int, string) {
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	ask("/known")
	var limit, before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit = before
	limit.Cur = 3 // of those that are open none is closed
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/new": "503 nano: demo: too many open files", "/huge": "503 nano: demo: too many open files"} {
		if status, body := ask(path); fmt.Sprintf("%d %s", status, strings.TrimSpace(body)) != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, body := ask("/plain"); status == 503 {
		t.Errorf("what is the app's: %d %q", status, body)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if status, body := ask("/new"); status != 200 || body != "new" {
		t.Errorf("once there are descriptors again: %d %q", status, body)
	}
	if status, body := ask("/huge"); status != 200 || len(body) != 2<<20 {
		t.Errorf("once there are descriptors again: %d, %d bytes", status, len(body))
	}
	if node.sum().Connections != 1 {
		t.Errorf("%+v", node.sum())
	}
}

// TestStaticHangs: a file system that does not answer costs a connection, and nothing else.
func TestStaticHangs(t *testing.T) {
	node, address := startSite(t, siteOf(t, map[string]string{"file": "x"}), func(o *NodeOptions) {
		o.Options.HeaderTimeout = 100 * time.Millisecond
	})
	store := node.options.files
	store.mutex.Lock()
	store.lookers = fileLookersMax // all of them wait for the disk
	store.mutex.Unlock()
	response, body := getFile(t, "GET", "http://"+address+"/file")
	if response.StatusCode != 503 || !response.Close || strings.TrimSpace(body) != "nano: the file system does not answer" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	store.mutex.Lock()
	store.lookers = 0
	store.mutex.Unlock()
	if response, _ := getFile(t, "GET", "http://"+address+"/other"); response.StatusCode == 503 {
		t.Error("it answers again, but the client is not told")
	}
	eventually(t, "the file is there", func() bool {
		_, body := getFile(t, "GET", "http://"+address+"/file")
		return body == "x"
	})
}
