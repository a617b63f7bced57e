package control

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// entry is one entry of an archive.
type entry struct {
	name, text string
	kind       byte // 0: a file
	link       string
}

func archive(t testing.TB, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: 0o644, Typeflag: tar.TypeReg, Linkname: e.link, Size: int64(len(e.text))}
		if e.kind != 0 {
			header.Typeflag = e.kind
		}
		if e.kind == tar.TypeXGlobalHeader {
			header = &tar.Header{Typeflag: e.kind, PAXRecords: map[string]string{"comment": e.name}}
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReceive(t *testing.T) {
	project := archive(t, entry{name: "package.json", text: `{"main": "./src/app.ts"}`}, entry{name: "src/", kind: tar.TypeDir}, entry{name: "src/app.ts", text: "T"})
	for _, test := range []struct{ kind, body, main, text string }{
		{"application/javascript", "J", "main.js", "J"},
		{"text/javascript; charset=utf-8", "J", "main.js", "J"},
		{"text/typescript", "T", "main.ts", "T"},
		{"text/jsx", "X", "main.jsx", "X"},
		{"application/x-nano", "N", "main.nano", "N"},
		{"application/x-tar", project, "src/app.ts", "T"},
		{"application/gzip", zipped(t, project), "src/app.ts", "T"},
		{"application/x-tar", archive(t, entry{name: "./index.js", text: "I"}), "index.js", "I"},
		{"application/x-tar", archive(t, entry{name: "src/index.ts", text: "T"}, entry{name: "package.json", text: "{}"}), "src/index.ts", "T"},
		{"application/x-tar", archive(t, entry{name: "top/index.js", text: "I"}, entry{name: "top/a/b/c.js", text: "C"}), "top/index.js", "I"},
		{"application/x-tar", archive(t, entry{name: "index.js", text: "I"}, entry{name: "index.ts", text: "T"}), "index.ts", "T"},
		{"application/x-tar", archive(t, entry{kind: tar.TypeXGlobalHeader, name: "pax_global_header"}, entry{name: "index.js", text: "I"}), "index.js", "I"},
	} {
		folder := t.TempDir()
		d := Deployment{Body: iotest.OneByteReader(strings.NewReader(test.body)), Type: test.kind, Length: int64(len(test.body))}
		main, err := receive(&d, folder, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", test.kind, err)
			continue
		}
		text, err := os.ReadFile(main)
		if relative, _ := filepath.Rel(folder, main); err != nil || relative != test.main || string(text) != test.text {
			t.Errorf("%s: %s: %q, %v", test.kind, relative, text, err)
		}
	}
	for _, kind := range Types() {
		if !strings.Contains(kind, "/") {
			t.Errorf("%q is no type", kind)
		}
	}
}

// TestReceiveRefuses what is cut off, too large, or reaches out of its folder; and nothing comes out of it.
func TestReceiveRefuses(t *testing.T) {
	file := entry{name: "index.js", text: strings.Repeat("x", 700)}
	whole := archive(t, file)
	packed := zipped(t, whole)
	bomb := zipped(t, archive(t, entry{name: "index.js", text: strings.Repeat("x", 1<<20)}))
	many := zipped(t, strings.Repeat(archive(t, entry{name: "d/", kind: tar.TypeDir})[:512], 1<<12)+archive(t, file))
	for _, test := range []struct {
		kind, body, want string
		length           int64
	}{
		{"", "x", "is none of", 0},
		{"text/html", "x", `content-type "text/html"`, 0},
		{"text/javascript", "", "is empty", 0},
		{"text/javascript", "abc", "not 4 as announced", 4},
		{"text/javascript", "abc", "not 2 as announced", 2},
		{"text/javascript", strings.Repeat("x", 64<<10+1), "too large", 0},
		{"text/javascript", "x", "too large", 64<<10 + 1},
		{"application/x-tar", "", "ends early", 0},
		{"application/x-tar", whole[:600], "ends early", 0},
		{"application/x-tar", whole[:len(whole)-1024], "ends early", 0},
		{"application/x-tar", "no archive at all" + strings.Repeat(" ", 1000), "cannot be read", 0},
		{"application/gzip", packed[:len(packed)-9], "ends early", 0},
		{"application/gzip", packed[:5], "ends early", 0},
		{"application/gzip", "", "ends early", 0},
		{"application/gzip", whole, "cannot be read", 0},
		{"application/gzip", bomb, "too large", 0},
		{"application/gzip", many, "too large", 0},
		{"application/x-tar", archive(t), "has no main", 0},
		{"application/x-tar", archive(t, entry{name: "a.js", text: "x"}), "has no main", 0},
		{"application/x-tar", archive(t, entry{name: "package.json", text: "{"}), "package.json: ", 0},
		{"application/x-tar", archive(t, entry{name: "package.json", text: `{"main":"../x.js"}`}), "not below the root", 0},
		{"application/x-tar", archive(t, file, file), "twice", 0},
		{"application/x-tar", archive(t, file, entry{name: "index.js/x", text: "x"}), "twice", 0},
		{"application/x-tar", archive(t, file, entry{name: "../out.js", text: "x"}), "not below its root", 0},
		{"application/x-tar", archive(t, file, entry{name: "a/../../out.js", text: "x"}), "not below its root", 0},
		{"application/x-tar", archive(t, file, entry{name: "/out.js", text: "x"}), "not below its root", 0},
		{"application/x-tar", archive(t, file, entry{name: "..\\out.js", text: "x"}), "not below its root", 0},
		{"application/x-tar", archive(t, file, entry{name: strings.Repeat("n", 300), text: "x"}), "no file can have", 0},
		{"application/x-tar", archive(t, file, entry{name: "d", kind: tar.TypeDir}, entry{name: "d", text: "x"}), "twice", 0},
		{"application/x-tar", archive(t, file, entry{name: "link", kind: tar.TypeSymlink, link: "/etc/passwd"}), "neither a file nor a folder", 0},
		{"application/x-tar", archive(t, file, entry{name: "link", kind: tar.TypeLink, link: "index.js"}), "neither a file nor a folder", 0},
		{"application/x-tar", archive(t, file, entry{name: "null", kind: tar.TypeChar}), "neither a file nor a folder", 0},
		{"application/x-tar", archive(t, file, entry{name: "pipe", kind: tar.TypeFifo}), "neither a file nor a folder", 0},
	} {
		above := t.TempDir()
		folder := filepath.Join(above, "folder")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		d := Deployment{Body: strings.NewReader(test.body), Type: test.kind, Length: test.length}
		_, err := receive(&d, folder, 64<<10)
		var rejection *RejectedError
		isLarge := errors.Is(err, ErrTooLarge)
		if err == nil || !strings.Contains(err.Error(), test.want) || isLarge != (test.want == "too large") || !isLarge && !errors.As(err, &rejection) {
			t.Errorf("%s, %d bytes: %v, want %q", test.kind, len(test.body), err, test.want)
		}
		if entries, err := os.ReadDir(above); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v is beside the folder, %v", test.want, entries, err)
		}
	}
	// A client that goes away.
	d := Deployment{Body: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), Type: "text/javascript"}
	if _, err := receive(&d, t.TempDir(), 1<<20); err == nil || !strings.Contains(err.Error(), "ends early") {
		t.Errorf("%v", err)
	}
}

// TestBadUploads leave the running version, and nothing behind.
func TestBadUploads(t *testing.T) {
	w := newWorld(t, map[string]string{"nano.toml": "[server]\nmax_bundle = \"1KiB\"\n" + twoApps, "a.js": "A", "b.js": "B"})
	for _, test := range []struct {
		body   io.Reader
		kind   string
		tooBig bool
		want   string
	}{
		{strings.NewReader("syntax"), "text/javascript", false, "main.js:1:1: SyntaxError"},
		{strings.NewReader("throws"), "text/javascript", false, "TypeError"},
		{strings.NewReader("import ./a"), "text/typescript", false, "no such file\nonly main.ts was uploaded, not what it imports: upload the project's folder"},
		{strings.NewReader(zipped(t, archive(t, entry{name: "index.ts", text: "import ./a"}))), "application/gzip", false, `index.ts:1:8: cannot import "./a": no such file`},
		{strings.NewReader("dies"), "text/javascript", false, "does not start: Error: at the start"},
		{strings.NewReader(strings.Repeat("x", 1025)), "text/javascript", true, "1024 bytes of [server] max_bundle"},
		{strings.NewReader("x"), "image/png", false, "content-type"},
		{iotest.ErrReader(io.ErrUnexpectedEOF), "text/javascript", false, "ends early"},
		{strings.NewReader(archive(t, entry{name: "package.json", text: `{"main":"gone.js"}`})[:1024]), "application/x-tar", false, "ends early"},
	} {
		_, err := w.node.Deploy(context.Background(), "a", Deployment{Body: test.body, Type: test.kind})
		var rejection *RejectedError
		if errors.Is(err, ErrTooLarge) != test.tooBig || !test.tooBig && !errors.As(err, &rejection) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
		if test.kind == "application/gzip" && strings.Contains(err.Error(), "only") {
			t.Errorf("an archive: %v", err)
		}
		if strings.Contains(err.Error(), w.folder) {
			t.Errorf("it tells of a folder that is gone: %v", err)
		}
		w.settle()
		w.expect("a/=A b/=B")
	}
	if got := w.versions("a"); got != "1=A*" {
		t.Error(got)
	}
	entries, err := os.ReadDir(filepath.Join(w.folder, ".nano", "uploads"))
	if err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCleanUploads(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{".new-1/a/b", "kept"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := cleanUploads(folder); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "kept" }) || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// mended gives the headers of an archive the checksums that they should have, without which no change of them gets
// past the reader's first look.
func mended(body []byte) []byte {
	const block, sizeAt, sumAt = 512, 124, 148
	whole := bytes.Clone(body)
	for left := whole; len(left) >= block; {
		header, rest := left[:block], left[block:]
		if !bytes.Equal(header, make([]byte, block)) {
			sum := int64(8 * ' ') // the checksum itself counts as spaces
			for i, b := range header {
				if i < sumAt || i >= sumAt+8 {
					sum += int64(b)
				}
			}
			copy(header[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
			size, err := strconv.ParseInt(strings.Trim(string(header[sizeAt:sizeAt+12]), " \x00"), 8, 32)
			if padded := (size + block - 1) / block * block; err == nil && size > 0 && padded <= int64(len(rest)) {
				rest = rest[padded:]
			}
		}
		left = rest
	}
	return whole
}

// pieces is a Reader that gives at most size bytes at a time.
type pieces struct {
	from io.Reader
	size int
}

// Read implements io.Reader.
func (p pieces) Read(b []byte) (int, error) { return p.from.Read(b[:min(p.size, len(b))]) }

// unpacked are the files below a folder, by their names. What is neither a file nor a folder fails the test.
func unpacked(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			t.Errorf("%s is a %v", path, entry.Type())
			return nil
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder)] = string(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// seedUploads are archives as people make them, and as they should not.
func seedUploads(f *testing.F) {
	project := archive(f, entry{name: "package.json", text: `{"main": "./src/app.ts"}`}, entry{name: "src/", kind: tar.TypeDir}, entry{name: "src/app.ts", text: "T"})
	deep := archive(f, entry{name: strings.Repeat("long/", 40) + "index.js", text: "I"}, entry{name: "index.js", text: strings.Repeat("x", 2000)})
	for _, body := range []string{
		"x", project, deep, zipped(f, project), zipped(f, project)[:40],
		archive(f, entry{name: "../up.js", text: "U"}, entry{name: "/etc/x.js", text: "E"}, entry{name: "index.js", text: "I"}),
		archive(f, entry{name: "l", kind: tar.TypeSymlink, link: "../.."}, entry{name: "l/index.js", text: "I"}),
		archive(f, entry{name: "index.js", text: "I"}, entry{name: "h", kind: tar.TypeLink, link: "index.js"}, entry{name: "p", kind: tar.TypeFifo}),
		archive(f, entry{name: "index.js/", kind: tar.TypeDir}, entry{name: "index.js", text: "I"}),
		archive(f, entry{kind: tar.TypeXGlobalHeader, name: "comment"}, entry{name: "top/index.ts", text: "T"}, entry{name: "top/index.ts", text: "U"}),
		archive(f, entry{name: "package.json", text: `{"main": "../../x", "exports": {".": 1}}`}, entry{name: "src/index.tsx", text: "T"}),
	} {
		for kind := range Types() {
			f.Add([]byte(body), uint8(kind), uint16(len(body)/3))
		}
	}
}

// FuzzReceive unpacks whatever comes: nothing but files and folders below the folder may come of it, no more of them
// than is allowed, and the same ones however it is cut.
func FuzzReceive(f *testing.F) {
	seedUploads(f)
	names := Types()
	f.Fuzz(func(t *testing.T, body []byte, kind uint8, cut uint16) {
		const bytesMax = 1 << 16
		d := Deployment{Type: names[int(kind)%len(names)]}
		if !d.isOneFile() {
			body = mended(body)
			if form := forms[d.Type]; form.isGzip && cut&1 != 0 {
				body = []byte(zipped(t, string(body)))
			}
		}
		var mains, problems [2]string
		var files [2]map[string]string
		for i, size := range []int{len(body) + 1, int(cut) + 1} {
			above := t.TempDir()
			folder := filepath.Join(above, "folder")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			d.Body = pieces{bytes.NewReader(body), size}
			main, err := receive(&d, folder, bytesMax)
			files[i] = unpacked(t, folder)
			if err != nil {
				problems[i] = strings.ReplaceAll(err.Error(), folder, "")
			} else {
				mains[i] = strings.TrimPrefix(main, folder)
			}
			if entries, err := os.ReadDir(above); err != nil || len(entries) != 1 {
				t.Errorf("%v, %v", entries, err)
			}
			total := 0
			for _, text := range files[i] {
				total += len(text)
			}
			if _, isThere := files[i][mains[i]]; problems[i] == "" && !isThere || total > bytesMax {
				t.Errorf("main is %s, of %d files with %d bytes", main, len(files[i]), total)
			}
		}
		if mains[0] != mains[1] || problems[0] != problems[1] || problems[0] == "" && !maps.Equal(files[0], files[1]) {
			t.Errorf("whole: %s %s, in pieces of %d: %s %s", mains[0], problems[0], int(cut)+1, mains[1], problems[1])
		}
	})
}
