package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/tailscale/hujson"

	"nano/cron"
)

// wranglerFiles are the names of a project's configuration, in the order in which wrangler looks for them.
var wranglerFiles = []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml"}

// mainFiles are where a project without configuration has its main module.
var mainFiles = []string{"src/index", "index", "src/worker", "worker", "src/main", "main"}

// projectBytesMax bounds the files that describe a project.
const projectBytesMax = 4 << 20

// Project is the configuration of a node that serves the app in a folder, as `nano run DIR` does: as its
// wrangler.json, wrangler.jsonc or wrangler.toml describes it, with the settings of an environment of it if
// environment is not "", or else by its package.json. What of it NANO lacks is in Warnings, and absent in env.
func Project(folder, environment, listen string) (*Config, error) {
	source, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	folder, names := deployed(folder)
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	p := project{folder: absolute, source: source}
	for _, name := range names {
		text, err := readFileUpTo(filepath.Join(absolute, name), projectBytesMax)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		p.file = filepath.Join(folder, name)
		if err == nil {
			err = p.parse(name, text)
		}
		if err == nil {
			err = p.choose(environment)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.file, err)
		}
		break
	}
	if p.file == "" && environment != "" {
		return nil, fmt.Errorf("%s: there is no wrangler.json, wrangler.jsonc or wrangler.toml with the environment %q", folder, environment)
	}
	main, err := p.main()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(p.file, folder), err)
	}
	c, err := Single(main, listen)
	if err != nil {
		return nil, fmt.Errorf("%s: main: %w", cmp.Or(p.file, folder), err)
	}
	app := &c.Apps[0]
	app.Name = nameOfFile(p.text("name", filepath.Base(absolute)) + ".js")
	if err := p.fill(app, environment); err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(p.file, folder), err)
	}
	c.Warnings = p.warnings
	return c, nil
}

// deployed finds where a tool that builds a project has put the configuration of what it has built, as wrangler
// does: in the file that .wrangler/deploy/config.json names. It gives a folder and the names of a configuration
// in there: the project's own, unless there is such a file.
func deployed(folder string) (where string, names []string) {
	below := filepath.Join(folder, ".wrangler", "deploy")
	text, err := readFileUpTo(filepath.Join(below, "config.json"), projectBytesMax)
	var redirect struct {
		ConfigPath string `json:"configPath"`
	}
	if err != nil || json.Unmarshal(text, &redirect) != nil || redirect.ConfigPath == "" {
		return folder, wranglerFiles
	}
	path := redirect.ConfigPath
	if !filepath.IsAbs(path) {
		path = filepath.Join(below, path)
	}
	if !isFile(path) {
		return folder, wranglerFiles
	}
	return filepath.Dir(path), []string{filepath.Base(path)}
}

// project is a wrangler configuration that is read. What has the wrong type is an error, and what nobody
// knows is left alone: wrangler knows more keys each month.
type project struct {
	folder   string         // absolute
	source   string         // the same, but for what a tool has built the folder that it was built from
	file     string         // as messages name it; "": there is none
	values   map[string]any // strings, int64, float64, bool, []any and map[string]any
	warnings Problems
	failed   error // the first wrong type
}

// parse reads the text of a file of this name.
func (p *project) parse(name string, text []byte) error {
	if strings.HasSuffix(name, ".toml") {
		_, err := toml.Decode(string(text), &p.values)
		var parseError toml.ParseError
		if errors.As(err, &parseError) {
			return fmt.Errorf("%d:%d: %s", parseError.Position.Line, parseError.Position.Col, parseError.Message)
		}
		p.values, _ = plain(p.values).(map[string]any)
		return err
	}
	standard, err := hujson.Standardize(text)
	if err == nil {
		err = json.Unmarshal(standard, &p.values)
	}
	p.values, _ = plain(p.values).(map[string]any)
	return err
}

// plain makes of what a decoder gives what JSON could say, too.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case float64:
		if v != v || v > 1e308 || v < -1e308 { // NaN and infinities of TOML
			return nil
		}
	}
	return value
}

// ownToEnvironments are keys that an environment does not have from the top level.
var ownToEnvironments = slices.Concat([]string{"vars", "define", "services"}, slices.Sorted(maps.Keys(lacking)))

// choose takes the settings of an environment.
func (p *project) choose(environment string) error {
	if environment == "" {
		return nil
	}
	all, _ := p.values["env"].(map[string]any)
	settings, ok := all[environment].(map[string]any)
	if !ok {
		return fmt.Errorf("there is no environment %q: it has %s", environment, cmp.Or(strings.Join(slices.Sorted(maps.Keys(all)), ", "), "none"))
	}
	for _, name := range ownToEnvironments {
		delete(p.values, name)
	}
	if name, ok := p.values["name"].(string); ok {
		p.values["name"] = name + "-" + environment
	}
	maps.Copy(p.values, settings)
	return nil
}

// main finds the main module.
func (p *project) main() (string, error) {
	if main := p.text("main", ""); main != "" || p.failed != nil {
		return p.path(main), p.failed
	}
	if _, hasAssets := p.values["assets"]; hasAssets {
		return "", errors.New("it has no main: NANO serves static files for an app; give it one that answers what is no file")
	}
	var described struct{ Main, Module, Source string }
	if text, err := readFileUpTo(filepath.Join(p.folder, "package.json"), projectBytesMax); err == nil && json.Unmarshal(text, &described) == nil {
		for _, name := range []string{described.Source, described.Module, described.Main} {
			if what, _ := checkMain(name); name != "" && what == "" && isFile(p.path(name)) {
				return p.path(name), nil
			}
		}
	}
	for _, name := range mainFiles {
		for _, extension := range mainExtensions {
			if path := p.path(name + extension); extension != BuiltExtension && isFile(path) {
				return path, nil
			}
		}
	}
	return "", errors.New(`no main module: there is no wrangler.toml with main = "src/index.ts", and no src/index.ts or the like`)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (p *project) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.folder, name)
}

// fill sets what of an app the project tells.
func (p *project) fill(app *App, environment string) error {
	maps.Copy(app.Vars, p.table(p.values, "vars"))
	p.readBundling(app)
	p.readAssets(app)
	p.readTriggers(app)
	if limits := p.table(p.values, "limits"); limits["cpu_ms"] != nil {
		app.Limits.CPU = max(cpuMin, time.Duration(p.number(limits, "cpu_ms"))*time.Millisecond)
	}
	for _, service := range p.list("services") {
		name, target := p.textOf(service, "binding"), p.textOf(service, "service")
		if target != app.Name {
			p.warn("services", fmt.Sprintf("env.%s is missing: the app %q does not run on this node", name, target), "describe both in a nano.toml")
			continue
		}
		if app.Services == nil {
			app.Services = map[string]string{}
		}
		app.Services[name] = target
	}
	p.readSecrets(app, environment)
	p.nameLacking()
	return p.failed
}

// nodeFlags are the compatibility flags that ask for all of Node.js that there is.
var nodeFlags = []string{"nodejs_compat", "nodejs_compat_v2"}

func (p *project) readBundling(app *App) {
	for _, flag := range p.list("compatibility_flags") {
		text, _ := flag.(string)
		app.Bundling.NodeCompat = app.Bundling.NodeCompat || slices.Contains(nodeFlags, text)
	}
	for name, value := range p.table(p.values, "define") {
		text, ok := value.(string)
		if !ok {
			p.wrong("define."+name, "a string")
			continue
		}
		if app.Bundling.Define == nil {
			app.Bundling.Define = map[string]string{}
		}
		app.Bundling.Define[name] = text
	}
	for name, value := range p.table(p.values, "alias") {
		target, ok := value.(string)
		if !ok {
			p.wrong("alias."+name, "a string")
			continue
		}
		if strings.HasPrefix(target, ".") {
			target = p.path(target)
		}
		if app.Bundling.Alias == nil {
			app.Bundling.Alias = map[string]string{}
		}
		app.Bundling.Alias[name] = target
	}
	for _, rule := range p.list("rules") {
		read := BundlingRule{Type: p.textOf(rule, "type")}
		for _, glob := range p.listOf(rule, "globs") {
			text, ok := glob.(string)
			if !ok {
				p.wrong("rules.globs", "a list of strings")
			}
			read.Globs = append(read.Globs, text)
		}
		switch read.Type {
		case "Text", "Data", "CompiledWasm":
			app.Bundling.Rules = append(app.Bundling.Rules, read)
		case "ESModule", "CommonJS": // the bundler finds out by itself
		default:
			p.warn("rules", fmt.Sprintf("%q is no type of modules here", read.Type), "use Text, Data or CompiledWasm")
		}
	}
	app.Bundling.Minify = p.flag("minify")
	if command := p.textOf(p.table(p.values, "build"), "command"); command != "" {
		p.warn("build", "the command is not run", fmt.Sprintf("run %q before", command))
	}
}

func (p *project) readAssets(app *App) {
	assets := p.table(p.values, "assets")
	if folder := p.textOf(assets, "directory"); folder != "" {
		app.Static = p.path(folder)
	}
	if name := p.textOf(assets, "binding"); name != "" && name != AssetsName {
		p.warn("assets", fmt.Sprintf("env.%s is missing: static files are env.%s", name, AssetsName), "")
	}
	if assets["run_worker_first"] != nil && assets["run_worker_first"] != false {
		p.warn("assets", "run_worker_first has no effect: files are served before the app is asked", "")
	}
}

func (p *project) readTriggers(app *App) {
	for _, each := range p.listOf(p.table(p.values, "triggers"), "crons") {
		text, ok := each.(string)
		if !ok {
			p.wrong("triggers.crons", "a list of strings")
			continue
		}
		schedule, err := cron.Parse(text)
		if err != nil {
			p.warn("triggers", err.Error(), "")
		} else if !slices.ContainsFunc(app.Cron, func(other CronTrigger) bool { return other.Text == text }) {
			app.Cron = append(app.Cron, CronTrigger{text, schedule})
		}
	}
}

// readSecrets reads .dev.vars, as wrangler dev does: a secret in each line, NAME=value. Some tools copy it to what they
// build.
func (p *project) readSecrets(app *App, environment string) {
	name := ".dev.vars"
	if environment != "" && (isFile(p.path(name+"."+environment)) || isFile(filepath.Join(p.source, name+"."+environment))) {
		name += "." + environment
	}
	path := p.path(name)
	if !isFile(path) {
		path = filepath.Join(p.source, name)
	}
	text, err := readFileUpTo(path, secretBytesMax)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		p.fail(fmt.Errorf("%s: %w", name, err))
		return
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			p.fail(fmt.Errorf("%s:%d: no NAME=value", name, number))
			return
		}
		value = strings.TrimSpace(value)
		if quoted, err := strconv.Unquote(value); err == nil && value[0] == '"' {
			value = quoted
		} else if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
			value = value[1 : len(value)-1]
		}
		delete(app.Vars, key)
		app.Secrets[key] = Secret(value)
	}
}

// lacking are the bindings that NANO does not have, by their keys.
var lacking = map[string]string{
	"ai": "Workers AI", "analytics_engine_datasets": "Analytics Engine", "browser": "Browser Rendering", "containers": "containers",
	"d1_databases": "D1", "dispatch_namespaces": "Workers for Platforms", "durable_objects": "Durable Objects", "hyperdrive": "Hyperdrive",
	"images": "Images", "kv_namespaces": "Workers KV", "mtls_certificates": "mTLS certificates", "pipelines": "Pipelines", "queues": "Queues",
	"r2_buckets": "R2", "ratelimits": "rate limiting", "secrets_store_secrets": "the Secrets Store", "send_email": "Email", "site": "Workers Sites",
	"tail_consumers": "Tail Workers", "vectorize": "Vectorize", "version_metadata": "version metadata", "vpc_services": "VPC services",
	"workflows": "Workflows",
}

// nameLacking tells each binding that the project asks for and NANO does not have.
func (p *project) nameLacking() {
	for _, key := range slices.Sorted(maps.Keys(lacking)) {
		value := p.values[key]
		if isEmpty(value) {
			continue // as in what other tools write
		}
		what := "there is no such thing here"
		if names := bindingNames(value); len(names) > 0 {
			what = "env." + strings.Join(names, ", env.") + " is missing"
		}
		p.warn(key, what+": NANO has no "+lacking[key], "")
	}
}

// isEmpty tells whether a value says nothing: it is absent, or a list or a table of nothing.
func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, each := range v {
			if !isEmpty(each) {
				return false
			}
		}
		return true
	}
	return false
}

// bindingNames finds the names in env of a binding of whatever kind.
func bindingNames(value any) (names []string) {
	switch v := value.(type) {
	case []any:
		for _, each := range v {
			names = append(names, bindingNames(each)...)
		}
	case map[string]any:
		for _, key := range []string{"binding", "name"} {
			if name, ok := v[key].(string); ok {
				return []string{name}
			}
		}
		for _, key := range []string{"bindings", "producers"} {
			names = append(names, bindingNames(v[key])...)
		}
	}
	return names
}

func (p *project) warn(key, what, cure string) {
	p.warnings = append(p.warnings, Problem{File: p.file, Key: key, What: what, Cure: cure})
}

func (p *project) fail(err error) {
	if p.failed == nil {
		p.failed = err
	}
}

func (p *project) wrong(key, want string) { p.fail(fmt.Errorf("%s: expected %s", key, want)) }

// text gives a string of the top level.
func (p *project) text(key, standard string) string {
	return cmp.Or(p.textOf(p.values, key), standard)
}

func (p *project) textOf(values any, key string) string {
	table, ok := values.(map[string]any)
	if !ok && values != nil {
		p.wrong(key, "a table around it")
	}
	value := table[key]
	text, ok := value.(string)
	if !ok && value != nil {
		p.wrong(key, "a string")
	}
	return text
}

// flag gives a boolean of the top level.
func (p *project) flag(key string) bool {
	flag, ok := p.values[key].(bool)
	if !ok && p.values[key] != nil {
		p.wrong(key, "true or false")
	}
	return flag
}

func (p *project) number(values map[string]any, key string) int64 {
	switch v := values[key].(type) {
	case int64:
		return min(max(v, 0), 1<<31)
	case float64:
		return int64(min(max(v, 0), 1<<31))
	}
	p.wrong(key, "a number")
	return 0
}

func (p *project) table(values map[string]any, key string) map[string]any {
	table, ok := values[key].(map[string]any)
	if !ok && values[key] != nil {
		p.wrong(key, "a table")
	}
	return table
}

func (p *project) list(key string) []any { return p.listOf(p.values, key) }

func (p *project) listOf(values any, key string) []any {
	table, ok := values.(map[string]any)
	if !ok && values != nil {
		p.wrong(key, "a table around it")
	}
	list, ok := table[key].([]any)
	if !ok && table[key] != nil {
		p.wrong(key, "a list")
	}
	return list
}
