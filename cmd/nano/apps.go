package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"nano/admin"
	"nano/apps"
	"nano/config"
	"nano/logs"
)

// appsCommand is one of `nano apps`.
type appsCommand struct {
	name, synopsis, does string
	least, most          int // operands
	run                  func(a *appsCall) error
}

// appsCommands are listed in this order.
var appsCommands = []appsCommand{
	{"list", "", "lists the apps", 0, 0, (*appsCall).list},
	{"show", "NAME", "shows an app: versions, accounts", 1, 1, (*appsCall).show},
	{"deploy", "NAME FILE", "uploads FILE, or a project's folder, as the app's next version", 2, 2, (*appsCall).deploy},
	{"remove", "NAME", "removes an app that was uploaded, with its versions", 1, 1, (*appsCall).remove},
	{"rollback", "NAME [VERSION]", "goes back to the version before, or to VERSION", 1, 2, (*appsCall).rollback},
	{"split", "NAME V=WEIGHT...", "divides requests among versions by weight", 2, 100, (*appsCall).split},
	{"sleep", "NAME", "puts the app to sleep", 1, 1, (*appsCall).sleep},
	{"wake", "NAME", "starts the app, before anybody asks for it", 1, 1, (*appsCall).wake},
	{"heap", "NAME", "writes a heap snapshot to -o, for Chrome DevTools", 1, 1, (*appsCall).heap},
	{"profile", "NAME", "writes a CPU profile of --seconds to -o, for Chrome DevTools", 1, 1, (*appsCall).profile},
}

// appsCall is a `nano apps` that runs.
type appsCall struct {
	*client
	ctx      context.Context
	out      io.Writer
	operands []string

	output   string // -o
	seconds  float64
	hosts    listFlag
	path     string
	settings string
}

// listFlag is a flag that may be repeated.
type listFlag []string

// String implements flag.Value.
func (l *listFlag) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *listFlag) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func appsHelp() string {
	var text strings.Builder
	text.WriteString("Shows and changes the apps of a running node:\n\n")
	for _, c := range appsCommands {
		fmt.Fprintf(&text, "  nano apps %-24s %s\n", strings.TrimSpace(c.name+" "+c.synopsis), c.does)
	}
	text.WriteString("\nThe node is the one of -c, over a socket in its state folder, or the one of --admin.\n")
	return text.String()
}

func runApps(s *streams, args []string) error {
	flags := newFlags(s, "apps", appsHelp())
	at := targetFlags(flags)
	call := &appsCall{out: s.out}
	flags.StringVar(&call.output, "o", "", "the `file` that heap and profile write")
	flags.Float64Var(&call.seconds, "seconds", 5, "how long profile watches")
	flags.Var(&call.hosts, "host", "a `host` of the app that deploy adds; may be repeated")
	flags.StringVar(&call.path, "path", "", "the `prefix` of its paths")
	flags.StringVar(&call.settings, "settings", "", "a `file` with its further settings: keys of [[app]] in TOML")
	operands, err := parseOperands(flags, args)
	if err != nil {
		return err
	}
	name := "list"
	if len(operands) != 0 {
		name, call.operands = operands[0], operands[1:]
	}
	for i := range appsCommands {
		c := &appsCommands[i]
		if c.name != name {
			continue
		}
		if n := len(call.operands); n < c.least || n > c.most {
			return usageError{"write nano apps " + strings.TrimSpace(c.name+" "+c.synopsis)}
		}
		if call.client, err = at.connect(); err != nil {
			return err
		}
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		call.ctx = ctx
		return c.run(call)
	}
	return usageError{fmt.Sprintf("there is no apps %s", name)}
}

// appPath is the resource of the app that the first operand names.
func (a *appsCall) appPath(rest string) string {
	return "/v1/apps/" + url.PathEscape(a.operands[0]) + rest
}

func (a *appsCall) list() error {
	var list admin.AppList
	if err := a.call(a.ctx, "GET", "/v1/apps", nil, &list); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, list)
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tVERSION\tREQUESTS\tERRORS\tCPU\tMEMORY\tWHERE")
	for i := range list.Apps {
		app := &list.Apps[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", app.Name, app.State, servingVersions(app), app.Stats.Requests, app.Stats.Errors,
			shortDuration(secondsOf(app.Stats.CPU)), shortSize(app.Stats.Resident), whereIs(app))
	}
	return table.Flush()
}

func secondsOf(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func whereIs(app *admin.App) string {
	if len(app.Hosts) == 0 {
		return "*" + app.Path
	}
	return strings.Join(app.Hosts, ",") + app.Path
}

// servingVersions are the versions that get requests, with their parts if there are several.
func servingVersions(app *admin.App) string {
	var serving []admin.Version
	sum := 0
	for _, version := range app.Versions {
		if version.Weight > 0 {
			serving = append(serving, version)
			sum += version.Weight
		}
	}
	var texts []string
	for _, version := range serving {
		text := shortID(version.ID)
		if len(serving) > 1 {
			text += fmt.Sprintf(":%d%%", (100*version.Weight+sum/2)/sum)
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return "-"
	}
	return strings.Join(texts, ",")
}

func shortID(id string) string {
	if id == "" {
		return "-"
	}
	return id
}

func (a *appsCall) show() error {
	var app admin.App
	if err := a.call(a.ctx, "GET", a.appPath(""), nil, &app); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, app)
	}
	return a.describe(&app)
}

// describe prints what people want to know of an app.
func (a *appsCall) describe(app *admin.App) error {
	s := &app.Stats
	fmt.Fprintf(a.out, "%s: %s, on %s\n", app.Name, app.State, whereIs(app))
	if app.Problem != "" {
		fmt.Fprintf(a.out, "  problem: %s\n", logs.Printable(app.Problem))
	}
	mean := time.Duration(0)
	if s.Answered != 0 {
		mean = secondsOf(s.AnswerTime / float64(s.Answered))
	}
	fmt.Fprintf(a.out, "  %d requests, %d errors, %s of CPU, %s until an answer on average, %d in hand\n",
		s.Requests, s.Errors, shortDuration(secondsOf(s.CPU)), shortDuration(mean), s.InHand)
	fmt.Fprintf(a.out, "  %d isolates warm, %s of memory, %d sub-requests\n", s.Warm, shortSize(s.Resident), s.Subrequests)
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  VERSION\tNUMBER\tFROM\tCREATED\tWEIGHT")
	for _, version := range app.Versions {
		fmt.Fprintf(table, "  %s\t%d\t%s\t%s\t%d\n", shortID(version.ID), version.Number, version.From,
			version.Created.Local().Format("2006-01-02 15:04:05"), version.Weight)
	}
	return table.Flush()
}

// changed prints what an app has become, after a change.
func (a *appsCall) changed(method, path string, send any) error {
	var app admin.App
	if err := a.call(a.ctx, method, path, send, &app); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, app)
	}
	_, err := fmt.Fprintf(a.out, "%s: %s, %s\n", app.Name, app.State, servingVersions(&app))
	return err
}

func (a *appsCall) sleep() error { return a.changed("POST", a.appPath("/sleep"), nil) }
func (a *appsCall) wake() error  { return a.changed("POST", a.appPath("/wake"), nil) }

func (a *appsCall) remove() error {
	if err := a.call(a.ctx, "DELETE", a.appPath(""), nil, nil); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, struct {
			Removed string `json:"removed"`
		}{a.operands[0]})
	}
	_, err := fmt.Fprintf(a.out, "%s: removed\n", a.operands[0])
	return err
}

func (a *appsCall) rollback() error {
	send := map[string]string{}
	if len(a.operands) > 1 {
		send["version"] = a.operands[1]
	}
	var version admin.Version
	if err := a.call(a.ctx, "POST", a.appPath("/rollback"), send, &version); err != nil {
		return err
	}
	return a.printVersion(&version)
}

func (a *appsCall) printVersion(version *admin.Version) error {
	if a.json {
		return printJSON(a.out, version)
	}
	_, err := fmt.Fprintf(a.out, "%s: serves version %s (number %d)\n", a.operands[0], version.ID, version.Number)
	return err
}

func (a *appsCall) split() error {
	weights, err := parseWeights(a.operands[1:])
	if err != nil {
		return err
	}
	return a.changed("POST", a.appPath("/split"), map[string]any{"weights": weights})
}

// parseWeights reads VERSION=WEIGHT.
func parseWeights(operands []string) (map[string]int, error) {
	weights := map[string]int{}
	for _, operand := range operands {
		version, text, ok := strings.Cut(operand, "=")
		weight, err := strconv.Atoi(text)
		if !ok || version == "" || err != nil || weight < 0 {
			return nil, usageError{fmt.Sprintf("%q: write VERSION=WEIGHT, 0123456789ab=90 for example", operand)}
		}
		if _, again := weights[version]; again {
			return nil, usageError{fmt.Sprintf("version %s is named twice", version)}
		}
		weights[version] = weight
	}
	return weights, nil
}

// uploadTypes are the types of files that deploy takes, by extension.
var uploadTypes = map[string]string{
	".js": "application/javascript", ".mjs": "application/javascript", ".ts": "text/typescript", ".tsx": "text/tsx", ".jsx": "text/jsx",
	apps.BuiltExtension: "application/x-nano", ".tar": "application/x-tar", ".tgz": "application/x-tar+gzip", ".gz": "application/x-tar+gzip",
}

func (a *appsCall) deploy() error {
	query := url.Values{}
	for _, host := range a.hosts {
		query.Add("host", host)
	}
	if a.path != "" {
		query.Set("path", a.path)
	}
	if a.settings != "" {
		text, err := os.ReadFile(a.settings)
		if err != nil {
			return fmt.Errorf("--settings %s: %w", a.settings, config.WithoutPath(err))
		}
		query.Set("settings", string(text))
	}
	body, kind, err := openUpload(a.operands[1])
	if err != nil {
		return err
	}
	defer body.Close()
	path := a.appPath("")
	if len(query) != 0 {
		path += "?" + query.Encode()
	}
	response, err := a.open(a.ctx, "PUT", path, kind, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var version admin.Version
	if err := a.decode(response.Body, &version); err != nil {
		return err
	}
	return a.printVersion(&version)
}

// openUpload opens what deploy sends: a file, or a folder as an archive.
func openUpload(name string) (body io.ReadCloser, kind string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, config.WithoutPath(err))
	}
	if info.IsDir() {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(packFolder(writer, name)) }()
		return reader, "application/x-tar+gzip", nil
	}
	kind = uploadTypes[filepath.Ext(name)]
	if kind == "" {
		return nil, "", fmt.Errorf("%s: is none of .js .mjs .ts .tsx .jsx .nano .tar .tgz, and no folder", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, config.WithoutPath(err))
	}
	return file, kind, nil
}

// isPrivate tells whether a file or folder of a project stays on this machine: version control, caches, and what holds
// secrets of whoever develops here. What a program imports has none of these names.
func isPrivate(name string) bool {
	base := path.Base(name)
	switch base {
	case ".git", ".hg", ".svn", ".nano", ".wrangler", ".dev.vars", ".env", ".envrc", ".npmrc", ".netrc", ".DS_Store":
		return true
	case ".cache":
		return path.Base(path.Dir(name)) == "node_modules"
	}
	return strings.HasPrefix(base, ".env.") || strings.HasPrefix(base, ".dev.vars.")
}

// packFolder writes a project's folder as a compressed archive: all regular files but those that are private. The
// packages in node_modules are what it is bundled with, so they go along; links in it are followed within the folder.
func packFolder(to io.Writer, folder string) error {
	compressed := gzip.NewWriter(to)
	archive := tar.NewWriter(compressed)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case isPrivate(name) && entry.IsDir():
			return fs.SkipDir
		case isPrivate(name) || entry.IsDir():
			return nil
		}
		return packFile(archive, root, name)
	})
	return errors.Join(err, archive.Close(), compressed.Close())
}

func packFile(archive *tar.Writer, root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, config.WithoutPath(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.CopyN(archive, file, info.Size()); err != nil {
		return fmt.Errorf("%s: changes while it is read: %w", name, err)
	}
	return nil
}

func (a *appsCall) heap() error { return a.download("/heap", ".heapsnapshot") }

func (a *appsCall) profile() error {
	return a.download("/profile?seconds="+strconv.FormatFloat(a.seconds, 'f', -1, 64), ".cpuprofile")
}

// download writes what DevTools opens to a file.
func (a *appsCall) download(resource, extension string) error {
	file := a.output
	if file == "" {
		file = a.operands[0] + extension
	}
	if !strings.HasSuffix(file, extension) {
		return usageError{fmt.Sprintf("-o %s: DevTools wants a file that ends in %s", file, extension)}
	}
	size, err := a.save(a.ctx, a.appPath(resource), file)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, struct {
			File string `json:"file"`
			Size int64  `json:"size_bytes"`
		}{file, size})
	}
	_, err = fmt.Fprintf(a.out, "%s: %s\n", file, shortSize(size))
	return err
}

func runReload(s *streams, args []string) error {
	flags := newFlags(s, "reload", `Makes a running node read its nano.toml and its apps again. What changed is replaced, one app after the
other and without a lost request; what cannot be built, or does not answer its health check, goes on as
it was, and the reason is printed. SIGHUP does the same.
`)
	at := targetFlags(flags)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	c, err := at.connect()
	if err != nil {
		return err
	}
	var report admin.Report
	if err := c.call(context.Background(), "POST", "/v1/reload", nil, &report); err != nil {
		return err
	}
	return printReport(s, &report, c.json)
}

// printReport prints what a reload did. An error: an app failed.
func printReport(s *streams, report *admin.Report, asJSON bool) error {
	var failed []string
	for _, change := range report.Changes {
		if change.Action == "failed" {
			failed = append(failed, change.App+": "+change.Reason)
		} else if !asJSON {
			fmt.Fprintf(s.out, "%s: %s\n", change.App, change.Action)
		}
	}
	if asJSON {
		if err := printJSON(s.out, report); err != nil {
			return err
		}
	} else {
		for _, warning := range report.Warnings {
			fmt.Fprintf(s.err, "nano: %s\n", oneLine(warning))
		}
		fmt.Fprintf(s.out, "%s unchanged, in %s\n", count(report.Same, "app"), shortDuration(secondsOf(report.Duration)))
	}
	if len(failed) != 0 {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}
