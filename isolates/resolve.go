package isolates

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"nano/isolates/shim"
)

// Resolver finds the modules of apps, by V8's own parser, in an isolate that runs nothing.
type Resolver struct {
	// BytesMax bounds the modules of an app together; 0: nothing does.
	BytesMax int64

	isolate shim.Isolate
}

// NewResolver locks the calling goroutine to its thread until Close.
func (r *Runtime) NewResolver() (*Resolver, error) {
	runtime.LockOSThread()
	isolate, err := shim.NewIsolate(r.blob, shim.Image{}, shim.IsolateOptions{Wake: -1})
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return &Resolver{isolate: isolate}, nil
}

// Close ends the resolver.
func (r *Resolver) Close() {
	r.isolate.Dispose()
	runtime.UnlockOSThread()
}

// Resolve reads an app's main module and all that it imports. Paths are shown relative to base.
// The error is a *ResolveError, of all problems found, if the main module could be read.
func (r *Resolver) Resolve(main, base string) (*Bundle, error) {
	return r.ResolveWithin("", main, base)
}

// ResolveWithin is Resolve of modules that came from outside: no file is read that does not lie in the
// folder root, unless that is "".
func (r *Resolver) ResolveWithin(root, main, base string) (*Bundle, error) {
	graph := graph{resolver: r, root: root, base: base, moduleList: moduleList{index: map[string]int{}}}
	if _, err := graph.add(filepath.Clean(main)); err != nil {
		return nil, fmt.Errorf("%s: %s", graph.shown(main), reason(err))
	}
	if len(graph.problems) > 0 {
		return nil, &ResolveError{errors.Join(graph.problems...), graph.needsBundle, graph.mayBeJSX}
	}
	return &Bundle{graph.modules}, nil
}

// A ResolveError says why modules cannot be read as they are, by problems that are each a line
// "file:line:column: what".
type ResolveError struct {
	Problems error
	// NeedsBundle: modules import packages, or files that are no JavaScript.
	NeedsBundle bool
	// MayBeJSX: there is something in them that is no JavaScript.
	MayBeJSX bool
}

// Error has a line for each problem.
func (e *ResolveError) Error() string { return e.Problems.Error() }

// Unwrap gives the problems.
func (e *ResolveError) Unwrap() error { return e.Problems }

// graph collects modules depth first; the index of a module is fixed before its imports are read, so
// that cycles end.
type graph struct {
	moduleList // by cleaned path, or name of a module of the runtime
	resolver   *Resolver
	root       string
	base       string
	problems   []error
	bytes      int64 // read so far

	needsBundle, mayBeJSX bool // see ResolveError
}

func (g *graph) shown(path string) string {
	if relative, err := filepath.Rel(g.base, path); err == nil && !strings.HasPrefix(relative, "..") {
		return relative
	}
	return path
}

// add returns the index of the module at path. An error means that the file could not be read;
// problems in it are collected.
func (g *graph) add(path string) (int, error) {
	if index, ok := g.index[path]; ok {
		return index, nil
	}
	if !Within(g.root, path) {
		return 0, ErrOutside
	}
	source, err := g.read(path)
	if err != nil {
		return 0, err
	}
	index := len(g.modules)
	g.index[path] = index
	text := strings.ToValidUTF8(string(source), "\ufffd") // V8 would replace the rest, too
	g.modules = append(g.modules, shim.Module{Name: g.shown(path), Source: text, Encoding: encodingOf(text)})
	lines, err := g.resolver.isolate.Imports(g.shown(path), text)
	if err != nil {
		g.problems, g.mayBeJSX = append(g.problems, err), true
		return index, nil
	}
	var imports []shim.Import
	for line := range strings.Lines(lines) {
		// "line:column:specifier"; the specifier may contain colons.
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		target, err := g.follow(path, parts[2])
		if err != nil {
			g.problems = append(g.problems, fmt.Errorf("%s:%s:%s: cannot import %q: %w",
				g.shown(path), parts[0], parts[1], parts[2], err))
			continue
		}
		imports = append(imports, shim.Import{Name: parts[2], Target: target})
	}
	g.modules[index].Imports = imports
	return index, nil
}

// read reads a file, but nothing that is no plain file (a pipe would let everybody wait), and no more than is left.
func (g *graph) read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, unix.EISDIR
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a file")
	}
	most := g.resolver.BytesMax
	if most == 0 {
		return io.ReadAll(file)
	}
	tooLarge := fmt.Errorf("the app's modules have more than %d bytes, which are allowed", most)
	if info.Size() > most-g.bytes {
		return nil, tooLarge
	}
	source, err := io.ReadAll(io.LimitReader(file, most-g.bytes+1))
	if err != nil {
		return nil, err
	}
	if g.bytes += int64(len(source)); g.bytes > most { // it has grown meanwhile
		return nil, tooLarge
	}
	return source, nil
}

func (g *graph) follow(from, specifier string) (int, error) {
	if name, ok := moduleNames[specifier]; ok {
		return g.addOwn(name), nil
	}
	if !strings.HasPrefix(specifier, "./") && !strings.HasPrefix(specifier, "../") {
		g.needsBundle = true
		if strings.HasPrefix(specifier, "nano:") || strings.HasPrefix(specifier, "cloudflare:") {
			return 0, errors.New("there is no such module in this version")
		}
		return 0, errors.New("it is no path of a module")
	}
	switch strings.ToLower(filepath.Ext(specifier)) {
	case ".ts", ".tsx", ".mts", ".cts", ".jsx", ".cjs", ".json", ".wasm", ".wasm?module", ".txt", ".html", ".sql", ".bin", ".css":
		g.needsBundle = true
		return 0, errors.New("it is no plain ES module")
	}
	path := filepath.Join(filepath.Dir(from), filepath.FromSlash(specifier))
	index, err := g.add(path)
	if err == nil {
		return index, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		for _, extension := range []string{".js", ".mjs", "/index.js"} {
			if _, statErr := os.Stat(path + extension); statErr == nil {
				return 0, fmt.Errorf("no such file; did you mean %q?", specifier+extension)
			}
		}
	}
	return 0, errors.New(reason(err))
}

// ErrOutside: a file of an app that must stay in its folder lies elsewhere.
var ErrOutside = errors.New("it lies outside the project")

// Within tells whether a file lies in a folder, links followed; root "": it may lie anywhere. One that
// does not exist is where its path says.
func Within(root, path string) bool {
	if root == "" {
		return true
	}
	for _, each := range []*string{&root, &path} {
		if real, err := filepath.EvalSymlinks(*each); err == nil {
			*each = real
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	relative, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(relative)
}

// reason is an error of the file system without the path, which the message already has.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
