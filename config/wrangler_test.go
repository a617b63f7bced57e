package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// writeProject writes the files of a project, each a name and its text, into a folder of this name.
func writeProject(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "My Project")
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

const wranglerTOML = `
name = "shop"
main = "src/worker.ts"
compatibility_date = "2025-01-01"
minify = true
compatibility_flags = ["nodejs_compat"]
routes = [{ pattern = "shop.example.com/*", zone_name = "example.com" }]
rules = [{ type = "Text", globs = ["**/*.graphql"], fallthrough = true }]
limits = { cpu_ms = 30 }
define = { VERSION = "'1'" }
alias = { "old" = "./src/new.ts" }
kv_namespaces = [{ binding = "CACHE", id = "1" }, { binding = "MORE", id = "2" }]
services = [{ binding = "SELF", service = "shop" }, { binding = "OTHER", service = "cart" }]
[vars]
NAME = "value"
COUNT = 3
NESTED = { a = [1, 2.5, true] }
[assets]
directory = "./public"
binding = "FILES"
[triggers]
crons = ["*/5 * * * *"]
[[durable_objects.bindings]]
name = "ROOM"
class_name = "Room"
[[queues.producers]]
binding = "JOBS"
queue = "jobs"
[ai]
binding = "AI"
[env.staging]
vars = { NAME = "staged" }
[env.staging.limits]
cpu_ms = 1
`

// wranglerJSON says the same.
const wranglerJSON = `{
	// a comment
	"name": "shop", "main": "src/worker.ts", "compatibility_date": "2025-01-01", "compatibility_flags": ["nodejs_compat"],
	"routes": [{ "pattern": "shop.example.com/*", "zone_name": "example.com" }],
	"rules": [{ "type": "Text", "globs": ["**/*.graphql"], "fallthrough": true }],
	"minify": true, "limits": { "cpu_ms": 30 }, "define": { "VERSION": "'1'" }, "alias": { "old": "./src/new.ts" },
	"kv_namespaces": [{ "binding": "CACHE", "id": "1" }, { "binding": "MORE", "id": "2" }],
	"services": [{ "binding": "SELF", "service": "shop" }, { "binding": "OTHER", "service": "cart" }],
	"vars": { "NAME": "value", "COUNT": 3, "NESTED": { "a": [1, 2.5, true] } },
	"assets": { "directory": "./public", "binding": "FILES" },
	"triggers": { "crons": ["*/5 * * * *"] },
	"durable_objects": { "bindings": [{ "name": "ROOM", "class_name": "Room" }] },
	"queues": { "producers": [{ "binding": "JOBS", "queue": "jobs" }] },
	"ai": { "binding": "AI" },
	"env": { "staging": { "vars": { "NAME": "staged" }, "limits": { "cpu_ms": 1 } } },
}`

func TestProject(t *testing.T) {
	for name, text := range map[string]string{"wrangler.toml": wranglerTOML, "wrangler.jsonc": wranglerJSON, "wrangler.json": wranglerJSON} {
		folder := writeProject(t, map[string]string{name: text, "src/worker.ts": "", ".dev.vars": "# secrets\nKEY=\"a b\"\nexport OTHER_KEY='c'\n"})
		c, err := Project(folder, "", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		app := c.Apps[0]
		if app.Name != "shop" || app.Main != filepath.Join(folder, "src/worker.ts") || app.Static != filepath.Join(folder, "public") || len(app.Hosts) != 0 {
			t.Errorf("%s: got %+v", name, app)
		}
		if got := string(app.EnvJSON()); got != `{"COUNT":3,"KEY":"a b","NAME":"value","NESTED":{"a":[1,2.5,true]},"OTHER_KEY":"c"}` {
			t.Errorf("%s: env %s", name, got)
		}
		if app.Limits.CPU != 30*time.Millisecond || len(app.Cron) != 1 || app.Cron[0].Text != "*/5 * * * *" || !reflect.DeepEqual(app.Services, map[string]string{"SELF": "shop"}) {
			t.Errorf("%s: got %+v", name, app)
		}
		want := Bundling{map[string]string{"VERSION": "'1'"}, map[string]string{"old": filepath.Join(folder, "src/new.ts")}, []BundlingRule{{"Text", []string{"**/*.graphql"}}}, true, true}
		if !reflect.DeepEqual(app.Bundling, want) {
			t.Errorf("%s: got %+v", name, app.Bundling)
		}
		warnings := c.Warnings.Error()
		for _, part := range []string{
			": kv_namespaces: env.CACHE, env.MORE is missing: NANO has no Workers KV", ": durable_objects: env.ROOM is missing: NANO has no Durable Objects",
			": queues: env.JOBS is missing: NANO has no Queues", ": ai: env.AI is missing: NANO has no Workers AI",
			`: services: env.OTHER is missing: the app "cart" does not run on this node`, ": assets: env.FILES is missing",
		} {
			if !strings.Contains(warnings, filepath.Join(folder, name)+part) {
				t.Errorf("%s: %q is missing in\n%s", name, part, warnings)
			}
		}
		if len(c.Warnings) != 6 {
			t.Errorf("%s: warnings\n%s", name, warnings)
		}

		c, err = Project(folder, "staging", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		app = c.Apps[0]
		if got := string(app.EnvJSON()); got != `{"KEY":"a b","NAME":"staged","OTHER_KEY":"c"}` || app.Name != "shop-staging" || app.Limits.CPU != cpuMin || len(app.Services) != 0 || app.Static == "" {
			t.Errorf("%s: got %s, %+v", name, got, app)
		}
		if _, err := Project(folder, "none", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), `there is no environment "none": it has staging`) {
			t.Errorf("got %v", err)
		}
	}
}

func TestProjectWithoutWrangler(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"src/index.ts": {"src/index.ts": "", "index.js": ""},
		"app.mjs":      {"package.json": `{"module": "app.mjs", "main": "other.js"}`, "app.mjs": "", "src/index.ts": ""},
		"index.js":     {"package.json": `{"main": "none.js"}`, "index.js": ""},
	} {
		folder := writeProject(t, files)
		c, err := Project(folder, "", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if c.Apps[0].Main != filepath.Join(folder, want) || c.Apps[0].Name != "my-project" {
			t.Errorf("got %+v, want %s", c.Apps[0], want)
		}
	}
	folder := writeProject(t, map[string]string{"README.md": ""})
	if _, err := Project(folder, "", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "no main module") {
		t.Errorf("got %v", err)
	}
	if _, err := Project(folder, "staging", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), `with the environment "staging"`) {
		t.Errorf("got %v", err)
	}
}

func TestProjectRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"main = 3":                               "wrangler.toml: main: expected a string",
		"main = \"a.py\"":                        `a.py" is not a file of JavaScript or TypeScript`,
		"main = ":                                "wrangler.toml: 1:7: ",
		"main = \"a.ts\"\nvars = 1":              "wrangler.toml: vars: expected a table",
		"main = \"a.ts\"\nservices = {}":         "wrangler.toml: services: expected a list",
		"main = \"a.ts\"\nservices = [1]":        "wrangler.toml: binding: expected a table around it",
		"main = \"a.ts\"\n[define]\nA = 1":       "wrangler.toml: define.A: expected a string",
		"main = \"a.ts\"\n[limits]\ncpu_ms=\"\"": "wrangler.toml: cpu_ms: expected a number",
		"[assets]\ndirectory = \"a\"":            "wrangler.toml: it has no main",
	} {
		_, err := Project(writeProject(t, map[string]string{"wrangler.toml": text}), "", "127.0.0.1:0")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// FuzzProject holds the reader of wrangler's files against whatever may be in them.
func FuzzProject(f *testing.F) {
	f.Add("wrangler.toml", wranglerTOML, "")
	f.Add("wrangler.jsonc", wranglerJSON, "staging")
	f.Add("wrangler.json", `{"main": "a.ts", "vars": {"A": null}}`, "")
	f.Add("wrangler.toml", "main = \"a.ts\"\nvars = { A = nan, B = inf, C = 1979-05-27 }", "")
	f.Fuzz(func(t *testing.T, name, text, environment string) {
		p := project{folder: "/nowhere", file: name}
		if p.parse(name, []byte(text)) != nil || p.choose(environment) != nil {
			return
		}
		if _, err := p.main(); err != nil {
			return
		}
		c := Default("/nowhere")
		app := defaultApp(c)
		if p.fill(&app, environment) == nil {
			app.EnvJSON() // panics if there is something that JSON cannot say
			app.BindingsJSON()
			_ = p.warnings.Error()
		}
	})
}

// What a build tool has written comes before what the project says, as with wrangler.
func TestProjectThatWasBuiltElsewhere(t *testing.T) {
	folder := writeProject(t, map[string]string{
		"wrangler.jsonc":               `{ "name": "source", "main": "src/worker.ts" }`,
		".wrangler/deploy/config.json": `{ "configPath": "../../build/wrangler.json" }`,
		".dev.vars":                    "KEY=source\n",
		"src/worker.ts":                "export default {}",
	})
	c, err := Project(folder, "", "127.0.0.1:0")
	if err != nil || c.Apps[0].Name != "source" {
		t.Errorf("before it was built: %+v, %v", c, err)
	}
	built := writeProject(t, map[string]string{"wrangler.json": `{ "name": "built", "main": "index.js", "kv_namespaces": [], "queues": { "producers": [] } }`, "index.js": ""})
	if err := os.Rename(built, filepath.Join(folder, "build")); err != nil {
		t.Fatal(err)
	}
	c, err = Project(folder, "", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if app := c.Apps[0]; app.Name != "built" || app.Main != filepath.Join(folder, "build/index.js") || len(c.Warnings) != 0 || app.Secrets["KEY"] != "source" {
		t.Errorf("got %+v, warnings %v", app, c.Warnings)
	}
	if err := os.WriteFile(filepath.Join(folder, "build/.dev.vars"), []byte("KEY=copied\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Project(folder, "", "127.0.0.1:0"); err != nil || c.Apps[0].Secrets["KEY"] != "copied" {
		t.Errorf("with a copy: %+v, %v", c, err)
	}
}
