package config

import (
	"fmt"
	"slices"
	"strings"
)

// settingsFile is what the settings of an uploaded app are called in messages.
const settingsFile = "settings"

// ParseApp reads the settings of an app that the file does not have, because it was uploaded: the keys of
// [[app]] but name and main, with its tables as [vars], [limits] and so on, in TOML. Defaults, and the folder
// that relative paths are taken from, are those of c. hosts and path, if they are set, stand for the keys of
// that name. The error is a Problems.
func (c *Config) ParseApp(name string, settings []byte, hosts []string, path string) (App, error) {
	return c.parseApp(name, settings, hosts, path, realSurroundings)
}

func (c *Config) parseApp(name string, settings []byte, hosts []string, path string, around surroundings) (App, error) {
	values, root, problem := decode(settingsFile, string(settings))
	if problem != nil {
		return App{}, Problems{*problem}
	}
	r := &documentReader{reader: reader{file: settingsFile}, surroundings: around, dir: c.dir}
	if values == nil {
		values = map[string]any{}
	}
	for _, key := range []string{"name", "main"} {
		if _, is := values[key]; is {
			r.report(root.field(key).key, key, "is not for the settings of an upload", "leave it out")
		}
	}
	values["name"], values["main"] = name, uploadMain
	if hosts != nil {
		list := make([]any, len(hosts))
		for i := range hosts {
			list[i] = hosts[i]
		}
		values["hosts"] = list
	}
	if path != "" {
		values["path"] = path
	}
	app := r.readApp(c, &table{reader: &r.reader, section: sectionOf("app"), node: root, values: values}, newRouteCheck(&r.reader))
	app.Main, app.At, app.MainAt, app.StaticAt = "", Position{}, Position{}, Position{}
	r.checkServices(c.Apps, name)
	r.checkStatic([]App{app}, c.Apps)
	if len(r.problems) > 0 {
		r.problems.sort()
		return App{}, r.problems
	}
	return app, nil
}

// uploadMain passes for the main of an app that has none.
const uploadMain = "upload.js"

// Collides finds a host that both apps have at the same path; "every other host" is one too.
func (a *App) Collides(other *App) (host string, ok bool) {
	if strings.TrimRight(a.Path, "/") != strings.TrimRight(other.Path, "/") {
		return "", false
	}
	if len(a.Hosts) == 0 && len(other.Hosts) == 0 {
		return "every other host", true
	}
	for _, host := range a.Hosts {
		if slices.Contains(other.Hosts, host) {
			return host, true
		}
	}
	return "", false
}

// CheckName tells what is wrong with the name of an app.
func CheckName(name string) error {
	if what, cure := checkName(name); what != "" {
		return fmt.Errorf("name: %s", sentence(what, cure))
	}
	return nil
}
