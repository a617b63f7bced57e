package config

import (
	"fmt"
	"runtime"
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

// TestParseAppAmongMany: a node that has thousands of uploads reads the settings of each at a start and a reload, so
// that must not cost in proportion to all apps.
func TestParseAppAmongMany(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "[[app]]\nname = \"a%d\"\nmain = \"src/%d/a.js\"\nhosts = [\"a%d\"]\n", i, i, i)
	}
	c, err := Parse("node/nano.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	settings := []byte("static = \"public\"\n[services]\nSELF = \"up\"\nLAST = \"a4999\"\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	app, err := c.ParseApp("up", settings, []string{"up"}, "")
	runtime.ReadMemStats(&after)
	if err != nil || app.Services["LAST"] != "a4999" {
		t.Fatalf("%+v, %v", app, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("%d KiB are allocated for one app", allocated>>10)
	}
	for static, want := range map[string]string{"src": "holds the source of app a4999", "src/17": "holds the source of app a17", ".": "holds this file"} {
		if _, err := c.ParseApp("up", []byte("static = \""+static+"\"\n"), nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", static, err, want)
		}
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
