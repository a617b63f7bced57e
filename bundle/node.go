package bundle

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"nano/isolates"
)

// nodeModules are the modules of Node.js.
var nodeModules = []string{"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
	"diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net", "os", "path",
	"perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder", "sys",
	"timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"}

// prefixedModules are those that need "node:" before their names.
var prefixedModules = []string{"sea", "sqlite", "test"}

func isNodeModule(specifier string) bool {
	if strings.HasPrefix(specifier, "node:") {
		return true
	}
	name, _, _ := strings.Cut(specifier, "/")
	return slices.Contains(nodeModules, name)
}

// bareNodeModules matches what may mean a module of Node.js without saying so.
var bareNodeModules = `^(` + strings.Join(nodeModules, "|") + `)(/|$)`

// noNodeModule says that a module of Node.js is not there, and what helps.
func noNodeModule(specifier string) (text, cure string) {
	name := strings.TrimPrefix(specifier, "node:")
	if first, _, _ := strings.Cut(name, "/"); !isNodeModule(name) && !slices.Contains(prefixedModules, first) {
		return fmt.Sprintf("cannot import %q: Node.js has no such module", specifier), ""
	}
	return fmt.Sprintf("cannot import %q: of Node.js, NANO has node:async_hooks only", specifier),
		`use the Web platform's own, or a package that has a build for workers or browsers, or run "npm install unenv@2.0.0-rc.24" in the project's folder for the polyfills in it`
}

// unenv is a package of polyfills for modules of Node.js: that which wrangler uses, and brings along.
const unenv = "unenv"

// unenvUsers are packages that depend on unenv: where npm has put that into one of their own folders, it is
// found there.
var unenvUsers = []string{"wrangler", "@cloudflare/vite-plugin", "@cloudflare/unenv-preset", "nitropack", "nitro"}

// polyfill is the file in unenv of a module of Node.js, if the project has it; "": it has not.
// importer is the folder of the module that asks, or "".
func (r *record) polyfill(build api.PluginBuild, module, importer string) string {
	wanted := unenv + "/node/" + strings.TrimPrefix(module, "node:")
	project := filepath.Dir(r.options.Main)
	folders := []string{project}
	if importer != "" && importer != project {
		folders = []string{importer, project}
	}
	for _, around := range ancestors(project) {
		for _, user := range unenvUsers {
			if real, err := filepath.EvalSymlinks(filepath.Join(around, "node_modules", user)); err == nil {
				folders = append(folders, real)
			}
		}
	}
	for _, folder := range folders {
		if !isolates.Within(r.options.Root, folder) {
			continue
		}
		found := build.Resolve(wanted, api.ResolveOptions{ResolveDir: folder, Kind: api.ResolveJSImportStatement, PluginData: asked{}})
		if len(found.Errors) == 0 && found.Namespace == "file" && isolates.Within(r.options.Root, found.Path) {
			return found.Path
		}
	}
	return ""
}

// nodeGlobals is a module before the app's own, if that wants them.
const nodeGlobals = "nano:node-globals"

//go:embed nodeglobals.js
var nodeGlobalsSource string

// loadNodeGlobals is that module: nothing, in a project without polyfills.
func (r *record) loadNodeGlobals(build api.PluginBuild) (api.OnLoadResult, error) {
	text := nodeGlobalsSource
	folder := filepath.Dir(r.options.Main)
	if r.polyfill(build, "node:process", "") == "" {
		text = ""
	}
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS, ResolveDir: folder}, nil
}

// resolveNode says what a module of Node.js is: the runtime's own, or a polyfill that the project has. A
// package of the same name, which many projects have for browsers, comes before that, unless "node:" is
// said.
func (r *record) resolveNode(build api.PluginBuild, args api.OnResolveArgs) (api.OnResolveResult, error) {
	if _, isOwn := args.PluginData.(asked); isOwn {
		return api.OnResolveResult{}, nil
	}
	if isolates.IsRuntimeModule(args.Path) {
		return r.resolveRuntime(args), nil
	}
	isBare := !strings.HasPrefix(args.Path, "node:")
	if isBare {
		found := build.Resolve(args.Path, api.ResolveOptions{
			Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asked{}})
		if len(found.Errors) == 0 {
			return api.OnResolveResult{}, nil
		}
	}
	file := r.polyfill(build, args.Path, args.ResolveDir)
	switch {
	case file != "" && isRequired(args.Kind):
		return api.OnResolveResult{Path: file + asRequired, Namespace: namespaceRequired}, nil
	case file != "":
		return api.OnResolveResult{Path: file}, nil
	case isBare:
		return api.OnResolveResult{}, nil // see explainUnresolved
	}
	text, cure := noNodeModule(args.Path)
	return lacking(args, text, cure), nil
}

// resolveRuntime says what a module of the runtime is. Those exist as long as the app: what import() and
// require() give is in the bundle, and imports it at once.
func (r *record) resolveRuntime(args api.OnResolveArgs) api.OnResolveResult {
	switch {
	case isRequired(args.Kind):
		return api.OnResolveResult{Path: args.Path + asRequired, Namespace: namespaceRequired}
	case isLater(args.Kind):
		return api.OnResolveResult{Path: args.Path, Namespace: namespaceImported}
	}
	return api.OnResolveResult{Path: args.Path, External: true}
}

// lacking is what becomes of an import that leads nowhere: an error, or a warning if the app may never ask for
// it, or catch it.
func lacking(args api.OnResolveArgs, text, cure string) api.OnResolveResult {
	problem := api.Message{Text: text}
	if cure != "" {
		problem.Notes = []api.Note{{Text: cure}}
	}
	if isLater(args.Kind) {
		return api.OnResolveResult{Path: args.Path, External: true, Warnings: []api.Message{problem}}
	}
	return api.OnResolveResult{Errors: []api.Message{problem}}
}

func isLater(kind api.ResolveKind) bool {
	return kind == api.ResolveJSDynamicImport || isRequired(kind)
}

func isRequired(kind api.ResolveKind) bool {
	return kind == api.ResolveJSRequireCall || kind == api.ResolveJSRequireResolve
}

// loadImported is a module of the runtime for import().
func loadImported(args api.OnLoadArgs) (api.OnLoadResult, error) {
	specifier, err := json.Marshal(args.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	text := fmt.Sprintf("export * from %s;", specifier)
	if isNodeModule(args.Path) {
		text += fmt.Sprintf(" export { default } from %s;", specifier)
	}
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
}

// asRequired ends the path of such a module, lest its name say that it is an ES module.
const asRequired = "?require"

// loadRequired is a module for require(), which for one of Node.js gives what import gives as default.
func loadRequired(args api.OnLoadArgs) (api.OnLoadResult, error) {
	path := strings.TrimSuffix(args.Path, asRequired)
	specifier, err := json.Marshal(path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	text := fmt.Sprintf("import * as all from %s; module.exports = \"default\" in all ? all.default : all;", specifier)
	result := api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}
	if filepath.IsAbs(path) {
		result.ResolveDir = filepath.Dir(path)
	}
	return result, nil
}
