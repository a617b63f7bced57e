package control

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"nano/apps"
)

// form is what an upload is.
type form struct {
	file   string // the name of its only file; "": it is an archive
	isGzip bool
}

// forms are by MIME type.
var forms = map[string]form{
	"application/javascript":        {file: "main.js"},
	"text/javascript":               {file: "main.js"},
	"application/javascript+module": {file: "main.js"}, // as Cloudflare's API has it
	"application/typescript":        {file: "main.ts"},
	"text/typescript":               {file: "main.ts"},
	"text/tsx":                      {file: "main.tsx"},
	"text/jsx":                      {file: "main.jsx"},
	"application/x-nano":            {file: "main" + apps.BuiltExtension},
	"application/x-tar":             {},
	"application/tar":               {},
	"application/gzip":              {isGzip: true},
	"application/x-gzip":            {isGzip: true},
	"application/x-gtar":            {},
	"application/x-tar+gzip":        {isGzip: true},
	"application/x-compressed-tar":  {isGzip: true},
}

// Types are the MIME types of uploads: modules, files of `nano build`, archives of projects.
func Types() []string { return slices.Sorted(maps.Keys(forms)) }

// Bounds of archives beside their bytes: a project of many packages has fewer.
const (
	entriesMax    = 100_000
	pathLengthMax = 4096
)

// isOneFile tells whether an upload is a single file rather than an archive.
func (d *Deployment) isOneFile() bool {
	kind, _, err := mime.ParseMediaType(d.Type)
	return err == nil && forms[kind].file != ""
}

// receive writes an upload into a folder, which is empty, and gives the path of its main module. Neither
// what comes nor what is unpacked of it is longer than bytesMax.
func receive(d *Deployment, folder string, bytesMax int64) (main string, err error) {
	kind, _, err := mime.ParseMediaType(d.Type)
	f, isKnown := forms[kind]
	if err != nil || !isKnown {
		return "", rejected("content-type %q: is none of %s", d.Type, strings.Join(Types(), ", "))
	}
	if d.Length > bytesMax {
		return "", fmt.Errorf("%w: it has %d bytes, and [server] max_bundle is %d", ErrTooLarge, d.Length, bytesMax)
	}
	body := &bounded{from: d.Body, left: bytesMax, most: bytesMax}
	if f.file != "" {
		main, err = receiveFile(body, filepath.Join(folder, f.file))
	} else {
		main, err = receiveArchive(body, f.isGzip, folder, bytesMax)
	}
	if err == nil && d.Length > 0 && body.read() != d.Length {
		err = rejected("it has %d bytes, and not %d as announced: send it again", body.read(), d.Length)
	}
	return main, err
}

// bounded is a Reader that gives ErrTooLarge instead of more bytes than were left.
type bounded struct {
	from       io.Reader
	left, most int64
}

func (b *bounded) read() int64 { return b.most - b.left }

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		var one [1]byte
		n, err := io.ReadFull(b.from, one[:])
		if n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("%w: it has more than the %d bytes of [server] max_bundle", ErrTooLarge, b.most)
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// uploadError says what a failed transfer means. Errors of the disk come as they are.
func uploadError(err error) error {
	var onDisk *fs.PathError
	switch {
	case errors.As(err, &onDisk):
		return fmt.Errorf("%w: %w", apps.ErrState, err)
	case errors.Is(err, ErrTooLarge):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return rejected("it ends early: send it again")
	}
	return rejected("it cannot be read: %w", err)
}

func receiveFile(from io.Reader, name string) (string, error) {
	written, err := writeFile(name, from)
	if err != nil {
		return "", uploadError(err)
	}
	if written == 0 {
		return "", rejected("it is empty")
	}
	return name, nil
}

func writeFile(name string, from io.Reader) (written int64, err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	written, err = io.Copy(file, from)
	return written, errors.Join(err, file.Close())
}

// endMark is what the end of a tar archive is marked with: two blocks of zeros (pax, "ustar Interchange
// Format"). Package tar takes an archive that ends without for a whole one.
const endMark = 2 * 512

// tail remembers the last bytes of what is read.
type tail struct {
	from io.Reader
	last []byte
}

// Read implements io.Reader.
func (t *tail) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.last = append(t.last, p[:n]...)
	if excess := len(t.last) - endMark; excess > 0 {
		t.last = slices.Delete(t.last, 0, excess)
	}
	return n, err
}

func (t *tail) isMarked() bool {
	return len(t.last) == endMark && len(bytes.Trim(t.last, "\x00")) == 0
}

// receiveArchive unpacks a tar archive and finds the main module of the project in it.
func receiveArchive(from io.Reader, isGzip bool, folder string, bytesMax int64) (string, error) {
	plain := from
	if isGzip {
		unzipped, err := gzip.NewReader(bufio.NewReader(from))
		if err != nil {
			return "", uploadError(asEarlyEnd(err))
		}
		defer unzipped.Close()
		plain = unzipped
	}
	// Headers and padding count too: what unpacks to nothing but those is no project.
	ended := &tail{from: &bounded{from: plain, left: 2 * bytesMax, most: 2 * bytesMax}}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", uploadError(err)
	}
	defer root.Close()
	archive := tar.NewReader(ended)
	left := bytesMax
	for count := 0; ; count++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
			return "", uploadError(err)
		case count == entriesMax:
			return "", rejected("the archive has more than %d entries", entriesMax)
		case header.Size > left:
			return "", fmt.Errorf("%w: unpacked, it has more than the %d bytes of [server] max_bundle", ErrTooLarge, bytesMax)
		}
		left -= header.Size
		if err := unpack(root, archive, header); err != nil {
			return "", err
		}
	}
	if _, err := io.Copy(io.Discard, ended); err != nil {
		return "", uploadError(err)
	}
	if !ended.isMarked() {
		return "", rejected("the archive ends early: send it again")
	}
	return findMain(root, folder)
}

// asEarlyEnd makes of the end of an empty body what it is of any other that is cut off.
func asEarlyEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unpack writes one entry of an archive. Only plain files and folders below the root are taken; os.Root
// holds against whatever their names may be.
func unpack(root *os.Root, from io.Reader, header *tar.Header) error {
	name := path.Clean(strings.TrimPrefix(header.Name, "./"))
	switch {
	case !filepath.IsLocal(name) || strings.Contains(header.Name, "\\") || len(name) > pathLengthMax:
		return rejected("the archive has the path %q, which is not below its root", header.Name)
	case header.Typeflag == tar.TypeXGlobalHeader: // of `git archive`
		return nil
	case header.Typeflag == tar.TypeDir:
		if err := root.MkdirAll(name, 0o700); err != nil {
			return unpackError(header, err)
		}
		return nil
	case header.Typeflag != tar.TypeReg:
		return rejected("%s in the archive is neither a file nor a folder (type %q): leave links and devices out, for example with `tar -h`", header.Name, header.Typeflag)
	}
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return unpackError(header, err)
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unpackError(header, err)
	}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		return uploadError(err)
	}
	return nil
}

// unpackError tells what an archive brought about from what the disk did.
func unpackError(header *tar.Header, err error) error {
	if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) {
		return rejected("the archive has the path %.200q, which no file can have", header.Name)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return rejected("the archive has %s twice", header.Name)
	}
	return uploadError(err)
}

// findMain finds what a project begins with: main of its package.json, or else its index. An archive
// whose only entry is a folder is taken for that folder.
func findMain(root *os.Root, folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", uploadError(err)
	}
	if len(entries) == 1 && entries[0].IsDir() {
		folder = filepath.Join(folder, entries[0].Name())
	}
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err == nil {
		var project struct {
			Main string `json:"main"`
		}
		if err := json.Unmarshal(text, &project); err != nil {
			return "", rejected("package.json: %w", err)
		}
		if project.Main != "" {
			main := path.Clean(project.Main)
			if !filepath.IsLocal(main) {
				return "", rejected("package.json: main %q is not below the root", project.Main)
			}
			return filepath.Join(folder, main), nil
		}
	}
	for _, below := range []string{"src", ""} { // in the order of `nano run DIR`
		for _, name := range []string{"index.ts", "index.tsx", "index.js", "index.mjs", "index.jsx"} {
			main := filepath.Join(folder, below, name)
			if info, err := os.Stat(main); err == nil && info.Mode().IsRegular() {
				return main, nil
			}
		}
	}
	return "", rejected("the archive has no main: name it in package.json, or call it index.ts, src/index.ts or the like")
}
