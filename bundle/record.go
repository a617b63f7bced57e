package bundle

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/tailscale/hujson"

	"nano/isolates"
)

// record is our part in a build of esbuild's, a plugin: it says what the modules of the runtime, of Node.js
// and those in other formats are, and notes what was read.
type record struct {
	options *Options
	rules   []compiledRule

	mutex   sync.Mutex
	files   map[string]bool   // that were read, or asked for
	folders map[string]bool   // of files that were read, or asked for
	wasm    map[string]string // path by the specifier in the bundle
}

// compiledRule is a Rule for a path.
type compiledRule struct {
	kind string
	glob *regexp.Regexp
}

// defaultRules are those of wrangler. esbuild itself knows the texts.
var defaultRules = []Rule{
	{"CompiledWasm", []string{"**/*.wasm", "**/*.wasm?module"}},
	{"Data", []string{"**/*.bin"}},
}

func newRecord(o *Options) *record {
	r := &record{options: o}
	for _, rule := range slices.Concat(o.Rules, defaultRules) {
		for _, glob := range rule.Globs {
			r.rules = append(r.rules, compiledRule{rule.Type, compileGlob(glob)})
		}
	}
	r.reset()
	return r
}

// compileGlob makes a regular expression of a glob: "**/" is any folders, "*" part of a name.
func compileGlob(glob string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(glob)
	pattern = strings.ReplaceAll(pattern, `\*\*/`, `(.*/)?`)
	pattern = strings.ReplaceAll(pattern, `\*\*`, `.*`)
	pattern = strings.ReplaceAll(pattern, `\*`, `[^/]*`)
	return regexp.MustCompile(`^` + pattern + `$`)
}

// reset forgets what an earlier build has read.
func (r *record) reset() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.files, r.folders, r.wasm = map[string]bool{}, map[string]bool{}, map[string]string{}
}

func (r *record) note(file string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.files[file] = true
	if !isInstalled(file) {
		r.folders[filepath.Dir(file)] = true
	}
}

func (r *record) wasmFile(specifier string) (file string, ok bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	file, ok = r.wasm[specifier]
	return file, ok
}

// Namespaces of modules that are not what esbuild reads from a file.
const (
	namespaceOwn   = "nano"       // modules of the runtime that are bundled
	namespaceWasm  = "nano-wasm"  // WebAssembly that is not imported by a statement
	namespaceData  = "nano-data"  // a file as an ArrayBuffer
	namespaceBytes = "nano-bytes" // as a Uint8Array, for that
	namespaceText  = "nano-text"  // as a string, by a rule of the project

	namespaceImported = "nano-import"  // a module of the runtime for import()
	namespaceRequired = "nano-require" // one of Node.js for require()
	namespaceGlobals  = "nano-globals" // the globals of Node.js
)

func (r *record) plugin() api.Plugin {
	return api.Plugin{Name: "nano", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^(nano|cloudflare):`}, r.resolveScheme)
		for _, filter := range []string{`^node:`, bareNodeModules} {
			build.OnResolve(api.OnResolveOptions{Filter: filter}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				return r.resolveNode(build, args)
			})
		}
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceGlobals}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
			return r.loadNodeGlobals(build)
		})
		build.OnResolve(api.OnResolveOptions{Filter: `^\.\.?(/|$)`}, r.noteAsked)
		build.OnResolve(api.OnResolveOptions{Filter: r.filter()}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			return r.resolveFile(build, args)
		})
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "file"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			r.note(args.Path)
			if problems := r.outside(args.Path); problems != nil {
				return api.OnLoadResult{Errors: problems}, nil
			}
			return api.OnLoadResult{}, r.checkFile(args.Path)
		})
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceOwn}, loadOwn)
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceImported}, loadImported)
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceRequired}, loadRequired)
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceWasm}, r.loadWasm)
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceData}, loadData)
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceBytes}, r.loadAs(api.LoaderBinary))
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespaceText}, r.loadAs(api.LoaderText))
	}}
}

// outside refuses a file that does not lie in Root; nil: it does.
func (r *record) outside(file string) []api.Message {
	if isolates.Within(r.options.Root, file) {
		return nil
	}
	return []api.Message{{Text: fmt.Sprintf("cannot import %s: %s", file, isolates.ErrOutside)}}
}

// checkFile refuses files before they are read that no bundle could hold, and what would let the bundler wait, or
// read without end. A module may be longer than what is left of it in the bundle, but not without bounds.
func (r *record) checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil // esbuild says it better
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", shownPath(r.options.Base, path))
	case info.Size() > inputsPerOutput*r.options.BytesMax:
		return fmt.Errorf("%s has %d bytes, and a bundle of %d is allowed", shownPath(r.options.Base, path), info.Size(), r.options.BytesMax)
	}
	return nil
}

// inputsPerOutput is how many times longer than a bundle a file may be of which parts come into it.
const inputsPerOutput = 4

// filter matches what the rules may be about: most imports then cost no call.
func (r *record) filter() string {
	if len(r.options.Rules) == 0 {
		return `\.(wasm|wasm\?module|bin)$`
	}
	return `\.[A-Za-z0-9_]+(\?module)?$`
}

// noteAsked notes the folder that a relative import leads to: the file may be missing, and come.
func (r *record) noteAsked(args api.OnResolveArgs) (api.OnResolveResult, error) {
	if args.ResolveDir != "" && !isInstalled(args.ResolveDir+"/") {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.folders[filepath.Dir(filepath.Join(args.ResolveDir, args.Path))] = true
	}
	return api.OnResolveResult{}, nil
}

// resolveScheme says what modules with a scheme are.
func (r *record) resolveScheme(args api.OnResolveArgs) (api.OnResolveResult, error) {
	switch {
	case args.Path == nodeGlobals && args.Kind == api.ResolveEntryPoint:
		return api.OnResolveResult{Path: args.Path, Namespace: namespaceGlobals}, nil
	case isOwn(args.Path):
		return api.OnResolveResult{Path: args.Path, Namespace: namespaceOwn, SideEffects: api.SideEffectsFalse}, nil
	case isolates.IsRuntimeModule(args.Path):
		return r.resolveRuntime(args), nil
	}
	return lacking(args, fmt.Sprintf("cannot import %q: there is no such module in this version", args.Path), ""), nil
}

// asked marks what resolveFile asks esbuild itself.
type asked struct{}

// resolveFile says what files are that a rule is about.
func (r *record) resolveFile(build api.PluginBuild, args api.OnResolveArgs) (api.OnResolveResult, error) {
	kind := ""
	for _, rule := range r.rules {
		if rule.glob.MatchString(args.Path) {
			kind = rule.kind
			break
		}
	}
	if args.Namespace == namespaceData {
		return api.OnResolveResult{Path: args.Path, Namespace: namespaceBytes}, nil
	}
	if _, isOwn := args.PluginData.(asked); isOwn || kind == "" || args.Kind == api.ResolveEntryPoint {
		return api.OnResolveResult{}, nil
	}
	found := build.Resolve(strings.TrimSuffix(args.Path, "?module"), api.ResolveOptions{
		Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asked{}})
	if len(found.Errors) > 0 {
		return api.OnResolveResult{Errors: found.Errors, Warnings: found.Warnings}, nil
	}
	r.note(found.Path)
	if outside := r.outside(found.Path); outside != nil {
		return api.OnResolveResult{Errors: outside}, nil
	}
	switch kind {
	case "CompiledWasm":
		if args.Kind == api.ResolveJSImportStatement {
			return api.OnResolveResult{Path: r.wasmSpecifier(found.Path), External: true}, nil
		}
		return api.OnResolveResult{Path: found.Path, Namespace: namespaceWasm}, nil
	case "Data":
		return api.OnResolveResult{Path: found.Path, Namespace: namespaceData}, nil
	case "Text":
		return api.OnResolveResult{Path: found.Path, Namespace: namespaceText}, nil
	}
	return api.OnResolveResult{}, nil // JavaScript, of whatever kind
}

// wasmSpecifier is what the bundle imports a file of WebAssembly as.
func (r *record) wasmSpecifier(file string) string {
	specifier := shownPath(r.options.Base, file)
	if !filepath.IsAbs(specifier) {
		specifier = "./" + specifier
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.wasm[specifier] = file
	return specifier
}

// loadWasm is a module for import() and require(): it hands on what the bundle imports.
func (r *record) loadWasm(args api.OnLoadArgs) (api.OnLoadResult, error) {
	specifier, err := json.Marshal(args.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	text := fmt.Sprintf("export { default } from %s;", specifier)
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS, ResolveDir: filepath.Dir(args.Path)}, nil
}

func loadData(args api.OnLoadArgs) (api.OnLoadResult, error) {
	specifier, err := json.Marshal(args.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	text := fmt.Sprintf("import bytes from %s; export default bytes.buffer;", specifier)
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS, ResolveDir: filepath.Dir(args.Path)}, nil
}

func (r *record) loadAs(loader api.Loader) func(api.OnLoadArgs) (api.OnLoadResult, error) {
	return func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		if err := r.checkFile(args.Path); err != nil {
			return api.OnLoadResult{}, err
		}
		content, err := os.ReadFile(args.Path)
		if err != nil {
			return api.OnLoadResult{}, withoutPath(err)
		}
		text := string(content)
		return api.OnLoadResult{Contents: &text, Loader: loader}, nil
	}
}

//go:embed jsx.js
var jsxRuntime string

// isOwn reports that a module of the runtime is one that is bundled with the app.
func isOwn(name string) bool {
	return name == jsxOwn || name == jsxOwn+"/jsx-runtime" || name == jsxOwn+"/jsx-dev-runtime"
}

func loadOwn(args api.OnLoadArgs) (api.OnLoadResult, error) {
	text := jsxRuntime
	if args.Path != jsxOwn { // one instance, whatever it is called
		text = `export * from "nano:jsx";`
	}
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
}

// Files beside a module that say how it, or what it imports, is to be understood.
var (
	projectFiles = []string{"package.json", "tsconfig.json", "jsconfig.json"}
	lockFiles    = []string{"package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb",
		"node_modules/.package-lock.json", "node_modules/.modules.yaml", "node_modules/.yarn-state.yml"}
)

// inputs are Result.Inputs: what was read, the folders of the app's own modules, in which files may come
// that would have been found first, and what tells of packages and settings in all folders around.
func (r *record) inputs(main string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	all := map[string]bool{main: true, filepath.Dir(main): true}
	for file := range r.files {
		all[file] = true
		for _, folder := range ancestors(filepath.Dir(file)) {
			path := filepath.Join(folder, projectFiles[0])
			if all[path] {
				break // and so are those of the folders around
			}
			for _, name := range projectFiles {
				all[filepath.Join(folder, name)] = true
			}
		}
	}
	for folder := range r.folders {
		all[folder] = true
	}
	for _, folder := range ancestors(filepath.Dir(main)) {
		for _, name := range slices.Concat(projectFiles, lockFiles) {
			all[filepath.Join(folder, name)] = true
		}
	}
	for path := range all {
		if name := filepath.Base(path); name == "tsconfig.json" || name == "jsconfig.json" {
			noteExtended(path, all, 0)
		}
	}
	list := make([]string, 0, len(all))
	for path := range all {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}

// extendsMax bounds a chain of tsconfig.json files.
const extendsMax = 16

// noteExtended adds the files that a tsconfig.json is based on.
func noteExtended(path string, all map[string]bool, depth int) {
	text, err := os.ReadFile(path)
	if err != nil || depth > extendsMax {
		return
	}
	standard, err := hujson.Standardize(text)
	if err != nil {
		return // esbuild will tell
	}
	var settings struct {
		Extends any `json:"extends"`
	}
	if json.Unmarshal(standard, &settings) != nil {
		return
	}
	bases, isList := settings.Extends.([]any)
	if !isList {
		bases = []any{settings.Extends}
	}
	for _, base := range bases {
		name, isText := base.(string)
		if !isText || name == "" {
			continue
		}
		for _, file := range extendedFiles(filepath.Dir(path), name) {
			if !all[file] {
				all[file] = true
				noteExtended(file, all, depth+1)
			}
		}
	}
}

// extendedFiles are those that "extends" may mean, in the order in which they are looked for.
func extendedFiles(folder, name string) []string {
	if isRelative(name) || filepath.IsAbs(name) {
		file := name
		if !filepath.IsAbs(name) {
			file = filepath.Join(folder, name)
		}
		if strings.HasSuffix(file, ".json") {
			return []string{file}
		}
		return []string{file + ".json"}
	}
	var files []string
	for _, around := range ancestors(folder) {
		file := filepath.Join(around, "node_modules", name)
		if _, err := os.Stat(filepath.Join(around, "node_modules", packageName(name))); err != nil {
			continue
		}
		return []string{file, file + ".json", filepath.Join(file, "tsconfig.json")}
	}
	return files
}
