// Package bundle makes one module of an app that is written in TypeScript or JSX, or that imports npm
// packages: by esbuild, in this process, as wrangler sets it up for Workers.
package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"nano/isolates"
)

// Options say what to bundle and how. Their JSON is part of the key of a Cache.
type Options struct {
	Main string `json:"main"` // absolute path of the main module
	Base string `json:"base"` // absolute path of a folder: paths are shown relative to it
	// Development: process.env.NODE_ENV is "development" instead of "production".
	Development bool `json:"development,omitempty"`
	// Root is the absolute path of the folder of a project that came from outside: nothing that lies
	// elsewhere gets into the bundle, or is shown. "": there is no bound.
	Root string `json:"root,omitempty"`
	// BytesMax bounds the bundle: its JavaScript without source map, and its WebAssembly; 0: BytesMaxDefault.
	BytesMax int64 `json:"bytes_max,omitempty"`
	Settings
}

// BytesMaxDefault is the bound of bundles that Options do not tell another.
const BytesMaxDefault = 32 << 20

// Settings are those of a project, as wrangler.toml has them.
type Settings struct {
	Define map[string]string `json:"define,omitempty"` // expressions by the names that they replace
	Alias  map[string]string `json:"alias,omitempty"`  // packages by the names that are imported
	Rules  []Rule            `json:"rules,omitempty"`  // before those that every project has
	// Minify makes the bundle short.
	Minify bool `json:"minify,omitempty"`
	// NodeCompat gives the app the globals of Node.js, if the project has unenv.
	NodeCompat bool `json:"node_compat,omitempty"`
}

// IsZero tells whether bundling would change nothing of a plain ES module.
func (s *Settings) IsZero() bool {
	return len(s.Define)+len(s.Alias)+len(s.Rules) == 0 && !s.Minify && !s.NodeCompat
}

// Rule says what files are when they are imported.
type Rule struct {
	Type  string   `json:"type"`  // "Text", "Data" or "CompiledWasm"
	Globs []string `json:"globs"` // "**/*.ext"
}

// Result is a bundle that was made.
type Result struct {
	Bundle *isolates.Bundle
	// Inputs are the absolute paths of all files and folders that the bundle depends on, those among them
	// that do not exist and would matter if they did. Of a folder the names in it count.
	Inputs   []string
	Warnings []Diagnostic
}

// Build bundles an app once. The error is a *Diagnostics if it is about the app's files.
func Build(ctx context.Context, o Options) (*Result, error) {
	c, err := NewContext(o)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Rebuild(ctx)
}

// Context bundles an app again and again, and keeps in memory what has not changed. It is for one
// goroutine at a time.
type Context struct {
	options Options
	jsx     string // importSource where no tsconfig.json names one
	esbuild api.BuildContext
	record  *record
}

// NewContext makes a Context, which is to be closed.
func NewContext(o Options) (*Context, error) {
	if !filepath.IsAbs(o.Main) || !filepath.IsAbs(o.Base) {
		return nil, fmt.Errorf("bundle: the paths %q and %q are to be absolute", o.Main, o.Base)
	}
	if o.BytesMax == 0 {
		o.BytesMax = BytesMaxDefault
	}
	return &Context{options: o}, nil
}

// Close frees what the Context keeps.
func (c *Context) Close() {
	if c.esbuild != nil {
		c.esbuild.Dispose()
		c.esbuild = nil
	}
}

// Rebuild bundles the app as its files are now. The error is a *Diagnostics if it is about them, and ctx's
// if that has ended.
func (c *Context) Rebuild(ctx context.Context) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if source := jsxSource(c.options.Main); c.esbuild == nil || source != c.jsx {
		c.Close()
		c.jsx, c.record = source, newRecord(&c.options)
		esbuild, failed := api.Context(esbuildOptions(&c.options, source, c.record))
		if failed != nil {
			return nil, c.diagnostics(failed.Errors)
		}
		c.esbuild = esbuild
	}
	c.record.reset()
	stop := context.AfterFunc(ctx, c.esbuild.Cancel)
	built := c.esbuild.Rebuild()
	if !stop() {
		return nil, ctx.Err()
	}
	if len(built.Errors) > 0 {
		return nil, c.diagnostics(built.Errors)
	}
	return c.result(&built)
}

// diagnostics are an error of esbuild's messages.
func (c *Context) diagnostics(messages []api.Message) *Diagnostics {
	failed := &Diagnostics{List: translate(messages, &c.options)}
	if c.record != nil {
		failed.Inputs = c.record.inputs(c.options.Main)
	}
	return failed
}

// metafile is what we read of esbuild's description of what it has made.
type metafile struct {
	Outputs map[string]struct {
		Inputs map[string]struct {
			BytesInOutput int64 `json:"bytesInOutput"`
		} `json:"inputs"`
		Imports []struct {
			Path     string `json:"path"`
			Kind     string `json:"kind"`
			External bool   `json:"external"`
		} `json:"imports"`
	} `json:"outputs"`
}

// result makes a bundle of what esbuild has made: one JavaScript file with its source map, and whatever
// style sheets there were, which nobody asks for.
func (c *Context) result(built *api.BuildResult) (*Result, error) {
	var meta metafile
	if err := json.Unmarshal([]byte(built.Metafile), &meta); err != nil {
		return nil, fmt.Errorf("bundle: esbuild's metafile: %w", err)
	}
	main := isolates.Module{Name: shownPath(c.options.Base, outputPath(&c.options))}
	for _, file := range built.OutputFiles {
		switch file.Path {
		case outputPath(&c.options):
			main.Source = file.Contents
		case outputPath(&c.options) + ".map":
			text, err := shownSources(c.options.Base, file.Contents)
			if err != nil {
				return nil, fmt.Errorf("bundle: esbuild's source map: %w", err)
			}
			main.Map = text
		}
	}
	modules := []isolates.Module{main}
	largest := map[string]int64{}
	for path, output := range meta.Outputs {
		if !strings.HasSuffix(path, ".js") {
			continue
		}
		for input, share := range output.Inputs {
			largest[input] = share.BytesInOutput
		}
		for _, imported := range output.Imports {
			if !imported.External || imported.Kind != "import-statement" {
				continue
			}
			if slices.ContainsFunc(modules[0].Imports, func(i isolates.Import) bool { return i.Name == imported.Path }) {
				continue
			}
			target := -1
			if file, isWasm := c.record.wasmFile(imported.Path); isWasm {
				target = len(modules)
				module, err := c.readWasm(imported.Path, file)
				if err != nil {
					return nil, err
				}
				largest[module.Name] = int64(len(module.Source))
				modules = append(modules, module)
			}
			modules[0].Imports = append(modules[0].Imports, isolates.Import{Name: imported.Path, Target: target})
		}
	}
	if err := c.checkSize(modules, largest); err != nil {
		return nil, err
	}
	bundle, err := isolates.NewBundle(modules)
	if err != nil {
		return nil, err
	}
	return &Result{bundle, c.record.inputs(c.options.Main), translate(built.Warnings, &c.options)}, nil
}

// wasmMagic is how WebAssembly's binary format begins, with its version.
const wasmMagic = "\x00asm\x01\x00\x00\x00"

func (c *Context) readWasm(specifier, file string) (isolates.Module, error) {
	shown := shownPath(c.options.Base, file)
	what := ""
	var source []byte
	err := c.record.checkFile(file)
	if err == nil {
		source, err = os.ReadFile(file)
	}
	if err != nil {
		what = withoutPath(err).Error()
	} else if !strings.HasPrefix(string(source[:min(len(source), len(wasmMagic))]), wasmMagic) {
		what = "is not a WebAssembly module: it does not begin with \"\\0asm\" and version 1"
	}
	if what != "" {
		return isolates.Module{}, &Diagnostics{List: []Diagnostic{{File: shown, Text: what}}, Inputs: c.record.inputs(c.options.Main)}
	}
	return isolates.Module{Name: strings.TrimPrefix(specifier, "./"), Kind: isolates.ModuleWasm, Source: source}, nil
}

// largestTold is how many files are named when a bundle is too large.
const largestTold = 3

func (c *Context) checkSize(modules []isolates.Module, shares map[string]int64) error {
	size := int64(0)
	for i := range modules {
		size += int64(len(modules[i].Source))
	}
	if size <= c.options.BytesMax {
		return nil
	}
	files := make([]string, 0, len(shares))
	for file := range shares {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b string) int {
		if shares[a] != shares[b] {
			return int(min(max(shares[b]-shares[a], -1), 1))
		}
		return strings.Compare(a, b)
	})
	for i, file := range files {
		files[i] = fmt.Sprintf("%s %d KiB", file, (shares[file]+1023)>>10)
	}
	return &Diagnostics{Inputs: c.record.inputs(c.options.Main), List: []Diagnostic{{
		File: shownPath(c.options.Base, c.options.Main),
		Text: fmt.Sprintf("the bundle has %d bytes, and %d are allowed", size, c.options.BytesMax),
		Note: "the largest parts are " + strings.Join(files[:min(len(files), largestTold)], ", "),
	}}}
}

// outputPath is where the bundle would lie if it were written: in Base, so that the paths in its source map
// are those that are shown.
func outputPath(o *Options) string {
	name := strings.TrimSuffix(filepath.Base(o.Main), filepath.Ext(o.Main))
	return filepath.Join(o.Base, name+".bundle.js")
}

// shownPath is a path as messages have it: relative to base, if it lies in there.
func shownPath(base, path string) string {
	if relative, err := filepath.Rel(base, path); err == nil && relative != ".." && !strings.HasPrefix(relative, "../") {
		return relative
	}
	return path
}

// shownSources is a source map, of esbuild's, whose sources are called as shownPath does.
func shownSources(base string, text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte(`"../`)) {
		return text, nil // all of them lie in base
	}
	var fields map[string]json.RawMessage
	var sources []string
	err := json.Unmarshal(text, &fields)
	if err == nil {
		err = json.Unmarshal(fields["sources"], &sources)
	}
	if err != nil {
		return nil, err
	}
	for i, source := range sources {
		if strings.HasPrefix(source, "../") {
			sources[i] = filepath.Join(base, source)
		}
	}
	if fields["sources"], err = json.Marshal(sources); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// withoutPath takes operation and path off an error of the os package, for messages that name the path
// themselves.
func withoutPath(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
