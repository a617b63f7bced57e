package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseApp(t *testing.T) {
	c, err := Parse("node/nano.toml", []byte("[isolates]\ncpu = \"20ms\"\n[[app]]\nname = \"api\"\nmain = \"api.js\"\npath = \"/api\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.ParseApp("up", []byte("health = \"/ok\"\n[vars]\nA = 1\n[services]\nAPI = \"api\"\n[limits]\nheap = \"32MiB\"\n"), []string{"A.example"}, "/x")
	if err != nil {
		t.Fatal(err)
	}
	if app.Name != "up" || app.Main != "" || app.Health != "/ok" || app.Vars["A"] != int64(1) || app.Limits.Heap != 32<<20 ||
		app.Limits.CPU != 20*time.Millisecond || len(app.Hosts) != 1 || app.Hosts[0] != "a.example" || app.Path != "/x" {
		t.Errorf("got %+v", app)
	}
	if app, err = c.ParseApp("up", nil, nil, ""); err != nil || app.Path != "/" || len(app.Hosts) != 0 {
		t.Errorf("got %+v, %v", app, err)
	}
	if len(c.Apps) != 1 {
		t.Error("the configuration was changed")
	}
}

func TestParseAppTellsProblems(t *testing.T) {
	c := Default("/srv")
	for text, want := range map[string]string{
		"name = \"x\"\n":                     "settings:1:1: name: is not for the settings of an upload",
		"main = \"x.js\"\n":                  "settings:1:1: main: is not for",
		"helth = \"/\"\n":                    "unknown key; did you mean health?",
		"health = \"ok\"\n":                  "does not begin with",
		"[services]\nA = \"gone\"\n":         "there is no app \"gone\"",
		"[limits]\nheap = 1\n":               "must be a string with a size",
		"[secrets]\nA = { file = \"no\" }\n": "no such file",
		"a = \n":                             "settings:1:",
	} {
		if _, err := c.ParseApp("up", []byte(text), nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := c.ParseApp("UP", nil, nil, ""); err == nil {
		t.Error("a bad name was accepted")
	}
	if _, err := c.ParseApp("up", nil, []string{"a:80"}, ""); err == nil || !strings.Contains(err.Error(), "has a port") {
		t.Errorf("a bad host: %v", err)
	}
}

func TestCollides(t *testing.T) {
	for _, c := range []struct {
		a, b App
		want string
	}{
		{App{Path: "/"}, App{Path: "/"}, "every other host"},
		{App{Path: "/x"}, App{Path: "/x/"}, "every other host"},
		{App{Path: "/"}, App{Path: "/x"}, ""},
		{App{Path: "/", Hosts: []string{"a", "b"}}, App{Path: "/", Hosts: []string{"c", "b"}}, "b"},
		{App{Path: "/", Hosts: []string{"a"}}, App{Path: "/"}, ""},
	} {
		if host, ok := c.a.Collides(&c.b); host != c.want || ok != (c.want != "") {
			t.Errorf("%v and %v: %q, %v", c.a, c.b, host, ok)
		}
	}
}
