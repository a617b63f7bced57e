package bundle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// esbuildOptions are those that wrangler gives esbuild, as far as they matter here.
func esbuildOptions(o *Options, jsxSource string, record *record) api.BuildOptions {
	environment := "production"
	if o.Development {
		environment = "development"
	}
	define := map[string]string{}
	for _, name := range []string{"process.env.NODE_ENV", "global.process.env.NODE_ENV", "globalThis.process.env.NODE_ENV"} {
		define[name] = strconv.Quote(environment)
	}
	for name, expression := range o.Define {
		define[name] = expression
	}
	var inject []string
	if o.NodeCompat {
		inject = []string{nodeGlobals}
	}
	return api.BuildOptions{
		Inject:            inject,
		EntryPoints:       []string{o.Main},
		AbsWorkingDir:     o.Base,
		Outfile:           outputPath(o),
		Bundle:            true,
		Metafile:          true,
		Write:             false,
		LogLevel:          api.LogLevelSilent,
		Format:            api.FormatESModule,
		Platform:          api.PlatformBrowser,
		Target:            api.ESNext,
		Conditions:        []string{"workerd", "worker", "browser"},
		MainFields:        []string{"browser", "module", "main"},
		Sourcemap:         api.SourceMapExternal,
		SourcesContent:    api.SourcesContentExclude,
		LegalComments:     api.LegalCommentsEndOfFile,
		KeepNames:         true,
		MinifyWhitespace:  o.Minify,
		MinifyIdentifiers: o.Minify,
		MinifySyntax:      o.Minify,
		JSX:               api.JSXAutomatic,
		JSXDev:            o.Development && jsxSource != jsxOwn,
		JSXImportSource:   jsxSource,
		Define:            define,
		Alias:             o.Alias,
		Loader: map[string]api.Loader{
			".js": api.LoaderJSX, ".mjs": api.LoaderJSX, ".cjs": api.LoaderJSX,
			".txt": api.LoaderText, ".html": api.LoaderText, ".sql": api.LoaderText,
		},
		Plugins: []api.Plugin{record.plugin()},
	}
}

// jsxOwn is the runtime's own JSX, for projects that have no other.
const jsxOwn = "nano:jsx"

// jsxFrameworks are packages whose JSX a project means that depends on them, the first one if there are
// several: who uses several says in tsconfig.json which.
var jsxFrameworks = []struct{ name, source string }{
	{"react", "react"}, {"preact", "preact"}, {"hono", "hono/jsx"},
}

// jsxSource is the package whose JSX runtime the files of a project use unless a tsconfig.json or a pragma
// names another.
func jsxSource(main string) string {
	for _, folder := range ancestors(filepath.Dir(main)) {
		text, err := os.ReadFile(filepath.Join(folder, "package.json"))
		if err != nil {
			continue
		}
		var project struct {
			Dependencies    map[string]any `json:"dependencies"`
			DevDependencies map[string]any `json:"devDependencies"`
			Peers           map[string]any `json:"peerDependencies"`
		}
		if json.Unmarshal(text, &project) != nil {
			continue // esbuild will tell
		}
		for _, framework := range jsxFrameworks {
			for _, list := range []map[string]any{project.Dependencies, project.DevDependencies, project.Peers} {
				if _, depends := list[framework.name]; depends {
					return framework.source
				}
			}
		}
	}
	return jsxOwn
}

// ancestors are a folder and those around it.
func ancestors(folder string) []string {
	var list []string
	for {
		list = append(list, folder)
		parent := filepath.Dir(folder)
		if parent == folder {
			return list
		}
		folder = parent
	}
}

// isInstalled reports that a path lies in a folder of packages.
func isInstalled(path string) bool { return strings.Contains(path, "/node_modules/") }
