package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"nano/cron"
	"nano/egress"
)

// parse is Parse in surroundings of the caller's choice.
func parse(file string, text []byte, around surroundings) (*Config, error) {
	values, root, problem := decode(file, string(text))
	if problem != nil {
		return nil, Problems{*problem}
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	r := &documentReader{
		reader:       reader{file: file},
		surroundings: around,
		dir:          filepath.Dir(absolute),
	}
	c := Default(r.dir)
	c.File = file
	r.inputs = []string{absolute}
	r.readFile, r.readRoots = r.noting(r.readFile), r.noting(r.readRoots)
	r.read(c, &table{reader: &r.reader, section: sectionOf(""), node: root, values: values})
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	r.warnings.sort()
	c.Warnings, c.Inputs = r.warnings, r.inputs
	return c, nil
}

// noting makes a function that reads a file note its path.
func (r *documentReader) noting(read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		r.inputs = append(r.inputs, path)
		return read(path)
	}
}

// decode parses the document. Only one problem of syntax can be told at a time.
func decode(file, text string) (values map[string]any, root *node, problem *Problem) {
	text = strings.TrimPrefix(text, "\ufeff")
	if i := strings.IndexByte(text, 0); i >= 0 || !utf8.ValidString(text) {
		if i < 0 {
			i = strings.IndexRune(text, utf8.RuneError)
		}
		return nil, nil, &Problem{file, positionOf(text, i), "", "is not UTF-8 text", "save the file as UTF-8"}
	}
	// The parser panics on a few documents that it takes for bugs of its own.
	defer func() {
		if recover() != nil {
			problem = &Problem{file, Position{1, 1}, "", "cannot be parsed as TOML",
				"look for a table that is defined twice in different notations"}
		}
	}()
	_, err := toml.Decode(text, &values)
	var parseError toml.ParseError
	if errors.As(err, &parseError) {
		at := positionOf(text, parseError.Position.Start)
		// The parser's own word for the end is a zero character.
		what := strings.ReplaceAll(parseError.Message, `'\x00'`, "the end of the file")
		return nil, nil, &Problem{file, at, "", printable(what), ""}
	}
	if err != nil {
		return nil, nil, &Problem{file, Position{1, 1}, "", printable(err.Error()), ""}
	}
	return values, scan(text), nil
}

// printable escapes line ends and what else no terminal should see, which the parser's messages
// quote as they are.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// documentReader fills a Config from a parsed document.
type documentReader struct {
	reader
	surroundings
	dir string // of the document, absolute

	services []service
	secrets  []string // files of [app.secrets]
	inputs   []string // all files that were asked for
}

// service is an entry of [app.services]; whether there is such an app is known in the end.
type service struct {
	label, app string
	at         Position
}

func (r *documentReader) read(c *Config, document *table) {
	if t, ok := document.table("server"); ok {
		r.readServer(c, t)
	}
	if t, ok := document.table("admin"); ok {
		r.readAdmin(c, t)
	}
	if t, ok := document.table("tracing"); ok {
		r.readTracing(c, t)
	}
	if t, ok := document.table("isolates"); ok {
		t.read(c, nil)
		t.finish()
	}
	r.readApps(c, document)
	document.finish()
}

func (r *documentReader) readServer(c *Config, t *table) {
	t.read(c, nil)
	s := &c.Server
	if entries, nodes, ok := t.texts("listen"); ok {
		s.Listen = nil
		for i, entry := range entries {
			listen, what, cure := checkListen(entry)
			if what == "" && slices.Contains(s.Listen, listen) && !strings.HasSuffix(listen, ":0") {
				what, cure = fmt.Sprintf("%q is listed twice", listen), "write it once"
			}
			if what != "" {
				r.report(nodes[i].value, t.label("listen"), what, cure)
			}
			s.Listen = append(s.Listen, listen)
		}
		if len(t.values["listen"].([]any)) == 0 {
			r.report(t.node.field("listen").value, t.label("listen"), "is empty",
				`name an address, for example "127.0.0.1:8080", or leave the key out`)
		}
	}
	if path, at, ok := t.text("state_dir"); ok {
		if path == "" {
			r.report(at.value, t.label("state_dir"), "is empty", "name a folder, or leave the key out")
		}
		s.StateDir = r.resolve(path)
	}
	t.finish()
}

// readApps reads every [[app]], and then looks for what two of them must not share.
func (r *documentReader) readApps(c *Config, document *table) {
	v, at, ok := document.take("app")
	if !ok {
		return
	}
	var tables []map[string]any
	switch v := v.(type) {
	case []map[string]any: // [[app]]
		tables = v
	case []any: // app = [ {…}, {…} ]
		for i, item := range v {
			values, isTable := item.(map[string]any)
			if !isTable {
				r.report(at.item(i).value, "[[app]]", "must be a table, not "+typeName(item), "write [[app]]")
			}
			tables = append(tables, values)
		}
	default:
		r.report(at.key, "[[app]]", "must be an array of tables, not "+typeName(v),
			"begin each app with [[app]], in two brackets, before its [app.…] tables")
		return
	}
	routes := newRouteCheck(&r.reader)
	for i, values := range tables {
		if values == nil {
			continue
		}
		t := &table{reader: &r.reader, section: sectionOf("app"), node: at.item(i), values: values}
		c.Apps = append(c.Apps, r.readApp(c, t, routes))
	}
	r.checkServices(c.Apps, "")
	r.checkStatic(c.Apps, c.Apps)
}

func (r *documentReader) readApp(c *Config, t *table, routes *routeCheck) App {
	app := defaultApp(c)
	app.At = t.node.key
	t.read(c, &app)
	nameAt := r.readName(&app, t)
	r.readMain(&app, t)
	hosts := r.readHosts(&app, t)
	_, pathAt, _ := t.take("path")
	if isolation, _, ok := t.text("isolation"); ok {
		app.IsolatePerRequest = isolation == "request"
	}
	if path, at, ok := t.text("static"); ok && path != "" {
		app.Static, app.StaticAt = r.resolve(path), at.value
	}
	r.readCron(&app, t)
	if rules, ok := t.table("egress"); ok {
		r.readEgress(&app, rules)
	}
	if fetch, ok := t.table("fetch"); ok {
		r.readFetch(&app, fetch)
	}
	if vars, ok := t.table("vars"); ok {
		r.readVars(&app, vars)
	}
	if secrets, ok := t.table("secrets"); ok {
		r.readSecrets(&app, secrets, t)
	}
	if services, ok := t.table("services"); ok {
		r.readServices(&app, services, t)
	}
	if app.Static != "" {
		r.checkAssetsName(&app, t)
	}
	if limits, ok := t.table("limits"); ok {
		limits.read(c, &app)
		limits.finish()
	}
	t.finish()
	routes.add(&app, nameAt, hosts, pathAt)
	return app
}

// readCron reads every [[app.cron]].
func (r *documentReader) readCron(app *App, t *table) {
	for _, trigger := range r.tables(t, "cron") {
		text, at, ok := trigger.text("schedule")
		trigger.required("schedule", `"*/5 * * * *"`)
		trigger.finish()
		if !ok {
			continue
		}
		schedule, err := cron.Parse(text)
		switch {
		case err != nil:
			r.report(at.value, "[[app.cron]] schedule", err.Error(), "")
		case slices.ContainsFunc(app.Cron, func(other CronTrigger) bool { return other.Text == text }):
			r.report(at.value, "[[app.cron]] schedule", fmt.Sprintf("%q is listed twice", text), "write it once")
		default:
			app.Cron = append(app.Cron, CronTrigger{text, schedule})
		}
	}
}

// tables takes an array of tables below t.
func (r *documentReader) tables(t *table, name string) (tables []*table) {
	v, at, ok := t.take(name)
	if !ok {
		return nil
	}
	below := sectionOf(t.path + "." + name)
	add := func(i int, values map[string]any) {
		tables = append(tables, &table{reader: t.reader, section: below, node: at.item(i), values: values})
	}
	cure := fmt.Sprintf("write %s and below it %s = %s", below.header, below.keys[0].name, below.keys[0].show())
	switch v := v.(type) {
	case []map[string]any: // [[app.cron]]
		for i, values := range v {
			add(i, values)
		}
	case []any: // cron = [ {…}, {…} ]
		for i, item := range v {
			if values, isTable := item.(map[string]any); isTable {
				add(i, values)
			} else {
				r.report(at.item(i).value, below.header, "must be a table, not "+typeName(item), cure)
			}
		}
	default:
		r.report(at.key, below.header, "must be an array of tables, not "+typeName(v), cure)
	}
	return tables
}

// readEgress reads the rules of what an app may connect to.
func (r *documentReader) readEgress(app *App, t *table) {
	read := func(key string) (rules []string) {
		texts, nodes, ok := t.texts(key)
		if !ok {
			return nil
		}
		rules = []string{} // an empty list is not the default
		for i, text := range texts {
			if _, err := egress.Parse([]string{text}, nil); err != nil {
				r.report(nodes[i].value, t.label(key), err.Error(), "")
				continue
			}
			rules = append(rules, text)
		}
		return rules
	}
	// Each one was parsed before, and what could not be was reported.
	app.Egress, _ = egress.Parse(read("allow"), read("deny"))
	t.finish()
}

func (r *documentReader) readName(app *App, t *table) *node {
	name, at, ok := t.text("name")
	if !ok {
		t.required("name", `"…", which logs and messages use`)
		return at
	}
	if what, cure := checkName(name); what != "" {
		r.report(at.value, t.label("name"), what, cure)
	}
	app.Name = name
	return at
}

func (r *documentReader) readMain(app *App, t *table) {
	main, at, ok := t.text("main")
	app.MainAt = at.value
	if !ok {
		t.required("main", `"….js", the module that answers requests`)
		return
	}
	if what, cure := checkMain(main); what != "" {
		r.report(at.value, t.label("main"), what, cure)
	}
	app.Main = r.resolve(main)
}

func (r *documentReader) readHosts(app *App, t *table) []*node {
	hosts, nodes, ok := t.texts("hosts")
	if !ok {
		return nil
	}
	for i, host := range hosts {
		normal, what, cure := checkHost(host)
		if what != "" {
			r.report(nodes[i].value, t.label("hosts"), what, cure)
		}
		app.Hosts = append(app.Hosts, normal)
	}
	return nodes
}

// readVars copies the vars into app: strings, finite numbers, booleans, and tables and arrays of
// them, which are what both TOML and JSON can say.
func (r *documentReader) readVars(app *App, t *table) {
	for _, key := range sortedKeys(t.values, t.node) {
		if key == "" {
			r.report(t.node.field(key).key, t.header, "a name is empty", "name the variable")
		}
		app.Vars[key] = r.readVar(t.label(key), t.values[key], t.node.field(key))
	}
}

// integerMax is the largest whole number that JavaScript holds exactly: 2^53 - 1.
const integerMax = 1<<53 - 1

func (r *documentReader) readVar(label string, value any, at *node) any {
	switch value := value.(type) {
	case int64:
		if value > integerMax || value < -integerMax {
			r.report(at.value, label, fmt.Sprintf("JavaScript numbers do not hold %d exactly", value), "write it as a string")
		}
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			r.report(at.value, label, "is not a finite number", "write it as a string")
		}
	case time.Time:
		r.report(at.value, label, "must be a string, number, boolean, table or array, not a date or time", "write it as a string")
	case []any:
		for i, item := range value {
			r.readVar(label, item, at.item(i))
		}
	case []map[string]any:
		for i, item := range value {
			r.readVar(label, item, at.item(i))
		}
	case map[string]any:
		for _, key := range sortedKeys(value, at) {
			r.readVar(label+"."+quoteKey(key), value[key], at.field(key))
		}
	}
	return value
}

// readServices reads which apps an app may call, by which names of env.
func (r *documentReader) readServices(app *App, t, parent *table) {
	app.Services = make(map[string]string, len(t.values))
	for _, key := range sortedKeys(t.values, t.node) {
		at := t.node.field(key)
		if key == "" {
			r.report(at.key, t.header, "a name is empty", "name the service")
		}
		for _, other := range []struct {
			table, what string
			has         bool
		}{{"vars", "variable", has(app.Vars, key)}, {"secrets", "secret", has(app.Secrets, key)}} {
			if other.has {
				line := parent.node.field(other.table).field(key).key.Line
				r.report(at.key, t.label(key), fmt.Sprintf("is also a %s in line %d", other.what, line), "rename one of them")
			}
		}
		name, _, ok := t.text(key)
		if !ok {
			continue
		}
		app.Services[key] = name
		r.services = append(r.services, service{t.label(key), name, at.value})
	}
}

// isBelow reports whether an absolute path lies in a folder.
func isBelow(path, folder string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// checkStatic refuses folders of static files that hold what is not for everybody to read: the source of any app, a
// secret, the configuration. all are the apps whose sources there are. It takes time in proportion to their number,
// however many of them have such folders.
func (r *documentReader) checkStatic(apps, all []App) {
	held := map[string]string{} // by folder
	for i := range apps {
		if apps[i].Static != "" {
			held[apps[i].Static] = ""
		}
	}
	if len(held) == 0 {
		return
	}
	for i := range all {
		noteHeld(held, all[i].Main, "the source of app "+all[i].Name)
	}
	for _, secret := range r.secrets {
		noteHeld(held, secret, "the secret "+filepath.Base(secret))
	}
	noteHeld(held, filepath.Join(r.dir, filepath.Base(r.file)), "this file")
	for i := range apps {
		app := &apps[i]
		what := held[app.Static]
		if app.Static != "" && isBelow(app.Main, app.Static) {
			what = "main"
		}
		if what != "" {
			r.report(app.StaticAt, "[[app]] static", "holds "+what+", which everybody could read then",
				"keep the files in a folder of their own")
		}
	}
}

// noteHeld notes what a file is for those of the folders that it lies in.
func noteHeld(held map[string]string, path, what string) {
	if path == "" {
		return
	}
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		if _, isOne := held[folder]; isOne {
			held[folder] = what
		}
		if folder == filepath.Dir(folder) {
			return
		}
	}
}

// checkAssetsName looks for what has the name that the app's static files have in env.
func (r *documentReader) checkAssetsName(app *App, t *table) {
	for _, other := range []struct {
		table string
		has   bool
	}{{"vars", has(app.Vars, AssetsName)}, {"secrets", has(app.Secrets, AssetsName)}, {"services", has(app.Services, AssetsName)}} {
		if other.has {
			r.report(t.node.field(other.table).field(AssetsName).key, "[app."+other.table+"] "+AssetsName,
				"is what an app with static files has there", "rename it")
		}
	}
}

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

// checkServices looks for services that none of the apps is, nor the one of another name.
func (r *documentReader) checkServices(apps []App, another string) {
	if len(r.services) == 0 {
		return
	}
	isThere, names := map[string]bool{}, []string{}
	if another != "" {
		isThere[another] = true
	}
	for i := range apps {
		isThere[apps[i].Name] = true
		names = append(names, apps[i].Name)
	}
	for _, each := range r.services {
		if isThere[each.app] {
			continue
		}
		cure := "name an [[app]] of this file"
		if near := nearest(each.app, names); near != "" {
			cure = "did you mean " + near + "?"
		}
		r.report(each.at, each.label, fmt.Sprintf("there is no app %q", each.app), cure)
	}
}

// readSecrets fetches the secrets of an app. Their values are in no message.
func (r *documentReader) readSecrets(app *App, t, parent *table) {
	for _, key := range sortedKeys(t.values, t.node) {
		at := t.node.field(key)
		if key == "" {
			r.report(at.key, t.header, "a name is empty", "name the secret")
		}
		if _, isVar := app.Vars[key]; isVar {
			varAt := parent.node.field("vars").field(key).key
			r.report(at.key, t.label(key), fmt.Sprintf("is also a variable in line %d", varAt.Line), "rename one of them")
		}
		values, ok := t.values[key].(map[string]any)
		if !ok {
			r.report(at.value, t.label(key), "must be a table, not "+typeName(t.values[key]),
				"write "+quoteKey(key)+` = { file = "…" } or { env = "…" }`)
			continue
		}
		each := *sectionOf("app.secrets.*")
		each.header = t.label(key)
		source := &table{reader: t.reader, section: &each, node: at, values: values}
		secret, what, cure := r.readSecret(source)
		if what != "" {
			r.report(at.value, t.label(key), what, cure)
		}
		app.Secrets[key] = secret
	}
}

func (r *documentReader) readSecret(t *table) (secret Secret, what, cure string) {
	file, _, hasFile := t.text("file")
	variable, _, hasVariable := t.text("env")
	credential, _, hasCredential := t.text("credential")
	t.finish()
	if hasCredential && !hasFile && !hasVariable {
		if file, what, cure = r.credentialFile(credential); what != "" {
			return "", what, cure
		}
		if file == "" {
			r.warn(t.node.value, t.header, "credential "+credential+" was not looked at", "only the service can read it")
			return "", "", ""
		}
	}
	var content string
	switch {
	case hasFile && hasVariable, hasFile && hasCredential, hasVariable && hasCredential:
		return "", "has more than one of file, env and credential", "keep one"
	case hasFile, hasCredential:
		path := r.resolve(file)
		r.secrets = append(r.secrets, path)
		bytes, err := r.readFile(path)
		if err != nil {
			return "", fmt.Sprintf("%s: %v", file, err), "put the secret there, readable for nano's user"
		}
		content = strings.TrimSuffix(strings.TrimSuffix(string(bytes), "\n"), "\r")
	case hasVariable:
		value, ok := r.lookupEnv(variable)
		if !ok {
			return "", fmt.Sprintf("environment variable %s is not set", variable), "set it before nano starts"
		}
		content = value
	case len(t.values) == 0:
		return "", "names no source", `write { file = "…" }, { credential = "…" } or { env = "…" }`
	default:
		return "", "", "" // the reader has reported it
	}
	if content == "" {
		return "", "is empty", "fill it, or remove the key"
	}
	if !utf8.ValidString(content) {
		return "", "is not UTF-8 text", "encode it, for example in base64, and decode it in the app"
	}
	return Secret(content), "", ""
}

// credentialFile is the file of a credential that systemd has passed: LoadCredential= and SetCredential= in
// systemd.exec(5). It is "" where an inspection cannot know it.
func (r *documentReader) credentialFile(name string) (file, what, cure string) {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return "", fmt.Sprintf("credential %q is not the name of one", name), "write it as in LoadCredential="
	}
	folder, ok := r.lookupEnv("CREDENTIALS_DIRECTORY")
	if !ok && r.isInspection {
		return "", "", ""
	}
	if !ok || !filepath.IsAbs(folder) {
		return "", fmt.Sprintf("there are no credentials, so none named %s", name),
			"add LoadCredential=" + name + ":… to the unit of the service, or use { file = \"…\" } outside of systemd"
	}
	return filepath.Join(folder, name), "", ""
}

// resolve gives the absolute path of a path in the document.
func (r *documentReader) resolve(path string) string { return resolve(r.dir, path) }

func resolve(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
