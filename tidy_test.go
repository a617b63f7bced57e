// Package nano holds no code: its test keeps the repository in order.
package nano

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layers are the packages of the runtime, and what each may import of ours. Whatever is not listed
// (benchmarks, tests) may import what it needs.
var layers = map[string][]string{
	"admin":        {"config", "control", "isolates", "logs", "loop"},
	"apps":         {"bundle", "config", "isolates", "snapshot"},
	"bundle":       {"isolates"},
	"cmd/nano":     {"admin", "apps", "bundle", "config", "control", "dev", "inspector", "isolates", "logs", "loop", "metrics", "snapshot", "static", "systemd", "tlsclient", "tracing", "uring"},
	"compression":  {"hostcall"},
	"config":       {"cron", "egress"},
	"control":      {"apps", "config", "isolates", "loop", "snapshot", "static"},
	"cron":         {},
	"dev":          {"apps", "bundle", "config", "control", "logs", "loop"},
	"dns":          {},
	"egress":       {},
	"encodings":    {"hostcall"},
	"h2":           {},
	"hostcall":     {},
	"htmlrewriter": {"encodings", "hostcall"},
	"http1":        {},
	"inspector":    {},
	"isolates":     {"compression", "encodings", "hostcall", "htmlrewriter", "http1", "isolates/shim", "snapshot", "sourcemap", "webapi", "webcrypto"},
	"logs":         {},
	"loop":         {"cron", "dns", "egress", "h2", "hostcall", "http1", "isolates", "static", "tlsclient", "tracecontext", "uring", "ws"},
	"metrics":      {"isolates", "loop"},
	"snapshot":     {},
	"sourcemap":    {},
	"static":       {},
	"systemd":      {},
	"tlsclient":    {},
	"tracecontext": {},
	"uring":        {},
	"tracing":      {"http1", "loop", "tracecontext"},
	"webapi":       {},
	"webapi/js":    {},
	"webcrypto":    {"hostcall"},
	"ws":           {},
	"tools/lint":   {},

	"isolates/shim":     {"hostcall"},
	"tlsclient/tlstest": {},
	"uring/fakering":    {"uring"},
}

// confined are imports that only one folder, and what is below it, may have.
var confined = map[string]string{
	"C":                                  "isolates",
	"rogchap.com/v8go":                   "isolates",
	"github.com/ada-url/goada":           "isolates",
	"github.com/pawelgaczynski/giouring": "uring",
	"github.com/BurntSushi/toml":         "config",

	"github.com/prometheus/client_golang/prometheus":            "metrics",
	"github.com/prometheus/client_golang/prometheus/collectors": "metrics",
	"github.com/prometheus/common/expfmt":                       "metrics",
	"github.com/coreos/go-systemd/v22/journal":                  "logs",
	"github.com/coreos/go-systemd/v22/daemon":                   "systemd",
	"github.com/evanw/esbuild/pkg/api":                          "bundle",
	"github.com/fsnotify/fsnotify":                              "dev",
	"go.opentelemetry.io/proto/otlp/common/v1":                  "tracing",
	"go.opentelemetry.io/proto/otlp/resource/v1":                "tracing",
	"go.opentelemetry.io/proto/otlp/trace/v1":                   "tracing",
}

// longFunctions are the functions that may have more than functionLinesMax lines. None is wished:
// give the reason beside each.
var longFunctions = []string{}

const functionLinesMax = 70

// sourceFile is a Go file of the repository.
type sourceFile struct {
	path   string // from the root, with slashes
	syntax *ast.File
	text   string
}

func (f *sourceFile) folder() string { return path.Dir(f.path) }

func (f *sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// repositoryFiles lists the files that git has or would take, so that neither what was built nor
// what was downloaded counts. Without git (an unpacked archive) it lists all.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	listed, err := exec.Command("git", "ls-files", "-co", "--exclude-standard").Output()
	if err == nil && len(listed) > 0 {
		return slices.DeleteFunc(strings.Split(strings.TrimSpace(string(listed)), "\n"), func(name string) bool {
			info, err := os.Stat(name) // listed still, but deleted
			return err != nil || !info.Mode().IsRegular()
		})
	}
	var files []string
	err = filepath.WalkDir(".", func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var positions = token.NewFileSet()

func goFiles(t *testing.T) []*sourceFile {
	t.Helper()
	var files []*sourceFile
	for _, name := range repositoryFiles(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		syntax, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, &sourceFile{name, syntax, string(text)})
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found", len(files))
	}
	return files
}

func TestLayers(t *testing.T) {
	for _, file := range goFiles(t) {
		for _, spec := range file.syntax.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if only, isConfined := confined[imported]; isConfined && !isBelow(file.folder(), only) {
				t.Errorf("%s: only %s/ may import %q", positions.Position(spec.Pos()), only, imported)
			}
			ours, isOurs := strings.CutPrefix(imported, "nano/")
			if !isOurs || file.isTest() {
				continue
			}
			if allowed, isLayer := layers[file.folder()]; isLayer && !slices.Contains(allowed, ours) {
				t.Errorf("%s: %s must not import %q: arrows point downward only, see docs/RATIONALE.md",
					positions.Position(spec.Pos()), file.folder(), imported)
			}
		}
	}
}

func isBelow(folder, top string) bool {
	return folder == top || strings.HasPrefix(folder, top+"/")
}

// TestEveryPackageIsALayer makes sure that a new package of the runtime is given its place.
func TestEveryPackageIsALayer(t *testing.T) {
	for _, file := range goFiles(t) {
		folder := file.folder()
		isRuntime := folder != "." && !isBelow(folder, "bench") && !isBelow(folder, "examples") && !isBelow(folder, "tools")
		if _, isLayer := layers[folder]; isRuntime && !isLayer && !file.isTest() {
			t.Errorf("%s: package %s is missing in the layers of tidy_test.go", file.path, folder)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	for _, file := range goFiles(t) {
		for _, declaration := range file.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := positions.Position(function.End()).Line - positions.Position(function.Pos()).Line + 1
			name := file.folder() + "." + function.Name.Name
			if lines > functionLinesMax && !file.isTest() && !slices.Contains(longFunctions, name) {
				t.Errorf("%s: %s has %d lines, more than %d", positions.Position(function.Pos()), name, lines, functionLinesMax)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, file := range goFiles(t) {
		if !file.isTest() {
			documented[file.folder()] = documented[file.folder()] || file.syntax.Doc != nil
		}
	}
	for folder, isDocumented := range documented {
		if !isDocumented {
			t.Errorf("%s: no file has a package comment", folder)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, file := range goFiles(t) {
		if file.isTest() {
			continue
		}
		for _, declaration := range file.syntax.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && hasExportedReceiver(d) {
					t.Errorf("%s: %s has no doc comment", positions.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				checkGroup(t, d)
			}
		}
	}
}

// checkGroup wants a comment for each exported type, constant and variable: its own, before it or
// at the end of its line, or one for the group that it is in.
func checkGroup(t *testing.T, group *ast.GenDecl) {
	for _, spec := range group.Specs {
		var name *ast.Ident
		documented := group.Doc != nil
		switch s := spec.(type) {
		case *ast.TypeSpec:
			name, documented = s.Name, documented || s.Doc != nil || s.Comment != nil
		case *ast.ValueSpec:
			name, documented = s.Names[0], documented || s.Doc != nil || s.Comment != nil
		default:
			continue
		}
		if name.IsExported() && !documented {
			t.Errorf("%s: %s has no doc comment", positions.Position(spec.Pos()), name.Name)
		}
	}
}

// hasExportedReceiver tells whether a function or method can be seen from outside.
func hasExportedReceiver(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	receiver := function.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return true
		}
	}
}

// textFiles are the endings of the files that people write here.
var textFiles = []string{
	".go", ".md", ".js", ".mjs", ".cc", ".h", ".c", ".toml", ".lua", ".sh", ".json", ".yml", ".service", ".socket",
	"Makefile", "run", "LICENSE", "NOTICE", ".txt", ".mod",
}

// words returns a regular expression of words that are put together here, so that this file does
// not hold them.
func words(parts ...string) *regexp.Regexp { return regexp.MustCompile(strings.Join(parts, "")) }

// TestTexts looks for what no file should hold: notes to finish later, and paths of one machine.
func TestTexts(t *testing.T) {
	unfinished := words(`\b(TO`, `DO|FIX`, `ME|X`, `XX|HA`, `CK)\b`)
	homePath := words(`(/ro`, `ot/|/home/[a-z]|/wo`, `rk/|/Us`, `ers/)`)
	temporaryPath := words(`["'=( ]/tm`, `p/`)
	for _, name := range repositoryFiles(t) {
		isText := slices.ContainsFunc(textFiles, func(ending string) bool { return strings.HasSuffix(name, ending) })
		if !isText || strings.Contains(name, "testdata/") || name == "examples/api/api.js" {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			if found := unfinished.FindString(line); found != "" {
				t.Errorf("%s:%d: %s: finish it, or say in the documentation what is missing", name, i+1, found)
			}
			if found := homePath.FindString(line); found != "" {
				t.Errorf("%s:%d: a path of one machine: %s", name, i+1, found)
			}
			isShipped := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
			if found := temporaryPath.FindString(line); found != "" && isShipped {
				t.Errorf("%s:%d: a fixed temporary path: use os.MkdirTemp", name, i+1)
			}
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	codePath     = regexp.MustCompile("`((?:apps|cmd|config|control|cron|dns|docs|egress|examples|h2|http1|isolates|logs|loop|snapshot|static|tlsclient|uring|webapi|ws|bench|tools|deploy)/[A-Za-z0-9_./-]*)`")
)

// TestLinksResolve follows the links of the documentation, and the paths that it names in
// backquotes.
func TestLinksResolve(t *testing.T) {
	headings := map[string][]string{}
	for _, name := range repositoryFiles(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range codePath.FindAllStringSubmatch(string(content), -1) {
			if !exists(match[1]) && !exists(path.Join(path.Dir(name), match[1])) && !isIgnored(t, match[1]) {
				t.Errorf("%s: there is no %s", name, match[1])
			}
		}
		for _, match := range markdownLink.FindAllStringSubmatch(string(content), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", name, match[1])
				continue
			}
			if headings[file] == nil {
				headings[file] = anchorsOf(t, file)
			}
			if anchor != "" && !slices.Contains(headings[file], anchor) {
				t.Errorf("%s: %s has no heading %q", name, file, anchor)
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// isIgnored tells whether .gitignore names a path of the root: what is made there while working is
// not in every clone.
func isIgnored(t *testing.T, name string) bool {
	t.Helper()
	ignored, err := os.ReadFile(".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ignored)) {
		if folder, isFolder := strings.CutSuffix(strings.TrimSpace(line), "/"); isFolder && isBelow("/"+path.Clean(name), folder) {
			return true
		}
	}
	return false
}

// anchorsOf lists the anchors of a file's headings as code hosts make them: lower case, blanks as
// hyphens, without punctuation.
func anchorsOf(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		return nil // a folder
	}
	anchors := []string{""}
	for line := range strings.Lines(string(content)) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			anchors = append(anchors, strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 0x7f:
					return r
				}
				return -1
			}, strings.ToLower(strings.TrimSpace(heading))))
		}
	}
	return anchors
}
